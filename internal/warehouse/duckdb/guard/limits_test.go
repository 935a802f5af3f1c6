package guard_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
)

// filled is a text of the largest size: before, then as many units as fit, then middle, as many closings, and after.
func filled(before, unit, middle, closing, after string) string {
	n := (guard.MaxText - len(before) - len(middle) - len(after)) / (len(unit) + len(closing))
	return before + strings.Repeat(unit, n) + middle + strings.Repeat(closing, n) + after
}

// Promise: no text, however nested or repeated, brings the parser down, stalls it or is walked without bound.
func TestBombsOfTextAreRefused(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	for name, text := range map[string]string{
		"brackets":                filled("SELECT ", "(", "1", ")", ""),
		"select in brackets":      filled("", "(", "SELECT 1", ")", ""),
		"sub-queries":             filled("", "SELECT (", "SELECT 1", ")", ""),
		"sub-queries in FROM":     filled("", "FROM (", "SELECT 1", ")", ""),
		"EXISTS":                  filled("SELECT ", "EXISTS (SELECT ", "1", ")", ""),
		"WITH in WITH":            filled("", "WITH a AS (", "SELECT 1", ") SELECT 1", ""),
		"minus":                   filled("SELECT ", "- ", "1", "", ""),
		"NOT":                     filled("SELECT ", "NOT ", "true", "", ""),
		"factorials":              filled("SELECT 1 ", "! ", "", "", ""),
		"a row of plus":           filled("SELECT 1", "+", "", "", "1"),
		"a row of plus and minus": filled("SELECT 1", "+-", "", "", "1"),
		"rows of plus":            filled("SELECT 1", strings.Repeat("+", 32)+"1", "", "", ""),
		"comments":                filled("SELECT 1", "/**/", "", "", ""),
		"comments in comments":    filled("SELECT ", "/*", "", "*/", "1"),
		"open comments":           filled("SELECT ", "/*", "", "", ""),
		"a sum":                   filled("SELECT 1", "+1", "", "", ""),
		"a longer text":           filled("SELECT 1", "||1", "", "", ""),
		"casts":                   filled("SELECT 1", "::INT", "", "", ""),
		"lists in lists":          filled("SELECT ", "[", "1", "]", ""),
		"lists of lists as type":  filled("SELECT 1::INT", "[]", "", "", ""),
		"structs":                 filled("SELECT ", "{a:", "1", "}", ""),
		"calls":                   filled("SELECT ", "abs(", "1", ")", ""),
		"methods":                 filled("SELECT (1)", ".abs()", "", "", ""),
		"subscripts":              filled("SELECT a", "[1]", "", "", ""),
		"JSON arrows":             filled("SELECT a", "->'b'", "", "", ""),
		"lambdas":                 filled("SELECT list_transform(a, ", "x->", "1", "", ")"),
		"CASE":                    filled("SELECT ", "CASE WHEN ", "1", " THEN 1 END", ""),
		"comprehensions":          filled("SELECT ", "[x FOR x IN ", "a", "]", ""),
		"windows":                 filled("SELECT ", "sum(", "1", ") OVER ()", ""),
		"unions":                  filled("SELECT 1", " UNION SELECT 1", "", "", ""),
		"joins":                   filled("SELECT 1 FROM events", ",events", "", "", ""),
		"joins in brackets":       filled("SELECT 1 FROM ", "events JOIN (", "events", ") ON true", ""),
		"constants":               filled("SELECT 1", ",1", "", "", ""),
		"parameters":              filled("SELECT ?", ",?", "", "", ""),
		"rows of values":          filled("VALUES (1)", ",(1)", "", "", ""),
		"statements":              filled("SELECT 1", ";SELECT 1", "", "", ""),
		"grouping sets":           filled("SELECT 1 GROUP BY CUBE (a", ",a", "", "", ")"),
		"rollups":                 filled("SELECT 1 GROUP BY ROLLUP (a, b)", ",ROLLUP (a, b)", "", "", ""),
		"garbage":                 filled("", "[", "", "", ""),
		"an open text":            filled("SELECT '", "''", "", "", ""),
	} {
		_, err := g.Analyze(context.Background(), text)
		if code := problem.Of(err); code != problem.InvalidField && code != problem.InvalidSQL && code != problem.SQLNotAllowed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Promise: text over a limit is a field at fault, and the limits are where they are said to be.
func TestLimitsOfText(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	list := func(n int) string { return "SELECT 1 IN (" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + ")" }
	union := func(n int) string { return strings.TrimSuffix(strings.Repeat("SELECT 1 UNION ALL ", n), " UNION ALL ") }
	for _, test := range []struct{ name, text, detail string }{
		{"the longest text", "SELECT '" + strings.Repeat("x", guard.MaxText-9) + "'", ""},
		{"one byte more", "SELECT '" + strings.Repeat("x", guard.MaxText-8) + "'", "sql: is longer than 65536 bytes"},
		{"not UTF-8", "SELECT '\xff'", "sql: is not valid UTF-8"},
		{"NUL", "SELECT '\x00'", "sql: holds a NUL character"},
		{"100 comments", "SELECT " + strings.Repeat("/* x */", 100) + "1", ""},
		{"101 comments", "SELECT " + strings.Repeat("/* x */", 101) + "1", "sql: has more than 100 times /*"},
		{"32 signs", "SELECT '" + strings.Repeat("+", 32) + "'", ""},
		{"33 signs", "SELECT '" + strings.Repeat("+", 33) + "'", "sql: has a row of more than 32 + and - signs"},
		{"a line of minus", "SELECT 1 " + strings.Repeat("-", 80), ""},
		{"a frame of plus and minus", "-- +" + strings.Repeat("-", 80) + "+\nSELECT 1", ""},
		{"5,000 constants", list(5000), ""},
		{"10,000 constants", list(10000), "sql: has more than 20000 parts"},
		{"a sum of 200", "SELECT 1" + strings.Repeat("+1", 200), ""},
		{"a sum of 400", "SELECT 1" + strings.Repeat("+1", 400), "sql: is nested too deeply"},
		{"an AND of 2,000", "SELECT true" + strings.Repeat(" AND true", 2000), ""},
		{"400 unions", union(400), ""},
		{"the parser's own bound", filled("SELECT ", "(", "1", ")", ""), "sql: is nested too deeply"},
	} {
		_, err := g.Analyze(context.Background(), test.text)
		if test.detail == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if p := problem.From(err); p.Code != problem.InvalidField || !strings.HasPrefix(p.Detail, test.detail) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.detail)
		}
	}
}

// Promise: a name or a message from a statement is cut before it is shown.
func TestRefusalsAreShort(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	long := strings.Repeat("é", 20_000)
	for _, text := range []string{
		fmt.Sprintf(`SELECT * FROM "%s"`, long),
		fmt.Sprintf(`SELECT * FROM "%s"."%s"`, long, long),
		fmt.Sprintf(`SELECT "%s"(1)`, long),
		fmt.Sprintf(`SELECT 1::"%s"`, long),
		fmt.Sprintf(`WITH "%s." AS (SELECT 1) SELECT 1`, long),
		fmt.Sprintf(`SELECT '%s`, long),
		strings.Repeat("x", 30_000) + " 1",
	} {
		_, err := g.Analyze(context.Background(), text)
		if p := problem.From(err); p.Code == problem.Internal || len(p.Detail) > 700 {
			t.Errorf("%.30s: %d bytes of %s", text, len(p.Detail), p.Code)
		}
	}
}
