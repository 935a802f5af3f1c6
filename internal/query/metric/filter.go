package metric

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Filter is a condition on a field of an event, or conditions of which all or any must hold. A field has no value when
// it is missing or null. The operators !=, not_in and not_exists are the opposites of =, in and exists: they hold for a
// field without a value; all others do not. A condition on an optional variable that has no value holds always.
type Filter struct {
	Field
	Op       string         `json:"op,omitzero" enum:"=,!=,in,not_in,<,<=,>,>=,contains,starts_with,exists,not_exists" doc:"How the field is compared with the value."`
	Value    jsontext.Value `json:"value,omitempty" doc:"A string, a number or a boolean; for in and not_in an array of strings or of numbers. A property is compared with a number as a number, and else as text." example:"\"pro\""`
	Variable string         `json:"variable,omitzero" minLength:"1" maxLength:"64" doc:"In place of value: the variable whose value it is."`
	All      []Filter       `json:"all,omitempty" maxItems:"64" doc:"In place of a condition: all of these must hold."`
	Any      []Filter       `json:"any,omitempty" maxItems:"64" doc:"In place of a condition: one of these must hold."`
}

// What an operator needs.
type need uint8

const (
	needsNothing need = iota
	needsOne
	needsOrder // one that has an order
	needsText
	needsMany
)

var operators = map[string]need{
	"=": needsOne, "!=": needsOne, "in": needsMany, "not_in": needsMany, "<": needsOrder, "<=": needsOrder, ">": needsOrder, ">=": needsOrder,
	"contains": needsText, "starts_with": needsText, "exists": needsNothing, "not_exists": needsNothing,
}

// group is the filter's conditions and the word between them; nil for a single condition.
func (f *Filter) group() (conditions []Filter, word, name string) {
	if f.All != nil {
		return f.All, "AND", "all"
	}
	return f.Any, "OR", "any"
}

// checker finds what is wrong with a definition.
type checker struct {
	faults
	variables  map[string]*Variable
	used       map[string]bool
	conditions int
	literals   int
}

func (c *checker) filters(filters []Filter, path string) {
	for i := range filters {
		c.filter(&filters[i], at(path, i), MaxDepth)
	}
}

func (c *checker) filter(f *Filter, path string, depth int) {
	group, _, name := f.group()
	if group == nil {
		c.conditions++
		f.Field.check(&c.faults, path)
		c.condition(f, path)
		return
	}
	switch {
	case depth == 0:
		c.add(path, "is nested too deeply: at most %d times", MaxDepth)
		return
	case f.All != nil && f.Any != nil, f.given() > 0, f.Op != "", f.Value != nil, f.Variable != "":
		c.add(path, "must be one condition, or all, or any")
	case len(group) == 0:
		c.add(join(path, name), "must not be empty")
	}
	for i := range group {
		c.filter(&group[i], at(join(path, name), i), depth-1)
	}
}

// condition checks a condition's operator and its value.
func (c *checker) condition(f *Filter, path string) {
	needs, known := operators[f.Op]
	switch {
	case f.Op == "":
		c.add(join(path, "op"), "is required")
		return
	case !known:
		c.add(join(path, "op"), "must be one of =, !=, in, not_in, <, <=, >, >=, contains, starts_with, exists, not_exists")
		return
	case f.Value != nil && f.Variable != "":
		c.add(path, "must have a value or a variable, not both")
		return
	case needs == needsNothing:
		if f.Value != nil || f.Variable != "" {
			c.add(path, "must have no value: %s takes none", f.Op)
		}
		return
	case f.isTime() && needs >= needsText:
		c.add(join(path, "op"), "is not for a time")
		return
	}
	switch {
	case f.Variable != "":
		c.variable(f, needs, join(path, "variable"))
	case f.Value == nil:
		c.add(join(path, "value"), "is required")
	case needs == needsMany:
		c.many(f, join(path, "value"))
	default:
		c.literals++
		if t, why := f.literalType(f.Value); why != "" {
			c.add(join(path, "value"), "%s", why)
		} else if !fits(needs, t) {
			c.add(join(path, "value"), "is not for the operator %s", f.Op)
		}
	}
}

// variable checks the variable that a condition names.
func (c *checker) variable(f *Filter, needs need, path string) {
	v := c.variables[f.Variable]
	if v == nil {
		c.add(path, "is no variable of this metric")
		return
	}
	c.used[f.Variable] = true
	if !slices.Contains(variableTypes, v.Type) { // told where it is declared
		return
	}
	t := v.Type
	if item := t.item(); (item != "") != (needs == needsMany) {
		c.add(path, "must be a list for in and not_in, and only for these; is %s", t)
		return
	} else if item != "" {
		t = item
	}
	columnType := String
	if f.isTime() {
		columnType = Timestamp
	}
	if f.Column != "" && t != columnType || !fits(needs, t) {
		c.add(path, "does not fit: %s cannot be compared so with this field", v.Type)
	}
}

// fits reports whether an operator that takes one value takes one of a type.
func fits(needs need, t VariableType) bool {
	return (needs != needsText || t == String) && (needs != needsOrder || t != Boolean)
}

// many checks the values of a list: all strings, or all numbers.
func (c *checker) many(f *Filter, path string) {
	values, ok := itemsOf(f.Value)
	switch {
	case !ok || len(values) == 0:
		c.add(path, "must be an array of strings or of numbers, not empty")
		return
	case len(values) > MaxValues:
		c.add(path, "must have at most %d items", MaxValues)
		return
	}
	c.literals += len(values)
	first := values[0].Kind()
	for i, v := range values {
		t, why := f.literalType(v)
		switch {
		case why != "":
			c.add(at(path, i), "%s", why)
		case t == Boolean || v.Kind() != first:
			c.add(at(path, i), "must be a string or a number, as the items before")
		}
	}
}

