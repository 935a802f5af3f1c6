package api

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/weir-analytics/weir/internal/app"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/compat"
	"github.com/weir-analytics/weir/internal/dataset"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/proxy"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/rejected"
	"github.com/weir-analytics/weir/internal/signature"
	"github.com/weir-analytics/weir/internal/token"
	"github.com/weir-analytics/weir/internal/workflow"
)

// Part is one part of the server and whether it is ready to serve.
type Part struct {
	Name  string
	Ready func(context.Context) error // nil when ready; the text is shown
	Lacks func() string               // what is amiss although it is ready, in words that may be shown; may be nil
}

// Config is what the API is made of.
type Config struct {
	Gate    *gate.Gate
	Events  *event.Service
	Live    *event.Live
	Query   *query.Service
	Metrics *saved.Service
	Runs    *query.Runs
	// Datasets are the tables that users define, and Jobs what takes longer than a request.
	Datasets *dataset.Service
	Jobs     *job.Runner
	// Exports are data that is taken out in files.
	Exports *export.Service

	// Deletions undo what a key did, and forget people.
	Deletions *deletion.Service
	// FileTime is how long a file may take to come; 0: fileTime.
	FileTime time.Duration
	// Functions are those that may be called in SQL, for suggestions.
	Functions []string
	Keys      *keyring.Ring
	Tokens    *token.Issuer
	Apps      *app.Service // of third parties; nil: there are none
	Members   *org.Members
	Projects  *org.Registry
	Ledger    *ledger.Ledger
	Counts    Counts
	Audit     *audit.Log
	Parts     []Part
	Registry  prometheus.Registerer
	Tracer    trace.Tracer // nil: no traces
	Now       func() time.Time
	NewID     func() string // of requests
	Log       *slog.Logger
	// PublicURL is the address clients reach the server at, such as https://weir.example.com; empty when it is not
	// known. Problem types are absolute with it and relative without.
	PublicURL string
	// Hosts are the host names answered to; empty: all.
	Hosts   []string
	Version string
	// Proxy finds out who sent a request; nil: whoever is at the other end of the connection.
	Proxy *proxy.Resolver
	// AllowCleartext takes credentials that a trusted proxy says came over plain HTTP.
	AllowCleartext bool
	// Nonces remembers which signatures were used; nil: since New.
	Nonces *signature.Nonces
	// Without are the other systems whose routes are not there.
	Without []compat.System
	// Stopping is done when the server begins to stop: streams end then.
	Stopping context.Context
	// Recordings keeps what pages tell of sessions.
	Recordings *recording.Service
	// Rejected keeps the events that were not accepted; nil: nobody does.
	Rejected *rejected.Service
	// Workflows keeps what is triggered by name, and sends what comes of it.
	Workflows *workflow.Service
}

// API answers every request. Make one with New.
type API struct {
	cfg         Config
	mux         *http.ServeMux
	plain       map[string]*site // those in the mux whose path has no parameter: finding them there costs several times as much
	rows        []row
	registry    huma.Registry
	hosts       map[string]bool
	bodies      bodies
	packers     packers
	answers     *semaphore.Weighted // the memory for answers with records
	downloads   downloads
	meter       *meter
	replays     *token.Replays // assertions and proofs that were used
	problemBase string
	openapi     func() ([]byte, error)
	expected    expected
}

