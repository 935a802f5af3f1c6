package duckdb

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query"
)

// BenchmarkPeople loads events of a tenth as many people, of whom 30 % come as strangers half of the time, and merges
// those late; it asks how many events each person has a day, before and after. WEIR_PEOPLE_EVENTS is how many events.
func BenchmarkPeople(b *testing.B) {
	n := 100_000
	if given, err := strconv.Atoi(os.Getenv("WEIR_PEOPLE_EVENTS")); err == nil {
		n = given
	}
	people := n / 10
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		w := open(b, nil)
		position := 0
		load := func(count int, each func(int) event.Event) time.Duration {
			took := time.Duration(0)
			for from := 0; from < count; from += batch {
				var records []event.Record
				for i := from; i < min(from+batch, count); i++ {
					e := each(i)
					position++
					e.Project, e.Environment, e.ReceivedAt, e.ID = shop.Project, shop.Environment, e.Timestamp, fmt.Sprintf("%032x", position)
					records = append(records, event.Record{Position: event.Position(position), Data: event.AppendEvent(nil, &e)})
				}
				before := time.Now()
				if err := w.Load(b.Context(), shop, records); err != nil {
					b.Fatal(err)
				}
				took += time.Since(before)
			}
			return took
		}
		ask := func(what, sql string) {
			for warm := range 2 {
				before := time.Now()
				rows, err := read(w.Run(b.Context(), shop, query.Statement{SQL: sql}))
				if err != nil {
					b.Fatal(err)
				}
				if warm == 0 {
					continue
				}
				b.Logf("%s: %s in %s", what, rows, time.Since(before).Round(time.Millisecond))
			}
		}
		daily := func(column string) string {
			return "SELECT count(*), count(DISTINCT " + column + ") FROM (SELECT " + column + `, date_trunc('day', "timestamp") AS day, count(*) AS n FROM events GROUP BY ALL)`
		}
		took := load(n, func(i int) event.Event {
			who := i * 7919 % people
			e := event.Event{
				Kind: event.Track, Name: "page_view", Timestamp: begin.Add(time.Duration(i) * 30 * 24 * time.Hour / time.Duration(n)), DistinctID: fmt.Sprintf("user-%d", who),
				DeviceID: fmt.Sprintf("device-%d", who), Properties: jsontext.Value(fmt.Sprintf(`{"url":"https://shop.example/p/%d","n":%d}`, i%100, i)),
			}
			if who%10 < 3 && i/people%2 == 0 {
				e.DistinctID = fmt.Sprintf("anonymous-%d", who)
			}
			return e
		})
		b.Logf("%d events loaded in %s: %.0f a second", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
		ask("before, by distinct_id", daily("distinct_id"))
		ask("before, by person_id", daily("person_id"))
		merges := people * 3 / 10
		took = load(merges, func(i int) event.Event {
			who := i/3*10 + i%3
			return event.Event{
				Kind: event.Identify, Timestamp: begin.AddDate(0, 1, 0), DistinctID: fmt.Sprintf("user-%d", who), AnonymousID: fmt.Sprintf("anonymous-%d", who),
				DeviceID: fmt.Sprintf("device-%d", who), Properties: jsontext.Value(`{"plan":"pro"}`),
			}
		})
		b.Logf("%d merges loaded in %s: %.0f a second", merges, took.Round(time.Millisecond), float64(merges)/took.Seconds())
		ask("after, by distinct_id", daily("distinct_id"))
		ask("after, by person_id", daily("person_id"))
		ask("after, all", "SELECT count(*) FROM events")
		took = load(n/5, func(i int) event.Event {
			who := i * 7919 % people
			return event.Event{
				Kind: event.Track, Name: "page_view", Timestamp: begin.AddDate(0, 2, 0), DistinctID: fmt.Sprintf("user-%d", who), AnonymousID: fmt.Sprintf("anonymous-%d", who),
				DeviceID: fmt.Sprintf("device-%d", who), Properties: jsontext.Value(`{}`),
			}
		})
		b.Logf("%d events with both ids loaded in %s: %.0f a second", n/5, took.Round(time.Millisecond), float64(n/5)/took.Seconds())
	}
}
