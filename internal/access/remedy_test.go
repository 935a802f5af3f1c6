package access_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: the remedies of a no, all applied, make it a yes; and where it touches one thing none of them is for nothing.
// A no without remedies has a reason that nothing takes away.
func TestRemediesMend(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		if x := access.ExplainScreen(p.key, p.attempt); x.Remedies != nil {
			if key, attempt := mended(p, x.Remedies); !access.Screen(key, attempt).Allowed() {
				t.Fatalf("screened: %s, and after %+v still %s", x.Decision.Reason, x.Remedies, access.Screen(key, attempt).Reason)
			}
			met["screened"]++
		}
		e := access.Explain(p.key, p.attempt)
		switch {
		case e.Decision.Allowed() && len(e.Decision.Refused) == 0:
			if e.Remedies != nil {
				t.Fatalf("a yes with remedies: %+v", e.Remedies)
			}
			met["yes"]++
		case e.Remedies == nil:
			if !e.Decision.Allowed() && !hopeless(p.key, p.attempt, e.Steps) {
				t.Fatalf("%s, and there is nothing to do: %+v", e.Decision.Reason, e.Steps)
			}
			met["hopeless: "+e.Decision.Reason.String()]++
		default:
			if key, attempt := mended(p, e.Remedies); !access.Decide(key, attempt).Allowed() {
				t.Fatalf("%s, and after %+v still %s", e.Decision.Reason, e.Remedies, access.Decide(key, attempt).Reason)
			}
			for i := range e.Remedies {
				rest := slices.Delete(slices.Clone(e.Remedies), i, i+1)
				if key, attempt := mended(p, rest); len(attempt.Targets) < 2 && access.Decide(key, attempt).Allowed() {
					t.Fatalf("%s, and of %+v the remedy %d does nothing", e.Decision.Reason, e.Remedies, i)
				}
			}
			met[e.Decision.Reason.String()]++
		}
	})
	met.check(t, "yes", "screened", "sent_in_cleartext", "key_disabled", "key_quarantined", "secret_replaced", "key_not_yet_valid", "key_expired",
		"secret_too_old", "secret_in_url", "secret_in_browser", "network_not_allowed", "networks_required", "domain_not_allowed", "scope_missing",
		"scope_over_ceiling", "signature_missing", "signature_required", "signature_invalid", "environment_not_allowed", "event_not_allowed",
		"dataset_not_allowed", "hopeless: key_revoked", "hopeless: grant_too_wide", "hopeless: not_visible", "hopeless: environment_unknown",
		"hopeless: action_undeclared", "hopeless: view_not_applied", "view_unbound", "hopeless: public_key_used", "hopeless: scope_missing")
}

// Promise: a key that must get networks before it may hand anything on is told so only if it could hand it on then.
func TestRemediesThatNarrow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		networks, given []string
		observe         access.Restriction
		want            int
	}{
		"to the sender alone":    {nil, []string{"10.1.2.3"}, 0, 1},
		"to others too":          {nil, []string{"10.1.2.0/24"}, 0, 0},
		"to everywhere":          {nil, nil, 0, 0},
		"within what it watches": {[]string{"10.0.0.0/8"}, []string{"10.1.2.0/24"}, access.ByNetwork, 1},
		"beyond it":              {[]string{"10.0.0.0/8"}, []string{"11.0.0.0/8"}, access.ByNetwork, 0},
		"within, and away":       {[]string{"11.0.0.0/8"}, []string{"11.1.0.0/16"}, access.ByNetwork, 2},
	} {
		key := sampleKey()
		key.Project.Policy.Secret.RequireNetworks = true
		key.Networks, key.Observe = networksOf(c.networks), c.observe
		attempt := &access.Attempt{
			Action: access.WriteKeys, At: noon, Circumstances: access.Circumstances{Via: access.InHeader, Address: netip.MustParseAddr("10.1.2.3")},
			Grants: &access.Grant{Kind: access.Public, Mode: access.Live, Bounds: access.Bounds{Networks: networksOf(c.given)}},
		}
		e := access.Explain(key, attempt)
		if e.Decision.Reason != access.NetworksRequired || len(e.Remedies) != c.want {
			t.Errorf("%s: %s, remedies %+v", name, e.Decision.Reason, e.Remedies)
		}
		if k, a := mended(pair{key: key, attempt: attempt}, e.Remedies); access.Decide(k, a).Allowed() != (c.want > 0) {
			t.Errorf("%s: after %+v %s", name, e.Remedies, access.Decide(k, a).Reason)
		}
	}
}

// hopeless reports whether nothing would make the no a yes: of a batch, for none of its targets.
func hopeless(k *access.Key, a *access.Attempt, steps []access.Step) bool {
	lost := map[int]bool{}
	for _, s := range steps {
		if s.Reason != access.Allowed && !s.Observed && noRemedy(k, a, s) {
			lost[s.Target] = true
		}
	}
	switch {
	case lost[-1]:
		return true
	case a.Each && len(a.Targets) > 0:
		return len(lost) == len(a.Targets)
	}
	return len(lost) > 0
}

