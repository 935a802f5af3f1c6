package guard_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
)

// promoted is a statement with every property found replaced, and what was found.
func promoted(t *testing.T, g *guard.Guard, sql string) string {
	t.Helper()
	a, err := g.Analyze(context.Background(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var columns []string
	for i := range a.Properties {
		columns = append(columns, guard.MarkColumn(fmt.Sprint(i)))
	}
	out, ok := a.Promote(context.Background(), columns)
	switch {
	case len(columns) == 0:
		return "none"
	case !ok:
		return "unlike"
	case len(out) != len(sql) && !strings.Contains(out, " EXCLUDE ("):
		t.Fatalf("%q is of another length than %q", out, sql)
	}
	for i, p := range a.Properties {
		out = strings.ReplaceAll(out, `"`+guard.MarkColumn(fmt.Sprint(i))+`"`, `"`+strings.TrimSuffix(p.Path+":"+p.Kind, ":")+map[bool]string{true: "!"}[p.Strict]+`"`)
	}
	return strings.Join(strings.Fields(out), " ")
}

// Promise: properties are found where the column is surely that of the table of events, and the statement is written
// again with the same tree but for them, byte by byte in the same place.
func TestPropertiesAreFound(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	for sql, want := range map[string]string{
		`SELECT properties->>'a', count(*) FROM events GROUP BY 1`:                                            `SELECT "a" , count(*) FROM events GROUP BY 1`,
		"SELECT properties\n->>\n'a' AS a FROM events":                                                        "SELECT \"a\" AS a FROM events",
		`SELECT (e.properties->>'$.a')::DOUBLE FROM events AS e`:                                              `SELECT ("e"."a:DOUBLE!" )::DOUBLE FROM events AS e`,
		`SELECT TRY_CAST(E.Properties ->> 'a b' AS BIGINT) AS n FROM EVENTS e`:                                `SELECT TRY_CAST("E"."a b:BIGINT" AS BIGINT) AS n FROM EVENTS e`,
		`SELECT json_extract_string(properties, '$.a.b' ) AS x FROM events`:                                   `SELECT "$.a.b" AS x FROM events`,
		`SELECT count(*) FROM events e JOIN persons p USING (distinct_id) WHERE properties->>'it''s' = 'x'`:   `SELECT count(*) FROM events e JOIN persons p USING (distinct_id) WHERE "it's" = 'x'`,
		`SELECT count(*) FROM events e JOIN persons p USING (distinct_id) WHERE (properties->>'it''s') = 'x'`: `SELECT count(*) FROM events e JOIN persons p USING (distinct_id) WHERE ("it's" ) = 'x'`,
		`SELECT (properties->>'a')::DATE FROM events`:                                                         `SELECT ("a" )::DATE FROM events`,
		`SELECT 'é', properties->>'é' AS x FROM events WHERE (properties->>'b') LIKE '%x'`:                    `SELECT 'é', "é" AS x FROM events WHERE ("b" ) LIKE '%x'`,
		`SELECT * FROM (SELECT properties->>'a' AS a FROM events) s`:                                          `SELECT * FROM (SELECT "a" AS a FROM events) s`,
		`SELECT 1 FROM persons p WHERE distinct_id IN (SELECT properties->>'a' FROM events)`:                  `SELECT 1 FROM persons p WHERE distinct_id IN (SELECT "a" FROM events)`,
		`SELECT (properties /* , */ ->> /* ' */ 'a') AS a FROM events`:                                        `SELECT ("a" ) AS a FROM events`,
		// Through queries of all columns, which stars leave out in the end.
		`WITH e AS (SELECT * FROM events WHERE event = 'x') SELECT properties->>'a' AS a, count(*) FROM e GROUP BY 1`:      `WITH e AS (SELECT * FROM events WHERE event = 'x') SELECT "a" AS a, count(*) FROM e GROUP BY 1`,
		`WITH e AS (SELECT *, 1 AS n FROM events), f AS (SELECT * FROM e AS g) SELECT f.*, f.properties->>'a' AS a FROM f`: `WITH e AS (SELECT *, 1 AS n FROM events), f AS (SELECT * FROM e AS g) SELECT f.* EXCLUDE ("a"), "f"."a" AS a FROM f`,
		`SELECT s.* FROM (SELECT * FROM events) s WHERE properties->>'a' = 'x'`:                                            `SELECT s.* EXCLUDE ("a") FROM (SELECT * FROM events) s WHERE "a" = 'x'`,
		`SELECT p.*, properties->>'a' AS a FROM events JOIN persons p USING (distinct_id)`:                                 `SELECT p.*, "a" AS a FROM events JOIN persons p USING (distinct_id)`,
		`SELECT * FROM events WHERE properties->>'a' = 'x' UNION ALL SELECT * FROM events`:                                 `SELECT * EXCLUDE ("a") FROM events WHERE "a" = 'x' UNION ALL SELECT * EXCLUDE ("a") FROM events`,
		`WITH e AS (SELECT *, 1 AS n FROM events JOIN persons p USING (distinct_id)) SELECT properties->>'a' AS a FROM e`:  "none",
		`WITH e(a) AS (SELECT * FROM events) SELECT properties->>'a' AS a FROM e`:                                          "none",
		`WITH e AS (SELECT * FROM events UNION ALL SELECT * FROM events) SELECT properties->>'a' AS a FROM e`:              "none",
		`WITH e AS (SELECT * REPLACE (1 AS event) FROM events) SELECT properties->>'a' AS a FROM e`:                        "none",
		`WITH e AS (SELECT * FROM events) SELECT properties->>'a' AS a, e FROM e`:                                          "none",
		`FROM events WHERE properties->>'a' = 'x'`:                                                                         "none",
		// Not where it is not sure.
		`SELECT * FROM events WHERE (properties->>'a') = 'x'`:                                       `SELECT * EXCLUDE ("a") FROM events WHERE ("a" ) = 'x'`,
		`SELECT properties->>'a', e FROM events e`:                                                  "none",
		`SELECT properties->>'a', e::VARCHAR FROM events e`:                                         "none",
		`SELECT properties->>'a', (e)::DOUBLE FROM events e`:                                        "none",
		`SELECT properties->>'a' AS a, COLUMNS('x') FROM events`:                                    "none",
		`SELECT properties->>'a' AS a, #2 FROM events`:                                              "none",
		`SELECT properties->>'a' AS a FROM events NATURAL JOIN persons`:                             "none",
		`SELECT properties->>'a' AS a FROM events e(x)`:                                             "none",
		`SELECT properties->>'a' AS a FROM events TABLESAMPLE reservoir(10 ROWS)`:                   "none",
		`SELECT event AS properties FROM events ORDER BY properties->>'a'`:                          "none",
		`SELECT properties->>'a' AS a FROM (SELECT properties FROM events) s`:                       "none",
		`WITH e AS (SELECT properties FROM events) SELECT properties->>'a' FROM e`:                  "none",
		`SELECT e.properties->>'a' AS a FROM events JOIN (SELECT properties FROM events) e ON true`: "none",
		`SELECT a.properties->>'a' AS a FROM events a JOIN events b USING (properties)`:             "none",
		`SELECT properties->>'a' AS a FROM events a JOIN events b USING (properties)`:               "none",
		`SELECT * FROM (SELECT properties->>'a' FROM events) s`:                                     "none",
		`SELECT properties->>'a' FROM events UNION ALL BY NAME SELECT properties->>'b' FROM events`: "none",
		`SELECT properties->>'*' AS a, properties->>0 AS b, properties->>$1 AS c FROM events`:       "none",
		`SELECT list_transform([1], properties -> properties->>'a') AS a FROM events`:               "none",
		`SELECT list_transform([1], lambda e: e.properties->>'a') AS a FROM events e`:               "none",
		`SELECT properties->>'a' AS a, 1 AS "weir:0" FROM events`:                                   "none",
		`SELECT (SELECT properties->>'a' LIMIT 1) AS a FROM events`:                                 "none",
		`SELECT properties->>'a' = 'x' AS a FROM events`:                                            `SELECT "a" = 'x' AS a FROM events`,
		`SELECT properties->>$$a$$ AS a FROM events`:                                                "none",
		`SELECT traits->>'a' AS a FROM persons`:                                                     "none",
	} {
		if got := promoted(t, g, sql); got != want {
			t.Errorf("%s\n%s\nwant\n%s", sql, got, want)
		}
	}
}
