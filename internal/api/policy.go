package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// ProjectPolicy is what a project decides for all its keys.
type ProjectPolicy struct {
	keyring.Policy
	Version int64 `json:"version" doc:"Counts the changes. It is in the ETag, for If-Match."`
}

type changePolicy struct {
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The version that the change is meant for, as in the ETag."`
	Body    struct {
		SecretInBrowser *bool           `json:"secret_in_browser,omitempty" nullable:"false" doc:"Whether a secret key may come from a page."`
		SecretInURL     *bool           `json:"secret_in_url,omitempty" nullable:"false" doc:"Whether a secret key may stand in a query string."`
		EmbeddedTokens  *bool           `json:"embedded_tokens,omitempty" nullable:"false" doc:"Whether access tokens that are made for it may come from a page."`
		Ceilings        *ceilingsChange `json:"ceilings,omitempty" nullable:"false" doc:"What no key goes beyond, when it is made and when it is used."`
		Limits          *limitChange    `json:"limits,omitempty" nullable:"false" doc:"How much all keys together may be used. What is left out stays as it is."`
		RoleViews       viewsOfRoles    `json:"role_views,omitempty" nullable:"false" doc:"What the members of a role see, by the name of the role; null: everything. A role that is not named stays as it is."`
		ConfirmLockout  bool            `json:"confirm_lockout,omitzero" doc:"Lets a key lock itself out."`
	}
	revision int64
}

// viewsOfRoles are views by the names of roles.
type viewsOfRoles map[string]jsontext.Value

// ceilingsChange has the ceilings that it changes.
type ceilingsChange struct {
	Public *ceilingChange `json:"public,omitempty" nullable:"false" doc:"For public keys."`
	Secret *ceilingChange `json:"secret,omitempty" nullable:"false" doc:"For secret keys."`
}

// ceilingChange has the parts of a ceiling that it changes.
type ceilingChange struct {
	MaxLifetimeDays  *int         `json:"max_lifetime_days,omitempty" minimum:"0" maximum:"36500" nullable:"false" doc:"How old a secret may get, from its making; 0: any age."`
	Scopes           *[]scopeName `json:"scopes,omitempty" maxItems:"64" nullable:"false" doc:"The scopes that may be held; an empty list: all."`
	RequireNetworks  *bool        `json:"require_networks,omitempty" nullable:"false" doc:"Whether each key must be restricted to networks."`
	RequireSignature *bool        `json:"require_signature,omitempty" nullable:"false" doc:"Whether each request must be signed."`
}

// over puts the change over the ceiling there is.
func (c *ceilingChange) over(into *keyring.Ceiling) {
	if c == nil {
		return
	}
	put(&into.MaxLifetimeDays, c.MaxLifetimeDays)
	put(&into.RequireNetworks, c.RequireNetworks)
	put(&into.RequireSignature, c.RequireSignature)
	if c.Scopes != nil {
		into.Scopes = scopes(*c.Scopes).Names()
	}
}

func mountPolicy(a *API) {
	mount(a, endpoint[nothing, ProjectPolicy]{
		Method: "GET", Path: "/v1/project/policy", Action: access.ReadPolicy, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (ProjectPolicy, error) {
			return policyView(a.cfg.Keys.Policy(ctx, permit))
		},
		Write: writePolicy,
		Doc:   doc{ID: "readPolicy", Tag: "Project", Summary: "Read the project's policy", Text: "What it decides for all its keys.", Version: true},
	})
	mount(a, endpoint[changePolicy, ProjectPolicy]{
		Method: "PATCH", Path: "/v1/project/policy", Action: access.WritePolicy, Read: readPolicyChange(a), Wants: wantsNothing[changePolicy],
		Do: func(ctx context.Context, permit gate.Permit, in changePolicy) (ProjectPolicy, error) {
			return policyView(a.cfg.Keys.SetPolicy(ctx, permit, in.revision, in.Body.ConfirmLockout, in.apply))
		},
		Write: writePolicy,
		Doc: doc{
			ID: "changePolicy", Tag: "Project", Version: true, Summary: "Change the project's policy", Examples: []example{lockoutExample}, Problems: []problem.Code{problem.Lockout, problem.Conflict, problem.PreconditionFailed},
			Text: "Takes effect for every key before the answer. What is left out stays as it is.",
		},
	})
}

func policyView(rec keyring.PolicyRecord, err error) (ProjectPolicy, error) {
	return ProjectPolicy{Policy: keyring.PolicyOf(&rec.Policy), Version: rec.Revision}, err
}

func writePolicy(rq *request, p ProjectPolicy) error {
	rq.reply.Header().Set("ETag", etag(p.Version))
	return rq.writeJSON(200, p)
}

func readPolicyChange(a *API) func(*request) (changePolicy, error) {
	read := bound[changePolicy](a)
	return func(rq *request) (changePolicy, error) {
		in, err := read(rq)
		if err == nil {
			in.revision, err = versionOf(in.IfMatch)
		}
		return in, err
	}
}

// apply changes a policy; the problem names every field at fault.
func (in changePolicy) apply(p *access.Policy) error {
	after := keyring.PolicyOf(p)
	put(&after.SecretInBrowser, in.Body.SecretInBrowser)
	put(&after.SecretInURL, in.Body.SecretInURL)
	put(&after.EmbeddedTokens, in.Body.EmbeddedTokens)
	if in.Body.Ceilings != nil {
		in.Body.Ceilings.Public.over(&after.Ceilings.Public)
		in.Body.Ceilings.Secret.over(&after.Ceilings.Secret)
	}
	if in.Body.Limits != nil {
		after.Limits = in.Body.Limits.over(after.Limits)
	}
	for role, v := range in.Body.RoleViews {
		after.RoleViews[role] = keyring.View(v)
	}
	read, err := after.Read()
	if err == nil {
		*p = read
	}
	return err
}

func put[T any](into, value *T) {
	if value != nil {
		*into = *value
	}
}
