package keyring_test

import (
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

func viewOf(t *testing.T, text string) *access.View {
	t.Helper()
	v, err := view.Read([]byte(text), "view")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Promise: a view outlives a restart, is in the audit, and narrows a key from when the change returns; who asks for it to
// be wider needs the right to hand that on.
func TestAViewIsKept(t *testing.T) {
	t.Parallel()
	h := with(t, keyring.Config{Vault: &vault{keys: []byte{1}}})
	n := secretKey()
	n.View = viewOf(t, `{"events":{"where":[{"column":"properties.org","op":"=","value":"<&>"}],"hash":["distinct_id"]}}`)
	rec, _ := h.create(h.one, n)
	h.open()
	if k := h.basis(rec.ID); !k.View.Same(n.View) {
		t.Errorf("kept as %+v", k.View)
	}
	if last := h.shelf.entries[len(h.shelf.entries)-1]; !strings.Contains(string(last.After), `"view":{"events"`) {
		t.Errorf("audited as %s", last.After)
	}
	for text, widens := range map[string]bool{
		`{"events":{"where":[{"column":"properties.org","op":"=","value":"<&>"}],"hide":["distinct_id"]}}`: false,
		`{"events":{"where":[{"column":"properties.org","op":"=","value":"<&>"}]}}`:                        true,
		`{"persons":{}}`: true,
	} {
		next := viewOf(t, text)
		if c := (keyring.Change{Basis: h.basis(rec.ID), View: &next}); (c.Grant() != nil) != widens {
			t.Errorf("%s grants %+v", text, c.Grant())
		}
	}
	var none *access.View
	if _, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Basis: h.basis(rec.ID), View: &none}); err != nil || h.basis(rec.ID).View != nil {
		t.Errorf("taken away: %+v, %v", h.basis(rec.ID).View, err)
	}
}

// Promise: a view that hashes is refused where there is no master key, whatever way it comes; so is one that is no view,
// and the observing of one, by the field at fault.
func TestViewsThatCannotBe(t *testing.T) {
	t.Parallel()
	h := with(t, keyring.Config{})
	n := secretKey()
	rec, _ := h.create(h.one, n)
	hashes := viewOf(t, `{"events":{"hash":["distinct_id"]}}`)
	n.View = hashes
	_, _, made := h.ring.Create(t.Context(), h.one, n)
	_, changed := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Basis: h.basis(rec.ID), View: &hashes})
	_, restored := h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{Basis: h.basis(rec.ID), View: &hashes})
	for how, err := range map[string]error{"made": made, "changed": changed, "restored": restored} {
		if problem.Of(err) != problem.InvalidField || problem.From(err).Fields[0].Name != "view" {
			t.Errorf("%s: %v", how, err)
		}
	}
	n.View = &access.View{Tables: []access.ViewTable{{Name: "events", Atoms: []access.Atom{{Does: access.Where, Name: "event", Text: `{"column":"event"}`}}}}}
	if _, _, err := h.ring.Create(t.Context(), h.one, n); problem.Of(err) != problem.InvalidField || problem.From(err).Fields[0].Name != "view.events.where[0].op" {
		t.Errorf("no view: %v", err)
	}
	if _, fields := keyring.ParseObserve([]string{"time", "view"}); len(fields) != 1 || fields[0].Name != "observe[1]" {
		t.Errorf("observed: %v", fields)
	}
	if _, err := keyring.ReadSettings(`{"view":{"events":{"where":[{"column":"event","op":"~"}]}}}`); err == nil {
		t.Error("a view of another program is read")
	}
}
