package token

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/view"
)

// Client is what is known of the client that a token is for, once it has proved who it is.
type Client struct {
	ID          access.Lookup
	Generation  int   // of the secret that it showed
	ClientEpoch int64 // of its policy
	KeyEpoch    int64 // of its parent key's
	Own         Rights
	Key         Rights // its parent key's
}

// Rights are what a token's are to stay within.
type Rights struct {
	Scopes access.Scopes
	Bounds access.Bounds
}

// Request is a token to be made.
type Request struct {
	Client     Client
	Scopes     access.Scopes // none: all that the client and its key both have
	Bounds     access.Bounds // what to narrow it to: environments, networks, domains, events, datasets, view; the rest must be zero
	Variables  Variables     // values for those of the client's and the key's views
	Lifetime   time.Duration // 0: the issuer's
	Embedded   bool          // it is for a page
	Thumbprint string        // of the key it is to be bound to (DPoP); empty: none
	Resource   string        // what it is for (RFC 8707); empty: the usual
}

// Variables are values for variables of views, by name, as JSON.
type Variables map[string]jsontext.Value

// Minted is a token that was made.
type Minted struct {
	Text      access.Text
	ID        string // jti
	ExpiresAt time.Time
	Lifetime  time.Duration // from now on
	Scopes    access.Scopes
	Type      string // Bearer or DPoP
}

// Mint makes a token. It ends when its client or its key does, if that is sooner. Nothing is stored.
func (i *Issuer) Mint(ctx context.Context, r Request) (Minted, error) {
	if err := ctx.Err(); err != nil {
		return Minted{}, err
	}
	now := i.cfg.Now()
	t, audience, err := i.draft(r, now)
	if err != nil {
		return Minted{}, err
	}
	key := i.keys.Load().current(now)
	switch {
	case i.cfg.Vault == nil:
		return Minted{}, problem.New(problem.Unavailable, "There is no master key, so access tokens cannot be signed. Use the key itself.")
	case key == nil:
		return Minted{}, problem.New(problem.Unavailable, "There is no signing key for access tokens yet.").After(time.Minute)
	case i.denied.Load().has("", t.Client, now.Unix()): // all of the client's are revoked, up to this second
		return Minted{}, problem.New(problem.Unavailable, "The client's tokens were all revoked just now.").After(time.Second)
	}
	var id [16]byte
	if _, err := io.ReadFull(i.cfg.Random, id[:]); err != nil {
		return Minted{}, fmt.Errorf("token: random bytes for an id: %w", err)
	}
	t.ID = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:])
	payload, err := writeClaims(&t, i.cfg.URL, audience, now)
	if err != nil {
		return Minted{}, problem.Wrap(err, problem.InvalidRequest, "What the token is narrowed to cannot be written: it must be UTF-8.")
	}
	text, err := key.sign(payload)
	if err != nil {
		return Minted{}, fmt.Errorf("token: sign: %w", err)
	}
	if len(text) > MaxLength {
		return Minted{}, problem.New(problem.InvalidRequest, "The token is narrowed to so many things that it would take %d bytes; at most %d are accepted.", len(text), MaxLength)
	}
	return Minted{access.SecretText(text), t.ID, t.Bounds.ExpiresAt, t.Bounds.ExpiresAt.Sub(now.Truncate(time.Second)), t.Scopes, Type(t.Thumbprint)}, nil
}

// draft is the token that a request asks for, without its id, and what it is for.
func (i *Issuer) draft(r Request, now time.Time) (t Token, audience string, err error) {
	audience = r.Resource
	if audience == "" {
		audience = i.cfg.Resources[0]
	}
	lifetime := r.Lifetime
	if lifetime == 0 {
		lifetime = i.cfg.Lifetime
	}
	switch {
	case !slices.Contains(i.cfg.Resources, audience):
		return t, "", problem.New(problem.InvalidTarget, "The resource is none of this server's.").At("resource", "must be one that the metadata of this server names")
	case lifetime < MinLifetime || lifetime > MaxLifetime:
		return t, "", problem.New(problem.InvalidRequest, "A token lives from %d to %d seconds.", int(MinLifetime.Seconds()), int(MaxLifetime.Seconds())).
			At("lifetime", "is out of range")
	case r.Thumbprint != "" && !isThumbprint(r.Thumbprint):
		return t, "", problem.New(problem.InvalidRequest, "The thumbprint is not a SHA-256 in base64url.").At("dpop_jkt", "is not a thumbprint")
	}
	scopes, err := r.scopes()
	if err != nil {
		return t, "", err
	}
	if err := r.narrow(); err != nil {
		return t, "", err
	}
	if r.Bounds.View, err = r.view(); err != nil {
		return t, "", err
	}
	t = Token{
		Client: r.Client.ID, Generation: r.Client.Generation, ClientEpoch: r.Client.ClientEpoch, KeyEpoch: r.Client.KeyEpoch,
		Scopes: scopes, Bounds: r.Bounds, Embedded: r.Embedded, Thumbprint: r.Thumbprint,
	}
	issued := now.Truncate(time.Second)
	t.Bounds.ExpiresAt = earliest(issued.Add(lifetime), r.Client.Own.Bounds.ExpiresAt, r.Client.Key.Bounds.ExpiresAt).UTC().Truncate(time.Second)
	if !t.Bounds.ExpiresAt.After(issued) {
		return t, "", problem.New(problem.InvalidGrant, "The client or its key has expired.")
	}
	return t, audience, nil
}

