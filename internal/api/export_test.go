package api

import "github.com/weir-analytics/weir/internal/access"

// Route is one row, for tests that must know them all.
type Route struct {
	Method string
	Path   string // as OpenAPI writes it
	Action access.Action
}

// Routes lists every row.
func (a *API) Routes() []Route {
	all := make([]Route, len(a.rows))
	for i, r := range a.rows {
		all[i] = Route{r.method, pathOf(r.path), r.action}
	}
	return all
}
