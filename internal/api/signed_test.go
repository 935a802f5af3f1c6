package api_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// demanding is a key with bounds that demands signatures.
func (p *project) demanding(n keyring.New) madeKey {
	p.t.Helper()
	n.Signature = true
	return p.make(n)
}

// request makes a request with a key in a header.
func (s *site) request(t testing.TB, method, path, body, key string, headers ...string) *http.Request {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		q.Header.Set("X-API-Key", key)
	}
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	return q
}

// sign signs a request, as of the world's time.
func (w *world) sign(t testing.TB, q *http.Request, body string, by signature.Signer) *http.Request {
	t.Helper()
	if err := by.Sign(q, []byte(body), w.clock.Now(), rand.Text()); err != nil {
		t.Fatal(err)
	}
	return q
}

// deliver sends a request and reads the whole answer.
func (s *site) deliver(t testing.TB, q *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := s.send(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

func hmacOf(k madeKey) signature.Signer { return signature.Signer{KeyID: k.id, Secret: k.signing} }

// Promise: a request that is signed as the documentation says is taken, by HMAC, by Ed25519 and by IEX's scheme, with a
// body and without, packed and with a query; and only then, where the key demands it.
func TestSignedRequestsAreTaken(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	byHMAC := p.demanding(everything(access.Bounds{}))
	n := everything(access.Bounds{})
	n.PublicKeys = []ed25519.PublicKey{public}
	byEd25519 := p.demanding(n)
	iex := p.demanding(keyring.New{Kind: access.Public, Mode: access.Live})
	signers := map[string]signature.Signer{
		byHMAC.text: hmacOf(byHMAC), byEd25519.text: {KeyID: byEd25519.id, PrivateKey: private, Lifetime: time.Minute},
	}
	packed := gzipped(oneEvent)
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
	}{
		"GET":               {"GET", "/v1/keys", "", nil},
		"GET with a query":  {"GET", "/v1/events?event=a%20b&limit=5&after=2026-01-01T00:00:00%2B01:00", "", nil},
		"POST":              {"POST", "/track", oneEvent, []string{"Content-Type", "application/json"}},
		"POST with a query": {"POST", "/track?sync=false&x=%7e", oneEvent, nil},
		"POST of gzip":      {"POST", "/track", packed, []string{"Content-Encoding", "gzip", "Content-Type", "application/json"}},
		"POST of nothing":   {"POST", "/v1/keys/" + p.key("public live").id + "/quarantine", "", nil},
		"an optional body":  {"POST", "/v1/keys/" + p.demanding(keyring.New{Kind: access.Public, Mode: access.Live}).id + "/restore", "", nil},
		"PATCH":             {"PATCH", "/v1/keys/" + p.key("public live").id, `{"label":"signed"}`, nil},
		"a question":        {"POST", "/v1/query", `{"sql":"SELECT 1"}`, nil},
	} {
		for key, signer := range signers {
			q := w.site.request(t, c.method, c.path, c.body, key, c.headers...)
			if answer, body := w.site.deliver(t, w.sign(t, q, c.body, signer)); answer.StatusCode >= 300 {
				t.Errorf("%s was answered %d %s", name, answer.StatusCode, body)
			}
			q = w.site.request(t, c.method, c.path, c.body, key, c.headers...)
			if answer, body := w.site.deliver(t, q); codeOf(body) != problem.SignatureRequired || answer.Header.Get("Accept-Signature") == "" {
				t.Errorf("%s, unsigned, was answered %d %s", name, answer.StatusCode, body)
			}
		}
	}
	for _, body := range []string{"", oneEvent} {
		method, path := "GET", "/v1/whoami"
		if body != "" {
			method, path = "POST", "/track"
		}
		q := w.site.request(t, method, path+"?token="+iex.text, body, "")
		if err := hmacOf(iex).SignIEX(q, iex.text, []byte(body), w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if answer, text := w.site.deliver(t, q); answer.StatusCode != http.StatusOK {
			t.Errorf("%s %s, signed by IEX's scheme, was answered %d %s", method, path, answer.StatusCode, text)
		}
	}
}

// Promise: whatever is changed of a signed request on its way, it is refused; the answer says only that, and an admin
// finds out what was wrong, without a secret in it.
func TestChangedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.demanding(everything(access.Bounds{}))
	other := p.demanding(everything(access.Bounds{}))
	records := &gatetest.Ledger{}
	s := w.variant(t, func(cfg *api.Config) { cfg.Gate = gate.New(w.ring, nil, w.limits, records, w.clock.Now, newDecision) }, nil)
	const path = "/track?sync=false"
	for name, c := range map[string]struct {
		change func(q *http.Request)
		code   problem.Code
		detail string // in the admin's diagnosis
	}{
		"the method": {func(q *http.Request) { q.Method = "PATCH"; q.URL.Path = "/v1/keys/" + key.id; q.URL.RawQuery = "" }, problem.SignatureInvalid, "wrong: "},
		"the query":  {func(q *http.Request) { q.URL.RawQuery = "sync=true" }, problem.SignatureInvalid, "wrong: "},
		"the path":   {func(q *http.Request) { q.URL.Path = "/v1/events" }, problem.SignatureInvalid, "wrong: "},
		"the host":   {func(q *http.Request) { q.Host = "elsewhere.example" }, problem.SignatureInvalid, "wrong: "},
		"the body":   {func(q *http.Request) { setBody(q, `{"event":"B"}`) }, problem.DigestMismatched, ""},
		"body and digest": {func(q *http.Request) {
			setBody(q, `{"event":"B"}`)
			q.Header.Set("Content-Digest", signature.ContentDigest([]byte(`{"event":"B"}`)))
		}, problem.SignatureInvalid, "wrong: "},
		"a second digest": {func(q *http.Request) { q.Header.Add("Content-Digest", "sha-512=:AAAA:") }, problem.SignatureInvalid, "wrong: "},
		"no digest":       {func(q *http.Request) { q.Header.Del("Content-Digest") }, problem.SignatureInvalid, "missing: "},
		"a type":          {func(q *http.Request) { q.Header.Set("Content-Type", "text/plain") }, problem.SignatureInvalid, "uncovered: "},
		"the key too":     {func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+key.text) }, problem.SignatureInvalid, "uncovered: "},
		"the key":         {func(q *http.Request) { q.Header.Set("X-API-Key", other.text) }, problem.SignatureInvalid, "other_key: "},
		"the signature":   {func(q *http.Request) { q.Header.Set("Signature", "sig=:AAAA:") }, problem.SignatureInvalid, "unsupported: "},
		"no signature":    {func(q *http.Request) { q.Header.Del("Signature") }, problem.SignatureInvalid, "missing: "},
		"the time": {func(q *http.Request) {
			q.Header.Set("Signature-Input", created.ReplaceAllString(q.Header.Get("Signature-Input"), "created=1"))
		}, problem.SignatureInvalid, "expired: "},
		"signed twice": {func(q *http.Request) { q.Header.Set("Authorization", "IEX-HMAC-SHA256 Credential=x") }, problem.SignatureInvalid, "ambiguous: "},
		"one byte of it": {func(q *http.Request) {
			q.Header.Set("Signature", strings.Replace(q.Header.Get("Signature"), "sig=:", "sig=:A", 1)[:len(q.Header.Get("Signature"))-2]+"=:")
		}, problem.SignatureInvalid, ""},
		"nothing, as such": {func(*http.Request) {}, "", ""},
	} {
		q := w.sign(t, s.request(t, "POST", path, oneEvent, key.text), oneEvent, hmacOf(key))
		c.change(q)
		answer, body := s.deliver(t, q)
		denials, _ := records.Take()
		if c.code == "" && answer.StatusCode == http.StatusOK && len(denials) == 0 {
			continue
		}
		if codeOf(body) != c.code {
			t.Errorf("with %s changed: answered %d %s", name, answer.StatusCode, body)
			continue
		}
		if c.code != problem.SignatureInvalid {
			continue
		}
		if len(denials) != 1 || !strings.Contains(denials[0].Detail, c.detail) || w.secrets.in(denials[0].Detail) != "" {
			t.Errorf("with %s changed: recorded %+v", name, denials)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil || len(got) != 7 && len(got) != 12 || strings.Contains(body, "signature base") || answer.Header.Get("WWW-Authenticate") != `Signature realm="weir"` {
			t.Errorf("with %s changed: %v told %s", name, answer.Header, body)
		}
	}
}

