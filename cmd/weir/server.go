package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/proxy"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/cache"
	"github.com/weir-analytics/weir/internal/query/saved"
	"github.com/weir-analytics/weir/internal/rejected"
	"github.com/weir-analytics/weir/internal/room"
	"github.com/weir-analytics/weir/internal/view"
)

// The bounds on a connection.
const (
	headerTime = 10 * time.Second
	readTime   = 60 * time.Second // for the whole request
	writeTime  = 90 * time.Second // for the whole answer; streams extend it
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
)

// server is everything that runs inside 'weir serve'.
type server struct {
	cfg       config
	log       *slog.Logger
	control   *control
	journal   journal
	warehouse warehouse
	cache     *cache.Cache
	loader    *event.Loader
	live      *event.Live
	budgets   *budgets
	recorded  recordings
	rejected  *rejected.Service
	runs      *query.Runs
	jobs      *job.Runner
	datasets  *dataset.Service
	exports   *export.Service
	deletions *deletion.Service
	api       *api.API
	metrics   *prometheus.Registry
	tracing   *tracing
	stopping  context.Context // done when the stop begins: streams end
	stop      context.CancelFunc
	running   sync.WaitGroup
	halt      context.CancelFunc // ends the loader and the ledger
}

// openServer puts the parts together, on a data folder that is locked and set up. When it fails, nothing stays open.
func openServer(ctx context.Context, cfg config, w world, log *slog.Logger) (opened *server, err error) {
	s := &server{cfg: cfg, log: log, live: new(event.Live), metrics: prometheus.NewRegistry(), budgets: newBudgets()}
	s.stopping, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			s.closeParts(context.WithoutCancel(ctx))
		}
	}()
	if s.control, err = openControl(ctx, cfg, w, log); err != nil {
		return nil, err
	}
	if s.journal, err = openJournal(cfg, w, log); err != nil {
		return nil, err
	}
	if s.warehouse, err = openWarehouse(ctx, cfg.withShares(len(s.control.projects)), w, log); err != nil {
		return nil, err
	}
	if s.cache, err = cache.Open(cache.Config{Memory: cfg.CacheMemory, Disk: cfg.CacheDisk, Dir: filepath.Join(cfg.Data, "cache"), Now: w.now}); err != nil {
		return nil, fmt.Errorf("the folder for kept answers: %w", err)
	}
	if err := s.checkPositions(ctx); err != nil {
		return nil, err
	}
	if s.recorded, err = openRecordings(cfg, w, s.control.store, log, s.evenClock); err != nil {
		return nil, err
	}
	if s.rejected, err = openRejected(cfg, w, log); err != nil {
		return nil, err
	}
	if s.tracing, err = openTracing(ctx, cfg); err != nil {
		return nil, err
	}
	s.loader = event.NewLoader(event.LoaderConfig{
		Journal: s.journal, Warehouse: s.warehouse, Start: s.journal.released(), Last: s.journal.last(), Gather: cfg.LoadInterval, Log: log,
	})
	s.metrics.MustRegister(s.budgets.alerting, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &gauges{s})
	s.api, err = api.New(s.apiConfig(w))
	return s, err
}

