package workflow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// The limits of a template and of what fills it.
const (
	MaxTemplate     = 16 << 10 // bytes
	MaxPlaceholders = 100
	MaxVariables    = 100
	MaxName         = 64       // bytes of a variable's name
	MaxBody         = 64 << 10 // bytes of what a template becomes
	maxDepth        = 32
)

// Template is JSON with placeholders in its texts: {{name}} stands for a variable, and {{$name}} for what the server knows.
// A text that is nothing but a placeholder becomes the variable's value, whatever that is; within a text it becomes the
// letters of a text, number or boolean. Names of members are never filled. What a variable brings in is data: it ends no
// text, and what looks like a placeholder in it is none. There are no functions, conditions or loops.
//
// There is no way to write {{ itself, other than in the value of a variable. The zero Template is none.
type Template struct {
	pieces []piece
	names  map[string]bool // of the placeholders
	object bool            // it becomes an object
	closed bool            // it has been read whole
}

// piece is a part of a template: a placeholder, or JSON as it is written.
type piece struct {
	text  []byte
	name  string // of a placeholder; empty: it is text
	whole bool   // the placeholder is a value by itself
}

// fault is what is wrong with a template, and where.
type fault struct{ pointer, says string }

// Error says it in words.
func (f *fault) Error() string {
	if f.pointer == "" {
		return f.says
	}
	return f.says + " (at " + f.pointer + ")"
}

// ParseTemplate reads a template. The error says what is wrong in words for whoever wrote it.
func ParseTemplate(text []byte) (Template, error) {
	t := Template{names: map[string]bool{}}
	if len(text) > MaxTemplate {
		return Template{}, fmt.Errorf("is %d bytes; at most %d are possible", len(text), MaxTemplate)
	}
	in := jsontext.NewDecoder(bytes.NewReader(text))
	for first := true; ; first = false {
		before := in.InputOffset()
		token, err := in.ReadToken()
		if errors.Is(err, io.EOF) && t.closed {
			return t, nil
		}
		if err != nil || t.closed {
			return Template{}, errors.New("is not valid JSON")
		}
		if first {
			t.object = token.Kind() == '{'
		}
		if in.StackDepth() > maxDepth {
			return Template{}, fmt.Errorf("has objects or arrays in one another more than %d deep", maxDepth)
		}
		t.closed = in.StackDepth() == 0
		gap, raw := divided(text[before:in.InputOffset()])
		t.write(gap)
		if token.Kind() != '"' {
			t.write(raw)
			continue
		}
		if err := t.text(in, token.String(), raw); err != nil {
			return Template{}, err
		}
	}
}

// divided parts a token from what stands before it: space, a comma, a colon.
func divided(text []byte) (gap, token []byte) {
	token = bytes.TrimLeft(text, " \t\r\n,:")
	return text[:len(text)-len(token)], token
}

// write adds JSON as it is.
func (t *Template) write(text []byte) {
	if len(text) == 0 {
		return
	}
	if n := len(t.pieces); n > 0 && t.pieces[n-1].name == "" {
		t.pieces[n-1].text = append(t.pieces[n-1].text, text...)
		return
	}
	t.pieces = append(t.pieces, piece{text: bytes.Clone(text)})
}

// text adds a text, which is the name of a member or a value.
func (t *Template) text(in *jsontext.Decoder, text string, raw []byte) error {
	wrong := func(says string) error { return &fault{string(in.StackPointer()), says} }
	kind, length := in.StackIndex(in.StackDepth())
	switch {
	case !strings.Contains(text, "{{"):
		t.write(raw)
		return nil
	case kind == '{' && length%2 == 1:
		return wrong("has a placeholder in the name of a member, which is never filled")
	}
	parts, err := placeholders(text)
	if err != nil {
		return wrong(err.Error())
	}
	for _, p := range parts {
		if p.name != "" {
			t.names[p.name] = true
		}
	}
	if len(t.names) > MaxPlaceholders {
		return wrong(fmt.Sprintf("has more than %d variables", MaxPlaceholders))
	}
	if len(parts) == 1 {
		t.pieces = append(t.pieces, piece{name: parts[0].name, whole: true})
		return nil
	}
	t.write([]byte{'"'})
	for _, p := range parts {
		if p.name != "" {
			t.pieces = append(t.pieces, p)
			continue
		}
		t.write(within(string(p.text)))
	}
	t.write([]byte{'"'})
	return nil
}

