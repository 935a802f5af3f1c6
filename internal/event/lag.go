package event

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// lag is where a space stands that is behind the head. Its events up to the head's place are the sweep's to load.
type lag struct {
	position Position // its events up to here are loaded
	state    lagState
	pause    time.Duration // after the next failure
	err      error         // of the last load; nil when it went well, or takes long
}

// lagState is what a space that is behind waits for.
type lagState uint8

const (
	lagRests lagState = iota // until its pause is over
	lagLoads                 // for a load that takes long
	lagDue                   // for the sweep
	lagSwept                 // for nothing: the sweep is at it
)

// probe is how many records the sweep reads to see whether a space can be loaded again.
const probe = 1000

// SpaceFault says which spaces cannot be loaded, and why. All others can.
type SpaceFault struct {
	Spaces []Space // in order, at least one
	errs   []error
}

// Error names the first few.
func (f *SpaceFault) Error() string {
	const few = 3
	var text strings.Builder
	for i, s := range f.Spaces[:min(few, len(f.Spaces))] {
		fmt.Fprintf(&text, "%s cannot be loaded: %v; ", s, f.errs[i])
	}
	if more := len(f.Spaces) - few; more > 0 {
		fmt.Fprintf(&text, "and %d more", more)
	}
	return strings.TrimSuffix(text.String(), "; ")
}

// Unwrap gives the reasons.
func (f *SpaceFault) Unwrap() []error { return f.errs }

// Fault is why the loader cannot do its work, or nil: a SpaceFault when it is about some spaces only.
func (l *Loader) Fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	f := &SpaceFault{}
	for space, g := range l.behind {
		if g.err != nil {
			f.Spaces = append(f.Spaces, space)
		}
	}
	if len(f.Spaces) == 0 {
		return nil
	}
	slices.SortFunc(f.Spaces, func(a, b Space) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Environment, b.Environment))
	})
	for _, space := range f.Spaces {
		f.errs = append(f.errs, l.behind[space].err)
	}
	return f
}

// Behind is how many spaces lack events that others of the same time have: those that cannot be loaded, are slow, or
// are catching up.
func (l *Loader) Behind() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.behind)
}

// fallBehind makes a part's space one that is behind, unless it is. The caller holds the lock.
func (l *Loader) fallBehind(p *part) *lag {
	g := l.behind[p.space]
	if g == nil {
		g = &lag{position: p.records[0].Position - 1, pause: firstPause}
		l.behind[p.space] = g
	}
	return g
}

// fail lets a space rest before it is tried again. The caller holds the lock.
func (l *Loader) fail(ctx context.Context, space Space, g *lag, err error) {
	if ctx.Err() != nil { // the loader stops, and the space may be as good as any
		g.state = lagDue
		return
	}
	l.cfg.Log.Error("events could not be loaded; trying again", "space", space.String(), "error", err, "after", g.position, "pause", g.pause)
	g.state, g.err = lagRests, err
	time.AfterFunc(g.pause, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if g.state == lagRests {
			l.ready(g)
		}
	})
	g.pause = min(2*g.pause, lastPause)
}

// ready gives a space to the sweep. The caller holds the lock.
func (l *Loader) ready(g *lag) {
	g.state = lagDue
	poke(l.due)
}

// hasten ends all pauses.
func (l *Loader) hasten() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.behind {
		if g.state == lagRests {
			l.ready(g)
		}
	}
}

// sweepAlways sweeps whenever a space is due, until ctx is done.
func (l *Loader) sweepAlways(ctx context.Context) {
	for {
		select {
		case <-l.due:
		case <-ctx.Done():
			return
		}
		rested := time.After(firstPause)
		l.sweep(ctx, patience)
		if l.Behind() > 0 { // many that fail at different times are to be tried together
			wait(ctx, rested, nil)
		}
	}
}

// sweep lets the spaces that are due catch up with the head: all together, so that what they lack is read once. Those
// that fail or take long stay behind.
func (l *Loader) sweep(ctx context.Context, patience time.Duration) {
	limit := min(probe, l.cfg.Batch)
	for set, from := l.begin(); len(set) > 0; limit = l.cfg.Batch {
		records, err := l.cfg.Journal.Read(ctx, from, limit) // does not wait: the head was there
		if err == nil {
			err = ctx.Err()
		}
		var parts []*part
		if err == nil {
			parts, err = split(records)
		}
		if err != nil {
			l.abandon(ctx, set, err)
			return
		}
		l.loadAll(ctx, l.missing(parts, set), patience)
		from = l.pass(set, records[len(records)-1].Position)
		l.progress()
	}
	l.progress() // also of the spaces that had caught up already
}

// begin takes the spaces that are due, and says where the one that is furthest behind stands.
func (l *Loader) begin() (set map[Space]*lag, from Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set = map[Space]*lag{}
	for space, g := range l.behind {
		switch {
		case g.state != lagDue:
		case g.position >= l.head: // a load that took long ended there
			delete(l.behind, space)
		default:
			g.state = lagSwept
			set[space] = g
		}
	}
	return set, furthest(set)
}

func furthest(set map[Space]*lag) Position {
	least := Position(math.MaxUint64)
	for _, g := range set {
		least = min(least, g.position)
	}
	return least
}

// missing leaves of parts what the spaces of a set lack.
func (l *Loader) missing(parts []*part, set map[Space]*lag) []*part {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(parts, func(p *part) bool {
		g := set[p.space]
		if g == nil {
			return true
		}
		p.records = after(p.records, g.position)
		return len(p.records) == 0
	})
}

// pass says that the set has come to a position. Those that have not leave it, and those that reach the head become its
// own. It says where the one that is furthest behind stands.
func (l *Loader) pass(set map[Space]*lag, to Position) Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	for space, g := range set {
		if g.state != lagSwept {
			delete(set, space)
			continue
		}
		g.position, g.pause, g.err = max(g.position, to), firstPause, nil
		if g.position >= l.head {
			delete(set, space)
			delete(l.behind, space)
		}
	}
	return furthest(set)
}

// abandon ends a sweep whose records cannot be read.
func (l *Loader) abandon(ctx context.Context, set map[Space]*lag, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for space, g := range set {
		l.fail(ctx, space, g, err)
	}
}
