package token_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
	"github.com/weir-analytics/weir/internal/vault"
)

// indent writes JSON for people.
func indent(t *testing.T, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return b.String() + "\n"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	want, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Error(err)
	}
	if got != string(want) {
		t.Errorf("%s is now:\n%s", name, got)
	}
}

func part(t *testing.T, text string, n int) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[n])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Promise: a token has the header and the claims of RFC 9068, and says what it was narrowed to; the documents name what
// there is. None of that changes unnoticed.
func TestWhatIsSentIsAsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain := w.mint(t, token.Request{Client: client()})
	whole := w.mint(t, full())
	golden(t, "header.json", indent(t, part(t, plain.Text.Reveal(), 0)))
	golden(t, "plain.json", indent(t, part(t, plain.Text.Reveal(), 1)))
	golden(t, "whole.json", indent(t, part(t, whole.Text.Reveal(), 1)))
	e := token.Endpoints{
		Token: issuerURL + "/v1/oauth/token", Revoke: issuerURL + "/v1/oauth/revoke", Introspect: issuerURL + "/v1/oauth/introspect",
		Keys: issuerURL + "/v1/oauth/jwks", Help: issuerURL + "/docs",
	}
	described, of := w.Introspect(whole.Text.Reveal(), w.now)
	if of != client().ID {
		t.Errorf("described as one of %s", of.ID())
	}
	for name, value := range map[string]any{
		"keys.json": w.PublicKeys(), "server.json": w.Server(e), "resource.json": w.Resource(resourceURL, "Weir", issuerURL+"/docs"), "introspection.json": described,
	} {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, indent(t, data))
	}
	if none, _ := w.Introspect(whole.Text.Reveal()+"x", w.now); none != (token.Introspection{}) {
		t.Errorf("a token that is not good is described: %+v", none)
	}
	if data, _ := json.Marshal(token.Introspection{}); string(data) != `{"active":false}` {
		t.Errorf("it is described as %s", data)
	}
}

// Promise: the documents about an issuer or a resource with a path have it after theirs.
func TestDocumentsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	for about, want := range map[string]string{
		"https://weir.example.com":        "https://weir.example.com/.well-known/oauth-protected-resource",
		"https://weir.example.com/v1":     "https://weir.example.com/.well-known/oauth-protected-resource/v1",
		"http://localhost:8787/weir/a%20": "http://localhost:8787/.well-known/oauth-protected-resource/weir/a%20",
	} {
		if got := token.WellKnown(token.ResourcePath, about); got != want {
			t.Errorf("%s: %s", about, got)
		}
	}
}

// Promise: a token comes back as it was asked for, all of it.
func TestTokensComeBackWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := full()
	m := w.mint(t, r)
	want := token.Token{
		ID: m.ID, Client: r.Client.ID, Generation: 3, ClientEpoch: 7, KeyEpoch: 9, Scopes: r.Scopes, Bounds: r.Bounds, Embedded: true, Thumbprint: r.Thumbprint,
	}
	want.Bounds.ExpiresAt = noon().Add(10 * time.Minute)
	if got := w.opened(t, m); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if m.Type != token.DPoPType || !m.ExpiresAt.Equal(want.Bounds.ExpiresAt) || m.Lifetime != 10*time.Minute || m.Scopes != access.EventsRead {
		t.Errorf("minted %+v", m)
	}
	usual := w.mint(t, token.Request{Client: client()})
	got := w.opened(t, usual)
	if got.Scopes != access.EventsRead|access.SQLRun || usual.Lifetime != token.DefaultLifetime || usual.Type != token.BearerType || got.ID == m.ID {
		t.Errorf("the usual token is %+v", got)
	}
	if out := fmt.Sprintf("%v %+v %#v", m, m, w.Issuer); strings.Contains(out, "eyJ") {
		t.Errorf("a token is printed: %s", out)
	}
}

