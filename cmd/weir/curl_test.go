package main

import (
	"strings"
	"testing"
)

// Promise: a curl command line means here what it means to a shell and to curl.
func TestCurlCommandsAreRead(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct{ method, url, header, body string }{
		`curl http://h/track`: {"GET", "http://h/track", "", ""},
		`$ curl -sS -X POST 'http://h:8787/track?sync=true' -H 'X-API-Key: K' -H "Content-Type: application/json" \
		  -d '{"event":"a b"}'`: {"POST", "http://h:8787/track?sync=true", "K", `{"event":"a b"}`},
		`curl h/v1/query --json '{"sql":"SELECT 1"}'`:                                 {"POST", "http://h/v1/query", "", `{"sql":"SELECT 1"}`},
		`curl -sSXDELETE -HX-API-Key:K http://h/v1/keys/key_1`:                        {"DELETE", "http://h/v1/keys/key_1", "K", ""},
		`curl --request=PATCH --header="X-API-Key: K" --data=x=1 --data y=2 http://h`: {"PATCH", "http://h/", "K", "x=1&y=2"},
		`curl -G -d limit=5 -d 'cursor=' http://h/v1/keys?a=b`:                        {"GET", "http://h/v1/keys?a=b&limit=5&cursor=", "", ""},
		`curl -o out.json -m 5 --retry 3 -k -L -I http://h/v1/keys`:                   {"HEAD", "http://h/v1/keys", "", ""},
		`curl http://h/ -d "say \"hi\" for \$5" -H 'X-API-Key: it'"'"'s'`:             {"POST", "http://h/", "it's", `say "hi" for $5`},
	} {
		got, err := parseCurl(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got.method != want.method || got.url.String() != want.url || got.header.Get("X-API-Key") != want.header || got.body != want.body {
			t.Errorf("%s\n\tis %s %s with key %q and body %q", line, got.method, got.url, got.header.Get("X-API-Key"), got.body)
		}
	}
}

// Promise: what cannot be known from the command line alone, and what is no curl command, is said to be so.
func TestOtherCommandsAreRefused(t *testing.T) {
	t.Parallel()
	for line, says := range map[string]string{
		"":                               "begin with curl",
		"wget http://h":                  "begin with curl",
		"curl":                           "no address",
		"curl http://h -d @body.json":    "read from",
		"curl http://h http://i":         "more than one address",
		"curl -u me:pw http://h":         "-u",
		"curl 'http://h":                 "not closed",
		"curl http://h -H":               "no value",
		"curl http://":                   "cannot be read",
		strings.Repeat("curl ", maxCurl): "longer than",
	} {
		if _, err := parseCurl(line); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want one that says %q", line, err, says)
		}
	}
}

// Promise: no text that is pasted brings the command down, and what is read has an address and a method.
func FuzzCurl(f *testing.F) {
	for _, seed := range []string{`curl -X POST 'http://h/track' -d '{}'`, `curl -sSXPOST -H"a: b" h`, "curl \\\n h", `curl --json "{\"a\":1}" h`, `curl -d`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := parseCurl(line)
		if err == nil && (got.url == nil || got.url.Host == "" || got.method == "" && !strings.Contains(line, "-X") && !strings.Contains(line, "--request")) {
			t.Errorf("%q is read as %+v", line, got)
		}
	})
}
