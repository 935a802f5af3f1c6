package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: whatever comes, in whatever order, and however the store fails or loses its replies, once the store is back
// every decision has been counted exactly once, and no denial is kept twice.
func TestEveryDecisionIsCountedOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		store := newBinder()
		l, _ := newLedger(t, store, morning)
		l.limits = limits{denials: 20, perShape: 7, shapes: 16}
		how := ""
		store.fail = func() error {
			if how == "fail" {
				return errBinder
			}
			return nil
		}
		store.lose = func() error {
			if how == "lose" {
				return errBinder
			}
			return nil
		}
		var denials, refused, requests, items int64
		for n := range rapid.IntRange(0, 200).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				how = rapid.SampledFrom([]string{"", "fail", "lose"}).Draw(rt, "store")
			case 1:
				_ = l.Flush(t.Context())
			case 2, 3, 4:
				u := allowed(fmt.Sprint("key", rapid.IntRange(0, 40).Draw(rt, "key")))
				u.At = u.At.Add(time.Duration(rapid.IntRange(-2, 2).Draw(rt, "hour")) * time.Hour)
				l.Allow(u)
				requests++
				items += int64(u.Items)
			default:
				d := denial(n)
				d.KeyID = fmt.Sprint("key", rapid.IntRange(0, 40).Draw(rt, "key"))
				d.Project = rapid.SampledFrom([]string{"prj_1", "prj_2", ""}).Draw(rt, "project")
				d.At = d.At.Add(time.Duration(rapid.IntRange(-2, 2).Draw(rt, "hour")) * time.Hour)
				d.Count = rapid.IntRange(1, 5).Draw(rt, "count")
				l.Deny(d)
				denials++
				refused += int64(d.Count)
			}
			if held := l.Stats().Waiting; held > 2*l.limits.denials {
				rt.Fatalf("%d denials are held in memory", held)
			}
		}
		how = ""
		if err := l.Flush(t.Context()); err != nil {
			rt.Fatal(err)
		}
		gotDenials, gotRefused, gotRequests, gotItems := store.totals()
		if gotDenials != denials || gotRefused != refused || gotRequests != requests || gotItems != items {
			rt.Fatalf("counted %d/%d denials, %d/%d requests; came %d/%d, %d/%d",
				gotDenials, gotRefused, gotRequests, gotItems, denials, refused, requests, items)
		}
		s := l.Stats()
		if s.Kept+s.CountedOnly != uint64(denials) || s.Allowed != uint64(requests) || s.Waiting != 0 || uint64(len(store.denials)) != s.Kept {
			rt.Fatalf("stats %+v with %d denials kept", s, len(store.denials))
		}
	})
}

