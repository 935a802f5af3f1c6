package deletion

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// loadLimit is how long the loader may take to load what was accepted before a deletion began; growths is how often a person
// may have got more ids meanwhile.
const (
	loadLimit = 10 * time.Minute
	growths   = 10
)

var errLoadLimit = errors.New("deletion: what was accepted is not loaded")

// place is what a job keeps of what it has done. Nobody is named in it.
type place struct {
	Step    int       `json:"step"`              // of steps; those before it are done
	Planned *Counts   `json:"planned,omitempty"` // what the warehouse had before anything was deleted
	Removed []Removed `json:"removed"`
}

// deleting is a deletion while it is done.
type deleting struct {
	s       *Service
	run     *job.Run
	record  Record
	space   event.Space
	ids     []string
	place   place
	resumed bool
}

// steps are done in this order, and each may be done twice. What else names a person goes before it is forgotten which ids are
// theirs, so that whoever asks again after a failure names them all; and once more after that, since something may have been
// made meanwhile of what was there.
func (d *deleting) steps() []func(context.Context) error {
	steps := []func(context.Context) error{d.plan}
	parts := func() {
		for _, p := range d.s.cfg.Parts {
			steps = append(steps, func(ctx context.Context) error { return d.part(ctx, p) })
		}
		steps = append(steps, d.control)
	}
	parts()
	steps = append(steps, d.warehouse, d.journal)
	parts()
	return append(steps, d.compact)
}

// Work is the job: it goes on where it was.
func (s *Service) Work(ctx context.Context, run *job.Run) error {
	d, err := s.begin(ctx, run)
	if err != nil {
		return err
	}
	return d.all(ctx)
}

