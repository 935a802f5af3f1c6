package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// What the test program can be besides the tests, by its first argument.
const (
	childCommand  = "query-process"
	parentCommand = "server-process" // opens a warehouse in the folder given, prints the query process's id, and waits
	wallsCommand  = "behind-walls"   // raises the walls around the folder given and says what it can still do
)

func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	var err error
	switch os.Args[1] {
	case childCommand:
		err = ServeChild(context.Background(), os.Args[2:], slog.New(slog.NewTextHandler(os.Stderr, nil)))
	case parentCommand:
		err = beParent(os.Args[2])
	case wallsCommand:
		err = behindWalls(os.Args[2])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// config starts this program as the query process.
func config(dir string) Config {
	return Config{
		Dir: dir, Command: []string{os.Args[0], childCommand}, Memory: 1 << 30, Threads: 2, Now: clock, Log: slog.New(slog.DiscardHandler),
	}
}

// open opens a warehouse in a folder of its own, changed by adjust when there is one.
func open(t testing.TB, adjust func(*Config)) *Warehouse {
	t.Helper()
	cfg := config(t.TempDir())
	if adjust != nil {
		adjust(&cfg)
	}
	w, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// eventually waits until a condition holds.
func eventually(t testing.TB, holds func() bool) {
	t.Helper()
	again, late := time.NewTicker(time.Millisecond), time.After(30*time.Second)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-late:
			t.Fatal("the condition does not come true")
		}
	}
}

var shop = event.Space{Project: "shop", Environment: "production"}

// track is the record of a track event.
func track(position int, space event.Space, name, id string) event.Record {
	at := time.Date(2026, 1, 2, 3, 4, 5, position*1000, time.UTC)
	return event.Record{Position: event.Position(position), Data: event.AppendEvent(nil, &event.Event{
		Kind: event.Track, Name: name, Timestamp: at, DistinctID: "u1", Properties: []byte(`{"n":1}`), ID: id, ReceivedAt: at,
		Project: space.Project, Environment: space.Environment, KeyID: "key_1", Source: "track",
	})}
}

// answerTo runs a statement and returns its rows as text.
func answerTo(t testing.TB, w *Warehouse, space event.Space, sql string) ([]string, error) {
	t.Helper()
	return read(w.Run(t.Context(), space, query.Statement{SQL: sql}))
}

func read(rows query.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, string(row))
	}
}

// own is track, but the sender chose the id.
func own(position int, space event.Space, name, id string) event.Record {
	r := track(position, space, name, id)
	e, err := event.DecodeEvent(r.Data)
	if err != nil {
		panic(err)
	}
	e.OwnID = true
	r.Data = event.AppendEvent(nil, &e)
	return r
}

// Promise: an answer has its columns with the engine's names for their types, also two of the same name, and its values
// exact.
func TestAnswer(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	rows, err := w.Run(t.Context(), shop, query.Statement{SQL: `
		SELECT 1 AS a, 2::HUGEINT * 10000000000000000000000 AS a, 0.10::DECIMAL(9,2), TIMESTAMPTZ '2026-01-02 03:04:05+02',
			'{"n": 12345678901234567890.5}'::JSON, {'l': [NULL, 1.5::DOUBLE]}, ['x'], MAP {'k': DATE '2026-01-02'}, NULL`})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var types []string
	for _, c := range rows.Columns() {
		types = append(types, c.Type)
	}
	const wantTypes = "INTEGER HUGEINT DECIMAL(9,2) TIMESTAMP WITH TIME ZONE JSON STRUCT(l DOUBLE[]) VARCHAR[] MAP(VARCHAR, DATE) INTEGER"
	if got := strings.Join(types, " "); got != wantTypes || rows.Columns()[0].Name != "a" || rows.Columns()[1].Name != "a" {
		t.Errorf("columns %v", rows.Columns())
	}
	row, err := rows.Next()
	const want = `[1,20000000000000000000000,0.10,"2026-01-02T01:04:05.000000Z",{"n": 12345678901234567890.5},{"l":[null,1.5]},["x"],{"k":"2026-01-02"},null]`
	if err != nil || string(row) != want {
		t.Errorf("row %s, %v", row, err)
	}
	if _, err := rows.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last row: %v", err)
	}
	if _, err := rows.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

// Promise: positional parameters with a gap, which the engine does not bind rightly, are refused.
func TestParameterGap(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	for _, sql := range []string{"SELECT $2", "SELECT $1, $3"} {
		_, err := read(w.Run(t.Context(), shop, query.Statement{SQL: sql, Positional: []jsontext.Value{[]byte("1"), []byte("2"), []byte("3")}}))
		if problem.Of(err) != problem.InvalidSQL {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// Promise: a load larger than one piece is stored whole and in order.
func TestLargeLoad(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	const n = 1300
	value := strings.Repeat("x", 30<<10)
	var records []event.Record
	for i := range n {
		r := track(i+1, shop, "e", strconv.Itoa(i))
		e, err := event.DecodeEvent(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		e.Properties = []byte(`{"v":"` + value + `"}`)
		r.Data = event.AppendEvent(nil, &e)
		records = append(records, r)
	}
	if err := w.Load(t.Context(), shop, records); err != nil {
		t.Fatal(err)
	}
	got, err := answerTo(t, w, shop, "SELECT count(*), count(DISTINCT event_id), min(length(properties->>'v')) FROM events")
	if err != nil || got[0] != "[1300,1300,30720]" {
		t.Fatalf("%v, %v", got, err)
	}
}

// Promise: whatever bytes come over the socket, records are read as they were written, or not at all.
func FuzzDecodeRecords(f *testing.F) {
	f.Add(encodeRecords([]event.Record{track(1, shop, "e", "1"), track(300, shop, "f", "2")}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := decodeRecords(data)
		if err != nil {
			return
		}
		again, err := decodeRecords(encodeRecords(records))
		if err != nil || len(again) != len(records) {
			t.Fatalf("%d records became %d, %v", len(records), len(again), err)
		}
		for i := range records {
			if again[i].Position != records[i].Position || string(again[i].Data) != string(records[i].Data) {
				t.Fatalf("record %d changed", i)
			}
		}
	})
}
