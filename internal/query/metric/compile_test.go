package metric_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-analytics/weir/internal/query/metric"
)

var update = flag.Bool("update", false, "write the golden files")

// golden is one file of testdata/compile: definitions, and what each is compiled to.
type golden struct {
	path    string
	archive *txtar.Archive
}

func goldens(t testing.TB) []golden {
	t.Helper()
	paths, err := filepath.Glob("testdata/compile/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	all := make([]golden, len(paths))
	for i, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = golden{path, archive}
	}
	return all
}

// definitions calls each with every definition of the golden files.
func definitions(t testing.TB, each func(name string, definition []byte)) {
	t.Helper()
	n := 0
	for _, g := range goldens(t) {
		for _, file := range g.archive.Files {
			if strings.HasSuffix(file.Name, ".json") {
				n++
				each(filepath.Base(g.path)+"/"+file.Name, file.Data)
			}
		}
	}
	if n < 20 {
		t.Fatalf("only %d definitions: the files are not read as they are written", n)
	}
}

// compiled is the statement of a definition that must be good.
func compiled(t testing.TB, definition string) *metric.Statement {
	t.Helper()
	d, err := metric.Read([]byte(definition))
	if err != nil {
		t.Fatalf("%s\n%v", definition, err)
	}
	s, err := metric.Compile(&d)
	if err != nil {
		t.Fatalf("%s\n%v", definition, err)
	}
	return s
}

// shown is a statement with its parameters and columns.
func shown(s *metric.Statement) string {
	var b strings.Builder
	b.WriteString(s.SQL + "\n")
	for i, p := range s.Parameters {
		switch {
		case p.Variable != "":
			fmt.Fprintf(&b, "-- $%d is the variable %s\n", i+1, p.Variable)
		case p.Value != nil:
			fmt.Fprintf(&b, "-- $%d is %s\n", i+1, p.Value)
		default:
			fmt.Fprintf(&b, "-- $%d is the time\n", i+1)
		}
	}
	for _, c := range s.Columns {
		fmt.Fprintf(&b, "-- %s %s\n", c.Name, c.Type)
	}
	return b.String()
}

// Promise: each form is compiled to the SQL that testdata/compile has, which is written to be read.
func TestStatements(t *testing.T) {
	for _, g := range goldens(t) {
		wrote := &txtar.Archive{Comment: g.archive.Comment}
		for i, file := range g.archive.Files {
			name, ok := strings.CutSuffix(file.Name, ".json")
			if !ok {
				continue
			}
			got := shown(compiled(t, string(file.Data)))
			wrote.Files = append(wrote.Files, file, txtar.File{Name: name + ".sql", Data: []byte(got)})
			if *update {
				continue
			}
			if i+1 == len(g.archive.Files) || g.archive.Files[i+1].Name != name+".sql" {
				t.Errorf("%s: %s has no statement", g.path, name)
			} else if want := string(g.archive.Files[i+1].Data); got != want {
				t.Errorf("%s: %s is compiled to\n%s\nand not to\n%s", g.path, name, got, want)
			}
		}
		if *update {
			if err := os.WriteFile(g.path, txtar.Format(wrote), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
