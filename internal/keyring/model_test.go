package keyring_test

import (
	"encoding/json"
	"errors"
	"flag"

	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/audit"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
)

// TestMain asks more of the properties than rapid does by itself. -rapid.checks on the command line is read later and wins.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "500"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// history is a random one: of keys of one project, a store that sometimes fails, and restarts. It knows what was
// confirmed, and every secret that was ever shown.
type history struct {
	*house
	secrets []shown
	ended   map[string]bool         // revocation was confirmed
	off     map[string]access.State // confirmed to be disabled or in quarantine, and nothing has tried to restore it since
	doubts  bool                    // a failure may be unsettled
}

// shown is a secret that somebody has.
type shown struct {
	id    string
	text  access.Text
	until time.Time // zero: no confirmed rotation has ended it
}

func begin(t *testing.T) *history {
	h := &history{house: with(t, keyring.Config{Random: rand.NewChaCha8([32]byte{1}), Vault: &vault{keys: []byte{1}}, RevokeInCleartext: true}), ended: map[string]bool{}, off: map[string]access.State{}}
	if err := h.make(secretKey()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *history) make(n keyring.New) error {
	rec, secrets, err := h.ring.Create(h.t.Context(), h.one, n)
	if err == nil {
		h.secrets = append(h.secrets, shown{id: rec.ID, text: secrets.Key})
	}
	return err
}

// ids are those of the keys that the store has.
func (h *history) ids() []string { return slices.Sorted(maps.Keys(h.shelf.keys)) }

func (h *history) draw(t *rapid.T) string { return rapid.SampledFrom(h.ids()).Draw(t, "key") }

// errUnsaid is the outcome of what does not say whether it changed anything.
var errUnsaid = errors.New("whether it changed anything is not said")

// step does one thing to the ring while the store fails or does not, and then looks at everything.
func (h *history) step(do func(*rapid.T) error) func(*rapid.T) {
	return func(t *rapid.T) {
		plan := rapid.SampledFrom([]string{"well", "well", "well", "once", "away"}).Draw(t, "store")
		if plan != "well" {
			n := rapid.IntRange(1, 3).Draw(t, "from call")
			how := rapid.SampledFrom([]failure{before, lostReply}).Draw(t, "fails")
			h.shelf.failing(func(call int) failure {
				switch {
				case call == n:
					return how
				case call > n && plan == "away":
					return before
				}
				return none
			})
		}
		revisions := h.revisions()
		entries := len(h.shelf.entries)
		err := do(t)
		h.shelf.failing(nil)
		h.doubts = err != nil && (h.doubts || plan == "away") // a change begins with settling what is in doubt
		h.countedUp(t, revisions, entries)
		h.look(t)
	}
}

func (h *history) revisions() map[string]int64 {
	all := map[string]int64{"prj_1": h.shelf.policies["prj_1"].Revision}
	for id, rec := range h.shelf.keys {
		all[id] = rec.Revision
	}
	return all
}

// countedUp fails unless each thing that is of a new revision is of the next one, and has exactly one new entry in the
// audit, which says what it became.
func (h *history) countedUp(t *rapid.T, before map[string]int64, entries int) {
	fresh := h.shelf.entries[entries:]
	for subject, now := range h.revisions() {
		about := slices.DeleteFunc(slices.Clone(fresh), func(e audit.Entry) bool { return e.Subject != subject })
		if int64(len(about)) != now-before[subject] || now > before[subject]+1 {
			t.Fatalf("%s went from revision %d to %d with %d entries", subject, before[subject], now, len(about))
		}
		if len(about) == 0 || subject == "prj_1" {
			continue
		}
		var after struct {
			Revision   int64
			State      string
			Hint       string
			Generation int
		}
		rec := h.shelf.keys[subject]
		if err := json.Unmarshal(about[0].After, &after); err != nil || after.Revision != now || after.State != rec.State.String() || after.Hint != rec.Hint || after.Generation != rec.Generation {
			t.Fatalf("the entry says %s of %+v, %v", about[0].After, rec, err)
		}
	}
}

// look compares the snapshot with the store, and with what was confirmed.
func (h *history) look(t *rapid.T) {
	if err := h.disagreement(); err != nil && !h.doubts {
		t.Fatal(err)
	}
	now := h.clock.now()
	for _, s := range h.secrets {
		lookup, _ := access.LookupOf(s.id)
		e, found := h.ring.Lookup(lookup)
		if !found {
			continue
		}
		rec := h.shelf.keys[s.id]
		mayNow, mayByStore := accepts(e.Digest, formerOf(e), s.text, now), accepts(rec.Digest, rec.Former, s.text, now)
		if !e.Key.RevokedAt.IsZero() || e.Key.State == access.Disabled {
			mayNow = false
		}
		if mayNow && (!mayByStore || !rec.RevokedAt.IsZero() || rec.State == access.Disabled) {
			t.Fatalf("a secret of %s is accepted, and the store has %+v", s.id, rec)
		}
		if mayNow && !s.until.IsZero() && !now.Before(s.until) {
			t.Fatalf("a secret of %s is accepted after its end", s.id)
		}
		h.asksInVain(t, s)
		project := project("prj_1")
		project.Policy = h.shelf.policies["prj_1"].Policy
		stored := access.Key{
			ID: rec.ID, Project: &project, Kind: rec.Kind, Mode: rec.Mode, Scopes: rec.Scopes, State: rec.State, Bounds: rec.Bounds,
			MintedAt: rec.MintedAt, RevokedAt: rec.RevokedAt,
		}
		for i := range 6 {
			a := drawn[(i*7+len(h.shelf.entries))%len(drawn)]
			a.At = now
			if access.Decide(e.Key, &a).Allowed() && !access.Decide(&stored, &a).Allowed() {
				t.Fatalf("the snapshot allows %+v, which the store does not: %+v and %+v", a, e.Key, rec)
			}
		}
	}
}

// asksInVain goes through the gate with a secret whose key was confirmed to be of no use.
func (h *history) asksInVain(t *rapid.T, s shown) {
	off := h.off[s.id] != access.Active
	if !off && !h.ended[s.id] {
		return
	}
	caller, err := h.gate.Identify(h.t.Context(), gate.Credential{Key: s.text, Circumstances: from()}, access.HoldKey)
	if err != nil {
		return
	}
	if _, err := h.gate.Admit(h.t.Context(), caller, access.Attempt{}, gate.Cost{}); err == nil {
		t.Fatalf("%s is accepted; revoked: %v, off: %v", s.id, h.ended[s.id], off)
	}
}

func formerOf(e gate.Entry) (list []keyring.Former) {
	for _, f := range e.Former {
		list = append(list, keyring.Former{Digest: f.Digest, Until: f.Until})
	}
	return list
}

func accepts(digest access.Digest, former []keyring.Former, text access.Text, now time.Time) bool {
	parsed, err := access.ParseKey(text.Reveal())
	if err != nil {
		panic(err)
	}
	return digest == parsed.Digest || slices.ContainsFunc(former, func(f keyring.Former) bool { return f.Digest == parsed.Digest && now.Before(f.Until) })
}

// Promise: whatever is done to keys and policies, however the store fails and whenever the program restarts, the snapshot
// never allows more than the store's record does; a key that was confirmed to be revoked, disabled or in quarantine is
// not accepted; a secret is not accepted after its end; each change has exactly one entry in the audit, and what did not
// change has none; and revisions count up by one.
func TestEveryHistoryIsSafe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := begin(t)
		ctx := t.Context()
		rt.Repeat(map[string]func(*rapid.T){
			"create": h.step(func(rt *rapid.T) error {
				n := secretKey()
				n.Kind = rapid.SampledFrom([]access.Kind{access.Public, access.Secret}).Draw(rt, "kind")
				n.Bounds = drawBounds(rt, n.Kind, n.Mode, h.clock.now())
				return h.make(n)
			}),
			"update": h.step(func(rt *rapid.T) error {
				id := h.draw(rt)
				c := drawChange(rt, h.shelf.keys[id].Kind, access.Live, h.clock.now())
				c.Basis, _ = h.ring.Peek("prj_1", id)
				_, err := h.ring.Update(ctx, h.one, id, c)
				return err
			}),
			"rotate": h.step(func(rt *rapid.T) error {
				id, overlap := h.draw(rt), rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(rt, "overlap")
				end := h.clock.now().Add(overlap)
				_, secrets, err := h.ring.Rotate(ctx, h.one, id, overlap, 0)
				if err != nil {
					return err
				}
				for i := range h.secrets {
					if s := &h.secrets[i]; s.id == id && (s.until.IsZero() || s.until.After(end)) {
						s.until = end
					}
				}
				h.secrets = append(h.secrets, shown{id: id, text: secrets.Key})
				return nil
			}),
			"disable or quarantine": h.step(func(rt *rapid.T) error {
				id, state, set := h.draw(rt), access.Disabled, h.ring.Disable
				if rapid.Bool().Draw(rt, "quarantine") {
					state, set = access.Quarantined, h.ring.Quarantine
				}
				_, err := set(ctx, h.one, id, 0)
				if err == nil {
					h.off[id] = state
				}
				return err
			}),
			"restore": h.step(func(rt *rapid.T) error {
				id := h.draw(rt)
				c := drawChange(rt, h.shelf.keys[id].Kind, access.Live, h.clock.now())
				if rapid.Bool().Draw(rt, "as it was") {
					c = keyring.Change{}
				}
				c.Basis, _ = h.ring.Peek("prj_1", id)
				delete(h.off, id)
				_, err := h.ring.Restore(ctx, h.one, id, c)
				return err
			}),
			"revoke": h.step(func(rt *rapid.T) error {
				id := h.draw(rt)
				_, err := h.ring.Revoke(ctx, h.one, id, 0)
				h.ended[id] = h.ended[id] || err == nil
				return err
			}),
			"expose": h.step(func(rt *rapid.T) error {
				how := rapid.SampledFrom([]gate.Exposure{gate.ExposedInURL, gate.ExposedInCleartext}).Draw(rt, "how")
				id := h.draw(rt)
				h.ring.Expose(ctx, id, max(1, h.generation(id)-rapid.IntRange(0, 2).Draw(rt, "secrets ago")), how, h.clock.now())
				return errUnsaid
			}),
			"signing secret": h.step(func(rt *rapid.T) error {
				_, _, err := h.ring.NewSigningSecret(ctx, h.one, h.draw(rt), 0)
				return err
			}),
			"policy": h.step(func(rt *rapid.T) error {
				_, err := h.ring.SetPolicy(ctx, h.one, 0, false, func(p *access.Policy) error {
					p.Secret.Scopes = rapid.SampledFrom(append(someScopes, 0)).Draw(rt, "ceiling")
					p.Public.RequireNetworks = rapid.Bool().Draw(rt, "networks required")
					p.Secret.RequireSignature = rapid.Bool().Draw(rt, "signature required")
					p.Limits = drawLimits(rt)
					return nil
				})
				return err
			}),
			"hand over": h.step(func(rt *rapid.T) error {
				people := []string{"ada@example.com", "ben@example.com"}
				_, _, _ = h.ring.HandOver(ctx, h.one, rapid.SampledFrom(people).Draw(rt, "from"), rapid.SampledFrom(people).Draw(rt, "to"))
				return errUnsaid
			}),
			"time": func(rt *rapid.T) {
				h.clock.advance(rapid.SampledFrom([]time.Duration{time.Microsecond, time.Minute, time.Hour, -time.Minute}).Draw(rt, "passes"))
				h.look(rt)
			},
			"restart": func(rt *rapid.T) {
				h.open()
				h.doubts = false
				h.look(rt)
			},
		})
	})
}

// drawn are some requests.
var drawn = func() (list []access.Attempt) {
	for i := range 60 {
		list = append(list, *rapid.Custom(func(t *rapid.T) *access.Attempt { return drawAttempt(t, time.Time{}) }).Example(i))
	}
	return list
}()
