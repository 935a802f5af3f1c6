package deletion_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/deletion"
	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/job"
	"github.com/weir-analytics/weir/internal/problem"
)

// parts are all parts in memory: events by the ids that they are under, and what other parts hold of ids.
type parts struct {
	mu      sync.Mutex
	events  map[string]int64 // by id
	person  []string         // ids that are one person
	taken   []string         // ids that are somebody else's by now
	old     int64            // events that retention finds
	oldAt   time.Time        // when they were received; zero: long ago
	held    map[string]int64 // by id, in another part
	journal []string         // ids of records
	calls   int
	crashAt int                // the call that the server crashes in; 0: none
	crash   context.CancelFunc // of the server
	failAt  int                // the call that fails, once; 0: none
	broken  bool               // the other part panics
}

var errFault = errors.New("the disk has a fault")

var errCrash = errors.New("the server crashed")

// call counts, and crashes before or after what it does.
func (p *parts) call(ctx context.Context, do func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.calls == p.failAt {
		return errFault
	}
	if p.calls == p.crashAt {
		p.crash()
		<-ctx.Done()
		return errCrash
	}
	do()
	p.calls++
	if p.calls == p.crashAt {
		p.crash()
		<-ctx.Done()
		return errCrash
	}
	return nil
}

func (p *parts) PersonIDs(ctx context.Context, _ event.Space, id string) (ids []string, err error) {
	ids = []string{id}
	err = p.call(ctx, func() {
		if slices.Contains(p.person, id) {
			for _, other := range p.person {
				if other != id {
					ids = append(ids, other)
				}
			}
		}
	})
	return ids, err
}

func (p *parts) Theirs(ctx context.Context, _ event.Space, ids []string) (theirs []string, err error) {
	err = p.call(ctx, func() {
		for _, id := range ids {
			if !slices.Contains(p.taken, id) {
				theirs = append(theirs, id)
			}
		}
	})
	return theirs, err
}

func (p *parts) count(s deletion.Selection) (c deletion.Counts) {
	if len(s.IDs) == 0 && p.oldAt.After(s.Until) {
		return deletion.Counts{}
	}
	if len(s.IDs) == 0 {
		return deletion.Counts{Events: p.old}
	}
	for _, id := range s.IDs {
		c.Events += p.events[id]
		if slices.Contains(p.person, id) {
			c.Persons = 1
		}
	}
	return c
}

func (p *parts) CountErasable(ctx context.Context, _ event.Space, s deletion.Selection) (c deletion.Counts, err error) {
	err = p.call(ctx, func() { c = p.count(s) })
	return c, err
}

func (p *parts) Erase(ctx context.Context, _ event.Space, s deletion.Selection) (c deletion.Counts, more []string, err error) {
	err = p.call(ctx, func() {
		if len(s.IDs) > 0 && slices.Contains(p.person, s.IDs[0]) && len(p.person) > len(s.IDs) {
			more = slices.Clone(p.person)
			return
		}
		c = p.count(s)
		if len(s.IDs) == 0 {
			p.old -= c.Events
		}
		for _, id := range s.IDs {
			delete(p.events, id)
		}
		if c.Persons > 0 {
			p.person = nil
		}
	})
	return c, more, err
}

func (p *parts) Roll(ctx context.Context) (event.Position, error) { return 7, p.call(ctx, func() {}) }

func (p *parts) Release(event.Position) error { return nil }

func (p *parts) Scrub(ctx context.Context, _ event.Position, each func([]byte) []byte) (n int64, err error) {
	err = p.call(ctx, func() {
		for i, id := range p.journal {
			e := event.Event{Kind: event.Track, Project: "prj", Environment: "production", DistinctID: id, ReceivedAt: time.Unix(1, 0), Timestamp: time.Unix(1, 0)}
			if each(event.AppendEvent(nil, &e)) != nil {
				p.journal[i] = ""
				n++
			}
		}
	})
	return n, err
}

func (p *parts) Await(ctx context.Context, _ event.Position, _ ...event.Space) error {
	return p.call(ctx, func() {})
}

