package limit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

func credited(at time.Time, key, project int64, id string, credits int64) gate.Charge {
	c := charge(at, access.Limits{}, access.Limits{})
	c.Key.Limits.Credits.Most, c.Project.Limits.Credits.Most, c.RequestID, c.Credits = key, project, id, credits
	return c
}

func states(t *testing.T, l *Limiter, c gate.Charge) [2]State {
	t.Helper()
	key, err := l.KeyState(t.Context(), c.Key)
	if err != nil {
		t.Fatal(err)
	}
	project, err := l.ProjectState(t.Context(), c.Project)
	if err != nil {
		t.Fatal(err)
	}
	return [2]State{key, project}
}

// Promise: a request is settled for what it came to, in one step for its key and its project: less than was set aside
// gives the rest back, more is taken if both have it, and if not, what was set aside is spent and the limit is named. It
// is so for a request for which nothing was set aside, too.
func TestSettle(t *testing.T) {
	t.Parallel()
	for i, c := range []struct {
		key, project  int64
		aside, cost   int64
		over          string
		spent         int64
		before, after int64 // set aside by others, spent by others
	}{
		{key: 10, project: 20, aside: 5, cost: 3, spent: 3},
		{key: 10, project: 20, aside: 5, cost: 5, spent: 5},
		{key: 10, project: 20, aside: 5, cost: 0, spent: 0},
		{key: 10, project: 20, aside: 5, cost: -7, spent: 0},
		{key: 10, project: 20, aside: 5, cost: 10, spent: 10},
		{key: 10, project: 20, aside: 5, cost: 11, over: gate.KeyCredits, spent: 5},
		{key: 20, project: 10, aside: 5, cost: 11, over: gate.ProjectCredits, spent: 5},
		{key: 20, project: 0, aside: 5, cost: 20, spent: 20},
		{key: 0, project: 20, aside: 5, cost: 21, over: gate.ProjectCredits, spent: 5},
		{key: 10, project: 20, aside: 5, cost: 8, before: 3, over: gate.KeyCredits, spent: 5},
		{key: 10, project: 20, aside: 5, cost: 7, before: 3, spent: 7},
		{key: 10, project: 20, aside: 5, cost: 7, after: 3, spent: 7},
		{key: 10, project: 20, aside: 5, cost: 8, after: 3, over: gate.KeyCredits, spent: 5},
		{key: 10, project: 20, aside: 0, cost: 10, spent: 10},
		{key: 10, project: 20, aside: 0, cost: 11, over: gate.KeyCredits, spent: 0},
		{key: 10, project: 20, aside: 5, cost: 1<<63 - 1, over: gate.KeyCredits, spent: 5},
	} {
		now, m := &clock{now: noon()}, newMemory()
		l := opened(t, m, now.Now, "a")
		ask := credited(noon(), c.key, c.project, "r1", c.aside)
		for n, credits := range []int64{c.before, c.after} {
			other := credited(noon(), c.key, c.project, fmt.Sprint("other", n), credits)
			if got := l.Take(t.Context(), other); got.Over != "" {
				t.Fatalf("%d: %+v", i, got)
			}
			if n == 1 {
				l.Settle(t.Context(), other, credits)
			}
		}
		if got := l.Take(t.Context(), ask); got.Over != "" {
			t.Fatalf("%d: %+v", i, got)
		}
		for n := range 4 { // the second time changes nothing, after a restart neither
			if over := l.Settle(t.Context(), ask, c.cost+int64(n)); over != c.over {
				t.Errorf("%d: settled the %d. time: %q, want %q", i, n, over, c.over)
			}
			if n == 2 {
				closed(t, l)
				l, c.before = opened(t, m, now.Now, "b"), 0
			}
			for side, s := range states(t, l, ask) {
				most := []int64{c.key, c.project}[side]
				if spent := c.spent + c.after; most > 0 && s != (State{Granted: most, Spent: spent, Reserved: c.before, Remaining: most - spent - c.before}) {
					t.Errorf("%d: settled the %d. time: %+v", i, n, s)
				}
			}
		}
		closed(t, l)
	}
}

// Promise: credits that are set aside when the process is killed are free again, since the answer was never begun; what
// is settled stays spent.
func TestCreditsAfterAKill(t *testing.T) {
	t.Parallel()
	now, m := &clock{now: noon()}, newMemory()
	for n := range 10 {
		l := opened(t, m, now.Now, fmt.Sprint(n))
		for i := range 3 {
			c := credited(noon(), 100, 200, fmt.Sprint(n, i), 9)
			if got := l.Take(t.Context(), c); got.Over != "" || len(m.reservations) != 2*n+i+1 {
				t.Fatalf("%+v, and %d are in writing", got, len(m.reservations))
			}
			if i < 2 {
				if over := l.Settle(t.Context(), c, int64(i+1)); over != "" {
					t.Fatal(over)
				}
			}
		}
		if s := states(t, l, credited(noon(), 100, 200, "", 0)); s[0].Reserved != 9 || s[0].Spent != int64(3*n+3) {
			t.Errorf("before the kill: %+v", s)
		}
	}
	l := opened(t, m, now.Now, "last")
	if s := states(t, l, credited(noon(), 100, 200, "", 0)); s != [2]State{{Granted: 100, Spent: 30, Remaining: 70}, {Granted: 200, Spent: 30, Remaining: 170}} {
		t.Errorf("after ten: %+v", s)
	}
	closed(t, l)
}

