package event_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// house is a service with everything it stands on in memory.
type house struct {
	*gatetest.World
	journal   *journal
	warehouse *warehouse
	live      *event.Live
	loader    *event.Loader
	events    *event.Service
}

func newHouse(t testing.TB) *house {
	h := &house{World: gatetest.New(t), journal: newJournal(), warehouse: &warehouse{}, live: new(event.Live)}
	h.loader = event.NewLoader(event.LoaderConfig{Journal: h.journal, Warehouse: h.warehouse, Log: quietLog()})
	h.events = event.New(event.Config{Journal: h.journal, Loader: h.loader, Live: h.live, Random: seeded()})
	return h
}

// send does what the HTTP face does with a body: read, ask the gate, record.
func (h *house) send(t testing.TB, key, body string) (event.Receipt, error) {
	t.Helper()
	batch := read(t, body)
	return h.record(t, key, batch)
}

func (h *house) record(t testing.TB, key string, batch event.Batch) (event.Receipt, error) {
	t.Helper()
	permit, err := h.Ask(key, access.Attempt{Action: access.WriteEvents, Each: true, Targets: batch.Targets()})
	if err != nil {
		return event.Receipt{}, err
	}
	return h.events.Record(t.Context(), permit, batch)
}

func read(t testing.TB, body string) event.Batch {
	t.Helper()
	batch, err := event.ReadBatch([]byte(body), track)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// verdicts are the rejections of a receipt: INDEX:CODE.
func verdicts(r event.Receipt) string {
	var all []string
	for _, rejection := range r.Rejected {
		all = append(all, fmt.Sprintf("%d:%s", rejection.Index, rejection.Problem.Code))
	}
	return strings.Join(all, " ")
}

func names(events []event.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Name+"@"+e.Environment)
	}
	return strings.Join(all, " ")
}

// Promise: in a batch, bad items and items the key may not send are rejected under their own numbers; the others are
// durable, in order.
func TestRecordJudgesItemByItem(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	receipt, err := h.send(t, h.Key(access.Public, access.EventsWrite), `[
		{"event":"a","environment":"development"},
		{"event":"b"},
		null,
		{"event":"c","environment":"moon"},
		{"event":"d","environment":"staging"},
		{"event":"e","timestamp":"never"},
		{},
		{"event":"f","environment":"production"},
		{"event":"g","environment":"Production"}]`)
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Accepted != 3 || receipt.Sync || receipt.Queryable {
		t.Errorf("receipt: %+v", receipt)
	}
	if got, want := verdicts(receipt), "0:environment_not_allowed 2:invalid_field 3:environment_not_found 5:invalid_field 6:invalid_field 8:environment_not_found"; got != want {
		t.Errorf("rejected %s, want %s", got, want)
	}
	if got, want := names(h.journal.events(t)), "b@production d@staging f@production"; got != want {
		t.Errorf("journal has %s, want %s", got, want)
	}
}

// Promise: when nothing of a batch can be accepted, the answer is the problem of its first item, and nothing is kept.
func TestRecordAcceptsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	permit := h.Permit(access.Attempt{Action: access.WriteEvents})
	for body, want := range map[string]string{
		`[null,{"event":3}]`:    "item: must be a JSON object",
		`[{"event":3},null]`:    "event: must be a string",
		`{"timestamp":"never"}`: "timestamp: is not a time",
		`{"event":"e","x":"` + strings.Repeat("x", 32<<10) + `"}`:        "The event is",
		`[{"event":"` + strings.Repeat("x", 257) + `"},{"timestamp":1}]`: "event: must be at most 256 bytes long, is 257",
	} {
		receipt, err := h.events.Record(t.Context(), permit, read(t, body))
		if p := problem.From(err); !strings.HasPrefix(p.Detail, want) || !reflect.DeepEqual(receipt, event.Receipt{}) {
			t.Errorf("%.40s: %v, %+v", body, err, receipt)
		}
	}
	if got := h.journal.events(t); len(got) != 0 {
		t.Errorf("journal has %s", names(got))
	}
}

