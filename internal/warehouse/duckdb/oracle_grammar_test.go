package duckdb

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// grammar writes random statements whose answers are settled by the rows there are, whatever their order and whatever
// plan the engine makes, but for their order. Many of them fail for some rows.
type grammar struct {
	t      *rapid.T
	schema []view.Table
	all    []view.Table // with the columns that are hidden too
	deep   int          // how much further down it may go
	names  int
	ctes   []relationOf
	small  bool // rows may be joined with rows
	clean  bool // what is seen makes few statements fail
}

// relationOf is something in FROM, or that can be there.
type relationOf struct {
	name    string
	columns []query.Column
}

func (g *grammar) pick(label string, of ...string) string {
	return rapid.SampledFrom(of).Draw(g.t, label)
}

func (g *grammar) chance(label string, percent int) bool {
	return rapid.IntRange(0, 99).Draw(g.t, label) >= 100-percent
}

func (g *grammar) number(label string, most int) int { return rapid.IntRange(0, most).Draw(g.t, label) }

func (g *grammar) fresh(prefix string) string {
	g.names++
	return fmt.Sprint(prefix, g.names)
}

// statement is a whole statement.
func (g *grammar) statement() string {
	g.deep, g.names, g.ctes = 3, 0, nil
	var with []string
	for range max(0, g.number("ctes", 4)-2) {
		r := relationOf{name: g.fresh("c")}
		var text string
		text, r.columns = g.query()
		with = append(with, r.name+" AS "+g.pick("materialized", "", "MATERIALIZED ", "NOT MATERIALIZED ")+"("+text+")")
		g.ctes = append(g.ctes, r)
	}
	text, _ := g.query()
	if len(with) > 0 {
		text = "WITH " + strings.Join(with, ", ") + " " + text
	}
	if g.chance("order", 25) {
		text = "SELECT * FROM (" + strings.TrimPrefix(text, "") + ") ORDER BY ALL " + g.pick("direction", "", "DESC NULLS LAST ") +
			fmt.Sprintf("LIMIT %d", g.number("limit", 12))
	}
	return text
}

// query is a query with columns of known names.
func (g *grammar) query() (string, []query.Column) {
	g.deep--
	defer func() { g.deep++ }()
	if g.deep > 0 && g.chance("set operation", 10) {
		return g.setOperation()
	}
	switch g.number("query", 9) {
	case 0, 1:
		return g.plain("*")
	case 2, 3, 4:
		return g.grouped()
	case 5:
		return g.windowed()
	default:
		return g.plain("")
	}
}

// setOperation joins two queries over the same kinds of columns.
func (g *grammar) setOperation() (string, []query.Column) {
	kinds := []string{"VARCHAR", "BIGINT"}
	side := func() string {
		from, env := g.from()
		var list []string
		for i, kind := range kinds {
			list = append(list, fmt.Sprintf("%s AS x%d", g.expression(kind, env), i))
		}
		return "SELECT " + strings.Join(list, ", ") + " FROM " + from + g.where(env)
	}
	return side() + g.pick("operation", " UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT ", " EXCEPT ALL ", " INTERSECT ALL ") + side(),
		[]query.Column{{Name: "x0", Type: kinds[0]}, {Name: "x1", Type: kinds[1]}}
}

// plain is a query of rows.
func (g *grammar) plain(star string) (string, []query.Column) {
	from, env := g.from()
	if star != "" && len(env) == 1 {
		list := g.pick("star", "*", "*", env[0].name+".*", "COLUMNS('.*')", "COLUMNS(c -> c LIKE '%id')", "* EXCLUDE ("+env[0].columns[0].Name+")")
		columns := slices.Clone(env[0].columns)
		if strings.Contains(list, "EXCLUDE") {
			columns = columns[1:]
		}
		if strings.Contains(list, "LIKE") || len(columns) == 0 {
			return "SELECT count(*) AS n, list_sort(list(" + env[0].name + "::VARCHAR)) AS l FROM (SELECT " + list + " FROM " + from + g.where(env) + ") AS " + env[0].name,
				[]query.Column{{Name: "n", Type: "BIGINT"}, {Name: "l", Type: "LIST"}}
		}
		return "SELECT " + list + " FROM " + from + g.where(env), columns
	}
	var list []string
	var columns []query.Column
	for range 1 + g.number("columns", 3) {
		c := query.Column{Name: g.fresh("x"), Type: g.kind()}
		if g.chance("alias like a column", 5) {
			c.Name = g.pick("alias", "event", "distinct_id", `"timestamp"`, "received_at", "key_id")
		}
		list, columns = append(list, g.expression(c.Type, env)+" AS "+c.Name), append(columns, c)
	}
	return "SELECT " + g.pick("distinct", "", "", "DISTINCT ") + strings.Join(list, ", ") + " FROM " + from + g.where(env), columns
}

