package dataset

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/weir-analytics/weir/internal/problem"
)

// inferRows is how many rows of a file a schema is inferred from.
const inferRows = 10_000

// Inferred is a schema that a file fits, and how it was read.
type Inferred struct {
	Format  Format
	Schema  Schema
	Rows    int64 // that were looked at
	Refused int64 // of them, those that could not be read
}

// Infer finds a schema that fits the first rows of a file: the narrowest type of each property that all of its values have.
// A property that is in every row is required.
//
// Problems: invalid_request, invalid_field when the file has no rows that can be read.
func Infer(f *os.File, contentType string) (Inferred, error) {
	s, format, err := openSource(f, contentType)
	if err != nil {
		return Inferred{}, err
	}
	in := Inferred{Format: format}
	var all guesses
	for in.Rows < inferRows {
		r, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return in, err
		}
		in.Rows++
		if r.fault != "" {
			in.Refused++
			continue
		}
		if err := all.see(r.cells); err != nil {
			return in, err
		}
	}
	if len(all.list) == 0 {
		return in, problem.New(problem.InvalidRequest, "The file has no rows that can be read.")
	}
	good := in.Rows - in.Refused
	for _, g := range all.list {
		in.Schema.Properties = append(in.Schema.Properties, Property{Name: g.name, Type: g.kind(), Null: g.null, Required: g.seen == good && !g.null})
	}
	return in, nil
}

// guesses are what is known of the properties of a file.
type guesses struct {
	list []*guess
	by   map[string]*guess
}

// guess is what is known of one property: the types that all of its values have.
type guess struct {
	name string
	seen int64
	null bool
	not  map[Type]bool // those that some value has not
}

func (all *guesses) see(cells []cell) error {
	for _, c := range cells {
		g := all.by[c.name]
		if g == nil {
			if len(all.list) == MaxProperties {
				return problem.New(problem.InvalidRequest, "The file has more than %d properties.", MaxProperties)
			}
			if fault := nameFault(c.name); fault != "" {
				return problem.Invalid(shown(c.name), "%s", fault)
			}
			g = &guess{name: c.name, not: map[Type]bool{}}
			if all.by == nil {
				all.by = map[string]*guess{}
			}
			all.by[c.name], all.list = g, append(all.list, g)
		}
		g.see(c)
	}
	return nil
}

// narrowest are the types, the narrowest first. Text may be any of those in front of string.
var narrowest = [...]Type{Boolean, Integer, Number, Date, Object, Array, String}

func (g *guess) see(c cell) {
	if c.json != nil && c.json.Kind() == 'n' {
		g.null = true
		g.seen++
		return
	}
	if c.json == nil && strings.TrimSpace(c.text) == "" {
		return
	}
	g.seen++
	for _, t := range narrowest {
		if g.not[t] {
			continue
		}
		p := Property{Type: t}
		if v, fault := p.value(c); fault != "" || v == nil || !natural(t, c) {
			g.not[t] = true
		}
	}
}

// natural reports whether somebody who writes such a value means the type: not every number is a date, nor a boolean.
func natural(t Type, c cell) bool {
	switch {
	case t == Date:
		text := c.text
		if c.json != nil {
			if c.json.Kind() != '"' {
				return false
			}
			text = plainText(c.json)
		}
		return strings.ContainsAny(text, "-/: ") // else it is a number
	case t == Boolean && c.json == nil:
		return strings.EqualFold(strings.TrimSpace(c.text), "true") || strings.EqualFold(strings.TrimSpace(c.text), "false")
	case (t == Integer || t == Number) && c.json == nil:
		text := strings.TrimPrefix(strings.TrimSpace(c.text), "-")
		return len(text) < 2 || text[0] != '0' || text[1] == '.' // 007 is a name
	case t == Integer:
		return !strings.ContainsAny(string(c.json), ".eE")
	}
	return true
}

func (g *guess) kind() Type {
	if g.seen == 0 || g.seen > 0 && len(g.not) == 0 {
		return Any
	}
	for _, t := range narrowest {
		if !g.not[t] {
			return t
		}
	}
	return Any
}
