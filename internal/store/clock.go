package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/weir-analytics/weir/internal/deletion"
)

var _ deletion.Clock = (*Store)(nil)

// LastWent implements deletion.Clock.
func (s *Store) LastWent(ctx context.Context) (deletion.Went, error) {
	var since, seen int64
	err := s.read.QueryRowContext(ctx, `SELECT since, seen FROM clock WHERE one = 1`).Scan(&since, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return deletion.Went{}, nil
	}
	if err != nil {
		return deletion.Went{}, fmt.Errorf("store: read how the clock went: %w", err)
	}
	return deletion.Went{Since: fromMicros(since), Seen: fromMicros(seen)}, nil
}

// KeepWent implements deletion.Clock.
func (s *Store) KeepWent(ctx context.Context, w deletion.Went) error {
	_, err := s.write.ExecContext(ctx, `INSERT INTO clock (one, since, seen) VALUES (1, $1, $2)
		ON CONFLICT (one) DO UPDATE SET since = excluded.since, seen = excluded.seen`, w.Since.UnixMicro(), w.Seen.UnixMicro())
	if err != nil {
		return fmt.Errorf("store: keep how the clock went: %w", s.fault(err))
	}
	return nil
}
