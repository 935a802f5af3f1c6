package keyring_test

import (
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: how old the answers of a client may be is kept, holds from the change on and ends no token; it is from 5 to 1440
// minutes, or 0, and no key but a client has it.
func TestTheCacheMinutesOfAClient(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	parent, _ := h.create(h.one, secretKey())
	client, _ := h.client(parent.ID, keyring.New{})
	for _, c := range []struct {
		id      string
		minutes int
		right   bool
	}{
		{client.ID, 60, true}, {client.ID, 4, false}, {client.ID, 1441, false}, {client.ID, -5, false}, {client.ID, 5, true},
		{client.ID, 1440, true}, {client.ID, 0, true}, {parent.ID, 60, false}, {parent.ID, 0, true}, {client.ID, 15, true},
	} {
		rec, err := h.ring.Update(t.Context(), h.one, c.id, keyring.Change{CacheMinutes: &c.minutes})
		switch {
		case !c.right && (problem.Of(err) != problem.InvalidField || !strings.Contains(err.Error(), "cache_minutes")):
			t.Errorf("%+v: %v", c, err)
		case c.right && (err != nil || rec.CacheMinutes != c.minutes || rec.Epoch != client.Epoch):
			t.Errorf("%+v: %d, epoch %d, %v", c, rec.CacheMinutes, rec.Epoch, err)
		}
	}
	h.open()
	if key := h.basis(client.ID); key.AnswerAge().Minutes() != 15 {
		t.Errorf("after a restart it is %v", key.AnswerAge())
	}
	if _, _, err := h.ring.Create(t.Context(), h.one, keyring.New{Kind: access.Secret, Mode: access.Live, Scopes: access.EventsRead, Bounds: access.Bounds{CacheMinutes: 5}}); problem.Of(err) != problem.InvalidField {
		t.Errorf("made with a secret key: %v", err)
	}
}