// Promise: an event says whose it is, where it belongs, who sent it when and by which way, whatever it said itself; and
// what it left out is filled in.
func TestRecordStamps(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.Clock.Advance(123456789 * time.Nanosecond)
	key := h.Key(access.Secret, access.EventsWrite)
	receipt, err := h.send(t, key, `[
		{"event":"bare","project":"prj_9","key_id":"key_9","received_at":"2001-01-01","source":"x"},
		{"event":"full","environment":"staging","timestamp":"2026-05-31T10:00:00Z","event_id":"mine","properties":{"a":1},"distinct_id":7}]`)
	if err != nil {
		t.Fatal(err)
	}
	got := h.journal.events(t)
	received := time.Date(2026, 6, 1, 12, 0, 0, 123456000, time.UTC)
	stamp := event.Event{Kind: event.Track, ReceivedAt: received, Project: "prj_1", KeyID: gatetest.Parse(key).Lookup.ID(), Source: "track"}
	bare, full := stamp, stamp
	bare.Name, bare.Environment, bare.Timestamp, bare.Properties, bare.ID = "bare", "production", received, []byte(`{}`), got[0].ID
	full.Name, full.Environment, full.Timestamp = "full", "staging", time.Date(2026, 5, 31, 10, 0, 0, 0, time.UTC)
	full.Properties, full.ID, full.OwnID, full.DistinctID = []byte(`{"a":1}`), "mine", true, "7"
	if want := []event.Event{bare, full}; !reflect.DeepEqual(got, want) {
		t.Errorf("journal has\n%+v, want\n%+v", got, want)
	}
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if !form.MatchString(got[0].ID) || !strings.HasPrefix(receipt.TaskID, "task-") || !form.MatchString(receipt.TaskID[5:]) {
		t.Errorf("ids %s, %s are not UUIDs of version 7", got[0].ID, receipt.TaskID)
	}
	if milli := fmt.Sprintf("%012x", received.UnixMilli()); got[0].ID[:8]+got[0].ID[9:13] != milli {
		t.Errorf("the id %s does not begin with the time %s", got[0].ID, milli)
	}
}

// Promise: the ids we give are all different, and sort as the events came: within a batch and from one to the next.
func TestRecordNumbersEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.Key(access.Public, access.EventsWrite)
	tasks := map[string]bool{}
	for range 5 {
		receipt, err := h.send(t, key, "["+strings.Repeat(`{"event":"e"},`, event.MaxItems-1)+`{"event":"e"}]`)
		if err != nil || tasks[receipt.TaskID] {
			t.Fatal(receipt, err)
		}
		tasks[receipt.TaskID] = true
		h.Clock.Advance(time.Millisecond)
	}
	var ids []string
	for _, e := range h.journal.events(t) {
		ids = append(ids, e.ID)
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 5*event.MaxItems {
		t.Error("ids are not in order, or not different")
	}
}

// Promise: what the journal did not take is not acknowledged, and followers do not hear of it. The sender learns why.
func TestRecordFailsWithTheJournal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.Key(access.Public, access.EventsWrite)
	h.journal.appendFault = func() error { return problem.New(problem.StorageFull, "No room.") }
	events := h.follow(t, "production")
	if receipt, err := h.send(t, key, `[{"event":"e"},null]`); problem.Of(err) != problem.StorageFull || !reflect.DeepEqual(receipt, event.Receipt{}) {
		t.Errorf("%+v, %v", receipt, err)
	}
	h.journal.appendFault = nil
	if _, err := h.send(t, key, `{"event":"then"}`); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Name != "then" {
		t.Errorf("the follower heard of %s", e.Name)
	}
}

// Promise: without chance there are no ids, and so nothing is accepted.
func TestRecordNeedsChance(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	events := event.New(event.Config{Journal: h.journal, Loader: h.loader, Live: h.live, Random: iotest.ErrReader(errBroken)})
	_, err := events.Record(t.Context(), h.Permit(access.Attempt{Action: access.WriteEvents}), read(t, `{"event":"e"}`))
	if problem.Of(err) != problem.Unavailable || !errors.Is(err, errBroken) || len(h.journal.events(t)) != 0 {
		t.Errorf("%v", err)
	}
}

// Promise: a batch and the permit for another do not mix: an event outside its permit is a fault that stops the request.
func TestRecordPanicsOutsideThePermit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	permit := h.Permit(access.Attempt{Action: access.WriteEvents})
	defer func() {
		if recover() == nil || len(h.journal.events(t)) != 0 {
			t.Error("an event was recorded without a permit for it")
		}
	}()
	_, _ = h.events.Record(t.Context(), permit, read(t, `{"event":"e","environment":"development"}`))
}

