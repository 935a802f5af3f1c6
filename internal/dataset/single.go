package dataset

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Single is the one record of a key, as it is to be.
type Single struct {
	Key    string
	Values jsontext.Value // an object of its properties; that of the key is set besides
	Merge  bool           // what is not named stays as it is; else it is gone
}

// Place writes the one record that a key has, in the place of what was there. It is for a dataset whose index has neither
// subkey nor date, where the records that are placed share one date: so there is one of each key, if none is written
// otherwise.
//
// Problems: invalid_field, not_found, conflict, unavailable, storage_full.
func (s *Service) Place(ctx context.Context, permit gate.Permit, at At, one Single) (Dataset, error) {
	s.change.RLock()
	defer s.change.RUnlock()
	d, err := s.Find(ctx, permit, at)
	if err != nil {
		return Dataset{}, err
	}
	if err := s.idle(ctx, &d); err != nil {
		return Dataset{}, err
	}
	if err := d.keyOnly(); err != nil {
		return Dataset{}, err
	}
	s.placing.Lock()
	defer s.placing.Unlock()
	date := placedDate()
	item, err := s.single(ctx, &d, one, date)
	if err != nil {
		return Dataset{}, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	r, fields := d.verdict(item, now, date)
	if len(fields) > 0 {
		var f faults
		for _, field := range fields {
			f.add("properties."+field.Name, "%s", field.Detail)
		}
		return Dataset{}, f.problem()
	}
	r.KeyID = permit.KeyID()
	batch := Batch{Replace: true, Records: []Record{r}}
	if _, err := s.putWhole(ctx, d.Space(), d.UID, batch); err != nil {
		return Dataset{}, err
	}
	s.cfg.Live.publish(&d, batch.Records)
	return d, nil
}

// placedDate is the date that records share of which a key has one.
func placedDate() time.Time { return time.Unix(0, 0).UTC() }

// keyOnly refuses a dataset in which a key can have more than one record. Problems: conflict.
func (d *Dataset) keyOnly() error {
	if d.Index.Subkey != "" || d.Index.Date != "" {
		return problem.New(problem.Conflict, "The index of %s has a subkey or a date, so that a key can have more than one record.", d.ID)
	}
	return nil
}

// onePerKey refuses a dataset whose keys may have more than one record: those that were written without taking the place of
// others would stay beside those that are placed. When all are to be gone, what there is does not matter.
//
// Problems: conflict, unavailable.
func (s *Service) onePerKey(ctx context.Context, d *Dataset, allGone bool) error {
	if err := d.keyOnly(); err != nil || allGone {
		return err
	}
	others, _, err := s.cfg.Records.ReadRecords(ctx, d.Space(), d.UID, Selection{From: placedDate().Add(time.Microsecond), Most: 1, Ceiling: 1})
	if err == nil && len(others) > 0 {
		err = problem.New(problem.Conflict, "The dataset %s has records that were added without taking the place of others, which would stay.", d.ID)
	}
	return err
}

// single is the record as if it had been sent whole.
func (s *Service) single(ctx context.Context, d *Dataset, one Single, date time.Time) (Item, error) {
	given, err := membersOf(one.Values)
	if err != nil {
		return Item{}, problem.Invalid("properties", "must be one JSON object")
	}
	key, err := json.Marshal(one.Key)
	if err != nil {
		return Item{}, problem.Invalid("id", "must be text")
	}
	var members []member
	if one.Merge {
		there, _, err := s.cfg.Records.ReadRecords(ctx, d.Space(), d.UID, Selection{Keys: []string{one.Key}, From: date, Until: date.Add(time.Microsecond), Most: 1})
		if err != nil {
			return Item{}, err
		}
		for i := range there {
			if members, err = membersOf(there[i].Body); err != nil {
				return Item{}, err
			}
		}
	}
	var item Item
	places := map[string]int{}
	for _, m := range append(append(members, given...), member{d.Index.Key, key}) {
		i, known := places[m.name]
		if !known {
			i = len(item.cells)
			places[m.name], item.cells = i, append(item.cells, cell{})
		}
		item.cells[i] = cell{name: m.name, json: m.value}
	}
	return item, nil
}
