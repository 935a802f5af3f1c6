package duckdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/profile/graph"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// stored is one record on its way in.
type stored struct {
	position event.Position
	event    event.Event
}

// load stores the records that come after the space's position, in one transaction with the new position.
func (i *instance) load(ctx context.Context, records []event.Record) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.writer == nil {
		if err := i.makeWriter(ctx); err != nil {
			return fmt.Errorf("reading the ids of the last days: %w", err)
		}
	}
	kept, err := i.store(ctx, records)
	if errors.Is(err, errUnreadable) { // the columns are given up: records are stored whatever the engine thinks of them
		if err = i.demote(ctx); err == nil {
			kept, err = i.store(ctx, records)
		}
	}
	if err != nil {
		i.dropWriter()
		return err
	}
	for _, s := range kept {
		if s.event.OwnID {
			i.seen.add(s.event.ID, s.position, s.event.ReceivedAt)
		}
	}
	i.seen.forget()
	i.told.add(matters(kept))
	return nil
}

// store is one transaction of a load.
func (i *instance) store(ctx context.Context, records []event.Record) (kept []stored, err error) {
	err = i.writer.Exec(ctx, "BEGIN")
	if err == nil {
		kept, err = i.write(ctx, records)
	}
	if err == nil {
		err = i.writer.Exec(context.WithoutCancel(ctx), "COMMIT")
	}
	if errors.Is(err, errUnreadable) {
		err = errors.Join(err, i.writer.Exec(context.WithoutCancel(ctx), "ROLLBACK"))
	}
	return kept, err
}

// makeWriter opens the connection that writes, and reads which ids came in the last days.
func (i *instance) makeWriter(ctx context.Context) error {
	conn, err := i.db.Connect()
	if err != nil {
		return err
	}
	i.writer, i.seen, i.told = conn, newSeen(firstRoom), newTold()
	if err := i.remember(ctx); err != nil {
		i.dropWriter()
		return err
	}
	return nil
}

// dropWriter closes the connection that writes, with what it has not committed, and forgets what was remembered for it.
func (i *instance) dropWriter() {
	if i.writer != nil {
		i.writer.Close()
	}
	i.writer, i.seen, i.told = nil, nil, nil
}

// write puts the new records, the persons they tell of and the position into the open transaction, and returns the
// records that are not repeats.
func (i *instance) write(ctx context.Context, records []event.Record) ([]stored, error) {
	state, err := readState(ctx, i.writer)
	if err != nil {
		return nil, err
	}
	fresh, err := i.decode(records, state.position)
	if err != nil || len(fresh) == 0 {
		return nil, err
	}
	kept, err := i.withoutRepeats(ctx, fresh)
	if err != nil {
		return nil, fmt.Errorf("looking for repeats: %w", err)
	}
	if err := appendEvents(i.writer, kept); err != nil {
		return nil, fmt.Errorf("appending events: %w", err)
	}
	if err := i.fillColumns(ctx, state.position); err != nil {
		return nil, fmt.Errorf("filling columns: %w", err)
	}
	if err := mergePersons(ctx, i.writer, i.told.news(matters(kept))); err != nil {
		return nil, fmt.Errorf("merging persons: %w", err)
	}
	last := fresh[len(fresh)-1].position
	return kept, i.writer.Each(ctx, "UPDATE store.state SET position = $1", nil, int64(last))
}

// matters are the events that the graph of persons is made of.
func matters(records []stored) (events []*event.Event) {
	for n := range records {
		if e := &records[n].event; graph.Matters(e) {
			events = append(events, e)
		}
	}
	return events
}

// decode reads the records after a position. It refuses records out of order and those of another space.
func (i *instance) decode(records []event.Record, after event.Position) ([]stored, error) {
	fresh := make([]stored, 0, len(records))
	last := event.Position(0)
	for _, r := range records {
		if r.Position <= last {
			return nil, fmt.Errorf("record %d comes after record %d", r.Position, last)
		}
		last = r.Position
		if r.Position <= after {
			continue
		}
		e, err := event.DecodeEvent(r.Data)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", r.Position, err)
		}
		if (event.Space{Project: e.Project, Environment: e.Environment}) != i.space {
			return nil, fmt.Errorf("record %d belongs to another space", r.Position)
		}
		fresh = append(fresh, stored{r.Position, e})
	}
	return fresh, nil
}

