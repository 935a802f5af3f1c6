package proxy_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/weir-analytics/weir/internal/proxy"
)

type request struct {
	name   string
	kind   proxy.Header
	peer   string
	header http.Header
	allocs float64
}

func requests() []request {
	agent := http.Header{"User-Agent": {"x"}, "Content-Type": {"application/json"}, "X-Api-Key": {"x"}}
	with := func(lines map[string]string) http.Header {
		h := agent.Clone()
		for name, value := range lines {
			h[name] = []string{value}
		}
		return h
	}
	return []request{
		{"direct", proxy.XForwardedFor, "203.0.113.1", agent, 0},
		{"spoofed", proxy.XForwardedFor, "203.0.113.1", with(map[string]string{"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1"}), 0},
		{"XForwardedFor, one proxy", proxy.XForwardedFor, "10.0.0.1", with(map[string]string{"X-Forwarded-For": "203.0.113.1", "X-Forwarded-Proto": "https"}), 1},
		{"XForwardedFor, three proxies", proxy.XForwardedFor, "10.0.0.1", with(map[string]string{"X-Forwarded-For": "203.0.113.1, 10.0.0.3, 10.0.0.2"}), 3},
		{"Forwarded, one proxy", proxy.Forwarded, "10.0.0.1", with(map[string]string{"Forwarded": `for="[2001:db8::7]:4711";proto=https;by=_weir`}), 1},
	}
}

// many is a list of the length that content delivery networks have.
func many() []netip.Prefix {
	list := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for i := range 200 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i), 0, 0}), 17))
	}
	return list
}

// Promise: a caller that comes by no trusted proxy costs no memory, whatever it sends.
func TestADirectCallerAllocatesNothing(t *testing.T) {
	for _, q := range requests() {
		r, peer := proxy.New(proxy.Config{Trusted: many(), Header: q.kind}), netip.MustParseAddr(q.peer)
		if n := testing.AllocsPerRun(100, func() { r.Client(peer, q.header) }); n > q.allocs {
			t.Errorf("%s: %v allocations, want at most %v", q.name, n, q.allocs)
		}
	}
}

func BenchmarkClient(b *testing.B) {
	for _, q := range requests() {
		b.Run(q.name, func(b *testing.B) {
			r, peer := proxy.New(proxy.Config{Trusted: many(), Header: q.kind}), netip.MustParseAddr(q.peer)
			b.ReportAllocs()
			for b.Loop() {
				r.Client(peer, q.header)
			}
		})
	}
}
