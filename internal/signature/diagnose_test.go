package signature_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/signature"
)

// mistaken is a good request whose signature was made of a text with a mistake in it.
func mistaken(t *testing.T, change func(text string) string) (*http.Request, string) {
	t.Helper()
	r, _ := signedRequest(t, signers(t)["hmac"])
	_, params, _ := strings.Cut(r.Header.Get("Signature-Input"), "=")
	text := strings.Join([]string{
		`"@method": POST`, `"@authority": weir.example.com`, `"@path": /track`, `"@query": ?sync=true&a=%20b`,
		`"content-digest": ` + r.Header.Get("Content-Digest"), `"content-type": application/json; charset=utf-8`, `"x-api-key": ` + apiKey,
		`"@signature-params": ` + params,
	}, "\n")
	return r, change(text)
}

// Promise: of the mistakes that signers are known to make, an admin is shown which one it was, with both lines; the
// caller is shown none of it.
func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	replace := func(from, to string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, from) {
				panic("the text has no " + from)
			}
			return strings.Replace(text, from, to, 1)
		}
	}
	for name, c := range map[string]struct {
		change func(string) string
		want   []string // what the diagnosis must say; none: nothing can be said
	}{
		"none":                     {func(text string) string { return text }, nil},
		"the query without a mark": {replace(": ?sync", ": sync"), []string{`we have:    "@query": ?sync=true&a=%20b`, `was signed: "@query": sync=true&a=%20b`}},
		"the host with a port":     {replace("weir.example.com", "weir.example.com:443"), []string{`was signed: "@authority": weir.example.com:443`}},
		"a slash at the end":       {replace("/track", "/track/"), []string{`was signed: "@path": /track/`}},
		"a type without charset":   {replace("; charset=utf-8", ""), []string{`was signed: "content-type": application/json`}},
		"the method in lower case": {replace("POST", "post"), []string{`was signed: "@method": post`}},
		"a newline at the end":     {func(text string) string { return text + "\n" }, []string{"newline"}},
		"parameters in order":      {func(text string) string { return text }, nil},
		"the time as text":         {replace("created=1780315200", `created="1780315200"`), []string{`was signed: "@signature-params": `, `created="1780315200"`}},
		"something else":           {replace("/track", "/trick"), nil},
	} {
		r, text := mistaken(t, c.change)
		key := []byte(newSecret(t, 7).Reveal())
		r.Header.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(hmacOf(key, text))+":")
		_, err := check(r, []byte(payload), material(t), now())
		if name == "none" || name == "parameters in order" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		fault := faultOf(t, err)
		if fault.Kind != signature.Wrong || (len(c.want) == 0) != (fault.Differs == "") {
			t.Errorf("%s: %s, %q", name, fault.Kind, fault.Differs)
		}
		for _, says := range c.want {
			if !strings.Contains(fault.Differs, says) {
				t.Errorf("%s: %q does not say %q", name, fault.Differs, says)
			}
		}
		checkSecrecy(t, name, fault)
	}
}

// checkSecrecy looks for what a caller may not see in the detail, and for credentials in any part.
func checkSecrecy(t *testing.T, name string, fault *signature.Fault) {
	t.Helper()
	for _, secret := range []string{"/track", "sync=true", "weir.example.com", "@"} {
		if strings.Contains(fault.Detail, secret) {
			t.Errorf("%s: the detail says %s: %s", name, secret, fault.Detail)
		}
	}
	if all := fault.Detail + fault.Differs + fault.Base; strings.Contains(all, apiKey) || !strings.Contains(fault.Base, "[secret]") {
		t.Errorf("%s: the key is in %s", name, all)
	}
}

// Promise: the base shown to an admin is the whole text that should have been signed, but for its credentials.
func TestBaseForAdmins(t *testing.T) {
	t.Parallel()
	r, text := mistaken(t, func(text string) string { return text })
	r.Header.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(make([]byte, 32))+":")
	_, err := check(r, []byte(payload), material(t), now())
	if got, want := faultOf(t, err).Base, strings.ReplaceAll(text, apiKey, "[secret]"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// Promise: mistakes in other requests are named too: an empty query, a port, a path in percent encoding, the order of
// parameters, and a secret that was decoded first.
func TestMoreMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		address, from, to, want string
	}{
		"no query at all":       {"http://weir.example.com/a", `"@query": ?`, `"@query": `, `was signed: "@query": `},
		"no port":               {"http://weir.example.com:8787/a", "weir.example.com:8787", "weir.example.com", `was signed: "@authority": weir.example.com`},
		"the host as sent":      {"http://Weir.Example.com/a", "weir.example.com", "Weir.Example.com", `was signed: "@authority": Weir.Example.com`},
		"no slash at the end":   {"http://weir.example.com/a/", `"@path": /a/`, `"@path": /a`, `was signed: "@path": /a`},
		"the path decoded":      {"http://weir.example.com/a%20b", "/a%20b", "/a b", `was signed: "@path": /a b`},
		"the parameters' order": {"http://weir.example.com/a", `nonce="` + nonce + `";keyid="` + keyID + `";tag`, `nonce="` + nonce + `";alg="hmac-sha256";keyid="` + keyID + `";tag`, `was signed: "@signature-params": `},
	} {
		r := newRequest(t, http.MethodGet, c.address, "")
		host := strings.TrimPrefix(c.address, "http://")
		r.Host, _, _ = strings.Cut(host, "/")
		if err := signers(t)["hmac"].Sign(r, nil, now(), nonce); err != nil {
			t.Fatal(err)
		}
		_, params, _ := strings.Cut(r.Header.Get("Signature-Input"), "=")
		if strings.Contains(c.to, "alg=") {
			r.Header.Set("Signature-Input", r.Header.Get("Signature-Input")+`;alg="hmac-sha256"`)
		}
		text := strings.Join([]string{`"@method": GET`, `"@authority": ` + strings.ToLower(r.Host), `"@path": ` + r.URL.EscapedPath(), `"@query": ?`, `"x-api-key": ` + apiKey, `"@signature-params": ` + params}, "\n")
		if !strings.Contains(text, c.from) {
			t.Fatalf("%s: the text has no %s", name, c.from)
		}
		key := []byte(newSecret(t, 7).Reveal())
		r.Header.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(hmacOf(key, strings.Replace(text, c.from, c.to, 1)))+":")
		got, body := sent(t, r)
		got.Host = r.Host
		_, err := check(got, body, material(t), now())
		if differs := faultOf(t, err).Differs; !strings.HasSuffix(differs, c.want) && !strings.Contains(differs, c.want+"(") {
			t.Errorf("%s: %q, want %q", name, differs, c.want)
		}
	}
	r, text := mistaken(t, func(text string) string { return text })
	raw, err := base64.RawURLEncoding.DecodeString(newSecret(t, 7).Reveal()[3:])
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(hmacOf(raw, text))+":")
	_, err = check(r, []byte(payload), material(t), now())
	if differs := faultOf(t, err).Differs; !strings.Contains(differs, "secret's text") {
		t.Errorf("the secret was decoded: %q", differs)
	}
}

