package guard_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
)

func newGuard(t testing.TB) *guard.Guard {
	t.Helper()
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// Promise: what analysts write is accepted and runs, and its tables and parameters are found.
func TestAllowedStatementsPassAndRun(t *testing.T) {
	t.Parallel()
	g, db := newGuard(t), newScratch(t)
	examples := corpus(t, "testdata/allowed.txtar", "=")
	if len(examples) < 80 {
		t.Fatalf("only %d examples: the file is not read as it is written", len(examples))
	}
	for _, e := range examples {
		got, err := g.Analyze(context.Background(), e.sql)
		if err != nil {
			t.Errorf("line %d: %v\n%s", e.line, err, e.sql)
			continue
		}
		facts := strings.TrimSpace(strings.Join(got.Facts.Tables, " ") + " | " + strings.Join(got.Facts.Parameters, " "))
		if facts != e.expect {
			t.Errorf("line %d: facts %q, want %q", e.line, facts, e.expect)
		}
		if _, err := db.read(context.Background(), e.sql, got.Facts.Parameters); err != nil {
			t.Errorf("line %d: does not run: %v\n%s", e.line, err, e.sql)
		}
	}
}

// scratch is an unguarded instance with the tables there are, and a canary in every place that a statement must not
// reach.
type scratch struct{ *sql.DB }

// canary occurs in no corpus.
const canary = "kestrel-5510-vermilion"

func newScratch(t testing.TB) scratch {
	t.Helper()
	db, err := sql.Open("duckdb", "?threads=1&memory_limit=256MB&enable_external_access=false&autoload_known_extensions=false")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		`CREATE TABLE events (event_id VARCHAR, event VARCHAR, timestamp TIMESTAMP, received_at TIMESTAMP, distinct_id VARCHAR,
			anonymous_id VARCHAR, device_id VARCHAR, session_id VARCHAR, properties JSON, key_id VARCHAR, source VARCHAR)`,
		`CREATE TABLE persons (distinct_id VARCHAR, anonymous_id VARCHAR, traits JSON, first_seen_at TIMESTAMP, updated_at TIMESTAMP)`,
		`INSERT INTO events SELECT i, 'signup', TIMESTAMP '2026-01-01' + INTERVAL (i) HOUR, TIMESTAMP '2026-01-01', 'p' || i % 3, NULL, 'd', 's',
			'{"plan": "pro", "amount": 3, "when": "2026-01-01", "url": "/a/b", "user": "u"}', 'k', 'track' FROM range(20) r(i)`,
		`INSERT INTO persons SELECT 'p' || i, NULL, '{"email": "a@b.c"}', TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01' FROM range(3) r(i)`,
		fmt.Sprintf(`CREATE TABLE secret_canary AS SELECT '%s' AS "%s", 1 AS a, 1 AS n`, canary, canary),
		`CREATE SCHEMA other`,
		`CREATE TABLE other.secret AS FROM secret_canary`,
		`CREATE VIEW "x.csv" AS FROM secret_canary`,
		fmt.Sprintf(`CREATE MACRO secret_macro() AS '%s'`, canary),
		fmt.Sprintf(`CREATE MACRO secret_rows() AS TABLE SELECT '%s' AS a`, canary),
		fmt.Sprintf(`SET VARIABLE secret = '%s'`, canary),
		fmt.Sprintf(`COMMENT ON TABLE events IS '%s'`, canary),
		fmt.Sprintf(`CREATE SEQUENCE "%s"`, canary),
		`SET lock_configuration = true`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return scratch{db}
}

// read runs a statement with every parameter NULL and returns the names of its columns and its rows as text, at most
// 1,000 of them.
func (s scratch) read(ctx context.Context, statement string, parameters []string) (string, error) {
	var args []any
	for _, name := range parameters {
		if name[0] >= '0' && name[0] <= '9' {
			args = append(args, nil)
		} else {
			args = append(args, sql.Named(name, nil))
		}
	}
	rows, err := s.QueryContext(ctx, statement, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintln(&out, columns)
	row, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range row {
		into[i] = &row[i]
	}
	for n := 0; n < 1000 && rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			return out.String(), err
		}
		fmt.Fprintln(&out, row...)
	}
	return out.String(), rows.Err()
}

// Promise: no statement of the corpus of attacks passes, each is told precisely what is wrong, and those that are only
// heavy are known by name.
func TestAttacksAreRefused(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	examples := corpus(t, "testdata/attacks.txtar", "!")
	if len(examples) < 150 {
		t.Fatalf("only %d examples: the file is not read as it is written", len(examples))
	}
	for _, e := range examples {
		_, err := g.Analyze(context.Background(), e.sql)
		if e.expect == "allowed" {
			if err != nil || e.section != "harmless but heavy" {
				t.Errorf("line %d: in section %q: %v\n%s", e.line, e.section, err, e.sql)
			}
			continue
		}
		code, part, _ := strings.Cut(e.expect, ": ")
		p := problem.From(err)
		if err == nil || p.Code != problem.Code(code) || !strings.Contains(p.Detail, part) {
			t.Errorf("line %d: got %v, want %s\n%s", e.line, err, e.expect, e.sql)
		} else if len(p.Fields) != 1 || p.Fields[0].Name != "sql" {
			t.Errorf("line %d: fields %v, want one for sql", e.line, p.Fields)
		}
	}
}

// Promise: one guard serves many callers at once, and gives each its own facts.
func TestAnalyzeIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 25 {
				name := fmt.Sprintf("p%d_%d", i, j)
				got, err := g.Analyze(context.Background(), "SELECT $"+name+" FROM persons")
				if err != nil || len(got.Facts.Parameters) != 1 || got.Facts.Parameters[0] != name {
					t.Errorf("%s: %v %v", name, got, err)
				}
			}
		})
	}
	wait.Wait()
}

// Promise: a caller that has gone is not served, and that is no fault of the statement.
func TestAnalyzeHeedsItsContext(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.Analyze(ctx, "SELECT 1"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}
