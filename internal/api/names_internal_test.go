package api

import (
	"bufio"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

// reached is the row that a request came to, and what stood in its address for each parameter.
type reached struct {
	method, path string
	names        map[string]string
}

// mounted is an API all rows of which only say that they were reached.
func mounted(t *testing.T) (*API, *[]reached) {
	t.Helper()
	a, err := New(Config{
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Stopping: context.Background(),
		Now: func() time.Time { return time.Unix(4102444800, 0) }, NewID: func() string { return "req_1" },
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []reached
	for i := range a.rows {
		r := &a.rows[i]
		r.serve = func(rq *request) error {
			one := reached{r.method, r.path, map[string]string{}}
			for _, name := range parametersOf(rq.routed.Pattern) {
				one.names[name] = rq.nameAt(name)
			}
			all = append(all, one)
			return nil
		}
	}
	return a, &all
}

// parametersOf are the names of a path's parameters that stand for one part each.
func parametersOf(path string) (names []string) {
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok && !strings.Contains(name, "...") {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	return names
}

// answered sends a request line to the API as a server reads it; nil: no server would pass it on.
func answered(a *API, method, target string) *httptest.ResponseRecorder {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: weir.example\r\n\r\n")))
	if err != nil {
		return nil
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// escaped is a name as a part of a path, with nothing in it that means anything there.
func escaped(name string) string {
	switch name {
	case ".":
		return "%2E"
	case "..":
		return "%2e%2e"
	}
	return url.PathEscape(name)
}

// everyPath are all paths of a row.
func everyPath(r *row) []string { return append([]string{r.path}, r.also...) }

// Promise: whatever a name is, it is reached at every address that has a name in it, as that name, and at no other row's.
func TestEveryNameIsReachedAtEveryAddress(t *testing.T) {
	t.Parallel()
	a, all := mounted(t)
	hostile := []string{
		"https://accounts.example.com/123", "a//b", "/", "//", "///", "/a", "//a", "a/", "a//", ".", "..", "...", "./", "../", "/.", "/..", "a/./b", "a/../b", "../../v1/keys",
		"%", "%2F", "%2f", "%2e%2e", "%252F", "a?b", "a#b", "a;b", "a&b=c", "a+b", " ", "a b ", "\t", `\`, `..\..`, `"/events`, "<a>", "{id}", "{$}", "|", "^", "`", "*", "@", ":", "~", "$",
		"é/events", "日本//語", "😀", "e\u0301", "\x7f", "\x01", "\x00", "\xff/",
	}
	for i := range a.rows {
		r := &a.rows[i]
		for _, path := range everyPath(r) {
			for _, parameter := range parametersOf(path) {
				for _, name := range hostile {
					*all = nil
					target := path
					want := map[string]string{}
					for _, other := range parametersOf(path) {
						want[other] = "x"
						if other == parameter {
							want[other] = name
						}
						target = strings.Replace(target, "{"+other+"}", escaped(want[other]), 1)
					}
					w := answered(a, r.method, target)
					if w == nil || len(*all) != 1 {
						t.Errorf("%s %s with %q reached no row: %+v", r.method, path, name, w)
						continue
					}
					if one := (*all)[0]; one.path != r.path || !maps.Equal(one.names, want) {
						t.Errorf("%s %s with %q reached %s with %q", r.method, path, name, one.path, one.names)
					}
				}
			}
		}
	}
}

// Promise: a path that was not escaped as it should have been is read by the slashes that were sent, and one with empty parts or dots
// between slashes is nobody's and no redirect.
func TestAPathIsReadAsItWasSent(t *testing.T) {
	t.Parallel()
	a, all := mounted(t)
	for target, want := range map[string]string{
		`/v1/users/"%2Fevents`: `"/events`, "/v1/users/é%2Fevents": "é/events", "/v1/users/{%2F..%2F}": "{/../}", `/v1/users/\..%2f`: `\../`, "/v1/users/%2f": "/",
		"/v1/users/%2F%2f": "//", "/v1/users/.%2e": "..", "/v1/%75sers/a%2Fb": "a/b", "/v1/users/a%2Fb?environment=x": "a/b", "http://weir.example/v1/users/%2F": "/",
	} {
		*all = nil
		if w := answered(a, "GET", target); w == nil || len(*all) != 1 || (*all)[0].path != "/v1/users/{id}" || (*all)[0].names["id"] != want {
			t.Errorf("%s reached %+v: %+v", target, *all, w)
		}
	}
	for _, target := range []string{
		"/v1/users/..", "/v1/users/.", "/v1/users/../keys", "/v1/users/./x", "/v1//users", "//v1/users", "/v1/users//", "/v1/users/a//events", "/v1/users//events", "/v1/users/x/../events",
		"/v1/users/é//events", `/v1/users/"/../x`, "/v1/users/%2F/../x", "/v1%2Fusers", "/%2Fv1/users", "/v1/users%2F", "/v1/users%2Fx", "/v1/users/x/events/", "/v1/users/x%2Fevents/y",
	} {
		*all = nil
		if w := answered(a, "GET", target); w == nil || len(*all) != 0 || w.Code != http.StatusNotFound || w.Header().Get("Location") != "" {
			t.Errorf("%s reached %+v: %+v", target, *all, w)
		}
	}
}

// Promise: any name at all is reached under it, whatever else is in it than the bytes that were chosen for a table.
func TestAnyNameIsReached(t *testing.T) {
	t.Parallel()
	a, all := mounted(t)
	part := rapid.StringOf(rapid.OneOf(rapid.RuneFrom([]rune(`/.%2Fe"\;é`)), rapid.Rune()))
	rapid.Check(t, func(t *rapid.T) {
		dataset, key := part.Filter(isName).Draw(t, "dataset"), part.Filter(isName).Draw(t, "key")
		*all = nil
		w := answered(a, "DELETE", "/v1/data/CORE/"+escaped(dataset)+"/"+escaped(key)+"/z")
		if w == nil || len(*all) != 1 || (*all)[0].path != "/v1/data/{workspace}/{dataset}/{key}/{subkey}" || (*all)[0].names["dataset"] != dataset || (*all)[0].names["key"] != key {
			t.Fatalf("%q and %q reached %+v: %+v", dataset, key, *all, w)
		}
	})
}

func isName(s string) bool { return s != "" }
