package signature_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/signature"
)

// The bodies and digests of RFC 9530 and RFC 9421. The brotli form is that of erratum 8890.
const (
	helloWorld   = "{\"hello\": \"world\"}\n"
	helloDigest  = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
	hello512     = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"
	brotliHello  = "\x0b\x09\x80\x7b\x22\x68\x65\x6c\x6c\x6f\x22\x3a\x20\x22\x77\x6f\x72\x6c\x64\x22\x7d\x0a\x03"
	brotliDigest = "sha-256=:d435Qo+nKZ+gLcUHn7GQtQ72hiBVAgqoLsZnZPiTGPk=:"
	emptyDigest  = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
	rfc9421Body  = `{"hello": "world"}`
	rfc9421Value = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
	rfc9421Other = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
)

// Promise: a Content-Digest is compared with the very bytes received, the RFCs' own examples among them; every digest
// that is given must be known and right; and the fault repeats what was given and nothing that we computed.
func TestContentDigest(t *testing.T) {
	t.Parallel()
	const ok = signature.DigestKind(0)
	wrong256 := ":" + base64.StdEncoding.EncodeToString(make([]byte, sha256.Size)) + ":"
	for _, c := range []struct {
		name   string
		lines  []string
		body   string
		want   signature.DigestKind
		faults string // algorithm and value of each at fault
	}{
		{"none", nil, "x", ok, ""},
		{"RFC 9530, sha-256", []string{helloDigest}, helloWorld, ok, ""},
		{"RFC 9530, sha-512", []string{hello512}, helloWorld, ok, ""},
		{"RFC 9530, both", []string{helloDigest + ", " + hello512}, helloWorld, ok, ""},
		{"RFC 9530, two lines", []string{hello512, helloDigest}, helloWorld, ok, ""},
		{"RFC 9530, brotli", []string{brotliDigest}, brotliHello, ok, ""},
		{"RFC 9530, brotli, of what it unpacks to", []string{helloDigest}, brotliHello, signature.DigestMismatched, "sha-256 :RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"},
		{"RFC 9530, section 2", []string{brotliDigest + ", " + hello512}, helloWorld, signature.DigestMismatched, "sha-256 :d435Qo+nKZ+gLcUHn7GQtQ72hiBVAgqoLsZnZPiTGPk=:"},
		{"RFC 9530, too much padding", []string{"sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg==:"}, helloWorld, signature.DigestUnreadable, ""},
		{"RFC 9530, nothing", []string{emptyDigest}, "", ok, ""},
		{"RFC 9421, sha-512", []string{rfc9421Value}, rfc9421Body, ok, ""},
		{"RFC 9421, sha-256", []string{rfc9421Other}, rfc9421Body, ok, ""},
		{"with parameters", []string{helloDigest + ";a=1"}, helloWorld, ok, ""},
		{"spaces", []string{"  " + helloDigest + " ,\t" + hello512 + "  "}, helloWorld, ok, ""},
		{"without the newline", []string{helloDigest}, strings.TrimSpace(helloWorld), signature.DigestMismatched, "sha-256 :RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"},
		{"one of two is wrong", []string{"sha-256=" + wrong256 + ", " + hello512}, helloWorld, signature.DigestMismatched, "sha-256 " + wrong256},
		{"the last one counts", []string{"sha-256=" + wrong256 + ", " + helloDigest}, helloWorld, ok, ""},
		{"md5", []string{"md5=:YWJjZGVmZ2hpamtsbW5vcA==:"}, "x", signature.DigestUnsupported, "md5 :YWJjZGVmZ2hpamtsbW5vcA==:"},
		{"unknown beside a right one", []string{helloDigest + ", crc32c=:YWJjZA==:"}, helloWorld, signature.DigestUnsupported, "crc32c :YWJjZA==:"},
		{"unknown, no bytes", []string{"x, y=1, z=(a)"}, "x", signature.DigestUnsupported, "x  y  z "},
		{"sha-1", []string{"sha=:2jmj7l5rSw0yVb/vlWAYkK/YBwk=:"}, "", signature.DigestUnsupported, "sha :2jmj7l5rSw0yVb/vlWAYkK/YBwk=:"},
		{"short", []string{"sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8Fa:"}, helloWorld, signature.DigestInvalid, "sha-256 :RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8Fa:"},
		{"empty value", []string{"sha-256=::"}, "", signature.DigestInvalid, "sha-256 ::"},
		{"512 as 256", []string{"sha-256" + hello512[7:]}, helloWorld, signature.DigestInvalid, "sha-256 " + hello512[8:]},
		{"text", []string{`sha-256="RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="`}, helloWorld, signature.DigestInvalid, "sha-256 "},
		{"flag", []string{"sha-256"}, "", signature.DigestInvalid, "sha-256 "},
		{"list", []string{"sha-256=(:YWJj:)"}, "", signature.DigestInvalid, "sha-256 "},
		{"draft form", []string{"sha-256=RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="}, helloWorld, signature.DigestUnreadable, ""},
		{"upper case", []string{"SHA-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"}, helloWorld, signature.DigestUnreadable, ""},
		{"empty", []string{""}, "", signature.DigestUnreadable, ""},
		{"a comma more", []string{helloDigest + ","}, helloWorld, signature.DigestUnreadable, ""},
		{"no base64", []string{"sha-256=:$:"}, "", signature.DigestUnreadable, ""},
		{"large", []string{helloDigest + ", x=:" + strings.Repeat("A", 1024) + ":"}, helloWorld, signature.DigestUnreadable, ""},
		{"many lines", []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}, "", signature.DigestUnreadable, ""},
		{"a long name", []string{strings.Repeat("a", 200)}, "", signature.DigestUnsupported, strings.Repeat("a", 64) + "… "},
	} {
		err := signature.CheckDigest(http.Header{"Content-Digest": c.lines}, []byte(c.body))
		var fault *signature.DigestFault
		if !errors.As(err, &fault) {
			fault = &signature.DigestFault{}
		}
		given := make([]string, len(fault.Digests))
		for i, d := range fault.Digests {
			given[i] = d.Algorithm + " " + d.Provided
		}
		if fault.Kind != c.want || strings.Join(given, " ") != c.faults {
			t.Errorf("%s: %v %s %q, want %s %q", c.name, err, fault.Kind, given, c.want, c.faults)
		}
		for _, ours := range [][]byte{sum256(c.body), sum512(c.body)} {
			text := base64.StdEncoding.EncodeToString(ours)
			if err != nil && !strings.Contains(strings.Join(c.lines, ""), text) && (strings.Contains(err.Error(), text) || strings.Contains(strings.Join(given, " "), text)) {
				t.Errorf("%s: the fault tells the digest", c.name)
			}
		}
	}
}

func sum256(body string) []byte { sum := sha256.Sum256([]byte(body)); return sum[:] }
func sum512(body string) []byte { sum := sha512.Sum512([]byte(body)); return sum[:] }

// Promise: the problem types have their registered names.
func TestDigestKinds(t *testing.T) {
	t.Parallel()
	for kind, want := range map[signature.DigestKind]string{
		signature.DigestUnreadable: "malformed", signature.DigestUnsupported: "digest-unsupported-algorithms",
		signature.DigestInvalid: "digest-invalid-values", signature.DigestMismatched: "digest-mismatched-values",
	} {
		if kind.String() != want {
			t.Errorf("%s, want %s", kind, want)
		}
	}
	if got := signature.ContentDigest([]byte(helloWorld)); got != helloDigest {
		t.Errorf("%s", got)
	}
}
