package keyring_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

func (h *house) rotate(id string, overlap time.Duration) (keyring.Record, access.Text) {
	h.t.Helper()
	rec, secrets, err := h.ring.Rotate(h.t.Context(), h.one, id, overlap, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return rec, secrets.Key
}

// Promise: rotation gives a new secret and leaves everything else as it was: the id, the settings, the steward, and so
// whatever is counted by the id.
func TestRotationChangesNothingButTheSecret(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	n := secretKey()
	n.Bounds = access.Bounds{
		Environments: []string{"staging"}, Events: []string{"check*"}, Datasets: &access.Datasets{Core: true}, NotBefore: h.clock.now().Add(-time.Hour),
		ExpiresAt: h.clock.now().Add(time.Hour), Observe: access.ByEvent, Limits: access.DefaultLimits(access.Secret),
	}
	rec, text := h.create(h.one, n)
	h.clock.advance(time.Minute)
	rotated, next := h.rotate(rec.ID, time.Hour)
	if next.Reveal() == text.Reveal() || rotated.Hint != access.Hint(next.Reveal()) {
		t.Error("the secret is not a new one, or its hint is not its own")
	}
	want := rec
	want.Hint, want.Digest, want.Generation, want.MintedAt, want.UpdatedAt, want.Revision = rotated.Hint, rotated.Digest, 2, h.clock.now(), h.clock.now(), 2
	want.Former = []keyring.Former{{Hint: rec.Hint, Digest: rec.Digest, Generation: 1, MintedAt: rec.MintedAt, Until: h.clock.now().Add(time.Hour)}}
	if text := keyring.WriteSettings(&rotated.Bounds); text != keyring.WriteSettings(&want.Bounds) {
		t.Errorf("the bounds are %s by now", text)
	}
	if rotated.Bounds = want.Bounds; !slices.Equal(rotated.Former, want.Former) {
		t.Errorf("former secrets: %+v", rotated.Former)
	}
	rotated.Former, want.Former = nil, nil
	if a, b := flat(rotated), flat(want); a != b {
		t.Errorf("it is %s, want %s", a, b)
	}
	for _, secret := range []access.Text{text, next} {
		permit, err := h.ask(secret, access.ReadEvents, access.Attempt{})
		if err != nil || permit.Key().ID != rec.ID || permit.Key().Limits != n.Limits {
			t.Errorf("asks as %v: %v", permit, err)
		}
	}
}

// Promise: limits are counted by the key's id, with the key's limits, whichever of its secrets is shown: a rotation
// neither resets a budget nor makes a second one.
func TestRotationKeepsTheBudget(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	n := secretKey()
	n.Limits.Daily = access.Quota{Most: 5}
	rec, text := h.create(h.one, n)
	book := &charges{}
	h.gate = gate.New(h.ring, nil, book, silence{}, h.clock.now, ids("d"))
	secrets := []access.Text{text}
	for range 3 {
		_, next := h.rotate(rec.ID, time.Hour)
		secrets = append(secrets, next)
	}
	if _, err := h.ring.Disable(t.Context(), h.one, rec.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{Basis: h.basis(rec.ID)}); err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if !h.works(secret) {
			t.Error("a secret is not accepted")
		}
	}
	if len(book.accounts) != 4 {
		t.Errorf("%d charges", len(book.accounts))
	}
	for _, account := range book.accounts {
		if account.ID != rec.ID || account.Limits != n.Limits {
			t.Errorf("charged to %+v", account)
		}
	}
}

// charges is a gate.Limits that remembers who was charged.
type charges struct {
	freely
	accounts []gate.Account
}

// Take remembers the account.
func (c *charges) Take(_ context.Context, charge gate.Charge) gate.Charged {
	c.accounts = append(c.accounts, charge.Key)
	return gate.Charged{}
}