// Promise: of 64 at once nobody gets credits that another has: what passes and is settled is exactly what was granted,
// and requests that came at the same time share their writes.
func TestManyAtOnceSpendExactlyWhatIsGranted(t *testing.T) {
	t.Parallel()
	now, m := &clock{now: noon()}, newMemory()
	l := opened(t, m, now.Now, "a")
	l.bounds.patience = time.Minute // the machine may be busy
	const granted = 1000
	var spent atomic.Int64
	var all sync.WaitGroup
	for g := range 64 {
		all.Go(func() {
			for i := range 100 {
				c := credited(noon(), granted, 2*granted, fmt.Sprint(g, "/", i), 2)
				got := l.Take(t.Context(), c)
				if got.Over == gate.KeyCredits {
					continue
				}
				cost := int64(i % 3)
				switch over := l.Settle(t.Context(), c, cost); {
				case got.Over != "" || over != "":
					t.Errorf("%q, %q", got.Over, over)
				default:
					spent.Add(cost)
				}
			}
		})
	}
	all.Wait()
	c := credited(noon(), granted, 2*granted, "", 1)
	for n := 0; ; n++ {
		c.RequestID = fmt.Sprint("rest", n)
		if l.Take(t.Context(), c).Over != "" {
			break
		}
		if l.Settle(t.Context(), c, 1) == "" {
			spent.Add(1)
		}
	}
	if s := states(t, l, c); spent.Load() != granted || s[0] != (State{Granted: granted, Spent: granted}) || s[1].Spent != granted {
		t.Errorf("%d were spent: %+v", spent.Load(), s)
	}
	if settled(t, l); m.writes > 2*3200 {
		t.Errorf("there were %d writes", m.writes)
	}
	closed(t, l)
}

// Promise: a request for which credits are set aside already, and that another limit denies then, is charged nothing.
func TestCreditsOfDeniedRequestsAreGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := opened(t, m, time.Now, "a")
		c := credited(time.Now(), 1000, 1000, "", 0)
		c.Key.Limits.Rate, c.Project.Limits.Daily.Most, c.Requests = access.Rate{PerSecond: 1, Burst: 20}, 1000, 990
		c.Key.Limits.Rate.Burst = 1000
		l.Take(t.Context(), c)
		synctest.Wait()
		hang := make(chan struct{})
		m.hangs(hang)
		c.Requests, c.Credits = 1, 3
		var passed atomic.Int64
		var all sync.WaitGroup
		for g := range 64 {
			all.Go(func() {
				ask := c
				ask.RequestID = fmt.Sprint(g)
				switch got := l.Take(t.Context(), ask); got.Over {
				case "":
					passed.Add(1)
				case gate.ProjectDaily:
				default:
					t.Errorf("%+v", got)
				}
			})
		}
		synctest.Wait()
		if n := l.Stats().Reservations; n != 64 {
			t.Errorf("%d have set credits aside", n)
		}
		m.hangs(nil)
		close(hang)
		all.Wait()
		synctest.Wait()
		if s := states(t, l, c); passed.Load() != 10 || s[0].Reserved != 30 || s[1].Reserved != 30 || s[1].Requests != 1000 || len(m.reservations) != 10 {
			t.Errorf("%d passed, %+v, and %d are in writing", passed.Load(), s, len(m.reservations))
		}
		closed(t, l)
	})
}

// Promise: one request asked for by many at the same time is charged once, settled once, and all hear the same.
func TestEqualRequestsAtOnce(t *testing.T) {
	t.Parallel()
	now, m := &clock{now: noon()}, newMemory()
	l := opened(t, m, now.Now, "a")
	l.bounds.patience = time.Minute // the machine may be busy
	for n := range 50 {
		c := credited(noon(), 1000, 1000, fmt.Sprint(n), 5)
		c.Key.Limits.Daily.Most = 100
		var all sync.WaitGroup
		var over atomic.Int64
		for range 16 {
			all.Go(func() {
				if got := l.Take(t.Context(), c); got.Over != "" {
					t.Errorf("%+v", got)
				}
			})
		}
		all.Wait()
		for g := range 16 {
			all.Go(func() {
				if l.Settle(t.Context(), c, int64(g*1000)) != "" {
					over.Add(1)
				}
			})
		}
		all.Wait()
		s := states(t, l, c)
		if got := over.Load(); got != 0 && got != 16 || s[0].Requests != int64(n+1) || s[0].Reserved != 0 || s[0].Spent%5 != 0 || s[0].Spent > int64(5*(n+1)) {
			t.Fatalf("request %d: %d of 16 were over, %+v", n, got, s)
		}
	}
	closed(t, l)
}

