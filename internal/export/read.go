package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// Export is an export as it is known. The zero Export is none.
type Export struct {
	Ask

	Job       job.Job
	Class     access.Class // of the dataset, as Find found it; of one that is gone, as it was asked for
	Rows      int64        // of the file; until there is one, those that are written
	Bytes     int64        // of the file
	Digest    string       // SHA-256 of the file, in hexadecimal; empty: there is none yet
	Credits   int64        // that it came to; 0 until it is over
	ExpiresAt time.Time    // of the file; zero: there is none yet
	Gone      Gone         // why there is no file any more
	seen      *access.View
	uid       string // of the dataset
}

// Expired is the status of an export whose file was there for its time.
const Expired = "expired"

// Status is what has become of an export: the state of its job, expired, or why its file is gone.
func (e *Export) Status(now time.Time) string {
	switch {
	case e.Gone.Reason != "" && e.Job.State == job.Succeeded:
		return "deleted"
	case e.Job.State == job.Succeeded && !now.Before(e.ExpiresAt):
		return Expired
	}
	return string(e.Job.State)
}

// Subject is the export as what an attempt is about: it is its key's own.
func (e *Export) Subject() *access.Subject {
	if e.Job.ID == "" {
		return &access.Subject{}
	}
	subject := e.Job.Subject()
	subject.Owner = e.Job.Owner
	return subject
}

// Target is what is taken out, as what an attempt touches.
func (e *Export) Target() access.Target {
	t := access.Target{Environment: e.Job.Environment}
	if e.Of == OfDataset {
		t.Dataset, t.Class, t.Right = e.Dataset, e.Class, access.ReadRecords
	}
	return t
}

// view is an export as its job tells.
func (s *Service) view(j job.Job) (Export, error) {
	e := Export{Job: j, Rows: j.Progress.Done}
	var sp spec
	err := json.Unmarshal(j.Spec, &sp)
	if err == nil {
		e.Ask, e.Class, e.uid = sp.Ask, sp.Class, sp.UID
		e.seen, err = readView(sp.Seen)
	}
	if err != nil {
		return Export{}, fmt.Errorf("export: a job: %w", err)
	}
	of := space{j.Project, j.Environment}
	if e.Gone, err = s.gone(of, j.ID); err != nil {
		return Export{}, err
	}
	if len(sp.Seen) == 0 && e.Gone.Reason == "" { // it was taken away, since it named somebody who was deleted
		e.Gone = Gone{GoneForgotten, j.EndedAt}
	}
	if j.State.Over() {
		e.Credits = credits(j)
	}
	if len(j.Result) == 0 || j.State != job.Succeeded {
		return e, nil
	}
	var r result
	if err := json.Unmarshal(j.Result, &r); err != nil {
		return Export{}, fmt.Errorf("export: what a job came to: %w", err)
	}
	e.Rows, e.Bytes, e.Digest, e.Credits, e.ExpiresAt = r.Rows, r.Bytes, r.Digest, r.Credits, j.EndedAt.Add(s.cfg.Keep)
	return e, nil
}

// Find gives an export of a project for whoever must know what an attempt is about; the zero Export when there is none.
func (s *Service) Find(ctx context.Context, project, id string) (Export, error) {
	j, found, err := s.cfg.Jobs.Find(ctx, project, id)
	if err != nil || !found || j.Kind != Kind {
		return Export{}, err
	}
	e, err := s.view(j)
	if err != nil || e.Of != OfDataset {
		return e, err
	}
	class, there, err := s.cfg.Datasets.Class(ctx, e.walked())
	if err != nil {
		return Export{}, fmt.Errorf("export: the class of a dataset: %w", err)
	}
	if there {
		e.Class = class
	}
	return e, nil
}

// walked are the records that it has.
func (e *Export) walked() dataset.Walked {
	return dataset.Walked{Project: e.Job.Project, Environment: e.Job.Environment, ID: e.Dataset, UID: e.uid}
}

// List lists exports that the permit's holder may know of, the youngest first. next is where the next page begins; the zero
// Place on the last.
//
// Problems: invalid_field.
func (s *Service) List(ctx context.Context, permit gate.Permit, after job.Place, limit int) (list []Export, next job.Place, err error) {
	q := job.Query{Kind: Kind, After: after, Limit: limit}
	if permit.Key().OwnOnly(access.ReadExports) {
		q.Owner = permit.Key().Owner()
	}
	jobs, next, err := s.cfg.Jobs.List(ctx, permit, q)
	if err != nil {
		return nil, next, err
	}
	list = make([]Export, len(jobs))
	for i := range jobs {
		if list[i], err = s.view(jobs[i]); err != nil {
			return nil, next, err
		}
	}
	return list, next, nil
}

// Delete ends an export if it is not over, and deletes its file. It returns when that is done, or ctx is.
func (s *Service) Delete(ctx context.Context, e *Export) error {
	s.cfg.Jobs.Cancel(ctx, e.Job.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(space{e.Job.Project, e.Job.Environment}, e.Job.ID, GoneDeleted)
}

// File is the file of an export, open. It must be closed.
type File struct {
	*os.File

	Name        string // for whoever saves it
	ContentType string
	Tag         string // is another when the bytes are others
	Size        int64
}

// ready is nil when there is a file of an export that the permit's holder may have.
func (s *Service) ready(permit gate.Permit, e *Export) error {
	now := s.cfg.Now()
	switch {
	case !e.Job.State.Over():
		return problem.New(problem.ExportRunning, "The export is %s.", e.Job.State).After(time.Second)
	case e.Job.State != job.Succeeded:
		return problem.New(problem.ExportGone, "The export %s: there is no file.", e.Job.State)
	case e.Gone.Reason == GoneForgotten:
		return problem.New(problem.ExportGone, "The file was deleted, as data of its environment was deleted that may have been in it. Export again.")
	case e.Gone.Reason != "":
		return problem.New(problem.ExportGone, "The file was deleted.")
	case !now.Before(e.ExpiresAt):
		return problem.New(problem.ExportGone, "The file was kept for some time and is no more. Export again.")
	case e.Of != OfDataset && !e.seen.Within(permit.View()):
		return problem.New(problem.ExportGone, "What the key may see has changed since the export. Export again.")
	}
	return nil
}

// Open opens the file of an export for whoever asked for it, as long as they see as much as then.
//
// Problems: export_running, export_gone.
func (s *Service) Open(permit gate.Permit, e *Export) (*File, error) {
	if err := s.ready(permit, e); err != nil {
		return nil, err
	}
	of := space{e.Job.Project, e.Job.Environment}
	path, err := s.path(of, e.Job.ID, wholeFile)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.ExportGone, "The file is no more. Export again.")
	}
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return &File{File: f, Name: e.name(), ContentType: e.contentType(), Tag: `"` + e.Digest[:32] + `"`, Size: e.Bytes}, nil
}

// name is what the file is called where it is saved.
func (e *Export) name() string {
	name := e.Job.About + "-" + strings.TrimPrefix(e.Job.ID, "job_") + "." + string(e.Format)
	switch e.Compression {
	case Gzip:
		return name + ".gz"
	case Zstd:
		return name + ".zst"
	default:
		return name
	}
}

func (e *Export) contentType() string {
	switch e.Compression {
	case Gzip:
		return "application/gzip"
	case Zstd:
		return "application/zstd"
	default:
		return e.Format.ContentType()
	}
}
