package dataset

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// Existing is what becomes of the records that are there when what a dataset is changes.
type Existing string

// Leave leaves them as they are. DeleteAll deletes them. Convert makes them what the schema says, under the index that they
// have, without what it does not name. Reingest makes their index anew as well, and keeps what the schema does not name.
const (
	Leave     Existing = "leave"
	DeleteAll Existing = "delete"
	Convert   Existing = "update"
	Reingest  Existing = "reingest"
)

type updateSpec struct {
	ID        string     `json:"id"`
	From      string     `json:"from"` // uid
	To        string     `json:"to"`   // uid
	How       Existing   `json:"how"`
	MaxErrors int64      `json:"max_errors"`
	Becomes   Definition `json:"becomes"`
}

// Update changes what a dataset is. With Convert and Reingest the answer is a job: the dataset is what it was until the job
// has written every record anew, and then becomes the other at once. A record that cannot become one makes the job fail, and
// nothing is changed, unless there are no more of them than maxErrors: those are left out.
//
// Problems: invalid_field, not_found, conflict, precondition_failed, unavailable.
func (s *Service) Update(ctx context.Context, permit gate.Permit, at At, w Wanted, how Existing, maxErrors, revision int64) (Dataset, *job.Job, error) {
	d, err := s.Find(ctx, permit, at)
	if err != nil {
		return Dataset{}, nil, err
	}
	becomes := d
	w.apply(&becomes)
	if err := s.checkUpdate(ctx, permit, &d, &becomes, w, how); err != nil {
		return Dataset{}, nil, err
	}
	var f faults
	becomes.check(&f)
	if err := f.problem(); err != nil {
		return Dataset{}, nil, err
	}
	if how == Convert && becomes.Index != d.Index {
		return Dataset{}, nil, problem.Invalid("columnMapping", "cannot be changed with existing=update: the index of a record stays; use reingest")
	}
	if how == Convert || how == Reingest {
		return s.rebuild(ctx, permit, at, &becomes, how, maxErrors, revision)
	}
	s.change.Lock()
	defer s.change.Unlock()
	if how == Leave && becomes.Index != d.Index {
		counts, err := s.cfg.Records.CountRecords(ctx, d.Space(), []string{d.UID})
		if err != nil {
			return Dataset{}, nil, err
		}
		if counts[d.UID].Records > 0 {
			return Dataset{}, nil, problem.Invalid("columnMapping", "cannot be changed while there are records with another index; use reingest or delete")
		}
	}
	old := d.UID
	d, err = s.changed(ctx, permit, at, actionUpdate, revision, func(c *Change) error {
		if err := s.idle(ctx, &c.Dataset); err != nil {
			return err
		}
		w.apply(&c.Dataset)
		if how == DeleteAll {
			old, c.UID = c.UID, uidPrefix+s.cfg.NewID()
		}
		var f faults
		c.check(&f)
		return f.problem()
	})
	if err == nil && how == DeleteAll {
		err = s.drop(ctx, d.Space(), old)
	}
	return d, nil, err
}

// rebuild begins to write the records anew, and marks the dataset as busy.
func (s *Service) rebuild(ctx context.Context, permit gate.Permit, at At, becomes *Dataset, how Existing, maxErrors, revision int64) (Dataset, *job.Job, error) {
	s.change.Lock() // nothing is being written while the dataset becomes busy, and nothing is from then on
	defer s.change.Unlock()
	if err := s.idle(ctx, becomes); err != nil {
		return Dataset{}, nil, err
	}
	if revision != 0 && revision != becomes.Revision {
		return Dataset{}, nil, problem.New(problem.PreconditionFailed, "The dataset is at revision %d by now, and not at %d.", becomes.Revision, revision).
			At("header.If-Match", "is not the present revision")
	}
	counts, err := s.cfg.Records.CountRecords(ctx, becomes.Space(), []string{becomes.UID})
	if err != nil {
		return Dataset{}, nil, err
	}
	spec, err := json.Marshal(updateSpec{becomes.ID, becomes.UID, uidPrefix + s.cfg.NewID(), how, maxErrors, becomes.Definition})
	if err != nil {
		return Dataset{}, nil, err
	}
	j, err := s.cfg.Jobs.Submit(ctx, permit, job.Wanted{
		Environment: becomes.Environment, Kind: UpdateKind, About: becomes.ID, Spec: spec, Total: counts[becomes.UID].Records,
	})
	if err != nil {
		return Dataset{}, nil, err
	}
	class := becomes.Class
	d, err := s.changed(ctx, permit, at, actionUpdate, 0, func(c *Change) error {
		c.Busy, c.Class = j.ID, class
		return nil
	})
	return d, &j, err
}

// updatePlace is where writing records anew goes on.
type updatePlace struct {
	Done          int64  `json:"done"`
	Rejected      int64  `json:"rejected"`
	RejectedBytes int64  `json:"rejected_bytes"`
	After         *Place `json:"after"`
}

// Rebuild is the work of writing the records of a dataset anew, under another uid.
func (s *Service) Rebuild(ctx context.Context, run *job.Run) error {
	j := run.Job()
	var spec updateSpec
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		return err
	}
	spec.Becomes.Busy = ""
	done, err := s.await(ctx, j, &spec)
	switch {
	case done:
		return s.dropFormer(ctx, j, &spec)
	case err == nil:
		err = s.rewriteAll(ctx, run, j, &spec)
	}
	if err != nil && forGood(ctx) {
		err = errors.Join(err, s.giveUp(context.WithoutCancel(ctx), j, &spec))
	}
	return err
}

// forGood reports whether work that fails now is not begun again: it was not stopped, or by somebody who cancelled it.
func forGood(ctx context.Context) bool { return ctx.Err() == nil || job.IsCancelled(ctx) }

// await waits until the dataset is marked: the job may be faster than whoever submitted it. done says that it is the other
// already, and that the server was stopped after that.
func (s *Service) await(ctx context.Context, j job.Job, spec *updateSpec) (done bool, err error) {
	s.change.RLock()
	defer s.change.RUnlock()
	d, found, err := s.cfg.Store.FindDataset(ctx, j.Project, j.Environment, spec.ID)
	switch {
	case err != nil:
		return false, err
	case found && d.UID == spec.To:
		return true, nil
	case !found || d.UID != spec.From || d.Busy != j.ID:
		return false, problem.New(problem.Conflict, "The dataset %s is no longer the one that was to be changed.", spec.ID)
	}
	return false, nil
}

// rewriteAll writes page by page, and makes the dataset the other at the end.
func (s *Service) rewriteAll(ctx context.Context, run *job.Run, j job.Job, spec *updateSpec) (err error) {
	var place updatePlace
	if len(j.Place) > 0 {
		if err := json.Unmarshal(j.Place, &place); err != nil {
			return err
		}
	}
	refused, err := openRejections(run.Folder(), place.RejectedBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, refused.file.Close()) }()
	d := Dataset{Project: j.Project, Environment: j.Environment, Definition: spec.Becomes}
	for {
		more, err := s.rewritePage(ctx, &d, spec, &place, refused)
		if err != nil {
			return err
		}
		if place.RejectedBytes, err = refused.flush(); err != nil {
			return err
		}
		text, err := json.Marshal(place)
		if err != nil {
			return err
		}
		if err := run.Keep(job.Progress{Done: place.Done, Total: j.Progress.Total, Good: place.Done - place.Rejected, Refused: place.Rejected}, text); err != nil {
			return err
		}
		if !more {
			return s.become(ctx, j, spec)
		}
	}
}

// rewritePage reads the records behind a place, and writes what they become. Nothing is undone between the two (see Still).
func (s *Service) rewritePage(ctx context.Context, d *Dataset, spec *updateSpec, place *updatePlace, refused *rejections) (more bool, err error) {
	s.moving.RLock()
	defer s.moving.RUnlock()
	page, more, err := s.cfg.Records.ReadRecords(ctx, d.Space(), spec.From, Selection{ByIndex: true, After: place.After, Ceiling: chunkRecords})
	if err != nil {
		return false, err
	}
	batch := Batch{}
	for i := range page {
		r, fields := again(&d.Definition, &page[i], spec.How)
		place.Done++
		if fields == nil {
			batch.Records = append(batch.Records, r)
			continue
		}
		if place.Rejected++; place.Rejected > spec.MaxErrors {
			return false, problem.New(problem.InvalidField, "The record of %q at %s does not fit: %s: %s. Nothing was changed.",
				shown(page[i].Key), page[i].Date.Format(time.RFC3339), fields[0].Name, fields[0].Detail)
		}
		if err := refused.add(Refused{Line: place.Done, Fields: fields}); err != nil {
			return false, err
		}
	}
	if len(page) > 0 {
		last := page[len(page)-1]
		place.After = &Place{last.Key, last.Subkey, last.Date}
	}
	_, err = s.put(ctx, d.Space(), spec.To, batch)
	return more, err
}

