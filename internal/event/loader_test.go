package event_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/event"
)

// yard is a loader between a journal and a warehouse in memory, in a bubble whose clock is the test's own.
type yard struct {
	journal   *journal
	warehouse *warehouse
	loader    *event.Loader
	stop      context.CancelFunc
	done      chan struct{} // closed when Run has returned
}

// newYard makes a yard whose loader does not run yet.
func newYard(now func() time.Time) *yard {
	y := &yard{journal: newJournal(), warehouse: &warehouse{now: now}}
	y.loader = event.NewLoader(event.LoaderConfig{Journal: y.journal, Warehouse: y.warehouse, Log: quietLog()})
	return y
}

func (y *yard) run(t testing.TB) {
	ctx, cancel := context.WithCancel(t.Context())
	y.stop, y.done = cancel, make(chan struct{})
	go func() {
		defer close(y.done)
		y.loader.Run(ctx)
	}()
}

// add appends an event for each environment, in one batch, and gives the position of the last.
func (y *yard) add(environments ...string) event.Position {
	var batch [][]byte
	for _, environment := range environments {
		batch = append(batch, record(environment))
	}
	last, err := y.journal.Append(context.Background(), batch)
	if err != nil {
		panic(err)
	}
	return last
}

func record(environment string) []byte {
	return event.AppendEvent(nil, &event.Event{Kind: event.Track, Project: "prj_1", Environment: environment, Properties: []byte("{}")})
}

func space(environment string) event.Space {
	return event.Space{Project: "prj_1", Environment: environment}
}

// positions are those stored for an environment.
func (y *yard) positions(environment string) []event.Position {
	y.warehouse.mu.Lock()
	defer y.warehouse.mu.Unlock()
	var all []event.Position
	for _, r := range y.warehouse.stored[space(environment)] {
		all = append(all, r.Position)
	}
	return all
}

// Promise: events are loaded in order, each space with its own and no other's, and are released when they are loaded.
func TestLoaderLoadsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.add("a", "b", "a")
		y.run(t)
		time.Sleep(time.Second)
		last := y.add("b", "c", "a")
		time.Sleep(time.Second)
		got := fmt.Sprint(y.positions("a"), y.positions("b"), y.positions("c"))
		if got != "[1 3 6] [2 4] [5]" {
			t.Errorf("stored %s", got)
		}
		if len(y.warehouse.loads()) != 5 {
			t.Errorf("%d loads, want one for each space and time", len(y.warehouse.loads()))
		}
		if y.loader.Loaded() != last || y.journal.freed() != last || y.loader.Fault() != nil {
			t.Errorf("loaded up to %d, released %d, fault %v", y.loader.Loaded(), y.journal.freed(), y.loader.Fault())
		}
		y.stop()
		<-y.done
	})
}

// Promise: an event can be queried within a second of being durable, at the defaults, whenever it comes and however many
// come, while a load takes up to 300 milliseconds. Loads do not begin more often than every 200.
func TestLoaderIsPrompt(t *testing.T) {
	t.Parallel()
	for _, takes := range []time.Duration{0, 300 * time.Millisecond} {
		t.Run(takes.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				y := newYard(time.Now)
				y.warehouse.takes = takes
				y.run(t)
				for i := range 400 {
					pause := time.Duration(i*i%97) * time.Millisecond
					if i%50 == 0 {
						pause = 20 * time.Second // longer than quiet
					}
					time.Sleep(pause)
					last, came := y.add("a"), time.Now()
					go func() {
						for y.loader.Loaded() < last {
							time.Sleep(time.Millisecond)
						}
						if took := time.Since(came); took > time.Second {
							t.Errorf("event %d could be queried after %v", last, took)
						}
					}()
				}
				time.Sleep(2 * time.Second)
				if got := y.warehouse.count(); got != 400 {
					t.Errorf("%d of 400 are stored", got)
				}
				loads := y.warehouse.loads()
				for i := range loads[1:] {
					if gap := loads[i+1].Sub(loads[i]); gap < 200*time.Millisecond {
						t.Errorf("loads began %v apart", gap)
					}
				}
				y.stop()
				<-y.done
			})
		})
	}
}

