package keyring

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// Limits on rotation.
const (
	MaxOverlap = 90 * 24 * time.Hour
	maxFormer  = 4 // secrets that are still good beside the present one
)

// Rotate gives a key a new secret with the same settings. Every older secret is good for the overlap at the most, and not
// at all when it is 0. The key's id stays, so whatever is counted by it goes on.
func (r *Ring) Rotate(ctx context.Context, permit gate.Permit, id string, overlap time.Duration, revision int64) (Record, Secrets, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return Record{}, Secrets{}, problem.Invalid("expires_in", "must be from 0 to %d seconds", int64(MaxOverlap/time.Second))
	}
	var text access.Text
	rec, err := r.change(ctx, permit, id, "key.rotate", revision, func(rec *Record, project *access.Project, now time.Time) error {
		if rec.App != "" {
			return onlyNarrower()
		}
		err := permit.Granting(Renewal(r.key(rec, project)))
		if err != nil {
			return err
		}
		lookup, _ := access.LookupOf(id)
		if text, err = r.remint(rec.Kind, rec.Mode, lookup); err != nil {
			return err
		}
		rec.retire(now.Add(overlap))
		rec.end(now)
		if len(rec.Former) > maxFormer {
			return problem.New(problem.Conflict, "The key has %d older secrets that are still good. End them first: rotate with 'expires_in': 0, or wait.", maxFormer)
		}
		return rec.take(text, now)
	})
	if err != nil {
		return Record{}, Secrets{}, err
	}
	return rec, Secrets{Key: text}, nil
}

// Renewal is what a new secret for the key hands on to whoever sees it: all that it may do. It is decided on before, of the key
// as it is then, and again of what it is by the time that it gets one.
func Renewal(k *access.Key) *access.Grant {
	if k == nil {
		return nil
	}
	return &access.Grant{Kind: k.Kind, Mode: k.Mode, Scopes: k.Scopes, Bounds: k.Granted(), Renewal: true}
}

// retire makes the present secret a former one, and lets no former one live beyond the end.
func (r *Record) retire(end time.Time) {
	r.Former = append(slices.Clone(r.Former), Former{r.Hint, r.Digest, r.Generation, r.MintedAt, end})
	for i := range r.Former {
		if r.Former[i].Until.After(end) {
			r.Former[i].Until = end
		}
	}
}

// end forgets the former secrets that have ended.
func (r *Record) end(now time.Time) {
	r.Former = slices.DeleteFunc(slices.Clone(r.Former), func(f Former) bool { return !f.Until.After(now) })
	if len(r.Former) == 0 {
		r.Former = nil
	}
}

// Disable makes a key refused as if it were unknown, until it is restored.
func (r *Ring) Disable(ctx context.Context, permit gate.Permit, id string, revision int64) (Record, error) {
	return r.setState(ctx, permit, id, "key.disable", access.Disabled, revision)
}

// Quarantine lets a key be known and do nothing, until it is restored.
func (r *Ring) Quarantine(ctx context.Context, permit gate.Permit, id string, revision int64) (Record, error) {
	return r.setState(ctx, permit, id, "key.quarantine", access.Quarantined, revision)
}

func (r *Ring) setState(ctx context.Context, permit gate.Permit, id, action string, state access.State, revision int64) (Record, error) {
	return r.change(ctx, permit, id, action, revision, func(rec *Record, _ *access.Project, _ time.Time) error {
		rec.State = state
		return nil
	})
}

// Restore makes a disabled or quarantined key active again, with the settings it had or narrower ones: a change that
// widens anything is refused. A revoked key stays revoked. The rights it gets back were decided with Restoring before.
func (r *Ring) Restore(ctx context.Context, permit gate.Permit, id string, c Change) (Record, error) {
	return r.change(ctx, permit, id, "key.restore", c.Revision, func(rec *Record, project *access.Project, now time.Time) error {
		before := r.key(rec, project)
		if err := c.check(rec, before.Parent, project, now); err != nil {
			return err
		}
		if rec.App != "" && (c.PublicKeys != nil || c.Signature != nil) {
			return onlyNarrower()
		}
		if c.grantTo(before) != nil {
			return problem.New(problem.WouldWiden, "A restored key can do what it could before, or less.")
		}
		if c.Basis == nil || !sameChain(c.Basis, before) {
			return changedMeanwhile()
		}
		c.apply(rec)
		if err := r.canHash(rec.View); err != nil {
			return err
		}
		rec.State = access.Active
		return r.lockout(permit, rec, project, true)
	})
}

