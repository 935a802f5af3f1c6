package api

import (
	"context"
	"net/http"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
)

// Session is what somebody who has signed in goes on with.
type Session struct {
	AccessToken    string         `json:"access_token" doc:"Send it as 'Authorization: Bearer TOKEN'."`
	TokenType      string         `json:"token_type" enum:"Bearer"`
	ExpiresIn      int64          `json:"expires_in" doc:"For how many seconds the access token is good." example:"900"`
	RefreshToken   string         `json:"refresh_token" doc:"What the session goes on with. It is good once: the next answer has another."`
	SessionEndsAt  time.Time      `json:"session_ends_at" doc:"When to sign in again."`
	Member         SessionMember  `json:"member"`
	Project        string         `json:"project" doc:"The project that the access token is for."`
	Role           string         `json:"role" doc:"What the member is there." example:"analyst"`
	Scopes         []string       `json:"scopes" doc:"What the access token may do."`
	ProjectsJoined []SessionPlace `json:"projects" doc:"The projects that the member can sign in to."`
}

// SessionMember is who signed in.
type SessionMember struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
}

// SessionPlace is a project, and what the member is there.
type SessionPlace struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"`
}

type signIn struct {
	Body struct {
		Email    string     `json:"email" maxLength:"254" doc:"As in the invitation." example:"ana@example.com"`
		Password secretText `json:"password" maxLength:"1024" doc:"The password."`
		Project  string     `json:"project,omitzero" maxLength:"64" doc:"The id of the project to sign in to; by default the oldest that the member is in."`
	}
	proof org.Proof
}

type changePassword struct {
	Body struct {
		Email       string     `json:"email" maxLength:"254" doc:"As in the invitation." example:"ana@example.com"`
		Password    secretText `json:"password" maxLength:"1024" doc:"The password that there is."`
		NewPassword secretText `json:"new_password" maxLength:"1024" doc:"The password to be, of at least 12 characters."`
	}
	proof org.Proof
}

type goOn struct {
	Body struct {
		RefreshToken secretText `json:"refresh_token" maxLength:"200" doc:"What the last answer gave."`
	}
}

func mountSessions(a *API) {
	prove := proving(a, func(rq *request, in *signIn) (key access.Lookup, err error) {
		in.proof, err = a.cfg.Members.Prove(rq.ctx(), in.Body.Email, in.Body.Password.Text, in.Body.Project, rq.from.Address)
		return in.proof.Key, err
	})
	again := proving(a, func(rq *request, in *goOn) (access.Lookup, error) {
		return a.cfg.Members.ProveSession(rq.ctx(), in.Body.RefreshToken.Text)
	})
	mount(a, endpoint[signIn, Session]{
		Method: "POST", Path: "/v1/members/sessions", Action: access.SignIn, Credential: prove, Read: said[signIn], Wants: wantsNothing[signIn], Status: http.StatusCreated,
		Do: func(ctx context.Context, permit gate.Permit, in signIn) (Session, error) {
			return a.session(ctx, permit, func(made token.Minted) (org.Begun, error) {
				return a.cfg.Members.Begin(ctx, permit, in.proof, made.ID, made.ExpiresAt)
			})
		},
		Doc: doc{
			ID: "signIn", Tag: "Members", Summary: "Sign in with email and password",
			Text: "Gives an access token with the rights of the member's role in one project, and what the session goes on with. The answer to a wrong password is " +
				"the same as to an email that nobody has. A key or token in the head of the request is refused.",
		},
	})
	mount(a, endpoint[goOn, Session]{
		Method: "POST", Path: "/v1/members/sessions/renew", Action: access.RenewSession, Credential: again, Read: said[goOn], Wants: wantsNothing[goOn],
		Do: func(ctx context.Context, permit gate.Permit, in goOn) (Session, error) {
			return a.session(ctx, permit, func(made token.Minted) (org.Begun, error) {
				return a.cfg.Members.Renew(ctx, permit, in.Body.RefreshToken.Text, made.ID, made.ExpiresAt)
			})
		},
		Doc: doc{
			ID: "renewSession", Tag: "Members", Summary: "Go on with a session",
			Text: "Gives another access token, and ends the one before. What the session goes on with is good once: whoever shows it a second time ends the session.",
		},
	})
	mine := proving(a, func(rq *request, in *changePassword) (key access.Lookup, err error) {
		in.proof, err = a.cfg.Members.Prove(rq.ctx(), in.Body.Email, in.Body.Password.Text, "", rq.from.Address)
		return in.proof.Key, err
	})
	mount(a, endpoint[changePassword, nothing]{
		Method: "POST", Path: "/v1/members/sessions/password", Action: access.ChangePassword, Credential: mine, Read: said[changePassword],
		Wants: wantsNothing[changePassword], Status: http.StatusNoContent,
		Do: func(ctx context.Context, permit gate.Permit, in changePassword) (nothing, error) {
			return nothing{}, a.cfg.Members.ChangePassword(ctx, permit, in.proof, in.Body.NewPassword.Text)
		},
		Doc: doc{
			ID: "changePassword", Tag: "Members", Summary: "Change a password",
			Text: "Takes the password that there is. All sessions of the member, and the access tokens that they have, end before the answer: sign in again.",
		},
	})
	mount(a, endpoint[goOn, nothing]{
		Method: "POST", Path: "/v1/members/sessions/end", Action: access.SignOut, Credential: again, Read: said[goOn], Wants: wantsNothing[goOn], Status: http.StatusNoContent,
		Do: func(ctx context.Context, permit gate.Permit, in goOn) (nothing, error) {
			return nothing{}, a.cfg.Members.End(ctx, permit, in.Body.RefreshToken.Text)
		},
		Doc: doc{ID: "signOut", Tag: "Members", Summary: "Sign out", Text: "Ends the session, and the access token that it has, before the answer."},
	})
}

