package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// begin waits for the turn to change something, and refuses whoever may no longer do so by then. The caller gives the
// turn back, unless there is an error.
func (r *Ring) begin(ctx context.Context, permit gate.Permit) error {
	if err := r.beginOwn(ctx); err != nil {
		return err
	}
	asks := permit.Key().Stored()
	lookup, _ := access.LookupOf(asks.ID)
	e, found := r.live.Load().find(lookup)
	if found && permit.Stands(e.Entry) && sameChain(e.Key, asks) {
		return nil
	}
	r.changing.give()
	return problem.New(problem.Conflict, "The key that asks was itself changed just now, before its turn came: nothing was done. Ask again.")
}

// beginOwn is begin for what the program does by itself.
func (r *Ring) beginOwn(ctx context.Context) error {
	if err := r.changing.take(ctx); err != nil {
		return problem.Wrap(err, problem.Unavailable, "The store of keys is slow, and others wait for it: nothing was changed.").After(time.Second)
	}
	if err := r.settle(ctx); err != nil {
		r.changing.give()
		return err
	}
	return nil
}

// edit changes a record. errUnchanged says that there is nothing to store.
type edit func(rec *Record, project *access.Project, now time.Time) error

var errUnchanged = errors.New("keyring: nothing is changed")

// errRevoked is in the chain of the problem of changing a key that is revoked.
var errRevoked = errors.New("keyring: the key is revoked")

// change edits a key in the store and then in the snapshot, and audits it.
func (r *Ring) change(ctx context.Context, permit gate.Permit, id, action string, revision int64, edit edit) (Record, error) {
	if err := r.changeable(permit.Project(), id); err != nil {
		return Record{}, err
	}
	if err := r.begin(ctx, permit); err != nil {
		return Record{}, err
	}
	defer r.changing.give()
	by := func(before, after shown) audit.Entry {
		return audit.Of(permit, r.cfg.NewID(), action, id, before, after)
	}
	return r.changeNow(ctx, permit.Project(), id, revision, by, edit)
}

// changeable refuses what is no id of a stored key.
func (r *Ring) changeable(project, id string) error {
	if _, ok := access.LookupOf(id); !ok {
		return notFound()
	}
	if _, declared := r.declaredKey(project, id); declared {
		return problem.New(problem.Conflict, "The key is declared in the server's configuration: it is changed there, and not here.")
	}
	if k, found := r.Peek(project, id); found && k.Kind == access.Member {
		return problem.New(problem.Conflict, "The key is a member's: it is changed with the member, and not by itself.")
	}
	return nil
}

// changeNow is change for whoever has the turn, and makes the audit's entries by itself.
func (r *Ring) changeNow(ctx context.Context, projectID, id string, revision int64, by func(before, after shown) audit.Entry, edit edit) (Record, error) {
	now := micros(r.cfg.Now())
	project := r.live.Load().projects[projectID]
	var found, wanted *Record // as it was read, and as it was to become: nil when it was not to be changed
	rec, err := r.store.ChangeKey(ctx, projectID, id, func(rec *Record) (*audit.Entry, error) {
		as := *rec
		found, wanted = &as, nil
		switch {
		case revision != 0 && revision != rec.Revision:
			return nil, problem.New(problem.PreconditionFailed, "The key is at version %d by now, and not at %d.", rec.Revision, revision).
				At("header.If-Match", "is not the present version")
		case !rec.RevokedAt.IsZero():
			return nil, problem.Wrap(errRevoked, problem.Conflict, "The key is revoked: it cannot be changed.")
		}
		before := rec.view()
		if err := edit(rec, project, now); errors.Is(err, errUnchanged) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		if rec.narrows(found) {
			rec.Epoch++
		}
		rec.end(now)
		rec.UpdatedAt = now
		to := *rec
		wanted = &to
		after := rec.view()
		after.Revision++
		entry := by(before, after)
		return &entry, nil
	})
	switch {
	case err == nil:
		r.publish(rec)
		return rec, nil
	case errors.Is(err, ErrNoKey):
		return Record{}, notFound()
	case wanted != nil:
		r.unsure(ctx, wanted, now)
	case found != nil:
		r.publish(*found) // another program may have changed it
	}
	return Record{}, fmt.Errorf("keyring: change a key: %w", err)
}

