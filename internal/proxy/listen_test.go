package proxy_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/proxy"
)

// serve starts a server that answers with the address it sees, and gives its address.
func serve(t *testing.T, trusted string, headerTime time.Duration) string {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, name(proxy.Peer(r.RemoteAddr)), " asked ", r.URL.Path)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(proxy.Listen(inner, []netip.Prefix{netip.MustParsePrefix(trusted)}, headerTime))
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return inner.Addr().String()
}

// dial opens a connection and says something.
func dial(t *testing.T, address, say string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, say); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a request, and gives the status and the body of the answer; what came instead when there was none.
func ask(t *testing.T, c net.Conn) string {
	t.Helper()
	_, _ = io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	return answer(t, c)
}

func answer(t *testing.T, c net.Conn) string {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "no answer"
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "no answer"
	}
	return fmt.Sprint(r.StatusCode, " ", string(body))
}

// header2 makes a header of version 2.
func header2(command, family byte, payload ...byte) string {
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return string(append(binary.BigEndian.AppendUint16(h, uint16(len(payload))), payload...))
}

func tcp4(source, destination string) (payload []byte) {
	payload = append(netip.MustParseAddr(source).AsSlice(), netip.MustParseAddr(destination).AsSlice()...)
	return append(payload, 0x12, 0x67, 0x01, 0xbb)
}

const (
	local, relay       = 0x20, 0x21
	unspec, v4, v6, un = 0x00, 0x11, 0x21, 0x31
)

// headers are beginnings of a connection from a trusted proxy, and the answer.
func headers() map[string][2]string {
	mapped := append(tcp4("203.0.113.1", "10.0.0.1"), 0x03, 0, 4, 1, 2, 3, 4) // with a checksum behind the addresses
	return map[string][2]string{
		"version 1, IPv4":            {"PROXY TCP4 203.0.113.1 10.0.0.1 4711 443\r\n", "200 203.0.113.1 asked /a"},
		"version 1, IPv6":            {"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", "200 2001:db8::7 asked /a"},
		"version 1, mapped":          {"PROXY TCP6 ::ffff:203.0.113.1 ::ffff:10.0.0.1 4711 443\r\n", "200 203.0.113.1 asked /a"},
		"version 1, unknown":         {"PROXY UNKNOWN\r\n", "200 nobody asked /a"},
		"version 1, unknown, more":   {"PROXY UNKNOWN 203.0.113.1 10.0.0.1 4711 443\r\n", "200 nobody asked /a"},
		"version 1, other family":    {"PROXY TCP4 2001:db8::7 2001:db8::1 4711 443\r\n", "no answer"},
		"version 1, a zone":          {"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n", "no answer"},
		"version 1, no addresses":    {"PROXY TCP4\r\n", "no answer"},
		"version 1, too long":        {"PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n", "no answer"},
		"version 1, half a line end": {"PROXY TCP4 203.0.113.1 10.0.0.1 4711 443\n", "no answer"},
		"version 2, IPv4":            {header2(relay, v4, tcp4("203.0.113.1", "10.0.0.1")...), "200 203.0.113.1 asked /a"},
		"version 2, more":            {header2(relay, v4, mapped...), "200 203.0.113.1 asked /a"},
		"version 2, IPv6":            {header2(relay, v6, tcp4("2001:db8::7", "2001:db8::1")...), "200 2001:db8::7 asked /a"},
		"version 2, mapped":          {header2(relay, v6, tcp4("::ffff:203.0.113.1", "::ffff:10.0.0.1")...), "200 203.0.113.1 asked /a"},
		"version 2, local":           {header2(local, unspec), "200 127.0.0.1 asked /a"},
		"version 2, local, IPv4":     {header2(local, v4, tcp4("203.0.113.1", "10.0.0.1")...), "200 127.0.0.1 asked /a"},
		"version 2, Unix":            {header2(relay, un, make([]byte, 216)...), "200 nobody asked /a"},
		"version 2, no family":       {header2(relay, unspec), "no answer"},
		"version 2, another command": {header2(0x22, v4, tcp4("203.0.113.1", "10.0.0.1")...), "no answer"},
		"version 3":                  {header2(0x31, v4, tcp4("203.0.113.1", "10.0.0.1")...), "no answer"},
		"version 2, short":           {header2(relay, v4, 1, 2, 3, 4), "no answer"},
		"version 2, too long":        {header2(relay, v4, append(tcp4("203.0.113.1", "10.0.0.1"), make([]byte, 5000)...)...), "no answer"},
		"none":                       {"", "no answer"},
		"another request":            {"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "no answer"},
		"a line end first":           {"\r\n\r\n", "no answer"},
	}
}

// Promise: of a trusted proxy's connection the caller is the one that its header names; without a header that can be
// read it gets no answer.
func TestATrustedProxyNamesTheCaller(t *testing.T) {
	t.Parallel()
	address := serve(t, "127.0.0.0/8", time.Minute)
	for name, c := range headers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, address, c[0])
			got := ask(t, conn)
			if got != c[1] {
				t.Fatalf("%q, want %q", got, c[1])
			}
			if got != "no answer" {
				if again := ask(t, conn); again != got {
					t.Errorf("the second request on the connection: %q", again)
				}
			}
		})
	}
}

