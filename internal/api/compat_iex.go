package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/problem"
)

// asIEX tells clients of IEX Cloud of problems: by a text.
var asIEX = speech{plain: true, said: compat.IEXText}

// iexRow completes a row of IEX Cloud's: under every version of its, with its texts and the header that its clients read.
// A token in the query string is the key, as on every row.
func iexRow[I, O any](e endpoint[I, O]) endpoint[I, O] {
	e.Of, e.As, e.Also, e.Spent, e.Doc.Tag = compat.IEX, asIEX, compat.IEXVersions(e.Path), compat.IEXUsedHeader, "Compatibility"
	return e
}

// IEXMetadata is what IEX Cloud says of an account. Some clients look for one name of a member, and some for another.
type IEXMetadata struct {
	PayAsYouGo   bool   `json:"payAsYouGoEnabled" doc:"Always false: a budget that is used up is used up."`
	Overages     bool   `json:"overagesEnabled" doc:"The same."`
	Effective    int64  `json:"effectiveDate" doc:"When the month began, in milliseconds since 1970."`
	EndEffective *int64 `json:"endDateEffective" doc:"When it ends." nullable:"true"`
	Term         string `json:"subscriptionTermType" enum:"monthly"`
	Tier         string `json:"tierName" example:"weir"`
	Limit        int64  `json:"messageLimit" doc:"The credits of the project for this month; 0: there is no limit."`
	Used         int64  `json:"messagesUsed" doc:"Those of them that are used."`
}

// IEXUsage is what IEX Cloud says of the use of an account in this month. Here it counts requests that were allowed.
type IEXUsage struct {
	Monthly    int64            `json:"monthlyUsage"`
	PayAsYouGo int64            `json:"monthlyPayAsYouGo" doc:"Always 0."`
	Daily      map[string]int64 `json:"dailyUsage" doc:"By day, such as 20260131."`
	Tokens     map[string]int64 `json:"tokenUsage" doc:"By the id of the key."`
	Keys       map[string]int64 `json:"keyUsage" doc:"By action."`
}

// IEXBudget is the project's budget as it was set.
type IEXBudget struct {
	Total *int64 `json:"totalMessages" doc:"The credits of a month; null: as they were." nullable:"true"`
	Allow bool   `json:"allow" doc:"Always false: there is no pay-as-you-go."`
}

// IEXStatus says that the server is up.
type IEXStatus struct {
	Status  string `json:"status" enum:"up"`
	Version string `json:"version"`
	Time    int64  `json:"time" doc:"In milliseconds since 1970."`
}

type iexUsageType struct {
	Type string `path:"type" enum:"messages,rules,rule-records,alerts,alert-records" doc:"Of what. There are no rules and alerts, and so no use of them."`
}

type iexBudget struct {
	Total int    `query:"totalMessages" minimum:"0" maximum:"1000000000000" doc:"The credits that the project may use in a month; 0: no budget of them." example:"1000000"`
	Allow string `query:"allow" enum:"true,false" doc:"Whether there is pay-as-you-go. There is none, so only false can be had."`
	given bool   // Total
}

// iexBudgetShown is what the document shows: there may be a body.
type iexBudgetShown struct {
	Total int     `query:"totalMessages" minimum:"0" maximum:"1000000000000" doc:"The credits that the project may use in a month; 0: no budget of them." example:"1000000"`
	Allow string  `query:"allow" enum:"true,false" doc:"Whether there is pay-as-you-go. There is none, so only false can be had."`
	Body  anyJSON `optional:"true"`
}

