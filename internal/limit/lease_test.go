package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// settled waits until nothing is queued and nothing is under way.
func settled(t testing.TB, l *Limiter) {
	t.Helper()
	l.queue.worker <- struct{}{}
	<-l.queue.worker
}

// Promise: a limiter that is closed leaves exactly what it counted: the next one goes on where it ended, at once.
func TestCloseLosesNothing(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	m := newMemory()
	c := charge(noon(), joined(rated(10, 1000), perDay(100_000), perMonth(5000)), joined(rated(10, 2000), perDay(200_000)))
	for n := range 50 {
		l := opened(t, m, now.Now, fmt.Sprint(n))
		c.At, c.Requests, c.Credits, c.RequestID = now.Now(), 7, 3, fmt.Sprint(n)
		got := l.Take(t.Context(), c)
		if over := l.Settle(t.Context(), c, 2); over != "" {
			t.Fatal(over)
		}
		owed := int64(7*(n+1) - n) // in 100 ms, one is paid back
		if got.Over != "" || got.All[0].Left != 1000-owed || got.All[1].Left != 2000-owed || got.All[2].Left != 100_000-int64(7*(n+1)) ||
			got.All[4].Left != 5000-int64(2*n+3) {
			t.Fatalf("start %d: %s %s", n, got.Over, list(got))
		}
		closed(t, l)
		now.add(100 * time.Millisecond)
	}
}

// Promise: after a crash no more is let through than was allowed, and of a day no more is lost than a hundredth, or than
// a hundred requests of a key that does little.
func TestACrashLosesLittle(t *testing.T) {
	t.Parallel()
	for _, most := range []int64{1, 10, 1000, 100_000, 10_000_000} {
		now := &clock{now: noon()}
		m := newMemory()
		passed, last := int64(0), int64(0)
		for n := range 5 {
			l := opened(t, m, now.Now, fmt.Sprint(n))
			for range 2000 {
				c := charge(now.Now(), perDay(most), access.Limits{})
				got := l.Take(t.Context(), c)
				if got.Over != "" {
					break
				}
				passed++
				last = got.Next.Left
			}
			settled(t, l)
			lost := m.days[Day{Account: "key/key_1", Day: dayOf(noon())}] - (most - last)
			if lost < 0 || lost > max(most/100, 1) {
				t.Errorf("of %d a crash loses %d", most, lost)
			}
			// It is killed here: nothing of it is used any more.
		}
		if passed > most || most <= 1000 && passed < most*9/10 {
			t.Errorf("of %d, %d passed", most, passed)
		}
	}
}

// Promise: restarts, however many, never give a second burst: after a crash a rate begins anew at the last moment at
// which it may have been used.
func TestRestartsGiveNoBurst(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	m := newMemory()
	total := 0
	for n := range 20 {
		l := opened(t, m, now.Now, fmt.Sprint(n))
		passed, last := drain(t, l, charge(now.Now(), rated(10, 100), access.Limits{}))
		if n > 0 && passed != 0 || last.Over != gate.KeyRate || last.Wait != 100*time.Millisecond {
			t.Errorf("start %d: %d passed, then %v", n, passed, last.Wait)
		}
		total += passed
		now.add(500 * time.Millisecond)
	}
	if total != 100 {
		t.Errorf("%d passed", total)
	}
	l := opened(t, m, now.Now, "again")
	l.Take(t.Context(), charge(now.Now(), rated(10, 100), access.Limits{}))
	now.add(500 * time.Millisecond)
	if passed, _ := drain(t, l, charge(now.Now(), rated(10, 100), access.Limits{})); passed != 5 {
		t.Errorf("half a second after a start %d passed", passed)
	}
	now.add(useTime + time.Minute) // a lease that has run out is taken anew before it is used
	if passed, _ := drain(t, l, charge(now.Now(), rated(10, 100), access.Limits{})); passed != 100 {
		t.Errorf("a minute after the lease %d passed", passed)
	}
	if passed, _ := drain(t, opened(t, m, now.Now, "once more"), charge(now.Now(), rated(10, 100), access.Limits{})); passed != 0 {
		t.Errorf("after a crash then %d passed", passed)
	}
	now.add(useTime + 10*time.Second) // the lease has run out, and a burst has been paid back since
	if passed, _ := drain(t, opened(t, m, now.Now, "late"), charge(now.Now(), rated(10, 100), access.Limits{})); passed != 100 {
		t.Errorf("long after the crash %d passed", passed)
	}
}