// Promise: an admin is shown the first line in which what was signed differs from what came, and the whole text that
// should have been signed; a key in it is hidden.
func TestDiagnosisOfASignature(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).demanding(everything(access.Bounds{}))
	records := &gatetest.Ledger{}
	s := w.variant(t, func(cfg *api.Config) { cfg.Gate = gate.New(w.ring, nil, w.limits, records, w.clock.Now, newDecision) }, nil)
	q := s.request(t, "GET", "/v1/keys?limit=5", "", key.text)
	host := q.URL.Host
	q.Host = host + ":443" // the client signs another form of the host than it sends
	w.sign(t, q, "", hmacOf(key))
	q.Host = ""
	if _, body := s.deliver(t, q); codeOf(body) != problem.SignatureInvalid {
		t.Fatal(body)
	}
	denials, _ := records.Take()
	if len(denials) != 1 {
		t.Fatalf("recorded %+v", denials)
	}
	d := denials[0]
	for _, part := range []string{"wrong: ", "signature base:\n\"@method\": GET\n\"@authority\": " + host, "\"@query\": ?limit=5", `"x-api-key": [secret]`, `"@signature-params": (`} {
		if !strings.Contains(d.Detail, part) {
			t.Errorf("there is no %q in %s", part, d.Detail)
		}
	}
	if d.Signed != access.SignatureWrong || d.Rule != "signature is right" {
		t.Errorf("recorded %+v", d)
	}
}

var created = regexp.MustCompile(`created=\d+`)

