package api

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
	"github.com/weir-analytics/weir/internal/view"
)

// The paths of OAuth's routes.
const (
	tokenPath      = "/v1/oauth/token"
	revokePath     = "/v1/oauth/revoke"
	introspectPath = "/v1/oauth/introspect"
	jwksPath       = "/v1/oauth/jwks"
	authorizePath  = "/v1/oauth/authorize"
)

// TokenAnswer is an access token (RFC 6749 section 5.1).
type TokenAnswer struct {
	AccessToken string `json:"access_token" doc:"The token, a JWT (RFC 9068): send it as 'Authorization: Bearer TOKEN', or with DPoP."`
	TokenType   string `json:"token_type" enum:"Bearer,DPoP"`
	ExpiresIn   int64  `json:"expires_in" doc:"For how many seconds it is good." example:"900"`
	Scope       string `json:"scope" doc:"Its scopes, with a space between." example:"sql:run"`

	RefreshToken string `json:"refresh_token,omitzero" doc:"For an app only: good once, for the next access token."`
}

// clientForm is where a client may say in a form who it is.
type clientForm struct {
	ClientID      string `json:"client_id,omitzero" doc:"The client's id, where it does not stand in the header." example:"key_3fQ9xT0aLmZk"`
	ClientSecret  string `json:"client_secret,omitzero" doc:"Its secret, likewise."`
	AssertionType string `json:"client_assertion_type,omitzero" doc:"For private_key_jwt: urn:ietf:params:oauth:client-assertion-type:jwt-bearer."`
	Assertion     string `json:"client_assertion,omitzero" doc:"What the client signed with one of its Ed25519 keys, in the place of a secret (RFC 7523)."`
}

// tokenForm is the form for a token, as the document shows it.
type tokenForm struct {
	DPoP string `header:"DPoP" doc:"A proof of possession (RFC 9449): the token is bound to its key."`
	Body struct {
		GrantType   string   `json:"grant_type" enum:"client_credentials,authorization_code,refresh_token" doc:"A client has credentials; an app has a code, and then refresh tokens."`
		Scope       string   `json:"scope,omitzero" doc:"The scopes wanted, with a space between; by default all that the client has." example:"sql:run"`
		Resource    string   `json:"resource,omitzero" doc:"What the token is for (RFC 8707): this server's public address."`
		Lifetime    int64    `json:"lifetime,omitzero" doc:"For how many seconds it is to be good, from 60 to 3600." example:"300"`
		Environment []string `json:"environment,omitempty" doc:"The environments to narrow it to, each a parameter."`
		Domain      []string `json:"domain,omitempty" doc:"The pages to narrow it to, each a parameter."`
		Dataset     []string `json:"dataset,omitempty" doc:"The datasets to narrow it to, each a parameter: the name, for reading, or the name, a colon and rights with commas between."`
		View        string   `json:"view,omitzero" doc:"A view to narrow it to, as JSON."`
		Variables   string   `json:"variables,omitzero" doc:"Values for the variables of the client's and its key's views: a JSON object. Not for apps."`
		Embedded    string   `json:"embedded,omitzero" enum:"true,false" doc:"Whether it is for a page."`

		Code         string `json:"code,omitzero" doc:"For authorization_code: what the app was sent back with."`
		RedirectURI  string `json:"redirect_uri,omitzero" doc:"For authorization_code: where it was sent to."`
		CodeVerifier string `json:"code_verifier,omitzero" doc:"For authorization_code: what its code_challenge is the SHA-256 of (RFC 7636)."`
		RefreshToken string `json:"refresh_token,omitzero" doc:"For refresh_token: the last one that the app was given."`
		clientForm
	}
}

// ofToken is the form about a token, as the document shows it.
type ofToken struct {
	Body struct {
		Token string `json:"token" doc:"The access token, or of an app its refresh token."`
		Hint  string `json:"token_type_hint,omitzero" doc:"Ignored: which it is can be seen."`
		clientForm
	}
}

// tokenAsked is a token that is asked for.
type tokenAsked struct {
	token.Request
	shown *app.Shown // what an app has shown for it; nil: a client asks
}

// tokenOf is a token that is asked about.
type tokenOf struct {
	text access.Text
	by   *byApp // nil: a client asks
}

