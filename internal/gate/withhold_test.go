package gate_test

import (
	"errors"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: what a permit's holder turns out not to be allowed while the answer is made is told with the name of a decision,
// which is recorded with its reason and its rule, once; of every other error nothing is.
func TestWithhold(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	permit := w.Permit(access.Attempt{Action: access.ReadUsers, Targets: []access.Target{{Environment: "production"}}})
	w.Ledger.Take()
	hidden := problem.New(problem.ViewNotApplied, "Hidden.")
	for range 2 { // and not once more on the way
		if err := permit.Withhold(hidden); !errors.Is(err, hidden) || hidden.DecisionID == "" {
			t.Errorf("%v without a decision", err)
		}
	}
	denials, _ := w.Ledger.Take()
	if len(denials) != 1 {
		t.Fatalf("recorded %+v", denials)
	}
	if d := denials[0]; d.ID != hidden.DecisionID || d.Reason != "view_not_applied" || d.Rule != access.ViewRule || d.Environment != "production" ||
		d.Action != access.ReadUsers || d.KeyID != permit.KeyID() || d.Count != 1 || len(d.Failed) != 1 {
		t.Errorf("recorded %+v", d)
	}
	for _, err := range []error{
		nil, errors.New("a fault"), problem.New(problem.NotFound, "Nothing."),
		problem.New(problem.PublicKeyNotEnough, "Said to whoever asks for others."), // which this permit is for
	} {
		if got := permit.Withhold(err); got != err || err != nil && problem.From(err).DecisionID != "" {
			t.Errorf("%v became %v", err, got)
		}
	}
	if denials, _ := w.Ledger.Take(); denials != nil {
		t.Errorf("recorded %+v", denials)
	}
	defer func() {
		if recover() == nil {
			t.Error("a permit that no Admit gave records")
		}
	}()
	_ = gate.Permit{}.Withhold(hidden)
}
