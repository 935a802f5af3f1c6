package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/weir-analytics/weir/internal/api"
)

// between stands between a client and a server: it breaks off the first downloads after some bytes, says of exports that
// they are running still, and writes down what comes.
type between struct {
	mu     sync.Mutex
	cuts   int  // downloads that are broken off yet
	slow   bool // exports never seem to end
	seen   []string
	looked chan struct{} // closed at the first look at an export
	to     *httputil.ReverseProxy
}

// proxied is an address from which requests come to a server by way of what stands between.
func (b *between) proxied(t *testing.T, server string) string {
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	b.looked, b.to = make(chan struct{}), httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(b)
	t.Cleanup(front.Close)
	return front.URL
}

func (b *between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, look := strings.HasSuffix(r.URL.Path, "/file"), r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/exports/")
	b.mu.Lock()
	b.seen = append(b.seen, strings.TrimSpace(r.Method+" "+r.Header.Get("Range")))
	cut, slow := file && b.cuts > 0, look && !file && b.slow
	if cut {
		b.cuts--
	}
	b.mu.Unlock()
	switch {
	case cut:
		gathered := httptest.NewRecorder()
		b.to.ServeHTTP(gathered, r)
		maps.Copy(w.Header(), gathered.Header())
		w.WriteHeader(gathered.Code)
		_, _ = w.Write(gathered.Body.Bytes()[:1000]) // and no more of it, though its length was told
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case slow:
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"id":%q,"status":"running"}`, strings.TrimPrefix(r.URL.Path, "/v1/exports/"))
		b.mu.Lock()
		defer b.mu.Unlock()
		select {
		case <-b.looked:
		default:
			close(b.looked)
		}
	default:
		b.to.ServeHTTP(w, r)
	}
}

// requests are what came, of those with a prefix.
func (b *between) requests(prefix string) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.seen {
		if strings.HasPrefix(s, prefix) {
			all = append(all, s)
		}
	}
	return all
}

// Promise: a download that breaks off goes on where it was, in a file and on standard output; an interrupt ends the export
// that is waited for; a wrong command line is status 2.
func TestExport(t *testing.T) {
	in := install(t)
	in.unlimit()
	r := in.serve()
	items := make([]any, 200)
	for i := range items {
		items[i] = map[string]any{"event": "Viewed", "event_id": fmt.Sprint("e", i), "distinct_id": "u", "properties": map[string]any{"n": i}}
	}
	if status, text, err := r.send(t.Context(), r.public, "/track?sync=true", items); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s (%v)", status, text, err)
	}
	export := func(at string, more ...string) *exec.Cmd {
		c := r.weir(append([]string{"export", "events", "--url", at}, more...)...)
		c.Env = append(c.Env, "WEIR_KEY="+r.secret)
		return c
	}
	want, err := export(r.url).Output()
	if err != nil || bytes.Count(want, []byte("\n")) != len(items) {
		t.Fatalf("%d lines (%v)", bytes.Count(want, []byte("\n")), err)
	}
	path := filepath.Join(t.TempDir(), "events.ndjson")
	for _, more := range [][]string{nil, {"-o", path}} {
		b := &between{cuts: 3}
		c := export(b.proxied(t, r.url), more...)
		said := new(bytes.Buffer)
		c.Stderr = said
		got, err := c.Output()
		if more != nil {
			got, _ = os.ReadFile(path)
		}
		if err != nil || !sameLines(got, want) {
			t.Errorf("%v: %v\n%s\n%d bytes of %d", more, err, said, len(got), len(want))
		}
		if ranges := b.requests("GET bytes="); strings.Join(ranges, ", ") != "GET bytes=1000-, GET bytes=2000-, GET bytes=3000-" {
			t.Errorf("%v: parts %v\n%s", more, ranges, said)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v (%v)", info, err)
	}
	b := &between{slow: true}
	c := export(b.proxied(t, r.url))
	said := new(bytes.Buffer)
	c.Stderr = said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-b.looked
	_ = c.Process.Signal(syscall.SIGINT)
	if err := c.Wait(); c.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "stopped, and the export job_") || len(b.requests("DELETE")) != 1 {
		t.Errorf("%v: %s %v", err, said, b.requests(""))
	}
	if young := r.youngestExport(); young.Status != "cancelled" && young.Status != "deleted" {
		t.Errorf("the export is %s", young.Status)
	}
	if c := export(r.url, "--where", "event"); c.Run() == nil || c.ProcessState.ExitCode() != 2 {
		t.Errorf("a wrong condition ends with %d", c.ProcessState.ExitCode())
	}
}

// sameLines reports whether two texts have the same lines, in any order: that of rows is not promised.
func sameLines(a, b []byte) bool {
	count := map[string]int{}
	for line := range bytes.Lines(a) {
		count[string(line)]++
	}
	for line := range bytes.Lines(b) {
		count[string(line)]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// youngestExport is the export that was asked for last.
func (r *running) youngestExport() api.Export {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+"/v1/exports", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("X-API-Key", r.secret)
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var page api.ExportPage
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil || len(page.Data) == 0 {
		r.t.Fatal(page, err)
	}
	return page.Data[0]
}
