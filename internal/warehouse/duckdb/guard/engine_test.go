package guard

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// engineFunctions are the names of all functions of the linked engine, in lower case.
func engineFunctions(t *testing.T, g *Guard) []string {
	t.Helper()
	rows, err := g.db.Query("SELECT DISTINCT function_name FROM duckdb_functions()")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, fold(name))
	}
	if err := rows.Err(); err != nil || len(names) < 500 {
		t.Fatalf("read %d names: %v", len(names), err)
	}
	return names
}

func open(t testing.TB) *Guard {
	t.Helper()
	g, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// Promise: an allowed or refused function is one that the engine has, so that the table holds no misspelling.
func TestListedFunctionsExist(t *testing.T) {
	t.Parallel()
	g := open(t)
	have := engineFunctions(t, g)
	exists := func(name string) bool {
		start, pattern := strings.CutSuffix(name, "_*")
		return slices.ContainsFunc(have, func(h string) bool { return h == name || pattern && strings.HasPrefix(h, start+"_") })
	}
	for _, listed := range []map[string]bool{g.functions.allowed, g.functions.from, g.functions.main} {
		for name := range listed {
			if !exists(name) {
				t.Errorf("the engine has no function %s", name)
			}
		}
	}
	for name := range g.functions.refused {
		if !exists(name) {
			t.Errorf("the engine has no function %s", name)
		}
	}
}

// Promise: each function of the engine has been decided on: an upgrade that brings a new one fails here.
func TestEveryFunctionIsDecidedOn(t *testing.T) {
	t.Parallel()
	g := open(t)
	for _, name := range engineFunctions(t, g) {
		_, refused := g.functions.reason(name)
		if !refused && !g.functions.allowed[name] && !g.functions.from[name] {
			t.Errorf("%s is neither allowed nor refused", name)
		}
	}
}

// Promise: a mistake in the table of functions is found when it is read.
func TestTableOfFunctionsIsChecked(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{
		"twice":               "[allow: a]\nlower\nlower",
		"allowed and refused": "[refuse: a]\nlower\n[allow: b]\nlower",
		"refused and allowed": "[allow: b]\nlower\n[refuse: a]\nLOWER",
		"main, not allowed":   "[main: a]\nlower",
		"no group":            "lower",
		"unknown group":       "[permit: a]\nlower",
	} {
		if _, err := readFunctions(table); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Promise: the instance that parses reads no file, loads nothing, keeps nothing and cannot be unlocked.
func TestParsingInstanceIsLocked(t *testing.T) {
	t.Parallel()
	g := open(t)
	for _, statement := range []string{
		"SELECT * FROM read_text('guard.go')",
		"SELECT * FROM 'functions.txt'",
		"COPY (SELECT 1) TO 'x.csv'",
		"ATTACH 'x.duckdb'",
		"INSTALL httpfs",
		"LOAD httpfs",
		"SET enable_external_access = true",
		"SET lock_configuration = false",
		"SET threads = 2",
		"SET GLOBAL memory_limit = '1TB'",
		"RESET memory_limit",
	} {
		if _, err := g.db.ExecContext(context.Background(), statement); err == nil {
			t.Errorf("%s: no error", statement)
		}
	}
}
