package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

const datasetsTag = "Datasets"

// Dataset is what a dataset is, and how much it has.
type Dataset struct {
	DatasetID     string         `json:"datasetId" doc:"Its name." example:"QUOTES"`
	Workspace     string         `json:"workspace" doc:"The environment that it is in." example:"production"`
	Title         string         `json:"title"`
	Source        string         `json:"source"`
	Description   string         `json:"description"`
	Email         string         `json:"email" doc:"Whom to ask about it."`
	SmartLinks    []SmartLink    `json:"smartLinkAttributes" doc:"Properties whose values are those of a kind of thing that is known elsewhere too."`
	Parent        *string        `json:"parentDatasetId" doc:"Always null: no dataset is a part of another." nullable:"true"`
	Class         string         `json:"class" enum:"core,premium"`
	Schema        jsontext.Value `json:"schema" doc:"JSON Schema: an object with properties and a list of those that are required."`
	ColumnMapping ColumnMapping  `json:"columnMapping"`
	SQL           string         `json:"sql,omitzero" doc:"The statement whose answer the records are; without it they are written."`
	Records       *int64         `json:"records" doc:"How many records there are; null in a list."`
	Keys          *int64         `json:"keys" doc:"How many different keys they have; null in a list."`
	Job           string         `json:"job,omitzero" doc:"The job that is writing its records anew."`
	Date          int64          `json:"date" doc:"When it was made, in milliseconds since 1970."`
	Updated       int64          `json:"updated" doc:"When it was changed, in milliseconds since 1970."`
	Revision      int64          `json:"revision" doc:"Counts the changes."`
}

// SmartLink says what the values of a property are, as IEX Cloud has it. It is kept and told, and changes nothing.
type SmartLink struct {
	Attribute string `json:"attributeName" minLength:"1" maxLength:"128" doc:"The property." example:"symbol"`
	Type      string `json:"type" minLength:"1" maxLength:"64" doc:"What its values are." example:"symbol"`
}

// ColumnMapping is the unique index.
type ColumnMapping struct {
	Key    string `json:"key" minLength:"1" maxLength:"128" doc:"The property that is the key." example:"symbol"`
	Subkey string `json:"subkey,omitzero" maxLength:"128" doc:"The property that is the subkey; none by default."`
	Date   string `json:"date,omitzero" maxLength:"128" doc:"The property that is the date; by default it is when the record was written." example:"date"`
}

// DatasetList is the datasets of a workspace.
type DatasetList struct {
	Data []Dataset `json:"data" doc:"By their names. Those that the key may not read are left out."`
}

// datasetBody is a dataset to be, or what it is to be made. As IEX has it, all of it may stand in a member 'dataset'.
type datasetBody struct {
	DatasetID     string          `json:"datasetId,omitzero" maxLength:"64" doc:"The name of a new one: letters, digits, _ and -, the first a letter; not one that begins with _system." example:"QUOTES"`
	Title         *string         `json:"title,omitzero" maxLength:"2000"`
	Source        *string         `json:"source,omitzero" maxLength:"2000"`
	Description   *string         `json:"description,omitzero" maxLength:"2000"`
	Email         *string         `json:"email,omitzero" maxLength:"2000"`
	SmartLinks    *[]SmartLink    `json:"smartLinkAttributes,omitzero" maxItems:"50"`
	Class         string          `json:"class,omitzero" enum:"core,premium" doc:"The price class; core by default."`
	Schema        jsontext.Value  `json:"schema,omitzero" doc:"JSON Schema of type object, with properties of the types date, number, integer, string, object, array, boolean and any."`
	ColumnMapping *ColumnMapping  `json:"columnMapping,omitzero"`
	SQL           *string         `json:"sql,omitzero" maxLength:"16384" doc:"A SELECT over events, persons and datasets whose answer the records are; its schema may be left out. Whoever reads the dataset runs it with their own rights, and so needs sql:run as well. A dataset with records of its own cannot get one."`
	Dataset       *datasetMembers `json:"dataset,omitzero" doc:"The same members, one step deeper."`
}

