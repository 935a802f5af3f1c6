package metric_test

import (
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/query/metric"
)

// Promise: the table and the properties of UserFlux's SQL are translated where they are names, and nothing else is
// touched.
func TestFromUserFlux(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"SELECT count(*) FROM eventsTable":                                   "SELECT count(*) FROM events",
		"SELECT ufProperties.urlPath FROM EVENTSTABLE":                       "SELECT (properties->>'urlPath') FROM events",
		"SELECT e.ufProperties.urlPath p FROM eventsTable AS e":              "SELECT (e.properties->>'urlPath') p FROM events AS e",
		"SELECT eventsTable.ufProperties.a, eventsTable.event":               "SELECT (events.properties->>'a'), events.event",
		`SELECT "e".ufProperties."my key", ufProperties."it's"`:              `SELECT ("e".properties->>'my key'), (properties->>'it''s')`,
		`SELECT ufProperties.cart.total, ufProperties."a.b", ufProperties.a`: `SELECT (properties->>'/cart/total'), (properties->>'a.b'), (properties->>'a')`,
		`SELECT ufProperties FROM eventsTable`:                               `SELECT properties FROM events`,
		"SELECT 'eventsTable ufProperties.a', x.eventsTable -- eventsTable":  "SELECT 'eventsTable ufProperties.a', x.eventsTable -- eventsTable",
		`SELECT "eventsTable", myeventsTable, $$ufProperties.a$$`:            `SELECT "eventsTable", myeventsTable, $$ufProperties.a$$`,
		"SELECT ufProperties.url = '@{x}' LIMIT @{n}":                        "SELECT (properties->>'url') = '@{x}' LIMIT @{n}",
		"SELECT ufProperties.":                                               "SELECT properties.",
		"ufProperties":                                                       "properties", "": "", ".ufProperties.a": ".(properties->>'a')", "'": "'",
	} {
		if got, _ := metric.FromUserFlux(sql); got != want {
			t.Errorf("%s\nbecomes %s\nand not %s", sql, got, want)
		}
	}
}

// Promise: a place in the translation is told as the place in the SQL that was sent.
func TestFromUserFluxTellsPlaces(t *testing.T) {
	t.Parallel()
	const sql = "SELECT ufProperties.urlPath,\n  nothere FROM eventsTable WHERE wrong"
	translated, source := metric.FromUserFlux(sql)
	for _, name := range []string{"nothere", "wrong"} {
		wantLine, wantColumn := lineOf(sql, name)
		if line, column := source(lineOf(translated, name)); line != wantLine || column != wantColumn {
			t.Errorf("%s is at %d:%d, want %d:%d", name, line, column, wantLine, wantColumn)
		}
	}
}

func lineOf(text, part string) (line, column int) {
	before, _, _ := strings.Cut(text, part)
	return strings.Count(before, "\n") + 1, len(before) - strings.LastIndexByte(before, '\n')
}

// Promise: no text makes trouble, one without those names stays as it is, and a translation is not translated again.
func FuzzFromUserFlux(f *testing.F) {
	f.Add("SELECT ufProperties.a.\"b\" FROM eventsTable e WHERE e.ufProperties.c = '@{x}'")
	f.Add("ufProperties.ufProperties.\"\".eventsTable")
	f.Fuzz(func(t *testing.T, sql string) {
		got, source := metric.FromUserFlux(sql)
		lower := strings.ToLower(sql)
		if !strings.Contains(lower, "ufproperties") && !strings.Contains(lower, "eventstable") && got != sql {
			t.Fatalf("%q became %q", sql, got)
		}
		if line, column := source(1, len(got)+1); line < 1 || column < 1 {
			t.Fatalf("%d:%d", line, column)
		}
	})
}
