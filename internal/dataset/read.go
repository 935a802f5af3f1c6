package dataset

import (
	"context"
	"errors"
	"fmt"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// Set is what was read of one dataset.
type Set struct {
	Dataset Dataset
	Fields  []string // the properties that records have at the most; empty: what they have
	Records []Record
	Credits int64 // for records of the class premium that a statement may have looked at
}

// Names are the properties that records of a set may have, in order: those that were asked for, or those of the schema.
func (s *Set) Names() []string {
	if len(s.Fields) > 0 {
		return s.Fields
	}
	names := make([]string, len(s.Dataset.Schema.Properties))
	for i, p := range s.Dataset.Schema.Properties {
		names[i] = p.Name
	}
	return names
}

// Read reads records of one or several datasets of a workspace, those of the first dataset first.
//
// Problems: invalid_field, not_found, result_too_large, unavailable.
func (s *Service) Read(ctx context.Context, permit gate.Permit, workspace string, a Ask) ([]Set, error) {
	if err := a.Combinations(); err != nil {
		return nil, err
	}
	s.change.RLock()
	defer s.change.RUnlock()
	var sets []Set
	n, bytes := 0, 0
	for _, id := range a.Datasets {
		d, err := s.Find(ctx, permit, At{workspace, id})
		if err != nil {
			return nil, err
		}
		selection, err := a.Selection(&d, s.cfg.Now())
		if err != nil {
			return nil, err
		}
		fields, err := a.Fields(&d)
		if err != nil {
			return nil, err
		}
		if err := d.alone(len(a.Datasets)); err != nil {
			return nil, err
		}
		var (
			list    []Record
			more    bool
			credits int64
		)
		if d.SQL != "" {
			list, more, credits, err = s.readStatement(ctx, permit, &d, &selection)
		} else {
			list, more, err = s.cfg.Records.ReadRecords(ctx, d.Space(), d.UID, selection)
		}
		if err != nil {
			return nil, err
		}
		n += len(list)
		for i := range list {
			bytes += len(list[i].Body)
		}
		if more || n > MaxRead || bytes > MaxReadBytes {
			return nil, query.Costing(problem.New(problem.ResultTooLarge, "There are more than %d records or %d bytes of them. Narrow it with range, from and to, or take a part with limit and offset.",
				MaxRead, MaxReadBytes), credits)
		}
		set := Set{d, fields, list, credits}
		set.narrow()
		sets = append(sets, set)
	}
	return sets, nil
}

// narrow leaves of each record what was asked for.
func (s *Set) narrow() {
	if len(s.Fields) == 0 {
		return
	}
	wanted := make(map[string]bool, len(s.Fields))
	for _, name := range s.Fields {
		wanted[name] = true
	}
	for i := range s.Records {
		s.Records[i].only(wanted)
	}
}

// Doomed is which records are to be deleted: those of a key, and as narrow as is said.
type Doomed struct {
	Key    string
	Subkey string
	Date   string // of one record, or of one day
	From   string
	To     string // with the day it names
}

// DeleteRecords deletes records, and says how many there were.
//
// Problems: invalid_field, not_found, conflict, unavailable.
func (s *Service) DeleteRecords(ctx context.Context, permit gate.Permit, at At, doomed Doomed) (int64, error) {
	s.change.RLock()
	defer s.change.RUnlock()
	d, err := s.Find(ctx, permit, at)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(d.ownRecords(), s.idle(ctx, &d)); err != nil {
		return 0, err
	}
	ask := Ask{Datasets: []string{d.ID}, Keys: []string{doomed.Key}, Subkey: doomed.Subkey, From: doomed.From, To: doomed.To}
	if err := ask.Combinations(); err != nil {
		return 0, err
	}
	selection, err := ask.Selection(&d, s.cfg.Now())
	if err != nil {
		return 0, err
	}
	if doomed.Subkey != "" {
		selection.Subkeys = []string{doomed.Subkey}
	}
	if doomed.Date != "" {
		if doomed.From != "" || doomed.To != "" {
			return 0, problem.Invalid("path.date", "must not be together with from or to")
		}
		var f faults
		t, whole := f.time("date", doomed.Date)
		if err := f.problem(); err != nil {
			return 0, problem.Invalid("path.date", notADate)
		}
		if selection.From, selection.Until = t, t.Add(1000); whole {
			selection.Until = t.Add(day)
		}
	}
	selection.Most, selection.Offset = 0, 0
	n, err := s.cfg.Records.DeleteRecords(ctx, d.Space(), d.UID, selection)
	if err := errors.Join(err, s.deleted(ctx, d.Space(), d.UID)); err != nil { // also when none were left: whoever repeats what failed has it done
		return 0, fmt.Errorf("dataset: delete records: %w", err)
	}
	return n, nil
}

// Texts are the values of some properties as text: empty for one that is not there, and JSON for what is no simple value.
func (r *Record) Texts(names []string) []string {
	texts := make([]string, len(names))
	members, err := membersOf(r.Body)
	if err != nil {
		return texts // it was written by us
	}
	at := make(map[string]int, len(names))
	for i, name := range names {
		at[name] = i
	}
	for _, m := range members {
		if i, wanted := at[m.name]; wanted {
			texts[i] = plainText(m.value)
		}
	}
	return texts
}
