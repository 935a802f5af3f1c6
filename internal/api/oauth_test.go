package api_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/token"
)

const formType = "application/x-www-form-urlencoded"

// jws signs claims as clients do.
func jws(key ed25519.PrivateKey, header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(claims))
	return text + "." + encode(ed25519.Sign(key, []byte(text)))
}

// prove makes a DPoP proof for a request with a token.
func prove(w *world, key ed25519.PrivateKey, method, path, shown string) string {
	jwk := fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
	sum := sha256.Sum256([]byte(shown))
	claims := fmt.Sprintf(`{"jti":%q,"htm":%q,"htu":%q,"iat":%d,"ath":%q}`, rand.Text(), method, issuerURL+path, w.clock.Now().Add(time.Second).Unix(),
		base64.RawURLEncoding.EncodeToString(sum[:]))
	return jws(key, `{"typ":"dpop+jwt","alg":"EdDSA","jwk":`+jwk+`}`, claims)
}

// exchangeToken asks for a token and gives the answer.
func (s *site) exchangeToken(t *testing.T, form url.Values, headers ...string) (status int, answer struct {
	api.TokenAnswer
	Error       string `json:"error"`
	Description string `json:"error_description"`
}) {
	t.Helper()
	form.Set("grant_type", "client_credentials")
	got, body := s.call(t, "POST", "/v1/oauth/token", strings.NewReader(form.Encode()), append(headers, "Content-Type", formType)...)
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err, body)
	}
	return got.StatusCode, answer
}

// Promise: a token that is bound to a key is good with a proof of that key only, made for the request, each proof once.
func TestTokensAreBoundToKeys(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	client := p.client(p.key("secret live sql:run"))
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	proof := prove(w, key, "POST", "/v1/oauth/token", "")
	status, made := w.site.exchangeToken(t, url.Values{}, "X-API-Key", client.text, "DPoP", proof)
	if status != 200 || made.TokenType != "DPoP" {
		t.Fatalf("%d %+v", status, made)
	}
	if status, again := w.site.exchangeToken(t, url.Values{}, "X-API-Key", client.text, "DPoP", proof); status != 400 || again.Error != "invalid_dpop_proof" {
		t.Errorf("the proof again: %d %+v", status, again)
	}
	bearer := w.token(t, client.id, nil)
	good := prove(w, key, "GET", "/v1/whoami", made.AccessToken)
	for _, c := range []struct{ name, scheme, token, proof, want string }{
		{"right", "DPoP", made.AccessToken, good, ""},
		{"a proof again", "DPoP", made.AccessToken, good, "invalid_dpop_proof"},
		{"a proof for another request", "DPoP", made.AccessToken, prove(w, key, "POST", "/v1/whoami", made.AccessToken), "invalid_dpop_proof"},
		{"a proof for another token", "DPoP", made.AccessToken, prove(w, key, "GET", "/v1/whoami", bearer), "invalid_dpop_proof"},
		{"another's proof", "DPoP", made.AccessToken, prove(w, other, "GET", "/v1/whoami", made.AccessToken), "token_not_accepted"},
		{"as a bearer token", "Bearer", made.AccessToken, prove(w, key, "GET", "/v1/whoami", made.AccessToken), "token_not_accepted"},
		{"a bearer token as a bound one", "DPoP", bearer, prove(w, key, "GET", "/v1/whoami", bearer), "token_not_accepted"},
		{"a bearer token with a proof", "Bearer", bearer, prove(w, key, "GET", "/v1/whoami", bearer), ""},
	} {
		answer, body := w.site.call(t, "GET", "/v1/whoami", nil, "Authorization", c.scheme+" "+c.token, "DPoP", c.proof)
		if c.want == "" && answer.StatusCode != 200 || c.want != "" && (answer.StatusCode != 401 || string(codeOf(body)) != c.want) {
			t.Errorf("%s: %d %s", c.name, answer.StatusCode, body)
		}
	}
}