// Promise: an old secret is good until exactly its deadline and not at it, also after a restart, and a request under way
// when it ends is refused.
func TestAnOldSecretEndsOnTime(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		h := build(t, nil)
		rec, old := h.create(h.one, secretKey())
		rotated, text := h.rotate(rec.ID, time.Hour)
		if restart {
			h.open()
		}
		until := rotated.Former[0].Until
		for _, c := range []struct {
			at    time.Time
			works bool
		}{{h.clock.now(), true}, {until.Add(-time.Nanosecond), true}, {until, false}, {until.Add(time.Nanosecond), false}, {until.Add(24 * time.Hour), false}} {
			h.clock.set(c.at)
			if h.works(old) != c.works {
				t.Errorf("%s before its end the old secret is accepted: %v", until.Sub(c.at), !c.works)
			}
			if !h.works(text) {
				t.Errorf("%s before the end of the old one the new secret is refused", until.Sub(c.at))
			}
		}
		h.clock.set(until.Add(-time.Nanosecond))
		caller, err := h.gate.Identify(t.Context(), gate.Credential{Key: old, Circumstances: from()}, access.ReadEvents)
		if err != nil || !caller.SecretUntil().Equal(until) {
			t.Fatalf("until %v, %v", caller.SecretUntil(), err)
		}
		h.clock.advance(time.Nanosecond)
		_, err = h.gate.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{})
		code(t, err, problem.KeyNotAccepted)
	}
}

// Promise: a secret that was replaced gets no older than the project allows, however long the overlap; nor does a rotation
// of the new one make it younger.
func TestAnOldSecretIsNotMadeYounger(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, first := h.create(h.one, secretKey())
	if _, err := h.ring.SetPolicy(t.Context(), h.one, 0, false, func(p *access.Policy) error { p.Secret.MaxLifetime = 48 * time.Hour; return nil }); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(24 * time.Hour)
	_, second := h.rotate(rec.ID, keyring.MaxOverlap)
	h.clock.advance(time.Hour)
	h.rotate(rec.ID, keyring.MaxOverlap)
	h.open()
	h.clock.advance(23*time.Hour - time.Nanosecond)
	if !h.works(first) || !h.works(second) {
		t.Error("a secret is refused before its time")
	}
	h.clock.advance(time.Nanosecond)
	if h.works(first) || !h.works(second) {
		t.Errorf("at the end of the first: it works %v, the second %v", h.works(first), h.works(second))
	}
	h.clock.advance(24 * time.Hour)
	if h.works(second) {
		t.Error("the second secret outlives what the project allows")
	}
}

// Promise: without an overlap every older secret ends at once, those that an earlier rotation left good too; with one, none
// of them is good for longer than that.
func TestTheOverlapBoundsEveryOlderSecret(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, first := h.create(h.one, secretKey())
	_, second := h.rotate(rec.ID, 10*time.Hour)
	h.clock.advance(time.Minute)
	rotated, third := h.rotate(rec.ID, time.Hour)
	end := h.clock.now().Add(time.Hour)
	if len(rotated.Former) != 2 || !rotated.Former[0].Until.Equal(end) || !rotated.Former[1].Until.Equal(end) {
		t.Fatalf("former secrets: %+v, want the end %v", rotated.Former, end)
	}
	_, fourth := h.rotate(rec.ID, 20*time.Hour)
	if got := h.shelf.key(rec.ID).Former; len(got) != 3 || !got[0].Until.Equal(end) || !got[2].Until.Equal(h.clock.now().Add(20*time.Hour)) {
		t.Fatalf("a longer overlap gives an old secret more time: %+v", got)
	}
	_, fifth := h.rotate(rec.ID, 0)
	for i, old := range []access.Text{first, second, third, fourth} {
		if h.works(old) {
			t.Errorf("secret %d is still accepted", i+1)
		}
	}
	if got := h.shelf.key(rec.ID); !h.works(fifth) || got.Former != nil || got.Generation != 5 {
		t.Errorf("it is %+v by now", got)
	}
}

