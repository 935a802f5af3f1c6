package keyring_test

import (
	"crypto/ed25519"
	"testing"

	"github.com/weir-analytics/weir/internal/keyring"
)

// Promise: tokens end when a public key is taken away from the key that they were got with, and not when one is added or
// the order is another.
func TestARemovedPublicKeyEndsTokens(t *testing.T) {
	t.Parallel()
	var keys [3]ed25519.PublicKey
	for i := range keys {
		keys[i], _, _ = ed25519.GenerateKey(nil)
	}
	h := with(t, keyring.Config{Vault: &vault{keys: []byte{1}}})
	n := signed()
	n.PublicKeys = []ed25519.PublicKey{keys[0]}
	rec, _, err := h.ring.Create(t.Context(), h.one, n)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		keys []ed25519.PublicKey
		ends bool
	}{
		{[]ed25519.PublicKey{keys[0], keys[1]}, false},
		{[]ed25519.PublicKey{keys[1], keys[0]}, false},
		{[]ed25519.PublicKey{keys[0], keys[2]}, true},
		{[]ed25519.PublicKey{keys[0]}, true},
	} {
		before := h.shelf.key(rec.ID).Epoch
		if _, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{PublicKeys: &c.keys}); err != nil {
			t.Fatal(i, err)
		}
		if after := h.shelf.key(rec.ID).Epoch; after > before != c.ends {
			t.Errorf("%d: the epoch was %d and is %d", i, before, after)
		}
	}
}
