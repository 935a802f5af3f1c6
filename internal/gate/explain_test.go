package gate_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: a denial in the ledger has every rule that said no, the first one first, and what together would have made it a
// yes.
func TestDenialsAreExplained(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	key := access.Key{Scopes: access.EventsRead, Bounds: access.Bounds{
		Networks: networks("203.0.113.0/24"), ExpiresAt: w.Clock.Now(), Environments: []string{"staging"},
	}}
	_, err := w.Ask(w.Mint(key), access.Attempt{Action: access.WriteEvents, Targets: targets("production")})
	if problem.Of(err) != problem.KeyNotAccepted {
		t.Fatal(err)
	}
	denials, _ := w.Ledger.Take()
	var failed, remedies []string
	for _, s := range denials[0].Failed {
		failed = append(failed, s.Reason.String())
	}
	for _, r := range denials[0].Remedies {
		remedies = append(remedies, strings.TrimSpace(strings.Join([]string{r.Do, r.Of, r.Field, r.Value}, " ")))
	}
	if want := []string{"key_expired", "network_not_allowed", "scope_missing"}; !slices.Equal(failed, want) {
		t.Errorf("failed %q", failed)
	}
	if want := []string{"remove key expires_at", "add key networks 192.0.2.1/32", "add key scopes events:write"}; !slices.Equal(remedies, want) {
		t.Errorf("remedies %q", remedies)
	}
}

// Promise: what is refused before its body is read is explained by what is known by then: not by a signature that nobody
// has checked yet, nor by what the body would have named.
func TestScreenedDenialsAreExplained(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	c := w.Credential(w.Mint(access.Key{Bounds: access.Bounds{
		Signature: true, Environments: []string{"moon"}, Events: []string{"signup"}, Datasets: &access.Datasets{},
	}}))
	c.Signed = access.SignatureClaimed
	for _, action := range []access.Action{access.WriteEvents, access.ReadDatasets, access.RunSQL} {
		if _, err := w.Gate.Identify(t.Context(), c, action); problem.Of(err) != problem.MissingScope {
			t.Fatal(err)
		}
		denials, _ := w.Ledger.Take()
		remedy := access.Remedy{Of: "key", Field: "scopes", Do: "add", Value: action.Scope().String()}
		if d := denials[0]; len(d.Failed) != 1 || d.Failed[0].Reason != access.ScopeMissing || !slices.Equal(d.Remedies, []access.Remedy{remedy}) {
			t.Errorf("%s: failed %+v, remedies %+v", action, d.Failed, d.Remedies)
		}
	}
}

// Promise: what is kept of an explanation is bounded, and so is the work: a batch that is refused in a thousand ways is
// explained in time that grows with its length alone, each entry by the item it is about; and remedies that are not all
// there are not there.
func TestExplanationsAreBounded(t *testing.T) {
	t.Parallel()
	const items, most = 1000, 32
	list := make([]access.Target, items)
	for i := range list {
		list[i] = access.Target{Event: fmt.Sprintf("event_%04d", i)}
	}
	key := access.Key{Scopes: access.EventsWrite, Bounds: access.Bounds{Events: []string{"signup"}}}

	t.Run("whole, one by one", func(t *testing.T) {
		t.Parallel()
		w := gatetest.New(t)
		_, err := w.Ask(w.Mint(key), access.Attempt{Action: access.WriteEvents, Each: true, Targets: list})
		denials, _ := w.Ledger.Take()
		if problem.Of(err) != problem.EventNotAllowed || len(denials) != 1 || denials[0].Count != items {
			t.Fatalf("%v, recorded %d", err, len(denials))
		}
		d := denials[0]
		if len(d.Failed) != most || len(d.Remedies) != most || d.Failed[most-1].Target != most-1 || d.Remedies[most-1].Value != "event_0031" {
			t.Errorf("%d steps, %d remedies, the last %+v, %+v", len(d.Failed), len(d.Remedies), d.Failed[most-1], d.Remedies[most-1])
		}
	})
	t.Run("whole, together", func(t *testing.T) {
		t.Parallel()
		w := gatetest.New(t)
		mixed := slices.Concat([]access.Target{{Event: "signup"}, {Event: "signup"}}, list)
		_, err := w.Ask(w.Mint(key), access.Attempt{Action: access.WriteEvents, Targets: mixed})
		denials, _ := w.Ledger.Take()
		if problem.Of(err) != problem.EventNotAllowed || len(denials) != 1 || denials[0].Count != 1 || denials[0].Event != "event_0000" {
			t.Fatalf("%v, recorded %+v", err, denials)
		}
		if d := denials[0]; len(d.Failed) != 1 || d.Failed[0].Target != 2 || d.Remedies != nil {
			t.Errorf("failed %+v, remedies %+v", d.Failed, d.Remedies)
		}
	})
	t.Run("in part", func(t *testing.T) {
		t.Parallel()
		w := gatetest.New(t)
		mixed := slices.Concat([]access.Target{{Event: "signup"}}, list)
		if _, err := w.Ask(w.Mint(key), access.Attempt{Action: access.WriteEvents, Each: true, Targets: mixed}); err != nil {
			t.Fatal(err)
		}
		denials, _ := w.Ledger.Take()
		if len(denials) != items {
			t.Fatalf("recorded %d", len(denials))
		}
		for i, d := range denials {
			event := list[i].Event
			step := access.Step{Rule: d.Rule, Target: i + 1, Reason: access.EventNotAllowed}
			remedy := access.Remedy{Of: "key", Field: "events", Do: "add", Value: event}
			if d.Event != event || d.Count != 1 || !slices.Equal(d.Failed, []access.Step{step}) || !slices.Equal(d.Remedies, []access.Remedy{remedy}) {
				t.Fatalf("item %d is recorded as %+v", i, d)
			}
		}
	})
	t.Run("for another reason", func(t *testing.T) {
		t.Parallel()
		w := gatetest.New(t)
		subject := &access.Subject{Project: "prj_2", Mode: access.Live}
		_, err := w.Ask(w.Mint(key), access.Attempt{Action: access.WriteEvents, Subject: subject, Targets: list})
		denials, _ := w.Ledger.Take()
		if problem.Of(err) != problem.NotFound || len(denials) != 1 || len(denials[0].Failed) != most || denials[0].Remedies != nil {
			t.Errorf("%v, recorded %+v", err, denials)
		}
	})
}