func (g *grammar) kind() string {
	return g.pick("kind", "VARCHAR", "VARCHAR", "BIGINT", "BOOLEAN", "TIMESTAMP", "JSON")
}

// grouped is a query of aggregates.
func (g *grammar) grouped() (string, []query.Column) {
	from, env := g.from()
	var list, by []string
	var columns []query.Column
	for range g.number("groups", 2) {
		c := query.Column{Name: g.fresh("x"), Type: g.pick("kind of group", "VARCHAR", "BIGINT", "TIMESTAMP")}
		e := g.expression(c.Type, env)
		list, by, columns = append(list, e+" AS "+c.Name), append(by, c.Name), append(columns, c)
	}
	for range 1 + g.number("aggregates", 2) {
		c := query.Column{Name: g.fresh("x")}
		var e string
		e, c.Type = g.aggregate(env)
		list, columns = append(list, e+" AS "+c.Name), append(columns, c)
	}
	sql := "SELECT " + strings.Join(list, ", ") + " FROM " + from + g.where(env)
	if len(by) > 0 {
		sql += " GROUP BY " + g.pick("grouping", "ALL", strings.Join(by, ", "), "ROLLUP ("+strings.Join(by, ", ")+")")
		if g.chance("having", 20) {
			sql += " HAVING count(*) > " + fmt.Sprint(g.number("least", 3))
		}
	}
	return sql, columns
}

func (g *grammar) aggregate(env []relationOf) (text, kind string) {
	filter := ""
	if g.chance("filter", 20) {
		filter = " FILTER (WHERE " + g.expression("BOOLEAN", env) + ")"
	}
	e := func(kind string) string { return g.expression(kind, env) }
	switch g.number("aggregate", 11) {
	case 0:
		return "count(*)" + filter, "BIGINT"
	case 1:
		return "count(DISTINCT " + e("VARCHAR") + ")" + filter, "BIGINT"
	case 2:
		return "sum(" + e("BIGINT") + ")" + filter, "HUGEINT"
	case 3:
		return "min(" + e("VARCHAR") + ")" + filter, "VARCHAR"
	case 4:
		return "max(" + e("TIMESTAMP") + ")" + filter, "TIMESTAMP"
	case 5:
		x := e("VARCHAR")
		return "string_agg(" + x + ", ',' ORDER BY " + x + ")" + filter, "VARCHAR"
	case 6:
		return "bool_or(" + e("BOOLEAN") + ")" + filter, "BOOLEAN"
	case 7:
		return "max(length(" + e("JSON") + "::VARCHAR))" + filter, "BIGINT"
	case 8:
		return "quantile_disc(" + e("BIGINT") + ", 0.5)" + filter, "BIGINT"
	case 9:
		return "approx_count_distinct(" + e("VARCHAR") + ")" + filter, "BIGINT"
	case 10:
		return "list_sort(list(DISTINCT " + e("VARCHAR") + ")" + filter + ")::VARCHAR", "VARCHAR"
	default:
		return "count(" + e("JSON") + ")" + filter, "BIGINT"
	}
}

// windowed is a query with a window whose ties make no difference.
func (g *grammar) windowed() (string, []query.Column) {
	from, env := g.from()
	over := " OVER (PARTITION BY " + g.expression("VARCHAR", env) + " ORDER BY " + g.expression(g.pick("window's order", "TIMESTAMP", "BIGINT"), env) + ")"
	call := g.pick("window", "rank()", "dense_rank()", "count(*)", "min("+g.expression("BIGINT", env)+")", "max("+g.expression("BIGINT", env)+")", "cume_dist()")
	x, y := g.fresh("x"), g.fresh("x")
	sql := "SELECT " + g.expression("VARCHAR", env) + " AS " + x + ", " + call + over + " AS " + y + " FROM " + from + g.where(env)
	if g.chance("qualify", 20) {
		sql += " QUALIFY " + y + " <= 2"
	}
	return sql, []query.Column{{Name: x, Type: "VARCHAR"}, {Name: y, Type: "BIGINT"}}
}

func (g *grammar) where(env []relationOf) string {
	if g.chance("no where", 30) {
		return ""
	}
	bound := ""
	for g.chance("bound", 30) {
		bound += g.bound(env) + " AND "
	}
	return " WHERE " + bound + g.expression("BOOLEAN", env)
}

