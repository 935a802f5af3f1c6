package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
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

type writeRecords struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"64" doc:"The name of the dataset." example:"QUOTES"`
	Duplicate bool   `query:"duplicateKeyHandling" doc:"Whether a record takes the place of the one with its index. By default it is passed over."`
	Wait      bool   `query:"wait" doc:"Records can be read when the answer is there, with or without it."`
	Body      jsontext.Value
	items     []dataset.Item
	found     dataset.Dataset
}

func (in *writeRecords) where() (dataset.At, *dataset.Dataset) {
	return dataset.At{Workspace: in.Workspace, ID: in.Dataset}, &in.found
}

type readAll struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"200000" doc:"The name of the dataset, or several with commas between them." example:"QUOTES"`
	Range     string `query:"range" maxLength:"40" doc:"A span that ends now, a number and one of s, min, h, d, w, m, q and y such as 5d; or max, today, yesterday, ytd, this-week, last-month and so on." example:"5d"`
	From      string `query:"from" maxLength:"64" doc:"Records of this date or later ones." example:"2026-01-01"`
	To        string `query:"to" maxLength:"64" doc:"Records of this date or earlier ones; a day counts as a whole."`
	On        string `query:"on" maxLength:"64" doc:"Records of this day."`
	DateField string `query:"dateField" maxLength:"128" doc:"The property of type date that range, from, to and on are about; by default the date of the index."`
	First     int    `query:"first" minimum:"1" maximum:"50000" doc:"So many of each key, from the oldest."`
	Last      int    `query:"last" minimum:"1" maximum:"50000" doc:"So many of each key, from the newest."`
	Limit     int    `query:"limit" minimum:"1" maximum:"50000" doc:"So many of each key at the most. Without a subkey, a time or a number it is one."`
	Offset    int    `query:"offset" minimum:"0" maximum:"1000000000" doc:"So many of each key are passed over."`
	Interval  int    `query:"interval" minimum:"1" maximum:"50000" doc:"Only each n-th of a key."`
	Sort      string `query:"sort" enum:"asc,desc" doc:"By the date; the newest first by default."`
	Filter    string `query:"filter" maxLength:"4096" doc:"Comparisons with and between them." example:"close > 100 and symbol in (AAPL, MSFT)"`
	Format    string `query:"format" enum:"json,csv,text" doc:"JSON by default; text is with tabs between the fields. Of one dataset only, but for JSON."`
	System    bool   `query:"includeSystemRecordProperties" doc:"Whether each record has the members id, key, subkey, date and updated as well, where it has none of that name."`
	found     []dataset.Dataset
}

