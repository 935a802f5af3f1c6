package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/problem"
)

// BillingUsage is what a project has used in a time.
type BillingUsage struct {
	From           time.Time            `json:"from" doc:"The start of the first day, UTC: the one that was asked for, or the first that is counted still, 400 days ago."`
	To             time.Time            `json:"to" doc:"The end of the last day, UTC."`
	Total          BillingCount         `json:"total"`
	ByEnvironment  []BillingEnvironment `json:"by_environment" doc:"By name; the empty one is what happens in no environment."`
	ByKey          []BillingKey         `json:"by_key" doc:"By id of the key; of a token, that of its client or member."`
	ByDay          []BillingDay         `json:"by_day" doc:"The days on which something was used, in order; at most 401."`
	CreditsInMonth int64                `json:"credits_in_month" doc:"Credits spent in this calendar month, UTC, whatever the time that was asked for. They are counted while the project has a limit or a budget of them."`
	Budget         BudgetShown          `json:"budget"`
	Limits         *QuotaUsed           `json:"limits" doc:"The project's limit of credits; null: there is none."`
}

// BillingCount is what was used.
type BillingCount struct {
	Requests int64 `json:"requests" doc:"Requests that were allowed."`
	Events   int64 `json:"events" doc:"Events that were taken; of a batch that may have persons in it too, every item."`
	Queries  int64 `json:"queries" doc:"Questions, in SQL and as metrics, that were allowed."`
}

// BillingEnvironment is what was used in an environment.
type BillingEnvironment struct {
	Environment string `json:"environment"`
	BillingCount
}

// BillingKey is what was used by a key.
type BillingKey struct {
	KeyID string `json:"key_id"`
	BillingCount
}

// BillingDay is what was used on a day.
type BillingDay struct {
	Day string `json:"day" format:"date" doc:"UTC." example:"2026-11-28"`
	BillingCount
}

// BudgetShown is how much a project means to use in a month, and how that stands.
type BudgetShown struct {
	Credits int64  `json:"credits" doc:"Credits in a month; 0: no budget of them."`
	Events  int64  `json:"events" doc:"Events in a month; 0: no budget of them."`
	AlertAt int    `json:"alert_at" doc:"At how many percent an alert is given."`
	Hard    bool   `json:"hard" doc:"Whether the credits are the project's limit as well."`
	State   string `json:"state" enum:"none,ok,alert,over" doc:"How it stands in this month."`
}

type askBilling struct {
	From time.Time `query:"from" doc:"Days that begin at this time or later; by default those of this month, UTC."`
	To   time.Time `query:"to" doc:"Days that begin before this time; by default until now."`
}

type setBudget struct {
	Body struct {
		Credits int64 `json:"credits,omitzero" minimum:"0" maximum:"1000000000000" doc:"Credits in a month; 0: no budget of them."`
		Events  int64 `json:"events,omitzero" minimum:"0" maximum:"1000000000000" doc:"Events in a month; 0: no budget of them."`
		AlertAt int   `json:"alert_at,omitzero" minimum:"1" maximum:"100" doc:"At how many percent an alert is given; by default 80." example:"80"`
		Hard    bool  `json:"hard,omitzero" doc:"Whether the credits are to be the project's limit as well: what would cost more is refused then."`
	}
}