func (p *parts) Loaded() event.Position { return 7 }

func (p *parts) forget(ctx context.Context, t event.Traces) (n int64, err error) {
	if p.broken {
		panic("broken")
	}
	err = p.call(ctx, func() {
		for _, id := range t.IDs {
			n += p.held[id]
			delete(p.held, id)
		}
	})
	return n, err
}

func newParts() *parts {
	return &parts{
		events: map[string]int64{"u": 3, "anon": 2, "other": 5}, person: []string{"u", "anon"}, held: map[string]int64{"anon": 1, "other": 1},
		journal: []string{"u", "other"},
	}
}

// yard is a server with its control data.
type yard struct {
	*testing.T
	world   *gatetest.World
	store   controlStore
	dir     string
	parts   *parts
	service *deletion.Service
	jobs    *job.Runner
	ids     int
	kept    []deletion.Kept
	secret  []byte
	stands  func(job.Job) error
	control deletion.Control // nil: the store
	clock   deletion.Clock   // nil: it is right
}

func newYard(t *testing.T) *yard {
	return &yard{T: t, world: gatetest.New(t), store: openStore(t), dir: t.TempDir(), parts: newParts(), secret: []byte("a secret of the master key")}
}

func (y *yard) derive(purpose string) ([]byte, error) {
	if y.secret == nil {
		return nil, errors.New("there is no master key")
	}
	sum := sha256.Sum256(append(y.secret, purpose...))
	return sum[:], nil
}

// serve runs the server until it crashes or the function ends it.
func (y *yard) serve() (end func()) { return y.open()() }

// open puts the server together, and gives what runs it.
func (y *yard) open() (serve func() (end func())) {
	newID := func() string { y.ids++; return fmt.Sprint("id", y.ids) }
	y.jobs = job.New(job.Config{Store: y.store, Dir: y.dir, Stands: y.stands, Now: y.world.Clock.Now, NewID: newID, Log: slog.New(slog.DiscardHandler)})
	if y.control == nil {
		y.control = y.store
	}
	y.service = deletion.New(deletion.Config{
		Warehouse: y.parts, Journal: y.parts, Loader: y.parts, Control: y.control, Clock: y.clock, Jobs: y.jobs, Derive: y.derive, Now: y.world.Clock.Now,
		NewID: newID, NewAudit: newID, Log: slog.New(slog.DiscardHandler), Parts: []deletion.Forgetter{{Name: "elsewhere", Forget: y.parts.forget}},
		Projects: func(context.Context) ([]deletion.Kept, error) { return y.kept, nil },
	})
	return func() (end func()) {
		ctx, cancel := context.WithCancel(context.Background())
		y.parts.crash = cancel
		over := make(chan struct{})
		go func() {
			defer close(over)
			if err := y.jobs.Run(ctx); err != nil && ctx.Err() == nil {
				y.Error(err)
			}
		}()
		return func() { cancel(); <-over }
	}
}

func (y *yard) permit(environment string) gate.Permit {
	return y.world.Permit(access.Attempt{Action: access.WriteDeletions, Targets: []access.Target{{Environment: environment}}})
}

// done waits for a deletion and gives it.
func (y *yard) done(id string) deletion.Shown {
	y.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		shown, err := y.service.Find(y.Context(), y.permit("production"), id)
		if err != nil {
			y.Fatal(err)
		}
		if shown.Status.Over() {
			return shown
		}
		<-tick.C
	}
}

// named are the files of the jobs in which somebody is named.
func (y *yard) named(id string) (names []string) {
	err := filepath.Walk(y.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), id) {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		y.Fatal(err)
	}
	return names
}

