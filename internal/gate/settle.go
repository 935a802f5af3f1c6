package gate

import (
	"context"

	"github.com/weir-analytics/weir/internal/access"
)

// Settle replaces the credits that were set aside for a request by those that it came to. The problem is
// credits_exhausted when there are not so many: then the answer must not be given.
func (g *Gate) Settle(ctx context.Context, p Permit, credits int64) error {
	p.must()
	if p.charge.Credits == 0 && credits == 0 || p.caller.entry.Key.Kind == access.Operator {
		return nil
	}
	return g.short(p, g.limits.Settle(ctx, p.charge, credits))
}

// Hold keeps what was set aside for a request for what the request has begun and does not wait for, under a name. It is settled
// with SettleHeld, before or after a restart, and not with Settle.
//
// Problems: limits_unavailable.
func (g *Gate) Hold(ctx context.Context, p Permit, name string) error {
	p.must()
	if p.charge.Credits == 0 || p.caller.entry.Key.Kind == access.Operator {
		return nil
	}
	return g.short(p, g.limits.Hold(ctx, p.charge, name))
}

// HoldOnly frees what was held before the start of the program under other names than these.
func (g *Gate) HoldOnly(names []string) { g.limits.HoldOnly(names) }

// short is what is told of a request that went over a limit after it was admitted; nil when over is empty.
func (g *Gate) short(p Permit, over string) error {
	if over == "" {
		return nil
	}
	charged := Charged{Over: over, Next: p.charged.counter(over), All: p.charged.All, Down: p.charged.Down}
	attempt := access.Attempt{Action: p.caller.action, At: g.now(), Circumstances: p.caller.credential.Circumstances}
	return g.limit(&p.caller, &attempt, charged)
}

// Held is what is held, and for whom.
type Held struct {
	Name   string
	KeyID  string        // the key whose request it was set aside for
	Action access.Action // of that request
}

// SettleHeld replaces what is held by what it came to. Who asked may be gone: then that is what it is. What is not held any more
// is settled, and stays as it is.
//
// Problems: credits_exhausted when there are not so many, and what was held is spent; limits_unavailable when that cannot be
// written down, and it stays held.
func (g *Gate) SettleHeld(ctx context.Context, h Held, credits int64) error {
	c := Charge{Held: h.Name, At: g.now()}
	lookup, ok := access.LookupOf(h.KeyID)
	entry, found := Entry{}, false
	if ok {
		entry, found = g.keys.Lookup(lookup)
	}
	if found {
		c.Key, c.Project = accountOf(entry.Key), Account{entry.Key.Project.ID, entry.Key.Project.Policy.Limits}
	}
	over := g.limits.Settle(ctx, c, credits)
	if over == "" {
		return nil
	}
	charged := Charged{Over: over, Next: Counter{Name: over, Most: c.Key.Limits.Credits.Most}}
	if over == ProjectCredits {
		charged.Next.Most = c.Project.Limits.Credits.Most
	}
	if !found || over == LimitsDown { // it is tried again
		return overLimit(charged)
	}
	caller := Caller{entry: entry, lookup: lookup, generation: entry.Generation, action: h.Action}
	return g.limit(&caller, &access.Attempt{Action: h.Action, At: c.At}, charged)
}
