// Package weir_test holds the rules of the house as tests: who may import whom, which words belong where, how large a
// thing may grow, what nobody may do. Each rule is a function from source to faults. It is applied to the repository,
// where it must find nothing, and to a small example that breaks it, where it must find exactly the marked lines: a
// rule that has gone blind fails too.
//
// It owns the rules and nothing else. What gofmt, go vet, staticcheck and golangci-lint can see is left to them.
package weir_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

const module = "github.com/weir-analytics/weir/"

// fault is one breach of a rule.
type fault struct {
	path string
	line int
	what string
}

// tree is the text of a repository, with its Go source parsed.
type tree struct {
	texts    map[string]string // every text file by path
	files    []*file           // the Go files, in the order of their paths
	packages []*pkg
	pictures []string // the paths of files that are no text
}

// file is one Go file.
type file struct {
	path   string
	folder string
	syntax *ast.File
	fset   *token.FileSet
	test   bool // a _test file, or a file of a test kit
}

// pkg is the files of one folder and one package name. Names are resolved within the package; imported packages are
// known by path only.
type pkg struct {
	folder string
	files  []*file
	info   *types.Info
	scope  *types.Scope
}

func (f *file) fault(at token.Pos, format string, args ...any) fault {
	return fault{f.path, f.line(at), fmt.Sprintf(format, args...)}
}

func (f *file) line(at token.Pos) int { return f.fset.Position(at).Line }

// in reports whether the file lies in one of the folders or below.
func (f *file) in(folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return within(f.folder, folder) })
}

func within(folder, root string) bool { return folder == root || strings.HasPrefix(folder, root+"/") }

// repository is the tree the tests run in.
var repository = sync.OnceValues(func() (*tree, error) { return readTree(os.DirFS(".")) })

