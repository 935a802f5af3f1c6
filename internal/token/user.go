package token

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/problem"
)

// User tokens are signed as access tokens are, by the same keys, and say something else: who somebody is, and nothing of
// what they may do. Their type keeps the two apart. One dies with the secret of the key that made it, and when that is
// narrowed.

// userTokenType is the typ of a user token.
const userTokenType = "ut+jwt"

// userClaims are those of a user token.
type userClaims struct {
	Issuer      string `json:"iss"`
	Subject     string `json:"sub"` // the distinct id
	Audience    string `json:"aud"`
	Key         string `json:"azp"` // that made it
	Expires     int64  `json:"exp"`
	Issued      int64  `json:"iat"`
	ID          string `json:"jti"`
	Generation  int    `json:"gen"`
	Epoch       int64  `json:"key_epoch"`
	Environment string `json:"environment"`
}

// MintUser makes a user token that lives for a while; 0 is the issuer's usual lifetime. Nothing is stored.
func (i *Issuer) MintUser(ctx context.Context, t gate.UserToken, lifetime time.Duration) (Minted, error) {
	if err := ctx.Err(); err != nil {
		return Minted{}, err
	}
	now := i.cfg.Now()
	if lifetime == 0 {
		lifetime = i.cfg.Lifetime
	}
	key := i.keys.Load().current(now)
	switch {
	case lifetime < MinLifetime || lifetime > MaxLifetime:
		return Minted{}, problem.Invalid("lifetime", "must be %d to %d seconds", int(MinLifetime.Seconds()), int(MaxLifetime.Seconds()))
	case i.cfg.Vault == nil:
		return Minted{}, problem.New(problem.Unavailable, "There is no master key, so user tokens cannot be signed.")
	case key == nil:
		return Minted{}, problem.New(problem.Unavailable, "There is no signing key for tokens yet.").After(time.Minute)
	}
	var id [16]byte
	if _, err := io.ReadFull(i.cfg.Random, id[:]); err != nil {
		return Minted{}, fmt.Errorf("token: random bytes for an id: %w", err)
	}
	issued := now.Truncate(time.Second)
	expires := issued.Add(lifetime).UTC()
	name := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:])
	payload, err := json.Marshal(userClaims{
		Issuer: i.cfg.URL, Subject: t.DistinctID, Audience: i.cfg.Resources[0], Key: t.Key.ID(), Expires: expires.Unix(), Issued: issued.Unix(), ID: name,
		Generation: t.Generation, Epoch: t.Epoch, Environment: t.Environment,
	})
	if err != nil {
		return Minted{}, problem.Wrap(err, problem.InvalidRequest, "The id cannot be written: it must be UTF-8.")
	}
	text, err := key.signUser(payload)
	if err != nil {
		return Minted{}, fmt.Errorf("token: sign: %w", err)
	}
	return Minted{Text: access.SecretText(text), ID: name, ExpiresAt: expires, Lifetime: lifetime}, nil
}

// OpenUser finds out whether a text is a user token that was made here and is good at a time. It implements gate.Tokens.
// Whether the key that made it still stands behind it is for the gate.
func (i *Issuer) OpenUser(text string, at time.Time) (gate.UserToken, bool) {
	t, err := i.readUser(text, at)
	return t, err == nil
}

func (i *Issuer) readUser(text string, at time.Time) (t gate.UserToken, err error) {
	c, err := readCompact(text, MaxLength)
	if err != nil {
		return t, err
	}
	var h header
	if err := readJSON(c.header, &h); err != nil {
		return t, err
	}
	if h.Algorithm != string(jose.EdDSA) || h.Type != userTokenType {
		return t, errors.New("it is not a user token")
	}
	key := i.keys.Load().verifying(h.KeyID, at)
	if key == nil {
		return t, errors.New("there is no such signing key")
	}
	payload, err := c.verify(jose.EdDSA, key.public)
	if err != nil {
		return t, err
	}
	var claims userClaims
	if err := readJSON(payload, &claims); err != nil {
		return t, err
	}
	lookup, ok := access.LookupOf(claims.Key)
	issued, expires := time.Unix(claims.Issued, 0), time.Unix(claims.Expires, 0).UTC()
	switch {
	case !ok || claims.Subject == "" || claims.ID == "" || claims.Environment == "" || claims.Generation < 0:
		return t, errors.New("a claim is missing or makes no sense")
	case claims.Issuer != i.cfg.URL || !slices.Contains(i.cfg.Resources, claims.Audience):
		return t, errors.New("it is from or for another server")
	case !at.Before(expires) || issued.After(at.Add(maxAhead)) || expires.Sub(issued) > MaxLifetime:
		return t, errors.New("it has expired, was issued later than now, or for too long")
	}
	return gate.UserToken{
		ID: claims.ID, Key: lookup, Generation: claims.Generation, Epoch: claims.Epoch, Environment: claims.Environment, DistinctID: claims.Subject,
		ExpiresAt: expires,
	}, nil
}
