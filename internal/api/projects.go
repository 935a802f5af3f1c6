package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
)

// ProjectShown is one product's settings, keys and data.
type ProjectShown struct {
	ID           string        `json:"id" example:"prj_ABCDEFGHIJKLMNOP"`
	Name         string        `json:"name"`
	Environments []Environment `json:"environments"`
	CreatedAt    time.Time     `json:"created_at"`
}

// ProjectList is projects of an organization.
type ProjectList struct {
	Data []ProjectShown `json:"data" doc:"Oldest first."`
}

// OrganizationShown is the owner of projects and members.
type OrganizationShown struct {
	ID        string    `json:"id" example:"org_ABCDEFGHIJKLMNOP"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
}

type newProject struct {
	Body struct {
		Name         string           `json:"name" minLength:"1" maxLength:"100" doc:"What it is called." example:"shop"`
		Environments []newEnvironment `json:"environments,omitempty" maxItems:"32" nullable:"false" doc:"In order; by default production and staging, which are live, and development, which is test."`
	}
}

type newEnvironment struct {
	Name string `json:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$" doc:"What it is called." example:"canary"`
	Mode string `json:"mode" enum:"live,test" doc:"Whether it is for keys of live mode or of test mode."`
}

func (n newEnvironment) environment() access.Environment {
	mode, _ := access.ParseMode(n.Mode)
	return access.Environment{Name: n.Name, Mode: mode}
}

func (in newProject) plan() org.Plan {
	plan := org.Plan{Name: in.Body.Name, Environments: org.FirstProject().Environments}
	if len(in.Body.Environments) > 0 {
		plan.Environments = nil
		for _, env := range in.Body.Environments {
			plan.Environments = append(plan.Environments, env.environment())
		}
	}
	return plan
}

type renameProject struct {
	ID   string `path:"id" maxLength:"64" doc:"The project's id."`
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"100" doc:"What it is to be called."`
	}
}

type deleteProject struct {
	ID      string `path:"id" maxLength:"64" doc:"The project's id."`
	Confirm string `query:"confirm" maxLength:"400" doc:"The project's name, so that none is deleted by mistake."`
}

type renameOrganization struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"100" doc:"What it is to be called."`
	}
}

