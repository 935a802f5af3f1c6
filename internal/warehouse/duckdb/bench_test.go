package duckdb

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// batch is how many events a load of the benchmarks has.
const batch = 5000

// product is one event of a busy shop, with eight properties.
func product(n int) event.Event {
	at := time.Date(2026, 1, 1, 0, 0, 0, n*1000, time.UTC)
	return event.Event{
		Kind: event.Track, Name: [...]string{"page_view", "add_to_cart", "purchase"}[n%3], Timestamp: at, DistinctID: fmt.Sprintf("user-%d", n%10000),
		DeviceID: fmt.Sprintf("device-%d", n%15000), SessionID: fmt.Sprintf("session-%d", n/20), ReceivedAt: at,
		ID: fmt.Sprintf("%08x-%016x", n, rand.Uint64()), OwnID: true, KeyID: "key_abcdef", Source: "events",
		Project: shop.Project, Environment: shop.Environment,
		Properties: fmt.Appendf(nil, `{"url":"https://shop.example/p/%d","referrer":"https://search.example","price":%d.5,"plan":"pro","os":"linux","browser":"firefox","n":%d,"flag":true}`, n%100, n%50, n),
	}
}

// BenchmarkLoad loads batches through the query process, and beside it appends the same rows with nothing around.
func BenchmarkLoad(b *testing.B) {
	batches := make([][]event.Event, 0)
	at := func(n int) []event.Event {
		for len(batches) <= n {
			events := make([]event.Event, batch)
			for i := range events {
				events[i] = product(len(batches)*batch + i)
			}
			batches = append(batches, events)
		}
		return batches[n]
	}
	b.Run("Warehouse", func(b *testing.B) {
		w := open(b, nil)
		n := 0
		for b.Loop() {
			b.StopTimer()
			records := make([]event.Record, batch)
			for i, e := range at(n) {
				records[i] = event.Record{Position: event.Position(n*batch + i + 1), Data: event.AppendEvent(nil, &e)}
			}
			n++
			b.StartTimer()
			if err := w.Load(b.Context(), shop, records); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n*batch)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("BareAppender", func(b *testing.B) {
		instance, err := openInstance(b.Context(), b.TempDir()+"/bare.duckdb", shop, native.Options{Memory: 512 << 20, Threads: 2})
		if err != nil {
			b.Fatal(err)
		}
		defer instance.close()
		conn, err := instance.db.Connect()
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		n := 0
		for b.Loop() {
			b.StopTimer()
			records := make([]stored, batch)
			for i, e := range at(n) {
				records[i] = stored{event.Position(n*batch + i + 1), e}
			}
			n++
			b.StartTimer()
			if err := conn.Exec(b.Context(), "BEGIN"); err != nil {
				b.Fatal(err)
			}
			if err := appendEvents(conn, records); err != nil {
				b.Fatal(err)
			}
			if err := conn.Exec(b.Context(), "COMMIT"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n*batch)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkQuery is the round trip of a small statement.
func BenchmarkQuery(b *testing.B) {
	w := open(b, nil)
	records := make([]event.Record, batch)
	for i := range records {
		e := product(i)
		records[i] = event.Record{Position: event.Position(i + 1), Data: event.AppendEvent(nil, &e)}
	}
	if err := w.Load(b.Context(), shop, records); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if rows, err := read(w.Run(b.Context(), shop, query.Statement{SQL: "SELECT count(*) FROM events"})); err != nil || len(rows) != 1 {
			b.Fatal(rows, err)
		}
	}
}

// BenchmarkRows is the reading of large answers.
func BenchmarkRows(b *testing.B) {
	w := open(b, nil)
	records := make([]event.Record, batch)
	for i := range records {
		e := product(i)
		records[i] = event.Record{Position: event.Position(i + 1), Data: event.AppendEvent(nil, &e)}
	}
	if err := w.Load(b.Context(), shop, records); err != nil {
		b.Fatal(err)
	}
	count := 0
	for b.Loop() {
		rows, err := read(w.Run(b.Context(), shop, query.Statement{SQL: "SELECT * FROM events"}))
		if err != nil {
			b.Fatal(err)
		}
		count += len(rows)
	}
	b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkStart is the time a query process takes to be ready.
func BenchmarkStart(b *testing.B) {
	w := open(b, nil)
	for n := 1; b.Loop(); n++ {
		p, err := w.start(b.Context(), n)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.kill("the benchmark has seen it")
		<-p.dead
		b.StartTimer()
	}
}
