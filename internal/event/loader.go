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
	Start     Position             // a position up to which every space is known to be loaded; 0 when nothing is known
	Done      func(Position) error // called when every space is loaded up to a position; what it keeps is the next Start
	Gather    time.Duration        // how long to let events gather before they are loaded; zero: 200 milliseconds
	Batch     int                  // records a load; zero: 20,000
	Log       *slog.Logger
}

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

// Run loads until ctx is done. A failed load is tried again, for ever, with growing pauses: what is in the journal was
// promised.
func (l *Loader) Run(ctx context.Context) {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		records, err := l.cfg.Journal.Read(ctx, l.Loaded(), l.cfg.Batch)
		if err == nil && len(records) < l.cfg.Batch {
			records, err = l.gather(ctx, records)
		}
		if err == nil {
			err = l.load(ctx, records)
		}
		if err != nil && ctx.Err() == nil {
			pause = min(max(2*pause, 50*time.Millisecond), 5*time.Second)
			l.cfg.Log.Error("events could not be loaded; trying again", "error", err, "after", l.Loaded(), "pause", pause)
			rest(ctx, pause)
		} else {
			pause = 0
		}
		l.report(err)
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

// gather lets more events come to those just read, since a load of many costs little more than a load of one, and reads
// them all. It ends early when somebody waits.
func (l *Loader) gather(ctx context.Context, first []Record) ([]Record, error) {
	timer := time.NewTimer(l.cfg.Gather)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.hurry:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	records, err := l.cfg.Journal.Read(ctx, l.Loaded(), l.cfg.Batch)
	if err != nil {
		return first, nil //nolint:nilerr // what was read before is good, and the next Read meets the error again
	}
	return records, nil
}

func (l *Loader) load(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return errors.New("the journal returned no records")
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
	return l.advance(records[len(records)-1].Position)
}

func (l *Loader) advance(to Position) error {
	l.mu.Lock()
	l.loaded = to
	close(l.moved)
	l.moved = make(chan struct{})
	l.mu.Unlock()
	return l.cfg.Journal.Release(to)
}

func (l *Loader) report(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = err
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
