package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
)

// credentials are the columns of testdata/matrix.txt: each gives the key that is sent for a route, by its scope.
var credentials = map[string]func(*matrix, access.Scopes) string{
	"none":      func(*matrix, access.Scopes) string { return "" },
	"malformed": func(*matrix, access.Scopes) string { return "let-me-in" },
	"mistyped":  func(*matrix, access.Scopes) string { return "sk_live_3fQ9xT0aLmZkThisIsAnExampleNotASecret000hfanX" },
	"unknown": func(*matrix, access.Scopes) string {
		return access.WriteKey(access.Secret, access.Live, strings.Repeat("0", access.LookupLength), strings.Repeat("0", access.SecretLength))
	},
	"revoked": func(m *matrix, _ access.Scopes) string { return m.key("secret live all, revoked") },
	"expired": func(m *matrix, _ access.Scopes) string { return m.key("secret live all, expired") },
	"public":  func(m *matrix, _ access.Scopes) string { return m.key("public live") },
	"without": func(m *matrix, s access.Scopes) string {
		return m.key("secret live " + (access.AllScopes &^ s).String())
	},
	"exactly":  func(m *matrix, s access.Scopes) string { return m.key("secret live " + orAny(s).String()) },
	"caged":    func(m *matrix, _ access.Scopes) string { return m.key("secret live all in staging") },
	"test":     func(m *matrix, _ access.Scopes) string { return m.key("secret test all") },
	"stranger": func(m *matrix, _ access.Scopes) string { return m.stranger },
	"in-query": func(m *matrix, _ access.Scopes) string { return m.key("secret live all") },
	"operator": func(m *matrix, _ access.Scopes) string { return m.key("operator") },
}

// orAny is the scope, or one that does not matter for an action that needs none: a key holds one at least.
func orAny(s access.Scopes) access.Scopes {
	if s == 0 {
		return access.EventsRead
	}
	return s
}

// verdicts are the words of the table.
var verdicts = map[string]string{
	"+": "", "no-key": "401 missing_credential", "form": "401 malformed_key", "no": "401 key_not_accepted", "url": "401 secret_key_in_url",
	"scope": "403 missing_scope", "env": "403 environment_not_allowed", "wide": "403 grant_too_wide", "gone": "404 not_found",
}

// wishes are well-formed requests, one for each route; SUBJECT stands for the id of a live key of the project, and
// SCOPE for the scope of the route. A wish about an environment names production.
var wishes = map[string]struct{ path, body string }{
	"POST /track":           {"/track", `{"event":"A","environment":"production"}`},
	"POST /identify":        {"/identify", `{"distinct_id":"u_1","environment":"production"}`},
	"POST /alias":           {"/alias", `{"distinct_id":"u_1","new_user_id":"u_2","environment":"production"}`},
	"POST /v1/events":       {"/v1/events", `{"name":"A","environment":"production"}`},
	"POST /v1/events/batch": {"/v1/events/batch", `[{"name":"A","environment":"production"}]`},
	"POST /v1/query":        {"/v1/query", `{"sql":"SELECT 1","environment":"production"}`},
	"GET /v1/events":        {"/v1/events?environment=production", ""},
	"GET /v1/events/stream": {"/v1/events/stream?environment=production", ""},
	"POST /v1/keys":         {"/v1/keys", `{"kind":"secret","scopes":["SCOPE"]}`},
	"GET /v1/keys":          {"/v1/keys", ""},
	"GET /v1/keys/{id}":     {"/v1/keys/SUBJECT", ""},
	"PATCH /v1/keys/{id}":   {"/v1/keys/SUBJECT", `{"label":"changed"}`},
	"DELETE /v1/keys/{id}":  {"/v1/keys/SUBJECT", ""},
	"GET /v1/denials":       {"/v1/denials", ""},
	"GET /v1/usage":         {"/v1/usage", ""},
	"GET /v1/whoami":        {"/v1/whoami", ""},
	"GET /healthz":          {"/healthz", ""},
	"GET /readyz":           {"/readyz", ""},
	"GET /openapi.json":     {"/openapi.json", ""},
	"GET /docs":             {"/docs", ""},
	"GET /docs/{asset}":     {"/docs/favicon-16x16.png", ""},
	"GET /problems/{code}":  {"/problems/not_found", ""},
}

