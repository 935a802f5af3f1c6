package ledger

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: no text that a sender chose can make a batch unfit for a store, or large.
func TestSentTextsAreMadeFit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "",
		"checkout":                     "checkout",
		"a\x00b":                       "a\uFFFDb",
		"\xff\xfe":                     "\uFFFD",
		strings.Repeat("x", 300):       strings.Repeat("x", 256),
		strings.Repeat("é", 200):       strings.Repeat("é", 128),
		"x" + strings.Repeat("é", 200): "x" + strings.Repeat("é", 127),
		strings.Repeat("\xff", 300):    "\uFFFD",
	} {
		d := gate.Denial{Event: text, Environment: text, KeyID: text, Remedies: []access.Remedy{{Field: text, Value: text}}}
		d.RequestID, d.Origin, d.Client = text, text, gate.Client{Agent: text, SDK: text}
		lent := d.Remedies
		clean(&d)
		if lent[0].Value != text {
			t.Error("the sender's own remedies were changed")
		}
		for _, got := range []string{
			d.Event, d.Environment, d.KeyID, d.RequestID, d.Origin, d.Client.Agent, d.Client.SDK, d.Remedies[0].Field, d.Remedies[0].Value,
		} {
			if got != want || !utf8.ValidString(got) {
				t.Errorf("%.20q became %.20q, want %.20q", text, got, want)
			}
		}
	}
}

// Promise: a key that was put in the place of a name, whole or in part, is not kept, wherever the bound on texts cuts it.
func TestKeysInSentTextsAreHidden(t *testing.T) {
	t.Parallel()
	key := access.WriteKey(access.Secret, access.Live, "3fQ9xT0aLmZk", "ThisIsAnExampleNotASecret00")
	const shown = "sk_live_3fQ9xT0aLmZk"
	for before := range 300 {
		for _, sent := range []string{key, key[:40], strings.ToUpper(key), key + "more", key[8:]} {
			text := strings.Repeat("-", before) + sent
			d := gate.Denial{Event: text, Environment: "my" + sent, Detail: text, Remedies: []access.Remedy{{Field: text, Value: text}}}
			d.Client = gate.Client{Agent: text, SDK: text}
			clean(&d)
			shape := Shape{About: About{Environment: text, Event: text}, Origin: text, Agent: family(text), SDK: text}
			shape.clean()
			for _, got := range []string{
				d.Event, d.Environment, d.Detail, d.Client.Agent, d.Client.SDK, d.Remedies[0].Field, d.Remedies[0].Value,
				shape.Environment, shape.Event, shape.Origin, shape.Agent, shape.SDK,
			} {
				if strings.Contains(strings.ToLower(got), "thisis") {
					t.Fatalf("after %d others, %q is kept", before, got)
				}
			}
			if sent == key && d.Environment != "my"+shown+"…" {
				t.Fatalf("%q does not say which key it was", d.Environment)
			}
		}
	}
}

// Promise: a last use keeps no key either, however long the text that it stands in.
func TestKeysInLastUsesAreHidden(t *testing.T) {
	t.Parallel()
	key := access.WriteKey(access.Secret, access.Live, "3fQ9xT0aLmZk", "ThisIsAnExampleNotASecret00")
	for _, before := range []int{0, 200, 255, 256, 900, 990, 1000, 1023} {
		for _, sent := range []string{key, key[8:]} {
			store := newBinder()
			l, _ := newLedger(t, store, morning)
			u := allowed("key_000000000001")
			u.Client.Agent = strings.Repeat(key+" ", 10)[:before/2] + strings.Repeat("-", before-before/2) + sent
			l.Allow(u)
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, use := range store.uses {
				if strings.Contains(use.Client.Agent, "ThisIs") || len(use.Client.Agent) > maxText {
					t.Errorf("after %d others, %q is kept", before, use.Client.Agent)
				}
			}
		}
	}
}