type datasetMembers struct {
	DatasetID     string         `json:"datasetId,omitzero" maxLength:"64" doc:"The name of a new one: letters, digits, _ and -, the first a letter; not one that begins with _system." example:"QUOTES"`
	Title         *string        `json:"title,omitzero" maxLength:"2000"`
	Source        *string        `json:"source,omitzero" maxLength:"2000"`
	Description   *string        `json:"description,omitzero" maxLength:"2000"`
	Email         *string        `json:"email,omitzero" maxLength:"2000"`
	SmartLinks    *[]SmartLink   `json:"smartLinkAttributes,omitzero" maxItems:"50"`
	Class         string         `json:"class,omitzero" enum:"core,premium" doc:"The price class; core by default."`
	Schema        jsontext.Value `json:"schema,omitzero" doc:"JSON Schema of type object, with properties of the types date, number, integer, string, object, array, boolean and any."`
	ColumnMapping *ColumnMapping `json:"columnMapping,omitzero"`
	SQL           *string        `json:"sql,omitzero" maxLength:"16384" doc:"A SELECT over events, persons and datasets whose answer the records are; its schema may be left out. Whoever reads the dataset runs it with their own rights, and so needs sql:run as well. A dataset with records of its own cannot get one."`
}

// wanted reads the members.
func (b *datasetBody) wanted() (dataset.Wanted, error) {
	m := &datasetMembers{b.DatasetID, b.Title, b.Source, b.Description, b.Email, b.SmartLinks, b.Class, b.Schema, b.ColumnMapping, b.SQL}
	if b.Dataset != nil {
		m = b.Dataset
	}
	w := dataset.Wanted{
		ID: m.DatasetID, Title: m.Title, Source: m.Source, Description: m.Description, Email: m.Email, Class: classOf(m.Class), SQL: m.SQL,
	}
	if m.SmartLinks != nil {
		links := make([]dataset.SmartLink, len(*m.SmartLinks))
		for i, link := range *m.SmartLinks {
			links[i] = dataset.SmartLink{Property: link.Attribute, Type: link.Type}
		}
		w.SmartLinks = &links
	}
	if m.ColumnMapping != nil {
		w.Index = &dataset.Index{Key: m.ColumnMapping.Key, Subkey: m.ColumnMapping.Subkey, Date: m.ColumnMapping.Date}
	}
	if len(m.Schema) == 0 {
		return w, nil
	}
	schema, err := dataset.ReadSchema(m.Schema)
	w.Schema = &schema
	return w, err
}

func classOf(name string) access.Class {
	switch name {
	case "core":
		return access.Core
	case "premium":
		return access.Premium
	}
	return 0
}

type listDatasets struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Limit     int    `query:"limit" minimum:"1" maximum:"1000" doc:"How many at the most; by default all."`
	list      []dataset.Dataset
}

// wants is about each dataset there is; where there is none, about the environment.
func (in listDatasets) wants() access.Attempt {
	attempt := access.Attempt{Each: true}
	for i := range in.list {
		attempt.Targets = append(attempt.Targets, recordsOf(in.Workspace, &in.list[i], access.ReadRecords))
	}
	if len(in.list) == 0 {
		attempt.Targets = []access.Target{{Environment: dataset.Workspace(in.Workspace)}}
	}
	return attempt
}

// recordsOf is a dataset as what an attempt touches.
func recordsOf(workspace string, d *dataset.Dataset, right access.Rights) access.Target {
	return access.Target{Environment: dataset.Workspace(workspace), Dataset: d.ID, Class: d.Class, Right: right}
}

type createDataset struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Body      datasetBody
	wanted    dataset.Wanted
}

// wants is to write to a dataset of that name.
func (in createDataset) wants() access.Attempt {
	d := dataset.Dataset{ID: in.wanted.ID, Class: cmp.Or(in.wanted.Class, access.Core)}
	return access.Attempt{Targets: []access.Target{recordsOf(in.Workspace, &d, access.WriteRecords)}}
}

type oneDataset struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	found     dataset.Dataset
}

