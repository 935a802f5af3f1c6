package api

import (
	"context"
	"net/netip"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/problem"
)

// KeyUse is the last time a key was used with success.
type KeyUse struct {
	At         time.Time `json:"at"`
	Address    string    `json:"address" doc:"Empty when it was not known."`
	Agent      string    `json:"user_agent,omitzero"`
	SDK        string    `json:"sdk,omitzero" doc:"The library that was used, if it said so."`
	Generation int       `json:"generation" doc:"Of the secret that was used."`
}

// KeyClient is who used a key: a program in a network, with one of the key's secrets.
type KeyClient struct {
	Generation int       `json:"generation" doc:"Of the secret that was used."`
	Network    string    `json:"network" doc:"Empty when the address was not known, or when clients were too many to tell apart." example:"203.0.113.0/24"`
	Client     string    `json:"client" doc:"What the User-Agent names, without the details of its version." example:"curl/8"`
	SDK        string    `json:"sdk" doc:"The library that was used, if it said so."`
	FirstAt    time.Time `json:"first_at"`
	LastAt     time.Time `json:"last_at"`
	Requests   int64     `json:"requests" doc:"Decisions: a request of which some items were refused is more than one."`
	Refused    int64     `json:"refused" doc:"How many of them were denied, be it by the policy or by a limit."`
}

