package query

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Statements asks what datasets are made of, and what they are asked.
type Statements struct{ Service *Service }

// Named lists the datasets that a statement names.
//
// Problems: invalid_field, invalid_sql, sql_not_allowed, query_timeout, unavailable.
func (t Statements) Named(ctx context.Context, sql string) ([]string, error) {
	s := t.Service
	if err := checkSQL(sql); err != nil {
		return nil, err
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	names, known := s.named.recall(sql)
	if known {
		return names, nil
	}
	facts, err := s.engine.Analyze(ctx, sql)
	if err != nil {
		return nil, fault(ctx, err)
	}
	names = datasetsAmong(facts.Tables)
	s.named.remember(sql, names)
	return names, nil
}

// Columns are those of the answer that a statement without parameters would have. It is not run.
//
// Problems: those of Named.
func (t Statements) Columns(ctx context.Context, permit gate.Permit, sql string) ([]Column, error) {
	d, err := t.Service.Describe(ctx, permit, Question{SQL: sql})
	if err == nil && len(d.Parameters) > 0 {
		err = problem.Invalid("sql", "must have no parameters")
	}
	return d.Columns, err
}

// Rows runs a statement of the program's own over the datasets that the permit's holder may see, and gives each row. The
// credits are for records of the class premium that it may have looked at.
//
// Problems: those of Ask.
func (t Statements) Rows(
	ctx context.Context, permit gate.Permit, sql string, named map[string]jsontext.Value, most int64, each func([]jsontext.Value) error,
) (int64, error) {
	s := t.Service
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	space, st, err := s.sighted(permit)
	if err != nil {
		return 0, err
	}
	st.SQL, st.Named, st.Ceilings.Rows = sql, named, most
	facts, err := s.engine.Analyze(ctx, sql)
	if err == nil {
		st.Scope, err = s.with(ctx, permit, st.Scope, datasetsAmong(facts.Tables))
	}
	if err != nil {
		return 0, fault(ctx, err)
	}
	credits, err := s.scanned(ctx, space, &st, datasetsAmong(facts.Tables)...) // what is read itself is paid for record by record
	if err != nil {
		return 0, fault(ctx, err)
	}
	rows, err := s.engine.Run(ctx, space, st)
	if err == nil {
		defer func() { _ = rows.Close() }() // whatever it says, the answer is complete or has failed by then
		err = eachRow(ctx, rows, each)
	}
	return credits, s.costing(ctx, space, &st, fault(ctx, err), credits)
}
