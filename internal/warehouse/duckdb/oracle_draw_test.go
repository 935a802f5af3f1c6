package duckdb

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/view"
)

// words are values of text columns, few enough to meet again.
var oracleWords = map[string][]string{
	"event_id": {"e"}, "event": {"a", "b", "c", "É"}, "distinct_id": {"u1", "u2", "u3", "U1", "12"}, "anonymous_id": {"", "u1", "anon"}, "device_id": {"", "d1"},
	"session_id": {"", "s1", "s'2"}, "key_id": {"key_1", "key_2"}, "source": {"track", "events"},
}

// members are the properties there are, each with what it may be.
var oracleMembers = map[string][]string{
	"country": {`"FR"`, `"DE"`, `"fr"`, `""`, `null`, `5`, `true`, `["FR"]`, `"F\u0052"`},
	"n":       {`1`, `2`, `12`, `-3`, `1.5`, `1e3`, `"7"`, `"abc"`, `9007199254740993`, `9007199254740992`, `12345678901234567890`, `null`, `true`, `300`},
	"flag":    {`true`, `false`, `"true"`, `1`},
	"a":       {`{"b":"x"}`, `{"b":7,"c":{"d":1}}`, `[{"b":"x"},{"b":2}]`, `5`, `{ "b" : null }`, `[]`, `{"b":{"c":1},"b":"x"}`},
	"secret":  {`"s"`, `1`},
	"w":       {`"12"`, `12`, `" 3"`},
	"k.1":     {`"dot"`, `1`},
	`q"q`:     {`"quote"`},
	"sl/a~sh": {`"FR"`, `2`},
}

// cleanMembers are properties that no cast of the grammar fails for: where only these are seen, only what is hidden can
// make a statement fail.
var cleanMembers = map[string][]string{"n": {`1`, `2`, `12`}, "w": {`"12"`, `7`}, "flag": {`true`, `false`}, "country": {`"FR"`, `"DE"`, `"fr"`}}

var oraclePaths = []string{"country", "n", "flag", "a", "a.b", "a.c.d", "a.0.b", "secret", "w", `"k.1"`, `"q\"q"`, "sl/a~sh", "none"}

// drawRow draws a row with the columns of every table but for its times.
func (o *oracle) drawRow() modelRow {
	row := modelRow{}
	for _, column := range slices.Sorted(maps.Keys(oracleWords)) {
		row[column] = rapid.SampledFrom(oracleWords[column]).Draw(o.t, column)
	}
	row["properties"] = o.drawJSON(true)
	row["traits"] = o.drawJSON(false) // of one told twice, a person keeps the last
	return row
}

