package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// Jobs runs what takes longer than a request.
type Jobs interface {
	Submit(ctx context.Context, permit gate.Permit, w job.Wanted) (job.Job, error)
	Find(ctx context.Context, project, id string) (job.Job, bool, error)
	Open(ctx context.Context) ([]job.Job, error) // those that are not over, of all projects
}

// Config is what a Service is made of.
type Config struct {
	Store   Store
	Records Records
	Jobs    Jobs
	Live    *Live
	Room    func(bytes int64) error // refuses with storage_full what would leave the disk too full; nil: nobody does

	// Statements asks statements of SQL. Nil: no dataset can be made of one.
	Statements Statements

	Now   func() time.Time
	NewID func() string // letters and digits that were never given before

	// Forget is told of an environment in which records were deleted or became others, when they have. Nil: nobody is.
	Forget func(project, environment string)

	// Deleted is told when records that were kept under a uid were deleted, and may be told again. With an error, something
	// that was made of them may be left. Nil: nobody is.
	Deleted func(ctx context.Context, space event.Space, uid string) error
}

// Service is the datasets of all projects. It may be used from many goroutines.
type Service struct {
	cfg Config

	// change is held by whoever reads or writes records, and locked by whoever makes a dataset's records others.
	change sync.RWMutex

	// placing is held, inside change, by whoever reads the one record of a key in order to write it.
	placing sync.Mutex

	// moving is held by whoever reads records in order to write them under another uid, and locked while records are undone.
	moving sync.RWMutex
}

// New makes a Service.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// forget tells that records of a dataset are not what they were.
func (s *Service) forget(space event.Space) {
	if s.cfg.Forget != nil {
		s.cfg.Forget(space.Project, space.Environment)
	}
}

// deleted tells that records are gone which were kept under a uid. What replaces a record by another tells forget alone: what
// was taken out of a dataset before is still what it was then.
func (s *Service) deleted(ctx context.Context, space event.Space, uid string) error {
	s.forget(space)
	if s.cfg.Deleted == nil {
		return nil
	}
	return s.cfg.Deleted(context.WithoutCancel(ctx), space, uid)
}

// Core is the name of the workspace that is a key's default environment.
const Core = "CORE"

// Workspace is the environment that a workspace is; empty: the key's default.
func Workspace(name string) string {
	if name == Core {
		return ""
	}
	return name
}

// At is where a dataset is: its workspace and its name.
type At struct {
	Workspace string
	ID        string
}

// Look finds a dataset for whoever must know its class before there is a permit.
func (s *Service) Look(ctx context.Context, project, environment, id string) (Dataset, error) {
	d, found, err := s.cfg.Store.FindDataset(ctx, project, environment, id)
	if err != nil || !found {
		return Dataset{}, err
	}
	return d, nil
}

// LookAll lists the datasets of an environment for whoever must know their classes before there is a permit.
func (s *Service) LookAll(ctx context.Context, project, environment string) ([]Dataset, error) {
	return s.cfg.Store.Datasets(ctx, project, environment)
}

// Visible are those of a list that a permit covers: the list is the one that its attempt named, in order.
func (s *Service) Visible(permit gate.Permit, list []Dataset) []Dataset {
	refused := permit.Refused()
	var seen []Dataset
	for i := range list {
		if slices.ContainsFunc(refused, func(r access.Refusal) bool { return r.Index == i }) || list[i].Project != permit.Project() {
			continue
		}
		seen = append(seen, list[i])
	}
	return seen
}

// Find gives a dataset that a permit reaches.
//
// Problems: not_found.
func (s *Service) Find(ctx context.Context, permit gate.Permit, at At) (Dataset, error) {
	environment, ok := permit.Space(Workspace(at.Workspace))
	if !ok {
		return Dataset{}, noDataset(at.ID)
	}
	d, found, err := s.cfg.Store.FindDataset(ctx, permit.Project(), environment, at.ID)
	switch {
	case err != nil:
		return Dataset{}, fmt.Errorf("dataset: find: %w", err)
	case !found:
		return Dataset{}, noDataset(at.ID)
	}
	return d, nil
}

