package api_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
)

// hostileIDs are ids of people that mean something in an address.
var hostileIDs = []string{
	"https://accounts.example.com/123", "/", "//", "/a", "a/", "a//b", ".", "..", "../../v1/keys", "a/../b", "%2F", "a?b#c", "a;b,c", "é/日本", `"/events`, "a+b c", "events", "a/events",
}

func addressOf(id string) string {
	if id == "." || id == ".." {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}

// Promise: whoever can be identified can be read, changed, given a token, followed and deleted under their id, whatever is in it.
func TestEveryPersonIsReached(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	for i, id := range hostileIDs {
		one := "/v1/users/" + addressOf(id)
		s.ask(s.all, "POST", "/identify?sync=true", `{"distinct_id":`+quote(id)+`,"traits":{"n":1}}`, 200)
		s.ask(s.all, "POST", "/track?sync=true", `{"event":"a","distinct_id":`+quote(id)+`}`, 200)
		s.ask(s.all, "PATCH", one, `{"traits":{"n":2}}`, 200)
		for _, path := range []string{one, "/profile/" + addressOf(id)} {
			if text := s.ask(s.all, "GET", path, "", 200); !strings.Contains(text, `"n":2`) || !strings.Contains(text, quote(id)) {
				t.Errorf("GET %s is of somebody else: %s", path, text)
			}
		}
		if text := s.ask(s.all, "GET", one+"/events", "", 200); strings.Count(text, `"distinct_id":`+quote(id)) != 1 {
			t.Errorf("GET %s/events is of somebody else: %s", one, text)
		}
		if text := s.ask(s.all, "POST", one+"/token", "", 201); !strings.Contains(text, `"user_id":`+quote(id)) {
			t.Errorf("POST %s/token is for somebody else: %s", one, text)
		}
		if i%6 == 0 { // a deletion takes its time
			if text := s.ask(s.all, "DELETE", one, "", 200); !strings.Contains(text, `"person_id":`+quote(id)) {
				t.Errorf("DELETE %s was of somebody else: %s", one, text)
			}
			s.ask(s.all, "GET", one, "", 404)
		}
	}
}

// Promise: records are written, read and deleted by their keys and subkeys, whatever is in these.
func TestEveryRecordIsReached(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/v1/datasets/CORE", `{"datasetId":"NAMES","schema":{"type":"object","properties":{"name":{"type":"string"},"sub":{"type":"string"},"n":{"type":"integer"}}},
		"columnMapping":{"key":"name","subkey":"sub"}}`, 201)
	for _, name := range hostileIDs {
		if strings.ContainsAny(name, ",") { // parts keys
			continue
		}
		at := "/v1/data/CORE/NAMES/" + addressOf(name)
		s.ask(s.all, "POST", "/v1/record/CORE/NAMES", `[{"name":`+quote(name)+`,"sub":"s","n":1},{"name":"k","sub":`+quote(name)+`,"n":2}]`, 200)
		for _, path := range []string{at, at + "/s", "/v1/data/CORE/NAMES/k/" + addressOf(name)} {
			if text := s.ask(s.all, "GET", path, "", 200); strings.Count(text, quote(name)) != 1 {
				t.Errorf("GET %s is of another: %s", path, text)
			}
			s.ask(s.all, "DELETE", path, "", 200)
			if text := s.ask(s.all, "GET", path, "", 200); strings.TrimSpace(text) != "[]" {
				t.Errorf("after DELETE %s there is %s", path, text)
			}
			if path == at {
				s.ask(s.all, "POST", "/v1/record/CORE/NAMES", `[{"name":`+quote(name)+`,"sub":"s","n":1}]`, 200)
			}
		}
	}
}

// Promise: a request is signed for the path as it is sent, also where a name in it is all slashes and dots.
func TestANameOfSlashesIsSigned(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	all := p.key("secret live all").text
	key := p.demanding(everything(access.Bounds{}))
	for _, id := range []string{"/", "a//b", ".."} {
		if status, code := w.site.asks(t, all, "POST", "/identify?sync=true", `{"distinct_id":`+quote(id)+`}`); status != 200 {
			t.Fatalf("%d %s", status, code)
		}
		q := w.sign(t, w.site.request(t, "GET", "/v1/users/"+addressOf(id), "", key.text), "", hmacOf(key))
		if answer, text := w.site.deliver(t, q); answer.StatusCode != 200 {
			t.Errorf("%q was answered %d %s", id, answer.StatusCode, text)
		}
	}
}

// Promise: who was only seen in events has no profile, and is deleted like anybody else; an id of which there is nothing is not.
func TestWhoIsOnlyInEventsIsDeleted(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	s.ask(s.all, "POST", "/track?sync=true", `[{"event":"a","distinct_id":"seen"},{"event":"a","anonymous_id":"passer-by"},{"event":"a","distinct_id":"other"}]`, 200)
	for _, id := range []string{"seen", "passer-by"} {
		s.ask(s.all, "GET", "/v1/users/"+id, "", 404)
		if text := s.ask(s.all, "DELETE", "/v1/users/"+id, "", 200); !strings.Contains(text, `{"person_id":"`+id+`","distinct_ids":["`+id+`"],"queryable":true,"deletion_id":"del_`) {
			t.Errorf("%s: %s", id, text)
		}
		if text := s.ask(s.all, "GET", "/v1/users/"+id+"/events", "", 200); !strings.Contains(text, `"data":[]`) {
			t.Errorf("there is left of %s: %s", id, text)
		}
		s.ask(s.all, "DELETE", "/v1/users/"+id, "", 404)
	}
	s.ask(s.all, "DELETE", "/v1/users/nobody", "", 404)
	if text := s.ask(s.all, "GET", "/v1/users/other/events", "", 200); !strings.Contains(text, `"distinct_id":"other"`) {
		t.Errorf("another went too: %s", text)
	}
}

// quote is a text as JSON.
func quote(text string) string {
	v, _ := jsontext.AppendQuote(nil, text)
	return string(v)
}

// Promise: at no address does a name lead to a fault of the server, nor to another address: where there is nothing of the name, that is
// what is told.
func TestNoNameIsAFault(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.key("secret live all").text
	names := append(slices.Clone(hostileIDs), "\x00", "\xff", "../../../../etc/passwd", `..\..\x`, strings.Repeat("/", 200), strings.Repeat("..%2F", 40))
	tried := 0
	for _, op := range w.contract.Operations() {
		before, _, found := strings.Cut(op.Path, "{")
		if !found || op.Method != "GET" && op.Method != "DELETE" {
			continue
		}
		for _, name := range names {
			tried++
			path := before
			for _, part := range strings.Split(op.Path, "{")[1:] {
				_, rest, _ := strings.Cut(part, "}")
				path += addressOf(name) + rest
			}
			answer, text := w.site.call(t, op.Method, path, nil, "X-API-Key", key)
			if answer.StatusCode >= 500 || answer.StatusCode >= 300 && answer.StatusCode < 400 || answer.StatusCode == 405 {
				t.Errorf("%s %s was answered %d %s", op.Method, path, answer.StatusCode, text)
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d were tried", tried)
	}
}