// Promise: wherever the server crashes in a deletion, the next start goes on with it to the end: everything of the person is
// gone, everything else is there, the receipt counts what was removed and names nobody, and no file does.
func TestCrashesAnywhere(t *testing.T) {
	t.Parallel()
	for at := 1; ; at++ {
		y := newYard(t)
		y.parts.crashAt = at
		end := y.serve()
		r, err := y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Person: "u"})
		if err != nil {
			t.Fatal(err)
		}
		_ = y.jobs.Await(t.Context(), "job_"+strings.TrimPrefix(r.ID, "del_"))
		crashed := y.parts.calls >= at
		end()
		end = y.serve()
		shown := y.done(r.ID)
		end()
		if shown.Status != job.Succeeded || shown.Signed == nil || !y.service.Verify(shown.Signed) {
			t.Fatalf("crash %d: %+v", at, shown)
		}
		p := y.parts
		if p.events["u"]+p.events["anon"] != 0 || p.events["other"] != 5 || p.held["anon"] != 0 || p.held["other"] != 1 || len(p.person) != 0 {
			t.Fatalf("crash %d: left are %+v", at, p)
		}
		removed := fmt.Sprint(shown.Signed.Receipt.Removed)
		if !strings.HasPrefix(removed, "[{elsewhere ") || !strings.Contains(removed, " {statements 0} {jobs 0} {events 5} {events_changed 0} {persons 1} {journal ") {
			t.Fatalf("crash %d: %s", at, removed)
		}
		if names := y.named("anon"); len(names) > 0 || strings.Contains(string(shown.Receipt), "anon") {
			t.Fatalf("crash %d: somebody is named in %v, or in %s", at, names, shown.Receipt)
		}
		if !crashed {
			if at < 15 {
				t.Fatalf("there were only %d places to crash in", at)
			}
			return
		}
	}
}

// Promise: wherever a deletion fails, whoever asks again has everything of the person deleted, also what stands under ids that
// are no longer known to be theirs; and no receipt says what was not done.
func TestFailedDeletionsAreAskedAgain(t *testing.T) {
	t.Parallel()
	for at := 1; ; at++ {
		y := newYard(t)
		y.parts.failAt = at
		end := y.serve()
		ask := func() deletion.Shown {
			r, err := y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Person: "u"})
			if err != nil {
				t.Fatal(err)
			}
			return y.done(r.ID)
		}
		first := ask()
		failed := first.Status == job.Failed
		if failed && first.Signed != nil {
			t.Fatalf("fault %d: a receipt of what failed: %+v", at, first)
		}
		if failed {
			if second := ask(); second.Status != job.Succeeded {
				t.Fatalf("fault %d: asked again: %+v", at, second)
			}
		}
		end()
		p := y.parts
		if p.events["u"] != 0 || p.held["anon"] != 0 || p.held["other"] != 1 || len(p.person) != 0 {
			t.Fatalf("fault %d: left are %+v", at, p)
		}
		if !failed && y.parts.calls < at {
			return
		}
	}
}

// Promise: what other parts have under an id that was the person's, and is somebody else's by the time at which they are told, is
// not deleted.
func TestIDsOfOthersAreNotForgotten(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.parts.held["u"], y.parts.taken = 2, []string{"anon"}
	defer y.serve()()
	r, err := y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Person: "u"})
	if err != nil {
		t.Fatal(err)
	}
	if shown := y.done(r.ID); shown.Status != job.Succeeded {
		t.Fatalf("%+v", shown)
	}
	if y.parts.held["u"] != 0 || y.parts.held["anon"] != 1 {
		t.Errorf("left are %v", y.parts.held)
	}
}

// Promise: a job that has lost the ids it is about fails, and says nothing was done.
func TestADeletionWithoutItsIDsFails(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.parts.crashAt = 9 // when they are all known
	end := y.serve()
	r, err := y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Person: "u"})
	if err != nil {
		t.Fatal(err)
	}
	_ = y.jobs.Await(t.Context(), "job_"+strings.TrimPrefix(r.ID, "del_"))
	end()
	lost := y.named("anon")
	if len(lost) != 1 {
		t.Fatalf("the ids are in %v", lost)
	}
	if err := os.Remove(lost[0]); err != nil {
		t.Fatal(err)
	}
	end = y.serve()
	defer end()
	if shown := y.done(r.ID); shown.Status != job.Failed || shown.Signed != nil {
		t.Errorf("%+v", shown)
	}
}

