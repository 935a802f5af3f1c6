package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// How a file of the lakehouse's becomes a table's rows, besides "append".
const (
	lakehouseCreate    = "create"
	lakehouseOverwrite = "overwrite"
	lakehouseUpsert    = "upsert"
)

// lakehouseFile is a file to be loaded, and how.
type lakehouseFile struct {
	loadFile

	mode string
	key  string // the property of which each value has one row; empty: every row is kept
}

// makes reports whether there is to be a new dataset.
func (in *lakehouseFile) makes() bool {
	return in.mode == lakehouseCreate || in.mode == lakehouseOverwrite && in.found.ID == ""
}

// wants is what the loading of a file wants, and of what is to be made that too.
func (in lakehouseFile) wants() access.Attempt {
	if in.makes() && in.found.ID == "" {
		in.found.Class = access.Core
	}
	return in.loadFile.wants()
}

// reserve is what the rows cost.
func (in lakehouseFile) reserve() int64 {
	return in.rows * dataset.Credits(cmp.Or(in.found.Class, access.Core))
}

type lakehouseUploadParams struct {
	lakehouseTable

	Mode string `query:"mode" enum:"create,append,overwrite" doc:"create makes a dataset with the columns of the file; append adds rows to one; overwrite puts the file in the place of all rows, and makes the dataset if there is none. Is required."`
	Key  string `query:"primary_key" maxLength:"128" doc:"The column of which each value has one row: the last of the file, in the place of the one there is. A table that is to be upserted is made so. By default every row is kept."`
}

type lakehouseUpsertParams struct {
	lakehouseTable

	Mode string `query:"mode" enum:"create,append,overwrite,upsert" doc:"upsert by default; the others as of POST /upload, which some clients send here."`
	Key  string `query:"primary_key" maxLength:"128" doc:"The column of which each value has one row; is required to upsert, and is the key of the dataset's index, which has nothing else." example:"symbol"`
}

type lakehouseUpload struct {
	lakehouseUploadParams

	Body jsontext.Value
}

type lakehouseUpserting struct {
	lakehouseUpsertParams

	Body jsontext.Value
}

// lakehouseLoaded is the job that loads a file, as it is when that is answered.
type lakehouseLoaded struct{ job job.Job }

// mountLakehouseFiles adds the rows of the lakehouse that take files.
func mountLakehouseFiles(a *API) {
	mountLakehouseFile(a, func(p lakehouseUploadParams) (lakehouseTable, string, string) { return p.lakehouseTable, p.Mode, p.Key }, doc{
		ID: "lakehouseUpload", Summary: "Load a file, as clients of Altertable's lakehouse do", In: reflect.TypeFor[lakehouseUpload](),
		Text: "CSV, JSON or Parquet, as `POST /v1/data/{workspace}/{dataset}` takes it; its first bytes tell which. It is answered when all is loaded, or after a minute. " +
			"Loading stops at the first row that does not fit.",
	}, "/upload")
	mountLakehouseFile(a, func(p lakehouseUpsertParams) (lakehouseTable, string, string) {
		return p.lakehouseTable, cmp.Or(p.Mode, lakehouseUpsert), p.Key
	}, doc{
		ID: "lakehouseUpsert", Summary: "Load a file in the place of rows with its keys, as clients of Altertable's lakehouse do", In: reflect.TypeFor[lakehouseUpserting](),
		Text: "As `/upload`, but a row takes the place of the one that has its key.",
	}, "/upsert")
}

func mountLakehouseFile[P any](a *API, of func(P) (lakehouseTable, string, string), d doc, path string) {
	d.Takes, d.File, d.Out = dataset.ContentTypes(), true, reflect.TypeFor[LakehouseTaken]()
	d.Problems = []problem.Code{
		problem.BodyTooLarge, problem.UnsupportedMediaType, problem.StorageFull, problem.DatasetNotAllowed, problem.NotFound, problem.Conflict,
	}
	params := readLakehouseParams(a, of)
	mount(a, lakehouseRow(endpoint[lakehouseFile, lakehouseLoaded]{
		Method: "POST", Path: path, Action: access.WriteDatasets,
		First: func(rq *request) (access.Attempt, error) {
			in, _ := looking(a, params)(rq) // what is wrong Read will say
			return in.wants(), nil
		},
		Read: looking(a, func(rq *request) (lakehouseFile, error) {
			in, wrong := params(rq)
			if wrong != nil && problem.Of(wrong) != problem.InvalidField {
				return in, wrong
			}
			var err error
			in.kind = rq.r.Header.Get("Content-Type")
			if in.path, err = rq.spool(); err == nil {
				in.rows, err = dataset.CountRows(in.path, in.kind)
			}
			return in, cmp.Or(err, wrong)
		}),
		Wants: lakehouseFile.wants, Do: a.loadLakehouse, Reserve: lakehouseFile.reserve, Later: true, Write: writeLakehouseLoaded, Doc: d,
	}))
}

