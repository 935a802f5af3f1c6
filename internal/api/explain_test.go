package api_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// explained asks for an explanation.
func explained(t *testing.T, w *world, key string, about map[string]any) api.Explanation {
	t.Helper()
	body, err := json.Marshal(about)
	if err != nil {
		t.Fatal(err)
	}
	answer, text := w.site.call(t, "POST", "/v1/access/explain", strings.NewReader(string(body)), "X-API-Key", key)
	var e api.Explanation
	if err := json.Unmarshal([]byte(text), &e); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s, %v", answer.StatusCode, text, err)
	}
	return e
}

// Promise: what a client says it has signed is compared with what it should have signed, and the first line that differs
// is shown to those who may read the audit, and never to the client; a key in it is not repeated.
func TestSignaturesAreExplained(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	admin := p.key("secret live all").text
	signing := p.make(everything(access.Bounds{Signature: true}))
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.site.server.URL+"/v1/keys?limit=3", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-API-Key", signing.text)
	other := *q
	other.Method = http.MethodTrace
	signer := signature.Signer{KeyID: signing.id, Secret: signing.signing}
	if err := signer.Sign(&other, nil, w.clock.Now(), rand.Text()); err != nil {
		t.Fatal(err)
	}
	answer, err := w.site.send(q)
	if err != nil {
		t.Fatal(err)
	}
	var denied api.Problem
	if err := json.NewDecoder(answer.Body).Decode(&denied); err != nil || denied.Code != string(problem.SignatureInvalid) {
		t.Fatalf("%+v, %v", denied, err)
	}
	_ = answer.Body.Close()
	e := explained(t, w, admin, map[string]any{"decision_id": denied.DecisionID})
	if e.Reason != "signature_invalid" || e.Recorded == nil || e.SignatureDifference != nil || e.FirstFailure == nil || e.FirstFailure.Reason != e.Reason {
		t.Fatalf("explained as %+v", e)
	}
	_, base, ok := strings.Cut(e.Recorded.Detail, "signature base:\n")
	if !ok || strings.Contains(denied.Detail, base) {
		t.Fatalf("the detail is %q, and the client was told %q", e.Recorded.Detail, denied.Detail)
	}
	lines := strings.Split(base, "\n")
	for line := range lines {
		theirs := append([]string{}, lines...)
		theirs[line] += "x" + signing.text
		e := explained(t, w, admin, map[string]any{"decision_id": denied.DecisionID, "signature_base": strings.Join(theirs, "\r\n")})
		if strings.HasPrefix(lines[line], `"x-api-key"`) {
			continue // both are hidden
		}
		if d := e.SignatureDifference; d == nil || d.Line != line+1 || d.Ours != lines[line] || strings.Contains(d.Theirs, secretPart(signing.text)) {
			t.Errorf("line %d: %+v", line+1, d)
		}
	}
	if e := explained(t, w, admin, map[string]any{"decision_id": denied.DecisionID, "signature_base": base}); e.SignatureDifference != nil {
		t.Errorf("the same differs: %+v", e.SignatureDifference)
	}
}

// Promise: what is sent item by item is explained item by item, however it is sent: one event that is refused leaves the
// rest.
func TestItemsAreExplainedOneByOne(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	admin := p.key("secret live all").text
	made := p.make(everything(access.Bounds{Events: []string{"A"}}))
	for path, body := range map[string]string{
		"/track": `[{"event":"A"},{"event":"B"}]`, "/v1/batch": `{"batch":[{"type":"track","event":"A"},{"type":"track","event":"B"}]}`,
		"/ingest/batch": `[{"name":"A"},{"name":"B"}]`, "/event/ingest/batch": `{"events":[{"name":"A"},{"name":"B"}]}`,
	} {
		answer, text := w.site.call(t, "POST", path, strings.NewReader(body), "X-API-Key", made.text, "Content-Type", "application/json")
		e := explained(t, w, admin, map[string]any{"key_id": made.id, "method": "POST", "path": path, "events": []string{"A", "B"}})
		if answer.StatusCode != http.StatusOK || !strings.Contains(text, "event_not_allowed") || !e.Allowed {
			t.Errorf("%s: answered %d %s, explained as %v %s", path, answer.StatusCode, text, e.Allowed, e.Reason)
		}
	}
}

