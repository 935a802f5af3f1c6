package org

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// The bounds of sessions.
const (
	SessionTime = 30 * 24 * time.Hour // how long one goes on, from signing in
	MaxSessions = 100                 // of a member; with one more the oldest ends
)

func refused(err error) error {
	return problem.Wrap(err, problem.SignInRefused, "The email, the password or the session is not accepted.")
}

func tooManyTries(wait time.Duration) error {
	return problem.New(problem.TooManyFailures, "Too many wrong passwords were tried for this email, or from this network.").After(wait)
}

// Proof is that somebody has shown the password of a member, and what the password was checked with: what was proven with a
// password that was changed meanwhile is worth nothing.
type Proof struct {
	Key      access.Lookup // what the member acts through in the project
	password access.Text   // what is kept of the password
}

// Prove finds the key that a member acts through in a project by email and password: where the password is not right, the
// answer is the same as for an email that nobody has, and takes as long. Without a project it is the oldest that the member
// is in. Somebody whose role is one in all projects gets the key of one when it is first asked for.
func (m *Members) Prove(ctx context.Context, email string, password access.Text, project string, from netip.Addr) (Proof, error) {
	email, err := ReadEmail("email", email)
	if err != nil {
		return Proof{}, err
	}
	one, err := m.shows(ctx, email, password, from)
	if err != nil {
		return Proof{}, err
	}
	key, err := m.enter(ctx, one, project)
	return Proof{key, one.Password}, err
}

// shows is the member of an email who has shown the password. Each try is counted, also one for an email that nobody has.
func (m *Members) shows(ctx context.Context, email string, password access.Text, from netip.Addr) (Member, error) {
	if wait := m.tries.begin(email, from, m.cfg.Now()); wait > 0 {
		return Member{}, tooManyTries(wait)
	}
	one, err := m.cfg.People.FindMember(ctx, email)
	if err != nil && !errors.Is(err, ErrNoMember) {
		m.tries.undone(email, from)
		return Member{}, fmt.Errorf("org: find a member: %w", err)
	}
	fits, err := m.passwords.fits(ctx, one.Password, password)
	switch {
	case err != nil:
		m.tries.undone(email, from)
		return Member{}, fmt.Errorf("org: check a password: %w", err)
	case !fits:
		return Member{}, refused(nil)
	}
	m.tries.right(email, from)
	return one, nil
}

// enter finds, or makes, the key of a member in a project.
func (m *Members) enter(ctx context.Context, one Member, project string) (access.Lookup, error) {
	place, err := m.place(ctx, one, project)
	if err == nil && place.key == "" {
		place.key, err = m.firstEntry(ctx, one.ID, project)
	}
	if err != nil {
		return access.Lookup{}, err
	}
	lookup, _ := access.LookupOf(place.key)
	return lookup, nil
}

// firstEntry makes the key of a member of the whole organization in a project: with the role that the member has now, and not
// when the password was looked at.
func (m *Members) firstEntry(ctx context.Context, id, project string) (string, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	one, err := m.cfg.People.MemberByID(ctx, id)
	switch {
	case errors.Is(err, ErrNoMember):
		return "", refused(err)
	case err != nil:
		return "", fmt.Errorf("org: read a member: %w", err)
	}
	place, err := m.place(ctx, one, project)
	if err != nil || place.key != "" {
		return place.key, err
	}
	by := func(subject string, after any) audit.Entry {
		return audit.Own(m.cfg.Now(), one.Organization, place.ID, m.cfg.NewAudit(), "member.enter", subject, nil, after)
	}
	return m.cfg.Keys.Join(ctx, place.ID, one.ID, one.Role, true, by)
}

// place is the project that a member enters: the oldest, when none is named.
func (m *Members) place(ctx context.Context, one Member, project string) (Place, error) {
	places, err := m.places(ctx, one)
	if err != nil {
		return Place{}, err
	}
	at := 0
	if project != "" {
		at = slices.IndexFunc(places, func(p Place) bool { return p.ID == project })
	}
	if at < 0 || len(places) == 0 {
		return Place{}, refused(nil)
	}
	return places[at], nil
}

// Place is a project that a member is in, and what as.
type Place struct {
	ID   string
	Name string
	Role access.Role
	key  string
}

