package org

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Keys are the keys that members act through.
type Keys interface {
	// MemberKeys lists those of a member, one for each project in which there is one; MemberOf is whose key a key is.
	MemberKeys(member string) []*access.Key
	MemberOf(key string) string
	// Join makes the key of a member in a project, if there is none, and gives its id.
	Join(ctx context.Context, project, member string, role access.Role, wide bool, by func(subject string, after any) audit.Entry) (string, error)
	SetRole(ctx context.Context, permit gate.Permit, project, id string, role access.Role, wide bool) error
	EndMember(ctx context.Context, permit gate.Permit, project, id string) error
	// Peek gives a project's key as it is now.
	Peek(project, id string) (*access.Key, bool)
}

// PeopleConfig is what the members of organizations need of the world.
type PeopleConfig struct {
	People      People
	Invitations Invitations
	Sessions    Sessions
	Keys        Keys
	Projects    func(ctx context.Context, organization string) ([]Project, error) // those of an organization, oldest first
	EndToken    func(ctx context.Context, client access.Lookup, id string, ends time.Time) error
	Now         func() time.Time
	NewID       func() string // 16 letters and digits that were never given before
	NewAudit    func() string // names entries of the audit
	Random      io.Reader     // nil: crypto/rand
	Cost        Cost          // of a try at a password
	Log         *slog.Logger  // nil: nothing is logged
}

// Members is everybody who is a member of something. Its methods may be called from many goroutines.
type Members struct {
	cfg       PeopleConfig
	passwords *passwords
	tries     tries
	changing  sync.Mutex // of whoever changes who is a member, and as what
}

// NewMembers makes them.
func NewMembers(cfg PeopleConfig) *Members {
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Members{cfg: cfg, passwords: newPasswords(cfg.Cost, cfg.Random)}
}

// Joined is a member, and what as, in a project.
type Joined struct {
	Member

	Key        string // the id of the key that the member acts through there; empty: there is none yet
	As         access.Role
	Everywhere bool
}

// The bounds of a list. Members of an organization who are not of the project are passed over; a page for which too many were
// ends early.
const (
	MaxPage    = 200
	lookedAt   = 500 // members at once
	lookedAtIn = 20  // times for a page
)

// List lists the members of the permit's project, by email: those of the project, and those of the whole organization. next is
// where to go on; empty: nowhere.
//
// Problems: invalid_field.
func (m *Members) List(ctx context.Context, permit gate.Permit, after string, limit int) (list []Joined, next string, err error) {
	if err := checkPage(after == "" || strings.HasPrefix(after, "mem_"), limit); err != nil {
		return nil, "", err
	}
	for range lookedAtIn {
		some, err := m.cfg.People.Members(ctx, permit.Organization(), after, lookedAt)
		if err != nil {
			return nil, "", fmt.Errorf("org: list members: %w", err)
		}
		for _, one := range some {
			j, in := m.joined(one, permit.Project())
			if in && len(list) == limit {
				return list, after, nil
			}
			if after = one.ID; in {
				list = append(list, j)
			}
		}
		if len(some) < lookedAt {
			return list, "", nil
		}
	}
	return list, after, nil
}

// checkPage checks what is asked of a list.
func checkPage(placed bool, limit int) error {
	switch {
	case !placed:
		return problem.Invalid("query.cursor", "is not one that a list gave")
	case limit < 1 || limit > MaxPage:
		return problem.Invalid("query.limit", "must be from 1 to %d", MaxPage)
	}
	return nil
}

// joined is a member in a project, and false when it is not one there.
func (m *Members) joined(one Member, project string) (Joined, bool) {
	j := Joined{Member: one, As: one.Role, Everywhere: one.Role.Defined()}
	for _, k := range m.cfg.Keys.MemberKeys(one.ID) {
		if k.Project.ID == project {
			j.Key = k.ID
			if !j.Everywhere {
				j.As = k.Role
			}
		}
	}
	return j, j.As.Defined()
}

// Get gives one member of the permit's project.
func (m *Members) Get(ctx context.Context, permit gate.Permit, id string) (Joined, error) {
	return m.Find(ctx, permit.Organization(), permit.Project(), id)
}