func (o *oracle) drawJSON(twice bool) string {
	var members []string
	for _, name := range slices.Sorted(maps.Keys(oracleMembers)) {
		if !rapid.Bool().Draw(o.t, "has "+name) {
			continue
		}
		written, _ := jsontext.AppendQuote(nil, name)
		if name == "country" && rapid.IntRange(0, 9).Draw(o.t, "escaped") == 9 {
			written = []byte(`"\u0063ountry"`)
		}
		space := rapid.SampledFrom([]string{"", "", " "}).Draw(o.t, "space")
		values := oracleMembers[name]
		if clean := cleanMembers[name]; o.clean && clean != nil {
			values = clean
		}
		members = append(members, string(written)+space+":"+space+rapid.SampledFrom(values).Draw(o.t, name))
		if name == "a" && twice && rapid.IntRange(0, 9).Draw(o.t, "twice") == 9 {
			members = append(members, `"a":{"b":"second"}`)
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// spoil puts canaries where a row may not be seen: in what is masked, and, in a row that is hidden, in what no condition
// looks at. The columns that are kept stay as they are.
func (o *oracle) spoil(table string, row modelRow, kept ...string) {
	narrow, visible := o.scope.Table(table)
	schema := view.Schema(view.Scope{})
	of := schema[slices.IndexFunc(schema, func(t view.Table) bool { return t.Name == table })]
	maskedColumns, maskedMembers := map[string]bool{}, map[string]bool{}
	for _, name := range append(slices.Clone(narrow.Hidden), narrow.Hashed...) {
		column, path, _ := view.Masked(name)
		if path == nil {
			maskedColumns[column] = true
		} else if len(path) == 1 {
			maskedMembers[column+"."+path[0]] = true
		}
	}
	for _, c := range of.Columns {
		if text, ok := row[c.Name].(string); ok && text != "" && maskedColumns[c.Name] && c.Type == "VARCHAR" && !slices.Contains(kept, c.Name) {
			row[c.Name] = text + oracleCanary
		} else if ok && c.Type == "JSON" {
			row[c.Name] = spoilMembers(text, func(name string) bool { return maskedMembers[c.Name+"."+name] || maskedColumns[c.Name] })
		}
	}
	asked := map[string]bool{"distinct_id": true} // joins are to meet hidden rows
	for _, column := range kept {
		asked[column] = true
	}
	for _, c := range narrow.Where {
		asked[c.Column] = true
		if path, err := c.Path(); c.Property != "" && err == nil {
			asked["."+path[0]] = true
		}
	}
	if visible && !slices.ContainsFunc(narrow.Where, func(c view.Condition) bool { return !holds(rowOrNull(row), c) }) {
		return
	}
	for _, c := range of.Columns {
		text, ok := row[c.Name].(string)
		switch {
		case !ok || text == "":
		case c.Type == "JSON":
			row[c.Name] = spoilMembers(text, func(name string) bool { return !asked["."+name] })
		case !asked[c.Name]:
			row[c.Name] = text + oracleCanary
		}
	}
}

// rowOrNull is a row as it is stored: an empty text is null.
func rowOrNull(row modelRow) modelRow {
	out := modelRow{}
	for name, v := range row {
		if v != "" {
			out[name] = v
		}
	}
	return out
}

// spoilMembers replaces members of an object.
func spoilMembers(text string, which func(string) bool) string {
	t := parse(text)
	for i, name := range t.names {
		if which(name) {
			t.parts[i] = &tree{kind: '"', raw: `"` + name[:1] + oracleCanary + `"`}
		}
	}
	t.raw = ""
	return t.text()
}

func drawScope(t *rapid.T) view.Scope {
	s := view.Scope{Tables: []view.TableScope{}, HashKey: view.NewHashKey([]byte("the oracle's"))}
	for _, table := range view.Schema(view.Scope{}) {
		if rapid.IntRange(0, 9).Draw(t, "table") < 2 && (len(s.Tables) > 0 || table.Name == "events") {
			continue
		}
		narrow := view.TableScope{Table: table.Name}
		for range rapid.IntRange(0, 3).Draw(t, "conditions") {
			c := drawCondition(t, table)
			exact := func(other view.Condition) bool {
				return other.Column == c.Column && other.Property == c.Property && (other.Op == view.Equal || other.Op == view.In)
			}
			if exact(c) && slices.ContainsFunc(narrow.Where, exact) {
				continue // the engine knows a table to be empty where two exclude each other, and does not ask the rest
			}
			narrow.Where = append(narrow.Where, c)
		}
		for range max(0, rapid.IntRange(0, 4).Draw(t, "hidden")-1) {
			narrow.Hidden = append(narrow.Hidden, drawMasked(t, table, false))
		}
		for range max(0, rapid.IntRange(0, 3).Draw(t, "hashed")-1) {
			narrow.Hashed = append(narrow.Hashed, drawMasked(t, table, true))
		}
		s.Tables = append(s.Tables, narrow)
	}
	return s
}

func drawMasked(t *rapid.T, table view.Table, hash bool) string {
	for {
		c := rapid.SampledFrom(table.Columns).Draw(t, "masked")
		switch {
		case c.Type == "JSON":
			path := rapid.SampledFrom(oraclePaths).Draw(t, "masked property")
			if !strings.Contains(path, "0") {
				return c.Name + "." + path
			}
		case !hash || c.Type == "VARCHAR":
			return c.Name
		}
	}
}

func drawCondition(t *rapid.T, table view.Table) view.Condition {
	c := view.Condition{}
	column := rapid.SampledFrom(slices.DeleteFunc(slices.Clone(table.Columns), func(c view.Column) bool {
		return c.Name == view.PersonID || c.Name == view.DistinctIDs // a condition cannot be on what is made of others
	})).Draw(t, "condition's column")
	c.Column = column.Name
	draw := func() any { return rapid.SampledFrom(oracleWords[c.Column]).Draw(t, "word") }
	ops := []view.Op{view.Equal, view.NotEqual, view.In, view.NotIn, view.Less, view.LessEqual, view.Greater, view.GreaterEqual, view.IsNull, view.IsNotNull}
	switch column.Type {
	case "TIMESTAMP":
		draw = func() any { return time.Date(2026, 1, 1, 0, 0, rapid.IntRange(0, 20).Draw(t, "second"), 0, time.UTC) }
	case "JSON":
		c.Property = rapid.SampledFrom(oraclePaths).Draw(t, "condition's property")
		switch rapid.IntRange(0, 3).Draw(t, "kind of values") {
		case 0, 1:
			draw = func() any {
				return rapid.SampledFrom([]string{"FR", "DE", "", "7", "true", "x", "dot", "quote"}).Draw(t, "text")
			}
		case 2:
			numbers := []any{int64(1), int64(2), int64(12), 1.5, int64(1000), int64(-3), int64(300)}
			if rapid.IntRange(0, 3).Draw(t, "exact") == 0 {
				numbers = []any{int64(9007199254740993), int64(9007199254740992), int64(1), int64(1 << 60)}
			}
			draw = func() any { return rapid.SampledFrom(numbers).Draw(t, "number") }
		default:
			draw = func() any { return rapid.Bool().Draw(t, "truth") }
			ops = []view.Op{view.Equal, view.NotEqual, view.In, view.NotIn, view.IsNull, view.IsNotNull}
		}
	}
	switch c.Op = rapid.SampledFrom(ops).Draw(t, "op"); c.Op {
	case view.IsNull, view.IsNotNull:
	case view.In, view.NotIn:
		for range rapid.IntRange(1, 3).Draw(t, "values") {
			c.Values = append(c.Values, draw())
		}
		if _, isText := c.Values[0].(string); isText && rapid.Bool().Draw(t, "many values") { // the engine makes a join of many
			for i := range 40 {
				c.Values = append(c.Values, fmt.Sprint("none ", i))
			}
		}
	default:
		c.Values = []any{draw()}
	}
	return c
}
