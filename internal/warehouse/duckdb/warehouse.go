// Package duckdb is the embedded warehouse: it stores events in one file per project and environment, and answers
// statements over them.
//
//	server process                                query process (the same program, started again)
//	Warehouse --HTTP over a unix socket--> child --> one database per space
//	    |  supervises, queues, keeps time             |  guard, ceilings of rows and bytes, walls
//
// The engine lives in the query process because a stranger's statement can bring down the process it runs in: some take
// more memory than the engine's own limits allow, and a few do not stop when they are asked to. That process has a hard
// limit of memory, may die at any time, and is started again within a second; the journal keeps what was not loaded.
//
// The package owns the files, what is in them, the query process and its life. It does not own which statements are
// allowed (package guard), how the engine is called (package native), what an event is (package event) or who may ask.
package duckdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Config is what a Warehouse is made of. Zero values of the numbers mean their defaults.
type Config struct {
	Dir           string   // the folder of the files: Dir/<project>/<environment>.duckdb
	Command       []string // starts the query process: a program and the arguments that make it call ServeChild
	Memory        int64    // bytes by which the query process may grow; default half of the system's, at least 1 GiB
	Threads       int      // of each open file, some 8 MiB of Memory each; default the number of processors, at most 4
	MaxConcurrent int      // queries running at a time; default twice the processors
	MaxPerProject int      // of them, of one project; default MaxConcurrent
	MaxPerKey     int      // of them, of one key; default MaxPerProject
	MaxQueue      int      // queries waiting; default 16 times MaxConcurrent
	OpenFiles     int      // files kept open; default 16

	PromotedColumns int // properties of a file that may become columns; default 32, negative: none
	promotedRows    int64

	Now func() time.Time // the clock
	Log *slog.Logger
}

func (c *Config) defaults() {
	if c.Memory == 0 {
		c.Memory = max(systemMemory()/2, 1<<30)
	}
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.Threads, min(runtime.NumCPU(), 4)},
		{&c.MaxConcurrent, 2 * runtime.NumCPU()},
		{&c.MaxQueue, 16 * max(c.MaxConcurrent, 2*runtime.NumCPU())},
		{&c.OpenFiles, 16},
		{&c.PromotedColumns, standardColumns},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.promotedRows == 0 {
		c.promotedRows = enoughRows
	}
	if c.MaxPerProject == 0 {
		c.MaxPerProject = c.MaxConcurrent
	}
	if c.MaxPerKey == 0 {
		c.MaxPerKey = c.MaxPerProject
	}
}

// Times of the query process. They are long beside what they wait for: they end what would never end.
const (
	startLimit   = 30 * time.Second // to become ready
	standstill   = 5 * time.Second  // for a call to wait while no process is ready
	stopLimit    = time.Minute      // to finish loads and write checkpoints
	loadLimit    = 5 * time.Minute  // for one load
	analyzeLimit = 10 * time.Second // for one analysis
	grace        = 5 * time.Second  // for a statement to stop when it is told to
)

// Warehouse is an event.Warehouse and a query.Engine. Make one with Open; there may be one per folder.
type Warehouse struct {
	cfg       Config
	sockets   string // a folder only this user can enter
	queue     *queue
	questions atomic.Uint64 // numbers them
	cancel    context.CancelFunc
	over      chan struct{} // closed when the supervisor has ended

	mu       sync.Mutex
	current  *process      // nil while there is none
	changed  chan struct{} // closed and replaced when current changes
	closed   bool
	restarts int
	quick    int    // deaths in a row, each soon after the start
	last     string // how the last process ended
	stowed   stowed // as the last load said
	filling  int64  // nanoseconds, of processes that ended
}

// Stats are figures of the moment.
type Stats struct {
	PID      int // of the query process; 0 while there is none
	Restarts int // of the query process, since Open
	Running  int // queries
	Waiting  int // queries
	Columns  int // of properties, in the open files, as of the last load

	Filling time.Duration // of such columns, in the background
}