func mountBilling(a *API) {
	mount(a, endpoint[askBilling, BillingUsage]{
		Method: "GET", Path: "/v1/billing/usage", Action: access.ReadBilling, Read: bound[askBilling](a), Wants: wantsNothing[askBilling], Do: a.billing,
		Doc: doc{
			ID: "billingUsage", Tag: "Organization", Summary: "What the project has used",
			Text: "In all, by environment, by key and by day, from the record of what was allowed, which is kept for 400 days: what was asked for from before is told from the first of them on, which `from` says. A test key sees only what test keys used.",
		},
	})
	mount(a, endpoint[nothing, BudgetShown]{
		Method: "GET", Path: "/v1/billing/budget", Action: access.ReadBilling, Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (BudgetShown, error) {
			b, err := a.cfg.Projects.Budget(ctx, permit)
			if err != nil {
				return BudgetShown{}, err
			}
			return a.budgetShown(ctx, permit, b)
		},
		Doc: doc{ID: "readBudget", Tag: "Organization", Summary: "Read the budget", Text: "And how it stands in this month."},
	})
	mount(a, endpoint[setBudget, BudgetShown]{
		Method: "PUT", Path: "/v1/billing/budget", Action: access.WriteBilling, Read: bound[setBudget](a), Wants: wantsNothing[setBudget], Do: a.setBudget,
		Doc: doc{
			ID: "setBudget", Tag: "Organization", Summary: "Set the budget", Problems: []problem.Code{problem.GrantTooWide},
			Text: "How much the project means to use in a calendar month, UTC. When so many percent of it are used, and when it is used up, that is told once: in the audit, in the log, and by a " +
				"metric. A hard budget is the project's limit of credits as well. There is no payment provider: nothing is charged.",
		},
	})
}

func (a *API) setBudget(ctx context.Context, permit gate.Permit, in setBudget) (BudgetShown, error) {
	b, err := a.changeBudget(ctx, permit, org.Budget{Credits: in.Body.Credits, Events: in.Body.Events, AlertAt: in.Body.AlertAt, Hard: in.Body.Hard})
	if err != nil {
		return BudgetShown{}, err
	}
	return a.budgetShown(ctx, permit, b)
}

// changeBudget sets a budget, and the limit that it needs.
func (a *API) changeBudget(ctx context.Context, permit gate.Permit, b org.Budget) (org.Budget, error) {
	before, err := a.cfg.Projects.Budget(ctx, permit)
	if err != nil {
		return b, err
	}
	if b, err = a.cfg.Projects.SetBudget(ctx, permit, b); err != nil {
		return b, err
	}
	limits := permit.Key().Project.Policy.Limits.Credits
	if b.Limits(limits, before) != limits {
		_, err = a.cfg.Keys.SetPolicy(ctx, permit, 0, true, func(p *access.Policy) error {
			p.Limits.Credits = b.Limits(p.Limits.Credits, before)
			return nil
		})
	}
	return b, err
}

// budgetShown is how a budget stands in this month.
func (a *API) budgetShown(ctx context.Context, permit gate.Permit, b org.Budget) (BudgetShown, error) {
	credits, err := a.creditsSpent(ctx, permit)
	if err != nil {
		return BudgetShown{}, err
	}
	counts, err := a.counted(ctx, permit, ledger.UsageQuery{By: ledger.ByAction, From: monthOf(permit.At()), About: ledger.About{Outcome: ledger.Allowed}})
	if err != nil {
		return BudgetShown{}, err
	}
	return BudgetShown{b.Credits, b.Events, b.AlertAt, b.Hard, b.State(credits, ledger.Events(counts))}, nil
}

func monthOf(at time.Time) time.Time {
	year, month, _ := at.UTC().Date()
	return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
}

// creditsSpent is what the project has spent in this month.
func (a *API) creditsSpent(ctx context.Context, permit gate.Permit) (int64, error) {
	_, project := permit.Accounts()
	state, err := a.cfg.Counts.ProjectState(ctx, project)
	if err != nil {
		return 0, problem.Wrap(err, problem.LimitsUnavailable, "The credits cannot be read just now.")
	}
	return state.Spent, nil
}

// mostCounts bounds what is added up for one answer.
const mostCounts = 50 * ledger.MaxCount

