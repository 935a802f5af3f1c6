package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/weir-analytics/weir/internal/api"
)

// Promise: clients of OAuth that others wrote complete their flows unmodified: openid-client, oauth4webapi and
// golang.org/x/oauth2; by client credentials, and with a code and refresh tokens for an app that a person lets in.
func TestClientsOfOAuth(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	r := install(t).serve("--listen", address)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var made api.Key
	parent := "key_" + r.secret[len("sk_live_"):][:12]
	body := map[string]any{"kind": "client", "parent": parent, "scopes": []string{"sql:run"}, "public_keys": []string{base64.StdEncoding.EncodeToString(public)}}
	status, answer, err := r.send(t.Context(), r.secret, "/v1/keys", body)
	if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &made) != nil {
		t.Fatalf("the client: %d %s %v", status, answer, err)
	}
	t.Run("golang.org/x/oauth2 with a code", func(t *testing.T) { letInByGo(t, r) })
	t.Run("golang.org/x/oauth2", func(t *testing.T) {
		for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams, oauth2.AuthStyleAutoDetect} {
			cfg := clientcredentials.Config{ClientID: made.ID, ClientSecret: made.Key, TokenURL: r.url + "/v1/oauth/token", AuthStyle: style, Scopes: []string{"sql:run"}}
			answer, err := cfg.Client(t.Context()).Get(r.url + "/v1/whoami")
			if err != nil {
				t.Fatal(err)
			}
			var who api.WhoAmI
			if err := json.NewDecoder(answer.Body).Decode(&who); err != nil || who.KeyID != made.ID || who.Kind != "token" {
				t.Errorf("with style %d: %d %+v %v", style, answer.StatusCode, who, err)
			}
			_ = answer.Body.Close()
		}
	})
	t.Run("openid-client and oauth4webapi", func(t *testing.T) {
		if _, err := os.Stat("../../tools/oauth/node_modules"); err != nil {
			t.Fatal("the clients are not installed: scripts/test-deps installs them")
		}
		key, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), "node", "check.mjs")
		c.Dir = "../../tools/oauth"
		c.Env = append(os.Environ(), "WEIR="+r.url, "CLIENT_ID="+made.ID, "CLIENT_SECRET="+made.Key, "CLIENT_KEY="+base64.StdEncoding.EncodeToString(key))
		for name, app := range map[string]api.App{"APP": registered(t, r, false), "PUBLIC_APP": registered(t, r, true)} {
			c.Env = append(c.Env, name+"_ID="+app.ID, name+"_SECRET="+app.Secret)
		}
		c.Env = append(c.Env, "PERSON_KEY="+r.secret)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}

// registered is an app that a project has registered.
func registered(t *testing.T, r *running, public bool) (made api.App) {
	t.Helper()
	body := map[string]any{"name": "Tried", "redirect_uris": []string{"http://127.0.0.1/back"}, "public": public, "dpop_required": public}
	status, answer, err := r.send(t.Context(), r.secret, "/v1/apps", body)
	if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &made) != nil {
		t.Fatalf("the app: %d %s %v", status, answer, err)
	}
	return made
}

// hidden finds what a page of consent sends with its form.
var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// person is whoever is sent to the page of consent, enters a key there, and is sent back: to where that is, with what.
func person(t *testing.T, r *running, address string) url.Values {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the page: %d %s %v", answer.StatusCode, page, err)
	}
	form := url.Values{"key": {r.secret}}
	for _, m := range hidden.FindAllStringSubmatch(string(page), -1) {
		form.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/v1/oauth/authorize", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("Origin", r.url)
	if answer, err = http.DefaultTransport.RoundTrip(q); err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	to, err := answer.Location()
	if err != nil || answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("let in: %d %v", answer.StatusCode, err)
	}
	return to.Query()
}

// letInByGo is the flow of an app that uses golang.org/x/oauth2: sent to the page, sent back, exchanged, refreshed.
func letInByGo(t *testing.T, r *running) {
	app := registered(t, r, false)
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams, oauth2.AuthStyleAutoDetect} {
		cfg := oauth2.Config{
			ClientID: app.ID, ClientSecret: app.Secret, RedirectURL: "http://127.0.0.1:4711/back", Scopes: []string{"sql:run"},
			Endpoint: oauth2.Endpoint{AuthURL: r.url + "/v1/oauth/authorize", TokenURL: r.url + "/v1/oauth/token", AuthStyle: style},
		}
		verifier := oauth2.GenerateVerifier()
		back := person(t, r, cfg.AuthCodeURL("a state", oauth2.S256ChallengeOption(verifier)))
		if back.Get("state") != "a state" || back.Get("iss") != r.url {
			t.Fatalf("sent back with %v", back)
		}
		first, err := cfg.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		first.Expiry = time.Unix(1, 0) // so that it is refreshed
		source := cfg.TokenSource(t.Context(), first)
		next, err := source.Token()
		if err != nil || next.AccessToken == first.AccessToken || next.RefreshToken == first.RefreshToken {
			t.Fatalf("refreshed: %v", err)
		}
		answer, err := oauth2.NewClient(t.Context(), source).Get(r.url + "/v1/whoami")
		if err != nil {
			t.Fatal(err)
		}
		var who api.WhoAmI
		if err := json.NewDecoder(answer.Body).Decode(&who); err != nil || who.Kind != "token" || !slices.Equal(who.Scopes, []string{"sql:run"}) {
			t.Errorf("with style %d: %d %+v %v", style, answer.StatusCode, who, err)
		}
		_ = answer.Body.Close()
		if _, err := cfg.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(verifier)); err == nil {
			t.Error("a code was good twice")
		}
		if answer, err = oauth2.NewClient(t.Context(), source).Get(r.url + "/v1/whoami"); err != nil || answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("what came of it is still good: %v", err)
		}
		_ = answer.Body.Close()
	}
}
