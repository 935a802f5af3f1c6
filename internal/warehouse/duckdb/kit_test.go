package duckdb

import (
	"testing"

	"github.com/weir-analytics/weir/internal/warehouse/warehousetest"
)

// Promise: the embedded warehouse does what every warehouse must.
func TestConformance(t *testing.T) {
	t.Parallel()
	warehousetest.Run(t, func(t *testing.T) (warehousetest.Warehouse, func() warehousetest.Warehouse) {
		cfg := config(t.TempDir())
		var current *Warehouse
		opened := func() warehousetest.Warehouse {
			w, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			current = w
			return w
		}
		closed := func() {
			if err := current.Close(); err != nil {
				t.Error(err)
			}
		}
		w := opened()
		t.Cleanup(func() { closed() })
		return w, func() warehousetest.Warehouse {
			closed()
			return opened()
		}
	})
}
