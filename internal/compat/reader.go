package compat

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// Reader reads the items that come to one address in the words of another system.
type Reader struct {
	source string   // the stamp of what comes this way
	words  string   // its name, by which ReadAgain knows it; it stands in files, and stays what it is
	lists  []string // the members of an object that have the items, where the body is not the item itself
	needed bool     // the body must have such a list
	shares string   // the member beside such a list that each item gets what it has not itself of; empty: none
	item   func(object) (translated, error)
	hold   func(bytes int64) error // what Within was given; nil: nothing is asked
}

// Within is the reader with somebody to ask before it takes much more memory than the body: what a batch says once of all its
// items is in each of them afterwards. What hold answers is the answer to the body.
func (r Reader) Within(hold func(bytes int64) error) Reader {
	r.hold = hold
	return r
}

// object is an item as it was sent: its members without those that are null.
type object map[string]jsontext.Value

// translated is an item in our words.
type translated struct {
	kind  event.Kind
	item  object
	names map[string]string // what the sender calls our members
}

// Read reads one item, an array of them, or an object with a list of them. What is wrong with one item is that item's
// problem, and names the members as the sender does. But for the texts of items, the batch does not
// refer to body.
//
// Problems: those of event.ReadBatch.
func (r Reader) Read(body []byte) (event.Batch, error) {
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return event.Batch{}, problem.New(problem.InvalidRequest, "The body is empty; a JSON object is expected.")
	}
	s := splitter{lists: r.lists, shares: r.shares, body: body}
	if err := json.Unmarshal(body, &s); err != nil {
		return event.Batch{}, event.Unreadable(body, err)
	}
	if r.needed && !s.listed && s.other == "" {
		return event.Batch{}, problem.Invalid(r.lists[0], "is required: a list of items")
	}
	if len(s.items) == 0 {
		return event.Batch{}, problem.Invalid("body", "has no items; at least one is needed")
	}
	if r.needed && !s.listed {
		return event.Batch{}, s.noList()
	}
	shared, err := r.share(s.shared, len(s.items))
	if err != nil {
		return event.Batch{}, err
	}
	batch := event.Batch{Shape: event.Shape{Kind: event.Track, Source: r.source, Words: r.words}, Items: make([]event.Item, len(s.items))}
	for i, raw := range s.items {
		item := r.read(raw, shared)
		if s.other != "" && !s.listed && item.Problem != nil {
			return event.Batch{}, s.noList() // it is no item, so what looks like a list was meant as one
		}
		batch.Items[i] = item
	}
	return batch, nil
}

// ReadAgain reads one item by itself, in the words that the Shape of its batch had. What is wrong with it is the item's problem.
func ReadAgain(words string, item []byte) event.Item {
	for _, r := range readers() {
		if r.words == words {
			return r.read(item, nil)
		}
	}
	return event.Item{Problem: problem.Invalid("item", "is in words that are not known any more"), Text: item}
}

// readers are all there are.
func readers() []Reader {
	all := []Reader{CompositeEvents(), UserFluxEvents(true), UserFluxProfiles(), SegmentBatch()}
	for _, call := range segmentCalls {
		all = append(all, SegmentCalls(call))
	}
	return all
}

// share is what each of some items is to get of what their batch says. It is in each of them twice: in the event, and in the text
// that is kept if that is not accepted.
//
// Problems: event_too_large when no event would have room for it, and what holding the memory has.
func (r Reader) share(said jsontext.Value, items int) (object, error) {
	shared := members(said)
	switch {
	case len(shared) == 0:
		return nil, nil
	case len(said) > event.MaxEventBytes:
		return nil, problem.New(problem.EventTooLarge, "The %s of the batch, which each of its items gets, is %d bytes of JSON; an event may have at most %d.",
			r.shares, len(said), event.MaxEventBytes).At(r.shares, "is too large for any event")
	case r.hold == nil:
		return shared, nil
	}
	return shared, r.hold(2 * int64(len(said)) * int64(items))
}

// read translates one item, and has it read as ours are. Its text is the one that was sent, with what its batch says of it.
func (r Reader) read(raw jsontext.Value, shared object) event.Item {
	in, err := objectOf(raw)
	if err == nil && shared != nil {
		in[r.shares] = with(in[r.shares], shared)
		if raw, err = json.Marshal(in, json.Deterministic(true)); err == nil {
			err = fits(raw)
		}
	}
	if err != nil {
		return event.Item{Event: event.Event{Environment: textOf(in["environment"])}, Problem: problem.From(err), Text: raw}
	}
	item, err := r.translate(in)
	if err != nil {
		item = event.Item{Event: event.Event{Environment: textOf(in["environment"])}, Problem: problem.From(err)}
	}
	item.Text = raw
	return item
}

// objectOf reads an item's members.
func objectOf(raw jsontext.Value) (object, error) {
	if raw.Kind() != '{' {
		return nil, problem.Invalid("item", "must be a JSON object")
	}
	if err := fits(raw); err != nil {
		return nil, err
	}
	var in object
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, problem.Invalid("item", "cannot be read")
	}
	for name, value := range in {
		if value.Kind() == 'n' {
			delete(in, name)
		}
	}
	return in, nil
}

