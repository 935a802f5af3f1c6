package api

import (
	"context"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
)

// Denial is one request, or some items of one, that was denied.
type Denial struct {
	ID          string    `json:"id" doc:"The decision_id of the problem that was answered."`
	At          time.Time `json:"at"`
	KeyID       string    `json:"key_id"`
	Action      string    `json:"action" example:"run_sql"`
	Reason      string    `json:"reason" doc:"Why, in full: more than the sender was told." example:"key_expired"`
	Rule        string    `json:"rule" doc:"The rule of the policy that said no."`
	Environment string    `json:"environment,omitzero"`
	Event       string    `json:"event,omitzero"`
	Count       int       `json:"count" doc:"How many items of the request it stands for."`
	Address     string    `json:"address" doc:"Where the request came from."`
	RequestID   string    `json:"request_id"`
}

// DenialPage is one page of a list of denials.
type DenialPage struct {
	Data       []Denial `json:"data" doc:"Newest first."`
	NextCursor *string  `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// Usage is how often a key did something in an hour.
type Usage struct {
	Hour        time.Time `json:"hour" doc:"When the hour began, UTC."`
	KeyID       string    `json:"key_id"`
	Action      string    `json:"action" example:"write_events"`
	Environment string    `json:"environment,omitzero"`
	Requests    int64     `json:"requests"`
	Items       int64     `json:"items"`
}

// UsagePage is one page of counts.
type UsagePage struct {
	Data       []Usage `json:"data"`
	NextCursor *string `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type listDenials struct {
	ID     string `query:"id" maxLength:"200" doc:"One denial, by its decision id."`
	KeyID  string `query:"key_id" maxLength:"64" doc:"Only of this key."`
	Reason string `query:"reason" maxLength:"64" doc:"Only for this reason."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor string `query:"cursor" maxLength:"500" doc:"Where to go on, from the page before."`
}

type listUsage struct {
	KeyID  string    `query:"key_id" maxLength:"64" doc:"Only of this key."`
	From   time.Time `query:"from" doc:"Hours that begin at this time or later; by default all."`
	To     time.Time `query:"to" doc:"Hours that begin before this time; by default until now."`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" doc:"How many at the most; by default 200."`
	Cursor string    `query:"cursor" maxLength:"500" doc:"Where to go on, from the page before."`
}

func mountLedger(a *API) {
	mount(a, endpoint[listDenials, DenialPage]{
		Method: "GET", Path: "/v1/denials", Action: access.ReadLedger,
		Read: bound[listDenials](a), Wants: wantsNothing[listDenials],
		Do: a.denials,
		Doc: doc{
			ID: "listDenials", Tag: "Ledger", Summary: "List what was denied",
			Text: "Newest first. Requests with keys that are not known belong to no project and are not listed.",
		},
	})
	mount(a, endpoint[listUsage, UsagePage]{
		Method: "GET", Path: "/v1/usage", Action: access.ReadLedger,
		Read: bound[listUsage](a), Wants: wantsNothing[listUsage],
		Do: a.usage,
		Doc: doc{
			ID: "listUsage", Tag: "Ledger", Summary: "Count what was allowed",
			Text: "Requests and items by key, action, environment and hour.",
		},
	})
}

func (a *API) denials(ctx context.Context, permit gate.Permit, in listDenials) (DenialPage, error) {
	list, next, err := a.cfg.Ledger.Denials(ctx, permit, ledger.Filter{
		ID: in.ID, KeyID: in.KeyID, Reason: in.Reason, Before: in.Cursor, Limit: orDefault(in.Limit, 50),
	})
	if err != nil {
		return DenialPage{}, err
	}
	page := DenialPage{Data: make([]Denial, len(list)), NextCursor: cursor(next)}
	for i, d := range list {
		page.Data[i] = Denial{
			ID: d.ID, At: d.At, KeyID: d.KeyID, Action: d.Action.String(), Reason: d.Reason, Rule: d.Rule, Environment: d.Environment,
			Event: d.Event, Count: d.Count, Address: d.Address.String(), RequestID: d.RequestID,
		}
	}
	return page, nil
}

func (a *API) usage(ctx context.Context, permit gate.Permit, in listUsage) (UsagePage, error) {
	list, next, err := a.cfg.Ledger.Usage(ctx, permit, ledger.Window{
		From: in.From, To: in.To, KeyID: in.KeyID, After: in.Cursor, Limit: orDefault(in.Limit, 200),
	})
	if err != nil {
		return UsagePage{}, err
	}
	page := UsagePage{Data: make([]Usage, len(list)), NextCursor: cursor(next)}
	for i, u := range list {
		page.Data[i] = Usage{Hour: u.Hour, KeyID: u.KeyID, Action: u.Action.String(), Environment: u.Environment, Requests: u.Requests, Items: u.Items}
	}
	return page, nil
}
