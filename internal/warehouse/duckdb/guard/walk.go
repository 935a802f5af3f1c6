package guard

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// walk is one pass over the tree of a statement. Every member of every object in it is known to the grammar, or the
// statement is refused.
type walk struct {
	*Guard
	text   string
	near   int               // the byte of the text that the last node with a place stands at
	narrow bool              // the statement sees only a part of the rows
	there  []string          // the tables that it sees
	others func(string) bool // reports whether a name may be that of a table besides
	tables map[string]int    // the tables read, and where each is first named
	reads  map[string]int    // how often
}

// sight is the WITH names that can be seen from a place in the statement, the nearest first.
type sight struct {
	name string
	up   *sight
}

func (s *sight) has(name string) bool {
	for ; s != nil; s = s.up {
		if s.name == name {
			return true
		}
	}
	return false
}

// walk checks the parser's answer for a text and gathers its facts.
func (g *Guard) walk(text string, root *value, scope view.Scope) (Analysis, error) {
	return g.walkOver(text, root, scope, func(string) bool { return false })
}

// walkOver is walk for a statement that may name other tables than a scope has.
func (g *Guard) walkOver(text string, root *value, scope view.Scope, others func(string) bool) (Analysis, error) {
	w := &walk{
		Guard: g, text: text, near: nowhere, narrow: !scope.Whole(), there: scope.Visible(), others: others, tables: map[string]int{}, reads: map[string]int{},
	}
	statements := root.get("statements").items
	switch len(statements) {
	case 0:
		return Analysis{}, at(problem.InvalidSQL, text, nowhere, "There is no statement in the text.")
	case 1:
	default:
		return Analysis{}, at(problem.SQLNotAllowed, text, nowhere, fmt.Sprintf("%s The text holds %d.", singleSelect, len(statements)))
	}
	if err := g.grammar.root(w, root, nil); err != nil {
		return Analysis{}, err
	}
	properties, stars := properties(text, &statements[0])
	return Analysis{
		Facts: query.Facts{Tables: w.tablesRead(), Parameters: parameters(&statements[0])}, Reads: w.reads, Bounds: w.bounds(&statements[0]),
		Properties: properties, PersonID: w.reads["events"] > 0 && namesPerson(&statements[0]), guard: g, text: text, root: root, stars: stars,
	}, nil
}

// tablesRead are the tables in the order in which the text names them.
func (w *walk) tablesRead() []string {
	return slices.SortedFunc(maps.Keys(w.tables), func(a, b string) int { return cmp.Compare(w.tables[a], w.tables[b]) })
}

// parameters are the names of a statement's parameters, in the order of the numbers that the parser gave them.
func parameters(statement *value) []string {
	entries := slices.SortedFunc(slices.Values(statement.get("named_param_map").items), func(a, b value) int {
		return cmp.Compare(number(a.get("value")), number(b.get("value")))
	})
	var names []string
	for i := range entries {
		names = append(names, entries[i].get("key").text)
	}
	return names
}

// number is a number of the tree; nowhere for one that is not there or does not fit, which is how the parser writes
// the place of a node that has none.
func number(v *value) int {
	n, err := strconv.Atoi(v.text)
	if err != nil {
		return nowhere
	}
	return n
}

// refuse says at the nearest place that something is not allowed.
func (w *walk) refuse(format string, args ...any) error {
	return at(problem.SQLNotAllowed, w.text, w.near, fmt.Sprintf(format, args...))
}

// pass moves the nearest place to a node, when the node has one.
func (w *walk) pass(v *value) {
	if offset := number(v.get("query_location")); offset >= 0 {
		w.near = offset
	}
}

// fold brings a name to the form in which the engine compares names: letters of ASCII in lower case, others as they are.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, name)
}

// baseTable checks a table named in FROM: a WITH name in sight, or one of the tables there are.
func baseTable(w *walk, v *value, s *sight) (*sight, error) {
	name, schema, catalog := v.get("table_name").text, v.get("schema_name").text, v.get("catalog_name").text
	if schema != "" || catalog != "" {
		return s, w.refuse("Tables are named without a schema: write %s and not %s.", quote(name),
			quote(strings.TrimPrefix(catalog+"."+schema+"."+name, ".")))
	}
	folded := fold(name)
	if s.has(folded) {
		return s, nil
	}
	if !slices.Contains(w.there, folded) && !w.others(folded) {
		return s, w.refuse("There is no table %s. %s", quote(name), w.tablesThere())
	}
	w.reads[folded]++
	if first, seen := w.tables[folded]; !seen || w.near < first {
		w.tables[folded] = w.near
	}
	return s, nil
}

