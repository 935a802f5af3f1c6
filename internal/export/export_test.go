package export_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// memory is a job.Store in memory.
type memory struct {
	mu   sync.Mutex
	jobs map[string]job.Job
}

func (m *memory) InsertJob(_ context.Context, j job.Job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs[j.ID] = j
	return nil
}

func (m *memory) SaveJob(_ context.Context, j job.Job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
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
		if j.Project == q.Project && (q.Owner == "" || q.Owner == j.Owner) {
			list = append(list, j)
		}
	}
	slices.SortFunc(list, func(a, b job.Job) int { return strings.Compare(b.ID, a.ID) })
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

func (*memory) TrimJobs(context.Context, time.Time, int) ([]string, error) { return nil, nil }

// table is rows that a test lets go one by one.
type table struct {
	mu    sync.Mutex
	rows  []string
	walks []query.Walk
	at    func(i int) error // called before each row
	fail  error
}

// Walk implements export.Rows.
func (t *table) Walk(ctx context.Context, w query.Walk, columns func([]query.Column) error, row func(jsontext.Value) error) error {
	t.mu.Lock()
	t.walks = append(t.walks, w)
	rows, at, fail := slices.Clone(t.rows), t.at, t.fail
	t.mu.Unlock()
	if fail != nil {
		return fail
	}
	if err := columns([]query.Column{{Name: "event", Type: "VARCHAR"}}); err != nil {
		return err
	}
	for i, text := range rows {
		if at != nil {
			if err := at(i); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := row(jsontext.Value(fmt.Sprintf("[%q]", text))); err != nil {
			return err
		}
	}
	return nil
}

// none has no datasets.
type none struct{}

// Walk implements export.Datasets.
func (none) Walk(context.Context, dataset.Walked, string, func(*dataset.Record) error) error {
	return errors.New("there are none")
}

// Class implements export.Datasets.
func (none) Class(context.Context, dataset.Walked) (access.Class, bool, error) { return 0, false, nil }

// house is exports with what they stand on.
type house struct {
	*testing.T
	world   *gatetest.World
	store   *memory
	dir     string
	table   *table
	text    string // of the key that asks
	permit  gate.Permit
	change  func(*export.Config)
	paid    []int64
	settled map[string]bool // the exports that are paid
	made    int
}

func newHouse(t *testing.T, key access.Key) *house {
	h := &house{T: t, world: gatetest.New(t), store: &memory{jobs: map[string]job.Job{}}, dir: t.TempDir(), table: &table{}, settled: map[string]bool{}}
	for i := range 5000 {
		h.table.rows = append(h.table.rows, "e"+strconv.Itoa(i))
	}
	key.Scopes |= access.ExportsRun
	h.text = h.world.Mint(key)
	h.permit = h.ask(access.WriteExports, h.text)
	return h
}

func (h *house) ask(action access.Action, text string) gate.Permit {
	h.Helper()
	permit, err := h.world.Ask(text, access.Attempt{Action: action, Targets: []access.Target{{Environment: "production"}}})
	if err != nil {
		h.Fatal(err)
	}
	return permit
}

// Hold, SettleHeld and HoldOnly are the house's as job.Charges: each export is paid once, and then never again.
func (h *house) Hold(context.Context, gate.Permit, string) error { return nil }

func (h *house) HoldOnly([]string) {}

func (h *house) SettleHeld(_ context.Context, held gate.Held, credits int64) error {
	if h.settled[held.Name] {
		return nil
	}
	h.settled[held.Name], h.paid = true, append(h.paid, credits)
	return nil
}

// open starts exports; the function stops them.
func (h *house) open() (*export.Service, *job.Runner, func()) {
	jobs := job.New(job.Config{
		Store: h.store, Dir: filepath.Join(h.dir, "jobs"), Log: slog.New(slog.DiscardHandler), Now: h.world.Clock.Now,
		NewID: func() string { h.made++; return strconv.Itoa(h.made) }, Stands: job.Standing(h.world.Keys, h.world.Clock.Now), Charges: h,
	})
	cfg := export.Config{
		Dir: filepath.Join(h.dir, "exports"), Jobs: jobs, Rows: h.table, Datasets: none{}, Keys: h.world.Keys, Now: h.world.Clock.Now,
		Log: slog.New(slog.DiscardHandler), Derive: func(string) ([]byte, error) { return make([]byte, 32), nil },
	}
	if h.change != nil {
		h.change(&cfg)
	}
	s := export.New(cfg)
	jobs.Handle(export.Kind, s.Work)
	jobs.Price(export.Kind, export.Price())
	ctx, cancel := context.WithCancel(context.Background())
	var over sync.WaitGroup
	over.Go(func() {
		if err := jobs.Run(ctx); err != nil {
			h.Error(err)
		}
	})
	return s, jobs, func() { cancel(); over.Wait() }
}

func (h *house) start(s *export.Service, a export.Ask) export.Export {
	h.Helper()
	permit, attempt := h.permit, access.Attempt{Targets: []access.Target{{Environment: "production"}}}
	e, err := s.Start(h.Context(), permit, a, nil, export.Asker{
		Still: func() error { return h.world.Gate.Watch(permit, attempt) },
	})
	if err != nil {
		h.Fatal(err)
	}
	return e
}

func (h *house) ended(s *export.Service, jobs *job.Runner, id string) export.Export {
	h.Helper()
	for {
		if err := jobs.Await(h.Context(), id); err != nil {
			h.Fatal(err)
		}
		e, err := s.Find(h.Context(), h.permit.Project(), id)
		if err != nil || e.Job.ID == "" {
			h.Fatal(e, err)
		}
		if e.Job.State.Over() {
			return e
		}
		runtime.Gosched() // the runner has just been started, and has not taken it up
	}
}

// read reads the file of an export.
func (h *house) read(s *export.Service, e export.Export) (text string, err error) {
	h.Helper()
	f, err := s.Open(h.ask(access.FetchExports, h.text), &e)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	all, err := io.ReadAll(f)
	return string(all), err
}

func lines(text string) int { return strings.Count(text, "\n") }

// files are what there is in the folder of exports.
func (h *house) files() (names []string) {
	h.Helper()
	err := filepath.WalkDir(filepath.Join(h.dir, "exports"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return nil
	})
	if err != nil {
		h.Fatal(err)
	}
	return names
}

// Promise: an export in whose middle the server stops is made whole at the next start, once; what it costs is paid then,
// in full, and never again.
func TestExportsGoOn(t *testing.T) {
	h := newHouse(t, access.Key{})
	reached, stopped := make(chan struct{}), make(chan struct{})
	h.table.at = func(i int) error {
		if i == 2500 {
			close(reached)
			<-stopped
		}
		return nil
	}
	s, _, stop := h.open()
	e := h.start(s, export.Ask{Of: export.Events, Columns: []string{"event"}})
	<-reached
	go func() { time.AfterFunc(50*time.Millisecond, func() { close(stopped) }) }()
	stop()
	if len(h.paid) != 0 || h.store.jobs[e.Job.ID].State.Over() {
		t.Fatalf("paid %v; it is %s", h.paid, h.store.jobs[e.Job.ID].State)
	}
	h.table.at = nil
	s, jobs, stop := h.open()
	defer stop()
	e = h.ended(s, jobs, e.Job.ID)
	if e.Job.State != job.Succeeded || e.Job.Starts != 2 || e.Rows != 5000 || e.Credits != 6 || !slices.Equal(h.paid, []int64{6}) {
		t.Fatalf("paid %v: %+v", h.paid, e)
	}
	for range 2 {
		if text, err := h.read(s, e); err != nil || lines(text) != 5000 || len(h.paid) != 1 {
			t.Errorf("%d lines, paid %v: %v", lines(text), h.paid, err)
		}
	}
}

// Promise: an export ends when its key is revoked, loses the right or sees less, also one that goes on after a restart, and
// leaves no file.
func TestExportsOfNarrowedKeysEnd(t *testing.T) {
	hides := &access.View{Tables: []access.ViewTable{{Name: "events", Atoms: []access.Atom{{Does: access.Hide, Name: "key_id"}}}}}
	for name, change := range map[string]func(*access.Key){
		"revoked":       func(k *access.Key) { k.RevokedAt = time.Date(2026, 6, 1, 11, 0, 0, 0, time.UTC) },
		"without right": func(k *access.Key) { k.Scopes = access.EventsRead },
		"sees less":     func(k *access.Key) { k.View = hides },
		"elsewhere":     func(k *access.Key) { k.Environments = []string{"staging"} },
	} {
		for _, restarted := range []bool{false, true} {
			h := newHouse(t, access.Key{})
			reached := make(chan struct{}, 1)
			wait := make(chan struct{})
			h.table.at = func(i int) error {
				if i == 100 {
					select {
					case reached <- struct{}{}:
					default:
					}
					<-wait
				}
				return nil
			}
			s, jobs, stop := h.open()
			e := h.start(s, export.Ask{Of: export.Events, Columns: []string{"event"}})
			<-reached
			if restarted {
				go func() { time.AfterFunc(20*time.Millisecond, func() { close(wait) }) }()
				stop()
				wait = make(chan struct{})
				h.world.Keys.Change(h.text, change)
				s, jobs, stop = h.open()
			} else {
				h.world.Keys.Change(h.text, change)
			}
			time.AfterFunc(600*time.Millisecond, func() { close(wait) })
			e = h.ended(s, jobs, e.Job.ID)
			if e.Job.State != job.Failed || e.Bytes != 0 || len(h.files()) != 0 {
				t.Errorf("%s, restarted: %t: it %s with %d rows, %v", name, restarted, e.Job.State, e.Rows, h.files())
			}
			stop()
		}
	}
}

// Promise: an export that is being written when data is deleted is written anew, so that no file has what was deleted; what was
// whole is gone and says why.
func TestForgetWhileWriting(t *testing.T) {
	h := newHouse(t, access.Key{})
	s, jobs, stop := h.open()
	defer stop()
	whole := h.ended(s, jobs, h.start(s, export.Ask{Of: export.Events, Columns: []string{"event"}}).Job.ID)
	var once sync.Once
	h.table.at = func(i int) error {
		if i == 4000 {
			once.Do(func() {
				h.table.mu.Lock()
				h.table.rows = h.table.rows[1:] // e0 is deleted, which has been written by now
				h.table.mu.Unlock()
				if n, err := s.Forget(context.Background(), h.permit.Project(), "production", nil); err != nil || n != 1 {
					t.Errorf("%d files deleted, %v", n, err)
				}
			})
		}
		return nil
	}
	e := h.ended(s, jobs, h.start(s, export.Ask{Of: export.Events, Columns: []string{"event"}}).Job.ID)
	text, err := h.read(s, e)
	if err != nil || lines(text) != 4999 || strings.Contains(text, `"e0"`) || e.Rows != 4999 {
		t.Errorf("%d lines: %v", lines(text), err)
	}
	if _, err := h.read(s, whole); problem.Of(err) != problem.ExportGone {
		t.Errorf("the one before: %v", err)
	}
	if whole = h.ended(s, jobs, whole.Job.ID); whole.Gone.Reason != export.GoneForgotten || whole.Status(h.world.Clock.Now()) != "deleted" {
		t.Errorf("%+v", whole.Gone)
	}
	for _, bad := range [][2]string{{"..", "production"}, {"prj_1", "../x"}, {"a/b", "c"}} {
		if _, err := s.Forget(t.Context(), bad[0], bad[1], nil); err == nil {
			t.Errorf("%v is no space", bad)
		}
	}
}

// Promise: an export stops where the disk or the project has no more room, at its time, and at what the engine says, and leaves
// nothing behind; what it was set aside for is given back when that was no fault of whoever asked.
func TestExportsAreBounded(t *testing.T) {
	const free = 1 << 40
	for name, c := range map[string]struct {
		change func(h *house, c *export.Config)
		code   problem.Code
		paid   int64
	}{
		"no disk": {func(_ *house, c *export.Config) {
			c.Reserve, c.Free = 1<<30, func() (int64, error) { return 1 << 20, nil }
		}, problem.StorageFull, 0},
		"too large":   {func(_ *house, c *export.Config) { c.Bytes = 10_000 }, problem.ResultTooLarge, 1},
		"a fault":     {func(h *house, _ *export.Config) { h.table.fail = errors.New("secret") }, problem.Internal, 0},
		"the engine":  {func(h *house, _ *export.Config) { h.table.fail = problem.New(problem.QueryTooHeavy, "It is.") }, problem.QueryTooHeavy, 1},
		"queue, long": {func(h *house, _ *export.Config) { h.table.fail = query.TooManyWaiting(1, 1) }, problem.QueryQueueFull, 0},
		"too long": {func(h *house, c *export.Config) {
			c.Time = time.Minute
			h.table.at = func(int) error { <-time.After(time.Second); return nil }
		}, problem.QueryTimeout, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, access.Key{})
			h.change = func(cfg *export.Config) {
				cfg.Free = func() (int64, error) { return free, nil }
				c.change(h, cfg)
			}
			s, jobs, stop := h.open()
			e := h.ended(s, jobs, h.start(s, export.Ask{Of: export.Events, Columns: []string{"event"}}).Job.ID)
			if e.Job.State != job.Failed || e.Job.Code != c.code || len(h.files()) != 0 || strings.Contains(e.Job.Detail, "secret") {
				t.Errorf("%s: it %s with %s: %s, %v", name, e.Job.State, e.Job.Code, e.Job.Detail, h.files())
			}
			want := problem.New(c.code, "").Status() < 500
			if len(h.paid) != 1 || (h.paid[0] == 1) != want {
				t.Errorf("%s: paid %v", name, h.paid)
			}
			stop()
		})
	}
}