func noRemedy(k *access.Key, a *access.Attempt, s access.Step) bool {
	var target access.Target
	if s.Target >= 0 {
		target = a.Targets[s.Target]
	}
	switch s.Reason {
	case access.KeyNotYetValid, access.SecretTooOld, access.SecretReplaced:
		return a.At.IsZero()
	case access.NetworkNotAllowed:
		return !a.Address.IsValid()
	case access.NetworksRequired:
		return !a.Address.IsValid() || a.Grants != nil // with networks the key may grant less than it asked to
	case access.DomainNotAllowed:
		return a.Origin.Host == ""
	case access.DatasetNotDeleted:
		return k.Kind == access.Public
	case access.ScopeMissing:
		return k.Kind == access.Public && !access.ClientScopes.Has(a.Action.Scope())
	case access.EnvironmentNotAllowed:
		return !slices.ContainsFunc(k.Project.Environments, func(e access.Environment) bool {
			return (target.Environment == "" || e.Name == target.Environment) && (e.Mode == k.Mode || k.Kind == access.Operator || k.Kind == access.Member)
		})
	case access.EventNotAllowed:
		return target.Event == ""
	case access.DatasetNotAllowed:
		return target.Dataset == "" || target.Right == 0
	case access.ActionUndeclared, access.KeyRevoked, access.KeyKindUnknown, access.WrongCredential, access.PublicKeyUsed, access.UserTokenMissing, access.UserTokenWrong,
		access.UserTokenOther, access.NotVisible, access.GrantTooWide,
		access.PublicGrantTooWide, access.GrantOverCeiling, access.EnvironmentUnknown, access.ViewNotApplied, access.DatasetNotRead, access.OneProjectOnly:
		return true
	default:
		return false
	}
}

// mended are copies of a pair's key and attempt with the remedies applied, by what they say alone.
func mended(p pair, remedies []access.Remedy) (*access.Key, *access.Attempt) {
	k, a := cloneKey(p.key), cloneAttempt(p.attempt)
	for _, r := range remedies {
		switch r.Of {
		case "key":
			mendKey(k, a, r)
		case "request":
			if r.Field == "variables" { // a token of the key gives them, which is a key of its own to the policy
				k.View = &access.View{Tables: k.View.Tables}
				continue
			}
			mendAttempt(a, r)
		case "project":
			kind := strings.TrimSuffix(strings.TrimPrefix(r.Field, "ceilings."), ".scopes")
			c := map[string]*access.Ceiling{"public": &k.Project.Policy.Public, "secret": &k.Project.Policy.Secret}[kind]
			c.Scopes |= access.ScopesOf(strings.Fields(r.Value))
		}
	}
	return k, a
}

func mendKey(k *access.Key, a *access.Attempt, r access.Remedy) {
	switch r.Field + " " + r.Do {
	case "state set":
		k.State, _ = access.ParseState(r.Value)
	case "not_before set":
		k.NotBefore, _ = time.Parse(time.RFC3339Nano, r.Value)
	case "expires_at remove":
		k.ExpiresAt = time.Time{}
	case "secret set":
		k.MintedAt = a.At
	case "observe remove":
		one, _ := access.ParseRestriction(r.Value)
		k.Observe &^= one
	case "networks add":
		k.Networks = append(k.Networks, networksOf([]string{r.Value})...)
	case "domains add":
		k.Domains = append(k.Domains, domainsOf([]string{r.Value})...)
	case "scopes add":
		k.Scopes |= access.ScopesOf(strings.Fields(r.Value))
	case "environments add":
		k.Environments = append(k.Environments, r.Value)
	case "events add":
		k.Events = append(k.Events, r.Value)
	default:
		name, ok := strings.CutPrefix(r.Field, "datasets.")
		if !ok {
			panic("an unknown remedy: " + r.Field)
		}
		var rights access.Rights
		for right := range strings.FieldsSeq(r.Value) {
			one, _ := access.ParseRight(right)
			rights |= one
		}
		k.Datasets.Named = append(k.Datasets.Named, access.NamedDataset{Name: name, Rights: rights})
	}
}

func mendAttempt(a *access.Attempt, r access.Remedy) {
	switch r.Field {
	case "scheme":
		a.Cleartext = false
	case "credential":
		a.Via = access.InHeader
	case "browser":
		a.Browser = false
	case "secret":
		a.SecretUntil, a.SecretMinted = time.Time{}, time.Time{}
	case "signature":
		a.Signed = access.SignatureRight
	default:
		panic("an unknown remedy: " + r.Field)
	}
}
