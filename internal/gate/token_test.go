package gate_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// chained is a world with a key, a client of it and a token of that.
type chained struct {
	*gatetest.World
	key, client, token string
}

func newChained(t *testing.T, narrowed gate.Token) chained {
	w := gatetest.New(t)
	key := w.Mint(access.Key{Scopes: access.EventsRead | access.SQLRun | access.KeysWrite, Bounds: access.Bounds{Limits: access.DefaultLimits(access.Secret)}})
	client := w.Client(key, access.Key{Scopes: access.EventsRead | access.SQLRun, Bounds: access.Bounds{Limits: access.Limits{Daily: access.Quota{Most: 9}}}})
	return chained{w, key, client, w.Token(client, narrowed)}
}

func sqlIn(environment string) access.Attempt {
	return access.Attempt{Action: access.RunSQL, Targets: []access.Target{{Environment: environment}}}
}

// Promise: a token is let in as its client, within what it, the client and their key may do; it is recorded under the client's
// id and charged to the account of the key.
func TestATokenActsForItsClient(t *testing.T) {
	t.Parallel()
	w := newChained(t, gate.Token{})
	permit, err := w.Ask(w.token, sqlIn("production"))
	if err != nil {
		t.Fatal(err)
	}
	client, root := gatetest.Parse(w.client).Lookup.ID(), gatetest.Parse(w.key).Lookup.ID()
	if k := permit.Key(); k.Kind != access.Token || k.ID != client || k.Root().ID != root || k.Stored().Kind != access.Client || permit.Project() != "prj_1" {
		t.Errorf("the permit is for %+v", k)
	}
	_, uses := w.Ledger.Take()
	if len(uses) != 1 || uses[0].KeyID != client || uses[0].Generation != 1 {
		t.Errorf("recorded %+v", uses)
	}
	if c := w.Limits.Charges; len(c) != 1 || c[0].Key.ID != root || c[0].Key.Limits != access.DefaultLimits(access.Secret) {
		t.Errorf("charged %+v", c)
	}
	if _, err := w.Ask(w.token, access.Attempt{Action: access.WriteKeys}); problem.Of(err) != problem.MissingScope {
		t.Errorf("a scope that its client does not hold: %v", err)
	}
	if _, err := w.Ask(w.token, access.Attempt{Action: access.ExchangeTokens}); problem.Of(err) != problem.WrongCredential {
		t.Errorf("as a client: %v", err)
	}
	if _, err := w.Ask(w.client, sqlIn("production")); problem.Of(err) != problem.WrongCredential {
		t.Errorf("the client's secret for its token: %v", err)
	}
}

// Promise: what a token was narrowed to binds it, and nothing in it gives it anything: not what it only observes, nor limits
// of its own, nor scopes that its client does not hold.
func TestATokenCanOnlyNarrow(t *testing.T) {
	t.Parallel()
	w := newChained(t, gate.Token{Scopes: access.AllScopes, Bounds: access.Bounds{
		Environments: []string{"staging"}, Observe: access.AllRestrictions, Limits: access.Limits{Daily: access.Quota{Most: 1}},
	}})
	if _, err := w.Ask(w.token, sqlIn("production")); problem.Of(err) != problem.EnvironmentNotAllowed {
		t.Errorf("in another environment: %v", err)
	}
	permit, err := w.Ask(w.token, access.Attempt{Action: access.RunSQL})
	if err != nil || permit.Environment() != "staging" {
		t.Fatalf("by default: %v", err)
	}
	if held := permit.Key().Scopes; held != access.EventsRead|access.SQLRun {
		t.Errorf("it holds %s", held)
	}
}