// Promise: an export that is cancelled while it is written leaves no file, and a file is deleted at once when that is asked for.
func TestDelete(t *testing.T) {
	h := newHouse(t, access.Key{})
	s, jobs, stop := h.open()
	defer stop()
	reached := make(chan struct{})
	var once sync.Once
	release := make(chan struct{})
	h.table.at = func(int) error {
		once.Do(func() { close(reached); <-release })
		return nil
	}
	e := h.start(s, export.Ask{Of: export.Events, Columns: []string{"event"}})
	<-reached
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	if err := s.Delete(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	if e = h.ended(s, jobs, e.Job.ID); e.Job.State != job.Cancelled || !slices.Equal(h.files(), []string{e.Job.ID + ".gone"}) {
		t.Errorf("it %s; there is %v", e.Job.State, h.files())
	}
	e = h.ended(s, jobs, h.start(s, export.Ask{Of: export.Events, Columns: []string{"event"}}).Job.ID)
	if _, err := h.read(s, e); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Delete(t.Context(), &e), s.Delete(t.Context(), &e)); err != nil {
		t.Fatal(err)
	}
	e = h.ended(s, jobs, e.Job.ID)
	if _, err := h.read(s, e); problem.Of(err) != problem.ExportGone || e.Gone.Reason != export.GoneDeleted {
		t.Errorf("%+v: %v", e.Gone, err)
	}
}

