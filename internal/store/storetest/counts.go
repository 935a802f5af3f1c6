package storetest

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
)

// Promise: counts are listed by project and window, narrowed by each member, in order, from any place on; no two names
// are one.
func countsAreToldApart(t *testing.T, open Open) {
	s := plain(t, open)
	var b ledger.Batch
	for i, name := range hostile() {
		mine := counted("prj_1", 0)
		for j := range mine {
			mine[j].KeyID, mine[j].Environment, mine[j].Event, mine[j].Reason = "key_"+name, "env_"+name, "event_"+name, "reason_"+name
			mine[j].Network = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 24)
		}
		b.Counts = append(append(b.Counts, mine...), counted("prj_"+name, 0)...)
	}
	for n := range 4 {
		b.Counts = append(b.Counts, counted("prj_1", n+1)...)
	}
	b.Writer, b.Number = "w", 1
	keep(t, s, b)
	for i, name := range hostile() {
		for what, about := range map[string]ledger.About{
			"project": {Project: "prj_" + name},
			"key":     {Project: "prj_1", KeyID: "key_" + name}, "reason": {Project: "prj_1", Reason: "reason_" + name},
			"environment": {Project: "prj_1", Environment: "env_" + name}, "event": {Project: "prj_1", Event: "event_" + name},
			"network": {Project: "prj_1", Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 24)},
			"all": {
				Project: "prj_1", KeyID: "key_" + name, Environment: "env_" + name, Event: "event_" + name, Reason: "reason_" + name, Action: access.WriteEvents,
			},
		} {
			q := always("prj_1")
			q.About = about
			if list := counts(t, s, q); len(list) != 2 || list[0].Requests != 5 || list[1].Requests != 2 {
				t.Errorf("%s %.60q: %.200v", what, name, list)
			}
		}
	}
	window := always("prj_1")
	window.From, window.To, window.Outcome, window.Action = hour(1), hour(3), ledger.Denied, access.WriteEvents
	if list := counts(t, s, window); len(list) != 2 || !list[0].At.Equal(hour(1)) || !list[1].At.Equal(hour(2)) {
		t.Errorf("from 1 to 3: %v", list)
	}
	if window.Action = access.RunSQL; len(counts(t, s, window)) != 0 {
		t.Error("another action was counted")
	}
	list := counts(t, s, always("prj_1"))
	for i := 0; i < len(list); i += 4 {
		after, place := always("prj_1"), ledger.PlaceOf(list[i])
		after.After, after.Limit = &place, 2
		if rest := counts(t, s, after); !reflect.DeepEqual(rest, emptied(list[i+1:][:min(2, len(list)-i-1)])) {
			t.Errorf("after %d: %.100v", i, rest)
		}
	}
}

