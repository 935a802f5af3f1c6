package event

import (
	"fmt"
	"slices"
	"strings"
)

// The ids that belong to nobody (contracts A4): what programs send when they have no id. Were they taken for ids, all
// who are sent so would become one person.
var (
	reservedInAnyCase = []string{
		"anonymous_id", "anonymous", "distinct_id", "distinctid", "false", "guest", "id", "not_authenticated", "true", "undefined",
		"user_id", "user", "visitor_id", "visitor",
	}
	reservedExactly = []string{"[object Object]", "0", "NaN", "none", "None", "null"}
)

// Reserved reports whether an id belongs to nobody: it is in the lists of A4, whatever white space is around it, or is
// nothing but white space.
func Reserved(id string) bool {
	id = strings.TrimSpace(id)
	return id == "" || slices.Contains(reservedExactly, id) ||
		slices.ContainsFunc(reservedInAnyCase, func(word string) bool { return strings.EqualFold(word, id) })
}

// ReservedFault says what is wrong with an id that belongs to nobody; empty: nothing is.
func ReservedFault(id string) string {
	switch {
	case !Reserved(id):
		return ""
	case strings.TrimSpace(id) == "":
		return "must not be blank"
	}
	return fmt.Sprintf("must not be %q: it is reserved, as programs send it when they have no id", id)
}

// person reads an id that stands for somebody.
func (f *fields) person(m member, into *string) {
	f.id(m, into)
	if *into == "" {
		return
	}
	if fault := ReservedFault(*into); fault != "" {
		f.bad(m, "%s", fault)
	}
}
