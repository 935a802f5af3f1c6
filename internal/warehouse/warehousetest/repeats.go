package warehousetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
)

// own is an event whose sender chose its id.
func own(s event.Space, name, id string, received time.Time) event.Event {
	e := trackEvent(s, name)
	e.ID, e.OwnID, e.ReceivedAt = id, true, received
	return e
}

// Promise: a sender's id that comes again within seven days is stored once: exactly those, over loads, kinds and
// openings.
func dropsRepeats(t *testing.T, open Opener) {
	w, again := open(t)
	s := space("repeats")
	const week = event.RepeatWindow
	theirs := trackEvent(s, "not the sender's id")
	theirs.ID = "x"
	who := own(s, "", "x", noon.Add(time.Hour))
	who.Kind, who.DistinctID = event.Identify, "repeated"
	load(t, w, s, 1, theirs, own(s, "first", "x", noon), own(s, "twice in a batch", "x", noon), own(s, "other id", "y", noon))
	load(t, w, s, 5, own(s, "second", "x", noon.Add(week)), who)
	load(t, w, s, 7, own(s, "a week and more later", "x", noon.Add(week+time.Microsecond)))
	w = again()
	load(t, w, s, 8, own(s, "third", "x", noon.Add(2*week)), own(s, "received before", "x", noon.Add(week-time.Hour)))
	load(t, w, s, 10, own(s, "y again", "y", noon.Add(week+time.Microsecond)), own(s, "y again in the batch", "y", noon.Add(week+time.Hour)))
	wantRows(t, w, s, "SELECT event FROM events ORDER BY event",
		`["a week and more later"]`, `["first"]`, `["not the sender's id"]`, `["other id"]`, `["y again"]`)
	wantRows(t, w, s, "SELECT count(*) FROM persons", "[0]")
	wantLoaded(t, w, s, 11)
}

// remembered is one stored event, in the model of dropsRepeatsOfManyLoads.
type remembered struct {
	id       string
	received time.Time
}

// Promise: whatever ids come in whatever order, at whatever times, with the clock stepping back too, what is stored is
// what a naive memory of everything would store.
func dropsRepeatsOfManyLoads(t *testing.T, open Opener) {
	w, again := open(t)
	s := space("model")
	run, position := 0, event.Position(0)
	rapid.Check(t, func(rt *rapid.T) {
		run++ // each run has ids and names of its own, over whatever the runs before it have left
		prefix := fmt.Sprintf("%06d ", run)
		ids := rapid.SampledFrom([]string{"a", "A", "a ", "é", "e\u0301", "'", "😀", "b", "c", "d"})
		steps := rapid.SampledFrom([]time.Duration{
			0, 0, 0, time.Microsecond, time.Hour, 24 * time.Hour, event.RepeatWindow, event.RepeatWindow + time.Microsecond,
			event.RepeatWindow - time.Microsecond, -time.Hour, -24 * time.Hour, -event.RepeatWindow, 9 * 24 * time.Hour,
		})
		var stored []remembered
		var want []string
		clock := noon
		for range rapid.IntRange(1, 5).Draw(rt, "loads") {
			var batch []event.Event
			from := position + 1
			for range rapid.IntRange(1, 8).Draw(rt, "events") {
				position++
				clock = clock.Add(steps.Draw(rt, "step"))
				e := own(s, fmt.Sprintf("%s%06d", prefix, position), prefix+ids.Draw(rt, "id"), clock)
				e.OwnID = rapid.IntRange(0, 5).Draw(rt, "own") > 0
				batch = append(batch, e)
				if !e.OwnID || !slices.ContainsFunc(stored, func(r remembered) bool {
					return r.id == e.ID && !r.received.Before(clock.Add(-event.RepeatWindow))
				}) {
					want = append(want, `["`+e.Name+`"]`)
					if e.OwnID {
						stored = append(stored, remembered{e.ID, clock})
					}
				}
			}
			load(t, w, s, from, batch...)
			if rapid.IntRange(0, 40).Draw(rt, "again") == 40 {
				w = again()
			}
		}
		if got := rows(t, w, s, "SELECT event FROM events WHERE event LIKE '"+prefix+"%' ORDER BY event"); !slices.Equal(got, want) {
			rt.Fatalf("stored %v, want %v", got, want)
		}
	})
}
