package signature

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
)

// lineOf is the line of one component in a signature base.
func lineOf(t *testing.T, r Request, identifier string) (string, error) {
	t.Helper()
	list, err := httpsfv.UnmarshalList([]string{"(" + identifier + ")"})
	if err != nil {
		t.Fatalf("%s: %v", identifier, err)
	}
	inner := list[0].(httpsfv.InnerList)
	components, err := readComponents(inner.Items)
	if err != nil {
		return "", err
	}
	text, err := base(r, components, inner)
	line, _, _ := strings.Cut(text, "\n"+paramsLine)
	return line, err
}

// Promise: the value of every component is the one that the examples of RFC 9421, section 2, give.
func TestComponentsOfTheRFC(t *testing.T) {
	t.Parallel()
	get := Request{
		Method: "GET", Scheme: "https", Authority: "www.example.com", Target: "/path?param=value", Path: "/path", Query: "param=value",
		Header: http.Header{
			"Date":              {"Tue, 20 Apr 2021 02:07:56 GMT"},
			"X-Ows-Header":      {"   Leading and trailing whitespace.   \t"},
			"Cache-Control":     {"max-age=60", "   must-revalidate"},
			"Priority":          {" a=1,    b=2;x=1;y=2,   c=(a   b   c), d"}, // in the RFC: Example-Dict
			"Example-Header":    {"value, with, lots", "of, commas"},
			"X-Empty-Header":    {""},
			"X-Api-Key":         {"é"},
			"Accept-Signature":  {"a=(b"},
			"Content-Digest":    {"sha-256=:YWJj:,sha-512=:YQ==:"},
			"Want-Repr-Digest":  {"a=1", "b=2,  a=3"},
			"X-Tab":             {"a\tb"},
			"X-Control":         {"a\x01b"},
			"X-Delete":          {"a\x7fb"},
			"X-Break":           {"a\nb"},
			"X-Long":            {strings.Repeat("x", maxValue+1)},
			"X-Lines":           make([]string, maxComponents+1),
			"Repr-Digest":       {strings.Repeat("a,", maxInput/2) + "a"},
			"Signature":         {"sig=:YWJj:"},
			"Signature-Input":   {`sig=("@method");created=1`},
			"Sec-Ch-Ua":         {`"Chromium";v="1"`},
			"X-Quote":           {`"quoted" \ text`},
			"X-Percent":         {"%20"},
			"X-Many-Spaces":     {"a    b"},
			"Host":              {"ignored.example.com"},
			"X-Comma":           {",", ","},
			"Set-Cookie":        {"a=b, c", "d"},
			"Transfer-Encoding": {"chunked"},
		},
	}
	with := func(change func(*Request)) Request { r := get; change(&r); return r }
	post := with(func(r *Request) { r.Method = "POST" })
	query := func(q string) Request {
		return with(func(r *Request) { r.Query, r.Target = q, "/path?"+q })
	}
	form := query("var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something")
	several := query("param=value&foo=bar&baz=batman&qux=&foo=again&&=nameless&bad=%zz&latin=%e4&%zz=1&flag&tilde=~!*-._'()")
	for _, c := range []struct {
		request    Request
		identifier string
		want       string // empty: a fault
		kind       Kind
	}{
		{get, `"@method"`, "GET", 0},
		{post, `"@method"`, "POST", 0},
		{get, `"@target-uri"`, "https://www.example.com/path?param=value", 0},
		{with(func(r *Request) { r.Query, r.Target = "", "/path" }), `"@target-uri"`, "https://www.example.com/path", 0},
		{with(func(r *Request) { r.Query, r.Target = "", "/path?" }), `"@target-uri"`, "https://www.example.com/path?", 0},
		{with(func(r *Request) { r.Path, r.Query, r.Target = "*", "", "*" }), `"@target-uri"`, "https://www.example.com", 0},
		{with(func(r *Request) { r.Scheme = "" }), `"@target-uri"`, "", Unsupported},
		{get, `"@authority"`, "www.example.com", 0},
		{with(func(r *Request) { r.Authority = "WWW.Example.com:443" }), `"@authority"`, "www.example.com", 0},
		{get, `"@scheme"`, "https", 0},
		{with(func(r *Request) { r.Scheme = "HTTP" }), `"@scheme"`, "http", 0},
		{with(func(r *Request) { r.Scheme = "" }), `"@scheme"`, "", Unsupported},
		{get, `"@request-target"`, "/path?param=value", 0},
		{with(func(r *Request) { r.Target = "" }), `"@request-target"`, "/path?param=value", 0},
		{with(func(r *Request) { r.Target = "https://www.example.com/path?param=value" }), `"@request-target"`, "https://www.example.com/path?param=value", 0},
		{with(func(r *Request) { r.Target = "www.example.com:80" }), `"@request-target"`, "www.example.com:80", 0},
		{with(func(r *Request) { r.Target = "*" }), `"@request-target"`, "*", 0},
		{get, `"@path"`, "/path", 0},
		{with(func(r *Request) { r.Path = "" }), `"@path"`, "/", 0},
		{with(func(r *Request) { r.Path = "/a/../%7Eb//" }), `"@path"`, "/a/../%7Eb//", 0},
		{with(func(r *Request) { r.Path = "/ä" }), `"@path"`, "", Malformed},
		{get, `"@query"`, "?param=value", 0},
		{query("param=value&foo=bar&baz=bat%2Dman"), `"@query"`, "?param=value&foo=bar&baz=bat%2Dman", 0},
		{query("queryString"), `"@query"`, "?queryString", 0},
		{query(""), `"@query"`, "?", 0},
		{query("a\tb"), `"@query"`, "", Malformed},
		{several, `"@query-param";name="baz"`, "batman", 0},
		{several, `"@query-param";name="qux"`, " ", 0}, // that is, empty
		{several, `"@query-param";name="param"`, "value", 0},
		{several, `"@query-param";name="flag"`, " ", 0},
		{several, `"@query-param";name="tilde"`, "%7E%21*-._%27%28%29", 0},
		{several, `"@query-param";name=""`, "nameless", 0},
		{several, `"@query-param";name="foo"`, "", Ambiguous},
		{several, `"@query-param";name="none"`, "", Missing},
		{several, `"@query-param";name="bad"`, "", Malformed},
		{several, `"@query-param";name="latin"`, "", Malformed},
		{several, `"@query-param"`, "", Malformed},
		{several, `"@query-param";name=foo`, "", Malformed},
		{several, `"@query-param";name="baz";req`, "", Unsupported},
		{form, `"@query-param";name="var"`, "this%20is%20a%20big%0Amultiline%20value", 0},
		{form, `"@query-param";name="bar"`, "with%20plus%20whitespace", 0},
		{form, `"@query-param";name="fa%C3%A7ade%22%3A%20"`, "something", 0},
		{form, `"@query-param";name="façade"`, "", 0}, // such a string is none
		{get, `"host"`, "www.example.com", 0},
		{get, `"date"`, "Tue, 20 Apr 2021 02:07:56 GMT", 0},
		{get, `"x-ows-header"`, "Leading and trailing whitespace.", 0},
		{get, `"cache-control"`, "max-age=60, must-revalidate", 0},
		{get, `"x-empty-header"`, " ", 0},
		{get, `"x-comma"`, ",, ,", 0},
		{get, `"x-quote"`, `"quoted" \ text`, 0},
		{get, `"x-many-spaces"`, "a    b", 0},
		{get, `"x-tab"`, "a\tb", 0},
		{get, `"priority"`, "a=1,    b=2;x=1;y=2,   c=(a   b   c), d", 0},
		{get, `"priority";sf`, "a=1, b=2;x=1;y=2, c=(a b c), d", 0},
		{get, `"priority";key="a"`, "1", 0},
		{get, `"priority";key="b"`, "2;x=1;y=2", 0},
		{get, `"priority";key="c"`, "(a b c)", 0},
		{get, `"priority";key="d"`, "?1", 0},
		{get, `"priority";key="e"`, "", Missing},
		{get, `"priority";sf;key="a"`, "1", 0},
		{get, `"priority";key=a`, "", Malformed},
		{get, `"priority";sf=1`, "", Malformed},
		{get, `"priority";sf=?0`, "", Malformed},
		{get, `"want-repr-digest";sf`, "a=3, b=2", 0},
		{get, `"content-digest";key="sha-256"`, ":YWJj:", 0},
		{get, `"signature";key="sig"`, ":YWJj:", 0},
		{get, `"signature-input";key="sig"`, `("@method");created=1`, 0},
		{get, `"example-header"`, "value, with, lots, of, commas", 0},
		{get, `"example-header";bs`, ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:", 0},
		{get, `"x-api-key";bs`, ":w6k=:", 0},
		{get, `"x-api-key"`, "", Malformed},
		{get, `"example-header";bs;sf`, "", Malformed},
		{get, `"priority";bs;key="a"`, "", Malformed},
		{get, `"example-header";sf`, "", Unsupported},
		{get, `"example-header";key="a"`, "", Unsupported},
		{get, `"accept-signature";sf`, "", Malformed},
		{get, `"repr-digest";sf`, "", TooLarge},
		{get, `"x-control"`, "", Malformed},
		{get, `"x-delete"`, "", Malformed},
		{get, `"x-break"`, "", Malformed},
		{get, `"x-long"`, "", TooLarge},
		{get, `"x-long";bs`, "", TooLarge},
		{get, `"x-lines"`, "", TooLarge},
		{get, `"date";tr`, "", Unsupported},
		{get, `"date";req`, "", Unsupported},
		{get, `"date";x`, "", Unsupported},
		{get, `"none"`, "", Missing},
		{get, `"Date"`, "", Unsupported},
		{get, `""`, "", Unsupported},
		{get, `"a b"`, "", Unsupported},
		{get, `"a\"b"`, "", Unsupported},
		{get, `"@"`, "", Unsupported},
		{get, `"@status"`, "", Unsupported},
		{get, `"@signature-params"`, "", Unsupported},
		{get, `"@request-response"`, "", Unsupported},
		{get, `"@query-params"`, "", Unsupported},
		{get, `"@Method"`, "", Unsupported},
		{get, `"@method";sf`, "", Unsupported},
		{get, `"@path";bs`, "", Unsupported},
		{get, `1`, "", Malformed},
		{get, `date`, "", Malformed},
		{get, `:YWJj:`, "", Malformed},
	} {
		if strings.Contains(c.identifier, "ç") {
			if _, err := httpsfv.UnmarshalList([]string{"(" + c.identifier + ")"}); err == nil {
				t.Errorf("%s can be read", c.identifier)
			}
			continue
		}
		line, err := lineOf(t, c.request, c.identifier)
		switch {
		case c.want == "":
			if kindOf(err) != c.kind {
				t.Errorf("%s: %q, %v (%s), want %s", c.identifier, line, err, kindOf(err), c.kind)
			}
		case err != nil || line != c.identifier+": "+strings.TrimSpace(c.want):
			t.Errorf("%s: %q, %v, want %q", c.identifier, line, err, c.want)
		}
	}
}

// Promise: two identifiers that mean the same are one too many, in whatever order their parameters stand.
func TestComponentsOccurOnce(t *testing.T) {
	t.Parallel()
	r := Request{Method: "GET", Query: "a=1&b=2", Header: http.Header{"Priority": {"a=1, b=2"}}}
	for identifiers, want := range map[string]Kind{
		`"@method" "@method"`:                                                          Malformed,
		`"priority" "priority"`:                                                        Malformed,
		`"priority";sf "priority";sf`:                                                  Malformed,
		`"priority";key="a" "priority";key="a"`:                                        Malformed,
		`"priority";key="a";sf "priority";sf;key="a"`:                                  Malformed,
		`"@query-param";name="a" "@query-param";name="a"`:                              Malformed,
		`"@query-param";name="a" "@query-param";name="b"`:                              0,
		`"priority" "priority";sf "priority";key="a" "priority";key="b" "priority";bs`: 0,
	} {
		if _, err := lineOf(t, r, identifiers); kindOf(err) != want {
			t.Errorf("%s: %v", identifiers, err)
		}
	}
}

// Promise: a signature base has a bounded size, whatever it covers.
func TestBasesAreBounded(t *testing.T) {
	t.Parallel()
	r := Request{Header: http.Header{}}
	names := make([]string, 0, 5)
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		r.Header.Set(name, strings.Repeat("x", maxValue))
		names = append(names, `"`+strings.ToLower(name)+`"`)
	}
	if _, err := lineOf(t, r, strings.Join(names[:3], " ")); err != nil {
		t.Error(err)
	}
	if _, err := lineOf(t, r, strings.Join(names, " ")); kindOf(err) != TooLarge {
		t.Errorf("%v", err)
	}
}

// Promise: what is signed of an address is what stood on the wire, not what net/http makes of it.
func TestPathsAsReceived(t *testing.T) {
	t.Parallel()
	for target, want := range map[string][2]string{
		"/":                           {"/", ""},
		"/a%2fb/../c?x=%20":           {"/a%2fb/../c", "x=%20"},
		"//a//b":                      {"//a//b", ""},
		"/a[b]|c\"d":                  {"/a[b]|c\"d", ""},
		"/%7e~":                       {"/%7e~", ""},
		"/a?":                         {"/a", ""},
		"/a?b?c":                      {"/a", "b?c"},
		"http://example.com/a%20b?c":  {"/a%20b", "c"},
		"http://example.com":          {"/", ""},
		"*":                           {"*", ""},
		"/a;b=c?token=x&a=b;c=d%zz&&": {"/a;b=c", "token=x&a=b;c=d%zz&&"},
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: example.com\r\n\r\n")))
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		got := Of(r)
		if got.path() != want[0] || got.Query != want[1] || got.target() != target {
			t.Errorf("%s: %q, %q, %q", target, got.path(), got.Query, got.target())
		}
	}
}
