package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// query asks a statement and wants a status; the rows are given as text.
func (s *tables) query(key, sql string, status int) string {
	s.t.Helper()
	question, err := json.Marshal(map[string]any{"sql": sql})
	if err != nil {
		s.t.Fatal(err)
	}
	text := s.ask(key, "POST", "/v1/query", string(question), status)
	if status != 200 {
		return text
	}
	var said struct{ Rows []any }
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprint(said.Rows)
}

// keyOf makes a key as an admin does, of a body without its kind.
func (s *tables) keyOf(body string) string {
	s.t.Helper()
	var made struct{ Key string }
	if err := json.Unmarshal([]byte(s.ask(s.all, "POST", "/v1/keys", `{"kind":"secret",`+body+`}`, 201)), &made); err != nil {
		s.t.Fatal(err)
	}
	return made.Key
}

// Promise: a dataset is a table of its environment, in any case of its name, with the types that its schema says; and nothing
// else is one.
func TestADatasetIsATable(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"My-Quotes","schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"date"},
		"open":{"type":"number"},"volume":{"type":"integer"},"up":{"type":"boolean"},"tags":{"type":"array"},"it's \"odd\"":{"type":"any"},"SYMBOL":{"type":"string"}}},
		"columnMapping":{"key":"symbol","date":"date"}}`, 201)
	if got := s.query(s.all, `SELECT * FROM "my-quotes"`, 200); got != "[]" {
		t.Errorf("without records: %s", got)
	}
	s.ask(s.all, "POST", "/v1/record/CORE/My-Quotes", `[{"symbol":"A","date":"2026-01-02","open":1.5,"volume":9007199254740993,"up":true,"tags":["x",null],"it's \"odd\"":{"k":[1]},"more":{"a":1}},
		{"symbol":"B","date":"2026-01-03T10:00:00+02:00"}]`, 200)
	for sql, want := range map[string]string{
		`SELECT symbol, date, open, up, tags, "it's ""odd""" FROM "MY-QUOTES" ORDER BY symbol`:                                 "[[A 2026-01-02T00:00:00.000000Z 1.5 true [x <nil>] map[k:[1]]] [B 2026-01-03T08:00:00.000000Z <nil> <nil> <nil> <nil>]]",
		`SELECT volume::VARCHAR FROM "my-quotes" WHERE symbol = 'A'`:                                                           "[[9007199254740993]]",
		`SELECT _record->'more'->>'a', _date FROM "my-quotes" WHERE _updated IS NOT NULL AND symbol = 'A'`:                     "[[1 2026-01-02T00:00:00.000000Z]]",
		`SELECT typeof(symbol), typeof(date), typeof(open), typeof(volume), typeof(up), typeof(tags) FROM "my-quotes" LIMIT 1`: "[[VARCHAR TIMESTAMP DOUBLE BIGINT BOOLEAN JSON]]",
		`SELECT count(*) FROM "my-quotes" q LEFT JOIN events e ON e.distinct_id = q.symbol`:                                    "[[2]]",
		`WITH "my-quotes" AS (SELECT 1 AS n) SELECT n FROM "my-quotes"`:                                                        "[[1]]",
	} {
		if got := s.query(s.all, sql, 200); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	for _, none := range []string{`quotes`, `records.x`, `"my-quotes".x`, `main."my-quotes"`, `temp."my-quotes"`, `incoming`, `"records"."incoming"`} {
		s.query(s.all, "SELECT * FROM "+none, 403)
	}
	schema := s.ask(s.all, "GET", "/v1/query/schema", "", 200)
	if !strings.Contains(schema, `{"name":"My-Quotes","description":"A dataset`) || !strings.Contains(schema, `{"name":"volume","type":"BIGINT"`) || strings.Contains(schema, `"SYMBOL"`) {
		t.Errorf("the schema is %s", schema)
	}
	if words := s.ask(s.all, "POST", "/v1/query/autocomplete", `{"sql":"SELECT q.vo FROM \"my-quotes\" q","position":11}`, 200); !strings.Contains(words, `"volume"`) {
		t.Errorf("suggested: %s", words)
	}
	if check := s.ask(s.all, "POST", "/v1/query/validate", `{"sql":"SELECT volume FROM \"my-quotes\" WHERE open > $1"}`, 200); !strings.Contains(check, `"tables":["my-quotes"]`) ||
		!strings.Contains(check, `"type":"BIGINT"`) || !strings.Contains(check, `"estimated_rows":2`) {
		t.Errorf("checked: %s", check)
	}
	if page := s.ask(s.all, "POST", "/v1/query", `{"sql":"SELECT date FROM \"my-quotes\" ORDER BY 1 DESC LIMIT 1","time_zone":"Europe/Paris"}`, 200); !strings.Contains(page, "2026-01-03T09:00:00.000000+01:00") {
		t.Errorf("in a zone: %s", page)
	}
}

