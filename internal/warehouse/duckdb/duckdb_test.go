package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/event"
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
		Dir: dir, Command: []string{os.Args[0], childCommand}, Memory: 1 << 30, Threads: 2, Now: time.Now, Log: slog.New(slog.DiscardHandler),
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