// bound is a condition that can be asked where rows are read.
func (g *grammar) bound(env []relationOf) string {
	moment := func() string {
		return g.pick("bound's moment", "'2026-01-01 00:00:10'", "TIMESTAMP '2026-01-01 00:00:05'", "DATE '2026-01-01'", "'2026-01-01T00:00:12+00:00'", "now() - INTERVAL 7 DAY",
			"'no time'", "TIMESTAMPTZ '2026-01-01 00:00:07Z'", "now() + INTERVAL '1 year'", "5", "date_trunc('minute', TIMESTAMP '2026-01-01 00:01:00')")
	}
	word := func() string {
		return g.pick("bound's word", "'a'", "'b'", "'u1'", "'u2'", "'key_1'", "'12'", "12", "'track'")
	}
	column := g.of("VARCHAR", env)
	at := g.of("TIMESTAMP", env)
	if g.chance("bare", 30) {
		column, at = column[strings.IndexByte(column, '.')+1:], at[strings.IndexByte(at, '.')+1:]
	}
	switch g.number("bound", 4) {
	case 0:
		return column + " = " + word()
	case 1:
		return column + " IN (" + word() + ", " + word() + ")"
	case 2:
		return at + " BETWEEN " + moment() + " AND " + moment()
	case 3:
		return moment() + g.pick("turned", " < ", " <= ", " > ") + at
	default:
		return at + g.pick("straight", " < ", " >= ", " > ", " = ") + moment()
	}
}

// from is a FROM clause and what it brings into sight.
func (g *grammar) from() (string, []relationOf) {
	text, r := g.source()
	env := []relationOf{r}
	if !g.small || !g.chance("join", 30) {
		return text, env
	}
	other, s := g.source()
	both := append(env, s)
	condition := g.expression("BOOLEAN", both)
	if g.chance("equal join", 70) {
		condition = g.of("VARCHAR", env) + " = " + g.of("VARCHAR", both[1:])
		if g.chance("and", 30) {
			condition += " AND " + g.expression("BOOLEAN", both)
		}
	}
	switch kind := g.pick("join kind", "JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", "CROSS JOIN", "NATURAL JOIN"); kind {
	case "CROSS JOIN":
		return text + " CROSS JOIN " + other, both
	case "NATURAL JOIN":
		return text + " NATURAL JOIN " + other, both
	case "SEMI JOIN", "ANTI JOIN":
		return text + " " + kind + " " + other + " ON " + condition, env
	default:
		return text + " " + kind + " " + other + " ON " + condition, both
	}
}

// source is one thing in FROM.
func (g *grammar) source() (string, relationOf) {
	alias := g.fresh("r")
	switch n := g.number("source", 9); {
	case n == 0 && g.deep > 0:
		text, columns := g.query()
		return "(" + text + ") AS " + alias, relationOf{alias, columns}
	case n <= 2 && len(g.ctes) > 0:
		r := rapid.SampledFrom(g.ctes).Draw(g.t, "cte")
		return r.name + " AS " + alias, relationOf{alias, r.columns}
	case n == 3:
		t, json := g.table()
		if json != "" {
			r := g.fresh("r")
			return g.spelled(t.Name) + " AS " + r + ", json_each(" + r + "." + json + ") AS " + alias,
				relationOf{alias, []query.Column{{Name: "key", Type: "VARCHAR"}, {Name: "value", Type: "JSON"}, {Name: "type", Type: "VARCHAR"}}}
		}
		fallthrough
	default:
		t, _ := g.table()
		return g.spelled(t.Name) + " AS " + alias, relationOf{alias, t.Columns}
	}
}

func (g *grammar) spelled(table string) string {
	return g.pick("spelling", table, table, strings.ToUpper(table), `"`+table+`"`)
}

func (g *grammar) table() (t view.Table, json string) {
	t = rapid.SampledFrom(g.schema).Draw(g.t, "table")
	for _, c := range t.Columns {
		if c.Type == "JSON" {
			json = c.Name
		}
	}
	return t, json
}

// of is a column of a kind; a constant when there is none.
func (g *grammar) of(kind string, env []relationOf) string {
	var some []string
	for _, r := range env {
		for _, c := range r.columns {
			if c.Type == kind {
				some = append(some, r.name+"."+c.Name)
			}
		}
	}
	if len(some) == 0 {
		return map[string]string{"VARCHAR": "'u1'", "BIGINT": "7", "BOOLEAN": "true", "TIMESTAMP": "TIMESTAMP '2026-01-01 00:00:02'", "JSON": "'{\"n\":1}'::JSON"}[kind]
	}
	if g.chance("hidden name", 1) {
		c := rapid.SampledFrom(rapid.SampledFrom(g.all).Draw(g.t, "any table").Columns).Draw(g.t, "any column")
		return g.pick("qualified", "", env[0].name+".") + c.Name
	}
	return rapid.SampledFrom(some).Draw(g.t, "column")
}

