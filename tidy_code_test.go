package weir_test

import (
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The sizes nothing passes without being a table.
const (
	maxMethods       = 6
	maxFunctionLines = 70
	maxFileLines     = 600
)

// Promise: an interface asks for at most six methods, counting those it embeds from its own package.
func TestInterfacesAreSmall(t *testing.T) {
	hold(t, wideInterfaces, map[string]string{
		"internal/event/a.go": "package event\ntype Small interface { A(); B(); C(); D(); E(); F() }\n" +
			"type Wide interface { Small; G() } // FAULT\ntype Number interface { ~int | ~string }",
	})
}

func wideInterfaces(t *tree) (faults []fault) {
	for _, p := range t.packages {
		for _, f := range p.files {
			if f.test {
				continue
			}
			for n := range ast.Preorder(f.syntax) {
				if face, ok := n.(*ast.InterfaceType); ok && p.methods(face) > maxMethods {
					faults = append(faults, f.fault(n.Pos(), "an interface of %d methods; the limit is %d", p.methods(face), maxMethods))
				}
			}
		}
	}
	return faults
}

// methods counts the methods of an interface. One embedded from another package counts as one.
func (p *pkg) methods(face *ast.InterfaceType) int {
	count := 0
	for _, field := range face.Methods.List {
		switch embedded := field.Type.(type) {
		case *ast.FuncType:
			count += len(field.Names)
		case *ast.Ident:
			if object := p.scope.Lookup(embedded.Name); object != nil {
				if inner, ok := object.Type().Underlying().(*types.Interface); ok {
					count += inner.NumMethods()
				}
			}
		case *ast.SelectorExpr:
			count++
		}
	}
	return count
}

// Promise: a function fits on a screen, and a file in a head. The lines of tables (composite literals) do not count;
// a function inside a table is measured by itself.
func TestFunctionsAndFilesAreShort(t *testing.T) {
	lines := func(n int, line string) string { return strings.Repeat(line+"\n", n) }
	hold(t, longCode, map[string]string{
		"internal/event/a.go": "package event\nfunc long() { // FAULT\n" + lines(maxFunctionLines, "f()") + "}\n" +
			"func fits() {\n" + lines(maxFunctionLines-2, "f()") + "}\n",
		"internal/event/b.go": "package event\nvar table = []func(){\nfunc() { // FAULT\n" + lines(maxFunctionLines, "f()") + "},\n" +
			"func() {\nf()\n},\n}\nfunc tabled() {\nrows := []int{\n" + lines(maxFunctionLines, "1,") + "}\nf(rows)\n}\n",
		"internal/event/long.go":  "package event // FAULT\n" + lines(maxFileLines, "// text"),
		"internal/event/table.go": "package event\nvar rows = []int{\n" + lines(maxFileLines, "1,") + "}\n",
	})
}

func longCode(t *tree) (faults []fault) {
	for _, f := range t.files {
		if f.test {
			continue
		}
		if n := f.length(f.syntax.FileStart, f.syntax.FileEnd, f.syntax); n > maxFileLines {
			faults = append(faults, f.fault(f.syntax.Package, "%d lines outside tables; the limit for a file is %d", n, maxFileLines))
		}
		for n := range ast.Preorder(f.syntax) {
			switch n.(type) {
			case *ast.FuncDecl, *ast.FuncLit:
				if length := f.length(n.Pos(), n.End(), n); length > maxFunctionLines {
					faults = append(faults, f.fault(n.Pos(), "a function of %d lines outside tables; the limit is %d", length, maxFunctionLines))
				}
			}
		}
	}
	return faults
}

// length counts the lines from one position to another, without those a composite literal below n takes beyond its
// first.
func (f *file) length(from, to token.Pos, n ast.Node) int {
	count := f.line(to) - f.line(from) + 1
	ast.Inspect(n, func(inner ast.Node) bool {
		literal, ok := inner.(*ast.CompositeLit)
		if ok {
			count -= f.line(literal.End()) - f.line(literal.Pos())
		}
		return !ok
	})
	return count
}

// Promise: every package says what it is, and those of the house say what they own.
func TestPackagesSayWhatTheyOwn(t *testing.T) {
	hold(t, silentPackages, map[string]string{
		"internal/event/a.go":   "// Package event is what happened. It owns the Event.\npackage event",
		"internal/event/b.go":   "package event",
		"internal/query/a.go":   "package query // FAULT",
		"internal/org/a.go":     "// Package org is an organization.\npackage org // FAULT",
		"internal/token/a.go":   "// Tokens, and who owns them.\npackage token // FAULT",
		"cmd/weir/main.go":      "// Weir is the program.\npackage main",
		"internal/utils/a.go":   "// Package utils owns everything.\npackage utils // FAULT",
		"internal/event/types/": "",
	})
}

var bannedNames = []string{"utils", "util", "common", "helpers", "helper", "models", "services", "types", "misc", "shared"}

func silentPackages(t *tree) (faults []fault) {
	for _, p := range t.packages {
		first := p.files[0]
		name := first.syntax.Name.Name
		if slices.Contains(bannedNames, name) || slices.Contains(bannedNames, path.Base(p.folder)) {
			faults = append(faults, first.fault(first.syntax.Package, "%q says nothing: name the package after what it is", name))
		}
		if strings.HasSuffix(name, "_test") {
			continue
		}
		doc := ""
		for _, f := range p.files {
			doc += f.syntax.Doc.Text()
		}
		house := within(p.folder, "internal") && !kit(p.folder)
		switch {
		case doc == "":
			faults = append(faults, first.fault(first.syntax.Package, "package %s has no doc comment", name))
		case name != "main" && !strings.HasPrefix(doc, "Package "+name+" "):
			faults = append(faults, first.fault(first.syntax.Package, "the doc comment begins with 'Package %s'", name))
		case house && !regexp.MustCompile(`\bowns?\b`).MatchString(doc):
			faults = append(faults, first.fault(first.syntax.Package, "the doc comment does not say what package %s owns", name))
		}
	}
	return faults
}

// Promise: nothing happens before main, and no package keeps a state that its users do not hold.
func TestNoInitAndNoMutableGlobals(t *testing.T) {
	hold(t, globals, map[string]string{
		"internal/event/a.go": `package event
import ("embed"; "errors"; "sync"; "sync/atomic")
var ErrX = errors.New("x")
var table = map[string]int{"a": 1}
var count, total int
var list []int
var row struct{ n int }
var rows []struct{ n int }
var once sync.Once // FAULT
var hits atomic.Int64 // FAULT
var queue = make(chan int) // FAULT
var lazy = sync.OnceValue(f)
var files embed.FS
type set struct{}
func (*set) add() {}
var all set
func init() {} // FAULT
func f() int {
	count++ // FAULT
	list = append(list, table["a"]) // FAULT
	table["b"] = 2 // FAULT
	row.n = 1 // FAULT
	delete(table, "a") // FAULT
	g(&total) // FAULT
	all.add() // FAULT
	list := []int{}
	list[0] = 1
	reader := &rows[0]
	writer := &rows[1]
	writer.n = reader.n // FAULT
	keep(&rows[2]) // FAULT
	return list[0]
}`,
		"internal/event/b_test.go": "package event\nfunc g() { ErrX = nil } // FAULT",
	})
}

func globals(t *tree) (faults []fault) {
	for _, p := range t.packages {
		for _, f := range p.files {
			for _, declaration := range f.syntax.Decls {
				switch d := declaration.(type) {
				case *ast.GenDecl:
					faults = append(faults, p.stateful(f, d)...)
				case *ast.FuncDecl:
					if d.Name.Name == "init" && d.Recv == nil {
						faults = append(faults, f.fault(d.Pos(), "no init: make it in the function that needs it"))
					}
					faults = append(faults, p.mutations(f, d)...)
				}
			}
		}
	}
	return faults
}

// stateful finds package-level variables that are made to change: locks, counters, channels.
func (p *pkg) stateful(f *file, d *ast.GenDecl) (faults []fault) {
	if d.Tok != token.VAR {
		return nil
	}
	for n := range ast.Preorder(d) {
		_, channel := n.(*ast.ChanType)
		lock := p.refers(n, "sync", "Mutex", "RWMutex", "Map", "Once", "WaitGroup", "Cond")
		if selector, ok := n.(*ast.SelectorExpr); ok {
			lock = lock || p.refers(n, "sync/atomic", selector.Sel.Name)
		}
		if channel || lock {
			faults = append(faults, f.fault(n.Pos(), "a package-level variable that is made to change"))
		}
	}
	return faults
}

// mutations finds what a function does to package-level variables: assign, count up, hand out the address, delete from,
// call a method that may change it. A local pointer to an element is looked through, and may be read.
func (p *pkg) mutations(f *file, d *ast.FuncDecl) (faults []fault) {
	pointers, taken := p.localPointers(d)
	changed := func(e ast.Expr) {
		if v := p.variable(e); v != nil && v.Parent() == p.scope {
			faults = append(faults, f.fault(e.Pos(), "the package-level variable %s is changed", v.Name()))
		} else if _, bare := e.(*ast.Ident); v != nil && pointers[v] && !bare {
			faults = append(faults, f.fault(e.Pos(), "a package-level variable is changed through %s", v.Name()))
		}
	}
	for n := range ast.Preorder(d) {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, target := range n.Lhs {
				changed(target)
			}
		case *ast.IncDecStmt:
			changed(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND && !taken[n] {
				changed(n.X)
			}
		case *ast.CallExpr:
			if name, ok := n.Fun.(*ast.Ident); ok && (name.Name == "delete" || name.Name == "clear") && len(n.Args) > 0 {
				changed(n.Args[0])
			}
		case *ast.SelectorExpr:
			if p.pointerMethod(n) {
				changed(n.X)
			}
		}
	}
	return faults
}

// pointerMethod reports whether e is a method that takes the address of a value that is no pointer itself.
func (p *pkg) pointerMethod(e *ast.SelectorExpr) bool {
	selection := p.info.Selections[e]
	if selection == nil || selection.Kind() != types.MethodVal {
		return false
	}
	_, pointer := selection.Recv().Underlying().(*types.Pointer)
	method, ok := selection.Obj().(*types.Func)
	if !ok || pointer {
		return false
	}
	_, changes := method.Signature().Recv().Type().(*types.Pointer)
	return changes
}

// localPointers are the variables a function defines as x := &element of a package-level variable, and the & of each.
func (p *pkg) localPointers(d *ast.FuncDecl) (pointers map[*types.Var]bool, taken map[*ast.UnaryExpr]bool) {
	pointers, taken = map[*types.Var]bool{}, map[*ast.UnaryExpr]bool{}
	for n := range ast.Preorder(d) {
		define, ok := n.(*ast.AssignStmt)
		if !ok || define.Tok != token.DEFINE || len(define.Lhs) != len(define.Rhs) {
			continue
		}
		for i, right := range define.Rhs {
			address, ok := right.(*ast.UnaryExpr)
			if !ok || address.Op != token.AND {
				continue
			}
			v := p.variable(address.X)
			local, ok := p.info.Defs[define.Lhs[i].(*ast.Ident)].(*types.Var)
			if _, element := address.X.(*ast.IndexExpr); ok && element && v != nil && v.Parent() == p.scope {
				pointers[local], taken[address] = true, true
			}
		}
	}
	return pointers, taken
}

// variable is what e is, or is an element or field of.
func (p *pkg) variable(e ast.Expr) *types.Var {
	switch e := e.(type) {
	case *ast.Ident:
		v, _ := p.info.Uses[e].(*types.Var)
		return v
	case *ast.IndexExpr:
		return p.variable(e.X)
	case *ast.SelectorExpr:
		return p.variable(e.X)
	case *ast.StarExpr:
		return p.variable(e.X)
	case *ast.ParenExpr:
		return p.variable(e.X)
	}
	return nil
}

// Promise: time and what a request carries are arguments. The clock is read in the programs, and in the clients
// that stand in programs of others, so a test can set it;
// a context holds the request's id and trace, put there by the HTTP face; a test never waits for the wall clock. In a
// bubble of testing/synctest the clock is the test's own; files of benchmarks and of tests of other processes may read it.
func TestClockAndContextAreArguments(t *testing.T) {
	hold(t, hiddenArguments, map[string]string{
		"internal/event/a.go": "package event\nimport (\"context\"; clock \"time\")\nvar now = clock.Now // FAULT\n" +
			"func f(at clock.Time) { clock.Since(at) } // FAULT\nfunc g(ctx context.Context) { context.WithValue(ctx, 1, 2) } // FAULT",
		"internal/api/a.go": "package api\nimport \"context\"\nfunc f(ctx context.Context) { context.WithValue(ctx, 1, 2) }",
		"cmd/weir/a.go":     "package main\nimport \"time\"\nvar now = time.Now",
		"internal/event/a_test.go": "package event\nimport (\"testing/synctest\"; \"time\")\nfunc f() { time.Sleep(1) } // FAULT\n" +
			"func g() { synctest.Test(t, func() {\n\ttime.Sleep(1)\n\ttime.Now()\n}) }",
		"internal/event/bench_test.go": "package event\nimport \"time\"\nvar start = time.Now()",
	})
}

func hiddenArguments(t *tree) (faults []fault) {
	for _, p := range t.packages {
		for _, f := range p.files {
			bubbles, measures := p.bubbles(f), strings.HasSuffix(f.path, "bench_test.go") || strings.HasSuffix(f.path, "process_test.go")
			for n := range ast.Preorder(f.syntax) {
				inside := slices.ContainsFunc(bubbles, func(b ast.Node) bool { return b.Pos() <= n.Pos() && n.End() <= b.End() })
				switch {
				case inside:
				case p.refers(n, "time", "Now", "Since", "Until") && !f.in("cmd", "examples", "bench", "sdk") && !measures:
					faults = append(faults, f.fault(n.Pos(), "the clock is an argument here: now func() time.Time"))
				case p.refers(n, "context", "WithValue") && f.folder != "internal/api":
					faults = append(faults, f.fault(n.Pos(), "only internal/api puts something into a context: request id and trace"))
				case f.test && p.refers(n, "time", "Sleep"):
					faults = append(faults, f.fault(n.Pos(), "a test does not sleep: it waits for a condition, or in a bubble of testing/synctest"))
				}
			}
		}
	}
	return faults
}

// bubbles are the calls of synctest.Test, in which time is not the wall clock's.
func (p *pkg) bubbles(f *file) (calls []ast.Node) {
	for n := range ast.Preorder(f.syntax) {
		if call, ok := n.(*ast.CallExpr); ok && p.refers(call.Fun, "testing/synctest", "Test") {
			calls = append(calls, call)
		}
	}
	return calls
}

// revealers are the files that may turn a secret into text, and what for. Whoever is not here has no business with it.
var revealers = map[string]string{
	"internal/gate/gate.go":       "reads the key that was sent",
	"internal/gate/token.go":      "reads the access token that was sent",
	"internal/keyring/keyring.go": "reads a key to find its record",
	"internal/keyring/life.go":    "mints a key: its digest, its hint, and the text of a public one",
	"internal/vault/key.go":       "reads a master key's text, to derive what it is used by",
	"internal/keyring/rotate.go":  "makes signing secrets, and seals them",
	"internal/api/keys.go":        "shows a new key once, in the answer that creates it",
	"internal/gate/client.go":     "compares the key that a client is said to come of",
	"internal/gate/user.go":       "reads the user token that was sent",
	"internal/api/users.go":       "shows a new user token once, in the answer that makes it",
	"internal/api/oauth.go":       "shows a new access token once, in the answer that makes it",
	"internal/api/signed.go":      "checks a signature that names the key, and says which key is to sign",
	"internal/app/app.go":         "makes an app's id, and its secret, which is shown once",
	"internal/store/members.go":   "stores the argon2 hash of a password, which is hidden like one",
	"internal/app/flow.go":        "makes codes and refresh tokens, of which the digest is kept",
	"internal/api/apps.go":        "shows the secret of a new app once, in the answer that makes it",
	"internal/api/appclient.go":   "gives an app its next refresh token",
	"internal/api/consent.go":     "sends a person back to an app with a code",
	"cmd/weir/masterkey.go":       "prints a new master key once",
	"cmd/weir/control.go":         "asks the server in the data folder as its operator",
	"cmd/weir/setup.go":           "shows the first keys once, when the data folder is made",
	"internal/api/members.go":     "shows a new invitation once, in the answer that makes it",
	"internal/api/exports.go":     "shows a new link once, in the answer that makes it",
	"internal/export/link.go":     "compares the signature of a link",
	"internal/api/sessions.go":    "shows a new access token, and what a session goes on with, once",
	"internal/org/member.go":      "measures a password that is to be",
	"internal/org/password.go":    "makes what is kept of a password, and compares",
	"internal/org/people.go":      "reads an invitation or a session to find its record",

	"internal/workflow/change.go": "makes the secret of a webhook, and seals it",
	"internal/workflow/sign.go":   "signs a delivery",
	"internal/api/workflows.go":   "shows a new secret of a webhook once, in the answer that makes it",
}

// Promise: a secret becomes text only where it is read, minted or shown once; every such place is in the list above,
// and the list names no other.
func TestSecretsAreRevealedInFewPlaces(t *testing.T) {
	hold(t, revealing, map[string]string{
		"internal/gate/gate.go":     "package gate\nfunc f() { parse(key.Reveal()) }",
		"internal/event/a.go":       "package event\nfunc f() { fmt.Println(key.Reveal()) } // FAULT\nvar show = key.Reveal // FAULT",
		"internal/event/a_test.go":  "package event\nfunc f() { send(key.Reveal()) }",
		"internal/access/secret.go": "package access\nfunc (t Text) Reveal() string { return t.value }",
	})
	good, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, f := range good.files {
		for n := range ast.Preorder(f.syntax) {
			used[f.path] = used[f.path] || reveals(n)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(revealers)) {
		if !used[name] {
			t.Errorf("%s reveals nothing: take it off the list", name)
		}
	}
}

func revealing(t *tree) (faults []fault) {
	for _, f := range t.files {
		if f.test || revealers[f.path] != "" || f.folder == "internal/access" {
			continue
		}
		for n := range ast.Preorder(f.syntax) {
			if reveals(n) {
				faults = append(faults, f.fault(n.Pos(), "a secret is revealed in a file that is not on the list of revealers"))
			}
		}
	}
	return faults
}

func reveals(n ast.Node) bool {
	selector, ok := n.(*ast.SelectorExpr)
	return ok && selector.Sel.Name == "Reveal"
}