// itemsOf are the items of a JSON array, one more than are allowed at most.
func itemsOf(v jsontext.Value) ([]jsontext.Value, bool) {
	if v.Kind() != '[' || !v.IsValid() {
		return nil, false
	}
	in := opened(v)
	var items []jsontext.Value
	for in.PeekKind() != ']' && len(items) <= MaxValues {
		item, _ := in.ReadValue() // v is valid
		items = append(items, item.Clone())
	}
	return items, true
}

// literalType is the type of a literal that stands in a condition, or what is wrong with it there.
func (f *Filter) literalType(v jsontext.Value) (t VariableType, why string) {
	switch v.Kind() {
	case '"':
		t = String
		if f.isTime() {
			t = Timestamp
		}
	case '0':
		t = Number
	case 't', 'f':
		t = Boolean
	default:
		return "", "must be a string, a number or a boolean"
	}
	if f.Column != "" && t != String && t != Timestamp {
		return "", "must be a string: the column has no others"
	}
	single := Variable{Type: t}
	bound, err := single.scalar(v, time.UTC)
	switch {
	case err != nil:
		return "", err.Error()
	case len(bound) > maxLiteral:
		return "", fmt.Sprintf("must be at most %d bytes long", maxLiteral)
	}
	return t, ""
}

// where are filters as conditions in SQL, each complete in itself.
func (c *compiler) where(filters []Filter) []string {
	conditions := make([]string, len(filters))
	for i := range filters {
		conditions[i] = c.filter(&filters[i])
	}
	return conditions
}

func (c *compiler) filter(f *Filter) string {
	group, word, _ := f.group()
	if group == nil {
		return c.condition(f)
	}
	conditions := c.where(group)
	if len(conditions) == 1 {
		return conditions[0]
	}
	return "(" + strings.Join(conditions, " "+word+" ") + ")"
}

// condition is one condition in SQL. One on an optional variable lets everything pass when the variable is null.
func (c *compiler) condition(f *Filter) string {
	switch f.Op {
	case "exists":
		return c.text(f.Field) + " IS NOT NULL"
	case "not_exists":
		return c.text(f.Field) + " IS NULL"
	}
	if v := c.variables[f.Variable]; v != nil {
		n := c.parameter(Parameter{Variable: v.Name})
		condition := c.compared(f, v.Type, comparand(v, n))
		if !v.nullable() {
			return condition
		}
		return fmt.Sprintf("($%d IS NULL OR %s)", n, condition)
	}
	if operators[f.Op] == needsMany {
		return c.oneOf(f)
	}
	t, _ := f.literalType(f.Value) // checked before
	return c.compared(f, t, c.literal(t, f.Value))
}

// comparand is what a field is compared with when a variable is bound to $n.
func comparand(v *Variable, n int) string {
	if v.Type == Boolean {
		return fmt.Sprintf("CAST($%d AS VARCHAR)", n) // a property is compared as text
	}
	expression := v.expression(n)
	if v.Type == Integers {
		expression = strings.Replace(expression, "BIGINT", "DOUBLE", 1) // with the property as a number
	}
	return expression
}

// literal binds a literal of a type, and is what a field is compared with then.
func (c *compiler) literal(t VariableType, raw jsontext.Value) string {
	single := Variable{Type: t, Required: true}
	bound, _ := single.scalar(raw, c.zone) // checked before
	if t == Boolean {
		bound = quote(string(bound)) // a property is compared as text
	}
	n := c.parameter(Parameter{Value: bound})
	if t == Timestamp {
		return single.expression(n)
	}
	return fmt.Sprintf("$%d", n)
}

// oneOf is the condition that a field has one of some literals, or none of them.
func (c *compiler) oneOf(f *Filter) string {
	values, _ := itemsOf(f.Value)
	t, _ := f.literalType(values[0])
	bound := make([]string, len(values))
	for i, v := range values {
		bound[i] = c.literal(t, v)
	}
	field, list := c.operand(f, t), " ("+strings.Join(bound, ", ")+")"
	if f.Op == "in" {
		return field + " IN" + list
	}
	return "(" + field + " IS NULL OR " + field + " NOT IN" + list + ")"
}

// operand is the field as it is compared with values of a type.
func (c *compiler) operand(f *Filter, t VariableType) string {
	field := c.text(f.Field)
	switch {
	case f.Column != "":
	case t == Integer || t == Number || t == Integers:
		return number(field)
	case t == Timestamp:
		return "TRY_CAST(" + field + " AS TIMESTAMPTZ)"
	case t == Date:
		return "TRY_CAST(" + field + " AS DATE)"
	}
	return field
}

// number is the expression that reads a text as a number; null when it is none. It may be NaN or infinite.
func number(text string) string { return "TRY_CAST(" + text + " AS DOUBLE)" }

// compared is a condition that compares a field with one value of a type, a list being one.
func (c *compiler) compared(f *Filter, t VariableType, value string) string {
	field := c.operand(f, t)
	switch f.Op {
	case "=":
		return field + " = " + value
	case "!=":
		return field + " IS DISTINCT FROM " + value
	case "in":
		return "list_contains(" + value + ", " + field + ")"
	case "not_in":
		return "(" + field + " IS NULL OR NOT list_contains(" + value + ", " + field + "))"
	case "contains", "starts_with":
		return f.Op + "(" + field + ", " + value + ")"
	}
	ordered := field + " " + f.Op + " " + value
	if t == Integer || t == Number { // texts such as NaN and Infinity are numbers to the engine
		return "(isfinite(" + field + ") AND " + ordered + ")"
	}
	return ordered
}
