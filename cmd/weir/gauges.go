package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges gathers what the parts say of themselves, when Prometheus asks.
type gauges struct{ s *server }

// Describe says nothing beforehand: the collector is unchecked.
func (*gauges) Describe(chan<- *prometheus.Desc) {}

// Collect asks every part.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	l := g.s.control.ledger.Stats()
	all := figures{
		"loader_position": float64(g.s.loader.Loaded()), "event_streams": float64(g.s.live.Followers()),
		"ledger_allowed_total": float64(l.Allowed), "ledger_denials_total": float64(l.Kept), "ledger_denials_counted_only_total": float64(l.CountedOnly),
		"ledger_denials_waiting": float64(l.Waiting), "ledger_write_failures_total": float64(l.Failures),
	}
	maps.Copy(all, g.s.journal.figures())
	maps.Copy(all, warehouseFigures(g.s.warehouse))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		kind := prometheus.GaugeValue
		if strings.HasSuffix(name, "_total") {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("weir_"+name, "See the documentation of metrics.", nil, nil), kind, all[name])
	}
}

func discardMetrics() prometheus.Registerer { return prometheus.NewRegistry() }
