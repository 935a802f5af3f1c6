package metric_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// now is the tests' clock.
var now = time.Date(2026, 4, 15, 10, 20, 30, 0, time.UTC)

// TestMain lets the program also be the warehouse's process.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == queryProcess {
		if err := serveQueryProcess(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// load stores events in a space.
func load(t testing.TB, w warehouse, space event.Space, events []event.Event) {
	t.Helper()
	records := make([]event.Record, len(events))
	for i := range events {
		records[i] = event.Record{Position: event.Position(i + 1), Data: event.AppendEvent(nil, &events[i])}
	}
	if err := w.Load(t.Context(), space, records); err != nil {
		t.Fatal(err)
	}
}

// answer is the columns and rows of a statement, each value as JSON reads it.
type answer struct {
	columns []metric.Column
	rows    [][]any
}

// ask binds values to a statement and runs it.
func ask(ctx context.Context, w warehouse, space event.Space, s *metric.Statement, values map[string]jsontext.Value, at time.Time) (answer, error) {
	bound, err := s.Bind(values, at)
	if err != nil {
		return answer{}, err
	}
	rows, err := w.Run(ctx, space, query.Statement{SQL: s.SQL, Positional: bound})
	if err != nil {
		return answer{}, err
	}
	defer rows.Close()
	var a answer
	for _, c := range rows.Columns() {
		a.columns = append(a.columns, metric.Column{Name: c.Name, Type: c.Type})
	}
	for {
		line, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return a, err
		}
		var row []any
		if err := json.Unmarshal(line, &row); err != nil {
			return a, err
		}
		a.rows = append(a.rows, row)
	}
}

// numbered are the names of n parameters by position.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(i + 1)
	}
	return names
}

// Promise: everything in the golden files passes the sandbox, takes exactly the parameters it says, reads nothing but
// the tables there are, and runs with the columns it says, over a space without events and one with some.
func TestStatementsRun(t *testing.T) {
	t.Parallel()
	w, guard := openWarehouse(t), openSandbox(t)
	full := event.Space{Project: "full", Environment: "production"}
	events, persons := facts(1, 500)
	load(t, w, full, stored(full, events, persons))
	definitions(t, func(name string, definition []byte) {
		s := compiled(t, string(definition))
		facts, err := guard.Facts(t.Context(), s.SQL)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, s.SQL)
			return
		}
		slices.SortFunc(facts.Parameters, func(a, b string) int { return len(a)*1000 - len(b)*1000 + strings.Compare(a, b) })
		if want := numbered(len(s.Parameters)); !slices.Equal(facts.Parameters, want) {
			t.Errorf("%s: the engine finds the parameters %v, the statement has %v", name, facts.Parameters, want)
		}
		for _, table := range facts.Tables {
			if table != "events" && table != "persons" {
				t.Errorf("%s reads %s", name, table)
			}
		}
		values := map[string]jsontext.Value{}
		for _, v := range s.Variables {
			if v.Required {
				values[v.Name] = exampleOf(v.Type)
			}
		}
		for _, space := range []event.Space{full, {Project: "empty", Environment: "production"}} {
			got, err := ask(t.Context(), w, space, s, values, now)
			if err != nil {
				t.Errorf("%s in %s: %v\n%s", name, space, err, s.SQL)
			} else if s.Columns != nil && !slices.Equal(got.columns, s.Columns) {
				t.Errorf("%s in %s has the columns %v, and said %v", name, space, got.columns, s.Columns)
			}
		}
	})
}

func exampleOf(t metric.VariableType) jsontext.Value {
	if t == metric.Strings {
		return jsontext.Value(`["a","b'"]`)
	}
	return jsontext.Value(`"view"`)
}
