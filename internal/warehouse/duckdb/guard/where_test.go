package guard_test

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
)

// at is the line and the column of a marker in a text.
func at(text, marker string) (line, column int) {
	before, _, _ := strings.Cut(text, marker)
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// Promise: the place that the engine's caret points at is found again, in any line, script and length.
func TestWhereFindsTheCaret(t *testing.T) {
	t.Parallel()
	db := newScratch(t)
	for name, text := range map[string]string{
		"first line":              "SELECT nope FROM events",
		"third line":              "SELECT event,\n  source,\n  nope\nFROM events",
		"carriage returns":        "SELECT event,\r\n  source,\r\n  nope\r\nFROM events",
		"a carriage return alone": "SELECT event,\r nope FROM events",
		"tabs":                    "SELECT\tevent,\n\t\tnope\nFROM events",
		"accents":                 "SELECT 'éàü', nope FROM events",
		"wide":                    "SELECT '漢字', nope FROM events",
		"emoji":                   "SELECT '🎈🎈', nope FROM events",
		"combining":               "SELECT 'e\u0301e\u0301', nope FROM events",
		"far in a line":           "SELECT '" + strings.Repeat("ab ", 100) + "', nope FROM events",
		"far, then more":          "SELECT '" + strings.Repeat("ab ", 100) + "', nope, '" + strings.Repeat("cd ", 100) + "' FROM events",
		"then more":               "SELECT nope, '" + strings.Repeat("cd ", 100) + "' FROM events",
		"far and wide":            "SELECT '" + strings.Repeat("漢", 100) + "', nope, '" + strings.Repeat("字", 100) + "' FROM events",
		"at the end":              "SELECT * FROM events WHERE nope",
		"dots in the line":        "SELECT '...', nope FROM events",
		"a false excerpt":         "SELECT '\nLINE 1: x\n ^', nope FROM events",
		"a missing funct":         "SELECT 1,\n nope(1)",
		"a missing table":         "SELECT 1 FROM events\nJOIN nope ON true",
		"a type of no use":        "SELECT 'é' FROM events WHERE\nnope > 1",
		"a table of a name":       "SELECT é.nope FROM events AS é",
	} {
		_, err := db.read(context.Background(), text, nil)
		if err == nil {
			t.Fatalf("%s runs", text)
		}
		marker := "nope"
		if name == "a table of a name" {
			marker = "é.nope"
		}
		line, column, clean := guard.Where(err.Error(), text)
		if wantLine, wantColumn := at(text, marker); line != wantLine || column != wantColumn {
			t.Errorf("%s: got %d:%d, want %d:%d, of\n%s", name, line, column, wantLine, wantColumn, err)
		}
		if strings.Contains(clean, "LINE ") || strings.Contains(clean, "^") || strings.Contains(clean, "Error: ") {
			t.Errorf("%s: not clean: %s", name, clean)
		}
	}
}

// Promise: a message is given without its kind, its stack and paths of files, and cut.
func TestWhereCleansMessages(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"Binder Error: no such column": "no such column",
		"Out of Range Error: too much": "too much",
		"no kind at all":               "no kind at all",
		"INTERNAL Error: x\n\nStack Trace:\n\n/usr/lib/libduckdb.so(+1)":                     "x",
		`IO Error: Cannot open file "/var/lib/weir/p1/live.duckdb": No such file`:            `Cannot open file "(path)": No such file`,
		`IO Error: Cannot open C:\weir\data\x.duckdb`:                                        `Cannot open (path)`,
		`Conversion Error: Could not convert string 'a/b' to INT32`:                          `Could not convert string 'a/b' to INT32`,
		"Binder Error: one\nCandidate bindings: \"a\"\n\nLINE 1: SELECT x\n               ^": "one\nCandidate bindings: \"a\"",
		"": "",
	} {
		if _, _, got := guard.Where(message, "SELECT x"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if _, _, got := guard.Where(strings.Repeat("é", 10_000), ""); len(got) > 510 || !utf8.ValidString(got) {
		t.Errorf("not cut: %d bytes", len(got))
	}
}

// Promise: no message, however it is formed, makes Where panic or point outside the text.
func TestWhereWithstandsAnyMessage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		excerpt := rapid.SampledFrom([]string{"", "...", "... ...", "x...", text}).Draw(t, "excerpt")
		number := rapid.SampledFrom([]string{"1", "2", "0", "-1", "99999999999999999999", "x", ""}).Draw(t, "number")
		spaces := strings.Repeat(" ", rapid.IntRange(0, 40).Draw(t, "spaces"))
		message := rapid.String().Draw(t, "message") + "\nLINE " + number + rapid.SampledFrom([]string{": ", ":", ""}).Draw(t, "colon") +
			excerpt + "\n" + spaces + "^"
		line, column, _ := guard.Where(message, text)
		if lines := strings.Split(text, "\n"); line < 0 || line > len(lines) || line > 0 && column > utf8.RuneCountInString(lines[line-1])+1 {
			t.Fatalf("%d:%d is outside the text", line, column)
		}
	})
}
