package signature_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/signature"
)

const (
	keyID   = "key_3fQ9xT0aLmZk"
	apiKey  = "pk_test_3fQ9xT0aLmZkThisIsAnExampleNotASecret000hfant"
	nonce   = "Zm91cnRlZW4gYnl0ZXMhIQ"
	address = "http://weir.example.com/track?sync=true&a=%20b"
	payload = `{"event":"signed up"}`
)

// now is a whole second, so that the edges of windows are exact.
func now() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

type reader byte

func (r reader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

func newSecret(t testing.TB, of byte) signature.Secret {
	t.Helper()
	s, err := signature.NewSecret(reader(of))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func privateKey(of byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{of}, ed25519.SeedSize))
}

// signers are the two kinds of signer of RFC 9421, and material checks both.
func signers(t testing.TB) map[string]signature.Signer {
	t.Helper()
	return map[string]signature.Signer{
		"hmac":    {KeyID: keyID, Secret: newSecret(t, 7)},
		"ed25519": {KeyID: keyID, PrivateKey: privateKey(7)},
	}
}

func material(t testing.TB) signature.Material {
	t.Helper()
	return signature.Material{
		KeyID: keyID, Token: sha256.Sum256([]byte(apiKey)), Secret: newSecret(t, 7),
		PublicKeys: []ed25519.PublicKey{privateKey(9).Public().(ed25519.PublicKey), privateKey(7).Public().(ed25519.PublicKey)},
	}
}

func newRequest(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", apiKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	return r
}

// sent gives a client's request as the server gets it from the wire, with its body.
func sent(t testing.TB, r *http.Request) (*http.Request, []byte) {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got, body
}

// signedRequest is a good request, received.
func signedRequest(t testing.TB, s signature.Signer) (*http.Request, []byte) {
	t.Helper()
	r := newRequest(t, http.MethodPost, address, payload)
	if err := s.Sign(r, []byte(payload), now(), nonce); err != nil {
		t.Fatal(err)
	}
	return sent(t, r)
}

// check does both steps of a check.
func check(r *http.Request, body []byte, m signature.Material, at time.Time) (signature.Verified, error) {
	v, err := signature.Verify(signature.Of(r), m, at)
	if err != nil {
		return v, err
	}
	return v, v.CheckBody(body)
}

func kind(err error) signature.Kind {
	if fault, ok := errors.AsType[*signature.Fault](err); ok {
		return fault.Kind
	}
	return 0
}

func faultOf(t testing.TB, err error) *signature.Fault {
	t.Helper()
	var fault *signature.Fault
	if !errors.As(err, &fault) {
		t.Fatalf("%v is no fault", err)
	}
	return fault
}

func hmacOf(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// iexText is the text that an IEX signature at noon of the first of June is made of.
func iexText(method, path, query, host, body string) string {
	payload := sha256.Sum256([]byte(body))
	canonical := sha256.Sum256([]byte(method + "\n" + path + "\n" + query + "\nhost:" + host + "\nx-iex-date:20260601T120000Z\n\nhost;x-iex-date\n" + hex.EncodeToString(payload[:])))
	return "IEX-HMAC-SHA256\n20260601T120000Z\n20260601/iex_request\n" + hex.EncodeToString(canonical[:])
}

func iexOf(secret []byte, method, path, query, host, body string) string {
	day := hex.EncodeToString(hmacOf(secret, "20260601"))
	key := hex.EncodeToString(hmacOf([]byte(day), "iex_request"))
	return hex.EncodeToString(hmacOf([]byte(key), iexText(method, path, query, host, body)))
}

// iexOfBytes takes the bytes of each step for the next one's key, as it is wrong.
func iexOfBytes(secret []byte, method, path, query, host, body string) string {
	key := hmacOf(hmacOf(secret, "20260601"), "iex_request")
	return hex.EncodeToString(hmacOf(key, iexText(method, path, query, host, body)))
}