// Promise: an attempt is explained as it would be decided: whether a request of a key is let through is what the
// explanation of the same request says, with the same reason.
func TestExplanationsAgreeWithDecisions(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	admin := p.key("secret live all").text
	for _, description := range []string{
		"secret live all", "secret live events:read", "secret live all in staging", "secret test all", "public live", "secret live all, expired",
		"secret live all, disabled", "secret live all, quarantined", "secret live all, early", "secret live all, revoked",
	} {
		made := p.key(description)
		for _, c := range []struct{ method, path, body, environment, event string }{
			{"GET", "/v1/events?environment=production", "", "production", ""}, {"GET", "/v1/keys", "", "", ""}, {"GET", "/v1/audit", "", "", ""},
			{"POST", "/track", `{"event":"A","environment":"development"}`, "development", "A"}, {"POST", "/track", `{"event":"A"}`, "", "A"},
		} {
			about := map[string]any{"key_id": made.id, "method": c.method, "path": c.path}
			if c.environment != "" {
				about["environment"] = c.environment
			}
			if c.event != "" {
				about["event"] = c.event
			}
			e := explained(t, w, admin, about)
			answer, body := w.site.call(t, c.method, c.path, strings.NewReader(c.body), "X-API-Key", made.text, "Content-Type", "application/json")
			if allowed := answer.StatusCode == http.StatusOK; allowed != e.Allowed {
				t.Errorf("%s, %s %s: answered %d %s, explained as %s", description, c.method, c.path, answer.StatusCode, body, e.Reason)
				continue
			}
			if e.Allowed {
				continue
			}
			var denied api.Problem
			if err := json.Unmarshal([]byte(body), &denied); err != nil {
				t.Fatal(err)
			}
			if recorded := explained(t, w, admin, map[string]any{"decision_id": denied.DecisionID}); recorded.Reason != e.Reason || recorded.FirstFailure.Rule != e.FirstFailure.Rule {
				t.Errorf("%s, %s %s: decided as %s (%s), explained as %s (%s)", description, c.method, c.path, recorded.Reason, recorded.FirstFailure.Rule, e.Reason, e.FirstFailure.Rule)
			}
		}
	}
}

// Promise: an address about one user, metric or the like is explained as the request is decided, and not as if the name in it
// were that of a key that nobody may see.
func TestAddressesOfOneThingAreExplained(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	admin := p.key("secret live all")
	for _, path := range []string{
		"GET /v1/users/u_1", "PATCH /v1/users/u_1", "DELETE /v1/users/u_1", "POST /v1/users/u_1/token", "GET /v1/users/u_1/events",
		"POST /v1/metrics/views/query", "POST /v1/workflows/greet/trigger", "GET /v1/exports/exp_1", "DELETE /v1/members/mem_1",
	} {
		method, path, _ := strings.Cut(path, " ")
		if e := explained(t, w, admin.text, map[string]any{"key_id": admin.id, "method": method, "path": path}); !e.Allowed {
			t.Errorf("%s %s: %s", method, path, e.Reason)
		}
	}
	e := explained(t, w, admin.text, map[string]any{"key_id": p.key("secret live events:read").id, "method": "GET", "path": "/v1/users/u_1"})
	if e.Reason != "scope_missing" || len(e.Remedies) != 1 || e.Remedies[0].Value != "users:read" {
		t.Errorf("without the scope: %s, %+v", e.Reason, e.Remedies)
	}
	if e := explained(t, w, admin.text, map[string]any{"key_id": admin.id, "method": "GET", "path": "/v1/keys/nobody"}); e.Reason != "not_visible" {
		t.Errorf("a key that is not there: %s", e.Reason)
	}
}
