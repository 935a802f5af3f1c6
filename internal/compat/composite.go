package compat

import (
	"github.com/weir-analytics/weir/internal/event"
)

// compositeIdentify is the event by which Composite's library says who somebody is (contracts B).
const compositeIdentify = "sys_identify"

// CompositeEvents reads what goes to /ingest/e and /ingest/batch. What is around the events is not known, so an event, an
// array of them and an object with a list of them are all taken, and members by either of their usual names.
func CompositeEvents() Reader {
	return Reader{source: string(Composite), words: "composite", lists: []string{"events", "batch"}, item: compositeEvent}
}

func compositeEvent(in object) (translated, error) {
	name := firstOf(in["name"], in["event"])
	t := translated{kind: event.Track, item: object{}, names: map[string]string{"event": "name", "traits": "$set"}}
	if in["name"] == nil && in["event"] != nil {
		t.names["event"] = "event"
	}
	user, anonymous := firstOf(in["distinct_id"], in["distinctId"]), firstOf(in["anonymous_id"], in["anonymousId"])
	t.who(user, anonymous)
	t.set("device_id", firstOf(in["device_id"], in["deviceId"]))
	t.set("session_id", firstOf(in["session_id"], in["sessionId"]))
	t.set("timestamp", in["timestamp"])
	properties := members(in["properties"])
	t.set("event_id", firstOf(in["sys_uuid"], properties["sys_uuid"], in["event_id"], in["uuid"]))
	set := object{"$set": in["$set"], "$set_once": in["$set_once"]}
	if textOf(name) != compositeIdentify {
		t.set("event", name)
		t.set("properties", with(in["properties"], set))
		return t, nil
	}
	t.kind = event.Identify
	traits := firstOf(in["$set"], properties["$set"])
	t.set("traits", with(traits, object{"$set_once": firstOf(in["$set_once"], properties["$set_once"])}))
	return t, nil
}
