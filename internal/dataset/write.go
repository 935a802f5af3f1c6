package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Item is one record as it was sent, or what is wrong with it.
type Item struct {
	cells []cell
	fault string
}

// ReadItems reads records: a JSON array of objects, or one object.
//
// Problems: invalid_json, invalid_request.
func ReadItems(body []byte) ([]Item, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, problem.New(problem.InvalidRequest, "The body is empty; a JSON array of records is expected.")
	}
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if d.PeekKind() == '{' {
		cells, fault := cellsOf(body)
		if fault != "" {
			return nil, problem.New(problem.InvalidJSON, "The body %s.", fault)
		}
		return []Item{{cells: cells}}, nil
	}
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return nil, problem.New(problem.InvalidJSON, "The body must be a JSON array of records, or one record.")
	}
	var items []Item
	for d.PeekKind() != ']' {
		text, err := d.ReadValue()
		if err != nil {
			return nil, problem.Wrap(err, problem.InvalidJSON, "The body is not valid JSON: %s.", short(err))
		}
		if len(items) == MaxBatch {
			return nil, problem.Invalid("body", "has more than %d records", MaxBatch)
		}
		cells, fault := cellsOf(text)
		items = append(items, Item{cells, fault})
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, problem.Wrap(err, problem.InvalidJSON, "The body is not valid JSON: %s.", short(err))
	}
	if rest := body[d.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return nil, problem.New(problem.InvalidJSON, "There is text behind the JSON array.")
	}
	if len(items) == 0 {
		return nil, problem.Invalid("body", "must have at least one record")
	}
	return items, nil
}

// Rejection is the verdict on a record that was not written, and where it was.
type Rejection struct {
	Index  int // in the request, from 0
	Fields []problem.Field
}

// Receipt is what became of a request to write.
type Receipt struct {
	Dataset  Dataset
	Written  int // that are there now, those that took the place of others among them
	Replaced int
	Ignored  []int // that were passed over since there is one with their index, by their place in the request
	Rejected []Rejection
}

// Write writes records, all that are good of them. Those that are accepted are durable when it returns, and can be read. When
// not one is good, the answer is the problem of the first.
//
// Problems: invalid_field, not_found, conflict, unavailable, storage_full.
func (s *Service) Write(ctx context.Context, permit gate.Permit, at At, items []Item, replace bool) (Receipt, error) {
	s.change.RLock()
	defer s.change.RUnlock()
	d, err := s.Find(ctx, permit, at)
	if err != nil {
		return Receipt{}, err
	}
	if err := errors.Join(d.ownRecords(), s.idle(ctx, &d)); err != nil {
		return Receipt{}, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	receipt, batch, places := Receipt{Dataset: d}, Batch{Replace: replace}, []int{}
	for i, item := range items {
		// A record without a date has that of its writing; those of one request do not share theirs.
		r, fields := d.verdict(item, now, now.Add(time.Duration(i)*time.Microsecond))
		if fields != nil {
			receipt.Rejected = append(receipt.Rejected, Rejection{i, fields})
			continue
		}
		r.KeyID = permit.KeyID()
		batch.Records, places = append(batch.Records, r), append(places, i)
	}
	if len(batch.Records) == 0 {
		return Receipt{}, firstOf(receipt.Rejected)
	}
	written, err := s.putWhole(ctx, d.Space(), d.UID, batch)
	if err != nil {
		return Receipt{}, err
	}
	if written.Replaced > 0 {
		s.forget(d.Space())
	}
	for _, i := range written.Ignored {
		receipt.Ignored = append(receipt.Ignored, places[i])
	}
	receipt.Written, receipt.Replaced = len(batch.Records)-len(written.Ignored), written.Replaced
	s.cfg.Live.publish(&d, without(batch.Records, written.Ignored))
	return receipt, nil
}

// writeTime is how long a write may take that nobody waits for any more.
const writeTime = time.Minute

// putWhole is put, also when whoever asked goes away meanwhile: what is written is told, and paid.
func (s *Service) putWhole(ctx context.Context, space event.Space, uid string, b Batch) (Written, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	return s.put(ctx, space, uid, b)
}

// put writes a batch where the disk has room for it.
func (s *Service) put(ctx context.Context, space event.Space, uid string, b Batch) (Written, error) {
	size := int64(0)
	for i := range b.Records {
		size += int64(len(b.Records[i].Body))
	}
	if err := s.Room(size); err != nil {
		return Written{}, err
	}
	return s.cfg.Records.WriteRecords(ctx, space, uid, b)
}

// Room refuses what has no room on the disk.
//
// Problems: storage_full.
func (s *Service) Room(bytes int64) error {
	if s.cfg.Room == nil {
		return nil
	}
	return s.cfg.Room(bytes)
}

// verdict makes an item a record, or says what is wrong with it.
func (d *Definition) verdict(item Item, at, date time.Time) (Record, []problem.Field) {
	if item.fault != "" {
		return Record{}, []problem.Field{{Name: "", Detail: item.fault}}
	}
	r, found := d.build(item.cells, at, date)
	if len(found) == 0 {
		return r, nil
	}
	fields := make([]problem.Field, min(len(found), maxFaults))
	for i := range fields {
		fields[i] = problem.Field{Name: found[i].name, Detail: found[i].detail}
	}
	return r, fields
}

// firstOf is the problem of the first of records that were all refused.
func firstOf(rejected []Rejection) error {
	var f faults
	first := rejected[0]
	for _, field := range first.Fields {
		name := fmt.Sprintf("body[%d]", first.Index)
		if field.Name != "" {
			name += "." + field.Name
		}
		f.add(name, "%s", field.Detail)
	}
	return f.problem()
}

// without is a list without the elements at some places, which are in order.
func without(list []Record, places []int) []Record {
	if len(places) == 0 {
		return list
	}
	rest := make([]Record, 0, len(list)-len(places))
	for i := range list {
		if len(places) > 0 && places[0] == i {
			places = places[1:]
			continue
		}
		rest = append(rest, list[i])
	}
	return rest
}
