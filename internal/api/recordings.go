package api

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/recording"
)

// recordingSize bounds a chunk.
var recordingSize = size{sent: 5 << 20, unpacked: recording.MaxUnpacked}

// RecordingChunk describes what recording.ReadChunk reads.
type RecordingChunk struct {
	SessionID   string       `json:"session_id" minLength:"1" maxLength:"200" pattern:"^[0-9A-Za-z][0-9A-Za-z._:~@+=-]*$" doc:"Which session it is of, by a name of the sender's." example:"session-1"`
	Sequence    int64        `json:"sequence" minimum:"0" maximum:"999999" doc:"Its number in the session, from 0 and without gaps."`
	Environment *string      `json:"environment,omitempty" doc:"The environment; by default the first that the key may use." nullable:"true" example:"production"`
	DistinctID  itemID       `json:"distinct_id,omitempty" doc:"Whose session it is, as far as it is known by now."`
	Events      []rrwebEvent `json:"events" minItems:"1" maxItems:"5000" doc:"As rrweb gives them."`
}

// rrwebEvent describes an event of rrweb.
type rrwebEvent struct {
	Type      int64    `json:"type" minimum:"0" maximum:"99" doc:"What kind of event it is, as rrweb numbers them."`
	Timestamp float64  `json:"timestamp" exclusiveMinimum:"0" doc:"Milliseconds since 1970, by the clock of the page."`
	_         struct{} `additionalProperties:"true"`
}

// RecordingReceipt says what became of a chunk.
type RecordingReceipt struct {
	SessionID string `json:"session_id" example:"session-1"`
	Sequence  int64  `json:"sequence"`
	Events    int64  `json:"events" doc:"How many events are in it. They are durable."`
	Duplicate bool   `json:"duplicate" doc:"Whether the same chunk had come before, so that nothing was stored."`
}

// Recording is what is known of a session that was recorded.
type Recording struct {
	SessionID    string           `json:"session_id" example:"session-1"`
	Environment  string           `json:"environment" example:"production"`
	DistinctID   string           `json:"distinct_id" doc:"Whom the latest chunk that names somebody names; empty: none does." example:"u_1"`
	Page         string           `json:"page" doc:"The address of the first page, without a key that stood in it; empty: none is told." example:"https://shop.example/"`
	Chunks       int64            `json:"chunks"`
	Events       int64            `json:"events"`
	Bytes        int64            `json:"bytes" doc:"As they are kept."`
	LastSequence int64            `json:"last_sequence" doc:"The highest there is."`
	FirstEventAt time.Time        `json:"first_event_at" doc:"By the clock of the page, as the next."`
	LastEventAt  time.Time        `json:"last_event_at"`
	StartedAt    time.Time        `json:"started_at" doc:"When its first chunk came."`
	UpdatedAt    time.Time        `json:"updated_at" doc:"When its latest chunk came."`
	Missing      *[]recording.Gap `json:"missing,omitzero" nullable:"false" doc:"Of a single recording: the sequences before the last of which no chunk came, at most 1,000 runs of them."`
}

// RecordingPage is one page of a list of recordings.
type RecordingPage struct {
	Data       []Recording `json:"data" doc:"The latest first, by when they began to come."`
	NextCursor *string     `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// RecordingEvents describes the events of a recording, which package recording writes.
type RecordingEvents struct {
	SessionID string          `json:"session_id" example:"session-1"`
	Missing   []recording.Gap `json:"missing" doc:"The sequences before the last of which no chunk came, at most 1,000 runs of them."`
	Events    []rrwebEvent    `json:"events" doc:"In the order of the chunks that they came in."`
}

type recordingInput struct {
	Body RecordingChunk
}

type listRecordings struct {
	Environment string    `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	DistinctID  string    `query:"distinct_id" maxLength:"200" doc:"Only sessions of which a chunk names this person."`
	From        time.Time `query:"from" doc:"Only those that began to come at this time or later."`
	To          time.Time `query:"to" doc:"Only those that began to come earlier."`
	Limit       int       `query:"limit" minimum:"1" maximum:"1000" doc:"How many at the most; by default 100."`
	Cursor      string    `query:"cursor" maxLength:"200" doc:"Where to go on, from the page before."`
}

