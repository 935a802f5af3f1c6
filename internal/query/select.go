package query

import (
	"context"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/gate"
)

// Selection is a statement of the program's own, whose values are all bound.
type Selection struct {
	SQL   string
	Named map[string]jsontext.Value
	Rows  int64 // at the most; more are result_too_large
}

// Select runs a selection over what the permit's holder may see of its environment, and gives each row to a function: as
// many values as the statement has columns. The values are lent until it returns.
//
// Problems: query_timeout, query_queue_full, result_too_large, unavailable, and those of each.
func (s *Service) Select(ctx context.Context, permit gate.Permit, sel Selection, each func([]jsontext.Value) error) error {
	space, st, err := s.sighted(permit)
	if err != nil {
		return err
	}
	st.SQL, st.Named = sel.SQL, sel.Named
	st.Ceilings = Ceilings{Time: s.ceilings.Time, Rows: sel.Rows, Bytes: s.ceilings.Bytes}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.engine.Run(ctx, space, st)
	if err != nil {
		return fault(ctx, err)
	}
	defer func() { _ = rows.Close() }() // whatever it says, the answer is complete or has failed by then
	return fault(ctx, eachRow(ctx, rows, each))
}

func eachRow(ctx context.Context, rows Rows, each func([]jsontext.Value) error) error {
	c, values := newCells(), make([]jsontext.Value, len(rows.Columns()))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = c.open(row)
		}
		for i := range values {
			if err == nil {
				var v jsontext.Value
				v, err = c.next()
				values[i] = v.Clone()
			}
		}
		if err == nil {
			err = c.close()
		}
		if err == nil {
			err = each(values)
		}
		if err != nil {
			return err
		}
	}
}