// Promise: what is owed when a server ends is paid back at the slower of the rates before and after.
func TestRatesAreRaisedBetweenStarts(t *testing.T) {
	t.Parallel()
	now, m := &clock{now: noon()}, newMemory()
	for n, want := range []int{100, 10, 10, 100} {
		l := opened(t, m, now.Now, fmt.Sprint(n))
		limits := rated([]int64{1, 50, 1, 1}[n], 100)
		if passed, _ := drain(t, l, charge(now.Now(), limits, access.Limits{})); passed != want {
			t.Errorf("start %d: %d passed, want %d", n, passed, want)
		}
		closed(t, l)
		now.add(time.Duration([]int{10, 10, 100, 0}[n]) * time.Second)
	}
}

// Promise: a request whose accounts have leases asks nothing of the store; those that need one at the same time share a
// write; and accounts that are not in use cost nothing.
func TestTheStoreIsAskedRarely(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	m := newMemory()
	l := opened(t, m, now.Now, "a")
	limits := joined(rated(100_000, 1_000_000), perDay(1_000_000))
	for range 100_000 {
		if got := l.Take(t.Context(), charge(noon(), limits, limits)); got.Over != "" {
			t.Fatal(got.Over)
		}
	}
	settled(t, l)
	if m.writes > 50 {
		t.Errorf("100,000 requests made %d writes", m.writes)
	}
	before := m.writes
	now.add(time.Hour)
	if settled(t, l); m.writes != before {
		t.Error("an idle account writes")
	}
	hang := make(chan struct{})
	m.hangs(hang)
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			c := charge(now.Now(), limits, access.Limits{})
			c.Key.ID = fmt.Sprint("another_", n)
			if got := l.Take(t.Context(), c); got.Over != "" && got.Over != gate.LimitsDown {
				t.Error(got.Over)
			}
		})
	}
	for l.Stats().Accounts < 202 {
		runtime.Gosched()
	}
	m.hangs(nil)
	close(hang)
	all.Wait()
	if settled(t, l); m.writes-before > 5 {
		t.Errorf("200 keys at once made %d writes", m.writes-before)
	}
	closed(t, l)
}

// Promise: accounts that are idle are written back and leave memory, without giving anything anew; and so do they when
// there are too many.
func TestIdleAccountsLeaveMemory(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	m := newMemory()
	l := opened(t, m, now.Now, "a")
	defer closed(t, l)
	l.bounds.accounts = 50
	limits := joined(rated(1, 2000), perDay(1000), perMonth(100))
	want := map[string]int64{}
	for n := range 2000 {
		c := ofKey(fmt.Sprint("key_", n*7%60), limits)
		c.At, c.RequestID, c.Credits = now.Now(), fmt.Sprint(n), 1
		got := l.Take(t.Context(), c)
		if got.Over == gate.LimitsDown && l.Stats().Accounts >= 50 { // Run would do so
			now.add(idleTime)
			l.sweep(t.Context(), idleTime/100)
			c.At = now.Now()
			got = l.Take(t.Context(), c)
		}
		over := l.Settle(t.Context(), c, 1)
		want[c.Key.ID]++
		if got.Over != "" || over != "" || got.All[1].Left != 1000-want[c.Key.ID] || got.All[2].Left != 100-want[c.Key.ID] {
			t.Fatalf("request %d: %s %s", n, got.Over, list(got))
		}
	}
	now.add(idleTime + 1)
	l.sweep(t.Context(), idleTime)
	if s := l.Stats(); s.Accounts != 0 || s.Reservations != 0 || len(l.credits.purses) != 0 {
		t.Errorf("in memory there are %+v, %d purses", s, len(l.credits.purses))
	}
	for key, n := range want {
		if got := m.days[Day{Account: "key/" + key, Day: dayOf(noon())}]; got != n {
			t.Errorf("%s has %d, want %d", key, got, n)
		}
	}
}

