package store

import (
	"context"
	"fmt"

	"github.com/weir-analytics/weir/internal/workflow"
)

// DropTriggered implements workflow.Store.
func (f Workflows) DropTriggered(ctx context.Context, by workflow.Triggered, dry bool) (n int, err error) {
	const where = ` FROM workflow_deliveries WHERE project_id = $1 AND environment = $2 AND key_id = $3 AND key_id <> ''
		AND ($4 IS NULL OR created_at >= $4) AND ($5 IS NULL OR created_at < $5)`
	args := []any{by.Project, by.Environment, by.KeyID, optional(by.From), optional(by.Until)}
	if !dry {
		return f.s.remove(ctx, `DELETE`+where, args...)
	}
	if err := f.s.read.QueryRowContext(ctx, `SELECT count(*)`+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("store: count deliveries: %w", err)
	}
	return n, nil
}
