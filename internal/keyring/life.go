package keyring

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
	"github.com/weir-analytics/weir/internal/view"
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
	if err := r.begin(ctx, permit); err != nil {
		return Record{}, Secrets{}, err
	}
	defer r.changing.give()
	now := micros(r.cfg.Now())
	project := r.live.Load().projects[permit.Project()]
	if n.Parent != nil {
		if parent, _ := r.Peek(permit.Project(), n.Parent.ID); !sameChain(parent, n.Parent) {
			return Record{}, Secrets{}, changedMeanwhile()
		}
	}
	if err := n.check(project, now); err != nil {
		return Record{}, Secrets{}, err
	}
	if n.signingSecret() && r.cfg.Vault == nil {
		return Record{}, Secrets{}, noVault()
	}
	if err := r.canHash(n.View); err != nil {
		return Record{}, Secrets{}, err
	}
	if n.DryRun {
		return n.record(permit, now), Secrets{}, nil
	}
	for range mintAttempts {
		rec, secrets, err := r.create(ctx, permit, n, now)
		if errors.Is(err, ErrTaken) {
			continue
		}
		return rec, secrets, err
	}
	return Record{}, Secrets{}, errNoFreeID
}

// create makes one attempt. The error is ErrTaken when the id that was drawn is somebody's.
func (r *Ring) create(ctx context.Context, permit gate.Permit, n New, now time.Time) (Record, Secrets, error) {
	lookup, text, err := r.mint(n.Kind, n.mode())
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
	if rec.App != "" {
		if _, err := io.ReadFull(r.cfg.Random, rec.Digest[:]); err != nil {
			return Record{}, Secrets{}, fmt.Errorf("keyring: read the random source: %w", err)
		}
		rec.Hint, secrets.Key = "", access.Text{} // nobody knows a text with that digest
	}
	if n.signingSecret() {
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
		r.unsure(ctx, &rec, now)
		return Record{}, Secrets{}, fmt.Errorf("keyring: store a new key: %w", err)
	}
	r.publish(rec)
	return rec, secrets, nil
}

// signingSecret reports whether the key is to get a signing secret, because there is nothing else to check signatures with.
func (n New) signingSecret() bool { return n.Signature && len(n.PublicKeys) == 0 }

// record is the key to be, without a secret.
func (n New) record(permit gate.Permit, now time.Time) Record {
	rec := Record{
		Project: permit.Project(), Kind: n.Kind, Mode: n.mode(), Label: n.Label, Steward: n.Steward, Scopes: n.scopes(), Bounds: kept(n.Bounds),
		Signing: Signing{PublicKeys: own(n.PublicKeys)}, CreatedAt: now, UpdatedAt: now, CreatedBy: permit.Key().ID, Revision: 1,
	}
	if n.Parent != nil {
		rec.Parent, rec.App = n.Parent.ID, n.App
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

// Knows reports whether a project has a key of an id, or had: a revoked one stays known.
func (r *Ring) Knows(ctx context.Context, project, id string) (bool, error) {
	if _, ok := access.LookupOf(id); !ok {
		return false, nil
	}
	if _, ok := r.declaredKey(project, id); ok {
		return true, nil
	}
	_, err := r.stored(ctx, project, id)
	if errors.Is(err, ErrNoKey) {
		return false, nil
	}
	return err == nil, err
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
		current := r.key(rec, project)
		if rec.App != "" && (c.grantTo(current) != nil || c.PublicKeys != nil || c.Signature != nil) {
			return onlyNarrower()
		}
		if err := c.check(rec, current.Parent, project, now); err != nil {
			return err
		}
		if c.grantTo(current) != nil && (c.Basis == nil || !sameChain(c.Basis, current)) {
			return changedMeanwhile()
		}
		c.apply(rec)
		if err := r.canHash(rec.View); err != nil {
			return err
		}
		return r.lockout(permit, rec, project, c.ConfirmLockout)
	})
}

// canHash refuses a view that gives hashes where there is no master key that theirs could be derived from.
func (r *Ring) canHash(v *access.View) error {
	if r.cfg.Vault == nil && view.Hashes(v) {
		return problem.Invalid("view", "gives hashes, and there is no master key that theirs is derived from: hide the names instead")
	}
	return nil
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
	if confirmed || after.ID != permit.Key().ID || permit.Key().Kind == access.Token { // a token is outlived by its client anyway
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
