package duckdb

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// Promise: statements that cost next to nothing, however many, make no property a column; those that take long do.
func TestCheapStatementsMakeNoColumns(t *testing.T) {
	t.Parallel()
	s := newShop(t, filepath.Join(t.TempDir(), "shop.duckdb"), `{"c":"a"}`)
	defer func() { s.instance.close() }()
	s.instance.promoter.slow = time.Hour
	for range 5 {
		s.settle("SELECT properties->>'c' AS c FROM events LIMIT 0")
	}
	if got := s.columns(); got != nil {
		t.Errorf("cheap statements have made %q", got)
	}
	s.instance.promoter.slow = time.Nanosecond
	s.settle("SELECT properties->>'c' AS c FROM events")
	if got := fmt.Sprint(s.columns()); got != "[c VARCHAR]" {
		t.Errorf("slow statements have made %s", got)
	}
	s.instance.promoter.slow = time.Hour
	before := s.instance.promoter.clock
	s.settle("SELECT properties->>'c' AS c FROM events LIMIT 0")
	if p := s.instance.promoter; p.clock != before || p.used[property{path: "c"}] != before {
		t.Errorf("cheap statements have moved the clock from %d to %d, read at %v", before, p.clock, p.used)
	}
}

// Promise: a file gets at most one new column in each span of time, whatever is asked meanwhile, and closing does not
// wait for it.
func TestColumnsAreMadeOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &promotion{most: 8, asks: 1, every: time.Minute, log: slog.New(slog.DiscardHandler)}
		dir := t.TempDir()
		i, err := openInstance(t.Context(), filepath.Join(dir, "shop.duckdb"), shop, native.Options{Memory: 256 << 20, Threads: 1, TempDir: dir, TempLimit: 1 << 30}, p)
		if err != nil {
			t.Fatal(err)
		}
		s := &sight{t: t, instance: i}
		s.more(`{"a":"1"}`)
		for n := range 4 {
			i.noteAsked(&question{}, []guard.Property{{Path: fmt.Sprint("p", n)}}, true, nil)
		}
		for n := range 3 {
			synctest.Wait()
			if got := s.columns(); len(got) != n+1 {
				t.Fatalf("%q after %d minutes", got, n)
			}
			time.Sleep(time.Minute)
		}
		i.close()
	})
}
