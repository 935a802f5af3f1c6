package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/metric"
	"github.com/weir-analytics/weir/internal/query/saved"
)

// Metric is a saved metric as lists show it.
type Metric struct {
	ID          string    `json:"id" doc:"Its name in addresses." example:"daily-orders"`
	Description string    `json:"description"`
	Owner       string    `json:"owner" doc:"Who answers for it." example:"ana@example.com"`
	Published   int64     `json:"published" doc:"The version that is run; 0: none."`
	Latest      int64     `json:"latest" doc:"The newest version."`
	Revision    int64     `json:"revision" doc:"Counts the changes. It is in the ETag, for If-Match."`
	CreatedAt   time.Time `json:"created_at"`
	CreatedBy   string    `json:"created_by" doc:"The id of the key that made it, or 'operator'."`
	UpdatedAt   time.Time `json:"updated_at"`
	UpdatedBy   string    `json:"updated_by"`
}

// MetricVersion is a version of a metric. It never changes.
type MetricVersion struct {
	Version      int64      `json:"version" doc:"Its number, from 1."`
	Draft        bool       `json:"draft" doc:"It was never published."`
	CacheMinutes int        `json:"cache_minutes" doc:"How many minutes an answer may be kept; 0: none is."`
	CreatedAt    time.Time  `json:"created_at"`
	CreatedBy    string     `json:"created_by"`
	PublishedAt  *time.Time `json:"published_at" doc:"When it was first published; null: never." nullable:"true"`
}

// MetricDetail is a metric with one of its versions.
type MetricDetail struct {
	Metric
	Version   MetricVersion     `json:"version"`
	Content   metric.Definition `json:"definition" doc:"What the version asks."`
	SQL       string            `json:"sql" doc:"The statement that it becomes." example:"SELECT count(*) AS n FROM events WHERE event = $1"`
	Variables []metric.Variable `json:"variables" doc:"What may be given when it is run."`
	Columns   []metric.Column   `json:"columns,omitempty" doc:"Of its answer; left out when the definition is SQL."`
}

// MetricPage is one page of a list of metrics.
type MetricPage struct {
	Data       []Metric `json:"data" doc:"By their ids."`
	NextCursor *string  `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// MetricVersions are the versions that are kept of a metric.
type MetricVersions struct {
	Data []MetricVersion `json:"data" doc:"Newest first."`
}

// MetricTrial describes what came of a test; it is written around an answer of package query.
type MetricTrial struct {
	SQL       string            `json:"sql" doc:"The statement that was run."`
	Variables []metric.Variable `json:"variables" doc:"What may be given when it is run."`
	Answer    QueryAnswer       `json:"answer"`
	Cost      TrialCost         `json:"cost" doc:"What running it cost."`
}

// TrialCost is what running a metric cost.
type TrialCost struct {
	RowsLookedAt *int64  `json:"rows_looked_at" doc:"About how many stored rows; null for a key that sees only some of them." nullable:"true"`
	ElapsedMS    float64 `json:"elapsed_ms"`
	Credits      int64   `json:"credits"`
}

type saveMetric struct {
	ID      string `path:"id" doc:"Small letters, digits, - and _, at most 63." example:"daily-orders"`
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The revision that the change is meant for, as in the ETag."`
	Body    struct {
		Definition jsontext.Value `json:"definition"`
		MetricSettings
	}
	revision int64
}

// MetricSettings are what a metric has beside its definition.
type MetricSettings struct {
	Description  string `json:"description,omitzero" maxLength:"1000" doc:"What it means."`
	Owner        string `json:"owner,omitzero" maxLength:"200" doc:"Who answers for it."`
	CacheMinutes *int   `json:"cache_minutes,omitempty" minimum:"0" maximum:"1440" nullable:"false" doc:"How many minutes an answer may be kept: at least 5, by default 5; 0: none is."`
	Draft        bool   `json:"draft,omitzero" doc:"Saves the version without publishing it."`
	Environment  string `json:"environment,omitzero" maxLength:"200" doc:"Whose tables the statement is held against; by default the first one the key may use." example:"production"`
}

