package api

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/export"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// linkOrKey is the credential of whoever fetches a file: what is signed in a link stands in the place of a key. It is no
// secret of the key, dies with it, and like every query string is in no log.
func linkOrKey(rq *request) (gate.Credential, error) {
	values, err := rq.query()
	if err != nil {
		return gate.Credential{}, err
	}
	signature := first(values["signature"])
	if signature == "" {
		return credentialOf(rq)
	}
	rq.reply.Header()["Referrer-Policy"] = noReferrer
	c, key, err := readCredential(rq, bearer)
	if err == nil && key != "" {
		err = problem.New(problem.TwoCredentials, "The request carries a key and is a link. Send one.")
	}
	if err != nil {
		c.Key = access.SecretText(key)
		return inClear(c, err)
	}
	seconds, err := strconv.ParseInt(first(values["expires"]), 10, 64)
	if err != nil {
		seconds = 0
	}
	l := export.Link{By: first(values["by"]), Expires: time.Unix(seconds, 0), Signature: access.SecretText(signature)}
	c.Linked, err = rq.a.cfg.Exports.Linked(rq.nameAt("id"), l)
	return inClear(c, err)
}

// writeExportFile sends a file, or the part of it that is wanted.
func writeExportFile(rq *request, f *download) error {
	defer func() { _ = f.Close() }() // it was only read
	header := rq.reply.Header()
	if err := checkRange(rq, f); err != nil {
		return err
	}
	header.Set("ETag", f.Tag)
	header.Set("Content-Type", f.ContentType)
	header.Set("Content-Disposition", `attachment; filename="`+f.Name+`"`)
	for _, name := range [...]string{"If-Match", "If-Unmodified-Since", "If-Modified-Since"} {
		rq.r.Header.Del(name) // what is not taken here is passed over
	}
	to := &slowly{rq: rq, control: http.NewResponseController(&rq.reply)}
	http.ServeContent(to, rq.r, "", time.Time{}, f.File)
	if to.err != nil {
		rq.line.cause, rq.broken = to.err, true // the caller is gone, or may not have it any more
	}
	return nil
}

// slowly writes an answer of which each part has the connection's usual time to be taken.
type slowly struct {
	rq      *request
	control *http.ResponseController
	err     error
}

// Header is the header of the answer.
func (s *slowly) Header() http.Header { return s.rq.reply.Header() }

// WriteHeader begins the answer.
func (s *slowly) WriteHeader(status int) { s.rq.reply.WriteHeader(status) }

// Write sends a part.
func (s *slowly) Write(p []byte) (n int, err error) {
	_ = s.control.SetWriteDeadline(s.rq.a.cfg.Now().Add(heartbeat))
	if err = s.rq.ctx().Err(); err == nil { // asked after the deadline is set, so that it cannot come after that of breakOff
		n, err = s.rq.reply.Write(p)
	}
	if err != nil {
		s.err = err
	}
	return n, err
}

// checkRange lets one range through that can be had, and passes over what is none or several, as RFC 9110 section 14.2
// permits. It refuses one that lies behind the end.
func checkRange(rq *request, f *download) error {
	text := textproto.TrimString(rq.r.Header.Get("Range"))
	if text == "" {
		return nil
	}
	unless := rq.r.Header.Get("If-Range")
	from, ok := rangeStart(text, f.Size)
	if !ok || len(rq.r.Header["Range"]) > 1 || unless != "" && unless != f.Tag {
		rq.r.Header.Del("Range")
		return nil
	}
	if from >= f.Size {
		rq.reply.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", f.Size))
		return problem.New(problem.RangeNotSatisfiable, "The file has %d bytes.", f.Size).At("header.Range", "lies behind the end of the file")
	}
	return nil
}

// rangeStart is where a single range of bytes begins in a file of a size; false when it is none.
func rangeStart(text string, size int64) (from int64, ok bool) {
	spec, isBytes := strings.CutPrefix(text, "bytes=")
	first, last, dashed := strings.Cut(textproto.TrimString(spec), "-")
	if !isBytes || !dashed || strings.Contains(spec, ",") {
		return 0, false
	}
	digits := func(s string) (int64, bool) {
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil && s[0] != '-' && s[0] != '+'
	}
	if first == "" { // the last bytes
		n, ok := digits(last)
		if n == 0 && ok {
			return size, true
		}
		return max(0, size-n), ok
	}
	if from, ok = digits(first); !ok {
		return 0, false
	}
	if last == "" {
		return from, true
	}
	to, ok := digits(last)
	return from, ok && to >= from
}
