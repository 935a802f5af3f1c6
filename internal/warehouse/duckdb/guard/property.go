package guard

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// Property is a place where a statement reads a property of an event as text, or casts that text at once. Only places
// are found where the column properties is surely that of the table events: of a relation in the FROM of the very SELECT
// that reads it, where nothing else can have the name, and which is the table or a query of all its columns.
type Property struct {
	Path   string // what the engine is asked for: a key, a path or a pointer; one text, one meaning
	Kind   string // the type that the text is cast to, of those in kinds; empty: none
	Strict bool   // the cast fails where the text is not of the type

	node       *value
	qualifier  string // the name before the column's
	start, end int    // the bytes of the text that say all this
}

// kinds are the types whose casts count. What they make of a text does not depend on where and when it is asked.
var kinds = map[string]bool{"DOUBLE": true, "BIGINT": true, "INTEGER": true, "BOOLEAN": true}

const (
	eventsTable      = "events"
	propertiesColumn = "properties"
	columnMark       = "weir:" // what the names of columns begin with that a statement is promoted to
	maxPath          = 256     // bytes of a path that is found
	maxProperties    = 1000    // places found in a statement
)

// star is a plain star over more columns than were there when it was written.
type star struct {
	node *value
	at   int // the byte it stands at
}

// properties finds what a statement that was passed reads of properties, and the stars that must leave out the columns
// that come instead. It finds nothing at all in a statement that could tell in another way that the table has more
// columns: by a row as a whole, a natural join, the number of a column, or a name. It finds nothing where the answer, or
// who reads it, could see by which expression a column without a name was made; but the whole statement's columns can be
// given their names by whoever runs it.
func properties(text string, statement *value) ([]Property, []star) {
	f := &finder{text: text, carriers: map[string]bool{eventsTable: true}, passing: map[*value]bool{}, bare: map[string]bool{}}
	f.collect(statement)
	f.visit(statement.get("node"), &reader{}, false)
	isRow := func(name string) bool { return f.bare[name] }
	if f.blocked || slices.ContainsFunc(f.rows, isRow) || len(f.found) == 0 || len(f.found) > maxProperties {
		return nil, nil
	}
	slices.SortFunc(f.found, func(a, b Property) int { return cmp.Compare(a.start, b.start) })
	return f.found, f.stars
}

// finder goes through a statement for properties.
type finder struct {
	text     string
	carriers map[string]bool // tables and WITH names in sight that have all columns of the table of events
	passing  map[*value]bool // SELECTs whose star passes these columns on
	rows     []string        // every name that the statement has for a carrier
	bare     map[string]bool // names that stand alone: of columns, or of rows as a whole
	muted    int             // greater than 0 where nothing is to be found
	blocked  bool
	found    []Property
	stars    []star
}

// reader is a SELECT, by what its FROM has of carriers.
type reader struct {
	names  []string // for them
	merged bool     // its column of properties may be one with another's
}

// collect notes what blocks the statement wherever it stands.
func (f *finder) collect(v *value) {
	switch {
	case v.get("type").text == "BASE_TABLE" && fold(v.get("table_name").text) == eventsTable:
		f.blocked = f.blocked || len(v.get("column_name_alias").items) > 0
	case v.get("type").text == "JOIN" && v.get("ref_type").text == "NATURAL", v.get("class").text == "POSITIONAL_REFERENCE":
		f.blocked = true
	case v.get("class").text == "CONSTANT":
		return
	}
	for i := range v.items {
		if v.kind == '{' && v.names[i] == "sample" && v.items[i].kind != 'n' {
			f.blocked = true
		}
		f.collect(&v.items[i])
	}
}

func nameIn(table *value) string {
	if alias := table.get("alias").text; alias != "" {
		return fold(alias)
	}
	return fold(table.get("table_name").text)
}

