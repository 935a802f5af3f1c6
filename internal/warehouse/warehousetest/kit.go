// Package warehousetest is the conformance kit of warehouses: what every engine that stores events and answers
// statements over them must do, so that the promises made of access hold whichever is chosen. An engine's own tests call
// Run.
//
// The statements here are in the part of SQL that the engines share. The kit does not own what is particular to one
// engine: its types, its files, its processes and how it fails.
package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Warehouse is what the kit tests: both faces of an engine.
type Warehouse interface {
	event.Warehouse
	query.Engine
}

// Opener opens a fresh warehouse that ends with the test. again closes it and opens the same data anew; what it returns
// takes the place of the first.
type Opener func(t *testing.T) (w Warehouse, again func() Warehouse)

// Run runs the whole kit.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open Opener)
	}{
		{"Columns", columns},
		{"EmptySpace", emptySpace},
		{"LoadsOnce", loadsOnce},
		{"RefusesStrangeRecords", refusesStrangeRecords},
		{"DropsRepeats", dropsRepeats},
		{"DropsRepeatsOfManyLoads", dropsRepeatsOfManyLoads},
		{"SpacesAreApart", spacesAreApart},
		{"HostileTexts", hostileTexts},
		{"ParametersAreBound", parametersAreBound},
		{"ParametersMustFit", parametersMustFit},
		{"Persons", persons},
		{"PersonsAgreeWithModel", personsAgreeWithModel},
		{"PersonsOfEvents", personsOfEvents},
		{"PersonsAgreeWithGraph", personsAgreeWithGraph},
		{"PersonsInScopes", personsInScopes},
		{"OnlySelects", onlySelects},
		{"Analyze", analyze},
		{"Scopes", scopes},
		{"ScopesHold", scopesHold},
		{"ScopesAreApart", scopesAreApart},
		{"ScopesOfHostileTexts", scopesOfHostileTexts},
		{"Describes", describes},
		{"Ceilings", ceilings},
		{"Cancel", cancel},
		{"ReadsWhileLoading", readsWhileLoading},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open)
		})
	}
}

// noon is when the kit's events are received, unless they say otherwise.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// space is a space of the test's own.
func space(project string) event.Space {
	return event.Space{Project: project, Environment: "production"}
}

// trackEvent is a complete track event; its name tells events apart.
func trackEvent(s event.Space, name string) event.Event {
	return event.Event{
		Kind: event.Track, Name: name, Timestamp: noon, DistinctID: "user", Properties: jsontext.Value(`{}`),
		ID: "id of " + name, ReceivedAt: noon, Project: s.Project, Environment: s.Environment, KeyID: "key_1", Source: "track",
	}
}

// records puts events into consecutive records from a position on.
func records(from event.Position, events ...event.Event) []event.Record {
	all := make([]event.Record, len(events))
	for i := range events {
		all[i] = event.Record{Position: from + event.Position(i), Data: event.AppendEvent(nil, &events[i])}
	}
	return all
}

func load(t testing.TB, w Warehouse, s event.Space, from event.Position, events ...event.Event) {
	t.Helper()
	if err := w.Load(t.Context(), s, records(from, events...)); err != nil {
		t.Fatal(err)
	}
}

// ask runs a statement and returns its rows.
func ask(ctx context.Context, w Warehouse, s event.Space, st query.Statement) ([]string, error) {
	rows, err := w.Run(ctx, s, st)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, string(row))
	}
}

