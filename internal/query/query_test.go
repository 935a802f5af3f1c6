package query_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// engine is an engine whose answer is known beforehand.
type engine struct {
	facts   query.Facts
	columns []query.Column
	rows    []string
	err     error         // of Run
	after   error         // comes in place of io.EOF
	stall   chan struct{} // closed when the rows have run out: from then on Next waits for the context

	space  event.Space
	ran    query.Statement
	closed atomic.Int32
}

func (e *engine) Analyze(context.Context, string) (query.Facts, error) { return e.facts, nil }

func (e *engine) Describe(_ context.Context, space event.Space, st query.Statement) (query.Description, error) {
	e.space, e.ran = space, st
	return query.Description{Tables: e.facts.Tables}, e.err
}

func (e *engine) Run(ctx context.Context, space event.Space, st query.Statement) (query.Rows, error) {
	e.space, e.ran = space, st
	if e.err != nil {
		return nil, e.err
	}
	return &rows{ctx: ctx, engine: e}, nil
}

type rows struct {
	ctx    context.Context
	engine *engine
	next   int
	buf    []byte // each row in the same bytes, as the contract permits
}

func (r *rows) Columns() []query.Column { return r.engine.columns }

func (r *rows) Next() (jsontext.Value, error) {
	if r.next < len(r.engine.rows) {
		r.buf = append(r.buf[:0], r.engine.rows[r.next]...)
		r.next++
		return r.buf, nil
	}
	if r.engine.stall != nil {
		close(r.engine.stall)
		<-r.ctx.Done()
		return nil, r.ctx.Err()
	}
	if r.engine.after != nil {
		return nil, r.engine.after
	}
	return nil, io.EOF
}

func (r *rows) Close() error {
	r.engine.closed.Add(1)
	return nil
}

// numbers is an engine that answers with one column and n rows.
func numbers(n int) *engine {
	e := &engine{columns: []query.Column{{Name: "n", Type: "BIGINT"}}}
	for range n {
		e.rows = append(e.rows, "[1]")
	}
	return e
}

func fixedNow() time.Time { return time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC) }

// permit gives a permit for the targets' environments.
func permit(tb testing.TB, targets ...access.Target) gate.Permit {
	tb.Helper()
	return gatetest.New(tb).Permit(access.Attempt{Action: access.RunSQL, Targets: targets})
}

func service(tb testing.TB, e query.Engine) *query.Service {
	return query.New(query.Config{Engine: e, Now: fixedNow, TempDir: tb.TempDir()})
}

