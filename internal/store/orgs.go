package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/org"
)

// Establish implements org.Store.
func (s *Store) Establish(ctx context.Context, first org.Organization, project org.Project) (o org.Organization, p org.Project, created bool, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		o, p, created = first, project, false
		err := oldestOrganization(ctx, tx, &o)
		if errors.Is(err, sql.ErrNoRows) {
			created = true
			err = insertOrganization(ctx, tx, first)
		}
		if err != nil {
			return err
		}
		there, err := projects(ctx, tx, `WHERE p.organization_id = $1`, o.ID)
		if err != nil {
			return err
		}
		if len(there) > 0 {
			p = there[0]
			return nil
		}
		created = true
		p.Organization = o.ID
		return insertProject(ctx, tx, p)
	})
	if err != nil {
		return org.Organization{}, org.Project{}, false, fmt.Errorf("store: establish: %w", s.fault(err))
	}
	return o, p, created, nil
}

// InsertProject implements org.Store.
func (s *Store) InsertProject(ctx context.Context, project org.Project) error {
	err := s.transact(ctx, func(tx *sql.Tx) error { return insertProject(ctx, tx, project) })
	if err != nil {
		return fmt.Errorf("store: insert a project: %w", s.fault(err))
	}
	return nil
}

// Projects implements keyring.Store.
func (s *Store) Projects(ctx context.Context) ([]access.Project, error) {
	all, err := projects(ctx, s.read, "")
	if err != nil {
		return nil, fmt.Errorf("store: read projects: %w", err)
	}
	list := make([]access.Project, len(all))
	for i := range all {
		list[i] = all[i].Project
	}
	return list, nil
}

// ChangePolicy implements keyring.Store.
func (s *Store) ChangePolicy(ctx context.Context, project string, change func(*keyring.PolicyRecord) (*audit.Entry, error)) (rec keyring.PolicyRecord, err error) {
	for range changeAttempts {
		var stored bool
		err = s.transact(ctx, func(tx *sql.Tx) (err error) {
			rec, stored, err = changePolicy(ctx, tx, project, change)
			return err
		})
		if err != nil {
			return keyring.PolicyRecord{}, fmt.Errorf("store: change a policy: %w", s.fault(err))
		}
		if stored {
			return rec, nil
		}
	}
	return keyring.PolicyRecord{}, fmt.Errorf("store: the policy of %s was changed by others %d times in a row", project, changeAttempts)
}

// changePolicy changes a policy, unless it is another by then than the one that was changed.
func changePolicy(ctx context.Context, tx *sql.Tx, project string, change func(*keyring.PolicyRecord) (*audit.Entry, error)) (rec keyring.PolicyRecord, stored bool, err error) {
	var policy string
	err = tx.QueryRowContext(ctx, `SELECT policy, revision FROM projects WHERE id = $1`, project).Scan(&policy, &rec.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		return rec, false, keyring.ErrNoProject
	}
	if err != nil {
		return rec, false, err
	}
	if rec.Policy, err = keyring.ReadPolicy(policy); err != nil {
		return rec, false, err
	}
	entry, err := change(&rec)
	if err != nil || entry == nil {
		return rec, err == nil, err
	}
	result, err := tx.ExecContext(ctx, `UPDATE projects SET policy = $1, revision = revision + 1 WHERE id = $2 AND revision = $3`,
		keyring.WritePolicy(&rec.Policy), project, rec.Revision)
	if err != nil {
		return rec, false, err
	}
	changed, err := result.RowsAffected()
	if err != nil || changed != 1 {
		return rec, false, err
	}
	rec.Revision++
	return rec, true, insertAudit(ctx, tx, *entry)
}

func oldestOrganization(ctx context.Context, tx *sql.Tx, o *org.Organization) error {
	var created int64
	row := tx.QueryRowContext(ctx, `SELECT id, name, created_at FROM organizations ORDER BY created_at, id LIMIT 1`)
	if err := row.Scan(&o.ID, &o.Name, &created); err != nil {
		return err
	}
	o.CreatedAt = fromMicros(created)
	return nil
}

func insertOrganization(ctx context.Context, tx *sql.Tx, o org.Organization) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)`,
		o.ID, o.Name, o.CreatedAt.UnixMicro())
	return err
}

func insertProject(ctx context.Context, tx *sql.Tx, p org.Project) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO projects (id, organization_id, name, created_at) VALUES ($1, $2, $3, $4)`,
		p.ID, p.Organization, p.Name, p.CreatedAt.UnixMicro())
	if err != nil {
		return err
	}
	for place, env := range p.Environments {
		_, err := tx.ExecContext(ctx, `INSERT INTO environments (project_id, place, name, mode) VALUES ($1, $2, $3, $4)`,
			p.ID, place, env.Name, env.Mode.String())
		if err != nil {
			return err
		}
	}
	return nil
}

// projects reads projects with their environments, the oldest first.
func projects(ctx context.Context, from querier, where string, args ...any) ([]org.Project, error) {
	if where == "" {
		where = "WHERE p.deleted_at IS NULL"
	} else {
		where += " AND p.deleted_at IS NULL"
	}
	rows, err := from.QueryContext(ctx, `SELECT p.id, p.organization_id, p.name, p.created_at, p.policy, e.name, e.mode
		FROM projects p LEFT JOIN environments e ON e.project_id = p.id `+where+` ORDER BY p.created_at, p.id, e.place`, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is that of Err
	var list []org.Project
	for rows.Next() {
		var (
			p         org.Project
			created   int64
			policy    string
			env, mode sql.NullString
		)
		if err := rows.Scan(&p.ID, &p.Organization, &p.Name, &created, &policy, &env, &mode); err != nil {
			return nil, err
		}
		if p.Policy, err = keyring.ReadPolicy(policy); err != nil {
			return nil, fmt.Errorf("policy of project %s: %w", p.ID, err)
		}
		p.CreatedAt = fromMicros(created)
		if len(list) == 0 || list[len(list)-1].ID != p.ID {
			list = append(list, p)
		}
		if last := &list[len(list)-1]; env.Valid {
			parsed, _ := access.ParseMode(mode.String)
			last.Environments = append(last.Environments, access.Environment{Name: env.String, Mode: parsed})
		}
	}
	return list, rows.Err()
}
