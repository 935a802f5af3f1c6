package limit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// world is a limiter over a store that fails, with a process that crashes and a clock that steps, beside a model that
// knows what was let through.
type world struct {
	t     *rapid.T
	now   *clock
	mem   *memory
	l     *Limiter
	start int

	limits  map[string]access.Limits // of the accounts
	passed  map[Day]int64            // requests, by account and day
	owed    map[string]*bucket       // of rates, in the time that went forward
	forward int64
	acked   map[purseID]int64 // credits of which it was said that they are spent
	doubt   map[purseID]int64 // credits that may be spent as well: of that, nothing was said
	open    map[Request]*ask
	done    map[Request]*ask
	held    map[string]*ask   // what is held, by its name
	highest map[purseID]int64 // the most that was ever granted
	clean   bool              // no call failed and no process crashed yet
	serial  int
}

// ask is one request of the model.
type ask struct {
	charge gate.Charge
	over   string // what Settle said
	doubt  bool   // it may be forgotten: what was said of it was not in writing
}

const (
	project = "project/prj_1"
	maxKeys = 3
)

func keyName(n int) string { return fmt.Sprint("key/key_", n) }

func newWorld(t *rapid.T) *world {
	w := &world{
		t: t, now: &clock{now: noon()}, mem: newMemory(), limits: map[string]access.Limits{}, passed: map[Day]int64{},
		owed: map[string]*bucket{}, acked: map[purseID]int64{}, doubt: map[purseID]int64{}, open: map[Request]*ask{},
		done: map[Request]*ask{}, held: map[string]*ask{}, highest: map[purseID]int64{}, clean: true,
	}
	for n := range maxKeys {
		w.limits[keyName(n)] = w.drawLimits(keyName(n))
	}
	w.limits[project] = w.drawLimits(project)
	w.begin()
	return w
}

func (w *world) drawLimits(name string) access.Limits {
	return access.Limits{
		Rate: access.Rate{
			PerSecond: rapid.Int64Range(0, 3).Draw(w.t, name+" rate"), Burst: rapid.Int64Range(1, 40).Draw(w.t, name+" burst"),
		},
		Daily:   access.Quota{Most: rapid.SampledFrom([]int64{0, 1, 10, 50, 1000}).Draw(w.t, name+" daily")},
		Credits: access.Quota{Most: rapid.SampledFrom([]int64{0, 1, 10, 50, 1000}).Draw(w.t, name+" credits")},
	}
}

// begin starts a process. It does so until the store lets it.
func (w *world) begin() {
	for {
		w.start++
		l, err := Open(context.Background(), w.mem, Config{Now: w.now.Now, Log: slog.New(slog.DiscardHandler), Server: fmt.Sprint(w.start)})
		if err == nil {
			w.l = l
			l.HoldOnly(slices.Collect(maps.Keys(w.held)))
			return
		}
		w.mem.fail(nil)
	}
}

// hold holds what is set aside for an open request.
func (w *world) hold() {
	r, ok := w.drawRequest(w.open)
	if !ok || w.open[r].charge.Credits == 0 {
		return
	}
	a := w.open[r]
	delete(w.open, r)
	if over := w.l.Hold(context.Background(), a.charge, r.ID); over == "" {
		w.held[r.ID] = a
	} else if w.clean {
		w.t.Fatalf("%+v was not held: %s", a.charge, over)
	}
}

// settleHeld settles something that is held, until that is in writing, and then once more.
func (w *world) settleHeld() {
	names := slices.Sorted(maps.Keys(w.held))
	if len(names) == 0 {
		return
	}
	name := rapid.SampledFrom(names).Draw(w.t, "held")
	a, cost := w.held[name], rapid.Int64Range(0, 9).Draw(w.t, "cost")
	delete(w.held, name)
	c := gate.Charge{Held: name, At: w.now.Now(), Key: a.charge.Key, Project: a.charge.Project}
	over := w.l.Settle(context.Background(), c, cost)
	for ; over == gate.LimitsDown; over = w.l.Settle(context.Background(), c, cost) {
		if w.clean {
			w.t.Fatalf("%+v was not settled", c)
		}
		w.mem.fail(nil)
		<-time.After(longestRest)
	}
	if again := w.l.Settle(context.Background(), c, cost+1); again != over {
		w.t.Fatalf("%+v, which was settled with %q, is answered with %q", c, over, again)
	}
	if over != "" {
		cost = a.charge.Credits
	}
	for account, limits := range accounts(a.charge) {
		if limits.Credits.Most > 0 {
			w.acked[purseID{account, monthOf(a.charge.At)}] += cost
		}
	}
}

