package ledger

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
)

// binder is a Store in memory. It can be told to fail.
type binder struct {
	mu       sync.Mutex
	last     map[string]int64
	denials  []gate.Denial
	counts   map[countKey]Count
	shapes   map[string]Seen
	uses     map[secret]LastUse
	horizons []Horizon
	surplus  int           // what Trim finds to remove
	fail     func() error  // before Keep does its work
	lose     func() error  // after it
	hold     chan struct{} // if set, Keep waits for it
}

type countKey struct {
	about About
	at    time.Time
}

func newBinder() *binder {
	return &binder{last: map[string]int64{}, counts: map[countKey]Count{}, shapes: map[string]Seen{}, uses: map[secret]LastUse{}}
}

var errBinder = errors.New("the binder is locked away")

func (s *binder) Keep(_ context.Context, b Batch) error {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return err
		}
	}
	if b.Number > s.last[b.Writer] {
		s.last[b.Writer] = b.Number
		s.keep(b)
	}
	if s.lose != nil {
		return s.lose()
	}
	return nil
}

func (s *binder) keep(b Batch) {
	s.denials = append(s.denials, b.Denials...)
	for _, c := range b.Counts {
		s.counts[countKey{c.About, c.At}] = plus(s.counts[countKey{c.About, c.At}], c)
	}
	for _, seen := range b.Shapes {
		s.shapes[seen.ID] = seenAgain(s.shapes[seen.ID], seen)
	}
	for _, u := range b.Uses {
		if k := (secret{u.KeyID, u.Generation}); !u.At.Before(s.uses[k].At) {
			s.uses[k] = u
		}
	}
}

func plus(a, b Count) Count {
	b.Requests += a.Requests
	b.Items += a.Items
	return b
}

func seenAgain(a, b Seen) Seen {
	if !a.First.IsZero() && a.First.Before(b.First) {
		b.First = a.First
	}
	if a.Last.After(b.Last) {
		b.Last = a.Last
	}
	b.Requests, b.Refused, b.Items = a.Requests+b.Requests, a.Refused+b.Refused, a.Items+b.Items
	return b
}

