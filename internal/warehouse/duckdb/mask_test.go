package duckdb

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// maskOf is a mask that hides some paths and hashes others.
func maskOf(t testing.TB, hide, hash []string) *masker {
	t.Helper()
	r := &masker{mask: &mask{}, key: view.NewHashKey([]byte("of the test"))}
	for _, name := range append(hide, hash...) {
		_, path, err := view.Masked("properties." + name)
		if err != nil {
			t.Fatal(err)
		}
		r.mask.at(path)
	}
	for _, name := range hide {
		_, path, _ := view.Masked("properties." + name)
		r.mask.at(path).hide = true
	}
	for _, name := range hash {
		_, path, _ := view.Masked("properties." + name)
		r.mask.at(path).hash = true
	}
	return r
}

// Promise: what is hidden is gone wherever its path leads, however its name is written and however often it is there;
// the rest keeps every digit; what is no JSON is not shown.
func TestMask(t *testing.T) {
	t.Parallel()
	r := maskOf(t, []string{"email", "a.b", `"x.y"`, `é`, "h.secret"}, []string{"user", "list.id", "h"})
	hash := func(value string) string { return `"` + string(r.key.AppendHash(nil, []byte(value))) + `"` }
	for _, c := range []struct{ in, want string }{
		{`{}`, `{}`},
		{`{"n":12345678901234567890.1234567890,"t":1e400,"s":"é\/"}`, `{"n":12345678901234567890.1234567890,"t":1e400,"s":"é\/"}`},
		{`{"email":"x"}`, `{}`},
		{` { "k" : 1 , "email" : { "deep" : [ 1 , "}" ] } , "l" : [ 1 , 2 ] } `, `{"k":1,"l":[ 1 , 2 ]}`},
		{`{"email":1,"k":2,"email":3}`, `{"k":2}`},
		{`{"\u0065mail":1,"k":"email","Email":3}`, `{"k":"email","Email":3}`},
		{`{"a":{"b":1,"c":{"b":2}},"b":3}`, `{"a":{"c":{"b":2}},"b":3}`},
		{`{"a":[{"b":1,"c":2},[{"b":3}],"b",null]}`, `{"a":[{"c":2},[{}],"b",null]}`},
		{`{"a":{"b":1},"a":{"b":2,"d":3}}`, `{"a":{},"a":{"d":3}}`},
		{`{"a":5}`, `{"a":5}`},
		{`{"x.y":1,"x":{"y":2},"\u00e9":3,"é":4}`, `{"x":{"y":2}}`},
		{`{"user":"ann"}`, `{"user":` + hash("ann") + `}`},
		{`{"user":"\u0061nn"}`, `{"user":` + hash("ann") + `}`},
		{`{"user":12.50}`, `{"user":` + hash("12.50") + `}`},
		{`{"user":null}`, `{"user":null}`},
		{`{"user":{"name": "ann"}}`, `{"user":` + hash(`{"name": "ann"}`) + `}`},
		{`{"list":[{"id":1},{"id":"1"}]}`, `{"list":[{"id":` + hash("1") + `},{"id":` + hash("1") + `}]}`},
		{`{"h":{"secret":1,"k":2}}`, `{"h":` + hash(`{"k":2}`) + `}`},
		{`{"h":{"secret":5,"k":2}}`, `{"h":` + hash(`{"k":2}`) + `}`},
		{`[{"email":1},{"user":null}]`, `[{},{"user":null}]`},
		{`"email"`, `"email"`},
	} {
		if got, ok := r.rewrite([]byte("before "), []byte(c.in)); !ok || string(got) != "before "+c.want {
			t.Errorf("%s\nbecomes %s, %v\nwant    %s", c.in, got, ok, c.want)
		}
	}
	for _, bad := range []string{``, ` `, `{`, `{"email"`, `{"email":`, `{"email":"x`, `{"k":1,}`, `{"k":1 "email":2}`, `{"k":1}}`, `{"k":1} x`, `{"a":{"b":1}`, `{k:1}`, `{"a":[1`, `{"\ud8":1}`, `}`, `]`} {
		if got, ok := r.rewrite(nil, []byte(bad)); ok {
			t.Errorf("%s is taken for JSON, and becomes %s", bad, got)
		}
	}
}

// Promise: of any JSON at all, what the mask leaves is what the model leaves; of anything else, nothing breaks.
func FuzzMask(f *testing.F) {
	for _, text := range []string{
		`{"email":"x","a":[{"b":1},{"b":2}],"user":"ann","h":{"secret":1}}`, `{"a":{"b":1,"b":2},"a":3,"em\u0061il":null}`, `[[{"email":1}]]`, `{"user":[1,{"email":2}]}`, `{"a"`, `1`, `{"\ud800":1}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := maskOf(t, []string{"email", "a.b", "h.secret"}, []string{"user", "list.id", "h"})
		got, ok := r.rewrite(nil, []byte(text))
		if !jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)) {
			return
		}
		if !ok {
			t.Fatalf("%s is not taken for JSON", text)
		}
		scope := view.Scope{HashKey: r.key, Tables: []view.TableScope{{
			Table: "events", Hidden: []string{"properties.email", "properties.a.b", "properties.h.secret"},
			Hashed: []string{"properties.user", "properties.list.id", "properties.h"},
		}}}
		want := shownValue(scope, scope.Tables[0], query.Column{Name: "properties", Type: "JSON"}, strings.Trim(text, " \t\r\n"))
		if string(got) != want {
			t.Fatalf("%s\nbecomes %s\nwant    %s", text, got, want)
		}
	})
}

func BenchmarkMask(b *testing.B) {
	r := maskOf(b, []string{"referrer"}, []string{"plan"})
	text := product(1234).Properties
	var out []byte
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		out, _ = r.rewrite(out[:0], text)
	}
}
