package dataset

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Walked is a dataset as it was when somebody began to go through it.
type Walked struct {
	Project     string
	Environment string
	ID          string
	UID         string // the records that are meant
}

// Class is the class that the dataset of some records has now, also under another name, and false when there is none.
func (s *Service) Class(ctx context.Context, at Walked) (access.Class, bool, error) {
	d, found, err := s.cfg.Store.FindDataset(ctx, at.Project, at.Environment, at.ID)
	if err != nil || found && d.UID == at.UID {
		return d.Class, found, err
	}
	list, err := s.cfg.Store.Datasets(ctx, at.Project, at.Environment)
	if err != nil {
		return 0, false, err
	}
	for i := range list {
		if list[i].UID == at.UID {
			return list[i].Class, true, nil
		}
	}
	return 0, false, nil
}

// Filter reads a filter, as Ask has it, against what a dataset is.
//
// Problems: invalid_field, at query.filter.
func (d *Dataset) Filter(text string) ([]Condition, error) {
	var f faults
	where := f.filter(text, &d.Schema)
	return where, f.problem()
}

// Walk goes through all records of a dataset that meet a filter, in the order of their index, a page at a time. A record is
// lent for the call. What is written meanwhile may be seen or not.
//
// Problems: conflict when the records are no longer those that were meant, unavailable.
func (s *Service) Walk(ctx context.Context, at Walked, filter string, each func(*Record) error) error {
	selection := Selection{ByIndex: true, Ceiling: chunkRecords}
	for {
		page, more, err := s.page(ctx, at, filter, &selection)
		if err != nil {
			return err
		}
		for i := range page {
			if err := each(&page[i]); err != nil {
				return err
			}
		}
		if !more || len(page) == 0 {
			return nil
		}
		last := &page[len(page)-1]
		selection.After = &Place{Key: last.Key, Subkey: last.Subkey, Date: last.Date}
	}
}

// page reads the next records, if they are still those that are meant.
func (s *Service) page(ctx context.Context, at Walked, filter string, selection *Selection) (page []Record, more bool, err error) {
	s.change.RLock()
	defer s.change.RUnlock()
	d, found, err := s.cfg.Store.FindDataset(ctx, at.Project, at.Environment, at.ID)
	switch {
	case err != nil:
		return nil, false, err
	case !found || d.UID != at.UID:
		return nil, false, problem.New(problem.Conflict, "The dataset %s is no longer the one that was to be read.", at.ID)
	}
	if err := d.ownRecords(); err != nil {
		return nil, false, err
	}
	if selection.Where, err = d.Filter(filter); err != nil {
		return nil, false, err
	}
	return s.cfg.Records.ReadRecords(ctx, d.Space(), d.UID, *selection)
}

// Columns are what the properties of a schema are as columns of a table, in order.
func (s *Schema) Columns() []query.Column {
	columns := make([]query.Column, len(s.Properties))
	for i, p := range s.Properties {
		columns[i] = query.Column{Name: p.Name, Type: columnType(p.Type)}
	}
	return columns
}

func columnType(t Type) string {
	switch t {
	case Date, String:
		return "VARCHAR"
	case Integer:
		return "BIGINT"
	case Number:
		return "DOUBLE"
	case Boolean:
		return "BOOLEAN"
	default:
		return "JSON"
	}
}

// Row appends the values of some properties as an array to dst: null for one that is not there.
func (r *Record) Row(dst jsontext.Value, names []string) (jsontext.Value, error) {
	members, err := membersOf(r.Body)
	if err != nil {
		return dst, err
	}
	at := make(map[string]jsontext.Value, len(members))
	for _, m := range members {
		at[m.name] = m.value
	}
	dst = append(dst, '[')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		if v, there := at[name]; there {
			dst = append(dst, v...)
		} else {
			dst = append(dst, "null"...)
		}
	}
	return append(dst, ']'), nil
}
