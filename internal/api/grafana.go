package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api/grafana"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// The limits on a request of Grafana's.
const (
	maxGrafanaTargets = 20
	maxGrafanaRows    = 100_000  // of all targets together
	maxGrafanaBytes   = 16 << 20 // of all targets' answers together
)

// GrafanaRange is the time that a dashboard shows.
type GrafanaRange struct {
	_    struct{}  `json:"-" additionalProperties:"true"`
	From time.Time `json:"from" example:"2026-01-31T06:00:00.000Z"`
	To   time.Time `json:"to" example:"2026-01-31T12:00:00.000Z"`
}

// GrafanaTarget is one question of a panel.
type GrafanaTarget struct {
	_       struct{}       `json:"-" additionalProperties:"true"`
	Target  string         `json:"target,omitempty" maxLength:"1000" doc:"What to ask: 'sql', with the statement in the payload."`
	RefID   string         `json:"refId,omitempty" maxLength:"100" doc:"The panel's name for it."`
	Hide    bool           `json:"hide,omitempty" doc:"It is not to be shown."`
	Payload jsontext.Value `json:"payload,omitempty" doc:"An object: sql, the statement; parameters, an object of values for $name; format, timeseries or table."`
}

// GrafanaQuery is what a panel asks.
type GrafanaQuery struct {
	_             struct{}        `json:"-" additionalProperties:"true"`
	Range         GrafanaRange    `json:"range" doc:"The time that is shown: $from and $to."`
	IntervalMS    float64         `json:"intervalMs,omitempty" minimum:"0" doc:"The time between two points that can be told apart: $interval_ms."`
	MaxDataPoints float64         `json:"maxDataPoints,omitempty" minimum:"0" maximum:"100000" doc:"How many points a series can show: $max_data_points."`
	Targets       []GrafanaTarget `json:"targets" maxItems:"20" doc:"The questions, one after the other."`
	AdhocFilters  []any           `json:"adhocFilters,omitempty" maxItems:"0" doc:"Ad hoc filters are not applied, and so are refused."`
}

// GrafanaSearch is what the list of metrics is asked with.
type GrafanaSearch struct {
	_    struct{} `json:"-" additionalProperties:"true"`
	Name string   `json:"name,omitempty" maxLength:"200" doc:"The member of the payload whose values are asked for."`
}

// GrafanaVariable is what the values of a variable are asked with.
type GrafanaVariable struct {
	_       struct{}       `json:"-" additionalProperties:"true"`
	Payload jsontext.Value `json:"payload" doc:"An object: sql or target, the statement; parameters, an object of values for $name."`
	Range   GrafanaRange   `json:"range" doc:"The time that is shown: $from and $to."`
}

// GrafanaAnnotations is what annotations are asked with, by data sources older than their asking as a query.
type GrafanaAnnotations struct {
	_          struct{}       `json:"-" additionalProperties:"true"`
	Annotation jsontext.Value `json:"annotation" doc:"An object: query, the statement."`
	Range      GrafanaRange   `json:"range" doc:"The time that is shown: $from and $to."`
}

// GrafanaMetric is something that can be asked for.
type GrafanaMetric struct {
	Label    string                 `json:"label"`
	Value    string                 `json:"value"`
	Payloads []GrafanaMetricPayload `json:"payloads" doc:"What is filled in for it."`
}

// GrafanaMetricPayload is a member of a payload, and how it is filled in.
type GrafanaMetricPayload struct {
	Label       string          `json:"label"`
	Name        string          `json:"name"`
	Type        string          `json:"type" enum:"select,input,textarea"`
	Placeholder string          `json:"placeholder,omitempty"`
	Options     []GrafanaOption `json:"options,omitempty"`
}

// GrafanaOption is a value that can be chosen.
type GrafanaOption struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// GrafanaHealth says that the data source can be reached with its key.
type GrafanaHealth struct {
	Status string `json:"status" example:"ok"`
}