// Promise: a span begins where it should, before 1970 too.
func TestSpans(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{morning(), morning().Add(time.Hour - 1), time.Unix(0, 0), time.Unix(-1, 0), time.Unix(-3600, 0), time.Unix(-3601, 0), {}} {
		for _, g := range []Grain{Minute, Hour, Day} {
			seconds := int64(g.Span() / time.Second)
			if got, want := startOf(numberOf(at.UnixMicro(), seconds), seconds), at.UTC().Truncate(g.Span()); !got.Equal(want) {
				t.Errorf("%v is of %v, want %v", at, got, want)
			}
			if got := ceil(at, g.Span()); got.Before(at) || got.Sub(at) >= g.Span() || !got.Equal(got.Truncate(g.Span())) {
				t.Errorf("%v is raised to %v", at, got)
			}
		}
	}
}

// Promise: a permit shows the denials of its own project, newest first and each once, through any page size and filter;
// denials without a project are shown to nobody; and what was decided before the call is in the answer.
func TestDenialsAreOfOneProject(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), morning)
	want := map[Filter][]string{}
	for n := range 30 {
		d := denial(n / 3) // three of each time
		d.ID = fmt.Sprintf("d%02d", n)
		d.Project = []string{"prj_1", "prj_1", "prj_2", ""}[n%4]
		d.KeyID = fmt.Sprintf("key_%012d", n%2)
		d.Reason = []string{"scope_missing", "key_revoked", "key_rate"}[n%3]
		d.Action = []access.Action{access.RunSQL, access.WriteEvents}[n%2]
		d.Observed = n%5 == 0
		l.Deny(d)
		if d.Project == "prj_1" {
			for _, f := range []Filter{
				{}, {KeyID: d.KeyID}, {Reason: d.Reason}, {KeyID: d.KeyID, Reason: d.Reason}, {ID: d.ID}, {Action: d.Action}, {Outcome: OutcomeOf(&d)},
				{From: d.At, To: d.At.Add(time.Microsecond)},
			} {
				want[f] = append([]string{d.ID}, want[f]...)
			}
		}
	}
	mine := permit(t, "prj_1")
	for f, ids := range want {
		for _, f.Limit = range []int{1, 2, 5, MaxPage} {
			var got []string
			for f.Before = ""; ; {
				page, next, err := l.Denials(t.Context(), mine, f)
				if err != nil || len(page) > f.Limit {
					t.Fatalf("%+v: %d, %v", f, len(page), err)
				}
				for _, d := range page {
					if d.Project != "prj_1" {
						t.Fatalf("%+v shows %+v", f, d)
					}
					got = append(got, d.ID)
				}
				if f.Before = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, ids) {
				t.Errorf("%+v: got %v, want %v", f, got, ids)
			}
		}
	}
}

