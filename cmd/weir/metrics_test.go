package main

import (
	"bufio"
	"net/http"
	"os"
	"strings"
	"testing"
)

// Promise: every metric of ours has a help text and stands in docs/operations.md; and metrics are not served where the
// API is.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := install(t).serve("--metrics-listen", "127.0.0.1:"+port)
	answer, err := http.Get(r.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("the API's listener answers /metrics with %s", answer.Status)
	}
	answer, err = http.Get("http://127.0.0.1:" + port + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	seen := 0
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), "# HELP weir_")
		if !ok {
			continue
		}
		seen++
		name, help, _ := strings.Cut(rest, " ")
		if help == "" {
			t.Errorf("weir_%s has no help", name)
		}
		if !strings.Contains(string(text), "`weir_"+name+"`") {
			t.Errorf("weir_%s is not in docs/operations.md", name)
		}
	}
	if want := len(aboutFigures()); seen < want {
		t.Errorf("%d metrics of ours are served, want at least %d", seen, want)
	}
}
