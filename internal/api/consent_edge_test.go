package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
)

// Promise: what an app gives back has ended, also while it is disabled or the key that let it in is: when that is restored, nothing
// that was given back is good again.
func TestWhatIsGivenBackStaysEnded(t *testing.T) {
	t.Parallel()
	w := open(t)
	for name, pick := range map[string]func(*party, string) string{
		"the client": func(_ *party, grant string) string { return grant },
		"the key":    func(y *party, _ string) string { return y.person.id },
	} {
		y := w.project(t).party(app.Registration{})
		_, got := y.redeem(withCode(y.code()))
		_, text := w.site.call(t, "GET", "/v1/whoami", nil, "Authorization", "Bearer "+got.AccessToken)
		var who struct {
			KeyID string `json:"key_id"`
		}
		if err := json.Unmarshal([]byte(text), &who); err != nil {
			t.Fatal(err)
		}
		admin, id := y.p.key("secret live all").text, pick(y, who.KeyID)
		if answer, text := w.site.call(t, "POST", "/v1/keys/"+id+"/disable", nil, "X-API-Key", admin); answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", name, answer.StatusCode, text)
		}
		form := url.Values{"client_id": {y.app.ID}, "client_secret": {y.secret}, "token": {got.RefreshToken}}
		if answer, text := y.post("/v1/oauth/introspect", form); answer.StatusCode != http.StatusOK || strings.Contains(text, "true") {
			t.Errorf("%s: %d %s", name, answer.StatusCode, text)
		}
		if answer, text := y.post("/v1/oauth/revoke", form); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, answer.StatusCode, text)
		}
		if answer, text := w.site.call(t, "POST", "/v1/keys/"+id+"/restore", strings.NewReader(`{}`), "X-API-Key", admin); (answer.StatusCode == http.StatusOK) != (id == y.person.id) {
			t.Errorf("%s: restored: %d %s", name, answer.StatusCode, text)
		}
		if status, next := y.redeem(withRefresh(got.RefreshToken)); status != http.StatusBadRequest || next.Error != "invalid_grant" {
			t.Errorf("%s: what was given back is good again: %d %+v", name, status, next)
		}
	}
}

// Promise: a view with variables is filled in by whoever hands tokens on in the name of the project, and not by an app of a third
// party: it sees no more than the key that let it in.
func TestAppsFillInNoViews(t *testing.T) {
	t.Parallel()
	w := open(t)
	y := w.project(t).party(app.Registration{})
	admin := y.p.key("secret live all")
	answer, body := w.site.call(t, "POST", "/v1/keys", strings.NewReader(`{"kind":"secret","scopes":["keys:write","events:read","sql:run"],
		"view":{"events":{"where":[{"column":"properties.tenant","op":"=","value":"@{tenant}"}]}}}`), "X-API-Key", admin.text)
	var made struct{ ID, Key string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	y.person = madeKey{text: made.Key, id: made.ID}
	answer, _ = y.enters(y.asks("scope", "sql:run"))
	code := back(answer).Get("code")
	if code == "" {
		return // refused earlier is as good
	}
	if status, got := y.redeem(withCode(code, "variables", `{"tenant":"another"}`)); status == http.StatusOK || got.Error != "invalid_request" {
		t.Errorf("the app chose what it sees: %d %+v", status, got)
	}
}

// Promise: the page shows nothing as an environment that cannot be one: whoever made the address has no words on it.
func TestEnvironmentsAreNoWords(t *testing.T) {
	t.Parallel()
	w := open(t)
	y := w.project(t).party(app.Registration{})
	for _, name := range []string{"checked by Weir, call 555", "a\u202eb", "Production", "-x", strings.Repeat("a", 64)} {
		answer, page := w.site.call(t, "GET", "/v1/oauth/authorize?"+y.asks("environment", name).Encode(), nil, "Accept", "text/html")
		if answer.StatusCode != http.StatusSeeOther || back(answer).Get("error") != "invalid_request" {
			t.Errorf("%q: %d %s", name, answer.StatusCode, page)
		}
	}
	if answer, _ := w.site.call(t, "GET", "/v1/oauth/authorize?"+y.asks("environment", strings.Repeat("a_-9", 15)).Encode(), nil); answer.StatusCode != http.StatusOK {
		t.Errorf("one that can be: %d", answer.StatusCode)
	}
}

// Promise: nobody is asked for a key over plain HTTP, where it would be read on its way.
func TestNoKeyIsAskedForInCleartext(t *testing.T) {
	t.Parallel()
	w := open(t)
	y := w.project(t).party(app.Registration{})
	from := []string{"X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "http", "Accept", "text/html"}
	answer, page := w.proxied.call(t, "GET", "/v1/oauth/authorize?"+y.asks().Encode(), nil, from...)
	if answer.StatusCode != http.StatusBadRequest || strings.Contains(page, "<form") || !strings.Contains(page, "https") {
		t.Errorf("asked: %d %s", answer.StatusCode, page)
	}
	form := y.asks("key", y.person.text)
	answer, page = w.proxied.call(t, "POST", "/v1/oauth/authorize", strings.NewReader(form.Encode()),
		append(from, "Content-Type", "application/x-www-form-urlencoded", "Origin", "http://"+w.proxied.address)...)
	if answer.StatusCode != http.StatusForbidden || strings.Contains(page, "<form") || !strings.Contains(page, "replace the key") {
		t.Errorf("entered: %d %s", answer.StatusCode, page)
	}
	from[3] = "https"
	if answer, page = w.proxied.call(t, "GET", "/v1/oauth/authorize?"+y.asks().Encode(), nil, from...); answer.StatusCode != http.StatusOK {
		t.Errorf("over https: %d %s", answer.StatusCode, page)
	}
}

// Promise: an app that a key of live mode finds beside its own, in test mode, is let in by keys of test mode only, and an app of
// another project by none.
func TestAppsAreLetInByTheirMode(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	tester := p.key("secret test all")
	answer, body := w.site.call(t, "POST", "/v1/apps", strings.NewReader(`{"name":"Tests","redirect_uris":["`+sentBack+`"]}`), "X-API-Key", tester.text)
	var made struct {
		ID     string
		Mode   string
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(body), &made); err != nil || made.Mode != access.Test.String() {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	y := &party{p: p, app: app.App{ID: made.ID}, secret: made.Secret, person: p.key("secret live all")}
	if answer, body := y.enters(y.asks()); back(answer).Get("code") != "" || answer.StatusCode < 400 {
		t.Errorf("by a live key: %d %s", answer.StatusCode, body)
	}
	y.person = tester
	if _, got := y.redeem(withCode(y.code())); got.RefreshToken == "" {
		t.Errorf("by a test key: %+v", got)
	}
}
