package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// QueryAnswer describes the JSON form of an answer, which package query writes.
type QueryAnswer struct {
	Columns   []query.Column `json:"columns"`
	Rows      [][]any        `json:"rows,omitempty" doc:"One array for each row, a value for each column. Not in the format objects."`
	Data      []jsonObject   `json:"data,omitempty" doc:"In the format objects: one object for each row."`
	RowCount  int64          `json:"row_count"`
	ElapsedMS float64        `json:"elapsed_ms" doc:"What it took to make the answer."`
	Cached    *bool          `json:"cached,omitempty" doc:"Whether it was made for a question that was asked before. Only with cache_minutes, as the next."`
	ExpiresAt *time.Time     `json:"expires_at,omitempty" doc:"From then on it is made anew."`
}

// jsonObject is an object of any members.
type jsonObject map[string]any

// EventPage is one page of a list of events.
type EventPage struct {
	Data       []query.Event `json:"data" doc:"Newest first, by the time they were received."`
	NextCursor *string       `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type askInput struct {
	IfNoneMatch string `header:"If-None-Match" maxLength:"1000" doc:"The ETag of an answer that is there already: if it is still the answer, it is not sent again."`
	Body        query.Question
}

type listEvents struct {
	Environment string    `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	Event       string    `query:"event" maxLength:"256" doc:"Only events of this name."`
	DistinctID  string    `query:"distinct_id" maxLength:"200" doc:"Only events of this person."`
	After       time.Time `query:"after" doc:"Only events with this timestamp or a later one."`
	Before      time.Time `query:"before" doc:"Only events with an earlier timestamp."`
	Limit       int       `query:"limit" minimum:"1" maximum:"1000" doc:"How many at the most; by default 100."`
	Cursor      string    `query:"cursor" maxLength:"1000" doc:"Where to go on, from the page before."`
}

type followEvents struct {
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	Event       string `query:"event" maxLength:"256" doc:"Only events of this name."`
}

