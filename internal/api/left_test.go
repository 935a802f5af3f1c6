package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query"
)

// leaving is the warehouse of a world whose caller goes away as soon as it begins to work.
type leaving struct {
	query.Engine
	dataset.Records

	leave context.CancelFunc
}

func (l *leaving) Run(ctx context.Context, space event.Space, s query.Statement) (query.Rows, error) {
	l.leave()
	return l.Engine.Run(ctx, space, s)
}

func (l *leaving) ReadRecords(ctx context.Context, space event.Space, uid string, s dataset.Selection) ([]dataset.Record, bool, error) {
	l.leave()
	return l.Records.ReadRecords(ctx, space, uid, s)
}

func (l *leaving) WriteRecords(ctx context.Context, space event.Space, uid string, b dataset.Batch) (dataset.Written, error) {
	l.leave()
	return l.Records.WriteRecords(ctx, space, uid, b)
}

// Promise: whoever goes away before the answer pays for what was begun, and for all that was written; whoever goes away while it is
// being sent has paid for all of it.
func TestGoingAwayIsNotFree(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	s := newTables(t, w)
	s.define("QUOTES", "core")
	s.ask(s.all, "POST", "/v1/record/CORE/QUOTES", `[{"symbol":"A","date":"2026-01-01"},{"symbol":"A","date":"2026-01-02"},{"symbol":"A","date":"2026-01-03"}]`, 200)
	l := &leaving{Engine: w.warehouse, Records: w.warehouse}
	cfg := w.config()
	cfg.Registry = prometheus.NewRegistry()
	cfg.Query = query.New(query.Config{Engine: l, Now: w.clock.Now, TempDir: w.dir})
	cfg.Datasets = dataset.New(dataset.Config{Store: w.store, Records: l, Jobs: w.jobs, Live: new(dataset.Live), Now: w.clock.Now, NewID: newSuffix, Statements: lateStatements{w}})
	handler, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method, path, body string
		spent              int
	}{
		"a question":     {"POST", "/v1/query", `{"sql":"SELECT count(*) FROM range(100000000000) a WHERE a.range % 7 = 1"}`, 1},
		"records":        {"GET", "/v1/data/CORE/QUOTES/A?last=3", "", 1},
		"what is kept":   {"POST", "/v1/record/CORE/QUOTES", `[{"symbol":"B","date":"2026-01-01"},{"symbol":"B","date":"2026-01-02"}]`, 2},
		"a schema alone": {"GET", "/v1/data/CORE/QUOTES/A?schema=true", "", 0},
	} {
		key := s.limited(access.Limits{Credits: access.Quota{Most: 8}})
		ctx, leave := context.WithCancel(t.Context())
		l.leave = leave
		r := httptest.NewRequestWithContext(ctx, c.method, c.path, strings.NewReader(c.body))
		r.Host = w.site.address
		r.Header.Set("X-API-Key", key.text)
		handler.ServeHTTP(httptest.NewRecorder(), r)
		leave()
		if left := s.left(key); left != 8-c.spent {
			t.Errorf("%s: %d credits are left, want %d", name, left, 8-c.spent)
		}
	}
	key := s.limited(access.Limits{Credits: access.Quota{Most: 8}})
	l.leave = func() {}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/data/CORE/QUOTES/A?last=3", nil)
	r.Host = w.site.address
	r.Header.Set("X-API-Key", key.text)
	handler.ServeHTTP(gone{http.Header{}}, r)
	if left := s.left(key); left != 5 {
		t.Errorf("going away while it is sent: %d credits are left, want 5", left)
	}
}

// gone is the connection of somebody who has gone away.
type gone struct{ header http.Header }

func (g gone) Header() http.Header     { return g.header }
func (gone) WriteHeader(int)           {}
func (gone) Write([]byte) (int, error) { return 0, http.ErrHandlerTimeout }

// left is how many credits a key has left.
func (s *tables) left(key madeKey) (n int) {
	s.t.Helper()
	answer, body := s.w.site.call(s.t, "GET", "/v1/whoami", nil, "X-API-Key", key.text)
	if _, err := fmt.Sscan(answer.Header.Get("X-RateLimit-Remaining"), &n); err != nil {
		s.t.Fatalf("%v: %d %s", err, answer.StatusCode, body)
	}
	return n
}
