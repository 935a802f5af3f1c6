// Package token owns short-lived access tokens: signing them, opening them, revoking single ones, and the keys that they
// are signed with.
//
//	client's facts --Mint--> text --Open--> Token --> gate
//	                                 ^
//	             signing keys, deny list --- Store
//
// A token is a JWT by RFC 9068, signed with Ed25519 (EdDSA), that says all that is needed to decide on it: the client it
// was issued to, the generation of the secret that was exchanged and the epochs of the client's and its key's policy then,
// its scopes, and what it was narrowed to. It hands on nothing: the gate asks the client and its key as they are when the
// token is used, and a token of another generation or epoch is dead at once. Narrowing is by environments, networks,
// domains, events, datasets and a view; what a token leaves open is as its client has it. With values for the variables of
// its client's and key's views it carries all that they see, with the values in place. Limits are the client's, always.
//
// Signing keys are made here, kept in the Store sealed under the master key, and changed on a schedule: the next one is
// published for a day before it signs, and the one before stays until the last token by it has expired. A key that cannot
// be opened neither signs nor verifies. Without a master key there are no tokens: Mint answers unavailable, and Open finds
// none.
//
// Revoked tokens are in a list in memory, which is read from the Store before the first token is opened, and written to it
// before Revoke returns. The list is bounded: what has expired leaves it, and a client that revokes very many loses every
// token it had until then instead. As with keys, one process has the Store to itself.
//
// The package also reads, as pure functions, what clients prove themselves with: assertions (private_key_jwt, RFC 7523) and
// proofs of possession (DPoP, RFC 9449), each good once; and it makes the documents that clients find all of this by
// (RFC 7517, 8414, 9728).
//
// It does not own what a token may do when it is used (access, asked by gate), what a view means (view), the secrets and
// public keys of clients (keyring), the routes and the bodies of OAuth's errors (api), nor how signing keys and revocations
// are kept (it declares Store).
//
// Problems: invalid_request, invalid_scope, invalid_target, invalid_grant, invalid_client, invalid_dpop_proof, unavailable.
package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-analytics/weir/internal/gate"
)

// The bounds of a token.
const (
	DefaultLifetime = 15 * time.Minute
	MinLifetime     = time.Minute
	MaxLifetime     = time.Hour
	MaxLength       = 8 << 10 // bytes of its text
)

// Token is what an access token says, when it is genuine. It always expires; what of its bounds is empty is as its client
// has it.
type Token = gate.Token

var _ gate.Tokens = (*Issuer)(nil)

// Store keeps signing keys and revocations. Times are kept to the microsecond and come back in UTC. A call that fails may
// or may not have had its effect.
type Store interface {
	// SigningKeys lists all of them, by number.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// InsertSigningKey stores a new key. The error is ErrTaken when there is one of its number.
	InsertSigningKey(ctx context.Context, key SigningKey) error
	// ResealSigningKey puts another sealed text of the same key in the place of the one it had, if it is still that.
	ResealSigningKey(ctx context.Context, number int64, from, to string) error
	// Revocations lists all of them, in no order.
	Revocations(ctx context.Context) ([]Revocation, error)
	// Revoke stores a revocation. Of two of the same client and id, the later in each respect is kept. One of all of a
	// client's tokens takes the place of those of single ones.
	Revoke(ctx context.Context, r Revocation) error
	// Trim removes revocations that have expired at a time, and the signing keys with numbers.
	Trim(ctx context.Context, expired time.Time, numbers []int64) error
}

// ErrTaken is the error of a Store that has a signing key of the number.
var ErrTaken = errors.New("token: there is a signing key of that number")

// Vault encrypts signing keys. about binds a text to its place, so that it cannot be read in another.
type Vault interface {
	Seal(plain []byte, about string) (string, error)
	Open(sealed, about string) ([]byte, error)
	Stale(sealed string) bool // it should be sealed anew, under the present master key
}

