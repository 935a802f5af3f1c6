package query_test

import (
	"context"
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