func noDataset(id string) error {
	if !ValidID(id) {
		return problem.New(problem.NotFound, "There is no dataset of that name.")
	}
	return problem.New(problem.NotFound, "There is no dataset %s.", id)
}

// Counts says how much each of some datasets of one environment has.
func (s *Service) Counts(ctx context.Context, permit gate.Permit, list []Dataset) (map[string]Count, error) {
	if len(list) == 0 {
		return nil, nil
	}
	var uids []string
	for i := range list {
		if list[i].Project != permit.Project() || list[i].Environment != list[0].Environment {
			return nil, errors.New("dataset: datasets of several spaces are counted one space at a time")
		}
		uids = append(uids, list[i].UID)
	}
	return s.cfg.Records.CountRecords(ctx, list[0].Space(), uids)
}

// Wanted is a dataset to be, or what it is to be made. A nil member stays as it is.
type Wanted struct {
	ID          string // of a new one
	Title       *string
	Source      *string
	Description *string
	Email       *string
	SmartLinks  *[]SmartLink
	Class       access.Class // 0: core for a new one, else as it is
	Schema      *Schema
	Index       *Index
	SQL         *string
}

func (w *Wanted) apply(d *Dataset) {
	set(&d.Title, w.Title)
	set(&d.Source, w.Source)
	set(&d.Description, w.Description)
	set(&d.Email, w.Email)
	set(&d.SmartLinks, w.SmartLinks)
	set(&d.Schema, w.Schema)
	set(&d.Index, w.Index)
	set(&d.SQL, w.SQL)
	if w.Class != 0 {
		d.Class = w.Class
	}
}

func set[T any](into *T, from *T) {
	if from != nil {
		*into = *from
	}
}

// The actions in the audit. Their subject is "dataset.", the environment, a slash and the id.
const (
	actionCreate = "dataset.create"
	actionUpdate = "dataset.update"
	actionRename = "dataset.rename"
	actionDelete = "dataset.delete"
)

// Create makes a dataset.
//
// Problems: invalid_field, conflict when there is one of that name.
func (s *Service) Create(ctx context.Context, permit gate.Permit, workspace string, w Wanted) (Dataset, error) {
	var f faults
	if w.ID == "" {
		f.add("datasetId", "is required")
	} else if !ValidID(w.ID) {
		f.add("datasetId", "must match %s, and be neither events nor persons", IDPattern)
	}
	fresh := Dataset{Class: access.Core}
	w.apply(&fresh)
	if w.SQL != nil && ValidID(w.ID) {
		if err := s.checkStatement(ctx, permit, w.ID, &fresh, w.Schema == nil); err != nil {
			return Dataset{}, err
		}
	}
	if w.Schema == nil && w.SQL == nil {
		f.add("schema", "is required")
	} else {
		fresh.check(&f)
	}
	if err := f.problem(); err != nil {
		return Dataset{}, err
	}
	d, err := s.changed(ctx, permit, At{workspace, w.ID}, actionCreate, 0, func(c *Change) error {
		if c.Revision != 0 || c.Taken {
			return taken(w.ID)
		}
		if c.Count >= MaxDatasets {
			return problem.New(problem.Conflict, "The environment has %d datasets, which is as many as it can have.", MaxDatasets)
		}
		project, environment, id := c.Project, c.Environment, c.ID
		c.Dataset = fresh
		c.Project, c.Environment, c.ID, c.UID = project, environment, id, uidPrefix+s.cfg.NewID()
		return nil
	})
	return d, err
}

func taken(id string) error {
	return problem.New(problem.Conflict, "There is a dataset %s already, or one whose name differs in its case only.", id).At("datasetId", "is taken")
}

