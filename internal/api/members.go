package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
)

// Member is a person in a project.
type Member struct {
	ID         string    `json:"id" example:"mem_ABCDEFGHIJKLMNOP"`
	Email      string    `json:"email"`
	Name       string    `json:"name"`
	Role       string    `json:"role" enum:"owner,admin,developer,analyst,billing,viewer" doc:"What the member is in the project."`
	Everywhere bool      `json:"everywhere" doc:"Whether the role is one in all projects of the organization."`
	KeyID      string    `json:"key_id,omitzero" doc:"The key that the member acts through in the project, as the ledger and the audit have it; there is none before the first sign-in of whoever is a member of the whole organization."`
	CreatedAt  time.Time `json:"created_at"`
}

// MemberPage is one page of those in a project.
type MemberPage struct {
	Data       []Member `json:"data" doc:"By email."`
	NextCursor *string  `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type listMembers struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor string `query:"cursor" maxLength:"200" doc:"Where to go on, from the page before."`
}

// RoleShown is a role and what it may do.
type RoleShown struct {
	Name   string   `json:"name"`
	About  string   `json:"about"`
	Scopes []string `json:"scopes" doc:"The rights of whoever has it."`
	Whole  bool     `json:"everywhere_only" doc:"Whether it is one of the whole organization only."`
}

// RoleList is every role there is.
type RoleList struct {
	Data []RoleShown `json:"data" doc:"The one that may do most first."`
}

type changeMember struct {
	ID   string `path:"id" maxLength:"64" doc:"The member's id."`
	Body struct {
		Role       string `json:"role" enum:"owner,admin,developer,analyst,billing,viewer" doc:"The role to be."`
		Everywhere bool   `json:"everywhere,omitzero" doc:"Whether it is to be one in all projects of the organization."`
	}
	before org.Joined
}

type oneMember struct {
	ID     string `path:"id" maxLength:"64" doc:"The member's id."`
	before org.Joined
}

func mountMembers(a *API) {
	mount(a, endpoint[nothing, RoleList]{
		Method: "GET", Path: "/v1/roles", Action: access.ReadMembers, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do:  func(context.Context, gate.Permit, nothing) (RoleList, error) { return rolesShown(), nil },
		Doc: doc{ID: "listRoles", Tag: "Members", Summary: "List the roles there are", Text: "And what each of them may do."},
	})
	mount(a, endpoint[listMembers, MemberPage]{
		Method: "GET", Path: "/v1/members", Action: access.ReadMembers, Read: bound[listMembers](a), Wants: wantsNothing[listMembers],
		Do: func(ctx context.Context, permit gate.Permit, in listMembers) (MemberPage, error) {
			list, next, err := a.cfg.Members.List(ctx, permit, in.Cursor, orDefault(in.Limit, 50))
			page := MemberPage{Data: make([]Member, len(list)), NextCursor: cursor(next)}
			for i, one := range list {
				page.Data[i] = memberView(one)
			}
			return page, err
		},
		Doc: doc{ID: "listMembers", Tag: "Members", Summary: "List the members of the project", Text: "Those of the project, and those of the whole organization. A page can have fewer than `limit` and not be the last."},
	})
	mount(a, endpoint[changeMember, Member]{
		Method: "PATCH", Path: "/v1/members/{id}", Action: access.WriteMembers, Read: readMemberChange(a),
		Wants: func(in changeMember) access.Attempt {
			role, _ := access.ParseRole(in.Body.Role)
			return access.Attempt{Grants: org.Grant(in.before.As, role, in.before.Everywhere || in.Body.Everywhere)}
		},
		Do: func(ctx context.Context, permit gate.Permit, in changeMember) (Member, error) {
			role, _ := access.ParseRole(in.Body.Role)
			one, err := a.cfg.Members.Change(ctx, permit, in.ID, role, in.Body.Everywhere)
			return memberView(one), err
		},
		Doc: doc{
			ID: "changeMember", Tag: "Members", Summary: "Give a member another role", Problems: []problem.Code{problem.GrantTooWide, problem.NotFound, problem.Conflict},
			Text: "Takes effect before the answer: the member's access tokens are refused from then on, and the next ones have the rights of the new role. Whoever asks must " +
				"hold every right of both roles, and the last owner of an organization stays one.",
		},
	})
	mount(a, endpoint[oneMember, nothing]{
		Method: "DELETE", Path: "/v1/members/{id}", Action: access.WriteMembers, Status: http.StatusNoContent, Read: readMember(a),
		Wants: func(in oneMember) access.Attempt {
			return access.Attempt{Grants: org.Grant(in.before.As, 0, in.before.Everywhere)}
		},
		Do: func(ctx context.Context, permit gate.Permit, in oneMember) (nothing, error) {
			return nothing{}, a.cfg.Members.Remove(ctx, permit, in.ID)
		},
		Doc: doc{
			ID: "removeMember", Tag: "Members", Summary: "Remove a member", Problems: []problem.Code{problem.GrantTooWide, problem.NotFound, problem.Conflict},
			Text: "From the project; one of the whole organization, from that. When this has answered, nothing that the member has is accepted. Whoever asks must hold every " +
				"right of the member's role, and the last owner of an organization stays.",
		},
	})
}

func rolesShown() RoleList {
	list := RoleList{}
	for _, r := range access.Roles() {
		list.Data = append(list.Data, RoleShown{r.String(), r.Says(), r.Scopes().Names(), r.Whole()})
	}
	return list
}

func memberView(one org.Joined) Member {
	return Member{
		ID: one.ID, Email: one.Email, Name: one.Name, Role: one.As.String(), Everywhere: one.Everywhere, KeyID: one.Key, CreatedAt: one.CreatedAt,
	}
}

// memberNow is a member as it is now; the zero one when there is none, which Do says.
func (a *API) memberNow(rq *request, id string) org.Joined {
	one, _ := a.cfg.Members.Find(rq.ctx(), a.organizationOf(rq), rq.caller.Project(), id)
	return one
}

// organizationOf is the organization of the caller's project.
func (a *API) organizationOf(rq *request) string {
	p, found := a.cfg.Keys.Project(rq.caller.Project())
	if !found {
		return ""
	}
	return p.Organization
}

func readMemberChange(a *API) func(*request) (changeMember, error) {
	read := bound[changeMember](a)
	return func(rq *request) (changeMember, error) {
		in, err := read(rq)
		if err == nil {
			in.before = a.memberNow(rq, in.ID)
		}
		return in, err
	}
}

func readMember(a *API) func(*request) (oneMember, error) {
	read := bound[oneMember](a)
	return func(rq *request) (oneMember, error) {
		in, err := read(rq)
		if err == nil {
			in.before = a.memberNow(rq, in.ID)
		}
		return in, err
	}
}

// Invitation is a place for somebody.
type Invitation struct {
	ID         string    `json:"id" example:"inv_ABCDEFGHIJKLMNOP"`
	Email      string    `json:"email"`
	Role       string    `json:"role" enum:"owner,admin,developer,analyst,billing,viewer"`
	Everywhere bool      `json:"everywhere" doc:"Whether it is into all projects of the organization."`
	Status     string    `json:"status" enum:"pending,accepted,revoked,expired"`
	CreatedAt  time.Time `json:"created_at"`
	CreatedBy  string    `json:"created_by" doc:"The id of the key that invited, or 'operator'."`
	ExpiresAt  time.Time `json:"expires_at"`
	Token      string    `json:"token,omitzero" doc:"What whoever is invited needs to accept. It is here once, and never again. Nothing is sent: hand it over yourself."`
}

// InvitationPage is one page of who was invited.
type InvitationPage struct {
	Data       []Invitation `json:"data" doc:"Newest first."`
	NextCursor *string      `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type listInvitations struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor string `query:"cursor" maxLength:"200" doc:"Where to go on, from the page before."`
}

