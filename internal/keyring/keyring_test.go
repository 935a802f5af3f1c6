package keyring_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

func code(t *testing.T, err error, want problem.Code) *problem.Error {
	t.Helper()
	if got := problem.Of(err); got != want {
		t.Fatalf("got %q (%v), want %q", got, err, want)
	}
	if err == nil {
		return nil
	}
	return problem.From(err)
}

//go:fix inline
func ptr[T any](v T) *T { return new(v) }

// Promise: a new key is accepted at once, with what it was given, and of a secret key the digest alone is kept.
func TestANewKeyIsAccepted(t *testing.T) {
	t.Parallel()
	for _, kind := range []access.Kind{access.Public, access.Secret} {
		h := build(t, nil)
		n := secretKey()
		n.Kind, n.Scopes, n.Environments, n.ExpiresAt = kind, access.EventsWrite, []string{"staging"}, h.clock.now().Add(time.Hour)
		rec, text := h.create(h.one, n)
		parsed, err := access.ParseKey(text.Reveal())
		if err != nil || parsed.Kind != kind || parsed.Mode != access.Live || parsed.Lookup.ID() != rec.ID {
			t.Fatalf("%s: minted something else: %+v, %v", kind, parsed, err)
		}
		permit, err := h.ask(text, access.WriteEvents, access.Attempt{Targets: []access.Target{{Environment: "staging"}}})
		if err != nil || permit.Project() != "prj_1" || permit.Key().ID != rec.ID {
			t.Fatalf("%s: not accepted: %v", kind, err)
		}
		stored := h.shelf.keys[rec.ID]
		if stored.Digest != access.Digest(sha256.Sum256([]byte(text.Reveal()))) {
			t.Errorf("%s: the digest is not the key's", kind)
		}
		if whole := stored.Public == text.Reveal(); whole != (kind == access.Public) {
			t.Errorf("%s: kept whole: %v", kind, whole)
		}
		secret := text.Reveal()[len("sk_live_")+access.LookupLength:][:access.SecretLength]
		if kind == access.Secret && strings.Contains(fmt.Sprintf("%+v %#v", stored, stored), secret) {
			t.Error("the record holds the secret")
		}
		if stored.Label != "server" || stored.Steward != "ada@example.com" || stored.CreatedBy != "operator" || !stored.ExpiresAt.Equal(n.ExpiresAt) {
			t.Errorf("%s: stored %+v", kind, stored)
		}
	}
}

// Promise: a public key that is given no scopes gets the client-side set without what is for keys that are told to, in the grant that is decided on too.
func TestAPublicKeyDefaultsToClientScopes(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	n := keyring.New{Kind: access.Public, Mode: access.Live}
	rec, _ := h.create(h.one, n)
	if rec.Scopes != access.UsualClientScopes || n.Grant().Scopes != access.UsualClientScopes {
		t.Fatalf("scopes %v, granted %v", rec.Scopes, n.Grant().Scopes)
	}
}

// Promise: what cannot be a key is refused with every field at fault named, and nothing is stored.
func TestEveryFieldAtFaultIsNamed(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	past := h.clock.now().Add(-time.Second)
	for name, c := range map[string]struct {
		edit func(*keyring.New)
		want []string
	}{
		"nothing wrong": {func(*keyring.New) {}, nil},
		"longest texts": {func(n *keyring.New) { n.Label, n.Steward = strings.Repeat("é", 100), strings.Repeat("é", 200) }, nil},
		"everything": {func(n *keyring.New) {
			*n = keyring.New{Label: "a\x00", Steward: "\xff", Bounds: access.Bounds{ExpiresAt: past}}
		}, []string{"kind", "mode", "label", "steward", "scopes", "expires_at"}},
		"operator":       {func(n *keyring.New) { n.Kind = access.Operator }, []string{"kind"}},
		"long texts":     {func(n *keyring.New) { n.Label, n.Steward = strings.Repeat("é", 101), strings.Repeat("é", 201) }, []string{"label", "steward"}},
		"line separator": {func(n *keyring.New) { n.Label = "a\u2028b" }, []string{"label"}},
		"right to left":  {func(n *keyring.New) { n.Steward = "a\u202Eb" }, []string{"steward"}},
		"unknown scope":  {func(n *keyring.New) { n.Scopes = access.AllScopes + 1 }, []string{"scopes"}},
		"environments":   {func(n *keyring.New) { n.Environments = []string{"staging", "development", "nowhere", "staging"} }, []string{"environments[1]", "environments[2]", "environments[3]"}},
		"too many":       {func(n *keyring.New) { n.Environments = slices.Repeat([]string{"staging"}, 33) }, []string{"environments"}},
		"expires now":    {func(n *keyring.New) { n.ExpiresAt = h.clock.now().Add(999 * time.Nanosecond) }, []string{"expires_at"}},
		"expires late":   {func(n *keyring.New) { n.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, []string{"expires_at"}},
	} {
		n := secretKey()
		c.edit(&n)
		stored := len(h.shelf.keys)
		_, _, err := h.ring.Create(t.Context(), h.one, n)
		if c.want == nil {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var got []string
		for _, f := range code(t, err, problem.InvalidField).Fields {
			got = append(got, f.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: named %v, want %v", name, got, c.want)
		}
		if len(h.shelf.keys) != stored {
			t.Errorf("%s: something was stored", name)
		}
	}
}

// Promise: a change is held to the same limits, against the key's own mode.
func TestAChangeIsChecked(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, _ := h.create(h.one, secretKey())
	_, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{
		Label: new("\x01"), Steward: new(strings.Repeat("x", 201)), Scopes: ptr(access.Scopes(0)),
		Environments: new([]string{"development"}), ExpiresAt: new(h.clock.now()),
	})
	if got := len(code(t, err, problem.InvalidField).Fields); got != 5 {
		t.Fatalf("%d fields named: %v", got, err)
	}
	if got, _ := h.ring.Get(t.Context(), h.one, rec.ID); got.Label != rec.Label || got.UpdatedAt != rec.UpdatedAt {
		t.Fatal("a refused change was stored")
	}
}

// Promise: a key of another project is not there, under no method and no spelling.
func TestOtherProjectsKeysAreNotThere(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, text := h.create(h.one, secretKey())
	ids := []string{rec.ID, "", "key_", strings.ToUpper(rec.ID), rec.ID + " ", rec.ID + "\x00", "key_" + strings.Repeat("é", 6), strings.Repeat("k", 1<<20)}
	for _, id := range ids {
		_, err := h.ring.Get(t.Context(), h.two, id)
		code(t, err, problem.NotFound)
		_, err = h.ring.Update(t.Context(), h.two, id, keyring.Change{Label: new("mine")})
		code(t, err, problem.NotFound)
		_, err = h.ring.Revoke(t.Context(), h.two, id, 0)
		code(t, err, problem.NotFound)
		if _, ok := h.ring.Peek("prj_2", id); ok {
			t.Errorf("Peek shows %q", id)
		}
	}
	if list, _, err := h.ring.List(t.Context(), h.two, "", "", 10); err != nil || len(list) != 0 {
		t.Fatalf("listed %v, %v", list, err)
	}
	if _, err := h.ask(text, access.WriteEvents, access.Attempt{}); err != nil {
		t.Fatalf("the key suffered: %v", err)
	}
	if got, err := h.ring.Get(t.Context(), h.one, rec.ID); err != nil || got.Label != "server" {
		t.Fatalf("its own project does not find it: %+v, %v", got, err)
	}
}

// Promise: when Revoke returns the key is refused, at once and after a restart; revoking again changes nothing, and
// nothing brings it back.
func TestARevokedKeyStaysRevoked(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, text := h.create(h.one, secretKey())
	revoked, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.ask(text, access.WriteEvents, access.Attempt{})
	code(t, err, problem.KeyNotAccepted)
	h.clock.advance(time.Hour)
	again, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0)
	if err != nil || !again.RevokedAt.Equal(revoked.RevokedAt) {
		t.Fatalf("revoked again: %v, %v", again.RevokedAt, err)
	}
	_, err = h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Label: new("back")})
	code(t, err, problem.Conflict)
	h.ring.SetProject(project("prj_1"))
	h.open()
	_, err = h.ask(text, access.WriteEvents, access.Attempt{})
	code(t, err, problem.KeyNotAccepted)
}

