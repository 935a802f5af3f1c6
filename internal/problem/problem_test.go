package problem_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: every code is in the catalogue exactly once, with a status, a title and help that a caller can act on.
func TestEveryCodeHasOneRow(t *testing.T) {
	declared := declaredCodes(t)
	rows := map[problem.Code]int{}
	for _, row := range problem.Catalogue() {
		rows[row.Code]++
		if row.Status < 400 || row.Status > 599 || row.Title == "" || len(row.Help) < 60 {
			t.Errorf("row %q is incomplete: %+v", row.Code, row)
		}
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(string(row.Code)) {
			t.Errorf("code %q is not snake_case", row.Code)
		}
	}
	for _, code := range declared {
		if rows[code] != 1 {
			t.Errorf("code %q has %d rows, want 1", code, rows[code])
		}
		delete(rows, code)
	}
	for code := range rows {
		t.Errorf("row %q has no constant", code)
	}
}

// Promise: whatever is not a problem is internal, and its text does not reach the caller.
func TestUnknownErrorsAreInternalAndSilent(t *testing.T) {
	secret := errors.New("dsn=root:hunter2@db")
	e := problem.From(fmt.Errorf("load keys: %w", secret))
	if e.Code != problem.Internal || e.Status() != 500 {
		t.Fatalf("got %v, want internal", e.Code)
	}
	if regexp.MustCompile("hunter2").MatchString(e.Detail) {
		t.Fatal("the cause reached the detail")
	}
	if !errors.Is(e, secret) {
		t.Fatal("the cause is lost to the log")
	}
}

// Promise: a problem keeps its identity through wrapping.
func TestProblemsAreFoundInAChain(t *testing.T) {
	err := fmt.Errorf("reading batch: %w", problem.Invalid("event", "is required"))
	if got := problem.Of(err); got != problem.InvalidField {
		t.Fatalf("Of = %q", got)
	}
	if !errors.Is(err, &problem.Error{Code: problem.InvalidField}) {
		t.Fatal("errors.Is does not see the code")
	}
	if f := problem.From(err).Fields; len(f) != 1 || f[0].Name != "event" {
		t.Fatalf("fields = %v", f)
	}
	if problem.Of(nil) != "" {
		t.Fatal("no error has no code")
	}
}

func declaredCodes(t *testing.T) []problem.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "catalog.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []problem.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Code" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, problem.Code(text))
		return true
	})
	if len(codes) == 0 {
		t.Fatal("found no codes: this test looks in the wrong place")
	}
	return codes
}
