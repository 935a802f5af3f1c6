package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/journal/segment"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/recording/files"
	"github.com/weir-analytics/weir/internal/rejected"
	"github.com/weir-analytics/weir/internal/store"
	"github.com/weir-analytics/weir/internal/warehouse/duckdb"
)

// The engines there are, by the schemes of their URLs. This file is the one place that chooses between them.
func storeSchemes() []string     { return []string{"sqlite"} }
func journalSchemes() []string   { return []string{"segment"} }
func warehouseSchemes() []string { return []string{"duckdb"} }

// The engines of a single machine.
const (
	standardStore     = "sqlite:"
	standardJournal   = "segment:"
	standardWarehouse = "duckdb:"
)

// controlStore keeps what is not events.
type controlStore interface {
	tenants
	people
	asked
	records
	Close() error
	Counters() store.Counters
	Tokens() store.Tokens
	Apps() store.Apps
	Recordings() store.Recordings
	Workflows() store.Workflows
}

// tenants are the projects and their keys.
type tenants interface {
	keyring.Store
	org.Store
}

// people are who may do what, besides keys, and in what.
type people interface {
	org.People
	org.Invitations
	org.Sessions
	org.Projects
}

// records are what is kept of what happened.
type records interface {
	ledger.Store
	audit.Store
	deletion.Control
	deletion.Clock
}

// asked are the questions with a name, and those that were asked.
type asked interface {
	saved.Store
	query.RunStore
	job.Store
	dataset.Store
}

// journal is an opened journal, with what the server wants to know of it.
type journal struct {
	event.Journal
	erasing  deletion.Journal
	released func() event.Position // everything up to it was loaded in an earlier run
	last     func() event.Position
	figures  func() figures
}

// warehouse is an opened warehouse.
type warehouse interface {
	event.Warehouse
	query.Engine
	dataset.Records
	deletion.Warehouse
	Ready(context.Context) error
	Close() error
}

// figures are what a part says of itself, by the names of metrics without their prefix.
type figures map[string]float64

func openStore(ctx context.Context, cfg config) (controlStore, error) {
	switch scheme, path := schemeOf(cfg.Store); scheme {
	case "sqlite":
		opened, err := store.OpenSQLite(ctx, pathOr(path, cfg.Data, "weir.db"))
		if err != nil {
			return nil, err
		}
		return opened, nil
	default:
		return nil, fmt.Errorf("no store is called %q", scheme)
	}
}

// recordings keeps recordings, in files that it closes.
type recordings struct {
	*recording.Service

	files *files.Folder
}

// openRecordings opens what recordings are kept in. They leave twice as much of the disk free as events do, so that it is not
// recordings that keep events out.
func openRecordings(
	cfg config, w world, control controlStore, log *slog.Logger, even func(context.Context) (bool, error),
) (recordings, error) {
	opened, err := files.Open(files.Config{Dir: filepath.Join(cfg.Data, "recordings"), Reserve: 2 * cfg.DiskReserve})
	if err != nil {
		return recordings{}, err
	}
	service, err := recording.New(recording.Config{
		Store: control.Recordings(), Files: opened, Now: w.now, Log: log, Bytes: cfg.RecordingBytes, Keep: time.Duration(cfg.RecordingDays) * 24 * time.Hour,
		Even: even,
	})
	return recordings{service, opened}, err
}

// openRejected opens what was not accepted.
func openRejected(cfg config, w world, log *slog.Logger) (*rejected.Service, error) {
	return rejected.Open(rejected.Config{
		Dir: filepath.Join(cfg.Data, "rejected"), Bytes: cfg.RejectedBytes, Keep: time.Duration(cfg.RejectedDays) * 24 * time.Hour, Now: w.now, Log: log,
		Read: compat.ReadAgain,
	})
}

// close releases the files.
func (r recordings) close() error {
	if r.files == nil {
		return nil
	}
	return r.files.Close()
}

func openJournal(cfg config, w world, log *slog.Logger) (journal, error) {
	switch scheme, path := schemeOf(cfg.Journal); scheme {
	case "segment":
		j, report, err := segment.Open(segment.Config{
			Dir: pathOr(path, cfg.Data, "journal"), Buffer: 2 * event.MaxItems * event.MaxEventBytes, Reserve: cfg.DiskReserve, Log: log, Now: w.now,
		})
		if err != nil {
			return journal{}, err
		}
		return journal{
			Journal:  j,
			erasing:  j,
			released: func() event.Position { return report.First - 1 },
			last:     func() event.Position { return j.Stats().Last },
			figures: func() figures {
				s := j.Stats()
				return figures{
					"journal_position": float64(s.Last), "journal_segments": float64(s.Segments), "journal_bytes": float64(s.Bytes),
					"journal_syncs_total": float64(s.Syncs), "journal_sync_seconds_total": s.SyncSum.Seconds(),
				}
			},
		}, nil
	default:
		return journal{}, fmt.Errorf("no journal is called %q", scheme)
	}
}

// warehouseName is the hidden command that runs the warehouse's process.
const warehouseName = "warehouse-process"