func setBody(q *http.Request, text string) {
	q.Body, q.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	q.GetBody = nil
}

// Promise: a signed request is taken once, however many copies come at the same time; what was refused for its body has
// not used the signature up.
func TestSignedRequestsAreTakenOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).demanding(everything(access.Bounds{}))
	signed := w.sign(t, w.site.request(t, "POST", "/track", oneEvent, key.text), oneEvent, hmacOf(key)).Header
	send := func(body string) problem.Code {
		q := w.site.request(t, "POST", "/track", body, "")
		q.Header = signed.Clone()
		answer, text := w.site.deliver(t, q)
		if answer.StatusCode == http.StatusOK {
			return ""
		}
		return codeOf(text)
	}
	if got := send(`{"event":"B"}`); got != problem.DigestMismatched {
		t.Fatalf("another body was answered %s", got)
	}
	const copies = 8
	var all sync.WaitGroup
	codes := make(chan problem.Code, copies)
	for range copies {
		all.Go(func() { codes <- send(oneEvent) })
	}
	all.Wait()
	close(codes)
	count := map[problem.Code]int{}
	for code := range codes {
		count[code]++
	}
	if count[""] != 1 || count[problem.SignatureInvalid] != copies-1 {
		t.Errorf("of %d copies: %v", copies, count)
	}
}

// Promise: a signature counts for five minutes either way and not a second longer, and one from before the server's start
// counts not at all.
func TestSignaturesAge(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	key := w.project(t).demanding(everything(access.Bounds{}))
	start := w.clock.Now()
	ask := func(created time.Time) int {
		q := w.site.request(t, "GET", "/v1/whoami", "", key.text)
		if err := hmacOf(key).Sign(q, nil, created, rand.Text()); err != nil {
			t.Fatal(err)
		}
		answer, _ := w.site.deliver(t, q)
		return answer.StatusCode
	}
	if got := ask(start.Add(-time.Minute)); got != http.StatusUnauthorized {
		t.Errorf("from before the start: %d", got)
	}
	w.clock.Advance(time.Hour)
	now := w.clock.Now().Truncate(time.Second)
	w.clock.Advance(now.Add(time.Second).Sub(w.clock.Now())) // a whole second, and then some microseconds
	now = now.Add(time.Second)
	for age, want := range map[time.Duration]int{
		-299 * time.Second: 200, -301 * time.Second: 401, 299 * time.Second: 200, 301 * time.Second: 401, 300 * time.Second: 401, // some microseconds over
	} {
		if got := ask(now.Add(-age)); got != want {
			t.Errorf("of an age of %s: %d, want %d", age, got, want)
		}
	}
}

// Promise: a request with a wrong signature is refused before its body is read.
func TestWrongSignatureBeforeTheBody(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).demanding(everything(access.Bounds{}))
	conn := w.site.dial(t)
	_, err := fmt.Fprintf(conn, "POST /track HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nSignature-Input: sig=();created=1;tag=\"weir-v1\"\r\nSignature: sig=:AAAA:\r\n"+
		"Content-Length: 1000000\r\n\r\n{", key.text)
	if err != nil {
		t.Fatal(err)
	}
	if answer, body := read(t, conn); codeOf(body) != problem.SignatureInvalid {
		t.Errorf("answered %d %s", answer.StatusCode, body)
	}
}

// Promise: a digest that is wrong is answered by the registered problem types, and never with the right one.
func TestDigestsOfBodies(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("public live").text
	right := signature.ContentDigest([]byte(oneEvent))
	const registered = "https://iana.org/assignments/http-problem-types#"
	for name, c := range map[string]struct {
		header, kind string
		status       int
		wanted       string
	}{
		"right":          {right, "", 200, ""},
		"of md5":         {"md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", registered + "digest-unsupported-algorithms", 400, "sha-256=10, sha-512=3"},
		"of md5 as well": {right + ", md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", registered + "digest-unsupported-algorithms", 400, "sha-256=10, sha-512=3"},
		"too short":      {"sha-256=:AAAA:", registered + "digest-invalid-values", 400, ""},
		"no bytes":       {"sha-256=1", registered + "digest-invalid-values", 400, ""},
		"of another":     {signature.ContentDigest([]byte("{}")), registered + "digest-mismatched-values", 400, ""},
		"unreadable":     {"?", "/problems/invalid_request", 400, ""},
	} {
		answer, body := w.site.call(t, "POST", "/track", strings.NewReader(oneEvent), "X-API-Key", key, "Content-Digest", c.header)
		var got struct {
			Type   string
			Errors []problem.Field
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != c.status || got.Type != c.kind || answer.Header.Get("Want-Content-Digest") != c.wanted || c.status == 400 && got.Errors[0].Name != "header.Content-Digest" {
			t.Errorf("%s: %d %v %s", name, answer.StatusCode, answer.Header, body)
		}
		if _, value, _ := strings.Cut(right, "="); c.status == 400 && strings.Contains(body, strings.Trim(value, ":")) {
			t.Errorf("%s: the answer has the right digest: %s", name, body)
		}
	}
}
