package api

import (
	"math"
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
	policies := make([]byte, 0, 128)
	for i := range c.All {
		if c.All[i].Name == "" {
			continue
		}
		if len(policies) > 0 {
			policies = append(policies, ", "...)
		}
		policies = appendQuoted(policies, c.All[i].Name)
		policies = strconv.AppendInt(append(policies, ";q="...), c.All[i].Most, 10)
		policies = strconv.AppendInt(append(policies, ";w="...), max(1, seconds(c.All[i].Window)), 10)
	}
	left := appendQuoted(make([]byte, 0, 48), c.Next.Name)
	left = strconv.AppendInt(append(left, ";r="...), c.Next.Left, 10)
	left = strconv.AppendInt(append(left, ";t="...), seconds(c.Next.Reset), 10)
	values := [5]string{
		string(policies), string(left), strconv.FormatInt(c.Next.Most, 10), strconv.FormatInt(c.Next.Left, 10),
		strconv.FormatInt(at.Add(c.Next.Reset+time.Second-1).Unix(), 10),
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
func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }
