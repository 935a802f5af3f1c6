package dataset

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// fieldsOf reads a filter that only names properties, with commas between them: those are all that is given of a record. It
// is false for one that compares.
func fieldsOf(words []word) (names []string, ok bool) {
	for i, w := range words {
		switch comma := i%2 == 1; {
		case comma != (w.sign && w.text == ","), !comma && w.sign:
			return nil, false
		case !comma:
			names = append(names, w.text)
		}
	}
	return names, len(words)%2 == 1
}

// Fields are the properties that a filter names, when it does not compare; empty: all.
//
// Problems: invalid_field.
func (a *Ask) Fields(d *Dataset) ([]string, error) {
	words, fault := wordsOf(a.Filter)
	names, ok := fieldsOf(words)
	if fault != "" || !ok || len(a.Filter) > maxFilter {
		return nil, nil // a filter that compares, or one that is refused as such
	}
	for _, name := range names {
		if _, known := d.Schema.Property(name); !known {
			return nil, problem.Invalid("query.filter", "%.40q is not one of the properties", name)
		}
	}
	return names, nil
}

// only is a record with the members that are named, in their own order.
func (r *Record) only(names map[string]bool) {
	members, err := membersOf(r.Body)
	if err != nil {
		return // it was written by us
	}
	var out bytes.Buffer
	out.WriteByte('{')
	for _, m := range members {
		if !names[m.name] {
			continue
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.Write(quoted(m.name))
		out.WriteByte(':')
		out.Write(m.value)
	}
	out.WriteByte('}')
	r.Body = out.Bytes()
}

// subattribute reads conditions as IEX Cloud writes them: NAME|VALUE for one that is equal, NAME~VALUE for one that is not,
// with commas between them, all of which must hold.
func (f *faults) subattribute(text string, schema *Schema) (all []Condition) {
	if text == "" {
		return nil
	}
	for one := range strings.SplitSeq(text, ",") {
		at := strings.IndexAny(one, "|~")
		if at < 0 {
			f.add("query.subattribute", "must be NAME|VALUE or NAME~VALUE, with commas between them")
			return nil
		}
		op := map[byte]string{'|': string(Equal), '~': string(NotEqual)}[one[at]]
		c, _, fault := condition([]word{{text: one[:at], quoted: true}, {text: op, sign: true}, {text: one[at+1:], quoted: true}}, schema)
		if fault != "" {
			f.add("query.subattribute", "%s", fault)
			return nil
		}
		all = append(all, c)
	}
	if len(all) > maxConditions {
		f.add("query.subattribute", "%s", fmt.Sprintf("has more than %d comparisons", maxConditions))
		return nil
	}
	return all
}

// Cells are the values of some properties as a JSON array: null for one that is not there or is not of the schema's type, as
// one may be that was written under another schema. Dates are instants.
func (r *Record) Cells(schema *Schema, names []string) jsontext.Value {
	values := make([]jsontext.Value, len(names))
	members, err := membersOf(r.Body)
	if err != nil {
		members = nil // it was written by us
	}
	at := make(map[string]int, len(names))
	for i, name := range names {
		at[name], values[i] = i, jsontext.Value("null")
	}
	for _, m := range members {
		i, wanted := at[m.name]
		p, known := schema.Property(m.name)
		if !wanted || !known {
			continue
		}
		if v, fault := p.value(cell{json: m.value}); fault == "" && v != nil {
			values[i] = v
		}
		if p.Type == Date && values[i].Kind() == '"' {
			if t, _, ok := ParseTime(plainText(values[i])); ok {
				values[i] = quoted(t.Format(time.RFC3339Nano))
			}
		}
	}
	return slices.Concat(jsontext.Value("["), jsontext.Value(bytes.Join(toBytes(values), []byte(","))), jsontext.Value("]"))
}

func toBytes(values []jsontext.Value) [][]byte {
	all := make([][]byte, len(values))
	for i, v := range values {
		all[i] = v
	}
	return all
}
