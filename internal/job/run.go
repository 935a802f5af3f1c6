package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Run is a job while it is done. It is for one goroutine.
type Run struct {
	runner *Runner
	entry  *entry
	ctx    context.Context
	cancel context.CancelCauseFunc

	saved time.Time // when it was kept last
}

// Job is the job as it is.
func (r *Run) Job() Job {
	r.runner.mu.Lock()
	defer r.runner.mu.Unlock()
	return r.entry.job
}

// change changes the job, and gives it as it is then.
func (r *Run) change(how func(*Job)) Job {
	r.runner.mu.Lock()
	defer r.runner.mu.Unlock()
	how(&r.entry.job)
	return r.entry.job
}

// Folder is the job's folder.
func (r *Run) Folder() string { return r.runner.folder(r.entry.job.ID) }

// begin notes that the job is begun.
func (r *Run) begin() error {
	now := r.change(func(j *Job) {
		j.State, j.Starts = Running, j.Starts+1
		if j.StartedAt.IsZero() {
			j.StartedAt = r.runner.now()
		}
	})
	if now.Starts > maxStarts {
		return problem.New(problem.Internal, "The job was begun %d times and never came to an end.", maxStarts)
	}
	if err := r.stands(now); err != nil {
		return err
	}
	return r.runner.keep(r.ctx, now, keepTries)
}

// Tell says how far the job is. It is kept from time to time.
func (r *Run) Tell(p Progress) error {
	now := r.change(func(j *Job) { j.Progress = p })
	if r.runner.now().Sub(r.saved) < saveEvery {
		return r.still()
	}
	return r.save(now)
}

// Keep keeps how far the job is, and the place where it goes on after a restart. When it returns without an error, what
// came before the place is not done again. An error means that the job may not go on, or that it could not be kept.
func (r *Run) Keep(p Progress, place jsontext.Value) error {
	if len(place) > MaxSpec {
		return fmt.Errorf("job: a place of %d bytes is too long", len(place))
	}
	return r.save(r.change(func(j *Job) { j.Progress, j.Place = p, place }))
}

// Result sets what the job comes to. It is kept with the end of the job.
func (r *Run) Result(result jsontext.Value) {
	r.change(func(j *Job) { j.Result = result })
}

func (r *Run) save(now Job) error {
	if err := r.still(); err != nil {
		return err
	}
	if err := r.stands(now); err != nil {
		return err
	}
	r.saved = r.runner.now()
	if err := r.runner.keep(r.ctx, now, keepTries); err != nil {
		return fmt.Errorf("job: how far it is: %w", err)
	}
	return nil
}

// Rest waits for something that others do, and lets another job have the worker meanwhile. wait returns soon when its context is
// done. The job counts as one of its project all the time.
func (r *Run) Rest(ctx context.Context, wait func(context.Context) error) error {
	<-r.runner.workers
	r.entry.idle = true
	r.runner.poke()
	err := wait(ctx)
	select {
	case r.runner.workers <- struct{}{}:
		r.entry.idle = false
	case <-r.ctx.Done(): // it ends soon, without one
		err = errors.Join(err, context.Cause(r.ctx))
	}
	return err
}

// still is nil unless the job was cancelled or the server stops.
func (r *Run) still() error { return context.Cause(r.ctx) }

// stands is nil when whoever asked for the job may still have it done.
func (r *Run) stands(now Job) error {
	if r.runner.cfg.Stands == nil {
		return nil
	}
	return r.runner.cfg.Stands(now)
}

// Find gives a job of a project, and false when there is none.
func (r *Runner) Find(ctx context.Context, project, id string) (Job, bool, error) {
	r.mu.Lock()
	if e := r.open[id]; e != nil && e.job.Project == project {
		defer r.mu.Unlock()
		return e.job, true, nil
	}
	r.mu.Unlock()
	j, found, err := r.cfg.Store.FindJob(ctx, project, id)
	if err != nil {
		return Job{}, false, fmt.Errorf("job: %w", err)
	}
	return j, found, nil
}

// Open gives the jobs of all projects that are not over, as they were kept last.
func (r *Runner) Open(ctx context.Context) ([]Job, error) {
	list, err := r.cfg.Store.OpenJobs(ctx)
	if err != nil {
		return nil, fmt.Errorf("job: what is not over: %w", err)
	}
	return list, nil
}

// MaxPage is how many jobs a list gives at the most.
const MaxPage = 200

// List lists the jobs that a permit's holder may see, the youngest first. next is where the next page begins; it is the
// zero Place on the last.
func (r *Runner) List(ctx context.Context, permit gate.Permit, q Query) (list []Job, next Place, err error) {
	if q.Limit < 1 || q.Limit > MaxPage {
		return nil, Place{}, problem.Invalid("limit", "must be from 1 to %d", MaxPage)
	}
	q.Project, q.Live = permit.Project(), permit.Live()
	limit := q.Limit
	q.Limit++
	if list, err = r.cfg.Store.Jobs(ctx, q); err != nil {
		return nil, Place{}, fmt.Errorf("job: list: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = Place{list[limit-1].CreatedAt, list[limit-1].ID}
	}
	return list, next, nil
}

// Cancel ends a job, if it is not over. It returns when the work has stopped or ctx is done.
func (r *Runner) Cancel(ctx context.Context, id string) {
	r.mu.Lock()
	e := r.open[id]
	if e != nil {
		e.called = true
		if e.cancel != nil {
			e.cancel(errCancelled)
		}
	}
	r.mu.Unlock()
	if e == nil {
		return
	}
	r.poke()
	select {
	case <-e.over:
	case <-ctx.Done():
	}
}

// CancelIf ends the jobs of an environment that are meant and not over, whether they are begun or not, and gives how many. It
// returns when they have stopped and that is kept, or with an error when ctx is done before. A job may call it, of other kinds
// than its own.
func (r *Runner) CancelIf(ctx context.Context, project, environment string, meant func(Job) bool) (n int64, err error) {
	var running, waiting []*entry
	r.mu.Lock()
	for _, e := range r.open {
		if e.job.Project != project || e.job.Environment != environment || !meant(e.job) {
			continue
		}
		e.called = true
		at := slices.Index(r.order, e)
		if at < 0 {
			running = append(running, e)
			if e.cancel != nil {
				e.cancel(errCancelled)
			}
			continue
		}
		r.order = slices.Delete(r.order, at, at+1) // it would wait for a worker, and that perhaps for this
		r.running[project]++
		waiting = append(waiting, e)
	}
	r.mu.Unlock()
	for _, e := range waiting {
		ended, cancel := context.WithCancelCause(ctx)
		err = errors.Join(err, r.finish(ctx, &Run{runner: r, entry: e, ctx: ended, cancel: cancel}, errCancelled, errCancelled))
		cancel(nil)
	}
	for _, e := range running {
		select {
		case <-e.over:
		case <-ctx.Done():
			return int64(len(waiting)), errors.Join(err, ctx.Err())
		}
	}
	return int64(len(waiting) + len(running)), err
}

// Await returns when a job is over, or is left for the next start, or ctx is done.
func (r *Runner) Await(ctx context.Context, id string) error {
	r.mu.Lock()
	e := r.open[id]
	r.mu.Unlock()
	if e == nil {
		return nil
	}
	select {
	case <-e.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
