package duckdb

import (
	"context"

	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// When something that told of persons is deleted, those persons are made anew of what is left. All others stay as they are:
// what they were made of may be gone for its age, and nothing could make them again.

// toldIDs are the ids in an event that can be a person's.
const toldIDs = "[distinct_id, anonymous_id, device_id, new_user_id]"

// markTold notes, in the table told, the ids in those events that tell of persons and fit, and counts them.
func markTold(ctx context.Context, conn *native.Conn, where string, args []any) (int64, error) {
	if err := conn.Exec(ctx, "CREATE OR REPLACE TEMP TABLE told(id VARCHAR)"); err != nil {
		return 0, err
	}
	err := conn.Each(ctx, `INSERT INTO temp.told SELECT DISTINCT id FROM (SELECT unnest(`+toldIDs+`) AS id FROM store.event`+where+" AND "+telling+`)
		WHERE id IS NOT NULL AND id <> ''`, nil, args...)
	if err != nil {
		return 0, err
	}
	return counting(ctx, conn, "SELECT count(*) FROM temp.told")
}

// ofTold is the condition of the events that have an id of the table told.
const ofTold = `(distinct_id IN (SELECT id FROM temp.told) OR anonymous_id IN (SELECT id FROM temp.told)
	OR device_id IN (SELECT id FROM temp.told) OR new_user_id IN (SELECT id FROM temp.told))`

// relearn makes the persons anew who have an id of the table told, and whoever else is joined with them by what is left.
func relearn(ctx context.Context, conn *native.Conn) error {
	const grow = `INSERT INTO temp.told SELECT DISTINCT id FROM (
			SELECT id FROM store.identity WHERE person_id IN (SELECT person_id FROM store.identity WHERE id IN (SELECT id FROM temp.told))
			UNION ALL SELECT unnest(` + toldIDs + `) FROM store.event WHERE ` + telling + ` AND ` + ofTold + `)
		WHERE id IS NOT NULL AND id <> '' AND id NOT IN (SELECT id FROM temp.told)`
	for before := int64(-1); ; {
		now, err := counting(ctx, conn, "SELECT count(*) FROM temp.told")
		if err != nil {
			return err
		}
		if now == before {
			break
		}
		before = now
		if err := conn.Exec(ctx, grow); err != nil {
			return err
		}
	}
	err := conn.Exec(ctx, `
		DELETE FROM store.person WHERE person_id IN (SELECT person_id FROM store.identity WHERE id IN (SELECT id FROM temp.told));
		DELETE FROM store.forgotten WHERE person_id IN (SELECT id FROM temp.told)
			OR list_has_any(from_json(distinct_ids, '["VARCHAR"]'), (SELECT list(id) FROM temp.told));
		DELETE FROM store.identity WHERE id IN (SELECT id FROM temp.told)`)
	if err != nil {
		return err
	}
	if err := learnPersons(ctx, conn, " AND "+ofTold); err != nil {
		return err
	}
	return conn.Exec(ctx, "DROP TABLE temp.told")
}
