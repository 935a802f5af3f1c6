package keyring_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// Promise: a request that begins after a revocation, a disabling or a rotation without overlap has returned is refused,
// however many others are on their way: in 1,000 trials under load not one gets in.
func TestNothingGetsInAfterRevocation(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	const trials, hammers = 1000, 8
	ends := []func(context.Context, gate.Permit, string) error{
		func(ctx context.Context, p gate.Permit, id string) error {
			_, err := h.ring.Revoke(ctx, p, id, 0)
			return err
		},
		func(ctx context.Context, p gate.Permit, id string) error {
			_, err := h.ring.Disable(ctx, p, id, 0)
			return err
		},
		func(ctx context.Context, p gate.Permit, id string) error {
			_, _, err := h.ring.Rotate(ctx, p, id, 0, 0)
			return err
		},
		func(ctx context.Context, p gate.Permit, id string) error {
			_, err := h.ring.Quarantine(ctx, p, id, 0)
			return err
		},
	}
	var before, during, after atomic.Int64
	for trial := range trials {
		rec, text := h.create(h.one, secretKey())
		credential := gate.Credential{Key: text, Circumstances: from()}
		var ended atomic.Bool
		var ready, all sync.WaitGroup
		ready.Add(hammers)
		for range hammers {
			all.Go(func() {
				for first, late := true, 0; late < 3; first = false {
					begun := ended.Load() // the call had returned when this request began
					if in := h.admitted(credential); in && begun {
						after.Add(1)
					} else if in && ended.Load() {
						during.Add(1)
					} else if in {
						before.Add(1)
					}
					if first {
						ready.Done()
					}
					if begun {
						late++
					}
					runtime.Gosched()
				}
			})
		}
		ready.Wait()
		if err := ends[trial%len(ends)](t.Context(), h.one, rec.ID); err != nil {
			t.Fatal(err)
		}
		ended.Store(true)
		all.Wait()
	}
	t.Logf("%d trials: %d requests were let in before the call returned, %d were on their way, %d began after it", trials, before.Load(), during.Load(), after.Load())
	if after.Load() != 0 || before.Load() < trials {
		t.Errorf("let in before: %d, after: %d", before.Load(), after.Load())
	}
}

func (h *house) admitted(credential gate.Credential) bool {
	caller, err := h.gate.Identify(h.t.Context(), credential, access.ReadEvents)
	if err != nil {
		return false
	}
	_, err = h.gate.Admit(h.t.Context(), caller, access.Attempt{}, gate.Cost{Requests: 1})
	return err == nil
}
