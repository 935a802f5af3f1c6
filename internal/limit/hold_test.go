package limit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
)

// Promise: credits that are held are nobody else's until they are settled, however long that takes and however often the program is
// killed or stopped; then what it came to is spent, in the month of the request, once, and the rest is free.
func TestHeldCreditsOutliveTheProgram(t *testing.T) {
	t.Parallel()
	for i, c := range []struct {
		key, project, aside, cost, spent int64
		over                             string
	}{
		{key: 10, project: 20, aside: 6, cost: 4, spent: 4},
		{key: 10, aside: 6, cost: 6, spent: 6},
		{project: 10, aside: 6, cost: 0},
		{key: 10, aside: 6, cost: -1},
		{key: 10, aside: 1, cost: 10, spent: 10},
		{key: 10, project: 20, aside: 6, cost: 11, spent: 6, over: gate.KeyCredits},
		{key: 20, project: 10, aside: 6, cost: 11, spent: 6, over: gate.ProjectCredits},
	} {
		now, m := &clock{now: noon()}, newMemory()
		l := opened(t, m, now.Now, "0")
		ask := credited(noon(), c.key, c.project, "r1", c.aside)
		if got := l.Take(t.Context(), ask); got.Over != "" {
			t.Fatalf("%d: %+v", i, got)
		}
		if over := l.Hold(t.Context(), ask, "job_1"); over != "" {
			t.Fatalf("%d: held: %q", i, over)
		}
		check := func(when string, spent, reserved int64) {
			t.Helper()
			ask.At = now.Now()
			for side, s := range states(t, l, ask) {
				most := []int64{c.key, c.project}[side]
				if most > 0 && s != (State{Granted: most, Spent: spent, Reserved: reserved, Remaining: most - spent - reserved}) {
					t.Errorf("%d: %s: %+v", i, when, s)
				}
			}
		}
		check("held", 0, c.aside)
		for n := range 4 {
			if n%2 == 0 {
				closed(t, l)
			} else {
				l.queue.close()
				l.queue.worker <- struct{}{}
			}
			l = opened(t, m, now.Now, fmt.Sprint(n+1))
			l.HoldOnly([]string{"job_0", "job_1"})
			now.add(openTime + 1)
			l.sweep(t.Context(), 0)
			check("after a start", 0, c.aside)
		}
		held := gate.Charge{Held: "job_1", At: now.Now(), Key: ask.Key, Project: ask.Project}
		for n := range 4 {
			if over := l.Settle(t.Context(), held, c.cost+int64(n)); over != c.over {
				t.Errorf("%d: settled the %d. time: %q", i, n, over)
			}
			check("settled", c.spent, 0)
			if n == 1 {
				closed(t, l)
				l = opened(t, m, now.Now, "9")
				l.HoldOnly(nil)
			}
		}
		if s := l.Stats(); s.Reservations != 0 {
			t.Errorf("%d: %+v", i, s)
		}
		closed(t, l)
	}
}

// Promise: what is held for nobody who is there any more is free after the next start, and only what was held before it; what is
// not held costs nothing, and what nobody counts is not held.
func TestOnlyWhatIsWantedStaysHeld(t *testing.T) {
	t.Parallel()
	now, m := &clock{now: noon()}, newMemory()
	l := opened(t, m, now.Now, "a")
	for n := range 3 {
		c := credited(noon(), 100, 0, fmt.Sprint("r", n), 10)
		l.Take(t.Context(), c)
		if over := l.Hold(t.Context(), c, fmt.Sprint("job_", n)); over != "" {
			t.Fatal(over)
		}
	}
	if over := l.Hold(t.Context(), credited(noon(), 0, 0, "r", 10), "job_x"); over != "" {
		t.Errorf("what nobody counts: %q", over)
	}
	if over := l.Hold(t.Context(), credited(noon(), 100, 0, "never", 10), "job_y"); over != gate.LimitsDown {
		t.Errorf("what was never set aside: %q", over)
	}
	l.HoldOnly(nil)
	c := credited(noon(), 100, 0, "fresh", 10)
	if s := states(t, l, c); s[0].Reserved != 30 {
		t.Errorf("of this start: %+v", s[0])
	}
	closed(t, l)
	l = opened(t, m, now.Now, "b")
	l.Take(t.Context(), c)
	l.Hold(t.Context(), c, "job_9")
	l.HoldOnly([]string{"job_1"})
	if s := states(t, l, c); s[0] != (State{Granted: 100, Reserved: 20, Remaining: 80}) {
		t.Errorf("after the start: %+v", s[0])
	}
	for _, name := range []string{"job_0", "job_x", "r1"} {
		if over := l.Settle(t.Context(), gate.Charge{Held: name, At: noon(), Key: c.Key, Project: c.Project}, 50); over != "" {
			t.Errorf("%s: %q", name, over)
		}
	}
	if s := states(t, l, c); s[0].Spent != 0 {
		t.Errorf("what is not held was charged: %+v", s[0])
	}
	closed(t, l)
	if len(m.reservations) != 2 {
		t.Errorf("in writing there are %v", m.reservations)
	}
}

// Promise: what cannot be held in writing is not held; what cannot be settled in writing stays held, and is charged once when it
// is tried again, also after a kill in between, whether the store had heard of it or not.
func TestHoldingWithoutTheStore(t *testing.T) {
	t.Parallel()
	for _, how := range []failure{before, lostReply} {
		for _, kill := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				now, m := &clock{now: noon()}, newMemory()
				l := opened(t, m, now.Now, "a")
				first, second := credited(noon(), 100, 50, "r1", 10), credited(noon(), 100, 50, "r2", 10)
				l.Take(t.Context(), first)
				l.Take(t.Context(), second)
				if over := l.Hold(t.Context(), second, "job_2"); over != "" {
					t.Fatal(over)
				}
				m.fail(always(how))
				if over := l.Hold(t.Context(), first, "job_1"); over != gate.LimitsDown {
					t.Errorf("held without the store: %q", over)
				}
				held := gate.Charge{Held: "job_2", At: noon(), Key: first.Key, Project: first.Project}
				if over := l.Settle(t.Context(), held, 7); over != gate.LimitsDown {
					t.Errorf("settled without the store: %q", over)
				}
				if kill {
					l.queue.close()
					l.queue.worker <- struct{}{}
					m.fail(nil)
					l = opened(t, m, now.Now, "b")
					l.HoldOnly([]string{"job_2"})
				}
				m.fail(nil)
				for range 2 {
					over := l.Settle(t.Context(), held, 7)
					for ; over == gate.LimitsDown; over = l.Settle(t.Context(), held, 7) {
						<-time.After(longestRest)
					}
					for side, s := range states(t, l, first) {
						if most := []int64{100, 50}[side]; over != "" || s != (State{Granted: most, Spent: 7, Remaining: most - 7}) {
							t.Errorf("%v %v: in the end %q, %+v", how, kill, over, s)
						}
					}
				}
				closed(t, l)
			})
		}
	}
}
