package cache_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/query/cache"
)

// maker makes answers, and counts them.
type maker struct {
	c    *cache.Cache
	now  func() time.Time
	text string
	file bool  // write to a file at once
	err  error // instead of an answer

	gate chan struct{} // not nil: waits until it is closed, or nobody wants the answer any more
	runs atomic.Int32
	cut  atomic.Int32 // runs that nobody wanted any more
}

func (m *maker) make(ctx context.Context) (about cache.About, _ *cache.Body, err error) {
	m.runs.Add(1)
	about = cache.About{ContentType: "text/plain", Rows: 1, Began: m.now(), Digest: sha256.Sum256([]byte(m.text))}
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			m.cut.Add(1)
			return about, nil, ctx.Err()
		}
	}
	if m.err != nil {
		return about, nil, m.err
	}
	if !m.file {
		return about, cache.InMemory([]byte(m.text)), nil
	}
	f, err := m.c.Create()
	if err != nil || f == nil {
		return about, nil, errors.Join(err, errors.New("no file"))
	}
	_, err = f.WriteString(m.text)
	return about, cache.InFile(f, int64(len(m.text)), true), err
}

// then is a clock that stands still.
func then() time.Time { return time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC) }

func key(text string) cache.Key { return sha256.Sum256([]byte(text)) }

var group = cache.Group{Project: "prj_1", Environment: "production"}

func open(tb testing.TB, cfg cache.Config) *cache.Cache {
	tb.Helper()
	if cfg.Now == nil {
		cfg.Now = then
	}
	c, err := cache.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
		if cfg.Dir != "" && len(files(tb, cfg.Dir)) > 0 {
			tb.Error("files are left behind")
		}
	})
	return c
}

// read gives an answer's text, and closes it.
func read(tb interface{ Fatal(args ...any) }, made cache.Made, err error) string {
	if err != nil {
		tb.Fatal(err)
	}
	var b strings.Builder
	n, err := made.Body.WriteTo(&b)
	if err := errors.Join(err, made.Body.Close()); err != nil || n != made.Body.Size() {
		tb.Fatal(n, err)
	}
	return b.String()
}

func files(tb testing.TB, dir string) []fs.DirEntry {
	tb.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

// Promise: an answer is given out until its time is over, by the asker's own measure, and not a moment longer.
func TestTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, cache.Config{Memory: 1 << 20, Now: time.Now})
		m := &maker{now: time.Now, text: "a"}
		want := cache.Want{Key: key("k"), Group: group, TTL: 5 * time.Minute}
		for _, step := range []struct {
			after  time.Duration
			ttl    time.Duration
			runs   int32
			cached bool
		}{
			{0, 5 * time.Minute, 1, false},
			{5 * time.Minute, 5 * time.Minute, 1, true},
			{0, 5*time.Minute - 1, 2, false},
			{4 * time.Minute, 5 * time.Minute, 2, true},
			{1*time.Minute + 1, 5 * time.Minute, 3, false},
		} {
			time.Sleep(step.after)
			want.TTL = step.ttl
			made, err := c.Answer(t.Context(), want, m.make)
			if read(t, made, err) != "a" || m.runs.Load() != step.runs || made.Cached != step.cached {
				t.Errorf("%+v: %d runs, cached %t", step, m.runs.Load(), made.Cached)
			}
		}
		time.Sleep(7 * time.Minute)
		if s := c.Stats(); s.Entries != 0 || s.MemoryBytes != 0 || s.Hits != 2 || s.Misses != 3 {
			t.Errorf("what nobody may have any more lies around: %+v", s)
		}
	})
}