// Still does something while no record is on its way from one table to another: what removes records from all tables misses none.
func (s *Service) Still(do func() error) error {
	s.moving.Lock()
	defer s.moving.Unlock()
	return do()
}

// become makes the dataset the other.
func (s *Service) become(ctx context.Context, j job.Job, spec *updateSpec) error {
	s.change.Lock()
	defer s.change.Unlock()
	if err := s.mark(ctx, j, spec, func(c *Change) { c.Definition, c.UID = spec.Becomes, spec.To }); err != nil {
		return err
	}
	return s.dropFormer(ctx, j, spec)
}

// dropFormer drops the records that the dataset had before it became the other. A stop has the job begin again, and do that
// again; what cannot be dropped for another reason takes room and does no harm until Sweep drops it: the dataset is the other.
func (s *Service) dropFormer(ctx context.Context, j job.Job, spec *updateSpec) error {
	if forGood(ctx) {
		ctx = context.WithoutCancel(ctx)
	}
	err := s.drop(ctx, space(j), spec.From)
	if ctx.Err() != nil {
		return err
	}
	return nil
}

// drop drops the records that no dataset has any more, when what was made of them is gone.
func (s *Service) drop(ctx context.Context, space event.Space, uid string) error {
	if err := s.deleted(ctx, space, uid); err != nil {
		return err
	}
	return s.cfg.Records.DropRecords(ctx, space, uid)
}

func space(j job.Job) event.Space { return event.Space{Project: j.Project, Environment: j.Environment} }

// giveUp leaves the dataset as it is, and drops what was to be its records, unless they are by now.
func (s *Service) giveUp(ctx context.Context, j job.Job, spec *updateSpec) error {
	s.change.Lock()
	defer s.change.Unlock()
	d, found, err := s.cfg.Store.FindDataset(ctx, j.Project, j.Environment, spec.ID)
	if err != nil || found && d.UID == spec.To {
		return err
	}
	return errors.Join(s.mark(ctx, j, spec, func(c *Change) { c.Busy = "" }), s.cfg.Records.DropRecords(ctx, space(j), spec.To))
}

// mark changes a dataset that is still the job's.
func (s *Service) mark(ctx context.Context, j job.Job, spec *updateSpec, how func(*Change)) error {
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	_, err := s.cfg.Store.ChangeDataset(ctx, j.Project, j.Environment, spec.ID, func(c *Change) (*audit.Entry, error) {
		if c.Busy != j.ID || c.UID != spec.From {
			return nil, nil
		}
		before := c.view()
		how(c)
		c.UpdatedAt, c.UpdatedBy = now, j.KeyID
		entry := audit.Own(now, "", j.Project, "aud_"+s.cfg.NewID(), actionUpdate, "dataset."+j.Environment+"/"+spec.ID, before, c.view())
		return &entry, nil
	})
	return err
}

// again makes a record one of another definition. Its date is its own where the definition has none.
func again(d *Definition, r *Record, how Existing) (Record, []problem.Field) {
	members, err := membersOf(r.Body)
	if err != nil {
		return Record{}, []problem.Field{{Detail: "is not one JSON object"}}
	}
	var cells []cell
	for _, m := range members {
		p, known := d.Schema.Property(m.name)
		if !known && how == Convert {
			continue
		}
		c := cell{name: m.name, json: m.value}
		if known && p.Type != Any {
			if k := m.value.Kind(); k != '{' && k != '[' && k != 'n' && !(k == '"' && p.Type == String) {
				c.json, c.text = nil, plainText(m.value)
			}
		}
		cells = append(cells, c)
	}
	becomes, fields := d.verdict(Item{cells: cells}, r.Updated, r.Date)
	becomes.KeyID = r.KeyID
	return becomes, fields
}