// readLakehouseParams reads where a file is to go, and how.
func readLakehouseParams[P any](a *API, of func(P) (lakehouseTable, string, string)) func(*request) (lakehouseFile, error) {
	read := bound[P](a)
	return func(rq *request) (in lakehouseFile, err error) {
		p, err := read(rq)
		if err != nil {
			return in, err
		}
		table, mode, key := of(p)
		at, err := table.at(rq)
		in.Workspace, in.Dataset, in.mode, in.key, in.Overwrite = at.Workspace, at.ID, mode, key, mode == lakehouseOverwrite
		switch {
		case err != nil:
			return in, err
		case mode == "":
			return in, problem.Invalid("query.mode", "is required: create, append or overwrite")
		case mode == lakehouseUpsert && key == "":
			return in, problem.Invalid("query.primary_key", "is required")
		}
		return in, nil
	}
}

// loadLakehouse loads a file, into a dataset that is made for it if that is meant, and waits for it. What it came to is charged when
// it is over.
func (a *API) loadLakehouse(ctx context.Context, permit gate.Permit, in lakehouseFile) (lakehouseLoaded, error) {
	at, found := in.where()
	if in.makes() {
		made, err := a.makeForFile(ctx, permit, &in)
		if err != nil {
			return lakehouseLoaded{}, err
		}
		*found = made
	}
	if in.key != "" && in.found.ID != "" && in.found.Index.Key != in.key {
		return lakehouseLoaded{}, problem.New(problem.Conflict, "The key of %s is %q.", in.found.ID, in.found.Index.Key).At("query.primary_key", "is not the key of the dataset")
	}
	j, err := a.cfg.Datasets.Load(ctx, permit, at, dataset.Load{
		Path: in.path, ContentType: in.kind, Rows: in.rows, Single: in.key != "", Overwrite: in.Overwrite, MaxErrors: 1, Class: in.found.Class,
	})
	if err != nil {
		return lakehouseLoaded{}, err
	}
	_ = a.loadStarted(ctx, j, true, "")
	if now, known, err := a.cfg.Jobs.Find(context.WithoutCancel(ctx), permit.Project(), j.ID); err == nil && known {
		j = now
	}
	return lakehouseLoaded{j}, nil // when it is not over, its address tells how it goes
}

// makeForFile makes a dataset with the columns of a file, each of which may be left out but the key.
func (a *API) makeForFile(ctx context.Context, permit gate.Permit, in *lakehouseFile) (dataset.Dataset, error) {
	f, err := os.Open(in.path)
	if err != nil {
		return dataset.Dataset{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	found, err := dataset.Infer(f, in.kind)
	if err != nil {
		return dataset.Dataset{}, err
	}
	key, err := keyOfFile(&found.Schema, in.key)
	if err != nil {
		return dataset.Dataset{}, err
	}
	for i := range found.Schema.Properties {
		p := &found.Schema.Properties[i]
		p.Required, p.Null = p.Name == key, p.Name != key
	}
	return a.cfg.Datasets.Create(ctx, permit, in.Workspace, dataset.Wanted{ID: in.Dataset, Schema: &found.Schema, Index: &dataset.Index{Key: key}})
}

// keyOfFile is the column that becomes the key: the one that is asked for, or the first that every row has a value of.
func keyOfFile(schema *dataset.Schema, wanted string) (string, error) {
	for i := range schema.Properties {
		p := &schema.Properties[i]
		simple := p.Type != dataset.Object && p.Type != dataset.Array && p.Type != dataset.Any
		if p.Required && simple && (wanted == "" || p.Name == wanted) {
			return p.Name, nil
		}
	}
	if wanted != "" {
		return "", problem.Invalid("query.primary_key", "is not a column of the file of which every row has a value")
	}
	return "", problem.New(problem.InvalidRequest, "The file has no column of simple values of which every row has one, to be the key.")
}

// unloaded is what is wrong with a job that is over and has not loaded all of its file; nil: it has.
func (a *API) unloaded(j job.Job) *problem.Error {
	if j.State == job.Succeeded {
		return nil
	}
	said := cmp.Or(j.Detail, "The job ended before all was loaded: it is "+string(j.State)+".")
	if list, err := dataset.Rejected(a.cfg.Jobs.Folder(j), 0, 1); err == nil && len(list) > 0 {
		said = strings.TrimSuffix(said, ".") + fmt.Sprintf(". Line %d: %s.", list[0].Line, faultText(list[0].Fields))
	}
	return problem.New(cmp.Or(j.Code, problem.Conflict), "%s", said)
}

// writeLakehouseLoaded tells of a job: what it has not loaded is a problem.
func writeLakehouseLoaded(rq *request, out lakehouseLoaded) error {
	if out.job.State.Over() {
		if p := rq.a.unloaded(out.job); p != nil {
			return p
		}
	}
	return rq.writeJSON(http.StatusOK, LakehouseTaken{OK: true, TaskID: &out.job.ID})
}
