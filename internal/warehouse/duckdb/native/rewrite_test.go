package native

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
)

// Promise: a function lent to statements gets every text and gives every text back, exact, whatever shape the engine
// holds them in; null stays null; and what it cannot rewrite, also by a panic, is null and not an error.
func TestRewrite(t *testing.T) {
	t.Parallel()
	db, err := Open("", Options{Memory: 256 << 20, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); db.Close() })
	number, back := db.Lend(func(dst, text []byte) ([]byte, bool) {
		switch string(text) {
		case "none":
			return dst, false
		case "panic":
			panic("as asked")
		}
		return append(append(dst, '<'), append(bytes.Clone(text), '>')...), true
	})
	call := func(function, of string) string { return fmt.Sprintf("%s(%d, %s)", function, number, of) }
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{"SELECT " + call(RewriteText, "'x'") + ", " + call(RewriteText, "NULL") + ", " + call(RewriteText, "''"), []string{`["<x>",null,"<>"]`}},
		{"SELECT " + call(RewriteText, "v") + " FROM (VALUES ('a'), (NULL), ('none'), ('é'), ('a text that is longer than twelve bytes')) t(v)",
			[]string{`["<a>"]`, `[null]`, `[null]`, `["<é>"]`, `["<a text that is longer than twelve bytes>"]`}},
		{"SELECT count(*), count(r), min(r), max(length(r)) FROM (SELECT " + call(RewriteText, "'n' || i::VARCHAR") + " AS r FROM range(100000) t(i))",
			[]string{`[100000,100000,"<n0>",8]`}},
		{"SELECT count(" + call(RewriteText, "CASE WHEN i % 2 = 0 THEN 'even' END") + ") FROM range(10001) t(i)", []string{`[5001]`}},
		{"SELECT " + call(RewriteText, "v") + " FROM (SELECT unnest(['a', 'b', 'panic', 'c']) AS v)", []string{`["<a>"]`, `["<b>"]`, `[null]`, `[null]`}},
		{"SELECT " + RewriteText + "(12345, 'x')", []string{`[null]`}},
	} {
		_, got, err := rows(t, conn, c.sql)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.sql, got, err, c.want)
		}
	}
	columns, got, err := rows(t, conn, "SELECT j, j->>'a' FROM (SELECT "+call(RewriteJSON, `'{"a":"b"}'`)+" AS j)")
	if err == nil {
		t.Errorf("<…> was read as JSON: %v %v", columns, got)
	}
	back()
	if _, got, err := rows(t, conn, "SELECT "+call(RewriteText, "'x'")); err != nil || got[0] != "[null]" {
		t.Errorf("after it was given back: %v, %v", got, err)
	}
	whole, back := db.Lend(func(dst, text []byte) ([]byte, bool) { return append(dst, text...), true })
	defer back()
	columns, got, err = rows(t, conn, fmt.Sprintf(`SELECT j, j->>'a' FROM (SELECT %s(%d, '{"a":"b"}') AS j)`, RewriteJSON, whole))
	if err != nil || got[0] != `[{"a":"b"},"b"]` || columns[0].Type != "JSON" {
		t.Errorf("JSON: %v %v, %v", columns, got, err)
	}
}

// Promise: statements that run at the same time, each with a function of its own, never get another's.
func TestRewriteConcurrently(t *testing.T) {
	t.Parallel()
	db, err := Open("", Options{Memory: 256 << 20, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			conn, err := db.Connect()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			mine := fmt.Sprint("mine ", i)
			for range 20 {
				number, back := db.Lend(func(dst, _ []byte) ([]byte, bool) { return append(dst, mine...), true })
				sql := fmt.Sprintf("SELECT count(*) FROM range(5000) t(i) WHERE %s(%d, i::VARCHAR) <> '%s'", RewriteText, number, mine)
				err := conn.Each(context.Background(), sql, func(r *Result, row int) error {
					if n := r.Int(0, row); n != 0 {
						return fmt.Errorf("%d rows were rewritten by another's function", n)
					}
					return nil
				})
				back()
				if err != nil && err != io.EOF {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

// Promise: what a statement will answer, and what it wants, can be known without running it.
func TestStatementIsDescribed(t *testing.T) {
	t.Parallel()
	conn := open(t)
	for _, c := range []struct {
		sql     string
		columns string
		unknown bool
		types   []string
	}{
		{"SELECT 1 AS a, 'x' AS b, [1.5] AS c", "[{a INTEGER} {b VARCHAR} {c DECIMAL(2,1)[]}]", false, nil},
		{"SELECT i FROM range(3) t(i) WHERE i > $1 AND i::VARCHAR = $2", "[{i BIGINT}]", false, []string{"BIGINT", "VARCHAR"}},
		{"SELECT $1", "", true, []string{""}},
	} {
		stmt, err := conn.Prepare(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		columns, unknown := stmt.Answer()
		if unknown != c.unknown || !unknown && fmt.Sprint(columns) != c.columns {
			t.Errorf("%s: %v, %v", c.sql, columns, unknown)
		}
		for i, want := range c.types {
			if got := stmt.ParameterType(i); got != want {
				t.Errorf("%s: parameter %d is %q, want %q", c.sql, i, got, want)
			}
		}
		stmt.Close()
	}
}
