package warehousetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Promise: two spaces whose events are the same but for one canary never see one another, whatever the statement.
func spacesAreApart(t *testing.T, open Opener) {
	w, again := open(t)
	const canary = "canary-7f3a"
	mine := event.Space{Project: "tenant", Environment: "production"}
	others := []event.Space{{Project: "tenant", Environment: "staging"}, {Project: "tenant2", Environment: "production"}, {Project: "Tenant", Environment: "production"}}
	for _, s := range append(others, mine) {
		for i := range 3 {
			e := trackEvent(s, fmt.Sprintf("e%d", i))
			if s != mine && i == 1 {
				e.Name, e.DistinctID, e.Properties = canary, canary, jsontext.Value(`{"x":"`+canary+`"}`)
			}
			load(t, w, s, event.Position(i+1), e)
		}
	}
	for range 2 {
		for _, sql := range []string{
			"SELECT * FROM events", "SELECT min(event), max(event), min(distinct_id), max(distinct_id) FROM events",
			"SELECT * FROM events a, events b", "SELECT * FROM (SELECT * FROM events) x ORDER BY 1", "SELECT * FROM persons",
		} {
			got := rows(t, w, mine, sql)
			if strings.Contains(strings.Join(got, ""), canary) {
				t.Errorf("%s shows another space's event: %v", sql, got)
			}
		}
		for _, s := range others {
			wantRows(t, w, s, "SELECT count(*) FROM events WHERE event = '"+canary+"'", "[1]")
		}
		w = again()
	}
	for _, name := range []string{
		"tenant.events", "tenant2.events", "production.events", "main.events", "memory.events", "system.events", "store.event", "event", "state",
		"information_schema.tables", `"events.parquet"`, `"../tenant2/production.db"`, "tables", "columns", "default.events", "system.tables",
	} {
		_, err := ask(t.Context(), w, mine, query.Statement{SQL: "SELECT * FROM " + name})
		if !refused(err) {
			t.Errorf("SELECT * FROM %s: %v", name, err)
		}
	}
}

// refused reports whether a statement was turned down for what it is.
func refused(err error) bool {
	code := problem.Of(err)
	return code == problem.SQLNotAllowed || code == problem.InvalidSQL || code == problem.InvalidField
}

// hostile are texts that break what takes them for anything but bytes. All are different.
func hostile() []string {
	return []string{
		"a", "A", "a ", " a", "a\t", "a\n", "é", "e\u0301", "ﬁ", "fi", "ß", "ss", "İ", "i", "\u200d", "a\u200b", "😀", "👩\u200d👧", "𐍈", "\U0010FFFF", "\uFFFD",
		"'", "''", `"`, `\`, `\'`, "';--", "' OR '1'='1", "'); DROP TABLE events; --", "$1", "$name", "?", "%", "_", "{}", "[1]", "null", "NULL", "true",
		"0", "00", "1e1", "-", "/", "..", "\u0001", "\u007f", "\u0085", "\u2028", strings.Repeat("x", 200), strings.Repeat("😀", 50), "a\r\nb", "＇",
	}
}