// placeholders parts a text in which there is at least one.
func placeholders(text string) (parts []piece, err error) {
	for text != "" {
		before, rest, found := strings.Cut(text, "{{")
		if before != "" {
			parts = append(parts, piece{text: []byte(before)})
		}
		if !found {
			return parts, nil
		}
		name, after, closed := strings.Cut(rest, "}}")
		if name = strings.Trim(name, " "); !closed || !isName(strings.TrimPrefix(name, "$")) {
			return nil, errors.New("has {{ without the name of a variable and }} after it")
		}
		if strings.HasPrefix(name, "$") && !slices.Contains(known[:], name) {
			return nil, fmt.Errorf("has {{%s}}, but there are only %s", name, strings.Join(known[:], ", "))
		}
		parts, text = append(parts, piece{name: name}), after
	}
	return parts, nil
}

// known are the placeholders for what the server knows.
var known = [...]string{"$user_id", "$timestamp", "$delivery_id", "$workflow_id"}

// isName reports whether a text can be the name of a variable.
func isName(text string) bool {
	for i := range len(text) {
		c := text[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '.' || c == '-')) {
			return false
		}
	}
	return text != "" && len(text) <= MaxName
}

// within is a text as it stands between the quotes of JSON.
func within(text string) []byte {
	quoted, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		panic("workflow: a text that is not valid") // those of valid JSON are
	}
	return quoted[1 : len(quoted)-1]
}

// Names are the variables that the template needs, in their order.
func (t *Template) Names() []string {
	names := slices.Sorted(maps.Keys(t.names))
	return slices.DeleteFunc(names, func(name string) bool { return name[0] == '$' })
}

// Fill is what the template becomes with values, which must be valid JSON, and what the server knows. Every variable of the
// template must have a value, and every value must be that of a variable; the error names all that are at fault.
func (t *Template) Fill(values, server map[string]jsontext.Value) ([]byte, error) {
	if err := t.check(values, server); err != nil {
		return nil, err
	}
	var body []byte
	for _, p := range t.pieces {
		value := server[p.name]
		if p.name != "" && p.name[0] != '$' {
			value = values[p.name]
		}
		switch {
		case p.name == "":
			body = append(body, p.text...)
		case p.whole:
			body = append(body, value...)
		default:
			body = append(body, inside(value)...)
		}
		if len(body) > MaxBody {
			return nil, problem.Invalid("variables", "make a text of more than %d bytes", MaxBody)
		}
	}
	return body, nil
}

// check finds what is wrong with the values.
func (t *Template) check(values, server map[string]jsontext.Value) error {
	faults := faults{}
	for _, name := range slices.Sorted(maps.Keys(t.names)) {
		if _, given := values[name]; name[0] != '$' && !given {
			faults.add("variables."+name, "is missing: the template needs it")
		}
		if _, given := server[name]; name[0] == '$' && !given {
			faults.add(strings.TrimPrefix(name, "$"), "is missing: the template needs it")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !t.names[name] {
			faults.add("variables."+name, "is not a variable of the template")
		}
	}
	for _, p := range t.pieces {
		if p.name == "" || p.whole || p.name[0] == '$' {
			continue
		}
		if value, given := values[p.name]; given && inside(value) == nil {
			faults.add("variables."+p.name, "must be a text, a number or a boolean: it stands within a text")
		}
	}
	return faults.error()
}

// inside is a value as it stands within a text; nil for one that cannot.
func inside(value jsontext.Value) []byte {
	switch kind := value.Kind(); {
	case kind == '"':
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return nil
		}
		return append([]byte{}, within(string(text))...)
	case kind == '0', kind == 't', kind == 'f':
		return value
	}
	return nil
}

// faults gathers what is wrong with fields.
type faults []problem.Field

func (f *faults) add(field, detail string) {
	if !slices.ContainsFunc(*f, func(one problem.Field) bool { return one.Name == field }) {
		*f = append(*f, problem.Field{Name: field, Detail: detail})
	}
}

// error is the problem they come to; nil when there is none.
func (f *faults) error() error {
	if len(*f) == 0 {
		return nil
	}
	p := problem.Invalid((*f)[0].Name, "%s", (*f)[0].Detail)
	for _, one := range (*f)[1:] {
		_ = p.At(one.Name, one.Detail)
	}
	return p
}
