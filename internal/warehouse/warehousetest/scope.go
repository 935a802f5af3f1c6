package warehousetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// hiddenCanary is in every hidden row, column and property of the scope tests, and behind every hash.
const hiddenCanary = "kittiwake-3381"

// scopedSpace loads a space of two tenants, a and b, and gives the scope that shows a's rows, without what is secret.
func scopedSpace(t *testing.T, w Warehouse, s event.Space) view.Scope {
	t.Helper()
	var batch []event.Event
	for i := range 6 {
		tenant, n := "a", fmt.Sprint(i)
		e := trackEvent(s, fmt.Sprint("event ", i))
		if i%2 == 1 {
			tenant, n, e.Name = "b", `"`+hiddenCanary+`"`, hiddenCanary
			e.SessionID, e.AnonymousID, e.ID = hiddenCanary, hiddenCanary, hiddenCanary+fmt.Sprint(i)
		}
		e.Timestamp = noon.Add(time.Duration(i) * time.Hour)
		e.DistinctID, e.DeviceID, e.KeyID = tenant+" "+hiddenCanary, hiddenCanary, hiddenCanary
		e.Properties = jsontext.Value(`{"org":"` + tenant + `","n":` + n + `,"email":"` + hiddenCanary + `","deep":[{"email":"` + hiddenCanary + `","x":1}],"user":"` + e.DistinctID + `"}`)
		who := identify(s, e.DistinctID, hiddenCanary, e.Timestamp, `{"org":"`+tenant+`","email":"`+hiddenCanary+`"}`)
		who.ID = "who " + fmt.Sprint(i)
		batch = append(batch, e, who)
	}
	load(t, w, s, 1, batch...)
	ofA := func(column string) []view.Condition {
		return []view.Condition{{Column: column, Property: "org", Op: view.Equal, Values: []any{"a"}}}
	}
	return view.Scope{HashKey: view.NewHashKey([]byte("of the kit")), Tables: []view.TableScope{
		{
			Table: "events", Where: ofA("properties"), Hidden: []string{"device_id", "key_id", "properties.email", "properties.deep.email"},
			Hashed: []string{"distinct_id", "properties.user"},
		},
		{Table: "persons", Where: ofA("traits"), Hidden: []string{"anonymous_id", "traits.email"}, Hashed: []string{"distinct_id"}},
	}}
}