func mountOAuth(a *API) {
	mount(a, endpoint[tokenAsked, TokenAnswer]{
		Method: "POST", Path: tokenPath, Action: access.ExchangeTokens, As: asOAuth,
		Credential: appOrClient(standsForToken), Read: readTokenAsked, Wants: wantsNothing[tokenAsked], Do: a.exchangeToken,
		Write: func(rq *request, out TokenAnswer) error {
			rq.reply.Header().Set("Pragma", "no-cache")
			return rq.writeJSON(http.StatusOK, out)
		},
		Doc: doc{
			ID: "exchangeToken", Tag: "Tokens", Summary: "Exchange a client's secret, or what an app was given, for an access token", In: reflect.TypeFor[tokenForm](), Form: true,
			Text: "The client credentials grant of OAuth 2.0 (RFC 6749 section 4.4). The token can do what the client can, or less where the request narrows it. What is narrowed, revoked or expired later ends the token too. " +
				"Apps exchange a code (section 4.1.3, with RFC 7636) and refresh tokens (section 6), each good once: whichever comes a second time ends what the app was let in with.",
			Problems: []problem.Code{problem.InvalidScope, problem.InvalidTarget, problem.InvalidGrant, problem.UnsupportedGrantType},
		},
	})
	mount(a, endpoint[tokenOf, nothing]{
		Method: "POST", Path: revokePath, Action: access.RevokeTokens, As: asOAuth,
		Credential: appOrClient(givesBack), Read: readOfToken, Wants: wantsNothing[tokenOf], Do: a.revokeToken,
		Nothing: func(rq *request) error {
			rq.reply.WriteHeader(http.StatusOK)
			return nil
		},
		Write: func(rq *request, _ nothing) error {
			rq.reply.WriteHeader(http.StatusOK)
			return nil
		},
		Doc: doc{
			ID: "revokeToken", Tag: "Tokens", Summary: "Revoke an access token, or a refresh token", In: reflect.TypeFor[ofToken](), Form: true,
			Text: "When this has answered, the token is refused (RFC 7009). What is no token of the client changes nothing, and is answered the same. With a refresh token all ends that the app was let in with.",
		},
	})
	mount(a, endpoint[tokenOf, token.Introspection]{
		Method: "POST", Path: introspectPath, Action: access.IntrospectTokens, As: asOAuth,
		Credential: appOrClient(standsBehind), Read: readOfToken, Wants: wantsNothing[tokenOf], Do: a.introspectToken,
		Nothing: func(rq *request) error { return rq.writeJSON(http.StatusOK, token.Introspection{}) },
		Doc: doc{
			ID: "introspectToken", Tag: "Tokens", Summary: "Ask whether a token is good", In: reflect.TypeFor[ofToken](), Form: true,
			Text: "A client learns about its own tokens (RFC 7662). A token that is not good, for whatever reason, and any other's, is not active.",
		},
	})
	mountTokenDocuments(a)
}

// mountTokenDocuments adds what clients find the routes and the keys by.
func mountTokenDocuments(a *API) {
	for _, d := range [...]struct {
		path, id, summary, text string
		out                     reflect.Type
		make                    func(*token.Issuer) any
	}{
		{token.ServerPath, "authorizationServer", "How to get access tokens", "The metadata of RFC 8414.", reflect.TypeFor[token.ServerDocument](), func(i *token.Issuer) any { return i.Server(a.endpoints(i)) }},
		{token.ResourcePath, "protectedResource", "Which access tokens are taken", "The metadata of RFC 9728.", reflect.TypeFor[token.ResourceDocument](), func(i *token.Issuer) any { return i.Resource(i.Resources()[0], "Weir", a.endpoints(i).Help) }},
		{jwksPath, "tokenKeys", "The public keys of access tokens", "The keys that tokens are, were lately and will next be signed with (RFC 7517).", reflect.TypeFor[map[string]any](), func(i *token.Issuer) any { return i.PublicKeys() }},
	} {
		mountOpen(a, open{
			Method: "GET", Path: d.path, Action: access.Anyone,
			Serve: func(rq *request) error {
				issuer, err := a.issuer()
				if err != nil {
					return err
				}
				rq.reply.Header().Set("Cache-Control", "public, max-age=300")
				return rq.writeJSON(http.StatusOK, d.make(issuer))
			},
			Doc: doc{ID: d.id, Tag: "Tokens", Summary: d.summary, Text: d.text, Out: d.out},
		})
	}
}

func (a *API) issuer() (*token.Issuer, error) {
	if a.cfg.Tokens == nil {
		return nil, problem.New(problem.Unavailable, "There are no access tokens here.")
	}
	return a.cfg.Tokens, nil
}

func (a *API) endpoints(i *token.Issuer) token.Endpoints {
	base := i.URL()
	return token.Endpoints{
		Authorize: base + authorizePath, Token: base + tokenPath, Revoke: base + revokePath, Introspect: base + introspectPath, Keys: base + jwksPath, Help: base + "/docs",
	}
}

