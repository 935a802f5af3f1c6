package proxy

import (
	"net"
	"net/netip"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// defaultHeaderTime is how long a proxy may take for its header when nothing is said.
const defaultHeaderTime = 5 * time.Second

// Listen makes a listener that takes the PROXY protocol, version 1 or 2, from the trusted. They must send its header
// first, whole, and within headerTime (5 s when it is not positive); a connection of theirs that does not is of no use:
// nothing can be read from it, and nothing written to it. The header of anybody else is not interpreted, so it is a bad
// request.
//
// The remote address of a trusted proxy's connection is the one in the header. It is the proxy's own when the header
// says that the proxy speaks for itself (LOCAL of version 2), and has no address in it when the proxy does not know for
// whom it speaks (UNKNOWN of version 1, or a Unix socket): such a caller is nobody, and not the proxy.
//
// Accept waits for no header. It is read when it is first needed, by whoever serves the connection.
func Listen(inner net.Listener, trusted []netip.Prefix, headerTime time.Duration) net.Listener {
	if headerTime <= 0 {
		headerTime = defaultHeaderTime
	}
	return &listener{Listener: inner, trusted: newNetworks(trusted), headerTime: headerTime}
}

type listener struct {
	net.Listener

	trusted    networks
	headerTime time.Duration
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	peer, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !l.trusted.contain(plain(peer.AddrPort().Addr())) {
		return c, nil
	}
	return &relayed{proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(l.headerTime))}, nil
}

// relayed is a connection from a trusted proxy.
type relayed struct{ *proxyproto.Conn }

// RemoteAddr is whom the proxy speaks for. It waits for the header.
func (c *relayed) RemoteAddr() net.Addr {
	header, remote := c.ProxyHeader(), c.Conn.RemoteAddr()
	switch {
	case header == nil: // there will be no request
		return remote
	case header.Command.IsLocal() && header.Version == 1:
		return nobody{}
	}
	if _, unix := remote.(*net.UnixAddr); unix && header.Command.IsProxy() {
		return nobody{}
	}
	return remote
}

// nobody is the address of a caller whom the proxy does not know.
type nobody struct{}

// Network is that of the connection.
func (nobody) Network() string { return "tcp" }

// String is no address: Peer makes the zero Addr of it.
func (nobody) String() string { return "unknown" }
