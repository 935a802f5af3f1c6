package api

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// maxAsked bounds the query string, or the form, with what an app asks for, in bytes.
const maxAsked = 16 << 10

// asking is what an app asks for, as the document shows it.
type asking struct {
	ResponseType string `query:"response_type" doc:"Must be code." example:"code"`
	ClientID     string `query:"client_id" doc:"The app." example:"app_AAAAAAAAAAAAAAAAAAAAAA"`
	RedirectURI  string `query:"redirect_uri" doc:"Where the person is sent back to: exactly as the app registered it, but for the port on a loopback address."`
	Scope        string `query:"scope" doc:"What the app asks for, with spaces between." example:"sql:run"`
	State        string `query:"state" doc:"Comes back as it is, to 2048 bytes."`
	Challenge    string `query:"code_challenge" doc:"The SHA-256 of the code_verifier, in base64url (RFC 7636)."`
	Method       string `query:"code_challenge_method" doc:"Must be S256." example:"S256"`
	Mode         string `query:"response_mode" doc:"Must be query, if it is there."`
	Resource     string `query:"resource" doc:"What the tokens are to be for (RFC 8707): this server's public address."`
	Environment  string `query:"environment" doc:"The environments to be narrowed to, each a parameter."`
	Thumbprint   string `query:"dpop_jkt" doc:"The key that must be proved for the code (RFC 9449 section 10)."`
}

// askedForm is the same as a form, with what the person enters.
type askedForm struct {
	Body struct {
		Key          string   `json:"key,omitzero" doc:"The secret key of whoever lets the app in: on the page of this address only. Elsewhere it stands in a header."`
		ResponseType string   `json:"response_type" enum:"code"`
		ClientID     string   `json:"client_id"`
		RedirectURI  string   `json:"redirect_uri"`
		Scope        string   `json:"scope"`
		State        string   `json:"state,omitzero"`
		Challenge    string   `json:"code_challenge"`
		Method       string   `json:"code_challenge_method" enum:"S256"`
		Mode         string   `json:"response_mode,omitzero"`
		Resource     string   `json:"resource,omitzero"`
		Environment  []string `json:"environment,omitempty"`
		Thumbprint   string   `json:"dpop_jkt,omitzero"`
	}
}

// letIn is an app that is to be let in.
type letIn struct {
	asked app.Asked
	made  keyring.New
}

func (in letIn) wants() access.Attempt {
	return access.Attempt{Subject: &access.Subject{Project: in.asked.App.Project, Mode: in.asked.App.Mode}, Grants: in.made.Grant()}
}

func mountConsent(a *API) {
	page := []string{"text/html"}
	back := map[int]reflect.Type{http.StatusSeeOther: reflect.TypeFor[nothing]()}
	mountOpen(a, open{
		Method: "GET", Path: authorizePath, Action: access.Anyone, Serve: a.serveConsent, As: asPage,
		Doc: doc{
			ID: "authorize", Tag: "Apps", Summary: "Ask a person to let an app in", In: reflect.TypeFor[asking](), Types: page, Statuses: back,
			Text: "A page for a browser, without scripts, that says in words what the app asks for (RFC 6749 section 4.1). What is wrong with the request is told to the app, by " +
				"sending the person back (303); where it is not certain that it is the app, it is told to the person.",
			Problems: []problem.Code{problem.InvalidRequest},
		},
	})
	mount(a, endpoint[letIn, string]{
		Method: "POST", Path: authorizePath, Action: access.AuthorizeApps, As: asPage, Status: http.StatusSeeOther,
		Credential: enteredCredential, Read: a.readLetIn, Wants: letIn.wants,
		Do: func(ctx context.Context, permit gate.Permit, in letIn) (string, error) {
			service, err := a.apps()
			if err != nil {
				return "", err
			}
			code, err := service.Approve(ctx, permit, in.asked, in.made)
			if err != nil {
				return "", err
			}
			return app.Back(in.asked.Redirect, [2]string{"code", code.Reveal()}, [2]string{"state", in.asked.State}, [2]string{"iss", a.issuerURL()}), nil
		},
		Write: func(rq *request, to string) error {
			rq.sendTo(to)
			return nil
		},
		Doc: doc{
			ID: "letAppIn", Tag: "Apps", Summary: "Let an app in", In: reflect.TypeFor[askedForm](), Out: reflect.TypeFor[nothing](), Form: true,
			Text: "What the page sends. The person is sent back to the app with a code (303). The app gets no more than the key that is entered has, and the key is neither kept nor passed on. " +
				"A key in the form is taken only from a page of this server.",
			Problems: []problem.Code{problem.NotFound, problem.GrantTooWide, problem.OverCeiling, problem.Conflict},
		},
	})
	mountOpen(a, open{
		Method: "POST", Path: authorizePath + "/deny", Action: access.Anyone, Serve: a.serveDenial, As: asPage,
		Doc: doc{
			ID: "denyApp", Tag: "Apps", Summary: "Let an app not in", In: reflect.TypeFor[askedForm](), Form: true, Status: http.StatusSeeOther,
			Text: "What the other button of the page sends: the person is sent back with access_denied (303).", Problems: []problem.Code{problem.InvalidRequest, problem.BodyTooLarge},
		},
	})
}

