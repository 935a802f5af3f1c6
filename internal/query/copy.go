package query

import (
	"context"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/view"
)

// Writer writes rows in a format, one after the other, with memory for no more than a few of them: of Parquet for a group
// of 8 MiB. A row is a JSON array with a value for each column.
type Writer struct{ encoder encoder }

// NewWriter begins to write. Objects and JSON, which end with what is said of the whole, are not for it.
//
// Problems: invalid_field when the format cannot hold the columns.
func NewWriter(f Format, to io.Writer, columns []Column, spreadsheet bool) (*Writer, error) {
	e, err := newEncoder(f, to, columns, spreadsheet)
	return &Writer{e}, err
}

// Row writes a row. Problems: invalid_field when the format cannot hold a value.
func (w *Writer) Row(row jsontext.Value) error { return w.encoder.row(row) }

// End writes what comes behind the last row. It does not close what is written to.
func (w *Writer) End(rows int64) error { return w.encoder.end(rows, 0) }

// Walk is a statement of the program's own over what a scope lets through, for which nobody waits.
type Walk struct {
	Space    event.Space
	Scope    view.Scope
	Asker    string // as in Statement
	SQL      string
	Named    map[string]jsontext.Value
	Ceilings Ceilings
}

// Walk runs a statement and hands on its columns, and then each row as it comes; a row is lent for the call. The ceilings
// are those of the walk, not of questions.
//
// Problems: query_timeout, query_queue_full, result_too_large, unavailable, and those of what it calls.
func (s *Service) Walk(ctx context.Context, w Walk, columns func([]Column) error, row func(jsontext.Value) error) error {
	rows, err := s.engine.Run(ctx, w.Space, Statement{SQL: w.SQL, Named: w.Named, Scope: w.Scope, Ceilings: w.Ceilings, Asker: w.Asker})
	if err != nil {
		return fault(ctx, err)
	}
	defer func() { _ = rows.Close() }() // whatever it says, all rows were handed on or it has failed by then
	if err := columns(rows.Columns()); err != nil {
		return err
	}
	for {
		next, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fault(ctx, err)
		}
		if err := row(next); err != nil {
			return err
		}
	}
}
