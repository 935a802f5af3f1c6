package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/org"
)

const memberColumns = `id, organization_id, email, name, role, password, created_at, updated_at, removed_at, revision`

// storedKind is a key's kind as it is stored: a member's key is stored as a secret one, with whose it is.
func storedKind(k access.Kind) string {
	if k == access.Member {
		return access.Secret.String()
	}
	return k.String()
}

// membership is whose key a key is, as JSON.
type membership struct {
	ID   string `json:"id"`
	Role string `json:"role"`
	Wide bool   `json:"wide,omitempty"`
}

func writeMembership(m keyring.Membership) string {
	return writeJSON(membership{m.ID, m.Role.String(), m.Wide}, m.ID == "")
}

// readMembership reads what writeMembership wrote. A role that is not known is none, with which nothing may be done.
func readMembership(text string) (keyring.Membership, error) {
	var m membership
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return keyring.Membership{}, err
	}
	role, _ := access.ParseRole(m.Role)
	return keyring.Membership{ID: m.ID, Role: role, Wide: m.Wide}, nil
}

// memberExists refuses a key of a member who is not there, or not any more.
func memberExists(ctx context.Context, tx *sql.Tx, id string) error {
	if id == "" {
		return nil
	}
	var one int
	err := tx.QueryRowContext(ctx, `SELECT 1 FROM members WHERE id = $1 AND removed_at IS NULL`, id).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return keyring.ErrNoMember
	}
	return err
}

// Members implements org.People.
func (s *Store) Members(ctx context.Context, organization, after string, limit int) ([]org.Member, error) {
	where := conditions{text: `organization_id = $1 AND removed_at IS NULL`, args: []any{organization}}
	if after != "" {
		where.bound(`email > (SELECT m.email FROM members m WHERE m.organization_id = $1 AND m.id =`, after)
		where.text += ")"
	}
	most := where.limit(limit)
	return list(ctx, s.read, scanMember, `SELECT `+memberColumns+` FROM members WHERE `+where.text+` ORDER BY email LIMIT `+most, where.args...)
}

// FindMember implements org.People.
func (s *Store) FindMember(ctx context.Context, email string) (org.Member, error) {
	return findMember(ctx, s.read, `email = $1 AND removed_at IS NULL`, email)
}

// MemberByID implements org.People.
func (s *Store) MemberByID(ctx context.Context, id string) (org.Member, error) {
	return findMember(ctx, s.read, `id = $1 AND removed_at IS NULL`, id)
}

func findMember(ctx context.Context, from querier, where string, args ...any) (org.Member, error) {
	m, err := scanMember(from.QueryRowContext(ctx, `SELECT `+memberColumns+` FROM members WHERE `+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return org.Member{}, org.ErrNoMember
	}
	if err != nil {
		return org.Member{}, fmt.Errorf("store: read a member: %w", err)
	}
	return m, nil
}

func scanMember(row scanner) (m org.Member, err error) {
	var (
		role, password   string
		created, updated int64
		removed          sql.NullInt64
	)
	err = row.Scan(&m.ID, &m.Organization, &m.Email, &m.Name, &role, &password, &created, &updated, &removed, &m.Revision)
	m.Role, _ = access.ParseRole(role)
	m.Password = access.SecretText(password)
	m.CreatedAt, m.UpdatedAt, m.RemovedAt = fromMicros(created), fromMicros(updated), fromOptional(removed)
	return m, err
}

// ChangeMember implements org.People.
func (s *Store) ChangeMember(ctx context.Context, organization, id string, change func(*org.Member, int) (*audit.Entry, error)) (m org.Member, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) (err error) {
		if m, err = findMember(ctx, tx, `organization_id = $1 AND id = $2 AND removed_at IS NULL`, organization, id); err != nil {
			return err
		}
		var others int
		row := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM members WHERE organization_id = $1 AND role = $2 AND removed_at IS NULL AND id <> $3`,
			organization, access.Owner.String(), id)
		if err := row.Scan(&others); err != nil {
			return err
		}
		before := m.Password.Reveal()
		entry, err := change(&m, others)
		if err != nil || entry == nil {
			return err
		}
		m.Revision++
		if err := updateMember(ctx, tx, m); err != nil {
			return err
		}
		if m.Password.Reveal() != before {
			if _, err := tx.ExecContext(ctx, `UPDATE member_sessions SET digest = '', former = '' WHERE member_id = $1`, m.ID); err != nil {
				return err
			}
		}
		return insertAudit(ctx, tx, *entry)
	})
	if err != nil {
		return org.Member{}, fmt.Errorf("store: change a member: %w", s.fault(err))
	}
	return m, nil
}

func updateMember(ctx context.Context, tx *sql.Tx, m org.Member) error {
	_, err := tx.ExecContext(ctx, `UPDATE members SET name = $1, role = $2, password = $3, updated_at = $4, removed_at = $5, revision = $6 WHERE id = $7`,
		m.Name, m.Role.String(), m.Password.Reveal(), m.UpdatedAt.UnixMicro(), optional(m.RemovedAt), m.Revision, m.ID)
	return err
}

const invitationColumns = `id, organization_id, project_id, email, role, everywhere, digest, created_at, created_by, expires_at, status, member_id`

// InsertInvitation implements org.Invitations.
func (s *Store) InsertInvitation(ctx context.Context, i org.Invitation, most int, entry audit.Entry) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		inserted := changedOne(tx.ExecContext(ctx, `INSERT INTO invitations (`+invitationColumns+`) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
			WHERE (SELECT COUNT(*) FROM invitations WHERE project_id = $3 AND status = 'pending' AND expires_at > $8) < $13`,
			i.ID, i.Organization, i.Project, i.Email, i.Role.String(), flag(i.Everywhere), hex.EncodeToString(i.Digest[:]), i.CreatedAt.UnixMicro(), i.CreatedBy,
			i.ExpiresAt.UnixMicro(), string(i.Status), i.Member, most))
		if err := inserted(org.ErrInvitations); err != nil {
			return err
		}
		return insertAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("store: insert an invitation: %w", s.fault(err))
	}
	return nil
}

// Invitations implements org.Invitations.
func (s *Store) Invitations(ctx context.Context, organization, project string, before org.InvitationPlace, limit int) ([]org.Invitation, error) {
	where := conditions{text: `organization_id = $1 AND (project_id = $2 OR everywhere = 1)`, args: []any{organization, project}}
	if before != (org.InvitationPlace{}) {
		where.after("created_at, id", "<", before.At.UnixMicro(), before.ID)
	}
	most := where.limit(limit)
	return list(ctx, s.read, scanInvitation, `SELECT `+invitationColumns+` FROM invitations
		WHERE `+where.text+` ORDER BY created_at DESC, id DESC LIMIT `+most, where.args...)
}

// Invitation implements org.Invitations.
func (s *Store) Invitation(ctx context.Context, id string) (org.Invitation, error) {
	i, err := scanInvitation(s.read.QueryRowContext(ctx, `SELECT `+invitationColumns+` FROM invitations WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return org.Invitation{}, org.ErrNoInvitation
	}
	if err != nil {
		return org.Invitation{}, fmt.Errorf("store: read an invitation: %w", err)
	}
	return i, nil
}

