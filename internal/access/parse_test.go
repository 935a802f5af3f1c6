package access_test

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: an entry of a list of domains is read as it is meant, and written in one form; what is no entry is refused.
func TestParseDomain(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for text, want := range map[string]string{
		"www.example.com":               "www.example.com",
		"WWW.Example.COM":               "www.example.com",
		"www.example.com.":              "www.example.com",
		"HTTPS://www.example.com":       "https://www.example.com",
		"https://www.example.com:443":   "https://www.example.com",
		"http://www.example.com:80/":    "http://www.example.com",
		"www.example.com:443":           "www.example.com:443",
		"https://www.example.com:80":    "https://www.example.com:80",
		"*.example.com":                 "*.example.com",
		"https://*.Example.com:8443/a*": "https://*.example.com:8443/a",
		"www.example.com/":              "www.example.com",
		"www.example.com/*":             "www.example.com",
		"www.example.com/app/stock":     "www.example.com/app/stock",
		"www.example.com/App/*":         "www.example.com/App/",
		"www.example.com/@me/a%20b;c=1": "www.example.com/@me/a%20b;c=1",
		"https://x/a://b":               "https://x/a://b",
		"localhost:3000":                "localhost:3000",
		"203.0.113.7":                   "203.0.113.7",
		"[2001:DB8:0::1]:8080":          "[2001:db8::1]:8080",
		"[::ffff:203.0.113.7]":          "[::ffff:203.0.113.7]",
		"xn--bcher-kva.example":         "xn--bcher-kva.example",
		"my_app.example.com":            "my_app.example.com",
		"1password.com":                 "1password.com",
		"0xyz.example":                  "0xyz.example",
		"null":                          "null",
		long + ".example":               long + ".example",
		"com":                           "com",
	} {
		d, err := access.ParseDomain(text)
		if err != nil || d.String() != want {
			t.Errorf("%s is read as %s, %v; want %s", text, d, err, want)
		}
	}
	for _, text := range []string{
		"", ".", "*", "*.", "*.*.example.com", "www.*.com", "w*.example.com", "*example.com", "**.example.com", "/app", "https://", "https:///app",
		"ftp://www.example.com", "ws://www.example.com", "://www.example.com", "javascript:alert(1)", "www.example.com:", "www.example.com:0",
		"www.example.com:0443", "www.example.com:65536", "www.example.com:+80", "www.example.com:8 0", "www.example.com:x",
		"user@www.example.com", "https://user:pw@www.example.com", "www.example.com?x=1", "www.example.com#x", "www.example.com/a?b", "www.example.com/a#b",
		"www.example.com/a*b", "www.example.com/a**", "www.example.com/a b", "www.example.com/\x00", "www.example.com/é", "www.example.com/a\\b",
		"www.example.com\\", "www.exa mple.com", "www.example.com ", " www.example.com", "www.example.com\n", "a..b", ".example.com", "-a.example.com",
		"a-.example.com", "bücher.example", "www.exаmple.com", "a,b", "a b", "2001:db8::1", "[2001:db8::1", "2001:db8::1]", "[2001:db8::1]]", "[203.0.113.7]",
		"[fe80::1%25eth0]", "[::1]x", "*.203.0.113.7", "*.113.7", "*.7", "*.[2001:db8::1]", "203.0.113", "203.0.113.7.8", "203.0.113.256", "203.0.113.07",
		"1", "0x7f000001", "example.0x1", "a::1.2.3.4:80", "NULL", "https://null", "null:80", "null/app", "*.null",
		long + "a.example", strings.Repeat("a.", 127) + "com", strings.Repeat("a", access.MaxDomain+1), "www.example.com/" + strings.Repeat("a", access.MaxDomain),
	} {
		if d, err := access.ParseDomain(text); err == nil {
			t.Errorf("%.80q is read as %s", text, d)
		} else if len(err.Error()) > 200 || !strings.HasPrefix(err.Error(), "is ") && !strings.HasPrefix(err.Error(), "has ") {
			t.Errorf("%.80q: %v", text, err)
		}
	}
}