// emptied is a list, or nil when it has nothing.
func emptied[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// drawCount is a count of one of some minutes, from the kit's start on.
func drawCount(t *rapid.T, minutes int) ledger.Count {
	some := func(name string, from ...string) string { return rapid.SampledFrom(append(from, "")).Draw(t, name) }
	network, _ := netip.ParsePrefix(some("network", "10.0.0.0/24", "2001:db8::/48"))
	return ledger.Count{
		At: start().Truncate(time.Minute).Add(time.Duration(rapid.IntRange(0, minutes).Draw(t, "minute")) * time.Minute),
		About: ledger.About{
			Project: rapid.SampledFrom([]string{"prj_1", ""}).Draw(t, "project"), KeyID: some("key", numbered(1), numbered(2)),
			Outcome: ledger.Outcome(rapid.IntRange(1, 4).Draw(t, "outcome")), Reason: some("reason", "key_expired"),
			Action:      rapid.SampledFrom([]access.Action{access.WriteEvents, access.RunSQL, 0}).Draw(t, "action"),
			Environment: some("environment", "production"), Event: some("event", "A", "B"), Network: network,
		},
		Requests: int64(rapid.IntRange(0, 9).Draw(t, "requests")), Items: int64(rapid.IntRange(0, 9).Draw(t, "items")),
	}
}

// told is what a list of counts says, as texts that can be compared.
func told(list []ledger.Count) map[string][2]int64 {
	all := map[string][2]int64{}
	for _, c := range list {
		p := ledger.PlaceOf(c)
		name := fmt.Sprint(c.Project, c.At.Unix(), strings.Join(p.What[:], "|"))
		all[name] = [2]int64{all[name][0] + c.Requests, all[name][1] + c.Items}
	}
	return all
}

// told apart less: what a list of counts should say by a grain and a breakdown.
func addedUp(list []ledger.Count, q ledger.CountQuery) map[string][2]int64 {
	wider := make([]ledger.Count, 0, len(list))
	for _, c := range list {
		if c.Project != q.Project {
			continue
		}
		whole := c.About
		c.At, c.About = c.At.Truncate(q.Grain.Span()), ledger.About{Project: c.Project}
		for by, take := range map[ledger.Breakdown]func(){
			ledger.ByKey: func() { c.KeyID = whole.KeyID }, ledger.ByOutcome: func() { c.Outcome = whole.Outcome },
			ledger.ByReason: func() { c.Reason = whole.Reason }, ledger.ByAction: func() { c.Action = whole.Action },
			ledger.ByEnvironment: func() { c.Environment = whole.Environment }, ledger.ByEvent: func() { c.Event = whole.Event },
			ledger.ByNetwork: func() { c.Network = whole.Network },
		} {
			if q.By&by != 0 {
				take()
			}
		}
		wider = append(wider, c)
	}
	return told(wider)
}

// store keeps counts in batches of some size.
func (k *keeper) store(t *testing.T, s Stores, list []ledger.Count) {
	for len(list) > 0 {
		n := min(len(list), 7)
		k.number++
		keep(t, s, ledger.Batch{Writer: "keeper", Number: k.number, Counts: list[:n]})
		list = list[n:]
	}
}

type keeper struct{ number int64 }

// Promise: however counts are told apart, by whatever grain, every one of them is in the sum, once.
func countsAddUp(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	var k keeper
	var all []ledger.Count
	rapid.Check(t, func(rt *rapid.T) {
		some := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) ledger.Count { return drawCount(rt, 3*24*60) }), 0, 20).Draw(rt, "counts")
		k.store(t, s, some)
		all = append(all, some...)
		q := always(rapid.SampledFrom([]string{"prj_1", ""}).Draw(rt, "project"))
		q.Grain = ledger.Grain(rapid.IntRange(0, 2).Draw(rt, "grain"))
		q.By = ledger.Breakdown(rapid.IntRange(0, 127).Draw(rt, "by"))
		list := counts(t, s, q)
		if got := told(list); len(got) != len(list) || !reflect.DeepEqual(got, addedUp(all, q)) {
			rt.Fatalf("counted %v", got)
		}
	})
}

// Promise: counts by minute go when they are old, and are left by hour, and those by day; nothing is lost by that, and
// nothing is counted twice, whatever comes when, also for times that have been added up already.
func countsAreRolledUp(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	var k keeper
	var all []ledger.Count
	h := ledger.Horizon{
		Denials: start(), Most: 10, Days: start().AddDate(-1, 0, 0), Shapes: start(), Ended: start(),
		Minutes: start().AddDate(0, 0, -1), Hours: start().AddDate(0, 0, -1),
	}
	later := func(rt *rapid.T, what string, at time.Time, minutes int) time.Time {
		return at.Add(time.Duration(rapid.IntRange(0, minutes).Draw(rt, what)) * time.Minute)
	}
	since := func(at time.Time) (list []ledger.Count) {
		for _, c := range all {
			if !c.At.Before(at) {
				list = append(list, c)
			}
		}
		return list
	}
	rapid.Check(t, func(rt *rapid.T) {
		some := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) ledger.Count { return drawCount(rt, 9*24*60) }), 0, 20).Draw(rt, "counts")
		k.store(t, s, some)
		all = append(all, some...)
		h.Ended, h.Minutes, h.Hours = later(rt, "ended", h.Ended, 200), later(rt, "old minutes", h.Minutes, 250), later(rt, "old hours", h.Hours, 200)
		if rapid.Bool().Draw(rt, "trim") {
			trim(t, s, h)
		} else if _, err := s.Ledger.Trim(t.Context(), h); err != nil { // a part of it
			rt.Fatal(err)
		}
		for grain, from := range map[ledger.Grain]time.Time{
			ledger.Day: {}, ledger.Hour: h.Hours.Add(24 * time.Hour).Truncate(24 * time.Hour), ledger.Minute: h.Minutes.Add(time.Hour).Truncate(time.Hour),
		} {
			q := always(rapid.SampledFrom([]string{"prj_1", ""}).Draw(rt, "project"))
			q.Grain, q.From = grain, from
			if got := told(counts(t, s, q)); !reflect.DeepEqual(got, addedUp(since(from), q)) {
				rt.Fatalf("by grain %d since %v, counted %v", grain, from, got)
			}
		}
	})
	trim(t, s, h)
	for grain, oldest := range map[ledger.Grain]time.Time{ledger.Hour: h.Hours, ledger.Minute: h.Minutes} {
		q := always("prj_1")
		q.Grain = grain
		for _, c := range counts(t, s, q) {
			if c.At.Before(oldest) && c.At.Before(h.Ended.Truncate(24*time.Hour)) && grain == ledger.Minute {
				t.Errorf("%v is still counted by minute", c.At)
			}
		}
	}
}

