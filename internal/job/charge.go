package job

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Charges keeps the credits that were set aside for a request for the job that it has begun, and settles them. It is a
// *gate.Gate.
type Charges interface {
	Hold(ctx context.Context, permit gate.Permit, name string) error
	SettleHeld(ctx context.Context, h gate.Held, credits int64) error
	HoldOnly(names []string)
}

// Price says what jobs of a kind cost.
type Price struct {
	Action access.Action   // of the requests that begin them
	Of     func(Job) int64 // credits of one that is over, however it ended
}

// Price has jobs of a kind charged. What was set aside for the request that begins one is held for it until it is over, over
// every restart, and then it is charged what it came to, once, before it is kept that it is over. It is for whoever puts the
// parts together, as Handle is.
func (r *Runner) Price(kind string, p Price) { r.prices[kind] = p }

// priced reports whether jobs of a kind are charged.
func (r *Runner) priced(kind string) bool {
	_, is := r.prices[kind]
	return is && r.cfg.Charges != nil
}

// hold keeps what was set aside for a job that is to be.
func (r *Runner) hold(ctx context.Context, permit gate.Permit, j Job) error {
	if !r.priced(j.Kind) {
		return nil
	}
	return r.cfg.Charges.Hold(ctx, permit, j.ID)
}

// release gives back what is held for a job that is not to be.
func (r *Runner) release(ctx context.Context, j Job) {
	if r.priced(j.Kind) {
		_ = r.settle(context.WithoutCancel(ctx), j, 0, 1) // what stays held is freed at the next start
	}
}

// settle charges what a job came to, with patience as keep has it: so often it is tried, or, with 0, until ctx is done.
func (r *Runner) settle(ctx context.Context, j Job, credits int64, tries int) error {
	if !r.priced(j.Kind) {
		return nil
	}
	held := gate.Held{Name: j.ID, KeyID: j.KeyID, Action: r.prices[j.Kind].Action}
	pause := time.NewTicker(keepPause)
	defer pause.Stop()
	for try := 1; ; try++ {
		err := r.cfg.Charges.SettleHeld(context.WithoutCancel(ctx), held, credits)
		if problem.Of(err) != problem.LimitsUnavailable || try == tries {
			return err
		}
		r.cfg.Log.Warn("what a job came to could not be charged yet", "job", j.ID, "error", err)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return err
		}
	}
}

// charge charges a job that is over. There is an error when that could not be written down: then it is not over.
func (r *Runner) charge(ctx context.Context, j *Job) error {
	if !r.priced(j.Kind) {
		return nil
	}
	err := r.settle(ctx, *j, r.prices[j.Kind].Of(*j), 0)
	if problem.Of(err) != problem.CreditsExhausted {
		return err
	}
	if p := problem.From(err); j.State == Succeeded {
		j.State, j.Code, j.Detail = Failed, p.Code, p.Detail
	}
	return nil
}

// Charge charges what the job comes to, for work that must not be given before. What a job was charged it is not charged again,
// neither after a restart nor at its end.
//
// Problems: credits_exhausted, limits_unavailable.
func (r *Run) Charge(credits int64) error {
	if err := r.runner.settle(r.ctx, r.Job(), credits, keepTries); err != nil {
		return fmt.Errorf("job: what it came to: %w", err)
	}
	return nil
}
