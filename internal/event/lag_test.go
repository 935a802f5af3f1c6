package event_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/event"
)

// Promise: a space that cannot be loaded, for ever, holds up nobody: the events of the others can be queried within a
// second, and who waits for them is told so. It is tried again with growing pauses. Its own events stay in the journal,
// with what came after them; the fault names it, and only it.
func TestLoaderGoesOnWithoutABrokenSpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.run(t)
		y.add("good")
		y.warehouse.breakSpace(space("bad"), errBroken)
		y.add("good", "bad")
		for i := range 300 {
			time.Sleep(time.Duration(i*i%97) * 10 * time.Millisecond)
			last, came := y.add("bad", "good", "good"), time.Now()
			if err := y.loader.Await(t.Context(), last, space("good")); err != nil || time.Since(came) > time.Second {
				t.Fatalf("event %d could be queried after %v, %v", last, time.Since(came), err)
			}
		}
		if got, want := len(y.positions("good")), 602; got != want {
			t.Errorf("%d of %d are stored", got, want)
		}
		if y.loader.Loaded() != 2 || y.journal.freed() != 2 || len(y.positions("bad")) != 0 {
			t.Errorf("loaded up to %d, released %d; both end before event 3", y.loader.Loaded(), y.journal.freed())
		}
		fault := y.loader.Fault()
		var about *event.SpaceFault
		if !errors.As(fault, &about) || !slices.Equal(about.Spaces, []event.Space{space("bad")}) || !errors.Is(fault, errBroken) ||
			!strings.Contains(fault.Error(), "prj_1/bad") {
			t.Errorf("fault %v", fault)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := y.loader.Await(short, 3, space("bad"), space("good")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits for a broken space was told %v", err)
		}
		y.stop()
		<-y.done
	})
}

// Promise: a broken space is tried after pauses that grow from 50 milliseconds to 5 seconds, each space by itself.
func TestLoaderRetriesASpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(nil)
		y.run(t)
		y.add("bad")
		time.Sleep(time.Second)
		y.warehouse.breakSpace(space("bad"), errBroken)
		var mu sync.Mutex
		var tries []time.Time
		y.warehouse.now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, time.Now())
			return time.Time{}
		}
		y.add("bad")
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		want := 50 * time.Millisecond
		for i := range tries[1:] {
			if pause := tries[i+1].Sub(tries[i]); pause != want {
				t.Fatalf("pause %d is %v, want %v", i, pause, want)
			}
			want = min(2*want, 5*time.Second)
		}
		if len(tries) < 15 {
			t.Errorf("%d tries", len(tries))
		}
		y.stop()
		<-y.done
	})
}

// Promise: a space that was broken catches up when it is mended, with everything in order and once, while events go on
// coming, and its events are read from the journal and not kept in memory meanwhile. Then the journal is released.
func TestLoaderCatchesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(nil)
		y.loader = event.NewLoader(event.LoaderConfig{Journal: y.journal, Warehouse: y.warehouse, Batch: 50, Log: quietLog()})
		y.warehouse.breakSpace(space("bad"), errBroken)
		y.run(t)
		send := func(rounds int) (last event.Position) {
			for range rounds {
				last = y.add("bad", "good", "bad", "other")
				time.Sleep(20 * time.Millisecond)
			}
			return last
		}
		send(1000)
		if most := y.warehouse.most(); most > 100 {
			t.Errorf("%d events were held for loads, with batches of 50", most)
		}
		y.warehouse.breakSpace(space("bad"), nil)
		last := send(500) // ten seconds: a pause of five at the most, and then it has to catch up
		time.Sleep(time.Second)
		if y.loader.Fault() != nil || y.loader.Behind() != 0 || y.loader.Loaded() != last || y.journal.freed() != last {
			t.Errorf("%v, %d behind, loaded up to %d, released %d", y.loader.Fault(), y.loader.Behind(), y.loader.Loaded(), y.journal.freed())
		}
		for _, environment := range []string{"bad", "good", "other"} {
			if got, want := y.positions(environment), y.sent(t, environment); !slices.Equal(got, want) {
				t.Errorf("%s has %d events, want %d, or in another order", environment, len(got), len(want))
			}
		}
		y.stop()
		<-y.done
	})
}

