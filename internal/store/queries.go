package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

const runColumns = `id, project_id, key_id, owner, environment, live, statement, started_at, elapsed, answer_rows, answer_bytes, credits, status, code, cached, background`

// KeepRuns implements query.RunStore.
func (s *Store) KeepRuns(ctx context.Context, runs []query.Run) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		return eachRow(ctx, tx, `INSERT INTO query_runs (`+runColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
			ON CONFLICT (id) DO UPDATE SET elapsed = excluded.elapsed, answer_rows = excluded.answer_rows, answer_bytes = excluded.answer_bytes,
				credits = excluded.credits, status = excluded.status, code = excluded.code, cached = excluded.cached
			WHERE query_runs.status = 'running'`, runs,
			func(r query.Run) []any {
				return []any{
					r.ID, r.Project, r.KeyID, r.Owner, r.Environment, flag(r.Live), r.SQL, r.StartedAt.UnixMicro(), r.Elapsed.Microseconds(), r.Rows, r.Bytes,
					r.Credits, string(r.Status), string(r.Code), flag(r.Cached), flag(r.Background),
				}
			})
	})
	if err != nil {
		return fmt.Errorf("store: keep runs of queries: %w", s.fault(err))
	}
	return nil
}

// Runs implements query.RunStore.
func (s *Store) Runs(ctx context.Context, q query.RunQuery) ([]query.Run, error) {
	where := conditions{text: `project_id = $1`, args: []any{q.Project}}
	if !q.Live {
		where.text += ` AND live = 0`
	}
	where.and("id", q.ID)
	where.and("key_id", q.KeyID)
	where.and("owner", q.Owner)
	where.and("status", string(q.Status))
	if q.Before != (query.RunPlace{}) {
		where.after("started_at, id", "<", q.Before.At.UnixMicro(), q.Before.ID)
	}
	limit := where.limit(q.Limit)
	return list(ctx, s.read, scanRun, `SELECT `+runColumns+` FROM query_runs
		WHERE `+where.text+` ORDER BY started_at DESC, id DESC LIMIT `+limit, where.args...)
}

func scanRun(row scanner) (r query.Run, err error) {
	var started, elapsed int64
	var status, code string
	err = row.Scan(&r.ID, &r.Project, &r.KeyID, &r.Owner, &r.Environment, &r.Live, &r.SQL, &started, &elapsed, &r.Rows, &r.Bytes, &r.Credits, &status, &code,
		&r.Cached, &r.Background)
	r.StartedAt, r.Elapsed = fromMicros(started), time.Duration(elapsed)*time.Microsecond
	r.Status, r.Code = query.RunStatus(status), problem.Code(code)
	return r, err
}

// LoseRuns implements query.RunStore.
func (s *Store) LoseRuns(ctx context.Context) error {
	_, err := s.remove(ctx, `UPDATE query_runs SET status = 'lost' WHERE status = 'running'`)
	return err
}

// TrimRuns implements query.RunStore.
func (s *Store) TrimRuns(ctx context.Context, before time.Time, most int) (int, error) {
	n, err := s.remove(ctx, `DELETE FROM query_runs WHERE id IN (SELECT id FROM query_runs WHERE started_at < $1 ORDER BY started_at LIMIT $2)`,
		before.UnixMicro(), trimChunk)
	if err != nil || n > 0 {
		return n, err
	}
	return s.remove(ctx, `DELETE FROM query_runs WHERE id IN (SELECT id FROM (
		SELECT id, ROW_NUMBER() OVER (PARTITION BY project_id ORDER BY started_at DESC, id DESC) AS place FROM query_runs) AS placed
		WHERE place > $1 LIMIT $2)`, most, trimChunk)
}
