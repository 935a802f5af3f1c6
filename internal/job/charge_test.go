package job_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// purse is a job.Charges that outlives runners. What is held in it is settled once.
type purse struct {
	mu    sync.Mutex
	held  map[string]bool
	old   map[string]bool // what was held before the start
	paid  []string        // what was settled, with its price
	fails int             // so many calls find no store
	poor  bool            // there is nothing beyond what is held
}

func (p *purse) call() error {
	if p.fails--; p.fails >= 0 {
		return problem.New(problem.LimitsUnavailable, "Nothing can be counted.")
	}
	return nil
}

func (p *purse) Hold(_ context.Context, _ gate.Permit, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.call(); err != nil {
		return err
	}
	p.held[name] = true
	return nil
}

func (p *purse) SettleHeld(_ context.Context, h gate.Held, credits int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.call(); err != nil {
		return err
	}
	if !p.held[h.Name] {
		return nil
	}
	delete(p.held, h.Name)
	p.paid = append(p.paid, fmt.Sprint(h.Name, " ", h.Action == access.WriteDatasets, " ", credits))
	if p.poor {
		return problem.New(problem.CreditsExhausted, "There are not so many.")
	}
	return nil
}

func (p *purse) HoldOnly(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.old {
		if !slices.Contains(names, name) {
			delete(p.held, name)
		}
	}
}

func (p *purse) fail(times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = times
}

func (p *purse) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.paid, ", ")
}

// charging opens a runner over a purse, whose jobs cost what their places say, or if they failed 1.
func (h *house) charging(p *purse, kinds ...string) (*job.Runner, func()) {
	p.old = maps.Clone(p.held)
	return h.openWith(func(cfg *job.Config) { cfg.Charges = p }, func(r *job.Runner) {
		for _, kind := range kinds {
			r.Price(kind, job.Price{Action: access.WriteDatasets, Of: func(j job.Job) int64 {
				if j.State != job.Succeeded {
					return 1
				}
				return int64(len(j.Place))
			}})
		}
	})
}

// Promise: a job is charged once, when it is over and however it ends, in full; one that no price is set for is not.
func TestJobsAreChargedOnce(t *testing.T) {
	h, p := newHouse(t), &purse{held: map[string]bool{}}
	keep := func(_ context.Context, run *job.Run) error {
		return run.Keep(job.Progress{}, jsontext.Value(`"12345"`))
	}
	h.kinds["good"], h.kinds["free"] = keep, keep
	h.kinds["early"] = func(ctx context.Context, run *job.Run) error { return errors.Join(run.Charge(3), keep(ctx, run)) }
	h.kinds["bad"] = func(context.Context, *job.Run) error { return errors.New("secret") }
	h.kinds["broken"] = func(context.Context, *job.Run) error { panic("broken") }
	r, stop := h.charging(p, "good", "early", "bad", "broken")
	defer stop()
	var want []string
	for kind, credits := range map[string]int{"good": 7, "early": 3, "bad": 1, "broken": 1, "free": 0} {
		id := h.submit(r, job.Wanted{Kind: kind}).ID
		h.ended(r, id)
		if credits > 0 {
			want = append(want, fmt.Sprint(id, " true ", credits))
		}
	}
	if got := p.said(); got != strings.Join(want, ", ") || len(p.held) != 0 {
		t.Errorf("%s, and not %s; held %v", got, want, p.held)
	}
}