// mountIEX adds the rows of IEX Cloud's that are about an account.
func mountIEX(a *API) {
	mount(a, iexRow(endpoint[nothing, IEXMetadata]{
		Method: "GET", Path: "/v1/account/metadata", Action: access.ReadBilling, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (IEXMetadata, error) {
			_, project := permit.Accounts()
			used, err := accountUsed(ctx, project, permit.At(), a.cfg.Counts.ProjectState)
			if err != nil {
				return IEXMetadata{}, problem.Wrap(err, problem.LimitsUnavailable, "The limits cannot be read just now.")
			}
			return metadataOf(used, permit.At()), nil
		},
		Doc: doc{ID: "iexMetadata", Summary: "What an account has, as IEX Cloud has it", Text: "Of the project: its credits for this month, and what is used of them."},
	}))
	mount(a, iexRow(endpoint[nothing, IEXUsage]{
		Method: "GET", Path: "/v1/account/usage", Action: access.ReadBilling, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (IEXUsage, error) {
			return a.iexUsage(ctx, permit)
		},
		Doc: doc{ID: "iexUsage", Summary: "What an account has used, as IEX Cloud has it", Text: "The requests of this month that were allowed, by day, key and action."},
	}))
	mount(a, iexRow(endpoint[iexUsageType, IEXUsage]{
		Method: "GET", Path: "/v1/account/usage/{type}", Action: access.ReadBilling, Read: bound[iexUsageType](a), Wants: wantsNothing[iexUsageType],
		Do: func(ctx context.Context, permit gate.Permit, in iexUsageType) (IEXUsage, error) {
			if in.Type != "messages" {
				return noIEXUsage(), nil
			}
			return a.iexUsage(ctx, permit)
		},
		Doc: doc{ID: "iexUsageOf", Summary: "What an account has used of something, as IEX Cloud has it", Text: "Of `messages`, the requests of this month."},
	}))
	mount(a, iexRow(endpoint[iexBudget, IEXBudget]{
		Method: "POST", Path: "/v1/account/messagebudget", Action: access.WriteBilling, Read: readIEXBudget(a), Wants: wantsNothing[iexBudget],
		Do: a.setIEXBudget,
		Doc: doc{
			ID: "iexBudget", Summary: "Set the budget of an account, as IEX Cloud has it", In: reflect.TypeFor[iexBudgetShown](),
			Text: "Sets the hard budget: how many credits all keys of the project together may use in a month. A body is passed over.",
		},
	}))
	const status = "/v1/status"
	mountOpen(a, open{
		Method: "GET", Path: status, Action: access.Anyone, Also: compat.IEXVersions(status), Of: compat.IEX, As: asIEX,
		Serve: func(rq *request) error {
			return rq.writeJSON(http.StatusOK, IEXStatus{Status: "up", Version: a.cfg.Version, Time: a.cfg.Now().UnixMilli()})
		},
		Doc: doc{ID: "iexStatus", Tag: "Compatibility", Summary: "Whether the server is up, as IEX Cloud has it", Text: "It answers as long as the process serves.", Out: reflect.TypeFor[IEXStatus]()},
	})
}

func metadataOf(used AccountUsed, now time.Time) IEXMetadata {
	m := IEXMetadata{Effective: monthOf(now).UnixMilli(), Term: "monthly", Tier: "weir"}
	if used.Credits != nil {
		end := used.Credits.ResetsAt.UnixMilli()
		m.Limit, m.Used, m.EndEffective = used.Credits.Most, used.Credits.Used, &end
	}
	return m
}

func noIEXUsage() IEXUsage {
	return IEXUsage{Daily: map[string]int64{}, Tokens: map[string]int64{}, Keys: map[string]int64{}}
}

// iexUsage adds up this month.
func (a *API) iexUsage(ctx context.Context, permit gate.Permit) (IEXUsage, error) {
	out := noIEXUsage()
	counts, err := a.counted(ctx, permit, ledger.UsageQuery{By: ledger.ByKey | ledger.ByAction, From: monthOf(permit.At()), About: ledger.About{Outcome: ledger.Allowed}})
	for i := range counts {
		c := &counts[i]
		out.Monthly += c.Requests
		out.Daily[c.At.UTC().Format("20060102")] += c.Requests
		out.Tokens[c.KeyID] += c.Requests
		out.Keys[ledger.ActionName(c.Action)] += c.Requests
	}
	return out, err
}

// noObject is the body that iexjs sends where it has nothing to say.
const noObject = "[object Object]"

// readIEXBudget reads what is to be set. It stands in the query string; a body may be any JSON, and is passed over.
func readIEXBudget(a *API) func(*request) (iexBudget, error) {
	read := bound[iexBudget](a)
	return func(rq *request) (iexBudget, error) {
		in, err := read(rq)
		if err != nil {
			return in, err
		}
		text, err := rq.body(clientSize, "application/json")
		if err != nil {
			return in, err
		}
		if len(text) > 0 && string(text) != noObject {
			var whole jsontext.Value
			if err := json.Unmarshal(text, &whole); err != nil {
				return in, badJSON(text, err)
			}
		}
		in.given = len(rq.values["totalMessages"]) > 0
		switch {
		case !in.given && in.Allow == "":
			return in, problem.Invalid("query.totalMessages", "is required, or allow")
		case in.Allow == "true":
			return in, problem.Invalid("query.allow", "must be false: there is no pay-as-you-go; raise totalMessages")
		}
		return in, nil
	}
}

func (a *API) setIEXBudget(ctx context.Context, permit gate.Permit, in iexBudget) (IEXBudget, error) {
	if !in.given {
		return IEXBudget{}, nil
	}
	b, err := a.cfg.Projects.Budget(ctx, permit)
	if err != nil {
		return IEXBudget{}, err
	}
	b.Credits, b.Hard = int64(in.Total), in.Total > 0
	_, err = a.changeBudget(ctx, permit, b)
	return IEXBudget{Total: &b.Credits}, err
}