// Promise: what an observed restriction would have denied is allowed, and recorded as observed: of the request once, and
// of its items once for each distinct reason, environment and event, with their count. What is refused is not recorded as
// observed too, and a no observes nothing.
func TestObservedIsRecorded(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text := w.Mint(access.Key{Scopes: access.EventsWrite, Bounds: access.Bounds{
		Networks: networks("203.0.113.0/24"), Events: []string{"signup"}, Observe: access.ByNetwork | access.ByEvent | access.ByTime,
		ExpiresAt: w.Clock.Now().Add(-time.Hour),
	}})
	list := []access.Target{
		{Event: "signup"}, {Event: "login"}, {Environment: "moon", Event: "login"}, {Event: "login"}, {Event: "logout"}, {Environment: "staging", Event: "login"},
	}
	permit, err := w.Ask(text, access.Attempt{Action: access.WriteEvents, Each: true, Targets: list})
	if err != nil || len(permit.Refused()) != 1 {
		t.Fatalf("%v, refused %+v", err, permit.Refused())
	}
	type entry struct {
		reason, environment, event string
		count                      int
		observed                   bool
	}
	var got []entry
	ids := map[string]bool{}
	denials, uses := w.Ledger.Take()
	for _, d := range denials {
		got = append(got, entry{d.Reason, d.Environment, d.Event, d.Count, d.Observed})
		ids[d.ID] = true
		if d.KeyID != "key_000000000001" || d.Generation != 1 || d.Rule == "" || d.RequestID != "req_1" ||
			!slices.ContainsFunc(d.Failed, func(s access.Step) bool { return s.Rule == d.Rule && s.Observed == d.Observed }) {
			t.Errorf("incomplete: %+v", d)
		}
	}
	want := []entry{
		{"environment_unknown", "moon", "login", 1, false},
		{"key_expired", "", "", 1, true},
		{"network_not_allowed", "", "", 1, true},
		{"event_not_allowed", "", "login", 2, true},
		{"event_not_allowed", "", "logout", 1, true},
		{"event_not_allowed", "staging", "login", 1, true},
	}
	if !slices.Equal(got, want) || len(ids) != len(want) {
		t.Errorf("recorded %+v\nwant     %+v", got, want)
	}
	if len(uses) != 1 || uses[0].Items != 5 || !reflect.DeepEqual(uses[0].Targets, list) || !reflect.DeepEqual(uses[0].Refused, permit.Refused()) {
		t.Errorf("recorded as used %+v", uses)
	}

	if _, err := w.Ask(text, access.Attempt{Action: access.WriteEvents, Targets: []access.Target{{Environment: "moon", Event: "login"}}}); err == nil {
		t.Error("allowed")
	}
	denials, _ = w.Ledger.Take()
	if len(denials) != 1 || denials[0].Observed || denials[0].Reason != "environment_unknown" {
		t.Errorf("recorded %+v", denials)
	}
}

// Promise: the ledger has who sent a request, as far as the server knows and as the sender says: address, page, place of
// the credential, signature, program; for a yes, a no, an observed no, and a no without a key.
func TestSenderIsRecorded(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text := w.Mint(access.Key{Kind: access.Public, Scopes: access.EventsWrite, Bounds: access.Bounds{
		Domains: []access.Domain{{Host: "www.example.com"}}, Observe: access.ByDomain,
	}})
	show := func(text string) gate.Credential {
		c := w.Credential(text)
		c.Via, c.Signed, c.RequestID = access.InQuery, access.SignatureClaimed, "req_7"
		c.Origin = access.ParseOrigin("https://shop.example.org", "https://shop.example.org/cart?secret=1")
		c.Client = gate.Client{Agent: "Mozilla/5.0", SDK: "weir-js/1.2.3"}
		return c
	}
	want := sender(show(text))
	if want.Origin != "https://shop.example.org" {
		t.Fatalf("origin %q", want.Origin)
	}
	caller, err := w.Gate.Identify(t.Context(), show(text), access.WriteEvents)
	if err != nil {
		t.Fatal(err)
	}
	permit, err := w.Gate.Admit(t.Context(), caller.Signed(true, ""), access.Attempt{Each: true, Targets: targets("production", "moon")}, gate.Cost{})
	if err != nil {
		t.Fatal(err)
	}
	denials, uses := w.Ledger.Take()
	right := want
	right.Signed = access.SignatureRight
	if len(denials) != 2 || denials[0].Sender != right || denials[1].Sender != right || len(uses) != 1 || uses[0].Sender != right || permit.Sender() != right {
		t.Errorf("recorded %+v and %+v", denials, uses)
	}
	for _, text := range []string{gatetest.Text(access.Public, access.Live, 9), "hunter2", ""} {
		if _, err := w.Gate.Identify(t.Context(), show(text), access.WriteEvents); err == nil {
			t.Error("identified")
		}
		if denials, _ := w.Ledger.Take(); len(denials) != 1 || denials[0].Sender != want {
			t.Errorf("%s: recorded %+v", text, denials)
		}
	}
}
