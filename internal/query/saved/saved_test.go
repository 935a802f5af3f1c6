package saved_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
)

// desk is an Asker that takes note of what it is asked.
type desk struct {
	asked    []query.Asked
	describe error
	ask      error
}

func (d *desk) Describe(context.Context, gate.Permit, query.Question) (query.Description, error) {
	return query.Description{Rows: 7}, d.describe
}

func (d *desk) Ask(_ context.Context, _ gate.Permit, q query.Asked) (*query.Answer, error) {
	d.asked = append(d.asked, q)
	if d.ask != nil {
		return nil, d.ask
	}
	return &query.Answer{}, nil
}

// room is a service over a real store.
type room struct {
	*saved.Service
	store controlStore
	desk  *desk
	clock *gatetest.Clock
	mine  gate.Permit // of prj_1
	other gate.Permit // of prj_2
}

func open(t *testing.T) room {
	t.Helper()
	w := gatetest.New(t)
	r := room{store: openStore(t), desk: &desk{}, clock: w.Clock}
	r.Service = saved.New(saved.Config{Store: r.store, Query: r.desk, Now: w.Clock.Now, NewID: rand.Text})
	attempt := access.Attempt{Action: access.WriteMetrics}
	r.mine = w.PermitOf(access.Key{Scopes: access.MetricsWrite}, attempt)
	r.other = w.PermitOf(access.Key{Scopes: access.MetricsWrite, Project: gatetest.NewProject("org_1", "prj_2")}, attempt)
	return r
}

func sql(text string) jsontext.Value {
	v, _ := jsontext.AppendQuote(nil, text)
	return jsontext.Value(`{"sql": ` + string(v) + `}`)
}

func (r room) save(t *testing.T, id string, w saved.Wanted) saved.Shown {
	t.Helper()
	shown, _, err := r.Save(t.Context(), r.mine, id, w)
	if err != nil {
		t.Fatalf("save %s: %v", id, err)
	}
	return shown
}

func (r room) entries(t *testing.T) (actions []string) {
	t.Helper()
	list, err := r.store.Entries(t.Context(), audit.Query{Project: "prj_1", Live: true, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		actions = append(actions, e.Action+" "+e.Subject)
	}
	return actions
}

// Promise: what is saved is a version, numbered from 1, that never changes; saving the same again changes nothing; a
// draft is not run; and every change, and nothing else, is in the audit.
func TestVersions(t *testing.T) {
	t.Parallel()
	r := open(t)
	one := r.save(t, "m", saved.Wanted{Definition: sql("SELECT 1"), Owner: "ana", CacheMinutes: 5})
	if one.Published != 1 || one.Latest != 1 || one.Revision != 1 || one.Version.Draft() || one.Version.Number != 1 || one.CreatedBy != r.mine.Key().ID {
		t.Errorf("made %+v", one)
	}
	again, created, err := r.Save(t.Context(), r.mine, "m", saved.Wanted{Definition: jsontext.Value("{\"sql\" :\n\"SELECT 1\"}"), Owner: "ana", CacheMinutes: 5})
	if err != nil || created || again.Metric != one.Metric || again.Version.Number != 1 {
		t.Errorf("saved again: %+v, %v, %v", again, created, err)
	}
	draft := r.save(t, "m", saved.Wanted{Definition: sql("SELECT 2"), Owner: "ana", CacheMinutes: 5, Draft: true})
	if draft.Published != 1 || draft.Latest != 2 || draft.Revision != 2 || !draft.Version.Draft() {
		t.Errorf("a draft is %+v", draft)
	}
	run := func(version int64, want string) {
		t.Helper()
		_, err := r.Run(t.Context(), r.mine, "m", saved.Asked{Version: version})
		if want == "" {
			if problem.Of(err) != problem.InvalidField || problem.From(err).Fields[0].Name != "version" {
				t.Errorf("version %d is run: %v", version, err)
			}
			return
		}
		if got := r.desk.asked[len(r.desk.asked)-1].SQL; err != nil || got != want {
			t.Errorf("version %d runs %q, %v", version, got, err)
		}
	}
	run(0, "SELECT 1")
	run(2, "")
	run(3, "")
	if _, err := r.Publish(t.Context(), r.mine, "m", 2, 2); err != nil {
		t.Fatal(err)
	}
	run(0, "SELECT 2")
	run(1, "SELECT 1")
	if shown, err := r.Publish(t.Context(), r.mine, "m", 1, 0); err != nil || shown.Published != 1 || shown.Latest != 2 {
		t.Errorf("back to version 1: %+v, %v", shown, err)
	}
	run(0, "SELECT 1")
	run(2, "SELECT 2")
	if err := r.Delete(t.Context(), r.mine, "m", 4); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), r.mine, "m", saved.Asked{}); problem.Of(err) != problem.NotFound {
		t.Errorf("run when it is deleted: %v", err)
	}
	want := []string{"metric.delete metric.m", "metric.publish metric.m", "metric.publish metric.m", "metric.save metric.m", "metric.save metric.m"}
	if got := r.entries(t); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("the audit has %v", got)
	}
}