// expression is an expression of a kind. It may fail for some rows.
func (g *grammar) expression(kind string, env []relationOf) string {
	g.deep--
	defer func() { g.deep++ }()
	if g.deep < -3 {
		return g.of(kind, env)
	}
	if g.deep > 0 && g.small && g.chance("scalar subquery", 4) {
		return g.scalar(kind, env)
	}
	switch kind {
	case "VARCHAR":
		return g.text(env)
	case "BIGINT":
		return g.whole(env)
	case "BOOLEAN":
		return g.truth(env)
	case "TIMESTAMP":
		return g.time(env)
	}
	return g.json(env)
}

// scalar is a subquery for one value, which fails when it has several rows.
func (g *grammar) scalar(kind string, env []relationOf) string {
	from, inner := g.from()
	both := append(slices.Clone(env), inner...)
	switch g.number("scalar", 2) {
	case 0:
		return "(SELECT " + g.expression(kind, inner) + " FROM " + from + g.where(inner) + ")"
	case 1:
		return "(SELECT max(" + g.expression(kind, inner) + ") FROM " + from + " WHERE " + g.of("VARCHAR", inner) + " = " + g.of("VARCHAR", env) + ")"
	default:
		return "(SELECT min(" + g.expression(kind, inner) + ") FROM " + from + " WHERE " + g.expression("BOOLEAN", both) + ")"
	}
}

func (g *grammar) property() string {
	return g.pick("property", "country", "n", "n", "flag", "a", "secret", "w", "k.1", `q\"q`, "missing")
}

func (g *grammar) text(env []relationOf) string {
	e := func(kind string) string { return g.expression(kind, env) }
	switch g.number("text", 9) {
	case 0, 1, 2:
		return g.of("VARCHAR", env)
	case 3, 4:
		return "(" + g.of("JSON", env) + "->>'" + g.property() + "')"
	case 5:
		return "upper(" + e("VARCHAR") + ")"
	case 6:
		return "(" + e("VARCHAR") + " || " + e("VARCHAR") + ")"
	case 7:
		return "(" + e(g.kind()) + ")::VARCHAR"
	case 8:
		return "CASE WHEN " + e("BOOLEAN") + " THEN " + e("VARCHAR") + " ELSE " + e("VARCHAR") + " END"
	default:
		return g.pick("text function", "coalesce("+e("VARCHAR")+", 'none')", "left("+e("VARCHAR")+", 3)", "json_keys("+g.of("JSON", env)+")::VARCHAR",
			"date_trunc("+g.pick("part", "'day'", "'hour'", g.of("VARCHAR", env))+", "+e("TIMESTAMP")+")::VARCHAR", "json_structure("+g.of("JSON", env)+")::VARCHAR",
			"chr(("+e("BIGINT")+")::INTEGER)", "typeof("+e("JSON")+")", "split_part("+e("VARCHAR")+", 'c', 1)", "regexp_extract("+e("VARCHAR")+", '[0-9]+')",
			"from_json("+g.of("JSON", env)+", '{\"n\":\"VARCHAR\",\"secret\":\"VARCHAR\"}')::VARCHAR", "sha256("+e("VARCHAR")+")")
	}
}

