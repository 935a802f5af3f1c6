package query_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// runShelf keeps runs in memory.
type runShelf struct {
	mu   sync.Mutex
	runs map[string]query.Run
	fail error
}

func (s *runShelf) KeepRuns(_ context.Context, runs []query.Run) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, r := range runs {
		if now, there := s.runs[r.ID]; !there || now.Status == query.Running {
			s.runs[r.ID] = r
		}
	}
	return nil
}

func (s *runShelf) Runs(_ context.Context, q query.RunQuery) (list []query.Run, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r.Project == q.Project && (q.ID == "" || q.ID == r.ID) && (q.KeyID == "" || q.KeyID == r.KeyID) && (q.Owner == "" || q.Owner == r.Owner) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b query.Run) int { return cmp.Compare(b.ID, a.ID) })
	return list[:min(len(list), q.Limit)], nil
}

func (s *runShelf) LoseRuns(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.runs {
		if r.Status == query.Running {
			r.Status = query.Lost
			s.runs[id] = r
		}
	}
	return nil
}

func (s *runShelf) TrimRuns(context.Context, time.Time, int) (int, error) { return 0, nil }

func (s *runShelf) of(id string) query.Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[id]
}

func newShelf(runs ...query.Run) *runShelf {
	s := &runShelf{runs: map[string]query.Run{}}
	for _, r := range runs {
		s.runs[r.ID] = r
	}
	return s
}

// running starts Runs with an ear for their log. They end with the function that is given.
func running(t *testing.T, now func() time.Time, store query.RunStore, change func(*query.RunsConfig)) (r *query.Runs, end func()) {
	t.Helper()
	cfg := query.RunsConfig{Store: store, Now: now, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	r = query.NewRuns(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = r.Run(ctx)
	}()
	return r, func() {
		cancel()
		<-over
	}
}

// named is a question with a name, that comes to 5 credits.
func named(id string) query.Asked {
	return query.Asked{Question: query.Question{SQL: "SELECT 1 /* sk_live_x */"}, Note: query.Note{ID: id, Credits: func(*query.Answer, error) int64 { return 5 }}}
}

// later is a job, and what it was charged.
func later(id string, settled *charges) query.Job {
	return query.Job{Asked: named(id), Still: func() error { return nil }, Settle: settled.add}
}

// charges are credits that were settled.
type charges struct {
	mu   sync.Mutex
	list []int64
}

func (c *charges) add(credits int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, credits)
	return nil
}

func (c *charges) all() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

// Promise: what becomes of a question is in the history a moment later, and the store's troubles are not the asker's.
func TestRunsAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, store := permit(t), newShelf(query.Run{ID: "qry_before", Project: "prj_1", Status: query.Running})
		r, end := running(t, time.Now, store, nil)
		defer end()
		a, err := r.Ask(t.Context(), service(t, numbers(3)), p, named("qry_1"))
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		store.mu.Lock()
		store.fail = errors.New("the store is away")
		store.mu.Unlock()
		if _, err := r.Ask(t.Context(), service(t, &engine{err: problem.New(problem.InvalidSQL, "no")}), p, named("qry_2")); problem.Of(err) != problem.InvalidSQL {
			t.Error(err)
		}
		if found, ok, err := r.Find(t.Context(), "prj_1", "qry_2"); err != nil || !ok || found.Status != query.Failed {
			t.Errorf("%+v, %v", found, err)
		}
		if _, ok, _ := r.Find(t.Context(), "prj_2", "qry_2"); ok {
			t.Error("another project finds it")
		}
		<-time.After(time.Second)
		store.mu.Lock()
		store.fail = nil
		store.mu.Unlock()
		list, _, err := r.List(t.Context(), p, query.RunFilter{Limit: 10, KeyID: p.Key().ID})
		if err != nil || len(list) != 2 || list[0].Code != problem.InvalidSQL || list[1].Status != query.Succeeded || list[1].Rows != 3 ||
			list[1].Credits != 5 || list[1].Bytes == 0 || list[1].SQL == "" {
			t.Errorf("%v\n%+v", err, list)
		}
		if lost := store.of("qry_before"); lost.Status != query.Lost {
			t.Errorf("what ran before is %s", lost.Status)
		}
	})
}