func mountProjects(a *API) {
	mount(a, endpoint[nothing, ProjectList]{
		Method: "GET", Path: "/v1/projects", Action: access.ReadProject, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (ProjectList, error) {
			all, err := a.cfg.Projects.List(ctx, permit)
			list := ProjectList{Data: []ProjectShown{}}
			for i := range all {
				list.Data = append(list.Data, projectView(&all[i]))
			}
			return list, err
		},
		Doc: doc{ID: "listProjects", Problems: []problem.Code{problem.PublicKeyNotEnough}, Tag: "Organization", Summary: "List projects", Text: "Whoever is a member of the whole organization sees all of its projects; a key sees its own."},
	})
	mount(a, endpoint[newProject, ProjectShown]{
		Method: "POST", Path: "/v1/projects", Action: access.WriteOrganization, Read: bound[newProject](a), Wants: wantsNothing[newProject], Status: http.StatusCreated,
		Do: func(ctx context.Context, permit gate.Permit, in newProject) (ProjectShown, error) {
			p, err := a.cfg.Projects.Create(ctx, permit, in.plan())
			return projectView(&p), err
		},
		Doc: doc{
			ID: "createProject", Tag: "Organization", Summary: "Create a project", Problems: []problem.Code{problem.OneProjectOnly, problem.GrantTooWide, problem.Conflict},
			Text: "For members of the whole organization, who can sign in to it at once. No keys are made.",
		},
	})
	mount(a, endpoint[renameProject, ProjectShown]{
		Method: "PATCH", Path: "/v1/projects/{id}", Action: access.WriteProject, Read: bound[renameProject](a), Wants: wantsNothing[renameProject],
		Do: func(ctx context.Context, permit gate.Permit, in renameProject) (ProjectShown, error) {
			p, err := a.cfg.Projects.Rename(ctx, permit, in.ID, in.Body.Name)
			return projectView(&p), err
		},
		Doc: doc{
			ID: "changeProject", Tag: "Organization", Summary: "Rename a project", Text: "Its id stays, and so does all that is counted by it.",
			Problems: []problem.Code{problem.NotFound, problem.GrantTooWide},
		},
	})
	mount(a, endpoint[deleteProject, nothing]{
		Method: "DELETE", Path: "/v1/projects/{id}", Action: access.WriteProject, Read: bound[deleteProject](a), Wants: wantsNothing[deleteProject], Status: http.StatusNoContent,
		Do: func(ctx context.Context, permit gate.Permit, in deleteProject) (nothing, error) {
			return nothing{}, a.cfg.Projects.Delete(ctx, permit, in.ID, in.Confirm)
		},
		Doc: doc{
			ID: "deleteProject", Tag: "Organization", Summary: "Delete a project", Problems: []problem.Code{problem.NotFound, problem.GrantTooWide, problem.Conflict},
			Text: "When this has answered, no key of the project is accepted, and nobody can sign in to it. Its data is not removed by this.",
		},
	})
	mount(a, endpoint[nothing, OrganizationShown]{
		Method: "GET", Path: "/v1/organization", Action: access.ReadProject, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (OrganizationShown, error) {
			o, err := a.cfg.Projects.Organization(ctx, permit)
			return OrganizationShown(o), err
		},
		Doc: doc{ID: "readOrganization", Problems: []problem.Code{problem.PublicKeyNotEnough}, Tag: "Organization", Summary: "Read the organization", Text: "The one that the project belongs to."},
	})
	mount(a, endpoint[renameOrganization, OrganizationShown]{
		Method: "PATCH", Path: "/v1/organization", Action: access.WriteOrganization, Read: bound[renameOrganization](a), Wants: wantsNothing[renameOrganization],
		Do: func(ctx context.Context, permit gate.Permit, in renameOrganization) (OrganizationShown, error) {
			o, err := a.cfg.Projects.RenameOrganization(ctx, permit, in.Body.Name)
			return OrganizationShown(o), err
		},
		Doc: doc{
			ID: "changeOrganization", Tag: "Organization", Summary: "Rename the organization", Text: "For members of the whole organization.",
			Problems: []problem.Code{problem.OneProjectOnly, problem.GrantTooWide},
		},
	})
}

func projectView(p *org.Project) ProjectShown {
	shown := ProjectShown{ID: p.ID, Name: p.Name, Environments: []Environment{}, CreatedAt: p.CreatedAt}
	for _, env := range p.Environments {
		shown.Environments = append(shown.Environments, Environment{Name: env.Name, Mode: env.Mode.String()})
	}
	return shown
}

// EnvironmentShown is a named data space of the project.
type EnvironmentShown struct {
	Name        string `json:"name"`
	Mode        string `json:"mode" enum:"live,test"`
	Description string `json:"description"`
	Retention   int    `json:"retention_days" doc:"How many days events are kept after they were received; 0: for ever."`
}

// EnvironmentList is environments of the project.
type EnvironmentList struct {
	Data []EnvironmentShown `json:"data" doc:"In the order in which they were made: the first of its mode is a key's default."`
}

type addEnvironment struct {
	Body struct {
		Name        string `json:"name" pattern:"^[a-z0-9][a-z0-9_-]{0,62}$" doc:"What it is called. It cannot be changed later." example:"canary"`
		Mode        string `json:"mode" enum:"live,test" doc:"Whether it is for keys of live mode or of test mode."`
		Description string `json:"description,omitzero" maxLength:"200" doc:"What it is for."`
	}
}

type readEnvironment struct {
	Name string `path:"name" maxLength:"63" doc:"The environment's name."`
}

type describeEnvironment struct {
	Name string `path:"name" maxLength:"63" doc:"The environment's name."`
	Body struct {
		Description *string `json:"description,omitempty" maxLength:"200" doc:"What it is for." nullable:"false"`
		Retention   *int    `json:"retention_days,omitempty" minimum:"0" maximum:"36500" doc:"How many days events are kept after they were received; 0: for ever. What is older is deleted within the hour, and not to be had back." nullable:"false"`
	}
}

type deleteEnvironment struct {
	Name    string `path:"name" maxLength:"63" doc:"The environment's name."`
	Confirm bool   `query:"confirm" doc:"Whether it is meant although keys are restricted to it."`
}

func mountEnvironments(a *API) {
	mount(a, endpoint[nothing, EnvironmentList]{
		Method: "GET", Path: "/v1/environments", Action: access.ReadProject, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (EnvironmentList, error) {
			all, err := a.cfg.Projects.Environments(ctx, permit)
			list := EnvironmentList{Data: []EnvironmentShown{}}
			for _, s := range all {
				list.Data = append(list.Data, spaceView(s))
			}
			return list, err
		},
		Doc: doc{ID: "listEnvironments", Problems: []problem.Code{problem.PublicKeyNotEnough}, Tag: "Organization", Summary: "List environments", Text: "Those of the project that the key may use."},
	})
	mount(a, endpoint[readEnvironment, EnvironmentShown]{
		Method: "GET", Path: "/v1/environments/{name}", Action: access.ReadProject, Read: bound[readEnvironment](a), Wants: wantsNothing[readEnvironment],
		Do: func(ctx context.Context, permit gate.Permit, in readEnvironment) (EnvironmentShown, error) {
			s, err := a.cfg.Projects.Environment(ctx, permit, in.Name)
			return spaceView(s), err
		},
		Doc: doc{
			ID: "readEnvironment", Tag: "Organization", Summary: "Read an environment", Text: "One of those that the key may use.",
			Problems: []problem.Code{problem.PublicKeyNotEnough, problem.NotFound},
		},
	})
	mount(a, endpoint[addEnvironment, EnvironmentShown]{
		Method: "POST", Path: "/v1/environments", Action: access.WriteProject, Read: bound[addEnvironment](a), Wants: wantsNothing[addEnvironment], Status: http.StatusCreated,
		Do: func(ctx context.Context, permit gate.Permit, in addEnvironment) (EnvironmentShown, error) {
			mode, _ := access.ParseMode(in.Body.Mode)
			s, err := a.cfg.Projects.AddEnvironment(ctx, permit, org.Space{
				Environment: access.Environment{Name: in.Body.Name, Mode: mode}, Description: in.Body.Description,
			})
			return spaceView(s), err
		},
		Doc: doc{
			ID: "createEnvironment", Tag: "Organization", Summary: "Create an environment", Problems: []problem.Code{problem.Conflict, problem.GrantTooWide},
			Text: "It can be used when this has answered, by every key of its mode that is restricted to none. A project has 32 at the most. The name of one that was deleted is not given again.",
		},
	})
	mount(a, endpoint[describeEnvironment, EnvironmentShown]{
		Method: "PATCH", Path: "/v1/environments/{name}", Action: access.WriteProject, Read: bound[describeEnvironment](a), Wants: wantsNothing[describeEnvironment],
		Do: func(ctx context.Context, permit gate.Permit, in describeEnvironment) (EnvironmentShown, error) {
			s, err := a.cfg.Projects.ChangeEnvironment(ctx, permit, in.Name, org.EnvironmentChange(in.Body))
			return spaceView(s), err
		},
		Doc: doc{
			ID: "changeEnvironment", Tag: "Organization", Summary: "Change an environment", Problems: []problem.Code{problem.NotFound, problem.GrantTooWide},
			Text: "Its name and mode stay: they are where its data is, and which keys may use it.",
		},
	})
	mount(a, endpoint[deleteEnvironment, nothing]{
		Method: "DELETE", Path: "/v1/environments/{name}", Action: access.WriteProject, Read: bound[deleteEnvironment](a), Wants: wantsNothing[deleteEnvironment], Status: http.StatusNoContent,
		Do: func(ctx context.Context, permit gate.Permit, in deleteEnvironment) (nothing, error) {
			return nothing{}, a.cfg.Projects.DeleteEnvironment(ctx, permit, in.Name, in.Confirm)
		},
		Doc: doc{
			ID: "deleteEnvironment", Tag: "Organization", Summary: "Delete an environment", Problems: []problem.Code{problem.NotFound, problem.Conflict, problem.GrantTooWide},
			Text: "When this has answered, no key may use it. Its data is not removed by this. Where keys are restricted to it, confirm must be true: they can do less then, and never more.",
		},
	})
}

