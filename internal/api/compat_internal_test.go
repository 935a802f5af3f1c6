package api

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/sync/semaphore"

	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a context that a batch has for all its calls takes of the memory for bodies what the calls come to with it, unless that is
// little, until the request is answered; where there is not so much, the batch is refused for now.
func TestAContextOfABatchTakesMemory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		context, items int
		held           int64
		code           problem.Code
	}{
		{100, 10, 0, ""},
		{1000, 100, 200_000, ""},
		{20_000, 20, 800_000, ""},
		{20_000, 40, 0, problem.Unavailable},
	} {
		body := fmt.Sprintf(`{"batch":[%s],"context":{"x":"%s"}}`,
			strings.TrimSuffix(strings.Repeat(`{"type":"page"},`, c.items), ","), strings.Repeat("x", c.context-len(`{"x":""}`)))
		rq := &request{a: &API{}, r: httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/batch", strings.NewReader(body)), row: &row{}}
		rq.a.bodies.memory = semaphore.NewWeighted(4 * bodyStep)
		batch, err := readBatchOf(rq, compat.SegmentBatch())
		if (err == nil) != (c.code == "") || err != nil && problem.Of(err) != c.code || rq.reserved != c.held {
			t.Errorf("%d bytes for %d calls: %d items, %d held, %v", c.context, c.items, len(batch.Items), rq.reserved, err)
		}
		if rq.giveBack(); !rq.a.bodies.memory.TryAcquire(4 * bodyStep) {
			t.Errorf("%d bytes for %d calls: not all is given back", c.context, c.items)
		}
	}
}

// Promise: of HTTP Basic the user name is read and nothing else, and what cannot be read is refused.
func FuzzUserName(f *testing.F) {
	for _, seed := range []string{"cGs6", "cGs6c2VjcmV0", "cGs=", "", "!", " cGs6 "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := userName(text)
		raw, wrong := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		readable := wrong == nil && strings.Contains(string(raw), ":")
		if readable != (err == nil) || err == nil && (strings.Contains(name, ":") || !strings.HasPrefix(string(raw), name+":")) {
			t.Errorf("%q is read as %q, %v", text, name, err)
		}
	})
}
