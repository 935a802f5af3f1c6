package gate_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a user token is worth what the key that made it is worth now: it dies with the key, with any narrowing of it, and
// with the secret that made it; and the user sees no more than the key does.
func TestAUserTokenFollowsItsKey(t *testing.T) {
	t.Parallel()
	own := access.Attempt{Action: access.ReadProfile, Targets: []access.Target{{Environment: "production", User: "u_1"}}}
	seen := &access.View{Tables: []access.ViewTable{{Name: "persons", Atoms: []access.Atom{{Does: access.Hide, Name: "traits.email"}}}}}
	for name, c := range map[string]struct {
		edit  func(*gate.Entry, time.Time)
		wrong bool
	}{
		"as it was":             {func(*gate.Entry, time.Time) {}, false},
		"revoked":               {func(e *gate.Entry, now time.Time) { e.Key.RevokedAt = now }, true},
		"disabled":              {func(e *gate.Entry, _ time.Time) { e.Key.State = access.Disabled }, true},
		"in quarantine":         {func(e *gate.Entry, _ time.Time) { e.Key.State = access.Quarantined }, true},
		"expired":               {func(e *gate.Entry, now time.Time) { e.Key.ExpiresAt = now }, true},
		"narrowed":              {func(e *gate.Entry, _ time.Time) { e.Key.Epoch++ }, true},
		"without the scope":     {func(e *gate.Entry, _ time.Time) { e.Key.Scopes = access.EventsRead }, true},
		"rotated":               {func(e *gate.Entry, _ time.Time) { e.Generation++ }, true},
		"rotated, with overlap": {func(e *gate.Entry, now time.Time) { e.Former = former(e, now.Add(time.Hour)); e.Generation++ }, false},
		"rotated, and over":     {func(e *gate.Entry, now time.Time) { e.Former = former(e, now); e.Generation++ }, true},
	} {
		w := gatetest.New(t)
		server := w.Mint(access.Key{Scopes: access.UsersRead, Bounds: access.Bounds{View: seen}})
		web := w.Key(access.Public, access.EventsWrite)
		minted, err := w.Ask(server, access.Attempt{Action: access.MintUserTokens, Targets: []access.Target{{Environment: "production"}}})
		if err != nil {
			t.Fatal(err)
		}
		made := minted.UserToken("u_1")
		made.ExpiresAt = w.Clock.Now().Add(10 * time.Minute)
		w.Tokens.AddUser("user token", made)
		ask := func(userToken string, attempt access.Attempt) (gate.Permit, error) {
			credential := w.Credential(web)
			credential.UserToken = access.SecretText(userToken)
			caller, err := w.Gate.Identify(t.Context(), credential, attempt.Action)
			if err != nil {
				return gate.Permit{}, err
			}
			return w.Gate.Admit(t.Context(), caller, attempt, gate.Cost{Requests: 1})
		}
		if permit, err := ask("user token", own); err != nil || !permit.View().Same(seen) || permit.Environment() != "production" {
			t.Fatalf("at first: %v", err)
		}
		for text, code := range map[string]problem.Code{"": problem.PublicKeyNotEnough, "another": problem.TokenNotAccepted} {
			if _, err := ask(text, own); problem.Of(err) != code {
				t.Errorf("with %q: %v", text, err)
			}
		}
		w.Keys.Edit(server, func(e *gate.Entry) {
			key := *e.Key
			e.Key = &key
			c.edit(e, w.Clock.Now())
		})
		if _, err := ask("user token", own); (problem.Of(err) == problem.TokenNotAccepted) != c.wrong || !c.wrong && err != nil {
			t.Errorf("of a key that is %s: %v", name, err)
		}
		w.Clock.Advance(10 * time.Minute)
		if _, err := ask("user token", own); err == nil {
			t.Errorf("of a key that is %s: it outlives its end", name)
		}
	}
}

func former(e *gate.Entry, until time.Time) []gate.Former {
	return []gate.Former{{Digest: e.Digest, Generation: e.Generation, Until: until}}
}