// Promise: whichever call to the database fails while counts are added up and removed, before or after it had its effect,
// none is lost and none is there twice.
func rollingUpSurvivesFailures(t *testing.T, open Open) {
	var faults Faults
	s := open(t, faults.Wrap)
	establish(t, s)
	h := ledger.Horizon{
		Ended: hour(48), Minutes: hour(3), Hours: start().AddDate(0, 0, 2), Days: start().AddDate(-1, 0, 0), Shapes: start(), Denials: start(), MostDay: 1,
	}
	want := int64(0)
	var k keeper
	for _, how := range []Failure{Before, LostReply} {
		for n, reached := 1, true; reached; n++ {
			at := n + 100*int(how) // other hours and days each time
			list := append(counted("prj_1", 0), append(counted("prj_1", at), counted("prj_1", at+1)...)...)
			for i := range list {
				list[i].At = list[i].At.Add(time.Duration(i) * time.Minute)
				want += list[i].Requests
			}
			k.store(t, s, list)
			h.Ended, h.Minutes, h.Hours = hour(at+30), hour(at+1), hour(at+2)
			faults.Plan(func(call int) Failure {
				if call == n {
					return how
				}
				return Well
			})
			for range 4 {
				_, _ = s.Ledger.Trim(t.Context(), h) // whether it fails is not the question
			}
			reached = faults.Calls() >= n
			faults.Plan(nil)
			all := always("prj_1")
			all.By, all.Grain = 0, ledger.Day
			got := int64(0)
			for _, c := range counts(t, s, all) {
				got += c.Requests
			}
			if got != want {
				t.Fatalf("call %d fails (%d): counted %d, want %d", n, how, got, want)
			}
		}
	}
}

// Promise: a day that has more counts than are told apart is kept without networks, and if need be without events, and
// adds up to the same; a day that has not keeps all.
func bigDaysAreFolded(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	var list []ledger.Count
	for i := range 40 {
		for n, c := range [...]struct{ events, networks int }{{1, 20}, {10, 40}, {40, 40}} {
			count := counted("prj_1", 24*n)[0]
			count.Event, count.Network = fmt.Sprint("e", i%c.events), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i % c.networks), 0, 0}), 24)
			list = append(list, count)
		}
	}
	var k keeper
	k.store(t, s, list)
	trim(t, s, ledger.Horizon{Ended: hour(100), Minutes: hour(100), Hours: hour(100), Days: hour(-100), Shapes: hour(-100), Denials: hour(-100), Most: 1, MostDay: 20})
	q := always("prj_1")
	q.Grain = ledger.Day
	rows, events, networks, requests := map[string]int{}, map[string]map[string]bool{}, map[string]map[string]bool{}, map[string]int64{}
	for _, c := range counts(t, s, q) {
		day := c.At.Format(time.DateOnly)
		if events[day] == nil {
			events[day], networks[day] = map[string]bool{}, map[string]bool{}
		}
		events[day][c.Event], networks[day][c.Network.String()] = true, true
		rows[day]++
		requests[day] += c.Requests
	}
	for n, want := range [...]string{"20 1 20", "10 10 1", "1 1 1"} {
		day := hour(24 * n).Format(time.DateOnly)
		if got := fmt.Sprint(rows[day], " ", len(events[day]), " ", len(networks[day])); got != want || requests[day] != 200 {
			t.Errorf("day %d has %s (rows, events, networks), %d requests; want %s", n, got, requests[day], want)
		}
	}
}

