package api

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// startSpan begins the request's span, when traces are wanted. A caller with a public key is anybody, so a trace that
// the request names is linked to and not continued (W3C Trace Context). The span never has the path, the query string or
// a header: somebody may have put a key there.
func (rq *request) startSpan() {
	if rq.a.cfg.Tracer == nil {
		return
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithNewRoot()}
	incoming := propagation.TraceContext{}.Extract(rq.r.Context(), propagation.HeaderCarrier(rq.r.Header))
	if remote := trace.SpanContextFromContext(incoming); remote.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: remote}))
	}
	ctx, span := rq.a.cfg.Tracer.Start(rq.r.Context(), methodName(rq.r.Method), options...)
	rq.r = rq.r.WithContext(ctx)
	rq.span = span
}

// endSpan completes the span with what came of the request (semantic conventions for HTTP, 1.44).
func (rq *request) endSpan(method, route string) {
	if rq.span == nil {
		return
	}
	rq.span.SetName(method + " " + route)
	rq.span.SetAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", route),
		attribute.Int("http.response.status_code", rq.line.status), attribute.String("client.address", addressText(rq.from.Address)),
		attribute.String("user_agent.original", rq.agent()), attribute.String("weir.request_id", rq.id),
		attribute.String("weir.key_id", rq.line.keyID), attribute.String("weir.code", string(rq.line.code)),
	)
	if rq.line.status >= http.StatusInternalServerError {
		rq.span.SetStatus(codes.Error, string(rq.line.code))
	}
	rq.span.End()
}