// Promise: an answer that is a little too old is given at once, and made anew once, whoever asks; after that time it is
// not given.
func TestStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, cache.Config{Memory: 1 << 20, Now: time.Now})
		m := &maker{now: time.Now, text: "a"}
		want := cache.Want{Key: key("k"), Group: group, TTL: 5 * time.Minute, Stale: time.Minute}
		made, err := c.Answer(t.Context(), want, m.make)
		read(t, made, err)
		time.Sleep(6 * time.Minute)
		m.gate = make(chan struct{})
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			made, err := c.Answer(ctx, want, m.make)
			if read(t, made, err) != "a" || made.Age(time.Now()) != 6*time.Minute {
				t.Error("not the answer that was kept")
			}
			cancel() // the making goes on
		}
		synctest.Wait()
		if m.runs.Load() != 2 {
			t.Errorf("made %d times, want twice", m.runs.Load())
		}
		close(m.gate)
		synctest.Wait()
		made, err = c.Answer(t.Context(), want, m.make)
		if read(t, made, err); made.Age(time.Now()) != 0 || m.runs.Load() != 2 {
			t.Errorf("the new answer is not there: %v, %d", made.Age(time.Now()), m.runs.Load())
		}
		time.Sleep(6*time.Minute + 1)
		made, err = c.Answer(t.Context(), want, m.make)
		if read(t, made, err); made.Cached || m.runs.Load() != 3 {
			t.Error("an answer was given that is too old by more than is allowed")
		}
	})
}

// Promise: a hundred who ask for the same at once have it made once. Who leaves does not take it from the others, and
// leaves at once.
func TestOnceForAll(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"memory", "file", "nothing kept"} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			cfg := cache.Config{Memory: 1 << 20, Disk: 1 << 20, Dir: dir, Now: time.Now}
			if kind == "nothing kept" {
				cfg = cache.Config{Now: time.Now}
			}
			c := open(t, cfg)
			m := &maker{c: c, now: time.Now, text: "a", gate: make(chan struct{}), file: kind == "file"}
			revoked := errors.New("revoked")
			ctx, cancel := context.WithCancelCause(t.Context())
			var first, left, got atomic.Int32
			var all sync.WaitGroup
			for i := range 100 {
				ctx := ctx
				if i%2 == 0 {
					ctx = t.Context()
				}
				all.Go(func() {
					made, err := c.Answer(ctx, cache.Want{Key: key("k"), Group: group, TTL: time.Minute}, m.make)
					if errors.Is(err, revoked) {
						left.Add(1)
						return
					}
					if !made.Cached {
						first.Add(1)
					}
					if read(t, made, err) == "a" {
						got.Add(1)
					}
				})
			}
			synctest.Wait()
			cancel(revoked)
			synctest.Wait()
			if left.Load() != 50 {
				t.Errorf("%d left at once, want 50", left.Load())
			}
			close(m.gate)
			all.Wait()
			if got.Load() != 50 || m.runs.Load() != 1 || first.Load() > 1 {
				t.Errorf("%s: %d have it, it was made %d times for %d", kind, got.Load(), m.runs.Load(), first.Load())
			}
			if s := c.Stats(); s.Misses != 1 || s.Coalesced != 99 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Promise: an answer is made for somebody, who pays for it: when the first who asked goes away, for the next who gets it,
// and for nobody after that.
func TestSomebodyHasItMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, cache.Config{Memory: 1 << 20, Now: time.Now})
		m := &maker{now: time.Now, text: "a", gate: make(chan struct{})}
		want := cache.Want{Key: key("k"), Group: group, TTL: time.Minute}
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			if _, err := c.Answer(ctx, want, m.make); !errors.Is(err, context.Canceled) {
				t.Errorf("the first got %v", err)
			}
		}()
		synctest.Wait()
		paid := atomic.Int32{}
		var others sync.WaitGroup
		for range 3 {
			others.Go(func() {
				made, err := c.Answer(t.Context(), want, m.make)
				if read(t, made, err); !made.Cached {
					paid.Add(1)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(m.gate)
		others.Wait()
		if paid.Load() != 1 || m.runs.Load() != 1 {
			t.Errorf("of %d runs %d were for somebody", m.runs.Load(), paid.Load())
		}
	})
}

// Promise: what nobody waits for any more is not made any longer, and who asks then has it made anew. Who has left gets
// nothing, not even when it is there already.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, cache.Config{Memory: 1 << 20, Now: time.Now})
		m := &maker{now: time.Now, text: "a", gate: make(chan struct{})}
		want := cache.Want{Key: key("k"), Group: group, TTL: time.Minute}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Answer(ctx, want, m.make); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if m.cut.Load() != 1 {
			t.Error("it is still being made")
		}
		close(m.gate)
		made, err := c.Answer(t.Context(), want, m.make)
		if read(t, made, err); made.Cached || m.runs.Load() != 2 {
			t.Error("not made anew")
		}
		if _, err := c.Answer(ctx, want, m.make); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an answer for one who has left: %v", err)
		}
	})
}