// Promise: two rotations one after the other, within the same microsecond too, leave both older secrets good for their
// time, each with its own generation.
func TestTwoQuickRotations(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, first := h.create(h.one, secretKey())
	_, second := h.rotate(rec.ID, time.Hour)
	_, third := h.rotate(rec.ID, time.Hour)
	lookup, _ := access.LookupOf(rec.ID)
	e, _ := h.ring.Lookup(lookup)
	if e.Generation != 3 || len(e.Former) != 2 || e.Former[0].Generation != 1 || e.Former[1].Generation != 2 {
		t.Errorf("generations: %+v", e)
	}
	for i, text := range []access.Text{first, second, third} {
		if !h.works(text) {
			t.Errorf("secret %d is refused", i+1)
		}
	}
}

// Promise: only so many secrets of a key are good at the same time; one that has ended makes room.
func TestOnlySoManySecretsAreGood(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, _ := h.create(h.one, secretKey())
	var last access.Text
	for range 4 {
		_, last = h.rotate(rec.ID, time.Hour)
	}
	_, _, err := h.ring.Rotate(t.Context(), h.one, rec.ID, time.Hour, 0)
	code(t, err, problem.Conflict)
	if got := h.shelf.key(rec.ID); got.Generation != 5 || !h.works(last) {
		t.Errorf("a refused rotation changed something: %+v", got)
	}
	h.clock.advance(time.Hour)
	if got, _ := h.rotate(rec.ID, time.Hour); got.Generation != 6 || len(got.Former) != 1 {
		t.Errorf("after the others have ended: %+v", got)
	}
	if got, _ := h.rotate(rec.ID, 0); got.Generation != 7 {
		t.Errorf("generation %d", got.Generation)
	}
}

// Promise: the new text of a public key can be copied again, and that of a secret key is not kept.
func TestOnlyAPublicKeysTextIsKept(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	for _, kind := range []access.Kind{access.Public, access.Secret} {
		n := secretKey()
		n.Kind, n.Scopes = kind, access.EventsWrite
		rec, _ := h.create(h.one, n)
		_, text := h.rotate(rec.ID, time.Hour)
		got, err := h.ring.Get(t.Context(), h.one, rec.ID)
		want := map[access.Kind]string{access.Public: text.Reveal()}[kind]
		if err != nil || got.Public != want {
			t.Errorf("%s: %q is kept, want %q, %v", kind, got.Public, want, err)
		}
	}
}

// Promise: a rotation that cannot be is refused, and says what is wrong: an overlap out of range, another version, a
// revoked key, one of another project.
func TestRotationIsRefused(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, text := h.create(h.one, secretKey())
	revoked, _ := h.create(h.one, secretKey())
	if _, err := h.ring.Revoke(t.Context(), h.one, revoked.ID, 0); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		permit   gate.Permit
		id       string
		overlap  time.Duration
		revision int64
		want     problem.Code
	}{
		"into the past":   {h.one, rec.ID, -time.Second, 0, problem.InvalidField},
		"for too long":    {h.one, rec.ID, keyring.MaxOverlap + 1, 0, problem.InvalidField},
		"another version": {h.one, rec.ID, 0, 2, problem.PreconditionFailed},
		"another project": {h.two, rec.ID, 0, 0, problem.NotFound},
		"no key":          {h.one, "key_000000000000", 0, 0, problem.NotFound},
		"revoked":         {h.one, revoked.ID, 0, 0, problem.Conflict},
	} {
		if _, secrets, err := h.ring.Rotate(t.Context(), c.permit, c.id, c.overlap, c.revision); problem.Of(err) != c.want || !secrets.Key.Empty() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !h.works(text) || len(h.shelf.audited(rec.ID)) != 1 {
		t.Error("what was refused had an effect")
	}
	if _, _, err := h.ring.Rotate(t.Context(), h.one, rec.ID, keyring.MaxOverlap, 1); err != nil {
		t.Error(err)
	}
}

