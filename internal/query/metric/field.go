package metric

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Field is where a value of an event is found: in a column, in a property, or in a trait of the person. One is given.
type Field struct {
	Column   string `json:"column,omitzero" enum:"event,event_id,timestamp,received_at,distinct_id,anonymous_id,device_id,session_id,key_id,source,person_id" doc:"A column of events."`
	Property string `json:"property,omitzero" minLength:"1" maxLength:"512" doc:"A property of the event: its key, the keys on the way to it parted by dots, or a JSON pointer (RFC 6901)." example:"plan"`
	Trait    string `json:"trait,omitzero" minLength:"1" maxLength:"512" doc:"A trait of the person, found as a property is." example:"country"`
}

// columns are the columns of events that a field may be, and whether each holds a time.
var columns = []struct {
	name string
	time bool
}{
	{"event", false}, {"event_id", false}, {"timestamp", true}, {"received_at", true}, {"distinct_id", false}, {"anonymous_id", false},
	{"device_id", false}, {"session_id", false}, {"key_id", false}, {"source", false}, {"person_id", false},
}

// given is how many of the field's members are there.
func (f Field) given() int {
	n := 0
	for _, member := range []string{f.Column, f.Property, f.Trait} {
		if member != "" {
			n++
		}
	}
	return n
}

// isTime reports whether the field is a column that holds times. All others hold text.
func (f Field) isTime() bool {
	return slices.ContainsFunc(columns, func(c struct {
		name string
		time bool
	}) bool {
		return c.time && c.name == f.Column
	})
}

// check finds what is wrong with a field.
func (f Field) check(to *faults, path string) {
	switch f.given() {
	case 0:
		to.add(path, "needs a column, a property or a trait")
		return
	case 1:
	default:
		to.add(path, "must have only one of column, property and trait")
		return
	}
	switch {
	case f.Property != "":
		checkProperty(to, join(path, "property"), f.Property)
	case f.Trait != "":
		checkProperty(to, join(path, "trait"), f.Trait)
	default:
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = c.name
		}
		if !slices.Contains(names, f.Column) {
			to.add(join(path, "column"), "must be one of %s", strings.Join(names, ", "))
		}
	}
}

// checkText finds what is wrong with a text that goes into the statement or is bound to it.
func checkText(to *faults, path, text string, limit int) {
	switch {
	case text == "":
		to.add(path, "is required")
	case len(text) > limit:
		to.add(path, "must be at most %d bytes long, is %d", limit, len(text))
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		to.add(path, "must be UTF-8 without a NUL character")
	}
}

func checkProperty(to *faults, path, property string) {
	before := len(to.fields)
	checkText(to, path, property, maxProperty)
	if len(to.fields) > before {
		return
	}
	segments, ok := segmentsOf(property)
	switch {
	case !ok:
		to.add(path, "is no key, no keys parted by dots and no JSON pointer")
	case len(segments) > maxSegments:
		to.add(path, "must have at most %d keys on the way, has %d", maxSegments, len(segments))
	case strings.ContainsFunc(property, func(r rune) bool { return r < ' ' || r == 0x7f }):
		to.add(path, "must not have control characters")
	case slices.ContainsFunc(segments, unscannable):
		to.add(path, "must not have rows of many + and - signs or /* twice")
	}
}

// unscannable reports whether a key has what the sandbox bounds in a statement, wherever it stands.
func unscannable(key string) bool {
	return strings.Count(key, "/*") > 1 || strings.Contains(key, strings.Repeat("-", 16)) || strings.Contains(key, strings.Repeat("+", 16)) ||
		strings.Contains(key, strings.Repeat("+-", 8))
}

// segmentsOf parts a property into the keys on the way to it. An empty key cannot be asked for.
func segmentsOf(property string) ([]string, bool) {
	rest, pointer := strings.CutPrefix(property, "/")
	if !pointer {
		segments := strings.Split(property, ".")
		return segments, !slices.Contains(segments, "")
	}
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		bare := strings.NewReplacer("~0", "", "~1", "").Replace(s)
		if s == "" || strings.Contains(bare, "~") {
			return nil, false
		}
		segments[i] = strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
	}
	return segments, true
}

// jsonText is the expression that reads a property from a column of JSON as text: null when it is missing or null, the
// text of a string, and the JSON of anything else. All reading of properties goes through here, so that a layout with
// columns for some of them needs to know one form: (column->>'key'), and (column->>'/key/key') where one key does not
// say it. The brackets are needed: the operator binds more weakly than comparisons.
func jsonText(column, property string) string {
	segments, _ := segmentsOf(property) // checked before
	key := segments[0]
	if len(segments) > 1 || !plainKey(key) {
		escape := strings.NewReplacer("~", "~0", "/", "~1")
		key = ""
		for _, s := range segments {
			key += "/" + escape.Replace(s)
		}
	}
	return "(" + column + "->>" + literal(key) + ")"
}

// plainKey reports whether the engine takes a text for a key and for nothing else: no path, no pointer, no wildcard.
func plainKey(key string) bool {
	return !strings.ContainsAny(key[:1], `$/[`) && !strings.ContainsAny(key, `*"\`)
}

// literal is a text as a constant in SQL.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
