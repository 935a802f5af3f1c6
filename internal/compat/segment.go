package compat

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// segmentCalls are the calls of Segment's, each with the address of its own.
var segmentCalls = [...]string{"track", "identify", "alias", "page", "screen", "group"}

// The names of events that have none in Segment. Those of pages and screens are the ones that Altertable's library uses.
const (
	pageEvent   = "$pageview"
	screenEvent = "$screen"
	groupEvent  = "$group"
)

// SegmentCalls reads what goes to the address of one call, such as "track".
func SegmentCalls(call string) Reader {
	return Reader{source: string(Segment), words: "segment " + call, item: func(in object) (translated, error) { return segmentCall(call, in) }}
}

// SegmentBatch reads what goes to /v1/batch and /v1/import: a list of calls, each of which says its type. What the context of the
// batch has, and that of a call has not, is the call's too.
func SegmentBatch() Reader {
	return Reader{source: string(Segment), words: "segment batch", lists: []string{"batch"}, needed: true, shares: "context", item: func(in object) (translated, error) {
		call := textOf(in["type"])
		if !slices.Contains(segmentCalls[:], call) {
			return translated{}, problem.Invalid("type", "must be %s", strings.Join(segmentCalls[:], ", "))
		}
		t, err := segmentCall(call, in)
		if call != "track" {
			t.names["event"] = "type" // which says the event's name
		}
		return t, err
	}}
}

func segmentCall(call string, in object) (translated, error) {
	t := translated{kind: event.Track, item: object{}, names: map[string]string{
		"distinct_id": "userId", "anonymous_id": "anonymousId", "event_id": "messageId",
	}}
	t.set("event_id", in["messageId"])
	t.set("timestamp", firstOf(in["timestamp"], in["originalTimestamp"]))
	context := members(in["context"])
	t.set("device_id", members(context["device"])["id"])
	switch call {
	case "alias":
		t.kind = event.Alias
		t.names = map[string]string{"distinct_id": "previousId", "new_user_id": "userId", "event_id": "messageId"}
		t.set("distinct_id", firstOf(present(in["previousId"]), present(in["anonymousId"])))
		t.set("new_user_id", in["userId"])
		return t, nil
	case "identify":
		t.kind = event.Identify
		t.who(in["userId"], in["anonymousId"])
		t.set("traits", in["traits"])
		return t, nil
	}
	t.who(in["userId"], in["anonymousId"])
	more := object{"context": in["context"]}
	if library := members(context["library"]); library != nil {
		more["$lib"], more["$lib_version"] = library["name"], library["version"]
	}
	t.set("event", segmentEvent(call, in, more))
	properties := in["properties"]
	if call == "group" {
		properties = in["traits"]
		t.names["properties"] = "traits"
	}
	t.set("properties", with(properties, more))
	return t, nil
}

// segmentEvent is the name of a call's event. What the call says beside its properties goes to more.
func segmentEvent(call string, in, more object) jsontext.Value {
	switch call {
	case "track":
		return in["event"]
	case "group":
		more["groupId"] = in["groupId"]
		return quoted(groupEvent)
	}
	more["name"], more["category"] = in["name"], in["category"]
	if call == "screen" {
		return quoted(screenEvent)
	}
	return quoted(pageEvent)
}

// SegmentStatus is the status of a problem for Segment's clients: they take 400 for what is wrong with what they sent, and
// would send it again and again for any other.
func SegmentStatus(code problem.Code) int {
	switch status := code.Row().Status; status {
	case http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return http.StatusBadRequest
	default:
		return status
	}
}
