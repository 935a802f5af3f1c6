package compat

import (
	"github.com/weir-analytics/weir/internal/event"
)

// UserFluxEvents reads what goes to /event/ingest, and with batch what goes to /event/ingest/batch (contracts C1).
func UserFluxEvents(batch bool) Reader {
	return Reader{source: string(UserFlux), words: "userflux event", lists: []string{"events"}, needed: batch, item: userFluxEvent}
}

// UserFluxProfiles reads what goes to /profile.
func UserFluxProfiles() Reader {
	return Reader{source: string(UserFlux), words: "userflux profile", item: userFluxProfile}
}

func userFluxEvent(in object) (translated, error) {
	t := translated{kind: event.Track, item: object{}, names: map[string]string{
		"event": "name", "distinct_id": "userId", "anonymous_id": "anonymousId", "session_id": "sessionId",
	}}
	t.who(in["userId"], in["anonymousId"])
	t.set("event", in["name"])
	t.set("session_id", in["sessionId"])
	t.set("timestamp", in["timestamp"])
	t.set("properties", with(in["properties"], object{"deviceData": in["deviceData"], "externalId": in["externalId"]}))
	return t, nil
}

func userFluxProfile(in object) (translated, error) {
	t := translated{kind: event.Identify, item: object{}, names: map[string]string{
		"distinct_id": "userId", "anonymous_id": "anonymousId", "traits": "properties",
	}}
	t.who(in["userId"], in["anonymousId"])
	t.set("timestamp", in["timestamp"])
	t.set("traits", with(in["properties"], object{"deviceData": in["deviceData"], "externalId": in["externalId"]}))
	return t, nil
}