func (s *binder) Denials(_ context.Context, q DenialQuery) (list []gate.Denial, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.denials {
		matches := d.Project == q.Project && (q.ID == "" || q.ID == d.ID) && (q.KeyID == "" || q.KeyID == d.KeyID) &&
			(q.Reason == "" || q.Reason == d.Reason) && (q.Action == 0 || q.Action == d.Action) && (q.Outcome == 0 || q.Outcome == OutcomeOf(&d)) &&
			!d.At.Before(q.From) && (q.To.IsZero() || d.At.Before(q.To))
		if earlier := q.Before == (Place{}) || cmp.Or(d.At.Compare(q.Before.At), cmp.Compare(d.ID, q.Before.ID)) < 0; matches && earlier {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b gate.Denial) int { return -cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return list[:min(q.Limit, len(list))], nil
}

func (s *binder) Usage(_ context.Context, q CountQuery) (list []Count, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sums := map[countKey]Count{}
	for k, c := range s.counts {
		a := k.about
		if a.Project != q.Project || q.KeyID != "" && q.KeyID != a.KeyID || q.Outcome != 0 && q.Outcome != a.Outcome ||
			q.Reason != "" && q.Reason != a.Reason || q.Action != 0 && q.Action != a.Action || q.Environment != "" && q.Environment != a.Environment ||
			q.Event != "" && q.Event != a.Event || q.Network.IsValid() && q.Network != a.Network || k.at.Before(q.From) || !k.at.Before(q.To) {
			continue
		}
		c.At = c.At.Truncate(q.Grain.Span())
		c.About = a.by(q.By)
		sum := countKey{c.About, c.At}
		sums[sum] = plus(sums[sum], c)
	}
	for _, c := range sums {
		if q.After == nil || PlaceOf(c).compare(*q.After) > 0 {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b Count) int { return PlaceOf(a).compare(PlaceOf(b)) })
	return list[:min(q.Limit, len(list))], nil
}

// by leaves only the members that are told apart.
func (a About) by(b Breakdown) (only About) {
	only.Project = a.Project
	if b&ByKey != 0 {
		only.KeyID = a.KeyID
	}
	if b&ByOutcome != 0 {
		only.Outcome = a.Outcome
	}
	if b&ByReason != 0 {
		only.Reason = a.Reason
	}
	if b&ByAction != 0 {
		only.Action = a.Action
	}
	if b&ByEnvironment != 0 {
		only.Environment = a.Environment
	}
	if b&ByEvent != 0 {
		only.Event = a.Event
	}
	if b&ByNetwork != 0 {
		only.Network = a.Network
	}
	return only
}

func (p CountPlace) compare(o CountPlace) int {
	return cmp.Or(p.At.Compare(o.At), slices.Compare(p.What[:], o.What[:]))
}

func (s *binder) Shapes(_ context.Context, q ShapeQuery) (list []Seen, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sums := map[string]Seen{}
	for id, seen := range s.shapes {
		if seen.Project != q.Project || seen.KeyID != q.KeyID || q.Outcome != 0 && q.Outcome != seen.Outcome ||
			q.Generation != 0 && q.Generation != seen.Generation || seen.Last.Before(q.From) || !seen.First.Before(q.To) {
			continue
		}
		if q.Clients {
			seen.Shape = Shape{About: About{Network: seen.Network}, Generation: seen.Generation, Agent: seen.Agent, SDK: seen.SDK}
			id = order(ClientPlace{seen.Generation, writeNetwork(seen.Network), seen.Agent, seen.SDK})
		}
		seen.ID = id
		sums[id] = seenAgain(sums[id], seen)
	}
	after := q.AfterID
	if q.Clients {
		after = order(q.After)
	}
	for id, seen := range sums {
		if id > after {
			list = append(list, seen)
		}
	}
	slices.SortFunc(list, func(a, b Seen) int { return cmp.Compare(a.ID, b.ID) })
	return list[:min(q.Limit, len(list))], nil
}

func order(p ClientPlace) string {
	return strings.Join([]string{string(rune('A' + p.Generation)), p.Network, p.Agent, p.SDK}, "\x00")
}

func (s *binder) LastUsed(_ context.Context, project string, keyIDs []string) (list []LastUse, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.uses {
		if u.Project == project && slices.Contains(keyIDs, u.KeyID) {
			list = append(list, u)
		}
	}
	return list, nil
}

func (s *binder) Trim(_ context.Context, h Horizon) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.horizons = append(s.horizons, h)
	removed := min(s.surplus, 10)
	s.surplus -= removed
	return removed, nil
}

// sum is what was counted of one outcome.
type sum struct{ requests, items int64 }

// totals adds up what the binder has counted.
func (s *binder) totals() map[Outcome]sum {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[Outcome]sum{}
	for _, c := range s.counts {
		all[c.Outcome] = sum{all[c.Outcome].requests + c.Requests, all[c.Outcome].items + c.Items}
	}
	return all
}

// shapeTotals adds up what the binder has seen.
func (s *binder) shapeTotals() map[Outcome]sum {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[Outcome]sum{}
	for _, c := range s.shapes {
		all[c.Outcome] = sum{all[c.Outcome].requests + c.Requests, all[c.Outcome].items + c.Items}
	}
	return all
}

// pages keeps what is logged.
type pages struct {
	mu    sync.Mutex
	lines []string
}

func (p *pages) Enabled(context.Context, slog.Level) bool { return true }
func (p *pages) WithAttrs([]slog.Attr) slog.Handler       { return p }
func (p *pages) WithGroup(string) slog.Handler            { return p }
func (p *pages) Handle(_ context.Context, r slog.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, r.Message)
	return nil
}

func morning() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

func newLedger(t testing.TB, store Store, now func() time.Time) (*Ledger, *pages) {
	t.Helper()
	log := &pages{}
	l, err := New(store, Config{Now: now, Log: slog.New(log), Writer: "w1"})
	if err != nil {
		t.Fatal(err)
	}
	return l, log
}

func denial(n int) gate.Denial {
	return gate.Denial{
		ID: "d" + strconv.Itoa(n), At: morning().Add(time.Duration(n) * time.Millisecond), Organization: "org_1", Project: "prj_1",
		KeyID: "key_000000000001", Action: access.WriteEvents, Reason: "scope_missing", Rule: "key holds the scope", Count: 1, Sender: sender(),
	}
}

func allowed(key string) gate.Use {
	return gate.Use{At: morning(), Project: "prj_1", KeyID: key, Generation: 1, Action: access.WriteEvents, Environment: "production", Items: 3, Sender: sender()}
}

func sender() gate.Sender {
	return gate.Sender{
		Address: netip.MustParseAddr("192.0.2.7"), Origin: "https://www.example.com", Via: access.InHeader, RequestID: "r1",
		Client: gate.Client{Agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36", SDK: "weir-js/1.2.3"},
	}
}

// permit is for reading the ledger of a project.
func permit(t testing.TB, project string) gate.Permit {
	t.Helper()
	w := gatetest.New(t)
	return w.PermitOf(access.Key{Project: gatetest.NewProject("org_1", project), Scopes: access.AuditRead}, access.Attempt{Action: access.ReadLedger})
}
