package native

import (
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	b "github.com/duckdb/duckdb-go-bindings"
)

// Appender writes rows to a table in bulk: the fastest way in. Rows belong to the transaction its connection is in.
type Appender struct {
	appender b.Appender
	chunk    b.DataChunk
	vectors  []b.Vector
	data     []unsafe.Pointer
	row, cap int
}

// Append starts writing to a table: to the columns named, the others being null, or to all of them in their order. The
// appender must be closed, and before its connection.
func (c *Conn) Append(schema, table string, columns ...string) (*Appender, error) {
	a := &Appender{cap: int(b.VectorSize())}
	if b.AppenderCreate(c.conn, schema, table, &a.appender) == b.StateError {
		err := a.fault()
		b.AppenderDestroy(&a.appender)
		return nil, err
	}
	for _, column := range columns {
		if b.AppenderAddColumn(a.appender, column) == b.StateError {
			err := a.fault()
			b.AppenderDestroy(&a.appender)
			return nil, err
		}
	}
	types := make([]b.LogicalType, b.AppenderColumnCount(a.appender))
	for i := range types {
		types[i] = b.AppenderColumnType(a.appender, b.IdxT(i))
	}
	a.chunk = b.CreateDataChunk(types)
	for i := range types {
		b.DestroyLogicalType(&types[i])
	}
	a.vectors, a.data = make([]b.Vector, len(types)), make([]unsafe.Pointer, len(types))
	a.begin()
	return a, nil
}

func (a *Appender) begin() {
	b.DataChunkReset(a.chunk)
	for i := range a.vectors {
		a.vectors[i] = b.DataChunkGetVector(a.chunk, b.IdxT(i))
		a.data[i] = b.VectorGetData(a.vectors[i])
	}
	a.row = 0
}

func (a *Appender) fault() error { return newError(b.AppenderError(a.appender)) }

// Text sets a column of text or JSON of the row at hand. Bytes that are not UTF-8 become U+FFFD.
func (a *Appender) Text(column int, s string) {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b.UnsafeVectorAssignStringElementLen(a.vectors[column], b.IdxT(a.row), unsafe.Slice(unsafe.StringData(s), len(s)))
}

// TextOrNull is Text, but an empty text is null.
func (a *Appender) TextOrNull(column int, s string) {
	if s == "" {
		b.VectorEnsureValidityWritable(a.vectors[column])
		b.ValiditySetRowInvalid(b.VectorGetValidity(a.vectors[column]), b.IdxT(a.row))
		return
	}
	a.Text(column, s)
}

// Put sets a fixed-width column, whose type in memory must be T, of the row at hand.
func Put[T bool | uint8 | int64 | uint64](a *Appender, column int, value T) {
	*(*T)(unsafe.Add(a.data[column], uintptr(a.row)*unsafe.Sizeof(value))) = value
}

// Time sets a TIMESTAMP column of the row at hand.
func (a *Appender) Time(column int, t time.Time) { Put(a, column, t.UnixMicro()) }

// End ends the row at hand, every column of which has been set.
func (a *Appender) End() error {
	a.row++
	if a.row < a.cap {
		return nil
	}
	return a.push()
}

func (a *Appender) push() error {
	b.DataChunkSetSize(a.chunk, b.IdxT(a.row))
	if b.AppendDataChunk(a.appender, a.chunk) == b.StateError {
		return a.fault()
	}
	a.begin()
	return nil
}

// Flush hands all rows to the table.
func (a *Appender) Flush() error {
	if err := a.push(); err != nil {
		return err
	}
	if b.AppenderFlush(a.appender) == b.StateError {
		return a.fault()
	}
	return nil
}

// Close frees the appender. Rows that were not flushed are dropped.
func (a *Appender) Close() {
	b.AppenderClear(a.appender)
	b.DestroyDataChunk(&a.chunk)
	b.AppenderDestroy(&a.appender)
}