// Promise: the header of anybody else is not interpreted: it is a bad request; and a request without one is theirs.
func TestAStrangersHeaderIsABadRequest(t *testing.T) {
	t.Parallel()
	address := serve(t, "10.0.0.0/8", time.Minute)
	for name, c := range headers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, dial(t, address, c[0]))
			switch {
			case strings.HasPrefix(c[0], "POST"):
				if got != "200 127.0.0.1 asked /b" {
					t.Error(got)
				}
			case c[0] == "" || c[0] == "\r\n\r\n": // lines before a request are passed over, by net/http
				if got != "200 127.0.0.1 asked /a" && got != "400 400 Bad Request" {
					t.Error(got)
				}
			case !strings.HasPrefix(got, "400 ") && got != "no answer":
				t.Error(got)
			}
		})
	}
}

// Promise: the header and the request may come in one packet or in many, and proxies that say nothing hold up nobody.
func TestASlowProxyHoldsUpNobody(t *testing.T) {
	t.Parallel()
	address := serve(t, "127.0.0.1/32", time.Hour)
	first := header2(relay, v4, tcp4("203.0.113.1", "10.0.0.1")...)
	var slow []net.Conn
	for range 20 {
		slow = append(slow, dial(t, address, first[:5]))
	}
	if got := ask(t, dial(t, address, first)); got != "200 203.0.113.1 asked /a" {
		t.Fatal(got)
	}
	for _, c := range slow {
		for i := 5; i < len(first); i++ {
			if _, err := c.Write([]byte{first[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if got := ask(t, c); got != "200 203.0.113.1 asked /a" {
			t.Fatal(got)
		}
	}
}

// Promise: a trusted proxy that does not send its header in time is cut off.
func TestAHeaderHasATime(t *testing.T) {
	t.Parallel()
	address := serve(t, "127.0.0.1/32", 50*time.Millisecond)
	for _, begin := range []string{"", "P", "PROXY TCP4", header2(relay, v4)[:13]} {
		if got := answer(t, dial(t, address, begin)); got != "no answer" {
			t.Errorf("%q: %s", begin, got)
		}
	}
}

// Promise: the time is for the whole header: a byte now and then does not lengthen it; without a time it is 5 seconds;
// and it is for the header alone.
func TestADripOfBytesDoesNotLengthenTheTime(t *testing.T) {
	t.Parallel()
	for given, want := range map[time.Duration]time.Duration{time.Second: time.Second, 0: 5 * time.Second, -1: 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			far, c := accepted(t, given)
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				drip := header2(relay, v4, make([]byte, 1000)...)
				for i := range len(drip) {
					if _, err := far.Write([]byte{drip[i]}); err != nil {
						return
					}
					time.Sleep(want / 50)
				}
			}()
			start := time.Now()
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || time.Since(start) != want {
				t.Errorf("read %d bytes, %v, after %v", n, err, time.Since(start))
			}
			far.Close()
			<-closed
		})
		synctest.Test(t, func(t *testing.T) {
			far, c := accepted(t, given)
			go func() {
				_, _ = io.WriteString(far, header2(local, unspec))
				time.Sleep(time.Hour)
				_, _ = io.WriteString(far, "x")
			}()
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
		})
	}
}

// accepted is a connection from a trusted proxy, and its far end.
func accepted(t *testing.T, headerTime time.Duration) (far, c net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	c, err := proxy.Listen(&piped{near}, trustedList, headerTime).Accept()
	if err != nil {
		t.Fatal(err)
	}
	return far, c
}

// piped is the end of a pipe that says it is a connection from a trusted proxy, and the listener that accepts it.
type piped struct{ net.Conn }

func (p *piped) Accept() (net.Conn, error) { return p, nil }
func (p *piped) Addr() net.Addr            { return p.LocalAddr() }
func (p *piped) RemoteAddr() net.Addr      { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 4711} }

// Promise: closing the listener ends Accept, and its address is the inner one's.
func TestListenerCloses(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := proxy.Listen(inner, nil, 0)
	if l.Addr() != inner.Addr() || l.Close() != nil {
		t.Error("not the inner listener's")
	}
	if c, err := l.Accept(); err == nil {
		t.Error(c)
	}
}
