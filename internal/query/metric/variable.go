package metric

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The limits on the value of a variable.
const (
	MaxString = 16 << 10 // bytes of a string
	MaxItems  = 1000     // of a list
	MaxList   = 60 << 10 // bytes of a list as JSON
	MaxEnum   = 100      // values that a variable may be restricted to
)

// Variable is a value that the caller of a metric gives. Its value is bound to the statement, never written into it.
type Variable struct {
	Name        string           `json:"name" minLength:"1" maxLength:"64" doc:"Letters, digits and _, not beginning with a digit." example:"event"`
	Type        VariableType     `json:"type" enum:"string,integer,number,boolean,timestamp,date,string[],integer[]" doc:"A timestamp is text as in RFC 3339, or a date, which is its midnight in the metric's time zone."`
	Required    bool             `json:"required,omitzero" doc:"Without a value and a default, a variable is null."`
	Default     jsontext.Value   `json:"default,omitempty" doc:"The value when none is given. For a timestamp or a date also \"now\", or \"now - 30 days\"." example:"\"Order Completed\""`
	Enum        []jsontext.Value `json:"enum,omitempty" maxItems:"100" doc:"The values that it may have; of a list, those that its items may have."`
	Min         jsontext.Value   `json:"min,omitempty" doc:"The least value; for numbers, times and lists of integers."`
	Max         jsontext.Value   `json:"max,omitempty" doc:"The greatest value."`
	Description string           `json:"description,omitzero" minLength:"1" maxLength:"1000" doc:"What it means."`
}

// VariableType says which JSON values a variable takes, and what they are in SQL.
type VariableType string

// The types of variables.
const (
	String    VariableType = "string"
	Integer   VariableType = "integer" // of 64 bits
	Number    VariableType = "number"
	Boolean   VariableType = "boolean"
	Timestamp VariableType = "timestamp"
	Date      VariableType = "date"
	Strings   VariableType = "string[]"
	Integers  VariableType = "integer[]"
)

var variableTypes = []VariableType{String, Integer, Number, Boolean, Timestamp, Date, Strings, Integers}

// item is the type of a list's items; empty for what is no list.
func (t VariableType) item() VariableType {
	item, list := strings.CutSuffix(string(t), "[]")
	if !list {
		return ""
	}
	return VariableType(item)
}

// nullable reports whether the variable can be without a value.
func (v *Variable) nullable() bool { return !v.Required && v.Default == nil }

// validName reports whether a text may be a variable's name.
func validName(name string) bool {
	if name == "" || len(name) > maxName || '0' <= name[0] && name[0] <= '9' {
		return false
	}
	for i := range len(name) {
		if !isWord(name[i]) || name[i] >= utf8.RuneSelf || name[i] == '$' {
			return false
		}
	}
	return true
}

// check finds what is wrong with a declaration.
func (v *Variable) check(to *faults, path string, zone *time.Location) {
	if !validName(v.Name) {
		to.add(join(path, "name"), "must be letters, digits and _, at most %d, not beginning with a digit", maxName)
	}
	if len(v.Description) > maxDescription || !utf8.ValidString(v.Description) {
		to.add(join(path, "description"), "must be UTF-8 of at most %d bytes", maxDescription)
	}
	if !slices.Contains(variableTypes, v.Type) {
		to.add(join(path, "type"), "must be string, integer, number, boolean, timestamp, date, string[] or integer[]")
		return
	}
	before := len(to.fields)
	v.checkBounds(to, path, zone)
	if v.Default == nil || len(to.fields) > before { // what the default must be within is not known
		return
	}
	if v.Required {
		to.add(join(path, "default"), "must not be there for a variable that is required")
	}
	if _, relative := v.relative(time.Time{}, zone); relative {
		return
	}
	if _, err := v.value(v.Default, zone); err != nil {
		to.add(join(path, "default"), "%s", err)
	}
}

