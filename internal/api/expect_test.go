package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// late is an engine whose fault shows when a statement runs.
type late struct{ panicking }

func (late) Analyze(context.Context, string) (query.Facts, error) { return query.Facts{}, nil }

// Promise: a question that breaks off by our fault costs nothing: what was set aside for it can be spent at once.
func TestPanicsAreFree(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	key := w.project(t).limited(access.Limits{Credits: access.Quota{Most: 1}})
	broken := w.variant(t, func(cfg *api.Config) { cfg.Query = query.New(query.Config{Engine: late{}, Now: w.clock.Now}) }, nil)
	ask := func(s *site) int {
		answer, _ := s.call(t, "POST", "/v1/query", strings.NewReader(`{"sql":"SELECT 1"}`), "X-API-Key", key.text)
		return answer.StatusCode
	}
	if first, then := ask(broken), ask(w.site); first != http.StatusInternalServerError || then != http.StatusOK {
		t.Errorf("a question that panics is answered %d, and the next, for the only credit, %d", first, then)
	}
}

// Promise: as much is set aside for a question as the same came to last: what a key's credits do not reach for is refused
// before it runs, also of many who ask at once, and no more is spent than there is. What comes to less gets the rest back.
func TestExpectedCredits(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	key := p.limited(access.Limits{Credits: access.Quota{Most: 14}})
	ask := func(sql string) (*http.Response, string) {
		return w.site.call(t, "POST", "/v1/query", strings.NewReader(`{"sql":"`+sql+`"}`), "X-API-Key", key.text)
	}
	left := func(want string) {
		t.Helper()
		answer, _ := w.site.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key.text)
		if got := answer.Header.Get("X-RateLimit-Remaining"); got != want {
			t.Errorf("%s credits are left, want %s", got, want)
		}
	}
	const dear = "SELECT 1 FROM range(4000)" // 5 credits
	if answer, body := ask(dear); answer.StatusCode != 200 {
		t.Fatal(answer.StatusCode, body)
	}
	left("9")
	var mu sync.Mutex
	got := map[string]int{}
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			answer, body := ask(dear)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(answer.StatusCode, " ran ", answer.Header.Get("Weir-Query-Id") != "")]++
			if answer.StatusCode != 200 && codeOf(body) != problem.CreditsExhausted {
				t.Errorf("%d %.200s", answer.StatusCode, body)
			}
		})
	}
	asking.Wait()
	if want := map[string]int{"200 ran true": 1, "402 ran false": 7}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	left("4")
	if answer, body := ask("SELECT 1"); answer.StatusCode != 200 {
		t.Errorf("what costs less: %d %s", answer.StatusCode, body)
	}
	left("3")
}

// Promise: what a statement came to with some parameters is not set aside for it with others.
func TestExpectedCreditsAreOfTheParameters(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	key := w.project(t).limited(access.Limits{Credits: access.Quota{Most: 7}})
	ask := func(rows int) int {
		body := fmt.Sprintf(`{"sql":"SELECT 1 FROM range(4000) AS t(n) WHERE n < $1","parameters":[%d]}`, rows)
		answer, _ := w.site.call(t, "POST", "/v1/query", strings.NewReader(body), "X-API-Key", key.text)
		return answer.StatusCode
	}
	for _, c := range []struct{ rows, want int }{{4000, 200}, {4000, 402}, {1, 200}, {1, 200}, {1, 402}} {
		if got := ask(c.rows); got != c.want {
			t.Errorf("%d rows: answered %d, want %d", c.rows, got, c.want)
		}
	}
}
