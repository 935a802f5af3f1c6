package main

import (
	"maps"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// aboutFigures lists what the parts say of themselves, as Prometheus shows it. The same list stands in
// docs/operations.md.
func aboutFigures() map[string]string {
	return map[string]string{
		"journal_position":                    "Number of the last durable event.",
		"journal_segments":                    "Files of the journal.",
		"journal_bytes":                       "Bytes of events in the journal's files.",
		"journal_syncs_total":                 "Commits made durable.",
		"journal_sync_seconds_total":          "Time spent in syncs.",
		"loader_position":                     "Number of the last event up to which all can be queried.",
		"loader_spaces_behind":                "Environments that lack events which others of the same time have.",
		"warehouse_restarts_total":            "How often the query process was started again.",
		"queries_running":                     "Queries that run.",
		"queries_waiting":                     "Queries that wait for their turn.",
		"promoted_columns":                    "Properties that are columns, in the open files, as of the last load.",
		"promoted_columns_fill_seconds_total": "Time spent in filling such columns for events stored before.",
		"cache_hits_total":                    "Answers that had been kept.",
		"cache_misses_total":                  "Answers that had to be made although they may be kept.",
		"cache_coalesced_total":               "Questions that waited for an answer which was being made for another.",
		"cache_stale_total":                   "Hits on answers that were made anew meanwhile.",
		"cache_evictions_total":               "Kept answers that had to go before their time, for want of room.",
		"cache_answers":                       "Answers that are kept.",
		"cache_memory_bytes":                  "Memory of kept answers.",
		"cache_disk_bytes":                    "Disk of kept answers.",
		"event_streams":                       "Readers of /v1/events/stream.",
		"recording_chunks_total":              "Chunks of recordings stored.",
		"recording_duplicates_total":          "Chunks of recordings that had come before.",
		"recording_bytes_total":               "Bytes of recordings stored, compressed.",
		"rejected_events_kept_total":          "Events kept that were not accepted.",
		"rejected_events_replayed_total":      "Rejected events sent again and accepted.",
		"workflow_triggers_total":             "Triggers of workflows that were taken.",
		"workflow_replays_total":              "Deliveries that were sent again because somebody asked for it.",
		"workflow_attempts_total":             "Attempts to send a delivery.",
		"workflow_delivered_total":            "Deliveries that were taken.",
		"workflow_failed_total":               "Deliveries that were given up.",
		"workflow_refused_total":              "Attempts that were not made because of where the address leads.",
		"workflow_disabled_total":             "Workflows that their targets had disabled.",
		"workflow_attempts_running":           "Attempts that run.",
		"workflow_targets_resting":            "Targets that failed and are left alone for a while.",
		"ledger_allowed_total":                "Requests allowed.",
		"ledger_denials_total":                "Denials kept one by one.",
		"ledger_denials_counted_only_total":   "Denials that came too fast to be kept one by one, and were counted.",
		"ledger_denials_waiting":              "Denials that wait to be written.",
		"ledger_write_failures_total":         "Writes of the ledger that failed.",
		"limit_accounts":                      "Keys and projects whose counters are in memory.",
		"limit_reservations":                  "Requests under way that have set credits aside.",
		"limit_uncounted_total":               "Requests let through while the counters could not be reached.",
		"limit_unreachable_total":             "Requests denied because the counters could not be reached.",
		"limit_store_failures_total":          "Calls for counters to the store that failed.",
	}
}

// gauges gathers what the parts say of themselves, when Prometheus asks.
type gauges struct{ s *server }

// Describe says nothing beforehand: which figures there are depends on the engines.
func (*gauges) Describe(chan<- *prometheus.Desc) {}

// Collect asks every part.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	l, c := g.s.control.ledger.Stats(), g.s.cache.Stats()
	all := figures{
		"loader_position": float64(g.s.loader.Loaded()), "loader_spaces_behind": float64(g.s.loader.Behind()),
		"event_streams":        float64(g.s.live.Followers()),
		"ledger_allowed_total": float64(l.Allowed), "ledger_denials_total": float64(l.Kept), "ledger_denials_counted_only_total": float64(l.CountedOnly),
		"cache_hits_total": float64(c.Hits), "cache_misses_total": float64(c.Misses), "cache_coalesced_total": float64(c.Coalesced), "cache_stale_total": float64(c.Stale),
		"cache_evictions_total": float64(c.Evictions), "cache_answers": float64(c.Entries), "cache_memory_bytes": float64(c.MemoryBytes), "cache_disk_bytes": float64(c.DiskBytes),
		"ledger_denials_waiting": float64(l.Waiting), "ledger_write_failures_total": float64(l.Failures),
	}
	r := g.s.recorded.Stats()
	maps.Copy(all, figures{
		"recording_chunks_total": float64(r.Chunks), "recording_duplicates_total": float64(r.Duplicates), "recording_bytes_total": float64(r.Bytes),
	})
	x := g.s.rejected.Stats()
	maps.Copy(all, figures{"rejected_events_kept_total": float64(x.Kept), "rejected_events_replayed_total": float64(x.Replayed)})
	maps.Copy(all, workflowFigures(g.s.control.workflows))
	n := g.s.control.limits.Stats()
	maps.Copy(all, figures{
		"limit_accounts": float64(n.Accounts), "limit_reservations": float64(n.Reservations), "limit_uncounted_total": float64(n.Uncounted),
		"limit_unreachable_total": float64(n.Unreachable), "limit_store_failures_total": float64(n.Failures),
	})
	maps.Copy(all, g.s.journal.figures())
	maps.Copy(all, warehouseFigures(g.s.warehouse))
	about := aboutFigures()
	for name, value := range all {
		kind := prometheus.GaugeValue
		if strings.HasSuffix(name, "_total") {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("weir_"+name, about[name], nil, nil), kind, value)
	}
}

func discardMetrics() prometheus.Registerer { return prometheus.NewRegistry() }