func (s *Service) begin(ctx context.Context, run *job.Run) (*deleting, error) {
	j := run.Job()
	var about spec
	d := &deleting{s: s, run: run, space: event.Space{Project: j.Project, Environment: j.Environment}, resumed: j.Starts > 1}
	if err := json.Unmarshal(j.Spec, &about); err != nil {
		return nil, err
	}
	if len(j.Place) > 0 {
		if err := json.Unmarshal(j.Place, &d.place); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(d.idsPath())
	if err == nil {
		err = json.Unmarshal(text, &d.ids)
	}
	if errors.Is(err, os.ErrNotExist) && (!about.Named || d.place.Step >= len(d.steps())-1) { // the last step drops it
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("deletion: the ids: %w", err)
	}
	d.record = recordOf(&j, about.Of)
	return d, s.cfg.Control.KeepDeletion(ctx, d.record, about.entry(d.record.ID)) // a crash may have come before it was kept
}

func (d *deleting) idsPath() string { return filepath.Join(d.run.Folder(), idsFile) }

// dropIDs removes from the folder of a job the last place in which somebody is named.
func dropIDs(folder string) error {
	path := filepath.Join(folder, idsFile)
	if err := errors.Join(os.RemoveAll(path), os.RemoveAll(path+".new")); err != nil {
		return fmt.Errorf("deletion: the ids: %w", err)
	}
	return nil
}

func (d *deleting) all(ctx context.Context) error {
	steps := d.steps()
	for d.place.Step < len(steps) {
		if err := steps[d.place.Step](ctx); err != nil {
			return err
		}
		d.place.Step++
		if err := d.keep(); err != nil {
			return err
		}
	}
	return d.receipt(ctx)
}

// keep keeps how far it is.
func (d *deleting) keep() error {
	text, err := json.Marshal(d.place)
	if err != nil {
		return err
	}
	return d.run.Keep(job.Progress{Done: int64(d.place.Step), Total: int64(len(d.steps()))}, text)
}

// removed counts what was removed of a part, of which there may be some already.
func (d *deleting) removed(part string, count int64) {
	for i := range d.place.Removed {
		if d.place.Removed[i].Part == part {
			d.place.Removed[i].Count += count
			return
		}
	}
	d.place.Removed = append(d.place.Removed, Removed{part, count})
}

// plan has everything loaded that was accepted by now, finds all ids of the person, and counts.
func (d *deleting) plan(ctx context.Context) error {
	if _, err := d.s.loaded(ctx, d.space, d.run); err != nil {
		return err
	}
	if err := d.learn(ctx); err != nil {
		return err
	}
	counts, err := d.s.cfg.Warehouse.CountErasable(ctx, d.space, d.selection())
	d.place.Planned = &counts
	return err
}

// loaded waits until what was accepted by now is in the warehouse, and gives its last position. A job rests meanwhile: whoever
// sends events faster than they are loaded must not keep others' jobs waiting. Without one run is nil.
func (s *Service) loaded(ctx context.Context, space event.Space, run *job.Run) (event.Position, error) {
	upTo, err := s.cfg.Journal.Roll(ctx)
	if err != nil {
		return 0, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, loadLimit, errLoadLimit)
	defer cancel()
	wait := func(ctx context.Context) error { return s.cfg.Loader.Await(ctx, upTo, space) }
	if run != nil {
		err = run.Rest(limited, wait)
	} else {
		err = wait(limited)
	}
	if err != nil && errors.Is(context.Cause(limited), errLoadLimit) {
		err = problem.Wrap(err, problem.Unavailable, "The events that were accepted are not loaded, and could not be deleted.").After(loadLimit)
	}
	return upTo, err
}

// learn adds the ids that the person has by now to those that are known, and notes them.
func (d *deleting) learn(ctx context.Context) error {
	if len(d.ids) == 0 {
		return nil
	}
	now, err := d.s.cfg.Warehouse.PersonIDs(ctx, d.space, d.ids[0])
	if err != nil {
		return err
	}
	return d.note(now)
}

func (d *deleting) note(ids []string) error {
	for _, id := range ids {
		if !slices.Contains(d.ids, id) {
			d.ids = append(d.ids, id)
		}
	}
	if err := writeIDs(d.idsPath(), d.ids); err != nil {
		return fmt.Errorf("deletion: the ids: %w", err)
	}
	return nil
}

func (d *deleting) selection() Selection {
	s := d.record.Of.selection()
	s.IDs = d.ids
	return s
}

// warehouse deletes there. What was deleted by an earlier start counts.
func (d *deleting) warehouse(ctx context.Context) error {
	for range growths {
		counts, more, err := d.s.cfg.Warehouse.Erase(ctx, d.space, d.selection())
		if err != nil {
			return err
		}
		if len(more) > 0 {
			if err := d.note(more); err != nil {
				return err
			}
			continue
		}
		if p := d.place.Planned; d.resumed && p != nil {
			counts = counts.atLeast(p)
		}
		d.removed("events", counts.Events)
		d.removed("events_changed", counts.Changed)
		d.removed("persons", counts.Persons)
		if len(d.ids) == 0 {
			d.removed("persons_changed", counts.Remade)
			d.removed("records", counts.Records)
		}
		return nil
	}
	return problem.New(problem.Unavailable, "The person gets more ids all the time.").After(time.Minute)
}

// journal deletes there: what every space has loaded goes whole, and of the rest what is of this space, which has it.
func (d *deleting) journal(ctx context.Context) error {
	n, err := d.s.scrub(ctx, d.space, d.run, nil)
	d.removed("journal", n)
	return err
}

// scrub lets the journal go of what is loaded of a space. only says which events of it, when the journal must keep the
// rest for others; nil: all.
func (s *Service) scrub(ctx context.Context, space event.Space, run *job.Run, only func(*event.Event) bool) (int64, error) {
	upTo, err := s.loaded(ctx, space, run)
	if err != nil {
		return 0, err
	}
	if err := s.cfg.Journal.Release(min(upTo, s.cfg.Loader.Loaded())); err != nil {
		return 0, err
	}
	return s.cfg.Journal.Scrub(ctx, upTo, func(data []byte) []byte {
		if only != nil {
			if e, err := event.DecodeEvent(data); err != nil || !only(&e) {
				return nil
			}
		}
		return event.Blank(data, space)
	})
}

// theirs are the ids that are still the person's, or nobody's. What other parts have under an id that was theirs, and is
// somebody else's by now, is not to be deleted.
func (d *deleting) theirs(ctx context.Context) ([]string, error) {
	if len(d.ids) == 0 {
		return nil, nil
	}
	return d.s.cfg.Warehouse.Theirs(ctx, d.space, d.ids)
}

// part has another part forget.
func (d *deleting) part(ctx context.Context, p Forgetter) error {
	ids, err := d.theirs(ctx)
	if err != nil {
		return err
	}
	n, err := p.Forget(ctx, d.record.Of.traces(d.space, ids))
	if err != nil {
		return fmt.Errorf("deletion: %s: %w", p.Name, err)
	}
	d.removed(p.Name, n)
	return nil
}

// control takes them out of the history of queries, and out of jobs.
func (d *deleting) control(ctx context.Context) error {
	ids, err := d.theirs(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	n, err := d.s.cfg.Control.BlankStatements(ctx, d.space.Project, d.space.Environment, ids)
	d.removed("statements", n)
	if err == nil {
		n, err = d.s.cfg.Control.BlankJobs(ctx, d.space.Project, d.space.Environment, ids)
		d.removed("jobs", n)
	}
	return err
}

// compact leaves no bytes in the control data. After it nobody is named anywhere.
func (d *deleting) compact(ctx context.Context) error {
	if len(d.ids) == 0 && d.record.Of.KeyID == "" {
		return nil
	}
	if err := d.s.cfg.Control.Compact(ctx); err != nil {
		return err
	}
	return dropIDs(d.run.Folder())
}

// receipt writes it. One that is there by now stays.
func (d *deleting) receipt(ctx context.Context) error {
	if err := dropIDs(d.run.Folder()); err != nil {
		return err
	}
	signed, err := d.s.sign(Receipt{
		ID: d.record.ID, Project: d.record.Project, Environment: d.record.Environment, Of: d.record.Of, By: d.record.KeyID,
		RequestedAt: d.record.CreatedAt, CompletedAt: d.s.cfg.Now().UTC().Truncate(time.Microsecond), Removed: d.place.Removed,
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(signed)
	if err != nil {
		return err
	}
	d.record.Receipt = text
	return d.s.cfg.Control.KeepDeletion(ctx, d.record, nil)
}
