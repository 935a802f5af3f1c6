package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/limit"
)

var _ limit.Store = Counters{}

// Counters are the counters of limits in a Store. They implement limit.Store.
type Counters struct{ s *Store }

// Counters gives the counters.
func (s *Store) Counters() Counters { return Counters{s} }

// Begin implements limit.Store.
func (c Counters) Begin(ctx context.Context, server string, most int) (settled []limit.Reservation, err error) {
	err = c.s.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO limit_server (one, server, batch) VALUES (1, $1, -1)
			ON CONFLICT (one) DO UPDATE SET server = excluded.server, batch = excluded.batch`, server)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM limit_reservations WHERE settled = 0 AND substr(request_id, 1, $1) <> $2`, len(limit.Held), limit.Held)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: begin to count: %w", c.s.fault(err))
	}
	return list(ctx, c.s.read, scanReservation, `SELECT key_account, request_id, project_account, month, credits, settled, spent, over_limit, at
		FROM (SELECT * FROM limit_reservations WHERE settled = 0
			UNION ALL SELECT * FROM (SELECT * FROM limit_reservations WHERE settled = 1 ORDER BY at DESC, key_account DESC, request_id DESC LIMIT $1) AS latest) AS known
		ORDER BY at, key_account, request_id`, most)
}

func scanReservation(row scanner) (r limit.Reservation, err error) {
	var settled, at int64
	err = row.Scan(&r.Key, &r.ID, &r.Project, &r.Month, &r.Credits, &settled, &r.Spent, &r.Over, &at)
	r.Settled, r.At = settled == 1, fromMicros(at)
	return r, err
}

// Load implements limit.Store.
func (c Counters) Load(ctx context.Context, want limit.Wanted) (limit.Written, error) {
	var written limit.Written
	err := firstOf(
		func() error {
			return each(ctx, c.s.read, `SELECT debt, owed_at, per_second FROM limit_rates WHERE account = $1`, want.Rates,
				func(account string) []any { return []any{account} },
				func(account string, row scanner) error {
					r := limit.Rate{Account: account}
					var at int64
					err := row.Scan(&r.Debt, &at, &r.PerSecond)
					r.At = time.Unix(0, at).UTC()
					if err == nil {
						written.Rates = append(written.Rates, r)
					}
					return err
				})
		},
		func() error {
			return each(ctx, c.s.read, `SELECT requests FROM limit_days WHERE day = $1 AND account = $2`, want.Days,
				func(d limit.Day) []any { return []any{d.Day, d.Account} },
				func(d limit.Day, row scanner) error {
					err := row.Scan(&d.Requests)
					if err == nil {
						written.Days = append(written.Days, d)
					}
					return err
				})
		},
		func() error {
			return each(ctx, c.s.read, `SELECT spent FROM limit_months WHERE month = $1 AND account = $2`, want.Months,
				func(m limit.Month) []any { return []any{m.Month, m.Account} },
				func(m limit.Month, row scanner) error {
					err := row.Scan(&m.Spent)
					if err == nil {
						written.Months = append(written.Months, m)
					}
					return err
				})
		},
	)
	if err != nil {
		return limit.Written{}, fmt.Errorf("store: read counters: %w", err)
	}
	return written, nil
}

func firstOf(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// each asks one question for each item of a list, and reads the row that answers it, if there is one.
func each[T any](ctx context.Context, db *sql.DB, query string, items []T, args func(T) []any, read func(T, scanner) error) error {
	if len(items) == 0 {
		return nil
	}
	prepared, err := db.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = prepared.Close() }() // nothing is lost with it
	for _, item := range items {
		err := read(item, prepared.QueryRowContext(ctx, args(item)...))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}

// Write implements limit.Store.
func (c Counters) Write(ctx context.Context, b limit.Batch) error {
	err := c.s.transact(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE limit_server SET batch = $1 WHERE one = 1 AND server = $2 AND batch < $1`, b.Number, b.Server)
		if err != nil {
			return err
		}
		if fresh, err := result.RowsAffected(); err != nil || fresh == 0 {
			return firstOf(func() error { return err }, func() error { return isServer(ctx, tx, b.Server) })
		}
		return writeCounters(ctx, tx, b)
	})
	if err != nil {
		return fmt.Errorf("store: write counters: %w", c.s.fault(err))
	}
	return nil
}

// isServer is limit.ErrSuperseded when another server has begun since.
func isServer(ctx context.Context, tx *sql.Tx, name string) error {
	var server string
	if err := tx.QueryRowContext(ctx, `SELECT server FROM limit_server WHERE one = 1`).Scan(&server); err != nil {
		return err
	}
	if server != name {
		return limit.ErrSuperseded
	}
	return nil
}

const secondsADay = 24 * 60 * 60

func writeCounters(ctx context.Context, tx *sql.Tx, b limit.Batch) error {
	return firstOf(
		func() error {
			return eachRow(ctx, tx, `INSERT INTO limit_rates (account, debt, owed_at, per_second, day) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (account) DO UPDATE SET debt = excluded.debt, owed_at = excluded.owed_at, per_second = excluded.per_second, day = excluded.day`, b.Rates,
				func(r limit.Rate) []any {
					return []any{r.Account, r.Debt, r.At.UnixNano(), r.PerSecond, r.At.Unix() / secondsADay}
				})
		},
		func() error {
			return eachRow(ctx, tx, `INSERT INTO limit_days (day, account, requests) VALUES ($1, $2, $3)
				ON CONFLICT (day, account) DO UPDATE SET requests = excluded.requests`, b.Days,
				func(d limit.Day) []any { return []any{d.Day, d.Account, d.Requests} })
		},
		func() error {
			return eachRow(ctx, tx, `INSERT INTO limit_months (month, account, spent) VALUES ($1, $2, $3)
				ON CONFLICT (month, account) DO UPDATE SET spent = excluded.spent`, b.Months,
				func(m limit.Month) []any { return []any{m.Month, m.Account, m.Spent} })
		},
		func() error {
			return eachRow(ctx, tx, `DELETE FROM limit_reservations WHERE key_account = $1 AND request_id = $2`, b.Released,
				func(r limit.Request) []any { return []any{r.Key, r.ID} })
		},
		func() error {
			return eachRow(ctx, tx, `INSERT INTO limit_reservations (key_account, request_id, project_account, month, credits, settled, spent, over_limit, at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (key_account, request_id) DO UPDATE SET project_account = excluded.project_account,
				month = excluded.month, credits = excluded.credits, settled = excluded.settled, spent = excluded.spent, over_limit = excluded.over_limit, at = excluded.at`,
				b.Reservations, func(r limit.Reservation) []any {
					return []any{r.Key, r.ID, r.Project, r.Month, r.Credits, flag(r.Settled), r.Spent, r.Over, r.At.UnixMicro()}
				})
		},
	)
}

// Trim implements limit.Store.
func (c Counters) Trim(ctx context.Context, h limit.Horizon) (int, error) {
	for _, step := range [...]struct {
		statement string
		args      []any
	}{
		{`DELETE FROM limit_reservations WHERE (key_account, request_id) IN (SELECT key_account, request_id FROM limit_reservations
			WHERE settled = 1 AND at < $1 LIMIT $2)`, []any{h.Settled.UnixMicro(), trimChunk}},
		{`DELETE FROM limit_rates WHERE account IN (SELECT account FROM limit_rates WHERE day < (` + latest("day", "limit_days") + `) LIMIT $2)`,
			[]any{h.Days, trimChunk}},
		{`DELETE FROM limit_days WHERE (day, account) IN (SELECT day, account FROM limit_days WHERE day < (` + latest("day", "limit_days") + `) LIMIT $2)`,
			[]any{h.Days, trimChunk}},
		{`DELETE FROM limit_months WHERE (month, account) IN (SELECT month, account FROM limit_months
			WHERE month < (` + latest("month", "limit_months") + `) LIMIT $2)`, []any{h.Months, trimChunk}},
	} {
		removed, err := c.s.remove(ctx, step.statement, step.args...)
		if err != nil || removed > 0 {
			return removed, err
		}
	}
	return 0, nil
}

// latest selects the first of the $1 latest values of a column by which a table is ordered; NULL when there are fewer. It
// goes from one value to the next, whatever the number of rows.
func latest(column, table string) string {
	return fmt.Sprintf(`WITH RECURSIVE latest(value, place) AS (SELECT MAX(%[1]s), 1 FROM %[2]s UNION ALL
		SELECT (SELECT MAX(%[1]s) FROM %[2]s WHERE %[1]s < latest.value), place + 1 FROM latest WHERE place < $1 AND value IS NOT NULL)
		SELECT value FROM latest WHERE place = $1`, column, table)
}