// read writes the whole answer and closes it.
func read(tb testing.TB, a *query.Answer) string {
	tb.Helper()
	var b bytes.Buffer
	if n, err := a.WriteTo(&b); err != nil || n != a.Size || n != int64(b.Len()) {
		tb.Fatalf("WriteTo = %d, %v; the answer says %d bytes and wrote %d", n, err, a.Size, b.Len())
	}
	if err := a.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// ask asks and reads the answer.
func ask(tb testing.TB, e query.Engine, q query.Question) string {
	tb.Helper()
	if q.SQL == "" {
		q.SQL = "SELECT 1"
	}
	a, err := service(tb, e).Ask(tb.Context(), permit(tb), q)
	if err != nil {
		tb.Fatal(err)
	}
	return read(tb, a)
}

// wantField fails unless err is an invalid_field problem about the field.
func wantField(tb testing.TB, err error, field string) {
	tb.Helper()
	p := problem.From(err)
	if p.Code != problem.InvalidField || len(p.Fields) == 0 || p.Fields[0].Name != field {
		tb.Fatalf("got %v with fields %v, want invalid_field at %q", err, p.Fields, field)
	}
}

// Promise: the data that is read is the permit's, whatever environment the question names.
func TestAskReadsThePermitsSpace(t *testing.T) {
	t.Parallel()
	e := numbers(1)
	a, err := service(t, e).Ask(t.Context(), permit(t, access.Target{Environment: "staging"}), query.Question{SQL: "SELECT 1", Environment: "production"})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if want := (event.Space{Project: "prj_1", Environment: "staging"}); e.space != want {
		t.Fatalf("ran in %v, want %v", e.space, want)
	}
	want := query.Ceilings{Time: 30 * time.Second, Rows: 100_000, Bytes: 64 << 20}
	if e.ran.Ceilings != want {
		t.Fatalf("ceilings = %+v, want %+v", e.ran.Ceilings, want)
	}
}

// Promise: a permit that is not for exactly one environment opens none, and no permit at all opens none.
func TestAPermitWithoutAnEnvironmentOpensNothing(t *testing.T) {
	t.Parallel()
	e := numbers(1)
	s := service(t, e)
	two := permit(t, access.Target{Environment: "staging"}, access.Target{Environment: "production"})
	if _, err := s.Ask(t.Context(), two, query.Question{SQL: "SELECT 1"}); problem.Of(err) != problem.Internal {
		t.Errorf("Ask: got %v, want an internal fault", err)
	}
	if _, err := s.Events(t.Context(), two, query.EventFilter{}); problem.Of(err) != problem.Internal {
		t.Errorf("Events: got %v, want an internal fault", err)
	}
	if e.ran.SQL != "" {
		t.Error("the engine was asked")
	}
	defer func() {
		if recover() == nil {
			t.Error("the zero Permit was accepted")
		}
	}()
	_, _ = s.Ask(t.Context(), gate.Permit{}, query.Question{SQL: "SELECT 1"})
}

// Promise: a ceiling that is passed half-way gives no answer at all and leaves no file; one that is just reached gives
// the whole answer. The service counts for itself, also when the engine does not.
func TestCeilings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg    query.Config
		rows   int
		format query.Format
		want   problem.Code
	}{
		"rows reached":          {query.Config{Rows: 100}, 100, query.CSV, ""},
		"rows passed":           {query.Config{Rows: 100}, 101, query.CSV, problem.ResultTooLarge},
		"bytes reached":         {query.Config{Bytes: 303}, 100, query.CSV, ""},
		"bytes passed":          {query.Config{Bytes: 302}, 100, query.CSV, problem.ResultTooLarge},
		"bytes of rows reached": {query.Config{Bytes: 3000}, 1000, query.Parquet, ""}, // a tenth of it when written
		"bytes of rows passed":  {query.Config{Bytes: 2999}, 1000, query.Parquet, problem.ResultTooLarge},
		"json, from the file":   {query.Config{Rows: 100, SpoolMemory: 1}, 101, query.JSON, problem.ResultTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := numbers(c.rows)
			c.cfg.Engine, c.cfg.Now, c.cfg.TempDir = e, fixedNow, t.TempDir()
			a, err := query.New(c.cfg).Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Format: c.format})
			if problem.Of(err) != c.want || (a != nil) != (c.want == "") {
				t.Fatalf("got %v, %v, want %q", a, err, c.want)
			}
			if a != nil {
				lines := strings.Count(read(t, a), "\r\n")
				if a.Rows != int64(c.rows) || c.format == query.CSV && lines != c.rows+1 {
					t.Fatalf("%d lines and Rows = %d, want %d rows and a header", lines, a.Rows, c.rows)
				}
			}
			wantEmpty(t, c.cfg.TempDir)
			if e.closed.Load() != 1 {
				t.Errorf("the rows were closed %d times, want once", e.closed.Load())
			}
		})
	}
}

// Promise: the columns' names count too: an answer that repeats long names cannot pass the ceiling.
func TestLongNamesCannotPassTheCeiling(t *testing.T) {
	t.Parallel()
	e := numbers(100)
	e.columns[0].Name = strings.Repeat("n", 1000)
	s := query.New(query.Config{Engine: e, Now: fixedNow, Bytes: 50_000, TempDir: t.TempDir()})
	_, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Format: query.NDJSON})
	if problem.Of(err) != problem.ResultTooLarge {
		t.Fatalf("got %v, want result_too_large", err)
	}
}

// Promise: what the engine says is wrong reaches the caller if it is a problem and stays hidden if it is not, whether it
// comes at once or half-way.
func TestEngineErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want problem.Code
	}{
		{problem.New(problem.QueryTooHeavy, "x"), problem.QueryTooHeavy},
		{errors.New("file /secret/path is damaged"), problem.Internal},
	} {
		for _, e := range []*engine{{err: c.err}, {columns: numbers(0).columns, rows: []string{"[1]"}, after: c.err}} {
			a, err := service(t, e).Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1"})
			if a != nil || problem.Of(err) != c.want || strings.Contains(problem.From(err).Detail, "secret") {
				t.Errorf("got %v, %v, want %q", a, err, c.want)
			}
		}
	}
}

// Promise: a row that is not what the engine promised is our fault and gives no answer.
func TestBrokenRowsGiveNoAnswer(t *testing.T) {
	t.Parallel()
	for _, row := range []string{`[]`, `[1,2]`, `{}`, `[1`, `["a]`, ``, `[tru]`} {
		for _, f := range []query.Format{query.NDJSON, query.CSV, query.Parquet, query.Objects, query.Arrow} {
			e := &engine{columns: numbers(0).columns, rows: []string{row}}
			a, err := service(t, e).Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Format: f})
			if a != nil || problem.Of(err) != problem.Internal {
				t.Errorf("%s of %q: got %v, %v", f, row, a, err)
			}
		}
	}
}
