package keyring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// PolicyRecord is what a project decides for all its keys, as it is kept.
type PolicyRecord struct {
	access.Policy
	Revision int64 // counts the changes, from 1
}

// Policy is a project's policy as JSON has it: where it is stored, in the audit, and in answers.
type Policy struct {
	SecretInBrowser bool     `json:"secret_in_browser" doc:"Whether a secret key may come from a page. Everybody who opens the page can read it."`
	SecretInURL     bool     `json:"secret_in_url" doc:"Whether a secret key may stand in a query string, as some older clients need. It is marked as exposed all the same. The secret of a client, and a token, never may."`
	EmbeddedTokens  bool     `json:"embedded_tokens" doc:"Whether access tokens that are made for it may come from a page. Other tokens never may."`
	Ceilings        Ceilings `json:"ceilings" doc:"What no key goes beyond, when it is made and when it is used."`
	Limits          Limits   `json:"limits" doc:"How much all keys together may be used."`

	RoleViews map[string]View `json:"role_views" doc:"What the members of a role see where they read, by the name of the role; a role that is not named sees everything." example:"{}"`
}

// Ceilings are one for each kind of key.
type Ceilings struct {
	Public Ceiling `json:"public"`
	Secret Ceiling `json:"secret"`
}

// Ceiling is what no key of a kind goes beyond.
type Ceiling struct {
	MaxLifetimeDays  int      `json:"max_lifetime_days" minimum:"0" maximum:"36500" doc:"How old a secret may get, from its making; 0: any age."`
	Scopes           []string `json:"scopes" maxItems:"64" doc:"The scopes that may be held; empty: all." nullable:"false"`
	RequireNetworks  bool     `json:"require_networks" doc:"Whether each key must be restricted to networks."`
	RequireSignature bool     `json:"require_signature" doc:"Whether each request must be signed."`
}

// PolicyOf writes a policy.
func PolicyOf(p *access.Policy) Policy {
	views := map[string]View{}
	for _, role := range access.Roles() {
		if v := p.Views[role]; v != nil {
			views[role.String()] = View(view.Text(v))
		}
	}
	return Policy{
		RoleViews: views, SecretInBrowser: p.SecretInBrowser, SecretInURL: p.SecretInURL, EmbeddedTokens: p.EmbeddedTokens, Limits: LimitsOf(p.Limits),
		Ceilings: Ceilings{Public: ceilingOf(p.Public), Secret: ceilingOf(p.Secret)},
	}
}

func ceilingOf(c access.Ceiling) Ceiling {
	return Ceiling{
		MaxLifetimeDays: int(c.MaxLifetime / day), Scopes: c.Scopes.Names(), RequireNetworks: c.RequireNetworks, RequireSignature: c.RequireSignature,
	}
}

const day = 24 * time.Hour

// Read reads a policy. The problem names every field at fault.
func (p *Policy) Read() (access.Policy, error) {
	var f faults
	policy := access.Policy{
		SecretInBrowser: p.SecretInBrowser, SecretInURL: p.SecretInURL, EmbeddedTokens: p.EmbeddedTokens, Limits: f.readLimits(p.Limits),
		Public: f.readCeiling("ceilings.public", p.Ceilings.Public), Secret: f.readCeiling("ceilings.secret", p.Ceilings.Secret),
	}
	f.limits(policy.Limits)
	for name, text := range p.RoleViews {
		role, known := access.ParseRole(name)
		if !known {
			f.add("role_views", "names a role that there is not")
			continue
		}
		v, err := f.readViewAt("role_views."+name, text)
		if policy.Views[role] = v; err == nil && v != nil && len(v.Unbound) > 0 {
			f.add("role_views."+name, "must have values, and no variables: nobody gives a member values for them")
		}
	}
	return policy, f.problem()
}

// readViewAt reads the view of a field.
func (f *faults) readViewAt(field string, text View) (*access.View, error) {
	if len(text) == 0 || jsontext.Value(text).Kind() == 'n' {
		return nil, nil
	}
	v, err := view.Read(jsontext.Value(text), field)
	if err != nil {
		*f = append(*f, problem.From(err).Fields...)
	}
	return v, err
}

