package query

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// encoder writes an answer row by row.
type encoder interface {
	row(jsontext.Value) error
	end(rows int64, elapsed time.Duration) error
}

// newEncoder begins an answer.
func newEncoder(f Format, w io.Writer, columns []Column, spreadsheet bool) (encoder, error) {
	switch f {
	case JSON:
		return newJSON(w, columns)
	case NDJSON:
		return newNDJSON(w, columns)
	case CSV:
		return newCSV(w, columns, spreadsheet)
	case Parquet:
		return newParquet(w, columns)
	case Objects:
		return newObjects(w, columns)
	case Lines:
		return newLines(w, columns)
	case Arrow:
		return newArrow(w, columns)
	}
	return nil, fmt.Errorf("no encoder for the format %q", f)
}

// maxColumns is how many columns an answer may have in a format in which each costs memory of its own.
const maxColumns = 1000

func checkColumns(f Format, columns []Column) error {
	if len(columns) > maxColumns {
		return problem.Invalid("format", "an answer as %s has at most %d columns, this one would have %d", f, maxColumns, len(columns))
	}
	return nil
}

// misfit is a value that the format's type for its column cannot hold, such as a date after the year 9999.
func misfit(f Format, c Column, cause error) error {
	p := problem.Wrap(cause, problem.InvalidField, "A value of the column %q is not one that %s's type for %s holds here. "+
		"Cast the column to VARCHAR, or ask for another format.", c.Name, f, c.Type)
	return p.At("format", string(f)+" cannot hold a value of this answer")
}

// names gives every column a name of its own: the first n keeps it, the second is n_2, the third n_3, passing over what
// is another column's name. The formats in which a value is found by its column's name use them; JSON, in which it is
// found by its place, shows the names as they are.
func names(columns []Column) []string {
	taken := make(map[string]bool, len(columns))
	for _, c := range columns {
		taken[c.Name] = true
	}
	next := make(map[string]int, len(columns)) // the number for the next column of a name
	unique := make([]string, len(columns))
	for i, c := range columns {
		name := c.Name
		if n, again := next[name]; again {
			for ; taken[name]; n++ {
				name = c.Name + "_" + strconv.Itoa(n)
			}
			next[c.Name] = n
		} else {
			next[name] = 2
		}
		taken[name] = true
		unique[i] = name
	}
	return unique
}

// cells takes a row apart. A value it gives is valid until the next call.
type cells struct {
	source  bytes.Buffer
	decoder *jsontext.Decoder
}

var errRow = errors.New("the engine gave a row that is not an array of a value for each column")

func newCells() *cells {
	c := &cells{}
	c.decoder = jsontext.NewDecoder(&c.source)
	return c
}

func (c *cells) open(row jsontext.Value) error {
	c.source = *bytes.NewBuffer(row)
	// The engine's JSON columns hold what was stored, which may have a name twice: that is for the reader to judge.
	c.decoder.Reset(&c.source, jsontext.AllowDuplicateNames(true))
	if t, err := c.decoder.ReadToken(); err != nil || t.Kind() != '[' {
		return errRow
	}
	return nil
}

func (c *cells) next() (jsontext.Value, error) {
	v, err := c.decoder.ReadValue()
	if err != nil {
		return nil, errRow
	}
	return v, nil
}

func (c *cells) close() error {
	if t, err := c.decoder.ReadToken(); err != nil || t.Kind() != ']' {
		return errRow
	}
	return nil
}

// appendText appends the text of a value for formats that have no JSON: what a string says, and the JSON of anything
// else. In a JSON column every value, a string too, stays the JSON it is, so that "1" and 1 stay two things.
func appendText(dst []byte, column Column, v jsontext.Value) ([]byte, error) {
	if v.Kind() != '"' || column.Type == "JSON" {
		return append(dst, v...), nil
	}
	return jsontext.AppendUnquote(dst, v)
}

// jsonEncoder writes {"columns":[…],"rows":[…],"row_count":n,"elapsed_ms":n}. Rows go through as they come.
type jsonEncoder struct {
	w     io.Writer
	first bool
	line  []byte
}

func newJSON(w io.Writer, columns []Column) (*jsonEncoder, error) {
	header, err := json.Marshal(columns)
	if err != nil {
		return nil, fmt.Errorf("columns: %w", err)
	}
	_, err = fmt.Fprintf(w, `{"columns":%s,"rows":[`, header)
	return &jsonEncoder{w: w, first: true}, err
}

func (e *jsonEncoder) row(row jsontext.Value) error {
	e.line = e.line[:0]
	if !e.first {
		e.line = append(e.line, ',')
	}
	e.first = false
	e.line = append(append(e.line, '\n'), row...)
	_, err := e.w.Write(e.line)
	return err
}

func (e *jsonEncoder) end(rows int64, elapsed time.Duration) error {
	_, err := e.w.Write(tail(&Answer{Rows: rows, Elapsed: elapsed}))
	return err
}

// tail ends an answer in JSON.
func tail(a *Answer) []byte {
	b := fmt.Appendf(nil, "\n],\"row_count\":%d,\"elapsed_ms\":%d", a.Rows, a.Elapsed.Milliseconds())
	if !a.ExpiresAt.IsZero() {
		b = fmt.Appendf(b, ",\"cached\":%t,\"expires_at\":%q", a.Cached, a.ExpiresAt.UTC().Format(expiry))
	}
	return append(b, '}', '\n')
}

// expiry is RFC 3339 with milliseconds.
const expiry = "2006-01-02T15:04:05.000Z07:00"

