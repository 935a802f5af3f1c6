package duckdb

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// maxTraits bounds the traits of one person, names and values, in bytes. A trait that would pass it is not taken.
const maxTraits = 256 << 10

// trait is one property of a person, and the timestamp of the event it is from, in microseconds.
type trait struct {
	value jsontext.Value
	at    int64
}

// person is who a distinct id belongs to, as told by its identify events so far. Each trait, and the anonymous id, is
// from the event with the newest timestamp that had it; of two with the same timestamp, the later in the journal.
type person struct {
	distinctID  string
	anonymousID string
	anonymousAt int64
	traits      map[string]trait
	size        int // of the traits, as maxTraits counts
	firstSeen   int64
	updated     int64
}

// identify takes what an event says of the person. Traits that are not a JSON object say nothing.
func (p *person) identify(e *event.Event) {
	at := e.Timestamp.UnixMicro()
	if p.traits == nil {
		p.traits, p.firstSeen, p.updated = map[string]trait{}, at, at
	}
	p.firstSeen, p.updated = min(p.firstSeen, at), max(p.updated, at)
	if e.AnonymousID != "" && (p.anonymousID == "" || at >= p.anonymousAt) {
		p.anonymousID, p.anonymousAt = e.AnonymousID, at
	}
	var told map[string]jsontext.Value
	if json.Unmarshal(e.Properties, &told, jsontext.AllowDuplicateNames(true)) != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		p.take(name, trait{told[name], at})
	}
}

func (p *person) take(name string, t trait) {
	old, known := p.traits[name]
	if known && t.at < old.at {
		return
	}
	size := p.size + len(t.value) - len(old.value)
	if !known {
		size += len(name)
	}
	if size > maxTraits {
		return
	}
	p.size, p.traits[name] = size, t
}

// documents writes the traits, and their timestamps, as JSON objects with their names in order.
func (p *person) documents() (traits, times string, err error) {
	values, stamps := map[string]jsontext.Value{}, map[string]int64{}
	for name, t := range p.traits {
		values[name], stamps[name] = t.value, t.at
	}
	v, err := json.Marshal(values, json.Deterministic(true), jsontext.AllowDuplicateNames(true))
	if err != nil {
		return "", "", err
	}
	s, err := json.Marshal(stamps, json.Deterministic(true))
	return string(v), string(s), err
}

// restore is the reverse of documents.
func (p *person) restore(traits, times string) error {
	var values map[string]jsontext.Value
	var stamps map[string]int64
	if err := json.Unmarshal([]byte(traits), &values, jsontext.AllowDuplicateNames(true)); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(times), &stamps); err != nil {
		return err
	}
	p.traits = map[string]trait{}
	for name, value := range values {
		p.traits[name] = trait{value, stamps[name]}
		p.size += len(name) + len(value)
	}
	return nil
}

// mergePersons applies the identify events among events to the stored persons, within the connection's transaction.
func mergePersons(ctx context.Context, conn *native.Conn, events []*event.Event) error {
	persons := map[string]*person{}
	for _, e := range events {
		if e.Kind == event.Identify {
			persons[e.DistinctID] = &person{distinctID: e.DistinctID}
		}
	}
	if len(persons) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(persons))
	if err := readPersons(ctx, conn, ids, persons); err != nil {
		return fmt.Errorf("reading persons: %w", err)
	}
	for _, e := range events {
		if e.Kind == event.Identify {
			persons[e.DistinctID].identify(e)
		}
	}
	return writePersons(ctx, conn, ids, persons)
}

func readPersons(ctx context.Context, conn *native.Conn, ids []string, into map[string]*person) error {
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	return conn.Each(ctx, `
		SELECT distinct_id, anonymous_id, anonymous_at, traits, trait_times, first_seen_at, updated_at
		FROM store.person WHERE distinct_id IN (SELECT unnest(from_json($1, '["VARCHAR"]')))`,
		func(r *native.Result, row int) error {
			p := into[r.Text(0, row)]
			p.anonymousID, p.anonymousAt = r.Text(1, row), r.Int(2, row)
			p.firstSeen, p.updated = r.Int(5, row), r.Int(6, row)
			return p.restore(r.Text(3, row), r.Text(4, row))
		}, string(list))
}

func writePersons(ctx context.Context, conn *native.Conn, ids []string, persons map[string]*person) error {
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	err = conn.Each(ctx, `DELETE FROM store.person WHERE distinct_id IN (SELECT unnest(from_json($1, '["VARCHAR"]')))`, nil, string(list))
	if err != nil {
		return err
	}
	rows, err := conn.Append("store", "person")
	if err != nil {
		return err
	}
	defer rows.Close()
	for _, id := range ids {
		p := persons[id]
		traits, times, err := p.documents()
		if err != nil {
			return err
		}
		rows.Text(0, p.distinctID)
		rows.TextOrNull(1, p.anonymousID)
		native.Put(rows, 2, p.anonymousAt)
		rows.Text(3, traits)
		rows.Text(4, times)
		native.Put(rows, 5, p.firstSeen)
		native.Put(rows, 6, p.updated)
		if err := rows.End(); err != nil {
			return err
		}
	}
	return rows.Flush()
}