func openWarehouse(ctx context.Context, cfg config, w world, log *slog.Logger) (warehouse, error) {
	switch scheme, path := schemeOf(cfg.Warehouse); scheme {
	case "duckdb":
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		opened, err := duckdb.Open(ctx, duckdb.Config{
			Dir: pathOr(path, cfg.Data, "warehouse"), Command: []string{self, warehouseName}, Memory: cfg.WarehouseMemory, Threads: cfg.WarehouseThreads,
			MaxConcurrent: cfg.QueryConcurrency, MaxPerProject: cfg.QueryPerProject, MaxPerKey: cfg.QueryPerKey, MaxQueue: cfg.QueryQueue,
			PromotedColumns: someOrNone(cfg.PromotedColumns), Now: w.now, Log: log,
		})
		if err != nil {
			return nil, err
		}
		return opened, nil
	default:
		return nil, fmt.Errorf("no warehouse is called %q", scheme)
	}
}

// someOrNone is a number as packages take it: to them, zero is their own standard, and less is none.
func someOrNone[N int | int64](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

// serveWarehouse is the warehouse's process: this binary, started again by openWarehouse.
func serveWarehouse(ctx context.Context, args []string, w world) error {
	return duckdb.ServeChild(ctx, args, newLogger(config{LogLevel: slog.LevelInfo}, w.err).Logger)
}

// functionsOf are the functions that statements over an opened warehouse may call.
func functionsOf(opened warehouse) []string {
	if _, ok := opened.(*duckdb.Warehouse); ok {
		return duckdb.Functions()
	}
	return nil
}

// warehouseFigures are what an opened warehouse says of itself.
func warehouseFigures(opened warehouse) figures {
	d, ok := opened.(*duckdb.Warehouse)
	if !ok {
		return nil
	}
	s := d.Stats()
	return figures{
		"warehouse_restarts_total": float64(s.Restarts), "queries_running": float64(s.Running), "queries_waiting": float64(s.Waiting),
		"promoted_columns": float64(s.Columns), "promoted_columns_fill_seconds_total": s.Filling.Seconds(),
	}
}

// checkEngines looks into the files of a data folder that no server uses, for 'weir doctor'.
func checkEngines(ctx context.Context, cfg config) []finding {
	var found []finding
	if scheme, path := schemeOf(cfg.Store); scheme == "sqlite" {
		report, err := store.Check(ctx, pathOr(path, cfg.Data, "weir.db"))
		found = append(found, storeFindings(report, err)...)
	}
	var last event.Position
	if scheme, path := schemeOf(cfg.Journal); scheme == "segment" {
		report, err := segment.Check(pathOr(path, cfg.Data, "journal"))
		last = report.Last
		found = append(found, journalFindings(report, err)...)
	}
	if scheme, path := schemeOf(cfg.Warehouse); scheme == "duckdb" {
		reports, err := duckdb.Check(ctx, pathOr(path, cfg.Data, "warehouse"))
		found = append(found, warehouseFindings(reports, err, last)...)
	}
	return found
}

func journalFindings(r segment.Report, err error) []finding {
	if err != nil {
		return []finding{faulty("journal", "cannot be read: %v", err)}
	}
	found := []finding{fine("journal", "%d segments, records %d to %d", len(r.Segments), r.First, r.Last)}
	if r.Torn.Bytes > 0 {
		found = append(found, fine("journal", "%s ends in %d bytes of a write that was cut short, at offset %d; they were never acknowledged, and the next start cuts them off",
			r.Torn.File, r.Torn.Bytes, r.Torn.Offset))
	}
	for _, d := range r.Damage {
		found = append(found, faulty("journal", "%v", d))
	}
	return found
}

func storeFindings(r store.Report, err error) []finding {
	if err != nil {
		return []finding{faulty("store", "cannot be read: %v", err)}
	}
	found := []finding{fine("store", "version %d of %d, %d projects, %d keys of which %d revoked, %d denials",
		r.Version, r.Known, r.Projects, r.Keys, r.RevokedKeys, r.Denials)}
	for _, f := range r.Faults {
		found = append(found, faulty("store", "%s", f))
	}
	return found
}

// warehouseFindings are about every file, and about whether the journal goes on where each ends.
func warehouseFindings(reports []duckdb.Report, err error, last event.Position) []finding {
	if err != nil {
		return []finding{faulty("warehouse", "cannot be read: %v", err)}
	}
	found := []finding{fine("warehouse", "%d environments have events", len(reports))}
	for _, r := range reports {
		name := r.Space.Project + "/" + r.Space.Environment
		switch {
		case r.Fault != "":
			found = append(found, faulty("warehouse", "%s: %s", name, r.Fault))
		case r.Position > last:
			found = append(found, faulty("warehouse", "%s: loaded up to position %d, but the journal ends at %d: they do not belong together", name, r.Position, last))
		default:
			found = append(found, fine("warehouse", "%s: %d events and %d persons in %d bytes, loaded up to position %d", name, r.Events, r.Persons, r.Bytes, r.Position))
		}
	}
	return found
}

// openapi makes the document without opening anything.
func openapi() ([]byte, error) {
	a, err := api.New(api.Config{Registry: discardMetrics(), Version: version})
	if err != nil {
		return nil, err
	}
	return a.OpenAPI()
}

func schemeOf(address string) (scheme, path string) {
	scheme, path, _ = strings.Cut(address, ":")
	return scheme, path
}

// pathOr is the path of an engine's URL, or a place in the data folder when it has none.
func pathOr(path, data, name string) string {
	if path = strings.TrimPrefix(path, "//"); path != "" {
		return path
	}
	return filepath.Join(data, name)
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
