package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Work does a job of one kind. When its context is done, it returns soon, with or without an error; what it has kept with
// Run.Keep is where it goes on. An error that is a problem is told to whoever looks at the job.
type Work func(ctx context.Context, run *Run) error

// Config is what a Runner is made of. Zero values of the numbers mean their defaults.
type Config struct {
	Store   Store
	Dir     string          // of the folders of jobs; it is the runner's alone
	Kinds   map[string]Work // by their names; Handle adds to them
	Charges Charges         // of kinds that have a Price; nil: nothing is charged
	Stands  func(Job) error // whether a job may go on: its key may have been revoked; nil: it always may
	Workers int             // jobs running at a time; default 3
	Share   int             // jobs of one project running at a time; default one less than Workers, so that others find a worker
	Waiting int             // jobs of a project that are not over; default 100
	Keep    time.Duration   // how long a job that is over is kept; default 7 days
	Most    int             // jobs kept of a project that are over; default 1,000
	Now     func() time.Time
	NewID   func() string
	Log     *slog.Logger
}

// Limits on a job.
const (
	MaxSpec   = 256 << 10 // bytes of a spec, of a place and of a result
	maxStarts = 10        // a job that was begun so often and is not over is the server's end
	trimEvery = 10 * time.Minute
	saveEvery = time.Second // progress alone is kept no more often
	keepPause = time.Second // between two tries to keep a job
	keepTries = 60          // of what is under way; then the job fails
)

// Runner runs jobs. Make one with New; Run starts it.
type Runner struct {
	cfg    Config
	tidy   map[string]func(folder string) error // by kind
	prices map[string]Price                     // by kind

	mu      sync.Mutex
	open    map[string]*entry // by id; those that are not over
	order   []*entry          // waiting, the oldest first
	running map[string]int    // by project; those that rest among them
	wake    chan struct{}
	workers chan struct{} // one in it for each that works
}

// entry is a job that is not over.
type entry struct {
	job    Job
	over   chan struct{} // closed when it is over, or the runner stops
	ended  func(Job)     // nil: nobody is told
	cancel context.CancelCauseFunc
	called bool // it is to be cancelled
	idle   bool // it has no worker; the worker's alone
}

// New makes a runner. The folder is its own from then on.
func New(cfg Config) *Runner {
	if cfg.Workers == 0 {
		cfg.Workers = 3
	}
	if cfg.Share == 0 {
		cfg.Share = max(1, cfg.Workers-1)
	}
	if cfg.Waiting == 0 {
		cfg.Waiting = 100
	}
	if cfg.Keep == 0 {
		cfg.Keep = 7 * 24 * time.Hour
	}
	if cfg.Most == 0 {
		cfg.Most = 1000
	}
	cfg.Kinds = maps.Clone(cfg.Kinds)
	_ = os.RemoveAll(filepath.Join(cfg.Dir, tempFolder)) // before anybody puts something there; it is made anew when it is needed
	return &Runner{
		cfg: cfg, tidy: map[string]func(string) error{}, prices: map[string]Price{}, open: map[string]*entry{}, running: map[string]int{},
		wake: make(chan struct{}, 1), workers: make(chan struct{}, cfg.Workers),
	}
}

// Handle adds a kind of work. It is for whoever puts the parts together, before anything is submitted and before Run.
func (r *Runner) Handle(kind string, work Work) {
	if r.cfg.Kinds == nil {
		r.cfg.Kinds = map[string]Work{}
	}
	r.cfg.Kinds[kind] = work
}

// Tidy has something done with the folder of every job of a kind that is over, however it ended, also before it was begun or
// in a panic. It is done before it is kept that the job is over: after a crash in between, the job is begun again. It is for
// whoever puts the parts together, as Handle is.
func (r *Runner) Tidy(kind string, do func(folder string) error) { r.tidy[kind] = do }

// Wanted is a job to be.
type Wanted struct {
	Environment string
	Kind        string
	About       string
	Spec        jsontext.Value
	Total       int64
	Files       map[string]string // files to be moved into the job's folder, by their names there
	Ended       func(Job)         // called once when it is over, unless the server was restarted meanwhile; nil: nobody is told
}

