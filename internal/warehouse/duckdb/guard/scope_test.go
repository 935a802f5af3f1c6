package guard_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// names are what a table of a random statement is called: a table there is, one that is secret, and some that are not.
var names = []string{"events", "secret_canary", "ghost", "Ghost", "spirit", "spectre", "shade", "wraith"}

// randomQuery is a query with one column of text, a: the rows of its tables, whole. The tables are mostly events and
// the WITH names that are in sight, since statements that are all wrong show little; the others are often those in
// used, which a WITH elsewhere in the statement has.
func randomQuery(t *rapid.T, depth int, sight []string, used *[]string) string {
	name := func() string {
		if rapid.IntRange(0, 9).Draw(t, "any") == 0 {
			return rapid.SampledFrom(append(names[:2:2], *used...)).Draw(t, "name")
		}
		return rapid.SampledFrom(append([]string{"events"}, sight...)).Draw(t, "name in sight")
	}
	deeper := func() string { return randomQuery(t, depth-1, sight, used) }
	with := func(head string) string {
		name := rapid.SampledFrom(names[1:]).Draw(t, "new name")
		*used = append(*used, name)
		clause := head + name + " AS (" + deeper() + ")"
		sight = append(slices.Clip(sight), name)
		return clause
	}
	plain := "SELECT t::VARCHAR AS a FROM " + name() + " AS t"
	if depth == 0 {
		return plain
	}
	switch rapid.IntRange(0, 13).Draw(t, "kind") {
	case 0, 1:
		return with("WITH ") + " " + deeper()
	case 2:
		return with("WITH ") + with(", ") + " " + deeper()
	case 3:
		return fmt.Sprintf("(%s) UNION ALL (%s)", deeper(), deeper())
	case 4:
		return fmt.Sprintf("(%s) EXCEPT (%s)", deeper(), deeper())
	case 5:
		return with("WITH ") + fmt.Sprintf(" (%s) UNION (%s) ORDER BY a LIMIT (SELECT count(*) FROM (%s))", deeper(), deeper(), deeper())
	case 6:
		return fmt.Sprintf("SELECT (SELECT max(a) FROM (%s)) || t::VARCHAR AS a FROM %s AS t", deeper(), name())
	case 7:
		return plain + fmt.Sprintf(" WHERE t::VARCHAR IN (%s) OR EXISTS (%s)", deeper(), deeper())
	case 8:
		return fmt.Sprintf("SELECT x AS a FROM unnest((SELECT list(a) FROM (%s))) AS u(x)", deeper())
	case 9:
		return fmt.Sprintf("SELECT l.a FROM %s AS t, LATERAL (%s) AS l", name(), deeper())
	case 10:
		return plain + fmt.Sprintf(" ORDER BY (SELECT max(a) FROM (%s)) LIMIT (SELECT count(*) FROM (%s))", deeper(), deeper())
	case 11:
		return fmt.Sprintf("SELECT max(a) OVER (PARTITION BY (SELECT min(a) FROM (%s))) AS a FROM (%s) "+
			"QUALIFY row_number() OVER (ORDER BY (SELECT min(a) FROM (%s))) > 0", deeper(), deeper(), deeper())
	case 12:
		return fmt.Sprintf("SELECT string_agg(a, '' ORDER BY a) FILTER (WHERE a NOT IN (%s)) AS a FROM (%s) "+
			"GROUP BY a, (SELECT min(a) FROM (%s)) HAVING (SELECT count(*) FROM (%s)) >= 0", deeper(), deeper(), deeper(), deeper())
	default:
		return fmt.Sprintf("SELECT l.a FROM (%s) AS l JOIN (%s) AS r ON (SELECT count(*) FROM (%s)) > 0", deeper(), deeper(), deeper())
	}
}

// Promise: a name that the walk takes for a WITH name in sight is one for the engine too: an accepted statement never
// reads a table that it should not, nor asks the catalog for one.
func TestScopesAgreeWithTheEngine(t *testing.T) {
	t.Parallel()
	g, db := newGuard(t), newScratch(t)
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		statement := randomQuery(rt, rapid.IntRange(1, 3).Draw(rt, "depth"), nil, &[]string{})
		analysis, err := g.Analyze(context.Background(), statement)
		if err != nil {
			return
		}
		accepted++
		rows, err := db.read(context.Background(), "SELECT * FROM ("+statement+") LIMIT 20", nil)
		if strings.Contains(rows, canary) {
			rt.Fatalf("reached the canary: %s\n%s", statement, rows)
		}
		if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "Catalog Error")) {
			rt.Fatalf("reached the catalog: %s\n%v", statement, err)
		}
		if reads := len(analysis.Facts.Tables) == 1; reads != strings.Contains(statement, "events") {
			rt.Fatalf("tables are %v in %s", analysis.Facts.Tables, statement)
		}
	})
	if accepted < 10 {
		t.Fatalf("%d random statements were accepted: the test shows nothing", accepted)
	}
	t.Logf("%d accepted", accepted)
}
