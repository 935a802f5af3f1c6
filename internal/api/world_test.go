package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/api/apitest"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/org"
	"github.com/weir-analytics/weir/internal/query"
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
	ledger       *ledger.Ledger
	gate         *gate.Gate
	journal      event.Journal
	warehouse    warehouse
	loader       *event.Loader
	live         *event.Live
	spans        *tracetest.InMemoryExporter
	tracing      *trace.TracerProvider
	metrics      *prometheus.Registry
	contract     *apitest.Contract
	secrets      *secrets
	site         *site
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
	if err := w.openParts(ctx); err != nil {
		cancel()
		return nil, err
	}
	w.running.Go(func() { w.loader.Run(ctx) })
	w.running.Go(func() { _ = w.ledger.Run(ctx) })
	handler, err := api.New(w.config())
	if err != nil {
		return nil, err
	}
	if w.contract, err = apitest.Load(handler.OpenAPI()); err != nil {
		return nil, err
	}
	w.site = w.serve(handler, nil)
	return w, nil
}

func (w *world) openParts(ctx context.Context) (err error) {
	if w.store, err = openStore(ctx, w.dir); err != nil {
		return err
	}
	if w.organization, _, _, err = org.Setup(ctx, w.store, org.FirstProject(), w.clock.Now, newSuffix); err != nil {
		return err
	}
	if w.ring, err = keyring.Open(ctx, w.store, keyring.Config{Now: w.clock.Now}); err != nil {
		return err
	}
	if w.ledger, err = ledger.New(w.store, ledger.Config{Now: w.clock.Now, Log: w.log, Writer: rand.Text()}); err != nil {
		return err
	}
	w.gate = gate.New(w.ring, w.ledger, w.clock.Now, func() string { return "dec_" + rand.Text()[:20] })
	if w.journal, err = openJournal(w.dir, w.log, nil); err != nil {
		return err
	}
	if w.warehouse, err = openWarehouse(ctx, w.dir, w.clock.Now, w.log); err != nil {
		return err
	}
	w.loader = event.NewLoader(event.LoaderConfig{Journal: w.journal, Warehouse: w.warehouse, Gather: 20 * time.Millisecond, Log: w.log})
	return nil
}

// config is the API over the world's parts, with metrics of its own.
func (w *world) config() api.Config {
	return api.Config{
		Gate: w.gate, Keys: w.ring, Ledger: w.ledger, Live: w.live,
		Events: event.New(event.Config{Journal: w.journal, Loader: w.loader, Live: w.live, Random: rand.Reader, SyncLimit: time.Minute}),
		Query:  query.New(query.Config{Engine: w.warehouse, Now: w.clock.Now, TempDir: w.dir}),
		Parts: []api.Part{
			{Name: "loader", Ready: func(context.Context) error { return w.loader.Fault() }},
			{Name: "warehouse", Ready: w.warehouse.Ready},
		},
		Registry: w.metrics, Tracer: w.tracing.Tracer("weir"), Now: w.clock.Now, NewID: func() string { return "req_" + rand.Text()[:20] }, Log: w.log,
		Version: "test", Stopping: context.Background(),
	}
}

// close stops everything, the server first.
func (w *world) close() error {
	w.site.server.Close()
	w.halt()
	w.running.Wait()
	return errors.Join(w.tracing.Shutdown(context.Background()), w.warehouse.Close(), w.journal.Close(), w.store.Close(), os.RemoveAll(w.dir))
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
	server.Start()
	return &site{server, server.Listener.Addr().String()}
}

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

// project is a tenant of a test's own: production and staging are live, development is test.
type project struct {
	w    *world
	t    testing.TB
	id   string
	keys map[string]madeKey // by the name a test gave
}

// madeKey is a key and its public name.
type madeKey struct{ text, id string }

