package api

import (
	"context"
	"html/template"
	"io/fs"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5/static"
	"github.com/swaggest/swgui/v5emb"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// WhoAmI is what a key is and may do.
type WhoAmI struct {
	KeyID        string        `json:"key_id" example:"key_3fQ9xT0aLmZk" doc:"Of a token, the id of its client."`
	Kind         string        `json:"kind" enum:"public,secret,operator,token"`
	Mode         string        `json:"mode" enum:"live,test"`
	Organization string        `json:"organization"`
	Project      string        `json:"project"`
	Environments []Environment `json:"environments" doc:"The environments it may use; the first is meant by a request that names none."`
	Scopes       []string      `json:"scopes" doc:"The rights it holds."`
	ExpiresAt    *time.Time    `json:"expires_at" doc:"When it stops working; null: never."`
	View         keyring.View  `json:"view,omitzero" nullable:"false" doc:"What it sees where it reads; left out when that is everything."`
	Address      string        `json:"address" doc:"Where the server sees this request come from; 'unknown' when a proxy does not tell." example:"203.0.113.7"`
	Hops         []string      `json:"hops" doc:"The trusted proxies it came through, the nearest first."`
}

// Environment is a named data space of a project.
type Environment struct {
	Name string `json:"name" example:"production"`
	Mode string `json:"mode" enum:"live,test"`
}

// Health is the answer of a server that lives.
type Health struct {
	Status  string `json:"status" example:"ok"`
	Version string `json:"version"`
}

// Readiness says which part is not ready.
type Readiness struct {
	Ready bool              `json:"ready"`
	Parts map[string]string `json:"parts" doc:"Each part with 'ready', perhaps with what is amiss all the same, or with what it lacks."`
}

type whoami struct {
	address string
	hops    []string
}

func readWhoami(rq *request) (whoami, error) {
	in := whoami{address: addressText(rq.from.Address), hops: []string{}}
	for _, hop := range rq.from.Hops {
		in.hops = append(in.hops, hop.String())
	}
	return in, rq.onlyQuery()
}

func mountServer(a *API) {
	mount(a, endpoint[whoami, WhoAmI]{
		Method: "GET", Path: "/v1/whoami", Action: access.HoldKey, Cross: true,
		Read:  readWhoami,
		Wants: wantsNothing[whoami],
		Do: func(_ context.Context, permit gate.Permit, in whoami) (WhoAmI, error) {
			return whoIs(permit, in), nil
		},
		Doc: doc{
			ID: "whoami", Tag: "Keys", Summary: "What this key is and may do", Text: "Every key may ask this about itself.",
			In: reflect.TypeFor[nothing](),
		},
	})
	mountOpen(a, open{
		Method: "GET", Path: "/healthz", Action: access.Anyone,
		Serve: func(rq *request) error { return rq.writeJSON(200, Health{Status: "ok", Version: a.cfg.Version}) },
		Doc: doc{
			ID: "healthz", Tag: "Server", Summary: "Whether the server lives", Text: "It answers as long as the process serves.",
			Out: reflect.TypeFor[Health](),
		},
	})
	mountOpen(a, open{
		Method: "GET", Path: "/readyz", Action: access.Anyone, Serve: a.readyz,
		Doc: doc{
			ID: "readyz", Tag: "Server", Summary: "Whether the server can serve", Out: reflect.TypeFor[Readiness](),
			Text: "503 with the same body says which part is not ready.", Statuses: map[int]reflect.Type{503: reflect.TypeFor[Readiness]()},
		},
	})
	mountOpen(a, open{
		Method: "GET", Path: "/openapi.json", Action: access.Anyone, Also: a.onlyIEX("/v1/openapi-doc"),
		Serve: func(rq *request) error {
			text, err := a.OpenAPI()
			if err != nil {
				return err
			}
			rq.reply.Header()["Content-Type"] = jsonType
			_, err = rq.reply.Write(text)
			return err
		},
		Doc: doc{
			ID: "openapi", Tag: "Server", Summary: "This document", Text: "It is made from the code that answers the requests.",
			Out: reflect.TypeFor[map[string]any](),
		},
	})
	mountScripts(a)
	mountPages(a)
}

func whoIs(permit gate.Permit, in whoami) WhoAmI {
	key := permit.Key()
	who := WhoAmI{
		KeyID: key.ID, Kind: key.Kind.String(), Mode: key.Mode.String(), Organization: permit.Organization(), Project: permit.Project(),
		Environments: []Environment{}, Scopes: key.Effective().Names(), ExpiresAt: timeOrNull(key.ExpiresAt), View: shownView(permit.View()), Address: in.address, Hops: in.hops,
	}
	for _, env := range key.Reachable() {
		who.Environments = append(who.Environments, Environment{Name: env.Name, Mode: env.Mode.String()})
	}
	return who
}

// readyTime is how long the parts together may take to answer.
const readyTime = 2 * time.Second

func (a *API) readyz(rq *request) error {
	ctx, cancel := context.WithTimeout(rq.ctx(), readyTime)
	defer cancel()
	out := Readiness{Ready: true, Parts: map[string]string{}}
	for _, part := range a.cfg.Parts {
		out.Parts[part.Name] = part.says()
		if err := part.Ready(ctx); err != nil {
			out.Ready, out.Parts[part.Name] = false, problem.From(err).Detail
		}
	}
	if !out.Ready {
		return rq.writeJSON(http.StatusServiceUnavailable, out)
	}
	return rq.writeJSON(http.StatusOK, out)
}

// says is what a part that is ready says of itself.
func (p Part) says() string {
	if p.Lacks != nil {
		if what := p.Lacks(); what != "" {
			return "ready, but " + what
		}
	}
	return "ready"
}

// mountPages adds the pages for people: the documentation and the help of each problem.
func mountPages(a *API) {
	ui := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "Weir API", SwaggerJSON: "/openapi.json", BasePath: "/docs/", ShowTopBar: false, HideCurl: false,
		SettingsUI: map[string]string{"validatorUrl": "null", "deepLinking": "true", "persistAuthorization": "false"},
	})
	page := func(rq *request) error {
		if name := rq.nameAt("asset"); name != "" && !isAsset(name) {
			return notFound()
		}
		rq.reply.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'")
		rq.r.Header.Del("If-None-Match") // no answer is to be kept, so none is asked about again
		ui.ServeHTTP(&rq.reply, rq.r)
		return nil
	}
	mountOpen(a, open{
		Method: "GET", Path: "/docs", Action: access.Anyone, Serve: page,
		Doc: doc{ID: "docs", Tag: "Server", Summary: "The documentation", Text: "A page for a browser. It asks no other host.", Types: []string{"text/html"}},
	})
	mountOpen(a, open{
		Method: "GET", Path: "/docs/{asset...}", Action: access.Anyone, Serve: page,
		Doc: doc{
			ID: "docsAsset", Tag: "Server", Summary: "A part of the documentation", Text: "What the page of the documentation is made of.",
			In: reflect.TypeFor[assetInput](), Types: []string{"text/html", "text/css", "application/javascript", "image/png"}, Problems: []problem.Code{problem.NotFound},
		},
	})
	mountOpen(a, open{
		Method: "GET", Path: "/problems/{code}", Action: access.Anyone, Serve: problemPage,
		Doc: doc{
			ID: "problem", Tag: "Server", Summary: "What a problem means", Text: "The help page of a problem: its `type` leads here.",
			Types: []string{"text/html"}, In: reflect.TypeFor[problemInput](), Problems: []problem.Code{problem.NotFound},
		},
	})
}

