package api_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/journal/segment"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/limit"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/recording/files"
	"github.com/weir-analytics/weir/internal/store"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb"
)

// This file is the tests' open.go: the one place here that chooses engines.

type controlStore interface {
	keyring.Store
	org.Store
	org.People
	org.Invitations
	org.Sessions
	org.Projects
	ledger.Store
	deletion.Control
	Counters() store.Counters
	Tokens() store.Tokens
	Apps() store.Apps
	audit.Store
	saved.Store
	query.RunStore
	Recordings() store.Recordings
	job.Store
	dataset.Store
	Workflows() store.Workflows
	Close() error
}

func openLimits(ctx context.Context, counts limit.Store, now func() time.Time, log *slog.Logger) (*limit.Limiter, error) {
	return limit.Open(ctx, counts, limit.Config{Now: now, Log: log, Server: rand.Text(), Patience: time.Minute}) // the machine may be busy
}

// journal is a journal that can be erased in.
type journal interface {
	event.Journal
	deletion.Journal
}

type warehouse interface {
	event.Warehouse
	query.Engine
	dataset.Records
	deletion.Warehouse
	Ready(context.Context) error
	Close() error
}

func openRecordings(w *world, bytes int64) (*recording.Service, error) {
	opened, err := files.Open(files.Config{Dir: filepath.Join(w.dir, "recordings")})
	if err != nil {
		return nil, err
	}
	return recording.New(recording.Config{Store: w.store.Recordings(), Files: opened, Now: w.clock.Now, Log: w.log, Bytes: bytes})
}

func openStore(ctx context.Context, dir string) (controlStore, error) {
	return store.OpenSQLite(ctx, filepath.Join(dir, "weir.db"))
}

// openJournal opens a journal. With free, that is what it is told of the room on the disk.
func openJournal(dir string, log *slog.Logger, free func() (int64, error)) (journal, error) {
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
