package api_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/journal/segment"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/store"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb"
)

// This file is the tests' open.go: the one place here that chooses engines.

type controlStore interface {
	keyring.Store
	org.Store
	ledger.Store
	Close() error
}

// limits is what counts, and is run and closed as the program does.
type limits interface {
	gate.Limits
	Run(context.Context)
	Close(context.Context) error
}

// uncounted lets everything through.
type uncounted struct{ gatetest.Limits }

func (*uncounted) Run(context.Context) {}

func (*uncounted) Close(context.Context) error { return nil }

func openLimits(context.Context, controlStore, func() time.Time, *slog.Logger) (limits, error) {
	return &uncounted{}, nil
}

type warehouse interface {
	event.Warehouse
	query.Engine
	Ready(context.Context) error
	Close() error
}

func openStore(ctx context.Context, dir string) (controlStore, error) {
	return store.OpenSQLite(ctx, filepath.Join(dir, "weir.db"))
}

// openJournal opens a journal. With free, that is what it is told of the room on the disk.
func openJournal(dir string, log *slog.Logger, free func() (int64, error)) (event.Journal, error) {
	journal, _, err := segment.Open(segment.Config{
		Dir: filepath.Join(dir, "journal"), SegmentSize: 8 << 20, Buffer: 2 * event.MaxItems * event.MaxEventBytes, Reserve: 1 << 20, Log: log, Free: free,
	})
	return journal, err
}

// queryProcess makes this test binary be the warehouse's process.
const queryProcess = "query-process"

func openWarehouse(ctx context.Context, dir string, now func() time.Time, log *slog.Logger) (warehouse, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return duckdb.Open(ctx, duckdb.Config{
		Dir: filepath.Join(dir, "warehouse"), Command: []string{self, queryProcess}, Memory: 1 << 30, Threads: 1, OpenFiles: 64, Now: now, Log: log,
	})
}

func serveQueryProcess(ctx context.Context, args []string, log *slog.Logger) error {
	return duckdb.ServeChild(ctx, args, log)
}
