package ledger

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// binder is a Store in memory. It can be told to fail.
type binder struct {
	mu       sync.Mutex
	last     map[string]int64
	denials  []gate.Denial
	denied   map[Denied]Denied // by itself without its counts
	used     map[Used]Used
	horizons []Horizon
	surplus  int           // what Trim finds to remove
	fail     func() error  // before Keep does its work
	lose     func() error  // after it
	hold     chan struct{} // if set, Keep waits for it
}

func newBinder() *binder {
	return &binder{last: map[string]int64{}, denied: map[Denied]Denied{}, used: map[Used]Used{}}
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
		s.denials = append(s.denials, b.Denials...)
		for _, d := range b.Denied {
			k := d
			k.Denials, k.Items = 0, 0
			d.Denials += s.denied[k].Denials
			d.Items += s.denied[k].Items
			s.denied[k] = d
		}
		for _, u := range b.Used {
			k := u
			k.Requests, k.Items = 0, 0
			u.Requests += s.used[k].Requests
			u.Items += s.used[k].Items
			s.used[k] = u
		}
	}
	if s.lose != nil {
		return s.lose()
	}
	return nil
}

func (s *binder) Denials(_ context.Context, q DenialQuery) (list []gate.Denial, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.denials {
		matches := d.Project == q.Project && (q.ID == "" || q.ID == d.ID) && (q.KeyID == "" || q.KeyID == d.KeyID) && (q.Reason == "" || q.Reason == d.Reason)
		if earlier := q.Before == (Place{}) || cmp.Or(d.At.Compare(q.Before.At), cmp.Compare(d.ID, q.Before.ID)) < 0; matches && earlier {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b gate.Denial) int { return -cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return list[:min(q.Limit, len(list))], nil
}

func (s *binder) Denied(_ context.Context, q CountQuery) (list []Denied, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.denied {
		if q.in(d.Project, CountPlace{d.Hour, d.KeyID, d.Reason, ""}) {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b Denied) int {
		return CountPlace{a.Hour, a.KeyID, a.Reason, ""}.compare(CountPlace{b.Hour, b.KeyID, b.Reason, ""})
	})
	return list[:min(q.Limit, len(list))], nil
}

func (s *binder) Used(_ context.Context, q CountQuery) (list []Used, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.used {
		if q.in(u.Project, CountPlace{u.Hour, u.KeyID, u.Action.String(), u.Environment}) {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b Used) int {
		return CountPlace{a.Hour, a.KeyID, a.Action.String(), a.Environment}.compare(CountPlace{b.Hour, b.KeyID, b.Action.String(), b.Environment})
	})
	return list[:min(q.Limit, len(list))], nil
}

func (q CountQuery) in(project string, p CountPlace) bool {
	return project == q.Project && !p.Hour.Before(q.From) && p.Hour.Before(q.To) && (q.KeyID == "" || q.KeyID == p.KeyID) && p.compare(q.After) > 0
}

func (p CountPlace) compare(o CountPlace) int {
	return cmp.Or(p.Hour.Compare(o.Hour), cmp.Compare(p.KeyID, o.KeyID), cmp.Compare(p.What, o.What), cmp.Compare(p.Environment, o.Environment))
}

func (s *binder) Trim(_ context.Context, h Horizon) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.horizons = append(s.horizons, h)
	removed := min(s.surplus, 10)
	s.surplus -= removed
	return removed, nil
}

// totals adds up what the binder has counted.
func (s *binder) totals() (denials, refused, requests, items int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.denied {
		denials += d.Denials
		refused += d.Items
	}
	for _, u := range s.used {
		requests += u.Requests
		items += u.Items
	}
	return denials, refused, requests, items
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
		KeyID: "key_000000000001", Action: access.WriteEvents, Reason: "scope_missing", Rule: "key holds the scope", Count: 1,
	}
}

func allowed(key string) gate.Use {
	return gate.Use{At: morning(), Project: "prj_1", KeyID: key, Action: access.WriteEvents, Environment: "production", Items: 3}
}

// ring is one key of each project, under the project's name.
type ring map[string]*access.Key

func (r ring) Lookup(l access.Lookup) (*access.Key, access.Digest, bool) {
	key := r[l.ID()]
	parsed, _ := access.ParseKey(keyText(l))
	return key, parsed.Digest, key != nil
}

func keyText(l access.Lookup) string {
	return access.WriteKey(access.Secret, access.Live, string(l[:]), "000000000000000000000000000")
}

// permit is for reading the ledger of a project.
func permit(t *testing.T, project string) gate.Permit {
	t.Helper()
	lookup := access.Lookup([]byte("000000000001"))
	key := &access.Key{ID: lookup.ID(), Project: &access.Project{ID: project}, Kind: access.Operator, Scopes: access.AllScopes}
	l, _ := newLedger(t, newBinder(), morning)
	g := gate.New(ring{lookup.ID(): key}, l, morning, func() string { return "x" })
	caller, err := g.Identify(t.Context(), gate.Credential{Key: access.SecretText(keyText(lookup)), Via: access.InHeader}, access.ReadLedger)
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Admit(t.Context(), caller, access.Attempt{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
