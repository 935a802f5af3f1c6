package api

import (
	"context"
	"reflect"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api/grafana"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
)

// mountGrafanaMetrics adds a data source whose targets are metrics, so that a key that may run metrics, and no SQL, can
// be a dashboard's.
func mountGrafanaMetrics(a *API) {
	s := grafanaSource{
		path: "/v1/grafana-metrics/{environment}", id: "grafanaMetrics", action: access.RunMetrics, asks: "the id of a metric",
		ask: func(ctx context.Context, permit gate.Permit, note query.Note, p grafanaPayload, dashboard grafanaValues) (*query.Answer, error) {
			return a.cfg.Metrics.Run(ctx, permit, p.Target, saved.Asked{Variables: p.variables, Around: dashboard, Format: query.JSON, Note: note})
		},
	}
	mountGrafanaHealth(a, s)
	mount(a, endpoint[grafanaInput[GrafanaSearch], []GrafanaMetric]{
		Method: "POST", Path: s.path + "/metrics", Action: access.ReadMetrics,
		Read: bound[grafanaInput[GrafanaSearch]](a), Wants: wantsNothing[grafanaInput[GrafanaSearch]], Do: a.grafanaNames,
		Doc: doc{
			ID: "grafanaMetricsMetrics", Tag: grafanaTag, Summary: "List the metrics that can be asked for",
			Text: "Those that are published, at most 1,000. A key that may run metrics and not list them can ask for one by its id.",
		},
	})
	mount(a, endpoint[grafanaInput[GrafanaSearch], []GrafanaOption]{
		Method: "POST", Path: s.path + "/metric-payload-options", Action: s.action,
		Read: bound[grafanaInput[GrafanaSearch]](a), Wants: grafanaInput[GrafanaSearch].wants,
		Do: func(_ context.Context, _ gate.Permit, in grafanaInput[GrafanaSearch]) ([]GrafanaOption, error) {
			return grafanaOptions(in.Body.Name), nil
		},
		Doc: doc{ID: "grafanaMetricsPayloadOptions", Tag: grafanaTag, Summary: "List the values of a member of a metric's payload", Text: "Of `format`; no other member has a list."},
	})
	mount(a, grafanaAsks(a, s, "/query", s.query, doc{
		ID: "grafanaMetricsQuery", Tag: grafanaTag, Summary: "Ask for a panel of metrics", Out: reflect.TypeFor[[]grafana.Frame](),
		Text: "Each target is the id of a metric, with `variables` in its payload. Variables that are not given and are named `from`, `to`, `interval_ms` or " +
			"`max_data_points` are what the dashboard shows.",
		Problems: []problem.Code{problem.NotFound},
	}))
	mount(a, grafanaAsks(a, s, "/variable", s.variable, doc{
		ID: "grafanaMetricsVariable", Tag: grafanaTag, Summary: "Ask a metric for the values of a variable", Out: reflect.TypeFor[[]grafana.VariableValue](),
		Text:     "The first column is shown, the second is the value; or the first is both.",
		Problems: []problem.Code{problem.NotFound},
	}))
}

// grafanaNames are the published metrics, as an editor of panels lists them.
func (a *API) grafanaNames(ctx context.Context, permit gate.Permit, _ grafanaInput[GrafanaSearch]) ([]GrafanaMetric, error) {
	names := []GrafanaMetric{}
	for after, more := "", true; more; more = after != "" {
		list, next, err := a.cfg.Metrics.List(ctx, permit, after, saved.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			if m.Published == 0 {
				continue
			}
			names = append(names, GrafanaMetric{Label: m.ID, Value: m.ID, Payloads: []GrafanaMetricPayload{
				{Label: "Variables", Name: "variables", Type: "textarea", Placeholder: `{"country": "FR"}`},
				{Label: "Format", Name: "format", Type: "select", Options: grafanaOptions("format")},
			}})
		}
		after = next
	}
	return names, nil
}