// Promise: many spaces that come back together are caught up with in one reading of the journal, not in one for each.
func TestLoaderCatchesUpTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(nil)
		y.warehouse.fail(errBroken)
		y.run(t)
		for i := range 10_000 {
			y.add(fmt.Sprint("space", i%100))
			if i%100 == 0 {
				time.Sleep(50 * time.Millisecond)
			}
		}
		time.Sleep(time.Minute)
		if got := y.loader.Behind(); got != 100 {
			t.Errorf("%d are behind", got)
		}
		reads := 0
		y.journal.mu.Lock()
		y.journal.readFault = func() error { reads++; return nil }
		y.journal.mu.Unlock()
		y.warehouse.fail(nil)
		time.Sleep(6 * time.Second)
		if y.loader.Loaded() != 10_000 || y.loader.Behind() != 0 || y.journal.freed() != 10_000 {
			t.Errorf("loaded up to %d, %d behind, released %d", y.loader.Loaded(), y.loader.Behind(), y.journal.freed())
		}
		if reads > 250 { // they are due at different times, and each time 50 milliseconds apart there is a reading or two
			t.Errorf("the journal was read %d times", reads)
		}
		y.stop()
		<-y.done
	})
}

// Promise: a load that does not end holds up nobody for more than a second, be it one or be they more than may go on by
// themselves. What they hold in memory is bounded.
func TestLoaderGoesOnWithoutSlowSpaces(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4, 30} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				y := newYard(nil)
				y.warehouse.slow = map[event.Space]time.Duration{}
				for i := range n {
					y.warehouse.slow[space(fmt.Sprint("slow", i))] = time.Hour
				}
				y.run(t)
				for i := range 200 {
					last, came := y.add("good", fmt.Sprint("slow", i%n)), time.Now()
					if err := y.loader.Await(t.Context(), last, space("good")); err != nil || time.Since(came) > time.Second {
						t.Fatalf("event %d could be queried after %v, %v", last, time.Since(came), err)
					}
					time.Sleep(50 * time.Millisecond)
				}
				if y.loader.Behind() != n || y.warehouse.most() > 100 {
					t.Errorf("%d are behind, %d events were held", y.loader.Behind(), y.warehouse.most())
				}
				y.stop()
				<-y.done
				if y.loader.Loaded() != 1 {
					t.Errorf("loaded up to %d", y.loader.Loaded())
				}
			})
		})
	}
}

// Promise: a load that takes long and ends well is a load like any other: its space goes on from there.
func TestLoaderTakesSlowLoads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(nil)
		y.warehouse.slow = map[event.Space]time.Duration{space("slow"): 3 * time.Second}
		y.run(t)
		var last event.Position
		for range 40 {
			last = y.add("slow", "good")
			time.Sleep(100 * time.Millisecond)
		}
		if err := y.loader.Await(t.Context(), last); err != nil || y.warehouse.count() != 80 || y.loader.Fault() != nil {
			t.Errorf("%v, %d stored, fault %v", err, y.warehouse.count(), y.loader.Fault())
		}
		if got, want := y.positions("slow"), y.sent(t, "slow"); !slices.Equal(got, want) {
			t.Errorf("stored %v", got)
		}
		synctest.Wait()
		if y.journal.freed() != last || y.loader.Behind() != 0 {
			t.Errorf("released %d, %d behind", y.journal.freed(), y.loader.Behind())
		}
		y.stop()
		<-y.done
	})
}

