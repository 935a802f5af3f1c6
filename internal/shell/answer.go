package shell

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxAnswer bounds what is read of an answer that becomes a table, in bytes. The server's own ceiling is lower.
const maxAnswer = 256 << 20

// answer is an answer in the server's JSON form, as far as a table shows it.
type answer struct {
	columns []Column
	rows    [][]cell // the first of them
	count   int64    // of all rows
	took    time.Duration
}

// readAnswer reads {"columns":[…],"rows":[[…],…],"row_count":n,"elapsed_ms":n}, and keeps the rows that are shown.
func readAnswer(from io.Reader) (a answer, err error) {
	d := jsontext.NewDecoder(io.LimitReader(from, maxAnswer), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return a, errors.Join(errForm, err)
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return a, errors.Join(errForm, err)
		}
		switch name.String() {
		case "columns":
			err = json.UnmarshalDecode(d, &a.columns)
		case "rows":
			err = a.readRows(d)
		case "row_count":
			err = json.UnmarshalDecode(d, &a.count)
		case "elapsed_ms":
			var ms float64
			err = json.UnmarshalDecode(d, &ms)
			a.took = time.Duration(ms * float64(time.Millisecond))
		default:
			err = d.SkipValue()
		}
		if err != nil {
			return a, errors.Join(errForm, err)
		}
	}
	return a, nil
}

var errForm = errors.New("the server's answer cannot be read")

func (a *answer) readRows(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == '[' {
		if len(a.rows) == maxTableRows {
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		row, err := readRow(d, a.columns)
		if err != nil {
			return err
		}
		a.rows = append(a.rows, row)
	}
	return ends(d)
}

// ends reads the end of an array.
func ends(d *jsontext.Decoder) error {
	t, err := d.ReadToken()
	if err == nil && t.Kind() != ']' {
		err = errForm
	}
	return err
}

func readRow(d *jsontext.Decoder, columns []Column) ([]cell, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	row := make([]cell, 0, len(columns))
	for _, column := range columns {
		v, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		c := cell{null: v.Kind() == 'n', text: string(v)}
		if v.Kind() == '"' && column.Type != "JSON" {
			text, err := jsontext.AppendUnquote(nil, v)
			if err != nil {
				return nil, err
			}
			c.text = string(text)
		}
		row = append(row, c)
	}
	return row, ends(d)
}

// footer says how many rows there are, and how many of them are shown.
func (a *answer) footer() string {
	rows := "rows"
	if a.count == 1 {
		rows = "row"
	}
	if int64(len(a.rows)) < a.count {
		return fmt.Sprintf("(%d rows; the first %d are shown)\n", a.count, len(a.rows))
	}
	return fmt.Sprintf("(%d %s)\n", a.count, rows)
}
