package complete_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/query/complete"
)

func words() complete.Words {
	return complete.Words{
		Columns:    map[string][]string{"events": {"event", "event_id", "properties"}, "persons": {"distinct_id", "traits"}},
		Properties: map[string][]string{"properties": {"page", "it's", "$odd", "écran"}},
		Functions:  []string{"count", "epoch", "sum"},
	}
}

// Promise: what is suggested begins as the word does that ends at the place, is what can stand there, and says which
// characters it replaces; inside texts, comments and numbers there is nothing.
func TestSuggestions(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{ // the place is at |
		"SELECT ev|":                          "column event, column event_id, table events: 7-9",
		"SELECT * FROM ev|":                   "table events: 14-16",
		"SELECT * FROM |":                     "table events, table persons: 14-14",
		"SELECT * FROM events JOIN P|":        "table persons: 26-27",
		"SELECT events.e|":                    "column event, column event_id: 14-15",
		"SELECT p.| FROM persons AS p":        "column distinct_id, column traits: 9-9",
		"SELECT e.pr| FROM events e":          "column properties: 9-11",
		"SELECT q.| FROM persons AS p":        ": 0-0",
		"SELECT pag|":                         "property properties->>'page': 7-10",
		"SELECT it|":                          "property properties->>'it''s': 7-9",
		"SELECT 'é', écr|":                    "property properties->>'écran': 12-15",
		"SELECT cou|nt":                       "function count: 7-10",
		"SELECT event FROM events GRO|":       "keyword GROUP: 25-28",
		"SELECT $odd|":                        ": 0-0",
		"SELECT $1 + @{ev|":                   "column event, column event_id, table events: 14-16",
		"SELECT 'ev|":                         ": 0-0",
		"SELECT 'ev|ent' FROM events":         ": 0-0",
		"SELECT 1 -- ev|":                     ": 0-0",
		"SELECT 1 /* ev|":                     ": 0-0",
		"SELECT 1 /* x */ ev|":                "column event, column event_id, table events: 17-19",
		"SELECT \"ev|":                        ": 0-0",
		"SELECT 12|":                          ": 0-0",
		"SELECT properties->>'page' = 'x' e|": "column event, column event_id, table events, function epoch, keyword ELSE, keyword END, keyword EXISTS: 33-34",
	} {
		before, after, _ := strings.Cut(sql, "|")
		var texts []string
		from, to := 0, 0
		for _, s := range complete.At(before+after, utf8.RuneCountInString(before), words()) {
			texts = append(texts, string(s.Kind)+" "+s.Text)
			from, to = s.From, s.To
		}
		if got := fmt.Sprintf("%s: %d-%d", strings.Join(texts, ", "), from, to); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", sql, got, want)
		}
	}
	if n := len(complete.At("", 0, words())); n == 0 || n > complete.Most {
		t.Errorf("%d are suggested at the start", n)
	}
}

// Promise: of any text and place, suggestions are bounded, valid UTF-8, and replace characters of the text.
func FuzzAt(f *testing.F) {
	for _, seed := range []string{"SELECT ev", "SELECT 'é' /* ", "SELECT e. FROM events e", "$$ x", "e'\\'' --\n", "SELECT \xff", ""} {
		f.Add(seed, len(seed))
	}
	f.Fuzz(func(t *testing.T, sql string, position int) {
		got := complete.At(sql, position, words())
		if len(got) > complete.Most {
			t.Fatalf("%d suggestions", len(got))
		}
		for _, s := range got {
			if s.From < 0 || s.From > s.To || s.To > utf8.RuneCountInString(sql) || !utf8.ValidString(s.Text) {
				t.Fatalf("%+v", s)
			}
		}
	})
}
