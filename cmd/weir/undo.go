package main

import (
	"context"

	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/rejected"
	"github.com/weir-analytics/weir/internal/workflow"
)

// undoing is the warehouse for what deletes: while something is erased in it, no record is on its way from one table to another.
type undoing struct {
	deletion.Warehouse

	still func(do func() error) error
}

// Erase implements deletion.Warehouse.
func (u undoing) Erase(ctx context.Context, space event.Space, s deletion.Selection) (counts deletion.Counts, more []string, err error) {
	err = u.still(func() (err error) {
		counts, more, err = u.Warehouse.Erase(ctx, space, s)
		return err
	})
	return counts, more, err
}

// forgetRecordings removes the recordings in which a person is, and the chunks that a key sent.
func (s *server) forgetRecordings(ctx context.Context, t deletion.Target) (int64, error) {
	if t.KeyID != "" {
		removed, err := s.recorded.ForgetSent(ctx, t.Project, t.Environment, recording.Sent{KeyID: t.KeyID, From: t.From, Until: t.Until})
		return removed.Sessions, err
	}
	removed, err := s.recorded.Forget(ctx, t.Project, t.Environment, t.IDs)
	return removed.Sessions, err
}

func (s *server) countRecordings(ctx context.Context, t deletion.Target) (int64, error) {
	if t.KeyID != "" {
		return s.recorded.CountSent(ctx, t.Project, t.Environment, recording.Sent{KeyID: t.KeyID, From: t.From, Until: t.Until})
	}
	return s.recorded.CountPersons(ctx, t.Project, t.Environment, t.IDs)
}

// forgetRejected removes what was not accepted that names a person, or that a key sent.
func (s *server) forgetRejected(ctx context.Context, t deletion.Target) (int64, error) {
	if t.KeyID != "" {
		removed, err := s.rejected.ForgetSent(ctx, t.Project, t.Environment, rejected.Filter{KeyID: t.KeyID, From: t.From, To: t.Until})
		return int64(removed), err
	}
	removed, err := s.rejected.Forget(ctx, t.Project, t.Environment, t.IDs)
	return int64(removed), err
}

func (s *server) countRejected(ctx context.Context, t deletion.Target) (int64, error) {
	if t.KeyID != "" {
		n, err := s.rejected.CountSent(ctx, t.Project, t.Environment, rejected.Filter{KeyID: t.KeyID, From: t.From, To: t.Until})
		return int64(n), err
	}
	n, err := s.rejected.CountPersons(ctx, t.Project, t.Environment, t.IDs)
	return int64(n), err
}

// forgetDeliveries removes what workflows sent, or are to send, about a person, or what a key triggered.
func (s *server) forgetDeliveries(ctx context.Context, t deletion.Target) (int64, error) {
	if t.KeyID != "" {
		return s.triggered(ctx, t, false)
	}
	removed, err := s.control.workflows.Forget(ctx, t.Project, t.Environment, t.IDs)
	return int64(removed), err
}

// countDeliveries counts what a key triggered; of a person that is not told.
func (s *server) countDeliveries(ctx context.Context, t deletion.Target) (int64, error) {
	if t.KeyID == "" {
		return -1, nil
	}
	return s.triggered(ctx, t, true)
}

// triggered removes what a key triggered, or with dry only counts it.
func (s *server) triggered(ctx context.Context, t deletion.Target, dry bool) (int64, error) {
	by := workflow.Triggered{Project: t.Project, Environment: t.Environment, KeyID: t.KeyID, From: t.From, Until: t.Until}
	n, err := s.control.workflows.DropTriggered(ctx, by, dry)
	return int64(n), err
}