func (v *Variable) checkBounds(to *faults, path string, zone *time.Location) {
	single := Variable{Type: cmp.Or(v.Type.item(), v.Type)}
	for i, allowed := range v.Enum[:min(len(v.Enum), MaxEnum)] {
		if _, err := single.value(allowed, zone); err != nil {
			to.add(at(join(path, "enum"), i), "%s", err)
		}
	}
	switch {
	case len(v.Enum) > MaxEnum:
		to.add(join(path, "enum"), "must have at most %d items, has %d", MaxEnum, len(v.Enum))
	case v.Enum != nil && (len(v.Enum) == 0 || v.Type == Boolean):
		to.add(join(path, "enum"), "must not be empty, nor be there for a boolean")
	}
	for _, bound := range []struct {
		name  string
		value jsontext.Value
	}{{"min", v.Min}, {"max", v.Max}} {
		switch {
		case bound.value == nil:
		case single.Type == String || single.Type == Boolean:
			to.add(join(path, bound.name), "is not for a %s", v.Type)
		default:
			if _, err := single.value(bound.value, zone); err != nil {
				to.add(join(path, bound.name), "%s", err)
			}
		}
	}
}

// value checks a value and gives it in the form in which it is bound: numbers and booleans as they are, times as
// normalized text, and lists as the text of a JSON array.
func (v *Variable) value(raw jsontext.Value, zone *time.Location) (jsontext.Value, error) {
	if v.Type.item() != "" {
		return v.list(raw, zone)
	}
	bound, err := v.scalar(raw, zone)
	if err != nil {
		return nil, err
	}
	if err := v.allows(bound, zone); err != nil {
		return nil, err
	}
	return bound, nil
}

func (v *Variable) list(raw jsontext.Value, zone *time.Location) (jsontext.Value, error) {
	if raw.Kind() != '[' {
		return nil, fmt.Errorf("must be an array of %ss", v.Type.item())
	}
	single := Variable{Type: v.Type.item(), Enum: v.Enum, Min: v.Min, Max: v.Max}
	in := opened(raw)
	list := []byte{'['}
	for n := 0; in.PeekKind() != ']'; n++ {
		item, err := in.ReadValue()
		switch {
		case err != nil:
			return nil, fmt.Errorf("must be an array of %ss", v.Type.item())
		case n == MaxItems:
			return nil, fmt.Errorf("must have at most %d items", MaxItems)
		}
		bound, err := single.value(item, zone)
		if err != nil {
			return nil, fmt.Errorf("item %d %w", n, err)
		}
		if n > 0 {
			list = append(list, ',')
		}
		list = append(list, bound...)
	}
	if len(list) >= MaxList {
		return nil, fmt.Errorf("must be at most %d bytes long as JSON", MaxList)
	}
	return quote(string(append(list, ']'))), nil
}

// scalar reads one value of the variable's type.
func (v *Variable) scalar(raw jsontext.Value, zone *time.Location) (jsontext.Value, error) {
	kind := raw.Kind()
	switch v.Type {
	case Boolean:
		if kind == 't' || kind == 'f' {
			return raw.Clone(), nil
		}
		return nil, errors.New("must be true or false")
	case Integer:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if kind != '0' || err != nil {
			return nil, errors.New("must be a whole number of at most 64 bits, without a point or an exponent")
		}
		return jsontext.Value(strconv.FormatInt(n, 10)), nil
	case Number:
		f, err := strconv.ParseFloat(string(raw), 64)
		if kind != '0' || err != nil || math.IsInf(f, 0) {
			return nil, errors.New("must be a number that a DOUBLE can hold")
		}
		return raw.Clone(), nil
	case String, Timestamp, Date, Strings, Integers:
	}
	if kind != '"' {
		return nil, errors.New("must be a string")
	}
	return v.text(unquote(raw), zone)
}

