package limit

import (
	"context"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
)

// Held begins the id of a reservation that is held: it stays open over a restart, until whoever holds it settles it. No
// request has such an id.
const Held = "held "

// Hold keeps what was set aside for a request under a name, as gate.Limits says. When it returns, that is in writing; if it
// cannot be, nothing is held and the answer is gate.LimitsDown.
func (l *Limiter) Hold(ctx context.Context, c gate.Charge, name string) (over string) {
	if q := l.ask(&c); q.month == 0 || q.credits == 0 {
		return "" // nobody counts
	}
	timer := time.NewTimer(l.bounds.patience)
	defer timer.Stop()
	r, in := l.hold(&c, name)
	if r != nil && l.await(ctx, pending{cycle: in}, timer.C) {
		return ""
	}
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	l.drop(r)
	return gate.LimitsDown
}

// hold makes the reservation of a request one that is held, in memory; in is the cycle in which both are written. It is nil when
// there is none any more.
func (l *Limiter) hold(c *gate.Charge, name string) (r *reservation, in *cycle) {
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	before := l.credits.find(l.requestOf(c))
	if before == nil || before.ended != nil {
		return nil, nil
	}
	r = &reservation{Reservation: before.Reservation, purses: before.purses, decided: make(chan struct{}), made: before.made}
	r.ID = Held + name
	r.admit()
	before.admit()
	before.released = true // what it set aside goes on as that of the other
	delete(l.credits.reservations, before.Request)
	l.queue.addReservation(before)
	l.credits.keep(r)
	l.credits.hold(r)
	return r, l.queue.addReservation(r)
}

func (c *credits) hold(r *reservation) {
	if c.held == nil {
		c.held = map[string]*reservation{}
	}
	c.held[r.ID] = r
}

// unhold forgets a reservation, if it is held.
func (c *credits) unhold(r *reservation) {
	if c.held[r.ID] == r {
		delete(c.held, r.ID)
	}
}

// recallHeld takes over what was held when the program was stopped.
func (c *credits) recallHeld(stored Reservation) {
	r := &reservation{
		Reservation: stored, decided: make(chan struct{}), recalled: true,
		purses: [2]*purse{c.purse(purseID{stored.Key, stored.Month}), c.purse(purseID{stored.Project, stored.Month})},
	}
	r.admit()
	for _, p := range r.purses {
		p.reserved += r.Credits
	}
	c.open++
	c.keep(r)
	c.hold(r)
}

// HoldOnly frees what was held before the start under other names, as gate.Limits says.
func (l *Limiter) HoldOnly(names []string) {
	keep := make(map[string]bool, len(names))
	for _, name := range names {
		keep[Held+name] = true
	}
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	for id, r := range l.credits.held {
		if r.recalled && r.ended == nil && !keep[id] {
			l.drop(r)
		}
	}
}

// settleHeld settles what is held under a name. What is not, is settled or was never held. What cannot be in writing stays held.
func (l *Limiter) settleHeld(ctx context.Context, c *gate.Charge, credits int64) (over string) {
	timer := time.NewTimer(l.bounds.patience)
	defer timer.Stop()
	q := asked{at: c.At, now: l.steady(c.At), credits: max(credits, 0)}
	for {
		r, ended, in := l.spendHeld(&q, c)
		switch {
		case r == nil && in == nil:
			return ""
		case r == nil:
			if !l.await(ctx, pending{cycle: in}, timer.C) {
				return gate.LimitsDown
			}
		case ended != nil:
			<-ended // it takes no longer than patience
			if over, done := l.heldOver(r); done {
				return over
			}
		case l.await(ctx, pending{cycle: in}, timer.C):
			close(r.ended)
			return r.Over
		default:
			l.credits.mu.Lock()
			defer l.credits.mu.Unlock()
			if r.kept { // it came to be in writing just now
				close(r.ended)
				return r.Over
			}
			l.reopen(r)
			return gate.LimitsDown
		}
	}
}

// heldOver is what became of a held reservation that somebody else settles, and false when that failed.
func (l *Limiter) heldOver(r *reservation) (over string, done bool) {
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	return r.Over, r.Settled
}

// spendHeld is settle for what is held. Without a reservation there is none, or its purses must be known first; with a channel somebody
// else settles it, and closes that.
func (l *Limiter) spendHeld(q *asked, c *gate.Charge) (r *reservation, others <-chan struct{}, in *cycle) {
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	r = l.credits.held[Held+c.Held]
	if r == nil || r.ended != nil {
		return r, endedOf(r), nil
	}
	for _, p := range r.purses {
		if p != nil && !p.known {
			in = later(in, l.queue.addPurse(p))
		}
	}
	if in != nil {
		return nil, nil, in
	}
	return r, nil, l.spend(r, q, c)
}

func endedOf(r *reservation) <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.ended
}

// reopen undoes settling what is held.
func (l *Limiter) reopen(r *reservation) {
	for _, p := range r.purses {
		if p != nil {
			p.reserved += r.Credits
			p.spent -= r.Spent
			l.queue.spend(p)
		}
	}
	l.credits.open++
	r.Settled, r.Spent, r.Over = false, 0, ""
	l.queue.addReservation(r)
	close(r.ended)
	r.ended = nil
}