// fits refuses the text of an item that is too large.
func fits(raw jsontext.Value) error {
	if len(raw) <= event.MaxEventBytes {
		return nil
	}
	return problem.New(problem.EventTooLarge, "The event is %d bytes of JSON; at most %d are accepted.", len(raw), event.MaxEventBytes)
}

// translate puts an item into our words, and has it read.
func (r Reader) translate(in object) (event.Item, error) {
	t, err := r.item(in)
	if err != nil {
		return event.Item{}, err
	}
	t.set("environment", in["environment"])
	text, err := json.Marshal(t.item, json.Deterministic(true))
	if err != nil {
		return event.Item{}, err
	}
	batch, err := event.ReadBatch(text, event.Shape{Kind: t.kind})
	if err != nil {
		return event.Item{}, err
	}
	item := batch.Items[0]
	item.Problem, item.Called = t.named(item.Problem), t.names["event"]
	return item, nil
}

// named is a problem in the sender's words.
func (t *translated) named(p *problem.Error) *problem.Error {
	if p == nil || len(p.Fields) == 0 {
		return p
	}
	out := *p
	out.Fields = slices.Clone(p.Fields)
	for i, f := range out.Fields {
		if name := t.names[f.Name]; name != "" {
			out.Fields[i].Name = name
		}
	}
	out.Detail = out.Fields[0].Name + ": " + out.Fields[0].Detail
	return &out
}

// set adds a member that has a value.
func (t *translated) set(name string, value jsontext.Value) {
	if value != nil {
		t.item[name] = value
	}
}

// who says whose the item is: of somebody who is known, both ids; of somebody who is not, the anonymous one (contracts A4).
func (t *translated) who(user, anonymous jsontext.Value) {
	user, anonymous = present(user), present(anonymous)
	if user == nil {
		user, anonymous = anonymous, nil
	}
	t.set("distinct_id", user)
	t.set("anonymous_id", anonymous)
}

// present is an id; nil where it is an empty text.
func present(id jsontext.Value) jsontext.Value {
	if string(id) == `""` {
		return nil
	}
	return id
}

// firstOf is the first value that there is.
func firstOf(values ...jsontext.Value) jsontext.Value {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}

// with adds to an object what it does not have itself: what the sender wrote there wins. A value that is no object stays
// what it is, for whoever reads it to refuse.
func with(properties jsontext.Value, more object) jsontext.Value {
	own := object{}
	if properties != nil && (properties.Kind() != '{' || json.Unmarshal(properties, &own) != nil) {
		return properties
	}
	added := false
	for name, value := range more {
		if _, there := own[name]; !there && value != nil {
			own[name], added = value, true
		}
	}
	if !added {
		return properties
	}
	text, err := json.Marshal(own, json.Deterministic(true))
	if err != nil {
		return properties
	}
	return text
}

// members are those of a value that is an object; none of any other.
func members(value jsontext.Value) object {
	var in object
	if value.Kind() != '{' || json.Unmarshal(value, &in) != nil {
		return nil
	}
	return in
}

// quoted is a text as JSON.
func quoted(text string) jsontext.Value {
	value, _ := jsontext.AppendQuote(nil, text) // fails only for what is not UTF-8
	return value
}

// textOf is the text that a JSON string is; empty for any other value.
func textOf(value jsontext.Value) string {
	var text string
	if value.Kind() != '"' || json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

// splitter finds the items of a body.
type splitter struct {
	lists  []string
	shares string // the member whose value goes to shared
	body   []byte
	shared jsontext.Value   // a part of body
	items  []jsontext.Value // parts of body
	listed bool
	other  string // a member that should be a list, and is something else
}

func (s *splitter) noList() error { return problem.Invalid(s.other, "must be a list of items") }

// UnmarshalJSONFrom reads the whole body. json.Unmarshal calls it, lends it a decoder, and sees that nothing follows.
func (s *splitter) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case '{':
		return s.object(dec)
	case '[':
		s.listed = true
		return s.list(dec)
	default:
		if err := dec.SkipValue(); err != nil {
			return err
		}
		return problem.Invalid("body", "must be a JSON object or an array of objects")
	}
}

// object reads an object that is an item, or has a list of them.
func (s *splitter) object(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	start := dec.InputOffset() - 1
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		switch known, kind := slices.Index(s.lists, name.String()), dec.PeekKind(); {
		case s.shares != "" && name.String() == s.shares:
			s.shared, err = s.value(dec)
		case known >= 0 && kind == '[':
			s.listed = true
			err = s.list(dec)
		case known >= 0 && kind != 'n':
			s.other = s.lists[known]
			err = dec.SkipValue()
		default:
			err = dec.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil || s.listed {
		return err
	}
	return s.add(s.body[start:dec.InputOffset()])
}

// value is the value that comes next, as a part of the body.
func (s *splitter) value(dec *jsontext.Decoder) (jsontext.Value, error) {
	value, err := dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := dec.InputOffset()
	return s.body[end-int64(len(value)) : end], nil
}

func (s *splitter) list(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		value, err := s.value(dec)
		if err != nil {
			return err
		}
		if err := s.add(value); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

func (s *splitter) add(item jsontext.Value) error {
	if len(s.items) == event.MaxItems {
		return problem.New(problem.TooManyItems, "A batch may have at most %d items.", event.MaxItems)
	}
	s.items = append(s.items, item)
	return nil
}
