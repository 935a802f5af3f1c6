package limit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

func rated(perSecond, burst int64) access.Limits {
	return access.Limits{Rate: access.Rate{PerSecond: perSecond, Burst: burst}}
}

func perDay(most int64) access.Limits { return access.Limits{Daily: access.Quota{Most: most}} }

func perMonth(most int64) access.Limits { return access.Limits{Credits: access.Quota{Most: most}} }

// joined is several limits in one.
func joined(list ...access.Limits) (all access.Limits) {
	for _, l := range list {
		if l.Rate.PerSecond > 0 {
			all.Rate = l.Rate
		}
		if l.Daily.Most > 0 {
			all.Daily = l.Daily
		}
		if l.Credits.Most > 0 {
			all.Credits = l.Credits
		}
	}
	return all
}

// charge is one request of a key of a project.
func charge(at time.Time, key, project access.Limits) gate.Charge {
	return gate.Charge{At: at, Key: gate.Account{ID: "key_1", Limits: key}, Project: gate.Account{ID: "prj_1", Limits: project}, Requests: 1}
}

// drain takes until something denies, and gives how many passed and what denied.
func drain(t testing.TB, l *Limiter, c gate.Charge) (passed int, last gate.Charged) {
	t.Helper()
	for ; passed < 100_000; passed++ {
		if last = l.Take(context.Background(), c); last.Over != "" {
			return passed, last
		}
	}
	t.Fatal("nothing denies")
	return 0, last
}

