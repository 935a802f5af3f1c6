package access_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// drawChain is a random client or token, and a random attempt. Each key of the chain is plain or wild in one facet.
func drawChain(t *rapid.T) pair {
	d := drawFrom(t)
	project := d.project(projectIDs[0])
	level := func(label string, kind access.Kind, parent *access.Key) *access.Key {
		l := draw{T: t, focus: "nothing"}
		if rapid.Bool().Draw(t, label+" is wild") {
			l.focus, l.all = d.focus, d.all
		}
		k := l.key(project)
		k.ID, k.Kind, k.Parent = label, kind, parent
		if parent != nil {
			k.Mode = parent.Mode
		}
		return k
	}
	root := level("key_root", access.Secret, nil)
	client := level("key_client", access.Client, root)
	p := pair{key: client, attempt: d.attempt(project)}
	if sometimes(t, "client") {
		p.attempt.Action = pick(d, "client's", []access.Action{access.ExchangeTokens, access.RevokeTokens, p.attempt.Action})
		return p
	}
	p.key = level("key_client", access.Token, client)
	p.key.Embedded, project.Policy.EmbeddedTokens = d.flip("embedded"), d.flip("embedding")
	root.Epoch, client.Epoch = rapid.Int64Range(0, 1).Draw(t, "epoch"), rapid.Int64Range(0, 1).Draw(t, "client's epoch")
	p.key.ClientEpoch, p.key.KeyEpoch = client.Epoch, root.Epoch
	if rarely(t, "outdated") {
		p.key.KeyEpoch++
	}
	if rarely(t, "misplaced") {
		p.key.Parent = root
	}
	return p
}

// Promise: what comes of a key is allowed nothing that the key is denied, for the request as a whole and for each of its
// targets. A client is asked here as if it were a secret key: as a client it may do hardly anything; and only what is shown
// must have been carried well.
func TestWhatIsDerivedCanDoNoMore(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawChain(t)
		mine := verdicts(p.key, p.attempt)
		for up := p.key.Parent; up != nil; up = up.Parent {
			as := *up
			as.Kind, as.Parent = access.Secret, nil
			if as.View != nil && p.key.Kind == access.Token && p.key.View != nil { // the token's view has the values
				as.View = &access.View{Tables: as.View.Tables}
			}
			asked := cloneAttempt(p.attempt)
			asked.Via, asked.Browser, asked.SecretUntil, asked.SecretMinted = access.InHeader, false, time.Time{}, time.Time{}
			if p.key.Kind == access.Client && mine[0] {
				asked.Action = access.HoldKey
			}
			if up.Kind == access.Client {
				project := *as.Project
				project.Policy.Secret.RequireNetworks = false // its key has them
				as.Project = &project
			}
			if env, ok := p.key.Default(); ok {
				for i := range asked.Targets {
					if asked.Targets[i].Environment == "" {
						asked.Targets[i].Environment = env.Name
					}
				}
			}
			theirs := verdicts(&as, asked)
			for i := range mine {
				if mine[i] && !theirs[i] {
					t.Fatalf("target %d: a %s is allowed what %s is denied: %s", i-1, p.key.Kind, up.ID, access.Decide(&as, asked).Reason)
				}
			}
			met[p.key.Kind.String()+change(theirs[0], mine[0])]++
		}
		if p.key.Effective() != p.key.Effective()&p.key.Root().Scopes&p.key.Stored().Scopes {
			t.Fatal("it can use scopes that its key or client does not hold")
		}
	})
	met.check(t, "token: still yes", "token: yes to no", "token: still no", "client: still yes", "client: yes to no")
}

