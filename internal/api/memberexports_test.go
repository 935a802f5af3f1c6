package api_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Promise: a member who has signed in takes out what their role sees and no more; the export is theirs in the next session too,
// and not another member's; it is not given once the role may not export, sees less, or the member is gone.
func TestExportsOfMembers(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	p.send(manyEvents(40))
	admin := p.key("secret live all").text
	policy := func(view string) {
		if status, code := w.site.asks(t, admin, "PATCH", "/v1/project/policy", `{"role_views":{"analyst":`+view+`}}`); status != 200 {
			t.Fatal(status, code)
		}
	}
	policy(`{"events":{"where":[{"column":"properties.country","op":"=","value":"FR"}],"hide":["properties.email"]}}`)
	email, one := p.member(access.Analyst, false)
	first := madeKey{text: p.session(email).Access}
	e, file := p.take(first, `{"of":"events"}`)
	if text := string(file); e.Rows != 20 || strings.Contains(text, "DE") || strings.Contains(text, "example.com") || !strings.Contains(text, "FR") {
		t.Errorf("%d rows: %.300s", e.Rows, text)
	}
	path := "/v1/exports/" + e.ID + "/file"
	peer, _ := p.member(access.Analyst, false)
	viewer, _ := p.member(access.Viewer, false)
	for name, c := range map[string]struct {
		key  string
		want int
	}{"the next session": {p.session(email).Access, 200}, "another analyst": {p.session(peer).Access, 404}, "a viewer": {p.session(viewer).Access, 403}} {
		if status, code := w.site.asks(t, c.key, "GET", path, ""); status != c.want {
			t.Errorf("%s: %d %s, want %d", name, status, code, c.want)
		}
	}
	if status, code := w.site.asks(t, p.session(viewer).Access, "POST", "/v1/exports", `{"of":"events"}`); status != 403 || code != problem.MissingScope {
		t.Errorf("a viewer asks: %d %s", status, code)
	}
	policy(`{"events":{"where":[{"column":"properties.country","op":"=","value":"FR"}],"hide":["properties.email","properties.text"]}}`)
	if status, code := w.site.asks(t, first.text, "GET", path, ""); status != 410 || code != problem.ExportGone {
		t.Errorf("where the role sees less: %d %s", status, code)
	}
	policy("null")
	if status, code := w.site.asks(t, first.text, "GET", path, ""); status != 200 {
		t.Errorf("where the role sees more: %d %s", status, code)
	}
	role := func(name string) {
		if _, err := w.members.Change(t.Context(), p.permit(access.WriteMembers), one.ID, roleNamed(t, name), false); err != nil {
			t.Fatal(err)
		}
	}
	role("viewer")
	if status, code := w.site.asks(t, p.session(email).Access, "GET", path, ""); status != 403 || code != problem.MissingScope {
		t.Errorf("as a viewer: %d %s", status, code)
	}
	role("analyst")
	last := p.session(email).Access
	if status, code := w.site.asks(t, last, "GET", path, ""); status != 200 {
		t.Errorf("as an analyst again: %d %s", status, code)
	}
	if err := w.members.Remove(t.Context(), p.permit(access.WriteMembers), one.ID); err != nil {
		t.Fatal(err)
	}
	if status, code := w.site.asks(t, last, "GET", path, ""); status != 401 {
		t.Errorf("who was removed: %d %s", status, code)
	}
}

func roleNamed(t *testing.T, name string) access.Role {
	t.Helper()
	role, ok := access.ParseRole(name)
	if !ok {
		t.Fatal(name)
	}
	return role
}

// Promise: an export that a member asked for does not go on when the member's role may not export any more.
func TestAnExportEndsWithTheRole(t *testing.T) {
	t.Parallel()
	w := open(t).apart(t)
	p := w.project(t)
	p.send(manyEvents(10))
	jobs := job.New(job.Config{Store: w.store, Dir: t.TempDir(), Charges: w.gate, Now: w.clock.Now, NewID: newSuffix, Log: w.log, Stands: job.Standing(w.ring, w.clock.Now)})
	exports := export.New(export.Config{
		Dir: t.TempDir(), Jobs: jobs, Rows: query.New(query.Config{Engine: w.warehouse, Now: w.clock.Now}), Datasets: w.datasets, Keys: w.ring, Now: w.clock.Now, Log: w.log,
		Sight: query.Sight(w.vault.Derive), Derive: w.vault.Derive,
	})
	jobs.Handle(export.Kind, exports.Work)
	jobs.Price(export.Kind, export.Price())
	site := w.variant(t, func(cfg *api.Config) { cfg.Jobs, cfg.Exports = jobs, exports }, nil)
	stays, _ := p.member(access.Analyst, false)
	goes, one := p.member(access.Analyst, false)
	ids := map[string]string{}
	for _, email := range []string{stays, goes} { // nothing runs yet
		_, body := site.call(t, "POST", "/v1/exports", strings.NewReader(`{"of":"events"}`), "X-API-Key", p.session(email).Access)
		var e taken
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Status != string(job.Queued) {
			t.Fatalf("%s", body)
		}
		ids[email] = e.ID
	}
	if _, err := w.members.Change(t.Context(), p.permit(access.WriteMembers), one.ID, access.Viewer, false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- jobs.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	for email, want := range map[string]job.State{stays: job.Succeeded, goes: job.Failed} {
		if err := jobs.Await(t.Context(), ids[email]); err != nil {
			t.Fatal(err)
		}
		j, found, err := jobs.Find(t.Context(), p.id, ids[email])
		if err != nil || !found || j.State != want {
			t.Errorf("the export is %s (%s), want %s; %v", j.State, j.Detail, want, err)
		}
	}
}
