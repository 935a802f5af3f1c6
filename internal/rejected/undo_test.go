package rejected_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/event"
)

// Promise: what a key sent in a time that was not accepted is counted and deleted, from every byte; what it sent at another time,
// into another environment or project, and what other keys sent stays.
func TestWhatAKeySentIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	evil, good, elsewhere := sender{"prj_1", "key_evil"}, sender{"prj_1", "key_good"}, sender{"prj_2", "key_evil"}
	b.take(t, evil, `[{"event":7,"distinct_id":"early"}]`)
	b.world.Clock.Advance(time.Hour)
	from := b.world.Clock.Now()
	b.take(t, evil, `[{"event":7,"distinct_id":"MARKER"},{"event":8,"distinct_id":"MARKER"}]`)
	b.take(t, evil, `[{"event":7,"environment":"canary","distinct_id":"canary"}]`)
	b.take(t, good, `[{"event":7,"distinct_id":"good"}]`)
	b.take(t, elsewhere, `[{"event":7,"distinct_id":"elsewhere"}]`)
	b.world.Clock.Advance(time.Hour)
	f := event.Traces{Space: event.Space{Project: "prj_1", Environment: "production"}, KeyID: "key_evil", From: from, Until: b.world.Clock.Now()}
	b.take(t, evil, `[{"event":7,"distinct_id":"late"}]`)
	if n, err := b.Count(t.Context(), f); err != nil || n != 2 {
		t.Fatalf("counted %d, %v", n, err)
	}
	persons := event.Traces{Space: event.Space{Project: "prj_1", Environment: "production"}, IDs: []string{"MARKER", "late", ""}}
	if n, err := b.Count(t.Context(), persons); err != nil || n != 3 {
		t.Fatalf("of persons counted %d, %v", n, err)
	}
	if n, err := b.Forget(t.Context(), f); err != nil || n != 2 {
		t.Fatalf("removed %d, %v", n, err)
	}
	if n, err := b.Forget(t.Context(), f); err != nil || n != 0 {
		t.Fatalf("again: removed %d, %v", n, err)
	}
	left := written(t, b.dir)
	for _, who := range []string{"early", "canary", "good", "elsewhere", "late"} {
		if !bytes.Contains(left, []byte(who)) {
			t.Errorf("%s is gone", who)
		}
	}
	if bytes.Contains(left, []byte("MARKER")) {
		t.Error("there are bytes left")
	}
	nobody := event.Traces{Space: event.Space{Project: "prj_1", Environment: "production"}, From: from}
	if n, err := b.Forget(t.Context(), nobody); err != nil || n != 0 {
		t.Errorf("of nobody %d were deleted, %v", n, err)
	}
}
