package workflow_test

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/workflow"
)

// update changes a workflow, and gives what is wrong with that.
func (b *bench) update(permit gate.Permit, id string, p workflow.Patch) (workflow.Workflow, problem.Code, string) {
	w, err := b.service.Update(b.t.Context(), permit, id, p)
	if err == nil {
		return w, "", ""
	}
	said := problem.From(err)
	if len(said.Fields) == 0 {
		return w, said.Code, ""
	}
	return w, said.Code, said.Fields[0].Name
}

// Promise: a workflow whose address is no longer taken is disabled, renamed and given another template; it is not enabled, nor sent
// elsewhere where that is not taken either, and what is not looked at stays as it was.
func TestAnAddressIsCheckedWhenItIsUsedAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t, func() time.Time { return time.Unix(1780000000, 0) })
	made, _ := b.create(workflow.Wanted{ID: "hook", URL: "https://a.example/x"})
	b.web.refuse("a.example")
	name, template, no, yes := "another", jsontext.Value(`{"a":1}`), false, true
	same, other, inside := "https://a.example/x", "https://b.example/y", "https://inside.example/"
	for _, c := range []struct {
		what  string
		patch workflow.Patch
		code  problem.Code
	}{
		{"renamed", workflow.Patch{Name: &name}, ""},
		{"another template", workflow.Patch{Template: &template}, ""},
		{"the same address", workflow.Patch{URL: &same, Enabled: &yes}, ""},
		{"another bad address", workflow.Patch{URL: &inside}, problem.InvalidField},
		{"disabled", workflow.Patch{Enabled: &no}, ""},
		{"renamed while disabled", workflow.Patch{Name: &made.ID}, ""},
		{"a bad address while disabled", workflow.Patch{URL: &inside}, problem.InvalidField},
		{"enabled", workflow.Patch{Enabled: &yes}, problem.InvalidField},
		{"enabled and renamed", workflow.Patch{Name: &name, Enabled: &yes}, problem.InvalidField},
	} {
		w, code, field := b.update(b.permit(access.WriteWorkflows), "hook", c.patch)
		if code != c.code || code != "" && field != "url" || code == "" && (w.Target != made.Target || w.URL != same) {
			t.Errorf("%s: %q at %q, %+v", c.what, code, field, w)
		}
	}
	if w, code, _ := b.update(b.permit(access.WriteWorkflows), "hook", workflow.Patch{URL: &other, Enabled: &yes}); code != "" || !w.Enabled || w.Target == made.Target {
		t.Errorf("sent elsewhere and enabled: %q, %+v", code, w)
	}
}

// Promise: whoever may not send an event disables and renames the workflow that records it, and does not make it another event, nor
// another content, nor enable it.
func TestEndingWhatRecordsAnEventNeedsNoRightToSend(t *testing.T) {
	t.Parallel()
	b := newBench(t, func() time.Time { return time.Unix(1780000000, 0) })
	b.create(workflow.Wanted{ID: "note", Event: "noted"})
	template, no, yes, same, other := jsontext.Value(`{"a":1}`), false, true, "noted", "other"
	for _, c := range []struct {
		what  string
		patch workflow.Patch
		code  problem.Code
	}{
		{"renamed", workflow.Patch{Name: &same}, ""},
		{"the same event", workflow.Patch{Event: &same}, ""},
		{"another event", workflow.Patch{Event: &other}, problem.MissingScope},
		{"another content", workflow.Patch{Template: &template}, problem.MissingScope},
		{"disabled", workflow.Patch{Enabled: &no}, ""},
		{"another event while disabled", workflow.Patch{Event: &other}, problem.MissingScope},
		{"enabled", workflow.Patch{Enabled: &yes}, problem.MissingScope},
	} {
		permit := b.world.PermitOf(access.Key{Scopes: access.WorkflowsWrite}, access.Attempt{Action: access.WriteWorkflows, Targets: []access.Target{{Environment: "production"}}})
		if _, code, _ := b.update(permit, "note", c.patch); code != c.code {
			t.Errorf("%s: %q", c.what, code)
		}
	}
}

// Promise: an id that is taken is named.
func TestAnIDThatIsTakenIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t, func() time.Time { return time.Unix(1780000000, 0) })
	b.create(workflow.Wanted{ID: "hook", URL: "https://a.example/x"})
	_, _, err := b.service.Create(t.Context(), b.permit(access.WriteWorkflows), workflow.Wanted{ID: "hook", URL: "https://b.example/x"})
	if p := problem.From(err); p.Code != problem.Conflict || len(p.Fields) != 1 || p.Fields[0].Name != "id" {
		t.Errorf("%v", err)
	}
}
