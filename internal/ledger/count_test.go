package ledger

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// drawSender is one of some senders.
func drawSender(rt *rapid.T) gate.Sender {
	return gate.Sender{
		Address: rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")}).Draw(rt, "address"),
		Origin:  rapid.SampledFrom([]string{"", "https://www.example.com"}).Draw(rt, "origin"),
		Via:     rapid.SampledFrom([]access.Via{access.InHeader, access.InQuery}).Draw(rt, "via"),
		Client:  gate.Client{Agent: rapid.SampledFrom([]string{"", "curl/8.1", "x" + strings.Repeat("y", 3000)}).Draw(rt, "agent"), SDK: rapid.SampledFrom([]string{"", "a/1"}).Draw(rt, "sdk")},
	}
}

func drawTargets(rt *rapid.T) []access.Target {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) access.Target {
		return access.Target{
			Environment: rapid.SampledFrom([]string{"", "production", "staging"}).Draw(rt, "environment"),
			Event:       fmt.Sprint("event", rapid.IntRange(0, 12).Draw(rt, "event")),
		}
	}), 0, 30).Draw(rt, "targets")
}

func drawUse(rt *rapid.T) gate.Use {
	u := allowed(fmt.Sprint("key", rapid.IntRange(0, 40).Draw(rt, "key")))
	u.At, u.Generation, u.Sender = drawTime(rt), rapid.IntRange(1, 2).Draw(rt, "generation"), drawSender(rt)
	u.Action = rapid.SampledFrom([]access.Action{access.WriteEvents, access.ReadKeys}).Draw(rt, "action")
	u.Default, u.Environment, u.Targets = "production", "", drawTargets(rt)
	for i := range u.Targets {
		if i > 0 && rapid.IntRange(0, 3).Draw(rt, "refused") == 0 {
			u.Refused = append(u.Refused, access.Refusal{Index: i})
		}
	}
	u.Items = max(1, len(u.Targets)-len(u.Refused))
	return u
}

func drawTime(rt *rapid.T) time.Time {
	return morning().Add(time.Duration(rapid.IntRange(-100, 100).Draw(rt, "minutes")) * time.Minute)
}

func drawDenial(rt *rapid.T, n int) gate.Denial {
	d := denial(n)
	d.KeyID = fmt.Sprint("key", rapid.IntRange(0, 40).Draw(rt, "key"))
	d.Project = rapid.SampledFrom([]string{"prj_1", "prj_2", ""}).Draw(rt, "project")
	d.Event = fmt.Sprint("event", rapid.IntRange(0, 40).Draw(rt, "event"))
	d.At, d.Sender, d.Count = drawTime(rt), drawSender(rt), rapid.IntRange(1, 5).Draw(rt, "count")
	d.Observed = rapid.Bool().Draw(rt, "observed")
	d.Reason = rapid.SampledFrom([]string{"scope_missing", gate.KeyRate}).Draw(rt, "reason")
	return d
}

// Promise: whatever comes, in whatever order, and however the store fails or loses its replies, once the store is back
// every decision has been counted exactly once, with each of its items, under its outcome; no denial is kept twice; and
// the shapes of the known keys add up to the same.
func TestEveryDecisionIsCountedOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		store := newBinder()
		l, _ := newLedger(t, store, morning)
		l.limits = limits{denials: 20, perShare: 7, shapes: 3 * shardCount, counts: 12, told: 20, perKey: 3, allKeys: 30}
		how := ""
		failing := func(when string) func() error {
			return func() error {
				if how == when {
					return errBinder
				}
				return nil
			}
		}
		store.fail, store.lose = failing("fail"), failing("lose")
		want, wantShapes := map[Outcome]sum{}, map[Outcome]sum{}
		came := func(into map[Outcome]sum, o Outcome, items int) {
			into[o] = sum{into[o].requests + 1, into[o].items + int64(items)}
		}
		denials := 0
		for n := range rapid.IntRange(0, 100).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				how = rapid.SampledFrom([]string{"", "fail", "lose"}).Draw(rt, "store")
			case 1:
				_ = l.Flush(t.Context())
			case 2, 3, 4:
				u := drawUse(rt)
				l.Allow(u)
				came(want, Allowed, u.Items)
				came(wantShapes, Allowed, u.Items)
			default:
				d := drawDenial(rt, n)
				l.Deny(d)
				denials++
				came(want, OutcomeOf(&d), d.Count)
				if d.Project != "" {
					came(wantShapes, OutcomeOf(&d), d.Count)
				}
			}
			if held := l.Stats().Waiting; held > 2*l.limits.denials {
				rt.Fatalf("%d denials are held in memory", held)
			}
		}
		how = ""
		if err := l.Flush(t.Context()); err != nil {
			rt.Fatal(err)
		}
		if got := store.totals(); !maps.Equal(got, want) {
			rt.Fatalf("counted %v; came %v", got, want)
		}
		// What was counted without its key for want of memory has no shape.
		for o, got := range store.shapeTotals() {
			if got.requests > wantShapes[o].requests || got.items > wantShapes[o].items {
				rt.Fatalf("saw %v; came %v", store.shapeTotals(), wantShapes)
			}
		}
		s := l.Stats()
		if s.Kept+s.CountedOnly != uint64(denials) || s.Allowed != uint64(want[Allowed].requests) || s.Waiting != 0 || uint64(len(store.denials)) != s.Kept {
			rt.Fatalf("stats %+v with %d denials kept", s, len(store.denials))
		}
	})
}

