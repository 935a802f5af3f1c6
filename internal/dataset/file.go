package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// Format is how a file is written.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	TSV     Format = "tsv"
	PSV     Format = "psv" // with a pipe between the fields
	JSON    Format = "json"
	JSONL   Format = "jsonl"
	Parquet Format = "parquet"
)

// ContentTypes are the types of bodies that are files. What a file is, is told by its first bytes; the type decides where
// they leave it open.
func ContentTypes() []string {
	return []string{
		"text/csv", "text/tab-separated-values", "text/plain", "application/json", "application/x-ndjson", "application/jsonl",
		"application/vnd.apache.parquet", "application/octet-stream",
	}
}

// row is a record of a file, or what is wrong with it.
type row struct {
	line  int64 // where it begins; of a file without lines, its number; both from 1
	cells []cell
	fault string
	last  bool // what comes after it cannot be read
}

// source gives the rows of a file one after another, and io.EOF behind the last. Any other error is one of the whole file.
type source interface{ next() (row, error) }

const headSize = 64 << 10

// openSource finds out how a file is written, and reads it from its start.
func openSource(f *os.File, contentType string) (source, Format, error) {
	head := make([]byte, headSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	head = head[:n]
	format := detect(head, contentType)
	if format == Parquet {
		s, err := openParquet(f)
		return s, format, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, "", err
	}
	s, err := newSource(f, format)
	return s, format, err
}

// newSource reads a file of text.
func newSource(r io.Reader, format Format) (source, error) {
	switch {
	case format == JSON:
		return newArray(r), nil
	case format == JSONL:
		return &jsonLines{lines: newLines(r)}, nil
	}
	return openSeparated(r, separators[format])
}

// separators are what is between the fields of a line.
var separators = map[Format]byte{CSV: ',', TSV: '\t', PSV: '|'}

// byteOrderMark may stand before a text.
const byteOrderMark = "\xef\xbb\xbf"

// detect tells how a file is written by its head.
func detect(head []byte, contentType string) Format {
	if bytes.HasPrefix(head, []byte("PAR1")) {
		return Parquet
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n")
	kind, _, _ := strings.Cut(contentType, ";")
	switch strings.TrimSpace(kind) {
	case "text/tab-separated-values":
		return TSV
	case "application/x-ndjson", "application/jsonl":
		return JSONL
	}
	switch {
	case bytes.HasPrefix(text, []byte("[")):
		return JSON
	case bytes.HasPrefix(text, []byte("{")):
		return JSONL
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	best := CSV
	for _, f := range []Format{TSV, PSV} {
		if bytes.Count(first, []byte{separators[f]}) > bytes.Count(first, []byte{separators[best]}) {
			best = f
		}
	}
	return best
}

// lines gives the lines of a text, without their ends, and takes some back.
type lines struct {
	r     *bufio.Reader
	n     int64    // of the line that was given last
	given [][]byte // that were taken back, the next one first
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, headSize)} }

// next gives a line; long says that it has more than MaxRecord bytes, of which it is only the beginning then.
func (l *lines) next() (line []byte, long bool, err error) {
	l.n++
	if len(l.given) > 0 {
		line, l.given = l.given[0], l.given[1:]
		return line, false, nil
	}
	for {
		part, err := l.r.ReadSlice('\n')
		if room := MaxRecord - len(line); len(part) > room+2 {
			long = true
			part = part[:max(room, 0)]
		}
		line = append(line, part...)
		switch {
		case err == nil:
			line = trimEnd(line)
			return line, long || len(line) > MaxRecord, nil
		case errors.Is(err, io.EOF):
			if len(line) == 0 {
				return nil, false, io.EOF
			}
			line = trimEnd(line)
			return line, long || len(line) > MaxRecord, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}

// giveBack takes lines back, which come again next.
func (l *lines) giveBack(list [][]byte) {
	l.given = append(list, l.given...)
	l.n -= int64(len(list))
}

func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// tooLong is the fault of a line that is.
var tooLong = fmt.Sprintf("the line has more than %d bytes", MaxRecord)

// separated reads a text of lines with fields, after RFC 4180: a field in quotation marks may have separators and ends of
// lines in it, and quotation marks that are doubled. A quotation mark that is never closed spoils its own line alone.
type separated struct {
	lines *lines
	by    byte
	names []string
}

const maxLinesOfRow = 1000

func openSeparated(r io.Reader, by byte) (*separated, error) {
	s := &separated{lines: newLines(r), by: by}
	head, err := s.next()
	if errors.Is(err, io.EOF) {
		return nil, problem.New(problem.InvalidRequest, "The file is empty.")
	}
	if err != nil {
		return nil, err
	}
	if head.fault != "" {
		return nil, problem.Invalid("line 1", "is the header, and cannot be read: %s", head.fault)
	}
	seen := map[string]bool{}
	if len(head.cells) == 1 && strings.TrimSpace(head.cells[0].text) == "" {
		return nil, problem.New(problem.InvalidRequest, "The file is empty.")
	}
	for i, c := range head.cells {
		name := strings.TrimSpace(c.text)
		if i == 0 {
			name = strings.TrimSpace(strings.TrimPrefix(c.text, byteOrderMark))
		}
		switch {
		case nameFault(name) != "":
			return nil, problem.Invalid("line 1", "is the header, and its field %d, %q: %s", i+1, shown(name), nameFault(name))
		case seen[name]:
			return nil, problem.Invalid("line 1", "is the header, and names %q twice", shown(name))
		case len(s.names) == MaxProperties:
			return nil, problem.Invalid("line 1", "is the header, and has more than %d fields", MaxProperties)
		}
		seen[name] = true
		s.names = append(s.names, name)
	}
	return s, nil
}

func (s *separated) next() (row, error) {
	for {
		line, long, err := s.lines.next()
		if err != nil {
			return row{}, err
		}
		if len(line) == 0 && !long {
			continue
		}
		r := row{line: s.lines.n}
		fields, fault := s.fields(line, long)
		switch {
		case fault != "":
			r.fault = fault
		case s.names != nil && len(fields) != len(s.names):
			r.fault = fmt.Sprintf("the line has %d fields, and the header %d", len(fields), len(s.names))
		default:
			r.cells = make([]cell, len(fields))
			for i, text := range fields {
				r.cells[i].text = text
				if s.names != nil {
					r.cells[i].name = s.names[i]
				}
			}
		}
		return r, nil
	}
}

// fields takes a line apart, with the lines that belong to it.
func (s *separated) fields(line []byte, long bool) (fields []string, fault string) {
	if long {
		return nil, tooLong
	}
	whole, more := line, [][]byte{}
	for {
		fields, open, fault := split(whole, s.by)
		switch {
		case fault != "":
			s.lines.giveBack(more)
			return nil, fault
		case !open && !utf8.Valid(whole):
			return nil, "the line is not UTF-8"
		case !open:
			return fields, ""
		}
		next, long, err := s.lines.next()
		if err == nil {
			more = append(more, bytes.Clone(next))
		}
		if err != nil || long || len(whole)+len(next) > MaxRecord || len(more) > maxLinesOfRow {
			if err != nil {
				s.lines.n--
			}
			s.lines.giveBack(more)
			return nil, "a quotation mark is not closed"
		}
		whole = append(append(bytes.Clone(whole), '\n'), next...)
	}
}

// split takes a text apart; open says that it ends within quotation marks.
func split(text []byte, by byte) (fields []string, open bool, fault string) {
	for {
		if len(text) == 0 || text[0] != '"' {
			i := bytes.IndexByte(text, by)
			if i < 0 {
				return append(fields, string(text)), false, ""
			}
			fields, text = append(fields, string(text[:i])), text[i+1:]
			continue
		}
		var field []byte
		for text = text[1:]; ; {
			i := bytes.IndexByte(text, '"')
			if i < 0 {
				return nil, true, ""
			}
			field, text = append(field, text[:i]...), text[i+1:]
			if len(text) == 0 || text[0] != '"' {
				break
			}
			field, text = append(field, '"'), text[1:]
		}
		fields = append(fields, string(field))
		if len(text) == 0 {
			return fields, false, ""
		}
		if text[0] != by {
			return nil, false, "there is text between a closing quotation mark and the next separator"
		}
		text = text[1:]
	}
}

// jsonLines reads a text with one JSON object in each line.
type jsonLines struct{ lines *lines }

func (s *jsonLines) next() (row, error) {
	for {
		line, long, err := s.lines.next()
		if err != nil {
			return row{}, err
		}
		if s.lines.n == 1 {
			line = bytes.TrimPrefix(line, []byte(byteOrderMark))
		}
		if len(bytes.TrimSpace(line)) == 0 && !long {
			continue
		}
		r := row{line: s.lines.n}
		if long {
			r.fault = tooLong
			return r, nil
		}
		r.cells, r.fault = cellsOf(line)
		return r, nil
	}
}

// cellsOf takes an object apart.
func cellsOf(text []byte) ([]cell, string) {
	if len(text) > MaxRecord {
		return nil, fmt.Sprintf("the record has more than %d bytes", MaxRecord)
	}
	members, err := membersOf(text)
	if errors.Is(err, errNoObject) {
		return nil, err.Error()
	}
	if err != nil {
		return nil, "is not one JSON object: " + short(err)
	}
	cells := make([]cell, len(members))
	for i, m := range members {
		cells[i] = cell{name: m.name, json: m.value}
	}
	return cells, ""
}

// array reads a text that is one JSON array.
type array struct {
	counter *counter
	d       *jsontext.Decoder
	begun   bool
	over    bool
}

func newArray(r io.Reader) *array {
	c := &counter{r: r}
	return &array{counter: c, d: jsontext.NewDecoder(c)}
}

// counter counts the lines that are read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(bytes.Count(p[:n], []byte{'\n'}))
	return n, err
}

// line is the line on which the next element begins, when the decoder has looked at its first byte.
func (a *array) line() int64 {
	unread := bytes.TrimLeft(a.d.UnreadBuffer(), " \t\r\n,")
	return a.counter.n - int64(bytes.Count(unread, []byte{'\n'})) + 1
}

func (a *array) next() (row, error) {
	if a.over {
		return row{}, io.EOF
	}
	if !a.begun {
		a.begun = true
		if t, err := a.d.ReadToken(); err != nil || t.Kind() != '[' {
			return row{}, problem.Invalid("line 1", "is not the beginning of a JSON array")
		}
	}
	kind := a.d.PeekKind()
	r := row{line: a.line()}
	if kind == ']' {
		a.over = true
		return row{}, io.EOF
	}
	text, err := a.d.ReadValue()
	if err != nil {
		a.over = true
		var syntax *jsontext.SyntacticError
		if !errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return row{}, err
		}
		r.fault, r.last = "is not JSON, and what comes after it cannot be read: "+short(err), true
		return r, nil
	}
	r.cells, r.fault = cellsOf(text)
	return r, nil
}
