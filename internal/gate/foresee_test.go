package gate_test

import (
	"reflect"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: what is foreseen is decided and charged, and a denial of it recorded; a yes is not recorded and stands for nothing:
// Admit decides anew, records once, and is charged besides.
func TestForeseeing(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	caller := identified(t, w, access.Key{Scopes: access.EventsWrite, Bounds: access.Bounds{Limits: access.Limits{Daily: access.Quota{Most: 5}}}}, access.WriteEvents)
	if err := w.Gate.Foresee(t.Context(), caller, access.Attempt{Targets: targets("production")}, gate.Cost{Requests: 1}); err != nil {
		t.Fatal(err)
	}
	if denials, uses := w.Ledger.Take(); len(denials)+len(uses) != 0 {
		t.Errorf("a yes to what was foreseen is recorded: %+v %+v", denials, uses)
	}
	if _, err := w.Gate.Admit(t.Context(), caller, access.Attempt{Targets: targets("production")}, gate.Cost{Credits: 3}); err != nil {
		t.Fatal(err)
	}
	if _, uses := w.Ledger.Take(); len(uses) != 1 {
		t.Errorf("%d uses are recorded", len(uses))
	}
	if c := w.Limits.Charges; len(c) != 2 || c[0].RequestID == c[1].RequestID || c[0].Requests != 1 || c[1].Requests != 0 || c[1].Credits != 3 || !reflect.DeepEqual(c[0].Key, c[1].Key) {
		t.Errorf("charged %+v", c)
	}
	err := w.Gate.Foresee(t.Context(), caller, access.Attempt{Targets: targets("moon")}, gate.Cost{Requests: 1})
	denials, _ := w.Ledger.Take()
	if problem.From(err).Code != problem.EnvironmentNotFound || len(denials) != 1 || denials[0].RequestID != "req_1" || len(w.Limits.Charges) != 2 {
		t.Errorf("%v, recorded %+v, charged %+v", err, denials, w.Limits.Charges)
	}
	w.Limits.Over = gate.Charged{Over: gate.KeyDaily}
	err = w.Gate.Foresee(t.Context(), caller, access.Attempt{Targets: targets("production")}, gate.Cost{Requests: 1})
	if denials, _ := w.Ledger.Take(); len(denials) != 1 || denials[0].Reason != gate.KeyDaily {
		t.Errorf("one too many: %v, recorded %+v", err, denials)
	}
}

// Promise: a signature of which the body is not seen yet is right when it is foreseen, and not when it is admitted.
func TestForeseeingWhatIsSigned(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	credential := w.Credential(w.Mint(access.Key{Scopes: access.EventsWrite}))
	credential.Signed = access.SignatureClaimed
	caller, err := w.Gate.Identify(t.Context(), credential, access.WriteEvents)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Gate.Foresee(t.Context(), caller, access.Attempt{Targets: targets("production")}, gate.Cost{Requests: 1}); err != nil {
		t.Error(err)
	}
	if _, err := w.Gate.Admit(t.Context(), caller, access.Attempt{Targets: targets("production")}, gate.Cost{}); err == nil {
		t.Error("admitted with a signature that nobody has checked whole")
	}
	if err := w.Gate.Foresee(t.Context(), caller.Signed(false, "of another key"), access.Attempt{Targets: targets("production")}, gate.Cost{}); err == nil {
		t.Error("a wrong signature is foreseen")
	}
}
