package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-analytics/weir/sdk/js"
)

// Promise: a page with a snippet of Altertable's kind works with this server as its base URL. What it called before the client
// came is done in its order, and what it calls after; events have its environment and release; consent and what may be kept in
// the browser are as it says.
func TestAltertableSnippetInPages(t *testing.T) {
	r := install(t).serve()
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		script, ok := snippetPages[q.URL.Path]
		if !ok {
			http.NotFound(w, q)
			return
		}
		_, _ = fmt.Fprintf(w, `<!doctype html><title>page</title><script>const key = %q, url = %q;%s;%s</script>`, r.public, r.url, snippet, script)
	}))
	t.Cleanup(pages.Close)
	browse(t, pages.URL+"/?utm_source=mail#top")
	var last []byte
	await(t, "the last page's event", func() bool {
		status, text, err := r.send(t.Context(), r.secret, "/v1/query", map[string]any{"environment": "staging", "sql": "SELECT event, properties FROM events"})
		if err != nil || status != http.StatusOK {
			t.Fatalf("query: %d %s %v", status, text, err)
		}
		last = text
		return strings.Contains(string(text), "in memory")
	})
	if strings.Contains(string(last), "$pageview") {
		t.Errorf("a page that captures nothing told %s", last)
	}
	await(t, "what was told before", func() bool {
		return r.ask("SELECT count(*) AS n FROM events WHERE event = 'agreed'")[0][0].(float64) == 1
	})
	var got []string
	for _, row := range r.ask(`SELECT event, properties->>'$.$url' AS url, properties->>'$.$referer' AS referer, properties->>'utm_source' AS source,
		properties->>'$.$release' AS release, properties->>'$.$viewport' IS NOT NULL AS viewport FROM events ORDER BY timestamp, event`) {
		got = append(got, strings.ReplaceAll(fmt.Sprint(row), pages.URL, ""))
	}
	want := []string{
		"[$pageview / <nil> mail 1.2.3 true]", "[early / <nil> <nil> 1.2.3 false]", "[$pageview /early <nil> 1 1.2.3 true]",
		"[late / <nil> <nil> 1.2.3 false]", "[own somewhere <nil> <nil> 2.0.0 false]",
		"[$pageview /step /?utm_source=mail#top <nil> 2.0.0 true]", "[after /step <nil> <nil> 2.0.0 false]",
		"[agreed /asked <nil> <nil> <nil> false]",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	who := r.ask(`SELECT count(DISTINCT person_id) AS n, count(DISTINCT distinct_id) AS ids FROM events WHERE event IN ('early', 'late', 'own')`)
	if who[0][0].(float64) != 1 || who[0][1].(float64) != 2 {
		t.Errorf("one visitor, who was identified, became %v", who)
	}
	devices := r.ask("SELECT count(DISTINCT device_id) AS n FROM events WHERE event IN ('early', 'late', 'own', 'after')")
	if devices[0][0].(float64) != 2 {
		t.Errorf("a device before and one after make %v", devices)
	}
	traits, _ := json.Marshal(r.ask("SELECT traits->>'plan' AS plan, traits->>'seats' AS seats FROM persons WHERE distinct_id IN ('user_1', 'crm_1')"))
	if text := string(traits); !strings.Contains(text, `["pro","4"]`) && !strings.Contains(text, `["pro",4]`) {
		t.Errorf("the person is %s", text)
	}
}

// snippet stands at window.Altertable until the client comes: an array of calls, with a method for each that it keeps.
const snippet = `
window.Altertable = Object.assign([], {
  init(...settings) {
    const tag = Object.assign(document.createElement('script'), {async: true, src: settings[1].baseUrl + '/altertable.js'});
    document.head.append(tag);
    for (const name of ['init', 'track', 'page', 'identify']) this[name] = (...args) => this.push([name, ...args]);
    this.push(['init', ...settings]);
  },
});
const loaded = async () => { while (Array.isArray(Altertable)) await new Promise(done => setTimeout(done, 5)) };
const pause = ms => new Promise(done => setTimeout(done, ms));
const sent = async () => { while (Object.keys(localStorage).some(name => name.includes('.queue.'))) await pause(5) };
const wrong = what => { Altertable.configure({trackingConsent: 'granted'}); Altertable.track('wrong: ' + what); throw new Error(what) };
const refuses = (what, call) => { try { call() } catch { return } wrong(what) };
`

