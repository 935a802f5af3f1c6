package dataset

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// Overwrites reports whether a job loads a file in the place of all records.
func Overwrites(j job.Job) bool {
	var spec ingestSpec
	return j.Kind == IngestKind && json.Unmarshal(j.Spec, &spec) == nil && spec.To != ""
}

// Reload begins to load the file of a job once more that failed or was cancelled: as that was asked to, by a job of its own. What
// that had written already is passed over, records without a date too, or takes the place of itself. The job's files are in
// folder, and temp is where files are that are to become a job's. Its records are charged as of the class.
//
// Problems: conflict, not_found, unavailable.
func (s *Service) Reload(ctx context.Context, permit gate.Permit, j job.Job, folder, temp string, class access.Class) (job.Job, error) {
	switch {
	case j.Kind != IngestKind:
		return job.Job{}, problem.New(problem.Conflict, "Only the loading of a file can be done once more. Ask for the change of the dataset again.")
	case j.State != job.Failed && j.State != job.Cancelled:
		return job.Job{}, problem.New(problem.Conflict, "The job is %s: only one that failed or was cancelled can be done once more.", j.State)
	}
	var spec ingestSpec
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		return job.Job{}, err
	}
	if spec.ID == "" || spec.UID == "" || spec.ContentType == "" || spec.Date.IsZero() { // a deletion took what named somebody
		return job.Job{}, problem.New(problem.Conflict, "How the file of the job is to be loaded is not known any more. Send it again.")
	}
	path := filepath.Join(temp, s.cfg.NewID())
	if err := os.Link(filepath.Join(folder, dataFile), path); errors.Is(err, os.ErrNotExist) {
		return job.Job{}, problem.New(problem.Conflict, "The file of the job is no more. Send it again.")
	} else if err != nil {
		return job.Job{}, err
	}
	again, err := s.Load(ctx, permit, At{Workspace: j.Environment, ID: j.About}, Load{
		Path: path, ContentType: spec.ContentType, Rows: j.Progress.Total, Replace: spec.Replace, Single: spec.Single, Overwrite: spec.To != "", MaxErrors: spec.MaxErrors, Date: spec.Date,
		Class: class,
	})
	if err != nil {
		if gone := os.Remove(path); !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return again, err
}
