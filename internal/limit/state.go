package limit

import (
	"context"
	"fmt"
	"hash/maphash"

	"github.com/weir-analytics/weir/internal/gate"
)

// State is what an account has used of its limits. Granted is Spent, Reserved and Remaining together, always; Remaining
// is negative when the limit was lowered below what is spent.
type State struct {
	Requests  int64 // in this day, UTC; they are counted only while there is a daily limit
	Granted   int64 // credits for this month, UTC; 0: there is no limit
	Spent     int64
	Reserved  int64 // for requests under way
	Remaining int64
}

// KeyState is what a key has used, and ProjectState a project, as of now. They ask the store when the account is not in
// memory.
func (l *Limiter) KeyState(ctx context.Context, a gate.Account) (State, error) {
	return l.state(ctx, &l.keys, a)
}

// ProjectState is KeyState for a project.
func (l *Limiter) ProjectState(ctx context.Context, a gate.Account) (State, error) {
	return l.state(ctx, &l.projects, a)
}

func (l *Limiter) state(ctx context.Context, r *registry, a gate.Account) (State, error) {
	now := l.cfg.Now()
	name, day, month := r.prefix+a.ID, dayOf(now), monthOf(now)
	s := State{Granted: max(a.Limits.Credits.Most, 0)}
	requests, knownDay := r.requests(a.ID, maphash.String(l.seed, a.ID), day)
	spent, reserved, knownMonth := l.credits.state(purseID{name, month})
	var want Wanted
	if !knownDay {
		want.Days = []Day{{Account: name, Day: day}}
	}
	if !knownMonth {
		want.Months = []Month{{Account: name, Month: month}}
	}
	if !knownDay || !knownMonth {
		written, err := l.store.Load(ctx, want)
		if err != nil {
			return State{}, fmt.Errorf("limit: read the state of %s: %w", name, err)
		}
		for _, d := range written.Days {
			requests += d.Requests
		}
		for _, m := range written.Months {
			spent += m.Spent
		}
	}
	s.Requests, s.Spent, s.Reserved = requests, spent, reserved
	s.Remaining = s.Granted - spent - reserved
	return s, nil
}

// requests is how many an account in memory has counted in a day; it is not known when the store has to add its own.
func (r *registry) requests(id string, hash uint64, day int64) (n int64, known bool) {
	a := r.find(id, hash)
	if a == nil {
		return 0, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tallies {
		if t.day == day {
			return t.used, t.known
		}
	}
	return 0, false
}

func (c *credits) state(id purseID) (spent, reserved int64, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.purses[id]
	if p == nil {
		return 0, 0, false
	}
	return p.spent, p.reserved, p.known
}
