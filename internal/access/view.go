package access

import (
	"cmp"
	"slices"
	"strings"
)

// View narrows what a key reads of an environment: to some tables, and of each to some rows, without some names or with
// hashes in their place. Package view reads, checks and writes views; the policy compares them without knowing what a
// condition means. A nil View is everything, one without tables is nothing. A View never changes.
type View struct {
	Tables  []ViewTable // by name, each once
	Unbound []string    // variables of conditions that have no value yet, by name, each once
}

// ViewTable narrows one table. Every atom takes something away.
type ViewTable struct {
	Name  string
	Atoms []Atom // in order, each once
}

// Atom is one thing that is taken away from a table.
type Atom struct {
	Does AtomKind
	Name string // of a column, or of a property with dots between the names that lead to it
	Text string // of a condition: all of it, in the one way that equal ones share
}

// AtomKind is what an atom does.
type AtomKind uint8

// A Where atom keeps the rows that meet a condition on what has its name; Hash gives a hash in its place, and Hide nothing.
const (
	Where AtomKind = iota + 1
	Hash
	Hide
)

// Compare orders atoms.
func (a Atom) Compare(b Atom) int {
	return cmp.Or(cmp.Compare(a.Does, b.Does), strings.Compare(a.Name, b.Name), strings.Compare(a.Text, b.Text))
}

// And is what both views let through: the tables in both, each with all that either takes away.
func (v *View) And(other *View) *View {
	switch {
	case v == nil:
		return other
	case other == nil:
		return v
	}
	both := &View{Unbound: slices.Compact(slices.Sorted(slices.Values(slices.Concat(v.Unbound, other.Unbound))))}
	for _, t := range v.Tables {
		if o := other.table(t.Name); o != nil {
			atoms := slices.SortedFunc(slices.Values(slices.Concat(t.Atoms, o.Atoms)), Atom.Compare)
			both.Tables = append(both.Tables, ViewTable{t.Name, slices.Compact(atoms)})
		}
	}
	return both
}

// Same reports whether two views are one.
func (v *View) Same(other *View) bool {
	if v == nil || other == nil {
		return v == other
	}
	return slices.Equal(v.Unbound, other.Unbound) && slices.EqualFunc(v.Tables, other.Tables, func(a, b ViewTable) bool {
		return a.Name == b.Name && slices.Equal(a.Atoms, b.Atoms)
	})
}

// sees is what the key reads in an attempt: of a user no more than who proved them does.
func (k *Key) sees(a *Attempt) *View {
	if self(k, a) {
		return k.Sees().And(a.User.View)
	}
	return k.Sees()
}

func (v *View) table(name string) *ViewTable {
	for i := range v.Tables {
		if v.Tables[i].Name == name {
			return &v.Tables[i]
		}
	}
	return nil
}

// Within reports whether v reaches no further than outer.
func (v *View) Within(outer *View) bool {
	if v == nil || outer == nil {
		return outer == nil
	}
	for _, name := range outer.Unbound {
		if !slices.Contains(v.Unbound, name) {
			return false
		}
	}
	for i := range v.Tables {
		if o := outer.table(v.Tables[i].Name); o == nil || !v.Tables[i].within(o) {
			return false
		}
	}
	return true
}

// within reports whether t takes away all that outer does, and asks for nothing that outer does not show: which rows
// meet a condition tells what they hold.
func (t *ViewTable) within(outer *ViewTable) bool {
	for _, o := range outer.Atoms {
		if !slices.ContainsFunc(t.Atoms, o.coveredBy) {
			return false
		}
	}
	for _, a := range t.Atoms {
		if a.Does == Where && !slices.Contains(outer.Atoms, a) && slices.ContainsFunc(outer.Atoms, a.maskedBy) {
			return false
		}
	}
	return true
}

// coveredBy reports whether other takes away at least as much as a.
func (a Atom) coveredBy(other Atom) bool {
	if a.Does == Where {
		return a == other
	}
	return other.Does >= a.Does && inside(a.Name, other.Name)
}

// maskedBy reports whether other hides or hashes what a is about.
func (a Atom) maskedBy(other Atom) bool { return other.Does != Where && inside(a.Name, other.Name) }

// inside reports whether a name is the outer one, or of something in what that names.
func inside(name, outer string) bool {
	rest, ok := strings.CutPrefix(name, outer)
	return ok && (rest == "" || rest[0] == '.')
}

// wideView compares views. Observing does not matter to it: a view that narrows nothing would be none.
func wideView(b, outer *Bounds) bool { return !b.View.Within(outer.View) }

// Sees is what the key reads, all that it comes of being asked: nil is everything. The variables of a parent's view have
// their values in a token's own, which is whole; a token without one has no values.
func (k *Key) Sees() *View {
	v := k.own()
	for up := k.Parent; up != nil; up = up.Parent {
		if theirs := up.own(); k.View == nil || theirs == nil || len(theirs.Unbound) == 0 || k.Kind != Token {
			v = v.And(theirs)
		}
	}
	return v
}

// viewBound refuses to read for a key whose view has variables without a value: it is for whoever hands on a token of the
// key to give them.
func viewBound(k *Key, a *Attempt) Reason {
	if !a.Action.Reads() {
		return Allowed
	}
	if v := k.sees(a); v != nil && len(v.Unbound) > 0 {
		return ViewUnbound
	}
	return Allowed
}

// ViewRule is the rule that what is read can be narrowed to the key's view. An answer that is under way when the view
// becomes narrower cannot be.
const ViewRule = "what is read can be narrowed to the key's view"

// viewApplies refuses a key with a view what cannot be narrowed to it.
func viewApplies(k *Key, a *Attempt) Reason {
	if k.own() != nil && a.Action.row().reads == readsWhole {
		return ViewNotApplied
	}
	return Allowed
}