// Config is what an issuer needs of the world.
type Config struct {
	Now    func() time.Time // the clock; required
	URL    string           // the issuer identifier: an absolute URL without query, fragment and final slash; required
	Random io.Reader        // where keys and ids come from; nil: crypto/rand
	Vault  Vault            // nil: there are no tokens
	Log    *slog.Logger     // nil: nothing is logged
	// Resources are what tokens may be for, as the parameter resource of RFC 8707 names it, the usual one first; empty: URL.
	Resources []string
	Lifetime  time.Duration // of a token whose request names none, from MinLifetime to MaxLifetime; 0: DefaultLifetime
	KeyLife   time.Duration // how long a key signs; 0: 30 days
	Publish   time.Duration // how long a key is published before it signs; 0: 24 hours
}

// The schedule of signing keys, when none is given.
const (
	DefaultKeyLife = 30 * 24 * time.Hour
	DefaultPublish = 24 * time.Hour
)

// Issuer signs tokens and opens them. Its methods may be called from many goroutines.
type Issuer struct {
	store  Store
	cfg    Config
	keys   atomic.Pointer[keyset]
	denied atomic.Pointer[denied]
	known  known

	changing turn // of whoever changes the store, the keys or the deny list
	unstored map[revokedID]Revocation
}

// turn is a lock that one can stop waiting for.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// Open loads the signing keys and the deny list, and makes the first key. It fails when the store does: tokens whose
// revocation cannot be known are not accepted.
func Open(ctx context.Context, store Store, cfg Config) (*Issuer, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	i := &Issuer{store: store, cfg: cfg, changing: make(turn, 1), unstored: map[revokedID]Revocation{}}
	i.keys.Store(&keyset{})
	if err := i.loadRevocations(ctx); err != nil {
		return nil, err
	}
	if cfg.Vault == nil {
		cfg.Log.Warn("there is no master key: access tokens are neither issued nor accepted")
		return i, nil
	}
	return i, i.rotate(ctx)
}

func (c *Config) complete() error {
	if c.Now == nil {
		return errors.New("token: the config has no clock")
	}
	for _, text := range append([]string{c.URL}, c.Resources...) {
		if err := checkURL(text); err != nil {
			return fmt.Errorf("token: %q %w", text, err)
		}
	}
	c.Resources = slices.Clone(c.Resources)
	if len(c.Resources) == 0 {
		c.Resources = []string{c.URL}
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Lifetime == 0 {
		c.Lifetime = DefaultLifetime
	}
	if c.Lifetime < MinLifetime || c.Lifetime > MaxLifetime {
		return errors.New("token: the lifetime of tokens is out of range")
	}
	if c.KeyLife == 0 {
		c.KeyLife = DefaultKeyLife
	}
	if c.Publish == 0 {
		c.Publish = DefaultPublish
	}
	if c.Publish < 0 || c.KeyLife < c.Publish+MaxLifetime {
		return errors.New("token: a signing key must sign for an hour longer than the next one is published before it signs")
	}
	return nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "" || u.User != nil:
		return errors.New("is no absolute http or https URL")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || text[len(text)-1] == '/' || text[len(text)-1] == '#':
		return errors.New("has a query, a fragment or a slash at its end")
	}
	return nil
}

// How often Run looks whether there is something to do, and how often it removes from the store what is over.
const (
	lookEvery = time.Minute
	trimEvery = time.Hour
)

// Run changes signing keys when it is time, stores revocations that the store did not take, and forgets what has expired,
// until ctx is done. Issuing and opening tokens do not need it before the present key has signed for its time.
func (i *Issuer) Run(ctx context.Context) {
	look, trim := time.NewTicker(lookEvery), time.NewTicker(trimEvery)
	defer look.Stop()
	defer trim.Stop()
	for {
		select {
		case <-look.C:
			i.look(ctx)
		case <-trim.C:
			i.trim(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (i *Issuer) look(ctx context.Context) {
	i.forget(ctx)
	if i.cfg.Vault == nil {
		return
	}
	if err := i.rotate(ctx); err != nil && ctx.Err() == nil {
		i.cfg.Log.Error("signing keys cannot be looked after: the present ones stay", "error", err)
	}
}

// trim removes from the store what has expired for a while.
func (i *Issuer) trim(ctx context.Context) {
	if i.changing.take(ctx) != nil {
		return
	}
	defer i.changing.give()
	now := i.cfg.Now()
	if err := i.store.Trim(ctx, now, i.keys.Load().over(now)); err != nil && ctx.Err() == nil {
		i.cfg.Log.Error("expired revocations and signing keys cannot be removed", "error", err)
	}
}