// Promise: an answer that cannot be settled in writing is not given, and costs nothing then, where the limit denies;
// where it does not, it is given and counted, and written when the store is back.
func TestSettlingWithoutAStore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		how   access.OnFailure
		cost  int64
		over  string
		spent int64
	}{
		{access.FailDeny, 3, gate.LimitsDown, 0},
		{access.FailDeny, 30, gate.LimitsDown, 0},
		{access.FailLocalShare, 3, "", 3},
		{access.FailLocalShare, 9, "", 9},
		{access.FailLocalShare, 30, gate.KeyCredits, 5}, // beyond what was set aside, the share is a tenth of 40
		{access.FailAllow, 3, "", 3},
		{access.FailAllow, 300, "", 300},
	} {
		for _, how := range []failure{before, lostReply} {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				l := opened(t, m, time.Now, "a")
				ask := credited(time.Now(), 40, 0, "r1", 5)
				ask.Key.Limits.Credits.OnFailure = c.how
				if got := l.Take(t.Context(), ask); got.Over != "" {
					t.Fatal(got.Over)
				}
				synctest.Wait()
				m.fail(always(how))
				first := ask
				first.RequestID = "r0"
				l.Take(t.Context(), first) // so that it is known that the store is away
				for range 3 {
					if over := l.Settle(t.Context(), ask, c.cost); over != c.over {
						t.Errorf("%v: settling for %d: %q, want %q", c.how, c.cost, over, c.over)
					}
				}
				l.Settle(t.Context(), first, 0)
				time.Sleep(time.Minute) // and it fails again and again
				m.fail(nil)
				time.Sleep(longestRest)
				synctest.Wait()
				want := State{Granted: 40, Spent: c.spent, Remaining: 40 - c.spent}
				if s := states(t, l, ask); s[0] != want || m.months[Month{Account: "key/key_1", Month: monthOf(time.Now())}] != c.spent {
					t.Errorf("%v: after settling for %d: %+v, in writing %v", c.how, c.cost, s[0], m.months)
				}
				closed(t, l)
				l = opened(t, m, time.Now, "b")
				if s := states(t, l, ask); s[0] != want {
					t.Errorf("%v: after a restart: %+v", c.how, s[0])
				}
				if over := l.Settle(t.Context(), ask, c.cost); over != c.over {
					t.Errorf("%v: settling after a restart: %q", c.how, over)
				}
				closed(t, l)
			})
		}
	}
}

// Promise: what was let through before the store could be asked, after a start, is added to what it had.
func TestWhatWasLetThroughIsAdded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		c := credited(time.Now(), 100, 0, "", 3)
		c.Key.Limits.Credits.OnFailure = access.FailAllow
		c.Key.Limits.Daily = access.Quota{Most: 100, OnFailure: access.FailAllow}
		for n := range 5 {
			l := opened(t, m, time.Now, fmt.Sprint(n))
			if n > 0 {
				m.fail(always(before))
			}
			for i := range 2 {
				c.RequestID = fmt.Sprint(n, i)
				got := l.Take(t.Context(), c)
				if over := l.Settle(t.Context(), c, 2); got.Over != "" || over != "" || (got.Down == "allow") != (n > 0) {
					t.Errorf("start %d: %+v, %q", n, got, over)
				}
			}
			m.fail(nil)
			time.Sleep(longestRest)
			synctest.Wait()
			want := State{Requests: int64(2*n + 2), Granted: 100, Spent: int64(4*n + 4), Remaining: int64(96 - 4*n)}
			if s := states(t, l, c); s[0] != want || m.months[Month{Account: "key/key_1", Month: monthOf(time.Now())}] != want.Spent {
				t.Errorf("start %d: %+v, in writing %v", n, s[0], m.months)
			}
			closed(t, l)
		}
	})
}

