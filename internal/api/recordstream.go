package api

import (
	"bytes"
	"context"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

type followRecords struct {
	Workspace  string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset    string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	Symbols    string `query:"symbols" maxLength:"200000" doc:"Only records of these keys, with commas between them; by default all." example:"AAPL,MSFT"`
	Channels   string `query:"channels" maxLength:"4096" doc:"Only records of these subkeys, with commas between them, 50 at the most; by default all." example:"trades,book"`
	NoSnapshot bool   `query:"nosnapshot" doc:"Whether the records there are already are left out."`
	AsOf       string `query:"snapshotAsOf" maxLength:"64" doc:"The stream begins with all records of this time or later instead of the newest." example:"1767225600000"`
	found      dataset.Dataset
}

func (in *followRecords) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

// recordStream is what follows records until it is closed.
type recordStream struct {
	dataset.Followed

	first  bool
	weight int64
	most   int64 // records until it ends; 0: it does not
	sent   int64
	done   func() // gives back the memory for the snapshot; it may be called more than once
	close  func()
	settle func(records int64) error
}

// streamRecords is how many records are set aside for a stream. Where credits are limited, it ends when it has sent them.
const streamRecords = 100

// mountRecordStream adds the row that follows records.
func mountRecordStream(a *API) {
	mount(a, endpoint[followRecords, *recordStream]{
		Method: "GET", Path: "/v1/stream/{workspace}/{dataset}", Action: access.ReadDatasets,
		Read: looking(a, readFollowRecords(a)), Wants: wantsTo[followRecords](access.ReadRecords),
		IEX: &shared[*recordStream]{Also: compat.IEXChannels()}, Cross: true,
		Reserve: func(in followRecords) int64 { return streamRecords * dataset.Credits(in.found.Class) }, Later: true,
		Do: a.followRecords, Write: writeRecordStream, Long: true,
		Doc: doc{
			ID: "followRecords", Tag: datasetsTag, Summary: "Follow records as they are written", Types: []string{"text/event-stream"},
			Text: "Server-sent events whose data is a JSON array of records. The first has the newest record of each of the symbols, or the newest of all. A " +
				"comment is sent every 15 seconds. Each record costs what reading it does; where the key's or the project's credits are limited, a hundred are set " +
				"aside, and the stream ends when they are used up: what is over is given back.",
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound},
		},
	})
}

// readFollowRecords reads what is to be followed: at the address of a channel, the dataset of that name.
func readFollowRecords(a *API) func(*request) (followRecords, error) {
	read := bound[followRecords](a)
	return func(rq *request) (followRecords, error) {
		in, err := read(rq)
		if _, _, ok := dataset.ParseTime(in.AsOf); err == nil && in.AsOf != "" && !ok {
			err = problem.Invalid("query.snapshotAsOf", "must be a date or a time, or a number of seconds or milliseconds since 1970")
		}
		if in.Dataset == "" {
			in.Workspace, in.Dataset = dataset.Core, path.Base(rq.r.URL.Path)
			if slices.Contains(commas(in.Channels), compat.IEXAllChannels) {
				in.Channels = ""
			}
		}
		return in, err
	}
}

func (a *API) followRecords(ctx context.Context, permit gate.Permit, in followRecords) (*recordStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.cfg.Stopping, cancel)
	s := &recordStream{
		weight: dataset.Credits(in.found.Class), first: !in.NoSnapshot,
		settle: func(credits int64) error { return a.cfg.Gate.Settle(context.Background(), permit, credits) },
	}
	key, project := permit.Accounts()
	if key.Limits.Credits.Most > 0 || project.Limits.Credits.Most > 0 {
		s.most = streamRecords
	}
	at, _ := in.where()
	held := int64(0)
	if !in.NoSnapshot {
		held = (&dataset.Ask{Datasets: []string{in.Dataset}, Keys: commas(in.Symbols), From: in.AsOf}).Bytes()
		held = min(held*int64(max(1, len(commas(in.Channels)))), dataset.MaxReadBytes)
	}
	done, err := a.holdAnswer(held)
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	s.done = sync.OnceFunc(done)
	s.close = func() { stop(); cancel(); s.done() }
	if s.Followed, err = a.cfg.Datasets.Follow(ctx, permit, at, dataset.Following{Keys: commas(in.Symbols), Subkeys: commas(in.Channels), Snapshot: !in.NoSnapshot, From: in.AsOf}); err != nil {
		s.close()
		return nil, err
	}
	if s.most > 0 && int64(len(s.Snapshot)) > s.most {
		s.close()
		return nil, problem.Invalid("query.symbols", "there are %d records to begin with, more than the %d that a stream of limited credits has", len(s.Snapshot), s.most)
	}
	return s, nil
}

// writeRecordStream sends records as they come.
func writeRecordStream(rq *request, s *recordStream) error {
	defer s.close()
	defer func() {
		if err := s.settle(s.sent * s.weight); err != nil {
			rq.line.cause = err
		}
	}()
	control := http.NewResponseController(&rq.reply)
	rq.reply.Header().Set("Content-Type", "text/event-stream")
	rq.reply.WriteHeader(http.StatusOK)
	if rq.r.Method == http.MethodHead {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	text := []byte(": following\n\n")
	if s.first {
		text = s.frame(s.Snapshot)
	}
	s.Snapshot = nil
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
		text = nil //nolint:wastedassign // what was sent needs no memory while nothing comes
		s.done()
		select {
		case <-beat.C:
			text = []byte(": alive\n\n")
		case batch, ok := <-s.Batches:
			if !ok {
				return nil
			}
			if s.most > 0 && s.sent+int64(len(batch)) > s.most {
				_, _ = rq.reply.Write([]byte(": the credits that were set aside are used up\n\n")) // it ends either way
				return nil
			}
			text = s.frame(batch)
		}
	}
}

// Close ends a stream that was never sent.
func (s *recordStream) Close() error {
	s.close()
	return s.settle(0)
}

// frame is one event with records, which are sent with it.
func (s *recordStream) frame(list []dataset.Record) []byte {
	var out bytes.Buffer
	out.WriteString("data: [")
	for i := range list {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(list[i].Body) // it is compact, and so of one line
	}
	out.WriteString("]\n\n")
	s.sent += int64(len(list))
	return out.Bytes()
}
