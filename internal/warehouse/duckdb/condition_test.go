package duckdb

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/view"
)

// Promise: every kind of condition holds for exactly the rows that it says, whatever kind of JSON they have there; what
// is of another kind, absent or null is never equal, different, less or more.
func TestConditions(t *testing.T) {
	t.Parallel()
	values := []string{
		"", `null`, `""`, `"FR"`, `"fr"`, `"F\u0052"`, `"5"`, `"true"`, `"null"`, `"a\nb"`, `"a\u0001b"`, `"q\"\\"`, `"é/"`, `"😀"`, `true`, `false`, `0`, `-0`, `5`, `5.0`, `5.5`, `50e-1`, `-5`, `1e3`,
		`9007199254740991`, `9007199254740992`, `9007199254740993`, `9007199254740993.0`, `9223372036854775807`, `9223372036854775808`, `18446744073709551615`,
		`12345678901234567890123`, `1e400`, `0.1`, `[]`, `["FR"]`, `{}`, `{"v":"FR"}`,
	}
	s := newSight(t)
	var records []event.Record
	var rows []modelRow
	for i, v := range values {
		properties := `{"other":1}`
		if v != "" {
			properties = fmt.Sprintf(`{"v":%s,"deep":{"v":[0,%s]}}`, v, v)
		}
		r := track(i+1, shop, "e", fmt.Sprint(i))
		e, _ := event.DecodeEvent(r.Data)
		e.Properties, e.SessionID = jsontext.Value(properties), []string{"", "s1", "s2", "S1"}[i%4]
		e.Timestamp = time.Date(2026, 1, 1, 0, 0, i%4, 0, time.UTC)
		records = append(records, event.Record{Position: r.Position, Data: event.AppendEvent(nil, &e)})
		rows = append(rows, rowOrNull(modelRow{"event_id": e.ID, "properties": properties, "session_id": e.SessionID, "timestamp": e.Timestamp}))
	}
	if err := s.instance.load(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	ops := []view.Op{view.Equal, view.NotEqual, view.In, view.NotIn, view.Less, view.LessEqual, view.Greater, view.GreaterEqual}
	var all []view.Condition
	for _, one := range [][]any{
		{""}, {"FR"}, {"5"}, {"true"}, {"a\nb"}, {"a\x01b"}, {`q"\`}, {"é/"}, {"FR", "fr", "null"}, {"a\nb", "😀"}, {true}, {false}, {true, false},
		{int64(0)}, {int64(5)}, {int64(-5)}, {int64(1000)}, {5.0}, {5.5}, {0.1}, {int64(5), 5.5}, {int64(9007199254740991)}, {int64(9007199254740992)},
		{int64(9007199254740993)}, {int64(9223372036854775807)}, {int64(5), int64(9007199254740993)},
	} {
		for _, op := range ops {
			if many := op == view.In || op == view.NotIn; !many && len(one) > 1 {
				continue
			}
			all = append(all, view.Condition{Column: "properties", Property: "v", Op: op, Values: one}, view.Condition{Column: "properties", Property: "deep.v.1", Op: op, Values: one})
		}
	}
	for _, op := range ops {
		all = append(all, view.Condition{Column: "session_id", Op: op, Values: []any{"s1"}}, view.Condition{Column: "timestamp", Op: op, Values: []any{time.Date(2026, 1, 1, 0, 0, 2, 0, time.UTC)}})
	}
	for _, op := range []view.Op{view.IsNull, view.IsNotNull} {
		all = append(all, view.Condition{Column: "session_id", Op: op}, view.Condition{Column: "timestamp", Op: op}, view.Condition{Column: "properties", Property: "v", Op: op},
			view.Condition{Column: "properties", Property: "deep.v.1", Op: op}, view.Condition{Column: "properties", Property: "v.v", Op: op}, view.Condition{Column: "properties", Property: "deep.v.5", Op: op})
	}
	tried := 0
	for _, c := range all {
		scope := view.Scope{Tables: []view.TableScope{{Table: "events", Where: []view.Condition{c}}}}
		if scope.Check() != nil {
			continue // true < false
		}
		tried++
		var want []string
		for _, row := range rows {
			if holds(row, c) {
				want = append(want, fmt.Sprintf("[%q]", row["event_id"]))
			}
		}
		slices.Sort(want)
		got, err := s.ask("SELECT event_id FROM events", scope)
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s.%s %s %v holds for %v, %v; want %v", c.Column, c.Property, c.Op, c.Values, got, err, want)
		}
	}
	if tried < 300 {
		t.Errorf("only %d conditions were tried", tried)
	}
}

// Promise: what a statement's own conditions spare the engine from reading is nothing that the statement could use.
func TestPruningChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSight(t, "a", "b", "c", "a", "b", "c", "a", "b")
	all := view.Scope{Tables: []view.TableScope{{Table: "events"}}}
	for _, sql := range []string{
		"SELECT event_id FROM events WHERE timestamp >= '2026-01-01 00:00:02' AND timestamp < '2026-01-01 00:00:05'",
		"SELECT event_id FROM events WHERE timestamp BETWEEN '2026-01-01 00:00:02' AND TIMESTAMP '2026-01-01 00:00:04' AND event IN ('a', 'c')",
		"SELECT event_id FROM events WHERE timestamp = '2026-01-01 00:00:02'", "SELECT event_id FROM events WHERE timestamp IN ('2026-01-01 00:00:02', '2026-01-01 00:00:06')",
		"WITH a AS (SELECT * FROM events WHERE timestamp > '2026-01-01 00:00:01' AND timestamp < '2026-01-01 00:00:03'), b AS (SELECT * FROM events WHERE timestamp > '2026-01-01 00:00:04' AND timestamp < '2026-01-01 00:00:06') SELECT event_id FROM a UNION ALL SELECT event_id FROM b",
		"SELECT event_id FROM events WHERE event = 'a' UNION ALL SELECT event_id FROM events WHERE event = 'b' AND timestamp > '2026-01-01 00:00:02'",
		"SELECT event_id FROM events WHERE event = 'a' UNION ALL SELECT e.event_id FROM events e JOIN events f ON e.event_id = f.event_id",
		"SELECT count(*) FROM events e LEFT JOIN (SELECT * FROM events WHERE event = 'a') f ON e.event_id = f.event_id",
		"SELECT event_id FROM events e WHERE event = 'a' AND EXISTS (SELECT 1 FROM events WHERE timestamp > e.timestamp)",
		"SELECT event_id, upper(event) AS event FROM events WHERE event = 'a'", "SELECT 'a' AS event, event_id FROM events WHERE event = 'b'",
		"SELECT event_id FROM events WHERE timestamp > TRY_CAST('no time' AS TIMESTAMP)", "SELECT event_id FROM events WHERE timestamp >= DATE '2026-01-01' AND timestamp < now()",
		"SELECT event_id FROM events WHERE timestamp > TIMESTAMPTZ '2026-01-01 02:00:03+02'", "SELECT event_id FROM events WHERE '2026-01-01 00:00:03' >= timestamp AND 'a' = event",
		"SELECT (SELECT count(*) FROM events WHERE event = 'a'), count(*) FROM events", "SELECT event_id FROM events WHERE event = 'A' COLLATE NOCASE",
		"SELECT event_id FROM events WHERE timestamp > '2026-01-01 00:00:02' AND timestamp > '2026-01-01 00:00:05'",
	} {
		got, err := s.ask(sql, all)
		want, wantErr := s.ask(sql, view.Scope{})
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || wantErr != nil || !slices.Equal(got, want) {
			t.Errorf("%s\nanswers %v, %v\nand without a scope %v, %v", sql, got, err, want, wantErr)
		}
	}
	for _, c := range []struct{ value, want string }{{`"2026-01-01 00:00:05"`, "[2]"}, {`null`, "[0]"}, {`"2026-01-01T00:00:05+00:00"`, "[2]"}} {
		sql := "SELECT count(*) FROM events WHERE timestamp > $1"
		analysis, err := s.guard.AnalyzeIn(t.Context(), sql, all)
		answer := &gathered{}
		if err == nil {
			err = s.instance.run(t.Context(), &question{SQL: sql, Scope: all, Positional: []jsontext.Value{jsontext.Value(c.value)}}, &analysis, answer)
		}
		if err != nil || !slices.Equal(answer.rows, []string{c.want}) {
			t.Errorf("since %s: %v, %v", c.value, answer.rows, err)
		}
	}
}
