package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/api/apitest"
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
	"github.com/weir-analytics/weir/internal/limit"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/proxy"
	"github.com/weir-analytics/weir/internal/query"
	"github.com/weir-analytics/weir/internal/query/saved"
	"github.com/weir-analytics/weir/internal/recording"
	"github.com/weir-analytics/weir/internal/rejected"
	"github.com/weir-analytics/weir/internal/signature"
	"github.com/weir-analytics/weir/internal/token"
	"github.com/weir-analytics/weir/internal/vault"
	"github.com/weir-analytics/weir/internal/view"
	"github.com/weir-analytics/weir/internal/workflow"
)

// theWorld is the server that the tests of this package share: real parts, a clock of its own, and a project for each
// test.
var theWorld = sync.OnceValues(openWorld)

type world struct {
	dir          string
	clock        *clock
	logs         *lines
	log          *slog.Logger
	store        controlStore
	organization org.Organization
	ring         *keyring.Ring
	vault        *vault.Vault
	ledger       *ledger.Ledger
	limits       *limit.Limiter
	gate         *gate.Gate
	recordings   *recording.Service
	rejected     *rejected.Service
	workflows    *workflow.Service
	runs         *query.Runs
	jobs         *job.Runner
	datasets     *dataset.Service
	exports      *export.Service
	questions    atomic.Pointer[query.Service] // those of the first config
	deletions    *deletion.Service
	journal      journal
	warehouse    warehouse
	loader       *event.Loader
	live         *event.Live
	spans        *tracetest.InMemoryExporter
	tracing      *trace.TracerProvider
	metrics      *prometheus.Registry
	contract     *apitest.Contract
	secrets      *secrets
	issuer       *token.Issuer
	apps         *app.Service
	members      *org.Members
	projects     *org.Registry
	site         *site // asked directly
	proxied      *site // asked by a proxy that is trusted, and says in X-Forwarded-For and X-Forwarded-Proto for whom
	forwarded    *site // the same with Forwarded
	halt         context.CancelFunc
	running      sync.WaitGroup
}

