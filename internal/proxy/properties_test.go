package proxy_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/proxy"
)

// trustedList is what the properties and fuzz targets trust.
var trustedList = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.9/32"), netip.MustParsePrefix("2001:db8:ffff::/48"),
}

// isTrusted says the same as the package does, in the plain way.
func isTrusted(a netip.Addr) bool {
	return slices.ContainsFunc(trustedList, func(p netip.Prefix) bool { return p.Contains(a.Unmap().WithZone("")) })
}

func resolver(h proxy.Header) *proxy.Resolver {
	return proxy.New(proxy.Config{Trusted: trustedList, Header: h})
}

// drawText makes what a caller might send: fragments of what the parsers look for, and anything.
func drawText(t *rapid.T, label string) string {
	fragment := rapid.OneOf(
		rapid.SampledFrom([]string{
			"10.0.0.1", "192.0.2.9", "2001:db8:ffff::1", "::ffff:10.0.0.1", "203.0.113.1", "unknown", "_x", "for=", "proto=https", "by=", `"`, `\`, ",", ", ",
			";", ":80", "[", "]", "%eth0", " ", "\t", "=", "https", "\x00", "\xff",
		}), rapid.String(), rapid.Map(drawAddress(), netip.Addr.String),
	)
	return strings.Join(rapid.SliceOfN(fragment, 0, 12).Draw(t, label), "")
}

func drawAddress() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		switch rapid.IntRange(0, 4).Draw(t, "family") {
		case 0:
			return netip.MustParseAddr("10.0.0.1")
		case 1:
			return netip.MustParseAddr("2001:db8:ffff::1")
		case 2:
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6")))
		case 3:
			return netip.AddrFrom16(netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "mapped"))).As16())
		default:
			return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
		}
	})
}

// drawHeader makes the header of a request, with up to three lines of each kind that anybody ever took an address from.
func drawHeader(t *rapid.T) http.Header {
	h := http.Header{}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip", "True-Client-Ip"} {
		for i := range rapid.IntRange(0, 3).Draw(t, name) {
			h[name] = append(h[name], drawText(t, fmt.Sprint(name, i)))
		}
	}
	return h
}

// Promise: a header cannot change who a caller is that comes by no trusted proxy, whatever it says; and that it said
// something is known.
func TestAHeaderFromAnyoneChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kind := proxy.Header(rapid.IntRange(0, 2).Draw(t, "kind"))
		peer := drawAddress().Filter(func(a netip.Addr) bool { return !isTrusted(a) }).Draw(t, "peer")
		h := drawHeader(t)
		want := proxy.Client{Address: peer.Unmap(), Ignored: h["Forwarded"] != nil || h["X-Forwarded-For"] != nil || h["X-Forwarded-Proto"] != nil}
		if got := resolver(kind).Client(peer, h); !reflect.DeepEqual(got, want) {
			t.Fatalf("%v with %v is %+v", peer, h, got)
		}
	})
}

// Promise: behind any chain of trusted proxies, whatever the caller sent, the caller is the one whose address the
// outermost of them saw, and the protocol the one that the innermost saw; whether a proxy adds to the last line or adds
// a line of its own.
func TestACallerBehindProxiesIsWhomTheySaw(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]proxy.Header{proxy.Forwarded, proxy.XForwardedFor}).Draw(t, "kind")
		caller := drawAddress().Filter(func(a netip.Addr) bool { return !isTrusted(a) }).Draw(t, "caller")
		h := drawHeader(t)
		var proxies []netip.Addr
		from := caller
		for n := range rapid.IntRange(1, 5).Draw(t, "proxies") {
			lines, word := h[kind.String()], written(t, kind, from)
			if len(lines) > 0 && rapid.Bool().Draw(t, fmt.Sprint("adds to the line", n)) {
				lines[len(lines)-1] += ", " + word
			} else {
				h[kind.String()] = append(lines, word)
			}
			from = drawAddress().Filter(isTrusted).Draw(t, fmt.Sprint("proxy", n))
			proxies = append(proxies, from.Unmap())
		}
		if kind == proxy.XForwardedFor {
			h["X-Forwarded-Proto"] = append(h["X-Forwarded-Proto"], "https")
		}
		slices.Reverse(proxies)
		want := proxy.Client{Address: caller.Unmap(), Hops: proxies, Proto: "https"}
		if got := resolver(kind).Client(from, h); !reflect.DeepEqual(got, want) {
			t.Fatalf("%v behind %v with %q is %+v", caller, proxies, h, got)
		}
	})
}

// written is how a proxy writes the address of the one before it, in one of the usual forms.
func written(t *rapid.T, kind proxy.Header, a netip.Addr) string {
	forms := []string{a.String(), netip.AddrPortFrom(a, 443).String(), a.StringExpanded()}
	text := rapid.SampledFrom(forms).Draw(t, "form")
	if kind == proxy.XForwardedFor {
		return text
	}
	if !strings.Contains(text, "[") && strings.Contains(text, ":") && !a.Is4() {
		text = "[" + text + "]"
	}
	before := rapid.SampledFrom([]string{`for="`, `by="_a,b\"c";for="`, `host="a;b\\";For="`}).Draw(t, "before")
	return before + text + rapid.SampledFrom([]string{`";proto=https`, `" ; Proto="HTTPS";`}).Draw(t, "after")
}

// Promise: of any list of prefixes, the resolver trusts exactly the addresses in one of them, and an IPv4 address written
// as IPv6 is in those that it itself is in.
func TestTrustIsMembership(t *testing.T) {
	t.Parallel()
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := drawAddress().Draw(t, "address").Unmap()
		return netip.PrefixFrom(a, rapid.IntRange(1, a.BitLen()).Draw(t, "bits"))
	})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(prefix, 0, 20).Draw(t, "trusted")
		r := proxy.New(proxy.Config{Trusted: list, Header: proxy.XForwardedFor})
		addresses := rapid.SliceOfN(drawAddress(), 1, 10).Draw(t, "addresses")
		for _, p := range list {
			addresses = append(addresses, p.Masked().Addr(), p.Masked().Addr().Prev(), p.Addr(), netip.AddrFrom16(p.Addr().As16()))
		}
		for _, a := range addresses {
			if !a.IsValid() {
				continue
			}
			want := slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
			got := r.Client(a, http.Header{"X-Forwarded-For": {"unknown"}})
			if trusted := !got.Ignored; trusted != want || trusted == got.Address.IsValid() {
				t.Fatalf("%v is trusted: %v, with %v", a, trusted, list)
			}
		}
	})
}
