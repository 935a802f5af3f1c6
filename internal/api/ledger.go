package api

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/problem"
)

// Denial is one request, or some items of one, that was denied, or that a restriction objected to which is only observed.
type Denial struct {
	ID          string    `json:"id" doc:"The decision_id of the problem that was answered."`
	At          time.Time `json:"at"`
	KeyID       string    `json:"key_id"`
	Generation  int       `json:"generation,omitzero" doc:"Of the secret that was shown; left out when it is not known."`
	Action      string    `json:"action" example:"run_sql"`
	Outcome     string    `json:"outcome" enum:"denied,observed,limited" doc:"Observed: it was allowed all the same. Limited: a limit denied it."`
	Reason      string    `json:"reason" doc:"Why, in full: more than the sender was told." example:"key_expired"`
	Rule        string    `json:"rule" doc:"The rule of the policy, or the limit, that said no."`
	Environment string    `json:"environment,omitzero"`
	Event       string    `json:"event,omitzero"`
	Count       int       `json:"count" doc:"How many items of the request it stands for."`
	Address     string    `json:"address" doc:"Where the request came from; empty when that is not known."`
	Origin      string    `json:"origin,omitzero" doc:"The page it came from, if it named one."`
	Via         string    `json:"via" enum:"none,header,query,body,link" doc:"Where in the request the key stood."`
	Signed      string    `json:"signed" enum:"unsigned,claimed,right,wrong" doc:"What was known of its signature; claimed: that there is one."`
	Agent       string    `json:"user_agent,omitzero"`
	SDK         string    `json:"sdk,omitzero" doc:"The library that was used, if it said so."`
	RequestID   string    `json:"request_id"`
	Failed      []Verdict `json:"failed" doc:"Every rule that said no, in order."`
	Remedies    []Remedy  `json:"remedies" doc:"The smallest changes that together would have made it a yes; empty when there are none."`
	Detail      string    `json:"detail,omitzero" doc:"What was wrong with the signature."`
}

// Verdict is what a rule says of an attempt.
type Verdict struct {
	Rule     string `json:"rule" example:"key holds the scope"`
	Target   *int   `json:"target,omitzero" nullable:"false" doc:"The place, from 0, of the item it is about; left out when it is about the request."`
	Reason   string `json:"reason" doc:"'allowed', or why not." example:"scope_missing"`
	Observed bool   `json:"observed,omitzero" doc:"The no is only noted: the restriction is observed and not enforced."`
	KeyID    string `json:"key_id,omitzero" doc:"The key whose rule it is, where that is one that the credential comes of; left out when it is the credential's own."`
}

// Remedy is one change that takes away one no.
type Remedy struct {
	Of    string `json:"of" enum:"key,client,token,project,request" doc:"What to change; a token by making another."`
	Field string `json:"field" doc:"Which member of it." example:"scopes"`
	Do    string `json:"do" enum:"add,set,remove"`
	Value string `json:"value,omitzero" example:"sql:run"`
}

