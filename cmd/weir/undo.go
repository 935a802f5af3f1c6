package main

import (
	"context"

	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
)

// undoing is the warehouse for what deletes: while something is erased in it, no record is on its way from one table to another.
type undoing struct {
	deletion.Warehouse

	still func(do func() error) error
}

// Erase implements deletion.Warehouse.
func (u undoing) Erase(ctx context.Context, space event.Space, s deletion.Selection) (counts deletion.Counts, more []string, err error) {
	err = u.still(func() (err error) {
		counts, more, err = u.Warehouse.Erase(ctx, space, s)
		return err
	})
	return counts, more, err
}