// scopes are those that the token gets: what is asked for, or else all there is.
func (r *Request) scopes() (access.Scopes, error) {
	have := r.Client.Own.Scopes & r.Client.Key.Scopes
	if r.Scopes == 0 {
		if have == 0 {
			return 0, problem.New(problem.InvalidScope, "The client and its key have no scope in common.").At("scope", "none can be granted")
		}
		return have, nil
	}
	if missing := r.Scopes &^ have; missing != 0 {
		return 0, problem.New(problem.InvalidScope, "The client, or its key, does not have: %s.", missing).At("scope", "is wider than the client's")
	}
	return r.Scopes, nil
}

// narrow checks that what the token is narrowed to is within what the client and its key have.
func (r *Request) narrow() error {
	b := &r.Bounds
	if b.Signature || !b.NotBefore.IsZero() || !b.ExpiresAt.IsZero() || b.Observe != 0 || b.Limits != (access.Limits{}) {
		return errors.New("token: a request for a token sets bounds that no token has")
	}
	for _, outer := range [...]*access.Bounds{&r.Client.Own.Bounds, &r.Client.Key.Bounds} {
		if wide := within(b, outer); wide != "" {
			return problem.New(problem.InvalidScope, "The token would reach further than its client or the client's key: %s.", wide).At(wide, "is wider than the client's")
		}
	}
	return nil
}

// view is what the token sees: nil when it is as the client and its key see. With variables it is all that they see, with
// the values in their place, so that it needs no other; what it is narrowed to besides must narrow that. Every variable needs
// a value, or the token could read nothing.
func (r *Request) view() (*access.View, error) {
	seen := r.Client.Own.Bounds.View.And(r.Client.Key.Bounds.View)
	if len(r.Variables) > 0 {
		var err error
		if seen, err = view.Bind(seen, r.Variables); err != nil {
			return nil, problem.Wrap(err, problem.InvalidRequest, "The variables do not fit: %s", problem.From(err).Detail).At("variables", "do not fit the view")
		}
	}
	if seen != nil && len(seen.Unbound) > 0 {
		missing := strings.Join(seen.Unbound, ", ")
		return nil, problem.New(problem.InvalidRequest, "What the client, or its key, sees depends on variables that need a value: %s.", missing).At("variables", "must have a value for "+missing)
	}
	narrowed := r.Bounds.View
	switch {
	case narrowed == nil && len(r.Variables) == 0:
		return nil, nil
	case narrowed == nil:
		narrowed = &access.View{Tables: seen.Tables} // everything that is seen
	}
	if len(narrowed.Unbound) > 0 {
		return nil, problem.New(problem.InvalidRequest, "What the token is narrowed to has variables: %s.", strings.Join(narrowed.Unbound, ", ")).At("view", "must have values, and no variables")
	}
	both := access.Bounds{View: seen.And(narrowed)}
	if len(both.View.Tables) == 0 {
		return nil, problem.New(problem.InvalidScope, "The token would see nothing: its client, or the client's key, sees none of the tables.").At("view", "lets nothing be seen")
	}
	if both.Exceeds(&access.Bounds{View: seen}) != "" {
		return nil, problem.New(problem.InvalidScope, "The token's view asks about what its client, or the client's key, does not see.").At("view", "is wider than the client's")
	}
	return both.View, nil
}

// within names the first way in which a token narrowed to inner would reach further than outer: empty when it would not.
// What inner leaves open is as outer has it.
func within(inner, outer *access.Bounds) string {
	b := *outer
	take := func(from, to *[]string) {
		if len(*from) > 0 {
			*to = *from
		}
	}
	take(&inner.Environments, &b.Environments)
	take(&inner.Events, &b.Events)
	if len(inner.Networks) > 0 {
		b.Networks = inner.Networks
	}
	if len(inner.Domains) > 0 {
		b.Domains = inner.Domains
	}
	if inner.Datasets != nil {
		b.Datasets = inner.Datasets
	}
	return b.Exceeds(outer)
}

// earliest is the first of some times; those that are zero do not count.
func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}