// Promise: a key can be revoked whatever the clock says, even the very start of 1970 or a time before the key was made.
func TestRevocationOutlivesClockSteps(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(-1, 0), newClock().now().Add(-time.Hour), newClock().now().Add(time.Hour)} {
		h := build(t, nil)
		rec, text := h.create(h.one, secretKey())
		h.clock.set(at)
		if _, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0); err != nil {
			t.Fatal(err)
		}
		h.clock.set(newClock().now())
		h.open()
		_, err := h.ask(text, access.WriteEvents, access.Attempt{})
		code(t, err, problem.KeyNotAccepted)
	}
}

// Promise: when Update returns, the key has what the change gave it and not what it took away.
func TestAChangeHoldsAtOnce(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, text := h.create(h.one, secretKey())
	h.clock.advance(time.Second)
	changed, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{
		Label: new("new"), Steward: new(""), Scopes: ptr(access.EventsRead), Environments: new([]string{"staging"}),
		ExpiresAt: new(h.clock.now().Add(time.Minute)),
	})
	if err != nil || changed.Label != "new" || changed.Steward != "" || !changed.UpdatedAt.After(changed.CreatedAt) {
		t.Fatalf("changed to %+v, %v", changed, err)
	}
	_, err = h.ask(text, access.WriteEvents, access.Attempt{})
	code(t, err, problem.MissingScope)
	_, err = h.ask(text, access.ReadEvents, access.Attempt{Targets: []access.Target{{Environment: "production"}}})
	code(t, err, problem.EnvironmentNotAllowed)
	if _, err = h.ask(text, access.ReadEvents, access.Attempt{}); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(time.Minute)
	_, err = h.ask(text, access.ReadEvents, access.Attempt{})
	code(t, err, problem.KeyNotAccepted)

	basis, _ := h.ring.Peek("prj_1", rec.ID)
	_, err = h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Basis: basis, Environments: new([]string{}), ExpiresAt: new(time.Time{})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = h.ask(text, access.ReadEvents, access.Attempt{Targets: []access.Target{{Environment: "production"}}}); err != nil {
		t.Fatalf("clearing did not widen: %v", err)
	}
}

// Promise: a change that grants something holds only for the key it was decided on.
func TestAGrantIsForTheKeyThatWasSeen(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	n := secretKey()
	n.Environments = []string{"staging"}
	rec, _ := h.create(h.one, n)
	basis, _ := h.ring.Peek("prj_1", rec.ID)
	widen := keyring.Change{Basis: basis, Environments: new([]string{})}
	if g := widen.Grant(); g == nil || g.Scopes != n.Scopes {
		t.Fatalf("granted %+v", g)
	}
	other := keyring.Change{Basis: basis, Scopes: new(n.Scopes | access.UsersRead)}
	if _, err := h.ring.Update(t.Context(), h.one, rec.ID, other); err != nil {
		t.Fatal(err)
	}
	_, err := h.ring.Update(t.Context(), h.one, rec.ID, widen)
	code(t, err, problem.Conflict)
	_, err = h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Environments: new([]string{})})
	code(t, err, problem.Conflict)
	if _, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Label: new("same rights")}); err != nil {
		t.Fatalf("a change that grants nothing needs no basis: %v", err)
	}
}

