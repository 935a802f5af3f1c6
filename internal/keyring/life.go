package keyring

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// MaxPage is how many keys one call of List gives at the most.
const MaxPage = 200

// Secrets are what a call made and shows once.
type Secrets struct {
	Key     access.Text      // the whole key
	Signing signature.Secret // the signing secret
}

// Create mints a key in the permit's project. The whole key is in the answer; of a secret key it is given here and never
// again. Rights to grant were decided with New.Grant before. A dry run makes nothing, and its record has no id. A key that
// demands signatures, and is given no public key to check them with, gets a signing secret.
func (r *Ring) Create(ctx context.Context, permit gate.Permit, n New) (Record, Secrets, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.settle(ctx); err != nil {
		return Record{}, Secrets{}, err
	}
	now := micros(r.cfg.Now())
	project := r.live.Load().projects[permit.Project()]
	if err := n.check(project, now); err != nil {
		return Record{}, Secrets{}, err
	}
	if n.DryRun {
		return n.record(permit, now), Secrets{}, nil
	}
	for range mintAttempts {
		rec, secrets, err := r.create(ctx, permit, n, project, now)
		if errors.Is(err, ErrTaken) {
			continue
		}
		return rec, secrets, err
	}
	return Record{}, Secrets{}, errNoFreeID
}

// create makes one attempt. The error is ErrTaken when the id that was drawn is somebody's.
func (r *Ring) create(ctx context.Context, permit gate.Permit, n New, project *access.Project, now time.Time) (Record, Secrets, error) {
	lookup, text, err := r.mint(n.Kind, n.Mode)
	if err != nil {
		return Record{}, Secrets{}, err
	}
	if _, taken := r.live.Load().find(lookup); taken {
		return Record{}, Secrets{}, ErrTaken
	}
	rec, secrets := n.record(permit, now), Secrets{Key: text}
	rec.ID = lookup.ID()
	if err := rec.take(text, now); err != nil {
		return Record{}, Secrets{}, err
	}
	if n.Signature && len(n.PublicKeys) == 0 {
		if secrets.Signing, err = r.newSigning(&rec); err != nil {
			return Record{}, Secrets{}, err
		}
	}
	entry := audit.Of(permit, r.cfg.NewID(), "key.create", rec.ID, nil, rec.view())
	err = r.store.InsertKey(ctx, rec, entry)
	if errors.Is(err, ErrTaken) {
		return Record{}, Secrets{}, ErrTaken
	}
	if err != nil {
		r.unsure(ctx, rec.key(project), now)
		return Record{}, Secrets{}, fmt.Errorf("keyring: store a new key: %w", err)
	}
	r.publish(rec)
	return rec, secrets, nil
}

// record is the key to be, without a secret.
func (n New) record(permit gate.Permit, now time.Time) Record {
	rec := Record{
		Project: permit.Project(), Kind: n.Kind, Mode: n.Mode, Label: n.Label, Steward: n.Steward, Scopes: n.scopes(), Bounds: kept(n.Bounds),
		Signing: Signing{PublicKeys: own(n.PublicKeys)}, CreatedAt: now, UpdatedAt: now, CreatedBy: permit.Key().ID, Revision: 1,
	}
	if permit.Key().Kind == access.Operator {
		rec.CreatedBy = access.Operator.String()
	}
	return rec
}

// take makes a new secret the record's present one.
func (r *Record) take(text access.Text, now time.Time) error {
	parsed, err := access.ParseKey(text.Reveal())
	if err != nil {
		return fmt.Errorf("keyring: read back a minted key: %w", err)
	}
	r.Hint, r.Digest, r.MintedAt = access.Hint(text.Reveal()), parsed.Digest, now
	r.Generation++
	r.Exposed, r.ExposedAt = "", time.Time{}
	if r.Kind == access.Public {
		r.Public = text.Reveal()
	}
	return nil
}