// dying are the ways in which a token that was good stops being so.
func dying() map[string]struct {
	how    func(chained)
	code   problem.Code
	reason string
} {
	change := func(text func(chained) string, edit func(*access.Key)) func(chained) {
		return func(w chained) { w.Keys.Change(text(w), edit) }
	}
	client, key := func(w chained) string { return w.client }, func(w chained) string { return w.key }
	type death = struct {
		how    func(chained)
		code   problem.Code
		reason string
	}
	revoke, narrow := func(k *access.Key) { k.RevokedAt = time.Unix(1, 0) }, func(k *access.Key) { k.Epoch++ }
	dead := problem.TokenNotAccepted
	return map[string]death{
		"client revoked":  {change(client, revoke), dead, "key_revoked"},
		"key revoked":     {change(key, revoke), dead, "key_revoked"},
		"client narrowed": {change(client, narrow), dead, "token_outdated"},
		"key narrowed":    {change(key, narrow), dead, "token_outdated"},
		"key disabled":    {change(key, func(k *access.Key) { k.State = access.Disabled }), dead, "key_disabled"},
		"key expired":     {change(key, func(k *access.Key) { k.ExpiresAt = time.Unix(1, 0) }), dead, "key_expired"},
		"quarantined":     {change(client, func(k *access.Key) { k.State = access.Quarantined }), problem.KeyQuarantined, "key_quarantined"},
		"client moved":    {change(client, func(k *access.Key) { k.Networks = networks("203.0.113.0/24") }), problem.NetworkNotAllowed, "network_not_allowed"},
		"key moved":       {change(key, func(k *access.Key) { k.Networks = networks("203.0.113.0/24") }), problem.NetworkNotAllowed, "network_not_allowed"},
		"scope lost":      {change(key, func(k *access.Key) { k.Scopes = access.EventsRead }), problem.MissingScope, "scope_missing"},
		"token revoked":   {func(w chained) { w.Tokens.Revoke(w.token) }, dead, "unknown_token"},
		"token expired":   {func(w chained) { w.Clock.Advance(15 * time.Minute) }, dead, "unknown_token"},
		"client gone":     {func(w chained) { w.Keys.Remove(w.client) }, dead, "unknown_token"},
		"secret replaced": {func(w chained) { rotate(w.World, w.client, 2, w.Clock.Now()) }, dead, "secret_replaced"},
		"secret forgotten": {func(w chained) {
			rotate(w.World, w.client, 2, w.Clock.Now())
			w.Keys.Edit(w.client, func(e *gate.Entry) { e.Former = nil })
		}, dead, "unknown_token"},
		"key's secret rotated":    {func(w chained) { rotate(w.World, w.key, 2, w.Clock.Now()) }, "", ""},
		"client's in its overlap": {func(w chained) { rotate(w.World, w.client, 2, w.Clock.Now().Add(time.Hour)) }, "", ""},
		"widened":                 {change(key, func(k *access.Key) { k.Scopes = access.AllScopes }), "", ""},
	}
}

// Promise: a token dies at once with its client, its key, the secret it was made with, and by itself: before it is shown,
// between head and body, and while a long answer is under way. A wrong, expired or revoked token gets one answer.
func TestATokenDiesWithWhatItComesOf(t *testing.T) {
	t.Parallel()
	for name, c := range dying() {
		for when, ask := range map[string]func(chained) error{
			"shown": func(w chained) error {
				c.how(w)
				_, err := w.Gate.Identify(t.Context(), w.Credential(w.token), access.RunSQL)
				return err
			},
			"admitted": func(w chained) error {
				caller, err := w.Gate.Identify(t.Context(), w.Credential(w.token), access.RunSQL)
				if err != nil {
					t.Fatal(err)
				}
				c.how(w)
				_, err = w.Gate.Admit(t.Context(), caller, sqlIn("production"), gate.Cost{Requests: 1})
				return err
			},
			"watched": func(w chained) error {
				permit, err := w.Ask(w.token, sqlIn("production"))
				if err != nil {
					t.Fatal(err)
				}
				w.Ledger.Take()
				c.how(w)
				return w.Gate.Watch(permit, sqlIn("production"))
			},
		} {
			w := newChained(t, gate.Token{})
			err := ask(w)
			denials, _ := w.Ledger.Take()
			if problem.Of(err) != c.code || c.code == "" && err != nil {
				t.Errorf("%s, %s: %v, want %q", name, when, err, c.code)
			}
			if c.code != "" && (len(denials) != 1 || denials[0].Reason != c.reason) {
				t.Errorf("%s, %s: recorded %+v", name, when, denials)
			}
		}
	}
}

