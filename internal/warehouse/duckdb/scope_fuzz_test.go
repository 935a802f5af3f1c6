package duckdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// corpus are the statements of the guard's corpora: what analysts write, and attacks.
func corpus(t testing.TB) (all []string) {
	t.Helper()
	for _, name := range []string{"allowed.txtar", "attacks.txtar"} {
		data, err := os.ReadFile(filepath.Join("guard", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for block := range strings.SplitSeq(string(data), "\n\n") {
			if head, text, ok := strings.Cut(block, "\n"); ok && (strings.HasPrefix(head, "=") || strings.HasPrefix(head, "!")) {
				all = append(all, text)
			}
		}
	}
	if len(all) < 250 {
		t.Fatalf("only %d statements: the files are not read as they are written", len(all))
	}
	return all
}

// shadowed opens an instance of six visible rows a table and six hidden ones. What is hidden is made of a word.
func shadowed(t testing.TB, word string) *instance {
	t.Helper()
	dir := t.TempDir()
	i, err := openInstance(t.Context(), filepath.Join(dir, "shadowed.duckdb"), shop, native.Options{Memory: 256 << 20, Threads: 1, TempDir: dir, TempLimit: 1 << 28}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.close)
	var records []event.Record
	for n := range 12 {
		at := time.Date(2026, 1, 1+n, 0, 0, 0, 0, time.UTC)
		e := event.Event{
			Kind: event.Track, ID: fmt.Sprint("e", n), Name: "signup", Timestamp: at, DistinctID: fmt.Sprint("p", n%3), SessionID: "s", DeviceID: word, KeyID: word,
			Source: "track", ReceivedAt: at, Project: shop.Project, Environment: shop.Environment,
			Properties: jsontext.Value(fmt.Sprintf(`{"org":"a","plan":"pro","amount":%d,"when":"2026-01-01","url":"/a/b","user":"u","secret":%q}`, n, word)),
		}
		who := e
		who.Kind, who.ID, who.DistinctID, who.Properties = event.Identify, fmt.Sprint("w", n), fmt.Sprint("p", n), jsontext.Value(`{"org":"a","email":"a@b.c"}`)
		if n%2 == 1 {
			e.ID, e.Name, e.DistinctID, e.SessionID, e.AnonymousID = word+fmt.Sprint(n), word, word, word, word
			e.Timestamp = at.AddDate(len(word)-20, 0, 0)
			e.Properties = jsontext.Value(fmt.Sprintf(`{"org":"b","plan":%q,"amount":%q,"when":%q,"url":%q,%q:1}`, word, word, word, word, word))
			who.DistinctID, who.AnonymousID, who.Properties = word+fmt.Sprint(n), word, jsontext.Value(fmt.Sprintf(`{"org":"b","email":%q,%q:1}`, word, word))
		}
		for _, one := range []event.Event{e, who} {
			records = append(records, event.Record{Position: event.Position(len(records) + 1), Data: event.AppendEvent(nil, &one)})
		}
	}
	if err := i.load(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	return i
}

// unsettled are statements whose answers may differ from one time to the next, and heavy ones that would only take long.
var (
	unsettled = regexp.MustCompile(`(?i)random|uuid|now|current|today|sample|age\s*\(|transaction|get_|timezone|\?|\$`)
	heavy     = regexp.MustCompile(`\d{4,}|\d[eE]|[A-Fa-f\d]{5,}|\d_\d|(?i)microsecond|millisecond|second|interval\[|range|generate`)
)

// Promise: whatever a statement says that the guard passes, two spaces that differ in what a scope hides, and in nothing
// else, answer it alike, or fail alike; and no word of what is hidden is in the answer or the error.
func FuzzScope(f *testing.F) {
	for _, sql := range corpus(f) {
		f.Add(sql)
	}
	g, err := guard.New()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = g.Close() })
	words := [2]string{"kestrel-5510-vermilion", "~auk 77"}
	spaces := [2]*instance{shadowed(f, words[0]), shadowed(f, words[1])}
	org := func(column string) []view.Condition {
		return []view.Condition{{Column: column, Property: "org", Op: view.Equal, Values: []any{"a"}}}
	}
	scope := view.Scope{Tables: []view.TableScope{
		{Table: "events", Where: org("properties"), Hidden: []string{"device_id", "key_id", "properties.secret"}},
		{Table: "persons", Where: org("traits"), Hidden: []string{"anonymous_id"}},
	}}
	f.Fuzz(func(t *testing.T, sql string) {
		analysis, err := g.AnalyzeIn(context.Background(), sql, scope)
		if err != nil || heavy.MatchString(strings.ReplaceAll(sql, "2026-", "")) || len(sql) > 2000 || len(analysis.Facts.Parameters) > 0 {
			return
		}
		var said [2]string
		for i, space := range spaces {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			answer := &gathered{}
			err := space.run(ctx, &question{SQL: sql, Scope: scope, Rows: 10_000}, &analysis, answer)
			cancel()
			if ctx.Err() != nil || class(err) == problem.QueryTooHeavy {
				return
			}
			slices.Sort(answer.rows)
			said[i] = fmt.Sprint(answer.head, answer.rows, class(err))
			for _, word := range words {
				if strings.Contains(said[i], word) || err != nil && strings.Contains(err.Error(), word) {
					t.Fatalf("%s\ntells of what is hidden: %s, %v", sql, said[i], err)
				}
			}
		}
		if said[0] != said[1] && !unsettled.MatchString(sql) {
			t.Fatalf("%s\nanswers %s\nor      %s", sql, said[0], said[1])
		}
	})
}