// Promise: counts of days before their horizon go, of every project and of nobody, by whatever span they are kept; the
// denials stay.
func oldCountsAreTrimmed(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	addProject(t, s, "prj_2")
	b := batch("w", 1, denial(1))
	for _, project := range []string{"prj_1", "prj_2", ""} {
		for n := range 4 {
			b.Counts = append(b.Counts, counted(project, 24*n)...)
		}
	}
	keep(t, s, b)
	h := ledger.Horizon{Denials: start(), Most: 10, Days: hour(-24), Ended: hour(50), Minutes: hour(30), Hours: hour(40)}
	trim(t, s, h)
	h.Days = hour(3 * 24)
	trim(t, s, h)
	for _, project := range []string{"prj_1", "prj_2", ""} {
		q := always(project)
		q.Grain = ledger.Day
		if list := counts(t, s, q); len(list) != 2 || list[0].At.After(hour(3*24)) || list[0].At.Before(hour(2*24)) {
			t.Errorf("of %q there are %v", project, list)
		}
	}
	if list := denials(t, s, ledger.DenialQuery{Project: "prj_1"}); len(list) != 1 {
		t.Errorf("%d denials", len(list))
	}
}

// Promise: a caller that does not see live things sees the denials, counts and shapes of the project's test keys, and
// those of no other key: of keys of live mode, of keys that are not known, and of what was too much to tell apart.
func testKeysSeeTestKeysOnly(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	addProject(t, s, "prj_2")
	mine, live, theirs := key("prj_1", numbered(1)), key("prj_1", numbered(2)), key("prj_2", numbered(3))
	mine.Mode, theirs.Mode = access.Test, access.Test
	for _, k := range []keyring.Record{mine, live, theirs} {
		insert(t, s, k)
	}
	var b ledger.Batch
	for i, id := range []string{numbered(1), numbered(2), numbered(3), "", "key_unknown"} {
		d, c := denial(i), counted("prj_1", 0)[0]
		d.KeyID, c.KeyID = id, id
		seen := sight(i)
		seen.KeyID, seen.ID = id, fmt.Sprint(i)
		b.Denials, b.Counts, b.Shapes = append(b.Denials, d), append(b.Counts, c), append(b.Shapes, seen)
	}
	b.Writer, b.Number = "w", 1
	keep(t, s, b)
	list, err := s.Ledger.Denials(t.Context(), ledger.DenialQuery{Project: "prj_1", Limit: 10})
	if err != nil || names(list) != "d00000" {
		t.Errorf("denials %s, %v", names(list), err)
	}
	q := always("prj_1")
	q.Live = false
	if list := counts(t, s, q); len(list) != 1 || list[0].KeyID != numbered(1) {
		t.Errorf("counts %v", list)
	}
	for i, want := range []int{1, 0, 0} {
		found, err := s.Ledger.Shapes(t.Context(), ledger.ShapeQuery{Project: "prj_1", KeyID: numbered(i + 1), To: start().AddDate(1, 0, 0), Limit: 10})
		if err != nil || len(found) != want {
			t.Errorf("of key %d: %v, %v", i+1, found, err)
		}
	}
}

// sight is a shape of an attempt.
func sight(n int) ledger.Seen {
	at := start().Add(time.Duration(n) * time.Second)
	return ledger.Seen{
		ID: fmt.Sprintf("s%05d", n),
		Shape: ledger.Shape{
			About: counted("prj_1", 0)[0].About, Generation: 1, Origin: "https://www.example.com", Via: access.InHeader, Signed: access.SignatureRight,
			Agent: "curl/8", SDK: "weir-go/1.2",
		},
		First: at, Last: at, Requests: 1, Items: 2,
	}
}

