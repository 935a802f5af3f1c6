package api

import (
	"context"
	"errors"
	"mime"
	"net/url"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// errNothing says that what an app asks about is nothing of its own, so that there is nobody to ask the gate about.
var errNothing = errors.New("api: what the app asks about is nothing of its own")

// byApp is what an app has shown.
type byApp struct {
	app     app.App
	shown   *app.Shown   // for a token; nil: it asks about one
	refresh *app.Refresh // that it asks about; nil: it asks about an access token
}

func (a *API) apps() (*app.Service, error) {
	if a.cfg.Apps == nil {
		return nil, problem.New(problem.Unavailable, "There are no apps here.")
	}
	return a.cfg.Apps, nil
}

// appOrClient finds the credential of an app, for a row that is for clients and for apps: by its id, and its secret if it has
// one, in the header or in the body (RFC 6749 section 2.3.1). stands gives the client that what the app shows stands for, which
// is who asks the gate. Whoever is no app is a client.
func appOrClient(stands func(*request, *app.Service, url.Values) (grant string, err error)) func(*request) (gate.Credential, error) {
	client := clientCredential(oauthClient)
	return func(rq *request) (gate.Credential, error) {
		c, form, secret, is, err := rq.appSays()
		if !is {
			return client(rq)
		}
		if c.Cleartext { // the answer does not depend on what came
			c.Key = access.SecretText("unreadable")
			return c, nil
		}
		if err != nil {
			return c, err
		}
		service, err := rq.a.apps()
		if err != nil {
			return c, err
		}
		one, err := service.Authenticate(rq.ctx(), form.Get("client_id"), secret)
		if err != nil {
			return c, err
		}
		rq.app = &byApp{app: one}
		grant, err := stands(rq, service, form)
		if err != nil {
			return c, err
		}
		c.Asserted, _ = access.LookupOf(grant)
		return c, nil
	}
}

// appSays finds the id and the secret of an app; is says whether it is one: not when whoever asks does not say so. The form has the id,
// wherever it stood.
func (rq *request) appSays() (c gate.Credential, form url.Values, secret string, is bool, err error) {
	id := ""
	c, key, err := readCredential(rq, func(value string) (string, error) {
		scheme, text, _ := strings.Cut(strings.TrimSpace(value), " ")
		if !strings.EqualFold(scheme, "Basic") {
			return bearer(value)
		}
		said, shown, err := basic(text)
		if err == nil && app.IsID(said) {
			id, secret = said, shown
			return "", nil
		}
		return shown, err
	})
	kind, _, _ := mime.ParseMediaType(rq.r.Header.Get("Content-Type"))
	if err == nil && kind == formType {
		var raw []byte
		if raw, err = rq.early(clientSize); err == nil {
			form, _ = url.ParseQuery(string(raw)) // what can be read of it; whoever reads the body says the rest
		}
	}
	if is = form != nil && (id != "" || app.IsID(form.Get("client_id"))); !is {
		return c, nil, "", false, nil // and what is wrong is told to a client
	}
	for name, values := range form {
		if len(values) > 1 && name != "environment" && name != "domain" && name != "dataset" {
			return c, nil, "", true, problem.New(problem.InvalidRequest, "The parameter %s is given %d times.", clip(name, namePart), len(values))
		}
	}
	switch {
	case key != "" || secret != "" && form.Get("client_secret") != "" || form.Get("client_assertion") != "":
		err = problem.New(problem.TwoCredentials, "The request carries two credentials, in its head or its body. Send one.")
	case id != "" && form.Get("client_id") != "" && form.Get("client_id") != id:
		err = problem.New(problem.InvalidClient, "The client_id is not the one in the header.")
	case id != "":
		form.Set("client_id", id)
	default:
		secret, c.Via = form.Get("client_secret"), access.InBody
	}
	return c, form, secret, true, err
}

// standsForToken gives the client that a code or a refresh token stands for.
func standsForToken(rq *request, service *app.Service, form url.Values) (string, error) {
	var (
		shown app.Shown
		err   error
		value = func(name string) string {
			if form.Get(name) == "" && err == nil {
				err = missingParameter(name)
			}
			return form.Get(name)
		}
	)
	switch grant := value("grant_type"); grant {
	case "authorization_code":
		code, redirect, verifier := value("code"), value("redirect_uri"), value("code_verifier")
		if err == nil {
			shown, err = service.ByCode(rq.ctx(), rq.app.app, code, redirect, verifier)
		}
	case "refresh_token":
		text := value("refresh_token")
		if err == nil {
			shown, err = service.ByRefresh(rq.ctx(), rq.app.app, text)
		}
	case "":
	default:
		err = problem.New(problem.UnsupportedGrantType, "An app gets a token for a code or a refresh token.").At("grant_type", "must be authorization_code or refresh_token")
	}
	if err != nil {
		return "", err
	}
	if !rq.a.stands(shown.Project, shown.Grant) {
		return "", problem.New(problem.InvalidGrant, "What the app was let in with has ended, or the key that let it in has. It must ask to be let in again.")
	}
	rq.app.shown = &shown
	return shown.Grant, nil
}

// stands reports whether what an app was let in with is good, and the key that it comes of.
func (a *API) stands(project, grant string) bool {
	key, found := a.cfg.Keys.Peek(project, grant)
	return found && key.App != "" && access.Stands(key, a.cfg.Now(), time.Time{}, time.Time{}) == access.Allowed
}

// standsBehind gives the client of an access token, or of a refresh token, that an app asks about.
func standsBehind(rq *request, service *app.Service, form url.Values) (string, error) {
	text := form.Get("token")
	if text == "" {
		return "", missingParameter("token")
	}
	refresh, good, err := service.Described(rq.ctx(), rq.app.app, text)
	if err != nil {
		return "", err
	}
	grant := refresh.Grant
	if good {
		rq.app.refresh = &refresh
	} else if issuer := rq.a.cfg.Tokens; issuer != nil {
		if t, found := issuer.Open(text, rq.a.cfg.Now()); found {
			grant = t.Client.ID()
		}
	}
	key, found := rq.a.cfg.Keys.Peek(rq.app.app.Project, grant)
	if !found || key.App != rq.app.app.ID || !rq.a.stands(rq.app.app.Project, grant) {
		return "", errNothing
	}
	return grant, nil
}

// givesBack gives the client of what an app gives back. While that does not stand, there is nobody to ask the gate about; but it
// may be disabled only, or the key is that let it in, and be restored. So a refresh token of the app's own ends it all the same.
func givesBack(rq *request, service *app.Service, form url.Values) (string, error) {
	grant, err := standsBehind(rq, service, form)
	if own := rq.app.refresh; own != nil && errors.Is(err, errNothing) {
		if err := service.End(rq.ctx(), own.Project, own.Grant, "grant.given_back"); err != nil {
			return "", err
		}
	}
	return grant, err
}

// redeem uses up what an app has shown, once its access token is made, and adds the next refresh token to the answer.
func (a *API) redeem(ctx context.Context, permit gate.Permit, shown *app.Shown, thumbprint string, answer TokenAnswer) (TokenAnswer, error) {
	service, err := a.apps()
	if err != nil {
		return TokenAnswer{}, err
	}
	next, err := service.Redeem(ctx, *shown, thumbprint, permit.Key().ExpiresAt)
	if err != nil {
		return TokenAnswer{}, err
	}
	answer.RefreshToken = next.Reveal()
	return answer, nil
}
