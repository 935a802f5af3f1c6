// Package saved owns the metrics of a project: their ids, their numbered versions, which of them is published, who
// answers for them, and that what is saved can be run.
//
//	Save:  definition -> metric.Read -> Compile -> Describe in an environment -> a version, published or a draft
//	Run:   id, variables -> the published version -> Bind -> query.Service
//
// A version never changes. What is run is the published one, or on demand another that was published once; a draft is
// only ever tested. A statement is held against the tables when it is saved and when it is published, as the key that
// asks sees them, and the engine holds it against them again at each run.
//
// Every change is in the audit, stored with it. There a definition is told by its SHA-256.
//
// It does not own what a definition means and how it is compiled (metric), who may do any of it (access), what a key
// sees (query), nor how metrics are kept (it declares Store).
//
// Problems: invalid_json, invalid_field, invalid_sql, sql_not_allowed, not_found, conflict, metrics_full,
// precondition_failed, and those of query.Service.Ask.
package saved

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/metric"
	"github.com/weir-analytics/weir/internal/query/zone"
)

// Asker runs statements, and says what they would answer.
type Asker interface {
	Describe(ctx context.Context, permit gate.Permit, q query.Question) (query.Description, error)
	Ask(ctx context.Context, permit gate.Permit, q query.Asked) (*query.Answer, error)
}

// Config is what a Service is made of.
type Config struct {
	Store Store
	Query Asker
	Now   func() time.Time
	NewID func() string // of entries in the audit
	// MaxBytes bounds the definitions of a project, all versions of all metrics together; 0: DefaultMaxBytes.
	MaxBytes int64
}

// Service is the metrics of all projects. It may be used from many goroutines.
type Service struct {
	cfg Config
}

// New makes a Service.
func New(cfg Config) *Service {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, DefaultMaxBytes)
	return &Service{cfg}
}

// Shown is a metric with one of its versions, and what that compiles to.
type Shown struct {
	Metric
	Version   Version
	Statement *metric.Statement
}

// List lists the metrics of the permit's project by their ids, those behind the id after. next is where the next page
// begins; empty on the last.
func (s *Service) List(ctx context.Context, permit gate.Permit, after string, limit int) (list []Metric, next string, err error) {
	if after != "" && !validID(after) {
		return nil, "", problem.Invalid("cursor", "is not one that a list gave")
	}
	if limit < 1 || limit > MaxPage {
		return nil, "", problem.Invalid("limit", "must be from 1 to %d", MaxPage)
	}
	if list, err = s.cfg.Store.Metrics(ctx, permit.Project(), after, limit+1); err != nil {
		return nil, "", fmt.Errorf("saved: list metrics: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID
	}
	return list, next, nil
}

// Read gives a metric with a version of it: that of the number, or with 0 the published one, or the newest when none is.
func (s *Service) Read(ctx context.Context, permit gate.Permit, id string, number int64) (Shown, error) {
	m, v, err := s.find(ctx, permit, id, number)
	if err != nil {
		return Shown{}, err
	}
	st, err := compiled(&v)
	return Shown{m, v, st}, err
}

// Versions lists the versions that are kept of a metric, newest first, without their definitions.
func (s *Service) Versions(ctx context.Context, permit gate.Permit, id string) ([]Version, error) {
	list, err := s.cfg.Store.MetricVersions(ctx, permit.Project(), id)
	return list, told(err, id)
}

func (s *Service) find(ctx context.Context, permit gate.Permit, id string, number int64) (Metric, Version, error) {
	m, v, err := s.cfg.Store.FindMetric(ctx, permit.Project(), id, number)
	return m, v, told(err, id)
}

// told is what a caller is told of what the store said of a metric.
func told(err error, id string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoMetric) && validID(id):
		return problem.Wrap(err, problem.NotFound, "There is no metric %s.", id)
	case errors.Is(err, ErrNoMetric):
		return problem.Wrap(err, problem.NotFound, "There is no metric of that name.")
	case errors.Is(err, ErrNoVersion):
		return problem.Wrap(err, problem.NotFound, "The metric %s has no such version, or it is not kept any more.", id)
	}
	return fmt.Errorf("saved: %w", err)
}

// compiled compiles a version. What was saved always could be compiled; where a newer program cannot any more, it says so.
func compiled(v *Version) (*metric.Statement, error) {
	d, err := metric.Read(v.Definition)
	if err != nil {
		return nil, within(err)
	}
	st, err := metric.Compile(&d)
	return st, within(err)
}

// compiledIn is compiled in a time zone, or in that of the definition. Problems: invalid_field for the zone.
func compiledIn(v *Version, name string) (*metric.Statement, error) {
	if name == "" {
		return compiled(v)
	}
	if _, err := zone.Named(name); err != nil {
		return nil, problem.Wrap(err, problem.InvalidField, "time_zone: %s", badZone).At("time_zone", badZone)
	}
	d, err := metric.Read(v.Definition)
	if err != nil {
		return nil, within(err)
	}
	d.TimeZone = name
	st, err := metric.Compile(&d)
	return st, within(err)
}

const badZone = "must be the name of an IANA time zone, such as Europe/Paris"

// actor is who makes a change, as in the audit.
func actor(permit gate.Permit) string {
	if permit.Key().Kind == access.Operator {
		return access.Operator.String()
	}
	return permit.Key().ID
}
