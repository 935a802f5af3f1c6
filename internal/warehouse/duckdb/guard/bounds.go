package guard

import (
	"slices"
	"strings"
)

// Bounds are what a statement's own WHERE clauses say of a column of one of the tables, wherever it reads the table: a
// row that is outside them is in none of its answers. Whoever makes the tables may leave such rows out.
//
// Only what surely says so is found: comparisons of the bare column with constants, joined by AND, where the table
// stands alone in FROM.
type Bounds struct {
	Table, Column string
	Lower         []Constant // each row has at least one of these values at least; empty: not known
	Upper         []Constant // at most
	OneOf         []Constant // exactly
}

// Constant is a value as SQL, with a parameter between each two of its texts.
type Constant struct {
	Text       []string
	Parameters []string
}

// bounds finds the bounds of a statement that was passed.
func (w *walk) bounds(statement *value) (found []Bounds) {
	places := map[string][][]Bounds{}
	readingNodes(statement, func(table string, node *value) {
		if w.reads[table] > 0 {
			places[table] = append(places[table], placeBounds(table, node))
		}
	})
	for _, table := range w.tablesRead() {
		if all := places[table]; len(all) == w.reads[table] {
			found = append(found, common(all)...)
		}
	}
	return found
}

// readingNodes finds the SELECTs that read a table and nothing else, all of it and by its own names.
func readingNodes(v *value, each func(table string, node *value)) {
	if from := v.get("from_table"); v.get("type").text == "SELECT_NODE" && from.get("type").text == "BASE_TABLE" &&
		v.get("sample").kind == 'n' && from.get("sample").kind == 'n' && len(from.get("column_name_alias").items) == 0 {
		each(fold(from.get("table_name").text), v)
	}
	for i := range v.items {
		readingNodes(&v.items[i], each)
	}
}

// common is what holds for a row wherever it is read: bounds that every place has, any place's being enough.
func common(places [][]Bounds) (found []Bounds) {
	for _, first := range places[0] {
		b, lower, upper, oneOf := Bounds{Table: first.Table, Column: first.Column}, true, true, true
		for _, place := range places {
			i := slices.IndexFunc(place, func(other Bounds) bool { return other.Column == first.Column })
			if i < 0 {
				lower, upper, oneOf = false, false, false
				break
			}
			b.Lower, lower = append(b.Lower, place[i].Lower...), lower && len(place[i].Lower) > 0
			b.Upper, upper = append(b.Upper, place[i].Upper...), upper && len(place[i].Upper) > 0
			b.OneOf, oneOf = append(b.OneOf, place[i].OneOf...), oneOf && len(place[i].OneOf) > 0
		}
		if !lower {
			b.Lower = nil
		}
		if !upper {
			b.Upper = nil
		}
		if !oneOf {
			b.OneOf = nil
		}
		if lower || upper || oneOf {
			found = append(found, b)
		}
	}
	return found
}

// placeBounds are the bounds that one WHERE clause sets. Of several for the same side of a column, the first counts.
func placeBounds(table string, node *value) (found []Bounds) {
	alias := fold(node.get("from_table").get("alias").text)
	if alias == "" {
		alias = table
	}
	of := func(column string) *Bounds {
		for i := range found {
			if found[i].Column == column {
				return &found[i]
			}
		}
		found = append(found, Bounds{Table: table, Column: column})
		return &found[len(found)-1]
	}
	for _, c := range conjuncts(node.get("where_clause")) {
		switch c.get("class").text {
		case "COMPARISON":
			left, right, kind := c.get("left"), c.get("right"), c.get("type").text
			if column, ok := bareColumn(right, alias); ok {
				if k, ok := constantOf(left); ok {
					of(column).add(turned[kind], k)
				}
			} else if column, ok := bareColumn(left, alias); ok {
				if k, ok := constantOf(right); ok {
					of(column).add(kind, k)
				}
			}
		case "BETWEEN":
			lower, okLower := constantOf(c.get("lower"))
			upper, okUpper := constantOf(c.get("upper"))
			if column, ok := bareColumn(c.get("input"), alias); ok && okLower && okUpper {
				of(column).add("COMPARE_GREATERTHANOREQUALTO", lower)
				of(column).add("COMPARE_LESSTHANOREQUALTO", upper)
			}
		case "OPERATOR":
			if column, all, ok := membership(c, alias); ok && len(of(column).OneOf) == 0 {
				of(column).OneOf = all
			}
		}
	}
	return found
}

// turned are the comparisons with their sides changed.
var turned = map[string]string{
	"COMPARE_EQUAL": "COMPARE_EQUAL", "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN", "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
	"COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO", "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
}

