package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
)

// instant is a journal that takes everything and keeps nothing: what is measured is the way to it.
type instant struct{ event.Journal }

func (instant) Append(context.Context, [][]byte) (event.Position, error) { return 1, nil }

// silent is a ledger that keeps nothing.
type silent struct{}

func (silent) Deny(gate.Denial) {}
func (silent) Allow(gate.Use)   {}

// bare is a response writer that costs nothing.
type bare struct {
	header http.Header
	status int
}

func (b *bare) Header() http.Header         { return b.header }
func (b *bare) WriteHeader(status int)      { b.status = status }
func (b *bare) Write(p []byte) (int, error) { return len(p), nil }

const benchEvent = `{"environment":"production","event":"Button Clicked","distinct_id":"user-8123","anonymous_id":null,` +
	`"session_id":"session-0191b3a2","device_id":"device-77aa","timestamp":"2026-11-22T03:38:30.319Z",` +
	`"properties":{"page":"pricing","plan":"pro","$lib":"bench","$url":"https://example.com/pricing","value":12.5}}`

// BenchmarkTrack is the cost of one event through the whole frame, without the network and the disk: with a key that is
// not narrowed, with one that is limited, and with one that is narrowed in every way as well.
func BenchmarkTrack(b *testing.B) {
	limited := access.Bounds{Limits: access.Limits{Rate: access.Rate{PerSecond: 1_000_000, Burst: 1_000_000_000_000}, Daily: access.Quota{Most: 1_000_000_000_000}}}
	restricted := limited
	restricted.Environments, restricted.Events = []string{"production"}, []string{"Page*", "Button *"}
	restricted.Networks = []access.Network{{Prefix: netip.MustParsePrefix("203.0.113.0/24")}, {Prefix: netip.MustParsePrefix("192.0.2.0/24")}}
	restricted.Domains = []access.Domain{{Host: "example.com", Wild: true}, {Scheme: "https", Host: "www.example.com"}}
	restricted.ExpiresAt = time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)
	b.Run("bare", func(b *testing.B) { benchTrack(b, access.Bounds{}) })
	b.Run("limited", func(b *testing.B) { benchTrack(b, limited) })
	b.Run("restricted", func(b *testing.B) { benchTrack(b, restricted) })
}

func benchTrack(b *testing.B, bounds access.Bounds) {
	world := gatetest.New(b)
	key := world.Mint(access.Key{Kind: access.Public, Scopes: access.EventsWrite, Bounds: bounds})
	kept, err := openStore(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	counter, err := openLimits(b.Context(), kept.Counters(), time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	a, err := api.New(api.Config{
		Gate:   gate.New(world.Keys, nil, counter, silent{}, time.Now, rand.Text),
		Events: event.New(event.Config{Journal: instant{}, Live: new(event.Live), Random: rand.Reader}), Registry: prometheus.NewRegistry(),
		Now: time.Now, NewID: rand.Text, Log: slog.New(slog.DiscardHandler), Stopping: context.Background(),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequest(http.MethodPost, "/track", bytes.NewReader([]byte(benchEvent)))
		if err != nil {
			b.Fatal(err)
		}
		r.RemoteAddr = "192.0.2.1:4711"
		r.Header["X-Api-Key"] = []string{key}
		r.Header["Content-Type"] = []string{"application/json"}
		r.Header["Origin"] = []string{"https://www.example.com"}
		w := &bare{header: http.Header{}}
		a.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatalf("answer %d", w.status)
		}
	}
}