// New mounts every row. It panics when a row is not complete: that is a mistake in the program.
func New(cfg Config) (*API, error) {
	if cfg.Proxy == nil {
		cfg.Proxy = proxy.New(proxy.Config{})
	}
	if cfg.Nonces == nil && cfg.Now != nil {
		cfg.Nonces = signature.NewNonces(cfg.Now())
	}
	a := &API{
		cfg: cfg, mux: http.NewServeMux(), plain: map[string]*site{}, meter: newMeter(cfg.Registry),
		registry:    huma.NewMapRegistry("#/components/schemas/", title),
		bodies:      bodies{memory: semaphore.NewWeighted(allBodies)},
		answers:     semaphore.NewWeighted(allAnswers),
		problemBase: strings.TrimSuffix(cfg.PublicURL, "/") + "/problems/",
	}
	a.registry.RegisterTypeAlias(reflect.TypeFor[jsontext.Value](), reflect.TypeFor[anyJSON]())
	a.registry.RegisterTypeAlias(reflect.TypeFor[keyring.View](), reflect.TypeFor[viewJSON]())
	if cfg.Now != nil {
		a.replays = token.NewReplays(cfg.Now())
	}
	a.answerTo(cfg.Hosts)
	mountIngestion(a)
	mountQuery(a)
	mountQueries(a)
	mountMetrics(a)
	mountUserFlux(a)
	mountUsers(a)
	mountRuns(a)
	mountComplete(a)
	mountGrafana(a)
	mountDatasets(a)
	mountRecords(a)
	mountLoading(a)
	mountJobs(a)
	mountRecordStream(a)
	mountKeys(a)
	mountKeyLife(a)
	mountPolicy(a)
	mountLedger(a)
	mountAudit(a)
	mountExplain(a)
	mountUsed(a)
	mountOAuth(a)
	mountUserFluxToken(a)
	mountApps(a)
	mountConsent(a)
	mountCompat(a)
	mountIEX(a)
	mountLakehouse(a)
	mountLakehouseRows(a)
	mountLakehouseFiles(a)
	mountSessions(a)
	mountMembers(a)
	mountInvitations(a)
	mountProjects(a)
	mountEnvironments(a)
	mountConfig(a)
	mountBilling(a)
	mountRecordings(a)
	mountWorkflows(a)
	mountServer(a)
	a.open()
	document := a.document()
	listsAreLists(a.registry)
	mayBeNull(a.registry, "Key", "datasets")
	mayBeNull(a.registry, "AccountUsed", "rate", "daily", "credits")
	mayBeNull(a.registry, "QuerySchema", "seen")
	mayBeNull(a.registry, "BillingUsage", "limits")
	a.openapi = sync.OnceValues(func() ([]byte, error) { return written(document) })
	return a, nil
}

// answerTo has the names of hosts noted that are answered to; without one, all are.
func (a *API) answerTo(hosts []string) {
	if len(hosts) == 0 {
		return
	}
	a.hosts = map[string]bool{}
	for _, host := range hosts {
		a.hosts[hostName(host)] = true
	}
}

// OpenAPI is the document that describes every row, as JSON.
// It is written when it is first asked for.
func (a *API) OpenAPI() ([]byte, error) { return a.openapi() }

// open puts the rows into the mux, all methods of a path together.
func (a *API) open() {
	sites := map[string]*site{}
	for i := range a.rows {
		r := &a.rows[i]
		for _, path := range append([]string{r.path}, r.also...) {
			a.place(sites, path, r)
		}
	}
	for _, s := range sites {
		methods, cross := []string{http.MethodOptions}, []string{}
		for method, r := range s.rows {
			methods = append(methods, method)
			if method == http.MethodGet {
				methods = append(methods, http.MethodHead)
			}
			if r.cross {
				cross = append(cross, method)
			}
		}
		slices.Sort(methods)
		slices.Sort(cross)
		s.allow, s.cross = strings.Join(methods, ", "), strings.Join(cross, ", ")
	}
	a.mux.Handle("/", notThere{})
}

// place puts a row at a path.
func (a *API) place(sites map[string]*site, path string, r *row) {
	s := sites[path]
	if s == nil {
		s = &site{rows: map[string]*row{}}
		sites[path] = s
		a.mux.Handle(path, s)
		if !strings.Contains(path, "{") {
			a.plain[path] = s
		}
	}
	if s.rows[r.method] != nil {
		panic("api: two rows for " + r.method + " " + path)
	}
	s.rows[r.method] = r
	if r.slash {
		a.mux.Handle(path+"/{$}", s)
	}
}

// notThere answers for every address that has no row.
type notThere struct{}

// ServeHTTP answers not_found.
func (notThere) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	rq := w.(*reply).rq
	rq.a.writeProblem(rq, rq.nowhere())
}
