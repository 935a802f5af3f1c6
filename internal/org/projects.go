package org

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Settings is what a project is set to beside its policy.
type Settings struct {
	Config       Config            `json:"config"`
	Budget       Budget            `json:"budget"`
	Descriptions map[string]string `json:"descriptions,omitempty"` // of environments, by name
	Retention    map[string]int    `json:"retention,omitempty"`    // days that environments keep events, by name; for ever where none are
	Gone         []string          `json:"gone,omitempty"`         // names of environments that were deleted: they are not given again
}

// Whole is a project with all that it is set to.
type Whole struct {
	Project

	Settings Settings
	Deleted  time.Time // zero: it is there
	Revision int64     // counts the changes of the settings, from 0: they were never changed
}

// Projects keeps projects. Texts come back byte for byte.
type Projects interface {
	// ProjectsOf lists an organization's projects that are not deleted, oldest first.
	ProjectsOf(ctx context.Context, organization string) ([]Project, error)
	// CreateProject stores a new project of an organization that exists, and the audit of its making.
	CreateProject(ctx context.Context, p Project, entry audit.Entry) error
	// ChangeProject applies change to a project that is not deleted, and stores its name, environments, settings and end, and
	// the audit that change gives, with no other change in between. others is how many projects the organization has besides.
	// An error of change comes back in the chain, and nothing is stored; nor is it when there is no audit. The error is
	// ErrNoProject when there is no such project.
	ChangeProject(ctx context.Context, id string, change func(p *Whole, others int) (*audit.Entry, error)) (Whole, error)
	// ChangeOrganization does the same to an organization.
	ChangeOrganization(ctx context.Context, id string, change func(*Organization) (*audit.Entry, error)) (Organization, error)
}

// Live is what is decided by: a change of a project holds when it is there.
type Live interface {
	SetProject(p access.Project)
	DropProject(id string)
	// Bound counts the keys of a project that are restricted to an environment and can still be used.
	Bound(project, environment string) int
}

// ProjectsConfig is what the projects need of the world.
type ProjectsConfig struct {
	Store    Projects
	Live     Live
	Now      func() time.Time
	NewID    func() string
	NewAudit func() string
	Most     int          // projects of an organization; 0: MaxProjects
	Log      *slog.Logger // nil: nothing is logged
}

// MaxProjects is how many an organization has at the most.
const MaxProjects = 1000

// Registry is every project, and what it is set to. Its methods may be called from many goroutines.
type Registry struct {
	cfg      ProjectsConfig
	changing sync.Mutex // of whoever changes a project and then the live one
}

// NewRegistry makes it.
func NewRegistry(cfg ProjectsConfig) *Registry {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Most == 0 {
		cfg.Most = MaxProjects
	}
	return &Registry{cfg: cfg}
}

// Of lists the projects of an organization.
func (r *Registry) Of(ctx context.Context, organization string) ([]Project, error) {
	return r.cfg.Store.ProjectsOf(ctx, organization)
}

// List lists the projects that the permit reaches: all of its organization for who is of the whole of it, else its own.
func (r *Registry) List(ctx context.Context, permit gate.Permit) ([]Project, error) {
	all, err := r.cfg.Store.ProjectsOf(ctx, permit.Organization())
	if err != nil {
		return nil, fmt.Errorf("org: list projects: %w", err)
	}
	if permit.Key().ReachesAll() {
		return all, nil
	}
	return slices.DeleteFunc(all, func(p Project) bool { return p.ID != permit.Project() }), nil
}

