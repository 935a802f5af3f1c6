// Package store keeps the control data, that is organizations, projects, environments, keys, apps, what access tokens are
// signed with, metrics, the ledger of decisions, the audit and the history of queries, in a SQL database. It implements
// org.Store, keyring.Store, token.Store, app.Store, app.Flow, saved.Store, ledger.Store, audit.Store, job.Store, dataset.Store, deletion.Control and
// query.RunStore with one text of SQL; what differs between engines is in a dialect value. Of recordings it keeps what is
// known beside their bytes (recording.Store), and of workflows what they are and what is to be sent (workflow.Store, workflow.Outbox).
//
// It does not own what any of the data means or who may read it, and it holds no secret: of a secret key it is given
// nothing but the digest.
//
// Problems: storage_full.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
	"github.com/weir-analytics/weir/internal/token"
)

var (
	_ audit.Store   = (*Store)(nil)
	_ keyring.Store = (*Store)(nil)
	_ ledger.Store  = (*Store)(nil)
	_ org.Store     = (*Store)(nil)
	_ token.Store   = Tokens{}
	_ saved.Store   = (*Store)(nil)
	_ app.Store     = Apps{}
	_ app.Flow      = Apps{}

	_ org.People      = (*Store)(nil)
	_ org.Invitations = (*Store)(nil)
	_ org.Sessions    = (*Store)(nil)
	_ org.Projects    = (*Store)(nil)

	_ query.RunStore = (*Store)(nil)
)

// Store is an open database.
type Store struct {
	dialect dialect
	write   *sql.DB // one connection: writers wait in line here, and not for the engine's lock
	read    *sql.DB // sees what write has committed
}

// dialect is what differs between engines.
type dialect struct {
	migrations goose.Dialect
	full       func(error) bool // the error says that the disk is full

	compact []string // writes the whole database anew, without what was deleted
	settle  string   // moves what was written into the database, and empties the log; tells whether a reader was in the way
}

const readers = 4

// open brings the database up to date and opens it.
func open(ctx context.Context, d dialect, write, read driver.Connector) (*Store, error) {
	s := &Store{dialect: d, write: sql.OpenDB(write), read: sql.OpenDB(read)}
	s.write.SetMaxOpenConns(1)
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: bring the database up to date: %w", s.fault(err)), s.Close())
	}
	return s, nil
}

// Close releases the database. Calls under way end first.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.read.QueryRowContext(ctx, `SELECT 1`).Scan(&one); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is where the database's own version is kept.
const versionTable = "schema_versions"

func (s *Store) migrate(ctx context.Context) error {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(s.dialect.migrations, s.write, steps, goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
	if err != nil {
		return err
	}
	has, knows, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if has > knows {
		return fmt.Errorf("the database is of version %d and this program knows up to %d: it is from a newer program", has, knows)
	}
	_, err = p.Up(ctx)
	return err
}

// transact runs do in a transaction, which is committed if do gives no error.
func (s *Store) transact(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // the first error is the one that says what went wrong
		return err
	}
	return tx.Commit()
}

// fault makes a full disk the problem it is; other errors stay what they are.
func (s *Store) fault(err error) error {
	if err != nil && s.dialect.full(err) {
		return problem.Wrap(err, problem.StorageFull, "The server's disk is full: nothing was stored.")
	}
	return err
}

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

// optional is a time that may be absent, as it is stored.
func optional(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

func fromOptional(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return fromMicros(n.Int64)
}

// moment reads a time, of which NULL is none.
type moment time.Time

// Scan implements sql.Scanner.
func (m *moment) Scan(value any) error {
	var n sql.NullInt64
	if err := n.Scan(value); err != nil {
		return err
	}
	*m = moment(fromOptional(n))
	return nil
}
