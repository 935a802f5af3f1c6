package metric_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/metric"
)

// Promise: a definition is read strictly, and all that is wrong with it is told at once, each by its path, as
// testdata/read.txtar says.
func TestFaultsOfDefinitions(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/read.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) < 30 {
		t.Fatalf("only %d sections", len(archive.Files))
	}
	for _, section := range archive.Files {
		text, want, _ := strings.Cut(string(section.Data), "\n=>\n")
		got := ""
		if _, err := metric.Read([]byte(text)); err != nil {
			p := problem.From(err)
			if p.Code != problem.InvalidField {
				t.Errorf("%s: %v", section.Name, err)
			}
			for _, f := range p.Fields {
				got += f.Name + ": " + f.Detail + "\n"
			}
		}
		if got != want {
			t.Errorf("%s:\n%s\nhas the faults\n%sand not\n%s", section.Name, text, got, want)
		}
	}
}

// Promise: what is no JSON is said to be none, with its place.
func TestNoJSON(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "The definition is not one JSON object.",
		"{\n \"sql\" \"x\"}":              "(line 2, column",
		`{"sql": "SELECT 1"} {}`:          "The definition is not one JSON object",
		`{"sql": "SELECT 1", "sql": "x"}`: "The definition has a member twice",
		"{\"sql\": \"\xff\"}":             "The definition is not one JSON object",
		strings.Repeat("[", 20_000):       "The definition is not one JSON object",
		`{"trend": {"filters": [{"value": {"a": 1, "a": 2}}]}}`: "The definition has a member twice",
	} {
		_, err := metric.Read([]byte(text))
		if problem.Of(err) != problem.InvalidJSON || !strings.Contains(problem.From(err).Detail, want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// Promise: there is a limit on everything in a definition.
func TestLimits(t *testing.T) {
	condition := `{"property": "a", "op": "exists"}`
	times := func(n int, text string) string { return strings.TrimSuffix(strings.Repeat(text+",", n), ",") }
	list := func(n, from int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("%d", from+i)
		}
		return `{"property": "a", "op": "in", "value": [` + strings.Join(all, ",") + `]}`
	}
	variables := func(n int) string {
		var names, declared []string
		for i := range n {
			names = append(names, fmt.Sprintf("@{v%d}", i))
			declared = append(declared, fmt.Sprintf(`{"name": "v%d", "type": "string"}`, i))
		}
		return `{"sql": "SELECT ` + strings.Join(names, ",") + `", "variables": [` + strings.Join(declared, ",") + `]}`
	}
	for _, c := range []struct {
		name, fits, over, fault string
	}{
		{"text", `{"sql": "SELECT 1"` + strings.Repeat(" ", metric.MaxText-19) + "}", `{"sql": "SELECT 1"` + strings.Repeat(" ", metric.MaxText-18) + "}", "must be at most 262144 bytes long"},
		{"sql", `{"sql": "SELECT '` + strings.Repeat("x", metric.MaxSQL-9) + `'"}`, `{"sql": "SELECT '` + strings.Repeat("x", metric.MaxSQL-8) + `'"}`, "must be at most 65536 bytes long, is 65537"},
		{"variables", variables(32), variables(33), "must have at most 32 items, has 33"},
		{"filters", `{"trend": {"filters": [` + times(64, condition) + `]}}`, `{"trend": {"filters": [` + times(65, condition) + `]}}`, "must have at most 64 items, has 65"},
		{
			"conditions", `{"trend": {"filters": [{"any": [` + times(32, condition) + `]}, {"any": [` + times(32, condition) + `]}]}}`,
			`{"trend": {"filters": [{"any": [` + times(32, condition) + `]}, {"any": [` + times(33, condition) + `]}]}}`, "must have at most 64 conditions in all its filters, has 65",
		},
		{"items", `{"trend": {"filters": [` + list(100, 0) + `]}}`, `{"trend": {"filters": [` + list(101, 0) + `]}}`, "must have at most 100 items"},
		{
			"values", `{"trend": {"filters": [` + list(100, 0) + "," + list(100, 100) + "," + list(100, 200) + "," + list(100, 300) + "," + list(100, 400) + `]}}`,
			`{"trend": {"filters": [` + list(100, 0) + "," + list(100, 100) + "," + list(100, 200) + "," + list(100, 300) + "," + list(100, 400) + "," + list(1, 500) + `]}}`,
			"must have at most 500 values in all its filters, has 501",
		},
		{"event", `{"trend": {"event": "` + strings.Repeat("e", 256) + `"}}`, `{"trend": {"event": "` + strings.Repeat("e", 257) + `"}}`, "must be at most 256 bytes long, is 257"},
		{"property", `{"top": {"by": {"property": "` + strings.Repeat("p", 512) + `"}}}`, `{"top": {"by": {"property": "` + strings.Repeat("p", 513) + `"}}}`, "must be at most 512 bytes long, is 513"},
		{
			"literal", `{"trend": {"filters": [{"property": "a", "op": "=", "value": "` + strings.Repeat("x", 4094) + `"}]}}`,
			`{"trend": {"filters": [{"property": "a", "op": "=", "value": "` + strings.Repeat("x", 4095) + `"}]}}`, "must be at most 4096 bytes long",
		},
	} {
		if _, err := metric.Read([]byte(c.fits)); err != nil {
			t.Errorf("%s: at the limit: %v", c.name, err)
		}
		if _, err := metric.Read([]byte(c.over)); problem.Of(err) != problem.InvalidField || !strings.Contains(problem.From(err).Detail, c.fault) {
			t.Errorf("%s: over the limit: %v", c.name, err)
		}
	}
	many := `{"trend": {"filters": [` + times(64, `{"property": "..", "op": "like"}`) + `]}}`
	_, err := metric.Read([]byte(many))
	if p := problem.From(err); len(p.Fields) != 50 || !strings.Contains(p.Detail, "and 78 more faults") {
		t.Errorf("%d faults are told: %.200s", len(p.Fields), p.Detail)
	}
}

// Promise: a statement that its rewriting makes too long is refused.
func TestStatementTooLong(t *testing.T) {
	d := metric.Definition{SQL: "SELECT " + strings.TrimSuffix(strings.Repeat("@{l}, ", 10_000), ", "), Variables: []metric.Variable{{Name: "l", Type: metric.Strings}}}
	if _, err := metric.Compile(&d); problem.Of(err) != problem.InvalidField || !strings.Contains(err.Error(), "makes a statement of") {
		t.Error(err)
	}
}

// Promise: whatever is sent as a definition is read or refused with invalid_field or invalid_json, and what is read is
// compiled to a statement that passes the sandbox, when it is no SQL of the user's.
func FuzzRead(f *testing.F) {
	definitions(f, func(_ string, definition []byte) { f.Add(definition) })
	g := openSandbox(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := metric.Read(text)
		if code := problem.Of(err); err != nil && code != problem.InvalidField && code != problem.InvalidJSON {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		s, err := metric.Compile(&d)
		if err != nil {
			t.Fatalf("it was read: %v", err)
		}
		if _, err := s.Bind(nil, now); err != nil && problem.Of(err) != problem.InvalidField {
			t.Fatal(err)
		}
		if d.SQL != "" {
			return
		}
		facts, err := g.Facts(t.Context(), s.SQL)
		if err != nil {
			t.Fatalf("%v\n%s", err, s.SQL)
		}
		if len(facts.Parameters) != len(s.Parameters) {
			t.Fatalf("the engine finds the parameters %v, the statement has %d\n%s", facts.Parameters, len(s.Parameters), s.SQL)
		}
	})
}
