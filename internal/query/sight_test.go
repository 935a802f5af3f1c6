package query_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// onlyFrance is a scope that shows the events of a country, without some columns.
func onlyFrance(hidden ...string) view.Scope {
	return view.Scope{Tables: []view.TableScope{{
		Table: "events", Where: []view.Condition{{Column: "properties", Property: "country", Op: view.Equal, Values: []any{"FR"}}}, Hidden: hidden,
	}}}
}

// sighted is a service whose permits see a scope.
func sighted(tb testing.TB, e query.Engine, s view.Scope, err error) *query.Service {
	tb.Helper()
	return query.New(query.Config{
		Engine: e, Now: fixedNow, TempDir: tb.TempDir(), Scope: func(gate.Permit) (view.Scope, error) { return s, err },
	})
}

// Promise: whatever is asked is asked in the scope of the permit, by the permit's key; a scope that cannot be found out
// opens nothing.
func TestWhatIsAskedIsAskedInTheScope(t *testing.T) {
	t.Parallel()
	scope := onlyFrance("device_id")
	for name, ask := range map[string]func(*query.Service, gate.Permit) error{
		"Ask": func(s *query.Service, p gate.Permit) error {
			_, err := s.Ask(t.Context(), p, query.Question{SQL: "SELECT 1"})
			return err
		},
		"Describe": func(s *query.Service, p gate.Permit) error {
			_, err := s.Describe(t.Context(), p, query.Question{SQL: "SELECT 1"})
			return err
		},
		"Events": func(s *query.Service, p gate.Permit) error {
			_, err := s.Events(t.Context(), p, query.EventFilter{})
			return err
		},
	} {
		e := numbers(0)
		p := permit(t)
		if err := ask(sighted(t, e, scope, nil), p); err != nil || e.ran.Scope.Key() != scope.Key() || e.ran.Asker != p.Key().ID {
			t.Errorf("%s: ran in %v for %q, %v", name, e.ran.Scope, e.ran.Asker, err)
		}
		e = numbers(0)
		if err := ask(sighted(t, e, view.Scope{}, errors.New("the store is away")), p); problem.Of(err) != problem.Internal || e.ran.SQL != "" {
			t.Errorf("%s without a scope: %v, ran %q", name, err, e.ran.SQL)
		}
	}
	tables, err := sighted(t, numbers(0), scope, nil).Schema(permit(t))
	if err != nil || len(tables) != 1 || len(tables[0].Columns) != 11 {
		t.Errorf("Schema: %v, %v", tables, err)
	}
}

// Promise: the listing of events leaves out what is hidden, is not a way to ask for it, and needs to see what it is
// ordered by.
func TestListingInAScope(t *testing.T) {
	t.Parallel()
	list := func(s view.Scope, f query.EventFilter) (*engine, error) {
		e := numbers(0)
		_, err := sighted(t, e, s, nil).Events(t.Context(), permit(t, access.Target{Environment: "production"}), f)
		return e, err
	}
	e, err := list(onlyFrance("device_id", "distinct_id", "properties.email"), query.EventFilter{Event: "signup"})
	const want = `SELECT event_id, event, "timestamp", received_at, NULL AS distinct_id, anonymous_id, NULL AS device_id, session_id, properties, key_id, source FROM events WHERE`
	if err != nil || !strings.HasPrefix(e.ran.SQL, want) {
		t.Errorf("%v\n%s", err, e.ran.SQL)
	}
	if _, err := list(onlyFrance("distinct_id"), query.EventFilter{DistinctID: "u"}); err == nil {
		t.Error("a hidden id can be asked for")
	} else {
		wantField(t, err, "distinct_id")
	}
	if _, err := list(onlyFrance("event"), query.EventFilter{Event: "u"}); err == nil {
		t.Error("a hidden name can be asked for")
	} else {
		wantField(t, err, "event")
	}
	for _, s := range []view.Scope{onlyFrance("event_id"), onlyFrance("received_at"), onlyFrance("timestamp"), {Tables: []view.TableScope{{Table: "persons"}}}} {
		if e, err := list(s, query.EventFilter{}); problem.Of(err) != problem.ViewNotApplied || e.ran.SQL != "" {
			t.Errorf("%v: %v", s, err)
		}
	}
}