// DenialPage is one page of a list of denials.
type DenialPage struct {
	Data       []Denial `json:"data" doc:"Newest first."`
	NextCursor *string  `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

// Usage is how often something happened in a span of time. A member that was not asked to be told apart is left out.
type Usage struct {
	At          time.Time `json:"at" doc:"When the minute, hour or day began, UTC."`
	KeyID       *string   `json:"key_id,omitzero" nullable:"false" doc:"Here and below an empty text stands for none, and for what was too many to tell apart."`
	Outcome     *string   `json:"outcome,omitzero" nullable:"false" enum:"allowed,denied,observed,limited"`
	Reason      *string   `json:"reason,omitzero" nullable:"false"`
	Action      *string   `json:"action,omitzero" nullable:"false" example:"write_events"`
	Environment *string   `json:"environment,omitzero" nullable:"false"`
	Event       *string   `json:"event,omitzero" nullable:"false"`
	Network     *string   `json:"network,omitzero" nullable:"false" example:"203.0.113.0/24"`
	Requests    int64     `json:"requests" doc:"Of an outcome other than allowed: decisions, of which one request can bring several."`
	Items       int64     `json:"items"`
}

// UsagePage is one page of counts.
type UsagePage struct {
	Data       []Usage `json:"data" doc:"Oldest first."`
	NextCursor *string `json:"next_cursor" doc:"Give it as 'cursor' for the next page; null on the last."`
}

type listDenials struct {
	ID      string    `query:"id" maxLength:"200" doc:"One denial, by its decision id."`
	KeyID   string    `query:"key_id" maxLength:"64" doc:"Only of this key."`
	Reason  string    `query:"reason" maxLength:"64" doc:"Only for this reason."`
	Action  string    `query:"action" maxLength:"64" doc:"Only of this action." example:"run_sql"`
	Outcome string    `query:"outcome" enum:"denied,observed,limited" doc:"Only of this outcome."`
	From    time.Time `query:"from" doc:"Decided at this time or later."`
	To      time.Time `query:"to" doc:"Decided before this time."`
	Limit   int       `query:"limit" minimum:"1" maximum:"200" doc:"How many at the most; by default 50."`
	Cursor  string    `query:"cursor" maxLength:"3000" doc:"Where to go on, from the page before."`
}

type listUsage struct {
	Grain       string    `query:"grain" enum:"minute,hour,day" doc:"What is counted together; by default the hour. Minutes are kept for 2 days, hours for 60, days for 400."`
	By          string    `query:"by" maxLength:"100" doc:"What is told apart: some of key, outcome, reason, action, environment, event and network, with commas between, or none; by default key,outcome,action,environment." example:"key,outcome"`
	KeyID       string    `query:"key_id" maxLength:"64" doc:"Only of this key."`
	Outcome     string    `query:"outcome" enum:"allowed,denied,observed,limited" doc:"Only of this outcome."`
	Reason      string    `query:"reason" maxLength:"64" doc:"Only for this reason."`
	Action      string    `query:"action" maxLength:"64" doc:"Only of this action." example:"write_events"`
	Environment string    `query:"environment" maxLength:"256" doc:"Only of this environment."`
	Event       string    `query:"event" maxLength:"256" doc:"Only of this event."`
	Network     string    `query:"network" maxLength:"64" doc:"Only from this network: a /24 of IPv4 or a /48 of IPv6, or any address in one." example:"203.0.113.0/24"`
	From        time.Time `query:"from" doc:"What begins at this time or later; by default all that is kept."`
	To          time.Time `query:"to" doc:"What begins before this time; by default until now."`
	Limit       int       `query:"limit" minimum:"1" maximum:"1000" doc:"How many at the most; by default 200."`
	Cursor      string    `query:"cursor" maxLength:"3000" doc:"Where to go on, from the page before."`
}

// actionName is an action in an input: one of a closed set.
type actionName string

// Schema lists the actions that a key can be admitted to.
func (actionName) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: "string"}
	for _, a := range access.Actions() {
		if a != access.Anyone {
			s.Enum = append(s.Enum, a.String())
		}
	}
	s.PrecomputeMessages()
	return s
}

func mountLedger(a *API) {
	mount(a, endpoint[listDenials, DenialPage]{
		Method: "GET", Path: "/v1/denials", Action: access.ReadLedger,
		Read: bound[listDenials](a), Wants: wantsNothing[listDenials],
		Do: a.denials,
		Doc: doc{
			ID: "listDenials", Tag: "Ledger", Summary: "List what was denied",
			Text: "Newest first, with what restrictions objected to that are only observed. Requests with keys that are not known belong to no project " +
				"and are not listed. A test key sees only what is about test keys.",
		},
	})
	mount(a, endpoint[listUsage, UsagePage]{
		Method: "GET", Path: "/v1/usage", Action: access.ReadLedger,
		Read: bound[listUsage](a), Wants: wantsNothing[listUsage],
		Do: a.usage,
		Doc: doc{
			ID: "listUsage", Tag: "Ledger", Summary: "Count what was allowed and denied",
			Text: "Requests and items by minute, hour or day, told apart as asked. A request that carries events of several names counts as one request " +
				"about no event, and its items each where they belong. A test key sees only what is about test keys.",
		},
	})
	mountKeyUse(a)
}

func (a *API) denials(ctx context.Context, permit gate.Permit, in listDenials) (DenialPage, error) {
	f := ledger.Filter{
		ID: in.ID, KeyID: in.KeyID, Reason: in.Reason, Outcome: outcomeNamed(in.Outcome), From: in.From, To: in.To,
		Before: in.Cursor, Limit: orDefault(in.Limit, 50),
	}
	var err error
	if f.Action, err = actionNamed(in.Action); err != nil {
		return DenialPage{}, err
	}
	list, next, err := a.cfg.Ledger.Denials(ctx, permit, f)
	if err != nil {
		return DenialPage{}, err
	}
	page := DenialPage{Data: make([]Denial, len(list)), NextCursor: cursor(next)}
	for i := range list {
		page.Data[i] = denialView(&list[i])
	}
	return page, nil
}

func denialView(d *gate.Denial) Denial {
	view := Denial{
		ID: d.ID, At: d.At, KeyID: d.KeyID, Generation: d.Generation, Action: d.Action.String(), Outcome: ledger.OutcomeOf(d).String(), Reason: d.Reason,
		Rule: d.Rule, Environment: d.Environment, Event: d.Event, Count: d.Count, Address: shownAddress(d.Address), Origin: d.Origin, Via: d.Via.String(),
		Signed: d.Signed.String(), Agent: d.Client.Agent, SDK: d.Client.SDK, RequestID: d.RequestID,
		Failed: verdicts(d.Failed), Remedies: remedies(d.Remedies), Detail: d.Detail,
	}
	return view
}

func shownAddress(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func verdicts(steps []access.Step) []Verdict {
	list := make([]Verdict, len(steps))
	for i, s := range steps {
		list[i] = Verdict{Rule: s.Rule, Reason: s.Reason.String(), Observed: s.Observed, KeyID: s.Key}
		if s.Target >= 0 {
			list[i].Target = &steps[i].Target
		}
	}
	return list
}

func remedies(some []access.Remedy) []Remedy {
	list := make([]Remedy, len(some))
	for i, r := range some {
		list[i] = Remedy(r)
	}
	return list
}

func outcomeNamed(name string) ledger.Outcome {
	o, _ := ledger.ParseOutcome(name) // the schema has checked it
	return o
}

// actionNamed is the action of a name; that of no name is none.
func actionNamed(name string) (access.Action, error) {
	if name == "" {
		return 0, nil
	}
	for _, a := range access.Actions() {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, problem.Invalid("action", "is not an action")
}

func (a *API) usage(ctx context.Context, permit gate.Permit, in listUsage) (UsagePage, error) {
	q := ledger.UsageQuery{From: in.From, To: in.To, After: in.Cursor, Limit: orDefault(in.Limit, 200)}
	q.KeyID, q.Outcome, q.Reason, q.Environment, q.Event = in.KeyID, outcomeNamed(in.Outcome), in.Reason, in.Environment, in.Event
	q.Grain = map[string]ledger.Grain{"minute": ledger.Minute, "day": ledger.Day}[in.Grain]
	var err error
	if q.Action, err = actionNamed(in.Action); err != nil {
		return UsagePage{}, err
	}
	if q.Network, err = networkNamed(in.Network); err != nil {
		return UsagePage{}, err
	}
	if q.By, err = breakdown(in.By); err != nil {
		return UsagePage{}, err
	}
	list, next, err := a.cfg.Ledger.Usage(ctx, permit, q)
	if err != nil {
		return UsagePage{}, err
	}
	page := UsagePage{Data: make([]Usage, len(list)), NextCursor: cursor(next)}
	for i := range list {
		page.Data[i] = usageView(&list[i], q.By)
	}
	return page, nil
}

// usageView shows of a count what was told apart.
func usageView(c *ledger.Count, by ledger.Breakdown) Usage {
	what := ledger.PlaceOf(*c).What
	u := Usage{At: c.At, Requests: c.Requests, Items: c.Items}
	for i, member := range [...]**string{&u.KeyID, &u.Outcome, &u.Reason, &u.Action, &u.Environment, &u.Event, &u.Network} {
		if by&(1<<i) != 0 {
			*member = &what[i]
		}
	}
	return u
}

// networkNamed is the network that a text names, or that an address in it lies in.
func networkNamed(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	prefix, _, err := access.ParseNetwork(text)
	if err == nil && prefix.IsSingleIP() {
		prefix = ledger.NetworkOf(prefix.Addr())
	}
	if err != nil || prefix != ledger.NetworkOf(prefix.Addr()) {
		return prefix, problem.Invalid("network", "must be an address, a /24 of IPv4 or a /48 of IPv6")
	}
	return prefix, nil
}

// breakdown reads what is to be told apart.
func breakdown(text string) (by ledger.Breakdown, err error) {
	switch text {
	case "":
		return ledger.ByKey | ledger.ByOutcome | ledger.ByAction | ledger.ByEnvironment, nil
	case "none":
		return 0, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		one, ok := ledger.ParseBreakdown(name)
		if !ok || by&one != 0 {
			return 0, problem.Invalid("by", "must be some of %s, each once, with commas between, or none", strings.Join(ledger.BreakdownNames(), ", "))
		}
		by |= one
	}
	return by, nil
}