// isAsset reports whether the documentation has a file of that name. Most are kept compressed.
func isAsset(name string) bool {
	for _, stored := range [...]string{name, name + ".gz"} {
		if info, err := fs.Stat(static.FS, stored); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

type assetInput struct {
	Asset string `path:"asset" doc:"The file's name." example:"swagger-ui.css"`
}

type problemInput struct {
	Code string `path:"code" doc:"The problem's code." example:"missing_scope"`
}

var helpPage = template.Must(template.New("problem").Parse(`<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}code{background:#eee;padding:.1em .3em}</style>
<h1>{{.Title}}</h1><p><code>{{.Code}}</code> · HTTP {{.Status}}</p><p>{{.Help}}</p><p><a href="/docs">Documentation</a></p></html>
`))

// problemPage is the help of one problem: the page that its type URI names.
func problemPage(rq *request) error {
	code := problem.Code(rq.nameAt("code"))
	row := code.Row()
	if row.Code != code {
		return problem.New(problem.NotFound, "There is no problem of that name.")
	}
	var page strings.Builder
	if err := helpPage.Execute(&page, row); err != nil {
		return err
	}
	rq.reply.Header().Set("Content-Type", "text/html; charset=utf-8")
	rq.reply.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_, err := rq.reply.Write([]byte(page.String()))
	return err
}
