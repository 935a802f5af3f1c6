package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: a batch with something good in it that is over a limit is told so, whatever else is in it: a client that heard of a
// bad item instead would not send the good ones again.
func TestALimitIsNotHiddenByABadItem(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	key := w.project(t).limited(access.Limits{Rate: access.Rate{PerSecond: 1, Burst: 1}})
	for i, batch := range []string{`[{"event":5},{"event":"good"}]`, `[{"event":"good"},{"event":5}]`} {
		w.clock.Advance(2 * time.Second)
		for _, want := range []int{200, 429} {
			answer, text := w.site.call(t, "POST", "/track", strings.NewReader(batch), "X-API-Key", key.text, "Content-Type", "application/json")
			if answer.StatusCode != want {
				t.Errorf("batch %d: %d instead of %d: %s", i, answer.StatusCode, want, text)
			}
		}
	}
}

// Promise: every item of a batch has its verdict, also when none is accepted; the answer itself is about the first.
func TestEveryItemOfARefusedBatchHasItsVerdict(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).limited(access.Limits{})
	for _, c := range []struct{ path, batch, want string }{
		{"/track", `[{"event":5},{"event":"a","distinct_id":"guest"}]`, "invalid_field 422 0 invalid_field 1 invalid_field"},
		{"/track", `[{"event":"a","environment":"none"},{"event":5},{"event":"b","environment":"none"}]`,
			"environment_not_found 422 0 environment_not_found 1 invalid_field 2 environment_not_found"},
		{"/track", `[{"event":5}]`, "invalid_field 422"},
		{"/v1/batch", `{"batch":[{"type":"none"},{"type":"track","event":5}]}`, "invalid_field 400 0 invalid_field 1 invalid_field"},
	} {
		answer, text := w.site.call(t, "POST", c.path, strings.NewReader(c.batch), "X-API-Key", key.text, "Content-Type", "application/json")
		var told struct {
			Code     string
			Rejected []struct {
				Index        int
				Code, Detail string
			}
		}
		if err := json.Unmarshal([]byte(text), &told); err != nil || answer.StatusCode < http.StatusBadRequest {
			t.Fatalf("%d %s", answer.StatusCode, text)
		}
		got := fmt.Sprint(told.Code, " ", answer.StatusCode)
		for _, r := range told.Rejected {
			got += fmt.Sprint(" ", r.Index, " ", r.Code)
			if r.Detail == "" {
				t.Errorf("item %d has no reason: %s", r.Index, text)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q instead of %q", c.batch, got, c.want)
		}
	}
}