// Promise: the page a request comes from is read as browsers write it; what cannot be read is a page that no entry means.
func TestParseOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ origin, referer, want, path string }{
		{"", "", "", ""},
		{"https://www.example.com", "", "https://www.example.com", ""},
		{"HTTPS://WWW.Example.com:443", "", "https://www.example.com", ""},
		{"http://www.example.com:8080", "", "http://www.example.com:8080", ""},
		{"https://www.example.com", "https://www.example.com/a/b?c#d", "https://www.example.com", "/a/b"},
		{"https://www.example.com", "https://www.example.com:443/a", "https://www.example.com", "/a"},
		{"https://www.example.com", "http://www.example.com/a", "https://www.example.com", ""},
		{"https://www.example.com", "https://evil.org/a", "https://www.example.com", ""},
		{"", "https://www.example.com/a/b?c#d", "https://www.example.com", "/a/b"},
		{"", "https://www.example.com?c", "https://www.example.com", ""},
		{"", "https://[2001:DB8::1]:8443/a", "https://[2001:db8::1]:8443", "/a"},
		{"null", "https://www.example.com/a", "null", ""},
		{"nonsense", "https://www.example.com/a", "null", ""},
		{"", "nonsense", "null", ""},
		{"", "https://user@www.example.com/", "null", ""},
		{"https://null", "", "null", ""},
	} {
		o := access.ParseOrigin(c.origin, c.referer)
		if o.String() != c.want || o.Path != c.path || o.Given != (c.origin+c.referer != "") {
			t.Errorf("%q with %q is read as %q with %q (%+v)", c.origin, c.referer, o, o.Path, o)
		}
	}
}

// Promise: an address stands for itself and a range for its addresses, IPv4 written as IPv6 is IPv4, bits that do not
// count are dropped and it is said so; what is neither is refused.
func TestParseNetwork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, want string
		masked     bool
	}{
		{"203.0.113.7", "203.0.113.7/32", false}, {"203.0.113.7/32", "203.0.113.7/32", false}, {"203.0.113.0/24", "203.0.113.0/24", false},
		{"203.0.113.7/24", "203.0.113.0/24", true}, {"10.1.2.3/8", "10.0.0.0/8", true}, {"0.0.0.0/0", "0.0.0.0/0", false}, {"1.2.3.4/0", "0.0.0.0/0", true},
		{"2001:db8::1", "2001:db8::1/128", false}, {"2001:DB8:0::/32", "2001:db8::/32", false}, {"2001:db8::1/32", "2001:db8::/32", true}, {"::/0", "::/0", false},
		{"::ffff:203.0.113.7", "203.0.113.7/32", false}, {"::ffff:203.0.113.0/120", "203.0.113.0/24", false}, {"::ffff:10.1.2.3/104", "10.0.0.0/8", true},
		{"::ffff:0:0/96", "0.0.0.0/0", false}, {"::ffff:cb00:7107/128", "203.0.113.7/32", false}, {"::1", "::1/128", false}, {"fe80::/10", "fe80::/10", false},
	} {
		got, masked, err := access.ParseNetwork(c.text)
		if err != nil || got.String() != c.want || masked != c.masked {
			t.Errorf("%s is read as %s, masked %v, %v; want %s, masked %v", c.text, got, masked, err, c.want, c.masked)
		}
	}
	for _, text := range []string{
		"", "/", "/24", "203.0.113.7/", "203.0.113.7/33", "203.0.113.7/-1", "203.0.113.7/+8", "203.0.113.7/08", "203.0.113.7/8/8", "203.0.113.7/255.0.0.0", "203.0.113",
		"203.0.113.256", "203.0.113.07", "0xcb.0.113.7", "3405803783", "203.0.113.7:80", "203.0.113.7 ", " 203.0.113.7", "203.0.113.*", "203.0.113.1-9",
		"2001:db8::/129", "2001:db8:::1", "[2001:db8::1]", "fe80::1%eth0", "fe80::%eth0/10", "fe80::1%eth0/64", "::ffff:203.0.113.7%eth0", "::ffff:0:0/95", "::ffff:10.0.0.0/8",
		"example.com", "any", "anywhere", strings.Repeat("1", 1<<16),
	} {
		if got, _, err := access.ParseNetwork(text); err == nil {
			t.Errorf("%.80q is read as %s", text, got)
		} else if len(err.Error()) > 300 {
			t.Errorf("%.80q: an error of %d bytes", text, len(err.Error()))
		}
	}
}

