package warehousetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
)

// identify is an event that tells of a person.
func identify(s event.Space, id, anonymous string, at time.Time, traits string) event.Event {
	e := trackEvent(s, "")
	e.Kind, e.DistinctID, e.AnonymousID, e.Timestamp, e.Properties = event.Identify, id, anonymous, at, jsontext.Value(traits)
	return e
}

const onePerson = "SELECT distinct_id, anonymous_id, traits, first_seen_at, updated_at FROM persons ORDER BY distinct_id"

// Promise: a person has the newest value of every trait, by the events' own times, whatever the order they came in.
func persons(t *testing.T, open Opener) {
	w, again := open(t)
	s := space("persons")
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	load(t, w, s, 1, identify(s, "u", "anon", at(10), `{"plan":"free","name":"Ann"}`), trackEvent(s, "nothing about a person"))
	wantRows(t, w, s, onePerson, `["u","anon",{"name":"Ann","plan":"free"},"2026-03-04T12:10:00.000000Z","2026-03-04T12:10:00.000000Z"]`)
	load(t, w, s, 3, identify(s, "u", "", at(30), `{"plan":"pro","deep":{"a":1}}`), identify(s, "v", "", at(5), ``))
	w = again()
	load(t, w, s, 5, identify(s, "u", "older", at(5), `{"plan":"trial","name":"Anna","city":"Oslo"}`), identify(s, "u", "", at(30), `{"deep":{"b":2},"name":null}`))
	wantRows(t, w, s, onePerson,
		`["u","anon",{"city":"Oslo","deep":{"b":2},"name":null,"plan":"pro"},"2026-03-04T12:05:00.000000Z","2026-03-04T12:30:00.000000Z"]`,
		`["v",null,{},"2026-03-04T12:05:00.000000Z","2026-03-04T12:05:00.000000Z"]`)
	var many []event.Event
	value := strings.Repeat("x", 30<<10)
	for i := range 20 {
		many = append(many, identify(s, "huge", "", at(40+i), fmt.Sprintf(`{"k%02d":"%s"}`, i, value)))
	}
	load(t, w, s, 7, many...)
	if got := rows(t, w, s, "SELECT traits FROM persons WHERE distinct_id = 'huge'"); len(got[0]) > 300<<10 || !strings.Contains(got[0], "k00") {
		t.Fatalf("a person's traits grow to %d bytes", len(got[0]))
	}
}

// Promise: persons are the same however the same identify events are cut into loads.
func personsAgreeWithModel(t *testing.T, open Opener) {
	w, _ := open(t)
	s := space("model")
	run, position := 0, event.Position(1)
	rapid.Check(t, func(rt *rapid.T) {
		run++ // each run has persons of its own
		prefix := fmt.Sprintf("%06d ", run)
		type said struct {
			at    int
			value string
		}
		want := map[string]map[string]said{}
		for range rapid.IntRange(1, 3).Draw(rt, "loads") {
			var batch []event.Event
			for range rapid.IntRange(1, 6).Draw(rt, "events") {
				id := prefix + rapid.SampledFrom([]string{"u", "U", "v"}).Draw(rt, "person")
				at := rapid.IntRange(0, 4).Draw(rt, "time")
				traits := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.IntRange(0, 9), 0, 3).Draw(rt, "traits")
				if want[id] == nil {
					want[id] = map[string]said{}
				}
				var members []string
				for name, n := range traits {
					members = append(members, fmt.Sprintf(`"%s":%d`, name, n))
					if old, known := want[id][name]; !known || at >= old.at {
						want[id][name] = said{at, fmt.Sprint(n)}
					}
				}
				batch = append(batch, identify(s, id, "", noon.Add(time.Duration(at)*time.Second), "{"+strings.Join(members, ",")+"}"))
			}
			load(t, w, s, position, batch...)
			position += event.Position(len(batch))
		}
		var lines []string
		for _, id := range slices.Sorted(maps.Keys(want)) {
			var members []string
			for _, name := range slices.Sorted(maps.Keys(want[id])) {
				members = append(members, `"`+name+`":`+want[id][name].value)
			}
			lines = append(lines, `["`+id+`",{`+strings.Join(members, ",")+`}]`)
		}
		if got := rows(t, w, s, "SELECT distinct_id, traits FROM persons WHERE distinct_id LIKE '"+prefix+"%' ORDER BY distinct_id"); !slices.Equal(got, lines) {
			rt.Fatalf("got %v, want %v", got, lines)
		}
	})
}
