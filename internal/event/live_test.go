package event_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: who follows an environment hears of its track events, complete and in order, and of nothing else: not of other
// environments, other projects, identifies, aliases, or what came before.
func TestFollow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.Clock.Advance(123456789 * time.Nanosecond)
	key := h.Key(access.Public, access.EventsWrite)
	stranger := h.Mint(access.Key{Project: gatetest.NewProject("org_2", "prj_2"), Scopes: access.EventsWrite})
	send := func(key, body string) {
		t.Helper()
		if _, err := h.send(t, key, body); err != nil {
			t.Fatal(err)
		}
	}
	send(key, `{"event":"before"}`)
	production, staging := h.follow(t, "production"), h.follow(t, "staging")
	send(key, `[{"event":"a"},{"event":"b","environment":"staging"},null,{"event":"c","properties":{"x":1}}]`)
	send(stranger, `[{"event":"theirs"},{"event":"theirs too","environment":"staging"}]`)
	batch, err := event.ReadBatch([]byte(`{"distinct_id":"d"}`), event.Shape{Kind: event.Identify, Source: "identify"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.record(t, key, batch); err != nil {
		t.Fatal(err)
	}
	send(key, `[{"event":"d"},{"event":"e","environment":"staging"}]`)
	stored := map[string]event.Event{}
	for _, e := range h.journal.events(t) {
		stored[e.Project+e.Name] = e
	}
	for _, c := range []struct {
		events <-chan event.Event
		want   string
	}{{production, "a c d"}, {staging, "b e"}} {
		for name := range strings.FieldsSeq(c.want) {
			if e, want := <-c.events, stored["prj_1"+name]; fmt.Sprint(e) != fmt.Sprint(want) {
				t.Errorf("followed %+v, want %+v", e, want)
			}
		}
		if len(c.events) != 0 {
			t.Errorf("the follower heard of %+v too", <-c.events)
		}
	}
}

// Promise: one who does not read keeps nobody waiting: at 1,024 events behind the stream ends, and the others go on.
func TestFollowersThatLagAreDropped(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.Key(access.Public, access.EventsWrite)
	asleep, awake := h.follow(t, "production"), h.follow(t, "production")
	body := "[" + strings.Repeat(`{"event":"e"},`, 511) + `{"event":"e"}]`
	for round := range 3 {
		if got := h.live.Followers(); got != 2 {
			t.Errorf("%d followers in round %d", got, round)
		}
		if _, err := h.send(t, key, body); err != nil {
			t.Fatal(err)
		}
		for range 512 {
			<-awake
		}
	}
	if got := h.live.Followers(); got != 1 {
		t.Errorf("%d followers at the end", got)
	}
	heard := 0
	for range asleep { // ends because it is closed
		heard++
	}
	if heard != 1024 {
		t.Errorf("who slept could read %d", heard)
	}
}

// Promise: a stream ends with its context, also when it was over before it began or had been dropped.
func TestFollowEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ctx, cancel := context.WithCancel(t.Context())
		events, err := h.live.Follow(ctx, h.reader("production"))
		if err != nil || h.live.Followers() != 1 {
			t.Fatal(err, h.live.Followers())
		}
		cancel()
		if _, open := <-events; open || h.live.Followers() != 0 {
			t.Errorf("the stream goes on; %d follow", h.live.Followers())
		}
		events, err = h.live.Follow(ctx, h.reader("production"))
		if err != nil {
			t.Fatal(err)
		}
		if _, open := <-events; open || h.live.Followers() != 0 {
			t.Errorf("a stream began after its end; %d follow", h.live.Followers())
		}
	})
}

// Promise: a key may follow 64 times, and a project as often as it leaves places free, which is 128 times when it is alone; one
// more is told so, and when to come again, and gets the place of one who leaves.
func TestFollowersOfAProjectAreLimited(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	permit := h.reader("production")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, err := h.live.Follow(ctx, permit)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(permit gate.Permit, want string) {
		t.Helper()
		_, err := h.live.Follow(t.Context(), permit)
		if p := problem.From(err); p.Code != problem.Unavailable || p.RetryAfter <= 0 || !strings.Contains(p.Detail, want) {
			t.Errorf("%v, again after %v", err, p.RetryAfter)
		}
	}
	if n := 1 + h.crowd(t, permit); n != 64 {
		t.Errorf("%d follow with one key", n)
	}
	refused(permit, "The key has 64")
	if n := h.crowd(t, h.reader("production")); n != 64 {
		t.Errorf("%d follow with another", n)
	}
	refused(h.reader("production"), "this project has 128")
	cancel()
	<-first
	if _, err := h.live.Follow(t.Context(), permit); err != nil {
		t.Error(err)
	}
}

// Promise: one project cannot take the places of others: whoever comes next still finds room, and there are never more
// than 256 followers of all together.
func TestFollowersAreShared(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for n := range 40 {
		name := fmt.Sprintf("prj_%d", n+10)
		project, got := gatetest.NewProject("org_2", name), 0
		for range 2 { // a key alone may not have all that a project may
			key := h.Mint(access.Key{Project: project, Kind: access.Secret, Scopes: access.EventsRead})
			permit, err := h.Ask(key, access.Attempt{Action: access.ReadEvents})
			if err != nil {
				t.Fatal(err)
			}
			got += h.crowd(t, permit)
		}
		if n < 9 && got == 0 {
			t.Errorf("project %d found no room", n)
		}
		if n < 3 && got != 128>>n {
			t.Errorf("project %d got %d places", n, got)
		}
	}
	if got := h.live.Followers(); got != 256 {
		t.Errorf("%d follow", got)
	}
}

// crowd follows as often as is allowed, and says how often that was.
func (h *house) crowd(t *testing.T, permit gate.Permit) int {
	t.Helper()
	for n := 0; ; n++ {
		if _, err := h.live.Follow(t.Context(), permit); err != nil {
			return n
		}
	}
}

// Promise: senders and followers that come and go at once do not harm each other: no send on a closed stream, no data
// race, no gap in what a follower hears before its stream ends.
func TestFollowIsSafeForManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		key := h.Key(access.Public, access.EventsWrite)
		var wg sync.WaitGroup
		for sender := range 4 {
			permit, err := h.Ask(key, access.Attempt{Action: access.WriteEvents})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for i := range 600 {
					batch := read(t, fmt.Sprintf(`[{"event":"%d","properties":{"n":%d}},{"event":"%d","properties":{"n":%d}}]`, sender, 2*i, sender, 2*i+1))
					if _, err := h.events.Record(t.Context(), permit, batch); err != nil {
						t.Error(err)
					}
				}
			})
		}
		permit := h.reader("production")
		for follower := range 12 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				events, err := h.live.Follow(ctx, permit)
				if err != nil {
					t.Error(err)
					return
				}
				next := map[string]int{}
				for heard := 0; ; heard++ {
					e, open := <-events
					if !open {
						return
					}
					n := 0
					if _, err := fmt.Sscanf(string(e.Properties), `{"n":%d}`, &n); err != nil {
						t.Error(err)
					}
					if before, known := next[e.Name]; known && n != before {
						t.Errorf("after %d of sender %s came %d", before-1, e.Name, n)
					}
					next[e.Name] = n + 1
					if heard == follower*100 {
						cancel()
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if got := h.live.Followers(); got != 0 {
			t.Errorf("%d still follow", got)
		}
	})
}
