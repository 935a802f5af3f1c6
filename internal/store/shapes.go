package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/ledger"
)

const shapeColumns = `id, generation, ` + aboutColumns + `, origin, via, signed, agent, sdk, other`

func keepShapes(ctx context.Context, tx *sql.Tx, list []ledger.Seen) error {
	return eachRow(ctx, tx, `INSERT INTO attempt_shapes (project_id, day_at, `+shapeColumns+`, first_at, last_at, requests, refused, items)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
		ON CONFLICT (project_id, key_id, day_at, id) DO UPDATE SET
			first_at = CASE WHEN excluded.first_at < attempt_shapes.first_at THEN excluded.first_at ELSE attempt_shapes.first_at END,
			last_at = CASE WHEN excluded.last_at > attempt_shapes.last_at THEN excluded.last_at ELSE attempt_shapes.last_at END,
			requests = attempt_shapes.requests + excluded.requests, refused = attempt_shapes.refused + excluded.refused,
			items = attempt_shapes.items + excluded.items`, list,
		func(s ledger.Seen) []any {
			args := append([]any{s.Project, startOfDay(s.Last), s.ID, s.Generation}, aboutValues(&s.About)...)
			return append(args, s.Origin, s.Via.String(), s.Signed.String(), s.Agent, s.SDK, flag(s.Other),
				s.First.UnixMicro(), s.Last.UnixMicro(), s.Requests, s.Refused, s.Items)
		})
}

func keepUses(ctx context.Context, tx *sql.Tx, list []ledger.LastUse) error {
	return eachRow(ctx, tx, `INSERT INTO key_uses (project_id, key_id, generation, last_at, address, agent, sdk) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (project_id, key_id, generation) DO UPDATE SET
			last_at = excluded.last_at, address = excluded.address, agent = excluded.agent, sdk = excluded.sdk
		WHERE excluded.last_at >= key_uses.last_at`, list,
		func(u ledger.LastUse) []any {
			return []any{u.Project, u.KeyID, u.Generation, u.At.UnixMicro(), writeAddress(u.Address), u.Client.Agent, u.Client.SDK}
		})
}

// Shapes implements ledger.Store.
func (s *Store) Shapes(ctx context.Context, q ledger.ShapeQuery) ([]ledger.Seen, error) {
	where := conditions{
		text: `project_id = $1 AND key_id = $2 AND day_at >= $3 AND day_at < $4`,
		args: []any{q.Project, q.KeyID, q.From.UnixMicro(), q.To.UnixMicro()},
	}
	where.live("key_id", q.Live)
	where.and("outcome", q.Outcome.String())
	if q.Generation != 0 {
		where.bound("generation =", q.Generation)
	}
	values, apart, order := shapeColumns, shapeColumns, "id"
	if q.Clients {
		values = `'', generation, '', '', '', '', '', '', network, '', '', '', agent, sdk, 0`
		apart = "generation, network, agent, sdk"
		order = apart
		where.after(order, ">", q.After.Generation, q.After.Network, q.After.Agent, q.After.SDK)
	} else {
		where.bound("id >", q.AfterID)
	}
	limit := where.limit(q.Limit)
	return list(ctx, s.read, scanSeen, `SELECT project_id, `+values+`, MIN(first_at), MAX(last_at), SUM(requests), SUM(refused), SUM(items)
		FROM attempt_shapes WHERE `+where.text+` GROUP BY project_id, `+apart+` ORDER BY `+order+` LIMIT `+limit, where.args...)
}

func scanSeen(row scanner) (s ledger.Seen, err error) {
	var (
		first, last                           int64
		outcome, action, network, via, signed string
	)
	err = row.Scan(&s.Project, &s.ID, &s.Generation, &s.KeyID, &outcome, &s.Reason, &action, &s.Environment, &s.Event, &network,
		&s.Origin, &via, &signed, &s.Agent, &s.SDK, &s.Other, &first, &last, &s.Requests, &s.Refused, &s.Items)
	s.Outcome, _ = ledger.ParseOutcome(outcome)
	s.Signed, _ = access.ParseSigned(signed)
	s.Action, s.Network, s.Via = actionNamed(action), readNetwork(network), viaNamed(via)
	s.First, s.Last = fromMicros(first), fromMicros(last)
	return s, err
}

// LastUsed implements ledger.Store.
func (s *Store) LastUsed(ctx context.Context, project string, keyIDs []string) ([]ledger.LastUse, error) {
	if len(keyIDs) == 0 {
		return nil, nil
	}
	args, names := []any{project}, make([]string, len(keyIDs))
	for i, id := range keyIDs {
		args, names[i] = append(args, id), fmt.Sprintf("$%d", i+2)
	}
	return list(ctx, s.read, func(row scanner) (u ledger.LastUse, err error) {
		var (
			at      int64
			address string
		)
		err = row.Scan(&u.Project, &u.KeyID, &u.Generation, &at, &address, &u.Client.Agent, &u.Client.SDK)
		u.At, u.Address = fromMicros(at), readAddress(address)
		return u, err
	}, `SELECT project_id, key_id, generation, last_at, address, agent, sdk FROM key_uses
		WHERE project_id = $1 AND key_id IN (`+strings.Join(names, ", ")+`) ORDER BY key_id, generation`, args...)
}
