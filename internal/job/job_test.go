package job_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// memory is a job.Store in memory.
type memory struct {
	mu   sync.Mutex
	jobs map[string]job.Job
	fail error
	busy int    // how many saves fail from now on
	kept func() // called when a job was inserted
}

func (m *memory) InsertJob(_ context.Context, j job.Job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		m.jobs[j.ID] = j
	}
	if m.kept != nil {
		m.mu.Unlock()
		m.kept()
		m.mu.Lock()
	}
	return m.fail
}

func (m *memory) SaveJob(_ context.Context, j job.Job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy--; m.busy >= 0 {
		return problem.New(problem.Unavailable, "The store is busy.")
	}
	if !m.jobs[j.ID].State.Over() {
		m.jobs[j.ID] = j
	}
	return nil
}

func (m *memory) FindJob(_ context.Context, project, id string) (job.Job, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j, found := m.jobs[id]
	return j, found && j.Project == project, nil
}

func (m *memory) Jobs(_ context.Context, q job.Query) (list []job.Job, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		if j.Project == q.Project {
			list = append(list, j)
		}
	}
	slices.SortFunc(list, func(a, b job.Job) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return list[:min(len(list), q.Limit)], nil
}

func (m *memory) OpenJobs(context.Context) (list []job.Job, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		if !j.State.Over() {
			list = append(list, j)
		}
	}
	return list, nil
}

func (m *memory) TrimJobs(_ context.Context, before time.Time, _ int) (ids []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, j := range m.jobs {
		if j.State.Over() && j.EndedAt.Before(before) {
			ids = append(ids, id)
			delete(m.jobs, id)
		}
	}
	return ids, nil
}

func start() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

// house is a runner with what it stands on.
type house struct {
	*testing.T
	store  *memory
	dir    string
	kinds  map[string]job.Work
	stands func(job.Job) error
	permit gate.Permit
	age    time.Duration // of the house
	made   int
}

func newHouse(t *testing.T) *house {
	return &house{
		T: t, store: &memory{jobs: map[string]job.Job{}}, dir: t.TempDir(), kinds: map[string]job.Work{},
		permit: gatetest.New(t).Permit(access.Attempt{Action: access.HoldKey}),
	}
}

// open starts a runner; the function stops it.
func (h *house) open() (*job.Runner, func()) { return h.openWith(func(*job.Config) {}) }

func (h *house) openWith(adjust func(*job.Config), then ...func(*job.Runner)) (*job.Runner, func()) {
	cfg := job.Config{
		Store: h.store, Dir: h.dir, Kinds: h.kinds, Stands: h.stands, Waiting: 5, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return start().Add(h.age) }, NewID: func() string { h.made++; return strconv.Itoa(h.made) },
	}
	adjust(&cfg)
	r := job.New(cfg)
	for _, do := range then {
		do(r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := r.Run(ctx); err != nil {
			h.Error(err)
		}
	}()
	return r, func() { cancel(); <-over }
}

func (h *house) submit(r *job.Runner, w job.Wanted) job.Job {
	h.Helper()
	j, err := r.Submit(h.Context(), h.permit, w)
	if err != nil {
		h.Fatal(err)
	}
	return j
}

// ended waits for a job to be over.
func (h *house) ended(r *job.Runner, id string) job.Job {
	h.Helper()
	if err := r.Await(h.Context(), id); err != nil {
		h.Fatal(err)
	}
	j, found, err := r.Find(h.Context(), h.permit.Project(), id)
	if err != nil || !found {
		h.Fatal(found, err)
	}
	return j
}

