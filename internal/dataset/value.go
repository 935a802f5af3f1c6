package dataset

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// cell is a value as it came: JSON, or text from a file that knows only text.
type cell struct {
	name string
	json jsontext.Value // nil: it is text
	text string
}

// value makes a cell a value of the property, in the one way that values of its type are kept. Text that is empty is no
// value, of which the answer is nil. What is wrong is the fault.
func (p *Property) value(c cell) (v jsontext.Value, fault string) {
	if c.json == nil {
		return p.fromText(c.text)
	}
	kind := c.json.Kind()
	if kind == 'n' {
		if !p.Null {
			return nil, "must not be null"
		}
		return c.json, ""
	}
	switch t := p.Type; {
	case t == Any:
		return c.json, ""
	case t == Date:
		return dateOf(c.json)
	case t == Number, t == Integer:
		if kind != '0' {
			return nil, fmt.Sprintf("must be of type %s, is %s", p.Type, kindName(kind))
		}
		return p.number(string(c.json))
	}
	if want := kinds[p.Type]; !strings.ContainsRune(want, rune(kind)) {
		return nil, fmt.Sprintf("must be of type %s, is %s", p.Type, kindName(kind))
	}
	return c.json, ""
}

// kinds are the kinds of JSON that values of the other types have.
var kinds = map[Type]string{String: `"`, Boolean: "tf", Object: "{", Array: "["}

func kindName(k jsontext.Kind) string {
	switch byte(k) {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "null"
}

// fromText reads a value from text.
func (p *Property) fromText(text string) (jsontext.Value, string) {
	if p.Type != String {
		text = strings.TrimSpace(text)
	}
	if text == "" {
		return nil, ""
	}
	switch t := p.Type; {
	case t == Date:
		return writtenDate(text)
	case t == Number, t == Integer:
		return p.number(text)
	case t == Boolean:
		b, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return nil, "must be true or false"
		}
		return jsontext.Value(strconv.FormatBool(b)), ""
	case t == Object, t == Array:
		v := jsontext.Value(text)
		if !v.IsValid() || v.Kind() != jsontext.Kind(kinds[p.Type][0]) {
			return nil, fmt.Sprintf("must be JSON of type %s", p.Type)
		}
		_ = v.Compact() // it is valid
		return v, ""
	}
	return quoted(text), ""
}

// number reads a number, and keeps what is a number in JSON as it is.
func (p *Property) number(text string) (jsontext.Value, string) {
	if p.Type == Integer {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			return strconv.AppendInt(nil, n, 10), ""
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
			return nil, "must be a whole number of 64 bits"
		}
		return strconv.AppendInt(nil, int64(f), 10), ""
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || strings.ContainsAny(text, "xXpP_") {
		return nil, "must be a number"
	}
	if v := jsontext.Value(text); v.IsValid() {
		return v, ""
	}
	return strconv.AppendFloat(nil, f, 'g', -1, 64), ""
}

func quoted(text string) jsontext.Value {
	v, err := jsontext.AppendQuote(nil, text)
	if err != nil { // it has bytes that are not UTF-8, which are refused before
		v, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(text, "\uFFFD"))
	}
	return v
}

// dateOf makes a value a date: a text in one of the forms of ParseTime, or a number of seconds or milliseconds.
func dateOf(v jsontext.Value) (jsontext.Value, string) {
	switch byte(v.Kind()) {
	case '"':
		var text string
		if err := json.Unmarshal(v, &text); err != nil {
			return nil, "must be a date"
		}
		return writtenDate(text)
	case '0':
		return writtenDate(string(v))
	}
	return nil, "must be a date, is " + kindName(v.Kind())
}

const notADate = "must be a date such as 2026-01-31, 2026-01-31T12:00:00Z or milliseconds since 1970"

// writtenDate is a date as it is kept: as a day where it was one, else as RFC 3339 has it, in UTC.
func writtenDate(text string) (jsontext.Value, string) {
	t, day, ok := ParseTime(text)
	if !ok {
		return nil, notADate
	}
	if day {
		return quoted(t.Format(time.DateOnly)), ""
	}
	return quoted(t.Format(time.RFC3339Nano)), ""
}

// layouts are the forms of dates in which the order of day and month is not a matter of where one lives.
var layouts = [...]struct {
	form string
	day  bool
}{
	{time.RFC3339Nano, false}, {time.DateOnly, true}, {"20060102", true}, {time.DateTime, false}, {"2006-01-02T15:04:05.999999999", false},
	{"2006-01-02 15:04:05.999999999", false}, {"2006-01-02T15:04", false}, {"2006-01-02 15:04", false}, {"2006-01-02 15:04:05Z07:00", false},
	{"2006/01/02", true}, {"2006/01/02 15:04:05", false}, {"2006/01/02 15:04", false}, {"Jan 2 2006", true}, {"Jan 2, 2006", true},
	{"January 2 2006", true}, {"January 2, 2006", true}, {"2 Jan 2006", true}, {"2 January 2006", true}, {time.RFC1123, false}, {time.RFC1123Z, false},
}

