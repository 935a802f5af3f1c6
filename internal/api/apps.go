package api

import (
	"context"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// App is a program of a third party that may ask to be let in.
type App struct {
	ID        string     `json:"id" doc:"Its client_id, which is public." example:"app_AAAAAAAAAAAAAAAAAAAAAA"`
	Name      string     `json:"name" doc:"What people are told that it is called."`
	Mode      string     `json:"mode" enum:"live,test" doc:"Of the keys that may let it in."`
	Redirects []string   `json:"redirect_uris" doc:"Where people may be sent back to."`
	Public    bool       `json:"public" doc:"Whether it has no secret."`
	DPoP      bool       `json:"dpop_required" doc:"Whether its tokens must be bound to a key (RFC 9449)."`
	Secret    string     `json:"client_secret,omitzero" doc:"Only in the answer that makes it."`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by" doc:"The id of the key that registered it."`
	RevokedAt *time.Time `json:"revoked_at" doc:"When it was revoked; null: it was not." nullable:"true"`
}

// AppList are the apps of a project.
type AppList struct {
	Data []App `json:"data" doc:"Oldest first, revoked ones too."`
}

// ConnectedApp is what an app was let in with.
type ConnectedApp struct {
	ID           string     `json:"id" doc:"The client that its tokens are of." example:"key_3fQ9xT0aLmZk"`
	AppID        string     `json:"app_id" example:"app_AAAAAAAAAAAAAAAAAAAAAA"`
	Name         string     `json:"name" doc:"What it was called then."`
	Mode         string     `json:"mode" enum:"live,test"`
	Scopes       []string   `json:"scopes" doc:"What it was let in for."`
	Environments []string   `json:"environments" doc:"Where; an empty list: wherever the key may that let it in."`
	ApprovedBy   string     `json:"approved_by" doc:"The key that let it in, and that it reaches no further than." example:"key_9dK2mQ7rTzXa"`
	Status       string     `json:"status" enum:"active,disabled,quarantined,not_yet_valid,expired,revoked"`
	Since        time.Time  `json:"since"`
	ExpiresAt    *time.Time `json:"expires_at" nullable:"true"`
	RevokedAt    *time.Time `json:"revoked_at" nullable:"true"`
	LastUsed     *KeyUse    `json:"last_used,omitempty" nullable:"false" doc:"Its last use with success; left out when there was none."`
}

// ConnectedAppPage is one page of a list of them.
type ConnectedAppPage struct {
	Data       []ConnectedApp `json:"data" doc:"Oldest first."`
	NextCursor *string        `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type registerApp struct {
	Body struct {
		Name      string   `json:"name" minLength:"1" maxLength:"60" doc:"What people are told that it is called."`
		Redirects []string `json:"redirect_uris" minItems:"1" maxItems:"10" doc:"Where people may be sent back to: https, http to 127.0.0.1 or [::1] with any port, or a scheme of the app's own with a dot in it." nullable:"false"`
		Public    bool     `json:"public,omitzero" doc:"It can keep no secret: it is on people's devices."`
		DPoP      bool     `json:"dpop_required,omitzero" doc:"Its tokens must be bound to a key (RFC 9449)."`
	}
}

type oneApp struct {
	ID      string `path:"id" maxLength:"64" doc:"The app." example:"app_AAAAAAAAAAAAAAAAAAAAAA"`
	subject *access.Subject
}

type listConnected struct {
	App    string `query:"app" maxLength:"64" doc:"Only of this app."`
	Active bool   `query:"active" doc:"Only those that were not revoked."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor string `query:"cursor" maxLength:"500" doc:"Where to go on, from the page before."`
}

func mountApps(a *API) {
	mount(a, endpoint[registerApp, App]{
		Method: "POST", Path: "/v1/apps", Action: access.WriteApps, Status: 201, Read: bound[registerApp](a), Wants: wantsNothing[registerApp],
		Do: func(ctx context.Context, permit gate.Permit, in registerApp) (App, error) {
			service, err := a.apps()
			if err != nil {
				return App{}, err
			}
			made, secret, err := service.Create(ctx, permit, app.Registration{Name: in.Body.Name, Redirects: in.Body.Redirects, Public: in.Body.Public, DPoP: in.Body.DPoP})
			out := appView(made)
			if err == nil && !secret.Empty() {
				out.Secret = secret.Reveal()
			}
			return out, err
		},
		Doc: doc{
			ID: "registerApp", Tag: "Apps", Summary: "Register an app", Problems: []problem.Code{problem.Conflict},
			Text: "It may ask people to be let into this project then, and can do nothing before one does. Its secret is in this answer and never shown again.",
		},
	})
	mount(a, endpoint[nothing, AppList]{
		Method: "GET", Path: "/v1/apps", Action: access.ReadApps, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (AppList, error) {
			service, err := a.apps()
			if err != nil {
				return AppList{}, err
			}
			list, err := service.List(ctx, permit)
			out := AppList{Data: make([]App, len(list))}
			for i, one := range list {
				out.Data[i] = appView(one)
			}
			return out, err
		},
		Doc: doc{ID: "listApps", Tag: "Apps", Summary: "List apps", Text: "A test key sees those of test mode only."},
	})
	mount(a, endpoint[oneApp, nothing]{
		Method: "DELETE", Path: "/v1/apps/{id}", Action: access.WriteApps, Status: 204, Read: readApp(a), Wants: oneApp.wants,
		Do: func(ctx context.Context, permit gate.Permit, in oneApp) (nothing, error) {
			service, err := a.apps()
			if err != nil {
				return nothing{}, err
			}
			return nothing{}, service.Revoke(ctx, permit, in.ID)
		},
		Doc: doc{
			ID: "revokeApp", Tag: "Apps", Summary: "Revoke an app", Problems: []problem.Code{problem.NotFound, problem.Conflict},
			Text: "When this has answered, all that it was let in with is refused. Revoking it again changes nothing.",
		},
	})
	mountConnected(a)
}

func mountConnected(a *API) {
	mount(a, endpoint[listConnected, ConnectedAppPage]{
		Method: "GET", Path: "/v1/connected-apps", Action: access.ReadApps, Read: bound[listConnected](a), Wants: wantsNothing[listConnected], Do: a.listConnected,
		Doc: doc{ID: "listConnectedApps", Tag: "Apps", Summary: "List what apps were let in with", Text: "Oldest first, revoked ones too. A test key sees those of test mode only."},
	})
	mount(a, endpoint[oneKey, nothing]{
		Method: "DELETE", Path: "/v1/connected-apps/{id}", Action: access.WriteApps, Status: 204, Wants: oneKey.wants,
		Read: func(rq *request) (oneKey, error) {
			in, err := readKey(a)(rq)
			if in.current != nil && in.current.App == "" {
				in.current = nil
			}
			return in, err
		},
		Do: func(ctx context.Context, permit gate.Permit, in oneKey) (nothing, error) {
			service, err := a.apps()
			if err != nil {
				return nothing{}, err
			}
			return nothing{}, service.Disconnect(ctx, permit, in.ID)
		},
		Doc: doc{
			ID: "disconnectApp", Tag: "Apps", Summary: "End what an app was let in with", Problems: []problem.Code{problem.NotFound, problem.Conflict},
			Text: "When this has answered, its tokens are refused, and it gets none any more until somebody lets it in again.",
		},
	})
}

func (in oneApp) wants() access.Attempt { return access.Attempt{Subject: in.subject} }

// readApp reads the id, and looks whose the app is, for the policy to judge.
func readApp(a *API) func(*request) (oneApp, error) {
	read := bound[oneApp](a)
	return func(rq *request) (oneApp, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		service, err := a.apps()
		if err != nil {
			return in, err
		}
		in.subject = &access.Subject{}
		if one, found, err := service.Known(rq.ctx(), in.ID); err != nil {
			return in, err
		} else if found {
			in.subject = &access.Subject{Project: one.Project, Mode: one.Mode}
		}
		return in, nil
	}
}

func appView(one app.App) App {
	return App{
		ID: one.ID, Name: one.Name, Mode: one.Mode.String(), Redirects: append([]string{}, one.Redirects...), Public: !one.Confidential(), DPoP: one.DPoP,
		CreatedAt: one.CreatedAt, CreatedBy: one.CreatedBy, RevokedAt: timeOrNull(one.RevokedAt),
	}
}

func (a *API) listConnected(ctx context.Context, permit gate.Permit, in listConnected) (ConnectedAppPage, error) {
	records, next, err := a.cfg.Keys.Grants(ctx, permit, keyring.GrantQuery{App: in.App, Standing: in.Active, After: in.Cursor, Limit: orDefault(in.Limit, 50)})
	if err != nil {
		return ConnectedAppPage{}, err
	}
	keys, now := make([]Key, len(records)), a.cfg.Now()
	for i := range records {
		keys[i] = a.keyView(records[i])
	}
	if err := a.addLastUses(ctx, permit, keys); err != nil {
		return ConnectedAppPage{}, err
	}
	page := ConnectedAppPage{Data: make([]ConnectedApp, len(records)), NextCursor: cursor(next)}
	for i := range records {
		r := &records[i]
		page.Data[i] = ConnectedApp{
			ID: r.ID, AppID: r.App, Name: r.Label, Mode: r.Mode.String(), Scopes: r.Scopes.Names(), Environments: append([]string{}, r.Environments...), ApprovedBy: r.Parent,
			Status: a.statusOf(r, now), Since: r.CreatedAt, ExpiresAt: timeOrNull(r.ExpiresAt), RevokedAt: timeOrNull(r.RevokedAt), LastUsed: keys[i].LastUsed,
		}
	}
	return page, nil
}