// Promise: texts that look alike stay apart, in the tables, in parameters, as ids and among repeats.
func hostileTexts(t *testing.T, open Opener) {
	w, again := open(t)
	s := space("hostile")
	var batch []event.Event
	for i, text := range hostile() {
		e := own(s, text, text, noon)
		quoted, err := jsontext.AppendQuote(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		e.DistinctID, e.SessionID, e.Properties = text, fmt.Sprint(i), jsontext.Value(`{"v":`+string(quoted)+`,`+string(quoted)+`:1}`)
		who := own(s, "", "identify "+text, noon)
		who.Kind, who.DistinctID, who.Properties = event.Identify, text, e.Properties
		batch = append(batch, e, who)
	}
	n := fmt.Sprint(len(hostile()))
	load(t, w, s, 1, batch...)
	w = again()
	load(t, w, s, event.Position(len(batch)+1), batch...)
	wantRows(t, w, s, "SELECT count(*), count(DISTINCT event_id), count(DISTINCT event), count(DISTINCT distinct_id) FROM events",
		"["+n+","+n+","+n+","+n+"]")
	wantRows(t, w, s, "SELECT count(*), count(DISTINCT distinct_id) FROM persons", "["+n+","+n+"]")
	for i, text := range hostile() {
		quoted, err := jsontext.AppendQuote(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ask(t.Context(), w, s, query.Statement{
			SQL:        "SELECT event, distinct_id, event_id, session_id, properties FROM events WHERE distinct_id = $1 AND event = $1 AND event_id = $1",
			Positional: []jsontext.Value{quoted},
		})
		want := fmt.Sprintf(`[%s,%s,%s,"%d",{"v":%s,%s:1}]`, quoted, quoted, quoted, i, quoted, quoted)
		if err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("%q comes back as %v, %v", text, got, err)
		}
	}
}

// Promise: the value of a parameter is never read as SQL, and keeps its type and all its digits.
func parametersAreBound(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("parameters")
	load(t, w, s, 1, trackEvent(s, "one"), trackEvent(s, "two"))
	for _, c := range []struct {
		st   query.Statement
		want string
	}{
		{query.Statement{SQL: "SELECT count(*) FROM events WHERE event = $1", Positional: values(`"' OR 1=1 --"`)}, "[0]"},
		{query.Statement{SQL: "SELECT count(*) FROM events WHERE event = ?", Positional: values(`"one"`)}, "[1]"},
		{query.Statement{SQL: "SELECT count(*) FROM events WHERE event = $2 OR event = $1", Positional: values(`"one"`, `"two"`)}, "[2]"},
		{query.Statement{SQL: "SELECT count(*) FROM events WHERE event = $name", Named: map[string]jsontext.Value{"name": jsontext.Value(`"one"`)}}, "[1]"},
		{query.Statement{SQL: "SELECT count(*) FROM events WHERE received_at = $at", Named: map[string]jsontext.Value{"at": jsontext.Value(`"2026-03-04T12:00:00Z"`)}}, "[2]"},
		{query.Statement{SQL: "SELECT event FROM events ORDER BY event LIMIT $n", Named: map[string]jsontext.Value{"n": jsontext.Value(`1`)}}, `["one"]`},
		{query.Statement{SQL: "SELECT $1, $2, $3, $4", Positional: values(`null`, `true`, `9007199254740993`, `"é\u0022"`)}, `[null,true,9007199254740993,"é\""]`},
		{query.Statement{SQL: "SELECT $1 + 1", Positional: values(`18446744073709551615`)}, `[18446744073709551616]`},
		{query.Statement{SQL: "SELECT $1 * 2", Positional: values(`0.25`)}, `[0.5]`},
	} {
		got, err := ask(t.Context(), w, s, c.st)
		if err != nil || !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %v, %v; want %s", c.st.SQL, got, err, c.want)
		}
	}
}

func values(texts ...string) []jsontext.Value {
	all := make([]jsontext.Value, len(texts))
	for i, text := range texts {
		all[i] = jsontext.Value(text)
	}
	return all
}

// Promise: a parameter without a value, a value without a parameter and a value that cannot be bound are problems of
// the field at fault.
func parametersMustFit(t *testing.T, open Opener) {
	w, _ := open(t)
	for _, c := range []struct {
		st    query.Statement
		field string
	}{
		{query.Statement{SQL: "SELECT $1, $2", Positional: values(`1`)}, "parameters[1]"},
		{query.Statement{SQL: "SELECT $1", Positional: values(`1`, `2`)}, "parameters[1]"},
		{query.Statement{SQL: "SELECT 1", Positional: values(`1`)}, "parameters[0]"},
		{query.Statement{SQL: "SELECT $a", Named: map[string]jsontext.Value{"b": jsontext.Value(`1`)}}, "parameters.a"},
		{query.Statement{SQL: "SELECT $a", Named: map[string]jsontext.Value{"a": jsontext.Value(`1`), "b": jsontext.Value(`1`)}}, "parameters.b"},
		{query.Statement{SQL: "SELECT $a", Named: map[string]jsontext.Value{"a": jsontext.Value(`1`), "A": jsontext.Value(`2`)}}, "parameters.A"},
		{query.Statement{SQL: "SELECT $1", Positional: values(`[1]`)}, "parameters[0]"},
		{query.Statement{SQL: "SELECT $1", Positional: values(`1e999`)}, "parameters[0]"},
	} {
		p := wantProblem(t, w, space("fit"), c.st, problem.InvalidField)
		if len(p.Fields) != 1 || p.Fields[0].Name != c.field {
			t.Errorf("%s: the fields at fault are %v, want %s", c.st.SQL, p.Fields, c.field)
		}
	}
}

