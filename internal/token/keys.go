package token

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// SigningKey is a key as it is kept. Its private part is sealed under the master key.
type SigningKey struct {
	Number    int64  // counts the keys, from 1
	ID        string // kid: the thumbprint of its public part (RFC 7638)
	Sealed    string
	CreatedAt time.Time
	From      time.Time // it signs from then on, until a later one does
}

func aboutKey(id string) string { return "token/" + id }

// keyset is the keys there are at one moment. It never changes once it is published.
type keyset struct {
	signing []signingKey // those that could be opened, by the time from which they sign
	byID    map[string]*signingKey
	ended   map[int64]time.Time // when the last token by a key expires; keys that are not replaced are not in it
}

// signingKey is a key that could be opened. The private part is within sign, where nothing prints it.
type signingKey struct {
	id       string
	number   int64
	public   ed25519.PublicKey
	from     time.Time
	end      time.Time // zero: it is not replaced
	sign     func(payload []byte) (string, error)
	signUser func(payload []byte) (string, error)
}

// current is the key that signs at a time; nil when there is none.
func (s *keyset) current(at time.Time) *signingKey {
	for i := len(s.signing) - 1; i >= 0; i-- {
		if !s.signing[i].from.After(at) {
			return &s.signing[i]
		}
	}
	return nil
}

// verifying is the key of an id, as long as there may be tokens by it.
func (s *keyset) verifying(id string, at time.Time) *signingKey {
	k := s.byID[id]
	if k == nil || !k.end.IsZero() && !at.Before(k.end) {
		return nil
	}
	return k
}

// over are the numbers of the keys by which there are no more tokens.
func (s *keyset) over(at time.Time) []int64 {
	numbers := []int64{}
	for number, end := range s.ended {
		if !at.Before(end) {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// open makes a keyset of the keys as they are kept.
func (i *Issuer) open(list []SigningKey) *keyset {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b SigningKey) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Number, b.Number))
	})
	s := &keyset{byID: map[string]*signingKey{}, ended: map[int64]time.Time{}}
	var next time.Time // from when on a later key signs
	for _, stored := range slices.Backward(list) {
		k, err := i.openKey(stored)
		if !next.IsZero() {
			k.end = next.Add(MaxLifetime)
			s.ended[stored.Number] = k.end
		}
		if err != nil {
			i.cfg.Log.Error("a signing key cannot be opened: its tokens are refused", "kid", stored.ID, "error", err)
			continue
		}
		s.signing, next = append(s.signing, k), k.from
	}
	slices.Reverse(s.signing)
	for n := range s.signing {
		s.byID[s.signing[n].id] = &s.signing[n]
	}
	return s
}

func (i *Issuer) openKey(stored SigningKey) (signingKey, error) {
	seed, err := i.cfg.Vault.Open(stored.Sealed, aboutKey(stored.ID))
	if err != nil {
		return signingKey{}, err
	}
	defer clear(seed)
	if len(seed) != ed25519.SeedSize {
		return signingKey{}, errors.New("it has another length")
	}
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	id, err := thumbprint(public)
	if err != nil || id != stored.ID {
		return signingKey{}, errors.Join(errors.New("it is another key than its name says"), err)
	}
	sign, err := signerOf(private, id, tokenType)
	if err != nil {
		return signingKey{}, err
	}
	signUser, err := signerOf(private, id, userTokenType)
	return signingKey{id: id, number: stored.Number, public: public, from: stored.From, sign: sign, signUser: signUser}, err
}

// signerOf signs payloads of one type.
func signerOf(private ed25519.PrivateKey, id string, kind jose.ContentType) (func(payload []byte) (string, error), error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: id}}, (&jose.SignerOptions{}).WithType(kind))
	if err != nil {
		return nil, err
	}
	return func(payload []byte) (string, error) {
		signed, err := signer.Sign(payload)
		if err != nil {
			return "", err
		}
		return signed.CompactSerialize()
	}, nil
}

