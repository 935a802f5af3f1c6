package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/proxy"
)

// Promise: a secret that was replaced works until the very instant that was said, which its answers name, and not at it.
func TestOldSecretsEndInTime(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	old := p.key("secret live all")
	next := p.rotate(old, time.Hour)
	rotated := p.peek(old).MintedAt
	end := rotated.Add(time.Hour)
	ask := func(key madeKey) *http.Response {
		answer, _ := w.site.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key.text)
		return answer
	}
	answer := ask(old)
	if answer.StatusCode != 200 || answer.Header.Get("Deprecation") != "@"+strconv.FormatInt(rotated.Unix(), 10) || answer.Header.Get("Sunset") != end.Format(http.TimeFormat) {
		t.Errorf("the old secret: %d %v, want the end %s", answer.StatusCode, answer.Header, end)
	}
	const moment = 100 * time.Microsecond // the clock moves a microsecond whenever it is read
	w.clock.Advance(end.Add(-moment).Sub(w.clock.Now()))
	if answer := ask(old); answer.StatusCode != 200 {
		t.Errorf("a moment before its end: %d", answer.StatusCode)
	}
	w.clock.Advance(end.Sub(w.clock.Now()))
	if answer := ask(old); answer.StatusCode != 401 || answer.Header.Get("Sunset") != "" {
		t.Errorf("at its end: %d %v", answer.StatusCode, answer.Header)
	}
	if answer := ask(next); answer.StatusCode != 200 || answer.Header.Get("Deprecation") != "" {
		t.Errorf("the new secret: %d %v", answer.StatusCode, answer.Header)
	}
	for range 4 {
		next = p.rotate(next, time.Hour)
	}
	admin := p.key("secret live all")
	if answer, body := w.site.call(t, "POST", "/v1/keys/"+old.id+"/rotate", strings.NewReader(`{"expires_in":60}`), "X-API-Key", admin.text); codeOf(body) != problem.Conflict {
		t.Errorf("a sixth secret at the same time: %d %s", answer.StatusCode, body)
	}
}

