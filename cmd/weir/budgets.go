package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/org"
)

// budgetsEvery is how often the budgets of all projects are looked at.
const budgetsEvery = 5 * time.Minute

// budgets is how budgets stand, as metrics.
type budgets struct{ alerting *prometheus.GaugeVec }

func newBudgets() *budgets {
	return &budgets{prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "weir_budgets", Help: "How many projects have a budget that stands so in this month.",
	}, []string{"state"})}
}

func (b *budgets) tell(list []org.Standing) {
	for _, state := range [...]string{org.BudgetOK, org.BudgetAlert, org.BudgetOver} {
		count := 0
		for _, s := range list {
			if s.State == state {
				count++
			}
		}
		b.alerting.WithLabelValues(state).Set(float64(count))
	}
}

// watchBudgets tells when a budget is used up to where an alert is wanted.
func (s *server) watchBudgets(ctx context.Context) {
	tick := time.NewTicker(budgetsEvery)
	defer tick.Stop()
	for {
		projects, err := s.control.store.Projects(ctx)
		var list []org.Standing
		if err == nil {
			list, err = s.control.registry.CheckBudgets(ctx, projects, s.control.spent)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("budgets cannot be looked at", "error", err)
		} else {
			s.budgets.tell(list)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// spent is what a project has used in this month. The ledger is asked for what it has written: it is a moment behind.
func (c *control) spent(ctx context.Context, project string, month time.Time) (credits, events int64, err error) {
	limits := access.Limits{}
	if p, found := c.keys.Project(project); found {
		limits = p.Policy.Limits
	}
	state, err := c.limits.ProjectState(ctx, gate.Account{ID: project, Limits: limits})
	if err != nil {
		return 0, 0, err
	}
	q := ledger.CountQuery{
		Grain: ledger.Day, By: ledger.ByAction, From: month, To: month.AddDate(0, 1, 0), Live: true, Limit: 31 * len(access.Actions()),
		About: ledger.About{Project: project, Outcome: ledger.Allowed},
	}
	list, err := c.store.Usage(ctx, q)
	return state.Spent, ledger.Events(list), err
}