func (in *oneDataset) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

// touching is the attempt to do something with the records of a dataset. One that is not there has no class.
func touching(at dataset.At, found *dataset.Dataset, right access.Rights) access.Attempt {
	d := dataset.Dataset{ID: at.ID, Class: found.Class}
	return access.Attempt{Targets: []access.Target{recordsOf(at.Workspace, &d, right)}}
}

// wantsTo makes the Wants of an input that names one dataset.
func wantsTo[I any, P interface {
	*I
	where() (dataset.At, *dataset.Dataset)
}](right access.Rights) func(I) access.Attempt {
	return func(in I) access.Attempt {
		at, found := P(&in).where()
		return touching(at, found, right)
	}
}

// looking makes the Read of an input that names one dataset: it finds that, for the attempt to tell its class.
func looking[I any, P interface {
	*I
	where() (dataset.At, *dataset.Dataset)
}](a *API, read func(*request) (I, error)) func(*request) (I, error) {
	return func(rq *request) (I, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		at, found := P(&in).where()
		environment, ok := rq.caller.Space(dataset.Workspace(at.Workspace))
		if !ok {
			return in, nil // which the policy will say
		}
		*found, err = a.cfg.Datasets.Look(rq.ctx(), rq.caller.Project(), environment, at.ID)
		return in, err
	}
}

type doomedDataset struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	IfMatch   string `header:"If-Match" maxLength:"100" doc:"The revision that is meant, as in the ETag."`
	found     dataset.Dataset
	revision  int64
}

func (in *doomedDataset) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

type changeDataset struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	Existing  string `query:"existing" enum:"leave,delete,update,reingest" doc:"What becomes of the records there are: by default they are left as they are."`
	MaxErrors int    `query:"maximumValidationErrors" minimum:"0" maximum:"1000000" doc:"With update and reingest: how many records that do not fit are left out; by default none, and nothing changes if there is one."`
	Body      datasetBody
	IfMatch   string `header:"If-Match" maxLength:"100" doc:"The revision that the change is meant for, as in the ETag."`
	found     dataset.Dataset
	wanted    dataset.Wanted
	revision  int64
}

func (in *changeDataset) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

// wants is to write to the dataset. Another class makes it open to other keys, and so is for those who may use them all.
func (in changeDataset) wants() access.Attempt {
	at, found := in.where()
	attempt := touching(at, found, access.WriteRecords)
	if dataset.Existing(in.Existing) == dataset.DeleteAll {
		attempt.Targets = append(attempt.Targets, touching(at, found, access.DeleteRecords).Targets...)
	}
	if class := in.wanted.Class; class != 0 && class != found.Class {
		attempt.Targets = append(attempt.Targets, access.Target{Environment: dataset.Workspace(in.Workspace), Right: access.WriteRecords})
	}
	return attempt
}

// denied says of a denied change of class what it takes: nothing else in a change is about no one dataset.
func (in changeDataset) denied(err error) error {
	p, is := errors.AsType[*problem.Error](err)
	if !is || p.Code != problem.DatasetNotAllowed || len(p.Fields) != 1 || p.Fields[0].Detail != gate.DatasetMissing {
		return err
	}
	p.Detail = "The class of a dataset is changed by keys without a restriction to datasets: it decides which keys of a class may use it, and what its records cost."
	p.Fields = []problem.Field{{Name: "class", Detail: "may be changed only by a key without a restriction to datasets"}}
	return p
}

type renameDataset struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	NewID     string `path:"newId" maxLength:"64" doc:"The name that it is to have." example:"PRICES"`
	IfMatch   string `header:"If-Match" maxLength:"100" doc:"The revision that the change is meant for, as in the ETag."`
	found     dataset.Dataset
	revision  int64
}

func (in *renameDataset) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

// wants is to write to both names: what a key may do goes by them.
func (in renameDataset) wants() access.Attempt {
	at, found := in.where()
	attempt := touching(at, found, access.WriteRecords)
	attempt.Targets = append(attempt.Targets, touching(dataset.At{Workspace: in.Workspace, ID: in.NewID}, found, access.WriteRecords).Targets...)
	return attempt
}

