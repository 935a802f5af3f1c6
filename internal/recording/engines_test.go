package recording_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/recording/files"
	"github.com/weir-analytics/weir/internal/store"
)

// openStore opens the store that the tests of this package use.
func openStore(t testing.TB) recording.Store {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "weir.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.Recordings()
}

// openFolder opens a folder of files.
func openFolder(t testing.TB, cfg files.Config) *files.Folder {
	t.Helper()
	f, err := files.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// openService opens a service whose clock is the world's.
func openService(t testing.TB, cfg recording.Config) *recording.Service {
	t.Helper()
	if cfg.Bytes == 0 {
		cfg.Bytes = 1 << 30
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	s, err := recording.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
