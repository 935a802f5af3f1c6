package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// Promise: each request has exactly one wide line in the log, whose members are those that docs/operations.md names,
// and no other.
func TestOneLineForEachRequest(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.project(t)
	pub, sql := p.key("public live"), p.key("secret live sql:run")
	always := []string{"time", "level", "msg", "request_id", "method", "route", "status", "took_ms", "received", "sent", "address", "user_agent"}
	for name, c := range map[string]struct {
		method, path, body, key string
		want                    map[string]any
		more                    []string // members whose values are not compared
	}{
		"events": {"POST", "/track?apiKey=" + pub.text, `[{"event":"A"},{}]`, "", map[string]any{
			"method": "POST", "route": "/track", "status": 200.0, "received": 18.0, "items": 2.0, "accepted": 1.0, "key_id": pub.id,
			"project": p.id, "environment": "production", "level": "INFO",
		}, nil},
		"a question": {"POST", "/v1/query", `{"sql":"SELECT 1"}`, sql.text, map[string]any{
			"route": "/v1/query", "status": 200.0, "key_id": sql.id, "project": p.id, "environment": "production",
		}, nil},
		"a denial": {"GET", "/v1/keys/key_000000000000", "", sql.text, map[string]any{
			"route": "/v1/keys/{id}", "status": 403.0, "code": "missing_scope", "received": 0.0,
		}, []string{"decision_id"}},
		"a stranger": {"GET", "/v1/keys", "", "", map[string]any{"status": 401.0, "code": "missing_credential"}, []string{"decision_id"}},
		"nothing":    {"GET", "/nowhere/at/all", "", "", map[string]any{"route": "none", "status": 404.0, "code": "not_found"}, nil},
		"no method":  {"BREW", "/track", "", "", map[string]any{"method": "other", "route": "none", "status": 405.0, "code": "method_not_allowed"}, nil},
		"open":       {"HEAD", "/healthz", "", "", map[string]any{"method": "HEAD", "route": "/healthz", "status": 200.0}, nil},
		"a mistake":  {"POST", "/v1/query", "", sql.text, map[string]any{"status": 400.0, "code": "invalid_request", "key_id": sql.id}, []string{"error"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			headers := []string{"User-Agent", "canary/1.0", "X-Request-Id", "chosen-by-the-sender"}
			if c.key != "" {
				headers = append(headers, "X-API-Key", c.key)
			}
			answer, _ := w.site.call(t, c.method, c.path, strings.NewReader(c.body), headers...)
			id := answer.Header.Get("X-Request-Id")
			w.logs.await(t, id)
			lines := w.logs.of(id)
			if len(lines) != 1 {
				t.Fatalf("%d lines: %s", len(lines), lines)
			}
			var line map[string]any
			if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
				t.Fatal(err)
			}
			for member, want := range c.want {
				if line[member] != want {
					t.Errorf("%s is %v, want %v", member, line[member], want)
				}
			}
			known := slices.Concat(always, c.more, slices.Collect(maps.Keys(c.want)))
			for member := range line {
				if !slices.Contains(known, member) {
					t.Errorf("the line has a member %s: %v", member, line[member])
				}
			}
			for _, member := range slices.Concat(always, c.more) {
				if _, there := line[member]; !there {
					t.Errorf("the line has no %s", member)
				}
			}
			if line["msg"] != "request" || strings.Contains(lines[0], "chosen-by-the-sender") || line["request_id"] != id {
				t.Errorf("the line is %s", lines[0])
			}
		})
	}
}

// Promise: no query string and no body comes into the log, whatever becomes of the request.
func TestQueryStringsAreNotLogged(t *testing.T) {
	t.Parallel()
	w := open(t)
	key := w.project(t).key("secret live all").text
	const canary = "canary4711"
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/v1/events?event=" + canary, ""}, {"GET", "/v1/events?color=" + canary, ""}, {"GET", "/v1/events?limit=%zz" + canary, ""},
		{"GET", "/nowhere/" + canary, ""}, {"POST", "/track?x=" + canary, `{"event":"` + canary + `"}`}, {"POST", "/track", `{"event":` + canary},
		{"POST", "/v1/query", `{"sql":"SELECT ` + canary + `"}`}, {"POST", "/v1/query", `{"` + canary + `":1}`},
	} {
		answer, _ := w.site.call(t, c.method, c.path, strings.NewReader(c.body), "X-API-Key", key)
		id := answer.Header.Get("X-Request-Id")
		w.logs.await(t, id)
		if all := strings.Join(w.logs.of(id), ""); strings.Contains(all, canary) {
			t.Errorf("%s %s: %s", c.method, c.path, all)
		}
	}
	if lines := w.logs.of(canary); len(lines) > 0 {
		t.Errorf("the log has %s", lines)
	}
}

