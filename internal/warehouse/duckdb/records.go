package duckdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// The records of datasets are kept in the file of their space, beside the events: in the schema records, a table for each
// uid. A write is a transaction of its own and durable when it is answered, since the engine syncs its log before a commit
// returns. The writes of a space, loads of events among them, happen one after another.

// The addresses for records.
const (
	pathWriteRecords  = "/records/write"
	pathReadRecords   = "/records/read"
	pathDeleteRecords = "/records/delete"
	pathDropRecords   = "/records/drop"
	pathCountRecords  = "/records/count"
	pathRecordUIDs    = "/records/uids"
)

// recordsLimit is how long a call about records may take.
const recordsLimit = time.Minute

var errRecordsLimit = errors.New("duckdb: records took too long")

// about is what a call about records says beside its body.
type about struct {
	UID       string            `json:"uid"`
	UIDs      []string          `json:"uids,omitempty"`
	Selection dataset.Selection `json:"selection"`
}

// counted is the answer to a call that counts.
type counted struct {
	Deleted int64                    `json:"deleted"`
	Counts  map[string]dataset.Count `json:"counts"`
	UIDs    []string                 `json:"uids"`
	Ignored []int                    `json:"ignored"`
	Changed int                      `json:"changed"`
}

// WriteRecords implements dataset.Records.
func (w *Warehouse) WriteRecords(ctx context.Context, space event.Space, uid string, b dataset.Batch) (dataset.Written, error) {
	replace := byte(0)
	if b.Replace {
		replace = 1
	}
	body := []byte{replace}
	for i := range b.Records {
		body = appendRecord(body, &b.Records[i])
	}
	if len(body) > maxLoad {
		return dataset.Written{}, fmt.Errorf("duckdb: a batch of %d bytes of records is too large", len(body))
	}
	var says counted
	err := w.records(ctx, space, uid, pathWriteRecords, body, jsonInto(&says))
	return dataset.Written{Ignored: says.Ignored, Replaced: says.Changed}, err
}

// ReadRecords implements dataset.Records.
func (w *Warehouse) ReadRecords(ctx context.Context, space event.Space, uid string, s dataset.Selection) (list []dataset.Record, more bool, err error) {
	body, err := json.Marshal(about{UID: uid, Selection: s})
	if err != nil {
		return nil, false, err
	}
	err = w.records(ctx, space, uid, pathReadRecords, body, func(answer io.Reader) error {
		const overhead = 1 << 20
		data, err := io.ReadAll(io.LimitReader(answer, dataset.MaxReadBytes+dataset.MaxRecord+dataset.MaxRead*128+overhead))
		if err != nil {
			return err
		}
		if len(data) == 0 {
			return io.ErrUnexpectedEOF
		}
		more = data[0] == 1
		list, err = decodeDatasetRecords(data[1:])
		return err
	})
	return list, more, err
}

// DeleteRecords implements dataset.Records.
func (w *Warehouse) DeleteRecords(ctx context.Context, space event.Space, uid string, s dataset.Selection) (int64, error) {
	var says counted
	err := w.recordsCall(ctx, space, pathDeleteRecords, about{UID: uid, Selection: s}, &says)
	return says.Deleted, err
}

// DropRecords implements dataset.Records.
func (w *Warehouse) DropRecords(ctx context.Context, space event.Space, uid string) error {
	return w.recordsCall(ctx, space, pathDropRecords, about{UID: uid}, &counted{})
}

// CountRecords implements dataset.Records.
func (w *Warehouse) CountRecords(ctx context.Context, space event.Space, uids []string) (map[string]dataset.Count, error) {
	var says counted
	err := w.recordsCall(ctx, space, pathCountRecords, about{UIDs: uids}, &says)
	return says.Counts, err
}

// RecordUIDs implements dataset.Records.
func (w *Warehouse) RecordUIDs(ctx context.Context, space event.Space) ([]string, error) {
	var says counted
	err := w.recordsCall(ctx, space, pathRecordUIDs, about{}, &says)
	return says.UIDs, err
}

func (w *Warehouse) recordsCall(ctx context.Context, space event.Space, path string, a about, into *counted) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return w.records(ctx, space, a.UID, path, body, jsonInto(into))
}

func jsonInto(into any) func(io.Reader) error {
	return func(r io.Reader) error { return json.UnmarshalRead(io.LimitReader(r, maxAnswer), into) }
}

// records makes a call about records.
func (w *Warehouse) records(ctx context.Context, space event.Space, uid, path string, body []byte, read func(io.Reader) error) error {
	if err := checkSpace(space); err != nil {
		return err
	}
	if uid != "" && !isName(uid) {
		return fmt.Errorf("duckdb: %q is not the uid of a dataset", uid)
	}
	p, err := w.live(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, recordsLimit, errRecordsLimit)
	defer cancel()
	answer, err := p.send(limited, path+spaceQuery(space)+"&uid="+uid, body)
	if err == nil {
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
			err = readFailure(text)
		} else {
			err = read(answer.Body)
		}
	}
	var a answered
	switch {
	case err == nil:
		return nil
	case errors.As(err, &a):
		return a.error
	case context.Cause(limited) == errRecordsLimit: //nolint:errorlint // it is the value itself
		return problem.Wrap(err, problem.Unavailable, "The records could not be reached within %s.", recordsLimit).After(time.Second)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return problem.Wrap(err, problem.Unavailable, "The query process was restarted; what was to be written may or may not be.").After(time.Second)
}

