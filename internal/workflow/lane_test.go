package workflow_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/workflow"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// Promise: a project to which a target answers that it sends too much, or at all badly, holds up no other project's deliveries to
// the same target.
func TestATargetRestsForOneProjectOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, time.Now)
		defer func() { _ = b.store.Close() }()
		const greedy, modest = "https://hooks.example/greedy", "https://hooks.example/modest"
		b.web.answer = func(ctx context.Context, url string, n int) outbound.Answer {
			switch {
			case url == modest:
				return outbound.Answer{Status: 200}
			case n%2 == 0:
				return outbound.Answer{Status: 429, RetryAfter: time.Hour, Fault: outbound.Status}
			}
			select {
			case <-time.After(15 * time.Second):
			case <-ctx.Done():
			}
			return outbound.Answer{Fault: outbound.TooSlow}
		}
		b.create(workflow.Wanted{ID: "hook", URL: greedy})
		for range 50 {
			b.trigger("hook")
		}
		defer b.run()()
		synctest.Wait()
		b.world.Project = gatetest.NewProject("org_2", "prj_2")
		b.create(workflow.Wanted{ID: "hook", URL: modest})
		for n := range 20 {
			b.trigger("hook")
			time.Sleep(10 * time.Second)
			if got := len(b.web.to(modest)); got != n+1 {
				t.Fatalf("after %d triggers %d were sent", n+1, got)
			}
		}
		if got := len(b.web.to(greedy)); got == 0 || got > 20 {
			t.Errorf("of the other project %d were sent", got)
		}
	})
}
