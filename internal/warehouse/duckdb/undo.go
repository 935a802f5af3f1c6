package duckdb

import (
	"context"
	"strings"

	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// Each record of a dataset says which key wrote it, in a column that no statement sees and no answer has, so that what a key
// wrote can be undone. Records from before have none, and are nobody's.

// keyRecords gives the tables of records that column.
func keyRecords(ctx context.Context, conn *native.Conn) error {
	tables, err := recordTables(ctx, conn, `SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = 'records'`)
	if err != nil {
		return err
	}
	for _, table := range tables {
		if err := conn.Exec(ctx, "ALTER TABLE "+table+" ADD COLUMN IF NOT EXISTS key_id VARCHAR"); err != nil {
			return err
		}
	}
	return nil
}

// recordTables are the tables that a statement names.
func recordTables(ctx context.Context, conn *native.Conn, sql string) (tables []string, err error) {
	err = conn.Each(ctx, sql, func(r *native.Result, row int) error {
		tables = append(tables, recordTable(strings.Clone(r.Text(0, row))))
		return nil
	})
	return tables, err
}

// keyedTables are the tables whose records say which key wrote them, those among them that are to become a dataset's.
func keyedTables(ctx context.Context, conn *native.Conn) ([]string, error) {
	return recordTables(ctx, conn, `SELECT table_name FROM duckdb_columns() WHERE database_name = current_database()
		AND schema_name = 'records' AND column_name = 'key_id' AND table_name <> '`+incoming+`' ORDER BY table_name`)
}

// hasRecordsOf reports whether a selection is about records: those that a key wrote, unless it is about some events only.
func hasRecordsOf(s *deletion.Selection) bool { return s.KeyID != "" && len(s.Events) == 0 && !s.Track }

// writtenBy are the conditions of the records of a selection, with their parameters.
func writtenBy(s *deletion.Selection) (where string, args []any) {
	q := &selected{}
	q.where = append(q.where, "key_id = "+q.arg(s.KeyID))
	if !s.From.IsZero() {
		q.where = append(q.where, "updated >= "+q.time(s.From))
	}
	if !s.Until.IsZero() {
		q.where = append(q.where, "updated < "+q.time(s.Until))
	}
	return q.sql(), q.args
}

// countRecordsOf counts the records that a key wrote, and eraseRecordsOf deletes them within the connection's transaction.
func countRecordsOf(ctx context.Context, conn *native.Conn, s *deletion.Selection) (all int64, err error) {
	err = eachKeyed(ctx, conn, s, func(table, where string, args []any) error {
		n, err := counting(ctx, conn, "SELECT count(*) FROM "+table+where, args...)
		all += n
		return err
	})
	return all, err
}

func eraseRecordsOf(ctx context.Context, conn *native.Conn, s *deletion.Selection) error {
	return eachKeyed(ctx, conn, s, func(table, where string, args []any) error {
		return conn.Each(ctx, "DELETE FROM "+table+where, nil, args...)
	})
}

func eachKeyed(ctx context.Context, conn *native.Conn, s *deletion.Selection, each func(table, where string, args []any) error) error {
	if !hasRecordsOf(s) {
		return nil
	}
	tables, err := keyedTables(ctx, conn)
	if err != nil {
		return err
	}
	where, args := writtenBy(s)
	for _, table := range tables {
		if err := each(table, where, args); err != nil {
			return err
		}
	}
	return nil
}

// telling is the condition of events that tell of persons: they join ids, or set traits.
const telling = "(kind <> 1 OR distinct_id <> anonymous_id)"

// toldOf counts the persons of whom something tells that fits.
func toldOf(ctx context.Context, conn *native.Conn, where string, args []any) (int64, error) {
	return counting(ctx, conn, `SELECT count(DISTINCT person_id) FROM store.identity WHERE id IN (
		SELECT unnest([distinct_id, anonymous_id, device_id, new_user_id]) FROM store.event`+where+" AND "+telling+")", args...)
}
