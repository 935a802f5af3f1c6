// Package intake brings files of events to a server: it reads them row by row, makes items of the rows, sends these in
// batches, and knows at any time how far it is.
//
// It owns the formats of files (NDJSON, CSV, Parquet), how columns become members of items, and what is kept beside a
// file: the state, from which a stopped import goes on, and the rows that were not accepted, each with its place and the
// reason. It does not own what an item may be (package event, behind the server) nor how a server is reached (its user).
//
// Each item gets an id made of the file and its row, unless a column has one, so that a row that is sent again is stored
// once.
package intake

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The limits on a file's rows and on what is sent at once.
const (
	MaxLine  = 1 << 20   // bytes of a line of NDJSON, or of a cell of CSV
	maxBatch = 1000      // items
	maxBytes = 900 << 10 // of a batch
)

// Row is one row of a file.
type Row struct {
	Number  int64 // of the line in a text file, of the row in another; from 1
	Members map[string]jsontext.Value
	Fault   string // why it cannot be read; Members is empty then
	Text    string // as it stands in a text file, when it cannot be read; of a very long one nothing
}

// Source gives the rows of a file, one after the other, and io.EOF after the last. A row that cannot be read is a row
// with a fault; an error is of the file. Columns are those that the file says it has; nil: it does not say.
type Source interface {
	Next() (Row, error)
	Columns() []string
	Close() error
}

// Answer is what a server answered.
type Answer struct {
	Status     int
	RetryAfter time.Duration // as it asks to wait; zero: it does not
	Body       []byte
}

// Send sends a body to one of the server's routes. An error means that no answer came.
type Send func(ctx context.Context, route string, body []byte) (Answer, error)

// Progress is how far an import is.
type Progress struct {
	Rows     int64 `json:"rows"`     // that are done with
	Accepted int64 `json:"accepted"` // items
	Rejected int64 `json:"rejected"` // rows
}

// Import is a file on its way to a server.
type Import struct {
	Source  Source
	Mapping *Mapping
	File    string // what names the file's content, in ids
	Send    Send
	Kept    *Kept
	Told    func(Progress) // hears of each batch
	Pause   func(ctx context.Context, why string, wait time.Duration) error
	Most    int64 // rows that may be rejected with none accepted before or between; zero: any number

	batch int // items sent at once; zero: maxBatch
}

// ErrRejected is what an import ends with of which too much was rejected.
var ErrRejected = errors.New("too many rows were rejected")

// entry is a row with its item.
type entry struct {
	row  Row
	item []byte
}

// Run sends the rows that are not done with. When it ends before the file does, for whatever reason, Run of another
// Import with the same Kept goes on.
func (m *Import) Run(ctx context.Context) error {
	at, most := m.Kept.Progress(), cmp.Or(m.batch, maxBatch)
	batch, size := []entry(nil), 0
	for skipped := int64(0); ; {
		row, err := m.Source.Next()
		if err != nil && !isEnd(err) {
			return errors.Join(err, m.settle(ctx, batch)) // what came before the fault is good
		}
		end := err != nil
		if !end && skipped < at.Rows {
			skipped++
			continue
		}
		var next entry
		if !end {
			next = m.entry(row)
		}
		if end || len(batch) == most || size+len(next.item) > maxBytes {
			if err := m.settle(ctx, batch); err != nil || end {
				return err
			}
			batch, size = nil, 0
		}
		batch, size = append(batch, next), size+len(next.item)+1
	}
}

func (m *Import) entry(row Row) entry {
	if row.Fault != "" {
		return entry{row: row}
	}
	item, err := m.Mapping.item(row, m.File)
	if err != nil {
		row.Fault = err.Error()
		return entry{row: row}
	}
	return entry{row, item}
}

// settle sends a batch, and keeps what came of it.
func (m *Import) settle(ctx context.Context, batch []entry) error {
	if len(batch) == 0 {
		return nil
	}
	var send []entry
	var rejected []Rejected
	for _, e := range batch {
		if e.row.Fault == "" {
			send = append(send, e)
		} else {
			rejected = append(rejected, Rejected{Line: e.row.Number, Code: "unreadable", Detail: e.row.Fault, Row: e.row.Members, Text: e.row.Text})
		}
	}
	refused, err := m.deliver(ctx, send)
	if err != nil {
		return err
	}
	rejected = append(rejected, refused...)
	p := m.Kept.Progress()
	p.Rows += int64(len(batch))
	p.Accepted += int64(len(batch) - len(rejected))
	p.Rejected += int64(len(rejected))
	if err := m.Kept.keep(p, rejected); err != nil {
		return err
	}
	m.Told(p)
	if m.Most > 0 && p.Accepted == 0 && p.Rejected >= m.Most {
		return fmt.Errorf("%w: all of the first %d; the first of them says: %s", ErrRejected, p.Rejected, m.Kept.first(rejected))
	}
	return nil
}

