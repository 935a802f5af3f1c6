package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// MaxRetryAfter is the longest that an answer can ask to be left alone.
const MaxRetryAfter = 24 * time.Hour

// errRefused says that an address may not be connected to.
var errRefused = errors.New("outbound: the address is not allowed")

// special4 are the networks of IPv4 that are not the public Internet's (IANA's registry of special-purpose addresses, and
// multicast), and the one public address at which a cloud answers only its own machines.
var special4 = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32")

// global6 is the part of IPv6 that is given out, and special6 what in it is not the public Internet's: among others Teredo and
// 6to4, which lead to an IPv4 address.
var (
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, text := range list {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

func inside(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Public reports whether an address is one of the public Internet.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid() || addr.Zone() != "":
		return false
	case addr.Is4():
		return !inside(special4, addr)
	}
	return global6.Contains(addr) && !inside(special6, addr)
}

// allowed reports whether an address is in a network that the operator allows.
func (c *Client) allowed(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsValid() && addr.Zone() == "" && inside(c.cfg.Allow, addr)
}

func (c *Client) public(addr netip.Addr) bool { return Public(addr) || c.allowed(addr) }

// portOf reports whether a port of a public address may be connected to: those below 1024 are other services'.
func portOf(port int) bool { return port >= 1024 || port == 443 || port == 80 }

// guard looks at the address of each connection after its name has been resolved, and before anything is sent.
func guard(may func(netip.AddrPort) bool) func(network, address string, _ syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !strings.HasPrefix(network, "tcp") || !may(at) {
			return errRefused
		}
		return nil
	}
}

// Check judges an address that somebody wants to be sent to, and resolves its name. It returns the host and the port, by which
// addresses of the same server are told to be so, and an error in words for whoever chose it.
func (c *Client) Check(ctx context.Context, address string) (target string, err error) {
	if len(address) > MaxURL {
		return "", errors.New("is longer than 2,048 bytes")
	}
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("must be an address that begins with https://")
	}
	host, port, err := placeOf(u)
	if err != nil {
		return "", err
	}
	addresses, err := c.resolve(ctx, host)
	if err != nil {
		return "", err
	}
	for _, addr := range addresses {
		switch {
		case !c.public(addr):
			return "", errors.New("leads to a network that is not public, and that the setting webhook-allow does not have")
		case c.allowed(addr):
		case u.Scheme == "http":
			return "", errors.New("must begin with https://: in cleartext, only what the setting webhook-allow has is sent to")
		case !portOf(port):
			return "", errors.New("has a port that is that of another service: 443, or one from 1024, can be used")
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// placeOf is where an address is, in one way of writing it.
func placeOf(u *url.URL) (host string, port int, err error) {
	host = strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case u.User != nil:
		return "", 0, errors.New("must have no user name or password in it")
	case u.Fragment != "":
		return "", 0, errors.New("must have no #fragment")
	case host == "" || strings.ContainsAny(host, "%"):
		return "", 0, errors.New("has no host name that can be used")
	}
	for i := range len(host) {
		if host[i] <= ' ' || host[i] >= 0x7f {
			return "", 0, errors.New("must have its host name in letters, digits and hyphens, or as xn--")
		}
	}
	port = map[string]int{"https": 443, "http": 80}[u.Scheme]
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port < 1 || port > 65_535 {
			return "", 0, errors.New("has no port that can be used")
		}
	}
	return host, port, nil
}

// resolve finds the addresses of a host.
func (c *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	resolver := c.cfg.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	found, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		return nil, errors.New("has a host name that leads nowhere just now")
	}
	return found, nil
}

// retryAfter reads the header of that name (RFC 9110 section 10.2.3), within bounds; 0: it says nothing.
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), MaxRetryAfter)
}
