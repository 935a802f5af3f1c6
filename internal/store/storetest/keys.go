package storetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
)

// fullKey is a key that has everything a key can have.
func fullKey(id string) keyring.Record {
	domain, err := access.ParseDomain("https://*.xn--bcher-kva.example:8443/shop")
	if err != nil {
		panic(err)
	}
	k := keyring.Record{
		ID: id, Project: "prj_1", Kind: access.Public, Mode: access.Test, Label: "label", Steward: "steward",
		Scopes: access.AllScopes, State: access.Quarantined, Hint: "pk_test_abcd…wxyz", Public: "pk_test_whole",
		Digest: access.Digest{0, 1, 2, 30: 254, 31: 255}, Generation: 3, MintedAt: start().Add(time.Minute),
		Former: []keyring.Former{
			{Hint: "pk_test_abcd…1111", Digest: access.Digest{31: 1}, Generation: 1, MintedAt: start().Add(-time.Hour), Until: start().Add(time.Hour)},
			{Hint: "pk_test_abcd…2222", Digest: access.Digest{0: 255}, Generation: 2, Until: start().Add(2 * time.Hour)},
		},
		Signing:   keyring.Signing{Sealed: "v1.sealed", Hint: "abcd", PublicKeys: []ed25519.PublicKey{bytes.Repeat([]byte{7}, ed25519.PublicKeySize)}},
		CreatedAt: start(), UpdatedAt: start().Add(time.Microsecond), RevokedAt: start().Add(time.Hour), CreatedBy: "key_maker",
		Exposed: gate.ExposedInURL, ExposedAt: start().Add(time.Second), Revision: 1,
	}
	k.Bounds = access.Bounds{
		Environments: []string{"staging", "production"},
		Networks: []access.Network{
			{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Description: `office "<é`}, {Prefix: netip.MustParsePrefix("2001:db8::1/128")},
		},
		Domains: []access.Domain{domain}, Events: []string{"check*", "*", "a b"},
		Datasets:  &access.Datasets{Core: true, Named: []access.NamedDataset{{Name: "orders", Rights: access.ReadRecords | access.DeleteRecords}}},
		Signature: true, NotBefore: start().Add(-time.Hour), ExpiresAt: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
		Observe: access.ByNetwork | access.ByTime, Limits: access.DefaultLimits(access.Public), CacheMinutes: 60,
	}
	return k
}

// find reads one key of a project.
func find(ctx context.Context, s Stores, project, id string) (keyring.Record, error) {
	list, err := s.Keys.Keys(ctx, keyring.Query{Project: project, ID: id, Live: true, Limit: 2})
	switch {
	case err != nil:
		return keyring.Record{}, err
	case len(list) > 1:
		return keyring.Record{}, fmt.Errorf("%d keys have the id %q", len(list), id)
	case len(list) == 0:
		return keyring.Record{}, keyring.ErrNoKey
	}
	return list[0], nil
}

