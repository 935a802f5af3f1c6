package access_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// narrowing is one way of taking something away from a key, or of its project's taking it away from all its keys.
type narrowing struct {
	name string
	of   func(draw, *access.Key)
}

// narrowings that apply to k. Each changes the copy of the key that it is given.
func narrowings(k *access.Key) []narrowing {
	var list []narrowing
	add := func(name string, applies bool, of func(draw, *access.Key)) {
		if applies {
			list = append(list, narrowing{name, of})
		}
	}
	add("revoked", true, func(_ draw, k *access.Key) { k.RevokedAt = noon })
	add("disabled", true, func(_ draw, k *access.Key) { k.State = access.Disabled })
	add("quarantined", k.State == access.Active, func(_ draw, k *access.Key) { k.State = access.Quarantined })
	add("expired", !k.Observe.Has(access.ByTime), func(_ draw, k *access.Key) { k.ExpiresAt = noon.Add(-24 * time.Hour) })
	add("made to expire", k.ExpiresAt.IsZero(), func(_ draw, k *access.Key) { k.ExpiresAt = noon.Add(time.Hour) })
	add("put off", true, func(_ draw, k *access.Key) { k.NotBefore = k.NotBefore.Add(time.Hour) })
	add("a scope taken away", k.Scopes != 0, func(d draw, k *access.Key) {
		scope, _ := access.ParseScope(pick(d, "scope taken", k.Scopes.Names()))
		k.Scopes &^= scope
	})
	add("made to sign", true, func(_ draw, k *access.Key) { k.Signature = true })
	add("an environment removed", len(k.Project.Environments) > 0, func(d draw, k *access.Key) {
		project := *k.Project
		project.Environments = without(d, project.Environments)
		k.Project = &project
	})
	list = append(list, restrictions(k)...)
	return append(list, ceilings()...)
}

// restrictions are the narrowings of a key's lists. Where a project requires networks, having them is no narrowing.
func restrictions(k *access.Key) []narrowing {
	var list []narrowing
	add := func(what string, length int, restrict, further func(draw, *access.Key)) {
		switch {
		case length == 0:
			list = append(list, narrowing{"restricted to " + what, restrict})
		case length > 1:
			list = append(list, narrowing{"restricted to fewer " + what, further})
		}
	}
	add("environments", len(k.Environments),
		func(d draw, k *access.Key) { k.Environments = some(d, "only", names[:len(names)-1]) },
		func(d draw, k *access.Key) { k.Environments = without(d, k.Environments) })
	if !requiresNetworks(k) || len(k.Networks) > 0 {
		add("networks", len(k.Networks),
			func(d draw, k *access.Key) { k.Networks = networksOf(some(d, "from", networks)) },
			func(d draw, k *access.Key) { k.Networks = without(d, k.Networks) })
	}
	add("domains", len(k.Domains),
		func(d draw, k *access.Key) { k.Domains = domainsOf(some(d, "pages", domains)) },
		func(d draw, k *access.Key) { k.Domains = without(d, k.Domains) })
	add("events", len(k.Events),
		func(d draw, k *access.Key) { k.Events = some(d, "sends", patterns) },
		func(d draw, k *access.Key) { k.Events = without(d, k.Events) })
	switch {
	case k.Datasets == nil:
		list = append(list, narrowing{"restricted to datasets", func(d draw, k *access.Key) { k.Datasets = d.datasets() }})
	default:
		list = append(list, narrowing{"a right to a dataset taken away", func(d draw, k *access.Key) {
			sets := access.Datasets{Core: k.Datasets.Core && d.flip("core stays"), Premium: k.Datasets.Premium && d.flip("premium stays")}
			for _, named := range k.Datasets.Named {
				sets.Named = append(sets.Named, access.NamedDataset{Name: named.Name, Rights: named.Rights & d.rights()})
			}
			k.Datasets = &sets
		}})
	}
	if k.View == nil {
		list = append(list, narrowing{"restricted to a view", func(d draw, k *access.Key) { k.View = d.view() }})
	} else {
		list = append(list, narrowing{"restricted to less of a view", func(d draw, k *access.Key) { k.View = d.narrowerView(k.View) }})
	}
	observed := k.Observe & access.Observable
	if requiresNetworks(k) {
		observed &^= access.ByNetwork
	}
	if observed != 0 {
		list = append(list, narrowing{"enforced", func(d draw, k *access.Key) {
			one, _ := access.ParseRestriction(pick(d, "enforced", observed.Names()))
			k.Observe &^= one
		}})
	}
	return list
}

// ceilings are the narrowings of what the project allows.
func ceilings() []narrowing {
	change := func(name string, edit func(draw, *access.Policy, *access.Ceiling)) narrowing {
		return narrowing{"project: " + name, func(d draw, k *access.Key) {
			project := *k.Project
			c := &project.Policy.Secret
			if k.Kind == access.Public {
				c = &project.Policy.Public
			}
			edit(d, &project.Policy, c)
			k.Project = &project
		}}
	}
	return []narrowing{
		change("no secrets in URLs", func(_ draw, p *access.Policy, _ *access.Ceiling) { p.SecretInURL = false }),
		change("no secrets in browsers", func(_ draw, p *access.Policy, _ *access.Ceiling) { p.SecretInBrowser = false }),
		change("networks required", func(_ draw, _ *access.Policy, c *access.Ceiling) { c.RequireNetworks = true }),
		change("signature required", func(_ draw, _ *access.Policy, c *access.Ceiling) { c.RequireSignature = true }),
		change("a shorter life", func(d draw, _ *access.Policy, c *access.Ceiling) {
			if lasts := pick(d, "lasts", []time.Duration{time.Hour, time.Minute, 1}); c.MaxLifetime == 0 || lasts < c.MaxLifetime {
				c.MaxLifetime = lasts
			}
		}),
		change("fewer scopes", func(d draw, _ *access.Policy, c *access.Ceiling) {
			most := d.scopes() | access.EventsWrite
			if c.Scopes != 0 {
				most &= c.Scopes
			}
			if most != 0 {
				c.Scopes = most
			}
		}),
	}
}

