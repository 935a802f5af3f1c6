package event

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/problem"
)

// member is a member of an item's object that means something to us.
type member uint8

// The members, each with its aliases after it in the order of their precedence.
const (
	ignored member = iota
	events
	environment
	eventName
	nameAlias
	timestamp
	distinctID
	anonymousID
	deviceID
	sessionID
	newUserID
	properties
	traits
	eventID
	messageID
	sysUUID
	insertID

	endOfMembers
)

// memberNames are as senders write them.
var memberNames = [endOfMembers]string{
	events:      "events",
	environment: "environment",
	eventName:   "event",
	nameAlias:   "name",
	timestamp:   "timestamp",
	distinctID:  "distinct_id",
	anonymousID: "anonymous_id",
	deviceID:    "device_id",
	sessionID:   "session_id",
	newUserID:   "new_user_id",
	properties:  "properties",
	traits:      "traits",
	eventID:     "event_id",
	messageID:   "messageId",
	sysUUID:     "sys_uuid",
	insertID:    "$insert_id",
}

func memberOf(name jsontext.Value) member {
	plain := unquote(name)
	for m, known := range memberNames {
		if string(plain) == known {
			return member(m)
		}
	}
	return ignored
}

// unquote gives the text of a JSON string that is known to be valid. It may be part of v.
func unquote(v jsontext.Value) []byte {
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1]
	}
	plain, _ := jsontext.AppendUnquote(nil, v) // fails only for what is not valid
	return plain
}

// fields is the object of one item: the values of its members, nil for one that is missing, and what was found wrong
// with them.
type fields struct {
	values  [endOfMembers]jsontext.Value
	texts   strings.Builder // the texts that the event has of them, in one piece of memory
	problem *problem.Error
}

// item makes the event, or the problem with it. Members that mean nothing for its kind are passed over. size is that of
// the object's text in bytes.
func (f *fields) item(kind Kind, size int) Item {
	if size > MaxEventBytes {
		return Item{Problem: problem.New(problem.EventTooLarge, "The event is %d bytes of JSON; at most %d are accepted.", size, MaxEventBytes)}
	}
	e, called := Event{Kind: kind}, ""
	f.texts.Grow(f.room())
	f.text(environment, &e.Environment, MaxIDBytes)
	f.time(&e.Timestamp)
	f.person(distinctID, &e.DistinctID)
	f.person(anonymousID, &e.AnonymousID)
	f.person(deviceID, &e.DeviceID)
	f.id(sessionID, &e.SessionID)
	f.id(f.given(eventID, messageID, sysUUID, insertID), &e.ID)
	e.OwnID = e.ID != ""
	switch kind {
	case Track:
		name := f.given(eventName, nameAlias)
		f.text(name, &e.Name, MaxNameBytes)
		f.require(name, e.Name)
		if name != eventName {
			called = memberNames[name]
		}
		f.object(properties, &e.Properties)
	case Identify:
		f.require(distinctID, e.DistinctID)
		f.traits(&e.Properties)
	case Alias:
		f.person(newUserID, &e.NewUserID)
		f.require(distinctID, e.DistinctID)
		f.require(newUserID, e.NewUserID)
	case Forget: // nobody sends one
	}
	return Item{Event: e, Problem: f.problem, Called: called}
}

// room is how much the texts take at the most.
func (f *fields) room() int {
	n := 0
	for m := environment; m < endOfMembers; m++ {
		if size := len(f.values[m]); m != timestamp && m != properties && m != traits && size <= 2*MaxNameBytes {
			n += size
		}
	}
	return n
}

// given is the first of a member and its aliases that has a value, and the member when none has.
func (f *fields) given(m member, aliases ...member) member {
	if f.kind(m) != 'n' {
		return m
	}
	for _, alias := range aliases {
		if f.kind(alias) != 'n' {
			return alias
		}
	}
	return m
}

// kind is that of a member's value. One that is missing is like null.
func (f *fields) kind(m member) jsontext.Kind {
	if f.values[m] == nil {
		return 'n'
	}
	return f.values[m].Kind()
}

func (f *fields) bad(m member, format string, args ...any) {
	p := problem.Invalid(memberNames[m], format, args...)
	if f.problem == nil {
		f.problem = p
		return
	}
	f.problem.Fields = append(f.problem.Fields, p.Fields...)
}

