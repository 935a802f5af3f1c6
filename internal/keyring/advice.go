package keyring

import (
	"context"
	"fmt"
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
	Code   string `json:"code" enum:"exposed,rotate,expires_soon,no_steward" example:"rotate"`
	Detail string `json:"detail"`
}

// Advice says what should be done about a key that works.
func (r *Record) Advice(now time.Time) []Advice {
	list := []Advice{}
	if !r.RevokedAt.IsZero() || !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt) {
		return list
	}
	add := func(code, format string, args ...any) {
		list = append(list, Advice{code, fmt.Sprintf(format, args...)})
	}
	if r.Exposed != "" {
		add("exposed", "The secret was seen in a place others can read (%s) on %s. Rotate the key.", r.Exposed, r.ExposedAt.Format(time.DateOnly))
	}
	if age := now.Sub(r.MintedAt); r.Kind != access.Public && !r.Declared && age >= RotateAfter {
		add("rotate", "The secret is %d days old. Rotate it every %d days.", int(age/(24*time.Hour)), int(RotateAfter/(24*time.Hour)))
	}
	if left := r.ExpiresAt.Sub(now); !r.ExpiresAt.IsZero() && left <= ExpiresSoon {
		add("expires_soon", "The key expires on %s.", r.ExpiresAt.Format(time.RFC3339))
	}
	if r.Steward == "" && r.Kind != access.Public {
		add("no_steward", "Nobody answers for the key. Name a steward.")
	}
	return list
}

// Remind logs what should be done about keys: those that are exposed, old, or about to expire.
func (r *Ring) Remind(ctx context.Context) error {
	now := r.cfg.Now()
	remind := func(rec Record) error {
		for _, a := range rec.Advice(now) {
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