func requiresNetworks(k *access.Key) bool {
	switch k.Kind {
	case access.Public:
		return k.Project.Policy.Public.RequireNetworks
	case access.Operator, access.Member:
		return false
	}
	return k.Project.Policy.Secret.RequireNetworks
}

// without is a copy of a list without one of its entries.
func without[V any](d draw, list []V) []V {
	i := rapid.IntRange(0, len(list)-1).Draw(d.T, "taken")
	return slices.Delete(slices.Clone(list), i, i+1)
}

// Promise: taking away a scope or a right, adding or tightening a restriction, enforcing one that was observed, lowering a
// ceiling of the project, disabling, revoking and expiring never turn a no into a yes, for the request as a whole and for
// each of its targets; and what is still allowed was within reach before.
func TestNarrowingAKeyNeverAllowsMore(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		before := verdicts(p.key, p.attempt)
		for _, how := range narrowings(p.key) {
			narrower := *p.key
			how.of(draw{T: t}, &narrower)
			after := verdicts(&narrower, p.attempt)
			for i := range before {
				if after[i] && !before[i] {
					t.Fatalf("%s: target %d of %+v is allowed", how.name, i-1, p.attempt)
				}
			}
			met[how.name+change(before[0], after[0])]++
			for _, env := range narrower.Reachable() {
				if !slices.Contains(p.key.Reachable(), env) {
					t.Fatalf("%s: %v came within reach", how.name, env)
				}
			}
		}
	})
	met.check(t, "revoked: yes to no", "disabled: yes to no", "quarantined: yes to no", "expired: yes to no", "made to expire: still yes",
		"put off: still yes", "a scope taken away: yes to no", "made to sign: yes to no", "an environment removed: yes to no",
		"restricted to environments: yes to no", "restricted to networks: yes to no", "restricted to domains: yes to no",
		"restricted to events: yes to no", "restricted to datasets: yes to no", "project: networks required: yes to no",
		"project: signature required: yes to no", "project: a shorter life: yes to no", "project: fewer scopes: yes to no",
		"project: no secrets in URLs: still yes", "project: no secrets in browsers: still yes", "enforced: still yes")
}

// Promise: to observe restrictions instead of enforcing them denies nothing that was allowed, and notes exactly what
// enforcing them would deny, with its reason; the data is the same. Only a project that requires networks wants them
// enforced; and what a key hands on is bounded by what is enforced, so grants are left out here.
func TestObservingNotesWhatEnforcingDenies(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		if requiresNetworks(p.key) {
			return
		}
		p.attempt.Grants = nil
		enforcing, observing := *p.key, *p.key
		enforcing.Observe = 0
		if observing.Observe == 0 {
			observing.Observe = access.AllRestrictions
		}
		e, o := access.Decide(&enforcing, p.attempt), access.Decide(&observing, p.attempt)
		if e.Allowed() && !o.Allowed() {
			t.Fatalf("allowed when enforced, and when observed %s", o.Reason)
		}
		if e.Allowed() && o.Data != e.Data {
			t.Fatalf("data %+v when enforced, and when observed %+v", e.Data, o.Data)
		}
		if !o.Allowed() {
			if o.Observed != nil {
				t.Fatalf("a no that notes %+v", o.Observed)
			}
			met["no"]++
			return
		}
		strict, lax := verdicts(&enforcing, p.attempt), verdicts(&observing, p.attempt)
		noted := firstNoted(o)
		if whole, ok := noted[-1]; ok {
			if e.Reason != whole {
				t.Fatalf("noted %s, and enforced it is %s", whole, e.Reason)
			}
			met["whole: "+whole.String()]++
			return
		}
		for i := range p.attempt.Targets {
			if !p.attempt.Each {
				strict[i+1] = access.Decide(&enforcing, alone(p.attempt, i)).Allowed()
			}
			reason, ok := noted[i]
			if lax[i+1] && strict[i+1] == ok {
				t.Fatalf("target %d: enforced %v, noted %v", i, strict[i+1], ok)
			}
			if ok {
				if single := access.Decide(&enforcing, alone(p.attempt, i)); single.Reason != reason {
					t.Fatalf("target %d: noted %s, and enforced it is %s", i, reason, single.Reason)
				}
				met["target: "+reason.String()]++
			}
		}
		met["yes"]++
	})
	met.check(t, "yes", "no", "whole: key_not_yet_valid", "whole: key_expired", "whole: network_not_allowed", "whole: domain_not_allowed",
		"whole: signature_missing", "target: environment_not_allowed", "target: event_not_allowed", "target: dataset_not_allowed")
}

// firstNoted is the first reason noted of each target, and of the request as a whole as -1.
func firstNoted(d access.Decision) map[int]access.Reason {
	noted := map[int]access.Reason{}
	for _, r := range d.Observed {
		if _, ok := noted[r.Index]; !ok {
			noted[r.Index] = r.Reason
		}
	}
	return noted
}

// alone is the attempt for one of its targets.
func alone(a *access.Attempt, target int) *access.Attempt {
	one := *a
	one.Targets = a.Targets[target : target+1]
	return &one
}
