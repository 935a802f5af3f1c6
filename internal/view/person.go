package view

import "slices"

// Who an event is of, and which ids are one person, is made of other columns (package graph of profiles), and so hides
// with them:
//
//	persons.person_id     is hidden, or a hash, where persons.distinct_id is: it is one of its values
//	persons.distinct_ids  is hidden where any of persons.distinct_id, anonymous_id and person_id is hidden or a hash
//	events.person_id      is hidden where events.distinct_id is, and a hash where any id of events or persons is
//
// It is the person's name where the scope shows the person, and otherwise what the event would have been without it: the
// first of its distinct_id, anonymous_id and device_id that the scope shows. So what persons hides is in no event.
//
// A condition cannot be on one of these columns: it would ask for what another of them may hide.

// The columns that are made of others.
const (
	PersonID    = "person_id"
	DistinctIDs = "distinct_ids"
)

// eventIDs are the columns of events that have an id of the person, in the order in which they name one.
func eventIDs() []string { return []string{"distinct_id", "anonymous_id", "device_id"} }

func (t TableScope) hides(columns ...string) bool {
	return slices.ContainsFunc(columns, func(c string) bool { return slices.Contains(t.Hidden, c) })
}

func (t TableScope) hashes(columns ...string) bool {
	return slices.ContainsFunc(columns, func(c string) bool { return slices.Contains(t.Hashed, c) })
}

// withPersons hides and hashes what must be so because of other columns.
func (t TableScope) withPersons(s Scope) TableScope {
	hide := func(column string) { t.Hidden = append(slices.Clone(t.Hidden), column) }
	hash := func(column string) { t.Hashed = append(slices.Clone(t.Hashed), column) }
	switch t.Table {
	case "persons":
		if t.hides("distinct_id", "anonymous_id", PersonID) || t.hashes("distinct_id", "anonymous_id", PersonID) {
			hide(DistinctIDs)
		}
		if t.hides("distinct_id") {
			hide(PersonID)
		}
		if t.hashes("distinct_id") {
			hash(PersonID)
		}
	case "events":
		if t.hides("distinct_id") {
			hide(PersonID)
		}
		persons, resolves := s.resolves()
		if t.hashes(eventIDs()...) || resolves && persons.hashes("distinct_id", "anonymous_id", PersonID) {
			hash(PersonID)
		}
	}
	return t
}

// resolves reports whether persons shows enough to say who an event is of, and how it is narrowed.
func (s Scope) resolves() (persons TableScope, ok bool) {
	persons, ok = s.written("persons")
	return persons, ok && !persons.hides("distinct_id", "anonymous_id", PersonID, DistinctIDs)
}

// Persons is how events find their persons: own are the columns that name one where no person is shown, the first that
// is there; where are the conditions on persons that are; ok is false when none is.
func (s Scope) Persons() (own []string, where []Condition, ok bool) {
	events, _ := s.Table("events")
	own = slices.DeleteFunc(eventIDs(), func(c string) bool { return events.hides(c) })
	persons, ok := s.resolves()
	return own, persons.Where, ok
}

// made reports whether a column is made of others.
func made(column string) bool { return column == PersonID || column == DistinctIDs }
