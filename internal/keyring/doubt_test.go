package keyring_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: whichever call to the store fails, before or after it had its effect, the snapshot says what the store says,
// and a key whose revocation was confirmed is refused for ever.
func TestAFailingStoreIsNeverContradicted(t *testing.T) {
	t.Parallel()
	for _, how := range []failure{before, lostReply} {
		for n := 1; ; n++ {
			h := build(t, nil)
			rec, text := h.create(h.one, secretKey())
			h.shelf.failing(func(call int) failure {
				if call == n {
					return how
				}
				return none
			})
			when := fmt.Sprintf("call %d fails (%d)", n, how)
			revoked := h.story(t, rec, when)
			reached := h.shelf.calls >= n
			h.shelf.failing(nil)
			_, err := h.ask(text, access.ReadEvents, access.Attempt{})
			if revoked && err == nil {
				t.Fatalf("%s: the key works after it was revoked", when)
			}
			h.open()
			if _, again := h.ask(text, access.ReadEvents, access.Attempt{}); (err == nil) != (again == nil) {
				t.Fatalf("%s: a restart changes the answer from %v to %v", when, err, again)
			}
			if !reached {
				break
			}
		}
	}
}

// story makes, changes, rotates and revokes keys, checks the agreement after every step, and reports whether the key was
// revoked.
func (h *house) story(t *testing.T, rec keyring.Record, when string) (revoked bool) {
	_, _, _ = h.ring.Create(t.Context(), h.two, secretKey())
	h.agree(t, when+", create")
	_, _ = h.ring.SetPolicy(t.Context(), h.one, 0, false, func(p *access.Policy) error { p.SecretInURL = !p.SecretInURL; return nil })
	h.agree(t, when+", policy")
	_, _ = h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Scopes: ptr(access.EventsRead)})
	h.agree(t, when+", update")
	_, _, _ = h.ring.Rotate(t.Context(), h.one, rec.ID, time.Hour, 0)
	h.agree(t, when+", rotate")
	h.ring.Expose(t.Context(), rec.ID, h.generation(rec.ID), gate.ExposedInURL, h.clock.now())
	h.agree(t, when+", expose")
	_, _ = h.ring.Disable(t.Context(), h.one, rec.ID, 0)
	h.agree(t, when+", disable")
	_, _ = h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{Basis: h.basis(rec.ID)})
	h.agree(t, when+", restore")
	_, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0)
	h.agree(t, when+", revoke")
	return err == nil
}

// away is a store that does one call, or not, and is not to be reached from then on.
func away(first failure) func(int) failure {
	return func(call int) failure {
		if call == 1 {
			return first
		}
		return before
	}
}

