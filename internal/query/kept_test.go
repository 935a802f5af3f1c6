package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/cache"
	"github.com/weir-analytics/weir/internal/view"
)

// echo is an engine whose answer is what it was asked.
type echo struct {
	engine

	named bool // it finds parameters by name in every statement, and else by position
	count int  // so many
	runs  atomic.Int32
}

func (e *echo) Analyze(context.Context, string) (query.Facts, error) {
	var f query.Facts
	for i := range e.count {
		f.Parameters = append(f.Parameters, map[bool]string{true: string(rune('a' + i)), false: fmt.Sprint(i + 1)}[e.named])
	}
	return f, nil
}

func (e *echo) Run(ctx context.Context, space event.Space, st query.Statement) (query.Rows, error) {
	e.runs.Add(1)
	return &rows{ctx: ctx, engine: &engine{columns: numbers(0).columns, rows: []string{"[" + quoted(asked(space, st)) + "]"}}}, nil
}

func quoted(s string) string {
	q, _ := jsontext.AppendQuote(nil, s)
	return string(q)
}

func asked(space event.Space, st query.Statement) string {
	text := fmt.Sprint(space, st.Scope.Key(), strings.Trim(st.SQL, " \n"), len(st.Positional), st.Positional)
	for _, name := range slices.Sorted(maps.Keys(st.Named)) {
		text += fmt.Sprintf(" %q=%s", name, st.Named[name])
	}
	return text
}

// only is the one value of an answer of one row.
func only(tb testing.TB, f query.Format, answer string) string {
	tb.Helper()
	switch f {
	case query.CSV:
		return parseCSV(tb, answer)[1][0].text
	case query.NDJSON:
		var row struct{ N string }
		if err := json.Unmarshal([]byte(answer), &row); err != nil {
			tb.Fatal(err)
		}
		return row.N
	}
	var doc struct {
		Rows [][]string
		Data []struct{ N string }
	}
	if err := json.Unmarshal([]byte(answer), &doc); err != nil || len(doc.Rows)+len(doc.Data) != 1 {
		tb.Fatal(answer, err)
	}
	if len(doc.Data) > 0 {
		return doc.Data[0].N
	}
	return doc.Rows[0][0]
}

// Promise: nobody ever gets an answer that is not his own: not another project's, environment's or scope's, nor that to
// another statement, other parameters or another format. Keys that may see the same share their answers.
func TestNoAnswerIsSharedWithAnother(t *testing.T) {
	t.Parallel()
	world := gatetest.New(t)
	projects := []*access.Project{world.Project, gatetest.NewProject("org_1", "prj_2"), gatetest.NewProject("org_2", "prj_1production")}
	scopes := []view.Scope{{}, onlyFrance(), onlyFrance("device_id"), {Tables: []view.TableScope{}},
		{Tables: []view.TableScope{{Table: "events", Hashed: []string{"device_id"}}}, HashKey: view.NewHashKey([]byte("one"))},
		{Tables: []view.TableScope{{Table: "events", Hashed: []string{"device_id"}}}, HashKey: view.NewHashKey([]byte("two"))}}
	sight := map[string]view.Scope{}
	type asker struct {
		permit gate.Permit
		scope  view.Scope
		space  event.Space
	}
	var askers []asker
	for _, p := range projects {
		for _, environment := range []string{"production", "staging"} {
			for _, s := range slices.Concat(scopes, scopes[:2]) { // some of them twice
				permit := world.PermitOf(access.Key{Project: p, Scopes: access.AllScopes}, access.Attempt{Action: access.RunSQL, Targets: []access.Target{{Environment: environment}}})
				sight[permit.Key().ID] = s
				askers = append(askers, asker{permit, s, event.Space{Project: p.ID, Environment: environment}})
			}
		}
	}
	c, err := cache.Open(cache.Config{Memory: 20 << 10, Disk: 100 << 10, Dir: t.TempDir(), Now: fixedNow})
	if err != nil {
		t.Fatal(err)
	}
	services := map[string]*query.Service{}
	engines := map[string]*echo{}
	for _, named := range []bool{false, true} {
		for count := range 3 {
			e := &echo{named: named, count: count}
			at := fmt.Sprint(named, count)
			engines[at] = e
			services[at] = query.New(query.Config{
				Engine: e, Now: fixedNow, TempDir: t.TempDir(), Cache: c, SpoolMemory: 300 * (1 + count),
				Scope: func(p gate.Permit) (view.Scope, error) { return sight[p.Key().ID], nil },
			})
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		who := askers[rapid.IntRange(0, len(askers)-1).Draw(r, "who")]
		named, count := rapid.Bool().Draw(r, "named"), rapid.IntRange(0, 2).Draw(r, "count")
		at := fmt.Sprint(named, count)
		q := query.Question{
			SQL: rapid.SampledFrom([]string{"SELECT 1", "SELECT 11", "SELECT  1", " SELECT 1\n", "select 1"}).Draw(r, "sql"), TTL: time.Hour,
			Format: rapid.SampledFrom([]query.Format{"", query.JSON, query.NDJSON, query.CSV, query.Objects}).Draw(r, "format"), Spreadsheet: rapid.Bool().Draw(r, "spreadsheet"),
		}
		st := query.Statement{SQL: q.SQL, Scope: who.scope}
		values := make([]string, count)
		for i := range values {
			values[i] = rapid.SampledFrom([]string{"1", `"1"`, "1.0", "null", `"a"`, `""`}).Draw(r, "value")
			if !named {
				st.Positional = append(st.Positional, jsontext.Value(values[i]))
			}
		}
		q.Parameters = jsontext.Value("[" + strings.Join(values, ",") + "]")
		if named {
			st.Named = map[string]jsontext.Value{}
			for i := range values {
				name := string(rune('a' + i))
				st.Named[name] = jsontext.Value(values[i])
				values[i] = quoted(name) + ":" + values[i]
			}
			q.Parameters = jsontext.Value("{" + strings.Join(values, ",") + "}")
		}
		for range rapid.IntRange(1, 2).Draw(r, "times") {
			before := engines[at].runs.Load()
			a, err := services[at].Ask(t.Context(), who.permit, q)
			if err != nil {
				r.Fatal(err)
			}
			if ran := engines[at].runs.Load() > before; ran == a.Cached {
				r.Fatalf("it ran: %t, it was cached: %t", ran, a.Cached)
			}
			if got, want := only(t, q.Format, read(t, a)), asked(who.space, st); got != want {
				r.Fatalf("the answer is to\n%s, asked was\n%s", got, want)
			}
		}
	})
	if s := c.Stats(); s.Hits == 0 || s.Misses == 0 {
		t.Errorf("nothing was tried: %+v", s)
	}
}

