package duckdb

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
)

// A statement's conditions do not move below the barrier, and so would not spare the engine from reading what they leave
// out. Those that compare a plain column with constants cannot fail, and are asked below it once more; of TRY of the
// column, as relation says.

// prune gives the conditions below the barrier of a table that the bounds of a statement allow: on columns that are
// shown as they are stored. They are true for every row that the statement could use.
func prune(q *question, bounds []guard.Bounds, table view.Table, plain []string) (where []string) {
	for _, b := range bounds {
		if b.Table != table.Name || !slices.Contains(plain, b.Column) {
			continue
		}
		kind := ""
		for _, c := range table.Columns {
			if c.Name == b.Column {
				kind = c.Type
			}
		}
		column := "TRY(" + name(b.Column) + ")"
		switch kind {
		case "TIMESTAMP":
			lower, upper := b.Lower, b.Upper
			if len(b.OneOf) > 0 {
				lower, upper = b.OneOf, b.OneOf
			}
			if all, ok := written(q, lower, func(sql string) string { return "coalesce(TRY(CAST(" + sql + " AS TIMESTAMP)), TIMESTAMP '-infinity')" }); ok {
				where = append(where, column+" >= least("+all+")")
			}
			if all, ok := written(q, upper, func(sql string) string { return "coalesce(TRY(CAST(" + sql + " AS TIMESTAMP)), TIMESTAMP 'infinity')" }); ok {
				where = append(where, column+" <= greatest("+all+")")
			}
		case "VARCHAR":
			if !slices.ContainsFunc(b.OneOf, isNoText) {
				if all, ok := written(q, b.OneOf, func(sql string) string { return sql }); ok {
					where = append(where, column+" IN ("+all+")")
				}
			}
		}
	}
	return where
}

// isNoText reports whether a constant is anything but a text or a parameter.
func isNoText(k guard.Constant) bool {
	return len(k.Parameters) == 0 && !strings.HasPrefix(k.Text[0], "'") || len(k.Parameters) > 0 && k.Text[0]+k.Text[1] != ""
}

// written writes constants as a list, with the texts that parameters have. ok is false when there are none, or a
// parameter is no text.
func written(q *question, constants []guard.Constant, each func(string) string) (list string, ok bool) {
	var all []string
	for _, k := range constants {
		var sql strings.Builder
		sql.WriteString(k.Text[0])
		for i, p := range k.Parameters {
			value, _, _ := parameter(q, p)
			if value.Kind() != '"' {
				return "", false
			}
			text, err := jsontext.AppendUnquote(nil, value)
			if err != nil || slices.Contains(text, 0) {
				return "", false
			}
			sql.WriteString(literal(string(text)) + k.Text[i+1])
		}
		all = append(all, each(sql.String()))
	}
	return strings.Join(all, ", "), len(all) > 0
}
