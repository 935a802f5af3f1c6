package api

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// shownSecret is a client's secret, and its id.
func shownSecret() (secret, id string) {
	secret = access.WriteKey(access.Client, access.Live, "3fQ9xT0aLmZk", "ThisIsAnExampleNotASecret00")
	return secret, "key_3fQ9xT0aLmZk"
}

func asClient(t testing.TB, r *http.Request) (gate.Credential, *request, error) {
	t.Helper()
	rq := &request{a: &API{}, r: r, id: "req_1"}
	rq.reply = reply{ResponseWriter: httptest.NewRecorder(), rq: rq}
	c, err := clientCredential(oauthClient)(rq)
	return c, rq, err
}

// Promise: a client's secret is found where RFC 6749 section 2.3.1 lets it stand, in one of those places only, and the body is
// there to be read afterwards.
func TestClientCredential(t *testing.T) {
	t.Parallel()
	secret, id := shownSecret()
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}.Encode()
	const urlencoded, object = "application/x-www-form-urlencoded", "application/json; charset=utf-8"
	for name, c := range map[string]struct {
		authorization, kind, body, query string
		key                              string
		via                              access.Via
		code                             problem.Code
	}{
		"basic":             {authorization: basic(id, secret), key: secret, via: access.InHeader},
		"basic, lower case": {authorization: "basic  " + basic(id, secret)[6:], key: secret, via: access.InHeader},
		"basic, and its id": {authorization: basic(id, secret), kind: urlencoded, body: "client_id=" + id, key: secret, via: access.InHeader},
		"bearer":            {authorization: "Bearer " + secret, key: secret, via: access.InHeader},
		"form":              {kind: urlencoded, body: form, key: secret, via: access.InBody},
		"form, without id":  {kind: urlencoded, body: "client_secret=" + secret, key: secret, via: access.InBody},
		"object":            {kind: object, body: `{"client_id":"` + id + `","client_secret":"` + secret + `"}`, key: secret, via: access.InBody},
		"query":             {query: "apiKey=" + secret, key: secret, via: access.InQuery},
		"nothing":           {kind: urlencoded, body: "grant_type=client_credentials", via: access.InHeader},
		"bad form":          {kind: urlencoded, body: "client_secret=%zz", via: access.InHeader},
		"bad object":        {kind: object, body: `{"client_secret":`, via: access.InHeader},
		"a number":          {kind: object, body: `{"client_secret":1}`, via: access.InHeader},
		"another type":      {kind: "text/plain", body: form, via: access.InHeader},

		"two places":       {authorization: basic(id, secret), kind: urlencoded, body: form, code: problem.TwoCredentials},
		"query and form":   {query: "token=" + secret, kind: urlencoded, body: form, code: problem.TwoCredentials},
		"another's id":     {authorization: basic("key_000000000000", secret), code: problem.MalformedKey},
		"another's id, in": {kind: urlencoded, body: "client_id=key_000000000000&client_secret=" + secret, code: problem.MalformedKey},
		"ids that differ":  {authorization: basic(id, secret), kind: urlencoded, body: "client_id=key_000000000000", code: problem.MalformedKey},
		"no colon":         {authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(secret)), code: problem.MalformedKey},
		"no base64":        {authorization: "Basic !", code: problem.MalformedKey},
		"bad escape":       {authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte("a%zz:b")), code: problem.MalformedKey},
		"another scheme":   {authorization: "Digest x", code: problem.MalformedKey},
		"twice":            {kind: urlencoded, body: form + "&client_secret=x", code: problem.InvalidRequest},
		"too large":        {kind: urlencoded, body: form + strings.Repeat("x", 65<<10), code: problem.BodyTooLarge},
	} {
		r := httptest.NewRequest(http.MethodPost, "/x?"+c.query, strings.NewReader(c.body))
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		got, rq, err := asClient(t, r)
		if c.code != "" {
			if problem.Of(err) != c.code || !got.Key.Empty() {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
			continue
		}
		if err != nil || got.Key.Reveal() != c.key || got.Via != c.via {
			t.Errorf("%s: via %s, the key is there: %v, %v", name, got.Via, got.Key.Reveal() == c.key, err)
		}
		if again, err := io.ReadAll(rq.r.Body); err != nil || string(again) != c.body {
			t.Errorf("%s: the body is gone: %q, %v", name, again, err)
		}
	}
}

// Promise: whatever stands in an Authorization header is read as an id and a secret, or refused, and never anything else.
func FuzzBasic(f *testing.F) {
	secret, id := shownSecret()
	for _, text := range []string{"", ":", "a:b", id + ":" + secret, "a%3Ab:c+d", "%zz:"} {
		f.Add(base64.StdEncoding.EncodeToString([]byte(text)))
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, err := basic(text)
		if err != nil {
			if problem.Of(err) != problem.MalformedKey || id != "" || secret != "" {
				t.Fatalf("refused with %v, %q", err, id)
			}
			return
		}
		written := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id) + ":" + url.QueryEscape(secret)))
		again, same, err := basic(written)
		if err != nil || again != id || same != secret || id == "" || secret == "" {
			t.Fatalf("%q, %q reads back as %q, %q, %v", id, secret, again, same, err)
		}
	})
}