// Promise: a statement reads the datasets that its key may read, and a dataset that it may not read is answered as one that is not
// there, word for word.
func TestAStatementReadsWhatItsKeyMay(t *testing.T) {
	t.Parallel()
	w := open(t)
	s, other := newTables(t, w), newTables(t, w)
	for id, class := range map[string]string{"MINE": "core", "THEIRS": "core", "DEAR": "premium"} {
		s.define(id, class)
		s.ask(s.all, "POST", "/v1/record/CORE/"+id, `[{"symbol":"canary","date":"2026-01-01"}]`, 200)
	}
	other.define("MINE", "core")
	for name, c := range map[string]struct {
		body string
		sees []string
	}{
		"everything":           {`"scopes":["sql:run","datasets:read"]`, []string{"MINE", "THEIRS", "DEAR"}},
		"no right to datasets": {`"scopes":["sql:run"]`, nil},
		"only write":           {`"scopes":["sql:run","datasets:write"]`, nil},
		"one by its name":      {`"scopes":["sql:run","datasets:read"],"datasets":{"named":[{"dataset":"MINE","rights":["read"]},{"dataset":"THEIRS","rights":["write"]}]}`, []string{"MINE"}},
		"none":                 {`"scopes":["sql:run","datasets:read"],"datasets":{}`, nil},
		"core":                 {`"scopes":["sql:run","datasets:read"],"datasets":{"core":true}`, []string{"MINE", "THEIRS"}},
		"premium":              {`"scopes":["sql:run","datasets:read"],"datasets":{"premium":true}`, []string{"DEAR"}},
		"a view of events":     {`"scopes":["sql:run","datasets:read"],"view":{"events":{}}`, nil},
		"a view of one":        {`"scopes":["sql:run","datasets:read"],"view":{"datasets.Mine":{}}`, []string{"MINE"}},
		"another environment":  {`"scopes":["sql:run","datasets:read"],"environments":["staging"]`, nil},
	} {
		key := s.keyOf(c.body)
		schema := s.ask(key, "GET", "/v1/query/schema", "", 200)
		for _, id := range []string{"MINE", "THEIRS", "DEAR"} {
			sees := strings.Contains(fmt.Sprint(c.sees), id)
			status := 403
			if sees {
				status = 200
			}
			got := s.query(key, "SELECT symbol FROM "+id, status)
			none := strings.ReplaceAll(s.query(key, "SELECT symbol FROM NO"+id, 403), "NO"+id, id)
			if sees && got != "[[canary]]" || !sees && plainProblem(t, got) != plainProblem(t, none) {
				t.Errorf("%s, %s: %s, and of one that is not there %s", name, id, got, none)
			}
			if strings.Contains(schema, `"`+id+`"`) != sees {
				t.Errorf("%s, %s: %s", name, id, schema)
			}
		}
	}
	if got := other.query(other.all, "SELECT * FROM MINE", 200); got != "[]" {
		t.Errorf("of another project: %s", got)
	}
}

