package duckdb

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// The shares of the process's memory.
const (
	engineShare  = 2 // half: for one instance, as the engine counts, and for what idle instances hold together
	runtimeShare = 8 // an eighth: for the program around the engine
)

// settings are what a query process is told on its command line.
type settings struct {
	dir       string
	memory    int64
	threads   int
	openFiles int
	columns   int   // of properties, in each file
	rows      int64 // that a file must have for them
}

func (s *settings) args() []string {
	return []string{
		"-dir", s.dir, "-memory", strconv.FormatInt(s.memory, 10), "-threads", strconv.Itoa(s.threads), "-open-files", strconv.Itoa(s.openFiles),
		"-columns", strconv.Itoa(s.columns), "-rows", strconv.FormatInt(s.rows, 10),
	}
}

func (s *settings) parse(args []string) error {
	flags := flag.NewFlagSet("query process", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.dir, "dir", "", "")
	flags.Int64Var(&s.memory, "memory", 0, "")
	flags.IntVar(&s.threads, "threads", 0, "")
	flags.IntVar(&s.openFiles, "open-files", 0, "")
	flags.IntVar(&s.columns, "columns", 0, "")
	flags.Int64Var(&s.rows, "rows", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.dir == "" || s.memory <= 0 || s.threads <= 0 || s.openFiles <= 0 || s.columns < 0 || flags.NArg() > 0 {
		return errors.New("the query process is started by its server only")
	}
	return nil
}

// child is the query process.
type child struct {
	shelf *shelf
	guard *guard.Guard
	walls *walls
	log   *slog.Logger

	promote *promotion

	life context.Context // of questions: done when the process is asked to stop
	stop context.CancelFunc

	mu      sync.Mutex
	running map[string]*job // by question id
}

// job is a question being answered.
type job struct {
	cancel context.CancelFunc
	over   chan struct{}
}

// ServeChild is the query process: the hidden command that Config.Command starts. args are what the server added to
// that command. It answers over the socket that it inherits, until the server asks it to stop, and ends the whole
// process at once when its standard input ends, which is when the server is gone.
func ServeChild(ctx context.Context, args []string, log *slog.Logger) error {
	var s settings
	if err := s.parse(args); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP) // the server says when to stop
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	temp := filepath.Join(s.dir, ".tmp")
	if err := errors.Join(os.RemoveAll(temp), os.MkdirAll(temp, 0o700)); err != nil {
		return err
	}
	walls, err := raiseWalls(s.dir, s.memory)
	if err != nil {
		return err
	}
	debug.SetMemoryLimit(s.memory / runtimeShare)
	g, err := guard.New()
	if err != nil {
		return err
	}
	promote := standardPromotion(s.columns, s.rows, log)
	c := &child{
		shelf: newShelf(s.dir, s.openFiles, s.memory/engineShare, native.Options{
			Memory: s.memory / engineShare, Threads: s.threads, TempDir: temp, TempLimit: s.memory,
		}, promote),
		promote: promote, guard: g, walls: walls, log: log, running: map[string]*job{},
	}
	return c.serve(ctx)
}

// headerLimit is how long the server, on the same machine, may take to write the head of a request.
const headerLimit = time.Minute

// inherited is the number of the file that is the socket: the first after the three standard ones.
const inherited = 3