// Promise: while the store is gone after a change whose outcome is not known, the key is refused if what it may do, what
// it is known by, or what its signatures are checked with was to change; nothing else can be changed; and when the store
// is back, the next change mends it.
func TestAKeyInDoubtIsRefused(t *testing.T) {
	t.Parallel()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	update := func(c keyring.Change) func(*house, string) error {
		return func(h *house, id string) error { _, err := h.ring.Update(t.Context(), h.one, id, c); return err }
	}
	changes := map[string]struct {
		change func(*house, string) error
		doubt  bool
	}{
		"revoke":     {func(h *house, id string) error { _, err := h.ring.Revoke(t.Context(), h.one, id, 0); return err }, true},
		"disable":    {func(h *house, id string) error { _, err := h.ring.Disable(t.Context(), h.one, id, 0); return err }, true},
		"quarantine": {func(h *house, id string) error { _, err := h.ring.Quarantine(t.Context(), h.one, id, 0); return err }, true},
		"rotate":     {func(h *house, id string) error { _, _, err := h.ring.Rotate(t.Context(), h.one, id, 0, 0); return err }, true},
		"overlap": {func(h *house, id string) error {
			_, _, err := h.ring.Rotate(t.Context(), h.one, id, time.Hour, 0)
			return err
		}, true},
		"signing": {func(h *house, id string) error {
			_, _, err := h.ring.NewSigningSecret(t.Context(), h.one, id, 0)
			return err
		}, true},
		"narrow":      {update(keyring.Change{Scopes: ptr(access.EventsRead)}), true},
		"limits":      {update(keyring.Change{Limits: new(access.Limits{Daily: access.Quota{Most: 1}})}), true},
		"public keys": {update(keyring.Change{PublicKeys: new([]ed25519.PublicKey{public})}), true},
		"label":       {update(keyring.Change{Label: new("x")}), false},
		"the same":    {update(keyring.Change{Scopes: ptr(secretKey().Scopes)}), false},
	}
	for name, c := range changes {
		for _, how := range []failure{before, lostReply} {
			h := with(t, keyring.Config{Vault: &vault{keys: []byte{1}}})
			rec, text := h.create(h.one, secretKey())
			bystander, other := h.create(h.one, secretKey())
			h.shelf.failing(away(how))
			if err := c.change(h, rec.ID); problem.Of(err) != problem.Internal {
				t.Fatalf("%s: %v", name, err)
			}
			doubted := c.doubt && how == lostReply // a store that did not even read the key has not changed it
			if h.works(text) == doubted {
				t.Errorf("%s (%d): the key works: %v", name, how, !doubted)
			}
			want := problem.Internal
			if doubted {
				want = problem.Unavailable
			}
			_, err := h.ring.Revoke(t.Context(), h.one, bystander.ID, 0)
			code(t, err, want)
			if !h.works(other) {
				t.Errorf("%s: another key is refused", name)
			}
			h.shelf.failing(nil)
			h.create(h.one, secretKey())
			h.agree(t, name)
		}
	}
}

// Promise: while it is not known which of two policies a project has, whatever either forbids is forbidden, and the next
// change mends it.
func TestAPolicyInDoubtIsTheStricter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, second func(*access.Policy)
		works         bool
	}{
		"stricter": {func(*access.Policy) {}, func(p *access.Policy) { p.Secret.RequireSignature = true }, false},
		"looser":   {func(p *access.Policy) { p.Secret.RequireSignature = true }, func(p *access.Policy) { p.Secret.RequireSignature = false }, false},
		"other scopes": {
			func(p *access.Policy) { p.Secret.Scopes = access.EventsRead }, func(p *access.Policy) { p.Secret.Scopes = access.EventsWrite }, false,
		},
		"fewer scopes": {
			func(p *access.Policy) { p.Secret.Scopes = access.EventsRead | access.EventsWrite }, func(p *access.Policy) { p.Secret.Scopes = access.EventsRead }, true,
		},
		"first scopes": {func(*access.Policy) {}, func(p *access.Policy) { p.Secret.Scopes = access.EventsWrite }, false},
		"lifetimes": {
			func(p *access.Policy) { p.Secret.MaxLifetime = time.Hour }, func(p *access.Policy) { p.Secret.MaxLifetime = 48 * time.Hour }, false,
		},
		"networks": {func(*access.Policy) {}, func(p *access.Policy) { p.Secret.RequireNetworks = true }, false},
		"limits":   {func(*access.Policy) {}, func(p *access.Policy) { p.Limits.Daily.Most = 1 }, true},
	} {
		h := build(t, nil)
		_, text := h.create(h.one, secretKey())
		set := func(edit func(*access.Policy)) error {
			_, err := h.ring.SetPolicy(t.Context(), h.one, 0, false, func(p *access.Policy) error { edit(p); return nil })
			return err
		}
		if err := set(c.first); err != nil {
			t.Fatal(err)
		}
		h.clock.advance(2 * time.Hour)
		h.shelf.failing(away(lostReply))
		code(t, set(c.second), problem.Internal)
		if h.works(text) != c.works {
			t.Errorf("%s: the key works: %v", name, !c.works)
		}
		if p, _ := h.ring.Project("prj_1"); name == "limits" && p.Policy.Limits.Daily.Most != 1 {
			t.Error("the smaller limit does not hold")
		}
		_, _, err := h.ring.Create(t.Context(), h.two, secretKey())
		code(t, err, problem.Unavailable)
		h.shelf.failing(nil)
		h.create(h.two, secretKey())
		h.agree(t, name)
	}
}

