package gate_test

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

func targets(environments ...string) []access.Target {
	list := make([]access.Target, len(environments))
	for i, name := range environments {
		list[i] = access.Target{Environment: name}
	}
	return list
}

// Promise: a permit says whose data it is for, and the ledger has the use.
func TestPermit(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	permit := w.Permit(access.Attempt{Action: access.WriteEvents, Targets: targets("staging")})
	if permit.Organization() != "org_1" || permit.Project() != "prj_1" || permit.Environment() != "staging" ||
		!permit.At().Equal(w.Clock.Now()) || permit.Key().ID != "key_000000000001" || permit.Refused() != nil {
		t.Errorf("%+v", permit)
	}
	for name, want := range map[string]string{"staging": "staging", "": "production", "production": "production"} {
		if got, ok := permit.Space(name); got != want || !ok {
			t.Errorf("space %q is %q, %v", name, got, ok)
		}
	}
	for _, name := range []string{"development", "moon", "Production"} {
		if _, ok := permit.Space(name); ok {
			t.Errorf("space %q is within reach", name)
		}
	}
	want := gate.Use{
		At: w.Clock.Now(), Project: "prj_1", KeyID: "key_000000000001", Generation: 1, Action: access.WriteEvents, Environment: "staging", Default: "production", Items: 1,
		Targets: targets("staging"), Sender: sender(w.Credential("")),
	}
	if denials, uses := w.Ledger.Take(); len(denials) != 0 || len(uses) != 1 || !reflect.DeepEqual(uses[0], want) {
		t.Errorf("recorded %+v and %+v", denials, uses)
	}
	if got := permit.Sender(); got != want.Sender {
		t.Errorf("sender %+v", got)
	}
}

// Promise: nothing can be done with a Permit that no Admit gave: every method of the zero Permit panics, those added
// later too.
func TestZeroPermitPanics(t *testing.T) {
	t.Parallel()
	permit := reflect.ValueOf(gate.Permit{})
	if permit.NumMethod() < 8 {
		t.Fatalf("only %d methods", permit.NumMethod())
	}
	for i := range permit.NumMethod() {
		method := permit.Method(i)
		var in []reflect.Value
		for in0 := range method.Type().Ins() {
			in = append(in, reflect.Zero(in0))
		}
		if said := panics(func() { method.Call(in) }); said != "gate: a Permit that no Admit gave" {
			t.Errorf("%s of the zero Permit: %v", permit.Type().Method(i).Name, said)
		}
	}
}

// Promise: there is no way to Admit past Identify.
func TestAdmitNeedsIdentify(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	said := panics(func() {
		_, _ = w.Gate.Admit(t.Context(), gate.Caller{}, access.Attempt{Action: access.HoldKey}, gate.Cost{})
	})
	if said != "gate: Admit without a caller from Identify" {
		t.Errorf("%v", said)
	}
	for name, f := range map[string]func(){
		"Watch":  func() { _ = w.Gate.Watch(gate.Permit{}, access.Attempt{Action: access.HoldKey}) },
		"Settle": func() { _ = w.Gate.Settle(t.Context(), gate.Permit{}, 1) },
		"Hold":   func() { _ = w.Gate.Hold(t.Context(), gate.Permit{}, "job_1") },
	} {
		if said := panics(f); said != "gate: a Permit that no Admit gave" {
			t.Errorf("%s of the zero Permit: %v", name, said)
		}
	}
	if denials, uses := w.Ledger.Take(); denials != nil || uses != nil {
		t.Errorf("recorded %+v and %+v", denials, uses)
	}
}

func panics(f func()) (said any) {
	defer func() { said = recover() }()
	f()
	return nil
}

