// Package org owns organizations, projects and environments: what they are, what they may be called, and the first ones
// that a new installation starts with. It owns as well what a project is set to beside its policy, that is its config and
// its budget (Registry), and the people who work in it: members, invitations, passwords and sessions (Members).
//
//	Invite --> invitation --Accept--> member --Prove--> key --gate--> access token --Begin--> session
//
// It does not own keys, nor those that members act through (keyring implements Keys), who may do what in a project and what
// a role may (access), access tokens (token), nor how any of it is kept (it declares Store, People, Invitations, Sessions and
// Projects).
//
// Problems: invalid_field, not_found, conflict, precondition_failed, sign_in_refused, too_many_failures, and those of what a
// permit may not hand on.
package org

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Organization is the owner of projects.
type Organization struct {
	ID        string // "org_" and 16 characters
	Name      string
	CreatedAt time.Time // UTC, to the microsecond
}

// Project is one product's settings, keys and data, as the policy sees it, with what people call it.
type Project struct {
	access.Project
	Name      string
	CreatedAt time.Time // UTC, to the microsecond
}

// Store keeps organizations and projects. Texts come back byte for byte. Names need not be unique, ids are.
type Store interface {
	// Establish gives the oldest organization and its oldest project, and stores the ones it is given where there is none,
	// in one transaction. created says whether it stored anything.
	Establish(ctx context.Context, first Organization, project Project) (o Organization, p Project, created bool, err error)
	// InsertProject stores a new project of an organization that exists.
	InsertProject(ctx context.Context, project Project) error
}

// Plan is a project to be.
type Plan struct {
	Name         string
	Environments []access.Environment // in order; the first of a mode is what a key of that mode uses by default
}

// FirstProject is the project of a new installation.
func FirstProject() Plan {
	return Plan{Name: "default", Environments: []access.Environment{
		{Name: "production", Mode: access.Live},
		{Name: "staging", Mode: access.Live},
		{Name: "development", Mode: access.Test},
	}}
}

// firstOrganization is the name of the organization of a new installation.
const firstOrganization = "default"

// Limits on a project.
const (
	MaxName         = 100 // characters
	MaxEnvironments = 32
)

// EnvironmentPattern is what an environment may be called: its name stands in addresses, file names and statements.
const EnvironmentPattern = `^[a-z0-9][a-z0-9_-]{0,62}$`

// Setup makes the first organization and, in it, the project of the plan. On a store that has one it changes nothing and
// gives what is there. newID gives 16 letters and digits that were never given before.
func Setup(ctx context.Context, store Store, plan Plan, now func() time.Time, newID func() string) (o Organization, p Project, created bool, err error) {
	o = Organization{ID: "org_" + newID(), Name: firstOrganization, CreatedAt: micros(now())}
	project, err := plan.project(o.ID, now, newID)
	if err != nil {
		return Organization{}, Project{}, false, err
	}
	if o, p, created, err = store.Establish(ctx, o, project); err != nil {
		return Organization{}, Project{}, false, fmt.Errorf("org: set up: %w", err)
	}
	return o, p, created, nil
}

// AddProject makes one more project in an organization.
func AddProject(ctx context.Context, store Store, organization string, plan Plan, now func() time.Time, newID func() string) (Project, error) {
	project, err := plan.project(organization, now, newID)
	if err != nil {
		return Project{}, err
	}
	if err := store.InsertProject(ctx, project); err != nil {
		return Project{}, fmt.Errorf("org: add a project: %w", err)
	}
	return project, nil
}

func (plan Plan) project(organization string, now func() time.Time, newID func() string) (Project, error) {
	if err := plan.check(); err != nil {
		return Project{}, err
	}
	return Project{
		Project:   access.Project{Organization: organization, ID: "prj_" + newID(), Environments: slices.Clone(plan.Environments)},
		Name:      plan.Name,
		CreatedAt: micros(now()),
	}, nil
}

// check answers a problem that names everything that is wrong with the plan.
func (plan Plan) check() error {
	var faults []problem.Field
	add := func(field, format string, args ...any) {
		faults = append(faults, problem.Field{Name: field, Detail: fmt.Sprintf(format, args...)})
	}
	if plan.Name == "" || !utf8.ValidString(plan.Name) || utf8.RuneCountInString(plan.Name) > MaxName || strings.ContainsFunc(plan.Name, unicode.IsControl) {
		add("name", "must be 1 to %d characters, none of them controls", MaxName)
	}
	if n := len(plan.Environments); n == 0 || n > MaxEnvironments {
		add("environments", "must be 1 to %d", MaxEnvironments)
	}
	seen, pattern := map[string]bool{}, regexp.MustCompile(EnvironmentPattern)
	for i, env := range plan.Environments {
		at := fmt.Sprintf("environments[%d].", i)
		switch {
		case !pattern.MatchString(env.Name):
			add(at+"name", "must match %s", EnvironmentPattern)
		case seen[env.Name]:
			add(at+"name", "is there twice")
		case env.Mode != access.Live && env.Mode != access.Test:
			add(at+"mode", "must be live or test")
		}
		seen[env.Name] = true
	}
	if len(faults) == 0 {
		return nil
	}
	p := problem.Invalid(faults[0].Name, "%s", faults[0].Detail)
	p.Fields = faults
	return p
}

func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
