package api

import (
	"net/http"
	"net/url"
	"strings"
)

// escapedSlash is a slash that parts nothing.
const escapedSlash = "%2F"

// routed is a request as the mux is to read its address: by the parts between the slashes that were sent, each of which may be
// any name whatever, with slashes and dots in it. Two things of the mux are in the way:
//
//   - Of a path with a byte in it that should have been escaped, it reads what the URL makes of it, in which an escaped slash is
//     one like any other. So such bytes are escaped here.
//   - A part that is an escaped slash and nothing else it takes for a slash at the end. So a part of escaped slashes gets one more,
//     which nameAt takes away.
//
// The request that was sent stays as it is: all else that is known of it, its signature too, is of the path as it was sent.
func routed(r *http.Request) *http.Request {
	if r.URL.RawPath == "" { // nothing is escaped that need not be
		return r
	}
	parts := strings.Split(r.URL.RawPath, "/")
	for i, part := range parts {
		if part = escapeRest(part); onlySlashes(part) {
			part += escapedSlash
		}
		parts[i] = part
	}
	sent := strings.Join(parts, "/")
	if sent == r.URL.RawPath {
		return r
	}
	path, err := url.PathUnescape(sent)
	if err != nil { // the server has read it before
		return r
	}
	u := *r.URL
	u.Path, u.RawPath = path, sent
	q := r.WithContext(r.Context())
	q.URL = &u
	return q
}

// onlySlashes reports whether a part of a path is the name of one slash or more.
func onlySlashes(part string) bool {
	name, err := url.PathUnescape(part)
	return err == nil && name != "" && strings.Trim(name, "/") == ""
}

// escapeRest escapes what ought to have been in a part of a path, and leaves what is.
func escapeRest(part string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(part) {
		c := part[i]
		if c > ' ' && c < 0x7f && !strings.ContainsRune("\"#<>\\^`{|}", rune(c)) {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// nameAt is what stands in the address for a parameter of the row's path.
func (rq *request) nameAt(parameter string) string {
	name := rq.routed.PathValue(parameter)
	if name != "" && strings.Trim(name, "/") == "" {
		return name[1:]
	}
	return name
}
