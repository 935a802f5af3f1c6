package org_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
)

// drawer is an org.Store in memory.
type drawer struct {
	organizations []org.Organization
	projects      []org.Project
	broken        error
}

func (d *drawer) Establish(_ context.Context, first org.Organization, project org.Project) (org.Organization, org.Project, bool, error) {
	if d.broken != nil {
		return org.Organization{}, org.Project{}, false, d.broken
	}
	created := len(d.organizations) == 0
	if created {
		d.organizations, d.projects = append(d.organizations, first), append(d.projects, project)
	}
	return d.organizations[0], d.projects[0], created, nil
}

func (d *drawer) InsertProject(_ context.Context, project org.Project) error {
	if d.broken == nil {
		d.projects = append(d.projects, project)
	}
	return d.broken
}

func now() time.Time {
	return time.Date(2026, 11, 22, 9, 0, 0, 123456789, time.FixedZone("here", 3600))
}

func ids() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("%016d", n) }
}

// Promise: a new installation starts with one organization and one project of three environments, and a second start
// finds them as they are.
func TestSetupMakesTheFirstProjectOnce(t *testing.T) {
	t.Parallel()
	store := &drawer{}
	newID := ids()
	o, p, created, err := org.Setup(t.Context(), store, org.FirstProject(), now, newID)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	if o.ID != "org_0000000000000001" || o.Name != "default" || p.ID != "prj_0000000000000002" || p.Name != "default" || p.Organization != o.ID {
		t.Fatalf("made %+v and %+v", o, p)
	}
	if want := time.Date(2026, 11, 22, 8, 0, 0, 123456000, time.UTC); o.CreatedAt != want || p.CreatedAt != want {
		t.Errorf("made at %v and %v, want %v", o.CreatedAt, p.CreatedAt, want)
	}
	key := &access.Key{Project: &p.Project, Kind: access.Secret, Mode: access.Live}
	if env, _ := key.Default(); env.Name != "production" {
		t.Errorf("a live key starts in %s", env.Name)
	}
	if key.Mode = access.Test; len(key.Reachable()) != 1 || key.Reachable()[0].Name != "development" {
		t.Errorf("a test key reaches %v", key.Reachable())
	}
	again, same, created, err := org.Setup(t.Context(), store, org.FirstProject(), now, newID)
	if err != nil || created || again != o || same.ID != p.ID {
		t.Fatalf("the second start got %+v, %+v, created %v, %v", again, same, created, err)
	}
}

// Promise: a project that could not be used is refused with all that is wrong with it, and nothing is stored.
func TestAPlanIsChecked(t *testing.T) {
	t.Parallel()
	live := func(names ...string) (list []access.Environment) {
		for _, name := range names {
			list = append(list, access.Environment{Name: name, Mode: access.Live})
		}
		return list
	}
	for name, c := range map[string]struct {
		plan   org.Plan
		faults int
	}{
		"first":         {org.FirstProject(), 0},
		"longest name":  {org.Plan{Name: strings.Repeat("é", 100), Environments: live("0", "a-b_c", strings.Repeat("z", 63))}, 0},
		"most":          {org.Plan{Name: "x", Environments: live(strings.Split("abcdefghijklmnopqrstuvwxyz012345", "")...)}, 0},
		"nothing":       {org.Plan{}, 2},
		"long name":     {org.Plan{Name: strings.Repeat("é", 101), Environments: live("a")}, 1},
		"control":       {org.Plan{Name: "a\nb", Environments: live("a")}, 1},
		"not UTF-8":     {org.Plan{Name: "\xff", Environments: live("a")}, 1},
		"not a slug":    {org.Plan{Name: "x", Environments: live("", "A", "é", "-a", "_a", "a b", "a.b", "a/b", "a\n", strings.Repeat("z", 64))}, 10},
		"twice":         {org.Plan{Name: "x", Environments: live("a", "a")}, 1},
		"without mode":  {org.Plan{Name: "x", Environments: []access.Environment{{Name: "a"}}}, 1},
		"too many":      {org.Plan{Name: "x", Environments: live(strings.Split("abcdefghijklmnopqrstuvwxyz0123456", "")...)}, 1},
		"several wrong": {org.Plan{Environments: live("A", "b", "b")}, 3},
	} {
		store := &drawer{}
		_, err := org.AddProject(t.Context(), store, "org_1", c.plan, now, ids())
		faults := 0
		if err != nil {
			faults = len(problem.From(err).Fields)
		}
		if faults != c.faults || (err == nil) != (c.faults == 0) {
			t.Errorf("%s: %d faults, want %d: %v", name, faults, c.faults, err)
		}
		if stored := len(store.projects) == 1; stored != (err == nil) {
			t.Errorf("%s: stored %v", name, stored)
		}
		if _, _, _, setup := org.Setup(t.Context(), store, c.plan, now, ids()); (setup == nil) != (err == nil) {
			t.Errorf("%s: Setup says %v", name, setup)
		}
	}
}

// Promise: an environment that cannot be made with a project is told by its place and its field.
func TestFaultsOfAPlanNameTheirPlace(t *testing.T) {
	t.Parallel()
	plan := org.Plan{Name: "x", Environments: []access.Environment{{Name: "a", Mode: access.Live}, {Name: "a", Mode: access.Test}, {Name: "b"}}}
	_, err := org.AddProject(t.Context(), &drawer{}, "org_1", plan, now, func() string { return "x" })
	p := problem.From(err)
	if p.Code != problem.InvalidField || len(p.Fields) != 2 || p.Fields[0].Name != "environments[1].name" || p.Fields[1].Name != "environments[2].mode" {
		t.Errorf("%v: %+v", err, p.Fields)
	}
}

// Promise: a store that fails is not taken for a store that has nothing.
func TestABrokenStoreIsReported(t *testing.T) {
	t.Parallel()
	store := &drawer{broken: errors.New("broken")}
	if _, p, created, err := org.Setup(t.Context(), store, org.FirstProject(), now, ids()); !errors.Is(err, store.broken) || created || p.ID != "" {
		t.Errorf("Setup: created %v, %v", created, err)
	}
	if p, err := org.AddProject(t.Context(), store, "org_1", org.FirstProject(), now, ids()); !errors.Is(err, store.broken) || p.ID != "" {
		t.Errorf("AddProject: %v", err)
	}
}
