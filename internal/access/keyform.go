package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"hash/crc32"
	"strings"
)

// The form of a key: kind and mode as a prefix, then one base62 word of a public look-up id, the secret and a checksum.
//
//	sk_live_ 3fQ9xT0aLmZk  <27 characters>  <6 characters>
//	         look-up id    secret, 160 bits CRC-32
//
// The checksum is the CRC-32 (IEEE) of everything before it, as six base62 digits, most significant first. It lets a
// scanner or a client tell a mistyped key from an unknown one without asking; it keeps nobody out.
const (
	Alphabet     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	KeyPattern   = `^(pk|sk|cs)_(live|test)_[0-9A-Za-z]{45}$`
	LookupLength = 12
	SecretLength = 27 // 27 base62 characters are 160.7 bits
	checkLength  = 6
	prefixLength = len("pk_live_")
	KeyLength    = prefixLength + LookupLength + SecretLength + checkLength
)

// Lookup is the public part of a key by which it is found.
type Lookup [LookupLength]byte

// Digest is the SHA-256 of a whole key. It is what is kept of a secret key.
type Digest [sha256.Size]byte

// Equal compares in constant time.
func (d Digest) Equal(other Digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

// Parsed is a key that has the right form. Having it says nothing about whether the key exists.
type Parsed struct {
	Kind   Kind
	Mode   Mode
	Lookup Lookup
	Digest Digest
}

// ID is the key's public name: "key_" and the look-up id.
func (l Lookup) ID() string { return "key_" + string(l[:]) }

// LookupOf reads a key's public name.
func LookupOf(id string) (Lookup, bool) {
	rest, ok := strings.CutPrefix(id, "key_")
	if !ok || len(rest) != LookupLength || !base62(rest) {
		return Lookup{}, false
	}
	return Lookup([]byte(rest)), true
}

// Why a text is not a key. The texts are fit for the sender to read and hold nothing of what was sent.
var (
	ErrKeyForm     = errors.New("it does not have the form of a key")
	ErrKeyChecksum = errors.New("its checksum does not match: a character is wrong or missing")
)

// ParseKey reads a key and checks its form and checksum. The error is ErrKeyForm or ErrKeyChecksum.
func ParseKey(text string) (Parsed, error) {
	kind, mode, ok := parsePrefix(text)
	if !ok || len(text) != KeyLength || !base62(text[prefixLength:]) {
		return Parsed{}, ErrKeyForm
	}
	body, check := text[:KeyLength-checkLength], text[KeyLength-checkLength:]
	if checksum(body) != check {
		return Parsed{}, ErrKeyChecksum
	}
	return Parsed{
		Kind:   kind,
		Mode:   mode,
		Lookup: Lookup([]byte(text[prefixLength : prefixLength+LookupLength])),
		Digest: sha256.Sum256([]byte(text)),
	}, nil
}

// WriteKey puts a key together from its parts. The parts are base62 of the right lengths, or it panics: only the
// minting of keys calls it.
func WriteKey(kind Kind, mode Mode, lookup, secret string) string {
	if len(lookup) != LookupLength || len(secret) != SecretLength || !base62(lookup+secret) {
		panic("access: WriteKey was given parts that make no key")
	}
	body := prefix(kind) + "_" + mode.String() + "_" + lookup + secret
	return body + checksum(body)
}

// Hint is what of a key may be shown in a list: its prefix and look-up id's start, and its last four characters.
func Hint(key string) string {
	return key[:prefixLength+4] + "…" + key[len(key)-4:]
}

func prefix(k Kind) string {
	switch k {
	case Public:
		return "pk"
	case Client:
		return "cs"
	default:
		return "sk"
	}
}

func parsePrefix(text string) (Kind, Mode, bool) {
	if len(text) < prefixLength {
		return 0, 0, false
	}
	switch text[:prefixLength] {
	case "pk_live_":
		return Public, Live, true
	case "pk_test_":
		return Public, Test, true
	case "sk_live_":
		return Secret, Live, true
	case "sk_test_":
		return Secret, Test, true
	case "cs_live_":
		return Client, Live, true
	case "cs_test_":
		return Client, Test, true
	}
	return 0, 0, false
}

func base62(s string) bool {
	for i := range len(s) {
		if !isBase62(s[i]) {
			return false
		}
	}
	return true
}

func isBase62(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func checksum(body string) string {
	var digits [checkLength]byte
	sum := crc32.ChecksumIEEE([]byte(body))
	for i := checkLength - 1; i >= 0; i-- {
		digits[i] = Alphabet[sum%62]
		sum /= 62
	}
	return string(digits[:])
}