type invite struct {
	Body struct {
		Email      string `json:"email" minLength:"3" maxLength:"254" doc:"Who is invited." example:"ana@example.com"`
		Role       string `json:"role" enum:"owner,admin,developer,analyst,billing,viewer" doc:"What as."`
		Everywhere bool   `json:"everywhere,omitzero" doc:"Into all projects of the organization; an owner always is."`
		ExpiresIn  int64  `json:"expires_in,omitzero" minimum:"60" maximum:"2592000" doc:"For how many seconds it can be accepted; by default seven days." example:"604800"`
	}
}

func (in invite) invited() org.Invited {
	role, _ := access.ParseRole(in.Body.Role)
	return org.Invited{Email: in.Body.Email, Role: role, Everywhere: in.Body.Everywhere, For: time.Duration(in.Body.ExpiresIn) * time.Second}
}

type oneInvitation struct {
	ID string `path:"id" maxLength:"64" doc:"The invitation's id."`
}

type accept struct {
	Body struct {
		Token    secretText `json:"token" maxLength:"200" doc:"What the invitation gave."`
		Name     string     `json:"name,omitzero" maxLength:"400" doc:"What you are called; not needed of a member of the organization." example:"Ana"`
		Password secretText `json:"password" maxLength:"1024" doc:"The password to be, of at least 12 characters; of a member of the organization, the one there is."`
	}
}