// Promise: nothing but a single SELECT runs, and what is refused changes nothing.
func onlySelects(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("selects")
	load(t, w, s, 1, trackEvent(s, "kept"))
	for _, sql := range []string{
		"INSERT INTO events(event) VALUES ('x')", "DELETE FROM events", "UPDATE events SET event = 'x'", "DROP VIEW events", "CREATE TABLE t(a INTEGER)",
		"SELECT 1; DELETE FROM events", "", "-- nothing", "BEGIN", "COMMIT", "EXPLAIN SELECT 1", "SET threads = 1", "SHOW TABLES", "CHECKPOINT",
		"COPY events TO '/tmp/weir-must-not-exist'", "ATTACH '/tmp/weir-must-not-exist' AS x", "PRAGMA version", "SELECT 1\x00 FROM events",
		"SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
	} {
		_, err := ask(t.Context(), w, s, query.Statement{SQL: sql})
		if !refused(err) {
			t.Errorf("%q: %v", sql, err)
		}
		if _, err = w.Analyze(t.Context(), sql); !refused(err) {
			t.Errorf("analyzing %q: %v", sql, err)
		}
	}
	wantRows(t, w, s, "SELECT event FROM events", `["kept"]`)
	for _, c := range []struct{ sql, place string }{
		{"SELECT event,\n  nosuchcolumn FROM events", "line 2"},
		{"SELECT CAST(event AS INTEGER) FROM events", ""},
		{"SELECT FROM WHERE", "line 1"},
	} {
		p := wantProblem(t, w, s, query.Statement{SQL: c.sql}, problem.InvalidSQL)
		if !strings.Contains(p.Detail, c.place) {
			t.Errorf("%s: the detail is %q, which does not say %s", c.sql, p.Detail, c.place)
		}
	}
}

// Promise: what a statement reads and takes is found without running it.
func analyze(t *testing.T, open Opener) {
	w, _ := open(t)
	for _, c := range []struct {
		sql                string
		tables, parameters []string
	}{
		{"SELECT 1", nil, nil},
		{"SELECT count(*) FROM persons p JOIN events e ON p.distinct_id = e.distinct_id JOIN events f ON true WHERE e.event = $name", []string{"persons", "events"}, []string{"name"}},
		{"WITH x AS (SELECT * FROM events) SELECT $1 FROM x WHERE $2", []string{"events"}, []string{"1", "2"}},
	} {
		facts, err := w.Analyze(t.Context(), c.sql)
		if err != nil || !slices.Equal(facts.Tables, c.tables) || !slices.Equal(facts.Parameters, c.parameters) {
			t.Errorf("%s: %+v, %v", c.sql, facts, err)
		}
	}
}

// product is a statement whose work grows with the third power of a space's events.
const product = "SELECT count(*) FROM events a, events b, events c WHERE a.event_id || b.event_id < c.event_id || a.event_id"

// crowd loads enough events into a space to make product run for minutes.
func crowd(t *testing.T, w Warehouse, s event.Space) {
	t.Helper()
	var batch []event.Event
	for i := range 4000 {
		batch = append(batch, trackEvent(s, fmt.Sprintf("event number %d", i)))
	}
	load(t, w, s, 1, batch...)
}

// Promise: a statement over a ceiling ends in the problem that names it, one at the ceiling does not, and the warehouse
// serves on.
func ceilings(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("ceilings")
	crowd(t, w, s)
	with := func(sql string, c query.Ceilings) query.Statement { return query.Statement{SQL: sql, Ceilings: c} }
	p := wantProblem(t, w, s, with(product, query.Ceilings{Time: 200 * time.Millisecond}), problem.QueryTimeout)
	if !strings.Contains(p.Detail, "200ms") {
		t.Errorf("the detail %q does not name the ceiling", p.Detail)
	}
	p = wantProblem(t, w, s, with("SELECT event FROM events", query.Ceilings{Rows: 3999}), problem.ResultTooLarge)
	if !strings.Contains(p.Detail, "3999 rows") {
		t.Errorf("the detail %q does not name the ceiling", p.Detail)
	}
	p = wantProblem(t, w, s, with("SELECT event FROM events", query.Ceilings{Bytes: 4000}), problem.ResultTooLarge)
	if !strings.Contains(p.Detail, "4000 bytes") {
		t.Errorf("the detail %q does not name the ceiling", p.Detail)
	}
	got, err := ask(t.Context(), w, s, with("SELECT 'abc' FROM events", query.Ceilings{Rows: 4000, Bytes: 4000 * int64(len(`["abc"]`)), Time: time.Minute}))
	if err != nil || len(got) != 4000 {
		t.Errorf("a result as large as its ceilings: %d rows, %v", len(got), err)
	}
	got, err = ask(t.Context(), w, s, with("SELECT a.event_id FROM events a, events b, events c", query.Ceilings{Rows: 10}))
	if problem.Of(err) != problem.ResultTooLarge || len(got) > 10 {
		t.Errorf("a huge result: %d rows, %v", len(got), err)
	}
	wantRows(t, w, s, "SELECT count(*) FROM events", "[4000]")
}