// visit goes through a part of the statement. named is whether the names of the columns of a query in it matter.
func (f *finder) visit(v *value, r *reader, named bool) {
	switch v.get("class").text {
	case "CONSTANT":
		f.parts(v.get("alias"), r, named, "")
		return
	case "COLUMN_REF":
		f.column(v)
		f.parts(v.get("alias"), r, named, "")
		return
	case "STAR":
		f.blocked = f.blocked || len(r.names) > 0
	case "LAMBDA":
		f.lambda(v)
	case "SUBQUERY":
		named = false
	case "CAST":
		kind := v.get("cast_type")
		if id := kind.get("id").text; kinds[id] && kind.get("type_info").kind == 'n' {
			if child := v.get("child"); f.note(child, r, id, v.get("try_cast").kind != 't') {
				f.parts(v, r, named, "child")
				f.parts(child, r, named, "")
				return
			}
		}
	case "FUNCTION":
		f.note(v, r, "", false)
	}
	switch v.get("type").text {
	case "SELECT_NODE":
		f.query(v, named)
		return
	case "SET_OPERATION_NODE":
		defer f.with(v, r)()
		f.parts(v, r, true, "cte_map")
		return
	}
	f.parts(v, r, named, "")
}

// with goes through a WITH clause, and puts the carriers among its names in sight; the function takes them out again.
func (f *finder) with(v *value, r *reader) func() {
	var names []string
	entries := v.get("cte_map").get("map").items
	for i := range entries {
		said := entries[i].get("value")
		query := said.get("query").get("node")
		carries := len(said.get("aliases").items) == 0 && f.carries(query)
		f.passing[query] = carries
		f.visit(&entries[i], r, true)
		if name := fold(entries[i].get("key").text); carries && !f.carriers[name] {
			f.carriers[name] = true
			names = append(names, name)
		}
	}
	return func() {
		for _, name := range names {
			delete(f.carriers, name)
		}
	}
}

// carries reports whether a query has all columns of a carrier, which stands alone in its FROM.
func (f *finder) carries(query *value) bool {
	stars := 0
	for i := range query.get("select_list").items {
		if item := &query.get("select_list").items[i]; item.get("class").text == "STAR" {
			if !plainStar(item) || item.get("relation_name").text != "" {
				return false
			}
			stars++
		}
	}
	r, from := &reader{}, query.get("from_table")
	if kind := from.get("type").text; query.get("type").text != "SELECT_NODE" || stars != 1 || len(query.get("cte_map").get("map").items) > 0 ||
		kind != "BASE_TABLE" && kind != "SUBQUERY" {
		return false
	}
	f.read(from, r)
	return len(r.names) == 1
}

// plainStar reports whether a star is all columns, of one relation or of all, and nothing else.
func plainStar(v *value) bool {
	return v.get("columns").kind == 'f' && v.get("expr").kind == 'n' && len(v.get("exclude_list").items) == 0 && len(v.get("replace_list").items) == 0 &&
		len(v.get("qualified_exclude_list").items) == 0 && len(v.get("rename_list").items) == 0
}

// star notes a star among the columns of a SELECT. It passes on what a carrier has, or must leave it out.
func (f *finder) star(v *value, r *reader, passes bool) {
	of := fold(v.get("relation_name").text)
	if len(r.names) == 0 || of != "" && !slices.Contains(r.names, of) {
		return
	}
	at := number(v.get("query_location"))
	if at >= 0 && at < len(f.text) && plainStar(v) {
		if passes {
			return
		}
		if n := strings.IndexByte(f.text[at:], '*'); n == 0 || n > 0 && of != "" {
			f.stars = append(f.stars, star{v, at + n})
			return
		}
	}
	f.blocked = true
}

// parts goes through the parts of a value, but for one.
func (f *finder) parts(v *value, r *reader, named bool, except string) {
	if v.kind == '"' && (fold(v.text) == propertiesColumn || strings.HasPrefix(fold(v.text), columnMark)) {
		f.blocked = true // a name that is given to something else
	}
	for i := range v.items {
		if v.kind != '{' || v.names[i] != except {
			f.visit(&v.items[i], r, named)
		}
	}
}

// query goes through a SELECT.
func (f *finder) query(v *value, named bool) {
	r := &reader{}
	defer f.with(v, r)()
	f.read(v.get("from_table"), r)
	f.rows = append(f.rows, r.names...)
	for i, name := range v.names {
		part := &v.items[i]
		switch name {
		case "cte_map":
		case "select_list":
			for j := range part.items {
				if part.items[j].get("class").text == "STAR" {
					f.star(&part.items[j], r, f.passing[v])
					if plainStar(&part.items[j]) {
						continue
					}
				}
				muted := 0
				if named && part.items[j].get("alias").text == "" {
					muted = 1
				}
				f.muted += muted
				f.visit(&part.items[j], r, false)
				f.muted -= muted
			}
		default:
			f.visit(part, r, name == "from_table")
		}
	}
}

