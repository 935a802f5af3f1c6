package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
)

const (
	keyPrefix = "mk_"
	keyBytes  = 32
	idDigits  = 8
	maxKeys   = 8 // of one vault
)

// What is derived from a master key, each under a name of its own, so that neither tells of the other.
const (
	sealingUse = "weir/vault/v1/seal"
	naming     = "weir/vault/v1/id"
	deriving   = "weir/vault/v1/derive"
)

// Key is a master key. It cannot be printed, logged, marshalled or compared with ==; the zero Key is none. What it seals
// with is behind a pointer for the reason that access.Text gives.
type Key struct {
	_     [0]func()
	value *derived
}

// derived is what a master key is used by; the key itself is not kept.
type derived struct {
	id     string
	aead   cipher.AEAD
	secret []byte // what Derive derives from
}

// canonical reads what encoders write and nothing else.
var canonical = base64.RawURLEncoding.Strict()

// ParseKey reads a master key: mk_ and 43 characters of base64url, or 64 hexadecimal digits, with white space around it.
// No error tells anything of the text.
func ParseKey(text access.Text) (Key, error) {
	root, err := decode(strings.TrimSpace(text.Reveal()))
	if err != nil {
		return Key{}, err
	}
	defer clear(root)
	if bytes.Count(root, root[:1]) == len(root) {
		return Key{}, errors.New("vault: a master key is random, and this is one byte repeated")
	}
	return derive(root)
}

// ParseKeys reads master keys as a file has them, one a line, with white space between them: the current one first, then
// those before it, eight at most and none twice.
func ParseKeys(text access.Text) ([]Key, error) {
	words := strings.Fields(text.Reveal())
	switch {
	case len(words) == 0:
		return nil, errors.New("vault: there is no master key in it")
	case len(words) > maxKeys:
		return nil, fmt.Errorf("vault: %d words, where at most %d master keys can be", len(words), maxKeys)
	}
	var keys []Key
	for i, word := range words {
		k, err := ParseKey(access.SecretText(word))
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		for _, other := range keys {
			if other.ID() == k.ID() {
				return nil, fmt.Errorf("key %d: vault: %v is there twice", i+1, k)
			}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func decode(text string) ([]byte, error) {
	var root []byte
	var err error
	if encoded, ok := strings.CutPrefix(text, keyPrefix); ok && len(encoded) == canonical.EncodedLen(keyBytes) {
		root, err = canonical.DecodeString(encoded)
	} else if len(text) == hex.EncodedLen(keyBytes) {
		root, err = hex.DecodeString(text)
	}
	if err != nil || len(root) != keyBytes {
		// The decoders' errors quote what they do not like.
		return nil, errors.New("vault: a master key is mk_ and 43 characters of base64url, or 64 hexadecimal digits")
	}
	return root, nil
}

// NewKey makes a master key, and its text, which is to be kept by the caller and is not to be had again.
func NewKey(random io.Reader) (Key, access.Text, error) {
	k, text, err := newKey(random)
	return k, access.SecretText(text), err
}

func newKey(random io.Reader) (Key, string, error) {
	root := make([]byte, keyBytes)
	defer clear(root)
	if _, err := io.ReadFull(random, root); err != nil {
		return Key{}, "", fmt.Errorf("vault: a new master key: %w", err)
	}
	k, err := derive(root)
	return k, keyPrefix + canonical.EncodeToString(root), err
}

// derive makes what a key is used by. Its id is no part of what it seals with, and may be shown.
func derive(root []byte) (Key, error) {
	sealing, err := hkdf.Key(sha256.New, root, nil, sealingUse, keyBytes)
	if err != nil {
		return Key{}, fmt.Errorf("vault: %w", err)
	}
	defer clear(sealing)
	name, err := hkdf.Key(sha256.New, root, nil, naming, keyBytes)
	if err != nil {
		return Key{}, fmt.Errorf("vault: %w", err)
	}
	secret, err := hkdf.Key(sha256.New, root, nil, deriving, keyBytes)
	if err != nil {
		return Key{}, fmt.Errorf("vault: %w", err)
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return Key{}, fmt.Errorf("vault: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, fmt.Errorf("vault: %w", err)
	}
	digest := sha256.Sum256(name)
	return Key{value: &derived{hex.EncodeToString(digest[:])[:idDigits], aead, secret}}, nil
}

// ID names the key: 8 hexadecimal digits, which tell nothing of it. It is empty for the zero Key.
func (k Key) ID() string {
	if k.value == nil {
		return ""
	}
	return k.value.id
}

// IsZero reports whether there is no key at all.
func (k Key) IsZero() bool { return k.value == nil }

// shown is all that is printed of a key.
func (k Key) shown() string {
	if k.IsZero() {
		return "[no master key]"
	}
	return "[master key " + k.ID() + "]"
}

// String tells the id alone.
func (k Key) String() string { return k.shown() }

// GoString tells the id alone.
func (k Key) GoString() string { return k.shown() }

// Format tells the id alone, under every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.shown()) }

// LogValue tells the id alone.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.shown()) }

// MarshalText refuses: a master key in a marshalled value is a mistake in the program.
func (Key) MarshalText() ([]byte, error) {
	return nil, errors.New("vault: a master key cannot be marshalled")
}
