package query

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Job is a question for which nobody waits.
type Job struct {
	Asked

	// Still is asked again and again while the question runs: an error ends it.
	Still func() error
	// Settle charges what the run came to, when it is over. With an error there is no result.
	Settle func(credits int64) error
}

// stillEvery is how often a job asks whether it may go on.
const stillEvery = 250 * time.Millisecond

// job is a background run. What is not set by Submit is guarded by the lock of Runs.
type job struct {
	run    Run
	sql    string // the whole statement
	sees   string // the key of the scope that the question ran in
	cancel context.CancelCauseFunc

	datasets  bool // the statement may be about datasets
	forgotten bool // what it may have read was deleted: it gets no result

	over   bool
	err    error // why there is no result
	result *kept // nil when there is none
	until  time.Time
}

// kept is an answer that any number of callers may read at once. The last one who lets go of it closes it.
type kept struct {
	answer  *Answer
	holders atomic.Int32
}

// keepAnswer is a kept answer with one holder.
func keepAnswer(a *Answer) *kept {
	if s, ok := a.body.(*spool); ok {
		a.body = s.body()
	}
	k := &kept{answer: a}
	k.holders.Store(1)
	return k
}

// hold makes one more holder, for somebody who knows that there is one.
func (k *kept) hold() { k.holders.Add(1) }

// release ends the holding of one holder.
func (k *kept) release() error {
	if k.holders.Add(-1) > 0 {
		return nil
	}
	return k.answer.Close()
}

// errStopping is why background runs end with the program.
func errStopping() error {
	return problem.New(problem.Unavailable, "The server stopped while the query ran. Ask it again.").After(time.Second)
}

// Submit has a service answer a question for which nobody waits, and returns at once. The result can be fetched by whoever has the same
// key, for some time.
//
// Problems: query_queue_full, unavailable.
func (r *Runs) Submit(s *Service, permit gate.Permit, q Job) (Run, error) {
	sees, err := s.sees(r.cfg.Stopping, permit, q.SQL)
	if err != nil {
		return Run{}, err
	}
	run := newRun(permit, q.Asked, r.cfg.Now())
	run.Background = true
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.cfg.Stopping))
	j := &job{run: run, sql: q.SQL, sees: sees, cancel: cancel, datasets: s.mayNameDatasets(q.SQL)}
	if err := r.add(j); err != nil {
		cancel(nil)
		return Run{}, err
	}
	_ = r.begin(run, cancel, false) // its ID is no other's
	go func() {
		defer r.working.Done()
		defer cancel(nil)
		leave := context.AfterFunc(r.cfg.Stopping, func() { cancel(errStopping()) })
		defer leave()
		still := r.watch(ctx, cancel, q.Still)
		answer, err := s.askWhole(ctx, permit, q.Question)
		still()
		r.finish(j, q, answer, reason(ctx, err))
	}()
	return run, nil
}

// askWhole is Ask where nobody is there to take a panic: it is a fault of the one question.
func (s *Service) askWhole(ctx context.Context, permit gate.Permit, q Question) (answer *Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, fmt.Errorf("query: a question in the background broke off: %v\n%s", p, debug.Stack())
		}
	}()
	return s.Ask(ctx, permit, q)
}

// add takes a job in, if its project has not too many under way. Results that wait make room.
func (r *Runs) add(j *job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cfg.Stopping.Err() != nil || r.closed {
		return errStopping()
	}
	running := 0
	for _, other := range r.jobs {
		if other.run.Project == j.run.Project && !other.over {
			running++
		}
	}
	if running >= r.cfg.Results {
		return problem.New(problem.QueryQueueFull, "%d queries of the project run in the background, as many as may. "+raise, running, resultsCeiling).
			Over(resultsCeiling, int64(r.cfg.Results)).After(time.Second)
	}
	r.jobs[j.run.ID] = j
	r.working.Add(1)
	r.makeRoom(j.run.Project)
	return nil
}

// watch ends a job that may not go on. The function ends the watch.
func (r *Runs) watch(ctx context.Context, cancel context.CancelCauseFunc, still func() error) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(stillEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := unbroken("whether a question in the background may go on is not known", still); err != nil {
				cancel(err)
				return
			}
		}
	}()
	return func() {
		end()
		<-over
	}
}

// unbroken does something where nobody is there to take a panic, which becomes an error.
func unbroken(what string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("query: %s: %v\n%s", what, p, debug.Stack())
		}
	}()
	return do()
}

// settled settles the credits. A panic is a reason why they are not.
func (q Job) settled(answer *Answer, err error) (credits int64, unpaid error) {
	unpaid = unbroken("the credits of a question in the background are not settled", func() error {
		credits = q.Credits(answer, err)
		return q.Settle(credits)
	})
	return credits, unpaid
}

// finish keeps what became of a job. The credits are settled first: without them there is no result. What breaks on the
// way is the job's fault alone.
func (r *Runs) finish(j *job, q Job, answer *Answer, err error) {
	if err == nil && r.forgotten(j) {
		_ = answer.Close()
		answer, err = nil, errForgotten()
	}
	credits, unpaid := q.settled(answer, err)
	if unpaid != nil && err == nil {
		_ = answer.Close()
		answer, err, credits = nil, unpaid, 0
	}
	broken := unbroken("a question in the background could not be ended", func() error {
		r.conclude(j, answer, err, credits)
		return nil
	})
	if broken != nil {
		_ = answer.Close()
		err = broken
		r.conclude(j, nil, err, credits)
	}
	if problem.Of(err) == problem.Internal {
		r.cfg.Log.Error("a query in the background failed", "query", q.ID, "error", err)
	}
}

