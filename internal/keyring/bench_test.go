package keyring_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
)

// crowd is a store that has many keys from the start, of which it can say the look-up ids.
type crowd struct {
	*shelf
	lookups []access.Lookup
}

func newCrowd(n int) *crowd {
	c := &crowd{newShelf(project("prj_1")), make([]access.Lookup, n)}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range c.lookups {
		for j := range c.lookups[i] {
			c.lookups[i][j] = access.Alphabet[random.IntN(len(access.Alphabet))]
		}
	}
	return c
}

func (c *crowd) EachKey(_ context.Context, visit func(keyring.Record) error) error {
	for _, lookup := range c.lookups {
		rec := keyring.Record{
			ID: lookup.ID(), Project: "prj_1", Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes, Generation: 1,
			Bounds: access.Bounds{Limits: access.DefaultLimits(access.Secret)},
		}
		if err := visit(rec); err != nil {
			return err
		}
	}
	return nil
}

// InsertKey costs next to nothing.
func (c *crowd) InsertKey(_ context.Context, key keyring.Record, _ audit.Entry) error {
	c.keys[key.ID] = key
	return nil
}

func open(b *testing.B, store keyring.Store) *keyring.Ring {
	ring, err := keyring.Open(b.Context(), store, keyring.Config{Now: newClock().now, NewID: ids("")})
	if err != nil {
		b.Fatal(err)
	}
	return ring
}

var sizes = [...]int{10, 10_000, 1_000_000}

// BenchmarkLookup finds keys in random order, and ids that are unknown.
func BenchmarkLookup(b *testing.B) {
	for _, n := range sizes {
		store := newCrowd(n)
		ring, unknown := open(b, store), newCrowd(n+1).lookups
		for i := range unknown {
			unknown[i][0] = '_'
		}
		for name, ids := range map[string][]access.Lookup{"known": store.lookups, "unknown": unknown[:n]} {
			b.Run(fmt.Sprintf("keys=%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if _, found := ring.Lookup(ids[i]); found != (name == "known") {
						b.Fatal("wrong answer")
					}
					if i++; i == n {
						i = 0
					}
				}
			})
		}
	}
}

// BenchmarkIdentifyAndAdmit goes through the whole gate, with a ledger that keeps nothing.
func BenchmarkIdentifyAndAdmit(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			ring := open(b, newCrowd(n))
			clock := newClock()
			door := gate.New(ring, nil, freely{}, silence{}, clock.now, func() string { return "id" })
			ask := func(key access.Text) (gate.Permit, error) {
				caller, err := door.Identify(b.Context(), gate.Credential{Key: key, Circumstances: from()}, access.WriteEvents)
				if err != nil {
					return gate.Permit{}, err
				}
				return door.Admit(b.Context(), caller, access.Attempt{Targets: []access.Target{{Environment: "production", Event: "x"}}}, gate.Cost{Requests: 1})
			}
			operator, err := ring.Operator("prj_1")
			if err != nil {
				b.Fatal(err)
			}
			permit, err := ask(operator)
			if err != nil {
				b.Fatal(err)
			}
			_, secrets, err := ring.Create(b.Context(), permit, secretKey())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ask(secrets.Key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCreate is what one more key costs, with a store that costs next to nothing.
func BenchmarkCreate(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			ring := open(b, newCrowd(n))
			text, err := ring.Operator("prj_1")
			if err != nil {
				b.Fatal(err)
			}
			door := gate.New(ring, nil, freely{}, silence{}, newClock().now, func() string { return "id" })
			caller, err := door.Identify(b.Context(), gate.Credential{Key: text, Circumstances: from()}, access.WriteKeys)
			if err != nil {
				b.Fatal(err)
			}
			permit, err := door.Admit(b.Context(), caller, access.Attempt{}, gate.Cost{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := ring.Create(b.Context(), permit, secretKey()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSetProject is what a changed project costs with a million keys.
func BenchmarkSetProject(b *testing.B) {
	ring := open(b, newCrowd(1_000_000))
	for b.Loop() {
		ring.SetProject(project("prj_1"))
	}
}