// Promise: a change for which Grant asks nothing gives the key nothing: whatever it may do after, it might do before.
// And what a change adds is in what Grant asks.
func TestNoGrantMeansNoMore(t *testing.T) {
	t.Parallel()
	prj := project("prj_1")
	start := newClock().now()
	names := [][]string{nil, {"production"}, {"staging"}, {"production", "staging"}, {"staging", "production"}}
	scopes := []access.Scopes{access.EventsRead, access.EventsWrite, access.EventsRead | access.SQLRun, access.AllScopes}
	times := []time.Time{{}, start.Add(time.Hour), start.Add(2 * time.Hour), start.Add(-time.Hour)}
	rapid.Check(t, func(t *rapid.T) {
		before := &access.Key{
			ID: "key_000000000000", Project: &prj, Kind: access.Secret, Mode: access.Live,
			Scopes: rapid.SampledFrom(scopes).Draw(t, "scopes"),
			Bounds: access.Bounds{
				Environments: rapid.SampledFrom(names).Draw(t, "environments"),
				ExpiresAt:    rapid.SampledFrom(times).Draw(t, "expires"),
			},
		}
		after, c := *before, keyring.Change{Basis: before}
		if rapid.Bool().Draw(t, "change scopes") {
			after.Scopes = rapid.SampledFrom(scopes).Draw(t, "new scopes")
			c.Scopes = &after.Scopes
		}
		if rapid.Bool().Draw(t, "change environments") {
			after.Environments = rapid.SampledFrom(names).Draw(t, "new environments")
			c.Environments = &after.Environments
		}
		if rapid.Bool().Draw(t, "change expiry") {
			after.ExpiresAt = rapid.SampledFrom(times).Draw(t, "new expiry")
			c.ExpiresAt = &after.ExpiresAt
		}
		grant := c.Grant()
		for _, action := range []access.Action{access.ReadEvents, access.WriteEvents, access.RunSQL} {
			for _, env := range prj.Environments {
				for _, at := range []time.Time{start, start.Add(90 * time.Minute), start.Add(24 * time.Hour)} {
					a := &access.Attempt{Action: action, At: at, Circumstances: from(), Targets: []access.Target{{Environment: env.Name}}}
					if !access.Decide(&after, a).Allowed() || access.Decide(before, a).Allowed() {
						continue
					}
					if grant == nil || !grant.Scopes.Has(action.Scope()) ||
						len(grant.Environments) > 0 && !slices.Contains(grant.Environments, env.Name) {
						t.Fatalf("%s in %s is new and not asked for: %+v", action, env.Name, grant)
					}
				}
			}
		}
	})
}

// Promise: a change that takes away asks for no grant, so that whoever may change keys may always narrow them.
func TestNarrowingNeedsNoGrant(t *testing.T) {
	t.Parallel()
	prj := project("prj_1")
	end := newClock().now()
	key := &access.Key{Project: &prj, Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes, Bounds: access.Bounds{Environments: []string{"staging", "production"}, ExpiresAt: end}}
	for name, c := range map[string]keyring.Change{
		"label":               {Label: new("x"), Steward: new("y")},
		"fewer scopes":        {Scopes: ptr(access.EventsRead)},
		"fewer environments":  {Environments: new([]string{"staging"})},
		"the same":            {Environments: new([]string{"production", "staging"}), Scopes: ptr(access.AllScopes), ExpiresAt: new(end)},
		"an earlier end":      {ExpiresAt: new(end.Add(-time.Hour))},
		"without a known key": {Scopes: ptr(access.AllScopes)},
	} {
		if c.Basis = key; name == "without a known key" {
			c.Basis = nil
		}
		if g := c.Grant(); g != nil {
			t.Errorf("%s: asks for %+v", name, g)
		}
	}
}

