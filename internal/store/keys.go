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
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
)

const keyColumns = `id, project_id, kind, mode, label, steward, scopes, environments, hint, public_text, digest,
	created_at, updated_at, expires_at, revoked_at, created_by, revision, settings, state, generation, minted_at, former, signing, exposed, exposed_at,
	parent, epoch, app, member`

// InsertKey implements keyring.Store.
func (s *Store) InsertKey(ctx context.Context, key keyring.Record, entry audit.Entry) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		if err := memberExists(ctx, tx, key.Member.ID); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO keys (`+keyColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)
			ON CONFLICT (id) DO NOTHING`,
			key.ID, key.Project, storedKind(key.Kind), key.Mode.String(), key.Label, key.Steward,
			writeList(key.Scopes.Names()), writeList(key.Environments), key.Hint, key.Public, hex.EncodeToString(key.Digest[:]),
			key.CreatedAt.UnixMicro(), key.UpdatedAt.UnixMicro(), optional(key.ExpiresAt), optional(key.RevokedAt), key.CreatedBy,
			writeSettings(key.Bounds), key.State.String(), key.Generation, key.MintedAt.UnixMicro(), writeFormer(key.Former), writeSigning(key.Signing),
			string(key.Exposed), optional(key.ExposedAt), key.Parent, key.Epoch, key.App, writeMembership(key.Member))
		if err != nil {
			return err
		}
		stored, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if stored == 0 {
			return keyring.ErrTaken
		}
		return insertAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("store: insert a key: %w", s.fault(err))
	}
	return nil
}

// EachKey implements keyring.Store.
func (s *Store) EachKey(ctx context.Context, visit func(keyring.Record) error) error {
	rows, err := s.read.QueryContext(ctx, `SELECT `+keyColumns+` FROM keys
		WHERE project_id NOT IN (SELECT id FROM projects WHERE deleted_at IS NOT NULL)`)
	if err != nil {
		return fmt.Errorf("store: read keys: %w", err)
	}
	return eachKey(rows, visit)
}

// readTexts remembers what texts of rows stand for: most keys of a million have the same few settings. The zero
// readTexts remembers nothing.
type readTexts struct {
	bounds map[string]access.Bounds
	scopes map[string]access.Scopes
}

// mostTexts bounds what is remembered.
const mostTexts = 1000

func remember[V any](known map[string]V, text string, read func(string) (V, error)) (V, error) {
	if value, ok := known[text]; ok {
		return value, nil
	}
	value, err := read(text)
	if err == nil && known != nil && len(known) < mostTexts {
		known[text] = value
	}
	return value, err
}

