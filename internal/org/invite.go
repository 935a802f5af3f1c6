package org

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Limits on invitations.
const (
	InvitationTime    = 7 * 24 * time.Hour
	MaxInvitationTime = 30 * 24 * time.Hour
	MaxInvitations    = 200 // pending of a project
)

// Invited is somebody to be invited.
type Invited struct {
	Email      string
	Role       access.Role
	Everywhere bool          // in all projects of the organization
	For        time.Duration // 0: InvitationTime
}

// Grant is what inviting hands on; it is for the policy to decide on before Invite.
func (i Invited) Grant() *access.Grant { return Grant(0, i.Role, i.Everywhere) }

// Invite makes an invitation into the permit's project. What whoever is invited needs is given here and never again; nothing
// is sent to anybody.
func (m *Members) Invite(ctx context.Context, permit gate.Permit, in Invited) (Invitation, access.Text, error) {
	email, err := ReadEmail("email", in.Email)
	if err != nil {
		return Invitation{}, access.Text{}, err
	}
	if err := checkRole(in.Role, in.Everywhere); err != nil {
		return Invitation{}, access.Text{}, err
	}
	if in.For == 0 {
		in.For = InvitationTime
	}
	if in.For < time.Minute || in.For > MaxInvitationTime {
		return Invitation{}, access.Text{}, problem.Invalid("expires_in", "must be from 60 to %d seconds", int64(MaxInvitationTime/time.Second))
	}
	now := micros(m.cfg.Now())
	i := Invitation{
		ID: "inv_" + m.cfg.NewID(), Organization: permit.Organization(), Project: permit.Project(), Email: email, Role: in.Role, Everywhere: in.Everywhere,
		CreatedAt: now, CreatedBy: permit.Key().ID, ExpiresAt: now.Add(in.For), Status: Pending,
	}
	if permit.Key().Kind == access.Operator {
		i.CreatedBy = access.Operator.String()
	}
	text, digest, err := m.secretText("wi", i.ID)
	if err != nil {
		return Invitation{}, access.Text{}, err
	}
	i.Digest = digest
	entry := audit.Of(permit, m.cfg.NewAudit(), "invitation.create", i.ID, nil, shownInvitation{email, in.Role.String(), in.Everywhere, i.ExpiresAt})
	if err := m.cfg.Invitations.InsertInvitation(ctx, i, MaxInvitations, entry); errors.Is(err, ErrInvitations) {
		return Invitation{}, access.Text{}, problem.Wrap(err, problem.Conflict, "The project has %d invitations that are pending, which is as many as it may have.", MaxInvitations)
	} else if err != nil {
		return Invitation{}, access.Text{}, fmt.Errorf("org: store an invitation: %w", err)
	}
	return i, text, nil
}

