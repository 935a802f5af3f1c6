package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/dataset"
)

const datasetColumns = `project_id, environment, id, uid, class, definition, revision, created_at, created_by, updated_at, updated_by`

var _ dataset.Store = (*Store)(nil)

// folded is a name of ASCII letters as all that differ from it in their case only share it.
func folded(id string) string { return strings.ToLower(id) }

// FindDataset implements dataset.Store.
func (s *Store) FindDataset(ctx context.Context, project, environment, id string) (dataset.Dataset, bool, error) {
	d, err := scanDataset(s.read.QueryRowContext(ctx, `SELECT `+datasetColumns+` FROM datasets
		WHERE project_id = $1 AND environment = $2 AND folded = $3 AND id = $4`, project, environment, folded(id), id))
	if errors.Is(err, sql.ErrNoRows) {
		return dataset.Dataset{}, false, nil
	}
	if err != nil {
		return dataset.Dataset{}, false, fmt.Errorf("store: read a dataset: %w", err)
	}
	return d, true, nil
}

// Datasets implements dataset.Store.
func (s *Store) Datasets(ctx context.Context, project, environment string) ([]dataset.Dataset, error) {
	where := conditions{text: `project_id = $1`, args: []any{project}}
	where.and("environment", environment)
	return list(ctx, s.read, scanDataset, `SELECT `+datasetColumns+` FROM datasets WHERE `+where.text+` ORDER BY environment, folded`, where.args...)
}

// ChangeDataset implements dataset.Store.
func (s *Store) ChangeDataset(
	ctx context.Context, project, environment, id string, change func(*dataset.Change) (*audit.Entry, error),
) (d dataset.Dataset, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) (err error) {
		d, err = changeDataset(ctx, tx, project, environment, id, change)
		return err
	})
	if err != nil {
		return dataset.Dataset{}, fmt.Errorf("store: change a dataset: %w", s.fault(err))
	}
	return d, nil
}

func changeDataset(
	ctx context.Context, tx *sql.Tx, project, environment, id string, change func(*dataset.Change) (*audit.Entry, error),
) (dataset.Dataset, error) {
	found, err := scanDataset(tx.QueryRowContext(ctx, `SELECT `+datasetColumns+` FROM datasets
		WHERE project_id = $1 AND environment = $2 AND folded = $3`, project, environment, folded(id)))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return found, err
	}
	c := &dataset.Change{Dataset: found}
	if c.Revision != 0 && found.ID != id {
		c.Dataset, c.Taken = dataset.Dataset{}, true
	}
	c.Project, c.Environment, c.ID = project, environment, id
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM datasets WHERE project_id = $1 AND environment = $2 AND folded <> $3`,
		project, environment, folded(id)).Scan(&c.Count)
	if err != nil {
		return found, err
	}
	revision := c.Revision
	entry, err := change(c)
	if err != nil || entry == nil {
		return c.Dataset, err
	}
	c.Project, c.Environment, c.Revision = project, environment, revision+1
	if err := storeDataset(ctx, tx, c, revision, folded(id)); err != nil {
		return found, err
	}
	return c.Dataset, insertAudit(ctx, tx, *entry)
}

// storeDataset stores what became of a dataset, which had a name.
func storeDataset(ctx context.Context, tx *sql.Tx, c *dataset.Change, revision int64, name string) error {
	if revision != 0 {
		if _, err := tx.ExecContext(ctx, `DELETE FROM datasets WHERE project_id = $1 AND environment = $2 AND folded = $3`, c.Project, c.Environment, name); err != nil {
			return err
		}
	}
	if c.Delete {
		return nil
	}
	definition, err := json.Marshal(c.Definition)
	if err != nil {
		return err
	}
	stored, err := one(tx.ExecContext(ctx, `INSERT INTO datasets (folded, `+datasetColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (project_id, environment, folded) DO NOTHING`,
		folded(c.ID), c.Project, c.Environment, c.ID, c.UID, c.Class.String(), string(definition), c.Revision,
		c.CreatedAt.UnixMicro(), c.CreatedBy, c.UpdatedAt.UnixMicro(), c.UpdatedBy))
	if err == nil && !stored {
		err = dataset.ErrTaken
	}
	return err
}

func scanDataset(row scanner) (d dataset.Dataset, err error) {
	var class, definition string
	var created, updated int64
	err = row.Scan(&d.Project, &d.Environment, &d.ID, &d.UID, &class, &definition, &d.Revision, &created, &d.CreatedBy, &updated, &d.UpdatedBy)
	if err != nil {
		return d, err
	}
	d.CreatedAt, d.UpdatedAt, d.Class = fromMicros(created), fromMicros(updated), access.Premium // what is not known costs more and is open to fewer
	if class == access.Core.String() {
		d.Class = access.Core
	}
	if err := json.Unmarshal([]byte(definition), &d.Definition); err != nil {
		return d, fmt.Errorf("the definition of the dataset %s: %w", d.ID, err)
	}
	return d, nil
}
