package org

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/problem"
)

// Member is a person in an organization. What the person may do in a single project stands with the key that the member
// acts through there.
type Member struct {
	ID           string // "mem_" and 16 characters
	Organization string
	Email        string // in lower case; no two members have the same
	Name         string
	Role         access.Role // in all projects of the organization; none: only in those where there is a key
	Password     access.Text // what a password is checked with; never shown
	CreatedAt    time.Time   // each UTC, to the microsecond
	UpdatedAt    time.Time
	RemovedAt    time.Time // zero: not removed
	Revision     int64     // counts the changes, from 1
}

// InvitationStatus is what became of an invitation.
type InvitationStatus string

// An invitation that is pending can be accepted until it expires.
const (
	Pending  InvitationStatus = "pending"
	Accepted InvitationStatus = "accepted"
	Revoked  InvitationStatus = "revoked"
)

// Invitation is a place for somebody who is not a member yet, or not of the project.
type Invitation struct {
	ID           string // "inv_" and 16 characters
	Organization string
	Project      string
	Email        string
	Role         access.Role
	Everywhere   bool          // in all projects of the organization
	Digest       access.Digest // of what whoever is invited is sent
	CreatedAt    time.Time
	CreatedBy    string // the id of the key that invited, or "operator"
	ExpiresAt    time.Time
	Status       InvitationStatus
	Member       string // who accepted
}

// InvitationPlace is a place in the list of invitations.
type InvitationPlace struct {
	At time.Time
	ID string
}

// Session is what a member who has signed in goes on with.
type Session struct {
	ID        string // "ses_" and 16 characters
	Member    string
	Project   string
	Key       string        // the id of the key that the member acts through there
	Digest    access.Digest // of what it goes on with next
	Former    access.Digest // of what it went on with last: whoever shows that has stolen it, or was stolen from
	Token     string        // the access token that it has now
	TokenEnds time.Time
	CreatedAt time.Time
	ExpiresAt time.Time
}

// People keeps members. Texts come back byte for byte.
type People interface {
	// Members lists those of an organization who are not removed, by email, at most limit, behind the one of an id, who may have
	// been removed since; empty: from the first.
	Members(ctx context.Context, organization, after string, limit int) ([]Member, error)
	// FindMember finds one who is not removed by the email, and MemberByID by the id. The error is ErrNoMember when there is none.
	FindMember(ctx context.Context, email string) (Member, error)
	MemberByID(ctx context.Context, id string) (Member, error)
	// ChangeMember applies change to the member as stored, and stores the outcome with its revision counted up and the audit
	// that change gives, with no other change of any member in between. others is how many owners the organization has
	// besides. An error of change comes back in the chain, and nothing is stored; nor is it when there is no audit. With
	// another password no session of the member can be renewed any more, from the same moment on.
	ChangeMember(ctx context.Context, organization, id string, change func(m *Member, others int) (*audit.Entry, error)) (Member, error)
}

// Invitations keeps invitations.
type Invitations interface {
	// InsertInvitation stores a new one, unless most of the project are pending and have not expired: then it is ErrInvitations.
	InsertInvitation(ctx context.Context, i Invitation, most int, entry audit.Entry) error
	// Invitations lists those of a project and those to the whole organization, newest first, at most limit, older than a place;
	// the zero place: from the newest.
	Invitations(ctx context.Context, organization, project string, before InvitationPlace, limit int) ([]Invitation, error)
	// Invitation finds one by its id. The error is ErrNoInvitation when there is none.
	Invitation(ctx context.Context, id string) (Invitation, error)
	// EndInvitation revokes one that is pending. The error is ErrNoInvitation when it is not.
	EndInvitation(ctx context.Context, id string, entry audit.Entry) error
	// Accept makes a pending invitation an accepted one, and stores the member: a new one, or one that is there, whose role in
	// the whole organization is then the one given. The error is ErrNoInvitation when it is no longer pending, and
	// ErrTakenEmail when another member has the email.
	Accept(ctx context.Context, id string, m Member, entry audit.Entry) error
	// Reopen makes an accepted invitation pending again.
	Reopen(ctx context.Context, id string) error
}

// Sessions keeps sessions.
type Sessions interface {
	// InsertSession stores a new one, and removes those of everybody that had expired when it was made. The error is ErrNoMember
	// when what is kept of the member's password is not, or not any more, what the password was checked with.
	InsertSession(ctx context.Context, s Session, password access.Text) error
	// Session finds one. The error is ErrNoSession when there is none.
	Session(ctx context.Context, id string) (Session, error)
	// RenewSession gives a session that is to go on with a digest another, and another token. The error is ErrNoSession when it
	// is not that digest any more.
	RenewSession(ctx context.Context, id string, from access.Digest, to Session) error
	// SessionsOf lists those of a member that have not expired, oldest first, a thousand at the most.
	SessionsOf(ctx context.Context, member string, now time.Time) ([]Session, error)
	// EndSession removes one that has an access token. The error is ErrNoSession when there is none that has this one.
	EndSession(ctx context.Context, id, token string) error
	// EndSessions removes all of a member that are for a project, or all when it is empty.
	EndSessions(ctx context.Context, member, project string) error
}

// What a store answers.
var (
	ErrNoMember     = errors.New("org: there is no such member")
	ErrNoInvitation = errors.New("org: there is no such invitation that is pending")
	ErrNoSession    = errors.New("org: there is no such session")
	ErrInvitations  = errors.New("org: there are as many pending invitations as there may be")
	ErrTakenEmail   = errors.New("org: a member has the email")
	ErrNoProject    = errors.New("org: there is no such project")
)

// Limits on what people are called.
const (
	MaxEmail      = 254 // bytes
	MaxMemberName = 100 // characters
	MinPassword   = 12  // characters
	MaxPassword   = 256 // bytes
)

// ReadEmail is an email as it is kept and compared: in lower case. What it finds wrong is for the field of the name.
func ReadEmail(field, text string) (string, error) {
	name, host, found := strings.Cut(text, "@")
	odd := func(c rune) bool {
		return unicode.IsSpace(c) || unprintable(c) || c == '@' || c == '<' || c == '>' || c == ',' || c == '"'
	}
	switch {
	case len(text) > MaxEmail || !utf8.ValidString(text):
		return "", problem.Invalid(field, "must be UTF-8 of at most %d bytes", MaxEmail)
	case !found || name == "" || host == "" || strings.ContainsFunc(name, odd) || strings.ContainsFunc(host, odd):
		return "", problem.Invalid(field, "must be an email address such as ana@example.com")
	}
	return strings.ToLower(text), nil
}

// unprintable characters could make a list of people show something that is not there.
func unprintable(c rune) bool {
	return !unicode.IsPrint(c) || unicode.In(c, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// checkName checks what a person, or a thing, is called.
func checkName(field, name string, most int) error {
	if name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > most || strings.ContainsFunc(name, unprintable) {
		return problem.Invalid(field, "must have 1 to %d printable characters", most)
	}
	return nil
}

func checkPassword(field string, password access.Text) error {
	text := password.Reveal()
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) < MinPassword || len(text) > MaxPassword {
		return problem.Invalid(field, "must have at least %d characters, and at most %d bytes", MinPassword, MaxPassword)
	}
	return nil
}
