package api

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// fileTime is how long a file may take to come, which is longer than other bodies may.
const fileTime = 10 * time.Minute

var fileSize = size{sent: 32 << 20, unpacked: dataset.MaxFile}

// waitLonger waits for the body for d from now instead of as long as the server waits for others. What it returns ends that.
func (rq *request) waitLonger(d time.Duration) (done func()) {
	reply := http.NewResponseController(&rq.reply)
	_ = reply.SetReadDeadline(time.Time{}) // where there are no deadlines, the server's holds
	timer := time.AfterFunc(d, func() { _ = reply.SetReadDeadline(time.Unix(1, 0)) })
	return func() { timer.Stop() }
}

// spool writes the body to a file, unpacked, within the bounds of a file. It is removed when the request is answered, unless
// somebody has taken it. What is signed is read to memory first, and so may be 32 MiB.
func (rq *request) spool() (path string, err error) {
	if err := rq.checkType(dataset.ContentTypes()); err != nil {
		return "", err
	}
	if err := rq.a.cfg.Datasets.Room(dataset.MaxFile); err != nil {
		return "", err
	}
	dir, err := rq.a.cfg.Jobs.Temp()
	if err != nil {
		return "", err
	}
	var from io.Reader
	if rq.signed != nil || len(rq.r.Header["Content-Digest"]) > 0 {
		text, err := rq.body(fileSize, dataset.ContentTypes()...)
		if err != nil {
			return "", err
		}
		from = bytes.NewReader(text)
	} else {
		defer rq.waitLonger(cmp.Or(rq.a.cfg.FileTime, fileTime))()
		unpacked, done, err := unpacking(rq.r.Body, rq.r.Header.Get("Content-Encoding"))
		if err != nil {
			return "", bodyFault(err)
		}
		defer done()
		from = unpacked
	}
	f, err := os.CreateTemp(dir, "body-")
	if err != nil {
		return "", err
	}
	rq.spooled = f.Name()
	n, err := io.Copy(f, io.LimitReader(from, dataset.MaxFile+1))
	rq.line.received = int(n)
	if err != nil {
		_ = f.Close() // the first error says what went wrong
		return "", bodyFault(err)
	}
	if n > dataset.MaxFile {
		_ = f.Close()
		return "", bodyTooLarge(dataset.MaxFile)
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return "", err
	}
	rq.giveBackBody() // it is on the disk, and a request may wait for a job
	return f.Name(), f.Close()
}

// unpacking undoes a Content-Encoding as the body comes.
func unpacking(from io.Reader, encoding string) (io.Reader, func(), error) {
	switch strings.ToLower(encoding) {
	case "", "identity":
		return from, func() {}, nil
	case "gzip", "x-gzip":
		r, err := gzip.NewReader(from)
		return r, func() {}, err
	case "zstd":
		r, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	}
	return nil, nil, problem.New(problem.UnsupportedMediaType, "The Content-Encoding must be gzip or zstd, or none.").
		At("header.Content-Encoding", "must be gzip or zstd")
}

// unspool removes the file of the body, when nobody has taken it.
func (rq *request) unspool() {
	if rq.spooled != "" {
		_ = os.Remove(rq.spooled) // it may be a job's by now
	}
}

