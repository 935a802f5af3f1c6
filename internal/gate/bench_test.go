package gate_test

import (
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/gate/gatetest"
)

// deaf is a ledger that costs nothing, so that what is measured is the gate.
type deaf struct{}

func (deaf) Deny(gate.Denial) {}
func (deaf) Allow(gate.Use)   {}

// pass makes a function that takes one request through the gate.
func pass(t testing.TB, list []access.Target) func() {
	w := gatetest.New(t)
	door := gate.New(w.Keys, deaf{}, w.Clock.Now, func() string { return "id" })
	credential := w.Credential(w.Key(access.Public, access.EventsWrite))
	ctx := t.Context()
	return func() {
		caller, err := door.Identify(ctx, credential, access.WriteEvents)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := door.Admit(ctx, caller, access.Attempt{Each: true, Targets: list}); err != nil {
			t.Fatal(err)
		}
	}
}

// Promise: a request that is let in costs a handful of allocations at the gate, however many items it has.
func TestALetInAllocatesLittle(t *testing.T) {
	const most = 5
	for _, items := range []int{0, 1, 1000} {
		if n := testing.AllocsPerRun(200, pass(t, make([]access.Target, items))); n > most {
			t.Errorf("%d items: %v allocations, want at most %d", items, n, most)
		}
	}
}

func BenchmarkIdentifyAdmit(b *testing.B) {
	for _, c := range []struct {
		name  string
		items int
	}{{"bare", 0}, {"target", 1}, {"batch100", 100}} {
		b.Run(c.name, func(b *testing.B) {
			through := pass(b, make([]access.Target, c.items))
			b.ReportAllocs()
			for b.Loop() {
				through()
			}
		})
	}
	b.Run("unknown", func(b *testing.B) {
		w := gatetest.New(b)
		door := gate.New(w.Keys, deaf{}, w.Clock.Now, func() string { return "id" })
		credential := w.Credential(gatetest.Text(access.Public, access.Live, 9))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := door.Identify(b.Context(), credential, access.WriteEvents); err == nil {
				b.Fatal("let in")
			}
		}
	})
}
