package duckdb

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// process is a running query process, seen from the server.
type process struct {
	log     *slog.Logger
	command *exec.Cmd
	stdin   io.Closer // the process ends when this closes
	client  *http.Client
	socket  string
	memory  int64 // that it may have
	born    time.Time
	dead    chan struct{} // closed when it has ended and the fields below are set
	exit    string        // how it ended

	mu      sync.Mutex
	asked   int  // statements being answered
	alone   bool // when it ended, it was answering exactly one
	stopped bool // it was asked to stop
}

// launch starts a query process with a fresh socket. It is ready when the first request is answered.
func launch(cfg *Config, socket string) (*process, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close()
	file, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s := settings{dir: cfg.Dir, memory: cfg.Memory, threads: cfg.Threads, openFiles: cfg.OpenFiles, columns: max(cfg.PromotedColumns, 0), rows: cfg.promotedRows}
	p := &process{log: cfg.Log, socket: socket, memory: cfg.Memory, born: cfg.Now(), dead: make(chan struct{})}
	p.command = exec.Command(cfg.Command[0], append(cfg.Command[1:len(cfg.Command):len(cfg.Command)], s.args()...)...)
	p.command.Env = environment()
	p.command.ExtraFiles = []*os.File{file}
	p.command.Stderr = &lineLog{log: cfg.Log}
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt typed at the terminal is for the server
	p.command.WaitDelay = time.Second
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	giveWay(p.command.Process.Pid)
	p.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
	}}
	go p.wait()
	return p, nil
}

// environment is all the environment that a query process has: nothing of the server's, which may be secret. Its
// allocators are to give address space back, which is limited.
func environment() []string {
	return []string{
		"TZ=UTC", "LC_ALL=C", "GOTRACEBACK=none", "MALLOC_ARENA_MAX=2", "MALLOC_MMAP_THRESHOLD_=131072", "DUCKDB_JE_MALLOC_CONF=retain:false",
	}
}

// wait settles what is left of the process when it has ended.
func (p *process) wait() {
	_ = p.command.Wait() // its state says more
	p.mu.Lock()
	p.alone = p.asked == 1
	p.mu.Unlock()
	p.exit = p.command.ProcessState.String()
	_ = p.stdin.Close()
	_ = os.Remove(p.socket)
	close(p.dead)
	p.client.CloseIdleConnections()
}

// kill ends the process at once.
func (p *process) kill(why string) {
	p.log.Warn("the query process is killed", "pid", p.command.Process.Pid, "why", why)
	_ = p.command.Process.Kill()
}

// stop asks the process to end when its loads are done and its files closed, and kills it after the patience.
func (p *process) stop(patience time.Duration) {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := p.send(ctx, pathStop, nil)
	if err == nil {
		_ = answer.Body.Close()
	}
	select {
	case <-p.dead:
	case <-ctx.Done():
		p.kill("it did not stop")
		<-p.dead
	}
}

// begin and finish count the statements being answered.
func (p *process) begin()  { p.count(1) }
func (p *process) finish() { p.count(-1) }

func (p *process) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked += n
}

// verdict is what became of a statement that was being answered when the process ended.
func (p *process) verdict() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped:
		return problem.New(problem.Unavailable, "The server is stopping.").After(time.Second)
	case p.alone:
		return query.TooHeavy(p.memory)
	}
	return problem.New(problem.Unavailable, "The query process was restarted while it answered several queries.").After(time.Second)
}

// deathNotice is how long a broken connection waits for the word that the process has ended.
const deathNotice = 5 * time.Second

// broken is the error of a statement whose answer broke off.
func (p *process) broken(cause error) error {
	p.mu.Lock()
	stopped := p.stopped
	p.mu.Unlock()
	if stopped {
		return p.verdict()
	}
	notice := time.NewTimer(deathNotice)
	defer notice.Stop()
	select {
	case <-p.dead:
		return p.verdict()
	case <-notice.C:
		return fmt.Errorf("duckdb: the answer of the query process broke off: %w", cause)
	}
}

// send sends a request. The answer's body must be closed.
func (p *process) send(ctx context.Context, path string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://query"+path, bytes.NewReader(body)) //nolint:gosec // the host is nobody: it dials the socket
	if err != nil {
		return nil, err
	}
	return p.client.Do(r) //nolint:gosec // as above
}

// call sends a request and reads the answer into one value. What the process says is wrong is an answered error.
func (p *process) call(ctx context.Context, path string, body []byte, into any) error {
	answer, err := p.send(ctx, path, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return readFailure(text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// answered marks an error that the process itself answered.
type answered struct{ error }

func (a answered) Unwrap() error { return a.error }

func readFailure(text []byte) error {
	var f failure
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("duckdb: the query process answered %.200q", text)
	}
	return answered{f.error()}
}

// lineLog logs what a process writes, line by line. It is the process's standard error.
type lineLog struct {
	log  *slog.Logger
	line []byte
}

// maxLogLine is where a line is cut.
const maxLogLine = 2000

func (l *lineLog) Write(data []byte) (int, error) {
	for _, c := range data {
		switch {
		case c == '\n':
			l.log.Warn("query process", "says", string(l.line))
			l.line = l.line[:0]
		case len(l.line) < maxLogLine:
			l.line = append(l.line, c)
		}
	}
	return len(data), nil
}
