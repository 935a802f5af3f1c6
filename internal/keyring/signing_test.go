package keyring_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

func signed() keyring.New {
	n := secretKey()
	n.Signature = true
	return n
}

// Promise: a key that demands signatures gets a signing secret, which is shown once, and with which its signatures are
// checked, also after a restart. It is kept sealed, and no entry of the audit has it.
func TestASigningSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	h := with(t, keyring.Config{Vault: &vault{keys: []byte{1}}})
	rec, secrets, err := h.ring.Create(t.Context(), h.one, signed())
	if err != nil || secrets.Signing.Empty() {
		t.Fatal(err)
	}
	rec2, again, err := h.ring.NewSigningSecret(t.Context(), h.one, rec.ID, 1)
	if err != nil || again.Signing.Empty() || !again.Key.Empty() || again.Signing.Reveal() == secrets.Signing.Reveal() {
		t.Fatal("the second is no new one", err)
	}
	if text := again.Signing.Reveal(); rec2.Signing.Hint != text[len(text)-4:] || rec2.Revision != 2 || rec2.Digest != rec.Digest {
		t.Errorf("it is %+v", rec2)
	}
	for range 2 {
		if m := h.ring.Material(rec.ID); m == nil || m.Secret.Reveal() != again.Signing.Reveal() || len(m.PublicKeys) != 0 {
			t.Errorf("checked with %+v", m)
		}
		h.open()
	}
	kept, err := json.Marshal([]any{h.shelf.key(rec.ID), h.shelf.entries})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []signature.Secret{secrets.Signing, again.Signing} {
		if strings.Contains(string(kept), strings.TrimPrefix(secret.Reveal(), "ss_")[:20]) {
			t.Errorf("kept: %s", kept)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", again, h.ring.Material(rec.ID), again); strings.Contains(text, again.Signing.Reveal()) {
		t.Errorf("printed: %s", text)
	}
}

// Promise: a key that brings public keys has no signing secret unless it is made; signatures are checked with the public
// keys, with new ones from when the change returns, and which they are is in the audit.
func TestPublicKeysAreRegistered(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	var keys []ed25519.PublicKey
	for range 3 {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, public)
	}
	n := signed()
	n.PublicKeys = slices.Clone(keys[:2])
	rec, secrets, err := h.ring.Create(t.Context(), h.one, n)
	if err != nil || !secrets.Signing.Empty() || rec.Signing.Sealed != "" {
		t.Fatalf("made %+v, %v", rec, err)
	}
	n.PublicKeys[0] = keys[2] // what the caller does with its list later
	check := func(want ...ed25519.PublicKey) {
		t.Helper()
		m := h.ring.Material(rec.ID)
		if m == nil || !m.Secret.Empty() || len(m.PublicKeys) != len(want) {
			t.Fatalf("checked with %+v", m)
		}
		for i := range want {
			if !m.PublicKeys[i].Equal(want[i]) {
				t.Errorf("public key %d is another", i)
			}
		}
	}
	check(keys[0], keys[1])
	if _, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{PublicKeys: &[]ed25519.PublicKey{keys[2]}}); err != nil {
		t.Fatal(err)
	}
	check(keys[2])
	h.open()
	check(keys[2])
	entry := h.shelf.entries[1]
	if !strings.Contains(string(entry.Before), signature.FormatPublicKey(keys[1])) || !strings.Contains(string(entry.After), signature.FormatPublicKey(keys[2])) {
		t.Errorf("audited from %s to %s", entry.Before, entry.After)
	}
	_, _, err = h.ring.NewSigningSecret(t.Context(), h.one, rec.ID, 0) // there is no master key
	code(t, err, problem.Unavailable)
	if m := h.ring.Material("key_000000000000"); m != nil || h.ring.Material("x") != nil {
		t.Errorf("of no key: %+v", m)
	}
}

