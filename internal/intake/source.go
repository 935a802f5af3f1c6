package intake

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"
)

// Format is how a file is written.
type Format string

// The formats.
const (
	NDJSON  Format = "ndjson"
	CSV     Format = "csv"
	TSV     Format = "tsv"
	Parquet Format = "parquet"
)

// FormatOf tells a format by a file's name; empty when the name says nothing.
func FormatOf(name string) Format {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".ndjson", ".jsonl", ".json":
		return NDJSON
	case ".csv":
		return CSV
	case ".tsv", ".tab":
		return TSV
	case ".parquet", ".pq":
		return Parquet
	}
	return ""
}

// Open opens a file. texts says that numbers and booleans of CSV stay texts. The source closes the file.
func Open(file *os.File, format Format, texts bool) (Source, error) {
	switch format {
	case NDJSON:
		return &lines{file: file, in: newReader(file)}, nil
	case CSV, TSV:
		return openCSV(file, format, texts)
	case Parquet:
		return openParquet(file)
	}
	return nil, fmt.Errorf("%q is not ndjson, csv, tsv or parquet", format)
}

func newReader(in io.Reader) *bufio.Reader { return bufio.NewReaderSize(in, 64<<10) }

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// lines is a file with a JSON object on each line. Empty lines are passed over.
type lines struct {
	file   *os.File
	in     *bufio.Reader
	number int64
}

func (l *lines) Close() error { return l.file.Close() }

func (l *lines) Next() (Row, error) {
	for {
		text, long, err := l.line()
		if err != nil && (!isEnd(err) || len(text) == 0 && !long) {
			return Row{}, err
		}
		l.number++
		row := Row{Number: l.number}
		text = bytes.TrimSpace(text)
		switch {
		case long:
			row.Fault = fmt.Sprintf("the line has more than %d bytes", MaxLine)
		case len(text) == 0:
			continue
		case jsontext.Value(text).Kind() != '{':
			row.Fault = "the line is not a JSON object"
		default:
			if err := json.Unmarshal(text, &row.Members); err != nil {
				row.Members, row.Fault = nil, "the line is not a JSON object: "+err.Error()
			}
		}
		return row, nil
	}
}

// line reads to the end of a line. Of one that is too long nothing is given.
func (l *lines) line() (text []byte, long bool, err error) {
	for {
		part, err := l.in.ReadSlice('\n')
		if long = long || len(text)+len(part) > MaxLine; long {
			text = nil
		} else {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, long, err
		}
	}
}

// maxRecord bounds a line of CSV with all that stands in its quotes, in bytes: of a quote that is not closed the rest of
// the file is one cell.
const maxRecord = 8 << 20

// bounded is a reader that ends in a fault when more is read than there is left.
type bounded struct {
	in   io.Reader
	left int
}

var errLong = fmt.Errorf("a line of CSV has more than %d bytes: is a quote not closed?", maxRecord)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	n, err := b.in.Read(p)
	b.left -= n
	return n, err
}

// cells is a file of CSV with the names of its columns on the first line.
type cells struct {
	file  *os.File
	bound *bounded
	in    *csv.Reader
	names []string
	texts bool
	line  int // where the last record began
}

func openCSV(file *os.File, format Format, texts bool) (Source, error) {
	bound := &bounded{bufio.NewReaderSize(file, 256<<10), maxRecord}
	in := csv.NewReader(bound)
	in.ReuseRecord, in.FieldsPerRecord = true, -1
	if format == TSV {
		in.Comma, in.LazyQuotes = '\t', true
	}
	first, err := in.Read()
	if isEnd(err) {
		return nil, errors.New("the file is empty: the first line must name the columns")
	}
	if err != nil {
		return nil, fmt.Errorf("the first line, which must name the columns: %w", err)
	}
	c := &cells{file: file, bound: bound, in: in, texts: texts}
	seen := map[string]bool{}
	for i, name := range first {
		if i == 0 {
			name = strings.TrimPrefix(name, "\ufeff")
		}
		if name == "" || seen[name] {
			return nil, fmt.Errorf("column %d has no name, or that of another: %q", i+1, name)
		}
		seen[name] = true
		c.names = append(c.names, name)
	}
	return c, nil
}

func (c *cells) Close() error { return c.file.Close() }

func (c *cells) Next() (Row, error) {
	c.bound.left = maxRecord
	record, err := c.in.Read()
	var bad *csv.ParseError
	switch {
	case errors.Is(err, errLong):
		return Row{}, fmt.Errorf("after line %d: %w", c.line, errLong)
	case errors.As(err, &bad):
		return Row{Number: int64(bad.StartLine), Fault: bad.Err.Error()}, nil
	case err != nil:
		return Row{}, err
	}
	c.line, _ = c.in.FieldPos(0)
	row := Row{Number: int64(c.line)}
	if len(record) != len(c.names) {
		row.Fault = fmt.Sprintf("the line has %d cells for %d columns", len(record), len(c.names))
		return row, nil
	}
	row.Members = make(map[string]jsontext.Value, len(record))
	for i, text := range record {
		switch {
		case text == "":
		case len(text) > MaxLine || !utf8.ValidString(text):
			row.Members, row.Fault = nil, fmt.Sprintf("%s is not UTF-8, or has more than %d bytes", c.names[i], MaxLine)
			return row, nil
		default:
			row.Members[c.names[i]] = c.value(text)
		}
	}
	return row, nil
}

// value is a cell as JSON. A number is one if it is written as JSON has it: 00123 is a text.
func (c *cells) value(text string) jsontext.Value {
	if v := jsontext.Value(text); !c.texts && (text == "true" || text == "false" || v.Kind() == '0' && v.IsValid() && plain(text)) {
		return v
	}
	quoted, _ := jsontext.AppendQuote(nil, text) // it is UTF-8
	return quoted
}

// plain reports whether a number is exact as a double, so that ids of many digits stay as they are.
func plain(text string) bool {
	if strings.TrimSpace(text) != text || len(text) > 17 {
		return false
	}
	n, err := strconv.ParseFloat(text, 64)
	return err == nil && n > -1<<53 && n < 1<<53
}

// columns is a Parquet file.
type columns struct {
	file   *os.File
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
	if err != nil {
		return nil, fmt.Errorf("it is not a Parquet file: %w", err)
	}
	return &columns{file: file, rows: parquet.NewGenericReader[any](opened, opened.Schema())}, nil
}

func (c *columns) Close() error { return errors.Join(c.rows.Close(), c.file.Close()) }

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
	text, err := json.Marshal(c.buffer[0])
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
