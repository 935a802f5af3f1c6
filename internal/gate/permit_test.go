package gate_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// admin is the permit of a key that changes keys, from an office network.
func admin(t *testing.T, w *gatetest.World) (text string, permit gate.Permit) {
	t.Helper()
	text = w.Mint(access.Key{Scopes: access.KeysWrite | access.EventsWrite, MintedAt: w.Clock.Now(), Bounds: access.Bounds{Networks: networks("192.0.2.0/24")}})
	permit, err := w.Ask(text, access.Attempt{Action: access.WriteKeys})
	if err != nil {
		t.Fatal(err)
	}
	w.Ledger.Take()
	return text, permit
}

// Promise: a key that changes itself is told whether it could ask the same again; and whoever waited for its turn is told
// whether it still stands: with the secret it showed, from where it asked. Asking records and charges nothing.
func TestPermitsOfKeysThatChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*access.Key)
		want access.Reason
	}{
		"nothing":        {func(*access.Key) {}, access.Allowed},
		"still in":       {func(k *access.Key) { k.Networks = networks("192.0.2.1/32") }, access.Allowed},
		"locked out":     {func(k *access.Key) { k.Networks = networks("203.0.113.0/24") }, access.NetworkNotAllowed},
		"scopeless":      {func(k *access.Key) { k.Scopes = access.EventsWrite }, access.ScopeMissing},
		"made to sign":   {func(k *access.Key) { k.Signature = true }, access.SignatureMissing},
		"kept to a page": {func(k *access.Key) { k.Domains = []access.Domain{{Host: "www.example.com"}} }, access.DomainNotAllowed},
		"expired":        {func(k *access.Key) { k.ExpiresAt = k.MintedAt }, access.KeyExpired},
		"revoked":        {func(k *access.Key) { k.RevokedAt = k.MintedAt }, access.KeyRevoked},
		"observed":       {func(k *access.Key) { k.Networks, k.Observe = networks("203.0.113.0/24"), access.ByNetwork }, access.Allowed},
	} {
		w := gatetest.New(t)
		text, permit := admin(t, w)
		after := *permit.Key()
		c.edit(&after)
		if got := permit.Would(&after); got != c.want {
			t.Errorf("%s: would be %s, want %s", name, got, c.want)
		}
		w.Keys.Change(text, c.edit)
		entry, _ := w.Keys.Lookup(gatetest.Parse(text).Lookup)
		if got := permit.Stands(entry); got != (c.want == access.Allowed) {
			t.Errorf("%s: stands %v", name, got)
		}
		if denials, uses := w.Ledger.Take(); denials != nil || uses != nil || len(w.Limits.Charges) != 1 {
			t.Errorf("%s: recorded %+v and %+v, charged %v", name, denials, uses, w.Limits.Charges)
		}
	}
}

// Promise: a permit stands as long as the secret that was shown does, also when it was replaced meanwhile.
func TestPermitsOfReplacedSecrets(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text, permit := admin(t, w)
	stands := func() bool {
		entry, _ := w.Keys.Lookup(gatetest.Parse(text).Lookup)
		return permit.Stands(entry)
	}
	rotate(w, text, 2, permit.At().Add(1))
	if !stands() {
		t.Error("a secret that is still good")
	}
	w.Keys.Edit(text, func(e *gate.Entry) { e.Former = []gate.Former{{Generation: 1, Until: permit.At()}} })
	if stands() {
		t.Error("a secret that has ended stands")
	}
	w.Keys.Edit(text, func(e *gate.Entry) { e.Former = nil })
	if stands() {
		t.Error("a secret that is forgotten stands")
	}
	w.Keys.Edit(text, func(e *gate.Entry) { e.Generation = 1 })
	if !stands() {
		t.Error("the present secret")
	}
}

// Promise: what is handed on is decided as at the door, told as there and recorded as there.
func TestGranting(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]access.Grant{
		"within":       {Kind: access.Secret, Mode: access.Live, Scopes: access.EventsWrite, Bounds: access.Bounds{Networks: networks("192.0.2.7/32")}},
		"beyond":       {Kind: access.Secret, Mode: access.Live, Scopes: access.EventsWrite},
		"more scopes":  {Kind: access.Secret, Mode: access.Live, Scopes: access.EventsRead, Bounds: access.Bounds{Networks: networks("192.0.2.7/32")}},
		"an operator":  {Kind: access.Operator, Mode: access.Live, Scopes: access.EventsWrite, Bounds: access.Bounds{Networks: networks("192.0.2.7/32")}},
		"over ceiling": {Kind: access.Public, Mode: access.Live, Scopes: access.EventsWrite, Bounds: access.Bounds{Networks: networks("192.0.2.7/32")}},
	} {
		w := gatetest.New(t)
		w.Project.Policy.Public.RequireSignature = true
		text, permit := admin(t, w)
		_, err := w.Ask(text, access.Attempt{Action: access.WriteKeys, Grants: &g})
		atDoor, _ := w.Ledger.Take()
		again := permit.Granting(&g)
		if (again == nil) != (name == "within") || (err == nil) != (again == nil) {
			t.Errorf("%s: %v, and at the door %v", name, again, err)
		}
		if err != nil {
			p, q := *problem.From(err), *problem.From(again)
			p.DecisionID, q.DecisionID = "", ""
			if !reflect.DeepEqual(q, p) {
				t.Errorf("%s: %+v, and at the door %+v", name, again, err)
			}
		}
		recordedLike(t, w, again, atDoor)
	}
}

