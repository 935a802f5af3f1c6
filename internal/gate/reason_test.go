package gate_test

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// codes is what the sender is told of each reason, and with which status.
func codes() map[access.Reason]told {
	return map[access.Reason]told{
		access.ActionUndeclared:      {problem.KeyNotAccepted, 401},
		access.SentInCleartext:       {problem.CleartextCredential, 403},
		access.KeyRevoked:            {problem.KeyNotAccepted, 401},
		access.KeyDisabled:           {problem.KeyNotAccepted, 401},
		access.SecretReplaced:        {problem.KeyNotAccepted, 401},
		access.KeyNotYetValid:        {problem.KeyNotAccepted, 401},
		access.KeyExpired:            {problem.KeyNotAccepted, 401},
		access.SecretTooOld:          {problem.KeyNotAccepted, 401},
		access.KeyKindUnknown:        {problem.KeyNotAccepted, 401},
		access.TokenOutdated:         {problem.TokenNotAccepted, 401},
		access.CredentialInBody:      {problem.WrongCredential, 403},
		access.WrongCredential:       {problem.WrongCredential, 403},
		access.OneProjectOnly:        {problem.OneProjectOnly, 403},
		access.KeyQuarantined:        {problem.KeyQuarantined, 403},
		access.SecretInURL:           {problem.SecretKeyInURL, 401},
		access.SecretInBrowser:       {problem.SecretKeyInBrowser, 403},
		access.NetworkNotAllowed:     {problem.NetworkNotAllowed, 403},
		access.NetworksRequired:      {problem.ProjectCeiling, 403},
		access.DomainNotAllowed:      {problem.DomainNotAllowed, 403},
		access.ScopeMissing:          {problem.MissingScope, 403},
		access.ScopeOverCeiling:      {problem.ProjectCeiling, 403},
		access.PublicKeyUsed:         {problem.PublicKeyNotEnough, 403},
		access.UserTokenMissing:      {problem.PublicKeyNotEnough, 403},
		access.UserTokenWrong:        {problem.TokenNotAccepted, 401},
		access.UserTokenOther:        {problem.PublicKeyNotEnough, 403},
		access.SignatureMissing:      {problem.SignatureRequired, 401},
		access.SignatureRequired:     {problem.SignatureRequired, 401},
		access.SignatureInvalid:      {problem.SignatureInvalid, 401},
		access.NotVisible:            {problem.NotFound, 404},
		access.GrantTooWide:          {problem.GrantTooWide, 403},
		access.PublicGrantTooWide:    {problem.InvalidField, 422},
		access.GrantOverCeiling:      {problem.OverCeiling, 409},
		access.EnvironmentUnknown:    {problem.EnvironmentNotFound, 422},
		access.EnvironmentNotAllowed: {problem.EnvironmentNotAllowed, 403},
		access.EventNotAllowed:       {problem.EventNotAllowed, 403},
		access.ViewNotApplied:        {problem.ViewNotApplied, 403},
		access.ViewUnbound:           {problem.ViewUnbound, 403},
		access.DatasetNotAllowed:     {problem.DatasetNotAllowed, 403},
		access.DatasetNotRead:        {problem.DatasetNotAllowed, 403},
		access.DatasetNotDeleted:     {problem.MissingScope, 403},
	}
}

type told struct {
	code   problem.Code
	status int
}

// Promise: every reason of the policy has its problem, a reason added later too, with or without a target.
func TestEveryReasonHasAProblem(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	key := &access.Key{Project: w.Project, Kind: access.Secret, Mode: access.Live}
	attempt := &access.Attempt{Action: access.ReadEvents}
	count := 0
	for reason := access.Allowed + 1; reason.String() != "undecided"; reason++ {
		count++
		want, mapped := codes()[reason]
		if !mapped {
			t.Errorf("reason %s has no problem", reason)
		}
		for _, target := range []*access.Target{nil, {}, {Environment: "moon", Event: "signup"}, {Dataset: "quotes", Right: access.ReadRecords}} {
			p := gate.Problem(reason, key, attempt, target)
			if p.Code != want.code || p.Status() != want.status || len(p.Detail) < 20 || p.Detail[len(p.Detail)-1] == ' ' || strings.Contains(p.Detail, "%!") {
				t.Errorf("%s of %+v: %v, want %+v", reason, target, p, want)
			}
		}
	}
	if count != len(codes()) {
		t.Errorf("%d reasons, %d of them mapped here", count, len(codes()))
	}
	for _, reason := range []access.Reason{0, 200} {
		if p := gate.Problem(reason, key, attempt, nil); p.Code != problem.KeyNotAccepted {
			t.Errorf("a reason that is none: %v", p)
		}
	}
}