// Promise: a list shows every key of the project once, oldest first, in pages of any size.
func TestListPagesThroughEveryKey(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	var want []string
	for i := range 23 {
		rec, _ := h.create(h.one, secretKey())
		h.create(h.two, secretKey())
		if want = append(want, rec.ID); i%3 == 0 { // some keys are made within the same microsecond
			h.clock.advance(time.Microsecond)
		}
	}
	for _, limit := range []int{1, 2, 7, 22, 23, 24, keyring.MaxPage} {
		var got []keyring.Record
		cursor := ""
		for {
			page, next, err := h.ring.List(t.Context(), h.one, "", cursor, limit)
			if err != nil || len(page) > limit || next != "" && len(page) < limit {
				t.Fatalf("page of %d at limit %d, %v", len(page), limit, err)
			}
			got = append(got, page...)
			if cursor = next; next == "" {
				break
			}
		}
		if !slices.IsSortedFunc(got, func(a, b keyring.Record) int { return a.CreatedAt.Compare(b.CreatedAt) }) {
			t.Errorf("limit %d: not the oldest first", limit)
		}
		ids := make([]string, len(got))
		for i := range got {
			ids[i] = got[i].ID
		}
		slices.Sort(ids)
		if sorted := slices.Sorted(slices.Values(want)); !slices.Equal(ids, sorted) {
			t.Errorf("limit %d: listed %v, want %v", limit, ids, sorted)
		}
	}
}

// Promise: a cursor that no list gave, and a page size out of range, are told apart by name.
func TestListRefusesBadPaging(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	for cursor, limit := range map[string]int{"!": 1, "AAAA": 1, "": 0, strings.Repeat("A", 1<<16): keyring.MaxPage + 1} {
		_, _, err := h.ring.List(t.Context(), h.one, "", cursor, limit)
		p := code(t, err, problem.InvalidField)
		if wants := cursor != ""; wants != slices.ContainsFunc(p.Fields, func(f problem.Field) bool { return f.Name == "cursor" }) {
			t.Errorf("cursor %.8q: %v", cursor, p)
		}
	}
}

// Promise: whatever a caller sends as a cursor gets an answer, and never a key of another project.
func FuzzListCursor(f *testing.F) {
	f.Add("")
	f.Add("MTc2MzgwMjAwMDAwMDAwMC5rZXlfMDAwMDAwMDAwMDAw")
	f.Add("LTkyMjMzNzIwMzY4NTQ3NzU4MDgua2V5XzAwMDAwMDAwMDAwMA")
	f.Fuzz(func(t *testing.T, cursor string) {
		h := build(t, nil)
		rec, _ := h.create(h.one, secretKey())
		h.create(h.two, secretKey())
		list, next, err := h.ring.List(t.Context(), h.one, "", cursor, 10)
		if err != nil {
			code(t, err, problem.InvalidField)
		} else if next != "" || len(list) > 1 || len(list) == 1 && list[0].ID != rec.ID {
			t.Fatalf("listed %v, next %q", list, next)
		}
	})
}

// Promise: a look-up id that is taken is drawn anew, and a source of nothing but clashes is an error and not a loop.
func TestAClashIsDrawnAgain(t *testing.T) {
	t.Parallel()
	h := build(t, words(1, 2, 1, 1, 2, 3)) // 1 and 2 are the operators'
	rec, _ := h.create(h.one, secretKey())
	if want := "key_" + strings.Repeat("3", access.LookupLength); rec.ID != want {
		t.Fatalf("minted %s, want %s", rec.ID, want)
	}
	stuck := build(t, words(1, 2))
	if _, _, err := stuck.ring.Create(t.Context(), stuck.one, secretKey()); err == nil || len(stuck.shelf.keys) != 0 {
		t.Fatalf("a stuck source made a key: %v", err)
	}
}

