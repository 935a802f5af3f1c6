// Package outbound owns requests from this server to addresses that its users chose: which addresses those may be, and how a
// request to one is bounded. An address is judged when it is saved, and again each time it is connected to, after its name has
// been resolved: a name that has changed its mind meanwhile gets nowhere.
//
// What is not on the public Internet is refused: loopback, private, link-local, shared, multicast and reserved networks, those
// that have an IPv4 address inside an IPv6 one, and where clouds tell machines their secrets. Networks that an operator allows
// are not refused, and only there may a request be in cleartext. No redirect is followed, and no proxy is used.
//
// It does not own what is sent, to whom, how often (workflow), nor what a failure means to somebody.
package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The limits of a request.
const (
	MaxURL      = 2_048 // bytes
	MaxExcerpt  = 1_024 // bytes that are kept of an answer
	maxHeaders  = 16 << 10
	resolveTime = 5 * time.Second
	standard    = 15 * time.Second
)

// Fault says in one word why there was no answer of success. The empty Fault is success.
type Fault string

// The faults there are.
const (
	Refused    Fault = "refused_address" // the name leads to a network that is not allowed
	Unresolved Fault = "unresolved"      // the name leads nowhere
	NoConnect  Fault = "no_connection"
	NoTLS      Fault = "tls"
	TooSlow    Fault = "timeout"
	Broken     Fault = "broken"   // the answer is no HTTP, or ended before its head did
	Redirected Fault = "redirect" // which is not followed
	Status     Fault = "status"   // any other than 2xx
)

// Config is what a Client is made of.
type Config struct {
	Allow    []netip.Prefix // networks that are allowed although they are not public, and in cleartext
	Resolver *net.Resolver  // nil: the system's
	Roots    *x509.CertPool // nil: the system's
	Time     time.Duration  // for a request and what is read of its answer; 0: 15 seconds
	Now      func() time.Time
}

// Client sends requests. Its methods may be called from many goroutines.
type Client struct {
	cfg    Config
	secure *http.Client // anywhere that is allowed
	plain  *http.Client // for http: only to networks that an operator allows
}

// New makes a client.
func New(cfg Config) *Client {
	if cfg.Time == 0 {
		cfg.Time = standard
	}
	c := &Client{cfg: cfg}
	c.secure = c.over(func(at netip.AddrPort) bool {
		return c.allowed(at.Addr()) || Public(at.Addr()) && portOf(int(at.Port()))
	})
	c.plain = c.over(func(at netip.AddrPort) bool { return c.allowed(at.Addr()) })
	return c
}

// over is a client that connects to no other addresses than may be. Nothing is kept between requests, so that each is judged.
func (c *Client) over(may func(netip.AddrPort) bool) *http.Client {
	dialer := &net.Dialer{Resolver: c.cfg.Resolver, KeepAlive: -1, Control: guard(may)}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeaders,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.cfg.Roots},
		},
	}
}

// Message is a request: a POST of JSON.
type Message struct {
	URL    string
	Header http.Header
	Body   []byte
}

// Answer is what came of a request.
type Answer struct {
	Status     int           // 0: there was none
	Excerpt    string        // the beginning of its body, as a text that can be shown
	RetryAfter time.Duration // that it asks for; 0: it does not
	Fault      Fault
}

// Post sends a message. Whatever happens is in the answer, and within the time there is for it.
func (c *Client) Post(ctx context.Context, m *Message) Answer {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Time)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return Answer{Fault: Broken}
	}
	maps.Copy(request.Header, m.Header)
	client := c.secure
	if request.URL.Scheme != "https" {
		client = c.plain
	}
	response, err := client.Do(request)
	if err != nil {
		return Answer{Fault: faultOf(err)}
	}
	defer func() { _ = response.Body.Close() }() // it has been read as far as it is wanted
	text, err := io.ReadAll(io.LimitReader(response.Body, MaxExcerpt))
	a := Answer{Status: response.StatusCode, Excerpt: shown(text), RetryAfter: retryAfter(response.Header.Get("Retry-After"), c.cfg.Now())}
	switch {
	case a.Status >= 200 && a.Status < 300 && err == nil:
	case a.Status >= 200 && a.Status < 300:
		a.Fault = faultOf(err)
	case a.Status >= 300 && a.Status < 400:
		a.Fault = Redirected
	default:
		a.Fault = Status
	}
	return a
}

// faultOf finds the word for an error.
func faultOf(err error) Fault {
	var resolve *net.DNSError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var connect *net.OpError
	switch {
	case errors.Is(err, errRefused):
		return Refused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return TooSlow
	case errors.As(err, &resolve):
		return Unresolved
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &verify), errors.As(err, &unknown), errors.As(err, &record), errors.As(err, &alert):
		return NoTLS
	case errors.As(err, &connect) && connect.Op == "dial":
		return NoConnect
	}
	return Broken
}

// shown is a text that whoever reads it is not harmed by: valid, and without control characters.
func shown(text []byte) string {
	if len(text) == MaxExcerpt { // a character may have been cut
		for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
			if tail := text[len(text)-i:]; utf8.RuneStart(tail[0]) {
				if !utf8.FullRune(tail) {
					text = text[:len(text)-i]
				}
				break
			}
		}
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case !unicode.IsGraphic(r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(string(text), string(utf8.RuneError)))
}
