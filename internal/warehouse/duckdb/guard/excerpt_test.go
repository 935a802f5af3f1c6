package guard_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/width"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
)

// Promise: an excerpt is two lines, the second of which has its caret under the character that is meant, whatever
// stands before it: tabs, wide characters, accents that are characters of their own.
func TestExcerptsPointAtTheCharacter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text         string
		line, column int
		want         string
	}{
		"the first line":    {"SELECT nope", 1, 8, "SELECT nope\n       ^"},
		"a later line":      {"SELECT\n  a,\r\n  nope\r\nFROM x", 3, 3, "  nope\n  ^"},
		"tabs":              {"\tSELECT\tnope", 1, 9, "\tSELECT\tnope\n\t      \t^"},
		"wide":              {"'漢字', nope", 1, 7, "'漢字', nope\n        ^"},
		"combining":         {"'e\u0301', nope", 1, 7, "'e\u0301', nope\n     ^"},
		"the end":           {"SELECT", 1, 7, "SELECT\n      ^"},
		"behind the end":    {"SELECT", 9, 99, "SELECT\n      ^"},
		"nothing":           {"", 1, 1, "\n^"},
		"a carriage return": {"a\rb", 1, 3, "a b\n  ^"},
		"turned around":     {"a\u202Eb", 1, 3, "a b\n  ^"},
		"long":              {strings.Repeat("a", 200) + "X" + strings.Repeat("b", 200), 1, 201, "…" + strings.Repeat("a", 60) + "X" + strings.Repeat("b", 59) + "…\n" + strings.Repeat(" ", 61) + "^"},
	} {
		if got := guard.Excerpt(c.text, c.line, c.column); got.Excerpt != c.want || got.Line != c.line || got.Column != c.column {
			t.Errorf("%s: %d:%d\n%q, want\n%q", name, got.Line, got.Column, got.Excerpt, c.want)
		}
	}
}

// cells is how wide a line is on a screen with tabs of eight.
func cells(line string) (n int) {
	for _, r := range line {
		switch kind := width.LookupRune(r).Kind(); {
		case r == '\t':
			n += 8 - n%8
		case r == '\u0301':
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// Promise: of any text and place, the excerpt is bounded, and its caret stands in the cell of the character.
func TestExcerptsOfAnyText(t *testing.T) {
	t.Parallel()
	characters := rapid.SampledFrom([]rune("ab \t'漢é\u0301🎈\r\x01,(…"))
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.StringOfN(characters, 0, 400, -1), 1, 4).Draw(t, "lines")
		line := rapid.IntRange(1, len(lines)).Draw(t, "line")
		text := []rune(lines[line-1])
		column := rapid.IntRange(1, len(text)+1).Draw(t, "column")
		if column <= len(text) {
			text[column-1] = 'X' // and nothing else is one
		}
		lines[line-1] = string(text)
		got := guard.Excerpt(strings.Join(lines, "\n"), line, column).Excerpt
		above, below, two := strings.Cut(got, "\n")
		if !two || strings.Contains(below, "\n") || utf8.RuneCountInString(above) > 122 || !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		before, _, found := strings.Cut(above, "X")
		if found != (column <= len(text)) {
			t.Fatalf("the character is not shown: %q", got)
		}
		spaces, ok := strings.CutSuffix(below, "^")
		if !ok || found && cells(spaces) != cells(before) {
			t.Fatalf("the caret is in cell %d and not %d:\n%s", cells(spaces), cells(before), got)
		}
	})
}
