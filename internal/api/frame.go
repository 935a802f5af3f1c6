package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/proxy"
)

// request is one request on its way through the frame.
type request struct {
	a       *API
	reply   reply
	r       *http.Request
	routed  *http.Request // as the mux is to read its address: see routed
	row     *row
	as      *speech // how its sender is told of a problem; nil: as the row says
	id      string
	from    proxy.Client // who sent it, as far as the connection and trusted proxies say
	caller  caller       // set before Read, on a row that needs a key
	said    any          // what a row's Credential read of the body
	signed  *signed      // what is known of its signature; nil: it has none
	sdk     string       // the library that the body says it was sent with
	inQuery bool         // the credential stood in the query string
	shown   access.Text  // the credential
	line    line
	span    trace.Span          // nil when no traces are wanted
	values  map[string][]string // the query, parsed once

	watched watched    // of an answer that takes long
	once    []once     // what was shown that is good once
	bound   bool       // the token is bound to a key, or is to be
	app     *byApp     // who asks is an app
	entered url.Values // what a person sent with a form of ours, without the key

	agentText  string // what wholeAgent found
	agentKnown bool

	lent     *bytes.Buffer // the body's buffer
	reserved int64         // of the memory for bodies
	question expectedKey   // what is asked, where it tells how much is set aside
	spooled  string        // the file that the body was written to; empty: none
	broken   bool          // the answer stopped half-way, so the connection must not look as if it had ended well
}

func (rq *request) ctx() context.Context { return rq.r.Context() }

// caller is what a Read may know of who asks.
type caller struct {
	project string
	owner   string // whose things are that it makes
	space   func(name string) (string, bool)
}

// Project is the id of the caller's project.
func (c caller) Project() string { return c.project }

// Space is the environment that a name stands for, and false when the caller has none of that name.
func (c caller) Space(name string) (string, bool) {
	if c.space == nil {
		return "", false
	}
	return c.space(name)
}

// line is the one wide log line of a request. It never holds a secret: no query string, no header that carries one.
type line struct {
	started     time.Time
	status      int
	received    int
	sent        int64
	items       int
	accepted    int
	keyID       string
	project     string
	environment string
	code        problem.Code
	decisionID  string
	cause       error
}

func (l *line) admitted(p gate.Permit) { l.project, l.environment = p.Project(), p.Environment() }

// ServeHTTP is the frame around every request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rq := &request{a: a, r: r, id: a.cfg.NewID(), from: a.cfg.Proxy.Client(proxy.Peer(r.RemoteAddr), r.Header), line: line{started: a.cfg.Now()}}
	if rq.from.Ignored {
		a.meter.ignored.Inc()
	}
	rq.reply = reply{ResponseWriter: w, rq: rq}
	rq.routed = routed(r)
	header := w.Header()
	header["X-Request-Id"] = []string{rq.id}
	header["Cache-Control"] = noStore
	header["X-Content-Type-Options"] = noSniff
	defer rq.finish()
	rq.startSpan()
	if err := a.enter(rq); err != nil {
		a.writeProblem(rq, err)
		return
	}
	if s := a.siteOf(rq.r); s != nil {
		s.ServeHTTP(&rq.reply, rq.r)
		return
	}
	a.mux.ServeHTTP(&rq.reply, rq.routed)
}

// noStore and noSniff are shared header values, which nothing changes.
var (
	noStore = []string{"no-store"}
	noSniff = []string{"nosniff"}
)

// enter refuses what no row is asked about: a strange host, and a path that the mux would answer with a redirect.
func (a *API) enter(rq *request) error {
	if err := a.checkHost(rq.r.Host); err != nil {
		return err
	}
	if a.siteOf(rq.r) != nil {
		return nil
	}
	sent := rq.routed.URL.EscapedPath()
	if clean := path.Clean(sent); !strings.HasPrefix(clean, "/") || clean != sent && (clean == "/" || clean+"/" != sent) {
		return rq.nowhere()
	}
	return nil
}

// siteOf is the site of a path without parameters; nil for any other. A slash too many before the path is passed over where items
// are sent to, and where pages load their client: clients put it there whose address of the server ends in one, and what a redirect
// takes from them is lost. All else that is known of the request, its signature too, is of the path that was sent.
func (a *API) siteOf(r *http.Request) *site {
	if r.URL.RawPath != "" { // an escaped slash is not a slash
		return nil
	}
	if s := a.plain[r.URL.Path]; s != nil {
		return s
	}
	if !strings.HasPrefix(r.URL.Path, "//") {
		return nil
	}
	if s := a.plain[r.URL.Path[1:]]; s != nil && s.doubled(r.Method) {
		return s
	}
	return nil
}

// site is one path with its rows by method.
type site struct {
	rows  map[string]*row
	allow string // the methods it takes
	cross string // those of them that pages of any origin may use; empty: none
}

// doubled reports whether the site is the same with a slash too many before its path, for a method: one of a row that is, or the
// question before it.
func (s *site) doubled(method string) bool {
	switch method {
	case http.MethodHead:
		method = http.MethodGet
	case http.MethodOptions:
		for _, row := range s.rows {
			if row.doubled {
				return true
			}
		}
		return false
	}
	row := s.rows[method]
	return row != nil && row.doubled
}