func shapes(t *testing.T, s Stores, q ledger.ShapeQuery) []ledger.Seen {
	t.Helper()
	q.Live = true
	if q.To.IsZero() {
		q.To = start().AddDate(100, 0, 0)
	}
	if q.Limit == 0 {
		q.Limit = 100_000
	}
	list, err := s.Ledger.Shapes(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Promise: a shape comes back as it was seen, every field of it; seen again, on the same day or another, it is one shape
// with its counts added up, from its first to its last time.
func shapesAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	var list []ledger.Seen
	for i, text := range hostile() {
		seen := sight(i)
		seen.Environment, seen.Event, seen.Origin, seen.Agent, seen.SDK, seen.Reason = text, text, text, text, text, text
		list = append(list, seen)
	}
	bare, refused := ledger.Seen{ID: "t1", First: start(), Last: start()}, sight(0)
	bare.Project, bare.KeyID, bare.Outcome, bare.Other = "prj_1", numbered(1), ledger.Denied, true
	refused.ID, refused.Outcome, refused.Refused, refused.Via, refused.Signed = "t2", ledger.Limited, 3, access.InQuery, access.SignatureWrong
	list = append(list, bare, refused)
	later := make([]ledger.Seen, len(list))
	for i, seen := range list {
		seen.First, seen.Last = seen.First.AddDate(0, 0, 1), seen.Last.AddDate(0, 0, 2)
		later[i] = seen
	}
	keep(t, s, ledger.Batch{Writer: "w", Number: 1, Shapes: later})
	for n := range 2 {
		keep(t, s, ledger.Batch{Writer: "w", Number: int64(2 + n), Shapes: list})
	}
	for i := range list {
		list[i].Last = later[i].Last
		list[i].Requests, list[i].Refused, list[i].Items = 3*list[i].Requests, 3*list[i].Refused, 3*list[i].Items
	}
	got := shapes(t, s, ledger.ShapeQuery{Project: "prj_1", KeyID: numbered(1)})
	if len(got) != len(list) {
		t.Fatalf("%d shapes, want %d", len(got), len(list))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], list[i]) {
			t.Errorf("got %.400v, want %.400v", got[i], list[i])
		}
	}
}

// Promise: shapes are of one project and one key, narrowed by outcome, secret and days, from any place on; clients are
// told apart by secret, network, family and library, in this order, and by nothing else.
func shapesAreToldApart(t *testing.T, open Open) {
	s := plain(t, open)
	var b ledger.Batch
	for i, name := range hostile() {
		for j, project := range []string{"prj_1", "prj_" + name} {
			seen := sight(2*i + j)
			seen.Project, seen.KeyID = project, "key_"+name
			other := seen
			other.ID, other.Generation, other.Outcome, other.Refused = seen.ID+"x", 2, ledger.Denied, 1
			other.First, other.Last = seen.First.AddDate(0, 0, 2), seen.Last.AddDate(0, 0, 2)
			b.Shapes = append(b.Shapes, seen, other)
		}
		client := sight(1000 + i)
		client.KeyID, client.Agent, client.SDK, client.Event = numbered(9), name, name, name
		again := client
		again.ID, again.Event, again.Origin, again.Outcome, again.Refused = fmt.Sprintf("u%05d", i), "other", "", ledger.Denied, 1
		b.Shapes = append(b.Shapes, client, again)
	}
	b.Writer, b.Number = "w", 1
	keep(t, s, b)
	day := start().Truncate(24 * time.Hour)
	for _, name := range hostile() {
		for what, c := range map[string]struct {
			q    ledger.ShapeQuery
			want int
		}{
			"both": {ledger.ShapeQuery{}, 2}, "denied": {ledger.ShapeQuery{Outcome: ledger.Denied}, 1}, "old": {ledger.ShapeQuery{Generation: 1}, 1},
			"later": {ledger.ShapeQuery{From: day.AddDate(0, 0, 1)}, 1}, "first": {ledger.ShapeQuery{To: day.AddDate(0, 0, 1)}, 1},
			"clients": {ledger.ShapeQuery{Clients: true}, 2}, "none": {ledger.ShapeQuery{Generation: 3}, 0},
		} {
			for _, c.q.Project = range []string{"prj_1", "prj_" + name} {
				if c.q.KeyID = "key_" + name; len(shapes(t, s, c.q)) != c.want {
					t.Errorf("%s of %.60q: %.200v", what, name, shapes(t, s, c.q))
				}
			}
		}
	}
	clients := shapes(t, s, ledger.ShapeQuery{Project: "prj_1", KeyID: numbered(9), Clients: true})
	if len(clients) != len(hostile()) {
		t.Fatalf("%d clients", len(clients))
	}
	for i, c := range clients {
		if c.Requests != 2 || c.Refused != 1 || i > 0 && c.Agent <= clients[i-1].Agent {
			t.Errorf("client %d is %.200v", i, c)
		}
		q := ledger.ShapeQuery{
			Project: "prj_1", KeyID: numbered(9), Clients: true, Limit: 3,
			After: ledger.ClientPlace{Generation: c.Generation, Network: c.Network.String(), Agent: c.Agent, SDK: c.SDK},
		}
		if rest := shapes(t, s, q); !reflect.DeepEqual(rest, emptied(clients[i+1:][:min(3, len(clients)-i-1)])) {
			t.Errorf("after client %d: %.200v", i, rest)
		}
		seen := shapes(t, s, ledger.ShapeQuery{Project: "prj_1", KeyID: numbered(9), AfterID: fmt.Sprintf("s%05d", 1000+i), Limit: 1})
		if want := fmt.Sprintf("s%05d", 1000+i+1); i < len(clients)-1 && (len(seen) != 1 || seen[0].ID != want) {
			t.Errorf("after shape %d: %.200v", i, seen)
		}
	}
}

