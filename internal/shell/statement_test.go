package shell

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Promise: a semicolon ends a statement where the engine would end it: not in quotes of any kind, not in comments.
func TestStatementsEndWhereTheyEnd(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                             nil,
		" ; ;;\n":                      nil,
		"-- nothing;\n/* ; /* ; */ */": nil,
		"SELECT 1":                     {"SELECT 1"},
		"SELECT 1;SELECT 2;":           {"SELECT 1", "SELECT 2"},
		"SELECT ';'; x":                {"SELECT ';'", "x"},
		"SELECT ''';';":                {"SELECT ''';'"},
		`SELECT '\'; x`:                {`SELECT '\'`, "x"},
		`SELECT E'\';'; x`:             {`SELECT E'\';'`, "x"},
		`SELECT namee'\'; x`:           {`SELECT namee'\'`, "x"},
		`SELECT E'a''\';'; x`:          {`SELECT E'a''\';'`, "x"},
		`SELECT ";"";"; x`:             {`SELECT ";"";"`, "x"},
		"SELECT $$;'$$; x":             {"SELECT $$;'$$", "x"},
		"SELECT $a$;$b$;$a$; x":        {"SELECT $a$;$b$;$a$", "x"},
		"SELECT $1;$2":                 {"SELECT $1", "$2"},
		"SELECT $name;x":               {"SELECT $name", "x"},
		"SELECT $1$;x":                 {"SELECT $1$", "x"},
		"SELECT a$$;b$$;":              {"SELECT a$$", "b$$"},
		"SELECT 1 -- ;\n, 2; x":        {"SELECT 1 -- ;\n, 2", "x"},
		"SELECT 4/2-1; x":              {"SELECT 4/2-1", "x"},
		"SELECT /* ; */ 1; x":          {"SELECT /* ; */ 1", "x"},
		"SELECT /* /* ; */ ; */ 1; x":  {"SELECT /* /* ; */ ; */ 1", "x"},
		"SELECT 'é;'; ü":               {"SELECT 'é;'", "ü"},
		"SELECT 'open; ":               {"SELECT 'open;"},
		"-":                            {"-"},
	} {
		if got := split(text); !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// split gives all statements of a text that comes in pieces.
func split(pieces ...string) []string {
	var s Splitter
	var all []string
	for _, piece := range pieces {
		all = append(all, s.Add(piece)...)
	}
	if rest := s.Rest(); rest != "" {
		all = append(all, rest)
	}
	return all
}

// Promise: statements that were put together come apart again, whatever quotes and comments they are made of.
func TestStatementsComeApartAsTheyWere(t *testing.T) {
	t.Parallel()
	token := rapid.SampledFrom([]string{
		"SELECT", "a", "e", "$1", "$name", "'x;y'", "''", "'it''s;'", `E'\';\\'''`, `";"`, "$$;$$", "$t$ $$;' $t$", "-- ;'\n2", "/* ; ' */", "/* /* ; */ */",
		"(", ")", ",", "+", "- 1", "/ 2", "::TEXT", "->>", "é", "名", ".", "*",
	})
	rapid.Check(t, func(t *rapid.T) {
		var want []string
		for range rapid.IntRange(0, 5).Draw(t, "statements") {
			words := rapid.SliceOfN(token, 1, 8).Draw(t, "words")
			want = append(want, strings.TrimSpace("x "+strings.Join(words, " ")))
		}
		if got := split(strings.Join(want, ";") + ";"); !slices.Equal(got, want) {
			t.Fatalf("%q came apart as %q", want, got)
		}
	})
}

// Promise: any text can be taken apart, in one piece or cut anywhere, with the same result, and no more comes out than
// went in.
func FuzzSplitter(f *testing.F) {
	for _, seed := range []string{"SELECT 1; x", "E'\\';' $a$;$a$ /* /* */ -- \n;", "$$", "a$b$;c", "'\x00\xff;", "-/-*/*"} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, text string, at int) {
		whole := split(text)
		at = min(max(at, 0), len(text))
		if cut := split(text[:at], text[at:]); !slices.Equal(whole, cut) {
			t.Errorf("%q is %q; cut at %d it is %q", text, whole, at, cut)
		}
		size := 0
		for _, statement := range whole {
			size += len(statement)
			if !strings.Contains(text, statement) || strings.TrimSpace(statement) == "" {
				t.Errorf("%q is no statement of %q", statement, text)
			}
		}
		if size > len(text) {
			t.Errorf("%d bytes came out of %d", size, len(text))
		}
	})
}