type recordingAt struct {
	Session     string `path:"session" maxLength:"200" doc:"The session, as its sender names it." example:"session-1"`
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
}

func (r recordingAt) wants() access.Attempt {
	return access.Attempt{Targets: []access.Target{{Environment: r.Environment}}}
}

func mountRecordings(a *API) {
	mount(a, endpoint[recording.Chunk, RecordingReceipt]{
		Method: "POST", Path: "/v1/recordings", Action: access.WriteRecordings, Cross: true,
		Read: readRecording,
		Wants: func(c recording.Chunk) access.Attempt {
			return access.Attempt{Targets: []access.Target{{Environment: c.Environment}}}
		},
		Do: func(ctx context.Context, permit gate.Permit, c recording.Chunk) (RecordingReceipt, error) {
			r, err := a.cfg.Recordings.Add(ctx, permit, c)
			return RecordingReceipt{SessionID: r.Session, Sequence: r.Sequence, Events: r.Events, Duplicate: r.Duplicate}, err
		},
		Doc: doc{
			ID: "sendRecording", Tag: "Recordings", Summary: "Send a chunk of a recording", In: reflect.TypeFor[recordingInput](), Takes: []string{"text/plain"},
			Text: "At most 5 MiB as it is sent and 16 MiB as it unpacks. An answer of 200 means that it is durable. The same chunk may be sent again: it is " +
				"stored once.",
			Problems: []problem.Code{problem.TooManyItems, problem.RecordingConflict, problem.RecordingsFull, problem.StorageFull},
			Examples: []example{recordingExample},
		},
	})
	mount(a, endpoint[listRecordings, RecordingPage]{
		Method: "GET", Path: "/v1/recordings", Action: access.ReadRecordings, Read: bound[listRecordings](a),
		Wants: func(in listRecordings) access.Attempt { return recordingAt{Environment: in.Environment}.wants() },
		Do: func(ctx context.Context, permit gate.Permit, in listRecordings) (RecordingPage, error) {
			f := recording.Filter{DistinctID: in.DistinctID, From: in.From, To: in.To, Limit: orDefault(in.Limit, 100)}
			list, err := a.cfg.Recordings.List(ctx, permit, f, in.Cursor)
			page := RecordingPage{Data: make([]Recording, len(list.Sessions)), NextCursor: cursor(list.Next)}
			for i := range list.Sessions {
				page.Data[i] = recordingView(&list.Sessions[i])
			}
			return page, err
		},
		Doc: doc{ID: "listRecordings", Tag: "Recordings", Summary: "List recordings", Text: "The latest first, by when they began to come."},
	})
	mountRecording(a)
	mountPlayer(a)
}

