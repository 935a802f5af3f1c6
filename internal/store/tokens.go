package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/token"
)

// Tokens is the part of the control data that access tokens are about: what they are signed with, and which are revoked.
type Tokens struct{ s *Store }

// Tokens gives that part.
func (s *Store) Tokens() Tokens { return Tokens{s} }

// SigningKeys implements token.Store.
func (t Tokens) SigningKeys(ctx context.Context) ([]token.SigningKey, error) {
	return list(ctx, t.s.read, func(row scanner) (k token.SigningKey, err error) {
		var created, from int64
		err = row.Scan(&k.Number, &k.ID, &k.Sealed, &created, &from)
		k.CreatedAt, k.From = fromMicros(created), fromMicros(from)
		return k, err
	}, `SELECT number, id, sealed, created_at, from_at FROM token_signing_keys ORDER BY number`)
}

// InsertSigningKey implements token.Store.
func (t Tokens) InsertSigningKey(ctx context.Context, key token.SigningKey) error {
	result, err := t.s.write.ExecContext(ctx, `INSERT INTO token_signing_keys (number, id, sealed, created_at, from_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (number) DO NOTHING`,
		key.Number, key.ID, key.Sealed, key.CreatedAt.UnixMicro(), key.From.UnixMicro())
	if err != nil {
		return fmt.Errorf("store: insert a signing key: %w", t.s.fault(err))
	}
	stored, err := result.RowsAffected()
	if err == nil && stored == 0 {
		err = token.ErrTaken
	}
	return err
}

// ResealSigningKey implements token.Store.
func (t Tokens) ResealSigningKey(ctx context.Context, number int64, from, to string) error {
	if _, err := t.s.write.ExecContext(ctx, `UPDATE token_signing_keys SET sealed = $1 WHERE number = $2 AND sealed = $3`, to, number, from); err != nil {
		return fmt.Errorf("store: reseal a signing key: %w", t.s.fault(err))
	}
	return nil
}

// Revocations implements token.Store.
func (t Tokens) Revocations(ctx context.Context) ([]token.Revocation, error) {
	return list(ctx, t.s.read, func(row scanner) (r token.Revocation, err error) {
		var (
			client  string
			through sql.NullInt64
			expires int64
		)
		if err := row.Scan(&client, &r.ID, &through, &expires); err != nil {
			return r, err
		}
		lookup, ok := access.LookupOf(client)
		if !ok {
			return r, fmt.Errorf("store: revocation of client %q, which is no client's id", client)
		}
		r.Client, r.Through, r.ExpiresAt = lookup, fromOptional(through), fromMicros(expires)
		return r, nil
	}, `SELECT client_id, id, through_at, expires_at FROM token_revocations`)
}

// Revoke implements token.Store.
func (t Tokens) Revoke(ctx context.Context, r token.Revocation) error {
	client := r.Client.ID()
	err := t.s.transact(ctx, func(tx *sql.Tx) error {
		if r.ID == "" {
			if _, err := tx.ExecContext(ctx, `DELETE FROM token_revocations WHERE client_id = $1 AND id <> ''`, client); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO token_revocations (client_id, id, through_at, expires_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (client_id, id) DO UPDATE SET
				through_at = CASE WHEN excluded.through_at > token_revocations.through_at THEN excluded.through_at ELSE token_revocations.through_at END,
				expires_at = CASE WHEN excluded.expires_at > token_revocations.expires_at THEN excluded.expires_at ELSE token_revocations.expires_at END`,
			client, r.ID, optional(r.Through), r.ExpiresAt.UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("store: revoke a token: %w", t.s.fault(err))
	}
	return nil
}

// Trim implements token.Store.
func (t Tokens) Trim(ctx context.Context, expired time.Time, numbers []int64) error {
	err := t.s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM token_revocations WHERE expires_at <= $1`, expired.UnixMicro()); err != nil {
			return err
		}
		for _, n := range numbers {
			if _, err := tx.ExecContext(ctx, `DELETE FROM token_signing_keys WHERE number = $1`, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: trim tokens: %w", t.s.fault(err))
	}
	return nil
}