// Promise: an error reaches all who wait, is not kept, and a panic is an error.
func TestErrorsAreNotKept(t *testing.T) {
	t.Parallel()
	c := open(t, cache.Config{Memory: 1 << 20})
	m := &maker{now: then, text: "a", err: errors.New("broken")}
	want := cache.Want{Key: key("k"), Group: group, TTL: time.Minute}
	if _, err := c.Answer(t.Context(), want, m.make); !errors.Is(err, m.err) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Answer(t.Context(), want, func(context.Context) (cache.About, *cache.Body, error) { panic("boo") }); err == nil || !strings.Contains(err.Error(), "boo") {
		t.Errorf("got %v", err)
	}
	if s := c.Stats(); s.Entries != 0 || s.Misses != 2 {
		t.Errorf("%+v", s)
	}
}

// Promise: after Forget nobody who asks gets what was begun before, whether it was kept or still being made; other groups
// keep theirs.
func TestForget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, cache.Config{Memory: 1 << 20, Disk: 1 << 20, Dir: dir, Now: time.Now})
		other := cache.Group{Project: "prj_2", Environment: "production"}
		m := &maker{c: c, now: time.Now, text: "a"}
		ask := func(k string, g cache.Group) cache.Made {
			made, err := c.Answer(t.Context(), cache.Want{Key: key(k), Group: g, TTL: time.Minute}, m.make)
			read(t, made, err)
			return made
		}
		ask("in memory", group)
		ask("of another", other)
		m.file = true
		ask("in a file", group)
		m.file, m.gate = false, make(chan struct{})
		done := make(chan cache.Made)
		go func() { done <- ask("on its way", group) }()
		synctest.Wait()
		c.Forget(group)
		if s := c.Stats(); s.Entries != 1 || s.DiskBytes != 0 || len(files(t, dir)) != 0 {
			t.Errorf("%+v", s)
		}
		late := make(chan cache.Made)
		go func() { late <- ask("on its way", group) }()
		synctest.Wait()
		close(m.gate)
		if before, after := <-done, <-late; before.Cached || after.Cached || m.runs.Load() != 5 {
			t.Errorf("%d runs: who came later got what was begun before", m.runs.Load())
		}
		for k, g := range map[string]cache.Group{"in memory": group, "in a file": group} {
			if ask(k, g).Cached {
				t.Errorf("%s: it was kept", k)
			}
		}
		if !ask("of another", other).Cached || !ask("on its way", group).Cached {
			t.Error("too much was forgotten")
		}
	})
}

