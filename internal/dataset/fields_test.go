package dataset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a filter that compares nothing names the properties that are given, one that compares is a condition, and what is
// neither is refused; subattributes are conditions too.
func TestFiltersNameOrCompare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ filter, subattribute, want string }{
		{"", "", "[] []"},
		{"n", "", "[n] []"},
		{" n, symbol ", "", "[n symbol] []"},
		{`"n","symbol"`, "", "[n symbol] []"},
		{"n > 1", "", "[] [n>1]"},
		{"n,", "", "a comparison"},
		{",", "", "a comparison"},
		{"n symbol", "", "a comparison"},
		{"n,other", "", `"other" is not one`},
		{"", "symbol|A B,n~3", "[] [symbol=A B n!=3]"},
		{"n>1", "symbol|", "[] [n>1 symbol=]"},
		{"", "symbol", "must be NAME|VALUE"},
		{"", "n|x", `the value "x"`},
		{"", "other|x", `"other" is not one`},
		{"", strings.Repeat("n|1,", maxConditions) + "n|1", "more than 20"},
	} {
		d := &Dataset{ID: "QUOTES", Definition: *quotes()}
		a := Ask{Filter: c.filter, Subattribute: c.subattribute}
		s, err := a.Selection(d, time.Unix(1_800_000_000, 0))
		names, wrong := a.Fields(d)
		if err == nil {
			err = wrong
		}
		got := problem.From(err).Detail
		if err == nil {
			var where []string
			for _, w := range s.Where {
				where = append(where, w.Property+string(w.Op)+strings.Join(w.Values, ","))
			}
			got = fmt.Sprint(names, " ", where)
		}
		if err == nil && got != c.want || err != nil && !strings.Contains(got, c.want) {
			t.Errorf("%q and %q: %s, want %s", c.filter, c.subattribute, got, c.want)
		}
	}
}

// Promise: a span ahead is as long as the one that is behind, and touches it at today.
func TestSpansAhead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "now"), 0).UTC()
		text := fmt.Sprint(rapid.IntRange(1, 500).Draw(t, "n"), rapid.SampledFrom([]string{"s", "min", "h", "d", "w"}).Draw(t, "unit"))
		from, until, ok := parseRange(text, now, false)
		begin, end, okAhead := parseRange(text, now, true)
		if !ok || !okAhead || until.Sub(from) != end.Sub(begin) || begin.Before(from) || begin.After(until) || now.Before(begin) || !now.Before(until) {
			t.Fatalf("%s: %s to %s, and ahead %s to %s", text, from, until, begin, end)
		}
	})
}

// Promise: the cells of a record are those of its schema, with instants for dates and null for what does not fit it.
func TestCells(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"symbol":"A","day":"2026-01-02","n":5,"up":true}`:       `["A","2026-01-02T00:00:00Z",5,true]`,
		`{"symbol":"A","day":"2026-01-02T03:04:05.6Z","n":"x"}`:   `["A","2026-01-02T03:04:05.6Z",null,null]`,
		`{"symbol":7,"other":1,"day":"some day","up":null,"n":1}`: `[null,null,1,null]`,
	} {
		r := Record{Body: []byte(body)}
		if got := r.Cells(&quotes().Schema, []string{"symbol", "day", "n", "up"}); string(got) != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}