// text reads a text, or a time.
func (v *Variable) text(text string, zone *time.Location) (jsontext.Value, error) {
	switch {
	case len(text) > MaxString:
		return nil, fmt.Errorf("must be at most %d bytes long, is %d", MaxString, len(text))
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return nil, errors.New("must be UTF-8 without a NUL character")
	case v.Type == Timestamp:
		t, ok := parseTime(text, zone)
		if !ok {
			return nil, errors.New("must be a time as in RFC 3339, such as 2026-01-31T12:00:00Z, or a date")
		}
		return instant(t), nil
	case v.Type == Date:
		if _, err := time.Parse(time.DateOnly, text); err != nil || text < "0001" {
			return nil, errors.New("must be a date such as 2026-01-31")
		}
	}
	return quote(text), nil
}

// allows holds a bound value against the variable's enum and bounds.
func (v *Variable) allows(bound jsontext.Value, zone *time.Location) error {
	single := Variable{Type: v.Type}
	compared := func(other jsontext.Value) int {
		limit, err := single.scalar(other, zone)
		if err != nil { // a declaration that is not checked
			return 0
		}
		return compare(v.Type, bound, limit)
	}
	if v.Min != nil && compared(v.Min) < 0 {
		return fmt.Errorf("must not be less than %s", clip(string(v.Min)))
	}
	if v.Max != nil && compared(v.Max) > 0 {
		return fmt.Errorf("must not be more than %s", clip(string(v.Max)))
	}
	if v.Enum == nil || slices.ContainsFunc(v.Enum, func(other jsontext.Value) bool { return compared(other) == 0 }) {
		return nil
	}
	shown := make([]string, 0, len(v.Enum))
	for _, allowed := range v.Enum[:min(len(v.Enum), 10)] {
		shown = append(shown, clip(string(allowed)))
	}
	return fmt.Errorf("must be one of %s", strings.Join(shown, ", "))
}

// compare orders two bound values of a type. Times are in a form that is ordered as text.
func compare(t VariableType, a, b jsontext.Value) int {
	if t == Integer {
		x, _ := strconv.ParseInt(string(a), 10, 64)
		y, _ := strconv.ParseInt(string(b), 10, 64)
		return cmp.Compare(x, y)
	}
	if t == Number {
		x, _ := strconv.ParseFloat(string(a), 64)
		y, _ := strconv.ParseFloat(string(b), 64)
		return cmp.Compare(x, y)
	}
	return cmp.Compare(unquote(a), unquote(b))
}

// relative is the value of a default that is counted from now, when it is one.
func (v *Variable) relative(now time.Time, zone *time.Location) (jsontext.Value, bool) {
	if v.Type != Timestamp && v.Type != Date || v.Default.Kind() != '"' {
		return nil, false
	}
	rest, ok := strings.CutPrefix(unquote(v.Default), "now")
	if !ok {
		return nil, false
	}
	if rest != "" {
		back, ok := strings.CutPrefix(rest, " - ")
		length, valid := Duration(back).length()
		if !ok || !valid {
			return nil, false
		}
		now = now.Add(-length)
	}
	if v.Type == Date {
		return quote(now.In(zone).Format(time.DateOnly)), true
	}
	return instant(now), true
}

// expression is what stands for the variable in SQL, where its value is bound to $n.
func (v *Variable) expression(n int) string {
	parameter := fmt.Sprintf("$%d", n)
	text := parameter
	if v.nullable() {
		text = "CAST(" + parameter + " AS VARCHAR)" // a null has no type of its own
	}
	switch v.Type {
	case Integer:
		return "CAST(" + parameter + " AS BIGINT)"
	case Number:
		return "CAST(" + parameter + " AS DOUBLE)"
	case Boolean:
		return "CAST(" + parameter + " AS BOOLEAN)"
	case Timestamp:
		return "CAST(" + parameter + " AS TIMESTAMP)"
	case Date:
		return "CAST(" + parameter + " AS DATE)"
	case Strings:
		return "from_json(" + text + `, '["VARCHAR"]')`
	case Integers:
		return "from_json(" + text + `, '["BIGINT"]')`
	case String:
	}
	return text
}
