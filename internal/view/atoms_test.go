package view_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// Promise: a view is its scope in another form: it comes back as it was, its text reads as it, and what both of two views
// let through is what both of their scopes do.
func TestViewsAreScopes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawScope(t), drawScope(t)
		for _, s := range []view.Scope{a, shuffled(t, a), {}} {
			again, err := view.ScopeOf(s.View())
			if err != nil || canonical(failing(t), again) != canonical(failing(t), s) {
				t.Fatalf("%s came back as %s, %v", canonical(failing(t), s), canonical(failing(t), again), err)
			}
		}
		if v, err := view.Read(view.Text(a.View()), ""); len(a.Tables) > 0 && a.Check() == nil && (err != nil || !v.Same(a.View()) || view.Check(v, "") != nil) {
			t.Fatalf("%s reads as %+v, %v", view.Text(a.View()), v, err)
		}
		both, err := view.ScopeOf(a.View().And(b.View()))
		if err != nil || canonical(failing(t), both) != canonical(failing(t), a.And(b)) {
			t.Fatalf("%s and %s are %s, %v", canonical(failing(t), a), canonical(failing(t), b), canonical(failing(t), both), err)
		}
	})
}

func mustRead(t *testing.T, text string) *access.View {
	t.Helper()
	v, err := view.Read(jsontext.Value(text), "view")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Promise: a condition on an element of an array is about what is masked in all elements.
func TestConditionsOnElementsAreAboutAll(t *testing.T) {
	t.Parallel()
	outer := mustRead(t, `{"events": {"hide": ["properties.items.email"]}}`)
	for path, within := range map[string]bool{
		"properties.items.0.email": false, "properties.0.items.17.email.0": false, "properties.items.email": false,
		"properties.items.0.name": true, "properties.items.emails": true, "event": true,
	} {
		inner := mustRead(t, `{"events": {"hide": ["properties.items.email"], "where": [{"column": "`+path+`", "op": "is not null"}]}}`)
		if by := (&access.Bounds{View: inner}).Exceeds(&access.Bounds{View: outer}); (by == "") != within {
			t.Errorf("%s: exceeds by %q", path, by)
		}
	}
}

// Promise: a value that is bound stands wherever its variable stood, as what it is; what does not fit is refused by the
// variable's name, and nothing is bound then. A variable that gets no value stays one.
func TestBind(t *testing.T) {
	t.Parallel()
	v := mustRead(t, `{"events": {"where": [{"column": "properties.org", "op": "=", "value": "@{org}"},
		{"column": "distinct_id", "op": "in", "values": ["@{who}", "ben"]}, {"column": "timestamp", "op": ">=", "value": "@{since}"},
		{"column": "properties.n", "op": "in", "values": [9007199254740993, "@{n}"]}]}, "persons": {"where": [{"column": "traits.org", "op": "=", "value": "@{org}"}]}}`)
	if got := strings.Join(v.Unbound, " "); got != "n org since who" {
		t.Fatalf("unbound: %s", got)
	}
	for name, c := range map[string]struct {
		values map[string]string
		want   string // the fault, or what is unbound afterwards
	}{
		"all":                  {map[string]string{"org": `"acme"`, "who": `"ana"`, "since": `"2026-01-01T00:00:00Z"`, "n": `5`}, ""},
		"a number":             {map[string]string{"org": `17`}, "n since who"},
		"a truth":              {map[string]string{"org": `true`}, "n since who"},
		"none":                 {nil, "n org since who"},
		"another":              {map[string]string{"team": `"a"`}, "variables.team: is not a variable of what may be seen: those are n, org, since, who"},
		"a number for text":    {map[string]string{"who": `5`}, "variables.who: must be text, as distinct_id is"},
		"no time":              {map[string]string{"since": `"yesterday"`}, "variables.since: must be a time, as RFC 3339 has it: 2026-01-31T12:00:00Z"},
		"a fraction":           {map[string]string{"n": `0.5`}, "variables.n: mix fractions with whole numbers of 2^53 and more, which only compare exactly"},
		"a list":               {map[string]string{"org": `["acme"]`}, "variables.org: must be text, a number, true or false"},
		"null":                 {map[string]string{"org": `null`}, "variables.org: must be text, a number, true or false"},
		"nothing at all":       {map[string]string{"org": ``}, "variables.org: must be text, a number, true or false"},
		"no JSON":              {map[string]string{"org": `acme`}, "variables.org: must be text, a number, true or false"},
		"another variable":     {map[string]string{"org": `"@{who}"`}, "variables.org: must not be another variable"},
		"nearly a variable":    {map[string]string{"org": `"@{who"`}, "variables.org: begins like a variable and is none: that is @{name}, with a name of a-z, 0-9 and _ that begins with a letter"},
		"a long text":          {map[string]string{"org": `"` + strings.Repeat("x", 1025) + `"`}, "variables.org: must be at most 1024 bytes long, is 1025"},
		"a NUL":                {map[string]string{"org": `"\u0000"`}, "variables.org: must be UTF-8 without a NUL character"},
		"SQL":                  {map[string]string{"org": `"' OR 1=1 --"`}, "n since who"},
		"what looks like JSON": {map[string]string{"org": `"\"],\"op\":\"!=\",\"values\":[\""`}, "n since who"},
	} {
		values := map[string]jsontext.Value{}
		for name, text := range c.values {
			values[name] = jsontext.Value(text)
		}
		bound, err := view.Bind(v, values)
		if err != nil {
			fields := problem.From(err).Fields
			if got := fields[0].Name + ": " + fields[0].Detail; got != c.want || bound != nil {
				t.Errorf("%s: %s", name, got)
			}
			continue
		}
		if got := strings.Join(bound.Unbound, " "); got != c.want || len(v.Unbound) != 4 {
			t.Errorf("%s: left are %q", name, got)
		}
		s, err := view.ScopeOf(bound)
		if err != nil || (s.Ready() == nil) != (c.want == "") {
			t.Errorf("%s: ready: %v, %v", name, s.Ready(), err)
		}
		text := string(view.Text(bound))
		for name, value := range c.values {
			if n := strings.Count(text, value); n == 0 || name == "org" && n != 2 {
				t.Errorf("%s: %s is not in %s", name, value, text)
			}
		}
	}
	if _, err := view.Bind(nil, map[string]jsontext.Value{"org": jsontext.Value(`1`)}); problem.Of(err) != problem.InvalidField {
		t.Errorf("a value without a view: %v", err)
	}
}

// Promise: binding all values at once is binding one after the other, in whatever order.
func TestBindOneByOne(t *testing.T) {
	t.Parallel()
	v := mustRead(t, `{"events": {"where": [{"column": "properties.a", "op": "in", "values": ["@{x}", "@{y}"]}, {"column": "event", "op": "=", "value": "@{y}"}]}}`)
	rapid.Check(t, func(t *rapid.T) {
		values := map[string]jsontext.Value{}
		for _, name := range []string{"x", "y"} {
			text, _ := jsontext.AppendQuote(nil, rapid.StringMatching(`@?[{}a-z"\\]{0,4}`).Draw(t, name))
			values[name] = text
		}
		together, err := view.Bind(v, values)
		step, stepErr := v, error(nil)
		for _, name := range rapid.Permutation(slices.Sorted(maps.Keys(values))).Draw(t, "order") {
			if stepErr == nil {
				step, stepErr = view.Bind(step, map[string]jsontext.Value{name: values[name]})
			}
		}
		if (err == nil) != (stepErr == nil) || err == nil && !together.Same(step) {
			t.Fatalf("%s: %+v, %v; one by one %+v, %v", values, together, err, step, stepErr)
		}
	})
}

// Promise: what is no view is refused where it is stored, with the place in it.
func TestCheckView(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]*access.View{
		"view: lets nothing be seen: name at least one table":                                               {},
		"view.orders: is not a table: the tables are events, persons, and datasets such as datasets.quotes": {Tables: []access.ViewTable{{Name: "orders"}}},
		"view.events.hide[0]: x is not a column of events; a property is written properties.x": {
			Tables: []access.ViewTable{{Name: "events", Atoms: []access.Atom{{Does: access.Hide, Name: "x"}}}}},
		"view: is not in its canonical form": {Tables: []access.ViewTable{{Name: "persons"}, {Name: "events"}}},
		"":                                   nil,
	} {
		err := view.Check(v, "view")
		got := ""
		if err != nil {
			got = problem.From(err).Fields[0].Name + ": " + problem.From(err).Fields[0].Detail
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if !view.Hashes(mustRead(t, `{"persons": {"hash": ["distinct_id"]}}`)) || view.Hashes(mustRead(t, `{"persons": {"hide": ["distinct_id"]}}`)) || view.Hashes(nil) {
		t.Error("Hashes")
	}
}
