package api

import (
	"context"
	"net/http"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

type repeatJob struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Type      string `path:"type" enum:"ingest,update" doc:"Loading files, which can be done once more, or writing records anew, which cannot."`
	ID        string `path:"id" maxLength:"64" doc:"The name of the job." example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	Wait      bool   `query:"wait" doc:"Whether the answer waits for the job, for a minute at the most."`
	oneOfJobs
}

func (in *repeatJob) named() (workspace, kind, id string, into *oneOfJobs) {
	return in.Workspace, in.Type, in.ID, &in.oneOfJobs
}

// wants is what the job does: to write to the dataset, and if that is its way to delete what it has.
func (in repeatJob) wants() access.Attempt {
	attempt := wantsJob[repeatJob](in)
	if dataset.Overwrites(in.job) {
		deletes := attempt.Targets[0]
		deletes.Right = access.DeleteRecords
		attempt.Targets = append(attempt.Targets, deletes)
	}
	return attempt
}

// mountRepeating adds the row that does a job once more.
func mountRepeating(a *API) {
	mount(a, endpoint[repeatJob, LoadStarted]{
		Method: "POST", Path: "/v1/jobs/{workspace}/{type}/{id}", Action: access.WriteDatasets, Status: http.StatusAccepted,
		Read: lookingForJob[repeatJob](a), Wants: repeatJob.wants, IEX: &shared[LoadStarted]{},
		Reserve: func(in repeatJob) int64 { return in.job.Progress.Total * dataset.Credits(in.class) }, Later: true,
		Do: func(ctx context.Context, permit gate.Permit, in repeatJob) (LoadStarted, error) {
			temp, err := a.cfg.Jobs.Temp()
			if err != nil {
				return LoadStarted{}, err
			}
			j, err := a.cfg.Datasets.Reload(ctx, permit, in.job, a.cfg.Jobs.Folder(in.job), temp, in.class)
			if err != nil {
				return LoadStarted{}, err
			}
			return a.loadStarted(ctx, j, in.Wait, "The file of "+in.ID+" is loaded again"), nil
		},
		Doc: doc{
			ID: "repeatJob", Tag: datasetsTag, Summary: "Load the file of a job once more",
			Text: "Of one that failed or was cancelled, as long as the job is kept: a new job does the same with the same file. What was written already is not written " +
				"twice. It costs what loading the file does.",
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound, problem.Conflict},
		},
	})
}
