package api

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// recordParams is what can be asked of records, at whichever address they are.
type recordParams struct {
	Range        string `query:"range" maxLength:"40" doc:"A span that ends now, a number and one of s, min, h, d, w, m, q and y such as 5d; or max, today, yesterday, ytd, this-week, last-month, next-week and so on." example:"5d"`
	Calendar     bool   `query:"calendar" doc:"Whether the span of range begins now instead, for dates to come."`
	Forward      bool   `query:"forward" doc:"The same as calendar."`
	Future       bool   `query:"future" doc:"The same as calendar."`
	From         string `query:"from" maxLength:"64" doc:"Records of this date or later ones." example:"2026-01-01"`
	To           string `query:"to" maxLength:"64" doc:"Records of this date or earlier ones; a day counts as a whole."`
	On           string `query:"on" maxLength:"64" doc:"Records of this day."`
	DateField    string `query:"dateField" maxLength:"128" doc:"The property of type date that range, from, to and on are about; by default the date of the index."`
	Updated      string `query:"updated" maxLength:"64" doc:"Only records that were written at this time or later."`
	First        int    `query:"first" minimum:"1" maximum:"50000" doc:"So many of each key, or each combination where subkeys are named, from the oldest."`
	Last         int    `query:"last" minimum:"1" maximum:"50000" doc:"So many of each key, or each combination where subkeys are named, from the newest."`
	Next         int    `query:"next" minimum:"1" maximum:"50000" doc:"So many of each key, or each combination where subkeys are named, from now on."`
	Limit        int    `query:"limit" minimum:"1" maximum:"50000" doc:"So many of each key, or each combination where subkeys are named, at the most. Without a subkey, a time or a number it is one."`
	Offset       int    `query:"offset" minimum:"0" maximum:"1000000000" doc:"So many of each key, or each combination where subkeys are named, are passed over."`
	Interval     int    `query:"interval" minimum:"1" maximum:"50000" doc:"Only each n-th of a key."`
	Sort         string `query:"sort" enum:"asc,desc,ASC,DESC" doc:"By the date; the newest first by default."`
	Filter       string `query:"filter" maxLength:"4096" doc:"Comparisons with and between them; or names of properties with commas between them, which are all that is given of each record then." example:"close > 100 and symbol in (AAPL, MSFT)"`
	Subattribute string `query:"subattribute" maxLength:"4096" doc:"Comparisons as IEX Cloud has them: NAME|VALUE for equal, NAME~VALUE for not equal, with commas between them, all of which must hold." example:"venue|X,close~0"`
	Format       string `query:"format" enum:"json,csv,text,psv,parquet" doc:"JSON by default; csv, with tabs (text) or pipes (psv) between the fields, or a Parquet file. Of one dataset only, but for JSON."`
	Schema       bool   `query:"schema" doc:"Whether the schema of each dataset is answered instead of its records, which costs nothing."`
	Separator    string `query:"batchSeparator" maxLength:"8" doc:"What stands between several datasets, keys and subkeys; a comma by default." example:";"`
	System       bool   `query:"includeSystemRecordProperties" doc:"Whether each record has the members id, key, subkey, date and updated as well, where it has none of that name."`
	Cache        bool   `query:"cache" doc:"Passed over: answers are always of what there is."`
	CacheTTL     int    `query:"cacheTTL" minimum:"0" maximum:"1000000000" doc:"Passed over, like cache."`
	found        []dataset.Dataset
}

func (p *recordParams) those() *[]dataset.Dataset { return &p.found }

// recordsAsked is what is asked for, and how it is to be given.
type recordsAsked struct {
	workspace string
	ask       dataset.Ask
	format    string
	system    bool
	schema    bool
}

// of takes the lists of an address apart.
func (p *recordParams) of(workspace, datasets, keys, subkeys string) recordsAsked {
	return recordsAsked{
		workspace: workspace, format: cmp.Or(p.Format, "json"), system: p.System, schema: p.Schema,
		ask: dataset.Ask{
			Datasets: separated(datasets, p.Separator), Keys: separated(keys, p.Separator), Subkey: subkeys, Separator: p.Separator,
			Range: p.Range, Ahead: p.Calendar || p.Forward || p.Future, From: p.From, To: p.To, On: p.On, DateField: p.DateField, Updated: p.Updated,
			First: p.First, Last: p.Last, Next: p.Next, Limit: p.Limit, Offset: p.Offset, Interval: p.Interval, Sort: strings.ToLower(p.Sort),
			Filter: p.Filter, Subattribute: p.Subattribute,
		},
	}
}

