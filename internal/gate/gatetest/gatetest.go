// Package gatetest is a small world for tests that need a real Permit: a project with environments, keys of any shape, a
// ledger that remembers, a clock that stands still, and a real gate in front of it all.
//
//	world := gatetest.New(t)
//	key := world.Key(access.Public, access.EventsWrite)      // the text a client would send
//	permit := world.Permit(access.Attempt{Action: access.WriteEvents})
//	token := world.Token(world.Client(secretKey, access.Key{}), gate.Token{})
//
// It does not own how keys are minted or kept in earnest (keyring), nor tokens, nor the ledger (ledger): its keys are numbered, not
// random, and everything is in memory.
package gatetest

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// World is one project behind a real gate. Its methods may be called from many goroutines, those that can fail the test
// from the test's own.
type World struct {
	Project *access.Project // prj_1 of org_1: production and staging are live, development is test
	Gate    *gate.Gate
	Keys    *Keys
	Tokens  *Tokens
	Limits  *Limits
	Ledger  *Ledger
	Clock   *Clock

	t testing.TB
}

// New makes a world at noon of 1 June 2026 in which there are no keys.
func New(t testing.TB) *World {
	w := &World{Project: NewProject("org_1", "prj_1"), Keys: &Keys{}, Tokens: &Tokens{}, Limits: &Limits{}, Ledger: &Ledger{}, Clock: &Clock{now: noon()}, t: t}
	w.Gate = gate.New(w.Keys, w.Tokens, w.Limits, w.Ledger, w.Clock.Now, w.Ledger.newID)
	return w
}

// NewProject is a project with the environments of World's own, for tests with two tenants.
func NewProject(organization, id string) *access.Project {
	return &access.Project{Organization: organization, ID: id, Environments: []access.Environment{
		{Name: "production", Mode: access.Live}, {Name: "staging", Mode: access.Live}, {Name: "development", Mode: access.Test},
	}}
}

// Key mints a live key of the world's project and gives its text.
func (w *World) Key(kind access.Kind, scopes ...access.Scopes) string {
	key := access.Key{Kind: kind, Mode: access.Live}
	for _, scope := range scopes {
		key.Scopes |= scope
	}
	return w.Mint(key)
}

// Mint keeps a key of any shape and gives its text. Left out, Project is the world's, Kind is secret and Mode is live.
// The key's ID is always that of its text.
func (w *World) Mint(key access.Key) string {
	if key.Project == nil {
		key.Project = w.Project
	}
	if key.Kind == 0 {
		key.Kind = access.Secret
	}
	if key.Mode == 0 {
		key.Mode = access.Live
	}
	return w.Keys.add(key)
}

// Client keeps a client of any shape that comes of the key of a text, and gives its secret. What is left out is as of that key.
func (w *World) Client(parent string, client access.Key) string {
	e, _ := w.Keys.Lookup(Parse(parent).Lookup)
	client.Kind, client.Parent, client.Project, client.Mode = access.Client, e.Key, e.Key.Project, e.Key.Mode
	if client.Scopes == 0 {
		client.Scopes = e.Key.Scopes
	}
	return w.Mint(client)
}

// Token makes a token of the client of a secret, or of a member, as it is now, and gives its text. What is left out of t is as of the client;
// left out, it expires in a quarter of an hour.
func (w *World) Token(client string, t gate.Token) string {
	e, _ := w.Keys.Lookup(Parse(client).Lookup)
	t.Client, t.Generation, t.ClientEpoch = Parse(client).Lookup, e.Generation, e.Key.Epoch
	if e.Key.Parent != nil {
		t.KeyEpoch = e.Key.Parent.Epoch
	}
	if t.Scopes == 0 {
		t.Scopes = e.Key.Scopes
	}
	if t.Bounds.ExpiresAt.IsZero() {
		t.Bounds.ExpiresAt = w.Clock.Now().Add(15 * time.Minute)
	}
	return w.Tokens.add(t)
}

// Credential is what a client sends that shows text in a header.
func (w *World) Credential(text string) gate.Credential {
	return gate.Credential{
		Key: access.SecretText(text), RequestID: "req_1",
		Circumstances: access.Circumstances{Via: access.InHeader, Address: netip.MustParseAddr("192.0.2.1")},
	}
}

// Ask identifies the holder of text and admits the attempt, as an endpoint of the attempt's action would.
func (w *World) Ask(text string, attempt access.Attempt) (gate.Permit, error) {
	caller, err := w.Gate.Identify(w.t.Context(), w.Credential(text), attempt.Action)
	if err != nil {
		return gate.Permit{}, err
	}
	return w.Gate.Admit(w.t.Context(), caller, attempt, gate.Cost{Requests: 1})
}

// Permit is the permit for an attempt, given to a new live key that holds just the scope of the attempt's action. A
// denial fails the test.
func (w *World) Permit(attempt access.Attempt) gate.Permit {
	w.t.Helper()
	return w.PermitOf(access.Key{Scopes: attempt.Action.Scope()}, attempt)
}

// PermitOf is the permit for an attempt of a new key. A denial fails the test.
func (w *World) PermitOf(key access.Key, attempt access.Attempt) gate.Permit {
	w.t.Helper()
	permit, err := w.Ask(w.Mint(key), attempt)
	if err != nil {
		w.t.Fatalf("gatetest: no permit: %v", err)
	}
	return permit
}

func noon() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

// Clock is a clock that moves when it is told to.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the time it is.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock, back too.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Keys is a gate.Keys in memory.
type Keys struct {
	mu      sync.Mutex
	minted  int
	entries map[access.Lookup]gate.Entry
	Exposed []string // "ID in PLACE", in order
}

