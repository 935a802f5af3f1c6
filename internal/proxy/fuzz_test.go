package proxy_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/proxy"
)

// seed adds the values that the tables have of a header, its lines joined by line feeds.
func seed(f *testing.F, header proxy.Header) {
	for _, table := range readTables(f) {
		for i, c := range table.cases {
			if lines := c.header[header.String()]; table.config.Header == header && i%3 == 0 {
				f.Add(strings.Join(lines, "\n"))
			}
		}
	}
}

// checkWalk holds what is true of every header: from anybody it changes nothing; from a trusted proxy it is read within
// the limits, each hop is trusted, and who stands last is trusted only when reading ended there; and whatever it says,
// a caller whom the trusted proxy saw is that caller.
func checkWalk(t *testing.T, header proxy.Header, lines []string, append1 string) proxy.Client {
	t.Helper()
	r := resolver(header)
	stranger, near := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("10.0.0.1")
	h := http.Header{header.String(): lines}
	if got := r.Client(stranger, h); !reflect.DeepEqual(got, proxy.Client{Address: stranger, Ignored: len(lines) > 0}) {
		t.Fatalf("from a stranger: %+v", got)
	}
	got := r.Client(near, h)
	switch {
	case len(got.Hops) > 32 || slices.ContainsFunc(got.Hops, func(a netip.Addr) bool { return !isTrusted(a) || a != a.Unmap() || a.Zone() != "" }):
		t.Fatalf("hops: %+v", got)
	case len(got.Hops) > 0 && got.Hops[0] != near, len(got.Hops) == 0 && got.Address != near:
		t.Fatalf("the peer is left out: %+v", got)
	case got.Broken && !isTrusted(got.Address), got.Ignored, got.Address.Zone() != "" || got.Address.Is4In6():
		t.Fatalf("%+v", got)
	case got.Proto != "" && got.Proto != "http" && got.Proto != "https":
		t.Fatalf("%+v", got)
	}
	want := proxy.Client{Address: netip.MustParseAddr("203.0.113.1"), Hops: []netip.Addr{near}}
	if seen := r.Client(near, http.Header{header.String(): append(slices.Clone(lines), append1)}); !reflect.DeepEqual(seen, want) {
		t.Fatalf("behind a line of the caller's: %+v", seen)
	}
	if len(lines) > 0 {
		last := len(lines) - 1
		if seen := r.Client(near, http.Header{header.String(): append(slices.Clone(lines[:last]), lines[last]+", "+append1)}); !reflect.DeepEqual(seen, want) {
			t.Fatalf("behind words of the caller's: %+v", seen)
		}
	}
	return got
}

// Promise: whatever X-Forwarded-For says, the rules of checkWalk hold, and it is read as a plain reader would read it.
func FuzzXForwardedFor(f *testing.F) {
	seed(f, proxy.XForwardedFor)
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		got := checkWalk(t, proxy.XForwardedFor, lines, "203.0.113.1")
		if want := plainWalk(lines); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %+v, and plainly %+v", lines, got, want)
		}
	})
}

// plainWalk reads X-Forwarded-For with the tools of the standard library.
func plainWalk(lines []string) proxy.Client {
	c := proxy.Client{Address: netip.MustParseAddr("10.0.0.1")}
	elements := strings.Split(strings.Join(lines, ","), ",")
	for i := len(elements) - 1; i >= 0 && isTrusted(c.Address); i-- {
		next, ok := plainNode(strings.Trim(elements[i], " \t"))
		if !ok || len(c.Hops) == 32 || len(elements[i]) > 512 {
			c.Broken = true
			break
		}
		c.Hops, c.Address = append(c.Hops, c.Address), next
	}
	return c
}

func plainNode(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap(), a.Zone() == ""
	}
	host, port := text, "1"
	if colon := strings.LastIndexByte(text, ':'); colon >= 0 && !strings.HasSuffix(text, "]") {
		host, port = text[:colon], text[colon+1:]
	}
	if plainHidden(port) {
		port = "1"
	}
	switch {
	case strings.Contains(host, "]"):
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if !strings.Contains(host, ":") || "["+host+"]" != text[:strings.IndexByte(text, ']')+1] {
			return netip.Addr{}, false
		}
		host = "[" + host + "]"
	case strings.EqualFold(host, "unknown") || plainHidden(host):
		host = "192.0.2.0"
		if _, err := netip.ParseAddrPort(host + ":" + port); err != nil || len(port) > 5 {
			return netip.Addr{}, false
		}
		return netip.Addr{}, true
	}
	ap, err := netip.ParseAddrPort(host + ":" + port)
	if err != nil || len(port) > 5 || ap.Addr().Zone() != "" {
		return netip.Addr{}, false
	}
	return ap.Addr().Unmap(), true
}

func plainHidden(text string) bool {
	return len(text) > 1 && text[0] == '_' && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") == ""
}

