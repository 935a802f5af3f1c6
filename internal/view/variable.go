package view

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Variable stands in a condition for a value that is not known yet. In JSON it is a text, "@{name}"; no other text may
// begin so, and no value that is bound.
type Variable string

// variableBegin begins the text of a variable.
const variableBegin = "@{"

// variableForm is the text of a variable.
var variableForm = regexp.MustCompile(`^@\{([a-z][a-z0-9_]{0,63})\}$`)

const notVariable = `begins like a variable and is none: that is @{name}, with a name of a-z, 0-9 and _ that begins with a letter`

// readVariable reads a text that may be a variable.
func readVariable(text string) (v Variable, is bool, fault string) {
	if !strings.HasPrefix(text, variableBegin) {
		return "", false, ""
	}
	m := variableForm.FindStringSubmatch(text)
	if m == nil {
		return "", false, notVariable
	}
	return Variable(m[1]), true, ""
}

func (v Variable) text() string { return variableBegin + string(v) + "}" }

// Variables are the variables without a value, sorted, each once.
func (s Scope) Variables() []string {
	all := map[string]bool{}
	for _, t := range s.Tables {
		for _, c := range t.Where {
			for _, v := range c.Values {
				if name, is := v.(Variable); is {
					all[string(name)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Bind gives variables their values, which are JSON texts, numbers or booleans and must fit wherever the variable
// stands. Variables that get none stay. A value that does not fit, and one for a variable that is not there, are
// faults at variables.NAME.
func (s Scope) Bind(values map[string]jsontext.Value) (Scope, error) {
	f := &faults{at: "variables."}
	there := s.Variables()
	names := slices.Sorted(maps.Keys(values))
	for _, name := range names {
		if !slices.Contains(there, name) {
			f.add(shown(name), "is not a variable of what may be seen: %s", listed(there))
		}
	}
	if s.Whole() {
		return s, f.problem()
	}
	bound := Scope{Tables: slices.Clone(s.Tables), HashKey: s.HashKey, Datasets: s.Datasets}
	for i, t := range bound.Tables {
		table, _ := TableNamed(t.Table)
		bound.Tables[i].Where = slices.Clone(t.Where)
		for j := range t.Where {
			for _, name := range names {
				bound.Tables[i].Where[j] = bound.Tables[i].Where[j].bind(f, Variable(name), values[name], table)
			}
		}
	}
	if err := f.problem(); err != nil {
		return Scope{}, err
	}
	return bound, nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "it has none"
	}
	return "those are " + strings.Join(names, ", ")
}

// bind puts a value in the place of a variable, and adds at most one fault.
func (c Condition) bind(f *faults, name Variable, value jsontext.Value, table Table) Condition {
	if !slices.Contains(c.Values, any(name)) {
		return c
	}
	if !value.IsValid() {
		value = jsontext.Value("null")
	}
	read, fault := readValue(value, table.typeOf(c.Column) == timeType)
	if _, is := read.(Variable); is && fault == "" {
		fault = "must not be another variable"
	}
	if fault != "" {
		f.add(string(name), "%s", fault)
		return c
	}
	c.Values = slices.Clone(c.Values)
	for i, v := range c.Values {
		if v == any(name) {
			c.Values[i] = read
		}
	}
	found := &faults{}
	if table.Name == "" {
		c.checkOf(found, "")
	} else {
		c.check(found, "", table)
	}
	if len(found.fields) > 0 {
		f.add(string(name), "%s", found.fields[0].Detail)
	}
	return c
}
