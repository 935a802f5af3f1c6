package shell

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Promise: a table is what it looks like: numbers at the right, nulls told from texts, nothing that acts on the terminal.
func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := writeTable(&out, []Column{{Name: "event", Type: "VARCHAR"}, {Name: "n", Type: "BIGINT"}}, [][]cell{
		{{text: "Button Clicked"}, {text: "1"}},
		{{text: "名前"}, {text: "1234"}},
		{{text: "\x1b[2J\u202e\u009b1m\r\n\xff"}, {null: true}},
		{{text: "NULL"}, {text: "-5"}},
	})
	want := " event                           │ n    \n" +
		"─────────────────────────────────┼──────\n" +
		" Button Clicked                  │    1 \n" +
		" 名前                            │ 1234 \n" +
		` \u001b[2J\u202e\u009b1m\r\n\xff │ NULL ` + "\n" +
		" \"NULL\"                          │   -5 \n"
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
}

// Promise: whatever is in the cells, every line is equally wide, and nothing but the line ends acts on the terminal.
func TestTablesAreStraightAndHarmless(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom(nil, unicode.Cc, unicode.Cf, unicode.Mn, unicode.Han, unicode.So, unicode.Zl), 0, 200, -1),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		columns := make([]Column, rapid.IntRange(1, 4).Draw(t, "columns"))
		for i := range columns {
			columns[i] = Column{Name: text.Draw(t, "name"), Type: rapid.SampledFrom([]string{"VARCHAR", "DECIMAL(18,3)"}).Draw(t, "type")}
		}
		rows := make([][]cell, rapid.IntRange(0, 5).Draw(t, "rows"))
		for i := range rows {
			for range columns {
				rows[i] = append(rows[i], cell{text.Draw(t, "text"), rapid.Bool().Draw(t, "null")})
			}
		}
		var out bytes.Buffer
		if err := writeTable(&out, columns, rows); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != len(rows)+2 {
			t.Fatalf("%d lines for %d rows: %q", len(lines), len(rows), lines)
		}
		for _, line := range lines {
			if width(line) != width(lines[0]) || width(line) > len(columns)*(maxCell+3) || !utf8.ValidString(line) || strings.ContainsFunc(line, acts) {
				t.Fatalf("%q", lines)
			}
		}
	})
}

// Promise: what goes to a screen is harmless however it is cut into pieces, and JSON stays the JSON it was.
func TestScreenKeepsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SliceOf(rapid.String()).Draw(t, "value")
		text, err := json.MarshalIndent(value, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, "\r\n"...)
		var out bytes.Buffer
		s := &screen{out: &out}
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			if _, err := s.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		var again []string
		if err := json.Unmarshal(out.Bytes(), &again); err != nil || strings.Join(again, "\x00") != strings.Join(value, "\x00") {
			t.Fatalf("%q came out as %q: %v", text, out.Bytes(), err)
		}
		if strings.ContainsFunc(strings.NewReplacer("\r\n", "", "\n", "", "\t", "").Replace(out.String()), acts) {
			t.Fatalf("%q", out.Bytes())
		}
	})
}

// Promise: a carriage return, a part of a character and a byte that is no text do not reach the screen.
func TestScreenPieces(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out}
	for _, piece := range []string{"a\r", "b\r", "\nc\xc2", "\x9b1m", "\xff\x1b]0;t\a\n"} {
		if _, err := s.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if want := "a\\rb\r\nc\\u009b1m\\xff\\u001b]0;t\\u0007\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
