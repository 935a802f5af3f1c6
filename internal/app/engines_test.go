package app_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/store"
)

// This file is the tests' open.go: the one place here that chooses an engine.

type shelf interface {
	keyring.Store
	org.Store
}

func openShelf(t *testing.T) (shelf, app.Store, app.Flow) {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "weir.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, s.Apps(), s.Apps()
}