// Promise: a receipt that was changed, or is of a server with another master key, is not verified; without a master key it has
// its hash and no signature, and nobody's name all the same.
func TestReceiptsAreProven(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	defer y.serve()()
	r, err := y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Person: "u"})
	if err != nil {
		t.Fatal(err)
	}
	signed := y.done(r.ID).Signed
	if !y.service.Verify(signed) || len(signed.Receipt.Of.Person) != 64 {
		t.Fatalf("%+v", signed)
	}
	changed := *signed
	changed.Receipt.By = "key_other"
	if y.service.Verify(&changed) {
		t.Error("a changed receipt is verified")
	}
	changed = *signed
	changed.SHA256 = strings.Repeat("0", 64)
	if y.service.Verify(&changed) {
		t.Error("a changed hash is verified")
	}
	y.secret = []byte("another")
	if y.service.Verify(signed) {
		t.Error("another server's receipt is verified")
	}
	y.secret = nil
	r, err = y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Person: "other"})
	if err != nil {
		t.Fatal(err)
	}
	shown := y.done(r.ID)
	if shown.Signed.HMAC != "" || len(shown.Signed.SHA256) != 64 || y.service.Verify(shown.Signed) || strings.Contains(string(shown.Receipt), "other") {
		t.Errorf("%s", shown.Receipt)
	}
}

// Promise: what is no wish is refused by its field; a deletion is seen in its own environment only, and lists go on where they
// ended.
func TestWishesAndLists(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	defer y.serve()()
	at := y.world.Clock.Now()
	for field, w := range map[string]deletion.Wish{
		"body": {}, "person": {Person: "u", Of: deletion.Of{KeyID: "key_1"}}, "until": {Of: deletion.Of{KeyID: "k", From: at, Until: at}},
		"events": {Of: deletion.Of{Events: make([]string, deletion.MaxEvents+1)}},
	} {
		_, err := y.service.Submit(t.Context(), y.permit("production"), w)
		if problem.Of(err) != problem.InvalidField || problem.From(err).Fields[0].Name != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Person: "a\x00b"}); problem.Of(err) != problem.InvalidField {
		t.Error(err)
	}
	var ids []string
	for range 3 {
		r, err := y.service.Submit(t.Context(), y.permit("production"), deletion.Wish{Of: deletion.Of{KeyID: "key_1"}})
		if err != nil {
			t.Fatal(err)
		}
		y.done(r.ID)
		ids = append(ids, r.ID)
		y.world.Clock.Advance(time.Second)
	}
	first, next, err := y.service.List(t.Context(), y.permit("production"), deletion.Place{}, 2)
	if err != nil || len(first) != 2 || first[0].ID != ids[2] || next.ID != ids[1] {
		t.Fatal(first, next, err)
	}
	rest, next, err := y.service.List(t.Context(), y.permit("production"), next, 2)
	if err != nil || len(rest) != 1 || rest[0].ID != ids[0] || next != (deletion.Place{}) {
		t.Fatal(rest, next, err)
	}
	if none, _, err := y.service.List(t.Context(), y.permit("staging"), deletion.Place{}, 2); err != nil || len(none) != 0 {
		t.Fatal(none, err)
	}
	if _, err := y.service.Find(t.Context(), y.permit("staging"), ids[0]); problem.Of(err) != problem.NotFound {
		t.Error(err)
	}
}

// Promise: an environment that keeps events for some days loses the older ones, once, with a receipt and an entry of the
// audit; one that keeps them for ever loses none.
func TestRetention(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.parts.old = 4
	production := access.Environment{Name: "production", Mode: access.Live}
	y.kept = []deletion.Kept{{Organization: "org", Project: y.permit("production").Project(), Environment: production}}
	defer y.serve()()
	if err := y.service.Sweep(t.Context()); err != nil || y.parts.old != 4 {
		t.Fatal(err, y.parts.old)
	}
	y.kept[0].Days = 30
	for range 2 {
		if err := y.service.Sweep(t.Context()); err != nil || y.parts.old != 0 {
			t.Fatal(err, y.parts.old)
		}
	}
	list, _, err := y.service.List(t.Context(), y.permit("production"), deletion.Place{}, 10)
	if err != nil || len(list) != 1 || list[0].KeyID != "system" || list[0].Of.Days != 30 || !y.service.Verify(list[0].Signed) {
		t.Fatalf("%+v, %v", list, err)
	}
	if until := list[0].Of.Until; !until.Equal(y.world.Clock.Now().AddDate(0, 0, -30).Truncate(24 * time.Hour)) {
		t.Errorf("until %v", until)
	}
}

