package duckdb

import (
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
)

// Promise: the memory of ids never takes an id that is stored for new, and points no later than at its record, whatever
// the filters' sizes and wherever the clock steps.
func TestSeenForgetsNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type stored struct {
			position event.Position
			received time.Time
		}
		s := newSeen(uint(rapid.IntRange(1, 5).Draw(t, "room")))
		model := map[string][]stored{}
		clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for position := event.Position(1); position < 60; position++ {
			clock = clock.Add(time.Duration(rapid.IntRange(-30, 60).Draw(t, "hours")) * time.Hour)
			id := strconv.Itoa(rapid.IntRange(0, 20).Draw(t, "id"))
			since := clock.Add(-event.RepeatWindow)
			from, maybe := s.maybe(id, since)
			for _, known := range model[id] {
				if !known.received.Before(since) && (!maybe || from > known.position) {
					t.Fatalf("id %s of position %d, received %s: maybe %v from %d since %s", id, known.position, known.received, maybe, from, since)
				}
			}
			s.add(id, position, clock)
			model[id] = append(model[id], stored{position, clock})
			s.forget()
		}
	})
}

// Promise: nearly every new id is known to be new, and the memory does not grow with ids that are out of the window.
func TestSeenIsSure(t *testing.T) {
	t.Parallel()
	const n, days = 20_000, 40
	s := newSeen(1000)
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	doubts := 0
	for i := range event.Position(n) {
		clock = clock.Add(days * 24 * time.Hour / n)
		if _, maybe := s.maybe(strconv.Itoa(int(i)), clock.Add(-event.RepeatWindow)); maybe {
			doubts++
		}
		s.add(strconv.Itoa(int(i)), i+1, clock)
		s.forget()
	}
	if doubts > 3 {
		t.Errorf("%d of %d new ids were doubted", doubts, n)
	}
	if len(s.filters) > 2 {
		t.Errorf("%d filters are kept", len(s.filters))
	}
}
