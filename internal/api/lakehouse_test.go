package api_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/compat"
)

// Promise: a key opens the lakehouse as the password or the user name of HTTP Basic, and as on any other route; two different keys are
// refused, and so is what is no key, without a body.
func TestKeysOfTheLakehouse(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key, other, dead := p.key("secret live sql:run").text, p.key("secret live sql:run").text, p.key("secret live sql:run, revoked").text
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, c := range []struct {
		authorization, beside string
		want                  int
	}{
		{basic("weir:" + key), "", 200},
		{basic(":" + key), "", 200},
		{basic(key + ":"), "", 200},
		{basic(key + ":anything"), "", 200},
		{basic(key + ":" + key), "", 200},
		{"bAsIc " + base64.StdEncoding.EncodeToString([]byte("weir:"+key)), key, 200},
		{"Bearer " + key, "", 200},
		{"", key, 200},
		{basic(other + ":" + key), "", 400},
		{basic("weir:" + key), other, 400},
		{basic("weir:" + dead), "", 401},
		{basic("weir:nothing"), "", 401},
		{basic(":"), "", 401},
		{basic(key), "", 401},
		{"Basic", "", 401},
		{"Digest x", "", 401},
	} {
		headers := []string{"Content-Type", "application/json"}
		if c.authorization != "" {
			headers = append(headers, "Authorization", c.authorization)
		}
		if c.beside != "" {
			headers = append(headers, "X-API-Key", c.beside)
		}
		answer, text := w.site.call(t, "POST", "/query", strings.NewReader(`{"statement":"SELECT 1"}`), headers...)
		if answer.StatusCode != c.want || (text == "") != (c.want == http.StatusUnauthorized) {
			t.Errorf("%.60s beside %.20s: %d %s", c.authorization, c.beside, answer.StatusCode, text)
		}
	}
}

// Promise: without Altertable there is no lakehouse: its addresses are unknown, and the document does not have them.
func TestTheLakehouseIsSwitchedOffWithAltertable(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, off := range compat.Systems() {
		cfg := w.config()
		cfg.Registry, cfg.Without = prometheus.NewRegistry(), []compat.System{off}
		handler, err := api.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		text, err := handler.OpenAPI()
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range [][2]string{{"POST", "/query"}, {"POST", "/validate"}, {"GET", "/query/{query_id}"}, {"DELETE", "/query/{query_id}"}, {"POST", "/append"},
			{"GET", "/tasks/{task_id}"}, {"POST", "/upload"}, {"POST", "/upsert"}} {
			there := off != compat.Altertable
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), one[0], strings.NewReplacer("{", "", "}", "").Replace(one[1]), nil))
			if (answer.Code == http.StatusNotFound) == there || strings.Contains(string(text), `"`+one[1]+`": {`) != there {
				t.Errorf("without %s, %s answers %d", off, one, answer.Code)
			}
		}
	}
}