// Promise: a flood of denials from unknown keys, each under another name, takes no more memory than its bound, and
// leaves the denials of projects their place.
func TestAFloodIsCountedAndNotKept(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	l.limits = limits{denials: 100, perShape: 50, shapes: 16}
	for n := range 5000 {
		d := denial(n % 1000)
		d.ID, d.Project, d.Organization, d.KeyID, d.Reason = fmt.Sprint("flood", n), "", "", fmt.Sprintf("key_%012d", n), "unknown_key"
		l.Deny(d)
	}
	l.Deny(denial(1))
	if s := l.Stats(); s.Waiting != 51 || s.CountedOnly != 4950 {
		t.Fatalf("stats %+v", s)
	}
	if n := len(l.denials.shapes); n != 2 {
		t.Fatalf("%d counts are held", n)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if denials, _, _, _ := store.totals(); denials != 5001 {
		t.Errorf("counted %d", denials)
	}
	flood := Denied{Reason: "unknown_key", Hour: morning()}
	if c := store.denied[flood]; c.Denials != 5000 {
		t.Errorf("the flood was counted as %+v", store.denied)
	}
}

// Promise: more keys than can be told apart are counted together, in their project, and so is their memory bounded.
func TestTooManyKeysAreCountedTogether(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	l.limits = limits{denials: 1000, perShape: 1000, shapes: 2 * useShards}
	for n := range 1000 {
		d := denial(n)
		d.KeyID = fmt.Sprint("key", n)
		l.Deny(d)
		l.Allow(allowed(d.KeyID))
	}
	if n := len(l.denials.shapes); n > l.limits.shapes+1 {
		t.Errorf("%d counts of denials", n)
	}
	for i := range l.uses {
		if n := len(l.uses[i].counts); n > 2+1 {
			t.Errorf("%d counts of uses in a shard", n)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	denials, _, requests, _ := store.totals()
	if denials != 1000 || requests != 1000 {
		t.Errorf("counted %d denials, %d requests", denials, requests)
	}
	together := Used{Project: "prj_1", Action: allowed("").Action, Environment: "production", Hour: morning()}
	if c := store.used[together]; c.Requests < 900 {
		t.Errorf("counted together: %+v", c)
	}
}

// Promise: the counts of an hour that is over leave the memory.
func TestPastHoursLeaveMemory(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), morning)
	for hour := range 100 {
		d := denial(hour)
		d.At = morning().Add(time.Duration(hour) * time.Hour)
		l.Deny(d)
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.denials.shapes); n != 1 {
		t.Fatalf("%d counts are held", n)
	}
}

// Promise: what is denied and allowed is stored within a fraction of a second, and the rest when Run ends.
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
		if h := store.horizons[0]; time.Since(h.Denials) != 30*24*time.Hour || h.Most != 1_000_000 || time.Since(h.Counts) != 400*24*time.Hour {
			t.Errorf("trims to %+v", h)
		}
		l.Deny(denial(1))
		l.Allow(allowed("key"))
		<-time.After(flushEvery + time.Millisecond)
		synctest.Wait()
		if denials, _, requests, _ := store.totals(); denials != 1 || requests != 1 {
			t.Errorf("after 200 ms: %d denials, %d requests", denials, requests)
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
		if denials, _, _, _ := store.totals(); denials != 2 {
			t.Errorf("at the end: %d denials", denials)
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
	if denials, _, requests, items := store.totals(); denials != 4000 || requests != 4000 || items != 12000 || len(store.denials) != 4000 {
		t.Errorf("counted %d denials (%d kept), %d requests, %d items", denials, len(store.denials), requests, items)
	}
}

// Promise: no text that a sender chose can make a batch unfit for a store, or large.
func TestSentTextsAreMadeFit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "",
		"checkout":                     "checkout",
		"a\x00b":                       "a\uFFFDb",
		"\xff\xfe":                     "\uFFFD",
		strings.Repeat("x", 300):       strings.Repeat("x", 256),
		strings.Repeat("é", 200):       strings.Repeat("é", 128),
		"x" + strings.Repeat("é", 200): "x" + strings.Repeat("é", 127),
		strings.Repeat("\xff", 300):    "\uFFFD",
	} {
		d := gate.Denial{Event: text, Environment: text, KeyID: text, RequestID: text}
		clean(&d)
		for _, got := range []string{d.Event, d.Environment, d.KeyID, d.RequestID} {
			if got != want || !utf8.ValidString(got) {
				t.Errorf("%.20q became %.20q, want %.20q", text, got, want)
			}
		}
	}
}

// Promise: a key that was put in the place of a name, whole or in part, is not kept, wherever the bound on texts cuts it.
func TestKeysInSentTextsAreHidden(t *testing.T) {
	t.Parallel()
	key := access.WriteKey(access.Secret, access.Live, "3fQ9xT0aLmZk", "ThisIsAnExampleNotASecret00")
	const shown = "sk_live_3fQ9xT0aLmZk"
	for before := range 300 {
		for _, sent := range []string{key, key[:40], strings.ToUpper(key), key + "more", key[8:]} {
			d := gate.Denial{Event: strings.Repeat("-", before) + sent, Environment: "my" + sent}
			clean(&d)
			for _, got := range []string{d.Event, d.Environment} {
				if strings.Contains(strings.ToLower(got), "thisis") {
					t.Fatalf("after %d others, %q is kept", before, got)
				}
			}
			if sent == key && d.Environment != "my"+shown+"…" {
				t.Fatalf("%q does not say which key it was", d.Environment)
			}
		}
	}
}