// inWorkspace is a problem of a request whose address names a workspace: what is wrong with the environment that this is, is wrong
// with the workspace, which is what the sender wrote.
func (rq *request) inWorkspace(err error) error {
	p, is := errors.AsType[*problem.Error](err)
	if !is || rq.nameAt("workspace") == "" {
		return err
	}
	at := slices.IndexFunc(p.Fields, func(f problem.Field) bool { return f.Name == "environment" })
	if at < 0 {
		return err
	}
	named := *p
	named.Fields = slices.Clone(p.Fields)
	named.Fields[at].Name = "workspace"
	return &named
}

const workspaceText = "A workspace is an environment; the workspace `CORE` is the one that the key uses by default. "

// mountDatasets adds the rows about what datasets are.
func mountDatasets(a *API) {
	mount(a, endpoint[listDatasets, DatasetList]{
		Method: "GET", Path: "/v1/datasets/{workspace}", Action: access.ReadDatasets, Read: readListDatasets(a), Wants: listDatasets.wants, Do: a.listDatasets,
		IEX: &shared[DatasetList]{}, Cross: true,
		Doc: doc{
			ID: "listDatasets", Tag: datasetsTag, Summary: "List datasets",
			Text:     workspaceText + "A key that is restricted to some datasets sees those that it may read, and 403 when there are none of them.",
			Problems: []problem.Code{problem.DatasetNotAllowed},
		},
	})
	mount(a, endpoint[createDataset, Dataset]{
		Method: "POST", Path: "/v1/datasets/{workspace}", Action: access.WriteDatasets, Status: http.StatusCreated,
		Read: wanting(bound[createDataset](a), func(in *createDataset) (*datasetBody, *dataset.Wanted) { return &in.Body, &in.wanted }), Wants: createDataset.wants,
		Do: func(ctx context.Context, permit gate.Permit, in createDataset) (Dataset, error) {
			d, err := a.cfg.Datasets.Create(ctx, permit, in.Workspace, in.wanted)
			return a.datasetView(&d, &dataset.Count{}), err
		},
		Write: writeDataset(http.StatusCreated), IEX: &shared[Dataset]{Said: func(d Dataset) IEXDone { return IEXDone{true, "Dataset has been created", d.DatasetID} }},
		Doc: doc{
			Version: true,
			ID:      "createDataset", Tag: datasetsTag, Summary: "Make a dataset",
			Text: workspaceText + "A record is known by its key, subkey and date, which columnMapping names properties for. Names that differ in their case only " +
				"cannot be together in a workspace. With `sql` the records are the answer of a statement over events and datasets.",
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.Conflict, problem.InvalidJSON, problem.BodyTooLarge, problem.UnsupportedMediaType},
			Examples: []example{datasetExample},
		},
	})
	mount(a, endpoint[oneDataset, Dataset]{
		Method: "GET", Path: "/v1/datasets/{workspace}/{dataset}", Action: access.ReadDatasets,
		Read: looking(a, bound[oneDataset](a)), Wants: wantsTo[oneDataset](access.ReadRecords), Do: a.getDataset,
		Write: writeDataset(http.StatusOK), IEX: &shared[Dataset]{Also: []string{"/v1/meta/{workspace}/{dataset}"}}, Cross: true,
		Doc: doc{
			Version: true,
			ID:      "getDataset", Tag: datasetsTag, Summary: "Look at a dataset", Text: "With how many records and keys it has.",
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound},
		},
	})
	for method, id := range map[string]string{"PATCH": "changeDataset", "POST": "updateDataset"} {
		mountChange(a, method, id)
	}
	mount(a, endpoint[renameDataset, Dataset]{
		Method: "PUT", Path: "/v1/datasets/{workspace}/{dataset}/{newId}", Action: access.WriteDatasets,
		Read: versioned(looking(a, bound[renameDataset](a)), func(in *renameDataset) (string, *int64) { return in.IfMatch, &in.revision }), Wants: renameDataset.wants,
		Do: func(ctx context.Context, permit gate.Permit, in renameDataset) (Dataset, error) {
			at, _ := in.where()
			d, err := a.cfg.Datasets.Rename(ctx, permit, at, in.NewID, in.revision)
			return a.datasetView(&d, nil), err
		},
		Write: writeDataset(http.StatusOK), IEX: &shared[Dataset]{},
		Doc: doc{
			Version: true,
			ID:      "renameDataset", Tag: datasetsTag, Summary: "Rename a dataset",
			Text:     "Its records stay with it. A key that is restricted to some datasets needs the right to write to both names.",
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound, problem.Conflict, problem.PreconditionFailed},
		},
	})
	mount(a, endpoint[doomedDataset, nothing]{
		Method: "DELETE", Path: "/v1/datasets/{workspace}/{dataset}", Action: access.DeleteDatasets, Status: http.StatusNoContent,
		Read:  versioned(looking(a, bound[doomedDataset](a)), func(in *doomedDataset) (string, *int64) { return in.IfMatch, &in.revision }),
		Wants: wantsTo[doomedDataset](access.DeleteRecords),
		Do: func(ctx context.Context, permit gate.Permit, in doomedDataset) (nothing, error) {
			at, _ := in.where()
			return nothing{}, a.cfg.Datasets.Delete(ctx, permit, at, in.revision)
		},
		IEX: &shared[nothing]{Said: func(nothing) IEXDone { return IEXDone{Success: true, Message: "Dataset has been deleted"} }},
		Doc: doc{
			ID: "deleteDataset", Tag: datasetsTag, Summary: "Delete a dataset", Text: "With all of its records.",
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound, problem.PreconditionFailed},
		},
	})
}

