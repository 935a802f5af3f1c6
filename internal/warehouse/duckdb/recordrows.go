package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// serveRecords adds the addresses for records.
func (c *child) serveRecords(mux *http.ServeMux) {
	mux.HandleFunc("POST "+pathWriteRecords, c.recordCall(true, func(ctx context.Context, i *instance, uid string, body []byte) (any, error) {
		return i.writeRecords(ctx, uid, body)
	}))
	mux.HandleFunc("POST "+pathReadRecords, c.recordCall(false, func(ctx context.Context, i *instance, uid string, body []byte) (any, error) {
		a, err := aboutOf(body)
		if err != nil {
			return nil, err
		}
		return i.readRecords(ctx, uid, &a.Selection)
	}))
	mux.HandleFunc("POST "+pathDeleteRecords, c.recordCall(false, func(ctx context.Context, i *instance, uid string, body []byte) (any, error) {
		a, err := aboutOf(body)
		if err != nil {
			return nil, err
		}
		return i.deleteRecords(ctx, uid, &a.Selection)
	}))
	mux.HandleFunc("POST "+pathDropRecords, c.recordCall(false, func(ctx context.Context, i *instance, uid string, _ []byte) (any, error) {
		return counted{}, i.changeRecords(ctx, func(conn *native.Conn) error {
			return conn.Exec(ctx, "DROP TABLE IF EXISTS "+recordTable(uid))
		})
	}))
	mux.HandleFunc("POST "+pathCountRecords, c.recordCall(false, func(ctx context.Context, i *instance, _ string, body []byte) (any, error) {
		a, err := aboutOf(body)
		if err != nil {
			return nil, err
		}
		return i.countRecords(ctx, a.UIDs)
	}))
	mux.HandleFunc("POST "+pathRecordUIDs, c.recordCall(false, func(ctx context.Context, i *instance, _ string, _ []byte) (any, error) {
		return i.recordUIDs(ctx)
	}))
}

func aboutOf(body []byte) (a about, err error) {
	err = json.Unmarshal(body, &a)
	return a, err
}

// recordCall is the handler of a call: it finds the instance, reads the body, and answers bytes as they are and anything else
// as JSON.
func (c *child) recordCall(makes bool, do func(ctx context.Context, i *instance, uid string, body []byte) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := c.recordAnswer(w, r, makes, do)
		if err != nil {
			c.fail(w, err)
			return
		}
		if data, ok := answer.([]byte); ok {
			_, _ = w.Write(data) //nolint:gosec // the server reads it, and no browser
			return
		}
		_ = json.MarshalWrite(w, answer)
	}
}

func (c *child) recordAnswer(
	w http.ResponseWriter, r *http.Request, makes bool, do func(ctx context.Context, i *instance, uid string, body []byte) (any, error),
) (any, error) {
	space, err := spaceOf(r)
	if err != nil {
		return nil, err
	}
	uid := r.URL.Query().Get("uid")
	if uid != "" && !isName(uid) {
		return nil, fmt.Errorf("%q is not the uid of a dataset", uid)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*maxLoad))
	if err != nil {
		return nil, err
	}
	open := c.shelf.read
	if makes {
		open = c.shelf.write
	}
	instance, back, err := open(r.Context(), space)
	if err != nil {
		return nil, err
	}
	defer back()
	return do(r.Context(), instance, uid, body)
}

// recordTable is the table of a uid, which is a name.
func recordTable(uid string) string { return "records." + name(uid) }

// incoming is where a batch is put first, to be compared with what is there. It is empty but for the transaction.
const incoming = "incoming"

// changeRecords makes a change in a transaction of its own.
func (i *instance) changeRecords(ctx context.Context, change func(*native.Conn) error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	conn, err := i.db.Connect()
	if err != nil {
		return err
	}
	defer conn.Close() // which takes back what is not committed
	if err := conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	if err := change(conn); err != nil {
		return err
	}
	return conn.Exec(context.WithoutCancel(ctx), "COMMIT")
}