// Promise: the first event after a quiet time is loaded at once, and those that follow gather; but not when somebody
// waits for them, nor when there is more than a load takes.
func TestLoaderGathers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.loader = event.NewLoader(event.LoaderConfig{Journal: y.journal, Warehouse: y.warehouse, Gather: time.Minute, Batch: 10, Log: quietLog()})
		start := time.Now()
		y.run(t)
		time.Sleep(time.Hour)
		y.add("a")
		time.Sleep(time.Second)
		for range 9 {
			y.add("a")
			time.Sleep(time.Second)
		}
		y.stopAt(t, start.Add(time.Hour+time.Minute), 10) // at once, and after a minute

		y.add("a")
		synctest.Wait()
		last := y.add("a")
		asked := time.Now()
		if err := y.loader.Await(t.Context(), last); err != nil || time.Since(asked) != 0 {
			t.Errorf("awaited for %v, %v", time.Since(asked), err)
		}
		time.Sleep(time.Hour)

		y.add(slices.Repeat([]string{"a"}, 35)...)
		synctest.Wait()
		if got := y.loader.Loaded(); got != 47 {
			t.Errorf("loaded up to %d, want all 47 without a pause", got)
		}
		y.stop()
		<-y.done
	})
}

// stopAt waits until just after a time, and says whether a number of events is loaded then, but was not just before.
func (y *yard) stopAt(t *testing.T, at time.Time, want int) {
	t.Helper()
	wait := func(until time.Time) {
		ctx, cancel := context.WithDeadline(t.Context(), until)
		defer cancel()
		<-ctx.Done()
		synctest.Wait()
	}
	wait(at.Add(-time.Millisecond))
	if y.warehouse.count() >= want {
		t.Errorf("%d were loaded before %v", y.warehouse.count(), at)
	}
	wait(at.Add(time.Millisecond))
	if y.warehouse.count() != want {
		t.Errorf("%d were loaded at %v, want %d", y.warehouse.count(), at, want)
	}
}

// Promise: a load that fails is tried again for ever, after pauses that grow from 50 milliseconds to 5 seconds; nothing is
// skipped; the fault is shown until a load goes well, and then the pauses are short again.
func TestLoaderRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.warehouse.fail(errBroken)
		y.run(t)
		y.add("a")
		time.Sleep(time.Hour)
		loads := y.warehouse.loads()
		if len(loads) < 3600/5 {
			t.Fatalf("%d tries in an hour", len(loads))
		}
		want := 50 * time.Millisecond
		for i := range loads[1:] {
			if pause := loads[i+1].Sub(loads[i]); pause != want {
				t.Fatalf("pause %d is %v, want %v", i, pause, want)
			}
			want = min(2*want, 5*time.Second)
		}
		if !errors.Is(y.loader.Fault(), errBroken) || y.loader.Loaded() != 0 || y.journal.freed() != 0 {
			t.Errorf("fault %v, loaded up to %d, released %d", y.loader.Fault(), y.loader.Loaded(), y.journal.freed())
		}
		y.add("a", "b")
		y.warehouse.fail(nil)
		time.Sleep(5 * time.Second)
		if y.loader.Fault() != nil || y.loader.Loaded() != 3 || y.warehouse.count() != 3 {
			t.Errorf("fault %v, loaded up to %d, stored %d", y.loader.Fault(), y.loader.Loaded(), y.warehouse.count())
		}
		y.warehouse.fail(errBroken)
		before := len(y.warehouse.loads())
		y.add("a")
		time.Sleep(time.Second)
		if tries := len(y.warehouse.loads()) - before; tries != 5 { // after 0, 50, 150, 350 and 750 milliseconds
			t.Errorf("%d tries in the first second: the pauses were not short again", tries)
		}
		y.stop()
		<-y.done
		if !errors.Is(y.loader.Fault(), errBroken) {
			t.Errorf("stopping changed the fault to %v", y.loader.Fault())
		}
	})
}

// Promise: the fault is shown at once and not after the pause, so that nobody is told all is well meanwhile.
func TestLoaderShowsFaultsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.warehouse.fail(errBroken)
		y.run(t)
		y.add("a")
		synctest.Wait()
		if !errors.Is(y.loader.Fault(), errBroken) {
			t.Errorf("fault %v", y.loader.Fault())
		}
		y.stop()
		<-y.done
	})
}

// Promise: a journal that could not be read for a while is no fault any more when there is nothing to load: a server
// that tells its balancer not to send events must not wait for an event to change its mind.
func TestLoaderForgetsFaultsWhenQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		var bad atomic.Bool
		bad.Store(true)
		y.journal.readFault = func() error {
			if bad.Load() {
				return errBroken
			}
			return nil
		}
		y.run(t)
		time.Sleep(time.Minute)
		if !errors.Is(y.loader.Fault(), errBroken) {
			t.Errorf("fault %v", y.loader.Fault())
		}
		bad.Store(false)
		time.Sleep(11 * time.Second) // the pause, and the time of quiet
		if y.loader.Fault() != nil {
			t.Errorf("fault %v", y.loader.Fault())
		}
		y.stop()
		<-y.done
	})
}

