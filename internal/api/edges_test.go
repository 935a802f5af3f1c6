package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
)

// listOf is a JSON list of n values.
func listOf(n int, value func(i int) string) string {
	values := make([]string, n)
	for i := range values {
		values[i] = value(i)
	}
	return "[" + strings.Join(values, ",") + "]"
}

func member(name string, value any) string {
	text, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(text), "{"), "}")
}

// edges are the members of a key with a size at the edge of what is taken, and how far the edge is. size makes a member of
// that size; field is what is named beyond the edge.
var edges = map[string]struct {
	most  int
	least int // beyond what is too little; 0: there is no such edge
	size  func(n int) string
	field string
}{
	"label":   {most: 100, size: func(n int) string { return member("label", strings.Repeat("ü", n)) }, field: "label"},
	"steward": {most: 200, size: func(n int) string { return member("steward", strings.Repeat("ü", n)) }, field: "steward"},
	"networks": {most: 100, size: func(n int) string {
		return `"networks":` + listOf(n, func(i int) string { return fmt.Sprintf(`{"cidr":"10.0.%d.0/24"}`, i) })
	}, field: "networks"},
	"a network's description": {most: 200, size: func(n int) string {
		return `"networks":[{"cidr":"10.0.0.1","description":"` + strings.Repeat("ü", n) + `"}]`
	}, field: "networks[0].description"},
	"domains": {most: 100, size: func(n int) string {
		return `"domains":` + listOf(n, func(i int) string { return fmt.Sprintf(`"h%d.example"`, i) })
	}, field: "domains"},
	"a domain": {most: 300, size: func(n int) string { return `"domains":["a.example/` + strings.Repeat("x", n-len("a.example/")) + `"]` }, field: "domains[0]"},
	"events": {most: 200, size: func(n int) string {
		return `"events":` + listOf(n, func(i int) string { return fmt.Sprintf(`"e%d"`, i) })
	}, field: "events"},
	"an event": {most: 256, size: func(n int) string { return `"events":["` + strings.Repeat("e", n) + `"]` }, field: "events[0]", least: 1},
	"datasets": {most: 200, size: func(n int) string {
		return `"datasets":{"named":` + listOf(n, func(i int) string { return fmt.Sprintf(`{"dataset":"d%d","rights":["read"]}`, i) }) + `}`
	}, field: "datasets.named"},
	"a dataset": {most: 256, size: func(n int) string {
		return `"datasets":{"named":[{"dataset":"` + strings.Repeat("d", n) + `","rights":["read"]}]}`
	}, field: "datasets.named[0].dataset", least: 1},
	"requests a second": {most: 1_000_000, size: func(n int) string { return fmt.Sprintf(`"limits":{"rate":{"per_second":%d,"burst":5}}`, n) }, field: "limits.rate.per_second"},
	"a burst":           {most: 1_000_000_000_000, size: func(n int) string { return fmt.Sprintf(`"limits":{"rate":{"per_second":5,"burst":%d}}`, n) }, field: "limits.rate.burst", least: 1},
	"requests a day":    {most: 1_000_000_000_000, size: func(n int) string { return fmt.Sprintf(`"limits":{"daily":{"most":%d}}`, n) }, field: "limits.daily.most"},
	"credits":           {most: 1_000_000_000_000, size: func(n int) string { return fmt.Sprintf(`"limits":{"credits":{"most":%d}}`, n) }, field: "limits.credits.most"},
	"public keys": {most: 4, size: func(n int) string {
		return `"public_keys":` + listOf(n, func(i int) string { return `"` + points[i] + `"` })
	}, field: "public_keys"},
}

// points are Ed25519 public keys.
var points = [...]string{
	"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=", "/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=",
	"J4EX/BRMcjQPZ9DyMW6Dhs7/vysKKMnFH+98WX8dQm4=", "7BcrZ0ZrbMmY0qrLf5EjEYTR0fUDzaF0ea/5vsGiQaI=",
}

