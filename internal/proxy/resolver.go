package proxy

import (
	"net/http"
	"net/netip"
	"strings"
)

// Header is the one header in which the trusted proxies say whom they speak for. The others are never read: a proxy
// passes on unread what it does not know, so what is in them is the caller's word.
type Header uint8

// The kinds of header.
const (
	NoHeader      Header = iota // the other end of the connection is the caller, always
	Forwarded                   // RFC 7239
	XForwardedFor               // with X-Forwarded-Proto
)

// String is the name of the header; "none" for none.
func (h Header) String() string {
	switch h {
	case Forwarded:
		return "Forwarded"
	case XForwardedFor:
		return "X-Forwarded-For"
	default:
		return "none"
	}
}

// ParseHeader finds a header by its name, in any case. It knows "none", and no name at all is none.
func ParseHeader(name string) (Header, bool) {
	for h := NoHeader; h <= XForwardedFor; h++ {
		if strings.EqualFold(name, h.String()) {
			return h, true
		}
	}
	return NoHeader, name == ""
}

// Config is who is trusted, and with what. Trusted is what ParseTrusted returns; what it would refuse is left out.
type Config struct {
	Trusted []netip.Prefix
	Header  Header
}

// Resolver finds out who a caller is. It does not change, and can be used by many at once.
type Resolver struct {
	trusted networks
	header  Header
}

// New makes a Resolver. That of the zero Config trusts nobody.
func New(c Config) *Resolver { return &Resolver{newNetworks(c.Trusted), c.Header} }

// Client is who a request comes from.
type Client struct {
	// Address is the caller's, without zone, and an IPv4 address always as itself. It is the zero Addr when nobody
	// knows it: the peer has no address, or a trusted proxy says that it does not tell.
	Address netip.Addr
	// Hops are the trusted proxies between us and the caller, nearest first; nil when the caller is the peer.
	Hops []netip.Addr
	// Proto is what the peer says the request came to it by: "http" or "https". Empty when it says nothing or anything
	// else, and when it is not trusted.
	Proto string
	// Ignored: the peer is not trusted and sent a header in which proxies say whom they speak for. It changed nothing.
	Ignored bool
	// Broken: a trusted proxy wrote what cannot be read, or more than 32 of them stand in a row. Reading stopped there,
	// and Address is the last one that could be read: a trusted proxy's, not the caller's.
	Broken bool
}

// The limits of what is read of a header; what lies beyond, to its left, does not matter.
const (
	maxHops    = 32
	maxElement = 512 // bytes
)

// Peer is the address of the other end of a connection, from its text as http.Request.RemoteAddr has it. It is the zero
// Addr when there is none in it.
func Peer(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return plain(ap.Addr())
}

// plain is an address as it is compared.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Client finds out who sent a request with the header h over a connection from peer. The names in h are in the form of
// net/http. It allocates nothing when the peer is not trusted.
func (r *Resolver) Client(peer netip.Addr, h http.Header) Client {
	c := Client{Address: plain(peer)}
	if !r.trusted.contain(c.Address) {
		c.Ignored = len(h["Forwarded"]) > 0 || len(h["X-Forwarded-For"]) > 0 || len(h["X-Forwarded-Proto"]) > 0
		return c
	}
	switch r.header {
	case Forwarded:
		r.follow(&c, trail{lines: h["Forwarded"], quoted: true})
	case XForwardedFor:
		if last, ok, more := (&trail{lines: h["X-Forwarded-Proto"]}).next(); ok && more {
			c.Proto = scheme(last)
		}
		r.follow(&c, trail{lines: h["X-Forwarded-For"]})
	case NoHeader:
	}
	return c
}

// follow walks from the peer to the caller: as long as the one it stands on is trusted, what that one wrote tells the
// next.
func (r *Resolver) follow(c *Client, t trail) {
	for n := 0; r.trusted.contain(c.Address); n++ {
		text, ok, more := t.next()
		if !more {
			return
		}
		e := element{node: text}
		if ok && r.header == Forwarded {
			if e, ok = readElement(text); ok && n == 0 {
				c.Proto = scheme(e.proto)
			}
		}
		var next netip.Addr
		if ok && (e.node != "" || r.header == XForwardedFor) {
			next, ok = readNode(e.node)
		}
		if !ok || n == maxHops {
			c.Broken = true
			return
		}
		c.Hops = append(c.Hops, c.Address)
		c.Address = next
	}
}

// scheme is text when it is one of the two.
func scheme(text string) string {
	switch {
	case strings.EqualFold(text, "https"):
		return "https"
	case strings.EqualFold(text, "http"):
		return "http"
	}
	return ""
}
