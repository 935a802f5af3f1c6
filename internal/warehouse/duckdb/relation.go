package duckdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// The relations of a scope are temporary views of the connection that the statement runs on, under the names that the
// statement knows: a temporary name comes before any other, and goes with the connection.
//
//	CREATE TEMP VIEW events AS
//	SELECT "event_id", …, weir_rewrite_text(4711, "distinct_id") AS "distinct_id"   what is shown, and how
//	FROM (SELECT TRY("event_id") AS "event_id", … FROM store.event                  the rows, and nothing known of others
//	      WHERE kind = 1 AND …) TABLESAMPLE SYSTEM (100 PERCENT)                    the barrier
//
// The barrier is a sample of everything. The engine moves a statement's conditions down to where rows are read, through
// projections and through other filters, and so may ask 1 / n > 0 of a row before it asks whether the row may be seen;
// an error would tell of it. No filter moves through a sample: it would change what is sampled. The operator hands each
// block on as it is, on every thread.
//
// TRY of a column is the column. But the engine knows the least and the greatest value of a stored column, and whether
// it has nulls, of all rows together; where that settles a condition, it does not evaluate it, nor what stands beside
// it, and whether a statement fails would tell of the greatest value there is. Of TRY it knows nothing. The conditions
// below the barrier are of TRY of columns for the same reason, and cost no more.

// source is where a table's rows are: a relation, and the condition that a row is one of the table's, if there is one.
// With persons, the rows of events say whose they are, as far as a scope tells.
func source(table string, scope view.Scope, persons bool) (relation, condition string, err error) {
	switch {
	case table == personsTable:
		return personRows, "", nil
	case persons:
		relation, err = eventsOfPersons(scope)
		return relation, "kind = 1", err
	}
	return "store.event", "kind = 1", nil
}

// narrow makes the relations of a question's scope on a connection. Of the whole space it makes the one of events, which
// has columns then that are not always there, and with a time zone all. The function gives back what they need, when the
// statement is over.
func (i *instance) narrow(ctx context.Context, conn *native.Conn, q *question, analysis *guard.Analysis, used []column) (back func(), err error) {
	var all []func()
	back = func() {
		for _, f := range all {
			f()
		}
	}
	if err := scopeFault(&query.Statement{Scope: q.Scope}); err != nil {
		return back, err
	}
	lend := func(f native.Rewriter) int64 {
		number, back := i.db.Lend(f)
		all = append(all, back)
		return number
	}
	for _, table := range tables(analysis.PersonID) {
		if q.Scope.Whole() && q.TimeZone == "" && table.Name != promotedTable {
			continue // it is what it is
		}
		err := makeRelation(ctx, conn, q, analysis.Bounds, table, used, lend)
		if native.IsKind(err, native.Statement) { // the bounds may be at fault, and they are the statement's: it is to fail for itself
			err = makeRelation(ctx, conn, q, nil, table, used, lend)
		}
		if err != nil {
			back()
			return func() {}, relationFault(table.Name, err)
		}
	}
	return back, nil
}

func makeRelation(
	ctx context.Context, conn *native.Conn, q *question, bounds []guard.Bounds, table view.Table, used []column, lend func(native.Rewriter) int64,
) error {
	sql, err := relation(q, bounds, table, used, lend)
	if err != nil {
		return err
	}
	return conn.Exec(ctx, sql)
}

// relationFault is the fault of a relation that could not be made. The engine's words could hold what the scope's
// conditions do, and so are kept to their first.
func relationFault(table string, err error) error {
	var e *native.Error
	if !errors.As(err, &e) || e.Kind == native.Memory || e.Kind == native.Interrupted || e.Kind == native.Broken {
		return err
	}
	class, _, _ := strings.Cut(e.Message, ":")
	return fmt.Errorf("duckdb: the relation %s of a scope could not be made: %s", table, class)
}