// saveMetricShown is saveMetric as the document shows it: the definition is read by package metric.
type saveMetricShown struct {
	ID      string `path:"id" doc:"Small letters, digits, - and _, at most 63." example:"daily-orders"`
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The revision that the change is meant for, as in the ETag."`
	Body    struct {
		Definition metric.Definition `json:"definition" doc:"What it asks."`
		MetricSettings
	}
}

type oneMetric struct {
	ID      string `path:"id" doc:"The metric's id." example:"daily-orders"`
	Version int    `query:"version" minimum:"1" doc:"By default the published version, or the newest when none is."`
}

type metricAt struct {
	ID       string `path:"id" doc:"The metric's id." example:"daily-orders"`
	IfMatch  string `header:"If-Match" maxLength:"100" doc:"The revision that the change is meant for, as in the ETag."`
	revision int64
}

type publishMetric struct {
	ID      string `path:"id" doc:"The metric's id." example:"daily-orders"`
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The revision that the change is meant for, as in the ETag."`
	Body    struct {
		Version     int64  `json:"version" minimum:"1" doc:"The version that is run from now on."`
		Environment string `json:"environment,omitzero" maxLength:"200" doc:"Whose tables the statement is held against; by default the first one the key may use." example:"production"`
	}
	revision int64
}

type listMetrics struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor string `query:"cursor" maxLength:"100" doc:"Where to go on, from the page before."`
}

type runMetric struct {
	ID   string `path:"id" doc:"The metric's id." example:"daily-orders"`
	Body struct {
		Variables   map[string]jsontext.Value `json:"variables,omitempty" nullable:"false" doc:"The values of its variables, by their names."`
		Environment string                    `json:"environment,omitzero" maxLength:"200" doc:"The environment to read; by default the first one the key may use." example:"production"`
		Format      query.Format              `json:"format,omitzero" enum:"json,ndjson,csv,parquet" doc:"How the answer is written; json by default."`
		Spreadsheet bool                      `json:"spreadsheet,omitzero" doc:"For csv: put an apostrophe before text that a spreadsheet would run as a formula."`
		TimeZone    string                    `json:"time_zone,omitzero" maxLength:"64" doc:"An IANA time zone in the place of the metric's own." example:"Europe/Paris"`
		Version     int64                     `json:"version,omitzero" minimum:"1" doc:"One that was published once; by default the one that is."`
	}
}

type testMetric struct {
	Body struct {
		Definition jsontext.Value `json:"definition"`
		TrialSettings
	}
}

// TrialSettings are what a test has beside its definition.
type TrialSettings struct {
	Variables   map[string]jsontext.Value `json:"variables,omitempty" nullable:"false" doc:"The values of its variables, by their names."`
	Environment string                    `json:"environment,omitzero" maxLength:"200" doc:"The environment to read; by default the first one the key may use." example:"production"`
}

// testMetricShown is testMetric as the document shows it.
type testMetricShown struct {
	Body struct {
		Definition metric.Definition `json:"definition" doc:"What it asks."`
		TrialSettings
	}
}

// in is an attempt in one environment.
func in(environment string) access.Attempt {
	return access.Attempt{Targets: []access.Target{{Environment: environment}}}
}

func mountMetrics(a *API) {
	mountMetricReading(a)
	mountMetricChanges(a)
	mountMetricRuns(a)
}

