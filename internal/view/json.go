package view

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The JSON of a scope:
//
//	{"events": {"where": [{"column": "properties.country", "op": "=", "values": ["FR"]}],
//	            "hide": ["properties.email"], "hash": ["distinct_id"]},
//	 "persons": {}}
//
// A condition with one value may have it as "value", without the list.
//
// null is the whole space. The key of the hashes is not in it.

// ReadScope reads a scope that somebody wrote, with all that is wrong with it, by paths that begin with at. It takes
// neither null, which is not to be had by leaving something out, nor a scope without a table.
func ReadScope(v jsontext.Value, at string) (Scope, error) {
	f := &faults{at: at}
	if at != "" {
		f.at += "."
	}
	if len(v) > MaxScopeBytes {
		return Scope{}, problemAt(at, "must be at most %d bytes long", MaxScopeBytes)
	}
	s, ok := readScope(f, v)
	switch {
	case !ok:
		return Scope{}, problemAt(at, `must be an object with a member for each table that may be seen, such as {"events": {}}`)
	case len(f.fields) == 0 && len(s.Tables) == 0:
		return Scope{}, problemAt(at, "lets nothing be seen: name at least one table")
	}
	s.check(f, 1)
	if err := f.problem(); err != nil {
		return Scope{}, err
	}
	return s, nil
}

func problemAt(at, format string, args ...any) error {
	f := &faults{}
	f.add(cmp.Or(at, "scope"), format, args...)
	return f.problem()
}

func readScope(f *faults, v jsontext.Value) (Scope, bool) {
	s := Scope{Tables: []TableScope{}}
	ok := eachMember(v, func(name string, v jsontext.Value) {
		t := TableScope{Table: tableName(name)}
		table, _ := TableNamed(name) // an unknown one is found by check
		if !eachMember(v, func(member string, v jsontext.Value) {
			at := shown(name) + "." + shown(member)
			switch member {
			case "where":
				t.Where = readConditions(f, at, v, table)
			case "hide":
				t.Hidden = readNames(f, at, v)
			case "hash":
				t.Hashed = readNames(f, at, v)
			default:
				f.add(at, `is not known: a table has "where", "hide" and "hash"`)
			}
		}) {
			f.add(shown(name), "must be an object")
		}
		s.Tables = append(s.Tables, t)
	})
	return s, ok
}

// eachMember goes through an object; false when v is none.
func eachMember(v jsontext.Value, each func(name string, v jsontext.Value)) bool {
	if v.Kind() != '{' || !v.IsValid() {
		return false
	}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	_, _ = d.ReadToken() // it is valid
	for d.PeekKind() != '}' {
		name, _ := d.ReadToken()
		text := name.String()
		value, _ := d.ReadValue()
		each(text, value.Clone())
	}
	return true
}

// eachItem goes through an array; false when v is none.
func eachItem(v jsontext.Value, each func(i int, v jsontext.Value)) bool {
	if v.Kind() != '[' {
		return false
	}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	_, _ = d.ReadToken()
	for i := 0; d.PeekKind() != ']'; i++ {
		value, _ := d.ReadValue()
		each(i, value.Clone())
	}
	return true
}

func readNames(f *faults, at string, v jsontext.Value) (names []string) {
	if !eachItem(v, func(i int, v jsontext.Value) {
		name, ok := textOf(v)
		if !ok {
			f.add(fmt.Sprintf("%s[%d]", at, i), "must be text")
		}
		names = append(names, name)
	}) {
		f.add(at, "must be an array of names")
	}
	return names
}

func textOf(v jsontext.Value) (string, bool) {
	if v.Kind() != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, v)
	return string(text), err == nil
}

func readConditions(f *faults, at string, v jsontext.Value, table Table) (all []Condition) {
	if !eachItem(v, func(i int, v jsontext.Value) {
		all = append(all, readCondition(f, fmt.Sprintf("%s[%d]", at, i), v, table))
	}) {
		f.add(at, "must be an array of conditions")
	}
	return all
}

