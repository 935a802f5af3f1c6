package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// showExample runs examples/recording and gives the address of its page.
func showExample(t *testing.T, r *running) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "recording")
	if out, err := exec.Command("go", "build", "-o", program, "../../examples/recording").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := exec.Command(program, "-listen", "127.0.0.1:0", "-url", r.url, "-key", r.public)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// player opens the player for a session and types the key into it.
func player(b *devtools, r *running, session string) *tab {
	tab := b.open(r.url + "/recordings/player#" + session)
	await(b.t, "the player", func() bool { return tab.eval(`document.querySelector('form')?.elements.session.value`) == session })
	tab.eval(fmt.Sprintf(`document.querySelector('form').elements.key.value = %q; document.querySelector('button').click()`, r.secret))
	return tab
}

// shown is the text that the player shows of a recording.
const shown = `document.querySelector('iframe')?.contentDocument?.body?.innerText ?? ''`

// Promise: a page that records itself can be played as it was: what was done on it is seen to happen, with its styles, and
// without what was typed; nobody but this server is asked for anything. What is left when the page ends arrives too.
func TestARecordedPageIsPlayed(t *testing.T) {
	r := install(t).serve()
	b := openDevtools(t)
	page := b.open(showExample(t, r))
	session := ""
	await(t, "the recording to begin", func() bool {
		session = page.eval(`document.documentElement?.dataset.recorded`)
		return len(session) == len("00000000-0000-4000-8000-000000000000")
	})
	page.eval(`document.querySelector('#more').click()`)
	page.eval(`const field = document.querySelector('#name'); field.value = 'Rosalind'; field.dispatchEvent(new Event('input', {bubbles: true}))`)
	recorded := func() (events int64, missing int) {
		status, body := r.get(r.secret, "/v1/recordings/"+session)
		var got struct {
			Events  int64
			Missing []any
			Page    string
		}
		if status != http.StatusOK || json.Unmarshal(body, &got) != nil || !strings.HasPrefix(got.Page, "http://127.0.0.1:") {
			t.Fatalf("%d %s", status, body)
		}
		return got.Events, len(got.Missing)
	}
	before, _ := recorded()
	page.eval(`document.querySelector('#more').click()`)
	page.call(page.session, "Page.navigate", map[string]any{"url": "about:blank"}, &struct{}{}) // before the second is over
	await(t, "what was left", func() bool {
		events, missing := recorded()
		_, body := r.get(r.secret, "/v1/recordings/"+session+"/events")
		return events > before && missing == 0 && strings.Contains(string(body), "Wait for three minutes")
	})
	if _, body := r.get(r.secret, "/v1/recordings/"+session+"/events"); strings.Contains(string(body), "Rosalind") {
		t.Error("what was typed was recorded")
	}
	from := len(b.requests())
	play := player(b, r, session)
	await(t, "the recording to be played", func() bool {
		text := play.eval(shown)
		return strings.Contains(text, "Tea, in three steps") && strings.Contains(text, "Wait for three minutes") && strings.Contains(text, "A cup for 8 letters")
	})
	if color := play.eval(`document.querySelector('iframe').contentWindow.getComputedStyle(document.querySelector('iframe').contentDocument.querySelector('h1')).color`); color != "rgb(138, 59, 18)" {
		t.Errorf("the heading is %s", color)
	}
	if title := play.eval(`document.title`); !strings.HasSuffix(title, session) {
		t.Errorf("the title is %s", title)
	}
	if left := play.eval(`document.querySelector('form').elements.key.value + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie`); left != "{}{}" {
		t.Errorf("of what was typed is left %s", left)
	}
	for _, address := range b.requests()[from:] {
		if !strings.HasPrefix(address, r.url+"/") && !strings.HasPrefix(address, "about:") && !strings.HasPrefix(address, "data:") && !strings.HasPrefix(address, "blob:") {
			t.Errorf("the player asked for %s", address)
		}
	}
	if picture := play.picture(); os.Getenv("WEIR_PICTURE") != "" {
		if err := os.WriteFile(os.Getenv("WEIR_PICTURE"), picture, 0o600); err != nil {
			t.Error(err)
		}
	}
}

// Promise: a recording is hostile, and nothing of it runs or is fetched: no script, no handler of an event, no address with a
// script, no picture, style, frame or form of another host, in the first picture of the page as in what is added to it later.
func TestNothingOfARecordingRuns(t *testing.T) {
	r := install(t).serve()
	var hits atomic.Int64
	elsewhere := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		hits.Add(1)
		t.Errorf("the recording fetched %s", q.URL)
		_, _ = w.Write([]byte(`top.hacked = parent.hacked = 'by a file'`))
	}))
	elsewhere.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			hits.Add(1) // a mere connection tells as much
		}
	}
	elsewhere.Start()
	t.Cleanup(elsewhere.Close)
	status, body, err := r.send(t.Context(), r.public, "/v1/recordings", map[string]any{"session_id": "hostile", "sequence": 0, "events": hostilePage(elsewhere.URL)})
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, body, err)
	}
	b := openDevtools(t)
	play := player(b, r, "hostile")
	await(t, "the hostile recording to be played", func() bool { return strings.Contains(play.eval(shown), "it was added later") })
	play.eval(`for (const e of document.querySelector('iframe').contentDocument.querySelectorAll('a, button, form, body')) e.click?.()`)
	await(t, "the recording to end", func() bool { return strings.HasPrefix(play.eval(`document.title`), "Played") })
	if got := play.eval(`String(window.hacked) + String(document.querySelector('iframe').contentWindow.hacked)`); got != "undefinedundefined" {
		t.Errorf("a script ran: %s", got)
	}
	if here := play.eval(`location.pathname`); here != "/recordings/player" {
		t.Errorf("the recording led to %s", here)
	}
	if got := play.eval(`document.querySelector('iframe').getAttribute('sandbox')`); got != "allow-same-origin" {
		t.Errorf("the frame's sandbox is %q", got)
	}
	if hits.Load() > 0 {
		t.Errorf("%d things were fetched", hits.Load())
	}
}