func mountMetricReading(a *API) {
	metrics := a.cfg.Metrics
	mount(a, endpoint[listMetrics, MetricPage]{
		Method: "GET", Path: "/v1/metrics", Action: access.ReadMetrics, Read: bound[listMetrics](a), Wants: wantsNothing[listMetrics],
		Do: func(ctx context.Context, permit gate.Permit, in listMetrics) (MetricPage, error) {
			list, next, err := metrics.List(ctx, permit, in.Cursor, orDefault(in.Limit, 50))
			page := MetricPage{Data: make([]Metric, len(list)), NextCursor: cursor(next)}
			for i := range list {
				page.Data[i] = metricView(&list[i])
			}
			return page, err
		},
		Doc: doc{ID: "listMetrics", Tag: "Metrics", Summary: "List metrics", Text: "By their ids."},
	})
	mount(a, endpoint[oneMetric, MetricDetail]{
		Method: "GET", Path: "/v1/metrics/{id}", Action: access.ReadMetrics, Read: bound[oneMetric](a), Wants: wantsNothing[oneMetric],
		Do: func(ctx context.Context, permit gate.Permit, in oneMetric) (MetricDetail, error) {
			return metricDetail(metrics.Read(ctx, permit, in.ID, int64(in.Version)))
		},
		Write: writeMetric,
		Doc: doc{
			ID: "readMetric", Tag: "Metrics", Summary: "Read a metric", Problems: []problem.Code{problem.NotFound}, Version: true,
			Text: "With one of its versions, the SQL that it becomes, and its variables.",
		},
	})
	mount(a, endpoint[metricAt, MetricVersions]{
		Method: "GET", Path: "/v1/metrics/{id}/versions", Action: access.ReadMetrics, Read: bound[metricAt](a), Wants: wantsNothing[metricAt],
		Do: func(ctx context.Context, permit gate.Permit, in metricAt) (MetricVersions, error) {
			list, err := metrics.Versions(ctx, permit, in.ID)
			all := MetricVersions{Data: make([]MetricVersion, len(list))}
			for i := range list {
				all.Data[i] = versionView(&list[i])
			}
			return all, err
		},
		Doc: doc{
			ID: "listMetricVersions", Tag: "Metrics", Summary: "List a metric's versions", Problems: []problem.Code{problem.NotFound},
			Text: "Newest first. A hundred are kept; of more, the oldest that were never published go first.",
		},
	})
}

