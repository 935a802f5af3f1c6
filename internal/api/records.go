package api

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// The headers that say what a request came to, as clients of IEX read them.
const (
	messagesHeader = "Iexcloud-Messages-Used"
	premiumHeader  = "Iexcloud-Premium-Messages-Used"
)

var recordsSize = size{sent: 5 << 20, unpacked: dataset.MaxBatchBytes}

// RecordReceipt is what became of records that were sent.
type RecordReceipt struct {
	Success  bool             `json:"success" doc:"Whether every record is there now."`
	Message  string           `json:"message" example:"wrote 1 records"`
	Written  int              `json:"written" doc:"Records that are there now as they were sent."`
	Replaced int              `json:"replaced" doc:"Of them, those that took the place of others."`
	Ignored  []int            `json:"ignored,omitempty" doc:"Those that were passed over, by their place in the request from 0: there is one with their index."`
	Rejected []RejectedRecord `json:"rejected,omitempty" doc:"Those that do not fit the dataset."`
}

// RejectedRecord is the verdict on a record that was not taken.
type RejectedRecord struct {
	Index  int             `json:"index" doc:"Its place in the request, from 0."`
	Fields []problem.Field `json:"fields"`
}

// recordChoices are what clients of IEX Cloud say of writing, where there is no other way here.
type recordChoices struct {
	OnDemand string `query:"createDatasetOnDemand" enum:"false" doc:"Only false can be had: a dataset is made before its records are written."`
	Event    string `query:"event" enum:"true" doc:"Only true can be had: who follows the dataset is told of its records."`
	Persist  string `query:"persist" enum:"true" doc:"Only true can be had: records are kept."`
}

type writeRecords struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	Duplicate bool   `query:"duplicateKeyHandling" doc:"Whether a record takes the place of the one with its index. By default it is passed over."`
	Wait      bool   `query:"wait" doc:"Records can be read when the answer is there, with or without it."`
	recordChoices
	Body  jsontext.Value
	items []dataset.Item
	found dataset.Dataset
}

func (in *writeRecords) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

type readAll struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"200000" doc:"The name of the dataset, or several with commas between them." example:"QUOTES"`
	recordParams
}

type readKeys struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"200000" doc:"The name of the dataset, or several with commas between them." example:"QUOTES"`
	Key       string `path:"key" maxLength:"200000" doc:"The key, or several with commas between them." example:"AAPL"`
	recordParams
}

