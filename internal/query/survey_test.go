package query_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// Promise: a survey asks only about columns that are there, in the scope of the permit, and adds the types of a
// property up.
func TestSurveysKeepToTheScope(t *testing.T) {
	t.Parallel()
	at := permit(t, access.Target{Environment: "production"})
	e := &engine{rows: []string{
		`["property","page","VARCHAR",3]`, `["name","a","",2]`, `["property","page","NULL",1]`, `["name","b","",5]`, `["property","n","UBIGINT",4]`,
		`["property","n","DOUBLE",4]`,
	}}
	got, err := service(t, e).Survey(t.Context(), at)
	want := query.Survey{
		Names:      []query.SeenName{{Name: "b", Count: 5}, {Name: "a", Count: 2}},
		Properties: []query.SeenProperty{{Name: "n", Types: []string{"number"}, Count: 8}, {Name: "page", Types: []string{"string", "null"}, Count: 4}},
	}
	if err != nil || !reflect.DeepEqual(got, want) || !strings.Contains(e.ran.SQL, "LIMIT 10000") || strings.Count(e.ran.SQL, ") <= 200 GROUP BY") != 2 || e.ran.Ceilings.Rows != 600 || e.closed.Load() != 1 {
		t.Errorf("%v\n%+v\n%+v", err, got, e.ran)
	}
	for _, c := range []struct {
		hidden   []string
		has, not string
	}{
		{nil, "event", "nothing"},
		{[]string{"event"}, "json_each", "event AS name"},
		{[]string{"properties"}, "event AS name", "json_each"},
		{[]string{"received_at"}, "event AS name", "received_at"},
	} {
		e, scope := numbers(0), onlyFrance(c.hidden...)
		if _, err := sighted(t, e, scope, nil).Survey(t.Context(), at); err != nil || e.ran.Scope.Key() != scope.Key() ||
			!strings.Contains(e.ran.SQL, c.has) || strings.Contains(e.ran.SQL, c.not) || e.ran.Asker != at.Key().ID {
			t.Errorf("without %v: %v\n%s", c.hidden, err, e.ran.SQL)
		}
	}
	for _, scope := range []view.Scope{onlyFrance("event", "properties"), {Tables: []view.TableScope{}}} {
		e := numbers(0)
		if got, err := sighted(t, e, scope, nil).Survey(t.Context(), at); err != nil || e.ran.SQL != "" || len(got.Names)+len(got.Properties) > 0 {
			t.Errorf("of too little: %v, ran %q", err, e.ran.SQL)
		}
	}
	for _, row := range []string{`[]`, `["name","a","",2,3]`, `["name","a","","x"]`, `["name",1,"",1]`, `{}`} {
		if _, err := service(t, &engine{rows: []string{row}}).Survey(t.Context(), at); err == nil {
			t.Errorf("%s was read", row)
		}
	}
}

// Promise: every column that there is has a line about it.
func TestEveryColumnIsDescribed(t *testing.T) {
	t.Parallel()
	tables, err := service(t, numbers(0)).Tables(t.Context(), permit(t))
	if err != nil || len(tables) != len(view.Tables()) {
		t.Fatalf("%v, %v", tables, err)
	}
	for _, table := range tables {
		if table.Description == "" || len(table.Columns) == 0 {
			t.Errorf("%s is not described", table.Name)
		}
		for _, c := range table.Columns {
			if c.Description == "" || c.Type == "" {
				t.Errorf("%s.%s is not described", table.Name, c.Name)
			}
		}
	}
}
