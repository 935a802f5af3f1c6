package api

import (
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/compat"
)

// headerRow is a header of answers, for the document.
type headerRow struct {
	name, text string
	on         func(r *row, status int) bool // the answers that may have it; nil: none but those
	always     func(r *row, status int) bool // those of them that must; nil: none
}

const countedText = "The figures are those of the limit that would deny next. Missing when there is no limit."

// headerRows are the headers of answers that a client may want to look at, where it would. Problems other than those here
// can have some of them too.
func headerRows() []headerRow {
	keyed := func(r *row, _ int) bool { return r.action != access.Anyone }
	success := func(r *row, status int) bool { return keyed(r, status) && status < http.StatusMultipleChoices }
	counted := func(r *row, status int) bool {
		return success(r, status) || keyed(r, status) && slices.Contains([]int{http.StatusPaymentRequired, http.StatusTooManyRequests}, status)
	}
	is := func(codes ...int) func(*row, int) bool {
		return func(r *row, status int) bool { return keyed(r, status) && slices.Contains(codes, status) }
	}
	versioned := func(r *row, status int) bool {
		return r.doc.Version && (status == r.status || status == http.StatusCreated)
	}
	kept := func(r *row, status int) bool {
		return r.doc.Kept && (status == r.status || status == http.StatusNotModified)
	}
	parted := func(r *row, status int) bool {
		return r.doc.Parts && (status == r.status || status == http.StatusPartialContent || status == http.StatusNotModified)
	}
	tagged := func(r *row, status int) bool { return kept(r, status) || parted(r, status) }
	ranged := func(r *row, status int) bool {
		return r.doc.Parts && (status == http.StatusPartialContent || status == http.StatusRequestedRangeNotSatisfiable)
	}
	measured := func(r *row, status int) bool {
		return (r.doc.Tag == datasetsTag && r.costs || r.iex) && status < http.StatusMultipleChoices
	}
	return []headerRow{
		{"RateLimit-Policy", "Each limit by name, with its quota and its window in seconds (draft-ietf-httpapi-ratelimit-headers-11).", counted, nil},
		{"RateLimit", "What is left of a limit, and in how many seconds that grows. " + countedText, counted, nil},
		{"RateLimit-Fallback", "What was done because the limits could not be counted: deny, local_share or allow.", counted, nil},
		{"X-RateLimit-Limit", countedText, counted, nil},
		{"X-RateLimit-Remaining", countedText, counted, nil},
		{"X-RateLimit-Reset", "In seconds since 1970. " + countedText, counted, nil},
		{"Retry-After", "Seconds after which a retry makes sense.", is(http.StatusTooManyRequests, http.StatusServiceUnavailable), is(http.StatusTooManyRequests)},
		{"Deprecation", "Since when the secret that was sent is replaced by another (RFC 9745).", success, nil},
		{"Sunset", "When the secret that was sent, having been replaced, stops working (RFC 8594).", success, nil},
		{"Weir-Warning", "What is amiss with the request, although it was taken: a secret key in the query string.", success, nil},
		{"ETag", "The version, for If-Match; of an answer that may be kept, what it says, for If-None-Match; of a file, its bytes, for If-Range.", tagged, versioned},
		{"Content-Range", "Which bytes of the file they are, and how many it has (RFC 9110 section 14.4).", nil, ranged},
		{"Age", "For how many seconds the answer has been kept (RFC 9111).", kept, nil},
		{queryIDHeader, "The name of the run, in the list of queries.", func(r *row, status int) bool { return r.doc.Runs && status < http.StatusMultipleChoices }, nil},
		{problemHeader, "The problem's stable name, where the body does not have it.", func(r *row, status int) bool {
			return (r.as.plain || r.iex) && status >= http.StatusBadRequest || r.as.mute && status == http.StatusUnauthorized
		}, nil},
		{compat.IEXUsedHeader, "The credits that the request came to.", func(r *row, status int) bool { return r.spent != "" && status < http.StatusMultipleChoices }, nil},
		{messagesHeader, "Records that were read or written, each as often as it costs credits, of datasets of the class core.", measured, nil},
		{premiumHeader, "The same of datasets of the class premium.", measured, nil},
		{"WWW-Authenticate", "How to ask (RFC 6750).", is(http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest), is(http.StatusUnauthorized)},
		{"Accept-Signature", "What a signature must cover (RFC 9421 section 5).", is(http.StatusUnauthorized), nil},
		{"Want-Content-Digest", "The digests that are taken (RFC 9530).", func(r *row, status int) bool { return r.takes && status == http.StatusBadRequest }, nil},
	}
}

// headersShown are the headers' descriptions.
func headersShown() map[string]*huma.Header {
	shown := map[string]*huma.Header{}
	for _, h := range headerRows() {
		if h.on == nil {
			continue
		}
		shown[h.name] = &huma.Header{Description: h.text, Schema: &huma.Schema{Type: "string"}}
	}
	return shown
}

// headersOf are the headers of an answer. One that must be there is described in place, the others by reference.
func headersOf(r *row, status int) map[string]*huma.Header {
	headers := map[string]*huma.Header{}
	for _, h := range headerRows() {
		switch {
		case h.always != nil && h.always(r, status):
			headers[h.name] = &huma.Header{Description: h.text, Required: true, Schema: &huma.Schema{Type: "string"}}
		case h.on != nil && h.on(r, status):
			headers[h.name] = &huma.Header{Ref: "#/components/headers/" + h.name}
		}
	}
	return headers
}