const (
	maxLifetimeDays = 36_500
	maxScopes       = 64 // names in a list, the same ones again too
)

func (f *faults) readCeiling(field string, c Ceiling) access.Ceiling {
	ceiling := access.Ceiling{RequireNetworks: c.RequireNetworks, RequireSignature: c.RequireSignature, MaxLifetime: time.Duration(c.MaxLifetimeDays) * day}
	if f.many(field+".scopes", len(c.Scopes), maxScopes) {
		return ceiling
	}
	if c.MaxLifetimeDays < 0 || c.MaxLifetimeDays > maxLifetimeDays {
		f.add(field+".max_lifetime_days", "must be from 0, for any, to %d", maxLifetimeDays)
	}
	for i, name := range c.Scopes {
		scope, err := access.ParseScope(name)
		if err != nil {
			f.add(fmt.Sprintf("%s.scopes[%d]", field, i), "%s", err)
		}
		ceiling.Scopes |= scope
	}
	return ceiling
}

// WritePolicy and ReadPolicy are a policy as a store keeps it, as one text.
func WritePolicy(p *access.Policy) string {
	text, err := json.Marshal(PolicyOf(p))
	if err != nil {
		panic(err) // a policy always marshals
	}
	return string(text)
}

// ReadPolicy reads what WritePolicy wrote; an empty text is the zero policy.
func ReadPolicy(text string) (access.Policy, error) {
	if text == "" {
		return access.Policy{}, nil
	}
	var p Policy
	if err := readStrictly(text, &p); err != nil {
		return access.Policy{}, err
	}
	return p.Read()
}

// ErrNoProject is what a Store answers when there is no such project.
var ErrNoProject = errors.New("keyring: there is no such project")

// Policy gives the policy of the permit's project.
func (r *Ring) Policy(ctx context.Context, permit gate.Permit) (PolicyRecord, error) {
	rec, err := r.store.ChangePolicy(ctx, permit.Project(), func(*PolicyRecord) (*audit.Entry, error) { return nil, nil })
	if err != nil {
		return PolicyRecord{}, fmt.Errorf("keyring: read a policy: %w", err)
	}
	return rec, nil
}

// SetPolicy changes the policy of the permit's project. When it returns, it holds for every key. edit gets the policy as
// it is. revision is that of the policy the change is meant for; 0: whatever it is by now. confirmed lets a key lock
// itself out.
func (r *Ring) SetPolicy(ctx context.Context, permit gate.Permit, revision int64, confirmed bool, edit func(*access.Policy) error) (PolicyRecord, error) {
	if err := r.begin(ctx, permit); err != nil {
		return PolicyRecord{}, err
	}
	defer r.changing.give()
	project := *r.live.Load().projects[permit.Project()]
	var found, wanted *access.Policy // as it was read, and as it was to become: nil when it was not to be changed
	rec, err := r.store.ChangePolicy(ctx, permit.Project(), func(rec *PolicyRecord) (*audit.Entry, error) {
		as := rec.Policy
		found, wanted = &as, nil
		if revision != 0 && revision != rec.Revision {
			return nil, problem.New(problem.PreconditionFailed, "The policy is at version %d by now, and not at %d.", rec.Revision, revision).
				At("header.If-Match", "is not the present version")
		}
		before := PolicyOf(&rec.Policy)
		if err := edit(&rec.Policy); err != nil {
			return nil, err
		}
		for _, v := range rec.Views {
			if err := r.canHash(v); err != nil {
				return nil, err
			}
		}
		project.Policy = rec.Policy
		if err := lockedOut(permit, &project, confirmed); err != nil {
			return nil, err
		}
		to := rec.Policy
		wanted = &to
		entry := audit.Of(permit, r.cfg.NewID(), "project.policy", permit.Project(), before, PolicyOf(&rec.Policy))
		return &entry, nil
	})
	switch {
	case err == nil:
		r.publishPolicy(permit.Project(), rec.Policy)
		return rec, nil
	case wanted != nil:
		r.unsurePolicy(ctx, permit.Project(), *wanted)
	case found != nil:
		r.publishPolicy(permit.Project(), *found) // another program may have changed it
	}
	return PolicyRecord{}, fmt.Errorf("keyring: change a policy: %w", err)
}

