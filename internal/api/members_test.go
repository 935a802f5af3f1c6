package api_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
)

// asks sends a request with a key and a JSON body, and gives its status and the code of a problem.
func (s *site) asks(t *testing.T, key, method, path, body string, headers ...string) (int, problem.Code) {
	t.Helper()
	if key != "" {
		headers = append(headers, "X-API-Key", key)
	}
	answer, text := s.call(t, method, path, strings.NewReader(body), headers...)
	if answer.StatusCode < 300 {
		return answer.StatusCode, ""
	}
	return answer.StatusCode, codeOf(text)
}

// Promise: an organization that has an owner keeps one, whoever asks and at the same time as whoever else; a member of the
// whole organization is one of every project, also of one that is made later, and of none when removed.
func TestOwners(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	first, one := p.member(access.Owner, true)
	token := p.session(first).Access
	for _, c := range []struct{ method, body string }{{"DELETE", ""}, {"PATCH", `{"role":"admin","everywhere":true}`}, {"PATCH", `{"role":"viewer"}`}} {
		if status, code := w.site.asks(t, token, c.method, "/v1/members/"+one.ID, c.body); status != 409 || code != problem.Conflict {
			t.Errorf("%s %s of the last owner: %d %s", c.method, c.body, status, code)
		}
	}
	admin, _ := p.member(access.Admin, true)
	if status, code := w.site.asks(t, p.session(admin).Access, "DELETE", "/v1/members/"+one.ID, ""); status != 403 || code != problem.GrantTooWide {
		t.Errorf("an admin removes an owner: %d %s", status, code)
	}
	second, two := p.member(access.Owner, true)
	made, body := w.site.call(t, "POST", "/v1/projects", strings.NewReader(`{"name":"later"}`), "Authorization", "Bearer "+token)
	if made.StatusCode != 201 {
		t.Fatalf("%d %s", made.StatusCode, body)
	}
	later := &project{w: w, t: t, id: body[strings.Index(body, "prj_"):][:20]}
	if s := later.session(second); s.Role != "owner" || s.Project != later.id {
		t.Errorf("in a project that was made later: %+v", s)
	}
	var both sync.WaitGroup
	statuses := make(chan int, 2)
	for token, id := range map[string]string{token: two.ID, p.session(second).Access: one.ID} {
		both.Go(func() {
			status, _ := w.site.asks(t, token, "DELETE", "/v1/members/"+id, "")
			statuses <- status
		})
	}
	both.Wait()
	removed := 0
	for range 2 {
		if status := <-statuses; status == 204 {
			removed++
		}
	}
	if removed != 1 {
		t.Errorf("%d of two owners were removed by each other", removed)
	}
}

// Promise: whatever role a member has in one project or in all, another one ends the rights of the one before in every project.
func TestRolesInProjects(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p, q := w.project(t), w.project(t)
	operator := p.key("operator").text
	email, one := p.member(access.Viewer, false)
	if status, code := w.site.asks(t, "", "POST", "/v1/members/sessions", `{"email":"`+email+`","password":"`+somePassword+`","project":"`+q.id+`"}`); status != 401 || code != problem.SignInRefused {
		t.Errorf("a member of another project signs in: %d %s", status, code)
	}
	if status, _ := w.site.asks(t, operator, "PATCH", "/v1/members/"+one.ID, `{"role":"developer","everywhere":true}`); status != 200 {
		t.Fatal(status)
	}
	here, there := p.session(email), q.session(email)
	if here.Role != "developer" || there.Role != "developer" {
		t.Errorf("%s and %s", here.Role, there.Role)
	}
	if status, _ := w.site.asks(t, operator, "PATCH", "/v1/members/"+one.ID, `{"role":"analyst"}`); status != 200 {
		t.Fatal(status)
	}
	for _, s := range []signedIn{here, there} {
		if status, code := w.site.asks(t, s.Access, "GET", "/v1/whoami", ""); status != 401 || code != problem.TokenNotAccepted {
			t.Errorf("a token from before: %d %s", status, code)
		}
	}
	if s := p.session(email); s.Role != "analyst" {
		t.Errorf("it is a %s", s.Role)
	}
	if status, _ := w.site.asks(t, "", "POST", "/v1/members/sessions", `{"email":"`+email+`","password":"`+somePassword+`","project":"`+q.id+`"}`); status != 401 {
		t.Errorf("what came of the role in all projects is still there: %d", status)
	}
}

// Promise: what a project lets a role see holds for its members at once.
func TestWhatARoleSees(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.key("secret live all").text
	w.site.call(t, "POST", "/track?sync=true", strings.NewReader(`[{"event":"A","distinct_id":"u_1"},{"event":"B","distinct_id":"u_2"}]`), "X-API-Key", key)
	email, _ := p.member(access.Analyst, false)
	s := p.session(email)
	count := func() string {
		_, body := w.site.call(t, "POST", "/v1/query", strings.NewReader(`{"sql":"SELECT count(*) AS n FROM events"}`), "X-API-Key", s.Access)
		return body
	}
	if got := count(); !strings.Contains(got, "2") {
		t.Errorf("an analyst sees %s", got)
	}
	if status, code := w.site.asks(t, key, "PATCH", "/v1/project/policy", `{"role_views":{"analyst":{"events":{"where":[{"column":"event","op":"=","value":"A"}]}}}}`); status != 200 {
		t.Fatal(status, code)
	}
	if got := count(); !strings.Contains(got, "1") || strings.Contains(got, "2]") {
		t.Errorf("with a view an analyst sees %s", got)
	}
	for _, wrong := range []string{`{"role_views":{"boss":null}}`, `{"role_views":{"viewer":{"events":{"where":[{"column":"event","op":"=","value":"@{org}"}]}}}}`} {
		if status, code := w.site.asks(t, key, "PATCH", "/v1/project/policy", wrong); status != 422 {
			t.Errorf("%s: %d %s", wrong, status, code)
		}
	}
	if status, _ := w.site.asks(t, key, "PATCH", "/v1/project/policy", `{"role_views":{"analyst":null}}`); status != 200 {
		t.Fatal(status)
	}
	if got := count(); !strings.Contains(got, "2") {
		t.Errorf("without it an analyst sees %s", got)
	}
}

// Promise: what is wrong with accepting an invitation is said as everywhere else, and passwords cannot be tried one after the
// other: after ten wrong ones from a network the right one is not looked at either, until a quarter of an hour is over.
func TestAcceptingAndTrying(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	for body, want := range map[string]int{
		`{"a":`: 400, `{}`: 422, strings.Repeat(" ", 1<<20): 413,
		`{"token":"wi_ABC_0000000000000000000000000000000000000000","name":"A","password":"correct horse battery"}`: 401,
	} {
		if status, code := w.site.asks(t, "", "POST", "/v1/invitations/accept", body); status != want {
			t.Errorf("%.40s: %d %s", body, status, code)
		}
	}
	if status, _ := w.site.asks(t, "", "POST", "/v1/invitations/accept", `<a/>`, "Content-Type", "application/xml"); status != 415 {
		t.Errorf("XML: %d", status)
	}
	email, _ := p.member(access.Viewer, false)
	in := func(password string) (int, problem.Code) { // always from the same place
		return w.proxied.asks(t, "", "POST", "/v1/members/sessions", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password), "X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https")
	}
	for n := range 10 {
		if status, code := in("wrong horse battery"); status != 401 || code != problem.SignInRefused {
			t.Errorf("wrong password %d: %d %s", n, status, code)
		}
	}
	if status, code := in(somePassword); status != 429 || code != problem.TooManyFailures {
		t.Errorf("the right one after ten wrong ones: %d %s", status, code)
	}
	twice := p.invitation(email, access.Analyst, false)
	status, _ := w.proxied.asks(t, "", "POST", "/v1/invitations/accept", fmt.Sprintf(`{"token":%q,"password":%q}`, twice, somePassword), "X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https")
	if status != 429 {
		t.Errorf("accepting with it: %d", status)
	}
	w.clock.Advance(15 * time.Minute)
	if status, code := in(somePassword); status != 201 {
		t.Errorf("a quarter of an hour later: %d %s", status, code)
	}
}

