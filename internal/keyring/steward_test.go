package keyring_test

import (
	"encoding/json"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: when somebody leaves, all their keys can be listed and handed over, revoked ones too, page by page, each with
// an entry in the audit; nobody else's is touched, and what the keys may do does not change.
func TestHandOver(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	mine := map[string]access.Text{}
	const count = keyring.MaxHandOver + 7
	var revoked string
	for range count {
		rec, text := h.create(h.one, secretKey())
		mine[rec.ID], revoked = text, rec.ID
	}
	if _, err := h.ring.Revoke(t.Context(), h.one, revoked, 0); err != nil {
		t.Fatal(err)
	}
	n := secretKey()
	n.Steward = "Ada@example.com"
	other, _ := h.create(h.one, n)
	foreign, _ := h.create(h.two, secretKey())
	first, more, err := h.ring.HandOver(t.Context(), h.one, "ada@example.com", "ben@example.com")
	if err != nil || !more || len(first) != keyring.MaxHandOver {
		t.Fatalf("%d at first, more %v, %v", len(first), more, err)
	}
	second, more, err := h.ring.HandOver(t.Context(), h.one, "ada@example.com", "ben@example.com")
	if err != nil || more || len(second) != 7 {
		t.Fatalf("%d then, more %v, %v", len(second), more, err)
	}
	for _, rec := range append(first, second...) {
		text, ok := mine[rec.ID]
		if !ok || rec.Steward != "ben@example.com" || h.shelf.key(rec.ID).Steward != "ben@example.com" {
			t.Errorf("handed over %+v", rec)
		}
		delete(mine, rec.ID)
		actions := h.shelf.audited(rec.ID)
		if actions[len(actions)-1] != "key.hand_over" || int64(len(actions)) != rec.Revision {
			t.Errorf("%s of revision %d: audited %v", rec.ID, rec.Revision, actions)
		}
		if h.works(text) == (rec.ID == revoked) {
			t.Errorf("%s works: %v", rec.ID, h.works(text))
		}
	}
	if len(mine) != 0 || h.shelf.key(other.ID).Revision != 1 || h.shelf.key(foreign.ID).Revision != 1 {
		t.Errorf("%d were left, or another was touched", len(mine))
	}
	var before, after struct{ Steward string }
	last := h.shelf.entries[len(h.shelf.entries)-1]
	if json.Unmarshal(last.Before, &before) != nil || json.Unmarshal(last.After, &after) != nil || before.Steward != "ada@example.com" || after.Steward != "ben@example.com" {
		t.Errorf("audited from %s to %s", last.Before, last.After)
	}
	h.agree(t, "handed over")
}

// Promise: a hand-over that cannot be is refused with the field named; one that the store fails in is told with what was
// done, leaves every key either handed over or not, and can be repeated. Who edits a key meanwhile is told so.
func TestHandOverIsRefusedOrRepeated(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	for from, to := range map[string]string{"": "x", "same": "same", "x": "a\x00"} {
		_, _, err := h.ring.HandOver(t.Context(), h.one, from, to)
		code(t, err, problem.InvalidField)
	}
	for _, how := range []failure{before, lostReply} {
		for n := 1; n <= 5; n++ {
			h := build(t, nil)
			var texts []access.Text
			for range 4 {
				_, text := h.create(h.one, secretKey())
				texts = append(texts, text)
			}
			h.shelf.failing(func(call int) failure {
				if call == n {
					return how
				}
				return none
			})
			done, more, err := h.ring.HandOver(t.Context(), h.one, "ada@example.com", "ben@example.com")
			if err == nil || n > 1 && (!more || len(done) != n-2) {
				t.Errorf("call %d fails (%d): %d done, more %v, %v", n, how, len(done), more, err)
			}
			for _, text := range texts {
				if !h.works(text) {
					t.Errorf("call %d fails (%d): a key is refused", n, how)
				}
			}
			rest, more, err := h.ring.HandOver(t.Context(), h.one, "ada@example.com", "ben@example.com")
			want := 4 - len(done)
			if how == lostReply && n > 1 {
				want--
			}
			if err != nil || more || len(rest) != want {
				t.Errorf("call %d fails (%d): repeated: %d, want %d, %v", n, how, len(rest), want, err)
			}
		}
	}
	rec, _ := h.create(h.one, secretKey())
	if _, _, err := h.ring.HandOver(t.Context(), h.one, "ada@example.com", ""); err != nil {
		t.Fatal(err)
	}
	_, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Label: new("mine"), Revision: rec.Revision})
	code(t, err, problem.PreconditionFailed)
}

// Promise: a test key hands over keys of test mode only.
func TestATestKeyHandsOverTestKeys(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	live, _ := h.create(h.one, secretKey())
	n := secretKey()
	n.Mode, n.Scopes = access.Test, access.KeysWrite
	rec, text := h.create(h.one, n)
	keys, more, err := h.ring.HandOver(t.Context(), h.permit(text), "ada@example.com", "ben@example.com")
	if err != nil || more || len(keys) != 1 || keys[0].ID != rec.ID || h.shelf.key(live.ID).Steward != "ada@example.com" {
		t.Errorf("handed over %+v, %v", keys, err)
	}
}