// shownInvitation is what the audit shows of an invitation.
type shownInvitation struct {
	Email      string    `json:"email"`
	Role       string    `json:"role"`
	Everywhere bool      `json:"everywhere"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// Invited lists the invitations of the permit's project, and those to the whole organization, newest first. next is where to go
// on; the zero place: nowhere.
//
// Problems: invalid_field.
func (m *Members) Invited(ctx context.Context, permit gate.Permit, before InvitationPlace, limit int) (list []Invitation, next InvitationPlace, err error) {
	if err := checkPage(true, limit); err != nil {
		return nil, next, err
	}
	list, err = m.cfg.Invitations.Invitations(ctx, permit.Organization(), permit.Project(), before, limit+1)
	if err != nil {
		return nil, next, fmt.Errorf("org: list invitations: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = InvitationPlace{At: list[limit-1].CreatedAt, ID: list[limit-1].ID}
	}
	return list, next, nil
}

// Invitation gives one invitation of a project. It is for finding out what it would hand on.
func (m *Members) Invitation(ctx context.Context, organization, project, id string) (Invitation, error) {
	i, err := m.cfg.Invitations.Invitation(ctx, id)
	if errors.Is(err, ErrNoInvitation) || err == nil && (i.Organization != organization || i.Project != project && !i.Everywhere) {
		return Invitation{}, noInvitation()
	}
	if err != nil {
		return Invitation{}, fmt.Errorf("org: read an invitation: %w", err)
	}
	return i, nil
}

func noInvitation() error {
	return problem.New(problem.NotFound, "There is no such invitation in this project.")
}

// Withdraw revokes an invitation that is pending. When it returns, nobody can accept it. Nobody takes back what they could not
// have given.
func (m *Members) Withdraw(ctx context.Context, permit gate.Permit, id string) error {
	i, err := m.Invitation(ctx, permit.Organization(), permit.Project(), id)
	if err != nil {
		return err
	}
	if err := permit.Granting(Grant(i.Role, 0, i.Everywhere)); err != nil {
		return err
	}
	entry := audit.Of(permit, m.cfg.NewAudit(), "invitation.revoke", i.ID, shownInvitation{i.Email, i.Role.String(), i.Everywhere, i.ExpiresAt}, nil)
	err = m.cfg.Invitations.EndInvitation(ctx, id, entry)
	if errors.Is(err, ErrNoInvitation) {
		return problem.Wrap(err, problem.Conflict, "The invitation was accepted or revoked already.")
	}
	return err
}

// Accept makes whoever was invited a member. Somebody who is a member of the organization already shows the password there is;
// else it is the one to be. An invitation is good once, until it expires, and only as long as whoever made it may still hand
// on as much.
func (m *Members) Accept(ctx context.Context, token access.Text, name string, password access.Text, from netip.Addr) (Member, error) {
	i, err := m.pending(ctx, token)
	if err != nil {
		return Member{}, err
	}
	proven, known, err := m.proven(ctx, i, name, password, from) // takes long: nobody who removes a member waits for it
	if err != nil {
		return Member{}, err
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	if i, err = m.pending(ctx, token); err != nil {
		return Member{}, err
	}
	one, err := m.accepting(ctx, i, proven, known)
	if err != nil {
		return Member{}, err
	}
	by := func(action string) func(string, any) audit.Entry {
		return func(subject string, after any) audit.Entry {
			entry := audit.Own(m.cfg.Now(), i.Organization, i.Project, m.cfg.NewAudit(), action, subject, nil, after)
			entry.Actor, entry.Address = i.CreatedBy, from
			return entry
		}
	}
	err = m.cfg.Invitations.Accept(ctx, i.ID, one, by("invitation.accept")(one.ID, shownOf(&one)))
	switch {
	case errors.Is(err, ErrNoInvitation):
		return Member{}, notInvited(err)
	case errors.Is(err, ErrTakenEmail):
		return Member{}, problem.Wrap(err, problem.Conflict, "Somebody has that email already.")
	case err != nil:
		return Member{}, fmt.Errorf("org: accept an invitation: %w", err)
	}
	if !i.Everywhere {
		if _, err := m.cfg.Keys.Join(ctx, i.Project, one.ID, i.Role, false, by("member.join")); err != nil {
			return Member{}, errors.Join(err, m.cfg.Invitations.Reopen(context.WithoutCancel(ctx), i.ID))
		}
	}
	return one, nil
}

// notInvited is the answer to the token of an invitation that cannot be accepted, whatever it is about it.
func notInvited(err error) error {
	return problem.Wrap(err, problem.SignInRefused, "The invitation is not accepted: its token is not right, or it was accepted, withdrawn or has expired, or whoever invited may not any more.")
}

// pending finds the invitation that a text is of, if it can be accepted.
func (m *Members) pending(ctx context.Context, token access.Text) (Invitation, error) {
	id, digest, ok := idIn("wi", "inv", token)
	if !ok {
		return Invitation{}, notInvited(nil)
	}
	i, err := m.cfg.Invitations.Invitation(ctx, id)
	if err != nil && !errors.Is(err, ErrNoInvitation) {
		return Invitation{}, fmt.Errorf("org: read an invitation: %w", err)
	}
	if err != nil || !i.Digest.Equal(digest) || i.Status != Pending || !m.cfg.Now().Before(i.ExpiresAt) || !m.stands(i) {
		return Invitation{}, notInvited(err)
	}
	return i, nil
}

// stands reports whether the key that invited may still hand on as much as it did.
func (m *Members) stands(i Invitation) bool {
	if i.CreatedBy == access.Operator.String() {
		return true
	}
	key, found := m.cfg.Keys.Peek(i.Project, i.CreatedBy)
	return found && access.StillInvites(key, Grant(0, i.Role, i.Everywhere), m.cfg.Now())
}

// proven is who accepts: somebody new, or the member that is known and has shown the password.
func (m *Members) proven(ctx context.Context, i Invitation, name string, password access.Text, from netip.Addr) (one Member, known bool, err error) {
	_, err = m.cfg.People.FindMember(ctx, i.Email)
	switch {
	case errors.Is(err, ErrNoMember):
		one, err = m.newMember(ctx, i, name, password, micros(m.cfg.Now()))
		return one, false, err
	case err != nil:
		return Member{}, false, fmt.Errorf("org: find a member: %w", err)
	}
	one, err = m.shows(ctx, i.Email, password, from)
	return one, true, err
}

// accepting is the member that accepting makes of whoever accepts, as things are by now.
func (m *Members) accepting(ctx context.Context, i Invitation, one Member, known bool) (Member, error) {
	if !known {
		return one, nil // whether somebody has the email by now, the store says
	}
	there, err := m.cfg.People.MemberByID(ctx, one.ID)
	switch {
	case errors.Is(err, ErrNoMember):
		return Member{}, refused(err) // removed just now
	case err != nil:
		return Member{}, fmt.Errorf("org: read a member: %w", err)
	case there.Organization != i.Organization:
		return Member{}, problem.New(problem.Conflict, "You are a member of another organization here, with this email: have another one invited.")
	}
	if _, in := m.joined(there, i.Project); in || i.Everywhere && len(m.cfg.Keys.MemberKeys(there.ID)) > 0 {
		return Member{}, problem.New(problem.Conflict, "You are a member already: your role is changed by whoever may do that, and not by an invitation.")
	}
	there.UpdatedAt = micros(m.cfg.Now())
	if i.Everywhere {
		there.Role = i.Role
	}
	return there, nil
}

func (m *Members) newMember(ctx context.Context, i Invitation, name string, password access.Text, now time.Time) (Member, error) {
	if err := checkName("name", name, MaxMemberName); err != nil {
		return Member{}, err
	}
	if err := checkPassword("password", password); err != nil {
		return Member{}, err
	}
	kept, err := m.passwords.make(ctx, password)
	if err != nil {
		return Member{}, err
	}
	one := Member{
		ID: "mem_" + m.cfg.NewID(), Organization: i.Organization, Email: i.Email, Name: name, Password: kept, CreatedAt: now, UpdatedAt: now, Revision: 1,
	}
	if i.Everywhere {
		one.Role = i.Role
	}
	return one, nil
}
