package workflow

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// How much is sent at the same time.
const (
	perTarget  = 4 // of a project
	perProject = 32
	atOnce     = 128
	dueAtOnce  = 4 * atOnce
	mostNamed  = 500 // lanes that are left out by name
)

// How soon the outbox is looked at again when it cannot be read, or nothing more can be begun, and how often at the least; and
// how often it is tidied.
const (
	lookEvery = time.Second
	lookLeast = 10 * time.Minute
	tidyEvery = 10 * time.Minute
	holdOff   = time.Minute // after the store could not be told what came of an attempt
)

// lane is what is known of a lane while something is under way to it, or it has failed last.
type lane struct {
	flying int
	fails  int       // attempts in a row that got no answer of success
	until  time.Time // it is left alone
}

// Stats count since the start.
type Stats struct {
	Triggered, Replayed int64
	Attempts            int64
	Delivered, Failed   int64 // deliveries that ended so
	Refused             int64 // attempts that were not made, for the address
	Disabled            int64 // workflows, by their targets
	Flying              int64 // attempts under way
	Resting             int64 // targets that are left alone for a while
}

// Stats tells them.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.figures
	f.Flying = int64(len(s.flying))
	now := s.cfg.Now()
	for _, l := range s.lanes {
		if l.until.After(now) {
			f.Resting++
		}
	}
	return f
}

func (s *Service) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.figures)
}