// exchangeToken makes a token for a client, or for what an app was let in with.
func (a *API) exchangeToken(ctx context.Context, permit gate.Permit, in tokenAsked) (TokenAnswer, error) {
	if in.shown == nil {
		return a.mintToken(ctx, permit, in.Request)
	}
	if err := in.shown.Bound(in.Thumbprint); err != nil {
		return TokenAnswer{}, err
	}
	made, err := a.mintToken(ctx, permit, in.Request)
	if err != nil {
		return TokenAnswer{}, err
	}
	return a.redeem(ctx, permit, in.shown, in.Thumbprint, made)
}

// mintToken makes a token for the client that was admitted.
func (a *API) mintToken(ctx context.Context, permit gate.Permit, r token.Request) (TokenAnswer, error) {
	issuer, err := a.issuer()
	if err != nil {
		return TokenAnswer{}, err
	}
	t, key := permit.Token(), permit.Key()
	r.Client = token.Client{
		ID: t.Client, Generation: t.Generation, ClientEpoch: t.ClientEpoch, KeyEpoch: t.KeyEpoch,
		Own: token.Rights{Scopes: key.Scopes, Bounds: key.Bounds}, Key: token.Rights{Scopes: key.Parent.Scopes, Bounds: key.Parent.Bounds},
	}
	made, err := issuer.Mint(ctx, r)
	if err != nil {
		return TokenAnswer{}, err
	}
	return TokenAnswer{AccessToken: made.Text.Reveal(), TokenType: made.Type, ExpiresIn: int64(made.Lifetime / time.Second), Scope: made.Scopes.String()}, nil
}

// revokeToken ends a token of the client that was admitted. Also one that its client or key no longer stand behind is
// revoked: they may be restored.
func (a *API) revokeToken(ctx context.Context, permit gate.Permit, in tokenOf) (nothing, error) {
	if in.by != nil && in.by.refresh != nil {
		service, err := a.apps()
		if err != nil {
			return nothing{}, err
		}
		return nothing{}, service.End(ctx, permit.Project(), permit.Key().ID, "grant.given_back")
	}
	issuer, err := a.issuer()
	if err != nil {
		return nothing{}, err
	}
	t, found := issuer.Open(in.text.Reveal(), permit.At())
	if !found || t.Client != permit.Token().Client {
		return nothing{}, nil
	}
	return nothing{}, issuer.Revoke(ctx, t)
}

func (a *API) introspectToken(_ context.Context, permit gate.Permit, in tokenOf) (token.Introspection, error) {
	if in.by != nil && in.by.refresh != nil {
		return token.Introspection{
			Active: true, Scope: permit.Key().Effective().String(), ClientID: in.by.app.ID, Expires: in.by.refresh.ExpiresAt.Unix(), Subject: permit.Key().ID,
		}, nil
	}
	issuer, err := a.issuer()
	if err != nil {
		return token.Introspection{}, err
	}
	if _, stands := a.cfg.Gate.Standing(permit, in.text); !stands {
		return token.Introspection{}, nil
	}
	described, _ := issuer.Introspect(in.text.Reveal(), permit.At())
	return described, nil
}

// form reads the body as a form, in which parameters stand once, but for those that are named. An empty one is none
// (RFC 6749 section 3.2), and one that is not known is passed over.
func (rq *request) form(repeated ...string) (url.Values, error) {
	if err := rq.onlyQuery(); err != nil {
		return nil, err
	}
	raw, err := rq.body(clientSize, formType)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, problem.New(problem.InvalidRequest, "The body is not a form: it is not percent-encoded rightly.")
	}
	for name, values := range form {
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		form[name] = values
		if len(values) > 1 && !slices.Contains(repeated, name) {
			return nil, problem.New(problem.InvalidRequest, "The parameter %s is given %d times.", clip(name, namePart), len(values))
		}
	}
	return form, nil
}

func readOfToken(rq *request) (tokenOf, error) {
	form, err := rq.form()
	if err != nil {
		return tokenOf{}, err
	}
	if form.Get("token") == "" {
		return tokenOf{}, missingParameter("token")
	}
	return tokenOf{access.SecretText(form.Get("token")), rq.app}, nil
}

func missingParameter(name string) error {
	return problem.New(problem.InvalidRequest, "The parameter %s is missing.", name).At(name, "is required")
}

