package keyring_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// client makes a client of a key.
func (h *house) client(parent string, n keyring.New) (keyring.Record, access.Text) {
	h.t.Helper()
	n.Kind, n.Parent = access.Client, h.basis(parent)
	return h.create(h.one, n)
}

// exchanges reports whether a client's secret may be exchanged.
func (h *house) exchanges(secret access.Text) (gate.Permit, bool) {
	permit, err := h.ask(secret, access.ExchangeTokens, access.Attempt{})
	return permit, err == nil
}

// Promise: a client has the form of a key with a prefix of its own, is made in its parent's mode and with its parent's scopes
// where nothing else is said, has no limits of its own, and is there after a restart.
func TestAClientIsMade(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	parent, _ := h.create(h.one, keyring.New{Kind: access.Secret, Mode: access.Test, Scopes: access.EventsRead | access.SQLRun, Bounds: access.Bounds{Limits: access.DefaultLimits(access.Secret)}})
	rec, text := h.client(parent.ID, keyring.New{Label: "metrics"})
	if !strings.HasPrefix(text.Reveal(), "cs_test_") || rec.Parent != parent.ID || rec.Mode != access.Test || rec.Scopes != parent.Scopes || rec.Limits != (access.Limits{}) ||
		!strings.HasPrefix(rec.Hint, "cs_test_") || rec.Public != "" {
		t.Errorf("made %+v", rec)
	}
	permit, ok := h.exchanges(text)
	if !ok || permit.Key().Root().ID != parent.ID {
		t.Fatal("it cannot be exchanged")
	}
	if h.works(text) {
		t.Error("it reads events")
	}
	h.open()
	if _, ok := h.exchanges(text); !ok {
		t.Error("it cannot be exchanged after a restart")
	}
	h.agree(t, "after a restart")
	_, secrets, err := h.ring.Rotate(t.Context(), h.one, rec.ID, time.Hour, 0)
	if err != nil || !strings.HasPrefix(secrets.Key.Reveal(), "cs_test_") {
		t.Fatal(err)
	}
	for _, secret := range []access.Text{text, secrets.Key} {
		if _, ok := h.exchanges(secret); !ok {
			t.Error("a secret in its overlap cannot be exchanged")
		}
	}
}

