package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// Type is what the values of a property are.
type Type string

// The types.
const (
	Date    Type = "date"
	Number  Type = "number"
	Integer Type = "integer"
	String  Type = "string"
	Object  Type = "object"
	Array   Type = "array"
	Boolean Type = "boolean"
	Any     Type = "any"
)

// Types lists the types.
func Types() []Type { return []Type{Date, Number, Integer, String, Object, Array, Boolean, Any} }

// Property is one property of a schema.
type Property struct {
	Name     string
	Type     Type
	Null     bool // its value may be null
	Required bool
}

// Schema is what records must be, in the part of JSON Schema that datasets have: an object with properties of one type
// each, in order. What it does not name is kept as it comes.
type Schema struct {
	Properties []Property
}

// Property finds a property by its name.
func (s *Schema) Property(name string) (*Property, bool) {
	i := slices.IndexFunc(s.Properties, func(p Property) bool { return p.Name == name })
	if i < 0 {
		return nil, false
	}
	return &s.Properties[i], true
}

// MarshalJSON writes it as JSON Schema.
func (s Schema) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(`{"type":"object","properties":{`)
	required := []string{}
	for i, p := range s.Properties {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := jsontext.AppendQuote(nil, p.Name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, `%s:{"type":`, name)
		if p.Null {
			fmt.Fprintf(&out, `["%s","null"]}`, p.Type)
		} else {
			fmt.Fprintf(&out, `"%s"}`, p.Type)
		}
		if p.Required {
			required = append(required, p.Name)
		}
	}
	list, err := json.Marshal(required)
	fmt.Fprintf(&out, `},"required":%s}`, list)
	return out.Bytes(), err
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Schema) UnmarshalJSON(text []byte) error {
	read, err := ReadSchema(text)
	if err == nil {
		*s = read
	}
	return err
}

// ReadSchema reads JSON Schema. Members that datasets do not have are refused, since what they ask for would not be held to.
//
// Problems: invalid_field, with the place of each fault.
func ReadSchema(text jsontext.Value) (Schema, error) {
	var raw struct {
		Type       string         `json:"type"`
		Properties jsontext.Value `json:"properties"`
		Required   []string       `json:"required"`
		Title      string         `json:"title"`
		Schema     string         `json:"$schema"`
		Text       string         `json:"description"`
	}
	if err := json.Unmarshal(text, &raw, json.RejectUnknownMembers(true)); err != nil {
		under, what := misfit(err, "type, properties and required")
		return Schema{}, problem.Invalid("schema"+under, "%s", what)
	}
	var f faults
	if raw.Type != "object" {
		f.add("schema.type", "must be object")
	}
	s := Schema{}
	f.properties(raw.Properties, &s)
	for i, name := range raw.Required {
		p, ok := s.Property(name)
		if !ok {
			f.add(fmt.Sprintf("schema.required[%d]", i), "is not one of the properties")
			continue
		}
		p.Required = true
	}
	return s, f.problem()
}

// properties reads the properties in their order.
func (f *faults) properties(text jsontext.Value, s *Schema) {
	if text.Kind() != '{' {
		f.add("schema.properties", "must be an object")
		return
	}
	members, err := membersOf(text)
	if err != nil {
		f.add("schema.properties", "must be an object without repeated members")
		return
	}
	if n := len(members); n == 0 || n > MaxProperties {
		f.add("schema.properties", "must have 1 to %d members, has %d", MaxProperties, n)
		return
	}
	for _, m := range members {
		at := "schema.properties." + shown(m.name)
		if fault := nameFault(m.name); fault != "" {
			f.add(at, "%s", fault)
		}
		p := Property{Name: m.name}
		if under, fault := p.read(m.value); fault != "" {
			f.add(at+under, "%s", fault)
		}
		s.Properties = append(s.Properties, p)
	}
}

// read reads a property. What is wrong with it is the answer, and under which of its members.
func (p *Property) read(text jsontext.Value) (under, fault string) {
	var raw struct {
		Type        jsontext.Value `json:"type"`
		Format      string         `json:"format"`
		Nullable    bool           `json:"nullable"`
		AllowNull   bool           `json:"allowNull"`
		Title       string         `json:"title"`
		Description string         `json:"description"`
	}
	if err := json.Unmarshal(text, &raw, json.RejectUnknownMembers(true)); err != nil {
		return misfit(err, "type, format and nullable")
	}
	var names []string
	switch byte(raw.Type.Kind()) {
	case '"':
		names = make([]string, 1)
		_ = json.Unmarshal(raw.Type, &names[0]) // it is a string
	case '[':
		if json.Unmarshal(raw.Type, &names) != nil {
			return "", "its type must be a type or a list of a type and null"
		}
	case 0:
		names = []string{string(Any)}
	}
	p.Null = raw.Nullable || raw.AllowNull
	if i := slices.Index(names, "null"); i >= 0 {
		p.Null, names = true, slices.Delete(names, i, i+1)
	}
	if len(names) != 1 || !slices.Contains(Types(), Type(names[0])) {
		return "", fmt.Sprintf("its type must be one of %v", Types())
	}
	p.Type = Type(names[0])
	if p.Type == String && (raw.Format == "date" || raw.Format == "date-time") {
		p.Type = Date
	}
	return "", ""
}