// Promise: a key of the configuration works and is listed, and is changed nowhere but there.
func TestDeclaredKeysAreChangedElsewhere(t *testing.T) {
	t.Parallel()
	const text = "sk_live_3fQ9xT0aLmZkThisIsAnExampleNotASecret00"
	declared := text + checkOf(t, text)
	w := open(t).apart(t, func(cfg *keyring.Config) {
		cfg.Declared = []keyring.Record{{
			ID: "key_3fQ9xT0aLmZk", Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes, Hint: access.Hint(declared), Digest: sha256.Sum256([]byte(declared)), Label: "deployment",
		}}
	})
	call := func(method, path, body string) (int, string) {
		answer, text := w.site.call(t, method, path, strings.NewReader(body), "X-API-Key", declared)
		return answer.StatusCode, text
	}
	const self = "/v1/keys/key_3fQ9xT0aLmZk"
	if status, body := call("GET", self, ""); status != 200 || !strings.Contains(body, `"source":"configuration"`) || !strings.Contains(body, `"created_by":"configuration"`) {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range [][3]string{
		{"PATCH", self, `{"label":"mine"}`}, {"DELETE", self, ""}, {"DELETE", "/v1/whoami", ""}, {"POST", self + "/rotate", ""}, {"POST", self + "/disable", ""},
		{"POST", self + "/quarantine", ""}, {"POST", self + "/restore", ""}, {"POST", self + "/signing-secret", ""},
	} {
		if status, body := call(c[0], c[1], c[2]); status != 409 || codeOf(body) != problem.Conflict || !strings.Contains(body, "configuration") {
			t.Errorf("%s %s: %d %s", c[0], c[1], status, body)
		}
	}
	if status, body := call("GET", "/v1/whoami", ""); status != 200 {
		t.Errorf("afterwards: %d %s", status, body)
	}
}

// checkOf is the end of a key that begins with a text.
func checkOf(t *testing.T, text string) string {
	t.Helper()
	lookup, secret := text[len("sk_live_"):][:access.LookupLength], text[len("sk_live_")+access.LookupLength:]
	whole := access.WriteKey(access.Secret, access.Live, lookup, secret)
	return whole[len(text):]
}

// waiting is a store in which the first change of a key takes as long as a test wants, and which tells when the keys of a
// steward are listed.
type waiting struct {
	keyring.Store
	begun, end, listed chan struct{}
}

func (s *waiting) ChangeKey(ctx context.Context, project, id string, change func(*keyring.Record) (*audit.Entry, error)) (keyring.Record, error) {
	select {
	case s.begun <- struct{}{}:
		<-s.end
	default:
	}
	return s.Store.ChangeKey(ctx, project, id, change)
}

func (s *waiting) Keys(ctx context.Context, q keyring.Query) ([]keyring.Record, error) {
	defer func() {
		if q.Steward != "" {
			close(s.listed)
		}
	}()
	return s.Store.Keys(ctx, q)
}

// Promise: whoever is narrowed while its own change waits for its turn is refused, and nothing is changed.
func TestNarrowedWhileWaiting(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	admin, victim := p.key("secret live all"), p.key("secret live all")
	w.site.call(t, "PATCH", "/v1/keys/"+admin.id, strings.NewReader(`{"steward":"ana"}`), "X-API-Key", admin.text)
	slow := &waiting{Store: w.store, begun: make(chan struct{}), end: make(chan struct{}), listed: make(chan struct{})}
	ring, err := keyring.Open(t.Context(), slow, keyring.Config{Now: w.clock.Now, NewID: newDecision})
	if err != nil {
		t.Fatal(err)
	}
	s := w.variant(t, func(cfg *api.Config) {
		cfg.Keys, cfg.Gate = ring, gate.New(ring, nil, w.limits, w.ledger, w.clock.Now, newDecision)
	}, nil)
	answers := make(chan string, 2)
	send := func(method, path, body, key string) {
		q := s.request(t, method, path, body, key)
		answer, err := s.send(q)
		if err != nil {
			answers <- err.Error()
			return
		}
		defer func() { _ = answer.Body.Close() }()
		var text bytes.Buffer
		_, _ = text.ReadFrom(answer.Body)
		answers <- strconv.Itoa(answer.StatusCode) + " " + string(codeOf(text.String()))
	}
	go send("PATCH", "/v1/keys/"+victim.id, `{"scopes":["keys:write"]}`, admin.text)
	<-slow.begun
	go send("POST", "/v1/keys/hand-over", `{"from":"ana","to":"ben"}`, victim.text)
	<-slow.listed
	close(slow.end)
	got := map[string]bool{<-answers: true, <-answers: true}
	if !got["200 "] || !got["409 conflict"] {
		t.Errorf("answered %v", got)
	}
	if _, body := w.site.call(t, "GET", "/v1/keys/"+admin.id, nil, "X-API-Key", admin.text); !strings.Contains(body, `"steward":"ana"`) {
		t.Errorf("handed over all the same: %s", body)
	}
}

// Promise: without a master key nothing makes a signing secret, and the answer says what to do instead.
func TestNoSigningSecretWithoutAMasterKey(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t, func(cfg *keyring.Config) { cfg.Vault = nil })
	p := w.project(t)
	key := p.key("secret live all")
	for path, body := range map[string]string{
		"/v1/keys": `{"kind":"secret","scopes":["events:read"],"signature":true}`, "/v1/keys/" + key.id + "/signing-secret": "",
	} {
		answer, text := w.site.call(t, "POST", path, strings.NewReader(body), "X-API-Key", key.text)
		if answer.StatusCode != 503 || !strings.Contains(text, "Register an Ed25519 public key instead") {
			t.Errorf("%s: %d %s", path, answer.StatusCode, text)
		}
	}
}

var (
	ids     = regexp.MustCompile(`(req|dec|task)_[0-9A-Z]{20}`)
	ofItsID = []string{"X-Request-Id", "Date"}
)

