package keyring_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// declared is a key of the configuration, and its text.
func declared(c byte) (keyring.Record, access.Text) {
	text := access.WriteKey(access.Secret, access.Live, strings.Repeat(string(c), access.LookupLength), strings.Repeat("s", access.SecretLength))
	parsed, err := access.ParseKey(text)
	if err != nil {
		panic(err)
	}
	return keyring.Record{
		ID: parsed.Lookup.ID(), Project: "prj_1", Kind: access.Secret, Mode: access.Live, Label: "declared", Steward: "ops@example.com",
		Scopes: access.EventsRead, Hint: access.Hint(text), Digest: parsed.Digest,
	}, access.SecretText(text)
}

// Promise: a key of the configuration works as any other, is nowhere in the store, and cannot be changed by anybody.
func TestADeclaredKeyIsReadOnly(t *testing.T) {
	t.Parallel()
	rec, text := declared('d')
	h := with(t, keyring.Config{Declared: []keyring.Record{rec}, Vault: &vault{keys: []byte{1}}})
	if !h.works(text) || len(h.shelf.keys) != 0 {
		t.Fatal("it does not work, or is stored")
	}
	_, err := h.ask(text, access.WriteEvents, access.Attempt{})
	code(t, err, problem.MissingScope)
	got, err := h.ring.Get(t.Context(), h.one, rec.ID)
	if err != nil || !got.Declared || got.CreatedBy != "configuration" || got.Generation != 1 || got.Digest != rec.Digest {
		t.Errorf("it is %+v, %v", got, err)
	}
	_, err = h.ring.Get(t.Context(), h.two, rec.ID)
	code(t, err, problem.NotFound)
	for name, do := range map[string]func(gate.Permit) error{
		"update": func(p gate.Permit) error {
			_, err := h.ring.Update(t.Context(), p, rec.ID, keyring.Change{Label: new("x")})
			return err
		},
		"rotate":  func(p gate.Permit) error { _, _, err := h.ring.Rotate(t.Context(), p, rec.ID, 0, 0); return err },
		"disable": func(p gate.Permit) error { _, err := h.ring.Disable(t.Context(), p, rec.ID, 0); return err },
		"restore": func(p gate.Permit) error {
			_, err := h.ring.Restore(t.Context(), p, rec.ID, keyring.Change{Basis: h.basis(rec.ID)})
			return err
		},
		"quarantine": func(p gate.Permit) error { _, err := h.ring.Quarantine(t.Context(), p, rec.ID, 0); return err },
		"revoke":     func(p gate.Permit) error { _, err := h.ring.Revoke(t.Context(), p, rec.ID, 0); return err },
		"signing":    func(p gate.Permit) error { _, _, err := h.ring.NewSigningSecret(t.Context(), p, rec.ID, 0); return err },
	} {
		if err := do(h.one); problem.Of(err) != problem.Conflict {
			t.Errorf("%s: %v", name, err)
		}
		if err := do(h.two); problem.Of(err) != problem.NotFound {
			t.Errorf("%s, by another project: %v", name, err)
		}
	}
	if keys, more, err := h.ring.HandOver(t.Context(), h.one, rec.Steward, "x"); err != nil || more || len(keys) != 0 {
		t.Errorf("handed over %v, %v, %v", keys, more, err)
	}
	if !h.works(text) || len(h.shelf.entries) != 0 {
		t.Error("something was done")
	}
}