// Promise: each list, text and number of a key is taken to the edge of what is documented, and refused one beyond, by
// name, when a key is made and when it is changed.
func TestEdgesOfKeys(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	admin := p.key("secret live all").text
	subject := p.key("public live").id
	for name, c := range edges {
		sizes := map[int]bool{c.most: true, c.most + 1: false}
		if c.least > 0 {
			sizes[c.least], sizes[c.least-1] = true, false
		}
		for n, taken := range sizes {
			made := `{"kind":"public","dry_run":true,` + c.size(n) + `}`
			answer, body := w.site.call(t, "POST", "/v1/keys", strings.NewReader(made), "X-API-Key", admin)
			checkEdge(t, fmt.Sprintf("%s of %d, made", name, n), answer.StatusCode, body, taken, c.field)
			answer, body = w.site.call(t, "PATCH", "/v1/keys/"+subject, strings.NewReader(`{`+c.size(n)+`}`), "X-API-Key", admin)
			checkEdge(t, fmt.Sprintf("%s of %d, changed", name, n), answer.StatusCode, body, taken, c.field)
		}
	}
}

func checkEdge(t *testing.T, name string, status int, body string, taken bool, field string) {
	t.Helper()
	if taken {
		if status != 200 {
			t.Errorf("%s: %d %.600s", name, status, body)
		}
		return
	}
	var got struct {
		Code   problem.Code
		Errors []problem.Field
	}
	other := func(f problem.Field) bool { return f.Name != field }
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 422 || got.Code != problem.InvalidField || len(got.Errors) == 0 || slices.ContainsFunc(got.Errors, other) {
		t.Errorf("%s: %d %.600s, want %s to be named", name, status, body, field)
	}
}

// Promise: so is each parameter of a list.
func TestEdgesOfParameters(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live all").text
	for path, most := range map[string]int{"/v1/keys": 200, "/v1/events": 1000, "/v1/denials": 200} {
		for limit, want := range map[string]int{"1": 200, fmt.Sprint(most): 200, "0": 422, "-1": 422, fmt.Sprint(most + 1): 422, "1e1": 422, "": 422, "+5": 200} {
			answer, body := w.site.call(t, "GET", path+"?limit="+strings.ReplaceAll(limit, "+", "%2B"), nil, "X-API-Key", key)
			if answer.StatusCode != want || want == 422 && !strings.Contains(body, `{"field":"query.limit","detail":"`) {
				t.Errorf("%s?limit=%s: %d %s", path, limit, answer.StatusCode, body)
			}
		}
	}
	for _, c := range []struct {
		path string
		most int
	}{{"/v1/keys?steward=", 200}, {"/v1/events?event=", 256}, {"/v1/events?environment=", 200}, {"/v1/events?distinct_id=", 200}} {
		name := strings.TrimSuffix(c.path[strings.Index(c.path, "?")+1:], "=")
		for n, code := range map[int]string{c.most: "", c.most + 1: "query." + name} {
			answer, body := w.site.call(t, "GET", c.path+strings.Repeat("x", n), nil, "X-API-Key", key)
			if named := strings.Contains(body, `{"field":"query.`+name+`"`); named != (code != "") || named && answer.StatusCode != 422 {
				t.Errorf("%s of %d: %d %s", c.path, n, answer.StatusCode, body)
			}
		}
	}
	for tag, want := range map[string]int{`"1"`: 200, "*": 200, `"2"`: 412, `"0"`: 412, `"-1"`: 412, "1": 412, `W/"1"`: 412, `"1","2"`: 412, `"99999999999999999999"`: 412, strings.Repeat("x", 101): 422} {
		id := w.project(t)
		admin := id.key("secret live all")
		answer, body := w.site.call(t, "PATCH", "/v1/keys/"+admin.id, strings.NewReader(`{"label":"x"}`), "X-API-Key", admin.text, "If-Match", tag)
		if answer.StatusCode != want || want != 200 && !strings.Contains(body, `{"field":"header.If-Match"`) {
			t.Errorf("If-Match %s: %d %s", tag, answer.StatusCode, body)
		}
	}
}
