package duckdb

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
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
		instance, err := openInstance(b.Context(), b.TempDir()+"/bare.duckdb", shop, native.Options{Memory: 512 << 20, Threads: 2}, nil)
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

// BenchmarkScope is what a scope costs: the same statements over the whole space, and over scopes that show half of it.
// The time of the processors is of this process, in which the instance is opened.
func BenchmarkScope(b *testing.B) {
	instance := filled(b, 200)
	g, err := guard.New()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = g.Close() })
	condition := func(column, property string, values ...any) view.Condition {
		return view.Condition{Column: column, Property: property, Op: view.In, Values: values}
	}
	events := func(t view.TableScope) view.Scope {
		t.Table = "events"
		return view.Scope{Tables: []view.TableScope{t}, HashKey: view.NewHashKey([]byte("secret"))}
	}
	for _, s := range []struct {
		name  string
		scope view.Scope
	}{
		{"Whole", view.Scope{}},
		{"AllRows", events(view.TableScope{})},
		{"ColumnFilter", events(view.TableScope{Where: []view.Condition{condition("event", "", "page_view")}})},
		{"PropertyFilter", events(view.TableScope{Where: []view.Condition{condition("properties", "plan", "pro")}})},
		{"HiddenProperty", events(view.TableScope{Hidden: []string{"properties.referrer"}})},
		{"HashedColumn", events(view.TableScope{Hashed: []string{"distinct_id"}})},
	} {
		for _, c := range []struct{ name, sql string }{
			{"Nothing", "SELECT 1"},
			{"Days", "SELECT date_trunc('day', timestamp), event, count(*) FROM events GROUP BY ALL"},
			{"People", "SELECT count(DISTINCT distinct_id) FROM events"},
			{"LastHour", "SELECT properties->>'url', count(*) FROM events WHERE timestamp >= '2026-01-01 00:00:00.9' GROUP BY 1"},
			{"OnePerson", "SELECT * FROM events WHERE distinct_id = 'user-77' ORDER BY timestamp DESC LIMIT 100"},
		} {
			b.Run(s.name+"/"+c.name, func(b *testing.B) {
				before := processorTime(b)
				for b.Loop() {
					analysis, err := g.AnalyzeIn(b.Context(), c.sql, s.scope)
					if err != nil {
						b.Fatal(err)
					}
					if err := instance.run(b.Context(), &question{SQL: c.sql, Scope: s.scope}, &analysis, &gathered{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
			})
		}
	}
}

// filled is an instance with so many batches of events.
func filled(b *testing.B, batches int) *instance {
	instance, err := openInstance(b.Context(), b.TempDir()+"/filled.duckdb", shop, native.Options{Memory: 1 << 30, Threads: 2, TempDir: b.TempDir(), TempLimit: 1 << 30}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(instance.close)
	for n := range batches {
		records := make([]event.Record, batch)
		for i := range records {
			e := product(n*batch + i)
			records[i] = event.Record{Position: event.Position(n*batch + i + 1), Data: event.AppendEvent(nil, &e)}
		}
		if err := instance.load(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
	return instance
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
