package access_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: Explain, Screen and Decide never disagree, on any key and any attempt.
func TestExplainScreenAndDecideAgree(t *testing.T) {
	t.Parallel()
	met := tally{}
	for range 3 { // so often that each reason is met, the rare ones too
		rapid.Check(t, func(t *rapid.T) {
			p := drawPair(t)
			if sometimes(t, "chain") {
				p = drawChain(t)
			}
			if sometimes(t, "takes a dataset out") { // which few draws do, with what few keys hold
				p.attempt.Action, p.key.Kind, p.key.Scopes, p.key.Datasets = access.WriteExports, access.Secret, access.ExportsRun, nil
			}
			if fault := disagreement(p.key, p.attempt); fault != "" {
				t.Fatal(fault)
			}
			met[access.Decide(p.key, p.attempt).Reason.String()]++
		})
	}
	var need []string
	for _, reason := range allReasons() {
		need = append(need, reason.String())
	}
	met.check(t, need...)
}

// Promise: asking for more in one request never turns a no into a yes: about a stored thing too, with rights to hand on,
// with one target more.
func TestAskingForMoreNeverAllowsMore(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		more := *p.attempt
		switch how := rapid.IntRange(0, 2).Draw(t, "how"); {
		case how == 0 && more.Subject == nil:
			more.Subject = drawFrom(t).subject()
		case how == 1 && more.Grants == nil:
			more.Grants = drawFrom(t).grant()
		case how == 2 && len(more.Targets) > 0 && !more.Each:
			more.Targets = append(slices.Clone(more.Targets), drawFrom(t).target(p.key.Project))
		}
		before, after := access.Decide(p.key, p.attempt).Allowed(), access.Decide(p.key, &more).Allowed()
		if after && !before {
			t.Fatalf("%+v is denied and %+v allowed", p.attempt, more)
		}
		met["asking"+change(before, after)]++
	})
	met.check(t, "asking: yes to no", "asking: still yes", "asking: still no")
}

// Promise: in a batch each target gets the verdict that it would get alone.
func TestTargetsOfABatchAreJudgedAlone(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		p.attempt.Each = true
		together := verdicts(p.key, p.attempt)
		for i, target := range p.attempt.Targets {
			one := *p.attempt
			one.Targets, one.Each = []access.Target{target}, rapid.Bool().Draw(t, "each")
			if alone := access.Decide(p.key, &one).Allowed(); alone != together[i+1] {
				t.Fatalf("target %d: alone %v, in the batch %v", i, alone, together[i+1])
			}
			met["target"+change(together[0], together[i+1])]++
		}
	})
	met.check(t, "target: still yes", "target: still no", "target: yes to no")
}

// Promise: a public key never gets beyond the client-side scopes, whatever it holds, and never hands on more than those.
func TestPublicKeysStayClientSide(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		p.key.Kind = access.Public
		if d := access.Decide(p.key, p.attempt); !d.Allowed() {
			met["no"]++
			return
		}
		met["yes to "+p.attempt.Action.String()]++
		if user := p.attempt.User; p.attempt.Action == access.ReadProfile && user.Good && user.Project == p.key.Project.ID &&
			!slices.ContainsFunc(p.attempt.Targets, func(t access.Target) bool { return t.User != user.DistinctID && !p.attempt.Each }) {
			return // of oneself, as a user token proves
		}
		if !access.ClientScopes.Has(p.attempt.Action.Scope()) || p.attempt.Action == access.RevokeSelf {
			t.Fatalf("a public key may %s", p.attempt.Action)
		}
		if p.attempt.Grants != nil && !access.ClientScopes.Has(p.attempt.Grants.Scopes) {
			t.Fatalf("a public key hands on %s", p.attempt.Grants.Scopes)
		}
	})
	met.check(t, "yes to write_events", "yes to identify_users", "yes to hold_key")
}

