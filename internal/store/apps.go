package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/audit"
)

// Apps is the part of the control data that apps of third parties are about.
type Apps struct{ s *Store }

// Apps gives that part.
func (s *Store) Apps() Apps { return Apps{s} }

const (
	appColumns     = `id, project_id, mode, name, redirects, digest, dpop, created_at, created_by, revoked_at`
	codeColumns    = `digest, app_id, project_id, grant_id, challenge, redirect, resource, thumbprint, expires_at, used_at`
	refreshColumns = `digest, app_id, project_id, grant_id, number, resource, thumbprint, expires_at, replaced_at`
)

// hexOf is a digest as it is kept; a zero one is the empty text.
func hexOf(d access.Digest) string {
	if d == (access.Digest{}) {
		return ""
	}
	return hex.EncodeToString(d[:])
}

func unhex(text string, into *access.Digest) error {
	if n, err := hex.Decode(into[:], []byte(text)); text != "" && (err != nil || n != len(into)) {
		return errors.New("store: a digest is not one")
	}
	return nil
}

// InsertApp implements app.Store.
func (p Apps) InsertApp(ctx context.Context, a app.App, most int, entry audit.Entry) error {
	err := p.s.transact(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO apps (`+appColumns+`) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
			WHERE (SELECT COUNT(*) FROM apps WHERE project_id = $2 AND revoked_at IS NULL) < $11`,
			a.ID, a.Project, a.Mode.String(), a.Name, writeList(a.Redirects), hexOf(a.Digest), flag(a.DPoP), a.CreatedAt.UnixMicro(), a.CreatedBy, optional(a.RevokedAt), most)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, app.ErrMany)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM apps WHERE id IN (
			SELECT id FROM apps WHERE project_id = $1 AND revoked_at IS NOT NULL ORDER BY revoked_at DESC, id LIMIT 1000 OFFSET $2)`, a.Project, most); err != nil {
			return err
		}
		return insertAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("store: insert an app: %w", p.s.fault(err))
	}
	return nil
}

// Apps implements app.Store.
func (p Apps) Apps(ctx context.Context, project string, live bool) ([]app.App, error) {
	return list(ctx, p.s.read, scanApp, `SELECT `+appColumns+` FROM apps WHERE project_id = $1 AND (mode = 'test' OR $2 = 1) ORDER BY created_at, id`, project, flag(live))
}

// App implements app.Store.
func (p Apps) App(ctx context.Context, id string) (app.App, error) {
	return found(p.s.read.QueryRowContext(ctx, `SELECT `+appColumns+` FROM apps WHERE id = $1`, id), scanApp)
}

func found[T any](row *sql.Row, scan func(scanner) (T, error)) (T, error) {
	v, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		err = app.ErrNone
	}
	if err != nil {
		return v, fmt.Errorf("store: read about an app: %w", err)
	}
	return v, nil
}

func scanApp(row scanner) (a app.App, err error) {
	var (
		mode, redirects, digest string
		dpop                    int
		created                 int64
		revoked                 sql.NullInt64
	)
	if err := row.Scan(&a.ID, &a.Project, &mode, &a.Name, &redirects, &digest, &dpop, &created, &a.CreatedBy, &revoked); err != nil {
		return a, err
	}
	a.Mode, _ = access.ParseMode(mode)
	a.DPoP, a.CreatedAt, a.RevokedAt = dpop == 1, fromMicros(created), fromOptional(revoked)
	if a.Redirects, err = readList(redirects); err != nil {
		return a, err
	}
	return a, unhex(digest, &a.Digest)
}

