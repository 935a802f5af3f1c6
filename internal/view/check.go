package view

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/problem"
)

// faults gathers what is wrong with a scope, each with its path.
type faults struct {
	at     string // what comes before each path
	fields []problem.Field
	single map[string]bool // the paths of conditions whose value is written without a list
}

func (f *faults) add(path, format string, args ...any) {
	if of, _, found := strings.Cut(path, ".values"); found && f.single[of] {
		path = of + ".value"
	}
	f.fields = append(f.fields, problem.Field{Name: f.at + path, Detail: fmt.Sprintf(format, args...)})
}

// problem is all faults as one; nil when there are none.
func (f *faults) problem() error {
	if len(f.fields) == 0 {
		return nil
	}
	first := f.fields[0]
	return &problem.Error{Code: problem.InvalidField, Detail: first.Name + ": " + first.Detail, Fields: f.fields}
}

// Check refuses a scope that means nothing, or is over a limit, with every fault by its path in the scope's JSON: a
// problem of invalid_field.
func (s Scope) Check() error {
	f := &faults{}
	s.check(f, 1)
	return f.problem()
}

// Ready is Check for a scope that a statement is about to run in: one that And may have made of several, with a key
// when something is hashed.
func (s Scope) Ready() error {
	f := &faults{}
	s.check(f, maxSources)
	for _, name := range s.Variables() {
		f.add(name, "is a variable without a value")
	}
	for _, t := range s.Tables {
		if len(t.canonical().Hashed) > 0 && s.HashKey.IsZero() {
			f.add(t.Table+".hash", "needs a key")
		}
	}
	return f.problem()
}

func (s Scope) check(f *faults, sources int) {
	for i, t := range s.Tables {
		table, known := TableNamed(t.Table)
		switch {
		case !known && !isDataset(t.Table):
			f.add(shown(t.Table), "is not a table: the tables are %s, and datasets such as datasets.quotes", strings.Join(Tables(), ", "))
		case slices.ContainsFunc(s.Tables[:i], func(other TableScope) bool { return other.Table == t.Table }):
			f.add(t.Table, "is there twice")
		case isDataset(t.Table):
			t.checkDataset(f, sources)
		default:
			t.check(f, table, sources)
		}
	}
}

func (t TableScope) check(f *faults, table Table, sources int) {
	if len(t.Where) > sources*MaxConditions {
		f.add(t.Table+".where", "has more than %d conditions", sources*MaxConditions)
		return
	}
	for i, c := range t.Where {
		c.check(f, fmt.Sprintf("%s.where[%d]", t.Table, i), table)
	}
	for _, masked := range []struct {
		member string
		names  []string
		hash   bool
	}{{"hide", t.Hidden, false}, {"hash", t.Hashed, true}} {
		if len(masked.names) > sources*MaxMasked {
			f.add(t.Table+"."+masked.member, "has more than %d names", sources*MaxMasked)
			continue
		}
		for i, name := range masked.names {
			checkMasked(f, fmt.Sprintf("%s.%s[%d]", t.Table, masked.member, i), name, table, masked.hash)
		}
	}
	if !slices.ContainsFunc(table.Columns, func(c Column) bool { return !slices.Contains(t.Hidden, c.Name) && !made(c.Name) }) {
		f.add(t.Table+".hide", "hides every column: leave the table out instead")
	}
}

// checkMasked checks a name of Hidden or Hashed.
func checkMasked(f *faults, at, name string, table Table, hash bool) {
	column, path, err := Masked(name)
	switch kind := table.typeOf(column); {
	case name == "":
		f.add(at, "must name a column or a property")
	case err != nil:
		f.add(at, "%s", err)
	case kind == "":
		f.add(at, "%s", noColumn(column, table))
	case path != nil && kind != jsonType:
		f.add(at, "%s has no properties", column)
	case path == nil && hash && kind == jsonType:
		f.add(at, "names all of %s: name a property, such as %s.email", column, column)
	case hash && kind == timeType:
		f.add(at, "is a time: only text and properties can be hashed")
	case slices.ContainsFunc(path, isIndex):
		f.add(at, "leads to one element of an array: a path leads through all of them, as in %s.items.email", column)
	}
}