// Promise: the answer says what to mend: the scope that is missing, the environments the key may use, what it may grant.
func TestDetailsSayWhatToMend(t *testing.T) {
	t.Parallel()
	minted := gatetest.New(t).Clock.Now()
	for name, c := range map[string]struct {
		key     access.Key
		attempt access.Attempt
		detail  string
		scope   string
		field   string // "" none
	}{
		"network": {access.Key{Bounds: access.Bounds{Networks: networks("203.0.113.0/24")}}, access.Attempt{Action: access.HoldKey},
			"The key may not be used from the address 192.0.2.1.", "", ""},
		"page": {access.Key{Bounds: access.Bounds{Domains: []access.Domain{{Host: "www.example.com"}}}}, access.Attempt{Action: access.HoldKey},
			"The key may not be used from the page the request names.", "", ""},
		"signature": {access.Key{Bounds: access.Bounds{Signature: true}}, access.Attempt{Action: access.HoldKey},
			"The request is not signed, and the key takes signed requests only.", "", ""},
		"quarantine": {access.Key{State: access.Quarantined}, access.Attempt{Action: access.HoldKey},
			"The key is in quarantine: it may do nothing until an admin restores it.", "", ""},
		"ceiling of networks": {access.Key{MintedAt: minted, Project: ceilings()}, access.Attempt{Action: access.HoldKey},
			"The project requires its keys to be restricted to networks, and this one is not.", "", ""},
		"ceiling of scopes": {access.Key{MintedAt: minted, Project: ceilings(), Scopes: access.AllScopes, Bounds: access.Bounds{Networks: networks("192.0.2.0/24")}}, access.Attempt{Action: access.RunSQL},
			"The project's ceiling does not allow sql:run to any key of this kind.", "", ""},
		"public key": {access.Key{Kind: access.Public}, access.Attempt{Action: access.RevokeSelf},
			"Everybody can have the public key. Use a secret key.", "", ""},
		"event": {access.Key{Scopes: access.EventsWrite, Bounds: access.Bounds{Events: []string{"signup"}}},
			access.Attempt{Action: access.WriteEvents, Targets: []access.Target{{Event: "login"}}}, "The key may not send the event 'login'.", "", "event"},
		"view": {access.Key{Scopes: access.EventsRead, Bounds: access.Bounds{View: &access.View{}}}, access.Attempt{Action: access.FollowEvents},
			"The key may see some rows and columns only, and this cannot be narrowed to them.", "", ""},
		"view without values": {access.Key{Scopes: access.SQLRun, Bounds: access.Bounds{View: &access.View{Unbound: []string{"org", "team"}}}}, access.Attempt{Action: access.RunSQL},
			"What the key may see depends on a variable: a token of the key must give a value for org, team.", "", ""},
		"dataset": {access.Key{Scopes: access.DatasetsWrite, Bounds: access.Bounds{Datasets: &access.Datasets{}}},
			access.Attempt{Action: access.WriteDatasets, Targets: []access.Target{{Dataset: "quotes", Right: access.ReadRecords | access.WriteRecords}}},
			"The key does not have the right to read and write the dataset 'quotes'.", "", "dataset"},
		"dataset without a right": {access.Key{Scopes: access.DatasetsRead, Bounds: access.Bounds{Datasets: &access.Datasets{}}},
			access.Attempt{Action: access.ReadDatasets, Targets: []access.Target{{Dataset: "quotes"}}}, "The key does not have every right to the dataset 'quotes'.", "", "dataset"},
		"no dataset": {access.Key{Scopes: access.DatasetsRead, Bounds: access.Bounds{Datasets: &access.Datasets{}}}, access.Attempt{Action: access.ReadDatasets},
			"The request names no dataset, and the key may use only some.", "", "dataset"},
		"grant over networks": {access.Key{Scopes: access.KeysWrite, Bounds: access.Bounds{Networks: networks("192.0.2.0/24")}},
			access.Attempt{Action: access.WriteKeys, Grants: &access.Grant{Kind: access.Secret, Mode: access.Live}},
			"The key that asks cannot hand on more than it has itself: networks reaches further than its own.", "", "networks"},
		"grant everywhere": {access.Key{Scopes: access.AllScopes},
			access.Attempt{Action: access.WriteMembers, Grants: &access.Grant{Kind: access.Member, Mode: access.Live, Scopes: access.Viewer.Scopes(), Wide: true}},
			"The key that asks is of one project, and this is about everywhere: all projects of the organization. It takes the sign-in of a member who is one everywhere.", "", "everywhere"},
		"grant over limits": {access.Key{Scopes: access.KeysWrite, Bounds: access.Bounds{Limits: access.Limits{Daily: access.Quota{Most: 9}}}},
			access.Attempt{Action: access.WriteKeys, Grants: &access.Grant{Kind: access.Secret, Mode: access.Live}},
			"The key that asks cannot hand on more than it has itself: limits.daily reaches further than its own.", "", "limits.daily"},
		"grant over the ceiling": {access.Key{MintedAt: minted, Project: ceilings(), Scopes: access.KeysWrite, Bounds: access.Bounds{Networks: networks("192.0.2.0/24")}},
			access.Attempt{Action: access.WriteKeys, Grants: &access.Grant{Kind: access.Secret, Mode: access.Live, Bounds: access.Bounds{Networks: networks("192.0.2.0/24")}}},
			"The project's ceiling for secret keys does not allow this: expires_at.", "", "expires_at"},
		"scope": {access.Key{}, access.Attempt{Action: access.RunSQL},
			"This needs the scope sql:run, which the key does not hold.", "sql:run", ""},
		"environment unknown": {access.Key{Scopes: access.EventsRead}, access.Attempt{Action: access.ReadEvents, Targets: targets("moon")},
			"The project has no environment 'moon'.", "", "environment"},
		"environment of the other mode": {access.Key{Scopes: access.EventsRead}, access.Attempt{Action: access.ReadEvents, Targets: targets("development")},
			"This live key may not use the environment 'development'; it may use: production, staging.", "", "environment"},
		"environment it is not restricted to": {access.Key{Scopes: access.EventsRead, Bounds: access.Bounds{Environments: []string{"staging"}}},
			access.Attempt{Action: access.ReadEvents, Targets: targets("production")},
			"This live key may not use the environment 'production'; it may use: staging.", "", "environment"},
		"no environment at all": {access.Key{Scopes: access.EventsRead, Bounds: access.Bounds{Environments: []string{"moon"}}}, access.Attempt{Action: access.ReadEvents},
			"The request names no environment, and there is none this key may use.", "", "environment"},
		"none that it may use": {access.Key{Scopes: access.EventsRead, Bounds: access.Bounds{Environments: []string{"moon"}}},
			access.Attempt{Action: access.ReadEvents, Targets: targets("production")},
			"This live key may not use the environment 'production'; it may use: none.", "", "environment"},
		"grant": {access.Key{Scopes: access.KeysWrite, Mode: access.Test},
			access.Attempt{Action: access.WriteKeys, Grants: &access.Grant{Kind: access.Secret, Mode: access.Live}},
			"The key that asks holds keys:write in test mode: it cannot hand on more than that, nor for longer than it lives.", "", ""},
		"public grant": {access.Key{Scopes: access.AllScopes},
			access.Attempt{Action: access.WriteKeys, Grants: &access.Grant{Kind: access.Public, Mode: access.Live, Scopes: access.EventsRead}},
			"scopes: a public key can hold only events:write users:write projects:read datasets:read recordings:write workflows:run", "", "scopes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := gatetest.New(t)
			_, err := w.Ask(w.Mint(c.key), c.attempt)
			p := problem.From(err)
			if p.Detail != c.detail || p.Scope != c.scope {
				t.Errorf("%q with scope %q", p.Detail, p.Scope)
			}
			if c.field == "" != (len(p.Fields) == 0) || c.field != "" && p.Fields[0].Name != c.field {
				t.Errorf("fields %+v", p.Fields)
			}
			if denials, _ := w.Ledger.Take(); len(denials) != 1 || denials[0].ID != p.DecisionID || p.DecisionID == "" {
				t.Errorf("recorded %+v, the answer names %q", denials, p.DecisionID)
			}
		})
	}
}