// Create makes a project in the permit's organization. Whoever is a member of the whole organization is one of it.
func (r *Registry) Create(ctx context.Context, permit gate.Permit, plan Plan) (Project, error) {
	p, err := plan.project(permit.Organization(), r.cfg.Now, r.cfg.NewID)
	if err != nil {
		return Project{}, err
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	all, err := r.cfg.Store.ProjectsOf(ctx, permit.Organization())
	switch {
	case err != nil:
		return Project{}, fmt.Errorf("org: list projects: %w", err)
	case len(all) >= r.cfg.Most:
		return Project{}, problem.New(problem.Conflict, "The organization has %d projects, and can have no more.", len(all))
	}
	entry := audit.Of(permit, r.cfg.NewAudit(), "project.create", p.ID, nil, shownProject{Name: p.Name, Environments: namesOf(p.Environments)})
	if err := r.cfg.Store.CreateProject(ctx, p, entry); err != nil {
		return Project{}, fmt.Errorf("org: store a project: %w", err)
	}
	r.cfg.Live.SetProject(p.Project)
	return p, nil
}

// shownProject is what the audit shows of a project.
type shownProject struct {
	Name         string   `json:"name"`
	Environments []string `json:"environments"`
}

func namesOf(list []access.Environment) []string {
	names := make([]string, len(list))
	for i, env := range list {
		names[i] = env.Name
	}
	return names
}

// reached refuses a project that the permit does not reach, as if it were not there.
func reached(permit gate.Permit, p *Project) error {
	if p.Organization != permit.Organization() || p.ID != permit.Project() && !permit.Key().ReachesAll() {
		return noProject()
	}
	return nil
}

func noProject() error { return problem.New(problem.NotFound, "There is no such project.") }

// Rename gives a project another name.
func (r *Registry) Rename(ctx context.Context, permit gate.Permit, id, name string) (Project, error) {
	if err := checkName("name", name, MaxName); err != nil {
		return Project{}, err
	}
	w, err := r.change(ctx, id, func(w *Whole, _ int) (*audit.Entry, error) {
		if err := reached(permit, &w.Project); err != nil {
			return nil, err
		}
		before := shownProject{w.Name, namesOf(w.Environments)}
		w.Name = name
		return r.by(permit, id, "project.rename", id, before, shownProject{name, before.Environments}), nil
	})
	return w.Project, err
}

// Delete ends a project: when it returns, no key of it is good, and no member can sign in to it. Its data stays where it is.
// name must be the project's, so that none is deleted by mistake; an organization keeps one project at least.
func (r *Registry) Delete(ctx context.Context, permit gate.Permit, id, name string) error {
	_, err := r.change(ctx, id, func(w *Whole, others int) (*audit.Entry, error) {
		if err := reached(permit, &w.Project); err != nil {
			return nil, err
		}
		switch {
		case name != w.Name:
			return nil, problem.Invalid("query.confirm", "must be the name of the project")
		case others == 0:
			return nil, problem.New(problem.Conflict, "This is the organization's only project.")
		}
		w.Deleted = micros(r.cfg.Now())
		return r.by(permit, id, "project.delete", id, shownProject{w.Name, namesOf(w.Environments)}, nil), nil
	})
	return err
}

// by is the entry of the audit of what was done to a project, which may be another than the permit's.
func (r *Registry) by(permit gate.Permit, project, action, subject string, before, after any) *audit.Entry {
	entry := audit.Of(permit, r.cfg.NewAudit(), action, subject, before, after)
	entry.Project = project
	return &entry
}

// change changes a project and then what is decided by. When the store fails in a way that leaves open what it kept, what is
// decided by becomes what it has.
func (r *Registry) change(ctx context.Context, id string, change func(*Whole, int) (*audit.Entry, error)) (Whole, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	tried := false
	w, err := r.cfg.Store.ChangeProject(ctx, id, func(w *Whole, others int) (*audit.Entry, error) {
		entry, err := change(w, others)
		tried = err == nil && entry != nil
		return entry, err
	})
	if errors.Is(err, ErrNoProject) {
		return Whole{}, noProject()
	}
	if err != nil && tried {
		r.settle(ctx, id)
	}
	if err != nil {
		return Whole{}, fmt.Errorf("org: change a project: %w", err)
	}
	r.publish(w)
	return w, nil
}

func (r *Registry) publish(w Whole) {
	if !w.Deleted.IsZero() {
		r.cfg.Live.DropProject(w.ID)
		return
	}
	r.cfg.Live.SetProject(w.Project.Project)
}

const settleTime = 2 * time.Second

// settle asks the store what it has of a project.
func (r *Registry) settle(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	w, err := r.cfg.Store.ChangeProject(ctx, id, func(*Whole, int) (*audit.Entry, error) { return nil, nil })
	switch {
	case err == nil:
		r.publish(w)
	case errors.Is(err, ErrNoProject):
		r.cfg.Live.DropProject(id)
	default:
		r.cfg.Log.Error("it is not known whether a project was changed: a restart tells", "project", id, "error", err)
	}
}

// read gives a project as it is.
func (r *Registry) read(ctx context.Context, id string) (Whole, error) {
	w, err := r.cfg.Store.ChangeProject(ctx, id, func(*Whole, int) (*audit.Entry, error) { return nil, nil })
	if errors.Is(err, ErrNoProject) {
		return Whole{}, noProject()
	}
	if err != nil {
		return Whole{}, fmt.Errorf("org: read a project: %w", err)
	}
	return w, nil
}

// Config gives the config of the permit's project.
func (r *Registry) Config(ctx context.Context, permit gate.Permit) (Config, error) {
	w, err := r.read(ctx, permit.Project())
	return w.Settings.Config, err
}

// SetConfig puts a merge patch over the config of the permit's project. version is the one that it is meant for; 0: whatever
// it is by now.
func (r *Registry) SetConfig(ctx context.Context, permit gate.Permit, version int64, patch map[string]any) (Config, error) {
	w, err := r.change(ctx, permit.Project(), func(w *Whole, _ int) (*audit.Entry, error) {
		before := w.Settings.Config
		if version != 0 && version != before.Version {
			return nil, problem.New(problem.PreconditionFailed, "The config is at version %d by now, and not at %d.", before.Version, version).
				At("header.If-Match", "is not the present version")
		}
		after, err := before.Patched(patch)
		if err != nil {
			return nil, err
		}
		if before.same(after) {
			return nil, nil // it is no change, and counts as none
		}
		after.Version++
		w.Settings.Config = after
		return r.by(permit, w.ID, "project.config", w.ID, before, after), nil
	})
	return w.Settings.Config, err
}

// Organization gives the permit's organization, and Rename... gives it another name.
func (r *Registry) Organization(ctx context.Context, permit gate.Permit) (Organization, error) {
	return r.cfg.Store.ChangeOrganization(ctx, permit.Organization(), func(*Organization) (*audit.Entry, error) { return nil, nil })
}

// RenameOrganization gives the permit's organization another name.
func (r *Registry) RenameOrganization(ctx context.Context, permit gate.Permit, name string) (Organization, error) {
	if err := checkName("name", name, MaxName); err != nil {
		return Organization{}, err
	}
	return r.cfg.Store.ChangeOrganization(ctx, permit.Organization(), func(o *Organization) (*audit.Entry, error) {
		before := shownProject{Name: o.Name}
		o.Name = name
		entry := audit.Of(permit, r.cfg.NewAudit(), "organization.rename", o.ID, before, shownProject{Name: name})
		return &entry, nil
	})
}

// Space is an environment of a project, with what it is for.
type Space struct {
	access.Environment
	Description string
	Retention   int // days that events are kept; 0: for ever
}

// MaxDescription is how long it may be, in characters.
const MaxDescription = 200

// Environments lists those of the permit's project that the permit may use.
func (r *Registry) Environments(ctx context.Context, permit gate.Permit) ([]Space, error) {
	w, err := r.read(ctx, permit.Project())
	if err != nil {
		return nil, err
	}
	var list []Space
	for _, env := range permit.Key().Reachable() {
		list = append(list, w.space(env))
	}
	return list, nil
}

// Environment is one of those of the permit's project that its key may use.
//
// Problems: not_found.
func (r *Registry) Environment(ctx context.Context, permit gate.Permit, name string) (Space, error) {
	list, err := r.Environments(ctx, permit)
	if err != nil {
		return Space{}, err
	}
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
	}
	return Space{}, problem.New(problem.NotFound, "There is no environment of that name that the key may use.")
}

