package event

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// The members of traits that say what to do with others. Every other member is a trait to be set.
const (
	setMember     = "$set"
	setOnceMember = "$set_once"
	unsetMember   = "$unset"
)

// Traits is what an Identify says of a person: traits to set, those to set where there are none yet, and the names of
// those to take away.
type Traits struct {
	Set     map[string]jsontext.Value
	SetOnce map[string]jsontext.Value
	Unset   []string
}

// ReadTraits reads the Properties of an Identify. A trait that stands beside $set and in it has the value in it. What is
// wrong with one of the three members is an invalid_field, and the rest is read all the same.
func ReadTraits(v jsontext.Value) (Traits, error) {
	t := Traits{}
	var all map[string]jsontext.Value
	if len(v) > 0 && json.Unmarshal(v, &all, jsontext.AllowDuplicateNames(true)) != nil {
		return t, problem.Invalid("traits", "must be an object")
	}
	var fault *problem.Error
	bad := func(name, what string) {
		p := problem.Invalid("traits."+name, "%s", what)
		if fault == nil {
			fault = p
			return
		}
		fault.Fields = append(fault.Fields, p.Fields...)
	}
	object := func(name string) (members map[string]jsontext.Value) {
		if given := all[name]; given != nil && json.Unmarshal(given, &members, jsontext.AllowDuplicateNames(true)) != nil {
			bad(name, "must be an object")
			return nil
		}
		return members
	}
	set := object(setMember)
	t.SetOnce = object(setOnceMember)
	if given := all[unsetMember]; given != nil && json.Unmarshal(given, &t.Unset) != nil {
		bad(unsetMember, "must be an array of names")
		t.Unset = nil
	}
	for name, value := range all {
		if !slices.Contains([]string{setMember, setOnceMember, unsetMember}, name) {
			if t.Set == nil {
				t.Set = map[string]jsontext.Value{}
			}
			t.Set[name] = value
		}
	}
	for name, value := range set {
		if t.Set == nil {
			t.Set = map[string]jsontext.Value{}
		}
		t.Set[name] = value
	}
	if fault != nil {
		return t, fault
	}
	return t, nil
}

// traits reads the traits of an Identify.
func (f *fields) traits(into *jsontext.Value) {
	f.object(traits, into)
	if *into == nil {
		return
	}
	if _, err := ReadTraits(*into); err != nil {
		p := problem.From(err)
		if f.problem == nil {
			f.problem = p
			return
		}
		f.problem.Fields = append(f.problem.Fields, p.Fields...)
	}
}
