package limit

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// credits are the purses and what was set aside of them. One lock guards all, for each change of them waits for the store
// in any case, which takes a thousand times longer.
type credits struct {
	mu           sync.Mutex
	purses       map[purseID]*purse
	reservations map[Request]*reservation
	held         map[string]*reservation // those that are held, by their ids
	settled      []*reservation          // that are stored, in the order in which they were; the oldest are forgotten
	open         int                     // reservations that are not settled
}

type purseID struct {
	account string
	month   int64
}

// purse is the credits of an account in a month. What is granted is the limit of the moment; spent, reserved and left are
// granted together, always.
type purse struct {
	purseID
	known    bool // spent has what the store knew
	gone     bool
	spent    int64
	reserved int64 // by reservations that are not settled
	loose    int64 // set aside since the start while the store could not be reached
	used     int64 // when it was last used, steady
	dirty    bool  // spent is to be written
	cycle    *cycle
}

// left is what may still be set aside. It is negative when the limit was lowered below what is spent.
func (p *purse) left(granted int64) int64 { return granted - p.spent - p.reserved }

// reservation is credits set aside for a request, and later what became of them.
type reservation struct {
	Reservation
	purses   [2]*purse // of the key and of the project; nil: it has no limit
	admitted bool
	released bool          // it is no more
	decided  chan struct{} // closed when it is admitted or released
	ended    chan struct{} // closed when Over is what Settle answers; nil until it settles
	made     int64         // when, steady
	kept     bool          // it is in the list of the settled
	recalled bool          // it was held when the program began
	cycle    *cycle
}

func (r *reservation) admit() {
	if !r.admitted {
		r.admitted = true
		close(r.decided)
	}
}

// of finds or makes the purse of an account that is locked.
func (c *credits) of(a *account, month, now int64) *purse {
	p := a.purse
	if p == nil || p.month != month || p.gone {
		p = c.purse(purseID{a.name, month})
		a.purse = p
	}
	p.used = max(p.used, now)
	return p
}

func (c *credits) purse(id purseID) *purse {
	p := c.purses[id]
	if p == nil {
		if c.purses == nil {
			c.purses = map[purseID]*purse{}
		}
		p = &purse{purseID: id}
		c.purses[id] = p
	}
	return p
}

func (c *credits) find(r Request) *reservation { return c.reservations[r] }

func (c *credits) keep(r *reservation) {
	if c.reservations == nil {
		c.reservations = map[Request]*reservation{}
	}
	c.reservations[r.Request] = r
}

func (c *credits) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// recall takes over what was settled lately, and what is held.
func (c *credits) recall(list []Reservation) {
	for _, stored := range list {
		if !stored.Settled {
			c.recallHeld(stored)
			continue
		}
		r := &reservation{Reservation: stored, admitted: true, decided: make(chan struct{}), ended: make(chan struct{})}
		close(r.decided)
		close(r.ended)
		c.keep(r)
		if strings.HasPrefix(r.ID, Held) {
			c.hold(r)
		}
		c.settled = append(c.settled, r)
	}
}

// setAside reserves the credits of a request that passes all limits. The cycle is that in which it is written; it is nil
// when there is none, or none is waited for.
func (l *Limiter) setAside(q *asked, c *gate.Charge, sides *[2]side) (verdict, *cycle) {
	if len(l.credits.reservations)-len(l.credits.settled) >= l.bounds.reservations {
		q.missed = true
		return verdict{finding: unreachable, limit: firstLimit(q, sides)}, nil
	}
	r := l.reservation(q, c, [...]*purse{sides[0].purse, sides[1].purse})
	q.held = r
	l.credits.keep(r)
	l.credits.open++
	for _, p := range r.purses {
		if p != nil {
			p.reserved += r.Credits
			if q.alone {
				p.loose += r.Credits
			}
		}
	}
	cycle := l.queue.addReservation(r)
	switch {
	case q.alone:
		return verdict{}, nil
	case cycle == nil: // just now nothing is written any more
		q.missed = true
		return verdict{finding: unreachable, limit: firstLimit(q, sides)}, nil
	}
	return verdict{}, cycle
}

// reservation is a new one of what a request asks for.
func (l *Limiter) reservation(q *asked, c *gate.Charge, purses [2]*purse) *reservation {
	return &reservation{
		Reservation: Reservation{
			Request: l.requestOf(c), Project: l.projects.prefix + c.Project.ID, Month: q.month, Credits: q.credits, At: q.at,
		},
		purses: purses, decided: make(chan struct{}), made: q.now,
	}
}

// drop gives back what was set aside for a request that does not pass.
func (l *Limiter) drop(r *reservation) {
	if r == nil || r.released || r.Settled {
		return
	}
	l.credits.open--
	r.released = true
	for _, p := range r.purses {
		if p != nil {
			p.reserved -= r.Credits
		}
	}
	if l.credits.reservations[r.Request] == r {
		delete(l.credits.reservations, r.Request)
	}
	l.credits.unhold(r)
	if !r.admitted {
		close(r.decided)
	}
	l.queue.addReservation(r)
}

