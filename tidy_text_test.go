package weir_test

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Promise: a test says what it protects, before or as its first words, so that whoever breaks it knows what broke.
func TestTestsNameTheirPromise(t *testing.T) {
	hold(t, namelessTests, map[string]string{
		"internal/event/a_test.go": "package event\n// Promise: a.\nfunc TestA(t *testing.T) {}\n" +
			"func TestB(t *testing.T) {\n\t// Promise: b.\n\tt.Parallel()\n}\n" +
			"// TestC checks.\nfunc TestC(t *testing.T) {} // FAULT\nfunc FuzzD(f *testing.F) {} // FAULT\n" +
			"func TestMain(m *testing.M) {}\nfunc Testify() {}\nfunc helper() {}",
	})
}

var testName = regexp.MustCompile(`^(Test|Fuzz)([^a-z].*)?$`)

func namelessTests(t *tree) (faults []fault) {
	for _, f := range t.files {
		for _, declaration := range f.syntax.Decls {
			d, ok := declaration.(*ast.FuncDecl)
			if !ok || d.Recv != nil || !strings.HasSuffix(f.path, "_test.go") || !testName.MatchString(d.Name.Name) || d.Name.Name == "TestMain" {
				continue
			}
			if !strings.Contains(d.Doc.Text(), "Promise:") && !opensWithPromise(f, d) {
				faults = append(faults, f.fault(d.Pos(), "%s does not open with a comment '// Promise: …'", d.Name.Name))
			}
		}
	}
	return faults
}

// opensWithPromise looks for the comment between the function's brace and its first statement.
func opensWithPromise(f *file, d *ast.FuncDecl) bool {
	end := d.Body.Rbrace
	if len(d.Body.List) > 0 {
		end = d.Body.List[0].Pos()
	}
	return slices.ContainsFunc(f.syntax.Comments, func(c *ast.CommentGroup) bool {
		return d.Body.Lbrace < c.Pos() && c.End() < end && strings.Contains(c.Text(), "Promise:")
	})
}

// Promise: a test that does not run does not pass: what it needs is installed, or the run fails.
func TestNoTestIsSkipped(t *testing.T) {
	hold(t, skippedTests, map[string]string{
		"internal/event/a_test.go": "package event\nfunc TestA(t *testing.T) {\n\tt.Skip(\"no server\") // FAULT\n\tt.SkipNow() // FAULT\n" +
			"\tif testing.Short() { // FAULT\n\t}\n\td.SkipValue()\n}",
		"internal/event/a.go": "package event\nfunc f() { r.Skip(1) }",
	})
}

func skippedTests(t *tree) (faults []fault) {
	for _, f := range t.files {
		for n := range ast.Preorder(f.syntax) {
			call, ok := n.(*ast.CallExpr)
			if !ok || !f.test {
				continue
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow", "Short"}, selector.Sel.Name) {
				faults = append(faults, f.fault(n.Pos(), "no test is skipped"))
			}
		}
	}
	return faults
}

// foreign is what the repository does not speak of: paths of somebody's machine, hosts that packages are fetched from,
// numbers of a tracker, and things left for later. Each by what it contains, and exactly; pieced together here, so as
// not to find itself.
var foreign = []struct {
	contains string
	exact    *regexp.Regexp
}{
	{"/work" + "/", ownPath}, {"/root" + "/", ownPath}, {"/home" + "/", ownPath},
	{"proxy.golang" + ".org", nil}, {"sum.golang" + ".org", nil}, {"registry.npm" + "js.org", nil}, {"deb.debian" + ".org", nil},
	{"ssue #", regexp.MustCompile(`[iI]ssue #\d`)},
	{"TO" + "DO", regexp.MustCompile(`\bTO` + `DO\b`)}, {"FIX" + "ME", regexp.MustCompile(`\bFIX` + `ME\b`)},
}

var ownPath = regexp.MustCompile(`(^|[^\w.}/-])/(work|root|home/[a-z]+)/`)

