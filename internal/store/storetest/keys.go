package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
)

// Promise: a key comes back as it was stored, every field of it, by each of the ways to read it.
func keysAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	full := keyring.Record{
		ID: numbered(1), Project: "prj_1", Kind: access.Public, Mode: access.Test, Label: "label", Steward: "steward",
		Scopes: access.AllScopes, Environments: []string{"staging", "production"}, Hint: "pk_test_abcd…wxyz", Public: "pk_test_whole",
		Digest: access.Digest{0, 1, 2, 30: 254, 31: 255}, CreatedAt: start(), UpdatedAt: start().Add(time.Microsecond),
		ExpiresAt: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), RevokedAt: start().Add(time.Hour), CreatedBy: "key_maker",
	}
	bare := key("prj_1", numbered(2))
	ancient := key("prj_1", numbered(3)) // a moment that is zero in many a clock is still a moment
	ancient.CreatedAt, ancient.UpdatedAt = time.Unix(-1, 0).UTC(), time.Unix(0, 0).UTC()
	ancient.ExpiresAt, ancient.RevokedAt = time.Unix(0, 0).UTC(), time.Unix(0, 0).UTC()
	want := []keyring.Record{full, bare, ancient}
	for i, text := range hostile() {
		k := key("prj_1", numbered(10+i))
		k.Label, k.Steward, k.CreatedBy, k.Environments = text, text, text, []string{text, "x" + text}
		want = append(want, k)
	}
	byID := map[string]keyring.Record{}
	for _, k := range want {
		insert(t, s, k)
		byID[k.ID] = k
	}
	compare := func(way string, got keyring.Record) {
		if !reflect.DeepEqual(got, byID[got.ID]) {
			t.Errorf("%s gives %.300v, want %.300v", way, got, byID[got.ID])
		}
	}
	for _, k := range want {
		got, err := s.Keys.Key(t.Context(), "prj_1", k.ID)
		if err != nil {
			t.Fatal(err)
		}
		compare("Key", got)
		got, err = s.Keys.ChangeKey(t.Context(), "prj_1", k.ID, func(r *keyring.Record) error { compare("ChangeKey's change", *r); return nil })
		if err != nil {
			t.Fatal(err)
		}
		compare("ChangeKey", got)
	}
	list, err := s.Keys.Keys(t.Context(), "prj_1", true, keyring.Place{}, 1000)
	if err != nil || len(list) != len(want) {
		t.Fatalf("listed %d of %d, %v", len(list), len(want), err)
	}
	seen := 0
	if err := s.Keys.EachKey(t.Context(), func(k keyring.Record) error { seen++; compare("EachKey", k); return nil }); err != nil || seen != len(want) {
		t.Fatalf("visited %d of %d, %v", seen, len(want), err)
	}
	for _, k := range list {
		compare("Keys", k)
	}
}

// Promise: no two names are one: each project sees its own key and no other, each id finds its own key and no other,
// whatever the names look like.
func namesAreToldApart(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	names := hostile()
	for i, name := range names {
		addProject(t, s, "prj_"+name)
		canary := key("prj_"+name, "key_"+name)
		canary.Label = fmt.Sprint("canary ", i)
		insert(t, s, canary)
		if err := s.Keys.InsertKey(t.Context(), key("prj_1", canary.ID)); !errors.Is(err, keyring.ErrTaken) {
			t.Errorf("an id that is taken: %v", err)
		}
	}
	for i, name := range names {
		want := fmt.Sprint("canary ", i)
		list, err := s.Keys.Keys(t.Context(), "prj_"+name, true, keyring.Place{}, 10)
		if err != nil || len(list) != 1 || list[0].Label != want {
			t.Errorf("project %.40q lists %.200v, %v", name, list, err)
		}
		if got, err := s.Keys.Key(t.Context(), "prj_"+name, "key_"+name); err != nil || got.Label != want {
			t.Errorf("project %.40q has %.200v, %v", name, got, err)
		}
	}
	for i, name := range names {
		other := names[(i+1)%len(names)]
		if _, err := s.Keys.Key(t.Context(), "prj_"+other, "key_"+name); !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("project %.40q has the key %.40q: %v", other, name, err)
		}
		_, err := s.Keys.ChangeKey(t.Context(), "prj_"+other, "key_"+name, func(*keyring.Record) error {
			t.Errorf("project %.40q changes the key %.40q", other, name)
			return nil
		})
		if !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("project %.40q changes the key %.40q: %v", other, name, err)
		}
	}
}

// Promise: a name with a NUL is refused, or is another name than the same without it or cut at it.
func zeroByte(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	insert(t, s, key("prj_1", "key_a"))
	for _, id := range []string{"key_a\x00", "key_a\x00b", "\x00key_a"} {
		if k, err := s.Keys.Key(t.Context(), "prj_1", id); err == nil {
			t.Errorf("%q is %q", id, k.ID)
		}
		if err := s.Keys.InsertKey(t.Context(), key("prj_1", id)); err != nil {
			continue
		}
		if k, err := s.Keys.Key(t.Context(), "prj_1", id); err != nil || k.ID != id {
			t.Errorf("%q came back as %q, %v", id, k.ID, err)
		}
	}
	if k, err := s.Keys.Key(t.Context(), "prj_1", "key_a"); err != nil || k.ID != "key_a" {
		t.Errorf("found %q, %v", k.ID, err)
	}
}

