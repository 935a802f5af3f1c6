package view

import "slices"

// Table is a relation that a statement may name.
type Table struct {
	Name    string   `json:"name" doc:"The table's name." example:"events"`
	Columns []Column `json:"columns" doc:"Its columns, in the order of SELECT *."`
}

// Column is one column of a table, or of an answer. Type is the engine's name for it, such as BIGINT or TIMESTAMP.
type Column struct {
	Name string `json:"name" doc:"The column's name." example:"n"`
	Type string `json:"type" doc:"The engine's type." example:"BIGINT"`
}

// Tables are the relations that a statement may name.
//
//	events(event_id, event, timestamp, received_at, distinct_id, anonymous_id, device_id, session_id, properties, key_id, source, person_id)
//	persons(distinct_id, anonymous_id, traits, first_seen_at, updated_at, person_id, distinct_ids)
func Tables() []string { return []string{"events", "persons"} }

// The types of the columns there are.
const (
	textType = "VARCHAR"
	timeType = "TIMESTAMP"
	jsonType = "JSON"
)

// schema is every table with every column. Engines have the same.
func schema() []Table {
	return []Table{
		{"events", []Column{
			{"event_id", textType}, {"event", textType}, {"timestamp", timeType}, {"received_at", timeType}, {"distinct_id", textType},
			{"anonymous_id", textType}, {"device_id", textType}, {"session_id", textType}, {"properties", jsonType}, {"key_id", textType}, {"source", textType},
			{PersonID, textType},
		}},
		{"persons", []Column{
			{"distinct_id", textType}, {"anonymous_id", textType}, {"traits", jsonType}, {"first_seen_at", timeType}, {"updated_at", timeType},
			{PersonID, textType}, {DistinctIDs, jsonType},
		}},
	}
}

// TableNamed finds a table.
func TableNamed(name string) (Table, bool) {
	all := schema()
	i := slices.IndexFunc(all, func(t Table) bool { return t.Name == name })
	if i < 0 {
		return Table{}, false
	}
	return all[i], true
}

// typeOf is the type of a column; empty when there is no such column.
func (t Table) typeOf(column string) string {
	for _, c := range t.Columns {
		if c.Name == column {
			return c.Type
		}
	}
	return ""
}

// Schema lists the tables and columns that a scope lets a statement see. A hashed column is listed: it is there.
func Schema(s Scope) []Table {
	var seen []Table
	for _, t := range schema() {
		narrow, visible := s.Table(t.Name)
		if !visible {
			continue
		}
		t.Columns = slices.DeleteFunc(t.Columns, func(c Column) bool { return slices.Contains(narrow.Hidden, c.Name) })
		seen = append(seen, t)
	}
	for _, r := range s.Datasets {
		if _, narrow, visible := s.Relation(r.Name); visible {
			seen = append(seen, r.Shown(narrow, s.Whole()))
		}
	}
	return seen
}
