package api

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

const exportsTag = "Exports"

// ExportAsk is what is to be taken out.
type ExportAsk struct {
	Environment string         `json:"environment,omitempty" maxLength:"200" doc:"The environment to read; by default the first one the key may use." example:"production"`
	Of          string         `json:"of" enum:"events,persons,dataset" doc:"What to take out." example:"events"`
	Dataset     string         `json:"dataset,omitempty" maxLength:"64" doc:"The name of the dataset, of an export of one."`
	Where       jsontext.Value `json:"where,omitempty" doc:"Of events and persons: an array of conditions, all of which hold, written as those of a view: an object with column, op, and value or values."`
	Filter      string         `json:"filter,omitempty" maxLength:"4096" doc:"Of a dataset: comparisons with 'and' between them, as its reading takes them."`
	Columns     []string       `json:"columns,omitempty" maxItems:"1000" doc:"In this order; by default all that the key may see."`
	Format      string         `json:"format,omitempty" enum:"ndjson,csv,parquet" doc:"How the file is written; ndjson by default."`
	Compression string         `json:"compression,omitempty" enum:"none,gzip,zstd" doc:"How it is packed; not at all by default. A Parquet file is packed inside."`
	Spreadsheet bool           `json:"spreadsheet,omitempty" doc:"For csv: put an apostrophe before text that a spreadsheet would run as a formula."`
	Limit       int64          `json:"limit,omitempty" minimum:"1" maximum:"9007199254740991" doc:"Rows at the most; by default all."`
}

// Export is data that is taken out.
type Export struct {
	ID          string         `json:"id" example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	Status      string         `json:"status" enum:"queued,running,succeeded,failed,cancelled,expired,deleted" doc:"Expired and deleted: it had succeeded, and its file is no more."`
	Of          string         `json:"of" enum:"events,persons,dataset"`
	Dataset     string         `json:"dataset,omitzero"`
	Environment string         `json:"environment" example:"production"`
	Where       jsontext.Value `json:"where,omitzero"`
	Filter      string         `json:"filter,omitzero"`
	Columns     []string       `json:"columns,omitzero" doc:"Of the file, in order."`
	Format      string         `json:"format" enum:"ndjson,csv,parquet"`
	Compression string         `json:"compression" enum:"none,gzip,zstd"`
	Limit       int64          `json:"limit,omitzero"`
	Rows        int64          `json:"rows" doc:"That are in the file, or written by now."`
	Bytes       int64          `json:"bytes" doc:"Of the file."`
	SHA256      string         `json:"sha256,omitzero" doc:"Of the file, in hexadecimal."`
	Credits     int64          `json:"credits" doc:"What it came to."`
	KeyID       string         `json:"key_id" doc:"The key that asked."`
	CreatedAt   time.Time      `json:"created_at"`
	StartedAt   *time.Time     `json:"started_at"`
	EndedAt     *time.Time     `json:"ended_at"`
	ExpiresAt   *time.Time     `json:"expires_at" doc:"Until then the file can be fetched."`
	Code        string         `json:"code,omitzero" doc:"The problem that it failed with." example:"query_timeout"`
	Detail      string         `json:"detail,omitzero"`
	GoneReason  string         `json:"gone_reason,omitzero" enum:"deleted,forgotten" doc:"Why the file went before its time; forgotten: data of the environment was deleted, which may have been in it."`
	GoneAt      *time.Time     `json:"gone_at,omitzero" nullable:"false"`
}

// ExportPage is one page of exports.
type ExportPage struct {
	Data       []Export `json:"data" doc:"The youngest first."`
	NextCursor *string  `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// ExportLink is a link to the file of an export.
type ExportLink struct {
	URL       string    `json:"url" doc:"Whoever has it may fetch the file until then: it is as secret as the file." example:"https://weir.example.com/v1/exports/job_2W3FQ6DZL4XKYB5RA7TS/file?by=key_3fQ9xT0aLmZk&expires=1769864400&signature=…"`
	ExpiresAt time.Time `json:"expires_at"`
}

// part is the type of an answer that is a part of the success.
type part struct{}

type startExport struct {
	Wait  bool `query:"wait" doc:"Whether the answer waits for the export to be over, for a minute at the most."`
	Body  ExportAsk
	found dataset.Dataset
}

func (in startExport) wants() access.Attempt {
	t := access.Target{Environment: in.Body.Environment}
	if in.Body.Of == export.OfDataset {
		t.Dataset, t.Class, t.Right = in.Body.Dataset, in.found.Class, access.ReadRecords
	}
	return access.Attempt{Targets: []access.Target{t}}
}

type listExports struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor string `query:"cursor" maxLength:"200" doc:"Where to go on, from the page before."`
}