// plainProblem is a problem without what differs from request to request.
func plainProblem(t *testing.T, text string) string {
	t.Helper()
	var p struct {
		Code   string
		Detail string
		Errors []any
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(p)
}

// Promise: in a view a dataset has the rows and columns that the view leaves, whatever a statement asks, and errors tell nothing
// of the others.
func TestAViewNarrowsDatasets(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"STAFF","schema":{"type":"object","properties":{"id":{"type":"string"},"team":{"type":"string"},
		"pay":{"type":"number"},"mail":{"type":"string"},"home":{"type":"object"},"a.b":{"type":"string"}}},"columnMapping":{"key":"id"}}`, 201)
	s.ask(s.all, "POST", "/v1/record/CORE/STAFF", `[{"id":"1","team":"red","pay":10,"mail":"x@example.com","home":{"city":"Rome","street":"canary"},"a.b":"canary"},
		{"id":"2","team":"blue","pay":20,"mail":"canary","home":{"city":"canary"},"secret":"canary"},{"id":"3","team":"red","pay":0,"mail":"y@example.com"}]`, 200)
	key := s.keyOf(`"scopes":["sql:run","datasets:read"],"view":{"datasets.Staff":{"where":[{"column":"team","op":"=","value":"red"}],"hide":["pay","home.street"],"hash":["mail"]}}`)
	if got := s.query(key, "SELECT id, team, home, mail <> 'x@example.com' FROM staff ORDER BY id", 200); got != "[[1 red map[city:Rome] true] [3 red <nil> true]]" {
		t.Errorf("seen: %s", got)
	}
	if got := s.query(key, "SELECT * FROM staff ORDER BY id", 200); strings.Contains(got, "canary") || strings.Contains(got, "example") {
		t.Errorf("all columns: %s", got)
	}
	for _, sql := range []string{
		"SELECT pay FROM staff", `SELECT "a.b" FROM staff`, "SELECT _record FROM staff", "SELECT _date FROM staff", "SELECT _updated FROM staff", "SELECT body FROM staff",
		"SELECT s.pay FROM staff s", "SELECT rowid FROM staff", "SELECT * FROM staff WHERE pay > 1", "SELECT * FROM staff ORDER BY pay", "SELECT error(mail) FROM staff WHERE id = '2'",
	} {
		answer, text := s.w.site.call(t, "POST", "/v1/query", strings.NewReader(`{"sql":`+string(must(json.Marshal(sql)))+`}`), "X-API-Key", key)
		if strings.Contains(text, "canary") || answer.StatusCode == 200 && !strings.Contains(text, `"row_count":0`) {
			t.Errorf("%s: %s", sql, text)
		}
	}
	if got := s.query(key, "SELECT 1 // (id::INT - 2) FROM staff ORDER BY ALL", 200); got != "[[-1] [1]]" {
		t.Errorf("a row that is not there: %s", got)
	}
	s.ask(key, "GET", "/v1/data/CORE/STAFF", "", 403)
	for _, slip := range []string{`"hide":["Pay"]`, `"hash":["nothing"]`, `"hide":["a.b"]`} {
		s.query(s.keyOf(`"scopes":["sql:run","datasets:read"],"view":{"datasets.staff":{`+slip+`}}`), "SELECT id FROM staff", 403)
	}
	for _, wrong := range []string{`{"staff":{}}`, `{"datasets.":{}}`, `{"datasets.events":{}}`, `{"datasets.x y":{}}`, `{"datasets.a":{},"datasets.A":{}}`, `{"datasets.a":{"where":[{"column":"","op":"=","value":1}]}}`} {
		s.ask(s.all, "POST", "/v1/keys", `{"kind":"secret","scopes":["sql:run"],"view":`+wrong+`}`, 422)
	}
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

// Promise: a record of the class premium costs in SQL what it does elsewhere, also where it goes into a number or an error, and
// is not given for less by being kept; of the class core, a statement costs what any does.
func TestPremiumRecordsInSQLCostWhatTheyDo(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	for id, class := range map[string]string{"DEAR": "premium", "CHEAP": "core"} {
		s.define(id, class)
		s.ask(s.all, "POST", "/v1/record/CORE/"+id, `[{"symbol":"A","date":"2026-01-01"},{"symbol":"B","date":"2026-01-01"},{"symbol":"C","date":"2026-01-01"}]`, 200)
	}
	const rights = `"scopes":["sql:run","datasets:read"],"limits":{"credits":{"most":100}}`
	used := func(key string) int64 {
		var said struct {
			Key struct{ Credits struct{ Used int64 } }
		}
		if err := json.Unmarshal([]byte(s.ask(key, "GET", "/v1/limits", "", 200)), &said); err != nil {
			t.Fatal(err)
		}
		return said.Key.Credits.Used
	}
	for sql, want := range map[string]int64{
		`{"sql":"SELECT count(*) FROM dear"}`:                                        31,
		`{"sql":"SELECT * FROM dear a, dear b, cheap c"}`:                            31,
		`{"sql":"SELECT string_agg(symbol, '')::INT FROM dear"}`:                     31,
		`{"sql":"SELECT 1 FROM dear WHERE symbol = 'none'"}`:                         31,
		`{"sql":"SELECT count(*) FROM cheap"}`:                                       1,
		`{"sql":"SELECT nothing FROM dear"}`:                                         1,
		`{"sql":"SELECT count(*) FROM (SELECT 1 FROM cheap)","cache_minutes":5}`:     1,
		`{"sql":"SELECT count(*) AS n FROM dear","cache_minutes":5}`:                 31,
		`{"sql":"SELECT  count(*) AS n FROM dear","cache_minutes":5,"format":"csv"}`: 31,
	} {
		key := s.keyOf(rights)
		s.w.site.call(t, "POST", "/v1/query", strings.NewReader(sql), "X-API-Key", key)
		if got := used(key); got != want {
			t.Errorf("%s came to %d, want %d", sql, got, want)
		}
	}
	const fails = `SELECT string_agg(symbol, '')::INT AS n FROM dear`
	s.ask(s.all, "PUT", "/v1/metrics/failing", `{"definition":{"sql":"`+fails+`"}}`, 201)
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"MANY","sql":"SELECT i AS k FROM range(60000 + (SELECT count(*) FROM dear)) t(i)","columnMapping":{"key":"k"}}`, 201)
	for _, c := range []struct {
		method, path, body string
		want               int64
	}{
		{"POST", "/v1/metrics/failing/query", `{}`, 31},
		{"POST", "/metrics/query/failing", `{}`, 31},
		{"POST", "/metrics/query", `{"encodedQuery":"` + base64.StdEncoding.EncodeToString([]byte(fails)) + `"}`, 31},
		{"POST", "/v1/metrics/test", `{"definition":{"sql":"` + fails + `"}}`, 31},
		{"POST", "/v1/grafana/production/query", `{"range":{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z"},"targets":[{"refId":"A","target":"sql","payload":{"sql":"` + fails + `"}}]}`, 31},
		{"POST", "/v1/grafana/production/variable", `{"range":{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z"},"payload":{"sql":"` + fails + `"}}`, 31},
		{"POST", "/v1/grafana/production/annotations", `{"range":{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z"},"annotation":{"query":"` + fails + `"}}`, 31},
		{"GET", "/v1/data/CORE/MANY?range=max", "", 30},
	} {
		key := s.keyOf(`"scopes":["sql:run","datasets:read","metrics:run","metrics:write"],"limits":{"credits":{"most":100}}`)
		answer, text := s.w.site.call(t, c.method, c.path, strings.NewReader(c.body), "X-API-Key", key, "Content-Type", "application/json")
		if got := used(key); got != c.want || answer.StatusCode < 400 {
			t.Errorf("%s %s came to %d, want %d: %d %s", c.method, c.path, got, c.want, answer.StatusCode, text)
		}
	}
	poor := s.keyOf(`"scopes":["sql:run","datasets:read"],"limits":{"credits":{"most":30}}`)
	s.query(poor, "SELECT count(*) FROM dear", 402)
	s.query(poor, "SELECT symbol::INT FROM dear", 402)
}

