package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/compat"
)

// Promise: a system that is switched off is not there: its addresses are unknown, the document does not have them, and
// those of the others are as they were.
func TestASystemThatIsSwitchedOffIsNotThere(t *testing.T) {
	t.Parallel()
	w := open(t)
	addresses := map[compat.System][]string{
		compat.Altertable: {"/track", "/identify", "/alias"}, compat.Composite: {"/ingest/e", "/ingest/batch"},
		compat.UserFlux: {"/event/ingest", "/event/ingest/batch", "/profile", "/metrics/query", "/metrics/query/m", "/metrics/auth/token"},
		compat.Segment:  {"/v1/track", "/v1/t", "/v1/identify", "/v1/i", "/v1/alias", "/v1/page", "/v1/screen", "/v1/group", "/v1/batch", "/v1/b", "/v1/import"},
		compat.IEX:      {"/v1/account/messagebudget", "/stable/account/messagebudget", "/stable/record/CORE/A"},
	}
	for i, off := range compat.Systems() {
		cfg := w.config()
		cfg.Registry, cfg.Without = prometheus.NewRegistry(), []compat.System{off}
		handler, err := api.New(cfg) // asked directly: the contract of the tests is that of a server with every system
		if err != nil {
			t.Fatal(err)
		}
		text, err := handler.OpenAPI()
		if err != nil {
			t.Fatal(err)
		}
		document := string(text)
		for system, paths := range addresses {
			for _, path := range paths {
				want := http.StatusUnauthorized
				if system == off {
					want = http.StatusNotFound
				}
				answer, asks := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(`{}`))
				asks.RemoteAddr = fmt.Sprintf("203.0.113.%d:4711", i+1) // a network that does not fail too often
				handler.ServeHTTP(answer, asks)
				if answer.Code != want {
					t.Errorf("without %s, %s answers %d %s", off, path, answer.Code, answer.Body)
				}
				if system == off && strings.Contains(document, `"`+path+`": {`) {
					t.Errorf("without %s, the document has %s", off, path)
				}
			}
		}
		want := http.StatusOK // the client that pages load, without a key
		if off == compat.Altertable {
			want = http.StatusNotFound
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/altertable.js", nil))
		if there := strings.Contains(document, `"/altertable.js": {`); answer.Code != want || there != (want == http.StatusOK) {
			t.Errorf("without %s, /altertable.js answers %d, and the document has it: %t", off, answer.Code, there)
		}
	}
}

// Promise: where IEX Cloud's routes are switched off, nothing speaks as IEX Cloud does.
func TestNowhereWithoutIEX(t *testing.T) {
	t.Parallel()
	w := open(t)
	cfg := w.config()
	cfg.Registry, cfg.Without = prometheus.NewRegistry(), []compat.System{compat.IEX}
	handler, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/stock/aapl/quote?token=pk_live_none", nil))
	if answer.Code != http.StatusNotFound || answer.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("it answers %d as %s", answer.Code, answer.Header().Get("Content-Type"))
	}
}

// Promise: a key that comes as the user name of HTTP Basic is judged as in any other header, and beside another key it is
// one too many.
func TestWriteKeysAreUserNames(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	public, secret := p.key("public live").text, p.key("secret live all").text
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, c := range []struct {
		authorization, key, body string
		want                     int
	}{
		{basic(public + ":"), "", `{"event":"a"}`, 200},
		{basic(secret + ":"), "", `{"event":"a"}`, 200},
		{basic(public + ":ignored"), "", `{"event":"a"}`, 200},
		{basic(public + ":"), public, `{"event":"a"}`, 200},
		{basic(public + ":"), secret, `{"event":"a"}`, 400},
		{basic(public), "", `{"event":"a"}`, 401},
		{basic(":" + public), "", `{"event":"a"}`, 401},
		{basic("pk_live_none:"), "", `{"event":"a"}`, 401},
		{"", "", `{"event":"a","writeKey":"` + public + `"}`, 200},
		{basic(public + ":"), "", `{"event":"a","writeKey":"another"}`, 200},
		{"", "", `{"event":"a","writeKey":"` + secret + `"}`, 403},
		{"", "", `{"event":"a","writeKey":`, 401},
		{"", "", `{"event":"a","writeKey":"` + strings.Repeat("x", 600<<10) + `"}`, 400},
	} {
		headers := []string{"Content-Type", "application/json"}
		if c.authorization != "" {
			headers = append(headers, "Authorization", c.authorization)
		}
		if c.key != "" {
			headers = append(headers, "X-API-Key", c.key)
		}
		if answer, text := w.site.call(t, "POST", "/v1/track", strings.NewReader(c.body), headers...); answer.StatusCode != c.want {
			t.Errorf("%.60s, %.20s, %.60s: %d %s", c.authorization, c.key, c.body, answer.StatusCode, text)
		}
	}
}
