package recording

import (
	"context"
	"errors"
	"fmt"
)

// ForgetSent deletes the chunks that a key sent, in an environment of a project, and the sessions of which none is left. Of the
// others what the rest says stays, and the sequences are missing; they may be sent again. It counts the sessions of which it
// deleted something, also when it fails half-way, and may be repeated. When it gives no error, no file is left of what was deleted
// before either.
func (s *Service) ForgetSent(ctx context.Context, project, environment string, which Sent) (removed Removed, err error) {
	if which.KeyID == "" {
		return removed, errors.New("recording: chunks that no key sent")
	}
	f := Filter{Project: project, Environment: environment, Sent: which, Limit: forgetStep}
	for removed.Sessions < maxForgotten {
		list, err := s.cfg.Store.Sessions(ctx, f)
		if err != nil {
			return removed, err
		}
		if len(list) == 0 {
			s.settle()
			return removed, s.tidy(ctx, false)
		}
		for i := range list {
			gone, err := s.removeSent(ctx, nameOf(project, environment, list[i].ID), which)
			switch {
			case errors.Is(err, ErrNone): // somebody else was faster
			case err != nil:
				return removed, err
			default:
				removed.add(gone)
			}
		}
	}
	return removed, fmt.Errorf("recording: chunks of %d sessions were deleted, and there may be more: it must be repeated", removed.Sessions)
}

// removeSent forgets chunks of a session and then deletes their files.
func (s *Service) removeSent(ctx context.Context, name string, which Sent) (Session, error) {
	defer s.lock(name)()
	ctx = context.WithoutCancel(ctx) // what is begun is ended
	gone, err := s.cfg.Store.Drop(ctx, name, which)
	if err != nil {
		return Session{}, err
	}
	err = s.tidyFolder(ctx, name)
	if err != nil {
		s.left.Store(true)
	}
	return gone, err
}

// CountSent counts the sessions of which ForgetSent would delete something.
func (s *Service) CountSent(ctx context.Context, project, environment string, which Sent) (int64, error) {
	if which.KeyID == "" {
		return 0, errors.New("recording: chunks that no key sent")
	}
	seen := map[string]bool{}
	err := s.count(ctx, Filter{Project: project, Environment: environment, Sent: which}, seen)
	return int64(len(seen)), err
}

// CountPersons counts the sessions in which one of the ids occurs.
func (s *Service) CountPersons(ctx context.Context, project, environment string, ids []string) (int64, error) {
	seen := map[string]bool{}
	for _, id := range ids {
		if id == "" {
			continue
		}
		if err := s.count(ctx, Filter{Project: project, Environment: environment, DistinctID: id}, seen); err != nil {
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
