package api

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/complete"
)

// QuerySuggestions is what may be written at a place of a statement.
type QuerySuggestions struct {
	Suggestions []complete.Suggestion `json:"suggestions" doc:"At most 50, the likeliest first."`
}

type completeInput struct {
	Body struct {
		SQL         string `json:"sql" doc:"What is written so far, at most 64 KiB." example:"SELECT ev"`
		Position    *int   `json:"position,omitempty" nullable:"false" minimum:"0" maximum:"65536" doc:"The place, in characters from 0; by default the end." example:"9"`
		Environment string `json:"environment,omitempty" maxLength:"200" doc:"By default the first one the key may use." example:"production"`
	}
}

func (in completeInput) wants() access.Attempt { return inEnvironment(in.Body.Environment) }

// position is the place, within the text.
func (in completeInput) position() (int, error) {
	length := utf8.RuneCountInString(in.Body.SQL)
	switch {
	case len(in.Body.SQL) > query.MaxSQLBytes:
		return 0, problem.Invalid("sql", "must be at most %d bytes long, is %d", query.MaxSQLBytes, len(in.Body.SQL))
	case in.Body.Position == nil:
		return length, nil
	case *in.Body.Position > length:
		return 0, problem.Invalid("position", "must be at most %d, the end of the statement", length)
	}
	return *in.Body.Position, nil
}

func mountComplete(a *API) {
	surveys := query.NewSurveys(a.cfg.Now)
	mount(a, endpoint[completeInput, QuerySuggestions]{
		Method: "POST", Path: "/v1/query/autocomplete", Action: access.RunSQL,
		Read: bound[completeInput](a), Wants: completeInput.wants,
		Do: func(ctx context.Context, permit gate.Permit, in completeInput) (QuerySuggestions, error) {
			return a.complete(ctx, permit, in, surveys)
		},
		Doc: doc{
			ID: "completeQuery", Tag: "Query", Summary: "Suggest how a statement goes on",
			Text: "What begins as the word does that ends at the place: tables, columns and properties that the key may see, functions and keywords. " +
				"Inside a text or a comment there is nothing. Properties are those of a survey as in `GET /v1/query/schema`, up to a minute old.",
			Examples: []example{completeExample},
		},
	})
}

func (a *API) complete(ctx context.Context, permit gate.Permit, in completeInput, surveys *query.Surveys) (QuerySuggestions, error) {
	at, err := in.position()
	if err != nil {
		return QuerySuggestions{}, err
	}
	tables, err := a.cfg.Query.Tables(ctx, permit)
	if err != nil {
		return QuerySuggestions{}, err
	}
	seen, err := surveys.Of(ctx, a.cfg.Query, permit)
	if err != nil {
		return QuerySuggestions{}, err
	}
	words := complete.Words{Columns: map[string][]string{}, Properties: map[string][]string{}, Functions: a.cfg.Functions}
	for _, t := range tables {
		columns := []string{}
		for _, c := range t.Columns {
			columns = append(columns, complete.Name(c.Name))
		}
		words.Columns[complete.Name(t.Name)] = columns
	}
	for _, p := range seen.Properties {
		words.Properties["properties"] = append(words.Properties["properties"], p.Name)
	}
	found := complete.At(in.Body.SQL, at, words)
	return QuerySuggestions{Suggestions: slices.Concat([]complete.Suggestion{}, found)}, nil
}