// Restoring is what restoring the key of Basis would hand on: all that it may do then.
func (c Change) Restoring() *access.Grant {
	if c.Basis == nil {
		return nil
	}
	after := *c.Basis
	set(&after.Scopes, c.Scopes)
	c.EditBounds(&after.Bounds)
	return &access.Grant{Kind: after.Kind, Mode: after.Mode, Scopes: after.Scopes, Bounds: after.Granted()}
}

// MaxHandOver is how many keys one call of HandOver changes at the most.
const MaxHandOver = MaxPage

// HandOver makes another steward answer for the keys of one, as many as one call can, and reports whether there are more.
// Keys of the configuration stay as they are. What was done before an error is in keys.
func (r *Ring) HandOver(ctx context.Context, permit gate.Permit, from, to string) (keys []Record, more bool, err error) {
	var f faults
	f.text("to", to, MaxSteward)
	if from == "" || from == to {
		f.add("from", "must name another steward than 'to'")
	}
	if err := f.problem(); err != nil {
		return nil, false, err
	}
	list, err := r.store.Keys(ctx, Query{Project: permit.Project(), Live: permit.Live(), Steward: from, Limit: MaxHandOver + 1})
	if err != nil {
		return nil, false, fmt.Errorf("keyring: list keys: %w", err)
	}
	for _, rec := range list[:min(len(list), MaxHandOver)] {
		changed, mine, err := r.changeSteward(ctx, permit, rec.ID, from, to)
		if err != nil {
			return keys, true, err
		}
		if mine {
			keys = append(keys, changed)
		}
	}
	return keys, len(list) > MaxHandOver, nil
}

// changeSteward hands one key over, a revoked one too: somebody has to answer for what it did. mine is false when it is
// not the steward's any more. The gate does not know of stewards, so the snapshot stays as it is, whatever the store does.
func (r *Ring) changeSteward(ctx context.Context, permit gate.Permit, id, from, to string) (rec Record, mine bool, err error) {
	if err := r.begin(ctx, permit); err != nil {
		return Record{}, false, err
	}
	defer r.changing.give()
	rec, err = r.store.ChangeKey(ctx, permit.Project(), id, func(rec *Record) (*audit.Entry, error) {
		if mine = rec.Steward == from; !mine {
			return nil, nil
		}
		before := rec.view()
		rec.Steward, rec.UpdatedAt = to, micros(r.cfg.Now())
		after := rec.view()
		after.Revision++
		entry := audit.Of(permit, r.cfg.NewID(), "key.hand_over", rec.ID, before, after)
		return &entry, nil
	})
	if err != nil {
		return Record{}, false, fmt.Errorf("keyring: hand a key over: %w", err)
	}
	return rec, mine, nil
}

// Material is what signatures of one key are checked with.
type Material struct {
	Secret     signature.Secret // of HMACs; the zero Secret: none
	PublicKeys []ed25519.PublicKey
}

func (m *Material) same(other *Material) bool {
	if m == nil || other == nil {
		return m == other
	}
	return m.Secret.Reveal() == other.Secret.Reveal() &&
		slices.EqualFunc(m.PublicKeys, other.PublicKeys, func(a, b ed25519.PublicKey) bool { return a.Equal(b) })
}

// Material gives what the signatures of a key are checked with now; nil when there is nothing. A client that has nothing of
// its own signs as the key does that it comes of.
func (r *Ring) Material(id string) *Material {
	lookup, ok := access.LookupOf(id)
	if !ok {
		return nil
	}
	live := r.live.Load()
	e, _ := live.find(lookup)
	if e.material == nil && e.parent != (access.Lookup{}) {
		e, _ = live.find(e.parent)
	}
	return e.material
}

// NewSigningSecret makes a new signing secret for a key, which is shown in the answer and never again. The one before is
// wrong from then on.
func (r *Ring) NewSigningSecret(ctx context.Context, permit gate.Permit, id string, revision int64) (Record, Secrets, error) {
	var text signature.Secret
	rec, err := r.change(ctx, permit, id, "key.signing_secret", revision, func(rec *Record, project *access.Project, _ time.Time) (err error) {
		if rec.App != "" {
			return onlyNarrower()
		}
		if err := permit.Granting(Renewal(r.key(rec, project))); err != nil {
			return err
		}
		text, err = r.newSigning(rec)
		return err
	})
	if err != nil {
		return Record{}, Secrets{}, err
	}
	return rec, Secrets{Signing: text}, nil
}