// Promise: with sync, the answer waits until the events can be queried; when that takes too long, or the sender goes, the
// events are accepted all the same and the answer says that they cannot be queried yet.
func TestRecordWaitsForTheLoader(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes, limit time.Duration
		patience     time.Duration // of the sender
		queryable    bool
		after        time.Duration
	}{
		"loaded":         {takes: 300 * time.Millisecond, queryable: true, after: 300 * time.Millisecond},
		"too slow":       {takes: time.Minute, after: 10 * time.Second},
		"own limit":      {takes: time.Minute, limit: time.Second, after: time.Second},
		"sender is gone": {takes: time.Minute, patience: 2 * time.Second, after: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.warehouse.takes = c.takes
				h.events = event.New(event.Config{Journal: h.journal, Loader: h.loader, Live: h.live, Random: seeded(), SyncLimit: c.limit})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go h.loader.Run(ctx)
				sender := ctx
				if c.patience > 0 {
					var gone context.CancelFunc
					sender, gone = context.WithTimeout(ctx, c.patience)
					defer gone()
				}
				batch := read(t, `{"event":"e"}`)
				batch.Sync = true
				start := time.Now()
				receipt, err := h.events.Record(sender, h.Permit(access.Attempt{Action: access.WriteEvents}), batch)
				if err != nil || receipt.Accepted != 1 || !receipt.Sync || receipt.Queryable != c.queryable {
					t.Errorf("%+v, %v", receipt, err)
				}
				if took := time.Since(start); took != c.after {
					t.Errorf("answered after %v, want %v", took, c.after)
				}
				if c.queryable != (h.warehouse.count() == 1) {
					t.Errorf("%d are stored", h.warehouse.count())
				}
			})
		})
	}
}

// Promise: whatever a batch and a key are, each item gets the verdict it would get alone, under its own number. The model
// judges one item at a time and knows neither targets nor refusals.
func TestRecordAgreesWithANaiveModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHouse(t)
		only := rapid.SampledFrom([][]string{nil, {"production"}, {"staging"}, {"staging", "production"}, {"development"}, {"moon"}}).Draw(rt, "key")
		key := h.Mint(access.Key{Kind: access.Public, Scopes: access.EventsWrite, Bounds: access.Bounds{Environments: only}})
		environments := rapid.SliceOfN(rapid.SampledFrom([]string{"bad", "", "production", "staging", "development", "moon"}), 1, 12).Draw(rt, "items")
		var bodies, accepted, rejected []string
		for i, environment := range environments {
			body, verdict := fmt.Sprintf(`{"event":"e%d","environment":%q}`, i, environment), judge(environment, only)
			if environment == "bad" {
				body = `{"event":3}`
			}
			bodies = append(bodies, body)
			if in, good := strings.CutPrefix(verdict, "in "); good {
				accepted = append(accepted, fmt.Sprintf("e%d@%s", i, in))
			} else {
				rejected = append(rejected, fmt.Sprintf("%d:%s", i, verdict))
			}
		}
		batch := read(t, "["+strings.Join(bodies, ",")+"]")
		err := batch.FirstProblem()
		var receipt event.Receipt
		if err == nil {
			receipt, err = h.record(t, key, batch)
		}
		if got, want := names(h.journal.events(t)), strings.Join(accepted, " "); got != want {
			rt.Fatalf("accepted %q, want %q", got, want)
		}
		if len(accepted) == 0 {
			if err == nil {
				rt.Fatal("nothing was accepted, and there is no error")
			}
			return
		}
		if got, want := verdicts(receipt), strings.Join(rejected, " "); err != nil || got != want || receipt.Accepted != len(accepted) {
			rt.Fatalf("rejected %q, want %q: %+v, %v", got, want, receipt, err)
		}
	})
}

// judge is the verdict on one item for an environment, of a live key that may use only some: "in NAME", or the problem.
func judge(environment string, only []string) string {
	may := func(name string) bool { return len(only) == 0 || slices.Contains(only, name) }
	switch environment {
	case "bad":
		return "invalid_field"
	case "moon":
		return "environment_not_found"
	case "":
		for _, name := range []string{"production", "staging"} {
			if may(name) {
				return "in " + name
			}
		}
		return "environment_not_allowed"
	case "development":
		return "environment_not_allowed"
	}
	if may(environment) {
		return "in " + environment
	}
	return "environment_not_allowed"
}

// follow follows an environment for as long as the test runs.
func (h *house) follow(t testing.TB, environment string) <-chan event.Event {
	t.Helper()
	events, err := h.live.Follow(t.Context(), h.reader(environment))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func (h *house) reader(environment string) gate.Permit {
	return h.Permit(access.Attempt{Action: access.ReadEvents, Targets: []access.Target{{Environment: environment}}})
}