// grafanaInput is an environment and a body.
type grafanaInput[B any] struct {
	Environment string `path:"environment" maxLength:"200" doc:"The environment to read." example:"production"`
	Body        B      `loose:"true"`
}

func (in grafanaInput[B]) wants() access.Attempt { return inEnvironment(in.Environment) }

type grafanaPlain struct {
	Environment string `path:"environment" maxLength:"200" doc:"The environment to read." example:"production"`
}

func (in grafanaPlain) wants() access.Attempt { return inEnvironment(in.Environment) }

// grafanaAnswer is something to answer, and what it cost to find.
type grafanaAnswer[T any] struct {
	out   T
	price int64
}

// grafanaSource is what a data source asks: statements, or metrics by their ids.
type grafanaSource struct {
	path   string // of its rows
	id     string // what the names of its operations begin with
	action access.Action
	asks   string // what a target gives, for people
	ask    func(context.Context, gate.Permit, query.Note, grafanaPayload, grafanaValues) (*query.Answer, error)
}

// grafanaValues are what a dashboard shows, by the names that statements and metrics have for it.
type grafanaValues map[string]jsontext.Value

const grafanaTag = "Grafana"

// mountGrafana adds what the JSON data sources of Grafana ask for, under one address for each environment.
func mountGrafana(a *API) {
	const tag = grafanaTag
	statements := grafanaSource{path: "/v1/grafana/{environment}", id: "grafana", action: access.RunSQL, asks: "the statement in payload.sql", ask: a.grafanaStatement}
	grafanaPath := statements.path
	mountGrafanaHealth(a, statements)
	listed := func(path, id, summary, text string, list func(GrafanaSearch) any, out any) endpoint[grafanaInput[GrafanaSearch], any] {
		return endpoint[grafanaInput[GrafanaSearch], any]{
			Method: "POST", Path: grafanaPath + path, Action: access.RunSQL,
			Read: bound[grafanaInput[GrafanaSearch]](a), Wants: grafanaInput[GrafanaSearch].wants,
			Do: func(_ context.Context, _ gate.Permit, in grafanaInput[GrafanaSearch]) (any, error) {
				return list(in.Body), nil
			},
			Doc: doc{ID: id, Tag: tag, Summary: summary, Text: text, Out: reflect.TypeOf(out)},
		}
	}
	mount(a, listed("/metrics", "grafanaMetrics", "List what can be asked for", "For data sources of version 0.6 and later.",
		func(GrafanaSearch) any { return grafanaMetrics() }, []GrafanaMetric{}))
	mount(a, listed("/metric-payload-options", "grafanaPayloadOptions", "List the values of a member of a payload", "Of `format`; no other member has a list.",
		func(s GrafanaSearch) any { return grafanaOptions(s.Name) }, []GrafanaOption{}))
	mount(a, listed("/search", "grafanaSearch", "List what can be asked for, by name", "For data sources older than version 0.6.",
		func(GrafanaSearch) any { return []string{sqlTarget} }, []string{}))
	mountGrafanaAsking(a, statements)
	mountGrafanaMetrics(a)
}

func mountGrafanaHealth(a *API, s grafanaSource) {
	mount(a, endpoint[grafanaPlain, GrafanaHealth]{
		Method: "GET", Path: s.path, Slash: true, Action: s.action,
		Read: bound[grafanaPlain](a), Wants: grafanaPlain.wants,
		Do: func(context.Context, gate.Permit, grafanaPlain) (GrafanaHealth, error) {
			return GrafanaHealth{"ok"}, nil
		},
		Doc: doc{
			ID: s.id + "Health", Tag: grafanaTag, Summary: "Test the data source", Text: "Answers when the key may ask in the environment. Also with a slash at the end.",
		},
	})
}

