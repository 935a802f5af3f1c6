package api_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: sending rejected events again reads no file for a request that is over its limit, or about an environment that the key
// may not use.
func TestNoFileIsReadForWhoMayNotReplay(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	if err := os.WriteFile(filepath.Join(w.dir, "rejected", p.id), nil, 0o600); err != nil { // where a folder should be: reading fails
		t.Fatal(err)
	}
	const all = `{"environment":"production","all":true}`
	bounds := access.Bounds{Limits: access.Limits{Daily: access.Quota{Most: 1}}}
	bounds.Environments = []string{"production"}
	key := p.make(everything(bounds))
	if status, code := w.site.asks(t, key.text, "POST", "/v1/rejected", `{"environment":"staging","all":true}`); status != 403 || code != problem.EnvironmentNotAllowed {
		t.Errorf("another environment: %d %s", status, code)
	}
	for _, c := range []struct {
		status int
		code   problem.Code
	}{{500, problem.Internal}, {429, problem.RateLimited}} {
		if status, code := w.site.asks(t, key.text, "POST", "/v1/rejected", all); status != c.status || code != c.code {
			t.Errorf("%d %s, want %d %s", status, code, c.status, c.code)
		}
	}
}

// never is a body that does not come.
type never struct{ stop chan struct{} }

func (n never) Read([]byte) (int, error) { <-n.stop; return 0, io.EOF }

// Promise: a file is not taken from who may not load it: the answer is there before the file is.
func TestNoFileIsTakenFromWhoMayNotLoadIt(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	narrow := everything(access.Bounds{Datasets: &access.Datasets{}})
	limited := p.limited(access.Limits{Daily: access.Quota{Most: 1}})
	if status, _ := w.site.asks(t, limited.text, "GET", "/v1/whoami", ""); status != 200 {
		t.Fatal(status)
	}
	for name, c := range map[string]struct {
		key, path string
		status    int
	}{
		"another dataset":       {p.make(narrow).text, "/v1/data/production/OTHER", 403},
		"no such environment":   {p.key("secret live all").text, "/v1/data/moon/OTHER", 422},
		"over the limit":        {limited.text, "/v1/data/production/OTHER", 429},
		"a schema of too often": {limited.text, "/v1/generate-schema", 429},
	} {
		body := never{make(chan struct{})}
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.site.address+c.path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = 200 << 20
		r.Header.Set("X-API-Key", c.key)
		r.Header.Set("Content-Type", "text/csv")
		answer, err := http.DefaultTransport.RoundTrip(r)
		close(body.stop)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		said, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != c.status || strings.Contains(string(said), "body") {
			t.Errorf("%s: %d %s", name, answer.StatusCode, said)
		}
	}
}
