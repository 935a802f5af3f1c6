package token

import (
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/weir-analytics/weir/internal/access"
)

// header is that of an access token: these members and no others, so neither crit nor b64 nor a key that it brings along.
type header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

// maxAhead is how far in the future a token may have been issued: by another program whose clock is ahead.
const maxAhead = time.Minute

// Open finds out whether a text is a token that was issued here and is good at a time: genuine, not expired and not revoked.
// It implements gate.Tokens. Whether the client and its key still stand behind it is for the gate.
//
// The work is always in the same order, and the signature is checked before anything of the claims is read. Nothing tells
// why a text is not accepted. The token's lists are shared and must not be changed.
func (i *Issuer) Open(text string, at time.Time) (t Token, found bool) {
	t, _, err := i.read(text, at)
	if err != nil {
		return Token{}, false
	}
	return t, true
}

func (i *Issuer) read(text string, at time.Time) (Token, claims, error) {
	g, err := i.genuine(text, at)
	if err != nil {
		return Token{}, claims{}, err
	}
	issued := time.Unix(g.claims.Issued, 0)
	switch {
	case g.claims.Issuer != i.cfg.URL || !slices.Contains(i.cfg.Resources, g.claims.Audience):
		return Token{}, claims{}, errors.New("it is from or for another server")
	case !at.Before(g.token.Bounds.ExpiresAt):
		return Token{}, claims{}, errors.New("it has expired")
	case issued.After(at.Add(maxAhead)) || g.token.Bounds.ExpiresAt.Sub(issued) > MaxLifetime:
		return Token{}, claims{}, errors.New("it was issued later than now, or for too long")
	case i.denied.Load().has(g.token.ID, g.token.Client, g.claims.Issued):
		return Token{}, claims{}, errors.New("it is revoked")
	}
	return g.token, g.claims, nil
}

// genuine finds out whether a text is a token that was signed here, with a key that there still is.
func (i *Issuer) genuine(text string, at time.Time) (*genuine, error) {
	if len(text) > MaxLength {
		return nil, errors.New("it is too long")
	}
	digest := sha256.Sum256([]byte(text))
	if g := i.known.get(digest); g != nil && i.keys.Load().verifying(g.keyID, at) != nil {
		return g, nil
	}
	c, err := readCompact(text, MaxLength)
	if err != nil {
		return nil, err
	}
	var h header
	if err := readJSON(c.header, &h); err != nil {
		return nil, err
	}
	if h.Algorithm != string(jose.EdDSA) || h.Type != tokenType {
		return nil, errors.New("it is not an access token")
	}
	key := i.keys.Load().verifying(h.KeyID, at)
	if key == nil {
		return nil, errors.New("there is no such signing key")
	}
	payload, err := c.verify(jose.EdDSA, key.public)
	if err != nil {
		return nil, err
	}
	g := &genuine{keyID: h.KeyID}
	if g.claims, g.token, err = readClaims(payload); err != nil {
		return nil, err
	}
	i.known.put(digest, g)
	return g, nil
}

// Introspection is the answer of RFC 7662. The zero Introspection is that of a token that is not good, whatever the reason.
type Introspection struct {
	Active    bool          `json:"active"`
	Scope     string        `json:"scope,omitempty"`
	ClientID  string        `json:"client_id,omitempty"`
	TokenType string        `json:"token_type,omitempty"`
	Expires   int64         `json:"exp,omitzero"`
	Issued    int64         `json:"iat,omitzero"`
	Subject   string        `json:"sub,omitempty"`
	Audience  string        `json:"aud,omitempty"`
	Issuer    string        `json:"iss,omitempty"`
	ID        string        `json:"jti,omitempty"`
	Confirm   *confirmation `json:"cnf,omitempty"`
}

// The types of tokens (RFC 6750, RFC 9449).
const (
	BearerType = "Bearer"
	DPoPType   = "DPoP"
)

// Type is how a token that is bound to a key, or is not, is to be sent.
func Type(thumbprint string) string {
	if thumbprint != "" {
		return DPoPType
	}
	return BearerType
}

// Introspect describes a token that is good, and whose it is. Whoever answers must see to it that the client still stands
// behind it, and that whoever asks may know.
func (i *Issuer) Introspect(text string, at time.Time) (Introspection, access.Lookup) {
	t, c, err := i.read(text, at)
	if err != nil {
		return Introspection{}, access.Lookup{}
	}
	return Introspection{
		Active: true, Scope: c.Scope, ClientID: c.ClientID, TokenType: Type(t.Thumbprint), Expires: c.Expires, Issued: c.Issued,
		Subject: c.Subject, Audience: c.Audience, Issuer: c.Issuer, ID: c.ID, Confirm: c.Confirm,
	}, t.Client
}
