package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// OpenSQLite opens the SQLite database in the file at path, makes it if there is none, and brings it up to date. Only
// the file's owner may read it. What a call has stored survives the loss of power.
func OpenSQLite(ctx context.Context, path string) (*Store, error) {
	if err := makePrivate(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	write, read, err := sqliteConnectors(path)
	if err != nil {
		return nil, err
	}
	return open(ctx, sqliteDialect(), write, read)
}

func sqliteDialect() dialect {
	return dialect{
		migrations: goose.DialectSQLite3,
		compact:    []string{"VACUUM"},
		settle:     "PRAGMA wal_checkpoint(TRUNCATE)",
		full: func(err error) bool {
			var e *sqlite.Error
			return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_FULL
		},
	}
}

// makePrivate makes the file if need be, and takes it away from everybody else. The engine gives the files that it puts
// beside it the same mode.
func makePrivate(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Chmod(0o600), file.Close()); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// sqliteConnectors are the ways to the one connection that writes and to those that read.
func sqliteConnectors(path string) (write, read driver.Connector, err error) {
	write, err = sqliteConnector(path, url.Values{
		"_txlock":       {"immediate"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_foreign_keys": {"1"},
		"_pragma":       {"journal_size_limit(67108864)"},
	})
	if err != nil {
		return nil, nil, err
	}
	read, err = sqliteConnector(path, url.Values{"_query_only": {"1"}})
	return write, read, err
}

func sqliteConnector(path string, options url.Values) (driver.Connector, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	options.Set("mode", "rw") // and do not make the file
	options.Set("_busy_timeout", "5000")
	options.Set("_dqs", "0")
	options.Set("_defensive", "1")
	name := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(whole), RawQuery: options.Encode()}
	c, err := sqlite.NewConnector(name.String())
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return c, nil
}
