package keyring_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
)

// shelf is a keyring.Store in memory. It can be told to fail.
type shelf struct {
	mu       sync.Mutex
	projects []access.Project
	keys     map[string]keyring.Record
	calls    int
	fail     func(call int) failure
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
	return &shelf{projects: projects, keys: map[string]keyring.Record{}}
}

// call runs one call.
func (s *shelf) call(ctx context.Context, do func() error) error {
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

func (s *shelf) Projects(ctx context.Context) (list []access.Project, err error) {
	err = s.call(ctx, func() error { list = slices.Clone(s.projects); return nil })
	return list, err
}

func (s *shelf) EachKey(ctx context.Context, visit func(keyring.Record) error) error {
	return s.call(ctx, func() error {
		for _, key := range s.keys {
			if err := visit(key); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *shelf) InsertKey(ctx context.Context, key keyring.Record) error {
	return s.call(ctx, func() error {
		if _, taken := s.keys[key.ID]; taken {
			return keyring.ErrTaken
		}
		s.keys[key.ID] = key
		return nil
	})
}

func (s *shelf) Key(ctx context.Context, project, id string) (key keyring.Record, err error) {
	err = s.call(ctx, func() (err error) { key, err = s.find(project, id); return err })
	return key, err
}

func (s *shelf) Keys(ctx context.Context, project string, live bool, after keyring.Place, limit int) (list []keyring.Record, err error) {
	err = s.call(ctx, func() error {
		for _, key := range s.keys {
			if key.Project == project && (live || key.Mode == access.Test) && order(keyring.Place{CreatedAt: key.CreatedAt, ID: key.ID}, after) > 0 {
				list = append(list, key)
			}
		}
		slices.SortFunc(list, func(a, b keyring.Record) int {
			return order(keyring.Place{CreatedAt: a.CreatedAt, ID: a.ID}, keyring.Place{CreatedAt: b.CreatedAt, ID: b.ID})
		})
		list = list[:min(limit, len(list))]
		return nil
	})
	return list, err
}

func (s *shelf) ChangeKey(ctx context.Context, project, id string, change func(*keyring.Record) error) (key keyring.Record, err error) {
	err = s.call(ctx, func() error {
		if key, err = s.find(project, id); err != nil {
			return err
		}
		if err := change(&key); err != nil {
			return err
		}
		s.keys[id] = key
		return nil
	})
	return key, err
}

func (s *shelf) find(project, id string) (keyring.Record, error) {
	key, ok := s.keys[id]
	if !ok || key.Project != project {
		return keyring.Record{}, keyring.ErrNoKey
	}
	return key, nil
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

func project(id string) access.Project {
	return access.Project{Organization: "org_1", ID: id, Environments: []access.Environment{
		{Name: "production", Mode: access.Live}, {Name: "staging", Mode: access.Live}, {Name: "development", Mode: access.Test},
	}}
}

// house is a ring with two projects, and a permit for each.
type house struct {
	t     *testing.T
	shelf *shelf
	clock *clock
	ring  *keyring.Ring
	gate  *gate.Gate
	one   gate.Permit // of the operator of prj_1
	two   gate.Permit // of the operator of prj_2
}

func build(t *testing.T, random io.Reader) *house {
	t.Helper()
	h := &house{t: t, shelf: newShelf(project("prj_1"), project("prj_2")), clock: newClock()}
	h.open(random)
	return h
}

// open opens the ring anew, as a restart does.
func (h *house) open(random io.Reader) {
	h.t.Helper()
	ring, err := keyring.Open(h.t.Context(), h.shelf, keyring.Config{Now: h.clock.now, Random: random})
	if err != nil {
		h.t.Fatal(err)
	}
	h.ring = ring
	n := 0
	h.gate = gate.New(ring, silence{}, h.clock.now, func() string { n++; return strconv.Itoa(n) })
	h.one, h.two = h.operator("prj_1"), h.operator("prj_2")
}

func (h *house) operator(project string) gate.Permit {
	h.t.Helper()
	text, err := h.ring.Operator(project)
	if err != nil {
		h.t.Fatal(err)
	}
	permit, err := h.ask(text, access.WriteKeys, access.Attempt{})
	if err != nil {
		h.t.Fatal(err)
	}
	return permit
}

// ask goes through the gate with a key.
func (h *house) ask(key access.Text, action access.Action, attempt access.Attempt) (gate.Permit, error) {
	caller, err := h.gate.Identify(h.t.Context(), gate.Credential{Key: key, Via: access.InHeader}, action)
	if err != nil {
		return gate.Permit{}, err
	}
	return h.gate.Admit(h.t.Context(), caller, attempt)
}

func (h *house) create(permit gate.Permit, n keyring.New) (keyring.Record, access.Text) {
	h.t.Helper()
	rec, text, err := h.ring.Create(h.t.Context(), permit, n)
	if err != nil {
		h.t.Fatal(err)
	}
	return rec, text
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
