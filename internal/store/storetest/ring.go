package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/ledger"
	"github.com/weir-analytics/weir/internal/problem"
)

// house is a ring over a store, with a door to it.
type house struct {
	t      *testing.T
	stores Stores
	now    time.Time
	ring   *keyring.Ring
	gate   *gate.Gate
	permit gate.Permit // of the operator of prj_1
}

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

// move opens a ring over a store, as a start of the program does.
func move(t *testing.T, s Stores, at time.Time) *house {
	t.Helper()
	h := &house{t: t, stores: s, now: at}
	now := func() time.Time { return h.now }
	opened := rand.Text()
	made := 0
	id := func() string { made++; return fmt.Sprint(opened, made) }
	ring, err := keyring.Open(t.Context(), s.Keys, keyring.Config{Now: now, NewID: id})
	if err != nil {
		t.Fatal(err)
	}
	h.ring, h.gate = ring, gate.New(ring, nil, freely{}, silence{}, now, id)
	operator, err := ring.Operator("prj_1")
	if err != nil {
		t.Fatal(err)
	}
	if h.permit, err = h.ask(operator, access.WriteKeys); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) ask(text access.Text, action access.Action) (gate.Permit, error) {
	caller, err := h.gate.Identify(h.t.Context(), gate.Credential{Key: text, Circumstances: access.Circumstances{Via: access.InHeader}}, action)
	if err != nil {
		return gate.Permit{}, err
	}
	return h.gate.Admit(h.t.Context(), caller, access.Attempt{}, gate.Cost{})
}

func (h *house) create() (keyring.Record, access.Text, error) {
	rec, secrets, err := h.ring.Create(h.t.Context(), h.permit, keyring.New{
		Kind: access.Secret, Mode: access.Live, Label: "label", Scopes: access.EventsRead | access.EventsWrite,
	})
	return rec, secrets.Key, err
}

// agree fails unless the snapshot has what the store has.
func (h *house) agree(when string) {
	h.t.Helper()
	err := h.stores.Keys.EachKey(h.t.Context(), func(r keyring.Record) error {
		lookup, _ := access.LookupOf(r.ID)
		e, ok := h.ring.Lookup(lookup)
		if !ok {
			return fmt.Errorf("the snapshot does not have %+v", r)
		}
		k := e.Key
		if k.Scopes != r.Scopes || k.State != r.State || keyring.WriteSettings(&k.Bounds) != keyring.WriteSettings(&r.Bounds) || !k.RevokedAt.Equal(r.RevokedAt) ||
			e.Digest != r.Digest || e.Generation != r.Generation || len(e.Former) != len(r.Former) || !k.MintedAt.Equal(r.MintedAt) {
			return fmt.Errorf("the store has %+v, the snapshot %+v", r, e)
		}
		return nil
	})
	if err != nil {
		h.t.Fatalf("%s: %v", when, err)
	}
}

// story makes, narrows, rotates and revokes keys, and reports what was confirmed.
func (h *house) story(rec keyring.Record, between func(step string)) (narrowed, revoked bool) {
	h.t.Helper()
	_, _, _ = h.create()
	between("create")
	_, err := h.ring.Update(h.t.Context(), h.permit, rec.ID, keyring.Change{Scopes: ptr(access.EventsRead)})
	narrowed = err == nil
	between("update")
	_, _, _ = h.ring.Rotate(h.t.Context(), h.permit, rec.ID, time.Hour, 0)
	between("rotate")
	_, _ = h.ring.SetPolicy(h.t.Context(), h.permit, 0, false, func(p *access.Policy) error { p.Limits.Daily.Most++; return nil })
	between("policy")
	lookup, _ := access.LookupOf(rec.ID)
	e, _ := h.ring.Lookup(lookup)
	h.ring.Expose(h.t.Context(), rec.ID, e.Generation, gate.ExposedInURL, h.now)
	between("expose")
	_, err = h.ring.Revoke(h.t.Context(), h.permit, rec.ID, 0)
	between("revoke")
	return narrowed, err == nil
}

//go:fix inline
func ptr[T any](v T) *T { return new(v) }

// Promise: whichever call to the database fails, before or after it had its effect, the snapshot says what the store
// says, and what was confirmed holds, then and after a restart.
func ringAndStoreAgree(t *testing.T, open Open) {
	var faults Faults
	s := open(t, faults.Wrap)
	establish(t, s)
	for _, how := range []Failure{Before, LostReply} {
		for n, reached := 1, true; reached; n++ {
			h := move(t, s, start())
			rec, text, err := h.create()
			if err != nil {
				t.Fatal(err)
			}
			plan := func(call int) Failure {
				if call == n {
					return how
				}
				return Well
			}
			faults.Plan(plan)
			var done int
			narrowed, revoked := h.story(rec, func(step string) {
				done += faults.Calls()
				faults.Plan(nil)
				h.agree(fmt.Sprintf("call %d fails (%d): %s", n, how, step))
				so := done
				faults.Plan(func(call int) Failure { return plan(so + call) })
			})
			faults.Plan(nil)
			reached = done >= n
			h.confirmed(text, narrowed, revoked)
			move(t, s, start()).confirmed(text, narrowed, revoked)
		}
	}
}

