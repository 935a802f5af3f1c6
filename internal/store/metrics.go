package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/query/saved"
)

const (
	metricColumns  = `m.project_id, m.id, m.description, m.owner, m.published, m.latest, m.revision, m.created_at, m.created_by, m.updated_at, m.updated_by`
	versionColumns = `v.version, v.cache_minutes, v.created_at, v.created_by, v.published_at`
)

// Metrics implements saved.Store.
func (s *Store) Metrics(ctx context.Context, project, after string, limit int) ([]saved.Metric, error) {
	return list(ctx, s.read, func(row scanner) (m saved.Metric, err error) { return m, scanMetric(row, &m) },
		`SELECT `+metricColumns+` FROM metrics m WHERE m.project_id = $1 AND m.id > $2 ORDER BY m.id LIMIT $3`, project, after, limit)
}

// FindMetric implements saved.Store.
func (s *Store) FindMetric(ctx context.Context, project, id string, number int64) (m saved.Metric, v saved.Version, err error) {
	row := s.read.QueryRowContext(ctx, `SELECT `+metricColumns+`, coalesce(v.version, 0), coalesce(v.cache_minutes, 0), coalesce(v.created_at, 0),
			coalesce(v.created_by, ''), v.published_at, coalesce(v.definition, '')
		FROM metrics m LEFT JOIN metric_versions v ON v.project_id = m.project_id AND v.metric_id = m.id
			AND v.version = CASE WHEN $3 > 0 THEN $3 WHEN m.published > 0 THEN m.published ELSE m.latest END
		WHERE m.project_id = $1 AND m.id = $2`, project, id, number)
	err = scanMetric(row, &m, versionFields(&v, true)...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return saved.Metric{}, saved.Version{}, saved.ErrNoMetric
	case err != nil:
		return saved.Metric{}, saved.Version{}, fmt.Errorf("store: read a metric: %w", err)
	case v.Number == 0:
		return m, saved.Version{}, saved.ErrNoVersion
	}
	return m, v, nil
}

// MetricVersions implements saved.Store.
func (s *Store) MetricVersions(ctx context.Context, project, id string) ([]saved.Version, error) {
	all, err := versions(ctx, s.read, project, id)
	if err == nil && len(all) == 0 {
		return nil, saved.ErrNoMetric
	}
	return all, err
}

