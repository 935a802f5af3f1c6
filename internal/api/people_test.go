package api_test

import (
	"crypto/rand"
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/org"
)

const somePassword = "correct horse battery"

// invitation is one into the project, by whoever holds the data folder.
func (p *project) invitation(email string, role access.Role, everywhere bool) string {
	p.t.Helper()
	_, text, err := p.w.members.Invite(p.t.Context(), p.permit(access.WriteMembers), org.Invited{Email: email, Role: role, Everywhere: everywhere})
	if err != nil {
		p.t.Fatal(err)
	}
	return text.Reveal()
}

// member is somebody who has joined, with somePassword.
func (p *project) member(role access.Role, everywhere bool) (email string, one org.Member) {
	p.t.Helper()
	email = strings.ToLower(rand.Text()) + "@example.com"
	text := access.SecretText(p.invitation(email, role, everywhere))
	one, err := p.w.members.Accept(p.t.Context(), text, "Somebody", access.SecretText(somePassword), netip.MustParseAddr("192.0.2.9"))
	if err != nil {
		p.t.Fatal(err)
	}
	return email, one
}

// signed is what signing in answers.
type signedIn struct {
	Access  string   `json:"access_token"`
	Refresh string   `json:"refresh_token"`
	Project string   `json:"project"`
	Role    string   `json:"role"`
	Scopes  []string `json:"scopes"`
}

// session signs somebody in to the project.
func (p *project) session(email string) (s signedIn) {
	p.t.Helper()
	answer, body := p.w.site.call(p.t, "POST", "/v1/members/sessions", strings.NewReader(`{"email":"`+email+`","password":"`+somePassword+`","project":"`+p.id+`"}`))
	if answer.StatusCode != 201 {
		p.t.Fatalf("signing in: %d %s", answer.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// people puts what a wish about people needs in its place. Where a key is sent besides, the session is not looked at.
func (p *project) people(body string, looked bool) string {
	if !looked {
		body = strings.ReplaceAll(body, "SESSION", "ws_none")
	}
	if strings.Contains(body, "EMAIL") {
		email, _ := p.member(access.Analyst, false)
		body = strings.ReplaceAll(body, "EMAIL", email)
	}
	if strings.Contains(body, "SESSION") {
		email, _ := p.member(access.Analyst, false)
		body = strings.ReplaceAll(body, "SESSION", p.session(email).Refresh)
	}
	if strings.Contains(body, "INVITATION") {
		body = strings.ReplaceAll(body, "INVITATION", p.invitation(strings.ToLower(rand.Text())+"@example.com", access.Analyst, false))
	}
	body = strings.ReplaceAll(body, `"ENVIRONMENT"`, `"e`+strings.ToLower(rand.Text())+`"`)
	body = strings.ReplaceAll(body, "PASSWORD", somePassword)
	return strings.ReplaceAll(body, "ROLE", "viewer")
}
