package compat_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a catalog or a schema of the lakehouse is an environment, the usual names for the only one are the key's own, unless the project has one of that name, and two
// different environments are refused and not guessed at.
func TestLakehouseSpaces(t *testing.T) {
	t.Parallel()
	there := func(name string) bool { return name == "memory" }
	for _, c := range []struct{ catalog, schema, want string }{
		{"", "", ""}, {"default", "main", ""}, {"default", "", ""}, {"CORE", "CORE", ""},
		{"production", "", "production"}, {"production", "main", "production"}, {"production", "production", "production"}, {"default", "staging", "staging"},
		{"Main", "", "Main"}, {"main", "", ""}, {"memory", "", "memory"}, {"", "memory", "memory"},
	} {
		if got, err := compat.LakehouseSpace("query.", c.catalog, c.schema, there); err != nil || got != c.want {
			t.Errorf("%s and %s are %q, %v", c.catalog, c.schema, got, err)
		}
	}
	_, err := compat.LakehouseSpace("query.", "production", "staging", there)
	if p := problem.From(err); p.Code != problem.InvalidField || p.Fields[0].Name != "query.schema" {
		t.Errorf("two environments: %v", err)
	}
}

// Promise: what is wrong with what a client of the lakehouse sent is 400 and has a name that it knows; all else is as everywhere.
func TestLakehouseProblems(t *testing.T) {
	t.Parallel()
	for code, want := range map[problem.Code]struct {
		status int
		name   string
	}{
		problem.InvalidField: {400, "invalid-data"}, problem.InvalidJSON: {400, "invalid-data"}, problem.ResultTooLarge: {400, "result-too-large"},
		problem.SQLNotAllowed: {http.StatusForbidden, "sql-not-allowed"}, problem.NotFound: {http.StatusNotFound, "not-found"},
	} {
		if got := compat.LakehouseStatus(code); got != want.status || compat.LakehouseCode(code) != want.name {
			t.Errorf("%s is %d %s", code, got, compat.LakehouseCode(code))
		}
	}
	p := problem.From(compat.LakehouseProblem(problem.Invalid("sql", "is required")))
	if p.Detail != "statement: is required" || p.Fields[0].Name != "statement" {
		t.Errorf("a missing statement is told as %q at %q", p.Detail, p.Fields[0].Name)
	}
	if compat.LakehouseProblem(nil) != nil {
		t.Error("nothing wrong is a problem")
	}
}

// Promise: a query without a name gets a UUID of its own; and what one key calls by a name is not what another does.
func TestLakehouseNames(t *testing.T) {
	t.Parallel()
	if id := compat.LakehouseQueryID("req_1"); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) || id == compat.LakehouseQueryID("req_2") {
		t.Errorf("a query is called %s", id)
	}
	one := compat.LakehouseRunID("key_1", "a")
	if one != compat.LakehouseRunID("key_1", "a") || one == compat.LakehouseRunID("key_2", "a") || one == compat.LakehouseRunID("key_1", "b") {
		t.Error("the names of runs are not what tells them apart")
	}
}