// Promise: a vault that cannot open a signing secret, or that is not there any more, does not keep the program from
// starting: the key works, its signatures cannot be right, and the log says so. One that cannot seal makes no secret.
func TestAVaultThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	safe := &vault{keys: []byte{1}}
	config, log := logging(keyring.Config{Vault: safe})
	h := with(t, config)
	rec, secrets, err := h.ring.Create(t.Context(), h.one, signed())
	if err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		h.open()
		if m := h.ring.Material(rec.ID); m == nil || !m.Secret.Empty() || len(m.PublicKeys) != 0 {
			t.Errorf("%s: checked with %+v", when, m)
		}
		_, err := h.ask(secrets.Key, access.ReadEvents, access.Attempt{})
		code(t, err, problem.SignatureRequired)
	}
	safe.broken = true
	refused("broken")
	if !strings.Contains(log.String(), "cannot be opened") || !strings.Contains(log.String(), rec.ID) {
		t.Errorf("logged %s", log)
	}
	_, _, err = h.ring.NewSigningSecret(t.Context(), h.one, rec.ID, 0)
	code(t, err, problem.Internal)
	if got := h.shelf.key(rec.ID); got.Revision != 1 {
		t.Errorf("changed to %+v", got)
	}
	h.config.Vault = nil
	refused("gone")
	h.config.Vault, safe.broken = safe, false
	h.open()
	if m := h.ring.Material(rec.ID); m.Secret.Reveal() != secrets.Signing.Reveal() {
		t.Error("back, it does not open")
	}
}

// Promise: a sealed secret is bound to its key: moved to another one it does not open.
func TestASealedSecretIsBoundToItsKey(t *testing.T) {
	t.Parallel()
	h := with(t, keyring.Config{Vault: &vault{keys: []byte{1}}})
	mine, _, err := h.ring.Create(t.Context(), h.one, signed())
	if err != nil {
		t.Fatal(err)
	}
	other, _ := h.create(h.one, signed())
	moved := h.shelf.key(other.ID)
	moved.Signing = h.shelf.key(mine.ID).Signing
	h.shelf.keys[other.ID] = moved
	h.open()
	if m := h.ring.Material(other.ID); m != nil && !m.Secret.Empty() {
		t.Error("another key's secret opens")
	}
}

// Promise: after the master key was rotated every signing secret is sealed under the new one, of revoked keys too, with an
// entry in the audit for each; then the former one can be forgotten. One that cannot be opened does not keep the others
// from it, and is told.
func TestReseal(t *testing.T) {
	t.Parallel()
	safe := &vault{keys: []byte{1}}
	h := with(t, keyring.Config{Vault: safe})
	secrets := map[string]string{}
	for range 5 {
		rec, made, err := h.ring.Create(t.Context(), h.one, signed())
		if err != nil {
			t.Fatal(err)
		}
		secrets[rec.ID] = made.Signing.Reveal()
	}
	plain, _ := h.create(h.one, secretKey())
	list := slices.Sorted(func(yield func(string) bool) {
		for id := range secrets {
			if !yield(id) {
				return
			}
		}
	})
	if _, err := h.ring.Revoke(t.Context(), h.one, list[0], 0); err != nil {
		t.Fatal(err)
	}
	spoilt := h.shelf.key(list[1])
	spoilt.Signing.Sealed = "1.AAAA"
	h.shelf.keys[list[1]] = spoilt
	if n, err := h.ring.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("%d were sealed anew for nothing, %v", n, err)
	}
	safe.keys = []byte{1, 2}
	if n, err := h.ring.Reseal(t.Context()); n != 4 || err == nil || !strings.Contains(err.Error(), list[1]) {
		t.Errorf("sealed %d anew, %v", n, err)
	}
	safe.keys = []byte{2}
	h.open()
	for _, id := range list {
		m, rec := h.ring.Material(id), h.shelf.key(id)
		if id == list[1] {
			if !m.Secret.Empty() || rec.Signing.Sealed != "1.AAAA" {
				t.Errorf("the spoilt one: %+v", m)
			}
			continue
		}
		if m.Secret.Reveal() != secrets[id] || safe.Stale(rec.Signing.Sealed) {
			t.Errorf("%s does not open under the new key alone", id)
		}
		actions := h.shelf.audited(id)
		if actions[len(actions)-1] != "key.resealed" || int64(len(actions)) != rec.Revision {
			t.Errorf("%s of revision %d: audited %v", id, rec.Revision, actions)
		}
	}
	if h.shelf.key(plain.ID).Revision != 1 || h.shelf.key(list[0]).RevokedAt.IsZero() {
		t.Error("something else was changed")
	}
	h.config.Vault = nil
	h.open()
	if n, err := h.ring.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("without a vault: %d, %v", n, err)
	}
}
