package limit

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// The limits, in the order of their names. Those of the project come after those of the key.
const (
	rate = iota
	daily
	credit
	ofProject
)

var names = [...]string{gate.KeyRate, gate.KeyDaily, gate.KeyCredits, gate.ProjectRate, gate.ProjectDaily, gate.ProjectCredits}

// asked is what a request wants, and what becomes of it.
type asked struct {
	at       time.Time
	now      int64 // at, steady
	wall     int64 // at, in nanoseconds since 1970
	day      int64
	dayLeft  int64 // until its end, in nanoseconds
	month    int64
	requests int64
	credits  int64
	mark     uint64
	held     *reservation // its credits, when they are set aside already

	alone   bool             // the store cannot be reached: do without
	lost    bool             // what the request waited for did not come
	refused bool             // and it must not pass without
	missed  bool             // it would need the store
	lenient access.OnFailure // what is done instead
}

// side is one of the two accounts of a request.
type side struct {
	first   int // rate or ofProject
	limits  access.Limits
	account *account // locked; nil when there are no limits, or no room for it
	tally   *tally   // nil when requests are not counted by day, or there is no room for it
	purse   *purse   // nil when credits are not counted, or there is no room; guarded by the lock of all credits
}

// finding is what a limit says to a request. The greater one decides.
type finding uint8

const (
	passes      finding = iota
	unknown             // the store has to be asked
	unreachable         // it cannot be, and the limit denies then
	over                // the limit denies
)

// verdict is what all limits together say. The zero verdict lets through.
type verdict struct {
	finding finding
	limit   int   // which says so
	wait    int64 // of over
}

// hear adds what one limit says. Of those that deny, the one counts that does so for longest.
func (v *verdict) hear(f finding, limit int, wait int64) {
	if f > v.finding || f == over && v.finding == over && v.wait != never && (wait == never || wait > v.wait) {
		*v = verdict{f, limit, wait}
	}
}

// pending is what a request waits for. The zero pending is nothing.
type pending struct {
	cycle *cycle          // in which the store is asked
	same  <-chan struct{} // the same request, under way already
}

// Take counts a request against the limits of its key and its project, or against none, as gate.Limits says. The answer's
// Wait is exact: the same request passes then, and not a nanosecond earlier, unless others come in between. It is 0 for a
// request that never passes, because it costs more than the limit allows at all.
//
// Of the last 16,384 requests or so it is known that they were counted; of requests with credits, for longer. A request
// that was denied is counted when it comes again.
func (l *Limiter) Take(ctx context.Context, c gate.Charge) (charged gate.Charged) {
	if c.Key.Limits == (access.Limits{}) && c.Project.Limits == (access.Limits{}) {
		return gate.Charged{}
	}
	q := l.ask(&c)
	wait := l.attempt(&q, &c, &charged)
	if wait == (pending{}) {
		return charged
	}
	timer := time.NewTimer(l.bounds.patience)
	defer timer.Stop()
	for wait != (pending{}) {
		if !l.await(ctx, wait, timer.C) {
			q.alone, q.lost = true, true
			q.refused = ctx.Err() != nil || wait.same != nil
		}
		wait = l.attempt(&q, &c, &charged)
	}
	return charged
}

func (l *Limiter) ask(c *gate.Charge) asked {
	q := asked{
		at: c.At, now: l.steady(c.At), wall: c.At.UnixNano(), day: dayOf(c.At),
		requests: max(c.Requests, 0), credits: max(c.Credits, 0),
	}
	q.dayLeft = ((q.day+1)*secondsOfDay-c.At.Unix())*int64(time.Second) - int64(c.At.Nanosecond())
	if c.Key.Limits.Credits.Most > 0 || c.Project.Limits.Credits.Most > 0 {
		q.month = monthOf(c.At)
	} else {
		q.credits = 0
	}
	return q
}

// attempt decides on a request by what is known, and writes the answer; or it says what to wait for.
func (l *Limiter) attempt(q *asked, c *gate.Charge, charged *gate.Charged) pending {
	sides := [...]side{{first: rate, limits: c.Key.Limits}, {first: ofProject, limits: c.Project.Limits}}
	l.enter(q, c, &sides)
	defer l.leave(q, &sides)
	if q.lost && q.held != nil { // what is not in writing is set aside again, as is done without the store
		l.drop(q.held)
		q.held = nil
	}
	if counted, same := l.counted(q, c); same != nil {
		return pending{same: same}
	} else if counted {
		tell(q, &sides, verdict{}, charged)
		return pending{}
	}
	v, cycle := l.decide(q, &sides)
	if cycle == nil && v.finding == passes && q.credits > 0 && q.held == nil {
		v, cycle = l.setAside(q, c, &sides)
	}
	if cycle != nil {
		return pending{cycle: cycle}
	}
	l.conclude(q, &sides, v)
	tell(q, &sides, v, charged)
	return pending{}
}

