package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxRecord bounds a line of CSV with all that stands in its quotes, in bytes: a quote that is not closed within so many
// spoils its own line, and those after it are read as what they are.
const maxRecord = 8 << 20

// The faults of a line of CSV.
const (
	faultOpen = "a quotation mark is not closed"
	faultText = "there is text between a closing quotation mark and the next cell"
	faultBare = "there is a quotation mark within a cell that has none around it"
)

// cells is a file of CSV with the names of its columns on the first line, after RFC 4180: a cell in quotation marks may
// have separators and ends of lines in it, and quotation marks that are doubled. Between tabs, what is not quoted well is
// text.
type cells struct {
	closes func() error
	lines  *takenBack
	tabs   bool
	names  []string
	texts  bool
}

func openCSV(text *bufio.Reader, closes func() error, format Format, texts bool) (Source, error) {
	c := &cells{closes: closes, lines: &takenBack{in: text}, tabs: format == TSV, texts: texts}
	first, err := c.record()
	if isEnd(err) {
		return nil, errors.New("the file is empty: the first line must name the columns")
	}
	if err != nil {
		return nil, err
	}
	if first.fault != "" {
		return nil, fmt.Errorf("the first line, which must name the columns: %s", first.fault)
	}
	seen := map[string]bool{}
	for i, name := range first.cells {
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

func (c *cells) Close() error { return c.closes() }

// Columns are those of the first line.
func (c *cells) Columns() []string { return c.names }

func (c *cells) Next() (Row, error) {
	read, err := c.record()
	if err != nil {
		return Row{}, err
	}
	row := Row{Number: read.line, Fault: read.fault}
	if row.Fault == "" {
		row.Members, row.Fault = c.members(&read)
	}
	if row.Fault != "" {
		row.Text = shown(read.text)
	}
	return row, nil
}

// members are the cells of a record by their names.
func (c *cells) members(read *record) (members map[string]jsontext.Value, fault string) {
	switch {
	case len(read.cells) == len(c.names):
	case read.end > read.line:
		return nil, fmt.Sprintf("the line, which goes on to line %d in quotation marks, has %d cells for %d columns", read.end, len(read.cells), len(c.names))
	default:
		return nil, fmt.Sprintf("the line has %d cells for %d columns", len(read.cells), len(c.names))
	}
	members = make(map[string]jsontext.Value, len(read.cells))
	for i, text := range read.cells {
		switch {
		case text == "":
		case len(text) > MaxLine || !utf8.ValidString(text):
			return nil, fmt.Sprintf("%s is not UTF-8, or has more than %d bytes", c.names[i], MaxLine)
		default:
			members[c.names[i]] = c.value(text)
		}
	}
	return members, ""
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

// record is a line with those that its quotation marks make part of it, or what is wrong with it alone.
type record struct {
	line, end int64
	cells     []string
	fault     string
	text      []byte
}

func (c *cells) record() (record, error) {
	for {
		text, long, err := c.lines.next()
		if err != nil {
			return record{}, err
		}
		r := record{line: c.lines.number, end: c.lines.number, text: text}
		switch {
		case long:
			r.fault = fmt.Sprintf("the line has more than %d bytes", maxRecord)
		case len(text) == 0:
			continue
		default:
			err = c.apart(&r)
		}
		return r, err
	}
}

// apart takes a record apart, with the lines that belong to it.
func (c *cells) apart(r *record) error {
	by := byte(',')
	if c.tabs {
		by = '\t'
	}
	first, whole := r.text, r.text
	var more [][]byte
	var open bool
	for {
		if r.cells, open, r.fault = split(whole, by, c.tabs); !open {
			break
		}
		// Quotation marks come in pairs: only a line with an odd number of them can end what is open.
		added := len(more)
		for odd := false; !odd && len(whole) <= maxRecord; {
			text, long, err := c.lines.next()
			if err != nil && !isEnd(err) {
				return err
			}
			if err == nil {
				more = append(more, text)
				whole = append(append(whole, '\n'), text...)
			}
			if err != nil || long {
				break
			}
			odd = bytes.Count(text, []byte{'"'})%2 == 1
		}
		if len(more) == added || len(whole) > maxRecord {
			r.fault = faultOpen
			break
		}
	}
	if r.fault != "" {
		c.lines.takeBack(more)
		r.text = first
		if c.tabs {
			r.cells, r.fault = strings.Split(string(first), "\t"), ""
		}
		return nil
	}
	r.end += int64(len(more))
	r.text = whole
	return nil
}

// split takes a text apart; open says that it ends within quotation marks. With lazy, those within a cell are text.
func split(text []byte, by byte, lazy bool) (cells []string, open bool, fault string) {
	for {
		if len(text) == 0 || text[0] != '"' {
			cell, rest, more := bytes.Cut(text, []byte{by})
			if !lazy && bytes.IndexByte(cell, '"') >= 0 {
				return nil, false, faultBare
			}
			if cells = append(cells, string(cell)); !more {
				return cells, false, ""
			}
			text = rest
			continue
		}
		var cell []byte
		for text = text[1:]; ; {
			before, rest, closed := bytes.Cut(text, []byte{'"'})
			if !closed {
				return nil, true, ""
			}
			cell, text = append(cell, before...), rest
			if len(text) == 0 || text[0] != '"' {
				break
			}
			cell, text = append(cell, '"'), text[1:]
		}
		cells = append(cells, string(cell))
		switch {
		case len(text) == 0:
			return cells, false, ""
		case text[0] != by:
			return nil, false, faultText
		}
		text = text[1:]
	}
}

// takenBack gives the lines of a text without their ends, and takes some back, which come again.
type takenBack struct {
	in     *bufio.Reader
	number int64    // of the line that was given last
	given  [][]byte // that were taken back, the next one last
}

// next gives a line; long says that it has more than maxRecord bytes, and it is only its beginning then.
func (l *takenBack) next() (text []byte, long bool, err error) {
	if n := len(l.given); n > 0 {
		l.number++
		text, l.given = l.given[n-1], l.given[:n-1]
		return text, len(text) > maxRecord, nil
	}
	for {
		part, err := l.in.ReadSlice('\n')
		if room := maxRecord + 3 - len(text); len(part) > room {
			part = part[:room]
		}
		text = append(text, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!isEnd(err) || len(text) == 0):
			return nil, false, err
		}
		l.number++
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		return text, len(text) > maxRecord, nil
	}
}

// takeBack takes the lines back that were given last.
func (l *takenBack) takeBack(lines [][]byte) {
	for _, line := range slices.Backward(lines) {
		l.given = append(l.given, line)
	}
	l.number -= int64(len(lines))
}

// maxShown bounds what is told of the text of a line that cannot be read.
const maxShown = 64 << 10

// shown is a line as it is told; nothing of one that is longer than a part of it would help.
func shown(text []byte) string {
	if len(text) > maxShown {
		return ""
	}
	return strings.ToValidUTF8(string(text), "\ufffd")
}

// newReader reads a file in steps.
func newReader(in io.Reader) *bufio.Reader { return bufio.NewReaderSize(in, 256<<10) }
