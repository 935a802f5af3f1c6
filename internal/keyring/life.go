package keyring

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// MaxPage is how many keys one call of List gives at the most.
const MaxPage = 200

// Create mints a key in the permit's project. The text is the whole key; of a secret key it is given here and never
// again. Rights to grant were decided with New.Grant before.
func (r *Ring) Create(ctx context.Context, permit gate.Permit, n New) (Record, access.Text, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.settle(ctx); err != nil {
		return Record{}, access.Text{}, err
	}
	now := micros(r.now())
	project := r.live.Load().projects[permit.Project()]
	if err := n.check(project, now); err != nil {
		return Record{}, access.Text{}, err
	}
	for range mintAttempts {
		lookup, text, err := r.mint(n.Kind, n.Mode)
		if err != nil {
			return Record{}, access.Text{}, err
		}
		if _, taken := r.live.Load().find(lookup); taken {
			continue
		}
		rec, err := n.record(lookup, text, permit, now)
		if err != nil {
			return Record{}, access.Text{}, err
		}
		err = r.store.InsertKey(ctx, rec)
		if errors.Is(err, ErrTaken) {
			continue
		}
		if err != nil {
			r.unsure(ctx, rec.key(project), now)
			return Record{}, access.Text{}, fmt.Errorf("keyring: store a new key: %w", err)
		}
		r.publish(rec)
		return rec, text, nil
	}
	return Record{}, access.Text{}, errNoFreeID
}

func (n New) record(lookup access.Lookup, text access.Text, permit gate.Permit, now time.Time) (Record, error) {
	parsed, err := access.ParseKey(text.Reveal())
	if err != nil {
		return Record{}, fmt.Errorf("keyring: read back a minted key: %w", err)
	}
	rec := Record{
		ID: lookup.ID(), Project: permit.Project(), Kind: n.Kind, Mode: n.Mode, Label: n.Label, Steward: n.Steward,
		Scopes: n.scopes(), Environments: slices.Clone(n.Environments), Hint: access.Hint(text.Reveal()), Digest: parsed.Digest,
		CreatedAt: now, UpdatedAt: now, CreatedBy: permit.Key().ID,
	}
	if permit.Key().Kind == access.Operator {
		rec.CreatedBy = access.Operator.String()
	}
	if n.Kind == access.Public {
		rec.Public = text.Reveal()
	}
	if !n.ExpiresAt.IsZero() {
		rec.ExpiresAt = micros(n.ExpiresAt)
	}
	return rec, nil
}

// List gives the keys of the permit's project that the permit can see, revoked ones too, oldest first: with a test key
// those of test mode. after is empty for the first page and
// otherwise what the page before gave as next; next is empty after the last page. limit is 1 to MaxPage.
func (r *Ring) List(ctx context.Context, permit gate.Permit, after string, limit int) (keys []Record, next string, err error) {
	var f faults
	place, ok := readCursor(after)
	if !ok {
		f.add("cursor", "is not one that a list gave")
	}
	if limit < 1 || limit > MaxPage {
		f.add("limit", "must be from 1 to %d", MaxPage)
	}
	if err := f.problem(); err != nil {
		return nil, "", err
	}
	keys, err = r.store.Keys(ctx, permit.Project(), permit.Live(), place, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("keyring: list keys: %w", err)
	}
	if len(keys) > limit {
		keys = keys[:limit]
		next = writeCursor(keys[limit-1].place())
	}
	return keys, next, nil
}

// Get gives one key of the permit's project.
func (r *Ring) Get(ctx context.Context, permit gate.Permit, id string) (Record, error) {
	if _, ok := access.LookupOf(id); !ok {
		return Record{}, notFound()
	}
	rec, err := r.store.Key(ctx, permit.Project(), id)
	if errors.Is(err, ErrNoKey) {
		return Record{}, notFound()
	}
	if err != nil {
		return Record{}, fmt.Errorf("keyring: read a key: %w", err)
	}
	return rec, nil
}

// Update changes a key of the permit's project. When it returns, the key has no right that the change took away. A
// revoked key cannot be changed. Rights to grant were decided with Change.Grant before.
func (r *Ring) Update(ctx context.Context, permit gate.Permit, id string, c Change) (Record, error) {
	return r.change(ctx, permit, id, func(rec *Record, project *access.Project, now time.Time) error {
		if !rec.RevokedAt.IsZero() {
			return problem.New(problem.Conflict, "The key is revoked: it cannot be changed.")
		}
		if err := c.check(rec, project, now); err != nil {
			return err
		}
		current := rec.key(project)
		if c.grantTo(current) != nil && (c.Basis == nil || !sameRights(c.Basis, current)) {
			return problem.New(problem.Conflict, "The key was changed by somebody else just now. Read it again and decide anew.")
		}
		c.apply(rec)
		rec.UpdatedAt = now
		return nil
	})
}

