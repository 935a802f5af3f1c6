package query

import (
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"
)

// groupBytes is the size of a row group, which is held in memory until it is complete.
const groupBytes = 8 << 20

// parquetEncoder writes one Parquet file. All columns are optional, since any expression may be null.
type parquetEncoder struct {
	w       *parquet.GenericWriter[any]
	columns []Column
	kinds   []parquetKind
	cells   *cells
	scratch []byte
	values  parquet.Row
	flushed int64 // the writer's size when the last row group ended
}

// parquetKind is how a column is stored. read makes a value that is not null; bytes it needs are appended to scratch.
type parquetKind struct {
	node parquet.Node
	read func(scratch *[]byte, v jsontext.Value) (parquet.Value, error)
}

func newParquet(w io.Writer, columns []Column) (*parquetEncoder, error) {
	if err := checkColumns(Parquet, columns); err != nil {
		return nil, err
	}
	e := &parquetEncoder{columns: columns, cells: newCells(), values: make(parquet.Row, len(columns))}
	root := orderedGroup{Group: parquet.Group{}}
	for i, name := range names(columns) {
		kind := kindOf(columns[i])
		e.kinds = append(e.kinds, kind)
		node := parquet.Optional(kind.node)
		root.Group[name] = node
		root.fields = append(root.fields, namedNode{Node: node, name: name})
	}
	e.w = parquet.NewGenericWriter[any](w, parquet.NewSchema("answer", root), parquet.Compression(&parquet.Zstd),
		parquet.DataPageStatistics(false)) // they would repeat whole texts in the head of every page
	return e, nil
}

func (e *parquetEncoder) row(row jsontext.Value) error {
	if err := e.cells.open(row); err != nil {
		return err
	}
	e.scratch = e.scratch[:0]
	for i := range e.kinds {
		v, err := e.cells.next()
		if err != nil {
			return err
		}
		if v.Kind() == 'n' {
			e.values[i] = parquet.NullValue().Level(0, 0, i)
			continue
		}
		value, err := e.kinds[i].read(&e.scratch, v)
		if err != nil {
			return misfit(Parquet, e.columns[i], err)
		}
		e.values[i] = value.Level(0, 1, i)
	}
	if err := e.cells.close(); err != nil {
		return err
	}
	if _, err := e.w.WriteRows([]parquet.Row{e.values}); err != nil {
		return err
	}
	return e.endGroup(groupBytes)
}

// endGroup ends the row group when it has reached a size.
func (e *parquetEncoder) endGroup(size int64) error {
	if e.w.Size()-e.flushed < size {
		return nil
	}
	if err := e.w.Flush(); err != nil {
		return err
	}
	e.flushed = e.w.Size()
	return nil
}

func (e *parquetEncoder) end(int64, time.Duration) error { return e.w.Close() }

// orderedGroup is the columns in the answer's order; a parquet.Group alone puts them in the order of their names.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

func (g orderedGroup) Fields() []parquet.Field { return g.fields }

type namedNode struct {
	parquet.Node
	name string
}

func (n namedNode) Name() string { return n.name }
func (n namedNode) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(n.name))
}

// kindOf maps an engine's type. An integer of 128 bits, such as a sum, is a decimal of 38 digits. What is not listed is
// stored as text: lists, structures and JSON, as JSON, among others.
//
// Every timestamp is an instant, as in the other formats, and is stored as adjusted to UTC.
func kindOf(column Column) parquetKind {
	switch column.Type {
	case "BOOLEAN":
		return parquetKind{parquet.Leaf(parquet.BooleanType), readBool}
	case "TINYINT":
		return parquetKind{parquet.Int(8), readInt32(8)}
	case "SMALLINT":
		return parquetKind{parquet.Int(16), readInt32(16)}
	case "INTEGER":
		return parquetKind{parquet.Int(32), readInt32(32)}
	case "BIGINT":
		return parquetKind{parquet.Int(64), readInt64}
	case "HUGEINT":
		return decimalKind(38, 0)
	case "UTINYINT":
		return parquetKind{parquet.Uint(8), readUint32(8)}
	case "USMALLINT":
		return parquetKind{parquet.Uint(16), readUint32(16)}
	case "UINTEGER":
		return parquetKind{parquet.Uint(32), readUint32(32)}
	case "UBIGINT":
		return parquetKind{parquet.Uint(64), readUint64}
	case "FLOAT":
		return parquetKind{parquet.Leaf(parquet.FloatType), readFloat}
	case "DOUBLE":
		return parquetKind{parquet.Leaf(parquet.DoubleType), readDouble}
	case "DATE":
		return parquetKind{parquet.Date(), readDate}
	case "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE":
		return parquetKind{parquet.Timestamp(parquet.Microsecond), readTimestamp}
	}
	if precision, scale, ok := parseDecimal(column.Type); ok {
		return decimalKind(precision, scale)
	}
	return parquetKind{parquet.String(), readText(column)}
}

