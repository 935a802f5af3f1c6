package outbound_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// everywhere is a resolver for which every name leads to this machine.
func everywhere() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer func() { _ = there.Close() }()
			head := make([]byte, 2)
			if _, err := io.ReadFull(there, head); err != nil {
				return
			}
			question := make([]byte, int(head[0])<<8|int(head[1]))
			var m dnsmessage.Message
			if _, err := io.ReadFull(there, question); err != nil || m.Unpack(question) != nil {
				return
			}
			q := m.Questions[0]
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			head4 := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
			switch q.Type {
			case dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{Header: head4, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
			case dnsmessage.TypeAAAA:
				m.Answers = []dnsmessage.Resource{{Header: head4, Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("::ffff:127.0.0.1").As16()}}}
			default:
			}
			packed, _ := m.Pack()
			_, _ = there.Write(append([]byte{byte(len(packed) >> 8), byte(len(packed))}, packed...))
		}()
		return here, nil
	}}
}

// Promise: in whatever way an address of this machine, or of its network, is written, nothing is sent there and it cannot be saved:
// with the system's own resolver, which reads numbers as addresses, and with one that is in the attacker's hands.
func TestNoWayInside(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	hosts := []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "127.000.000.001", "0", "0.0.0.0", "localhost",
		"LOCALHOST.", "foo.localhost", "127.0.0.1.nip.example", "①②⑦.0.0.1", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:0:127.0.0.1]",
		"[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::127.0.0.1]", "[2002:7f00:1::]", "[fe80::1%25lo]", "[::1%25lo]", "[fec0::1]", "169.254.169.254", "[fd00:ec2::254]",
		"metadata.google.internal", "%31%32%37.0.0.1", "good.example@127.0.0.1", "good.example:443@127.0.0.1", "good.example%00.127.0.0.1", `good.example\@127.0.0.1`,
	}
	for name, resolver := range map[string]*net.Resolver{"the system's": nil, "the attacker's": everywhere()} {
		c := outbound.New(outbound.Config{Resolver: resolver, Now: morning, Time: 3 * time.Second})
		for _, host := range hosts {
			for _, scheme := range []string{"https", "http"} {
				url := fmt.Sprintf("%s://%s:%s/", scheme, host, port)
				if target, err := c.Check(t.Context(), url); err == nil {
					t.Errorf("%s resolver: %s can be saved, as %s", name, url, target)
				}
				if got := post(c, url); got.Status != 0 || got.Fault == "" {
					t.Errorf("%s resolver: %s was sent to: %+v", name, url, got)
				}
			}
		}
	}
	if reached.Load() != 0 {
		t.Errorf("what is inside was reached %d times", reached.Load())
	}
}

// Promise: the environment's proxies are not used, which would resolve names, and connect, where nobody looks.
func TestNoProxy(t *testing.T) {
	var reached atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	c := outbound.New(outbound.Config{Resolver: everywhere(), Now: morning, Time: 3 * time.Second})
	for _, url := range []string{"https://inside.example/", "http://inside.example/", "https://10.0.0.1/", "http://169.254.169.254/"} {
		if got := post(c, url); got.Fault != outbound.Refused {
			t.Errorf("%s: %+v", url, got)
		}
	}
	if reached.Load() != 0 {
		t.Error("a proxy was used")
	}
}

