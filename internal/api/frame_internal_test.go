package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: an answer that a panic cuts short does not look complete: its connection is broken off, and the request has
// its line in the log all the same. One that has not begun becomes a problem.
func TestPanicBeforeAndAfterTheFirstByte(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a, err := New(Config{
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(&log, nil)), Stopping: context.Background(),
		Now: func() time.Time { return time.Unix(4102444800, 0) }, NewID: func() string { return "req_1" },
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, begin := range map[string]bool{"/before": false, "/after": true} {
		a.mux.Handle(path, &site{rows: map[string]*row{http.MethodGet: {method: http.MethodGet, path: path, action: access.Anyone, serve: func(rq *request) error {
			if begin {
				_, _ = rq.reply.Write([]byte("half of"))
				_ = http.NewResponseController(&rq.reply).Flush()
			}
			panic("boom")
		}}}})
	}
	ended := make(chan struct{}, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		a.ServeHTTP(w, r)
	}))
	defer server.Close()
	for path, complete := range map[string]bool{"/before": true, "/after": false} {
		log.Reset()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if (err == nil) != complete || complete && (answer.StatusCode != http.StatusInternalServerError || !strings.Contains(string(body), `"code":"internal"`)) {
			t.Errorf("%s: %d %q %v", path, answer.StatusCode, body, err)
		}
		<-ended
		if lines := log.String(); !strings.Contains(lines, "panic while serving") || !strings.Contains(lines, "msg=request request_id=req_1") || !strings.Contains(lines, "route="+path) {
			t.Errorf("%s: logged %s", path, lines)
		}
	}
}

// Promise: a row that is not complete does not start: without an action, without one of its steps, twice at one place,
// or open and yet for holders of a key.
func TestIncompleteRowsDoNotStart(t *testing.T) {
	t.Parallel()
	whole := endpoint[nothing, nothing]{
		Method: "GET", Path: "/new", Action: access.HoldKey, Read: func(*request) (nothing, error) { return nothing{}, nil }, Wants: wantsNothing[nothing],
		Do: nil,
	}
	for name, start := range map[string]func(*API){
		"no operation":     func(a *API) { mount(a, whole) },
		"no action":        func(a *API) { a.add(row{method: "GET", path: "/new"}) },
		"open to holders":  func(a *API) { mountOpen(a, open{Method: "GET", Path: "/new", Action: access.HoldKey}) },
		"keyed for anyone": func(a *API) { e := whole; e.Action = access.Anyone; mount(a, e) },
		"two at one place": func(a *API) {
			a.add(row{method: "GET", path: "/healthz", action: access.Anyone})
			a.open()
		},
	} {
		a := &API{mux: http.NewServeMux(), rows: []row{{method: "GET", path: "/healthz", action: access.Anyone}}}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the row was mounted", name)
				}
			}()
			start(a)
		}()
	}
}