// Find gives one member of a project. It is for finding out what changing the member would hand on, before that is decided.
func (m *Members) Find(ctx context.Context, organization, project, id string) (Joined, error) {
	one, err := m.cfg.People.MemberByID(ctx, id)
	if errors.Is(err, ErrNoMember) || err == nil && (one.Organization != organization || !one.RemovedAt.IsZero()) {
		return Joined{}, noMember()
	}
	if err != nil {
		return Joined{}, fmt.Errorf("org: read a member: %w", err)
	}
	j, in := m.joined(one, project)
	if !in {
		return Joined{}, noMember()
	}
	return j, nil
}

func noMember() error {
	return problem.New(problem.NotFound, "There is no such member in this project.")
}

// Grant is what giving somebody a role hands on; before is the role that the member has, if any: nobody changes or removes
// somebody who may do more than they do themselves.
func Grant(before, after access.Role, wide bool) *access.Grant {
	return &access.Grant{
		Kind: access.Member, Mode: access.Live, Scopes: before.Scopes() | after.Scopes(), Wide: wide, Bounds: access.Bounds{Limits: access.DefaultLimits(access.Secret)},
	}
}

// checkRole checks a role that is to be given.
func checkRole(role access.Role, everywhere bool) error {
	switch {
	case !role.Defined():
		return problem.Invalid("role", "is none of the roles there are")
	case role.Whole() && !everywhere:
		return problem.Invalid("everywhere", "must be true: an owner is one of the whole organization")
	}
	return nil
}

