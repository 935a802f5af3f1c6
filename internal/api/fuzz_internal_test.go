package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: whatever stands where a key may stand, the key that is taken is one that was sent, there is no second one,
// and one that was sent in the query string is known to be. What is wrong with the request is the sender's fault.
func FuzzCredential(f *testing.F) {
	const key = "pk_test_3fQ9xT0aLmZkThisIsAnExampleNotASecret000hfant"
	f.Add(key, "Bearer "+key, "apiKey="+key)
	f.Add("", "", "")
	f.Add(" "+key, "bearer  x", "sync=true&apiKey=%70k&apiKey=")
	f.Add("a", "Basic a", "apiKey=a;b")
	f.Add("", "Bearer", "apiKey=%zz")
	f.Add("\xff", "", "apiKey=%ff&%ff=1&apikey=b")
	f.Add("a", "", "apiKey=+a+")
	f.Add("", "", "token=a&api_key=a&apiKey=b")
	f.Add("", "IEX-HMAC-SHA256 Credential=a/20260101/iex_request, SignedHeaders=host;x-iex-date, Signature=0", "token=a")
	f.Fuzz(func(t *testing.T, header, authorization, query string) {
		r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/track", RawQuery: query}, Header: http.Header{}}
		r.Header["X-Api-Key"], r.Header["Authorization"] = []string{header}, []string{authorization}
		rq := &request{a: &API{}, r: r, id: "req_1"}
		rq.reply = reply{ResponseWriter: httptest.NewRecorder(), rq: rq}
		c, err := credentialOf(rq)

		sent, inQuery, parsed := sentKeys(header, authorization, query)
		if err != nil {
			var p *problem.Error
			if !errors.As(err, &p) || p.Status() != http.StatusBadRequest && p.Status() != http.StatusUnauthorized {
				t.Fatalf("refused with %v", err)
			}
			if parsed && len(sent) < 2 && p.Code != problem.MalformedKey {
				t.Fatalf("one key at the most, %q, was refused with %v", sent, err)
			}
			if !c.Key.Empty() {
				t.Fatal("refused, and yet there is a key")
			}
			return
		}
		if !parsed {
			t.Fatalf("a query string that cannot be read was passed over: %q", query)
		}
		got := c.Key.Reveal()
		if len(sent) > 1 || len(sent) == 1 && got != sent[0] || len(sent) == 0 && got != "" {
			t.Fatalf("sent were %q, taken was %q", sent, got)
		}
		if (c.Via == access.InQuery) != inQuery {
			t.Fatalf("in the query string: %v, taken as sent in the %s", inQuery, c.Via)
		}
	})
}

// sentKeys are the different keys that a request carries, found in another way: by a list instead of a state.
func sentKeys(header, authorization, query string) (keys []string, inQuery, parsed bool) {
	all := []string{header}
	if fields := strings.SplitN(strings.TrimSpace(authorization), " ", 2); len(fields) == 2 && !strings.EqualFold(fields[0], "IEX-HMAC-SHA256") {
		all = append(all, fields[1])
	}
	values, err := url.ParseQuery(query)
	for _, name := range []string{"apiKey", "api_key", "token"} {
		for _, value := range values[name] {
			inQuery = inQuery || strings.TrimSpace(value) != ""
			all = append(all, value)
		}
	}
	for _, one := range all {
		if one = strings.TrimSpace(one); one != "" && !slices.Contains(keys, one) {
			keys = append(keys, one)
		}
	}
	return keys, inQuery, err == nil
}

