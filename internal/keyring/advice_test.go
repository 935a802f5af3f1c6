package keyring_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
)

// Promise: a secret key whose view waits for a value is advised about for as long as it has no client that could get a
// token with one, and the value is named; it is in the log too. Its clients are not advised about.
func TestAdviceAboutAnUnboundView(t *testing.T) {
	t.Parallel()
	config, log := logging(keyring.Config{})
	h := with(t, config)
	n := secretKey()
	n.Steward = "ada@example.com"
	n.View = viewOf(t, `{"events":{"where":[{"column":"properties.org","op":"=","value":"@{org}"}]}}`)
	advised := func(when, id string, want bool) {
		t.Helper()
		rec, err := h.ring.Get(t.Context(), h.one, id)
		list := h.ring.Advice(&rec)
		at := slices.IndexFunc(list, func(a keyring.Advice) bool { return a.Code == "unbound_view" })
		if err != nil || (at >= 0) != want || at >= 0 && !strings.Contains(list[at].Detail, "(org)") {
			t.Errorf("%s: advised %+v, %v", when, list, err)
		}
	}
	key, _ := h.create(h.one, n)
	advised("alone", key.ID, true)
	if err := h.ring.Remind(t.Context()); err != nil || !strings.Contains(log.String(), "unbound_view") {
		t.Errorf("logged %s, %v", log, err)
	}
	client, _ := h.client(key.ID, keyring.New{Bounds: access.Bounds{ExpiresAt: h.clock.now().Add(time.Hour)}})
	advised("with a client", key.ID, false)
	advised("the client", client.ID, false)
	h.clock.advance(time.Hour)
	advised("with one that has expired", key.ID, true)
	client, _ = h.client(key.ID, keyring.New{})
	advised("with another", key.ID, false)
	if _, err := h.ring.Revoke(t.Context(), h.one, client.ID, 0); err != nil {
		t.Fatal(err)
	}
	advised("with one that is revoked", key.ID, true)
	if _, err := h.ring.Revoke(t.Context(), h.one, key.ID, 0); err != nil {
		t.Fatal(err)
	}
	advised("revoked", key.ID, false)
	plain, _ := h.create(h.one, secretKey())
	advised("without a view", plain.ID, false)
}
