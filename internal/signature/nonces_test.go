package signature_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/signature"
)

// used is a proven signature with a nonce.
func used(key, nonce string, created time.Time) signature.Verified {
	return signature.Verified{Scheme: signature.Message, KeyID: key, Nonce: nonce, Created: created, Until: created.Add(signature.Window)}
}

// Promise: a signature is accepted once, while it counts, to its last second; another key may use the same nonce.
func TestReplaysAreRefused(t *testing.T) {
	t.Parallel()
	memory := signature.NewNonces(now())
	v := used(keyID, nonce, now())
	if err := memory.Use(v, now()); err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{0, time.Second, 299 * time.Second, 300 * time.Second} {
		if err := memory.Use(v, now().Add(after)); kind(err) != signature.Replayed {
			t.Errorf("after %s: %v", after, err)
		}
	}
	for after, want := range map[time.Duration]signature.Kind{300*time.Second + 1: signature.Expired, 301 * time.Second: signature.Expired, time.Hour: signature.Expired} {
		if err := memory.Use(v, now().Add(after)); kind(err) != want {
			t.Errorf("after %s: %v", after, err)
		}
	}
	if err := memory.Use(used("key_000000000000", nonce, now()), now()); err != nil {
		t.Errorf("another key: %v", err)
	}
	if err := memory.Use(used(keyID, nonce+"x", now()), now()); err != nil {
		t.Errorf("another nonce: %v", err)
	}
}

// Promise: a whole request is accepted once, be it signed with a secret, a private key, or as IEX has it.
func TestRequestsAreAcceptedOnce(t *testing.T) {
	t.Parallel()
	memory := signature.NewNonces(now())
	for name, s := range signers(t) {
		s.KeyID = keyID
		r, body := signedRequest(t, s)
		r.Header.Set("X-Unsigned", name)
		for i, want := range []signature.Kind{0, signature.Replayed} {
			v, err := check(r, body, material(t), now())
			if err != nil {
				t.Fatal(err)
			}
			v.Nonce += name // the two signers of the test use the same
			if err := memory.Use(v, now()); kind(err) != want {
				t.Errorf("%s, use %d: %v", name, i, err)
			}
		}
	}
	r, body := iexRequest(t, iexAddress, payload)
	for i, want := range []signature.Kind{0, signature.Replayed} {
		v, err := check(r, body, material(t), now())
		if err != nil {
			t.Fatal(err)
		}
		if err := memory.Use(v, now()); kind(err) != want {
			t.Errorf("iex, use %d: %v", i, err)
		}
	}
}

// Promise: what was signed before the start, when nobody remembers its nonce, is refused, and the fault says why; what
// was signed in the second of the start counts.
func TestSignaturesFromBeforeTheStart(t *testing.T) {
	t.Parallel()
	memory := signature.NewNonces(now().Add(700 * time.Millisecond))
	for after, want := range map[time.Duration]signature.Kind{
		-300 * time.Second: signature.Forgotten, -time.Second: signature.Forgotten, 0: 0, time.Second: 0, 300 * time.Second: 0,
	} {
		if err := memory.Use(used(keyID, nonce+after.String(), now().Add(after)), now().Add(time.Second)); kind(err) != want {
			t.Errorf("created %s after the start: %v", after, err)
		}
	}
}

// Promise: setting the clock back brings no nonce back to life, and setting it forward and back again stops nobody for
// longer than a signature counts.
func TestClockThatSteps(t *testing.T) {
	t.Parallel()
	memory := signature.NewNonces(now())
	old := used(keyID, nonce, now())
	if err := memory.Use(old, now()); err != nil {
		t.Fatal(err)
	}
	later := now().Add(time.Hour)
	if err := memory.Use(used(keyID, nonce, later), later); err != nil {
		t.Fatalf("the same nonce, an hour later: %v", err)
	}
	if err := memory.Use(old, now().Add(time.Second)); kind(err) != signature.Forgotten {
		t.Errorf("the clock is set back, and the old signature is used again: %v", err)
	}
	if err := memory.Use(used(keyID, nonce, now().Add(2*time.Hour)), now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := memory.Use(used(keyID, nonce, later), later.Add(time.Second)); kind(err) != signature.Forgotten {
		t.Errorf("set back again: %v", err)
	}
	for after, want := range map[time.Duration]signature.Kind{0: signature.Forgotten, time.Second: 0} {
		if err := memory.Use(used(keyID, "fresh "+after.String(), later.Add(after)), later.Add(after)); kind(err) != want {
			t.Errorf("a new signature, %s after the last that was forgotten: %v", after, err)
		}
	}
}

// Promise: of any number of requests that use a nonce at the same time, one gets through.
func TestOneOfManyGetsThrough(t *testing.T) {
	t.Parallel()
	memory := signature.NewNonces(now())
	for round := range 200 {
		v := used(keyID, nonce+strconv.Itoa(round), now())
		var through atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if memory.Use(v, now()) == nil {
					through.Add(1)
				}
			})
		}
		all.Wait()
		if n := through.Load(); n != 1 {
			t.Fatalf("round %d: %d got through", round, n)
		}
	}
}

// Promise: what has not been verified cannot be used.
func TestUnverifiedNonces(t *testing.T) {
	t.Parallel()
	memory := signature.NewNonces(now())
	for _, v := range []signature.Verified{{}, used("", nonce, now()), used(keyID, "", now()), {KeyID: keyID, Nonce: nonce, Created: now(), Until: now()}} {
		if err := memory.Use(v, now()); kind(err) != signature.Missing {
			t.Errorf("%+v: %v", v, err)
		}
	}
}
