package outbound_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/workflow/outbound"
)

// names is a resolver whose answers a test decides: each name has a list, of which each question takes the next and the last
// stays. A name without one is not there.
type names struct {
	lists map[string][]string
	asked map[string]*atomic.Int64
}

func answering(lists map[string][]string) (*net.Resolver, *names) {
	n := &names{lists, map[string]*atomic.Int64{}}
	for name := range lists {
		n.asked[name] = &atomic.Int64{}
	}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go n.serve(there)
		return here, nil
	}}, n
}

// serve answers questions over a connection, as DNS over TCP has them.
func (n *names) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		question := make([]byte, int(head[0])<<8|int(head[1]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
			return
		}
		n.answer(&m)
		packed, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := conn.Write(append([]byte{byte(len(packed) >> 8), byte(len(packed))}, packed...)); err != nil {
			return
		}
	}
}

func (n *names) answer(m *dnsmessage.Message) {
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	name := strings.TrimSuffix(q.Name.String(), ".")
	list, ok := n.lists[name]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
		return
	}
	if q.Type != dnsmessage.TypeA {
		return // there are no others
	}
	at := min(int(n.asked[name].Add(1)-1), len(list)-1)
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0},
		Body:   &dnsmessage.AResource{A: netip.MustParseAddr(list[at]).As4()},
	}}
}

func post(c *outbound.Client, url string) outbound.Answer {
	return c.Post(context.Background(), &outbound.Message{URL: url, Body: []byte(`{}`), Header: http.Header{"Webhook-Id": {"i"}}})
}

// morning is the time in these tests.
func morning() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// Promise: addresses that are not the public Internet's are told from those that are, however they are written.
func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"93.184.216.34": true, "8.8.8.8": true, "1.1.1.1": true, "2606:4700::1111": true, "2a00:1450::1": true, "172.15.255.255": true, "172.32.0.0": true,
		"100.63.255.255": true, "100.128.0.0": true, "223.255.255.255": true, "::ffff:8.8.8.8": true,

		"0.0.0.0": false, "10.0.0.1": false, "100.64.0.1": false, "100.100.100.200": false, "127.0.0.1": false, "127.255.255.254": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.192": false, "192.0.2.1": false, "192.168.1.1": false, "198.18.0.1": false,
		"198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"168.63.129.16": false, "192.88.99.1": false,

		"::": false, "::1": false, "fe80::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false, "fec0::1": false, "100::1": false,
		"2001::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "3fff::1": false, "5f00::1": false,
		"64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "::7f00:1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:0:7f00:1": false,
		"2606:4700::1111%eth0": false,
	} {
		if got := outbound.Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is public: %v", text, got)
		}
	}
	if outbound.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// Promise: no address of IPv4 is public in a form of IPv6 that is not by itself.
func TestFormsOfIPv4(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))
		plain := outbound.Public(netip.AddrFrom4(b))
		mapped := [16]byte{10: 0xff, 11: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]}
		if outbound.Public(netip.AddrFrom16(mapped)) != plain {
			t.Fatal("an IPv4 address written as IPv6 is judged otherwise")
		}
		for _, form := range [][16]byte{
			{12: b[0], 13: b[1], 14: b[2], 15: b[3]}, {0: 0, 1: 0x64, 2: 0xff, 3: 0x9b, 12: b[0], 13: b[1], 14: b[2], 15: b[3]},
			{0: 0x20, 1: 0x02, 2: b[0], 3: b[1], 4: b[2], 5: b[3]}, {0: 0x20, 1: 0x01, 12: ^b[0], 13: ^b[1], 14: ^b[2], 15: ^b[3]},
		} {
			if outbound.Public(netip.AddrFrom16(form)) {
				t.Fatalf("%v leads to an IPv4 address and is public", netip.AddrFrom16(form))
			}
		}
	})
}