func (s *server) apiConfig(w world) api.Config {
	var datasets *dataset.Service
	questions := query.New(query.Config{
		Engine: s.warehouse, Now: w.now, Time: s.cfg.QueryTime, Rows: s.cfg.QueryRows, Bytes: s.cfg.QueryBytes,
		Prices: s.cfg.prices(),
		Scope:  query.Seen(s.control.derive), Cache: s.cache, TempDir: filepath.Join(s.cfg.Data, "tmp"),
		Datasets: func(ctx context.Context, permit gate.Permit, names []string) ([]view.Relation, error) {
			return datasets.Relations(ctx, permit, names)
		},
	})
	s.runs = query.NewRuns(query.RunsConfig{
		Store: s.control.store, Now: w.now, Log: s.log, Stopping: s.stopping,
		HideSQL: !s.cfg.HistorySQL, Keep: s.cfg.HistoryTime, Most: s.cfg.HistoryQueries,
		ResultTime: s.cfg.ResultTime, ResultBytes: s.cfg.ResultBytes, Results: s.cfg.Results,
	})
	s.jobs = job.New(job.Config{
		Store: s.control.store, Dir: filepath.Join(s.cfg.Data, "jobs"), Charges: s.control.gate,
		Stands: job.Standing(s.control.keys, w.now), Now: w.now, NewID: newSuffix, Log: s.log,
	})
	datasets = dataset.New(dataset.Config{
		Store: s.control.store, Records: s.warehouse, Jobs: s.jobs, Live: new(dataset.Live), Now: w.now, NewID: newSuffix,
		Room:   room.Kept{Dir: s.cfg.Data, Reserve: 2 * s.cfg.DiskReserve}.For,
		Forget: questions.Forget, Deleted: s.forgetRecords, Statements: query.Statements{Service: questions},
	})
	s.jobs.Handle(dataset.IngestKind, datasets.Ingest)
	s.jobs.Handle(dataset.UpdateKind, datasets.Rebuild)
	s.exports = s.newExports(w, questions, datasets)
	s.jobs.Handle(export.Kind, s.exports.Work)
	s.jobs.Price(dataset.IngestKind, dataset.LoadPrice())
	s.jobs.Price(export.Kind, export.Price())
	s.deletions, s.datasets = s.openDeletions(w, questions, datasets), datasets
	return api.Config{
		Gate: s.control.gate, Keys: s.control.keys, Tokens: s.control.tokens, Apps: s.control.apps, Recordings: s.recorded.Service, Rejected: s.rejected, Workflows: s.control.workflows, Members: s.control.members, Projects: s.control.registry, Ledger: s.control.ledger, Counts: s.control.limits, Audit: s.control.audit, Live: s.live,
		Events: event.New(event.Config{Journal: s.journal, Loader: s.loader, Live: s.live, Random: quickRandom{}}),
		Query:  questions, Metrics: saved.New(saved.Config{Store: s.control.store, Query: query.Noted{Service: questions, Runs: s.runs}, Now: w.now, NewID: newAuditID, MaxBytes: s.cfg.MetricsBytes}),
		Runs: s.runs, Datasets: datasets, Jobs: s.jobs, Exports: s.exports, Deletions: s.deletions, Functions: functionsOf(s.warehouse),
		Parts: []api.Part{
			{Name: "loader", Ready: func(context.Context) error { return s.loaderReady() }, Lacks: s.loaderLacks},
			{Name: "store", Ready: s.control.ready},
			{Name: "warehouse", Ready: s.warehouse.Ready},
			{Name: "workflows", Ready: func(context.Context) error { return workflowsReady(s.control.workflows) }},
		},
		Registry: s.metrics, Tracer: s.tracing.tracer(), Now: w.now, NewID: newID, Log: s.log, PublicURL: s.cfg.PublicURL, Hosts: hosts(s.cfg), Version: version,
		Without: s.cfg.Without, Stopping: s.stopping, AllowCleartext: s.cfg.Cleartext == cleartextAllow,
		Proxy: proxy.New(proxy.Config{Trusted: s.cfg.TrustedProxies, Header: s.cfg.ForwardedHeader}),
	}
}

// loaderReady is nil while the loader can load. Spaces that it cannot load do not make the server unready, and thereby
// all others.
func (s *server) loaderReady() error {
	err := s.loader.Fault()
	var some *event.SpaceFault
	if err == nil || errors.As(err, &some) {
		return nil
	}
	return problem.Wrap(err, problem.Unavailable, "events cannot be loaded")
}

// loaderLacks names the spaces that cannot be loaded.
func (s *server) loaderLacks() string {
	var some *event.SpaceFault
	if !errors.As(s.loader.Fault(), &some) {
		return ""
	}
	const few = 5
	names := make([]string, min(few, len(some.Spaces)))
	for i := range names {
		names[i] = some.Spaces[i].String()
	}
	text := "events cannot be loaded of " + strings.Join(names, ", ")
	if more := len(some.Spaces) - few; more > 0 {
		text += fmt.Sprintf(" and %d others", more)
	}
	return text
}

// checkPositions refuses a journal that is younger than what was loaded from it: another folder's, or one that lost its
// end. Its new events would be taken for old ones. A space that does not say where it is, is the loader's to look at.
func (s *server) checkPositions(ctx context.Context) error {
	for _, p := range s.control.projects {
		for _, env := range p.Environments {
			loaded, err := s.warehouse.Loaded(ctx, event.Space{Project: p.ID, Environment: env.Name})
			if err != nil && ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				s.log.Error("the warehouse does not say what is loaded", "space", p.ID+"/"+env.Name, "error", err)
				continue
			}
			if last := s.journal.last(); loaded > last {
				return fmt.Errorf("the warehouse of %s/%s has events up to position %d, but the journal ends at %d: they do not belong together",
					p.ID, env.Name, loaded, last)
			}
		}
	}
	return nil
}

// hosts are the names answered to: on a loopback address only those of this machine, against DNS rebinding.
func hosts(cfg config) []string {
	if len(cfg.Hosts) > 0 {
		return cfg.Hosts
	}
	host, _, _ := net.SplitHostPort(cfg.Listen)
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil
	}
	names := []string{"localhost", "127.0.0.1", "::1", host}
	if cfg.PublicURL != "" {
		names = append(names, hostOf(cfg.PublicURL))
	}
	return names
}

