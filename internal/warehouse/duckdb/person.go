package duckdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/profile/graph"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// The graph of ids and persons (package graph) is in three tables, which are changed in the transaction that stores the
// events:
//
//	store.identity(id, person_id)     every id that somebody has, once
//	store.person(person_id, ids, …) every person, once, with all their ids
//	store.forgotten(person_id, …)     persons that were taken out, for those who erase them
//
// What an event is to the person it is of is no part of its row, so that what is learned later is true of it too.

// maxTold bounds the events whose ids are remembered as told, to some 8 MiB.
const maxTold = 150_000

// told remembers which ids were in one event: once claimed, they stay so, and what only says it again need not be looked
// up. It forgets everything when it is full, and when a person is forgotten.
type told struct {
	seeds [2]maphash.Seed
	known map[[16]byte]struct{}
}

func newTold() *told {
	return &told{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, known: map[[16]byte]struct{}{}}
}

func (t *told) key(e *event.Event) (key [16]byte) {
	ids := e.DistinctID + "\x00" + e.AnonymousID + "\x00" + e.DeviceID // an id has no NUL
	binary.NativeEndian.PutUint64(key[:8], maphash.String(t.seeds[0], ids))
	binary.NativeEndian.PutUint64(key[8:], maphash.String(t.seeds[1], ids))
	return key
}

// news are the events that say something to the graph that is not known to have been said.
func (t *told) news(events []*event.Event) (news []*event.Event) {
	now := map[[16]byte]struct{}{}
	for _, e := range events {
		if !graph.Matters(e) {
			continue
		}
		if e.Kind == event.Forget {
			clear(t.known)
			clear(now)
		}
		if e.Kind == event.Track {
			key := t.key(e)
			_, before := t.known[key]
			if _, again := now[key]; before || again {
				continue
			}
			now[key] = struct{}{}
		}
		news = append(news, e)
	}
	return news
}

// add remembers events that are stored, in their order.
func (t *told) add(events []*event.Event) {
	for _, e := range events {
		switch {
		case e.Kind == event.Forget:
			clear(t.known)
		case e.Kind == event.Track:
			if len(t.known) >= maxTold {
				clear(t.known)
			}
			t.known[t.key(e)] = struct{}{}
		}
	}
}

// mergePersons applies what events say of persons to what is stored of them, within the connection's transaction.
func mergePersons(ctx context.Context, conn *native.Conn, events []*event.Event) error {
	if len(events) == 0 {
		return nil
	}
	persons, err := readPersons(ctx, conn, graph.IDs(events))
	if err != nil {
		return fmt.Errorf("reading persons: %w", err)
	}
	g := graph.New(persons)
	for _, e := range events {
		g.Apply(e)
	}
	c := g.Changes()
	return errors.Join(
		remove(ctx, conn, "store.person WHERE person_id", c.Gone), writePersons(conn, c.Persons),
		remove(ctx, conn, "store.identity WHERE id", c.Unlinked), writeLinks(conn, c.Links), writeForgotten(conn, c.Forgotten),
	)
}

// unnested is a parameter that is a list of texts in JSON, as rows.
const unnested = ` IN (SELECT unnest(from_json($1, '["VARCHAR"]')))`

// readPersons reads the persons that have any of the ids.
func readPersons(ctx context.Context, conn *native.Conn, ids []string) (persons []*graph.Person, err error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	err = conn.Each(ctx, `
		SELECT person_id, distinct_ids, anonymous_id, anonymous_at, trait_state, first_seen_at, updated_at
		FROM store.person WHERE person_id IN (SELECT person_id FROM store.identity WHERE id`+unnested+`)`,
		func(r *native.Result, row int) error {
			p := &graph.Person{
				ID: r.Text(0, row), AnonymousID: r.Text(2, row), AnonymousAt: r.Int(3, row),
				FirstSeen: r.Int(5, row), Updated: r.Int(6, row),
			}
			persons = append(persons, p)
			return errors.Join(json.Unmarshal([]byte(r.Text(1, row)), &p.IDs), p.Traits.Restore(jsontext.Value(r.Text(4, row))))
		}, string(list))
	return persons, err
}

// remove deletes the rows of which a column has any of the values.
func remove(ctx context.Context, conn *native.Conn, from string, values []string) error {
	if len(values) == 0 {
		return nil
	}
	list, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return conn.Each(ctx, "DELETE FROM "+from+unnested, nil, string(list))
}

// appendRows appends rows to a table: each writes one.
func appendRows[T any](conn *native.Conn, table string, all []T, each func(*native.Appender, T) error) error {
	if len(all) == 0 {
		return nil
	}
	rows, err := conn.Append("store", table)
	if err != nil {
		return err
	}
	defer rows.Close()
	for _, one := range all {
		if err := errors.Join(each(rows, one), rows.End()); err != nil {
			return err
		}
	}
	return rows.Flush()
}

func writePersons(conn *native.Conn, persons []*graph.Person) error {
	return appendRows(conn, "person", persons, func(rows *native.Appender, p *graph.Person) error {
		traits, err := p.Traits.Shown()
		if err != nil {
			return err
		}
		state, err := p.Traits.State()
		if err != nil {
			return err
		}
		ids, err := json.Marshal(p.IDs)
		if err != nil {
			return err
		}
		rows.Text(0, p.ID)
		rows.Text(1, string(ids))
		rows.TextOrNull(2, p.AnonymousID)
		native.Put(rows, 3, p.AnonymousAt)
		rows.Text(4, string(traits))
		rows.Text(5, string(state))
		native.Put(rows, 6, p.FirstSeen)
		native.Put(rows, 7, p.Updated)
		return nil
	})
}

func writeLinks(conn *native.Conn, links map[string]string) error {
	return appendRows(conn, "identity", slices.Sorted(maps.Keys(links)), func(rows *native.Appender, id string) error {
		rows.Text(0, id)
		rows.Text(1, links[id])
		return nil
	})
}

func writeForgotten(conn *native.Conn, all []graph.Forgotten) error {
	return appendRows(conn, "forgotten", all, func(rows *native.Appender, f graph.Forgotten) error {
		ids, err := json.Marshal(f.IDs)
		rows.Text(0, f.ID)
		rows.Text(1, string(ids))
		native.Put(rows, 2, f.At)
		return err
	})
}

// learnPersons makes the graph of the events that a file has, in pieces.
func learnPersons(ctx context.Context, conn *native.Conn, only string) error {
	const piece = 20_000
	for last, more := int64(0), true; more; {
		var events []*event.Event
		err := conn.Each(ctx, fmt.Sprintf(`
			SELECT position, kind::BIGINT, "timestamp", distinct_id, anonymous_id, device_id, new_user_id, CASE WHEN kind = 1 THEN NULL ELSE properties END
			FROM store.event WHERE position > $1 AND (kind <> 1 OR distinct_id <> anonymous_id)%s ORDER BY position LIMIT %d`, only, piece),
			func(r *native.Result, row int) error {
				last = r.Int(0, row)
				text := func(column int) string { return r.Text(column, row) }
				events = append(events, &event.Event{
					Kind: event.Kind(r.Int(1, row)), Timestamp: time.UnixMicro(r.Int(2, row)).UTC(), DistinctID: text(3), AnonymousID: text(4), DeviceID: text(5),
					NewUserID: text(6), Properties: jsontext.Value(text(7)),
				})
				return nil
			}, last)
		if err != nil {
			return err
		}
		more = len(events) == piece
		if err := mergePersons(ctx, conn, events); err != nil {
			return err
		}
	}
	return nil
}