// Promise: a flood of denials from unknown keys, each under another name and from another place, takes no more memory
// than its bound, and leaves the denials of projects their place.
func TestAFloodIsCountedAndNotKept(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	l.limits.denials, l.limits.perShare = 100, 50
	for n := range 5000 {
		d := denial(n % 1000)
		d.ID, d.Project, d.Organization, d.KeyID, d.Reason = fmt.Sprint("flood", n), "", "", fmt.Sprintf("key_%012d", n), "unknown_key"
		d.Address, d.Event, d.Client.Agent = netip.AddrFrom4([4]byte{byte(n >> 8), byte(n), 1, 1}), fmt.Sprint(n), fmt.Sprint("bot", n)
		l.Deny(d)
	}
	l.Deny(denial(1))
	if s := l.Stats(); s.Waiting != 51 || s.CountedOnly != 4950 {
		t.Fatalf("stats %+v", s)
	}
	for i := range l.shards {
		if n := len(l.shards[i].cells); n > 2 {
			t.Fatalf("%d counts are held in a shard", n)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	flood := countKey{About{Outcome: Denied, Reason: "unknown_key", Action: denial(1).Action}, morning()}
	if c := store.counts[flood]; c.Requests != 5000 || len(store.counts) != 2 || len(store.shapes) != 1 {
		t.Errorf("counted %+v of %d, in %d shapes", c, len(store.counts), len(store.shapes))
	}
}

// Promise: what an explanation takes is bounded: of a flood of denials with long texts only the first are kept whole.
func TestLongTextsOfAFloodAreCut(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	for n := range 150 {
		d := denial(n)
		d.Detail = strings.Repeat("é", 10_000)
		d.Failed, d.Remedies = make([]access.Step, 32), make([]access.Remedy, 32)
		l.Deny(d)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, d := range store.denials {
		most, steps := 16<<10, 32
		if i >= 100 {
			most, steps = 1<<10, 4
		}
		if len(d.Detail) != most || len(d.Failed) != steps || len(d.Remedies) != steps {
			t.Fatalf("denial %d has %d bytes, %d steps, %d remedies", i, len(d.Detail), len(d.Failed), len(d.Remedies))
		}
	}
}

// flood sends requests with a key, each under another event, from another network and with another program.
func flood(l *Ledger, key string, n int) {
	for i := range n {
		u := allowed(key)
		u.Targets = []access.Target{{Event: fmt.Sprint("event", i)}}
		u.Address = netip.AddrFrom4([4]byte{byte(i >> 8), byte(i), 1, 1})
		u.Client.Agent, u.Origin = fmt.Sprint("bot", i), fmt.Sprint("https://", i)
		l.Allow(u)
	}
}

// Promise: what one key's holder makes up takes no more memory than its bound, and no more rows in an hour and shapes in
// a day, however often it is flushed; all of it is counted, and the rows of the others stay what they are.
func TestAFloodOfShapesIsFolded(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	l.limits.shapes, l.limits.counts, l.limits.perKey = 100*shardCount, 200, 50
	const loud, quiet = "key_000000000001", "key_000000000002"
	for round := range 10 {
		flood(l, loud, 1000*(round+1))
		l.Allow(allowed(quiet))
		for i := range l.shards {
			if n := len(l.shards[i].cells); n > 200+4 {
				t.Fatalf("%d counts are held in a shard", n)
			}
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := store.totals()[Allowed]; got.requests != 55_010 || got.items != 3*55_010 {
		t.Errorf("counted %v", got)
	}
	if n := len(store.counts); n > 200 {
		t.Errorf("%d rows", n)
	}
	perKey := map[string]int{}
	for _, s := range store.shapes {
		perKey[s.KeyID]++
	}
	if perKey[loud] > 51 || perKey[quiet] > 2 {
		t.Errorf("shapes: %v", perKey)
	}
	var requests int64
	for _, c := range store.counts {
		if c.KeyID == quiet {
			requests += c.Requests
		}
	}
	if requests != 10 {
		t.Errorf("the other key was counted %d times", requests)
	}
}

// Promise: when there are too many rows to tell apart, events go first where networks are many, and networks where events
// are; then both go, then the environment, and the key last.
func TestFoldsInOrder(t *testing.T) {
	t.Parallel()
	var s sorter
	s.limits = limits{counts: 64, told: 1000}
	s.told.forget()
	about := func(key, event string, network byte) About {
		return About{
			Project: "prj_1", KeyID: key, Outcome: Allowed, Action: access.WriteEvents, Environment: "production", Event: event,
			Network: NetworkOf(netip.AddrFrom4([4]byte{network, 1, 1, 1})),
		}
	}
	whole := about("k", "e0", 0)
	for n := range 32 {
		if got := s.admit(about("k", fmt.Sprint("e", n), byte(n))); got.Event == "" || !got.Network.IsValid() {
			t.Fatalf("row %d was folded to %+v", n, got)
		}
	}
	for n := range 16 {
		if got := s.admit(about("k", "new", byte(100+n))); got.Event != "" || !got.Network.IsValid() {
			t.Fatalf("row %d was folded to %+v", n, got)
		}
	}
	for n := range 8 {
		if got := s.admit(about("k", fmt.Sprint("new", n), 200)); got.Event == "" || got.Network.IsValid() {
			t.Fatalf("row %d was folded to %+v", n, got)
		}
	}
	for n := range 1000 - 56 {
		if got := s.admit(about(fmt.Sprint("k", n), "newer", 201)); got.Event != "" || got.Network.IsValid() || got.KeyID == "" || got.Environment == "" {
			t.Fatalf("row %d was folded to %+v", n, got)
		}
	}
	for n := range 1000 {
		if got := s.admit(about(fmt.Sprint("n", n), "newer", 201)); got.KeyID == "" || got.Environment != "" {
			t.Fatalf("row %d was folded to %+v", n, got)
		}
	}
	for n := range 10_000 {
		if got := s.admit(about(fmt.Sprint("m", n), "newer", 201)); got != (About{Project: "prj_1", Outcome: Allowed, Action: access.WriteEvents}) {
			t.Fatalf("the last was folded to %+v", got)
		}
	}
	if got := s.admit(whole); got != whole {
		t.Fatalf("what has a row lost it: %+v", got)
	}
	if len(s.told.known) > 2000 {
		t.Fatalf("%d rows", len(s.told.known))
	}
}

// Promise: the counts of a minute that is over leave the memory, and so do the names of an hour; a clock that was set
// back does not keep them.
func TestWhatIsOverLeavesMemory(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), morning)
	for n := range 200 {
		at := morning().Add(time.Duration(n) * time.Hour)
		if n >= 100 {
			at = at.AddDate(-10, 0, 0)
		}
		for i := range l.shards {
			u := allowed(fmt.Sprint("key", n))
			u.At = at
			l.shards[i].allow(&u, 100)
		}
		d := denial(n)
		d.At = at
		l.Deny(d)
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range l.shards {
		if n := len(l.shards[i].cells); n > 2 {
			t.Errorf("%d counts are held", n)
		}
	}
	if len(l.denials.kept) != 1 || len(l.sorter.told.known) != 2 || len(l.sorter.shaped.known) > 50 {
		t.Errorf("held: %d shares, %d rows, %d shapes", len(l.denials.kept), len(l.sorter.told.known), len(l.sorter.shaped.known))
	}
}

// Promise: while the store is away for long, memory stays bounded, and every request is counted in its hour.
func TestALongOutageIsBounded(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	l.limits.shapes = 10 * shardCount
	for n := range 3 * 24 * 60 {
		u := allowed(fmt.Sprint("key", n%7))
		u.At = morning().Add(time.Duration(n) * time.Minute)
		l.Allow(u)
	}
	for i := range l.shards {
		if n := len(l.shards[i].cells); n > 30+3*24 {
			t.Errorf("%d counts are held in a shard", n)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	hours := map[time.Time]int64{}
	for k, c := range store.counts {
		hours[k.at.Truncate(time.Hour)] += c.Requests
	}
	if len(hours) != 72 {
		t.Errorf("counted in %d hours", len(hours))
	}
	for at, n := range hours {
		if n != 60 {
			t.Errorf("%d requests at %v", n, at)
		}
	}
}

// Promise: a request that carries several things is one request, and each of its items counts where it belongs: those
// that name no environment in the key's default, those that were refused nowhere.
func TestItemsCountWhereTheyBelong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		targets []access.Target
		refused []int
		want    []string
	}{
		"nothing":           {nil, nil, []string{"production//1/1"}},
		"one":               {[]access.Target{{Event: "A"}}, nil, []string{"production/A/1/1"}},
		"several of a kind": {[]access.Target{{Event: "A", Environment: "production"}, {Event: "A"}}, nil, []string{"production/A/1/2"}},
		"several kinds": {
			[]access.Target{{Event: "A"}, {Event: "B"}, {Event: "A"}}, nil,
			[]string{"production//1/0", "production/A/0/2", "production/B/0/1"},
		},
		"several environments": {
			[]access.Target{{Event: "A"}, {Event: "A", Environment: "staging"}}, nil,
			[]string{"//1/0", "production/A/0/1", "staging/A/0/1"},
		},
		"some refused": {
			[]access.Target{{Event: "X"}, {Event: "A"}, {Event: "Y", Environment: "moon"}, {Event: "A"}}, []int{0, 2},
			[]string{"production/A/1/2"},
		},
		"very many": {
			[]access.Target{
				{Event: "A"}, {Event: "B"}, {Event: "C"}, {Event: "D"}, {Event: "E"}, {Event: "F"}, {Event: "G"}, {Event: "H"}, {Event: "I"}, {Event: "A"},
			}, nil,
			[]string{
				"production//1/0", "production/A/0/2", "production/B/0/1", "production/C/0/1", "production/D/0/1", "production/E/0/1",
				"production/F/0/1", "production/G/0/1", "production/H/0/1", "production/I/0/1",
			},
		},
	} {
		store := newBinder()
		l, _ := newLedger(t, store, morning)
		u := allowed("key_000000000001")
		u.Default, u.Targets, u.Items = "production", c.targets, max(1, len(c.targets)-len(c.refused))
		if len(c.targets) > 1 {
			u.Environment = ""
		}
		for _, i := range c.refused {
			u.Refused = append(u.Refused, access.Refusal{Index: i})
		}
		l.Allow(u)
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range store.counts {
			got = append(got, fmt.Sprintf("%s/%s/%d/%d", s.Environment, s.Event, s.Requests, s.Items))
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// Promise: a decision is counted under its outcome, its network and its client's family, and remembered as the secret's
// last use only if it was a yes.
func TestWhatIsCounted(t *testing.T) {
	t.Parallel()
	store := newBinder()
	l, _ := newLedger(t, store, morning)
	u := allowed("key_000000000001")
	u.Generation, u.Signed = 3, access.SignatureRight
	l.Allow(u)
	later := u
	later.At, later.Address, later.Client.Agent = u.At.Add(time.Second), netip.MustParseAddr("192.0.2.200"), "Mozilla/5.0 (iPhone) Chrome/132.0 Mobile Safari/537.36"
	l.Allow(later)
	for reason, d := range map[string]gate.Denial{"key_rate": {}, "key_revoked": {}, "event_not_allowed": {Observed: true}} {
		observed := d.Observed
		d = denial(5000)
		d.Reason, d.Observed, d.Generation, d.Address = reason, observed, 3, netip.MustParseAddr("::ffff:198.51.100.9")
		l.Deny(d)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := store.totals(), (map[Outcome]sum{Allowed: {2, 6}, Limited: {1, 1}, Denied: {1, 1}, Observed: {1, 1}}); !maps.Equal(got, want) {
		t.Errorf("counted %v", got)
	}
	use := store.uses[secret{"key_000000000001", 3}]
	if want := (LastUse{Project: "prj_1", KeyID: "key_000000000001", Generation: 3, At: later.At, Address: later.Address, Client: later.Client}); use != want || len(store.uses) != 1 {
		t.Errorf("last used: %+v of %d", use, len(store.uses))
	}
	var seen *Seen
	for _, s := range store.shapes {
		if s.Outcome == Allowed {
			seen = &s
		}
		if s.Outcome != Allowed && s.Network.String() != "198.51.100.0/24" {
			t.Errorf("network %v", s.Network)
		}
	}
	if seen == nil || seen.Requests != 2 || !seen.First.Equal(u.At) || !seen.Last.Equal(later.At) || seen.Agent != "Chrome" ||
		seen.Network.String() != "192.0.2.0/24" || seen.Signed != access.SignatureRight || seen.Origin != "https://www.example.com" || seen.Refused != 0 {
		t.Errorf("saw %+v", seen)
	}
}

// Promise: clients are told apart by family, so that the number of a build makes no new one, and any text has one.
func TestFamilies(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"":                            "",
		"curl/8.11.0":                 "curl/8",
		"curl":                        "curl",
		"python-requests/2.32.3":      "python-requests/2",
		"Go-http-client/1.1":          "Go-http-client/1",
		"weir-js/x (beta)":            "weir-js",
		"okhttp 4.9":                  "okhttp",
		"/":                           "",
		"a/12345678901234567890;b":    "a/12345678901234567890",
		"Mozilla/5.0":                 "Mozilla",
		"Mozilla/5.0 (compatible; x)": "Mozilla",
		"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0":                                                                  "Firefox",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36":                         "Chrome",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36":                         "Chrome",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36":                           "HeadlessChrome",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0":           "Edge",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 OPR/115.0.0.0":           "Opera",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15":                   "Safari",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1": "Safari",
		"Mozilla/5.0 Safari/1":   "Safari",
		"Mozilla/ Mobile Safari": "Safari",
	} {
		if got := family(agent); got != want {
			t.Errorf("%q is of %q, want %q", agent, got, want)
		}
	}
}

// Promise: networks are /24 and /48, whatever way an address is written, and none has none.
func TestNetworks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.77": "203.0.113.0/24", "::ffff:203.0.113.77": "203.0.113.0/24", "2001:db8:1:2::3": "2001:db8:1::/48",
		"fe80::1%eth0": "fe80::/48", "::1": "::/48", "": "",
	} {
		addr, _ := netip.ParseAddr(address)
		if got := writeNetwork(NetworkOf(addr)); got != want {
			t.Errorf("%s is in %s, want %s", address, got, want)
		}
	}
}

// Promise: a shape's name is the same for the same shape and another for another, whichever member differs.
func TestShapesAreNamedApart(t *testing.T) {
	t.Parallel()
	names := map[string]string{}
	add := func(what string, s Shape) {
		if other, ok := names[s.id()]; ok {
			t.Errorf("%s and %s are one", what, other)
		}
		names[s.id()] = what
	}
	for i := range 60 { // move one byte along the members
		texts := [8]string{}
		texts[i%8] = strings.Repeat("x", i/8+1)
		add(fmt.Sprint(i), Shape{
			About:  About{Project: texts[0], KeyID: texts[1], Reason: texts[2], Environment: texts[3], Event: texts[4]},
			Origin: texts[5], Agent: texts[6], SDK: texts[7],
		})
	}
	add("other", Shape{Other: true})
	add("empty", Shape{})
	add("generation", Shape{Generation: 1})
	add("via", Shape{Via: access.InQuery})
	add("signed", Shape{Signed: access.SignatureWrong})
	add("outcome", Shape{About: About{Outcome: Limited}})
	add("action", Shape{About: About{Action: access.RunSQL}})
	add("network", Shape{About: About{Network: NetworkOf(sender().Address)}})
	if a, b := (Shape{SDK: "a"}), (Shape{SDK: "a"}); a.id() != b.id() {
		t.Error("a shape has two names")
	}
}

// Promise: whatever a User-Agent says, its family is a part of it or a browser's name, and costs no memory.
func FuzzFamily(f *testing.F) {
	for _, agent := range []string{"", "curl/8.1", "Mozilla/5.0 (X11) Chrome/1 Mobile Safari/1", "Mozilla/ ", "a/b(c;d", "/9"} {
		f.Add(agent)
	}
	browsers := []string{"Firefox", "Edge", "Opera", "Chrome", "HeadlessChrome", "Safari", "Mozilla"}
	f.Fuzz(func(t *testing.T, agent string) {
		got := family(agent)
		if len(got) > len(agent) || !strings.HasPrefix(agent, got) && !(strings.HasPrefix(agent, "Mozilla/") && slices.Contains(browsers, got)) {
			t.Fatalf("%q is of %q", agent, got)
		}
	})
}
