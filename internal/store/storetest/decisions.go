package storetest

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/ledger"
)

func denial(n int) gate.Denial {
	return gate.Denial{
		ID: fmt.Sprintf("d%05d", n), At: start().Add(time.Duration(n) * time.Second), Organization: "org_1", Project: "prj_1",
		KeyID: numbered(1), Action: access.WriteEvents, Reason: "scope_missing", Rule: "key holds the scope", Count: 1,
	}
}

func batch(writer string, number int64, list ...gate.Denial) ledger.Batch {
	return ledger.Batch{Writer: writer, Number: number, Denials: list}
}

func keep(t *testing.T, s Stores, b ledger.Batch) {
	t.Helper()
	if err := s.Ledger.Keep(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func denials(t *testing.T, s Stores, q ledger.DenialQuery) []gate.Denial {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100_000
	}
	q.Live = true
	list, err := s.Ledger.Denials(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func names(list []gate.Denial) string {
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return strings.Join(ids, " ")
}

// always is a query for every count of a project by hour, told apart in every way.
func always(project string) ledger.CountQuery {
	return ledger.CountQuery{
		About: ledger.About{Project: project}, Live: true, To: start().AddDate(100, 0, 0), By: 1<<len(ledger.BreakdownNames()) - 1, Limit: 100_000,
	}
}

func counts(t *testing.T, s Stores, q ledger.CountQuery) []ledger.Count {
	t.Helper()
	list, err := s.Ledger.Usage(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func hour(n int) time.Time { return start().Truncate(time.Hour).Add(time.Duration(n) * time.Hour) }

// counted are counts of an hour: of a no and of a yes.
func counted(project string, n int) []ledger.Count {
	denied := ledger.About{
		Project: project, KeyID: numbered(1), Outcome: ledger.Denied, Reason: "scope_missing", Action: access.WriteEvents, Environment: "production",
		Event: "checkout", Network: netip.MustParsePrefix("192.0.2.0/24"),
	}
	allowed := denied
	allowed.Outcome, allowed.Reason, allowed.Event, allowed.Network = ledger.Allowed, "", "", netip.MustParsePrefix("2001:db8::/48")
	return []ledger.Count{{At: hour(n), About: allowed, Requests: 5, Items: 7}, {At: hour(n), About: denied, Requests: 2, Items: 3}}
}

// Promise: counts add up, over batches and writers; a batch that comes again changes nothing, whatever it says then.
func batchesAreCountedOnce(t *testing.T, open Open) {
	s := plain(t, open)
	b := batch("w1", 1, denial(1))
	b.Counts = counted("prj_1", 0)
	keep(t, s, b)
	b.Denials = append(b.Denials, denial(2))
	keep(t, s, b)
	b.Number = 2
	keep(t, s, b)
	b.Number = 1
	keep(t, s, b)
	b.Writer = "W1"
	keep(t, s, b)
	if got := names(denials(t, s, ledger.DenialQuery{Project: "prj_1"})); got != "d00002 d00001" {
		t.Errorf("kept %s", got)
	}
	want := counted("prj_1", 0)
	for i := range want {
		want[i].Requests *= 3
		want[i].Items *= 3
	}
	if got := counts(t, s, always("prj_1")); !reflect.DeepEqual(got, want) {
		t.Errorf("counted %+v", got)
	}
}

// Promise: a denial comes back as it was decided, every field of it.
func denialsAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	full := gate.Denial{
		ID: "full", At: start(), Organization: "org_1", Project: "prj_1", KeyID: numbered(1), Generation: 7, Action: access.RunSQL, Reason: "key_expired",
		Rule: "key has not expired", Environment: "production", Event: "checkout", Count: 1 << 40, Detail: "line 2",
		Sender: gate.Sender{
			Address: netip.MustParseAddr("2001:db8::1"), Origin: "https://www.example.com", Via: access.InQuery, Signed: access.SignatureWrong,
			Client: gate.Client{Agent: "curl/8.1", SDK: "weir-go/1.2"}, RequestID: "r1",
		},
		Failed: []access.Step{
			{Rule: "key has not expired", Target: -1, Reason: access.KeyExpired, Key: "key_above"}, {Rule: "event is one the key may send", Target: 3, Reason: access.EventNotAllowed, Observed: true},
		},
		Remedies: []access.Remedy{{Of: "key", Field: "expires_at", Do: "remove"}, {Of: "key", Field: "events", Do: "add", Value: "checkout"}},
	}
	observed, limited := full, full
	observed.ID, observed.Observed = "observed", true
	limited.ID, limited.Reason = "limited", gate.KeyRate
	want := []gate.Denial{full, observed, limited, {ID: "bare", At: time.Unix(0, 0).UTC(), Project: "prj_1"}}
	for i, text := range hostile() {
		d := denial(i)
		d.Environment, d.Event, d.RequestID, d.Address, d.Origin, d.Detail = text, text, text, netip.MustParseAddr("192.0.2.7"), text, text
		d.Client = gate.Client{Agent: text, SDK: text}
		d.Remedies = []access.Remedy{{Of: text, Field: text, Do: text, Value: text}}
		want = append(want, d)
	}
	keep(t, s, batch("w", 1, want...))
	got := denials(t, s, ledger.DenialQuery{Project: "prj_1"})
	if len(got) != len(want) {
		t.Fatalf("%d denials, want %d", len(got), len(want))
	}
	slices.SortFunc(want, func(a, b gate.Denial) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(got, func(a, b gate.Denial) int { return strings.Compare(a.ID, b.ID) })
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got %.300v, want %.300v", got[i], want[i])
		}
	}
}

// Promise: denials are listed by project, newest first, from any place on, narrowed by id, key and reason; no two names
// are one.
func denialsAreToldApart(t *testing.T, open Open) {
	s := plain(t, open)
	var all []gate.Denial
	for i, name := range hostile() {
		d := denial(i / 2) // two of each time
		d.ID = fmt.Sprintf("d%05d", i)
		d.Project, d.KeyID, d.Reason = "prj_"+name, "key_"+name, "reason_"+name
		mine := denial(i / 2)
		mine.ID, mine.KeyID, mine.Reason = fmt.Sprintf("m%05d", i), d.KeyID, d.Reason
		all = append(all, d, mine)
	}
	keep(t, s, batch("w", 1, all...))
	n := len(hostile())
	for i, name := range hostile() {
		own, mine := fmt.Sprintf("d%05d", i), fmt.Sprintf("m%05d", i)
		for _, c := range []struct {
			q    ledger.DenialQuery
			want string
		}{
			{ledger.DenialQuery{Project: "prj_" + name}, own},
			{ledger.DenialQuery{Project: "prj_1", KeyID: "key_" + name}, mine},
			{ledger.DenialQuery{Project: "prj_1", Reason: "reason_" + name}, mine},
			{ledger.DenialQuery{Project: "prj_1", KeyID: "key_" + name, Reason: "reason_" + name, ID: mine}, mine},
			{ledger.DenialQuery{Project: "prj_1", ID: own}, ""},
			{ledger.DenialQuery{Project: "prj_1", KeyID: "key_" + name, Action: access.WriteEvents, Outcome: ledger.Denied, From: denial(i / 2).At, To: denial(i/2 + 1).At}, mine},
			{ledger.DenialQuery{Project: "prj_1", KeyID: "key_" + name, Action: access.RunSQL}, ""},
			{ledger.DenialQuery{Project: "prj_1", KeyID: "key_" + name, Outcome: ledger.Observed}, ""},
			{ledger.DenialQuery{Project: "prj_1", KeyID: "key_" + name, From: denial(i/2 + 1).At}, ""},
			{ledger.DenialQuery{Project: "prj_1", KeyID: "key_" + name, To: denial(i / 2).At}, ""},
		} {
			if got := names(denials(t, s, c.q)); got != c.want {
				t.Errorf("%.100v gives %q, want %q", c.q, got, c.want)
			}
		}
	}
	whole := denials(t, s, ledger.DenialQuery{Project: "prj_1"})
	if len(whole) != n || whole[0].ID != fmt.Sprintf("m%05d", n-1) || whole[n-1].ID != "m00000" {
		t.Fatalf("the list is %s", names(whole))
	}
	for i := 0; i < n; i += 3 {
		d := whole[i]
		rest := denials(t, s, ledger.DenialQuery{Project: "prj_1", Before: ledger.Place{At: d.At, ID: d.ID}, Limit: 3})
		if want := names(whole[i+1:][:min(3, n-i-1)]); names(rest) != want {
			t.Errorf("before %s: %s, want %s", d.ID, names(rest), want)
		}
	}
}

// trim trims to the end and returns how many entries went.
func trim(t *testing.T, s Stores, h ledger.Horizon) (total int) {
	t.Helper()
	for range 1000 {
		n, err := s.Ledger.Trim(t.Context(), h)
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

// Promise: denials from before the horizon go, of projects and of nobody's; others stay, and so do the counts.
func oldDenialsAreTrimmed(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	var b ledger.Batch
	for n := range 30 {
		d := denial(n)
		d.Project = []string{"prj_1", "prj_2", ""}[n%3]
		b.Denials = append(b.Denials, d)
	}
	b.Counts = counted("prj_1", 0)
	b.Writer, b.Number = "w", 1
	keep(t, s, b)
	if n := trim(t, s, ledger.Horizon{Denials: denial(21).At, Most: 1000, Days: hour(-1)}); n != 21 {
		t.Errorf("%d went", n)
	}
	for project, want := range map[string]string{"prj_1": "d00027 d00024 d00021", "prj_2": "d00028 d00025 d00022", "": "d00029 d00026 d00023"} {
		if got := names(denials(t, s, ledger.DenialQuery{Project: project})); got != want {
			t.Errorf("of %q there are %s, want %s", project, got, want)
		}
	}
	if list := counts(t, s, always("prj_1")); len(list) != 2 {
		t.Errorf("the counts are %v", list)
	}
}

// Promise: when there are too many denials, those go that are oldest in the project that has most: a flood of one
// removes nothing of another.
func greatestShareIsTrimmed(t *testing.T, open Open) {
	s := plain(t, open)
	var list []gate.Denial
	for n := range 500 {
		d := denial(n)
		switch {
		case n < 3:
			d.Project = "prj_quiet"
		case n%5 == 0:
			d.Project = ""
		default:
			d.Project = "prj_loud"
		}
		list = append(list, d)
	}
	keep(t, s, batch("w", 1, list...))
	trim(t, s, ledger.Horizon{Most: 110})
	loud, nobody := denials(t, s, ledger.DenialQuery{Project: "prj_loud"}), denials(t, s, ledger.DenialQuery{})
	if quiet := denials(t, s, ledger.DenialQuery{Project: "prj_quiet"}); len(quiet) != 3 || len(loud)+len(nobody) != 107 {
		t.Errorf("%d quiet, %d loud, %d nobody's", len(quiet), len(loud), len(nobody))
	}
	if len(loud) > 0 && loud[0].ID != "d00499" || len(nobody) > 0 && nobody[0].ID != "d00495" {
		t.Error("the newest went first")
	}
}

// Promise: writers, changers and readers at the same time do not disturb one another, and everything they did is there.
func writersAtTheSameTime(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	const writers, times = 4, 8
	each(writers, func(w int) {
		for n := range times {
			b := batch(fmt.Sprint("w", w), int64(n+1), denial(100*w+n))
			b.Counts = counted("prj_1", 0)
			if err := s.Ledger.Keep(t.Context(), b); err != nil {
				t.Error(err)
			}
			insert(t, s, key("prj_1", numbered(100*w+n)))
			if _, err := s.Keys.Projects(t.Context()); err != nil {
				t.Error(err)
			}
			if err := revoke(t.Context(), s, numbered(100*w)); err != nil {
				t.Error(err)
			}
			if _, err := s.Ledger.Trim(t.Context(), ledger.Horizon{Most: 1000, Ended: hour(2), Minutes: hour(2)}); err != nil {
				t.Error(err)
			}
			if err := s.Audit.Append(t.Context(), entry(100*w+n)); err != nil {
				t.Error(err)
			}
		}
	})
	if list := counts(t, s, always("prj_1")); len(list) != 2 || list[0].Requests != 5*writers*times || list[1].Requests != 2*writers*times {
		t.Errorf("counted %+v", list)
	}
	if n := len(denials(t, s, ledger.DenialQuery{Project: "prj_1"})); n != writers*times {
		t.Errorf("%d denials", n)
	}
}
