package duckdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/problem"
)

// crowded is a queue with what a test wants to know of its questions.
type crowded struct {
	t       *rapid.T
	queue   *queue
	running []asker
	waiting []*waiter
	passed  map[string]map[string]int // how often a project has let each other pass while it could have run
}

// eligible are the projects of which a question that waits could run, if there were a place.
func (c *crowded) eligible() map[string]bool {
	q, most := c.queue, c.queue.ceilings.running
	q.ceilings.running = q.busy + 1
	defer func() { q.ceilings.running = most }()
	could := map[string]bool{}
	for _, w := range q.line {
		if q.may(w.asker) {
			could[w.project] = true
		}
	}
	return could
}

// arrive is a question that comes.
func (c *crowded) arrive(who asker) {
	if c.queue.may(who) {
		c.queue.start(who)
		c.running = append(c.running, who)
		return
	}
	before := map[string]int{who.project: 1}
	for _, w := range c.queue.line {
		before[w.project]++
	}
	c.waiting = append(c.waiting, c.queue.wait(who))
	defer func() { c.forget(c.eligible()) }() // one may have been turned away
	for _, w := range c.settle() {
		if w.err == nil {
			c.t.Fatalf("%v started while another came", w.asker)
		}
		for project, n := range before {
			if n > before[w.project] {
				c.t.Fatalf("%v is turned away, of whose project %d wait, while %s has %d", w.asker, before[w.project], project, n)
			}
		}
	}
}

// depart is a question that ends.
func (c *crowded) depart(i int) {
	who := c.running[i]
	c.running = slices.Delete(c.running, i, i+1)
	c.queue.busy-- // as it will be when the next is chosen
	c.queue.running[who]--
	could := c.eligible()
	c.queue.busy++
	c.queue.running[who]++
	first := map[asker]*waiter{}
	for _, w := range c.waiting {
		if first[w.asker] == nil {
			first[w.asker] = w
		}
	}
	c.queue.leave(who)
	c.forget(could)
	for _, w := range c.settle() {
		if w.err != nil || first[w.asker] != w {
			c.t.Fatalf("%v starts, %v, before one that has waited longer", w.asker, w.err)
		}
		delete(c.passed, w.project)
		for project := range could {
			if project == w.project {
				continue
			}
			if c.passed[project] == nil {
				c.passed[project] = map[string]int{}
			}
			if c.passed[project][w.project]++; c.passed[project][w.project] > 1 {
				c.t.Fatalf("%s starts twice while %s waits", w.project, project)
			}
		}
		c.running = append(c.running, w.asker)
	}
}

// forget starts the count anew for those that could not run any more.
func (c *crowded) forget(could map[string]bool) {
	for project := range c.passed {
		if !could[project] {
			delete(c.passed, project)
		}
	}
}

// settle takes out those that wait no more.
func (c *crowded) settle() (over []*waiter) {
	c.waiting = slices.DeleteFunc(c.waiting, func(w *waiter) bool {
		if isClosed(w.over) {
			over = append(over, w)
		}
		return isClosed(w.over)
	})
	return over
}

// check holds what must be true at all times.
func (c *crowded) check() {
	limits, projects, keys := c.queue.ceilings, map[string]int{}, map[asker]int{}
	for _, who := range c.running {
		projects[who.project]++
		keys[who]++
		if projects[who.project] > limits.perProject || keys[who] > limits.perKey {
			c.t.Fatalf("too many of %v run", who)
		}
	}
	if len(c.running) != c.queue.busy || c.queue.busy > limits.running || len(c.waiting) != len(c.queue.line) || len(c.waiting) > limits.waiting {
		c.t.Fatalf("%d run and %d wait; the queue says %d and %d", len(c.running), len(c.waiting), c.queue.busy, len(c.queue.line))
	}
	for _, w := range c.queue.line {
		if c.queue.may(w.asker) {
			c.t.Fatalf("%v waits and could run", w.asker)
		}
	}
	if len(c.queue.line) == 0 && len(c.queue.turns) > 0 || len(c.running) == 0 && len(c.queue.running) > 0 {
		c.t.Fatalf("something is left of those that are gone: %v, %v", c.queue.turns, c.queue.running)
	}
}

// Promise: no ceiling is ever passed; no place is idle that somebody could use; projects that wait take turns, so that
// none starts twice while another could start; a key's questions start in the order they came; and when too many wait,
// none is turned away for one of a project that has more waiting.
func TestQueueIsFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limits := ceilings{running: rapid.IntRange(1, 4).Draw(t, "running"), waiting: rapid.IntRange(0, 12).Draw(t, "waiting")}
		limits.perProject = rapid.IntRange(1, limits.running).Draw(t, "per project")
		limits.perKey = rapid.IntRange(1, limits.perProject).Draw(t, "per key")
		c := &crowded{t: t, queue: newQueue(limits), passed: map[string]map[string]int{}}
		t.Repeat(map[string]func(*rapid.T){
			"arrive": func(t *rapid.T) {
				c.arrive(asker{rapid.SampledFrom([]string{"a", "a", "a", "b", "c"}).Draw(t, "project"), rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "key")})
			},
			"depart": func(t *rapid.T) {
				if len(c.running) == 0 {
					return
				}
				c.depart(rapid.IntRange(0, len(c.running)-1).Draw(t, "which"))
			},
			"give up": func(t *rapid.T) {
				if len(c.waiting) == 0 {
					return
				}
				i := rapid.IntRange(0, len(c.waiting)-1).Draw(t, "which")
				c.queue.remove(c.waiting[i])
				c.waiting = slices.Delete(c.waiting, i, i+1)
				c.forget(c.eligible())
			},
			"": func(*rapid.T) { c.check() },
		})
	})
}

// Promise: for one key of one project the queue is a plain one: first come, first served, the newest turned away.
func TestQueueOfOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(ceilings{1, 1, 1, 3})
		who := asker{"shop", "key"}
		leave, err := q.enter(t.Context(), who)
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		gone, cancel := context.WithCancelCause(t.Context())
		for n := range 4 {
			ctx := t.Context()
			if n == 1 {
				ctx = gone
			}
			go func() {
				leave, err := q.enter(ctx, who)
				switch {
				case n == 1 && err == errGone, n == 3 && problem.Of(err) == problem.QueryQueueFull:
					return
				case err != nil:
					t.Errorf("question %d: %v", n, err)
					return
				}
				order = append(order, n)
				leave()
			}()
			synctest.Wait()
		}
		if running, waiting := q.counts(); running != 1 || waiting != 3 {
			t.Errorf("%d run, %d wait", running, waiting)
		}
		cancel(errGone)
		synctest.Wait()
		leave()
		synctest.Wait()
		if running, waiting := q.counts(); fmt.Sprint(order) != "[0 2]" || running != 0 || waiting != 0 {
			t.Errorf("the order was %v; %d run, %d wait", order, running, waiting)
		}
	})
}

var errGone = errors.New("the caller is gone")
