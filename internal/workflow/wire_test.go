package workflow_test

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/workflow"
	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// Promise: over a real connection with TLS, a receiver gets one POST of JSON that verifies by the secret that was shown, and
// what it answers is what is shown of the delivery.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	type got struct {
		header http.Header
		method string
		body   []byte
	}
	came := make(chan got, 8)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		came <- got{r.Header.Clone(), r.Method, body}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks")
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	start := time.Unix(1_780_000_000, 0)
	b := newBench(t, func() time.Time { return start })
	defer func() { _ = b.store.Close() }()
	b.real = outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: roots, Now: b.now})
	b.restart()
	w, secret := b.create(workflow.Wanted{ID: "w", URL: server.URL + "/hook?a=b", Template: jsontext.Value(`{"é":"{{x}} {{$workflow_id}}"}`)})
	if place, _, _ := strings.Cut(w.Target, "#"); place != server.Listener.Addr().String() || strings.Contains(w.Target, "hook") {
		t.Errorf("its target is %s", w.Target)
	}
	defer b.run()()
	d := b.trigger("w", "x", `"ü\n"`)
	var one got
	select {
	case one = <-came:
	case <-t.Context().Done():
		t.Fatal("nothing came")
	}
	h := one.header
	if one.method != "POST" || string(one.body) != `{"é":"ü\n w"}` || h.Get("Content-Type") != "application/json" || h.Get("webhook-id") != d.ID || h.Get("User-Agent") != "weir/test" {
		t.Errorf("%s %q with %v", one.method, one.body, h)
	}
	if !verified(secret.Reveal(), h.Get("webhook-id"), h.Get("webhook-timestamp"), one.body, h.Get("webhook-signature")) || h.Get("webhook-timestamp") != "1780000000" {
		t.Errorf("the signature is not right: %v", h)
	}
	b.ends(d.ID)
	if end := b.delivery("w", d.ID); end.State != workflow.Delivered || end.Status != http.StatusAccepted || end.Excerpt != "thanks" || len(came) != 0 {
		t.Errorf("it ended as %+v", end)
	}
}

// ends waits until a delivery has ended.
func (b *bench) ends(id string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s := b.service.Stats(); s.Delivered+s.Failed == 0; s = b.service.Stats() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("%s has not ended: %+v", id, s)
		}
	}
}

// Promise: triggers at once by many, with few idempotency keys, make one delivery of each key, and each is sent.
func TestTriggersAtOnce(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_780_000_000, 0)
	b := newBench(t, func() time.Time { return start })
	defer func() { _ = b.store.Close() }()
	b.create(workflow.Wanted{ID: "w", URL: "https://a.example/"})
	permit := b.permit(triggering)
	var wait sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]map[string]bool{}
	for i := range 40 {
		wait.Go(func() {
			key := strings.Repeat("k", i%4+1)
			d, err := b.service.Trigger(t.Context(), permit, workflow.Trigger{Workflow: "w", Key: key, Variables: values("n", "1")}, nil)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ids[key] == nil {
				ids[key] = map[string]bool{}
			}
			ids[key][d.ID] = true
		})
	}
	wait.Wait()
	if len(ids) != 4 {
		t.Errorf("there are %v", ids)
	}
	for key, of := range ids {
		if len(of) != 1 {
			t.Errorf("%s made %v", key, of)
		}
	}
	if s := b.service.Stats(); s.Triggered != 4 {
		t.Errorf("counted are %+v", s)
	}
}
