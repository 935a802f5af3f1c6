package gate_test

import (
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a link acts for the key that has made it, for what a link may do and nothing else, and ends with the key; the ledger
// says whose link it was, and a key beside it is refused.
func TestLinksActForTheirKey(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text := w.Key(access.Secret, access.AllScopes)
	linked := func(change func(*gate.Credential), action access.Action) (gate.Permit, error) {
		c := w.Credential("")
		c.Key, c.Linked = access.Text{}, gatetest.Parse(text).Lookup
		change(&c)
		caller, err := w.Gate.Identify(t.Context(), c, action)
		if err != nil {
			return gate.Permit{}, err
		}
		return w.Gate.Admit(t.Context(), caller, access.Attempt{Targets: []access.Target{{Environment: "production"}}}, gate.Cost{Requests: 1})
	}
	plain := func(*gate.Credential) {}
	permit, err := linked(plain, access.FetchExports)
	if err != nil || permit.Key().ID != gatetest.Parse(text).Lookup.ID() || permit.Sender().Via != access.InLink {
		t.Fatalf("%v", err)
	}
	if _, err := linked(func(c *gate.Credential) { c.Browser, c.Via = true, access.InQuery }, access.FetchExports); err != nil {
		t.Errorf("in a browser: %v", err)
	}
	if err := w.Gate.Watch(permit, access.Attempt{Targets: []access.Target{{Environment: "production"}}}); err != nil {
		t.Errorf("while it is fetched: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*gate.Credential)
		action access.Action
		want   problem.Code
	}{
		"something else": {plain, access.RunSQL, problem.SecretKeyInURL},
		"no link":        {plain, access.LinkExports, problem.SecretKeyInURL},
		"with a key":     {func(c *gate.Credential) { c.Key = access.SecretText(text) }, access.FetchExports, problem.KeyNotAccepted},
		"of nobody": {func(c *gate.Credential) {
			c.Linked = gatetest.Parse(gatetest.Text(access.Secret, access.Live, 99)).Lookup
		}, access.FetchExports, problem.KeyNotAccepted},
		"in cleartext": {func(c *gate.Credential) { c.Cleartext = true }, access.FetchExports, problem.CleartextCredential},
	} {
		if _, err := linked(c.change, c.action); problem.Of(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.Keys.Change(text, func(k *access.Key) { k.RevokedAt = w.Clock.Now() })
	if _, err := linked(plain, access.FetchExports); problem.Of(err) != problem.KeyNotAccepted {
		t.Errorf("of a revoked key: %v", err)
	}
	if err := w.Gate.Watch(permit, access.Attempt{Targets: []access.Target{{Environment: "production"}}}); err == nil {
		t.Error("a download goes on when the key is revoked")
	}
	if err := w.Gate.Refuse(w.Credential(""), access.FetchExports, problem.New(problem.LinkNotAccepted, "It is not.")); problem.From(err).DecisionID == "" {
		t.Errorf("%v", err)
	}
}