// commas takes a list apart; an empty one has nothing in it. No name is in it twice.
func commas(list string) []string { return separated(list, ",") }

// separated does so for a list with something else between its names; empty: a comma.
func separated(list, separator string) []string {
	if list == "" {
		return nil
	}
	var all []string
	seen := map[string]bool{}
	for one := range strings.SplitSeq(list, cmp.Or(separator, ",")) {
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
	schema bool // of the datasets, instead of records
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

// wantsToRead makes the Wants of an input that reads records: each of the datasets is touched, and one that may not be read
// refuses the whole.
func wantsToRead[I any, P interface {
	*I
	askingRecords
}](in I) access.Attempt {
	asked := P(&in).asks()
	var attempt access.Attempt
	for i, id := range asked.ask.Datasets {
		d := dataset.Dataset{ID: id}
		if found := *P(&in).those(); i < len(found) {
			d.Class = found[i].Class
		}
		attempt.Targets = append(attempt.Targets, recordsOf(asked.workspace, &d, access.ReadRecords))
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
		asked := P(&in).asks()
		if err := asked.ask.Combinations(); err != nil {
			return in, err
		}
		if len(asked.ask.Datasets) > 1 && asked.format != "json" {
			return in, problem.Invalid("query.format", "must be json for several datasets")
		}
		environment, ok := rq.caller.Space(dataset.Workspace(asked.workspace))
		if ok {
			*P(&in).those(), err = a.lookThose(rq, environment, asked.ask.Datasets)
		}
		return in, err
	}
}

// lookedAtOnce is how many datasets are looked up one by one; with more of them all of the environment are read at once.
const lookedAtOnce = 8

// lookThose finds datasets; what is not there is the zero one.
func (a *API) lookThose(rq *request, environment string, ids []string) (those []dataset.Dataset, err error) {
	those = make([]dataset.Dataset, len(ids))
	if len(ids) > lookedAtOnce {
		all, err := a.cfg.Datasets.LookAll(rq.ctx(), rq.caller.Project(), environment)
		for i, id := range ids {
			if at := slices.IndexFunc(all, func(d dataset.Dataset) bool { return d.ID == id }); at >= 0 {
				those[i] = all[at]
			}
		}
		return those, err
	}
	for i, id := range ids {
		if those[i], err = a.cfg.Datasets.Look(rq.ctx(), rq.caller.Project(), environment, id); err != nil {
			return nil, err
		}
	}
	return those, nil
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

// parquetType is the content type of a Parquet file.
const parquetType = "application/vnd.apache.parquet"

// mountReading adds a row that reads records.
func mountReading[I any, P interface {
	*I
	askingRecords
}](a *API, path, id, summary, text string) {
	mount(a, endpoint[I, recordsRead]{
		Method: "GET", Path: path, Action: access.ReadDatasets, Read: lookingAll[I, P](a), Wants: wantsToRead[I, P],
		Do: func(ctx context.Context, permit gate.Permit, in I) (recordsRead, error) {
			return a.readRecords(ctx, permit, P(&in).asks())
		},
		Reserve: func(in I) int64 {
			if P(&in).asks().schema {
				return 0
			}
			return 1
		},
		Price: recordsRead.price, Write: writeRead, IEX: &shared[recordsRead]{}, Cross: true,
		Doc: doc{
			ID: id, Tag: datasetsTag, Summary: summary, Text: text, Out: reflect.TypeFor[[]jsonObject](), Types: []string{"text/csv", "text/plain", parquetType},
			Problems: []problem.Code{problem.DatasetNotAllowed, problem.NotFound, problem.ResultTooLarge},
		},
	})
}

func (a *API) readRecords(ctx context.Context, permit gate.Permit, asked recordsAsked) (recordsRead, error) {
	read := recordsRead{format: asked.format, system: asked.system, schema: asked.schema}
	if asked.schema {
		for _, id := range asked.ask.Datasets {
			d, err := a.cfg.Datasets.Find(ctx, permit, dataset.At{Workspace: asked.workspace, ID: id})
			if err != nil {
				return read, err
			}
			read.sets = append(read.sets, dataset.Set{Dataset: d})
		}
		return read, nil
	}
	done, err := a.holdAnswer(asked.ask.Bytes())
	if err != nil {
		return read, err
	}
	sets, err := a.cfg.Datasets.Read(ctx, permit, asked.workspace, asked.ask)
	if err != nil {
		done()
		return read, err
	}
	read.sets, read.done = sets, done
	for i := range sets {
		core, top := priceOf(sets[i].Dataset.Class, len(sets[i].Records))
		read.core, read.top = read.core+core, read.top+top+sets[i].Credits
	}
	return read, nil
}