func list(c gate.Charged) string {
	var b strings.Builder
	for _, one := range c.All {
		if one.Name != "" {
			fmt.Fprintf(&b, "%s %d/%d in %v, %v; ", one.Name, one.Left, one.Most, one.Window, one.Reset)
		}
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// Promise: a request is charged to all limits of its key and its project, each of which is told with what is left, the
// shortest window first; or to none, whichever of them denies.
func TestAllLimitsOrNone(t *testing.T) {
	t.Parallel()
	all := joined(rated(10, 20), perDay(30), perMonth(40))
	for i, c := range []struct {
		key, project access.Limits
		over         string
		passed       int
	}{
		{access.Limits{}, access.Limits{}, "", 0},
		{rated(10, 20), access.Limits{}, gate.KeyRate, 20},
		{access.Limits{}, rated(10, 20), gate.ProjectRate, 20},
		{perDay(7), all, gate.KeyDaily, 7},
		{all, perDay(7), gate.ProjectDaily, 7},
		{perMonth(14), all, gate.KeyCredits, 7},
		{all, perMonth(14), gate.ProjectCredits, 7},
		{rated(1, 5), all, gate.KeyRate, 5},
		{all, rated(1, 5), gate.ProjectRate, 5},
		{all, all, gate.KeyCredits, 20},
	} {
		now := &clock{now: noon()}
		l := opened(t, newMemory(), now.Now, "a")
		ask := charge(noon(), c.key, c.project)
		ask.Credits = 2
		if c.over == "" {
			for range 100 {
				if got := l.Take(t.Context(), ask); got != (gate.Charged{}) {
					t.Errorf("without limits: %+v", got)
				}
			}
			closed(t, l)
			continue
		}
		for n := range 3 { // of denials nothing may remain
			ask.RequestID = fmt.Sprint("r", i, n)
			passed, last := 0, gate.Charged{}
			if n == 0 {
				for last.Over == "" {
					ask.RequestID = fmt.Sprint("p", i, passed)
					if last = l.Take(t.Context(), ask); last.Over == "" {
						passed++
					}
				}
			} else {
				last = l.Take(t.Context(), ask)
			}
			if n == 0 && passed != c.passed || last.Over != c.over && i != 9 || last.Next.Name != last.Over {
				t.Errorf("%d: %d passed, then %s denied: %+v", i, passed, last.Over, last.Next)
			}
			for _, counter := range last.All {
				used, cost := counter.Most-counter.Left, int64(c.passed)
				if strings.HasSuffix(counter.Name, "credits") {
					cost *= 2
				}
				if counter.Name != "" && used != cost {
					t.Errorf("%d: %s has counted %d, want %d", i, counter.Name, used, cost)
				}
			}
		}
		closed(t, l)
	}
}

// Promise: the counters are told in the order of their windows, with what is left, how long the window is, and when there
// is more.
func TestCountersAreTold(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	l := opened(t, newMemory(), now.Now, "a")
	defer closed(t, l)
	c := charge(noon(), joined(rated(10, 20), perDay(500), perMonth(100)), joined(rated(4, 6), perDay(1000), perMonth(2000)))
	c.Credits, c.RequestID = 3, "r1"
	want := "project_rate 5/6 in 1.5s, 250ms; key_rate 19/20 in 2s, 100ms; key_daily 499/500 in 24h0m0s, 12h0m0s; " +
		"project_daily 999/1000 in 24h0m0s, 12h0m0s; key_credits 97/100 in 720h0m0s, 708h0m0s; project_credits 1997/2000 in 720h0m0s, 708h0m0s"
	got := l.Take(t.Context(), c)
	if list(got) != want || got.Next.Name != gate.ProjectRate || got.Over != "" || got.Down != "" {
		t.Errorf("told %s, next %s", list(got), got.Next.Name)
	}
	now.add(2 * time.Second)
	c.At, c.RequestID, c.Credits = now.Now(), "r2", 90
	if got = l.Take(t.Context(), c); got.Next.Name != gate.KeyCredits || got.Next.Left != 7 {
		t.Errorf("next is %+v", got.Next)
	}
	even := charge(now.Now(), joined(rated(10, 20), perDay(20)), access.Limits{})
	if even.Key.ID = "key_2"; l.Take(t.Context(), even).Next.Name != gate.KeyDaily {
		t.Errorf("of two that deny at once, the longer is not told")
	}
	if c.RequestID, c.Credits = "r3", 0; l.Take(t.Context(), c).Next.Name != gate.ProjectRate {
		t.Errorf("credits that are not wanted deny nothing")
	}
}

// Promise: the counter that is told is the one that denies next, if requests like this one go on.
func TestTheToldCounterDeniesNext(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		limits := func(name string) access.Limits {
			return access.Limits{
				Rate:    access.Rate{PerSecond: rapid.Int64Range(0, 3).Draw(rt, name+" rate"), Burst: rapid.Int64Range(1, 30).Draw(rt, name+" burst")},
				Daily:   access.Quota{Most: rapid.Int64Range(0, 30).Draw(rt, name+" daily")},
				Credits: access.Quota{Most: rapid.Int64Range(0, 60).Draw(rt, name+" credits")},
			}
		}
		now := &clock{now: noon()}
		l := opened(t, newMemory(), now.Now, "a")
		defer closed(t, l)
		c := charge(noon(), limits("key"), limits("project"))
		c.Requests, c.Credits = rapid.Int64Range(1, 4).Draw(rt, "requests"), rapid.Int64Range(0, 5).Draw(rt, "credits")
		var before gate.Charged
		for n := range 50 {
			c.RequestID = fmt.Sprint(n)
			got := l.Take(t.Context(), c)
			if got.Over == "" {
				before = got
				continue
			}
			if got.Next.Name != got.Over {
				rt.Fatalf("%s denied, and %s is told", got.Over, got.Next.Name)
			}
			cost := func(counter gate.Counter) int64 {
				if strings.HasSuffix(counter.Name, "credits") {
					return c.Credits
				}
				return c.Requests
			}
			if n > 0 && before.Next.Left >= cost(before.Next) {
				rt.Fatalf("%s denied, and %+v was told", got.Over, before.Next)
			}
			for _, other := range before.All {
				if n > 0 && other.Name != "" && cost(other) > 0 && other.Left/cost(other) < before.Next.Left/cost(before.Next) {
					rt.Fatalf("%+v denies before %+v", other, before.Next)
				}
			}
			return
		}
	})
}

// Promise: a request that is denied passes after exactly the time it is told, and not a nanosecond earlier, whichever limits
// deny; one that is told no time never passes.
func TestWaitIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		limits := func(name string) access.Limits {
			return access.Limits{
				Rate:    access.Rate{PerSecond: rapid.Int64Range(0, 7).Draw(rt, name+" rate"), Burst: rapid.Int64Range(1, 10).Draw(rt, name+" burst")},
				Daily:   access.Quota{Most: rapid.Int64Range(0, 10).Draw(rt, name+" daily")},
				Credits: access.Quota{Most: rapid.Int64Range(0, 20).Draw(rt, name+" credits")},
			}
		}
		now := &clock{now: noon()}
		l := opened(t, newMemory(), now.Now, "a")
		defer closed(t, l)
		c := charge(noon(), limits("key"), limits("project"))
		for n := range 40 {
			c.Requests, c.Credits = rapid.Int64Range(1, 5).Draw(rt, "requests"), rapid.Int64Range(0, 5).Draw(rt, "credits")
			c.At, c.RequestID = now.Now(), fmt.Sprint(n)
			got := l.Take(t.Context(), c)
			switch {
			case got.Over == "":
				continue
			case got.Down != "" || got.Wait < 0:
				rt.Fatalf("%+v", got)
			case got.Wait == 0:
				now.add(100 * 24 * time.Hour)
				if c.At = now.Now(); l.Take(t.Context(), c).Over == "" {
					rt.Fatalf("what never passes passed: %+v", got)
				}
			default:
				now.add(got.Wait - 1)
				if c.At = now.Now(); l.Take(t.Context(), c).Over == "" {
					rt.Fatalf("passed before %v: %+v", got.Wait, got)
				}
				now.add(1)
				if c.At = now.Now(); l.Take(t.Context(), c).Over != "" {
					rt.Fatalf("did not pass after %v: %+v", got.Wait, got)
				}
			}
		}
	})
}