// Promise: a statement sees the rows and columns of its scope, and those whole; hashes are the same wherever the same
// value is hashed, and so can be joined; the counts, the names and the listing know of nothing else.
func scopes(t *testing.T, open Opener) {
	w, again := open(t)
	s := space("scopes")
	scope := scopedSpace(t, w, s)
	for range 2 {
		for sql, want := range map[string]string{
			"SELECT count(*), count(DISTINCT distinct_id), min(event), max(event) FROM events": `[3,1,"event 0","event 4"]`,
			"SELECT count(*) FROM persons": `[1]`,
			"SELECT count(*) FROM events JOIN persons ON events.distinct_id = persons.distinct_id": `[3]`,
			"SELECT count(*) FROM events WHERE distinct_id = (properties->>'user')":                `[3]`,
			"SELECT sum(CAST(properties->>'n' AS BIGINT)) FROM events":                             `[6]`,
			"SELECT properties->>'email' FROM events LIMIT 1":                                      `[null]`,
			"SELECT count(*) FROM events WHERE event LIKE '%" + hiddenCanary + "%'":                `[0]`,
		} {
			if got, err := ask(t.Context(), w, s, query.Statement{SQL: sql, Scope: scope}); err != nil || !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %v, %v; want %s", sql, got, err, want)
			}
		}
		answer, err := w.Run(t.Context(), s, query.Statement{SQL: "SELECT * FROM events", Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := answer.Columns(), view.Schema(scope)[0].Columns; !slices.Equal(got, want) {
			t.Errorf("the columns are %v, and the listing says %v", got, want)
		}
		row, err := answer.Next()
		if want := scope.HashKey.AppendHash(nil, []byte("a "+hiddenCanary)); err != nil || !strings.Contains(string(row), string(want)) ||
			!strings.Contains(string(row), `"deep":[{"x":1}]`) {
			t.Errorf("a row is %s, %v; the hash should be %s", row, err, want)
		}
		_ = answer.Close()
		wantRows(t, w, s, "SELECT count(*) FROM events", "[6]")
		w = again()
	}
}

// Promise: no statement gets at what its scope hides: not by another name, nor by an error, and a table that the scope
// does not have is not there.
func scopesHold(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("hold")
	scope := scopedSpace(t, w, s)
	quiet := func(sql string, scope view.Scope) error {
		t.Helper()
		got, err := ask(t.Context(), w, s, query.Statement{SQL: sql, Scope: scope})
		if said := fmt.Sprint(got, err, problem.From(err)); err != nil && strings.Contains(said, hiddenCanary) || strings.Contains(fmt.Sprint(got), hiddenCanary) {
			t.Errorf("%s tells of what is hidden: %v, %v", sql, got, err)
		}
		return err
	}
	for _, sql := range []string{
		"SELECT * FROM events", "SELECT * FROM persons", "FROM events SELECT to_json(events)", "SELECT events FROM events", "SELECT persons FROM persons",
		"SELECT * FROM events a JOIN persons b ON true", "SELECT * FROM EVENTS", `SELECT * FROM "Events"`, "SELECT properties::VARCHAR FROM events",
		"SELECT json_keys(properties), properties->'deep' FROM events", "SELECT e.* FROM events e, events f", "WITH x AS (SELECT * FROM events) SELECT * FROM x, x y",
		"SELECT min(COLUMNS(*)), max(COLUMNS(*)) FROM events", "SELECT * FROM (SELECT * FROM events UNION ALL SELECT * FROM events) EXCEPT SELECT * FROM events LIMIT 0",
		"SELECT * FROM events WHERE EXISTS (SELECT 1 FROM persons p WHERE p.distinct_id = events.distinct_id)",
	} {
		if err := quiet(sql, scope); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{ // what fails for hidden rows alone does not fail
		"SELECT count(*) FROM events WHERE CAST(properties->>'n' AS BIGINT) > 100",
		"SELECT count(*) FROM events WHERE 1 / CAST(properties->>'n' AS BIGINT) > 100 OR true",
		"SELECT event FROM events WHERE CAST(properties->>'n' AS BIGINT) % 2 = 0 ORDER BY event",
		"SELECT sum(CAST(properties->>'n' AS BIGINT)) FROM events WHERE timestamp >= '2026-01-01'",
		"SELECT count(*) FROM events e JOIN events f ON CAST(e.properties->>'n' AS BIGINT) = CAST(f.properties->>'n' AS BIGINT)",
		"SELECT count(*) FROM events GROUP BY CAST(properties->>'n' AS BIGINT) HAVING count(*) > 0",
		"SELECT (SELECT event FROM events WHERE CAST(properties->>'n' AS BIGINT) = 2)",
	} {
		if err := quiet(sql, scope); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"SELECT device_id FROM events", "SELECT key_id FROM events", "SELECT events.device_id FROM events", "SELECT devise_id FROM events", "SELECT e.x FROM events e",
		"SELECT anonymous_id FROM persons", "SELECT * EXCLUDE (device_id) FROM events", "SELECT rowid FROM events", "SELECT kind FROM events", "SELECT * FROM events USING SAMPLE 50%",
		"SELECT * FROM main.events", "SELECT * FROM store.event", "SELECT * FROM temp.events", "SELECT * FROM memory.main.events", `SELECT * FROM "store.event"`, `SELECT * FROM "store"."event"`,
		"WITH events AS (SELECT 1) SELECT * FROM events", "SELECT * FROM information_schema.columns", "SELECT * FROM query_table('events')", "SELECT * FROM query('FROM events')",
		"SELECT CAST(event AS BIGINT) FROM events", "SELECT weir_rewrite_text(1, 'x')",
	} {
		err := quiet(sql, scope)
		if !refused(err) {
			t.Errorf("%s: %v", sql, err)
		}
		for _, name := range []string{"device_id", "key_id"} {
			if detail := problem.From(err).Detail; strings.Contains(detail, name) && !strings.Contains(sql, name) {
				t.Errorf("%s: the error names what is hidden: %s", sql, detail)
			}
		}
	}
	only := view.Scope{Tables: scope.Tables[:1], HashKey: scope.HashKey}
	nothing := view.Scope{Tables: []view.TableScope{}}
	for _, c := range []struct {
		sql   string
		scope view.Scope
	}{{"SELECT * FROM persons", only}, {"SELECT 1 FROM events, persons", only}, {"SELECT * FROM events WHERE event IN (SELECT distinct_id FROM persons)", only}, {"SELECT * FROM events", nothing}} {
		if err := quiet(c.sql, c.scope); problem.Of(err) != problem.SQLNotAllowed {
			t.Errorf("%s: %v", c.sql, err)
		}
	}
	if err := quiet("SELECT 1", nothing); err != nil {
		t.Error(err)
	}
	if err := quiet("SELECT 1", view.Scope{Tables: []view.TableScope{{Table: "events", Hashed: []string{"event"}}}}); problem.Of(err) != problem.Internal {
		t.Errorf("a scope that hashes without a key: %v", err)
	}
}

// Promise: statements in different scopes run at the same time over the same space, and none sees another's.
func scopesAreApart(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("apart")
	var batch []event.Event
	for i := range 40 {
		e := trackEvent(s, fmt.Sprint("tenant ", i%4))
		e.ID, e.SessionID = fmt.Sprint(i), fmt.Sprint("session ", i)
		batch = append(batch, e)
	}
	load(t, w, s, 1, batch...)
	var wait sync.WaitGroup
	for tenant := range 4 {
		name := fmt.Sprint("tenant ", tenant)
		scope := view.Scope{HashKey: view.NewHashKey([]byte(name)), Tables: []view.TableScope{{
			Table: "events", Where: []view.Condition{{Column: "event", Op: view.Equal, Values: []any{name}}}, Hashed: []string{"session_id"},
		}}}
		hash := string(scope.HashKey.AppendHash(nil, fmt.Appendf(nil, "session %d", tenant)))
		want := []string{fmt.Sprintf("[10,%q,true]", name)}
		wait.Go(func() {
			for range 12 {
				sql := "SELECT count(*), min(event), count(CASE WHEN session_id = '" + hash + "' THEN 1 END) = 1 FROM events"
				if got, err := ask(t.Context(), w, s, query.Statement{SQL: sql, Scope: scope}); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s sees %v, %v", name, got, err)
					return
				}
			}
		})
	}
	wait.Wait()
	wantRows(t, w, s, "SELECT count(*) FROM events", "[40]")
}

// Promise: the values of a condition, and the names in it, are taken for nothing but themselves.
func scopesOfHostileTexts(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("hostilescopes")
	var batch []event.Event
	for i, text := range hostile() {
		quoted, _ := jsontext.AppendQuote(nil, text)
		e := trackEvent(s, text)
		e.ID, e.Properties = fmt.Sprint(i), jsontext.Value(fmt.Sprintf(`{%s:%s,"v":%s}`, quoted, quoted, quoted))
		if text == "v" {
			t.Fatal("the test's own property")
		}
		batch = append(batch, e)
	}
	load(t, w, s, 1, batch...)
	for i, text := range hostile() {
		quoted, _ := jsontext.AppendQuote(nil, text)
		for _, c := range []view.Condition{
			{Column: "event", Op: view.Equal, Values: []any{text}},
			{Column: "event", Op: view.In, Values: []any{text, "no such"}},
			{Column: "properties", Property: "v", Op: view.Equal, Values: []any{text}},
			{Column: "properties", Property: string(quoted), Op: view.Equal, Values: []any{text}},
			{Column: "properties", Property: string(quoted), Op: view.GreaterEqual, Values: []any{text}},
		} {
			scope := view.Scope{Tables: []view.TableScope{{Table: "events", Where: []view.Condition{c}}}}
			got, err := ask(t.Context(), w, s, query.Statement{SQL: "SELECT event_id FROM events", Scope: scope})
			if err != nil || !slices.Equal(got, []string{fmt.Sprintf("[\"%d\"]", i)}) {
				t.Errorf("%q by %s.%s %s: %v, %v", text, c.Column, c.Property, c.Op, got, err)
			}
		}
		scope := view.Scope{Tables: []view.TableScope{{Table: "events", Where: []view.Condition{{Column: "event", Op: view.NotEqual, Values: []any{text}}}}}}
		got, err := ask(t.Context(), w, s, query.Statement{SQL: "SELECT count(*) FROM events", Scope: scope})
		if err != nil || !slices.Equal(got, []string{fmt.Sprintf("[%d]", len(hostile())-1)}) {
			t.Errorf("others than %q: %v, %v", text, got, err)
		}
	}
}

// Promise: what a statement would answer is known without running it, and only as far as its scope goes.
func describes(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("describes")
	scope := scopedSpace(t, w, s)
	d, err := w.Describe(t.Context(), s, query.Statement{SQL: "SELECT event, count(*) AS n FROM events WHERE timestamp >= $1 AND event = $2 GROUP BY event"})
	if err != nil || fmt.Sprint(d.Tables, d.Columns, d.Parameters) != "[events] [{event VARCHAR} {n BIGINT}] [{1 TIMESTAMP} {2 VARCHAR}]" || d.Rows < 6 {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = w.Describe(t.Context(), s, query.Statement{SQL: "SELECT * FROM events", Scope: scope})
	if err != nil || !slices.Equal(d.Columns, view.Schema(scope)[0].Columns) || d.Rows != query.Untold {
		t.Errorf("in a scope: %+v, %v", d, err)
	}
	d, err = w.Describe(t.Context(), s, query.Statement{SQL: "SELECT $1"})
	if err != nil || len(d.Columns) > 0 || len(d.Parameters) != 1 {
		t.Errorf("of a type that is not settled: %+v, %v", d, err)
	}
	for sql, code := range map[string]problem.Code{
		"SELECT device_id FROM events": problem.InvalidSQL, "DELETE FROM events": problem.SQLNotAllowed, "SELECT FROM": problem.InvalidSQL,
		"SELECT event + 1 FROM events": problem.InvalidSQL,
	} {
		if _, err := w.Describe(t.Context(), s, query.Statement{SQL: sql, Scope: scope}); problem.Of(err) != code {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
