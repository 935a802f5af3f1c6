package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/ledger"
)

// trimChunk is how many entries one transaction removes, so that other writers get their turn.
const trimChunk = 5_000

// share is how much of the kept denials is one project's.
type share struct {
	project string
	count   int
	oldest  time.Time
}

// Trim implements ledger.Store.
func (s *Store) Trim(ctx context.Context, h ledger.Horizon) (int, error) {
	shares, err := list(ctx, s.read, func(row scanner) (sh share, err error) {
		var oldest int64
		err = row.Scan(&sh.project, &sh.count, &oldest)
		sh.oldest = fromMicros(oldest)
		return sh, err
	}, `SELECT project_id, COUNT(*), MIN(decided_at) FROM denials GROUP BY project_id ORDER BY COUNT(*) DESC`)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, sh := range shares {
		if total += sh.count; sh.oldest.Before(h.Denials) {
			return s.remove(ctx, `DELETE FROM denials WHERE id IN (SELECT id FROM denials
				WHERE project_id = $1 AND decided_at < $2 ORDER BY decided_at, id LIMIT $3)`, sh.project, h.Denials.UnixMicro(), trimChunk)
		}
	}
	if total > h.Most {
		return s.remove(ctx, `DELETE FROM denials WHERE id IN (SELECT id FROM denials
			WHERE project_id = $1 ORDER BY decided_at, id LIMIT $2)`, shares[0].project, min(total-h.Most, trimChunk))
	}
	removed, err := s.remove(ctx, `DELETE FROM attempt_shapes WHERE (project_id, key_id, day_at, id) IN (
		SELECT project_id, key_id, day_at, id FROM attempt_shapes WHERE day_at < $1 ORDER BY day_at LIMIT $2)`, startOfDay(h.Shapes), trimChunk)
	if err != nil || removed > 0 {
		return removed, err
	}
	return s.trimCounts(ctx, h)
}

// everybody are the projects that counts can be of, and nobody. With it, an index that begins with the project is of use.
const everybody = `(SELECT id FROM projects UNION ALL SELECT '')`

func (s *Store) trimCounts(ctx context.Context, h ledger.Horizon) (int, error) {
	for _, step := range [...]func() (int, error){
		func() (int, error) { return s.sumUp(ctx, ledger.Minute, ledger.Hour, h.Ended, 0) },
		func() (int, error) { return s.sumUp(ctx, ledger.Hour, ledger.Day, h.Ended, h.MostDay) },
		func() (int, error) { return s.forget(ctx, ledger.Minute, ledger.Hour, h.Minutes) },
		func() (int, error) { return s.forget(ctx, ledger.Hour, ledger.Day, h.Hours) },
		func() (int, error) {
			return s.remove(ctx, `DELETE FROM usage_counts WHERE project_id IN `+everybody+` AND span IN (60, 3600, 86400) AND began_at < $1`, startOfDay(h.Days))
		},
	} {
		if n, err := step(); err != nil || n > 0 {
			return n, err
		}
	}
	return 0, nil
}

func startOfDay(t time.Time) int64 { return startOfSpan(t, ledger.Day).UnixMicro() }

// startOfSpan is the start of the span a time is in.
func startOfSpan(t time.Time, g ledger.Grain) time.Time { return t.UTC().Truncate(g.Span()) }

func seconds(g ledger.Grain) int64 { return int64(g.Span() / time.Second) }

// unit is a long span of a project of which there are counts by a short one.
type unit struct {
	project string
	from    time.Time
}

// units finds for each project the long span of its earliest counts by a short span that began before an end, among those
// that are in the sums by the long span or among those that are not; projects that have none are left out.
func (s *Store) units(ctx context.Context, short, long ledger.Grain, inSums bool, end time.Time) ([]unit, error) {
	among := `c.began_at >= COALESCE(m.until_at, -9223372036854775807)`
	if inSums {
		among = `c.began_at < COALESCE(m.until_at, -9223372036854775807)`
	}
	return list(ctx, s.read, func(row scanner) (u unit, err error) {
		var first int64
		err = row.Scan(&u.project, &first)
		u.from = startOfSpan(fromMicros(first), long)
		return u, err
	}, `SELECT project, first FROM (SELECT p.id AS project, (
			SELECT MIN(c.began_at) FROM usage_counts c WHERE c.project_id = p.id AND c.span = $1 AND c.began_at < $2 AND `+among+`) AS first
		FROM `+everybody+` AS p LEFT JOIN usage_sums m ON m.project_id = p.id AND m.span = $3) AS earliest WHERE first IS NOT NULL`,
		seconds(short), end.UnixMicro(), seconds(long))
}

// eachUnit does something to units until it has taken enough entries.
func eachUnit(units []unit, do func(unit) (int, error)) (total int, err error) {
	for _, u := range units {
		n, err := do(u)
		if total += n; err != nil || total >= trimChunk {
			return total, err
		}
	}
	return total, nil
}

// sumUp adds the counts of projects in a long span, of each the earliest that has ended and is not summed, to those by that
// span, and returns how many counts that were. A day is summed when its hours are.
func (s *Store) sumUp(ctx context.Context, short, long ledger.Grain, ended time.Time, most int) (int, error) {
	units, err := s.units(ctx, short, long, false, startOfSpan(ended, long))
	if err != nil {
		return 0, err
	}
	return eachUnit(units, func(u unit) (added int, err error) {
		err = s.transact(ctx, func(tx *sql.Tx) (err error) {
			added, err = sumUnit(ctx, tx, u, short, long, most)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("store: add up counts: %w", s.fault(err))
		}
		return added, nil
	})
}

// sumUnit sums a unit and marks it as summed, together, so that nothing is lost or counted twice. One that somebody has
// summed in the meantime is left alone.
func sumUnit(ctx context.Context, tx *sql.Tx, u unit, short, long ledger.Grain, most int) (added int, err error) {
	until, err := summedUntil(ctx, tx, u.project)
	if err != nil || until[long].After(u.from) {
		return 0, err
	}
	end := u.from.Add(long.Span())
	within := []any{u.project, seconds(short), u.from.UnixMicro(), end.UnixMicro()}
	columns, err := foldedColumns(ctx, tx, most, within)
	if err != nil {
		return 0, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM usage_counts `+withinUnit, within...).Scan(&added); err != nil {
		return 0, err
	}
	//nolint:gosec // the columns are ours
	_, err = tx.ExecContext(ctx, `INSERT INTO usage_counts (project_id, span, began_at, `+aboutColumns+`, requests, items)
		SELECT project_id, $5, $3, `+columns+`, SUM(requests), SUM(items) FROM usage_counts `+withinUnit+`
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 `+addUp, append(within, seconds(long))...)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO usage_sums (project_id, span, until_at) VALUES ($1, $2, $3)
		ON CONFLICT (project_id, span) DO UPDATE SET until_at = excluded.until_at`, u.project, seconds(long), end.UnixMicro())
	return added, err
}

const withinUnit = `WHERE project_id = $1 AND span = $2 AND began_at >= $3 AND began_at < $4`

// forget removes counts by a short span that are older than the horizon and in the sums by the long one.
func (s *Store) forget(ctx context.Context, short, long ledger.Grain, horizon time.Time) (int, error) {
	units, err := s.units(ctx, short, long, true, horizon)
	if err != nil {
		return 0, err
	}
	return eachUnit(units, func(u unit) (int, error) {
		return s.remove(ctx, `DELETE FROM usage_counts `+withinUnit, u.project, seconds(short), u.from.UnixMicro(),
			min(horizon.UnixMicro(), u.from.Add(long.Span()).UnixMicro()))
	})
}

// foldedColumns are what counts are told apart by, without networks, or without networks and events, when there would be
// more than most of them; 0 is no bound.
func foldedColumns(ctx context.Context, tx *sql.Tx, most int, within []any) (string, error) {
	folded := [...]string{
		aboutColumns,
		`key_id, outcome, reason, action, environment, event, ''`,
		`key_id, outcome, reason, action, environment, '', ''`,
	}
	for _, columns := range folded[:len(folded)-1] {
		var n int
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT DISTINCT `+columns+` FROM usage_counts `+withinUnit+`) AS apart`, within...).Scan(&n)
		if err != nil || most == 0 || n <= most {
			return columns, err
		}
	}
	return folded[len(folded)-1], nil
}

func (s *Store) remove(ctx context.Context, statement string, args ...any) (int, error) {
	result, err := s.write.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, fmt.Errorf("store: trim the ledger: %w", s.fault(err))
	}
	removed, err := result.RowsAffected()
	return int(removed), err
}
