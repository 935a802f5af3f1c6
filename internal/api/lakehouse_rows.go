package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"reflect"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// lakehouseTable names a table, which is a dataset.
type lakehouseTable struct {
	Catalog string `query:"catalog" maxLength:"64" doc:"The environment; main, memory and default are the first one the key may use." example:"production"`
	Schema  string `query:"schema" maxLength:"64" doc:"The same: main, or the environment." example:"main"`
	Table   string `query:"table" maxLength:"64" doc:"The name of the dataset; is required." example:"QUOTES"`
}

// lakehouseSpace is the environment that a catalog and a schema name, as compat.LakehouseSpace says.
func (rq *request) lakehouseSpace(before, catalog, schema string) (string, error) {
	return compat.LakehouseSpace(before, catalog, schema, func(name string) bool {
		there, _ := rq.caller.space(name) // also one that the key may not use
		return there == name
	})
}

// at is where the dataset is. Problems: invalid_field.
func (t *lakehouseTable) at(rq *request) (dataset.At, error) {
	space, err := rq.lakehouseSpace("query.", t.Catalog, t.Schema)
	if err == nil && t.Table == "" {
		err = problem.Invalid("query.table", "is required")
	}
	return dataset.At{Workspace: cmp.Or(space, dataset.Core), ID: t.Table}, err
}

// LakehouseTaken is what became of rows.
type LakehouseTaken struct {
	OK           bool             `json:"ok" doc:"Whether every row is there now; of a file with a task_id, whether loading it has begun: the task tells what came of it."`
	ErrorCode    *string          `json:"error_code" nullable:"true" doc:"incompatible-schema when rows do not fit the dataset; null when all do."`
	ErrorMessage *string          `json:"error_message" nullable:"true" doc:"What is wrong with the first of them."`
	TaskID       *string          `json:"task_id" nullable:"true" doc:"The job that loads a file; null of rows, which are there when the answer is."`
	Rejected     []RejectedRecord `json:"rejected,omitempty" doc:"Every row that does not fit."`
}

// LakehouseTask is how a job that loads a file goes.
type LakehouseTask struct {
	TaskID string  `json:"task_id" example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	Status string  `json:"status" enum:"pending,completed"`
	Error  *string `json:"error" nullable:"true" doc:"Why it was completed without having loaded all; null when it has."`
}

type lakehouseAppend struct {
	lakehouseTable

	Sync bool           `query:"sync" doc:"Rows can be read when the answer is there, with or without it."`
	Body jsontext.Value `doc:"A row, or an array of rows."`
}

// lakehouseRows are rows to be added.
type lakehouseRows struct{ writeRecords }

type lakehouseAdded struct {
	LakehouseTaken

	credits int64
}

type lakehouseTask struct {
	ID string `path:"task_id" maxLength:"64" doc:"The job." example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	oneOfJobs
}

func (in *lakehouseTask) named() (workspace, kind, id string, into *oneOfJobs) {
	return in.job.Environment, in.job.Kind, in.ID, &in.oneOfJobs
}

// mountLakehouseRows adds the rows of the lakehouse that take rows, and tell of tasks.
func mountLakehouseRows(a *API) {
	mount(a, lakehouseRow(endpoint[lakehouseRows, lakehouseAdded]{
		Method: "POST", Path: "/append", Action: access.WriteDatasets,
		Read:  looking(a, readLakehouseRows(a)),
		Wants: wantsTo[lakehouseRows](access.WriteRecords), Do: a.addLakehouseRows,
		Reserve: func(in lakehouseRows) int64 { return int64(len(in.items)) * dataset.Credits(in.found.Class) },
		Price:   func(out lakehouseAdded) int64 { return out.credits },
		Write:   func(rq *request, out lakehouseAdded) error { return rq.writeJSON(http.StatusOK, out.LakehouseTaken) },
		Doc: doc{
			ID: "lakehouseAppend", Summary: "Add rows to a dataset, as clients of Altertable's lakehouse do", In: reflect.TypeFor[lakehouseAppend](), Out: reflect.TypeFor[LakehouseTaken](),
			Text: "As `POST /v1/record/{workspace}/{dataset}`: those that fit are durable and can be read when the answer is there, and one with the index of another is passed over.",
			Problems: []problem.Code{
				problem.DatasetNotAllowed, problem.NotFound, problem.InvalidJSON, problem.BodyTooLarge, problem.UnsupportedMediaType, problem.StorageFull,
			},
		},
	}))
	mount(a, lakehouseRow(endpoint[lakehouseTask, LakehouseTask]{
		Method: "GET", Path: "/tasks/{task_id}", Action: access.WriteDatasets, Read: readLakehouseTask(a), Wants: wantsJob[lakehouseTask],
		Do: func(_ context.Context, _ gate.Permit, in lakehouseTask) (LakehouseTask, error) {
			return a.lakehouseTask(&in), nil
		},
		Doc: doc{
			ID: "lakehouseTask", Summary: "Look at a task, as clients of Altertable's lakehouse do", Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound},
			Text: "A task is a job that loads a file; `/v1/jobs` tells more of it.",
		},
	}))
}