// tablesThere says which tables there are.
func (w *walk) tablesThere() string {
	switch len(w.there) {
	case 0:
		return "No table may be seen."
	case 1:
		return "The table is " + w.there[0] + "."
	}
	last := len(w.there) - 1
	return "The tables are " + strings.Join(w.there[:last], ", ") + " and " + w.there[last] + ", and datasets by their names."
}

// withNames checks the WITH clause of a node and puts its names in sight, one after the other: each query sees the names
// before its own. A name must not hide a table or a name in sight, so that which of them a query means is never in
// doubt; and its characters are such that the engine can never take it for the name of a file.
func withNames(w *walk, v *value, s *sight) (*sight, error) {
	clause := v.get("cte_map")
	if err := w.members(clause, shape{"map": list(something)}, s); err != nil {
		return s, err
	}
	for i := range clause.get("map").items {
		entry := &clause.get("map").items[i]
		w.near = nowhere
		name := entry.get("key").text
		folded := fold(name)
		switch {
		case slices.Contains(view.Tables(), folded):
			return s, w.refuse("WITH %s hides the table of that name: choose another name.", quote(name))
		case s.has(folded):
			return s, w.refuse("WITH %s hides another WITH of that name: choose another name.", quote(name))
		case strings.ContainsFunc(folded, notInName):
			return s, w.refuse("WITH %s: such a name may hold letters, digits, spaces, - and _ only.", quote(name))
		}
		if err := w.members(entry, w.grammar.with, s); err != nil {
			return s, err
		}
		s = &sight{name: folded, up: s}
	}
	return s, nil
}

func notInName(r rune) bool {
	return r < 0x80 && !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789 -_", r)
}

// call checks a function called in an expression or a window: it is allowed by name, and named without a schema.
func call(w *walk, v *value, s *sight) (*sight, error) {
	name := fold(v.get("function_name").text)
	if !w.functions.allowed[name] {
		return s, w.refuseFunction("function", name)
	}
	return s, w.unqualified(v, name, w.functions.main[name])
}

// callInFrom checks a function called in FROM.
func callInFrom(w *walk, v *value, s *sight) (*sight, error) {
	name := fold(v.get("function_name").text)
	if !w.functions.from[name] {
		return s, w.refuseFunction("table function", name)
	}
	return s, w.unqualified(v, name, false)
}

// unqualified refuses a function with a schema or a catalog. The parser itself writes some with the schema main.
func (w *walk) unqualified(v *value, name string, mayBeMain bool) error {
	schema, catalog := v.get("schema").text, v.get("catalog").text
	if catalog == "" && (schema == "" || schema == "main" && mayBeMain) {
		return nil
	}
	return w.refuse("Functions are called without a schema and not behind a column: write %s(…).", clip(name, 64))
}

func (w *walk) refuseFunction(what, name string) error {
	if why, ok := w.functions.reason(name); ok {
		return w.refuse("The %s %s is not allowed: %s.", what, quote(name), why)
	}
	if what == "function" {
		return w.refuse("There is no function %s among those that may be used.", quote(name))
	}
	return w.refuse("The table function %s is not allowed. Those allowed are %s.", quote(name),
		strings.Join(slices.Sorted(maps.Keys(w.functions.from)), ", "))
}

// column checks a column's name: a few names that are no column are functions of the engine, written without brackets.
// The name user is one of them and is left: it is often the name of a column, and otherwise a fixed word.
func column(w *walk, v *value, s *sight) (*sight, error) {
	names := v.get("column_names").items
	if len(names) != 1 {
		return s, nil
	}
	switch name := fold(names[0].text); name {
	case "current_catalog", "current_schema", "current_role", "current_user", "session_user":
		return s, w.refuse("%s is not allowed: it tells of the engine and not of the data.", quote(name))
	}
	return s, nil
}

// unboundType checks a type that the parser leaves to be looked up: JSON is the only one.
func unboundType(w *walk, v *value, s *sight) (*sight, error) {
	name := v.get("name").text
	if fold(name) != "json" || v.get("catalog").text != "" || v.get("schema").text != "" {
		return s, w.refuse("The type %s is not allowed.", quote(name))
	}
	return s, nil
}
