package api_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// slowSQL runs until it is stopped.
const slowSQL = `{"sql":"SELECT count(*) FROM range(100000000000) a WHERE a.range % 7 = 1"}`

// Promise: a query whose asker waits can be cancelled by its name, which the history tells, and the asker is told.
func TestAQueryThatIsWaitedForCanBeCancelled(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live sql:run").text
	type told struct {
		answer *http.Response
		body   string
	}
	ended := make(chan told)
	go func() {
		answer, body := w.site.call(t, "POST", "/v1/query", strings.NewReader(slowSQL), "X-API-Key", key)
		ended <- told{answer, body}
	}()
	id := w.site.running(t, key)
	if answer, body := w.site.call(t, "DELETE", "/v1/queries/"+id, nil, "X-API-Key", key); answer.StatusCode != http.StatusNoContent {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	if got := <-ended; codeOf(got.body) != problem.QueryCancelled || got.answer.Header.Get("Weir-Query-Id") != id {
		t.Errorf("the asker is told of %s: %s", got.answer.Header.Get("Weir-Query-Id"), got.body)
	}
}

// running is the name of the one run of a key that is under way, when there is one.
func (s *site) running(t *testing.T, key string) string {
	t.Helper()
	for range 200 {
		_, body := s.call(t, "GET", "/v1/queries?status=running", nil, "X-API-Key", key)
		var list struct{ Data []struct{ ID string } }
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Data) == 1 {
			return list.Data[0].ID
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatal("it does not run")
	return ""
}

// status is what became of a run, when it is over.
func (s *site) status(t *testing.T, key, id string) (status, code string) {
	t.Helper()
	for range 200 {
		_, body := s.call(t, "GET", "/v1/queries/"+id, nil, "X-API-Key", key)
		var run struct{ Status, Code string }
		if err := json.Unmarshal([]byte(body), &run); err != nil {
			t.Fatal(err)
		}
		if run.Status != "running" {
			return run.Status, run.Code
		}
		<-time.After(20 * time.Millisecond)
	}
	return "running", ""
}

// submit asks in the background.
func (s *site) submit(t *testing.T, key, question string) string {
	t.Helper()
	answer, body := s.call(t, "POST", "/v1/queries", strings.NewReader(question), "X-API-Key", key)
	id, there := strings.CutPrefix(answer.Header.Get("Location"), "/v1/queries/")
	if answer.StatusCode != http.StatusAccepted || !there {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	return id
}

// Promise: a query in the background ends soon after its key is revoked, and its result is its own until then.
func TestBackgroundQueriesKeepToTheirKey(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key, auditor := p.key("secret live sql:run"), p.key("secret live sql:run audit:read")
	slow, quick := w.site.submit(t, key.text, slowSQL), w.site.submit(t, key.text, `{"sql":"SELECT 1 AS one"}`)
	if status, _ := w.site.status(t, auditor.text, quick); status != "succeeded" {
		t.Fatal(status)
	}
	fetch := func(status int, holds string) {
		t.Helper()
		answer, body := w.site.call(t, "GET", "/v1/queries/"+quick+"/result", nil, "X-API-Key", key.text)
		if answer.StatusCode != status || !strings.Contains(body, holds) {
			t.Errorf("%d %s", answer.StatusCode, body)
		}
	}
	fetch(http.StatusOK, "[1]")
	fetch(http.StatusOK, "[1]")
	w.site.call(t, "DELETE", "/v1/queries/"+quick, nil, "X-API-Key", key.text)
	fetch(http.StatusGone, "result_gone")
	p.end(key, "revoked")
	if status, code := w.site.status(t, auditor.text, slow); status != "failed" || code != string(problem.KeyNotAccepted) {
		t.Errorf("%s, %s", status, code)
	}
}

// Promise: looking at queries and cancelling them counts as requests do, and what a query in the background came to is
// charged to its key.
func TestQueriesAreCounted(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	p.policy(access.Policy{Limits: access.Limits{Daily: access.Quota{Most: 1}}})
	key := p.key("secret live sql:run").text
	id := w.site.submit(t, key, `{"sql":"SELECT 1"}`)
	for _, to := range [][2]string{{"GET", ""}, {"GET", "/result"}, {"DELETE", ""}} {
		if answer, body := w.site.call(t, to[0], "/v1/queries/"+id+to[1], nil, "X-API-Key", key); answer.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%v: %d %s", to, answer.StatusCode, body)
		}
	}
	p = w.project(t)
	p.policy(access.Policy{Limits: access.Limits{Credits: access.Quota{Most: 3}}})
	key = p.key("secret live sql:run").text
	id = w.site.submit(t, key, `{"sql":"SELECT * FROM range(2500)"}`) // 3 credits
	if status, code := w.site.status(t, key, id); status != "succeeded" {
		t.Fatal(status, code)
	}
	if answer, body := w.site.call(t, "POST", "/v1/queries", strings.NewReader(`{"sql":"SELECT 1"}`), "X-API-Key", key); codeOf(body) != problem.CreditsExhausted {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	p = w.project(t)
	p.policy(access.Policy{Limits: access.Limits{Credits: access.Quota{Most: 2}}})
	key = p.key("secret live sql:run").text
	id = w.site.submit(t, key, `{"sql":"SELECT * FROM range(2500)"}`)
	if status, code := w.site.status(t, key, id); status != "failed" || code != string(problem.CreditsExhausted) {
		t.Errorf("%s, %s", status, code)
	}
}

// Promise: the run of a metric is cancelled like any other, by its name, wherever it is run from.
func TestARunOfAMetricCanBeCancelled(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	const sql = "SELECT count(*) AS n FROM range(100000000000) a WHERE a.range % 7 = 1"
	definition := `{"sql":"` + sql + `"}`
	id := p.metric("slow", definition)
	key := p.key("secret live metrics:write metrics:run sql:run").text
	for path, body := range map[string]string{
		"/v1/metrics/" + id + "/query": "{}",
		"/v1/metrics/test":             `{"definition":` + definition + `}`,
		"/metrics/query/" + id:         "{}",
		"/metrics/query":               `{"encodedQuery":"` + base64.StdEncoding.EncodeToString([]byte(sql)) + `"}`,
	} {
		ended := make(chan string)
		go func() {
			_, body := w.site.call(t, "POST", path, strings.NewReader(body), "X-API-Key", key, "Content-Type", "application/json")
			ended <- body
		}()
		run := w.site.running(t, key)
		if answer, body := w.site.call(t, "DELETE", "/v1/queries/"+run, nil, "X-API-Key", key); answer.StatusCode != http.StatusNoContent {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
		if body := <-ended; codeOf(body) != problem.QueryCancelled {
			t.Errorf("%s: the asker is told %s", path, body)
		}
	}
}