// ceilings is a project with ceilings.
func ceilings() *access.Project {
	p := gatetest.NewProject("org_1", "prj_1")
	p.Policy.Secret = access.Ceiling{Scopes: access.KeysWrite, RequireNetworks: true, MaxLifetime: time.Hour}
	return p
}

// Promise: a thing of another tenant, a live thing for a test key and a thing that does not exist get one and the same
// answer.
func TestInvisibleThingsLookAlike(t *testing.T) {
	t.Parallel()
	var like *problem.Error
	for name, subject := range map[string]access.Subject{
		"another tenant's": {Project: "prj_2", Mode: access.Test}, "live": {Project: "prj_1", Mode: access.Live}, "none": {},
	} {
		w := gatetest.New(t)
		_, err := w.Ask(w.Mint(access.Key{Mode: access.Test, Scopes: access.KeysRead}), access.Attempt{Action: access.ReadKeys, Subject: &subject})
		p := problem.From(err)
		if like == nil {
			like = p
		}
		if p.Code != problem.NotFound || p.Status() != 404 || !reflect.DeepEqual(p, like) {
			t.Errorf("%s: %+v, others %+v", name, p, like)
		}
	}
}

// Promise: a permit words a refused item as the whole request would be worded.
func TestRefusalOfAnItem(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	permit := w.Permit(access.Attempt{Action: access.WriteEvents, Each: true, Targets: targets("production", "moon", "development")})
	login := access.Target{Event: "login"}
	_, err := w.Ask(w.Mint(access.Key{Scopes: access.EventsWrite, Bounds: access.Bounds{Events: []string{"signup"}}}),
		access.Attempt{Action: access.WriteEvents, Targets: []access.Target{login}})
	whole := *problem.From(err)
	whole.DecisionID = ""
	if item := permit.Refusal(login, access.EventNotAllowed); !reflect.DeepEqual(*item, whole) {
		t.Errorf("login: %+v, and whole %+v", *item, whole)
	}
	for i, r := range permit.Refused() {
		name := []string{"moon", "development"}[i]
		_, err := w.Ask(w.Key(access.Secret, access.EventsWrite), access.Attempt{Action: access.WriteEvents, Targets: targets(name)})
		whole := *problem.From(err)
		whole.DecisionID = ""
		if item := permit.Refusal(access.Target{Environment: name}, r.Reason); !reflect.DeepEqual(*item, whole) {
			t.Errorf("%s: %+v, and whole %+v", name, *item, whole)
		}
	}
}