// publish puts a stored key into the snapshot. The caller has the turn.
func (r *Ring) publish(rec Record) {
	live := r.live.Load()
	rec.Bounds = kept(rec.Bounds) // the caller has the lists of the record
	lookup, _ := access.LookupOf(rec.ID)
	e := r.entry(&rec, live.projects[rec.Project])
	if known, found := live.find(lookup); !found || known.exposed != e.exposed || !known.same(&e) {
		r.live.Store(live.with(lookup, e))
	}
}

// doubt is what the store failed to say whether it was changed: a key, or a project's policy. There is one at the most:
// nothing more is changed before it is settled.
type doubt struct {
	project string
	key     string // empty: the policy
}

// unsure is called when the store failed while a key was to become wanted, so that it may or may not have become so. If
// the store cannot say which, the key is refused until it can. The caller has the turn.
func (r *Ring) unsure(ctx context.Context, wanted *Record, now time.Time) {
	lookup, _ := access.LookupOf(wanted.ID)
	live := r.live.Load()
	e, found := live.find(lookup)
	if found {
		is, to := e, r.entry(wanted, e.Key.Project)
		is.Former, to.Former = good(is.Former, now), good(to.Former, now)
		if is.same(&to) {
			r.live.Store(live.with(lookup, is)) // whichever it is, nobody who asks can tell
			return
		}
	}
	r.doubt = &doubt{project: wanted.Project, key: wanted.ID}
	if r.settle(ctx) == nil || !found {
		return
	}
	refused := *e.Key
	refused.RevokedAt = now
	e.Key = &refused
	r.live.Store(live.with(lookup, e))
}

// settleTime bounds how long the store is asked about what is in doubt: the caller's own deadline may be what failed.
const settleTime = 2 * time.Second

// settle brings the snapshot in line with the store when something is in doubt. The error means that it still is. The
// caller has the turn.
func (r *Ring) settle(ctx context.Context) error {
	if r.doubt == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	ask := r.settleKey
	if r.doubt.key == "" {
		ask = r.settlePolicy
	}
	if err := ask(ctx); err != nil {
		return problem.Wrap(err, problem.Unavailable, "The store of keys does not answer: nothing was changed.").After(time.Second)
	}
	r.doubt = nil
	return nil
}

func (r *Ring) settleKey(ctx context.Context) error {
	rec, err := r.stored(ctx, r.doubt.project, r.doubt.key)
	switch {
	case err == nil:
		r.publish(rec)
	case errors.Is(err, ErrNoKey):
		lookup, _ := access.LookupOf(r.doubt.key)
		r.live.Store(r.live.Load().without(lookup))
	default:
		return err
	}
	return nil
}

// same reports whether two entries of a key let the same requests in, with the same secrets and signatures.
func (e *entry) same(other *entry) bool {
	return sameRights(e.Key, other.Key) && e.Key.Epoch == other.Key.Epoch && e.parent == other.parent && e.Key.MintedAt.Equal(other.Key.MintedAt) && e.Digest == other.Digest && e.Generation == other.Generation &&
		slices.EqualFunc(e.Former, other.Former, func(a, b gate.Former) bool {
			return a.Digest == b.Digest && a.Generation == b.Generation && a.Until.Equal(b.Until) && a.MintedAt.Equal(b.MintedAt)
		}) && e.material.same(other.material)
}

// good lists the former secrets that have not ended.
func good(list []gate.Former, now time.Time) []gate.Former {
	return slices.DeleteFunc(slices.Clone(list), func(f gate.Former) bool { return !f.Until.After(now) })
}