// Promise: days and months are those of UTC, to the nanosecond, whatever zone a time is told in.
func TestDaysAndMonthsAreUTC(t *testing.T) {
	t.Parallel()
	east := time.FixedZone("east", 14*3600)
	for _, c := range []struct {
		limits access.Limits
		end    time.Time
		window time.Duration
	}{
		{perDay(3), time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC), 24 * time.Hour},
		{perDay(3), time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), 24 * time.Hour},
		{perDay(3), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), 24 * time.Hour},
		{perMonth(3), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), 28 * 24 * time.Hour},
		{perMonth(3), time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC), 29 * 24 * time.Hour},
		{perMonth(3), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), 31 * 24 * time.Hour},
	} {
		now := &clock{now: c.end.Add(-1)}
		l := opened(t, newMemory(), now.Now, "a")
		ask := charge(now.Now().In(east), c.limits, access.Limits{})
		ask.Credits = 1
		for n := range 8 {
			ask.RequestID = fmt.Sprint(n)
			if n == 4 {
				now.set(c.end)
				ask.At = c.end.In(east)
			}
			got := l.Take(t.Context(), ask)
			denied := n%4 == 3
			if (got.Over != "") != denied || n < 4 && got.All[0].Window != c.window || denied && n == 3 && got.Wait != 1 || denied && n == 7 && got.Wait < 24*time.Hour {
				t.Errorf("until %v, request %d: %+v", c.end, n, got)
			}
		}
		closed(t, l)
	}
}

// Promise: what a key has used up touches no other key, and no other project; equal ids of a key and a project are two
// accounts; and no two ids are taken for one.
func TestAccountsAreToldApart(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	m := newMemory()
	l := opened(t, m, now.Now, "a")
	limits := joined(rated(1, 3), perDay(3), perMonth(3))
	ids := []string{"", "a", "A", "a ", "á", "a\u0301", "key/a", "project/a", strings.Repeat("x", 1000), "\x00"}
	for round := range 2 {
		for i, id := range ids {
			key := gate.Charge{At: noon(), Key: gate.Account{ID: id, Limits: limits}, Project: gate.Account{ID: "prj_1"}, Requests: 1, Credits: 1}
			project := gate.Charge{At: noon(), Key: gate.Account{ID: "key_1"}, Project: gate.Account{ID: id, Limits: limits}, Requests: 1, Credits: 1}
			for _, c := range []gate.Charge{key, project} {
				for n := range 4 {
					c.RequestID = fmt.Sprint("r", round, i, c.Key.ID == "key_1", n)
					if got := l.Take(t.Context(), c); (got.Over != "") != (n == 3 || round == 1) {
						t.Errorf("%q, round %d, request %d: %+v", id, round, n, got.Over)
					}
				}
			}
		}
		closed(t, l)
		if l = opened(t, m, now.Now, "b"); len(m.days) != 2*len(ids) {
			t.Errorf("%d accounts are stored, want %d", len(m.days), 2*len(ids))
		}
	}
	closed(t, l)
}

// Promise: a request counts once, however often it is told, and another key's request of the same id counts for itself.
func TestEqualRequestsCountOnce(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	l := opened(t, newMemory(), now.Now, "a")
	defer closed(t, l)
	for _, limits := range []access.Limits{joined(rated(1, 9), perDay(9)), joined(rated(1, 9), perDay(9), perMonth(90))} {
		for _, key := range []string{"key_1", "key_2"} {
			c := ofKey(key+fmt.Sprint(limits.Credits.Most), limits)
			c.At, c.RequestID, c.Credits = noon(), "the same", 10
			first := l.Take(t.Context(), c)
			for range 5 {
				if again := l.Take(t.Context(), c); again != first || again.Over != "" || again.All[0].Left != 8 {
					t.Errorf("%+v after %+v", again, first)
				}
			}
			if c.RequestID = ""; l.Take(t.Context(), c).All[0].Left != 7 || l.Take(t.Context(), c).All[0].Left != 6 {
				t.Error("requests without an id are taken for one")
			}
		}
	}
}