func readCondition(f *faults, at string, v jsontext.Value, table Table) (c Condition) {
	var values, value jsontext.Value
	if !eachMember(v, func(member string, v jsontext.Value) {
		switch member {
		case "column":
			name, ok := textOf(v)
			if !ok {
				f.add(at+".column", "must be text")
			}
			c.Column, c.Property, _ = strings.Cut(name, ".")
		case "op":
			op, ok := textOf(v)
			if !ok {
				f.add(at+".op", "must be text")
			}
			c.Op = Op(op)
		case "value":
			value = v
		case "values":
			values = v
		default:
			f.add(at+"."+shown(member), `is not known: a condition has "column", "op", and "value" or "values"`)
		}
	}) {
		f.add(at, "must be an object")
	}
	switch {
	case value != nil && values != nil:
		f.add(at+".value", "goes without values")
	case value != nil:
		f.one(at)
		values = slices.Concat(jsontext.Value("["), value, jsontext.Value("]"))
	}
	times := table.typeOf(c.Column) == timeType
	if values != nil && !eachItem(values, func(i int, v jsontext.Value) {
		value, err := readValue(v, times)
		if err != "" {
			f.add(fmt.Sprintf("%s.values[%d]", at, i), "%s", err)
		}
		c.Values = append(c.Values, value)
	}) {
		f.add(at+".values", "must be an array")
	}
	return c
}

// one notes that the condition at a path has a value and no list.
func (f *faults) one(at string) {
	if f.single == nil {
		f.single = map[string]bool{}
	}
	f.single[at] = true
}

// readValue reads a value of a condition: text is a time for a column of times.
func readValue(v jsontext.Value, times bool) (value any, fault string) {
	text, isText := textOf(v)
	if name, is, fault := readVariable(text); is || fault != "" {
		return name, fault
	}
	switch kind := v.Kind(); {
	case kind == 't' || kind == 'f':
		return kind == 't', ""
	case isText && times:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return time.Time{}.UTC(), "must be a time, as RFC 3339 has it: 2026-01-31T12:00:00Z"
		}
		return t.UTC(), ""
	case isText:
		return text, ""
	case kind == '0':
		return readNumber(string(v))
	}
	return nil, "must be text, a number, true or false"
}

// readNumber reads a whole number as an int64, and one with a point or an exponent as a float64.
func readNumber(text string) (value any, fault string) {
	if !strings.ContainsAny(text, ".eE") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return n, "is too large for a number: is it text?"
		}
		return n, ""
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return n, "is too large for a number"
	}
	return n, ""
}

// MarshalJSONTo writes the scope in its canonical form: equal scopes, whatever the order they were written in, are
// written alike.
func (s Scope) MarshalJSONTo(to *jsontext.Encoder) error {
	if s.Whole() {
		return to.WriteToken(jsontext.Null)
	}
	return to.WriteValue(s.appendJSON(nil))
}

// UnmarshalJSONFrom reads what MarshalJSONTo wrote. What somebody else wrote is for ReadScope.
func (s *Scope) UnmarshalJSONFrom(from *jsontext.Decoder) error {
	v, err := from.ReadValue()
	if err != nil || v.Kind() == 'n' {
		*s = Scope{}
		return err
	}
	f := &faults{}
	read, ok := readScope(f, v)
	if !ok {
		return problemAt("scope", "must be an object")
	}
	*s = read
	return f.problem()
}

func (s Scope) appendJSON(dst []byte) []byte {
	tables := slices.SortedFunc(slices.Values(s.Tables), func(a, b TableScope) int { return strings.Compare(a.Table, b.Table) })
	dst = append(dst, '{')
	for i, t := range tables {
		if i > 0 {
			dst = append(dst, ',')
		}
		t = t.canonical()
		dst = append(appendQuoted(dst, t.Table), `:{"where":[`...)
		for j, c := range t.Where {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = c.appendJSON(dst)
		}
		dst = appendNames(append(dst, `],"hide":`...), t.Hidden)
		dst = append(appendNames(append(dst, `,"hash":`...), t.Hashed), '}')
	}
	return append(dst, '}')
}