// newSigning gives a record a signing secret. It is no part of the key: whoever has the one cannot make the other.
func (r *Ring) newSigning(rec *Record) (signature.Secret, error) {
	if r.cfg.Vault == nil {
		return signature.Secret{}, noVault()
	}
	secret, err := signature.NewSecret(r.cfg.Random)
	if err != nil {
		return signature.Secret{}, fmt.Errorf("keyring: make a signing secret: %w", err)
	}
	text := secret.Reveal()
	sealed, err := r.cfg.Vault.Seal([]byte(text), aboutSigning(rec.ID))
	if err != nil {
		return signature.Secret{}, fmt.Errorf("keyring: seal a signing secret: %w", err)
	}
	rec.Signing.Sealed, rec.Signing.Hint = sealed, text[len(text)-4:]
	return secret, nil
}

func noVault() error {
	return problem.New(problem.Unavailable, "There is no master key, so signing secrets cannot be kept. Register an Ed25519 public key instead.")
}

func aboutSigning(id string) string { return id + "/signing" }

// material opens what a record's signatures are checked with.
func (r *Ring) material(rec *Record) *Material {
	if rec.Signing.Sealed == "" && len(rec.Signing.PublicKeys) == 0 {
		return nil
	}
	m := &Material{PublicKeys: slices.Clone(rec.Signing.PublicKeys)}
	if rec.Signing.Sealed == "" || r.cfg.Vault == nil {
		return m
	}
	text, err := r.cfg.Vault.Open(rec.Signing.Sealed, aboutSigning(rec.ID))
	if err == nil {
		m.Secret, err = signature.ParseSecret(string(text))
	}
	if err != nil {
		r.cfg.Log.Error("a signing secret cannot be opened: its signatures are refused", "key_id", rec.ID, "error", err)
	}
	return m
}

// entry is the record as the snapshot holds it.
func (r *Ring) entry(rec *Record, project *access.Project) entry {
	e := entry{
		Entry:    gate.Entry{Key: rec.key(project), Digest: rec.Digest, Generation: rec.Generation},
		material: r.material(rec), exposed: rec.Exposed != "",
	}
	e.parent, _ = access.LookupOf(rec.Parent)
	e.member = rec.Member.ID
	for _, f := range rec.Former {
		e.Former = append(e.Former, gate.Former{Digest: f.Digest, Generation: f.Generation, Until: f.Until, MintedAt: f.MintedAt})
	}
	return e
}

// Reseal seals every signing secret that is sealed under a former master key anew, and counts them. After it, when there
// was no error, the former ones can be forgotten. One that cannot be opened does not keep it from the others.
func (r *Ring) Reseal(ctx context.Context) (int, error) {
	if r.cfg.Vault == nil {
		return 0, nil
	}
	var stale []Record
	err := r.store.EachKey(ctx, func(rec Record) error {
		if rec.Signing.Sealed != "" && r.cfg.Vault.Stale(rec.Signing.Sealed) {
			stale = append(stale, rec)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("keyring: read keys: %w", err)
	}
	done, failed := 0, 0
	for _, rec := range stale {
		if fault := r.reseal(ctx, rec); fault == nil {
			done++
		} else if failed++; failed == 1 {
			err = fault
		}
	}
	if failed > 1 {
		err = fmt.Errorf("keyring: %d signing secrets could not be sealed anew; of the first: %w", failed, err)
	}
	return done, err
}

// reseal seals one signing secret anew, of a revoked key too.
func (r *Ring) reseal(ctx context.Context, rec Record) error {
	_, err := r.store.ChangeKey(ctx, rec.Project, rec.ID, func(rec *Record) (*audit.Entry, error) {
		if rec.Signing.Sealed == "" || !r.cfg.Vault.Stale(rec.Signing.Sealed) {
			return nil, nil
		}
		secret, err := r.cfg.Vault.Open(rec.Signing.Sealed, aboutSigning(rec.ID))
		if err != nil {
			return nil, err
		}
		before := rec.view()
		if rec.Signing.Sealed, err = r.cfg.Vault.Seal(secret, aboutSigning(rec.ID)); err != nil {
			return nil, err
		}
		organization := ""
		if p, ok := r.Project(rec.Project); ok {
			organization = p.Organization
		}
		after := rec.view()
		after.Revision++
		entry := audit.Own(r.cfg.Now(), organization, rec.Project, r.cfg.NewID(), "key.resealed", rec.ID, before, after)
		return &entry, nil
	})
	if err != nil {
		return fmt.Errorf("keyring: seal the signing secret of %s anew: %w", rec.ID, err)
	}
	return nil
}