// read notes what a FROM has.
func (f *finder) read(from *value, r *reader) {
	named := len(from.get("column_name_alias").items) > 0
	switch from.get("type").text {
	case "JOIN":
		r.merged = r.merged || mentions(from.get("using_columns"), propertiesColumn)
		f.read(from.get("left"), r)
		f.read(from.get("right"), r)
	case "BASE_TABLE":
		if f.carriers[fold(from.get("table_name").text)] {
			r.names = append(r.names, nameIn(from))
			f.blocked = f.blocked || named
		}
	case "SUBQUERY":
		query := from.get("subquery").get("node")
		if !named && f.carries(query) {
			f.passing[query] = true
			r.names = append(r.names, fold(from.get("alias").text))
		}
	}
}

// column looks at a name for what may tell of the columns of the table, or be one that is given by us.
func (f *finder) column(v *value) {
	names := v.get("column_names").items
	if len(names) == 1 {
		f.bare[fold(names[0].text)] = true
	}
	for i := range names {
		if strings.HasPrefix(fold(names[i].text), columnMark) {
			f.blocked = true
		}
	}
}

// lambda looks at the names that a lambda gives; the arrow that reads JSON looks the same, and has a constant behind it.
func (f *finder) lambda(v *value) {
	if v.get("expr").get("class").text != "CONSTANT" && mentions(v.get("lhs"), propertiesColumn) {
		f.blocked = true
	}
}

func mentions(v *value, name string) bool {
	if v.kind == '"' && fold(v.text) == name {
		return true
	}
	return slices.ContainsFunc(v.items, func(item value) bool { return mentions(&item, name) })
}

// note notes a function, if it reads a property of the events of a SELECT.
func (f *finder) note(v *value, r *reader, kind string, strict bool) bool {
	called := fold(v.get("function_name").text)
	args := v.get("children").items
	if f.muted > 0 || v.get("class").text != "FUNCTION" || called != "->>" && called != "json_extract_string" || len(args) != 2 ||
		v.get("filter").kind != 'n' || v.get("distinct").kind != 'f' || len(v.get("order_bys").get("orders").items) > 0 {
		return false
	}
	p := Property{Kind: kind, Strict: strict, node: v, start: number(args[0].get("query_location"))}
	constant := args[1].get("value")
	p.Path = plainPath(constant.get("value").text)
	if args[1].get("class").text != "CONSTANT" || constant.get("type").get("id").text != "VARCHAR" || constant.get("is_null").kind != 'f' || p.Path == "" {
		return false
	}
	if !r.owns(&args[0], &p) || p.start < 0 {
		return false
	}
	p.end = literalEnd(f.text, number(args[1].get("query_location")))
	if called != "->>" {
		p.start, p.end = number(v.get("query_location")), bracketEnd(f.text, p.end)
	}
	if p.start < 0 || p.end <= p.start {
		return false
	}
	f.found = append(f.found, p)
	return true
}

// owns reports whether a name is surely that of the column of properties in a SELECT's own table of events.
func (r *reader) owns(v *value, p *Property) bool {
	names := v.get("column_names").items
	if v.get("class").text != "COLUMN_REF" || len(names) == 0 || fold(names[len(names)-1].text) != propertiesColumn {
		return false
	}
	switch len(names) {
	case 1:
		return len(r.names) == 1 && !r.merged
	case 2:
		p.qualifier = names[0].text
		return slices.Contains(r.names, fold(p.qualifier))
	}
	return false
}

// plainPath is a path in its one spelling; empty for one that is not found: wildcards make lists.
func plainPath(path string) string {
	if len(path) > maxPath || strings.ContainsAny(path, "*\x00") {
		return ""
	}
	if key, ok := strings.CutPrefix(path, "$."); ok && IsWord(key) {
		return key
	}
	return path
}

