package recording

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// Chunk is a part of a recording, as it was sent.
type Chunk struct {
	Session     string
	Sequence    int64
	Environment string // empty: the default
	DistinctID  string // empty: none
	Page        string // the address that the first event with one tells; empty: none does
	Events      int64
	FirstAt     time.Time
	LastAt      time.Time
	lines       []byte // the events, one a line
}

// chunkIn is a chunk as JSON.
type chunkIn struct {
	SessionID   string           `json:"session_id"`
	Sequence    *int64           `json:"sequence"`
	Environment *string          `json:"environment"`
	DistinctID  jsontext.Value   `json:"distinct_id"`
	Events      []jsontext.Value `json:"events"`
}

// eventIn is what is looked at of an event.
type eventIn struct {
	Type      *float64       `json:"type"`
	Timestamp *float64       `json:"timestamp"`
	Data      jsontext.Value `json:"data"`
}

// The events of rrweb that matter here, and the bounds on all.
const (
	metaEvent    = 4 // a page was opened
	maxEventType = 99
	maxTimestamp = 4_102_444_800_000 // milliseconds: the year 2100
	maxFaults    = 20                // that are told of a chunk
)

// ReadChunk reads a chunk from a JSON text and checks all that can be checked without knowing what is kept. Every fault is
// told, up to 20.
//
// Problems: invalid_request, invalid_json, invalid_field, too_many_items.
func ReadChunk(text []byte) (Chunk, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return Chunk{}, problem.New(problem.InvalidRequest, "The body is empty; a chunk of a recording is expected.")
	}
	if !utf8.Valid(text) {
		return Chunk{}, problem.New(problem.InvalidJSON, "The body is not valid JSON: it is not UTF-8.")
	}
	var in chunkIn
	// Half of a character that a text was cut within is an escape that stands for none; browsers write it.
	if err := json.Unmarshal(text, &in, jsontext.AllowInvalidUTF8(true), json.RejectUnknownMembers(true)); err != nil {
		return Chunk{}, unreadable(text, err)
	}
	if len(in.Events) > MaxEvents {
		return Chunk{}, problem.New(problem.TooManyItems, "A chunk may have at most %d events, and this one has %d.", MaxEvents, len(in.Events)).
			At("events", fmt.Sprintf("must have at most %d items", MaxEvents))
	}
	var f faults
	c := in.head(&f)
	for i, one := range in.Events {
		c.add(i, one, &f)
	}
	return c, f.problem()
}

// unreadable tells a text that is no JSON from one that does not fit.
func unreadable(text []byte, err error) error {
	var (
		semantic *json.SemanticError
		whole    jsontext.Value
	)
	if bad := json.Unmarshal(text, &whole, jsontext.AllowInvalidUTF8(true)); bad != nil {
		err = bad // what comes after the fault is no JSON at all
	} else if errors.As(err, &semantic) {
		at := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
		if errors.Is(err, json.ErrUnknownName) {
			return problem.Invalid(clip(at, 40), "is not a member of a chunk")
		}
		if at == "" {
			at = "body"
		}
		return problem.Invalid(clip(at, 40), "must be %s", typeOf(at))
	}
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return problem.Wrap(err, problem.InvalidJSON, "The body is not valid JSON.")
	}
	return problem.Wrap(err, problem.InvalidJSON, "The body is not valid JSON: %s%s.", reasonOf(syntax), problem.Place(text, syntax.ByteOffset))
}

// reasonOf says why a text is no JSON.
func reasonOf(err *jsontext.SyntacticError) string {
	if err.Err == nil || errors.Is(err.Err, io.ErrUnexpectedEOF) {
		return "it ends in the middle"
	}
	return clip(strings.TrimPrefix(err.Err.Error(), "jsontext: "), 120)
}

// typeOf is the type that a member of a chunk must have.
func typeOf(member string) string {
	switch member {
	case "session_id", "environment":
		return "a string"
	case "sequence":
		return fmt.Sprintf("a whole number from 0 to %d", MaxSequence)
	case "events":
		return "an array of objects"
	}
	return "an object: one chunk of a recording"
}

// head reads what is not events.
func (in *chunkIn) head(f *faults) Chunk {
	c := Chunk{Session: in.SessionID}
	switch {
	case in.SessionID == "":
		f.add("session_id", "is required")
	case !goodSession(in.SessionID):
		f.add("session_id", fmt.Sprintf("must be up to %d letters, digits and any of . _ : ~ @ + = - of which the first is a letter or digit", MaxSessionID))
	}
	switch {
	case in.Sequence == nil:
		f.add("sequence", "is required")
	case *in.Sequence < 0 || *in.Sequence > MaxSequence:
		f.add("sequence", fmt.Sprintf("must be from 0 to %d", MaxSequence))
	default:
		c.Sequence = *in.Sequence
	}
	if in.Environment != nil {
		c.Environment = *in.Environment
	}
	c.DistinctID = in.person(f)
	if len(in.Events) == 0 {
		f.add("events", "must have an item")
	}
	return c
}

