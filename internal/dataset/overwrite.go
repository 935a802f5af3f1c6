package dataset

import (
	"context"
	"errors"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// overwrite begins to load a file in the place of all records, and marks the dataset as busy: until the job is over it is what
// it was, can be read, and takes no records.
func (s *Service) overwrite(ctx context.Context, permit gate.Permit, at At, l Load, spec ingestSpec) (job.Job, error) {
	s.change.Lock() // nothing is being written while the dataset becomes busy, and nothing is from then on
	defer s.change.Unlock()
	d, err := s.Find(ctx, permit, at)
	if err == nil {
		err = s.idle(ctx, &d)
	}
	if err != nil {
		return job.Job{}, err
	}
	spec.UID, spec.To = d.UID, uidPrefix+s.cfg.NewID()
	j, err := s.submit(ctx, permit, &d, l, spec)
	if err != nil {
		return job.Job{}, err
	}
	_, err = s.changed(ctx, permit, at, actionUpdate, 0, func(c *Change) error {
		c.Busy = j.ID
		return nil
	})
	return j, err
}

// overwriting loads, and then makes what was loaded the dataset's records. What cannot be loaded to its end leaves the
// dataset as it is, and so does a file in which nothing is good.
func (l *loading) overwriting(ctx context.Context, load func() error) error {
	if l.spec.To == "" {
		return load()
	}
	change := &updateSpec{ID: l.spec.ID, From: l.spec.UID, To: l.spec.To}
	done, err := l.s.await(ctx, l.job, change)
	switch {
	case done:
		return l.s.dropFormer(ctx, l.job, change)
	case err == nil:
		err = load()
	}
	if err == nil && l.place.Written == 0 && l.place.Rejected > 0 {
		err = problem.New(problem.InvalidRequest, "None of the %d records of the file fits. Nothing was changed.", l.place.Rejected)
	}
	if err == nil {
		return l.s.replaced(ctx, l.job, change)
	}
	if forGood(ctx) {
		l.place.IngestResult = IngestResult{Rejected: l.place.Rejected}
		err = errors.Join(err, l.s.giveUp(context.WithoutCancel(ctx), l.job, change))
	}
	return err
}

// replaced makes the records under the other uid the dataset's.
func (s *Service) replaced(ctx context.Context, j job.Job, change *updateSpec) error {
	s.change.Lock()
	defer s.change.Unlock()
	if err := s.mark(ctx, j, change, func(c *Change) { c.UID, c.Busy = change.To, "" }); err != nil {
		return err
	}
	return s.dropFormer(ctx, j, change)
}
