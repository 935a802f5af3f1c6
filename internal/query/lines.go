package query

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// linesEncoder writes the columns as an array of objects, and each row as an array, each on a line of its own.
type linesEncoder struct {
	w    io.Writer
	line []byte
}

func newLines(w io.Writer, columns []Column) (*linesEncoder, error) {
	header, err := json.Marshal(columns)
	if err != nil {
		return nil, fmt.Errorf("columns: %w", err)
	}
	_, err = w.Write(append(header, '\n'))
	return &linesEncoder{w: w}, err
}

func (e *linesEncoder) row(row jsontext.Value) error {
	if bytes.ContainsAny(row, "\r\n") { // between tokens, as the JSON was stored: here it would end the line
		row = row.Clone()
		if err := row.Compact(jsontext.AllowDuplicateNames(true)); err != nil {
			return errRow
		}
	}
	e.line = append(append(e.line[:0], row...), '\n')
	_, err := e.w.Write(e.line)
	return err
}

func (*linesEncoder) end(int64, time.Duration) error { return nil }
