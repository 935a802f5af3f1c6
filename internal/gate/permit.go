package gate

import (
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Permit is proof that an attempt was allowed and recorded. Only Admit makes one; the zero Permit panics when it is
// used. It says which tenant's data the holder may touch, and is the only source of that.
type Permit struct {
	key     *access.Key
	data    access.DataScope
	refused []access.Refusal
	at      time.Time
}

// Organization is the id of the organization the permit is for.
func (p Permit) Organization() string { p.must(); return p.data.Organization }

// Project is the id of the project the permit is for.
func (p Permit) Project() string { p.must(); return p.data.Project }

// Environment is the environment of an attempt with one target.
func (p Permit) Environment() string { p.must(); return p.data.Environment }

// Live reports whether things of live mode are visible; a test key sees only things of test mode.
func (p Permit) Live() bool { p.must(); return p.data.Live }

// Key is the key that was admitted. It holds nothing secret and must not be changed.
func (p Permit) Key() *access.Key { p.must(); return p.key }

// At is the time of the decision.
func (p Permit) At() time.Time { p.must(); return p.at }

// Refused lists the targets of the attempt that the permit does not cover, in order.
func (p Permit) Refused() []access.Refusal { p.must(); return p.refused }

// Refusal is what the sender is told of a target the permit does not cover.
func (p Permit) Refusal(environment string, reason access.Reason) *problem.Error {
	p.must()
	return Problem(reason, p.key, &access.Attempt{}, &access.Target{Environment: environment})
}

// Space is the environment a target's name stands for, and false when the permit does not reach it.
func (p Permit) Space(name string) (string, bool) {
	p.must()
	env, reason := p.key.Resolve(name)
	return env.Name, reason == access.Allowed
}

func (p Permit) must() {
	if p.key == nil {
		panic("gate: a Permit that no Admit gave")
	}
}