// matrix is two projects with keys, each made once.
type matrix struct {
	own      *project
	stranger string
	made     map[string]string
}

func (m *matrix) key(description string) string {
	if m.made[description] == "" {
		m.made[description] = m.own.key(description).text
	}
	return m.made[description]
}

// Promise: every route has a tested verdict for every kind of credential, and a new route without one fails.
func TestEveryRouteForEveryCredential(t *testing.T) {
	t.Parallel()
	w := open(t)
	m := &matrix{own: w.project(t), stranger: w.project(t).key("secret live all").text, made: map[string]string{}}
	columns, rows := readMatrix(t)
	if want := slices.Sorted(maps.Keys(credentials)); !slices.Equal(slices.Sorted(slices.Values(columns)), want) {
		t.Fatalf("the table has the columns %v, the test %v", columns, want)
	}
	given, unheard := 0, maps.Clone(rows)
	for _, route := range routes(t) {
		name := route.Method + " " + route.Path
		row, known := rows[name]
		wish, wished := wishes[name]
		if !known || !wished {
			t.Errorf("the route %s has no verdicts in testdata/matrix.txt, or no wish here", name)
			continue
		}
		delete(unheard, name)
		for i, column := range columns {
			text := credentials[column](m, route.Action.Scope())
			given++
			if got := m.verdict(t, w.site, route, wish.path, wish.body, text, column == "in-query"); got != verdicts[row[i]] {
				t.Errorf("%s with a key that is %s: %q, want %q", name, column, got, verdicts[row[i]])
			}
		}
	}
	for name := range unheard {
		t.Errorf("the table has verdicts for %s, which is no route", name)
	}
	t.Logf("%d verdicts", given)
}

// verdict sends a wish and gives what came of it: empty for yes, or the status and code of the problem.
func (m *matrix) verdict(t *testing.T, s *site, route api.Route, path, body, key string, inQuery bool) string {
	t.Helper()
	if strings.Contains(path, "SUBJECT") {
		path = strings.ReplaceAll(path, "SUBJECT", m.own.key("public live").id)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // which ends a stream
	q, err := http.NewRequestWithContext(ctx, route.Method, s.server.URL+path, strings.NewReader(strings.ReplaceAll(body, "SCOPE", route.Action.Scope().String())))
	if err != nil {
		t.Fatal(err)
	}
	if inQuery {
		values := q.URL.Query()
		values.Set("apiKey", key)
		q.URL.RawQuery = values.Encode()
	} else if key != "" {
		q.Header.Set("X-API-Key", key)
	}
	answer, err := s.server.Client().Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode < 300 {
		return ""
	}
	var problem struct{ Code string }
	if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil {
		return fmt.Sprint(answer.StatusCode, " ", err)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, problem.Code)
}

// routes lists the API's rows.
func routes(t *testing.T) []api.Route {
	t.Helper()
	a, err := api.New(api.Config{Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return a.Routes()
}

// readMatrix reads the table: the columns, and each route's words.
func readMatrix(t *testing.T) (columns []string, rows map[string][]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/matrix.txt")
	if err != nil {
		t.Fatal(err)
	}
	rows = map[string][]string{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) > 1 && words[0] == "route":
			columns = words[1:]
		case columns != nil && len(words) == len(columns)+2:
			rows[words[0]+" "+words[1]] = words[2:]
			for _, word := range words[2:] {
				if _, known := verdicts[word]; !known {
					t.Fatalf("%q is no verdict: %s", word, line)
				}
			}
		case columns != nil && len(words) > 0:
			t.Fatalf("a row has %d verdicts and not %d: %s", len(words)-2, len(columns), line)
		}
	}
	return columns, rows
}
