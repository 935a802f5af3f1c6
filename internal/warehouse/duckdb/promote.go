package duckdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// Properties that statements ask for again and again become columns of the table of events, and the statements read
// these instead, as they are written:
//
//	SELECT (properties->>'price')::DOUBLE FROM events     what was written, and what is answered as it was
//	SELECT ("weir:2"            )::DOUBLE FROM events     what is run, over a relation with one more column
//	store.event.promoted_2 = TRY_CAST(properties->>'price' AS DOUBLE)
//
// The engine itself fills the columns, by the very expression that they stand for, so that no second reader of JSON can
// disagree with it: for new rows in the transaction that loads them, for old ones behind everything else (backfill.go).
// A column is read when it is filled to the end, as the statement's own snapshot says. Package guard says where a
// statement reads properties, and has the engine's parser confirm that nothing else was changed; where anything is in
// doubt, the statement is run as it was written.

// property is what becomes a column: the text at a path, or what a cast makes of it.
type property struct {
	path string
	kind string // empty: the text
}

// column is a property's column in a file. A name is used again for another property of its kind when the first is
// given up.
type column struct {
	property
	name    string         // promoted_ and a number
	until   event.Position // the last record that was there before the column
	done    event.Position // up to which it is filled behind everything else
	misfits bool           // there is a text that the cast fails for
}

const columnPrefix = "promoted_"

// sql is the expression that the column stands for. A text that the cast fails for is a misfit, and null.
func (p property) sql() string {
	text := "(properties->>" + literal(p.path) + ")"
	if p.kind == "" {
		return text
	}
	return "TRY_CAST(" + text + " AS " + p.kind + ")"
}

func (p property) columnType() string {
	if p.kind == "" {
		return "VARCHAR"
	}
	return p.kind
}

// filled reports whether every row has its value.
func (c *column) filled() bool { return c.done >= c.until }

// mark is what the column is called in the relation that a statement sees.
func (c *column) mark() string { return guard.MarkColumn(strings.TrimPrefix(c.name, columnPrefix)) }

// readColumns are the columns of a file, as the connection's transaction sees them.
func readColumns(ctx context.Context, conn *native.Conn) (all []column, err error) {
	err = conn.Each(ctx, `
		SELECT name, path, kind, until, done, (name IN (SELECT name FROM store.misfit))::INT::BIGINT FROM store.promoted ORDER BY length(name), name`,
		func(r *native.Result, row int) error {
			all = append(all, column{
				name: strings.Clone(r.Text(0, row)), property: property{strings.Clone(r.Text(1, row)), strings.Clone(r.Text(2, row))},
				until: event.Position(r.Int(3, row)), done: event.Position(r.Int(4, row)), misfits: r.Int(5, row) != 0,
			})
			return nil
		})
	return all, err
}

// errUnreadable is the fault of a row whose properties the engine cannot read as JSON.
var errUnreadable = errors.New("there are properties that are no JSON to the engine")

// fillColumns fills the columns of the records that the open transaction has appended, those after a position.
func (i *instance) fillColumns(ctx context.Context, after event.Position) error {
	columns, err := readColumns(ctx, i.writer)
	if err != nil || len(columns) == 0 {
		return err
	}
	return fill(ctx, i.writer, columns, fmt.Sprintf("position > %d", after))
}

