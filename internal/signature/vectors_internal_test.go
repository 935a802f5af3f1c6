package signature

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/rogpeppe/go-internal/txtar"
)

// The keys of RFC 9421, appendix B.1.
const (
	rfcSecret    = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
	rfcPublicKey = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n"
	rfcSeed      = "9f8362f87a484a954e6e740c5b4c0e84229139a20aa8ab56ff66586f6a7d29c5"
)

type vector struct {
	request Request
	base    string
}

func readVectors(t *testing.T) map[string]vector {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/rfc9421.txtar")
	if err != nil {
		t.Fatal(err)
	}
	vectors := map[string]vector{}
	for _, f := range archive.Files {
		name, part, _ := cutLast(f.Name)
		v := vectors[name]
		switch part {
		case "request":
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(f.Data)))
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			v.request = Of(r)
		case "key":
			continue
		case "base":
			v.base = strings.TrimSuffix(string(f.Data), "\n")
		default:
			t.Fatalf("what is %s?", f.Name)
		}
		vectors[name] = v
	}
	return vectors
}

func cutLast(name string) (before, after string, ok bool) {
	i := strings.LastIndexByte(name, ' ')
	return name[:i], name[i+1:], true
}

// signed reads the one signature of a request, whatever its tag.
func signed(t *testing.T, h http.Header) (*claim, httpsfv.InnerList) {
	t.Helper()
	inputs, err := readDictionary(h, "Signature-Input", maxInput)
	if err != nil {
		t.Fatal(err)
	}
	label := inputs.Names()[0]
	member, _ := inputs.Get(label)
	list := member.(httpsfv.InnerList)
	signatures, err := readDictionary(h, "Signature", maxSignature)
	if err != nil {
		t.Fatal(err)
	}
	c := &claim{list: list}
	if c.signature, err = signatureOf(signatures, label); err != nil {
		t.Fatal(err)
	}
	if err := c.readParameters(list.Params); err != nil {
		t.Fatal(err)
	}
	if c.components, err = readComponents(list.Items); err != nil {
		t.Fatal(err)
	}
	return c, list
}

func rfcMaterial(t *testing.T) Material {
	t.Helper()
	secret, err := base64.StdEncoding.DecodeString(rfcSecret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePublicKey(rfcPublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return Material{Secret: secretText(string(secret)), PublicKeys: []ed25519.PublicKey{key}}
}

// Promise: the signature base of every request in RFC 9421's appendix B comes out as it is printed there.
func TestBasesOfTheRFC(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	if len(vectors) != 12 {
		t.Errorf("%d vectors", len(vectors))
	}
	for name, v := range vectors {
		c, list := signed(t, v.request.Header)
		got, err := base(v.request, c.components, list)
		if err != nil || got != v.base {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, v.base)
		}
	}
}

// Promise: the signatures of appendix B that are of our algorithms are right, those of B.4 survive just the changes that
// the RFC says they survive, and signatures of other algorithms are refused for that reason.
func TestSignaturesOfTheRFC(t *testing.T) {
	t.Parallel()
	m := rfcMaterial(t)
	vectors := readVectors(t)
	for name, want := range map[string]bool{
		"b.2.5": true, "b.2.6": true,
		"b.4 signed": true, "b.4 added": true, "b.4 joined": true, "b.4 reordered": true,
		"b.4 other method and host": false, "b.4 other order of values": false,
	} {
		v := vectors[name]
		c, _ := signed(t, v.request.Header)
		alg, err := m.algorithm(c.alg, len(c.signature))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := m.matches(alg, v.base, c.signature); got != want {
			t.Errorf("%s: the %s signature matches: %v", name, alg, got)
		}
	}
	for _, name := range []string{"b.2.1", "b.2.2", "b.2.3"} {
		c, _ := signed(t, vectors[name].request.Header)
		if _, err := m.algorithm("", len(c.signature)); kindOf(err) != Unsupported {
			t.Errorf("%s, RSA without a name: %v", name, err)
		}
	}
	for _, alg := range []string{"rsa-pss-sha512", "rsa-v1_5-sha256", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "EdDSA", "HMAC-SHA256", "none", "hs2019"} {
		for _, length := range []int{0, 32, 64, 96, 256, 512} {
			if _, err := m.algorithm(alg, length); kindOf(err) != Unsupported {
				t.Errorf("%s with %d bytes: %v", alg, length, err)
			}
		}
	}
}

// Promise: the bases are right by the RFC's own signatures too, of the algorithms that we do not take.
func TestBasesVerifyWithOtherAlgorithms(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/rfc9421.txtar")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]any{}
	for _, f := range archive.Files {
		if name, part, _ := cutLast(f.Name); part == "key" {
			block, _ := pem.Decode(f.Data)
			if keys[name], err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
				t.Fatal(err)
			}
		}
	}
	vectors := readVectors(t)
	for _, name := range []string{"b.2.1", "b.2.2", "b.2.3", "b.3"} {
		c, list := signed(t, vectors[name].request.Header)
		text, err := base(vectors[name].request, c.components, list)
		if err != nil {
			t.Fatal(err)
		}
		right := false
		switch key := keys[c.keyID].(type) {
		case *rsa.PublicKey:
			sum := sha512.Sum512([]byte(text))
			right = rsa.VerifyPSS(key, crypto.SHA512, sum[:], c.signature, &rsa.PSSOptions{SaltLength: 64}) == nil
		case *ecdsa.PublicKey:
			sum := sha256.Sum256([]byte(text))
			half := len(c.signature) / 2
			right = ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(c.signature[:half]), new(big.Int).SetBytes(c.signature[half:]))
		}
		if !right {
			t.Errorf("%s: the base is not what %s has signed", name, c.keyID)
		}
	}
}

// Promise: what we sign with the keys of the RFC is, to the byte, what the RFC prints.
func TestSigningLikeTheRFC(t *testing.T) {
	t.Parallel()
	m := rfcMaterial(t)
	vectors := readVectors(t)
	seed, err := hex.DecodeString(rfcSeed)
	if err != nil {
		t.Fatal(err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	if !private.Public().(ed25519.PublicKey).Equal(m.PublicKeys[0]) {
		t.Fatal("the keys are no pair")
	}
	hmacSigned, _ := signed(t, vectors["b.2.5"].request.Header)
	if got := hmacSHA256(m.Secret.key(), vectors["b.2.5"].base); !bytes.Equal(got, hmacSigned.signature) {
		t.Errorf("b.2.5: %x", got)
	}
	edSigned, _ := signed(t, vectors["b.2.6"].request.Header)
	if got := ed25519.Sign(private, []byte(vectors["b.2.6"].base)); !bytes.Equal(got, edSigned.signature) {
		t.Errorf("b.2.6: %x", got)
	}
}

func kindOf(err error) Kind {
	if fault, ok := err.(*Fault); ok {
		return fault.Kind
	}
	return 0
}