type readSubkeys struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"200000" doc:"The name of the dataset, or several with commas between them." example:"QUOTES"`
	Key       string `path:"key" maxLength:"200000" doc:"The key, or several with commas between them." example:"AAPL"`
	Subkey    string `path:"subkey" maxLength:"200000" doc:"The subkey, or several with commas between them."`
	recordParams
}

// askingRecords is an input that reads records.
type askingRecords interface {
	asks() recordsAsked
	those() *[]dataset.Dataset
}

func (in *readSubkeys) asks() recordsAsked { return in.of(in.Workspace, in.Dataset, in.Key, in.Subkey) }
func (in *readKeys) asks() recordsAsked    { return in.of(in.Workspace, in.Dataset, in.Key, "") }
func (in *readAll) asks() recordsAsked     { return in.of(in.Workspace, in.Dataset, "", "") }

type recordsWritten struct {
	RecordReceipt

	core, top int64
}

// priceOf are the credits of n records of a class, by whether they are premium.
func priceOf(class access.Class, n int) (core, top int64) {
	credits := int64(n) * dataset.Credits(class)
	if class == access.Premium {
		return 0, credits
	}
	return credits, 0
}

// mountRecords adds the rows about the records of datasets.
func mountRecords(a *API) {
	mount(a, endpoint[writeRecords, recordsWritten]{
		Method: "POST", Path: "/v1/record/{workspace}/{dataset}", Action: access.WriteDatasets,
		Read: looking(a, readItems(a)), Wants: wantsTo[writeRecords](access.WriteRecords), Do: a.writeRecords,
		Reserve: func(in writeRecords) int64 { return int64(len(in.items)) * dataset.Credits(in.found.Class) },
		Price:   func(out recordsWritten) int64 { return out.core + out.top },
		Write: func(rq *request, out recordsWritten) error {
			rq.sayUsed(out.core, out.top)
			return rq.writeJSON(http.StatusOK, out.RecordReceipt)
		},
		IEX: &shared[recordsWritten]{},
		Doc: doc{
			ID: "writeRecords", Tag: datasetsTag, Summary: "Write records",
			Text: "A JSON array of records, at most 10,000 of 5 MiB as they are sent and 16 MiB unpacked, or one record. Each has a verdict, and those that are good are durable and can be read " +
				"when the answer is there. Written again, they change nothing: where there is one with the same key, subkey and date, a record is passed over, " +
				"or takes its place with `duplicateKeyHandling=true`. A record costs a credit, and ten of the class premium.",
			Out:      reflect.TypeFor[RecordReceipt](),
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound, problem.InvalidJSON, problem.BodyTooLarge, problem.UnsupportedMediaType, problem.StorageFull},
		},
	})
	mount(a, endpoint[listDatasets, DatasetList]{
		Method: "GET", Path: "/v1/data/{workspace}", Action: access.ReadDatasets, Read: readListDatasets(a), Wants: listDatasets.wants, Do: a.listDatasets,
		IEX: &shared[DatasetList]{Also: []string{"/v1/data", "/v1/meta", "/v1/meta/{workspace}"}}, Cross: true,
		Doc: doc{
			ID: "listData", Tag: datasetsTag, Summary: "List what can be read", Text: "The same as the list of datasets.",
			Problems: []problem.Code{problem.DatasetNotAllowed},
		},
	})
	const text = "The newest record, unless a time or a number is asked for: at most 50,000 records of 64 MiB. A record costs a credit, and ten of the class premium."
	mountReading[readAll](a, "/v1/data/{workspace}/{dataset}", "readRecords", "Read records of a dataset", text)
	mountReading[readKeys](a, "/v1/data/{workspace}/{dataset}/{key}", "readRecordsOfKey", "Read records of keys",
		"The newest record of each key, unless a time or a number is asked for. Of several datasets and keys, at most 2,000 combinations, the records of the "+
			"first dataset come first. "+text)
	mountReading[readSubkeys](a, "/v1/data/{workspace}/{dataset}/{key}/{subkey}", "readRecordsOfSubkey", "Read records of subkeys", "All of them, unless a number is asked for: so many of each combination of a key and a subkey. Of datasets, keys and subkeys at most 2,000 combinations. "+text)
	mountDeleting[deleteKey](a, "/v1/data/{workspace}/{dataset}/{key}", "deleteRecordsOfKey")
	mountDeleting[deleteSubkey](a, "/v1/data/{workspace}/{dataset}/{key}/{subkey}", "deleteRecordsOfSubkey")
	mountDeleting[deleteRecord](a, "/v1/data/{workspace}/{dataset}/{key}/{subkey}/{date}", "deleteRecord")
}

// readItems reads records to be written.
func readItems(a *API) func(*request) (writeRecords, error) {
	type params struct {
		Workspace string `path:"workspace" maxLength:"64"`
		Dataset   string `path:"dataset" maxLength:"64"`
		Duplicate bool   `query:"duplicateKeyHandling"`
		Wait      bool   `query:"wait"`
		recordChoices
	}
	read := bound[params](a)
	return func(rq *request) (writeRecords, error) {
		p, err := read(rq)
		if err != nil {
			return writeRecords{}, err
		}
		in := writeRecords{Workspace: p.Workspace, Dataset: p.Dataset, Duplicate: p.Duplicate, Wait: p.Wait}
		body, err := rq.body(recordsSize, "application/json")
		if err != nil {
			return in, err
		}
		in.items, err = dataset.ReadItems(body)
		rq.line.items = len(in.items)
		return in, err
	}
}

func (a *API) writeRecords(ctx context.Context, permit gate.Permit, in writeRecords) (recordsWritten, error) {
	at, _ := in.where()
	receipt, err := a.cfg.Datasets.Write(ctx, permit, at, in.items, in.Duplicate)
	if err != nil {
		return recordsWritten{}, err
	}
	out := recordsWritten{RecordReceipt: RecordReceipt{
		Success: len(receipt.Rejected) == 0, Message: "wrote " + strconv.Itoa(receipt.Written) + " records",
		Written: receipt.Written, Replaced: receipt.Replaced, Ignored: receipt.Ignored,
	}}
	for _, r := range receipt.Rejected {
		out.Rejected = append(out.Rejected, RejectedRecord(r))
	}
	out.core, out.top = priceOf(receipt.Dataset.Class, receipt.Written)
	return out, nil
}

// Deleted is how many records were deleted.
type Deleted struct {
	Deleted int64 `json:"deleted"`
}

type deleteKey struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	Key       string `path:"key" maxLength:"1500" doc:"The key." example:"AAPL"`
	From      string `query:"from" maxLength:"64" doc:"Records of this date or later ones."`
	To        string `query:"to" maxLength:"64" doc:"Records of this date or earlier ones; a day counts as a whole."`
	found     dataset.Dataset
}

type deleteSubkey struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	Key       string `path:"key" maxLength:"1500" doc:"The key." example:"AAPL"`
	Subkey    string `path:"subkey" maxLength:"1500" doc:"The subkey."`
	From      string `query:"from" maxLength:"64" doc:"Records of this date or later ones."`
	To        string `query:"to" maxLength:"64" doc:"Records of this date or earlier ones; a day counts as a whole."`
	found     dataset.Dataset
}

type deleteRecord struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	Key       string `path:"key" maxLength:"1500" doc:"The key." example:"AAPL"`
	Subkey    string `path:"subkey" maxLength:"1500" doc:"The subkey; - for a dataset without subkeys."`
	Date      string `path:"date" maxLength:"64" doc:"The date; a day counts as a whole." example:"2026-01-31"`
	found     dataset.Dataset
}

// doomed is an input that deletes records.
type doomed interface {
	where() (dataset.At, *dataset.Dataset)
	doomed() dataset.Doomed
}

func (in *deleteKey) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

func (in *deleteSubkey) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

func (in *deleteRecord) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

func (in *deleteKey) doomed() dataset.Doomed {
	return dataset.Doomed{Key: in.Key, From: in.From, To: in.To}
}

func (in *deleteSubkey) doomed() dataset.Doomed {
	return dataset.Doomed{Key: in.Key, Subkey: in.Subkey, From: in.From, To: in.To}
}

func (in *deleteRecord) doomed() dataset.Doomed {
	d := dataset.Doomed{Key: in.Key, Subkey: in.Subkey, Date: in.Date}
	if in.found.Index.Subkey == "" && d.Subkey == "-" {
		d.Subkey = ""
	}
	return d
}

// mountDeleting adds a row that deletes records.
func mountDeleting[I any, P interface {
	*I
	doomed
}](a *API, path, id string) {
	mount(a, endpoint[I, Deleted]{
		Method: "DELETE", Path: path, Action: access.DeleteDatasets, Read: looking[I, P](a, bound[I](a)), Wants: wantsTo[I, P](access.DeleteRecords),
		Do: func(ctx context.Context, permit gate.Permit, in I) (Deleted, error) {
			at, _ := P(&in).where()
			n, err := a.cfg.Datasets.DeleteRecords(ctx, permit, at, P(&in).doomed())
			return Deleted{n}, err
		},
		IEX: &shared[Deleted]{},
		Doc: doc{
			ID: id, Tag: datasetsTag, Summary: "Delete records", Text: "All that are meant, and says how many there were.",
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound},
		},
	})
}

// sayUsed tells what a request came to.
func (rq *request) sayUsed(core, top int64) {
	header := rq.reply.Header()
	header.Set(messagesHeader, strconv.FormatInt(core, 10))
	header.Set(premiumHeader, strconv.FormatInt(top, 10))
}