// appendRecord writes a record: its times, and its key, subkey, the key that wrote it and its body with their lengths.
func appendRecord(dst []byte, r *dataset.Record) []byte {
	dst = binary.AppendVarint(dst, r.Date.UnixMicro())
	dst = binary.AppendVarint(dst, r.Updated.UnixMicro())
	for _, text := range [...]string{r.Key, r.Subkey, r.KeyID} {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Body)))
	return append(dst, r.Body...)
}

// decodeDatasetRecords reads what appendRecord wrote.
func decodeDatasetRecords(data []byte) (list []dataset.Record, err error) {
	number := func() (n int64) {
		v, size := binary.Varint(data)
		if size <= 0 {
			err = io.ErrUnexpectedEOF
			data = nil
			return 0
		}
		data = data[size:]
		return v
	}
	bytes := func() []byte {
		length, size := binary.Uvarint(data)
		if size <= 0 || length > uint64(len(data)-size) {
			err = io.ErrUnexpectedEOF
			data = nil
			return nil
		}
		text := data[size : size+int(length)]
		data = data[size+int(length):]
		return text
	}
	for len(data) > 0 && err == nil {
		r := dataset.Record{Date: time.UnixMicro(number()).UTC(), Updated: time.UnixMicro(number()).UTC()}
		r.Key, r.Subkey, r.KeyID, r.Body = string(bytes()), string(bytes()), string(bytes()), bytes()
		list = append(list, r)
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// selected is a selection as SQL: the conditions, and the values of their parameters.
type selected struct {
	where []string
	args  []any
}

// arg adds a value and gives the name of its parameter.
func (s *selected) arg(v any) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("$%d", len(s.args))
}

func (s *selected) time(t time.Time) string {
	return "make_timestamp(" + s.arg(t.UnixMicro()) + "::BIGINT)"
}

// list is a list of texts as a parameter.
func (s *selected) list(values []string) string {
	text, _ := json.Marshal(values) // texts always can be
	return "from_json(" + s.arg(string(text)) + `, '["VARCHAR"]')`
}

// selectedBy are the conditions of a selection. Nothing of it but the ops, which are from a closed set, is in the SQL.
func selectedBy(q *dataset.Selection) (*selected, error) {
	s := &selected{}
	add := func(sql string) { s.where = append(s.where, sql) }
	if len(q.Keys) > 0 {
		add(`"key" IN (SELECT unnest(` + s.list(q.Keys) + `))`)
	}
	if len(q.Subkeys) > 0 {
		add(`"subkey" IN (SELECT unnest(` + s.list(q.Subkeys) + `))`)
	}
	date := `"date"`
	if q.DateOf != "" && (!q.From.IsZero() || !q.Until.IsZero()) {
		date = "TRY_CAST(" + s.property(q.DateOf) + " AS TIMESTAMP)"
	}
	if !q.From.IsZero() {
		add(date + " >= " + s.time(q.From))
	}
	if !q.Until.IsZero() {
		add(date + " < " + s.time(q.Until))
	}
	if !q.Since.IsZero() {
		add("updated >= " + s.time(q.Since))
	}
	for _, c := range q.Where {
		sql, err := s.condition(c)
		if err != nil {
			return nil, err
		}
		add(sql)
	}
	if a := q.After; a != nil {
		add(`("key", "subkey", "date") > (` + s.arg(a.Key) + ", " + s.arg(a.Subkey) + ", " + s.time(a.Date) + ")")
	}
	return s, nil
}

// sql is the WHERE.
func (s *selected) sql() string {
	if len(s.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(s.where, " AND ")
}

// property is the text of a property's value.
func (s *selected) property(name string) string {
	return "json_extract_string(body, " + s.arg(view.Pointer([]string{name})) + ")"
}

func (s *selected) condition(c dataset.Condition) (string, error) {
	cast := map[dataset.Type]string{
		dataset.Number: "DOUBLE", dataset.Integer: "BIGINT", dataset.Date: "TIMESTAMP", dataset.Boolean: "BOOLEAN", dataset.String: "VARCHAR",
	}[c.Of]
	if cast == "" || len(c.Values) == 0 {
		return "", fmt.Errorf("duckdb: a condition on a %q, with %d values", c.Of, len(c.Values))
	}
	left := "TRY_CAST(" + s.property(c.Property) + " AS " + cast + ")"
	values := make([]string, len(c.Values))
	for i, v := range c.Values {
		values[i] = "TRY_CAST(" + s.arg(v) + "::VARCHAR AS " + cast + ")"
	}
	switch c.Op {
	case dataset.In:
		return left + " IN (" + strings.Join(values, ", ") + ")", nil
	case dataset.NotEqual:
		return left + " <> " + values[0], nil
	case dataset.Equal, dataset.Less, dataset.LessEqual, dataset.Greater, dataset.GreaterEqual:
		return left + " " + string(c.Op) + " " + values[0], nil
	}
	return "", fmt.Errorf("duckdb: the op %q of a condition is not known", c.Op)
}