// Promise: a caller who goes away in the middle of a change leaves store and snapshot in agreement: the key is what it
// became, and not refused for want of an answer.
func TestACancelledChangeIsSettled(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, text := h.create(h.one, secretKey())
	for _, change := range []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := h.ring.Update(ctx, h.one, rec.ID, keyring.Change{Scopes: ptr(access.EventsRead)})
			return err
		},
		func(ctx context.Context) error { _, err := h.ring.Revoke(ctx, h.one, rec.ID, 0); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		h.shelf.failing(func(call int) failure {
			if call == 1 {
				cancel() // after this the caller's context is of no use for asking again
				return lostReply
			}
			return none
		})
		if err := change(ctx); err == nil {
			t.Fatal("the reply was not lost")
		}
		h.agree(t, "cancelled")
		_, err := h.ask(text, access.WriteEvents, access.Attempt{})
		if err == nil || h.works(text) == !h.shelf.key(rec.ID).RevokedAt.IsZero() {
			t.Errorf("it works: %v, %v", h.works(text), err)
		}
	}
}

// Promise: what another program did to a key is seen at the latest when somebody tries to change it here: also when that
// is refused, and also when there is nothing left to revoke.
func TestWhatOthersDidIsSeen(t *testing.T) {
	t.Parallel()
	other := func(h *house, id string, edit func(*keyring.Record)) {
		h.shelf.mu.Lock()
		defer h.shelf.mu.Unlock()
		rec := h.shelf.keys[id]
		edit(&rec)
		rec.Revision++
		h.shelf.keys[id] = rec
	}
	h := build(t, nil)
	rec, text := h.create(h.one, secretKey())
	other(h, rec.ID, func(r *keyring.Record) { r.RevokedAt = h.clock.now() })
	if !h.works(text) {
		t.Fatal("this test tests nothing")
	}
	if _, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0); err != nil || h.works(text) {
		t.Errorf("the key works after it was revoked: %v", err)
	}
	rec, text = h.create(h.one, secretKey())
	other(h, rec.ID, func(r *keyring.Record) { r.State = access.Disabled })
	_, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Label: new("x"), Revision: 1})
	if code(t, err, problem.PreconditionFailed); h.works(text) {
		t.Error("the key works though it is known to be disabled")
	}
	h.shelf.policies["prj_1"] = keyring.PolicyRecord{Policy: access.Policy{SecretInURL: true}, Revision: 9}
	_, err = h.ring.SetPolicy(t.Context(), h.one, 1, false, func(*access.Policy) error { return nil })
	code(t, err, problem.PreconditionFailed)
	h.agree(t, "at the end")

	rec, text = h.create(h.one, secretKey())
	h.shelf.failing(away(lostReply))
	_, err = h.ring.Disable(t.Context(), h.one, rec.ID, 0)
	code(t, err, problem.Internal)
	h.shelf.failing(nil)
	delete(h.shelf.keys, rec.ID)
	h.create(h.one, secretKey())
	if _, found := h.ring.Peek("prj_1", rec.ID); found || h.works(text) {
		t.Error("a key is there that the store does not have")
	}
}

// Promise: who waits for a slow store can stop waiting, and is told that nothing was done.
func TestWaitingForATurnCanBeCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := build(t, nil)
		rec, text := h.create(h.one, secretKey())
		h.shelf.slow = func(ctx context.Context) { <-ctx.Done() }
		stuck, release := context.WithCancel(t.Context())
		go func() { _, _ = h.ring.Disable(stuck, h.one, rec.ID, 0) }()
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := h.ring.Revoke(ctx, h.one, rec.ID, 0)
		if code(t, err, problem.Unavailable); time.Since(began) != time.Minute {
			t.Errorf("waited for %s", time.Since(began))
		}
		release()
		synctest.Wait()
		h.shelf.slow = nil
		if !h.works(text) {
			t.Error("the key does not work")
		}
		if _, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0); err != nil || h.works(text) {
			t.Errorf("cannot be revoked afterwards: %v", err)
		}
	})
}
