// Package grafana is the shapes in which Grafana's JSON data sources take answers: time series, tables, the values of a
// variable, and annotations.
//
// It owns how rows become these shapes, and their limits: which column is the time, which are values, which name a
// series. It is pure. It does not own the routes, nor what a request asks for (package api), nor how a question is run
// (package query).
//
// Problems: result_too_large, invalid_field.
package grafana

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// The limits on what is drawn. They are more than a screen shows.
const (
	MaxRows   = 50_000 // of one answer
	MaxSeries = 200    // of one answer
)

// Frame is a time series, or a table. Of a series there is Target and Datapoints, of a table Type, Columns and Rows.
type Frame struct {
	Target     string             `json:"target,omitzero" doc:"The name of the series."`
	Datapoints [][]jsontext.Value `json:"datapoints,omitzero" doc:"A value and its time in milliseconds for each point, in the order of time."`
	Type       string             `json:"type,omitzero" enum:"table" doc:"table for a table."`
	Columns    []TableColumn      `json:"columns,omitzero" doc:"The columns of a table."`
	Rows       [][]jsontext.Value `json:"rows,omitzero" doc:"The rows of a table; times are milliseconds."`
}

// TableColumn is a column of a table.
type TableColumn struct {
	Text string `json:"text" doc:"Its name." example:"country"`
	Type string `json:"type" enum:"time,number,string" doc:"What is in it."`
}

// VariableValue is a value of a variable.
type VariableValue struct {
	Text  string `json:"__text" doc:"What is shown."`
	Value string `json:"__value" doc:"What is put in the variable's place."`
}

// Annotation is something that happened at a time.
type Annotation struct {
	Annotation jsontext.Value `json:"annotation" doc:"What asked for it, as it was sent."`
	Time       jsontext.Value `json:"time" doc:"In milliseconds."`
	Title      string         `json:"title"`
	Text       string         `json:"text,omitzero"`
	Tags       string         `json:"tags,omitzero"`
}

// Result is an answer in memory.
type Result struct {
	columns []view.Column
	rows    [][]jsontext.Value
}

// Read takes in an answer in the form that package query writes as JSON.
func Read(answer io.Reader) (Result, error) {
	var r Result
	d := jsontext.NewDecoder(answer, jsontext.AllowDuplicateNames(true))
	if _, err := d.ReadToken(); err != nil {
		return r, err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return r, err
		}
		switch name.String() {
		case "columns":
			err = json.UnmarshalDecode(d, &r.columns)
		case "rows":
			err = r.read(d)
		default:
			err = d.SkipValue()
		}
		if err != nil {
			return r, err
		}
	}
	return r, ends(d, '}')
}

// ends reads the end of an object or an array.
func ends(d *jsontext.Decoder, kind jsontext.Kind) error {
	if t, err := d.ReadToken(); err != nil || t.Kind() != kind {
		return errors.Join(errors.New("the answer is not in the form that it should have"), err)
	}
	return nil
}

func (r *Result) read(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == '[' {
		if len(r.rows) == MaxRows {
			return problem.New(problem.ResultTooLarge, "The result has more than %d rows, which are too many for a chart: group by time_bucket or LIMIT.", MaxRows)
		}
		var row []jsontext.Value
		if err := json.UnmarshalDecode(d, &row); err != nil {
			return err
		}
		if len(row) != len(r.columns) {
			return fmt.Errorf("a row has %d values for %d columns", len(row), len(r.columns))
		}
		for i := range row {
			row[i] = row[i].Clone()
		}
		r.rows = append(r.rows, row)
	}
	return ends(d, ']')
}

// Len is the number of rows.
func (r Result) Len() int { return len(r.rows) }

// kinds of columns.
const (
	timeKind   = "time"
	numberKind = "number"
	stringKind = "string"
)

func kindOf(c view.Column) string {
	name, _, _ := strings.Cut(c.Type, "(")
	switch name {
	case "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE":
		return timeKind
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM", "FLOAT", "DOUBLE", "DECIMAL":
		return numberKind
	}
	return stringKind
}

// HasTime reports whether the answer has a time and a value, so that it can be series.
func (r Result) HasTime() bool {
	is := func(kind string) bool {
		return slices.ContainsFunc(r.columns, func(c view.Column) bool { return kindOf(c) == kind })
	}
	return is(timeKind) && is(numberKind)
}