// Promise: a live key never reaches a test environment, nor a test key a live one, nor a live thing.
func TestModesNeverMeet(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		p.key.Kind = rapid.SampledFrom([]access.Kind{access.Public, access.Secret}).Draw(t, "stored kind")
		d := access.Decide(p.key, p.attempt)
		if !d.Allowed() {
			return
		}
		met["allowed to "+p.key.Mode.String()]++
		for _, name := range touched(p.key, p.attempt) {
			if mode := modeOf(p.key.Project, name); mode != p.key.Mode {
				t.Fatalf("a %s key reaches %q, which is %s", p.key.Mode, name, mode)
			}
		}
		if live := p.attempt.Subject != nil && p.attempt.Subject.Mode == access.Live; live && p.key.Mode != access.Live {
			t.Fatalf("a %s key sees a live thing", p.key.Mode)
		}
		if live := p.attempt.Grants != nil && p.attempt.Grants.Mode == access.Live; live && p.key.Mode != access.Live {
			t.Fatalf("a %s key hands on live rights", p.key.Mode)
		}
		if d.Data.Live != (p.key.Mode == access.Live) {
			t.Fatalf("a %s key's data has live %v", p.key.Mode, d.Data.Live)
		}
	})
	met.check(t, "allowed to live", "allowed to test")
}

// Promise: the environments that a key says it reaches are those that Decide lets it use, by name and by default, also where
// the restriction to some is only observed.
func TestReachAgreesWithDecide(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		d := draw{T: t, focus: "environment"}
		key := &access.Key{ID: "key_1", Project: d.project(projectIDs[0]), Kind: access.Secret, Mode: d.mode("key"), Scopes: access.AllScopes}
		key.Environments, key.Observe = d.bounds().Environments, pick(d, "observe", []access.Restriction{0, access.ByEnvironment, access.ByNetwork})
		var reached []access.Environment
		for _, name := range names {
			env, reason := key.Resolve(name)
			a := access.Attempt{Action: access.RunSQL, At: noon, Circumstances: access.Circumstances{Via: access.InHeader}, Targets: []access.Target{{Environment: name}}}
			decision := access.Decide(key, &a)
			if reason != decision.Reason || decision.Allowed() && env.Name != decision.Data.Environment {
				t.Fatalf("%q resolves to %v, %s; decided is %s of %q", name, env, reason, decision.Reason, decision.Data.Environment)
			}
			if by, ok := key.Default(); name == "" && (ok != decision.Allowed() || by != env) {
				t.Fatalf("the default is %v, %v, and %v by name", by, ok, env)
			}
			if decision.Allowed() && name != "" {
				reached = append(reached, env)
			}
			met[reason.String()]++
			met[reason.String()+map[bool]string{true: ", noted"}[len(decision.Observed) > 0]]++
		}
		reach := key.Reachable()
		byName := func(a, b access.Environment) int { return strings.Compare(a.Name, b.Name) }
		if !slices.IsSortedFunc(reach, func(a, b access.Environment) int {
			return slices.Index(key.Project.Environments, a) - slices.Index(key.Project.Environments, b)
		}) {
			t.Fatalf("reaches %v out of the project's order", reach)
		}
		slices.SortFunc(reach, byName)
		slices.SortFunc(reached, byName)
		if !slices.Equal(reach, reached) {
			t.Fatalf("reaches %v, and is let use %v", reach, reached)
		}
	})
	met.check(t, "allowed", "allowed, noted", "environment_not_allowed", "environment_unknown")
}

// Promise: a decision depends on nothing but its inputs, and changes none of them.
func TestDecideIsPure(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		key, attempt := cloneKey(p.key), cloneAttempt(p.attempt)
		first := access.Decide(p.key, p.attempt)
		access.Screen(p.key, p.attempt)
		access.Explain(p.key, p.attempt)
		if again := access.Decide(p.key, p.attempt); !reflect.DeepEqual(again, first) {
			t.Fatalf("%+v, and then %+v", first, again)
		}
		if other := access.Decide(key, attempt); !reflect.DeepEqual(other, first) {
			t.Fatalf("%+v, and of equal values %+v", first, other)
		}
		if !reflect.DeepEqual(key, p.key) || !reflect.DeepEqual(attempt, p.attempt) {
			t.Fatal("an input was changed")
		}
		met[first.Reason.String()]++
	})
	met.check(t, "allowed")
}

