package api_test

import (
	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/keyring"
)

// verifier is what the tests' challenges are the SHA-256 of.
const verifier = "a-verifier-that-is-long-enough-to-be-one-of-PKCE"

// challenge is that of verifier.
const challenge = "UgTKch5MQT_lwaMe1OJjf5IJ5Xb7r0CWza8MTE_uqeE"

// askedOfAPP is what an app asks for.
const askedOfAPP = "response_type=code&client_id=APP&redirect_uri=https%3A%2F%2Fmade.example%2Fback&scope=events%3Aread&state=s1&code_challenge=" + challenge + "&code_challenge_method=S256"

// app is an app of the project: always the same one, or a new one.
func (p *project) app(same bool) string {
	p.t.Helper()
	ctx, permit := p.t.Context(), p.permit(access.WriteApps)
	list, err := p.w.apps.List(ctx, permit)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, one := range list {
		if same && one.RevokedAt.IsZero() && one.Name == "the same" {
			return one.ID
		}
	}
	name := "another"
	if same {
		name = "the same"
	}
	made, _, err := p.w.apps.Create(ctx, permit, app.Registration{Name: name, Redirects: []string{"https://made.example/back"}})
	if err != nil {
		p.t.Fatal(err)
	}
	return made.ID
}

// connected is what an app of the project was let in with.
func (p *project) connected() string {
	p.t.Helper()
	parent, _ := p.w.ring.Peek(p.id, p.key("secret live all").id)
	rec, secrets, err := p.w.ring.Create(p.t.Context(), p.permit(access.WriteKeys), keyring.New{Kind: access.Client, Parent: parent, App: p.app(true), Scopes: access.EventsRead})
	if err != nil || !secrets.Key.Empty() {
		p.t.Fatal(err)
	}
	return rec.ID
}
