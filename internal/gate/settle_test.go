package gate_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: what is set aside can be held, and is settled in the name of the key as it is by then, with the numbers of its limits; a
// denial is recorded as the key's. Of a key that is gone, what it came to is charged all the same. Nothing is held where nothing
// is set aside.
func TestHeldIsSettled(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	key := access.Key{Scopes: access.SQLRun}
	key.Limits.Credits.Most = 50
	caller := identified(t, w, key, access.RunSQL)
	for _, credits := range []int64{0, 5} {
		permit, err := w.Gate.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{Requests: 1, Credits: credits})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Gate.Hold(t.Context(), permit, "job_1"); err != nil || (len(w.Limits.Held) == 1) != (credits > 0) {
			t.Errorf("%d: %v, held %v", credits, err, w.Limits.Held)
		}
		w.Limits.Short = gate.LimitsDown
		if err := w.Gate.Hold(t.Context(), permit, "job_1"); credits > 0 && problem.Of(err) != problem.LimitsUnavailable {
			t.Errorf("%v", err)
		}
		w.Limits.Short = ""
	}
	w.Ledger.Take()
	held := gate.Held{Name: "job_1", KeyID: caller.KeyID(), Action: access.RunSQL}
	if err := w.Gate.SettleHeld(t.Context(), held, 3); err != nil || !reflect.DeepEqual(w.Limits.Settled, []int64{3}) {
		t.Errorf("%v, settled %v", err, w.Limits.Settled)
	}
	w.Limits.Short = gate.KeyCredits
	p := problem.From(w.Gate.SettleHeld(t.Context(), held, 99))
	denials, _ := w.Ledger.Take()
	if p.Code != problem.CreditsExhausted || !strings.Contains(p.Detail, "of 50 this month (limit key_credits)") || len(denials) != 1 ||
		denials[0].KeyID != caller.KeyID() || denials[0].ID != p.DecisionID || denials[0].Action != access.RunSQL {
		t.Errorf("%+v, recorded %+v", *p, denials)
	}
	for _, id := range []string{"key_gone", "key_000000000099", "operator"} {
		held.KeyID = id
		if err := w.Gate.SettleHeld(t.Context(), held, 4); problem.Of(err) != problem.CreditsExhausted {
			t.Errorf("%s: %v", id, err)
		}
	}
	w.Limits.Short = gate.LimitsDown
	held.KeyID = caller.KeyID()
	if err := w.Gate.SettleHeld(t.Context(), held, 4); problem.Of(err) != problem.LimitsUnavailable {
		t.Errorf("%v", err)
	}
	if denials, _ := w.Ledger.Take(); len(denials) != 0 {
		t.Errorf("recorded %+v", denials)
	}
	w.Gate.HoldOnly([]string{"a", "b"})
	if !reflect.DeepEqual(w.Limits.Held, []string{"a", "b"}) {
		t.Errorf("held only %v", w.Limits.Held)
	}
}
