package signature_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/signature"
)

// Promise: a new secret is 32 random bytes behind its prefix, reads back as itself, and is made of nothing less.
func TestSecretsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "raw")
		s, err := signature.NewSecret(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if want := "ss_" + base64.RawURLEncoding.EncodeToString(raw); s.Reveal() != want || s.Empty() {
			t.Fatalf("%q, want %q", s.Reveal(), want)
		}
		if back, err := signature.ParseSecret(s.Reveal()); err != nil || back.Reveal() != s.Reveal() {
			t.Fatalf("it reads back as %q, %v", back.Reveal(), err)
		}
	})
	if _, err := signature.NewSecret(bytes.NewReader(make([]byte, 31))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("31 bytes: %v", err)
	}
	if s := (signature.Secret{}); s.Reveal() != "" || !s.Empty() {
		t.Error("the zero secret is not empty")
	}
}

// Promise: what is not a secret is refused, and the fault repeats nothing of it; a secret has one text.
func TestWhatIsNotASecret(t *testing.T) {
	t.Parallel()
	good := newSecret(t, 7).Reveal()
	for _, text := range []string{
		"", "ss_", good[3:], good[:45], good + "A", "SS_" + good[3:], " " + good, good + "\n", "ss_" + strings.Repeat("=", 43), "ss_" + strings.Repeat("+", 43),
		good[:45] + "d", "ss_" + strings.Repeat("A", 42) + "\n", "ss_" + strings.Repeat("A", 41) + "\r\n", strings.Repeat("ss_", 1<<16),
	} {
		_, err := signature.ParseSecret(text)
		if err == nil {
			t.Errorf("%.60q is taken", text)
		} else if len(text) > 8 && strings.Contains(err.Error(), text[3:8]) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// Promise: a secret is not printed, logged or marshalled, wherever in a value it lies.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	s := newSecret(t, 7)
	text := s.Reveal()
	values := []any{s, &s, []signature.Secret{s}, map[string]signature.Secret{"a": s}, struct{ s signature.Secret }{s}, signature.Signer{Secret: s}, signature.Material{Secret: s}, &signature.Material{Secret: s}}
	r, _ := iexRequest(t, iexAddress, "")
	v, err := signature.Verify(signature.Of(r), material(t), now())
	if err != nil {
		t.Fatal(err)
	}
	values = append(values, v, &v)
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%p"} {
			if out := fmt.Sprintf(verb, value); strings.Contains(out, text) || strings.Contains(out, text[3:20]) || strings.Contains(out, hex.EncodeToString([]byte(text))) {
				t.Errorf("%s of %T prints it", verb, value)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value)
		out, _ := json.Marshal(value)
		if strings.Contains(log.String()+string(out), text[3:20]) {
			t.Errorf("%T is logged or marshalled", value)
		}
	}
	if _, err := json.Marshal(s); err == nil {
		t.Error("it can be marshalled")
	}
}

func pemOf(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Promise: a public key is read in every form in which people have it, and all forms are the same key.
func TestPublicKeysAreRead(t *testing.T) {
	t.Parallel()
	for of := range byte(50) {
		public := privateKey(of).Public().(ed25519.PublicKey)
		for _, text := range []string{
			base64.StdEncoding.EncodeToString(public), base64.RawStdEncoding.EncodeToString(public), base64.URLEncoding.EncodeToString(public),
			base64.RawURLEncoding.EncodeToString(public), "  " + base64.StdEncoding.EncodeToString(public) + "\n", pemOf(t, public), "\n" + pemOf(t, public) + "\n\n",
			signature.FormatPublicKey(public),
		} {
			if got, err := signature.ParsePublicKey(text); err != nil || !got.Equal(public) {
				t.Fatalf("%q: %x, %v", text, got, err)
			}
		}
	}
}

// Promise: what is not an Ed25519 public key is refused, with a reason that helps, and a private key is not repeated.
func TestWhatIsNotAPublicKey(t *testing.T) {
	t.Parallel()
	private := privateKey(7)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := pemOf(t, private.Public())
	for _, c := range []struct{ text, says string }{
		{"", "32 bytes"},
		{"abc!", "base64"},
		{"YWJj", "has 3"},
		{base64.StdEncoding.EncodeToString(make([]byte, 33)), "has 33"},
		{base64.StdEncoding.EncodeToString(private), "private key"},
		{base64.StdEncoding.EncodeToString(append([]byte{2}, make([]byte, 31)...)), "not an Ed25519"}, // no point has a y of 2
		{string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "private key"},
		{pemOf(t, other.Public()), "only Ed25519"},
		{strings.ReplaceAll(public, "PUBLIC KEY", "CERTIFICATE"), "not a PUBLIC KEY"},
		{public[:60], "cannot be read"},
		{strings.Replace(public, "MCow", "MCox", 1), "cannot be read"},
		{public + public, "more than one"},
		{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk", "base64"},
		{strings.Repeat("A", 1025), "at most"},
		{base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{2}, 32))[:10] + "\n" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{2}, 32))[10:], "base64"},
	} {
		_, err := signature.ParsePublicKey(c.text)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "BwcHBwcH") {
			t.Errorf("%.80q: %v, want %q", c.text, err, c.says)
		}
	}
}

// Promise: the points of small order, for which anybody can sign, are refused in every encoding. That they are such, the
// forged signature shows.
func TestWeakPublicKeys(t *testing.T) {
	t.Parallel()
	for _, y := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		key, err := hex.DecodeString(y)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := signature.ParsePublicKey(base64.StdEncoding.EncodeToString(key)); err == nil || !strings.Contains(err.Error(), "anybody") {
				t.Errorf("%x: %v", key, err)
			}
			forged := false
			for i := range 64 { // a signature of nothing: R of small order, and S zero
				identity := append([]byte{1}, make([]byte, 63)...)
				forged = forged || ed25519.Verify(key, fmt.Appendf(nil, "message %d", i), identity)
			}
			if !forged && key[31]&0x80 == 0 && y[:2] != "ed" && y[:2] != "ee" {
				t.Errorf("%x cannot be forged for", key)
			}
			key[31] ^= 0x80
		}
	}
}