// Promise: a sweep that fails anywhere is gone on with by the next one, also when the rows are gone by then, and ends with one
// receipt that counts them.
func TestASweepThatFailedGoesOn(t *testing.T) {
	t.Parallel()
	for at := 1; ; at += 2 { // a call counts twice
		y := newYard(t)
		y.parts.old, y.parts.failAt = 4, at
		production := access.Environment{Name: "production", Mode: access.Live}
		y.kept = []deletion.Kept{{Organization: "org", Project: y.permit("production").Project(), Environment: production, Days: 30}}
		end := y.serve()
		failed := y.service.Sweep(t.Context()) != nil
		if list, _, err := y.service.List(t.Context(), y.permit("production"), deletion.Place{}, 10); failed && (err != nil || len(list) > 0 && list[0].Status != job.Running) {
			t.Fatalf("fault %d: %+v, %v", at, list, err)
		}
		y.parts.failAt = 0
		if err := y.service.Sweep(t.Context()); err != nil {
			t.Fatalf("fault %d: %v", at, err)
		}
		list, _, err := y.service.List(t.Context(), y.permit("production"), deletion.Place{}, 10)
		if err != nil || len(list) != 1 || list[0].Status != job.Succeeded || !y.service.Verify(list[0].Signed) || list[0].Signed.Receipt.Removed[0].Count != 4 {
			t.Fatalf("fault %d: %+v, %v", at, list, err)
		}
		end()
		if !failed {
			if at < 5 {
				t.Fatalf("there were only %d places to fail in", at)
			}
			return
		}
	}
}

// Promise: a sweep that was cut short before it deleted anything spares what its environment keeps by now, also when that is all;
// one that had begun to delete ends. Each has a receipt.
func TestASweepSparesWhatIsKeptByNow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		failAt int
		now    int // days that it keeps by then
		left   int64
		days   int
	}{
		{3, 60, 4, 60}, // counting, keeping, erasing
		{5, 60, 0, 30}, // after erasing
		{3, 0, 4, 30},
		{5, 0, 0, 30},
	} {
		y := newYard(t)
		y.parts.old, y.parts.oldAt, y.parts.failAt = 4, y.world.Clock.Now().AddDate(0, 0, -45), c.failAt
		production := access.Environment{Name: "production", Mode: access.Live}
		y.kept = []deletion.Kept{{Organization: "org", Project: y.permit("production").Project(), Environment: production, Days: 30}}
		end := y.serve()
		if err := y.service.Sweep(t.Context()); err == nil {
			t.Fatalf("fault %d: the first sweep did not fail", c.failAt)
		}
		y.parts.failAt, y.kept[0].Days = 0, c.now
		if err := y.service.Sweep(t.Context()); err != nil || y.parts.old != c.left {
			t.Errorf("fault %d: %d are left, %v", c.failAt, y.parts.old, err)
		}
		list, _, err := y.service.List(t.Context(), y.permit("production"), deletion.Place{}, 10)
		if err != nil || len(list) != 1 || list[0].Status != job.Succeeded || list[0].Of.Days != c.days {
			t.Errorf("fault %d: %+v, %v", c.failAt, list, err)
			continue
		}
		if of := list[0].Signed.Receipt.Of; of.Days != c.days || !of.Until.Equal(list[0].Of.Until) || list[0].Signed.Receipt.Removed[0].Count != 4-c.left {
			t.Errorf("fault %d: %+v", c.failAt, list[0].Signed.Receipt)
		}
		end()
	}
}