// places are the projects that a member is in, oldest first.
func (m *Members) places(ctx context.Context, one Member) ([]Place, error) {
	all, err := m.cfg.Projects(ctx, one.Organization)
	if err != nil {
		return nil, fmt.Errorf("org: list projects: %w", err)
	}
	keys := m.cfg.Keys.MemberKeys(one.ID)
	var places []Place
	for _, p := range all {
		place := Place{ID: p.ID, Name: p.Name, Role: one.Role}
		if at := slices.IndexFunc(keys, func(k *access.Key) bool { return k.Project.ID == p.ID }); at >= 0 {
			place.key, place.Role = keys[at].ID, keys[at].Role
		}
		if place.key != "" || one.Role.Defined() {
			places = append(places, place)
		}
	}
	return places, nil
}

// Begun is a session that was begun or renewed, and what its member is shown once.
type Begun struct {
	Refresh   access.Text // what the session goes on with
	ExpiresAt time.Time
	Member    Member
	Project   string
	Role      access.Role
	Places    []Place
}

// Begin begins a session of the member that was admitted by a proof, with an access token that was made for it.
func (m *Members) Begin(ctx context.Context, permit gate.Permit, proof Proof, token string, ends time.Time) (Begun, error) {
	now := micros(m.cfg.Now())
	s := Session{
		ID: "ses_" + m.cfg.NewID(), Member: m.cfg.Keys.MemberOf(permit.Key().ID), Project: permit.Project(), Key: permit.Key().ID,
		Token: token, TokenEnds: micros(ends), CreatedAt: now, ExpiresAt: now.Add(SessionTime),
	}
	text, digest, err := m.secretText("ws", s.ID)
	if err != nil {
		return Begun{}, err
	}
	s.Digest = digest
	if err := m.endAllBut(ctx, s.Member, MaxSessions-1); err != nil {
		return Begun{}, err
	}
	if err := m.cfg.Sessions.InsertSession(ctx, s, proof.password); errors.Is(err, ErrNoMember) {
		return Begun{}, refused(err) // removed, or given another password, since the password was looked at
	} else if err != nil {
		return Begun{}, fmt.Errorf("org: begin a session: %w", err)
	}
	return m.begun(ctx, permit, s, text)
}

func (m *Members) begun(ctx context.Context, permit gate.Permit, s Session, text access.Text) (Begun, error) {
	one, err := m.cfg.People.MemberByID(ctx, s.Member)
	if err != nil {
		return Begun{}, refused(err)
	}
	places, err := m.places(ctx, one)
	return Begun{Refresh: text, ExpiresAt: s.ExpiresAt, Member: one, Project: s.Project, Role: permit.Key().Role, Places: places}, err
}

// ProveSession finds the key of the member that a session is of by what the session goes on with. What it went on with before
// ends it: somebody has stolen one of the two.
func (m *Members) ProveSession(ctx context.Context, refresh access.Text) (access.Lookup, error) {
	s, digest, err := m.session(ctx, refresh)
	if err != nil {
		return access.Lookup{}, err
	}
	if !s.Digest.Equal(digest) {
		if s.Former.Equal(digest) {
			err := m.end(ctx, s)
			m.cfg.Log.Warn("a session was ended: what it went on with was shown twice", "member", s.Member, "session", s.ID, "error", err)
		}
		return access.Lookup{}, refused(nil)
	}
	lookup, _ := access.LookupOf(s.Key)
	return lookup, nil
}

// session finds the one that a text is of, if it goes on.
func (m *Members) session(ctx context.Context, refresh access.Text) (Session, access.Digest, error) {
	id, digest, ok := idIn("ws", "ses", refresh)
	if !ok {
		return Session{}, digest, refused(nil)
	}
	s, err := m.cfg.Sessions.Session(ctx, id)
	if errors.Is(err, ErrNoSession) || err == nil && !m.cfg.Now().Before(s.ExpiresAt) {
		return Session{}, digest, refused(err)
	}
	if err != nil {
		return Session{}, digest, fmt.Errorf("org: read a session: %w", err)
	}
	return s, digest, nil
}

