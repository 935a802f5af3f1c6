package workflow_test

import (
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/workflow"
)

// Promise: what a key triggered is counted and removed by the key that the permit was of, and nothing is by no key.
func TestWhatAKeyTriggeredIsDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t, gatetest.New(t).Clock.Now)
	b.create(workflow.Wanted{ID: "w", URL: "https://w.example/"})
	attempt := access.Attempt{Action: access.TriggerWorkflows, Targets: []access.Target{{Environment: "production"}}}
	permit, other := b.world.Permit(attempt), b.world.Permit(attempt)
	for _, p := range []gate.Permit{permit, permit, other} {
		if _, err := b.service.Trigger(t.Context(), p, workflow.Trigger{Workflow: "w"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	by := workflow.Triggered{Project: permit.Project(), Environment: "production", KeyID: permit.KeyID()}
	for _, c := range []struct {
		dry  bool
		want int
	}{{true, 2}, {false, 2}, {false, 0}} {
		if n, err := b.service.DropTriggered(t.Context(), by, c.dry); err != nil || n != c.want {
			t.Errorf("%+v: %d, %v", c, n, err)
		}
	}
	by.KeyID = other.KeyID()
	if n, err := b.service.DropTriggered(t.Context(), by, true); err != nil || n != 1 {
		t.Errorf("of another key there are %d, %v", n, err)
	}
	by.KeyID = ""
	if _, err := b.service.DropTriggered(t.Context(), by, false); err == nil {
		t.Error("what no key triggered was removed")
	}
}