// mountGrafanaAsking adds the rows that ask questions in SQL.
func mountGrafanaAsking(a *API, s grafanaSource) {
	const tag = grafanaTag
	mount(a, grafanaAsks(a, s, "/query", s.query, doc{
		ID: "grafanaQuery", Tag: tag, Summary: "Ask for a panel", Out: reflect.TypeFor[[]grafana.Frame](),
		Text: "Each target is a statement in SQL, in which `$from`, `$to`, `$interval_ms` and `$max_data_points` are bound. The first column of times is the time, " +
			"each column of numbers is a series, and the others name what a series is about. An answer without a time is a table.",
		Examples: []example{grafanaExample},
	}))
	mount(a, grafanaAsks(a, s, "/variable", s.variable, doc{
		ID: "grafanaVariable", Tag: tag, Summary: "Ask for the values of a variable", Out: reflect.TypeFor[[]grafana.VariableValue](),
		Text: "The first column is shown, the second is the value; or the first is both.",
	}))
	mount(a, grafanaAsks(a, s, "/annotations", s.annotations, doc{
		ID: "grafanaAnnotations", Tag: tag, Summary: "Ask for annotations", Out: reflect.TypeFor[[]grafana.Annotation](),
		Text: "The columns `time`, `title`, `text` and `tags` are read. Data sources of version 0.3 and later ask for annotations as for a panel.",
	}))
}

// grafanaAsks is a row that asks questions.
func grafanaAsks[B, T any](a *API, s grafanaSource, path string, do func(context.Context, gate.Permit, noted[grafanaInput[B]]) (grafanaAnswer[T], error), d doc) endpoint[noted[grafanaInput[B]], grafanaAnswer[T]] {
	d.In, d.Runs = reflect.TypeFor[grafanaInput[B]](), true
	d.Problems = append(d.Problems, problem.InvalidSQL, problem.SQLNotAllowed, problem.ResultTooLarge, problem.QueryTooHeavy, problem.QueryQueueFull, problem.QueryTimeout)
	return endpoint[noted[grafanaInput[B]], grafanaAnswer[T]]{
		Method: "POST", Path: s.path + path, Action: s.action,
		Read: readNoted(bound[grafanaInput[B]](a)), Wants: func(n noted[grafanaInput[B]]) access.Attempt { return n.in.wants() },
		Do:    do,
		Write: func(rq *request, answer grafanaAnswer[T]) error { return rq.writeJSON(http.StatusOK, answer.out) },
		Cost:  1, Price: func(answer grafanaAnswer[T]) int64 { return max(1, answer.price) }, Failed: true, Long: true,
		Doc: d,
	}
}

// sqlTarget is the name of the target that is a statement.
const sqlTarget = "sql"

func grafanaMetrics() []GrafanaMetric {
	return []GrafanaMetric{{
		Label: "SQL", Value: sqlTarget,
		Payloads: []GrafanaMetricPayload{
			{
				Label: "Statement", Name: "sql", Type: "textarea",
				Placeholder: "SELECT time_bucket(to_milliseconds($interval_ms), timestamp) AS time, count(*) AS n FROM events WHERE timestamp BETWEEN $from AND $to GROUP BY ALL",
			},
			{Label: "Format", Name: "format", Type: "select", Options: grafanaOptions("format")},
		},
	}}
}

func grafanaOptions(name string) []GrafanaOption {
	if name != "format" {
		return []GrafanaOption{}
	}
	return []GrafanaOption{{"Time series", "timeseries"}, {"Table", "table"}}
}

// grafanaPayload is what a payload may say.
type grafanaPayload struct {
	SQL        string                    `json:"sql"`
	Target     string                    `json:"target"`
	Query      string                    `json:"query"`
	Format     string                    `json:"format"`
	Parameters map[string]jsontext.Value `json:"parameters"`
	Given      jsontext.Value            `json:"variables"`

	variables map[string]jsontext.Value // those of Given
}