// Promise: what is set aside stays so while a job goes on over a restart, and the job is charged then; a job that is not begun
// again, since its key is good no more, is charged for what it came to before; what is held for no job is free.
func TestJobsAreChargedAfterARestart(t *testing.T) {
	for _, stands := range []bool{true, false} {
		h, p := newHouse(t), &purse{held: map[string]bool{"job_never": true}}
		begun := make(chan struct{}, 9)
		h.kinds["long"] = func(ctx context.Context, run *job.Run) error {
			if run.Job().Starts > 2 {
				return nil
			}
			err := run.Keep(job.Progress{}, jsontext.Value(`"12345"`))
			begun <- struct{}{}
			<-ctx.Done()
			return errors.Join(err, ctx.Err())
		}
		id := ""
		for n := range 2 {
			r, stop := h.charging(p, "long")
			if n == 0 {
				id = h.submit(r, job.Wanted{Kind: "long"}).ID
			}
			<-begun
			stop()
			if p.said() != "" || !p.held[id] || len(p.held) != 1 {
				t.Errorf("%s, held %v", p.said(), p.held)
			}
		}
		if !stands {
			h.stands = func(job.Job) error { return problem.New(problem.KeyNotAccepted, "It is revoked.") }
		}
		r, stop := h.charging(p, "long")
		_ = r.Await(t.Context(), id)
		for !h.over(id) {
			_ = r.Await(t.Context(), id)
		}
		stop()
		if got, want := p.said(), fmt.Sprint(id, " true ", map[bool]int{true: 7, false: 1}[stands]); got != want || len(p.held) != 0 {
			t.Errorf("%s, and not %s; held %v", got, want, p.held)
		}
	}
}

// over reports whether a job is kept as over.
func (h *house) over(id string) bool {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	return h.store.jobs[id].State.Over()
}

// Promise: a job that cannot be charged just now is charged as soon as that can be, and is not over before; one that could not be
// while the server was stopped is charged at the next start. One that is charged and not kept as over is not charged again.
func TestJobsWaitToBeCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p, ends := newHouse(t), &purse{held: map[string]bool{}}, make(chan struct{}, 9)
		h.kinds["good"] = func(_ context.Context, run *job.Run) error {
			<-ends
			return run.Keep(job.Progress{}, jsontext.Value(`"12345"`))
		}
		r, stop := h.charging(p, "good")
		p.fail(1)
		if _, err := r.Submit(t.Context(), h.permit, job.Wanted{Kind: "good"}); problem.Of(err) != problem.LimitsUnavailable || len(h.store.jobs) != 0 {
			t.Errorf("%v, and there are %v", err, h.store.jobs)
		}
		h.store.fail = errors.New("no")
		if _, err := r.Submit(t.Context(), h.permit, job.Wanted{Kind: "good"}); err == nil || len(p.held) != 0 {
			t.Errorf("%v, held %v", err, p.held)
		}
		h.store.fail, p.paid = nil, nil
		first := h.submit(r, job.Wanted{Kind: "good"})
		p.fail(5)
		ends <- struct{}{}
		synctest.Wait()
		if h.over(first.ID) || p.said() != "" {
			t.Errorf("over %v, paid %s", h.over(first.ID), p.said())
		}
		h.ended(r, first.ID)
		if want := first.ID + " true 7"; p.said() != want || !h.over(first.ID) {
			t.Errorf("%s, and not %s", p.said(), want)
		}
		p.paid = nil
		second := h.submit(r, job.Wanted{Kind: "good"})
		p.fail(1 << 20)
		for range 3 {
			ends <- struct{}{}
		}
		<-time.After(5 * time.Second)
		stop()
		p.fail(0)
		for range 2 { // the second time it is charged, and not kept as over
			_, stop = h.charging(p, "good")
			<-time.After(5 * time.Second)
			stop()
			if want := second.ID + " true 7"; p.said() != want || !h.over(second.ID) {
				t.Errorf("%s, and not %s", p.said(), want)
			}
			j := h.store.jobs[second.ID]
			j.State = job.Running
			h.store.jobs[second.ID] = j
		}
	})
}

// Promise: a job that comes to more than there is fails, though its work was done.
func TestJobsThatCannotBePaidFail(t *testing.T) {
	h, p := newHouse(t), &purse{held: map[string]bool{}, poor: true}
	h.kinds["good"] = func(context.Context, *job.Run) error { return nil }
	h.kinds["early"] = func(_ context.Context, run *job.Run) error { return run.Charge(9) }
	r, stop := h.charging(p, "good", "early")
	defer stop()
	for kind := range h.kinds {
		if j := h.ended(r, h.submit(r, job.Wanted{Kind: kind}).ID); j.State != job.Failed || j.Code != problem.CreditsExhausted || j.Detail == "" {
			t.Errorf("%s: %+v", kind, j)
		}
	}
}
