package duckdb

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// sight is an instance, and what it takes to ask it something.
type sight struct {
	t        testing.TB
	guard    *guard.Guard
	instance *instance
}

// newSight opens an instance with events: their names, and for each the second it happened in.
func newSight(t testing.TB, events ...string) *sight {
	t.Helper()
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	dir := t.TempDir()
	i, err := openInstance(t.Context(), filepath.Join(dir, "sight.duckdb"), shop, native.Options{Memory: 256 << 20, Threads: 1, TempDir: dir, TempLimit: 1 << 30}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.close)
	var records []event.Record
	for n, name := range events {
		r := track(n+1, shop, name, fmt.Sprint(n))
		e, _ := event.DecodeEvent(r.Data)
		e.Timestamp = time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC)
		e.Properties = fmt.Appendf(nil, `{"name":%q,"n":%d}`, name, n)
		records = append(records, event.Record{Position: r.Position, Data: event.AppendEvent(nil, &e)})
	}
	if err := i.load(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	return &sight{t, g, i}
}

// ask answers a statement in a scope.
func (s *sight) ask(sql string, scope view.Scope) ([]string, error) {
	analysis, err := s.guard.AnalyzeIn(s.t.Context(), sql, scope)
	if err != nil {
		return nil, err
	}
	answer := &gathered{}
	err = s.instance.run(s.t.Context(), &question{SQL: sql, Scope: scope}, &analysis, answer)
	return answer.rows, err
}