// Promise: what is read is written so that it reads back the same, whatever it was put together from.
func TestDomainsReadBack(t *testing.T) {
	t.Parallel()
	part := func(list ...string) *rapid.Generator[string] { return rapid.SampledFrom(list) }
	scheme, wild := part("", "https://", "http://", "HTTPS://", "ftp://", "://"), part("", "*.", "*", "**.")
	host := part("www.example.com", "EXAMPLE.com", "a.b.", "localhost", "203.0.113.7", "[2001:DB8::1]", "[::ffff:1.2.3.4]", "null", "xn--a", "a_b", "1.2", "é.com", "")
	port := part("", ":80", ":443", ":8443", ":0", ":65535", ":65536", ":")
	path := part("", "/", "/*", "/a", "/a*", "/a/", "/a**", "/a?b", "/a://b", "/%41@")
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		text := scheme.Draw(t, "scheme") + wild.Draw(t, "wild") + host.Draw(t, "host") + port.Draw(t, "port") + path.Draw(t, "path")
		d, err := access.ParseDomain(text)
		if err != nil {
			met["refused"]++
			return
		}
		checkDomain(t, text, d)
		met["read"]++
	})
	met.check(t, "read", "refused")
}

// fataler is a test of any kind.
type fataler interface {
	Fatalf(format string, args ...any)
}

// checkDomain checks what holds of every entry that is read.
func checkDomain(t fataler, text string, d access.Domain) {
	if back, err := access.ParseDomain(d.String()); err != nil || back != d {
		t.Fatalf("%q is written as %q, and that is read as %+v, %v", text, d, back, err)
	}
	if len(d.String()) > access.MaxDomain || d.Host != strings.ToLower(d.Host) || strings.ContainsAny(d.String(), " \r\n\x00") {
		t.Fatalf("%q is read as %+v", text, d)
	}
	for _, page := range witnesses(d) {
		if page.Host == "" || !allowsPage(d, page) {
			t.Fatalf("%q does not mean its own page %+v", text, page)
		}
		for _, evil := range []access.Origin{
			{Given: true, Scheme: page.Scheme, Port: page.Port, Path: page.Path, Host: page.Host + ".evil.org"},
			{Given: true, Scheme: page.Scheme, Port: page.Port, Path: page.Path, Host: "evil" + d.Host},
			{Given: true, Scheme: page.Scheme, Port: page.Port + 1, Path: page.Path, Host: page.Host},
			{Given: true}, {},
		} {
			if (d.Host != "null" || evil.Host != "null") && allowsPage(d, evil) {
				t.Fatalf("%q means the page %+v", text, evil)
			}
		}
	}
}

// checkNetwork checks what holds of every network that is read: it reads back, is masked, and has the addresses that the
// older reader of the standard library says.
func checkNetwork(t fataler, text string, prefix netip.Prefix, masked bool) {
	if back, again, err := access.ParseNetwork(prefix.String()); err != nil || back != prefix || again {
		t.Fatalf("%q is read as %s, and that as %s, masked %v, %v", text, prefix, back, again, err)
	}
	if !prefix.IsValid() || prefix != prefix.Masked() || prefix.Addr().Is4In6() || prefix.Addr().Zone() != "" {
		t.Fatalf("%q is read as %s", text, prefix)
	}
	if ip, old, err := net.ParseCIDR(text); err == nil {
		ones, size := old.Mask.Size()
		if size == 128 && len(old.IP) == 16 && old.IP.To4() != nil && ones >= 96 {
			ones -= 96
		}
		if !old.IP.Equal(prefix.Addr().AsSlice()) || ones != prefix.Bits() || masked != !ip.Equal(old.IP) {
			t.Fatalf("%q is read as %s, and of old as %s", text, prefix, old)
		}
	} else if ip := net.ParseIP(text); ip == nil || !ip.Equal(prefix.Addr().AsSlice()) || !prefix.IsSingleIP() {
		t.Fatalf("%q is read as %s, and of old as %s", text, prefix, ip)
	}
}

// Promise: whatever is read as a domain is written so that it reads back, means its own pages and none of a host that only looks like it.
func FuzzParseDomain(f *testing.F) {
	for _, text := range append(domains, "https://*.Example.com:8443/a*", "[::1]:80", "null:1", "*.7", "a\x00b", "www.example.com/a?b") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := access.ParseDomain(text)
		if err != nil {
			if len(err.Error()) > 200 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		checkDomain(t, text, d)
	})
}