// Promise: a secret that was replaced is no younger for it, where a project says how long a secret may live; and what was
// made of it, a stream or a change that waits, ends with it.
func TestReplacedSecretsGrowOld(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	w.Project.Policy.Secret.MaxLifetime = time.Hour
	text := w.Mint(access.Key{Scopes: access.EventsRead, MintedAt: w.Clock.Now()})
	w.Clock.Advance(time.Hour - 1)
	fresh := rotate(w, text, 2, w.Clock.Now().Add(24*time.Hour))
	w.Keys.Edit(text, func(e *gate.Entry) {
		key := *e.Key
		e.Former[0].MintedAt, key.MintedAt = key.MintedAt, w.Clock.Now()
		e.Key = &key
	})
	attempt := access.Attempt{Action: access.ReadEvents}
	permit, err := w.Ask(text, attempt)
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(1)
	if _, err := w.Ask(text, attempt); problem.Of(err) != problem.KeyNotAccepted {
		t.Errorf("the replaced secret: %v", err)
	}
	if err := w.Gate.Watch(permit, attempt); problem.Of(err) != problem.KeyNotAccepted {
		t.Errorf("what was made of it: %v", err)
	}
	for _, d := range must(w.Ledger.Take()) {
		if d.Reason != "secret_too_old" || d.Generation != 1 {
			t.Errorf("recorded %+v", d)
		}
	}
	if _, err := w.Ask(fresh, attempt); err != nil {
		t.Errorf("the present secret: %v", err)
	}
}

func must(denials []gate.Denial, _ []gate.Use) []gate.Denial { return denials }

// Promise: a caller is known by what is found out of it on its way: what program it uses; that its signature is for
// somebody else, and then it is as good as unsigned.
func TestCallersOnTheirWay(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	text := w.Mint(access.Key{Scopes: access.EventsWrite, MintedAt: w.Clock.Now()})
	for _, c := range []struct {
		demanded bool
		code     problem.Code
	}{{false, ""}, {true, problem.SignatureRequired}} {
		w.Keys.Change(text, func(k *access.Key) { k.Signature = c.demanded })
		credential := w.Credential(text)
		credential.Signed, credential.Client = access.SignatureClaimed, gate.Client{Agent: "curl/8"}
		caller, err := w.Gate.Identify(t.Context(), credential, access.WriteEvents)
		if err != nil {
			t.Fatal(err)
		}
		if !caller.Replaced().Equal(w.Clock.Now()) {
			t.Errorf("replaced %s", caller.Replaced())
		}
		permit, err := w.Gate.Admit(t.Context(), caller.Unsigned().By("weir-go/1"), access.Attempt{}, gate.Cost{})
		if problem.Of(err) != c.code {
			t.Errorf("%v, want %s", err, c.code)
		}
		if want := (gate.Client{Agent: "curl/8", SDK: "weir-go/1"}); err == nil && (permit.Sender().Client != want || permit.Sender().Signed != access.Unsigned) {
			t.Errorf("sender %+v", permit.Sender())
		}
	}
}

// Promise: whether a sender may have an event sent by others is decided as if it were sent by the same credential, and told
// and recorded as at the door.
func TestSends(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]access.Key{
		"within":            {Scopes: access.WorkflowsWrite | access.EventsWrite},
		"no scope":          {Scopes: access.WorkflowsWrite},
		"another event":     {Scopes: access.AllScopes, Bounds: access.Bounds{Events: []string{"B"}}},
		"another space":     {Scopes: access.AllScopes, Bounds: access.Bounds{Environments: []string{"staging"}}},
		"the event allowed": {Scopes: access.AllScopes, Bounds: access.Bounds{Events: []string{"A"}}},
	} {
		w := gatetest.New(t)
		key.Kind, key.Mode, key.Project = access.Secret, access.Live, w.Project
		text := w.Mint(key)
		target := access.Target{Environment: "production", Event: "A"}
		permit, err := w.Ask(text, access.Attempt{Action: access.HoldKey})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = w.Ask(text, access.Attempt{Action: access.WriteEvents, Targets: []access.Target{target}})
		atDoor, _ := w.Ledger.Take()
		again := permit.Sends(target)
		if (err == nil) != (again == nil) || (again == nil) != (name == "within" || name == "the event allowed") {
			t.Errorf("%s: %v, and at the door %v", name, again, err)
		}
		if err != nil && problem.Of(err) != problem.Of(again) {
			t.Errorf("%s: %v, and at the door %v", name, again, err)
		}
		recordedLike(t, w, again, atDoor)
	}
}

// recordedLike fails unless a no, and nothing else, is in the ledger as the one at the door was, under the decision that it names.
func recordedLike(t *testing.T, w *gatetest.World, no error, atDoor []gate.Denial) {
	t.Helper()
	denials, uses := w.Ledger.Take()
	if no == nil && denials == nil && uses == nil {
		return
	}
	if len(denials) != 1 || len(atDoor) != 1 || uses != nil || denials[0].ID != problem.From(no).DecisionID {
		t.Errorf("%v: recorded %+v and %+v", no, denials, uses)
		return
	}
	for _, d := range []*gate.Denial{&denials[0], &atDoor[0]} { // at the door it may be found before the body says where
		d.ID, d.Environment, d.Event = "", "", ""
	}
	if !reflect.DeepEqual(denials, atDoor) {
		t.Errorf("recorded %+v, and at the door %+v", denials, atDoor)
	}
}
