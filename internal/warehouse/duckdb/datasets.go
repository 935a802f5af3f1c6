package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// The datasets that a statement names are temporary views as well, one for each, which read their columns out of the
// records:
//
//	CREATE TEMP VIEW "quotes" AS SELECT "symbol", "close"
//	FROM (SELECT json_extract_string(body, '/symbol') AS "symbol", TRY_CAST(… AS DOUBLE) AS "close" FROM records."ds_…")
//
// In a view, what hides rows stands inside, below the barrier of relation.go, and asks whole records. Every column is a TRY
// or reads JSON, of which the engine knows nothing beforehand. A dataset that is another statement's answer reads that, over
// the relations of the same scope: whoever asks it sees in it what they may see.

// maxDatasetDepth is how deep statements may stand in one another.
const maxDatasetDepth = 4

// named is a dataset that a statement needs.
type named struct {
	view.Relation

	narrow view.TableScope
}

// datasetsOf are the datasets that a statement reads, each behind those that it is made of. What these ask of events, the
// analysis tells then as well, and bounds that hold for the statement alone no more.
func datasetsOf(ctx context.Context, q *question, analysis *guard.Analysis) ([]named, error) {
	g := &gathering{q: q, analysis: analysis, done: map[string]bool{}}
	if len(q.Scope.Datasets) == 0 {
		return nil, nil
	}
	err := g.add(ctx, analysis.Reads, 0)
	return g.order, err
}

type gathering struct {
	q        *question
	analysis *guard.Analysis
	order    []named
	done     map[string]bool
}

func (g *gathering) add(ctx context.Context, reads map[string]int, depth int) error {
	if depth > maxDatasetDepth {
		return problem.New(problem.SQLNotAllowed, "The statements of datasets stand more than %d deep in one another.", maxDatasetDepth)
	}
	for table := range reads {
		r, narrow, visible := g.q.Scope.Relation(table)
		if !visible || g.done[table] {
			continue
		}
		if r.SQL != "" {
			inside, err := g.analysis.Inside(ctx, r.SQL, g.q.Scope)
			if err != nil {
				return notForAsker(r.Name, err)
			}
			if len(inside.Facts.Parameters) > 0 {
				return problem.New(problem.SQLNotAllowed, "The statement of the dataset %s has parameters.", r.Name)
			}
			g.analysis.PersonID = g.analysis.PersonID || inside.PersonID
			g.analysis.Bounds = nil
			if err := g.add(ctx, inside.Reads, depth+1); err != nil {
				return err
			}
		}
		if !g.done[table] {
			g.done[table] = true
			g.order = append(g.order, named{r, narrow})
		}
	}
	return nil
}

// notForAsker is the problem of a dataset whose statement may not be run by whoever asks it. What is wrong with it is told
// to whoever runs that statement itself.
func notForAsker(dataset string, err error) error {
	if _, ok := errors.AsType[*problem.Error](err); !ok {
		return err
	}
	return problem.Wrap(err, problem.SQLNotAllowed, "The statement of the dataset %s reads what is not there for this key.", dataset)
}

// makeDatasets makes the relations of datasets on a connection. The function gives back what they need, when the statement
// is over.
func (i *instance) makeDatasets(ctx context.Context, conn *native.Conn, q *question, datasets []named) (back func(), err error) {
	var all []func()
	back = func() {
		for _, f := range all {
			f()
		}
	}
	lend := func(f native.Rewriter) int64 {
		number, back := i.db.Lend(f)
		all = append(all, back)
		return number
	}
	for n := range datasets {
		d := &datasets[n]
		has := false
		if d.SQL == "" {
			if has, err = hasRecords(ctx, conn, d.UID); err != nil {
				return back, err
			}
		}
		sql, err := datasetRelation(q, d, has, lend)
		if err == nil {
			err = conn.Exec(ctx, sql)
		}
		if d.SQL != "" && native.IsKind(err, native.Statement) {
			return back, problem.Wrap(err, problem.InvalidSQL, "The statement of the dataset %s does not fit its schema, or what it reads.", d.Name)
		}
		if err != nil {
			return back, relationFault(d.Name, err)
		}
	}
	return back, nil
}

// datasetRelation is the statement that makes the relation of a dataset.
func datasetRelation(q *question, d *named, has bool, lend func(native.Rewriter) int64) (string, error) {
	if !isName(d.UID) {
		return "", fmt.Errorf("duckdb: %q is not the uid of a dataset", d.UID)
	}
	table := d.Shown(d.narrow, q.Scope.Whole())
	if len(table.Columns) == 0 {
		return "CREATE OR REPLACE TEMP VIEW " + name(d.Name) + ` AS SELECT NULL AS "none" WHERE false`, nil
	}
	_, shown, err := columnsOf(q, d.narrow, table, lend)
	if err != nil {
		return "", err
	}
	read := make([]string, len(table.Columns))
	for n, c := range table.Columns {
		read[n] = "TRY(" + recordColumn(d, c) + ") AS " + name(c.Name)
	}
	var where []string
	for _, c := range d.narrow.Where {
		of, err := c.Of("body")
		if err != nil {
			return "", err
		}
		sql, err := condition(of)
		if err != nil {
			return "", err
		}
		where = append(where, "("+sql+")")
	}
	sql := "CREATE OR REPLACE TEMP VIEW " + name(d.Name) + " AS SELECT " + strings.Join(shown, ", ") + " FROM (SELECT " +
		strings.Join(read, ", ") + " FROM " + recordSource(d, has)
	if len(where) == 0 {
		return sql + ")", nil
	}
	return sql + " WHERE " + strings.Join(where, " AND ") + ") TABLESAMPLE SYSTEM (100 PERCENT)", nil
}

// recordSource is where the records of a dataset are: with a column body, and for those that are kept their times.
func recordSource(d *named, has bool) string {
	switch {
	case d.SQL != "":
		return "(SELECT to_json(weir_row)::JSON AS body FROM (" + strings.TrimRight(strings.TrimSpace(d.SQL), "; \t\r\n") + "\n) AS weir_row)"
	case has:
		return recordTable(d.UID)
	}
	return `(SELECT NULL::TIMESTAMP AS "date", NULL::TIMESTAMP AS updated, NULL::JSON AS body WHERE false)`
}

// recordColumn is the expression that reads a column of a dataset.
func recordColumn(d *named, c view.Column) string {
	property := false
	for _, own := range d.Columns {
		property = property || own.Name == c.Name
	}
	if !property {
		return map[string]string{view.RecordBody: "body", view.RecordDate: `"date"`, view.RecordUpdated: "updated"}[c.Name]
	}
	of := "(body, " + literal(view.Pointer([]string{c.Name})) + ")"
	switch c.Type {
	case "JSON":
		return "CASE WHEN json_type" + of + " <> 'NULL' THEN json_extract" + of + " END"
	case "VARCHAR":
		return "json_extract_string" + of
	case "DOUBLE", "BIGINT", "BOOLEAN", timeType:
		return "TRY_CAST(json_extract_string" + of + " AS " + c.Type + ")"
	}
	return "NULL"
}
