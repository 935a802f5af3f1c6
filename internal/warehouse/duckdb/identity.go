package duckdb

import (
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/view"
)

// Whose an event is, is looked up when it is asked, and only then: the guard knows whether a statement may ask. The rows
// of events are joined with the graph below the barrier of relation.go, as rows that always had this column:
//
//	SELECT e.*, coalesce(p.person_id, e.distinct_id, e.anonymous_id, e.device_id) AS person_id
//	FROM store.event e LEFT JOIN store.identity p ON p.id = coalesce(e.distinct_id, e.anonymous_id, e.device_id)
//
// An id is in store.identity at most once, so that the join makes no row two. In a scope, only the persons are there that
// it shows, and only the ids of events that it shows, so that nothing is told that a copy without the rest would not.

const personsTable = "persons"

// personRows are the rows of persons, under the names of their columns.
const personRows = `(SELECT person_id AS distinct_id, anonymous_id, traits, first_seen_at, updated_at, person_id, distinct_ids FROM store.person)`

// tables are the tables that statements name, the one of events without the column of persons when it is not asked for.
func tables(persons bool) []view.Table {
	all := view.Schema(view.Scope{})
	for i := range all {
		if all[i].Name == promotedTable && !persons {
			all[i].Columns = slices.DeleteFunc(all[i].Columns, func(c view.Column) bool { return c.Name == view.PersonID })
		}
	}
	return all
}

// eventsOfPersons is the relation of events that say whose they are.
func eventsOfPersons(scope view.Scope) (string, error) {
	own, conditions, resolves := scope.Persons()
	id := "NULL::VARCHAR"
	if len(own) > 0 {
		id = "coalesce(e." + strings.Join(own, ", e.") + ")"
	}
	if !resolves {
		return "(SELECT e.*, " + id + " AS person_id FROM store.event e)", nil
	}
	graph := "store.identity"
	if len(conditions) > 0 {
		where, err := holding(conditions)
		if err != nil {
			return "", err
		}
		graph = "(SELECT id, person_id FROM store.identity WHERE person_id IN (SELECT person_id FROM " + personRows + " WHERE " + strings.Join(where, " AND ") + "))"
	}
	return "(SELECT e.*, coalesce(p.person_id, " + id + ") AS person_id FROM store.event e LEFT JOIN " + graph + " p ON p.id = " + id + ")", nil
}

// holding are conditions as SQL.
func holding(conditions []view.Condition) (where []string, err error) {
	for _, c := range conditions {
		sql, err := condition(c)
		if err != nil {
			return nil, err
		}
		where = append(where, "("+sql+")")
	}
	return where, nil
}
