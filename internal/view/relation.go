package view

import (
	"fmt"
	"slices"
	"strings"
)

// Relation is a dataset as a table that a statement may name, in any case. Each of its columns is a property of its
// records, of the type that the engine has for what the schema says. Records are kept under the uid, and hold more than
// the schema names: the columns of the system, which begin with _, tell of it.
type Relation struct {
	Name    string   `json:"name"`
	UID     string   `json:"uid"`
	Premium bool     `json:"premium"`
	Columns []Column `json:"columns"` // the properties, by their names, of VARCHAR, DOUBLE, BIGINT, BOOLEAN, TIMESTAMP or JSON

	// SQL is the statement whose answer the records are; empty: they are kept under the uid.
	SQL string `json:"sql,omitempty"`
}

// The columns of a dataset that are no properties. One with the name of a property is not there, and none is in a view.
const (
	RecordBody    = "_record"  // all of a record, as JSON
	RecordDate    = "_date"    // the date of its index
	RecordUpdated = "_updated" // when it was written
)

// datasetPrefix begins what a dataset's table is called in a view, so that a mistake in events is not taken for one.
const datasetPrefix = "datasets."

// MaxDatasetName is how long a dataset's name may be, in bytes.
const MaxDatasetName = 64

// ValidDataset reports whether a dataset may be called so: letters, digits, _ and -, the first a letter, and neither
// events nor persons.
func ValidDataset(name string) bool {
	if len(name) == 0 || len(name) > MaxDatasetName || slices.ContainsFunc(Tables(), func(t string) bool { return strings.EqualFold(t, name) }) {
		return false
	}
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// isDataset reports whether a table of a view is a dataset.
func isDataset(table string) bool {
	name, ok := strings.CutPrefix(table, datasetPrefix)
	return ok && ValidDataset(name)
}

// tableName is a table of a view in its one spelling: the case of a dataset's name means nothing.
func tableName(written string) string {
	if isDataset(written) {
		return strings.ToLower(written)
	}
	return written
}

// Relation finds a dataset that the scope shows by a name in any case, with how it is narrowed. In a view a dataset is
// there only where the view names it, and where all that the view hides or hashes is a property as the schema writes it:
// else a slip of the pen would hide nothing.
func (s Scope) Relation(name string) (r Relation, narrow TableScope, visible bool) {
	i := slices.IndexFunc(s.Datasets, func(r Relation) bool { return strings.EqualFold(r.Name, name) })
	if i < 0 {
		return Relation{}, TableScope{}, false
	}
	r = s.Datasets[i]
	narrow, visible = s.written(datasetPrefix + strings.ToLower(name))
	for _, masked := range slices.Concat(narrow.Hidden, narrow.Hashed) {
		column, _, err := Masked(masked)
		visible = visible && err == nil && slices.ContainsFunc(r.Columns, func(c Column) bool { return c.Name == column })
	}
	return r, narrow, visible
}

// With is the scope with datasets. Those that the scope does not show are left out.
func (s Scope) With(datasets []Relation) Scope {
	s.Datasets = datasets
	s.Datasets = slices.DeleteFunc(slices.Clone(datasets), func(r Relation) bool {
		_, _, visible := s.Relation(r.Name)
		return !visible
	})
	return s
}

// Shown is the dataset as a statement sees it, with the columns that the narrowing leaves. Of properties that differ in
// their case only the first is a column. In a view there are no columns but properties, and none whose name has a dot, which
// a view could not name.
func (r *Relation) Shown(narrow TableScope, whole bool) Table {
	t, seen := Table{Name: r.Name}, map[string]bool{}
	for _, c := range r.Columns {
		folded := strings.ToLower(c.Name)
		if !seen[folded] && (whole || !narrow.covers(c)) {
			t.Columns = append(t.Columns, c)
		}
		seen[folded] = true
	}
	for _, c := range []Column{{RecordBody, jsonType}, {RecordDate, timeType}, {RecordUpdated, timeType}} {
		if whole && r.SQL == "" && !seen[c.Name] {
			t.Columns = append(t.Columns, c)
		}
	}
	return t
}

// covers reports whether a column of a dataset is not shown at all: it is hidden, or is to be a hash or without a part and
// cannot be, not being text or JSON.
func (t TableScope) covers(c Column) bool {
	covered := func(names []string, whole func(kind string) bool) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			column, path, err := Masked(name)
			return column == c.Name && (err != nil || path == nil && whole(c.Type) || path != nil && c.Type != jsonType)
		})
	}
	return strings.Contains(c.Name, ".") || covered(t.Hidden, func(string) bool { return true }) ||
		covered(t.Hashed, func(kind string) bool { return kind != textType })
}

// Of is the condition as one on a property of whole records.
func (c Condition) Of(body string) (Condition, error) {
	path := []string{c.Column}
	if c.Property != "" {
		more, err := c.Path()
		if err != nil {
			return c, err
		}
		path = append(path, more...)
	}
	c.Column, c.Property = body, formatPath(path)
	return c, nil
}

// checkDataset is check for a dataset: what columns it has is not known where a view is made, and may change.
func (t TableScope) checkDataset(f *faults, sources int) {
	if len(t.Where) > sources*MaxConditions {
		f.add(t.Table+".where", "has more than %d conditions", sources*MaxConditions)
		return
	}
	for i, c := range t.Where {
		c.checkOf(f, fmt.Sprintf("%s.where[%d]", t.Table, i))
	}
	for _, masked := range []struct {
		member string
		names  []string
	}{{"hide", t.Hidden}, {"hash", t.Hashed}} {
		if len(masked.names) > sources*MaxMasked {
			f.add(t.Table+"."+masked.member, "has more than %d names", sources*MaxMasked)
			continue
		}
		for i, name := range masked.names {
			at := fmt.Sprintf("%s.%s[%d]", t.Table, masked.member, i)
			column, path, err := Masked(name)
			switch {
			case column == "" || len(name) > MaxText:
				f.add(at, "must name a property")
			case err != nil:
				f.add(at, "%s", err)
			case slices.ContainsFunc(path, isIndex):
				f.add(at, "leads to one element of an array: a path leads through all of them")
			}
		}
	}
}

// checkOf checks a condition on a property of a dataset, which is that of a column of JSON called by its name.
func (c Condition) checkOf(f *faults, at string) {
	if c.Column == "" || len(c.Column) > MaxText {
		f.add(at+".column", "is required")
		return
	}
	c, err := c.Of("record")
	if err != nil {
		f.add(at+".column", "%s", err)
		return
	}
	c.check(f, at, Table{"record", []Column{{"record", jsonType}}})
}
