package view

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"
)

// HashKey is the secret behind the hashes of a scope. The hash of a value is the first 128 bits of HMAC-SHA-256 under
// it, in hex: equal values have equal hashes wherever the same key is used, so that they can be joined and counted, and
// without the key a hash neither gives its value nor lets a guess be tried. Whoever may write events to an environment whose
// hashes they may read has the key used for them: they can send a guess as a value, and compare.
//
// It cannot be printed, logged or marshalled. The zero HashKey is none.
type HashKey struct {
	key *hashKey
}

type hashKey struct {
	raw  []byte
	idle sync.Pool // of *hasher
}

// hasher makes one hash at a time.
type hasher struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

// hashPurpose keeps the key apart from whatever else is derived from the same secret.
const hashPurpose = "weir scope hash v1"

// NewHashKey derives the key from a secret. Whoever may see the same hashes has the same secret: of a project, and of
// the scope or not, as the caller decides.
func NewHashKey(secret []byte) HashKey {
	if len(secret) == 0 {
		return HashKey{}
	}
	mac := hmac.New(sha256.New, secret)
	_, _ = io.WriteString(mac, hashPurpose)
	return RawHashKey(mac.Sum(nil))
}

// RawHashKey is the key that Raw gave the bytes of.
func RawHashKey(raw []byte) HashKey {
	if len(raw) == 0 {
		return HashKey{}
	}
	k := &hashKey{raw: raw}
	k.idle.New = func() any { return &hasher{mac: hmac.New(sha256.New, raw)} }
	return HashKey{k}
}

// Raw is what an engine in another process needs, and nobody else.
func (k HashKey) Raw() []byte {
	if k.key == nil {
		return nil
	}
	return k.key.raw
}

// IsZero reports whether this is no key.
func (k HashKey) IsZero() bool { return k.key == nil }

// hashBytes is how much of the HMAC a hash is.
const hashBytes = 16

// AppendHash appends the hash of a value, 32 hexadecimal digits. It may be called by many at once.
func (k HashKey) AppendHash(dst, value []byte) []byte {
	h, _ := k.key.idle.Get().(*hasher)
	defer k.key.idle.Put(h)
	h.mac.Reset()
	_, _ = h.mac.Write(value)
	return hex.AppendEncode(dst, h.mac.Sum(h.sum[:0])[:hashBytes])
}

const hiddenKey = "[hash key]"

// String hides the key.
func (HashKey) String() string { return hiddenKey }

// GoString hides the key.
func (HashKey) GoString() string { return hiddenKey }

// Format hides the key under every verb.
func (HashKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hiddenKey) }

// LogValue hides the key.
func (HashKey) LogValue() slog.Value { return slog.StringValue(hiddenKey) }

// MarshalText refuses.
func (HashKey) MarshalText() ([]byte, error) {
	return nil, errors.New("view: a hash key cannot be marshalled")
}