// AddEnvironment makes an environment in the permit's project. A name that one had which was deleted is not given again: its
// data may still be there.
func (r *Registry) AddEnvironment(ctx context.Context, permit gate.Permit, s Space) (Space, error) {
	switch {
	case !regexp.MustCompile(EnvironmentPattern).MatchString(s.Name):
		return Space{}, problem.Invalid("name", "must match %s", EnvironmentPattern)
	case s.Mode != access.Live && s.Mode != access.Test:
		return Space{}, problem.Invalid("mode", "must be live or test")
	}
	if err := checkDescription(s.Description); err != nil {
		return Space{}, err
	}
	_, err := r.change(ctx, permit.Project(), func(w *Whole, _ int) (*audit.Entry, error) {
		switch {
		case slices.Contains(namesOf(w.Environments), s.Name):
			return nil, problem.New(problem.Conflict, "The project has an environment of that name.").At("name", "is taken")
		case slices.Contains(w.Settings.Gone, s.Name):
			return nil, problem.New(problem.Conflict, "An environment of that name was deleted, and its data may still be there: the name is not given again.").At("name", "was used before")
		case len(w.Environments) >= MaxEnvironments:
			return nil, problem.New(problem.Conflict, "The project has %d environments, and can have no more.", MaxEnvironments)
		}
		before := namesOf(w.Environments)
		w.Environments = append(w.Environments, s.Environment)
		w.describe(s.Name, s.Description)
		return r.by(permit, w.ID, "environment.create", s.Name, shownProject{w.Name, before}, shownProject{w.Name, namesOf(w.Environments)}), nil
	})
	return s, err
}