// mountRecording adds what is about a single recording.
func mountRecording(a *API) {
	find := func(ctx context.Context, permit gate.Permit, in recordingAt) (*recording.Playback, error) {
		return a.cfg.Recordings.Find(ctx, permit, in.Session)
	}
	mount(a, endpoint[recordingAt, Recording]{
		Method: "GET", Path: "/v1/recordings/{session}", Action: access.ReadRecordings, Read: bound[recordingAt](a), Wants: recordingAt.wants,
		Do: func(ctx context.Context, permit gate.Permit, in recordingAt) (Recording, error) {
			found, err := find(ctx, permit, in)
			if err != nil {
				return Recording{}, err
			}
			view := recordingView(&found.Session)
			view.Missing = &found.Missing
			return view, nil
		},
		Doc: doc{
			ID: "getRecording", Tag: "Recordings", Summary: "What is known of a recording", Text: "With the sequences that are missing.",
			Problems: []problem.Code{problem.NotFound},
		},
	})
	mount(a, endpoint[recordingAt, *recording.Playback]{
		Method: "GET", Path: "/v1/recordings/{session}/events", Action: access.ReadRecordings, Read: bound[recordingAt](a), Wants: recordingAt.wants,
		Do: find, Write: writePlayback, Long: true,
		Doc: doc{
			ID: "getRecordingEvents", Tag: "Recordings", Summary: "The events of a recording", Out: reflect.TypeFor[RecordingEvents](),
			Text:     "As they were sent, in the order of their chunks, for a player of rrweb. The answer is sent as it is read: when the connection breaks off, it is not whole.",
			Problems: []problem.Code{problem.NotFound},
		},
	})
	mount(a, endpoint[recordingAt, nothing]{
		Method: "DELETE", Path: "/v1/recordings/{session}", Action: access.DeleteRecordings, Read: bound[recordingAt](a), Wants: recordingAt.wants, Status: 204,
		Do: func(ctx context.Context, permit gate.Permit, in recordingAt) (nothing, error) {
			return nothing{}, a.cfg.Recordings.Delete(ctx, permit, in.Session)
		},
		Doc: doc{
			ID: "deleteRecording", Tag: "Recordings", Summary: "Delete a recording", Problems: []problem.Code{problem.NotFound},
			Text: "With all its events, at once. A chunk of the session that comes later begins a new recording.",
		},
	})
}

// readRecording reads a chunk. Unknown query parameters are refused, as a page that sends one has made it for this address.
func readRecording(rq *request) (recording.Chunk, error) {
	if err := rq.onlyQuery(); err != nil {
		return recording.Chunk{}, err
	}
	text, err := rq.body(recordingSize, "application/json", "text/plain")
	if err != nil {
		return recording.Chunk{}, err
	}
	c, err := recording.ReadChunk(text)
	rq.line.items = int(c.Events)
	return c, err
}

func recordingView(s *recording.Session) Recording {
	return Recording{
		SessionID: s.ID, Environment: s.Environment, DistinctID: s.DistinctID, Page: s.Page, Chunks: s.Chunks, Events: s.Events, Bytes: s.Bytes,
		LastSequence: s.Last, FirstEventAt: s.FirstAt, LastEventAt: s.LastAt, StartedAt: s.StartedAt, UpdatedAt: s.UpdatedAt,
	}
}

// playing writes a recording, of which each part has the connection's usual time to be taken.
type playing struct {
	rq *request
	p  *recording.Playback
}

// WriteTo writes the recording as JSON.
func (p playing) WriteTo(w io.Writer) (sent int64, err error) {
	control := http.NewResponseController(&p.rq.reply)
	err = p.p.JSON(p.rq.ctx(), func(part []byte) error {
		_ = control.SetWriteDeadline(p.rq.a.cfg.Now().Add(heartbeat))
		if err := p.rq.ctx().Err(); err != nil { // asked after the deadline is set, so that it cannot come after that of breakOff
			return err
		}
		n, err := w.Write(part)
		sent += int64(n)
		return err
	})
	return sent, err
}

// writePlayback sends a recording. What fails before a byte has left is still a problem.
func writePlayback(rq *request, p *recording.Playback) error {
	header := rq.reply.Header()
	header["Content-Type"] = jsonType
	header.Add("Vary", "Accept-Encoding")
	if rq.r.Method == http.MethodHead {
		rq.reply.WriteHeader(http.StatusOK)
		return nil
	}
	encoding := encodingFor(rq.r.Header.Values("Accept-Encoding"))
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
	}
	err := rq.a.packers.write(&rq.reply, encoding, playing{rq, p})
	if err != nil && rq.line.status == 0 {
		header.Del("Content-Encoding")
		return rq.interrupted(err)
	}
	if err != nil {
		rq.line.cause, rq.broken = err, true
	}
	return nil
}