type oneExport struct {
	ID    string `path:"id" maxLength:"64" doc:"The name of the export." example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	found export.Export
}

type linkExport struct {
	ID   string `path:"id" maxLength:"64" doc:"The name of the export." example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	Body struct {
		Lifetime int `json:"lifetime,omitempty" minimum:"60" maximum:"86400" doc:"Seconds for which the link is good; by default 3600. It ends with the file at the latest."`
	} `optional:"true"`
	found export.Export
	base  string // the address of the server, as whoever asks knows it
}

type fetchExport struct {
	ID          string `path:"id" maxLength:"64" doc:"The name of the export." example:"job_2W3FQ6DZL4XKYB5RA7TS"`
	By          string `query:"by" maxLength:"64" doc:"Of a link: the key that made it."`
	Expires     int    `query:"expires" doc:"Of a link: until when it is good, in seconds since 1970."`
	Signature   string `query:"signature" maxLength:"64" doc:"Of a link: its signature, in the place of a key."`
	Range       string `header:"Range" maxLength:"100" doc:"The bytes that are wanted, such as bytes=1000-. Several ranges at once are not taken apart: they get the whole file."`
	IfRange     string `header:"If-Range" maxLength:"100" doc:"The ETag of what there is already: if the file is another, all of it is sent."`
	IfNoneMatch string `header:"If-None-Match" maxLength:"1000" doc:"ETags of files that are there already, which are not sent again."`
	found       export.Export
}

// namesExport is an input that names an export.
type namesExport interface {
	named() (id string, into *export.Export)
}

func (in *oneExport) named() (id string, into *export.Export)   { return in.ID, &in.found }
func (in *linkExport) named() (id string, into *export.Export)  { return in.ID, &in.found }
func (in *fetchExport) named() (id string, into *export.Export) { return in.ID, &in.found }

// lookingForExport finds the export that an input names.
func lookingForExport[I any, P interface {
	*I
	namesExport
}](a *API) func(*request) (I, error) {
	read := bound[I](a)
	return func(rq *request) (I, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		id, into := P(&in).named()
		*into, err = a.cfg.Exports.Find(rq.ctx(), rq.caller.project, id)
		return in, err
	}
}

// readLink reads what is asked of a link, and by which address.
func readLink(a *API) func(*request) (linkExport, error) {
	read := lookingForExport[linkExport](a)
	return func(rq *request) (linkExport, error) {
		in, err := read(rq)
		in.base = rq.base()
		return in, err
	}
}

// base is the address of the server, as clients know it, or else the one that this request was sent to.
func (rq *request) base() string {
	switch {
	case rq.a.cfg.PublicURL != "":
		return rq.a.cfg.PublicURL
	case rq.r.TLS != nil || rq.from.Proto == "https":
		return "https://" + rq.r.Host
	}
	return "http://" + rq.r.Host
}

// wantsExport is about an export; one that is not there is the zero subject.
func wantsExport[I any, P interface {
	*I
	namesExport
}](in I) access.Attempt {
	_, found := P(&in).named()
	return access.Attempt{Subject: found.Subject()}
}

// wantsFile is about an export and what is in it.
func wantsFile[I any, P interface {
	*I
	namesExport
}](in I) access.Attempt {
	_, found := P(&in).named()
	return access.Attempt{Subject: found.Subject(), Targets: []access.Target{found.Target()}}
}

