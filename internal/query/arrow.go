package query

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of a batch, which is held in memory until it is complete.
const (
	batchRows  = 16 << 10
	batchBytes = 1 << 20 // of the rows as JSON
)

// arrowEncoder writes an Arrow IPC stream: the schema, and then batches of rows. Every column may be null.
type arrowEncoder struct {
	w       *ipc.Writer
	columns []Column
	kinds   []arrowKind
	builder *array.RecordBuilder
	cells   *cells
	rows    int
	size    int
}

// arrowKind is how a column is stored. add appends a value that is not null.
type arrowKind struct {
	typ arrow.DataType
	add func(array.Builder, jsontext.Value) error
}

// engineType is the name under which a field's metadata says what the engine calls the type.
const engineType = "weir.type"

func newArrow(w io.Writer, columns []Column) (*arrowEncoder, error) {
	if err := checkColumns(Arrow, columns); err != nil {
		return nil, err
	}
	e := &arrowEncoder{columns: columns, cells: newCells()}
	var fields []arrow.Field
	for i, name := range names(columns) {
		kind := arrowKindOf(columns[i])
		e.kinds = append(e.kinds, kind)
		fields = append(fields, arrow.Field{
			Name: name, Type: kind.typ, Nullable: true, Metadata: arrow.NewMetadata([]string{engineType}, []string{columns[i].Type}),
		})
	}
	schema := arrow.NewSchema(fields, nil)
	e.w = ipc.NewWriter(w, ipc.WithSchema(schema))
	e.builder = array.NewRecordBuilder(memory.NewGoAllocator(), schema)
	return e, nil
}

func (e *arrowEncoder) row(row jsontext.Value) error {
	if err := e.cells.open(row); err != nil {
		return err
	}
	for i := range e.kinds {
		v, err := e.cells.next()
		if err != nil {
			return err
		}
		if v.Kind() == 'n' {
			e.builder.Field(i).AppendNull()
			continue
		}
		if err := e.kinds[i].add(e.builder.Field(i), v); err != nil {
			return misfit(Arrow, e.columns[i], err)
		}
	}
	if err := e.cells.close(); err != nil {
		return err
	}
	e.rows++
	e.size += len(row)
	if e.rows < batchRows && e.size < batchBytes {
		return nil
	}
	return e.flush()
}

// flush writes the rows that are there as a batch.
func (e *arrowEncoder) flush() error {
	batch := e.builder.NewRecordBatch()
	defer batch.Release()
	e.rows, e.size = 0, 0
	return e.w.Write(batch)
}

func (e *arrowEncoder) end(int64, time.Duration) error {
	if e.rows > 0 {
		if err := e.flush(); err != nil {
			return err
		}
	}
	return e.w.Close()
}

// arrowKindOf maps an engine's type, as kindOf does for Parquet: what is not listed is stored as text, and every timestamp
// is an instant in UTC.
func arrowKindOf(column Column) arrowKind {
	switch column.Type {
	case "BOOLEAN":
		return arrowKind{arrow.FixedWidthTypes.Boolean, func(b array.Builder, v jsontext.Value) error {
			truth, err := strconv.ParseBool(string(v))
			b.(*array.BooleanBuilder).Append(truth)
			return err
		}}
	case "TINYINT":
		return whole(arrow.PrimitiveTypes.Int8, 8, (*array.Int8Builder).Append)
	case "SMALLINT":
		return whole(arrow.PrimitiveTypes.Int16, 16, (*array.Int16Builder).Append)
	case "INTEGER":
		return whole(arrow.PrimitiveTypes.Int32, 32, (*array.Int32Builder).Append)
	case "BIGINT":
		return whole(arrow.PrimitiveTypes.Int64, 64, (*array.Int64Builder).Append)
	case "UTINYINT":
		return natural(arrow.PrimitiveTypes.Uint8, 8, (*array.Uint8Builder).Append)
	case "USMALLINT":
		return natural(arrow.PrimitiveTypes.Uint16, 16, (*array.Uint16Builder).Append)
	case "UINTEGER":
		return natural(arrow.PrimitiveTypes.Uint32, 32, (*array.Uint32Builder).Append)
	case "UBIGINT":
		return natural(arrow.PrimitiveTypes.Uint64, 64, (*array.Uint64Builder).Append)
	case "HUGEINT":
		return arrowDecimal(38, 0)
	case "FLOAT":
		return fraction(arrow.PrimitiveTypes.Float32, 32, (*array.Float32Builder).Append)
	case "DOUBLE":
		return fraction(arrow.PrimitiveTypes.Float64, 64, (*array.Float64Builder).Append)
	case "DATE":
		return arrowKind{arrow.FixedWidthTypes.Date32, func(b array.Builder, v jsontext.Value) error {
			t, err := time.Parse(`"`+time.DateOnly+`"`, string(v))
			b.(*array.Date32Builder).Append(arrow.Date32(t.Unix() / (24 * 60 * 60)))
			return err
		}}
	case "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE":
		return arrowKind{arrow.FixedWidthTypes.Timestamp_us, func(b array.Builder, v jsontext.Value) error {
			t, err := time.Parse(time.RFC3339Nano, strings.Trim(string(v), `"`))
			b.(*array.TimestampBuilder).Append(arrow.Timestamp(t.UnixMicro()))
			return err
		}}
	}
	if precision, scale, ok := parseDecimal(column.Type); ok {
		return arrowDecimal(precision, scale)
	}
	var text []byte
	return arrowKind{arrow.BinaryTypes.String, func(b array.Builder, v jsontext.Value) (err error) {
		text, err = appendText(text[:0], column, v)
		b.(*array.StringBuilder).BinaryBuilder.Append(text)
		return err
	}}
}

func whole[B array.Builder, N int8 | int16 | int32 | int64](typ arrow.DataType, bits int, add func(B, N)) arrowKind {
	return arrowKind{typ, func(b array.Builder, v jsontext.Value) error {
		n, err := strconv.ParseInt(string(v), 10, bits)
		add(b.(B), N(n))
		return err
	}}
}

func natural[B array.Builder, N uint8 | uint16 | uint32 | uint64](typ arrow.DataType, bits int, add func(B, N)) arrowKind {
	return arrowKind{typ, func(b array.Builder, v jsontext.Value) error {
		n, err := strconv.ParseUint(string(v), 10, bits)
		add(b.(B), N(n))
		return err
	}}
}

func fraction[B array.Builder, N float32 | float64](typ arrow.DataType, bits int, add func(B, N)) arrowKind {
	return arrowKind{typ, func(b array.Builder, v jsontext.Value) error {
		f, err := strconv.ParseFloat(string(v), bits)
		add(b.(B), N(f))
		return err
	}}
}

func arrowDecimal(precision, scale int) arrowKind {
	typ := &arrow.Decimal128Type{Precision: int32(precision), Scale: int32(scale)}
	return arrowKind{typ, func(b array.Builder, v jsontext.Value) error {
		n, err := unscaled(string(v), precision, scale)
		if err != nil {
			return fmt.Errorf("decimal: %w", err)
		}
		b.(*array.Decimal128Builder).Append(decimal128.FromBigInt(n))
		return nil
	}}
}
