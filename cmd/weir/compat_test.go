package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Promise: clients of other systems work unmodified with their address changed: UserFlux's library for back ends, Segment's
// for Node, IEX Cloud's, and that of Altertable's lakehouse but for one fault of its; and datasets that others made are given back as they are in their files.
func TestClientsOfOtherSystems(t *testing.T) {
	if _, err := os.Stat("../../tools/compat/node_modules"); err != nil {
		t.Fatal("the clients are not installed: scripts/test-deps installs them")
	}
	r := install(t).serve()
	r.patch("/v1/project/policy", `{"secret_in_url":true}`) // IEX Cloud's clients send it there
	c := exec.CommandContext(t.Context(), "node", "check.mjs")
	c.Dir = "../../tools/compat"
	c.Env = append(os.Environ(), "WEIR="+r.url, "PUBLIC="+r.public, "SECRET="+r.secret)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// patch changes something with the secret key.
func (r *running) patch(path, body string) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodPatch, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("X-API-Key", r.secret)
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %d %s", path, answer.StatusCode, text)
	}
}
