package access_test

import (
	"math/bits"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: the policy says what testdata/*.txtar says, verdict by verdict, and Decide, Explain and Screen agree on each.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for name, verdicts := range readMatrix(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, v := range verdicts {
				d := access.Decide(v.key, &v.attempt)
				if got := v.differs(d); got != "" {
					t.Errorf("%s\n\tgot %s", v.line, got)
				}
				if fault := disagreement(v.key, &v.attempt); fault != "" {
					t.Errorf("%s\n\t%s", v.line, fault)
				}
			}
		})
	}
}

// Promise: the matrix leaves nothing out. Every reason occurs. Every action is once allowed and once denied, but those
// that no key is ever allowed; an action that needs a scope is asked of a key with no scope, with only that one, with all
// but that one, and with all. Every restriction is once observed.
func TestMatrixIsComplete(t *testing.T) {
	t.Parallel()
	type asked struct {
		action access.Action
		scopes access.Scopes
	}
	verdicts := map[asked]bool{}
	allowed, denied := map[access.Action]bool{}, map[access.Action]bool{}
	reasons := map[access.Reason]int{}
	var observed access.Restriction
	for _, lines := range readMatrix(t) {
		for _, v := range lines {
			reasons[v.reason]++
			verdicts[asked{v.attempt.Action, v.key.Scopes}] = true
			if v.observing != nil && bits.OnesCount16(uint16(v.key.Observe)) == 1 {
				observed |= v.key.Observe
			}
			if v.reason == access.Allowed {
				allowed[v.attempt.Action] = true
			} else {
				denied[v.attempt.Action] = true
			}
		}
	}
	for _, action := range append(access.Actions(), 0) {
		if !denied[action] || allowed[action] != (action.Declared() && action != access.Anyone) {
			t.Errorf("action %s: allowed %v, denied %v in the matrix", action, allowed[action], denied[action])
		}
		scope := action.Scope()
		for _, held := range []access.Scopes{0, scope, access.AllScopes &^ scope, access.AllScopes} {
			if scope != 0 && !verdicts[asked{action, held}] {
				t.Errorf("action %s is not asked of a key that holds: %s", action, held)
			}
		}
	}
	for _, reason := range allReasons() {
		if reasons[reason] == 0 {
			t.Errorf("reason %s does not occur in the matrix", reason)
		}
	}
	if missing := access.Observable &^ observed; missing != 0 {
		t.Errorf("no verdict is about observing alone: %s", missing.Names())
	}
}

// Promise: no rule can be taken away unnoticed. For every rule the matrix has a no that no other rule would give.
func TestMatrixNeedsEveryRule(t *testing.T) {
	t.Parallel()
	rules := map[string]int{}
	total := 0
	for _, lines := range readMatrix(t) {
		for _, v := range lines {
			total++
			noes := map[string]bool{}
			for _, step := range access.Explain(v.key, &v.attempt).Steps {
				rules[step.Rule] += 0
				if step.Reason != access.Allowed && !step.Observed {
					noes[step.Rule] = true
				}
			}
			for rule := range noes {
				if v.reason != access.Allowed && len(noes) == 1 {
					rules[rule]++
				}
			}
		}
	}
	for rule, alone := range rules {
		if alone == 0 {
			t.Errorf("no verdict is denied by the rule %q alone", rule)
		}
	}
	t.Logf("%d verdicts; denied by one rule alone: %v", total, rules)
}

// Promise: every scope and every action has its own name, and a name reads back as what it names.
func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{"undeclared": true, "undecided": true}
	for _, action := range access.Actions() {
		if name := action.String(); seen[name] || name == "" {
			t.Errorf("the name %q of an action is empty or taken", name)
		} else {
			seen[name] = true
		}
		if !action.Declared() {
			t.Errorf("%s is not declared", action)
		}
	}
	for _, reason := range allReasons() {
		if name := reason.String(); seen[name] || name == "" {
			t.Errorf("the name %q of a reason is empty or taken", name)
		} else {
			seen[name] = true
		}
	}
	names := access.AllScopes.Names()
	for _, name := range names {
		if scope, err := access.ParseScope(name); err != nil || scope.String() != name {
			t.Errorf("scope %q reads back as %q, %v", name, scope, err)
		}
	}
	if access.ScopesOf(names) != access.AllScopes || access.ScopesOf([]string{"events:*", "*", ""}) != 0 {
		t.Error("ScopesOf grants other scopes than those named")
	}
	if beyond := access.Action(200); beyond.Declared() || beyond.String() != "undeclared" || beyond.Scope() != 0 {
		t.Error("an action beyond the last is not undeclared")
	}
	if access.Reason(200).String() != "undecided" {
		t.Error("a reason beyond the last is not undecided")
	}
}

// Promise: scopes travel through JSON unchanged, and an unknown scope is refused and not passed over.
func TestScopesJSON(t *testing.T) {
	t.Parallel()
	for _, want := range []access.Scopes{0, access.EventsWrite, access.ClientScopes, access.AllScopes} {
		data, err := want.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		got := access.Scopes(1)
		if err := got.UnmarshalJSON(data); err != nil || got != want {
			t.Errorf("%s reads back as %v, %v", data, got, err)
		}
	}
	for _, bad := range []string{`["events:write","events:fly"]`, `"events:write"`, `[1]`, `["Events:Write"]`, `{`} {
		kept := access.EventsRead
		if err := kept.UnmarshalJSON([]byte(bad)); err == nil || kept != access.EventsRead {
			t.Errorf("%s is taken as %v, %v", bad, kept, err)
		}
	}
}

func allReasons() []access.Reason {
	var all []access.Reason
	for r := access.Allowed; r.String() != "undecided"; r++ {
		all = append(all, r)
	}
	return all
}

// differs says what of d is not what the line states; empty when all is.
func (v *verdict) differs(d access.Decision) string {
	switch {
	case d.Reason != v.reason:
		return d.Reason.String() + " by the rule: " + d.Rule
	case d.Allowed() != (d.Rule == ""):
		return "rule " + d.Rule + " with reason " + d.Reason.String()
	case v.rule != "" && d.Rule != v.rule:
		return "by the rule: " + d.Rule
	case v.gets != nil && d.Data.Environment != *v.gets:
		return "environment " + d.Data.Environment
	case (v.refusing != nil || d.Allowed()) && !slices.Equal(refusals(&v.attempt, d.Refused), v.refusing):
		return "refused " + strings.Join(refusals(&v.attempt, d.Refused), " ")
	case !slices.Equal(refusals(&v.attempt, d.Observed), v.observing):
		return "observed " + strings.Join(refusals(&v.attempt, d.Observed), " ")
	case !d.Allowed() && d.Data != (access.DataScope{}):
		return "a no with data"
	case d.Allowed() && (d.Data.Organization != v.key.Project.Organization || d.Data.Project != v.key.Project.ID):
		return "another tenant's data"
	case d.Allowed() && d.Data.Live != (v.key.Mode == access.Live || v.key.Kind == access.Operator || v.key.Root().Kind == access.Member):
		return "data of the wrong mode"
	}
	return ""
}

func refusals(attempt *access.Attempt, refused []access.Refusal) []string {
	var list []string
	for _, r := range refused {
		what := "request"
		if r.Index >= 0 {
			what = label(attempt.Targets[r.Index])
		}
		list = append(list, what+"="+r.Reason.String())
	}
	return list
}

// disagreement checks what holds of every pair: Explain says what Decide says, its first no is Decide's no, and Screen's
// no is Decide's.
func disagreement(key *access.Key, attempt *access.Attempt) string {
	d, s, e := access.Decide(key, attempt), access.Screen(key, attempt), access.Explain(key, attempt)
	if !reflect.DeepEqual(d, e.Decision) {
		return "Explain decides otherwise"
	}
	if !s.Allowed() && (s.Reason != d.Reason || s.Rule != d.Rule) {
		return "Screen denies with " + s.Reason.String() + ", Decide with " + d.Reason.String()
	}
	if s.Allowed() && !d.Allowed() && !d.Reason.NeedsBody() {
		return "Screen lets pass what needs no body: " + d.Reason.String()
	}
	if x := access.ExplainScreen(key, attempt); !reflect.DeepEqual(x.Decision, s) || !slices.Equal(x.Steps, e.Steps[:len(x.Steps)]) {
		return "ExplainScreen decides otherwise than Screen, or Explain"
	} else if want := conclude(x.Steps, &access.Attempt{}); !reflect.DeepEqual(s, want) {
		return "ExplainScreen's steps come to " + want.Reason.String() + ", Screen to " + s.Reason.String()
	}
	want := conclude(e.Steps, attempt)
	want.Data = d.Data
	if !reflect.DeepEqual(d, want) {
		return "Explain's steps come to " + want.Reason.String() + ", Decide to " + d.Reason.String()
	}
	return ""
}

// conclude draws from the steps of an explanation the decision they amount to.
func conclude(steps []access.Step, attempt *access.Attempt) access.Decision {
	d := access.Decision{Reason: access.Allowed}
	bad := map[int]bool{}
	for _, s := range steps {
		switch {
		case s.Reason == access.Allowed || s.Observed || bad[s.Target]:
		case s.Target < 0:
			return access.Decision{Reason: s.Reason, Rule: s.Rule}
		default:
			bad[s.Target] = true
			d.Refused = append(d.Refused, access.Refusal{Index: s.Target, Reason: s.Reason, Rule: s.Rule})
		}
	}
	if !attempt.Each && len(d.Refused) > 1 {
		d.Refused = d.Refused[:1]
	}
	if len(d.Refused) > 0 && (!attempt.Each || len(d.Refused) == len(attempt.Targets)) {
		d.Reason, d.Rule = d.Refused[0].Reason, d.Refused[0].Rule
		return d
	}
	for _, s := range steps {
		if s.Observed && !bad[s.Target] {
			d.Observed = append(d.Observed, access.Refusal{Index: s.Target, Reason: s.Reason, Rule: s.Rule})
		}
	}
	return d
}

func readMatrix(t *testing.T) map[string][]*verdict {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no matrix to read: %v", err)
	}
	matrix := map[string][]*verdict{}
	for _, file := range files {
		verdicts, err := readTheme(file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		matrix[strings.TrimSuffix(filepath.Base(file), ".txtar")] = verdicts
	}
	return matrix
}