// relation is the statement that makes a table's relation. A table that is not in the scope gets one without rows or
// columns of its own, so that its name leads nowhere else.
func relation(q *question, bounds []guard.Bounds, table view.Table, used []column, lend func(native.Rewriter) int64) (string, error) {
	narrow, visible := q.Scope.Table(table.Name)
	if !visible {
		return "CREATE OR REPLACE TEMP VIEW " + name(table.Name) + ` AS SELECT NULL AS "none" WHERE false`, nil
	}
	columns, shown, err := columnsOf(q, narrow, table, lend)
	if err != nil {
		return "", err
	}
	relation, own, err := source(table.Name, q.Scope, slices.Contains(columns, name(view.PersonID)))
	if err != nil {
		return "", err
	}
	var where []string
	if own != "" {
		where = append(where, own)
	}
	held, err := holding(narrow.Where)
	if err != nil {
		return "", err
	}
	where = append(where, held...)
	if table.Name != promotedTable {
		used = nil
	}
	plain := asStored(columns, shown)
	if q.Scope.Whole() {
		for _, c := range used {
			shown = append(shown, c.name+" AS "+name(c.mark()))
		}
		if own != "" {
			relation += " WHERE " + own
		}
		return "CREATE OR REPLACE TEMP VIEW " + name(table.Name) + " AS SELECT " + strings.Join(shown, ", ") + " FROM " + relation, nil
	}
	for _, c := range used {
		shown = append(shown, name(c.mark()))
	}
	sql := "CREATE OR REPLACE TEMP VIEW " + name(table.Name) + " AS SELECT " + strings.Join(shown, ", ") + " FROM "
	if len(where) == 0 { // no row is hidden
		return sql + relation, nil // it has no columns: those are of a table with a condition of its own
	}
	where = append(prune(q, bounds, table, plain), where...)
	for i, column := range columns {
		columns[i] = "TRY(" + column + ") AS " + column
	}
	for _, c := range used {
		columns = append(columns, "TRY("+c.name+") AS "+name(c.mark()))
	}
	return sql + "(SELECT " + strings.Join(columns, ", ") + " FROM " + relation + " WHERE " + strings.Join(where, " AND ") +
		") TABLESAMPLE SYSTEM (100 PERCENT)", nil
}

// asStored are the columns that are shown as they are stored.
func asStored(columns, shown []string) (plain []string) {
	for i, column := range columns {
		if shown[i] == column {
			plain = append(plain, strings.Trim(column, `"`))
		}
	}
	return plain
}

// columnsOf are the columns that are shown, and the expressions that show them.
func columnsOf(q *question, narrow view.TableScope, table view.Table, lend func(native.Rewriter) int64) (columns, shown []string, err error) {
	masks, err := masksOf(narrow)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range table.Columns {
		m := masks[c.Name]
		if m != nil && m.hide {
			continue
		}
		columns = append(columns, name(c.Name))
		switch {
		case m == nil:
			shown = append(shown, showTime(q, c))
		case m.hash:
			number := lend(func(dst, text []byte) ([]byte, bool) { return q.Scope.HashKey.AppendHash(dst, text), true })
			shown = append(shown, rewritten(native.RewriteText, number, c.Name))
		default:
			number := lend((&masker{mask: m, key: q.Scope.HashKey}).rewrite)
			shown = append(shown, rewritten(native.RewriteJSON, number, c.Name))
		}
	}
	return columns, shown, nil
}

// masksOf are the masks of a table's columns, by their names.
func masksOf(narrow view.TableScope) (map[string]*mask, error) {
	masks := map[string]*mask{}
	for _, masked := range []struct {
		names []string
		set   func(*mask)
	}{{narrow.Hidden, func(m *mask) { m.hide = true }}, {narrow.Hashed, func(m *mask) { m.hash = true }}} {
		for _, name := range masked.names {
			column, path, err := view.Masked(name)
			if err != nil {
				return nil, err
			}
			if masks[column] == nil {
				masks[column] = &mask{}
			}
			masked.set(masks[column].at(path))
		}
	}
	return masks, nil
}

func rewritten(function string, number int64, column string) string {
	return fmt.Sprintf("%s(%d, %s) AS %s", function, number, name(column), name(column))
}

