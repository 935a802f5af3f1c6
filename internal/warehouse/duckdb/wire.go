package duckdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// The addresses the query process answers at, over its unix socket.
const (
	pathReady    = "/ready"
	pathLoad     = "/load"
	pathLoaded   = "/loaded"
	pathAnalyze  = "/analyze"
	pathDescribe = "/describe"
	pathRun      = "/run"
	pathCancel   = "/cancel"
	pathStop     = "/stop"
)

// Limits of what goes over the socket in one piece.
const (
	maxLoad      = 32 << 20 // bytes of records; a larger load goes in several pieces
	maxStatement = 16 << 20 // bytes of a statement with its parameters
	maxAnswer    = 1 << 20  // bytes of an answer that is no rows
)

// alive is what a process that is ready says of itself.
type alive struct {
	Walls string `json:"walls"`
}

// stowed is the answer to a load: what columns of properties the open files have, and what filling them has taken.
type stowed struct {
	Columns int64 `json:"columns"`
	Filling int64 `json:"filling"` // nanoseconds
}

// loaded is the answer about a space's position.
type loaded struct {
	Position event.Position `json:"position"`
}

// question asks to analyze, describe or run a statement. The scope's key of hashes and its datasets go beside it: they are in no
// JSON of a scope.
type question struct {
	ID          string                    `json:"id"`
	Project     string                    `json:"project"`
	Environment string                    `json:"environment"`
	SQL         string                    `json:"sql"`
	TimeZone    string                    `json:"time_zone"`
	Positional  []jsontext.Value          `json:"positional"`
	Named       map[string]jsontext.Value `json:"named"`
	Scope       view.Scope                `json:"scope"`
	HashKey     []byte                    `json:"hash_key"`
	Datasets    []view.Relation           `json:"datasets"`
	Rows        int64                     `json:"rows"`
	Bytes       int64                     `json:"bytes"`
}

// questionOf is a statement over a space as a question.
func questionOf(id string, space event.Space, st *query.Statement) *question {
	return &question{
		ID: id, Project: space.Project, Environment: space.Environment, SQL: st.SQL, TimeZone: st.TimeZone, Positional: st.Positional, Named: st.Named,
		Scope: st.Scope, HashKey: st.Scope.HashKey.Raw(), Datasets: st.Scope.Datasets, Rows: st.Ceilings.Rows, Bytes: st.Ceilings.Bytes,
	}
}

// header is the first line of an answer with rows. Each row is a line with a JSON array; the last line is an end or a
// failure. Lines without a last one are the work of a process that died.
type header struct {
	Columns []query.Column `json:"columns"`
}

// end is the last line of a whole answer.
const end = `{"end":true}`

// failure is an error on its way: a problem, or a fault of ours.
type failure struct {
	Code       problem.Code     `json:"code"`
	Detail     string           `json:"detail"`
	Fields     []problem.Field  `json:"fields"`
	RetryAfter int64            `json:"retry_after"` // nanoseconds
	Caret      *problem.Caret   `json:"caret"`
	Ceiling    *problem.Ceiling `json:"ceiling"`
}

func failureOf(err error) failure {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return failure{Code: p.Code, Detail: p.Detail, Fields: p.Fields, RetryAfter: int64(p.RetryAfter), Caret: p.Caret, Ceiling: p.Ceiling}
	}
	return failure{Detail: err.Error()}
}

// error is the failure as the error it was.
func (f failure) error() error {
	if f.Code == "" {
		return fmt.Errorf("duckdb: query process: %s", f.Detail)
	}
	p := problem.New(f.Code, "%s", f.Detail).After(time.Duration(f.RetryAfter))
	p.Fields, p.Caret, p.Ceiling = f.Fields, f.Caret, f.Ceiling
	return p
}

// writeFailure answers a request with an error.
func writeFailure(w http.ResponseWriter, err error) {
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.MarshalWrite(w, failureOf(err))
}

// checkSpace refuses a space whose names cannot be the names of a folder and a file.
func checkSpace(s event.Space) error {
	if !isName(s.Project) || !isName(s.Environment) {
		return fmt.Errorf("duckdb: project %q, environment %q: not names of a space", s.Project, s.Environment)
	}
	return nil
}

// isName reports whether s is 1 to 64 letters, digits, underscores and hyphens of ASCII, and starts with neither of the
// last two.
func isName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '_' || c == '-'):
		default:
			return false
		}
	}
	return 0 < len(s) && len(s) <= 64
}

func spaceQuery(s event.Space) string {
	return "?" + url.Values{"project": {s.Project}, "environment": {s.Environment}}.Encode()
}

func spaceOf(r *http.Request) (event.Space, error) {
	q := r.URL.Query()
	s := event.Space{Project: q.Get("project"), Environment: q.Get("environment")}
	return s, checkSpace(s)
}

// encodeRecords writes each record as its position, its length, both varints, and its data.
func encodeRecords(records []event.Record) []byte {
	size := 0
	for _, r := range records {
		size += len(r.Data) + 2*binary.MaxVarintLen64
	}
	out := make([]byte, 0, size)
	for _, r := range records {
		out = binary.AppendUvarint(out, uint64(r.Position))
		out = binary.AppendUvarint(out, uint64(len(r.Data)))
		out = append(out, r.Data...)
	}
	return out
}

// decodeRecords reads what encodeRecords wrote. The records refer to data.
func decodeRecords(data []byte) ([]event.Record, error) {
	var records []event.Record
	for len(data) > 0 {
		position, n := binary.Uvarint(data)
		if n <= 0 {
			return nil, io.ErrUnexpectedEOF
		}
		data = data[n:]
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) {
			return nil, io.ErrUnexpectedEOF
		}
		data = data[n:]
		records = append(records, event.Record{Position: event.Position(position), Data: data[:size]})
		data = data[size:]
	}
	return records, nil
}
