package api

import (
	"context"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/limit"
	"github.com/weir-analytics/weir/internal/problem"
)

// Counts says what has been used of limits.
type Counts interface {
	KeyState(context.Context, gate.Account) (limit.State, error)
	ProjectState(context.Context, gate.Account) (limit.State, error)
}

// LimitsUsed is what is left for a key and for its project.
type LimitsUsed struct {
	Key     AccountUsed `json:"key"`
	Project AccountUsed `json:"project" doc:"All keys of the project together."`
}

// AccountUsed is the limits of a key or a project; null: it has none of that kind.
type AccountUsed struct {
	Rate    *RateLimit `json:"rate" doc:"Requests a second."`
	Daily   *QuotaUsed `json:"daily" doc:"Requests in this day, UTC."`
	Credits *QuotaUsed `json:"credits" doc:"Credits in this calendar month, UTC."`
}

// RateLimit is a rate. What is left of it is in the RateLimit header of every answer.
type RateLimit struct {
	PerSecond int64 `json:"per_second"`
	Burst     int64 `json:"burst"`
}

// QuotaUsed is a quota and what is used of it. Left is below zero where the quota was lowered below what is used.
type QuotaUsed struct {
	Most     int64     `json:"most"`
	Used     int64     `json:"used"`
	Reserved int64     `json:"reserved,omitzero" doc:"Of credits: set aside for requests under way."`
	Left     int64     `json:"left"`
	ResetsAt time.Time `json:"resets_at" doc:"When it begins anew."`
}

func mountUsed(a *API) {
	mount(a, endpoint[nothing, LimitsUsed]{
		Method: "GET", Path: "/v1/limits", Action: access.HoldKey, Cross: true,
		Read: bound[nothing](a), Wants: wantsNothing[nothing],
		Do: func(ctx context.Context, permit gate.Permit, _ nothing) (used LimitsUsed, err error) {
			key, project := permit.Accounts()
			if used.Key, err = accountUsed(ctx, key, permit.At(), a.cfg.Counts.KeyState); err == nil {
				used.Project, err = accountUsed(ctx, project, permit.At(), a.cfg.Counts.ProjectState)
			}
			if err != nil {
				err = problem.Wrap(err, problem.LimitsUnavailable, "The limits cannot be read just now.")
			}
			return used, err
		},
		Doc: doc{
			ID: "limits", Tag: "Keys", Summary: "What is left for this key", Text: "Every key may ask this about itself. Asking counts as a request.",
			Problems: []problem.Code{problem.LimitsUnavailable},
		},
	})
}

func accountUsed(ctx context.Context, of gate.Account, at time.Time, state func(context.Context, gate.Account) (limit.State, error)) (AccountUsed, error) {
	s, err := state(ctx, of)
	if err != nil {
		return AccountUsed{}, err
	}
	var used AccountUsed
	if r := of.Limits.Rate; r.PerSecond > 0 {
		used.Rate = &RateLimit{r.PerSecond, max(1, r.Burst)}
	}
	year, month, day := at.UTC().Date()
	if most := of.Limits.Daily.Most; most > 0 {
		used.Daily = &QuotaUsed{Most: most, Used: s.Requests, Left: most - s.Requests, ResetsAt: time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)}
	}
	if of.Limits.Credits.Most > 0 {
		used.Credits = &QuotaUsed{
			Most: s.Granted, Used: s.Spent, Reserved: s.Reserved, Left: s.Remaining, ResetsAt: time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC),
		}
	}
	return used, nil
}
