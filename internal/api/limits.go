package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
)

// writeLimits says how much is left: by RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11), and by
// the older X-RateLimit headers, whose Reset is in seconds since 1970. The figures are those of the limit that would deny
// next.
func writeLimits(h http.Header, c gate.Charged, at time.Time) {
	if c.Down != "" {
		h["Ratelimit-Fallback"] = []string{c.Down}
	}
	if c.Next.Name == "" {
		return
	}
	// All values are one text, cut up: this is on the way of every request.
	var room [512]byte
	var ends [5]int
	text := room[:0]
	for i := range c.All {
		if c.All[i].Name == "" {
			continue
		}
		if len(text) > 0 {
			text = append(text, ", "...)
		}
		text = appendQuoted(text, c.All[i].Name)
		text = strconv.AppendInt(append(text, ";q="...), c.All[i].Most, 10)
		text = strconv.AppendInt(append(text, ";w="...), max(1, seconds(c.All[i].Window)), 10)
	}
	ends[0] = len(text)
	text = appendQuoted(text, c.Next.Name)
	text = strconv.AppendInt(append(text, ";r="...), c.Next.Left, 10)
	text = strconv.AppendInt(append(text, ";t="...), seconds(c.Next.Reset), 10)
	ends[1] = len(text)
	text = strconv.AppendInt(text, c.Next.Most, 10)
	ends[2] = len(text)
	text = strconv.AppendInt(text, c.Next.Left, 10)
	ends[3] = len(text)
	text = strconv.AppendInt(text, at.Add(c.Next.Reset+time.Second-1).Unix(), 10)
	ends[4] = len(text)
	whole, values, start := string(text), new([5]string), 0
	for i, end := range ends {
		values[i], start = whole[start:end], end
	}
	h["Ratelimit-Policy"] = values[0:1:1]
	h["Ratelimit"] = values[1:2:2]
	h["X-Ratelimit-Limit"] = values[2:3:3]
	h["X-Ratelimit-Remaining"] = values[3:4:4]
	h["X-Ratelimit-Reset"] = values[4:5:5]
}

func appendQuoted(to []byte, name string) []byte {
	return append(append(append(to, '"'), name...), '"')
}

// seconds rounds up, so that nobody comes too early.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