// Promise: members are within their project's limits, in signing in too; and an invitation is worth no more than the key that
// made it, and nothing once it has expired.
func TestMembersAreLimited(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	email, _ := p.member(access.Viewer, false)
	owner, _ := p.member(access.Owner, true)
	maker := p.key("secret live all")
	invite := func() string {
		_, body := w.site.call(t, "POST", "/v1/invitations", strings.NewReader(`{"email":"`+strings.ToLower(rand.Text())+`@example.com","role":"viewer"}`), "X-API-Key", maker.text)
		return body[strings.Index(body, `"wi_`)+1:][:60]
	}
	accept := func(token string) int {
		status, _ := w.site.asks(t, "", "POST", "/v1/invitations/accept", fmt.Sprintf(`{"token":%q,"name":"Ana","password":%q}`, token, somePassword))
		return status
	}
	late, orphan, good := invite(), invite(), invite()
	if status := accept(good); status != 201 {
		t.Errorf("accepting: %d", status)
	}
	p.end(maker, "revoked")
	if status := accept(orphan); status != 401 {
		t.Errorf("an invitation by a key that was revoked: %d", status)
	}
	w.clock.Advance(8 * 24 * time.Hour)
	if status := accept(late); status != 401 {
		t.Errorf("an invitation that expired: %d", status)
	}
	refresh, token := p.session(email).Refresh, p.session(owner).Access
	p.policy(access.Policy{Limits: access.Limits{Daily: access.Quota{Most: 1, OnFailure: access.FailDeny}}})
	w.site.asks(t, token, "GET", "/v1/whoami", "") // uses it up
	for _, c := range []struct{ key, method, path, body string }{
		{"", "POST", "/v1/members/sessions", fmt.Sprintf(`{"email":%q,"password":%q}`, email, somePassword)},
		{"", "POST", "/v1/members/sessions/renew", `{"refresh_token":"` + refresh + `"}`},
		{"", "POST", "/v1/members/sessions/end", `{"refresh_token":"` + refresh + `"}`},
		{"", "POST", "/v1/members/sessions/password", fmt.Sprintf(`{"email":%q,"password":%q,"new_password":%q}`, email, somePassword, somePassword)},
		{token, "POST", "/v1/projects", `{"name":"a"}`},
		{token, "PATCH", "/v1/organization", `{"name":"a"}`},
	} {
		if status, code := w.site.asks(t, c.key, c.method, c.path, c.body); status != 429 || code != problem.RateLimited {
			t.Errorf("%s %s over the limit: %d %s", c.method, c.path, status, code)
		}
	}
}

// Promise: an organization has no more projects than it may, and keeps one; a deleted project's keys and sessions are dead when
// the answer is there.
func TestProjectsEnd(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	operator, secret := p.key("operator").text, p.key("secret live all").text
	email, _ := p.member(access.Admin, false)
	s := p.session(email)
	few := w.variant(t, func(cfg *api.Config) {
		cfg.Projects = org.NewRegistry(org.ProjectsConfig{Store: w.store, Live: w.ring, Now: w.clock.Now, NewID: newSuffix, NewAudit: newAudit, Most: 2})
	}, nil)
	if status, code := few.asks(t, operator, "POST", "/v1/projects", `{"name":"third"}`); status != 409 || code != problem.Conflict {
		t.Errorf("a third of two: %d %s", status, code)
	}
	first, err := w.store.ProjectsOf(t.Context(), w.organization.ID)
	if err != nil {
		t.Fatal(err)
	}
	if status, code := w.site.asks(t, operator, "DELETE", "/v1/projects/"+first[0].ID+"?confirm=default", ""); status != 204 {
		t.Fatal(status, code)
	}
	if status, code := w.site.asks(t, operator, "DELETE", "/v1/projects/"+p.id+"?confirm=default", ""); status != 409 || code != problem.Conflict {
		t.Errorf("the last one: %d %s", status, code)
	}
	q := w.project(t)
	if status, _ := w.site.asks(t, q.key("operator").text, "DELETE", "/v1/projects/"+p.id+"?confirm=default", ""); status != 204 {
		t.Fatal(status)
	}
	for _, key := range []string{secret, operator, s.Access} {
		if status, _ := w.site.asks(t, key, "GET", "/v1/whoami", ""); status != http.StatusUnauthorized {
			t.Errorf("a key of a deleted project: %d", status)
		}
	}
	if status, _ := w.site.asks(t, "", "POST", "/v1/members/sessions/renew", `{"refresh_token":"`+s.Refresh+`"}`); status != http.StatusUnauthorized {
		t.Errorf("a session in it: %d", status)
	}
}
