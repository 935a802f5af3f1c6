package token

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Revocation is a token that was revoked, or all of a client's that were issued until then. It says so as long as there
// may be such a token.
type Revocation struct {
	Client    access.Lookup
	ID        string    // jti; empty: every token of the client that was issued until Through
	Through   time.Time // zero: it is of one token
	ExpiresAt time.Time
}

// The bounds of the deny list. A client that revokes more tokens than its share before they expire, or any client when
// there is no room, loses all tokens that it has instead: that takes one entry. An entry takes some 150 bytes.
const (
	mostRevoked         = 1 << 18
	mostRevokedOfClient = 1 << 10
	deniedShards        = 1 << 10
)

// revokedID names a revocation.
type revokedID struct {
	client access.Lookup
	id     string
}

func (r *Revocation) name() revokedID { return revokedID{r.Client, r.ID} }

// denied is the deny list at one moment. It never changes once it is published: a change makes another, which shares all
// shards but one.
type denied struct {
	shards [deniedShards]map[revokedID]until
	counts map[access.Lookup]int // of single tokens; only whoever has the turn looks at it, and may change it
	total  int
}

// until is what is remembered of a revocation, in Unix seconds.
type until struct {
	through int64 // of all of a client's
	expires int64
}

// shardOf spreads the clients over the shards. Their ids are random.
func shardOf(client access.Lookup) int {
	return (int(client[0])<<16 + int(client[1])<<8 + int(client[2])) * 31 % deniedShards
}

// has reports whether a token is revoked, by itself or with all of its client's. It takes no lock and allocates nothing.
func (d *denied) has(id string, client access.Lookup, issued int64) bool {
	shard := d.shards[shardOf(client)]
	if len(shard) == 0 {
		return false
	}
	if _, single := shard[revokedID{client, id}]; single && id != "" {
		return true
	}
	all, found := shard[revokedID{client, ""}]
	return found && issued <= all.through
}

// add puts a revocation into a list that is not published, in a shard that is its own. One that ends all of a client's
// tokens takes the place of those that ended single ones.
func (d *denied) add(r Revocation) {
	shard := &d.shards[shardOf(r.Client)]
	if *shard == nil {
		*shard = map[revokedID]until{}
	}
	name, now := r.name(), until{expires: r.ExpiresAt.Unix()}
	if r.ID == "" {
		now.through = r.Through.Unix()
	}
	if r.ID == "" {
		maps.DeleteFunc(*shard, func(other revokedID, _ until) bool { return other.client == r.Client && other.id != "" })
		d.total -= d.counts[r.Client]
		delete(d.counts, r.Client)
	}
	known, again := (*shard)[name]
	(*shard)[name] = until{max(known.through, now.through), max(known.expires, now.expires)}
	if !again {
		d.total++
		if r.ID != "" {
			d.counts[r.Client]++
		}
	}
}

// with is d with one more revocation.
func (d *denied) with(r Revocation) *denied {
	next := *d
	shard := &next.shards[shardOf(r.Client)]
	*shard = maps.Clone(*shard)
	next.add(r)
	return &next
}

// without is d without what has expired at a time. It is a list of its own, with counts of its own.
func (d *denied) without(now time.Time) *denied {
	next := &denied{counts: map[access.Lookup]int{}}
	for n, shard := range d.shards {
		for name, u := range shard {
			if u.expires <= now.Unix() {
				continue
			}
			if next.shards[n] == nil {
				next.shards[n] = make(map[revokedID]until, len(shard))
			}
			next.shards[n][name] = u
			next.total++
			if name.id != "" {
				next.counts[name.client]++
			}
		}
	}
	return next
}

// loadRevocations reads the deny list from the store.
func (i *Issuer) loadRevocations(ctx context.Context) error {
	list, err := i.store.Revocations(ctx)
	if err != nil {
		return fmt.Errorf("token: read revocations: %w", err)
	}
	d := &denied{counts: map[access.Lookup]int{}}
	for _, all := range [...]bool{true, false} { // those of single tokens last: one of all would take their place
		for _, r := range list {
			if (r.ID == "") == all {
				d.add(r)
			}
		}
	}
	i.denied.Store(d.without(i.cfg.Now()))
	return nil
}

// Revoke ends a token for good. It is refused from the moment of the call, and also after a restart once Revoke has
// returned without an error. When the store does not take it, the token stays refused here, and storing it is tried again;
// whoever asked should ask again as well.
func (i *Issuer) Revoke(ctx context.Context, t Token) error {
	now := i.cfg.Now()
	if !now.Before(t.Bounds.ExpiresAt) {
		return nil
	}
	return i.revoke(ctx, Revocation{Client: t.Client, ID: t.ID, ExpiresAt: t.Bounds.ExpiresAt})
}

// RevokeAll ends every token that a client has now. Those that it gets from the next second on are good.
func (i *Issuer) RevokeAll(ctx context.Context, client access.Lookup) error {
	return i.revoke(ctx, i.all(client))
}

func (i *Issuer) all(client access.Lookup) Revocation {
	now := i.cfg.Now().UTC().Truncate(time.Second)
	return Revocation{Client: client, Through: now, ExpiresAt: now.Add(MaxLifetime + time.Second)}
}

func (i *Issuer) revoke(ctx context.Context, r Revocation) error {
	if err := i.changing.take(ctx); err != nil {
		return problem.Wrap(err, problem.Unavailable, "The store is slow, and others wait for it: the token was not revoked.").After(time.Second)
	}
	defer i.changing.give()
	d := i.denied.Load()
	_, waits := i.unstored[r.name()]
	if _, known := d.shards[shardOf(r.Client)][r.name()]; known && !waits && r.ID != "" {
		return nil
	}
	if r.ID != "" && !waits && (d.counts[r.Client] >= mostRevokedOfClient || d.total >= mostRevoked) {
		i.cfg.Log.Warn("a client revoked so many tokens that all it had are revoked", "client_id", r.Client.ID())
		r = i.all(r.Client)
	}
	i.denied.Store(d.with(r))
	return i.write(ctx, r)
}

// write stores a revocation that is in the list, or remembers that it is to be stored.
func (i *Issuer) write(ctx context.Context, r Revocation) error {
	if err := i.store.Revoke(ctx, r); err != nil {
		i.unstored[r.name()] = r
		return problem.Wrap(err, problem.Unavailable, "The token is refused by this server from now on, but that could not be stored. Revoke it again.").After(time.Second)
	}
	delete(i.unstored, r.name())
	return nil
}

// forget drops what has expired from the list, and stores what could not be stored.
func (i *Issuer) forget(ctx context.Context) {
	if i.changing.take(ctx) != nil {
		return
	}
	defer i.changing.give()
	now := i.cfg.Now()
	if d := i.denied.Load(); d.total > 0 {
		i.denied.Store(d.without(now))
	}
	var failed error
	for name, r := range i.unstored {
		if r.ExpiresAt.After(now) {
			failed = cmp.Or(failed, i.write(ctx, r))
		} else {
			delete(i.unstored, name)
		}
	}
	if failed != nil && ctx.Err() == nil {
		i.cfg.Log.Error("revocations of tokens cannot be stored: they hold until a restart", "count", len(i.unstored), "error", failed)
	}
}
