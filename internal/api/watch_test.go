package api_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query"
)

// endless is an engine whose statements run until they are stopped.
type endless struct{ running chan struct{} }

func (endless) Analyze(context.Context, string) (query.Facts, error) { return query.Facts{}, nil }

func (endless) Describe(context.Context, event.Space, query.Statement) (query.Description, error) {
	return query.Description{}, nil
}

func (e endless) Run(ctx context.Context, _ event.Space, _ query.Statement) (query.Rows, error) {
	e.running <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// tightening is what can become of a key while it is in use, and what the holder is told.
var tightening = map[string]struct {
	happen func(*gatetest.World, string)
	code   problem.Code
}{
	"revoked": {func(w *gatetest.World, key string) {
		w.Keys.Change(key, func(k *access.Key) { k.RevokedAt = w.Clock.Now() })
	}, problem.KeyNotAccepted},
	"narrowed": {func(w *gatetest.World, key string) {
		w.Keys.Change(key, func(k *access.Key) { k.Environments = []string{"staging"} })
	}, problem.EnvironmentNotAllowed},
	"quarantined": {func(w *gatetest.World, key string) {
		w.Keys.Change(key, func(k *access.Key) { k.State = access.Quarantined })
	}, problem.KeyQuarantined},
	"expired": {func(w *gatetest.World, _ string) { w.Clock.Advance(time.Hour) }, problem.KeyNotAccepted},
	"replaced": {func(w *gatetest.World, key string) {
		w.Keys.Edit(key, func(e *gate.Entry) {
			e.Former, e.Generation = append(e.Former, gate.Former{Digest: e.Digest, Generation: e.Generation, Until: w.Clock.Now()}), 2
			e.Digest = access.Digest{}
		})
	}, problem.KeyNotAccepted},
}

// Promise: a stream that is followed and a question that runs end within a second after their key is revoked, narrowed,
// put into quarantine, given another secret, or has expired. The question is told why, and the denial is recorded once.
func TestLongAnswersEndWithTheirKey(t *testing.T) {
	t.Parallel()
	for name, c := range tightening {
		for _, path := range []string{"/v1/query", "/v1/events/stream"} {
			t.Run(name+path, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { endsWithItsKey(t, path, c.happen, c.code) })
			})
		}
	}
}

func endsWithItsKey(t *testing.T, path string, happen func(*gatetest.World, string), code problem.Code) {
	world := gatetest.New(t)
	key := world.Mint(access.Key{Scopes: access.AllScopes, Bounds: access.Bounds{ExpiresAt: world.Clock.Now().Add(time.Hour)}})
	engine, live := endless{make(chan struct{}, 1)}, new(event.Live)
	a, err := api.New(api.Config{
		Gate: world.Gate, Live: live, Query: query.New(query.Config{Engine: engine, Now: world.Clock.Now, Time: time.Hour}),
		Runs:     query.NewRuns(query.RunsConfig{Now: world.Clock.Now, Log: slog.New(slog.DiscardHandler)}),
		Registry: prometheus.NewRegistry(), Now: world.Clock.Now, NewID: func() string { return "req_1" }, Log: slog.New(slog.DiscardHandler), Stopping: t.Context(),
	})
	if err != nil {
		t.Fatal(err)
	}
	method, body := http.MethodGet, ""
	if path == "/v1/query" {
		method, body = http.MethodPost, `{"sql":"SELECT 1"}`
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("X-API-Key", key)
	w := httptest.NewRecorder()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.ServeHTTP(w, r)
	}()
	<-time.After(time.Minute)
	synctest.Wait()
	select {
	case <-ended:
		t.Fatalf("it ended by itself: %d %s", w.Code, w.Body)
	default:
	}
	world.Ledger.Take()
	happen(world, key)
	select {
	case <-ended:
	case <-time.After(time.Second):
		t.Fatal("it goes on after a second")
	}
	if path == "/v1/query" {
		var got struct{ Code problem.Code }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Code != code || w.Code != code.Row().Status {
			t.Errorf("answered %d %s", w.Code, w.Body)
		}
	}
	if denials, _ := world.Ledger.Take(); len(denials) != 1 || denials[0].RequestID != "req_1" {
		t.Errorf("recorded %+v", denials)
	}
	if n := live.Followers(); n != 0 {
		t.Errorf("%d still follow", n)
	}
}