func (g *grammar) whole(env []relationOf) string {
	e := func(kind string) string { return g.expression(kind, env) }
	n := g.number("whole", 9)
	if g.clean && n != 5 {
		return "(" + g.of("JSON", env) + "->>'" + g.pick("clean property", "n", "n", "w") + "')::" + g.pick("integer type", "BIGINT", "INTEGER::BIGINT", "TINYINT::BIGINT")
	}
	switch n {
	case 0, 1:
		return "CAST(" + e("VARCHAR") + " AS BIGINT)"
	case 2, 3:
		return "(" + g.of("JSON", env) + "->>'" + g.pick("numeric property", "n", "n", "n", "country", "w") + "')::" + g.pick("integer type", "BIGINT", "INTEGER::BIGINT", "TINYINT::BIGINT", "DOUBLE::BIGINT")
	case 4:
		return "length(" + e("VARCHAR") + ")"
	case 5:
		return "(" + e("BIGINT") + g.pick("arithmetic", " + ", " * ", " - ", " % ", " // ") + e("BIGINT") + ")"
	case 6:
		return "TRY_CAST(" + e("VARCHAR") + " AS BIGINT)"
	case 7:
		return "epoch(" + e("TIMESTAMP") + ")::BIGINT"
	case 8:
		return "coalesce(" + e("BIGINT") + ", 0)"
	default:
		return g.pick("whole function", "json_array_length("+g.of("JSON", env)+"->'a')", "factorial((length("+e("VARCHAR")+") - 3)::INTEGER)::BIGINT",
			"sqrt("+e("BIGINT")+")::BIGINT", "ln(length("+e("VARCHAR")+"))::BIGINT", "("+e("BOOLEAN")+")::BIGINT", "(9223372036854775800 + length("+e("VARCHAR")+"))",
			"list_extract(["+e("BIGINT")+", 2], 1)", "strptime("+e("VARCHAR")+", '%Y')::DATE - DATE '2026-01-01'")
	}
}

func (g *grammar) truth(env []relationOf) string {
	e := func(kind string) string { return g.expression(kind, env) }
	switch g.number("truth", 10) {
	case 0, 1:
		return e("BIGINT") + g.pick("comparison", " > ", " = ", " <= ", " <> ") + fmt.Sprint(g.number("constant", 20))
	case 2:
		return g.of("VARCHAR", env) + g.pick("equality", " = ", " <> ", " >= ") + g.pick("word", "'a'", "'u1'", "'b'", "'FR'")
	case 3:
		return "(" + e("BOOLEAN") + g.pick("logic", " AND ", " OR ") + e("BOOLEAN") + ")"
	case 4:
		return "NOT (" + e("BOOLEAN") + ")"
	case 5:
		return e(g.kind()) + g.pick("null", " IS NULL", " IS NOT NULL")
	case 6:
		return e("VARCHAR") + g.pick("like", " LIKE '%a%'", " ILIKE '%F%'", " IN ('u1', 'a', 'FR')", " BETWEEN 'a' AND 'c'")
	case 7:
		return e("TIMESTAMP") + g.pick("time comparison", " < ", " >= ") + g.pick("moment", "'2026-01-01 00:00:10'", "TIMESTAMP '2026-01-01 00:00:05'", "DATE '2026-01-01'")
	case 8:
		if g.deep > 0 && g.small {
			from, inner := g.from()
			return g.pick("subquery", "EXISTS (SELECT 1 FROM "+from+" WHERE "+g.of("VARCHAR", inner)+" = "+g.of("VARCHAR", env)+")",
				e("VARCHAR")+g.pick("in", " IN ", " NOT IN ")+"(SELECT "+g.expression("VARCHAR", inner)+" FROM "+from+g.where(inner)+")",
				e("BIGINT")+" > ALL (SELECT "+g.expression("BIGINT", inner)+" FROM "+from+")")
		}
		return "true"
	case 9:
		if g.clean {
			return "(" + g.of("JSON", env) + "->>'flag')::BOOLEAN"
		}
		return "CAST(" + e("VARCHAR") + " AS BOOLEAN)"
	default:
		return "(" + g.of("JSON", env) + "->>'flag')::BOOLEAN"
	}
}

func (g *grammar) time(env []relationOf) string {
	switch n := g.number("time", 5); {
	case n == 0 && !g.clean:
		return "CAST(" + g.expression("VARCHAR", env) + " AS TIMESTAMP)"
	case n == 1:
		return "date_trunc('" + g.pick("unit", "second", "minute", "day") + "', " + g.of("TIMESTAMP", env) + ")"
	case n == 2:
		return "(" + g.of("TIMESTAMP", env) + " + to_seconds(" + g.expression("BIGINT", env) + "))"
	}
	return g.of("TIMESTAMP", env)
}

func (g *grammar) json(env []relationOf) string {
	switch n := g.number("json", 5); {
	case n == 0:
		return "(" + g.of("JSON", env) + "->'" + g.property() + "')"
	case n == 1 && !g.clean:
		return "CAST(" + g.expression("VARCHAR", env) + " AS JSON)"
	case n == 2:
		return "json_extract(" + g.of("JSON", env) + ", '" + g.pick("path", "$.a", "$.a.b", "$.a[0].b", "/a/b", "$.*", "/secret", "$.secret", "/k.1") + "')::JSON"
	case n == 3:
		return "to_json(" + g.pick("row", g.of("VARCHAR", env), g.of("TIMESTAMP", env), env[0].name) + ")"
	}
	return g.of("JSON", env)
}
