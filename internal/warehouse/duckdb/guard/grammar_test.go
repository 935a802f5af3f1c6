package guard

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// trees are the parser's answers for the statements of the corpus that are allowed.
func trees(t *testing.T, g *Guard) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/allowed.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for block := range strings.SplitSeq(string(data), "\n\n") {
		head, text, _ := strings.Cut(block, "\n")
		if !strings.HasPrefix(head, "=") {
			continue
		}
		var serialized string
		if err := g.parse.QueryRow(text).Scan(&serialized); err != nil {
			t.Fatal(err)
		}
		all = append(all, serialized)
	}
	if len(all) < 80 {
		t.Fatalf("only %d statements: the file is not read as it is written", len(all))
	}
	return all
}

// objects calls do with every object of a tree.
func objects(v *value, do func(*value)) {
	if v.kind == '{' {
		do(v)
	}
	for i := range v.items {
		objects(&v.items[i], do)
	}
}

// Promise: a member that the walk does not know is refused, in every kind of object that statements are made of.
func TestUnknownMembersAreRefused(t *testing.T) {
	t.Parallel()
	g := open(t)
	for _, strange := range []value{{kind: '{'}, {kind: '['}, {kind: '"', text: "x"}, {kind: 'n'}} {
		for _, tree := range trees(t, g) {
			root := mustRead(t, tree)
			objects(root, func(v *value) {
				names, items := v.names, v.items
				v.names, v.items = append(slices.Clip(names), "strange"), append(slices.Clip(items), strange)
				if _, err := g.walk("", root, view.Scope{}); problem.Of(err) != problem.SQLNotAllowed {
					t.Errorf("a strange member of kind %q beside %q passed: %v", byte(strange.kind), names, err)
				}
				v.names, v.items = names, items
			})
		}
	}
}

// Promise: a node of a kind that the walk does not know is refused, wherever one can stand.
func TestUnknownKindsAreRefused(t *testing.T) {
	t.Parallel()
	g := open(t)
	for _, tree := range trees(t, g) {
		root := mustRead(t, tree)
		objects(root, func(v *value) {
			for _, tag := range []string{"class", "type", "id"} {
				kind := v.get(tag)
				if kind.kind != '"' || tag == "type" && v.get("null_order").kind == '"' {
					continue // the "type" of one ORDER BY item is its direction
				}
				was := kind.text
				kind.text = "STRANGE"
				if _, err := g.walk("", root, view.Scope{}); problem.Of(err) != problem.SQLNotAllowed {
					t.Errorf("%s %s made STRANGE passed: %v", tag, was, err)
				}
				kind.text = was
			}
		})
	}
}

// Promise: a part that is put where a text, a number or nothing is known is refused.
func TestPartsInStrangePlacesAreRefused(t *testing.T) {
	t.Parallel()
	g := open(t)
	call := mustRead(t, `{"class":"FUNCTION","type":"FUNCTION","function_name":"read_text","schema":"","catalog":"","children":[]}`)
	for _, tree := range trees(t, g) {
		root := mustRead(t, tree)
		objects(root, func(v *value) {
			for i := range v.items {
				for _, strange := range []value{*call, {kind: '[', items: []value{*call}}} {
					was := v.items[i]
					v.items[i] = strange
					if _, err := g.walk("", root, view.Scope{}); err == nil {
						t.Errorf("a call to read_text as %q passed", v.names[i])
					}
					v.items[i] = was
				}
			}
		})
	}
}

func mustRead(t *testing.T, serialized string) *value {
	t.Helper()
	root, err := readTree(serialized)
	if err != nil {
		t.Fatal(fmt.Errorf("%w in %.100s", err, serialized))
	}
	return root
}
