package limit

import (
	"context"
	"slices"
	"time"
)

// plan is what a cycle reads and writes.
type plan struct {
	cycle        *cycle
	at           time.Time
	accounts     []accountPlan
	purses       []pursePlan
	reservations []*reservation
	rates        []*account   // of which the store is asked
	days         []accountDay // the same
	batch        Batch
}

// accountPlan is what an account may use once it is written.
type accountPlan struct {
	account *account
	until   int64 // of the rate's lease; 0: none
	tallies []tallyPlan
}

type tallyPlan struct {
	tally *tally
	taken int64
	lease int64 // 0: it gives back what it has not used
}

type pursePlan struct {
	purse *purse
	row   int // of the batch; -1: nothing is to be written
}

type accountDay struct {
	account *account
	tally   *tally
}

// begin takes the next cycle with what is to be written of its credits. There is none when nothing is waiting, and then
// the worker is at its end.
func (l *Limiter) begin() (*cycle, *plan) {
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	c := l.queue.take()
	if c == nil {
		return nil, nil
	}
	p := &plan{cycle: c, at: l.cfg.Now(), reservations: c.reservations}
	for _, r := range c.reservations {
		r.cycle = nil
		if r.released {
			p.batch.Released = append(p.batch.Released, r.Request)
		} else {
			p.batch.Reservations = append(p.batch.Reservations, r.Reservation)
		}
	}
	for _, purse := range c.purses {
		purse.cycle = nil
		planned := pursePlan{purse: purse, row: -1}
		if purse.dirty {
			purse.dirty = false
			planned.row = len(p.batch.Months)
			p.batch.Months = append(p.batch.Months, Month{Account: purse.account, Month: purse.month, Spent: purse.spent})
		}
		p.purses = append(p.purses, planned)
	}
	return c, p
}

// perform reads what is missing, writes the leases and whatever else there is to write, and then lets it be used.
func (l *Limiter) perform(ctx context.Context, p *plan) error {
	err := l.read(ctx, p)
	if err == nil {
		for _, a := range p.cycle.accounts {
			a.mu.Lock()
			l.planAccount(p, a)
			a.mu.Unlock()
		}
		err = l.write(ctx, p)
	}
	if err != nil {
		l.credits.mu.Lock()
		defer l.credits.mu.Unlock()
		for _, planned := range p.purses {
			planned.purse.dirty = planned.purse.dirty || planned.row >= 0
		}
		return err
	}
	l.apply(p)
	return nil
}

// read loads what is not known of the plan's accounts and purses.
func (l *Limiter) read(ctx context.Context, p *plan) error {
	var want Wanted
	for _, a := range p.cycle.accounts {
		a.mu.Lock()
		if a.pace.perSecond > 0 && !a.known {
			p.rates, want.Rates = append(p.rates, a), append(want.Rates, a.name)
		}
		for _, t := range a.tallies {
			if !t.known {
				p.days, want.Days = append(p.days, accountDay{a, t}), append(want.Days, Day{Account: a.name, Day: t.day})
			}
		}
		a.mu.Unlock()
	}
	l.credits.mu.Lock()
	for _, planned := range p.purses {
		if !planned.purse.known {
			want.Months = append(want.Months, Month{Account: planned.purse.account, Month: planned.purse.month})
		}
	}
	l.credits.mu.Unlock()
	if len(want.Rates)+len(want.Days)+len(want.Months) == 0 {
		return nil
	}
	written, err := l.store.Load(ctx, want)
	if err != nil {
		return err
	}
	l.learn(p, written)
	return nil
}

// learn takes in what was read. What was counted without it is added.
func (l *Limiter) learn(p *plan, written Written) {
	rates, days, months := map[string]Rate{}, map[Day]int64{}, map[purseID]int64{}
	for _, r := range written.Rates {
		rates[r.Account] = r
	}
	for _, d := range written.Days {
		days[Day{Account: d.Account, Day: d.Day}] = d.Requests
	}
	for _, m := range written.Months {
		months[purseID{m.Account, m.Month}] = m.Spent
	}
	for _, a := range p.rates {
		a.mu.Lock()
		stored, found := rates[a.name]
		if stored.Debt < 0 && stored.At.After(l.base) {
			stored.At = l.base // whoever used it was gone when we began
		}
		a.learn(stored, found, p.at, l.steady(p.at))
		a.mu.Unlock()
	}
	for _, d := range p.days {
		d.account.mu.Lock()
		d.tally.learn(days[Day{Account: d.account.name, Day: d.tally.day}])
		d.account.mu.Unlock()
	}
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	for _, planned := range p.purses {
		if purse := planned.purse; !purse.known {
			purse.known = true
			purse.spent += months[purse.purseID]
			if planned.row >= 0 {
				p.batch.Months[planned.row].Spent += months[purse.purseID]
			}
		}
	}
}

// learn begins a day with what the store knew.
func (t *tally) learn(requests int64) {
	t.known, t.used, t.taken = true, t.used+requests, requests
}