// plan is the engine's plan of a statement in a scope, from the top down, with the branches one after the other.
func (s *sight) plan(sql string, scope view.Scope) string {
	s.t.Helper()
	analysis, err := s.guard.AnalyzeIn(s.t.Context(), sql, scope)
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := s.instance.db.Connect()
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	back, err := s.instance.narrow(s.t.Context(), conn, &question{SQL: sql, Scope: scope}, &analysis, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer back()
	var plan string
	if err := conn.Each(s.t.Context(), "EXPLAIN (FORMAT text) "+sql, func(r *native.Result, row int) error {
		plan += strings.ToValidUTF8(r.Text(1, row), "")
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(strings.Fields(strings.NewReplacer("│", " ", "─", " ", "┌", " ", "┐", " ", "└", " ", "┘", " ", "┬", " ", "┴", " ").Replace(plan)), " ")
}

// visible is a scope that shows the events of a name.
func visible(names ...any) view.Scope {
	return view.Scope{Tables: []view.TableScope{{Table: "events", Where: []view.Condition{{Column: "event", Op: view.In, Values: names}}}}}
}

const barrier = "STREAMING_SAMPLE"

// Promise: no condition of a statement is asked below the barrier, whatever it is, but the few that cannot fail; and the
// barrier is there.
func TestNothingGoesBelowTheBarrier(t *testing.T) {
	t.Parallel()
	s := newSight(t, "a", "b")
	many := []any{"a"}
	for i := range 99 {
		many = append(many, fmt.Sprint("none ", i))
	}
	property := view.Scope{Tables: []view.TableScope{{Table: "events", Where: []view.Condition{{Column: "properties", Property: "n", Op: view.Greater, Values: []any{int64(1)}}}}}}
	for _, scope := range []view.Scope{visible("a"), visible(many...), property, {Tables: []view.TableScope{{Table: "events"}}}} {
		for _, where := range []string{
			"CAST(event || 'BRAND' AS INTEGER) > 1", "event || 'BRAND' > 'a'", "event LIKE '%BRAND'", "upper(event) = 'BRAND'", "event <> 'BRAND'", "event = 'BRAND' OR event = 'a'",
			"(properties->>'BRAND') IS NULL", "CAST(properties->>'BRAND' AS INTEGER) > 1", "regexp_matches(event, 'BRAND')", "CASE WHEN event > 'BRAND' THEN true END",
			"event IN ('BRAND', upper('a'))", "event COLLATE NOCASE = 'BRAND'",
		} {
			for _, from := range []string{"events", "(SELECT * FROM events) e", "(SELECT event, properties FROM events OFFSET 1) e"} {
				plan := s.plan("SELECT count(*) FROM "+from+" WHERE "+where, scope)
				sampled := strings.Index(plan, barrier)
				if sampled < 0 || strings.Contains(plan[sampled:], "BRAND") {
					t.Errorf("%s FROM %s\n%.2000s", where, from, plan)
				}
			}
		}
	}
}

// Promise: what the engine knows of hidden rows, the greatest value and whether there are nulls, changes nothing that a
// statement can see: not even whether it fails. Two spaces that differ in hidden rows alone are told apart by nothing.
func TestNothingIsKnownOfHiddenRows(t *testing.T) {
	t.Parallel()
	one, other := newSight(t, "m", "m", "a", "a"), newSight(t, "m", "m", "zzz", "m\x01")
	for _, sql := range []string{
		"SELECT count(*) FROM events WHERE CAST(event AS INTEGER) = 1 AND timestamp > '2026-01-01 00:00:02'",
		"SELECT count(*) FROM events WHERE (CAST(event AS INTEGER) = 1 OR event > 'n') AND timestamp > '2025-01-01'",
		"SELECT count(*) FROM (SELECT * FROM events WHERE event > 'x') a JOIN (SELECT * FROM events WHERE CAST(event AS INTEGER) = 1) b ON a.event_id = b.event_id",
		"SELECT count(*) FROM (SELECT * FROM events WHERE event = 'zzz') a JOIN (SELECT * FROM events WHERE CAST(event AS INTEGER) = 1) b ON a.event_id = b.event_id",
		"SELECT count(*) FROM (SELECT * FROM events WHERE event < 'm') a CROSS JOIN (SELECT CAST(event AS INTEGER) FROM events) b",
		"SELECT count(*) FROM (SELECT * FROM events WHERE timestamp >= '2026-01-01 00:00:03') a JOIN (SELECT * FROM events WHERE CAST(event AS INTEGER) = 1) b USING (event_id)",
		"SELECT count(*) FROM events WHERE CAST(event AS INTEGER) = 1 AND session_id IS NOT NULL",
		"SELECT CASE WHEN session_id IS NULL THEN 1 ELSE CAST(event AS INTEGER) END FROM events",
		"SELECT min(event), max(event), count(*) FROM events", "SELECT * FROM events ORDER BY event LIMIT 1",
	} {
		for _, name := range []string{"m", "q", "0"} {
			a, errA := one.ask(sql, visible(name))
			b, errB := other.ask(sql, visible(name))
			if fmt.Sprint(a) != fmt.Sprint(b) || problem.Of(errA) != problem.Of(errB) {
				t.Errorf("%s\nanswers %v, %v\nor      %v, %v", sql, a, errA, b, errB)
			}
			if a, b := one.plan(sql, visible(name)), other.plan(sql, visible(name)); a != b {
				t.Errorf("%s\nis planned as\n%s\nor\n%s", sql, a, b)
			}
		}
	}
	for _, of := range []*sight{one, other} {
		if plan := of.plan("SELECT count(*) FROM events WHERE timestamp > '2030-01-01' AND event > 'zzzz'", visible("m")); strings.Contains(plan, "EMPTY_RESULT") {
			t.Errorf("the engine leaves out what no row can pass:\n%s", plan)
		}
	}
}

// Promise: a statement in a scope reads as little as it would without: what it says of times and names is asked where
// rows are read; but not of a column that it does not see as it is stored.
func TestBoundsReachTheScan(t *testing.T) {
	t.Parallel()
	s := newSight(t, "a", "b", "a")
	scan := func(sql string, scope view.Scope) string {
		_, at, _ := strings.Cut(s.plan(sql, scope), barrier)
		return strings.ReplaceAll(at, " ", "") // lines are broken anywhere
	}
	for sql, want := range map[string]string{
		"SELECT event FROM events WHERE timestamp >= '2026-01-01'":                                                                                  ">='2026-01-01",
		"SELECT event FROM events WHERE timestamp BETWEEN DATE '2026-01-02' AND TIMESTAMP '2026-01-03'":                                             "AND'2026-01-03",
		"SELECT event FROM events e WHERE e.distinct_id = 'u1' AND length(event) > 0":                                                               "IN('u1')",
		"SELECT event FROM events WHERE timestamp > now() - INTERVAL 7 DAY":                                                                         "TRY(timestamp)>='2",
		"WITH a AS (SELECT * FROM events WHERE event = 'a'), b AS (SELECT * FROM events WHERE event = 'b') SELECT * FROM a JOIN b USING (event_id)": "IN('a','b')",
	} {
		if at := scan(sql, visible("a")); !strings.Contains(at, want) {
			t.Errorf("%s\n%s", sql, at)
		}
	}
	hashed := visible("a")
	hashed.Tables[0].Hashed, hashed.HashKey = []string{"distinct_id"}, view.NewHashKey([]byte("x"))
	hidden := visible("a")
	hidden.Tables[0].Hidden = []string{"distinct_id"}
	for _, c := range []struct {
		sql   string
		scope view.Scope
	}{
		{"SELECT event FROM events WHERE distinct_id = 'u1'", hashed},
		{"SELECT 'u1' AS distinct_id FROM events WHERE distinct_id = 'u1'", hidden},
		{"SELECT event FROM events WHERE distinct_id = 'u1' OR event = 'a'", visible("a")},
		{"SELECT event FROM events WHERE upper(distinct_id) = 'u1'", visible("a")},
		{"SELECT event FROM events UNION ALL SELECT event FROM events WHERE distinct_id = 'u1'", visible("a")},
	} {
		if _, at, there := strings.Cut(scan(c.sql, c.scope), "SEQ_SCAN"); !there || strings.Contains(at, "u1") {
			t.Errorf("%s\n%s", c.sql, at)
		}
	}
	if got, err := s.ask("SELECT 'u1' AS distinct_id FROM events WHERE distinct_id = 'u1'", hidden); err != nil || len(got) != 2 {
		t.Errorf("a name of the statement's own: %v, %v", got, err)
	}
}

// Promise: any text written as a literal is that text to the engine, and nothing more.
func TestLiterals(t *testing.T) {
	t.Parallel()
	db, err := native.Open("", native.Options{Memory: 256 << 20, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); db.Close() })
	check := func(t interface{ Fatalf(string, ...any) }, text string) {
		err := conn.Each(context.Background(), "SELECT "+literal(text)+", 'after' AS "+name(text+"n"), func(r *native.Result, row int) error {
			if r.Text(0, row) != text || r.Text(1, row) != "after" || r.Columns()[1].Name != text+"n" {
				return fmt.Errorf("it is %q", r.Text(0, row))
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	for _, text := range []string{
		"", "'", "''", `\`, `\'`, `"`, "';--", "'; DROP TABLE x; --", "' OR '1'='1", "$1", "$$", "?", "/*", "*/", strings.Repeat("/*", 400), strings.Repeat("+-", 400), "\n", "\r\n", "\t",
		"\u2028", "\U0010FFFF", "E'\\x'", "x'00'", "\u0001", "U&'\\0041'",
	} {
		check(t, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.SampledFrom([]rune(`'"\$;-/*E&x(){} `)), 0, 20, -1)).
			Filter(func(s string) bool { return !strings.Contains(s, "\x00") }).Draw(t, "text"))
	})
}

// Promise: were the guard to let a table's name through, it would lead to the scope's relation still, or to nothing.
func TestRelationsHoldWithoutTheGuard(t *testing.T) {
	t.Parallel()
	s := newSight(t, "a", "b")
	conn, err := s.instance.db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	back, err := s.instance.narrow(t.Context(), conn, &question{Scope: visible("a")}, &guard.Analysis{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer back()
	for sql, want := range map[string]string{
		"SELECT event FROM events": "[[\"a\"]]", `SELECT event FROM "EVENTS"`: "[[\"a\"]]", "SELECT count(*) FROM persons": "[[0]]", "FROM query('SELECT event FROM events')": "[[\"a\"]]",
		"FROM query_table('events') SELECT event": "[[\"a\"]]", "SELECT count(*) FROM query_table('persons')": "[[0]]",
	} {
		var got []string
		err := conn.Each(t.Context(), sql, func(r *native.Result, row int) error {
			got = append(got, string(r.AppendRow(nil, row)))
			return nil
		})
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", sql, got, err)
		}
	}
	if err := conn.Exec(t.Context(), "SELECT distinct_id FROM persons"); err == nil {
		t.Error("a table outside the scope has its columns")
	}
}
