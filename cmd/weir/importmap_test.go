package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// Promise: a column that is mapped and that the file does not have ends an import as a wrong command line before anything is sent,
// and names it and those that there are; one that is there, a path into one and any column of NDJSON do not.
func TestImportOfColumnsThatAreNotThere(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent.Add(1)
		_, _ = io.WriteString(w, `{"rejected":[]}`)
	}))
	t.Cleanup(server.Close)
	folder := t.TempDir()
	var table bytes.Buffer
	type user struct {
		ID string `parquet:"id"`
	}
	type row struct {
		Event string `parquet:"event"`
		User  user   `parquet:"user"`
		When  string `parquet:"when"`
	}
	out := parquet.NewGenericWriter[row](&table)
	if _, err := out.Write([]row{{"a", user{"u"}, "2026-01-31T10:00:00Z"}}); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "a.parquet"), table.String())
	write(t, filepath.Join(folder, "a.csv"), "event,user,when,x.y\na,\"{\"\"id\"\":\"\"u\"\"}\",2026-01-31T10:00:00Z,1\n")
	write(t, filepath.Join(folder, "a.tsv"), "event\tuser\twhen\na\tu\t2026-01-31T10:00:00Z\n")
	write(t, filepath.Join(folder, "a.ndjson"), `{"event":"a","user":"u"}`+"\n")
	for _, name := range []string{"a.csv", "a.tsv", "a.parquet"} {
		for _, more := range [][]string{nil, {"--dry-run"}} {
			text, exit := importing(t, server.URL, folder, append([]string{name, "--map", "distinct_id=usr", "--map", "timestamp=wen.at", "--map", "properties.w=when"}, more...)...)
			for _, want := range []string{"--map distinct_id=usr", "--map timestamp=wen.at", `"event", "user", "when"`} {
				if exit != 2 || !strings.Contains(text, want) || strings.Contains(text, "properties.w") {
					t.Errorf("%s %v: status %d, %s; want %s", name, more, exit, text, want)
				}
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*.weir-import*")); sent.Load() > 0 || err != nil || len(left) > 0 {
		t.Errorf("%d batches were sent, there are %v (%v)", sent.Load(), left, err)
	}
	for name, columns := range map[string][]string{"a.csv": {"user.id", "when", "x.y"}, "a.tsv": {"user", "when"}, "a.parquet": {"user.id", "when"}, "a.ndjson": {"user", "when"}} {
		args := []string{name}
		for i, column := range columns {
			args = append(args, "--map", []string{"distinct_id", "timestamp", "properties.p"}[i]+"="+column)
		}
		if text, exit := importing(t, server.URL, folder, args...); exit != 0 {
			t.Errorf("%v: status %d, %s", args, exit, text)
		}
	}
}

// Promise: a header of many columns, or with what would act on a terminal, is told in one line that does not.
func TestImportTellsColumns(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	var columns strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&columns, ",n%d", i)
	}
	write(t, filepath.Join(folder, "a.csv"), "event,\x1b[2J,c"+columns.String()+"\n")
	text, exit := importing(t, "http://127.0.0.1:1", folder, "a.csv", "--map", "distinct_id=\x1b[3J")
	if exit != 2 || strings.Contains(text, "\x1b") || len(text) > 2000 || !strings.Contains(text, `"event", "\x1b[2J", "c"`) || !strings.Contains(text, "and 49") {
		t.Errorf("status %d, %q", exit, text)
	}
}

// Promise: a format that there is not is a wrong command line, and nothing is read or sent.
func TestImportOfNoFormat(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write(t, filepath.Join(folder, "a.csv"), "event\na\n")
	for _, name := range []string{"a.csv", "gone.csv"} {
		if text, exit := importing(t, "http://127.0.0.1:1", folder, name, "--format", "xls"); exit != 2 || !strings.Contains(text, `--format: "xls" is not ndjson, csv, tsv or parquet`) {
			t.Errorf("%s: status %d, %s", name, exit, text)
		}
	}
}
