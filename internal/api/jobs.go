package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// Job is work that outlives the request that asked for it.
type Job struct {
	JobID      string     `json:"jobId" example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	Type       string     `json:"type" doc:"ingest or update." example:"ingest"`
	Workspace  string     `json:"workspace" example:"production"`
	DatasetID  string     `json:"datasetId" example:"QUOTES"`
	Status     string     `json:"status" enum:"queued,running,succeeded,failed,cancelled"`
	Done       int64      `json:"done" doc:"Records that were looked at."`
	Total      int64      `json:"total" doc:"Records there are."`
	Good       int64      `json:"good" doc:"Of those done, the ones that are in the dataset now."`
	Rejected   int64      `json:"rejected" doc:"Of those done, the ones that are not."`
	Result     jsonObject `json:"result,omitzero" doc:"When it is over: how many were written, replaced, ignored and rejected; unsure are those of the written of which it is not known whether they replaced others, since the server stopped while they were written."`
	Code       string     `json:"code,omitzero" doc:"The problem that it failed with." example:"invalid_field"`
	Detail     string     `json:"detail,omitzero"`
	KeyID      string     `json:"key_id" doc:"The key that asked."`
	CreatedAt  time.Time  `json:"created_at"`
	StartedAt  *time.Time `json:"started_at"`
	EndedAt    *time.Time `json:"ended_at"`
	RejectedAt string     `json:"rejectedUrl" doc:"Where the rejected records are listed."`
}

// JobPage is one page of jobs.
type JobPage struct {
	Data       []Job   `json:"data" doc:"The youngest first, unless sort says otherwise."`
	NextCursor *string `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// RejectedPage lists records that a job rejected.
type RejectedPage struct {
	Data []RejectedLine `json:"data" doc:"Of the lowest line first."`
}

// RejectedLine is a record that was rejected.
type RejectedLine struct {
	Line   int64           `json:"line" doc:"Where it begins in the file, from 1; its number where a file has no lines."`
	Fields []problem.Field `json:"fields"`
}

type listJobs struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Type      string `path:"type" enum:"ingest,update" doc:"Loading files, or writing records anew."`
	Limit     int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Last      int    `query:"last" minimum:"1" maximum:"200" doc:"The same as limit."`
	First     int    `query:"first" minimum:"1" maximum:"200" doc:"So many of the oldest instead of the youngest."`
	From      string `query:"from" maxLength:"64" doc:"Jobs that were asked for at this date or later." example:"2026-01-01"`
	To        string `query:"to" maxLength:"64" doc:"Jobs that were asked for at this date or earlier; a day counts as a whole."`
	Sort      string `query:"sort" enum:"asc,desc,ASC,DESC" doc:"How those of the page stand: the youngest first by default."`
	Cursor    string `query:"cursor" maxLength:"200" doc:"Where to go on, from the page before."`
}

type oneJob struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Type      string `path:"type" enum:"ingest,update" doc:"Loading files, or writing records anew."`
	ID        string `path:"id" maxLength:"64" doc:"The name of the job." example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	oneOfJobs
}

// oneOfJobs is a job that was looked up.
type oneOfJobs struct {
	job   job.Job
	class access.Class
}

type rejectedOf struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Type      string `path:"type" enum:"ingest,update" doc:"Loading files, or writing records anew."`
	ID        string `path:"id" maxLength:"64" doc:"The name of the job." example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	Offset    int    `query:"offset" minimum:"0" maximum:"10000" doc:"So many are passed over."`
	Limit     int    `query:"limit" minimum:"1" maximum:"1000" doc:"How many at the most; by default 100."`
	oneOfJobs
}

func (in *oneJob) named() (workspace, kind, id string, into *oneOfJobs) {
	return in.Workspace, in.Type, in.ID, &in.oneOfJobs
}

func (in *rejectedOf) named() (workspace, kind, id string, into *oneOfJobs) {
	return in.Workspace, in.Type, in.ID, &in.oneOfJobs
}

// namesJob is an input that names one job.
type namesJob interface {
	named() (workspace, kind, id string, into *oneOfJobs)
}

// wantsJob is about the job, and about the dataset it works on. One that is not there, or is of another workspace, is the
// zero subject.
func wantsJob[I any, P interface {
	*I
	namesJob
}](in I) access.Attempt {
	workspace, _, _, found := P(&in).named()
	attempt := access.Attempt{Targets: []access.Target{{Environment: dataset.Workspace(workspace), Right: access.WriteRecords}}, Subject: &access.Subject{}}
	if found.job.ID != "" {
		attempt.Subject = found.job.Subject()
		attempt.Targets[0].Dataset, attempt.Targets[0].Class = found.job.About, found.class
	}
	return attempt
}

// lookingForJob finds the job that an input names.
func lookingForJob[I any, P interface {
	*I
	namesJob
}](a *API) func(*request) (I, error) {
	read := bound[I](a)
	return func(rq *request) (I, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		workspace, kind, id, into := P(&in).named()
		environment, ok := rq.caller.Space(dataset.Workspace(workspace))
		if !ok {
			return in, nil // which the policy will say
		}
		j, found, err := a.cfg.Jobs.Find(rq.ctx(), rq.caller.Project(), id)
		if err != nil || !found || j.Kind != kind || j.Environment != environment {
			return in, err
		}
		d, err := a.cfg.Datasets.Look(rq.ctx(), rq.caller.Project(), environment, j.About)
		*into = oneOfJobs{j, d.Class}
		return in, err
	}
}