// Promise: a job is done, with its files in a folder of its own, and what became of it is told: also of one that fails, and
// of one that panics.
func TestJobsAreDone(t *testing.T) {
	h := newHouse(t)
	h.kinds["good"] = func(_ context.Context, run *job.Run) error {
		text, err := os.ReadFile(filepath.Join(run.Folder(), "in"))
		run.Result(jsontext.Value(fmt.Sprintf("%q", text)))
		return errors.Join(err, run.Tell(job.Progress{Done: 2, Total: 2, Good: 1, Refused: 1}))
	}
	h.kinds["bad"] = func(context.Context, *job.Run) error { return problem.New(problem.Conflict, "It is not so.") }
	h.kinds["fault"] = func(context.Context, *job.Run) error { return errors.New("secret") }
	h.kinds["panic"] = func(context.Context, *job.Run) error { panic("secret") }
	r, stop := h.open()
	defer stop()
	temp, err := r.Temp()
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(temp, "x")
	if err := os.WriteFile(from, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := make(chan job.Job, 1)
	j := h.submit(r, job.Wanted{Kind: "good", Environment: "production", About: "it", Files: map[string]string{"in": from}, Ended: func(j job.Job) { told <- j }})
	j = h.ended(r, j.ID)
	if j.State != job.Succeeded || string(j.Result) != `"text"` || j.Progress != (job.Progress{Done: 2, Total: 2, Good: 1, Refused: 1}) || !j.Live || j.Starts != 1 {
		t.Errorf("it is %+v", j)
	}
	if got := <-told; got.State != job.Succeeded {
		t.Errorf("told %+v", got)
	}
	for kind, want := range map[string]problem.Code{"bad": problem.Conflict, "fault": problem.Internal, "panic": problem.Internal} {
		j := h.ended(r, h.submit(r, job.Wanted{Kind: kind}).ID)
		if j.State != job.Failed || j.Code != want || j.EndedAt.IsZero() || j.Detail == "secret" {
			t.Errorf("%s: %+v", kind, j)
		}
	}
	if _, err := r.Submit(t.Context(), h.permit, job.Wanted{Kind: "unknown"}); err == nil {
		t.Error("an unknown kind was taken")
	}
	h.store.fail = errors.New("the disk is full")
	if _, err := r.Submit(t.Context(), h.permit, job.Wanted{Kind: "good"}); !errors.Is(err, h.store.fail) {
		t.Errorf("submitted: %v", err)
	}
}

// Promise: a job that the server stopped in goes on at the next start from the place it kept, and one that never ends is
// given up.
func TestJobsGoOn(t *testing.T) {
	h := newHouse(t)
	begun := make(chan string, 1)
	h.kinds["long"] = func(ctx context.Context, run *job.Run) error {
		at := string(run.Job().Place)
		if err := run.Keep(job.Progress{Done: 1}, jsontext.Value(strconv.Itoa(run.Job().Starts))); err != nil {
			return err
		}
		begun <- at
		<-ctx.Done()
		return ctx.Err()
	}
	r, stop := h.open()
	id := h.submit(r, job.Wanted{Kind: "long"}).ID
	for n := range 10 {
		want := ""
		if n > 0 {
			want = strconv.Itoa(n)
		}
		if got := <-begun; got != want {
			t.Fatalf("start %d began at %q", n+1, got)
		}
		stop()
		if h.store.jobs[id].State != job.Running {
			t.Fatalf("it is %+v", h.store.jobs[id])
		}
		r, stop = h.open()
	}
	defer stop()
	if j := h.givenUp(r, id); j.State != job.Failed || j.Code != problem.Internal {
		t.Errorf("it is %+v", j)
	}
}

// givenUp waits for a job that may not be taken up yet.
func (h *house) givenUp(r *job.Runner, id string) job.Job {
	for {
		if j := h.ended(r, id); j.State.Over() {
			return j
		}
	}
}

// Promise: a job that is wanted while the program starts, and that the start finds in the store, is done once, and whoever wanted it is
// told.
func TestAJobAtTheStartIsDoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var times atomic.Int64
		let := make(chan struct{})
		h.kinds["good"] = func(context.Context, *job.Run) error {
			times.Add(1)
			<-let
			return nil
		}
		r := job.New(job.Config{
			Store: h.store, Dir: h.dir, Kinds: h.kinds, Now: start, NewID: func() string { return "1" }, Log: slog.New(slog.DiscardHandler),
		})
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		h.store.kept = func() {
			go func() { over <- r.Run(ctx) }()
			synctest.Wait() // the start has found it
		}
		told := make(chan job.Job, 9)
		h.submit(r, job.Wanted{Kind: "good", Ended: func(j job.Job) { told <- j }})
		synctest.Wait()
		close(let)
		if j := <-told; j.State != job.Succeeded {
			t.Errorf("it is %+v", j)
		}
		stop()
		if err := <-over; err != nil || times.Load() != 1 {
			t.Errorf("it was done %d times, %v", times.Load(), err)
		}
	})
}

