package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/workflow"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// Workflows is the part of the store that is about workflows. It implements workflow.Store and workflow.Outbox.
type Workflows struct{ s *Store }

var (
	_ workflow.Store  = Workflows{}
	_ workflow.Outbox = Workflows{}
)

// Workflows gives that part.
func (s *Store) Workflows() Workflows { return Workflows{s} }

const workflowColumns = `w.organization_id, w.project_id, w.environment, w.id, w.name, w.url, w.target, w.event, w.template, w.enabled, w.why,
	w.sealed, w.hint, w.former, w.former_until, w.revision, w.created_at, w.created_by, w.updated_at, w.updated_by`

func scanWorkflow(row scanner) (w workflow.Workflow, err error) {
	var created, updated int64
	err = row.Scan(&w.Organization, &w.Project, &w.Environment, &w.ID, &w.Name, &w.URL, &w.Target, &w.Event, &w.Template, &w.Enabled, &w.Why,
		&w.Sealed, &w.Hint, &w.Former, (*moment)(&w.FormerUntil), &w.Revision, &created, &w.CreatedBy, &updated, &w.UpdatedBy)
	w.CreatedAt, w.UpdatedAt = fromMicros(created), fromMicros(updated)
	return w, err
}

// Workflows implements workflow.Store.
func (f Workflows) Workflows(ctx context.Context, project, environment, after string, limit int) ([]workflow.Workflow, error) {
	return list(ctx, f.s.read, scanWorkflow, `SELECT `+workflowColumns+` FROM workflows w
		WHERE w.project_id = $1 AND w.environment = $2 AND w.id > $3 ORDER BY w.id LIMIT $4`, project, environment, after, limit)
}

// FindWorkflow implements workflow.Store.
func (f Workflows) FindWorkflow(ctx context.Context, at workflow.At) (workflow.Workflow, error) {
	w, err := findWorkflow(ctx, f.s.read, at)
	if err != nil {
		return workflow.Workflow{}, fmt.Errorf("store: read a workflow: %w", err)
	}
	return w, nil
}

func findWorkflow(ctx context.Context, from querier, at workflow.At) (workflow.Workflow, error) {
	w, err := scanWorkflow(from.QueryRowContext(ctx, `SELECT `+workflowColumns+` FROM workflows w
		WHERE w.project_id = $1 AND w.environment = $2 AND w.id = $3`, at.Project, at.Environment, at.ID))
	if errors.Is(err, sql.ErrNoRows) {
		return workflow.Workflow{}, workflow.ErrNone
	}
	return w, err
}

// EachWorkflow implements workflow.Store.
func (f Workflows) EachWorkflow(ctx context.Context, do func(workflow.Workflow) error) error {
	all, err := list(ctx, f.s.read, scanWorkflow, `SELECT `+workflowColumns+` FROM workflows w ORDER BY w.project_id, w.environment, w.id`)
	for i := 0; i < len(all) && err == nil; i++ {
		err = do(all[i])
	}
	return err
}

// ChangeWorkflow implements workflow.Store. change must not call the store.
func (f Workflows) ChangeWorkflow(
	ctx context.Context, at workflow.At, change func(w *workflow.Workflow, others int) (*audit.Entry, error),
) (w workflow.Workflow, err error) {
	for range changeAttempts {
		var stored bool
		err = f.s.transact(ctx, func(tx *sql.Tx) (err error) {
			w, stored, err = changeWorkflow(ctx, tx, at, change)
			return err
		})
		if err != nil {
			return workflow.Workflow{}, fmt.Errorf("store: change a workflow: %w", f.s.fault(err))
		}
		if stored {
			return w, nil
		}
	}
	return workflow.Workflow{}, fmt.Errorf("store: the workflow %s was changed by others %d times in a row", at.ID, changeAttempts)
}

