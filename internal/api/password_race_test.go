package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/org"
)

// between is a world's store of people and sessions with something that happens once: right after a member was found by an
// email, after a session was read, or after a token was ended.
type between struct {
	org.People
	org.Sessions

	found, read, ended func()
}

func once(happens *func()) {
	if do := *happens; do != nil {
		*happens = nil
		do()
	}
}

func (b *between) FindMember(ctx context.Context, email string) (org.Member, error) {
	defer once(&b.found)
	return b.People.FindMember(ctx, email)
}

func (b *between) Session(ctx context.Context, id string) (org.Session, error) {
	defer once(&b.read)
	return b.Sessions.Session(ctx, id)
}

// between is a site of a world where something happens between two steps.
func (w *world) between(t *testing.T) (*between, *site) {
	b := &between{People: w.store, Sessions: w.store}
	members := org.NewMembers(org.PeopleConfig{
		People: b, Invitations: w.store, Sessions: b, Keys: w.ring, Projects: w.projects.Of, Now: w.clock.Now, NewID: newSuffix, NewAudit: newAudit,
		Cost: org.Cost{Time: 1, Memory: 64}, Log: w.log,
		EndToken: func(ctx context.Context, client access.Lookup, id string, ends time.Time) error {
			defer once(&b.ended)
			return w.endToken(ctx, client, id, ends)
		},
	})
	return b, w.variant(t, func(cfg *api.Config) { cfg.Members = members }, nil)
}

const (
	signInPath, renewPath = "/v1/members/sessions", "/v1/members/sessions/renew"
	endPath, changePath   = "/v1/members/sessions/end", "/v1/members/sessions/password"
)

// Promise: a session that is begun or renewed with what was good before a password was changed does not survive the change,
// whenever in between it is; nor does another change with the password of before.
func TestNoSessionSurvivesAPasswordChange(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	b, slow := w.between(t)
	for name, c := range map[string]struct {
		when *func()
		path string
		body func(email string, s signedIn) string
	}{
		"begun": {&b.found, signInPath, func(email string, _ signedIn) string {
			return fmt.Sprintf(`{"email":%q,"password":%q}`, email, somePassword)
		}},
		"renewed": {&b.read, renewPath, func(_ string, s signedIn) string { return fmt.Sprintf(`{"refresh_token":%q}`, s.Refresh) }},
		"changed": {&b.found, changePath, func(email string, _ signedIn) string {
			return fmt.Sprintf(`{"email":%q,"password":%q,"new_password":"the password of a thief"}`, email, somePassword)
		}},
	} {
		email, one := p.member(access.Viewer, false)
		before := p.session(email)
		const next = "another password altogether"
		*c.when = func() {
			body := fmt.Sprintf(`{"email":%q,"password":%q,"new_password":%q}`, email, somePassword, next)
			if status, code := w.site.asks(t, "", "POST", changePath, body); status != 204 {
				t.Errorf("%s: the change: %d %s", name, status, code)
			}
		}
		if status, code := slow.asks(t, "", "POST", c.path, c.body(email, before)); status != 401 {
			t.Errorf("%s: %d %s", name, status, code)
		}
		if list, err := w.store.SessionsOf(t.Context(), one.ID, w.clock.Now()); err != nil || len(list) != 0 {
			t.Errorf("%s: %d sessions are left, %v", name, len(list), err)
		}
		if status, _ := w.site.asks(t, before.Access, "GET", "/v1/whoami", ""); status != 401 {
			t.Errorf("%s: the token of before: %d", name, status)
		}
		if status, code := w.site.asks(t, "", "POST", signInPath, fmt.Sprintf(`{"email":%q,"password":%q}`, email, next)); status != 201 {
			t.Errorf("%s: signing in with the password of now: %d %s", name, status, code)
		}
	}
}

// Promise: signing out ends also the access token of a renewal that came in between.
func TestSigningOutWhileRenewing(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	b, slow := w.between(t)
	email, _ := p.member(access.Viewer, false)
	s := p.session(email)
	var renewed signedIn
	b.ended = func() {
		_, body := w.site.call(t, "POST", renewPath, strings.NewReader(fmt.Sprintf(`{"refresh_token":%q}`, s.Refresh)))
		if err := json.Unmarshal([]byte(body), &renewed); err != nil || renewed.Access == "" {
			t.Errorf("renewing: %s, %v", body, err)
		}
	}
	if status, code := slow.asks(t, "", "POST", endPath, fmt.Sprintf(`{"refresh_token":%q}`, s.Refresh)); status != 204 {
		t.Errorf("%d %s", status, code)
	}
	for _, token := range []string{s.Access, renewed.Access} {
		if status, _ := w.site.asks(t, token, "GET", "/v1/whoami", ""); status != 401 {
			t.Errorf("a token of a session that was ended: %d", status)
		}
	}
	if status, _ := w.site.asks(t, "", "POST", renewPath, fmt.Sprintf(`{"refresh_token":%q}`, renewed.Refresh)); status != 401 {
		t.Errorf("renewing what was ended: %d", status)
	}
}
