package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/query"
)

// answerPrice is what an answer costs.
func answerPrice(answer *query.Answer) int64 { return answer.Credits }

// writeAnswer sends an answer, compressed if that is asked for, or says that the caller has it already.
//
// The question came by POST since a statement does not fit into an address, but it is as safe as a GET. So what a GET
// would be answered is answered here too: 304, where RFC 9110 section 13.1.2 has 412 for a request that changes something.
func writeAnswer(rq *request, answer *query.Answer) error {
	defer func() { _ = answer.Close() }()
	header := rq.reply.Header()
	header.Add("Vary", "Accept, Accept-Encoding")
	if answer.Tag != "" {
		sayKept(header, answer, rq.a.cfg.Now())
		if named(rq.r.Header.Values("If-None-Match"), answer.Tag) {
			rq.reply.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	header.Set("Content-Type", answer.ContentType)
	encoding := ""
	if answer.Size >= leastPacked && !answer.Packed {
		encoding = encodingFor(rq.r.Header.Values("Accept-Encoding"))
	}
	if encoding == "" {
		header.Set("Content-Length", fmt.Sprint(answer.Size))
	} else {
		header.Set("Content-Encoding", encoding)
	}
	rq.reply.WriteHeader(http.StatusOK)
	if rq.r.Method == http.MethodHead {
		return nil
	}
	if err := rq.a.packers.write(&rq.reply, encoding, answer); err != nil {
		rq.line.cause, rq.broken = err, true // the caller is gone, or the answer cannot be read any more
	}
	return nil
}

// sayKept says how old an answer is, until when it may be kept, and by whom: by the asker alone, and not for the use of
// another key.
func sayKept(header http.Header, answer *query.Answer, now time.Time) {
	header.Add("Vary", "Authorization, X-API-Key")
	left := max(0, answer.ExpiresAt.Sub(now))
	header.Set("Cache-Control", "private, max-age="+wholeSeconds(left))
	header.Set("Age", wholeSeconds(answer.Age))
	header.Set("ETag", `W/"`+answer.Tag+`"`)
}

func wholeSeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// named reports whether an If-None-Match names a tag. The comparison is weak: it is about what the answer says, and not
// about how it is encoded.
func named(header []string, tag string) bool {
	for _, line := range header {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == `"`+tag+`"` {
				return true
			}
		}
	}
	return false
}