// Promise: a job of a kind that a program does not know is left alone, and goes on with one that does.
func TestUnknownKindsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.kinds["new"] = func(context.Context, *job.Run) error { return nil }
		id := h.submit(job.New(job.Config{
			Store: h.store, Dir: h.dir, Kinds: h.kinds, Now: start, NewID: func() string { return "1" }, Log: slog.New(slog.DiscardHandler),
		}), job.Wanted{Kind: "new"}).ID
		_, stop := h.openWith(func(cfg *job.Config) { cfg.Kinds = nil })
		synctest.Wait()
		stop()
		if got := h.store.jobs[id]; got.State != job.Queued {
			t.Fatalf("it is %+v", got)
		}
		r, stop := h.open()
		defer stop()
		synctest.Wait()
		if j := h.ended(r, id); j.State != job.Succeeded {
			t.Errorf("it is %+v", j)
		}
	})
}

// Promise: a job that is cancelled ends, whether it is begun or not, and so does one whose key may not go on.
func TestJobsEnd(t *testing.T) {
	h := newHouse(t)
	var mu sync.Mutex
	var gone error
	h.stands = func(job.Job) error {
		mu.Lock()
		defer mu.Unlock()
		return gone
	}
	begun := make(chan struct{}, 9)
	h.kinds["wait"] = func(ctx context.Context, _ *job.Run) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	h.kinds["ask"] = func(_ context.Context, run *job.Run) error {
		for {
			if err := run.Keep(job.Progress{}, nil); err != nil {
				return err
			}
		}
	}
	r, stop := h.open()
	defer stop()
	first, second := h.submit(r, job.Wanted{Kind: "wait"}), h.submit(r, job.Wanted{Kind: "wait"})
	<-begun
	<-begun
	third := h.submit(r, job.Wanted{Kind: "wait"})
	for range 2 {
		h.submit(r, job.Wanted{Kind: "wait"})
	}
	if _, err := r.Submit(t.Context(), h.permit, job.Wanted{Kind: "wait"}); problem.Of(err) != problem.Unavailable {
		t.Errorf("a sixth job: %v", err)
	}
	cancelled, end := context.WithCancel(t.Context())
	end()
	r.Cancel(cancelled, third.ID) // it waits for its turn
	r.Cancel(t.Context(), first.ID)
	for _, id := range []string{first.ID, third.ID} {
		if j := h.ended(r, id); j.State != job.Cancelled {
			t.Errorf("it is %+v", j)
		}
	}
	r.Cancel(t.Context(), second.ID)
	list, _, err := r.List(t.Context(), h.permit, job.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range list {
		r.Cancel(t.Context(), j.ID)
	}
	asking := h.submit(r, job.Wanted{Kind: "ask"})
	mu.Lock()
	gone = problem.New(problem.KeyNotAccepted, "The key is revoked.")
	mu.Unlock()
	if j := h.ended(r, asking.ID); j.State != job.Failed || j.Code != problem.KeyNotAccepted {
		t.Errorf("it is %+v", j)
	}
	r.Cancel(t.Context(), asking.ID)
}

// Promise: whoever must have jobs ended, even from within a job while no other can run, has them ended: those that run, and
// those that wait for their turn; all others go on.
func TestJobsThatAreMeantEnd(t *testing.T) {
	h := newHouse(t)
	begun := make(chan struct{}, 9)
	h.kinds["wait"] = func(ctx context.Context, _ *job.Run) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	var r *job.Runner
	ends, ended := make(chan struct{}), make(chan int64, 1)
	h.kinds["end"] = func(ctx context.Context, run *job.Run) error {
		begun <- struct{}{}
		<-ends
		n, err := r.CancelIf(ctx, run.Job().Project, "", func(j job.Job) bool { return j.About == "meant" })
		ended <- n
		return err
	}
	r, stop := h.open()
	defer stop()
	told := make(chan job.Job, 9)
	ender, running := h.submit(r, job.Wanted{Kind: "end"}), h.submit(r, job.Wanted{Kind: "wait", About: "meant"})
	<-begun
	<-begun
	waiting := h.submit(r, job.Wanted{Kind: "wait", About: "meant", Ended: func(j job.Job) { told <- j }})
	other := h.submit(r, job.Wanted{Kind: "wait", About: "other"})
	close(ends)
	if n := <-ended; n != 2 {
		t.Errorf("ended %d", n)
	}
	for id, want := range map[string]job.State{running.ID: job.Cancelled, waiting.ID: job.Cancelled, ender.ID: job.Succeeded} {
		if j := h.ended(r, id); j.State != want {
			t.Errorf("it is %+v", j)
		}
	}
	if j := <-told; j.State != job.Cancelled {
		t.Errorf("told %+v", j)
	}
	<-begun // the other has its turn
	if n, err := r.CancelIf(t.Context(), h.permit.Project(), "", func(j job.Job) bool { return j.ID == other.ID }); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func (m *memory) fails(times int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = times
}

// Promise: a store that is busy or is started again fails no job: not when it begins, nor when it keeps its place, nor when it
// is over; one that is away for good fails what is under way, and what became of a job is kept before it is told.
func TestJobsOutliveABusyStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.kinds["keep"] = func(_ context.Context, run *job.Run) error {
			h.store.fails(30)
			err := run.Keep(job.Progress{Done: 1}, nil)
			h.store.fails(300)
			return err
		}
		h.kinds["lose"] = func(_ context.Context, run *job.Run) error {
			h.store.fails(60)
			return run.Keep(job.Progress{Done: 1}, nil)
		}
		r, stop := h.open()
		defer stop()
		for kind, want := range map[string]job.State{"keep": job.Succeeded, "lose": job.Failed} {
			h.store.fails(30)
			j := h.ended(r, h.submit(r, job.Wanted{Kind: kind}).ID)
			if j.State != want || h.store.jobs[j.ID].State != want {
				t.Errorf("%s is %+v, kept %+v", kind, j, h.store.jobs[j.ID])
			}
		}
	})
}