// Promise: so it is over a connection as well, with the real parts: the stream's end is orderly, and what is sent to the
// environment after the revocation is not in it.
func TestFollowersAreRevoked(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	victim, pub := p.key("secret live events:read sql:run"), p.key("public live")
	begun := make(chan struct{}, 1)
	s := w.variant(t, func(cfg *api.Config) {
		cfg.Query = query.New(query.Config{Engine: begins{w.warehouse, begun}, Now: w.clock.Now, TempDir: w.dir})
	}, nil)
	f := s.follow(t, victim.text, "")
	send := func(name string) {
		if answer, body := w.site.call(t, "POST", "/track", strings.NewReader(`{"event":"`+name+`"}`), "X-API-Key", pub.text); answer.StatusCode != 200 {
			t.Fatalf("%d %s", answer.StatusCode, body)
		}
	}
	send("before")
	if got := f.next(); !strings.Contains(got, `"event":"before"`) {
		t.Fatalf("the stream had %q", got)
	}
	var asked sync.WaitGroup
	asked.Go(func() {
		const long = `{"sql":"SELECT count(*) FROM range(100000000000) a WHERE a.range % 7 = 1"}`
		if answer, body := s.call(t, "POST", "/v1/query", strings.NewReader(long), "X-API-Key", victim.text); codeOf(body) != problem.KeyNotAccepted {
			t.Errorf("the question was answered %d %s", answer.StatusCode, body)
		}
	})
	<-begun
	p.end(victim, "revoked")
	if got := f.next(); got != "" {
		t.Errorf("after the revocation came %s", got)
	}
	asked.Wait()
	send("after")
}

// begins is an engine that tells when it begins to run something.
type begins struct {
	query.Engine
	begun chan struct{}
}

func (b begins) Run(ctx context.Context, space event.Space, s query.Statement) (query.Rows, error) {
	b.begun <- struct{}{}
	return b.Engine.Run(ctx, space, s)
}

// slow is a response writer whose reader takes nothing: its writes wait for the deadline that is set.
type slow struct {
	header   http.Header
	deadline chan time.Time
}

func (s *slow) Header() http.Header                 { return s.header }
func (s *slow) WriteHeader(int)                     {}
func (s *slow) Flush()                              {}
func (s *slow) SetWriteDeadline(at time.Time) error { s.deadline <- at; return nil }
func (s *slow) Write(p []byte) (int, error) {
	for at := range s.deadline {
		if at.Year() < 1990 {
			return 0, context.DeadlineExceeded
		}
	}
	return len(p), nil
}

// Promise: an answer that its reader is slow to take is broken off as well.
func TestSlowReadersAreBrokenOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		world := gatetest.New(t)
		key := world.Mint(access.Key{Scopes: access.AllScopes})
		a, err := api.New(api.Config{
			Gate: world.Gate, Live: new(event.Live), Registry: prometheus.NewRegistry(), Now: world.Clock.Now, NewID: func() string { return "req_1" },
			Log: slog.New(slog.DiscardHandler), Stopping: t.Context(),
		})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events/stream", nil)
		r.Header.Set("X-API-Key", key)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			a.ServeHTTP(&slow{http.Header{}, make(chan time.Time, 8)}, r)
		}()
		<-time.After(time.Minute)
		world.Keys.Change(key, func(k *access.Key) { k.RevokedAt = world.Clock.Now() })
		select {
		case <-ended:
		case <-time.After(time.Second):
			t.Fatal("it goes on after a second")
		}
	})
}