// Promise: a metric is its project's, and of another's it is not even known that it is there.
func TestTenants(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.save(t, "m", saved.Wanted{Definition: sql("SELECT 'canary'")})
	_, read := r.Read(t.Context(), r.other, "m", 0)
	_, run := r.Run(t.Context(), r.other, "m", saved.Asked{Version: 1})
	_, versions := r.Versions(t.Context(), r.other, "m")
	_, publish := r.Publish(t.Context(), r.other, "m", 1, 0)
	for what, err := range map[string]error{"read": read, "run": run, "versions": versions, "publish": publish, "delete": r.Delete(t.Context(), r.other, "m", 0)} {
		if problem.Of(err) != problem.NotFound || problem.From(err).Detail != "There is no metric m." {
			t.Errorf("%s: %v", what, err)
		}
	}
	if list, next, err := r.List(t.Context(), r.other, "", 10); err != nil || next != "" || len(list) != 0 {
		t.Errorf("listed %v, %q, %v", list, next, err)
	}
	if shown, err := r.Read(t.Context(), r.mine, "m", 0); err != nil || shown.Statement.SQL != "SELECT 'canary'" {
		t.Errorf("read %+v, %v", shown, err)
	}
}

// Promise: a change that is meant for another revision is refused and changes nothing.
func TestRevisions(t *testing.T) {
	t.Parallel()
	r := open(t)
	stale := func(what string, err error) {
		t.Helper()
		if problem.Of(err) != problem.PreconditionFailed {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, _, err := r.Save(t.Context(), r.mine, "m", saved.Wanted{Definition: sql("SELECT 1"), Revision: 1})
	stale("a new one", err)
	r.save(t, "m", saved.Wanted{Definition: sql("SELECT 1")})
	_, _, err = r.Save(t.Context(), r.mine, "m", saved.Wanted{Definition: sql("SELECT 2"), Revision: 2})
	stale("save", err)
	_, err = r.Publish(t.Context(), r.mine, "m", 1, 2)
	stale("publish", err)
	stale("delete", r.Delete(t.Context(), r.mine, "m", 2))
	if n := len(r.entries(t)); n != 1 {
		t.Errorf("%d entries", n)
	}
}

// Promise: what cannot be run cannot be saved, and the problem names the field, the line and the column, with a caret
// below the place in the text that was sent.
func TestSavingChecks(t *testing.T) {
	t.Parallel()
	r := open(t)
	check := func(w saved.Wanted, code problem.Code, field, detail string) {
		t.Helper()
		_, _, err := r.Save(t.Context(), r.mine, "m", w)
		p, ok := errors.AsType[*problem.Error](err)
		if !ok || p.Code != code || p.Fields[0].Name != field || !strings.Contains(p.Detail, detail) {
			t.Errorf("%.80s: %.300v", w.Definition, err)
		}
	}
	check(saved.Wanted{Definition: jsontext.Value(`{"sql":"SELECT @{a}"}`)}, problem.InvalidField, "definition.sql", `definition.sql: line 1, column 8: the variable "a" is not declared`)
	check(saved.Wanted{Definition: jsontext.Value(`{"trend":{"interval":"year"}}`)}, problem.InvalidField, "definition.trend.interval", "must be one of")
	check(saved.Wanted{Definition: jsontext.Value(`[]`)}, problem.InvalidField, "definition", "must be an object")
	check(saved.Wanted{Definition: sql("SELECT 1"), CacheMinutes: 4}, problem.InvalidField, "cache_minutes", "0 or from 5 to 1440")
	check(saved.Wanted{Definition: sql("SELECT 1"), Owner: "a\x00"}, problem.InvalidField, "owner", "control")
	check(saved.Wanted{Definition: sql("SELECT '" + strings.Repeat("x", saved.MaxDefinition-25) + "'" + strings.Repeat(" ", 10))}, problem.InvalidField, "definition", "at most 65536")
	for _, id := range []string{"", "test", "A", "a b", "-a", "é", strings.Repeat("a", 64), "a/b", "a\x00"} {
		if _, _, err := r.Save(t.Context(), r.mine, id, saved.Wanted{Definition: sql("SELECT 1")}); problem.Of(err) != problem.InvalidField {
			t.Errorf("saved as %q: %v", id, err)
		}
	}
	// The engine says where in the compiled statement; the definition has the place elsewhere: "$1" is shorter than "@{event}".
	r.desk.describe = wrong(2, 11)
	definition := jsontext.Value(`{"sql":"SELECT count(*)\nFROM '@{e}' = nothere","variables":[{"name":"e","type":"string","required":true}]}`)
	check(saved.Wanted{Definition: definition}, problem.InvalidSQL, "definition.sql", "line 2, column 15: Referenced column not found")
	_, _, err := r.Save(t.Context(), r.mine, "m", saved.Wanted{Definition: definition})
	if want := (problem.Caret{Line: 2, Column: 15, Excerpt: "FROM '@{e}' = nothere\n              ^"}); *problem.From(err).Caret != want {
		t.Errorf("the place is %+v", problem.From(err).Caret)
	}
	if len(r.entries(t)) != 0 {
		t.Errorf("recorded %v", r.entries(t))
	}
}

// wrong is what the engine says of a place in a statement.
func wrong(line, column int) error {
	p := problem.New(problem.InvalidSQL, "line %d, column %d: Referenced column not found", line, column)
	p.Caret = &problem.Caret{Line: line, Column: column, Excerpt: "SELECT secret_column\n^"}
	return p
}

// Promise: a metric that does not fit the tables any more says so when it is run, with the place and without its SQL;
// one that only fails with these values is told apart from it.
func TestUnfit(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.save(t, "m", saved.Wanted{Definition: sql("SELECT secret_column FROM events")})
	gone := wrong(1, 8)
	for _, c := range []struct {
		describe error
		want     string
	}{
		{gone, "Version 1 of the metric m does not fit the tables that this key sees: line 1, column 8: Referenced column not found"},
		{nil, "Version 1 of the metric m cannot be answered with these values: line 1, column 8: Referenced column not found"},
	} {
		r.desk.ask, r.desk.describe = gone, c.describe
		_, err := r.Run(t.Context(), r.mine, "m", saved.Asked{})
		if p := problem.From(err); p.Code != problem.InvalidSQL || p.Detail != c.want || p.Caret.Excerpt != "" {
			t.Errorf("run: %v", err)
		}
	}
	r.desk.ask = problem.New(problem.QueryTimeout, "late")
	if _, err := r.Run(t.Context(), r.mine, "m", saved.Asked{}); problem.From(err).Detail != "late" {
		t.Errorf("run: %v", err)
	}
}

// Promise: values are bound to the variables of the version that is run, and what is missing, unknown or does not fit is
// named.
func TestVariables(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.save(t, "m", saved.Wanted{Definition: jsontext.Value(`{"sql":"SELECT @{country}, @{n}","variables":[{"name":"country","type":"string","required":true},{"name":"n","type":"integer","default":3}]}`)})
	for values, want := range map[string]string{
		`{"country":"FR"}`: `["FR",3]`, `{"country":"FR","n":4}`: `["FR",4]`, `{}`: "variables.country", `{"country":1}`: "variables.country",
		`{"country":"FR","n":"x"}`: "variables.n", `{"country":"FR","city":"x"}`: "variables.city",
	} {
		_, err := r.Run(t.Context(), r.mine, "m", saved.Asked{Variables: members(t, values)})
		switch {
		case err == nil && string(r.desk.asked[len(r.desk.asked)-1].Parameters) != want:
			t.Errorf("%s binds %s", values, r.desk.asked[len(r.desk.asked)-1].Parameters)
		case err != nil && (problem.Of(err) != problem.InvalidField || problem.From(err).Fields[0].Name != want):
			t.Errorf("%s: %v", values, err)
		}
	}
	trial, err := r.Test(t.Context(), r.mine, query.Note{}, sql("SELECT 1"), nil)
	if err != nil || trial.Looked != 7 || trial.Statement.SQL != "SELECT 1" {
		t.Errorf("tested: %+v, %v", trial, err)
	}
	if _, err := r.Test(t.Context(), r.mine, query.Note{}, sql("SELECT @{x}"), nil); problem.From(err).Fields[0].Name != "definition.sql" {
		t.Errorf("tested: %v", err)
	}
	_, err = r.Unsaved(t.Context(), r.mine, saved.Question{SQL: "SELECT '@{a}', @{b}", Variables: members(t, `{"a":"x","b":2}`)})
	if got := r.desk.asked[len(r.desk.asked)-1]; err != nil || string(got.Parameters) != `["x",2]` || got.SQL != "SELECT $1, CAST($2 AS BIGINT)" {
		t.Errorf("asked %+v, %v", got, err)
	}
}

// Promise: a project has at most 1000 metrics, and of each 100 versions are kept: the oldest that was never published
// goes first, and the published one stays.
func TestBounds(t *testing.T) {
	t.Parallel()
	r := open(t)
	text := func(n int) jsontext.Value { return sql(fmt.Sprint("SELECT ", n)) }
	r.save(t, "m", saved.Wanted{Definition: text(1)})
	r.save(t, "m", saved.Wanted{Definition: text(2), Draft: true})
	for n := 3; n <= saved.MaxVersions+1; n++ {
		r.save(t, "m", saved.Wanted{Definition: text(n)})
	}
	if _, err := r.Publish(t.Context(), r.mine, "m", 1, 0); err != nil {
		t.Fatal(err)
	}
	r.save(t, "m", saved.Wanted{Definition: text(0), Draft: true})
	list, err := r.Versions(t.Context(), r.mine, "m")
	numbers := map[int64]bool{}
	for _, v := range list {
		numbers[v.Number] = true
	}
	if err != nil || len(list) != saved.MaxVersions || !numbers[1] || numbers[2] || numbers[3] || !numbers[4] || list[0].Number != saved.MaxVersions+2 {
		t.Errorf("%d versions are kept, %v: %v", len(list), numbers, err)
	}
	for n := range saved.MaxMetrics - 1 {
		_, err := r.store.ChangeMetric(t.Context(), "prj_1", fmt.Sprint("n", n), func(c *saved.Change) (*audit.Entry, error) {
			c.Add = &saved.Version{Number: 1, Definition: text(n), CreatedAt: time.Unix(0, 0)}
			return &audit.Entry{ID: rand.Text()}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := r.Save(t.Context(), r.mine, "one-more", saved.Wanted{Definition: text(1)}); problem.Of(err) != problem.Conflict {
		t.Errorf("one too many: %v", err)
	}
	r.save(t, "m", saved.Wanted{Definition: text(1000)})
	page, next, err := r.List(t.Context(), r.mine, "", 2)
	if err != nil || len(page) != 2 || next != page[1].ID {
		t.Errorf("listed %v, %q, %v", page, next, err)
	}
}

// Promise: an answer is kept as long as its version says; questions that give the same have one answer also when a value
// is the time of asking, and others have another.
func TestKeeping(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.save(t, "relative", saved.Wanted{Definition: jsontext.Value(`{"trend":{"event":"A"},"variables":[]}`), CacheMinutes: 15})
	r.save(t, "fixed", saved.Wanted{Definition: jsontext.Value(`{"sql":"SELECT @{n}","variables":[{"name":"n","type":"integer","default":1}]}`), CacheMinutes: 5})
	r.save(t, "never", saved.Wanted{Definition: jsontext.Value(`{"trend":{"event":"A"}}`)})
	ask := func(id, variables string) query.Question {
		t.Helper()
		if _, err := r.Run(t.Context(), r.mine, id, saved.Asked{Variables: members(t, variables)}); err != nil {
			t.Fatal(err)
		}
		return r.desk.asked[len(r.desk.asked)-1].Question
	}
	first := ask("relative", `{}`)
	r.clock.Advance(time.Second)
	second, other := ask("relative", `{}`), ask("relative", `{"from":"2026-05-30"}`)
	if first.TTL != 15*time.Minute || first.Alike == "" || first.Alike != second.Alike || first.Alike == other.Alike || string(first.Parameters) == string(second.Parameters) {
		t.Errorf("asked %+v, %+v and %+v", first, second, other)
	}
	if q := ask("relative", `{"from":"2026-05-01","to":"2026-05-02"}`); q.Alike != "" {
		t.Errorf("of a fixed time: %+v", q)
	}
	if q := ask("fixed", `{}`); q.TTL != 5*time.Minute || q.Alike != "" {
		t.Errorf("of a fixed value: %+v", q)
	}
	if q := ask("never", `{}`); q.TTL != 0 || q.Alike != "" {
		t.Errorf("of what is not kept: %+v", q)
	}
}

// members are the members of an object.
func members(t *testing.T, text string) map[string]jsontext.Value {
	t.Helper()
	values := map[string]jsontext.Value{}
	in := jsontext.NewDecoder(strings.NewReader(text))
	if _, err := in.ReadToken(); err != nil {
		t.Fatal(err)
	}
	for in.PeekKind() == '"' {
		name, err := in.ReadToken()
		if err != nil {
			t.Fatal(err)
		}
		key := name.String()
		value, err := in.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		values[key] = value.Clone()
	}
	return values
}

// Promise: a metric runs in the time zone that is asked for in the place of its own, a name that is none is told, and
// answers in different zones are kept apart.
func TestRunsInATimeZone(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.save(t, "daily", saved.Wanted{Definition: jsontext.Value(`{"trend":{"event":"A"},"time_zone":"Europe/Paris"}`), CacheMinutes: 15})
	r.save(t, "sql", saved.Wanted{
		Definition: jsontext.Value(`{"sql":"SELECT @{day}","variables":[{"name":"day","type":"timestamp","default":"now - 1 days"}]}`), CacheMinutes: 15,
	})
	ask := func(id, zone, variables string) query.Question {
		t.Helper()
		if _, err := r.Run(t.Context(), r.mine, id, saved.Asked{TimeZone: zone, Variables: members(t, variables)}); err != nil {
			t.Fatal(err)
		}
		return r.desk.asked[len(r.desk.asked)-1].Question
	}
	own, other := ask("daily", "", `{}`), ask("daily", "Asia/Tokyo", `{}`)
	if !strings.Contains(own.SQL, "Europe/Paris") || strings.Contains(other.SQL, "Europe/Paris") || !strings.Contains(other.SQL, "Asia/Tokyo") || other.TimeZone != "" {
		t.Errorf("asked %+v and %+v", own, other)
	}
	first, second := ask("sql", "", `{}`), ask("sql", "Asia/Tokyo", `{}`)
	if first.Alike == "" || first.Alike == second.Alike {
		t.Errorf("kept as %q and %q", first.Alike, second.Alike)
	}
	paris, tokyo := ask("sql", "Europe/Paris", `{"day":"2026-05-01"}`), ask("sql", "Asia/Tokyo", `{"day":"2026-05-01"}`)
	if string(paris.Parameters) == string(tokyo.Parameters) {
		t.Errorf("a date is %s in both zones", paris.Parameters)
	}
	_, err := r.Run(t.Context(), r.mine, "daily", saved.Asked{TimeZone: "Europe/Nowhere"})
	if p := problem.From(err); p.Code != problem.InvalidField || p.Fields[0].Name != "time_zone" {
		t.Errorf("an unknown zone: %v", err)
	}
}