// Promise: an address is judged when it is given: by its form, and by where its name leads.
func TestCheck(t *testing.T) {
	t.Parallel()
	resolver, _ := answering(map[string][]string{
		"good.example": {"93.184.216.34"}, "inside.example": {"10.0.0.1"}, "metadata.example": {"169.254.169.254"}, "local.example": {"127.0.0.1"},
	})
	c := outbound.New(outbound.Config{Resolver: resolver, Allow: loopback(), Now: morning})
	for url, want := range map[string]string{
		"https://good.example/hook?x=1":           "good.example:443",
		"https://GOOD.example.:8443/":             "good.example:8443",
		"https://93.184.216.34":                   "93.184.216.34:443",
		"https://[2606:4700::1111]/":              "[2606:4700::1111]:443",
		"http://127.0.0.1:81/":                    "127.0.0.1:81",
		"http://local.example/":                   "local.example:80",
		"https://local.example:22/":               "local.example:22",
		"http://good.example/":                    "!cleartext",
		"https://good.example:22/":                "!port",
		"https://good.example:0/":                 "!port",
		"https://good.example:70000/":             "!port",
		"https://user:pw@good.example/":           "!user name",
		"https://good.example/#f":                 "!#fragment",
		"https://inside.example/":                 "!not public",
		"https://metadata.example/":               "!not public",
		"https://10.0.0.1/":                       "!not public",
		"https://[::1]/":                          "!not public",
		"https://[::ffff:10.0.0.1]/":              "!not public",
		"https://none.example/":                   "!leads nowhere",
		"https://2130706433/":                     "!leads nowhere",
		"https://0x7f.1/":                         "!leads nowhere",
		"https://[fe80::1%25eth0]/":               "!host name",
		"https:///x":                              "!host name",
		"https://gööd.example/":                   "!xn--",
		"ftp://good.example/":                     "!https://",
		"good.example":                            "!https://",
		"https:good.example":                      "!https://",
		"":                                        "!https://",
		"https://good.example/\x00":               "!https://",
		"https://h/" + strings.Repeat("x", 2_048): "!2,048",
	} {
		got, err := c.Check(t.Context(), url)
		if says, refused := strings.CutPrefix(want, "!"); refused {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%.60q: %q, %v, want %s", url, got, err, says)
			}
		} else if err != nil || got != want {
			t.Errorf("%.60q: %q, %v, want %s", url, got, err, want)
		}
	}
}

// Promise: a name that led to a good address when it was saved, and leads inside when it is connected to, is not connected to:
// nothing reaches the server there. The same is true of http to what is public.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	resolver, asked := answering(map[string][]string{"rebind.example": {"93.184.216.34", "127.0.0.1"}, "public.example": {"93.184.216.34"}})
	c := outbound.New(outbound.Config{Resolver: resolver, Now: morning, Time: 5 * time.Second})
	if _, err := c.Check(t.Context(), "https://rebind.example:"+port+"/"); err != nil {
		t.Fatalf("when it was saved: %v", err)
	}
	for _, url := range []string{
		"https://rebind.example:" + port + "/", "http://rebind.example:" + port + "/", "https://127.0.0.1:" + port + "/", inside.URL, "http://public.example/",
		"http://[::ffff:127.0.0.1]:" + port + "/",
	} {
		if got := post(c, url); got.Fault != outbound.Refused || got.Status != 0 {
			t.Errorf("%s: %+v", url, got)
		}
	}
	if n := asked.asked["rebind.example"].Load(); n < 3 {
		t.Errorf("the name was resolved %d times", n)
	}
	if reached.Load() != 0 {
		t.Error("what is inside was reached")
	}
	allowing := outbound.New(outbound.Config{Resolver: resolver, Allow: loopback(), Now: morning})
	if got := post(allowing, "http://rebind.example:"+port+"/"); got.Fault != "" || reached.Load() != 1 {
		t.Errorf("where it is allowed: %+v", got)
	}
}

