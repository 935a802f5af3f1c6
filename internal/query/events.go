package query

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// The bounds of a page of events.
const (
	DefaultPage = 100
	MaxPage     = 1000
	pageBytes   = 8 << 20 // of rows as JSON; a page that reaches it ends early
)

// EventFilter says which events to list. What is empty or zero does not narrow. The range of the events' own timestamps
// takes After in and leaves Before out.
type EventFilter struct {
	Event      string
	DistinctID string
	PersonID   string // as the caller sees it
	After      time.Time
	Before     time.Time
	Limit      int    // events a page, 1 to 1000; 0 is 100
	Cursor     string // the page before's NextCursor; empty for the first page
}

// EventPage is a part of a listing.
type EventPage struct {
	Events     []Event `json:"events" doc:"The events, the newest first by the time they were received."`
	NextCursor string  `json:"next_cursor,omitempty" doc:"Where the next page begins; absent on the last page."`
}

// Event is one event of a listing. An id that the sender left out is left out here too.
type Event struct {
	EventID     string         `json:"event_id"`
	Event       string         `json:"event"`
	Timestamp   time.Time      `json:"timestamp"`
	ReceivedAt  time.Time      `json:"received_at"`
	DistinctID  string         `json:"distinct_id,omitempty"`
	AnonymousID string         `json:"anonymous_id,omitempty"`
	DeviceID    string         `json:"device_id,omitempty"`
	SessionID   string         `json:"session_id,omitempty"`
	Properties  jsontext.Value `json:"properties"`
	KeyID       string         `json:"key_id"`
	Source      string         `json:"source"`
}

// Events lists events of the permit's environment, those that its holder may see, the newest first. Following the
// cursors gives every event that was there when the first page was read once, whatever arrives meanwhile.
//
// Problems: invalid_field, dataset_not_allowed, query_timeout, unavailable.
func (s *Service) Events(ctx context.Context, permit gate.Permit, f EventFilter) (EventPage, error) {
	space, sighted, err := s.sighted(permit)
	if err != nil {
		return EventPage{}, err
	}
	if f.Limit == 0 {
		f.Limit = DefaultPage
	}
	columns, err := f.columns(sighted.Scope)
	if err != nil {
		return EventPage{}, err
	}
	st, err := s.listing(f, columns)
	if err != nil {
		return EventPage{}, err
	}
	st.Scope, st.Asker = sighted.Scope, sighted.Asker
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.engine.Run(ctx, space, st)
	if err != nil {
		return EventPage{}, fault(ctx, err)
	}
	defer func() { _ = rows.Close() }() // whatever it says, the page is complete or has failed by then
	page, err := readPage(ctx, rows, f.Limit)
	return page, fault(ctx, err)
}

// listing makes the statement of a page: one event more than the page takes, to know whether there is another page.
// What the caller sent is bound and never part of the text.
func (s *Service) listing(f EventFilter, columns string) (Statement, error) {
	after, err := f.check()
	if err != nil {
		return Statement{}, err
	}
	named := map[string]jsontext.Value{}
	var where []string
	add := func(condition, name string, value jsontext.Value) {
		if condition != "" {
			where = append(where, condition)
		}
		named[name] = value
	}
	if f.Event != "" {
		add(`event = $event`, "event", quoted(f.Event))
	}
	if f.DistinctID != "" {
		add(`distinct_id = $distinct_id`, "distinct_id", quoted(f.DistinctID))
	}
	if f.PersonID != "" {
		add(`person_id = $person_id`, "person_id", quoted(f.PersonID))
	}
	if !f.After.IsZero() {
		add(`"timestamp" >= CAST($after AS TIMESTAMP)`, "after", instant(f.After))
	}
	if !f.Before.IsZero() {
		add(`"timestamp" < CAST($before AS TIMESTAMP)`, "before", instant(f.Before))
	}
	if f.Cursor != "" {
		// The first condition says what the second does, in a form with which engines can leave data unread.
		add(`received_at <= CAST($received_at AS TIMESTAMP)`, "received_at", instant(after.receivedAt))
		add(`(received_at < CAST($received_at AS TIMESTAMP) OR event_id < $event_id)`, "event_id", quoted(after.eventID))
	}
	add("", "limit", jsontext.Value(strconv.Itoa(f.Limit+1)))

	sql := "SELECT " + columns + " FROM events"
	if len(where) > 0 {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	sql += " ORDER BY received_at DESC, event_id DESC LIMIT $limit"
	return Statement{SQL: sql, Named: named, Ceilings: Ceilings{Time: s.ceilings.Time, Rows: int64(f.Limit) + 1}}, nil
}

// columns are the columns of the listing, with nulls for those that a scope hides. It refuses a listing for which too
// little is seen.
func (f EventFilter) columns(scope view.Scope) (string, error) {
	narrow, visible := scope.Table("events")
	hides := func(column string) bool { return slices.Contains(narrow.Hidden, column) }
	switch {
	case !visible || hides("event_id") || hides("timestamp") || hides("received_at"):
		return "", problem.New(problem.ViewNotApplied, "Events are listed by event_id, timestamp and received_at, and not all of them may be seen.")
	case f.Event != "" && hides("event"):
		return "", problem.Invalid("event", "may not be seen, and so not be asked for")
	case f.DistinctID != "" && hides("distinct_id"):
		return "", problem.Invalid("distinct_id", "may not be seen, and so not be asked for")
	case f.PersonID != "" && hides(view.PersonID):
		return "", problem.New(problem.ViewNotApplied, "Whose an event is may not be seen.")
	}
	events, _ := view.TableNamed("events")
	var all []string
	for _, c := range events.Columns {
		switch {
		case c.Name == view.PersonID: // no event says it of itself
		case hides(c.Name):
			all = append(all, "NULL AS "+c.Name)
		case c.Name == "timestamp":
			all = append(all, `"timestamp"`) // a word of SQL too
		default:
			all = append(all, c.Name)
		}
	}
	return strings.Join(all, ", "), nil
}

// check refuses a filter that no events could be asked for with, and reads its cursor.
func (f EventFilter) check() (position, error) {
	for _, text := range []struct {
		field, value string
		limit        int
	}{{"event", f.Event, event.MaxNameBytes}, {"distinct_id", f.DistinctID, event.MaxIDBytes}, {"person_id", f.PersonID, event.MaxIDBytes}} {
		if !utf8.ValidString(text.value) || strings.IndexByte(text.value, 0) >= 0 {
			return position{}, problem.Invalid(text.field, "must be UTF-8 without a NUL character")
		}
		if len(text.value) > text.limit {
			return position{}, problem.Invalid(text.field, "must be at most %d bytes long, is %d", text.limit, len(text.value))
		}
	}
	switch {
	case f.Limit < 1 || f.Limit > MaxPage:
		return position{}, problem.Invalid("limit", "must be 1 to %d", MaxPage)
	case !f.After.IsZero() && !sayable(f.After):
		return position{}, problem.Invalid("after", "must be in the years 1 to 9999")
	case !f.Before.IsZero() && !sayable(f.Before):
		return position{}, problem.Invalid("before", "must be in the years 1 to 9999")
	case !f.After.IsZero() && !f.Before.IsZero() && !f.After.Before(f.Before):
		return position{}, problem.Invalid("before", "must be later than 'after'")
	case f.Cursor == "":
		return position{}, nil
	}
	p, ok := parseCursor(f.Cursor)
	if !ok {
		return position{}, problem.Invalid("cursor", "is not one that a page of this listing gave")
	}
	return p, nil
}

func readPage(ctx context.Context, rows Rows, limit int) (EventPage, error) {
	page := EventPage{Events: []Event{}}
	c, size := newCells(), 0
	for {
		if err := ctx.Err(); err != nil {
			return EventPage{}, err
		}
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return page, nil
		}
		if err != nil {
			return EventPage{}, err
		}
		size += len(row)
		if n := len(page.Events); n == limit || n > 0 && size > pageBytes {
			last := page.Events[n-1]
			page.NextCursor = position{last.ReceivedAt, last.EventID}.cursor()
			return page, nil
		}
		e, err := readEvent(c, row)
		if err != nil {
			return EventPage{}, err
		}
		page.Events = append(page.Events, e)
	}
}

