package query_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Promise: tokens of one client may be different people's: none of them lists, sees, cancels or fetches what another asked.
func TestTokensKeepTheirRunsApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		world := gatetest.New(t)
		client := world.Client(world.Mint(access.Key{Scopes: access.SQLRun}), access.Key{})
		one, other := world.Token(client, gate.Token{ID: "one"}), world.Token(client, gate.Token{ID: "other"})
		ask := func(token string, action access.Action, about *access.Subject) (gate.Permit, error) {
			return world.Ask(token, access.Attempt{Action: action, Subject: about})
		}
		p, err := ask(one, access.RunSQL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, end := running(t, time.Now, newShelf(), nil)
		defer end()
		s := service(t, numbers(1))
		var settled charges
		if _, err := r.Submit(s, p, later("qry_1", &settled)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		run, _, _ := r.Find(t.Context(), p.Project(), "qry_1")
		for token, mine := range map[string]bool{one: true, other: false} {
			reads, err := ask(token, access.ReadQueries, nil)
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second) // until it is written
			if list, _, err := r.List(t.Context(), reads, query.RunFilter{Limit: 9}); err != nil || (len(list) == 1) != mine {
				t.Errorf("lists %v, %v", list, err)
			}
			for _, action := range []access.Action{access.ReadQueries, access.CancelQueries} {
				if _, err := ask(token, action, run.Subject()); (err == nil) != mine {
					t.Errorf("%s: %v", action, err)
				}
			}
			asks, err := ask(token, access.RunSQL, nil)
			if err != nil {
				t.Fatal(err)
			}
			result, err := r.Result(s, asks, run)
			if (err == nil) != mine {
				t.Errorf("fetches: %v", err)
			}
			_ = result.Close()
		}
	})
}

// quoting is an engine whose error has a value in it.
type quoting struct{ engine }

func (*quoting) Run(context.Context, event.Space, query.Statement) (query.Rows, error) {
	return nil, problem.New(problem.InvalidSQL, "Could not convert string 'ana@example.com' to INT32")
}

// Promise: what a question in the background failed with is told only to whoever sees what the asker saw: it may quote data.
func TestFailuresAreNoWayRoundAView(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := permit(t), service(t, &quoting{})
		r, end := running(t, time.Now, newShelf(), nil)
		defer end()
		var settled charges
		if _, err := r.Submit(s, p, later("qry_1", &settled)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		run, _, _ := r.Find(t.Context(), "prj_1", "qry_1")
		if _, err := r.Result(s, p, run); problem.Of(err) != problem.InvalidSQL {
			t.Errorf("the asker is told %v", err)
		}
		if _, err := r.Result(sighted(t, &quoting{}, onlyFrance(), nil), p, run); problem.Of(err) != problem.ResultGone {
			t.Errorf("in another view: %v", err)
		}
	})
}

// breaking is an engine that panics.
type breaking struct{ engine }

func (*breaking) Run(context.Context, event.Space, query.Statement) (query.Rows, error) {
	panic("broken")
}

// Promise: a question that breaks the program in the background fails, and the program goes on; one that is waited for is not
// left as if it were running.
func TestABrokenQuestionIsOneQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := permit(t), service(t, &breaking{})
		r, end := running(t, time.Now, newShelf(), nil)
		defer end()
		var settled charges
		if _, err := r.Submit(s, p, later("qry_1", &settled)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		func() {
			defer func() { _ = recover() }()
			_, _ = r.Ask(t.Context(), s, p, named("qry_2"))
		}()
		for _, id := range []string{"qry_1", "qry_2"} {
			if run, found, _ := r.Find(t.Context(), "prj_1", id); !found || run.Status != query.Failed || run.Code != problem.Internal {
				t.Errorf("%s: %+v", id, run)
			}
		}
	})
}

// Promise: a question in the background whose settling breaks fails and gives no result, and the program goes on.
func TestABrokenSettlingIsOneQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := permit(t), service(t, numbers(1))
		r, end := running(t, time.Now, newShelf(), nil)
		defer end()
		job := later("qry_1", &charges{})
		job.Settle = func(int64) error { panic("broken") }
		if _, err := r.Submit(s, p, job); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		run, found, _ := r.Find(t.Context(), "prj_1", "qry_1")
		if !found || run.Status != query.Failed || run.Code != problem.Internal {
			t.Errorf("%+v", run)
		}
		if _, err := r.Result(s, p, run); problem.Of(err) != problem.Internal {
			t.Errorf("its result: %v", err)
		}
	})
}

// Promise: a question in the background that cannot be watched, or not be ended, fails with a line in the log, and the
// program goes on.
func TestABrokenEndIsOneQuestion(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(*query.Job, *bool){
		"watching": func(j *query.Job, _ *bool) { j.Still = func() error { panic("broken") } },
		"ending":   func(j *query.Job, clock *bool) { j.Settle = func(int64) error { *clock = true; return nil } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stalls := numbers(1)
				if name == "watching" {
					stalls.stall = make(chan struct{})
				}
				p, s := permit(t), service(t, stalls)
				var stopped bool // the clock breaks once
				clock := func() time.Time {
					if stopped {
						stopped = false
						panic("broken")
					}
					return time.Now()
				}
				var log strings.Builder
				r := query.NewRuns(query.RunsConfig{Store: newShelf(), Now: clock, Log: slog.New(slog.NewTextHandler(&log, nil))})
				job := later("qry_1", &charges{})
				broken(&job, &stopped)
				if _, err := r.Submit(s, p, job); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				run, found, _ := r.Find(t.Context(), "prj_1", "qry_1")
				if !found || run.Status != query.Failed || run.Code != problem.Internal {
					t.Errorf("%+v", run)
				}
				if !strings.Contains(log.String(), "qry_1") || !strings.Contains(log.String(), "broken") {
					t.Errorf("the log says %q", log.String())
				}
			})
		})
	}
}

// Promise: any number of callers read one result at the same time, also one that lies in a file, and whoever has begun
// to read it reads it to its end when it is dropped meanwhile.
func TestResultsAreReadTogether(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{1, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			p := permit(t)
			s := query.New(query.Config{Engine: numbers(10_000), Now: fixedNow, TempDir: t.TempDir(), SpoolMemory: memory})
			r, end := running(t, time.Now, newShelf(), nil)
			defer end()
			if _, err := r.Submit(s, p, later("qry_1", &charges{})); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			run, _, _ := r.Find(t.Context(), "prj_1", "qry_1")
			results := make([]*query.Result, 8)
			for i := range results {
				var err error
				if results[i], err = r.Result(s, p, run); err != nil {
					t.Fatal(err)
				}
			}
			r.Cancel(t.Context(), "qry_1")
			synctest.Wait()
			if _, err := r.Result(s, p, run); problem.Of(err) != problem.ResultGone {
				t.Errorf("the dropped result: %v", err)
			}
			texts := make([]string, len(results))
			var reading sync.WaitGroup
			for i, result := range results {
				reading.Go(func() {
					var b strings.Builder
					if n, err := result.WriteTo(&b); err != nil || n != result.Size {
						t.Errorf("%d bytes of %d: %v", n, result.Size, err)
					}
					texts[i] = b.String()
					if err := errors.Join(result.Close(), result.Close()); err != nil {
						t.Error(err)
					}
				})
			}
			reading.Wait()
			for _, text := range texts {
				if text != texts[0] || !strings.Contains(text, "[1]") {
					t.Fatal("the results differ")
				}
			}
		})
	}
}
