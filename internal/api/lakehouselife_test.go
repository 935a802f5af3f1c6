package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/room"
)

// Promise: a query of the lakehouse that runs is cancelled by the name that its sender gave it, under the key that asked and no other.
func TestQueriesOfTheLakehouseAreCancelled(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key, other := p.key("secret live sql:run").text, p.key("secret live sql:run").text
	var slow struct{ SQL string }
	if err := json.Unmarshal([]byte(slowSQL), &slow); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string)
	go func() {
		_, body := w.site.call(t, "POST", "/query", strings.NewReader(`{"statement":"`+slow.SQL+`","query_id":"mine"}`), "X-API-Key", key)
		ended <- body
	}()
	w.site.running(t, key)
	_, log := w.site.call(t, "GET", "/query/mine", nil, "X-API-Key", key)
	if !strings.Contains(log, `"end_time":null`) || !strings.Contains(log, `"percentage":0`) {
		t.Errorf("while it runs it is %s", log)
	}
	if status, code := w.site.asks(t, other, "DELETE", "/query/mine", ""); status != http.StatusNotFound {
		t.Errorf("another key is answered %d %s", status, code)
	}
	if _, body := w.site.call(t, "DELETE", "/query/mine?session_id=any", nil, "X-API-Key", key); !strings.Contains(body, `"cancelled":true`) {
		t.Errorf("it is told %s", body)
	}
	if body := <-ended; codeOf(body) != problem.QueryCancelled {
		t.Errorf("the asker is told %s", body)
	}
	if _, log = w.site.call(t, "GET", "/query/mine", nil, "X-API-Key", key); !strings.Contains(log, `"error":"query_cancelled: `) {
		t.Errorf("when it is over it is %s", log)
	}
}

// Promise: what the lakehouse is asked counts as requests do, and what is written there costs what it does elsewhere.
func TestTheLakehouseIsCounted(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := newTables(t, w)
	var loaded struct {
		TaskID string `json:"task_id"`
	}
	if err := json.Unmarshal([]byte(s.ask(s.all, "POST", "/upload?table=A&mode=create", "symbol,n\na,1\n", 200)), &loaded); err != nil {
		t.Fatal(err)
	}
	s.policy(access.Policy{Limits: access.Limits{Daily: access.Quota{Most: 1}}})
	w.site.asks(t, s.all, "GET", "/v1/whoami", "") // uses it up
	for _, to := range [][2]string{{"GET", "/query/any"}, {"DELETE", "/query/any"}} {
		s.ask(s.all, to[0], to[1], "", 404) // which is decided first
	}
	s.ask(s.all, "GET", "/tasks/"+loaded.TaskID, "", 429)

	s = newTables(t, w)
	s.policy(access.Policy{Limits: access.Limits{Credits: access.Quota{Most: 5}}})
	s.ask(s.all, "POST", "/upload?table=A&mode=create", "symbol,n\na,1\n", 200)
	s.ask(s.all, "POST", "/append?table=A", `[{"symbol":"b","n":1},{"symbol":"c"}]`, 200)
	s.ask(s.all, "POST", "/append?table=A", `[{"symbol":"d","n":"many"},{"n":1}]`, 200) // nothing is written, which costs nothing
	s.ask(s.all, "POST", "/append?table=A", `[{"symbol":"e"},{"symbol":"f"},{"symbol":"g"}]`, 402)
	s.ask(s.all, "POST", "/append?table=A", `[{"symbol":"e"},{"symbol":"f"}]`, 200)
	s.ask(s.all, "POST", "/upsert?table=A&primary_key=symbol", "symbol,n\na,1\n", 402)
}

// Promise: queries of the lakehouse over the limit, or of a key that has asked one, are told so by the name that was given.
func TestQueriesOfTheLakehouseAreCounted(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	p.policy(access.Policy{Limits: access.Limits{Daily: access.Quota{Most: 1}}})
	key := p.key("secret live sql:run").text
	if status, code := w.site.asks(t, key, "POST", "/query", `{"statement":"SELECT 1","query_id":"one"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, code)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if status, code := w.site.asks(t, key, method, "/query/one", ""); status != http.StatusTooManyRequests || code != problem.RateLimited {
			t.Errorf("%s: %d %s", method, status, code)
		}
	}
}

// Promise: rows and files of the lakehouse do not take the last of the disk; and a queue that is full, or time that is over, is told to
// who asks there as elsewhere.
func TestTheLakehouseWithoutRoom(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := newTables(t, w)
	s.define("QUOTES", "core")
	kept := room.Kept{Reserve: 1000, Free: func() (int64, error) { return 1010, nil }}
	full := w.variant(t, func(c *api.Config) {
		c.Datasets = dataset.New(dataset.Config{Store: w.store, Records: w.warehouse, Jobs: w.jobs, Live: new(dataset.Live), Now: w.clock.Now, NewID: newSuffix, Room: kept.For})
	}, func(*http.Server) {})
	for _, path := range []string{"/append?table=QUOTES", "/upload?table=QUOTES&mode=append", "/upsert?table=QUOTES&primary_key=symbol"} {
		if status, code := full.asks(t, s.all, "POST", path, `[{"symbol":"A","date":"2026-01-01"}]`); status != http.StatusInsufficientStorage || code != problem.StorageFull {
			t.Errorf("%s answered %d %s", path, status, code)
		}
	}
	for _, err := range []error{query.TooManyWaiting(4, 64), query.TooSlow(1)} {
		busy := w.variant(t, func(c *api.Config) {
			c.Query = query.New(query.Config{Engine: refusing{err}, Now: w.clock.Now, TempDir: w.dir})
		}, nil)
		if status, code := busy.asks(t, s.all, "POST", "/query", `{"statement":"SELECT 1"}`); code != problem.Of(err) || status != code.Row().Status {
			t.Errorf("%v answered %d %s", err, status, code)
		}
	}
}
