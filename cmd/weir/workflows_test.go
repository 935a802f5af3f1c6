package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/api"
)

// workflowShell runs commands about workflows, on a data folder or against a server.
type workflowShell struct {
	*installation
	where []string
	env   []string
}

// run gives what 'weir workflows' printed, and must end with a status.
func (s *workflowShell) run(want int, args ...string) string {
	s.t.Helper()
	c := s.weir(append(append([]string{"workflows"}, args...), s.where...)...)
	c.Env = append(c.Env, s.env...)
	text, err := c.CombinedOutput()
	if status(err) != want {
		s.t.Fatalf("%v: status %d, want %d\n%s", args, status(err), want, text)
	}
	return string(text)
}

func (s *workflowShell) says(out string, wants ...string) {
	s.t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			s.t.Errorf("there is no %q in %s", want, out)
		}
	}
}

// Promise: 'weir workflows' does what the routes of workflows do, against a server and on the data folder of a stopped one alike: it
// shows, changes, enables, disables and deletes them, by revision if that is wanted, and pages through deliveries; a secret is
// shown when it is made, and never again.
func TestWorkflowsFromTheCommandLine(t *testing.T) {
	in := install(t)
	t.Run("folder", func(t *testing.T) {
		s := &workflowShell{installation: in, where: []string{"--data", in.data, "--webhook-allow", "127.0.0.1"}}
		s.t = t
		s.lives("a")
	})
	r := in.serve("--webhook-allow", "127.0.0.1")
	t.Run("server", func(t *testing.T) {
		s := &workflowShell{installation: in, env: []string{"WEIR_URL=" + r.url, "WEIR_KEY=" + in.secret}}
		s.t = t
		s.lives("b")
	})
}

// lives takes workflows through all that can become of them.
func (s *workflowShell) lives(suffix string) {
	paid, hook := "paid-"+suffix, "hook-"+suffix
	s.says(s.run(0, "create", paid, "--event", "Order Paid", "--name", "Orders", "--template", `{"amount":"{{amount}}"}`, "--disabled"), paid, "disabled", "records Order Paid", "Orders")
	s.says(s.run(0, "show", paid), paid, "disabled", "Order Paid", "Orders", "production", `{"amount":"{{amount}}"}`, "amount", "revision", "1")
	s.says(s.run(0, "enable", paid), paid+"  enabled")
	s.says(s.run(0, "update", paid, "--name", "bad\x1b[2J", "--event", "Order Sent", "--template", "", "--revision", "2"), "records Order Sent", "bad [2J")
	var one api.Workflow
	if text := s.run(0, "show", paid, "--json"); json.Unmarshal([]byte(text), &one) != nil || one.ID != paid || len(one.Template) > 0 || one.Name != "bad\x1b[2J" || one.Revision != 3 || !one.Enabled {
		s.t.Errorf("%s", text)
	}
	if text := s.run(0, "show", paid); strings.Contains(text, "\x1b") || strings.Contains(text, "amount") {
		s.t.Errorf("%q", text)
	}
	for _, late := range [][]string{{"update", paid, "--name", "x"}, {"enable", paid}, {"disable", paid}, {"delete", paid}} {
		s.says(s.run(1, append(late, "--revision", "2")...), "precondition_failed")
	}
	s.says(s.run(0, "disable", paid, "--revision", "3"), paid+"  disabled")
	s.says(s.run(2, "update", paid), "nothing to change")
	s.says(s.run(2, "update", paid, "--template", "{"), "--template")
	s.says(s.run(1, "show", paid, "--environment", "staging"), "not_found")

	made := s.run(0, "create", hook, "--to", "http://127.0.0.1:9/")
	again := s.run(0, "rotate", hook, "--overlap", "1h")
	shown := s.run(0, "show", hook)
	for _, text := range []string{made, again} {
		_, secret, found := strings.Cut(text, "whsec_")
		if secret = strings.Fields(secret)[0]; !found || strings.Contains(shown, secret) || text == again && !strings.Contains(shown, secret[len(secret)-4:]) {
			s.t.Errorf("%s\nis shown as\n%s", text, shown)
		}
	}
	s.says(shown, "http://127.0.0.1:9/", "until")
	first, same, second := s.run(0, "trigger", hook, "n=1", "--idempotency-key", "k"), s.run(0, "trigger", hook, "n=1", "--idempotency-key", "k"), s.run(0, "trigger", hook, "n=2")
	id := func(text string) string { return strings.Fields(text)[0] }
	if id(first) != id(same) || id(first) == id(second) {
		s.t.Errorf("triggered: %s%s%s", first, same, second)
	}
	var page api.WorkflowDeliveries
	if text := s.run(0, "deliveries", hook, "--limit", "1", "--json"); json.Unmarshal([]byte(text), &page) != nil || len(page.Data) != 1 || page.NextCursor == nil || page.Data[0].ID != id(second) {
		s.t.Fatalf("%s", text)
	}
	s.says(s.run(0, "deliveries", hook, "--limit", "1"), id(second), "There is more")
	s.says(s.run(0, "deliveries", hook, "--cursor", *page.NextCursor), id(first))
	s.says(s.run(0, "delete", hook), hook+" is deleted")
	s.says(s.run(1, "show", hook), "not_found")
	if text := s.run(0, "list"); strings.Contains(text, hook) || !strings.Contains(text, paid+"  disabled") {
		s.t.Errorf("%s", text)
	}
}
