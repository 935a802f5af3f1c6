package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/signature"
)

// keyParameters are the query parameters that may carry a key (contracts A1, B, D1).
var keyParameters = [...]string{"apiKey", "api_key", "token"}

// keyParameter is the one that the document shows.
const keyParameter = "apiKey"

func isKeyParameter(name string) bool { return slices.Contains(keyParameters[:], name) }

// credentialOf finds the key of a request: X-API-Key, a bearer token, or a parameter. The same key may stand in several
// places; two different ones are refused (RFC 6750 section 2). A key that stands in the query string counts as sent
// there, wherever else it stands. What came in cleartext is the gate's to refuse, whatever else is wrong with it: the
// answer does not depend on it.
func credentialOf(rq *request) (gate.Credential, error) {
	bound := false
	c, key, err := readCredential(rq, func(value string) (string, error) {
		scheme, token, _ := strings.Cut(strings.TrimSpace(value), " ")
		if !strings.EqualFold(scheme, "DPoP") {
			return bearer(value)
		}
		bound = true
		return strings.TrimSpace(token), nil
	})
	c.Key = access.SecretText(key)
	if err == nil && bound {
		c.Proof, err = rq.proof(key)
	}
	return inClear(c, err)
}

// unreadable reports whether a problem is of a credential that cannot be told from the request.
func unreadable(code problem.Code) bool {
	switch code {
	case problem.TwoCredentials, problem.MalformedKey, problem.InvalidClient, problem.InvalidDPoPProof, problem.InvalidGrant, problem.SignInRefused, problem.LinkNotAccepted:
		return true
	default:
		return false
	}
}

// inClear answers a credential in cleartext as one that cannot be read, whatever is wrong with it.
func inClear(c gate.Credential, err error) (gate.Credential, error) {
	if c.Cleartext && unreadable(problem.Of(err)) {
		c.Key, c.Asserted, err = access.SecretText("unreadable"), access.Lookup{}, nil
	}
	return c, err
}

// readCredential finds the text of a credential. authorization reads it of that header.
func readCredential(rq *request, authorization func(string) (string, error)) (c gate.Credential, key string, err error) {
	c = gate.Credential{Circumstances: circumstances(rq), RequestID: rq.id, Client: gate.Client{Agent: rq.wholeAgent()}}
	c.UserToken = access.SecretText(strings.TrimSpace(first(rq.r.Header["X-User-Token"])))
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
		token, err := authorization(value)
		if err != nil {
			return c, "", err
		}
		same = take(token) && same
	}
	if rq.r.URL.RawQuery != "" {
		query, err := rq.query()
		if err != nil {
			return c, "", err
		}
		for _, name := range keyParameters {
			for _, value := range query[name] {
				if value = strings.TrimSpace(value); value != "" {
					c.Via = access.InQuery
					rq.reply.Header()["Referrer-Policy"] = noReferrer
				}
				same = take(value) && same
			}
		}
	}
	if !same {
		return c, "", problem.New(problem.TwoCredentials, "The request carries two different keys. Send one.")
	}
	return c, key, nil
}

// maxAgent bounds what is kept of a User-Agent, in bytes.
const maxAgent = 200

// sender is the address of whoever sent the request; none when the address there is a proxy's, and it might be anybody.
func (rq *request) sender() netip.Addr {
	if rq.from.Broken {
		return netip.Addr{}
	}
	return rq.from.Address
}

// circumstances are how a request came, as its head and its connection tell. A browser tells by Origin, or by the
// metadata that no page can set; other programs send parts of that, but not from which site (W3C Fetch Metadata).
func circumstances(rq *request) access.Circumstances {
	header := rq.r.Header
	c := access.Circumstances{Via: access.InHeader, Address: rq.sender(), Cleartext: rq.from.Proto == "http" && !rq.a.cfg.AllowCleartext}
	origin, referer := first(header["Origin"]), first(header["Referer"])
	c.Browser = origin != "" || first(header["Sec-Fetch-Site"]) != ""
	c.OwnPage = first(header["Sec-Fetch-Site"]) == "same-origin"
	if origin != "" || referer != "" {
		c.Origin = access.ParseOrigin(origin, referer)
	}
	if signature.Detect(signature.Request{Header: header}) != signature.None {
		c.Signed = access.SignatureClaimed
	}
	return c
}

// first is the first value of a header; empty when there is none.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// bearer is the key in an Authorization header; empty where it carries a signature instead.
func bearer(value string) (string, error) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(value), " ")
	switch {
	case scheme == "" || strings.EqualFold(scheme, "IEX-HMAC-SHA256"):
		return "", nil
	case !strings.EqualFold(scheme, "Bearer"):
		return "", problem.New(problem.MalformedKey, "The Authorization header must be 'Bearer KEY'.").
			At("header.Authorization", "must use the scheme Bearer")
	}
	return strings.TrimSpace(token), nil
}

// cross writes the headers that let a page of any origin send events and read the verdict. The exact origin is echoed
// and credentials are allowed, because navigator.sendBeacon always asks for them (contracts A5); no answer depends on a
// cookie, so nothing is given away by it.
func cross(h http.Header, r *http.Request) {
	h["Vary"] = varyOrigin
	if origin := r.Header["Origin"]; len(origin) > 0 && origin[0] != "" {
		h["Access-Control-Allow-Origin"] = origin[:1:1]
		h["Access-Control-Allow-Credentials"] = withCredentials
		h["Access-Control-Expose-Headers"] = exposed
	}
}

// Header values that are shared: nothing changes them, and what is added to one makes another.
var (
	varyOrigin      = []string{"Origin"}
	withCredentials = []string{"true"}
	exposed         = []string{"Age, Iexcloud-Messages-Used, Iexcloud-Premium-Messages-Used, X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, WWW-Authenticate, Weir-Problem"}
	noReferrer      = []string{"no-referrer"}
)

// uncross takes back what cross wrote: a page that may not use the key may not read the answer either.
func uncross(h http.Header) {
	h.Del("Access-Control-Allow-Origin")
	h.Del("Access-Control-Allow-Credentials")
}

// preflight answers a browser's question whether a page may call the address. It is asked without a key.
func preflight(h http.Header, methods string) {
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "authorization, content-encoding, content-type, dpop, x-api-key, x-user-token, idempotency-key, traceparent, tracestate")
	h.Set("Access-Control-Max-Age", "7200")
}
