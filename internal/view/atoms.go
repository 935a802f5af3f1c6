package view

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
)

// View is the scope as the policy compares it; nil for the whole space. The key of hashes is not in it.
func (s Scope) View() *access.View {
	if s.Whole() {
		return nil
	}
	v := &access.View{Unbound: s.Variables()}
	for _, t := range s.Tables {
		t = t.canonical()
		narrow := access.ViewTable{Name: t.Table}
		for _, c := range t.Where {
			narrow.Atoms = append(narrow.Atoms, access.Atom{Does: access.Where, Name: c.about(), Text: string(c.appendJSON(nil))})
		}
		for _, name := range t.Hashed {
			narrow.Atoms = append(narrow.Atoms, access.Atom{Does: access.Hash, Name: name})
		}
		for _, name := range t.Hidden {
			narrow.Atoms = append(narrow.Atoms, access.Atom{Does: access.Hide, Name: name})
		}
		slices.SortFunc(narrow.Atoms, access.Atom.Compare)
		v.Tables = append(v.Tables, narrow)
	}
	slices.SortFunc(v.Tables, func(a, b access.ViewTable) int { return slices.Compare([]string{a.Name}, []string{b.Name}) })
	return v
}

// about is what the condition tells of, by the names that could be hidden or hashed: those lead through all elements of
// an array, and so has this no places of elements.
func (c Condition) about() string {
	path, err := c.Path()
	if c.Property == "" || err != nil {
		return c.name()
	}
	path = slices.DeleteFunc(path, isIndex)
	if len(path) == 0 {
		return c.Column
	}
	return c.Column + "." + formatPath(path)
}

// ScopeOf is the scope that View gave the view of.
func ScopeOf(v *access.View) (Scope, error) {
	if v == nil {
		return Scope{}, nil
	}
	s, f := Scope{Tables: []TableScope{}}, &faults{}
	for _, narrow := range v.Tables {
		t := TableScope{Table: narrow.Name}
		table, _ := TableNamed(narrow.Name)
		for i, a := range narrow.Atoms {
			switch a.Does {
			case access.Hide:
				t.Hidden = append(t.Hidden, a.Name)
			case access.Hash:
				t.Hashed = append(t.Hashed, a.Name)
			default:
				t.Where = append(t.Where, readCondition(f, fmt.Sprintf("%s.where[%d]", narrow.Name, i), jsontext.Value(a.Text), table))
			}
		}
		s.Tables = append(s.Tables, t)
	}
	if err := f.problem(); err != nil {
		return Scope{Tables: []TableScope{}}, err
	}
	return s, nil
}

// Read reads a view that somebody wrote; see ReadScope.
func Read(text jsontext.Value, at string) (*access.View, error) {
	s, err := ReadScope(text, at)
	if err != nil {
		return nil, err
	}
	return s.View(), nil
}

// Text is a view as JSON, as Read reads it, in canonical form; null for none. It takes the atoms as they are.
func Text(v *access.View) jsontext.Value {
	if v == nil {
		return jsontext.Value("null")
	}
	dst := []byte{'{'}
	for i, t := range v.Tables {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, t.Name), ":{"...)
		first := true
		for _, list := range []struct {
			does access.AtomKind
			name string
		}{{access.Where, "where"}, {access.Hide, "hide"}, {access.Hash, "hash"}} {
			var atoms []byte
			for _, a := range t.Atoms {
				switch {
				case a.Does != list.does:
				case a.Does == access.Where:
					atoms = append(append(atoms, ','), a.Text...)
				default:
					atoms = appendQuoted(append(atoms, ','), a.Name)
				}
			}
			if atoms == nil {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(append(append(append(appendQuoted(dst, list.name), ':'), '['), atoms[1:]...), ']')
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// Check refuses a view that Read would not have given, by paths that begin with at.
func Check(v *access.View, at string) error {
	if v == nil {
		return nil
	}
	again, err := Read(Text(v), at)
	if err == nil && !again.Same(v) {
		err = problemAt(at, "is not in its canonical form")
	}
	return err
}

// Bind gives variables of a view their values; see Scope.Bind. A view that gets a value for each may read. It is a
// pure function: the same view and values give the same view.
func Bind(v *access.View, values map[string]jsontext.Value) (*access.View, error) {
	s, err := ScopeOf(v)
	if err != nil {
		return nil, err
	}
	if s, err = s.Bind(values); err != nil {
		return nil, err
	}
	return s.View(), nil
}

// Hashes reports whether a view gives hashes of anything, so that a key of hashes is needed.
func Hashes(v *access.View) bool {
	return v != nil && slices.ContainsFunc(v.Tables, func(t access.ViewTable) bool {
		return slices.ContainsFunc(t.Atoms, func(a access.Atom) bool { return a.Does == access.Hash })
	})
}
