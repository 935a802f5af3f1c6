package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/limit"
)

// counting begins as a server.
func counting(t *testing.T, s Stores, server string) []limit.Reservation {
	t.Helper()
	settled, err := s.Limits.Begin(t.Context(), server, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return settled
}

func write(t *testing.T, s Stores, b limit.Batch) {
	t.Helper()
	if err := s.Limits.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// written loads what a batch wrote, sorted as the batch is.
func written(t *testing.T, s Stores, b limit.Batch) limit.Written {
	t.Helper()
	var want limit.Wanted
	for _, r := range b.Rates {
		want.Rates = append(want.Rates, r.Account)
	}
	for _, d := range b.Days {
		want.Days = append(want.Days, limit.Day{Account: d.Account, Day: d.Day})
	}
	for _, m := range b.Months {
		want.Months = append(want.Months, limit.Month{Account: m.Account, Month: m.Month})
	}
	got, err := s.Limits.Load(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got.Rates, func(a, b limit.Rate) int { return strings.Compare(a.Account, b.Account) })
	slices.SortFunc(got.Days, func(a, b limit.Day) int { return strings.Compare(a.Account, b.Account) })
	slices.SortFunc(got.Months, func(a, b limit.Month) int { return strings.Compare(a.Account, b.Account) })
	return got
}

// counters is a batch with a row of each sort for each name.
func counters(server string, number int64, names ...string) limit.Batch {
	b := limit.Batch{Server: server, Number: number}
	names = slices.Sorted(slices.Values(names))
	for i, name := range names {
		n := int64(i) + number*1000
		b.Rates = append(b.Rates, limit.Rate{Account: name, Debt: n, At: start().Add(time.Duration(n)), PerSecond: n + 1})
		b.Days = append(b.Days, limit.Day{Account: name, Day: 20_000, Requests: n + 2})
		b.Months = append(b.Months, limit.Month{Account: name, Month: 24_000, Spent: n + 3})
	}
	return b
}

func same(got limit.Written, b limit.Batch) bool {
	return reflect.DeepEqual(got.Rates, b.Rates) && reflect.DeepEqual(got.Days, b.Days) && reflect.DeepEqual(got.Months, b.Months)
}

// Promise: counters come back as they were written last, to the nanosecond and the largest number; no two accounts are
// one; what was not written is not there.
func countersAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	counting(t, s, "a")
	names := hostile()
	b := counters("a", 1, names...)
	b.Rates[0] = limit.Rate{Account: b.Rates[0].Account, Debt: limit.Full, At: time.Unix(0, math.MaxInt64).UTC(), PerSecond: math.MaxInt64}
	b.Rates[1] = limit.Rate{Account: b.Rates[1].Account, Debt: math.MaxInt64, At: time.Unix(0, -1).UTC()}
	b.Days[0].Day, b.Days[0].Requests, b.Days[1].Day = math.MaxInt32, math.MaxInt64, -1
	b.Months[0].Month, b.Months[0].Spent, b.Months[1].Spent = -1, math.MaxInt64, -1
	write(t, s, b)
	if got := written(t, s, b); !same(got, b) {
		t.Errorf("got %.2000v", got)
	}
	b = counters("a", 2, names...)
	write(t, s, b)
	if got := written(t, s, b); !same(got, b) {
		t.Errorf("written again, got %.2000v", got)
	}
	other := counters("a", 3, names...)
	for i := range other.Days {
		other.Rates[i].Account += "!"
		other.Days[i].Day++
		other.Months[i].Month--
	}
	if got := written(t, s, other); len(got.Rates)+len(got.Days)+len(got.Months) != 0 {
		t.Errorf("what was not written is %.2000v", got)
	}
	if got := written(t, s, limit.Batch{}); len(got.Rates)+len(got.Days)+len(got.Months) != 0 {
		t.Errorf("nothing is %+v", got)
	}
}

// Promise: only the server that began last is heard, batch after batch: neither an older batch nor another server's
// changes anything.
func oneServerCounts(t *testing.T, open Open) {
	s := plain(t, open)
	if err := s.Limits.Write(t.Context(), counters("a", 1, "x")); err == nil {
		t.Error("a server that never began was heard")
	}
	counting(t, s, "a")
	third := counters("a", 3, "x", "y")
	write(t, s, third)
	write(t, s, counters("a", 2, "x", "y"))
	write(t, s, counters("a", 3, "x", "z"))
	if got := written(t, s, third); !same(got, third) {
		t.Errorf("old batches made %+v", got)
	}
	counting(t, s, "b")
	for _, number := range []int64{1, 4, math.MaxInt64} {
		if err := s.Limits.Write(t.Context(), counters("a", number, "x", "y")); !errors.Is(err, limit.ErrSuperseded) {
			t.Errorf("a server that was superseded: %v", err)
		}
	}
	if got := written(t, s, third); !same(got, third) {
		t.Errorf("the superseded server made %+v", got)
	}
	first := counters("b", 1, "x", "y")
	write(t, s, first)
	counting(t, s, "b") // the same name again begins again
	write(t, s, counters("b", 1, "x", "y"))
	if got := written(t, s, first); !same(got, first) {
		t.Errorf("the new server made %+v", got)
	}
}

func reservation(id string, n int) limit.Reservation {
	return limit.Reservation{
		Request: limit.Request{ID: id, Key: "key/" + id}, Project: "project/" + id, Month: 24_000, Credits: int64(n), Settled: true,
		Spent: int64(n) / 2, Over: id, At: start().Add(time.Duration(n) * time.Microsecond),
	}
}

// Promise: a reservation stays what it was written last; those that are open go when a server begins, unless they are held, and
// those that are held, with those that were settled latest, are told, oldest first. No two requests are one, of one id of two keys neither.
func reservationsAreKept(t *testing.T, open Open) {
	s := plain(t, open)
	counting(t, s, "a")
	b := limit.Batch{Server: "a", Number: 1}
	var want []limit.Reservation
	for i, name := range hostile() {
		r := reservation(name, i)
		twin := r
		twin.Key += "twin"
		twin.At = twin.At.Add(500 * time.Millisecond)
		b.Reservations = append(b.Reservations, r, twin)
		want = append(want, r, twin)
	}
	slices.SortFunc(want, func(a, b limit.Reservation) int { return a.At.Compare(b.At) })
	open1, open2 := reservation("open", 1), reservation("released", 2)
	open1.Settled, open2.Settled = false, false
	b.Reservations = append(b.Reservations, open1, open2)
	write(t, s, b)
	write(t, s, limit.Batch{Server: "a", Number: 2, Released: []limit.Request{open2.Request, {ID: "never", Key: "was"}}})
	if got := counting(t, s, "b"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %.3000v", got)
	}
	settled := open1
	settled.Settled, settled.At, settled.Over = true, want[0].At.Add(-time.Hour), ""
	write(t, s, limit.Batch{Server: "b", Number: 1, Reservations: []limit.Reservation{open1}})
	write(t, s, limit.Batch{Server: "b", Number: 2, Reservations: []limit.Reservation{settled}})
	if got := counting(t, s, "c"); !reflect.DeepEqual(got, append([]limit.Reservation{settled}, want...)) {
		t.Errorf("with one settled later: %.3000v", got)
	}
	got, err := s.Limits.Begin(t.Context(), "d", 3)
	if err != nil || !reflect.DeepEqual(got, want[len(want)-3:]) {
		t.Errorf("the last three are %+v, %v", got, err)
	}
	heldAreKept(t, s, want[len(want)-1])
}

// heldAreKept is the part of reservationsAreKept about what is held; last is that which was settled last.
func heldAreKept(t *testing.T, s Stores, last limit.Reservation) {
	t.Helper()
	var b limit.Batch
	b.Server, b.Number = "d", 1
	var want []limit.Reservation
	for i, name := range []string{limit.Held + "job_1", limit.Held, "HELD job_2", "held_job_3", "a " + limit.Held, strings.TrimSpace(limit.Held)} {
		r := reservation(name, i+1)
		r.Settled, r.At = false, last.At.Add(time.Duration(i)*time.Second)
		b.Reservations = append(b.Reservations, r)
		if i < 2 {
			want = append(want, r)
		}
	}
	write(t, s, b)
	for _, server := range []string{"e", "f"} {
		got, err := s.Limits.Begin(t.Context(), server, 1)
		if err != nil || len(got) != 3 || !slices.ContainsFunc(got, func(r limit.Reservation) bool { return reflect.DeepEqual(r, last) }) ||
			!slices.ContainsFunc(got, func(r limit.Reservation) bool { return reflect.DeepEqual(r, want[0]) }) || !reflect.DeepEqual(got[2], want[1]) {
			t.Errorf("held are %+v, %v", got, err)
		}
	}
}

// Promise: a batch is written whole or not, whichever call of the database fails; a batch that is repeated after it
// failed is in effect once.
func countersAreWrittenWholeOrNot(t *testing.T, open Open) {
	var faults Faults
	s := open(t, faults.Wrap)
	counting(t, s, "a")
	number := int64(0)
	for _, how := range []Failure{Before, LostReply} {
		for n, reached := 1, true; reached; n++ {
			names := []string{fmt.Sprint(how, n), fmt.Sprint(how, n, "too")}
			number++
			b := counters("a", number, names...)
			r := reservation(names[0], n)
			b.Reservations = []limit.Reservation{r}
			faults.Plan(func(call int) Failure {
				if call == n {
					return how
				}
				return Well
			})
			err := s.Limits.Write(t.Context(), b)
			reached = faults.Calls() >= n
			faults.Plan(nil)
			none := limit.Written{}
			if got := written(t, s, b); !same(got, b) && (err == nil || !reflect.DeepEqual(got, none)) {
				t.Fatalf("call %d fails (%d), with %v, and leaves %+v", n, how, err, got)
			}
			number++
			b.Number = number
			write(t, s, b)
			if got := written(t, s, b); !same(got, b) {
				t.Fatalf("repeated, there is %+v", got)
			}
		}
	}
	for n := 1; n < 10; n++ { // a start that fails can be tried again
		for _, how := range []Failure{Before, LostReply} {
			faults.Plan(func(call int) Failure {
				if call == n {
					return how
				}
				return Well
			})
			_, _ = s.Limits.Begin(t.Context(), "b", 10) // whether it fails is not the question
			faults.Plan(nil)
			counting(t, s, "b")
			write(t, s, counters("b", 1, "x"))
		}
	}
}

// trimCounters trims to the end and returns how many rows went.
func trimCounters(t *testing.T, s Stores, h limit.Horizon) (total int) {
	t.Helper()
	for range 1000 {
		n, err := s.Limits.Trim(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			return total
		}
	}
	t.Fatal("trimming has no end")
	return 0
}

// Promise: the latest days and months are kept, counted by those in which there was anything, however far ahead a clock
// was set; rates from before them and requests settled before the horizon go; open reservations stay.
func oldCountersAreTrimmed(t *testing.T, open Open) {
	s := plain(t, open)
	counting(t, s, "a")
	b := limit.Batch{Server: "a", Number: 1}
	for i := range 10 {
		day := int64(20_000 + 2*i)
		if i == 9 {
			day = 1_000_000
		}
		for _, account := range []string{"x", "y"} {
			name := fmt.Sprint(account, i)
			b.Rates = append(b.Rates, limit.Rate{Account: name, At: time.Unix(day*24*3600+5, 7).UTC()})
			b.Days = append(b.Days, limit.Day{Account: account, Day: day, Requests: 1})
			b.Months = append(b.Months, limit.Month{Account: account, Month: day, Spent: 1})
		}
		r := reservation(fmt.Sprint("r", i), i)
		r.Settled = i != 0
		b.Reservations = append(b.Reservations, r)
	}
	write(t, s, b)
	h := limit.Horizon{Days: 11, Months: 11, Settled: start()}
	if n := trimCounters(t, s, h); n != 0 {
		t.Errorf("with room for one more, %d rows went", n)
	}
	if n := trimCounters(t, s, limit.Horizon{Days: 4, Months: 7, Settled: start().Add(5 * time.Microsecond)}); n != 12+12+6+4 {
		t.Errorf("%d rows went", n)
	}
	got := written(t, s, b)
	if len(got.Rates) != 8 || len(got.Days) != 8 || len(got.Months) != 14 || got.Rates[0].Account != "x6" || got.Days[0].Day < 20_012 {
		t.Errorf("there is %+v", got)
	}
	write(t, s, limit.Batch{Server: "a", Number: 2, Released: []limit.Request{b.Reservations[0].Request}}) // it is there still
	if settled := counting(t, s, "b"); len(settled) != 5 || settled[0].ID != "r5" {
		t.Errorf("settled are %+v", settled)
	}
}

// limiter opens a limiter over a store, as a start of the program does.
func limiter(t *testing.T, s Stores, server string, now func() time.Time) *limit.Limiter {
	t.Helper()
	l, err := limit.Open(t.Context(), s.Limits, limit.Config{Now: now, Log: slog.New(slog.DiscardHandler), Server: server})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// kill ends a limiter without letting it write anything back.
func kill(t *testing.T, l *limit.Limiter) {
	_ = l.Close(cancelled(t)) // it cannot write: that is meant
}

func account(id string) gate.Account {
	return gate.Account{ID: id, Limits: access.Limits{
		Rate: access.Rate{PerSecond: 1, Burst: 6}, Daily: access.Quota{Most: 50}, Credits: access.Quota{Most: 30},
	}}
}

// Promise: whichever call of the database fails, and however often the server is killed then, no more is let through than
// the limits allow, credits that were said to be spent are spent, and granted credits are spent or remain.
func limitsHoldThroughFailures(t *testing.T, open Open) {
	var faults Faults
	s := open(t, faults.Wrap)
	for _, how := range []Failure{Before, LostReply} {
		for n, reached := 1, true; reached; n += 1 + n/16 {
			key, project := account(fmt.Sprint("key_", how, n)), account(fmt.Sprint("prj_", how, n))
			passed, spent := int64(0), int64(0)
			for round := range 2 {
				l := limiter(t, s, fmt.Sprint(how, n, round), start)
				if round == 0 {
					faults.Plan(func(call int) Failure {
						if call == n {
							return how
						}
						return Well
					})
				}
				for i := range 4 {
					c := gate.Charge{RequestID: fmt.Sprint(round, i), At: start(), Key: key, Project: project, Requests: 1, Credits: 2}
					if l.Take(t.Context(), c).Over != "" {
						continue
					}
					passed++
					if over := l.Settle(t.Context(), c, int64(i%4)); over == "" {
						spent += int64(i % 4)
					}
				}
				if round == 0 {
					reached = faults.Calls() >= n
					faults.Plan(nil)
				}
				kill(t, l)
			}
			if passed > 6 {
				t.Fatalf("call %d fails (%d): %d passed a burst of 6", n, how, passed)
			}
			l := limiter(t, s, fmt.Sprint(how, n, "last"), start)
			for name, read := range map[string]func(context.Context, gate.Account) (limit.State, error){key.ID: l.KeyState, project.ID: l.ProjectState} {
				got, err := read(t.Context(), account(name))
				if err != nil || got.Requests < passed || got.Requests > 50 || got.Spent < spent || got.Spent > 30 ||
					got.Reserved != 0 || got.Granted != 30 || got.Remaining != 30-got.Spent {
					t.Fatalf("call %d fails (%d): %d passed and %d were spent, and of %s there is %+v, %v", n, how, passed, spent, name, got, err)
				}
			}
			kill(t, l)
		}
	}
}

// Promise: many at once, over a real store and a kill, get what a day and a month allow: no more, and less only by what
// the kill has cost.
func manyShareTheAllowance(t *testing.T, open Open) {
	s := plain(t, open)
	const most, grant = 400, 300
	key := gate.Account{ID: "key_1", Limits: access.Limits{Daily: access.Quota{Most: most}, Credits: access.Quota{Most: grant}}}
	passed, settled := make([]int64, 16), make([]int64, 16)
	for round := range 2 {
		l := limiter(t, s, fmt.Sprint("server", round), start)
		each(len(passed), func(g int) {
			for i := range 60 {
				c := gate.Charge{RequestID: fmt.Sprint(round, g, i), At: start(), Key: key, Requests: 1, Credits: int64(i % 2)}
				for range 5 {
					got := l.Take(t.Context(), c)
					if got.Over == gate.LimitsDown {
						continue // a machine that is busy keeps a request waiting for too long
					}
					if got.Over == "" {
						passed[g]++
						if l.Settle(t.Context(), c, c.Credits) == "" {
							settled[g] += c.Credits
						}
					}
					break
				}
			}
		})
		kill(t, l)
	}
	sum := func(list []int64) (n int64) {
		for _, one := range list {
			n += one
		}
		return n
	}
	if n := sum(passed); n > most || n < most-max(1, most/100) {
		t.Errorf("%d of %d passed", n, most)
	}
	l := limiter(t, s, "last", start)
	defer kill(t, l)
	got, err := l.KeyState(t.Context(), key)
	if n := sum(settled); err != nil || n > grant || got.Spent < n || got.Spent+got.Remaining != grant || got.Requests < sum(passed) || got.Requests > most {
		t.Errorf("%d were spent: %+v, %v", n, got, err)
	}
}