func mountQuery(a *API) {
	mount(a, endpoint[asked, *query.Answer]{
		Method: "POST", Path: "/v1/query", Action: access.RunSQL,
		Read:  readAsked(a),
		Wants: asked.wants,
		Do:    a.ask,
		Write: writeAnswer,
		Cost:  1, Same: asked.same, Price: answerPrice, Long: true,
		Doc: doc{
			ID: "query", Tag: "Query", Summary: "Ask a question in SQL",
			Text: "One read-only SELECT over `events` and `persons` of one environment. `events` has event_id, event, timestamp, received_at, " +
				"distinct_id, anonymous_id, device_id, session_id, properties (JSON), key_id and source. A dataset that the key may read is a table " +
				"under its name, with a column for each of its properties.",
			In: reflect.TypeFor[askInput](), Out: reflect.TypeFor[QueryAnswer](),
			Types: []string{"application/x-ndjson", "text/csv", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"}, Kept: true, Runs: true,
			Statuses: map[int]reflect.Type{http.StatusNotModified: reflect.TypeFor[nothing]()},
			Problems: []problem.Code{
				problem.InvalidSQL, problem.SQLNotAllowed, problem.ResultTooLarge, problem.QueryTooHeavy, problem.QueryQueueFull, problem.QueryTimeout,
				problem.QueryCancelled,
			},
			Examples: []example{queryExample},
		},
	})
	mount(a, endpoint[listEvents, EventPage]{
		Method: "GET", Path: "/v1/events", Action: access.ReadEvents,
		Read: bound[listEvents](a),
		Wants: func(in listEvents) access.Attempt {
			return access.Attempt{Targets: []access.Target{{Environment: in.Environment}}}
		},
		Do: func(ctx context.Context, permit gate.Permit, in listEvents) (EventPage, error) {
			page, err := a.cfg.Query.Events(ctx, permit, query.EventFilter{
				Event: in.Event, DistinctID: in.DistinctID, After: in.After, Before: in.Before, Limit: orDefault(in.Limit, 100), Cursor: in.Cursor,
			})
			return EventPage{Data: page.Events, NextCursor: cursor(page.NextCursor)}, err
		},
		Doc: doc{ID: "listEvents", Tag: "Query", Summary: "List events", Text: "Newest first by the time they were received."},
	})
	mount(a, endpoint[followEvents, stream]{
		Method: "GET", Path: "/v1/events/stream", Action: access.FollowEvents,
		Read: bound[followEvents](a),
		Wants: func(in followEvents) access.Attempt {
			return access.Attempt{Targets: []access.Target{{Environment: in.Environment}}}
		},
		Do: func(ctx context.Context, permit gate.Permit, in followEvents) (stream, error) {
			ctx, cancel := context.WithCancel(ctx)
			stop := context.AfterFunc(a.cfg.Stopping, cancel)
			s := stream{only: in.Event, close: func() { stop(); cancel() }}
			var err error
			if s.events, err = a.cfg.Live.Follow(ctx, permit); err != nil {
				s.close()
			}
			return s, err
		},
		Write: writeStream, Long: true,
		Doc: doc{
			ID: "followEvents", Tag: "Query", Summary: "Follow events as they come", Types: []string{"text/event-stream"},
			Text: "Server-sent events, one for each event as soon as it is durable: `event: event`, `id:` the event's id, `data:` the event as in the list. " +
				"A comment is sent every 15 seconds. A reader that lags far behind is disconnected; what it missed is in the list.",
		},
	})
}

// readQuestion reads the question, and has the engine's own parser look at the statement before anything is admitted.
func readQuestion(a *API) func(*request) (query.Question, error) {
	read := bound[askInput](a)
	return func(rq *request) (query.Question, error) {
		in, err := read(rq)
		if err != nil {
			return query.Question{}, err
		}
		q := in.Body
		if q.Format == "" {
			q.Format = query.FormatFromAccept(rq.r.Header.Get("Accept"))
		}
		_, err = a.cfg.Query.Facts(rq.ctx(), q)
		return q, err
	}
}

// stream is what follows events until it is closed.
type stream struct {
	events <-chan event.Event
	only   string
	close  func()
}

const heartbeat = 15 * time.Second

// writeStream sends events as they come. Each write has the connection's usual time to be taken.
func writeStream(rq *request, s stream) error {
	defer s.close()
	control := http.NewResponseController(&rq.reply)
	rq.reply.Header().Set("Content-Type", "text/event-stream")
	rq.reply.WriteHeader(http.StatusOK)
	if rq.r.Method == http.MethodHead {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	text := []byte(": following\n\n")
	for {
		_ = control.SetWriteDeadline(rq.a.cfg.Now().Add(heartbeat))
		if rq.ctx().Err() != nil { // asked after the deadline is set, so that it cannot come after that of breakOff
			return nil
		}
		if _, err := rq.reply.Write(text); err != nil {
			return nil
		}
		if err := control.Flush(); err != nil {
			return nil
		}
		next, ok, err := s.next(beat.C)
		if !ok || err != nil {
			return err
		}
		text = next
	}
}

// next waits for an event that is wanted, or for the time to show that the stream lives.
func (s stream) next(beat <-chan time.Time) ([]byte, bool, error) {
	for {
		select {
		case <-beat:
			return []byte(": alive\n\n"), true, nil
		case e, ok := <-s.events:
			if !ok {
				return nil, false, nil
			}
			if s.only != "" && e.Name != s.only {
				continue
			}
			data, err := json.Marshal(eventView(e))
			if err != nil {
				return nil, false, err
			}
			return fmt.Appendf(nil, "event: event\nid: %s\ndata: %s\n\n", oneLine(e.ID), data), true, nil
		}
	}
}

// eventView is an event that has just become durable, as the list will show it.
func eventView(e event.Event) query.Event {
	return query.Event{
		EventID: e.ID, Event: e.Name, Timestamp: e.Timestamp, ReceivedAt: e.ReceivedAt, DistinctID: e.DistinctID, AnonymousID: e.AnonymousID,
		DeviceID: e.DeviceID, SessionID: e.SessionID, Properties: e.Properties, KeyID: e.KeyID, Source: e.Source,
	}
}

// oneLine keeps an id of a sender's own making from ending the line it stands on.
func oneLine(id string) string {
	clean := []rune(id)
	for i, c := range clean {
		if c == '\n' || c == '\r' {
			clean[i] = ' '
		}
	}
	return string(clean)
}