func (b *Bounds) add(comparison string, k Constant) {
	side := map[string]*[]Constant{
		"COMPARE_EQUAL": &b.OneOf, "COMPARE_LESSTHAN": &b.Upper, "COMPARE_LESSTHANOREQUALTO": &b.Upper,
		"COMPARE_GREATERTHAN": &b.Lower, "COMPARE_GREATERTHANOREQUALTO": &b.Lower,
	}[comparison]
	if side != nil && len(*side) == 0 {
		*side = []Constant{k}
	}
}

// conjuncts are the conditions that a WHERE clause joins by AND.
func conjuncts(v *value) (all []*value) {
	if v.get("type").text != "CONJUNCTION_AND" {
		return []*value{v}
	}
	for i := range v.get("children").items {
		all = append(all, conjuncts(&v.get("children").items[i])...)
	}
	return all
}

// membership reads column IN (constants).
func membership(v *value, alias string) (column string, all []Constant, ok bool) {
	items := v.get("children").items
	if v.get("type").text != "COMPARE_IN" || len(items) < 2 {
		return "", nil, false
	}
	if column, ok = bareColumn(&items[0], alias); !ok {
		return "", nil, false
	}
	for i := range items[1:] {
		k, ok := constantOf(&items[1+i])
		if !ok {
			return "", nil, false
		}
		all = append(all, k)
	}
	return column, all, true
}

// bareColumn reads the name of a column, with the table's own name before it or none.
func bareColumn(v *value, alias string) (string, bool) {
	names := v.get("column_names").items
	switch {
	case v.get("class").text != "COLUMN_REF":
	case len(names) == 1:
		return fold(names[0].text), true
	case len(names) == 2 && fold(names[0].text) == alias:
		return fold(names[1].text), true
	}
	return "", false
}

// constantTypes are the types that a constant may be cast to, and constantCalls what may be called in one: the same for
// every row, and no more than a reader of the clock.
var (
	constantTypes = map[string]bool{
		"DATE": true, "TIMESTAMP": true, "TIMESTAMP WITH TIME ZONE": true, "INTERVAL": true, "INTEGER": true, "BIGINT": true, "DOUBLE": true,
	}
	constantCalls = map[string]bool{
		"now": true, "get_current_timestamp": true, "transaction_timestamp": true, "today": true, "trunc": true, "date_trunc": true,
		"to_seconds": true, "to_minutes": true, "to_hours": true, "to_days": true, "to_weeks": true, "to_months": true, "to_years": true,
	}
)

// constantOf writes an expression that is the same for every row as SQL that cannot fail where the expression can: it is
// null then.
func constantOf(v *value) (Constant, bool) {
	switch v.get("class").text {
	case "CONSTANT":
		inner := v.get("value")
		kind, text := inner.get("type").get("id").text, inner.get("value").text
		switch {
		case inner.get("is_null").kind == 't':
		case kind == "VARCHAR":
			return said("'" + strings.ReplaceAll(text, "'", "''") + "'"), true
		case kind == "INTEGER" || kind == "BIGINT":
			return said("(" + text + ")"), inner.get("value").kind == '0'
		}
	case "PARAMETER":
		return Constant{Text: []string{"", ""}, Parameters: []string{v.get("identifier").text}}, true
	case "CAST":
		child, ok := constantOf(v.get("child"))
		kind := v.get("cast_type").get("id").text
		if !ok || !constantTypes[kind] {
			return Constant{}, false
		}
		return joined(said("TRY_CAST("), child, said(" AS "+kind+")")), true
	case "FUNCTION":
		return constantCall(v)
	}
	return Constant{}, false
}

func constantCall(v *value) (Constant, bool) {
	called, args := fold(v.get("function_name").text), v.get("children").items
	operator := (called == "+" || called == "-") && len(args) == 2
	if !operator && !constantCalls[called] || v.get("filter").kind != 'n' || v.get("distinct").kind != 'f' || len(v.get("order_bys").get("orders").items) > 0 {
		return Constant{}, false
	}
	between, all := ", ", said(called+"(")
	if operator {
		between, all = " "+called+" ", said("(")
	}
	for i := range args {
		k, ok := constantOf(&args[i])
		if !ok {
			return Constant{}, false
		}
		if i > 0 {
			all = joined(all, said(between))
		}
		all = joined(all, k)
	}
	return joined(all, said(")")), true
}

func said(text string) Constant { return Constant{Text: []string{text}} }

// joined is one constant of several that follow one another.
func joined(parts ...Constant) Constant {
	all := Constant{Text: []string{""}}
	for _, p := range parts {
		last := len(all.Text) - 1
		all.Text = append(append(all.Text[:last:last], all.Text[last]+p.Text[0]), p.Text[1:]...)
		all.Parameters = append(all.Parameters, p.Parameters...)
	}
	return all
}