// Promise: what was identified is what is admitted. The attempt cannot bring another action, another time or other
// circumstances.
func TestAttemptCannotSayWhoAsks(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	caller, err := w.Gate.Identify(t.Context(), w.Credential(w.Key(access.Secret, access.EventsWrite)), access.WriteEvents)
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Second)
	other := access.Circumstances{Via: access.InQuery, Cleartext: true, Browser: true, Signed: access.SignatureWrong, SecretUntil: time.Unix(0, 0)}
	permit, err := w.Gate.Admit(t.Context(), caller, access.Attempt{Action: access.ReadKeys, At: time.Unix(0, 0), Circumstances: other}, gate.Cost{})
	if err != nil || !permit.At().Equal(w.Clock.Now()) {
		t.Fatalf("%v at %v", err, permit.At())
	}
	if _, uses := w.Ledger.Take(); len(uses) != 1 || uses[0].Action != access.WriteEvents {
		t.Errorf("recorded %+v", uses)
	}
}

// Promise: a key that stops working while the body comes in is not admitted.
func TestKeysThatChangeOnTheWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*gatetest.World, string)
		code   problem.Code
		reason string
	}{
		"revoked": {func(w *gatetest.World, text string) {
			w.Keys.Change(text, func(k *access.Key) { k.RevokedAt = w.Clock.Now() })
		}, problem.KeyNotAccepted, "key_revoked"},
		"expired":    {func(w *gatetest.World, _ string) { w.Clock.Advance(time.Hour) }, problem.KeyNotAccepted, "key_expired"},
		"gone":       {func(w *gatetest.World, text string) { w.Keys.Remove(text) }, problem.KeyNotAccepted, "unknown_key"},
		"restricted": {func(w *gatetest.World, text string) { w.Keys.Change(text, restrict) }, problem.EnvironmentNotAllowed, "environment_not_allowed"},
		"narrowed": {func(w *gatetest.World, text string) {
			w.Keys.Change(text, func(k *access.Key) { k.Scopes = 0 })
		}, problem.MissingScope, "scope_missing"},
		"disabled": {func(w *gatetest.World, text string) {
			w.Keys.Change(text, func(k *access.Key) { k.State = access.Disabled })
		}, problem.KeyNotAccepted, "key_disabled"},
		"quarantined": {func(w *gatetest.World, text string) {
			w.Keys.Change(text, func(k *access.Key) { k.State = access.Quarantined })
		}, problem.KeyQuarantined, "key_quarantined"},
		"moved away": {func(w *gatetest.World, text string) {
			w.Keys.Change(text, func(k *access.Key) { k.Networks = networks("203.0.113.0/24") })
		}, problem.NetworkNotAllowed, "network_not_allowed"},
		"made to sign": {func(w *gatetest.World, text string) {
			w.Keys.Change(text, func(k *access.Key) { k.Signature = true })
		}, problem.SignatureRequired, "signature_missing"},
		"replaced": {func(w *gatetest.World, text string) { rotate(w, text, 2, w.Clock.Now()) }, problem.KeyNotAccepted, "secret_replaced"},
		"replaced and forgotten": {func(w *gatetest.World, text string) {
			w.Keys.Edit(text, func(e *gate.Entry) { e.Generation, e.Digest = 2, access.Digest{} })
		}, problem.KeyNotAccepted, "unknown_key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := gatetest.New(t)
			text := w.Mint(access.Key{Scopes: access.EventsWrite, Bounds: access.Bounds{ExpiresAt: w.Clock.Now().Add(time.Minute)}})
			caller, err := w.Gate.Identify(t.Context(), w.Credential(text), access.WriteEvents)
			if err != nil {
				t.Fatal(err)
			}
			c.change(w, text)
			_, err = w.Gate.Admit(t.Context(), caller, access.Attempt{Targets: targets("production")}, gate.Cost{Requests: 1, Credits: 1})
			if problem.Of(err) != c.code {
				t.Errorf("%v, want %s", err, c.code)
			}
			denials, uses := w.Ledger.Take()
			if len(uses) != 0 || len(denials) != 1 || denials[0].Reason != c.reason || denials[0].KeyID != "key_000000000001" {
				t.Errorf("recorded %+v and %+v", denials, uses)
			}
			if w.Limits.Charges != nil || w.Limits.Failed != nil {
				t.Errorf("charged %+v, counted as failed %v", w.Limits.Charges, w.Limits.Failed)
			}
		})
	}
}

