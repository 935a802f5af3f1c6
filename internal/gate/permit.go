package gate

import (
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Permit is proof that an attempt was allowed and recorded. Only Admit makes one; the zero Permit panics when it is
// used. It says which tenant's data the holder may touch, and is the only source of that.
type Permit struct {
	caller  Caller
	data    access.DataScope
	refused []access.Refusal
	at      time.Time
	charge  Charge
	charged Charged
	gate    *Gate
}

// Organization is the id of the organization the permit is for.
func (p Permit) Organization() string { p.must(); return p.data.Organization }

// Project is the id of the project the permit is for.
func (p Permit) Project() string { p.must(); return p.data.Project }

// Environment is the environment of an attempt with one target.
func (p Permit) Environment() string { p.must(); return p.data.Environment }

// Live reports whether things of live mode are visible; a test key sees only things of test mode.
func (p Permit) Live() bool { p.must(); return p.data.Live }

// View is what may be read of the environment; nil: everything.
func (p Permit) View() *access.View { p.must(); return p.data.View }

// Own reports whether the permit is for what a user may read of themselves, and so for nothing of anybody else.
func (p Permit) Own() bool { p.must(); return p.data.Own }

// Key is the key that was admitted. It holds nothing secret and must not be changed.
func (p Permit) Key() *access.Key { p.must(); return p.caller.entry.Key }

// Token is a token of the client, or the member, that was admitted, with all that it may have: the scopes of the client and no bounds of its
// own. Whoever makes tokens names and narrows it, and says when it expires. It panics for what is neither.
func (p Permit) Token() Token {
	p.must()
	key := p.caller.entry.Key
	if !signs(key.Kind) {
		panic("gate: a token of what is no client")
	}
	t := Token{Client: p.caller.lookup, Generation: p.caller.generation, ClientEpoch: key.Epoch, Scopes: key.Effective()}
	if key.Parent != nil {
		t.KeyEpoch = key.Parent.Epoch
	}
	return t
}

// KeyID is the id of the key that was admitted.
func (p Permit) KeyID() string { p.must(); return p.caller.entry.Key.ID }

// At is the time of the decision.
func (p Permit) At() time.Time { p.must(); return p.at }

// SecretUntil is when the secret that was shown ends, because it was replaced; the zero time for the present one.
func (p Permit) SecretUntil() time.Time { p.must(); return p.caller.SecretUntil() }

// Sender is where the request came from, for the audit.
func (p Permit) Sender() Sender { p.must(); return p.caller.sender() }

// Charged is the state of the limits after the request.
func (p Permit) Charged() Charged { p.must(); return p.charged }

// Accounts are whose limits were charged: the key's and the project's.
func (p Permit) Accounts() (key, project Account) { p.must(); return p.charge.Key, p.charge.Project }

// Refused lists the targets of the attempt that the permit does not cover, in order.
func (p Permit) Refused() []access.Refusal { p.must(); return p.refused }

// Refusal is what the sender is told of a target the permit does not cover.
func (p Permit) Refusal(target access.Target, reason access.Reason) *problem.Error {
	p.must()
	return Problem(reason, p.caller.entry.Key, &access.Attempt{}, &target)
}

// Space is the environment a target's name stands for, and false when the permit does not reach it.
func (p Permit) Space(name string) (string, bool) {
	p.must()
	env, reason := p.caller.entry.Key.Resolve(name)
	return env.Name, reason == access.Allowed
}

// AsksDataset reports whether a statement of the holder may read a dataset of the permit's environment: what would be
// decided of the same request if it read the dataset and nothing else.
func (p Permit) AsksDataset(name string, class access.Class) bool {
	p.must()
	attempt := access.Attempt{Action: access.AskDatasets, At: p.at, Circumstances: p.caller.credential.Circumstances}
	attempt.Targets = []access.Target{{Environment: p.data.Environment, Dataset: name, Class: class, Right: access.ReadRecords}}
	return p.data.Environment != "" && access.Decide(p.caller.entry.Key, &attempt).Allowed()
}

// Asking is what is decided of a statement of SQL over the permit's environment: nil for a yes, else what the sender is told.
func (p Permit) Asking() error {
	return p.also(access.Attempt{Action: access.RunSQL, Targets: []access.Target{{Environment: p.data.Environment}}})
}

// also is what is decided of something else that the same request turns out to do: nil for a yes, else what the sender is told.
// A no is recorded as every other is.
func (p Permit) also(attempt access.Attempt) error {
	p.must()
	attempt.At, attempt.Circumstances = p.at, p.caller.credential.Circumstances
	d := access.Decide(p.caller.entry.Key, &attempt)
	if d.Allowed() {
		return nil
	}
	caller := p.caller
	return p.gate.deny(&caller, &attempt, d, access.Explain)
}

// named are targets with the default environment, as it was when the permit was given, named.
func (p Permit) named(targets []access.Target) []access.Target {
	env, _ := p.caller.entry.Key.Default()
	targets = slices.Clone(targets)
	for i := range targets {
		if targets[i].Environment == "" {
			targets[i].Environment = env.Name
		}
	}
	return targets
}

func (p Permit) must() {
	if p.caller.entry.Key == nil {
		panic("gate: a Permit that no Admit gave")
	}
}

// Would is what would be decided of the same request if the key were another value of itself: a key that changes itself
// can see whether it would lock itself out.
func (p Permit) Would(after *access.Key) access.Reason {
	p.must()
	return access.Decide(after, &access.Attempt{Action: p.caller.action, At: p.at, Circumstances: p.caller.credential.Circumstances}).Reason
}

// Stands reports whether the same request, with the secret that was shown, would be allowed of the key as it is by now.
// Whoever waited for its turn to change something asks it: the key may have been revoked, narrowed or rotated meanwhile.
func (p Permit) Stands(now Entry) bool {
	p.must()
	secret, known := now.secret(p.caller.generation)
	p.caller.shown(&secret)
	key := now.Key
	if p.caller.token != nil {
		key = p.caller.token.key(now.Key)
	}
	return known && access.Decide(key, &access.Attempt{Action: p.caller.action, At: p.at, Circumstances: p.caller.credential.Circumstances}).Allowed()
}

// Granting is what is decided of the same request if it hands on g: nil for a yes, else what the sender is told. It is for
// rights that are known for certain only once nobody else can change them.
func (p Permit) Granting(g *access.Grant) error {
	return p.also(access.Attempt{Action: p.caller.action, Grants: g})
}

// Sends is what is decided of a request with the same credential that sends an event: nil for a yes, else what the sender is
// told. It is for whoever has an event sent by others.
func (p Permit) Sends(target access.Target) error {
	return p.also(access.Attempt{Action: access.WriteEvents, Targets: []access.Target{target}})
}