// Promise: a run whose sender names it as another that is under way, or is over and not written yet, is refused, and leaves that one
// in the history, where it can be cancelled.
func TestANameIsOfOneRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, let, p := newShelf(), make(chan struct{}), permit(t)
		once := func(sql string) query.Asked {
			q := saying("qry_1", sql)
			q.Once = true
			return q
		}
		r, end := running(t, time.Now, store, nil)
		first := make(chan error, 1)
		go func() {
			a, err := r.Ask(t.Context(), service(t, slowly{numbers(1), let}), p, once("SELECT 'first'"))
			if err == nil {
				_ = a.Close()
			}
			first <- err
		}()
		synctest.Wait()
		again := func() {
			t.Helper()
			if _, err := r.Ask(t.Context(), service(t, numbers(1)), p, once("SELECT 'second'")); problem.Of(err) != problem.Conflict {
				t.Errorf("the second of the name: %v", err)
			}
		}
		again()
		close(let)
		if err := <-first; err != nil {
			t.Error(err)
		}
		again()
		end()
		if run := store.of("qry_1"); run.SQL != "SELECT 'first'" || run.Status != query.Succeeded {
			t.Errorf("kept is %+v", run)
		}
	})
}

// Promise: of a statement at most 4 KiB are kept, and no part of who is named where it is cut; nothing when statements are not to be
// kept.
func TestStatementsAreKeptInPart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql  string
		hide bool
		want int
	}{
		"short":                {sql: "SELECT 'a'", want: 10},
		"just short enough":    {sql: "SELECT " + strings.Repeat("1", 4089), want: 4096},
		"hidden":               {sql: "SELECT 'a'", hide: true},
		"a long literal":       {sql: "SELECT '" + strings.Repeat("é", 5000) + "'", want: 6},
		"a name cut in two":    {sql: "SELECT " + strings.Repeat("1,", 2042) + `"a b c d e"`, want: 4090},
		"a literal cut in two": {sql: "SELECT " + strings.Repeat("1,", 2042) + "'ana smith', 2", want: 4090},
		"a word cut in two":    {sql: "SELECT " + strings.Repeat("1,", 2042) + "$$ana-4711$$", want: 4090},
		"one word":             {sql: strings.Repeat("é", 5000)},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := newShelf()
			r, end := running(t, time.Now, store, func(cfg *query.RunsConfig) { cfg.HideSQL = c.hide })
			q := named("qry_1")
			q.SQL = c.sql
			_, _ = r.Ask(t.Context(), service(t, &engine{err: problem.New(problem.InvalidSQL, "no")}), permit(t), q)
			end()
			if got := store.of("qry_1").SQL; len(got) != c.want || !strings.HasPrefix(c.sql, got) {
				t.Errorf("%s: %d bytes are kept, want %d: …%q", name, len(got), c.want, got[max(0, len(got)-20):])
			}
		})
	}
}

// Promise: a question in the background has its result until its time is over; it is charged once, when it is over.
func TestResultsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, store, s := permit(t), newShelf(), service(t, numbers(3))
		r, end := running(t, time.Now, store, nil)
		defer end()
		var settled charges
		if _, err := r.Submit(s, p, later("qry_1", &settled)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		run, _, _ := r.Find(t.Context(), "prj_1", "qry_1")
		if run.Status != query.Succeeded || !run.Background || !slices.Equal(settled.all(), []int64{5}) || r.ResultUntil("qry_1").IsZero() {
			t.Fatalf("%+v, settled %v", run, settled.all())
		}
		for range 2 {
			result, err := r.Result(s, p, run)
			if err != nil || result.Rows != 3 {
				t.Fatal(err)
			}
			var text strings.Builder
			if n, err := result.WriteTo(&text); err != nil || n != result.Size || !strings.Contains(text.String(), "[1]") {
				t.Errorf("%v: %s", err, text.String())
			}
			_ = result.Close()
		}
		narrowed := sighted(t, numbers(0), onlyFrance(), nil)
		if _, err := r.Result(narrowed, p, run); problem.Of(err) != problem.ResultGone {
			t.Errorf("in another scope: %v", err)
		}
		<-time.After(15*time.Minute + time.Second)
		if _, err := r.Result(s, p, run); problem.Of(err) != problem.ResultGone || !r.ResultUntil("qry_1").IsZero() {
			t.Errorf("after its time: %v", err)
		}
	})
}

