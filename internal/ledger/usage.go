package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Grain is a span of time that is counted together. The zero Grain is Hour.
type Grain uint8

// The grains. Each is kept for a time of its own: minutes for two days, hours for sixty, days for four hundred.
const (
	Hour Grain = iota
	Minute
	Day
)

// Span is how long the grain is.
func (g Grain) Span() time.Duration {
	return [...]time.Duration{Hour: hour * time.Second, Minute: minute * time.Second, Day: day * time.Second}[g]
}

// DaysFrom is the first day, UTC, of which the counts by day are there at a time. Of days before it nothing is known.
func DaysFrom(now time.Time) time.Time { return now.UTC().Add(-daysKept).Truncate(Day.Span()) }

// Breakdown is a set of members of About by which counts are told apart.
type Breakdown uint8

// What counts can be told apart by.
const (
	ByKey Breakdown = 1 << iota
	ByOutcome
	ByReason
	ByAction
	ByEnvironment
	ByEvent
	ByNetwork

	endOfBreakdowns
)

var breakdownNames = [...]string{"key", "outcome", "reason", "action", "environment", "event", "network"}

// BreakdownNames lists what counts can be told apart by, in the order in which counts are sorted.
func BreakdownNames() []string { return append([]string{}, breakdownNames[:]...) }

// ParseBreakdown reads one of BreakdownNames.
func ParseBreakdown(name string) (Breakdown, bool) {
	for i, known := range breakdownNames {
		if name == known {
			return 1 << i, true
		}
	}
	return 0, false
}

// UsageQuery says what to count. Empty members do not narrow.
type UsageQuery struct {
	Grain Grain
	By    Breakdown // what to tell apart; 0: nothing, so that each span has one count
	From  time.Time // spans that begin at it or later
	To    time.Time // spans that begin before it; zero: until now
	About           // what to count; its project is the permit's
	After string    // what the page before gave as next; empty for the first
	Limit int       // 1 to MaxCount
}

// CountQuery is a UsageQuery as the store gets it. From and To are starts of spans.
type CountQuery struct {
	Grain Grain
	By    Breakdown
	From  time.Time
	To    time.Time
	Live  bool // counts of keys of live mode are in it, and of no key
	About      // its project is the one to be asked about
	After *CountPlace
	Limit int
}

// CountPlace is a count's place in the order of a list: by time, and then by those members that are told apart, in the
// order of BreakdownNames and as texts.
type CountPlace struct {
	At   time.Time
	What [len(breakdownNames)]string
}

// PlaceOf is the place of a count in a list that tells these members apart.
func PlaceOf(c Count) CountPlace {
	return CountPlace{At: c.At, What: [...]string{
		c.KeyID, c.Outcome.String(), c.Reason, ActionName(c.Action), c.Environment, c.Event, writeNetwork(c.Network),
	}}
}

// ActionName is an action's name; that of none is empty.
func ActionName(a access.Action) string {
	if !a.Declared() {
		return ""
	}
	return a.String()
}

// Usage adds up what happened in the permit's project, oldest first. It counts every decision, also the denials that are
// no longer, or never were, kept one by one. What was decided before the call is in the answer, unless the store cannot
// take it. next is empty after the last page.
func (l *Ledger) Usage(ctx context.Context, permit gate.Permit, u UsageQuery) (list []Count, next string, err error) {
	if err := u.check(); err != nil {
		return nil, "", err
	}
	q := CountQuery{
		Grain: u.Grain, By: u.By, From: ceil(u.From, u.Grain.Span()), To: ceil(u.To, u.Grain.Span()),
		Live: permit.Live(), About: u.About, Limit: u.Limit + 1,
	}
	q.Project = permit.Project()
	if u.To.IsZero() {
		q.To = ceil(l.cfg.Now().Add(time.Hour), u.Grain.Span())
	}
	if u.After != "" {
		var p CountPlace
		at, ok := readCursor(u.After, &p.What[0], &p.What[1], &p.What[2], &p.What[3], &p.What[4], &p.What[5], &p.What[6])
		if !ok {
			return nil, "", badCursor()
		}
		p.At, q.After = at, &p
	}
	_ = l.flush(ctx, false) // what the store does not take, Stats tells
	if list, err = l.store.Usage(ctx, q); err != nil {
		return nil, "", fmt.Errorf("ledger: add up counts: %w", err)
	}
	if len(list) > u.Limit {
		list = list[:u.Limit]
		last := PlaceOf(list[u.Limit-1])
		next = writeCursor(last.At, last.What[:]...)
	}
	return list, next, nil
}

func (u *UsageQuery) check() error {
	switch {
	case u.Grain > Day:
		return problem.Invalid("grain", "is not one of minute, hour and day")
	case u.By >= endOfBreakdowns:
		return problem.Invalid("by", "is nothing that counts are told apart by")
	case u.Limit < 1 || u.Limit > MaxCount:
		return problem.Invalid("limit", "must be from 1 to %d", MaxCount)
	}
	return checkAbout(u.About)
}

// ceil is the start of the first span that begins at a time or later.
func ceil(t time.Time, span time.Duration) time.Time {
	start := startOf(numberOf(t.UnixMicro(), int64(span/time.Second)), int64(span/time.Second))
	if start.Before(t) {
		start = start.Add(span)
	}
	return start
}
