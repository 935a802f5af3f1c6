package gate_test

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// codes is what the sender is told of each reason.
func codes() map[access.Reason]problem.Code {
	return map[access.Reason]problem.Code{
		access.ActionUndeclared:      problem.KeyNotAccepted,
		access.KeyRevoked:            problem.KeyNotAccepted,
		access.KeyExpired:            problem.KeyNotAccepted,
		access.KeyKindUnknown:        problem.KeyNotAccepted,
		access.SecretInURL:           problem.SecretKeyInURL,
		access.ScopeMissing:          problem.MissingScope,
		access.EnvironmentUnknown:    problem.EnvironmentNotFound,
		access.EnvironmentNotAllowed: problem.EnvironmentNotAllowed,
		access.NotVisible:            problem.NotFound,
		access.GrantTooWide:          problem.GrantTooWide,
		access.PublicGrantTooWide:    problem.InvalidField,
	}
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
		for _, target := range []*access.Target{nil, {}, {Environment: "moon", Event: "signup"}} {
			p := gate.Problem(reason, key, attempt, target)
			if p.Code != want || len(p.Detail) < 20 || p.Detail[len(p.Detail)-1] == ' ' || strings.Contains(p.Detail, "%!") {
				t.Errorf("%s of %+v: %v, want %s", reason, target, p, want)
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
	for name, c := range map[string]struct {
		key     access.Key
		attempt access.Attempt
		detail  string
		scope   string
		field   string
	}{
		"scope": {access.Key{}, access.Attempt{Action: access.RunSQL},
			"This needs the scope sql:run, which the key does not hold.", "sql:run", ""},
		"environment unknown": {access.Key{Scopes: access.EventsRead}, access.Attempt{Action: access.ReadEvents, Targets: targets("moon")},
			"The project has no environment 'moon'.", "", "environment"},
		"environment of the other mode": {access.Key{Scopes: access.EventsRead}, access.Attempt{Action: access.ReadEvents, Targets: targets("development")},
			"This live key may not use the environment 'development'; it may use: production, staging.", "", "environment"},
		"environment it is not restricted to": {access.Key{Scopes: access.EventsRead, Environments: []string{"staging"}},
			access.Attempt{Action: access.ReadEvents, Targets: targets("production")},
			"This live key may not use the environment 'production'; it may use: staging.", "", "environment"},
		"no environment at all": {access.Key{Scopes: access.EventsRead, Environments: []string{"moon"}}, access.Attempt{Action: access.ReadEvents},
			"The request names no environment, and there is none this key may use.", "", "environment"},
		"none that it may use": {access.Key{Scopes: access.EventsRead, Environments: []string{"moon"}},
			access.Attempt{Action: access.ReadEvents, Targets: targets("production")},
			"This live key may not use the environment 'production'; it may use: none.", "", "environment"},
		"grant": {access.Key{Scopes: access.KeysWrite, Mode: access.Test},
			access.Attempt{Action: access.WriteKeys, Grants: &access.Grant{Kind: access.Secret, Mode: access.Live}},
			"The key that asks holds keys:write in test mode: it cannot hand on more than that, nor for longer than it lives.", "", ""},
		"public grant": {access.Key{Scopes: access.AllScopes},
			access.Attempt{Action: access.WriteKeys, Grants: &access.Grant{Kind: access.Public, Mode: access.Live, Scopes: access.EventsRead}},
			"scopes: a public key can hold only events:write users:write projects:read recordings:write", "", "scopes"},
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
	for i, r := range permit.Refused() {
		name := []string{"moon", "development"}[i]
		_, err := w.Ask(w.Key(access.Secret, access.EventsWrite), access.Attempt{Action: access.WriteEvents, Targets: targets(name)})
		whole := *problem.From(err)
		whole.DecisionID = ""
		if item := permit.Refusal(name, r.Reason); !reflect.DeepEqual(*item, whole) {
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
			text := w.Mint(access.Key{Project: project, Scopes: access.EventsWrite, Environments: environments})
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