type readKeys struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"200000" doc:"The name of the dataset, or several with commas between them." example:"QUOTES"`
	Key       string `path:"key" maxLength:"200000" doc:"The key, or several with commas between them." example:"AAPL"`
	Range     string `query:"range" maxLength:"40" doc:"A span that ends now, a number and one of s, min, h, d, w, m, q and y such as 5d; or max, today, yesterday, ytd, this-week, last-month and so on." example:"5d"`
	From      string `query:"from" maxLength:"64" doc:"Records of this date or later ones." example:"2026-01-01"`
	To        string `query:"to" maxLength:"64" doc:"Records of this date or earlier ones; a day counts as a whole."`
	On        string `query:"on" maxLength:"64" doc:"Records of this day."`
	DateField string `query:"dateField" maxLength:"128" doc:"The property of type date that range, from, to and on are about; by default the date of the index."`
	First     int    `query:"first" minimum:"1" maximum:"50000" doc:"So many of each key, from the oldest."`
	Last      int    `query:"last" minimum:"1" maximum:"50000" doc:"So many of each key, from the newest."`
	Limit     int    `query:"limit" minimum:"1" maximum:"50000" doc:"So many of each key at the most. Without a subkey, a time or a number it is one."`
	Offset    int    `query:"offset" minimum:"0" maximum:"1000000000" doc:"So many of each key are passed over."`
	Interval  int    `query:"interval" minimum:"1" maximum:"50000" doc:"Only each n-th of a key."`
	Sort      string `query:"sort" enum:"asc,desc" doc:"By the date; the newest first by default."`
	Filter    string `query:"filter" maxLength:"4096" doc:"Comparisons with and between them." example:"close > 100 and symbol in (AAPL, MSFT)"`
	Format    string `query:"format" enum:"json,csv,text" doc:"JSON by default; text is with tabs between the fields. Of one dataset only, but for JSON."`
	System    bool   `query:"includeSystemRecordProperties" doc:"Whether each record has the members id, key, subkey, date and updated as well, where it has none of that name."`
	found     []dataset.Dataset
}

type readSubkeys struct {
	Workspace string `path:"workspace" maxLength:"64" doc:"The environment; CORE is the key's default." example:"production"`
	Dataset   string `path:"dataset" maxLength:"200000" doc:"The name of the dataset, or several with commas between them." example:"QUOTES"`
	Key       string `path:"key" maxLength:"200000" doc:"The key, or several with commas between them." example:"AAPL"`
	Subkey    string `path:"subkey" maxLength:"200000" doc:"The subkey, or several with commas between them."`
	Range     string `query:"range" maxLength:"40" doc:"A span that ends now, a number and one of s, min, h, d, w, m, q and y such as 5d; or max, today, yesterday, ytd, this-week, last-month and so on." example:"5d"`
	From      string `query:"from" maxLength:"64" doc:"Records of this date or later ones." example:"2026-01-01"`
	To        string `query:"to" maxLength:"64" doc:"Records of this date or earlier ones; a day counts as a whole."`
	On        string `query:"on" maxLength:"64" doc:"Records of this day."`
	DateField string `query:"dateField" maxLength:"128" doc:"The property of type date that range, from, to and on are about; by default the date of the index."`
	First     int    `query:"first" minimum:"1" maximum:"50000" doc:"So many of each key, from the oldest."`
	Last      int    `query:"last" minimum:"1" maximum:"50000" doc:"So many of each key, from the newest."`
	Limit     int    `query:"limit" minimum:"1" maximum:"50000" doc:"So many of each key at the most. Without a subkey, a time or a number it is one."`
	Offset    int    `query:"offset" minimum:"0" maximum:"1000000000" doc:"So many of each key are passed over."`
	Interval  int    `query:"interval" minimum:"1" maximum:"50000" doc:"Only each n-th of a key."`
	Sort      string `query:"sort" enum:"asc,desc" doc:"By the date; the newest first by default."`
	Filter    string `query:"filter" maxLength:"4096" doc:"Comparisons with and between them." example:"close > 100 and symbol in (AAPL, MSFT)"`
	Format    string `query:"format" enum:"json,csv,text" doc:"JSON by default; text is with tabs between the fields. Of one dataset only, but for JSON."`
	System    bool   `query:"includeSystemRecordProperties" doc:"Whether each record has the members id, key, subkey, date and updated as well, where it has none of that name."`
	found     []dataset.Dataset
}

// askingRecords is an input that reads records.
type askingRecords interface {
	asks() (workspace string, ask dataset.Ask, format string, system bool)
	those() *[]dataset.Dataset
}

func (in *readAll) those() *[]dataset.Dataset     { return &in.found }
func (in *readKeys) those() *[]dataset.Dataset    { return &in.found }
func (in *readSubkeys) those() *[]dataset.Dataset { return &in.found }

func (in *readSubkeys) asks() (workspace string, ask dataset.Ask, format string, system bool) {
	return in.Workspace, dataset.Ask{
		Datasets: commas(in.Dataset), Keys: commas(in.Key), Subkey: in.Subkey, Range: in.Range, From: in.From, To: in.To, On: in.On, DateField: in.DateField,
		First: in.First, Last: in.Last, Limit: in.Limit, Offset: in.Offset, Interval: in.Interval, Sort: in.Sort, Filter: in.Filter,
	}, in.Format, in.System
}

func (in *readKeys) asks() (workspace string, ask dataset.Ask, format string, system bool) {
	return (&readSubkeys{
		in.Workspace, in.Dataset, in.Key, "", in.Range, in.From, in.To, in.On, in.DateField, in.First, in.Last, in.Limit, in.Offset, in.Interval,
		in.Sort, in.Filter, in.Format, in.System, nil,
	}).asks()
}

func (in *readAll) asks() (workspace string, ask dataset.Ask, format string, system bool) {
	return (&readSubkeys{
		in.Workspace, in.Dataset, "", "", in.Range, in.From, in.To, in.On, in.DateField, in.First, in.Last, in.Limit, in.Offset, in.Interval,
		in.Sort, in.Filter, in.Format, in.System, nil,
	}).asks()
}

// commas takes a list apart; an empty one has nothing in it. No name is in it twice.
func commas(list string) []string {
	if list == "" {
		return nil
	}
	var all []string
	seen := map[string]bool{}
	for one := range strings.SplitSeq(list, ",") {
		if !seen[one] {
			seen[one] = true
			all = append(all, one)
		}
	}
	return all
}

// allAnswers bounds the memory for records that are being read and sent, in bytes. Each answer is counted as the most that it
// can be, but for those of at most smallAnswer.
const (
	allAnswers  = 4 * dataset.MaxReadBytes
	smallAnswer = 1 << 20
)

type recordsRead struct {
	done   func() // gives the memory back; nil: there is none
	sets   []dataset.Set
	format string
	system bool
	core   int64
	top    int64
}

// Close gives back what an answer holds, whether it was sent or not.
func (r recordsRead) Close() error {
	if r.done != nil {
		r.done()
	}
	return nil
}

// price is what the records come to.
func (r recordsRead) price() int64 { return r.core + r.top }

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

// wantsToRead makes the Wants of an input that reads records: each of the datasets is touched, and one that may not be read
// refuses the whole.
func wantsToRead[I any, P interface {
	*I
	askingRecords
}](in I) access.Attempt {
	workspace, ask, _, _ := P(&in).asks()
	var attempt access.Attempt
	for i, id := range ask.Datasets {
		d := dataset.Dataset{ID: id}
		if found := *P(&in).those(); i < len(found) {
			d.Class = found[i].Class
		}
		attempt.Targets = append(attempt.Targets, recordsOf(workspace, &d, access.ReadRecords))
	}
	return attempt
}

// lookingAll finds the datasets that are named, for the attempt to tell their classes.
func lookingAll[I any, P interface {
	*I
	askingRecords
}](a *API) func(*request) (I, error) {
	read := bound[I](a)
	return func(rq *request) (I, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		workspace, ask, format, _ := P(&in).asks()
		if err := ask.Combinations(); err != nil {
			return in, err
		}
		if len(ask.Datasets) > 1 && format != "" && format != "json" {
			return in, problem.Invalid("query.format", "must be json for several datasets")
		}
		environment, ok := rq.caller.Space(dataset.Workspace(workspace))
		for _, id := range ask.Datasets {
			var d dataset.Dataset
			if ok {
				if d, err = a.cfg.Datasets.Look(rq.ctx(), rq.caller.Project(), environment, id); err != nil {
					return in, err
				}
			}
			*P(&in).those() = append(*P(&in).those(), d)
		}
		return in, nil
	}
}

// holdAnswer takes memory for an answer, until done is called.
func (a *API) holdAnswer(bytes int64) (done func(), err error) {
	if bytes <= smallAnswer {
		return func() {}, nil
	}
	if !a.answers.TryAcquire(bytes) {
		return nil, problem.New(problem.Unavailable, "Too many large answers with records are being sent. Ask for fewer, or again.").After(time.Second)
	}
	return func() { a.answers.Release(bytes) }, nil
}

// mountReading adds a row that reads records.
func mountReading[I any, P interface {
	*I
	askingRecords
}](a *API, path, id, summary, text string) {
	mount(a, endpoint[I, recordsRead]{
		Method: "GET", Path: path, Action: access.ReadDatasets, Read: lookingAll[I, P](a), Wants: wantsToRead[I, P],
		Do: func(ctx context.Context, permit gate.Permit, in I) (recordsRead, error) {
			workspace, ask, format, system := P(&in).asks()
			done, err := a.holdAnswer(ask.Bytes())
			if err != nil {
				return recordsRead{}, err
			}
			sets, err := a.cfg.Datasets.Read(ctx, permit, workspace, ask)
			if err != nil {
				done()
				return recordsRead{}, err
			}
			read := recordsRead{sets: sets, format: format, system: system, done: done}
			for i := range sets {
				core, top := priceOf(sets[i].Dataset.Class, len(sets[i].Records))
				read.core, read.top = read.core+core, read.top+top
			}
			return read, nil
		},
		Reserve: func(I) int64 { return 1 }, Price: recordsRead.price, Write: writeRead,
		Doc: doc{
			ID: id, Tag: datasetsTag, Summary: summary, Text: text, Out: reflect.TypeFor[[]jsonObject](), Types: []string{"text/csv", "text/plain"},
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound, problem.ResultTooLarge},
		},
	})
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
	mountReading[readSubkeys](a, "/v1/data/{workspace}/{dataset}/{key}/{subkey}", "readRecordsOfSubkey", "Read records of subkeys", "All of them, unless a number is asked for. "+text)
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

// writeRead sends records.
func writeRead(rq *request, read recordsRead) error {
	defer drop(read)
	rq.sayUsed(read.core, read.top)
	if read.format == "csv" || read.format == "text" {
		return rq.writeSeparated(read)
	}
	var out bytes.Buffer
	out.WriteByte('[')
	for i := range read.sets {
		for j := range read.sets[i].Records {
			if out.Len() > 1 {
				out.WriteByte(',')
			}
			r := &read.sets[i].Records[j]
			if read.system {
				out.Write(withSystem(&read.sets[i].Dataset, r))
			} else {
				out.Write(r.Body)
			}
		}
	}
	out.WriteByte(']')
	return rq.writeText(http.StatusOK, out.Bytes())
}

// withSystem is a record with what the system knows of it.
func withSystem(d *dataset.Dataset, r *dataset.Record) []byte {
	body := bytes.Clone(bytes.TrimSuffix(r.Body, []byte("}")))
	for _, m := range []struct {
		name  string
		value any
	}{{"id", d.ID}, {"key", r.Key}, {"subkey", r.Subkey}, {"date", r.Date.UnixMilli()}, {"updated", r.Updated.UnixMilli()}} {
		if bytes.Contains(r.Body, []byte(`"`+m.name+`":`)) {
			continue
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			continue // texts and numbers always can be written
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(append(body, `"`+m.name+`":`...), value...)
	}
	return append(body, '}')
}

// writeSeparated sends records of one dataset as lines, with the properties of its schema.
func (rq *request) writeSeparated(read recordsRead) error {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	kind := "text/csv; charset=utf-8"
	if read.format == "text" {
		w.Comma, kind = '\t', "text/plain; charset=utf-8"
	}
	for i := range read.sets {
		names := make([]string, len(read.sets[i].Dataset.Schema.Properties))
		for n, p := range read.sets[i].Dataset.Schema.Properties {
			names[n] = p.Name
		}
		if err := w.Write(names); err != nil {
			return err
		}
		for j := range read.sets[i].Records {
			if err := w.Write(read.sets[i].Records[j].Texts(names)); err != nil {
				return err
			}
		}
	}
	w.Flush()
	rq.reply.Header().Set("Content-Type", kind)
	rq.reply.WriteHeader(http.StatusOK)
	if _, err := rq.reply.Write(out.Bytes()); err != nil {
		rq.line.cause = err // the caller is gone
	}
	return nil
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
