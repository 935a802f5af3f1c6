package limit

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// naive is the generic cell rate algorithm as the books have it, with its theoretical arrival time as a fraction.
type naive struct {
	arrival *big.Rat // theoretical
	now     int64
}

// take is how long n requests have to wait; they are counted when that is 0.
func (m *naive) take(now, n int64, p pace) int64 {
	if m.now = max(m.now, now); n > p.burst/unit {
		return never
	}
	increment, tolerance := big.NewRat(n*int64(time.Second), p.perSecond), big.NewRat(p.burst, p.perSecond)
	arrival := m.arrival
	if arrival == nil || arrival.Cmp(big.NewRat(m.now, 1)) < 0 {
		arrival = big.NewRat(m.now, 1)
	}
	next := new(big.Rat).Add(arrival, increment)
	early := new(big.Rat).Sub(new(big.Rat).Sub(next, tolerance), big.NewRat(m.now, 1))
	if early.Sign() <= 0 {
		m.arrival = next
		return 0
	}
	wait := new(big.Int).Quo(early.Num(), early.Denom())
	if !early.IsInt() {
		wait.Add(wait, big.NewInt(1))
	}
	return wait.Int64() + m.now - now
}

func rates() *rapid.Generator[access.Rate] {
	return rapid.Custom(func(t *rapid.T) access.Rate {
		return access.Rate{
			PerSecond: rapid.OneOf(rapid.Int64Range(1, 20), rapid.Int64Range(1, 3_000_000_000)).Draw(t, "per second"),
			Burst:     rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Range(1, maxBurst)).Draw(t, "burst"),
		}
	})
}

// steps are how the time goes on: mostly a little, sometimes not at all, far, or back.
func steps() *rapid.Generator[int64] {
	return rapid.OneOf(
		rapid.Int64Range(0, 3), rapid.Int64Range(0, int64(time.Second)), rapid.Int64Range(0, int64(time.Hour)),
		rapid.Int64Range(-int64(time.Hour), 0), rapid.Int64Range(0, int64(100*24*time.Hour)),
	)
}

// Promise: a rate is the generic cell rate algorithm to the nanosecond, for every rate, burst and course of time; the
// wait it tells is exact, and what it says is left passes.
func TestRateIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := paceOf(rates().Draw(t, "rate"))
		b, m, now := bucket{}, naive{}, int64(0)
		for range rapid.IntRange(1, 50).Draw(t, "requests") {
			now += steps().Draw(t, "step")
			n := rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, min(p.burst/unit+1, math.MaxInt32))).Draw(t, "cost")
			b.settle(now, p.perSecond)
			wait := b.wait(now, n, p)
			if wait == 0 {
				b.take(n, p)
			}
			if want := m.take(now, n, p); wait != want {
				t.Fatalf("%d requests at %d wait %d, want %d", n, now, wait, want)
			}
			left, grows := b.left(now, p)
			if b.wait(now, left, p) != 0 || left < p.burst/unit && b.wait(now, left+1, p) != int64(grows) {
				t.Fatalf("%d are left, and one more in %d: %+v", left, grows, b)
			}
			if wait <= 0 {
				continue
			}
			for _, early := range []int64{1, 0} {
				later := b
				later.settle(now+wait-early, p.perSecond)
				if got := later.wait(now+wait-early, n, p); got != early {
					t.Fatalf("%d before the wait of %d is over, it is %d", early, wait, got)
				}
			}
		}
	})
}