// Promise: a decision is found by its id in its own project only, and one of nobody's key nowhere.
func TestDecisionsAreFoundInTheirProject(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), morning)
	for i, project := range []string{"prj_1", "prj_2", ""} {
		d := denial(i)
		d.Project = project
		l.Deny(d)
	}
	mine := permit(t, "prj_1")
	for id, want := range map[string]bool{"d0": true, "d1": false, "d2": false, "none": false} {
		if d, found, err := l.Decision(t.Context(), mine, id); err != nil || found != want || found && d.ID != id {
			t.Errorf("%s: %+v, %v, %v", id, d, found, err)
		}
	}
	for _, id := range []string{"", strings.Repeat("x", 300), "a\x00"} {
		if _, _, err := l.Decision(t.Context(), mine, id); problem.Of(err) != problem.InvalidField {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// Promise: counts are of one project and one window of time, told apart as asked, in pages of any size; and however they
// are told apart, they add up to the same.
func TestUsageIsOfOneProject(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), func() time.Time { return morning().Add(5 * time.Hour) })
	for n := range 60 {
		at := morning().Add(time.Duration(n%6) * time.Hour)
		d, u := denial(n), allowed(fmt.Sprintf("key_%012d", n%2))
		d.At, u.At, d.KeyID = at, at, u.KeyID
		d.Project = []string{"prj_1", "prj_2"}[n/30]
		u.Targets = []access.Target{{Event: fmt.Sprint("e\n", n%4)}}
		u.Project = d.Project
		l.Deny(d)
		l.Allow(u)
	}
	mine := permit(t, "prj_1")
	for name, c := range map[string]struct {
		query UsageQuery
		rows  int
		sum   int64
	}{
		"all":             {UsageQuery{}, 6, 60},
		"by day":          {UsageQuery{Grain: Day}, 1, 60},
		"by minute":       {UsageQuery{Grain: Minute, By: ByOutcome}, 12, 60},
		"all apart":       {UsageQuery{By: endOfBreakdowns - 1}, 6 + 12, 60},
		"events":          {UsageQuery{Grain: Day, By: ByEvent}, 5, 60},
		"one key":         {UsageQuery{About: About{KeyID: "key_000000000001"}}, 3, 30},
		"one event":       {UsageQuery{About: About{Event: "e\n1"}}, 3, 8},
		"yes":             {UsageQuery{By: ByKey, About: About{Outcome: Allowed}}, 6, 30},
		"a reason":        {UsageQuery{About: About{Reason: "scope_missing"}}, 6, 30},
		"a network":       {UsageQuery{About: About{Network: NetworkOf(sender().Address)}}, 6, 60},
		"no such network": {UsageQuery{About: About{Network: NetworkOf(netip.MustParseAddr("10.0.0.1"))}}, 0, 0},
		"hours":           {UsageQuery{From: morning().Add(time.Hour), To: morning().Add(3 * time.Hour)}, 2, 20},
		"between hours":   {UsageQuery{From: morning().Add(time.Minute), To: morning().Add(2*time.Hour + time.Minute)}, 2, 20},
		"no hours":        {UsageQuery{From: morning().Add(7 * time.Hour)}, 0, 0},
	} {
		for _, c.query.Limit = range []int{1, 4, MaxCount} {
			var rows int
			var sum int64
			for c.query.After = ""; ; {
				page, next, err := l.Usage(t.Context(), mine, c.query)
				if err != nil || len(page) > c.query.Limit {
					t.Fatalf("%s: %d, %v", name, len(page), err)
				}
				for _, count := range page {
					rows, sum = rows+1, sum+count.Requests
				}
				if c.query.After = next; next == "" {
					break
				}
			}
			if rows != c.rows || sum != c.sum {
				t.Errorf("%s by %d: %d rows, %d requests", name, c.query.Limit, rows, sum)
			}
		}
	}
}

// Promise: what a key's holders did is shown by client and by shape, in pages of any size, of the permit's project only.
func TestClientsAndShapesOfAKey(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), morning)
	const key = "key_000000000001"
	for n := range 24 {
		u := allowed(key)
		u.Generation, u.Address = n%2+1, netip.AddrFrom4([4]byte{192, 0, byte(n % 3), byte(n)})
		u.Client.Agent = []string{"curl/8.1", "curl/8.2", "Go/1"}[n%4%3]
		u.At = u.At.Add(time.Duration(n) * time.Second)
		l.Allow(u)
	}
	d := denial(1)
	d.Generation, d.Address, d.Client = 1, netip.MustParseAddr("192.0.0.1"), gate.Client{Agent: "curl/8.1", SDK: sender().Client.SDK}
	l.Deny(d)
	other := allowed(key)
	other.Project = "prj_2"
	l.Allow(other)
	mine := permit(t, "prj_1")
	for _, limit := range []int{1, 3, MaxCount} {
		var clients []Client
		f := ShapeFilter{Limit: limit}
		for f.After = ""; ; {
			page, next, err := l.Clients(t.Context(), mine, key, f)
			if err != nil || len(page) > limit {
				t.Fatal(len(page), err)
			}
			clients = append(clients, page...)
			if f.After = next; next == "" {
				break
			}
		}
		var requests, refused int64
		for i, c := range clients {
			requests, refused = requests+c.Requests, refused+c.Refused
			if i > 0 && c.Generation < clients[i-1].Generation {
				t.Error("the clients are not sorted by secret")
			}
		}
		if len(clients) != 9 || requests != 25 || refused != 1 || clients[1].Refused != 1 || clients[1].Agent != "curl/8" {
			t.Errorf("by %d: %d requests, %d refused, of %+v", limit, requests, refused, clients)
		}
		var ids []string
		for f.After = ""; ; {
			page, next, err := l.Shapes(t.Context(), mine, key, f)
			if err != nil || len(page) > limit {
				t.Fatal(len(page), err)
			}
			for _, s := range page {
				ids = append(ids, s.ID)
			}
			if f.After = next; next == "" {
				break
			}
		}
		if len(ids) != 10 || !slices.IsSorted(ids) {
			t.Errorf("by %d: shapes %v", limit, ids)
		}
	}
	old, _, err := l.Clients(t.Context(), mine, key, ShapeFilter{Generation: 1, Outcome: Denied, Limit: 10})
	if err != nil || len(old) != 1 || old[0].Network.String() != "192.0.0.0/24" {
		t.Errorf("of the old secret: %+v, %v", old, err)
	}
	none, _, err := l.Shapes(t.Context(), mine, key, ShapeFilter{From: morning().AddDate(0, 0, 1), Limit: 10})
	if err != nil || len(none) != 0 {
		t.Errorf("of tomorrow: %+v, %v", none, err)
	}
	last, err := l.LastUsed(t.Context(), mine, []string{key, "key_000000000009"})
	if use := last[key]; err != nil || len(last) != 1 || use.Generation != 2 || use.Address.String() != "192.0.2.23" || use.Client.Agent != "curl/8.1" {
		t.Errorf("last used: %+v, %v", last, err)
	}
}