// misfit says what of a part of a schema cannot be read, and under which of its members, of which these are known.
func misfit(err error, known string) (under, fault string) {
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return "", "must be an object of " + known + ": " + short(err)
	}
	under = shown(strings.ReplaceAll(string(semantic.JSONPointer), "/", "."))
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return under, "is not one of " + known + ", and would not be held to"
	case under == "":
		return "", "must be an object of " + known
	}
	return under, "is of another type than it must be"
}

// nameFault says what is wrong with a property's name; empty: nothing.
func nameFault(name string) string {
	switch {
	case Reserved(name):
		return "names that begin with " + reserved + " are the system's"
	case name == "" || len(name) > MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, isControl):
		return fmt.Sprintf("a name must have 1 to %d bytes, and no control characters", MaxName)
	}
	return ""
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// shown is a name as it stands in a problem.
func shown(name string) string {
	if len(name) > MaxName {
		return strings.ToValidUTF8(name[:MaxName], "") + "…"
	}
	return name
}

// check says what is wrong with a definition.
func (d *Definition) check(f *faults) {
	for _, text := range []struct{ name, value string }{{"title", d.Title}, {"source", d.Source}, {"description", d.Description}, {"email", d.Email}} {
		if !utf8.ValidString(text.value) || utf8.RuneCountInString(text.value) > MaxText || strings.ContainsRune(text.value, 0) {
			f.add(text.name, "must be at most %d characters", MaxText)
		}
	}
	if len(d.SmartLinks) > MaxSmartLinks {
		f.add("smartLinkAttributes", "must be at most %d", MaxSmartLinks)
	}
	for i, link := range d.SmartLinks {
		if _, known := d.Schema.Property(link.Property); !known {
			f.add(fmt.Sprintf("smartLinkAttributes[%d].attributeName", i), "is not one of the schema's properties")
		}
	}
	seen := map[string]bool{}
	for _, column := range []struct{ name, property string }{{"key", d.Index.Key}, {"subkey", d.Index.Subkey}, {"date", d.Index.Date}} {
		at := "columnMapping." + column.name
		if column.property == "" {
			if column.name == "key" {
				f.add(at, "is required")
			}
			continue
		}
		p, ok := d.Schema.Property(column.property)
		switch {
		case !ok:
			f.add(at, "is not one of the schema's properties")
		case seen[column.property]:
			f.add(at, "is in the index already")
		case column.name == "date" && p.Type != Date && p.Type != Integer && p.Type != Number:
			f.add(at, "must be a property of the type date, integer or number, is of %s", p.Type)
		case p.Type == Object || p.Type == Array || p.Type == Any:
			f.add(at, "must be a property of a type that has simple values, is of %s", p.Type)
		}
		seen[column.property] = true
	}
}

// faults are all that is wrong with an input.
type faults struct{ found []problem.Field }

func (f *faults) add(field, format string, args ...any) {
	f.found = append(f.found, problem.Field{Name: field, Detail: fmt.Sprintf(format, args...)})
}

// maxFaults is how many faults one problem names.
const maxFaults = 20

// problem is one problem that names every fault; nil: there is none.
func (f *faults) problem() error {
	if len(f.found) == 0 {
		return nil
	}
	found := f.found[:min(len(f.found), maxFaults)]
	texts := make([]string, len(found))
	for i, one := range found {
		texts[i] = one.Name + ": " + one.Detail
	}
	return &problem.Error{Code: problem.InvalidField, Detail: strings.Join(texts, "; "), Fields: found}
}

// member is one member of an object, in its order.
type member struct {
	name  string
	value jsontext.Value
}

// membersOf takes an object apart. The values are parts of text.
func membersOf(text []byte) ([]member, error) {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if t, err := d.ReadToken(); err != nil {
		return nil, err
	} else if t.Kind() != '{' {
		return nil, errNoObject
	}
	var all []member
	for {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		if name.Kind() == '}' {
			break
		}
		key := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		all = append(all, member{key, value.Clone()})
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errNoObject
	}
	return all, nil
}

var errNoObject = errors.New("is not one JSON object")

// short is an error's text, short enough to be shown.
func short(err error) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "json: "), "jsontext: ")
	if len(text) > 160 {
		text = strings.ToValidUTF8(text[:160], "") + "…"
	}
	return text
}
