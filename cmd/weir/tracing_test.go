package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Promise: with a collector configured, each request sends a span that names its route and request id; and neither a
// span nor a log line holds a key, even one that was sent in the query string.
func TestTracesHoldNoKey(t *testing.T) {
	var mu sync.Mutex
	var got bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.Copy(&got, q.Body)
	}))
	t.Cleanup(collector.Close)
	r := install(t).serve("--trace-endpoint", collector.URL+"/v1/traces")
	status, text, err := r.send(t.Context(), r.public, "/track?apiKey="+r.public, eventBody("1", "traced"))
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, text, err)
	}
	if err := r.stop(); err != nil {
		t.Fatalf("the server ended with %v:\n%s", err, r.logs)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"POST /track", "weir.request_id", "http.response.status_code"} {
		if !bytes.Contains(got.Bytes(), []byte(want)) {
			t.Errorf("the spans do not say %q", want)
		}
	}
	for what, where := range map[string][]byte{"spans": got.Bytes(), "log": r.logs.Bytes()} {
		for _, key := range []string{r.public, r.secret, r.public[20:47]} {
			if bytes.Contains(where, []byte(key)) {
				t.Errorf("the %s hold a key", what)
			}
		}
	}
	if !bytes.Contains(r.logs.Bytes(), []byte(`"route":"/track"`)) {
		t.Error("the request has no line in the log")
	}
}
