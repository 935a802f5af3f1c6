package signature_test

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/signature"
)

const iexAddress = "http://127.0.0.1:8080/v1/stock/aapl/company?token=" + apiKey

// iexRequest is a good request, received.
func iexRequest(t testing.TB, url, body string) (*http.Request, []byte) {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	r := newRequest(t, method, url, body)
	r.Header.Del("X-API-Key")
	if err := signers(t)["hmac"].SignIEX(r, apiKey, []byte(body), now()); err != nil {
		t.Fatal(err)
	}
	return sent(t, r)
}

// Promise: a request signed as IEX's samples do is accepted, with a body or without, and its nonce is its signature.
func TestIEXRequestsAreAccepted(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", payload} {
		r, received := iexRequest(t, iexAddress, body)
		v, err := check(r, received, material(t), now())
		if err != nil {
			t.Fatal(err)
		}
		if v.Scheme != signature.IEX || v.KeyID != keyID || len(v.Nonce) != 64 || !v.Digest || !v.Created.Equal(now()) || !v.Until.Equal(now().Add(signature.Window)) {
			t.Errorf("%+v", v)
		}
		if !strings.Contains(r.Header.Get("Authorization"), "Signature="+v.Nonce) {
			t.Errorf("the nonce is %s", v.Nonce)
		}
	}
}

// Promise: whatever of an IEX request is changed, it is refused, before the body is read where that can be known.
func TestTamperedIEXRequestsAreRefused(t *testing.T) {
	t.Parallel()
	header := func(name, from, to string) func(*http.Request) {
		return func(r *http.Request) {
			value := r.Header.Get(name)
			if !strings.Contains(value, from) {
				panic("the header " + name + " has no " + from)
			}
			r.Header.Set(name, strings.Replace(value, from, to, 1))
		}
	}
	target := func(to string) func(*http.Request) {
		return func(r *http.Request) {
			url, err := r.URL.Parse(to)
			if err != nil {
				panic(err)
			}
			r.URL, r.RequestURI = url, to
		}
	}
	const query = "?token=" + apiKey
	early, late := map[string]signature.Kind{}, map[string]func(*http.Request){}
	changes := map[string]func(*http.Request){}
	expect := func(name string, kind signature.Kind, change func(*http.Request)) {
		early[name], changes[name] = kind, change
	}
	late["the method"] = func(r *http.Request) { r.Method = "PUT" }
	late["the path"] = target("/v1/stock/aapl/quote" + query)
	late["a slash"] = target("/v1/stock/aapl/company/" + query)
	late["more query"] = target("/v1/stock/aapl/company" + query + "&x=1")
	late["no query"] = target("/v1/stock/aapl/company")
	late["the host"] = func(r *http.Request) { r.Host = "127.0.0.2:8080" }
	late["the port"] = func(r *http.Request) { r.Host = "127.0.0.1:8081" }
	late["no port"] = func(r *http.Request) { r.Host = "127.0.0.1" }
	late["the signature"] = func(r *http.Request) {
		value := r.Header.Get("Authorization")
		last := byte('0')
		if strings.HasSuffix(value, "0") {
			last = '1'
		}
		r.Header.Set("Authorization", value[:len(value)-1]+string(last))
	}
	late["the time"] = header("X-Iex-Date", "T120000Z", "T120001Z")
	expect("the day", signature.Malformed, header("X-Iex-Date", "20260601", "20260602"))
	expect("both days", signature.TooEarly, func(r *http.Request) {
		header("X-Iex-Date", "20260601", "20260602")(r)
		header("Authorization", "20260601", "20260602")(r)
	})
	expect("no date", signature.Missing, func(r *http.Request) { r.Header.Del("X-Iex-Date") })
	expect("two dates", signature.Missing, func(r *http.Request) { r.Header.Add("X-Iex-Date", "20260601T120000Z") })
	for _, date := range []string{"", "x", "2026-06-01T12:00:00Z", "20260601T120000", "20260601T120000+", "20260601T120060Z", "20260631T120000Z", "20260601t120000z", "20260601T1200000"} {
		expect("the date "+date, signature.Malformed, func(r *http.Request) { r.Header.Set("X-Iex-Date", date) })
	}
	expect("another key", signature.OtherKey, header("Authorization", "hfant", "hfanu"))
	expect("a longer key", signature.OtherKey, header("Authorization", "hfant", "hfanta"))
	expect("no key", signature.Malformed, header("Authorization", apiKey, ""))
	expect("no scope", signature.Malformed, header("Authorization", "/20260601/iex_request", ""))
	expect("another scope", signature.Malformed, header("Authorization", "iex_request", "aws4_request"))
	expect("a longer scope", signature.Malformed, header("Authorization", "iex_request", "iex_request/x"))
	expect("other headers", signature.Malformed, header("Authorization", "host;x-iex-date", "host"))
	expect("more headers", signature.Malformed, header("Authorization", "host;x-iex-date", "host;x-iex-date;accept"))
	expect("a short signature", signature.Malformed, func(r *http.Request) {
		r.Header.Set("Authorization", r.Header.Get("Authorization")[:len(r.Header.Get("Authorization"))-1])
	})
	expect("a long signature", signature.Malformed, func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+"00") })
	expect("no hexadecimal", signature.Malformed, func(r *http.Request) {
		r.Header.Set("Authorization", r.Header.Get("Authorization")[:len(r.Header.Get("Authorization"))-2]+"0g")
	})
	expect("no signature", signature.Malformed, header("Authorization", ", Signature=", ", Signed="))
	expect("two signatures", signature.Malformed, func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+", Signature=00") })
	expect("an unknown field", signature.Malformed, func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+", X=1") })
	expect("a comma more", signature.Malformed, func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+",") })
	expect("nothing", signature.Malformed, func(r *http.Request) { r.Header.Set("Authorization", "IEX-HMAC-SHA256") })
	expect("two of them", signature.Ambiguous, func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") })
	expect("a large one", signature.TooLarge, func(r *http.Request) { r.Header.Set("Authorization", "IEX-HMAC-SHA256 "+strings.Repeat("x", 1024)) })
	expect("a line break", signature.Malformed, func(r *http.Request) { r.Host = "x\ny" })
	for name, change := range late {
		expect(name, 0, change)
	}
	for name, change := range changes {
		r, body := iexRequest(t, iexAddress, "")
		change(r)
		v, err := signature.Verify(signature.Of(r), material(t), now())
		if kind(err) != early[name] {
			t.Errorf("%s: %v (%s), want %s", name, err, kind(err), early[name])
		}
		if err != nil {
			continue
		}
		if err := v.CheckBody(body); kind(err) != signature.Wrong || strings.Contains(err.Error(), apiKey) {
			t.Errorf("%s, with the body: %v", name, err)
		}
	}
}