// Promise: the answer to a credential in cleartext is the same to the byte, be it good, unknown, revoked, mistyped or no
// key, whatever is asked and where the key stands; only the names of the request and the decision differ.
func TestCleartextTellsNothing(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	good, public := p.key("secret live all"), p.key("public live")
	all := map[string]string{
		"good": good.text, "public": public.text, "revoked": p.key("secret live all, revoked").text, "quarantined": p.key("secret live all, quarantined").text,
		"unknown": unknownKey, "mistyped": unknownKey[:len(unknownKey)-1] + "x", "no key": "let-me-in", "without the scope": p.key("secret live events:read").text,
	}
	for _, c := range []struct{ method, path, body string }{{"GET", "/v1/keys", ""}, {"POST", "/track", oneEvent}, {"GET", "/v1/whoami?apiKey=", ""}, {"POST", "/v1/query", "nonsense"}} {
		var first, of string
		for name, key := range all {
			path, headers := c.path, []string{"X-Forwarded-Proto", "http", "X-Forwarded-For", "203.0.113.7"}
			if strings.HasSuffix(path, "=") {
				path += key
			} else {
				headers = append(headers, "X-API-Key", key)
			}
			answer, body := w.proxied.call(t, c.method, path, strings.NewReader(c.body), headers...)
			for _, header := range ofItsID {
				answer.Header.Del(header)
			}
			var head strings.Builder
			_ = answer.Header.Write(&head)
			got := answer.Status + "\n" + head.String() + "\n" + ids.ReplaceAllString(body, "ID")
			if first == "" {
				first, of = got, name
			}
			if got != first || answer.StatusCode != 403 {
				t.Errorf("%s %s: %s is answered\n%s\nand %s\n%s", c.method, c.path, name, got, of, first)
			}
		}
	}
	for id, exposed := range map[string]bool{good.id: true, public.id: false} {
		_, body := w.site.call(t, "GET", "/v1/keys/"+id, nil, "X-API-Key", good.text)
		if strings.Contains(body, `"exposed":"cleartext"`) != exposed {
			t.Errorf("exposed %v: %s", exposed, body)
		}
	}
	s := w.variant(t, func(cfg *api.Config) { cfg.AllowCleartext, cfg.Proxy = true, trusting(proxy.XForwardedFor) }, nil)
	if answer, body := s.call(t, "GET", "/v1/keys", nil, "X-API-Key", good.text, "X-Forwarded-Proto", "http"); answer.StatusCode != 200 {
		t.Errorf("where it is allowed: %d %s", answer.StatusCode, body)
	}
}

// Promise: a forwarded header from a peer that is no trusted proxy changes nothing and is counted; one from a trusted
// proxy is not.
func TestForwardedHeadersAreCounted(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live all").text
	for trusted, want := range map[bool]float64{false: 4, true: 0} {
		registry := prometheus.NewRegistry()
		s := w.variant(t, func(cfg *api.Config) {
			cfg.Registry = registry
			if trusted {
				cfg.Proxy = trusting(proxy.XForwardedFor)
			}
		}, nil)
		for _, header := range []string{"X-Forwarded-For", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Host"} {
			answer, body := s.call(t, "GET", "/v1/whoami", nil, "X-API-Key", key, header, "203.0.113.7")
			if spoofed := strings.Contains(body, "203.0.113.7"); answer.StatusCode != 200 || spoofed != (trusted && header == "X-Forwarded-For") {
				t.Errorf("trusted %v, %s: %d %s", trusted, header, answer.StatusCode, body)
			}
		}
		families, err := registry.Gather()
		if err != nil || families[0].GetName() != "weir_forwarded_ignored_total" || families[0].GetMetric()[0].GetCounter().GetValue() != want {
			t.Errorf("trusted %v: counted %v %v", trusted, families[0], err)
		}
	}
}

// Promise: a secret in an address is in no line of the log, in no span and in no denial, under whatever name it stood.
func TestSecretsInAddressesAreNotKept(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.key("secret live all")
	for _, allowed := range []bool{false, true} {
		p.policy(access.Policy{SecretInURL: allowed})
		for _, name := range []string{"apiKey", "api_key", "token"} {
			answer, body := w.site.call(t, "GET", "/v1/keys?limit=1&"+name+"="+key.text, nil)
			if (answer.StatusCode == 200) != allowed || answer.Header.Get("Referrer-Policy") != "no-referrer" || answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("allowed %v, %s: %d %v %s", allowed, name, answer.StatusCode, answer.Header, body)
			}
			line := w.logs.await(t, answer.Header.Get("X-Request-Id"))
			if strings.Contains(line, secretPart(key.text)) || !strings.Contains(line, `"route":"/v1/keys"`) {
				t.Errorf("logged %s", line)
			}
		}
	}
	if _, body := w.site.call(t, "GET", "/v1/denials", nil, "X-API-Key", key.text); strings.Count(body, `"rule":"secret key is not in a URL","count":1`) != 3 || strings.Contains(body, secretPart(key.text)) {
		t.Errorf("recorded %s", body)
	}
}