// readEvent reads a row of the listing.
func readEvent(c *cells, row jsontext.Value) (Event, error) {
	var e Event
	if err := c.open(row); err != nil {
		return e, err
	}
	for _, into := range []any{
		&e.EventID, &e.Event, &e.Timestamp, &e.ReceivedAt, &e.DistinctID, &e.AnonymousID, &e.DeviceID, &e.SessionID, &e.Properties, &e.KeyID, &e.Source,
	} {
		v, err := c.next()
		if err != nil {
			return e, err
		}
		if err := readInto(into, v); err != nil {
			return e, err
		}
	}
	return e, c.close()
}

func readInto(into any, v jsontext.Value) error {
	if into, ok := into.(*jsontext.Value); ok {
		*into = jsontext.Value("{}")
		if v.Kind() == '{' {
			*into = v.Clone()
		}
		return nil
	}
	var text []byte
	var err error
	switch v.Kind() {
	case 'n':
		return nil
	case '"':
		text, err = jsontext.AppendUnquote(nil, v)
	default:
		err = errRow
	}
	if err != nil {
		return err
	}
	switch into := into.(type) {
	case *string:
		*into = string(text)
	case *time.Time:
		*into, err = time.Parse(time.RFC3339Nano, string(text))
	}
	return err
}

// position is a place in the listing: the event it is at, by what the listing is ordered by.
type position struct {
	receivedAt time.Time // UTC, to the microsecond
	eventID    string
}

// The cursor is a position for nobody to read: in base64url, the version, the microseconds since 1970 as eight bytes,
// and the event's id. It is no secret and proves nothing: a made-up one is only another place in the same data.
const cursorVersion = 1

func (p position) cursor() string {
	b := binary.BigEndian.AppendUint64([]byte{cursorVersion}, uint64(p.receivedAt.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, p.eventID...))
}

func parseCursor(cursor string) (position, bool) {
	if len(cursor) > base64.RawURLEncoding.EncodedLen(9+event.MaxIDBytes) {
		return position{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) < 10 || b[0] != cursorVersion || !utf8.Valid(b[9:]) {
		return position{}, false
	}
	p := position{time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:9]))).UTC(), string(b[9:])}
	return p, sayable(p.receivedAt) && strings.IndexByte(p.eventID, 0) < 0 && p.cursor() == cursor
}

// sayable reports whether RFC 3339 can say t, one microsecond later too.
func sayable(t time.Time) bool {
	return t.UTC().Year() >= 1 && t.UTC().Add(time.Microsecond).Year() <= 9999
}

// instant is t as a parameter: the first microsecond that is not before it, since events have no finer times.
func instant(t time.Time) jsontext.Value {
	t = t.UTC().Add(time.Microsecond - time.Nanosecond).Truncate(time.Microsecond)
	return jsontext.Value(t.AppendFormat(nil, `"2006-01-02T15:04:05.000000Z"`))
}

// quoted is a text as a parameter. The text is valid UTF-8.
func quoted(text string) jsontext.Value {
	v, _ := jsontext.AppendQuote(nil, text)
	return v
}
