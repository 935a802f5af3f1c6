package signature

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"slices"
	"strings"
)

// The form of a signing secret: "ss_" and 32 random bytes in base64url.
const (
	secretPrefix = "ss_"
	secretBytes  = 32
	secretLength = len(secretPrefix) + 43
)

// Secret is what an HMAC is made with. Its text is the key: all its characters, as they are shown, in both schemes.
//
// It cannot be printed, logged or marshalled; Reveal is the one way to its text. It holds a pointer because fmt asks no
// method of a value in an unexported field, and prints of a pointer the address. The zero Secret is none.
type Secret struct {
	_     [0]func()
	value *string
}

// NewSecret makes a signing secret of 32 bytes from random.
func NewSecret(random io.Reader) (Secret, error) {
	var raw [secretBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Secret{}, fmt.Errorf("signature: random bytes for a secret: %w", err)
	}
	return secretText(secretPrefix + base64.RawURLEncoding.EncodeToString(raw[:])), nil
}

// ParseSecret reads a signing secret. The error says what is wrong and repeats nothing of the text.
func ParseSecret(text string) (Secret, error) {
	rest, ok := strings.CutPrefix(text, secretPrefix)
	if !ok || len(text) != secretLength {
		return Secret{}, fmt.Errorf("a signing secret is %q and 43 characters", secretPrefix)
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(rest); err != nil || strings.ContainsAny(rest, "\r\n") {
		return Secret{}, errors.New("what follows the prefix of a signing secret must be base64url")
	}
	return secretText(text), nil
}

func secretText(text string) Secret { return Secret{value: &text} }

// Reveal gives the text. It goes to its owner once, and into the vault.
func (s Secret) Reveal() string { return string(s.key()) }

// Empty reports whether there is no secret.
func (s Secret) Empty() bool { return s.value == nil || *s.value == "" }

func (s Secret) key() []byte {
	if s.value == nil {
		return nil
	}
	return []byte(*s.value)
}

// raw is the random bytes, which a client may have taken for the key.
func (s Secret) raw() []byte {
	if s.value == nil {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(*s.value, secretPrefix))
	if err != nil {
		return nil
	}
	return raw
}

const hidden = "[secret]"

// String hides the secret.
func (Secret) String() string { return hidden }

// GoString hides the secret.
func (Secret) GoString() string { return hidden }

// Format hides the secret from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText refuses: a secret in a marshalled value is a mistake in the program.
func (Secret) MarshalText() ([]byte, error) {
	return nil, errors.New("signature: a secret cannot be marshalled")
}

// ParsePublicKey reads an Ed25519 public key: its 32 bytes in base64 or base64url, with or without padding, or PEM with
// a SubjectPublicKeyInfo, as 'openssl pkey -pubout' writes it. Keys that anybody could sign for are refused. The error
// is fit for the one who sent the key.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	if len(text) > maxPublicKey {
		return nil, fmt.Errorf("a public key has at most %d characters", maxPublicKey)
	}
	text = strings.TrimSpace(text)
	key, err := publicBytes(text)
	if err != nil {
		return nil, err
	}
	if !onCurve(key) {
		return nil, errors.New("these 32 bytes are not an Ed25519 public key")
	}
	if weak(key) {
		return nil, errors.New("this key is one of the few that anybody can sign for")
	}
	return key, nil
}

// FormatPublicKey writes a key as ParsePublicKey reads it: in base64.
func FormatPublicKey(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

func publicBytes(text string) (ed25519.PublicKey, error) {
	if strings.HasPrefix(text, "-----BEGIN ") {
		return publicPEM(text)
	}
	plain := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	raw, err := base64.RawStdEncoding.Strict().DecodeString(plain)
	switch {
	case err != nil || strings.ContainsAny(plain, "\r\n"):
		return nil, errors.New("an Ed25519 public key is 32 bytes in base64, or PEM")
	case len(raw) == ed25519.PrivateKeySize:
		return nil, errors.New("64 bytes are a private key: keep it, and send its public half of 32 bytes")
	case len(raw) != ed25519.PublicKeySize:
		return nil, fmt.Errorf("an Ed25519 public key has 32 bytes, and this has %d", len(raw))
	}
	return raw, nil
}

func publicPEM(text string) (ed25519.PublicKey, error) {
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, errors.New("the PEM cannot be read")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, errors.New("this is a private key: keep it, and send the public one ('openssl pkey -pubout')")
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("the PEM holds %q and not a PUBLIC KEY", clip(block.Type))
	case len(strings.TrimSpace(string(rest))) != 0:
		return nil, errors.New("the PEM holds more than one public key")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the PEM's public key cannot be read")
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("the PEM's key is of another kind: only Ed25519 is taken")
	}
	return key, nil
}

// fieldPrime is the p of edwards25519: 2^255 - 19.
func fieldPrime() *big.Int {
	return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
}

// height is the y of an encoded point, without the bit that is x's sign.
func height(key ed25519.PublicKey) *big.Int {
	bytes := slices.Clone(key)
	slices.Reverse(bytes)
	bytes[0] &= 0x7f
	return new(big.Int).SetBytes(bytes)
}

// onCurve reports whether there is a point with this y: whether (y²-1)/(dy²+1) is a square modulo p.
func onCurve(key ed25519.PublicKey) bool {
	p, one := fieldPrime(), big.NewInt(1)
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)
	square := height(key)
	square.Mul(square, square).Mod(square, p)
	above := new(big.Int).Sub(square, one)
	below := new(big.Int).Mul(d, square)
	below.Add(below, one).ModInverse(below.Mod(below, p), p)
	x2 := above.Mul(above, below)
	return big.Jacobi(x2.Mod(x2, p), p) != -1
}

// weak reports whether the point is one of the eight of small order, in any encoding of it. For those the same signature
// is right for many texts.
func weak(key ed25519.PublicKey) bool {
	p := fieldPrime()
	y := new(big.Int).Mod(height(key), p)
	for _, small := range [...]string{
		"0", "1",
		"57896044618658097711785492504343953926634992332820282019728792003956564819948", // p-1
		"2707385501144840649318225287225658788936804267575313519463743609750303402022",
		"55188659117513257062467267217118295137698188065244968500265048394206261417927",
	} {
		if y.String() == small {
			return true
		}
	}
	return false
}
