package workflow_test

import (
	"path/filepath"
	"testing"

	"github.com/weir-analytics/weir/internal/store"
)

// openStore opens the store that the tests of this package use. They close it.
func openStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "weir.db"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