// sameName refuses a change that means to give another name: that is done at another address, and would be passed over here.
func sameName(read func(*request) (changeDataset, error)) func(*request) (changeDataset, error) {
	return func(rq *request) (changeDataset, error) {
		in, err := read(rq)
		if err == nil && in.wanted.ID != "" && in.wanted.ID != in.Dataset {
			err = problem.Invalid("datasetId", "cannot be changed here: PUT /v1/datasets/{workspace}/{dataset}/{newId} gives a new name")
		}
		return in, err
	}
}

// mountChange adds a row that changes a dataset. IEX does so with POST.
func mountChange(a *API, method, id string) {
	read := sameName(wanting(bound[changeDataset](a), func(in *changeDataset) (*datasetBody, *dataset.Wanted) { return &in.Body, &in.wanted }))
	mount(a, endpoint[changeDataset, Dataset]{
		Method: method, Path: "/v1/datasets/{workspace}/{dataset}", Action: access.WriteDatasets,
		Read: versioned(looking(a, read), func(in *changeDataset) (string, *int64) { return in.IfMatch, &in.revision }), Wants: changeDataset.wants, Denied: changeDataset.denied,
		Do: func(ctx context.Context, permit gate.Permit, in changeDataset) (Dataset, error) {
			at, _ := in.where()
			how := dataset.Existing(cmp.Or(in.Existing, string(dataset.Leave)))
			d, job, err := a.cfg.Datasets.Update(ctx, permit, at, in.wanted, how, int64(in.MaxErrors), in.revision)
			view := a.datasetView(&d, nil)
			if job != nil {
				view.Job = job.ID
			}
			return view, err
		},
		Write: writeDataset(http.StatusOK), IEX: &shared[Dataset]{},
		Doc: doc{
			Version: true,
			ID:      id, Tag: datasetsTag, Summary: "Change a dataset",
			Text: "Members that are left out stay as they are. `existing` says what becomes of the records: `leave` them; `delete` them; `update` makes each what " +
				"the new schema says, without what it does not name; `reingest` makes their index anew as well. The last two are a job, and until it is over " +
				"the dataset is what it was and takes no records.",
			Problems: []problem.Code{
				problem.DatasetNotAllowed, problem.NotFound, problem.InvalidJSON, problem.BodyTooLarge, problem.UnsupportedMediaType, problem.PreconditionFailed,
			},
		},
	})
}