// Promise: an id that only the store knows of, made by another node, is drawn anew too.
func TestAClashInTheStoreIsDrawnAgain(t *testing.T) {
	t.Parallel()
	h := build(t, words(1, 2, 3, 4))
	taken := "key_" + strings.Repeat("3", access.LookupLength)
	h.shelf.keys[taken] = keyring.Record{ID: taken, Project: "prj_2"}
	rec, _ := h.create(h.one, secretKey())
	if rec.ID == taken || h.shelf.keys[taken].Project != "prj_2" {
		t.Fatal("took the id of another key")
	}
}

// Promise: every character of a key is equally likely: the bytes that would favour some characters are thrown away.
func TestCharactersAreEquallyLikely(t *testing.T) {
	t.Parallel()
	h := build(t, rand.NewChaCha8([32]byte{1}))
	seen, all := map[byte]int{}, 0
	for range 1000 {
		_, text := h.create(h.one, secretKey())
		word := text.Reveal()[len("sk_live_"):][:access.LookupLength+access.SecretLength]
		for _, c := range []byte(word) {
			seen[c]++
			all++
		}
	}
	for _, c := range []byte(access.Alphabet) {
		// By chance a character strays a few in a hundred; a plain remainder gives some of them a fifth more.
		if share := float64(seen[c]) * float64(len(access.Alphabet)) / float64(all); share < 0.87 || share > 1.13 {
			t.Errorf("%c was drawn %.2f times as often as it should be", c, share)
		}
	}
}

// Promise: a source that gives nothing usable, or fails, gives an error and no key.
func TestABrokenSourceMakesNoKey(t *testing.T) {
	t.Parallel()
	for _, source := range []*bytes.Reader{bytes.NewReader(nil), bytes.NewReader(bytes.Repeat([]byte{0xff}, 1<<16))} {
		ring, err := keyring.Open(t.Context(), newShelf(project("prj_1")), keyring.Config{Now: newClock().now, NewID: ids(""), Random: source})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := ring.Operator("prj_1"); err == nil || !text.Empty() {
			t.Fatal("made a key of nothing")
		}
	}
}

// Promise: the operator's key may do everything in its project but let apps in, and is neither stored nor shown nor kept over a restart.
func TestTheOperatorIsNowhere(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	text, err := h.ring.Operator("prj_1")
	if err != nil {
		t.Fatal(err)
	}
	var id string
	for _, action := range access.Actions() {
		if action == access.Anyone || action == access.ExchangeTokens || action == access.IntrospectTokens || action == access.RevokeTokens ||
			action == access.AuthorizeApps || action.ForMembers() {
			continue // no such key does that
		}
		permit, err := h.ask(text, action, access.Attempt{Grants: &access.Grant{Kind: access.Secret, Mode: access.Test, Scopes: access.AllScopes}})
		if err != nil {
			t.Fatalf("%s: %v", action, err)
		}
		id = permit.Key().ID
	}
	if _, ok := h.ring.Peek("prj_1", id); ok || len(h.shelf.keys) != 0 {
		t.Error("the operator can be seen")
	}
	_, err = h.ring.Revoke(t.Context(), h.one, id, 0)
	code(t, err, problem.NotFound)
	h.open()
	_, err = h.ask(text, access.HoldKey, access.Attempt{})
	code(t, err, problem.KeyNotAccepted)
	if _, err := h.ring.Operator("prj_9"); err == nil {
		t.Error("an operator of no project")
	}
}

// Promise: a project that gets an environment has it for the keys it has, and no other project is touched.
func TestSetProjectReachesExistingKeys(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	_, one := h.create(h.one, secretKey())
	_, two := h.create(h.two, secretKey())
	changed := project("prj_1")
	changed.Environments = append(changed.Environments, access.Environment{Name: "canary", Mode: access.Live})
	h.ring.SetProject(changed)
	changed.Environments[3].Name = "changed by the caller"
	target := access.Attempt{Targets: []access.Target{{Environment: "canary"}}}
	if _, err := h.ask(one, access.WriteEvents, target); err != nil {
		t.Fatal(err)
	}
	_, err := h.ask(two, access.WriteEvents, target)
	code(t, err, problem.EnvironmentNotFound)
	n := secretKey()
	n.Environments = []string{"canary"}
	h.create(h.one, n)
	h.ring.SetProject(project("prj_3"))
	if _, err := h.ring.Operator("prj_3"); err != nil {
		t.Fatal(err)
	}
}

