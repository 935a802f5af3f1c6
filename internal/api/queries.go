package api

import (
	"context"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// QueryCheck is what is known of a statement that was not run.
type QueryCheck struct {
	Tables        []string          `json:"tables" doc:"The tables it reads."`
	Parameters    []query.Parameter `json:"parameters" doc:"Its parameters."`
	Columns       []query.Column    `json:"columns" doc:"The columns of its answer; empty when they depend on the values of the parameters."`
	EstimatedRows *int64            `json:"estimated_rows" doc:"About how many stored rows it would look at, counting a table each time it is read; null when the key may not see all rows, since it would tell how many there are."`
}

// QuerySchema is what a key may ask about.
type QuerySchema struct {
	Tables []query.TableInfo `json:"tables" doc:"The tables and columns that the key may see."`
	Seen   *query.Survey     `json:"seen" doc:"What the latest 10,000 events that the key may see have in them; null when that could not be found out within two seconds."`
}

type checkInput struct {
	Body struct {
		SQL         string `json:"sql" doc:"The statement." example:"SELECT event, count(*) AS n FROM events WHERE distinct_id = $1 GROUP BY event"`
		Environment string `json:"environment,omitempty" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
		TimeZone    string `json:"time_zone,omitempty" maxLength:"64" doc:"That of the question; by default UTC." example:"Europe/Paris"`
	}
}

func (in checkInput) wants() access.Attempt { return inEnvironment(in.Body.Environment) }

type schemaInput struct {
	Environment string `query:"environment" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
}

// inEnvironment is an attempt about one environment.
func inEnvironment(name string) access.Attempt {
	return access.Attempt{Targets: []access.Target{{Environment: name}}}
}

// mountQueries adds what helps to ask in SQL, and the queries that were asked.
func mountQueries(a *API) {
	mount(a, endpoint[checkInput, QueryCheck]{
		Method: "POST", Path: "/v1/query/validate", Action: access.RunSQL,
		Read: bound[checkInput](a), Wants: checkInput.wants,
		Do: a.checkQuery,
		Doc: doc{
			ID: "validateQuery", Tag: "Query", Summary: "Look at a statement without running it",
			Text: "Says which tables it reads, what its parameters and the columns of its answer are, and about how many rows it would look at. " +
				"Nothing is run, and parameters need no values. A statement that could not be run gets the problem that `POST /v1/query` would answer.",
			Problems: []problem.Code{problem.InvalidSQL, problem.SQLNotAllowed},
			Examples: []example{checkExample, badCheckExample},
		},
	})
	mount(a, endpoint[schemaInput, QuerySchema]{
		Method: "GET", Path: "/v1/query/schema", Action: access.RunSQL,
		Read:  bound[schemaInput](a),
		Wants: func(in schemaInput) access.Attempt { return inEnvironment(in.Environment) },
		Do:    a.querySchema,
		Cost:  1, Long: true,
		Doc: doc{
			ID: "querySchema", Tag: "Query", Summary: "List what can be asked about",
			Text: "The tables and columns that the key may see, and the names of events and members of properties that the latest 10,000 events have " +
				"that it may see. What a key may not see is not there.",
		},
	})
}

func (a *API) checkQuery(ctx context.Context, permit gate.Permit, in checkInput) (QueryCheck, error) {
	d, err := a.cfg.Query.Describe(ctx, permit, query.Question{SQL: in.Body.SQL, TimeZone: in.Body.TimeZone})
	if err != nil {
		return QueryCheck{}, err
	}
	out := QueryCheck{Tables: d.Tables, Parameters: d.Parameters, Columns: d.Columns}
	if d.Rows != query.Untold {
		out.EstimatedRows = &d.Rows
	}
	return out, nil
}

func (a *API) querySchema(ctx context.Context, permit gate.Permit, _ schemaInput) (QuerySchema, error) {
	tables, err := a.cfg.Query.Tables(ctx, permit)
	if err != nil {
		return QuerySchema{}, err
	}
	out := QuerySchema{Tables: tables}
	if seen, err := a.cfg.Query.Survey(ctx, permit); err == nil {
		out.Seen = &seen
	}
	return out, nil
}
