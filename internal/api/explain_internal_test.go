package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
)

// Promise: of a decision every rule is shown in the order of the policy, those that failed with their reasons; of one by a
// limit every rule allowed it; of one from before rules were recorded, no rule is said to have allowed it.
func TestRecordedDecisionsAreShownRuleByRule(t *testing.T) {
	t.Parallel()
	rules := access.Rules()
	failed := []access.Step{
		{Rule: rules[7], Target: -1, Reason: access.SecretTooOld}, {Rule: rules[len(rules)-2], Target: 3, Reason: access.EventNotAllowed, Observed: true},
		{Rule: rules[len(rules)-2], Target: 5, Reason: access.EventNotAllowed}, {Rule: "a rule of another program", Target: -1, Reason: access.KeyExpired},
	}
	e := recordedView(&gate.Denial{ID: "d", Reason: access.SecretTooOld.String(), Rule: rules[7], Failed: failed})
	var names []string
	no := 0
	for _, v := range e.Rules {
		names = append(names, v.Rule)
		if v.Reason != "allowed" {
			no++
		}
	}
	want := slices.Insert(append(slices.Clone(rules), "a rule of another program"), len(rules)-1, rules[len(rules)-2])
	if !slices.Equal(names, want) || no != 4 || len(e.Observed) != 1 || *e.Observed[0].Target != 3 || e.FirstFailure.Rule != rules[7] || e.FirstFailure.Target != nil {
		t.Errorf("shown as %+v", e)
	}
	limited := recordedView(&gate.Denial{ID: "d", Reason: gate.KeyRate, Rule: "limit key_rate"})
	if len(limited.Rules) != len(rules) || limited.FirstFailure.Rule != "limit key_rate" || limited.Outcome != "limited" || limited.Allowed {
		t.Errorf("shown as %+v", limited)
	}
	old := recordedView(&gate.Denial{ID: "d", Reason: "key_expired", Rule: "key has not expired"})
	if len(old.Rules) != 0 || old.FirstFailure.Reason != "key_expired" {
		t.Errorf("shown as %+v", old)
	}
	observed := recordedView(&gate.Denial{ID: "d", Reason: "event_not_allowed", Rule: failed[1].Rule, Observed: true, Failed: failed[1:2]})
	if !observed.Allowed || observed.FirstFailure != nil || len(observed.Observed) != 1 {
		t.Errorf("shown as %+v", observed)
	}
}

// Promise: an address is matched as the server would match it, and any text is none or one of them.
func TestPathsAreMatched(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, path, id string
		ok                bool
	}{
		{"/v1/keys", "/v1/keys", "", true}, {"/v1/keys", "/v1/keys/", "", false}, {"/v1/keys/{id}", "/v1/keys/key_1", "key_1", true},
		{"/v1/keys/{id}", "/v1/keys/", "", false}, {"/v1/keys/{id}/clients", "/v1/keys/a/clients", "a", true}, {"/v1/keys/{id}", "/v1/keys/a/b", "", false},
		{"/docs/{asset}", "/docs/x", "", true}, {"/", "", "", false}, {"/", "/", "", true},
	} {
		if id, ok := matchPath(c.pattern, c.path); id != c.id || ok != c.ok {
			t.Errorf("%s for %s: %q, %v", c.path, c.pattern, id, ok)
		}
	}
}

// Promise: two bases are compared line by line, and a decision that recorded none has no difference.
func TestDifferences(t *testing.T) {
	t.Parallel()
	if d := difference("wrong: no base here", "x"); d != nil {
		t.Errorf("%+v", d)
	}
	d := difference("wrong: it does not match\nsignature base:\na\nb", "a\nc")
	if d == nil || d.Line != 2 || d.Ours != "b" || d.Theirs != "c" {
		t.Errorf("%+v", d)
	}
	key := access.WriteKey(access.Secret, access.Live, "3fQ9xT0aLmZk", "ThisIsAnExampleNotASecret00")
	if d := difference("signature base:\na", "a\n"+key); d == nil || strings.Contains(d.Theirs, "ThisIs") {
		t.Errorf("%+v", d)
	}
}

// Promise: what is to be told apart is read as a list of the names that are shown, each once, or not at all.
func FuzzBreakdown(f *testing.F) {
	for _, text := range []string{"", "none", "key", "key,outcome", "network,event,environment,action,reason,outcome,key", "key,key", ",", "none,key"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		by, err := breakdown(text)
		if err != nil || text == "" || text == "none" {
			return
		}
		var names []string
		for i, name := range ledger.BreakdownNames() {
			if by&(1<<i) != 0 {
				names = append(names, name)
			}
		}
		given := strings.Split(text, ",")
		slices.Sort(names)
		if slices.Sort(given); !slices.Equal(given, names) {
			t.Fatalf("%q is read as %v", text, names)
		}
	})
}

// Promise: a network is read only when counts can be about it, whatever is sent for one.
func FuzzNetworkNamed(f *testing.F) {
	for _, text := range []string{"", "203.0.113.7", "203.0.113.0/24", "203.0.113.7/24", "10.0.0.0/8", "2001:db8::/48", "::ffff:203.0.113.0/120", "fe80::1%eth0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := networkNamed(text); err == nil && text != "" && (p != ledger.NetworkOf(p.Addr()) || p != p.Masked()) {
			t.Fatalf("%q is read as %v", text, p)
		}
	})
}