// Promise: an IEX signature covers the body.
func TestTamperedIEXBodiesAreRefused(t *testing.T) {
	t.Parallel()
	r, body := iexRequest(t, iexAddress, payload)
	v, err := signature.Verify(signature.Of(r), material(t), now())
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		other := append([]byte{}, body...)
		other[i] ^= 1
		if err := v.CheckBody(other); kind(err) != signature.Wrong {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if err := v.CheckBody(nil); kind(err) != signature.Wrong {
		t.Errorf("no body: %v", err)
	}
	if err := v.CheckBody(body); err != nil {
		t.Errorf("the body: %v", err)
	}
}

// Promise: the host of an IEX signature may stand with or without a default port, and no other difference is passed over.
func TestIEXHosts(t *testing.T) {
	t.Parallel()
	same := []string{"weir.example.com", "weir.example.com:443", "weir.example.com:80"}
	for _, signed := range same {
		r, body := iexRequest(t, "http://"+signed+"/v1/x?token="+apiKey, "")
		for _, received := range append(same, "WEIR.example.com", "Weir.Example.Com:443") {
			r.Host = received
			if _, err := check(r, body, material(t), now()); err != nil {
				t.Errorf("signed %s, received %s: %v", signed, received, err)
			}
		}
		for _, other := range []string{"", "weir.example.com:8080", "weir.example.org", "xweir.example.com", "weir.example.com.evil.org"} {
			r.Host = other
			if _, err := check(r, body, material(t), now()); kind(err) != signature.Wrong {
				t.Errorf("signed %s, received %s: %v", signed, other, err)
			}
		}
	}
}

// Promise: an IEX signature counts for 300 seconds either way, to the second.
func TestIEXWindow(t *testing.T) {
	t.Parallel()
	r, body := iexRequest(t, iexAddress, "")
	for at, want := range map[time.Duration]signature.Kind{
		0: 0, 300 * time.Second: 0, 300*time.Second + 1: signature.Expired, 301 * time.Second: signature.Expired, 24 * time.Hour: signature.Expired,
		-300 * time.Second: 0, -300*time.Second - 1: signature.TooEarly, -301 * time.Second: signature.TooEarly,
	} {
		if _, err := check(r, body, material(t), now().Add(at)); kind(err) != want {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// Promise: without a secret there is nothing to check an IEX signature with, and without the key's text nobody it could be of.
func TestIEXNeedsMaterial(t *testing.T) {
	t.Parallel()
	r, body := iexRequest(t, iexAddress, "")
	m := material(t)
	m.Secret = signature.Secret{}
	if _, err := check(r, body, m, now()); kind(err) != signature.NoMaterial {
		t.Errorf("no secret: %v", err)
	}
	m = material(t)
	m.Token = [sha256.Size]byte{}
	if _, err := check(r, body, m, now()); kind(err) != signature.OtherKey {
		t.Errorf("no token: %v", err)
	}
	m = material(t)
	m.Secret = newSecret(t, 8)
	if _, err := check(r, body, m, now()); kind(err) != signature.Wrong {
		t.Errorf("another secret: %v", err)
	}
}