// issuerURL is how the server names itself to apps; empty where there are no tokens.
func (a *API) issuerURL() string {
	if a.cfg.Tokens == nil {
		return ""
	}
	return a.cfg.Tokens.URL()
}

// serveConsent shows a person what an app asks for.
func (a *API) serveConsent(rq *request) error {
	if len(rq.r.URL.RawQuery) > maxAsked {
		return rq.pageOrProblem(problem.New(problem.InvalidRequest, "The address that sent you here is too long."))
	}
	if circumstances(rq).Cleartext { // a key that is entered would be read on its way
		return rq.pageOrProblem(problem.New(problem.InvalidRequest, "This page came over plain HTTP, where a key would be read on its way. Use https."))
	}
	values, err := rq.query()
	if err != nil {
		return rq.pageOrProblem(err)
	}
	return rq.ask(values, http.StatusOK, "")
}

// ask shows the page for what is asked for, or tells what is wrong with it to whom that concerns. says is what went wrong the
// last time; empty: nothing.
func (rq *request) ask(values url.Values, status int, says string) error {
	service, err := rq.a.apps()
	if err != nil {
		return rq.pageOrProblem(err)
	}
	asked, err := service.Read(rq.ctx(), values)
	if err != nil {
		return rq.pageOrProblem(err)
	}
	return rq.writeConsent(&asked, values, status, says)
}

// serveDenial sends a person back who does not let the app in.
func (a *API) serveDenial(rq *request) error {
	form, err := rq.enteredForm()
	if err != nil {
		return rq.pageOrProblem(err)
	}
	service, err := a.apps()
	if err != nil {
		return rq.pageOrProblem(err)
	}
	asked, err := service.Read(rq.ctx(), form)
	if err == nil {
		err = &app.Refusal{Redirect: asked.Redirect, State: asked.State, Code: "access_denied", Description: "The person did not let the app in."}
	}
	return rq.pageOrProblem(err)
}

// pageOrProblem answers what is wrong: to the app, as a page to a person, or as a problem to a program.
func (rq *request) pageOrProblem(err error) error {
	if refusal, ok := errors.AsType[*app.Refusal](err); ok {
		rq.sendTo(app.Back(refusal.Redirect, [2]string{"error", refusal.Code}, [2]string{"error_description", describable(refusal.Description)},
			[2]string{"state", refusal.State}, [2]string{"iss", rq.a.issuerURL()}))
		return nil
	}
	if !rq.readsPages() {
		return err
	}
	p := rq.a.classify(rq, err)
	rq.line.code, rq.line.decisionID = p.Code, p.DecisionID
	return rq.writeFault(p)
}

// readsPages reports whether whoever asks wants to see pages.
func (rq *request) readsPages() bool {
	for _, line := range rq.r.Header.Values("Accept") {
		if strings.Contains(line, "text/html") {
			return true
		}
	}
	return false
}

// sendTo sends a person to an address. Nothing there learns where they came from.
func (rq *request) sendTo(address string) {
	header := rq.reply.Header()
	header.Set("Location", address)
	header["Referrer-Policy"] = noReferrer
	rq.reply.WriteHeader(http.StatusSeeOther)
}