// Promise: an hour begins where it should, before 1970 too.
func TestHours(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{morning(), morning().Add(time.Hour - 1), time.Unix(0, 0), time.Unix(-1, 0), time.Unix(-3600, 0), time.Unix(-3601, 0), {}} {
		if got, want := startOf(hourOf(at)), at.UTC().Truncate(time.Hour); !got.Equal(want) {
			t.Errorf("%v is of the hour %v, want %v", at, got, want)
		}
	}
}

// Promise: a permit shows the denials of its own project, newest first and each once, through any page size and filter;
// denials without a project are shown to nobody; and what was decided before the call is in the answer.
func TestDenialsAreOfOneProject(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), morning)
	want := map[Filter][]string{}
	for n := range 30 {
		d := denial(n / 3) // three of each time
		d.ID = fmt.Sprintf("d%02d", n)
		d.Project = []string{"prj_1", "prj_1", "prj_2", ""}[n%4]
		d.KeyID = fmt.Sprintf("key_%012d", n%2)
		d.Reason = []string{"scope_missing", "key_revoked", "key_expired"}[n%3]
		l.Deny(d)
		if d.Project == "prj_1" {
			for _, f := range []Filter{{}, {KeyID: d.KeyID}, {Reason: d.Reason}, {KeyID: d.KeyID, Reason: d.Reason}, {ID: d.ID}} {
				want[f] = append([]string{d.ID}, want[f]...)
			}
		}
	}
	mine := permit(t, "prj_1")
	for f, ids := range want {
		for _, f.Limit = range []int{1, 2, 5, MaxPage} {
			var got []string
			for f.Before = ""; ; {
				page, next, err := l.Denials(t.Context(), mine, f)
				if err != nil || len(page) > f.Limit {
					t.Fatalf("%+v: %d, %v", f, len(page), err)
				}
				for _, d := range page {
					if d.Project != "prj_1" {
						t.Fatalf("%+v shows %+v", f, d)
					}
					got = append(got, d.ID)
				}
				if f.Before = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, ids) {
				t.Errorf("%+v: got %v, want %v", f, got, ids)
			}
		}
	}
}

// Promise: counts are of one project and one window of time, in pages.
func TestCountsAreOfOneProject(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), func() time.Time { return morning().Add(5 * time.Hour) })
	for n := range 60 {
		at := morning().Add(time.Duration(n%6) * time.Hour)
		d, u := denial(n), allowed(fmt.Sprintf("key_%012d", n%2))
		d.At, u.At, d.KeyID = at, at, u.KeyID
		d.Project = []string{"prj_1", "prj_2"}[n/30]
		u.Project = d.Project
		l.Deny(d)
		l.Allow(u)
	}
	mine := permit(t, "prj_1")
	for name, c := range map[string]struct {
		window Window
		rows   int
		sum    int64
	}{
		"all":      {Window{}, 6, 30},
		"one key":  {Window{KeyID: "key_000000000001"}, 3, 15},
		"hours":    {Window{From: morning().Add(time.Hour), To: morning().Add(3 * time.Hour)}, 2, 10},
		"no hours": {Window{From: morning().Add(7 * time.Hour)}, 0, 0},
	} {
		for _, limit := range []int{1, 4, MaxCount} {
			c.window.Limit = limit
			used := drain(t, c.window, func(w Window) ([]Used, string, error) { return l.Usage(t.Context(), mine, w) })
			denied := drain(t, c.window, func(w Window) ([]Denied, string, error) { return l.Denied(t.Context(), mine, w) })
			var requests, items, denials int64
			for _, u := range used {
				requests, items = requests+u.Requests, items+u.Items
			}
			for _, d := range denied {
				denials += d.Denials
			}
			if len(used) != c.rows || len(denied) != c.rows || requests != c.sum || items != 3*c.sum || denials != c.sum {
				t.Errorf("%s by %d: %d/%d rows, %d requests, %d items, %d denials", name, limit, len(used), len(denied), requests, items, denials)
			}
		}
	}
}