// RevokeApp implements app.Store.
func (p Apps) RevokeApp(ctx context.Context, project, id string, at time.Time, entry audit.Entry) error {
	err := p.s.transact(ctx, func(tx *sql.Tx) error {
		var revoked sql.NullInt64
		err := tx.QueryRowContext(ctx, `SELECT revoked_at FROM apps WHERE project_id = $1 AND id = $2`, project, id).Scan(&revoked)
		if errors.Is(err, sql.ErrNoRows) {
			return app.ErrNone
		}
		if err != nil || revoked.Valid {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE apps SET revoked_at = $1 WHERE project_id = $2 AND id = $3`, at.UnixMicro(), project, id); err != nil {
			return err
		}
		return insertAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("store: revoke an app: %w", p.s.fault(err))
	}
	return nil
}

// InsertCode implements app.Flow.
func (p Apps) InsertCode(ctx context.Context, c app.Code) error {
	result, err := p.s.write.ExecContext(ctx, `INSERT INTO app_codes (`+codeColumns+`) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
		WHERE EXISTS (SELECT 1 FROM apps WHERE id = $2 AND project_id = $3 AND revoked_at IS NULL)`,
		hexOf(c.Digest), c.App, c.Project, c.Grant, c.Challenge, c.Redirect, c.Resource, c.Thumbprint, c.ExpiresAt.UnixMicro(), optional(c.UsedAt))
	if err != nil {
		return fmt.Errorf("store: insert a code: %w", p.s.fault(err))
	}
	stored, err := result.RowsAffected()
	if err == nil && stored == 0 {
		err = app.ErrNone
	}
	return err
}

// Code implements app.Flow.
func (p Apps) Code(ctx context.Context, digest access.Digest) (app.Code, error) {
	return found(p.s.read.QueryRowContext(ctx, `SELECT `+codeColumns+` FROM app_codes WHERE digest = $1`, hexOf(digest)), scanCode)
}

func scanCode(row scanner) (c app.Code, err error) {
	var (
		digest  string
		expires int64
		used    sql.NullInt64
	)
	if err := row.Scan(&digest, &c.App, &c.Project, &c.Grant, &c.Challenge, &c.Redirect, &c.Resource, &c.Thumbprint, &expires, &used); err != nil {
		return c, err
	}
	c.ExpiresAt, c.UsedAt = fromMicros(expires), fromOptional(used)
	return c, unhex(digest, &c.Digest)
}

// Unused implements app.Store.
func (p Apps) Unused(ctx context.Context, before time.Time) ([]app.Code, error) {
	return list(ctx, p.s.read, scanCode, `SELECT `+codeColumns+` FROM app_codes WHERE expires_at < $1 AND used_at IS NULL ORDER BY expires_at, digest LIMIT 1000`, before.UnixMicro())
}

// Refresh implements app.Flow.
func (p Apps) Refresh(ctx context.Context, digest access.Digest) (app.Refresh, error) {
	return found(p.s.read.QueryRowContext(ctx, `SELECT `+refreshColumns+` FROM app_refresh WHERE digest = $1`, hexOf(digest)), scanRefresh)
}

func scanRefresh(row scanner) (r app.Refresh, err error) {
	var (
		digest   string
		expires  int64
		replaced sql.NullInt64
	)
	if err := row.Scan(&digest, &r.App, &r.Project, &r.Grant, &r.Number, &r.Resource, &r.Thumbprint, &expires, &replaced); err != nil {
		return r, err
	}
	r.ExpiresAt, r.ReplacedAt = fromMicros(expires), fromOptional(replaced)
	return r, unhex(digest, &r.Digest)
}

// Advance implements app.Flow.
func (p Apps) Advance(ctx context.Context, used access.Digest, at time.Time, next app.Refresh) (first bool, err error) {
	use := `UPDATE app_refresh SET replaced_at = $1 WHERE digest = $2 AND grant_id = $3 AND replaced_at IS NULL`
	if next.Number == 1 {
		use = `UPDATE app_codes SET used_at = $1 WHERE digest = $2 AND grant_id = $3 AND used_at IS NULL`
	}
	err = p.s.transact(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, use, at.UnixMicro(), hexOf(used), next.Grant)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if first = n == 1; err != nil || !first {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO app_refresh (`+refreshColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			hexOf(next.Digest), next.App, next.Project, next.Grant, next.Number, next.Resource, next.Thumbprint, next.ExpiresAt.UnixMicro(), optional(next.ReplacedAt))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM app_refresh WHERE grant_id = $1 AND number <= $2`, next.Grant, next.Number-app.MaxFamily)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store: use up what an app has shown: %w", p.s.fault(err))
	}
	return first, nil
}

// EndFamily implements app.Flow.
func (p Apps) EndFamily(ctx context.Context, grant string) error {
	if _, err := p.s.write.ExecContext(ctx, `DELETE FROM app_refresh WHERE grant_id = $1`, grant); err != nil {
		return fmt.Errorf("store: end refresh tokens: %w", p.s.fault(err))
	}
	return nil
}

// Forget implements app.Flow.
func (p Apps) Forget(ctx context.Context, before time.Time, codes []access.Digest) error {
	err := p.s.transact(ctx, func(tx *sql.Tx) error {
		for _, old := range [...]string{`DELETE FROM app_codes WHERE used_at IS NOT NULL AND expires_at < $1`, `DELETE FROM app_refresh WHERE expires_at < $1`} {
			if _, err := tx.ExecContext(ctx, old, before.UnixMicro()); err != nil {
				return err
			}
		}
		for _, digest := range codes {
			if _, err := tx.ExecContext(ctx, `DELETE FROM app_codes WHERE digest = $1`, hexOf(digest)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: forget codes and refresh tokens: %w", p.s.fault(err))
	}
	return nil
}