// Promise: what cannot be a client's is refused, each with the field that is wrong, when it is made and when it is changed.
func TestWhatAClientCannotBe(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	parent, _ := h.create(h.one, secretKey())
	public, _ := h.create(h.one, keyring.New{Kind: access.Public, Mode: access.Live})
	dead, _ := h.create(h.one, secretKey())
	if _, err := h.ring.Revoke(t.Context(), h.one, dead.ID, 0); err != nil {
		t.Fatal(err)
	}
	client, _ := h.client(parent.ID, keyring.New{})
	for field, n := range map[string]keyring.New{
		"parent: must be":          {Kind: access.Client, Mode: access.Live, Scopes: access.EventsRead},
		"parent: is for clients":   {Kind: access.Secret, Mode: access.Live, Scopes: access.EventsRead, Parent: h.basis(parent.ID)},
		"parent: must be the id":   {Kind: access.Client, Parent: h.basis(public.ID)},
		"parent: must be the id o": {Kind: access.Client, Parent: h.basis(client.ID)},
		"parent: is revoked":       {Kind: access.Client, Parent: h.basis(dead.ID)},
		"mode":                     {Kind: access.Client, Parent: h.basis(parent.ID), Mode: access.Test},
		"scopes":                   {Kind: access.Client, Parent: h.basis(parent.ID), Scopes: access.EventsRead | access.KeysWrite},
		"limits":                   {Kind: access.Client, Parent: h.basis(parent.ID), Bounds: access.Bounds{Limits: access.DefaultLimits(access.Secret)}},
	} {
		if _, _, err := h.ring.Create(t.Context(), h.one, n); problem.Of(err) != problem.InvalidField || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	wide, limits := access.EventsRead|access.KeysWrite, access.DefaultLimits(access.Secret)
	for field, c := range map[string]keyring.Change{"scopes": {Scopes: &wide}, "limits": {Limits: &limits}} {
		c.Basis = h.basis(client.ID)
		if _, err := h.ring.Update(t.Context(), h.one, client.ID, c); problem.Of(err) != problem.InvalidField || !strings.Contains(err.Error(), field) {
			t.Errorf("changed: %s: %v", field, err)
		}
	}
}

// Promise: whoever creates a client hands on no more than it has, and what the client leaves open counts as its parent's. A
// parent that has changed since the decision is a conflict.
func TestTheGrantOfAClient(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	n := secretKey()
	n.Environments, n.Limits = []string{"production"}, access.DefaultLimits(access.Secret)
	parent, _ := h.create(h.one, n)
	made := keyring.New{Kind: access.Client, Parent: h.basis(parent.ID)}
	g := made.Grant()
	if g.Kind != access.Client || g.Scopes != n.Scopes || g.Exceeds(&parent.Bounds) != "" {
		t.Errorf("grants %+v", g)
	}
	rec, _ := h.client(parent.ID, keyring.New{})
	if g := keyring.Renewal(h.basis(rec.ID)); g.Exceeds(&parent.Bounds) != "" {
		t.Errorf("a new secret grants %+v", g)
	}
	if g := (keyring.Change{Basis: h.basis(rec.ID)}).Restoring(); g.Exceeds(&parent.Bounds) != "" {
		t.Errorf("restoring grants %+v", g)
	}
	scopes := access.EventsRead
	if _, err := h.ring.Update(t.Context(), h.one, parent.ID, keyring.Change{Scopes: &scopes}); err != nil {
		t.Fatal(err)
	}
	_, _, err := h.ring.Create(t.Context(), h.one, made)
	code(t, err, problem.Conflict)
}

// Promise: a client follows its parent through every change at once, in the same snapshot; revoking the parent kills it.
func TestAClientFollowsItsParent(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	parent, _ := h.create(h.one, secretKey())
	other, _ := h.create(h.one, secretKey())
	_, first := h.client(parent.ID, keyring.New{})
	_, second := h.client(parent.ID, keyring.New{})
	_, apart := h.client(other.ID, keyring.New{})
	agree := func(when string, one, two, three bool) {
		t.Helper()
		h.agree(t, when)
		for i, c := range []struct {
			secret access.Text
			want   bool
		}{{first, one}, {second, two}, {apart, three}} {
			if _, ok := h.exchanges(c.secret); ok != c.want {
				t.Errorf("%s: client %d exchanges: %v", when, i, ok)
			}
		}
	}
	agree("made", true, true, true)
	if _, err := h.ring.Disable(t.Context(), h.one, parent.ID, 0); err != nil {
		t.Fatal(err)
	}
	agree("parent disabled", false, false, true)
	if _, err := h.ring.Restore(t.Context(), h.one, parent.ID, keyring.Change{Basis: h.basis(parent.ID)}); err != nil {
		t.Fatal(err)
	}
	agree("parent restored", true, true, true)
	if _, err := h.ring.SetPolicy(t.Context(), h.one, 0, true, func(p *access.Policy) error { p.Secret.RequireNetworks = true; return nil }); err != nil {
		t.Fatal(err)
	}
	agree("networks required", false, false, false)
	networks := []access.Network{network("192.0.2.0/24")}
	if _, err := h.ring.Update(t.Context(), h.one, parent.ID, keyring.Change{Networks: &networks}); err != nil {
		t.Fatal(err)
	}
	agree("parent has networks", true, true, false)
	if _, err := h.ring.Revoke(t.Context(), h.one, parent.ID, 0); err != nil {
		t.Fatal(err)
	}
	agree("parent revoked", false, false, false)
	h.open()
	agree("restarted", false, false, false)
}

// one is a gate.Tokens with one token.
type one struct{ gate.Token }

func (o one) Open(string, time.Time) (gate.Token, bool) { return o.Token, true }

func (one) OpenUser(string, time.Time) (gate.UserToken, bool) { return gate.UserToken{}, false }

// Promise: a token dies when its client or their key is narrowed, by whichever way, and for good; what takes nothing away
// leaves it alive.
func TestNarrowingEndsTokens(t *testing.T) {
	t.Parallel()
	fewer, more := access.EventsRead, access.EventsRead|access.EventsWrite|access.SQLRun
	networks, anywhere := []access.Network{network("192.0.2.0/24")}, []access.Network{}
	label, later, limits := "x", time.Date(2999, 6, 2, 0, 0, 0, 0, time.UTC), access.Limits{Daily: access.Quota{Most: 1}}
	signs, begins := true, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change keyring.Change
		dies   bool
	}{
		"label":            {keyring.Change{Label: &label}, false},
		"more scopes":      {keyring.Change{Scopes: &more}, false},
		"the same":         {keyring.Change{Networks: &anywhere}, false},
		"scopes":           {keyring.Change{Scopes: &fewer}, true},
		"networks":         {keyring.Change{Networks: &networks}, true},
		"an end":           {keyring.Change{ExpiresAt: &later}, true},
		"a later begin":    {keyring.Change{NotBefore: &begins}, true},
		"disable, restore": {keyring.Change{}, true},
		"limits":           {keyring.Change{Limits: &limits}, false},
		"signature":        {keyring.Change{Signature: &signs}, true},
	} {
		for _, of := range []string{"client", "key"} {
			h := build(t, nil)
			n := secretKey()
			n.Scopes |= access.SQLRun
			parent, _ := h.create(h.one, n)
			client, secret := h.client(parent.ID, keyring.New{Scopes: secretKey().Scopes})
			permit, _ := h.exchanges(secret)
			token := permit.Token()
			token.Bounds.ExpiresAt = h.clock.now().Add(time.Hour)
			door := gate.New(h.ring, one{token}, freely{}, silence{}, h.clock.now, ids("d"))
			id := client.ID
			if of == "key" {
				id = parent.ID
			}
			c.change.Basis = h.basis(id)
			if name == "more scopes" && of == "key" || name == "limits" && of == "client" || name == "signature" {
				continue
			}
			var err error
			if name == "disable, restore" {
				if _, err = h.ring.Disable(t.Context(), h.one, id, 0); err == nil {
					_, err = h.ring.Restore(t.Context(), h.one, id, keyring.Change{Basis: h.basis(id)})
				}
			} else {
				_, err = h.ring.Update(t.Context(), h.one, id, c.change)
			}
			if err != nil {
				t.Fatalf("%s of the %s: %v", name, of, err)
			}
			_, err = door.Identify(t.Context(), gate.Credential{Key: access.SecretText("a.b.c"), Circumstances: from()}, access.ReadEvents)
			if dead := problem.Of(err) == problem.TokenNotAccepted; dead != c.dies {
				t.Errorf("%s of the %s: %v", name, of, err)
			}
			h.agree(t, name)
		}
	}
}