// Promise: what a target answers is told in one word, bounded and harmless to read; a redirect is not followed.
func TestAnswers(t *testing.T) {
	t.Parallel()
	var followed atomic.Int64
	mux := http.NewServeMux()
	say := func(path string, status int, header, value, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set(header, value)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	say("/ok", 200, "", "", "fine")
	say("/empty", 204, "", "", "")
	say("/redirect", 302, "Location", "/followed", "")
	say("/gone", 410, "", "", "no more")
	say("/later", 503, "Retry-After", "120", "")
	say("/much-later", 503, "Retry-After", "99999999", "")
	say("/date", 429, "Retry-After", "Sun, 22 Nov 2026 09:01:00 GMT", "")
	say("/past", 429, "Retry-After", "Sun, 22 Nov 2020 09:01:00 GMT", "")
	say("/odd", 429, "Retry-After", "soon", "")
	say("/controls", 500, "", "", "a\x1b[31m\x00b\nc\xff")
	say("/long", 500, "", "", strings.Repeat("é", 5_000))
	say("/header", 200, "X", strings.Repeat("x", 20_000), "")
	mux.HandleFunc("/followed", func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		_ = conn.Close()
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client is gone
		<-r.Context().Done()
	})
	mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c := outbound.New(outbound.Config{Allow: loopback(), Time: time.Second, Now: morning})
	for path, want := range map[string]outbound.Answer{
		"/ok":         {Status: 200, Excerpt: "fine"},
		"/empty":      {Status: 204},
		"/redirect":   {Status: 302, Fault: outbound.Redirected},
		"/gone":       {Status: 410, Excerpt: "no more", Fault: outbound.Status},
		"/later":      {Status: 503, RetryAfter: 2 * time.Minute, Fault: outbound.Status},
		"/much-later": {Status: 503, RetryAfter: outbound.MaxRetryAfter, Fault: outbound.Status},
		"/date":       {Status: 429, RetryAfter: time.Minute, Fault: outbound.Status},
		"/past":       {Status: 429, Fault: outbound.Status},
		"/odd":        {Status: 429, Fault: outbound.Status},
		"/controls":   {Status: 500, Excerpt: "a\ufffd[31m\ufffdb c\ufffd", Fault: outbound.Status},
		"/long":       {Status: 500, Excerpt: strings.Repeat("é", 512), Fault: outbound.Status},
		"/header":     {Fault: outbound.Broken},
		"/cut":        {Fault: outbound.Broken},
		"/hang":       {Fault: outbound.TooSlow},
		"/drip":       {Status: 200, Fault: outbound.TooSlow},
	} {
		if got := post(c, server.URL+path); got != want {
			t.Errorf("%s: got %+v, want %+v", path, got, want)
		}
	}
	if followed.Load() != 0 {
		t.Error("a redirect was followed")
	}
	secure := httptest.NewTLSServer(mux)
	defer secure.Close()
	for url, want := range map[string]outbound.Fault{
		secure.URL + "/ok":             outbound.NoTLS, // a certificate that nobody vouches for
		"https" + server.URL[4:] + "/": outbound.NoTLS,
		"http://127.0.0.1:1/":          outbound.NoConnect,
		"http://\x00/":                 outbound.Broken,
	} {
		if got := post(c, url); got.Fault != want {
			t.Errorf("%q: %+v, want %s", url, got, want)
		}
	}
	resolver, _ := answering(nil)
	nowhere := outbound.New(outbound.Config{Resolver: resolver, Now: morning})
	if got := post(nowhere, "https://none.example/"); got.Fault != outbound.Unresolved {
		t.Errorf("a name that leads nowhere: %+v", got)
	}
}

// Promise: whatever address is given to it, Check judges it without a panic, and what it lets through names a host and a port.
func FuzzCheck(f *testing.F) {
	for _, url := range []string{"https://good.example/", "http://[::1]:80/x", "https://a@b:1/#", "https://%41/", "//x", "https://1.2.3.4:99999"} {
		f.Add(url)
	}
	resolver, _ := answering(map[string][]string{"good.example": {"93.184.216.34"}})
	c := outbound.New(outbound.Config{Resolver: resolver, Now: morning})
	f.Fuzz(func(t *testing.T, url string) {
		target, err := c.Check(t.Context(), url)
		if err != nil {
			return
		}
		if host, port, fault := net.SplitHostPort(target); fault != nil || host == "" || port == "" || !utf8.ValidString(target) {
			t.Errorf("%q has the target %q", url, target)
		}
	})
}
