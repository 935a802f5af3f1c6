package saved_test

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/query/saved"
	"github.com/weir-analytics/weir/internal/store"
)

// This file is the tests' open.go: the one place here that chooses an engine.

type controlStore interface {
	saved.Store
	audit.Store
}

// openStore opens a store that has the projects prj_1 and prj_2, and ends with the test.
func openStore(t testing.TB) controlStore {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "weir.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := context.WithoutCancel(t.Context())
	project := func(id string) org.Project {
		return org.Project{Project: access.Project{Organization: "org_1", ID: id}, Name: rand.Text()}
	}
	if _, _, _, err := s.Establish(ctx, org.Organization{ID: "org_1"}, project("prj_1")); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertProject(ctx, project("prj_2")); err != nil {
		t.Fatal(err)
	}
	return s
}