// Promise: shapes of days before the horizon go, and others stay.
func oldShapesAreTrimmed(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	var b ledger.Batch
	for n := range 8 {
		seen := sight(n)
		seen.First, seen.Last = seen.First.AddDate(0, 0, n), seen.Last.AddDate(0, 0, n)
		b.Shapes = append(b.Shapes, seen)
	}
	b.Writer, b.Number = "w", 1
	keep(t, s, b)
	if n := trim(t, s, ledger.Horizon{Shapes: start().AddDate(0, 0, 5), Most: 1}); n != 5 {
		t.Errorf("%d went", n)
	}
	if got := shapes(t, s, ledger.ShapeQuery{Project: "prj_1", KeyID: numbered(1)}); len(got) != 3 || got[0].ID != "s00005" {
		t.Errorf("there are %v", got)
	}
}

// Promise: of each secret the latest use is kept, whatever comes when, and is given for its own project only.
func theLastUseStays(t *testing.T, open Open) {
	s := plain(t, open)
	use := func(project, id string, generation, n int, text string) ledger.LastUse {
		return ledger.LastUse{
			Project: project, KeyID: id, Generation: generation, At: start().Add(time.Duration(n) * time.Microsecond), Address: netip.MustParseAddr("2001:db8::1"),
			Client: gate.Client{Agent: text, SDK: text},
		}
	}
	number := int64(0)
	for i, text := range hostile() {
		for _, n := range []int{1, 3, 2} {
			number++
			keep(t, s, ledger.Batch{Writer: "w", Number: number, Uses: []ledger.LastUse{
				use("prj_1", "key_"+text, 1, 10*i+n, text), use("prj_1", "key_"+text, 2, 10*i+n, text), use("prj_2", "key_"+text, 1, 10*i+n, text),
			}})
		}
	}
	for i, text := range hostile() {
		got, err := s.Ledger.LastUsed(t.Context(), "prj_1", []string{"key_" + text, "key_none"})
		if want := []ledger.LastUse{use("prj_1", "key_"+text, 1, 10*i+3, text), use("prj_1", "key_"+text, 2, 10*i+3, text)}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.60q: %.300v, %v", text, got, err)
		}
	}
	if got, err := s.Ledger.LastUsed(t.Context(), "prj_1", nil); err != nil || len(got) != 0 {
		t.Errorf("of no key: %v, %v", got, err)
	}
}
