package query_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// slowly is an engine that answers when it is let go.
type slowly struct {
	query.Engine

	let chan struct{}
}

func (e slowly) Run(ctx context.Context, space event.Space, st query.Statement) (query.Rows, error) {
	<-e.let
	return e.Engine.Run(ctx, space, st)
}

// slowShelf is a shelf whose next write takes its time.
type slowShelf struct {
	*runShelf

	begun, let chan struct{}
}

func (s *slowShelf) KeepRuns(ctx context.Context, runs []query.Run) error {
	if begun := s.begun; begun != nil {
		s.begun = nil
		close(begun)
		<-s.let
	}
	return s.runShelf.KeepRuns(ctx, runs)
}

// saying is a question whose statement says something.
func saying(id, sql string) query.Asked {
	q := named(id)
	q.SQL = sql
	return q
}

// Promise: the text of a statement that names somebody who was deleted, in whatever form, is gone from runs that are under way
// and from what is still to be written, and does not come back when they end, in whatever place the write is; other statements,
// and those elsewhere, stay.
func TestForgottenStatementsStayAway(t *testing.T) {
	t.Parallel()
	forms := []string{`SELECT 'o''brian-1'`, `SELECT '{"id":"o\u0027brian-1"}'`, `SELECT 'o%27brian-1'`}
	for _, form := range forms {
		synctest.Test(t, func(t *testing.T) {
			store := &slowShelf{newShelf(), make(chan struct{}), make(chan struct{})}
			begun := store.begun
			r, end := running(t, time.Now, store, nil)
			p, let := permit(t), make(chan struct{})
			slow := func() *query.Service { return service(t, slowly{numbers(1), let}) }
			var settled charges
			job := later("qry_later", &settled)
			job.SQL = form
			if _, err := r.Submit(slow(), p, job); err != nil {
				t.Fatal(err)
			}
			for id, sql := range map[string]string{"qry_now": form, "qry_other": "SELECT 'somebody'"} {
				s := slow()
				go func() {
					if a, err := r.Ask(t.Context(), s, p, saying(id, sql)); err == nil {
						_ = a.Close()
					}
				}()
			}
			synctest.Wait() // all have begun
			<-begun         // and are on their way to the store
			forgotten := make(chan struct{})
			go func() {
				defer close(forgotten)
				r.Forget("prj_1", "staging", []string{"o'brian-1"})
				r.Forget("prj_1", "production", []string{"o'brian-1"})
			}()
			close(store.let)
			<-forgotten
			for _, id := range []string{"qry_later", "qry_now", "qry_other"} {
				run, found, err := r.Find(t.Context(), "prj_1", id)
				if err != nil || !found || run.Status != query.Running || (run.SQL == "") != (id != "qry_other") {
					t.Errorf("%s: %+v, %v", id, run, err)
				}
				run.SQL = "" // as it is taken from the store
				if id != "qry_other" {
					store.mu.Lock()
					store.runs[id] = run
					store.mu.Unlock()
				}
			}
			close(let)
			synctest.Wait()
			end()
			for _, id := range []string{"qry_later", "qry_now", "qry_other"} {
				if run := store.of(id); run.Status == query.Running || strings.Contains(run.SQL, "brian") || (run.SQL == "") != (id != "qry_other") {
					t.Errorf("it ended as %+v", run)
				}
			}
		})
	}
}

// Promise: what was asked in the background before data was deleted gives no result after it, whether it waits or is under way;
// when records of a dataset were deleted, that is so of what may be about datasets, and of nothing else.
func TestForgottenResultsAreGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forget func(*query.Runs)
		gone   map[string]bool // by the table that is asked
	}{
		"the environment": {func(r *query.Runs) { r.Forget("prj_1", "production", nil) }, map[string]bool{"events": true, "quotes": true}},
		"datasets":        {func(r *query.Runs) { r.ForgetDatasets("prj_1", "production") }, map[string]bool{"quotes": true}},
		"elsewhere":       {func(r *query.Runs) { r.Forget("prj_1", "staging", nil); r.ForgetDatasets("prj_2", "production") }, nil},
	} {
		for _, waits := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				r, end := running(t, time.Now, newShelf(), nil)
				defer end()
				p, let := permit(t), make(chan struct{})
				if waits {
					close(let)
				}
				services, charged := map[string]*query.Service{}, map[string]*charges{}
				for _, table := range []string{"events", "quotes"} {
					e := numbers(1)
					e.facts.Tables = []string{table}
					services[table], charged[table] = query.New(query.Config{
						Engine: slowly{e, let}, Now: fixedNow, TempDir: t.TempDir(),
						Datasets: func(context.Context, gate.Permit, []string) ([]view.Relation, error) { return nil, nil },
					}), &charges{}
					if _, err := r.Submit(services[table], p, later("qry_"+table, charged[table])); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				c.forget(r)
				if !waits {
					close(let)
				}
				synctest.Wait()
				for table, s := range services {
					run, _, err := r.Find(t.Context(), "prj_1", "qry_"+table)
					if err != nil {
						t.Fatal(err)
					}
					result, err := r.Result(s, p, run)
					if (err == nil) == c.gone[table] || err != nil && problem.Of(err) != problem.ResultGone {
						t.Errorf("%s, %s, waits %v: %v", name, table, waits, err)
					}
					if err == nil {
						_ = result.Close()
					}
					if !waits && (run.Status == query.Succeeded) == c.gone[table] {
						t.Errorf("%s, %s: %+v", name, table, run)
					}
				}
			})
		}
	}
}
