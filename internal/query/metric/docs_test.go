package metric_test

import (
	"os"
	"strings"
	"testing"
)

// Promise: each definition in the documentation is good and passes the sandbox, and the statements beside them are what
// they become.
func TestDocumentedDefinitions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	g := openSandbox(t)
	sql, seen := "", 0
	for i, block := range strings.Split(string(text), "```") {
		if i%2 == 0 {
			continue
		}
		language, body, _ := strings.Cut(block, "\n")
		switch language {
		case "json":
			sql = compiled(t, body).SQL
			if _, err := g.Facts(t.Context(), sql); err != nil {
				t.Errorf("%v\n%s", err, body)
			}
			seen++
		case "sql":
			if strings.TrimSpace(body) != sql {
				t.Errorf("the definition becomes\n%s\nand not\n%s", sql, body)
			}
		case "sh", "http":
		default:
			t.Errorf("a block of %q", language)
		}
	}
	if seen < 6 {
		t.Errorf("only %d definitions", seen)
	}
}
