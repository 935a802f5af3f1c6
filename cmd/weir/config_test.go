package main

import (
	"os"
	"strings"
	"testing"
)

// Promise: the list of settings in the documentation is the list of settings there are.
func TestSettingsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), settingsTable()) {
		t.Fatal("docs/configuration.md does not hold what 'weir config list' prints; put this there:\n" + settingsTable())
	}
}

// Promise: every setting's default is good, and its variable, flag and key are its own.
func TestDefaultsAreGood(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	c, err := readConfig(nil, none, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:8787" || c.Data != "./weir-data" || c.QueryRows != 100_000 || c.QueryBytes != 64<<20 {
		t.Fatalf("defaults are %+v", c)
	}
	seen := map[string]bool{}
	for _, s := range settings() {
		if seen[s.variable()] || seen[s.key()] || s.help == "" {
			t.Errorf("setting %q is there twice, or has no help", s.name)
		}
		seen[s.variable()], seen[s.key()] = true, true
	}
}

// Promise: a flag wins over a variable, a variable over the file, the file over the default.
func TestPrecedence(t *testing.T) {
	file := t.TempDir() + "/weir.toml"
	if err := os.WriteFile(file, []byte("query_rows = 1\nquery_queue = 1\nquery_concurrency = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"WEIR_QUERY_ROWS": "2", "WEIR_QUERY_QUEUE": "2"}[name]
		return v, ok
	}
	c, err := readConfig(map[string]string{"query-rows": "3"}, env, file)
	if err != nil {
		t.Fatal(err)
	}
	if c.QueryRows != 3 || c.QueryQueue != 2 || c.QueryConcurrency != 1 {
		t.Fatalf("rows %d, queue %d, concurrency %d; want 3, 2, 1", c.QueryRows, c.QueryQueue, c.QueryConcurrency)
	}
}

// Promise: sizes are read as written, and what is no size is refused.
func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "12": 12, "64KiB": 64 << 10, "5 MiB": 5 << 20, "2GiB": 2 << 30} {
		if got, err := sizeOf(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1TB", "GiB", "99999999999GiB", "1.5GiB"} {
		if got, err := sizeOf(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}
