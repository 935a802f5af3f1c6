package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/workflow"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// hooks is the web as the tests of this package see it: hooks.example.com is there, and this machine may be sent to.
type hooks struct{ *outbound.Client }

// Check knows one name, and asks nobody for it.
func (h hooks) Check(ctx context.Context, url string) (string, error) {
	if strings.HasPrefix(url, "https://hooks.example.com/") {
		return "hooks.example.com:443", nil
	}
	return h.Client.Check(ctx, url)
}

func openWorkflows(w *world) *workflow.Service {
	return workflow.New(workflow.Config{
		Store: w.store.Workflows(), Outbox: w.store.Workflows(), Vault: w.vault, Random: rand.Reader, Jitter: func() float64 { return 0.5 },
		Now: w.clock.Now, NewID: newAudit, Log: w.log, Agent: "weir",
		Web: hooks{outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Now: w.clock.Now})},
	})
}

// Promise: what was delivered can be sent again, with the same id and body, and whoever takes it sees that it is the same.
func TestADeliveryIsSentAgain(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.key("secret live all").text
	came := make(chan string, 2)
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { came <- r.Header.Get("webhook-id") }))
	t.Cleanup(target.Close)
	ctx, stop := context.WithCancel(t.Context())
	service := openWorkflows(w)
	over := make(chan struct{})
	go func() {
		defer close(over)
		service.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-over })
	s := w.variant(t, func(c *api.Config) { c.Workflows = service }, func(*http.Server) {})
	if status, code := s.asks(t, key, "POST", "/v1/workflows", `{"id":"again","environment":"production","url":"`+target.URL+`"}`); status != 201 {
		t.Fatalf("creating: %d %s", status, code)
	}
	_, text := s.call(t, "POST", "/v1/workflows/again/trigger", strings.NewReader(`{}`), "X-API-Key", key)
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		t.Fatal(err)
	}
	first := <-came
	path := "/v1/workflows/again/deliveries/" + made.ID + "/replay"
	status, code := s.asks(t, key, "POST", path, "")
	for status == 409 && t.Context().Err() == nil { // what came of it is being stored
		status, code = s.asks(t, key, "POST", path, "")
	}
	if status != 202 {
		t.Fatalf("sending again: %d %s", status, code)
	}
	if second := <-came; first != made.ID || second != first {
		t.Errorf("%s came, and then %s, of %s", first, second, made.ID)
	}
}