// Promise: a new secret, for the key or for its signatures, is given only to whoever may hand on all that the key can do
// by then, even if the key was widened since that was decided.
func TestANewSecretIsForWhoMayGrantIt(t *testing.T) {
	t.Parallel()
	h := with(t, keyring.Config{Vault: &vault{keys: []byte{1}}})
	n := secretKey()
	n.Scopes = access.KeysWrite | access.EventsRead
	_, text := h.create(h.one, n)
	n.Scopes = access.EventsRead
	rec, _ := h.create(h.one, n)
	manager := h.permit(text)
	if _, _, err := h.ring.Rotate(t.Context(), manager, rec.ID, 0, 0); err != nil {
		t.Fatal(err)
	}
	wider := keyring.Change{Basis: h.basis(rec.ID), Scopes: ptr(access.AllScopes)}
	if _, err := h.ring.Update(t.Context(), h.one, rec.ID, wider); err != nil {
		t.Fatal(err)
	}
	_, secrets, err := h.ring.Rotate(t.Context(), manager, rec.ID, 0, 0)
	if code(t, err, problem.GrantTooWide); !secrets.Key.Empty() {
		t.Error("the secret is there all the same")
	}
	_, secrets, err = h.ring.NewSigningSecret(t.Context(), manager, rec.ID, 0)
	if code(t, err, problem.GrantTooWide); !secrets.Signing.Empty() {
		t.Error("the signing secret is there all the same")
	}
}

// Promise: who waited for its turn while its key was revoked, narrowed, or its secret replaced gets nothing done.
func TestWhoLostItsRightsGetsNothingDone(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(h *house, id string) error{
		"revoked":     func(h *house, id string) error { _, err := h.ring.Revoke(t.Context(), h.one, id, 0); return err },
		"disabled":    func(h *house, id string) error { _, err := h.ring.Disable(t.Context(), h.one, id, 0); return err },
		"quarantined": func(h *house, id string) error { _, err := h.ring.Quarantine(t.Context(), h.one, id, 0); return err },
		"replaced":    func(h *house, id string) error { _, _, err := h.ring.Rotate(t.Context(), h.one, id, 0, 0); return err },
		"narrowed": func(h *house, id string) error {
			_, err := h.ring.Update(t.Context(), h.one, id, keyring.Change{Scopes: ptr(access.KeysWrite)})
			return err
		},
	} {
		h := build(t, nil)
		n := secretKey()
		n.Scopes = access.KeysWrite | access.EventsRead | access.ProjectsWrite
		rec, text := h.create(h.one, n)
		other, _ := h.create(h.one, secretKey())
		permit := h.permit(text)
		if _, _, err := h.ring.Rotate(t.Context(), permit, rec.ID, time.Hour, 0); err != nil {
			t.Fatalf("%s: %v", name, err) // its old secret is good for a while: it still stands
		}
		if _, _, err := h.ring.Create(t.Context(), permit, keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.EventsRead}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := lose(h, rec.ID); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		keys := len(h.shelf.keys)
		_, _, err := h.ring.Create(t.Context(), permit, keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.EventsRead})
		code(t, err, problem.Conflict)
		_, err = h.ring.Revoke(t.Context(), permit, other.ID, 0)
		code(t, err, problem.Conflict)
		_, _, err = h.ring.HandOver(t.Context(), permit, other.Steward, "mallory@example.com")
		code(t, err, problem.Conflict)
		_, err = h.ring.SetPolicy(t.Context(), permit, 0, true, func(p *access.Policy) error { p.SecretInURL = true; return nil })
		code(t, err, problem.Conflict)
		if got := h.shelf.key(other.ID); len(h.shelf.keys) != keys || got.Revision != 1 || h.shelf.policies["prj_1"].Revision != 1 {
			t.Errorf("%s: something was done", name)
		}
	}
}

// flat is everything in a record as one text.
func flat(rec keyring.Record) string {
	rec.Datasets = nil // a pointer
	return fmt.Sprintf("%+v", rec)
}
