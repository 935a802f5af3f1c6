package deletion_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/deletion"
)

// Promise: nothing is deleted for its age by a clock that has leapt, forward or back, or was just set right, also after a restart
// of the server; when the clock has gone on evenly for a day, what is old then is. A night without the server changes nothing.
func TestAClockThatLeapsDeletesNothing(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.clock, y.parts.old = y.store, 4
	y.kept = []deletion.Kept{{
		Organization: "org", Project: y.permit("production").Project(), Environment: access.Environment{Name: "production", Mode: access.Live}, Days: 30,
	}}
	end := y.serve()
	sweep := func(want int64, why string) {
		t.Helper()
		if err := y.service.Sweep(t.Context()); err != nil || y.parts.old != want {
			t.Fatalf("%s: left are %d, %v", why, y.parts.old, err)
		}
	}
	day := func(why string) {
		t.Helper()
		for range 23 {
			sweep(4, why)
			y.world.Clock.Advance(time.Hour)
		}
		sweep(4, why)
		y.world.Clock.Advance(time.Hour)
		sweep(0, why+", a day later")
		y.parts.old = 4
	}
	day("the clock was never seen")
	y.world.Clock.Advance(16 * time.Hour)
	sweep(0, "after a night")
	y.parts.old = 4
	y.world.Clock.Advance(400 * 24 * time.Hour)
	sweep(4, "ahead")
	end()
	end = y.serve()
	y.world.Clock.Advance(time.Hour)
	sweep(4, "ahead, after a restart")
	y.world.Clock.Advance(-401 * 24 * time.Hour)
	day("set right")
	y.world.Clock.Advance(3 * 24 * time.Hour)
	day("three days without the server")
	end()
}