// fill fills columns where a condition holds, and notes those that have misfits there.
func fill(ctx context.Context, conn *native.Conn, columns []column, where string) error {
	var sets []string
	for _, c := range columns {
		sets = append(sets, c.name+" = "+c.sql())
	}
	err := conn.Exec(ctx, "UPDATE store.event SET "+strings.Join(sets, ", ")+" WHERE "+where)
	for _, c := range columns {
		if err == nil && c.kind != "" && !c.misfits {
			err = conn.Exec(ctx, "INSERT INTO store.misfit SELECT "+literal(c.name)+" WHERE EXISTS (SELECT 1 FROM store.event WHERE "+where+
				" AND "+c.name+" IS NULL AND "+property{path: c.path}.sql()+" IS NOT NULL)")
		}
	}
	if native.IsKind(err, native.Statement) {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return err
}

// demote gives up every column: the table keeps them, and nothing reads or fills them. The caller holds i.mu.
func (i *instance) demote(ctx context.Context) error {
	conn, err := i.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Exec(ctx, "DELETE FROM store.promoted")
}

// watched is lines that say whether any went out.
type watched struct {
	lines
	began bool
}

func (w *watched) columns(all []query.Column) error {
	w.began = true
	return w.lines.columns(all)
}

// nowhere is lines that nobody reads.
type nowhere struct{}

func (nowhere) columns([]query.Column) error { return nil }
func (nowhere) row([]byte) error             { return nil }
func (nowhere) pause() error                 { return nil }

// errAsWritten says that a statement is to be run as it was written.
var errAsWritten = errors.New("the statement cannot read columns")

// run runs a question, whose statement the guard has passed, in a read-only transaction of its own: over columns where
// it can be, and as it is written where not. A statement that fails over columns has its say as it is written: what is
// wrong with it is told in its own words, and it may not fail at all.
func (i *instance) run(ctx context.Context, q *question, analysis *guard.Analysis, out lines) error {
	slow, err := i.promoter.timed(ctx, i.db, analysis.Properties, func() error { return i.runEither(ctx, q, analysis, out) })
	i.noteAsked(q, analysis.Properties, slow, err)
	return err
}

func (i *instance) runEither(ctx context.Context, q *question, analysis *guard.Analysis, out lines) error {
	if !i.promoter.promising(analysis.Properties) {
		return i.runWritten(ctx, q, analysis, out)
	}
	sent := &watched{lines: out}
	err := i.runPromoted(ctx, q, analysis, sent)
	switch failed := errors.Is(err, errAsWritten) || problem.Of(err) == problem.InvalidSQL; {
	case failed && !sent.began:
		err = i.runWritten(ctx, q, analysis, out)
	case failed:
		if own := i.runWritten(ctx, q, analysis, nowhere{}); own != nil {
			err = own
		}
	}
	return err
}

// runPromoted runs a question over columns. The statement as it is written is prepared first: it says what the answer's
// columns are called.
func (i *instance) runPromoted(ctx context.Context, q *question, analysis *guard.Analysis, out lines) error {
	return i.prepared(ctx, q, analysis, func(written *native.Stmt, conn *native.Conn) error {
		all, err := readColumns(ctx, conn)
		if err != nil {
			return err
		}
		i.promoter.know(all)
		all, err = shownColumns(all, q.Scope)
		if err != nil {
			return err
		}
		marks, used := choose(all, analysis.Properties, q.Scope.Whole())
		sql, ok := analysis.Promote(ctx, marks)
		if !ok {
			return errAsWritten
		}
		back, err := i.narrow(ctx, conn, q, analysis, used)
		defer back()
		if err != nil {
			return err
		}
		stmt, err := conn.Prepare(sql)
		if err != nil {
			return errAsWritten
		}
		defer stmt.Close()
		answer, unknown := written.Answer()
		if unknown || !stmt.IsSelect() || !sameAnswer(written, stmt) {
			return errAsWritten
		}
		return answerWith(ctx, stmt, q, sql, answer, out)
	})
}

// shownColumns are the columns whose properties a scope shows as they are stored: keys that no mask is about. The rest of
// a document keeps its text when it is masked.
func shownColumns(all []column, scope view.Scope) ([]column, error) {
	narrow, visible := scope.Table(promotedTable)
	if !visible {
		return nil, nil
	}
	masks, err := masksOf(narrow)
	m := masks[propertiesColumn]
	if err != nil || m == nil {
		return all, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(c column) bool {
		return m.hide || m.hash || !guard.IsWord(c.path) || m.members[c.path] != nil
	}), nil
}

// choose picks a column for each property that has one it can be read from: marks are their names for the statement.
// Whether there are misfits is not asked for a statement that sees a part of the rows: they may be in the others.
func choose(all []column, properties []guard.Property, whole bool) (marks []string, used []column) {
	marks = make([]string, len(properties))
	for n, p := range properties {
		i := slices.IndexFunc(all, func(c column) bool {
			return c.filled() && c.property == property{p.Path, p.Kind} && (!p.Strict || whole && !c.misfits)
		})
		if i < 0 {
			i = slices.IndexFunc(all, func(c column) bool { return c.filled() && c.property == property{path: p.Path} })
		}
		if i < 0 {
			continue
		}
		marks[n] = all[i].mark()
		if !slices.Contains(used, all[i]) {
			used = append(used, all[i])
		}
	}
	return marks, used
}

// sameAnswer reports whether two statements take and answer values of the same types.
func sameAnswer(written, promoted *native.Stmt) bool {
	one, _ := written.Answer()
	other, unknown := promoted.Answer()
	if unknown || !slices.EqualFunc(one, other, func(a, b native.Column) bool { return a.Type == b.Type }) {
		return false
	}
	names := written.Parameters()
	if !slices.Equal(names, promoted.Parameters()) {
		return false
	}
	for i := range names {
		if written.ParameterType(i) != promoted.ParameterType(i) {
			return false
		}
	}
	return true
}

// The table, and the column, whose properties become columns.
const (
	promotedTable    = "events"
	propertiesColumn = "properties"
)
