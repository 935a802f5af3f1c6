package dataset

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/view"
)

// Relations are the datasets of a permit's environment as tables of SQL: those called by some names, in any case, or all when
// no list is given. What the permit's holder may not read is left out, as what is not there.
func (s *Service) Relations(ctx context.Context, permit gate.Permit, names []string) ([]view.Relation, error) {
	if permit.Environment() == "" {
		return nil, nil
	}
	all, err := s.cfg.Store.Datasets(ctx, permit.Project(), permit.Environment())
	if err != nil {
		return nil, fmt.Errorf("dataset: list for a statement: %w", err)
	}
	if names != nil {
		if names, err = s.madeOf(ctx, permit, all, names); err != nil {
			return nil, err
		}
	}
	wanted := func(name string) bool {
		return names == nil || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	var there []view.Relation
	for i := range all {
		d := &all[i]
		if wanted(d.ID) && permit.AsksDataset(d.ID, d.Class) {
			there = append(there, d.relation())
		}
	}
	return there, nil
}

// relation is the dataset as a table.
func (d *Dataset) relation() view.Relation {
	r := view.Relation{Name: d.ID, UID: d.UID, Premium: d.Class == access.Premium, SQL: d.SQL}
	for _, p := range d.Schema.Properties {
		r.Columns = append(r.Columns, view.Column{Name: p.Name, Type: p.Type.column()})
	}
	return r
}

// column is the type of a column of SQL for values of the type.
func (t Type) column() string {
	switch t {
	case String:
		return "VARCHAR"
	case Number:
		return "DOUBLE"
	case Integer:
		return "BIGINT"
	case Boolean:
		return "BOOLEAN"
	case Date:
		return "TIMESTAMP"
	case Object, Array, Any:
	}
	return "JSON"
}