// thumbprint names a public key by RFC 7638, with SHA-256.
func thumbprint(public any) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// rotate reads the keys, and makes the next one when it is time.
func (i *Issuer) rotate(ctx context.Context) error {
	if err := i.changing.take(ctx); err != nil {
		return err
	}
	defer i.changing.give()
	now := i.cfg.Now()
	if s := i.keys.Load(); s.current(now) != nil && now.Before(i.nextAt(s)) {
		return nil
	}
	for range 2 { // another may make the same key at the same time
		list, err := i.store.SigningKeys(ctx)
		if err != nil {
			return fmt.Errorf("token: read signing keys: %w", err)
		}
		s := i.open(list)
		i.keys.Store(s)
		from, due := i.due(s, now)
		if !due {
			return nil
		}
		key, err := i.newKey(list, now, from)
		if err != nil {
			return err
		}
		if err := i.store.InsertSigningKey(ctx, key); errors.Is(err, ErrTaken) {
			continue
		} else if err != nil {
			return fmt.Errorf("token: store a signing key: %w", err)
		}
		i.keys.Store(i.open(append(list, key)))
		level := slog.LevelInfo
		if len(list) == 0 {
			level = slog.LevelDebug // that there is a first one is no news
		}
		i.cfg.Log.Log(ctx, level, "there is a new signing key for access tokens", "kid", key.ID, "from", key.From)
		return nil
	}
	return errors.New("token: others make signing keys all the time")
}

// nextAt is when the key after the last one is to be made.
func (i *Issuer) nextAt(s *keyset) time.Time {
	return s.signing[len(s.signing)-1].from.Add(i.cfg.KeyLife - i.cfg.Publish)
}

// due reports whether a key is to be made, and from when on it signs. When there is none that can sign, that is at once.
func (i *Issuer) due(s *keyset, now time.Time) (from time.Time, due bool) {
	if s.current(now) == nil {
		return now, true
	}
	if now.Before(i.nextAt(s)) {
		return time.Time{}, false
	}
	from = s.signing[len(s.signing)-1].from.Add(i.cfg.KeyLife)
	if soonest := now.Add(i.cfg.Publish); from.Before(soonest) {
		from = soonest
	}
	return from, true
}

func (i *Issuer) newKey(before []SigningKey, now, from time.Time) (SigningKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	defer clear(seed)
	if _, err := io.ReadFull(i.cfg.Random, seed); err != nil {
		return SigningKey{}, fmt.Errorf("token: random bytes for a signing key: %w", err)
	}
	id, err := thumbprint(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		return SigningKey{}, fmt.Errorf("token: name a signing key: %w", err)
	}
	sealed, err := i.cfg.Vault.Seal(seed, aboutKey(id))
	if err != nil {
		return SigningKey{}, fmt.Errorf("token: seal a signing key: %w", err)
	}
	number := int64(1)
	for _, k := range before {
		number = max(number, k.Number+1)
	}
	return SigningKey{Number: number, ID: id, Sealed: sealed, CreatedAt: micros(now), From: micros(from)}, nil
}

func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Reseal seals every signing key that is sealed under a former master key anew, and counts them. After it, when there was
// no error, the former ones can be forgotten. One that cannot be opened does not keep it from the others.
func (i *Issuer) Reseal(ctx context.Context) (int, error) {
	if i.cfg.Vault == nil {
		return 0, nil
	}
	if err := i.changing.take(ctx); err != nil {
		return 0, err
	}
	defer i.changing.give()
	list, err := i.store.SigningKeys(ctx)
	if err != nil {
		return 0, fmt.Errorf("token: read signing keys: %w", err)
	}
	count := 0
	var faults []error
	for _, k := range list {
		if !i.cfg.Vault.Stale(k.Sealed) {
			continue
		}
		if err := i.reseal(ctx, k); err != nil {
			faults = append(faults, fmt.Errorf("token: seal the signing key %s anew: %w", k.ID, err))
			continue
		}
		count++
	}
	return count, errors.Join(faults...)
}

func (i *Issuer) reseal(ctx context.Context, k SigningKey) error {
	seed, err := i.cfg.Vault.Open(k.Sealed, aboutKey(k.ID))
	if err != nil {
		return err
	}
	defer clear(seed)
	sealed, err := i.cfg.Vault.Seal(seed, aboutKey(k.ID))
	if err != nil {
		return err
	}
	return i.store.ResealSigningKey(ctx, k.Number, k.Sealed, sealed)
}