// Promise: whatever Forwarded says, the rules of checkWalk hold.
func FuzzForwarded(f *testing.F) {
	seed(f, proxy.Forwarded)
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		got := checkWalk(t, proxy.Forwarded, lines, "for=203.0.113.1")
		if strings.ContainsAny(text, `"\`) || len(text) > 512 {
			return
		}
		// Without quotation marks, the elements can be read one by one.
		want := proxy.Client{Address: netip.MustParseAddr("10.0.0.1")}
		elements := strings.Split(strings.Join(lines, ","), ",")
		for i := len(elements) - 1; i >= 0 && isTrusted(want.Address) && !want.Broken; i-- {
			one := resolver(proxy.Forwarded).Client(want.Address, http.Header{"Forwarded": {elements[i]}})
			if want.Broken = one.Broken || len(want.Hops) == 32; !want.Broken {
				want.Hops, want.Address = append(want.Hops, want.Address), one.Address
			}
			if i == len(elements)-1 {
				want.Proto = one.Proto
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %+v, and one by one %+v", lines, got, want)
		}
	})
}

// Promise: what is a list of trusted proxies is read the same again, and says of no address that the whole world is it;
// a fault is told in bounds.
func FuzzParseTrusted(f *testing.F) {
	for _, text := range []string{"10.0.0.1", "10.1.2.3/8", "::ffff:10.0.0.0/104", "fe80::1%eth0", "::/0", "2001:db8::/32", "010.0.0.1", "1.2.3.4/-1", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := proxy.ParseTrusted([]string{text})
		if err != nil {
			if got != nil || len(err.Error()) > 600 {
				t.Fatalf("%v, %v", got, err)
			}
			return
		}
		p := got[0]
		again, err := proxy.ParseTrusted([]string{p.String()})
		if err != nil || len(again) != 1 || again[0] != p || p != p.Masked() || p.Bits() == 0 || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			t.Fatalf("%q is %v, and that is %v, %v", text, p, again, err)
		}
	})
}

// wire is a connection on which the other end has said all it has to say.
type wire struct {
	net.Conn

	peer string
	said *bytes.Reader
}

func (w *wire) Read(b []byte) (int, error)      { return w.said.Read(b) }
func (w *wire) RemoteAddr() net.Addr            { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(w.peer)) }
func (w *wire) Accept() (net.Conn, error)       { return w, nil }
func (w *wire) Addr() net.Addr                  { return w.RemoteAddr() }
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// Promise: whatever a connection begins with, nobody but a trusted proxy is taken for another, and of theirs nothing is
// read that does not begin with a header.
func FuzzListen(f *testing.F) {
	v2 := "\r\n\r\n\x00\r\nQUIT\n"
	for _, text := range []string{
		"PROXY TCP4 203.0.113.1 10.0.0.1 4711 443\r\nGET", "PROXY TCP6 2001:db8::7 ::1 4711 443\r\nGET", "PROXY UNKNOWN\r\nGET", "PROXY UNKNOWN x y z\r\n",
		v2 + "\x20\x00\x00\x00GET", v2 + "\x21\x11\x00\x0c\xcb\x00\x71\x01\x0a\x00\x00\x01\x12\x67\x01\xbbGET", v2 + "\x20\x11\x00\x00GET",
		v2 + "\x21\x31\x00\xd8" + strings.Repeat("\x00", 216) + "GET", v2 + "\x21\x00\x00\x00", v2 + "\x21\x13\x00\x0c", v2 + "\x21\x11\xff\xff", "GET / HTTP/1.1\r\n", "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		accept := func(peer string) net.Conn {
			c, err := proxy.Listen(&wire{peer: peer, said: bytes.NewReader(said)}, trustedList, time.Second).Accept()
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		stranger := accept("198.51.100.7:4711")
		if read, err := io.ReadAll(stranger); err != nil || !bytes.Equal(read, said) || stranger.RemoteAddr().String() != "198.51.100.7:4711" {
			t.Fatalf("a stranger's %q is %q from %v, %v", said, read, stranger.RemoteAddr(), err)
		}
		near := accept("[::ffff:10.0.0.1]:4711")
		remote := near.RemoteAddr().String()
		read, err := io.ReadAll(near)
		header := bytes.HasPrefix(said, []byte("PROXY ")) || bytes.HasPrefix(said, []byte(v2))
		switch {
		case !header && err == nil:
			t.Fatalf("%q is read without a header", said)
		case err != nil && (len(read) > 0 || remote != "10.0.0.1:4711"):
			t.Fatalf("%q is %q from %s, and %v", said, read, remote, err)
		case err == nil && !bytes.HasSuffix(said, read):
			t.Fatalf("%q is %q", said, read)
		case near.RemoteAddr().String() != remote:
			t.Fatalf("%q is from %s, then from %s", said, remote, near.RemoteAddr())
		}
	})
}