// Promise: a loader that starts where a broken space kept the journal does not load the others once more.
func TestLoaderPassesOverWhatIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(time.Now)
		y.warehouse.breakSpace(space("bad"), errBroken)
		y.run(t)
		for range 20 {
			y.add("bad", "good")
			time.Sleep(300 * time.Millisecond)
		}
		y.stop()
		<-y.done
		loads := len(y.warehouse.loads())
		y.loader = event.NewLoader(event.LoaderConfig{Journal: y.journal, Warehouse: y.warehouse, Start: y.journal.freed(), Last: y.journal.last(), Log: quietLog()})
		y.run(t)
		time.Sleep(time.Second)
		if got := len(y.warehouse.loads()) - loads; got != 0 { // the broken space does not say where it is, so it is not tried further
			t.Errorf("%d loads after the start", got)
		}
		y.warehouse.breakSpace(space("bad"), nil)
		time.Sleep(5 * time.Second)
		if got := len(y.warehouse.loads()) - loads; got != 1 || y.loader.Loaded() != 40 {
			t.Errorf("%d loads, loaded up to %d", got, y.loader.Loaded())
		}
		y.stop()
		<-y.done
	})
}

// Promise: a space that has events of another journal is not loaded: its new events would be taken for old ones. The
// others are.
func TestLoaderRefusesAnotherJournalsSpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(nil)
		y.warehouse.position = map[event.Space]event.Position{space("strange"): 1000}
		y.warehouse.stored = map[event.Space][]event.Record{}
		y.run(t)
		y.add("strange", "good")
		time.Sleep(time.Minute)
		if fault := y.loader.Fault(); fault == nil || !strings.Contains(fault.Error(), "do not belong together") || y.journal.freed() != 0 {
			t.Errorf("fault %v, released %d", fault, y.journal.freed())
		}
		if len(y.positions("strange")) != 0 || len(y.positions("good")) != 1 {
			t.Errorf("stored %v and %v", y.positions("strange"), y.positions("good"))
		}
		y.stop()
		<-y.done
	})
}

// Promise: a journal that cannot be read while a space catches up is a fault of that space, which is tried again.
func TestLoaderRetriesReadingForASpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(nil)
		y.warehouse.breakSpace(space("bad"), errBroken)
		y.run(t)
		y.add("bad")
		synctest.Wait()
		y.warehouse.breakSpace(space("bad"), nil)
		failures := 3
		y.journal.mu.Lock()
		y.journal.readFault = func() error {
			if failures--; failures >= 0 {
				return errBroken
			}
			return nil
		}
		y.journal.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		if y.loader.Fault() == nil {
			t.Error("no fault is shown")
		}
		time.Sleep(10 * time.Second)
		if y.loader.Fault() != nil || y.loader.Loaded() != 1 {
			t.Errorf("%v, loaded up to %d", y.loader.Fault(), y.loader.Loaded())
		}
		y.stop()
		<-y.done
	})
}

// Promise: a server that stops loads the spaces that can be loaded, whichever cannot, and tells which.
func TestLoaderDrainsWithoutABrokenSpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(nil)
		y.loader = event.NewLoader(event.LoaderConfig{Journal: y.journal, Warehouse: y.warehouse, Batch: 2, Log: quietLog()})
		y.warehouse.breakSpace(space("bad"), errBroken)
		y.run(t)
		y.add("good", "bad")
		time.Sleep(time.Second)
		y.stop()
		<-y.done
		last := y.add("good", "bad", "good", "good")
		if err := y.loader.Drain(t.Context(), last); !errors.Is(err, errBroken) || len(y.positions("good")) != 4 || y.journal.freed() != 1 {
			t.Errorf("%v, stored %v, released %d", err, y.positions("good"), y.journal.freed())
		}
		y.warehouse.breakSpace(space("bad"), nil)
		if err := y.loader.Drain(t.Context(), last); err != nil || y.warehouse.count() != 6 || y.journal.freed() != last {
			t.Errorf("%v, stored %d, released %d", err, y.warehouse.count(), y.journal.freed())
		}
	})
}