// LoadStarted is a job that loads a file.
type LoadStarted struct {
	Success bool   `json:"success"`
	Message string `json:"message" example:"Data upload of 579B for QUOTES completed, jobId: job_2W3FQ6DZL4XKYB5RA7TS has been created"`
	JobID   string `json:"jobId" example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	JobURL  string `json:"jobUrl" doc:"Where it is seen how it goes." example:"/v1/jobs/production/ingest/job_2W3FQ6DZL4XKYB5RA7TS"`
}

// InferredSchema is a schema that a file fits.
type InferredSchema struct {
	Format  string         `json:"format" enum:"csv,tsv,psv,json,jsonl,parquet" doc:"How the file is written."`
	Schema  jsontext.Value `json:"schema" doc:"JSON Schema: the narrowest type of each property that all its values have."`
	Rows    int64          `json:"rows" doc:"Rows that were looked at, 10,000 at the most."`
	Refused int64          `json:"refused" doc:"Of them, those that could not be read."`
}

type loadFile struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	Duplicate bool   `query:"duplicateKeyHandling" doc:"Whether a record takes the place of the one with its index. By default it is passed over."`
	Overwrite bool   `query:"overwrite" doc:"Whether the file takes the place of all records there are: at once when all of it is loaded, or not at all. Needs the right to delete records."`
	MaxErrors int    `query:"maximumValidationErrors" minimum:"0" maximum:"1000000" doc:"At so many rejected records loading stops; by default it never does."`
	Wait      bool   `query:"wait" doc:"Whether the answer waits for the job, for a minute at the most."`
	Body      jsontext.Value
	path      string
	rows      int64
	found     dataset.Dataset
	kind      string
}

func (in *loadFile) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

// wants is to write to the dataset, and with overwrite to delete what it has.
func (in loadFile) wants() access.Attempt {
	at, found := in.where()
	attempt := touching(at, found, access.WriteRecords)
	if in.Overwrite {
		attempt.Targets = append(attempt.Targets, touching(at, found, access.DeleteRecords).Targets...)
	}
	return attempt
}

type inferSchema struct {
	Body jsontext.Value
	path string
	kind string
}

// mountLoading adds the rows that take files.
func mountLoading(a *API) {
	fileProblems := []problem.Code{problem.BodyTooLarge, problem.UnsupportedMediaType, problem.StorageFull}
	mount(a, endpoint[loadFile, LoadStarted]{
		Method: "POST", Path: "/v1/data/{workspace}/{dataset}", Action: access.WriteDatasets, Status: http.StatusAccepted,
		First: a.firstOfFile, Read: looking(a, readFile(a)), Wants: loadFile.wants, Do: a.loadFile, IEX: &shared[LoadStarted]{},
		Reserve: func(in loadFile) int64 { return in.rows * dataset.Credits(in.found.Class) }, Later: true,
		Doc: doc{
			ID: "loadFile", Tag: datasetsTag, Summary: "Load a file",
			Text: "CSV, or with tabs or pipes between the fields, with a header; a JSON array, or an object in each line; or Parquet with flat columns: 256 MiB at " +
				"the most, gzip or zstd if that is said. It is loaded by a job. A line that is wrong stops nothing that is right, and is listed under the job. " +
				"Credits for all of its records are set aside, and those that are written are charged.",
			Takes:    dataset.ContentTypes(),
			File:     true,
			Problems: append(slices.Clone(fileProblems), problem.DatasetNotAllowed, problem.NotFound),
		},
	})
	mount(a, endpoint[inferSchema, InferredSchema]{
		Method: "POST", Path: "/v1/generate-schema", Action: access.WriteDatasets,
		First: func(*request) (access.Attempt, error) { return access.Attempt{}, nil },
		Read: func(rq *request) (in inferSchema, err error) {
			if err := rq.onlyQuery(); err != nil {
				return in, err
			}
			in.kind = rq.r.Header.Get("Content-Type")
			in.path, err = rq.spool()
			return in, err
		},
		Wants: wantsNothing[inferSchema], IEX: &shared[InferredSchema]{Also: []string{"/v1/generate-schema/{workspace}"}},
		Do: func(_ context.Context, _ gate.Permit, in inferSchema) (InferredSchema, error) {
			f, err := os.Open(in.path)
			if err != nil {
				return InferredSchema{}, err
			}
			defer func() { _ = f.Close() }() // it was only read
			found, err := dataset.Infer(f, in.kind)
			return InferredSchema{string(found.Format), schemaView(&found.Schema), found.Rows, found.Refused}, err
		},
		Doc: doc{
			ID: "generateSchema", Tag: datasetsTag, Summary: "Infer a schema from a file",
			Text: "Looks at the first 10,000 rows of a file of a format that can be loaded. Nothing of it is kept.", Takes: dataset.ContentTypes(), File: true,
			Problems: append(slices.Clone(fileProblems), problem.DatasetNotAllowed),
		},
	})
}

// firstOfFile is what loading a file asks for, as far as it is known before the file is read, which takes disk.
func (a *API) firstOfFile(rq *request) (access.Attempt, error) {
	in := loadFile{Workspace: rq.nameAt("workspace"), Dataset: rq.nameAt("dataset")}
	environment, ok := rq.caller.Space(dataset.Workspace(in.Workspace))
	if !ok || len(in.Dataset) > maxDatasetName {
		return in.wants(), nil // which the policy, or Read, will say
	}
	var err error
	in.found, err = a.cfg.Datasets.Look(rq.ctx(), rq.caller.Project(), environment, in.Dataset)
	return in.wants(), err
}

// maxDatasetName is the longest name of a dataset that is looked for, in bytes.
const maxDatasetName = 64

// readFile reads a file to be loaded, and counts its rows.
func readFile(a *API) func(*request) (loadFile, error) {
	type params struct {
		Workspace string `path:"workspace" maxLength:"64"`
		Dataset   string `path:"dataset" maxLength:"64"`
		Duplicate bool   `query:"duplicateKeyHandling"`
		Overwrite bool   `query:"overwrite"`
		MaxErrors int    `query:"maximumValidationErrors" minimum:"0" maximum:"1000000"`
		Wait      bool   `query:"wait"`
	}
	read := bound[params](a)
	return func(rq *request) (loadFile, error) {
		p, err := read(rq)
		if err != nil {
			return loadFile{}, err
		}
		in := loadFile{
			Workspace: p.Workspace, Dataset: p.Dataset, Duplicate: p.Duplicate, Overwrite: p.Overwrite, MaxErrors: p.MaxErrors, Wait: p.Wait,
			kind: rq.r.Header.Get("Content-Type"),
		}
		if in.path, err = rq.spool(); err == nil {
			in.rows, err = dataset.CountRows(in.path, in.kind)
		}
		return in, err
	}
}

// waitForJob is how long a request waits for a job.
const waitForJob = time.Minute

// loadFile begins to load a file. What it came to is charged when the job is over.
func (a *API) loadFile(ctx context.Context, permit gate.Permit, in loadFile) (LoadStarted, error) {
	at, _ := in.where()
	info, err := os.Stat(in.path)
	if err != nil {
		return LoadStarted{}, err
	}
	j, err := a.cfg.Datasets.Load(ctx, permit, at, dataset.Load{
		Path: in.path, ContentType: in.kind, Rows: in.rows, Replace: in.Duplicate, Overwrite: in.Overwrite, MaxErrors: int64(in.MaxErrors),
		Class: in.found.Class,
	})
	if err != nil {
		return LoadStarted{}, err
	}
	return a.loadStarted(ctx, j, in.Wait, fmt.Sprintf("Data upload of %dB for %s completed", info.Size(), in.Dataset)), nil
}

// loadStarted is the answer about a job that loads, when it is over if that is waited for.
func (a *API) loadStarted(ctx context.Context, j job.Job, wait bool, said string) LoadStarted {
	if wait {
		ctx, cancel := context.WithTimeout(ctx, waitForJob)
		defer cancel()
		_ = a.cfg.Jobs.Await(ctx, j.ID) // how it goes is seen at its address
	}
	return LoadStarted{
		Success: true, JobID: j.ID, JobURL: "/v1/jobs/" + j.Environment + "/" + j.Kind + "/" + j.ID, Message: said + ", jobId: " + j.ID + " has been created",
	}
}
