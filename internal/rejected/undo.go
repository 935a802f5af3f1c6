package rejected

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"
)

// sentBy is the condition of the entries of an environment that a key sent in a time; of the filter, no more counts.
func sentBy(environment string, f Filter) func(*Entry) bool {
	from, to := numberOfTime(f.From), numberOfTime(f.To)
	return func(e *Entry) bool {
		n := numberOf(e.ID)
		return e.Environment == environment && e.KeyID == f.KeyID && (f.From.IsZero() || n >= from) && (f.To.IsZero() || n < to)
	}
}

func numberOfTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return numberAt(t)
}

var errNoKey = errors.New("rejected: what no key sent")

// ForgetSent deletes what a key sent in a time that was not accepted, in an environment. When it returns nil, no byte of it is in
// the files. It tells how many entries it deleted, and may be repeated when it failed.
func (s *Service) ForgetSent(ctx context.Context, project, environment string, f Filter) (removed int, err error) {
	if f.KeyID == "" {
		return 0, errNoKey
	}
	meant := sentBy(environment, f)
	return s.each(ctx, project, func(at *file) bool { return at.key == f.KeyID }, func(e *Entry) bool { return !meant(e) })
}

// CountSent counts what ForgetSent would delete.
func (s *Service) CountSent(ctx context.Context, project, environment string, f Filter) (int, error) {
	if f.KeyID == "" {
		return 0, errNoKey
	}
	return s.count(ctx, project, f.KeyID, sentBy(environment, f))
}

// CountPersons counts what Forget would delete.
func (s *Service) CountPersons(ctx context.Context, project, environment string, ids []string) (int, error) {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })
	return s.count(ctx, project, "", func(e *Entry) bool { return e.Environment == environment && e.tellsOf(ids) })
}

// count counts entries of a project, of a key if one is named. What has become too old is there until it is swept.
func (s *Service) count(ctx context.Context, project, key string, meant func(*Entry) bool) (n int, err error) {
	shelf, err := s.shelf(project)
	if err != nil {
		return 0, err
	}
	for _, f := range shelf.between(key, 0, math.MaxInt64) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		err := shelf.read(&f, func(e *Entry) {
			if meant(e) {
				n++
			}
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}