// Promise: credits set aside by a request that is never settled are free after ten minutes; whoever settles it later all
// the same pays as if nothing had been set aside.
func TestForgottenReservationsAreFreed(t *testing.T) {
	t.Parallel()
	now, m := &clock{now: noon()}, newMemory()
	l := opened(t, m, now.Now, "a")
	c := credited(noon(), 10, 0, "r1", 10)
	l.Take(t.Context(), c)
	now.add(openTime)
	l.sweep(t.Context(), idleTime)
	if s := states(t, l, c); s[0].Reserved != 10 {
		t.Errorf("after ten minutes: %+v", s[0])
	}
	now.add(1)
	l.sweep(t.Context(), idleTime)
	if s := states(t, l, c); s[0] != (State{Granted: 10, Remaining: 10}) {
		t.Errorf("later: %+v", s[0])
	}
	other := credited(now.Now(), 10, 0, "r2", 4)
	if got := l.Take(t.Context(), other); got.Over != "" {
		t.Errorf("%+v", got)
	}
	if over := l.Settle(t.Context(), c, 7); over != gate.KeyCredits {
		t.Errorf("settled for 7: %q", over)
	}
	if over := l.Settle(t.Context(), other, 4); over != "" {
		t.Errorf("settled for 4: %q", over)
	}
	if s := states(t, l, c); s[0] != (State{Granted: 10, Spent: 4, Remaining: 6}) || l.Stats().Reservations != 0 {
		t.Errorf("in the end: %+v", s[0])
	}
	closed(t, l)
}

// Promise: what is remembered of requests is bounded: of those that are settled the last ones, and when too many are
// open, one more is denied.
func TestReservationsAreBounded(t *testing.T) {
	t.Parallel()
	now, m := &clock{now: noon()}, newMemory()
	l := opened(t, m, now.Now, "a")
	l.bounds.settled, l.bounds.reservations = 10, 5
	for n := range 100 {
		c := credited(noon(), 1000, 1000, fmt.Sprint("r", n), 1)
		if got := l.Take(t.Context(), c); got.Over != "" {
			t.Fatalf("%+v", got)
		}
		if over := l.Settle(t.Context(), c, 1); over != "" {
			t.Fatal(over)
		}
	}
	if settled(t, l); len(l.credits.reservations) != 10 || len(l.credits.settled) != 10 {
		t.Errorf("%d are remembered", len(l.credits.reservations))
	}
	for n := range 10 {
		c := credited(noon(), 1000, 1000, fmt.Sprint("open", n), 1)
		if got := l.Take(t.Context(), c); (got.Over == gate.LimitsDown) != (n >= 5) {
			t.Errorf("with %d open: %+v", n, got)
		}
	}
	if s := l.Stats(); s.Reservations != 5 || s.Unreachable != 5 {
		t.Errorf("%+v", s)
	}
	closed(t, l)
}

// Promise: a request of one month that is settled in the next is spent in the month in which it was made.
func TestMonthsEndWhileRequestsAreUnderWay(t *testing.T) {
	t.Parallel()
	end := startOfMonth(monthOf(noon()) + 1)
	now, m := &clock{now: end.Add(-1)}, newMemory()
	l := opened(t, m, now.Now, "a")
	old := credited(now.Now(), 10, 10, "old", 6)
	l.Take(t.Context(), old)
	now.add(1)
	fresh := credited(now.Now(), 10, 10, "new", 10)
	if got := l.Take(t.Context(), fresh); got.Over != "" || got.All[0].Left != 0 {
		t.Errorf("in the new month: %+v", got)
	}
	if over := l.Settle(t.Context(), old, 11); over != gate.KeyCredits {
		t.Errorf("more than a month has: %q", over)
	}
	if over := l.Settle(t.Context(), fresh, 9); over != "" {
		t.Error(over)
	}
	if s := states(t, l, fresh); s[0] != (State{Granted: 10, Spent: 9, Remaining: 1}) {
		t.Errorf("%+v", s)
	}
	now.add(-1)
	if s := states(t, l, old); s[0] != (State{Granted: 10, Spent: 6, Remaining: 4}) {
		t.Errorf("%+v", s)
	}
	closed(t, l)
	if len(m.months) != 4 {
		t.Errorf("in writing there are %v", m.months)
	}
}

// Promise: an account that is not in memory is read from the store; a store that does not answer is an error.
func TestStateOfWhatIsNotInMemory(t *testing.T) {
	t.Parallel()
	now, m := &clock{now: noon()}, newMemory()
	l := opened(t, m, now.Now, "a")
	c := credited(noon(), 10, 0, "r1", 6)
	c.Key.Limits.Daily.Most = 5
	l.Take(t.Context(), c)
	l.Settle(t.Context(), c, 4)
	closed(t, l)
	l = opened(t, m, now.Now, "b")
	want := State{Requests: 1, Granted: 10, Spent: 4, Remaining: 6}
	if s := states(t, l, c); s[0] != want || s[1] != (State{}) || l.Stats().Accounts != 0 {
		t.Errorf("%+v", s)
	}
	m.fail(always(before))
	if s, err := l.KeyState(context.Background(), c.Key); err == nil {
		t.Errorf("without a store: %+v", s)
	}
	closed(t, l)
}
