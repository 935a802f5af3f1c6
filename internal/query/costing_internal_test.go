package query

import (
	"context"
	"errors"
	"testing"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: what records of the class premium came to is paid also by who breaks the question off, however that is told; what
// ends because the server does is free.
func TestWhatIsBrokenOffIsPaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		cause error
		want  int64
	}{
		{"the asker went away", context.Canceled, 30},
		{"it was cancelled", errCancelled(), 30},
		{"it took too long", problem.New(problem.QueryTimeout, "too long"), 30},
		{"the server stops", errStopping(), 0},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(c.cause)
		err := new(Service).costing(ctx, event.Space{}, &Statement{}, fault(ctx, errors.New("it broke off")), 30)
		if got := Spent(reason(ctx, err)); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if Spent(Costing(nil, 30)) != 0 || Costing(nil, 30) != nil {
		t.Error("an error was made of none")
	}
}