// withoutRepeats drops the records whose sender's id came before, within the window.
func (i *instance) withoutRepeats(ctx context.Context, records []stored) ([]stored, error) {
	var doubtful []string
	lookFrom := event.Position(0)
	for _, r := range records {
		if !r.event.OwnID {
			continue
		}
		if from, maybe := i.seen.maybe(r.event.ID, windowStart(&r.event)); maybe {
			if len(doubtful) == 0 || from < lookFrom {
				lookFrom = from
			}
			doubtful = append(doubtful, r.event.ID)
		}
	}
	newest, err := i.lastReceived(ctx, doubtful, lookFrom)
	if err != nil {
		return nil, err
	}
	kept := make([]stored, 0, len(records))
	for _, r := range records {
		if r.event.OwnID {
			if before, known := newest[r.event.ID]; known && !before.Before(windowStart(&r.event)) {
				continue
			}
			newest[r.event.ID] = later(newest[r.event.ID], r.event.ReceivedAt)
		}
		kept = append(kept, r)
	}
	return kept, nil
}

// windowStart is the time from which on an earlier event with the same id makes e a repeat.
func windowStart(e *event.Event) time.Time { return e.ReceivedAt.Add(-event.RepeatWindow) }

// lastReceived says when the ids among those given that are stored, at a position or after it, were last received.
func (i *instance) lastReceived(ctx context.Context, ids []string, from event.Position) (map[string]time.Time, error) {
	newest := map[string]time.Time{}
	if len(ids) == 0 {
		return newest, nil
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	err = i.writer.Each(ctx, `
		SELECT event_id, max(received_at) FROM store.event
		WHERE position >= $1 AND own_id AND event_id IN (SELECT unnest(from_json($2, '["VARCHAR"]'))) GROUP BY event_id`,
		func(r *native.Result, row int) error {
			newest[r.Text(0, row)] = time.UnixMicro(r.Int(1, row)).UTC()
			return nil
		}, int64(from), string(list))
	return newest, err
}

// remember reads the senders' ids of the last window.
func (i *instance) remember(ctx context.Context) error {
	return i.writer.Each(ctx, `
		WITH own AS (SELECT event_id, position, received_at FROM store.event WHERE own_id),
			last AS (SELECT max(received_at) - INTERVAL 7 DAY AS since FROM own)
		SELECT event_id, position, received_at, since FROM own, last WHERE received_at >= since`,
		func(r *native.Result, row int) error {
			i.seen.add(r.Text(0, row), event.Position(r.Int(1, row)), time.UnixMicro(r.Int(2, row)).UTC())
			i.seen.horizon = time.UnixMicro(r.Int(3, row) - 1).UTC()
			return nil
		})
}

// eventColumns are the columns of the table of events that appendEvents writes: not those of properties.
func eventColumns() []string {
	return []string{
		"position", "kind", "own_id", "event_id", "event", "timestamp", "received_at", "distinct_id", "anonymous_id", "device_id", "session_id",
		"new_user_id", "properties", "key_id", "source",
	}
}

// appendEvents writes the records to the table of events, in the order of eventColumns.
func appendEvents(conn *native.Conn, records []stored) error {
	rows, err := conn.Append("store", "event", eventColumns()...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for n := range records {
		e := &records[n].event
		native.Put(rows, 0, int64(records[n].position))
		native.Put(rows, 1, uint8(e.Kind))
		native.Put(rows, 2, e.OwnID)
		rows.TextOrNull(3, e.ID)
		rows.TextOrNull(4, e.Name)
		rows.Time(5, e.Timestamp)
		rows.Time(6, e.ReceivedAt)
		rows.TextOrNull(7, e.DistinctID)
		rows.TextOrNull(8, e.AnonymousID)
		rows.TextOrNull(9, e.DeviceID)
		rows.TextOrNull(10, e.SessionID)
		rows.TextOrNull(11, e.NewUserID)
		properties := string(e.Properties)
		if properties == "" {
			properties = "{}"
		}
		rows.Text(12, properties)
		rows.TextOrNull(13, e.KeyID)
		rows.TextOrNull(14, e.Source)
		if err := rows.End(); err != nil {
			return err
		}
	}
	return rows.Flush()
}
