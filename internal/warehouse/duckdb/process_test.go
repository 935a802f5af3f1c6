package duckdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// signalTo sends a signal to the query process.
func signalTo(t testing.TB, w *Warehouse, s syscall.Signal) int {
	t.Helper()
	p, err := w.live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.command.Process.Pid, s); err != nil {
		t.Fatal(err)
	}
	return p.command.Process.Pid
}

// clock is the real one, since what is tested runs in another process.
func clock() time.Time { return time.Now() }

// awaitNext waits for a query process other than the one with an id.
func awaitNext(t testing.TB, w *Warehouse, not int) {
	t.Helper()
	for {
		w.mu.Lock()
		p, changed := w.current, w.changed
		w.mu.Unlock()
		if p != nil && p.command.Process.Pid != not {
			return
		}
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatal("no new query process")
		}
	}
}

// loadAgain loads until it goes well.
func loadAgain(ctx context.Context, w *Warehouse, s event.Space, records []event.Record) error {
	for {
		err := w.Load(ctx, s, records)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// Promise: killing the query process at any moment loses no acknowledged load and stores none twice, and position and
// rows agree at every moment.
func TestKilledWhileLoading(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	const kills, each, ids = 12, 200, 5000
	var killer sync.WaitGroup
	done := make(chan struct{})
	killer.Go(func() {
		defer close(done)
		for pid := 0; w.Stats().Restarts < kills; {
			awaitNext(t, w, pid)
			pid = w.Stats().PID
			<-time.After(time.Duration(rand.IntN(200)) * time.Millisecond)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	last := 0
	for !isClosed(done) || last < 2*ids {
		records := make([]event.Record, each)
		for i := range records {
			last++
			records[i] = own(last, shop, "e"+strconv.Itoa(last), "id"+strconv.Itoa(last%ids)) // from id 5000 on, repeats
		}
		if err := loadAgain(t.Context(), w, shop, records); err != nil {
			t.Fatal(err)
		}
		if got, err := w.Loaded(t.Context(), shop); err == nil && got != event.Position(last) {
			t.Fatalf("acknowledged up to %d, and the position is %d", last, got)
		}
	}
	killer.Wait()
	got, err := answerTo(t, w, shop, "SELECT count(*), count(DISTINCT event), count(DISTINCT event_id), max(CAST(substr(event, 2) AS INTEGER)) FROM events")
	if err != nil || len(got) != 1 || got[0] != "[5000,5000,5000,5000]" {
		t.Fatalf("after %d kills and %d records: %v, %v", w.Stats().Restarts, last, got, err)
	}
}

// Promise: the query process comes back after its death, and what was loaded is there.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	if err := w.Load(t.Context(), shop, []event.Record{track(1, shop, "e", "1")}); err != nil {
		t.Fatal(err)
	}
	pid := signalTo(t, w, syscall.SIGKILL)
	awaitNext(t, w, pid)
	got, err := answerTo(t, w, shop, "SELECT event FROM events")
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if s := w.Stats(); s.Restarts != 1 || s.PID == pid || s.PID == 0 {
		t.Fatalf("stats: %+v", s)
	}
}

// endless is a statement that gives rows for ever.
const endless = "SELECT a FROM range(1000000000000) t(a)"

// Promise: when the query process dies, the only query that ran is told it was too heavy; of several, each is told to
// come again.
func TestBlame(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	for _, n := range []int{1, 2, 3} {
		var running []query.Rows
		for range n {
			rows, err := w.Run(t.Context(), shop, query.Statement{SQL: endless})
			if err != nil {
				t.Fatal(err)
			}
			running = append(running, rows)
		}
		pid := signalTo(t, w, syscall.SIGKILL)
		for _, rows := range running {
			var err error
			for err == nil {
				_, err = rows.Next()
			}
			want, wait := problem.Unavailable, time.Second
			if n == 1 {
				want, wait = problem.QueryTooHeavy, 0
			}
			if problem.Of(err) != want || problem.From(err).RetryAfter != wait {
				t.Errorf("of %d queries: %v", n, err)
			}
			rows.Close()
		}
		awaitNext(t, w, pid)
	}
	if s := w.Stats(); s.Running != 0 || s.Waiting != 0 {
		t.Errorf("stats after all: %+v", s)
	}
}

// Promise: a statement that does not stop when its time is over is stopped with the process, its caller is not kept
// waiting, and the others are told to come again.
func TestStatementThatDoesNotStop(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	other, err := w.Run(t.Context(), shop, query.Statement{SQL: endless})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stuck, err := w.Run(t.Context(), shop, query.Statement{SQL: endless, Ceilings: query.Ceilings{Time: 300 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	pid := signalTo(t, w, syscall.SIGSTOP) // now nothing in it notices anything
	began := time.Now()
	for err == nil {
		_, err = stuck.Next()
	}
	if took := time.Since(began); problem.Of(err) != problem.QueryTimeout || took > 3*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
	if s := w.Stats(); s.Running != 2 {
		t.Errorf("while the statement has not stopped, it must keep its place: %+v", s)
	}
	awaitNext(t, w, pid)
	for err = nil; err == nil; {
		_, err = other.Next()
	}
	if problem.Of(err) != problem.Unavailable {
		t.Errorf("the other query: %v", err)
	}
}

// Promise: statements that need too much memory are answered so, one after another and together, while loads go on and
// lose nothing.
func TestMemoryHogs(t *testing.T) {
	t.Parallel()
	w := open(t, func(c *Config) { c.Memory = 600 << 20 })
	ctx, cancel := context.WithCancel(t.Context())
	var loader sync.WaitGroup
	position := 0
	loader.Go(func() {
		for ctx.Err() == nil {
			if err := loadAgain(context.WithoutCancel(ctx), w, shop, []event.Record{track(position+1, shop, "e"+strconv.Itoa(position), "x")}); err != nil {
				t.Error(err)
			}
			position++
		}
	})
	hogs := []string{
		"SELECT list(a) FROM range(1000000000) t(a)",
		"SELECT string_agg(a::VARCHAR, ',') FROM range(1000000000) t(a)",
		"SELECT length(list_sort(range(400000000)))",
		"SELECT max(len(l)) FROM (SELECT list(a) OVER (ORDER BY a DESC) AS l FROM range(1000000) t(a))",
		"SELECT histogram(a::VARCHAR || 'xxxxxxxxxxxxxxxxxxxxxxxx') FROM range(100000000) t(a)",
		"SELECT list(range(1000000)) FROM range(100000)",
	}
	ask := func(sql string) {
		rows, err := read(w.Run(t.Context(), shop, query.Statement{SQL: sql, Ceilings: query.Ceilings{Time: 2 * time.Second, Bytes: 1 << 20}}))
		switch code := problem.Of(err); code {
		case problem.QueryTooHeavy, problem.QueryTimeout, problem.ResultTooLarge, problem.Unavailable:
		default:
			t.Errorf("%s: %d rows, %v", sql, len(rows), err)
		}
	}
	for _, sql := range hogs {
		ask(sql)
	}
	var together sync.WaitGroup
	for _, sql := range hogs {
		together.Go(func() { ask(sql) })
	}
	together.Wait()
	cancel()
	loader.Wait()
	got, err := answerTo(t, w, shop, "SELECT count(*), count(DISTINCT event) FROM events")
	for problem.Of(err) == problem.Unavailable {
		got, err = answerTo(t, w, shop, "SELECT count(*), count(DISTINCT event) FROM events")
	}
	if err != nil || got[0] != fmt.Sprintf("[%d,%d]", position, position) {
		t.Fatalf("%d loads were acknowledged, and there are %v, %v", position, got, err)
	}
}

// Promise: over the number of running and waiting queries the answer is query_queue_full at once; a place that comes
// free goes to one who waits.
func TestQueue(t *testing.T) {
	t.Parallel()
	w := open(t, func(c *Config) { c.MaxConcurrent, c.MaxQueue = 1, 1 })
	first, err := w.Run(t.Context(), shop, query.Statement{SQL: endless})
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := read(w.Run(t.Context(), shop, query.Statement{SQL: "SELECT 1"}))
		waited <- err
	}()
	eventually(t, func() bool { return w.Stats().Waiting == 1 })
	_, err = w.Run(t.Context(), shop, query.Statement{SQL: "SELECT 1"})
	if problem.Of(err) != problem.QueryQueueFull || problem.From(err).RetryAfter == 0 {
		t.Fatalf("the third: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Fatalf("the second: %v", err)
	}
}

// Promise: a process that dies is started again at once; one that keeps dying after pauses that stay under a second.
func TestPauses(t *testing.T) {
	t.Parallel()
	w := &Warehouse{cfg: config(t.TempDir())}
	for round := range 3 {
		last := time.Duration(-1)
		for n := range 50 {
			lived := time.Second
			if n == 0 {
				lived = time.Hour
			}
			pause := w.died("it had to", lived)
			if (n == 0) != (pause == 0) || pause < last || pause >= time.Second {
				t.Fatalf("round %d, death %d: a pause of %s after one of %s", round, n, pause, last)
			}
			last = pause
		}
	}
}

// Promise: a crash loop is seen in Ready.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	if err := w.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range crashLoop {
		pid := signalTo(t, w, syscall.SIGKILL)
		awaitNext(t, w, pid)
	}
	if err := w.Ready(t.Context()); problem.Of(err) != problem.Unavailable || !strings.Contains(err.Error(), "keeps ending") {
		t.Errorf("ready after %d deaths: %v", crashLoop, err)
	}
}

// Promise: Open fails, and says why, when the query process cannot be started.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"no such program": {filepath.Join(t.TempDir(), "nothing")},
		"another program": {"/bin/false"},
	} {
		cfg := config(t.TempDir())
		cfg.Command = command
		if w, err := Open(t.Context(), cfg); err == nil {
			w.Close()
			t.Errorf("%s: opened", name)
		}
	}
	if w, err := Open(t.Context(), Config{Dir: t.TempDir()}); err == nil {
		w.Close()
		t.Error("opened without a command")
	}
}

// Promise: Close ends queries, keeps what was loaded, leaves no process, and whoever calls afterwards is told.
func TestClose(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	w, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Load(t.Context(), shop, []event.Record{track(1, shop, "e", "1")}); err != nil {
		t.Fatal(err)
	}
	rows, err := w.Run(t.Context(), shop, query.Statement{SQL: endless})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	p, err := w.live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !isClosed(p.dead) || p.exit != "exit status 0" {
		t.Errorf("the query process: %s", p.exit)
	}
	for err == nil {
		_, err = rows.Next()
	}
	if problem.Of(err) != problem.Unavailable {
		t.Errorf("a query that ran: %v", err)
	}
	if err := w.Load(t.Context(), shop, []event.Record{track(2, shop, "e", "2")}); problem.Of(err) != problem.Unavailable {
		t.Errorf("a load after Close: %v", err)
	}
	if _, err := os.Stat(w.sockets); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the sockets are left: %v", err)
	}
	if _, err := os.Stat(filePath(cfg.Dir, shop) + ".wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no checkpoint was written: %v", err)
	}
}