// Promise: in every window, however it lies, no more pass than the burst and what the rate gives in its length. While the
// clock catches up after a step back, time stands still.
func TestNoWindowHasMoreThanItsShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := paceOf(access.Rate{PerSecond: rapid.Int64Range(1, 50).Draw(t, "per second"), Burst: rapid.Int64Range(1, 50).Draw(t, "burst")})
		type passed struct{ at, n int64 }
		var all []passed
		b, now, latest := bucket{}, int64(0), int64(0)
		for range rapid.IntRange(1, 100).Draw(t, "requests") {
			now += rapid.Int64Range(-int64(time.Second), int64(2*time.Second)).Draw(t, "step")
			latest = max(latest, now)
			n := rapid.Int64Range(1, 10).Draw(t, "cost")
			if b.settle(now, p.perSecond); b.wait(now, n, p) == 0 {
				b.take(n, p)
				all = append(all, passed{latest, n})
			}
		}
		for _, first := range all {
			for _, last := range all {
				sum := int64(0)
				for _, one := range all {
					if first.at <= one.at && one.at <= last.at {
						sum += one.n
					}
				}
				if first.at <= last.at && sum*unit > p.burst+(last.at-first.at)*p.perSecond {
					t.Fatalf("%d passed from %d to %d", sum, first.at, last.at)
				}
			}
		}
	})
}

// Promise: whatever is done to the limits, they give no more than each of them gave while it was in force: making a burst
// smaller and larger again, or the rate slower, gives nothing anew.
func TestChangedRatesGiveNothingAnew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, now := &account{}, int64(0)
		largest, owed, at := int64(0), int64(0), int64(0) // what would be owed at the largest burst there was, paid at each rate
		perSecond := int64(0)
		for range rapid.IntRange(1, 100).Draw(t, "requests") {
			step := rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "step")
			now += step
			if rapid.IntRange(0, 5).Draw(t, "change") == 0 || perSecond == 0 {
				limits := access.Limits{Rate: access.Rate{PerSecond: rapid.Int64Range(1, 9).Draw(t, "per second"), Burst: rapid.Int64Range(1, 9).Draw(t, "burst")}}
				if perSecond == 0 {
					perSecond = limits.Rate.PerSecond
				}
				owed = max(owed-(now-at)*min(perSecond, limits.Rate.PerSecond), 0)
				perSecond, at, largest = limits.Rate.PerSecond, now, max(largest, limits.Rate.Burst)
				a.adopt(&limits, now)
			}
			a.bucket.settle(now, a.pace.perSecond)
			owed, at = max(owed-(now-at)*perSecond, 0), now
			if a.bucket.wait(now, 1, a.pace) != 0 {
				continue
			}
			a.bucket.take(1, a.pace)
			if owed += unit; owed > largest*unit {
				t.Fatalf("%d billionths are owed, and the largest burst was %d", owed, largest)
			}
		}
	})
}

// Promise: rates have bounds that fit their numbers, a burst is at least one, and a rate of 0 is none.
func TestRatesHaveBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate access.Rate
		want pace
	}{
		{access.Rate{}, pace{}},
		{access.Rate{Burst: 5}, pace{}},
		{access.Rate{PerSecond: -1, Burst: 5}, pace{}},
		{access.Rate{PerSecond: 1}, pace{1, unit, unit}},
		{access.Rate{PerSecond: 1, Burst: -1}, pace{1, unit, unit}},
		{access.Rate{PerSecond: 100, Burst: 1000}, pace{100, 1000 * unit, 10 * unit}},
		{access.Rate{PerSecond: 3, Burst: 10}, pace{3, 10 * unit, 3_333_333_334}},
		{access.Rate{PerSecond: 1, Burst: math.MaxInt64}, pace{1, maxRecovery * unit, maxRecovery * unit}},
		{access.Rate{PerSecond: math.MaxInt64, Burst: math.MaxInt64}, pace{math.MaxInt64, maxBurst * unit, 1}},
	} {
		p := paceOf(c.rate)
		if p != c.want {
			t.Errorf("%+v is %+v, want %+v", c.rate, p, c.want)
		}
		if p.perSecond == 0 {
			continue
		}
		b := bucket{}
		for _, now := range []int64{0, -(1 << 61), 1 << 61, 1<<61 + 1} {
			b.settle(now, p.perSecond)
			if wait := b.wait(now, math.MaxInt64, p); wait != never {
				t.Errorf("%+v: too many wait %d", c.rate, wait)
			}
			b.take(math.MaxInt64, p)
			if b.debt < 0 || b.debt > p.burst || b.total < b.debt || b.wait(now, 1, p) < 0 {
				t.Errorf("%+v at %d: %+v", c.rate, now, b)
			}
		}
	}
}