// Renew gives a session another access token, which was made for it, and something else to go on with. The token that it had
// is ended.
func (m *Members) Renew(ctx context.Context, permit gate.Permit, refresh access.Text, token string, ends time.Time) (Begun, error) {
	s, digest, err := m.session(ctx, refresh)
	if err != nil || s.Key != permit.Key().ID {
		return Begun{}, refused(err)
	}
	next := s
	text, fresh, err := m.secretText("ws", s.ID)
	if err != nil {
		return Begun{}, err
	}
	next.Digest, next.Former, next.Token, next.TokenEnds = fresh, digest, token, micros(ends)
	if err := m.cfg.Sessions.RenewSession(ctx, s.ID, digest, next); errors.Is(err, ErrNoSession) {
		return Begun{}, refused(err) // somebody was faster
	} else if err != nil {
		return Begun{}, fmt.Errorf("org: renew a session: %w", err)
	}
	if err := m.endToken(ctx, s); err != nil {
		return Begun{}, err
	}
	return m.begun(ctx, permit, next, text)
}

// End ends a session, with the access token that it has.
func (m *Members) End(ctx context.Context, permit gate.Permit, refresh access.Text) error {
	s, _, err := m.session(ctx, refresh)
	if err != nil || s.Key != permit.Key().ID {
		return refused(err)
	}
	return m.end(ctx, s)
}

// ChangePassword gives the member that was admitted by a proof another password, and ends all sessions that were begun with the
// one before, with their access tokens. From the moment that there is the other password no session is begun with the one
// before, and none renewed.
func (m *Members) ChangePassword(ctx context.Context, permit gate.Permit, proof Proof, password access.Text) error {
	if err := checkPassword("new_password", password); err != nil {
		return err
	}
	kept, err := m.passwords.make(ctx, password)
	if err != nil {
		return fmt.Errorf("org: keep a password: %w", err)
	}
	id := m.cfg.Keys.MemberOf(permit.Key().ID)
	_, err = m.cfg.People.ChangeMember(ctx, permit.Organization(), id, func(one *Member, _ int) (*audit.Entry, error) {
		if !sameKept(one.Password, proof.password) {
			return nil, ErrNoMember // somebody was faster
		}
		one.Password, one.UpdatedAt = kept, micros(m.cfg.Now())
		entry := audit.Of(permit, m.cfg.NewAudit(), "member.password", id, nil, nil)
		return &entry, nil
	})
	switch {
	case errors.Is(err, ErrNoMember):
		return refused(err)
	case err != nil:
		return fmt.Errorf("org: change a password: %w", err)
	}
	return m.endAllBut(context.WithoutCancel(ctx), id, 0) // whether anybody waits or not
}

// endAllBut ends the sessions of a member but for some of the youngest.
func (m *Members) endAllBut(ctx context.Context, member string, most int) error {
	list, err := m.cfg.Sessions.SessionsOf(ctx, member, m.cfg.Now())
	if err != nil {
		return fmt.Errorf("org: list sessions: %w", err)
	}
	for ; len(list) > most; list = list[1:] {
		err = errors.Join(err, m.end(ctx, list[0]))
	}
	return err
}

// mostRenewals is how often a session may be renewed while it is being ended.
const mostRenewals = 8

// end ends the token first: while that fails there is the session still, and ending it can be tried again. One that was renewed
// meanwhile has another token, which is ended as well.
func (m *Members) end(ctx context.Context, s Session) error {
	id := s.ID
	for range mostRenewals {
		if err := m.endToken(ctx, s); err != nil {
			return err
		}
		err := m.cfg.Sessions.EndSession(ctx, id, s.Token)
		if errors.Is(err, ErrNoSession) {
			s, err = m.cfg.Sessions.Session(ctx, id)
			if err == nil {
				continue
			}
			if errors.Is(err, ErrNoSession) {
				return nil
			}
		}
		if err != nil {
			return fmt.Errorf("org: end a session: %w", err)
		}
		return nil
	}
	return fmt.Errorf("org: end a session: %s is renewed faster than it is ended", id)
}

func (m *Members) endToken(ctx context.Context, s Session) error {
	lookup, ok := access.LookupOf(s.Key)
	if !ok || !m.cfg.Now().Before(s.TokenEnds) {
		return nil
	}
	return m.cfg.EndToken(ctx, lookup, s.Token, s.TokenEnds)
}
