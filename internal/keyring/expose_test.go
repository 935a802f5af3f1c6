package keyring_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// journal is where a ring logs to.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func logging(config keyring.Config) (keyring.Config, *journal) {
	j := &journal{}
	config.Log = slog.New(slog.NewTextHandler(j, nil))
	return config, j
}

// sent goes through the gate with a key that came in some way.
func (h *house) sent(key access.Text, how func(*access.Circumstances)) error {
	c := from()
	how(&c)
	_, err := h.gate.Identify(h.t.Context(), gate.Credential{Key: key, Circumstances: c}, access.ReadEvents)
	return err
}

func inURL(c *access.Circumstances)       { c.Via = access.InQuery }
func inCleartext(c *access.Circumstances) { c.Cleartext = true }
func inBrowser(c *access.Circumstances)   { c.Browser = true }

// Promise: that a secret was seen where it should not be is noted the first time, with the place, the time and an entry in
// the audit, and is no change of what the key may do; a new secret is not exposed.
func TestAnExposureIsNotedOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		how  func(*access.Circumstances)
		want gate.Exposure
	}{{inURL, gate.ExposedInURL}, {inCleartext, gate.ExposedInCleartext}, {inBrowser, gate.ExposedInBrowser}} {
		config, log := logging(keyring.Config{})
		h := with(t, config)
		rec, text := h.create(h.one, secretKey())
		seen := h.clock.now()
		for range 3 {
			if err := h.sent(text, c.how); err == nil {
				t.Errorf("%s: let in", c.want)
			}
			h.clock.advance(time.Minute)
			_ = h.sent(text, inURL)
		}
		got := h.shelf.key(rec.ID)
		if got.Exposed != c.want || !got.ExposedAt.Equal(seen) || got.Revision != 2 || !h.works(text) {
			t.Errorf("%s: noted %+v", c.want, got)
		}
		if entries := h.shelf.audited(rec.ID); len(entries) != 2 || entries[1] != "key.exposed" || h.shelf.entries[1].Actor != "system" {
			t.Errorf("%s: audited %v", c.want, entries)
		}
		if n := strings.Count(log.String(), "was seen"); n != 1 || !strings.Contains(log.String(), rec.ID) {
			t.Errorf("%s: logged %s", c.want, log)
		}
		calls := h.shelf.calls
		for range 100 {
			h.ring.Expose(t.Context(), rec.ID, 1, gate.ExposedInURL, seen)
		}
		h.open()
		before := h.shelf.calls
		h.ring.Expose(t.Context(), rec.ID, 1, gate.ExposedInURL, seen)
		if calls != before-2 || h.shelf.calls != before {
			t.Errorf("%s: a key that is known to be exposed costs calls of the store", c.want)
		}
		rotated, next := h.rotate(rec.ID, 0)
		if rotated.Exposed != "" || !rotated.ExposedAt.IsZero() {
			t.Errorf("%s: the new secret is exposed: %+v", c.want, rotated)
		}
		_ = h.sent(next, inURL)
		if got := h.shelf.key(rec.ID); got.Exposed != gate.ExposedInURL || got.Revision != 4 {
			t.Errorf("%s: of the new secret: %+v", c.want, got)
		}
	}
}

// Promise: what cannot be exposed is not: a public key, a wrong secret, the operator's, a key of nobody, a revoked one.
func TestWhatIsNoSecretIsNotExposed(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	n := secretKey()
	n.Kind, n.Scopes = access.Public, access.EventsWrite
	_, public := h.create(h.one, n)
	_ = h.sent(public, inURL)
	_ = h.sent(public, inCleartext)
	rec, text := h.create(h.one, secretKey())
	other := access.SecretText(access.WriteKey(access.Secret, access.Live, rec.ID[len("key_"):], strings.Repeat("0", access.SecretLength)))
	_ = h.sent(other, inURL)
	operator, err := h.ring.Operator("prj_1")
	if err != nil {
		t.Fatal(err)
	}
	_ = h.sent(operator, inURL)
	for _, id := range []string{"", "key_", "key_000000000000", "key_zzzzzzzzzzzz", h.one.Key().ID} {
		h.ring.Expose(t.Context(), id, 1, gate.ExposedInURL, h.clock.now())
	}
	if len(h.shelf.entries) != 2 {
		t.Errorf("%d entries", len(h.shelf.entries))
	}
	if _, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0); err != nil {
		t.Fatal(err)
	}
	_ = h.sent(text, inURL)
	if got := h.shelf.key(rec.ID); got.Exposed != "" {
		t.Errorf("a revoked key: %+v", got)
	}
}

// Promise: where the operator wants it, a secret that came in cleartext is good for nothing from then on, be it known to
// be exposed already or not; one that was seen elsewhere is only noted.
func TestASecretInCleartextCanBeEnded(t *testing.T) {
	t.Parallel()
	h := with(t, keyring.Config{RevokeInCleartext: true})
	for _, known := range []bool{false, true} {
		rec, text := h.create(h.one, secretKey())
		if known {
			_ = h.sent(text, inURL)
		}
		if !h.works(text) {
			t.Fatal("it was ended for less")
		}
		_ = h.sent(text, inCleartext)
		if _, err := h.ask(text, access.ReadEvents, access.Attempt{}); problem.Of(err) != problem.KeyNotAccepted {
			t.Errorf("known %v: %v", known, err)
		}
		want := map[bool]gate.Exposure{false: gate.ExposedInCleartext, true: gate.ExposedInURL}[known]
		if got := h.shelf.key(rec.ID); got.RevokedAt.IsZero() || got.Exposed != want {
			t.Errorf("known %v: %+v", known, got)
		}
		h.agree(t, "cleartext")
	}
}