// Series draws lines: the first column of times is the time, each column of numbers is a series, and all other columns
// name what a series is about, one for each combination of their values. A row without a time is left out.
func (r Result) Series() ([]Frame, error) {
	at, values, labels := -1, []int{}, []int{}
	for i, c := range r.columns {
		switch kind := kindOf(c); {
		case kind == timeKind && at < 0:
			at = i
		case kind == numberKind:
			values = append(values, i)
		default:
			labels = append(labels, i)
		}
	}
	frames, byName := []Frame{}, map[string]int{}
	for _, row := range r.inOrder(at) {
		about := make([]string, 0, len(labels))
		for _, i := range labels {
			about = append(about, text(row[i]))
		}
		for _, i := range values {
			key := fmt.Sprintf("%d %q", i, about)
			n, known := byName[key]
			if !known {
				if n = len(frames); n == MaxSeries {
					return nil, problem.New(problem.ResultTooLarge, "The result has more than %d series, which are too many for a chart: break down by less, or LIMIT.", MaxSeries)
				}
				byName[key] = n
				frames = append(frames, Frame{Target: seriesName(r.columns[i].Name, about, len(values))})
			}
			frames[n].Datapoints = append(frames[n].Datapoints, []jsontext.Value{row[i], timeValue(row[at])})
		}
	}
	return frames, nil
}

// inOrder are the rows that have a time, in its order.
func (r Result) inOrder(at int) [][]jsontext.Value {
	type timed struct {
		when int64
		row  []jsontext.Value
	}
	var rows []timed
	for _, row := range r.rows {
		if when, ok := milliseconds(row[at]); ok {
			rows = append(rows, timed{when, row})
		}
	}
	slices.SortStableFunc(rows, func(a, b timed) int { return cmp.Compare(a.when, b.when) })
	sorted := make([][]jsontext.Value, len(rows))
	for i, t := range rows {
		sorted[i] = t.row
	}
	return sorted
}

// seriesName is what a series is about; with the column's name when there are several of them, or nothing else to say.
func seriesName(column string, about []string, columns int) string {
	name := strings.Join(about, ", ")
	switch {
	case len(about) == 0:
		return column
	case columns == 1:
		return name
	}
	return column + " " + name
}

// Table is the answer as it is, with times in milliseconds.
func (r Result) Table() Frame {
	f := Frame{Type: "table", Columns: []TableColumn{}, Rows: [][]jsontext.Value{}}
	for _, c := range r.columns {
		f.Columns = append(f.Columns, TableColumn{c.Name, kindOf(c)})
	}
	for _, row := range r.rows {
		shown := slices.Clone(row)
		for i, c := range f.Columns {
			switch {
			case c.Type == timeKind:
				shown[i] = timeValue(row[i])
			case c.Type == stringKind && row[i].Kind() != '"' && row[i].Kind() != 'n':
				shown[i] = quote(string(row[i]))
			}
		}
		f.Rows = append(f.Rows, shown)
	}
	return f
}

// Options are the values of a variable: the first column is shown, the second is the value, or the first is both. A null
// is no value.
func (r Result) Options() []VariableValue {
	options := []VariableValue{}
	for _, row := range r.rows {
		if len(row) == 0 || row[0].Kind() == 'n' {
			continue
		}
		o := VariableValue{text(row[0]), text(row[0])}
		if len(row) > 1 {
			o.Value = text(row[1])
		}
		options = append(options, o)
	}
	return options
}

// Annotations are what happened: the columns named time, title, text and tags, or the first column of times for a time
// that is not named.
func (r Result) Annotations(asked jsontext.Value) ([]Annotation, error) {
	named := func(name string) int {
		return slices.IndexFunc(r.columns, func(c view.Column) bool { return strings.EqualFold(c.Name, name) })
	}
	at := slices.IndexFunc(r.columns, func(c view.Column) bool { return kindOf(c) == timeKind })
	if i := named("time"); i >= 0 && kindOf(r.columns[i]) == timeKind {
		at = i
	}
	if at < 0 {
		return nil, problem.Invalid("annotation.query", "has no column of times")
	}
	found := []Annotation{}
	for _, row := range r.rows {
		when, ok := milliseconds(row[at])
		if !ok {
			continue
		}
		value := func(name string) string {
			if i := named(name); i >= 0 {
				return text(row[i])
			}
			return ""
		}
		found = append(found, Annotation{asked, whole(when), value("title"), value("text"), value("tags")})
	}
	return found, nil
}

// text is a value as a person reads it.
func text(v jsontext.Value) string {
	if v.Kind() == '"' {
		if plain, err := jsontext.AppendUnquote(nil, v); err == nil {
			return string(plain)
		}
	}
	return string(v)
}

func quote(s string) jsontext.Value {
	quoted, err := jsontext.AppendQuote(nil, s)
	if err != nil {
		return jsontext.Value("null")
	}
	return quoted
}

// milliseconds reads a time or a day as the engine writes it.
func milliseconds(v jsontext.Value) (int64, bool) {
	if v.Kind() != '"' {
		return 0, false
	}
	for _, layout := range [...]string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text(v)); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}

func timeValue(v jsontext.Value) jsontext.Value {
	when, ok := milliseconds(v)
	if !ok {
		return jsontext.Value("null")
	}
	return whole(when)
}

func whole(n int64) jsontext.Value { return jsontext.Value(fmt.Sprint(n)) }