func drain[T any](t *testing.T, w Window, read func(Window) ([]T, string, error)) (all []T) {
	t.Helper()
	for {
		page, next, err := read(w)
		if err != nil || len(page) > w.Limit {
			t.Fatalf("%+v: %d, %v", w, len(page), err)
		}
		if all = append(all, page...); next == "" {
			return all
		}
		w.After = next
	}
}

// Promise: a filter that cannot mean anything is refused by name.
func TestBadFiltersAreNamed(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), morning)
	mine := permit(t, "prj_1")
	for field, f := range map[string]Filter{
		"key_id": {KeyID: "key_\x00", Limit: 1}, "reason": {Reason: "a\x00", Limit: 1}, "id": {ID: "\xff", Limit: 1},
		"limit": {Limit: MaxPage + 1}, "cursor": {Before: "####", Limit: 1},
	} {
		_, _, err := l.Denials(t.Context(), mine, f)
		if p := problem.From(err); p.Code != problem.InvalidField || p.Fields[0].Name != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for field, w := range map[string]Window{"key_id": {KeyID: "x", Limit: 1}, "limit": {}, "cursor": {After: "####", Limit: 1}} {
		_, _, err := l.Usage(t.Context(), mine, w)
		if p := problem.From(err); p.Code != problem.InvalidField || p.Fields[0].Name != field {
			t.Errorf("%s: %v", field, err)
		}
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

// Promise: a cursor that we wrote is read as it was, and no other text makes trouble.
func FuzzCursor(f *testing.F) {
	f.Add("", int64(0), "a", "b", "c")
	f.Add(writeCursor(morning(), "key", "what", "env"), int64(-1), "", "", "é")
	f.Fuzz(func(t *testing.T, text string, micros int64, a, b, c string) {
		var x, y, z string
		if _, ok := readCursor(text, &x, &y, &z); ok && (!printable(x) || !printable(y) || !printable(z) || len(text) > maxCursor) {
			t.Fatalf("read %q", x+y+z)
		}
		if !printable(a) || !printable(b) || !printable(c) || len(a+b+c) > 600 {
			return
		}
		at, ok := readCursor(writeCursor(time.UnixMicro(micros), a, b, c), &x, &y, &z)
		if !ok || at.UnixMicro() != micros || x != a || y != b || z != c {
			t.Fatalf("%d %q %q %q became %v %q %q %q", micros, a, b, c, at, x, y, z)
		}
	})
}

// BenchmarkDeny is one no, with all callers denied for the same key.
func BenchmarkDeny(b *testing.B) {
	l, _ := newLedger(b, newBinder(), morning)
	d := denial(1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Deny(d)
		}
	})
}

// BenchmarkAllow is one yes, with all callers using the same key.
func BenchmarkAllow(b *testing.B) {
	l, _ := newLedger(b, newBinder(), morning)
	u := allowed("key_000000000001")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Allow(u)
		}
	})
}

// BenchmarkDenyWhileStored is one no while the store takes what comes, so that denials are queued and not only counted.
func BenchmarkDenyWhileStored(b *testing.B) {
	store := newBinder()
	l, _ := newLedger(b, store, morning)
	l.limits.perShape = 1 << 60
	stop := make(chan struct{})
	var flusher sync.WaitGroup
	flusher.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				_ = l.Flush(b.Context())
				store.mu.Lock()
				store.denials = nil
				store.mu.Unlock()
			}
		}
	})
	d := denial(1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Deny(d)
		}
	})
	close(stop)
	flusher.Wait()
}
