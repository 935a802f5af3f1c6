package limit

import (
	"math/bits"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// unit is one request in the measure of debts. A rate of one request a second pays back one billionth of a request in a
// nanosecond, so every rate and every moment is a whole number, and nothing is ever rounded.
const unit = int64(time.Second)

// The bounds on a rate. Beyond them a debt would not fit its number, or would have to be remembered for longer than
// anything is; a limit that is wider is taken as the bound.
const (
	maxBurst    = 4_000_000_000
	maxRecovery = 30 * 24 * 3600 // seconds in which a burst is paid back
)

// pace is a rate limit in the measure of debts. The zero pace is none.
type pace struct {
	perSecond int64 // units paid back in a nanosecond
	burst     int64 // the highest debt, in units
	window    int64 // in which a whole burst is paid back, in nanoseconds
}

// paceOf is the pace of a rate limit. A burst of less than one request is one.
func paceOf(r access.Rate) pace {
	if r.PerSecond <= 0 {
		return pace{}
	}
	most := int64(maxBurst)
	if r.PerSecond < maxBurst/maxRecovery {
		most = r.PerSecond * maxRecovery
	}
	p := pace{perSecond: r.PerSecond, burst: min(max(r.Burst, 1), most) * unit}
	p.window = ceil(p.burst, p.perSecond)
	return p
}

// bucket is the state of the generic cell rate algorithm (ITU-T I.371), in its form of a leaking bucket: what was let
// through is a debt that is paid back at the pace, and never grows over the burst. The theoretical arrival time of the
// algorithm's other form is at + debt/perSecond.
type bucket struct {
	debt  int64 // in units, at the time at; at most the burst
	total int64 // the same, without being cut when a burst was made smaller: that it is made larger again gives nothing away
	at    int64 // in nanoseconds of a clock of its user's; it never goes back
}

// settle pays back what is due. A time before the last one changes nothing.
func (b *bucket) settle(now int64, perSecond int64) {
	if now <= b.at {
		return
	}
	much, due := bits.Mul64(uint64(now)-uint64(b.at), uint64(perSecond))
	b.at = now
	if much != 0 || due >= uint64(b.total) {
		b.debt, b.total = 0, 0
		return
	}
	b.total -= int64(due)
	b.debt = max(b.debt-int64(due), 0)
}

// fit makes the debt that of another burst.
func (b *bucket) fit(burst int64) { b.debt = min(b.total, burst) }

// never is the wait for what will not pass, however long one waits.
const never = -1

// wait is how long after now n requests pass: 0 at once, never when there are more than a burst. The bucket is settled.
func (b *bucket) wait(now, n int64, p pace) int64 {
	if n > p.burst/unit {
		return never
	}
	excess := b.debt + n*unit - p.burst
	if excess <= 0 {
		return 0
	}
	return ceil(excess, p.perSecond) + (b.at - now)
}

// take adds n requests to the debt, which stays within the burst.
func (b *bucket) take(n int64, p pace) {
	added := min(min(n, p.burst/unit)*unit, p.burst-b.debt)
	b.debt += added
	b.total += added
}

// left is how many requests pass now, and grows how long it takes until one more does; 0 when nothing is owed.
func (b *bucket) left(now int64, p pace) (left int64, grows time.Duration) {
	left = (p.burst - b.debt) / unit
	if b.debt == 0 {
		return left, 0
	}
	return left, time.Duration(ceil(b.debt-(p.burst-(left+1)*unit), p.perSecond) + (b.at - now))
}

// ceil is a/b rounded up, of an a that is not negative.
func ceil(a, b int64) int64 { return a/b + min(a%b, 1) }
