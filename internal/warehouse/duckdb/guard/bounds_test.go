package guard_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
)

// bounds are a statement's bounds as text, one a line.
func bounds(all []guard.Bounds) string {
	var lines []string
	for _, b := range all {
		line := b.Table + "." + b.Column
		for _, side := range []struct {
			name string
			of   []guard.Constant
		}{{">=", b.Lower}, {"<=", b.Upper}, {"in", b.OneOf}} {
			if len(side.of) > 0 {
				var said []string
				for _, k := range side.of {
					text := k.Text[0]
					for i, p := range k.Parameters {
						text += "$" + p + k.Text[i+1]
					}
					said = append(said, text)
				}
				line += " " + side.name + " " + strings.Join(said, " | ")
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Promise: bounds are found where a statement surely sets them, for every place that reads the table, and nowhere else.
func TestBounds(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	for sql, want := range map[string]string{
		"SELECT 1 FROM events WHERE timestamp >= '2026-01-01' AND event = 'a' AND length(event) > 2":                                               "events.timestamp >= '2026-01-01'\nevents.event in 'a'",
		"SELECT 1 FROM events AS e WHERE $a > E.Timestamp AND received_at BETWEEN $b AND DATE '2026-01-02'":                                        "events.timestamp <= $a\nevents.received_at >= $b <= TRY_CAST('2026-01-02' AS DATE)",
		"SELECT 1 FROM events WHERE event IN ('it''s', $x) AND (distinct_id = 'u' AND session_id = 's')":                                           "events.event in 'it''s' | $x\nevents.distinct_id in 'u'\nevents.session_id in 's'",
		"SELECT 1 FROM events WHERE timestamp > now() - INTERVAL 7 DAY":                                                                            "events.timestamp >= (now() - to_days(TRY_CAST(trunc(TRY_CAST((7) AS DOUBLE)) AS INTEGER)))",
		"SELECT 1 FROM events WHERE timestamp > '2026-01-01' AND timestamp > '2026-02-01'":                                                         "events.timestamp >= '2026-01-01'",
		"WITH a AS (SELECT * FROM events WHERE event = 'a' AND timestamp > 'x'), b AS (SELECT * FROM events WHERE event = 'b') SELECT * FROM a, b": "events.event in 'a' | 'b'",
		"SELECT (SELECT count(*) FROM events WHERE event = 'a') FROM persons WHERE distinct_id = 'u'":                                              "events.event in 'a'\npersons.distinct_id in 'u'",
		"SELECT 1 FROM events WHERE event = 'a' UNION ALL SELECT 1 FROM events":                                                                    "",
		"SELECT 1 FROM events WHERE event = 'a' OR timestamp > 'x'":                                                                                "",
		"SELECT 1 FROM events WHERE NOT (event = 'a')":                                                                                             "",
		"SELECT 1 FROM events WHERE upper(event) = 'A' AND event = distinct_id AND event = upper('a')":                                             "",
		"SELECT 1 FROM events WHERE event <> 'a' AND event IS DISTINCT FROM 'b' AND event LIKE 'a%'":                                               "",
		"SELECT 1 FROM events e(a, b) WHERE a = 'x'":                                                                                               "",
		"SELECT 1 FROM events TABLESAMPLE reservoir(10 ROWS) WHERE event = 'a'":                                                                    "",
		"SELECT 1 FROM events WHERE event = 'a' USING SAMPLE 10 ROWS":                                                                              "",
		"SELECT 1 FROM events e JOIN persons p ON true WHERE e.event = 'a'":                                                                        "",
		"SELECT 1 FROM persons e WHERE EXISTS (SELECT 1 FROM events WHERE e.distinct_id = 'a')":                                                    "",
		"SELECT 1 FROM (SELECT * FROM events) x WHERE event = 'a'":                                                                                 "",
		"SELECT 1 FROM events WHERE event = (SELECT 'a')":                                                                                          "",
		"SELECT 1 FROM events WHERE event IN (SELECT 'a')":                                                                                         "",
		"SELECT 1 FROM events WHERE event = source::TIME":                                                                                          "",
		"SELECT 1 FROM events WHERE timestamp > now() - source::INTERVAL":                                                                          "",
		"SELECT 1 FROM events WHERE timestamp > random()":                                                                                          "",
		"SELECT 1 FROM events WHERE event = 'a' UNION ALL SELECT 1 FROM events e JOIN persons p ON true":                                           "",
		"SELECT 1": "",
	} {
		got, err := g.Analyze(context.Background(), sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		} else if text := bounds(got.Bounds); text != want {
			t.Errorf("%s\n%s\nwant\n%s", sql, text, want)
		}
	}
}

// Promise: a statement in a scope is told of no table outside it, and may not take samples whose size tells of hidden
// rows.
func TestAnalyzeInAScope(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	events := view.Scope{Tables: []view.TableScope{{Table: "events"}}}
	for _, c := range []struct {
		sql   string
		scope view.Scope
		want  string
	}{
		{"SELECT * FROM events", events, ""},
		{"SELECT * FROM persons", events, "There is no table 'persons'. The table is events."},
		{"SELECT * FROM events WHERE event IN (SELECT distinct_id FROM PERSONS)", events, "There is no table 'PERSONS'. The table is events."},
		{"WITH persons AS (SELECT 1) SELECT * FROM persons", events, "hides the table"},
		{"SELECT * FROM events", view.Scope{Tables: []view.TableScope{}}, "There is no table 'events'. No table may be seen."},
		{"SELECT 1", view.Scope{Tables: []view.TableScope{}}, ""},
		{"SELECT * FROM events TABLESAMPLE 10%", events, "A sample of blocks"},
		{"SELECT * FROM events USING SAMPLE 10% (system)", events, "A sample of blocks"},
		{"SELECT * FROM events TABLESAMPLE system(10%)", view.Scope{}, ""},
		{"SELECT * FROM events TABLESAMPLE bernoulli(10%)", events, ""},
		{"SELECT * FROM events USING SAMPLE reservoir(10 ROWS)", events, ""},
	} {
		_, err := g.AnalyzeIn(context.Background(), c.sql, c.scope)
		if c.want == "" && err != nil || c.want != "" && (problem.Of(err) != problem.SQLNotAllowed || !strings.Contains(fmt.Sprint(err), c.want)) {
			t.Errorf("%s: %v, want %q", c.sql, err, c.want)
		}
	}
}