// end stops the process as a kill does: nothing of it is heard of again.
func (w *world) end() {
	w.l.queue.close()
	w.l.queue.worker <- struct{}{}
}

func (w *world) charge() gate.Charge {
	n := rapid.IntRange(0, maxKeys-1).Draw(w.t, "key")
	w.serial++
	return gate.Charge{
		RequestID: fmt.Sprint("r", w.serial), At: w.now.Now(), Requests: rapid.Int64Range(0, 4).Draw(w.t, "requests"),
		Credits: rapid.Int64Range(0, 6).Draw(w.t, "credits"),
		Key:     gate.Account{ID: keyName(n)[len("key/"):], Limits: w.limits[keyName(n)]},
		Project: gate.Account{ID: project[len("project/"):], Limits: w.limits[project]},
	}
}

// accounts are those of a request with their limits.
func accounts(c gate.Charge) map[string]access.Limits {
	return map[string]access.Limits{"key/" + c.Key.ID: c.Key.Limits, "project/" + c.Project.ID: c.Project.Limits}
}

// fits says whether the model lets a request pass: by all that it knows, and that is what passed and no more.
func (w *world) fits(c gate.Charge) bool {
	for name, limits := range accounts(c) {
		p := paceOf(limits.Rate)
		if b := w.bucket(name); p.perSecond > 0 {
			if b.settle(w.forward, p.perSecond); b.wait(w.forward, c.Requests, p) != 0 {
				return false
			}
		}
		if most := limits.Daily.Most; most > 0 && c.Requests > 0 && w.passed[Day{Account: name, Day: dayOf(c.At)}]+c.Requests > most {
			return false
		}
		if most := limits.Credits.Most; most > 0 && c.Credits > 0 {
			id := purseID{name, monthOf(c.At)}
			if w.acked[id]+w.reserved(id)+c.Credits > most {
				return false
			}
		}
	}
	return true
}

func (w *world) bucket(name string) *bucket {
	if w.owed[name] == nil {
		w.owed[name] = &bucket{}
	}
	return w.owed[name]
}

func (w *world) reserved(id purseID) (sum int64) {
	for _, a := range slices.AppendSeq(slices.Collect(maps.Values(w.open)), maps.Values(w.held)) {
		if limits, ok := accounts(a.charge)[id.account]; ok && limits.Credits.Most > 0 && monthOf(a.charge.At) == id.month {
			sum += a.charge.Credits
		}
	}
	return sum
}

func (w *world) take() {
	c := w.charge()
	fits := w.fits(c)
	got := w.l.Take(context.Background(), c)
	switch {
	case got.Over == "" && !fits:
		w.t.Fatalf("%+v passed beyond what is allowed", c)
	case got.Over != "" && got.Over != gate.LimitsDown && fits && w.clean:
		w.t.Fatalf("%+v was denied by %+v, and should not have been", c, got)
	case got.Over == gate.LimitsDown && w.clean:
		w.t.Fatalf("%+v was denied for want of a store that works: %+v", c, got)
	case got.Over != "":
		return
	}
	for name, limits := range accounts(c) {
		w.passed[Day{Account: name, Day: dayOf(c.At)}] += c.Requests
		if p := paceOf(limits.Rate); p.perSecond > 0 {
			w.bucket(name).take(c.Requests, p)
		}
	}
	if c.Key.Limits.Credits.Most+c.Project.Limits.Credits.Most > 0 {
		w.open[w.l.requestOf(&c)] = &ask{charge: c}
	}
}