// ndjsonEncoder writes an object for each row, with the columns' own names. An answer without rows is empty.
type ndjsonEncoder struct {
	w     io.Writer
	keys  [][]byte // what stands before each value
	cells *cells
	line  []byte
}

func newNDJSON(w io.Writer, columns []Column) (*ndjsonEncoder, error) {
	e := &ndjsonEncoder{w: w, cells: newCells()}
	before := byte('{')
	for _, name := range names(columns) {
		key, err := jsontext.AppendQuote([]byte{before}, name)
		if err != nil {
			return nil, fmt.Errorf("column name: %w", err)
		}
		e.keys = append(e.keys, append(key, ':'))
		before = ','
	}
	return e, nil
}

func (e *ndjsonEncoder) row(row jsontext.Value) error {
	e.line = e.line[:0]
	if err := e.object(row); err != nil {
		return err
	}
	_, err := e.w.Write(append(e.line, '\n'))
	return err
}

// object appends a row as an object to the line.
func (e *ndjsonEncoder) object(row jsontext.Value) error {
	if err := e.cells.open(row); err != nil {
		return err
	}
	for _, key := range e.keys {
		v, err := e.cells.next()
		if err != nil {
			return err
		}
		if bytes.ContainsAny(v, "\r\n") { // between tokens, as the JSON was stored: here it would end the line
			v = v.Clone()
			if err := v.Compact(); err != nil {
				return errRow
			}
		}
		e.line = append(append(e.line, key...), v...)
	}
	e.line = append(e.line, '}')
	return e.cells.close()
}

func (*ndjsonEncoder) end(int64, time.Duration) error { return nil }

// objectsEncoder writes {"columns":[…],"data":[…],"row_count":n,"elapsed_ms":n}, with an object for each row. The columns
// are called as the members of these are.
type objectsEncoder struct {
	*ndjsonEncoder

	first bool
}

func newObjects(w io.Writer, columns []Column) (*objectsEncoder, error) {
	lines, err := newNDJSON(w, columns)
	if err != nil {
		return nil, err
	}
	columns = slices.Clone(columns)
	for i, name := range names(columns) {
		columns[i].Name = name
	}
	header, err := json.Marshal(columns)
	if err != nil {
		return nil, fmt.Errorf("columns: %w", err)
	}
	_, err = fmt.Fprintf(w, `{"columns":%s,"data":[`, header)
	return &objectsEncoder{lines, true}, err
}

func (e *objectsEncoder) row(row jsontext.Value) error {
	e.line = e.line[:0]
	if !e.first {
		e.line = append(e.line, ',')
	}
	e.first = false
	e.line = append(e.line, '\n')
	if err := e.object(row); err != nil {
		return err
	}
	_, err := e.w.Write(e.line)
	return err
}

func (e *objectsEncoder) end(rows int64, elapsed time.Duration) error {
	_, err := e.w.Write(tail(&Answer{Rows: rows, Elapsed: elapsed}))
	return err
}

// csvEncoder writes RFC 4180: lines end in CR LF, and a field is quoted when it holds a quote, a comma or a line end. A
// null is an empty field and an empty text is "", which readers that care can tell apart. A null that is alone on its
// line is "" too, since most readers pass over an empty line and would lose the row.
type csvEncoder struct {
	w           io.Writer
	columns     []Column
	spreadsheet bool
	cells       *cells
	text        []byte
	line        []byte
}

func newCSV(w io.Writer, columns []Column, spreadsheet bool) (*csvEncoder, error) {
	e := &csvEncoder{w: w, columns: columns, spreadsheet: spreadsheet, cells: newCells()}
	for i, name := range names(columns) {
		e.separate(i)
		e.field([]byte(name), true)
	}
	return e, e.endLine()
}

func (e *csvEncoder) row(row jsontext.Value) error {
	if err := e.cells.open(row); err != nil {
		return err
	}
	for i, column := range e.columns {
		v, err := e.cells.next()
		if err != nil {
			return err
		}
		e.separate(i)
		if v.Kind() == 'n' && len(e.columns) > 1 {
			continue
		}
		e.text = e.text[:0]
		if v.Kind() != 'n' {
			if e.text, err = appendText(e.text, column, v); err != nil {
				return errRow
			}
		}
		e.field(e.text, v.Kind() == '"')
	}
	if err := e.cells.close(); err != nil {
		return err
	}
	return e.endLine()
}

func (*csvEncoder) end(int64, time.Duration) error { return nil }

// formula are the characters with which a spreadsheet's formula may begin (OWASP ASVS 5.0 section 1.2.10, and the line
// ends that some programs cut off first).
const formula = "=+-@\t\r\n\x00"

// field appends one field. What is a number, a truth value or a nested value cannot be a formula; a text can.
func (e *csvEncoder) field(value []byte, text bool) {
	guard := e.spreadsheet && text && len(value) > 0 && strings.IndexByte(formula, value[0]) >= 0
	quote := len(value) == 0 || bytes.ContainsAny(value, "\",\r\n")
	if quote {
		e.line = append(e.line, '"')
	}
	if guard {
		e.line = append(e.line, '\'')
	}
	for len(value) > 0 {
		i := bytes.IndexByte(value, '"') + 1
		if i == 0 {
			i = len(value)
		}
		e.line = append(e.line, value[:i]...)
		if value[i-1] == '"' {
			e.line = append(e.line, '"')
		}
		value = value[i:]
	}
	if quote {
		e.line = append(e.line, '"')
	}
}

func (e *csvEncoder) separate(i int) {
	if i > 0 {
		e.line = append(e.line, ',')
	}
}

func (e *csvEncoder) endLine() error {
	_, err := e.w.Write(append(e.line, '\r', '\n'))
	e.line = e.line[:0]
	return err
}
