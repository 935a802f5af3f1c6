package duckdb

import (
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	driver "github.com/duckdb/duckdb-go/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/cache"
	"github.com/weir-analytics/weir/internal/query/metric"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/native"
)

// askedMemory is what the engine may take, with us and without.
const askedMemory = 4 << 30

// askedQuestions are the questions of BenchmarkAsked.
func askedQuestions() []struct{ name, definition string } {
	return []struct{ name, definition string }{
		{"Trend", `{"trend": {"event": "page_view"}}`},
		{"People", `{"trend": {"measure": {"type": "people"}, "interval": "week"}}`},
		{"Funnel", `{"funnel": {"steps": [{"event": "page_view"}, {"event": "add_to_cart"}, {"event": "purchase"}]}}`},
		{"Retention", `{"retention": {"start": {"event": "page_view"}, "return": {"event": "purchase"}}}`},
		{"Top", `{"top": {"by": {"column": "device_id"}}}`},
		{"Property", `{"trend": {"measure": {"type": "sum", "property": "price"}, "filters": [{"property": "plan", "op": "=", "value": "pro"}]}}`},
	}
}

// askedScope shows half of the rows.
func askedScope() view.Scope {
	return view.Scope{Tables: []view.TableScope{{Table: "events", Where: []view.Condition{{Column: "source", Op: view.Equal, Values: []any{"track"}}}}}}
}

// asked is one question of the benchmark, and what it took: nanoseconds by the way that it was asked.
type asked struct {
	sql    string
	values []any
	q      query.Question
	rows   int64
	took   map[string]float64
}

// BenchmarkAsked asks questions of the kinds that metrics have over so many events as WEIR_BENCH_EVENTS says (200,000):
// of the engine itself, over the same file, by the engine's own driver; of the query service, once with all rows in sight
// and once with a filter of rows (beside the engine's view with that filter); of the service over properties that have
// become columns; and of the service when it has kept the answer. The table at its end has milliseconds and what each is
// times the engine's own. Files are in the system's memory: cold is what no answer was kept for.
func BenchmarkAsked(b *testing.B) {
	permit := gatetest.New(b).Permit(access.Attempt{Action: access.RunSQL, Targets: []access.Target{{Environment: "production"}}})
	space := event.Space{Project: permit.Project(), Environment: permit.Environment()}
	dir := b.TempDir()
	events := fillMany(b, filePath(dir, space), space)
	all := map[string]*asked{}
	for _, question := range askedQuestions() {
		all[question.name] = askedOf(b, question.definition)
	}
	askedDirectly(b, filePath(dir, space), all)
	askedOfService(b, dir, permit, all)
	var table strings.Builder
	fmt.Fprintf(&table, "%d events, milliseconds (times the engine's own)\n%-10s %10s %18s %14s %10s %18s %18s\n", events, "", "direct", "cold", "cached", "direct f.", "cold, row filter", "cold, as columns")
	for _, question := range askedQuestions() {
		took := all[question.name].took
		fmt.Fprintf(&table, "%-10s %10.1f %10.1f (%.2fx) %14.3f %10.1f %10.1f (%.2fx) %10.1f (%.2fx)\n", question.name, took["Direct"]/1e6, took["Cold"]/1e6, took["Cold"]/took["Direct"],
			took["Cached"]/1e6, took["DirectFiltered"]/1e6, took["Filtered"]/1e6, took["Filtered"]/took["DirectFiltered"], took["Columns"]/1e6, took["Columns"]/took["Direct"])
	}
	fmt.Fprintln(os.Stdout, table.String())
}

// fillMany makes a space's file with events, by the engine alone, and says how many.
func fillMany(b *testing.B, path string, space event.Space) int {
	b.Helper()
	events := 200_000
	if text := os.Getenv("WEIR_BENCH_EVENTS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			b.Fatalf("WEIR_BENCH_EVENTS=%s", text)
		}
		events = n
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.Fatal(err)
	}
	i, err := openInstance(b.Context(), path, space, native.Options{Memory: askedMemory, Threads: 2, TempDir: b.TempDir(), TempLimit: 1 << 30}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer i.close()
	conn, err := i.db.Connect()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	// Ninety days up to the clock of the tests, a person for each hundred events, in no order.
	err = conn.Exec(b.Context(), fmt.Sprintf(`INSERT INTO store.event(position, kind, own_id, event_id, event, "timestamp", received_at, distinct_id, device_id, session_id, properties, key_id, source)
		SELECT n + 1, 1, true, printf('%%016x-%%08x', hash(n)::UBIGINT, n), ['page_view', 'page_view', 'page_view', 'add_to_cart', 'add_to_cart', 'purchase'][1 + (hash(n, 1) %% 6)::INT], moment, moment,
			'user-' || hash(n, 2) %% %[2]d, 'device-' || hash(n, 3) %% 1000, 'session-' || n // 20,
			printf('{"url":"https://shop.example/p/%%d","referrer":"https://search.example","price":%%d.5,"plan":"%%s","os":"linux","browser":"firefox","n":%%d,"flag":true}',
				n %% 100, n %% 50, ['free', 'pro', 'team'][1 + (hash(n, 4) %% 3)::INT], n),
			'key_abcdef', ['track', 'events'][1 + (hash(n, 5) %% 2)::INT]
		FROM (SELECT range AS n, TIMESTAMP '%[3]s' - INTERVAL 90 DAYS + to_microseconds(range * (90 * 86400000000 // %[1]d)) AS moment FROM range(%[1]d));
		UPDATE store.state SET position = %[1]d; CHECKPOINT`, events, max(events/100, 1), clock().UTC().Format(time.DateTime)))
	if err != nil {
		b.Fatal(err)
	}
	return events
}

