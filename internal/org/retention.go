package org

import (
	"context"
	"fmt"
	"maps"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// MaxRetention is how many days an environment may keep events, unless it keeps them for ever.
const MaxRetention = 36_500

// EnvironmentChange has what is to be changed of an environment; what is nil stays.
type EnvironmentChange struct {
	Description *string
	Retention   *int // days that events are kept; 0: for ever
}

// ChangeEnvironment changes an environment of the permit's project. Its name and mode stay: they are where its data is, and
// which keys may use it. With a retention, events that are older are deleted.
func (r *Registry) ChangeEnvironment(ctx context.Context, permit gate.Permit, name string, c EnvironmentChange) (Space, error) {
	if c.Description != nil {
		if err := checkDescription(*c.Description); err != nil {
			return Space{}, err
		}
	}
	if c.Retention != nil && (*c.Retention < 0 || *c.Retention > MaxRetention) {
		return Space{}, problem.Invalid("retention_days", "must be 1 to %d, or 0 to keep events for ever", MaxRetention)
	}
	w, err := r.change(ctx, permit.Project(), func(w *Whole, _ int) (*audit.Entry, error) {
		if w.at(name) < 0 {
			return nil, noEnvironment()
		}
		before := described{w.Settings.Descriptions[name], w.Settings.Retention[name]}
		if c.Description != nil {
			w.describe(name, *c.Description)
		}
		if c.Retention != nil {
			w.retain(name, *c.Retention)
		}
		after := described{w.Settings.Descriptions[name], w.Settings.Retention[name]}
		action := "environment.describe"
		if after.Retention != before.Retention {
			action = "environment.retention"
		}
		return r.by(permit, w.ID, action, name, before, after), nil
	})
	if err != nil {
		return Space{}, err
	}
	return w.space(w.Environments[w.at(name)]), nil
}

// described is what the audit shows of an environment.
type described struct {
	Description string `json:"description"`
	Retention   int    `json:"retention_days,omitzero"`
}

// space is an environment with what the project says of it.
func (w *Whole) space(env access.Environment) Space {
	return Space{env, w.Settings.Descriptions[env.Name], w.Settings.Retention[env.Name]}
}

func (w *Whole) retain(name string, days int) {
	all := map[string]int{}
	maps.Copy(all, w.Settings.Retention)
	all[name] = days
	if days == 0 {
		delete(all, name)
	}
	w.Settings.Retention = all
}

// Retained is an environment, and how long it keeps events.
type Retained struct {
	Project     string
	Environment access.Environment
	Days        int // 0: for ever
}

// Retained lists those of an organization. An environment that was deleted is none, and neither is one of a project that was.
func (r *Registry) Retained(ctx context.Context, organization string) (list []Retained, err error) {
	all, err := r.cfg.Store.ProjectsOf(ctx, organization)
	if err != nil {
		return nil, fmt.Errorf("org: list projects: %w", err)
	}
	for _, p := range all {
		w, err := r.read(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		for _, env := range w.Environments {
			list = append(list, Retained{p.ID, env, w.Settings.Retention[env.Name]})
		}
	}
	return list, nil
}
