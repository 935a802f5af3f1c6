package event_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/event"
)

// journal is an event.Journal in memory. Its faults are functions that are asked before each call.
type journal struct {
	mu       sync.Mutex
	records  [][]byte
	released event.Position
	more     chan struct{} // closed when records come

	appendFault, readFault, releaseFault func() error
}

func newJournal() *journal { return &journal{more: make(chan struct{})} }

func (j *journal) Append(_ context.Context, records [][]byte) (event.Position, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := ask(j.appendFault); err != nil {
		return 0, err
	}
	j.records = append(j.records, records...)
	close(j.more)
	j.more = make(chan struct{})
	return event.Position(len(j.records)), nil
}

func (j *journal) Read(ctx context.Context, after event.Position, limit int) ([]event.Record, error) {
	for {
		j.mu.Lock()
		err, released, more := ask(j.readFault), j.released, j.more
		var found []event.Record
		for p := after; p < event.Position(len(j.records)) && len(found) < limit; p++ {
			found = append(found, event.Record{Position: p + 1, Data: j.records[p]})
		}
		j.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case after < released:
			return nil, fmt.Errorf("read after %d, but %d is released", after, released)
		case len(found) > 0:
			return found, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (j *journal) Release(upTo event.Position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := ask(j.releaseFault); err != nil {
		return err
	}
	j.released = max(j.released, upTo)
	return nil
}

func (j *journal) Close() error { return nil }

// freed is the position up to which records were released.
func (j *journal) freed() event.Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.released
}

// last is the position of the last record.
func (j *journal) last() event.Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return event.Position(len(j.records))
}

// events are all events in the journal.
func (j *journal) events(t testing.TB) []event.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]event.Event, len(j.records))
	for i, data := range j.records {
		e, err := event.DecodeEvent(data)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = e
	}
	return all
}

// warehouse is an event.Warehouse in memory, which keeps what it stores and when it was asked to. It stores the loads of
// different spaces at the same time.
type warehouse struct {
	mu       sync.Mutex
	stored   map[event.Space][]event.Record
	position map[event.Space]event.Position
	began    []time.Time
	now      func() time.Time
	takes    time.Duration                 // of a load, or as long as its ctx is good
	fault    map[event.Space]error         // of each load of a space, and of asking where it is
	slow     map[event.Space]time.Duration // what its loads take
	held     int                           // records of loads under way
	mostHeld int

	before, after func() error // the fault of a call before it stores, and after
}

func (w *warehouse) Load(ctx context.Context, space event.Space, records []event.Record) error {
	if err := w.begin(ctx, space, len(records)); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held -= len(records)
	if err := ask(w.before); err != nil {
		return err
	}
	if err := w.fault[space]; err != nil {
		return err
	}
	if w.stored == nil {
		w.stored, w.position = map[event.Space][]event.Record{}, map[event.Space]event.Position{}
	}
	last := event.Position(0)
	for _, r := range records {
		if in, err := event.SpaceOf(r.Data); err != nil || in != space {
			return fmt.Errorf("a record of %v for %v: %w", in, space, err)
		}
		if r.Position <= last {
			return fmt.Errorf("position %d after %d", r.Position, last)
		}
		if last = r.Position; last > w.position[space] {
			w.stored[space] = append(w.stored[space], r)
		}
	}
	w.position[space] = max(w.position[space], last)
	return ask(w.after)
}

// begin notes a load, and takes its time.
func (w *warehouse) begin(ctx context.Context, space event.Space, records int) error {
	w.mu.Lock()
	takes := max(w.takes, w.slow[space])
	if w.now != nil {
		w.began = append(w.began, w.now())
	}
	w.held += records
	w.mostHeld = max(w.mostHeld, w.held)
	w.mu.Unlock()
	if takes == 0 {
		return nil
	}
	select {
	case <-time.After(takes):
		return nil
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held -= records
		return ctx.Err()
	}
}

func (w *warehouse) Loaded(_ context.Context, space event.Space) (event.Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.position[space], w.fault[space]
}

// count is how many records are stored.
func (w *warehouse) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, records := range w.stored {
		n += len(records)
	}
	return n
}

// most is how many records the loads under way had at the most.
func (w *warehouse) most() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mostHeld
}

// loads are the times at which loads began.
func (w *warehouse) loads() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]time.Time(nil), w.began...)
}

func (w *warehouse) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = func() error { return err }
}

// breakSpace makes every load of a space fail; with nil it is mended.
func (w *warehouse) breakSpace(space event.Space, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil {
		w.fault = map[event.Space]error{}
	}
	w.fault[space] = err
}

func ask(fault func() error) error {
	if fault == nil {
		return nil
	}
	return fault()
}

var errBroken = errors.New("broken")

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// seeded is chance that is the same in each run.
func seeded() io.Reader { return rand.NewChaCha8([32]byte{1}) }