// mountJobs adds the rows about jobs, and about exports, which are jobs.
func mountJobs(a *API) {
	mountExports(a)
	mountRepeating(a)
	mount(a, endpoint[listJobs, JobPage]{
		Method: "GET", Path: "/v1/jobs/{workspace}/{type}", Action: access.WriteDatasets,
		Read: bound[listJobs](a),
		Wants: func(in listJobs) access.Attempt {
			return access.Attempt{Targets: []access.Target{{Environment: dataset.Workspace(in.Workspace), Right: access.WriteRecords}}}
		},
		Do: a.listJobs, IEX: &shared[JobPage]{},
		Doc: doc{
			ID: "listJobs", Tag: datasetsTag, Summary: "List jobs", Problems: []problem.Code{problem.DatasetNotAllowed},
			Text: "Those that load files, or write records anew, of the last 7 days. A key that is restricted to some datasets sees single jobs only.",
		},
	})
	mount(a, endpoint[oneJob, Job]{
		Method: "GET", Path: "/v1/jobs/{workspace}/{type}/{id}", Action: access.WriteDatasets, Read: lookingForJob[oneJob](a), Wants: wantsJob[oneJob],
		Do:  func(_ context.Context, _ gate.Permit, in oneJob) (Job, error) { return jobView(&in.job), nil },
		IEX: &shared[Job]{},
		Doc: doc{
			ID: "getJob", Tag: datasetsTag, Summary: "Look at a job", Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound},
			Text: "How far it is, and what became of it. A job goes on after a restart of the server, and ends when its key is revoked.",
		},
	})
	mount(a, endpoint[oneJob, nothing]{
		Method: "DELETE", Path: "/v1/jobs/{workspace}/{type}/{id}", Action: access.WriteDatasets, Status: http.StatusNoContent,
		Read: lookingForJob[oneJob](a), Wants: wantsJob[oneJob],
		Do: func(ctx context.Context, _ gate.Permit, in oneJob) (nothing, error) {
			a.cfg.Jobs.Cancel(ctx, in.job.ID)
			return nothing{}, nil
		},
		IEX: &shared[nothing]{Said: func(nothing) IEXDone { return IEXDone{Success: true, Message: "Job has been cancelled"} }},
		Doc: doc{
			ID: "cancelJob", Tag: datasetsTag, Summary: "Cancel a job", Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound},
			Text: "What it has written stays when it loads a file; when it writes records anew, the dataset stays as it was.",
		},
	})
	mount(a, endpoint[rejectedOf, RejectedPage]{
		Method: "GET", Path: "/v1/jobs/{workspace}/{type}/{id}/rejected", Action: access.WriteDatasets, Read: lookingForJob[rejectedOf](a), Wants: wantsJob[rejectedOf],
		Do: func(_ context.Context, _ gate.Permit, in rejectedOf) (RejectedPage, error) {
			list, err := dataset.Rejected(a.cfg.Jobs.Folder(in.job), in.Offset, orDefault(in.Limit, 100))
			page := RejectedPage{Data: make([]RejectedLine, len(list))}
			for i := range list {
				page.Data[i] = RejectedLine(list[i])
			}
			return page, err
		},
		IEX: &shared[RejectedPage]{},
		Doc: doc{
			ID: "listRejected", Tag: datasetsTag, Summary: "List the records that a job rejected", Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound},
			Text: "With the line and what is wrong with each field; the first 10,000 are kept, with the job.",
		},
	})
}

func (a *API) listJobs(ctx context.Context, permit gate.Permit, in listJobs) (JobPage, error) {
	q, err := in.query(permit.Environment())
	if err != nil {
		return JobPage{}, err
	}
	list, next, err := a.cfg.Jobs.List(ctx, permit, q)
	if q.Oldest != strings.EqualFold(in.Sort, "asc") { // they are not to stand as they were counted
		slices.Reverse(list)
	}
	page := JobPage{Data: make([]Job, len(list)), NextCursor: place(next).cursor()}
	for i := range list {
		page.Data[i] = jobView(&list[i])
	}
	return page, err
}

// query is what is asked for.
func (in *listJobs) query(environment string) (q job.Query, err error) {
	q = job.Query{Environment: environment, Kind: in.Type, Oldest: in.First > 0, Limit: orDefault(cmp.Or(in.First, in.Limit, in.Last), 50)}
	if in.First > 0 && (in.Last > 0 || in.Limit > 0) {
		return q, problem.Invalid("query.first", "must not be together with last or limit")
	}
	for _, c := range []struct {
		name, text string
		into       *time.Time
	}{{"from", in.From, &q.From}, {"to", in.To, &q.Until}} {
		if c.text == "" {
			continue
		}
		t, whole, ok := dataset.ParseTime(c.text)
		switch {
		case !ok:
			return q, problem.Invalid("query."+c.name, "must be a date or a time, or a number of seconds or milliseconds since 1970")
		case c.name == "to" && whole:
			t = t.AddDate(0, 0, 1)
		case c.name == "to":
			t = t.Add(time.Microsecond)
		}
		*c.into = t
	}
	after, err := placeOf(in.Cursor)
	q.After = job.Place(after)
	return q, err
}

func jobView(j *job.Job) Job {
	view := Job{
		JobID: j.ID, Type: j.Kind, Workspace: j.Environment, DatasetID: j.About, Status: string(j.State), Done: j.Progress.Done, Total: j.Progress.Total,
		Good: j.Progress.Good, Rejected: j.Progress.Refused, Code: string(j.Code), Detail: j.Detail, KeyID: j.KeyID,
		CreatedAt: j.CreatedAt, StartedAt: timeOrNull(j.StartedAt), EndedAt: timeOrNull(j.EndedAt),
		RejectedAt: "/v1/jobs/" + j.Environment + "/" + j.Kind + "/" + j.ID + "/rejected",
	}
	if len(j.Result) > 0 {
		_ = json.Unmarshal(j.Result, &view.Result) // it was written by us
	}
	return view
}
