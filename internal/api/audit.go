package api

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
)

// AuditEntry is one administrative change, or one reading of their record.
type AuditEntry struct {
	ID        string         `json:"id"`
	At        time.Time      `json:"at"`
	Actor     string         `json:"actor" doc:"The id of the key that asked; 'operator', for whoever holds the data folder; or 'system', for what the server does by itself."`
	Address   string         `json:"address" doc:"Where it came from; empty when that is not known."`
	RequestID string         `json:"request_id"`
	Action    string         `json:"action" doc:"What was done." example:"key.update"`
	Subject   string         `json:"subject" doc:"The id of what it was done to." example:"key_3fQ9xT0aLmZk"`
	Before    jsontext.Value `json:"before,omitzero" doc:"What it was before, without secrets."`
	After     jsontext.Value `json:"after,omitzero" doc:"What it is afterwards; of a reading, what was asked for."`
}

// AuditPage is one page of the audit.
type AuditPage struct {
	Data       []AuditEntry `json:"data" doc:"Newest first."`
	NextCursor *string      `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type listAudit struct {
	Actor   string    `query:"actor" maxLength:"64" doc:"Only by this key, 'operator' or 'system'."`
	Subject string    `query:"subject" maxLength:"100" doc:"Only about the thing of this id."`
	Action  string    `query:"action" maxLength:"64" doc:"Only of this action." example:"key.update"`
	From    time.Time `query:"from" doc:"Made at this time or later."`
	To      time.Time `query:"to" doc:"Made before this time."`
	Limit   int       `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor  string    `query:"cursor" maxLength:"500" doc:"Where to go on, from the page before."`
}

func mountAudit(a *API) {
	mount(a, endpoint[listAudit, AuditPage]{
		Method: "GET", Path: "/v1/audit", Action: access.ReadAudit,
		Read: bound[listAudit](a), Wants: wantsNothing[listAudit],
		Do: func(ctx context.Context, permit gate.Permit, in listAudit) (AuditPage, error) {
			list, next, err := a.cfg.Audit.List(ctx, permit, audit.Filter{
				Actor: in.Actor, Subject: in.Subject, Action: in.Action, From: in.From, To: in.To, Before: in.Cursor, Limit: orDefault(in.Limit, 50),
			})
			page := AuditPage{Data: make([]AuditEntry, len(list)), NextCursor: cursor(next)}
			for i, e := range list {
				page.Data[i] = AuditEntry{
					ID: e.ID, At: e.At, Actor: e.Actor, Address: shownAddress(e.Address), RequestID: e.RequestID, Action: e.Action, Subject: e.Subject,
					Before: jsontext.Value(e.Before), After: jsontext.Value(e.After),
				}
			}
			return page, err
		},
		Doc: doc{
			ID: "listAudit", Tag: "Ledger", Summary: "List who changed what",
			Text: "Newest first. Entries are only ever added, and reading them adds one. A test key sees only what is about test keys.",
		},
	})
}