// Promise: no query string makes the server fail, and a parameter that an address does not know is never passed over.
func FuzzParameters(f *testing.F) {
	f.Add("limit=1&cursor=a")
	f.Add("limit=99999999999999999999&after=x")
	f.Add("environment=%ff&event=%00")
	f.Add("%ff=1")
	f.Add("limit=1&limit=2")
	f.Add("after=2026-01-01T00:00:00%2B01:00&before=9999-12-31T23:59:59Z")
	a := &API{registry: huma.NewMapRegistry("#/components/schemas/", title)}
	read := bound[listEvents](a)
	f.Fuzz(func(t *testing.T, query string) {
		rq := &request{a: a, r: &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/v1/events", RawQuery: query}, Header: http.Header{}}, id: "req_1"}
		in, err := read(rq)
		if err != nil {
			var p *problem.Error
			if !errors.As(err, &p) || p.Status() >= http.StatusInternalServerError {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("read what cannot be read: %v", err)
		}
		for name, given := range values {
			if !isKeyParameter(name) && (len(given) > 1 || !slices.Contains([]string{"environment", "event", "distinct_id", "after", "before", "limit", "cursor"}, name)) {
				t.Fatalf("the parameter %q was passed over", name)
			}
		}
		if in.Limit < 0 || in.Limit > 1000 || in.Event != values.Get("event") {
			t.Fatalf("read %+v of %q", in, query)
		}
	})
}

// Promise: an If-Match is the version that an ETag of ours names, or any; whatever else stands there is told apart.
func FuzzVersion(f *testing.F) {
	for _, seed := range []string{"", "*", `"1"`, `"01"`, `W/"1"`, `"1", "2"`, `""`, `"`, `"-1"`, `"9223372036854775807"`, `"9223372036854775808"`, `"+1"`, "1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		n, err := versionOf(tag)
		var p *problem.Error
		switch {
		case err != nil && (!errors.As(err, &p) || p.Code != problem.PreconditionFailed || len(p.Fields) != 1 || n != 0):
			t.Fatalf("refused with %v", err)
		case err == nil && n == 0 && tag != "" && tag != "*", n < 0:
			t.Fatalf("%q stands for %d", tag, n)
		case err == nil && n > 0 && etag(n) != tag:
			t.Fatalf("%q was taken for %s", tag, etag(n))
		}
	})
}

// Promise: the library that a payload names is the one that an expression finds, whatever else is in the payload.
func FuzzLibrary(f *testing.F) {
	for _, seed := range []string{
		`{"$lib":"js","$lib_version":"1.2.0"}`, `{"$lib" : "a" }`, `"$lib":1,"$lib":"b"`, `"$lib":"a b"`, `"$lib":""`, `"$lib":"` + strings.Repeat("x", 65) + `"`,
		`"$lib":"x`, `"$lib"`, `{"$lib_version":"2"}`, `"$lib":"$lib":"c"`, "\"$lib\"\n:\t\"d\"", `"$lib": "@scope/name.js_1+2-3"`,
	} {
		f.Add(seed)
	}
	expressions := [...]*regexp.Regexp{
		regexp.MustCompile(`"\$lib"[ \t\r\n]*:[ \t\r\n]*"([A-Za-z0-9@/._+-]{1,64})"`), regexp.MustCompile(`"\$lib_version"[ \t\r\n]*:[ \t\r\n]*"([A-Za-z0-9@/._+-]{1,32})"`),
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := ""
		if name := expressions[0].FindStringSubmatch(text); name != nil {
			want = name[1]
			if version := expressions[1].FindStringSubmatch(text); version != nil {
				want += " " + version[1]
			}
		}
		if got := sdkOf([]byte(text)); len(text) <= sdkLook && got != want {
			t.Fatalf("found %q, want %q", got, want)
		}
	})
}

// Promise: an Accept-Encoding gets one of the two encodings or none, and never one that it refuses by its name.
func FuzzEncoding(f *testing.F) {
	for _, seed := range []string{"", "*", "gzip", "zstd;q=0, gzip;q=0.5", "identity;q=0", "gzip;q=1.001", "x-gzip", ";q=", ",,", "br, *;q=0.1", "zstd;Q=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		switch got := encodingFor([]string{header}); {
		case got != "" && got != "gzip" && got != "zstd":
			t.Fatalf("%q gets %q", header, got)
		case got != "" && !strings.Contains(strings.ToLower(header), got) && !strings.Contains(header, "*"):
			t.Fatalf("%q gets %q, which it does not name", header, got)
		case got != "" && encodingFor([]string{header, got + ";q=0"}) == got && got != "gzip":
			t.Fatalf("%q gets %q although it is refused after that", header, got)
		}
	})
}

// Promise: an If-None-Match names a tag only if the tag stands there in quotation marks, or any would do.
func FuzzNamed(f *testing.F) {
	for _, seed := range []string{"", "*", `"tag"`, `W/"tag"`, `"other", W/"tag"`, "tag", `W/tag`, `"tag`, `w/"tag"`, ` * `} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if named([]string{header}, "tag") && !strings.Contains(header, `"tag"`) && !strings.Contains(header, "*") {
			t.Fatalf("%q names the tag", header)
		}
		if !named([]string{header, `W/"tag"`}, "tag") {
			t.Fatal("the tag on another line is not seen")
		}
	})
}