// mountExports adds the rows about exports.
func mountExports(a *API) {
	mount(a, endpoint[startExport, Export]{
		Method: "POST", Path: "/v1/exports", Action: access.WriteExports, Status: http.StatusAccepted, Cost: 1, Later: true,
		Read: readExport(a), Wants: startExport.wants, Do: a.startExport, Write: writeExportStarted,
		Doc: doc{
			ID: "startExport", Tag: exportsTag, Summary: "Take data out",
			Text: "Events, persons or the records of a dataset as a file, which a job writes: what the key may see of them, as a query would, without the ceilings of " +
				"queries on rows, bytes and time. The address in `Location` tells how it goes. It ends when the key is revoked or narrowed. It costs what the " +
				"answer of a query of as many rows and bytes costs, and of a dataset what its records cost.",
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound},
			Examples: []example{exportExample},
		},
	})
	mount(a, endpoint[listExports, ExportPage]{
		Method: "GET", Path: "/v1/exports", Action: access.ReadExports, Read: bound[listExports](a), Wants: wantsNothing[listExports], Do: a.listExports,
		Doc: doc{
			ID: "listExports", Tag: exportsTag, Summary: "List exports",
			Text: "Of the last 7 days, the youngest first. A key sees its own; with `audit:read` besides, those of all keys.",
		},
	})
	mount(a, endpoint[oneExport, Export]{
		Method: "GET", Path: "/v1/exports/{id}", Action: access.ReadExports, Read: lookingForExport[oneExport](a), Wants: wantsExport[oneExport],
		Do: func(_ context.Context, _ gate.Permit, in oneExport) (Export, error) {
			return a.exportView(&in.found), nil
		},
		Doc: doc{
			ID: "getExport", Tag: exportsTag, Summary: "Look at an export", Problems: []problem.Code{problem.NotFound},
			Text: "How far it is, and what became of it and of its file. An export goes on after a restart of the server.",
		},
	})
	mount(a, endpoint[oneExport, nothing]{
		Method: "DELETE", Path: "/v1/exports/{id}", Action: access.DeleteExports, Read: lookingForExport[oneExport](a), Wants: wantsExport[oneExport],
		Status: http.StatusNoContent,
		Do: func(ctx context.Context, _ gate.Permit, in oneExport) (nothing, error) {
			return nothing{}, a.cfg.Exports.Delete(ctx, &in.found)
		},
		Doc: doc{
			ID: "deleteExport", Tag: exportsTag, Summary: "Delete an export", Problems: []problem.Code{problem.NotFound},
			Text: "Ends one that is not over, and deletes its file at once. It stays in the list. Those of other keys take `audit:read` and `projects:write`.",
		},
	})
	mountExportFiles(a)
}

// mountExportFiles adds the rows about the files.
func mountExportFiles(a *API) {
	mount(a, endpoint[linkExport, ExportLink]{
		Method: "POST", Path: "/v1/exports/{id}/link", Action: access.LinkExports, Read: readLink(a), Wants: wantsFile[linkExport],
		Do: a.linkExport,
		Doc: doc{
			ID: "linkExport", Tag: exportsTag, Summary: "Make a link to the file of an export",
			Text: "For whoever has no key, such as a browser. It is good for this file and nothing else, from where the key may be used, and ends when the key is " +
				"revoked, narrowed or rotated. Only the key that asked for the export makes one, and no access token.",
			Problems: []problem.Code{problem.NotFound, problem.ExportRunning, problem.ExportGone, problem.DatasetNotAllowed},
		},
	})
	mount(a, endpoint[fetchExport, *download]{
		Method: "GET", Path: "/v1/exports/{id}/file", Action: access.FetchExports, Read: lookingForExport[fetchExport](a), Wants: wantsFile[fetchExport],
		Credential: linkOrKey, Write: writeExportFile, Long: true,
		Do: func(_ context.Context, permit gate.Permit, in fetchExport) (*download, error) {
			return a.fetch(permit, &in.found)
		},
		Doc: doc{
			ID: "fetchExport", Tag: exportsTag, Summary: "Fetch the file of an export", Parts: true, Out: reflect.TypeFor[nothing](),
			Text:     "With the key that asked for it, or by a link. A download that broke off goes on with `Range`, and `If-Range` with the `ETag` that it began with.",
			Types:    []string{"application/x-ndjson", "text/csv", "application/vnd.apache.parquet", "application/gzip", "application/zstd"},
			Statuses: map[int]reflect.Type{http.StatusPartialContent: reflect.TypeFor[part](), http.StatusNotModified: reflect.TypeFor[nothing]()},
			Problems: []problem.Code{
				problem.NotFound, problem.ExportRunning, problem.ExportGone, problem.RangeNotSatisfiable, problem.LinkNotAccepted, problem.DatasetNotAllowed,
			},
		},
	})
}

