package duckdb

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// The model is what a scope means, written down a second time, in another way: over values of Go, one row at a time.

// modelRow is a row by the names of its columns: nil, string or time.Time; JSON is a string.
type modelRow map[string]any

// tree is a JSON value, with each member that an object has, as often as it has it.
type tree struct {
	kind    jsontext.Kind
	raw     string // its text
	said    string // of a string
	names   []string
	parts   []*tree
	written []string // the names as they are written
}

func parse(text string) *tree {
	d := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true))
	t := parseValue(d)
	if _, err := d.ReadToken(); err != io.EOF {
		panic(text)
	}
	return t
}

func parseValue(d *jsontext.Decoder) *tree {
	v, err := d.ReadValue()
	if err != nil {
		panic(err)
	}
	t := &tree{kind: v.Kind(), raw: string(v)}
	inner := jsontext.NewDecoder(bytes.NewReader(v.Clone()), jsontext.AllowDuplicateNames(true))
	switch t.kind {
	case '"':
		said, _ := jsontext.AppendUnquote(nil, v)
		t.said = string(said)
	case '{':
		_, _ = inner.ReadToken()
		for inner.PeekKind() != '}' {
			name := parseValue(inner)
			t.names, t.written = append(t.names, name.said), append(t.written, name.raw)
			t.parts = append(t.parts, parseValue(inner))
		}
	case '[':
		_, _ = inner.ReadToken()
		for inner.PeekKind() != ']' {
			t.parts = append(t.parts, parseValue(inner))
		}
	}
	return t
}

// find follows a path; nil when there is nothing.
func (t *tree) find(path []string) *tree {
	for _, name := range path {
		i := -1
		switch t.kind {
		case '{':
			i = slices.Index(t.names, name)
		case '[':
			if n, err := strconv.Atoi(name); err == nil && strconv.Itoa(n) == name && n < len(t.parts) {
				i = n
			}
		}
		if i < 0 {
			return nil
		}
		t = t.parts[i]
	}
	return t
}

// holds reports whether a row satisfies a condition.
func holds(row modelRow, c view.Condition) bool {
	if c.Property == "" {
		return holdsFor(row[c.Column], c)
	}
	path, err := c.Path()
	if err != nil {
		panic(err)
	}
	text, _ := row[c.Column].(string)
	t := parse(text).find(path)
	if t == nil || t.kind == 'n' {
		return c.Op == view.IsNull
	}
	if c.Op == view.IsNull || c.Op == view.IsNotNull {
		return c.Op == view.IsNotNull
	}
	switch c.Values[0].(type) {
	case string:
		return t.kind == '"' && holdsFor(t.said, c)
	case bool:
		return (t.kind == 't' || t.kind == 'f') && holdsFor(t.kind == 't', c)
	}
	if t.kind != '0' {
		return false
	}
	if !c.Exact() {
		f, _ := strconv.ParseFloat(t.raw, 64)
		return holdsFor(f, c)
	}
	n, whole := new(big.Int).SetString(t.raw, 10)
	return whole && n.Cmp(big.NewInt(math.MinInt64)) >= 0 && (n.IsInt64() || n.IsUint64()) && holdsFor(n, c)
}

// holdsFor compares a value with those of a condition, all of them of its kind.
func holdsFor(v any, c view.Condition) bool {
	if v == nil {
		return c.Op == view.IsNull
	}
	var signs []int
	for _, other := range c.Values {
		signs = append(signs, order(v, other))
	}
	switch c.Op {
	case view.Equal, view.In:
		return slices.Contains(signs, 0)
	case view.NotEqual, view.NotIn:
		return !slices.Contains(signs, 0)
	case view.Less:
		return signs[0] < 0
	case view.LessEqual:
		return signs[0] <= 0
	case view.Greater:
		return signs[0] > 0
	case view.GreaterEqual:
		return signs[0] >= 0
	case view.IsNotNull:
		return true
	}
	return false
}

func order(v, other any) int {
	switch v := v.(type) {
	case string:
		return strings.Compare(v, other.(string))
	case time.Time:
		return v.Compare(other.(time.Time))
	case bool:
		if v == other.(bool) {
			return 0
		}
		return 1
	case *big.Int:
		return v.Cmp(big.NewInt(other.(int64)))
	case float64:
		f, fraction := other.(float64)
		if !fraction {
			f = float64(other.(int64))
		}
		switch {
		case v < f:
			return -1
		case v > f:
			return 1
		}
		return 0
	}
	panic(v)
}

