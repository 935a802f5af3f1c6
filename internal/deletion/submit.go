package deletion

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// Wish is what somebody wants to be deleted: a person, or events.
type Wish struct {
	Person string // any id of theirs; empty: events
	Of     Of     // which events; Person, Days are empty
}

// spec is what a job must know. The ids of a person are not in it but in a file beside the job, which goes when it is over.
type spec struct {
	Of    Of          `json:"of"`
	Named bool        `json:"named,omitzero"` // it is about a person, whose ids are in the file
	Entry audit.Entry `json:"entry"`          // of the audit, but for its subject
}

// entry is that of the audit; nil: the job was written down before it was in the spec.
func (s *spec) entry(id string) *audit.Entry {
	if s.Entry.ID == "" {
		return nil
	}
	e := s.Entry
	e.Subject, e.Before = id, nil
	return &e
}

// idsFile is that file, in the job's folder.
const idsFile = "ids"

// check refuses what is no wish.
func (w *Wish) check() error {
	switch {
	case w.Person != "" && (w.Of.KeyID != "" || len(w.Of.Events) > 0 || !w.Of.From.IsZero() || !w.Of.Until.IsZero()):
		return problem.Invalid("person", "is deleted whole: it goes without other conditions")
	case len(w.Person) > event.MaxIDBytes || !utf8.ValidString(w.Person) || strings.IndexByte(w.Person, 0) >= 0:
		return problem.Invalid("person", "must be UTF-8 without a NUL character, of at most %d bytes", event.MaxIDBytes)
	case w.Person != "":
		return nil
	case w.Of.KeyID == "" && len(w.Of.Events) == 0 && w.Of.Until.IsZero():
		return problem.Invalid("body", "must name a person, a key, events, or a time before which events were received")
	case len(w.Of.Events) > MaxEvents:
		return problem.Invalid("events", "must be at most %d", MaxEvents)
	case !w.Of.Until.IsZero() && !w.Of.From.Before(w.Of.Until):
		return problem.Invalid("until", "must be later than from")
	}
	return nil
}

func (o *Of) selection() Selection {
	return Selection{KeyID: o.KeyID, Events: o.Events, From: o.From, Until: o.Until}
}

// traces is what other parts are told. What some events are named of is of these alone.
func (o *Of) traces(space event.Space, ids []string) event.Traces {
	t := event.Traces{Space: space, IDs: ids}
	if o.KeyID != "" && len(o.Events) == 0 {
		t.KeyID, t.From, t.Until = o.KeyID, o.From, o.Until
	}
	return t
}

// Found is what a deletion would remove.
type Found struct {
	Counts

	IDs   int       // that the person has
	Parts []Removed // from the other parts of which that is told
}

// Any reports whether there is anything that would be removed, or be changed.
func (f *Found) Any() bool {
	some := f.Events > 0 || f.Changed > 0 || f.Persons > 0 || f.Remade > 0 || f.Records > 0
	for _, p := range f.Parts {
		some = some || p.Count > 0
	}
	return some
}

// Preview counts what a wish would delete, as of now, and deletes nothing. What is not in the warehouse yet is not counted.
//
// Problems: invalid_field, unavailable.
func (s *Service) Preview(ctx context.Context, permit gate.Permit, w Wish) (found Found, err error) {
	space := event.Space{Project: permit.Project(), Environment: permit.Environment()}
	if err := s.check(ctx, space, &w); err != nil {
		return Found{}, err
	}
	return s.count(ctx, space, &w)
}

func (s *Service) count(ctx context.Context, space event.Space, w *Wish) (found Found, err error) {
	selection := w.Of.selection()
	if w.Person != "" {
		if selection.IDs, err = s.cfg.Warehouse.PersonIDs(ctx, space, w.Person); err != nil {
			return Found{}, err
		}
	}
	found = Found{IDs: len(selection.IDs), Parts: []Removed{}}
	if found.Counts, err = s.cfg.Warehouse.CountErasable(ctx, space, selection); err != nil {
		return Found{}, err
	}
	t := w.Of.traces(space, selection.IDs)
	for _, p := range s.cfg.Parts {
		if p.Count == nil {
			continue
		}
		n, err := p.Count(ctx, t)
		if err != nil {
			return Found{}, fmt.Errorf("deletion: count %s: %w", p.Name, err)
		}
		found.Parts = append(found.Parts, Removed{p.Name, n})
	}
	return found, nil
}

// check refuses what is no wish, and the id of a key that there never was: whoever mistypes the id of one that has leaked would else
// be told that all it did is undone. Of a key there may be no record any more, as of one that the configuration no longer has; what
// it sent can be deleted all the same.
func (s *Service) check(ctx context.Context, space event.Space, w *Wish) error {
	if err := w.check(); err != nil || w.Of.KeyID == "" || s.cfg.Known == nil {
		return err
	}
	known, err := s.cfg.Known(ctx, space.Project, w.Of.KeyID)
	if err != nil || known {
		return err
	}
	sent, err := s.count(ctx, space, &Wish{Of: Of{KeyID: w.Of.KeyID}})
	if err == nil && !sent.Any() {
		err = problem.Invalid("key_id", "is of no key that the project has or had")
	}
	return err
}