func (c *child) serve(ctx context.Context) error {
	c.life, c.stop = context.WithCancel(ctx)
	defer c.stop()
	listener, err := net.FileListener(os.NewFile(inherited, "socket"))
	if err != nil {
		return fmt.Errorf("the socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathReady, c.ready)
	mux.HandleFunc("POST "+pathLoad, c.load)
	mux.HandleFunc("POST "+pathLoaded, c.loaded)
	mux.HandleFunc("POST "+pathAnalyze, c.analyze)
	mux.HandleFunc("POST "+pathDescribe, c.describe)
	mux.HandleFunc("POST "+pathRun, c.run)
	mux.HandleFunc("POST "+pathCancel, c.cancel)
	c.serveRecords(mux)
	c.serveErasing(mux)
	mux.HandleFunc("POST "+pathStop, func(http.ResponseWriter, *http.Request) { c.stop() })
	server := &http.Server{
		Handler:           mux,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: headerLimit,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-c.life.Done():
	}
	err = server.Shutdown(context.WithoutCancel(ctx))
	c.shelf.close()
	return err
}

func (c *child) ready(w http.ResponseWriter, _ *http.Request) {
	_ = json.MarshalWrite(w, alive{Walls: c.walls.standing})
}

func (c *child) load(w http.ResponseWriter, r *http.Request) {
	space, err := spaceOf(r)
	if err != nil {
		c.fail(w, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*maxLoad))
	if err != nil {
		c.fail(w, err)
		return
	}
	records, err := decodeRecords(body)
	if err != nil {
		c.fail(w, err)
		return
	}
	instance, back, err := c.shelf.write(r.Context(), space)
	if err == nil {
		err = instance.load(r.Context(), records)
		back()
	}
	if err != nil {
		c.fail(w, err)
		return
	}
	_ = json.MarshalWrite(w, stowed{Columns: c.promote.columns.Load(), Filling: c.promote.spent.Load()})
}

func (c *child) loaded(w http.ResponseWriter, r *http.Request) {
	space, err := spaceOf(r)
	if err != nil {
		c.fail(w, err)
		return
	}
	instance, back, err := c.shelf.read(r.Context(), space)
	var answer loaded
	if err == nil {
		answer.Position, err = instance.loaded(r.Context())
		back()
	}
	if err != nil {
		c.fail(w, err)
		return
	}
	_ = json.MarshalWrite(w, answer)
}

func (c *child) analyze(w http.ResponseWriter, r *http.Request) {
	q, err := readQuestion(r)
	if err != nil {
		c.fail(w, err)
		return
	}
	analysis, err := c.guard.AnalyzeOpen(r.Context(), q.SQL)
	if err != nil {
		c.fail(w, err)
		return
	}
	_ = json.MarshalWrite(w, analysis.Facts)
}

func (c *child) run(w http.ResponseWriter, r *http.Request) {
	q, err := readQuestion(r)
	if err != nil {
		c.fail(w, err)
		return
	}
	ctx, over := c.begin(r.Context(), q.ID)
	defer over()
	out := newAnswer(w)
	defer context.AfterFunc(ctx, out.abandon)()
	if err := c.answer(ctx, &q, out); err != nil {
		c.noteFault(err)
		out.fail(err)
		return
	}
	out.end()
}

func (c *child) answer(ctx context.Context, q *question, out lines) error {
	analysis, err := c.guard.AnalyzeIn(ctx, q.SQL, q.Scope)
	if err != nil {
		return err
	}
	instance, back, err := c.open(ctx, q)
	if err != nil {
		return err
	}
	defer back()
	return instance.run(ctx, q, &analysis, out)
}

// open gives the instance that a question is about, to be handed back with the function.
func (c *child) open(ctx context.Context, q *question) (*instance, func(), error) {
	space := event.Space{Project: q.Project, Environment: q.Environment}
	if err := checkSpace(space); err != nil {
		return nil, nil, err
	}
	return c.shelf.read(ctx, space)
}

// describe answers what a question would be answered.
func (c *child) describe(w http.ResponseWriter, r *http.Request) {
	q, err := readQuestion(r)
	var analysis guard.Analysis
	if err == nil {
		analysis, err = c.guard.AnalyzeIn(r.Context(), q.SQL, q.Scope)
	}
	var d query.Description
	if err == nil {
		var instance *instance
		var back func()
		if instance, back, err = c.open(r.Context(), &q); err == nil {
			d, err = instance.describe(r.Context(), &q, &analysis)
			back()
		}
	}
	if err != nil {
		c.fail(w, err)
		return
	}
	_ = json.MarshalWrite(w, d)
}

// begin notes that a question is being answered; the function says that it is over.
func (c *child) begin(ctx context.Context, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(c.life, cancel)
	j := &job{cancel: cancel, over: make(chan struct{})}
	c.mu.Lock()
	c.running[id] = j
	c.mu.Unlock()
	return ctx, func() {
		forget()
		cancel()
		c.mu.Lock()
		delete(c.running, id)
		c.mu.Unlock()
		close(j.over)
	}
}

// cancel stops a question and answers when it is over.
func (c *child) cancel(_ http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	j := c.running[r.URL.Query().Get("id")]
	c.mu.Unlock()
	if j == nil {
		return
	}
	j.cancel()
	select {
	case <-j.over:
	case <-r.Context().Done():
	}
}

func (c *child) fail(w http.ResponseWriter, err error) {
	c.noteFault(err)
	writeFailure(w, err)
}

// noteFault ends the process when it is of no more use: when the engine has called a database unusable, and when memory
// failed in a process that has used up its own. The server starts a new one, and tells the callers.
func (c *child) noteFault(err error) {
	if native.IsKind(err, native.Broken) || native.IsKind(err, native.Memory) && c.walls.worn() {
		c.log.Error("the query process ends itself", "error", err)
		os.Exit(1)
	}
}

func readQuestion(r *http.Request) (question, error) {
	var q question
	err := json.UnmarshalRead(http.MaxBytesReader(nil, r.Body, maxStatement), &q)
	q.Scope.HashKey, q.Scope.Datasets = view.RawHashKey(q.HashKey), q.Datasets
	return q, err
}

// answer is the lines of an answer with rows.
type answer struct {
	http    *http.ResponseController
	w       http.ResponseWriter
	buffer  *bufio.Writer
	started bool
}

func newAnswer(w http.ResponseWriter) *answer {
	const buffered = 64 << 10
	return &answer{http: http.NewResponseController(w), w: w, buffer: bufio.NewWriterSize(w, buffered)}
}

func (a *answer) line(data []byte) error {
	_, _ = a.buffer.Write(data)
	return a.buffer.WriteByte('\n')
}

func (a *answer) columns(columns []query.Column) error {
	a.started = true
	data, err := json.Marshal(header{Columns: columns})
	if err != nil {
		return err
	}
	return a.line(data)
}

func (a *answer) row(data []byte) error { return a.line(data) }

func (a *answer) pause() error {
	if err := a.buffer.Flush(); err != nil {
		return err
	}
	return a.http.Flush()
}

func (a *answer) end() { _, _ = a.line([]byte(end)), a.buffer.Flush() }

func (a *answer) fail(err error) {
	if !a.started {
		writeFailure(a.w, err)
		return
	}
	data, err := json.Marshal(failureOf(err))
	if err == nil {
		_, _ = a.line(data), a.buffer.Flush()
	}
}

// abandon makes a write that waits for its reader return, now and from now on.
func (a *answer) abandon() { _ = a.http.SetWriteDeadline(time.Unix(1, 0)) }
