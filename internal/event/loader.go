package event

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// LoaderConfig is what a Loader is made of.
type LoaderConfig struct {
	Journal   Journal
	Warehouse Warehouse
	Start     Position      // a position up to which every space is known to be loaded; 0 when nothing is known
	Last      Position      // of the journal when it was opened: a space that has more was loaded from another journal
	Gather    time.Duration // at most one load of a space begins in this time, and events gather until the next; zero: 200 milliseconds
	Batch     int           // records read at once; zero: 20,000
	Log       *slog.Logger
}

// The pauses after failures double from the first to the last. When nothing has come for the time of quiet, there is
// nothing to load, and so no fault.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
	quiet      = 5 * time.Second
)

// Loader moves the journal into the warehouse. Each space keeps its own position there, in the transaction that stores
// the events, so that after any crash each event is there exactly once.
//
// The head reads the journal from its start to its end and loads each space's part of what it read. A space whose part
// cannot be loaded, or not soon, falls behind (lag): the head goes on without it, and forgets its events. The sweep
// reads them again from where the space stands, loads them, and gives the space back to the head when it has caught up.
// So at any time a space is loaded by one of the two, in the order of its events. What is in the journal stays there
// until every space has it.
//
// In memory are at most one batch of the head, one of the sweep, and the parts that maxLate slow loads are about.
type Loader struct {
	cfg   LoaderConfig
	hurry chan struct{} // somebody waits for events to be queryable
	due   chan struct{} // a space that is behind is due
	loads sync.WaitGroup

	mu       sync.Mutex
	head     Position           // the head has read up to here; what comes before it of a space that is behind is the sweep's
	done     Position           // up to here everything is loaded but what spaces that are behind lack; at most head
	stored   map[Space]Position // up to here a space is loaded, as far as is known; of spaces that were seen
	behind   map[Space]*lag
	late     int // loads nobody waits for
	released Position
	moved    chan struct{} // closed and replaced when something was loaded
	fault    error         // of the head's last try to read; nil when it went well
}

// NewLoader makes a loader; Run starts it.
func NewLoader(cfg LoaderConfig) *Loader {
	if cfg.Gather == 0 {
		cfg.Gather = 200 * time.Millisecond
	}
	if cfg.Batch == 0 {
		cfg.Batch = 20_000
	}
	return &Loader{
		cfg: cfg, head: cfg.Start, done: cfg.Start, released: cfg.Start, stored: map[Space]Position{}, behind: map[Space]*lag{},
		hurry: make(chan struct{}, 1), due: make(chan struct{}, 1), moved: make(chan struct{}),
	}
}

// Run loads until ctx is done. The first event after a quiet time is loaded at once, those that follow gather: a load of
// many costs little more than a load of one. What fails is tried again, for ever, with growing pauses: what is in the
// journal was promised.
func (l *Loader) Run(ctx context.Context) {
	var sweeper sync.WaitGroup
	sweeper.Go(func() { l.sweepAlways(ctx) })
	l.follow(ctx)
	sweeper.Wait()
	l.loads.Wait()
}

// follow is the head.
func (l *Loader) follow(ctx context.Context) {
	pause := firstPause
	for {
		records, err := l.read(ctx)
		gathered := time.After(l.cfg.Gather)
		if err == nil {
			err = l.load(ctx, records, patience)
		}
		if ctx.Err() != nil {
			return
		}
		l.report(err)
		switch {
		case err != nil:
			l.cfg.Log.Error("the journal could not be read; trying again", "error", err, "after", l.place(), "pause", pause)
			wait(ctx, time.After(pause), nil)
			pause = min(2*pause, lastPause)
			continue
		case 0 < len(records) && len(records) < l.cfg.Batch:
			wait(ctx, gathered, l.hurry)
		}
		pause = firstPause
	}
}