func mountInvitations(a *API) {
	mount(a, endpoint[invite, Invitation]{
		Method: "POST", Path: "/v1/invitations", Action: access.WriteMembers, Read: bound[invite](a), Status: http.StatusCreated,
		Wants: func(in invite) access.Attempt { return access.Attempt{Grants: in.invited().Grant()} },
		Do: func(ctx context.Context, permit gate.Permit, in invite) (Invitation, error) {
			made, text, err := a.cfg.Members.Invite(ctx, permit, in.invited())
			if err != nil {
				return Invitation{}, err
			}
			shown := a.invitationView(made)
			shown.Token = text.Reveal()
			return shown, nil
		},
		Doc: doc{
			ID: "invite", Tag: "Members", Summary: "Invite somebody", Problems: []problem.Code{problem.GrantTooWide},
			Text: "No mail is sent: hand the token of the answer over yourself. It is shown once, is good once, and only as long as the key that invited may still hand on " +
				"as much. Nobody gives a role with more rights than they hold.",
		},
	})
	mount(a, endpoint[listInvitations, InvitationPage]{
		Method: "GET", Path: "/v1/invitations", Action: access.ReadMembers, Read: bound[listInvitations](a), Wants: wantsNothing[listInvitations], Do: a.listInvitations,
		Doc: doc{ID: "listInvitations", Tag: "Members", Summary: "List invitations", Text: "Those into the project, and those into the whole organization, newest first."},
	})
	mount(a, endpoint[oneInvitation, nothing]{
		Method: "DELETE", Path: "/v1/invitations/{id}", Action: access.WriteMembers, Read: bound[oneInvitation](a), Wants: wantsNothing[oneInvitation], Status: http.StatusNoContent,
		Do: func(ctx context.Context, permit gate.Permit, in oneInvitation) (nothing, error) {
			return nothing{}, a.cfg.Members.Withdraw(ctx, permit, in.ID)
		},
		Doc: doc{
			ID: "withdrawInvitation", Tag: "Members", Summary: "Revoke an invitation", Problems: []problem.Code{problem.NotFound, problem.GrantTooWide, problem.Conflict},
			Text: "When this has answered, nobody can accept it.",
		},
	})
	read := bound[accept](a)
	mountOpen(a, open{
		Method: "POST", Path: "/v1/invitations/accept", Action: access.Anyone,
		Serve: func(rq *request) error {
			if circumstances(rq).Cleartext {
				return problem.New(problem.CleartextCredential, "The invitation came over plain HTTP. Use https, and have another one made.")
			}
			in, err := read(rq)
			if err != nil {
				return err
			}
			one, err := a.cfg.Members.Accept(rq.ctx(), in.Body.Token.Text, in.Body.Name, in.Body.Password.Text, rq.from.Address)
			if err != nil {
				return err
			}
			return rq.writeJSON(http.StatusCreated, SessionMember{one.ID, one.Email, one.Name})
		},
		Doc: doc{
			ID: "acceptInvitation", Tag: "Members", Summary: "Accept an invitation", In: reflect.TypeFor[accept](), Out: reflect.TypeFor[SessionMember](), Status: http.StatusCreated,
			Text: "Makes whoever was invited a member, who can sign in then. The answer to a token that is wrong, used, revoked or expired is the same.",
			Problems: []problem.Code{
				problem.SignInRefused, problem.TooManyFailures, problem.Conflict, problem.InvalidField, problem.InvalidRequest, problem.InvalidJSON,
				problem.UnsupportedMediaType, problem.BodyTooLarge, problem.CleartextCredential,
			},
		},
	})
}

func (a *API) listInvitations(ctx context.Context, permit gate.Permit, in listInvitations) (InvitationPage, error) {
	before, err := placeOf(in.Cursor)
	if err != nil {
		return InvitationPage{}, err
	}
	list, next, err := a.cfg.Members.Invited(ctx, permit, org.InvitationPlace(before), orDefault(in.Limit, 50))
	page := InvitationPage{Data: make([]Invitation, len(list)), NextCursor: place(next).cursor()}
	for i, one := range list {
		page.Data[i] = a.invitationView(one)
	}
	return page, err
}

func (a *API) invitationView(i org.Invitation) Invitation {
	status := string(i.Status)
	if i.Status == org.Pending && !a.cfg.Now().Before(i.ExpiresAt) {
		status = "expired"
	}
	return Invitation{
		ID: i.ID, Email: i.Email, Role: i.Role.String(), Everywhere: i.Everywhere, Status: status, CreatedAt: i.CreatedAt, CreatedBy: i.CreatedBy, ExpiresAt: i.ExpiresAt,
	}
}