// changeWorkflow changes a workflow, unless it is another by then than the one that was changed.
func changeWorkflow(
	ctx context.Context, tx *sql.Tx, at workflow.At, change func(w *workflow.Workflow, others int) (*audit.Entry, error),
) (w workflow.Workflow, stored bool, err error) {
	w, err = findWorkflow(ctx, tx, at)
	if err != nil && !errors.Is(err, workflow.ErrNone) {
		return w, false, err
	}
	others, before := 0, w
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM workflows WHERE project_id = $1 AND environment = $2 AND id <> $3`, at.Project, at.Environment, at.ID).Scan(&others)
	if err != nil {
		return w, false, err
	}
	entry, err := change(&w, others)
	if err != nil || entry == nil {
		return w, err == nil, err
	}
	w.Project, w.Environment, w.ID, w.Revision = at.Project, at.Environment, at.ID, before.Revision+1
	switch {
	case w.Deleted:
		stored, err = deleteWorkflow(ctx, tx, at)
	case before.Revision == 0:
		stored, err = insertWorkflow(ctx, tx, &w)
	default:
		stored, err = updateWorkflow(ctx, tx, &before, &w)
	}
	if err != nil || !stored {
		return w, false, err
	}
	return w, true, insertAudit(ctx, tx, *entry)
}

func insertWorkflow(ctx context.Context, tx *sql.Tx, w *workflow.Workflow) (bool, error) {
	return one(tx.ExecContext(ctx, `INSERT INTO workflows (organization_id, project_id, environment, id, name, url, target, event, template, enabled, why,
			sealed, hint, former, former_until, revision, created_at, created_by, updated_at, updated_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) ON CONFLICT (project_id, environment, id) DO NOTHING`,
		w.Organization, w.Project, w.Environment, w.ID, w.Name, w.URL, w.Target, w.Event, w.Template, flag(w.Enabled), w.Why,
		w.Sealed, w.Hint, w.Former, optional(w.FormerUntil), w.Revision, w.CreatedAt.UnixMicro(), w.CreatedBy, w.UpdatedAt.UnixMicro(), w.UpdatedBy))
}

// updateWorkflow stores a change. What waits to be sent goes to the new target.
func updateWorkflow(ctx context.Context, tx *sql.Tx, before, w *workflow.Workflow) (bool, error) {
	stored, err := one(tx.ExecContext(ctx, `UPDATE workflows SET name = $4, url = $5, target = $6, event = $7, template = $8, enabled = $9, why = $10,
			sealed = $11, hint = $12, former = $13, former_until = $14, revision = $15, updated_at = $16, updated_by = $17
		WHERE project_id = $1 AND environment = $2 AND id = $3 AND revision = $18`,
		w.Project, w.Environment, w.ID, w.Name, w.URL, w.Target, w.Event, w.Template, flag(w.Enabled), w.Why,
		w.Sealed, w.Hint, w.Former, optional(w.FormerUntil), w.Revision, w.UpdatedAt.UnixMicro(), w.UpdatedBy, before.Revision))
	if err != nil || !stored || w.Target == before.Target {
		return stored, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE workflow_deliveries SET target = $4
		WHERE project_id = $1 AND environment = $2 AND workflow_id = $3 AND state = 'pending'`, w.Project, w.Environment, w.ID, w.Target)
	return true, err
}

func deleteWorkflow(ctx context.Context, tx *sql.Tx, at workflow.At) (bool, error) {
	_, err := tx.ExecContext(ctx, `DELETE FROM workflow_deliveries WHERE project_id = $1 AND environment = $2 AND workflow_id = $3`, at.Project, at.Environment, at.ID)
	if err != nil {
		return false, err
	}
	return one(tx.ExecContext(ctx, `DELETE FROM workflows WHERE project_id = $1 AND environment = $2 AND id = $3`, at.Project, at.Environment, at.ID))
}

const deliveryColumns = `id, project_id, environment, workflow_id, digest, user_id, target, body, state, attempts, tries, created_at, since, next_at,
	last_at, ended_at, status, excerpt, fault, key_id`

func scanDelivery(row scanner) (d workflow.Delivery, err error) {
	var created, since, next int64
	var state, fault string
	err = row.Scan(&d.ID, &d.Project, &d.Environment, &d.Workflow, &d.Digest, &d.UserID, &d.Target, &d.Body, &state, &d.Attempts, &d.Tries,
		&created, &since, &next, (*moment)(&d.LastAt), (*moment)(&d.EndedAt), &d.Status, &d.Excerpt, &fault, &d.KeyID)
	d.State, d.Fault = workflow.State(state), outbound.Fault(fault)
	d.CreatedAt, d.Since, d.NextAt = fromMicros(created), fromMicros(since), fromMicros(next)
	return d, err
}

