package event

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// ReadBatch reads one JSON object or an array of them, as contracts A2 has it: fields may be missing or null, unknown
// fields are passed over, ids may be numbers. With a member "events" that is an array, an object is a batch. What is
// wrong with one item is that item's problem; what is wrong with the text as JSON is the whole request's.
//
// Problems of the whole: invalid_json with the offset, line and column; invalid_request for an empty body;
// too_many_items. Problems of an item: invalid_field, event_too_large.
func ReadBatch(body []byte, shape Shape) (Batch, error) {
	r := batchReader{body: body, dec: jsontext.NewDecoder(bytes.NewBuffer(body)), batch: Batch{Shape: shape}}
	if err := r.read(); err != nil {
		return Batch{}, jsonProblem(body, r.dec, err)
	}
	if len(r.batch.Items) == 0 {
		return Batch{}, problem.New(problem.InvalidField, "The batch has no items.").At("", "at least one item is needed")
	}
	return r.batch, nil
}

type batchReader struct {
	body  []byte
	dec   *jsontext.Decoder
	batch Batch
}

func (r *batchReader) read() error {
	var err error
	switch r.dec.PeekKind() {
	case '{':
		err = r.item()
	case '[':
		err = r.items()
	default:
		if _, err = r.dec.ReadValue(); err == nil {
			return problem.New(problem.InvalidField, "The body must be a JSON object or an array of objects.").At("", "must be an object or an array")
		}
	}
	if err != nil {
		return err
	}
	if _, err := r.dec.ReadToken(); err == nil {
		return problem.New(problem.InvalidJSON, "There is more after the JSON text%s.", problem.Place(r.body, r.dec.InputOffset()))
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (r *batchReader) items() error {
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() != ']' {
		if len(r.batch.Items) == MaxItems {
			return problem.New(problem.TooManyItems, "A batch may have at most %d items.", MaxItems)
		}
		if err := r.item(); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}

// item reads one element. It returns an error only when the text is not JSON.
func (r *batchReader) item() error {
	if r.dec.PeekKind() != '{' {
		if err := r.dec.SkipValue(); err != nil {
			return err
		}
		r.add(Event{}, problem.Invalid("", "must be an object"))
		return nil
	}
	f := fields{event: Event{Kind: r.batch.Shape.Kind}}
	start := r.dec.InputOffset()
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() != '}' {
		name, err := r.dec.ReadValue()
		if err != nil {
			return err
		}
		if string(name) == `"events"` && r.dec.StackDepth() == 1 && r.dec.PeekKind() == '[' {
			if err := r.items(); err != nil {
				return err
			}
			f.isBatch = true
			continue
		}
		m := memberOf(name)
		value, err := r.dec.ReadValue()
		if err != nil {
			return err
		}
		f.set(m, value)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	if !f.isBatch {
		r.add(f.finish(int(r.dec.InputOffset() - start)))
	}
	return nil
}

func (r *batchReader) add(e Event, p *problem.Error) {
	r.batch.Items = append(r.batch.Items, Item{Event: e, Problem: p})
}

// fields gathers the members of one item.
type fields struct {
	event   Event
	problem *problem.Error
	isBatch bool
}

// member is what the name of an object's member means to us.
type member uint8

const (
	ignored member = iota
	eventName
	environment
	properties
	traits
	timestamp
	distinctID
	anonymousID
	deviceID
	sessionID
	newUserID
	eventID
)

func memberOf(name jsontext.Value) member {
	if bytes.IndexByte(name, '\\') >= 0 {
		plain, err := jsontext.AppendUnquote(nil, name)
		if err != nil {
			return ignored
		}
		name = slices.Concat([]byte{'"'}, plain, []byte{'"'})
	}
	switch string(name) {
	case `"event"`, `"name"`:
		return eventName
	case `"environment"`:
		return environment
	case `"properties"`:
		return properties
	case `"traits"`:
		return traits
	case `"timestamp"`:
		return timestamp
	case `"distinct_id"`:
		return distinctID
	case `"anonymous_id"`:
		return anonymousID
	case `"device_id"`:
		return deviceID
	case `"session_id"`:
		return sessionID
	case `"new_user_id"`:
		return newUserID
	case `"event_id"`, `"messageId"`, `"sys_uuid"`, `"$insert_id"`:
		return eventID
	}
	return ignored
}

// set takes one member. What another kind of event would mean by it is passed over.
func (f *fields) set(m member, v jsontext.Value) {
	e := &f.event
	switch m {
	case eventName:
		if e.Kind == Track {
			f.text("event", v, &e.Name, MaxNameBytes)
		}
	case environment:
		f.text("environment", v, &e.Environment, MaxIDBytes)
	case properties:
		if e.Kind != Identify {
			f.object("properties", v)
		}
	case traits:
		if e.Kind == Identify {
			f.object("traits", v)
		}
	case timestamp:
		f.time(v)
	case distinctID:
		f.id("distinct_id", v, &e.DistinctID)
	case anonymousID:
		f.id("anonymous_id", v, &e.AnonymousID)
	case deviceID:
		f.id("device_id", v, &e.DeviceID)
	case sessionID:
		f.id("session_id", v, &e.SessionID)
	case newUserID:
		f.id("new_user_id", v, &e.NewUserID)
	case eventID:
		f.id("event_id", v, &e.ID)
	case ignored:
	}
}

func (f *fields) bad(field, format string, args ...any) {
	p := problem.Invalid(field, format, args...)
	if f.problem == nil {
		f.problem = p
		return
	}
	f.problem.Fields = append(f.problem.Fields, p.Fields...)
}

func (f *fields) text(field string, v jsontext.Value, into *string, limit int) {
	switch v.Kind() {
	case 'n':
		return
	case '"':
	default:
		f.bad(field, "must be a string")
		return
	}
	if bytes.IndexByte(v, '\\') < 0 {
		*into = string(v[1 : len(v)-1])
	} else if plain, err := jsontext.AppendUnquote(nil, v); err == nil {
		*into = string(plain)
	}
	switch {
	case len(*into) > limit:
		f.bad(field, "must be at most %d bytes long, is %d", limit, len(*into))
	case strings.IndexByte(*into, 0) >= 0:
		f.bad(field, "must not contain a NUL character")
	}
}

// id reads an id. Many systems number their users, so a number is taken as its text.
func (f *fields) id(field string, v jsontext.Value, into *string) {
	if v.Kind() != '0' {
		f.text(field, v, into, MaxIDBytes)
		return
	}
	if len(v) > MaxIDBytes {
		f.bad(field, "must be at most %d bytes long, is %d", MaxIDBytes, len(v))
		return
	}
	*into = string(v)
}

func (f *fields) object(field string, v jsontext.Value) {
	switch v.Kind() {
	case 'n':
		return
	case '{':
	default:
		f.bad(field, "must be an object")
		return
	}
	depth, members := measure(v)
	switch {
	case depth > MaxDepth:
		f.bad(field, "is nested %d deep, at most %d is accepted", depth, MaxDepth)
	case members > MaxMembers:
		f.bad(field, "has %d members, at most %d are accepted", members, MaxMembers)
	case bytes.Contains(v, []byte(`\u0000`)):
		f.bad(field, "must not contain a NUL character")
	}
	f.event.Properties = v.Clone()
}

// time reads ISO 8601, or a number since 1970: below 1e11 seconds, else milliseconds (contracts F1).
func (f *fields) time(v jsontext.Value) {
	var t time.Time
	switch v.Kind() {
	case 'n':
		return
	case '0':
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil || n < 0 || n > 1e16 {
			f.bad("timestamp", "is not a time: seconds or milliseconds since 1970 are expected")
			return
		}
		if n < 1e11 {
			n *= 1000
		}
		t = time.UnixMicro(int64(math.Round(n * 1000))).UTC()
	case '"':
		var text string
		f.text("timestamp", v, &text, 64)
		parsed, ok := parseTime(text)
		if !ok {
			f.bad("timestamp", "is not a time: ISO 8601 such as 2026-01-31T12:00:00.000Z is expected")
			return
		}
		t = parsed
	default:
		f.bad("timestamp", "must be a string or a number")
		return
	}
	if !inRange(t) {
		f.bad("timestamp", "lies outside the years 1970 to 2199")
		return
	}
	f.event.Timestamp = t
}

// parseTime reads the forms of ISO 8601 that clients send. A time without a zone is UTC.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range [...]string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999",
		"2006-01-02T15:04:05.999999999Z0700", "2006-01-02",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Truncate(time.Microsecond), true
		}
	}
	return time.Time{}, false
}

// finish checks what an item as a whole must have.
func (f *fields) finish(size int) (Event, *problem.Error) {
	e := f.event
	if size > MaxEventBytes {
		return e, problem.New(problem.EventTooLarge, "The event is %d bytes of JSON; at most %d are accepted.", size, MaxEventBytes)
	}
	switch e.Kind {
	case Track:
		f.require("event", e.Name)
	case Identify:
		f.require("distinct_id", e.DistinctID)
	case Alias:
		f.require("distinct_id", e.DistinctID)
		f.require("new_user_id", e.NewUserID)
	}
	e.OwnID = e.ID != ""
	return e, f.problem
}

func (f *fields) require(field, value string) {
	if value != "" {
		return
	}
	if f.problem != nil && slices.ContainsFunc(f.problem.Fields, func(p problem.Field) bool { return p.Name == field }) {
		return
	}
	f.bad(field, "is required")
}

// measure counts how deep a JSON value is nested and how many members and elements it has. The value is known to be
// valid.
func measure(v jsontext.Value) (depth, members int) {
	level, quoted := 0, false
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			depth = max(depth, level)
			members++
		case c == '}' || c == ']':
			level--
		case c == ',':
			members++
		}
	}
	return depth, members
}

// jsonProblem turns a decoder's error into the answer: what is wrong, and where.
func jsonProblem(body []byte, dec *jsontext.Decoder, err error) error {
	var p *problem.Error
	if errors.As(err, &p) {
		return p
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return problem.New(problem.InvalidRequest, "The body is empty; a JSON object or an array of objects is expected.")
	}
	offset := dec.InputOffset()
	reason := err.Error()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		offset = syntax.ByteOffset
		if syntax.Err != nil {
			reason = syntax.Err.Error()
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		reason = "the text ends in the middle"
	}
	return problem.Wrap(err, problem.InvalidJSON, "The body is not valid JSON: %s%s.", clip(reason), problem.Place(body, offset))
}

// clip bounds the part of a message that may repeat input.
func clip(s string) string {
	s = strings.TrimPrefix(s, "jsontext: ")
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}