// Promise: neither a header, nor an address, puts anything else into a request than what it says.
func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	heads := make(chan string, 10)
	listener := listen(t, func(conn net.Conn) {
		head := ""
		for lines := bufio.NewScanner(conn); lines.Scan() && lines.Text() != ""; {
			head += lines.Text() + "\n"
		}
		heads <- head
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	c := outbound.New(outbound.Config{Allow: loopback(), Now: morning, Time: 3 * time.Second})
	at := "http://" + listener
	for name, m := range map[string]outbound.Message{
		"a value":         {URL: at + "/", Header: http.Header{"X-A": {"a\r\nX-Evil: 1"}}},
		"a name":          {URL: at + "/", Header: http.Header{"X-A: a\r\nX-Evil": {"1"}}},
		"an address":      {URL: at + "/\r\nX-Evil: 1"},
		"a host":          {URL: "http://127.0.0.1\r\nX-Evil: 1/"},
		"a space":         {URL: at + "/ HTTP/1.1\r\nX-Evil: 1"},
		"one in disguise": {URL: at + "/%0d%0aX-Evil:%201?x=%0d%0aX-Evil:%201"},
	} {
		got := c.Post(t.Context(), &m)
		if name != "one in disguise" {
			if got.Fault != outbound.Broken || len(heads) != 0 {
				t.Errorf("%s: %+v, and %d requests", name, got, len(heads))
			}
			continue
		}
		if head := <-heads; strings.Contains(head, "\nX-Evil") || !strings.HasPrefix(head, "POST /%0d%0aX-Evil:%201?x=%0d%0aX-Evil:%201 HTTP/1.1\n") {
			t.Errorf("%s: %q", name, head)
		}
	}
}

// listen is a server that a test speaks for itself: it is given each connection, which is closed afterwards.
func listen(t *testing.T, speak func(net.Conn)) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				speak(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// repeat writes a text until the other side is gone, with a pause before each.
func repeat(conn net.Conn, text string, pause time.Duration) {
	for tick := time.NewTicker(max(pause, time.Nanosecond)); ; <-tick.C {
		if _, err := io.WriteString(conn, text); err != nil {
			tick.Stop()
			return
		}
	}
}

// Promise: whatever a target does with its time and its bytes, an attempt is over within its time, and nothing of what it sends
// is kept beyond the excerpt.
func TestTargetsThatMisbehave(t *testing.T) {
	t.Parallel()
	const patience = 500 * time.Millisecond
	const ok = "HTTP/1.1 200 OK\r\n"
	drop := func(conn net.Conn) { // the whole request
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
	}
	for name, c := range map[string]struct {
		speak func(net.Conn)
		fault outbound.Fault
	}{
		"never answers": {func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, outbound.TooSlow},
		"a head in drips": {func(conn net.Conn) {
			drop(conn)
			_, _ = io.WriteString(conn, ok)
			repeat(conn, "a", 20*time.Millisecond)
		}, outbound.TooSlow},
		"headers in drips": {func(conn net.Conn) {
			drop(conn)
			_, _ = io.WriteString(conn, ok)
			repeat(conn, "X-A: b\r\n", 20*time.Millisecond)
		}, outbound.TooSlow},
		"endless headers": {func(conn net.Conn) {
			_, _ = io.WriteString(conn, ok)
			repeat(conn, "X-A: "+strings.Repeat("b", 1000)+"\r\n", 0)
		}, outbound.Broken},
		"an endless line":     {func(conn net.Conn) { repeat(conn, strings.Repeat("b", 1000), 0) }, outbound.Broken},
		"endless early hints": {func(conn net.Conn) { repeat(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0) }, outbound.Broken},
		"a body in drips": {func(conn net.Conn) {
			drop(conn)
			_, _ = io.WriteString(conn, ok+"\r\n")
			repeat(conn, "b", 20*time.Millisecond)
		}, outbound.TooSlow},
		"an endless body": {func(conn net.Conn) {
			drop(conn)
			_, _ = io.WriteString(conn, ok+"\r\n")
			repeat(conn, strings.Repeat("b", 1000), 0)
		}, ""},
		"a body of many exabytes": {func(conn net.Conn) {
			drop(conn)
			_, _ = io.WriteString(conn, ok+"Content-Length: 9000000000000000000\r\n\r\n")
			repeat(conn, "bbbbbbbb", 0)
		}, ""},
		"endless chunk extensions": {func(conn net.Conn) {
			drop(conn)
			_, _ = io.WriteString(conn, ok+"Transfer-Encoding: chunked\r\n\r\n1;")
			repeat(conn, "a=b;", 0)
		}, outbound.Broken},
		"two answers": {func(conn net.Conn) {
			drop(conn)
			_, _ = io.WriteString(conn, ok+"Content-Length: 0\r\n\r\n"+ok+"Content-Length: 0\r\n\r\n")
		}, ""},
		"takes nothing": {func(net.Conn) { <-t.Context().Done() }, outbound.TooSlow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := outbound.New(outbound.Config{Allow: loopback(), Now: morning, Time: patience})
			ctx, cancel := context.WithTimeout(t.Context(), 20*patience)
			defer cancel()
			got := client.Post(ctx, &outbound.Message{URL: "http://" + listen(t, c.speak) + "/", Body: []byte(strings.Repeat("x", 64<<10))})
			if ctx.Err() != nil {
				t.Error("it took much longer than its time")
			}
			if got.Fault != c.fault || len(got.Excerpt) > outbound.MaxExcerpt {
				t.Errorf("it is %q with %d bytes, want %q", got.Fault, len(got.Excerpt), c.fault)
			}
		})
	}
}

// Promise: no kind of redirect is followed, wherever it leads.
func TestNoRedirectIsFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.Header().Set("Location", other.URL+"/")
		w.Header().Set("Refresh", "0; url="+other.URL+"/")
		w.Header().Set("Alt-Svc", `h3="`+other.Listener.Addr().String()+`"`)
		w.WriteHeader(status)
	}))
	defer server.Close()
	c := outbound.New(outbound.Config{Allow: loopback(), Now: morning, Time: 3 * time.Second})
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		if got := post(c, fmt.Sprintf("%s/%d", server.URL, status)); got.Status != status || got.Fault != outbound.Redirected {
			t.Errorf("%d: %+v", status, got)
		}
	}
	if got := post(c, server.URL+"/201"); got.Fault != "" {
		t.Errorf("201 with a location: %+v", got)
	}
	if followed.Load() != 0 {
		t.Errorf("%d redirects were followed", followed.Load())
	}
}

// Promise: a name that led to an allowed network, where every port may be used, is judged by its port once it leads to a public address.
func TestAPortIsJudgedWhereTheNameLeads(t *testing.T) {
	t.Parallel()
	resolver, _ := answering(map[string][]string{"shift.example": {"127.0.0.1", "93.184.216.34"}})
	c := outbound.New(outbound.Config{Resolver: resolver, Allow: loopback(), Now: morning, Time: 3 * time.Second})
	if _, err := c.Check(t.Context(), "https://shift.example:22/"); err != nil {
		t.Fatal(err)
	}
	if got := post(c, "https://shift.example:22/"); got.Fault != outbound.Refused {
		t.Errorf("%+v", got)
	}
}