// Promise: a request that was denied counts when it is repeated and passes.
func TestADeniedRequestCountsLater(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	l := opened(t, newMemory(), now.Now, "a")
	defer closed(t, l)
	c := charge(noon(), joined(rated(1, 1), perMonth(100)), access.Limits{})
	c.RequestID, c.Credits = "r1", 1
	l.Take(t.Context(), c)
	c.RequestID = "r2"
	denied := l.Take(t.Context(), c)
	now.add(denied.Wait)
	c.At = now.Now()
	if got := l.Take(t.Context(), c); denied.Over != gate.KeyRate || denied.Wait != time.Second || got.Over != "" || got.All[0].Left != 0 {
		t.Errorf("%+v, then %+v", denied, got)
	}
	if s, err := l.KeyState(t.Context(), c.Key); err != nil || s != (State{Granted: 100, Reserved: 2, Remaining: 98}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// Promise: limits hold from the request on that brings them: what is raised gives the difference, what is lowered gives
// nothing anew, not even when it is raised again or was taken away in between.
func TestChangedLimitsHoldAtOnce(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	l := opened(t, newMemory(), now.Now, "a")
	defer closed(t, l)
	n := 0
	with := func(burst, daily, credits int64) int {
		limits := joined(rated(1, burst), perDay(daily), perMonth(credits))
		c := charge(noon(), limits, access.Limits{})
		for passed := 0; ; passed++ {
			c.RequestID, c.Credits = fmt.Sprint(n), 1
			n++
			if l.Take(t.Context(), c).Over != "" {
				return passed
			}
		}
	}
	for i, c := range []struct {
		burst, daily, credits int64
		want                  int
	}{
		{10, 1000, 1000, 10}, {15, 1000, 1000, 5}, {1, 1000, 1000, 0}, {15, 1000, 1000, 0}, {1000, 20, 1000, 5}, {1000, 10, 1000, 0},
		{1000, 25, 1000, 5}, {1000, 0, 27, 2}, {1000, 25, 1000, 0}, {1000, 1000, 20, 0}, {1000, 1000, 30, 3}, {1000, 1000, 0, 970}, {1001, 0, 0, 1},
		{2000, 30, 0, 0},
	} {
		if got := with(c.burst, c.daily, c.credits); got != c.want {
			t.Errorf("step %d, with %d, %d, %d: %d passed, want %d", i, c.burst, c.daily, c.credits, got, c.want)
		}
	}
}

// Promise: numbers that make no sense harm nobody: what is below zero costs nothing, and a limit below zero is none.
func TestOddNumbers(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	l := opened(t, newMemory(), now.Now, "a")
	defer closed(t, l)
	negative := access.Limits{Rate: access.Rate{PerSecond: -1, Burst: -1}, Daily: access.Quota{Most: -1}, Credits: access.Quota{Most: -1}}
	if got := l.Take(t.Context(), charge(noon(), negative, negative)); got != (gate.Charged{}) {
		t.Errorf("limits below zero: %+v", got)
	}
	huge := access.Limits{Rate: access.Rate{PerSecond: 1 << 62, Burst: 1 << 62}, Daily: access.Quota{Most: 1<<63 - 1}, Credits: access.Quota{Most: 1<<63 - 1}}
	for i, c := range []struct{ requests, credits int64 }{{-5, -5}, {0, 0}, {1, 1 << 62}, {1, 1<<62 - 1}, {1 << 31, 0}} {
		ask := charge(noon(), huge, huge)
		ask.RequestID, ask.Requests, ask.Credits = fmt.Sprint(i), c.requests, c.credits
		got := l.Take(t.Context(), ask)
		if got.Over != "" || got.Next.Name == "" {
			t.Errorf("%+v: %+v", c, got)
		}
		for _, counter := range got.All {
			if counter.Left < 0 || counter.Left > counter.Most || counter.Window <= 0 || counter.Reset < 0 {
				t.Errorf("%+v: %+v", c, counter)
			}
		}
	}
	ask := charge(noon(), huge, huge)
	if ask.Credits, ask.RequestID = 1, "last"; l.Take(t.Context(), ask).Over != gate.KeyCredits {
		t.Error("more credits than there are")
	}
	if ask.Requests, ask.RequestID = 1<<63-1, "most"; l.Take(t.Context(), ask).Over != gate.KeyRate {
		t.Error("more requests than fit a rate")
	}
	for _, at := range []time.Time{{}, time.Unix(-1<<40, 0), time.Unix(1<<40, 0)} {
		if got := l.Take(t.Context(), charge(at, joined(rated(1, 2), perDay(2)), access.Limits{})); got.Over == gate.LimitsDown {
			t.Errorf("at %v: %+v", at, got)
		}
	}
}