// all lists the first keys of a project.
func all(t *testing.T, s Stores, project string, limit int) []keyring.Record {
	t.Helper()
	list, err := s.Keys.Keys(t.Context(), keyring.Query{Project: project, Live: true, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// changing is a change that is audited.
func changing(change func(*keyring.Record)) func(*keyring.Record) (*audit.Entry, error) {
	return func(r *keyring.Record) (*audit.Entry, error) {
		change(r)
		return &audit.Entry{ID: rand.Text(), At: start(), Project: r.Project, Subject: r.ID}, nil
	}
}

// Promise: a key comes back as it was stored, every field of it, by each of the ways to read it.
func keysAreKeptWhole(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	full := fullKey(numbered(1))
	bare := key("prj_1", numbered(2))
	ancient := key("prj_1", numbered(3)) // a moment that is zero in many a clock is still a moment
	ancient.CreatedAt, ancient.UpdatedAt = time.Unix(-1, 0).UTC(), time.Unix(0, 0).UTC()
	ancient.ExpiresAt, ancient.RevokedAt = time.Unix(0, 0).UTC(), time.Unix(0, 0).UTC()
	client := key("prj_1", numbered(4))
	client.Kind, client.Parent, client.Epoch = access.Client, bare.ID, 1<<40
	want := []keyring.Record{full, bare, ancient, client}
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
		got, err := find(t.Context(), s, "prj_1", k.ID)
		if err != nil {
			t.Fatal(err)
		}
		compare("Keys by id", got)
		got, err = s.Keys.ChangeKey(t.Context(), "prj_1", k.ID, func(r *keyring.Record) (*audit.Entry, error) {
			compare("ChangeKey's change", *r)
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		compare("ChangeKey", got)
	}
	list := all(t, s, "prj_1", 1000)
	if len(list) != len(want) {
		t.Fatalf("listed %d of %d", len(list), len(want))
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
		if err := s.Keys.InsertKey(t.Context(), key("prj_1", canary.ID), audit.Entry{ID: "taken " + canary.ID}); !errors.Is(err, keyring.ErrTaken) {
			t.Errorf("an id that is taken: %v", err)
		}
	}
	for i, name := range names {
		want := fmt.Sprint("canary ", i)
		if list := all(t, s, "prj_"+name, 10); len(list) != 1 || list[0].Label != want {
			t.Errorf("project %.40q lists %.200v", name, list)
		}
		if got, err := find(t.Context(), s, "prj_"+name, "key_"+name); err != nil || got.Label != want {
			t.Errorf("project %.40q has %.200v, %v", name, got, err)
		}
	}
	for i, name := range names {
		other := names[(i+1)%len(names)]
		if _, err := find(t.Context(), s, "prj_"+other, "key_"+name); !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("project %.40q has the key %.40q: %v", other, name, err)
		}
		_, err := s.Keys.ChangeKey(t.Context(), "prj_"+other, "key_"+name, func(*keyring.Record) (*audit.Entry, error) {
			t.Errorf("project %.40q changes the key %.40q", other, name)
			return nil, nil
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
		if k, err := find(t.Context(), s, "prj_1", id); err == nil {
			t.Errorf("%q is %q", id, k.ID)
		}
		if err := s.Keys.InsertKey(t.Context(), key("prj_1", id), audit.Entry{ID: "made " + id}); err != nil {
			continue
		}
		if k, err := find(t.Context(), s, "prj_1", id); err != nil || k.ID != id {
			t.Errorf("%q came back as %q, %v", id, k.ID, err)
		}
	}
	if k, err := find(t.Context(), s, "prj_1", "key_a"); err != nil || k.ID != "key_a" {
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
			list, err := s.Keys.Keys(t.Context(), keyring.Query{Project: "prj_1", Live: true, After: want[from], Limit: limit})
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
	if n := len(all(t, s, "prj_1", 10)); n != 5 {
		t.Fatalf("%d keys; want 5", n)
	}
	list, err := s.Keys.Keys(t.Context(), keyring.Query{Project: "prj_1", Limit: 2})
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
			_, err := s.Keys.ChangeKey(t.Context(), "prj_1", k.ID, changing(func(r *keyring.Record) { r.Label, r.Epoch = r.Label+"x", r.Epoch+1 }))
			if err != nil {
				t.Error(err)
			}
		}
	})
	if got, err := find(t.Context(), s, "prj_1", k.ID); err != nil || len(got.Label) != writers*times || got.Epoch != writers*times || got.Revision != 1+writers*times {
		t.Errorf("%d changes are there, and it is of revision %d, %v", len(got.Label), got.Revision, err)
	}
}

// Promise: a change that is refused changes nothing, and its error comes back as it was.
func refusedChange(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	k := key("prj_1", numbered(1))
	insert(t, s, k)
	_, err := s.Keys.ChangeKey(t.Context(), "prj_1", k.ID, func(r *keyring.Record) (*audit.Entry, error) {
		r.Label, r.RevokedAt = "changed", start()
		return &audit.Entry{ID: "refused"}, ErrFault
	})
	if !errors.Is(err, ErrFault) {
		t.Errorf("got %v", err)
	}
	unchanged := func() {
		t.Helper()
		if got, err := find(t.Context(), s, "prj_1", k.ID); err != nil || !reflect.DeepEqual(got, k) {
			t.Errorf("it is %+v, %v", got, err)
		}
	}
	unchanged()
	if _, err = s.Keys.ChangeKey(t.Context(), "prj_1", k.ID, func(r *keyring.Record) (*audit.Entry, error) { r.Label = "changed"; return nil, nil }); err != nil {
		t.Errorf("a change that is not audited: %v", err)
	}
	unchanged()
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
		"InsertKey":     func() error { return s.Keys.InsertKey(gone, key("prj_1", numbered(2)), audit.Entry{ID: "gone"}) },
		"InsertProject": func() error { return s.Orgs.InsertProject(gone, project("prj_2", start())) },
		"Keep":          func() error { return s.Ledger.Keep(gone, batch("w", 1, denial(1))) },
		"Keys":          func() error { _, err := find(gone, s, "prj_1", k.ID); return err },
		"ChangeKey":     func() error { return revoke(gone, s, k.ID) },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Half-way: after the key was read, before it is stored.
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Keys.ChangeKey(ctx, "prj_1", k.ID, changing(func(r *keyring.Record) {
		r.RevokedAt = start()
		cancel()
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("half-way: %v", err)
	}
	if list := all(t, s, "prj_1", 10); len(list) != 1 || !reflect.DeepEqual(list[0], k) {
		t.Errorf("keys are %+v", list)
	}
	if list, err := s.Keys.Projects(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("projects are %+v, %v", list, err)
	}
	if err := revoke(t.Context(), s, k.ID); err != nil {
		t.Error(err)
	}
}

func revoke(ctx context.Context, s Stores, id string) error {
	_, err := s.Keys.ChangeKey(ctx, "prj_1", id, changing(func(r *keyring.Record) { r.RevokedAt = start() }))
	return err
}
