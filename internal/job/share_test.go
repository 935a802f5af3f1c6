package job_test

import (
	"context"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/job"
)

// another is a permit of another project.
func another(t *testing.T) gate.Permit {
	w := gatetest.New(t)
	w.Project = gatetest.NewProject("org_2", "prj_2")
	return w.Permit(access.Attempt{Action: access.HoldKey})
}

// Promise: a project whose jobs never end leaves a worker to others, and has its own next job wait for one of its own.
func TestAProjectLeavesAWorkerToOthers(t *testing.T) {
	h := newHouse(t)
	begun := make(chan string, 10)
	h.kinds["endless"] = func(ctx context.Context, run *job.Run) error {
		begun <- run.Job().ID
		<-ctx.Done()
		return context.Cause(ctx)
	}
	h.kinds["short"] = func(context.Context, *job.Run) error { return nil }
	r, stop := h.open()
	defer stop()
	var endless []job.Job
	for range 4 {
		endless = append(endless, h.submit(r, job.Wanted{Kind: "endless"}))
	}
	<-begun
	<-begun
	theirs, err := r.Submit(t.Context(), another(t), job.Wanted{Kind: "short"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Await(t.Context(), theirs.ID); err != nil {
		t.Fatal(err)
	}
	if len(begun) != 0 {
		t.Error("the project has a third job running")
	}
	r.Cancel(t.Context(), endless[0].ID)
	if id := <-begun; id != endless[2].ID {
		t.Errorf("%s is begun then, want %s", id, endless[2].ID)
	}
}

// Promise: a job that waits for something lets others have its worker, goes on when there is one again, and ends while it waits
// when it is cancelled.
func TestAJobThatRestsHoldsNoWorker(t *testing.T) {
	h := newHouse(t)
	resting, awake, rested := make(chan struct{}, 10), make(chan struct{}), make(chan error, 10)
	h.kinds["resting"] = func(ctx context.Context, run *job.Run) error {
		err := run.Rest(ctx, func(ctx context.Context) error {
			resting <- struct{}{}
			select {
			case <-awake:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		rested <- err
		return err
	}
	h.kinds["short"] = func(context.Context, *job.Run) error { return nil }
	h.kinds["panics"] = func(ctx context.Context, run *job.Run) error {
		return run.Rest(ctx, func(context.Context) error { panic("while it rests") })
	}
	r, stop := h.openWith(func(c *job.Config) { c.Workers, c.Share = 1, 3 })
	defer stop()
	first, second := h.submit(r, job.Wanted{Kind: "resting"}), h.submit(r, job.Wanted{Kind: "resting"})
	<-resting
	<-resting
	for _, kind := range []string{"short", "panics", "short"} {
		if j := h.ended(r, h.submit(r, job.Wanted{Kind: kind}).ID); (j.State == job.Succeeded) != (kind == "short") {
			t.Errorf("%s: %+v", kind, j)
		}
	}
	awake <- struct{}{}
	if err := <-rested; err != nil {
		t.Error(err)
	}
	r.Cancel(t.Context(), second.ID)
	r.Cancel(t.Context(), first.ID)
	states := map[job.State]int{}
	for _, id := range []string{first.ID, second.ID} {
		states[h.ended(r, id).State]++
	}
	if states[job.Succeeded] != 1 || states[job.Cancelled] != 1 {
		t.Errorf("they are %v", states)
	}
	if j := h.ended(r, h.submit(r, job.Wanted{Kind: "short"}).ID); j.State != job.Succeeded {
		t.Errorf("after all that: %+v", j)
	}
}
