package workflow

import (
	"context"

	"github.com/weir-analytics/weir/internal/event"
)

// Forget removes the deliveries that a deletion is of, and tells how many: those that a key triggered, or that are about one of a
// person's ids or name one in what is sent, and what targets answered that names one. What of them was still to be sent is not,
// unless it is on its way.
func (s *Service) Forget(ctx context.Context, t event.Traces) (int64, error) {
	return s.cfg.Outbox.DropDeliveries(ctx, t, false)
}

// Count counts what Forget would remove.
func (s *Service) Count(ctx context.Context, t event.Traces) (int64, error) {
	return s.cfg.Outbox.DropDeliveries(ctx, t, true)
}
