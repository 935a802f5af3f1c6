package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
)

// Report is the state of a database.
type Report struct {
	Faults  []string // what is wrong with the file; empty when it is sound
	Version int64    // of the database
	Known   int64    // the newest version this program knows; a lower Version is brought up at the next start

	Organizations int64
	Projects      int64
	Keys          int64
	RevokedKeys   int64 // of Keys
	Denials       int64
}

// maxFaults bounds a report.
const maxFaults = 100

// Check looks through the SQLite database in the file at path without changing what is in it. The error means that it
// could not be read at all.
func Check(ctx context.Context, file string) (Report, error) {
	if _, err := os.Stat(file); err != nil {
		return Report{}, fmt.Errorf("store: %w", err)
	}
	connector, err := sqliteConnector(file, url.Values{"_query_only": {"1"}})
	if err != nil {
		return Report{}, err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }() // nothing was written
	var r Report
	if err := r.read(ctx, db); err != nil {
		return Report{}, fmt.Errorf("store: check: %w", err)
	}
	return r, nil
}

func (r *Report) read(ctx context.Context, db *sql.DB) error {
	steps, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	last := path.Base(steps[len(steps)-1]) // they are in the order of their numbers
	if _, err := fmt.Sscanf(last, "%d_", &r.Known); err != nil {
		return err
	}
	if err := r.integrity(ctx, db); err != nil {
		return err
	}
	if err := r.references(ctx, db); err != nil {
		return err
	}
	for _, count := range [...]struct {
		into  *int64
		query string
	}{
		{&r.Version, `SELECT MAX(version_id) FROM ` + versionTable + ` WHERE is_applied = 1`},
		{&r.Organizations, `SELECT COUNT(*) FROM organizations`},
		{&r.Projects, `SELECT COUNT(*) FROM projects`},
		{&r.Keys, `SELECT COUNT(*) FROM keys`},
		{&r.RevokedKeys, `SELECT COUNT(*) FROM keys WHERE revoked_at IS NOT NULL`},
		{&r.Denials, `SELECT COUNT(*) FROM denials`},
	} {
		if err := db.QueryRowContext(ctx, count.query).Scan(count.into); err != nil {
			return err
		}
	}
	if r.Version > r.Known {
		r.Faults = append(r.Faults, fmt.Sprintf("the database is of version %d, from a newer program: this one knows up to %d", r.Version, r.Known))
	}
	return nil
}

func (r *Report) integrity(ctx context.Context, db *sql.DB) error {
	found, err := list(ctx, db, func(row scanner) (text string, err error) {
		err = row.Scan(&text)
		return text, err
	}, fmt.Sprintf(`PRAGMA integrity_check(%d)`, maxFaults))
	if err != nil {
		return err
	}
	for _, text := range found {
		if text != "ok" {
			r.Faults = append(r.Faults, text)
		}
	}
	return nil
}

func (r *Report) references(ctx context.Context, db *sql.DB) error {
	found, err := list(ctx, db, func(row scanner) (text string, err error) {
		var (
			table, parent string
			id            sql.NullInt64
			constraint    int64
		)
		err = row.Scan(&table, &id, &parent, &constraint)
		return fmt.Sprintf("row %d of %s refers to something in %s that is not there", id.Int64, table, parent), err
	}, `SELECT * FROM pragma_foreign_key_check LIMIT `+fmt.Sprint(maxFaults))
	if err != nil {
		return err
	}
	r.Faults = append(r.Faults, found...)
	return nil
}