// Promise: the repository speaks of the product, and reads the same on every machine.
func TestTheRepositorySpeaksOfTheProduct(t *testing.T) {
	hold(t, strangeWords, map[string]string{
		"docs/a.md": "See /" + "root/go/bin. FAULT\nA session_id is a field of an event.\nFrom proxy.golang" + ".org FAULT\n" +
			"As in Issue " + "#12 FAULT\nGET /workflows\n",
		"internal/event/a.go": "package event\n// TO" + "DO: FAULT\n",
	})
}

func strangeWords(t *tree) (faults []fault) {
	for name, text := range t.texts {
		for _, word := range foreign {
			if !strings.Contains(text, word.contains) {
				continue
			}
			for i, line := range strings.Split(text, "\n") {
				if strings.Contains(line, word.contains) && (word.exact == nil || word.exact.MatchString(line)) {
					faults = append(faults, fault{name, i + 1, fmt.Sprintf("%q has no place in the repository", word.contains)})
				}
			}
		}
	}
	return faults
}

var (
	markdownLink = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?[^)]*\)`)
	inlineCode   = regexp.MustCompile("`[^`]*`")
)

// Promise: a link in a document leads somewhere. Links to the outside are the reader's risk.
func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	hold(t, deadLinks, map[string]string{
		"docs/a.md": "[b](b.md#part) [up](../README.md) [folder](decisions/) [out](https://example.org) [here](#a)\n" +
			"[gone](gone.md) FAULT\n`[code](gone.md)`\n```\n[code](gone.md)\n```\n[root](/README.md)\n[root](/gone.md) FAULT\n",
		"docs/b.md": "", "docs/decisions/x.md": "", "README.md": "",
	})
}

func deadLinks(t *tree) (faults []fault) {
	there := map[string]bool{}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(t.texts)), t.pictures) {
		for at := name; !there[at]; at = path.Dir(at) {
			there[at] = true
		}
	}
	for name, text := range t.texts {
		if path.Ext(name) != ".md" {
			continue
		}
		fenced := false
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
			}
			if fenced {
				continue
			}
			for _, match := range markdownLink.FindAllStringSubmatch(inlineCode.ReplaceAllString(line, ""), -1) {
				if target := linkTarget(name, match[1]); target != "" && !there[target] {
					faults = append(faults, fault{name, i + 1, fmt.Sprintf("the link leads to %s, which is not there", target)})
				}
			}
		}
	}
	return faults
}

// linkTarget is the path in the repository that a link in a document means, or "" for one that leads elsewhere.
func linkTarget(document, link string) string {
	link, _, _ = strings.Cut(link, "#")
	switch {
	case link == "" || strings.Contains(link, ":"):
		return ""
	case strings.HasPrefix(link, "/"):
		return path.Clean(link[1:])
	}
	return path.Join(path.Dir(document), link)
}

var (
	jsonSent = regexp.MustCompile(`(-d|--data|--data-binary)\s+'[\[{]`)
	jsonSaid = regexp.MustCompile(`Content-Type: (application/|text/)`)
)

// Promise: a curl command in a document that sends JSON says so. Left alone, curl calls it a form, and the answer is 415.
func TestCommandsInDocumentsSayWhatTheySend(t *testing.T) {
	hold(t, commandsWithoutType, map[string]string{
		"docs/a.md": "curl x -d '{}' FAULT\ncurl x -H 'Content-Type: application/json' -d '{}'\n" +
			"curl x \\\n  -H 'Content-Type: application/json' \\\n  -d '[1]'\ncurl x -d grant_type=a\nsay -d '{}'\n" +
			"$ curl FAULT x \\\n  -d '[1]'\n",
	})
}

func commandsWithoutType(t *tree) (faults []fault) {
	for name, text := range t.texts {
		if path.Ext(name) != ".md" {
			continue
		}
		command, begun := "", 0
		for i, line := range strings.Split(text, "\n") {
			if command == "" && !strings.HasPrefix(strings.TrimLeft(line, "$ "), "curl ") {
				continue
			}
			if command == "" {
				begun = i + 1
			}
			command += line + "\n"
			if strings.HasSuffix(line, `\`) {
				continue
			}
			if jsonSent.MatchString(command) && !jsonSaid.MatchString(command) {
				faults = append(faults, fault{name, begun, "the command sends JSON without saying so: add -H 'Content-Type: application/json'"})
			}
			command = ""
		}
	}
	return faults
}
