package api_test

import (
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/token"
)

// token makes a token of a client as it is now, and gives its text. edit may be nil.
func (w *world) token(t testing.TB, client string, edit func(*token.Request)) string {
	t.Helper()
	lookup, _ := access.LookupOf(client)
	e, found := w.ring.Lookup(lookup)
	if !found {
		t.Fatalf("there is no client %s", client)
	}
	own, key := e.Key, e.Key.Parent
	r := token.Request{Client: token.Client{
		ID: lookup, Generation: e.Generation, ClientEpoch: own.Epoch, KeyEpoch: key.Epoch,
		Own: token.Rights{Scopes: own.Scopes, Bounds: own.Bounds}, Key: token.Rights{Scopes: key.Scopes, Bounds: key.Bounds},
	}}
	if edit != nil {
		edit(&r)
	}
	made, err := w.issuer.Mint(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	w.secrets.addToken(made.Text.Reveal())
	return made.Text.Reveal()
}