// hostilePage is a recording, as no page gives it but as anybody with a public key can send it.
func hostilePage(elsewhere string) []map[string]any {
	const hack = `top.hacked = parent.hacked = window.hacked = 'yes'`
	id := 1
	element := func(tag string, attributes map[string]any, children ...map[string]any) map[string]any {
		id++
		if children == nil {
			children = []map[string]any{}
		}
		return map[string]any{"type": 2, "tagName": tag, "attributes": attributes, "childNodes": children, "id": id}
	}
	text := func(content string) map[string]any {
		id++
		return map[string]any{"type": 3, "textContent": content, "id": id}
	}
	on := map[string]any{"src": "x:", "onerror": hack, "onload": hack, "onclick": hack, "onmouseover": hack, "onfocus": hack, "autofocus": true}
	hostile := func() []map[string]any {
		return []map[string]any{
			element("script", map[string]any{}, text(hack)), element("script", map[string]any{"src": elsewhere + "/script.js"}),
			element("img", on), element("img", map[string]any{"src": elsewhere + "/image.png", "srcset": elsewhere + "/set.png 2x"}),
			element("svg", map[string]any{"isSVG": true, "onload": hack}, element("script", map[string]any{}, text(hack))),
			element("iframe", map[string]any{"src": "javascript:" + hack, "srcdoc": "<script>" + hack + "</script>"}),
			element("iframe", map[string]any{"src": elsewhere + "/frame"}), element("object", map[string]any{"data": elsewhere + "/object"}),
			element("embed", map[string]any{"src": elsewhere + "/embed"}), element("video", map[string]any{"src": elsewhere + "/video", "poster": elsewhere + "/poster"}),
			element("link", map[string]any{"rel": "stylesheet", "href": elsewhere + "/style.css"}), element("link", map[string]any{"rel": "prefetch", "href": elsewhere + "/prefetch"}),
			element("link", map[string]any{"rel": "PreConnect", "href": elsewhere}), element("link", map[string]any{"rel": "preload", "as": "script", "href": elsewhere + "/preload"}),
			element("style", map[string]any{}, text("@import '"+elsewhere+"/import.css'; body { background: url("+elsewhere+"/background) }")),
			element("style", map[string]any{"_cssText": "@font-face { font-family: f; src: url(" + elsewhere + "/font) } p { font-family: f }"}),
			element("p", map[string]any{"style": "background: url(" + elsewhere + "/inline)"}, text("text")),
			element("a", map[string]any{"href": "javascript:" + hack, "target": "_top"}, text("a script")),
			element("a", map[string]any{"href": elsewhere + "/top", "target": "_top", "ping": elsewhere + "/ping"}, text("away")),
			element("form", map[string]any{"action": elsewhere + "/form", "target": "_top"}, element("button", map[string]any{}, text("send"))),
			element("meta", map[string]any{"http-equiv": "refresh", "content": "0;url=" + elsewhere + "/refresh"}),
			element("base", map[string]any{"href": elsewhere + "/"}), element("img", map[string]any{"src": "relative.png"}),
		}
	}
	frame := element("IFRAME", map[string]any{})
	body := element("body", on, append(hostile(), frame, text("the page"))...)
	document := map[string]any{"type": 0, "id": 1, "childNodes": []map[string]any{
		element("html", map[string]any{}, element("head", map[string]any{}, hostile()...), body),
	}}
	adds := []map[string]any{}
	for _, node := range append(hostile(), text("it was added later")) {
		children := node["childNodes"]
		if children != nil {
			node["childNodes"] = []map[string]any{}
		}
		adds = append(adds, map[string]any{"parentId": body["id"], "nextId": nil, "node": node})
		if list, ok := children.([]map[string]any); ok {
			for _, child := range list {
				adds = append(adds, map[string]any{"parentId": node["id"], "nextId": nil, "node": child})
			}
		}
	}
	at := 1_780_000_000_000
	return []map[string]any{
		{"type": 4, "timestamp": at, "data": map[string]any{"href": "javascript:" + hack, "width": 800, "height": 500}},
		{"type": 2, "timestamp": at + 10, "data": map[string]any{"node": document, "initialOffset": map[string]any{"left": 0, "top": 0}}},
		{"type": 3, "timestamp": at + 300, "data": map[string]any{"source": 0, "texts": []any{}, "attributes": []any{}, "removes": []any{}, "adds": adds}},
		{"type": 3, "timestamp": at + 600, "data": map[string]any{"source": 0, "adds": []any{}, "removes": []any{}, "texts": []any{}, "attributes": []any{
			map[string]any{"id": body["id"], "attributes": map[string]any{"onclick": hack, "background": elsewhere + "/changed", "style": "background: url(" + elsewhere + "/changed)"}},
		}}},
		{"type": 3, "timestamp": at + 700, "data": map[string]any{"source": 0, "adds": []any{}, "removes": []any{}, "texts": []any{}, "attributes": []any{
			map[string]any{"id": frame["id"], "attributes": map[string]any{"src": elsewhere + "/later", "srcdoc": "<img src='" + elsewhere + "/srcdoc'>"}},
		}}},
		{"type": 5, "timestamp": at + 1500, "data": map[string]any{"tag": "<img src=x onerror=" + hack + ">", "payload": map[string]any{}}},
	}
}

// get asks with a key and gives the status and the body.
func (r *running) get(key, path string) (int, []byte) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("X-API-Key", key)
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, body
}
