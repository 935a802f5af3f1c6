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

// declaredClient is a client of the configuration, and its secret.
func declaredClient(c byte, parent string) (keyring.Record, access.Text) {
	text := access.WriteKey(access.Client, access.Live, strings.Repeat(string(c), access.LookupLength), strings.Repeat("s", access.SecretLength))
	parsed, err := access.ParseKey(text)
	if err != nil {
		panic(err)
	}
	return keyring.Record{
		ID: parsed.Lookup.ID(), Project: "prj_1", Parent: parent, Kind: access.Client, Mode: access.Live, Label: "declared client",
		Hint: access.Hint(text), Digest: parsed.Digest,
	}, access.SecretText(text)
}

// Promise: a client of the configuration can be exchanged and do nothing else, has the scopes of the declared key that it
// names where it says none, in whatever order the two are declared, and is read-only.
func TestADeclaredClient(t *testing.T) {
	t.Parallel()
	parent, _ := declared('p')
	client, secret := declaredClient('c', parent.ID)
	for _, order := range [][]keyring.Record{{parent, client}, {client, parent}} {
		h := with(t, keyring.Config{Declared: order})
		permit, ok := h.exchanges(secret)
		if !ok || permit.Key().ID != client.ID || permit.Key().Root().ID != parent.ID || permit.Key().Scopes != parent.Scopes || h.works(secret) {
			t.Fatalf("exchanged by %+v, %v", permit.Key(), ok)
		}
		if _, err := h.ring.Revoke(t.Context(), h.one, client.ID, 0); problem.Of(err) != problem.Conflict || len(h.shelf.keys) != 0 {
			t.Errorf("revoked: %v", err)
		}
	}
}

// Promise: a declared client that cannot be is refused at the start, by the field at fault.
func TestWhatADeclaredClientCannotBe(t *testing.T) {
	t.Parallel()
	parent, _ := declared('p')
	public, _ := declared('u')
	public.Kind, public.Scopes = access.Public, access.EventsWrite
	elsewhere, _ := declared('e')
	elsewhere.Project = "prj_2"
	other, _ := declaredClient('o', parent.ID)
	for want, edit := range map[string]func(*keyring.Record){
		"parent: must be the id of a secret key": func(r *keyring.Record) { r.Parent = public.ID },
		"parent: must be the id":                 func(r *keyring.Record) { r.Parent = other.ID },
		"parent: is no key that is declared":     func(r *keyring.Record) { r.Parent = "key_123456789012" },
		"is declared in the project":             func(r *keyring.Record) { r.Parent = elsewhere.ID },
		"parent: must be":                        func(r *keyring.Record) { r.Parent = "" },
		"parent: is for clients only":            func(r *keyring.Record) { r.Kind, r.Scopes = access.Secret, access.EventsRead },
		"mode: must be that of its parent, live": func(r *keyring.Record) { r.Mode = access.Test },
		"scopes: has some that its parent":       func(r *keyring.Record) { r.Scopes = access.EventsRead | access.SQLRun },
		"limits":                                 func(r *keyring.Record) { r.Limits = access.DefaultLimits(access.Secret) },
		"digest":                                 func(r *keyring.Record) { r.Digest = access.Digest{} },
	} {
		client, _ := declaredClient('z', parent.ID)
		edit(&client)
		config := keyring.Config{Declared: []keyring.Record{parent, public, elsewhere, other, client}, Now: newClock().now, NewID: ids("")}
		_, err := keyring.Open(t.Context(), newShelf(project("prj_1"), project("prj_2")), config)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), client.ID) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// Promise: tokens of a declared client outlive a restart with the same declaration, and one that only names it otherwise, and
// are dead when the file changes what it or its key may do, or its secret, or does not have it any more.
func TestDeclaringAnewEndsTokens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit  func(key, client *keyring.Record)
		lives bool
	}{
		"the same":       {func(*keyring.Record, *keyring.Record) {}, true},
		"another label":  {func(key, client *keyring.Record) { key.Label, client.Steward = "x", "x" }, true},
		"key's scopes":   {func(key, _ *keyring.Record) { key.Scopes |= access.EventsWrite }, false},
		"another secret": {func(_, client *keyring.Record) { client.Digest[0]++ }, false},
		"narrowed":       {func(_, client *keyring.Record) { client.Environments = []string{"production"} }, false},
		"key's networks": {func(key, _ *keyring.Record) { key.Networks = []access.Network{network("192.0.2.0/24")} }, false},
		"another name":   {func(_, client *keyring.Record) { client.ID = "key_123456789012" }, false},
	} {
		parent, _ := declared('p')
		parent.Scopes |= access.SQLRun
		client, secret := declaredClient('c', parent.ID)
		h := with(t, keyring.Config{Declared: []keyring.Record{parent, client}})
		permit, ok := h.exchanges(secret)
		if !ok {
			t.Fatal("it cannot be exchanged")
		}
		token := permit.Token()
		token.Bounds.ExpiresAt = h.clock.now().Add(time.Hour)
		if token.ClientEpoch < 0 || token.ClientEpoch >= 1<<53 || token.KeyEpoch == token.ClientEpoch {
			t.Errorf("epochs %d and %d", token.ClientEpoch, token.KeyEpoch)
		}
		c.edit(&parent, &client)
		h.config.Declared = []keyring.Record{parent, client}
		h.open()
		door := gate.New(h.ring, one{token}, freely{}, silence{}, h.clock.now, ids("d"))
		_, err := door.Identify(t.Context(), gate.Credential{Key: access.SecretText("a.b.c"), Circumstances: from()}, access.ReadEvents)
		if dead := problem.Of(err) == problem.TokenNotAccepted; dead == c.lives {
			t.Errorf("%s: %v", name, err)
		}
	}
}
