package limit

import (
	"math"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// told gathers the counters for an answer, the shortest window first.
type told struct {
	charged *gate.Charged
	count   int
	next    int   // which would deny next
	lasts   int64 // so many more requests pass it
}

// tell is the answer to a request: the state of all limits after it.
func tell(q *asked, sides *[2]side, v verdict) (c gate.Charged) {
	t := told{charged: &c, next: -1}
	for i := range sides {
		if s := &sides[i]; s.limits.Rate.PerSecond > 0 {
			t.add(s.rateCounter(q), q.requests)
		}
	}
	for i := range sides {
		if s := &sides[i]; s.limits.Daily.Most > 0 {
			t.add(s.dailyCounter(q), q.requests)
		}
	}
	for i := range sides {
		if s := &sides[i]; s.limits.Credits.Most > 0 {
			t.add(s.creditsCounter(q), q.credits)
		}
	}
	if q.missed {
		c.Down = q.lenient.String()
	}
	if v.finding == passes {
		if t.next >= 0 {
			c.Next = c.All[t.next]
		}
		return c
	}
	for i := range c.All {
		if c.All[i].Name == names[v.limit] {
			c.Next = c.All[i]
		}
	}
	c.Over = names[v.limit]
	switch {
	case v.finding == unreachable:
		c.Over, c.Wait, c.Down = gate.LimitsDown, comeAgain, denies(q, sides, v.limit).String()
		c.Next.Left, c.Next.Reset = 0, comeAgain
	case v.wait != never:
		c.Wait = time.Duration(v.wait)
	}
	return c
}

// denies is what the limit does that denies for want of the store.
func denies(q *asked, sides *[2]side, limit int) access.OnFailure {
	limits := &sides[limit/ofProject].limits
	how := [...]access.OnFailure{limits.Rate.OnFailure, limits.Daily.OnFailure, limits.Credits.OnFailure}[limit%ofProject]
	if q.refused {
		return access.FailDeny
	}
	return how
}

// add puts a counter in its place. Next is the one that fewest further requests like this one pass, and of equals the
// one that lasts longest.
func (t *told) add(c gate.Counter, cost int64) {
	at := t.count
	for ; at > 0 && t.charged.All[at-1].Window > c.Window; at-- {
		t.charged.All[at] = t.charged.All[at-1]
		if t.next == at-1 {
			t.next = at
		}
	}
	t.charged.All[at] = c
	t.count++
	lasts := int64(math.MaxInt64)
	if cost > 0 {
		lasts = c.Left / cost
	}
	if t.next < 0 || lasts < t.lasts || lasts == t.lasts && c.Window > t.charged.All[t.next].Window {
		t.next, t.lasts = at, lasts
	}
}

func (s *side) rateCounter(q *asked) gate.Counter {
	p := paceOf(s.limits.Rate)
	c := gate.Counter{Name: names[s.first+rate], Most: p.burst / unit, Left: p.burst / unit, Window: p.window()}
	if s.account != nil {
		c.Left, c.Reset = s.account.bucket.left(q.now, p)
	}
	return c
}

func (s *side) dailyCounter(q *asked) gate.Counter {
	most := s.limits.Daily.Most
	c := gate.Counter{Name: names[s.first+daily], Most: most, Left: most, Window: secondsOfDay * time.Second, Reset: endOfDay(q.day).Sub(q.at)}
	if s.tally != nil {
		c.Left = max(most-s.tally.used, 0)
	}
	return c
}

func (s *side) creditsCounter(q *asked) gate.Counter {
	most, end := s.limits.Credits.Most, startOfMonth(q.month+1)
	c := gate.Counter{Name: names[s.first+credit], Most: most, Left: most, Window: end.Sub(startOfMonth(q.month)), Reset: end.Sub(q.at)}
	if s.purse != nil {
		c.Left = max(s.purse.left(most), 0)
	}
	return c
}
