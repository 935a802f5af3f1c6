package access_test

import (
	"flag"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// TestMain asks more of the properties than rapid does by itself: a check here costs microseconds. -rapid.checks on the
// command line is read later and wins.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "3000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// names are environment names near enough to one another to be confused, and the empty one.
var names = []string{"production", "staging", "development", "canary", "Production", "production ", "caf\u00e9", "cafe\u0301", "moon", ""}

var projectIDs = []string{"acme", "rival", "third"}

// pair is a random key and a random attempt; others are the projects the key does not belong to.
type pair struct {
	key     *access.Key
	attempt *access.Attempt
	others  []*access.Project
}

func drawPair(t *rapid.T) pair {
	project := drawProject(t, projectIDs[0])
	return pair{
		key:     drawKey(t, project),
		attempt: drawAttempt(t, project),
		others:  []*access.Project{drawProject(t, projectIDs[1]), drawProject(t, projectIDs[2])},
	}
}

// sometimes is true once in four times, and rarely once in sixteen. rapid's own choices lean to the ends of a list, and
// an attempt has many parts that each can spoil it: without these there would be hardly a yes.
func sometimes(t *rapid.T, label string) bool {
	return rapid.Bool().Draw(t, label+"?") && rapid.Bool().Draw(t, label+"??")
}

func rarely(t *rapid.T, label string) bool { return sometimes(t, label) && sometimes(t, label+"??") }

// one draws common, and rarely one of the rare.
func one[V any](t *rapid.T, label string, common V, rare ...V) V {
	if rarely(t, label) {
		return rapid.SampledFrom(rare).Draw(t, label)
	}
	return common
}

func drawProject(t *rapid.T, id string) *access.Project {
	p := &access.Project{Organization: "org_" + id, ID: id}
	named := rapid.SampledFrom(names[:len(names)-1])
	for _, name := range rapid.SliceOfNDistinct(named, one(t, "environments", 3, 0), 6, rapid.ID).Draw(t, id+" environments") {
		p.Environments = append(p.Environments, access.Environment{Name: name, Mode: drawMode(t, name)})
	}
	return p
}

func drawMode(t *rapid.T, label string) access.Mode {
	if rapid.Bool().Draw(t, label+" is live") {
		return access.Live
	}
	return access.Test
}

func drawKey(t *rapid.T, project *access.Project) *access.Key {
	kind := access.Secret
	if sometimes(t, "public") {
		kind = access.Public
	}
	return &access.Key{
		ID:           "key_1",
		Project:      project,
		Kind:         one(t, "kind", kind, access.Operator, 0, 9),
		Mode:         one(t, "mode", drawMode(t, "key"), 0),
		Scopes:       drawScopes(t),
		Environments: drawNames(t, "only"),
		ExpiresAt:    one(t, "expires", time.Time{}, noon.Add(time.Hour), noon, noon.Add(-time.Hour)),
		RevokedAt:    one(t, "revoked", time.Time{}, noon),
	}
}

func drawScopes(t *rapid.T) access.Scopes {
	if !sometimes(t, "some scopes") {
		return access.AllScopes
	}
	return rapid.OneOf(
		rapid.Map(rapid.Uint32(), func(bits uint32) access.Scopes { return access.Scopes(bits) & access.AllScopes }),
		rapid.Just(access.ClientScopes), rapid.Just(access.Scopes(0)),
	).Draw(t, "scopes")
}

// drawNames draws a list of environments to be restricted to, most often an empty one.
func drawNames(t *rapid.T, label string) []string {
	if !sometimes(t, label) {
		return nil
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(names[:len(names)-1]), 1, 6, rapid.ID).Draw(t, label)
}

func drawAttempt(t *rapid.T, project *access.Project) *access.Attempt {
	action := rapid.SampledFrom([]access.Action{access.WriteEvents, access.IdentifyUsers, access.WriteKeys, access.HoldKey}).Draw(t, "action")
	a := &access.Attempt{
		Action: one(t, "rare action", action, append(access.Actions(), 0, 200)...),
		At:     one(t, "at", noon, noon.Add(-time.Minute), noon.Add(2*time.Hour), time.Time{}),
		Via:    one(t, "via", access.InHeader, access.InQuery, 0, 9),
		Each:   rapid.Bool().Draw(t, "each"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "targets") {
		a.Targets = append(a.Targets, drawTarget(t, project))
	}
	if sometimes(t, "subject") {
		a.Subject = drawSubject(t)
	}
	if sometimes(t, "grants") {
		a.Grants = drawGrant(t)
	}
	return a
}

func drawTarget(t *rapid.T, project *access.Project) access.Target {
	target := access.Target{Event: rapid.SampledFrom([]string{"", "signup", "purchase"}).Draw(t, "event")}
	if len(project.Environments) > 0 && rapid.Bool().Draw(t, "its own") {
		target.Environment = rapid.SampledFrom(project.Environments).Draw(t, "own environment").Name
	} else {
		target.Environment = rapid.SampledFrom(names).Draw(t, "environment")
	}
	return target
}

func drawSubject(t *rapid.T) *access.Subject {
	return &access.Subject{
		Project: one(t, "about", projectIDs[0], append([]string{""}, projectIDs...)...),
		Mode:    one(t, "its mode", drawMode(t, "it"), 0),
	}
}

func drawGrant(t *rapid.T) *access.Grant {
	return &access.Grant{
		Kind:         rapid.SampledFrom([]access.Kind{access.Public, access.Secret, 0}).Draw(t, "given kind"),
		Mode:         one(t, "given mode", drawMode(t, "given"), 0),
		Scopes:       drawScopes(t),
		Environments: drawNames(t, "given"),
		ExpiresAt:    one(t, "given until", time.Time{}, noon.Add(2*time.Hour), noon.Add(time.Hour), noon.Add(time.Minute)),
	}
}

// narrowing is one way of taking something away from a key.
type narrowing struct {
	name string
	of   func(*rapid.T, *access.Key)
}

// narrowings that apply to k. Each changes the copy of the key that it is given.
func narrowings(k *access.Key) []narrowing {
	list := []narrowing{
		{"revoked", func(_ *rapid.T, k *access.Key) { k.RevokedAt = noon }},
		{"expired", func(_ *rapid.T, k *access.Key) { k.ExpiresAt = noon.Add(-24 * time.Hour) }},
	}
	if k.ExpiresAt.IsZero() {
		list = append(list, narrowing{"made to expire", func(_ *rapid.T, k *access.Key) { k.ExpiresAt = noon.Add(time.Hour) }})
	}
	if k.Scopes != 0 {
		list = append(list, narrowing{"a scope taken away", func(t *rapid.T, k *access.Key) {
			scope, _ := access.ParseScope(rapid.SampledFrom(k.Scopes.Names()).Draw(t, "scope taken"))
			k.Scopes &^= scope
		}})
	}
	if len(k.Environments) == 0 {
		list = append(list, narrowing{"restricted to environments", func(t *rapid.T, k *access.Key) {
			k.Environments = rapid.SliceOfNDistinct(rapid.SampledFrom(names[:len(names)-1]), 1, 4, rapid.ID).Draw(t, "restricted to")
		}})
	}
	if len(k.Environments) > 1 {
		list = append(list, narrowing{"restricted further", func(t *rapid.T, k *access.Key) {
			i := rapid.IntRange(0, len(k.Environments)-1).Draw(t, "name taken")
			k.Environments = slices.Delete(slices.Clone(k.Environments), i, i+1)
		}})
	}
	if len(k.Project.Environments) > 0 {
		list = append(list, narrowing{"an environment removed", func(t *rapid.T, k *access.Key) {
			project := *k.Project
			i := rapid.IntRange(0, len(project.Environments)-1).Draw(t, "environment removed")
			project.Environments = slices.Delete(slices.Clone(project.Environments), i, i+1)
			k.Project = &project
		}})
	}
	return list
}

// tally counts what a property met, and fails it when it missed what it is about.
type tally map[string]int

func (c tally) check(t *testing.T, need ...string) {
	t.Helper()
	for _, name := range need {
		if c[name] == 0 {
			t.Errorf("%q was never met: the property says little", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c)) {
		t.Logf("%6d %s", c[name], name)
	}
}