// Refusal is an answer that ends an import: it is not about what a row says.
type Refusal struct {
	Status int
	Code   string
	Detail string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s (%s, status %d)", r.Detail, r.Code, r.Status)
}

// deliver sends entries until the server has answered for them all, and gives those that it rejected.
func (m *Import) deliver(ctx context.Context, batch []entry) ([]Rejected, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	answer, err := m.insist(ctx, batch)
	if err != nil {
		return nil, err
	}
	var told verdict
	if err := json.Unmarshal(answer.Body, &told); err != nil {
		return nil, fmt.Errorf("the answer of status %d cannot be read: %w", answer.Status, err)
	}
	if answer.Status < http.StatusMultipleChoices {
		return told.of(batch)
	}
	if !ofItems(answer.Status, told.Code) {
		return nil, &Refusal{answer.Status, told.Code, told.Detail}
	}
	if len(batch) == 1 {
		return []Rejected{batch[0].rejected(told.Code, told.Detail)}, nil
	}
	if len(told.Rejected) == len(batch) {
		return told.of(batch)
	}
	// None was accepted, and the answer is about the first or about the whole: halves say more.
	half := len(batch) / 2
	first, err := m.deliver(ctx, batch[:half])
	if err != nil {
		return nil, err
	}
	second, err := m.deliver(ctx, batch[half:])
	return append(first, second...), err
}

// verdict is what is read of an answer.
type verdict struct {
	Code     string `json:"code"`
	Detail   string `json:"detail"`
	Rejected []struct {
		Index  int    `json:"index"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"rejected"`
}

// of are the rows of a batch that are rejected.
func (v *verdict) of(batch []entry) (rejected []Rejected, err error) {
	for _, r := range v.Rejected {
		if r.Index < 0 || r.Index >= len(batch) {
			return nil, fmt.Errorf("the answer rejects item %d of %d", r.Index, len(batch))
		}
		rejected = append(rejected, batch[r.Index].rejected(r.Code, r.Detail))
	}
	return rejected, nil
}

func (e entry) rejected(code, detail string) Rejected {
	return Rejected{Line: e.row.Number, Code: code, Detail: detail, Row: e.row.Members}
}

// ofItems reports whether a refusal is about what an item says, and not about who sends it or how much.
func ofItems(status int, code string) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return true
	case http.StatusForbidden, http.StatusNotFound:
		return code == "event_not_allowed" || code == "environment_not_allowed" || code == "environment_not_found"
	}
	return false
}

// The pauses between tries double from the first to the last.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// insist sends a batch until an answer comes that is not "later".
func (m *Import) insist(ctx context.Context, batch []entry) (Answer, error) {
	body := []byte{'['}
	for i, e := range batch {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, e.item...)
	}
	body = append(body, ']')
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		answer, err := m.Send(ctx, m.Mapping.Kind.route(), body)
		if err == nil && answer.Status != http.StatusTooManyRequests && answer.Status < http.StatusInternalServerError {
			return answer, nil
		}
		if ctx.Err() != nil {
			return answer, context.Cause(ctx)
		}
		wait := pause
		if answer.RetryAfter > 0 {
			wait = answer.RetryAfter
		}
		why := "cannot take more now"
		if err != nil {
			why = "gives no answer: " + err.Error()
		} else if answer.Status >= http.StatusInternalServerError {
			why = fmt.Sprintf("has answered %d", answer.Status)
		}
		if err := m.Pause(ctx, why, wait); err != nil {
			return answer, err
		}
	}
}

// Show writes the first items of a file, and the faults of its rows, without sending anything.
func Show(out io.Writer, source Source, mapping *Mapping, file string, most int) error {
	m := &Import{Mapping: mapping, File: file}
	for range most {
		row, err := source.Next()
		if isEnd(err) {
			return nil
		}
		if err != nil {
			return err
		}
		e := m.entry(row)
		if e.row.Fault != "" {
			_, err = fmt.Fprintf(out, "line %d: %s\n", e.row.Number, e.row.Fault)
		} else {
			_, err = fmt.Fprintf(out, "%s\n", e.item)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