// Promise: what was written is swept away when its time is over, and what a crash has left behind as well.
func TestSweep(t *testing.T) {
	h := newHouse(t, access.Key{})
	s, jobs, stop := h.open()
	defer stop()
	e := h.ended(s, jobs, h.start(s, export.Ask{Of: export.Events, Columns: []string{"event"}}).Job.ID)
	left := filepath.Join(h.dir, "exports", "prj_1", "production", "job_99.part")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, h.world.Clock.Now(), h.world.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	h.world.Clock.Advance(71 * time.Hour)
	if err := s.Sweep(); err != nil || len(h.files()) != 2 {
		t.Fatal(h.files(), err)
	}
	h.world.Clock.Advance(2 * time.Hour)
	if err := s.Sweep(); err != nil || len(h.files()) != 0 {
		t.Fatal(h.files(), err)
	}
	if _, err := h.read(s, e); problem.Of(err) != problem.ExportGone || e.Status(h.world.Clock.Now()) != export.Expired {
		t.Errorf("%s: %v", e.Status(h.world.Clock.Now()), err)
	}
}

// Promise: what a file is made of is a statement of names that are known to be columns, over the view of whoever asked; what was
// asked for as a condition is in the view, and never in the statement.
func TestTheStatementIsOurs(t *testing.T) {
	view := &access.View{Tables: []access.ViewTable{{Name: "events", Atoms: []access.Atom{
		{Does: access.Where, Name: "event", Text: `{"column":"event","op":"!=","values":["secret"]}`}, {Does: access.Hide, Name: "properties"},
	}}}}
	h := newHouse(t, access.Key{Bounds: access.Bounds{View: view}})
	s, jobs, stop := h.open()
	defer stop()
	const hostile = `[{"column":"distinct_id","op":"=","value":"x' OR 1=1 --\"]},\"persons\":{"}]`
	h.ended(s, jobs, h.start(s, export.Ask{Of: export.Events, Where: jsontext.Value(hostile), Limit: 9}).Job.ID)
	w := h.table.walks[0]
	const want = `SELECT "event_id", "event", "timestamp", "received_at", "distinct_id", "anonymous_id", "device_id", "session_id", "key_id", "source", "person_id" FROM events LIMIT 9`
	if w.SQL != want || len(w.Named) != 0 || len(w.Scope.Tables) != 1 || len(w.Scope.Tables[0].Where) != 2 {
		t.Errorf("%s\n%+v", w.SQL, w.Scope)
	}
}