func (f *fields) require(m member, value string) {
	if value != "" {
		return
	}
	if f.problem != nil && slices.ContainsFunc(f.problem.Fields, func(p problem.Field) bool { return p.Name == memberNames[m] }) {
		return
	}
	f.bad(m, "is required")
}

func (f *fields) text(m member, into *string, limit int) {
	switch f.kind(m) {
	case 'n':
	case '"':
		f.take(m, unquote(f.values[m]), into, limit)
	default:
		f.bad(m, "must be a string")
	}
}

// id reads an id. Many systems number their users, so a number is taken as its text.
func (f *fields) id(m member, into *string) {
	switch f.kind(m) {
	case 'n':
	case '"':
		f.take(m, unquote(f.values[m]), into, MaxIDBytes)
	case '0':
		f.take(m, f.values[m], into, MaxIDBytes)
	default:
		f.bad(m, "must be a string or a number")
	}
}

func (f *fields) take(m member, text []byte, into *string, limit int) {
	switch {
	case len(text) > limit:
		f.bad(m, "must be at most %d bytes long, is %d", limit, len(text))
	case bytes.IndexByte(text, 0) >= 0:
		f.bad(m, "must not contain a NUL character")
	default:
		start := f.texts.Len()
		f.texts.Write(text)
		*into = f.texts.String()[start:]
	}
}

func (f *fields) object(m member, into *jsontext.Value) {
	switch f.kind(m) {
	case 'n':
		return
	case '{':
	default:
		f.bad(m, "must be an object")
		return
	}
	switch depth, members, nul := measure(f.values[m]); {
	case depth > MaxDepth:
		f.bad(m, "is nested %d deep, at most %d is accepted", depth, MaxDepth)
	case members > MaxMembers:
		f.bad(m, "has %d members, at most %d are accepted", members, MaxMembers)
	case nul:
		f.bad(m, "must not contain a NUL character")
	default:
		*into = f.values[m].Clone()
	}
}

// measure finds how deep a JSON value is nested, how many members and elements it has at all depths, and whether a text
// in it has a NUL character. The value is known to be valid.
func measure(v jsontext.Value) (depth, members int, nul bool) {
	level := 0
	var last byte // the one before, passing over white space
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case ' ', '\t', '\r', '\n':
			continue
		case '{', '[':
			level++
			depth = max(depth, level)
			members++
		case ',':
			members++
		case '}', ']':
			level--
			if last == '{' || last == '[' {
				members-- // it was empty
			}
		case '"':
			for i++; v[i] != '"'; i++ {
				if v[i] == '\\' {
					i++
					nul = nul || bytes.HasPrefix(v[i:], []byte("u0000"))
				}
			}
		}
		last = v[i]
	}
	return depth, members, nul
}

// time reads ISO 8601, or a number since 1970: below 1e11 seconds, else milliseconds (contracts F1).
func (f *fields) time(into *time.Time) {
	v := f.values[timestamp]
	var t time.Time
	var ok bool
	switch f.kind(timestamp) {
	case 'n':
		return
	case '0':
		if t, ok = numericTime(v); !ok {
			f.bad(timestamp, "is not a time: a number must be seconds or milliseconds since 1970")
			return
		}
	case '"':
		if t, ok = parseTime(unquote(v)); !ok {
			f.bad(timestamp, "is not a time: a text must be ISO 8601, such as 2026-01-31T12:00:00.000Z")
			return
		}
	default:
		f.bad(timestamp, "must be a string or a number")
		return
	}
	if t.Year() < 1970 || t.Year() >= 2200 { // a clock could mean it, and every engine can say it
		f.bad(timestamp, "lies outside the years 1970 to 2199")
		return
	}
	*into = t
}

func numericTime(v jsontext.Value) (time.Time, bool) {
	n, err := strconv.ParseFloat(string(v), 64)
	if err != nil || n < 0 || n >= 1e13 {
		return time.Time{}, false
	}
	micros := n * 1e3
	if n < 1e11 {
		micros = n * 1e6
	}
	return time.UnixMicro(int64(math.Round(micros))).UTC(), true
}

// parseTime reads the forms of ISO 8601 that clients send. A time without a zone is UTC.
func parseTime(text []byte) (time.Time, bool) {
	if len(text) > len("2006-01-02T15:04:05.999999999+07:00") {
		return time.Time{}, false
	}
	for _, layout := range [...]string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999",
		"2006-01-02T15:04:05.999999999Z0700", "2006-01-02",
	} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			return t.UTC().Truncate(time.Microsecond), true
		}
	}
	return time.Time{}, false
}