// Promise: the results of a project are bounded in number; the oldest make room, and those of another project do not.
func TestResultsMakeRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := permit(t), service(t, numbers(1))
		r, end := running(t, time.Now, newShelf(), func(cfg *query.RunsConfig) { cfg.Results = 2 })
		defer end()
		var settled charges
		for n := range 4 {
			if _, err := r.Submit(s, p, later(fmt.Sprint("qry_", n), &settled)); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		for n := range 4 {
			if got := !r.ResultUntil(fmt.Sprint("qry_", n)).IsZero(); got != (n >= 2) {
				t.Errorf("result %d is there: %v", n, got)
			}
		}
		slow := service(t, &stalled{})
		for n := range 3 {
			_, err := r.Submit(slow, p, later(fmt.Sprint("qry_slow", n), &settled))
			if full := problem.Of(err) == problem.QueryQueueFull; full != (n == 2) {
				t.Errorf("submission %d: %v", n, err)
			}
		}
	})
}

// stalled is an engine whose statements run until they are stopped.
type stalled struct{ engine }

func (*stalled) Run(ctx context.Context, _ event.Space, _ query.Statement) (query.Rows, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Promise: a question in the background ends when it is cancelled, when its asker may no more, and when the program
// stops, and the history says which; whoever fetches the result is told.
func TestBackgroundRunsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happen func(r *query.Runs, stop, forbid func())
		status query.RunStatus
		code   problem.Code
	}{
		"cancelled": {func(r *query.Runs, _, _ func()) { r.Cancel(context.Background(), "qry_1") }, query.Cancelled, problem.QueryCancelled},
		"stopped":   {func(_ *query.Runs, stop, _ func()) { stop() }, query.Cancelled, problem.Unavailable},
		"forbidden": {func(_ *query.Runs, _, forbid func()) { forbid() }, query.Failed, problem.KeyNotAccepted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stopping, stop := context.WithCancel(t.Context())
				defer stop()
				var mu sync.Mutex
				var forbidden error
				p, store, s := permit(t), newShelf(), service(t, &stalled{})
				r, end := running(t, time.Now, store, func(cfg *query.RunsConfig) { cfg.Stopping = stopping })
				var settled charges
				job := later("qry_1", &settled)
				job.Still = func() error {
					mu.Lock()
					defer mu.Unlock()
					return forbidden
				}
				run, err := r.Submit(s, p, job)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.Result(s, p, run); problem.Of(err) != problem.QueryRunning {
					t.Errorf("while it runs: %v", err)
				}
				c.happen(r, stop, func() {
					mu.Lock()
					defer mu.Unlock()
					forbidden = problem.New(problem.KeyNotAccepted, "no")
				})
				<-time.After(time.Second)
				run, _, _ = r.Find(t.Context(), "prj_1", "qry_1")
				if run.Status != c.status || run.Code != c.code || len(settled.all()) != 1 {
					t.Errorf("%+v, settled %v", run, settled.all())
				}
				if _, err := r.Result(s, p, run); problem.Of(err) != c.code {
					t.Errorf("afterwards: %v", err)
				}
				end()
				if got := store.of("qry_1"); got.Status != c.status {
					t.Errorf("kept as %+v", got)
				}
				if _, err := r.Submit(s, p, later("qry_2", &settled)); problem.Of(err) != problem.Unavailable {
					t.Errorf("after the end: %v", err)
				}
			})
		})
	}
}

// Promise: no cursor that somebody makes up lists anything but places in the list.
func FuzzRunCursor(f *testing.F) {
	for _, seed := range []string{"", "MCBxcnlfMQ", "x", "MCA", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5IGE"} {
		f.Add(seed)
	}
	p, r := permit(f), query.NewRuns(query.RunsConfig{Store: newShelf(), Now: fixedNow, Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, cursor string) {
		if _, _, err := r.List(t.Context(), p, query.RunFilter{Limit: 1, Before: cursor}); err != nil && problem.Of(err) != problem.InvalidField {
			t.Fatal(err)
		}
	})
}
