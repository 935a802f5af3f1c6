package gate_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// exchanging asks to exchange a credential for tokens.
func (w chained) exchanging(t *testing.T, c gate.Credential) (gate.Permit, error) {
	t.Helper()
	caller, err := w.Gate.Identify(t.Context(), c, access.ExchangeTokens)
	if err != nil {
		return gate.Permit{}, err
	}
	return w.Gate.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{Requests: 1})
}

// Promise: a token stands as long as its client and their key stand behind it, wherever it may be sent from, and only its own
// client learns that; asking records nothing.
func TestStandingIsAskedByTheClient(t *testing.T) {
	t.Parallel()
	for name, c := range dying() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newChained(t, gate.Token{})
			permit, err := w.exchanging(t, w.Credential(w.client))
			if err != nil {
				t.Fatal(err)
			}
			other, err := w.exchanging(t, w.Credential(w.Client(w.key, access.Key{Scopes: access.SQLRun})))
			if err != nil {
				t.Fatal(err)
			}
			w.Ledger.Take()
			text := access.SecretText(w.token)
			if _, stands := w.Gate.Standing(permit, text); !stands {
				t.Error("it does not stand")
			}
			if _, stands := w.Gate.Standing(other, text); stands {
				t.Error("another client is told of it")
			}
			c.how(w)
			dead := c.code == problem.TokenNotAccepted || c.code == problem.KeyQuarantined // else it depends on the sender, or on what is asked
			if _, stands := w.Gate.Standing(permit, text); stands == dead {
				t.Errorf("it stands afterwards: %t", stands)
			}
			if denials, uses := w.Ledger.Take(); len(denials)+len(uses) > 0 {
				t.Errorf("recorded %+v %+v", denials, uses)
			}
		})
	}
}

// Promise: a client that signed is let in as itself and as no other kind of key, and one that must name its key is refused
// with another's name as it is with a wrong secret.
func TestClientsThatSignOrNameTheirKey(t *testing.T) {
	t.Parallel()
	w := newChained(t, gate.Token{})
	signed := func(text string) gate.Credential {
		c := w.Credential("")
		c.Asserted = gatetest.Parse(text).Lookup
		return c
	}
	if permit, err := w.exchanging(t, signed(w.client)); err != nil || permit.Key().ID != gatetest.Parse(w.client).Lookup.ID() {
		t.Errorf("a client that signed: %v", err)
	}
	if _, err := w.exchanging(t, signed(w.key)); problem.Of(err) != problem.KeyNotAccepted {
		t.Errorf("a key that signed: %v", err)
	}
	stranger := w.Mint(access.Key{Scopes: access.SQLRun})
	for said, want := range map[string]problem.Code{
		gatetest.Parse(w.key).Lookup.ID(): "", w.key: "", stranger: problem.KeyNotAccepted, gatetest.Parse(stranger).Lookup.ID(): problem.KeyNotAccepted,
		"nothing": problem.KeyNotAccepted,
	} {
		c := w.Credential(w.client)
		c.Of = access.SecretText(said)
		if _, err := w.exchanging(t, c); err != nil && problem.Of(err) != want || err == nil && want != "" {
			t.Errorf("with %d bytes of a name: %v, want %q", len(said), err, want)
		}
	}
	w.Keys.Edit(w.key, func(e *gate.Entry) {
		e.Former, e.Generation = append(e.Former, gate.Former{Digest: e.Digest, Generation: 1, Until: w.Clock.Now().Add(time.Hour)}), 2
		e.Digest = access.Digest{}
	})
	c := w.Credential(w.client)
	c.Of = access.SecretText(w.key)
	if _, err := w.exchanging(t, c); err != nil {
		t.Errorf("with a former secret of the key: %v", err)
	}
	w.Clock.Advance(2 * time.Hour)
	if _, err := w.exchanging(t, c); problem.Of(err) != problem.KeyNotAccepted {
		t.Errorf("with one that has ended: %v", err)
	}
}
