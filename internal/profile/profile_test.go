package profile

import (
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a search compares a trait with values of its own kind, and nothing that the caller sent is in the statement.
func TestSearch(t *testing.T) {
	t.Parallel()
	columns := []string{"person_id", "traits"}
	for _, c := range []struct {
		search         Search
		kind, value    string // what is in the statement, and what is bound
		pointer, field string // or the field at fault
	}{
		{Search{Trait: "plan", Value: "pro"}, "'VARCHAR'", `"pro"`, `"/plan"`, ""},
		{Search{Trait: "plan", Value: `"5"`}, "'VARCHAR'", `"5"`, `"/plan"`, ""},
		{Search{Trait: "a.b", Op: "<", Value: "5"}, "'DOUBLE'", `"5"`, `"/a/b"`, ""},
		{Search{Trait: `"a.b"`, Value: "5 "}, "'VARCHAR'", `"5 "`, `"/a.b"`, ""},
		{Search{Trait: "x~y/z", Op: "!=", Value: "true"}, "'BOOLEAN'", `"true"`, `"/x~0y~1z"`, ""},
		{Search{Trait: "x", Value: "null"}, "'NULL'", "", `"/x"`, ""},
		{Search{Trait: "x", Value: "'; DROP"}, "'VARCHAR'", `"'; DROP"`, `"/x"`, ""},
		{Search{Trait: "x", Value: `{"a":1}`}, "'VARCHAR'", `"{\"a\":1}"`, `"/x"`, ""},
		{Search{Trait: "x", Op: "<", Value: "null"}, "", "", "", "op"},
		{Search{Trait: "x", Op: ">", Value: "false"}, "", "", "", "op"},
		{Search{Trait: "x", Op: "LIKE", Value: "%"}, "", "", "", "op"},
		{Search{Trait: "x", Value: strings.Repeat("x", 2000)}, "", "", "", "trait"},
		{Search{Trait: "a..b", Value: "1"}, "", "", "", "trait"},
		{Search{Value: "1"}, "", "", "", "trait"},
		{Search{Trait: "x"}, "", "", "", "value"},
		{Search{Trait: "x", Op: ">"}, "", "", "", "value"},
		{Search{Trait: "x", Value: `""`}, "'VARCHAR'", `""`, `"/x"`, ""},
	} {
		where, named, err := c.search.condition(columns)
		if c.field != "" {
			if p := problem.From(err); p.Code != problem.InvalidField || p.Fields[0].Name != c.field {
				t.Errorf("%+v: %v", c.search, err)
			}
			continue
		}
		if err != nil || !strings.Contains(where, c.kind) || string(named["value"]) != c.value || string(named["pointer"]) != c.pointer || strings.Contains(where, "DROP") {
			t.Errorf("%+v: %s, %s, %v", c.search, where, named, err)
		}
	}
	if _, _, err := (Search{Trait: "x"}).condition([]string{"person_id"}); problem.Of(err) != problem.InvalidField {
		t.Errorf("hidden traits: %v", err)
	}
}

// Promise: no text makes a search whose statement has any of it.
func FuzzSearch(f *testing.F) {
	for _, seed := range [][2]string{{"plan", "pro"}, {"a.b", "1e3"}, {`"x`, "'"}, {"$", "null"}, {"", ""}} {
		f.Add(seed[0], seed[1])
	}
	known := map[string]bool{}
	for _, value := range []string{"a", "1", "true", "null"} {
		where, _, _ := Search{Trait: "x", Value: value}.condition([]string{"traits"})
		known[where] = true
	}
	f.Fuzz(func(t *testing.T, trait, value string) {
		where, _, err := Search{Trait: trait, Value: value}.condition([]string{"traits"})
		if err == nil && trait != "" && !known[where] {
			t.Errorf("%q, %q: %s", trait, value, where)
		}
	})
}
