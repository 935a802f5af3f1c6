package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// RunsConfig is what Runs are made of. A zero limit is the default.
type RunsConfig struct {
	Store    RunStore
	Now      func() time.Time
	Log      *slog.Logger
	Stopping context.Context // done when the program begins to stop; nil: never

	HideSQL bool          // statements are not kept
	Keep    time.Duration // so long runs are kept; 30 days
	Most    int           // and of a project so many; 1,000

	ResultTime  time.Duration // so long a result waits to be fetched; 15 minutes
	ResultBytes int64         // results of a project that wait may have; 1 GiB
	Results     int           // that may wait of a project, or be on their way; 100
}

// Runs keep account of questions that are asked: they give each run a name, cancel it when asked to, keep what became
// of it, and run questions for which nobody waits.
//
// What becomes of runs is written to the store a moment later, and never before an answer is given: a crash loses the
// last half second of it, and a store that stays away delays it, for as many runs as fit in memory. Results lie in
// temporary files and are gone with the program.
type Runs struct {
	cfg RunsConfig

	mu      sync.Mutex
	current map[string]*current // under way, by their ids
	jobs    map[string]*job     // background runs, under way or with their results waiting
	unsaved map[string]Run      // what is to be written
	dropped int                 // that were not to be kept, since that was last said
	closed  bool                // no more jobs
	working sync.WaitGroup      // the jobs

	writing sync.Mutex // held while unsaved is written
	settled bool       // what ran when the program ended before is marked; held with writing
}

// current is a run under way.
type current struct {
	run    Run
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when it is
}

// The bounds and times of Runs.
const (
	maxUnsaved    = 10_000 // runs in memory that are not written
	writeRuns     = 500 * time.Millisecond
	trimRuns      = 10 * time.Minute
	runsStoreTime = 10 * time.Second // one write takes no longer
)

// NewRuns makes Runs. Their Run must be started.
func NewRuns(cfg RunsConfig) *Runs {
	cfg.Keep, cfg.Most = cmp.Or(cfg.Keep, 30*24*time.Hour), cmp.Or(cfg.Most, 1000)
	cfg.ResultTime, cfg.ResultBytes, cfg.Results = cmp.Or(cfg.ResultTime, 15*time.Minute), cmp.Or(cfg.ResultBytes, 1<<30), cmp.Or(cfg.Results, 100)
	if cfg.Stopping == nil {
		cfg.Stopping = context.Background()
	}
	return &Runs{cfg: cfg, current: map[string]*current{}, jobs: map[string]*job{}, unsaved: map[string]Run{}}
}

// Note is what the history has of a run beside what became of it.
type Note struct {
	ID      string
	Credits func(*Answer, error) int64 // what the run came to, an answer or an error
	Once    bool                       // the sender chose the ID: it is of one run, and another is refused
	Name    string                     // what was asked by its name, kept in place of a statement that the asker need not know
}

// Asked is a question with what is noted of its run.
type Asked struct {
	Question
	Note
}

// Noted answers questions as a Service does, and keeps account of them.
type Noted struct {
	*Service

	Runs *Runs
}

// Ask is Runs.Ask.
func (n Noted) Ask(ctx context.Context, permit gate.Permit, q Asked) (*Answer, error) {
	return n.Runs.Ask(ctx, n.Service, permit, q)
}

// Ask has a service answer a question. It is Service.Ask, of which account is kept. It can be cancelled.
//
// Problems: those of Service.Ask, query_cancelled.
func (r *Runs) Ask(ctx context.Context, s *Service, permit gate.Permit, q Asked) (*Answer, error) {
	run := newRun(permit, q, r.cfg.Now())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := r.begin(run, cancel, q.Once); err != nil {
		return nil, err
	}
	ended := run.over(nil, errBrokeOff, 0, r.cfg.Now())
	defer func() { r.end(ended) }() // also when it panics
	answer, err := s.Ask(ctx, permit, q.Question)
	err = reason(ctx, err)
	ended = run.over(answer, err, q.Credits(answer, err), r.cfg.Now())
	return answer, err
}

var errBrokeOff = errors.New("query: it broke off")

// begin takes note of a run that begins; with once, unless there is one of its ID that is under way, or over and not written yet.
func (r *Runs) begin(run Run, cancel context.CancelCauseFunc, once bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.unsaved[run.ID]; once && (there || r.current[run.ID] != nil) {
		return problem.New(problem.Conflict, "A query of this name was asked already.")
	}
	r.current[run.ID] = &current{run, cancel, make(chan struct{})}
	r.save(run)
	return nil
}

// end takes note of what became of a run.
func (r *Runs) end(run Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.save(r.told(run))
	if c := r.current[run.ID]; c != nil {
		close(c.over)
		delete(r.current, run.ID)
	}
}

// save has a run written, if there is room.
func (r *Runs) save(run Run) {
	if r.cfg.HideSQL {
		run.SQL = ""
	}
	if _, there := r.unsaved[run.ID]; !there && len(r.unsaved) >= maxUnsaved {
		r.dropped++
		return
	}
	r.unsaved[run.ID] = run
}

// reason is why a run failed: why it was ended, if it was.
func reason(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || cause == context.Canceled || cause == context.DeadlineExceeded { //nolint:errorlint // it is the values themselves
		return err
	}
	return Costing(cause, Spent(err))
}

// errCancelled is why a run is cancelled by somebody.
func errCancelled() error { return problem.New(problem.QueryCancelled, "The query was cancelled.") }

