package api_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/event"
)

// holding keeps records, and holds whoever has written some under another uid than the first, until that is cancelled.
type holding struct {
	dataset.Records

	mu      sync.Mutex
	first   string
	other   string
	reached chan struct{} // closed when something is held
}

func (h *holding) WriteRecords(ctx context.Context, space event.Space, uid string, b dataset.Batch) (dataset.Written, error) {
	written, err := h.Records.WriteRecords(ctx, space, uid, b)
	h.mu.Lock()
	if h.first == "" {
		h.first = uid
	}
	held := uid != h.first && h.other == ""
	if held {
		h.other = uid
		close(h.reached)
	}
	h.mu.Unlock()
	if held {
		<-ctx.Done()
	}
	return written, err
}

// Promise: a change of a dataset that writes its records anew, or a file that takes their place, is cancelled in the middle and
// leaves the dataset as it was, free for the next change, and no second table.
func TestACancelledRebuildLeavesNothing(t *testing.T) {
	t.Parallel()
	const changed = `{"schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"date"},"open":{"type":"string"},"volume":{"type":"integer"}}}}`
	for name, c := range map[string]struct {
		kind          string
		begin, member string
	}{
		"reingest":  {dataset.UpdateKind, "PATCH /v1/datasets/CORE/QUOTES?existing=reingest " + changed, "job"},
		"update":    {dataset.UpdateKind, "PATCH /v1/datasets/CORE/QUOTES?existing=update " + changed, "job"},
		"overwrite": {dataset.IngestKind, "POST /v1/data/CORE/QUOTES?overwrite=true symbol,date\nNEW,2026-01-03\n", "jobId"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t).apart(t)
			h := &holding{Records: w.warehouse, reached: make(chan struct{})}
			jobs := w.jobsOver(t, h)
			s := newTables(t, w)
			s.define("QUOTES", "core")
			s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"A","date":"2026-01-01","open":1.5},{"symbol":"B","date":"2026-01-01","open":2}]`, 200)
			const more = `[{"symbol":"C","date":"2026-01-02"}]`
			records := func() string { return s.ask(s.all, "GET", "/v1/data/CORE/QUOTES?limit=9&sort=asc", "", 200) }
			schema := func() string { return s.ask(s.all, "GET", "/v1/data/CORE/QUOTES?schema=true", "", 200) }
			before, shape := records(), schema()

			parts := strings.SplitN(c.begin, " ", 3)
			status := 200
			if c.kind == dataset.IngestKind {
				status = 202
			}
			var started map[string]any
			if err := json.Unmarshal([]byte(s.ask(s.all, parts[0], parts[1], parts[2], status)), &started); err != nil {
				t.Fatal(err)
			}
			id, _ := started[c.member].(string)
			<-h.reached
			space := event.Space{Project: s.id, Environment: "production"}
			if counts, err := w.warehouse.CountRecords(t.Context(), space, []string{h.other}); err != nil || counts[h.other].Records == 0 {
				t.Errorf("the second table has %v (%v)", counts, err)
			}
			if got := records(); got != before {
				t.Errorf("meanwhile there is %s", got)
			}
			s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", more, 503)
			s.ask(s.all, "DELETE", "/v1/jobs/CORE/"+c.kind+"/"+id, "", 204)
			if err := jobs.Await(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if text := s.ask(s.all, "GET", "/v1/jobs/CORE/"+c.kind+"/"+id, "", 200); !strings.Contains(text, `"status":"cancelled"`) {
				t.Errorf("the job is %s", text)
			}
			if got := records() + schema(); got != before+shape {
				t.Errorf("there is %s, want %s", got, before+shape)
			}
			counts, err := w.warehouse.CountRecords(t.Context(), space, []string{h.first, h.other})
			if _, there := counts[h.other]; there || counts[h.first].Records != 2 || err != nil {
				t.Errorf("the tables are %v (%v)", counts, err)
			}
			s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", more, 200)
			s.ask(s.all, "PATCH", "/v1/datasets/CORE/QUOTES?existing=leave", `{"title":"free"}`, 200)
		})
	}
}
