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

func readAddress(text string) netip.Addr {
	a, _ := netip.ParseAddr(text) // an empty one is no address
	return a
}

// Append implements audit.Store.
func (s *Store) Append(ctx context.Context, e audit.Entry) error {
	err := s.transact(ctx, func(tx *sql.Tx) error { return insertAudit(ctx, tx, e) })
	return s.fault(err)
}

// Entries implements audit.Store.
func (s *Store) Entries(ctx context.Context, q audit.Query) ([]audit.Entry, error) {
	where := conditions{text: `project_id = $1`, args: []any{q.Project}}
	where.live("subject", q.Live)
	where.and("actor", q.Actor)
	where.and("subject", q.Subject)
	where.and("action", q.Action)
	if !q.From.IsZero() {
		where.bound("made_at >=", q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		where.bound("made_at <", q.To.UnixMicro())
	}
	if q.Before != (audit.Place{}) {
		where.after("made_at, id", "<", q.Before.At.UnixMicro(), q.Before.ID)
	}
	limit := where.limit(q.Limit)
	return list(ctx, s.read, scanEntry, `SELECT `+auditColumns+` FROM audit_entries
		WHERE `+where.text+` ORDER BY made_at DESC, id DESC LIMIT `+limit, where.args...)
}

func scanEntry(row scanner) (e audit.Entry, err error) {
	var (
		at                     int64
		address, before, after string
	)
	err = row.Scan(&e.ID, &at, &e.Organization, &e.Project, &e.Actor, &address, &e.RequestID, &e.Action, &e.Subject, &before, &after)
	e.At, e.Address = fromMicros(at), readAddress(address)
	if before != "" {
		e.Before = []byte(before)
	}
	if after != "" {
		e.After = []byte(after)
	}
	return e, err
}
