package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

const jobColumns = `id, project_id, environment, live, key_id, owner, kind, about, spec, state, starts, done, total, good, refused, place, result, code, detail, ` +
	`created_at, started_at, ended_at`

var _ job.Store = (*Store)(nil)

// InsertJob implements job.Store.
func (s *Store) InsertJob(ctx context.Context, j job.Job) error {
	_, err := s.write.ExecContext(ctx, `INSERT INTO jobs (`+jobColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
		j.ID, j.Project, j.Environment, flag(j.Live), j.KeyID, j.Owner, j.Kind, j.About, string(j.Spec), string(j.State), j.Starts,
		j.Progress.Done, j.Progress.Total, j.Progress.Good, j.Progress.Refused, string(j.Place), string(j.Result), string(j.Code), j.Detail,
		j.CreatedAt.UnixMicro(), optional(j.StartedAt), optional(j.EndedAt))
	if err != nil {
		return fmt.Errorf("store: keep a job: %w", s.fault(err))
	}
	return nil
}

// SaveJob implements job.Store.
func (s *Store) SaveJob(ctx context.Context, j job.Job) error {
	_, err := s.write.ExecContext(ctx, `UPDATE jobs SET state = $2, starts = $3, done = $4, total = $5, good = $6, refused = $7, place = $8, result = $9,
			code = $10, detail = $11, started_at = $12, ended_at = $13
		WHERE id = $1 AND ended_at IS NULL`,
		j.ID, string(j.State), j.Starts, j.Progress.Done, j.Progress.Total, j.Progress.Good, j.Progress.Refused, string(j.Place), string(j.Result),
		string(j.Code), j.Detail, optional(j.StartedAt), optional(j.EndedAt))
	if err != nil {
		return fmt.Errorf("store: keep a job: %w", s.fault(err))
	}
	return nil
}

// FindJob implements job.Store.
func (s *Store) FindJob(ctx context.Context, project, id string) (job.Job, bool, error) {
	j, err := scanJob(s.read.QueryRowContext(ctx, `SELECT `+jobColumns+` FROM jobs WHERE project_id = $1 AND id = $2`, project, id))
	if errors.Is(err, sql.ErrNoRows) {
		return job.Job{}, false, nil
	}
	if err != nil {
		return job.Job{}, false, fmt.Errorf("store: read a job: %w", err)
	}
	return j, true, nil
}

// Jobs implements job.Store.
func (s *Store) Jobs(ctx context.Context, q job.Query) ([]job.Job, error) {
	where := conditions{text: `project_id = $1`, args: []any{q.Project}}
	if !q.Live {
		where.text += ` AND live = 0`
	}
	where.and("environment", q.Environment)
	where.and("kind", q.Kind)
	where.and("about", q.About)
	where.and("owner", q.Owner)
	if !q.From.IsZero() {
		where.bound("created_at >=", q.From.UnixMicro())
	}
	if !q.Until.IsZero() {
		where.bound("created_at <", q.Until.UnixMicro())
	}
	behind, order := "<", "created_at DESC, id DESC"
	if q.Oldest {
		behind, order = ">", "created_at, id"
	}
	if q.After != (job.Place{}) {
		where.after("created_at, id", behind, q.After.At.UnixMicro(), q.After.ID)
	}
	limit := where.limit(q.Limit)
	return list(ctx, s.read, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE `+where.text+` ORDER BY `+order+` LIMIT `+limit, where.args...)
}

// OpenJobs implements job.Store.
func (s *Store) OpenJobs(ctx context.Context) ([]job.Job, error) {
	return list(ctx, s.read, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE ended_at IS NULL ORDER BY created_at, id`)
}

// TrimJobs implements job.Store.
func (s *Store) TrimJobs(ctx context.Context, before time.Time, most int) ([]string, error) {
	ids, err := s.removeJobs(ctx, `DELETE FROM jobs WHERE id IN (
		SELECT id FROM jobs WHERE ended_at < $1 ORDER BY ended_at LIMIT $2) RETURNING id`, before.UnixMicro(), trimChunk)
	if err != nil || len(ids) > 0 {
		return ids, err
	}
	return s.removeJobs(ctx, `DELETE FROM jobs WHERE id IN (SELECT id FROM (
		SELECT id, ROW_NUMBER() OVER (PARTITION BY project_id ORDER BY created_at DESC, id DESC) AS place FROM jobs WHERE ended_at IS NOT NULL) AS placed
		WHERE place > $1 LIMIT $2) RETURNING id`, most, trimChunk)
}

// removeJobs runs a statement that removes jobs and gives their ids.
func (s *Store) removeJobs(ctx context.Context, statement string, args ...any) (ids []string, err error) {
	rows, err := s.write.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("store: forget jobs: %w", s.fault(err))
	}
	defer func() { _ = rows.Close() }() // its error is that of Err
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("store: forget jobs: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func scanJob(row scanner) (j job.Job, err error) {
	var spec, state, place, result, code string
	var created int64
	err = row.Scan(&j.ID, &j.Project, &j.Environment, &j.Live, &j.KeyID, &j.Owner, &j.Kind, &j.About, &spec, &state, &j.Starts,
		&j.Progress.Done, &j.Progress.Total, &j.Progress.Good, &j.Progress.Refused, &place, &result, &code, &j.Detail,
		&created, (*moment)(&j.StartedAt), (*moment)(&j.EndedAt))
	j.State, j.Code, j.CreatedAt = job.State(state), problem.Code(code), fromMicros(created)
	j.Spec, j.Place, j.Result = orNil(spec), orNil(place), orNil(result)
	return j, err
}

// orNil is a text as bytes; nil when it is empty.
func orNil(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}
