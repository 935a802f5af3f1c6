package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Promise: what is denied and allowed is stored within a fraction of a second, its shapes within ten, and the rest when
// Run ends.
func TestRunStores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newBinder()
		store.surplus = 25
		l, _ := newLedger(t, store, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		synctest.Wait()
		if len(store.horizons) != 4 || store.surplus != 0 {
			t.Errorf("trimmed in %d steps, %d left", len(store.horizons), store.surplus)
		}
		if h := store.horizons[0]; time.Since(h.Denials) != 30*24*time.Hour || h.Most != 1_000_000 || time.Since(h.Minutes) != 48*time.Hour ||
			time.Since(h.Hours) != 60*24*time.Hour || time.Since(h.Days) != 400*24*time.Hour || time.Since(h.Shapes) != 30*24*time.Hour || h.MostDay == 0 {
			t.Errorf("trims to %+v", h)
		}
		l.Deny(denial(1))
		l.Allow(allowed("key"))
		<-time.After(flushEvery + time.Millisecond)
		synctest.Wait()
		if got := store.totals(); got[Denied].requests != 1 || got[Allowed].requests != 1 {
			t.Errorf("after 200 ms: %v", got)
		}
		if got := store.shapeTotals(); len(got) != 2 { // the first are not held back
			t.Errorf("after 200 ms: shapes of %v", got)
		}
		l.Allow(allowed("key"))
		<-time.After(holdBack / 2)
		synctest.Wait()
		if got := store.shapeTotals(); got[Allowed].requests != 1 || store.totals()[Allowed].requests != 2 {
			t.Errorf("after 5 s: shapes of %v", got)
		}
		<-time.After(holdBack/2 + flushEvery)
		synctest.Wait()
		if got := store.shapeTotals(); got[Allowed].requests != 2 || len(store.uses) != 1 {
			t.Errorf("after 10 s: shapes of %v, uses %v", got, store.uses)
		}
		<-time.After(trimEvery)
		synctest.Wait()
		if len(store.horizons) != 5 {
			t.Errorf("trimmed %d times", len(store.horizons))
		}
		l.Deny(denial(2))
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := store.totals(); got[Denied].requests != 2 {
			t.Errorf("at the end: %v", got)
		}
	})
}

// Promise: a store that stays away is told, in the log once a minute and in Stats, and what it missed is stored when it
// is back; a store that is away at the end is an error.
func TestAnAbsentStoreIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newBinder()
		away := true
		store.fail = func() error {
			if away {
				return errBinder
			}
			return nil
		}
		l, log := newLedger(t, store, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		l.Deny(denial(1))
		since := time.Now()
		<-time.After(3*time.Minute + time.Second)
		synctest.Wait()
		s := l.Stats()
		if s.Failures < 100 || s.Waiting != 1 || s.FailingSince.Sub(since) > time.Second {
			t.Errorf("stats %+v", s)
		}
		if n := len(log.lines); n != 4 {
			t.Errorf("%d lines in 3 minutes: %v", n, log.lines)
		}
		store.mu.Lock()
		away = false
		store.mu.Unlock()
		<-time.After(time.Second)
		synctest.Wait()
		if s := l.Stats(); !s.FailingSince.IsZero() || s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
		if last := log.lines[len(log.lines)-1]; !strings.Contains(last, "again") {
			t.Errorf("logged %q", last)
		}
		store.mu.Lock()
		away = true
		store.mu.Unlock()
		l.Deny(denial(2))
		cancel()
		if err := <-done; !errors.Is(err, errBinder) {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// Promise: the request path does not wait for the store.
func TestDenyAndAllowDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newBinder()
		store.hold = make(chan struct{})
		l, _ := newLedger(t, store, time.Now)
		l.Deny(denial(0))
		go func() { _ = l.Flush(t.Context()) }()
		synctest.Wait()
		for n := range 1000 {
			l.Deny(denial(n))
			l.Allow(allowed("key"))
		}
		if s := l.Stats(); s.Waiting != 1001 {
			t.Errorf("stats %+v", s)
		}
		close(store.hold)
	})
}

// Promise: callers at the same time are all counted.
func TestConcurrentCallersAreAllCounted(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for n := range 500 {
				l.Deny(denial(w*500 + n))
				l.Allow(allowed(fmt.Sprint("key", n%3)))
				if n%100 == 0 {
					if err := l.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[Outcome]sum{Denied: {4000, 4000}, Allowed: {4000, 12000}}
	if got := store.totals(); !maps.Equal(got, want) || len(store.denials) != 4000 {
		t.Errorf("counted %v, kept %d denials", got, len(store.denials))
	}
	if got := store.shapeTotals(); !maps.Equal(got, want) {
		t.Errorf("saw %v", got)
	}
}

// Promise: reading goes on while the store takes nothing.
func TestReadingSurvivesAFailedFlush(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	l.Deny(denial(1))
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.fail = func() error { return errBinder }
	l.Deny(denial(2))
	page, _, err := l.Denials(t.Context(), permit(t, "prj_1"), Filter{Limit: 10})
	if err != nil || len(page) != 1 || page[0].ID != "d1" {
		t.Fatalf("read %v, %v", page, err)
	}
}

// Promise: a caller who goes away does not make a flush fail.
func TestFlushOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Deny(denial(1))
	if err := l.Flush(ctx); err != nil || len(store.denials) != 1 {
		t.Fatalf("%v, %d stored", err, len(store.denials))
	}
}

// Promise: a ledger that could not tell the time, the log or itself is not made.
func TestNewNeedsItsConfig(t *testing.T) {
	t.Parallel()
	log := slog.New(&pages{})
	for _, cfg := range []Config{{Log: log, Writer: "w"}, {Now: morning, Writer: "w"}, {Now: morning, Log: log}} {
		if _, err := New(newBinder(), cfg); err == nil {
			t.Errorf("made with %+v", cfg)
		}
	}
}
