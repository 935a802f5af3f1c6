package limit

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: a network may fail a hundred times at once and then once a second, exactly; another network is not touched by
// it. An IPv4 address is a network, however it is written; of IPv6 the first 64 bits are; no address is one of its own.
func TestFailuresAreCountedByNetwork(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	l := opened(t, newMemory(), now.Now, "a")
	defer closed(t, l)
	for _, list := range [][]string{
		{"192.0.2.1", "::ffff:192.0.2.1"}, {"192.0.2.2"}, {"0.0.0.0"},
		{"2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::1%eth0"}, {"2001:db8:0:1::1"}, {"::"},
		{"invalid", "also invalid"},
	} {
		for n := range 300 {
			from, _ := netip.ParseAddr(list[n%len(list)])
			if wait := l.Fail(from, noon()); wait > 0 != (n >= 100) || n >= 100 && wait != time.Second {
				t.Fatalf("failure %d from %v waits %v", n, from, wait)
			}
		}
	}
	from := netip.MustParseAddr("192.0.2.1")
	for n := range 10 {
		at := noon().Add(time.Duration(n+1) * time.Second)
		if wait := l.Fail(from, at.Add(-1)); wait != 1 {
			t.Errorf("a nanosecond early: %v", wait)
		}
		if wait := l.Fail(from, at); wait != 0 {
			t.Errorf("in time: %v", wait)
		}
		if wait := l.Fail(from, at.Add(-time.Hour)); wait != time.Hour+time.Second {
			t.Errorf("an hour back: %v", wait)
		}
	}
}

// Promise: however many networks fail, memory is bounded; those that fail most are remembered, and those that owe nothing
// are forgotten.
func TestNetworksAreBounded(t *testing.T) {
	t.Parallel()
	now := &clock{now: noon()}
	l := opened(t, newMemory(), now.Now, "a")
	defer closed(t, l)
	loud := netip.MustParseAddr("2001:db8::1")
	for range 100 {
		l.Fail(loud, noon())
	}
	for n := range uint32(200_000) {
		l.Fail(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), noon())
	}
	if n := l.Stats().Addresses; n > failureShards*maxNetworks || n < maxNetworks {
		t.Errorf("%d networks are in memory", n)
	}
	if wait := l.Fail(loud, noon()); wait != time.Second {
		t.Errorf("the loud one was forgotten: %v", wait)
	}
	now.add(time.Second)
	l.sweep(t.Context(), idleTime)
	if n := l.Stats().Addresses; n != 1 {
		t.Errorf("%d networks are in memory after a second", n)
	}
}

// Promise: while Run runs, idle accounts leave memory and the store is trimmed, also when there are too many accounts at
// once; it ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := opened(t, m, time.Now, "a")
		l.bounds.accounts = 10
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { l.Run(ctx); close(ended) }()
		for n := range 15 {
			c := ofKey(fmt.Sprint("key_", n), perDay(1000))
			c.At = time.Now()
			if got := l.Take(t.Context(), c); (got.Over != "") != (n >= 10) {
				t.Errorf("account %d: %+v", n, got)
			}
		}
		time.Sleep(idleTime / 50)
		c := ofKey("key_10", perDay(1000))
		for n := range 3 { // the first tells Run that it is crowded
			c.At = time.Now()
			if got := l.Take(t.Context(), c); (got.Over != "") != (n == 0) {
				t.Errorf("when others are idle, request %d: %+v", n, got)
			}
			synctest.Wait()
		}
		if n := l.Stats().Accounts; n != 1 {
			t.Errorf("%d accounts are in memory", n)
		}
		time.Sleep(idleTime + 2*sweepEvery)
		if n := l.Stats().Accounts; n != 0 || len(m.days) != 11 {
			t.Errorf("%d accounts are in memory, %d in the store", n, len(m.days))
		}
		m.mu.Lock()
		trims := m.trims
		m.mu.Unlock()
		time.Sleep(5 * time.Hour)
		m.fail(always(before))
		time.Sleep(trimEvery)
		m.mu.Lock()
		if m.trims-trims != 6 {
			t.Errorf("trimmed %d times in six hours", m.trims-trims)
		}
		m.mu.Unlock()
		m.fail(nil)
		cancel()
		<-ended
		closed(t, l)
	})
}

// Promise: with a rate and a daily limit of the key and of the project, a request makes no garbage, nor does a failure.
func TestTakeMakesNoGarbage(t *testing.T) {
	now := &clock{now: noon()}
	l := opened(t, newMemory(), now.Now, "a")
	defer closed(t, l)
	c := charge(noon(), plenty(), plenty())
	c.RequestID = "r"
	ctx := t.Context()
	l.Take(ctx, c)
	c.RequestID = ""
	loud := netip.MustParseAddr("2001:db8::1")
	l.Fail(loud, noon())
	if n := testing.AllocsPerRun(200, func() { l.Fail(loud, noon()) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	for _, limits := range []access.Limits{{}, joined(rated(1, 1), perDay(1))} {
		c.Key.Limits = joined(plenty(), limits)
		for range 1000 {
			l.Take(ctx, c)
		}
		settled(t, l)
		if n := testing.AllocsPerRun(200, func() { l.Take(ctx, c) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