func readLakehouseRows(a *API) func(*request) (lakehouseRows, error) {
	type params struct {
		lakehouseTable

		Sync bool `query:"sync"`
	}
	read := bound[params](a)
	return func(rq *request) (in lakehouseRows, err error) {
		p, err := read(rq)
		if err != nil {
			return in, err
		}
		body, err := rq.body(recordsSize, "application/json")
		if err != nil {
			return in, err
		}
		if in.items, err = dataset.ReadItems(body); err != nil {
			return in, err
		}
		rq.line.items = len(in.items)
		at, err := p.at(rq)
		in.Workspace, in.Dataset = at.Workspace, at.ID
		return in, err
	}
}

// addLakehouseRows writes rows. That none of them fits is told as that some do not.
func (a *API) addLakehouseRows(ctx context.Context, permit gate.Permit, in lakehouseRows) (lakehouseAdded, error) {
	written, err := a.writeRecords(ctx, permit, in.writeRecords)
	code := compat.LakehouseBadSchema
	switch {
	case problem.Of(err) == problem.InvalidField:
		return lakehouseAdded{LakehouseTaken: LakehouseTaken{ErrorCode: &code, ErrorMessage: &problem.From(err).Detail}}, nil
	case err != nil:
		return lakehouseAdded{}, err
	}
	out := lakehouseAdded{LakehouseTaken{OK: written.Success, Rejected: written.Rejected}, written.core + written.top}
	if len(written.Rejected) > 0 {
		first := written.Rejected[0]
		said := fmt.Sprintf("%d of %d rows do not fit, and the others are written. The first of those, at place %d: %s.",
			len(written.Rejected), len(in.items), first.Index, faultText(first.Fields))
		out.ErrorCode, out.ErrorMessage = &code, &said
	}
	return out, nil
}

// faultText says what is wrong with a record by its first fault.
func faultText(fields []problem.Field) string {
	if len(fields) == 0 {
		return "it does not fit"
	}
	if fields[0].Name == "" {
		return "it " + fields[0].Detail
	}
	return fields[0].Name + " " + fields[0].Detail
}

// readLakehouseTask finds the job that is a task.
func readLakehouseTask(a *API) func(*request) (lakehouseTask, error) {
	read := bound[lakehouseTask](a)
	return func(rq *request) (lakehouseTask, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		j, found, err := a.cfg.Jobs.Find(rq.ctx(), rq.caller.Project(), in.ID)
		if err != nil || !found || j.Kind != dataset.IngestKind {
			return in, err
		}
		d, err := a.cfg.Datasets.Look(rq.ctx(), rq.caller.Project(), j.Environment, j.About)
		in.oneOfJobs = oneOfJobs{j, d.Class}
		return in, err
	}
}

func (a *API) lakehouseTask(in *lakehouseTask) LakehouseTask {
	out := LakehouseTask{TaskID: in.job.ID, Status: "pending"}
	if in.job.State.Over() {
		out.Status = "completed"
		if p := a.unloaded(in.job); p != nil {
			out.Error = &p.Detail
		}
	}
	return out
}