// Promise: a server that stops while it cannot keep what became of a job stops, and the job is done again at the next start;
// whoever wanted it ended is not told that it is.
func TestWhatCouldNotBeKeptIsOpenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.kinds["good"] = func(context.Context, *job.Run) error { return nil }
		h.kinds["wait"] = func(ctx context.Context, _ *job.Run) error {
			<-ctx.Done()
			return ctx.Err()
		}
		r, stop := h.openWith(func(cfg *job.Config) { cfg.Workers = 1 })
		running := h.submit(r, job.Wanted{Kind: "wait"})
		synctest.Wait()
		waiting := h.submit(r, job.Wanted{Kind: "good"})
		h.store.fails(1 << 30)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := r.CancelIf(ctx, h.permit.Project(), "", func(j job.Job) bool { return j.ID == waiting.ID }); problem.Of(err) != problem.Unavailable {
			t.Errorf("it is ended: %v", err)
		}
		stop()
		h.store.fails(0)
		r, stop = h.open()
		defer stop()
		synctest.Wait() // it has been taken up
		if j := h.ended(r, waiting.ID); j.State != job.Succeeded {
			t.Errorf("it is %+v", j)
		}
		r.Cancel(t.Context(), running.ID)
	})
}

// Promise: what ended long ago is forgotten, with its folder.
func TestOldJobsAreForgotten(t *testing.T) {
	h := newHouse(t)
	h.kinds["good"] = func(context.Context, *job.Run) error { return nil }
	r, stop := h.open()
	j := h.ended(r, h.submit(r, job.Wanted{Kind: "good"}).ID)
	if _, err := os.Stat(r.Folder(j)); err != nil {
		t.Error(err)
	}
	stop()
	h.age = 8 * 24 * time.Hour
	r, stop = h.open()
	h.ended(r, h.submit(r, job.Wanted{Kind: "good"}).ID)
	defer stop()
	if _, found, _ := r.Find(t.Context(), h.permit.Project(), j.ID); found {
		t.Error("it is still there")
	}
	if _, err := os.Stat(r.Folder(j)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := r.List(t.Context(), h.permit, job.Query{}); problem.Of(err) != problem.InvalidField {
		t.Error(err)
	}
}