// rows runs a statement that must succeed.
func rows(t testing.TB, w Warehouse, s event.Space, sql string) []string {
	t.Helper()
	got, err := ask(t.Context(), w, s, query.Statement{SQL: sql})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func wantRows(t testing.TB, w Warehouse, s event.Space, sql string, want ...string) {
	t.Helper()
	if got := rows(t, w, s, sql); !slices.Equal(got, want) {
		t.Fatalf("%s\n got %s\nwant %s", sql, strings.Join(got, " "), strings.Join(want, " "))
	}
}

func wantLoaded(t testing.TB, w Warehouse, s event.Space, want event.Position) {
	t.Helper()
	if got, err := w.Loaded(t.Context(), s); err != nil || got != want {
		t.Fatalf("loaded up to %d, %v; want %d", got, err, want)
	}
}

// wantProblem checks that a statement is answered by a problem, and returns it.
func wantProblem(t testing.TB, w Warehouse, s event.Space, st query.Statement, code problem.Code) *problem.Error {
	t.Helper()
	got, err := ask(t.Context(), w, s, st)
	if problem.Of(err) != code {
		t.Fatalf("%s\nanswered %d rows and %v; want %s", st.SQL, len(got), err, code)
	}
	return problem.From(err)
}

// Promise: the two tables have the columns that are documented, in the documented form, and nothing that was left out
// becomes something.
func columns(t *testing.T, open Opener) {
	w, again := open(t)
	s := space("columns")
	full := event.Event{
		Kind: event.Track, Name: "signup", Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC), DistinctID: "u", AnonymousID: "a",
		DeviceID: "d", SessionID: "s", Properties: jsontext.Value("{\"big\": 12345678901234567890.123,\n\"list\":[1.0, null]}"), ID: "e1",
		ReceivedAt: noon.Add(time.Microsecond), Project: s.Project, Environment: s.Environment, KeyID: "key_1", Source: "events",
	}
	bare := event.Event{
		Kind: event.Track, Name: "bare", Timestamp: time.Date(2199, 12, 31, 23, 59, 59, 999999000, time.UTC), ID: "e2", ReceivedAt: noon,
		Project: s.Project, Environment: s.Environment,
	}
	link := event.Event{
		Kind: event.Alias, Timestamp: noon, DistinctID: "u", NewUserID: "v", Properties: jsontext.Value(`{}`), ID: "e3", ReceivedAt: noon,
		Project: s.Project, Environment: s.Environment,
	}
	who := event.Event{
		Kind: event.Identify, Timestamp: noon, DistinctID: "u", AnonymousID: "a", Properties: jsontext.Value(`{"plan":"pro","n":9007199254740993}`),
		ID: "e4", ReceivedAt: noon, Project: s.Project, Environment: s.Environment,
	}
	load(t, w, s, 1, full, bare, link, who)
	for range 2 {
		wantRows(t, w, s, "SELECT * FROM events ORDER BY event_id",
			`["e1","signup","2026-01-02T03:04:05.678901Z","2026-03-04T12:00:00.000001Z","u","a","d","s",`+
				`{"big": 12345678901234567890.123, "list":[1.0, null]},"key_1","events","u"]`,
			`["e2","bare","2199-12-31T23:59:59.999999Z","2026-03-04T12:00:00.000000Z",null,null,null,null,{},null,null,null]`)
		wantRows(t, w, s, "SELECT * FROM persons",
			`["u","a",{"n":9007199254740993,"plan":"pro"},"2026-01-02T03:04:05.678901Z","2026-03-04T12:00:00.000000Z","u",["u","a","d","v"]]`)
		w = again()
	}
	answer, err := w.Run(t.Context(), s, query.Statement{SQL: "SELECT event, event, count(*) AS n FROM events GROUP BY event LIMIT 0"})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	var names []string
	for _, c := range answer.Columns() {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "event event n" {
		t.Fatalf("columns of an answer without rows: %s", got)
	}
}

// Promise: a space that has no events has empty tables, and asking does not make it.
func emptySpace(t *testing.T, open Opener) {
	w, _ := open(t)
	load(t, w, space("other"), 1, trackEvent(space("other"), "theirs"))
	s := space("empty")
	wantLoaded(t, w, s, 0)
	wantRows(t, w, s, "SELECT count(*) FROM events", "[0]")
	wantRows(t, w, s, "SELECT * FROM persons")
	wantLoaded(t, w, s, 0)
	load(t, w, s, 7, trackEvent(s, "first"))
	wantRows(t, w, s, "SELECT event FROM events", `["first"]`)
	for _, bad := range []event.Space{{}, {Project: "..", Environment: "production"}, {Project: "a/b", Environment: "c"}, {Project: "a", Environment: ".."}} {
		if _, err := w.Loaded(t.Context(), bad); err == nil {
			t.Errorf("%v is taken for a space", bad)
		}
		if _, err := w.Run(t.Context(), bad, query.Statement{SQL: "SELECT 1"}); err == nil {
			t.Errorf("a statement runs over %v", bad)
		}
	}
}

// Promise: records are stored once, however often and however overlapping they are loaded, and the position says so,
// also after the warehouse was opened again.
func loadsOnce(t *testing.T, open Opener) {
	w, again := open(t)
	s := space("once")
	var all []event.Event
	for i := range 60 {
		all = append(all, trackEvent(s, fmt.Sprintf("e%02d", i)))
	}
	everything := records(101, all...)
	for _, part := range [][2]int{{0, 10}, {0, 10}, {5, 20}, {19, 20}, {0, 20}, {20, 60}, {30, 50}, {0, 60}} {
		if err := w.Load(t.Context(), s, everything[part[0]:part[1]]); err != nil {
			t.Fatal(err)
		}
		if part[1] == 20 {
			w = again()
		}
	}
	wantLoaded(t, w, s, 160)
	wantRows(t, w, s, "SELECT count(*), count(DISTINCT event) FROM events", "[60,60]")
	if err := w.Load(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
}

// Promise: a load with a record that cannot be read, that is out of order, or that belongs to another space stores
// nothing.
func refusesStrangeRecords(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("strange")
	good := records(1, trackEvent(s, "good"))[0]
	for name, bad := range map[string]event.Record{
		"cut short":     {Position: 2, Data: good.Data[:len(good.Data)-1]},
		"empty":         {Position: 2},
		"another space": records(2, trackEvent(space("victim"), "planted"))[0],
		"out of order":  {Position: 1, Data: good.Data},
	} {
		if err := w.Load(t.Context(), s, []event.Record{good, bad}); err == nil {
			t.Errorf("%s: loaded", name)
		}
		wantLoaded(t, w, s, 0)
	}
	wantRows(t, w, s, "SELECT count(*) FROM events", "[0]")
	wantRows(t, w, space("victim"), "SELECT count(*) FROM events", "[0]")
	load(t, w, s, 1, trackEvent(s, "good"))
	wantRows(t, w, s, "SELECT count(*) FROM events", "[1]")
}

// Promise: what is loaded while others read is seen whole or not at all, and never hinders them.
func readsWhileLoading(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("busy")
	const loads, each = 10, 50
	done := make(chan error, 1)
	go func() {
		for n := range loads {
			var batch []event.Event
			for i := range each {
				batch = append(batch, trackEvent(s, fmt.Sprintf("e%d", n*each+i)))
			}
			if err := w.Load(t.Context(), s, records(event.Position(n*each+1), batch...)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for over := false; !over; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		default:
		}
		var count int
		got := rows(t, w, s, "SELECT count(*) FROM events")
		if _, err := fmt.Sscanf(got[0], "[%d]", &count); err != nil || count%each != 0 {
			t.Fatalf("%s events are visible, %v", got[0], err)
		}
	}
	wantRows(t, w, s, "SELECT count(*) FROM events", fmt.Sprintf("[%d]", loads*each))
}
