package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/sync/semaphore"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a body that is read before it is known whose it is takes only as much of the memory for bodies as has come of
// it, whatever it says of its length, and none when it is small; what does not fit is refused and holds nothing longer.
func TestEarlyBodiesTakeWhatHasCome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		come, said int64
		held       int64
		code       problem.Code
	}{
		{1 << 10, -1, 0, ""},
		{1 << 10, 500 << 10, 0, ""},
		{100 << 10, -1, bodyStep, ""},
		{500 << 10, -1, 2 * bodyStep, ""},
		{600 << 10, -1, 2 * bodyStep, problem.BodyTooLarge},
		{0, 600 << 10, 0, problem.BodyTooLarge},
	} {
		rq := &request{a: &API{}, r: httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", int(c.come))))}
		rq.a.bodies.memory = semaphore.NewWeighted(4 * bodyStep)
		rq.r.ContentLength = c.said
		raw, err := rq.early(writeKeySize)
		code := problem.Code("")
		if err != nil {
			code = problem.Of(err)
		}
		if code != c.code || code == "" && int64(len(raw)) != c.come || rq.reserved != c.held {
			t.Errorf("%d bytes of %d: %d read, %d held, %v", c.come, c.said, len(raw), rq.reserved, err)
		}
		if rq.giveBack(); !rq.a.bodies.memory.TryAcquire(4 * bodyStep) {
			t.Errorf("%d bytes of %d: not all is given back", c.come, c.said)
		}
	}
}
