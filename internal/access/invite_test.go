package access_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: an invitation is worth what whoever made it may hand on when it is accepted: nothing once the key is gone, has lost
// the right to invite, holds less than the role, sees less than everything, or is no longer one of the whole organization.
func TestStillInvites(t *testing.T) {
	t.Parallel()
	project := &access.Project{ID: "acme", Environments: []access.Environment{{Name: "production", Mode: access.Live}}}
	member := func(role access.Role, wide bool) access.Key {
		return access.Key{Kind: access.Member, Mode: access.Live, Role: role, Wide: wide, Scopes: access.AllScopes, Project: project}
	}
	changed := func(k access.Key, change func(*access.Key)) access.Key { change(&k); return k }
	grant := func(role access.Role, wide bool) *access.Grant {
		return &access.Grant{Kind: access.Member, Mode: access.Live, Scopes: role.Scopes(), Wide: wide}
	}
	secret := access.Key{Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes, Project: project}
	hides := &access.View{Tables: []access.ViewTable{{Name: "events", Atoms: []access.Atom{{Does: access.Hide, Name: "email"}}}}}
	for name, c := range map[string]struct {
		key   access.Key
		grant *access.Grant
		want  bool
	}{
		"an owner, everywhere":             {member(access.Owner, true), grant(access.Owner, true), true},
		"an admin, everywhere":             {member(access.Admin, true), grant(access.Admin, true), true},
		"an admin no longer everywhere":    {member(access.Admin, false), grant(access.Viewer, true), false},
		"an admin of the project":          {member(access.Admin, false), grant(access.Viewer, false), true},
		"an owner who is an admin now":     {member(access.Admin, true), grant(access.Owner, true), false},
		"an admin who is a developer now":  {member(access.Developer, false), grant(access.Viewer, false), false},
		"a member who has no role":         {member(0, false), grant(access.Viewer, false), false},
		"a secret key":                     {secret, grant(access.Admin, false), true},
		"a secret key, everywhere":         {secret, grant(access.Viewer, true), false},
		"a revoked key":                    {changed(secret, func(k *access.Key) { k.RevokedAt = noon.Add(-time.Hour) }), grant(access.Viewer, false), false},
		"a key without team:write":         {changed(secret, func(k *access.Key) { k.Scopes &^= access.TeamWrite }), grant(access.Viewer, false), false},
		"a key that holds less":            {changed(secret, func(k *access.Key) { k.Scopes &^= access.SQLRun }), grant(access.Analyst, false), false},
		"a key that sees less":             {changed(secret, func(k *access.Key) { k.View = hides }), grant(access.Viewer, false), false},
		"a public key":                     {changed(secret, func(k *access.Key) { k.Kind = access.Public }), grant(access.Viewer, false), false},
		"a key of a kind that there isn't": {changed(secret, func(k *access.Key) { k.Kind = 99 }), grant(access.Viewer, false), false},
	} {
		if got := access.StillInvites(&c.key, c.grant, noon); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Promise: what of a config is private is read by whoever holds a secret, is a member, or holds the data folder, and by
// nothing that may be in a page.
func TestReadsPrivate(t *testing.T) {
	t.Parallel()
	for kind, want := range map[access.Kind]bool{
		access.Public: false, access.Secret: true, access.Operator: true, access.Client: false, access.Token: true, access.Member: true, 0: false, 99: false,
	} {
		if got := (&access.Key{Kind: kind}).ReadsPrivate(); got != want {
			t.Errorf("%s: %t", kind, got)
		}
	}
}