func checkDescription(text string) error {
	if text == "" {
		return nil
	}
	return checkName("description", text, MaxDescription)
}

func (w *Whole) describe(name, text string) {
	all := map[string]string{}
	maps.Copy(all, w.Settings.Descriptions)
	all[name] = text
	if text == "" {
		delete(all, name)
	}
	w.Settings.Descriptions = all
}

func (w *Whole) at(name string) int {
	return slices.IndexFunc(w.Environments, func(env access.Environment) bool { return env.Name == name })
}

func noEnvironment() error {
	return problem.New(problem.NotFound, "The project has no such environment.")
}

// DeleteEnvironment takes an environment out of the permit's project: when it returns, no key may use it. Its data stays where
// it is, and its name is not given again. Where keys are restricted to it, that must be confirmed: they can do less then, and
// never more.
func (r *Registry) DeleteEnvironment(ctx context.Context, permit gate.Permit, name string, confirmed bool) error {
	bound := r.cfg.Live.Bound(permit.Project(), name)
	_, err := r.change(ctx, permit.Project(), func(w *Whole, _ int) (*audit.Entry, error) {
		at := w.at(name)
		switch {
		case at < 0:
			return nil, noEnvironment()
		case len(w.Environments) == 1:
			return nil, problem.New(problem.Conflict, "This is the project's only environment.")
		case bound > 0 && !confirmed:
			return nil, problem.New(problem.Conflict, "Keys are restricted to this environment: %d. Change them first, or send confirm=true.", bound).At("query.confirm", "must be true to do this")
		}
		before := namesOf(w.Environments)
		w.Environments = slices.Delete(slices.Clone(w.Environments), at, at+1)
		w.describe(name, "")
		w.retain(name, 0)
		w.Settings.Gone = append(slices.Clone(w.Settings.Gone), name)
		return r.by(permit, w.ID, "environment.delete", name, shownProject{w.Name, before}, shownProject{w.Name, namesOf(w.Environments)}), nil
	})
	return err
}