func appendNames(dst []byte, names []string) []byte {
	dst = append(dst, '[')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, name)
	}
	return append(dst, ']')
}

func appendQuoted(dst []byte, text string) []byte {
	dst, _ = jsontext.AppendQuote(dst, text) // what is not UTF-8 becomes U+FFFD
	return dst
}

// name is the column of a condition as it is written, with its property.
func (c Condition) name() string {
	if c.Property == "" {
		return c.Column
	}
	path, err := c.Path()
	if err != nil {
		return c.Column + "." + c.Property
	}
	return c.Column + "." + formatPath(path)
}

func (c Condition) appendJSON(dst []byte) []byte {
	dst = appendQuoted(append(dst, `{"column":`...), c.name())
	dst = appendQuoted(append(dst, `,"op":`...), string(c.Op))
	if len(c.Values) == 0 {
		return append(dst, '}')
	}
	written := make([]string, len(c.Values))
	for i, v := range c.Values {
		written[i] = string(appendValue(nil, v))
	}
	slices.Sort(written)
	written = slices.Compact(written)
	return append(append(append(dst, `,"values":[`...), strings.Join(written, ",")...), `]}`...)
}

func appendValue(dst []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return appendQuoted(dst, v)
	case Variable:
		return appendQuoted(dst, v.text())
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		start := len(dst)
		dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
		if !bytes.ContainsAny(dst[start:], ".e") {
			dst = append(dst, ".0"...)
		}
		return dst
	case time.Time:
		return append(v.UTC().AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
	}
	return append(dst, "null"...)
}

// canonical is the table's scope with each thing said once, in a fixed order, and hashes only of what is not hidden.
func (t TableScope) canonical() TableScope {
	hidden, hashed := canonicalNames(t.Hidden), canonicalNames(t.Hashed)
	hidden = slices.DeleteFunc(hidden, func(name string) bool { return below(name, hidden) })
	hashed = slices.DeleteFunc(hashed, func(name string) bool {
		return slices.Contains(hidden, name) || below(name, hidden) || below(name, hashed)
	})
	where := slices.Clone(t.Where)
	slices.SortFunc(where, func(a, b Condition) int { return bytes.Compare(a.appendJSON(nil), b.appendJSON(nil)) })
	where = slices.CompactFunc(where, func(a, b Condition) bool { return bytes.Equal(a.appendJSON(nil), b.appendJSON(nil)) })
	return TableScope{Table: t.Table, Where: where, Hidden: hidden, Hashed: hashed}
}

// canonicalNames are names of columns and properties, written in the one way, sorted and each once.
func canonicalNames(names []string) []string {
	all := []string{}
	for _, name := range names {
		if column, path, err := Masked(name); err == nil && path != nil {
			name = column + "." + formatPath(path)
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// below reports whether a name is of something inside what one of the others names.
func below(name string, others []string) bool {
	return slices.ContainsFunc(others, func(other string) bool { return strings.HasPrefix(name, other+".") })
}

// Key names the scope: equal scopes have equal names, others have others. It gives nothing of the scope away.
func (s Scope) Key() string {
	if s.Whole() && len(s.Datasets) == 0 {
		return "whole"
	}
	digest := hmac.New(sha256.New, s.HashKey.Raw())
	text, err := json.Marshal(s)
	if err == nil && len(s.Datasets) > 0 {
		var more []byte
		more, err = json.Marshal(s.Datasets)
		text = append(text, more...)
	}
	if err != nil {
		panic(err) // it is made of nothing but texts
	}
	_, _ = digest.Write(text)
	return base64.RawURLEncoding.EncodeToString(digest.Sum(nil))
}