// List gives the keys of the permit's project that the permit can see, revoked ones too, oldest first: with a test key
// those of test mode. Keys of the configuration come first. after is empty for the first page and otherwise what the page
// before gave as next; next is empty after the last page. limit is 1 to MaxPage. steward narrows the list, if given.
func (r *Ring) List(ctx context.Context, permit gate.Permit, steward, after string, limit int) (keys []Record, next string, err error) {
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
	q := Query{Project: permit.Project(), Live: permit.Live(), Steward: steward, After: place, Limit: limit + 1}
	keys = r.declaredAfter(q)
	if q.Limit -= len(keys); q.Limit > 0 {
		stored, err := r.store.Keys(ctx, q)
		if err != nil {
			return nil, "", fmt.Errorf("keyring: list keys: %w", err)
		}
		keys = append(keys, stored...)
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
	if rec, ok := r.declaredKey(permit.Project(), id); ok {
		return rec, nil
	}
	rec, err := r.stored(ctx, permit.Project(), id)
	if errors.Is(err, ErrNoKey) {
		return Record{}, notFound()
	}
	return rec, err
}

// stored reads one key of a project. The error is ErrNoKey when the project has none of that id.
func (r *Ring) stored(ctx context.Context, project, id string) (Record, error) {
	list, err := r.store.Keys(ctx, Query{Project: project, ID: id, Live: true, Limit: 1})
	if err != nil {
		return Record{}, fmt.Errorf("keyring: read a key: %w", err)
	}
	if len(list) == 0 {
		return Record{}, ErrNoKey
	}
	return list[0], nil
}

// Update changes a key of the permit's project. When it returns, the key has no right that the change took away. A
// revoked key cannot be changed. Rights to grant were decided with Change.Grant before.
func (r *Ring) Update(ctx context.Context, permit gate.Permit, id string, c Change) (Record, error) {
	return r.change(ctx, permit, id, "key.update", c.Revision, func(rec *Record, project *access.Project, now time.Time) error {
		if err := c.check(rec, project, now); err != nil {
			return err
		}
		current := rec.key(project)
		if c.grantTo(current) != nil && (c.Basis == nil || !sameRights(c.Basis, current)) {
			return changedMeanwhile()
		}
		c.apply(rec)
		return r.lockout(permit, rec, project, c.ConfirmLockout)
	})
}

func changedMeanwhile() error {
	return problem.New(problem.Conflict, "The key was changed by somebody else just now. Read it again and decide anew.")
}

// lockout refuses what would keep the key that asks from asking again, and a demand for signatures that nothing could
// check.
func (r *Ring) lockout(permit gate.Permit, after *Record, project *access.Project, confirmed bool) error {
	if after.Signature && after.Signing.Sealed == "" && len(after.Signing.PublicKeys) == 0 {
		return problem.Invalid("signature", "needs something to check signatures with: register a public key, or make a signing secret, first")
	}
	if confirmed || after.ID != permit.Key().ID {
		return nil
	}
	if reason := permit.Would(after.key(project)); reason != access.Allowed {
		return problem.New(problem.Lockout, "After this change the key that asks for it could not ask again from where it is (%s). Send 'confirm_lockout': true if that is meant.",
			reason).At("confirm_lockout", "must be true to do this")
	}
	return nil
}

// Revoke ends a key of the permit's project for good. When it returns, the key is accepted nowhere. Revoking a revoked
// key changes nothing.
func (r *Ring) Revoke(ctx context.Context, permit gate.Permit, id string, revision int64) (Record, error) {
	rec, err := r.change(ctx, permit, id, "key.revoke", revision, func(rec *Record, _ *access.Project, now time.Time) error {
		rec.RevokedAt = now
		return nil
	})
	if errors.Is(err, errRevoked) {
		return r.Get(ctx, permit, id)
	}
	return rec, err
}

// errRevoked is in the chain of the problem of changing a key that is revoked.
var errRevoked = errors.New("keyring: the key is revoked")

type edit func(rec *Record, project *access.Project, now time.Time) error

// change edits a key in the store and then in the snapshot, and audits it.
func (r *Ring) change(ctx context.Context, permit gate.Permit, id, action string, revision int64, edit edit) (Record, error) {
	by := func(before, after view) audit.Entry {
		return audit.Of(permit, r.cfg.NewID(), action, id, before, after)
	}
	return r.changeAs(ctx, permit.Project(), id, revision, by, edit)
}

// changeAs is change for whoever made the audit's entries.
func (r *Ring) changeAs(ctx context.Context, projectID, id string, revision int64, by func(before, after view) audit.Entry, edit edit) (Record, error) {
	if _, ok := access.LookupOf(id); !ok {
		return Record{}, notFound()
	}
	if _, declared := r.declaredKey(projectID, id); declared {
		return Record{}, problem.New(problem.Conflict, "The key is declared in the server's configuration: it is changed there, and not here.")
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.settle(ctx); err != nil {
		return Record{}, err
	}
	now := micros(r.cfg.Now())
	project := r.live.Load().projects[projectID]
	var wanted *access.Key
	rec, err := r.store.ChangeKey(ctx, projectID, id, func(rec *Record) (*audit.Entry, error) {
		wanted = nil
		switch {
		case revision != 0 && revision != rec.Revision:
			return nil, problem.New(problem.PreconditionFailed, "The key is at version %d by now, and not at %d.", rec.Revision, revision).
				At("header.If-Match", "is not the present version")
		case !rec.RevokedAt.IsZero():
			return nil, problem.Wrap(errRevoked, problem.Conflict, "The key is revoked: it cannot be changed.")
		}
		before := rec.view()
		if err := edit(rec, project, now); err != nil {
			return nil, err
		}
		rec.end(now)
		rec.UpdatedAt = now
		wanted = rec.key(project)
		after := rec.view()
		after.Revision++
		entry := by(before, after)
		return &entry, nil
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
	r.live.Store(live.with(lookup, r.entry(&rec, live.projects[rec.Project])))
}

// unsure is called when the store failed while a key was to become wanted, so that it may or may not have become so. If
// the store cannot say which, the key is refused until it can. The caller holds changing.
func (r *Ring) unsure(ctx context.Context, wanted *access.Key, now time.Time) {
	r.doubt = &doubt{wanted.Project.ID, wanted.ID}
	if r.settle(ctx) == nil {
		return
	}
	live := r.live.Load()
	lookup, _ := access.LookupOf(wanted.ID)
	e, found := live.find(lookup)
	if !found || sameRights(e.Key, wanted) && e.Key.MintedAt.Equal(wanted.MintedAt) {
		return
	}
	refused := *e.Key
	refused.RevokedAt = now
	e.Key = &refused
	r.live.Store(live.with(lookup, e))
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
	rec, err := r.stored(ctx, r.doubt.project, r.doubt.id)
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
	return Place{time.UnixMicro(at).UTC(), id}, true
}