// IsWord reports whether a text is letters, digits and underscores of ASCII, and begins with no digit.
func IsWord(text string) bool {
	for i, c := range []byte(text) {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return text != ""
}

// literalEnd is where a text in quotation marks ends that begins at a byte; -1 when none begins there.
func literalEnd(text string, at int) int {
	if at < 0 || at >= len(text) || text[at] != '\'' {
		return -1
	}
	for at++; at < len(text); at++ {
		if text[at] != '\'' {
			continue
		}
		if at+1 == len(text) || text[at+1] != '\'' {
			return at + 1
		}
		at++
	}
	return -1
}

// bracketEnd is where the bracket ends that follows a byte; -1 when none follows.
func bracketEnd(text string, at int) int {
	if at < 0 {
		return -1
	}
	rest := strings.TrimLeft(text[at:], " \t\r\n")
	if !strings.HasPrefix(rest, ")") {
		return -1
	}
	return len(text) - len(rest) + 1
}

// Promote writes the statement again with columns in place of properties: columns[i] is what to say instead of
// Properties[i], empty for nothing; it is a name after MarkColumn. The stars leave all these columns out. ok is false
// when the engine's own parser does not find in the new text the very tree of the old one, but for these places: then
// there is nothing to rely on.
func (a *Analysis) Promote(ctx context.Context, columns []string) (sql string, ok bool) {
	out := []byte(a.text)
	changes, from := changes{columns: map[*value][]string{}, stars: map[*value]bool{}}, 0
	for i := range a.Properties {
		p := &a.Properties[i]
		if columns[i] == "" {
			continue
		}
		names, said := []string{columns[i]}, `"`+columns[i]+`"`
		if p.qualifier != "" {
			names, said = []string{p.qualifier, columns[i]}, `"`+strings.ReplaceAll(p.qualifier, `"`, `""`)+`".`+said
		}
		if p.start < from || p.end-p.start < len(said) || strings.ContainsAny(a.text[p.start:p.start+len(said)], "\r\n") {
			continue
		}
		for at := p.start + copy(out[p.start:], said); at < p.end; at++ {
			if out[at] != '\n' && out[at] != '\r' { // a place in the text keeps its line
				out[at] = ' '
			}
		}
		changes.columns[p.node], from = names, p.end
	}
	if len(changes.columns) == 0 {
		return "", false
	}
	for _, column := range columns {
		if column != "" && !slices.Contains(changes.left, column) {
			changes.left = append(changes.left, column)
		}
	}
	slices.Sort(changes.left)
	for _, s := range slices.Backward(slices.SortedFunc(slices.Values(a.stars), func(a, b star) int { return cmp.Compare(a.at, b.at) })) {
		changes.stars[s.node] = true
		out = slices.Insert(out, s.at+1, []byte(` EXCLUDE ("`+strings.Join(changes.left, `", "`)+`")`)...)
	}
	root, err := a.guard.parseTree(ctx, string(out))
	return string(out), err == nil && changes.allThereIs(a.root, root)
}

// changes are what may be other in a tree.
type changes struct {
	columns map[*value][]string // the names that stand in the place of a node
	stars   map[*value]bool     // those that leave columns out
	left    []string            // the columns they leave out
}

// MarkColumn makes a name for Promote from one of letters and digits.
func MarkColumn(name string) string { return columnMark + name }

// allThereIs reports whether one tree is the other with these changes, wherever in the text its nodes stand.
func (c *changes) allThereIs(old, changed *value) bool {
	says := func(v value, name string) bool { return v.kind == '"' && v.text == name }
	if names, ok := c.columns[old]; ok {
		return changed.get("class").text == "COLUMN_REF" && changed.get("alias").text == old.get("alias").text &&
			slices.EqualFunc(changed.get("column_names").items, names, says)
	}
	if old.kind != changed.kind || old.text != changed.text || len(old.items) != len(changed.items) || !slices.Equal(old.names, changed.names) {
		return false
	}
	for i := range old.items {
		member := ""
		if old.kind == '{' {
			member = old.names[i]
		}
		switch {
		case member == "query_location":
		case member == "exclude_list" && c.stars[old]:
			if !slices.EqualFunc(slices.SortedFunc(slices.Values(changed.items[i].items), func(a, b value) int { return cmp.Compare(a.text, b.text) }), c.left, says) {
				return false
			}
		case !c.allThereIs(&old.items[i], &changed.items[i]):
			return false
		}
	}
	return true
}
