package deletion

import (
	"context"
	"time"
)

// A clock that is wrong makes everything old. It is not known which clock is right, but a wrong one comes with a leap: of the
// clock while the server runs, or of what it shows when the server, or the machine, is started. So what becomes old is left
// alone until the clock has gone on evenly for a day, which is time for whoever keeps the server to see what the log says.

// The bounds on an even clock.
const (
	leap   = 24 * time.Hour // it does not go on further from one look, or one run of the server, to the next
	settle = 24 * time.Hour // and has done so this long
)

// Went is how the clock went.
type Went struct {
	Since time.Time // it goes on evenly since
	Seen  time.Time // it was looked at last; zero: never
}

// Clock keeps how the clock went, over restarts.
type Clock interface {
	LastWent(ctx context.Context) (Went, error)
	KeepWent(ctx context.Context, w Went) error
}

// next is how the clock went when it shows a time, and whether it leapt, or was never seen.
func (w Went) next(now time.Time) (Went, bool) {
	leapt := w.Seen.IsZero() || now.Sub(w.Seen) > leap || now.Before(w.Since)
	if leapt {
		w.Since = now
	}
	w.Seen = now
	return w, leapt
}

// Even reports whether the clock has gone on evenly for a day, so that what has become old by it may be deleted. It is to be
// asked at least every few hours; how the clock goes is found out by asking.
func (s *Service) Even(ctx context.Context) (bool, error) {
	if s.cfg.Clock == nil {
		return true, nil
	}
	s.looking.Lock()
	defer s.looking.Unlock()
	before, err := s.cfg.Clock.LastWent(ctx)
	if err != nil {
		return false, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	went, leapt := before.next(now)
	if leapt && !before.Seen.IsZero() {
		s.cfg.Log.Warn("the clock leapt, or the server did not run: nothing is deleted for its age before it has gone on evenly for a day",
			"from", before.Seen, "to", now, "not_before", now.Add(settle))
	}
	if err := s.cfg.Clock.KeepWent(ctx, went); err != nil {
		return false, err
	}
	return now.Sub(went.Since) >= settle, nil
}