func openWorld() (w *world, err error) {
	w = &world{clock: newClock(), logs: new(lines), live: new(event.Live), metrics: prometheus.NewRegistry(), secrets: &secrets{}}
	w.log = slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.spans = tracetest.NewInMemoryExporter()
	w.tracing = trace.NewTracerProvider(trace.WithSyncer(w.spans))
	if w.dir, err = os.MkdirTemp("", "weir-api-"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.halt = cancel
	if err := errors.Join(w.openControl(ctx), w.openEngines(ctx)); err != nil {
		cancel()
		return nil, err
	}
	w.start(ctx)
	w.running.Go(func() { w.loader.Run(ctx) })
	handler, err := api.New(w.config())
	if err != nil {
		return nil, err
	}
	document, err := handler.OpenAPI()
	if err != nil {
		return nil, err
	}
	if w.contract, err = apitest.Load(document); err != nil {
		return nil, err
	}
	w.site = w.serve(handler, nil)
	if w.proxied, err = w.behind(proxy.XForwardedFor); err != nil {
		return nil, err
	}
	w.forwarded, err = w.behind(proxy.Forwarded)
	return w, err
}

// openControl opens what is about who may do what.
func (w *world) openControl(ctx context.Context, adjust ...func(*keyring.Config)) (err error) {
	if w.store, err = openStore(ctx, w.dir); err != nil {
		return err
	}
	if w.organization, _, _, err = org.Setup(ctx, w.store, org.FirstProject(), w.clock.Now, newSuffix); err != nil {
		return err
	}
	master, _, err := vault.NewKey(rand.Reader)
	if err != nil {
		return err
	}
	w.vault = vault.New(master)
	cfg := keyring.Config{Now: w.clock.Now, NewID: newAudit, Vault: w.vault, Log: w.log}
	for _, change := range adjust {
		change(&cfg)
	}
	if w.ring, err = keyring.Open(ctx, w.store, cfg); err != nil {
		return err
	}
	if w.issuer, err = token.Open(ctx, w.store.Tokens(), token.Config{Now: w.clock.Now, URL: issuerURL, Vault: cfg.Vault, Log: w.log}); err != nil {
		return err
	}
	w.apps = app.New(app.Config{Store: w.store.Apps(), Flow: w.store.Apps(), Ring: w.ring, Now: w.clock.Now, NewID: newAudit, Resources: w.issuer.Resources(), Log: w.log})
	if w.ledger, err = ledger.New(w.store, ledger.Config{Now: w.clock.Now, Log: w.log, Writer: rand.Text()}); err != nil {
		return err
	}
	if w.limits, err = openLimits(ctx, w.store.Counters(), w.clock.Now, w.log); err != nil {
		return err
	}
	if w.recordings, err = openRecordings(w, 1<<30); err != nil {
		return err
	}
	if w.rejected, err = rejected.Open(rejected.Config{Dir: filepath.Join(w.dir, "rejected"), Bytes: 16 << 20, Now: w.clock.Now, Log: w.log, Read: compat.ReadAgain}); err != nil {
		return err
	}
	w.workflows = openWorkflows(w)
	w.gate = gate.New(w.ring, w.issuer, w.limits, w.ledger, w.clock.Now, newDecision)
	w.projects = org.NewRegistry(org.ProjectsConfig{Store: w.store, Live: w.ring, Now: w.clock.Now, NewID: newSuffix, NewAudit: newAudit, Log: w.log})
	w.members = org.NewMembers(org.PeopleConfig{
		People: w.store, Invitations: w.store, Sessions: w.store, Keys: w.ring, Projects: w.projects.Of, EndToken: w.endToken,
		Now: w.clock.Now, NewID: newSuffix, NewAudit: newAudit, Cost: org.Cost{Time: 1, Memory: 64}, Log: w.log,
	})
	return nil
}

func (w *world) endToken(ctx context.Context, client access.Lookup, id string, ends time.Time) error {
	return w.issuer.Revoke(ctx, token.Token{Client: client, ID: id, Bounds: access.Bounds{ExpiresAt: ends}})
}

// openEngines opens what events are kept in.
func (w *world) openEngines(ctx context.Context) (err error) {
	if w.journal, err = openJournal(w.dir, w.log, nil); err != nil {
		return err
	}
	if w.warehouse, err = openWarehouse(ctx, w.dir, w.clock.Now, w.log); err != nil {
		return err
	}
	w.loader = event.NewLoader(event.LoaderConfig{Journal: w.journal, Warehouse: w.warehouse, Gather: 20 * time.Millisecond, Log: w.log})
	return nil
}

// start runs what works in the background of the control data.
func (w *world) start(ctx context.Context) {
	w.runs = query.NewRuns(query.RunsConfig{Store: w.store, Now: w.clock.Now, Log: w.log, Stopping: ctx})
	w.jobs = job.New(job.Config{
		Store: w.store, Dir: filepath.Join(w.dir, "jobs"), Charges: w.gate, Stands: job.Standing(w.ring, w.clock.Now), Now: w.clock.Now, NewID: newSuffix, Log: w.log,
	})
	w.datasets = dataset.New(dataset.Config{Store: w.store, Records: w.warehouse, Jobs: w.jobs, Live: new(dataset.Live), Now: w.clock.Now, NewID: newSuffix,
		Statements: lateStatements{w},
		Forget:     func(project, environment string) { w.questions.Load().Forget(project, environment) },
		Deleted: func(ctx context.Context, space event.Space, uid string) error {
			w.runs.ForgetDatasets(space.Project, space.Environment)
			_, err := w.exports.ForgetDataset(ctx, space.Project, space.Environment, uid)
			return err
		}})
	w.jobs.Handle(dataset.IngestKind, w.datasets.Ingest)
	w.jobs.Handle(dataset.UpdateKind, w.datasets.Rebuild)
	w.exports = openExports(w)
	w.jobs.Handle(export.Kind, w.exports.Work)
	w.jobs.Price(dataset.IngestKind, dataset.LoadPrice())
	w.jobs.Price(export.Kind, export.Price())
	w.running.Go(func() { w.exports.Run(ctx) })
	w.deletions = deletion.New(deletion.Config{
		Warehouse: w.warehouse, Journal: w.journal, Loader: w.loader, Control: w.store, Jobs: w.jobs, Derive: w.vault.Derive, Known: w.ring.Knows,
		Now: w.clock.Now, NewID: newSuffix, NewAudit: newAudit, Log: w.log,
		Parts: []deletion.Forgetter{{Name: "recordings", Forget: w.recordings.Forget, Count: w.recordings.Count}},
	})
	w.running.Go(func() { _ = w.jobs.Run(ctx) })
	w.running.Go(func() { _ = w.runs.Run(ctx) })
	w.running.Go(func() { _ = w.ledger.Run(ctx) })
	w.running.Go(func() { w.limits.Run(ctx) })
}

// issuerURL is what tokens are from, and where clients see the server.
const issuerURL = "https://weir.example.com"

func newDecision() string { return "dec_" + rand.Text()[:20] }

func newAudit() string { return "aud_" + rand.Text()[:20] }

// config is the API over the world's parts, with metrics of its own.
func (w *world) config() api.Config {
	questions := query.New(query.Config{Engine: w.warehouse, Now: w.clock.Now, TempDir: w.dir, Scope: query.Seen(w.vault.Derive), Datasets: w.datasets.Relations})
	w.questions.CompareAndSwap(nil, questions)
	return api.Config{
		Gate: w.gate, Keys: w.ring, Tokens: w.issuer, Apps: w.apps, Recordings: w.recordings, Rejected: w.rejected, Members: w.members, Projects: w.projects, Ledger: w.ledger, Counts: w.limits, Audit: audit.New(w.store, newAudit), Live: w.live,
		Workflows: w.workflows,
		Events:    event.New(event.Config{Journal: w.journal, Loader: w.loader, Live: w.live, Random: rand.Reader, SyncLimit: time.Minute}),
		Query:     questions, Metrics: saved.New(saved.Config{Store: w.store, Query: query.Noted{Service: questions, Runs: w.runs}, Now: w.clock.Now, NewID: newAudit}), Runs: w.runs,
		Datasets: w.datasets, Jobs: w.jobs, Exports: w.exports, Deletions: w.deletions,
		Parts: []api.Part{
			{Name: "loader", Ready: func(context.Context) error { return w.loader.Fault() }},
			{Name: "warehouse", Ready: w.warehouse.Ready},
		},
		Registry: w.metrics, Tracer: w.tracing.Tracer("weir"), Now: w.clock.Now, NewID: func() string { return "req_" + rand.Text()[:20] }, Log: w.log,
		Version: "test", Stopping: context.Background(),
	}
}

// apart is a world of a test's own as far as time and who may do what are concerned: there the clock can be moved by
// days. What events are kept in is shared.
func (w *world) apart(t testing.TB, adjust ...func(*keyring.Config)) *world {
	t.Helper()
	own := &world{
		dir: t.TempDir(), clock: newClock(), logs: w.logs, log: w.log, journal: w.journal, warehouse: w.warehouse, loader: w.loader, live: w.live,
		tracing: w.tracing, metrics: prometheus.NewRegistry(), contract: w.contract, secrets: w.secrets,
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := own.openControl(ctx, adjust...); err != nil {
		t.Fatal(err)
	}
	own.start(ctx)
	handler, err := api.New(own.config())
	if err != nil {
		t.Fatal(err)
	}
	own.site = own.serve(handler, nil)
	if own.proxied, err = own.behind(proxy.XForwardedFor); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		own.site.server.Close()
		own.proxied.server.Close()
		cancel()
		own.running.Wait()
		if err := own.closeControl(); err != nil {
			t.Error(err)
		}
	})
	return own
}