// person reads whose session it is. An empty text says as little as none; an id that belongs to nobody is refused as that of
// an event is, since it would be shared by all who send it.
func (in *chunkIn) person(f *faults) (id string) {
	switch in.DistinctID.Kind() {
	case 0, 'n': // left out, or null
	case '"':
		text, err := jsontext.AppendUnquote(nil, in.DistinctID)
		id = string(text)
		if err != nil || len(text) > MaxDistinctID || strings.ContainsRune(id, 0) {
			f.add("distinct_id", fmt.Sprintf("must be at most %d bytes, without the character 0", MaxDistinctID))
			return id
		}
	case '0':
		id = string(in.DistinctID)
		if len(id) > MaxDistinctID {
			f.add("distinct_id", fmt.Sprintf("must be at most %d bytes", MaxDistinctID))
			return id
		}
	default:
		f.add("distinct_id", "must be a string or a number")
		return id
	}
	if id != "" {
		if fault := event.ReservedFault(id); fault != "" {
			f.add("distinct_id", fault)
		}
	}
	return id
}

// goodSession reports whether a text can name a session.
func goodSession(id string) bool {
	for i := range len(id) {
		b := id[i]
		plain := 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9'
		if !plain && (i == 0 || strings.IndexByte("._:~@+=-", b) < 0) {
			return false
		}
	}
	return id != "" && len(id) <= MaxSessionID
}

// add reads one event.
func (c *Chunk) add(i int, text jsontext.Value, f *faults) {
	var one eventIn
	at := fmt.Sprintf("events[%d]", i)
	if text.Kind() != '{' {
		f.add(at, "must be an object")
		return
	}
	if err := json.Unmarshal(text, &one, jsontext.AllowInvalidUTF8(true)); err != nil {
		f.add(at, "must have a number as its type and one as its timestamp")
		return
	}
	if one.Type == nil || *one.Type != math.Trunc(*one.Type) || *one.Type < 0 || *one.Type > maxEventType {
		f.add(at+".type", "must be the number of a type of rrweb's events")
		return
	}
	if one.Timestamp == nil || !(*one.Timestamp > 0 && *one.Timestamp < maxTimestamp) {
		f.add(at+".timestamp", "must be in milliseconds since 1970, before the year 2100")
		return
	}
	when := time.UnixMicro(int64(*one.Timestamp * 1000)).UTC()
	if c.FirstAt.IsZero() || when.Before(c.FirstAt) {
		c.FirstAt = when
	}
	if when.After(c.LastAt) {
		c.LastAt = when
	}
	if *one.Type == metaEvent && c.Page == "" {
		c.Page = pageOf(one.Data)
	}
	if err := text.Compact(jsontext.AllowInvalidUTF8(true)); err != nil {
		f.add(at, "cannot be read")
		return
	}
	c.Events++
	c.lines = append(append(c.lines, text...), '\n')
}

// pageOf is the address in the data of an event that tells of a page. A key that stands in it is not repeated.
func pageOf(data jsontext.Value) string {
	var page struct {
		Href string `json:"href"`
	}
	if err := json.Unmarshal(data, &page, jsontext.AllowInvalidUTF8(true)); err != nil {
		return ""
	}
	return clip(strings.ReplaceAll(access.HideKeysIn(page.Href), "\x00", ""), MaxPage)
}

// digest is of all that makes a chunk another one.
func (c *Chunk) digest() string {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%d:%s,", len(c.DistinctID), c.DistinctID)
	_, _ = sum.Write(c.lines)
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// clip cuts a text to at most some bytes, between characters.
func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "")
}

// faults gathers what is wrong with a chunk.
type faults []problem.Field

func (f *faults) add(field, detail string) {
	if len(*f) < maxFaults {
		*f = append(*f, problem.Field{Name: field, Detail: detail})
	}
}

func (f faults) problem() error {
	if len(f) == 0 {
		return nil
	}
	texts := make([]string, len(f))
	for i, fault := range f {
		texts[i] = fault.Name + ": " + fault.Detail
	}
	p := problem.New(problem.InvalidField, "%s.", strings.Join(texts, "; "))
	p.Fields = f
	return p
}