// conclude is the end of a job.
func (r *Runs) conclude(j *job, answer *Answer, err error, credits int64) {
	run := j.run.over(answer, err, credits, r.cfg.Now())
	if r.cfg.Stopping.Err() != nil && err != nil {
		run.Status = Cancelled
	}
	r.settle(j, run, answer, err)
	r.end(run)
}

func (r *Runs) settle(j *job, run Run, answer *Answer, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j.run, j.over, j.err, j.result = r.told(run), true, err, nil
	switch {
	case err == nil && j.forgotten: // since it was looked at
		j.err = errForgotten()
		r.working.Go(func() { _ = answer.Close() })
	case err == nil:
		j.result = keepAnswer(answer)
	}
	j.until = r.cfg.Now().Add(r.cfg.ResultTime)
	r.makeRoom(run.Project)
}

// makeRoom drops results of a project that are too many or too large together: of the key that has most, the oldest.
func (r *Runs) makeRoom(project string) {
	for {
		count, bytes := 0, int64(0)
		ofKey := map[string]int64{}
		for _, j := range r.jobs {
			if j.run.Project == project {
				count++
				bytes += j.run.Bytes
				ofKey[j.run.KeyID] += 1 + j.run.Bytes
			}
		}
		if count <= r.cfg.Results && bytes <= r.cfg.ResultBytes {
			return
		}
		var first *job
		for _, j := range r.jobs {
			if j.run.Project != project || !j.over {
				continue
			}
			if first == nil || ofKey[j.run.KeyID] > ofKey[first.run.KeyID] ||
				ofKey[j.run.KeyID] == ofKey[first.run.KeyID] && j.run.StartedAt.Before(first.run.StartedAt) {
				first = j
			}
		}
		if first == nil {
			return
		}
		r.drop(first)
	}
}

// drop forgets a job that is over, with its result.
func (r *Runs) drop(j *job) {
	delete(r.jobs, j.run.ID)
	if j.result != nil {
		r.working.Go(func() { _ = j.result.release() }) // of a large file, that takes a while
	}
}

// sweep drops the results whose time is over.
func (r *Runs) sweep() {
	now := r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.jobs {
		if j.over && !now.Before(j.until) {
			r.drop(j)
		}
	}
}

// ResultUntil is how long the result of a run can be fetched; the zero time when there is none.
func (r *Runs) ResultUntil(id string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.jobs[id]; j != nil && j.over && j.result != nil {
		return j.until
	}
	return time.Time{}
}

// Result is an answer that others may read too. It must be closed.
type Result struct {
	ContentType string
	Rows        int64
	Size        int64 // bytes
	kept        *kept
}

// WriteTo writes the result to w.
func (r *Result) WriteTo(w io.Writer) (int64, error) { return r.kept.answer.WriteTo(w) }

// Close lets go of the result.
func (r *Result) Close() error {
	if r == nil || r.kept == nil {
		return nil
	}
	k := r.kept
	r.kept = nil
	return k.release()
}

// Result is the result of a background run, which the permit's key has asked for. What it may see must be what it was
// then.
//
// Problems: query_running, result_gone, and what the question has failed with.
func (r *Runs) Result(s *Service, permit gate.Permit, run Run) (*Result, error) {
	sql := ""
	r.mu.Lock()
	if j := r.jobs[run.ID]; j != nil {
		sql = j.sql
	}
	r.mu.Unlock()
	sees, err := s.sees(r.cfg.Stopping, permit, sql)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.jobs[run.ID]
	switch {
	case run.Status == Running && (j == nil || !j.over):
		return nil, problem.New(problem.QueryRunning, "The query is still running.").After(time.Second)
	case j == nil || j.run.Owner != permit.Key().Owner():
		return nil, gone(run)
	case j.sees != sees: // before the error: its text may hold what the key saw then
		return nil, problem.New(problem.ResultGone, "What the key may see has changed since the query ran. Ask it again.")
	case j.err != nil:
		return nil, j.err
	case j.result == nil || !r.cfg.Now().Before(j.until):
		return nil, gone(run)
	}
	j.result.hold()
	a := j.result.answer
	return &Result{ContentType: a.ContentType, Rows: a.Rows, Size: a.Size, kept: j.result}, nil
}

// gone says why there is no result.
func gone(run Run) error {
	switch {
	case run.Status == Failed || run.Status == Cancelled:
		return problem.New(run.Code, "The query ended with this problem. More is not kept of it.")
	case run.Status == Lost:
		return problem.New(problem.ResultGone, "The server stopped while the query ran. Ask it again.")
	case !run.Background:
		return problem.New(problem.ResultGone, "The query was answered when it was asked: no result was kept.")
	}
	return problem.New(problem.ResultGone, "The result was kept for some time and is no more. Ask the query again.")
}
