package deletion_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/store"
)

// controlStore is the control data that the tests of this package use.
type controlStore interface {
	deletion.Control
	deletion.Clock
	job.Store
	Entries(ctx context.Context, q audit.Query) ([]audit.Entry, error)
}

func openStore(t testing.TB) controlStore {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "weir.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
