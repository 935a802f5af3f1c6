package signature

import (
	"net/http"
	"strings"
)

// Request is what of a request can be signed, as it was received. Nothing in it is cleaned, decoded or resolved: the
// path and the query are those of the request line.
type Request struct {
	Method    string
	Scheme    string // "https" or "http", when the server can tell what the client used; empty: it cannot
	Authority string // the Host header, or :authority
	Target    string // the request target; empty: it is Path and Query put together
	Path      string // escaped
	Query     string // without the '?'
	Header    http.Header
	HasBody   bool // there is a body, or there may be one
}

// Of reads a request as a server receives it. What it returns shares the request's header.
func Of(r *http.Request) Request {
	return Request{
		Method:    r.Method,
		Authority: r.Host,
		Target:    r.RequestURI,
		Path:      pathOf(r),
		Query:     r.URL.RawQuery,
		Header:    r.Header,
		HasBody:   r.ContentLength != 0,
	}
}

// pathOf is the path as it was sent: URL.EscapedPath writes some of them in its own way.
func pathOf(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	return r.URL.EscapedPath()
}

// Scheme is the kind of signature a request has.
type Scheme uint8

// The schemes.
const (
	None    Scheme = iota
	Message        // RFC 9421
	IEX            // IEX-HMAC-SHA256
)

// String is "none", "rfc9421" or "iex".
func (s Scheme) String() string {
	switch s {
	case Message:
		return "rfc9421"
	case IEX:
		return "iex"
	default:
		return "none"
	}
}

// Detect reports which scheme a request claims to be signed with, by its headers alone. Whether the signature is meant
// for us, let alone right, is for Verify to say. A header Signature alone is of some other scheme. It does not allocate.
func Detect(r Request) Scheme {
	switch {
	case len(r.Header["Signature-Input"]) > 0:
		return Message
	case claimsIEX(r.Header):
		return IEX
	}
	return None
}

func claimsIEX(h http.Header) bool {
	for _, value := range h["Authorization"] {
		if _, ok := cutIEX(value); ok {
			return true
		}
	}
	return false
}

// cutIEX takes the scheme's name off an Authorization header.
func cutIEX(value string) (rest string, ok bool) {
	value = strings.TrimLeft(value, " \t")
	if len(value) < len(iexAlgorithm) || !strings.EqualFold(value[:len(iexAlgorithm)], iexAlgorithm) {
		return "", false
	}
	rest = value[len(iexAlgorithm):]
	return rest, rest == "" || rest[0] == ' ' || rest[0] == '\t'
}

// bareHost is a host in the form in which it is signed: in lower case, without a port that is a scheme's default. Both
// defaults are dropped whatever the scheme: a proxy that ends TLS changes the scheme and not the Host header.
func bareHost(authority string) string {
	authority = strings.ToLower(authority)
	for _, port := range [...]string{":443", ":80", ":"} {
		if host, ok := strings.CutSuffix(authority, port); ok && hostOnly(host) {
			return host
		}
	}
	return authority
}

// hostOnly reports whether text has no port: a name, an IPv4 address, or an IPv6 address in brackets.
func hostOnly(text string) bool {
	if strings.HasPrefix(text, "[") {
		return strings.HasSuffix(text, "]")
	}
	return !strings.Contains(text, ":")
}
