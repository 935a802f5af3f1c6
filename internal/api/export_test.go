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

// HoldBodies takes all of the memory for bodies, if nobody has any of it.
func (a *API) HoldBodies() (release func(), ok bool) {
	return func() { a.bodies.memory.Release(allBodies) }, a.bodies.memory.TryAcquire(allBodies)
}

// RightsSaid are the rights in words.
func RightsSaid() map[access.Scopes]string { return rightsSaid() }