// proving makes the Credential of a row on which a member proves to be one in the body. The body is read here, since it is the
// credential; a key in the head is the gate's to refuse, and then the body is not looked at.
func proving[I any](a *API, prove func(*request, *I) (access.Lookup, error)) func(*request) (gate.Credential, error) {
	read := bound[I](a)
	return func(rq *request) (gate.Credential, error) {
		c, key, err := readCredential(rq, bearer)
		if err != nil || key != "" {
			c.Key = access.SecretText(key)
			return inClear(c, err)
		}
		c.Via = access.InBody
		if c.Cleartext {
			c.Key = access.SecretText("unreadable") // whatever it is, it is not looked at
			return c, nil
		}
		in, err := read(rq)
		if err != nil {
			return c, err
		}
		c.Asserted, err = prove(rq, &in)
		rq.said = in
		return c, err
	}
}

// said is the Read of a row whose body was read with its credential.
func said[I any](rq *request) (I, error) {
	in, ok := rq.said.(I)
	if !ok {
		return in, problem.New(problem.InvalidRequest, "The body was not read.") // never: there would be no caller
	}
	return in, nil
}

// session makes an access token of the member that was admitted, and what begins or renews a session with it.
func (a *API) session(ctx context.Context, permit gate.Permit, with func(token.Minted) (org.Begun, error)) (Session, error) {
	issuer, err := a.issuer()
	if err != nil {
		return Session{}, err
	}
	t, key := permit.Token(), permit.Key()
	rights := token.Rights{Scopes: key.Effective(), Bounds: key.Bounds}
	rights.Bounds.View = key.ViewOfRole()
	made, err := issuer.Mint(ctx, token.Request{Client: token.Client{
		ID: t.Client, Generation: t.Generation, ClientEpoch: t.ClientEpoch, KeyEpoch: t.KeyEpoch, Own: rights, Key: rights,
	}})
	if err != nil {
		return Session{}, err
	}
	begun, err := with(made)
	if err != nil {
		return Session{}, err
	}
	s := Session{
		AccessToken: made.Text.Reveal(), TokenType: made.Type, ExpiresIn: int64(made.Lifetime / time.Second), RefreshToken: begun.Refresh.Reveal(), SessionEndsAt: begun.ExpiresAt,
		Member:  SessionMember{begun.Member.ID, begun.Member.Email, begun.Member.Name},
		Project: begun.Project, Role: begun.Role.String(), Scopes: made.Scopes.Names(), ProjectsJoined: []SessionPlace{},
	}
	for _, p := range begun.Places {
		s.ProjectsJoined = append(s.ProjectsJoined, SessionPlace{p.ID, p.Name, p.Role.String()})
	}
	return s, nil
}
