package gate

import (
	"strings"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// Tokens reads access tokens. found is false for what is no token of ours, has expired, or was revoked by itself; what
// became of its client and their key the gate finds out. It is asked up to twice for a request, and again while a long
// answer is under way.
type Tokens interface {
	Open(text string, at time.Time) (t Token, found bool)
	// OpenUser reads a user token; found is false as for Open.
	OpenUser(text string, at time.Time) (t UserToken, found bool)
}

// Token is what an access token says. What it says of its narrowing can only take away from what its client may do.
type Token struct {
	ID          string        // its own name, jti
	Client      access.Lookup // of the client, or the member, that it was made for
	Generation  int           // of the client's secret that was exchanged
	ClientEpoch int64         // what the client and their key were in when it was made
	KeyEpoch    int64
	Scopes      access.Scopes // what it was narrowed to
	Bounds      access.Bounds // what it was narrowed to; one that does not expire is refused. Limits, and what is only observed, are not a token's
	Embedded    bool          // it may come from a page, where its project lets tokens
	Thumbprint  string        // of the key that must sign a DPoP proof of each request (RFC 9449); empty: none
}

// looksLikeToken reports whether a text has the three parts of a JWT. No key has a dot.
func looksLikeToken(text string) bool { return strings.Count(text, ".") == 2 }

// findToken reads the caller's token and looks its client up. The reason is empty when both are there, and the caller is
// whole.
func (g *Gate) findToken(caller *Caller) (reason string) {
	t, found := g.tokens.Open(caller.credential.Key.Reveal(), g.now())
	if !found {
		return unknownToken
	}
	caller.token, caller.lookup = &t, t.Client
	entry, found := g.keys.Lookup(t.Client)
	if !found || !signs(entry.Key.Kind) || t.Bounds.ExpiresAt.IsZero() || t.Thumbprint != caller.credential.Proof {
		return unknownToken
	}
	secret, known := entry.secret(t.Generation)
	if !known {
		return unknownToken
	}
	caller.generation = t.Generation
	caller.shown(&secret)
	caller.entry = Entry{Key: t.key(entry.Key), Generation: entry.Generation, Former: entry.Former}
	return ""
}

// key is the token as the policy sees it, under its client as that is now.
func (t *Token) key(client *access.Key) *access.Key {
	bounds := t.Bounds
	bounds.Observe, bounds.Limits = 0, access.Limits{}
	return &access.Key{
		ID: client.ID, Parent: client, Project: client.Project, Kind: access.Token, Mode: client.Mode, Scopes: t.Scopes & client.Effective(),
		Bounds: bounds, MintedAt: client.MintedAt, ClientEpoch: t.ClientEpoch, KeyEpoch: t.KeyEpoch, Embedded: t.Embedded, TokenID: t.ID,
	}
}