// enter finds and locks the accounts of a request: the key's, the project's, then the credits.
func (l *Limiter) enter(q *asked, c *gate.Charge, sides *[2]side) {
	hash := maphash.String(l.seed, c.Key.ID)
	if c.RequestID != "" {
		q.mark = mark(l.seed, c.RequestID, hash)
	}
	if sides[0].limits != (access.Limits{}) {
		sides[0].account = l.keys.locked(c.Key.ID, hash, &l.accounts, l.bounds.accounts)
		sides[0].enter(l, q)
	}
	if sides[1].limits != (access.Limits{}) {
		sides[1].account = l.projects.locked(c.Project.ID, maphash.String(l.seed, c.Project.ID), &l.accounts, l.bounds.accounts)
		sides[1].enter(l, q)
	}
	if q.month != 0 {
		l.credits.mu.Lock()
		for i := range sides {
			if a := sides[i].account; a != nil && sides[i].limits.Credits.Most > 0 {
				sides[i].purse = l.credits.of(a, q.month, q.now)
			}
		}
	}
}

// enter brings an account to the limits and the time of the request.
func (s *side) enter(l *Limiter, q *asked) {
	a := s.account
	if a == nil {
		select {
		case l.crowded <- struct{}{}:
		default: // it is told already
		}
		return
	}
	a.adopt(&s.limits, q.now)
	a.bucket.settle(q.now, a.pace.perSecond)
	a.used = max(a.used, q.now)
	if s.limits.Daily.Most > 0 {
		if s.tally = a.tally(q.day); s.tally != nil {
			s.tally.touched = a.used
		}
	}
}

func (l *Limiter) leave(q *asked, sides *[2]side) {
	if q.month != 0 {
		l.credits.mu.Unlock()
	}
	for i := range sides {
		if a := sides[1-i].account; a != nil {
			a.mu.Unlock()
		}
	}
}

// counted reports whether the request was counted before, or which one to wait for to know.
func (l *Limiter) counted(q *asked, c *gate.Charge) (counted bool, same <-chan struct{}) {
	if q.held != nil || q.mark == 0 || q.refused {
		return false, nil
	}
	if q.credits > 0 {
		if r := l.credits.find(l.requestOf(c)); r != nil {
			if r.admitted {
				return true, nil
			}
			return false, r.decided
		}
	}
	return l.seen.has(q.mark), nil
}

// requestOf names a request in the store.
func (l *Limiter) requestOf(c *gate.Charge) Request {
	return Request{ID: c.RequestID, Key: l.keys.prefix + c.Key.ID}
}

// decide asks every limit, without the store when that cannot be reached. When a lease is wanted first, the cycle is
// that in which it comes.
func (l *Limiter) decide(q *asked, sides *[2]side) (verdict, *cycle) {
	q.alone = q.alone || q.credits > 0 && q.held == nil && l.queue.down.Load()
	v := judge(q, sides)
	if v.finding == unknown {
		cycle := l.request(q, sides)
		if cycle != nil && !l.queue.down.Load() {
			return v, cycle
		}
		q.alone = true
		v = judge(q, sides)
	}
	if q.refused && v.finding != over {
		q.missed = true
		v = verdict{finding: unreachable, limit: firstLimit(q, sides)}
	}
	return v, nil
}

// firstLimit is one of the limits there are, of credits if these are wanted.
func firstLimit(q *asked, sides *[2]side) int {
	first, least := rate, 4
	for i := range sides {
		s := &sides[i]
		for kind, weight := range [...]int{rate: 1, daily: 2, credit: 3} {
			has := [...]bool{s.limits.Rate.PerSecond > 0, s.limits.Daily.Most > 0, s.limits.Credits.Most > 0}[kind]
			if kind == credit && q.credits > 0 {
				weight = 0
			}
			if has && weight < least {
				first, least = s.first+kind, weight
			}
		}
	}
	return first
}

// judge asks every limit.
func judge(q *asked, sides *[2]side) (v verdict) {
	q.missed, q.lenient = false, access.FailLocalShare
	for i := range sides {
		s := &sides[i]
		if s.limits.Rate.PerSecond > 0 {
			f, wait := s.askRate(q)
			v.hear(f, s.first+rate, wait)
		}
		if s.limits.Daily.Most > 0 {
			f, wait := s.askDaily(q)
			v.hear(f, s.first+daily, wait)
		}
		if s.limits.Credits.Most > 0 {
			f, wait := s.askCredits(q)
			v.hear(f, s.first+credit, wait)
		}
	}
	return v
}

// without says what a limit does while the store cannot be reached. A share is still to be looked at.
func (q *asked) without(how access.OnFailure) finding {
	q.missed = true
	if how == access.FailAllow {
		q.lenient = how
	}
	if how == access.FailDeny {
		return unreachable
	}
	return passes
}