func (w *world) project(t testing.TB) *project {
	t.Helper()
	made, err := org.AddProject(t.Context(), w.store, w.organization.ID, org.FirstProject(), w.clock.Now, newSuffix)
	if err != nil {
		t.Fatal(err)
	}
	w.ring.SetProject(made.Project)
	return &project{w: w, t: t, id: made.ID, keys: map[string]madeKey{}}
}

func newSuffix() string { return rand.Text()[:16] }

// key makes a key by its description, such as "secret live events:read sql:run in staging, expired". The scope "all"
// is every scope there is. "operator" is the key of whoever holds the data folder.
func (p *project) key(description string) madeKey {
	p.t.Helper()
	n, end, err := p.parse(description)
	if err != nil {
		p.t.Fatal(err)
	}
	if n.Kind == access.Operator {
		text, err := p.w.ring.Operator(p.id)
		if err != nil {
			p.t.Fatal(err)
		}
		return p.w.secrets.add(text)
	}
	if end == "expired" {
		n.ExpiresAt = p.w.clock.Now().Add(time.Second)
	}
	permit := p.permit(access.WriteKeys)
	record, text, err := p.w.ring.Create(p.t.Context(), permit, n)
	if err != nil {
		p.t.Fatalf("key %q: %v", description, err)
	}
	switch end {
	case "expired":
		p.w.clock.Advance(2 * time.Second)
	case "revoked":
		if _, err := p.w.ring.Revoke(p.t.Context(), permit, record.ID); err != nil {
			p.t.Fatal(err)
		}
	}
	return p.w.secrets.add(text)
}

func (p *project) parse(description string) (n keyring.New, end string, err error) {
	main, end, _ := strings.Cut(description, ", ")
	main, environments, _ := strings.Cut(main, " in ")
	words := strings.Fields(main)
	kinds := map[string]access.Kind{"public": access.Public, "secret": access.Secret, "operator": access.Operator}
	n.Kind = kinds[words[0]]
	if n.Kind == access.Operator {
		return n, "", nil
	}
	n.Environments = strings.Fields(environments)
	mode, ok := access.ParseMode(words[1])
	if n.Mode = mode; !ok || n.Kind == 0 {
		return n, "", fmt.Errorf("a key is KIND MODE SCOPE... in ENVIRONMENT..., expired or revoked; not %q", description)
	}
	for _, word := range words[2:] {
		if word == "all" {
			n.Scopes |= access.AllScopes
			continue
		}
		scope, err := access.ParseScope(word)
		if err != nil {
			return n, "", err
		}
		n.Scopes |= scope
	}
	return n, end, nil
}

// permit is a permit of the project's operator.
func (p *project) permit(action access.Action) gate.Permit {
	p.t.Helper()
	text, err := p.w.ring.Operator(p.id)
	if err != nil {
		p.t.Fatal(err)
	}
	credential := gate.Credential{Key: text, Via: access.InHeader, Address: netip.MustParseAddr("127.0.0.1"), RequestID: "req_test"}
	caller, err := p.w.gate.Identify(p.t.Context(), credential, action)
	if err != nil {
		p.t.Fatal(err)
	}
	permit, err := p.w.gate.Admit(p.t.Context(), caller, access.Attempt{})
	if err != nil {
		p.t.Fatal(err)
	}
	return permit
}

// secrets are all keys that were ever made, to be looked for where they must not be.
type secrets struct {
	mu     sync.Mutex
	texts  []string
	leaked []string
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
	return madeKey{plain, parsed.Lookup.ID()}
}

// learn takes note of the keys that the API makes itself.
func (s *secrets) learn(e apitest.Exchange) {
	if e.Status == http.StatusCreated {
		for _, text := range wholeKey.FindAllString(string(e.Answered), -1) {
			s.add(access.SecretText(text))
		}
	}
}

var wholeKey = regexp.MustCompile(`(pk|sk)_(live|test)_[0-9A-Za-z]{45}`)

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
	answer, err := s.server.Client().Transport.RoundTrip(q)
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
