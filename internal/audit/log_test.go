package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
	"github.com/weir-analytics/weir/internal/problem"
)

// shelf is a Store in memory. It can be told to fail.
type shelf struct {
	entries []Entry
	asked   []Query
	fail    error // of Append
}

func (s *shelf) Append(_ context.Context, e Entry) error {
	if s.fail == nil {
		s.entries = append(s.entries, e)
	}
	return s.fail
}

func (s *shelf) Entries(_ context.Context, q Query) (list []Entry, _ error) {
	s.asked = append(s.asked, q)
	for _, e := range s.entries {
		matches := e.Project == q.Project && (q.Actor == "" || q.Actor == e.Actor) && (q.Subject == "" || q.Subject == e.Subject) &&
			(q.Action == "" || q.Action == e.Action) && !e.At.Before(q.From) && (q.To.IsZero() || e.At.Before(q.To))
		if before := q.Before == (Place{}) || cmp.Or(e.At.Compare(q.Before.At), cmp.Compare(e.ID, q.Before.ID)) < 0; matches && before {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return -cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return list[:min(q.Limit, len(list))], nil
}

func reader(t *testing.T, mode access.Mode) gate.Permit {
	t.Helper()
	w := gatetest.New(t)
	return w.PermitOf(access.Key{Mode: mode, Scopes: access.AuditRead}, access.Attempt{Action: access.ReadAudit})
}

func names() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("read_%03d", n) }
}

func noon() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

// change is an entry about a change.
func change(n int, project string) Entry {
	return Entry{ID: fmt.Sprintf("e%03d", n), At: noon().Add(-time.Duration(n/3) * time.Minute), Project: project, Actor: "operator", Action: "key.update", Subject: fmt.Sprint("key_", n%2)}
}

// Promise: the record of the permit's own project is listed, newest first and each entry once, through any page size and
// filter; and every reading of it is in it afterwards, with what was asked for, and not among what was read.
func TestReadingIsRecorded(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 4, MaxPage} {
		s := &shelf{}
		l := New(s, names())
		for n := range 20 {
			s.entries = append(s.entries, change(n, []string{"prj_1", "prj_2"}[n/10]))
		}
		p := reader(t, access.Live)
		var got []string
		pages := 0
		f := Filter{Subject: "key_1", Action: "key.update", Actor: "operator", From: noon().Add(-time.Hour), To: noon().Add(time.Second), Limit: limit}
		for {
			list, next, err := l.List(t.Context(), p, f)
			if err != nil || len(list) > limit {
				t.Fatal(len(list), err)
			}
			for _, e := range list {
				got = append(got, e.ID)
			}
			pages++
			if f.Before = next; next == "" {
				break
			}
		}
		if want := "e001 e005 e003 e007 e009"; strings.Join(got, " ") != want {
			t.Errorf("by %d: %v, want %s", limit, got, want)
		}
		read := s.entries[20:]
		if len(read) != pages {
			t.Fatalf("%d pages, %d readings recorded", pages, len(read))
		}
		for i, e := range read {
			var v struct {
				Subject string
				Limit   int
				Before  *time.Time
			}
			if err := json.Unmarshal(e.After, &v); err != nil {
				t.Fatal(err)
			}
			if e.Action != Read || e.Subject != "prj_1" || e.Project != "prj_1" || e.Actor != p.Key().ID || e.Address.String() != "192.0.2.1" || e.RequestID != "req_1" ||
				v.Subject != "key_1" || v.Limit != limit || (v.Before != nil) != (i > 0) {
				t.Errorf("recorded %+v, %s", e, e.After)
			}
		}
	}
}

// Promise: who does not see live things asks for what is about test keys only.
func TestTestKeysAskForTestKeys(t *testing.T) {
	t.Parallel()
	for mode, live := range map[access.Mode]bool{access.Live: true, access.Test: false} {
		s := &shelf{}
		if _, _, err := New(s, names()).List(t.Context(), reader(t, mode), Filter{Limit: 1}); err != nil || s.asked[0].Live != live {
			t.Errorf("%s: asked for %+v, %v", mode, s.asked, err)
		}
	}
}

// Promise: what cannot be recorded is not read.
func TestUnrecordedReadingGivesNothing(t *testing.T) {
	t.Parallel()
	s := &shelf{entries: []Entry{change(1, "prj_1")}, fail: errors.New("the pen is empty")}
	if list, next, err := New(s, names()).List(t.Context(), reader(t, access.Live), Filter{Limit: 1}); !errors.Is(err, s.fail) || list != nil || next != "" {
		t.Errorf("read %v, %q, %v", list, next, err)
	}
}

// Promise: a filter that cannot mean anything is refused by name, and nothing is recorded of it; a key that was put in the
// place of an id is not kept.
func TestBadFilters(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	l, p := New(s, names()), reader(t, access.Live)
	for field, f := range map[string]Filter{
		"actor": {Actor: "sombody", Limit: 1}, "subject": {Subject: "a b", Limit: 1}, "action": {Action: "key update", Limit: 1},
		"limit": {Limit: MaxPage + 1}, "cursor": {Before: "####", Limit: 1},
	} {
		_, _, err := l.List(t.Context(), p, f)
		if problem.From(err).Code != problem.InvalidField || problem.From(err).Fields[0].Name != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if len(s.entries) != 0 {
		t.Errorf("recorded %v", s.entries)
	}
	key := access.WriteKey(access.Secret, access.Live, "3fQ9xT0aLmZk", "ThisIsAnExampleNotASecret00")
	if _, _, err := l.List(t.Context(), p, Filter{Subject: key, Limit: 1}); err != nil || strings.Contains(string(s.entries[0].After), "ThisIs") {
		t.Errorf("recorded %s, %v", s.entries[0].After, err)
	}
}

// Promise: an entry says who did it: a key by its id, whoever holds the data folder as such, the program as such.
func TestActors(t *testing.T) {
	t.Parallel()
	w := gatetest.New(t)
	key := w.PermitOf(access.Key{Scopes: access.KeysWrite}, access.Attempt{Action: access.WriteKeys})
	operator := w.PermitOf(access.Key{Kind: access.Operator, Scopes: access.KeysWrite}, access.Attempt{Action: access.WriteKeys})
	for want, e := range map[string]Entry{
		key.Key().ID: Of(key, "id", "key.create", "key_1", nil, map[string]int{"a": 1}), "operator": Of(operator, "id", "key.create", "key_1", nil, nil),
		"system": Own(noon(), "org_1", "prj_1", "id", "key.exposed", "key_1", nil, nil),
	} {
		if e.Actor != want || e.Project != "prj_1" || e.Organization != "org_1" || e.ID != "id" || e.Subject != "key_1" || e.At.IsZero() || e.Before != nil {
			t.Errorf("%s: %+v", want, e)
		}
	}
}

// Promise: a cursor that we wrote is read as it was, and no other text makes trouble.
func FuzzCursor(f *testing.F) {
	f.Add("", int64(0), "e001")
	f.Add(writeCursor(Place{noon(), "aud_1"}), int64(-1), "")
	f.Fuzz(func(t *testing.T, text string, micros int64, id string) {
		if p, ok := readCursor(text); ok && (p.ID == "" || len(p.ID) > 100 || len(text) > maxCursor) {
			t.Fatalf("read %+v", p)
		}
		want := Place{time.UnixMicro(micros).UTC(), id}
		if got, ok := readCursor(writeCursor(want)); ok && got != want {
			t.Fatalf("%+v became %+v", want, got)
		}
	})
}