// readExport reads what is to be taken out, and looks the dataset up.
func readExport(a *API) func(*request) (startExport, error) {
	read := bound[startExport](a)
	return func(rq *request) (startExport, error) {
		in, err := read(rq)
		if err != nil || in.Body.Of != export.OfDataset {
			return in, err
		}
		environment, ok := rq.caller.Space(in.Body.Environment)
		if !ok {
			return in, nil // which the policy will say
		}
		in.found, err = a.cfg.Datasets.Look(rq.ctx(), rq.caller.project, environment, in.Body.Dataset)
		return in, err
	}
}

// startExport begins an export. What it came to is charged before there is a file.
func (a *API) startExport(ctx context.Context, permit gate.Permit, in startExport) (Export, error) {
	attempt, b := in.wants(), &in.Body
	e, err := a.cfg.Exports.Start(ctx, permit, export.Ask{
		Of: b.Of, Dataset: b.Dataset, Where: b.Where, Filter: b.Filter, Columns: b.Columns, Format: query.Format(b.Format),
		Compression: export.Compression(b.Compression), Spreadsheet: b.Spreadsheet, Limit: b.Limit,
	}, &in.found, export.Asker{
		Still: func() error { return a.cfg.Gate.Watch(permit, attempt) },
	})
	if err == nil && in.Wait {
		wait, cancel := context.WithTimeout(ctx, waitForJob)
		defer cancel()
		_ = a.cfg.Jobs.Await(wait, e.Job.ID) // how it goes is seen at its address
		e, err = a.cfg.Exports.Find(ctx, permit.Project(), e.Job.ID)
	}
	if err != nil {
		return Export{}, err
	}
	return a.exportView(&e), nil
}

func writeExportStarted(rq *request, e Export) error {
	rq.reply.Header().Set("Location", "/v1/exports/"+e.ID)
	return rq.writeJSON(http.StatusAccepted, e)
}

func (a *API) listExports(ctx context.Context, permit gate.Permit, in listExports) (ExportPage, error) {
	after, err := placeOf(in.Cursor)
	if err != nil {
		return ExportPage{}, err
	}
	list, next, err := a.cfg.Exports.List(ctx, permit, job.Place(after), orDefault(in.Limit, 50))
	page := ExportPage{Data: make([]Export, len(list)), NextCursor: place(next).cursor()}
	for i := range list {
		page.Data[i] = a.exportView(&list[i])
	}
	return page, err
}

func (a *API) linkExport(_ context.Context, permit gate.Permit, in linkExport) (ExportLink, error) {
	lifetime := cmp.Or(time.Duration(in.Body.Lifetime)*time.Second, time.Hour)
	l, err := a.cfg.Exports.Link(permit, &in.found, lifetime)
	if err != nil {
		return ExportLink{}, err
	}
	values := url.Values{"by": {l.By}, "expires": {strconv.FormatInt(l.Expires.Unix(), 10)}, "signature": {l.Signature.Reveal()}}
	return ExportLink{URL: in.base + "/v1/exports/" + url.PathEscape(in.ID) + "/file?" + values.Encode(), ExpiresAt: l.Expires}, nil
}

func (a *API) exportView(e *export.Export) Export {
	j := &e.Job
	view := Export{
		ID: j.ID, Status: e.Status(a.cfg.Now()), Of: e.Of, Dataset: e.Dataset, Environment: j.Environment, Where: e.Where, Filter: e.Filter, Columns: e.Columns,
		Format: string(e.Format), Compression: string(e.Compression), Limit: e.Limit, Rows: e.Rows, Bytes: e.Bytes, SHA256: e.Digest, Credits: e.Credits,
		KeyID: j.KeyID, CreatedAt: j.CreatedAt, StartedAt: timeOrNull(j.StartedAt), EndedAt: timeOrNull(j.EndedAt), ExpiresAt: timeOrNull(e.ExpiresAt),
		Code: string(j.Code), Detail: j.Detail, GoneReason: e.Gone.Reason, GoneAt: timeOrNull(e.Gone.At),
	}
	return view
}
