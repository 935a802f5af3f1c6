package api_test

import (
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
)

// Promise: what a dataset's records cost, and who may have them, is what its class says when they are read and when their file
// is fetched, also under another name, and not what it said when the export was asked for.
func TestExportsFollowTheClassOfTheirDataset(t *testing.T) {
	t.Parallel()
	s := newTables(t, open(t))
	core := s.make(keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes, Bounds: access.Bounds{Datasets: &access.Datasets{Core: true}}})
	s.define("Q", "core")
	s.ask(s.all, "POST", "/v1/record/CORE/Q", `[{"symbol":"S1","date":"2026-01-01","open":1},{"symbol":"S2","date":"2026-01-01","open":1}]`, 200)
	e, _ := s.take(core, `{"of":"dataset","dataset":"Q"}`)
	if e.Credits != 2 {
		t.Errorf("%+v", e)
	}
	s.ask(core.text, "GET", "/v1/exports/"+e.ID+"/file", "", 200)
	s.ask(s.all, "PATCH", "/v1/datasets/CORE/Q", `{"class":"premium"}`, 200)
	s.ask(core.text, "GET", "/v1/exports/"+e.ID+"/file", "", 403)
	s.ask(core.text, "POST", "/v1/exports/"+e.ID+"/link", "{}", 403)
	s.ask(s.all, "PUT", "/v1/datasets/CORE/Q/R", "", 200)
	s.ask(core.text, "GET", "/v1/exports/"+e.ID+"/file", "", 403)
	s.ask(s.all, "PATCH", "/v1/datasets/CORE/R", `{"class":"core"}`, 200)
	s.ask(core.text, "GET", "/v1/exports/"+e.ID+"/file", "", 200)
}