// Submit begins a deletion in the permit's environment. When it returns without an error, it will be done, also after a crash.
//
// Problems: invalid_field, unavailable.
func (s *Service) Submit(ctx context.Context, permit gate.Permit, w Wish) (Record, error) {
	if err := s.check(ctx, event.Space{Project: permit.Project(), Environment: permit.Environment()}, &w); err != nil {
		return Record{}, err
	}
	of := w.Of
	files := map[string]string{}
	if w.Person != "" {
		of = Of{Person: s.person(permit.Project(), permit.Environment(), w.Person)}
		path, err := s.noteIDs(w.Person)
		if err != nil {
			return Record{}, fmt.Errorf("deletion: the ids: %w", err)
		}
		files[idsFile] = path
	}
	entry := audit.Of(permit, s.cfg.NewAudit(), "deletion.create", "", nil, of)
	text, err := json.Marshal(spec{of, w.Person != "", entry})
	if err != nil {
		return Record{}, err
	}
	j, err := s.cfg.Jobs.Submit(ctx, permit, job.Wanted{Environment: permit.Environment(), Kind: Kind, Spec: text, Files: files})
	if err != nil {
		if path := files[idsFile]; path != "" {
			_ = os.Remove(path) // the first error says what went wrong
		}
		return Record{}, err
	}
	ctx = context.WithoutCancel(ctx) // it will be carried out, whether anybody waits or not
	r := recordOf(&j, of)
	entry.Subject = r.ID
	return r, s.cfg.Control.KeepDeletion(ctx, r, &entry)
}

// noteIDs writes a person's id where the job finds it.
func (s *Service) noteIDs(id string) (path string, err error) {
	dir, err := s.cfg.Jobs.Temp()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "ids-"+s.cfg.NewID())
	if err = writeIDs(path, []string{id}); err != nil {
		return "", errors.Join(err, os.RemoveAll(path), os.RemoveAll(path+".new"))
	}
	return path, nil
}

// writeIDs writes ids durably, so that they are there whole or not at all.
func writeIDs(path string, ids []string) error {
	text, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// recordOf is a deletion as its job says.
func recordOf(j *job.Job, of Of) Record {
	return Record{
		ID: "del_" + strings.TrimPrefix(j.ID, "job_"), Project: j.Project, Environment: j.Environment, Live: j.Live, KeyID: j.KeyID, Of: of, CreatedAt: j.CreatedAt,
	}
}

// Shown is a deletion, and how far it is.
type Shown struct {
	Record

	Status job.State
	Code   problem.Code // what it failed with
	Detail string
	Signed *Signed // nil: it is not done
}

// Subject is the deletion as what an attempt is about.
func (r *Record) Subject() *access.Subject {
	mode := access.Test
	if r.Live {
		mode = access.Live
	}
	return &access.Subject{Project: r.Project, Mode: mode}
}

// Find gives a deletion of the permit's environment.
//
// Problems: not_found.
func (s *Service) Find(ctx context.Context, permit gate.Permit, id string) (Shown, error) {
	r, found, err := s.cfg.Control.FindDeletion(ctx, permit.Project(), id)
	if err == nil && (!found || r.Environment != permit.Environment()) {
		err = problem.New(problem.NotFound, "There is no such deletion.")
	}
	if err != nil {
		return Shown{}, err
	}
	return s.shown(ctx, r)
}

// Await waits until a deletion of the permit's environment is over or ctx is done, and reports whether everything is deleted.
func (s *Service) Await(ctx context.Context, permit gate.Permit, id string) (bool, error) {
	if err := s.cfg.Jobs.Await(ctx, jobOf(id)); err != nil {
		return false, nil //nolint:nilerr // it goes on all the same
	}
	shown, err := s.Find(ctx, permit, id)
	return shown.Status == job.Succeeded, err
}

// jobOf is the job of a deletion.
func jobOf(id string) string { return "job_" + strings.TrimPrefix(id, "del_") }

// List lists the deletions of the permit's environment, the youngest first. next is where the next page begins.
func (s *Service) List(ctx context.Context, permit gate.Permit, before Place, limit int) (list []Shown, next Place, err error) {
	if limit < 1 || limit > MaxPage {
		return nil, Place{}, problem.Invalid("limit", "must be from 1 to %d", MaxPage)
	}
	all, err := s.cfg.Control.Deletions(ctx, Query{permit.Project(), permit.Environment(), before, limit + 1})
	if err != nil {
		return nil, Place{}, err
	}
	if len(all) > limit {
		all = all[:limit]
		next = Place{all[limit-1].CreatedAt, all[limit-1].ID}
	}
	for _, r := range all {
		one, err := s.shown(ctx, r)
		if err != nil {
			return nil, Place{}, err
		}
		list = append(list, one)
	}
	return list, next, nil
}

// shown asks the job how far it is. One that is forgotten without a receipt has failed.
func (s *Service) shown(ctx context.Context, r Record) (Shown, error) {
	shown := Shown{Record: r, Status: job.Succeeded}
	if r.Receipt != nil {
		shown.Signed = new(Signed)
		return shown, json.Unmarshal(r.Receipt, shown.Signed)
	}
	j, found, err := s.cfg.Jobs.Find(ctx, r.Project, jobOf(r.ID))
	if err != nil {
		return shown, err
	}
	if !found {
		shown.Status = job.Failed
		if r.Of.Days > 0 { // the next sweep goes on with it
			shown.Status = job.Running
		}
		return shown, nil
	}
	shown.Status, shown.Code, shown.Detail = j.State, j.Code, j.Detail
	if j.State == job.Succeeded { // between the reading of the record and that of the job
		again, found, err := s.cfg.Control.FindDeletion(ctx, r.Project, r.ID)
		if err == nil && found && again.Receipt != nil {
			return s.shown(ctx, again)
		}
	}
	return shown, nil
}