// Promise: a project that is set anew keeps its policy, whatever the caller knew of it.
func TestSetProjectKeepsThePolicy(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	_, text := h.create(h.one, secretKey())
	stale, _ := h.ring.Project("prj_1")
	if _, err := h.ring.SetPolicy(t.Context(), h.one, 0, false, func(p *access.Policy) error { p.Secret.RequireSignature = true; return nil }); err != nil {
		t.Fatal(err)
	}
	h.ring.SetProject(*stale)
	if h.works(text) {
		t.Error("the policy of before is back")
	}
	made := project("prj_3")
	made.Policy.SecretInURL = true
	h.ring.SetProject(made)
	if p, _ := h.ring.Project("prj_3"); !p.Policy.SecretInURL {
		t.Error("a new project has no policy")
	}
}

// Promise: what a call gives back is what is kept, to the microsecond, and is the caller's own: changing it, or what was
// sent, changes no key.
func TestRecordsAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	spoil := func(rec keyring.Record) {
		rec.Environments[0], rec.Events[0], rec.Networks[0].Prefix = "production", "*", netip.MustParsePrefix("0.0.0.0/0")
		rec.Datasets.Core, rec.Datasets.Named[0].Rights = true, 7
	}
	bounds := func() access.Bounds {
		return access.Bounds{
			Environments: []string{"staging"}, Events: []string{"x"}, Networks: []access.Network{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}},
			Datasets: &access.Datasets{Named: []access.NamedDataset{{Name: "orders", Rights: 1}}}, NotBefore: h.clock.now().Add(-time.Nanosecond),
			ExpiresAt: h.clock.now().Add(time.Hour + time.Nanosecond),
		}
	}
	n := secretKey()
	n.Bounds = bounds()
	rec, _ := h.create(h.one, n)
	same := func(when string, got keyring.Record, sent access.Bounds) {
		t.Helper()
		kept, err := h.ring.Get(t.Context(), h.one, rec.ID)
		if want := keyring.WriteSettings(&kept.Bounds); err != nil || keyring.WriteSettings(&got.Bounds) != want {
			t.Errorf("%s: got %+v, kept %+v, %v", when, got, kept, err)
		}
		spoil(got)
		sent.Environments[0] = "production"
		h.agree(t, when)
	}
	same("created", rec, n.Bounds)
	b := bounds()
	changed, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{
		Basis: h.basis(rec.ID), Environments: &b.Environments, Events: &b.Events, Networks: &b.Networks, Datasets: &b.Datasets, NotBefore: &b.NotBefore, ExpiresAt: &b.ExpiresAt,
	})
	if err != nil {
		t.Fatal(err)
	}
	same("changed", changed, b)
	rotated, _ := h.rotate(rec.ID, time.Hour)
	rotated.Former[0].Until = h.clock.now().AddDate(1, 0, 0)
	same("rotated", rotated, bounds())
}