// settle settles an open request, or one that never was.
func (w *world) settle() {
	a := &ask{charge: w.charge()}
	if key, ok := w.drawRequest(w.open); ok && rapid.IntRange(0, 9).Draw(w.t, "reserved") > 0 {
		a = w.open[key]
		delete(w.open, key)
	} else {
		a.charge.Credits = 0
	}
	c, cost := a.charge, rapid.Int64Range(0, 9).Draw(w.t, "cost")
	if c.Key.Limits.Credits.Most+c.Project.Limits.Credits.Most == 0 {
		return
	}
	a.over = w.l.Settle(context.Background(), c, cost)
	if a.over == gate.LimitsDown && w.clean {
		w.t.Fatalf("%+v was not settled", c)
	}
	if a.over != "" {
		cost = min(cost, c.Credits)
		if a.over != gate.LimitsDown {
			cost = c.Credits
		}
	}
	for name, limits := range accounts(c) {
		id := purseID{name, monthOf(c.At)}
		switch {
		case limits.Credits.Most == 0:
		case a.over == gate.LimitsDown:
			w.doubt[id] += 9 // whatever it was, it may be spent
		default:
			w.acked[id] += cost
		}
	}
	a.doubt = a.over == gate.LimitsDown
	w.done[w.l.requestOf(&c)] = a
}

func (w *world) drawRequest(from map[Request]*ask) (Request, bool) {
	var list []Request
	for r := range from {
		list = append(list, r)
	}
	if len(list) == 0 {
		return Request{}, false
	}
	slices.SortFunc(list, func(a, b Request) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Key, b.Key))
	})
	return rapid.SampledFrom(list).Draw(w.t, "request"), true
}

// repeat takes and settles a request that was settled: nothing may come of it.
func (w *world) repeat() {
	r, ok := w.drawRequest(w.done)
	if !ok || w.done[r].doubt {
		return
	}
	a := w.done[r]
	before, beforeProject := w.state(a.charge)
	var got gate.Charged
	if a.charge.Credits > 0 { // of others it is known only for a while
		again := a.charge
		again.At = w.now.Now()
		got = w.l.Take(context.Background(), again)
	}
	over := w.l.Settle(context.Background(), a.charge, 5)
	after, afterProject := w.state(a.charge)
	if got.Over != "" || over != a.over {
		w.t.Fatalf("%v, which was settled with %q, is now answered with %q and %q", r, a.over, got.Over, over)
	}
	if before.Granted > 0 && before.Spent != after.Spent || beforeProject.Granted > 0 && beforeProject.Spent != afterProject.Spent {
		w.t.Fatalf("repeating %v changed %+v to %+v, of the project %+v to %+v", r, before, after, beforeProject, afterProject)
	}
}