// Submit writes a job down, and has it run. When it returns without an error, the job survives a crash.
//
// Problems: unavailable when the project has too many that are not over, limits_unavailable.
func (r *Runner) Submit(ctx context.Context, permit gate.Permit, w Wanted) (Job, error) {
	if r.cfg.Kinds[w.Kind] == nil || len(w.Spec) > MaxSpec {
		return Job{}, fmt.Errorf("job: %q is no kind of work, or its spec of %d bytes is too long", w.Kind, len(w.Spec))
	}
	j := Job{
		ID: "job_" + r.cfg.NewID(), Project: permit.Project(), Environment: w.Environment, Live: live(permit, w.Environment), KeyID: asker(permit),
		Owner: permit.Key().Owner(), Kind: w.Kind, About: w.About, Spec: w.Spec, State: Queued, Progress: Progress{Total: w.Total}, CreatedAt: r.now(),
	}
	if n := r.waiting(j.Project); n >= r.cfg.Waiting {
		return Job{}, problem.New(problem.Unavailable, "The project has %d jobs that are not over, as many as may wait.", n).After(10 * time.Second)
	}
	if err := r.fill(j.ID, w.Files); err != nil {
		return Job{}, errors.Join(fmt.Errorf("job: the folder of a job: %w", err), os.RemoveAll(r.folder(j.ID)))
	}
	if err := r.hold(ctx, permit, j); err != nil {
		return Job{}, errors.Join(err, os.RemoveAll(r.folder(j.ID)))
	}
	if err := r.cfg.Store.InsertJob(ctx, j); err != nil {
		r.release(ctx, j)
		return Job{}, errors.Join(fmt.Errorf("job: %w", err), os.RemoveAll(r.folder(j.ID)))
	}
	r.add(&entry{job: j, over: make(chan struct{}), ended: w.Ended})
	return j, nil
}

// asker is who asks: the key's id, which is the operator's alone while the server runs.
func asker(permit gate.Permit) string {
	if permit.Key().Kind == access.Operator {
		return access.Operator.String()
	}
	return permit.Key().ID
}

// live reports whether a job works on live data; one about no environment is of the mode of its key.
func live(permit gate.Permit, environment string) bool {
	for _, env := range permit.Key().Project.Environments {
		if env.Name == environment {
			return env.Mode == access.Live
		}
	}
	return permit.Live()
}

func (r *Runner) now() time.Time { return r.cfg.Now().UTC().Truncate(time.Microsecond) }

// folder is where a job's files are.
func (r *Runner) folder(id string) string { return filepath.Join(r.cfg.Dir, id) }

// Folder is where the files of a job are that a kind of work makes for others to read.
func (r *Runner) Folder(j Job) string { return r.folder(j.ID) }

// Temp is a folder for files that are to become a job's. What is in it is removed by the next New.
func (r *Runner) Temp() (string, error) {
	path := filepath.Join(r.cfg.Dir, tempFolder)
	return path, os.MkdirAll(path, 0o700)
}

const tempFolder = "new"

// fill makes a job's folder and moves files into it, durably.
func (r *Runner) fill(id string, files map[string]string) error {
	folder := r.folder(id)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for name, from := range files {
		if err := os.Rename(from, filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return errors.Join(syncFolder(folder), syncFolder(r.cfg.Dir))
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// waiting is how many jobs of a project are not over.
func (r *Runner) waiting(project string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.open {
		if e.job.Project == project {
			n++
		}
	}
	return n
}

// add has a job run that is in the store by now, unless the start of the program has found it there already.
func (r *Runner) add(e *entry) {
	r.mu.Lock()
	if found := r.open[e.job.ID]; found != nil {
		found.ended = e.ended
	} else {
		r.open[e.job.ID] = e
		r.order = append(r.order, e)
	}
	r.mu.Unlock()
	r.poke()
}

func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run takes up the jobs that an earlier run left, and works until ctx is done. Work under way is told to stop then, and
// goes on at the next start.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.resume(ctx); err != nil {
		return err
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	r.trim(ctx)
	for {
		for e := r.next(); e != nil; e = r.next() {
			workers.Go(func() {
				defer r.free(e)
				r.work(ctx, e)
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-trim.C:
			r.trim(ctx)
		case <-r.wake:
		}
	}
}

// resume takes up what is not over. What is of a kind that this program does not know waits for one that does.
func (r *Runner) resume(ctx context.Context) error {
	if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
		return err
	}
	jobs, err := r.cfg.Store.OpenJobs(ctx)
	if err != nil {
		return fmt.Errorf("job: what is not over: %w", err)
	}
	if r.cfg.Charges != nil {
		ids := make([]string, len(jobs))
		for i := range jobs {
			ids[i] = jobs[i].ID
		}
		r.cfg.Charges.HoldOnly(ids)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range jobs {
		if r.cfg.Kinds[j.Kind] == nil {
			r.cfg.Log.Warn("a job is of a kind that this version does not know", "job", j.ID, "kind", j.Kind)
			continue
		}
		if r.open[j.ID] == nil {
			e := &entry{job: j, over: make(chan struct{})}
			r.open[j.ID] = e
			r.order = append(r.order, e)
		}
	}
	return nil
}

// free gives back the worker of a job, if it has one.
func (r *Runner) free(e *entry) {
	if !e.idle {
		<-r.workers
	}
	r.poke()
}

// next takes the oldest job of the project that has the fewest running, and a worker for it. It is nil when no worker is free,
// and when no project with a job that waits may have another running.
func (r *Runner) next() *entry {
	select {
	case r.workers <- struct{}{}:
	default:
		return nil
	}
	e := r.oldest()
	if e == nil {
		<-r.workers
	}
	return e
}

func (r *Runner) oldest() *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	best := -1
	for i, e := range r.order {
		if r.running[e.job.Project] >= r.cfg.Share {
			continue
		}
		if best < 0 || r.running[e.job.Project] < r.running[r.order[best].job.Project] {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	e := r.order[best]
	r.order = append(r.order[:best], r.order[best+1:]...)
	r.running[e.job.Project]++
	return e
}

var (
	errCancelled = errors.New("job: cancelled")
	errStopping  = errors.New("job: the server stops")
)

// IsCancelled reports whether the work that has a context was cancelled by somebody, and so is not begun again.
func IsCancelled(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errCancelled) }

// work does one job.
func (r *Runner) work(parent context.Context, e *entry) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	defer cancel(nil)
	defer context.AfterFunc(parent, func() { cancel(errStopping) })()
	run := &Run{runner: r, entry: e, ctx: ctx, cancel: cancel}
	r.mu.Lock()
	e.cancel = cancel
	if e.called {
		cancel(errCancelled)
	}
	r.mu.Unlock()
	err := run.begin()
	if err == nil {
		err = r.call(ctx, run)
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, errStopping) && err != nil {
		r.leave(e)
		return
	}
	_ = r.finish(parent, run, err, cause) // it is logged, and at the next start the job is done again
}

// call calls the work. A panic is a fault of the one job.
func (r *Runner) call(ctx context.Context, run *Run) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("job: the work broke off: %v\n%s", p, debug.Stack())
		}
	}()
	return r.cfg.Kinds[run.entry.job.Kind](ctx, run)
}

