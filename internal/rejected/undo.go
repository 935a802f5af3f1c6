package rejected

import (
	"context"
	"math"
	"slices"

	"github.com/weir-analytics/weir/internal/event"
)

// meant is the condition of the entries that a deletion is of: those that a key sent in a time, or that have one of a person's ids in
// them as a text or a number anywhere, or, of an id of at least 8 bytes, in which it stands anywhere at all.
func meant(t event.Traces) func(*Entry) bool {
	if t.KeyID != "" {
		return func(e *Entry) bool {
			n := numberOf(e.ID)
			return e.Environment == t.Environment && e.KeyID == t.KeyID && (t.From.IsZero() || n >= numberAt(t.From)) && (t.Until.IsZero() || n < numberAt(t.Until))
		}
	}
	ids := slices.DeleteFunc(slices.Clone(t.IDs), func(id string) bool { return id == "" })
	return func(e *Entry) bool { return e.Environment == t.Environment && e.tellsOf(ids) }
}

// Forget deletes the entries that a deletion is of. When it returns nil no byte of them is in the files. It tells how many entries it
// deleted, and may be repeated when it failed.
func (s *Service) Forget(ctx context.Context, t event.Traces) (removed int64, err error) {
	of := meant(t)
	n, err := s.each(ctx, t.Project, func(f *file) bool { return t.KeyID == "" || f.key == t.KeyID }, func(e *Entry) bool { return !of(e) })
	return int64(n), err
}

// Count counts what Forget would delete. What has become too old is there until it is swept.
func (s *Service) Count(ctx context.Context, t event.Traces) (n int64, err error) {
	shelf, err := s.shelf(t.Project)
	if err != nil {
		return 0, err
	}
	of := meant(t)
	for _, f := range shelf.between(t.KeyID, 0, math.MaxInt64) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		err := shelf.read(&f, func(e *Entry) {
			if of(e) {
				n++
			}
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}