// beParent is a server that is going to be killed.
func beParent(dir string) error {
	w, err := Open(context.Background(), config(dir))
	if err != nil {
		return err
	}
	fmt.Println(w.Stats().PID)
	rows, err := w.Run(context.Background(), shop, query.Statement{SQL: "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"})
	if err == nil {
		_, err = rows.Next()
	}
	return err
}

// Promise: a query process does not outlive its server, even one that is killed while a statement runs.
func TestChildDoesNotOutliveParent(t *testing.T) {
	t.Parallel()
	parent := exec.Command(os.Args[0], parentCommand, t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	handle, err := unix.PidfdOpen(child, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(handle)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	const tenSeconds = 10_000
	n, err := 0, error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, tenSeconds)
	}
	if err != nil || n != 1 {
		t.Fatalf("the query process lives on: %v", err)
	}
}

// Promise: the query process gets nothing of its server's environment.
func TestEnvironment(t *testing.T) {
	t.Setenv("WEIR_TEST_SECRET", "hunter2")
	w := open(t, nil)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", w.Stats().PID))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter2") || !strings.Contains(string(text), "TZ=UTC") {
		t.Fatalf("the environment is %q", text)
	}
}

// behindWalls says what the process can still do, one word for each.
func behindWalls(dir string) error {
	const memory = 256 << 20
	walls, err := raiseWalls(dir, memory)
	if err != nil {
		return err
	}
	if strings.Contains(walls.standing, "landlock") {
		fmt.Print("landlock ")
	}
	if _, err := os.ReadFile("/etc/passwd"); err == nil {
		fmt.Print("reads ")
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "outside"), nil, 0o600); err == nil {
		fmt.Print("writes ")
	}
	if err := exec.Command("/bin/true").Run(); err == nil {
		fmt.Print("executes ")
	}
	if err := os.WriteFile(filepath.Join(dir, "inside"), []byte("x"), 0o600); err == nil {
		fmt.Print("works ")
	}
	if _, err := unix.Mmap(-1, 0, 2*memory, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE); err == nil {
		fmt.Print("grows ")
	}
	return nil
}