func (s *side) askRate(q *asked) (finding, int64) {
	a, how := s.account, s.limits.Rate.OnFailure
	if a == nil {
		return q.noRoom(how), 0
	}
	leased := a.known && q.wall < a.until || q.alone && q.requests == 0
	if !leased && q.alone {
		if f := q.without(how); f != passes || how == access.FailAllow {
			return f, 0
		}
		a.guess(q.now)
	}
	if q.requests > 0 && (a.known || q.alone) {
		if wait := a.bucket.wait(q.now, q.requests, a.pace); wait != 0 {
			return over, wait
		}
	}
	if !leased && !q.alone {
		return unknown, 0
	}
	return passes, 0
}

// noRoom is what a limit says of whose account nothing can be kept.
func (q *asked) noRoom(how access.OnFailure) finding {
	if f := q.without(how); how == access.FailAllow {
		return f
	}
	return unreachable
}

func (s *side) askDaily(q *asked) (finding, int64) {
	t, n, quota := s.tally, q.requests, s.limits.Daily
	switch {
	case n > quota.Most:
		return over, never
	case t == nil:
		return q.noRoom(quota.OnFailure), 0
	case t.known && n > 0 && t.used > quota.Most-n:
		return over, q.dayLeft
	case t.known && (n == 0 || t.taken-t.used >= n):
		return passes, 0
	case !q.alone:
		return unknown, 0
	}
	if n == 0 {
		return passes, 0
	}
	f := q.without(quota.OnFailure)
	if quota.OnFailure == access.FailLocalShare && t.used-t.taken > share(quota.Most)-n {
		return unreachable, 0
	}
	return f, 0
}

func (s *side) askCredits(q *asked) (finding, int64) {
	p, n, quota := s.purse, q.credits, s.limits.Credits
	switch {
	case q.held != nil:
		return passes, 0
	case n > quota.Most:
		return over, never
	case p == nil:
		return q.noRoom(quota.OnFailure), 0
	case p.known && n > 0 && p.left(quota.Most) < n:
		return over, int64(startOfMonth(q.month + 1).Sub(q.at))
	case !q.alone && !p.known:
		return unknown, 0
	case !q.alone || n == 0:
		return passes, 0
	}
	f := q.without(quota.OnFailure)
	if quota.OnFailure == access.FailLocalShare && p.loose > share(quota.Most)-n {
		return unreachable, 0
	}
	return f, 0
}

// request asks for the leases that a request lacks, and gives the cycle in which the last of them comes; nil when none
// comes any more.
func (l *Limiter) request(q *asked, sides *[2]side) (last *cycle) {
	for i := range sides {
		s := &sides[i]
		if s.account == nil {
			continue
		}
		if s.lacksLease(q) {
			s.account.wanted = q.wall
			last = later(last, l.lease(s.account, s.tally, q.requests))
		}
		if s.purse != nil && !s.purse.known {
			last = later(last, l.queue.addPurse(s.purse))
		}
	}
	return last
}

func (s *side) lacksLease(q *asked) bool {
	a, t := s.account, s.tally
	return s.limits.Rate.PerSecond > 0 && (!a.known || q.wall >= a.until) ||
		t != nil && (!t.known || q.requests > 0 && t.taken-t.used < q.requests)
}

// lease asks for a lease that allows for n more requests.
func (l *Limiter) lease(a *account, t *tally, n int64) *cycle {
	if a.flight != nil {
		return a.flight // it may bring what is wanted
	}
	if t != nil {
		t.demand += n
	}
	a.releasing = false
	return l.queue.addAccount(a)
}

// conclude charges a request that passes, and nothing otherwise.
func (l *Limiter) conclude(q *asked, sides *[2]side, v verdict) {
	if v.finding != passes {
		if v.finding == unreachable {
			l.stats.unreachable.Add(1)
		}
		l.drop(q.held)
		return
	}
	if q.missed {
		l.stats.uncounted.Add(1)
	}
	for i := range sides {
		s := &sides[i]
		if a := s.account; a != nil {
			if a.pace.perSecond > 0 {
				a.bucket.take(q.requests, a.pace)
			}
			if s.tally != nil {
				s.tally.used += q.requests
			}
			if s.low(q) && a.cycle == nil && a.flight == nil {
				l.lease(a, s.tally, 0)
			}
		}
	}
	if q.mark != 0 {
		l.seen.add(q.mark)
	}
	if q.held != nil {
		q.held.admit()
	}
}

// low reports whether a lease will soon be used up.
func (s *side) low(q *asked) bool {
	a, t := s.account, s.tally
	return a.pace.perSecond > 0 && a.until-q.wall < int64(useTime/2) ||
		t != nil && t.low(s.limits.Daily.Most)
}
