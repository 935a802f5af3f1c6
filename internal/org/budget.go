package org

import (
	"context"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Budget is how much a project means to use in a calendar month, UTC. It limits nothing by itself: Limits says what the
// project's limits become with it.
type Budget struct {
	Credits int64 `json:"credits"` // 0: no budget of them
	Events  int64 `json:"events"`  // likewise
	AlertAt int   `json:"alert_at"`
	Hard    bool  `json:"hard,omitzero"` // the credits are the project's limit as well
	Alerted Alert `json:"alerted,omitzero"`
}

// Alert is what was told last of a budget.
type Alert struct {
	Month string `json:"month,omitempty"` // such as 2026-11
	State string `json:"state,omitempty"`
}

// The states of a budget.
const (
	BudgetNone  = "none"
	BudgetOK    = "ok"
	BudgetAlert = "alert"
	BudgetOver  = "over"
)

const defaultAlertAt = 80

// counted is a limit that is there only so that credits are counted: nobody reaches it.
const counted = 1_000_000_000_000

// Limits are the limits of a project's credits that a budget needs, in the place of those there are: credits are counted only
// while there is a limit. What somebody set otherwise stays, unless the budget is hard; before is the budget there was.
func (b Budget) Limits(now access.Quota, before Budget) access.Quota {
	byBudget := now.Most == counted || before.Hard && now.Most == before.Credits
	switch {
	case b.Hard && b.Credits > 0:
		return access.Quota{Most: b.Credits, OnFailure: access.FailDeny}
	case b.Credits > 0 && (now.Most == 0 || byBudget):
		return access.Quota{Most: counted, OnFailure: access.FailAllow}
	case byBudget:
		return access.Quota{}
	}
	return now
}

// State is how a budget stands when so much was used in its month.
func (b Budget) State(credits, events int64) string {
	if b.Credits == 0 && b.Events == 0 {
		return BudgetNone
	}
	state := BudgetOK
	for _, c := range [...]struct{ used, most int64 }{{credits, b.Credits}, {events, b.Events}} {
		switch {
		case c.most == 0:
		case c.used >= c.most:
			return BudgetOver
		case float64(c.used) >= float64(c.most)*float64(b.alertAt())/100:
			state = BudgetAlert
		}
	}
	return state
}

func (b Budget) alertAt() int {
	if b.AlertAt == 0 {
		return defaultAlertAt
	}
	return b.AlertAt
}

// Budget gives the budget of the permit's project.
func (r *Registry) Budget(ctx context.Context, permit gate.Permit) (Budget, error) {
	w, err := r.read(ctx, permit.Project())
	b := w.Settings.Budget
	b.AlertAt = b.alertAt()
	return b, err
}

// SetBudget sets the budget of the permit's project. What was told of the one before is forgotten.
func (r *Registry) SetBudget(ctx context.Context, permit gate.Permit, b Budget) (Budget, error) {
	const most = 1_000_000_000_000
	switch {
	case b.Credits < 0 || b.Credits > most:
		return Budget{}, problem.Invalid("credits", "must be from 0, for none, to %d", int64(most))
	case b.Events < 0 || b.Events > most:
		return Budget{}, problem.Invalid("events", "must be from 0, for none, to %d", int64(most))
	case b.AlertAt < 0 || b.AlertAt > 100:
		return Budget{}, problem.Invalid("alert_at", "must be from 1 to 100")
	case b.Hard && b.Credits == 0:
		return Budget{}, problem.Invalid("hard", "needs credits to be the limit")
	}
	b.AlertAt, b.Alerted = b.alertAt(), Alert{}
	_, err := r.change(ctx, permit.Project(), func(w *Whole, _ int) (*audit.Entry, error) {
		before := w.Settings.Budget
		w.Settings.Budget = b
		return r.by(permit, w.ID, "billing.budget", w.ID, before, b), nil
	})
	return b, err
}

// Spent is what a project has used in a month.
type Spent func(ctx context.Context, project string, month time.Time) (credits, events int64, err error)

// Standing is how the budget of a project stands.
type Standing struct {
	Project string
	State   string
	Credits int64
	Events  int64
	Budget  Budget
}

// CheckBudgets looks at the budgets of all projects, and tells once in a month when one becomes alerting, and once when it is
// over: in the log, and in the audit. It gives how each that there is stands.
func (r *Registry) CheckBudgets(ctx context.Context, projects []access.Project, spent Spent) ([]Standing, error) {
	now := r.cfg.Now().UTC()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	var list []Standing
	for i := range projects {
		w, err := r.read(ctx, projects[i].ID)
		if problem.From(err).Code == problem.NotFound && err != nil {
			continue
		}
		if err != nil {
			return list, err
		}
		b := w.Settings.Budget
		if b.Credits == 0 && b.Events == 0 {
			continue
		}
		credits, events, err := spent(ctx, w.ID, month)
		if err != nil {
			return list, err
		}
		s := Standing{Project: w.ID, State: b.State(credits, events), Credits: credits, Events: events, Budget: b}
		list = append(list, s)
		if err := r.alert(ctx, s, month); err != nil {
			return list, err
		}
	}
	return list, nil
}

// alert tells how a budget stands, if that is to be told and was not yet.
func (r *Registry) alert(ctx context.Context, s Standing, month time.Time) error {
	told := Alert{Month: month.Format("2006-01"), State: s.State}
	news := false
	_, err := r.change(ctx, s.Project, func(w *Whole, _ int) (*audit.Entry, error) {
		last := w.Settings.Budget.Alerted
		if last.Month != told.Month {
			last = Alert{}
		}
		news = s.State == BudgetOver && last.State != BudgetOver || s.State == BudgetAlert && last.State == ""
		if !news {
			return nil, nil
		}
		w.Settings.Budget.Alerted = told
		entry := audit.Own(r.cfg.Now(), w.Organization, w.ID, r.cfg.NewAudit(), "billing.alert", w.ID, nil, alerted{told.Month, s.State, s.Credits, s.Events, s.Budget.Credits, s.Budget.Events})
		return &entry, nil
	})
	if err == nil && news {
		r.cfg.Log.Warn("a budget is used up to where an alert is wanted", "project", s.Project, "state", s.State, "credits", s.Credits, "events", s.Events)
	}
	return err
}

type alerted struct {
	Month         string `json:"month"`
	State         string `json:"state"`
	Credits       int64  `json:"credits"`
	Events        int64  `json:"events"`
	CreditsBudget int64  `json:"credits_budget"`
	EventsBudget  int64  `json:"events_budget"`
}
