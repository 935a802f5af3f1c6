package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/org"
)

// ProjectsOf implements org.Projects.
func (s *Store) ProjectsOf(ctx context.Context, organization string) ([]org.Project, error) {
	all, err := projects(ctx, s.read, `WHERE p.organization_id = $1`, organization)
	if err != nil {
		return nil, fmt.Errorf("store: read projects: %w", err)
	}
	return all, nil
}

// CreateProject implements org.Projects.
func (s *Store) CreateProject(ctx context.Context, p org.Project, entry audit.Entry) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		return errors.Join(insertProject(ctx, tx, p), insertAudit(ctx, tx, entry))
	})
	if err != nil {
		return fmt.Errorf("store: create a project: %w", s.fault(err))
	}
	return nil
}

// ChangeProject implements org.Projects.
func (s *Store) ChangeProject(ctx context.Context, id string, change func(*org.Whole, int) (*audit.Entry, error)) (w org.Whole, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) (err error) {
		w, err = changeProject(ctx, tx, id, change)
		return err
	})
	if err != nil {
		return org.Whole{}, fmt.Errorf("store: change a project: %w", s.fault(err))
	}
	return w, nil
}

func changeProject(ctx context.Context, tx *sql.Tx, id string, change func(*org.Whole, int) (*audit.Entry, error)) (w org.Whole, err error) {
	found, err := projects(ctx, tx, `WHERE p.id = $1`, id)
	if err != nil {
		return w, err
	}
	if len(found) == 0 {
		return w, org.ErrNoProject
	}
	w.Project = found[0]
	if err := readProjectSettings(ctx, tx, &w); err != nil {
		return w, err
	}
	var others int
	row := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM projects WHERE organization_id = $1 AND deleted_at IS NULL AND id <> $2`, w.Organization, id)
	if err := row.Scan(&others); err != nil {
		return w, err
	}
	before := w.Environments
	entry, err := change(&w, others)
	if err != nil || entry == nil {
		return w, err
	}
	w.Revision++
	if _, err := tx.ExecContext(ctx, `UPDATE projects SET name = $1, deleted_at = $2 WHERE id = $3`, w.Name, optional(w.Deleted), id); err != nil {
		return w, err
	}
	if err := changeEnvironments(ctx, tx, id, before, w.Environments); err != nil {
		return w, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO project_settings (project_id, settings, revision) VALUES ($1, $2, $3)
		ON CONFLICT (project_id) DO UPDATE SET settings = excluded.settings, revision = excluded.revision`, id, writeJSON(w.Settings, false), w.Revision)
	if err != nil {
		return w, err
	}
	return w, insertAudit(ctx, tx, *entry)
}

func readProjectSettings(ctx context.Context, tx *sql.Tx, w *org.Whole) error {
	var text string
	err := tx.QueryRowContext(ctx, `SELECT settings, revision FROM project_settings WHERE project_id = $1`, w.ID).Scan(&text, &w.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		w.Settings.Config = org.NewConfig()
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), &w.Settings)
}

// changeEnvironments takes away those that are no more, and puts new ones behind those that stay.
func changeEnvironments(ctx context.Context, tx *sql.Tx, project string, before, after []access.Environment) error {
	there := map[string]bool{}
	for _, env := range after {
		there[env.Name] = true
	}
	had := map[string]bool{}
	for _, env := range before {
		had[env.Name] = true
		if there[env.Name] {
			continue
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM environments WHERE project_id = $1 AND name = $2`, project, env.Name); err != nil {
			return err
		}
	}
	for _, env := range after {
		if had[env.Name] {
			continue
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO environments (project_id, place, name, mode)
			SELECT $1, COALESCE(MAX(place), -1) + 1, $2, $3 FROM environments WHERE project_id = $1`, project, env.Name, env.Mode.String())
		if err != nil {
			return err
		}
	}
	return nil
}

// ChangeOrganization implements org.Projects.
func (s *Store) ChangeOrganization(ctx context.Context, id string, change func(*org.Organization) (*audit.Entry, error)) (o org.Organization, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		var created int64
		o = org.Organization{ID: id}
		row := tx.QueryRowContext(ctx, `SELECT name, created_at FROM organizations WHERE id = $1`, id)
		if err := row.Scan(&o.Name, &created); err != nil {
			return err
		}
		o.CreatedAt = fromMicros(created)
		entry, err := change(&o)
		if err != nil || entry == nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE organizations SET name = $1, revision = revision + 1 WHERE id = $2`, o.Name, id); err != nil {
			return err
		}
		return insertAudit(ctx, tx, *entry)
	})
	if err != nil {
		return org.Organization{}, fmt.Errorf("store: change an organization: %w", s.fault(err))
	}
	return o, nil
}
