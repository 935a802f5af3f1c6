package main

import (
	"path/filepath"

	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/query"
)

// newExports makes what takes data out. Its files leave twice as much of the disk free as events do, so that it is not they
// that keep events out.
func (s *server) newExports(w world, questions *query.Service, datasets *dataset.Service) *export.Service {
	return export.New(export.Config{
		Dir: filepath.Join(s.cfg.Data, "exports"), Jobs: s.jobs, Rows: questions, Datasets: datasets, Keys: s.control.keys, Now: w.now, Log: s.log,
		Sight: query.Sight(s.control.derive), Derive: s.control.derive, Time: s.cfg.ExportTime, Bytes: s.cfg.ExportBytes, Keep: s.cfg.ExportRetention,
		Reserve: 2 * s.cfg.DiskReserve, Prices: s.cfg.prices(),
	})
}

// prices are what answers cost.
func (c *config) prices() query.Prices {
	return query.Prices{Rows: someOrNone(c.CreditRows), Bytes: someOrNone(c.CreditBytes)}
}