// Promise: nothing leaves memory before the store has it, whether a rate, a day or credits, and however long that takes; when
// it has left and comes back it is what it was.
func TestOnlyWhatIsWrittenLeavesMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, now := newMemory(), &clock{now: noon()}
		l := opened(t, m, now.Now, "a")
		var asks []gate.Charge
		for id, limits := range map[string]access.Limits{"rate": rated(1, 1000), "daily": perDay(10_000), "credits": perMonth(100)} {
			limits.Credits.OnFailure = access.FailAllow
			c := ofKey(id, limits)
			c.At, c.RequestID, c.Credits = noon(), "r1", 9
			l.Take(t.Context(), c)
			asks = append(asks, c)
		}
		synctest.Wait()
		m.fail(always(before))
		l.queue.down.Store(true)
		for _, c := range asks {
			l.Settle(t.Context(), c, 5)
		}
		now.add(idleTime + time.Minute)
		for range 3 {
			l.sweep(t.Context(), idleTime)
			if n := l.Stats().Accounts; n != 2 || len(l.credits.purses) != 1 { // that of credits alone has nothing else
				t.Fatalf("without a store, %d accounts and %d purses are in memory", n, len(l.credits.purses))
			}
		}
		m.fail(nil)
		time.Sleep(longestRest)
		for range 2 {
			l.sweep(t.Context(), idleTime)
		}
		if n := l.Stats().Accounts; n != 0 || len(l.credits.purses) != 0 {
			t.Errorf("with a store, %d accounts and %d purses are in memory", n, len(l.credits.purses))
		}
		for _, c := range asks {
			c.At, c.RequestID = now.Now(), "r2"
			left := map[string]int64{"rate": 999, "daily": 9998, "credits": 86}[c.Key.ID] // in eleven minutes the rate has it back
			if got := l.Take(t.Context(), c); got.Next.Left != left {
				t.Errorf("%s: %+v", c.Key.ID, got)
			}
		}
		closed(t, l)
	})
}

// hammer asks from 64 goroutines, of 4 keys, until nothing is left for sure, and counts what passed.
func hammer(t *testing.T, l *Limiter, now *clock, most int64, others ...string) int64 {
	l.bounds.patience = time.Minute // the machine may be busy
	var passed atomic.Int64
	var all sync.WaitGroup
	for g := range 64 {
		all.Go(func() {
			for n := range int(most)/16 + 2 {
				c := charge(now.Now(), perDay(most*2), perDay(most))
				c.Key.ID, c.RequestID = fmt.Sprint("key_", g%4), fmt.Sprint(l.cfg.Server, c.At.UnixNano(), g, "/", n)
				if got := l.Take(t.Context(), c); got.Over == "" {
					passed.Add(1)
				} else if got.Over != gate.ProjectDaily && !slices.Contains(others, got.Over) {
					t.Errorf("denied by %s", got.Over)
					return
				}
			}
		})
	}
	all.Wait()
	return passed.Load()
}

// Promise: 64 at once get exactly what a day allows, not one more and not one less, on both sides of midnight.
func TestManyAtOnceGetExactlyTheAllowance(t *testing.T) {
	t.Parallel()
	for _, most := range []int64{1, 64, 100, 5000} {
		now := &clock{now: endOfDay(dayOf(noon())).Add(-time.Millisecond)}
		l := opened(t, newMemory(), now.Now, "a")
		if got := hammer(t, l, now, most); got != most {
			t.Errorf("before midnight %d of %d passed", got, most)
		}
		now.add(time.Millisecond)
		if got := hammer(t, l, now, most); got != most {
			t.Errorf("after midnight %d of %d passed", got, most)
		}
		closed(t, l)
	}
}

// Promise: a server that is started over the store of another, which goes on, does not make the day longer.
func TestAnotherServerAddsNothing(t *testing.T) {
	t.Parallel()
	const most = 3000
	now, m := &clock{now: noon()}, newMemory()
	l := opened(t, m, now.Now, "a")
	var all sync.WaitGroup
	var sum atomic.Int64
	all.Go(func() { sum.Add(hammer(t, l, now, most, gate.LimitsDown)) })
	all.Go(func() {
		next := opened(t, m, now.Now, "b")
		sum.Add(hammer(t, next, now, most))
		closed(t, next)
	})
	all.Wait()
	if sum.Load() > most || sum.Load() < most*9/10 {
		t.Errorf("%d of %d passed", sum.Load(), most)
	}
	if err := l.Close(t.Context()); err != nil && !errors.Is(err, ErrSuperseded) {
		t.Error(err)
	}
}

