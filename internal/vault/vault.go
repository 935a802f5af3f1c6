package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// The limits of what is sealed.
const (
	maxPlain = 4096
	maxAbout = 256
)

// version is the first part of a sealed text: AES-256-GCM under a key derived by HKDF-SHA-256, with a random nonce.
const version = "v1"

// ErrNoKey means that the master key a text was sealed under is not in the vault, or that there is none at all.
var ErrNoKey = errors.New("vault: no such master key")

// ErrNotGenuine means that a text is not what Seal made about the thing in question: it was changed or cut, or belongs
// to something else.
var ErrNotGenuine = errors.New("vault: a sealed text was changed, or is not about this")

// Vault seals and opens secrets. It does not change, and can be used by many at once.
type Vault struct {
	current Key
	former  []Key
}

// New makes a vault that seals under the current key, and opens what was sealed under it or a former one. A vault
// without a current key, such as the zero Vault, seals nothing.
func New(current Key, former ...Key) *Vault {
	return &Vault{current: current, former: append([]Key(nil), former...)}
}

// KeyID names the key the vault seals under.
func (v *Vault) KeyID() string { return v.current.ID() }

// Seal encrypts plain, of at most 4 KiB. About says what it is the secret of, such as "key_…/signing": 1 to 256 bytes,
// which are not in the result and must be given again to open it, so that a sealed text is of no use in another's place.
// The same secret is sealed differently each time. The result is
//
//	v1.<key id>.<base64url of nonce, ciphertext and tag>
//
// Nonces are random, which is safe for far more secrets (2³² under one key) than a vault is for.
func (v *Vault) Seal(plain []byte, about string) (string, error) {
	switch {
	case v.current.IsZero():
		return "", ErrNoKey
	case len(plain) > maxPlain:
		return "", fmt.Errorf("vault: a secret of %d bytes; at most %d can be sealed", len(plain), maxPlain)
	case about == "" || len(about) > maxAbout:
		return "", fmt.Errorf("vault: what a secret is about takes 1 to %d bytes, not %d", maxAbout, len(about))
	}
	head := version + "." + v.current.ID() + "."
	sealed := v.current.value.aead.Seal(nil, nil, plain, bound(head, about)) //nolint:gosec // no nonce is given: the AEAD makes one
	return head + canonical.EncodeToString(sealed), nil
}

// Open gives what was sealed about the same thing. It fails with ErrNoKey or ErrNotGenuine. The caller may wipe what it
// gets by Zero, when it is done.
func (v *Vault) Open(sealed, about string) ([]byte, error) {
	id, body, ok := split(sealed)
	if !ok || about == "" || len(about) > maxAbout {
		return nil, ErrNotGenuine
	}
	box, err := canonical.DecodeString(body)
	if err != nil || strings.ContainsAny(body, "\r\n") { // the decoder passes line ends over
		return nil, ErrNotGenuine
	}
	k := v.find(id)
	if k.IsZero() {
		return nil, fmt.Errorf("%w: it was sealed under %s", ErrNoKey, id)
	}
	plain, err := k.value.aead.Open(nil, nil, box, bound(sealed[:len(sealed)-len(body)], about))
	if err != nil {
		return nil, ErrNotGenuine
	}
	return plain, nil
}

// Derive gives a secret of 32 bytes for a purpose, of 1 to 256 bytes, under the current key: always the same for the
// same purpose, and telling nothing of that for another. It is not stored anywhere, and is another one when the current
// key is.
func (v *Vault) Derive(purpose string) ([]byte, error) {
	switch {
	case v.current.IsZero():
		return nil, ErrNoKey
	case purpose == "" || len(purpose) > maxAbout:
		return nil, fmt.Errorf("vault: a purpose takes 1 to %d bytes, not %d", maxAbout, len(purpose))
	}
	mac := hmac.New(sha256.New, v.current.value.secret)
	_, _ = mac.Write([]byte(purpose))
	return mac.Sum(nil), nil
}

// Stale reports whether a text was sealed under a former key, and should be opened and sealed anew.
func (v *Vault) Stale(sealed string) bool {
	id, _, ok := split(sealed)
	return ok && id != v.current.ID() && !v.find(id).IsZero()
}

// find is the key of that id; the zero Key when there is none.
func (v *Vault) find(id string) Key {
	if v.current.ID() == id {
		return v.current
	}
	for _, k := range v.former {
		if k.ID() == id {
			return k
		}
	}
	return Key{}
}

// split takes a sealed text apart, within the limits.
func split(sealed string) (id, body string, ok bool) {
	const head = len(version) + 1 + idDigits + 1
	if len(sealed) <= head || len(sealed) > head+canonical.EncodedLen(maxPlain+64) {
		return "", "", false
	}
	id = sealed[len(version)+1 : head-1]
	lowerHex := strings.Trim(id, "0123456789abcdef") == ""
	return id, sealed[head:], lowerHex && sealed[:len(version)+1] == version+"." && sealed[head-1] == '.'
}

// bound is what a ciphertext is bound to besides its key: the form it is in and what it is about.
func bound(head, about string) []byte { return []byte(head + about) }

// Zero wipes a secret that is no longer needed. It is the best that can be done: copies that the program's runtime or
// the system made are out of reach.
func Zero(secret []byte) { clear(secret) }
