package access_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: the table of what each role may do has a verdict for every role and every action, so that a new one of either
// is not left to chance.
func TestEveryRoleForEveryAction(t *testing.T) {
	t.Parallel()
	asked := map[access.Role]map[access.Action]bool{}
	for _, v := range readMatrix(t)["roles"] {
		role := v.key.Root().Role
		if asked[role] == nil {
			asked[role] = map[access.Action]bool{}
		}
		if v.key.Kind == access.Token {
			asked[role][v.attempt.Action] = true
		}
	}
	for _, role := range access.Roles() {
		for _, action := range access.Actions() {
			if !asked[role][action] {
				t.Errorf("whether a %s may %s is not in testdata/roles.txtar", role, action)
			}
		}
	}
}

// Promise: a role has its own name, which reads back, and says what it is for; what is no role may do nothing; and only an
// owner holds everything.
func TestRoles(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, role := range access.Roles() {
		if back, ok := access.ParseRole(role.String()); !ok || back != role || seen[role.String()] || role.Says() == "" || !role.Defined() || role.Scopes() == 0 {
			t.Errorf("the role %s reads back as %s", role, back)
		}
		seen[role.String()] = true
		if all := role.Scopes() == access.AllScopes; all != (role == access.Owner) || role.Scopes()&^access.AllScopes != 0 {
			t.Errorf("the role %s holds %s", role, role.Scopes())
		}
	}
	for _, none := range []access.Role{0, 99} {
		if none.Defined() || none.Scopes() != 0 || none.Whole() {
			t.Errorf("%d is a role", none)
		}
	}
	for _, name := range []string{"none", "", "Owner", "owner "} {
		if role, ok := access.ParseRole(name); ok || role != 0 {
			t.Errorf("%q is the role %s", name, role)
		}
	}
}

// Promise: what a project lets a role read narrows every token of a member of that role, and of no other, at once.
func TestViewOfARole(t *testing.T) {
	t.Parallel()
	narrow := &access.View{Tables: []access.ViewTable{{Name: "events", Atoms: []access.Atom{{Does: access.Hide, Name: "email"}}}}}
	project := &access.Project{ID: "acme", Environments: []access.Environment{{Name: "production", Mode: access.Live}}}
	project.Policy.Views[access.Analyst] = narrow
	for _, role := range access.Roles() {
		member := &access.Key{Kind: access.Member, Mode: access.Live, Role: role, Wide: true, Scopes: role.Scopes(), Project: project}
		token := &access.Key{Kind: access.Token, Mode: access.Live, Parent: member, Scopes: role.Scopes(), Project: project}
		want := role == access.Analyst
		if got := token.Sees().Same(narrow); got != want {
			t.Errorf("a token of a %s sees %+v", role, token.Sees())
		}
		d := access.Decide(token, &access.Attempt{Action: access.FollowEvents, At: noon, Circumstances: access.Circumstances{Via: access.InHeader}})
		if role.Scopes().Has(access.EventsRead) && (d.Reason == access.ViewNotApplied) != want {
			t.Errorf("a token of a %s follows events: %s", role, d.Reason)
		}
	}
	if !slices.Contains(access.Roles(), access.Analyst) {
		t.Error("there are no analysts")
	}
}

// Promise: what is said of a developer, in words and in the documents, names everything that a developer may not delete.
func TestWhatADeveloperMayNotDeleteIsSaid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/members.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(text), "| developer |")
	row, _, _ = strings.Cut(row, "\n")
	for scope, things := range map[access.Scopes][]string{access.DataDelete: {"persons", "events"}, access.RecordingsDelete: {"recordings"}, access.DatasetsDelete: {"datasets"}} {
		for _, thing := range things {
			for place, says := range map[string]string{"the role": access.Developer.Says(), "the document": row} {
				_, not, _ := strings.Cut(says, "delet")
				if strings.Contains(not, thing) == access.Developer.Scopes().Has(scope) {
					t.Errorf("%s says of %s: %q", place, thing, says)
				}
			}
		}
	}
}