// changed changes a dataset, with its revision, history and entry in the audit.
func (s *Service) changed(ctx context.Context, permit gate.Permit, at At, action string, revision int64, how func(*Change) error) (Dataset, error) {
	environment, ok := permit.Space(Workspace(at.Workspace))
	if !ok {
		return Dataset{}, noDataset(at.ID)
	}
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	name := at.ID
	d, err := s.cfg.Store.ChangeDataset(ctx, permit.Project(), environment, at.ID, func(c *Change) (*audit.Entry, error) {
		if c.Revision == 0 && action != actionCreate {
			return nil, noDataset(at.ID)
		}
		if revision != 0 && revision != c.Revision {
			return nil, problem.New(problem.PreconditionFailed, "The dataset is at revision %d by now, and not at %d.", c.Revision, revision).
				At("header.If-Match", "is not the present revision")
		}
		before := c.view()
		if err := how(c); err != nil {
			return nil, err
		}
		if before == nil {
			c.CreatedAt, c.CreatedBy = now, actor(permit)
		}
		c.UpdatedAt, c.UpdatedBy = now, actor(permit)
		name = c.ID
		after := c.view()
		if action == actionUpdate && sameView(before, after) {
			return nil, nil // it is no change, and counts as none
		}
		if c.Delete {
			after = nil
		}
		entry := audit.Of(permit, "aud_"+s.cfg.NewID(), action, "dataset."+environment+"/"+at.ID, before, after)
		return &entry, nil
	})
	if errors.Is(err, ErrTaken) {
		return Dataset{}, taken(name)
	}
	return d, err
}

// view is a dataset in the audit; nil when it is not there.
func (c *Change) view() any {
	if c.UID == "" {
		return nil
	}
	return struct {
		ID    string `json:"id"`
		UID   string `json:"uid"`
		Class string `json:"class"`
		Definition
	}{c.ID, c.UID, c.Class.String(), c.Definition}
}

// sameView reports whether a change changes nothing.
func sameView(before, after any) bool {
	one, err := json.Marshal(before, json.Deterministic(true))
	two, wrong := json.Marshal(after, json.Deterministic(true))
	return err == nil && wrong == nil && bytes.Equal(one, two)
}

func actor(permit gate.Permit) string {
	if permit.Key().Kind == access.Operator {
		return access.Operator.String()
	}
	return permit.Key().ID
}

// Rename gives a dataset another name. Its records stay with it.
//
// Problems: invalid_field, not_found, conflict, precondition_failed.
func (s *Service) Rename(ctx context.Context, permit gate.Permit, at At, name string, revision int64) (Dataset, error) {
	if !ValidID(name) {
		return Dataset{}, problem.Invalid("path.newId", "must match %s, and be neither events nor persons", IDPattern)
	}
	return s.changed(ctx, permit, at, actionRename, revision, func(c *Change) error {
		if err := s.idle(ctx, &c.Dataset); err != nil {
			return err
		}
		c.ID = name
		return nil
	})
}

// Delete forgets a dataset with its records.
//
// Problems: not_found, precondition_failed.
func (s *Service) Delete(ctx context.Context, permit gate.Permit, at At, revision int64) error {
	s.change.Lock()
	defer s.change.Unlock()
	d, err := s.Find(ctx, permit, at)
	if err != nil {
		return err
	}
	if revision == 0 || revision == d.Revision {
		if err := s.cfg.Records.DropRecords(ctx, d.Space(), d.UID); err != nil { // first: records without a dataset nobody would find again
			return err
		}
		if err := s.deleted(ctx, d.Space(), d.UID); err != nil {
			return err
		}
	}
	_, err = s.changed(ctx, permit, at, actionDelete, revision, func(c *Change) error {
		c.Delete = true
		return nil
	})
	s.forget(d.Space())
	return err
}

// idle refuses a dataset whose records are being replaced.
func (s *Service) idle(ctx context.Context, d *Dataset) error {
	if d.Busy == "" {
		return nil
	}
	j, found, err := s.cfg.Jobs.Find(ctx, d.Project, d.Busy)
	if err != nil {
		return err
	}
	if !found || j.State.Over() {
		d.Busy = "" // it ended without a word
		return nil
	}
	return problem.New(problem.Unavailable, "The records of %s are being written anew by the job %s; they can be read, and changed when it is over.", d.ID, d.Busy).After(time.Second)
}