// Lookup finds a key, as gate.Keys says.
func (k *Keys) Lookup(lookup access.Lookup) (gate.Entry, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, found := k.entries[lookup]
	return e, found
}

// Expose remembers where a secret was seen, as gate.Keys says.
func (k *Keys) Expose(_ context.Context, id string, _ int, how gate.Exposure, _ time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Exposed = append(k.Exposed, id+" in "+string(how))
}

// Change replaces the key of a text by a changed copy, as revoking or restricting it would.
func (k *Keys) Change(text string, edit func(*access.Key)) {
	k.Edit(text, func(e *gate.Entry) {
		key := *e.Key
		edit(&key)
		e.Key = &key
	})
}

// Edit replaces the entry of a text by a changed copy, as rotating its secret would.
func (k *Keys) Edit(text string, edit func(*gate.Entry)) {
	lookup := Parse(text).Lookup
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entries[lookup]
	edit(&e)
	k.entries[lookup] = e
	for at, child := range k.entries {
		if child.Key.Parent != nil && child.Key.Parent.ID == lookup.ID() {
			key := *child.Key
			key.Parent = e.Key
			child.Key = &key
			k.entries[at] = child
		}
	}
}

// Remove forgets the key of a text.
func (k *Keys) Remove(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.entries, Parse(text).Lookup)
}

func (k *Keys) add(key access.Key) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.minted++
	text := Text(key.Kind, key.Mode, k.minted)
	parsed := Parse(text)
	key.ID = parsed.Lookup.ID()
	if k.entries == nil {
		k.entries = map[access.Lookup]gate.Entry{}
	}
	k.entries[parsed.Lookup] = gate.Entry{Key: &key, Digest: parsed.Digest, Generation: 1}
	return text
}

// Text is a well-formed key, the same for the same arguments. A world's n-th key has the number n; a number not given
// out makes a key that is unknown there.
func Text(kind access.Kind, mode access.Mode, number int) string {
	return access.WriteKey(kind, mode, fmt.Sprintf("%0*d", access.LookupLength, number), fmt.Sprintf("%0*d", access.SecretLength, number))
}

// Parse reads a key that is known to be well formed.
func Parse(text string) access.Parsed {
	parsed, err := access.ParseKey(text)
	if err != nil {
		panic(fmt.Sprintf("gatetest: %v", err))
	}
	return parsed
}

// Tokens is a gate.Tokens in memory.
type Tokens struct {
	mu     sync.Mutex
	made   int
	tokens map[string]gate.Token
	users  map[string]gate.UserToken
}

// Open finds a token, as gate.Tokens says.
func (k *Tokens) Open(text string, at time.Time) (gate.Token, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, found := k.tokens[text]
	return t, found && at.Before(t.Bounds.ExpiresAt)
}

// OpenUser finds a user token, as gate.Tokens says.
func (k *Tokens) OpenUser(text string, at time.Time) (gate.UserToken, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, found := k.users[text]
	return t, found && at.Before(t.ExpiresAt)
}

// AddUser keeps a user token under a text.
func (k *Tokens) AddUser(text string, t gate.UserToken) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users == nil {
		k.users = map[string]gate.UserToken{}
	}
	k.users[text] = t
}

// Revoke forgets a token.
func (k *Tokens) Revoke(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.tokens, text)
}

func (k *Tokens) add(t gate.Token) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made++
	text := fmt.Sprintf("eyJ0.eyJqdGkiOiJ%d.c2ln", k.made)
	if k.tokens == nil {
		k.tokens = map[string]gate.Token{}
	}
	k.tokens[text] = t
	return text
}

// Limits is a gate.Limits that lets everything through, but for what a test sets.
type Limits struct {
	mu      sync.Mutex
	Over    gate.Charged  // given to every Take
	Short   string        // given to every Settle
	Wait    time.Duration // given to every Fail
	Charges []gate.Charge // what was taken
	Settled []int64       // what was settled
	Held    []string      // under which names something is held
	Failed  []netip.Addr
}

// Take remembers the charge, as gate.Limits says.
func (l *Limits) Take(_ context.Context, c gate.Charge) gate.Charged {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Charges = append(l.Charges, c)
	return l.Over
}

// Settle remembers the credits, as gate.Limits says.
func (l *Limits) Settle(_ context.Context, _ gate.Charge, credits int64) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Settled = append(l.Settled, credits)
	return l.Short
}

// Hold remembers the name, as gate.Limits says.
func (l *Limits) Hold(_ context.Context, _ gate.Charge, name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Held = append(l.Held, name)
	return l.Short
}

// HoldOnly remembers the names, as gate.Limits says.
func (l *Limits) HoldOnly(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Held = names
}

// Fail remembers the address, as gate.Limits says.
func (l *Limits) Fail(from netip.Addr, _ time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Failed = append(l.Failed, from)
	return l.Wait
}

// Ledger is a gate.Ledger that remembers everything.
type Ledger struct {
	mu      sync.Mutex
	ids     int
	denials []gate.Denial
	uses    []gate.Use
}

// Deny remembers a denial.
func (l *Ledger) Deny(d gate.Denial) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.denials = append(l.denials, d)
}

// Allow remembers a use.
func (l *Ledger) Allow(u gate.Use) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses = append(l.uses, u)
}

// Take gives what was written since the last Take, in order.
func (l *Ledger) Take() (denials []gate.Denial, uses []gate.Use) {
	l.mu.Lock()
	defer l.mu.Unlock()
	denials, uses = l.denials, l.uses
	l.denials, l.uses = nil, nil
	return denials, uses
}

func (l *Ledger) newID() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids++
	return fmt.Sprintf("dec_%d", l.ids)
}