// readPayload reads a payload, which may be JSON in a string. What is not known in it is passed over, since editors put
// things of their own there.
func readPayload(field string, v jsontext.Value) (p grafanaPayload, err error) {
	if v.Kind() == '"' {
		var inner string
		if err := json.Unmarshal(v, &inner); err != nil {
			return p, problem.Invalid(field, "is not JSON")
		}
		if v = jsontext.Value(inner); len(bytes.TrimSpace(v)) == 0 {
			return p, nil
		}
	}
	if len(v) == 0 || v.Kind() == 'n' {
		return p, nil
	}
	if err := json.Unmarshal(v, &p); err != nil {
		return p, problem.Invalid(field, "must be an object with sql and parameters, or variables, and format")
	}
	if p.Format != "" && p.Format != "timeseries" && p.Format != "table" {
		return p, problem.Invalid(field+".format", "must be timeseries or table")
	}
	p.variables, err = readVariables(field+".variables", p.Given)
	return p, err
}

// readVariables reads an object, which may be JSON in a string, as a field for text gives it.
func readVariables(field string, v jsontext.Value) (members map[string]jsontext.Value, err error) {
	if v.Kind() == '"' {
		var inner string
		if err := json.Unmarshal(v, &inner); err != nil {
			return nil, problem.Invalid(field, "is not JSON")
		}
		v = jsontext.Value(strings.TrimSpace(inner))
	}
	if len(v) == 0 || v.Kind() == 'n' {
		return nil, nil
	}
	if err := json.Unmarshal(v, &members); err != nil {
		return nil, problem.Invalid(field, "must be an object of values")
	}
	return members, nil
}

// query asks for a panel.
func (s grafanaSource) query(ctx context.Context, permit gate.Permit, n noted[grafanaInput[GrafanaQuery]]) (grafanaAnswer[[]grafana.Frame], error) {
	all := grafanaAnswer[[]grafana.Frame]{out: []grafana.Frame{}}
	q := &n.in.Body
	values := rangeValues(q.Range)
	values["interval_ms"] = number(q.IntervalMS)
	values["max_data_points"] = number(q.MaxDataPoints)
	rows, room := 0, int64(maxGrafanaBytes)
	for i, t := range q.Targets {
		if t.Hide {
			continue
		}
		field := fmt.Sprintf("targets[%d]", i)
		p, err := readPayload(field+".payload", t.Payload)
		p.Target = t.Target
		if err == nil && !s.told(p) {
			err = problem.Invalid(field+".target", "is not something to ask for: give %s", s.asks)
		}
		if err != nil {
			return all, err
		}
		result, price, err := s.result(ctx, permit, n.numbered(i), p, &room, values)
		all.price += price
		if err == nil {
			if rows += result.Len(); rows > maxGrafanaRows {
				err = problem.New(problem.ResultTooLarge, "The targets have more than %d rows together.", maxGrafanaRows)
			}
		}
		if err == nil {
			err = appendFrames(&all.out, result, p.Format)
		}
		if err != nil {
			return all, ofTarget(field, t.RefID, err)
		}
	}
	return all, nil
}

// told reports whether a payload gives what the source asks for.
func (s grafanaSource) told(p grafanaPayload) bool {
	if s.action == access.RunSQL {
		return p.SQL != ""
	}
	return p.Target != ""
}

func appendFrames(frames *[]grafana.Frame, result grafana.Result, format string) error {
	if format == "table" || format == "" && !result.HasTime() {
		*frames = append(*frames, result.Table())
		return nil
	}
	if !result.HasTime() {
		return problem.Invalid("format", "is timeseries, and the result has no column of times with one of numbers")
	}
	series, err := result.Series()
	*frames = append(*frames, series...)
	return err
}

// ofTarget says of which target a problem is.
func ofTarget(field, ref string, err error) error {
	var p *problem.Error
	if !errors.As(err, &p) {
		return err
	}
	named := *p
	named.Fields = nil
	for _, f := range p.Fields {
		named.Fields = append(named.Fields, problem.Field{Name: field + ".payload." + f.Name, Detail: f.Detail})
	}
	if ref != "" {
		field += " (" + clip(ref, 20) + ")"
	}
	named.Detail = field + ": " + p.Detail
	return query.Costing(&named, query.Spent(err))
}