// Open starts the query process and returns when it is ready. The caller sees to it that nobody else has the folder.
func Open(ctx context.Context, cfg Config) (*Warehouse, error) {
	cfg.defaults()
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	if len(cfg.Command) == 0 || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("duckdb: Command, Now and Log must be set")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp("", "weir-")
	if err != nil {
		return nil, err
	}
	supervised, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &Warehouse{
		cfg: cfg, sockets: sockets, queue: newQueue(ceilings{cfg.MaxConcurrent, cfg.MaxPerProject, cfg.MaxPerKey, cfg.MaxQueue}),
		cancel: cancel, over: make(chan struct{}), changed: make(chan struct{}),
	}
	first, err := w.start(ctx, 0)
	if err != nil {
		cancel()
		_ = os.RemoveAll(sockets)
		return nil, fmt.Errorf("duckdb: the query process did not start: %w", err)
	}
	w.current = first
	go w.supervise(supervised, first)
	return w, nil
}

// start starts a query process and waits until it is ready.
func (w *Warehouse) start(ctx context.Context, n int) (*process, error) {
	p, err := launch(&w.cfg, filepath.Join(w.sockets, strconv.Itoa(n)+".sock"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var says alive
	if err := p.call(ctx, pathReady, nil, &says); err != nil {
		p.kill("it did not become ready")
		<-p.dead
		return nil, fmt.Errorf("%w (%s)", err, p.exit)
	}
	w.cfg.Log.Info("the query process is ready", "pid", p.command.Process.Pid, "walls", says.Walls)
	return p, nil
}

// A process that lives shorter than shortLife counts towards a crash loop; from crashLoop deaths in a row on, the
// warehouse is not ready. Pauses between starts grow up to longestPause.
const (
	shortLife    = 10 * time.Second
	crashLoop    = 5
	firstPause   = 50 * time.Millisecond
	longestPause = 800 * time.Millisecond
)

// supervise starts a new process whenever one has ended, until ctx is done.
func (w *Warehouse) supervise(ctx context.Context, p *process) {
	defer close(w.over)
	for n := 1; p != nil; p = w.again(ctx, p, &n) {
		w.become(p)
		select {
		case <-p.dead:
			w.become(nil)
		case <-ctx.Done():
			w.become(nil)
			p.stop(stopLimit)
			return
		}
	}
}

// again starts the process that follows a dead one, however many tries it takes; nil when ctx is done.
func (w *Warehouse) again(ctx context.Context, dead *process, n *int) *process {
	how, lived := dead.exit, w.cfg.Now().Sub(dead.born)
	for {
		pause := time.NewTimer(w.died(how, lived))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
		p, err := w.start(ctx, *n)
		*n++
		if err == nil {
			return p
		}
		how, lived = err.Error(), 0
	}
}

// become changes the current process.
func (w *Warehouse) become(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = p
	close(w.changed)
	w.changed = make(chan struct{})
}

// died counts a death, and says how long to wait before the next start: not at all after the first in a row.
func (w *Warehouse) died(how string, lived time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg.Log.Warn("the query process ended and is started again", "how", how, "lived", lived)
	w.restarts++
	w.last = how
	w.filling += w.stowed.Filling
	w.stowed = stowed{}
	if lived > shortLife {
		w.quick = 0
	}
	w.quick++
	if w.quick == 1 {
		return 0
	}
	return min(firstPause<<min(w.quick-2, 10), longestPause)
}

// live gives the current process, waiting a little when there is none.
func (w *Warehouse) live(ctx context.Context) (*process, error) {
	patience := time.NewTimer(standstill)
	defer patience.Stop()
	for {
		w.mu.Lock()
		p, changed, closed, last := w.current, w.changed, w.closed, w.last
		w.mu.Unlock()
		switch {
		case closed:
			return nil, problem.New(problem.Unavailable, "The server is stopping.").After(time.Second)
		case p != nil:
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-patience.C:
			return nil, problem.Wrap(errors.New(last), problem.Unavailable, "The query process is being started again.").After(time.Second)
		}
	}
}

// Ready reports which part is not ready, as an unavailable problem: the query process when it is being started, does
// not answer, or keeps ending.
func (w *Warehouse) Ready(ctx context.Context) error {
	w.mu.Lock()
	p, quick, last, restarts := w.current, w.quick, w.last, w.restarts
	w.mu.Unlock()
	if p == nil {
		return problem.New(problem.Unavailable, "The query process is not running; it ended with: %s.", last).After(time.Second)
	}
	if quick >= crashLoop && w.cfg.Now().Sub(p.born) < shortLife {
		return problem.New(problem.Unavailable, "The query process keeps ending: %d times so far, lastly with: %s.", restarts, last).After(shortLife)
	}
	var says alive
	if err := p.call(ctx, pathReady, nil, &says); err != nil {
		return problem.Wrap(err, problem.Unavailable, "The query process does not answer.").After(time.Second)
	}
	return nil
}

// Stats gives figures of the moment.
func (w *Warehouse) Stats() Stats {
	running, waiting := w.queue.counts()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := Stats{
		Restarts: w.restarts, Running: running, Waiting: waiting, Columns: int(w.stowed.Columns), Filling: time.Duration(w.filling + w.stowed.Filling),
	}
	if w.current != nil {
		s.PID = w.current.command.Process.Pid
	}
	return s
}

// Close ends the queries, finishes the loads, writes checkpoints and stops the query process.
func (w *Warehouse) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	<-w.over
	return os.RemoveAll(w.sockets)
}

// Load implements event.Warehouse. A load larger than 32 MiB is stored in several transactions, in order, each with its
// own position.
func (w *Warehouse) Load(ctx context.Context, space event.Space, records []event.Record) error {
	if err := checkSpace(space); err != nil {
		return err
	}
	for len(records) > 0 {
		n, size := 0, 0
		for n < len(records) && (n == 0 || size+len(records[n].Data) <= maxLoad) {
			size += len(records[n].Data)
			n++
		}
		if err := w.loadPiece(ctx, space, records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

var errLoadLimit = errors.New("duckdb: a load took too long")

func (w *Warehouse) loadPiece(ctx context.Context, space event.Space, records []event.Record) error {
	p, err := w.live(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, loadLimit, errLoadLimit)
	defer cancel()
	var says stowed
	err = p.call(ctx, pathLoad+spaceQuery(space), encodeRecords(records), &says)
	if err != nil && context.Cause(ctx) == errLoadLimit { //nolint:errorlint // it is the value itself
		p.kill("a load took too long")
	}
	if err != nil {
		return fmt.Errorf("duckdb: loading %s/%s: %w", space.Project, space.Environment, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stowed = says
	return nil
}

// Loaded implements event.Warehouse.
func (w *Warehouse) Loaded(ctx context.Context, space event.Space) (event.Position, error) {
	if err := checkSpace(space); err != nil {
		return 0, err
	}
	p, err := w.live(ctx)
	if err != nil {
		return 0, err
	}
	var answer loaded
	if err := p.call(ctx, pathLoaded+spaceQuery(space), nil, &answer); err != nil {
		return 0, fmt.Errorf("duckdb: position of %s/%s: %w", space.Project, space.Environment, err)
	}
	return answer.Position, nil
}

var errAnalyzeLimit = errors.New("duckdb: an analysis took too long")

// Analyze implements query.Engine.
func (w *Warehouse) Analyze(ctx context.Context, sql string) (query.Facts, error) {
	var facts query.Facts
	err := w.inspect(ctx, pathAnalyze, &question{SQL: sql}, &facts)
	return facts, err
}

// Describe implements query.Engine.
func (w *Warehouse) Describe(ctx context.Context, space event.Space, st query.Statement) (query.Description, error) {
	var d query.Description
	if err := errors.Join(checkSpace(space), scopeFault(&st)); err != nil {
		return d, err
	}
	err := w.inspect(ctx, pathDescribe, questionOf("", space, &st), &d)
	return d, err
}

// scopeFault is a fault of ours: the scope of a statement is nothing that its sender wrote.
func scopeFault(st *query.Statement) error {
	if err := st.Scope.Ready(); err != nil {
		return fmt.Errorf("duckdb: the scope of a statement: %s", err) //nolint:errorlint // it is no problem of the caller's
	}
	return nil
}

// inspect has a statement looked at and not run.
func (w *Warehouse) inspect(ctx context.Context, path string, q *question, into any) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	p, err := w.live(ctx)
	if err != nil {
		return err
	}
	p.begin()
	defer p.finish()
	limited, cancel := context.WithTimeoutCause(ctx, analyzeLimit, errAnalyzeLimit)
	defer cancel()
	err = p.call(limited, path, body, into)
	var a answered
	switch {
	case err == nil:
		return nil
	case errors.As(err, &a):
		return a.error
	case context.Cause(limited) == errAnalyzeLimit: //nolint:errorlint // it is the value itself
		p.kill("an analysis took too long")
		return problem.New(problem.QueryTimeout, "The statement could not be read within %s.", analyzeLimit)
	case limited.Err() != nil:
		return context.Cause(limited)
	}
	return p.broken(err)
}
