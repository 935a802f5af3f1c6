package segment

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: when the disk has less than the reserve, appends answer storage_full and nothing of them is kept; what was
// acknowledged stays readable; and when there is room again, appends go on with the next position.
func TestDiskBelowItsReserve(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(1 << 40)
	var log strings.Builder
	c := Config{
		Dir: t.TempDir(), SegmentSize: 200, Reserve: 1000, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Free: func() (int64, error) { return free.Load(), nil },
	}
	j, _ := open(t, c)
	mustAppend(t, j, "one")
	free.Store(999)
	for range 3 {
		wantProblem(t, j, problem.StorageFull)
	}
	free.Store(1000)
	mustAppend(t, j, "two")
	wantProblem(t, j, problem.StorageFull, strings.Repeat("needs another segment, and so its room besides", 4))
	if got := strings.Join(contents(t, j), " "); got != "one two" {
		t.Fatalf("got %q", got)
	}
	free.Store(1200)
	if at := mustAppend(t, j, strings.Repeat("x", 150)); at != 3 {
		t.Fatalf("position %d", at)
	}
	mustClose(t, j)
	if lines := log.String(); strings.Count(lines, "is full") != 2 || strings.Count(lines, "has room") != 2 {
		t.Fatalf("the log does not tell twice that the disk became full and had room again:\n%s", lines)
	}
}

// Promise: a write or a sync that finds the disk full is taken back at once, so that it is not there after a restart,
// and when there is room appends go on after what was acknowledged.
func TestDiskFullInAWriteOrSync(t *testing.T) {
	t.Parallel()
	short := []string{"refused", "refused", "refused"}
	long := []string{strings.Repeat("does not fit the first segment", 10)}
	for kind, refused := range map[string][]string{"write": short, "sync": short, "create": long, "allocate": long, "truncate": long} {
		for _, full := range []error{syscall.ENOSPC, fmt.Errorf("quota: %w", syscall.EDQUOT)} {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				d := newSim(t)
				c := Config{Dir: d.dir, disk: d, SegmentSize: 300}
				j, _ := open(t, c)
				mustAppend(t, j, "one")
				d.before(kind, func() error { return full })
				wantProblem(t, j, problem.StorageFull, refused...)
				wantProblem(t, j, problem.StorageFull, refused...)
				d.before(kind, nil)
				if at := mustAppend(t, j, "two"); at != 2 {
					t.Fatalf("position %d", at)
				}
				attempts := 0
				d.before(kind, func() error {
					if attempts++; attempts == 1 {
						return full
					}
					return nil
				})
				wantProblem(t, j, problem.StorageFull, refused...)
				d.before(kind, nil)
				restarted := d.crash(t, func() bool { return true }) // everything that was written is there
				r, report := open(t, Config{Dir: restarted.dir, disk: restarted, SegmentSize: 300})
				if got := strings.Join(contents(t, r), " "); got != "one two" {
					t.Fatalf("after a restart: %q, %+v", got, report)
				}
				if at := mustAppend(t, j, "three"); at != 3 {
					t.Fatalf("position %d", at)
				}
				if got := strings.Join(contents(t, j), " "); got != "one two three" {
					t.Fatalf("got %q", got)
				}
				if files, err := filepath.Glob(filepath.Join(d.dir, nextName)); err != nil || len(files) > 0 {
					t.Fatalf("left behind: %v, %v", files, err)
				}
			})
		}
	}
}

// Promise: after a write or sync that failed for another reason than room, nothing is acknowledged until the journal is
// opened again, though the disk seems to work: the page cache may hold what the disk will never have.
func TestFailedSyncIsNotForgotten(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"write", "sync"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := newSim(t)
			c := Config{Dir: d.dir, disk: d, SegmentSize: 8000}
			j, _ := open(t, c)
			mustAppend(t, j, "one")
			d.before(kind, func() error { return syscall.EIO })
			wantProblem(t, j, problem.Unavailable)
			d.before(kind, nil)
			wantProblem(t, j, problem.Unavailable)
			if !j.Stats().Failed {
				t.Fatal("the statistics do not say so")
			}
			if got := contents(t, j); len(got) != 1 {
				t.Fatalf("acknowledged records are not readable: %q", got)
			}
			if _, err := j.Read(t.Context(), 1, 1); problem.Of(err) != problem.Unavailable {
				t.Fatalf("a reader that would wait in vain gets %v", err)
			}
			mustClose(t, j)
			j, _ = open(t, c)
			mustAppend(t, j, "later")
			mustClose(t, j)
		})
	}
}