func restrict(k *access.Key) { k.Environments = []string{"staging"} }

// networks are ranges by their texts.
func networks(texts ...string) []access.Network {
	var list []access.Network
	for _, text := range texts {
		list = append(list, access.Network{Prefix: netip.MustParsePrefix(text)})
	}
	return list
}

// rotate gives the key of a text another secret, of that generation. The present one is good until then.
func rotate(w *gatetest.World, text string, generation int, until time.Time) (fresh string) {
	fresh = access.WriteKey(access.Secret, access.Live, text[8:8+access.LookupLength], strings.Repeat(strconv.Itoa(generation), access.SecretLength))
	w.Keys.Edit(text, func(e *gate.Entry) {
		e.Former = append(slices.Clone(e.Former), gate.Former{Digest: e.Digest, Generation: e.Generation, Until: until})
		e.Digest, e.Generation = gatetest.Parse(fresh).Digest, generation
	})
	return fresh
}

// sender is what the ledger has of a credential.
func sender(c gate.Credential) gate.Sender {
	return gate.Sender{Address: c.Address, Origin: c.Origin.String(), Via: c.Via, Signed: c.Signed, Client: c.Client, RequestID: c.RequestID}
}

// Promise: the items of a request that are refused while others are allowed are recorded once for each reason,
// environment and event name, with how many they are; the use counts the others.
func TestRefusedItemsAreCounted(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	signup := func(environment string) access.Target {
		return access.Target{Environment: environment, Event: "signup"}
	}
	list := []access.Target{
		signup("moon"), signup("production"), signup("development"), signup("moon"), {Environment: "moon", Event: "purchase"},
		signup("development"), signup("moon"), signup(""), signup("Moon"),
	}
	permit := w.Permit(access.Attempt{Action: access.WriteEvents, Each: true, Targets: list})
	var refused []int
	for _, r := range permit.Refused() {
		refused = append(refused, r.Index)
	}
	if !slices.Equal(refused, []int{0, 2, 3, 4, 5, 6, 8}) {
		t.Errorf("refused %v", refused)
	}
	if permit.Environment() != "" {
		t.Errorf("a permit for many targets has environment %q", permit.Environment())
	}
	denials, uses := w.Ledger.Take()
	type entry struct {
		reason, environment, event string
		count                      int
	}
	var got []entry
	ids := map[string]bool{}
	for _, d := range denials {
		got = append(got, entry{d.Reason, d.Environment, d.Event, d.Count})
		ids[d.ID] = true
		if d.Project != "prj_1" || d.Organization != "org_1" || d.Rule == "" || d.RequestID != "req_1" || d.Action != access.WriteEvents {
			t.Errorf("incomplete: %+v", d)
		}
	}
	want := []entry{
		{"environment_unknown", "moon", "signup", 3}, {"environment_not_allowed", "development", "signup", 2},
		{"environment_unknown", "moon", "purchase", 1}, {"environment_unknown", "Moon", "signup", 1},
	}
	if !slices.Equal(got, want) || len(ids) != len(want) {
		t.Errorf("recorded %v under %d ids", got, len(ids))
	}
	if len(uses) != 1 || uses[0].Items != 2 || uses[0].Environment != "" {
		t.Errorf("recorded as used %+v", uses)
	}
}