// Promise: a list has the keys of the configuration first, each once, in pages of any size, whatever the clock said when
// the others were made, and narrowed as the list is.
func TestDeclaredKeysAreListedFirst(t *testing.T) {
	t.Parallel()
	var config keyring.Config
	var want []string
	for _, c := range []byte("bca") {
		rec, _ := declared(c)
		config.Declared = append(config.Declared, rec)
	}
	other, _ := declared('o')
	other.Project = "prj_2"
	testing, _ := declared('t')
	testing.Mode, testing.Steward = access.Test, "tess@example.com"
	config.Declared = append(config.Declared, other, testing)
	for _, c := range []byte("abct") {
		rec, _ := declared(c)
		want = append(want, rec.ID)
	}
	h := with(t, config)
	for _, at := range []time.Time{time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0), newClock().now()} {
		h.clock.set(at)
		for range 2 {
			rec, _ := h.create(h.one, secretKey())
			want = append(want, rec.ID)
		}
		if last := len(want); want[last-2] > want[last-1] {
			want[last-2], want[last-1] = want[last-1], want[last-2]
		}
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []string
		for cursor := ""; ; {
			page, next, err := h.ring.List(t.Context(), h.one, "", cursor, limit)
			if err != nil || len(page) > limit || next != "" && len(page) < limit {
				t.Fatalf("limit %d: a page of %d, %v", limit, len(page), err)
			}
			for _, rec := range page {
				got = append(got, rec.ID)
			}
			if cursor = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: listed %v, want %v", limit, got, want)
		}
	}
	if list, _, err := h.ring.List(t.Context(), h.one, "tess@example.com", "", 10); err != nil || len(list) != 1 || list[0].ID != testing.ID {
		t.Errorf("of a steward: %v, %v", list, err)
	}
	n := secretKey()
	n.Mode, n.Scopes = access.Test, access.KeysWrite
	_, text := h.create(h.one, n)
	if list, _, err := h.ring.List(t.Context(), h.permit(text), "", "", 10); err != nil || len(list) != 2 || list[0].ID != testing.ID {
		t.Errorf("for a test key: %v, %v", list, err)
	}
}

// Promise: a key of the configuration that cannot be stops the start, and every fault of it is named: also that its id is
// that of a stored key, or of another one.
func TestADeclaredKeyAtFaultStopsTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*keyring.Record)
		want []string
	}{
		"nothing":       {func(*keyring.Record) {}, nil},
		"first project": {func(r *keyring.Record) { r.Project = "" }, nil},
		"project":       {func(r *keyring.Record) { r.Project = "prj_9" }, []string{"no project"}},
		"id":            {func(r *keyring.Record) { r.ID = "key_x" }, []string{"no id"}},
		"digest":        {func(r *keyring.Record) { r.Digest = access.Digest{} }, []string{"digest: "}},
		"signature":     {func(r *keyring.Record) { r.Signature = true }, []string{"public_keys: "}},
		"everything": {func(r *keyring.Record) {
			*r = keyring.Record{ID: r.ID, Project: "prj_1", Label: "\x00", Steward: "\x00", Bounds: access.Bounds{Environments: []string{"x"}, Events: []string{""}}}
		}, []string{"kind: ", "mode: ", "label: ", "steward: ", "scopes: ", "environments[0]: ", "events[0]: ", "digest: "}},
	} {
		rec, _ := declared('d')
		c.edit(&rec)
		_, err := keyring.Open(t.Context(), newShelf(project("prj_1")), keyring.Config{Now: newClock().now, NewID: ids(""), Declared: []keyring.Record{rec}})
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range c.want {
			if err != nil && (!strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), rec.ID)) {
				t.Errorf("%s: %q is not in %v", name, part, err)
			}
		}
	}
	rec, _ := declared('d')
	twice := keyring.Config{Now: newClock().now, NewID: ids(""), Declared: []keyring.Record{rec, rec}}
	if _, err := keyring.Open(t.Context(), newShelf(project("prj_1")), twice); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("twice: %v", err)
	}
	shelf := newShelf(project("prj_1"))
	shelf.keys[rec.ID] = keyring.Record{ID: rec.ID, Project: "prj_1"}
	twice.Declared = twice.Declared[:1]
	if _, err := keyring.Open(t.Context(), shelf, twice); err == nil || !strings.Contains(err.Error(), rec.ID) {
		t.Errorf("stored too: %v", err)
	}
}

// Promise: that a declared key was exposed is listed and logged, once, until the next start; where the operator wants it,
// one that came in cleartext is refused until then.
func TestADeclaredKeyCanBeExposed(t *testing.T) {
	t.Parallel()
	for _, end := range []bool{false, true} {
		rec, text := declared('d')
		config, log := logging(keyring.Config{Declared: []keyring.Record{rec}, RevokeInCleartext: end})
		h := with(t, config)
		for range 3 {
			_ = h.sent(text, inCleartext)
		}
		got, err := h.ring.Get(t.Context(), h.one, rec.ID)
		if err != nil || got.Exposed != gate.ExposedInCleartext || got.RevokedAt.IsZero() == end || h.works(text) == end {
			t.Errorf("%v: it is %+v, %v", end, got, err)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%v: logged %s", end, log)
		}
	}
}

