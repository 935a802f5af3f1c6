package duckdb

import (
	"context"
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// Functions lists the functions that statements may call.
func Functions() []string { return guard.Functions() }

// describe says what a question would be answered. The statement is prepared where it would run, and nothing is read
// but what the engine knows of its tables' sizes.
func (i *instance) describe(ctx context.Context, q *question, analysis *guard.Analysis) (query.Description, error) {
	d := query.Description{Tables: analysis.Facts.Tables, Rows: query.Untold}
	err := i.prepared(ctx, q, analysis, func(stmt *native.Stmt, conn *native.Conn) error {
		types := map[string]string{}
		for n, name := range stmt.Parameters() {
			types[name] = stmt.ParameterType(n)
		}
		for _, name := range analysis.Facts.Parameters {
			d.Parameters = append(d.Parameters, query.Parameter{Name: name, Type: types[name]})
		}
		if columns, unknown := stmt.Answer(); !unknown {
			for _, c := range columns {
				d.Columns = append(d.Columns, query.Column{Name: c.Name, Type: c.Type})
			}
		}
		if hidesRows(q.Scope) {
			return nil
		}
		var err error
		d.Rows, err = estimate(ctx, conn, q.Scope, analysis.Reads)
		return err
	})
	return d, err
}

// hidesRows reports whether there may be rows that a scope does not show.
func hidesRows(s view.Scope) bool {
	return slices.ContainsFunc(s.Tables, func(t view.TableScope) bool { return len(t.Where) > 0 })
}

// estimate is how many stored rows the tables have, each as often as it is read.
func estimate(ctx context.Context, conn *native.Conn, scope view.Scope, reads map[string]int) (int64, error) {
	sizes := map[string]int64{}
	err := conn.Each(ctx, "SELECT schema_name || '.' || table_name, estimated_size FROM duckdb_tables()", func(r *native.Result, row int) error {
		sizes[r.Text(0, row)] = r.Int(1, row)
		return nil
	})
	total := int64(0)
	for table, times := range reads {
		if r, _, is := scope.Relation(table); is {
			total += int64(times) * sizes["records."+r.UID]
			continue
		}
		total += int64(times) * sizes["store."+strings.TrimSuffix(table, "s")]
	}
	return total, err
}
