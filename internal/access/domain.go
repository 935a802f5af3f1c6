package access

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Domain is one entry of a list of pages that may use a public key (contracts D2). A host is in lower case, and an
// international one in its ASCII form (RFC 5891).
type Domain struct {
	Scheme string // http or https; empty: both
	Host   string // a name, or an address in brackets if it is of IPv6; "null": pages without an origin
	Wild   bool   // every name below Host, and not Host itself
	Port   uint16 // 0: the usual one of the scheme
	Path   string // the page's address begins with it; empty: every page
}

// Origin is the page a request comes from, as far as a browser says. The zero Origin is none; whoever is no browser can
// send any.
type Origin struct {
	Given  bool
	Scheme string
	Host   string // "null" for an opaque origin
	Port   uint16 // 0: the usual one of the scheme
	Path   string // known only from a Referer
}

// MaxDomain bounds an entry, in bytes.
const MaxDomain = 300

// ParseDomain reads an entry such as www.example.com, https://www.example.com/app, *.example.com:8443 or [2001:db8::1].
// A * at the end of a path is allowed, and is there whether it is written or not.
func ParseDomain(text string) (Domain, error) {
	var d Domain
	if text == opaque {
		return Domain{Host: text}, nil
	}
	if len(text) > MaxDomain {
		return d, fmt.Errorf("is longer than %d bytes", MaxDomain)
	}
	rest := text
	if scheme, after, ok := strings.Cut(rest, "://"); ok {
		if d.Scheme = strings.ToLower(scheme); usual(d.Scheme) == 0 {
			return d, errors.New("has a scheme that is neither http nor https")
		}
		rest = after
	}
	if at := strings.IndexByte(rest, '/'); at >= 0 {
		d.Path, rest = strings.TrimSuffix(rest[at:], "*"), rest[:at]
		if strings.ContainsFunc(d.Path, notInPath) {
			return d, errors.New("has a path with something that the path of a page's address has not: a * within, a ? or #, or what must be percent-encoded")
		}
		if d.Path == "/" {
			d.Path = ""
		}
	}
	rest, d.Wild = strings.CutPrefix(rest, "*.")
	var ok bool
	if d.Host, d.Port, ok = hostPort(rest); !ok {
		return d, errors.New("has no host, or one that is neither an address nor a name in its ASCII form")
	}
	if d.Wild && isAddress(d.Host) {
		return d, errors.New("has a wildcard before an address")
	}
	if usual(d.Scheme) == d.Port {
		d.Port = 0
	}
	return d, nil
}

// opaque is the origin of pages that have none of their own, as browsers write it. It is no host's name.
const opaque = "null"

func notInPath(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`?#\*`, c) }

// isAddress reports whether a host is an address and not a name.
func isAddress(host string) bool {
	return host[0] == '[' || numeric(host[strings.LastIndexByte(host, '.')+1:])
}

// String writes the entry as ParseDomain reads it.
func (d Domain) String() string {
	text := ""
	if d.Scheme != "" {
		text = d.Scheme + "://"
	}
	if d.Wild {
		text += "*."
	}
	text += d.Host
	if d.Port != 0 {
		text += ":" + strconv.Itoa(int(d.Port))
	}
	return text + d.Path
}

func usual(scheme string) uint16 {
	switch scheme {
	case "http":
		return 80
	case "https":
		return 443
	}
	return 0
}

// hostPort splits and normalises a host with or without a port.
func hostPort(text string) (host string, port uint16, ok bool) {
	host = text
	if at := strings.LastIndexByte(text, ':'); at > strings.LastIndexByte(text, ']') {
		n, err := strconv.ParseUint(text[at+1:], 10, 16)
		if err != nil || n == 0 || text[at+1] == '0' {
			return "", 0, false
		}
		host, port = text[:at], uint16(n)
	}
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !addr.Is6() || addr.Zone() != "" {
			return "", 0, false
		}
		return "[" + addr.String() + "]", port, true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host, port, isHost(host)
}