// Promise: behind the walls there is no more memory than given; and where the kernel has Landlock, no file but the
// warehouse's.
func TestWalls(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "warehouse")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(os.Args[0], wallsCommand, dir).CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	switch can := string(out); can {
	case "landlock works ":
	case "reads writes executes works ":
		t.Log("this kernel has no Landlock")
	default:
		t.Fatalf("behind the walls, a process %s", can)
	}
}

// Promise: killing the query process while properties become columns leaves files in which every column says what its
// property says, at every moment and for every event.
func TestKilledWhileFilling(t *testing.T) {
	t.Parallel()
	w := open(t, func(c *Config) { c.promotedRows = 1 })
	const kills, each, properties = 5, 500, 12
	over := make(chan struct{})
	var killer, asker sync.WaitGroup
	killer.Go(func() {
		defer close(over)
		for pid := 0; w.Stats().Restarts < kills; {
			awaitNext(t, w, pid)
			pid = w.Stats().PID
			<-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	unlike := func(n int) string {
		return fmt.Sprintf("SELECT count(*) FROM events WHERE (properties->>'p%[1]d')::BIGINT IS DISTINCT FROM (json_extract(properties, '$.p%[1]d'))::BIGINT", n)
	}
	asker.Go(func() {
		for n := 0; !isClosed(over); n++ {
			got, err := answerTo(t, w, shop, unlike(n/8%properties))
			if err == nil && (len(got) != 1 || got[0] != "[0]") {
				t.Errorf("a column is not its property: %v", got)
			}
		}
	})
	last := 0
	for !isClosed(over) {
		records := make([]event.Record, each)
		for i := range records {
			last++
			e := own(last, shop, "e", strconv.Itoa(last))
			text := "{"
			for p := range properties {
				text += fmt.Sprintf(`"p%d":%d,`, p, last*p)
			}
			decoded, _ := event.DecodeEvent(e.Data)
			decoded.Properties = []byte(text + `"end":true}`)
			records[i] = event.Record{Position: e.Position, Data: event.AppendEvent(nil, &decoded)}
		}
		if err := loadAgain(t.Context(), w, shop, records); err != nil {
			t.Fatal(err)
		}
	}
	killer.Wait()
	asker.Wait()
	for p := range enoughAsks * properties {
		if got, err := answerTo(t, w, shop, unlike(p%properties)); err != nil || len(got) != 1 || got[0] != "[0]" {
			t.Fatalf("p%d after %d kills and %d records: %v, %v", p, w.Stats().Restarts, last, got, err)
		}
	}
	for w.Stats().Columns < properties || w.Stats().Filling == 0 {
		last++
		if err := loadAgain(t.Context(), w, shop, []event.Record{own(last, shop, "e", "last"+strconv.Itoa(last))}); err != nil {
			t.Fatal(err)
		}
	}
}
