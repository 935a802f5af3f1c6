package workflow

import "time"

// How often and how long a delivery is tried.
const (
	MaxTries = 12
	MaxAge   = 72 * time.Hour // since it was triggered or replayed, to the next attempt

	firstWait = 5 * time.Second
	growth    = 4
	mostWait  = 12 * time.Hour
	jitter    = 0.25 // of a wait, to both sides
)

// How long a target is left alone that fails.
const (
	firstRest = time.Second
	mostRest  = 5 * time.Minute
	forget    = time.Hour // after which a target that failed is as good as any
)

// backOff is how long to wait after so many tries: 5 s, 20 s, 80 s and so on up to 12 hours, each a quarter longer or shorter
// by chance, which is from 0 to below 1.
func backOff(tries int64, chance float64) time.Duration {
	wait := grown(firstWait, growth, tries-1, mostWait)
	return wait + time.Duration((2*chance-1)*jitter*float64(wait))
}

// rest is how long a target is left alone after so many failures in a row: 1 s, 2 s, 4 s and so on up to 5 minutes.
func rest(fails int) time.Duration { return grown(firstRest, 2, int64(fails)-1, mostRest) }

// grown is first, times factor for each step, and at the most most.
func grown(first time.Duration, factor, steps int64, most time.Duration) time.Duration {
	wait := first
	for range max(steps, 0) {
		if wait *= time.Duration(factor); wait >= most {
			return most
		}
	}
	return wait
}