// Promise: a journal that cannot delete what is loaded is no fault of loading: events go on being loaded, and are
// released when it can.
func TestLoaderSurvivesRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.journal.releaseFault = func() error { return errBroken }
		y.run(t)
		y.add("a")
		time.Sleep(time.Second)
		if y.loader.Fault() != nil || y.loader.Loaded() != 1 || y.journal.freed() != 0 || len(y.warehouse.loads()) != 1 {
			t.Errorf("fault %v, loaded up to %d, released %d, %d loads", y.loader.Fault(), y.loader.Loaded(), y.journal.freed(), len(y.warehouse.loads()))
		}
		y.journal.mu.Lock()
		y.journal.releaseFault = nil
		y.journal.mu.Unlock()
		y.add("a")
		time.Sleep(time.Second)
		if y.journal.freed() != 2 {
			t.Errorf("released %d", y.journal.freed())
		}
		y.stop()
		<-y.done
	})
}

// Promise: a record that is no event stops the loader, with a fault to show for it, and is not passed over: what is in
// the journal was promised.
func TestLoaderNeverSkips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.add("a")
		if _, err := y.journal.Append(t.Context(), [][]byte{{9, 9, 9}}); err != nil {
			t.Fatal(err)
		}
		y.add("a")
		y.run(t)
		time.Sleep(time.Minute)
		if !errors.Is(y.loader.Fault(), event.ErrEncoding) || y.loader.Loaded() != 0 || y.journal.freed() != 0 {
			t.Errorf("fault %v, loaded up to %d, released %d", y.loader.Fault(), y.loader.Loaded(), y.journal.freed())
		}
		y.stop()
		<-y.done
	})
}

// Promise: Await returns when the events can be queried and not before, for each who waits; and with the context's error
// for who gave up.
func TestLoaderWakesWhoAwaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.warehouse.takes = time.Second
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		answers := make(chan error, 20)
		for p := range event.Position(10) {
			go func() {
				err := y.loader.Await(t.Context(), p+1)
				if err == nil && y.loader.Loaded() < p+1 {
					err = fmt.Errorf("%d is not loaded", p+1)
				}
				answers <- err
			}()
		}
		go func() {
			if err := y.loader.Await(short, 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who gave up was told %v", err)
			}
		}()
		y.run(t)
		for range 10 {
			y.add("a")
			time.Sleep(700 * time.Millisecond)
		}
		for range 10 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		if err := y.loader.Await(short, 10); err != nil {
			t.Errorf("what is loaded was not found so: %v", err)
		}
		y.stop()
		<-y.done
	})
}

// Promise: a server that stops loads what it has promised, unless its time is over; what fails then is told, and is
// still in the journal.
func TestLoaderDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.loader = event.NewLoader(event.LoaderConfig{Journal: y.journal, Warehouse: y.warehouse, Batch: 2, Log: quietLog()})
		last := y.add("a", "b", "a", "a", "c")
		y.warehouse.fail(errBroken)
		if err := y.loader.Drain(t.Context(), last); !errors.Is(err, errBroken) || y.loader.Loaded() != 0 {
			t.Errorf("%v, loaded up to %d", err, y.loader.Loaded())
		}
		y.warehouse.fail(nil)
		if err := y.loader.Drain(t.Context(), last); err != nil || y.loader.Loaded() != last || y.warehouse.count() != 5 || y.journal.freed() != last {
			t.Errorf("%v, loaded up to %d, stored %d, released %d", err, y.loader.Loaded(), y.warehouse.count(), y.journal.freed())
		}
		if err := y.loader.Drain(t.Context(), last); err != nil {
			t.Errorf("again: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := y.loader.Drain(ctx, last+1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("of what is not there: %v", err)
		}
	})
}

// Promise: Run returns when its context ends, whatever it is doing: waiting for events, letting them gather, loading, or
// resting after a failure.
func TestLoaderStops(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*yard){
		"waiting":   func(*yard) {},
		"gathering": func(y *yard) { y.add("a") },
		"loading":   func(y *yard) { y.add("a"); y.warehouse.takes = time.Hour },
		"resting":   func(y *yard) { y.add("a"); y.warehouse.fail(errBroken) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				y := newYard(time.Now)
				prepare(y)
				start := time.Now()
				y.run(t)
				synctest.Wait()
				y.stop()
				<-y.done
				if took := time.Since(start); took != 0 {
					t.Errorf("stopped after %v", took)
				}
				if fault := y.loader.Fault(); errors.Is(fault, context.Canceled) {
					t.Errorf("stopping is a fault: %v", fault)
				}
			})
		})
	}
}
