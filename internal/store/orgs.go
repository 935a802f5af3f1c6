package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/weir-analytics/weir/internal/access"
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
	rows, err := from.QueryContext(ctx, `SELECT p.id, p.organization_id, p.name, p.created_at, e.name, e.mode
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
			env, mode sql.NullString
		)
		if err := rows.Scan(&p.ID, &p.Organization, &p.Name, &created, &env, &mode); err != nil {
			return nil, err
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