// Promise: an answer that is kept is not given once records that it was made of were deleted or replaced, or the dataset is
// another, nor to a key that may not read the dataset.
func TestKeptAnswersOverDatasets(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.define("QUOTES", "core")
	write := func(records string) {
		s.ask(s.all, "POST", "/v1/record/CORE/QUOTES?duplicateKeyHandling=true", records, 200)
	}
	write(`[{"symbol":"A","date":"2026-01-01","open":1},{"symbol":"B","date":"2026-01-01","open":2}]`)
	const question = `{"sql":"SELECT sum(open), count(*) FROM quotes","cache_minutes":60}`
	holds := func(what string, cached bool, rows string) {
		t.Helper()
		if got := s.ask(s.all, "POST", "/v1/query", question, 200); !strings.Contains(got, rows) || !strings.Contains(got, fmt.Sprintf(`"cached":%v`, cached)) {
			t.Errorf("%s: %s", what, got)
		}
	}
	holds("at first", false, "[3,2]")
	holds("again", true, "[3,2]")
	s.ask(s.keyOf(`"scopes":["sql:run"]`), "POST", "/v1/query", question, 403)
	s.ask(s.all, "DELETE", "/v1/data/CORE/QUOTES/A", "", 200)
	holds("when records were deleted", false, "[2,1]")
	write(`[{"symbol":"B","date":"2026-01-01","open":5}]`)
	holds("when one was replaced", false, "[5,1]")
	s.ask(s.all, "DELETE", "/v1/datasets/CORE/QUOTES", "", 204)
	s.ask(s.all, "POST", "/v1/query", question, 403)
	s.define("QUOTES", "core")
	holds("when there is another", false, "[null,0]")
}

