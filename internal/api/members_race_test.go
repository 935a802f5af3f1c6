package api_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
)

// meanwhile is a world's members with something that happens once, right after a member was found by an email, and with the
// ending of a member's key, or of a token, going wrong as often as failures says.
type meanwhile struct {
	org.People
	org.Keys

	happens        func()
	failures, ends int
}

var errMeanwhile = errors.New("something went wrong meanwhile")

func (m *meanwhile) FindMember(ctx context.Context, email string) (org.Member, error) {
	one, err := m.People.FindMember(ctx, email)
	if happens := m.happens; happens != nil {
		m.happens = nil
		happens()
	}
	return one, err
}

func (m *meanwhile) EndMember(ctx context.Context, permit gate.Permit, project, id string) error {
	if m.failures > 0 {
		m.failures--
		return errMeanwhile
	}
	return m.Keys.EndMember(ctx, permit, project, id)
}

func (w *world) meanwhile() (*meanwhile, *org.Members) {
	m := &meanwhile{People: w.store, Keys: w.ring}
	return m, org.NewMembers(org.PeopleConfig{
		People: m, Invitations: w.store, Sessions: w.store, Keys: m, Projects: w.projects.Of, Now: w.clock.Now, NewID: newSuffix, NewAudit: newAudit,
		Cost: org.Cost{Time: 1, Memory: 64}, Log: w.log,
		EndToken: func(ctx context.Context, client access.Lookup, id string, ends time.Time) error {
			if m.ends > 0 {
				m.ends--
				return errMeanwhile
			}
			return w.endToken(ctx, client, id, ends)
		},
	})
}

var somewhere = netip.MustParseAddr("192.0.2.9")

// Promise: whoever gets another role, or is removed, while a password is looked at, enters with the role of now or not at all.
func TestEnteringMeanwhile(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p, q := w.project(t), w.project(t)
	m, members := w.meanwhile()
	permit := p.permit(access.WriteMembers)
	email, one := p.member(access.Admin, true)
	m.happens = func() {
		if _, err := members.Change(t.Context(), permit, one.ID, access.Viewer, true); err != nil {
			t.Error(err)
		}
	}
	proof, err := members.Prove(t.Context(), email, access.SecretText(somePassword), q.id, somewhere)
	if err != nil {
		t.Fatal(err)
	}
	if key, found := w.ring.Peek(q.id, proof.Key.ID()); !found || key.Role != access.Viewer {
		t.Errorf("who was made a viewer enters as %+v", key)
	}
	email, one = p.member(access.Admin, true)
	m.happens = func() {
		if err := members.Remove(t.Context(), permit, one.ID); err != nil {
			t.Error(err)
		}
	}
	if _, err := members.Prove(t.Context(), email, access.SecretText(somePassword), q.id, somewhere); problem.From(err).Code != problem.SignInRefused {
		t.Errorf("who was removed enters: %v", err)
	}
	if keys := w.ring.MemberKeys(one.ID); len(keys) != 0 {
		t.Errorf("who was removed has %d keys", len(keys))
	}
}

// Promise: an invitation that is revoked, or whose inviter is, while the password is looked at, lets nobody in; nor is it worth
// all projects when whoever made it is of one by then.
func TestAcceptingMeanwhile(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	m, members := w.meanwhile()
	permit := p.permit(access.WriteMembers)
	boss, chief := p.member(access.Admin, true)
	token := p.session(boss).Access
	invite := func() string {
		_, body := w.site.call(t, "POST", "/v1/invitations", strings.NewReader(`{"email":"`+strings.ToLower(rand.Text())+`@example.com","role":"viewer","everywhere":true}`), "X-API-Key", token)
		return body[strings.Index(body, `"wi_`)+1:][:60]
	}
	accept := func(text string) error {
		_, err := members.Accept(t.Context(), access.SecretText(text), "Ana", access.SecretText(somePassword), somewhere)
		return err
	}
	good, late, later := invite(), invite(), invite()
	if err := accept(good); err != nil {
		t.Fatal(err)
	}
	m.happens = func() {
		if _, err := members.Change(t.Context(), permit, chief.ID, access.Admin, false); err != nil {
			t.Error(err)
		}
	}
	for _, text := range []string{late, later} {
		if err := accept(text); problem.From(err).Code != problem.SignInRefused {
			t.Errorf("into all projects, by whom is of one: %v", err)
		}
	}
}

// Promise: what went wrong half-way, when a role was taken from somebody or a session was ended, can be done once more, and is
// whole then.
func TestEndingAgain(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p, q := w.project(t), w.project(t)
	m, members := w.meanwhile()
	broken := w.variant(t, func(cfg *api.Config) { cfg.Members = members }, nil)
	operator := p.key("operator").text
	for name, c := range map[string]struct {
		method, body string
		done         int
	}{"removed": {"DELETE", "", 204}, "given a role in one project": {"PATCH", `{"role":"viewer"}`, 200}} {
		email, one := p.member(access.Admin, true)
		there := q.session(email)
		p.session(email)
		m.failures = 1
		if status, _ := broken.asks(t, operator, c.method, "/v1/members/"+one.ID, c.body); status != 500 {
			t.Errorf("%s half-way: %d", name, status)
		}
		if status, code := broken.asks(t, operator, c.method, "/v1/members/"+one.ID, c.body); status != c.done {
			t.Errorf("%s once more: %d %s", name, status, code)
		}
		if status, _ := broken.asks(t, there.Access, "GET", "/v1/whoami", ""); status != 401 {
			t.Errorf("a token of a member who was %s: %d", name, status)
		}
	}
	email, _ := p.member(access.Viewer, false)
	s := p.session(email)
	end := `{"refresh_token":"` + s.Refresh + `"}`
	m.ends = 1
	if status, _ := broken.asks(t, "", "POST", "/v1/members/sessions/end", end); status != 500 {
		t.Errorf("ending half-way: %d", status)
	}
	if status, code := broken.asks(t, "", "POST", "/v1/members/sessions/end", end); status != 204 {
		t.Errorf("ending once more: %d %s", status, code)
	}
	if status, _ := broken.asks(t, s.Access, "GET", "/v1/whoami", ""); status != 401 {
		t.Errorf("its token: %d", status)
	}
}

// Promise: nobody revokes an invitation to what they could not have given.
func TestWithdrawing(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	secret, operator := p.key("secret live all").text, p.key("operator").text
	invite := func(role access.Role, everywhere bool) string {
		made, _, err := w.members.Invite(t.Context(), p.permit(access.WriteMembers), org.Invited{Email: strings.ToLower(rand.Text()) + "@example.com", Role: role, Everywhere: everywhere})
		if err != nil {
			t.Fatal(err)
		}
		return "/v1/invitations/" + made.ID
	}
	owner, everywhere, here := invite(access.Owner, true), invite(access.Viewer, true), invite(access.Viewer, false)
	for _, c := range []struct {
		key, path string
		status    int
	}{{secret, owner, 403}, {secret, everywhere, 403}, {secret, here, 204}, {operator, owner, 204}, {operator, everywhere, 204}} {
		if status, code := w.site.asks(t, c.key, "DELETE", c.path, ""); status != c.status {
			t.Errorf("%d %s, want %d", status, code, c.status)
		}
	}
}
