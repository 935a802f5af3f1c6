package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
)

// Keep implements ledger.Store.
func (s *Store) Keep(ctx context.Context, b ledger.Batch) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO ledger_writers (writer, batch) VALUES ($1, $2)
			ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch WHERE ledger_writers.batch < excluded.batch`, b.Writer, b.Number)
		if err != nil {
			return err
		}
		if fresh, err := result.RowsAffected(); err != nil || fresh == 0 {
			return err
		}
		if err := keepDenials(ctx, tx, b.Denials); err != nil {
			return err
		}
		if err := keepDenied(ctx, tx, b.Denied); err != nil {
			return err
		}
		return keepUsed(ctx, tx, b.Used)
	})
	if err != nil {
		return fmt.Errorf("store: keep a batch of the ledger: %w", s.fault(err))
	}
	return nil
}

// eachRow runs one statement for each item of a list.
func eachRow[T any](ctx context.Context, tx *sql.Tx, statement string, list []T, args func(T) []any) error {
	if len(list) == 0 {
		return nil
	}
	prepared, err := tx.PrepareContext(ctx, statement)
	if err != nil {
		return err
	}
	defer func() { _ = prepared.Close() }() // the transaction ends with or without it
	for _, item := range list {
		if _, err := prepared.ExecContext(ctx, args(item)...); err != nil {
			return err
		}
	}
	return nil
}

const denialColumns = `id, decided_at, organization_id, project_id, key_id, action, reason, rule, environment, event, items, address, request_id`

func keepDenials(ctx context.Context, tx *sql.Tx, list []gate.Denial) error {
	return eachRow(ctx, tx, `INSERT INTO denials (`+denialColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING`, list,
		func(d gate.Denial) []any {
			address := ""
			if d.Address.IsValid() {
				address = d.Address.String()
			}
			return []any{d.ID, d.At.UnixMicro(), d.Organization, d.Project, d.KeyID, d.Action.String(), d.Reason, d.Rule,
				d.Environment, d.Event, d.Count, address, d.RequestID}
		})
}

func keepDenied(ctx context.Context, tx *sql.Tx, list []ledger.Denied) error {
	return eachRow(ctx, tx, `INSERT INTO denial_counts (project_id, hour_at, key_id, reason, denials, items)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project_id, hour_at, key_id, reason)
		DO UPDATE SET denials = denial_counts.denials + excluded.denials, items = denial_counts.items + excluded.items`, list,
		func(d ledger.Denied) []any {
			return []any{d.Project, d.Hour.UnixMicro(), d.KeyID, d.Reason, d.Denials, d.Items}
		})
}

func keepUsed(ctx context.Context, tx *sql.Tx, list []ledger.Used) error {
	return eachRow(ctx, tx, `INSERT INTO use_counts (project_id, hour_at, key_id, action, environment, requests, items)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (project_id, hour_at, key_id, action, environment)
		DO UPDATE SET requests = use_counts.requests + excluded.requests, items = use_counts.items + excluded.items`, list,
		func(u ledger.Used) []any {
			return []any{u.Project, u.Hour.UnixMicro(), u.KeyID, u.Action.String(), u.Environment, u.Requests, u.Items}
		})
}

// conditions are the parts of a WHERE and their arguments.
type conditions struct {
	text string
	args []any
}

// and adds a condition on one column, unless value is empty.
func (c *conditions) and(column, value string) {
	if value == "" {
		return
	}
	c.args = append(c.args, value)
	c.text += fmt.Sprintf(" AND %s = $%d", column, len(c.args))
}

// Denials implements ledger.Store.
func (s *Store) Denials(ctx context.Context, q ledger.DenialQuery) ([]gate.Denial, error) {
	where := conditions{text: `project_id = $1`, args: []any{q.Project}}
	where.and("id", q.ID)
	where.and("key_id", q.KeyID)
	where.and("reason", q.Reason)
	if q.Before != (ledger.Place{}) {
		where.args = append(where.args, q.Before.At.UnixMicro(), q.Before.ID)
		where.text += fmt.Sprintf(` AND (decided_at, id) < ($%d, $%d)`, len(where.args)-1, len(where.args))
	}
	where.args = append(where.args, q.Limit)
	return list(ctx, s.read, scanDenial, fmt.Sprintf(`SELECT `+denialColumns+` FROM denials
		WHERE %s ORDER BY decided_at DESC, id DESC LIMIT $%d`, where.text, len(where.args)), where.args...)
}

// Denied implements ledger.Store.
func (s *Store) Denied(ctx context.Context, q ledger.CountQuery) ([]ledger.Denied, error) {
	where := inWindow(q, `(hour_at, key_id, reason) > ($4, $5, $6)`, q.After.Hour.UnixMicro(), q.After.KeyID, q.After.What)
	return list(ctx, s.read, func(row scanner) (d ledger.Denied, err error) {
		var hour int64
		err = row.Scan(&d.Project, &hour, &d.KeyID, &d.Reason, &d.Denials, &d.Items)
		d.Hour = fromMicros(hour)
		return d, err
	}, fmt.Sprintf(`SELECT project_id, hour_at, key_id, reason, denials, items FROM denial_counts
		WHERE %s ORDER BY hour_at, key_id, reason LIMIT $%d`, where.text, len(where.args)), where.args...)
}

// Used implements ledger.Store.
func (s *Store) Used(ctx context.Context, q ledger.CountQuery) ([]ledger.Used, error) {
	where := inWindow(q, `(hour_at, key_id, action, environment) > ($4, $5, $6, $7)`,
		q.After.Hour.UnixMicro(), q.After.KeyID, q.After.What, q.After.Environment)
	return list(ctx, s.read, func(row scanner) (u ledger.Used, err error) {
		var (
			hour   int64
			action string
		)
		err = row.Scan(&u.Project, &hour, &u.KeyID, &action, &u.Environment, &u.Requests, &u.Items)
		u.Hour, u.Action = fromMicros(hour), actionNamed(action)
		return u, err
	}, fmt.Sprintf(`SELECT project_id, hour_at, key_id, action, environment, requests, items FROM use_counts
		WHERE %s ORDER BY hour_at, key_id, action, environment LIMIT $%d`, where.text, len(where.args)), where.args...)
}

// inWindow is the condition of a list of counts. Its last argument is the limit.
func inWindow(q ledger.CountQuery, after string, place ...any) conditions {
	where := conditions{
		text: `project_id = $1 AND hour_at >= $2 AND hour_at < $3 AND ` + after,
		args: append([]any{q.Project, q.From.UnixMicro(), q.To.UnixMicro()}, place...),
	}
	where.and("key_id", q.KeyID)
	where.args = append(where.args, q.Limit)
	return where
}

// list reads every row of an answer.
func list[T any](ctx context.Context, db *sql.DB, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: read the ledger: %w", err)
	}
	defer func() { _ = rows.Close() }() // its error is that of Err
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("store: read the ledger: %w", err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: read the ledger: %w", err)
	}
	return all, nil
}

func scanDenial(row scanner) (gate.Denial, error) {
	var (
		d               gate.Denial
		at              int64
		action, address string
	)
	err := row.Scan(&d.ID, &at, &d.Organization, &d.Project, &d.KeyID, &action, &d.Reason, &d.Rule, &d.Environment, &d.Event,
		&d.Count, &address, &d.RequestID)
	d.At, d.Action = fromMicros(at), actionNamed(action)
	d.Address, _ = netip.ParseAddr(address) // an empty one is no address
	return d, err
}

// actionNamed is the action of a name. One that this program does not know is the undeclared action.
func actionNamed(name string) access.Action {
	for _, a := range access.Actions() {
		if a.String() == name {
			return a
		}
	}
	return 0
}

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
	for _, table := range [...]string{"denial_counts", "use_counts"} {
		removed, err := s.remove(ctx, `DELETE FROM `+table+`
			WHERE project_id IN (SELECT id FROM projects UNION ALL SELECT '') AND hour_at < $1`, h.Counts.UnixMicro())
		if err != nil || removed > 0 {
			return removed, err
		}
	}
	return 0, nil
}

func (s *Store) remove(ctx context.Context, statement string, args ...any) (int, error) {
	result, err := s.write.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, fmt.Errorf("store: trim the ledger: %w", s.fault(err))
	}
	removed, err := result.RowsAffected()
	return int(removed), err
}
