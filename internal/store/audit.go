package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"

	"github.com/weir-analytics/weir/internal/audit"
)

const auditColumns = `id, made_at, organization_id, project_id, actor, address, request_id, action, subject, before_json, after_json`

// insertAudit adds an entry in the transaction of the change it is about. An entry whose id is there already changes
// nothing, so that a transaction can be tried again.
func insertAudit(ctx context.Context, tx *sql.Tx, e audit.Entry) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit_entries (`+auditColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING`,
		e.ID, e.At.UnixMicro(), e.Organization, e.Project, e.Actor, writeAddress(e.Address), e.RequestID, e.Action, e.Subject,
		string(e.Before), string(e.After))
	if err != nil {
		return fmt.Errorf("store: add to the audit: %w", err)
	}
	return nil
}

// writeAddress is an address as it is stored; no address is the empty text.
func writeAddress(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