// Promise: a mistake is found with Ed25519 too.
func TestMistakesWithEd25519(t *testing.T) {
	t.Parallel()
	r, _ := signedRequest(t, signers(t)["ed25519"])
	_, text := mistaken(t, func(text string) string { return strings.Replace(text, ": ?", ": ", 1) })
	r.Header.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(ed25519.Sign(privateKey(7), []byte(text)))+":")
	_, err := check(r, []byte(payload), material(t), now())
	if differs := faultOf(t, err).Differs; !strings.Contains(differs, `was signed: "@query": sync`) {
		t.Errorf("%q", differs)
	}
}

// Promise: the known mistakes of IEX signers are named.
func TestMistakesOfIEX(t *testing.T) {
	t.Parallel()
	secret := newSecret(t, 7).Reveal()
	raw, err := base64.RawURLEncoding.DecodeString(secret[3:])
	if err != nil {
		t.Fatal(err)
	}
	const host, path, query = "127.0.0.1:8080", "/v1/stock/aapl/company", "token=" + apiKey
	for name, c := range map[string]struct {
		host, path, query, body string
		key                     []byte
		want                    string
	}{
		"no port":              {"127.0.0.1", path, query, payload, []byte(secret), "was signed: host:127.0.0.1"},
		"the whole address":    {host, "https://" + host + path, query, payload, []byte(secret), "was signed: https://127.0.0.1:8080/v1/stock/aapl/company"},
		"a mark":               {host, path, "?" + query, payload, []byte(secret), "was signed: ?token=[secret]"},
		"no query":             {host, path, "", payload, []byte(secret), "was signed: "},
		"a slash":              {host, path + "/", query, payload, []byte(secret), "was signed: " + path + "/"},
		"no body":              {host, path, query, "", []byte(secret), "was signed: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"the decoded secret":   {host, path, query, payload, raw, "secret's text"},
		"something else":       {host, "/v2", query, payload, []byte(secret), ""},
		"bytes instead of hex": {host, path, query, payload, nil, "hexadecimal text"},
	} {
		r, body := iexRequest(t, iexAddress, payload)
		signed := iexOf(c.key, r.Method, c.path, c.query, c.host, c.body)
		if c.key == nil {
			signed = iexOfBytes([]byte(secret), r.Method, c.path, c.query, c.host, c.body)
		}
		value := r.Header.Get("Authorization")
		r.Header.Set("Authorization", value[:len(value)-64]+signed)
		_, err := check(r, body, material(t), now())
		fault := faultOf(t, err)
		if fault.Kind != signature.Wrong || c.want == "" && fault.Differs != "" || !strings.Contains(fault.Differs, c.want) {
			t.Errorf("%s: %v, %q", name, err, fault.Differs)
		}
		checkSecrecy(t, name, fault)
	}
}

// Promise: an admin who has the client's own base is shown the first line that differs, and no credential.
func TestFirstDifference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ours, theirs string
		line         int
		our, their   string
	}{
		{"", "", 0, "", ""},
		{"a\nb\nc", "a\nb\nc", 0, "", ""},
		{"a\nb\nc", "a\nx\nc", 2, "b", "x"},
		{"a\nb", "a\nb\nc", 3, "", "c"},
		{"a\nb\nc", "a\nb", 3, "c", ""},
		{"a", "a\n", 2, "", ""},
		{"a\nb", "a\r\nb", 1, "a", "a\r"},
		{`"x-api-key": [secret]` + "\n" + `"@path": /a`, `"x-api-key": sk_live_secret` + "\n" + `"@path": /b`, 2, `"@path": /a`, `"@path": /b`},
		{`"@query": ?token=[secret]&a=1`, `"@query": token=sk_live_secret&a=1`, 1, `"@query": ?token=[secret]&a=1`, `"@query": token=[secret]&a=1`},
		{"host:a\ntoken=[secret]", "host:a\ntoken=sk_live_secret", 0, "", ""},
	} {
		line, our, their := signature.FirstDifference(c.ours, c.theirs)
		if line != c.line || our != c.our || their != c.their {
			t.Errorf("%q, %q: %d, %q, %q", c.ours, c.theirs, line, our, their)
		}
	}
}