// Promise: a client that signs gets a token as one that shows its secret does, with each assertion once; nobody can tell
// from the answer whether there is such a client.
func TestClientsSign(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, _ := w.ring.Peek(p.id, p.key("secret live sql:run").id)
	client := p.make(keyring.New{Kind: access.Client, Parent: parent, PublicKeys: []ed25519.PublicKey{public}})
	sign := func(key ed25519.PrivateKey, id string) string {
		return jws(key, `{"alg":"EdDSA"}`, fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"jti":%q,"exp":%d}`, id, id, issuerURL, rand.Text(), w.clock.Now().Add(5*time.Minute+time.Second).Unix()))
	}
	ask := func(assertion string) (int, string, string) {
		status, answer := w.site.exchangeToken(t, url.Values{"client_assertion_type": {token.AssertionType}, "client_assertion": {assertion}})
		return status, answer.Error, answer.Description
	}
	good := sign(key, client.id)
	if status, fault, detail := ask(good); status != 200 {
		t.Errorf("right: %d %s %s", status, fault, detail)
	}
	if status, fault, _ := ask(good); status != 401 || fault != "invalid_client" {
		t.Errorf("again: %d %s", status, fault)
	}
	_, _, wrong := ask(sign(other, client.id))
	if status, fault, unknown := ask(sign(other, "key_000000000000")); status != 401 || fault != "invalid_client" || unknown != wrong {
		t.Errorf("a wrong signature is told %q, an unknown client %q", wrong, unknown)
	}
	p.end(client, "revoked")
	if status, fault, _ := ask(sign(key, client.id)); status != 401 || fault != "invalid_client" {
		t.Errorf("of a revoked client: %d %s", status, fault)
	}
}

// Promise: a token is dead as soon as its client or their key is revoked, disabled or
// narrowed, or the secret that was exchanged has ended.
func TestTokensDieAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	narrowed := func(p *project, key madeKey) {
		if answer, body := w.site.call(t, "PATCH", "/v1/keys/"+key.id, strings.NewReader(`{"environments":["staging"]}`), "X-API-Key", p.key("secret live all").text); answer.StatusCode != 200 {
			t.Error(answer.StatusCode, body)
		}
	}
	for name, happen := range map[string]func(p *project, parent, client madeKey){
		"client revoked":       func(p *project, _, client madeKey) { p.end(client, "revoked") },
		"key revoked":          func(p *project, parent, _ madeKey) { p.end(parent, "revoked") },
		"client narrowed":      func(p *project, _, client madeKey) { narrowed(p, client) },
		"key narrowed":         func(p *project, parent, _ madeKey) { narrowed(p, parent) },
		"key disabled":         func(p *project, parent, _ madeKey) { p.end(parent, "disabled") },
		"secret replaced":      func(p *project, _, client madeKey) { p.rotate(client, 0) },
		"client in quarantine": func(p *project, _, client madeKey) { p.end(client, "quarantined") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := w.project(t)
			parent := p.key("secret live sql:run")
			client := p.client(parent)
			text := w.token(t, client.id, nil)
			ask := func() int {
				answer, _ := w.site.call(t, "GET", "/v1/whoami", nil, "Authorization", "Bearer "+text)
				return answer.StatusCode
			}
			if status := ask(); status != 200 {
				t.Fatalf("at first: %d", status)
			}
			happen(p, parent, client)
			if status := ask(); status == 200 {
				t.Error("it is still accepted")
			}
		})
	}
}

// Promise: a question that runs ends within seconds after its token is revoked.
func TestRunningQuestionsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	w := open(t)
	engine := endless{make(chan struct{}, 1)}
	s := w.variant(t, func(cfg *api.Config) {
		cfg.Query = query.New(query.Config{Engine: engine, Now: w.clock.Now, TempDir: w.dir, Time: time.Hour})
	}, nil)
	p := w.project(t)
	client := p.client(p.key("secret live sql:run"))
	text := w.token(t, client.id, nil)
	ended := make(chan string, 1)
	go func() {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.server.URL+"/v1/query", strings.NewReader(`{"sql":"SELECT 1"}`))
		if err != nil {
			ended <- err.Error()
			return
		}
		q.Header.Set("Authorization", "Bearer "+text)
		answer, err := s.send(q)
		if err != nil {
			ended <- err.Error()
			return
		}
		defer func() { _ = answer.Body.Close() }()
		var told struct{ Code string }
		_ = json.NewDecoder(answer.Body).Decode(&told)
		ended <- told.Code
	}()
	<-engine.running
	if answer, body := s.call(t, "POST", "/v1/oauth/revoke", strings.NewReader("token="+text), "X-API-Key", client.text, "Content-Type", formType); answer.StatusCode != 200 {
		t.Fatal(answer.StatusCode, body)
	}
	select {
	case told := <-ended:
		if told != "token_not_accepted" {
			t.Errorf("it was told %q", told)
		}
	case <-time.After(patience):
		t.Error("it runs on")
	}
}

// Promise: making tokens is counted against the limits of the key, and OAuth's clients are told when to come again.
func TestTokensAreCounted(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	parent := p.limited(access.Limits{Daily: access.Quota{Most: 1}})
	client := p.client(parent)
	if status, answer := w.site.exchangeToken(t, url.Values{}, "X-API-Key", client.text); status != 200 {
		t.Fatalf("%d %+v", status, answer)
	}
	for path, body := range map[string]string{
		"/v1/oauth/token": "grant_type=client_credentials", "/v1/oauth/revoke": "token=none", "/v1/oauth/introspect": "token=none",
		"/metrics/auth/token": fmt.Sprintf(`{"clientSecret":%q,"environmentApiKey":%q}`, client.text, parent.id),
	} {
		headers := []string{"X-API-Key", client.text, "Content-Type", formType}
		if body[0] == '{' {
			headers = []string{"Content-Type", "application/json"}
		}
		answer, text := w.site.call(t, "POST", path, strings.NewReader(body), headers...)
		if answer.StatusCode != 429 || !strings.Contains(text, `"error":"temporarily_unavailable"`) || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, answer.StatusCode, text)
		}
	}
}