func scanInvitation(row scanner) (i org.Invitation, err error) {
	var (
		role, digest     string
		everywhere       int
		created, expires int64
	)
	err = row.Scan(&i.ID, &i.Organization, &i.Project, &i.Email, &role, &everywhere, &digest, &created, &i.CreatedBy, &expires, &i.Status, &i.Member)
	if err != nil {
		return i, err
	}
	i.Role, _ = access.ParseRole(role)
	i.Everywhere, i.CreatedAt, i.ExpiresAt = everywhere == 1, fromMicros(created), fromMicros(expires)
	i.Digest, err = readDigest(digest)
	return i, err
}

// readDigest reads a digest; an empty text is the zero one.
func readDigest(text string) (d access.Digest, err error) {
	if text == "" {
		return d, nil
	}
	if n, err := hex.Decode(d[:], []byte(text)); err != nil || n != len(d) {
		return d, errors.New("a digest is not one")
	}
	return d, nil
}

func writeDigest(d access.Digest) string {
	if d == (access.Digest{}) {
		return ""
	}
	return hex.EncodeToString(d[:])
}

// EndInvitation implements org.Invitations.
func (s *Store) EndInvitation(ctx context.Context, id string, entry audit.Entry) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		if err := changedOne(tx.ExecContext(ctx, `UPDATE invitations SET status = 'revoked' WHERE id = $1 AND status = 'pending'`, id))(org.ErrNoInvitation); err != nil {
			return err
		}
		return insertAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("store: end an invitation: %w", s.fault(err))
	}
	return nil
}

// changedOne gives the error of a statement, or another when it changed nothing.
func changedOne(result sql.Result, err error) func(none error) error {
	return func(none error) error {
		if err != nil {
			return err
		}
		changed, err := result.RowsAffected()
		if err == nil && changed == 0 {
			return none
		}
		return err
	}
}

