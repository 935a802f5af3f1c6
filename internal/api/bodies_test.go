package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-analytics/weir/internal/api"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

func gzipped(text string) string {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return packed.String()
}

func zstandard(text string, options ...zstd.EOption) string {
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, append(options, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))...)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return packed.String()
}

// claiming is a zstd frame whose header says how large it is, and whose blocks say otherwise.
func claiming(size uint64) string {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0} // single segment, eight bytes of size
	frame = binary.LittleEndian.AppendUint64(frame, size)
	return string(append(frame, 0x01, 0, 0)) // a last block of nothing
}

const (
	oneEvent = `{"event":"A"}`
	mib      = 1 << 20
)

func padded(n int) string { return oneEvent + strings.Repeat(" ", n-len(oneEvent)) }

// Promise: a body may be packed with gzip or zstd, in one piece or several, is limited as it is sent and as it unpacks,
// and whatever is wrong with its packing is the sender's fault and no accident of ours.
func TestPackedBodies(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.key("secret live all").text
	long, spaces := padded(mib), strings.Repeat(" ", mib) // 32 of them are the most that is unpacked
	longGzip, longZstd := gzipped(long)+strings.Repeat(gzipped(spaces), 31), zstandard(long)+strings.Repeat(zstandard(spaces), 31)
	for _, c := range []struct {
		name, path, encoding, body string
		code                       problem.Code // empty: accepted
	}{
		{"gzip", "/track", "gzip", gzipped(oneEvent), ""},
		{"x-gzip", "/track", "X-GZIP", gzipped(oneEvent), ""},
		{"identity", "/track", "identity", oneEvent, ""},
		{"zstd", "/track", "zstd", zstandard(oneEvent), ""},
		{"gzip without saying so", "/track", "", gzipped(oneEvent), ""},
		{"gzip called identity", "/track", "identity", gzipped(oneEvent), ""},
		{"large gzip", "/track", "gzip", longGzip, ""},
		{"large zstd", "/track", "zstd", longZstd, ""},
		{"gzip in two members", "/track", "gzip", gzipped(`{"event":`) + gzipped(`"A"}`), ""},
		{"zstd in two frames", "/track", "zstd", zstandard(`{"event":`) + zstandard(`"A"}`), ""},
		{"gzip for a question", "/v1/query", "gzip", gzipped(`{"sql":"SELECT 1"}`), ""},
		{"zstd for a question", "/v1/query", "zstd", zstandard(`{"sql":"SELECT 1"}`), ""},
		{"gzip bomb", "/track", "gzip", longGzip + gzipped(" "), problem.BodyTooLarge},
		{"gzip bomb without saying so", "/track", "", longGzip + gzipped(" "), problem.BodyTooLarge},
		{"zstd bomb", "/track", "zstd", longZstd + zstandard(" "), problem.BodyTooLarge},
		{"gzip bomb for a question", "/v1/query", "gzip", gzipped(long), problem.BodyTooLarge},
		{"zstd bomb for a question", "/v1/query", "zstd", zstandard(long), problem.BodyTooLarge},
		{"zstd that claims to be huge", "/track", "zstd", claiming(1 << 62), problem.BodyTooLarge},
		{"zstd with a huge window", "/track", "zstd", zstandard(long+spaces, zstd.WithWindowSize(16<<20)), problem.BodyTooLarge},
		{"empty gzip", "/track", "gzip", "", problem.InvalidRequest},
		{"empty zstd", "/track", "zstd", "", problem.InvalidRequest},
		{"gzip cut short", "/track", "gzip", gzipped(oneEvent)[:20], problem.InvalidRequest},
		{"gzip without its end", "/track", "gzip", strings.TrimSuffix(gzipped(oneEvent), gzipped(oneEvent)[len(gzipped(oneEvent))-1:]), problem.InvalidRequest},
		{"gzip with a wrong sum", "/track", "gzip", flip(gzipped(oneEvent), -8), problem.InvalidRequest},
		{"gzip and then garbage", "/track", "gzip", gzipped(oneEvent) + "garbage", problem.InvalidRequest},
		{"zstd cut short", "/track", "zstd", zstandard(oneEvent)[:12], problem.InvalidRequest},
		{"zstd and then garbage", "/track", "zstd", zstandard(oneEvent) + "garbage", problem.InvalidRequest},
		{"zstd called gzip", "/track", "gzip", zstandard(oneEvent), problem.InvalidRequest},
		{"plain called gzip", "/track", "gzip", oneEvent, problem.InvalidRequest},
		{"plain called zstd", "/track", "zstd", oneEvent, problem.InvalidRequest},
		{"zstd without saying so", "/track", "", zstandard(oneEvent), problem.InvalidJSON},
		{"gzip in gzip", "/track", "gzip", gzipped(gzipped(oneEvent)), problem.InvalidJSON},
		{"two encodings", "/track", "gzip, gzip", gzipped(gzipped(oneEvent)), problem.UnsupportedMediaType},
		{"deflate", "/track", "deflate", "x", problem.UnsupportedMediaType},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			headers := []string{"X-API-Key", key}
			if c.encoding != "" {
				headers = append(headers, "Content-Encoding", c.encoding)
			}
			answer, body := w.site.call(t, "POST", c.path, strings.NewReader(c.body), headers...)
			if c.code == "" && answer.StatusCode != http.StatusOK || c.code != "" && codeOf(body) != c.code {
				t.Errorf("%d bytes were answered %d %s, want %q", len(c.body), answer.StatusCode, body, c.code)
			}
		})
	}
}

// flip changes one byte, counted from the end.
func flip(text string, at int) string {
	b := []byte(text)
	b[len(b)+at] ^= 1
	return string(b)
}

// Promise: Content-Encoding in two lines is one list, so that a first line cannot hide a second.
func TestEncodingInTwoLines(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("public live").text
	_, body := w.site.call(t, "POST", "/track", strings.NewReader(oneEvent), "X-API-Key", key, "Content-Encoding", "identity", "Content-Encoding", "br")
	if codeOf(body) != problem.UnsupportedMediaType {
		t.Errorf("answered %s", body)
	}
}

// Promise: the limits on what is sent hold to the byte and to the item, whether the length was told or not.
func TestLimitsOnBodies(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key := p.key("secret live all").text
	items := func(n int) string { return "[" + strings.Repeat(oneEvent+",", n-1) + oneEvent + "]" }
	property := func(n int) string { return `{"event":"A","properties":{"p":"` + strings.Repeat("x", n-35) + `"}}` }
	for _, c := range []struct {
		name, path, body string
		code             problem.Code
	}{
		{"5 MiB", "/track", padded(5 * mib), ""},
		{"5 MiB and a byte", "/track", padded(5*mib + 1), problem.BodyTooLarge},
		{"a large question", "/v1/query", `{"sql":"SELECT 1"}` + strings.Repeat(" ", 256<<10-18), ""},
		{"a byte more", "/v1/query", `{"sql":"SELECT 1"}` + strings.Repeat(" ", 256<<10-17), problem.BodyTooLarge},
		{"1,000 items", "/track", items(1000), ""},
		{"1,001 items", "/v1/events/batch", items(1001), problem.TooManyItems},
		{"an event of 32 KiB", "/track", property(32 << 10), ""},
		{"a byte more of it", "/track", property(32<<10 + 1), problem.EventTooLarge},
	} {
		for _, told := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s told %v", c.name, told), func(t *testing.T) {
				t.Parallel()
				body := io.Reader(strings.NewReader(c.body))
				if !told {
					body = io.MultiReader(body) // whose length the client does not know, so that it sends chunks
				}
				answer, text := w.site.call(t, "POST", c.path, body, "X-API-Key", key)
				if c.code == "" && answer.StatusCode != http.StatusOK || c.code != "" && codeOf(text) != c.code {
					t.Errorf("answered %d %s, want %q", answer.StatusCode, text, c.code)
				}
			})
		}
	}
}

