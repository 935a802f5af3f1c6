package gate_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
)

// deaf is a ledger that costs nothing, so that what is measured is the gate.
type deaf struct{}

func (deaf) Deny(gate.Denial) {}
func (deaf) Allow(gate.Use)   {}

// boundless are limits that cost nothing.
type boundless struct{}

func (boundless) Take(context.Context, gate.Charge) gate.Charged    { return gate.Charged{} }
func (boundless) Settle(context.Context, gate.Charge, int64) string { return "" }
func (boundless) Hold(context.Context, gate.Charge, string) string  { return "" }
func (boundless) HoldOnly([]string)                                 {}
func (boundless) Fail(netip.Addr, time.Time) time.Duration          { return 0 }

// pass makes a function that takes one request through the gate.
func pass(t testing.TB, key access.Key, list []access.Target) func() {
	w := gatetest.New(t)
	door := gate.New(w.Keys, nil, boundless{}, deaf{}, w.Clock.Now, func() string { return "id" })
	credential := w.Credential(w.Mint(key))
	ctx := t.Context()
	return func() {
		caller, err := door.Identify(ctx, credential, access.WriteEvents)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := door.Admit(ctx, caller, access.Attempt{Each: true, Targets: list}, gate.Cost{Requests: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// Promise: a request that is let in costs a handful of allocations at the gate, however many items it has.
func TestALetInAllocatesLittle(t *testing.T) {
	const most = 5
	for name, key := range map[string]access.Key{"plain": plainKey(), "restricted": restrictedKey()} {
		for _, items := range []int{0, 1, 1000} {
			if n := testing.AllocsPerRun(200, pass(t, key, make([]access.Target, items))); n > most {
				t.Errorf("%s key, %d items: %v allocations, want at most %d", name, items, n, most)
			}
		}
	}
}

func plainKey() access.Key { return access.Key{Kind: access.Public, Scopes: access.EventsWrite} }

// restrictedKey has long restrictions that the requests meet at their ends.
func restrictedKey() access.Key {
	key := access.Key{Kind: access.Secret, Scopes: access.EventsWrite}
	key.Environments, key.Datasets = []string{"staging", "production"}, &access.Datasets{Core: true}
	key.NotBefore, key.ExpiresAt = time.Unix(0, 0), time.Unix(1<<40, 0)
	key.Limits = access.DefaultLimits(access.Secret)
	for i := range 100 {
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(100 - i)})
		key.Networks = append(key.Networks, access.Network{Prefix: netip.PrefixFrom(addr, 32)})
		key.Events = append(key.Events, fmt.Sprintf("event_%02d", i))
	}
	key.Events = append(key.Events, "*")
	return key
}

func BenchmarkIdentifyAdmit(b *testing.B) {
	for _, c := range []struct {
		name  string
		key   access.Key
		items int
	}{
		{"bare", plainKey(), 0}, {"target", plainKey(), 1}, {"batch100", plainKey(), 100}, {"restricted", restrictedKey(), 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			through := pass(b, c.key, make([]access.Target, c.items))
			b.ReportAllocs()
			for b.Loop() {
				through()
			}
		})
	}
	b.Run("unknown", func(b *testing.B) {
		w := gatetest.New(b)
		door := gate.New(w.Keys, nil, boundless{}, deaf{}, w.Clock.Now, func() string { return "id" })
		credential := w.Credential(gatetest.Text(access.Public, access.Live, 9))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := door.Identify(b.Context(), credential, access.WriteEvents); err == nil {
				b.Fatal("let in")
			}
		}
	})
}