// behind is the API as it is behind a proxy on this machine.
func (w *world) behind(header proxy.Header) (*site, error) {
	cfg := w.config()
	cfg.Registry = prometheus.NewRegistry()
	cfg.Proxy = trusting(header)
	handler, err := api.New(cfg)
	if err != nil {
		return nil, err
	}
	return w.serve(handler, nil), nil
}

// trusting takes everybody for a proxy that is trusted.
func trusting(header proxy.Header) *proxy.Resolver {
	return proxy.New(proxy.Config{Trusted: []netip.Prefix{netip.MustParsePrefix(crowdNetwork)}, Header: header})
}

// close stops everything, the servers first.
func (w *world) close() error {
	for _, s := range [...]*site{w.site, w.proxied, w.forwarded} {
		s.server.Close()
	}
	w.halt()
	w.running.Wait()
	return errors.Join(w.tracing.Shutdown(context.Background()), w.warehouse.Close(), w.journal.Close(), w.closeControl(), os.RemoveAll(w.dir))
}

func (w *world) closeControl() error {
	return errors.Join(w.limits.Close(context.Background()), w.store.Close())
}

// site is the API on a port of its own.
type site struct {
	server  *httptest.Server
	address string // host and port
}

// serve puts the API on a port, under the contract and with the bounds of the program's own server.
func (w *world) serve(h http.Handler, adjust func(*http.Server)) *site {
	server := httptest.NewUnstartedServer(w.contract.Wrap(h, w.secrets.learn, w.secrets.look))
	server.Config.ReadHeaderTimeout, server.Config.ReadTimeout, server.Config.MaxHeaderBytes = 10*time.Second, time.Minute, 32<<10
	server.Config.ErrorLog = slog.NewLogLogger(w.log.Handler(), slog.LevelDebug)
	if adjust != nil {
		adjust(server.Config)
	}
	address := server.Listener.Addr().String()
	server.Listener = &crowd{Listener: server.Listener}
	server.Start()
	return &site{server, address}
}