// Find finds a run of a project, for whoever may see it to be asked about.
func (r *Runs) Find(ctx context.Context, project, id string) (run Run, found bool, err error) {
	if !isRunID(id) {
		return Run{}, false, nil
	}
	r.mu.Lock()
	run, found = r.unsaved[id]
	if now := r.current[id]; now != nil {
		run, found = now.run, true
	}
	r.mu.Unlock()
	if found {
		return run, run.Project == project, nil
	}
	list, err := r.cfg.Store.Runs(ctx, RunQuery{Project: project, Live: true, ID: id, Limit: 1})
	if err != nil || len(list) == 0 {
		return Run{}, false, err
	}
	return list[0], true, nil
}

// List lists runs of the permit's project, the youngest first: of its key's own, or of all when the key may see those.
// next is empty after the last page.
//
// Problems: invalid_field.
func (r *Runs) List(ctx context.Context, permit gate.Permit, f RunFilter) (list []Run, next string, err error) {
	if f.Limit < 1 || f.Limit > MaxRuns {
		return nil, "", problem.Invalid("limit", "must be from 1 to %d", MaxRuns)
	}
	q := RunQuery{Project: permit.Project(), Live: permit.Live(), KeyID: f.KeyID, Status: f.Status, Limit: f.Limit + 1}
	if permit.Key().OwnOnly(access.ReadQueries) {
		if q.Owner = permit.Key().Owner(); f.KeyID != "" && f.KeyID != permit.Key().ID {
			return nil, "", nil
		}
	}
	if f.Before != "" {
		if q.Before, err = readRunCursor(f.Before); err != nil {
			return nil, "", err
		}
	}
	_ = r.write(ctx) // what the store does not take is not listed yet
	if list, err = r.cfg.Store.Runs(ctx, q); err != nil {
		return nil, "", fmt.Errorf("query: list runs: %w", err)
	}
	if len(list) > f.Limit {
		list = list[:f.Limit]
		last := list[f.Limit-1]
		next = RunPlace{last.StartedAt, last.ID}.cursor()
	}
	return list, next, nil
}

// cancelTime is how long a cancelled run is waited for.
const cancelTime = 5 * time.Second

// Cancel ends a run that is under way, and returns when it has ended, or after 5 seconds. Of one that is over it drops
// the result.
func (r *Runs) Cancel(ctx context.Context, id string) {
	r.mu.Lock()
	c := r.current[id]
	if j := r.jobs[id]; j != nil && j.over {
		r.drop(j)
	}
	r.mu.Unlock()
	if c == nil {
		return
	}
	c.cancel(errCancelled())
	ctx, cancel := context.WithTimeout(ctx, cancelTime)
	defer cancel()
	select {
	case <-c.over:
	case <-ctx.Done():
	}
}

// Run writes what becomes of runs to the store, removes what is too old or too much there, and drops results that nobody
// fetched, until ctx is done. Then it waits for the background runs to end and writes what is left. What was running
// when the program ended before is lost.
func (r *Runs) Run(ctx context.Context) error {
	flush, trim := time.NewTicker(writeRuns), time.NewTicker(trimRuns)
	defer flush.Stop()
	defer trim.Stop()
	_ = r.write(ctx)
	r.trim(ctx)
	for {
		select {
		case <-flush.C:
			_ = r.write(ctx) // what fails stays in memory, and is written the next time
			r.sweep()
		case <-trim.C:
			r.trim(ctx)
		case <-ctx.Done():
			return r.stop(ctx)
		}
	}
}

// stop ends the background runs and writes what is left.
func (r *Runs) stop(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	for _, j := range r.jobs {
		j.cancel(errStopping())
	}
	r.mu.Unlock()
	r.working.Wait()
	r.mu.Lock()
	for _, j := range r.jobs {
		r.drop(j)
	}
	r.mu.Unlock()
	r.working.Wait()
	return r.write(ctx)
}

// write writes what is not written.
func (r *Runs) write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runsStoreTime)
	defer cancel()
	r.writing.Lock()
	defer r.writing.Unlock()
	if !r.settled { // before anything that runs now is there
		if err := r.cfg.Store.LoseRuns(ctx); err != nil {
			return r.unwritten(err)
		}
		r.settled = true
	}
	batch := r.batch()
	if len(batch) == 0 {
		return nil
	}
	if err := r.cfg.Store.KeepRuns(ctx, batch); err != nil {
		return r.unwritten(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range batch {
		if r.unsaved[run.ID] == run { // it has not gone on meanwhile
			delete(r.unsaved, run.ID)
		}
	}
	return nil
}

// batch is what is not written.
func (r *Runs) batch() []Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped > 0 {
		r.cfg.Log.Error("queries are missing from the history: too many were not written", "queries", r.dropped)
		r.dropped = 0
	}
	batch := slices.Collect(maps.Values(r.unsaved))
	slices.SortFunc(batch, func(a, b Run) int { return cmp.Compare(a.ID, b.ID) })
	return batch
}

// unwritten says that the store took nothing.
func (r *Runs) unwritten(err error) error {
	r.cfg.Log.Error("the history of queries cannot be written", "error", err)
	return fmt.Errorf("query: keep runs: %w", err)
}

// trim removes from the store what is too old or too much.
func (r *Runs) trim(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := r.cfg.Store.TrimRuns(ctx, r.cfg.Now().Add(-r.cfg.Keep), r.cfg.Most)
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Error("the history of queries cannot be trimmed", "error", err)
		}
		if err != nil || n == 0 {
			return
		}
	}
}
