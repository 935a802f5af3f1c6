package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// party is an app of a project, and a person who can let it in.
type party struct {
	p      *project
	app    app.App
	secret string
	person madeKey
}

const sentBack = "https://made.example/back"

func (p *project) party(r app.Registration) *party {
	p.t.Helper()
	if r.Name == "" {
		r.Name = "Charts & more"
	}
	if r.Redirects == nil {
		r.Redirects = []string{sentBack, "http://127.0.0.1/cb"}
	}
	made, secret, err := p.w.apps.Create(p.t.Context(), p.permit(access.WriteApps), r)
	if err != nil {
		p.t.Fatal(err)
	}
	return &party{p: p, app: made, secret: secret.Reveal(), person: p.key("secret live all")}
}

// asks is what the app asks for, with changes: names and values in turn, an empty value for none.
func (y *party) asks(changes ...string) url.Values {
	v := url.Values{
		"response_type": {"code"}, "client_id": {y.app.ID}, "redirect_uri": {sentBack}, "scope": {"events:read"}, "state": {"s1"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	return changed(v, changes)
}

func changed(v url.Values, changes []string) url.Values {
	for i := 0; i < len(changes); i += 2 {
		v.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			v.Del(changes[i])
		}
	}
	return v
}

// post sends a form.
func (y *party) post(path string, form url.Values, headers ...string) (*http.Response, string) {
	y.p.t.Helper()
	return y.p.w.site.call(y.p.t, "POST", path, strings.NewReader(form.Encode()), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

// enters is what a person does on the page of consent: with the key, from the page's own origin.
func (y *party) enters(form url.Values, headers ...string) (*http.Response, string) {
	y.p.t.Helper()
	if form.Get("key") == "" {
		form.Set("key", y.person.text)
	}
	return y.post("/v1/oauth/authorize", form, append([]string{"Origin", "http://" + y.p.w.site.address, "Sec-Fetch-Site", "same-origin", "Accept", "text/html"}, headers...)...)
}

// code is a code for what the app asks for.
func (y *party) code(changes ...string) string {
	y.p.t.Helper()
	answer, text := y.enters(y.asks(changes...))
	code := back(answer).Get("code")
	if answer.StatusCode != http.StatusSeeOther || code == "" {
		y.p.t.Fatalf("no code: %d %s %s", answer.StatusCode, answer.Header, text)
	}
	return code
}

// back are the parameters that a person is sent back with.
func back(answer *http.Response) url.Values {
	to, err := url.Parse(answer.Header.Get("Location"))
	if err != nil {
		return nil
	}
	return to.Query()
}

type granted struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Scope        string
	Code         string
	Error        string
}

// redeem asks for a token.
func (y *party) redeem(form url.Values, headers ...string) (int, granted) {
	y.p.t.Helper()
	if form.Get("client_id") == "" && len(headers) == 0 {
		form.Set("client_id", y.app.ID)
		if y.secret != "" {
			form.Set("client_secret", y.secret)
		}
	}
	answer, text := y.post("/v1/oauth/token", form, headers...)
	var out granted
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		y.p.t.Fatal(err)
	}
	return answer.StatusCode, out
}

func withCode(code string, changes ...string) url.Values {
	return changed(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {sentBack}, "code_verifier": {verifier}}, changes)
}

func withRefresh(text string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}}
}

// works reports whether an access token is good.
func (y *party) works(token string) bool {
	answer, _ := y.p.w.site.call(y.p.t, "GET", "/v1/whoami", nil, "Authorization", "Bearer "+token)
	return answer.StatusCode == http.StatusOK
}

// Promise: a person is told in words what an app asks for, on a page that runs and loads nothing and that nobody can frame; the
// form sends all that was asked for back, and what an app calls itself is no markup.
func TestConsentPage(t *testing.T) {
	t.Parallel()
	y := open(t).project(t).party(app.Registration{Name: `<script>alert("1")</script>`})
	asked := y.asks("scope", "events:read sql:run", "environment", "staging", "state", `"><script>`)
	answer, page := y.p.w.site.call(t, "GET", "/v1/oauth/authorize?"+asked.Encode(), nil, "Accept", "text/html")
	if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Frame-Options") != "DENY" || answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
	policy := answer.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "form-action 'self' https://made.example;", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'sha256-"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy has no %s: %s", part, policy)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(policy, "unsafe") {
		t.Errorf("there is a script in %s", page)
	}
	for _, words := range []string{
		"made.example", "Read the events that were sent, one by one.", "Ask any question about the events and users, in SQL", "staging", "30 August 2099", "/v1/connected-apps", `type="password"`,
	} {
		if !strings.Contains(page, words) {
			t.Errorf("the page does not say %q", words)
		}
	}
	sent := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		sent.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	if !maps.EqualFunc(sent, asked, slices.Equal) {
		t.Errorf("the form sends %v of %v", sent, asked)
	}
	answer, _ = y.p.w.site.call(t, "HEAD", "/v1/oauth/authorize?"+asked.Encode(), nil)
	if answer.StatusCode != http.StatusOK {
		t.Errorf("HEAD: %d", answer.StatusCode)
	}
}

// Promise: each right that an app can be given is said in words of its own.
func TestRightsAreSaid(t *testing.T) {
	t.Parallel()
	said := api.RightsSaid()
	words := map[string]string{}
	for _, name := range access.AllScopes.Names() {
		scope, _ := access.ParseScope(name)
		if text := said[scope]; (text == "") != (app.Never.Has(scope)) || words[text] != "" {
			t.Errorf("%s is said as %q, as %s is", name, text, words[text])
		}
		words[said[scope]] = name
	}
}

// Promise: with a code an app gets a token that does what was agreed to and no more, and refresh tokens; all of it ends when it
// is disconnected, when the key that let it in is narrowed or revoked, and when the app is revoked, at once.
func TestAppsAreLetIn(t *testing.T) {
	t.Parallel()
	w := open(t)
	for name, end := range map[string]func(*party, string) (string, string){
		"disconnected":   func(_ *party, grant string) (string, string) { return "DELETE", "/v1/connected-apps/" + grant },
		"key revoked":    func(y *party, _ string) (string, string) { return "DELETE", "/v1/keys/" + y.person.id },
		"client revoked": func(_ *party, grant string) (string, string) { return "DELETE", "/v1/keys/" + grant },
		"app revoked":    func(y *party, _ string) (string, string) { return "DELETE", "/v1/apps/" + y.app.ID },
	} {
		y := w.project(t).party(app.Registration{})
		admin := y.p.key("secret live all").text
		answer, _ := y.enters(y.asks())
		if got := back(answer); got.Get("state") != "s1" || got.Get("iss") != issuerURL || len(got) != 3 || answer.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("sent back with %v", got)
		}
		status, got := y.redeem(withCode(back(answer).Get("code")))
		if status != http.StatusOK || got.Scope != "events:read" || got.RefreshToken == "" {
			t.Fatalf("%d %+v", status, got)
		}
		_, text := w.site.call(t, "GET", "/v1/whoami", nil, "Authorization", "Bearer "+got.AccessToken)
		var who api.WhoAmI
		if json.Unmarshal([]byte(text), &who) != nil || !slices.Equal(who.Scopes, []string{"events:read"}) || who.Kind != "token" {
			t.Fatalf("%s", text)
		}
		if answer, _ := w.site.call(t, "GET", "/v1/keys", nil, "Authorization", "Bearer "+got.AccessToken); answer.StatusCode != http.StatusForbidden {
			t.Errorf("it can do more than was agreed to: %d", answer.StatusCode)
		}
		_, next := y.redeem(withRefresh(got.RefreshToken))
		if !y.works(next.AccessToken) || next.RefreshToken == got.RefreshToken {
			t.Errorf("refreshed: %+v", next)
		}
		_, text = w.site.call(t, "GET", "/v1/connected-apps", nil, "X-API-Key", admin)
		var list api.ConnectedAppPage
		if json.Unmarshal([]byte(text), &list) != nil || len(list.Data) != 1 || list.Data[0].AppID != y.app.ID || list.Data[0].ApprovedBy != y.person.id || list.Data[0].ID != who.KeyID || list.Data[0].Status != "active" {
			t.Fatalf("connected: %s", text)
		}
		method, path := end(y, who.KeyID)
		if answer, text := w.site.call(t, method, path, nil, "X-API-Key", admin); answer.StatusCode != http.StatusNoContent {
			t.Fatalf("%s: %d %s", name, answer.StatusCode, text)
		}
		status, refused := y.redeem(withRefresh(next.RefreshToken))
		want := map[bool]string{true: "invalid_client", false: "invalid_grant"}[name == "app revoked"]
		if y.works(got.AccessToken) || y.works(next.AccessToken) || refused.Error != want {
			t.Errorf("%s: it goes on: %d %+v", name, status, refused)
		}
	}
}

// Promise: who is not the app, or shows something else than it was given, gets nothing: a code is bound to its app, its address
// and its verifier, and is good for a minute (RFC 9700 sections 4.5, 4.8, 4.14).
func TestCodesAreBound(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	y, thief := p.party(app.Registration{}), p.party(app.Registration{Name: "Thief"})
	for name, form := range map[string]url.Values{
		"no code": withCode(""), "unknown code": withCode("ac_x"), "other verifier": withCode(y.code(), "code_verifier", strings.Repeat("x", 43)),
		"no verifier": withCode(y.code(), "code_verifier", ""), "the challenge as verifier": withCode(y.code(), "code_verifier", challenge),
		"other address": withCode(y.code(), "redirect_uri", "http://127.0.0.1/cb"), "no address": withCode(y.code(), "redirect_uri", ""),
		"longer address": withCode(y.code(), "redirect_uri", sentBack+"/"), "more rights": withCode(y.code(), "scope", "events:read sql:run"),
		"other resource": withCode(y.code(), "resource", "https://other.example"), "as a client": withCode(y.code(), "grant_type", "client_credentials"),
		"no grant": withCode(y.code(), "grant_type", ""), "a code as refresh token": withRefresh(y.code()),
	} {
		if status, got := y.redeem(form); status != http.StatusBadRequest || got.AccessToken != "" {
			t.Errorf("%s: %d %+v", name, status, got)
		}
	}
	if _, got := thief.redeem(withCode(y.code())); got.Error != "invalid_grant" {
		t.Errorf("another app: %+v", got)
	}
	code := y.code()
	for name, form := range map[string]url.Values{
		"wrong secret": withCode(code, "client_id", y.app.ID, "client_secret", thief.secret), "no secret": withCode(code, "client_id", y.app.ID),
		"unknown app": withCode(code, "client_id", "app_AAAAAAAAAAAAAAAAAAAAAA", "client_secret", y.secret), "client in place of the app": withCode(code, "client_id", p.client(y.person).id, "client_secret", y.secret),
	} {
		if status, got := y.redeem(form); status != http.StatusUnauthorized || got.Error != "invalid_client" {
			t.Errorf("%s: %d %+v", name, status, got)
		}
	}
	late := y.code()
	if _, got := y.redeem(withCode(code)); got.AccessToken == "" {
		t.Errorf("what others tried has used the code up: %+v", got)
	}
	w.clock.Advance(app.CodeLife)
	if _, got := y.redeem(withCode(late)); got.Error != "invalid_grant" {
		t.Errorf("a minute later: %+v", got)
	}
	w.clock.Advance(app.CodeLife + time.Second)
	w.apps.Sweep(t.Context())
	_, text := w.site.call(t, "GET", "/v1/connected-apps?active=true", nil, "X-API-Key", p.key("secret live all").text)
	var list api.ConnectedAppPage
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Data) != 1 {
		t.Errorf("what was never redeemed has not ended: %s", text)
	}
}

// Promise: a code or a refresh token that is used a second time ends all that came of it; of many that use one at the same
// time no more than one gets anything (RFC 9700 sections 4.5 and 4.14.2).
func TestUsingAgainEndsAll(t *testing.T) {
	t.Parallel()
	w := open(t)
	y := w.project(t).party(app.Registration{})
	code := y.code()
	_, got := y.redeem(withCode(code))
	if _, again := y.redeem(withCode(code)); again.Error != "invalid_grant" || y.works(got.AccessToken) {
		t.Errorf("a code twice: %+v", again)
	}
	if _, next := y.redeem(withRefresh(got.RefreshToken)); next.Error != "invalid_grant" {
		t.Errorf("its refresh token: %+v", next)
	}
	_, first := y.redeem(withCode(y.code()))
	_, second := y.redeem(withRefresh(first.RefreshToken))
	if _, again := y.redeem(withRefresh(first.RefreshToken)); again.Error != "invalid_grant" || y.works(first.AccessToken) || y.works(second.AccessToken) {
		t.Errorf("a refresh token twice: %+v", again)
	}
	if _, next := y.redeem(withRefresh(second.RefreshToken)); next.Error != "invalid_grant" {
		t.Errorf("the next one: %+v", next)
	}
	_, first = y.redeem(withCode(y.code()))
	var won atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			answer, _ := y.post("/v1/oauth/token", changed(withRefresh(first.RefreshToken), []string{"client_id", y.app.ID, "client_secret", y.secret}))
			if answer.StatusCode == http.StatusOK {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() > 1 || y.works(first.AccessToken) {
		t.Errorf("%d of 8 got the next", won.Load())
	}
}

// Promise: a person is sent nowhere but where the app registered, whatever is wrong; there the app is told what is wrong, with
// its state and who says so, which tells servers apart (RFC 9700 sections 4.1, 4.4 and 4.11).
func TestNobodyIsSentElsewhere(t *testing.T) {
	t.Parallel()
	w := open(t)
	y := w.project(t).party(app.Registration{})
	at := func(v url.Values) *http.Response {
		answer, text := w.site.call(t, "GET", "/v1/oauth/authorize?"+v.Encode(), nil, "Accept", "text/html")
		if answer.StatusCode != http.StatusSeeOther && answer.StatusCode != http.StatusOK && strings.Contains(text, "<form") {
			t.Errorf("%v is asked of a person all the same", v)
		}
		return answer
	}
	for _, uri := range []string{
		"", "https://evil.example", sentBack + "/", sentBack + "?x=1", sentBack + "#x", "https://made.example.evil.example/back", "https://made.example@evil.example/back", "//made.example/back",
		"https://made.example/back/../x", "http://made.example/back", "HTTPS://made.example/back", "javascript:alert(1)", "http://127.0.0.1:0/cb", "http://127.0.0.1:80@evil.example/cb", "http://127.0.0.1:99999/cb",
		"http://localhost/cb", "http://127.0.0.1/cb/", "http://127.0.0.1.evil.example/cb",
	} {
		if answer := at(y.asks("redirect_uri", uri)); answer.StatusCode != http.StatusBadRequest || answer.Header.Get("Location") != "" {
			t.Errorf("%q: %d to %s", uri, answer.StatusCode, answer.Header.Get("Location"))
		}
	}
	for _, uri := range []string{"http://127.0.0.1:54321/cb", "http://127.0.0.1/cb"} {
		if answer := at(y.asks("redirect_uri", uri)); answer.StatusCode != http.StatusOK {
			t.Errorf("%q: %d", uri, answer.StatusCode)
		}
	}
	if answer := at(y.asks("client_id", "app_AAAAAAAAAAAAAAAAAAAAAA")); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown app: %d", answer.StatusCode)
	}
	twice := y.asks()
	twice.Add("redirect_uri", sentBack)
	if answer := at(twice); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("two addresses: %d", answer.StatusCode)
	}
	for change, want := range map[[2]string]string{
		{"response_type", ""}: "invalid_request", {"response_type", "token"}: "unsupported_response_type", {"response_mode", "fragment"}: "invalid_request",
		{"code_challenge", ""}: "invalid_request", {"code_challenge_method", ""}: "invalid_request", {"code_challenge_method", "plain"}: "invalid_request", {"code_challenge", "short"}: "invalid_request",
		{"scope", ""}: "invalid_scope", {"scope", "everything"}: "invalid_scope", {"scope", "keys:write"}: "invalid_scope", {"resource", "https://other.example"}: "invalid_target",
		{"request", "x"}: "request_not_supported", {"dpop_jkt", "x"}: "invalid_request",
	} {
		answer := at(y.asks(change[0], change[1]))
		got := back(answer)
		if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), sentBack+"?") || got.Get("error") != want || got.Get("state") != "s1" || got.Get("iss") != issuerURL {
			t.Errorf("%v: %d %v", change, answer.StatusCode, got)
		}
	}
	answer, _ := y.post("/v1/oauth/authorize/deny", y.asks())
	if got := back(answer); answer.StatusCode != http.StatusSeeOther || got.Get("error") != "access_denied" || got.Get("state") != "s1" || got.Get("iss") != issuerURL {
		t.Errorf("denied: %d %v", answer.StatusCode, got)
	}
	if answer, _ = y.post("/v1/oauth/authorize/deny", y.asks("state", strings.Repeat("x", 20_000))); answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a long form: %d", answer.StatusCode)
	}
	if answer, _ = w.site.call(t, "GET", "/v1/oauth/authorize?"+y.asks("state", strings.Repeat("x", 20_000)).Encode(), nil); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a long address: %d", answer.StatusCode)
	}
	if answer, _ = y.post("/v1/oauth/authorize/deny", y.asks("redirect_uri", "https://evil.example"), "Accept", "text/html"); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("denied elsewhere: %d", answer.StatusCode)
	}
}

// Promise: a key is taken from the page of this server and from no other; what is entered is shown to nobody, is not marked as
// exposed, and is told what is wrong with it on the page; nothing is handed on that it has not (RFC 9700 sections 4.7 and 4.16).
func TestKeysAreEnteredHere(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	y, stranger := p.party(app.Registration{}), w.project(t)
	for name, c := range map[string]struct {
		key    string
		origin string
		status int
		says   string
	}{
		"from elsewhere":  {y.person.text, "https://evil.example", 403, "from a page of this server"},
		"from nowhere":    {y.person.text, "null", 403, "from a page of this server"},
		"unknown":         {unknownKey, "", 401, "not accepted"},
		"no key":          {"let-me-in", "", 401, "is not one"},
		"no right":        {p.key("secret live events:read").text, "", 403, "keys:write"},
		"less than asked": {p.key("secret live keys:write").text, "", 403, "cannot hand on more"},
		"public":          {p.key("public live").text, "", 403, "keys:write"},
		"stranger":        {stranger.key("secret live all").text, "", 404, "nothing"},
		"of test mode":    {p.key("secret test all").text, "", 404, "nothing"},
	} {
		form := y.asks("key", c.key)
		headers := []string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Origin", "http://" + w.site.address}
		if c.origin != "" {
			headers[5] = c.origin
		}
		answer, page := w.site.call(t, "POST", "/v1/oauth/authorize", strings.NewReader(form.Encode()), headers...)
		if answer.StatusCode != c.status || !strings.Contains(page, c.says) || !strings.Contains(page, "<form") || strings.Contains(page, c.key) || answer.Header.Get("Location") != "" {
			t.Errorf("%s: %d %s", name, answer.StatusCode, page)
		}
	}
	for _, origin := range []string{"http://" + w.site.address, issuerURL} {
		if answer, text := y.enters(y.asks(), "Origin", origin); origin == issuerURL && answer.StatusCode == http.StatusSeeOther {
			t.Errorf("two origins: %d %s", answer.StatusCode, text)
		}
	}
	if answer, _ := y.post("/v1/oauth/authorize", y.asks("key", y.person.text), "Origin", issuerURL); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("from the public address: %d", answer.StatusCode)
	}
	if answer, _ := y.post("/v1/oauth/authorize", y.asks("key", y.person.text)); answer.StatusCode != http.StatusForbidden {
		t.Errorf("from no page: %d", answer.StatusCode)
	}
	if answer, _ := y.post("/v1/oauth/authorize", y.asks(), "X-API-Key", y.person.text); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("by a program: %d", answer.StatusCode)
	}
	_, text := w.site.call(t, "GET", "/v1/keys/"+y.person.id, nil, "X-API-Key", p.key("secret live all").text)
	var key api.Key
	if json.Unmarshal([]byte(text), &key) != nil || key.Exposed == "" {
		t.Errorf("what a page elsewhere had is not marked as exposed: %s", text) // it was entered at https://evil.example
	}
	clean := p.party(app.Registration{Name: "Clean"})
	_ = clean.code()
	_, text = w.site.call(t, "GET", "/v1/keys/"+clean.person.id, nil, "X-API-Key", p.key("secret live all").text)
	if json.Unmarshal([]byte(text), &key) != nil || strings.Contains(text, `"exposed"`) {
		t.Errorf("what was entered here is marked as exposed: %s", text)
	}
}

// Promise: what an app was let in with has no secret and gets none, and is never more than somebody agreed to.
func TestGrantsOnlyNarrow(t *testing.T) {
	t.Parallel()
	w := open(t)
	y := w.project(t).party(app.Registration{})
	admin := y.p.key("secret live all").text
	grant := y.p.connected()
	for path, body := range map[string]string{
		"POST /rotate": "", "POST /signing-secret": "", "PATCH ": `{"scopes":["events:read","sql:run"]}`, "PATCH  ": `{"public_keys":["11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]}`,
		"PATCH   ": `{"never_expires":true,"signature":true}`,
	} {
		method, rest, _ := strings.Cut(path, " ")
		answer, text := w.site.call(t, method, "/v1/keys/"+grant+strings.TrimSpace(rest), strings.NewReader(body), "X-API-Key", admin)
		if answer.StatusCode != http.StatusConflict || codeOf(text) != problem.Conflict {
			t.Errorf("%s %s: %d %s", path, body, answer.StatusCode, text)
		}
	}
	if answer, text := w.site.call(t, "PATCH", "/v1/keys/"+grant, strings.NewReader(`{"environments":["staging"]}`), "X-API-Key", admin); answer.StatusCode != http.StatusOK {
		t.Errorf("narrowed: %d %s", answer.StatusCode, text)
	}
}

// Promise: an app asks about and gives back what is its own, and learns nothing of others' tokens.
func TestAppsAskAboutTheirOwn(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	y, other := p.party(app.Registration{}), p.party(app.Registration{Name: "Other"})
	_, got := y.redeem(withCode(y.code()))
	ask := func(y *party, token string) (active bool) {
		answer, text := y.post("/v1/oauth/introspect", url.Values{"client_id": {y.app.ID}, "client_secret": {y.secret}, "token": {token}})
		var said struct{ Active bool }
		if answer.StatusCode != http.StatusOK || json.Unmarshal([]byte(text), &said) != nil {
			t.Errorf("%d %s", answer.StatusCode, text)
		}
		return said.Active
	}
	give := func(y *party, token string) {
		if answer, text := y.post("/v1/oauth/revoke", url.Values{"client_id": {y.app.ID}, "client_secret": {y.secret}, "token": {token}}); answer.StatusCode != http.StatusOK {
			t.Errorf("%d %s", answer.StatusCode, text)
		}
	}
	if !ask(y, got.AccessToken) || !ask(y, got.RefreshToken) || ask(other, got.AccessToken) || ask(other, got.RefreshToken) || ask(y, "none") {
		t.Error("what is active is not what should be")
	}
	give(other, got.AccessToken)
	give(other, got.RefreshToken)
	if !y.works(got.AccessToken) || !ask(y, got.RefreshToken) {
		t.Error("another app gave it back")
	}
	give(y, got.AccessToken)
	if _, next := y.redeem(withRefresh(got.RefreshToken)); y.works(got.AccessToken) || next.AccessToken == "" {
		t.Error("an access token that was given back")
	} else {
		give(y, next.RefreshToken)
		if y.works(next.AccessToken) || ask(y, next.RefreshToken) {
			t.Error("a refresh token that was given back")
		}
	}
}

// meddler does something once while a request is charged: after it was decided on, and before it is done.
type meddler struct {
	gate.Limits

	do func()
}

func (m *meddler) Take(ctx context.Context, c gate.Charge) gate.Charged {
	if m.do != nil {
		do := m.do
		m.do = nil
		do()
	}
	return m.Limits.Take(ctx, c)
}

// Promise: whoever is narrowed while it lets an app in, or ends one, is told to ask again; a project has so many apps and no more.
func TestAppsInConflict(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	y := p.party(app.Registration{})
	m := &meddler{Limits: w.limits}
	s := w.variant(t, func(cfg *api.Config) { cfg.Gate = gate.New(w.ring, w.issuer, m, w.ledger, w.clock.Now, newDecision) }, nil)
	grant := p.connected()
	for _, c := range [][3]string{
		{"DELETE", "/v1/connected-apps/" + grant, ""}, {"DELETE", "/v1/apps/" + p.app(true), ""}, {"POST", "/v1/oauth/authorize", y.asks().Encode()},
	} {
		admin := p.key("secret live all")
		m.do = func() {
			few := access.KeysWrite | access.EventsRead
			if _, err := w.ring.Update(t.Context(), p.permit(access.WriteKeys), admin.id, keyring.Change{Scopes: &few}); err != nil {
				t.Error(err)
			}
		}
		answer, text := s.call(t, c[0], c[1], strings.NewReader(c[2]), "X-API-Key", admin.text, "Content-Type", "application/x-www-form-urlencoded")
		if answer.StatusCode != http.StatusConflict {
			t.Errorf("%s %s: %d %s", c[0], c[1], answer.StatusCode, text)
		}
	}
	full := w.project(t)
	for range app.MaxApps {
		_ = full.app(false)
	}
	answer, text := w.site.call(t, "POST", "/v1/apps", strings.NewReader(`{"name":"One more","redirect_uris":["https://made.example/back"]}`), "X-API-Key", full.key("secret live all").text)
	if answer.StatusCode != http.StatusConflict {
		t.Errorf("one more: %d %s", answer.StatusCode, text)
	}
}

// Promise: what must be proved with a key is: an app that needs DPoP gets nothing without, its code is bound to the key that it
// named, and the refresh tokens of an app without a secret are bound to the key that they were got with.
func TestAppsProveKeys(t *testing.T) {
	t.Parallel()
	w := open(t)
	y := w.project(t).party(app.Registration{Public: true, DPoP: true})
	if y.secret != "" {
		t.Error("a public app has a secret")
	}
	_, mine, _ := ed25519.GenerateKey(nil)
	_, other, _ := ed25519.GenerateKey(nil)
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(mine.Public().(ed25519.PublicKey)) + `"}`))
	thumbprint := base64.RawURLEncoding.EncodeToString(sum[:]) // RFC 7638
	id := []string{"DPoP", ""}
	with := func(key ed25519.PrivateKey, form url.Values) (int, granted) {
		form.Set("client_id", y.app.ID)
		id[1] = prove(w, key, "POST", "/v1/oauth/token", "")
		return y.redeem(form, id...)
	}
	form := withCode(y.code())
	if status, got := y.redeem(form); status != http.StatusBadRequest || got.Error != "invalid_dpop_proof" {
		t.Errorf("without a proof: %d %+v", status, got)
	}
	form.Set("client_secret", "as_x")
	if _, got := with(mine, form); got.Error != "invalid_client" {
		t.Errorf("with a secret that it has not: %+v", got)
	}
	form.Del("client_secret")
	bound := withCode(y.code("dpop_jkt", thumbprint))
	if _, got := with(other, bound); got.Error != "invalid_grant" {
		t.Errorf("with another key than it named: %+v", got)
	}
	_, got := with(mine, bound)
	if got.RefreshToken == "" || y.works(got.AccessToken) {
		t.Errorf("with the key that it named: %+v", got)
	}
	if _, next := with(other, withRefresh(got.RefreshToken)); next.Error != "invalid_grant" {
		t.Errorf("refreshed with another key: %+v", next)
	}
	if _, next := with(mine, withRefresh(got.RefreshToken)); next.RefreshToken == "" {
		t.Errorf("refreshed: %+v", next)
	}
}