// Promise: a token with the scope for it can manage keys as its key could, within its bounds, and its client answers for it;
// but nothing that waited for its turn is done once its client is narrowed.
func TestATokenManagesKeys(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	n := secretKey()
	n.Scopes |= access.KeysWrite
	parent, _ := h.create(h.one, n)
	client, secret := h.client(parent.ID, keyring.New{})
	exchange, _ := h.exchanges(secret)
	token := exchange.Token()
	token.Bounds.ExpiresAt = h.clock.now().Add(time.Hour)
	door := gate.New(h.ring, one{token}, freely{}, silence{}, h.clock.now, ids("d"))
	caller, err := door.Identify(t.Context(), gate.Credential{Key: access.SecretText("a.b.c"), Circumstances: from()}, access.WriteKeys)
	if err != nil {
		t.Fatal(err)
	}
	permit, err := door.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{})
	if err != nil {
		t.Fatal(err)
	}
	made, _, err := h.ring.Create(t.Context(), permit, secretKey())
	if err != nil || made.CreatedBy != client.ID {
		t.Fatalf("made by %q: %v", made.CreatedBy, err)
	}
	if _, err := h.ring.SetPolicy(t.Context(), permit, 0, false, func(p *access.Policy) error { p.SecretInURL = true; return nil }); err != nil {
		t.Errorf("the policy: %v", err)
	}
	// The policy is another by now, and so is the client as it is known.
	if _, err := h.ring.Disable(t.Context(), h.one, parent.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, _, err = h.ring.Create(t.Context(), permit, secretKey())
	code(t, err, problem.Conflict)
}

func network(text string) access.Network {
	prefix, _, err := access.ParseNetwork(text)
	if err != nil {
		panic(err)
	}
	return access.Network{Prefix: prefix}
}