// Promise: a body whose framing lies is the sender's fault. What could be read in two ways by two servers is not read
// by ours: net/http refuses it, or closes the connection.
func TestFramingOfBodies(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("public live").text
	head := "POST /track HTTP/1.1\r\nHost: " + w.site.address + "\r\nX-API-Key: " + key + "\r\n"
	for _, c := range []struct {
		name, rest string
		half       bool // no more will be sent
		status     int
	}{
		{"chunks", "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n7\r\n{\"event\r\n6;note=1\r\n\":\"A\"}\r\n0\r\nX-Trailer: 1\r\n\r\n", false, 200},
		{"a chunk that is no number", "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", false, 400},
		{"a chunk without its end", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n", false, 400},
		{"a chunk of a huge length", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", false, 400},
		{"chunks cut off", "Transfer-Encoding: chunked\r\n\r\nff\r\n{\"event", true, 400},
		{"less than was told", "Content-Length: 100\r\n\r\n{\"event\":\"A\"}", true, 400},
		{"more than was told", "Content-Length: 12\r\nConnection: close\r\n\r\n{\"event\":\"A\"}", false, 400},
		{"two lengths", "Content-Length: 13\r\nContent-Length: 14\r\n\r\n{\"event\":\"A\"}", false, 400},
		{"no number for a length", "Content-Length: +13\r\n\r\n{\"event\":\"A\"}", false, 400},
		{"another transfer encoding", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false, 501},
		{"a transfer encoding in disguise", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", false, 501},
		{"two transfer encodings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", false, 501},
		{"a space before the colon", "Content-Length : 13\r\n\r\n{\"event\":\"A\"}", false, 400},
		{"a second host", "Host: other\r\nContent-Length: 13\r\n\r\n{\"event\":\"A\"}", false, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := w.site.dial(t)
			if _, err := io.WriteString(conn, head+c.rest); err != nil {
				t.Fatal(err)
			}
			if c.half {
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			answer, body := read(t, conn)
			if answer.StatusCode != c.status {
				t.Errorf("answered %d %s, want %d", answer.StatusCode, body, c.status)
			}
		})
	}
}

// Promise: a request with both a length and chunks smuggles nothing in: the chunks count (RFC 9112 section 6.3), and
// what follows them is a request of its own with no key of its own.
func TestLengthAndChunksSmuggleNothing(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("public live").text
	conn := w.site.dial(t)
	inner := "GET /v1/whoami HTTP/1.1\r\nHost: " + w.site.address + "\r\nConnection: close\r\n\r\n"
	body := "d\r\n" + oneEvent + "\r\n0\r\n\r\n" + inner
	_, err := fmt.Fprintf(conn, "POST /track HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n%s",
		w.site.address, key, len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Count(string(all), "HTTP/1.1 ")
	if !strings.HasPrefix(string(all), "HTTP/1.1 200 ") || answers > 2 || answers == 2 && !strings.Contains(string(all), "missing_credential") {
		t.Errorf("answered %q", all)
	}
}

// read reads one answer from a connection.
func read(t testing.TB, conn net.Conn) (*http.Response, string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// impatient is a site that waits for a request for a moment only.
func (w *world) impatient(t *testing.T) *site {
	moment := 250 * time.Millisecond
	return w.variant(t, func(c *api.Config) { c.FileTime = moment }, func(s *http.Server) { s.ReadTimeout = moment })
}

// Promise: a body that does not come in time is answered 408, whatever is waiting for it, and a sender who goes away
// half-way is no fault of the server's.
func TestSlowAndAbortedBodies(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	key, public := p.key("secret live all").text, p.key("public live").text
	client, operator := p.client(p.key("secret live all")), p.key("operator").text
	s := w.impatient(t)
	for _, op := range w.contract.Operations() {
		if op.Action == "anyone" || !op.Body {
			continue
		}
		t.Run(op.ID, func(t *testing.T) {
			t.Parallel()
			conn := s.dial(t)
			path, head := strings.NewReplacer("{id}", "key_000000000000", "{workspace}", "production").Replace(op.Path), "X-API-Key: "+key
			page := op.Action == "write_events" || op.Action == "identify_users" || op.Action == "write_items"
			if strings.HasSuffix(op.Action, "_tokens") {
				head = "X-API-Key: " + client.text
			}
			if strings.HasPrefix(op.Path, "/v1/members/sessions") {
				head = "X-Nothing: 1" // what is in the body is the credential
			}
			if op.Action == "write_organization" {
				head = "X-API-Key: " + operator
			}
			if page {
				head = "Origin: https://shop.example\r\nX-API-Key: " + public
			}
			if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: 100\r\n\r\n{", op.Method, path, head); err != nil {
				t.Fatal(err)
			}
			answer, body := read(t, conn)
			if codeIn(answer, body) != problem.RequestTimeout || answer.StatusCode != http.StatusRequestTimeout || page && !echoes(answer) {
				t.Errorf("answered %d %v %s", answer.StatusCode, answer.Header, body)
			}
		})
	}
	t.Run("aborted", func(t *testing.T) {
		t.Parallel()
		conn := w.site.dial(t)
		if _, err := fmt.Fprintf(conn, "POST /track HTTP/1.1\r\nHost: x\r\nUser-Agent: quitter\r\nX-API-Key: %s\r\nContent-Length: 100\r\n\r\n{", key); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		line := w.logs.await(t, `"user_agent":"quitter"`)
		if !strings.Contains(line, `"code":"invalid_request"`) || !strings.Contains(line, `"level":"INFO"`) {
			t.Errorf("logged %s", line)
		}
	})
}

// echoes reports whether a page at shop.example may read an answer.
func echoes(answer *http.Response) bool {
	return answer.Header.Get("Access-Control-Allow-Origin") == "https://shop.example" && answer.Header.Get("Access-Control-Allow-Credentials") == "true" &&
		slices.Contains(answer.Header.Values("Vary"), "Origin")
}

// Promise: when the journal can take nothing, the sender is told so, in words its client reads and by an answer its page
// may read, with a time to come again; and a sender who waits for its events is told when the wait was too long.
func TestEventsThatCannotBeStoredOrLoaded(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("public live").text
	full, err := openJournal(t.TempDir(), w.log, func() (int64, error) { return 0, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = full.Close() })
	idle := event.NewLoader(event.LoaderConfig{Journal: w.journal, Warehouse: w.warehouse, Log: w.log})
	variant := func(cfg event.Config) *site {
		cfg.Live, cfg.Random = new(event.Live), rand.Reader
		return w.variant(t, func(c *api.Config) { c.Events = event.New(cfg) }, nil)
	}

	answer, body := variant(event.Config{Journal: full, Loader: idle}).call(t, "POST", "/track", strings.NewReader(oneEvent), "X-API-Key", key, "Origin", "https://shop.example")
	if answer.StatusCode != http.StatusInsufficientStorage || codeOf(body) != problem.StorageFull || answer.Header.Get("Retry-After") == "" || !echoes(answer) ||
		!strings.Contains(body, `"ok":false,"task_id":null,"error_code":"storage-full"`) {
		t.Errorf("with a full disk: %d %v %s", answer.StatusCode, answer.Header, body)
	}
	answer, body = variant(event.Config{Journal: w.journal, Loader: idle, SyncLimit: 20 * time.Millisecond}).call(t, "POST", "/track?sync=true", strings.NewReader(oneEvent), "X-API-Key", key)
	if answer.StatusCode != http.StatusOK || !strings.Contains(body, `"accepted":1`) || !strings.Contains(body, `"queryable":false`) {
		t.Errorf("with a loader that does not run: %d %s", answer.StatusCode, body)
	}
}

// await waits until a line is logged that has a text in it.
func (l *lines) await(t testing.TB, text string) string {
	t.Helper()
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	limit := time.After(patience)
	for {
		if found := l.of(text); len(found) > 0 {
			return found[0]
		}
		select {
		case <-every.C:
		case <-limit:
			t.Fatalf("never logged: %s", text)
		}
	}
}

// Promise: the memory for large bodies is bounded for all requests together, nobody waits for it while holding some of
// it, small bodies do not need it, and every request gives back what it held, be its answer broken off.
func TestMemoryForBodies(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live all").text
	cfg := w.config()
	cfg.Registry = prometheus.NewRegistry()
	handler, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := w.serve(handler, nil)
	t.Cleanup(s.server.Close)
	large := padded(200 << 10)
	send := func(body string, headers ...string) (*http.Response, string) {
		return s.call(t, "POST", "/track", strings.NewReader(body), append(headers, "X-API-Key", key)...)
	}

	release, ok := handler.HoldBodies()
	if !ok {
		t.Fatal("memory is held before the first request")
	}
	for name, body := range map[string]string{"large": large, "small, large when unpacked": gzipped(large)} {
		if answer, text := send(body); codeOf(text) != problem.Unavailable || answer.Header.Get("Retry-After") != "1" {
			t.Errorf("with no memory left, a body that is %s was answered %d %s", name, answer.StatusCode, text)
		}
	}
	if answer, text := send(oneEvent); answer.StatusCode != http.StatusOK {
		t.Errorf("with no memory left, a small body was answered %d %s", answer.StatusCode, text)
	}
	release()
	if answer, text := send(large); answer.StatusCode != http.StatusOK {
		t.Errorf("with memory again, a large body was answered %d %s", answer.StatusCode, text)
	}

	// An answer that its receiver does not want to the end.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	question := `{"sql":"SELECT '` + strings.Repeat("x", 300) + `' AS x FROM range(60000)"}` + strings.Repeat(" ", 100<<10)
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.URL+"/v1/query", strings.NewReader(question))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-API-Key", key)
	q.Header.Set("User-Agent", "impatient reader")
	answer, err := s.send(q)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = answer.Body.Close()
	if line := w.logs.await(t, `"user_agent":"impatient reader"`); !strings.Contains(line, `"error":`) {
		t.Errorf("the answer was read to its end: %s", line)
	}
	if release, ok = handler.HoldBodies(); !ok {
		t.Error("a request has ended and still holds memory")
	} else {
		release()
	}
}
