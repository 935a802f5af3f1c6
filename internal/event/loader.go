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
	Gather    time.Duration // at most one load begins in this time, and events gather until the next; zero: 200 milliseconds
	Batch     int           // records a load; zero: 20,000
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
type Loader struct {
	cfg    LoaderConfig
	hurry  chan struct{} // somebody waits for events to be queryable
	mu     sync.Mutex
	loaded Position
	moved  chan struct{} // closed and replaced when loaded grows
	fault  error         // of the last try; nil when it went well
}

// NewLoader makes a loader; Run starts it.
func NewLoader(cfg LoaderConfig) *Loader {
	if cfg.Gather == 0 {
		cfg.Gather = 200 * time.Millisecond
	}
	if cfg.Batch == 0 {
		cfg.Batch = 20_000
	}
	return &Loader{cfg: cfg, loaded: cfg.Start, hurry: make(chan struct{}, 1), moved: make(chan struct{})}
}

// Run loads until ctx is done. The first event after a quiet time is loaded at once, those that follow gather: a load of
// many costs little more than a load of one. A failed load is tried again, for ever, with growing pauses: what is in the
// journal was promised.
func (l *Loader) Run(ctx context.Context) {
	pause := firstPause
	for {
		records, err := l.read(ctx)
		gathered := time.After(l.cfg.Gather)
		if err == nil {
			err = l.load(ctx, records)
		}
		if ctx.Err() != nil {
			return
		}
		l.report(err)
		switch {
		case err != nil:
			l.cfg.Log.Error("events could not be loaded; trying again", "error", err, "after", l.Loaded(), "pause", pause)
			wait(ctx, time.After(pause), nil)
			pause = min(2*pause, lastPause)
			continue
		case 0 < len(records) && len(records) < l.cfg.Batch:
			wait(ctx, gathered, l.hurry)
		}
		pause = firstPause
	}
}

// Drain loads everything that is in the journal up to a position, and returns when it is loaded or ctx is done. It is
// for a server that stops, after Run has returned.
func (l *Loader) Drain(ctx context.Context, upTo Position) error {
	for l.Loaded() < upTo {
		records, err := l.cfg.Journal.Read(ctx, l.Loaded(), l.cfg.Batch)
		if err != nil {
			return err
		}
		if err := l.load(ctx, records); err != nil {
			return err
		}
	}
	return nil
}

// Loaded is the position up to which everything can be queried.
func (l *Loader) Loaded() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded
}

// Fault is why the last try to load failed, or nil.
func (l *Loader) Fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// Await returns when everything up to a position can be queried, or with ctx's error. It makes the loader hurry.
func (l *Loader) Await(ctx context.Context, upTo Position) error {
	for {
		l.mu.Lock()
		loaded, moved := l.loaded, l.moved
		l.mu.Unlock()
		if loaded >= upTo {
			return nil
		}
		select {
		case l.hurry <- struct{}{}:
		default:
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read gives the next records, and none when none came for the time of quiet.
func (l *Loader) read(ctx context.Context) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	records, err := l.cfg.Journal.Read(ctx, l.Loaded(), l.cfg.Batch)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil { // ours, and not one of the journal's own
		return nil, nil
	}
	return records, err
}

// load stores records, each with its space, and moves on.
func (l *Loader) load(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	spaces, order := map[Space][]Record{}, []Space{}
	for _, r := range records {
		space, err := SpaceOf(r.Data)
		if err != nil {
			return err
		}
		if spaces[space] == nil {
			order = append(order, space)
		}
		spaces[space] = append(spaces[space], r)
	}
	for _, space := range order {
		if err := l.cfg.Warehouse.Load(ctx, space, spaces[space]); err != nil {
			return err
		}
	}
	l.advance(records[len(records)-1].Position)
	return nil
}

// advance says that everything up to a position is loaded. When the journal cannot release it, it will with the next.
func (l *Loader) advance(to Position) {
	l.mu.Lock()
	l.loaded = to
	close(l.moved)
	l.moved = make(chan struct{})
	l.mu.Unlock()
	if err := l.cfg.Journal.Release(to); err != nil {
		l.cfg.Log.Warn("the journal keeps records that are loaded", "error", err, "upTo", to)
	}
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
