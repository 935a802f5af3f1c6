package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/sdk/js"
)

// Promise: in a page the client keeps what cannot be sent, across pages, sends what is left as a page ends, and asks for
// consent first; whatever is sent more than once is stored once.
func TestClientInPages(t *testing.T) {
	r := install(t).serve()
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		script, ok := sdkPages[q.URL.Path]
		if !ok {
			http.NotFound(w, q)
			return
		}
		_, _ = fmt.Fprintf(w, `<!doctype html><title>page</title><script src="%s/weir.js"></script><script>const key = %q, url = %q;%s</script>`, r.url, r.public, r.url, script)
	}))
	t.Cleanup(pages.Close)
	browse(t, pages.URL+"/")
	await(t, "the last page's event", func() bool {
		return r.ask("SELECT count(*) AS n FROM events WHERE event = 'done'")[0][0].(float64) == 1
	})
	got := map[string]float64{}
	for _, row := range r.ask("SELECT event, count(*) AS n FROM events GROUP BY event") {
		got[row[0].(string)] = row[1].(float64)
	}
	want := map[string]float64{"agreed": 1, "offline": 1, "reconnected": 1, "leaving": 1, "$pageview": 3, "done": 1, "by tag": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored are %v, want %v", got, want)
	}
	who := r.ask("SELECT count(DISTINCT distinct_id) AS n FROM events WHERE event IN ('offline', 'reconnected', 'leaving')")
	if who[0][0].(float64) != 1 {
		t.Errorf("one visitor became %v", who)
	}
	traits := r.ask("SELECT traits->>'plan' AS plan FROM persons WHERE distinct_id = 'user_1'")
	if len(traits) != 1 || traits[0][0] != "pro" {
		t.Errorf("the traits are %v", traits)
	}
}

// sdkPages are shown one after the other. A page that finds something wrong tells it as an event.
var sdkPages = map[string]string{
	// Nothing is sent or kept before consent, and nothing ever without it. What cannot be sent is kept.
	"/": `
const wrong = (what) => { weir.init({url, key, environment: 'production'}).track('wrong: ' + what); throw new Error(what) };
const asked = weir.init({url, key, environment: 'production', consent: 'pending', gather: 10});
asked.track('agreed');
setTimeout(async () => {
  if (Object.keys(localStorage).some(name => name.startsWith('weir.'))) wrong('something was kept before consent');
  asked.consent = 'granted';
  await asked.flush();
  const refused = weir.init({url, key, environment: 'staging', consent: 'denied'});
  refused.track('never');
  await refused.flush();
  const cut = weir.init({url, key, environment: 'production', gather: 1e6, fetch: () => Promise.reject(new TypeError('offline'))});
  cut.track('offline');
  await cut.flush();
  location.href = '/second';
}, 50);`,
	// The next page sends what the first could not. A browser that says it is offline is not asked to send.
	"/second": `
(async () => {
  const c = weir.init({url, key, environment: 'production', gather: 1e6});
  await c.flush();
  if (Object.keys(localStorage).some(name => name.includes('.queue.'))) return c.track('wrong: the queue was not emptied');
  Object.defineProperty(navigator, 'onLine', {value: false, configurable: true});
  c.track('reconnected');
  await c.flush();
  if (!Object.keys(localStorage).some(name => name.includes('.queue.'))) return c.track('wrong: it sent while offline');
  delete navigator.onLine;
  dispatchEvent(new Event('online'));
  await c.flush();
  c.track('leaving');
  location.href = '/third';
})();`,
	// What was sent as the page before ended is sent again here, and stored once.
	"/third": `
(async () => {
  const c = weir.init({url, key, environment: 'production', pages: true});
  history.pushState({}, '', '/third?step=2');
  history.replaceState({}, '', '/third?step=2');
  history.pushState({}, '', '/third?step=3');
  c.identify('user_1', {plan: 'pro'});
  await c.flush();
  await c.close();
  const tag = document.createElement('script');
  Object.assign(tag, {src: url + '/weir.js', onload: async () => {
    weir.track('by tag');
    await weir.flush();
    weir.track('done');
    await weir.flush();
  }});
  Object.assign(tag.dataset, {key, environment: 'production'});
  document.head.append(tag);
})();`,
}

// Promise: in Node the client sends again what was lost on the way, under the same id, waits as long as it is told to,
// signs its requests, and says what was not accepted.
func TestClientInNode(t *testing.T) {
	r := install(t).serve()
	c := exec.CommandContext(t.Context(), "node", "check.mjs")
	c.Dir, c.Env = "../../sdk/js", signers(r)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var events []string
	await(t, "the events of Node", func() bool {
		events = nil
		for _, row := range r.ask("SELECT event FROM events ORDER BY event") {
			events = append(events, row[0].(string))
		}
		return len(events) >= 5
	})
	if want := []string{"answer lost", "limited", "signed hmac", "signed own", "valid"}; !slices.Equal(events, want) {
		t.Errorf("stored are %v, want %v", events, want)
	}
}

// Promise: the Go client does the same: items of all kinds, each once, and signed requests.
func TestClientInGo(t *testing.T) {
	r := install(t).serve()
	c := exec.CommandContext(t.Context(), "go", "run", "./check")
	c.Dir, c.Env = "../../sdk/go", signers(r)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var events []string
	await(t, "the events of Go", func() bool {
		events = nil
		for _, row := range r.ask("SELECT event FROM events ORDER BY event") {
			events = append(events, row[0].(string))
		}
		return len(events) >= 3
	})
	if want := []string{"signed hmac", "signed own", "told twice"}; !slices.Equal(events, want) {
		t.Errorf("stored are %v, want %v", events, want)
	}
}

// signers makes two keys whose requests must be signed, and gives an environment in which a client finds them.
func signers(r *running) []string {
	t := r.t
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	signing := func(body map[string]any) (made api.Key) {
		status, answer, err := r.send(t.Context(), r.secret, "/v1/keys", body)
		if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &made) != nil {
			t.Fatalf("a key that signs: %d %s %v", status, answer, err)
		}
		return made
	}
	hmac := signing(map[string]any{"kind": "secret", "scopes": []string{"events:write"}, "signature": true})
	if hmac.SigningSecret == "" {
		t.Fatal("the key came without a signing secret")
	}
	own := signing(map[string]any{"kind": "secret", "scopes": []string{"events:write"}, "signature": true, "public_keys": []string{base64.StdEncoding.EncodeToString(public)}})
	return append(os.Environ(), "WEIR="+r.url, "KEY="+r.public, "HMAC_KEY="+hmac.Key, "HMAC_ID="+hmac.ID, "HMAC_SECRET="+hmac.SigningSecret,
		"OWN_KEY="+own.Key, "OWN_ID="+own.ID, "OWN_PRIVATE="+base64.StdEncoding.EncodeToString(pkcs8))
}

// Promise: the client for pages is small: under 6 KB as it goes over the network.
func TestClientIsSmall(t *testing.T) {
	if n := packed(t, js.Script); n >= 6000 {
		t.Errorf("the client is %d bytes", n)
	}
}

// packed is how many bytes of a script go over the network.
func packed(t *testing.T, script []byte) int {
	t.Helper()
	var to bytes.Buffer
	w := gzip.NewWriter(&to)
	if _, err := w.Write(script); err != nil || w.Close() != nil {
		t.Fatal("the script cannot be packed")
	}
	return to.Len()
}
