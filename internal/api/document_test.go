package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/signature"
)

// Promise: every row is in the document with its action, and nothing else is.
func TestDocumentHasEveryRoute(t *testing.T) {
	t.Parallel()
	documented := map[string]string{}
	for _, op := range open(t).contract.Operations() {
		documented[op.Method+" "+op.Path] = op.Action
	}
	for _, route := range routes(t) {
		name := route.Method + " " + route.Path
		if documented[name] != route.Action.String() || !route.Action.Declared() {
			t.Errorf("%s is documented with the action %q; it is %q", name, documented[name], route.Action)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s is documented, and there is no such row", name)
	}
}

// Promise: the document is complete enough to work from: every operation has a name of its own, a summary, a
// description and a declared tag, every parameter and every answer says what it is, and the answers together name the
// problems of the catalogue that an operation can have, and no others.
func TestDocumentSaysWhatItIs(t *testing.T) {
	t.Parallel()
	_, text := open(t).site.call(t, "GET", "/openapi.json", nil)
	var doc struct {
		Info  struct{ Title, Version, Description string }
		Tags  []struct{ Name, Description string }
		Paths map[string]map[string]struct {
			OperationID, Summary, Description string
			Tags                              []string
			Security                          []map[string][]string
			Parameters                        []struct{ Name, Description string }
			Responses                         map[string]struct{ Description string }
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Info.Title == "" || doc.Info.Version == "" || doc.Info.Description == "" {
		t.Error("the document does not say whose it is")
	}
	tags := map[string]bool{}
	for _, tag := range doc.Tags {
		tags[tag.Name] = tag.Description != ""
	}
	codes := map[string]bool{}
	for _, row := range problem.Catalogue() {
		codes[string(row.Code)] = true
	}
	names := map[string]bool{}
	for path, item := range doc.Paths {
		if path != "/" && strings.HasSuffix(path, "/") {
			t.Errorf("%s ends with a slash", path)
		}
		for method, op := range item {
			at := method + " " + path
			if op.OperationID == "" || names[op.OperationID] || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 || !tags[op.Tags[0]] || len(op.Security) == 0 {
				t.Errorf("%s lacks a name of its own, a summary, a description, a tag or its security", at)
			}
			names[op.OperationID] = true
			for _, p := range op.Parameters {
				if p.Description == "" {
					t.Errorf("%s: the parameter %s is not described", at, p.Name)
				}
			}
			for status, answer := range op.Responses {
				for _, m := range regexp.MustCompile("(?m)^`([a-z_]+)`: ").FindAllStringSubmatch(answer.Description, -1) {
					if !codes[m[1]] {
						t.Errorf("%s: the answer %s names the problem %s, which is not in the catalogue", at, status, m[1])
					}
				}
				if answer.Description == "" {
					t.Errorf("%s: the answer %s is not described", at, status)
				}
			}
		}
	}
}

// Promise: every example of the document can be sent as it stands, but for the id of a key, which must be one's own, and gets the status and the shape that is shown.
func TestEveryExampleIsTrue(t *testing.T) {
	t.Parallel()
	w := open(t)
	sent := 0
	for _, op := range w.contract.Operations() {
		if len(op.Examples) == 0 {
			continue
		}
		made := w.project(t).key("secret live all")
		key := made.text
		w.site.call(t, "POST", "/track?sync=true", strings.NewReader(`{"event":"Button Clicked","distinct_id":"u_1"}`), "X-API-Key", key)
		for _, e := range op.Examples {
			sent++
			answer, body := w.site.call(t, op.Method, strings.NewReplacer("{environment}", "production", "{workspace}", "production").Replace(op.Path), bytes.NewReader(bytes.ReplaceAll(e.Body, []byte("key_3fQ9xT0aLmZk"), []byte(made.id))), "X-API-Key", key, "Content-Type", "application/json")
			if e.Status == 0 || answer.StatusCode != e.Status {
				t.Errorf("%s %s, example %q: answered %d, the document shows %d", op.Method, op.Path, e.Name, answer.StatusCode, e.Status)
				continue
			}
			var shown, got any
			if err := errors.Join(json.Unmarshal(e.Answer, &shown), json.Unmarshal([]byte(body), &got)); err != nil {
				t.Fatal(err)
			}
			if err := sameShape("", shown, got); err != nil {
				t.Errorf("%s %s, example %q: %v\nshown %s\ngot   %s", op.Method, op.Path, e.Name, err, e.Answer, body)
			}
		}
	}
	if sent < 9 {
		t.Errorf("the document has only %d examples", sent)
	}
}

// sameShape compares the members and types of two JSON values, and the numbers of elements in lists.
func sameShape(at string, a, b any) error {
	if fmt.Sprintf("%T", a) != fmt.Sprintf("%T", b) {
		return fmt.Errorf("%s is a %T and is shown as a %T", at, b, a)
	}
	switch a := a.(type) {
	case map[string]any:
		b := b.(map[string]any)
		if x, y := slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)); !slices.Equal(x, y) {
			return fmt.Errorf("%s has the members %v and is shown with %v", at, y, x)
		}
		for name := range a {
			if err := sameShape(at+"."+name, a[name], b[name]); err != nil {
				return err
			}
		}
	case []any:
		b := b.([]any)
		if len(a) != len(b) {
			return fmt.Errorf("%s has %d elements and is shown with %d", at, len(b), len(a))
		}
		for i := range a {
			if err := sameShape(fmt.Sprintf("%s[%d]", at, i), a[i], b[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Promise: what is wrong with a request is answered the same way at every address that needs a key: two keys, an
// unreadable query string, an unknown parameter, a foreign type, a body that is no JSON, too large or cut short.
func TestEveryRouteRefusesBadRequests(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	parent := p.key("secret live all")
	client, other := p.client(parent).text, p.key("public live").text
	for _, op := range w.contract.Operations() {
		if op.Action == "anyone" {
			continue
		}
		key, forClients, form := parent.text, strings.HasSuffix(op.Action, "_tokens"), strings.HasPrefix(op.Path, "/v1/oauth/")
		forMembers := strings.HasPrefix(op.Path, "/v1/members/sessions") // what proves who asks stands in the body
		switch {
		case forClients:
			key = client
		case forMembers:
			key = ""
		case op.Action == "write_organization":
			key = p.key("operator").text
		}
		path := strings.ReplaceAll(op.Path, "/v1/jobs/{workspace}/{type}", "/v1/jobs/production/ingest")
		path = strings.NewReplacer("{id}", p.key("public live").id, "{workspace}", "production", "{type}", "messages").Replace(path)
		unknown := "?color=red"
		if op.Action == "write_events" || op.Action == "identify_users" || op.Action == "write_items" {
			unknown = "?sync=perhaps" // these pass over what they do not know
		}
		expect := func(code problem.Code, path string, body io.Reader, headers ...string) {
			t.Helper()
			answer, text := w.site.call(t, op.Method, path, body, append(headers, "X-API-Key", key)...)
			status := code.Row().Status
			if forClients && status == http.StatusUnprocessableEntity {
				status = http.StatusBadRequest
			}
			if strings.HasPrefix(op.ID, "segment") {
				status = compat.SegmentStatus(code)
			}
			if strings.HasPrefix(op.ID, "lakehouse") {
				status = compat.LakehouseStatus(code)
			}
			if got := codeIn(answer, text); got != code || answer.StatusCode != status {
				t.Errorf("%s %s answered %d %s and not %s", op.Method, path, answer.StatusCode, got, code)
			}
		}
		if !forMembers {
			expect(problem.TwoCredentials, path, nil, "Authorization", "Bearer "+other)
		}
		expect(problem.InvalidRequest, path+"?limit=%zz", nil)
		var body io.Reader
		if op.Body {
			body = strings.NewReader(`{}`)
		}
		expect(problem.InvalidField, path+unknown, body)
		if !op.Body {
			expect(problem.InvalidRequest, path, strings.NewReader(`{}`))
			expect(problem.InvalidRequest, path, io.MultiReader(strings.NewReader(`{}`))) // in chunks
			continue
		}
		expect(problem.UnsupportedMediaType, path, strings.NewReader(`<a/>`), "Content-Type", "application/xml")
		file, large := slices.Contains([]string{"loadFile", "generateSchema", "lakehouseUpload", "lakehouseUpsert"}, op.ID), 5<<20+1
		if form {
			expect(problem.InvalidRequest, path, strings.NewReader("a=%zz"))
		} else if !file { // which need not be JSON
			expect(problem.InvalidJSON, path, strings.NewReader(`{"a":`))
			expect(problem.InvalidJSON, path, strings.NewReader("{\"a\":\"\xff\"}"))
		}
		expect(problem.InvalidRequest, path, strings.NewReader(" "))
		expect(problem.DigestUnsupported, path, strings.NewReader(`{}`), "Content-Digest", "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:")
		expect(problem.DigestInvalid, path, strings.NewReader(`{}`), "Content-Digest", "sha-256=:AAAA:")
		expect(problem.DigestMismatched, path, strings.NewReader(`{}`), "Content-Digest", signature.ContentDigest([]byte(`[]`)))
		expect(problem.InvalidRequest, path, strings.NewReader(`{}`), "Content-Digest", "?")
		if file { // of which 32 MiB may have a digest
			large = 32<<20 + 1
		}
		expect(problem.BodyTooLarge, path, strings.NewReader(strings.Repeat(" ", large)), "Content-Digest", signature.ContentDigest(nil))
		expect(problem.InvalidRequest, path, strings.NewReader("\x1f\x8b"), "Content-Encoding", "gzip")
	}
}

// codeIn is the problem that an answer names, in its body or beside it.
func codeIn(answer *http.Response, body string) problem.Code {
	if named := answer.Header.Get("Weir-Problem"); named != "" {
		return problem.Code(named)
	}
	return codeOf(body)
}

func codeOf(body string) problem.Code {
	var p struct{ Code problem.Code }
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		return problem.Code(err.Error())
	}
	return p.Code
}

// refusing is an engine that answers every statement with an error.
type refusing struct{ err error }

func (e refusing) Analyze(context.Context, string) (query.Facts, error) { return query.Facts{}, e.err }

func (e refusing) Describe(context.Context, event.Space, query.Statement) (query.Description, error) {
	return query.Description{}, e.err
}

func (e refusing) Run(context.Context, event.Space, query.Statement) (query.Rows, error) {
	return nil, e.err
}

// Promise: a question over its ceilings is refused with the ceiling that it met, and a queue that is full says when to
// come again.
func TestCeilingsOfQuestions(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live sql:run").text
	full := query.TooManyWaiting(4, 64).After(1500 * time.Millisecond)
	for name, c := range map[string]struct {
		engine  query.Engine
		time    time.Duration
		rows    int64
		bytes   int64
		sql     string
		code    problem.Code
		retry   string
		details string
	}{
		"rows":   {engine: w.warehouse, rows: 3, sql: "SELECT * FROM range(4)", code: problem.ResultTooLarge, details: `"ceiling":"query_rows","limit":3`},
		"bytes":  {engine: w.warehouse, bytes: 100, sql: "SELECT 'twenty bytes of text' FROM range(9)", code: problem.ResultTooLarge, details: `"ceiling":"query_bytes","limit":100`},
		"time":   {engine: w.warehouse, time: 300 * time.Millisecond, sql: "SELECT count(*) FROM range(100000000000) a WHERE a.range % 7 = 1", code: problem.QueryTimeout, details: `"ceiling":"query_time","limit":300`},
		"queue":  {engine: refusing{full}, sql: "SELECT 1", code: problem.QueryQueueFull, retry: "2", details: `"ceiling":"query_queue","limit":64`},
		"memory": {engine: refusing{query.TooHeavy(1 << 30)}, sql: "SELECT 1", code: problem.QueryTooHeavy, details: `"ceiling":"warehouse_memory","limit":1073741824`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.variant(t, func(cfg *api.Config) {
				cfg.Query = query.New(query.Config{Engine: c.engine, Now: w.clock.Now, TempDir: w.dir, Time: c.time, Rows: c.rows, Bytes: c.bytes})
			}, nil)
			const shown = `"range":{"from":"2026-01-31T00:00:00Z","to":"2026-02-01T00:00:00Z"}}`
			for path, question := range map[string]string{
				"/v1/query":                          `{"sql":"` + c.sql + `"}`,
				"/v1/grafana/production/query":       `{"targets":[{"payload":{"sql":"` + c.sql + `"}}],` + shown,
				"/v1/grafana/production/variable":    `{"payload":{"target":"` + c.sql + `"},` + shown,
				"/v1/grafana/production/annotations": `{"annotation":{"query":"` + c.sql + `"},` + shown,
			} {
				answer, body := s.call(t, "POST", path, strings.NewReader(question), "X-API-Key", key)
				if codeOf(body) != c.code || answer.StatusCode != c.code.Row().Status || answer.Header.Get("Retry-After") != c.retry || !strings.Contains(body, c.details) {
					t.Errorf("%s answered %d, Retry-After %q: %s", path, answer.StatusCode, answer.Header.Get("Retry-After"), body)
				}
			}
		})
	}
}

// Promise: readyz answers 503 and names the part that is not ready, with no more than the part lets be seen; what has
// no words of its own for strangers shows none.
func TestReadyzNamesThePart(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := w.variant(t, func(cfg *api.Config) {
		cfg.Parts = []api.Part{
			{Name: "store", Ready: func(context.Context) error { return nil }},
			{Name: "warehouse", Ready: func(context.Context) error {
				return problem.Wrap(errors.New("dial /secret/path"), problem.Unavailable, "the query process is starting")
			}},
			{Name: "loader", Ready: func(context.Context) error { return errors.New("open /secret/path: no such file") }},
		}
	}, nil)
	answer, body := s.call(t, "GET", "/readyz", nil)
	var got struct {
		Ready bool
		Parts map[string]string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusServiceUnavailable || got.Ready || got.Parts["store"] != "ready" ||
		got.Parts["warehouse"] != "the query process is starting" || got.Parts["loader"] == "ready" || strings.Contains(body, "secret") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

// Promise: a part that is ready, but for something, says so, and the server is ready all the same.
func TestReadyzTellsWhatIsAmiss(t *testing.T) {
	t.Parallel()
	w := open(t)
	ready := func(context.Context) error { return nil }
	s := w.variant(t, func(cfg *api.Config) {
		cfg.Parts = []api.Part{
			{Name: "store", Ready: ready, Lacks: func() string { return "" }},
			{Name: "loader", Ready: ready, Lacks: func() string { return "events cannot be loaded of prj_1/staging" }},
		}
	}, nil)
	answer, body := s.call(t, "GET", "/readyz", nil)
	const want = `{"ready":true,"parts":{"loader":"ready, but events cannot be loaded of prj_1/staging","store":"ready"}}`
	if answer.StatusCode != http.StatusOK || strings.TrimSpace(body) != want {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

// Promise: every problem of the catalogue has a page where its type URI leads, and the page is the catalogue's row.
func TestEveryProblemHasItsPage(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, row := range problem.Catalogue() {
		answer, body := w.site.call(t, "GET", "/problems/"+string(row.Code), nil)
		if answer.StatusCode != http.StatusOK || !strings.Contains(body, "<h1>"+html.EscapeString(row.Title)+"</h1>") || !strings.Contains(body, string(row.Code)) ||
			!strings.Contains(body, fmt.Sprintf("HTTP %d", row.Status)) || !strings.Contains(body, html.EscapeString(row.Help)) {
			t.Errorf("%s: %d %s", row.Code, answer.StatusCode, body)
		}
	}
	s := w.variant(t, func(cfg *api.Config) { cfg.PublicURL = "https://weir.example.com/" }, nil)
	_, body := s.call(t, "GET", "/nothing", nil)
	if !strings.Contains(body, `"type":"https://weir.example.com/problems/not_found"`) {
		t.Errorf("with a public address, a problem's type is %s", body)
	}
}

var (
	reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)
	fetched   = regexp.MustCompile(`(?i)url\(\s*['"]?(?:https?:)?//|@import|importScripts|sourceMappingURL=http`)
)

// Promise: the documentation works without any other host: what the page refers to is here, and neither it nor its
// style sheet asks for anything elsewhere; its policy would not let it.
func TestDocumentationNeedsNoOtherHost(t *testing.T) {
	t.Parallel()
	w := open(t)
	answer, page := w.site.call(t, "GET", "/docs", nil)
	policy := answer.Header.Get("Content-Security-Policy")
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(policy, "default-src 'self';") || strings.Contains(policy, "http") {
		t.Fatalf("%d, policy %q", answer.StatusCode, policy)
	}
	found := reference.FindAllStringSubmatch(page, -1)
	if len(found) < 4 || !strings.Contains(page, "/openapi.json") {
		t.Fatalf("the page refers to %v", found)
	}
	for _, m := range found {
		path := m[1]
		if !strings.HasPrefix(path, "/docs/") {
			t.Errorf("the page refers to %s", path)
			continue
		}
		answer, body := w.site.call(t, "GET", path, nil, "Accept-Encoding", "gzip")
		if answer.Header.Get("Content-Encoding") == "gzip" {
			body = gunzip(t, body)
		}
		if answer.StatusCode != http.StatusOK || len(body) < 100 {
			t.Errorf("%s: %d, %d bytes", path, answer.StatusCode, len(body))
		}
		if strings.HasSuffix(path, ".css") && fetched.MatchString(body) {
			t.Errorf("%s asks another host: %s", path, fetched.FindString(body))
		}
	}
	if fetched.MatchString(page) || strings.Contains(page, `validatorUrl: "http`) {
		t.Error("the page asks another host")
	}
}

func gunzip(t *testing.T, text string) string {
	t.Helper()
	reader, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}
