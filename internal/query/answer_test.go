package query_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// wantEmpty fails unless there is no file in dir.
func wantEmpty(tb testing.TB, dir string) {
	tb.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 0 {
		tb.Errorf("left behind: %v, %v", files, err)
	}
}

// Promise: an answer is the same from memory and from a file, and can be written twice.
func TestMemoryAndFileAreAlike(t *testing.T) {
	t.Parallel()
	e := numbers(1000)
	e.rows[500] = fmt.Sprintf("[%d]", int64(1)<<60)
	want := ask(t, e, query.Question{Format: query.CSV})
	for _, memory := range []int{len(want), len(want) - 1, 1} {
		s := query.New(query.Config{Engine: e, Now: fixedNow, SpoolMemory: memory, TempDir: t.TempDir()})
		a, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Format: query.CSV})
		if err != nil {
			t.Fatal(err)
		}
		var first strings.Builder
		if _, err := a.WriteTo(&first); err != nil || first.String() != want {
			t.Errorf("memory %d: the answer differs (%v)", memory, err)
		}
		if second := read(t, a); second != want {
			t.Errorf("memory %d: written again it differs", memory)
		}
	}
}

// Promise: an answer goes to a file when memory is too small for it, and not before. A folder that cannot be written is
// an internal fault whose path stays hidden.
func TestSpoolMemoryIsTheBoundary(t *testing.T) {
	t.Parallel()
	e := numbers(9)
	size := len(ask(t, e, query.Question{}))
	for memory, want := range map[int]problem.Code{size: "", size - 1: problem.Internal} {
		s := query.New(query.Config{Engine: e, Now: fixedNow, SpoolMemory: memory, TempDir: filepath.Join(t.TempDir(), "absent")})
		_, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1"})
		if problem.Of(err) != want || err != nil && strings.Contains(problem.From(err).Detail, "absent") {
			t.Errorf("memory %d of %d: got %v, want %q", memory, size, err, want)
		}
	}
}

// Promise: a caller who goes away stops the engine, and is not told of a ceiling.
func TestCancellation(t *testing.T) {
	t.Parallel()
	e := numbers(10)
	e.stall = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-e.stall
		cancel()
	}()
	a, err := service(t, e).Ask(ctx, permit(t), query.Question{SQL: "SELECT 1"})
	if a != nil || problem.Of(err) != problem.Internal || e.closed.Load() != 1 {
		t.Fatalf("got %v, %v, closed %d times", a, err, e.closed.Load())
	}
}

// Promise: the ceiling of time holds although the engine knows none, and is called by its name.
func TestTimeCeiling(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e := numbers(1)
		e.stall = make(chan struct{})
		s := query.New(query.Config{Engine: e, Now: fixedNow, Time: time.Minute, TempDir: dir})
		early, late := time.After(time.Minute-1), time.After(time.Minute+1)
		fired := func(c <-chan time.Time) bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		_, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1"})
		if problem.Of(err) != problem.QueryTimeout || !fired(early) || fired(late) {
			t.Fatalf("got %v, and not at the end of the minute", err)
		}
	})
}
