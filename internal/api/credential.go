package api

import (
	"net/http"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// keyParameter is the query parameter that may carry a key (contracts A1).
const keyParameter = "apiKey"

// credentialOf finds the key of a request: X-API-Key, a bearer token, or the apiKey parameter. The same key may stand
// in several places; two different ones are refused (RFC 6750 section 2). A key that stands in the query string counts
// as sent there, wherever else it stands.
func credentialOf(rq *request) (gate.Credential, error) {
	c := gate.Credential{Via: access.InHeader, Address: rq.address, RequestID: rq.id}
	key := ""
	take := func(value string) bool {
		if value == "" || value == key {
			return true
		}
		if key != "" {
			return false
		}
		key = value
		return true
	}
	same := true
	for _, value := range rq.r.Header["X-Api-Key"] {
		same = take(strings.TrimSpace(value)) && same
	}
	for _, value := range rq.r.Header["Authorization"] {
		if value == "" {
			continue
		}
		token, err := bearer(value)
		if err != nil {
			return c, err
		}
		same = take(token) && same
	}
	if rq.r.URL.RawQuery != "" {
		query, err := rq.query()
		if err != nil {
			return c, err
		}
		for _, value := range query[keyParameter] {
			if value = strings.TrimSpace(value); value != "" {
				c.Via = access.InQuery
				rq.reply.Header().Set("Referrer-Policy", "no-referrer")
			}
			same = take(value) && same
		}
	}
	if !same {
		return c, problem.New(problem.TwoCredentials, "The request carries two different keys. Send one.")
	}
	c.Key = access.SecretText(key)
	return c, nil
}

func bearer(value string) (string, error) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(value), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", problem.New(problem.MalformedKey, "The Authorization header must be 'Bearer KEY'.").
			At("header.Authorization", "must use the scheme Bearer")
	}
	return strings.TrimSpace(token), nil
}

// cross writes the headers that let a page of any origin send events and read the verdict. The exact origin is echoed
// and credentials are allowed, because navigator.sendBeacon always asks for them (contracts A5); no answer depends on a
// cookie, so nothing is given away by it.
func cross(h http.Header, r *http.Request) {
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After")
	}
}

// preflight answers a browser's question whether a page may call the address. It is asked without a key.
func preflight(h http.Header, methods string) {
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "authorization, content-encoding, content-type, x-api-key, idempotency-key, traceparent, tracestate")
	h.Set("Access-Control-Max-Age", "7200")
}
