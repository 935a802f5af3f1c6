package intake

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// columns is a Parquet file.
type columns struct {
	file   *os.File
	schema parquet.Node
	rows   *parquet.GenericReader[any]
	buffer [1]any
	number int64
}

// notSound makes an error of a panic: the library has them for files that are damaged.
func notSound(err *error) {
	if fault := recover(); fault != nil {
		*err = fmt.Errorf("the Parquet file is damaged: %v", fault)
	}
}

func openParquet(file *os.File) (s Source, err error) {
	defer notSound(&err)
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	opened, err := parquet.OpenFile(file, info.Size())
	if err != nil && unpackedName(file.Name()) != file.Name() {
		return nil, errors.New("it is not a Parquet file: one that is packed must be unpacked first")
	}
	if err != nil {
		return nil, fmt.Errorf("it is not a Parquet file: %w", err)
	}
	return &columns{file: file, schema: opened.Schema(), rows: parquet.NewGenericReader[any](opened, opened.Schema())}, nil
}

func (c *columns) Close() error { return errors.Join(c.rows.Close(), c.file.Close()) }

// Columns are those of the schema, without what is in groups.
func (c *columns) Columns() []string {
	names := []string{}
	for _, field := range c.schema.Fields() {
		names = append(names, field.Name())
	}
	return names
}

func (c *columns) Next() (row Row, err error) {
	defer notSound(&err)
	c.buffer[0] = nil
	n, err := c.rows.Read(c.buffer[:])
	if n == 0 {
		if err == nil {
			err = io.ErrNoProgress
		}
		return Row{}, err
	}
	c.number++
	row = Row{Number: c.number}
	text, err := json.Marshal(plainly(c.schema, c.buffer[0]))
	if err == nil {
		err = json.Unmarshal(text, &row.Members)
	}
	if err != nil {
		row.Members, row.Fault = nil, err.Error()
	}
	for name, v := range row.Members {
		if v.Kind() == 'n' {
			delete(row.Members, name)
		}
	}
	return row, nil
}

// plainly is what a Parquet file has at some place, as JSON has it: times and days are texts as RFC 3339 writes them, in UTC
// where the file does not say where, and ids have their usual form.
func plainly(node parquet.Node, v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		element := elementOf(node)
		list := make([]any, len(v))
		for i := range v {
			list[i] = plainly(element, v[i])
		}
		return list
	case map[string]any:
		members := make(map[string]any, len(v))
		for name, value := range v {
			members[name] = plainly(memberOf(node, name), value)
		}
		return members
	}
	return leaf(node, v)
}

// elementOf is what a list has; nil: it is not known. A group within a list is the way that the format writes lists.
func elementOf(node parquet.Node) parquet.Node {
	if node == nil || node.Leaf() {
		return node
	}
	if t := node.Type().LogicalType(); t != nil {
		if _, list := t.Value.(*format.ListType); list && len(node.Fields()) == 1 {
			inner := node.Fields()[0]
			if !inner.Leaf() && len(inner.Fields()) == 1 {
				return inner.Fields()[0]
			}
			return inner
		}
	}
	return node
}

// memberOf is what a group, or a map, has under a name; nil: it is not known.
func memberOf(node parquet.Node, name string) parquet.Node {
	if node == nil || node.Leaf() {
		return nil
	}
	if t := node.Type().LogicalType(); t != nil {
		if _, is := t.Value.(*format.MapType); is && len(node.Fields()) == 1 && len(node.Fields()[0].Fields()) == 2 {
			return node.Fields()[0].Fields()[1]
		}
	}
	for _, field := range node.Fields() {
		if field.Name() == name {
			return field
		}
	}
	return nil
}

// leaf is a single value.
func leaf(node parquet.Node, v any) any {
	var as any
	if node != nil && node.Leaf() {
		if t := node.Type().LogicalType(); t != nil {
			as = t.Value
		}
	}
	switch v := v.(type) {
	case int64:
		if t, ok := as.(*format.TimestampType); ok {
			unit := time.Millisecond
			if t.Unit.Value != nil {
				unit = t.Unit.Value.Duration()
			}
			per := int64(time.Second / unit)
			return time.Unix(v/per, v%per*int64(unit)).UTC().Format(time.RFC3339Nano)
		}
	case int32:
		if _, ok := as.(*format.DateType); ok {
			return time.Unix(int64(v)*86400, 0).UTC().Format(time.DateOnly)
		}
	case deprecated.Int96: // nanoseconds of a day, and the day, counted from the one that astronomers count from
		const epoch = 2440588
		return time.Unix((int64(v[2])-epoch)*86400, int64(uint64(v[1])<<32|uint64(v[0]))).UTC().Format(time.RFC3339Nano)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case float32:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return strconv.FormatFloat(f, 'g', -1, 32)
		}
	case *big.Float:
		scale := -1
		if t, ok := as.(*format.DecimalType); ok {
			scale = int(t.Scale)
		}
		return jsontext.Value(v.Text('f', scale))
	case []byte:
		if _, ok := as.(*format.UUIDType); ok && len(v) == 16 {
			h := hex.EncodeToString(v)
			return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
		}
	}
	return v
}
