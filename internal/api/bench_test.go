package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
)

// instant is a journal that takes everything and keeps nothing: what is measured is the way to it.
type instant struct{ event.Journal }

func (instant) Append(context.Context, [][]byte) (event.Position, error) { return 1, nil }

// bare is a response writer that costs nothing.
type bare struct {
	header http.Header
	status int
}

func (b *bare) Header() http.Header         { return b.header }
func (b *bare) WriteHeader(status int)      { b.status = status }
func (b *bare) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkTrack is the cost of one event through the whole frame, without the network and the disk.
func BenchmarkTrack(b *testing.B) {
	world := gatetest.New(b)
	key := world.Key(access.Public, access.EventsWrite)
	a, err := api.New(api.Config{
		Gate: world.Gate, Events: event.New(event.Config{Journal: instant{}, Live: new(event.Live), Random: rand.Reader}),
		Registry: prometheus.NewRegistry(), Now: time.Now, NewID: rand.Text, Log: slog.New(slog.DiscardHandler),
		Stopping: context.Background(),
	})
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"environment":"production","event":"Button Clicked","distinct_id":"user-8123","anonymous_id":null,` +
		`"session_id":"session-0191b3a2","device_id":"device-77aa","timestamp":"2026-11-22T03:38:30.319Z",` +
		`"properties":{"page":"pricing","plan":"pro","$lib":"bench","$url":"https://example.com/pricing","value":12.5}}`)
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequest(http.MethodPost, "/track", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.RemoteAddr = "192.0.2.1:4711"
		r.Header["X-Api-Key"] = []string{key}
		r.Header["Content-Type"] = []string{"application/json"}
		w := &bare{header: http.Header{}}
		a.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatalf("answer %d", w.status)
		}
	}
}