func readText(column Column) func(*[]byte, jsontext.Value) (parquet.Value, error) {
	return func(scratch *[]byte, v jsontext.Value) (parquet.Value, error) {
		start := len(*scratch)
		text, err := appendText(*scratch, column, v)
		*scratch = text
		return parquet.ByteArrayValue(text[start:]), err
	}
}

func readBool(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
	b, err := strconv.ParseBool(string(v))
	return parquet.BooleanValue(b), err
}

func readInt32(bits int) func(*[]byte, jsontext.Value) (parquet.Value, error) {
	return func(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
		n, err := strconv.ParseInt(string(v), 10, bits)
		return parquet.Int32Value(int32(n)), err
	}
}

func readInt64(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return parquet.Int64Value(n), err
}

func readUint32(bits int) func(*[]byte, jsontext.Value) (parquet.Value, error) {
	return func(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
		n, err := strconv.ParseUint(string(v), 10, bits)
		return parquet.Int32Value(int32(uint32(n))), err
	}
}

func readUint64(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
	n, err := strconv.ParseUint(string(v), 10, 64)
	return parquet.Int64Value(int64(n)), err
}

func readFloat(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
	f, err := strconv.ParseFloat(string(v), 32)
	return parquet.FloatValue(float32(f)), err
}

func readDouble(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
	f, err := strconv.ParseFloat(string(v), 64)
	return parquet.DoubleValue(f), err
}

func readDate(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
	t, err := time.Parse(`"`+time.DateOnly+`"`, string(v))
	return parquet.Int32Value(int32(t.Unix() / (24 * 60 * 60))), err
}

func readTimestamp(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
	t, err := time.Parse(time.RFC3339Nano, strings.Trim(string(v), `"`))
	return parquet.Int64Value(t.UnixMicro()), err
}

// parseDecimal reads DECIMAL(precision,scale).
func parseDecimal(typ string) (precision, scale int, ok bool) {
	inner, isDecimal := strings.CutPrefix(typ, "DECIMAL(")
	inner, closed := strings.CutSuffix(inner, ")")
	first, second, both := strings.Cut(inner, ",")
	precision, err1 := strconv.Atoi(first)
	scale, err2 := strconv.Atoi(second)
	ok = isDecimal && closed && both && err1 == nil && err2 == nil
	return precision, scale, ok && precision >= 1 && precision <= 38 && scale >= 0 && scale <= precision
}

// decimalKind stores a decimal as the integer that it is without its point, in the smallest type that holds it.
func decimalKind(precision, scale int) parquetKind {
	switch {
	case precision <= 9:
		return parquetKind{parquet.Decimal(scale, precision, parquet.Int32Type),
			func(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
				n, err := unscaled(string(v), precision, scale)
				return parquet.Int32Value(int32(n.Int64())), err
			}}
	case precision <= 18:
		return parquetKind{parquet.Decimal(scale, precision, parquet.Int64Type),
			func(_ *[]byte, v jsontext.Value) (parquet.Value, error) {
				n, err := unscaled(string(v), precision, scale)
				return parquet.Int64Value(n.Int64()), err
			}}
	}
	modulus := new(big.Int).Lsh(big.NewInt(1), 128)
	return parquetKind{parquet.Decimal(scale, precision, parquet.FixedLenByteArrayType(16)),
		func(scratch *[]byte, v jsontext.Value) (parquet.Value, error) {
			n, err := unscaled(string(v), precision, scale)
			if n.Sign() < 0 {
				n.Add(n, modulus) // two's complement
			}
			start := len(*scratch)
			*scratch = append(*scratch, make([]byte, 16)...)
			return parquet.FixedLenByteArrayValue(n.FillBytes((*scratch)[start:])), err
		}}
}

// unscaled is a decimal number times ten to the scale. The number is never nil.
func unscaled(number string, precision, scale int) (*big.Int, error) {
	digits, negative := strings.CutPrefix(number, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	fraction += strings.Repeat("0", max(0, scale-len(fraction)))
	digits = strings.TrimLeft(whole+fraction[:scale], "0")
	n := new(big.Int)
	if len(digits) > precision || strings.Trim(fraction[scale:], "0") != "" || strings.Trim(digits, "0123456789") != "" {
		return n, fmt.Errorf("%.64q is not a decimal of %d digits with %d after the point", number, precision, scale)
	}
	n.SetString("0"+digits, 10)
	if negative {
		n.Neg(n)
	}
	return n, nil
}