// Revoke ends a key of the permit's project for good. When it returns, the key is accepted nowhere. Revoking a revoked
// key changes nothing.
func (r *Ring) Revoke(ctx context.Context, permit gate.Permit, id string) (Record, error) {
	return r.change(ctx, permit, id, func(rec *Record, _ *access.Project, now time.Time) error {
		if rec.RevokedAt.IsZero() {
			rec.RevokedAt, rec.UpdatedAt = now, now
		}
		return nil
	})
}

type edit func(rec *Record, project *access.Project, now time.Time) error

// change edits a key in the store and then in the snapshot.
func (r *Ring) change(ctx context.Context, permit gate.Permit, id string, edit edit) (Record, error) {
	if _, ok := access.LookupOf(id); !ok {
		return Record{}, notFound()
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.settle(ctx); err != nil {
		return Record{}, err
	}
	now := micros(r.now())
	project := r.live.Load().projects[permit.Project()]
	var wanted *access.Key
	rec, err := r.store.ChangeKey(ctx, permit.Project(), id, func(rec *Record) error {
		wanted = nil
		if err := edit(rec, project, now); err != nil {
			return err
		}
		wanted = rec.key(project)
		return nil
	})
	if errors.Is(err, ErrNoKey) {
		return Record{}, notFound()
	}
	if err != nil {
		if wanted != nil {
			r.unsure(ctx, wanted, now)
		}
		return Record{}, fmt.Errorf("keyring: change a key: %w", err)
	}
	r.publish(rec)
	return rec, nil
}

// publish puts a stored key into the snapshot. The caller holds changing.
func (r *Ring) publish(rec Record) {
	live := r.live.Load()
	lookup, _ := access.LookupOf(rec.ID)
	r.live.Store(live.with(lookup, rec.entry(live.projects[rec.Project])))
}

// unsure is called when the store failed while a key was to become wanted, so that it may or may not have become so. If
// the store cannot say which, and the key's rights were to change, the key is refused until it can. The caller holds
// changing.
func (r *Ring) unsure(ctx context.Context, wanted *access.Key, now time.Time) {
	r.doubt = &doubt{wanted.Project.ID, wanted.ID}
	if r.settle(ctx) == nil {
		return
	}
	live := r.live.Load()
	lookup, _ := access.LookupOf(wanted.ID)
	e, found := live.find(lookup)
	if !found || sameRights(e.key, wanted) {
		return
	}
	refused := *e.key
	refused.RevokedAt = now
	r.live.Store(live.with(lookup, entry{&refused, e.digest}))
}

// settleTime bounds how long the store is asked about a key in doubt: the caller's own deadline may be what failed.
const settleTime = 2 * time.Second

// settle brings the snapshot in line with the store when a key is in doubt. The error means that it still is. The caller
// holds changing.
func (r *Ring) settle(ctx context.Context) error {
	if r.doubt == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	rec, err := r.store.Key(ctx, r.doubt.project, r.doubt.id)
	switch {
	case err == nil:
		r.publish(rec)
	case errors.Is(err, ErrNoKey):
		lookup, _ := access.LookupOf(r.doubt.id)
		r.live.Store(r.live.Load().without(lookup))
	default:
		return problem.Wrap(err, problem.Unavailable, "The store of keys does not answer: nothing was changed.").After(time.Second)
	}
	r.doubt = nil
	return nil
}

func notFound() error {
	return problem.New(problem.NotFound, "There is no such key in this project.")
}

// A cursor is the place of the last key of a page. Its form is nobody's business but ours.
func writeCursor(p Place) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s", p.CreatedAt.UnixMicro(), p.ID))
}

func readCursor(text string) (Place, bool) {
	if text == "" {
		return Place{}, true
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Place{}, false
	}
	number, id, _ := strings.Cut(string(raw), ".")
	at, err := strconv.ParseInt(number, 10, 64)
	if _, ok := access.LookupOf(id); !ok || err != nil {
		return Place{}, false
	}
	return Place{CreatedAt: time.UnixMicro(at).UTC(), ID: id}, true
}