// condition is a condition as SQL. Whatever a row holds, it is true, false or null, and no error.
func condition(c view.Condition) (string, error) {
	if c.Property == "" {
		return compare(c.Op, "TRY("+name(c.Column)+")", c.Values)
	}
	path, err := c.Path()
	if err != nil {
		return "", err
	}
	of := name(c.Column) + ", " + literal(view.Pointer(path))
	var sql string
	switch {
	case c.Op == view.IsNull:
		sql = "coalesce(json_type(" + of + "), 'NULL') = 'NULL'"
	case c.Op == view.IsNotNull:
		sql = "json_type(" + of + ") <> 'NULL'"
	default:
		sql, err = compareProperty(c, of)
	}
	// The engine takes what was stored for JSON. Should it not be, that is no match, and no error that shows it.
	return "TRY(" + sql + ")", err
}

// compareProperty compares a property with values of its own kind. The JSON of a value has its kind in it: where that
// is enough, it is read once.
func compareProperty(c view.Condition, of string) (string, error) {
	json := "CAST(json_extract(" + of + ") AS VARCHAR)"
	kind := func(kinds string) string { return " AND json_type(" + of + ") IN (" + kinds + ")" }
	switch c.Values[0].(type) {
	case bool:
		var hold []string
		for _, v := range []bool{false, true} {
			if slices.Contains(c.Values, any(v)) == (c.Op == view.Equal || c.Op == view.In) {
				hold = append(hold, literal(strconv.FormatBool(v)))
			}
		}
		if hold == nil {
			return "false", nil
		}
		return json + " IN (" + strings.Join(hold, ", ") + ")", nil
	case string:
		if quoted, ok := quotedAll(c); ok {
			return compare(view.In, json, quoted)
		}
		sql, err := compare(c.Op, "json_extract_string("+of+")", c.Values)
		return sql + kind("'VARCHAR'"), err
	}
	if c.Exact() {
		sql, err := compare(c.Op, "TRY_CAST("+json+" AS HUGEINT)", c.Values)
		return sql + kind("'BIGINT', 'UBIGINT'"), err
	}
	return compare(c.Op, "TRY_CAST("+json+" AS DOUBLE)", c.Values) // of a number; other JSON is none
}

// quotedAll writes texts that a property may be as the engine writes JSON; ok is false when something else is asked, or
// it has more than one way to write them.
func quotedAll(c view.Condition) (quoted []any, ok bool) {
	if c.Op != view.Equal && c.Op != view.In {
		return nil, false
	}
	for _, v := range c.Values {
		text, _ := v.(string)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
			return nil, false
		}
		quoted = append(quoted, `"`+strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"`, `\"`)+`"`)
	}
	return quoted, true
}

// compare is a comparison of an expression with values.
func compare(op view.Op, expression string, values []any) (string, error) {
	written := make([]string, len(values))
	for i, v := range values {
		if written[i] = constant(v); written[i] == "" {
			return "", fmt.Errorf("duckdb: a value of type %T cannot be compared with", v)
		}
	}
	switch op {
	case view.IsNull:
		return expression + " IS NULL", nil
	case view.IsNotNull:
		return expression + " IS NOT NULL", nil
	case view.In:
		return expression + " IN (" + strings.Join(written, ", ") + ")", nil
	case view.NotIn:
		return expression + " NOT IN (" + strings.Join(written, ", ") + ")", nil
	case view.NotEqual:
		return expression + " <> " + written[0], nil
	case view.Equal, view.Less, view.LessEqual, view.Greater, view.GreaterEqual:
		return expression + " " + string(op) + " " + written[0], nil
	}
	return "", fmt.Errorf("duckdb: the op %q is not known", op)
}

// constant writes a value; empty for one of another type.
func constant(value any) string {
	switch v := value.(type) {
	case string:
		return literal(v)
	case int64:
		return "CAST(" + literal(strconv.FormatInt(v, 10)) + " AS BIGINT)"
	case float64:
		return "CAST(" + literal(strconv.FormatFloat(v, 'g', -1, 64)) + " AS DOUBLE)"
	case time.Time:
		return "CAST(" + literal(v.UTC().Format("2006-01-02 15:04:05.000000")) + " AS TIMESTAMP)"
	}
	return ""
}

// literal writes a text so that the engine reads exactly that text: within single quotation marks only they themselves
// mean something. Text with a NUL character, which would end it, never comes here.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// name writes the name of a column or a table.
func name(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }
