package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

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
		if err := keepCounts(ctx, tx, b.Counts); err != nil {
			return err
		}
		if err := keepShapes(ctx, tx, b.Shapes); err != nil {
			return err
		}
		return keepUses(ctx, tx, b.Uses)
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

const denialColumns = `id, decided_at, organization_id, project_id, key_id, action, reason, rule, environment, event, items, address, request_id,
	generation, outcome, origin, via, signed, agent, sdk, failed, remedies, detail`

func keepDenials(ctx context.Context, tx *sql.Tx, list []gate.Denial) error {
	return eachRow(ctx, tx, `INSERT INTO denials (`+denialColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23) ON CONFLICT (id) DO NOTHING`, list,
		func(d gate.Denial) []any {
			return []any{
				d.ID, d.At.UnixMicro(), d.Organization, d.Project, d.KeyID, d.Action.String(), d.Reason, d.Rule,
				d.Environment, d.Event, d.Count, writeAddress(d.Address), d.RequestID,
				d.Generation, ledger.OutcomeOf(&d).String(), d.Origin, d.Via.String(), d.Signed.String(), d.Client.Agent, d.Client.SDK,
				writeSteps(d.Failed), writeRemedies(d.Remedies), d.Detail,
			}
		})
}

// step and remedy are parts of an explanation as they are stored.
type (
	step struct {
		Rule     string `json:"r"`
		Target   int    `json:"t"`
		Reason   string `json:"y"`
		Observed bool   `json:"o,omitempty"`
		Key      string `json:"k,omitempty"`
	}
	remedy struct {
		Of    string `json:"of"`
		Field string `json:"f"`
		Do    string `json:"do"`
		Value string `json:"v,omitempty"`
	}
)

func writeSteps(steps []access.Step) string {
	list := make([]step, len(steps))
	for i, s := range steps {
		list[i] = step{s.Rule, s.Target, s.Reason.String(), s.Observed, s.Key}
	}
	return writeParts(list)
}

func writeRemedies(remedies []access.Remedy) string {
	list := make([]remedy, len(remedies))
	for i, r := range remedies {
		list[i] = remedy(r)
	}
	return writeParts(list)
}

// writeParts is a list as it is stored; an empty one is the empty text.
func writeParts[T any](list []T) string {
	if len(list) == 0 {
		return ""
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("store: a list cannot be written: %v", err)) // texts and numbers always can
	}
	return string(text)
}

// readParts reads what writeParts has written.
func readParts[T, U any](text string, from func(T) U) ([]U, error) {
	if text == "" {
		return nil, nil
	}
	var stored []T
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return nil, err
	}
	list := make([]U, len(stored))
	for i := range stored {
		list[i] = from(stored[i])
	}
	return list, nil
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

// live leaves only what is about keys of test mode, for a caller that does not see live things.
func (c *conditions) live(column string, live bool) {
	if !live {
		c.text += ` AND ` + column + ` IN (SELECT id FROM keys WHERE project_id = $1 AND mode = 'test')`
	}
}

// bound adds a condition such as "decided_at >=" on a value.
func (c *conditions) bound(condition string, value any) {
	c.args = append(c.args, value)
	c.text += fmt.Sprintf(" AND %s $%d", condition, len(c.args))
}

// after adds that the columns, together, come behind a place in the order of a list; or before one, with "<".
func (c *conditions) after(columns, than string, place ...any) {
	c.text += " AND (" + columns + ") " + than + " ("
	for i, value := range place {
		if i > 0 {
			c.text += ", "
		}
		c.args = append(c.args, value)
		c.text += fmt.Sprintf("$%d", len(c.args))
	}
	c.text += ")"
}

// limit adds the limit, as the last argument, and gives its name.
func (c *conditions) limit(n int) string {
	c.args = append(c.args, n)
	return fmt.Sprintf("$%d", len(c.args))
}

// Denials implements ledger.Store.
func (s *Store) Denials(ctx context.Context, q ledger.DenialQuery) ([]gate.Denial, error) {
	where := conditions{text: `project_id = $1`, args: []any{q.Project}}
	where.live("key_id", q.Live)
	where.and("id", q.ID)
	where.and("key_id", q.KeyID)
	where.and("reason", q.Reason)
	where.and("action", ledger.ActionName(q.Action))
	where.and("outcome", q.Outcome.String())
	if !q.From.IsZero() {
		where.bound("decided_at >=", q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		where.bound("decided_at <", q.To.UnixMicro())
	}
	if q.Before != (ledger.Place{}) {
		where.after("decided_at, id", "<", q.Before.At.UnixMicro(), q.Before.ID)
	}
	limit := where.limit(q.Limit)
	return list(ctx, s.read, scanDenial, `SELECT `+denialColumns+` FROM denials
		WHERE `+where.text+` ORDER BY decided_at DESC, id DESC LIMIT `+limit, where.args...)
}

// list reads every row of an answer.
func list[T any](ctx context.Context, db *sql.DB, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: read: %w", err)
	}
	defer func() { _ = rows.Close() }() // its error is that of Err
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("store: read: %w", err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: read: %w", err)
	}
	return all, nil
}

func scanDenial(row scanner) (gate.Denial, error) {
	var (
		d                                     gate.Denial
		at                                    int64
		action, address, outcome, via, signed string
		failed, remedies                      string
		brokenSteps, brokenRemedies           error
	)
	err := row.Scan(&d.ID, &at, &d.Organization, &d.Project, &d.KeyID, &action, &d.Reason, &d.Rule, &d.Environment, &d.Event,
		&d.Count, &address, &d.RequestID, &d.Generation, &outcome, &d.Origin, &via, &signed, &d.Client.Agent, &d.Client.SDK,
		&failed, &remedies, &d.Detail)
	if err != nil {
		return d, err
	}
	d.At, d.Action, d.Address = fromMicros(at), actionNamed(action), readAddress(address)
	d.Observed, d.Via = outcome == ledger.Observed.String(), viaNamed(via)
	d.Signed, _ = access.ParseSigned(signed)
	d.Failed, brokenSteps = readParts(failed, func(s step) access.Step {
		return access.Step{Rule: s.Rule, Target: s.Target, Reason: reasonNamed(s.Reason), Observed: s.Observed, Key: s.Key}
	})
	d.Remedies, brokenRemedies = readParts(remedies, func(r remedy) access.Remedy { return access.Remedy(r) })
	return d, errors.Join(brokenSteps, brokenRemedies)
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

// reasonNamed is the reason of a name. One that this program does not know is the undecided reason.
func reasonNamed(name string) access.Reason {
	for r := access.Allowed; r.String() != access.Reason(0).String(); r++ {
		if r.String() == name {
			return r
		}
	}
	return 0
}

func viaNamed(name string) access.Via {
	for _, via := range [...]access.Via{access.InHeader, access.InQuery, access.InBody, access.InLink} {
		if via.String() == name {
			return via
		}
	}
	return 0
}
