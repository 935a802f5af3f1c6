package token_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/token"
	"github.com/weir-analytics/weir/internal/vault"
)

const (
	issuerURL   = "https://weir.example.com"
	resourceURL = "https://weir.example.com/v1"
)

// shelf is a store in memory.
type shelf struct {
	mu      sync.Mutex
	keys    map[int64]token.SigningKey
	revoked map[string]token.Revocation
	broken  error
	lost    bool // broken calls have their effect
}

func newShelf() *shelf {
	return &shelf{keys: map[int64]token.SigningKey{}, revoked: map[string]token.Revocation{}}
}

func (s *shelf) SigningKeys(context.Context) ([]token.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Collect(maps.Values(s.keys))
	slices.SortFunc(list, func(a, b token.SigningKey) int { return int(a.Number - b.Number) })
	return list, s.broken
}

func (s *shelf) InsertSigningKey(_ context.Context, k token.SigningKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.keys[k.Number]; taken {
		return token.ErrTaken
	}
	if s.broken == nil || s.lost {
		s.keys[k.Number] = k
	}
	return s.broken
}

func (s *shelf) ResealSigningKey(_ context.Context, number int64, from, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[number]; k.Sealed == from && s.broken == nil {
		k.Sealed = to
		s.keys[number] = k
	}
	return s.broken
}

func (s *shelf) Revocations(context.Context) ([]token.Revocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.revoked)), s.broken
}

func (s *shelf) Revoke(_ context.Context, r token.Revocation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil || s.lost {
		s.revoked[r.Client.ID()+r.ID] = r
	}
	return s.broken
}

func (s *shelf) Trim(_ context.Context, expired time.Time, numbers []int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.revoked, func(_ string, r token.Revocation) bool { return !r.ExpiresAt.After(expired) })
	for _, n := range numbers {
		delete(s.keys, n)
	}
	return s.broken
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *shelf) count() (keys, revoked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys), len(s.revoked)
}

var errBroken = errors.New("the store is broken")

// stream is random bytes that are the same every time.
type stream struct {
	mu sync.Mutex
	n  uint64
}

func (s *stream) Read(into []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := 0; at < len(into); at += sha256.Size {
		s.n++
		block := sha256.Sum256(binary.BigEndian.AppendUint64(nil, s.n))
		copy(into[at:], block[:])
	}
	return len(into), nil
}

func noon() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }

// world is an issuer over a store in memory.
type world struct {
	*token.Issuer
	shelf *shelf
	now   time.Time
	log   bytes.Buffer
}

func masterKey(t testing.TB) vault.Key {
	t.Helper()
	key, _, err := vault.NewKey(&stream{})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (w *world) config(t testing.TB) token.Config {
	return token.Config{
		Now: func() time.Time { return w.now }, URL: issuerURL, Resources: []string{resourceURL, issuerURL}, Random: &stream{n: 1 << 32},
		Vault: vault.New(masterKey(t)), Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{shelf: newShelf(), now: noon()}
	w.restart(t, w.config(t))
	return w
}

func (w *world) restart(t testing.TB, cfg token.Config) {
	t.Helper()
	var err error
	if w.Issuer, err = token.Open(context.Background(), w.shelf, cfg); err != nil {
		t.Fatal(err)
	}
}

func clientID(text string) access.Lookup { return access.Lookup([]byte(text)) }

// client is one that may read in some environments, of a key that may do more in fewer.
func client() token.Client {
	return token.Client{
		ID: clientID("Client000001"), Generation: 3, ClientEpoch: 7, KeyEpoch: 9,
		Own: token.Rights{
			Scopes: access.EventsRead | access.SQLRun | access.MetricsRead,
			Bounds: access.Bounds{Environments: []string{"production", "staging"}},
		},
		Key: token.Rights{Scopes: access.EventsRead | access.EventsWrite | access.SQLRun},
	}
}

// full is a request that narrows in every way.
func full() token.Request {
	domain, _ := access.ParseDomain("https://*.example.com:8443/app")
	return token.Request{
		Client: client(), Scopes: access.EventsRead, Lifetime: 10 * time.Minute, Embedded: true, Resource: issuerURL,
		Thumbprint: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
		Bounds: access.Bounds{
			Environments: []string{"production"}, Events: []string{"signup", "checkout_*"},
			Networks: []access.Network{{Prefix: netip.MustParsePrefix("203.0.113.0/24")}}, Domains: []access.Domain{domain},
			Datasets: &access.Datasets{Core: true, Named: []access.NamedDataset{{Name: "quotes", Rights: access.ReadRecords | access.WriteRecords}}},
		},
	}
}

func (w *world) mint(t testing.TB, r token.Request) token.Minted {
	t.Helper()
	m, err := w.Mint(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (w *world) accepts(text string) bool {
	_, found := w.Open(text, w.now)
	return found
}

func (w *world) opened(t testing.TB, m token.Minted) token.Token {
	t.Helper()
	opened, found := w.Open(m.Text.Reveal(), w.now)
	if !found {
		t.Fatal("a new token is refused")
	}
	return opened
}

func wantProblem(t testing.TB, what string, err error, code problem.Code) {
	t.Helper()
	if problem.Of(err) != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func testContext() context.Context { return context.Background() }
