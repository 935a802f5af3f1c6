package view

import (
	"slices"
	"strings"
)

// Scope is what a statement sees of a space. The zero Scope is the whole space.
//
// Otherwise a table that is not named is not there at all, and of one that is named there are the rows for which every
// condition holds, without the columns and properties that are hidden, and with hashes in the place of those that are
// hashed. The engine makes the relation so, and the statement runs over that: whatever it says, its answer is the one it
// would get where the rest had never been stored.
//
// Each table is narrowed by its own conditions: one on events does not reach persons, nor one on persons events.
type Scope struct {
	Tables  []TableScope // nil: the whole space; empty and not nil: nothing
	HashKey HashKey      // needed when something is hashed

	// Datasets are those that a statement may name besides: which there are and which of them may be read is not the scope's
	// to say. They are in no JSON of a scope.
	Datasets []Relation
}

// TableScope narrows one table. Hidden and Hashed name columns, or properties as they are written in Condition: with
// the column in front, such as properties.email. What is both is hidden.
type TableScope struct {
	Table  string
	Where  []Condition // all must hold
	Hidden []string
	Hashed []string
}

// Op compares a value of a row with the values of a condition.
type Op string

// The ops. None but the last two holds for what is null or not there.
const (
	Equal        Op = "="
	NotEqual     Op = "!="
	In           Op = "in"
	NotIn        Op = "not in"
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
	IsNull       Op = "is null"
	IsNotNull    Op = "is not null"
)

// Condition holds for a row or does not. Column is a column of the table; when it is one of JSON, Property is where in
// it the value is: names parted by dots, such as plan or address.city; one that has a dot or a quotation mark itself
// stands in quotation marks, as a string of JSON.
//
// Values are strings for a column of text, time.Time, to the microsecond, for one of time, and strings, bool, int64 or
// float64 for a property. A property holds against values of its own kind only: text "5" is not the number 5, and is
// not different from it either: for the condition it is not there.
// A Variable holds the place of a value that is not known yet: no statement runs before it is.
type Condition struct {
	Column   string
	Property string
	Op       Op
	Values   []any
}

// The limits on a scope.
const (
	MaxConditions = 32       // of a table
	MaxValues     = 100      // of a condition
	MaxMasked     = 100      // hidden names of a table, and hashed ones
	MaxText       = 1 << 10  // bytes of a value or a name
	MaxSteps      = 8        // names in a property's path
	MaxScopeBytes = 64 << 10 // of a scope as JSON
	maxSources    = 4        // scopes that may be joined by And: limits on what runs are so many times as large
)

// Whole reports whether the scope is the whole space.
func (s Scope) Whole() bool { return s.Tables == nil }

// Table is how a table is narrowed; visible is false when it is not there.
func (s Scope) Table(name string) (narrow TableScope, visible bool) {
	narrow, visible = s.written(name)
	return narrow.withPersons(s), visible
}

// written is Table as it was written, without what is hidden and hashed because of that.
func (s Scope) written(name string) (narrow TableScope, visible bool) {
	if s.Whole() {
		return TableScope{Table: name}, true
	}
	i := slices.IndexFunc(s.Tables, func(t TableScope) bool { return t.Table == name })
	if i < 0 {
		return TableScope{}, false
	}
	return s.Tables[i], true
}

// Visible are the tables that are there, of those there can be: datasets by their names in small letters.
func (s Scope) Visible() []string {
	there := slices.DeleteFunc(Tables(), func(name string) bool {
		_, visible := s.Table(name)
		return !visible
	})
	for _, r := range s.Datasets {
		if _, _, visible := s.Relation(r.Name); visible {
			there = append(there, strings.ToLower(r.Name))
		}
	}
	return there
}

// And is what both scopes let through: the tables in both, the rows that satisfy both, what neither hides; what either
// hashes is hashed. The key of hashes is the first's, or the second's when the first has none.
func (s Scope) And(other Scope) Scope {
	if s.HashKey.IsZero() {
		s.HashKey = other.HashKey
	}
	switch {
	case other.Whole():
		return s
	case s.Whole():
		return Scope{other.Tables, s.HashKey, s.Datasets}
	}
	both := Scope{Tables: []TableScope{}, HashKey: s.HashKey, Datasets: s.Datasets}
	for _, a := range s.Tables {
		b, there := other.written(a.Table)
		if !there {
			continue
		}
		both.Tables = append(both.Tables, TableScope{
			Table:  a.Table,
			Where:  slices.Concat(a.Where, b.Where),
			Hidden: slices.Concat(a.Hidden, b.Hidden),
			Hashed: slices.Concat(a.Hashed, b.Hashed),
		}.canonical())
	}
	return both
}

// Path reads where a property is: the names that lead to it.
func (c Condition) Path() ([]string, error) { return parsePath(c.Property) }

// Masked splits a name of Hidden or Hashed in its column and the path to a property, which is empty for the column
// itself.
func Masked(name string) (column string, path []string, err error) {
	column, property, inside := strings.Cut(name, ".")
	if !inside {
		return name, nil, nil
	}
	path, err = parsePath(property)
	return column, path, err
}