// Promise: while the store is away each limit does what it says, and the answer tells which was done; what was let through
// is counted when the store is back.
func TestOnStoreFailure(t *testing.T) {
	t.Parallel()
	type outcome struct {
		passed     int
		over, down string
	}
	for _, c := range []struct {
		name    string
		limits  access.Limits
		how     access.OnFailure
		fresh   outcome // of an account that is not known
		started outcome // of one whose lease of 2, and of credits, is used up; its rate is leased
	}{
		{"rate", rated(1, 50), access.FailDeny, outcome{0, gate.LimitsDown, "deny"}, outcome{48, gate.KeyRate, ""}},
		{"rate", rated(1, 50), access.FailLocalShare, outcome{5, gate.KeyRate, "local_share"}, outcome{48, gate.KeyRate, ""}},
		{"rate", rated(1, 50), access.FailAllow, outcome{1000, "", "allow"}, outcome{48, gate.KeyRate, ""}},
		{"daily", perDay(200), access.FailDeny, outcome{0, gate.LimitsDown, "deny"}, outcome{0, gate.LimitsDown, "deny"}},
		{"daily", perDay(200), access.FailLocalShare, outcome{20, gate.LimitsDown, "local_share"}, outcome{20, gate.LimitsDown, "local_share"}},
		{"daily", perDay(200), access.FailAllow, outcome{1000, "", "allow"}, outcome{198, gate.KeyDaily, ""}},
		{"credits", perMonth(300), access.FailDeny, outcome{0, gate.LimitsDown, "deny"}, outcome{0, gate.LimitsDown, "deny"}},
		{"credits", perMonth(300), access.FailLocalShare, outcome{30, gate.LimitsDown, "local_share"}, outcome{30, gate.LimitsDown, "local_share"}},
		{"credits", perMonth(300), access.FailAllow, outcome{1000, "", "allow"}, outcome{298, gate.KeyCredits, ""}},
	} {
		c.limits.Rate.OnFailure, c.limits.Daily.OnFailure, c.limits.Credits.OnFailure = c.how, c.how, c.how
		for start, want := range []outcome{c.fresh, c.started} {
			t.Run(fmt.Sprint(c.name, " ", c.how, " ", start), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					now, m := &clock{now: noon()}, newMemory()
					l := opened(t, m, now.Now, "a")
					n := 0
					take := func() gate.Charged {
						ask := charge(noon(), c.limits, access.Limits{})
						ask.RequestID, ask.Credits = fmt.Sprint(n), 1
						n++
						got := l.Take(t.Context(), ask)
						if got.Over == "" {
							if over := l.Settle(t.Context(), ask, 1); over != "" {
								t.Errorf("request %d settles: %s", n, over)
							}
						}
						return got
					}
					before := 0
					for range 2 * start {
						before++
						if got := take(); got.Over != "" || got.Down != "" {
							t.Fatalf("%+v", got)
						}
						synctest.Wait()
						for a := range l.keys.all() { // without leases made beforehand
							for _, tally := range a.tallies {
								tally.lease, tally.taken = 0, tally.used
							}
						}
					}
					m.fail(always(failure(1 + start)))
					got, last := outcome{}, gate.Charged{}
					for ; got.passed < 1000; got.passed++ {
						if last = take(); last.Over != "" {
							break
						}
					}
					got.over, got.down = last.Over, last.Down
					if got.over == gate.LimitsDown && last.Wait != time.Second {
						t.Errorf("come again in %v", last.Wait)
					}
					if got != want {
						t.Errorf("got %+v, want %+v", got, want)
					}
					m.fail(nil)
					time.Sleep(longestRest)
					closed(t, l)
					counted := m.days[Day{Account: "key/key_1", Day: dayOf(noon())}] + m.months[Month{Account: "key/key_1", Month: monthOf(noon())}]
					if c.name != "rate" && counted != int64(before+got.passed) {
						t.Errorf("%d are counted in the end, want %d", counted, before+got.passed)
					}
				})
			})
		}
	}
}

// Promise: a store that hangs holds up the first requests for a quarter of a second, and then nobody, until it is back;
// whoever has a lease is not held up at all.
func TestAHangingStoreHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := opened(t, m, time.Now, "a")
		leased := charge(time.Now(), joined(rated(1, 10), perDay(100_000)), access.Limits{})
		leased.Key.ID = "key_0"
		if got := l.Take(t.Context(), leased); got.Over != "" {
			t.Fatal(got.Over)
		}
		synctest.Wait()
		hang := make(chan struct{})
		m.hangs(hang)
		start := time.Now()
		timed := func(want time.Duration) {
			c := charge(time.Now(), perDay(100), access.Limits{})
			c.Key.Limits.Daily.OnFailure = access.FailLocalShare
			before := time.Now()
			if got := l.Take(t.Context(), c); got.Over != "" || got.Down != "local_share" {
				t.Errorf("%+v", got)
			}
			if took := time.Since(before); took != want {
				t.Errorf("%v after the start it took %v, want %v", before.Sub(start), took, want)
			}
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { timed(patience) })
		}
		all.Wait()
		for range 3 {
			timed(0)
			time.Sleep(time.Minute)
		}
		for range 3 {
			leased.At = start // in a minute its lease of the rate would have ended
			if got := l.Take(t.Context(), leased); got.Over != "" || got.Down != "" {
				t.Errorf("with a lease: %+v", got)
			}
		}
		m.hangs(nil)
		close(hang)
		time.Sleep(longestRest)
		if got := l.Take(t.Context(), charge(time.Now(), perDay(100), access.Limits{})); got.Over != "" || got.Down != "" || got.Next.Left != 93 {
			t.Errorf("when it is back: %+v", got)
		}
		if s := l.Stats(); s.Uncounted != 6 || s.Failures == 0 || !s.FailingSince.IsZero() {
			t.Errorf("%+v", s)
		}
		closed(t, l)
	})
}