// variable asks for the values of a variable.
func (s grafanaSource) variable(ctx context.Context, permit gate.Permit, n noted[grafanaInput[GrafanaVariable]]) (grafanaAnswer[[]grafana.VariableValue], error) {
	v := &n.in.Body
	p, err := readPayload("payload", v.Payload)
	if err != nil {
		return grafanaAnswer[[]grafana.VariableValue]{}, err
	}
	if p.SQL == "" {
		p.SQL = p.Target
	}
	room := int64(maxGrafanaBytes)
	result, price, err := s.result(ctx, permit, n.note(), p, &room, rangeValues(v.Range))
	return grafanaAnswer[[]grafana.VariableValue]{result.Options(), price}, err
}

// annotations asks for annotations.
func (s grafanaSource) annotations(ctx context.Context, permit gate.Permit, n noted[grafanaInput[GrafanaAnnotations]]) (grafanaAnswer[[]grafana.Annotation], error) {
	q := &n.in.Body
	p, err := readPayload("annotation", q.Annotation)
	if err != nil {
		return grafanaAnswer[[]grafana.Annotation]{}, err
	}
	p.SQL = p.Query
	room := int64(maxGrafanaBytes)
	result, price, err := s.result(ctx, permit, n.note(), p, &room, rangeValues(q.Range))
	if err != nil {
		return grafanaAnswer[[]grafana.Annotation]{price: price}, err
	}
	found, err := result.Annotations(q.Annotation)
	return grafanaAnswer[[]grafana.Annotation]{found, price}, err
}

// result asks, and reads the answer. It takes from the room that there is in memory; what was run has a price also when
// there is too little.
func (s grafanaSource) result(ctx context.Context, permit gate.Permit, note query.Note, p grafanaPayload, room *int64, values grafanaValues) (r grafana.Result, price int64, err error) {
	answer, err := s.ask(ctx, permit, note, p, values)
	if err != nil {
		return r, 0, err
	}
	defer func() { _ = answer.Close() }()
	price = answerPrice(answer)
	if *room -= answer.Size; *room < 0 {
		return r, price, problem.New(problem.ResultTooLarge, "The answers of a request have at most %d bytes together, and this one is beyond that.", maxGrafanaBytes)
	}
	var text bytes.Buffer
	if _, err := answer.WriteTo(&text); err != nil {
		return r, price, err
	}
	r, err = grafana.Read(&text)
	return r, price, err
}

// grafanaStatement runs a statement. Of the values that a dashboard has it is given those that are in it; its own
// parameters must all be in it, and may not have their names.
func (a *API) grafanaStatement(ctx context.Context, permit gate.Permit, note query.Note, p grafanaPayload, dashboard grafanaValues) (*query.Answer, error) {
	for _, name := range slices.Sorted(maps.Keys(p.Parameters)) {
		if dashboard[name] != nil {
			return nil, problem.Invalid("parameters."+name, "is what the dashboard gives")
		}
	}
	about, err := a.cfg.Query.Describe(ctx, permit, query.Question{SQL: p.SQL})
	if err != nil {
		return nil, err
	}
	named := maps.Clone(p.Parameters)
	for _, parameter := range about.Parameters {
		if v := dashboard[parameter.Name]; v != nil {
			if named == nil {
				named = map[string]jsontext.Value{}
			}
			named[parameter.Name] = v
		}
	}
	q := query.Question{SQL: p.SQL, Format: query.JSON}
	if len(named) > 0 {
		if q.Parameters, err = json.Marshal(named, json.Deterministic(true)); err != nil {
			return nil, err
		}
	}
	return a.cfg.Runs.Ask(ctx, a.cfg.Query, permit, query.Asked{Question: q, Note: note})
}

// rangeValues are the times of a dashboard, as the engine reads them.
func rangeValues(r GrafanaRange) grafanaValues {
	at := func(t time.Time) jsontext.Value {
		return jsontext.Value(strconv.Quote(t.UTC().Format("2006-01-02T15:04:05.000Z")))
	}
	return grafanaValues{metric.From: at(r.From), metric.To: at(r.To)}
}

// number is a whole number of a dashboard.
func number(n float64) jsontext.Value { return jsontext.Value(strconv.FormatInt(int64(n), 10)) }
