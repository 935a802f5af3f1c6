package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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

// Check reports whether a format is one that there is.
func (f Format) Check() error {
	switch f {
	case NDJSON, CSV, TSV, Parquet:
		return nil
	}
	return fmt.Errorf("%q is not ndjson, csv, tsv or parquet", f)
}

// FormatOf tells a format by a file's name, which may end in how it is packed; empty when the name says nothing.
func FormatOf(name string) Format {
	switch strings.ToLower(filepath.Ext(unpackedName(name))) {
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

// Open opens a file. One of text may be packed with gzip or zstd, and is unpacked while it is read: its lines are those of the
// text. texts says that numbers and booleans of CSV stay texts. The source closes the file.
func Open(file *os.File, format Format, texts bool) (Source, error) {
	if err := format.Check(); err != nil {
		return nil, err
	}
	if format == Parquet {
		return openParquet(file)
	}
	text, done, err := unpacked(newReader(file))
	if err != nil {
		return nil, err
	}
	closes := func() error { done(); return file.Close() }
	if format == NDJSON {
		return &lines{closes: closes, in: text}, nil
	}
	source, err := openCSV(text, closes, format, texts)
	if err != nil {
		done()
		return nil, err
	}
	return source, nil
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// lines is a file with a JSON object on each line. Empty lines are passed over.
type lines struct {
	closes func() error
	in     *bufio.Reader
	number int64
}

func (l *lines) Close() error { return l.closes() }

// Columns are none: each line has members of its own.
func (*lines) Columns() []string { return nil }

func (l *lines) Next() (Row, error) {
	for {
		text, long, err := l.line()
		if err != nil && (!isEnd(err) || len(text) == 0 && !long) {
			return Row{}, err
		}
		if l.number++; l.number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		row := Row{Number: l.number}
		text = bytes.TrimSpace(text)
		switch {
		case long:
			row.Fault = fmt.Sprintf("the line has more than %d bytes", MaxLine)
		case len(text) == 0:
			continue
		case text[0] == '[':
			row.Fault = "the line is not a JSON object, but begins an array: 'jq -c .[]' makes lines of its elements"
		case jsontext.Value(text).Kind() != '{':
			row.Fault = "the line is not a JSON object"
		default:
			if err := json.Unmarshal(text, &row.Members); err != nil {
				row.Members, row.Fault = nil, "the line is not a JSON object: "+err.Error()
			}
		}
		if row.Fault != "" {
			row.Text = shown(text)
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