// Promise: a name that came from outside is cut when it is quoted, and quoted as valid UTF-8.
func TestQuotedNamesAreCut(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"moon":                         "'moon'",
		strings.Repeat("m", 64):        "'" + strings.Repeat("m", 64) + "'",
		strings.Repeat("m", 65):        "'" + strings.Repeat("m", 64) + "…'",
		strings.Repeat("m", 1<<20):     "'" + strings.Repeat("m", 64) + "…'",
		strings.Repeat("é", 33):        "'" + strings.Repeat("é", 32) + "…'",
		"x" + strings.Repeat("é", 32):  "'x" + strings.Repeat("é", 31) + "…'",
		"x" + strings.Repeat("💧", 1e4): "'x" + strings.Repeat("💧", 15) + "…'",
		"mo\xffon":                     "'moon'",
		"\xe2\x82":                     "''",
		strings.Repeat("\xff", 1<<16):  "'…'",
		"moon\x00":                     "'moon\x00'",
	} {
		for _, environments := range [][]string{nil, {"staging"}} {
			w := gatetest.New(t)
			project := gatetest.NewProject("org_1", "prj_1")
			project.Environments = append(project.Environments, access.Environment{Name: "test " + name, Mode: access.Test})
			text := w.Mint(access.Key{Project: project, Scopes: access.EventsWrite, Bounds: access.Bounds{Environments: environments}})
			_, err := w.Ask(text, access.Attempt{Action: access.WriteEvents, Targets: targets(name)})
			p := problem.From(err)
			if p.Code != problem.EnvironmentNotFound || !utf8.ValidString(p.Detail) || !strings.HasSuffix(p.Detail, " "+want+".") {
				t.Errorf("%.40q is quoted as %.200q", name, p.Detail)
			}
		}
	}
}

// Promise: so it is where the environment exists and is not the key's.
func TestQuotedNamesAreCutWhenNotAllowed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{strings.Repeat("m", 1<<16), strings.Repeat("💧", 1e4), "\xffmoon"} {
		w := gatetest.New(t)
		project := &access.Project{ID: "prj_9", Environments: []access.Environment{{Name: name, Mode: access.Test}}}
		_, err := w.Ask(w.Mint(access.Key{Project: project, Scopes: access.EventsWrite}), access.Attempt{Action: access.WriteEvents, Targets: targets(name)})
		p := problem.From(err)
		if p.Code != problem.EnvironmentNotAllowed || !utf8.ValidString(p.Detail) || len(p.Detail) > 200 {
			t.Errorf("%.40q: %.300q", name, p.Detail)
		}
	}
}