// Promise: a caller who goes away while the store is slow is not charged and waits no longer.
func TestWaitingCanBeCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := opened(t, m, time.Now, "a")
		hang := make(chan struct{})
		m.hangs(hang)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		c := charge(time.Now(), perDay(10), access.Limits{})
		c.Key.Limits.Daily.OnFailure, c.RequestID = access.FailAllow, "r"
		for range 2 {
			before := time.Now()
			if got := l.Take(ctx, c); got.Over != gate.LimitsDown || got.Down != "deny" || time.Since(before) > 10*time.Millisecond {
				t.Errorf("after %v: %+v", time.Since(before), got)
			}
			c.Key.Limits.Credits.Most, c.Credits = 10, 1
		}
		m.hangs(nil)
		close(hang)
		synctest.Wait()
		if s, err := l.KeyState(t.Context(), c.Key); err != nil || s != (State{Granted: 10, Remaining: 10}) {
			t.Errorf("%+v, %v", s, err)
		}
		closed(t, l)
	})
}

// Promise: of two servers over one store only the one that came last counts; the other lets through what it has leased,
// and then does what its limits say for want of the store.
func TestTwoServersDoNotCountTwice(t *testing.T) {
	t.Parallel()
	now, m := &clock{now: noon()}, newMemory()
	first := opened(t, m, now.Now, "a")
	c := charge(noon(), joined(rated(1, 1000), perDay(1000), perMonth(10)), access.Limits{})
	c.RequestID, c.Credits = "r1", 10
	if got := first.Take(t.Context(), c); got.Over != "" {
		t.Fatal(got.Over)
	}
	second := opened(t, m, now.Now, "b")
	if over := first.Settle(t.Context(), c, 10); over != gate.LimitsDown {
		t.Errorf("the first server settles: %q", over)
	}
	passed := 0
	for _, l := range []*Limiter{first, second} {
		for n := range 2000 {
			ask := c
			ask.RequestID, ask.Credits = fmt.Sprint("n", n), 0
			if l.Take(t.Context(), ask).Over == "" {
				passed++
			}
		}
	}
	if passed > 1000 {
		t.Errorf("%d of 1000 passed", passed)
	}
	if s, err := second.KeyState(t.Context(), c.Key); err != nil || s.Remaining != 10 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := first.Close(t.Context()); !errors.Is(err, ErrSuperseded) {
		t.Errorf("the first closes: %v", err)
	}
	closed(t, second)
}

// Promise: whoever leaves something out of the config, or has no store, is told at the start; a limiter that was closed
// denies what it cannot count, and closes once.
func TestOpenAndClose(t *testing.T) {
	t.Parallel()
	now, m, quiet := &clock{now: noon()}, newMemory(), slog.New(slog.DiscardHandler)
	for i, cfg := range []Config{{Log: quiet, Server: "a"}, {Now: now.Now, Server: "a"}, {Now: now.Now, Log: quiet}} {
		if _, err := Open(t.Context(), m, cfg); err == nil {
			t.Errorf("config %d was taken", i)
		}
	}
	m.fail(always(before))
	if _, err := Open(t.Context(), m, Config{Now: now.Now, Log: quiet, Server: "a"}); !errors.Is(err, errFault) {
		t.Errorf("without a store: %v", err)
	}
	m.fail(nil)
	l := opened(t, m, now.Now, "a")
	c := charge(noon(), joined(rated(1, 10), perDay(10), perMonth(10)), access.Limits{})
	c.Credits, c.RequestID = 1, "r1"
	l.Take(t.Context(), c)
	closed(t, l)
	if err := l.Close(t.Context()); err == nil {
		t.Error("closed twice")
	}
	for range 3 {
		c.RequestID += "x"
		if got := l.Take(t.Context(), c); got.Over != gate.LimitsDown {
			t.Errorf("after the end: %+v", got)
		}
		if over := l.Settle(t.Context(), c, 1); over != gate.LimitsDown {
			t.Errorf("after the end: %q", over)
		}
	}
}
