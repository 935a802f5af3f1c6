package keyring

import (
	"context"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
)

// noteTime bounds how long a request waits for the store to note that its secret was seen.
const noteTime = time.Second

// sighting is a secret that was seen where it should not be.
type sighting struct {
	lookup     access.Lookup
	generation int
	how        gate.Exposure
}

// Expose implements gate.Keys: it notes where the present secret of a key was seen, the first time, and ends a secret if
// that is what the operator wants of those in cleartext: with the present secret the key, and one that was replaced by
// itself. Of many requests at the same time one does it, and waits for the store a second at the most; a note that failed
// is made the next time.
func (r *Ring) Expose(ctx context.Context, id string, generation int, how gate.Exposure, at time.Time) {
	lookup, ok := access.LookupOf(id)
	seen := sighting{lookup, generation, how}
	ignored := r.cfg.IgnoreCleartext && how == gate.ExposedInCleartext
	if !ok || ignored || !r.news(seen) {
		return
	}
	if _, busy := r.noting.LoadOrStore(seen, true); busy {
		return
	}
	defer r.noting.Delete(seen)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime) // the request may be over before the store answers
	defer cancel()
	if err := r.note(ctx, seen, at); err != nil {
		r.cfg.Log.Error("that a secret was exposed could not be noted", "key_id", id, "how", string(how), "error", err)
		return
	}
	r.cfg.Log.Warn("a secret was seen where others may have seen it: replace it", "key_id", id, "how", string(how), "ended", r.ends(how))
}

// ends reports whether a secret that was seen there is to be ended.
func (r *Ring) ends(how gate.Exposure) bool {
	return r.cfg.RevokeInCleartext && how == gate.ExposedInCleartext
}

// news reports whether there is anything to do about a sighting.
func (r *Ring) news(seen sighting) bool {
	e, found := r.live.Load().find(seen.lookup)
	if !found || !e.Key.RevokedAt.IsZero() || e.Key.Kind == access.Operator {
		return false
	}
	if seen.generation == e.Generation {
		return !e.exposed || r.ends(seen.how)
	}
	now := r.cfg.Now()
	return r.ends(seen.how) && slices.ContainsFunc(e.Former, func(f gate.Former) bool { return f.Generation == seen.generation && f.Until.After(now) })
}

func (r *Ring) note(ctx context.Context, seen sighting, at time.Time) error {
	if err := r.beginOwn(ctx); err != nil {
		return err
	}
	defer r.changing.give()
	if !r.news(seen) {
		return nil
	}
	e, _ := r.live.Load().find(seen.lookup)
	id, project := e.Key.ID, e.Key.Project
	if _, declared := r.declaredKey(project.ID, id); declared {
		r.noteDeclared(seen, at)
		return nil
	}
	by := func(before, after shown) audit.Entry {
		return audit.Own(at, project.Organization, project.ID, r.cfg.NewID(), "key.exposed", id, before, after)
	}
	_, err := r.changeNow(ctx, project.ID, id, 0, by, func(rec *Record, _ *access.Project, now time.Time) error {
		return rec.expose(seen, r.ends(seen.how), at, now)
	})
	return err
}

func (r *Record) expose(seen sighting, end bool, at, now time.Time) error {
	former := slices.IndexFunc(r.Former, func(f Former) bool { return f.Generation == seen.generation })
	switch {
	case seen.generation == r.Generation && (r.Exposed == "" || end):
		if r.Exposed == "" {
			r.Exposed, r.ExposedAt = seen.how, micros(at)
		}
		if end {
			r.RevokedAt = now
		}
	case end && former >= 0:
		r.Former = slices.Delete(slices.Clone(r.Former), former, former+1)
	default:
		return errUnchanged
	}
	return nil
}

// noteDeclared is note for a key of the configuration: until the next start, since it is not stored.
func (r *Ring) noteDeclared(seen sighting, at time.Time) {
	live := r.live.Load()
	e, _ := live.find(seen.lookup)
	key := *e.Key
	if r.ends(seen.how) {
		key.RevokedAt = micros(r.cfg.Now())
	}
	e.Key, e.exposed = &key, true
	next := live.with(seen.lookup, e)
	next.declared = slices.Clone(live.declared)
	for i := range next.declared {
		if rec := &next.declared[i]; rec.ID == key.ID {
			rec.Exposed, rec.ExposedAt, rec.RevokedAt = seen.how, micros(at), key.RevokedAt
		}
	}
	r.live.Store(next)
}