// state is that of the accounts of a request, read while the store works.
func (w *world) state(c gate.Charge) (key, project State) {
	w.mem.mu.Lock()
	plan := w.mem.plan
	w.mem.plan = nil
	w.mem.mu.Unlock()
	key, err := w.l.KeyState(context.Background(), c.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	if project, err = w.l.ProjectState(context.Background(), c.Project); err != nil {
		w.t.Fatal(err)
	}
	w.mem.mu.Lock()
	w.mem.plan = plan
	w.mem.mu.Unlock()
	return key, project
}

// check compares what the limiter says with what the model knows.
func (w *world) check() {
	for n := range maxKeys {
		c := gate.Charge{Key: gate.Account{ID: keyName(n)[len("key/"):], Limits: w.limits[keyName(n)]}, Project: gate.Account{ID: "prj_1", Limits: w.limits[project]}}
		key, proj := w.state(c)
		for name, s := range map[string]State{keyName(n): key, project: proj} {
			id := purseID{name, monthOf(w.now.Now())}
			w.highest[id] = max(w.highest[id], s.Granted)
			if s.Granted != s.Spent+s.Reserved+s.Remaining {
				w.t.Fatalf("%s: %+v does not add up", name, s)
			}
			if s.Granted == 0 {
				continue
			}
			if s.Spent < w.acked[id] || s.Spent > w.acked[id]+w.doubt[id] || s.Spent+s.Reserved > w.highest[id] || s.Reserved != w.reserved(id) {
				w.t.Fatalf("%s: %+v, and %d are spent, perhaps %d more, and %d reserved", name, s, w.acked[id], w.doubt[id], w.reserved(id))
			}
			if day := (Day{Account: name, Day: dayOf(w.now.Now())}); w.limits[name].Daily.Most > 0 && s.Requests < w.passed[day] {
				w.t.Fatalf("%s: %+v, and %d passed today", name, s, w.passed[day])
			}
		}
	}
}

// step lets time pass, or sets the clock.
func (w *world) step() {
	now := w.now.Now()
	d := rapid.OneOf(
		rapid.Int64Range(0, int64(2*time.Second)), rapid.Int64Range(0, int64(20*time.Minute)),
		rapid.Just(int64(endOfDay(dayOf(now)).Sub(now))-1), rapid.Just(int64(endOfDay(dayOf(now)).Sub(now))),
		rapid.Just(int64(startOfMonth(monthOf(now)+1).Sub(now))-1), rapid.Just(int64(1)),
		rapid.Int64Range(-int64(10*time.Second), 0), rapid.Int64Range(-int64(50*time.Hour), 0),
	).Draw(w.t, "time")
	w.now.add(time.Duration(d))
	w.forward += max(d, 0)
	if d < 0 { // while the clock catches up less passes than might
		w.clean = false
	}
}

func (w *world) crash() {
	w.end()
	w.clean = false
	clear(w.open)
	for r, a := range w.done {
		if a.doubt {
			delete(w.done, r)
		}
	}
	w.begin()
}

func (w *world) restart() {
	if err := w.l.Close(context.Background()); err != nil {
		w.clean = false
		for r, a := range w.done {
			if a.doubt {
				delete(w.done, r)
			}
		}
	}
	clear(w.open)
	w.begin()
}

func (w *world) sweep() {
	w.l.sweep(context.Background(), 0)
	for r, a := range w.open {
		if w.now.Now().Sub(a.charge.At) > openTime {
			delete(w.open, r)
		}
	}
}

// fail makes calls of the store fail from the n-th on, for a while, in one way or the other.
func (w *world) fail() {
	from, times := rapid.IntRange(1, 4).Draw(w.t, "from"), rapid.IntRange(1, 3).Draw(w.t, "times")
	how := rapid.SampledFrom([]failure{before, lostReply}).Draw(w.t, "how")
	w.clean = false
	w.mem.fail(func(call int) failure {
		if call >= from && call < from+times {
			return how
		}
		return well
	})
}

// Promise: whatever fails and whenever the process is killed, no account ever has more requests in a day, more in any
// window of its rate, or more credits in a month than its limits allow; credits granted are spent, reserved and remaining
// together, what was said to be spent is spent after any crash, and a request that is repeated changes nothing. While
// nothing fails, nobody gets less either.
func TestNothingIsLostOrGivenTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) {
			w := newWorld(rt)
			defer func() { w.end() }()
			actions := []func(){
				w.take, w.take, w.take, w.take, w.take, w.take, w.settle, w.settle, w.settle, w.step, w.step, w.repeat, w.crash, w.restart,
				w.hold, w.hold, w.settleHeld, w.fail, func() { time.Sleep(longestRest) },
				w.sweep,
				func() {
					name := rapid.SampledFrom([]string{keyName(0), project}).Draw(rt, "account")
					limits, rate := w.drawLimits(name), w.limits[name].Rate
					if limits.Rate = rate; w.limits[name].Credits.Most == 0 || w.limits[name].Daily.Most == 0 {
						limits = w.limits[name] // what was not counted is not known to the model either
					}
					w.limits[name] = limits
				},
			}
			for range rapid.IntRange(1, 80).Draw(rt, "steps") {
				rapid.SampledFrom(actions).Draw(rt, "action")()
				w.check()
			}
		})
	})
}