// Promise: narrowing any key of a chain never turns a no into a yes.
func TestNarrowingAnAncestorNeverAllowsMore(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawChain(t)
		before := verdicts(p.key, p.attempt)
		for up := p.key.Parent; up != nil; up = up.Parent {
			list := narrowings(up)
			how := list[rapid.IntRange(0, len(list)-1).Draw(t, "how")]
			narrower := *up
			how.of(draw{T: t}, &narrower)
			key := with(p.key, up, &narrower)
			after := verdicts(key, p.attempt)
			for i := range before {
				if after[i] && !before[i] {
					t.Fatalf("%s of %s: target %d of %+v is allowed", how.name, up.ID, i-1, p.attempt)
				}
			}
			for _, env := range key.Reachable() {
				if !slices.Contains(p.key.Reachable(), env) {
					t.Fatalf("%s of %s: %v came within reach", how.name, up.ID, env)
				}
			}
			met[how.name+change(before[0], after[0])]++
		}
	})
	met.check(t, "revoked: yes to no", "disabled: yes to no", "expired: yes to no", "made to sign: yes to no", "restricted to networks: yes to no",
		"restricted to events: yes to no", "a scope taken away: yes to no", "put off: still yes")
}

// with is a chain with one of its keys replaced, and all of them in the project of that one.
func with(key, old, now *access.Key) *access.Key {
	changed := *key
	if key == old {
		changed = *now
	}
	changed.Project = now.Project
	if key.Parent != nil {
		changed.Parent = with(key.Parent, old, now)
	}
	return &changed
}

// Promise: a step of an explanation names the key that said no, where that is not the one that asks; and what is to be
// changed of it is said of it.
func TestExplainNamesTheKeyThatSaidNo(t *testing.T) {
	t.Parallel()
	key := sampleKey()
	client := *key
	client.ID, client.Kind, client.Parent = "key_2", access.Client, key
	token := client
	token.Kind, token.Parent = access.Token, &client
	for name, c := range map[string]struct {
		narrow *access.Key
		id, of string
	}{"key": {key, "key_1", "key"}, "client": {&client, "key_2", "client"}, "token": {&token, "", "token"}} {
		held := c.narrow.Scopes
		c.narrow.Scopes = access.EventsRead
		e := access.Explain(&token, &access.Attempt{Action: access.RunSQL, At: noon, Circumstances: access.Circumstances{Via: access.InHeader}})
		c.narrow.Scopes = held
		var noes []access.Step
		for _, s := range e.Steps {
			if s.Reason != access.Allowed {
				noes = append(noes, s)
			}
		}
		if len(noes) != 1 || noes[0].Key != c.id || noes[0].Reason != access.ScopeMissing {
			t.Errorf("%s: %+v", name, noes)
		}
		if want := []access.Remedy{{Of: c.of, Field: "scopes", Do: "add", Value: "sql:run"}}; !slices.Equal(e.Remedies, want) {
			t.Errorf("%s: remedies %+v", name, e.Remedies)
		}
	}
}

// Promise: what a client leaves open counts as its key's when it is decided who may hand on what: bounds under others never
// reach further than those, where the two restrict different things, and take over that one thing alone.
func TestBoundsUnderOthers(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		d := drawFrom(t)
		inner, outer := d.bounds(), d.bounds()
		under := inner.Under(&outer)
		if field := under.Exceeds(&outer); field != "" && inner.Exceeds(&outer) == "" {
			t.Fatalf("%s reaches further than before", field)
		}
		var open access.Bounds
		if in := open.Under(&outer); in.Exceeds(&outer) != "" {
			t.Fatalf("what is open reaches further: %s", in.Exceeds(&outer))
		}
		met[map[bool]string{true: "within", false: "beyond"}[under.Exceeds(&outer) == ""]]++
	})
	met.check(t, "within", "beyond")
	end := noon
	outer := access.Bounds{View: &access.View{}}
	if in := (&access.Bounds{ExpiresAt: end}).Under(&outer); in.View != outer.View || !in.ExpiresAt.Equal(end) {
		t.Errorf("a view under which the end is %s", in.ExpiresAt)
	}
}
