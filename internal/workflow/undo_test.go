package workflow_test

import (
	"context"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
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
	by := event.Traces{Space: event.Space{Project: permit.Project(), Environment: "production"}, KeyID: permit.KeyID()}
	for _, do := range []struct {
		what func(context.Context, event.Traces) (int64, error)
		want int64
	}{{b.service.Count, 2}, {b.service.Forget, 2}, {b.service.Forget, 0}} {
		if n, err := do.what(t.Context(), by); err != nil || n != do.want {
			t.Errorf("%d and not %d, %v", n, do.want, err)
		}
	}
	by.KeyID = other.KeyID()
	if n, err := b.service.Count(t.Context(), by); err != nil || n != 1 {
		t.Errorf("of another key there are %d, %v", n, err)
	}
	by.KeyID = ""
	if n, err := b.service.Forget(t.Context(), by); err != nil || n != 0 {
		t.Errorf("of nobody %d were removed, %v", n, err)
	}
}
