package limit

import (
	"math"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// tell writes the answer to a request: the state of all limits after it, the shortest window first.
func tell(q *asked, sides *[2]side, v verdict, c *gate.Charged) {
	*c = gate.Charged{}
	t := told{all: &c.All, next: -1}
	for i := range sides {
		if s := &sides[i]; s.limits.Rate.PerSecond > 0 {
			p := s.pace()
			s.tellRate(q, p, t.place(time.Duration(p.window)))
			t.weigh(q.requests)
		}
	}
	for i := range sides {
		if s := &sides[i]; s.limits.Daily.Most > 0 {
			s.tellDaily(q, t.place(secondsOfDay*time.Second))
			t.weigh(q.requests)
		}
	}
	for i := range sides {
		if s := &sides[i]; s.limits.Credits.Most > 0 {
			begin, end := startOfMonth(q.month), startOfMonth(q.month+1)
			s.tellCredits(end.Sub(q.at), t.place(end.Sub(begin)))
			t.weigh(q.credits)
		}
	}
	if q.missed {
		c.Down = q.lenient.String()
	}
	if v.finding == passes {
		if t.next >= 0 {
			c.Next = c.All[t.next]
		}
		return
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

// told is the counters of an answer while they are put together.
type told struct {
	all   *[6]gate.Counter
	count int
	at    int   // of the last one
	next  int   // which would deny next
	lasts int64 // so many more requests pass it
}

// place makes room for a counter behind those of no longer window.
func (t *told) place(window time.Duration) *gate.Counter {
	at := t.count
	for ; at > 0 && t.all[at-1].Window > window; at-- {
		t.all[at] = t.all[at-1]
		if t.next == at-1 {
			t.next = at
		}
	}
	t.at = at
	t.count++
	t.all[at].Window = window
	return &t.all[at]
}

// weigh compares the last counter with the others. The next is the one that fewest further requests like this one pass,
// and of equals the one that lasts longest.
func (t *told) weigh(cost int64) {
	c, lasts := &t.all[t.at], int64(math.MaxInt64)
	switch {
	case cost == 1:
		lasts = c.Left
	case cost > 1:
		lasts = c.Left / cost
	}
	if t.next < 0 || lasts < t.lasts || lasts == t.lasts && c.Window > t.all[t.next].Window {
		t.next, t.lasts = t.at, lasts
	}
}

func (s *side) pace() pace {
	if s.account != nil {
		return s.account.pace
	}
	return paceOf(s.limits.Rate)
}

func (s *side) tellRate(q *asked, p pace, c *gate.Counter) {
	c.Name, c.Most = names[s.first+rate], p.burst/unit
	if c.Left, c.Reset = c.Most, 0; s.account != nil {
		c.Left, c.Reset = s.account.bucket.left(q.now, p)
	}
}

func (s *side) tellDaily(q *asked, c *gate.Counter) {
	c.Name, c.Most, c.Reset = names[s.first+daily], s.limits.Daily.Most, time.Duration(q.dayLeft)
	if c.Left = c.Most; s.tally != nil {
		c.Left = max(c.Most-s.tally.used, 0)
	}
}

func (s *side) tellCredits(left time.Duration, c *gate.Counter) {
	c.Name, c.Most, c.Reset = names[s.first+credit], s.limits.Credits.Most, left
	if c.Left = c.Most; s.purse != nil {
		c.Left = max(s.purse.left(c.Most), 0)
	}
}
