package signature_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/signature"
)

// drawn is a random request and how it is signed.
type drawn struct {
	request *http.Request
	body    string
	signer  signature.Signer
	scheme  signature.Scheme
	nonce   string
	at      time.Time
}

func drawRequest(t *rapid.T) drawn {
	host := rapid.SampledFrom([]string{"weir.example.com", "WEIR.example.com", "localhost:8787", "[::1]:443", "10.0.0.1"}).Draw(t, "host")
	path := rapid.StringMatching(`(/[A-Za-z0-9._~!$&'()*+,;=:@-]{0,8}|/%[0-9A-F]{2}|//){0,4}`).Draw(t, "path")
	query := rapid.StringMatching(`(\?([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2}){0,20})?`).Draw(t, "query")
	d := drawn{
		body:   rapid.SampledFrom([]string{"", "x", payload, strings.Repeat("long ", 100)}).Draw(t, "body"),
		scheme: rapid.SampledFrom([]signature.Scheme{signature.Message, signature.IEX}).Draw(t, "scheme"),
		nonce:  rapid.StringMatching(`[ -~]{22,40}`).Draw(t, "nonce"),
		at:     time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "at"), rapid.Int64Range(0, 999999999).Draw(t, "nanoseconds")),
		signer: signature.Signer{KeyID: keyID, Lifetime: time.Duration(rapid.IntRange(0, 600).Draw(t, "lifetime")) * time.Second},
	}
	r, err := http.NewRequest(rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE", "PATCH", "QUERY"}).Draw(t, "method"), "http://"+host+"/", strings.NewReader(d.body))
	if err != nil {
		t.Fatal(err)
	}
	if r.URL, err = r.URL.Parse("http://" + host + path + query); err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{"Content-Type", "X-Api-Key", "X-Other"} {
		if value := rapid.StringMatching(`([!-~]([ -~]{0,10}[!-~])?)?`).Draw(t, header); value != "" {
			r.Header.Set(header, value)
		}
	}
	if d.scheme == signature.Message && rapid.Bool().Draw(t, "bearer") {
		r.Header.Set("Authorization", "Bearer "+apiKey)
	}
	d.request = r
	return d
}

func (d *drawn) sign(t *rapid.T, tb testing.TB) {
	var err error
	switch {
	case d.scheme == signature.IEX:
		d.signer.Secret = newSecret(tb, 7)
		err = d.signer.SignIEX(d.request, apiKey, []byte(d.body), d.at)
	case rapid.Bool().Draw(t, "hmac"):
		d.signer.Secret = newSecret(tb, 7)
		err = d.signer.Sign(d.request, []byte(d.body), d.at, d.nonce)
	default:
		d.signer.PrivateKey = privateKey(7)
		err = d.signer.Sign(d.request, []byte(d.body), d.at, d.nonce)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Promise: whatever is signed as a client signs it, and sent, is accepted.
func TestWhatIsSignedIsAccepted(t *testing.T) {
	t.Parallel()
	m := material(t)
	rapid.Check(t, func(rt *rapid.T) {
		d := drawRequest(rt)
		d.sign(rt, t)
		r, body := sent(t, d.request)
		v, err := check(r, body, m, d.at)
		if err != nil || v.Scheme != d.scheme || !v.Created.Equal(d.at.Truncate(time.Second)) {
			rt.Fatalf("%v: %v", v.Scheme, err)
		}
	})
}

// Promise: no change of a single byte of what is signed is accepted.
func TestNoChangedByteIsAccepted(t *testing.T) {
	t.Parallel()
	m := material(t)
	rapid.Check(t, func(rt *rapid.T) {
		d := drawRequest(rt)
		d.sign(rt, t)
		r, body := sent(t, d.request)
		if _, err := check(r, body, m, d.at); err != nil {
			rt.Fatal(err)
		}
		got := signature.Of(r)
		got.Header = got.Header.Clone()
		parts := map[string]*string{"method": &got.Method, "path": &got.Path, "query": &got.Query, "host": &got.Authority}
		headers := []string{"Authorization", "X-Iex-Date"}
		if d.scheme == signature.Message {
			headers = []string{"Content-Type", "X-Api-Key", "Authorization", "Content-Digest", "Signature-Input", "Signature"}
		}
		for _, name := range headers {
			if lines := got.Header[name]; len(lines) > 0 {
				parts[name] = &lines[0]
			}
		}
		text := string(body)
		parts["body"] = &text
		names := []string{}
		for _, name := range []string{"method", "path", "query", "host", "body", "Content-Type", "X-Api-Key", "Authorization", "Content-Digest", "Signature-Input", "Signature", "X-Iex-Date"} {
			if part := parts[name]; part != nil && *part != "" {
				names = append(names, name)
			}
		}
		name := rapid.SampledFrom(names).Draw(rt, "part")
		part := parts[name]
		before := *part
		at := rapid.IntRange(0, len(before)-1).Draw(rt, "byte")
		changed := []byte(before)
		changed[at] = rapid.ByteRange('!', '~').Draw(rt, "new")
		*part = string(changed)
		if same(name, before, *part) {
			return
		}
		v, err := signature.Verify(got, m, d.at)
		if err == nil {
			err = v.CheckBody([]byte(text))
		}
		if err == nil {
			rt.Fatalf("the %s %q is accepted for %q", name, *part, before)
		}
	})
}

// same reports whether two texts of a part mean the same by the RFCs: the host's case, the case of hexadecimal digits
// and of the word IEX-HMAC-SHA256, and the bits that the last character of a byte sequence has too many.
func same(name, a, b string) bool {
	switch name {
	case "host":
		return strings.EqualFold(a, b) || strings.TrimSuffix(strings.TrimSuffix(a, ":443"), ":80") == b
	case "Authorization":
		return strings.EqualFold(a, b) && (strings.HasPrefix(a, "IEX") && a[15:len(a)-64] == b[15:len(b)-64])
	case "Signature":
		x, _ := base64.StdEncoding.DecodeString(strings.Trim(a[len("sig="):], ":"))
		y, err := base64.StdEncoding.DecodeString(strings.Trim(b[min(len(b), len("sig=")):], ":"))
		return err == nil && a[:5] == b[:5] && b[len(b)-1] == ':' && string(x) == string(y)
	}
	return a == b
}

// Promise: only the key that signed is accepted.
func TestOtherMaterialIsNotAccepted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := drawRequest(rt)
		d.sign(rt, t)
		r, body := sent(t, d.request)
		of := rapid.Byte().Filter(func(b byte) bool { return b != 7 }).Draw(rt, "other")
		m := material(t)
		m.Secret = newSecret(t, of)
		m.PublicKeys = []ed25519.PublicKey{privateKey(of).Public().(ed25519.PublicKey)}
		if _, err := check(r, body, m, d.at); kind(err) != signature.Wrong {
			rt.Fatalf("%v", err)
		}
	})
}