// askedOf is the statement of a metric.
func askedOf(b *testing.B, definition string) *asked {
	b.Helper()
	d, err := metric.Read([]byte(definition))
	if err != nil {
		b.Fatal(err)
	}
	st, err := metric.Compile(&d)
	if err != nil {
		b.Fatal(err)
	}
	from := clock().UTC().AddDate(0, 0, -90).Format(time.RFC3339)
	bound, err := st.Bind(map[string]jsontext.Value{metric.From: jsontext.Value(strconv.Quote(from))}, clock())
	if err != nil {
		b.Fatal(err)
	}
	a := &asked{sql: st.SQL, q: query.Question{SQL: st.SQL}, took: map[string]float64{}}
	if a.q.Parameters, err = json.Marshal(bound); err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(a.q.Parameters, &a.values); err != nil {
		b.Fatal(err)
	}
	return a
}

// timed measures one way to ask each question, which answers with the number of rows.
func timed(b *testing.B, way string, all map[string]*asked, ask func(b *testing.B, a *asked) int64) {
	b.Helper()
	for _, question := range askedQuestions() {
		b.Run(way+"/"+question.name, func(b *testing.B) {
			a := all[question.name]
			a.rows = ask(b, a)
			for b.Loop() {
				if n := ask(b, a); n != a.rows {
					b.Fatalf("%d rows, and before %d", n, a.rows)
				}
			}
			a.took[way] = float64(b.Elapsed()) / float64(b.N)
			if direct := a.took["Direct"]; direct > 0 {
				b.ReportMetric(a.took[way]/direct, "x-direct")
			}
		})
	}
}

// askedDirectly asks the engine, without us.
func askedDirectly(b *testing.B, path string, all map[string]*asked) {
	connector, err := driver.NewConnector(path+"?access_mode=read_only&threads=2&memory_limit="+strconv.Itoa(askedMemory>>20)+"MiB", nil)
	if err != nil {
		b.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(1)
	ask := func(b *testing.B, a *asked) (n int64) {
		rows, err := db.QueryContext(b.Context(), a.sql, a.values...)
		if err != nil {
			b.Fatal(err)
		}
		defer rows.Close()
		columns, _ := rows.Columns()
		into := make([]any, len(columns))
		for i := range into {
			into[i] = new(any)
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				b.Fatal(err)
			}
			n++
		}
		if err := rows.Err(); err != nil {
			b.Fatal(err)
		}
		return n
	}
	timed(b, "Direct", all, ask)
	if _, err := db.ExecContext(b.Context(), "CREATE TEMP VIEW events AS SELECT * FROM store.event WHERE kind = 1 AND source = 'track'"); err != nil {
		b.Fatal(err)
	}
	timed(b, "DirectFiltered", all, ask)
}

// askedOfService asks the query service over the same file.
func askedOfService(b *testing.B, dir string, permit gate.Permit, all map[string]*asked) {
	for _, kept := range []int{-1, 0} { // no columns, and as many as is standard
		cfg := config(dir)
		cfg.Memory, cfg.PromotedColumns, cfg.promotedRows = askedMemory, kept, 1
		w, err := Open(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		answers, err := cache.Open(cache.Config{Memory: 64 << 20, Now: clock})
		if err != nil {
			b.Fatal(err)
		}
		scope := view.Scope{}
		s := query.New(query.Config{
			Engine: w, Now: clock, Cache: answers, TempDir: b.TempDir(), Time: 5 * time.Minute, Scope: func(gate.Permit) (view.Scope, error) { return scope, nil },
		})
		ask := func(ttl time.Duration) func(b *testing.B, a *asked) int64 {
			return func(b *testing.B, a *asked) int64 {
				q := a.q
				q.TTL = ttl
				answer, err := s.Ask(b.Context(), permit, q)
				if err != nil {
					b.Fatal(err)
				}
				defer answer.Close()
				if _, err := answer.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				return answer.Rows
			}
		}
		if kept < 0 {
			timed(b, "Cold", all, ask(0))
			timed(b, "Cached", all, ask(time.Hour))
			scope = askedScope()
			timed(b, "Filtered", all, ask(0))
		} else {
			askColumns(b, w, event.Space{Project: permit.Project(), Environment: permit.Environment()}, func() { ask(0)(b, all["Property"]) })
			timed(b, "Columns", all, ask(0))
		}
		if err := answers.Close(); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// askColumns asks until the properties of a question have become columns. Loads tell how far that is.
func askColumns(b *testing.B, w *Warehouse, space event.Space, ask func()) {
	b.Helper()
	position, err := w.Loaded(b.Context(), space)
	if err != nil {
		b.Fatal(err)
	}
	again, late := time.NewTicker(time.Second), time.After(10*time.Minute)
	defer again.Stop()
	quiet := 0
	for before := time.Duration(0); ; {
		ask()
		position++
		if err := w.Load(b.Context(), space, []event.Record{track(int(position), space, "other", strconv.Itoa(int(position)))}); err != nil {
			b.Fatal(err)
		}
		filling := w.Stats().Filling
		quiet++
		if filling != before || filling == 0 {
			quiet = 0
		} else if quiet > 2+int(position)/1_000_000 { // a slice of a large file takes a while
			return
		}
		before = filling
		select {
		case <-again.C:
		case <-late:
			b.Log("the properties have not all become columns")
			return
		}
	}
}
