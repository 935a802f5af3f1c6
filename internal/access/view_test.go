package access_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: whatever reads an environment asks for the key's view: with a variable that has no value only writing is left.
func TestNothingIsReadWithoutAView(t *testing.T) {
	t.Parallel()
	for _, action := range access.Actions() {
		key := sampleKey()
		key.View = &access.View{Tables: []access.ViewTable{{Name: "events"}}, Unbound: []string{"org"}}
		d := access.Decide(key, &access.Attempt{Action: action, At: noon, Circumstances: access.Circumstances{Via: access.InHeader}, Targets: []access.Target{{}}})
		writes := action == access.WriteEvents || action == access.IdentifyUsers || action == access.WriteItems || action == access.WriteRecordings ||
			action == access.WriteDatasets || action == access.DeleteDatasets ||
			action == access.TriggerWorkflows
		if action.InEnvironment() && d.Allowed() != writes {
			t.Errorf("%s: %s", action, d.Reason)
		}
		if d.Allowed() && d.Data.View != key.View {
			t.Errorf("%s: the data has another view than the key", action)
		}
	}
}

// Promise: And lets through what both do: it reaches no further than either but for what it asks of what the other
// masks, is the same whatever the order, and changes nothing when there is nothing to add.
func TestAndOfViews(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		d := drawFrom(t)
		a, b, c := d.view(), d.view(), d.view()
		both := a.And(b)
		switch {
		case !both.Same(b.And(a)) || !a.And(b.And(c)).Same(both.And(c)):
			t.Fatalf("the order matters to %+v, %+v and %+v", a, b, c)
		case !both.And(a).Same(both) || !a.And(nil).Same(a) || !(*access.View)(nil).And(a).Same(a):
			t.Fatalf("something is added to %+v", both)
		}
		for _, one := range []*access.View{a, b} {
			for _, table := range both.Tables {
				i := slices.IndexFunc(one.Tables, func(t access.ViewTable) bool { return t.Name == table.Name })
				if i < 0 || slices.ContainsFunc(one.Tables[i].Atoms, func(atom access.Atom) bool { return !slices.Contains(table.Atoms, atom) }) {
					t.Fatalf("%+v lets more through than %+v", both, one)
				}
			}
		}
		by := (&access.Bounds{View: both}).Exceeds(&access.Bounds{View: a})
		met["exceeds "+by]++
		if by != "" {
			return
		}
		if (&access.Bounds{}).Exceeds(&access.Bounds{View: a}) != "view" {
			t.Fatal("no view reaches no further than one")
		}
	})
	met.check(t, "exceeds ", "exceeds view")
}