// collectAfter is how many bytes of garbage gather at the least before the collector runs. A server with few keys has so
// little else in memory that it would run many times a second. The ballast that makes it so is never touched, and so
// never taken from the system.
const collectAfter = 32 << 20

// serve runs the server until ctx is done, and then stops it: no new requests, those under way are finished, what was
// accepted is loaded.
func serve(ctx context.Context, cfg config, w world) error {
	ballast := make([]byte, collectAfter)
	defer runtime.KeepAlive(ballast)
	folder, err := lockFolder(cfg.Data)
	if err != nil {
		return err
	}
	defer folder.unlock()
	logs := newLogger(cfg, w.err)
	defer logs.Close()
	s, err := openServer(ctx, cfg, w, logs.Logger)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		s.closeParts(ctx)
		return err
	}
	if len(cfg.ProxyProtocol) > 0 {
		listener = proxy.Listen(listener, cfg.ProxyProtocol, headerTime)
	}
	s.start()
	web := s.httpServer(s.api, logs.Logger)
	faults := make(chan error, 2)
	go func() { faults <- web.Serve(listener) }()
	metrics, err := s.serveMetrics(ctx, faults)
	if err != nil {
		s.closeAll(web, nil)
		return err
	}
	welcome(w, cfg, listener.Addr(), s.control.first)
	select {
	case <-ctx.Done():
	case err = <-faults:
	}
	s.closeAll(web, metrics)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

func (s *server) httpServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serveMetrics serves Prometheus metrics on a listener of its own, so that they are not where the world can ask.
func (s *server) serveMetrics(ctx context.Context, faults chan<- error) (*http.Server, error) {
	if s.cfg.MetricsListen == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.MetricsListen)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	if s.cfg.Profiling {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	web := s.httpServer(mux, s.log)
	go func() { faults <- web.Serve(listener) }()
	return web, nil
}

// start runs the loader and the ledger.
func (s *server) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.halt = cancel
	s.running.Go(func() { s.loader.Run(ctx) })
	s.running.Go(func() { _ = s.control.ledger.Run(ctx) })
	s.running.Go(func() { s.control.limits.Run(ctx) })
	s.running.Go(func() { _ = s.runs.Run(ctx) })
	s.running.Go(func() { s.exports.Run(ctx) })
	s.running.Go(func() {
		if err := s.jobs.Run(ctx); err != nil {
			s.log.Error("jobs do not run", "error", err)
		}
	})
	s.running.Go(func() { s.control.tokens.Run(ctx) })
	s.running.Go(func() { s.control.apps.Run(ctx) })
	s.running.Go(func() { s.recorded.Run(ctx) })
	s.running.Go(func() { s.rejected.Run(ctx) })
	s.running.Go(func() { s.control.workflows.Run(ctx) })
	s.running.Go(func() { s.deletions.Run(ctx) })
	s.running.Go(func() { s.sweepRecords(ctx) })
	s.running.Go(func() { s.remind(ctx) })
	s.running.Go(func() { s.watchBudgets(ctx) })
}

// remindEvery is how often the log says which keys need attention.
const remindEvery = 24 * time.Hour

// remind logs what should be done about keys, at the start and once a day.
func (s *server) remind(ctx context.Context) {
	tick := time.NewTicker(remindEvery)
	defer tick.Stop()
	for {
		if err := s.control.keys.Remind(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("reminders of keys", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// closeAll stops in the order that loses nothing: streams, requests, loader, journal, warehouse, ledger, store.
func (s *server) closeAll(web, metrics *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.StopTime)
	defer cancel()
	s.log.Info("stopping")
	s.stop()
	if err := web.Shutdown(ctx); err != nil {
		s.log.Warn("requests were still under way", "error", err)
		_ = web.Close()
	}
	if metrics != nil {
		_ = metrics.Close()
	}
	s.halt()
	s.running.Wait()
	if err := s.loader.Drain(ctx, s.journal.last()); err != nil {
		s.log.Warn("events stay in the journal and are loaded at the next start", "error", err)
	}
	s.closeParts(ctx)
	s.log.Info("stopped")
}

// closeParts closes what is open, in the reverse order of opening.
func (s *server) closeParts(ctx context.Context) {
	report := func(what string, err error) {
		if err != nil {
			s.log.Error("closing", "part", what, "error", err)
		}
	}
	s.stop()
	if s.tracing != nil {
		report("tracing", s.tracing.close(ctx))
	}
	if s.cache != nil {
		report("cache", s.cache.Close())
	}
	if s.warehouse != nil {
		report("warehouse", s.warehouse.Close())
	}
	if s.journal.Journal != nil {
		report("journal", s.journal.Close())
	}
	report("recordings", s.recorded.close())
	if s.rejected != nil {
		report("rejected events", s.rejected.Close())
	}
	if s.control != nil {
		report("store", s.control.close(ctx))
	}
}