// ServeHTTP is called by the mux, with the frame's own writer.
func (s *site) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	rq := w.(*reply).rq
	if s.crosses(rq.r) {
		cross(w.Header(), rq.r)
	}
	if err := s.serve(rq); err != nil {
		rq.a.writeProblem(rq, err)
	}
}

// crosses reports whether a page of any origin may read the answer: that of a row it may use, the browser's question
// before it, and the news that the site has no such row.
func (s *site) crosses(r *http.Request) bool {
	method := r.Method
	if method == http.MethodOptions {
		method = r.Header.Get("Access-Control-Request-Method")
	}
	row := s.rows[method]
	return s.cross != "" && (row == nil || row.cross)
}

func (s *site) serve(rq *request) error {
	rq.row = s.rows[rq.r.Method]
	if rq.row == nil && rq.r.Method == http.MethodHead {
		rq.row = s.rows[http.MethodGet]
	}
	if rq.row != nil {
		return rq.row.serve(rq)
	}
	header := rq.reply.Header()
	header.Set("Allow", s.allow)
	if rq.r.Method == http.MethodOptions {
		if s.crosses(rq.r) {
			preflight(header, s.cross)
		}
		rq.reply.WriteHeader(http.StatusNoContent)
		return nil
	}
	if s.ofIEX(rq) {
		as := asIEX
		rq.as = &as
	}
	return problem.New(problem.MethodNotAllowed, "This address takes: %s.", s.allow)
}

func notFound() error { return problem.New(problem.NotFound, "There is nothing at this address.") }

// checkHost withstands DNS rebinding: a name that was made to point here is not one we answer to.
func (a *API) checkHost(host string) error {
	if len(a.hosts) == 0 || a.hosts[hostName(host)] {
		return nil
	}
	return problem.New(problem.MisdirectedRequest, "This server does not answer to that host name. If it should, add the name to the setting 'hosts'.")
}

// hostName is the name in a Host header, or in the settings, without its port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}

// finish turns a panic into a problem, gives back what was borrowed, and writes the log line. An answer that stopped
// half-way ends with its connection.
func (rq *request) finish() {
	if fault := recover(); fault != nil {
		rq.a.cfg.Log.Error("panic while serving", "request_id", rq.id, "panic", fault, "stack", string(debug.Stack()))
		rq.a.writeProblem(rq, errors.New("panic"))
	}
	rq.giveBack()
	rq.log()
	if rq.broken {
		panic(http.ErrAbortHandler)
	}
}

func (rq *request) log() {
	l, route, method := &rq.line, "none", methodName(rq.r.Method)
	if rq.row != nil {
		route = rq.row.path
	}
	now := rq.a.cfg.Now()
	took := now.Sub(l.started)
	rq.a.meter.observe(route, method, l.status, took)
	rq.endSpan(method, route)
	level := slog.LevelInfo
	if l.status >= 500 {
		level = slog.LevelError
	}
	handler := rq.a.cfg.Log.Handler()
	if !handler.Enabled(rq.ctx(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("request_id", rq.id), slog.String("method", method), slog.String("route", route), slog.Int("status", l.status),
		slog.Float64("took_ms", float64(took.Microseconds())/1000), slog.Int("received", l.received), slog.Int64("sent", l.sent), slog.String("address", addressText(rq.from.Address)))
	if l.items > 0 {
		attrs = append(attrs, slog.Int("items", l.items), slog.Int("accepted", l.accepted))
	}
	attrs = appendIf(attrs, "key_id", l.keyID)
	attrs = appendIf(attrs, "project", l.project)
	attrs = appendIf(attrs, "environment", l.environment)
	attrs = appendIf(attrs, "code", string(l.code))
	attrs = appendIf(attrs, "decision_id", l.decisionID)
	attrs = appendIf(attrs, "user_agent", rq.agent())
	if l.cause != nil {
		attrs = append(attrs, slog.String("error", access.HideKeysIn(l.cause.Error())))
	}
	record := slog.NewRecord(now, level, "request", 0) // without a place in the source, which is always this one
	record.AddAttrs(attrs...)
	_ = handler.Handle(rq.ctx(), record)
}

// addressText is an address; "unknown" when nobody knows it.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return "unknown"
	}
	return a.String()
}

func appendIf(attrs []slog.Attr, name, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(name, value))
}

// methodName is a request's method, from a closed set: a sender can make up any other.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// agent is what the sender calls itself, fit to be kept.
func (rq *request) agent() string { return clip(rq.wholeAgent(), 120) }

// wholeAgent is the same, at a greater length.
func (rq *request) wholeAgent() string {
	if !rq.agentKnown {
		rq.agentText, rq.agentKnown = clip(access.HideKeysIn(rq.r.UserAgent()), maxAgent), true
	}
	return rq.agentText
}

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// reply is the frame's response writer: it notes the status and size of the answer.
type reply struct {
	http.ResponseWriter
	rq *request
}

// WriteHeader notes the status.
func (w *reply) WriteHeader(status int) {
	if w.rq.line.status == 0 {
		w.rq.line.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts what is sent.
func (w *reply) Write(b []byte) (int, error) {
	if w.rq.line.status == 0 {
		w.rq.line.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.rq.line.sent += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }
