package gate

import (
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// UserToken is what a user token says: that the key with a public part, whose generation and epoch were these, made it for
// one person of one environment.
type UserToken struct {
	ID          string // its own name, jti
	Key         access.Lookup
	Generation  int
	Epoch       int64
	Environment string
	DistinctID  string
	ExpiresAt   time.Time
}

// UserToken is a user token that the permit's holder may make, without an id and an end. It panics for what is no secret
// key or is not for one environment.
func (p Permit) UserToken(distinctID string) UserToken {
	p.must()
	key := p.caller.entry.Key
	if key.Kind != access.Secret && key.Kind != access.Operator || p.data.Environment == "" {
		panic("gate: a user token of what is no secret key in an environment")
	}
	return UserToken{
		Key: p.caller.lookup, Generation: p.caller.generation, Epoch: key.Epoch, Environment: p.data.Environment, DistinctID: distinctID,
	}
}

// user finds out what a user token proves at a time, by the key that made it as it is now: one that was revoked, disabled,
// narrowed or has expired, or whose secret was replaced and has ended, proves nothing.
func (g *Gate) user(c *Credential, at time.Time) access.User {
	if c.UserToken.Empty() {
		return access.User{}
	}
	shown := access.User{Shown: true}
	if g.tokens == nil {
		return shown
	}
	t, found := g.tokens.OpenUser(c.UserToken.Reveal(), at)
	if !found {
		return shown
	}
	entry, found := g.keys.Lookup(t.Key)
	if !found || entry.Key.Kind == access.Public || entry.Key.Epoch != t.Epoch || !entry.Key.Effective().Has(access.MintUserTokens.Scope()) {
		return shown
	}
	secret, known := entry.secret(t.Generation)
	if !known || access.Stands(entry.Key, at, secret.Until, secret.MintedAt) != access.Allowed {
		return shown
	}
	return access.User{
		Shown: true, Good: true, Project: entry.Key.Project.ID, Environment: t.Environment, DistinctID: t.DistinctID, View: entry.Key.Sees(),
	}
}