// Promise: a list is in the order of creation, and of ids byte by byte within a microsecond, and goes on after any place.
func keysAreListedInOrder(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	addProject(t, s, "prj_2")
	ids := []string{"key_b", "key_B", "key_a", "key_é", "key_Z", "key_1", "key_e\u0301", "key_"}
	var want []keyring.Place
	for i, id := range ids {
		k := key("prj_1", id)
		k.CreatedAt = start().Add(time.Duration(i/3-1) * time.Hour * 24 * 365 * 60) // some of them before 1970
		insert(t, s, k)
		insert(t, s, key("prj_2", "other"+id))
		want = append(want, keyring.Place{CreatedAt: k.CreatedAt, ID: id})
	}
	slices.SortFunc(want, func(a, b keyring.Place) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	for from := range want {
		for _, limit := range []int{1, 3, 100} {
			list, err := s.Keys.Keys(t.Context(), "prj_1", true, want[from], limit)
			if err != nil {
				t.Fatal(err)
			}
			rest := want[from+1:]
			rest = rest[:min(limit, len(rest))]
			if len(list) != len(rest) {
				t.Fatalf("after %v: %d, want %d", want[from], len(list), len(rest))
			}
			for i, k := range list {
				if k.ID != rest[i].ID || !k.CreatedAt.Equal(rest[i].CreatedAt) {
					t.Errorf("after %v: %d is %q, want %q", want[from], i, k.ID, rest[i].ID)
				}
			}
		}
	}
}

// Promise: who may not know of live keys is not told of them, and pages are as full as the rest allows.
func liveKeysCanBeLeftOut(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	for i, mode := range []access.Mode{access.Live, access.Test, access.Live, access.Live, access.Test} {
		k := key("prj_1", fmt.Sprint("mode", i))
		k.Mode, k.CreatedAt = mode, start().Add(time.Duration(i)*time.Second)
		insert(t, s, k)
	}
	all, err := s.Keys.Keys(t.Context(), "prj_1", true, keyring.Place{}, 10)
	if err != nil || len(all) != 5 {
		t.Fatalf("%d keys, %v; want 5", len(all), err)
	}
	list, err := s.Keys.Keys(t.Context(), "prj_1", false, keyring.Place{}, 2)
	if err != nil || len(list) != 2 || list[0].Mode != access.Test || list[1].Mode != access.Test {
		t.Fatalf("%d keys of test mode, %v; want 2", len(list), err)
	}
}

// Promise: changes of one key at the same time are made one after the other, and none is lost.
func changesAreNotLost(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	k := key("prj_1", numbered(1))
	k.Label = ""
	insert(t, s, k)
	const writers, times = 4, 10
	each(writers, func(int) {
		for range times {
			_, err := s.Keys.ChangeKey(t.Context(), "prj_1", k.ID, func(r *keyring.Record) error {
				r.Label += "x"
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	if got, err := s.Keys.Key(t.Context(), "prj_1", k.ID); err != nil || len(got.Label) != writers*times {
		t.Errorf("%d changes are there, %v", len(got.Label), err)
	}
}

// Promise: a change that is refused changes nothing, and its error comes back as it was.
func refusedChange(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	k := key("prj_1", numbered(1))
	insert(t, s, k)
	_, err := s.Keys.ChangeKey(t.Context(), "prj_1", k.ID, func(r *keyring.Record) error {
		r.Label, r.RevokedAt = "changed", start()
		return ErrFault
	})
	if !errors.Is(err, ErrFault) {
		t.Errorf("got %v", err)
	}
	if got, err := s.Keys.Key(t.Context(), "prj_1", k.ID); err != nil || !reflect.DeepEqual(got, k) {
		t.Errorf("it is %+v, %v", got, err)
	}
}

// Promise: reading every key stops at the visitor's first error, which comes back as it was, and leaves the store free.
func readingStops(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	for n := range 20 {
		insert(t, s, key("prj_1", numbered(n)))
	}
	for range 20 {
		visits := 0
		err := s.Keys.EachKey(t.Context(), func(keyring.Record) error {
			if visits++; visits == 3 {
				return ErrFault
			}
			return nil
		})
		if !errors.Is(err, ErrFault) || visits != 3 {
			t.Fatalf("%d visits, %v", visits, err)
		}
	}
	insert(t, s, key("prj_1", numbered(20)))
}

// Promise: a call whose caller has gone fails, says so, and has done nothing; the store goes on for others.
func cancelledCalls(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	k := key("prj_1", numbered(1))
	insert(t, s, k)
	gone := cancelled(t)
	for name, call := range map[string]func() error{
		"InsertKey":     func() error { return s.Keys.InsertKey(gone, key("prj_1", numbered(2))) },
		"InsertProject": func() error { return s.Orgs.InsertProject(gone, project("prj_2", start())) },
		"Keep":          func() error { return s.Ledger.Keep(gone, batch("w", 1, denial(1))) },
		"Key":           func() error { _, err := s.Keys.Key(gone, "prj_1", k.ID); return err },
		"ChangeKey":     func() error { return revoke(gone, s, k.ID) },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Half-way: after the key was read, before it is stored.
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Keys.ChangeKey(ctx, "prj_1", k.ID, func(r *keyring.Record) error {
		r.RevokedAt = start()
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("half-way: %v", err)
	}
	if list, err := s.Keys.Keys(t.Context(), "prj_1", true, keyring.Place{}, 10); err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], k) {
		t.Errorf("keys are %+v, %v", list, err)
	}
	if list, err := s.Keys.Projects(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("projects are %+v, %v", list, err)
	}
	if err := revoke(t.Context(), s, k.ID); err != nil {
		t.Error(err)
	}
}

func revoke(ctx context.Context, s Stores, id string) error {
	_, err := s.Keys.ChangeKey(ctx, "prj_1", id, func(r *keyring.Record) error {
		r.RevokedAt = start()
		return nil
	})
	return err
}
