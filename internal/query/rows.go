package query

import (
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// ParquetWriter writes rows that came from elsewhere as one Parquet file, in the form of an answer.
type ParquetWriter struct{ encoder *parquetEncoder }

// NewParquet begins a file. The columns' types are the engine's.
func NewParquet(w io.Writer, columns []Column) (*ParquetWriter, error) {
	e, err := newParquet(w, columns)
	return &ParquetWriter{e}, err
}

// Row writes one row: a JSON array with a value for each column.
func (p *ParquetWriter) Row(row jsontext.Value) error { return p.encoder.row(row) }

// Close ends the file.
func (p *ParquetWriter) Close() error { return p.encoder.end(0, 0) }