// Promise: a request that is refused whole is recorded once, for all its items, and the answer names the entry and the
// item at fault.
func TestRequestsRefusedWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		attempt     access.Attempt
		code        problem.Code
		says        string
		environment string
		count       int
	}{
		"all items":      {access.Attempt{Each: true, Targets: targets("moon", "development", "moon")}, problem.EnvironmentNotFound, "'moon'", "moon", 3},
		"one item":       {access.Attempt{Each: true, Targets: targets("development")}, problem.EnvironmentNotAllowed, "'development'", "development", 1},
		"the second one": {access.Attempt{Targets: targets("production", "moon")}, problem.EnvironmentNotFound, "'moon'", "moon", 1},
		"the third one":  {access.Attempt{Targets: targets("production", "", "development")}, problem.EnvironmentNotAllowed, "'development'", "development", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := gatetest.New(t)
			c.attempt.Action = access.WriteEvents
			_, err := w.Ask(w.Key(access.Public, access.EventsWrite), c.attempt)
			p := problem.From(err)
			if p.Code != c.code || !strings.Contains(p.Detail, c.says) {
				t.Errorf("%v, want %s that says %s", err, c.code, c.says)
			}
			denials, uses := w.Ledger.Take()
			if len(uses) != 0 || len(denials) != 1 || denials[0].Environment != c.environment || denials[0].Count != c.count || denials[0].ID != p.DecisionID {
				t.Errorf("recorded %+v and %+v; the answer names %q", denials, uses, p.DecisionID)
			}
		})
	}
}

// slowLedger is a ledger that takes nothing until it is released.
type slowLedger struct {
	entered chan string
	release chan struct{}
}

func (l *slowLedger) Deny(gate.Denial) { l.entered <- "deny"; <-l.release }
func (l *slowLedger) Allow(gate.Use)   { l.entered <- "allow"; <-l.release }

// Promise: the ledger has the decision before the caller has the answer, be it a yes, a no, or a yes in part.
func TestLedgerComesFirst(t *testing.T) {
	for name, c := range map[string]struct {
		targets []access.Target
		writes  []string
	}{
		"yes":         {targets("production"), []string{"allow"}},
		"no":          {targets("moon"), []string{"deny"}},
		"yes in part": {targets("moon", "production", "development"), []string{"deny", "deny", "allow"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := gatetest.New(t)
				ledger := &slowLedger{entered: make(chan string), release: make(chan struct{})}
				door := gate.New(w.Keys, nil, w.Limits, ledger, w.Clock.Now, func() string { return "id" })
				caller, err := door.Identify(t.Context(), w.Credential(w.Key(access.Secret, access.EventsWrite)), access.WriteEvents)
				if err != nil {
					t.Fatal(err)
				}
				answered := make(chan error, 1)
				go func() {
					_, err := door.Admit(t.Context(), caller, access.Attempt{Each: true, Targets: c.targets}, gate.Cost{Requests: 1})
					answered <- err
				}()
				for _, want := range c.writes {
					if got := <-ledger.entered; got != want {
						t.Errorf("wrote %s, want %s", got, want)
					}
					synctest.Wait()
					select {
					case err := <-answered:
						t.Fatalf("answered %v before the ledger had it", err)
					default:
					}
					ledger.release <- struct{}{}
				}
				if err := <-answered; (err == nil) != slices.Contains(c.writes, "allow") {
					t.Errorf("answered %v", err)
				}
			})
		})
	}
}

// Promise: one gate serves many requests at once, while keys change.
func TestGateIsShared(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text := w.Key(access.Secret, access.EventsWrite)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				if _, err := w.Ask(text, access.Attempt{Action: access.WriteEvents, Each: true, Targets: targets("", "moon")}); err != nil {
					t.Errorf("denied: %v", err)
				}
			}
		})
		all.Go(func() {
			for range 200 {
				w.Keys.Change(text, func(k *access.Key) { k.Scopes ^= access.EventsRead })
			}
		})
	}
	all.Wait()
	denials, uses := w.Ledger.Take()
	ids := map[string]bool{}
	for _, d := range denials {
		ids[d.ID] = true
	}
	if len(uses) != 800 || len(denials) != 800 || len(ids) != 800 {
		t.Errorf("%d uses and %d denials under %d ids", len(uses), len(denials), len(ids))
	}
}
