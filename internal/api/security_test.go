package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Promise: only the host names of the settings are answered to, in any case, with any port, and under every form of an
// address; everything else is told so before its key is looked at.
func TestOnlyItsOwnHosts(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := w.variant(t, func(cfg *api.Config) { cfg.Hosts = []string{"Weir.Example.COM", "::1", "127.0.0.1:9999", "localhost"} }, nil)
	for host, ours := range map[string]bool{
		"weir.example.com": true, "WEIR.example.com:443": true, "weir.example.com.": true, "[::1]": true, "[::1]:8787": true,
		"127.0.0.1": true, "127.0.0.1:8787": true, "localhost:1": true,
		"evil.example": false, "weir.example.com.evil.example": false, "evil.example:80": false, "127.0.0.2": false, "[::2]:80": false,
		"": false, ":80": false, "localhost:80:80": false, "weir.example.com@evil.example": false, "0.0.0.0": false, "[::ffff:127.0.0.1]": false,
	} {
		answer, body := s.exchange(t, "GET /healthz HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		switch {
		case ours && answer.StatusCode != http.StatusOK:
			t.Errorf("host %q was answered %d %s", host, answer.StatusCode, body)
		case !ours && answer.StatusCode != http.StatusMisdirectedRequest && answer.StatusCode != http.StatusBadRequest:
			t.Errorf("host %q was answered %d %s", host, answer.StatusCode, body)
		}
	}
	for _, path := range []string{"/track", "/v1/keys", "/nothing", "//", "/docs"} {
		answer, body := s.exchange(t, "GET "+path+" HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n")
		if codeOf(body) != problem.MisdirectedRequest || answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s was answered %d %v", path, answer.StatusCode, answer.Header)
		}
	}
	answer, _ := s.exchange(t, "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a host in the address was answered %d", answer.StatusCode)
	}
}

// Promise: what is sent as a key may be anything at all, of any length: it is refused for what it is, and never
// answered with a fault of ours.
func TestStrangeKeys(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live all").text
	long := strings.Repeat("k", 20_000)
	for name, c := range map[string]struct {
		head string
		want int
	}{
		"a long key":                   {"X-API-Key: " + long, 401},
		"a long bearer":                {"Authorization: Bearer " + long, 401},
		"a key and more":               {"X-API-Key: " + key + "x", 401},
		"a key cut short":              {"X-API-Key: " + key[:52], 401},
		"a key in capitals":            {"X-API-Key: " + strings.ToUpper(key), 401},
		"a key and a NUL":              {"X-API-Key: " + key + "\x00", 400},
		"a key and a line":             {"X-API-Key: " + key + "\r\n continued", 401},
		"no UTF-8":                     {"X-API-Key: \xff\xfe\xc0\xaf", 401},
		"full width":                   {"X-API-Key: ｓｋ" + key[2:], 401},
		"two keys in one":              {"X-API-Key: " + key + ", " + key, 401},
		"a quoted key":                 {`X-API-Key: "` + key + `"`, 401},
		"a header with an underscore":  {"X_API_Key: " + key, 401},
		"a cookie":                     {"Cookie: apiKey=" + key, 401},
		"a tab":                        {"Authorization: Bearer\t" + key, 401},
		"a key as user":                {"Authorization: Basic " + key, 401},
		"a header that is too long":    {"X-Padding: " + strings.Repeat("p", 64<<10), 431},
		"spaces around":                {"X-API-Key:   " + key + "  ", 200},
		"the name in another case":     {"x-ApI-kEy: " + key, 200},
		"the scheme in another case":   {"authorization: BEARER " + key, 200},
		"the key and an empty cookies": {"Cookie: \r\nX-API-Key: " + key, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, body := w.site.exchange(t, "GET /v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+c.head+"\r\n\r\n")
			if answer.StatusCode != c.want {
				t.Errorf("answered %d %s, want %d", answer.StatusCode, body, c.want)
			}
		})
	}
	for _, q := range []string{"apiKey=%ff%fe", "apiKey=%00", "apiKey=" + long, "apiKey=%E2%80%AE", "apiKey[]=x", "apiKey=x%0d%0aX-Admin:%201"} {
		answer, body := w.site.call(t, "GET", "/v1/whoami?"+q, nil)
		if answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("X-Admin") != "" {
			t.Errorf("%.40s was answered %d %s", q, answer.StatusCode, body)
		}
	}
}

