package workflow

import (
	"context"
	"errors"
	"time"
)

// Triggered says which deliveries of an environment are meant: those that a key triggered, From a time, and before Until.
type Triggered struct {
	Project, Environment string
	KeyID                string
	From, Until          time.Time // zero: no bound
}

// DropTriggered removes the deliveries that a key triggered, and tells how many; with dry it only counts them. What of them was still
// to be sent is not, unless it is on its way.
func (s *Service) DropTriggered(ctx context.Context, by Triggered, dry bool) (int, error) {
	if by.KeyID == "" {
		return 0, errors.New("workflow: deliveries that no key triggered")
	}
	return s.cfg.Store.DropTriggered(ctx, by, dry)
}