// versions are those of a metric, newest first, without their definitions.
func versions(ctx context.Context, from querier, project, id string) ([]saved.Version, error) {
	rows, err := from.QueryContext(ctx, `SELECT `+versionColumns+` FROM metric_versions v
		WHERE v.project_id = $1 AND v.metric_id = $2 ORDER BY v.version DESC`, project, id)
	if err != nil {
		return nil, fmt.Errorf("store: read versions: %w", err)
	}
	defer func() { _ = rows.Close() }() // its error is that of Err
	var all []saved.Version
	for rows.Next() {
		var v saved.Version
		if err := rows.Scan(versionFields(&v, false)...); err != nil {
			return nil, fmt.Errorf("store: read a version: %w", err)
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// ChangeMetric implements saved.Store.
func (s *Store) ChangeMetric(ctx context.Context, project, id string, change func(*saved.Change) (*audit.Entry, error)) (m saved.Metric, err error) {
	for range changeAttempts {
		var stored bool
		err = s.transact(ctx, func(tx *sql.Tx) (err error) {
			m, stored, err = changeMetric(ctx, tx, project, id, change)
			return err
		})
		if err != nil {
			return saved.Metric{}, fmt.Errorf("store: change a metric: %w", s.fault(err))
		}
		if stored {
			return m, nil
		}
	}
	return saved.Metric{}, fmt.Errorf("store: the metric %s was changed by others %d times in a row", id, changeAttempts)
}

// changeMetric changes a metric, unless it is another by then than the one that was changed.
func changeMetric(ctx context.Context, tx *sql.Tx, project, id string, change func(*saved.Change) (*audit.Entry, error)) (m saved.Metric, stored bool, err error) {
	c, err := openChange(ctx, tx, project, id)
	if err != nil {
		return m, false, err
	}
	revision := c.Revision
	entry, err := change(c)
	if err != nil || entry == nil {
		return c.Metric, err == nil, err
	}
	c.Project, c.ID, c.Revision = project, id, revision+1
	switch {
	case c.Delete:
		err = deleteMetric(ctx, tx, project, id)
	case revision == 0:
		stored, err = insertMetric(ctx, tx, &c.Metric)
	default:
		stored, err = updateMetric(ctx, tx, &c.Metric)
	}
	if err != nil || !stored && !c.Delete {
		return m, false, err
	}
	if !c.Delete {
		err = changeVersions(ctx, tx, c)
	}
	if err != nil {
		return m, false, err
	}
	return c.Metric, true, insertAudit(ctx, tx, *entry)
}

// openChange reads what a change begins with.
func openChange(ctx context.Context, tx *sql.Tx, project, id string) (*saved.Change, error) {
	c := &saved.Change{}
	err := scanMetric(tx.QueryRowContext(ctx, `SELECT `+metricColumns+` FROM metrics m WHERE m.project_id = $1 AND m.id = $2`, project, id), &c.Metric)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	c.Project, c.ID = project, id
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(CASE WHEN id = $2 THEN 0 ELSE 1 END), 0), coalesce(sum(bytes), 0) FROM metrics WHERE project_id = $1`,
		project, id).Scan(&c.Count, &c.Bytes); err != nil {
		return nil, err
	}
	if c.Revision == 0 {
		return c, nil
	}
	if c.Versions, err = versions(ctx, tx, project, id); err != nil || len(c.Versions) == 0 {
		return c, err
	}
	var definition string
	err = tx.QueryRowContext(ctx, `SELECT definition FROM metric_versions WHERE project_id = $1 AND metric_id = $2 AND version = $3`,
		project, id, c.Versions[0].Number).Scan(&definition)
	c.Versions[0].Definition = []byte(definition)
	return c, err
}

func insertMetric(ctx context.Context, tx *sql.Tx, m *saved.Metric) (bool, error) {
	return one(tx.ExecContext(ctx, `INSERT INTO metrics (project_id, id, description, owner, published, latest, revision, created_at, created_by, updated_at, updated_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (project_id, id) DO NOTHING`,
		m.Project, m.ID, m.Description, m.Owner, m.Published, m.Latest, m.Revision, m.CreatedAt.UnixMicro(), m.CreatedBy, m.UpdatedAt.UnixMicro(), m.UpdatedBy))
}

func updateMetric(ctx context.Context, tx *sql.Tx, m *saved.Metric) (bool, error) {
	return one(tx.ExecContext(ctx, `UPDATE metrics SET description = $1, owner = $2, published = $3, latest = $4, revision = $5, updated_at = $6, updated_by = $7
		WHERE project_id = $8 AND id = $9 AND revision = $10`,
		m.Description, m.Owner, m.Published, m.Latest, m.Revision, m.UpdatedAt.UnixMicro(), m.UpdatedBy, m.Project, m.ID, m.Revision-1))
}

// one reports whether a statement changed one row.
func one(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	changed, err := result.RowsAffected()
	return changed == 1, err
}

func deleteMetric(ctx context.Context, tx *sql.Tx, project, id string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM metric_versions WHERE project_id = $1 AND metric_id = $2`, project, id); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM metrics WHERE project_id = $1 AND id = $2`, project, id)
	return err
}

// changeVersions adds, publishes and forgets versions.
func changeVersions(ctx context.Context, tx *sql.Tx, c *saved.Change) error {
	if v := c.Add; v != nil {
		_, err := tx.ExecContext(ctx, `INSERT INTO metric_versions (project_id, metric_id, version, definition, cache_minutes, created_at, created_by, published_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			c.Project, c.ID, v.Number, string(v.Definition), v.CacheMinutes, v.CreatedAt.UnixMicro(), v.CreatedBy, optional(v.PublishedAt))
		if err != nil {
			return err
		}
	}
	if c.Publish != 0 {
		_, err := tx.ExecContext(ctx, `UPDATE metric_versions SET published_at = $1
			WHERE project_id = $2 AND metric_id = $3 AND version = $4 AND published_at IS NULL`, c.UpdatedAt.UnixMicro(), c.Project, c.ID, c.Publish)
		if err != nil {
			return err
		}
	}
	for _, number := range c.Drop {
		_, err := tx.ExecContext(ctx, `DELETE FROM metric_versions WHERE project_id = $1 AND metric_id = $2 AND version = $3`, c.Project, c.ID, number)
		if err != nil {
			return err
		}
	}
	if c.Add == nil && len(c.Drop) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE metrics SET bytes = (SELECT coalesce(sum(octet_length(v.definition)), 0) FROM metric_versions v
		WHERE v.project_id = $1 AND v.metric_id = $2) WHERE project_id = $1 AND id = $2`, c.Project, c.ID)
	return err
}

// scanMetric reads a row that begins with metricColumns.
func scanMetric(row scanner, m *saved.Metric, more ...any) error {
	var created, updated int64
	err := row.Scan(append([]any{
		&m.Project, &m.ID, &m.Description, &m.Owner, &m.Published, &m.Latest, &m.Revision, &created, &m.CreatedBy, &updated, &m.UpdatedBy,
	}, more...)...)
	if err == nil {
		m.CreatedAt, m.UpdatedAt = fromMicros(created), fromMicros(updated)
	}
	return err
}

// versionFields are where versionColumns go, and the definition behind them.
func versionFields(v *saved.Version, definition bool) []any {
	fields := []any{&v.Number, &v.CacheMinutes, (*moment)(&v.CreatedAt), &v.CreatedBy, (*moment)(&v.PublishedAt)}
	if definition {
		fields = append(fields, (*[]byte)(&v.Definition))
	}
	return fields
}
