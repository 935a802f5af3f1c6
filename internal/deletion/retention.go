package deletion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/event"
)

// sweepEvery is how often it is looked for what has become old. What became old on one day goes together: the file of an
// environment is written anew at most once a day for it.
const sweepEvery = time.Hour

// Run sweeps at once and then every hour, until ctx is done.
func (s *Service) Run(ctx context.Context) {
	if s.cfg.Projects == nil {
		return
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("deleting what is kept no longer", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Sweep deletes, in every environment that keeps events for some days only, those that were received before, if the clock can
// be trusted. One that keeps them for ever has none of its own begun, and one that was begun before ended. What one environment
// fails with holds up no other.
func (s *Service) Sweep(ctx context.Context) (faults error) {
	even, err := s.Even(ctx)
	if err != nil || !even {
		return err
	}
	all, err := s.cfg.Projects(ctx)
	if err != nil {
		return fmt.Errorf("deletion: what environments keep: %w", err)
	}
	for _, k := range all {
		if ctx.Err() != nil {
			return errors.Join(faults, ctx.Err())
		}
		if err := s.sweep(ctx, k); err != nil {
			faults = errors.Join(faults, fmt.Errorf("%s/%s: %w", k.Project, k.Environment.Name, err))
		}
	}
	return faults
}

// sweep deletes in one environment, and keeps a receipt of it. Events that happened go; what tells of persons stays, since
// profiles are made of it. That it begins is kept first, with the entry of the audit: what a fault or a crash cuts short, the
// next sweep goes on with, whether there are rows left by then or not.
func (s *Service) sweep(ctx context.Context, k Kept) error {
	r, begun, err := s.unfinished(ctx, k)
	switch {
	case err != nil:
	case begun:
		r, err = s.spare(ctx, k, r)
	case k.Days > 0:
		r, begun, err = s.beginSweep(ctx, k)
	}
	if err != nil || !begun {
		return err
	}
	space, until := event.Space{Project: k.Project, Environment: k.Environment.Name}, r.Of.Until
	counts, _, err := s.cfg.Warehouse.Erase(ctx, space, Selection{Until: until, Track: true})
	if err != nil {
		return err
	}
	removed := []Removed{{"events", max(counts.Events, r.Of.Found)}}
	n, err := s.scrub(ctx, space, nil, func(e *event.Event) bool { return e.Kind == event.Track && e.ReceivedAt.Before(until) })
	if err != nil {
		return err
	}
	removed = append(removed, Removed{"journal", n})
	for _, p := range s.cfg.Parts {
		n, err := p.Forget(ctx, event.Traces{Space: space})
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		removed = append(removed, Removed{p.Name, n})
	}
	return s.swept(ctx, r, removed)
}

// maxOpen is how many of the youngest deletions of an environment are looked at for a sweep that was not finished. It is begun
// again within the hour, so it is among them.
const maxOpen = 1000

// unfinished is a sweep of an environment that was begun and has no receipt.
func (s *Service) unfinished(ctx context.Context, k Kept) (r Record, found bool, err error) {
	list, err := s.cfg.Control.Deletions(ctx, Query{Project: k.Project, Environment: k.Environment.Name, Limit: maxOpen})
	if err != nil {
		return r, false, err
	}
	at := slices.IndexFunc(list, func(r Record) bool { return r.Of.Days > 0 && r.Receipt == nil })
	if at < 0 {
		return r, false, nil
	}
	return list[at], true, nil
}

// spare leaves out of a sweep what the environment keeps by now, since its days have become more, or it keeps them for ever. What was deleted before stays
// so, and is then deleted everywhere.
func (s *Service) spare(ctx context.Context, k Kept, r Record) (Record, error) {
	until, space := s.until(k), event.Space{Project: k.Project, Environment: k.Environment.Name}
	if !until.Before(r.Of.Until) {
		return r, nil
	}
	left, err := s.cfg.Warehouse.CountErasable(ctx, space, Selection{Until: r.Of.Until, Track: true})
	if err != nil || left.Events == 0 {
		return r, err
	}
	if left, err = s.cfg.Warehouse.CountErasable(ctx, space, Selection{Until: until, Track: true}); err != nil {
		return r, err
	}
	r.Of = Of{Until: until, Days: cmp.Or(k.Days, r.Of.Days), Found: left.Events}
	return r, s.cfg.Control.KeepDeletion(ctx, r, nil)
}

// until is the time before which an environment keeps nothing: one that keeps events for ever, before there were any.
func (s *Service) until(k Kept) time.Time {
	if k.Days <= 0 {
		return time.Unix(0, 0).UTC()
	}
	return s.cfg.Now().UTC().AddDate(0, 0, -k.Days).Truncate(24 * time.Hour)
}

// beginSweep keeps that events are to be deleted, if there are any.
func (s *Service) beginSweep(ctx context.Context, k Kept) (r Record, begun bool, err error) {
	now, until := s.cfg.Now().UTC().Truncate(time.Microsecond), s.until(k)
	space := event.Space{Project: k.Project, Environment: k.Environment.Name}
	counts, err := s.cfg.Warehouse.CountErasable(ctx, space, Selection{Until: until, Track: true})
	if err != nil || counts.Events == 0 {
		return r, false, err
	}
	r = Record{
		ID: "del_" + s.cfg.NewID(), Project: k.Project, Environment: k.Environment.Name, Live: k.Environment.Mode == access.Live,
		KeyID: audit.System, Of: Of{Until: until, Days: k.Days, Found: counts.Events}, CreatedAt: now,
	}
	entry := audit.Own(now, k.Organization, k.Project, s.cfg.NewAudit(), "deletion.retention", r.ID, nil, r.Of)
	return r, true, s.cfg.Control.KeepDeletion(ctx, r, &entry)
}

// swept keeps the receipt.
func (s *Service) swept(ctx context.Context, r Record, removed []Removed) error {
	signed, err := s.sign(Receipt{
		ID: r.ID, Project: r.Project, Environment: r.Environment, Of: r.Of, By: r.KeyID, RequestedAt: r.CreatedAt,
		CompletedAt: s.cfg.Now().UTC().Truncate(time.Microsecond), Removed: removed,
	})
	if err != nil {
		return err
	}
	if r.Receipt, err = json.Marshal(signed); err != nil {
		return err
	}
	return s.cfg.Control.KeepDeletion(ctx, r, nil)
}