// Accept implements org.Invitations.
func (s *Store) Accept(ctx context.Context, id string, m org.Member, entry audit.Entry) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		accepted := changedOne(tx.ExecContext(ctx, `UPDATE invitations SET status = 'accepted', member_id = $1 WHERE id = $2 AND status = 'pending'`, m.ID, id))
		if err := accepted(org.ErrNoInvitation); err != nil {
			return err
		}
		there, err := findMember(ctx, tx, `email = $1 AND removed_at IS NULL`, m.Email)
		switch {
		case err == nil && there.ID != m.ID:
			return org.ErrTakenEmail
		case err == nil:
			there.Role, there.UpdatedAt, there.Revision = m.Role, m.UpdatedAt, there.Revision+1
			err = updateMember(ctx, tx, there)
		case errors.Is(err, org.ErrNoMember):
			_, err = tx.ExecContext(ctx, `INSERT INTO members (`+memberColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, 1)`,
				m.ID, m.Organization, m.Email, m.Name, m.Role.String(), m.Password.Reveal(), m.CreatedAt.UnixMicro(), m.UpdatedAt.UnixMicro())
		}
		if err != nil {
			return err
		}
		return insertAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("store: accept an invitation: %w", s.fault(err))
	}
	return nil
}

// Reopen implements org.Invitations.
func (s *Store) Reopen(ctx context.Context, id string) error {
	_, err := s.write.ExecContext(ctx, `UPDATE invitations SET status = 'pending', member_id = '' WHERE id = $1 AND status = 'accepted'`, id)
	if err != nil {
		return fmt.Errorf("store: reopen an invitation: %w", s.fault(err))
	}
	return nil
}

const sessionColumns = `id, member_id, project_id, key_id, digest, former, token_id, token_ends_at, created_at, expires_at`

// InsertSession implements org.Sessions.
func (s *Store) InsertSession(ctx context.Context, n org.Session, password access.Text) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM member_sessions WHERE expires_at <= $1`, n.CreatedAt.UnixMicro()); err != nil {
			return err
		}
		return changedOne(tx.ExecContext(ctx, `INSERT INTO member_sessions (`+sessionColumns+`) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
			WHERE EXISTS (SELECT 1 FROM members WHERE id = $2 AND password = $11 AND removed_at IS NULL)`,
			n.ID, n.Member, n.Project, n.Key, writeDigest(n.Digest), writeDigest(n.Former), n.Token, n.TokenEnds.UnixMicro(), n.CreatedAt.UnixMicro(),
			n.ExpiresAt.UnixMicro(), password.Reveal()))(org.ErrNoMember)
	})
	if err != nil {
		return fmt.Errorf("store: insert a session: %w", s.fault(err))
	}
	return nil
}

// Session implements org.Sessions.
func (s *Store) Session(ctx context.Context, id string) (org.Session, error) {
	n, err := scanSession(s.read.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM member_sessions WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return org.Session{}, org.ErrNoSession
	}
	if err != nil {
		return org.Session{}, fmt.Errorf("store: read a session: %w", err)
	}
	return n, nil
}

// SessionsOf implements org.Sessions.
func (s *Store) SessionsOf(ctx context.Context, member string, now time.Time) ([]org.Session, error) {
	return list(ctx, s.read, scanSession, `SELECT `+sessionColumns+` FROM member_sessions WHERE member_id = $1 AND expires_at > $2
		ORDER BY created_at, id LIMIT 1000`, member, now.UnixMicro())
}

func scanSession(row scanner) (n org.Session, err error) {
	var (
		digest, former         string
		ends, created, expires int64
	)
	err = row.Scan(&n.ID, &n.Member, &n.Project, &n.Key, &digest, &former, &n.Token, &ends, &created, &expires)
	if err == nil {
		n.Digest, err = readDigest(digest)
	}
	if err == nil {
		n.Former, err = readDigest(former)
	}
	n.TokenEnds, n.CreatedAt, n.ExpiresAt = fromMicros(ends), fromMicros(created), fromMicros(expires)
	return n, err
}

// RenewSession implements org.Sessions.
func (s *Store) RenewSession(ctx context.Context, id string, from access.Digest, to org.Session) error {
	err := changedOne(s.write.ExecContext(ctx, `UPDATE member_sessions SET digest = $1, former = $2, token_id = $3, token_ends_at = $4 WHERE id = $5 AND digest = $6`,
		writeDigest(to.Digest), writeDigest(to.Former), to.Token, to.TokenEnds.UnixMicro(), id, writeDigest(from)))(org.ErrNoSession)
	if err != nil {
		return fmt.Errorf("store: renew a session: %w", s.fault(err))
	}
	return nil
}

// EndSession implements org.Sessions.
func (s *Store) EndSession(ctx context.Context, id, token string) error {
	err := changedOne(s.write.ExecContext(ctx, `DELETE FROM member_sessions WHERE id = $1 AND token_id = $2`, id, token))(org.ErrNoSession)
	if err != nil {
		return fmt.Errorf("store: end a session: %w", s.fault(err))
	}
	return nil
}

// EndSessions implements org.Sessions.
func (s *Store) EndSessions(ctx context.Context, member, project string) error {
	return s.ended(s.write.ExecContext(ctx, `DELETE FROM member_sessions WHERE member_id = $1 AND (project_id = $2 OR $2 = '')`, member, project))
}

func (s *Store) ended(_ sql.Result, err error) error {
	if err != nil {
		return fmt.Errorf("store: end sessions: %w", s.fault(err))
	}
	return nil
}
