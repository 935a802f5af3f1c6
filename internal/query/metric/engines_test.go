package metric_test

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"testing"
	"time"

	driver "github.com/duckdb/duckdb-go/v2"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb/guard"
)

// This file is the tests' open.go: the one place here that chooses an engine.

// queryProcess makes this test binary be the warehouse's process.
const queryProcess = "query-process"

func serveQueryProcess(args []string) error {
	return duckdb.ServeChild(context.Background(), args, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

type warehouse interface {
	event.Warehouse
	query.Engine
}

// openWarehouse opens a warehouse that ends with the test.
func openWarehouse(t testing.TB) warehouse {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w, err := duckdb.Open(t.Context(), duckdb.Config{
		Dir: t.TempDir(), Command: []string{self, queryProcess}, Memory: 1 << 30, Threads: 2, OpenFiles: 64, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now },
	})
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

// sandbox is what decides about statements before they run.
type sandbox interface {
	Facts(ctx context.Context, sql string) (query.Facts, error)
}

type guarded struct{ *guard.Guard }

func (g guarded) Facts(ctx context.Context, sql string) (query.Facts, error) {
	a, err := g.Analyze(ctx, sql)
	return a.Facts, err
}

// openSandbox opens the engine's parser and the walk over its trees.
func openSandbox(t testing.TB) sandbox {
	t.Helper()
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return guarded{g}
}

// parser is the engine's own: it gives the tree of a statement as JSON, or an error in it.
type parser struct{ *sql.DB }

func openParser(t testing.TB) parser {
	t.Helper()
	connector, err := driver.NewConnector("?enable_external_access=false&threads=1&memory_limit=256MB", nil)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return parser{db}
}

func (p parser) tree(ctx context.Context, text string) (tree string, err error) {
	err = p.QueryRowContext(ctx, "SELECT json_serialize_sql($1::VARCHAR)::VARCHAR", text).Scan(&tree)
	return tree, err
}
