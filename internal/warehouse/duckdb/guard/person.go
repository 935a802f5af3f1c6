package guard

import "github.com/weir-analytics/weir/internal/view"

// namesPerson reports whether a statement may ask whose an event is: it says the column's name somewhere, or reads columns
// of events that it does not name. When in doubt, it does.
func namesPerson(statement *value) bool {
	rows := map[string]bool{"events": true} // names that mean a whole row of events
	aliases(statement, rows)
	return mayNamePerson(statement, rows)
}

// aliases gathers what a statement calls events.
func aliases(v *value, into map[string]bool) {
	if v.get("type").text == "BASE_TABLE" && fold(v.get("table_name").text) == "events" {
		if alias := v.get("alias").text; alias != "" {
			into[fold(alias)] = true
		}
	}
	for i := range v.items {
		aliases(&v.items[i], into)
	}
}

func mayNamePerson(v *value, rows map[string]bool) bool {
	names := v.get("column_names").items
	switch {
	case v.kind == '"' && fold(v.text) == view.PersonID,
		v.get("class").text == "STAR", v.get("class").text == "POSITIONAL_REFERENCE",
		v.get("type").text == "JOIN" && v.get("ref_type").text == "NATURAL",
		v.get("type").text == "BASE_TABLE" && len(v.get("column_name_alias").items) > 0,
		len(names) == 1 && rows[fold(names[0].text)]:
		return true
	}
	for i := range v.items {
		if mayNamePerson(&v.items[i], rows) {
			return true
		}
	}
	return false
}