// Promise: a file that is damaged, cut or gone is an answer that is not kept.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"gone":    os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 1) },
		"longer":  func(path string) error { return os.WriteFile(path, []byte("answer!"), 0o600) },
		"changed": func(path string) error { return os.WriteFile(path, []byte("anawer"), 0o600) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		dir := t.TempDir()
		c := open(t, cache.Config{Memory: 0, Disk: 1 << 20, Dir: dir})
		m := &maker{c: c, now: then, text: "answer", file: true}
		want := cache.Want{Key: key("k"), Group: group, TTL: time.Hour}
		for i, harmed := range []bool{false, true, false} {
			made, err := c.Answer(t.Context(), want, m.make)
			if read(t, made, err) != "answer" || made.Cached == harmed && i > 0 {
				t.Errorf("%s: step %d, cached %t", name, i, made.Cached)
			}
			kept := files(t, dir)
			if len(kept) != 1 {
				t.Fatalf("%s: %d files", name, len(kept))
			}
			if i == 0 {
				if err := harm(filepath.Join(dir, kept[0].Name())); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Promise: nobody else can read the files, and what an earlier run left is deleted at the start. A folder that cannot be
// made is said at once.
func TestFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	if err := errors.Join(open(t, cache.Config{Dir: dir}).Close(), os.WriteFile(filepath.Join(dir, "kept-1"), nil, 0o600), os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	c := open(t, cache.Config{Disk: 1 << 20, Dir: dir})
	if left := files(t, dir); len(left) != 1 || left[0].Name() != "mine" || os.Remove(filepath.Join(dir, "mine")) != nil {
		t.Errorf("left: %v", left)
	}
	m := &maker{c: c, now: then, text: "a"}
	for _, k := range []string{"moved", "direct"} {
		made, err := c.Answer(t.Context(), cache.Want{Key: key(k), Group: group, TTL: time.Hour}, m.make)
		read(t, made, err)
		m.file = true
	}
	for _, path := range []string{dir, filepath.Join(dir, files(t, dir)[0].Name()), filepath.Join(dir, files(t, dir)[1].Name())} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if _, err := cache.Open(cache.Config{Disk: 1, Dir: filepath.Join(dir, files(t, dir)[0].Name(), "x"), Now: then}); err == nil {
		t.Error("a folder below a file")
	}
}

// Promise: whatever is asked for, in whatever order, everybody gets the text of what he asked for, both bounds hold, and
// the files are those that are counted.
func TestBounds(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	var n atomic.Int32
	rapid.Check(t, func(r *rapid.T) {
		dir := filepath.Join(base, fmt.Sprint(n.Add(1)))
		memory, disk := rapid.Int64Range(0, 10_000).Draw(r, "memory"), rapid.Int64Range(0, 20_000).Draw(r, "disk")
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		c := open(t, cache.Config{Memory: memory, Disk: disk, Dir: dir, Now: func() time.Time { return now }})
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			id := rapid.IntRange(0, 12).Draw(r, "id")
			text := strings.Repeat(fmt.Sprintf("%02d", id), id*200)
			g := cache.Group{Project: fmt.Sprint(id % 2)}
			if rapid.IntRange(0, 9).Draw(r, "what") == 0 {
				c.Forget(g)
			}
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(r, "later"))
			m := &maker{c: c, now: func() time.Time { return now }, text: text, file: disk > 0 && rapid.Bool().Draw(r, "file")}
			made, err := c.Answer(t.Context(), cache.Want{Key: key(text), Group: g, TTL: 10 * time.Minute}, m.make)
			if read(r, made, err) != text || made.Age(now) > 10*time.Minute || made.Cached != (m.runs.Load() == 0) {
				r.Fatalf("the answer to %d is %d bytes, %v old", id, made.Body.Size(), made.Age(now))
			}
			s := c.Stats()
			var stored int64
			for _, f := range files(t, dir) {
				info, _ := f.Info()
				stored += info.Size() + 1<<10
			}
			if s.MemoryBytes > memory || s.DiskBytes > disk || stored != s.DiskBytes {
				r.Fatalf("%+v with bounds %d and %d; %d in files", s, memory, disk, stored)
			}
		}
	})
}

// Promise: many at once, with bounds that make answers move and go all the time, each get what they asked for.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	c := open(t, cache.Config{Memory: 5_000, Disk: 9_000, Dir: t.TempDir()})
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 200 {
				text := strings.Repeat(fmt.Sprintf("%02d", (i+worker)%9), 500+i%3)
				m := &maker{c: c, now: then, text: text, file: i%5 == 0}
				made, err := c.Answer(t.Context(), cache.Want{Key: key(text), Group: group, TTL: time.Hour}, m.make)
				if read(t, made, err) != text {
					t.Error("another answer")
				}
				if i%50 == 0 {
					c.Forget(group)
				}
			}
		})
	}
	all.Wait()
}