// Promise: the labels of metrics come from closed sets: a sender cannot make new ones.
func TestMetricsHaveClosedLabels(t *testing.T) {
	t.Parallel()
	w := open(t)
	for i, method := range []string{"BREW", "Get", "PROPFIND", "TRACE", "PUT"} {
		w.site.call(t, method, fmt.Sprintf("/made/up/%d?apiKey=%d", i, i), nil)
		w.site.call(t, method, "/v1/keys/key_00000000000"+strconv.Itoa(i), nil)
	}
	faults := w.strangeLabels()
	if len(faults) > 0 {
		t.Error(faults)
	}
}

// strangeLabels lists the labels of the request metric that are from no closed set.
func (w *world) strangeLabels() []string {
	known := map[string]bool{"none": true, "/docs/{asset...}": true}
	for _, op := range w.contract.Operations() {
		known[op.Path] = true
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
	families, err := w.metrics.Gather()
	if err == nil && len(families) == 0 {
		return nil // nothing was asked yet
	}
	names := []string{"weir_forwarded_ignored_total", "weir_http_request_duration_seconds"}
	if err != nil || len(families) > len(names) {
		return []string{fmt.Sprint(families, err)}
	}
	var strange []string
	for i, f := range families {
		if f.GetName() != names[i] {
			strange = append(strange, "the metric "+f.GetName())
		}
	}
	for _, metric := range families[len(families)-1].GetMetric() {
		for _, label := range metric.GetLabel() {
			status, _ := strconv.Atoi(label.GetValue())
			ok := label.GetName() == "route" && known[label.GetValue()] || label.GetName() == "method" && slices.Contains(methods, label.GetValue()) ||
				label.GetName() == "status" && (http.StatusText(status) != "")
			if !ok {
				strange = append(strange, label.String())
			}
		}
	}
	return strange
}

// Promise: a request is one span of its own, which links to the trace a caller names and does not continue it, and holds
// neither path, query string nor header.
func TestSpansOfRequests(t *testing.T) {
	t.Parallel()
	w := open(t)
	pub := w.project(t).key("public live")
	answer, _ := w.site.call(t, "POST", "/track?apiKey="+pub.text+"&canary=1", strings.NewReader(oneEvent),
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", "vendor=canary", "Baggage", "canary=2")
	id := answer.Header.Get("X-Request-Id")
	w.logs.await(t, id)
	span := w.span(id)
	if span == nil {
		t.Fatal("there is no span")
	}
	if span.Name != "POST /track" || span.Parent.IsValid() || len(span.Links) != 1 || span.Links[0].SpanContext.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" ||
		span.SpanContext.TraceID() == span.Links[0].SpanContext.TraceID() {
		t.Errorf("the span is %+v", span)
	}
	got := map[string]string{}
	for _, a := range span.Attributes {
		got[string(a.Key)] = a.Value.String()
	}
	want := map[string]string{
		"http.request.method": "POST", "http.route": "/track", "http.response.status_code": "200", "client.address": got["client.address"],
		"user_agent.original": "Go-http-client/1.1", "weir.request_id": id, "weir.key_id": pub.id, "weir.code": "",
	}
	if !maps.Equal(got, want) {
		t.Errorf("its attributes are %v, want %v", got, want)
	}
}

// span finds the span of a request.
func (w *world) span(request string) *tracetest.SpanStub {
	for _, span := range w.spans.GetSpans() {
		for _, a := range span.Attributes {
			if a.Key == "weir.request_id" && a.Value.AsString() == request {
				return &span
			}
		}
	}
	return nil
}
