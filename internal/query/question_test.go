package query_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Promise: a statement that cannot be one is refused before the engine sees it, by the field at fault.
func TestStatementsAreChecked(t *testing.T) {
	t.Parallel()
	for sql, ok := range map[string]bool{
		"": false, " \n\t": false, "SELECT '\x00'": false, "SELECT '\xff'": false,
		"SELECT 1" + strings.Repeat(" ", query.MaxSQLBytes-8): true,
		"SELECT 1" + strings.Repeat(" ", query.MaxSQLBytes-7): false,
	} {
		_, err := service(t, numbers(0)).Facts(t.Context(), query.Question{SQL: sql})
		if ok && err != nil {
			t.Errorf("%.20q was refused: %v", sql, err)
		} else if !ok {
			wantField(t, err, "sql")
		}
	}
	_, err := service(t, numbers(0)).Facts(t.Context(), query.Question{SQL: "SELECT 1", Format: "xml"})
	wantField(t, err, "format")
}

// Promise: parameters are scalars that are exactly those of the statement; each one at fault is named.
func TestParameters(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 70)
	for _, c := range []struct {
		statement string // the names of its parameters
		given     string
		field     string // empty: accepted
	}{
		{"", "", ""}, {"", "null", ""}, {"", "[]", ""}, {"", "{}", ""},
		{"1 2", `[null,true]`, ""}, {"1 2 3", ` [ 1e3 , "a\u0000b" , -0.5 ] `, ""}, {"a b", `{"b":1,"a":false}`, ""},
		{"2", `[1,2]`, ""},
		{"1 2", "", "parameters[0]"}, {"1 2", "[1]", "parameters[1]"}, {"1 2", "[1,2,3]", "parameters[2]"}, {"", "[1]", "parameters[0]"},
		{"a", "", "parameters.a"}, {"a", `{"b":1}`, "parameters.a"}, {"a", `{"a":1,"b":1}`, "parameters.b"}, {"", `{"a":1}`, "parameters"},
		{"1", `{"1":1}`, "parameters"}, {"a", `[1]`, "parameters"},
		{"a", `{"a":[1]}`, "parameters.a"}, {"1 2", `[1,{}]`, "parameters[1]"},
		{"a", `{"a":1,"a":2}`, "parameters"}, {"a", `{"` + long + `":[]}`, "parameters." + long[:64] + "…"},
		{"", `"x"`, "parameters"}, {"", `1`, "parameters"}, {"", `nul`, "parameters"}, {"", `[1,`, "parameters"}, {"", `{"a"}`, "parameters"},
		{"", `[] []`, "parameters"}, {"", `[}`, "parameters"}, {"", ` `, "parameters"}, {"1", `["\ud800"]`, "parameters"},
		{"99999999", `[]`, "sql"},
		{"99999999999999999999", `[]`, "parameters.99999999999999999999"},
		{"1", `["` + strings.Repeat("x", query.MaxParameterBytes-2) + `"]`, ""},
		{"1", `["` + strings.Repeat("x", query.MaxParameterBytes-1) + `"]`, "parameters[0]"},
		{"1000", "[" + strings.Repeat("1,", query.MaxParameters-1) + "1]", ""},
		{"1000", "[" + strings.Repeat("1,", query.MaxParameters) + "1]", "parameters"},
	} {
		e := numbers(0)
		e.facts.Parameters = strings.Fields(c.statement)
		_, err := service(t, e).Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Parameters: jsontext.Value(c.given)})
		switch {
		case c.field == "" && err != nil:
			t.Errorf("%q given %.60q: %v", c.statement, c.given, err)
		case c.field != "":
			if e.ran.SQL != "" {
				t.Errorf("%q given %.60q was run", c.statement, c.given)
			}
			wantField(t, err, c.field)
		}
	}
}

// Promise: all parameters at fault are named at once, in an order that does not change.
func TestAllWrongParametersAreNamed(t *testing.T) {
	t.Parallel()
	e := numbers(0)
	e.facts.Parameters = []string{"b", "a"}
	_, err := service(t, e).Facts(t.Context(), query.Question{SQL: "SELECT 1", Parameters: jsontext.Value(`{"y":1,"x":2,"a":3}`)})
	var got []string
	for _, f := range problem.From(err).Fields {
		got = append(got, f.Name)
	}
	if want := "parameters.b parameters.x parameters.y"; strings.Join(got, " ") != want {
		t.Fatalf("named %v, want %s", got, want)
	}
}

// Promise: the engine gets the values as they were sent, and keeps them when the caller's bytes change.
func TestParametersReachTheEngine(t *testing.T) {
	t.Parallel()
	e := numbers(0)
	e.facts.Parameters = []string{"a", "b"}
	given := jsontext.Value(`{"a":9007199254740993,"b":"x"}`)
	a, err := service(t, e).Ask(t.Context(), permit(t), query.Question{SQL: "SELECT 1", Parameters: given})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	clear(given)
	if got := string(e.ran.Named["a"]) + string(e.ran.Named["b"]); got != `9007199254740993"x"` || e.ran.Positional != nil {
		t.Fatalf("got %s and %v", got, e.ran.Positional)
	}
}

// Promise: what is accepted as parameters, and nothing else, is a JSON array or object of scalars; encoding/json is the
// other opinion.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{`[]`, `[1,"a",null,true]`, `{"a":1}`, `{"a":{"b":1}}`, `[[]]`, `{"a":1,"a":2}`, `[1`, ` null `, `{"":"\ud800"}`, `{"1":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		e := numbers(0)
		var array []any
		object := map[string]any{}
		isArray := json.Unmarshal(given, &array) == nil && array != nil
		isObject := !isArray && json.Unmarshal(given, &object) == nil && object != nil
		for i := range array { // the statement wants just what is given
			e.facts.Parameters = append(e.facts.Parameters, strconv.Itoa(i+1))
		}
		scalars, byName := true, len(object) == 0
		for name, v := range object {
			e.facts.Parameters = append(e.facts.Parameters, name)
			_, err := strconv.Atoi(name)
			byName = byName || err != nil
			array = append(array, v)
		}
		for _, v := range array {
			switch v.(type) {
			case []any, map[string]any:
				scalars = false
			}
		}
		good := len(given) == 0 || string(bytes.TrimSpace(given)) == "null" ||
			(isArray || isObject && byName) && scalars && len(array) <= query.MaxParameters && jsontext.Value(given).IsValid()
		_, err := query.New(query.Config{Engine: e, Now: fixedNow}).Facts(t.Context(), query.Question{SQL: "SELECT 1", Parameters: given})
		if good != (err == nil) && len(given) < query.MaxParameterBytes {
			t.Fatalf("%q: %v, want it accepted: %v", given, err, good)
		}
		if err != nil && problem.Of(err) != problem.InvalidField {
			t.Fatalf("%q: %v", given, err)
		}
	})
}

// Promise: the formats have names and media types; another name is refused with them all in the answer.
func TestFormats(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "application/json", "json": "application/json", "ndjson": "application/x-ndjson",
		"csv": "text/csv; charset=utf-8; header=present", "parquet": "application/vnd.apache.parquet",
		"objects": "application/json", "arrow": "application/vnd.apache.arrow.stream",
	} {
		f, err := query.ParseFormat(name)
		if err != nil || f.ContentType() != want {
			t.Errorf("%q: %q, %v, want %q", name, f.ContentType(), err, want)
		}
	}
	for _, name := range []string{"JSON", "xml", "csv "} {
		_, err := query.ParseFormat(name)
		wantField(t, err, "format")
		for _, f := range []string{"json", "objects", "ndjson", "csv", "parquet", "arrow"} {
			if !strings.Contains(problem.From(err).Detail, f) {
				t.Errorf("the answer to %q does not name %s", name, f)
			}
		}
	}
}

// Promise: an Accept header gets the format it likes best, and one that names none of them gets JSON.
func TestAcceptHeaders(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]query.Format{
		"": query.JSON, "*/*": query.JSON, "text/html,application/xhtml+xml,*/*;q=0.8": query.JSON, "image/png": query.JSON,
		"text/csv": query.CSV, "TEXT/CSV; charset=utf-8": query.CSV, "text/*": query.CSV, "text/csv, */*": query.CSV,
		"application/*": query.JSON, "application/x-ndjson": query.NDJSON, "application/vnd.apache.parquet": query.Parquet,
		"application/json;q=0.5, text/csv;q=0.9": query.CSV, "application/json;q=0, */*;q=0.1": query.NDJSON,
		"text/csv;q=0": query.JSON, "text/csv;q=2": query.JSON, "text/csv;q=x, application/x-ndjson;q=0.001": query.NDJSON,
		"text/csv, application/json": query.JSON, ",;,/,text/csv": query.CSV, "application/json;q=0": query.JSON,
		"application/vnd.apache.arrow.stream": query.Arrow, "application/json;q=0.5, application/vnd.apache.arrow.stream;q=0.6": query.Arrow,
	} {
		if got := query.FormatFromAccept(accept); got != want {
			t.Errorf("Accept %q: got %s, want %s", accept, got, want)
		}
	}
}