// writeDataset answers with a dataset and its revision.
func writeDataset(status int) func(*request, Dataset) error {
	return func(rq *request, d Dataset) error { return rq.writeVersioned(status, d.Revision, d) }
}

// wanting makes a Read that makes sense of the body as well.
func wanting[I any](read func(*request) (I, error), of func(*I) (*datasetBody, *dataset.Wanted)) func(*request) (I, error) {
	return func(rq *request) (I, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		body, wanted := of(&in)
		*wanted, err = body.wanted()
		return in, err
	}
}

// readListDatasets finds the datasets, for the attempt to name each.
func readListDatasets(a *API) func(*request) (listDatasets, error) {
	read := bound[listDatasets](a)
	return func(rq *request) (listDatasets, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		in.Workspace = cmp.Or(in.Workspace, dataset.Core) // at an address that names none
		if environment, ok := rq.caller.Space(dataset.Workspace(in.Workspace)); ok {
			in.list, err = a.cfg.Datasets.LookAll(rq.ctx(), rq.caller.Project(), environment)
		}
		return in, err
	}
}

func (a *API) listDatasets(_ context.Context, permit gate.Permit, in listDatasets) (DatasetList, error) {
	list := DatasetList{Data: []Dataset{}}
	for _, d := range a.cfg.Datasets.Visible(permit, in.list) {
		if in.Limit > 0 && len(list.Data) == in.Limit {
			break
		}
		list.Data = append(list.Data, a.datasetView(&d, nil))
	}
	return list, nil
}

func (a *API) getDataset(ctx context.Context, permit gate.Permit, in oneDataset) (Dataset, error) {
	at, _ := in.where()
	d, err := a.cfg.Datasets.Find(ctx, permit, at)
	if err != nil {
		return Dataset{}, err
	}
	counts, err := a.cfg.Datasets.Counts(ctx, permit, []dataset.Dataset{d})
	count := counts[d.UID]
	return a.datasetView(&d, &count), err
}

func (a *API) datasetView(d *dataset.Dataset, count *dataset.Count) Dataset {
	view := Dataset{
		DatasetID: d.ID, Workspace: d.Environment, Title: d.Title, Source: d.Source, Description: d.Description, Class: d.Class.String(),
		ColumnMapping: ColumnMapping(d.Index), Job: d.Busy, Date: d.CreatedAt.UnixMilli(), Updated: d.UpdatedAt.UnixMilli(), Revision: d.Revision,
		Schema: schemaView(&d.Schema), SQL: d.SQL, Email: d.Email, SmartLinks: make([]SmartLink, len(d.SmartLinks)),
	}
	for i, link := range d.SmartLinks {
		view.SmartLinks[i] = SmartLink{link.Property, link.Type}
	}
	if count != nil {
		view.Records, view.Keys = &count.Records, &count.Keys
	}
	return view
}

// schemaView is a schema as JSON Schema, with its properties in their order.
func schemaView(s *dataset.Schema) jsontext.Value {
	text, err := s.MarshalJSON()
	if err != nil {
		return jsontext.Value("{}") // it is one that was read, and so can be written
	}
	return text
}

var datasetExample = example{
	Name: "quotes", Status: http.StatusCreated,
	Body:   `{"datasetId":"EXAMPLE","title":"Quotes","schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"date"},"close":{"type":"number"}},"required":["symbol"]},"columnMapping":{"key":"symbol","date":"date"}}`,
	Answer: `{"datasetId":"EXAMPLE","workspace":"production","title":"Quotes","source":"","description":"","email":"","smartLinkAttributes":[],"parentDatasetId":null,"class":"core","schema":{"type":"object","properties":{"symbol":{"type":"string"},"date":{"type":"date"},"close":{"type":"number"}},"required":["symbol"]},"columnMapping":{"key":"symbol","date":"date"},"records":0,"keys":0,"date":1764000000000,"updated":1764000000000,"revision":1}`,
}