// Change gives a member another role. When it returns, no token from before is good. Whether the permit may give it, and
// change whoever has the one before, is decided here once more: it may be another by now than when that was decided.
func (m *Members) Change(ctx context.Context, permit gate.Permit, id string, role access.Role, everywhere bool) (Joined, error) {
	if err := checkRole(role, everywhere); err != nil {
		return Joined{}, err
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	before, err := m.Get(ctx, permit, id)
	if err != nil {
		return Joined{}, err
	}
	if err := permit.Granting(Grant(before.As, role, before.Everywhere || everywhere)); err != nil {
		return Joined{}, err
	}
	whole := access.Role(0)
	if everywhere {
		whole = role
	}
	if before.Role != whole {
		if err := m.setWhole(ctx, permit, id, whole); err != nil {
			return Joined{}, err
		}
	}
	if !everywhere && before.Key == "" {
		by := m.joining(permit, "member.join")
		if _, err := m.cfg.Keys.Join(ctx, permit.Project(), id, role, false, by); err != nil {
			return Joined{}, err
		}
	}
	for _, k := range m.cfg.Keys.MemberKeys(id) {
		switch {
		case everywhere || k.Project.ID == permit.Project():
			err = m.cfg.Keys.SetRole(ctx, permit, k.Project.ID, k.ID, role, everywhere)
		case before.Everywhere || k.Wide: // what came of the role in all projects goes with it, also when that went wrong before
			err = m.cfg.Keys.EndMember(ctx, permit, k.Project.ID, k.ID)
		}
		if err != nil {
			return Joined{}, err
		}
	}
	return m.Get(ctx, permit, id)
}

// setWhole changes the role that a member has in the whole organization.
func (m *Members) setWhole(ctx context.Context, permit gate.Permit, id string, role access.Role) error {
	_, err := m.cfg.People.ChangeMember(ctx, permit.Organization(), id, func(one *Member, others int) (*audit.Entry, error) {
		if err := lastOwner(one, others, role); err != nil {
			return nil, err
		}
		before := shownOf(one)
		one.Role, one.UpdatedAt = role, micros(m.cfg.Now())
		entry := audit.Of(permit, m.cfg.NewAudit(), "member.organization_role", id, before, shownOf(one))
		return &entry, nil
	})
	if errors.Is(err, ErrNoMember) {
		return noMember()
	}
	return err
}

func lastOwner(one *Member, others int, role access.Role) error {
	if one.Role == access.Owner && role != access.Owner && others == 0 {
		return problem.New(problem.Conflict, "This is the last owner of the organization. Make somebody else an owner first.")
	}
	return nil
}

// shownMember is what the audit shows of a member: never the password.
type shownMember struct {
	Email string `json:"email"`
	Name  string `json:"name"`
	Role  string `json:"organization_role"`
}

func shownOf(one *Member) shownMember { return shownMember{one.Email, one.Name, one.Role.String()} }

// Remove takes a member out of the permit's project, or out of the organization when the role is one in all of it. When it
// returns, no token of the member is good there.
func (m *Members) Remove(ctx context.Context, permit gate.Permit, id string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	before, marked, err := m.leaving(ctx, permit, id)
	if err != nil {
		return err
	}
	if err := permit.Granting(Grant(before.As, 0, before.Everywhere)); err != nil {
		return err
	}
	project := permit.Project()
	elsewhere := slices.ContainsFunc(m.cfg.Keys.MemberKeys(id), func(k *access.Key) bool { return k.Project.ID != project })
	if !marked && (before.Everywhere || !elsewhere) {
		if err := m.markRemoved(ctx, permit, id); err != nil {
			return err
		}
	}
	if marked || before.Everywhere {
		project = ""
	}
	for _, k := range m.cfg.Keys.MemberKeys(id) { // as they are now that no more can be made
		if project == "" || k.Project.ID == project {
			if err := m.cfg.Keys.EndMember(ctx, permit, k.Project.ID, k.ID); err != nil {
				return err
			}
		}
	}
	if err := m.cfg.Sessions.EndSessions(ctx, id, project); err != nil {
		m.cfg.Log.Warn("sessions of a member who was removed stay until they expire; none of them can go on", "member", id, "error", err)
	}
	return nil
}

// leaving is whoever is to be removed. marked is one who is removed already and has keys still, because ending them went wrong.
func (m *Members) leaving(ctx context.Context, permit gate.Permit, id string) (j Joined, marked bool, err error) {
	j, err = m.Get(ctx, permit, id)
	if err == nil || problem.From(err).Code != problem.NotFound {
		return j, false, err
	}
	_, unknown := m.cfg.People.MemberByID(ctx, id)
	if !errors.Is(unknown, ErrNoMember) {
		return j, false, err
	}
	for _, k := range m.cfg.Keys.MemberKeys(id) {
		if k.Project.Organization == permit.Organization() && (k.Wide || k.Project.ID == permit.Project()) {
			return Joined{Member: Member{ID: id}, Key: k.ID, As: k.Role, Everywhere: k.Wide}, true, nil
		}
	}
	return j, false, err
}

func (m *Members) markRemoved(ctx context.Context, permit gate.Permit, id string) error {
	_, err := m.cfg.People.ChangeMember(ctx, permit.Organization(), id, func(one *Member, others int) (*audit.Entry, error) {
		if err := lastOwner(one, others, 0); err != nil {
			return nil, err
		}
		before := shownOf(one)
		one.RemovedAt, one.UpdatedAt = micros(m.cfg.Now()), micros(m.cfg.Now())
		entry := audit.Of(permit, m.cfg.NewAudit(), "member.remove", id, before, nil)
		return &entry, nil
	})
	if errors.Is(err, ErrNoMember) {
		return noMember()
	}
	return err
}

// joining makes the entry of the audit of a key that a permit made for a member.
func (m *Members) joining(permit gate.Permit, action string) func(string, any) audit.Entry {
	return func(subject string, after any) audit.Entry {
		return audit.Of(permit, m.cfg.NewAudit(), action, subject, nil, after)
	}
}

// secretText is what is shown once of a thing with an id: a prefix, the id's own part, and a secret.
func (m *Members) secretText(prefix, id string) (access.Text, access.Digest, error) {
	var bytes [20]byte
	if _, err := io.ReadFull(m.cfg.Random, bytes[:]); err != nil {
		return access.Text{}, access.Digest{}, fmt.Errorf("org: random bytes: %w", err)
	}
	_, own, _ := strings.Cut(id, "_")
	text := fmt.Sprintf("%s_%s_%x", prefix, own, bytes)
	return access.SecretText(text), sha256.Sum256([]byte(text)), nil
}

// idIn is the id that stands in such a text, and the text's digest.
func idIn(prefix, kind string, text access.Text) (id string, digest access.Digest, ok bool) {
	const most = 100
	plain := text.Reveal()
	parts := strings.Split(plain, "_")
	if len(plain) > most || len(parts) != 3 || parts[0] != prefix || parts[1] == "" || len(parts[2]) != 40 {
		return "", digest, false
	}
	return kind + "_" + parts[1], sha256.Sum256([]byte(plain)), true
}
