package duckdb

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// Promise: whatever a statement says, it reads no dataset that its scope does not show, of its own space or of another.
func TestDatasetsOutsideTheScopeAreNeverRead(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	mine, theirs := event.Space{Project: "prj_1", Environment: "production"}, event.Space{Project: "prj_2", Environment: "production"}
	for _, c := range []struct {
		space event.Space
		uid   string
		body  string
	}{{mine, "ds_open", `{"a":"seen"}`}, {mine, "ds_shut", `{"a":"kingfisher"}`}, {theirs, "ds_open", `{"a":"kingfisher"}`}} {
		if _, err := w.WriteRecords(t.Context(), c.space, c.uid, dataset.Batch{Records: []dataset.Record{recordOf("k", "", 1, c.body)}}); err != nil {
			t.Fatal(err)
		}
	}
	columns := []view.Column{{Name: "a", Type: "VARCHAR"}}
	open := view.Relation{Name: "Quotes", UID: "ds_open", Columns: columns}
	shut := view.Relation{Name: "shut", UID: "ds_shut", Columns: columns}
	narrowed := view.Scope{Tables: []view.TableScope{{Table: "datasets.quotes", Where: []view.Condition{{Column: "a", Op: view.NotEqual, Values: []any{"x"}}}}}}
	for _, scope := range []view.Scope{(view.Scope{}).With([]view.Relation{open}), narrowed.With([]view.Relation{open, shut})} {
		if got, err := answers(t.Context(), w, mine, "SELECT a FROM QUOTES", scope); err != nil || got != `["seen"]` {
			t.Fatalf("seen: %s %v", got, err)
		}
		for _, sql := range hostile(t) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			got, err := answers(ctx, w, mine, sql, scope)
			cancel()
			if strings.Contains(got, "kingfisher") || err != nil && strings.Contains(err.Error(), "kingfisher") {
				t.Errorf("%s: %s %v", sql, got, err)
			}
		}
	}
}

// hostile are statements that look for what they should not see: those of the guard's corpus too, also over a dataset.
func hostile(t *testing.T) []string {
	t.Helper()
	all := []string{
		"SELECT * FROM shut", `SELECT * FROM "ds_shut"`, "SELECT * FROM records.ds_shut", `SELECT * FROM "records.ds_shut"`, `SELECT * FROM temp.shut`, "SELECT * FROM incoming",
		"SELECT body FROM quotes", "SELECT * FROM quotes UNION ALL SELECT a FROM shut", "WITH shut AS (SELECT * FROM quotes) SELECT * FROM shut", "WITH q AS (SELECT * FROM ds_shut) SELECT * FROM q",
		"SELECT (SELECT a FROM shut) FROM quotes", "SELECT * FROM query_table('shut')", "SELECT * FROM query('FROM records.ds_shut')", "FROM records.ds_shut", "TABLE shut",
		"WITH quotes AS (SELECT * FROM quotes) SELECT * FROM quotes", "SELECT columns FROM duckdb_views()", "SELECT * FROM quotes, LATERAL (SELECT * FROM shut)",
	}
	text, err := os.ReadFile("guard/testdata/attacks.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for piece := range strings.SplitSeq(string(text), "\n\n") {
		_, sql, _ := strings.Cut(piece, "\n")
		if strings.TrimSpace(sql) != "" {
			all = append(all, strings.NewReplacer("events", "shut", "secret_canary", "ds_shut").Replace(sql))
		}
	}
	return slices.Compact(all)
}

// answers are the rows of a statement.
func answers(ctx context.Context, w *Warehouse, space event.Space, sql string, scope view.Scope) (string, error) {
	rows, err := w.Run(ctx, space, query.Statement{SQL: sql, Scope: scope})
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var all strings.Builder
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return all.String(), nil
		}
		if err != nil {
			return all.String(), err
		}
		all.Write(row)
	}
}