// Fault says why nothing can be sent just now: what waits cannot be read. It is nil when it can.
func (s *Service) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// notify has the outbox looked at soon.
func (s *Service) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends deliveries until ctx is done, and returns when nothing is under way any more. What is cut short is sent again by
// the next Run.
func (s *Service) Run(ctx context.Context) {
	var flights sync.WaitGroup
	defer flights.Wait()
	look, tidy := time.NewTimer(0), time.NewTicker(tidyEvery)
	defer look.Stop()
	defer tidy.Stop()
	for {
		wait, err := s.dispatch(ctx, &flights)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("what is to be sent cannot be read", "error", err)
		}
		look.Reset(wait)
		select {
		case <-s.wake:
		case <-look.C:
		case <-tidy.C:
			s.tidy(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// dispatch begins whatever may be begun by now, and says when to look again.
func (s *Service) dispatch(ctx context.Context, flights *sync.WaitGroup) (wait time.Duration, err error) {
	now := s.cfg.Now()
	except, rested, room := s.busy(now)
	if !room {
		return lookEvery, nil
	}
	due, next, err := s.cfg.Outbox.Due(ctx, now, perTarget, dueAtOnce, except)
	s.mu.Lock()
	s.down = err
	s.mu.Unlock()
	if err != nil {
		return lookEvery, err
	}
	for i := range due {
		if s.takeOff(&due[i], now) {
			flights.Go(func() {
				wait := s.attempt(ctx, &due[i])
				s.land(&due[i], wait)
			})
		}
	}
	wait = lookLeast
	for _, at := range [...]time.Time{next, rested} {
		if !at.IsZero() {
			wait = min(wait, max(at.Sub(now), 0))
		}
	}
	return wait, nil
}

// busy names the lanes that nothing more may be sent to just now, when the first of those has rested that are left alone, and
// whether anything may be sent. Whatever ends makes the outbox be looked at.
func (s *Service) busy(now time.Time) (lanes []Lane, rested time.Time, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.landed)
	for at, l := range s.lanes {
		if l.until.After(now) && (rested.IsZero() || l.until.Before(rested)) {
			rested = l.until
		}
		if (l.flying >= perTarget || l.until.After(now)) && len(lanes) < mostNamed {
			lanes = append(lanes, at)
		}
	}
	return lanes, rested, len(s.flying) < atOnce
}

// takeOff takes a place for an attempt, if there is one.
func (s *Service) takeOff(d *Delivery, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[d.Lane()]
	if l == nil {
		l = &lane{}
	}
	most := perTarget
	if l.fails > 0 {
		most = 1 // one tries whether it is well again
	}
	if s.flying[d.ID] || s.landed[d.ID] || len(s.flying) >= atOnce || s.perProj[d.Project] >= perProject || l.flying >= most || l.until.After(now) {
		return false
	}
	l.flying++
	s.lanes[d.Lane()], s.flying[d.ID] = l, true
	s.perProj[d.Project]++
	s.figures.Attempts++
	return true
}

// landing is what an attempt says of its target.
type landing struct {
	failed bool
	wait   time.Duration // it is to be left alone at least so long
}

// land gives the place back.
func (s *Service) land(d *Delivery, how landing) {
	s.mu.Lock()
	l, now := s.lanes[d.Lane()], s.cfg.Now()
	l.flying--
	delete(s.flying, d.ID)
	s.landed[d.ID] = true
	if s.perProj[d.Project]--; s.perProj[d.Project] == 0 {
		delete(s.perProj, d.Project)
	}
	switch {
	case !how.failed:
		l.fails, l.until = 0, time.Time{}
	default:
		l.fails++
		if until := now.Add(max(rest(l.fails), how.wait)); until.After(l.until) {
			l.until = until
		}
	}
	maps.DeleteFunc(s.lanes, func(_ Lane, l *lane) bool {
		return l.flying == 0 && (l.fails == 0 || now.Sub(l.until) > forget)
	})
	s.mu.Unlock()
	s.notify()
}

// attempt sends a delivery once, and stores what came of it.
func (s *Service) attempt(ctx context.Context, d *Delivery) landing {
	w, err := s.cfg.Store.FindWorkflow(ctx, At{d.Project, d.Environment, d.Workflow})
	if errors.Is(err, ErrNone) {
		return landing{} // it was deleted, and the delivery with it
	}
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	answer := outbound.Answer{Fault: NoEnvironment}
	if err == nil && s.cfg.Stands(d.Project, d.Environment) {
		answer, err = s.send(ctx, &w, d, now)
	}
	if ctx.Err() != nil {
		return landing{} // it was cut short, and is sent again
	}
	if err != nil {
		s.cfg.Log.Error("a delivery cannot be sent", "workflow", d.Workflow, "delivery", d.ID, "error", err)
		return landing{failed: true, wait: holdOff}
	}
	after := s.outcome(d, &answer, now)
	if _, err := s.cfg.Outbox.Settle(ctx, d, &after); err != nil {
		s.cfg.Log.Error("what came of a delivery cannot be kept: it is sent again", "workflow", d.Workflow, "delivery", d.ID, "error", err)
		return landing{failed: true, wait: holdOff}
	}
	s.tell(&after)
	if answer.Status == http.StatusGone {
		s.disable(ctx, &w)
	}
	return landing{failed: unwell(&answer), wait: pause(&answer)}
}

// unwell reports whether an answer says that its target is not well, and not only that it does not want the delivery.
func unwell(a *outbound.Answer) bool {
	return a.Fault != "" && (a.Fault != outbound.Status || a.Status >= http.StatusInternalServerError || a.Status == http.StatusTooManyRequests)
}

// pause is how long a target wants to be left alone.
func pause(a *outbound.Answer) time.Duration {
	if a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable {
		return min(a.RetryAfter, mostRest)
	}
	return 0
}

// send signs a delivery, and sends it to where its workflow leads.
func (s *Service) send(ctx context.Context, w *Workflow, d *Delivery, now time.Time) (outbound.Answer, error) {
	secrets, err := s.secrets(w, now)
	if err != nil {
		return outbound.Answer{}, err
	}
	signature, err := Sign(d.ID, now, []byte(d.Body), secrets...)
	if err != nil {
		return outbound.Answer{}, err
	}
	return s.cfg.Web.Post(ctx, &outbound.Message{URL: w.URL, Body: []byte(d.Body), Header: http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {s.cfg.Agent},
		HeaderID: {d.ID}, HeaderTimestamp: {stampOf(now)}, HeaderSignature: {signature},
	}}), nil
}

// outcome is a delivery after an attempt.
func (s *Service) outcome(d *Delivery, a *outbound.Answer, now time.Time) Delivery {
	after := *d
	after.Attempts, after.Tries, after.LastAt = d.Attempts+1, d.Tries+1, now
	after.Status, after.Excerpt, after.Fault = a.Status, a.Excerpt, a.Fault
	end := s.cfg.Now().UTC().Truncate(time.Microsecond)
	next := end.Add(max(backOff(after.Tries, s.cfg.Jitter()), a.RetryAfter)).Truncate(time.Microsecond)
	switch {
	case a.Fault == "":
		after.State, after.EndedAt = Delivered, end
	case a.Status == http.StatusGone, a.Fault == NoEnvironment, after.Tries >= MaxTries, next.Sub(d.Since) > MaxAge:
		after.State, after.EndedAt = Failed, end
	default:
		after.NextAt = next
	}
	return after
}

// tell counts what became of a delivery, and logs when it failed for good.
func (s *Service) tell(d *Delivery) {
	s.count(func(f *Stats) {
		switch d.State {
		case Delivered:
			f.Delivered++
		case Failed:
			f.Failed++
		case Pending:
		}
		if d.Fault == outbound.Refused {
			f.Refused++
		}
	})
	if d.State == Failed {
		s.cfg.Log.Warn("a delivery failed for good", "workflow", d.Workflow, "delivery", d.ID, "attempts", d.Attempts, "status", d.Status, "fault", string(d.Fault))
	}
}

// goneWhy is why a workflow is disabled whose target answered 410.
const goneWhy = "its target answered 410 Gone"

// disable takes a workflow out of use whose target does not want to be sent to any more.
func (s *Service) disable(ctx context.Context, was *Workflow) {
	_, err := s.cfg.Store.ChangeWorkflow(ctx, At{was.Project, was.Environment, was.ID}, func(w *Workflow, _ int) (*audit.Entry, error) {
		if w.Revision == 0 || !w.Enabled || w.URL != was.URL {
			return nil, nil
		}
		before := *w
		w.Enabled, w.Why = false, goneWhy
		w.UpdatedAt, w.UpdatedBy = s.cfg.Now().UTC().Truncate(time.Microsecond), audit.System
		entry := audit.Own(s.cfg.Now(), w.Organization, w.Project, s.cfg.NewID(), actionDisable, subject(w.ID), view(&before), view(w))
		return &entry, nil
	})
	if err != nil {
		s.cfg.Log.Error("a workflow cannot be disabled", "workflow", was.ID, "error", err)
		return
	}
	s.count(func(f *Stats) { f.Disabled++ })
	s.cfg.Log.Warn("a workflow is disabled", "workflow", was.ID, "because", goneWhy)
}

// tidy removes deliveries that ended long ago, or of which there are too many.
func (s *Service) tidy(ctx context.Context) {
	for {
		n, err := s.cfg.Outbox.TrimDeliveries(ctx, s.cfg.Now().Add(-keepEnded), MaxEnded)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("deliveries that ended cannot be removed", "error", err)
		}
		if err != nil || n == 0 {
			return
		}
	}
}