// writeRecords writes a batch: whether it replaces, and its records.
func (i *instance) writeRecords(ctx context.Context, uid string, body []byte) (says counted, err error) {
	if len(body) == 0 || uid == "" {
		return says, errors.New("a batch without a beginning")
	}
	list, err := decodeDatasetRecords(body[1:])
	if err != nil {
		return says, err
	}
	err = i.changeRecords(ctx, func(conn *native.Conn) error {
		if err := conn.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS records;
			CREATE TABLE IF NOT EXISTS records.incoming(n BIGINT NOT NULL, "key" VARCHAR NOT NULL, subkey VARCHAR NOT NULL, "date" TIMESTAMP NOT NULL,
				updated TIMESTAMP NOT NULL, body JSON NOT NULL, key_id VARCHAR NOT NULL);
			CREATE TABLE IF NOT EXISTS `+recordTable(uid)+`("key" VARCHAR NOT NULL, subkey VARCHAR NOT NULL, "date" TIMESTAMP NOT NULL,
				updated TIMESTAMP NOT NULL, body JSON NOT NULL, key_id VARCHAR)`); err != nil {
			return err
		}
		if err := appendIncoming(conn, list); err != nil {
			return err
		}
		if body[0] == 1 {
			err = replaceRecords(ctx, conn, uid, &says)
		} else {
			err = addRecords(ctx, conn, uid, &says)
		}
		return errors.Join(err, conn.Exec(ctx, "DELETE FROM records.incoming"))
	})
	return says, err
}

func appendIncoming(conn *native.Conn, list []dataset.Record) error {
	rows, err := conn.Append("records", incoming, "n", "key", "subkey", "date", "updated", "body", "key_id")
	if err != nil {
		return err
	}
	defer rows.Close()
	for n := range list {
		r := &list[n]
		native.Put(rows, 0, int64(n))
		rows.Text(1, r.Key)
		rows.Text(2, r.Subkey)
		rows.Time(3, r.Date)
		rows.Time(4, r.Updated)
		rows.Text(5, string(r.Body))
		rows.Text(6, r.KeyID)
		if err := rows.End(); err != nil {
			return err
		}
	}
	return rows.Flush()
}

// sameIndex is the condition that a row of t and one of i have the same index.
const sameIndex = `t."key" = i."key" AND t.subkey = i.subkey AND t."date" = i."date"`

// addRecords adds the first of each index, unless there is one.
func addRecords(ctx context.Context, conn *native.Conn, uid string, says *counted) error {
	err := conn.Each(ctx, `SELECT i.n FROM records.incoming i WHERE EXISTS (SELECT 1 FROM `+recordTable(uid)+` t WHERE `+sameIndex+`)
			OR EXISTS (SELECT 1 FROM records.incoming t WHERE `+sameIndex+` AND t.n < i.n) ORDER BY i.n`,
		func(r *native.Result, row int) error {
			says.Ignored = append(says.Ignored, int(r.Int(0, row)))
			return nil
		})
	if err != nil {
		return err
	}
	list, err := json.Marshal(says.Ignored)
	if err != nil {
		return err
	}
	return conn.Each(ctx, `INSERT INTO `+recordTable(uid)+` SELECT "key", subkey, "date", updated, body, key_id FROM records.incoming
		WHERE n NOT IN (SELECT unnest(from_json($1, '["BIGINT"]'))) ORDER BY n`, nil, string(list))
}

// replaceRecords puts the last of each index in the place of the one that is there.
func replaceRecords(ctx context.Context, conn *native.Conn, uid string, says *counted) error {
	all, fresh := int64(0), int64(0)
	count := func(into *int64) func(*native.Result, int) error {
		return func(r *native.Result, row int) error {
			*into = r.Int(0, row)
			return nil
		}
	}
	for _, step := range []struct {
		sql  string
		into *int64
	}{
		{`SELECT count(*) FROM records.incoming`, &all},
		{`DELETE FROM records.incoming AS i WHERE EXISTS (SELECT 1 FROM records.incoming t WHERE ` + sameIndex + ` AND t.n > i.n)`, new(int64)},
		{`SELECT count(*) FROM records.incoming i WHERE NOT EXISTS (SELECT 1 FROM ` + recordTable(uid) + ` t WHERE ` + sameIndex + `)`, &fresh},
		{`DELETE FROM ` + recordTable(uid) + ` AS t WHERE EXISTS (SELECT 1 FROM records.incoming i WHERE ` + sameIndex + `)`, new(int64)},
		{`INSERT INTO ` + recordTable(uid) + ` SELECT "key", subkey, "date", updated, body, key_id FROM records.incoming ORDER BY n`, new(int64)},
	} {
		if err := conn.Each(ctx, step.sql, count(step.into)); err != nil {
			return err
		}
	}
	says.Changed = int(all - fresh)
	return nil
}

// hasRecords reports whether there is a table of a uid.
func hasRecords(ctx context.Context, conn *native.Conn, uid string) (has bool, err error) {
	err = conn.Each(ctx, `SELECT 1 FROM duckdb_tables() WHERE schema_name = 'records' AND table_name = $1`, func(*native.Result, int) error {
		has = true
		return nil
	}, uid)
	return has, err
}

// readRecords reads what is selected, and whether there is more, in the form that ReadRecords takes.
func (i *instance) readRecords(ctx context.Context, uid string, q *dataset.Selection) ([]byte, error) {
	conn, err := i.db.Connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if has, err := hasRecords(ctx, conn, uid); err != nil || !has {
		return []byte{0}, err
	}
	ceiling := dataset.MaxRead
	if q.Ceiling > 0 && q.Ceiling < ceiling {
		ceiling = q.Ceiling
	}
	sql, args, err := readStatement(uid, q, ceiling+1)
	if err != nil {
		return nil, err
	}
	out, n := []byte{0}, 0
	err = conn.Each(ctx, sql, func(r *native.Result, row int) error {
		record := dataset.Record{
			Key: r.Text(0, row), Subkey: r.Text(1, row), Date: time.UnixMicro(r.Int(2, row)), Updated: time.UnixMicro(r.Int(3, row)), Body: []byte(r.Text(4, row)),
			KeyID: r.Text(5, row),
		}
		if n == ceiling || len(out)+len(record.Body) > dataset.MaxReadBytes {
			out[0] = 1
			return io.EOF
		}
		n++
		out = appendRecord(out, &record)
		return nil
	}, args...)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return out, err
}

// readStatement is the statement that reads a selection. The records of each key, and where subkeys are named of each
// combination, are numbered from the end that is counted from; where none is named, they are all numbered together.
func readStatement(uid string, q *dataset.Selection, limit int) (sql string, args []any, err error) {
	s, err := selectedBy(q)
	if err != nil {
		return "", nil, err
	}
	const columns = `"key", subkey, "date", updated, body, key_id`
	end := fmt.Sprintf(" LIMIT %d", limit)
	if q.ByIndex {
		return "SELECT " + columns + " FROM " + recordTable(uid) + s.sql() + ` ORDER BY "key", subkey, "date"` + end, s.args, nil
	}
	by, direction, partition := "DESC", "DESC", ""
	if q.Oldest {
		by = "ASC"
	}
	if q.Upwards {
		direction = "ASC"
	}
	switch {
	case len(q.Subkeys) > 0 && len(q.Keys) > 0:
		partition = `PARTITION BY "key", subkey `
	case len(q.Subkeys) > 0:
		partition = "PARTITION BY subkey "
	case len(q.Keys) > 0:
		partition = `PARTITION BY "key" `
	}
	order := func(d string) string { return `"date" ` + d + `, "key" ` + d + ", subkey " + d }
	rows := "SELECT " + columns + ", row_number() OVER (" + partition + "ORDER BY " + order(by) + ") - 1 AS place FROM " + recordTable(uid) + s.sql()
	every := max(q.Every, 1)
	sql = "SELECT " + columns + " FROM (" + rows + ") WHERE place % " + s.arg(every) + " = 0 AND place // " + s.arg(every) + " >= " + s.arg(q.Offset)
	if q.Most > 0 {
		sql += " AND place // " + s.arg(every) + " < " + s.arg(q.Offset+q.Most)
	}
	sql += " ORDER BY "
	if len(q.Keys) > 1 {
		sql += "list_position(" + s.list(q.Keys) + `, "key"), `
	}
	return sql + order(direction) + end, s.args, nil
}

func (i *instance) deleteRecords(ctx context.Context, uid string, q *dataset.Selection) (says counted, err error) {
	s, err := selectedBy(q)
	if err != nil {
		return says, err
	}
	err = i.changeRecords(ctx, func(conn *native.Conn) error {
		if has, err := hasRecords(ctx, conn, uid); err != nil || !has {
			return err
		}
		return conn.Each(ctx, "DELETE FROM "+recordTable(uid)+s.sql(), func(r *native.Result, row int) error {
			says.Deleted = r.Int(0, row)
			return nil
		}, s.args...)
	})
	return says, err
}

func (i *instance) recordUIDs(ctx context.Context) (says counted, err error) {
	conn, err := i.db.Connect()
	if err != nil {
		return says, err
	}
	defer conn.Close()
	err = conn.Each(ctx, `SELECT table_name FROM duckdb_tables() WHERE schema_name = 'records' AND table_name <> $1 ORDER BY table_name`,
		func(r *native.Result, row int) error {
			says.UIDs = append(says.UIDs, strings.Clone(r.Text(0, row)))
			return nil
		}, incoming)
	return says, err
}

func (i *instance) countRecords(ctx context.Context, uids []string) (counted, error) {
	says := counted{Counts: map[string]dataset.Count{}}
	conn, err := i.db.Connect()
	if err != nil {
		return says, err
	}
	defer conn.Close()
	for _, uid := range uids {
		has, err := hasRecords(ctx, conn, uid)
		if err != nil {
			return says, err
		}
		if !has || !isName(uid) {
			continue
		}
		err = conn.Each(ctx, `SELECT count(*), count(DISTINCT "key") FROM `+recordTable(uid), func(r *native.Result, row int) error {
			says.Counts[uid] = dataset.Count{Records: r.Int(0, row), Keys: r.Int(1, row)}
			return nil
		})
		if err != nil {
			return says, err
		}
	}
	return says, nil
}