// KeyClientPage is one page of a list of clients.
type KeyClientPage struct {
	Data       []KeyClient `json:"data" doc:"By secret, the oldest first; then by network and client."`
	NextCursor *string     `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// KeyShape is what attempts of a key had in common.
type KeyShape struct {
	ID          string    `json:"id" doc:"The same for the same shape."`
	Outcome     string    `json:"outcome" enum:"allowed,denied,observed,limited"`
	Reason      string    `json:"reason,omitzero" doc:"Why not."`
	Generation  int       `json:"generation" doc:"Of the secret that was used."`
	Action      string    `json:"action,omitzero" example:"write_events"`
	Environment string    `json:"environment,omitzero"`
	Event       string    `json:"event,omitzero"`
	Network     string    `json:"network,omitzero" example:"203.0.113.0/24"`
	Origin      string    `json:"origin,omitzero"`
	Via         string    `json:"via,omitzero" enum:"none,header,query,body,link"`
	Signed      string    `json:"signed,omitzero" enum:"unsigned,claimed,right,wrong"`
	Client      string    `json:"client,omitzero" example:"curl/8"`
	SDK         string    `json:"sdk,omitzero"`
	Other       bool      `json:"other,omitzero" doc:"It stands for all that were too many to tell apart on a day."`
	FirstAt     time.Time `json:"first_at"`
	LastAt      time.Time `json:"last_at"`
	Requests    int64     `json:"requests"`
	Items       int64     `json:"items"`
}

// KeyShapePage is one page of a list of shapes.
type KeyShapePage struct {
	Data       []KeyShape `json:"data" doc:"In an order that does not change."`
	NextCursor *string    `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type listKeyUse struct {
	ID         string    `path:"id" doc:"The key's public name." example:"key_3fQ9xT0aLmZk"`
	Outcome    string    `query:"outcome" enum:"allowed,denied,observed,limited" doc:"Only of this outcome."`
	Generation int       `query:"generation" minimum:"1" maximum:"1000000000" doc:"Only with this secret."`
	From       time.Time `query:"from" doc:"Seen on the day of this time or later; by default all that is kept, which is 30 days."`
	To         time.Time `query:"to" doc:"Seen on a day that begins before this time."`
	Limit      int       `query:"limit" minimum:"1" maximum:"1000" doc:"How many at the most; by default 200."`
	Cursor     string    `query:"cursor" maxLength:"3000" doc:"Where to go on, from the page before."`
	current    *access.Key
}

func (in listKeyUse) wants() access.Attempt { return access.Attempt{Subject: subject(in.current)} }

func (in listKeyUse) filter() ledger.ShapeFilter {
	return ledger.ShapeFilter{
		Outcome: outcomeNamed(in.Outcome), Generation: in.Generation, From: in.From, To: in.To, After: in.Cursor, Limit: orDefault(in.Limit, 200),
	}
}

// mountKeyUse adds the rows about who used a key and how.
func mountKeyUse(a *API) {
	mount(a, endpoint[listKeyUse, KeyClientPage]{
		Method: "GET", Path: "/v1/keys/{id}/clients", Action: access.ReadLedger,
		Read: readKeyUse(a), Wants: listKeyUse.wants,
		Do: func(ctx context.Context, permit gate.Permit, in listKeyUse) (KeyClientPage, error) {
			list, next, err := a.cfg.Ledger.Clients(ctx, permit, in.ID, in.filter())
			page := KeyClientPage{Data: make([]KeyClient, len(list)), NextCursor: cursor(next)}
			for i, c := range list {
				page.Data[i] = KeyClient{
					Generation: c.Generation, Network: networkText(c.Network), Client: c.Agent, SDK: c.SDK, FirstAt: c.First, LastAt: c.Last,
					Requests: c.Requests, Refused: c.Refused,
				}
			}
			return page, err
		},
		Doc: doc{
			ID: "listKeyClients", Tag: "Ledger", Summary: "List who uses a key", Problems: []problem.Code{problem.NotFound},
			Text: "By secret, network and client, in the last 30 days. It tells who still uses a secret that was replaced.",
		},
	})
	mount(a, endpoint[listKeyUse, KeyShapePage]{
		Method: "GET", Path: "/v1/keys/{id}/shapes", Action: access.ReadLedger,
		Read: readKeyUse(a), Wants: listKeyUse.wants,
		Do: func(ctx context.Context, permit gate.Permit, in listKeyUse) (KeyShapePage, error) {
			list, next, err := a.cfg.Ledger.Shapes(ctx, permit, in.ID, in.filter())
			page := KeyShapePage{Data: make([]KeyShape, len(list)), NextCursor: cursor(next)}
			for i := range list {
				page.Data[i] = shapeView(&list[i])
			}
			return page, err
		},
		Doc: doc{
			ID: "listKeyShapes", Tag: "Ledger", Summary: "List what a key was used for", Problems: []problem.Code{problem.NotFound},
			Text: "The distinct shapes of its attempts in the last 30 days, with how often and when each was seen. " +
				"Of more than 2,000 shapes on a day the others are counted together.",
		},
	})
}

// addLastUses adds to keys when they were last used.
func (a *API) addLastUses(ctx context.Context, permit gate.Permit, keys []Key) error {
	ids := make([]string, len(keys))
	for i := range keys {
		ids[i] = keys[i].ID
	}
	uses, err := a.cfg.Ledger.LastUsed(ctx, permit, ids)
	for i := range keys {
		if u, ok := uses[keys[i].ID]; ok {
			keys[i].LastUsed = &KeyUse{At: u.At, Address: shownAddress(u.Address), Agent: u.Client.Agent, SDK: u.Client.SDK, Generation: u.Generation}
		}
	}
	return err
}

func readKeyUse(a *API) func(*request) (listKeyUse, error) {
	read := bound[listKeyUse](a)
	return func(rq *request) (listKeyUse, error) {
		in, err := read(rq)
		in.current, _ = a.cfg.Keys.Peek(rq.caller.Project(), in.ID)
		return in, err
	}
}

func networkText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func shapeView(s *ledger.Seen) KeyShape {
	view := KeyShape{
		ID: s.ID, Outcome: s.Outcome.String(), Generation: s.Generation, Other: s.Other,
		FirstAt: s.First, LastAt: s.Last, Requests: s.Requests, Items: s.Items,
	}
	if !s.Other { // of all others together nothing else is known
		view.Reason, view.Action, view.Environment, view.Event = s.Reason, ledger.ActionName(s.Action), s.Environment, s.Event
		view.Network, view.Origin, view.Via, view.Signed = networkText(s.Network), s.Origin, s.Via.String(), s.Signed.String()
		view.Client, view.SDK = s.Agent, s.SDK
	}
	return view
}
