package dataset

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/weir-analytics/weir/internal/problem"
)

// columns reads a Parquet file whose columns are flat.
type columns struct {
	groups []parquet.RowGroup
	rows   parquet.Rows // of the first of groups; nil: not opened
	read   []func(parquet.Value) cell
	names  []string
	buffer []parquet.Row
	have   int
	at     int
	n      int64
}

const parquetRows = 256

// openParquet opens a file that another program wrote. What such a file says of itself may be anything, and the reader
// stops at some of it with a panic.
func openParquet(f *os.File) (s *columns, err error) {
	defer recovered(&err)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, info.Size(), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, problem.Wrap(err, problem.InvalidRequest, "The Parquet file cannot be read.")
	}
	s = &columns{groups: file.RowGroups(), buffer: make([]parquet.Row, parquetRows)}
	fields := file.Schema().Fields()
	if len(fields) > MaxProperties {
		return nil, problem.New(problem.InvalidRequest, "The Parquet file has more than %d columns.", MaxProperties)
	}
	for _, field := range fields {
		name := field.Name()
		if !field.Leaf() || field.Repeated() {
			return nil, problem.Invalid("column "+shown(name), "is nested, and only flat columns can be loaded")
		}
		if fault := nameFault(name); fault != "" {
			return nil, problem.Invalid("column "+shown(name), "%s", fault)
		}
		s.names = append(s.names, name)
		s.read = append(s.read, readerOf(field.Type()))
	}
	return s, nil
}

// recovered makes a panic the fault of the file.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = problem.Wrap(fmt.Errorf("parquet: %v", p), problem.InvalidRequest, "The Parquet file cannot be read.")
	}
}

func (s *columns) next() (r row, err error) {
	defer recovered(&err)
	for s.at == s.have {
		if err := s.fill(); err != nil {
			return row{}, err
		}
	}
	values := s.buffer[s.at]
	s.at++
	s.n++
	r.line = s.n
	r.cells = make([]cell, 0, len(values))
	for _, v := range values {
		column := v.Column()
		if v.IsNull() || column < 0 || column >= len(s.names) {
			continue
		}
		c := s.read[column](v)
		c.name = s.names[column]
		if c.json == nil && !utf8.ValidString(c.text) {
			r.fault = fmt.Sprintf("the column %s is not UTF-8", shown(c.name))
		}
		r.cells = append(r.cells, c)
	}
	return r, nil
}

// fill reads the next rows.
func (s *columns) fill() error {
	if len(s.groups) == 0 {
		return io.EOF
	}
	if s.rows == nil {
		s.rows = s.groups[0].Rows()
	}
	n, err := s.rows.ReadRows(s.buffer)
	s.have, s.at = n, 0
	if err == nil && n > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return problem.Wrap(err, problem.InvalidRequest, "The Parquet file cannot be read behind its row %d.", s.n)
	}
	_ = s.rows.Close()
	s.rows, s.groups = nil, s.groups[1:]
	return nil
}

// readerOf is how the values of a column are read.
func readerOf(t parquet.Type) func(parquet.Value) cell {
	number := func(text string) cell { return cell{json: jsontext.Value(text)} }
	if l := t.LogicalType(); l != nil {
		switch l := l.Value.(type) {
		case *format.DateType:
			return func(v parquet.Value) cell {
				return cell{text: time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)}
			}
		case *format.TimestampType:
			unit := time.Millisecond
			if l.Unit.Value != nil {
				unit = l.Unit.Value.Duration()
			}
			return func(v parquet.Value) cell { return cell{text: instant(v.Int64(), unit)} }
		case *format.DecimalType:
			return func(v parquet.Value) cell { return number(decimal(v, int(l.Scale))) }
		}
	}
	switch k := t.Kind(); {
	case k == parquet.Boolean:
		return func(v parquet.Value) cell { return number(strconv.FormatBool(v.Boolean())) }
	case k == parquet.Int32:
		return func(v parquet.Value) cell { return number(strconv.FormatInt(int64(v.Int32()), 10)) }
	case k == parquet.Int64:
		return func(v parquet.Value) cell { return number(strconv.FormatInt(v.Int64(), 10)) }
	case k == parquet.Float:
		return func(v parquet.Value) cell { return cell{text: strconv.FormatFloat(float64(v.Float()), 'g', -1, 32)} }
	case k == parquet.Double:
		return func(v parquet.Value) cell { return cell{text: strconv.FormatFloat(v.Double(), 'g', -1, 64)} }
	case k == parquet.Int96:
		return func(parquet.Value) cell { return cell{text: "a time of 96 bits"} }
	}
	return func(v parquet.Value) cell { return cell{text: string(v.ByteArray())} }
}

// instant is a time since 1970 in some unit.
func instant(n int64, unit time.Duration) string {
	per := int64(time.Second / unit)
	return time.Unix(n/per, n%per*int64(unit)).UTC().Format(time.RFC3339Nano)
}

// decimal is a number without its point, of which scale digits stand behind it.
func decimal(v parquet.Value, scale int) string {
	n := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default:
		b := v.ByteArray()
		n.SetBytes(b)
		if len(b) > 0 && b[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	if scale <= 0 || scale > 38 {
		return n.String()
	}
	sign, digits := "", n.String()
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}