// learn fills the bucket of a rate of which the store knew something, or nothing. What is not known in full, because
// the account was in use when it was written, is the whole burst.
func (a *account) learn(stored Rate, found bool, at time.Time, now int64) {
	a.known = true
	a.bucket.settle(now, a.pace.perSecond)
	if !found {
		return
	}
	b := bucket{debt: stored.Debt, total: stored.Debt}
	if stored.Debt < 0 {
		b = bucket{debt: a.pace.burst, total: a.pace.burst}
	}
	slower := a.pace.perSecond
	if stored.PerSecond > 0 {
		slower = min(slower, stored.PerSecond)
	}
	b.settle(int64(at.Sub(stored.At)), slower)
	a.bucket.total = max(a.bucket.total, b.total)
	a.bucket.fit(a.pace.burst)
}

// planAccount plans the leases of an account that is locked. What is given back is no longer used from now on.
func (l *Limiter) planAccount(p *plan, a *account) {
	now, planned := l.steady(p.at), accountPlan{account: a}
	switch {
	case a.releasing && a.known:
		a.until = 0
		p.batch.Rates = append(p.batch.Rates, Rate{
			Account: a.name, Debt: a.bucket.total, At: p.at.Add(time.Duration(a.bucket.at - now)), PerSecond: a.pace.perSecond,
		})
	case a.pace.perSecond > 0 && a.known:
		until := p.at.Add(useTime)
		if a.wanted > p.at.UnixNano() { // the clock was set back since it was asked for
			until = time.Unix(0, a.wanted).Add(useTime)
		}
		planned.until = until.UnixNano()
		p.batch.Rates = append(p.batch.Rates, Rate{Account: a.name, Debt: Full, At: until, PerSecond: a.pace.perSecond})
	}
	for _, t := range a.tallies {
		if !t.known {
			continue
		}
		tp := tallyPlan{tally: t}
		switch {
		case !a.releasing && t.demand > 0:
			tp.taken, tp.lease = t.more(a.limits.Daily.Most, now)
		case a.releasing || now-t.touched > int64(staleTime):
			t.taken = t.used
			tp.taken = t.used
		case t.low(a.limits.Daily.Most):
			tp.taken, tp.lease = t.more(a.limits.Daily.Most, now)
		default:
			continue
		}
		planned.tallies = append(planned.tallies, tp)
		p.batch.Days = append(p.batch.Days, Day{Account: a.name, Day: t.day, Requests: tp.taken})
	}
	a.cycle, a.flight, a.releasing = nil, p.cycle, false
	p.accounts = append(p.accounts, planned)
}

// low reports whether a lease will soon be used up, and there is more to have.
func (t *tally) low(most int64) bool {
	return t.taken-t.used < (t.lease+1)/2 && (t.taken < most || t.taken < t.used)
}

// The sizes of a lease: the first is small, since most accounts do little; one that is used up soon doubles, up to a
// hundredth of the day, which is what a crash can cost; one that lasts long halves.
const (
	firstShare = 1000 // of the day is in the first lease
	firstMost  = 100
	mostShare  = 100 // of the day is in the largest
	soon       = 5 * time.Second
	long       = time.Minute
	staleTime  = 2 * time.Minute // a day that was not used for so long, beside another, is over
)

// more is up to where a day may be used with a new lease, and its size.
func (t *tally) more(most, now int64) (taken, lease int64) {
	lease = t.lease
	switch held := now - t.leased; {
	case lease == 0:
		lease = min(most/firstShare, firstMost)
	case held < int64(soon):
		lease *= 2
	case held > int64(long):
		lease /= 2
	}
	lease = max(min(lease, most/mostShare), 1)
	want := min(max(lease, t.demand), max(most-t.used, 0))
	t.demand = 0
	return max(t.used+want, t.taken), lease
}

// write stores the batch of a plan, if there is anything in it.
func (l *Limiter) write(ctx context.Context, p *plan) error {
	b := &p.batch
	if len(b.Rates)+len(b.Days)+len(b.Months)+len(b.Reservations)+len(b.Released) == 0 {
		return nil
	}
	l.number++
	b.Server, b.Number = l.cfg.Server, l.number
	return l.store.Write(ctx, *b)
}

// apply lets what is written be used.
func (l *Limiter) apply(p *plan) {
	now := l.steady(p.at)
	for _, planned := range p.accounts {
		a := planned.account
		a.mu.Lock()
		a.flight = nil
		if planned.until != 0 {
			a.until = planned.until
		}
		for _, tp := range planned.tallies {
			if t := tp.tally; tp.lease > 0 {
				t.taken, t.lease, t.leased = tp.taken, tp.lease, now
			} else if t.taken == t.used && tp.taken == t.used {
				a.tallies = slices.DeleteFunc(a.tallies, func(other *tally) bool { return other == t })
			}
		}
		a.mu.Unlock()
	}
	l.credits.mu.Lock()
	defer l.credits.mu.Unlock()
	for _, r := range p.reservations {
		l.credits.stored(r, l.bounds.settled)
	}
}
