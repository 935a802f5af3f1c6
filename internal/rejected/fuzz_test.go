package rejected_test

import (
	"log/slog"
	"testing"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/rejected"
)

// Promise: whatever was sent is corrected with whatever patch to something of its own environment, or to a problem.
func FuzzCorrection(f *testing.F) {
	f.Add([]byte(`{"event":1}`), []byte(`{"event":"A"}`), "x", "y")
	f.Add([]byte(`{"event":1,"event":2,"a":{"b":{}}}`), []byte(`{"a":{"b":null,"c":{"d":1}}}`), "a", "event")
	f.Add([]byte(`[{"event":{}},5]`), []byte(`{"events":[{}]}`), "event", "events")
	f.Add([]byte(`{"event":1e400}`), []byte(`[]`), "", "event")
	w := gatetest.New(f)
	f.Fuzz(func(t *testing.T, item, patch []byte, from, to string) {
		batch, err := event.ReadBatch(item, event.Shape{Kind: event.Track, Source: "track"})
		if err != nil || len(batch.Items) > 10 {
			return
		}
		s, err := rejected.Open(rejected.Config{Dir: t.TempDir(), Bytes: 1 << 20, Now: w.Clock.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		var list []event.Rejection
		for i := range batch.Items {
			list = append(list, event.Rejection{Index: i, Problem: problem.Invalid("x", "wrong")})
		}
		s.Take(mine(), &batch, list)
		p, err := s.Prepare(rejected.Wanted{
			Project: "prj_1", Environment: "production", Limit: 10,
			Correction: rejected.Correction{Rename: map[string]string{from: to}, Patch: patch},
		})
		if err != nil {
			if problem.Of(err) != problem.InvalidField {
				t.Fatal(err)
			}
			return
		}
		for _, target := range p.Targets() {
			if target.Environment != "production" {
				t.Errorf("goes to %q", target.Environment)
			}
		}
	})
}