// Promise: a dataset may be the answer of a statement over events and other datasets: it is read by key, subkey, time and condition
// as others are, is a table in SQL, is always of now, and shows whoever asks what they may see themselves and no more.
func TestADatasetMadeByAStatement(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.send(`[{"event":"Bought","distinct_id":"u_1","timestamp":"2026-01-01T10:00:00Z","properties":{"sku":"a","n":2}},
		{"event":"Bought","distinct_id":"u_2","timestamp":"2026-01-02T10:00:00Z","properties":{"sku":"a","n":3}},
		{"event":"Bought","distinct_id":"u_2","timestamp":"2026-01-02T11:00:00Z","properties":{"sku":"b","n":5}}]`)
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"NAMES","schema":{"type":"object","properties":{"sku":{"type":"string"},"name":{"type":"string"}}},"columnMapping":{"key":"sku"}}`, 201)
	s.ask(s.all, "POST", "/v1/record/CORE/NAMES", `[{"sku":"a","name":"Apple"},{"sku":"b","name":"Pear"}]`, 200)
	const sales = `SELECT n.name, e.timestamp AS at, e.distinct_id AS buyer, (e.properties->>'n')::INT AS n FROM events e JOIN names n ON n.sku = (e.properties->>'sku') WHERE event = 'Bought'`
	define := func(id, sql, mapping string, status int) string {
		t.Helper()
		body, _ := json.Marshal(map[string]any{"datasetId": id, "sql": sql, "columnMapping": json.RawMessage(mapping)})
		return s.ask(s.all, "POST", "/v1/datasets/CORE", string(body), status)
	}
	made := define("SALES", sales+"; ", `{"key":"name","subkey":"buyer","date":"at"}`, 201)
	if !strings.Contains(made, `"at":{"type":["date","null"]}`) || !strings.Contains(made, `"n":{"type":["integer","null"]}`) || !strings.Contains(made, `"sql":"SELECT n.name`) {
		t.Errorf("made: %s", made)
	}
	for path, want := range map[string]string{
		"/v1/data/CORE/SALES/Apple":                        `[{"name":"Apple","at":"2026-01-02T10:00:00Z","buyer":"u_2","n":3}]`,
		"/v1/data/CORE/SALES/Apple?last=5&sort=asc":        `[{"name":"Apple","at":"2026-01-01T10:00:00Z","buyer":"u_1","n":2},{"name":"Apple","at":"2026-01-02T10:00:00Z","buyer":"u_2","n":3}]`,
		"/v1/data/CORE/SALES/Pear,Apple?on=2026-01-02":     `[{"name":"Pear","at":"2026-01-02T11:00:00Z","buyer":"u_2","n":5},{"name":"Apple","at":"2026-01-02T10:00:00Z","buyer":"u_2","n":3}]`,
		"/v1/data/CORE/SALES/Apple/u_1":                    `[{"name":"Apple","at":"2026-01-01T10:00:00Z","buyer":"u_1","n":2}]`,
		"/v1/data/CORE/SALES?range=max&filter=n%20%3E%204": `[{"name":"Pear","at":"2026-01-02T11:00:00Z","buyer":"u_2","n":5}]`,
		"/v1/data/CORE/SALES?first=1&offset=1":             `[{"name":"Apple","at":"2026-01-02T10:00:00Z","buyer":"u_2","n":3}]`,
		"/v1/data/CORE/SALES/None":                         `[]`,
	} {
		if got := strings.TrimSpace(s.ask(s.all, "GET", path, "", 200)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := s.query(s.all, "SELECT name, sum(n), typeof(max(s.at)) FROM sales s GROUP BY 1 ORDER BY 1", 200); got != "[[Apple 5 TIMESTAMP] [Pear 5 TIMESTAMP]]" {
		t.Errorf("in SQL: %s", got)
	}
	define("TOTALS", "SELECT name, sum(n) AS n FROM sales, events WHERE events.person_id = buyer GROUP BY name", `{"key":"name"}`, 201)
	if got := s.query(s.all, "SELECT name, n FROM totals ORDER BY name", 200); got != "[[Apple 8] [Pear 10]]" {
		t.Errorf("of another: %s", got)
	}

	// Whoever reads it runs it, and a no is recorded like any other.
	if text := s.ask(s.keyOf(`"scopes":["datasets:read"]`), "GET", "/v1/data/CORE/SALES", "", 403); !strings.Contains(text, "sql:run") || !strings.Contains(text, `"decision_id":"dec_`) {
		t.Errorf("without the right to ask: %s", text)
	}

	// Whoever asks runs it.
	asks := func(body, sql string, status int, want string) {
		t.Helper()
		if got := s.query(s.keyOf(body), sql, status); !strings.Contains(got, want) || strings.Contains(got, "Pear") && !strings.Contains(want, "Pear") {
			t.Errorf("%s, %s: %s", body, sql, got)
		}
	}
	const both = `"scopes":["sql:run","datasets:read"]`
	asks(both+`,"datasets":{"named":[{"dataset":"SALES","rights":["read"]}]}`, "SELECT * FROM sales", 403, "SALES")
	asks(both+`,"datasets":{"named":[{"dataset":"NAMES","rights":["read"]}]}`, "SELECT * FROM sales", 403, "There is no table 'sales'")
	asks(both+`,"view":{"datasets.sales":{}}`, "SELECT * FROM sales", 403, "SALES")
	asks(both+`,"view":{"datasets.sales":{},"datasets.names":{},"events":{"where":[{"column":"distinct_id","op":"=","value":"u_1"}]}}`, "SELECT name, n FROM sales", 200, "[[Apple 2]]")
	asks(both+`,"view":{"datasets.sales":{"where":[{"column":"buyer","op":"=","value":"u_1"}],"hide":["n"]},"datasets.names":{},"events":{}}`, "SELECT * EXCLUDE (\"at\") FROM sales", 200, "[[Apple u_1]]")
	s.ask(s.keyOf(`"scopes":["datasets:read"]`), "GET", "/v1/data/CORE/SALES/Apple", "", 403)
	s.ask(s.keyOf(`"scopes":["sql:run","datasets:read"],"datasets":{"named":[{"dataset":"SALES","rights":["read"]}]}`), "GET", "/v1/data/CORE/SALES/Apple", "", 422)

	// What is refused.
	s.ask(s.all, "POST", "/v1/record/CORE/SALES", `[{"name":"x"}]`, 422)
	s.ask(s.all, "POST", "/v1/data/CORE/SALES", "symbol,date\nA,2026-01-01\n", 422)
	s.ask(s.all, "DELETE", "/v1/data/CORE/SALES/Apple", "", 422)
	s.ask(s.all, "GET", "/v1/stream/CORE/SALES", "", 422)
	s.ask(s.all, "GET", "/v1/data/CORE/SALES,NAMES", "", 422)
	s.ask(s.all, "PATCH", "/v1/datasets/CORE/NAMES", `{"sql":"SELECT 'a' AS sku"}`, 422)
	s.ask(s.all, "PATCH", "/v1/datasets/CORE/SALES?existing=reingest", `{"title":"x"}`, 422)
	s.ask(s.all, "PATCH", "/v1/datasets/CORE/SALES", `{"sql":"SELECT name, \"at\", buyer, n FROM sales"}`, 422)
	s.ask(s.all, "PATCH", "/v1/datasets/CORE/SALES", `{"sql":"SELECT s.name, s.\"at\", s.buyer, s.n FROM sales s, totals"}`, 422)
	s.ask(s.keyOf(`"scopes":["datasets:read","datasets:write"]`), "POST", "/v1/datasets/CORE", `{"datasetId":"X","sql":"SELECT 1 AS a","columnMapping":{"key":"a"}}`, 403)
	for sql, status := range map[string]int{"SELECT * FROM nothing": 422, "SELECT $1 AS name": 422, "DROP TABLE events": 422, "SELECT nothing FROM events": 422, "SELECT 1 AS other": 422, " ": 422, "SELECT 1 AS name, 2 AS NAME": 422} {
		define("BAD", sql, `{"key":"name"}`, status)
	}
	for n, below := 0, "SALES"; n < 5; n++ {
		status := 201
		if n >= 3 {
			status = 422
		}
		define(fmt.Sprintf("DEEP%d", n), "SELECT name FROM "+below, `{"key":"name"}`, status)
		if status == 201 {
			below = fmt.Sprintf("DEEP%d", n)
		}
	}
}