// leave lets a job be, for the next start.
func (r *Runner) leave(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(e)
}

// forget takes a job out of memory. The caller holds the lock.
func (r *Runner) forget(e *entry) {
	delete(r.open, e.job.ID)
	if r.running[e.job.Project]--; r.running[e.job.Project] <= 0 {
		delete(r.running, e.job.Project)
	}
	close(e.over)
}

// finish keeps what became of a job, and tries until it can or ctx is done. Then it is open again at the next start.
func (r *Runner) finish(ctx context.Context, run *Run, err, cause error) (unkept error) {
	j := run.Job()
	j.State, j.EndedAt = Succeeded, r.now()
	switch {
	case err == nil:
	case errors.Is(cause, errCancelled):
		j.State = Cancelled
	default:
		p := problem.From(err)
		if errors.As(cause, new(*problem.Error)) {
			p = problem.From(cause)
		}
		j.State, j.Code, j.Detail = Failed, p.Code, p.Detail
		r.cfg.Log.Warn("a job failed", "job", j.ID, "kind", j.Kind, "error", err)
	}
	if do := r.tidy[j.Kind]; do != nil {
		if err := do(r.folder(j.ID)); err != nil {
			r.cfg.Log.Error("the folder of a job that is over could not be tidied", "job", j.ID, "error", err)
		}
	}
	if unkept = r.charge(ctx, &j); unkept == nil {
		unkept = r.keep(ctx, j, 0)
	}
	if unkept != nil {
		r.cfg.Log.Error("what became of a job could not be kept; it is done again at the next start", "job", j.ID, "error", unkept)
	}
	r.mu.Lock()
	run.entry.job = j
	r.forget(run.entry)
	r.mu.Unlock()
	if run.entry.ended != nil {
		run.entry.ended(j)
	}
	return unkept
}

// keep keeps a job, with patience for a store that is busy or is being started again: it tries so often, or, with 0, until
// ctx is done. It tries once also when ctx is done already.
func (r *Runner) keep(ctx context.Context, j Job, tries int) error {
	pause := time.NewTicker(keepPause)
	defer pause.Stop()
	for try := 1; ; try++ {
		err := r.cfg.Store.SaveJob(context.WithoutCancel(ctx), j)
		if err == nil || try == tries {
			return err
		}
		r.cfg.Log.Warn("a job could not be kept yet", "job", j.ID, "error", err)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return err
		}
	}
}

// trim forgets old jobs, with their folders.
func (r *Runner) trim(ctx context.Context) {
	for ctx.Err() == nil {
		ids, err := r.cfg.Store.TrimJobs(ctx, r.now().Add(-r.cfg.Keep), r.cfg.Most)
		if err != nil {
			r.cfg.Log.Warn("old jobs could not be forgotten", "error", err)
		}
		if len(ids) == 0 {
			return
		}
		for _, id := range ids {
			if strings.HasPrefix(id, "job_") {
				_ = os.RemoveAll(r.folder(id))
			}
		}
	}
}