// Promise: what is wider than the client or its key is not made, whatever it is; and OAuth's words say so.
func TestNothingWiderIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inner, _ := access.ParseDomain("https://www.example.com")
	datasets := func(name string, rights access.Rights) *access.Datasets {
		return &access.Datasets{Named: []access.NamedDataset{{Name: name, Rights: rights}}}
	}
	for name, c := range map[string]struct {
		edit func(r *token.Request)
		want problem.Code
	}{
		"as the client":            {func(*token.Request) {}, ""},
		"a scope of the key alone": {func(r *token.Request) { r.Scopes = access.EventsRead | access.EventsWrite }, problem.InvalidScope},
		"a scope of the client":    {func(r *token.Request) { r.Scopes = access.MetricsRead }, problem.InvalidScope},
		"no scope in common":       {func(r *token.Request) { r.Client.Key.Scopes = access.KeysRead }, problem.InvalidScope},
		"an environment":           {func(r *token.Request) { r.Bounds.Environments = []string{"staging"} }, ""},
		"another environment":      {func(r *token.Request) { r.Bounds.Environments = []string{"staging", "development"} }, problem.InvalidScope},
		"another case":             {func(r *token.Request) { r.Bounds.Environments = []string{"Staging"} }, problem.InvalidScope},
		"not the key's environment": {func(r *token.Request) {
			r.Client.Key.Bounds.Environments = []string{"production"}
			r.Bounds.Environments = []string{"staging"}
		}, problem.InvalidScope},
		"a page of the client's": {func(r *token.Request) {
			r.Client.Own.Bounds.Domains = []access.Domain{inner}
			r.Bounds.Domains = []access.Domain{inner}
		}, ""},
		"a page of others": {func(r *token.Request) {
			r.Client.Own.Bounds.Domains = []access.Domain{inner}
			r.Bounds.Domains = full().Bounds.Domains
		}, problem.InvalidScope},
		"a dataset": {func(r *token.Request) {
			r.Client.Own.Bounds.Datasets = datasets("quotes", 3)
			r.Bounds.Datasets = datasets("quotes", 1)
		}, ""},
		"more of a dataset": {func(r *token.Request) {
			r.Client.Own.Bounds.Datasets = datasets("quotes", 1)
			r.Bounds.Datasets = datasets("quotes", 3)
		}, problem.InvalidScope},
		"another dataset": {func(r *token.Request) {
			r.Client.Own.Bounds.Datasets = datasets("quotes", 1)
			r.Bounds.Datasets = datasets("news", 1)
		}, problem.InvalidScope},
		"events of the key": {func(r *token.Request) {
			r.Client.Key.Bounds.Events = []string{"sign*"}
			r.Bounds.Events = []string{"signup"}
		}, ""},
		"all events": {func(r *token.Request) {
			r.Client.Key.Bounds.Events = []string{"sign*"}
			r.Bounds.Events = []string{"*"}
		}, problem.InvalidScope},
		"an observed restriction": {func(r *token.Request) {
			r.Client.Own.Bounds.Observe = access.ByEnvironment
			r.Bounds.Environments = []string{"development"}
		}, ""},
		"a network of the key": {func(r *token.Request) {
			r.Client.Key.Bounds.Networks = []access.Network{{Prefix: netip.MustParsePrefix("203.0.113.0/25")}}
			r.Bounds.Networks = full().Bounds.Networks
		}, problem.InvalidScope},
		"another server":             {func(r *token.Request) { r.Resource = "https://rival.example.com" }, problem.InvalidTarget},
		"a slash more":               {func(r *token.Request) { r.Resource = issuerURL + "/" }, problem.InvalidTarget},
		"too long":                   {func(r *token.Request) { r.Lifetime = token.MaxLifetime + 1 }, problem.InvalidRequest},
		"too short":                  {func(r *token.Request) { r.Lifetime = token.MinLifetime - 1 }, problem.InvalidRequest},
		"negative":                   {func(r *token.Request) { r.Lifetime = -time.Hour }, problem.InvalidRequest},
		"a thumbprint of its length": {func(r *token.Request) { r.Thumbprint = strings.Repeat("_", 43) }, problem.InvalidRequest},
		"no thumbprint":              {func(r *token.Request) { r.Thumbprint = "x" }, problem.InvalidRequest},
		"an expired client":          {func(r *token.Request) { r.Client.Own.Bounds.ExpiresAt = noon() }, problem.InvalidGrant},
		"an expired key":             {func(r *token.Request) { r.Client.Key.Bounds.ExpiresAt = noon().Add(-time.Hour) }, problem.InvalidGrant},
		"too much":                   {func(r *token.Request) { r.Bounds.Events = strings.Split(strings.Repeat("an_event ", 700), " ") }, problem.InvalidRequest},
		"no text":                    {func(r *token.Request) { r.Bounds.Events = []string{"\xff"} }, problem.InvalidRequest},
		"limits of its own":          {func(r *token.Request) { r.Bounds.Limits.Daily.Most = 1 }, problem.Internal},
	} {
		r := token.Request{Client: client()}
		c.edit(&r)
		_, err := w.Mint(t.Context(), r)
		wantProblem(t, name, err, c.want)
	}
}

// Promise: no token outlives its client, or the client's key, or the lifetime that was asked for, by a second.
func TestTokensExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = noon().Add(900 * time.Millisecond)
	r := token.Request{Client: client(), Lifetime: time.Hour}
	r.Client.Own.Bounds.ExpiresAt = noon().Add(20*time.Minute + time.Second/2)
	r.Client.Key.Bounds.ExpiresAt = noon().Add(30 * time.Minute)
	m := w.mint(t, r)
	if !m.ExpiresAt.Equal(noon().Add(20 * time.Minute)) {
		t.Errorf("it expires at %s", m.ExpiresAt)
	}
	for after, want := range map[time.Duration]bool{-2 * time.Minute: false, -time.Second: true, 20*time.Minute - 1: true, 20 * time.Minute: false, time.Hour: false} {
		if _, found := w.Open(m.Text.Reveal(), noon().Add(after)); found != want {
			t.Errorf("after %s: accepted %v", after, found)
		}
	}
}

