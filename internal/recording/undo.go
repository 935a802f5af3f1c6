package recording

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/event"
)

// forgetStep is how many sessions are looked up at once.
const forgetStep = 100

// meant are the filters that together list what a deletion is of: the sessions of which a chunk is told to be a person's, which go
// whole, also what was recorded before the id was known, or those to which a key sent chunks, of which these go.
func meant(t event.Traces) (list []Filter) {
	if t.KeyID != "" {
		return []Filter{{Project: t.Project, Environment: t.Environment, Sent: Sent{t.KeyID, t.From, t.Until}}}
	}
	for _, id := range t.IDs {
		if id != "" {
			list = append(list, Filter{Project: t.Project, Environment: t.Environment, DistinctID: id})
		}
	}
	return list
}

// Forget deletes what a deletion is of, and the sessions of which nothing is left. Of a person it looks through all recordings of the
// environment for their ids besides, since what was recorded may name who nobody had told it is. Of a session that others sent to as well the
// rest stays, and the sequences are missing; they may be sent again. It tells of how many sessions it deleted something, also when
// it fails half-way, and may be repeated. When it gives no error, no file is left of what was deleted before either, nor of a
// chunk that was not taken, in which an id may stand.
func (s *Service) Forget(ctx context.Context, t event.Traces) (sessions int64, err error) {
	for _, f := range meant(t) {
		n, err := s.forget(ctx, f)
		if sessions += n; err != nil {
			return sessions, err
		}
	}
	if t.KeyID == "" {
		n, err := s.forgetNaming(ctx, t)
		if sessions += n; err != nil {
			return sessions, err
		}
	}
	s.settle()
	return sessions, s.tidy(ctx, false)
}

// forget deletes what a filter lists.
func (s *Service) forget(ctx context.Context, f Filter) (sessions int64, err error) {
	f.Limit = forgetStep
	for sessions < maxForgotten {
		list, err := s.cfg.Store.Sessions(ctx, f)
		if err != nil || len(list) == 0 {
			return sessions, err
		}
		for i := range list {
			switch err := s.take(ctx, nameOf(f.Project, f.Environment, list[i].ID), f.Sent); {
			case errors.Is(err, ErrNone): // somebody else was faster
			case err != nil:
				return sessions, err
			default:
				sessions++
			}
		}
	}
	return sessions, fmt.Errorf("recording: of %d sessions something was deleted, and there may be more: it must be repeated", sessions)
}

// take deletes a session, or the chunks of it that a key sent.
func (s *Service) take(ctx context.Context, name string, which Sent) error {
	if which == (Sent{}) {
		_, err := s.remove(ctx, name, time.Time{})
		return err
	}
	defer s.lock(name)()
	ctx = context.WithoutCancel(ctx) // what is begun is ended
	if _, err := s.cfg.Store.Drop(ctx, name, which); err != nil {
		return err
	}
	err := s.tidyFolder(ctx, name)
	if err != nil {
		s.left.Store(true)
	}
	return err
}

// Count counts the sessions of which Forget would delete something, but for those that name a person only in what was recorded.
func (s *Service) Count(ctx context.Context, t event.Traces) (int64, error) {
	seen := map[string]bool{}
	for _, f := range meant(t) {
		if err := s.count(ctx, f, seen); err != nil {
			return 0, err
		}
	}
	return int64(len(seen)), nil
}

// count adds the sessions that a filter lists to those that were seen.
func (s *Service) count(ctx context.Context, f Filter, seen map[string]bool) error {
	f.Limit = MaxList
	for len(seen) < maxForgotten {
		list, err := s.cfg.Store.Sessions(ctx, f)
		if err != nil {
			return err
		}
		for i := range list {
			seen[list[i].ID] = true
		}
		if len(list) < f.Limit {
			return nil
		}
		last := &list[len(list)-1]
		f.After = Mark{last.StartedAt, nameOf(f.Project, f.Environment, last.ID)}
	}
	return nil
}