// Promise: what a journal opened after a failed sync finds in the page cache and calls durable, is durable: a power cut
// later leaves no hole before what was acknowledged since.
func TestPageCacheIsNotTrustedAfterAFailedSync(t *testing.T) {
	t.Parallel()
	d := newSim(t)
	c := Config{Dir: d.dir, disk: d, SegmentSize: 8000}
	j, _ := open(t, c)
	mustAppend(t, j, "one")
	d.before("sync", func() error { return syscall.EIO })
	lost := strings.Repeat("the page cache has this and the disk does not. ", 50)
	wantProblem(t, j, problem.Unavailable, lost)
	d.before("sync", nil)
	mustClose(t, j)

	j, report := open(t, c)
	if report.Last != 2 {
		t.Fatalf("the page cache should show 2 records, but %+v", report)
	}
	mustAppend(t, j, "three")
	mustClose(t, j)

	d = d.crash(t, nil)
	j, _ = open(t, Config{Dir: d.dir, disk: d, SegmentSize: 8000})
	if got := strings.Join(contents(t, j), "|"); got != "one|"+lost+"|three" {
		t.Fatalf("after the power cut: %q", got)
	}
}

// Promise: a journal that cannot make the last commit sure when it is opened is not opened.
func TestOpenFailsWhenItCannotSettle(t *testing.T) {
	t.Parallel()
	d := newSim(t)
	c := Config{Dir: d.dir, disk: d, SegmentSize: 8000, Free: func() (int64, error) { return 1 << 40, nil }}
	j, _ := open(t, c)
	mustAppend(t, j, "one")
	mustClose(t, j)
	for _, kind := range []string{"truncate", "write", "sync"} {
		d.before(kind, func() error { return syscall.EIO })
		if _, _, err := Open(c); !errors.Is(err, syscall.EIO) {
			t.Fatalf("%s failed: %v", kind, err)
		}
		d.before(kind, nil)
	}
	open(t, c)
}

// Promise: a release that fails deletes nothing out of turn, and can be repeated.
func TestReleaseCanBeRepeated(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"remove", "syncdir"} {
		d := newSim(t)
		j, _ := open(t, Config{Dir: d.dir, disk: d, SegmentSize: 100})
		for range 4 {
			mustAppend(t, j, strings.Repeat("x", 50))
		}
		d.before(kind, func() error { return syscall.EIO })
		if err := j.Release(3); !errors.Is(err, syscall.EIO) {
			t.Fatalf("%s failed, and Release said %v", kind, err)
		}
		if s := j.Stats(); s.Segments != 4 {
			t.Fatalf("%s failed: %+v", kind, s)
		}
		d.before(kind, nil)
		if err := j.Release(3); err != nil {
			t.Fatalf("%s works again: %v", kind, err)
		}
		if files := segmentFiles(t, d.dir); len(files) != 1 || filepath.Base(files[0]) != fileName(4) {
			t.Fatalf("%s works again: %v", kind, files)
		}
	}
}

// wantProblem appends and expects to be refused with a problem that says when to try again.
func wantProblem(t *testing.T, j *Journal, code problem.Code, records ...string) {
	t.Helper()
	if len(records) == 0 {
		records = []string{"refused"}
	}
	_, err := j.Append(t.Context(), bytesOf(records))
	if problem.Of(err) != code || problem.From(err).RetryAfter <= 0 {
		t.Fatalf("got %v, want %s with a time to try again", err, code)
	}
}