// Promise: an older secret that is seen says nothing of the present one, nor ends it: while it is still good it is noted
// nowhere, or ended by itself where the operator wants that, and after its end it means nothing at all.
func TestAnOldSecretExposesNoNewOne(t *testing.T) {
	t.Parallel()
	for _, end := range []bool{false, true} {
		h := with(t, keyring.Config{RevokeInCleartext: end})
		rec, first := h.create(h.one, secretKey())
		_, second := h.rotate(rec.ID, time.Hour)
		_, third := h.rotate(rec.ID, time.Minute)
		_ = h.sent(second, inURL)
		_ = h.sent(second, inCleartext)
		if got := h.shelf.key(rec.ID); got.Exposed != "" || !got.RevokedAt.IsZero() || h.works(second) == end || !h.works(third) || !h.works(first) {
			t.Errorf("%v: it is %+v", end, got)
		}
		if actions := h.shelf.audited(rec.ID); (actions[len(actions)-1] == "key.exposed") != end {
			t.Errorf("%v: audited %v", end, actions)
		}
		h.clock.advance(time.Hour)
		revision := h.shelf.key(rec.ID).Revision
		_ = h.sent(first, inCleartext)
		h.rotate(rec.ID, 0)
		_ = h.sent(first, inCleartext)
		_ = h.sent(third, inCleartext)
		if got := h.shelf.key(rec.ID); got.Exposed != "" || !got.RevokedAt.IsZero() || got.Revision != revision+1 {
			t.Errorf("%v: ended secrets did something: %+v", end, got)
		}
		h.agree(t, "at the end")
	}
}

// Promise: a note that the store failed to take is made the next time, once, whether the store had taken it or not; and
// that the secret was seen is not forgotten by ending it.
func TestAFailedNoteIsMadeTheNextTime(t *testing.T) {
	t.Parallel()
	for _, how := range []failure{before, lostReply} {
		for _, end := range []bool{false, true} {
			config, log := logging(keyring.Config{RevokeInCleartext: end})
			h := with(t, config)
			rec, text := h.create(h.one, secretKey())
			h.shelf.failing(away(how))
			_ = h.sent(text, inCleartext)
			if !strings.Contains(log.String(), "could not be noted") {
				t.Errorf("logged %s", log)
			}
			if h.works(text) == (end && how == lostReply) {
				t.Errorf("%v %v: it works: %v", how, end, h.works(text))
			}
			h.shelf.failing(nil)
			_ = h.sent(text, inCleartext)
			h.create(h.one, secretKey()) // settles
			if got := h.shelf.key(rec.ID); got.Exposed != gate.ExposedInCleartext || got.Revision != 2 || got.RevokedAt.IsZero() == end {
				t.Errorf("%v %v: noted %+v", how, end, got)
			}
			h.agree(t, "noted")
			calls := h.shelf.calls
			_ = h.sent(text, inCleartext)
			if h.shelf.calls != calls {
				t.Errorf("%v %v: it is noted again", how, end)
			}
		}
	}
}

// Promise: of many requests with an exposed secret at the same time one notes it, and none waits longer than a second for
// a store that does not answer, or for somebody else's change.
func TestARequestHardlyWaitsForANote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := build(t, nil)
		rec, text := h.create(h.one, secretKey())
		var calls sync.WaitGroup
		slow := func(ctx context.Context) { calls.Done(); <-ctx.Done() }
		calls.Add(1)
		h.shelf.slow = slow
		began := time.Now()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				_ = h.sent(text, inURL)
				if took := time.Since(began); took > time.Second {
					t.Errorf("request %d took %s", i, took)
				}
			})
		}
		all.Wait()
		calls.Wait() // and one more call than one would panic
		calls.Add(1)
		change, cancel := context.WithCancel(t.Context())
		go func() { _, _ = h.ring.Disable(change, h.one, rec.ID, 0) }()
		synctest.Wait()
		began = time.Now()
		_ = h.sent(text, inURL)
		if took := time.Since(began); took != time.Second {
			t.Errorf("behind somebody else's change a request took %s", took)
		}
		cancel()
		synctest.Wait()
		h.shelf.slow = nil
		_ = h.sent(text, inURL)
		if got := h.shelf.key(rec.ID); got.Exposed != gate.ExposedInURL || got.Revision != 2 {
			t.Errorf("noted %+v", got)
		}
	})
}

// Promise: a secret that was seen in two ways at the same time is noted once.
func TestTwoSightingsAreOneNote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		config, log := logging(keyring.Config{})
		h := with(t, config)
		rec, text := h.create(h.one, secretKey())
		calls, release := h.shelf.calls, make(chan struct{})
		h.shelf.slow = func(context.Context) { <-release }
		for _, how := range []func(*access.Circumstances){inURL, inBrowser} {
			go func() { _ = h.sent(text, how) }()
			synctest.Wait()
		}
		close(release)
		synctest.Wait()
		if got := h.shelf.key(rec.ID); got.Exposed != gate.ExposedInURL || got.Revision != 2 || h.shelf.calls != calls+1 || strings.Contains(log.String(), "could not") {
			t.Errorf("%d calls, noted %+v, logged %s", h.shelf.calls-calls, got, log)
		}
	})
}

// Promise: the caller's going away does not keep a note from being made.
func TestANoteOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, _ := h.create(h.one, secretKey())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	h.ring.Expose(gone, rec.ID, 1, gate.ExposedInBrowser, h.clock.now())
	if got := h.shelf.key(rec.ID); got.Exposed != gate.ExposedInBrowser {
		t.Errorf("noted %+v", got)
	}
}