// isHost reports whether a text is a host name in ASCII, or an IPv4 address: labels of letters, digits, hyphens and
// underscores. What ends in a number is an address to a browser, so it must be one.
func isHost(host string) bool {
	if host == "" || len(host) > 253 || host == opaque {
		return false
	}
	if isAddress(host) {
		addr, err := netip.ParseAddr(host)
		return err == nil && addr.Is4()
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// numeric reports whether a browser takes a label for a number: in decimal, or in hexadecimal after 0x.
func numeric(label string) bool {
	digits, hex := strings.CutPrefix(label, "0x")
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && (!hex || c < 'a' || c > 'f') {
			return false
		}
	}
	return label != ""
}

// ParseOrigin reads the page a request comes from: Origin when it is there, with the path of a Referer of the same origin,
// and else Referer. What cannot be read is an origin that matches no entry.
func ParseOrigin(origin, referer string) Origin {
	if origin == "" && referer == "" {
		return Origin{}
	}
	from := readOrigin(referer)
	if origin == "" {
		return from
	}
	if origin == opaque {
		return Origin{Given: true, Host: origin}
	}
	if _, authority, _ := strings.Cut(origin, "://"); strings.ContainsAny(strings.TrimSuffix(authority, "/"), "/?#") {
		return Origin{Given: true} // an origin ends with its host or port
	}
	o := readOrigin(origin)
	o.Path = ""
	if from.Scheme == o.Scheme && from.Host == o.Host && from.Port == o.Port {
		o.Path = from.Path
	}
	return o
}

func readOrigin(text string) Origin {
	scheme, rest, ok := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	if !ok || usual(scheme) == 0 {
		return Origin{Given: true}
	}
	authority, path := rest, ""
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		authority, path = rest[:at], rest[at:]
	}
	host, port, ok := hostPort(authority)
	if !ok {
		return Origin{Given: true}
	}
	if port == usual(scheme) {
		port = 0
	}
	if at := strings.IndexAny(path, "?#"); at >= 0 {
		path = path[:at]
	}
	return Origin{Given: true, Scheme: scheme, Host: host, Port: port, Path: path}
}

// String is the origin as a browser writes it.
func (o Origin) String() string {
	switch {
	case !o.Given:
		return ""
	case o.Host == opaque || o.Host == "":
		return opaque
	}
	return Domain{Scheme: o.Scheme, Host: o.Host, Port: o.Port}.String()
}

// matches reports whether a page is one that the entry means. The host is compared whole, so that
// www.example.com.evil.org is not www.example.com.
func (d *Domain) matches(o *Origin) bool {
	if below := len(o.Host) - len(d.Host); d.Wild {
		if below < 2 || o.Host[below:] != d.Host || o.Host[below-1] != '.' {
			return false
		}
	} else if o.Host != d.Host {
		return false
	}
	return o.Host != "" && (d.Scheme == "" || d.Scheme == o.Scheme) && d.port(o.Scheme) == o.Port && strings.HasPrefix(o.Path, d.Path)
}

// port is the entry's port under a scheme it means; 0: the usual one.
func (d *Domain) port(scheme string) uint16 {
	if d.Port == usual(scheme) {
		return 0
	}
	return d.Port
}

// covers reports whether every page that the other entry means is one that d means.
func (d Domain) covers(other Domain) bool {
	if d.Host == opaque || other.Host == opaque {
		return d.Host == other.Host
	}
	if d.Scheme != "" && d.Scheme != other.Scheme || !strings.HasPrefix(other.Path, d.Path) {
		return false
	}
	for _, scheme := range [...]string{"http", "https"} {
		if (other.Scheme == "" || other.Scheme == scheme) && d.port(scheme) != other.port(scheme) {
			return false
		}
	}
	below := strings.HasSuffix(other.Host, "."+d.Host)
	if d.Wild {
		return below || other.Wild && other.Host == d.Host
	}
	return !other.Wild && other.Host == d.Host
}