func spaceView(s org.Space) EnvironmentShown {
	return EnvironmentShown{Name: s.Name, Mode: s.Mode.String(), Description: s.Description, Retention: s.Retention}
}

// ProjectConfig is what a project tells its clients, and what it is told about itself.
type ProjectConfig struct {
	Public  org.PublicConfig   `json:"public" doc:"What every key of the project may read that holds projects:read, the public ones too: do not put into it what not everybody may know."`
	Private *org.PrivateConfig `json:"private,omitempty" doc:"What public keys do not see."`
	Version int64              `json:"version" doc:"Counts the changes, from 1. It is in the ETag, for If-Match."`
}

// configPatch is a merge patch, as the document shows it.
type configPatch struct {
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The version that the change is meant for, as in the ETag."`
	Body    map[string]any
}

type patchConfig struct {
	patch    map[string]any
	revision int64
}

const mergePatchType = "application/merge-patch+json"

func mountConfig(a *API) {
	mount(a, endpoint[nothing, ProjectConfig]{
		Method: "GET", Path: "/v1/project/config", Action: access.ReadConfig, Cross: true, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (ProjectConfig, error) {
			c, err := a.cfg.Projects.Config(ctx, permit)
			return configView(c, permit.Key().ReadsPrivate()), err
		},
		Write: writeConfig,
		Doc: doc{
			ID: "readConfig", Tag: "Organization", Version: true, Summary: "Read the project's config",
			Text: "A public key gets the part marked public. Weir publishes the config and acts on none of it: sampling is for clients to apply, and which pages a key may be used from is decided by the key's domains.",
		},
	})
	mount(a, endpoint[patchConfig, ProjectConfig]{
		Method: "PATCH", Path: "/v1/project/config", Action: access.WriteConfig, Read: readConfigPatch, Wants: wantsNothing[patchConfig],
		Do: func(ctx context.Context, permit gate.Permit, in patchConfig) (ProjectConfig, error) {
			c, err := a.cfg.Projects.SetConfig(ctx, permit, in.revision, in.patch)
			return configView(c, true), err
		},
		Write: writeConfig,
		Doc: doc{
			ID: "changeConfig", Tag: "Organization", Version: true, Summary: "Change the project's config", In: reflect.TypeFor[configPatch](), Takes: []string{mergePatchType},
			Text:     "By a JSON merge patch (RFC 7386): what is left out stays, and null removes what there is, so that it is as in a new project. A config is at most 64 KiB.",
			Problems: []problem.Code{problem.PreconditionFailed, problem.GrantTooWide},
		},
	})
}

func configView(c org.Config, whole bool) ProjectConfig {
	shown := ProjectConfig{Public: c.Public, Version: c.Version}
	if whole {
		shown.Private = &c.Private
	}
	return shown
}

func writeConfig(rq *request, c ProjectConfig) error {
	rq.reply.Header().Set("ETag", etag(c.Version))
	return rq.writeJSON(http.StatusOK, c)
}

func readConfigPatch(rq *request) (in patchConfig, err error) {
	if err := rq.onlyQuery(); err != nil {
		return in, err
	}
	if in.revision, err = versionOf(rq.r.Header.Get("If-Match")); err != nil {
		return in, err
	}
	text, err := rq.body(managementSize, "application/json", mergePatchType)
	if err != nil {
		return in, err
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return in, badJSON(text, err)
	}
	patch, ok := value.(map[string]any)
	if !ok {
		return in, problem.Invalid("body", "must be a JSON object")
	}
	in.patch = patch
	return in, nil
}
