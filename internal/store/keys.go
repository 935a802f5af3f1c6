package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
)

const keyColumns = `id, project_id, kind, mode, label, steward, scopes, environments, hint, public_text, digest,
	created_at, updated_at, expires_at, revoked_at, created_by, revision`

// InsertKey implements keyring.Store.
func (s *Store) InsertKey(ctx context.Context, key keyring.Record) error {
	result, err := s.write.ExecContext(ctx, `INSERT INTO keys (`+keyColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1)
		ON CONFLICT (id) DO NOTHING`,
		key.ID, key.Project, key.Kind.String(), key.Mode.String(), key.Label, key.Steward,
		writeList(key.Scopes.Names()), writeList(key.Environments), key.Hint, key.Public, hex.EncodeToString(key.Digest[:]),
		key.CreatedAt.UnixMicro(), key.UpdatedAt.UnixMicro(), optional(key.ExpiresAt), optional(key.RevokedAt), key.CreatedBy)
	if err != nil {
		return fmt.Errorf("store: insert a key: %w", s.fault(err))
	}
	stored, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("store: insert a key: %w", err)
	}
	if stored == 0 {
		return keyring.ErrTaken
	}
	return nil
}

// EachKey implements keyring.Store.
func (s *Store) EachKey(ctx context.Context, visit func(keyring.Record) error) error {
	rows, err := s.read.QueryContext(ctx, `SELECT `+keyColumns+` FROM keys`)
	if err != nil {
		return fmt.Errorf("store: read keys: %w", err)
	}
	return eachKey(rows, visit)
}

// flag is a boolean as it is stored and compared.
func flag(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// Keys implements keyring.Store.
func (s *Store) Keys(ctx context.Context, project string, live bool, after keyring.Place, limit int) ([]keyring.Record, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+keyColumns+` FROM keys
		WHERE project_id = $1 AND (created_at, id) > ($2, $3) AND (mode = 'test' OR $4 = 1) ORDER BY created_at, id LIMIT $5`,
		project, after.CreatedAt.UnixMicro(), after.ID, flag(live), limit)
	if err != nil {
		return nil, fmt.Errorf("store: list keys: %w", err)
	}
	var list []keyring.Record
	err = eachKey(rows, func(key keyring.Record) error {
		list = append(list, key)
		return nil
	})
	return list, err
}

// Key implements keyring.Store.
func (s *Store) Key(ctx context.Context, project, id string) (keyring.Record, error) {
	key, _, err := findKey(ctx, s.read, project, id)
	return key, err
}

// querier is a database, or a transaction in it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func findKey(ctx context.Context, from querier, project, id string) (key keyring.Record, revision int64, err error) {
	row := from.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM keys WHERE project_id = $1 AND id = $2`, project, id)
	key, revision, err = scanKey(row)
	if errors.Is(err, sql.ErrNoRows) {
		return keyring.Record{}, 0, keyring.ErrNoKey
	}
	if err != nil {
		return keyring.Record{}, 0, fmt.Errorf("store: read a key: %w", err)
	}
	return key, revision, nil
}

// changeAttempts is how often a change is tried anew because another program changed the key in between.
const changeAttempts = 16

// ChangeKey implements keyring.Store. What change may change is what a keyring.Change does, and the revocation. It must
// not call the store.
func (s *Store) ChangeKey(ctx context.Context, project, id string, change func(*keyring.Record) error) (key keyring.Record, err error) {
	for range changeAttempts {
		var stored bool
		err = s.transact(ctx, func(tx *sql.Tx) (err error) {
			key, stored, err = changeKey(ctx, tx, project, id, change)
			return err
		})
		if err != nil {
			return keyring.Record{}, fmt.Errorf("store: change a key: %w", s.fault(err))
		}
		if stored {
			return key, nil
		}
	}
	return keyring.Record{}, fmt.Errorf("store: key %s was changed by others %d times in a row", id, changeAttempts)
}

// changeKey changes a key, unless it is another by then than the one that was changed.
func changeKey(ctx context.Context, tx *sql.Tx, project, id string, change func(*keyring.Record) error) (key keyring.Record, stored bool, err error) {
	key, revision, err := findKey(ctx, tx, project, id)
	if err != nil {
		return key, false, err
	}
	if err := change(&key); err != nil {
		return key, false, err
	}
	result, err := tx.ExecContext(ctx, `UPDATE keys SET label = $1, steward = $2, scopes = $3, environments = $4,
		updated_at = $5, expires_at = $6, revoked_at = $7, revision = revision + 1
		WHERE project_id = $8 AND id = $9 AND revision = $10`,
		key.Label, key.Steward, writeList(key.Scopes.Names()), writeList(key.Environments),
		key.UpdatedAt.UnixMicro(), optional(key.ExpiresAt), optional(key.RevokedAt), project, id, revision)
	if err != nil {
		return key, false, err
	}
	changed, err := result.RowsAffected()
	return key, changed == 1, err
}

func eachKey(rows *sql.Rows, visit func(keyring.Record) error) error {
	defer func() { _ = rows.Close() }() // its error is that of Err
	for rows.Next() {
		key, _, err := scanKey(rows)
		if err != nil {
			return fmt.Errorf("store: read a key: %w", err)
		}
		if err := visit(key); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("store: read keys: %w", err)
	}
	return nil
}

type scanner interface{ Scan(into ...any) error }

func scanKey(row scanner) (key keyring.Record, revision int64, err error) {
	var (
		kind, mode, scopes, environments, digest string
		created, updated                         int64
		expires, revoked                         sql.NullInt64
	)
	err = row.Scan(&key.ID, &key.Project, &kind, &mode, &key.Label, &key.Steward, &scopes, &environments, &key.Hint, &key.Public,
		&digest, &created, &updated, &expires, &revoked, &key.CreatedBy, &revision)
	if err != nil {
		return key, 0, err
	}
	key.CreatedAt, key.UpdatedAt = fromMicros(created), fromMicros(updated)
	key.ExpiresAt, key.RevokedAt = fromOptional(expires), fromOptional(revoked)
	switch kind {
	case access.Public.String():
		key.Kind = access.Public
	case access.Secret.String():
		key.Kind = access.Secret
	}
	key.Mode, _ = access.ParseMode(mode)
	names, err := readList(scopes)
	if err != nil {
		return key, 0, fmt.Errorf("key %s: scopes: %w", key.ID, err)
	}
	key.Scopes = access.ScopesOf(names)
	if key.Environments, err = readList(environments); err != nil {
		return key, 0, fmt.Errorf("key %s: environments: %w", key.ID, err)
	}
	if n, err := hex.Decode(key.Digest[:], []byte(digest)); err != nil || n != len(key.Digest) {
		return key, 0, fmt.Errorf("key %s: its digest is not one", key.ID)
	}
	return key, revision, nil
}

func writeList(list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // a list of texts always marshals
	}
	return string(text)
}

// readList reads a list that writeList wrote; an empty one is nil.
func readList(text string) ([]string, error) {
	if text == "[]" {
		return nil, nil
	}
	var list []string
	err := json.Unmarshal([]byte(text), &list)
	return list, err
}
