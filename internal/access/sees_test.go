package access_test

import (
	"testing"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: a token that carries no values sees what its client and their key both see, also when the key's view has variables
// and the client's has none: nobody's view is passed over, and reading waits for the values.
func TestNoViewIsPassedOver(t *testing.T) {
	t.Parallel()
	atom := func(text string) access.ViewTable {
		return access.ViewTable{Name: "events", Atoms: []access.Atom{{Does: access.Where, Name: "a", Text: text}}}
	}
	open := &access.View{Tables: []access.ViewTable{atom("a = @{org}")}, Unbound: []string{"org"}}
	closed := &access.View{Tables: []access.ViewTable{atom("a = 1")}}
	own := &access.View{Tables: []access.ViewTable{atom("a = 'one'")}}
	for name, c := range map[string]struct{ token, client, key, want *access.View }{
		"none":                            {},
		"the key's":                       {key: open, want: open},
		"the client's":                    {client: closed, want: closed},
		"the key's waits":                 {client: closed, key: open, want: open.And(closed)},
		"the client's waits":              {client: open, key: closed, want: open.And(closed)},
		"values for the key's":            {token: own, key: open, want: own},
		"values, and what needs none too": {token: own, client: closed, key: open, want: own.And(closed)},
	} {
		key := &access.Key{Kind: access.Secret, Bounds: access.Bounds{View: c.key}}
		client := &access.Key{Kind: access.Client, Parent: key, Bounds: access.Bounds{View: c.client}}
		token := &access.Key{Kind: access.Token, Parent: client, Bounds: access.Bounds{View: c.token}}
		if got := token.Sees(); !got.Same(c.want) {
			t.Errorf("%s: it sees %+v, want %+v", name, got, c.want)
		}
	}
}