// shownRows is the rows of a table that a scope shows, as it shows them, under the columns that it shows.
func shownRows(s view.Scope, table view.Table, rows []modelRow) (columns []query.Column, shown []modelRow) {
	narrow, visible := s.Table(table.Name)
	if !visible {
		return nil, nil
	}
	for _, c := range table.Columns {
		if !slices.Contains(narrow.Hidden, c.Name) {
			columns = append(columns, c)
		}
	}
	for _, row := range rows {
		if slices.ContainsFunc(narrow.Where, func(c view.Condition) bool { return !holds(row, c) }) {
			continue
		}
		out := modelRow{}
		for _, c := range columns {
			out[c.Name] = shownValue(s, narrow, c, row[c.Name])
		}
		shown = append(shown, out)
	}
	return columns, shown
}

func shownValue(s view.Scope, narrow view.TableScope, c query.Column, v any) any {
	text, isText := v.(string)
	if !isText {
		return v
	}
	if c.Type != "JSON" {
		if slices.Contains(narrow.Hashed, c.Name) {
			return modelHash(s.HashKey, text)
		}
		return text
	}
	t := parse(text)
	untouched := true
	for i, names := range [][]string{narrow.Hidden, narrow.Hashed} {
		names = slices.Compact(slices.Sorted(slices.Values(names)))
		for _, name := range names {
			column, path, err := view.Masked(name)
			if err != nil {
				panic(err)
			}
			if column == c.Name && !slices.ContainsFunc(names, func(other string) bool { return strings.HasPrefix(name, other+".") }) {
				untouched = false
				t.change(path, i == 0, s.HashKey)
			}
		}
	}
	if untouched {
		return text
	}
	return t.text()
}

// change takes away or hashes what a path leads to, in every element of an array on the way.
func (t *tree) change(path []string, hide bool, key view.HashKey) {
	switch {
	case t.kind == '[':
		for _, part := range t.parts {
			part.change(path, hide, key)
		}
	case t.kind != '{':
		return
	case len(path) > 1:
		for i, name := range t.names {
			if name == path[0] {
				t.parts[i].change(path[1:], hide, key)
			}
		}
	default:
		for i := len(t.names) - 1; i >= 0; i-- {
			switch {
			case t.names[i] != path[0]:
			case hide:
				t.names, t.parts, t.written = slices.Delete(t.names, i, i+1), slices.Delete(t.parts, i, i+1), slices.Delete(t.written, i, i+1)
			case t.parts[i].kind != 'n':
				said := t.parts[i].text()
				if t.parts[i].kind == '"' {
					said = t.parts[i].said
				}
				t.parts[i] = &tree{kind: '0', raw: `"` + modelHash(key, said) + `"`} // of a kind that nothing is done to
			}
		}
	}
	t.raw = ""
}

func (t *tree) text() string {
	if t.raw != "" {
		return t.raw
	}
	var parts []string
	for i, part := range t.parts {
		if t.kind == '{' {
			parts = append(parts, t.written[i]+":"+part.text())
		} else {
			parts = append(parts, part.text())
		}
	}
	if t.kind == '{' {
		return "{" + strings.Join(parts, ",") + "}"
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func modelHash(key view.HashKey, text string) string {
	mac := hmac.New(sha256.New, key.Raw())
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))[:32]
}

// showsPerson reports whether a scope tells who a person is.
func showsPerson(s view.Scope, row modelRow) bool {
	for _, t := range s.Tables {
		if t.Table != "persons" {
			continue
		}
		for _, column := range []string{"distinct_id", "anonymous_id", "person_id", "distinct_ids"} {
			if slices.Contains(t.Hidden, column) {
				return false
			}
		}
		return !slices.ContainsFunc(t.Where, func(c view.Condition) bool { return !holds(row, c) })
	}
	return false
}

// modelPerson is whose an event is, where persons are known by their ids; empty for nobody's.
func modelPerson(s view.Scope, event modelRow, persons map[string]string) string {
	for _, t := range s.Tables {
		if t.Table != "events" {
			continue
		}
		for _, column := range []string{"distinct_id", "anonymous_id", "device_id"} {
			if id, ok := event[column].(string); ok && !slices.Contains(t.Hidden, column) {
				if person, known := persons[id]; known {
					return person
				}
				return id
			}
		}
	}
	return ""
}