// confirmed fails if a key can do what it was confirmed to have lost.
func (h *house) confirmed(text access.Text, narrowed, revoked bool) {
	h.t.Helper()
	if _, err := h.ask(text, access.WriteEvents); err == nil && narrowed {
		h.t.Error("a narrowed key does what it could")
	}
	if _, err := h.ask(text, access.ReadEvents); err == nil && revoked {
		h.t.Error("a revoked key works")
	}
}

// Promise: when the database goes away at any call and stays away, and comes back later, the same holds, and the next
// change mends what was in doubt.
func ringAndStoreAgreeAfterOutages(t *testing.T, open Open) {
	var faults Faults
	s := open(t, faults.Wrap)
	establish(t, s)
	for _, how := range []Failure{Before, LostReply} {
		for n, reached := 1, true; reached; n++ {
			h := move(t, s, start())
			rec, text, err := h.create()
			if err != nil {
				t.Fatal(err)
			}
			faults.Plan(func(call int) Failure {
				switch {
				case call < n:
					return Well
				case call == n:
					return how
				}
				return Before
			})
			narrowed, revoked := h.story(rec, func(string) {})
			reached = faults.Calls() >= n
			faults.Plan(nil)
			h.confirmed(text, narrowed, revoked)
			if _, _, err := h.create(); err != nil {
				t.Fatal(err)
			}
			h.agree(fmt.Sprintf("away from call %d (%d)", n, how))
			h.confirmed(text, narrowed, revoked)
			move(t, s, start()).confirmed(text, narrowed, revoked)
		}
	}
}

// Promise: whichever call to the database fails, every decision is counted exactly once when the database is back.
func ledgerCountsThroughFailures(t *testing.T, open Open) {
	var faults Faults
	s := open(t, faults.Wrap)
	establish(t, s)
	sum := int64(0)
	for _, how := range []Failure{Before, LostReply} {
		for n, reached := 1, true; reached; n++ {
			l, err := ledger.New(s.Ledger, ledger.Config{Now: start, Log: slog.New(slog.DiscardHandler), Writer: fmt.Sprint("w", how, n)})
			if err != nil {
				t.Fatal(err)
			}
			faults.Plan(func(call int) Failure {
				if call == n {
					return how
				}
				return Well
			})
			for round := range 2 {
				d := denial(round)
				d.ID = fmt.Sprint("d", how, n, round)
				l.Deny(d)
				l.Allow(gate.Use{At: start(), Project: "prj_1", KeyID: numbered(1), Action: access.WriteEvents, Environment: "production", Items: 1})
				_ = l.Flush(t.Context()) // whether it fails is not the question
				sum++
			}
			reached = faults.Calls() >= n
			faults.Plan(nil)
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			seen, err := s.Ledger.Shapes(t.Context(), ledger.ShapeQuery{Project: "prj_1", KeyID: numbered(1), Live: true, To: start().AddDate(1, 0, 0), Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			kept, list := len(denials(t, s, ledger.DenialQuery{Project: "prj_1"})), counts(t, s, always("prj_1"))
			if len(list) != 2 || list[0].Requests != sum || list[1].Requests != sum || int64(kept) != sum ||
				len(seen) != 2 || seen[0].Requests != sum || seen[1].Requests != sum {
				t.Fatalf("call %d fails (%d): %d came, counted %+v, saw %+v, kept %d", n, how, sum, list, seen, kept)
			}
		}
	}
}

// Promise: a revocation holds whatever the clock says then and later, and a list shows every key once however the clock
// stepped while they were made.
func clockSteps(t *testing.T, open Open) {
	s := plain(t, open)
	establish(t, s)
	h := move(t, s, start())
	var made []string
	steps := []time.Duration{0, time.Hour, -24 * time.Hour, 0, 365 * 24 * time.Hour, -60 * 365 * 24 * time.Hour, time.Microsecond}
	for _, step := range steps {
		h.now = h.now.Add(step)
		rec, text, err := h.create()
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, rec.ID)
		for _, at := range []time.Time{h.now.Add(-time.Hour), time.Unix(0, 0), h.now} {
			h.now = at
			if _, err := h.ring.Revoke(t.Context(), h.permit, rec.ID, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := h.ask(text, access.ReadEvents); problem.Of(err) != problem.KeyNotAccepted {
				t.Errorf("at %v: %v", at, err)
			}
			if _, err := move(t, s, start()).ask(text, access.ReadEvents); problem.Of(err) != problem.KeyNotAccepted {
				t.Errorf("at %v, after a restart: %v", at, err)
			}
		}
	}
	var listed []string
	for cursor := ""; ; {
		page, next, err := h.ring.List(t.Context(), h.permit, "", cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			listed = append(listed, r.ID)
		}
		if cursor = next; next == "" {
			break
		}
	}
	slices.Sort(listed)
	slices.Sort(made)
	if !slices.Equal(listed, made) {
		t.Errorf("listed %v, made %v", listed, made)
	}
}
