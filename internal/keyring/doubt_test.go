package keyring_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// agree fails unless the snapshot has exactly what the store has.
func (h *house) agree(t *testing.T, when string) {
	t.Helper()
	for id, rec := range h.shelf.keys {
		key, ok := h.ring.Peek(rec.Project, id)
		if !ok {
			t.Fatalf("%s: %s is in the store and not in the snapshot", when, id)
		}
		if key.Scopes != rec.Scopes || !slices.Equal(key.Environments, rec.Environments) || !key.ExpiresAt.Equal(rec.ExpiresAt) || !key.RevokedAt.Equal(rec.RevokedAt) {
			t.Fatalf("%s: the store has %+v, the snapshot %+v", when, rec, key)
		}
	}
}

// Promise: whichever call to the store fails, before or after it had its effect, the snapshot says what the store says,
// and a key whose revocation was confirmed is refused for ever.
func TestAFailingStoreIsNeverContradicted(t *testing.T) {
	t.Parallel()
	for _, how := range []failure{before, lostReply} {
		for n := 1; ; n++ {
			h := build(t, nil)
			rec, text := h.create(h.one, secretKey())
			h.shelf.calls, h.shelf.fail = 0, func(call int) failure {
				if call == n {
					return how
				}
				return none
			}
			when := fmt.Sprintf("call %d fails (%d)", n, how)
			revoked := h.story(t, rec, when)
			reached := h.shelf.calls >= n
			h.shelf.fail = nil
			_, err := h.ask(text, access.ReadEvents, access.Attempt{})
			if revoked && err == nil {
				t.Fatalf("%s: the key works after it was revoked", when)
			}
			h.open(nil)
			if _, again := h.ask(text, access.ReadEvents, access.Attempt{}); (err == nil) != (again == nil) {
				t.Fatalf("%s: a restart changes the answer from %v to %v", when, err, again)
			}
			if !reached {
				break
			}
		}
	}
}

// story makes, changes and revokes keys, checks the agreement after every step, and reports whether the key was revoked.
func (h *house) story(t *testing.T, rec keyring.Record, when string) (revoked bool) {
	_, _, _ = h.ring.Create(t.Context(), h.two, secretKey())
	h.agree(t, when+", create")
	_, _ = h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Scopes: ptr(access.EventsRead)})
	h.agree(t, when+", update")
	_, err := h.ring.Revoke(t.Context(), h.one, rec.ID)
	h.agree(t, when+", revoke")
	return err == nil
}

// Promise: while the store is gone after a change whose outcome is not known, the key is refused if its rights were to
// change; nothing else can be changed; and when the store is back, the next change mends it.
func TestAKeyInDoubtIsRefused(t *testing.T) {
	t.Parallel()
	for _, how := range []failure{before, lostReply} {
		for name, c := range map[string]struct {
			change  func(*house, string) error
			refused bool
		}{
			"revoke": {func(h *house, id string) error { _, err := h.ring.Revoke(t.Context(), h.one, id); return err }, true},
			"narrow": {func(h *house, id string) error {
				_, err := h.ring.Update(t.Context(), h.one, id, keyring.Change{Scopes: ptr(access.EventsRead)})
				return err
			}, true},
			"label": {func(h *house, id string) error {
				_, err := h.ring.Update(t.Context(), h.one, id, keyring.Change{Label: new("x")})
				return err
			}, false},
		} {
			h := build(t, nil)
			rec, text := h.create(h.one, secretKey())
			bystander, other := h.create(h.one, secretKey())
			h.shelf.calls, h.shelf.fail = 0, func(call int) failure {
				if call == 1 && how == lostReply {
					return lostReply
				}
				return before
			}
			if err := c.change(h, rec.ID); problem.Of(err) != problem.Internal {
				t.Fatalf("%s: %v", name, err)
			}
			_, err := h.ask(text, access.ReadEvents, access.Attempt{})
			if doubted := how == lostReply; c.refused && doubted != (err != nil) || !c.refused && err != nil {
				t.Errorf("%s (%d): in doubt: %v", name, how, err)
			}
			if how == lostReply {
				_, err = h.ring.Revoke(t.Context(), h.one, bystander.ID)
				code(t, err, problem.Unavailable)
			}
			if _, err := h.ask(other, access.ReadEvents, access.Attempt{}); err != nil {
				t.Errorf("%s: another key is refused: %v", name, err)
			}
			h.shelf.fail = nil
			h.create(h.one, secretKey())
			h.agree(t, name)
		}
	}
}

// Promise: a caller who goes away in the middle of a revocation leaves store and snapshot in agreement.
func TestACancelledChangeIsSettled(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, _ := h.create(h.one, secretKey())
	ctx, cancel := context.WithCancel(t.Context())
	h.shelf.calls, h.shelf.fail = 0, func(call int) failure {
		if call == 1 {
			cancel() // after this the caller's context is of no use for asking again
			return lostReply
		}
		return none
	}
	if _, err := h.ring.Revoke(ctx, h.one, rec.ID); err == nil {
		t.Fatal("the reply was not lost")
	}
	h.agree(t, "cancelled")
	if key, _ := h.ring.Peek("prj_1", rec.ID); key.RevokedAt.IsZero() {
		t.Fatal("the store has revoked the key, and the snapshot has not")
	}
}