// secondsBelow is the number from which on a number is milliseconds.
const secondsBelow = 100_000_000_000

// ParseTime reads a date, in UTC and to the microsecond; day says that it is a day as a whole. A number of eight digits is
// a day; others are seconds since 1970 below 1e11, and milliseconds from there on.
func ParseTime(text string) (t time.Time, day, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) == 0 || len(text) > 64 {
		return t, false, false
	}
	for _, l := range layouts {
		if t, err := time.Parse(l.form, text); err == nil {
			return inRange(t, l.day)
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, wrong := strconv.ParseFloat(text, 64)
		if wrong != nil || math.Abs(f) > 1e15 || f != math.Trunc(f) {
			return t, false, false
		}
		n = int64(f)
	}
	if -secondsBelow < n && n < secondsBelow {
		return inRange(time.Unix(n, 0), false)
	}
	return inRange(time.UnixMilli(n), false)
}

// inRange keeps to the years that a date can be written in.
func inRange(t time.Time, day bool) (time.Time, bool, bool) {
	t = t.UTC().Truncate(time.Microsecond)
	return t, day, 1 <= t.Year() && t.Year() <= 9999
}

// plainText is a kept value as text: a string without its quotation marks, and other values as JSON.
func plainText(v jsontext.Value) string {
	if v.Kind() != '"' {
		if v.Kind() == 'n' || len(v) == 0 {
			return ""
		}
		return string(v)
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(text)
}

// build makes a record of cells. at is the date of a record that has none of its own, and when it was written.
func (d *Definition) build(cells []cell, at, date time.Time) (Record, []problemField) {
	r := Record{Updated: at, Date: date}
	var found []problemField
	fault := func(name, format string, args ...any) {
		found = append(found, problemField{shown(name), fmt.Sprintf(format, args...)})
	}
	values := make(map[string]jsontext.Value, len(cells))
	for _, c := range cells {
		p, known := d.Schema.Property(c.name)
		if !known {
			if wrong := nameFault(c.name); wrong != "" {
				fault(c.name, "%s", wrong)
				continue
			}
			p = &Property{Name: c.name, Type: Any, Null: true}
		}
		v, wrong := p.value(c)
		switch {
		case wrong != "":
			fault(c.name, "%s", wrong)
		case v != nil:
			values[c.name] = v
		}
	}
	for _, p := range d.Schema.Properties {
		if _, there := values[p.Name]; p.Required && !there && !faulty(found, p.Name) {
			fault(p.Name, "is required")
		}
	}
	if len(found) > 0 {
		return r, found
	}
	r.Body = d.body(cells, values)
	if len(r.Body) > MaxRecord {
		fault("", "the record has %d bytes as JSON, more than %d", len(r.Body), MaxRecord)
		return r, found
	}
	r.Key = d.indexed(d.Index.Key, values, fault)
	r.Subkey = d.indexed(d.Index.Subkey, values, fault)
	if r.Key == "" && !faulty(found, d.Index.Key) {
		fault(d.Index.Key, "is the key of the index, and must not be empty")
	}
	if v := values[d.Index.Date]; d.Index.Date != "" && len(v) > 0 && v.Kind() != 'n' {
		t, _, ok := ParseTime(plainText(v))
		if !ok {
			fault(d.Index.Date, notADate)
		}
		r.Date = t
	}
	return r, found
}

// problemField is one fault of a record.
type problemField struct{ name, detail string }

func faulty(found []problemField, name string) bool {
	for _, f := range found {
		if f.name == shown(name) {
			return true
		}
	}
	return false
}

// indexed is the value of a property as the index has it.
func (d *Definition) indexed(name string, values map[string]jsontext.Value, fault func(name, format string, args ...any)) string {
	if name == "" {
		return ""
	}
	text := plainText(values[name])
	switch {
	case len(text) > MaxIndexed:
		fault(name, "has %d bytes, and a value of the index may have %d", len(text), MaxIndexed)
	case strings.ContainsRune(text, 0) || !utf8.ValidString(text):
		fault(name, "has a NUL character, which a value of the index may not")
	}
	return text
}

// body writes the values as an object: those of the schema in its order, and behind them the others in theirs.
func (d *Definition) body(cells []cell, values map[string]jsontext.Value) jsontext.Value {
	var out bytes.Buffer
	put := func(name string) {
		v, there := values[name]
		if !there {
			return
		}
		if out.Len() == 0 {
			out.WriteByte('{')
		} else {
			out.WriteByte(',')
		}
		out.Write(quoted(name))
		out.WriteByte(':')
		out.Write(v)
	}
	for _, p := range d.Schema.Properties {
		put(p.Name)
	}
	for _, c := range cells {
		if _, known := d.Schema.Property(c.name); !known {
			put(c.name)
		}
	}
	if out.Len() == 0 {
		return jsontext.Value("{}")
	}
	out.WriteByte('}')
	body := jsontext.Value(out.Bytes())
	_ = body.Compact() // it is valid
	return body
}
