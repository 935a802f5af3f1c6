package main

import (
	"context"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query"
)

// openDeletions puts together what deletes: every part in which something of a person may be is in the list.
func (s *server) openDeletions(w world, questions *query.Service, datasets *dataset.Service) *deletion.Service {
	return deletion.New(deletion.Config{
		Warehouse: undoing{s.warehouse, datasets.Still}, Journal: s.journal.erasing, Loader: s.loader, Control: s.control.store, Clock: s.control.store, Jobs: s.jobs, Derive: s.control.derive, Known: s.control.keys.Knows,
		Now: w.now, NewID: newSuffix, NewAudit: newAuditID, Log: s.log, Projects: s.retained,
		Parts: []deletion.Forgetter{
			{Name: "recordings", Forget: s.recorded.Forget, Count: s.recorded.Count},
			{Name: "rejected", Forget: s.rejected.Forget, Count: s.rejected.Count},
			{Name: "exports", Forget: func(ctx context.Context, t event.Traces) (int64, error) {
				return s.exports.Forget(ctx, t.Project, t.Environment, t.IDs)
			}},
			{Name: "deliveries", Forget: s.control.workflows.Forget, Count: s.control.workflows.Count},
			{Name: "results", Forget: func(_ context.Context, t event.Traces) (int64, error) {
				questions.Forget(t.Project, t.Environment)
				return s.runs.Forget(t.Project, t.Environment, t.IDs), nil
			}},
		},
	})
}

// forgetRecords removes what was made of records of a dataset that were deleted.
func (s *server) forgetRecords(ctx context.Context, space event.Space, uid string) error {
	s.runs.ForgetDatasets(space.Project, space.Environment)
	_, err := s.exports.ForgetDataset(ctx, space.Project, space.Environment, uid)
	return err
}

// sweepRecords drops, once at the start, the records that no dataset has.
func (s *server) sweepRecords(ctx context.Context) {
	for _, p := range s.control.projects {
		for _, env := range p.Environments {
			dropped, err := s.datasets.Sweep(ctx, event.Space{Project: p.ID, Environment: env.Name})
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				s.log.Warn("records that no dataset has could not be dropped", "space", p.ID+"/"+env.Name, "error", err)
			case dropped > 0:
				s.log.Info("records that no dataset had were dropped", "space", p.ID+"/"+env.Name, "datasets", dropped)
			}
		}
	}
}

// evenClock reports whether the clock can be trusted with what has become old.
func (s *server) evenClock(ctx context.Context) (bool, error) { return s.deletions.Even(ctx) }

// retained lists all environments, and how long they keep events.
func (s *server) retained(ctx context.Context) (list []deletion.Kept, err error) {
	all, err := s.control.registry.Retained(ctx, s.control.organization.ID)
	for _, r := range all {
		list = append(list, deletion.Kept{Organization: s.control.organization.ID, Project: r.Project, Environment: r.Environment, Days: r.Days})
	}
	return list, err
}
