package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/problem"
)

const deletionColumns = `id, project_id, environment, live, key_id, about, created_at, receipt`

var _ deletion.Control = (*Store)(nil)

// KeepDeletion implements deletion.Control. What has a receipt stays as it is.
func (s *Store) KeepDeletion(ctx context.Context, r deletion.Record, entry *audit.Entry) error {
	about, err := json.Marshal(r.Of)
	if err != nil {
		return fmt.Errorf("store: keep a deletion: %w", err)
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO deletions (`+deletionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (id) DO UPDATE SET about = excluded.about, receipt = excluded.receipt WHERE deletions.receipt = ''`,
			r.ID, r.Project, r.Environment, flag(r.Live), r.KeyID, string(about), r.CreatedAt.UnixMicro(), string(r.Receipt)); err != nil {
			return err
		}
		if entry == nil {
			return nil
		}
		return insertAudit(ctx, tx, *entry)
	})
	if err != nil {
		return fmt.Errorf("store: keep a deletion: %w", s.fault(err))
	}
	return nil
}

// FindDeletion implements deletion.Control.
func (s *Store) FindDeletion(ctx context.Context, project, id string) (deletion.Record, bool, error) {
	r, err := scanDeletion(s.read.QueryRowContext(ctx, `SELECT `+deletionColumns+` FROM deletions WHERE project_id = $1 AND id = $2`, project, id))
	if errors.Is(err, sql.ErrNoRows) {
		return deletion.Record{}, false, nil
	}
	if err != nil {
		return deletion.Record{}, false, fmt.Errorf("store: read a deletion: %w", err)
	}
	return r, true, nil
}

// Deletions implements deletion.Control.
func (s *Store) Deletions(ctx context.Context, q deletion.Query) ([]deletion.Record, error) {
	where := conditions{text: `project_id = $1 AND environment = $2`, args: []any{q.Project, q.Environment}}
	if q.Before != (deletion.Place{}) {
		where.after("created_at, id", "<", q.Before.At.UnixMicro(), q.Before.ID)
	}
	limit := where.limit(q.Limit)
	return list(ctx, s.read, scanDeletion, `SELECT `+deletionColumns+` FROM deletions
		WHERE `+where.text+` ORDER BY created_at DESC, id DESC LIMIT `+limit, where.args...)
}

func scanDeletion(row scanner) (r deletion.Record, err error) {
	var about, receipt string
	var created int64
	if err := row.Scan(&r.ID, &r.Project, &r.Environment, &r.Live, &r.KeyID, &about, &created, &receipt); err != nil {
		return r, err
	}
	r.CreatedAt, r.Receipt = fromMicros(created), orNil(receipt)
	return r, json.Unmarshal([]byte(about), &r.Of)
}

// compactTries is how often the log is emptied, each time as long as the engine waits for readers.
const compactTries = 5

// Compact implements deletion.Control. Whoever writes waits for it.
func (s *Store) Compact(ctx context.Context) error {
	for _, statement := range s.dialect.compact {
		if _, err := s.write.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("store: compact: %w", s.fault(err))
		}
	}
	if s.dialect.settle == "" {
		return nil
	}
	for range compactTries {
		var busy, frames, moved int64
		if err := s.write.QueryRowContext(ctx, s.dialect.settle).Scan(&busy, &frames, &moved); err != nil {
			return fmt.Errorf("store: compact: %w", s.fault(err))
		}
		if busy == 0 {
			return nil
		}
	}
	return problem.New(problem.Unavailable, "The control data is read all the time, and could not be made smaller.")
}