// enteredForm reads the form that a person sent, before it is known who that is. What it keeps has no key in it.
func (rq *request) enteredForm() (url.Values, error) {
	if rq.entered != nil {
		return rq.entered, nil
	}
	if err := rq.checkType([]string{formType}); err != nil {
		return nil, err
	}
	raw, err := rq.early(size{sent: maxAsked, unpacked: maxAsked})
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, problem.New(problem.InvalidRequest, "The body is not a form: it is not percent-encoded rightly.")
	}
	rq.entered = form
	return form, nil
}

// enteredCredential finds the key that a person entered, or one that stands in a header.
func enteredCredential(rq *request) (gate.Credential, error) {
	c, err := credentialOf(rq)
	kind, _, _ := mime.ParseMediaType(rq.r.Header.Get("Content-Type"))
	if err != nil || kind != formType {
		return c, err
	}
	form, err := rq.enteredForm()
	if err != nil {
		return c, err
	}
	keys := slices.DeleteFunc(form["key"], func(text string) bool { return text == "" })
	form.Del("key")
	switch {
	case len(keys) == 0:
		return c, nil
	case len(keys) > 1 || !c.Key.Empty():
		return inClear(c, problem.New(problem.TwoCredentials, "The request carries two keys. Send one."))
	}
	c.Via, c.Key, c.OwnPage = access.InBody, access.SecretText(strings.TrimSpace(keys[0])), rq.ownPage()
	return c, nil
}

// ownPage reports whether the page that a form was sent from is one of this server's own, as only a browser says: by the address
// that clients know it by, or by the name that this very request was sent to.
func (rq *request) ownPage() bool {
	origins := rq.r.Header["Origin"]
	if len(origins) != 1 {
		return false
	}
	from, err := url.Parse(origins[0])
	if err != nil || from.Scheme != "https" && from.Scheme != "http" || from.Host == "" || origins[0] != from.Scheme+"://"+from.Host {
		return false
	}
	for _, known := range [...]string{rq.a.cfg.PublicURL, rq.a.issuerURL()} {
		if u, err := url.Parse(known); err == nil && u.Host != "" && u.Scheme == from.Scheme && strings.EqualFold(u.Host, from.Host) {
			return true
		}
	}
	return strings.EqualFold(from.Host, rq.r.Host)
}

// readLetIn reads what is asked for, and what that would be under the key of whoever asks.
func (a *API) readLetIn(rq *request) (in letIn, err error) {
	if err := rq.onlyQuery(); err != nil {
		return in, err
	}
	form, err := rq.enteredForm()
	if err != nil {
		return in, err
	}
	if _, err := rq.body(size{sent: maxAsked, unpacked: maxAsked}, formType); err != nil { // which checks it against its signature
		return in, err
	}
	service, err := a.apps()
	if err != nil {
		return in, err
	}
	if in.asked, err = service.Read(rq.ctx(), form); err != nil {
		return in, err
	}
	key, found := a.cfg.Keys.Peek(rq.caller.Project(), rq.line.keyID)
	if !found {
		return in, notFound()
	}
	in.made = in.asked.Grant(key, a.cfg.Now())
	return in, nil
}

// writePageOf answers what is wrong with what a person entered: with the page that asks them, and what is wrong on it. It is
// false when a problem is to be written instead.
func (a *API) writePageOf(rq *request, err error) bool {
	if refusal, ok := errors.AsType[*app.Refusal](err); ok {
		return rq.pageOrProblem(refusal) == nil
	}
	if !rq.readsPages() {
		return false
	}
	p := a.classify(rq, err)
	rq.line.code, rq.line.decisionID = p.Code, p.DecisionID
	if p.Status() >= http.StatusInternalServerError {
		rq.line.cause = p
	}
	if challenge := rq.challenge(p); challenge != "" {
		rq.reply.Header().Set("WWW-Authenticate", challenge)
	}
	if rq.entered == nil || p.Code == problem.CleartextCredential { // nobody is asked for a key again where it is read on its way
		return rq.writeFault(p) == nil
	}
	return rq.ask(rq.entered, p.Status(), p.Detail) == nil
}
