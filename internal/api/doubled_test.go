package api_test

import (
	"net/http"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a client whose address of the server ends in a slash sends items all the same, and browsers are answered before; so does a
// page find its client. A slash too many means nothing anywhere else, and the gate is asked as ever.
func TestASlashTooMany(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	public, secret := p.key("public live").text, p.key("secret live all").text
	narrow := p.make(everything(access.Bounds{Events: []string{"other"}})).text
	for _, c := range []struct {
		method, path, body, key string
		want                    int
	}{
		{"POST", "//track", oneEvent, public, 200},
		{"POST", "//track?sync=false", oneEvent, public, 200},
		{"POST", "//v1/events/batch", oneEvent, public, 200},
		{"POST", "//event/ingest", `{"name":"a","userId":"u"}`, public, 204},
		{"POST", "//v1/batch", `{"batch":[{"type":"track","event":"a","userId":"u"}]}`, public, 200},
		{"POST", "//ingest/e", `{"name":"a"}`, public, 200},
		{"POST", "//track", oneEvent, "", 401},
		{"POST", "//track", `{"event":"a","distinct_id":"u"}`, narrow, 403},
		{"GET", "//altertable.js", "", "", 200},
		{"HEAD", "//altertable.js", "", "", 200},
		{"GET", "//weir.js", "", "", 200},
		{"OPTIONS", "//weir.js", "", "", 204},
		{"POST", "//weir.js", "{}", "", 404},
		{"GET", "///weir.js", "", "", 404},
		{"GET", "//weir.js/", "", "", 404},
		{"GET", "//./weir.js", "", "", 404},
		{"GET", "/%2fweir.js", "", "", 404},
		{"GET", "//track", "", public, 404},
		{"GET", "//docs", "", "", 404},
		{"GET", "//openapi.json", "", "", 404},
		{"GET", "//recordings/player", "", "", 404},
		{"HEAD", "//healthz", "", "", 404},
		{"OPTIONS", "//healthz", "", "", 404},
		{"POST", "///track", oneEvent, public, 404},
		{"POST", "//track/", oneEvent, public, 404},
		{"POST", "//v1//events", oneEvent, public, 404},
		{"POST", "//./track", oneEvent, public, 404},
		{"POST", "/%2ftrack", oneEvent, public, 404},
		{"POST", "//tr%61ck", oneEvent, public, 404},
		{"POST", "//v1/query", `{"sql":"SELECT 1"}`, secret, 404},
		{"POST", "//v1/keys", `{"kind":"public"}`, secret, 404},
		{"GET", "//v1/events", "", secret, 404},
		{"GET", "//v1/keys", "", secret, 404},
		{"GET", "//", "", secret, 404},
		{"GET", "//healthz", "", "", 404},
	} {
		answer, text := w.site.deliver(t, w.site.request(t, c.method, c.path, c.body, c.key, "Content-Type", "application/json"))
		if answer.StatusCode != c.want {
			t.Errorf("%s %s was answered %d %s", c.method, c.path, answer.StatusCode, text)
		}
	}
	q := w.site.request(t, "OPTIONS", "//track", "", "", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	if answer, _ := w.site.deliver(t, q); answer.StatusCode != http.StatusNoContent || answer.Header.Get("Access-Control-Allow-Origin") != "https://shop.example" {
		t.Errorf("the browser is answered %d %v", answer.StatusCode, answer.Header)
	}
}

// Promise: what is signed is the path that is sent: with a slash too many it is good as such, and is not good for the path without.
func TestASlashTooManyIsSigned(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).demanding(everything(access.Bounds{}))
	for _, c := range []struct{ signed, sent string }{{"//track", "//track"}, {"/track", "//track"}, {"//track", "/track"}} {
		q := w.sign(t, w.site.request(t, "POST", c.signed, oneEvent, key.text), oneEvent, hmacOf(key))
		q.URL.Path = c.sent
		answer, text := w.site.deliver(t, q)
		if good := c.signed == c.sent; good != (answer.StatusCode == http.StatusOK) || !good && codeOf(text) != problem.SignatureInvalid {
			t.Errorf("signed for %s and sent to %s it was answered %d %s", c.signed, c.sent, answer.StatusCode, text)
		}
	}
}
