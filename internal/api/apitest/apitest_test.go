package apitest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/api/apitest"
)

const document = `{"openapi":"3.1.0","paths":{
  "/things":{"post":{"operationId":"make","x-weir-action":"write","parameters":[{"name":"n","in":"query","schema":{"type":"integer"}}],
    "requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"},"examples":{"one":{"value":{"name":"a"}}}}}},
    "responses":{"200":{"description":"OK","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"},"examples":{"one":{"value":{"name":"b"}}}}}},
      "401":{"description":"` + "`missing_credential`: No API key was sent." + `","headers":{"WWW-Authenticate":{"required":true},"Retry-After":{"$ref":"#/components/headers/Later"}},"content":{"application/problem+json":{"schema":{"$ref":"#/components/schemas/Problem"}}}},
      "default":{"description":"Any other.","content":{"application/problem+json":{"schema":{"$ref":"#/components/schemas/Problem"}}}}}}},
  "/things/{id}":{"delete":{"operationId":"end","responses":{"204":{"description":"No Content"}}}}},
 "components":{"schemas":{
  "Thing":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}},"additionalProperties":false},
  "Problem":{"type":"object","required":["code"]}}}}`

// Promise: the checks of traffic are no formality: what is as documented passes, each way of not being so is found, and
// what never happened is known.
func TestFindsWhatIsNotAsDocumented(t *testing.T) {
	t.Parallel()
	const (
		json    = "application/json"
		problem = "application/problem+json"
		full    = `{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Too many requests","status":429,"code":"rate_limited"}`
		page    = `{"type":"/problems/rate_limited","title":"Too many requests","status":429,"code":"rate_limited"}`
		noKey   = `{"type":"/problems/missing_credential","title":"No API key was sent","status":401,"code":"missing_credential"}`
		typo    = `{"type":"/problems/malformed_key","title":"The API key is mistyped","status":401,"code":"malformed_key"}`
		broken  = `{"type":"/problems/internal","title":"Something went wrong on our side","status":500,"code":"internal"}`
		nowhere = `{"type":"/problems/not_found","title":"There is nothing here","status":404,"code":"not_found"}`
	)
	for _, c := range []struct {
		name, method, path, sent string
		status                   int
		kind, answered           string
		challenge                bool
		fault                    string // part of it; empty: there is none
	}{
		{"as documented", "POST", "/things?n=1", `{"name":"a"}`, 200, json, `{"name":"b"}`, false, ""},
		{"a documented problem", "POST", "/things", "?", 401, problem, noKey, true, ""},
		{"a fault of the server", "POST", "/things", "?", 500, problem, broken, false, ""},
		{"nothing there", "GET", "/elsewhere", "", 404, problem, nowhere, false, ""},
		{"no body", "DELETE", "/things/1", "", 204, "", "", false, ""},
		{"a status", "POST", "/things", `{"name":"a"}`, 202, json, `{"name":"b"}`, false, "the status is not documented"},
		{"a refusal", "POST", "/things", "", 404, problem, nowhere, false, "the status is not documented"},
		{"a type", "POST", "/things", `{"name":"a"}`, 200, "text/html", `{"name":"b"}`, false, `content type "text/html"`},
		{"a member too many", "POST", "/things", `{"name":"a"}`, 200, json, `{"name":"b","x":1}`, false, "'x' not allowed"},
		{"no JSON", "POST", "/things", `{"name":"a"}`, 200, json, `{"name":`, false, "the body is not as documented"},
		{"a body", "DELETE", "/things/1", "", 204, "", "x", false, "none is documented"},
		{"a header", "POST", "/things", "", 401, problem, noKey, false, "Www-Authenticate is missing"},
		{"a header too many", "POST", "/things", `{"name":"a"}`, 200, json, `{"name":"b"}`, true, "the header Www-Authenticate is not documented"},
		{"a code", "POST", "/things", "", 401, problem, typo, true, `"malformed_key" is not documented`},
		{"a code of another status", "POST", "/things", "", 500, problem, noKey, false, "is not the catalogue's"},
		{"a request", "POST", "/things", `{"name":1}`, 200, json, `{"name":"b"}`, false, "got number, want string"},
		{"a parameter", "POST", "/things?n=many", `{"name":"a"}`, 200, json, `{"name":"b"}`, false, "the parameter n"},
		{"an address", "GET", "/elsewhere", "", 200, json, `{}`, false, "outside the document answered 200"},
		{"a registered type", "GET", "/elsewhere", "", 429, problem, full, false, ""},
		{"a page instead of a registered type", "GET", "/elsewhere", "", 429, problem, page, false, "is not registered"},
		{"a plain refusal", "GET", "/elsewhere", "", 404, "text/plain", "404", false, "answered 404 as text/plain"},
		{"a plain refusal of a method", "PUT", "/elsewhere", "", 405, "text/plain", "405", false, "answered 405 as text/plain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			contract, err := apitest.Load([]byte(document))
			if err != nil {
				t.Fatal(err)
			}
			shown := 0
			handler := contract.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header()["Content-Type"] = []string{c.kind}
				if c.challenge {
					w.Header().Set("WWW-Authenticate", "Bearer")
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.answered)
			}), func(e apitest.Exchange) { shown += len(e.Answered) })
			q := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.sent))
			handler.ServeHTTP(httptest.NewRecorder(), q)
			faults := contract.Faults()
			if c.fault == "" && len(faults) > 0 || c.fault != "" && (len(faults) != 1 || !strings.Contains(faults[0], c.fault)) {
				t.Errorf("found %q, want %q", faults, c.fault)
			}
			if shown != len(c.answered) {
				t.Errorf("the watch was shown %d bytes of %d", shown, len(c.answered))
			}
		})
	}
}

// Promise: what the document promises and no test has shown is named, and its examples are known with their answers.
func TestKnowsWhatNeverHappened(t *testing.T) {
	t.Parallel()
	contract, err := apitest.Load([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"POST /things 200", "POST /things 401", "DELETE /things/{id} 204"}; !slices.Equal(contract.Unseen(), want) {
		t.Errorf("unseen: %v", contract.Unseen())
	}
	op := contract.Operations()[0]
	if op.ID != "make" || op.Action != "write" || len(op.Examples) != 1 || op.Examples[0].Status != 200 || string(op.Examples[0].Answer) != `{"name":"b"}` {
		t.Errorf("%+v", op)
	}
	for _, bad := range []string{`{`, `{"openapi":"3.0.3"}`, `{"openapi":"3.1.0","paths":{}}`} {
		if _, err := apitest.Load([]byte(bad)); err == nil {
			t.Errorf("%s was taken for a document", bad)
		}
	}
}