// Promise: a key that is revoked while a request's body is still on its way is refused when the body has come, and
// nothing of it is stored.
func TestRevokedWhileTheBodyComes(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	admin, victim := p.key("secret live all").text, p.key("public live")
	conn := w.site.dial(t)
	if _, err := fmt.Fprintf(conn, "POST /track HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", victim.text, len(oneEvent)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n') // comes when the key was accepted and the body is asked for
	if err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q %v", line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if answer, body := w.site.call(t, "DELETE", "/v1/keys/"+victim.id, nil, "X-API-Key", admin); answer.StatusCode != http.StatusNoContent {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	if _, err := io.WriteString(conn, oneEvent); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Fatalf("answered %v %v", answer, err)
	}
	_ = answer.Body.Close()
	w.site.call(t, "POST", "/track?sync=true", strings.NewReader(`{"event":"after"}`), "X-API-Key", admin)
	if _, body := w.site.call(t, "GET", "/v1/events", nil, "X-API-Key", admin); strings.Contains(body, `"event":"A"`) || !strings.Contains(body, `"event":"after"`) {
		t.Errorf("stored: %s", body)
	}
}

// Promise: once revoke has answered, no request that begins is let in, however many others are under way.
func TestRevokedUnderLoad(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	admin, victim := p.key("secret live all").text, p.key("secret live all")
	var revoked atomic.Bool
	var late, early atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for after := 0; after < 5 && ctx.Err() == nil; {
				begun := revoked.Load()
				q, err := http.NewRequestWithContext(ctx, http.MethodGet, w.site.server.URL+"/v1/whoami", nil)
				if err != nil {
					return
				}
				q.Header.Set("Authorization", "Bearer "+victim.text)
				answer, err := w.site.server.Client().Do(q)
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				switch {
				case answer.StatusCode == http.StatusOK && begun:
					late.Add(1)
				case answer.StatusCode == http.StatusOK:
					early.Add(1)
				}
				if begun {
					after++
				}
			}
		})
	}
	for early.Load() < 20 {
		w.site.call(t, "GET", "/healthz", nil)
	}
	w.site.call(t, "DELETE", "/v1/keys/"+victim.id, nil, "X-API-Key", admin)
	revoked.Store(true)
	clients.Wait()
	cancel()
	if late.Load() > 0 {
		t.Errorf("%d requests were let in after the revoke was answered", late.Load())
	}
}

// panicking is an engine with a fault.
type panicking struct{}

func (panicking) Analyze(context.Context, string) (query.Facts, error) { panic("the secret reason") }

func (panicking) Describe(context.Context, event.Space, query.Statement) (query.Description, error) {
	panic("the secret reason")
}

func (panicking) Run(context.Context, event.Space, query.Statement) (query.Rows, error) {
	panic("the secret reason")
}

// Promise: a fault of ours is answered with the request's id and nothing else about it; the log has the rest. The
// server goes on.
func TestFaultsShowNothing(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live all").text
	for name, engine := range map[string]query.Engine{"panic": panicking{}, "error": refusing{errors.New("the secret reason: dial /var/secret.sock")}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.variant(t, func(cfg *api.Config) { cfg.Query = query.New(query.Config{Engine: engine, Now: w.clock.Now}) }, nil)
			answer, body := s.call(t, "POST", "/v1/query", strings.NewReader(`{"sql":"SELECT 1"}`), "X-API-Key", key)
			var got map[string]any
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			id := answer.Header.Get("X-Request-Id")
			if answer.StatusCode != http.StatusInternalServerError || got["code"] != "internal" || got["request_id"] != id || len(got) != 6 || strings.Contains(body, "secret") {
				t.Errorf("answered %d %s", answer.StatusCode, body)
			}
			lines := w.logs.of(id)
			if all := strings.Join(lines, ""); !strings.Contains(all, "the secret reason") || !strings.Contains(all, `"level":"ERROR","msg":"request"`) ||
				name == "panic" && !strings.Contains(all, "panicking.Analyze") {
				t.Errorf("logged %s", all)
			}
			if answer, _ := s.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key); answer.StatusCode != http.StatusOK {
				t.Errorf("afterwards the server answers %d", answer.StatusCode)
			}
		})
	}
}

