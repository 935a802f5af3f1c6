package keyring_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
)

// shelf is a keyring.Store in memory. It can be told to fail. What it gives and takes shares no memory with it.
type shelf struct {
	mu       sync.Mutex
	projects []access.Project
	policies map[string]keyring.PolicyRecord
	keys     map[string]keyring.Record
	entries  []audit.Entry
	calls    int
	fail     func(call int) failure
	slow     func(context.Context) // called at the start of every call, without the shelf's lock
}

// failure is how a call of the shelf ends.
type failure int

const (
	none      failure = iota
	before            // it fails, and has done nothing
	lostReply         // it has done its work, and fails
)

var errShelf = errors.New("the shelf fell down")

func newShelf(projects ...access.Project) *shelf {
	s := &shelf{projects: projects, keys: map[string]keyring.Record{}, policies: map[string]keyring.PolicyRecord{}}
	for _, p := range projects {
		s.policies[p.ID] = keyring.PolicyRecord{Policy: p.Policy, Revision: 1}
	}
	return s
}

// call runs one call.
func (s *shelf) call(ctx context.Context, do func() error) error {
	if s.slow != nil {
		s.slow(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.calls++
	how := none
	if s.fail != nil {
		how = s.fail(s.calls)
	}
	if how == before {
		return errShelf
	}
	if err := do(); err != nil {
		return err
	}
	if how == lostReply {
		return errShelf
	}
	return nil
}

// failing makes calls fail from now on, counted from 1; nil: none does.
func (s *shelf) failing(how func(call int) failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.fail = 0, how
}

// copied is a record as another reading of the same bytes would give it.
func copied(rec keyring.Record) keyring.Record {
	bounds, err := keyring.ReadSettings(keyring.WriteSettings(&rec.Bounds))
	if err != nil {
		panic(err)
	}
	rec.Bounds = bounds
	rec.Former, rec.Signing.PublicKeys = slices.Clone(rec.Former), slices.Clone(rec.Signing.PublicKeys)
	return rec
}

func (s *shelf) Projects(ctx context.Context) (list []access.Project, err error) {
	err = s.call(ctx, func() error {
		for _, p := range s.projects {
			p.Policy = s.policies[p.ID].Policy
			list = append(list, p)
		}
		return nil
	})
	return list, err
}

func (s *shelf) EachKey(ctx context.Context, visit func(keyring.Record) error) error {
	return s.call(ctx, func() error {
		for _, key := range s.keys {
			if err := visit(copied(key)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *shelf) InsertKey(ctx context.Context, key keyring.Record, entry audit.Entry) error {
	return s.call(ctx, func() error {
		if _, taken := s.keys[key.ID]; taken {
			return keyring.ErrTaken
		}
		s.keys[key.ID] = copied(key)
		s.entries = append(s.entries, entry)
		return nil
	})
}

func (s *shelf) Keys(ctx context.Context, q keyring.Query) (list []keyring.Record, err error) {
	err = s.call(ctx, func() error {
		for _, key := range s.keys {
			if key.Project == q.Project && (q.Live || key.Mode == access.Test) && (q.ID == "" || key.ID == q.ID) &&
				(q.Steward == "" || key.Steward == q.Steward) && order(placeOf(key), q.After) > 0 {
				list = append(list, copied(key))
			}
		}
		slices.SortFunc(list, func(a, b keyring.Record) int { return order(placeOf(a), placeOf(b)) })
		list = list[:min(q.Limit, len(list))]
		return nil
	})
	return list, err
}

func (s *shelf) ChangeKey(ctx context.Context, project, id string, change func(*keyring.Record) (*audit.Entry, error)) (key keyring.Record, err error) {
	err = s.call(ctx, func() error {
		stored, ok := s.keys[id]
		if !ok || stored.Project != project {
			return keyring.ErrNoKey
		}
		key = copied(stored)
		entry, err := change(&key)
		if err != nil || entry == nil {
			return err
		}
		key.Revision++
		s.keys[id] = copied(key)
		s.entries = append(s.entries, *entry)
		return nil
	})
	return key, err
}

func (s *shelf) ChangePolicy(ctx context.Context, project string, change func(*keyring.PolicyRecord) (*audit.Entry, error)) (rec keyring.PolicyRecord, err error) {
	err = s.call(ctx, func() error {
		stored, ok := s.policies[project]
		if !ok {
			return keyring.ErrNoProject
		}
		rec = stored
		entry, err := change(&rec)
		if err != nil || entry == nil {
			return err
		}
		rec.Revision++
		s.policies[project] = rec
		s.entries = append(s.entries, *entry)
		return nil
	})
	return rec, err
}

// key is a key as it is kept.
func (s *shelf) key(id string) keyring.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[id]
}

// audited is the actions of the entries about a subject, in order.
func (s *shelf) audited(subject string) (actions []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.Subject == subject {
			actions = append(actions, e.Action)
		}
	}
	return actions
}

func placeOf(rec keyring.Record) keyring.Place {
	return keyring.Place{CreatedAt: rec.CreatedAt, ID: rec.ID}
}

func order(a, b keyring.Place) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// clock is a clock that stands still until it is set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

func (c *clock) advance(d time.Duration) { c.set(c.now().Add(d)) }

// silence is a gate.Ledger that keeps nothing.
type silence struct{}

func (silence) Deny(gate.Denial) {}
func (silence) Allow(gate.Use)   {}

// freely is a gate.Limits that has none.
type freely struct{}

func (freely) Take(context.Context, gate.Charge) gate.Charged    { return gate.Charged{} }
func (freely) Settle(context.Context, gate.Charge, int64) string { return "" }
func (freely) Hold(context.Context, gate.Charge, string) string  { return "" }
func (freely) HoldOnly([]string)                                 {}
func (freely) Fail(netip.Addr, time.Time) (wait time.Duration)   { return 0 }

func project(id string) access.Project {
	return access.Project{Organization: "org_1", ID: id, Environments: []access.Environment{
		{Name: "production", Mode: access.Live}, {Name: "staging", Mode: access.Live}, {Name: "development", Mode: access.Test},
	}}
}

// house is a ring with two projects, and a permit for each.
type house struct {
	t      testing.TB
	shelf  *shelf
	clock  *clock
	config keyring.Config
	ring   *keyring.Ring
	gate   *gate.Gate
	one    gate.Permit // of the operator of prj_1
	two    gate.Permit // of the operator of prj_2
}

func build(t testing.TB, random io.Reader) *house {
	t.Helper()
	return with(t, keyring.Config{Random: random})
}

// with builds a house by a config that lacks the clock and the ids.
func with(t testing.TB, config keyring.Config) *house {
	t.Helper()
	h := &house{t: t, shelf: newShelf(project("prj_1"), project("prj_2")), clock: newClock(), config: config}
	h.config.Now, h.config.NewID = h.clock.now, ids("")
	h.open()
	return h
}

// ids names things by number.
func ids(prefix string) func() string {
	var n atomic.Int64
	return func() string { return prefix + strconv.FormatInt(n.Add(1), 10) }
}

// open opens the ring anew, as a restart does.
func (h *house) open() {
	h.t.Helper()
	ring, err := keyring.Open(h.t.Context(), h.shelf, h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	h.ring = ring
	h.gate = gate.New(ring, nil, freely{}, silence{}, h.clock.now, ids("d"))
	h.one, h.two = h.operator("prj_1"), h.operator("prj_2")
}

func (h *house) operator(project string) gate.Permit {
	h.t.Helper()
	text, err := h.ring.Operator(project)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.permit(text)
}

// permit is a permit to change keys, for the holder of a key.
func (h *house) permit(key access.Text) gate.Permit {
	h.t.Helper()
	permit, err := h.ask(key, access.WriteKeys, access.Attempt{})
	if err != nil {
		h.t.Fatal(err)
	}
	return permit
}

// from is how a request comes that a house asks with.
func from() access.Circumstances {
	return access.Circumstances{Via: access.InHeader, Address: netip.MustParseAddr("192.0.2.1")}
}

// ask goes through the gate with a key.
func (h *house) ask(key access.Text, action access.Action, attempt access.Attempt) (gate.Permit, error) {
	caller, err := h.gate.Identify(h.t.Context(), gate.Credential{Key: key, Circumstances: from(), RequestID: "r"}, action)
	if err != nil {
		return gate.Permit{}, err
	}
	return h.gate.Admit(h.t.Context(), caller, attempt, gate.Cost{})
}

// works reports whether a key may read events.
func (h *house) works(key access.Text) bool {
	_, err := h.ask(key, access.ReadEvents, access.Attempt{})
	return err == nil
}

func (h *house) create(permit gate.Permit, n keyring.New) (keyring.Record, access.Text) {
	h.t.Helper()
	rec, secrets, err := h.ring.Create(h.t.Context(), permit, n)
	if err != nil {
		h.t.Fatal(err)
	}
	return rec, secrets.Key
}

// generation is that of a key's present secret.
func (h *house) generation(id string) int {
	lookup, _ := access.LookupOf(id)
	e, _ := h.ring.Lookup(lookup)
	return e.Generation
}

// basis is a key as Peek gives it.
func (h *house) basis(id string) *access.Key {
	h.t.Helper()
	key, ok := h.ring.Peek("prj_1", id)
	if !ok {
		h.t.Fatalf("there is no key %s", id)
	}
	return key
}

func secretKey() keyring.New {
	return keyring.New{Kind: access.Secret, Mode: access.Live, Label: "server", Steward: "ada@example.com", Scopes: access.EventsWrite | access.EventsRead}
}

// bytesOf is a random source that gives these bytes, over and over.
type bytesOf struct {
	data []byte
	at   int
}

func (b *bytesOf) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = b.data[b.at%len(b.data)]
		b.at++
	}
	return len(p), nil
}

// words is a random source that gives each key in turn one of these bytes, repeated.
func words(each ...byte) io.Reader {
	var all []byte
	for _, b := range each {
		all = append(all, bytes.Repeat([]byte{b}, access.LookupLength+access.SecretLength)...)
	}
	return &bytesOf{data: all}
}

// vault is a keyring.Vault under master keys that are numbered. It opens what any of its keys sealed, and seals under the
// last.
type vault struct {
	keys   []byte
	broken bool
}

func (v *vault) aead(key byte) cipher.AEAD {
	block, err := aes.NewCipher(bytes.Repeat([]byte{key}, 32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (v *vault) Seal(plain []byte, about string) (string, error) {
	if v.broken {
		return "", errVault
	}
	key := v.keys[len(v.keys)-1]
	return fmt.Sprintf("%d.%s", key, base64.StdEncoding.EncodeToString(v.aead(key).Seal(nil, nil, plain, []byte(about)))), nil
}

func (v *vault) Open(sealed, about string) ([]byte, error) {
	number, text, _ := strings.Cut(sealed, ".")
	key, err := strconv.Atoi(number)
	if err != nil || v.broken || !slices.Contains(v.keys, byte(key)) {
		return nil, errVault
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return v.aead(byte(key)).Open(nil, nil, data, []byte(about))
}

func (v *vault) Stale(sealed string) bool {
	for _, former := range v.keys[:len(v.keys)-1] {
		if strings.HasPrefix(sealed, fmt.Sprintf("%d.", former)) {
			return true
		}
	}
	return false
}

var errVault = errors.New("the vault does not open")

// agree fails unless the snapshot has exactly what the store has.
func (h *house) agree(t *testing.T, when string) {
	t.Helper()
	if err := h.disagreement(); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
}

// disagreement says what differs between the store and the snapshot, but for secrets that have ended.
func (h *house) disagreement() error {
	h.shelf.mu.Lock()
	defer h.shelf.mu.Unlock()
	for id, rec := range h.shelf.keys {
		lookup, _ := access.LookupOf(id)
		e, ok := h.ring.Lookup(lookup)
		if !ok {
			return fmt.Errorf("%s is in the store and not in the snapshot", id)
		}
		var former, live []gate.Former
		for _, f := range rec.Former {
			if f.Until.After(h.clock.now()) {
				former = append(former, gate.Former{Digest: f.Digest, Generation: f.Generation, Until: f.Until, MintedAt: f.MintedAt})
			}
		}
		for _, f := range e.Former {
			if f.Until.After(h.clock.now()) {
				live = append(live, f)
			}
		}
		k := e.Key
		if k.Scopes != rec.Scopes || k.State != rec.State || keyring.WriteSettings(&k.Bounds) != keyring.WriteSettings(&rec.Bounds) ||
			!k.RevokedAt.Equal(rec.RevokedAt) || !k.MintedAt.Equal(rec.MintedAt) || e.Digest != rec.Digest || e.Generation != rec.Generation ||
			!slices.Equal(former, live) || k.Kind != rec.Kind || k.Mode != rec.Mode || k.Epoch != rec.Epoch {
			return fmt.Errorf("the store has %+v, the snapshot %+v", rec, e)
		}
		if up, _ := access.LookupOf(rec.Parent); rec.Parent != "" {
			if parent, _ := h.ring.Lookup(up); parent.Key == nil || k.Parent != parent.Key {
				return fmt.Errorf("%s comes of %+v in the snapshot, and not of %+v, which is there", id, k.Parent, parent.Key)
			}
		}
		if policy := h.shelf.policies[rec.Project].Policy; k.Project.Policy != policy {
			return fmt.Errorf("the store has the policy %+v, the snapshot %+v", policy, k.Project.Policy)
		}
	}
	return nil
}
