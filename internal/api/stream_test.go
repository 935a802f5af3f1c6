package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// follower reads a stream.
type follower struct {
	t      *testing.T
	events chan string // one for each event: its lines, joined
	stop   context.CancelFunc
}

// follow opens a stream and waits until it has begun.
func (s *site) follow(t *testing.T, key, query string) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+"/v1/events/stream"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-API-Key", key)
	answer, err := s.send(q)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the stream answered %d %s", answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	f := &follower{t: t, events: make(chan string, 100), stop: cancel}
	begun := make(chan struct{})
	go func() {
		defer close(f.events)
		defer func() { _ = answer.Body.Close() }()
		var lines []string
		for scan := bufio.NewScanner(answer.Body); scan.Scan(); {
			switch line := scan.Text(); {
			case line == ": following":
				close(begun)
			case strings.HasPrefix(line, ":") || line == "" && len(lines) == 0:
			case line == "":
				f.events <- strings.Join(lines, "\n")
				lines = nil
			default:
				lines = append(lines, line)
			}
		}
	}()
	select {
	case <-begun:
	case <-time.After(patience):
		t.Fatal("the stream does not begin")
	}
	return f
}

// next waits for an event; empty when the stream has ended.
func (f *follower) next() string {
	f.t.Helper()
	select {
	case e := <-f.events:
		return e
	case <-time.After(patience):
		f.t.Fatal("no event came, nor did the stream end")
		return ""
	}
}

// Promise: a stream has the events of its environment as soon as they are accepted, in the form of the list, and those
// of no other environment, project or name. What is in an event cannot break out of its line.
func TestStreamHasItsEventsOnly(t *testing.T) {
	t.Parallel()
	w := open(t)
	p, other := w.project(t), w.project(t)
	key, pub, test, stranger := p.key("secret live events:read").text, p.key("public live"), p.key("public test").text, other.key("public live").text
	all, named, staging := w.site.follow(t, key, ""), w.site.follow(t, key, "?event=wanted"), w.site.follow(t, key, "?environment=staging")
	send := func(key, body string) {
		t.Helper()
		if answer, text := w.site.call(t, "POST", "/track", strings.NewReader(body), "X-API-Key", key); answer.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", answer.StatusCode, text)
		}
	}
	send(stranger, `{"event":"theirs"}`)
	send(test, `{"event":"tested"}`)
	send(pub.text, `{"event":"staged","environment":"staging"}`)
	send(pub.text, "{\"event\":\"first\",\"event_id\":\"a\\nevent: forged\\r\\n\\r\\nid: b\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"distinct_id\":\"u\\u2028\\n\",\"properties\":{\n\n\"data: x\" :\r\n\t[1 , \"a\\nb\"]\n}}")
	send(pub.text, `[{"event":"wanted","event_id":"w"},{"event":"last"}]`)

	first := all.next()
	lines := strings.Split(first, "\n")
	if len(lines) != 3 || lines[0] != "event: event" || !strings.HasPrefix(lines[1], "id: a event: forged") || !strings.HasPrefix(lines[2], "data: {") {
		t.Fatalf("the event came as %q", first)
	}
	want := `data: {"event_id":"a\nevent: forged\r\n\r\nid: b","event":"first","timestamp":"2026-01-02T03:04:05Z","received_at":"<time>",` +
		`"distinct_id":"<text>","properties":{"data: x":[1,"a\nb"]},"key_id":"` + pub.id + `","source":"track"}`
	if err := compareText(want, lines[2], map[string]string{}); err != nil {
		t.Error(err)
	}
	for i, want := range []string{`"event":"wanted"`, `"event":"last"`} {
		if got := all.next(); !strings.Contains(got, want) {
			t.Errorf("event %d is %s", i+1, got)
		}
	}
	if got := named.next(); !strings.Contains(got, "id: w\n") {
		t.Errorf("by its name came %s", got)
	}
	if got := staging.next(); !strings.Contains(got, `"event":"staged"`) {
		t.Errorf("in staging came %s", got)
	}
	for name, f := range map[string]*follower{"all": all, "named": named, "staging": staging} {
		f.stop()
		if got := f.next(); got != "" {
			t.Errorf("the stream %s had too much: %s", name, got)
		}
	}
}

// Promise: streams end when the server begins to stop, and not before: the time a request may take to come does not end
// them.
func TestStreamEndsWithTheServer(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.key("secret live events:read events:write").text
	stopping, stop := context.WithCancel(t.Context())
	defer stop()
	s := w.variant(t, func(cfg *api.Config) { cfg.Stopping = stopping }, func(s *http.Server) { s.ReadTimeout = 250 * time.Millisecond })
	f := s.follow(t, key, "")

	// Another request takes all the time there is.
	conn := s.dial(t)
	if _, err := fmt.Fprintf(conn, "POST /track HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Length: 100\r\n\r\n{", key); err != nil {
		t.Fatal(err)
	}
	if answer, body := read(t, conn); answer.StatusCode != http.StatusRequestTimeout {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	s.call(t, "POST", "/track", strings.NewReader(`{"event":"late"}`), "X-API-Key", key)
	if got := f.next(); !strings.Contains(got, `"event":"late"`) {
		t.Fatalf("the stream had %q", got)
	}
	stop()
	if got := f.next(); got != "" {
		t.Errorf("the stream goes on with %s", got)
	}
}

// Promise: HEAD tells what a stream would be and does not follow it.
func TestHeadOfAStream(t *testing.T) {
	t.Parallel()
	w := open(t)
	answer, _ := w.site.call(t, "HEAD", "/v1/events/stream", nil, "X-API-Key", w.project(t).key("secret live events:read").text)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("answered %d %v", answer.StatusCode, answer.Header)
	}
}

// Promise: there are only so many streams at a time, of a key and of a project; one too many is told when to come again, and another
// key, and another project, still finds room.
func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	live := new(event.Live)
	s := w.variant(t, func(cfg *api.Config) { cfg.Live = live }, nil)
	follow := func(permit gate.Permit) error { _, err := live.Follow(t.Context(), permit); return err }
	n := 0
	fill := func(permit gate.Permit) (got int) {
		for follow(permit) == nil {
			if n, got = n+1, got+1; n > 10_000 {
				t.Fatal("there is no limit")
			}
		}
		return got
	}
	if first, second := fill(p.permit(access.ReadEvents)), fill(p.permit(access.ReadEvents)); first != 64 || second != first {
		t.Errorf("a key has %d streams, and another %d", first, second)
	}
	for more := 1; more > 0; {
		more = fill(p.permit(access.ReadEvents))
	}
	answer, body := s.call(t, "GET", "/v1/events/stream", nil, "X-API-Key", p.key("secret live events:read").text)
	if codeOf(body) != problem.Unavailable || answer.Header.Get("Retry-After") != "10" || live.Followers() != n {
		t.Errorf("with %d streams, one more was answered %d %v %s", n, answer.StatusCode, answer.Header, body)
	}
	if err := follow(w.project(t).permit(access.ReadEvents)); err != nil {
		t.Errorf("another project was told %v", err)
	}
}