// readTree reads what belongs to the repository: not what is built, installed or stored beside it.
func readTree(root fs.FS) (*tree, error) {
	texts, pictures := map[string]string{}, []string(nil)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{".git", ".bin", "bin", "node_modules", "weir-data"}, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > 4<<20 {
			return err
		}
		data, err := fs.ReadFile(root, name)
		if err == nil && utf8.Valid(data) && !strings.Contains(string(data), "\x00") {
			texts[name] = string(data)
		} else if err == nil {
			pictures = append(pictures, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	t, err := parseTree(texts)
	if err == nil {
		t.pictures = pictures
	}
	return t, err
}

// parseTree parses the Go files among the texts, leaving out generated ones and what the go command leaves out.
func parseTree(texts map[string]string) (*tree, error) {
	t := &tree{texts: texts}
	fset := token.NewFileSet()
	byName := map[string]*pkg{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if !strings.HasSuffix(name, ".go") || slices.Contains(strings.Split(name, "/"), "testdata") {
			continue
		}
		syntax, err := parser.ParseFile(fset, name, texts[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if ast.IsGenerated(syntax) {
			continue
		}
		f := &file{path: name, folder: path.Dir(name), syntax: syntax, fset: fset}
		f.test = strings.HasSuffix(name, "_test.go") || kit(f.folder)
		key := f.folder + " " + syntax.Name.Name
		if byName[key] == nil {
			byName[key] = &pkg{folder: f.folder}
			t.packages = append(t.packages, byName[key])
		}
		byName[key].files = append(byName[key].files, f)
		t.files = append(t.files, f)
	}
	for _, p := range t.packages {
		p.resolve()
	}
	return t, nil
}

// resolve finds out what each name stands for. Types of imported packages stay unknown, and what does not type-check
// for want of them is passed over.
func (p *pkg) resolve() {
	p.info = &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	var files []*ast.File
	for _, f := range p.files {
		files = append(files, f.syntax)
	}
	config := types.Config{Importer: hollow{}, Error: func(error) {}}
	checked, _ := config.Check(p.folder, p.files[0].fset, files, p.info)
	p.scope = checked.Scope()
}

// hollow imports every package as an empty one.
type hollow struct{}

func (hollow) Import(name string) (*types.Package, error) {
	if name == "unsafe" {
		return types.Unsafe, nil
	}
	p := types.NewPackage(name, path.Base(name))
	p.MarkComplete()
	return p, nil
}

// refers reports whether e is package.name, for one of the names, whatever the import is called here.
func (p *pkg) refers(e ast.Node, imported string, names ...string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok || !slices.Contains(names, selector.Sel.Name) {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	if !ok {
		return false
	}
	name, ok := p.info.Uses[x].(*types.PkgName)
	return ok && name.Imported().Path() == imported
}

// hold applies a rule to the repository and to an example of its breach. In the example, the lines to be found end
// with the word FAULT.
func hold(t *testing.T, rule func(*tree) []fault, example map[string]string) {
	t.Helper()
	t.Parallel()
	bad, err := parseTree(example)
	if err != nil {
		t.Fatal(err)
	}
	marked := map[string]bool{}
	for name, text := range example {
		for i, line := range strings.Split(text, "\n") {
			if strings.Contains(line, "FAULT") {
				marked[fmt.Sprintf("%s:%d", name, i+1)] = true
			}
		}
	}
	found := map[string]bool{}
	for _, f := range rule(bad) {
		at := fmt.Sprintf("%s:%d", f.path, f.line)
		found[at] = true
		if !marked[at] {
			t.Errorf("the rule finds a fault where the example has none: %s: %s", at, f.what)
		}
	}
	for at := range marked {
		if !found[at] {
			t.Errorf("the rule is blind: it does not find %s of its example", at)
		}
	}
	good, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rule(good) {
		t.Errorf("%s:%d: %s", f.path, f.line, f.what)
	}
}

// rungs is the ladder: a package may import only what stands on a lower rung. A folder is a house, or a room of the
// house it lies in; a house has the rung of its entry, and its rooms may import one another.
var rungs = map[string]int{
	"internal/access": 0, "internal/mention": 0, "internal/problem": 0, "internal/proxy": 0, "internal/signature": 0,
	"sdk/*": 0, "internal/room": 1, "internal/gate": 1, "internal/vault": 1, "internal/view": 1,
	"internal/keyring": 2, "internal/token": 2, "internal/org": 2, "internal/event": 2, "internal/profile": 2,
	"internal/recording": 2, "internal/dataset": 2, "internal/deletion": 2, "internal/query": 2, "internal/workflow": 2, "internal/limit": 2,
	"internal/ledger": 2, "internal/audit": 2, "internal/job": 2, "internal/app": 2,
	"internal/rejected": 2, "internal/export": 2,
	"internal/journal/*": 3, "internal/limit/*": 3, "internal/store": 3, "internal/warehouse/*": 3, "internal/api": 3,
	"internal/compat": 3, "internal/console": 3, "internal/shell": 3, "internal/intake": 3,
	"cmd/*": 4, "bench": 4, "examples/*": 4, ".": 4, "tools": 4,
}

// besides are the imports allowed within a rung: query names its rows by event.Space, every part is told by event.Traces
// what to forget, the ids that belong to nobody are those of events, whoever changes something writes the
// audit, an app is let in with a key, what is made of others is made of them, and the rows of other systems are
// translated by compat.
var besides = map[[2]string]bool{
	{"internal/api", "internal/compat"}:          true,
	{"internal/app", "internal/audit"}:           true,
	{"internal/app", "internal/keyring"}:         true,
	{"internal/dataset", "internal/audit"}:       true,
	{"internal/dataset", "internal/event"}:       true,
	{"internal/dataset", "internal/job"}:         true,
	{"internal/dataset", "internal/query"}:       true,
	{"internal/export", "internal/dataset"}:      true,
	{"internal/export", "internal/event"}:        true,
	{"internal/export", "internal/job"}:          true,
	{"internal/export", "internal/query"}:        true,
	{"internal/keyring", "internal/audit"}:       true,
	{"internal/org", "internal/audit"}:           true,
	{"internal/profile", "internal/event"}:       true,
	{"internal/profile", "internal/query"}:       true,
	{"internal/profile/graph", "internal/event"}: true,
	{"internal/query", "internal/event"}:         true,
	{"internal/recording", "internal/event"}:     true,
	{"internal/rejected", "internal/event"}:      true,
	{"internal/query/saved", "internal/audit"}:   true,
	{"internal/workflow", "internal/audit"}:      true,
	{"internal/workflow", "internal/event"}:      true,
	{"internal/deletion", "internal/audit"}:      true,
	{"internal/deletion", "internal/event"}:      true,
	{"internal/deletion", "internal/job"}:        true,
}

// houseOf finds the house a folder is or lies in, and its rung.
func houseOf(folder string) (house string, rung int, known bool) {
	for at := folder; at != "." || folder == "."; at = path.Dir(at) {
		if rung, ok := rungs[at]; ok {
			return at, rung, true
		}
		if rung, ok := rungs[path.Dir(at)+"/*"]; ok {
			return at, rung, true
		}
	}
	return "", 0, false
}

// kit reports whether a folder is a test kit: storetest, warehousetest and the like, which only tests import.
func kit(folder string) bool {
	return strings.HasPrefix(folder, "internal/") && strings.HasSuffix(path.Base(folder), "test")
}

// Promise: imports go strictly down the ladder, so the policy knows nobody, an engine never sees the HTTP face, nor
// the face an engine, and no package of the domain leans on its neighbour. Tests and test kits may look up.
func TestImportsGoDown(t *testing.T) {
	hold(t, importsUp, map[string]string{
		"internal/access/a.go":     "package access\nimport \"example.org/x\" // FAULT\nimport \"strings\"",
		"internal/problem/a.go":    "package problem\nimport \"" + module + "internal/access\" // FAULT",
		"internal/gate/a.go":       "package gate\nimport \"" + module + "internal/access\"",
		"internal/query/a.go":      "package query\nimport \"" + module + "internal/event\"",
		"internal/event/a.go":      "package event\nimport \"" + module + "internal/query\" // FAULT",
		"internal/event/a_test.go": "package event\nimport \"" + module + "internal/store/storetest\"",
		"internal/limit/r/a.go":    "package r\nimport \"" + module + "internal/limit\"",
		"internal/limit/a.go":      "package limit\nimport \"" + module + "internal/limit/r\" // FAULT",
		"internal/api/a.go":        "package api\nimport _ \"" + module + "internal/warehouse/x\" // FAULT",
		"internal/store/a.go":      "package store\nimport \"" + module + "internal/store/storetest\" // FAULT",
		"internal/store/room/a.go": "package room\nimport \"" + module + "internal/store/other\"",
		"internal/attic/a.go":      "package attic // FAULT",
		"cmd/weir/a.go":            "package main\nimport \"" + module + "internal/api\"",
	})
}

func importsUp(t *tree) (faults []fault) {
	for _, f := range t.files {
		house, rung, known := houseOf(f.folder)
		if !known && !kit(f.folder) {
			faults = append(faults, f.fault(f.syntax.Name.Pos(), "the folder %s is on no rung of the ladder", f.folder))
			continue
		}
		for _, spec := range f.syntax.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			ours, isOurs := strings.CutPrefix(imported, module)
			switch {
			case f.test:
			case !isOurs && f.folder == "internal/access" && strings.Contains(imported, "."):
				faults = append(faults, f.fault(spec.Pos(), "access imports only the standard library, not %s", imported))
			case !isOurs || besides[[2]string{f.folder, ours}]:
			case kit(ours):
				faults = append(faults, f.fault(spec.Pos(), "only tests import the kit %s", ours))
			default:
				if theirs, other, ok := houseOf(ours); !ok || other >= rung && theirs != house {
					faults = append(faults, f.fault(spec.Pos(), "%s (rung %d) may not import %s (rung %d)", f.folder, rung, ours, other))
				}
			}
		}
	}
	return faults
}

// homes is where the name of an engine may be spoken. The program's own tests may name engines too, for they start
// the program with each; so may a file called engines_test.go, which is the open.go of its package's tests, and this.
var homes = []struct {
	word, home string
	exact      *regexp.Regexp // of a word that occurs in others
}{
	{"sqlite", "internal/store", nil},
	{"postgres", "internal/store", nil},
	{"pgx", "internal/store", nil},
	{"duckdb", "internal/warehouse/duckdb", nil},
	{"clickhouse", "internal/warehouse/clickhouse", nil},
	{"jetstream", "internal/journal/jetstream", nil},
	{"nats", "internal/journal/jetstream", regexp.MustCompile(`\b(nats|NATS)(\b|[A-Z])|(\b|[a-z])Nats(\b|[A-Z])`)},
	{"redis", "internal/limit/redislimit", regexp.MustCompile(`\b(redis|REDIS)(limit|\b|[A-Z_])|(\b|[a-z])Redis(\b|[A-Z])`)},
}

// Promise: an engine is named at home and where it is opened, nowhere else: there is no 'if driver ==' to forget.
func TestEnginesAreNamedAtHome(t *testing.T) {
	hold(t, engineWords, map[string]string{
		"internal/query/a.go":            "package query\n// SQLite says. FAULT\n// Redistribute the alternatives.",
		"internal/query/a_test.go":       "package query\nvar x = \"duckdb:\" // FAULT",
		"internal/query/engines_test.go": "package query\nvar x = \"duckdb:\"",
		"internal/limit/a.go":            "package limit\nvar openRedis, natsURL int // FAULT",
		"internal/store/a.go":            "package store\n// sqlite, postgres",
		"internal/warehouse/duckdb/a.go": "package duckdb\n// clickhouse FAULT",
		"cmd/weir/open.go":               "package main\n// sqlite, duckdb",
		"cmd/weir/main.go":               "package main\n// sqlite FAULT",
		"cmd/weir/main_test.go":          "package main\n// sqlite",
	})
}

func engineWords(t *tree) (faults []fault) {
	for _, f := range t.files {
		opener := f.path == "cmd/weir/open.go" || path.Base(f.path) == "engines_test.go"
		if opener || f.folder == "." || f.test && f.in("cmd/weir") {
			continue
		}
		lower := strings.ToLower(t.texts[f.path])
		for _, h := range homes {
			if f.in(h.home) || !strings.Contains(lower, h.word) {
				continue
			}
			for i, line := range strings.Split(t.texts[f.path], "\n") {
				if strings.Contains(strings.ToLower(line), h.word) && (h.exact == nil || h.exact.MatchString(line)) {
					faults = append(faults, fault{f.path, i + 1, fmt.Sprintf("the word %q belongs into %s and cmd/weir/open.go", h.word, h.home)})
				}
			}
		}
	}
	return faults
}

// Promise: error bodies are written in one place, by the frame of the HTTP face.
func TestOneWriterOfProblems(t *testing.T) {
	hold(t, problemWriters, map[string]string{
		"internal/api/a.go":      "package api\nconst media = \"application/problem+json\"",
		"internal/api/b.go":      "package api\nconst again = \"application/problem+json\" // FAULT",
		"internal/api/a_test.go": "package api\nconst media = \"application/problem+json\"",
		"internal/console/a.go":  "package console\nfunc f(w header) { w.Set(\"Content-Type\", `application/problem+json`) } // FAULT",
	})
}

func problemWriters(t *tree) (faults []fault) {
	written := false
	for _, f := range t.files {
		if f.test || f.in("examples", "bench") {
			continue
		}
		for n := range ast.Preorder(f.syntax) {
			literal, ok := n.(*ast.BasicLit)
			if !ok || !strings.Contains(literal.Value, "application/problem+json") {
				continue
			}
			if f.folder != "internal/api" || written {
				faults = append(faults, f.fault(n.Pos(), "application/problem+json is named once, in internal/api"))
			}
			written = written || f.folder == "internal/api"
		}
	}
	return faults
}

// Promise: the gate has one caller. Whoever handles a request cannot let it in by another door, nor forget to ask.
func TestOneCallerOfTheGate(t *testing.T) {
	const use = "import \"" + module + "internal/gate\"\n"
	hold(t, gateCallers, map[string]string{
		"internal/api/frame.go": "package api\n" + use + "func f() { c := g.Identify(x, gate.Credential{}, a); g.Admit(c) }",
		"internal/api/other.go": "package api\nfunc h() { g.Admit(c) } // FAULT",
		"internal/api/third.go": "package api\nfunc h() { g.Identify(x, credential(), a) } // FAULT",
		"internal/event/a.go":   "package event\n" + use + "func f(c gate.Caller) {} // FAULT\nfunc g(p gate.Permit) { p.Admit() } // FAULT",
		"internal/gate/a.go":    "package gate\nfunc f() { g.Admit(c); g.Admit(c) }",
		"internal/api/a_test.go": "package api\n" + use +
			"func f() { g.Admit(g.Identify(gate.Credential{})) }",
	})
}

// gateCallers looks for what only a caller of the gate needs: a call of Admit, a Credential to identify, the Caller
// that Identify returns. By name, because the caller may have declared its own interface for the gate.
func gateCallers(t *tree) (faults []fault) {
	calls := map[string]int{}
	for _, p := range t.packages {
		for _, f := range p.files {
			if f.test || f.folder == "internal/gate" {
				continue
			}
			for n := range ast.Preorder(f.syntax) {
				if p.refers(n, module+"internal/gate", "Credential", "Caller") && f.folder != "internal/api" {
					faults = append(faults, f.fault(n.Pos(), "only internal/api asks the gate: others get a Permit"))
				}
				name := gateCall(n, f.folder)
				if name == "" {
					continue
				}
				if f.folder == "internal/api" {
					calls[name]++
				}
				if f.folder != "internal/api" || calls[name] > 1 {
					faults = append(faults, f.fault(n.Pos(), "a second caller of the gate's %s, besides the frame in internal/api", name))
				}
			}
		}
	}
	return faults
}

// gateCall is the name of the gate's method that n calls. Identify is also the word for saying who a person is, so it
// counts only in the HTTP face, with the gate's three arguments.
func gateCall(n ast.Node, folder string) string {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return ""
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	switch {
	case !ok:
		return ""
	case selector.Sel.Name == "Admit":
		return "Admit"
	case selector.Sel.Name == "Identify" && folder == "internal/api" && len(call.Args) == 3:
		return "Identify"
	}
	return ""
}