// Promise: the keys of the configuration are part of what is reminded of, and a store that cannot be read is told.
func TestRemind(t *testing.T) {
	t.Parallel()
	rec, _ := declared('d')
	rec.ExpiresAt = newClock().now().Add(time.Hour)
	config, log := logging(keyring.Config{Declared: []keyring.Record{rec}})
	h := with(t, config)
	fresh, _ := h.create(h.one, secretKey())
	h.clock.advance(-keyring.RotateAfter)
	old, text := h.create(h.one, secretKey())
	h.clock.advance(keyring.RotateAfter)
	if err := h.ring.Remind(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := log.String()
	if strings.Count(lines, "\n") != 2 || !strings.Contains(lines, old.ID) || !strings.Contains(lines, rec.ID) || strings.Contains(lines, fresh.ID) ||
		!strings.Contains(lines, "expires_soon") || !strings.Contains(lines, "advice=rotate") || strings.Contains(lines, text.Reveal()) {
		t.Errorf("logged %s", lines)
	}
	h.shelf.failing(func(int) failure { return before })
	if err := h.ring.Remind(context.WithoutCancel(t.Context())); !errors.Is(err, errShelf) {
		t.Errorf("reminded over a broken store: %v", err)
	}
}

// Promise: what should be done about a key is said when it is due and not before, and of a key that does not work nothing.
func TestAdvice(t *testing.T) {
	t.Parallel()
	now := newClock().now()
	for name, c := range map[string]struct {
		edit func(*keyring.Record)
		want []string
	}{
		"nothing":             {func(*keyring.Record) {}, nil},
		"old":                 {func(r *keyring.Record) { r.MintedAt = now.Add(-keyring.RotateAfter) }, []string{"rotate"}},
		"not old":             {func(r *keyring.Record) { r.MintedAt = now.Add(1 - keyring.RotateAfter) }, nil},
		"old and public":      {func(r *keyring.Record) { r.Kind, r.MintedAt = access.Public, time.Time{} }, nil},
		"old and declared":    {func(r *keyring.Record) { r.Declared, r.MintedAt = true, time.Time{} }, nil},
		"expires soon":        {func(r *keyring.Record) { r.ExpiresAt = now.Add(keyring.ExpiresSoon) }, []string{"expires_soon"}},
		"expires later":       {func(r *keyring.Record) { r.ExpiresAt = now.Add(keyring.ExpiresSoon + 1) }, nil},
		"expires in a moment": {func(r *keyring.Record) { r.ExpiresAt = now.Add(1) }, []string{"expires_soon"}},
		"has expired":         {func(r *keyring.Record) { r.ExpiresAt, r.Steward = now, "" }, nil},
		"revoked":             {func(r *keyring.Record) { r.RevokedAt, r.Steward, r.Exposed = now, "", gate.ExposedInURL }, nil},
		"exposed":             {func(r *keyring.Record) { r.Exposed, r.ExposedAt = gate.ExposedInURL, now }, []string{"exposed"}},
		"nobody's":            {func(r *keyring.Record) { r.Steward = "" }, []string{"no_steward"}},
		"nobody's and public": {func(r *keyring.Record) { r.Kind, r.Steward = access.Public, "" }, nil},
		"everything at the end": {func(r *keyring.Record) {
			*r = keyring.Record{Kind: access.Secret, Exposed: "url", Bounds: access.Bounds{ExpiresAt: now.Add(1)}}
		}, []string{"exposed", "rotate", "expires_soon", "no_steward"}},
	} {
		rec := keyring.Record{Kind: access.Secret, Steward: "ada@example.com", MintedAt: now}
		c.edit(&rec)
		got := rec.Advice(now)
		var codes []string
		for _, a := range got {
			if codes = append(codes, a.Code); a.Detail == "" {
				t.Errorf("%s: %s says nothing", name, a.Code)
			}
		}
		if !slices.Equal(codes, c.want) || got == nil {
			t.Errorf("%s: advised %v, want %v", name, codes, c.want)
		}
	}
}