// Promise: a filter that cannot mean anything is refused by name.
func TestBadFiltersAreNamed(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t, newBinder(), morning)
	mine := permit(t, "prj_1")
	refused := func(field string, err error) {
		t.Helper()
		if p := problem.From(err); p.Code != problem.InvalidField || p.Fields[0].Name != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for field, f := range map[string]Filter{
		"key_id": {KeyID: "key_\x00", Limit: 1}, "reason": {Reason: "a\x00", Limit: 1}, "id": {ID: "\xff", Limit: 1},
		"limit": {Limit: MaxPage + 1}, "cursor": {Before: "####", Limit: 1}, "outcome": {Outcome: Allowed, Limit: 1}, "action": {Action: 255, Limit: 1},
	} {
		_, _, err := l.Denials(t.Context(), mine, f)
		refused(field, err)
	}
	for field, u := range map[string]UsageQuery{
		"key_id": {About: About{KeyID: "x"}, Limit: 1}, "limit": {}, "cursor": {After: "####", Limit: 1}, "grain": {Grain: 9, Limit: 1},
		"by": {By: 255, Limit: 1}, "event": {About: About{Event: "\x00"}, Limit: 1}, "environment": {About: About{Environment: strings.Repeat("x", 257)}, Limit: 1},
		"network": {About: About{Network: netip.MustParsePrefix("10.0.0.0/8")}, Limit: 1}, "outcome": {About: About{Outcome: 9}, Limit: 1},
	} {
		_, _, err := l.Usage(t.Context(), mine, u)
		refused(field, err)
	}
	for field, f := range map[string]ShapeFilter{
		"limit": {Limit: MaxCount + 1}, "cursor": {After: "####", Limit: 1}, "generation": {Generation: -1, Limit: 1}, "outcome": {Outcome: 9, Limit: 1},
	} {
		_, _, err := l.Shapes(t.Context(), mine, "key_000000000001", f)
		refused(field, err)
		_, _, err = l.Clients(t.Context(), mine, "key_000000000001", f)
		refused(field, err)
	}
	_, _, err := l.Shapes(t.Context(), mine, "x", ShapeFilter{Limit: 1})
	refused("key_id", err)
	_, err = l.LastUsed(t.Context(), mine, make([]string, MaxPage+1))
	refused("key_id", err)
}

// Promise: a cursor that we wrote is read as it was, and no other text makes trouble.
func FuzzCursor(f *testing.F) {
	f.Add("", int64(0), "a", "b", "c")
	f.Add(writeCursor(morning(), "key", "what", "env\n"), int64(-1), "", "\t", "é")
	f.Fuzz(func(t *testing.T, text string, micros int64, a, b, c string) {
		var x, y, z string
		if _, ok := readCursor(text, &x, &y, &z); ok && (!storable(x) || !storable(y) || !storable(z) || len(text) > MaxCursor) {
			t.Fatalf("read %q", x+y+z)
		}
		if !storable(a) || !storable(b) || !storable(c) {
			return
		}
		at, ok := readCursor(writeCursor(time.UnixMicro(micros), a, b, c), &x, &y, &z)
		if !ok || at.UnixMicro() != micros || x != a || y != b || z != c {
			t.Fatalf("%d %q %q %q became %v %q %q %q", micros, a, b, c, at, x, y, z)
		}
	})
}