func readTokenAsked(rq *request) (in tokenAsked, err error) {
	form, err := rq.form("environment", "domain", "dataset", "resource")
	if err != nil {
		return in, err
	}
	if rq.app != nil {
		in.shown = rq.app.shown // with the grant_type that it came with
	} else if err := clientGrant(form); err != nil {
		return in, err
	}
	if len(form["resource"]) > 1 {
		return in, problem.New(problem.InvalidTarget, "A token is for one resource.").At("resource", "is given more than once")
	}
	in.Resource = form.Get("resource")
	if in.shown != nil && in.shown.Resource != "" {
		if in.Resource != "" && in.Resource != in.shown.Resource {
			return in, problem.New(problem.InvalidTarget, "The app was let in for another resource.").At("resource", "is not the one that was asked for")
		}
		in.Resource = in.shown.Resource
	}
	for _, read := range [...]func(url.Values, *token.Request) error{readScopes, readLifetime, readNarrowing, readViewAsked} {
		if err := read(form, &in.Request); err != nil {
			return in, err
		}
	}
	if in.shown != nil && len(in.Variables) > 0 { // the key that let it in sees nothing without them, and the app sees no more
		return in, problem.New(problem.InvalidRequest, "An app does not choose the variables of the view of the key that let it in.").At("variables", "is not for apps")
	}
	if len(rq.r.Header["Dpop"]) > 0 {
		if in.Thumbprint, err = rq.proof(""); err != nil {
			return in, err
		}
		if wrong := rq.useOnce(rq.line.keyID); wrong != nil {
			return in, wrong
		}
	}
	return in, nil
}

// clientGrant checks how a client asks for a token.
func clientGrant(form url.Values) error {
	switch form.Get("grant_type") {
	case "client_credentials":
		return nil
	case "":
		return missingParameter("grant_type")
	}
	return problem.New(problem.UnsupportedGrantType, "The parameter grant_type must be client_credentials.").At("grant_type", "must be client_credentials")
}

func readScopes(form url.Values, r *token.Request) error {
	for name := range strings.FieldsSeq(form.Get("scope")) {
		scope, err := access.ParseScope(name)
		if err != nil {
			return problem.New(problem.InvalidScope, "There is no scope %s.", clip(name, namePart)).At("scope", "has one that is unknown")
		}
		r.Scopes |= scope
	}
	return nil
}

func readLifetime(form url.Values, r *token.Request) error {
	text := form.Get("lifetime")
	if text == "" {
		return nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds <= 0 || seconds > int(token.MaxLifetime/time.Second) {
		return problem.New(problem.InvalidRequest, "The lifetime must be a number of seconds from %d to %d.", int(token.MinLifetime.Seconds()), int(token.MaxLifetime.Seconds())).
			At("lifetime", "is out of range")
	}
	r.Lifetime = time.Duration(seconds) * time.Second
	return nil
}

// maxNarrowed bounds how many things of a kind a token is narrowed to.
const maxNarrowed = 100

func readNarrowing(form url.Values, r *token.Request) error {
	for _, name := range [...]string{"environment", "domain", "dataset"} {
		if len(form[name]) > maxNarrowed {
			return problem.New(problem.InvalidRequest, "The parameter %s is given more than %d times.", name, maxNarrowed)
		}
	}
	r.Bounds.Environments = form["environment"]
	for _, text := range form["domain"] {
		d, err := access.ParseDomain(text)
		if err != nil {
			return problem.New(problem.InvalidRequest, "A domain %s.", err).At("domain", err.Error())
		}
		r.Bounds.Domains = append(r.Bounds.Domains, d)
	}
	for _, text := range form["dataset"] {
		named, err := readDataset(text)
		if err != nil {
			return err
		}
		if r.Bounds.Datasets == nil {
			r.Bounds.Datasets = &access.Datasets{}
		}
		r.Bounds.Datasets.Named = append(r.Bounds.Datasets.Named, named)
	}
	switch form.Get("embedded") {
	case "", "false":
	case "true":
		r.Embedded = true
	default:
		return problem.New(problem.InvalidRequest, "The parameter embedded must be true or false.").At("embedded", "must be true or false")
	}
	return nil
}

// readDataset reads "name", which is for reading, or "name:right,right".
func readDataset(text string) (access.NamedDataset, error) {
	name, rights, some := strings.Cut(text, ":")
	named := access.NamedDataset{Name: name, Rights: access.ReadRecords}
	if !some {
		return named, nil
	}
	named.Rights = 0
	for word := range strings.SplitSeq(rights, ",") {
		right, err := access.ParseRight(word)
		if err != nil {
			return named, problem.New(problem.InvalidRequest, "A dataset is a name, or a name, a colon and rights with commas between.").At("dataset", "names a right that is unknown")
		}
		named.Rights |= right
	}
	return named, nil
}

func readViewAsked(form url.Values, r *token.Request) (err error) {
	if text := form.Get("view"); text != "" {
		if !jsontext.Value(text).IsValid() {
			return problem.New(problem.InvalidRequest, "The view is not valid JSON.").At("view", "is not valid JSON")
		}
		if r.Bounds.View, err = view.Read(jsontext.Value(text), "view"); err != nil {
			return err
		}
	}
	if text := form.Get("variables"); text != "" {
		if err := json.Unmarshal([]byte(text), &r.Variables); err != nil || r.Variables == nil {
			return problem.New(problem.InvalidRequest, "The variables are not a JSON object.").At("variables", "must be a JSON object")
		}
	}
	return nil
}
