package keyring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// When advice is given.
const (
	RotateAfter = 90 * 24 * time.Hour // seed 001
	ExpiresSoon = 14 * 24 * time.Hour
)

// Advice is what should be done about a key.
type Advice struct {
	Code   string `json:"code" enum:"exposed,rotate,expires_soon,no_steward,unbound_view" example:"rotate"`
	Detail string `json:"detail"`
}

// Advice says what should be done about a key that works: what its record tells, and what only its clients do.
func (r *Ring) Advice(rec *Record) []Advice {
	now := r.cfg.Now()
	list := rec.Advice(now)
	if v := rec.View; v != nil && len(v.Unbound) > 0 && rec.Kind == access.Secret && !rec.over(now) && !r.hasClient(rec.ID, now) {
		list = append(list, Advice{"unbound_view", fmt.Sprintf(
			"What the key may see depends on a variable (%s), for which only a token can give a value, and the key has no client to get one with: it reads nothing. Make a client of it, or write the value into the view.",
			strings.Join(v.Unbound, ", "))})
	}
	return list
}

// hasClient reports whether a key has a client that is not over.
func (r *Ring) hasClient(id string, now time.Time) bool {
	lookup, _ := access.LookupOf(id)
	live := r.live.Load()
	return slices.ContainsFunc(live.clients[lookup], func(client access.Lookup) bool {
		e, found := live.find(client)
		return found && !over(now, e.Key.RevokedAt, e.Key.ExpiresAt)
	})
}

func (r *Record) over(now time.Time) bool { return over(now, r.RevokedAt, r.ExpiresAt) }

// over reports whether a key was revoked or has expired.
func over(now, revoked, expires time.Time) bool {
	return !revoked.IsZero() || !expires.IsZero() && !now.Before(expires)
}

// Advice says what should be done about a key that works, as far as its record tells.
func (r *Record) Advice(now time.Time) []Advice {
	list := []Advice{}
	if r.over(now) {
		return list
	}
	add := func(code, format string, args ...any) {
		list = append(list, Advice{code, fmt.Sprintf(format, args...)})
	}
	if r.Exposed != "" {
		add("exposed", "The secret was seen in a place others can read (%s) on %s. Rotate the key.", r.Exposed, r.ExposedAt.Format(time.DateOnly))
	}
	if age := now.Sub(r.MintedAt); r.hasSecret() && !r.Declared && age >= RotateAfter {
		add("rotate", "The secret is %d days old. Rotate it every %d days.", int(age/(24*time.Hour)), int(RotateAfter/(24*time.Hour)))
	}
	if left := r.ExpiresAt.Sub(now); !r.ExpiresAt.IsZero() && left <= ExpiresSoon {
		add("expires_soon", "The key expires on %s.", r.ExpiresAt.Format(time.RFC3339))
	}
	if r.Steward == "" && r.hasSecret() {
		add("no_steward", "Nobody answers for the key. Name a steward.")
	}
	return list
}

// Remind logs what should be done about keys: those that are exposed, old, or about to expire, and
// those that can read nothing.
func (r *Ring) Remind(ctx context.Context) error {
	remind := func(rec Record) error {
		for _, a := range r.Advice(&rec) {
			if a.Code != "no_steward" {
				r.cfg.Log.Warn("a key needs attention", "key_id", rec.ID, "project", rec.Project, "label", rec.Label, "steward", rec.Steward, "advice", a.Code, "detail", a.Detail)
			}
		}
		return nil
	}
	for _, rec := range r.live.Load().declared {
		_ = remind(rec) // never fails
	}
	return r.store.EachKey(ctx, remind)
}