// Promise: whatever is read as a page is written so that it reads back, and the Referer adds at most the path of the very same origin.
func FuzzParseOrigin(f *testing.F) {
	for i, origin := range origins {
		f.Add(origin, referers[i%len(referers)])
	}
	f.Fuzz(func(t *testing.T, origin, referer string) {
		o, bare := access.ParseOrigin(origin, referer), access.ParseOrigin(origin, "")
		if o.Given != (origin != "" || referer != "") {
			t.Fatalf("%q with %q: given %v", origin, referer, o.Given)
		}
		if from := access.ParseOrigin("", referer); origin != "" && (o.String() != bare.String() || bare.Path != "" || o.Path != "" && o != from) {
			t.Fatalf("%q with %q is %+v, without it %+v, and the other alone %+v", origin, referer, o, bare, from)
		}
		if strings.ContainsAny(o.Path, "?#") || o.Path != "" && o.Path[0] != '/' || o.Path != "" && o.Host == "" {
			t.Fatalf("%q with %q has the path %q", origin, referer, o.Path)
		}
		if o.Host == "" || o.Host == "null" {
			return
		}
		again := access.ParseOrigin(o.String(), "")
		if again.Path = o.Path; again != o {
			t.Fatalf("%q is written as %q, and that is read as %+v", origin, o, again)
		}
		if d, err := access.ParseDomain(o.String()); err != nil || !allowsPage(d, o) {
			t.Fatalf("%q is no entry that means itself: %v", o, err)
		}
	})
}

// Promise: whatever is read as a network reads back, is masked, and has the addresses that the older reader of the standard library says.
func FuzzParseNetwork(f *testing.F) {
	for _, text := range append(networks, "10.1.2.3/8", "::ffff:10.1.2.3/104", "fe80::1%eth0/64", "::ffff:0:0/95", "1.2.3.4/33") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		prefix, masked, err := access.ParseNetwork(text)
		if err != nil {
			if len(err.Error()) > 400 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		checkNetwork(t, text, prefix, masked)
	})
}

// Promise: an address is in a network exactly when the older reader of the standard library says so.
func FuzzNetworkAllowed(f *testing.F) {
	for i, text := range networks {
		f.Add(text, addresses[i%len(addresses)])
	}
	f.Fuzz(func(t *testing.T, network, address string) {
		prefix, _, err := access.ParseNetwork(network)
		addr, bad := netip.ParseAddr(address)
		if err != nil || bad != nil {
			return
		}
		key := sampleKey()
		key.Networks = []access.Network{{Prefix: netip.MustParsePrefix("192.0.2.1/32")}, {Prefix: prefix}}
		attempt := access.Attempt{Action: access.HoldKey, At: noon, Circumstances: access.Circumstances{Via: access.InHeader, Address: addr}}
		ip := net.ParseIP(addr.WithZone("").String())
		want := ip.Equal(net.IPv4(192, 0, 2, 1)) || ipNet(prefix).Contains(ip)
		if got := access.Decide(key, &attempt).Allowed(); got != want {
			t.Fatalf("%s in %s: %v", addr, prefix, got)
		}
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Promise: an event is allowed by a pattern exactly when it is that name, or begins as the pattern does before its last *.
func FuzzEventPattern(f *testing.F) {
	for i, pattern := range patterns {
		f.Add(pattern, events[i%len(events)])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		key := sampleKey()
		key.Events = []string{"\x00never", pattern}
		attempt := access.Attempt{Action: access.WriteEvents, At: noon, Circumstances: access.Circumstances{Via: access.InHeader}, Targets: []access.Target{{Event: name}}}
		want := name == "\x00never" || pattern == name
		if begin, open := strings.CutSuffix(pattern, "*"); open && len(begin) <= len(name) {
			want = want || begin == name[:len(begin)]
		}
		if got := access.Decide(key, &attempt).Allowed(); got != want {
			t.Fatalf("%q of %q: %v", name, pattern, got)
		}
		outer := access.Bounds{Events: []string{pattern}}
		if within := (&access.Bounds{Events: []string{name}}).Exceeds(&outer) == ""; within && !strings.HasSuffix(name, "*") && !want {
			t.Fatalf("%q is within %q and not allowed", name, pattern)
		}
		if valid := regexp.MustCompile(`^[a-z_]+$`); valid.MatchString(name) && valid.MatchString(strings.TrimSuffix(pattern, "*")) {
			expr := "^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$"
			if regexp.MustCompile(expr).MatchString(name) != want {
				t.Fatalf("%q of %q: %s says otherwise", name, pattern, expr)
			}
		}
	})
}