// crowd is a listener whose every connection comes from an address of its own in 198.18.0.0/15: else all tests together
// would be one network that fails to authenticate too often.
type crowd struct {
	net.Listener
	people atomic.Uint32
}

// Accept waits for the next connection.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	n := c.people.Add(1)
	return stranger{conn.(*net.TCPConn), &net.TCPAddr{IP: net.IPv4(198, 18+byte(n>>16)&1, byte(n>>8), byte(n)), Port: 4711}}, nil
}

// crowdNetwork is where everybody comes from.
const crowdNetwork = "198.18.0.0/15"

// stranger is a connection from somewhere.
type stranger struct {
	*net.TCPConn

	from net.Addr
}

// RemoteAddr is where it comes from.
func (s stranger) RemoteAddr() net.Addr { return s.from }

// world gives the shared world.
func open(t testing.TB) *world {
	t.Helper()
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// variant is a second API over the same parts, with other settings.
func (w *world) variant(t testing.TB, change func(*api.Config), adjust func(*http.Server)) *site {
	t.Helper()
	cfg := w.config()
	cfg.Registry = prometheus.NewRegistry()
	change(&cfg)
	handler, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := w.serve(handler, adjust)
	t.Cleanup(s.server.Close)
	return s
}

// secrets are all keys that were ever made, to be looked for where they must not be.
type secrets struct {
	mu      sync.Mutex
	texts   []string
	signing []string
	leaked  []string
}

func (s *secrets) add(text access.Text) madeKey {
	plain := text.Reveal()
	parsed, err := access.ParseKey(plain)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, plain)
	return madeKey{text: plain, id: parsed.Lookup.ID()}
}

// addSigning takes note of a signing secret, which is one more that must be nowhere.
func (s *secrets) addSigning(secret signature.Secret) signature.Secret {
	if !secret.Empty() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.signing = append(s.signing, secret.Reveal())
	}
	return secret
}

// learn takes note of the keys and tokens that the API makes itself.
func (s *secrets) learn(e apitest.Exchange) {
	if e.Status >= 300 {
		return
	}
	switch path := e.Request.URL.Path; {
	case strings.HasPrefix(path, "/v1/keys"):
		for _, text := range wholeKey.FindAllString(string(e.Answered), -1) {
			s.add(access.SecretText(text))
		}
		for _, text := range signingSecret.FindAllString(string(e.Answered), -1) {
			if secret, err := signature.ParseSecret(text); err == nil {
				s.addSigning(secret)
			}
		}
	case strings.HasSuffix(path, "/token") || strings.HasPrefix(path, "/v1/members/sessions"):
		var made struct {
			Text string `json:"access_token"`
		}
		if err := json.Unmarshal(e.Answered, &made); err == nil && made.Text != "" {
			s.addToken(made.Text)
		}
	}
}