// Promise: what was loaded at the start is what is enforced, and a store that makes no sense stops the start.
func TestOpenLoadsEveryKey(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	texts := make([]access.Text, 50)
	for i := range texts {
		_, texts[i] = h.create(h.one, secretKey())
	}
	h.open()
	for _, text := range texts {
		if _, err := h.ask(text, access.WriteEvents, access.Attempt{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []keyring.Record{{ID: "key_000000000000", Project: "prj_9"}, {ID: "nonsense", Project: "prj_1"}} {
		shelf := newShelf(project("prj_1"))
		shelf.keys[bad.ID] = bad
		if _, err := keyring.Open(t.Context(), shelf, keyring.Config{Now: h.clock.now, NewID: ids("")}); err == nil {
			t.Errorf("opened over %+v", bad)
		}
	}
	if _, err := keyring.Open(t.Context(), newShelf(), keyring.Config{}); err == nil {
		t.Error("opened without a clock")
	}
}

// Promise: looking up takes no memory, whether the key is known or not.
func TestLookupAllocatesNothing(t *testing.T) {
	h := build(t, nil)
	rec, _ := h.create(h.one, secretKey())
	known, _ := access.LookupOf(rec.ID)
	for _, lookup := range []access.Lookup{known, access.Lookup([]byte("000000000000"))} {
		if n := testing.AllocsPerRun(100, func() { h.ring.Lookup(lookup) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// Promise: while keys are made, changed and revoked, every look-up sees a whole key, and a key once seen revoked stays
// revoked.
func TestLookupsDuringChangesAreWhole(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	n := secretKey()
	n.Scopes, n.Environments = access.EventsRead, []string{"staging"}
	rec, _ := h.create(h.one, n)
	lookup, _ := access.LookupOf(rec.ID)
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			revoked := false
			for {
				entry, found := h.ring.Lookup(lookup)
				key := entry.Key
				if !found || entry.Digest != rec.Digest || (key.Scopes == access.EventsWrite) != (key.Environments[0] == "production") {
					t.Errorf("saw half a key: %+v", key)
					return
				}
				if revoked && key.RevokedAt.IsZero() {
					t.Error("a revoked key came back")
					return
				}
				revoked = !key.RevokedAt.IsZero()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 4 {
		writers.Go(func() {
			for i := range 50 {
				c := keyring.Change{Scopes: ptr(access.EventsWrite), Environments: new([]string{"production"})}
				if i%2 == 0 {
					c = keyring.Change{Scopes: ptr(access.EventsRead), Environments: new([]string{"staging"})}
				}
				c.Basis, _ = h.ring.Peek("prj_1", rec.ID)
				if _, err := h.ring.Update(t.Context(), h.one, rec.ID, c); err != nil && problem.Of(err) != problem.Conflict {
					t.Error(err)
				}
				if _, _, err := h.ring.Create(t.Context(), h.two, secretKey()); err != nil {
					t.Error(err)
				}
			}
			if _, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if entry, _ := h.ring.Lookup(lookup); entry.Key.RevokedAt.IsZero() {
		t.Error("the key is not revoked")
	}
	if len(h.shelf.keys) != 201 {
		t.Errorf("%d keys are stored", len(h.shelf.keys))
	}
}

// Promise: a public key reads the datasets that it names, and no change makes it one that reads them all.
func TestAPublicKeySaysWhichDatasetsItReads(t *testing.T) {
	t.Parallel()
	h := with(t, keyring.Config{})
	reads := keyring.New{Kind: access.Public, Mode: access.Live, Scopes: access.DatasetsRead}
	named := func(err error) bool {
		fields := problem.From(err).Fields
		return problem.Of(err) == problem.InvalidField && len(fields) == 1 && fields[0].Name == "datasets"
	}
	if _, _, err := h.ring.Create(t.Context(), h.one, reads); !named(err) {
		t.Errorf("without: %v", err)
	}
	reads.Datasets = &access.Datasets{Core: true}
	rec, _ := h.create(h.one, reads)
	every := (*access.Datasets)(nil)
	if _, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Datasets: &every}); !named(err) {
		t.Errorf("taken away: %v", err)
	}
	observed := access.ByDataset
	if _, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Observe: &observed}); !named(err) {
		t.Errorf("only observed: %v", err)
	}
	sends, _ := h.create(h.one, keyring.New{Kind: access.Public, Mode: access.Live})
	scopes := access.EventsWrite | access.DatasetsRead
	if _, err := h.ring.Update(t.Context(), h.one, sends.ID, keyring.Change{Scopes: &scopes}); !named(err) {
		t.Errorf("with the scope given later: %v", err)
	}
}