// flag is a boolean as it is stored and compared.
func flag(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// Keys implements keyring.Store.
func (s *Store) Keys(ctx context.Context, q keyring.Query) ([]keyring.Record, error) {
	where := conditions{
		text: `project_id = $1 AND (created_at, id) > ($2, $3) AND (mode = 'test' OR $4 = 1)`,
		args: []any{q.Project, q.After.CreatedAt.UnixMicro(), q.After.ID, flag(q.Live)},
	}
	where.and("id", q.ID)
	where.and("steward", q.Steward)
	where.and("app", q.App)
	if q.Grants {
		where.text += ` AND app <> ''`
	}
	if q.Standing {
		where.text += ` AND revoked_at IS NULL`
	}
	where.args = append(where.args, q.Limit)
	rows, err := s.read.QueryContext(ctx, fmt.Sprintf(`SELECT `+keyColumns+` FROM keys
		WHERE %s ORDER BY created_at, id LIMIT $%d`, where.text, len(where.args)), where.args...)
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

// querier is a database, or a transaction in it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func findKey(ctx context.Context, from querier, project, id string) (keyring.Record, error) {
	row := from.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM keys WHERE project_id = $1 AND id = $2`, project, id)
	key, err := scanKey(row, readTexts{})
	if errors.Is(err, sql.ErrNoRows) {
		return keyring.Record{}, keyring.ErrNoKey
	}
	if err != nil {
		return keyring.Record{}, fmt.Errorf("store: read a key: %w", err)
	}
	return key, nil
}

// changeAttempts is how often a change is tried anew because another program changed the key in between.
const changeAttempts = 16

// ChangeKey implements keyring.Store. change must not call the store.
func (s *Store) ChangeKey(ctx context.Context, project, id string, change func(*keyring.Record) (*audit.Entry, error)) (key keyring.Record, err error) {
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
func changeKey(ctx context.Context, tx *sql.Tx, project, id string, change func(*keyring.Record) (*audit.Entry, error)) (key keyring.Record, stored bool, err error) {
	key, err = findKey(ctx, tx, project, id)
	if err != nil {
		return key, false, err
	}
	entry, err := change(&key)
	if err != nil || entry == nil {
		return key, err == nil, err
	}
	result, err := tx.ExecContext(ctx, `UPDATE keys SET label = $1, steward = $2, scopes = $3, environments = $4,
		updated_at = $5, expires_at = $6, revoked_at = $7, settings = $8, state = $9, generation = $10, minted_at = $11, former = $12, signing = $13,
		exposed = $14, exposed_at = $15, hint = $16, public_text = $17, digest = $18, epoch = $19, member = $20, revision = revision + 1
		WHERE project_id = $21 AND id = $22 AND revision = $23`,
		key.Label, key.Steward, writeList(key.Scopes.Names()), writeList(key.Environments),
		key.UpdatedAt.UnixMicro(), optional(key.ExpiresAt), optional(key.RevokedAt), writeSettings(key.Bounds), key.State.String(), key.Generation,
		key.MintedAt.UnixMicro(), writeFormer(key.Former), writeSigning(key.Signing), string(key.Exposed), optional(key.ExposedAt), key.Hint, key.Public,
		hex.EncodeToString(key.Digest[:]), key.Epoch, writeMembership(key.Member), project, id, key.Revision)
	if err != nil {
		return key, false, err
	}
	changed, err := result.RowsAffected()
	if err != nil || changed != 1 {
		return key, false, err
	}
	key.Revision++
	return key, true, insertAudit(ctx, tx, *entry)
}

func eachKey(rows *sql.Rows, visit func(keyring.Record) error) error {
	defer func() { _ = rows.Close() }() // its error is that of Err
	known := readTexts{bounds: map[string]access.Bounds{}, scopes: map[string]access.Scopes{}}
	for rows.Next() {
		key, err := scanKey(rows, known)
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

func scanKey(row scanner, texts readTexts) (key keyring.Record, err error) {
	var (
		kind, mode, scopes, environments, digest  string
		settings, state, former, signing, exposed string
		member                                    string
		created, updated, minted                  int64
		expires, revoked, exposedAt               sql.NullInt64
	)
	err = row.Scan(&key.ID, &key.Project, &kind, &mode, &key.Label, &key.Steward, &scopes, &environments, &key.Hint, &key.Public,
		&digest, &created, &updated, &expires, &revoked, &key.CreatedBy, &key.Revision, &settings, &state, &key.Generation, &minted, &former, &signing,
		&exposed, &exposedAt, &key.Parent, &key.Epoch, &key.App, &member)
	if err != nil {
		return key, err
	}
	key.CreatedAt, key.UpdatedAt, key.MintedAt = fromMicros(created), fromMicros(updated), fromMicros(minted)
	key.RevokedAt, key.Exposed, key.ExposedAt = fromOptional(revoked), gate.Exposure(exposed), fromOptional(exposedAt)
	switch kind {
	case access.Public.String():
		key.Kind = access.Public
	case access.Secret.String():
		key.Kind = access.Secret
	case access.Client.String():
		key.Kind = access.Client
	}
	if member != "" {
		if key.Member, err = readMembership(member); err != nil {
			return key, fmt.Errorf("key %s: whose it is: %w", key.ID, err)
		}
		key.Kind = access.Member
	}
	key.Mode, _ = access.ParseMode(mode)
	var known bool
	if key.State, known = access.ParseState(state); !known {
		key.State = access.Disabled
	}
	if key.Scopes, err = remember(texts.scopes, scopes, readScopes); err != nil {
		return key, fmt.Errorf("key %s: scopes: %w", key.ID, err)
	}
	if n, err := hex.Decode(key.Digest[:], []byte(digest)); err != nil || n != len(key.Digest) {
		return key, fmt.Errorf("key %s: its digest is not one", key.ID)
	}
	if err := readJSON(former, &key.Former); err != nil {
		return key, fmt.Errorf("key %s: former secrets: %w", key.ID, err)
	}
	if err := readJSON(signing, &key.Signing); err != nil {
		return key, fmt.Errorf("key %s: signing: %w", key.ID, err)
	}
	if settings != "" {
		key.Bounds, err = remember(texts.bounds, settings, keyring.ReadSettings)
	} else {
		key.Limits = access.DefaultLimits(key.Kind)
		key.Environments, err = readList(environments)
	}
	if err != nil {
		return key, fmt.Errorf("key %s: settings: %w", key.ID, err)
	}
	key.ExpiresAt = fromOptional(expires)
	return key, nil
}

func readScopes(text string) (access.Scopes, error) {
	names, err := readList(text)
	return access.ScopesOf(names), err
}

// writeSettings writes bounds but for their end, which has a column of its own.
func writeSettings(b access.Bounds) string {
	b.ExpiresAt = time.Time{}
	return keyring.WriteSettings(&b)
}

// writeJSON writes a value that always marshals; an empty one is the empty text.
func writeJSON[T any](v T, empty bool) string {
	if empty {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func writeFormer(list []keyring.Former) string { return writeJSON(list, len(list) == 0) }

func writeSigning(s keyring.Signing) string {
	return writeJSON(s, s.Sealed == "" && s.Hint == "" && len(s.PublicKeys) == 0)
}

// readJSON reads what writeJSON wrote; an empty text leaves the value as it is.
func readJSON(text string, into any) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
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