// snippetPages are shown one after the other. A page that finds something wrong tells it as an event. Events that are told
// within a millisecond are in no order: there is a pause between them.
var snippetPages = map[string]string{
	// Calls that waited, one of which is wrong and keeps no other from being done, and calls to the client.
	"/": `
Altertable.init(key, {baseUrl: url, environment: 'production', release: '1.2.3'});
Altertable.push(['unknown', 1], ['identify', 'undefined']);
Altertable.track('early', {n: 1});
(async () => {
  await loaded();
  await pause(10);
  Altertable.page(location.origin + '/early?utm_source=1');
  refuses('traits of nobody', () => Altertable.updateTraits({seats: 1}));
  Altertable.identify('user_1', {plan: 'pro'});
  refuses('a reserved id', () => Altertable.alias(' Guest '));
  await pause(10);
  Altertable.track('late');
  Altertable.updateTraits({seats: 4});
  Altertable.alias('crm_1');
  Altertable.configure({release: '2.0.0'});
  await pause(10);
  Altertable.track('own', {$url: 'somewhere'});
  await pause(10);
  history.pushState({}, '', '/step');
  await pause(300);
  Altertable.configure({autoCapture: false});
  history.pushState({}, '', '/unseen');
  await pause(300);
  history.replaceState({}, '', '/step');
  Altertable.reset({resetDeviceId: true});
  Altertable.track('after');
  if (Altertable.getTrackingConsent() !== 'granted') wrong('consent is ' + Altertable.getTrackingConsent());
  await sent();
  localStorage.clear();
  location.href = '/pending';
})();`,
	// Nothing is sent or kept while consent is pending; that it was dismissed is kept, and nothing else.
	"/pending": `
Altertable.init(key, {baseUrl: url, environment: 'production', trackingConsent: 'pending'});
Altertable.track('unasked');
(async () => {
  await loaded();
  if (Altertable.getTrackingConsent() !== 'pending') wrong('consent is ' + Altertable.getTrackingConsent());
  await pause(700);
  if (localStorage.length) wrong('something was kept before consent');
  Altertable.configure({trackingConsent: 'dismissed'});
  if (/anonymous|device/.test(JSON.stringify(localStorage))) wrong('ids were kept without consent');
  location.href = '/asked';
})();`,
	"/asked": `
Altertable.init(key, {baseUrl: url, environment: 'production', trackingConsent: 'pending', autoCapture: false});
(async () => {
  await loaded();
  if (Altertable.getTrackingConsent() !== 'dismissed') wrong('consent is ' + Altertable.getTrackingConsent());
  Altertable.track('agreed');
  Altertable.configure({trackingConsent: 'granted'});
  await sent();
  Altertable.configure({trackingConsent: 'pending'});
  if (/anonymous|device/.test(JSON.stringify(localStorage))) wrong('ids were kept after consent was taken back');
  Altertable.configure({trackingConsent: 'denied'});
  Altertable.track('denied');
  location.href = '/memory';
})();`,
	// Another environment, whose page keeps nothing in the browser.
	"/memory": `
localStorage.clear();
Altertable.init(key, {baseUrl: url, environment: 'staging', persistence: 'memory', autoCapture: false});
Altertable.track('before');
(async () => {
  await loaded();
  if (localStorage.length) wrong('something was kept');
  const client = Altertable;
  await new Promise(done => document.head.append(Object.assign(document.createElement('script'), {src: url + '/altertable.js', onload: done})));
  if (client !== Altertable) wrong('the script took its own place');
  await pause(700);
  Altertable.track('in memory');
})();`,
}

// Promise: the client for pages with Altertable's snippet is small: under 6 KB as it goes over the network.
func TestAltertableClientIsSmall(t *testing.T) {
	if n := packed(t, js.Altertable); n >= 6000 {
		t.Errorf("the client is %d bytes", n)
	}
}