// Promise: a token is for this server and no other: not one of another issuer, nor for another resource, with the same keys.
func TestTokensOfOtherServersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain, other := w.mint(t, token.Request{Client: client()}), w.mint(t, token.Request{Client: client(), Resource: issuerURL})
	cfg := w.config(t)
	cfg.Resources = []string{resourceURL}
	w.restart(t, cfg)
	if !w.accepts(plain.Text.Reveal()) || w.accepts(other.Text.Reveal()) {
		t.Error("a token for another resource is accepted, or one for this is not")
	}
	cfg.URL = "https://other.example.com"
	w.restart(t, cfg)
	if w.accepts(plain.Text.Reveal()) {
		t.Error("a token of another issuer is accepted")
	}
	if stranger := newWorld(t); !stranger.accepts(plain.Text.Reveal()) {
		t.Error("the test's keys are not the same")
	}
}

// Promise: without a master key nothing is signed and nothing is accepted, and both is said plainly.
func TestWithoutAMasterKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mint(t, token.Request{Client: client()})
	cfg := w.config(t)
	cfg.Vault = nil
	w.restart(t, cfg)
	_, err := w.Mint(t.Context(), token.Request{Client: client()})
	wantProblem(t, "mint", err, problem.Unavailable)
	if w.accepts(m.Text.Reveal()) || len(w.PublicKeys().Keys) != 0 {
		t.Error("a token is accepted")
	}
	if err := w.RevokeAll(t.Context(), client().ID); err != nil {
		t.Error(err)
	}
	if n, err := w.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("resealed %d, %v", n, err)
	}
}

// Promise: a lost master key costs the tokens that are out, and nothing after.
func TestAnotherMasterKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mint(t, token.Request{Client: client()})
	other, _, err := vault.NewKey(&stream{n: 99})
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.config(t)
	cfg.Vault, cfg.Random = vault.New(other), &stream{n: 77}
	w.restart(t, cfg)
	if w.accepts(m.Text.Reveal()) || !strings.Contains(w.log.String(), "its tokens are refused") {
		t.Error("a token is accepted whose key cannot be opened, or nobody is told")
	}
	w.opened(t, w.mint(t, token.Request{Client: client()}))
	cfg.Vault = vault.New(masterKey(t), other)
	w.restart(t, cfg)
	if !w.accepts(m.Text.Reveal()) {
		t.Error("with both master keys, the former token is refused")
	}
	if n, err := w.Reseal(t.Context()); n != 1 || err != nil {
		t.Errorf("resealed %d, %v", n, err)
	}
	cfg.Vault = vault.New(masterKey(t))
	w.log.Reset()
	w.restart(t, cfg)
	if !w.accepts(m.Text.Reveal()) || strings.Contains(w.log.String(), "ERROR") {
		t.Errorf("after all was sealed anew: %s", w.log.String())
	}
}

// Promise: when nothing else is configured, a key signs for thirty days, and the next is published for one before.
func TestUsualSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{29*24*time.Hour - 1, 1}, {29 * 24 * time.Hour, 2}, {30*24*time.Hour + token.MaxLifetime - 1, 2}, {30*24*time.Hour + token.MaxLifetime, 1}} {
		w.now = noon().Add(c.after)
		w.restart(t, w.config(t))
		if n := len(w.PublicKeys().Keys); n != c.want {
			t.Errorf("after %s there are %d keys, want %d", c.after, n, c.want)
		}
	}
}

// Promise: a configuration that makes no sense is refused, and which part of it is said.
func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	now := noon
	for name, cfg := range map[string]token.Config{
		"no clock": {URL: issuerURL}, "no URL": {Now: now}, "relative": {Now: now, URL: "/weir"}, "scheme": {Now: now, URL: "ftp://weir"}, "slash": {Now: now, URL: issuerURL + "/"},
		"query": {Now: now, URL: issuerURL + "/?a"}, "fragment": {Now: now, URL: issuerURL + "#a"}, "empty fragment": {Now: now, URL: issuerURL + "#"},
		"empty query": {Now: now, URL: issuerURL + "?"}, "user": {Now: now, URL: "https://a@weir"}, "resource": {Now: now, URL: issuerURL, Resources: []string{""}},
		"schedule": {Now: now, URL: issuerURL, KeyLife: 24 * time.Hour}, "publish": {Now: now, URL: issuerURL, Publish: -1},
	} {
		if _, err := token.Open(t.Context(), newShelf(), cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	broken := newShelf()
	broken.fail(errBroken)
	if _, err := token.Open(t.Context(), broken, token.Config{Now: now, URL: issuerURL, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("opened though revocations are not known")
	}
}
