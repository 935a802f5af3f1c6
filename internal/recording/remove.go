package recording

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
)

// Removed is what was deleted.
type Removed struct{ Sessions, Chunks, Bytes int64 }

func (r *Removed) add(s Session) {
	r.Sessions++
	r.Chunks += s.Chunks
	r.Bytes += s.Bytes
}

// Delete deletes a recording of the permit's environment: it cannot be seen from then on, and when Delete returns without an
// error, no byte of it is left.
//
// Problems: not_found.
func (s *Service) Delete(ctx context.Context, permit gate.Permit, session string) error {
	if !goodSession(session) {
		return notFound()
	}
	_, err := s.remove(ctx, nameOf(permit.Project(), permit.Environment(), session), time.Time{})
	if errors.Is(err, ErrNone) {
		return notFound()
	}
	return err
}

// remove forgets a session and then deletes its files. When files are left of an earlier removal that failed, they go. With
// a time, a session stays of which a chunk came at that time or later: that is ErrNone.
func (s *Service) remove(ctx context.Context, name string, before time.Time) (Session, error) {
	defer s.lock(name)()
	ctx = context.WithoutCancel(ctx) // what is begun is ended
	if !before.IsZero() {
		seen, err := s.cfg.Store.Look(ctx, name, "", -1)
		if err != nil {
			return Session{}, err
		}
		if !seen.Session.UpdatedAt.Before(before) {
			return Session{}, ErrNone
		}
	}
	session, err := s.cfg.Store.Drop(ctx, name, Sent{})
	if err != nil && !errors.Is(err, ErrNone) {
		return Session{}, err
	}
	if err != nil {
		left, failed := s.cfg.Files.List(ctx, folderOf(name))
		if failed != nil || len(left) == 0 {
			return Session{}, errors.Join(failed, err)
		}
	}
	err = s.cfg.Files.Delete(ctx, folderOf(name))
	if err != nil {
		s.left.Store(true)
	}
	return session, err
}

// Sweep deletes the recordings that have become old, and files of which nothing is known: those of a chunk whose sender had no
// answer, and of a deletion that did not come to its end. What it cannot delete it passes over, and tells at the end.
func (s *Service) Sweep(ctx context.Context) (Removed, error) {
	var removed Removed
	faults := s.sweepOld(ctx, &removed)
	return removed, errors.Join(faults, s.tidy(ctx, true))
}

// tidy deletes the files of which nothing is known, if there may be any, or always.
func (s *Service) tidy(ctx context.Context, always bool) error {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	if !s.left.Swap(false) && !always {
		return nil
	}
	err := s.sweepFiles(ctx)
	if err != nil {
		s.left.Store(true)
	}
	return err
}

func (s *Service) sweepOld(ctx context.Context, removed *Removed) (faults error) {
	if s.cfg.Keep == 0 {
		return nil
	}
	if s.cfg.Even != nil {
		if even, err := s.cfg.Even(ctx); err != nil || !even {
			return err
		}
	}
	for before := s.cfg.Now().Add(-s.cfg.Keep); ctx.Err() == nil; {
		names, err := s.cfg.Store.Old(ctx, before, forgetStep)
		if err != nil || len(names) == 0 {
			return errors.Join(faults, err)
		}
		for _, name := range names {
			session, err := s.remove(ctx, name, before)
			switch {
			case errors.Is(err, ErrNone): // somebody else was faster, or a chunk has come
			case err != nil:
				faults = errors.Join(faults, err)
			default:
				removed.add(session)
			}
		}
		if faults != nil {
			return faults
		}
	}
	return ctx.Err()
}

// sweepFiles looks through all folders.
func (s *Service) sweepFiles(ctx context.Context) (faults error) {
	tops, err := s.cfg.Files.List(ctx, "")
	if err != nil {
		return err
	}
	for _, top := range tops {
		if len(top) != 2 {
			continue // nothing of ours
		}
		names, err := s.cfg.Files.List(ctx, top)
		faults = errors.Join(faults, err)
		for _, name := range names {
			if ctx.Err() != nil {
				return errors.Join(faults, ctx.Err())
			}
			if len(name) != 40 || name[:2] != top {
				continue
			}
			if err := s.sweepFolder(ctx, name); err != nil {
				faults = errors.Join(faults, fmt.Errorf("recording: sweep %s: %w", name, err))
			}
		}
	}
	return faults
}

// sweepFolder deletes the files of a session that none of its chunks has.
func (s *Service) sweepFolder(ctx context.Context, name string) error {
	defer s.lock(name)()
	return s.tidyFolder(ctx, name)
}

// tidyFolder is sweepFolder for whoever holds the session's lock.
func (s *Service) tidyFolder(ctx context.Context, name string) error {
	files, err := s.cfg.Files.List(ctx, folderOf(name))
	if err != nil {
		return err
	}
	pieces, err := s.cfg.Store.Pieces(ctx, name)
	if err != nil {
		return err
	}
	if len(pieces) == 0 {
		return s.cfg.Files.Delete(ctx, folderOf(name))
	}
	known := make(map[string]bool, len(pieces))
	for i := range pieces {
		known[pieceName(&pieces[i])] = true
	}
	for _, file := range slices.DeleteFunc(files, func(f string) bool { return known[f] }) {
		if err := s.cfg.Files.Delete(ctx, folderOf(name)+"/"+file); err != nil {
			return err
		}
	}
	return nil
}

// sweepEvery is how often Run sweeps.
const sweepEvery = time.Hour

// Run sweeps at once and then every hour, until ctx is done.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		removed, err := s.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("sweeping recordings", "error", err)
		}
		if removed.Sessions > 0 {
			s.cfg.Log.Info("old recordings were deleted", "recordings", removed.Sessions, "bytes", removed.Bytes)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