// Promise: what is no token of ours is refused as a token, without saying why; a client that is none, a token that does not
// end, and one that is bound to another key than signed the proof, too. Without tokens a JWT is a mistyped key.
func TestWhatIsNoToken(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]func(chained) string{
		"unknown": func(chained) string { return "eyJ0.e30.c2ln" },
		"altered": func(w chained) string { return w.token + "x" },
		"dots":    func(chained) string { return ".." },
		"bound":   func(w chained) string { return w.Token(w.client, gate.Token{Thumbprint: "abc"}) },
		"no JWT":  func(w chained) string { return w.Token(w.client, gate.Token{}) + "." },
	} {
		w := newChained(t, gate.Token{})
		want := problem.TokenNotAccepted
		if name == "no JWT" {
			want = problem.MalformedKey
		}
		_, err := w.Gate.Identify(t.Context(), w.Credential(text(w)), access.RunSQL)
		if problem.Of(err) != want {
			t.Errorf("%s: %v", name, err)
		}
		if len(w.Limits.Failed) != 1 {
			t.Errorf("%s: counted as failed %d times", name, len(w.Limits.Failed))
		}
	}
	w := newChained(t, gate.Token{Thumbprint: "abc"})
	proven := w.Credential(w.token)
	proven.Proof = "abc"
	if _, err := w.Gate.Identify(t.Context(), proven, access.RunSQL); err != nil {
		t.Errorf("with its proof: %v", err)
	}
	plain := gate.New(w.Keys, nil, w.Limits, w.Ledger, w.Clock.Now, func() string { return "id" })
	if _, err := plain.Identify(t.Context(), proven, access.RunSQL); problem.Of(err) != problem.MalformedKey {
		t.Errorf("without tokens: %v", err)
	}
}

// Promise: the token of a permit is the client's as it was admitted: with the secret that was shown, and no scope that the
// client or its key does not hold.
func TestThePermitsToken(t *testing.T) {
	t.Parallel()
	w := newChained(t, gate.Token{})
	w.Keys.Change(w.key, func(k *access.Key) { k.Scopes, k.Epoch = access.SQLRun, 3 })
	w.Keys.Change(w.client, func(k *access.Key) { k.Epoch = 2 })
	rotate(w.World, w.client, 2, w.Clock.Now().Add(time.Hour))
	permit, err := w.Ask(w.client, access.Attempt{Action: access.ExchangeTokens})
	if err != nil {
		t.Fatal(err)
	}
	got := permit.Token()
	if got.Client != gatetest.Parse(w.client).Lookup || got.Generation != 1 || got.ClientEpoch != 2 || got.KeyEpoch != 3 || got.Scopes != access.SQLRun {
		t.Errorf("got %+v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a key has a token")
		}
	}()
	w.PermitOf(access.Key{Scopes: access.SQLRun}, sqlIn("production")).Token()
}

// Promise: a client's secret that is seen where it should not be is noted, as a key's is; a token lives too short a time.
func TestClientsAreExposed(t *testing.T) {
	t.Parallel()
	w := newChained(t, gate.Token{})
	for _, text := range []string{w.client, w.token} {
		c := w.Credential(text)
		c.Via = access.InQuery
		if _, err := w.Gate.Identify(t.Context(), c, access.ExchangeTokens); problem.Of(err) != problem.SecretKeyInURL {
			t.Errorf("in a URL: %v", err)
		}
	}
	if want := gatetest.Parse(w.client).Lookup.ID() + " in url"; len(w.Keys.Exposed) != 1 || w.Keys.Exposed[0] != want {
		t.Errorf("exposed %v", w.Keys.Exposed)
	}
	body := w.Credential(w.client)
	body.Via = access.InBody
	if _, err := w.Gate.Identify(t.Context(), body, access.ExchangeTokens); err != nil {
		t.Errorf("in a body: %v", err)
	}
}

// Promise: whoever waited to change something with a token may go on only while the token's client and key let it.
func TestStandsOfAToken(t *testing.T) {
	t.Parallel()
	for name, c := range dying() {
		if name == "token revoked" || name == "token expired" || name == "client gone" {
			continue // what is asked about is the client's entry
		}
		w := newChained(t, gate.Token{})
		permit, err := w.Ask(w.token, sqlIn("production"))
		if err != nil {
			t.Fatal(err)
		}
		c.how(w)
		entry, _ := w.Keys.Lookup(gatetest.Parse(w.client).Lookup)
		if permit.Stands(entry) != (c.code == "") {
			t.Errorf("%s: stands %v", name, permit.Stands(entry))
		}
	}
}