// counted gives all counts by day that a query finds.
func (a *API) counted(ctx context.Context, permit gate.Permit, q ledger.UsageQuery) (all []ledger.Count, err error) {
	q.Grain, q.Limit = ledger.Day, ledger.MaxCount
	for {
		list, next, err := a.cfg.Ledger.Usage(ctx, permit, q)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		switch {
		case next == "":
			return all, nil
		case len(all) >= mostCounts:
			return nil, problem.Invalid("query.from", "begins so early that there are more than %d counts: ask for fewer days", mostCounts)
		}
		q.After = next
	}
}

func (a *API) billing(ctx context.Context, permit gate.Permit, in askBilling) (BillingUsage, error) {
	if in.From.IsZero() {
		in.From = monthOf(permit.At())
	}
	if in.To.IsZero() {
		in.To = permit.At()
	}
	day := func(at time.Time) time.Time { return at.UTC().Add(24*time.Hour - 1).Truncate(24 * time.Hour) }
	in.From, in.To = day(in.From), day(in.To)
	if !in.From.Before(in.To) {
		return BillingUsage{}, problem.Invalid("query.to", "must be a day after from, at least")
	}
	if first := ledger.DaysFrom(permit.At()); in.From.Before(first) {
		in.From = first
		if !in.From.Before(in.To) {
			return BillingUsage{}, problem.Invalid("query.to", "must be after %s: of days before nothing is known any more", first.Format(time.DateOnly))
		}
	}
	counts, err := a.counted(ctx, permit, ledger.UsageQuery{
		By: ledger.ByKey | ledger.ByAction | ledger.ByEnvironment, From: in.From, To: in.To, About: ledger.About{Outcome: ledger.Allowed},
	})
	if err != nil {
		return BillingUsage{}, err
	}
	u := BillingUsage{From: in.From, To: in.To}
	u.add(counts)
	b, err := a.cfg.Projects.Budget(ctx, permit)
	if err == nil {
		u.Budget, err = a.budgetShown(ctx, permit, b)
	}
	if err == nil {
		u.CreditsInMonth, err = a.creditsSpent(ctx, permit)
	}
	if err != nil {
		return BillingUsage{}, err
	}
	_, project := permit.Accounts()
	used, err := accountUsed(ctx, project, permit.At(), a.cfg.Counts.ProjectState)
	u.Limits = used.Credits
	return u, err
}

// add adds counts up, in all and apart.
func (u *BillingUsage) add(counts []ledger.Count) {
	environments, keys, days := map[string]*BillingCount{}, map[string]*BillingCount{}, map[string]*BillingCount{}
	under := func(in map[string]*BillingCount, name string) *BillingCount {
		if in[name] == nil {
			in[name] = &BillingCount{}
		}
		return in[name]
	}
	for i := range counts {
		c := &counts[i]
		for _, into := range [...]*BillingCount{&u.Total, under(environments, c.Environment), under(keys, c.KeyID), under(days, c.At.UTC().Format(time.DateOnly))} {
			into.Requests += c.Requests
			into.Events += c.Events()
			switch c.Action {
			case access.RunSQL, access.RunMetrics, access.TestMetrics:
				into.Queries += c.Requests
			default:
			}
		}
	}
	u.ByEnvironment, u.ByKey, u.ByDay = []BillingEnvironment{}, []BillingKey{}, []BillingDay{}
	for name, c := range environments {
		u.ByEnvironment = append(u.ByEnvironment, BillingEnvironment{name, *c})
	}
	for id, c := range keys {
		u.ByKey = append(u.ByKey, BillingKey{id, *c})
	}
	for day, c := range days {
		u.ByDay = append(u.ByDay, BillingDay{day, *c})
	}
	slices.SortFunc(u.ByEnvironment, func(x, y BillingEnvironment) int { return cmp.Compare(x.Environment, y.Environment) })
	slices.SortFunc(u.ByKey, func(x, y BillingKey) int { return cmp.Compare(x.KeyID, y.KeyID) })
	slices.SortFunc(u.ByDay, func(x, y BillingDay) int { return cmp.Compare(x.Day, y.Day) })
}