// AddDelivery implements workflow.Outbox.
func (f Workflows) AddDelivery(ctx context.Context, d workflow.Delivery, most int) (there workflow.Delivery, added bool, err error) {
	err = f.s.transact(ctx, func(tx *sql.Tx) error {
		there, err = scanDelivery(tx.QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM workflow_deliveries WHERE id = $1`, d.ID))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, err := findWorkflow(ctx, tx, workflow.At{Project: d.Project, Environment: d.Environment, ID: d.Workflow}); err != nil {
			return err
		}
		pending := 0
		err = tx.QueryRowContext(ctx, `SELECT count(*) FROM workflow_deliveries WHERE project_id = $1 AND environment = $2 AND workflow_id = $3 AND state = 'pending'`,
			d.Project, d.Environment, d.Workflow).Scan(&pending)
		if err != nil {
			return err
		}
		if pending >= most && d.State == workflow.Pending {
			return workflow.ErrFull
		}
		there, added = d, true
		_, err = tx.ExecContext(ctx, `INSERT INTO workflow_deliveries (`+deliveryColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
			d.ID, d.Project, d.Environment, d.Workflow, d.Digest, d.UserID, d.Target, d.Body, string(d.State), d.Attempts, d.Tries,
			d.CreatedAt.UnixMicro(), d.Since.UnixMicro(), d.NextAt.UnixMicro(), optional(d.LastAt), optional(d.EndedAt), d.Status, d.Excerpt, string(d.Fault), d.KeyID)
		return err
	})
	if err != nil {
		return workflow.Delivery{}, false, fmt.Errorf("store: add a delivery: %w", f.s.fault(err))
	}
	return there, added, nil
}

// Deliveries implements workflow.Outbox.
func (f Workflows) Deliveries(ctx context.Context, q workflow.Filter) ([]workflow.Delivery, error) {
	where := conditions{text: `project_id = $1 AND environment = $2 AND workflow_id = $3`, args: []any{q.Project, q.Environment, q.ID}}
	where.and("id", q.Delivery)
	where.and("state", string(q.State))
	if q.After != (workflow.Mark{}) {
		where.after("created_at, id", "<", q.After.CreatedAt.UnixMicro(), q.After.ID)
	}
	limit := where.limit(q.Limit)
	return list(ctx, f.s.read, scanDelivery, `SELECT `+deliveryColumns+` FROM workflow_deliveries
		WHERE `+where.text+` ORDER BY created_at DESC, id DESC LIMIT `+limit, where.args...)
}

// Due implements workflow.Outbox.
func (f Workflows) Due(ctx context.Context, now time.Time, perLane, limit int, except []workflow.Lane) (due []workflow.Delivery, next time.Time, err error) {
	args := []any{now.UnixMicro(), perLane, limit}
	not := ""
	if len(except) > 0 {
		places := make([]string, len(except))
		for i, lane := range except {
			args = append(args, lane.Project, lane.Target)
			places[i] = fmt.Sprintf("($%d, $%d)", len(args)-1, len(args))
		}
		not = ` AND (d.project_id, d.target) NOT IN (VALUES ` + strings.Join(places, ", ") + `)`
	}
	err = f.s.read.QueryRowContext(ctx, `SELECT min(next_at) FROM workflow_deliveries WHERE state = 'pending' AND next_at > $1`, now.UnixMicro()).Scan((*moment)(&next))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("store: read when a delivery is due: %w", err)
	}
	due, err = list(ctx, f.s.read, scanDelivery, `WITH due AS (
			SELECT d.id AS due_id, d.project_id AS of_project, d.next_at AS due_at, ROW_NUMBER() OVER (PARTITION BY d.project_id, d.target ORDER BY d.next_at, d.id) AS place
			FROM workflow_deliveries d JOIN workflows w ON w.project_id = d.project_id AND w.environment = d.environment AND w.id = d.workflow_id
			WHERE d.state = 'pending' AND d.next_at <= $1 AND w.enabled = 1`+not+`),
		turns AS (SELECT due_id, ROW_NUMBER() OVER (PARTITION BY of_project ORDER BY place, due_at, due_id) AS turn FROM due WHERE place <= $2)
		SELECT `+deliveryColumns+` FROM turns JOIN workflow_deliveries ON id = due_id
		ORDER BY turn, next_at, id LIMIT $3`, args...)
	return due, next, err
}

// Settle implements workflow.Outbox.
func (f Workflows) Settle(ctx context.Context, from, to *workflow.Delivery) (bool, error) {
	stored, err := one(f.s.write.ExecContext(ctx, `UPDATE workflow_deliveries SET state = $2, attempts = $3, tries = $4, since = $5, next_at = $6, last_at = $7,
			ended_at = $8, status = $9, excerpt = $10, fault = $11, target = CASE WHEN $12 = 1 THEN $13 ELSE target END
		WHERE id = $1 AND state = $14 AND tries = $15`,
		to.ID, string(to.State), to.Attempts, to.Tries, to.Since.UnixMicro(), to.NextAt.UnixMicro(), optional(to.LastAt),
		optional(to.EndedAt), to.Status, to.Excerpt, string(to.Fault), flag(to.Target != from.Target), to.Target, string(from.State), from.Tries))
	if err != nil {
		return false, fmt.Errorf("store: settle a delivery: %w", f.s.fault(err))
	}
	return stored, nil
}

// TrimDeliveries implements workflow.Outbox.
func (f Workflows) TrimDeliveries(ctx context.Context, before time.Time, most int) (int, error) {
	n, err := f.s.remove(ctx, `DELETE FROM workflow_deliveries WHERE id IN (
		SELECT id FROM workflow_deliveries WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)`, before.UnixMicro(), trimChunk)
	if err != nil || n > 0 {
		return n, err
	}
	return f.s.remove(ctx, `DELETE FROM workflow_deliveries WHERE id IN (SELECT id FROM (
		SELECT id, ROW_NUMBER() OVER (PARTITION BY project_id, environment, workflow_id ORDER BY created_at DESC, id DESC) AS place
		FROM workflow_deliveries WHERE ended_at IS NOT NULL) AS placed WHERE place > $1 LIMIT $2)`, most, trimChunk)
}
