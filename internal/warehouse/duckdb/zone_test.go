package duckdb

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/view"
)

// moments are around the hour that there is twice in Paris, one before 1891 and the start of a day there.
func moments() []string {
	return []string{"2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-03-29T00:59:59.999999Z", "2026-03-29T01:00:00Z", "1890-01-01T00:00:00Z"}
}

func zonedShop(t *testing.T) *Warehouse {
	t.Helper()
	w := open(t, func(c *Config) { c.promotedRows = 1 })
	var records []event.Record
	for n, text := range moments() {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		e := event.Event{
			Kind: event.Track, Name: "a", Timestamp: at, DistinctID: "u1", Properties: fmt.Appendf(nil, `{"n":%d}`, n), ID: fmt.Sprint(n), ReceivedAt: at,
			Project: shop.Project, Environment: shop.Environment, KeyID: "key_1", Source: "track",
		}
		records = append(records, event.Record{Position: event.Position(n + 1), Data: event.AppendEvent(nil, &e)})
	}
	if err := w.Load(t.Context(), shop, records); err != nil {
		t.Fatal(err)
	}
	return w
}

// Promise: with a time zone a statement counts days and hours by its clocks, keeps every instant apart and shows it with
// its offset; in every view, over columns of properties too; and a statement without one, and the next on a connection,
// know nothing of it.
func TestTimeZones(t *testing.T) {
	t.Parallel()
	w := zonedShop(t)
	everything := view.Scope{Tables: []view.TableScope{{Table: "events", Where: []view.Condition{{Column: "source", Op: view.Equal, Values: []any{"track"}}}}}}
	for _, c := range []struct{ zone, sql, want string }{
		{"Europe/Paris", "SELECT timestamp FROM events WHERE timestamp > '2026-10-01' ORDER BY timestamp",
			`[["2026-10-25T00:00:00.000000+02:00"] ["2026-10-25T02:30:00.000000+02:00"] ["2026-10-25T02:30:00.000000+01:00"]]`},
		{"Europe/Paris", "SELECT date_trunc('day', timestamp) AS day, count(*) FROM events WHERE timestamp >= '2026-03-01' GROUP BY ALL ORDER BY day",
			`[["2026-03-29T00:00:00.000000+01:00",2] ["2026-10-25T00:00:00.000000+02:00",3]]`},
		{"Europe/Paris", "SELECT CAST(timestamp AS DATE) AS day, extract(hour FROM timestamp) AS h, strftime(timestamp, '%H:%M') AS m FROM events WHERE event_id IN ('0', '4') ORDER BY 1 DESC",
			`[["2026-10-25",0,"00:00"] ["2026-03-29",3,"03:00"]]`},
		{"Europe/Paris", "SELECT max(timestamp) - min(timestamp) > INTERVAL 3 HOURS, [max(timestamp)] FROM events WHERE timestamp BETWEEN '2026-10-25 00:00' AND '2026-10-25 23:59'", `[[true,["2026-10-25T02:30:00.000000+01:00"]]]`},
		{"Europe/Paris", "SELECT timestamp FROM events WHERE timestamp < '1900-01-01'", `[["1890-01-01T00:00:00.000000Z"]]`},
		{"America/New_York", "SELECT CAST(timestamp AS DATE), properties->>'n' FROM events WHERE timestamp = '2026-10-24 18:00:00-04' AND (properties->>'n')::INTEGER < 4", `[["2026-10-24","0"]]`},
		{"", "SELECT date_trunc('hour', timestamp), timestamp::TIMESTAMPTZ FROM events WHERE timestamp = '2026-10-25 00:30:00'", `[["2026-10-25T00:00:00.000000Z","2026-10-25T00:30:00.000000Z"]]`},
		{"Europe/Paris", "SELECT count(first_seen_at) FROM persons", `[[0]]`},
	} {
		for range enoughAsks + 2 {
			for _, scope := range []view.Scope{{}, everything} {
				if c.sql == "SELECT count(first_seen_at) FROM persons" && !scope.Whole() {
					continue
				}
				rows, err := read(w.Run(t.Context(), shop, query.Statement{SQL: c.sql, TimeZone: c.zone, Scope: scope}))
				if got := fmt.Sprint(rows); err != nil || got != c.want {
					t.Fatalf("%s in %q, everything in sight %v: %s, %v; want %s", c.sql, c.zone, scope.Whole(), got, err, c.want)
				}
			}
		}
	}
	d, err := w.Describe(t.Context(), shop, query.Statement{SQL: "SELECT timestamp FROM events", TimeZone: "Asia/Tokyo"})
	if err != nil || len(d.Columns) != 1 || d.Columns[0].Type != "TIMESTAMP WITH TIME ZONE" {
		t.Errorf("described: %+v, %v", d, err)
	}
	_, err = read(w.Run(t.Context(), shop, query.Statement{SQL: "SELECT 1", TimeZone: "Europe/Nowhere"}))
	if p := problem.From(err); p.Code != problem.InvalidField || p.Fields[0].Name != "time_zone" {
		t.Errorf("an unknown zone: %v", err)
	}
}

// Promise: a time zone changes no instant and no count: what is asked in one is asked in another.
func TestTimeZonesKeepInstants(t *testing.T) {
	t.Parallel()
	w := zonedShop(t)
	sql := "SELECT epoch_us(timestamp), epoch_us(received_at) FROM events ORDER BY event_id"
	want, err := read(w.Run(t.Context(), shop, query.Statement{SQL: sql}))
	if err != nil || len(want) != len(moments()) {
		t.Fatal(want, err)
	}
	for _, name := range []string{"Europe/Paris", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe", "Africa/Casablanca"} {
		got, err := read(w.Run(t.Context(), shop, query.Statement{SQL: sql, TimeZone: name}))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
		shown, err := read(w.Run(t.Context(), shop, query.Statement{SQL: "SELECT timestamp FROM events ORDER BY event_id", TimeZone: name}))
		if err != nil {
			t.Fatal(err)
		}
		for n, row := range shown {
			at, err := time.Parse(`["`+time.RFC3339Nano+`"]`, fmt.Sprint(row))
			if before, _ := time.Parse(time.RFC3339Nano, moments()[n]); err != nil || !at.Equal(before) {
				t.Errorf("%s: %v is shown as %v (%v)", name, before, row, err)
			}
		}
	}
}
