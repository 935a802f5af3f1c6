package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
)

// Promise: a page of another origin can send with fetch, and with navigator.sendBeacon as it is left, which asks for
// credentials and an exact origin; both events arrive.
func TestBrowserSendsFromAnotherOrigin(t *testing.T) {
	r := install(t).serve()
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if q.URL.Path == "/" {
			_, _ = fmt.Fprintf(w, page, r.url, r.public)
		}
	}))
	t.Cleanup(pages.Close)
	browse(t, pages.URL+"/")
	await(t, "the events of fetch and sendBeacon", func() bool {
		rows := r.ask("SELECT count(*) AS n FROM events WHERE event IN ('by fetch', 'by beacon')")
		return rows[0][0].(float64) == 2
	})
}

// browse opens a page in a browser without a window, which is ended with the test.
func browse(t *testing.T, url string) {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: scripts/test-deps installs it")
	}
	// The profile is a folder of its own, that the browser may still write to while it is ended.
	profile, err := os.MkdirTemp("", "weir-browser") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir="+profile, url)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = os.RemoveAll(profile)
	})
}

// page sends one event when it is opened, and one as it is left, which it is as soon as the first has been answered.
const page = `<!doctype html><title>page</title><script>
const url = '%s/track?apiKey=%s';
const body = name => JSON.stringify([{event: name, environment: 'production', distinct_id: 'visitor_1', anonymous_id: null, properties: {$url: location.href}}]);
addEventListener('pagehide', () => navigator.sendBeacon(url, new Blob([body('by beacon')], {type: 'application/json'})));
fetch(url, {method: 'POST', keepalive: true, headers: {'Content-Type': 'application/json'}, body: body('by fetch')})
  .then(answer => answer.json())
  .then(receipt => { if (receipt.ok) location.href = '/left'; });
</script>`