// Promise: what other projects are and hold never matters. Their environments can change, and things can move between
// them, without changing one decision of a key that is not theirs.
func TestOtherProjectsDoNotMatter(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		before := access.Decide(p.key, p.attempt)
		for _, other := range p.others {
			other.Environments = drawFrom(t).project(other.ID).Environments
			other.Organization = rapid.SampledFrom([]string{"org_acme", "org_else"}).Draw(t, "organization")
		}
		if s := p.attempt.Subject; s != nil && s.Project != p.key.Project.ID {
			s.Project = rapid.SampledFrom([]string{"", "rival", "third", "Acme", "acme "}).Draw(t, "moved to")
			s.Mode = rapid.SampledFrom([]access.Mode{access.Live, access.Test, 0}).Draw(t, "and is now")
			met["moved"]++
		}
		if after := access.Decide(p.key, p.attempt); !reflect.DeepEqual(after, before) {
			t.Fatalf("%+v became %+v", before, after)
		}
		if before.Allowed() && (before.Data.Project != p.key.Project.ID || before.Data.Organization != p.key.Project.Organization) {
			t.Fatalf("the data is of %+v", before.Data)
		}
		met[before.Reason.String()]++
	})
	met.check(t, "allowed", "not_visible", "moved")
}

// verdicts are the answers to the attempt as a whole, and then to each of its targets.
func verdicts(key *access.Key, attempt *access.Attempt) []bool {
	d := access.Decide(key, attempt)
	list := make([]bool, 1+len(attempt.Targets))
	for i := range list {
		list[i] = d.Allowed()
	}
	for _, r := range d.Refused {
		list[r.Index+1] = false
	}
	return list
}

// touched are the names of the environments that an allowed attempt gets at.
func touched(key *access.Key, attempt *access.Attempt) []string {
	if !attempt.Action.InEnvironment() {
		return nil
	}
	if len(attempt.Targets) == 0 {
		return []string{access.Decide(key, attempt).Data.Environment}
	}
	var list []string
	for i, ok := range verdicts(key, attempt)[1:] {
		if ok {
			env, _ := key.Resolve(attempt.Targets[i].Environment)
			list = append(list, env.Name)
		}
	}
	return list
}

func modeOf(p *access.Project, name string) access.Mode {
	for _, env := range p.Environments {
		if env.Name == name {
			return env.Mode
		}
	}
	return 0
}

func change(before, after bool) string {
	switch {
	case before && after:
		return ": still yes"
	case before:
		return ": yes to no"
	case after:
		return ": no to yes"
	}
	return ": still no"
}

func cloneKey(k *access.Key) *access.Key {
	key, project := *k, *k.Project
	project.Environments = slices.Clone(project.Environments)
	key.Project, key.Bounds = &project, cloneBounds(&k.Bounds)
	return &key
}

func cloneBounds(b *access.Bounds) access.Bounds {
	c := *b
	c.Environments, c.Networks, c.Domains, c.Events = slices.Clone(b.Environments), slices.Clone(b.Networks), slices.Clone(b.Domains), slices.Clone(b.Events)
	if b.Datasets != nil {
		sets := *b.Datasets
		sets.Named = slices.Clone(sets.Named)
		c.Datasets = &sets
	}
	return c
}

func cloneAttempt(a *access.Attempt) *access.Attempt {
	attempt := *a
	attempt.Targets = slices.Clone(a.Targets)
	if a.Subject != nil {
		subject := *a.Subject
		attempt.Subject = &subject
	}
	if a.Grants != nil {
		grant := *a.Grants
		grant.Bounds = cloneBounds(&a.Grants.Bounds)
		attempt.Grants = &grant
	}
	return &attempt
}

// Promise: a credential does not stand when Screen refuses it for what it is alone, and stands wherever Screen lets it in.
func TestStandsAgreesWithScreen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		if sometimes(t, "chain") {
			p = drawChain(t)
		}
		a := p.attempt
		stands := access.Stands(p.key, a.At, a.SecretUntil, a.SecretMinted)
		switch screened := access.Screen(p.key, a).Reason; screened {
		case access.Allowed:
			if stands != access.Allowed {
				t.Fatalf("it is let in, and does not stand: %s", stands)
			}
		case access.KeyRevoked, access.KeyDisabled, access.SecretReplaced, access.KeyNotYetValid, access.KeyExpired, access.SecretTooOld, access.TokenOutdated, access.KeyQuarantined:
			if stands != screened {
				t.Fatalf("it is refused with %s, and stands with %s", screened, stands)
			}
		}
	})
}
