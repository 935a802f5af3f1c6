package api_test

import (
	"fmt"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
)

// tokens is a gate.Tokens in memory, whose tokens look like those that the program makes.
type tokens struct {
	mu   sync.Mutex
	made map[string]gate.Token
}

// Open finds a token, as gate.Tokens says.
func (k *tokens) Open(text string, at time.Time) (gate.Token, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, found := k.made[text]
	return t, found && at.Before(t.Bounds.ExpiresAt)
}

// of makes a token of a client as it is now, and gives its text. edit may be nil.
func (k *tokens) of(ring *keyring.Ring, client string, now time.Time, edit func(*gate.Token)) string {
	lookup, _ := access.LookupOf(client)
	e, _ := ring.Lookup(lookup)
	t := gate.Token{
		Client: lookup, Generation: e.Generation, ClientEpoch: e.Key.Epoch, KeyEpoch: e.Key.Parent.Epoch, Scopes: e.Key.Effective(),
		Bounds: access.Bounds{ExpiresAt: now.Add(15 * time.Minute)},
	}
	if edit != nil {
		edit(&t)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	text := fmt.Sprintf("eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiJ0b2tlbi0%d.c2lnbmF0dXJl", len(k.made))
	if k.made == nil {
		k.made = map[string]gate.Token{}
	}
	k.made[text] = t
	return text
}