func mountMetricChanges(a *API) {
	metrics := a.cfg.Metrics
	mount(a, endpoint[saveMetric, savedMetric]{
		Method: "PUT", Path: "/v1/metrics/{id}", Action: access.WriteMetrics, Read: readSaveMetric(a),
		Wants: func(s saveMetric) access.Attempt { return in(s.Body.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, s saveMetric) (savedMetric, error) {
			shown, created, err := metrics.Save(ctx, permit, s.ID, s.wanted())
			detail, err := metricDetail(shown, err)
			return savedMetric{detail, created}, err
		},
		Write: func(rq *request, s savedMetric) error {
			if s.created {
				return rq.writeVersioned(http.StatusCreated, s.Revision, s.MetricDetail)
			}
			return writeMetric(rq, s.MetricDetail)
		},
		Doc: doc{
			ID: "saveMetric", Tag: "Metrics", Summary: "Save a metric", In: reflect.TypeFor[saveMetricShown](), Out: reflect.TypeFor[MetricDetail](), Version: true,
			Statuses: map[int]reflect.Type{201: reflect.TypeFor[MetricDetail]()},
			Text: "Makes it, with status 201, or adds a version to it, unless the newest one is the same already. The statement is held against the tables before " +
				"anything is saved, and does not run.",
			Problems: []problem.Code{problem.InvalidSQL, problem.SQLNotAllowed, problem.GrantTooWide, problem.Conflict, problem.MetricsFull, problem.PreconditionFailed, problem.QueryTimeout},
		},
	})
	mount(a, endpoint[publishMetric, MetricDetail]{
		Method: "POST", Path: "/v1/metrics/{id}/publish", Action: access.WriteMetrics,
		Read:  versioned(bound[publishMetric](a), func(p *publishMetric) (string, *int64) { return p.IfMatch, &p.revision }),
		Wants: func(p publishMetric) access.Attempt { return in(p.Body.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, p publishMetric) (MetricDetail, error) {
			return metricDetail(metrics.Publish(ctx, permit, p.ID, p.Body.Version, p.revision))
		},
		Write: writeMetric,
		Doc: doc{
			ID: "publishMetric", Tag: "Metrics", Summary: "Publish a version of a metric", Version: true,
			Text:     "From then on it is what is run. Publishing an older version takes the newer one back.",
			Problems: []problem.Code{problem.GrantTooWide, problem.NotFound, problem.InvalidSQL, problem.SQLNotAllowed, problem.PreconditionFailed, problem.QueryTimeout},
		},
	})
	mount(a, endpoint[metricAt, nothing]{
		Method: "DELETE", Path: "/v1/metrics/{id}", Action: access.WriteMetrics, Status: 204,
		Read:  versioned(bound[metricAt](a), func(m *metricAt) (string, *int64) { return m.IfMatch, &m.revision }),
		Wants: wantsNothing[metricAt],
		Do: func(ctx context.Context, permit gate.Permit, m metricAt) (nothing, error) {
			return nothing{}, metrics.Delete(ctx, permit, m.ID, m.revision)
		},
		Doc: doc{
			ID: "deleteMetric", Tag: "Metrics", Summary: "Delete a metric", Problems: []problem.Code{problem.GrantTooWide, problem.NotFound, problem.PreconditionFailed},
			Text: "With all its versions.",
		},
	})
}

// runProblems are what running a statement can come to.
var runProblems = []problem.Code{
	problem.InvalidSQL, problem.SQLNotAllowed, problem.ResultTooLarge, problem.QueryTooHeavy, problem.QueryQueueFull, problem.QueryTimeout,
	problem.QueryCancelled,
}

// same is what tells runs of metrics apart that come to as much.
func (in *runMetric) same() string {
	values, _ := json.Marshal(in.Body.Variables, json.Deterministic(true)) // they were read as JSON
	return "metric " + in.ID + "\x00" + string(values)
}

func mountMetricRuns(a *API) {
	metrics := a.cfg.Metrics
	mount(a, endpoint[noted[runMetric], *query.Answer]{
		Method: "POST", Path: "/v1/metrics/{id}/query", Action: access.RunMetrics, Read: readNoted(readRunMetric(a)),
		Cross: true, // a page may ask with a token that is meant for it, and every other is told to go through a back end
		Wants: func(n noted[runMetric]) access.Attempt { return in(n.in.Body.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, n noted[runMetric]) (*query.Answer, error) {
			r := &n.in.Body
			return metrics.Run(ctx, permit, n.in.ID, saved.Asked{
				Version: r.Version, Variables: r.Variables, Format: r.Format, Spreadsheet: r.Spreadsheet, TimeZone: r.TimeZone, Note: n.note(),
			})
		},
		Write: writeAnswer, Cost: 1, Price: answerPrice, Long: true,
		Same: func(n noted[runMetric]) string { return n.in.same() },
		Doc: doc{
			ID: "runMetric", Tag: "Metrics", Summary: "Run a metric", In: reflect.TypeFor[runMetric](), Out: reflect.TypeFor[QueryAnswer](),
			Types: []string{"application/x-ndjson", "text/csv", "application/vnd.apache.parquet"}, Kept: true, Runs: true,
			Statuses: map[int]reflect.Type{http.StatusNotModified: reflect.TypeFor[nothing]()},
			Text: "Its published version, over what the key sees of the environment. From a page, let your back end ask: no public key may. " +
				"An answer may be as old as the `cache_minutes` of the client say whose token asks, or else those of the metric; a metric with 0 is always made anew.",
			Problems: append([]problem.Code{problem.NotFound}, runProblems...),
		},
	})
	mount(a, endpoint[noted[testMetric], trial]{
		Method: "POST", Path: "/v1/metrics/test", Action: access.TestMetrics, Read: readNoted(bound[testMetric](a)),
		Wants: func(n noted[testMetric]) access.Attempt { return in(n.in.Body.Environment) },
		Do: func(ctx context.Context, permit gate.Permit, n noted[testMetric]) (trial, error) {
			t := &n.in
			tried, err := metrics.Test(ctx, permit, n.note(), t.Body.Definition, t.Body.Variables)
			return trial{tried}, err
		},
		Write: writeTrial, Cost: 1, Price: func(t trial) int64 { return answerPrice(t.Answer) }, Long: true,
		Doc: doc{
			ID: "testMetric", Tag: "Metrics", Summary: "Test a metric", In: reflect.TypeFor[testMetricShown](), Out: reflect.TypeFor[MetricTrial](), Runs: true,
			Text:     "Runs a definition without saving it, and says what that cost.",
			Problems: runProblems, Examples: []example{testMetricExample},
		},
	})
}

// savedMetric is a metric that was saved, and whether it is a new one.
type savedMetric struct {
	MetricDetail
	created bool
}

// trial is a test's answer, which is closed if it is not given.
type trial struct{ saved.Trial }

func readSaveMetric(a *API) func(*request) (saveMetric, error) {
	return versioned(bound[saveMetric](a), func(s *saveMetric) (string, *int64) { return s.IfMatch, &s.revision })
}

// versioned reads the version in the If-Match of an input as well.
func versioned[I any](read func(*request) (I, error), of func(*I) (ifMatch string, into *int64)) func(*request) (I, error) {
	return func(rq *request) (I, error) {
		in, err := read(rq)
		if err == nil {
			ifMatch, into := of(&in)
			*into, err = versionOf(ifMatch)
		}
		return in, err
	}
}

func readRunMetric(a *API) func(*request) (runMetric, error) {
	read := bound[runMetric](a)
	return func(rq *request) (runMetric, error) {
		in, err := read(rq)
		if in.Body.Format == "" {
			in.Body.Format = query.FormatFromAccept(rq.r.Header.Get("Accept"))
		}
		return in, err
	}
}

func (s *saveMetric) wanted() saved.Wanted {
	w := saved.Wanted{
		Definition: s.Body.Definition, Description: s.Body.Description, Owner: s.Body.Owner, CacheMinutes: saved.MinCacheMinutes, Draft: s.Body.Draft,
		Revision: s.revision,
	}
	put(&w.CacheMinutes, s.Body.CacheMinutes)
	return w
}

func metricView(m *saved.Metric) Metric {
	return Metric{
		ID: m.ID, Description: m.Description, Owner: m.Owner, Published: m.Published, Latest: m.Latest, Revision: m.Revision,
		CreatedAt: m.CreatedAt, CreatedBy: m.CreatedBy, UpdatedAt: m.UpdatedAt, UpdatedBy: m.UpdatedBy,
	}
}

func versionView(v *saved.Version) MetricVersion {
	view := MetricVersion{Version: v.Number, Draft: v.Draft(), CacheMinutes: v.CacheMinutes, CreatedAt: v.CreatedAt, CreatedBy: v.CreatedBy}
	if !v.Draft() {
		view.PublishedAt = &v.PublishedAt
	}
	return view
}

func metricDetail(shown saved.Shown, err error) (MetricDetail, error) {
	if err != nil {
		return MetricDetail{}, err
	}
	d, err := metric.Read(shown.Version.Definition)
	return MetricDetail{
		Metric: metricView(&shown.Metric), Version: versionView(&shown.Version), Content: d, SQL: shown.Statement.SQL,
		Variables: list(shown.Statement.Variables), Columns: shown.Statement.Columns,
	}, err
}

// list is a list that is not null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func writeMetric(rq *request, m MetricDetail) error {
	return rq.writeVersioned(http.StatusOK, m.Revision, m)
}

// writeVersioned answers with a thing and its version.
func (rq *request) writeVersioned(status int, version int64, value any) error {
	rq.reply.Header().Set("ETag", etag(version))
	return rq.writeJSON(status, value)
}

// writeTrial writes a MetricTrial around the answer, which is not read into memory.
func writeTrial(rq *request, t trial) error {
	defer func() { _ = t.Close() }()
	cost := TrialCost{ElapsedMS: float64(t.Answer.Elapsed.Microseconds()) / 1000, Credits: answerPrice(t.Answer)}
	if t.Looked != query.Untold {
		cost.RowsLookedAt = &t.Looked
	}
	head, err := json.Marshal(struct {
		SQL       string            `json:"sql"`
		Variables []metric.Variable `json:"variables"`
	}{t.Statement.SQL, list(t.Statement.Variables)})
	if err != nil {
		return err
	}
	tail, err := json.Marshal(cost)
	if err != nil {
		return err
	}
	rq.reply.Header()["Content-Type"] = jsonType
	rq.reply.WriteHeader(http.StatusOK)
	rq.pour(
		strings.NewReader(strings.TrimSuffix(string(head), "}")+`,"answer":`), answerReader{t.Answer}, strings.NewReader(fmt.Sprintf(`,"cost":%s}`, tail)+"\n"))
	return nil
}

// answerReader is an answer as a part of a longer text.
type answerReader struct{ *query.Answer }

// Read is never called: WriteTo is.
func (answerReader) Read([]byte) (int, error) { return 0, io.EOF }

// pour writes the parts of an answer that has begun. When one fails, the caller is gone or it cannot be read any more.
func (rq *request) pour(parts ...io.Reader) {
	for _, part := range parts {
		if _, err := io.Copy(&rq.reply, part); err != nil {
			rq.line.cause, rq.broken = err, true
			return
		}
	}
}