// Promise: a kept answer is the same as before but for what is said of it: that it was kept, and until when. So is its
// tag, which is another when the answer is.
func TestKeptAnswers(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{1 << 20, 1} {
		now := fixedNow()
		c, err := cache.Open(cache.Config{Memory: 1 << 20, Disk: 1 << 20, Dir: t.TempDir(), Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		e := numbers(2)
		s := query.New(query.Config{Engine: e, Now: func() time.Time { return now }, Cache: c, TempDir: t.TempDir(), SpoolMemory: memory})
		q := query.Question{SQL: "SELECT 1", CacheMinutes: 5}
		get := func(want string, age time.Duration) string {
			a, err := s.Ask(t.Context(), permit(t), q)
			if err != nil {
				t.Fatal(err)
			}
			tag := a.Tag
			if a.Age != age || a.Rows != int64(len(e.rows)) || !a.ExpiresAt.Equal(now.Add(5*time.Minute-age)) {
				t.Errorf("%+v", a)
			}
			if got := read(t, a); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			return tag
		}
		const head = `{"columns":[{"name":"n","type":"BIGINT"}],"rows":[` + "\n[1],\n[1]"
		first := get(head+"\n"+`],"row_count":2,"elapsed_ms":0,"cached":false,"expires_at":"2026-11-22T06:05:00.000Z"}`+"\n", 0)
		e.rows = []string{"[1]", "[1]"}
		now = now.Add(time.Minute)
		if again := get(head+"\n"+`],"row_count":2,"elapsed_ms":0,"cached":true,"expires_at":"2026-11-22T06:05:00.000Z"}`+"\n", time.Minute); again != first || first == "" {
			t.Errorf("tags %q and %q", first, again)
		}
		s.Forget("prj_1", "staging")
		get(head+"\n"+`],"row_count":2,"elapsed_ms":0,"cached":true,"expires_at":"2026-11-22T06:05:00.000Z"}`+"\n", time.Minute)
		s.Forget("prj_1", "production")
		e.rows = append(e.rows, "[2]")
		if other := get(head+",\n[2]\n"+`],"row_count":3,"elapsed_ms":0,"cached":false,"expires_at":"2026-11-22T06:06:00.000Z"}`+"\n", 0); other == first {
			t.Error("another answer with the same tag")
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Promise: a question that says nothing of it is run each time, and has no tag; an error is not kept, and a time that
// cannot be is refused by its name.
func TestWhatIsNotKept(t *testing.T) {
	t.Parallel()
	e := &echo{}
	s := service(t, e)
	for range 2 {
		a, err := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1"})
		if err != nil || a.Cached || a.Tag != "" || !a.ExpiresAt.IsZero() || a.Close() != nil {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if e.runs.Load() != 2 {
		t.Errorf("ran %d times", e.runs.Load())
	}
	for _, c := range []struct {
		q     query.Question
		field string
	}{
		{query.Question{SQL: "SELECT 1", CacheMinutes: 4}, "cache_minutes"}, {query.Question{SQL: "SELECT 1", CacheMinutes: -5}, "cache_minutes"},
		{query.Question{SQL: "SELECT 1", CacheMinutes: 1441}, "cache_minutes"}, {query.Question{SQL: "SELECT 1", StaleMinutes: 1}, "stale_minutes"},
		{query.Question{SQL: "SELECT 1", CacheMinutes: 5, StaleMinutes: -1}, "stale_minutes"}, {query.Question{SQL: " ", CacheMinutes: 5}, "sql"},
		{query.Question{SQL: "SELECT 1", CacheMinutes: 5, Format: "xml"}, "format"}, {query.Question{SQL: "SELECT 1", CacheMinutes: 5, Parameters: jsontext.Value("[[]]")}, "parameters[0]"},
		{query.Question{SQL: "SELECT 1", CacheMinutes: 5, Parameters: jsontext.Value("[1]")}, "parameters[0]"},
	} {
		_, err := s.Ask(t.Context(), permit(t), c.q)
		wantField(t, err, c.field)
	}
	failing := &engine{err: problem.New(problem.QueryTooHeavy, "x")}
	s = service(t, failing)
	for _, err := range []error{failing.err, nil} {
		failing.err = err
		a, got := s.Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", TTL: time.Hour})
		if problem.Of(got) != problem.Of(err) || a != nil && a.Cached {
			t.Errorf("got %+v, %v, want %v", a, got, err)
		}
		_ = a.Close()
	}
}