// isIndex reports whether a name of a path could stand for the place of an element.
func isIndex(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" }

func noColumn(column string, table Table) string {
	for _, c := range table.Columns {
		if c.Type == jsonType {
			return fmt.Sprintf("%s is not a column of %s; a property is written %s.%s", shown(column), table.Name, c.Name, shown(column))
		}
	}
	return fmt.Sprintf("%s is not a column of %s", shown(column), table.Name)
}

// shown is at most 64 bytes of a name that the caller wrote.
func shown(name string) string {
	if len(name) > 64 {
		name = name[:64] + "…"
	}
	return strings.ToValidUTF8(name, "\uFFFD")
}

// The kinds of values, which a condition must not mix.
const (
	noKind      = ""
	textKind    = "text"
	numberKind  = "a number"
	truthKind   = "true or false"
	instantKind = "a time"
)

func valueKind(value any) string {
	switch value.(type) {
	case string:
		return textKind
	case int64, float64:
		return numberKind
	case bool:
		return truthKind
	case time.Time:
		return instantKind
	}
	return noKind
}

func isVariable(value any) bool {
	_, is := value.(Variable)
	return is
}

func (c Condition) check(f *faults, at string, table Table) {
	kind := table.typeOf(c.Column)
	switch {
	case c.Column == "":
		f.add(at+".column", "is required")
		return
	case kind == "":
		f.add(at+".column", "%s", noColumn(c.Column, table))
		return
	case made(c.Column):
		f.add(at+".column", "%s is made of other columns: a condition is on one of those, such as distinct_id", c.Column)
		return
	case kind == jsonType && c.Property == "":
		f.add(at+".column", "must name a property, such as %s.plan", c.Column)
		return
	case kind != jsonType && c.Property != "":
		f.add(at+".column", "%s has no properties", c.Column)
		return
	case c.Property != "":
		if _, err := c.Path(); err != nil {
			f.add(at+".column", "%s", err)
			return
		}
	}
	if !c.checkCount(f, at) {
		return
	}
	known := slices.DeleteFunc(slices.Clone(c.Values), isVariable)
	for i, v := range c.Values {
		if isVariable(v) {
			continue
		}
		at := fmt.Sprintf("%s.values[%d]", at, i)
		switch got := valueKind(v); {
		case kind == textType && got != textKind:
			f.add(at, "must be text, as %s is", c.Column)
		case kind == timeType && got != instantKind:
			f.add(at, "must be a time, as %s is: RFC 3339, to the microsecond", c.Column)
		case kind == jsonType && (got == instantKind || got == noKind):
			f.add(at, "must be text, a number, true or false")
		case got != valueKind(known[0]):
			f.add(at, "is %s, and the values before it are not", got)
		case got == truthKind && (c.Op == Less || c.Op == LessEqual || c.Op == Greater || c.Op == GreaterEqual):
			f.add(at, "cannot be compared by %s", c.Op)
		default:
			checkValue(f, at, v)
		}
	}
	if exact, rounded := c.numbers(); exact && rounded {
		f.add(at+".values", "mix fractions with whole numbers of 2^53 and more, which only compare exactly")
	}
}

// checkCount checks the op, and that it has as many values as it takes.
func (c Condition) checkCount(f *faults, at string) bool {
	switch n := len(c.Values); c.Op {
	case IsNull, IsNotNull:
		if n > 0 {
			f.add(at+".values", "must not be there with %q", string(c.Op))
			return false
		}
	case In, NotIn:
		if n == 0 || n > MaxValues {
			f.add(at+".values", "must be 1 to %d values", MaxValues)
			return false
		}
	case Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual:
		if n != 1 {
			f.add(at+".values", "must be one value with %q", string(c.Op))
			return false
		}
	default:
		f.add(at+".op", `must be =, !=, in, not in, <, <=, >, >=, is null or is not null`)
		return false
	}
	return true
}

func checkValue(f *faults, at string, value any) {
	switch v := value.(type) {
	case string:
		switch {
		case strings.HasPrefix(v, variableBegin):
			f.add(at, notVariable)
		case len(v) > MaxText:
			f.add(at, "must be at most %d bytes long, is %d", MaxText, len(v))
		case !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0:
			f.add(at, "must be UTF-8 without a NUL character")
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			f.add(at, "is not a number that can be compared with")
		}
	case time.Time:
		if !sayable(v) || !v.Equal(v.Truncate(time.Microsecond)) {
			f.add(at, "must be in the years 1 to 9999, and no finer than a microsecond")
		}
	}
}

// exactFrom is the number from which on whole numbers are compared exactly, with whole numbers only: floating point
// cannot tell them apart.
const exactFrom = 1 << 53

// numbers says whether the values hold whole numbers that floating point cannot tell from others, and fractions.
func (c Condition) numbers() (exact, fractions bool) {
	for _, v := range c.Values {
		switch v := v.(type) {
		case int64:
			exact = exact || v <= -exactFrom || v >= exactFrom
		case float64:
			fractions = true
		}
	}
	return exact, fractions
}

// Exact reports whether the condition compares whole numbers, digit by digit, and holds for nothing else.
func (c Condition) Exact() bool {
	exact, _ := c.numbers()
	return exact
}

// sayable reports whether RFC 3339 can say t, one microsecond later too.
func sayable(t time.Time) bool {
	return t.UTC().Year() >= 1 && t.UTC().Add(time.Microsecond).Year() <= 9999
}
