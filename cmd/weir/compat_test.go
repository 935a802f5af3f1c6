package main

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Promise: clients of other systems work unmodified with their address changed: UserFlux's library for back ends, Segment's
// for Node, and IEX Cloud's; and datasets that others made are given back as they are in their files.
func TestClientsOfOtherSystems(t *testing.T) {
	if _, err := os.Stat("../../tools/compat/node_modules"); err != nil {
		t.Fatal("the clients are not installed: scripts/test-deps installs them")
	}
	r := install(t).serve()
	r.patch("/v1/project/policy", `{"secret_in_url":true}`) // IEX Cloud's clients send it there
	c := exec.CommandContext(t.Context(), "node", "check.mjs")
	c.Dir = "../../tools/compat"
	c.Env = append(os.Environ(), "WEIR="+r.url, "PUBLIC="+r.public, "SECRET="+r.secret)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// patch changes something with the secret key.
func (r *running) patch(path, body string) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodPatch, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("X-API-Key", r.secret)
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %d %s", path, answer.StatusCode, text)
	}
}

// Promise: the command lines of the other systems' documentation work as they stand, with their host and key changed.
func TestCommandLinesOfOtherSystems(t *testing.T) {
	r := install(t).serve()
	r.patch("/v1/project/policy", `{"secret_in_url":true}`)
	for line, want := range map[string]int{
		// Altertable, of its page on authentication, word for word.
		`curl -X POST "https://api.altertable.ai/track?sync=true" \-H "X-API-Key: YOUR_API_KEY" \-H "Content-Type: application/json" \-d '{"environment":"production","event":"Button Clicked","properties":{"page":"pricing"}}'`: 200,
		`curl -X POST https://api.altertable.ai/track \-H "Authorization: Bearer YOUR_API_KEY" \-H "Content-Type: application/json" \-d '{"environment":"production","event":"Button Clicked","properties":{"page":"pricing"}}'`:  200,
		`curl -X POST "https://api.altertable.ai/track?apiKey=YOUR_API_KEY" -H "Content-Type: application/json" -d '{"environment":"production","event":"Button Clicked","properties":{"page":"pricing"}}'`:                       200,
		// Composite.
		`curl -X POST https://prod.alb.us.api.composite.com/v1/events -H "Authorization: Bearer YOUR_API_KEY" -H "Content-Type: application/json" -d '{"name":"page_viewed","properties":{}}'`: 200,
		`curl -X POST "https://prod.alb.us.api.composite.com/v1/events?api_key=YOUR_API_KEY" -H "Content-Type: application/json" -d '{"name":"page_viewed"}'`:                                  200,
		// UserFlux.
		`curl -X POST "https://integration-api.userflux.co/event/ingest?locationEnrichment=true" -H "Authorization: Bearer YOUR_API_KEY" -H "Content-Type: application/json" -d '{"userId":"u_1","name":"login","timestamp":1795318710351,"properties":{}}'`: 204,
		`curl -X POST https://integration-api.userflux.co/profile -H "Authorization: Bearer YOUR_API_KEY" -H "Content-Type: application/json" -d '{"userId":"u_1","properties":{"email":"ana@example.com"}}'`:                                                204,
		// IEX Cloud.
		`curl "https://cloud.iexapis.com/stable/account/metadata?token=YOUR_SECRET_KEY"`:    200,
		`curl "https://cloud.iexapis.com/v1/account/usage?token=YOUR_SECRET_KEY"`:           200,
		`curl "https://cloud.iexapis.com/v1/account/usage?token=YOUR_API_KEY"`:              403,
		`curl https://cloud.iexapis.com/beta/status`:                                        200,
		`curl "https://apis.iex.cloud/v1/data/CORE?token=YOUR_SECRET_KEY"`:                  200,
		`curl "https://apis.iex.cloud/v1/data/CORE/NONE/AAPL?last=2&token=YOUR_SECRET_KEY"`: 404,
		`curl -X POST "https://apis.iex.cloud/v1/datasets/CORE?token=YOUR_SECRET_KEY" -H "Content-Type: application/json" -d '{"dataset":{"datasetId":"LINES","schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"string","format":"date"}}},"columnMapping":{"key":"symbol","date":"date"}}}'`: 200,
	} {
		read, err := parseCurl(strings.NewReplacer("YOUR_API_KEY", r.public, "YOUR_SECRET_KEY", r.secret).Replace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		here, err := url.Parse(r.url)
		if err != nil {
			t.Fatal(err)
		}
		read.url.Scheme, read.url.Host = here.Scheme, here.Host
		q, err := http.NewRequestWithContext(t.Context(), read.method, read.url.String(), bytes.NewReader([]byte(read.body)))
		if err != nil {
			t.Fatal(err)
		}
		q.Header = read.header
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s\nanswers %d %s", line, answer.StatusCode, text)
		}
	}
}
