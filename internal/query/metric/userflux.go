package metric

import (
	"strings"
)

// FromUserFlux translates SQL as the Metrics API of UserFlux takes it: the table eventsTable is events, and
// ufProperties.key is the text of a property, also by more than one key and behind the name of a table:
//
//	SELECT e.ufProperties.urlPath FROM eventsTable AS e
//	SELECT (e.properties->>'urlPath') FROM events AS e
//
// Names are told from texts, comments and other names by the scanner of this package, and upper and lower case do not
// differ in them. All else stays as it is, placeholders too. source gives the place in the SQL that a place in the
// translation comes from.
func FromUserFlux(sql string) (translated string, source func(line, column int) (int, int)) {
	t := rewriter{sql: sql, tokens: scan(sql)}
	for i := 0; i < len(t.tokens); i++ {
		switch {
		case t.tokens[i].kind != word:
		case t.is(i, "eventsTable") && !t.is(i-1, ".") && !(t.is(i+1, ".") && t.is(i+2, "ufProperties")):
			t.replace(t.tokens[i].start, t.tokens[i].end, "events")
		case t.is(i, "ufProperties"):
			i = t.userFluxProperty(i)
		}
	}
	t.out.WriteString(sql[t.copied:])
	s := Statement{SQL: t.out.String(), source: sql, edits: t.edits}
	return s.SQL, s.Source
}

// userFluxProperty rewrites the property that is named from token i on, and gives the last token of its name.
func (r *rewriter) userFluxProperty(i int) int {
	path, last := "", i
	for r.is(last+1, ".") && last+2 < len(r.tokens) {
		key, ok := r.nameOf(last + 2)
		if !ok {
			break
		}
		last += 2
		if len(path) <= maxProperty { // what is longer is refused below, and is not written out
			path += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		}
	}
	begin, table := r.tokens[i].start, ""
	if i >= 2 && r.is(i-1, ".") && (r.tokens[i-2].kind == word || r.tokens[i-2].kind == name) && r.tokens[i-2].start >= r.copied {
		begin = r.tokens[i-2].start
		table = r.sql[begin:r.tokens[i].start]
		if r.is(i-2, "eventsTable") {
			table = "events."
		}
	}
	expression := table + "properties"
	if path != "" {
		if segments, ok := segmentsOf(path); !ok || len(segments) == 0 || len(path) > maxProperty {
			return last // the engine says that there is no such column
		}
		expression = jsonText(expression, path)
	}
	r.replace(begin, r.tokens[last].end, expression)
	return last
}

// nameOf is the name that token i is.
func (r *rewriter) nameOf(i int) (string, bool) {
	t := r.tokens[i]
	piece := r.sql[t.start:t.end]
	switch t.kind {
	case word:
		return piece, true
	case name:
		return strings.ReplaceAll(piece[1:len(piece)-1], `""`, `"`), len(piece) > 2
	default:
		return "", false
	}
}
