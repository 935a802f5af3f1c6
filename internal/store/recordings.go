package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/recording"
)

// Recordings is the part of the store that is about recordings. It implements recording.Store.
type Recordings struct{ s *Store }

var _ recording.Store = Recordings{}

// Recordings gives that part.
func (s *Store) Recordings() Recordings { return Recordings{s} }

// recordingColumns are of a recording, with whom the latest chunk names, and the page that the earliest one tells.
const recordingColumns = `r.project_id, r.environment, r.session_id, r.chunks, r.events, r.bytes, r.last, r.first_at, r.last_at, r.started_at, r.updated_at,
	coalesce((SELECT c.distinct_id FROM recording_chunks c WHERE c.name = r.name AND c.distinct_id <> '' ORDER BY c.sequence DESC LIMIT 1), ''),
	coalesce((SELECT c.page FROM recording_chunks c WHERE c.name = r.name AND c.page <> '' ORDER BY c.sequence LIMIT 1), '')`

func scanRecording(row scanner) (r recording.Session, err error) {
	var first, last, started, updated int64
	err = row.Scan(&r.Project, &r.Environment, &r.ID, &r.Chunks, &r.Events, &r.Bytes, &r.Last, &first, &last, &started, &updated, &r.DistinctID, &r.Page)
	r.FirstAt, r.LastAt, r.StartedAt, r.UpdatedAt = fromMicros(first), fromMicros(last), fromMicros(started), fromMicros(updated)
	return r, err
}

// AddPiece implements recording.Store.
func (r Recordings) AddPiece(ctx context.Context, name string, s recording.Session, p recording.Piece, most recording.Limits) error {
	err := r.s.transact(ctx, func(tx *sql.Tx) error {
		if err := charge(ctx, tx, s.Project, p.Bytes, most.Bytes); err != nil {
			return err
		}
		grown, err := one(tx.ExecContext(ctx, `INSERT INTO recordings AS r (name, project_id, environment, session_id, chunks, events, bytes, last, first_at, last_at, started_at, updated_at)
			VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8, $9, $10, $10) ON CONFLICT (name) DO UPDATE SET
				chunks = r.chunks + 1, events = r.events + excluded.events, bytes = r.bytes + excluded.bytes,
				last = CASE WHEN excluded.last > r.last THEN excluded.last ELSE r.last END,
				first_at = CASE WHEN excluded.first_at < r.first_at THEN excluded.first_at ELSE r.first_at END,
				last_at = CASE WHEN excluded.last_at > r.last_at THEN excluded.last_at ELSE r.last_at END,
				updated_at = CASE WHEN excluded.updated_at > r.updated_at THEN excluded.updated_at ELSE r.updated_at END
			WHERE r.chunks < $11`,
			name, s.Project, s.Environment, s.ID, p.Events, p.Bytes, p.Sequence, p.FirstAt.UnixMicro(), p.LastAt.UnixMicro(), p.ReceivedAt.UnixMicro(), most.Chunks))
		if err != nil {
			return err
		}
		if !grown {
			return recording.ErrLong
		}
		added, err := one(tx.ExecContext(ctx, `INSERT INTO recording_chunks (name, sequence, digest, distinct_id, page, events, bytes, first_at, last_at, received_at, key_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (name, sequence) DO NOTHING`,
			name, p.Sequence, p.Digest, p.DistinctID, p.Page, p.Events, p.Bytes, p.FirstAt.UnixMicro(), p.LastAt.UnixMicro(), p.ReceivedAt.UnixMicro(), p.KeyID))
		if err == nil && !added {
			err = recording.ErrPresent
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store: add to a recording: %w", r.s.fault(err))
	}
	return nil
}

// charge adds bytes to what a project uses, unless that is more than it may; bytes below zero are given back.
func charge(ctx context.Context, tx *sql.Tx, project string, bytes, most int64) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO recording_usage (project_id, bytes) VALUES ($1, 0) ON CONFLICT (project_id) DO NOTHING`, project); err != nil {
		return err
	}
	fits, err := one(tx.ExecContext(ctx, `UPDATE recording_usage SET bytes = bytes + $2 WHERE project_id = $1 AND ($2 <= 0 OR bytes + $2 <= $3)`, project, bytes, most))
	if err == nil && !fits {
		err = recording.ErrFull
	}
	return err
}

// Look implements recording.Store.
func (r Recordings) Look(ctx context.Context, name, project string, sequence int64) (seen recording.Seen, err error) {
	err = r.s.read.QueryRowContext(ctx, `SELECT coalesce((SELECT digest FROM recording_chunks WHERE name = $1 AND sequence = $2), ''),
			coalesce((SELECT bytes FROM recording_usage WHERE project_id = $3), 0)`, name, sequence, project).Scan(&seen.Digest, &seen.Used)
	if err == nil {
		seen.Session, err = scanRecording(r.s.read.QueryRowContext(ctx, `SELECT `+recordingColumns+` FROM recordings r WHERE r.name = $1`, name))
	}
	if errors.Is(err, sql.ErrNoRows) {
		seen.Session, err = recording.Session{}, nil
	}
	if err != nil {
		return recording.Seen{}, fmt.Errorf("store: look at a recording: %w", err)
	}
	return seen, nil
}

// Sessions implements recording.Store.
func (r Recordings) Sessions(ctx context.Context, f recording.Filter) ([]recording.Session, error) {
	return list(ctx, r.s.read, scanRecording, `SELECT `+recordingColumns+` FROM recordings r
		WHERE r.project_id = $1 AND r.environment = $2
			AND ($3 = '' OR r.name IN (SELECT name FROM recording_chunks WHERE distinct_id = $3 AND distinct_id <> ''))
			AND ($4 IS NULL OR r.started_at >= $4) AND ($5 IS NULL OR r.started_at < $5)
			AND ($6 = '' OR r.started_at < $7 OR r.started_at = $7 AND r.name < $6)
			AND ($9 = '' OR r.name IN (SELECT name FROM recording_chunks WHERE key_id = $9 AND key_id <> ''
				AND ($10 IS NULL OR received_at >= $10) AND ($11 IS NULL OR received_at < $11)))
		ORDER BY r.started_at DESC, r.name DESC LIMIT $8`,
		f.Project, f.Environment, f.DistinctID, optional(f.From), optional(f.To), f.After.Name, f.After.StartedAt.UnixMicro(), f.Limit,
		f.Sent.KeyID, optional(f.Sent.From), optional(f.Sent.Until))
}

// Pieces implements recording.Store.
func (r Recordings) Pieces(ctx context.Context, name string) ([]recording.Piece, error) {
	return list(ctx, r.s.read, scanPiece, `SELECT sequence, digest, distinct_id, page, events, bytes, first_at, last_at, received_at, key_id
		FROM recording_chunks WHERE name = $1 ORDER BY sequence`, name)
}

func scanPiece(row scanner) (p recording.Piece, err error) {
	var first, last, received int64
	err = row.Scan(&p.Sequence, &p.Digest, &p.DistinctID, &p.Page, &p.Events, &p.Bytes, &first, &last, &received, &p.KeyID)
	p.FirstAt, p.LastAt, p.ReceivedAt = fromMicros(first), fromMicros(last), fromMicros(received)
	return p, err
}

// ofChunks is the condition of the chunks of the session $1 that were sent by the key $2, if that is not empty, in a time.
const ofChunks = `name = $1 AND ($2 = '' OR key_id = $2) AND ($3 IS NULL OR received_at >= $3) AND ($4 IS NULL OR received_at < $4)`

// Drop implements recording.Store.
func (r Recordings) Drop(ctx context.Context, name string, which recording.Sent) (dropped recording.Session, err error) {
	err = r.s.transact(ctx, func(tx *sql.Tx) (err error) {
		dropped, err = scanRecording(tx.QueryRowContext(ctx, `SELECT `+recordingColumns+` FROM recordings r WHERE r.name = $1`, name))
		if errors.Is(err, sql.ErrNoRows) {
			return recording.ErrNone
		}
		if err != nil {
			return err
		}
		all, chunks := dropped.Chunks, []any{name, which.KeyID, optional(which.From), optional(which.Until)}
		err = tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(events), 0), coalesce(sum(bytes), 0) FROM recording_chunks WHERE `+ofChunks, chunks...).
			Scan(&dropped.Chunks, &dropped.Events, &dropped.Bytes)
		if err == nil && dropped.Chunks == 0 {
			err = recording.ErrNone
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM recording_chunks WHERE `+ofChunks, chunks...); err != nil {
			return err
		}
		rest := addedUp
		if dropped.Chunks == all {
			rest = `DELETE FROM recordings WHERE name = $1`
		}
		if _, err := tx.ExecContext(ctx, rest, name); err != nil {
			return err
		}
		return charge(ctx, tx, dropped.Project, -dropped.Bytes, 0)
	})
	if err != nil {
		return recording.Session{}, fmt.Errorf("store: drop of a recording: %w", r.s.fault(err))
	}
	return dropped, nil
}

// addedUp makes a recording what its chunks are.
const addedUp = `UPDATE recordings SET (chunks, events, bytes, last, first_at, last_at, started_at, updated_at) = (
		SELECT count(*), sum(events), sum(bytes), max(sequence), min(first_at), max(last_at), min(received_at), max(received_at)
		FROM recording_chunks c WHERE c.name = recordings.name)
	WHERE name = $1`

// Old implements recording.Store.
func (r Recordings) Old(ctx context.Context, before time.Time, limit int) ([]string, error) {
	return list(ctx, r.s.read, func(row scanner) (name string, err error) { return name, row.Scan(&name) },
		`SELECT name FROM recordings WHERE updated_at < $1 ORDER BY updated_at, name LIMIT $2`, before.UnixMicro(), limit)
}
