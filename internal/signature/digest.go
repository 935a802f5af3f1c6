package signature

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/dunglas/httpsfv"
)

// WantContentDigest is the value of Want-Content-Digest: the algorithms that are taken, and how much each is liked.
const WantContentDigest = "sha-256=10, sha-512=3"

// DigestKind is what is wrong with a Content-Digest.
type DigestKind uint8

// The kinds. All but the first are the registered problem types of draft-ietf-httpapi-digest-fields-problem-types; that
// document forbids them for a header that cannot be read at all.
const (
	DigestUnreadable  DigestKind = iota + 1 // the header is no dictionary, or too large
	DigestUnsupported                       // an algorithm that is not taken
	DigestInvalid                           // a value that the algorithm cannot give
	DigestMismatched                        // it is not the digest of what was received
)

// String is the fragment of the problem type, or "malformed".
func (k DigestKind) String() string {
	switch k {
	case DigestUnsupported:
		return "digest-unsupported-algorithms"
	case DigestInvalid:
		return "digest-invalid-values"
	case DigestMismatched:
		return "digest-mismatched-values"
	default:
		return "malformed"
	}
}

// DigestFault is why a Content-Digest is not accepted. It holds what the sender gave, never what we computed.
type DigestFault struct {
	Kind    DigestKind
	Detail  string
	Digests []Digest // those at fault
}

// Digest is one digest as it was given.
type Digest struct {
	Algorithm string
	Provided  string // as a byte sequence, :base64:; empty when it is none
}

// Error is the Detail.
func (f *DigestFault) Error() string { return f.Detail }

// ContentDigest is the value of Content-Digest for a body.
func ContentDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// CheckDigest compares the header Content-Digest with the bytes that were received: after transfer coding, before
// content coding. Every digest that is given must be of a known algorithm, and right. Without the header there is
// nothing to compare. The error is a *DigestFault.
func CheckDigest(h http.Header, received []byte) error {
	lines := h["Content-Digest"]
	if len(lines) == 0 {
		return nil
	}
	if err := withinLimits(lines, "Content-Digest", maxDigest); err != nil {
		return &DigestFault{Kind: DigestUnreadable, Detail: err.Error()}
	}
	d, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(d.Names()) == 0 {
		return &DigestFault{Kind: DigestUnreadable, Detail: "The header Content-Digest is not a dictionary with a digest, such as sha-256=:base64:."}
	}
	return checkDigests(d, received)
}

func checkDigests(d *httpsfv.Dictionary, received []byte) error {
	var unsupported, invalid, mismatched []Digest
	for _, name := range d.Names() {
		member, _ := d.Get(name)
		value, isBytes := digestValue(member)
		given := Digest{Algorithm: clip(name)}
		if isBytes {
			given.Provided = ":" + base64.StdEncoding.EncodeToString(value) + ":"
		}
		switch length := digestLength(name); {
		case length == 0:
			unsupported = append(unsupported, given)
		case !isBytes || len(value) != length:
			invalid = append(invalid, given)
		case !bytes.Equal(value, digestOf(name, received)):
			mismatched = append(mismatched, given)
		}
	}
	switch {
	case len(unsupported) > 0:
		return &DigestFault{DigestUnsupported, fmt.Sprintf("Content-Digest has %s, which is not taken here; sha-256 and sha-512 are.", algorithms(unsupported)), unsupported}
	case len(invalid) > 0:
		return &DigestFault{DigestInvalid, fmt.Sprintf("The value of %s in Content-Digest cannot be such a digest: sha-256 has 32 bytes and sha-512 64, written :base64:.", algorithms(invalid)), invalid}
	case len(mismatched) > 0:
		return &DigestFault{DigestMismatched, fmt.Sprintf("The %s in Content-Digest is not that of the %d bytes received. It is taken of the body as it is sent, after any compression.", algorithms(mismatched), len(received)), mismatched}
	}
	return nil
}

func digestValue(member httpsfv.Member) ([]byte, bool) {
	item, ok := member.(httpsfv.Item)
	if !ok {
		return nil, false
	}
	value, ok := item.Value.([]byte)
	return value, ok
}

func digestLength(algorithm string) int {
	switch algorithm {
	case "sha-256":
		return sha256.Size
	case "sha-512":
		return sha512.Size
	}
	return 0
}

func digestOf(algorithm string, received []byte) []byte {
	if algorithm == "sha-512" {
		sum := sha512.Sum512(received)
		return sum[:]
	}
	sum := sha256.Sum256(received)
	return sum[:]
}

func algorithms(digests []Digest) string {
	names := make([]string, len(digests))
	for i, d := range digests {
		names[i] = d.Algorithm
	}
	return strings.Join(names, ", ")
}
