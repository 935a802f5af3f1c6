package api_test

import (
	"strings"
	"testing"
)

// Promise: a change of the config, or of a dataset, that changes nothing counts as no version, whether it says nothing or what there
// is; and one that is meant for another version is refused all the same.
func TestWhatChangesNothingCountsNoVersion(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := newTables(t, w)
	s.define("QUOTES", "core")
	s.ask(s.all, "PATCH", "/v1/datasets/CORE/QUOTES", `{"title":"Quotes"}`, 200)
	s.ask(s.all, "PATCH", "/v1/project/config", `{"public":{"features":{"a":1,"b":2}}}`, 200)
	for _, c := range []struct{ path, body, read, counted string }{
		{"/v1/datasets/CORE/QUOTES", `{}`, "/v1/datasets/CORE/QUOTES", `"revision":2`},
		{"/v1/datasets/CORE/QUOTES", `{"title":"Quotes","class":"core"}`, "/v1/datasets/CORE/QUOTES", `"revision":2`},
		{"/v1/datasets/CORE/QUOTES", `{"title":"Prices"}`, "/v1/datasets/CORE/QUOTES", `"revision":3`},
		{"/v1/project/config", `{}`, "/v1/project/config", `"version":2`},
		{"/v1/project/config", `{"public":{"features":{"b":2,"a":1}},"private":{}}`, "/v1/project/config", `"version":2`},
		{"/v1/project/config", `{"public":{"features":{"a":null}}}`, "/v1/project/config", `"version":3`},
	} {
		for _, text := range []string{s.ask(s.all, "PATCH", c.path, c.body, 200), s.ask(s.all, "GET", c.read, "", 200)} {
			if !strings.Contains(text, c.counted) {
				t.Errorf("%s %s: %s, want %s", c.path, c.body, text, c.counted)
			}
		}
	}
	for _, path := range []string{"/v1/datasets/CORE/QUOTES", "/v1/project/config"} {
		answer, body := w.site.call(t, "PATCH", path, strings.NewReader("{}"), "X-API-Key", s.all, "Content-Type", "application/json", "If-Match", `"1"`)
		if answer.StatusCode != 412 {
			t.Errorf("%s for a former version: %d %s", path, answer.StatusCode, body)
		}
	}
}