// Promise: a key put where it does not belong is not repeated to anybody: not in the answer, the log or the trace.
func TestMisplacedKeysAreNotRepeated(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key, other := p.key("secret live all").text, p.key("secret live all").text
	for _, path := range []string{
		"/v1/keys/" + key, "/" + key, "/problems/" + key, "/docs/" + key, "/v1/events?cursor=" + key, "/v1/events?" + key, "/v1/events?" + key + "=1",
		"/v1/events?environment=" + key, "/v1/keys?limit=" + key, "/v1/denials?key_id=" + key, "/v1/denials?reason=" + key, "/v1/usage?from=" + key,
		"/v1/events?apiKey=" + key, "/v1/events?apiKey=" + key + "&apiKey=" + other, "/v1/events?api_key=" + key,
	} {
		answer, body := w.site.call(t, "GET", path, nil, "X-API-Key", other)
		if found := w.secrets.in(body); found != "" || answer.StatusCode < 400 {
			t.Errorf("%s was answered %d and repeats the key: %s", path, answer.StatusCode, body)
		}
	}
	for path, body := range map[string]string{
		"/track":    `{"event":"A","environment":"` + key + `"}`,
		"/v1/query": `{"sql":"SELECT 1","` + key + `":1}`,
		"/v1/keys":  `{"kind":"` + key + `","mode":"` + key + `"}`,
		"/alias":    `{"event":"` + key + `"`,
	} {
		answer, text := w.site.call(t, "POST", path, strings.NewReader(body), "X-API-Key", other)
		if answer.StatusCode < 400 {
			t.Errorf("%s was answered %d %s", path, answer.StatusCode, text)
		}
		if found := secretPart(key); strings.Contains(text, found) {
			t.Errorf("%s repeats the key: %s", path, text)
		}
	}
}

// Promise: nor is it repeated in the verdict on one item of a batch that was taken.
func TestMisplacedKeyInABatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live all").text
	answer, body := w.site.call(t, "POST", "/track", strings.NewReader(`[{"event":"A"},{"event":"A","environment":"`+key+`"}]`), "X-API-Key", key)
	if answer.StatusCode != http.StatusOK || !strings.Contains(body, `"environment_not_found"`) || strings.Contains(body, secretPart(key)) {
		t.Errorf("answered %d %s", answer.StatusCode, body)
	}
}

// Promise: nor is it listed among the denials, be it whole, cut short or glued to something.
func TestMisplacedKeysAreNotListed(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live all").text
	for _, sent := range []string{key, key[:40], "my" + key + "2", key[len("sk_live_"):], strings.Repeat("-", 100) + key} {
		w.site.call(t, "POST", "/track", strings.NewReader(`[{"event":"A"},{"event":"`+sent+`","environment":"nowhere"},{"event":"A","environment":"`+sent+`"}]`), "X-API-Key", key)
		w.site.call(t, "GET", "/v1/events?environment="+sent, nil, "X-API-Key", key, "User-Agent", sent)
	}
	answer, body := w.site.call(t, "GET", "/v1/denials?limit=200", nil, "X-API-Key", key)
	if answer.StatusCode != http.StatusOK || strings.Count(body, "environment_unknown") < 15 {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	secret := secretPart(key)
	for from := range len(secret) - 11 {
		if strings.Contains(body, secret[from:from+12]) {
			t.Fatalf("characters %d to %d of the secret are in %s", from, from+12, body)
		}
	}
}

func secretPart(key string) string {
	return key[len("pk_live_")+access.LookupLength:][:access.SecretLength]
}
