package store

import (
	"context"
	"fmt"

	"github.com/weir-analytics/weir/internal/event"
)

// DropDeliveries implements workflow.Outbox.
func (f Workflows) DropDeliveries(ctx context.Context, t event.Traces, dry bool) (dropped int64, err error) {
	if t.KeyID == "" {
		return f.dropNaming(ctx, t.Project, t.Environment, t.IDs, dry)
	}
	const where = ` FROM workflow_deliveries WHERE project_id = $1 AND environment = $2 AND key_id = $3
		AND ($4 IS NULL OR created_at >= $4) AND ($5 IS NULL OR created_at < $5)`
	args := []any{t.Project, t.Environment, t.KeyID, optional(t.From), optional(t.Until)}
	if !dry {
		n, err := f.s.remove(ctx, `DELETE`+where, args...)
		return int64(n), err
	}
	if err := f.s.read.QueryRowContext(ctx, `SELECT count(*)`+where, args...).Scan(&dropped); err != nil {
		return 0, fmt.Errorf("store: count deliveries: %w", err)
	}
	return dropped, nil
}
