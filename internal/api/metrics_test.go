package api_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
)

// asking is a world's API over another engine.
func asking(t *testing.T, w *world, engine query.Engine) *site {
	return w.variant(t, func(cfg *api.Config) {
		cfg.Query = query.New(query.Config{Engine: engine, Now: w.clock.Now, TempDir: w.dir})
		cfg.Metrics = saved.New(saved.Config{Store: w.store, Query: query.Noted{Service: cfg.Query, Runs: cfg.Runs}, Now: w.clock.Now, NewID: newAudit})
	}, nil)
}

// Promise: a metric that meets a ceiling says which, and one whose check meets one is not saved.
func TestCeilingsOfMetrics(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key, id := p.key("secret live sql:run metrics:run metrics:write").text, p.metric("counted", `{"sql":"SELECT 1"}`)
	for _, fault := range []*problem.Error{
		problem.New(problem.QueryQueueFull, "Too many queries are waiting.").After(time.Second), problem.New(problem.QueryTimeout, "The query was stopped."),
	} {
		s := asking(t, w, refusing{fault})
		for _, c := range []struct{ method, path, body string }{
			{"POST", "/v1/metrics/" + id + "/query", `{}`}, {"POST", "/v1/metrics/test", `{"definition":{"sql":"SELECT 1"}}`},
			{"POST", "/v1/grafana-metrics/production/query", `{"range":{"from":"2026-01-31T00:00:00Z","to":"2026-02-01T00:00:00Z"},"targets":[{"target":"` + id + `"}]}`},
			{"POST", "/v1/grafana-metrics/production/variable", `{"range":{"from":"2026-01-31T00:00:00Z","to":"2026-02-01T00:00:00Z"},"payload":{"target":"` + id + `"}}`},
			{"POST", "/metrics/query/" + id, `{}`}, {"POST", "/metrics/query", `{"encodedQuery":"U0VMRUNUIDE="}`},
			{"PUT", "/v1/metrics/new", `{"definition":{"sql":"SELECT 1"}}`}, {"POST", "/v1/metrics/" + id + "/publish", `{"version":1}`},
		} {
			answer, body := s.call(t, c.method, c.path, strings.NewReader(c.body), "X-API-Key", key)
			if answer.StatusCode != fault.Status() || codeOf(body) != fault.Code {
				t.Errorf("%s %s: %d %s", c.method, c.path, answer.StatusCode, body)
			}
		}
	}
	if answer, body := w.site.call(t, "POST", "/v1/metrics/new/query", strings.NewReader(`{}`), "X-API-Key", key); answer.StatusCode != http.StatusNotFound {
		t.Errorf("what could not be checked was saved: %d %s", answer.StatusCode, body)
	}
}

// Promise: a metric that does not fit the tables any more says so when it is run, and is no empty answer.
func TestMetricsThatDoNotFit(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key, id := p.key("secret live metrics:run").text, p.metric("counted", `{"sql":"SELECT event FROM events"}`)
	gone := refusing{problem.New(problem.InvalidSQL, `line 1, column 8: Referenced column "event" not found`)}
	answer, body := asking(t, w, gone).call(t, "POST", "/v1/metrics/"+id+"/query", strings.NewReader(`{}`), "X-API-Key", key)
	if answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "Version 1 of the metric counted does not fit the tables that this key sees: line 1, column 8: ") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

// Promise: a project that has as many metrics as it can have is told so.
func TestTooManyMetrics(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	for n := range saved.MaxMetrics {
		_, err := w.store.ChangeMetric(t.Context(), p.id, fmt.Sprint("m", n), func(c *saved.Change) (*audit.Entry, error) {
			c.CreatedAt, c.UpdatedAt = w.clock.Now(), w.clock.Now()
			return &audit.Entry{ID: rand.Text(), Project: p.id}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	answer, body := w.site.call(t, "PUT", "/v1/metrics/more", strings.NewReader(`{"definition":{"sql":"SELECT 1"}}`), "X-API-Key", p.key("secret live metrics:write").text)
	if answer.StatusCode != http.StatusConflict || codeOf(body) != problem.Conflict {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}
