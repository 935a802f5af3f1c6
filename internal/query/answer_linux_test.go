package query_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// openFiles counts the open files that lie or lay under dir.
func openFiles(tb testing.TB, dir string) int {
	tb.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, dir+"/") {
			n++
		}
	}
	return n
}

// Promise: nobody can find an answer's file by a name, and Close gives the file back.
func TestTheFileHasNoName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := query.New(query.Config{Engine: numbers(9), Now: fixedNow, SpoolMemory: 1, TempDir: dir})
	a, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := openFiles(t, dir); got != 1 {
		t.Errorf("%d open files, want 1", got)
	}
	wantEmpty(t, dir)
	read(t, a)
	if got := openFiles(t, dir); got != 0 {
		t.Errorf("%d open files after Close", got)
	}
}

// Promise: an answer that fails half-way gives its file back.
func TestFailedAnswersHoldNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := query.New(query.Config{Engine: numbers(101), Now: fixedNow, Rows: 100, SpoolMemory: 1, TempDir: dir})
	for _, f := range []query.Format{query.JSON, query.NDJSON, query.CSV, query.Parquet, query.Objects, query.Arrow} {
		if _, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Format: f}); problem.Of(err) != problem.ResultTooLarge {
			t.Fatal(err)
		}
	}
	if got := openFiles(t, dir); got != 0 {
		t.Errorf("%d open files", got)
	}
}

// Promise: a caller who goes away gives the file back.
func TestCancelledAnswersHoldNoFile(t *testing.T) {
	t.Parallel()
	e := numbers(10)
	e.stall = make(chan struct{})
	dir := t.TempDir()
	s := query.New(query.Config{Engine: e, Now: fixedNow, SpoolMemory: 1, TempDir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-e.stall
		cancel()
	}()
	if _, err := s.Ask(ctx, permit(t), query.Question{SQL: "SELECT 1"}); err == nil {
		t.Fatal("an answer after the caller left")
	}
	if got := openFiles(t, dir); got != 0 {
		t.Errorf("%d open files", got)
	}
}