// addToken takes note of an access token: its signature must be nowhere.
func (s *secrets) addToken(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signing = append(s.signing, text[strings.LastIndexByte(text, '.')+1:])
}

var signingSecret = regexp.MustCompile(`ss_[0-9A-Za-z_-]{43}`)

var wholeKey = regexp.MustCompile(`(pk|sk|cs)_(live|test)_[0-9A-Za-z]{45}`)

// look searches the bodies and headers of refusals for keys.
func (s *secrets) look(e apitest.Exchange) {
	if e.Status < 400 {
		return
	}
	var header bytes.Buffer
	_ = e.Header.Write(&header)
	if found := s.in(header.String() + string(e.Answered)); found != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leaked = append(s.leaked, fmt.Sprintf("%s %s %d: %s", e.Request.Method, e.Request.URL.Path, e.Status, found))
	}
}

// in finds a key, or the secret part of one, in a text.
func (s *secrets) in(text string) string {
	if whole := wholeKey.FindString(text); whole != "" {
		return whole
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.texts {
		if secret := key[len("pk_live_")+access.LookupLength:][:access.SecretLength]; strings.Contains(text, secret) {
			return key
		}
	}
	for _, secret := range s.signing {
		if strings.Contains(text, secret) {
			return secret
		}
	}
	return ""
}

// clock is a clock that moves a little whenever it is read, and when it is told to. It lies in the future of every real
// one, so that no deadline made from it has passed.
type clock struct{ ticks atomic.Int64 } // microseconds

func newClock() *clock {
	c := &clock{}
	c.ticks.Store(time.Date(2099, 6, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) Now() time.Time { return time.UnixMicro(c.ticks.Add(1)).UTC() }

func (c *clock) Advance(d time.Duration) { c.ticks.Add(d.Microseconds()) }

// lines is a log in memory.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// of lists the log lines about one request.
func (l *lines) of(request string) []string {
	var found []string
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, request) {
			found = append(found, line)
		}
	}
	return found
}

// dial opens a connection to the site, which ends with the test.
func (s *site) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call sends a request and reads the whole answer. headers are names and values in turn.
func (s *site) call(t testing.TB, method, path string, body io.Reader, headers ...string) (*http.Response, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		q.Header.Add(headers[i], headers[i+1])
	}
	answer, err := s.send(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// send sends a request over a connection of its own.
func (s *site) send(q *http.Request) (*http.Response, error) {
	transport := &http.Transport{DisableCompression: true}
	answer, err := transport.RoundTrip(q)
	if err == nil {
		answer.Body = lastOf{answer.Body, transport}
	}
	return answer, err
}

// lastOf is the body of the only answer that comes over a transport.
type lastOf struct {
	io.ReadCloser
	transport *http.Transport
}

// Close closes the connection too.
func (l lastOf) Close() error {
	defer l.transport.CloseIdleConnections()
	return l.ReadCloser.Close()
}

// openExports opens exports over the world's parts.
func openExports(w *world) *export.Service {
	return export.New(export.Config{
		Dir: filepath.Join(w.dir, "exports"), Jobs: w.jobs, Rows: query.New(query.Config{Engine: w.warehouse, Now: w.clock.Now}), Datasets: w.datasets,
		Keys: w.ring, Now: w.clock.Now, Log: w.log, Sight: query.Sight(w.vault.Derive), Derive: w.vault.Derive, Keep: 48 * time.Hour,
	})
}

// lateStatements are those of the service that there will be.
type lateStatements struct{ w *world }

func (l lateStatements) now() query.Statements {
	return query.Statements{Service: l.w.questions.Load()}
}

func (l lateStatements) Named(ctx context.Context, sql string) ([]string, error) {
	return l.now().Named(ctx, sql)
}

func (l lateStatements) Columns(ctx context.Context, permit gate.Permit, sql string) ([]view.Column, error) {
	return l.now().Columns(ctx, permit, sql)
}

func (l lateStatements) Rows(
	ctx context.Context, permit gate.Permit, sql string, named map[string]jsontext.Value, most int64, each func([]jsontext.Value) error,
) (int64, error) {
	return l.now().Rows(ctx, permit, sql, named, most, each)
}