// Settle replaces the credits set aside for a request by those it came to, as gate.Limits says. When it returns, that
// is in writing; if it cannot be, and the limit denies then, nothing is spent and the answer is gate.LimitsDown. A request
// that is settled again, whatever for, changes nothing and hears what it heard before; that is remembered of the last
// 10,000 requests, for an hour.
func (l *Limiter) Settle(ctx context.Context, c gate.Charge, credits int64) (over string) {
	ctx = context.WithoutCancel(ctx) // whoever asked may have gone, but what it came to is settled
	if c.Held != "" {
		return l.settleHeld(ctx, &c, credits)
	}
	q := l.ask(&c)
	if q.month == 0 {
		return "" // nobody counts
	}
	q.credits, q.alone = max(credits, 0), l.queue.down.Load()
	timer := time.NewTimer(l.bounds.patience)
	defer timer.Stop()
	r, mine, cycle := l.settle(&q, &c)
	for r == nil {
		q.alone = !l.await(ctx, pending{cycle: cycle}, timer.C)
		r, mine, cycle = l.settle(&q, &c)
	}
	if !mine {
		<-r.ended // it takes no longer than patience
	}
	written := mine && !q.alone && l.await(ctx, pending{cycle: cycle}, timer.C)
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	if mine {
		if !written && insists(&c) {
			l.takeBack(r)
		}
		close(r.ended)
	}
	return r.Over
}

// insists reports whether credits must not be spent while that is not in writing.
func insists(c *gate.Charge) bool {
	for _, quota := range [...]access.Quota{c.Key.Limits.Credits, c.Project.Limits.Credits} {
		if quota.Most > 0 && quota.OnFailure == access.FailDeny {
			return true
		}
	}
	return false
}

// settle decides what becomes of a request's credits, in memory; in is the cycle in which it is written. It is not mine
// when another call does so or has. There is no reservation when something must be known first, which comes in the cycle.
func (l *Limiter) settle(q *asked, c *gate.Charge) (r *reservation, mine bool, in *cycle) {
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	r = l.credits.find(l.requestOf(c))
	if r != nil && r.ended != nil {
		return r, false, nil
	}
	if r == nil {
		if r, in = l.unreserved(q, c); r == nil {
			return nil, false, in
		}
	}
	return r, true, l.spend(r, q, c)
}

// spend decides what becomes of a reservation, in memory, and gives the cycle in which that is written.
func (l *Limiter) spend(r *reservation, q *asked, c *gate.Charge) *cycle {
	r.ended = make(chan struct{})
	r.Settled, r.Spent, r.At = true, q.credits, l.cfg.Now()
	if r.Over = r.short(q, c); r.Over != "" {
		r.Spent = r.Credits
	}
	l.credits.open--
	for _, p := range r.purses {
		if p != nil {
			p.reserved -= r.Credits
			p.spent += r.Spent
			l.queue.spend(p)
		}
	}
	return l.queue.addReservation(r)
}

// unreserved is a reservation of nothing, for a request that has none. Its purses must be known first, unless the store
// cannot be reached.
func (l *Limiter) unreserved(q *asked, c *gate.Charge) (r *reservation, in *cycle) {
	var purses [2]*purse
	if c.Key.Limits.Credits.Most > 0 {
		purses[0] = l.credits.purse(purseID{l.keys.prefix + c.Key.ID, q.month})
	}
	if c.Project.Limits.Credits.Most > 0 {
		purses[1] = l.credits.purse(purseID{l.projects.prefix + c.Project.ID, q.month})
	}
	for _, p := range purses {
		if p != nil && !p.known {
			in = later(in, l.queue.addPurse(p))
		}
	}
	if in != nil && !q.alone {
		return nil, in
	}
	r = l.reservation(q, c, purses)
	r.Credits = 0
	r.admit()
	l.credits.keep(r)
	l.credits.open++
	return r, nil
}

// short names the limit that has not what a request came to beyond what was set aside for it.
func (r *reservation) short(q *asked, c *gate.Charge) string {
	extra := q.credits - r.Credits
	for i, quota := range [...]access.Quota{c.Key.Limits.Credits, c.Project.Limits.Credits} {
		p := r.purses[i]
		if extra <= 0 || p == nil || quota.Most <= 0 {
			continue
		}
		lenient := q.alone && quota.OnFailure == access.FailAllow
		if p.known && p.left(quota.Most) < extra && !lenient {
			return names[i*ofProject+credit]
		}
		if q.alone && quota.OnFailure == access.FailLocalShare && p.loose > share(quota.Most)-extra {
			return names[i*ofProject+credit]
		}
		if q.alone {
			p.loose += extra
		}
	}
	return ""
}

// takeBack lets a request come to nothing that could not be settled in writing, since it is not answered.
func (l *Limiter) takeBack(r *reservation) {
	for _, p := range r.purses {
		if p != nil {
			p.spent -= r.Spent
			l.queue.spend(p)
		}
	}
	r.Spent, r.Over = 0, gate.LimitsDown
	l.queue.addReservation(r)
}

// expire frees what was set aside so long ago that nobody will settle it, unless it is held. Should somebody all the same, it is taken anew.
func (l *Limiter) expire(now int64) {
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	for _, r := range l.credits.reservations {
		if !r.Settled && l.credits.held[r.ID] != r && now-r.made > int64(openTime) {
			l.drop(r)
		}
	}
}

// forget takes purses out of memory that were not used for idle and have nothing that is not written.
func (c *credits) forget(now int64, idle time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range c.purses {
		if p.reserved == 0 && !p.dirty && p.cycle == nil && now-p.used > int64(idle) {
			p.gone = true
			delete(c.purses, id)
		}
	}
}

// stored notes that a reservation is written as it is, and forgets the oldest of too many that are settled.
func (c *credits) stored(r *reservation, most int) {
	if !r.Settled || r.kept || r.cycle != nil {
		return
	}
	r.kept = true
	if c.settled = append(c.settled, r); len(c.settled) <= most {
		return
	}
	oldest := c.settled[0]
	c.settled[0], c.settled = nil, c.settled[1:]
	if c.reservations[oldest.Request] == oldest {
		delete(c.reservations, oldest.Request)
	}
	c.unhold(oldest)
}
