package event_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
)

// Promise: each event is in the warehouse exactly once, in order, whatever fails: loads before and after they have
// stored, reads, releases, some spaces for a while, loads that take long, and the loader itself, which starts again from
// any position that was released. Nothing is released that is not stored.
func TestLoaderLoadsExactlyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		plan := trial{chances: rapid.SliceOfN(rapid.SampledFrom([]error{nil, nil, errBroken}), 1, 40).Draw(rt, "chances")}
		for range rapid.IntRange(1, 5).Draw(rt, "rounds") {
			plan.rounds = append(plan.rounds, round{
				environments: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 8).Draw(rt, "events"),
				more:         rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 8).Draw(rt, "more events"),
				broken:       rapid.SampledFrom([]string{"", "a", "ab", "abc"}).Draw(rt, "broken"),
				slow:         rapid.SampledFrom([]string{"", "", "b", "ca"}).Draw(rt, "slow"),
				batch:        rapid.IntRange(1, 10).Draw(rt, "batch"),
				runs:         time.Duration(rapid.IntRange(0, 2000).Draw(rt, "milliseconds")) * time.Millisecond,
				mends:        rapid.Bool().Draw(rt, "mends"),
			})
		}
		var fault error
		synctest.Test(t, func(t *testing.T) { fault = plan.run(t) })
		if fault != nil {
			rt.Fatal(fault)
		}
	})
}

// trial is what happens to a journal of one loader after the other: in each round some events come, a loader runs for a
// while, more events come, and it runs on. Each call that can fail takes the next chance; when they are used up, all goes
// well but for what is broken.
type trial struct {
	chances []error
	rounds  []round
}

type round struct {
	environments []string
	more         []string
	broken       string // environments that cannot be loaded in this round, or until it is half over
	slow         string // and those whose loads take longer than anybody waits
	batch        int
	runs         time.Duration
	mends        bool
}

func (p *trial) run(t *testing.T) (fault error) {
	y := newYard(nil)
	chance := func() (err error) {
		if len(p.chances) > 0 {
			err, p.chances = p.chances[0], p.chances[1:]
		}
		return err
	}
	y.warehouse.before, y.warehouse.after = chance, chance
	y.journal.readFault = y.locked(chance)
	y.journal.releaseFault = y.locked(chance)
	for _, r := range p.rounds {
		y.loader = event.NewLoader(event.LoaderConfig{
			Journal: y.journal, Warehouse: y.warehouse, Start: y.journal.freed(), Last: y.journal.last(), Batch: r.batch, Log: quietLog(),
		})
		y.set(r.broken, r.slow)
		y.run(t)
		y.add(r.environments...)
		y.awaitAll(t, r.runs)
		if r.mends {
			y.set("", r.slow)
		}
		y.add(r.more...)
		y.awaitAll(t, r.runs)
		y.stop()
		<-y.done
		if err := y.checkReleased(t); err != nil {
			fault = err
		}
	}
	y.set("", "")
	if err := y.loader.Drain(t.Context(), y.journal.last()); err != nil { // of the chances that are left
		y.loader = event.NewLoader(event.LoaderConfig{Journal: y.journal, Warehouse: y.warehouse, Start: y.journal.freed(), Last: y.journal.last(), Log: quietLog()})
		y.run(t)
		y.awaitAll(t, time.Hour)
		y.stop()
		<-y.done
	}
	if y.loader.Behind() != 0 || y.loader.Loaded() != y.journal.last() {
		fault = fmt.Errorf("at the end %d are behind, loaded up to %d", y.loader.Behind(), y.loader.Loaded())
	}
	for _, environment := range []string{"a", "b", "c"} {
		if got, want := y.positions(environment), y.sent(t, environment); !slices.Equal(got, want) {
			fault = fmt.Errorf("%s has %v, want %v", environment, got, want)
		}
	}
	return fault
}

// locked makes a fault of the journal share the warehouse's lock.
func (y *yard) locked(fault func() error) func() error {
	return func() error {
		y.warehouse.mu.Lock()
		defer y.warehouse.mu.Unlock()
		return fault()
	}
}

// set says which environments are broken, and which are slow.
func (y *yard) set(broken, slow string) {
	y.warehouse.mu.Lock()
	defer y.warehouse.mu.Unlock()
	y.warehouse.fault, y.warehouse.slow = map[event.Space]error{}, map[event.Space]time.Duration{}
	for _, c := range broken {
		y.warehouse.fault[space(string(c))] = errBroken
	}
	for _, c := range slow {
		y.warehouse.slow[space(string(c))] = 700 * time.Millisecond
	}
}

func (y *yard) awaitAll(t *testing.T, limit time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_ = y.loader.Await(ctx, y.journal.last())
}

// sent are the positions of an environment's events in the journal.
func (y *yard) sent(t *testing.T, environment string) []event.Position {
	var all []event.Position
	for i, e := range y.journal.events(t) {
		if e.Environment == environment {
			all = append(all, event.Position(i+1))
		}
	}
	return all
}

// checkReleased looks for events that were released, or are said to be loaded, and are not stored.
func (y *yard) checkReleased(t *testing.T) error {
	for _, environment := range []string{"a", "b", "c"} {
		stored := y.positions(environment)
		for _, p := range y.sent(t, environment) {
			if (p <= y.journal.freed() || p <= y.loader.Loaded()) && !slices.Contains(stored, p) {
				return fmt.Errorf("%d of %s is released or said to be loaded, and is not stored", p, environment)
			}
		}
	}
	return nil
}