// Drain loads everything that is in the journal up to a position, and returns when it is loaded or ctx is done. What
// fails is tried once more, and its error returned after everything else is loaded. It is for a server that stops, after
// Run has returned.
func (l *Loader) Drain(ctx context.Context, upTo Position) error {
	for l.place() < upTo {
		records, err := l.cfg.Journal.Read(ctx, l.place(), l.cfg.Batch)
		if err != nil {
			return err
		}
		if err := l.load(ctx, records, 0); err != nil {
			return err
		}
	}
	l.report(nil)
	l.hasten()
	l.sweep(ctx, 0)
	if err := l.Fault(); err != nil {
		return err
	}
	if l.Behind() > 0 {
		return ctx.Err()
	}
	return nil
}

// Loaded is the position up to which everything can be queried, in every space.
func (l *Loader) Loaded() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.everywhere()
}

// everywhere is Loaded. The caller holds the lock.
func (l *Loader) everywhere() Position {
	least := l.done
	for _, g := range l.behind {
		least = min(least, g.position)
	}
	return least
}

// in is the position up to which one space can be queried. The caller holds the lock.
func (l *Loader) in(space Space) Position {
	at := l.done
	if g := l.behind[space]; g != nil {
		at = g.position
	}
	return max(at, l.stored[space])
}

// Await returns when everything up to a position can be queried in some spaces, or in all when none are named, or with
// ctx's error. It makes the loader hurry.
func (l *Loader) Await(ctx context.Context, upTo Position, spaces ...Space) error {
	for {
		there, hurry, moved := l.look(upTo, spaces)
		if there {
			return nil
		}
		if hurry {
			poke(l.hurry)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look tells whether spaces are loaded up to a position, whether the head could do something about it, and when to look
// again.
func (l *Loader) look(upTo Position, spaces []Space) (there, hurry bool, moved <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(spaces) == 0 {
		return l.everywhere() >= upTo, l.done < upTo, l.moved
	}
	there = true
	for _, space := range spaces {
		if l.in(space) < upTo {
			there, hurry = false, hurry || l.behind[space] == nil
		}
	}
	return there, hurry, l.moved
}

// read gives the next records, and none when none came for the time of quiet.
func (l *Loader) read(ctx context.Context) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	records, err := l.cfg.Journal.Read(ctx, l.place(), l.cfg.Batch)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil { // ours, and not one of the journal's own
		return nil, nil
	}
	return records, err
}

// load moves the head over records. Each space's part is stored, or left to the sweep. The error is that of records that
// are no events, which the head never passes.
func (l *Loader) load(ctx context.Context, records []Record, patience time.Duration) error {
	if len(records) == 0 {
		return nil
	}
	parts, err := split(records)
	if err != nil {
		return err
	}
	last := records[len(records)-1].Position
	l.loadAll(ctx, l.claim(parts, last), patience)
	l.mu.Lock()
	l.done = last
	l.mu.Unlock()
	l.progress()
	return nil
}

// claim moves the head to a position, and gives the parts of what it read that are the head's to load.
func (l *Loader) claim(parts []*part, last Position) []*part {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = last
	mine := parts[:0]
	for _, p := range parts {
		if l.behind[p.space] == nil {
			mine = append(mine, p)
		}
	}
	return mine
}

// place is how far the head has come.
func (l *Loader) place() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// progress wakes those who wait, and lets the journal go of what every space has. When the journal cannot release it, it
// will with the next.
func (l *Loader) progress() {
	l.mu.Lock()
	l.wake()
	loaded, released := l.everywhere(), l.released
	l.mu.Unlock()
	if loaded <= released {
		return
	}
	if err := l.cfg.Journal.Release(loaded); err != nil {
		l.cfg.Log.Warn("the journal keeps records that are loaded", "error", err, "upTo", loaded)
		return
	}
	l.mu.Lock()
	l.released = max(l.released, loaded)
	l.mu.Unlock()
}

// wake tells those who wait that something was loaded. The caller holds the lock.
func (l *Loader) wake() {
	close(l.moved)
	l.moved = make(chan struct{})
}

func (l *Loader) report(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = err
}

// wait returns when the time has come, somebody is in a hurry, or ctx is done.
func wait(ctx context.Context, due <-chan time.Time, hurry <-chan struct{}) {
	select {
	case <-due:
	case <-hurry:
	case <-ctx.Done():
	}
}

// poke leaves a word in a channel of one place, unless there is one.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