// publishPolicy makes a stored policy hold for every key of a project. The caller has the turn.
func (r *Ring) publishPolicy(id string, policy access.Policy) {
	live := r.live.Load()
	project := *live.projects[id]
	if project.Policy == policy {
		return
	}
	project.Policy = policy
	r.live.Store(live.withProject(&project))
}

// unsurePolicy is called when the store failed while a policy was to become wanted. If the store cannot say which it is,
// whatever either of them forbids is forbidden until it can. The caller has the turn.
func (r *Ring) unsurePolicy(ctx context.Context, id string, wanted access.Policy) {
	is := r.live.Load().projects[id].Policy
	if is == wanted {
		return
	}
	r.doubt = &doubt{project: id}
	if r.settle(ctx) != nil {
		r.publishPolicy(id, stricter(is, wanted))
	}
}

func (r *Ring) settlePolicy(ctx context.Context) error {
	rec, err := r.store.ChangePolicy(ctx, r.doubt.project, func(*PolicyRecord) (*audit.Entry, error) { return nil, nil })
	if err == nil {
		r.publishPolicy(r.doubt.project, rec.Policy)
	}
	return err
}

// stricter allows what both policies allow.
func stricter(a, b access.Policy) access.Policy {
	return access.Policy{
		SecretInBrowser: a.SecretInBrowser && b.SecretInBrowser, SecretInURL: a.SecretInURL && b.SecretInURL,
		EmbeddedTokens: a.EmbeddedTokens && b.EmbeddedTokens, Views: bothViews(a.Views, b.Views),
		Public: lower(a.Public, b.Public), Secret: lower(a.Secret, b.Secret),
		Limits: access.Limits{
			Rate: access.Rate{
				PerSecond: least(a.Limits.Rate.PerSecond, b.Limits.Rate.PerSecond), Burst: least(a.Limits.Rate.Burst, b.Limits.Rate.Burst),
				OnFailure: min(a.Limits.Rate.OnFailure, b.Limits.Rate.OnFailure),
			},
			Daily:   smaller(a.Limits.Daily, b.Limits.Daily),
			Credits: smaller(a.Limits.Credits, b.Limits.Credits),
		},
	}
}

// bothViews are what both let the members of each role see.
func bothViews(a, b access.RoleViews) (both access.RoleViews) {
	for i := range both {
		both[i] = a[i].And(b[i])
	}
	return both
}

// noScope is a set that no scope is in. As a ceiling it allows none, where the empty set allows all.
const noScope = ^access.AllScopes

func lower(a, b access.Ceiling) access.Ceiling {
	c := access.Ceiling{
		MaxLifetime: least(a.MaxLifetime, b.MaxLifetime), Scopes: a.Scopes & b.Scopes,
		RequireNetworks: a.RequireNetworks || b.RequireNetworks, RequireSignature: a.RequireSignature || b.RequireSignature,
	}
	switch {
	case a.Scopes == 0 || b.Scopes == 0:
		c.Scopes = a.Scopes | b.Scopes
	case c.Scopes == 0:
		c.Scopes = noScope
	}
	return c
}

func smaller(a, b access.Quota) access.Quota {
	return access.Quota{Most: least(a.Most, b.Most), OnFailure: min(a.OnFailure, b.OnFailure)}
}

// least is the lesser of two limits, of which 0 is none.
func least[N int64 | time.Duration](a, b N) N {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// lockedOut refuses a policy that would keep the key that asks for it from asking again.
func lockedOut(permit gate.Permit, project *access.Project, confirmed bool) error {
	if confirmed {
		return nil
	}
	if reason := permit.Would(permit.Key().In(project)); reason != access.Allowed {
		return problem.New(problem.Lockout, "Under this policy the key that asks for it could not ask again (%s). Send 'confirm_lockout': true if that is meant.", reason).
			At("confirm_lockout", "must be true to do this")
	}
	return nil
}
