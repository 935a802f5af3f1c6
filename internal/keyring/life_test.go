package keyring_test

import (
	"context"
	"crypto/ed25519"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

type setState = func(context.Context, gate.Permit, string, int64) (keyring.Record, error)

// Promise: when Disable or Quarantine returns, the key may do nothing: a disabled one is not known, one in quarantine is
// told so. Restored, it can do what it could. All of it survives a restart.
func TestStatesHoldAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set  func(*keyring.Ring) setState
		want problem.Code
	}{
		{func(r *keyring.Ring) setState { return r.Disable }, problem.KeyNotAccepted},
		{func(r *keyring.Ring) setState { return r.Quarantine }, problem.KeyQuarantined},
	} {
		h := build(t, nil)
		rec, text := h.create(h.one, secretKey())
		caller, err := h.gate.Identify(t.Context(), gate.Credential{Key: text, Circumstances: from()}, access.ReadEvents)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.set(h.ring)(t.Context(), h.one, rec.ID, 0); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err = h.ask(text, access.ReadEvents, access.Attempt{})
			code(t, err, c.want)
			_, err = h.ask(text, access.HoldKey, access.Attempt{})
			code(t, err, c.want)
			h.open()
		}
		_, err = h.gate.Admit(t.Context(), caller, access.Attempt{}, gate.Cost{}) // it was on its way before
		code(t, err, c.want)
		if _, err := h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{Basis: h.basis(rec.ID)}); err != nil || !h.works(text) {
			t.Errorf("restored, it does not work: %v", err)
		}
	}
}

// wider and narrower changes of a key that has a bound of every sort.
func bounded(now time.Time) access.Bounds {
	domain, _ := access.ParseDomain("*.example.com")
	return access.Bounds{
		Environments: []string{"staging"}, Networks: []access.Network{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}, Domains: []access.Domain{domain},
		Events: []string{"check*"}, Datasets: &access.Datasets{Core: true, Named: []access.NamedDataset{{Name: "orders", Rights: access.ReadRecords}}},
		Signature: true, NotBefore: now.Add(time.Hour), ExpiresAt: now.Add(2 * time.Hour),
		Limits: access.Limits{
			Rate: access.Rate{PerSecond: 5, Burst: 10, OnFailure: access.FailLocalShare}, Daily: access.Quota{Most: 100, OnFailure: access.FailLocalShare},
			Credits: access.Quota{Most: 10},
		},
	}
}

func limited(edit func(*access.Limits)) *access.Limits {
	l := bounded(time.Time{}).Limits
	edit(&l)
	return &l
}

// Promise: a restored key can do what it could before or less: each bound can be narrowed and none can be widened, taken
// away, or made to be observed only.
func TestRestoreOnlyNarrows(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	now := h.clock.now()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	orders := func(r access.Rights) **access.Datasets {
		return new(&access.Datasets{Core: true, Named: []access.NamedDataset{{Name: "orders", Rights: r}}})
	}
	shop, _ := access.ParseDomain("shop.example.com")
	evil, _ := access.ParseDomain("example.org")
	network := func(text string) *[]access.Network {
		return &[]access.Network{{Prefix: netip.MustParsePrefix(text)}}
	}
	for name, c := range map[string]struct {
		change keyring.Change
		wider  bool
	}{
		"nothing":                  {keyring.Change{}, false},
		"label":                    {keyring.Change{Label: new("x"), Steward: new("y")}, false},
		"fewer scopes":             {keyring.Change{Scopes: ptr(access.EventsWrite)}, false},
		"more scopes":              {keyring.Change{Scopes: ptr(access.EventsWrite | access.ProjectsRead | access.UsersWrite)}, true},
		"another environment":      {keyring.Change{Environments: &[]string{"production"}}, true},
		"every environment":        {keyring.Change{Environments: &[]string{}}, true},
		"a narrower network":       {keyring.Change{Networks: network("192.0.2.128/25")}, false},
		"a wider network":          {keyring.Change{Networks: network("192.0.2.0/23")}, true},
		"any network":              {keyring.Change{Networks: &[]access.Network{}}, true},
		"a narrower domain":        {keyring.Change{Domains: &[]access.Domain{shop}}, false},
		"another domain":           {keyring.Change{Domains: &[]access.Domain{shop, evil}}, true},
		"any domain":               {keyring.Change{Domains: &[]access.Domain{}}, true},
		"a narrower event":         {keyring.Change{Events: &[]string{"checkout"}}, false},
		"a wider event":            {keyring.Change{Events: &[]string{"che*"}}, true},
		"any event":                {keyring.Change{Events: &[]string{}}, true},
		"fewer datasets":           {keyring.Change{Datasets: new(&access.Datasets{})}, false},
		"more rights to a dataset": {keyring.Change{Datasets: orders(access.ReadRecords | access.WriteRecords)}, true},
		"a class more":             {keyring.Change{Datasets: new(&access.Datasets{Core: true, Premium: true})}, true},
		"any dataset":              {keyring.Change{Datasets: new((*access.Datasets)(nil))}, true},
		"unsigned":                 {keyring.Change{Signature: new(false)}, true},
		"from later on":            {keyring.Change{NotBefore: new(now.Add(90 * time.Minute))}, false},
		"from earlier on":          {keyring.Change{NotBefore: new(now.Add(time.Minute))}, true},
		"from the beginning":       {keyring.Change{NotBefore: new(time.Time{})}, true},
		"a shorter life":           {keyring.Change{ExpiresAt: new(now.Add(100 * time.Minute))}, false},
		"a longer life":            {keyring.Change{ExpiresAt: new(now.Add(3 * time.Hour))}, true},
		"for ever":                 {keyring.Change{ExpiresAt: new(time.Time{})}, true},
		"a smaller rate":           {keyring.Change{Limits: limited(func(l *access.Limits) { l.Rate.PerSecond = 4 })}, false},
		"a greater rate":           {keyring.Change{Limits: limited(func(l *access.Limits) { l.Rate.PerSecond = 6 })}, true},
		"a greater burst":          {keyring.Change{Limits: limited(func(l *access.Limits) { l.Rate.Burst = 11 })}, true},
		"no rate":                  {keyring.Change{Limits: limited(func(l *access.Limits) { l.Rate = access.Rate{} })}, true},
		"more a day":               {keyring.Change{Limits: limited(func(l *access.Limits) { l.Daily.Most = 101 })}, true},
		"no daily limit":           {keyring.Change{Limits: limited(func(l *access.Limits) { l.Daily.Most = 0 })}, true},
		"more credits":             {keyring.Change{Limits: limited(func(l *access.Limits) { l.Credits.Most = 11 })}, true},
		"fewer credits":            {keyring.Change{Limits: limited(func(l *access.Limits) { l.Credits.Most = 9 })}, false},
		"all when counters fail":   {keyring.Change{Limits: limited(func(l *access.Limits) { l.Daily.OnFailure = access.FailAllow })}, true},
		"observed only":            {keyring.Change{Observe: new(access.ByNetwork)}, true},
		"time observed only":       {keyring.Change{Observe: new(access.ByTime)}, true},
	} {
		n := secretKey()
		n.Kind, n.Scopes, n.Bounds, n.PublicKeys = access.Public, access.EventsWrite|access.UsersWrite, bounded(now), []ed25519.PublicKey{public}
		rec, _ := h.create(h.one, n)
		if _, err := h.ring.Quarantine(t.Context(), h.one, rec.ID, 0); err != nil {
			t.Fatal(err)
		}
		c.change.Basis = h.basis(rec.ID)
		_, err := h.ring.Restore(t.Context(), h.one, rec.ID, c.change)
		want := problem.Code("")
		if c.wider {
			want = problem.WouldWiden
		}
		if problem.Of(err) != want {
			t.Errorf("%s: %v", name, err)
		}
		state := map[bool]access.State{true: access.Quarantined, false: access.Active}[c.wider]
		if got := h.shelf.key(rec.ID); got.State != state || c.wider && got.Revision != 2 {
			t.Errorf("%s: it is %+v", name, got)
		}
	}
}

// Promise: whatever change comes with a restoration, the key can do nothing then that it could not do before it was
// switched off.
func TestARestoredKeyIsNeverWider(t *testing.T) {
	t.Parallel()
	restored := 0
	rapid.Check(t, func(rt *rapid.T) {
		h := with(t, keyring.Config{Vault: &vault{keys: []byte{1}}})
		n := keyring.New{Kind: rapid.SampledFrom([]access.Kind{access.Public, access.Secret}).Draw(rt, "kind"), Mode: access.Live}
		n.Scopes, n.Bounds = rapid.SampledFrom(someScopes).Draw(rt, "scopes"), drawBounds(rt, n.Kind, n.Mode, h.clock.now())
		if n.Kind == access.Public && (n.Datasets == nil || n.Observe.Has(access.ByDataset)) {
			n.Scopes &^= access.DatasetsRead // it would have to say which
		}
		rec, _ := h.create(h.one, n)
		was := *h.basis(rec.ID)
		if _, err := h.ring.Disable(t.Context(), h.one, rec.ID, 0); err != nil {
			rt.Fatal(err)
		}
		c := drawChange(rt, n.Kind, n.Mode, h.clock.now())
		c.Basis = h.basis(rec.ID)
		if _, err := h.ring.Restore(t.Context(), h.one, rec.ID, c); err != nil {
			return
		}
		restored++
		is := h.basis(rec.ID)
		for range 10 {
			a := drawAttempt(rt, h.clock.now())
			if access.Decide(is, a).Allowed() && !access.Decide(&was, a).Allowed() {
				rt.Fatalf("%+v is allowed by now: it was %+v and is %+v", a, was, is)
			}
		}
		if is.Limits != was.Limits && is.Exceeds(&was.Bounds) != "" {
			rt.Fatalf("the limits were %+v and are %+v", was.Limits, is.Limits)
		}
	})
	if restored == 0 {
		t.Error("nothing was ever restored")
	}
}

// Promise: a revoked key is not restored, and a key is restored only as it was when that was decided on.
func TestRestoreNeedsWhatItWasDecidedOn(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, text := h.create(h.one, secretKey())
	disable := func() {
		if _, err := h.ring.Disable(t.Context(), h.one, rec.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	active := h.basis(rec.ID)
	disable()
	_, err := h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{})
	code(t, err, problem.Conflict)
	_, err = h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{Basis: active})
	code(t, err, problem.Conflict)
	seen := h.basis(rec.ID)
	if _, err := h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Basis: seen, Scopes: ptr(access.AllScopes)}); err != nil {
		t.Fatal(err)
	}
	_, err = h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{Basis: seen})
	code(t, err, problem.Conflict)
	if g := (keyring.Change{Basis: h.basis(rec.ID)}).Restoring(); g.Scopes != access.AllScopes {
		t.Errorf("asked for %+v", g)
	}
	_, err = h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{Basis: h.basis(rec.ID), Revision: 2})
	code(t, err, problem.PreconditionFailed)
	if h.works(text) {
		t.Error("it works all the same")
	}
	if _, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, err = h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{Basis: h.basis(rec.ID)})
	if code(t, err, problem.Conflict); h.works(text) {
		t.Error("a revoked key came back")
	}
}

// Promise: what is meant for one version of a key or policy is not done to another; without a version it is done to
// whatever there is. The version counts up by one with each change, and not without one.
func TestVersionsAreHeldTo(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	rec, _ := h.create(h.one, secretKey())
	for i, do := range []func(int64) (keyring.Record, error){
		func(v int64) (keyring.Record, error) {
			return h.ring.Update(t.Context(), h.one, rec.ID, keyring.Change{Label: new("x"), Revision: v})
		},
		func(v int64) (keyring.Record, error) { return h.ring.Disable(t.Context(), h.one, rec.ID, v) },
		func(v int64) (keyring.Record, error) {
			return h.ring.Restore(t.Context(), h.one, rec.ID, keyring.Change{Basis: h.basis(rec.ID), Revision: v})
		},
		func(v int64) (keyring.Record, error) { return h.ring.Quarantine(t.Context(), h.one, rec.ID, v) },
		func(v int64) (keyring.Record, error) { return h.ring.Revoke(t.Context(), h.one, rec.ID, v) },
	} {
		now := int64(i + 1)
		for _, stale := range []int64{-1, now - 1, now + 1} {
			if stale == 0 {
				continue
			}
			_, err := do(stale)
			if p := code(t, err, problem.PreconditionFailed); len(p.Fields) != 1 || p.Fields[0].Name != "header.If-Match" {
				t.Errorf("step %d: %v", i, p)
			}
		}
		if got, err := do(now); err != nil || got.Revision != now+1 {
			t.Fatalf("step %d: revision %d, %v", i, got.Revision, err)
		}
	}
	if got := h.shelf.audited(rec.ID); !slices.Equal(got, []string{"key.create", "key.update", "key.disable", "key.restore", "key.quarantine", "key.revoke"}) {
		t.Errorf("audited %v", got)
	}
	if _, err := h.ring.Revoke(t.Context(), h.one, rec.ID, 0); err != nil || h.shelf.key(rec.ID).Revision != 6 {
		t.Errorf("revoked again: %v", err)
	}
	for revision := int64(1); revision < 3; revision++ {
		set := func(v int64) error {
			_, err := h.ring.SetPolicy(t.Context(), h.one, v, false, func(p *access.Policy) error { p.SecretInURL = true; return nil })
			return err
		}
		code(t, set(revision+1), problem.PreconditionFailed)
		if err := set(revision); err != nil {
			t.Fatal(err)
		}
		if got, err := h.ring.Policy(t.Context(), h.one); err != nil || got.Revision != revision+1 {
			t.Errorf("the policy is of revision %d, %v", got.Revision, err)
		}
	}
}

// Promise: a dry run answers as the real one would, refuses what that would refuse, and makes nothing.
func TestADryRunMakesNothing(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	n := secretKey()
	n.DryRun = true
	rec, secrets, err := h.ring.Create(t.Context(), h.one, n)
	if err != nil || rec.ID != "" || !secrets.Key.Empty() || rec.Label != n.Label || rec.Scopes != n.Scopes || len(h.shelf.keys) != 0 || len(h.shelf.entries) != 0 {
		t.Errorf("made %+v, %v", rec, err)
	}
	for _, dry := range []bool{true, false} {
		n := secretKey()
		n.DryRun, n.Signature = dry, true // and there is no master key
		_, _, err = h.ring.Create(t.Context(), h.one, n)
		code(t, err, problem.Unavailable)
		n.Signature, n.Label = false, "\x00"
		_, _, err = h.ring.Create(t.Context(), h.one, n)
		code(t, err, problem.InvalidField)
	}
}

// Promise: a key that would lock itself out is refused, unless it says that it means it; what it does to others needs no
// such word, nor does what leaves it its own.
func TestLockOut(t *testing.T) {
	t.Parallel()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := newClock().now()
	network := func(text string) *[]access.Network {
		return &[]access.Network{{Prefix: netip.MustParsePrefix(text)}}
	}
	for name, c := range map[string]struct {
		change keyring.Change
		out    bool
	}{
		"label":              {keyring.Change{Label: new("x")}, false},
		"own network":        {keyring.Change{Networks: network("192.0.2.0/30")}, false},
		"another network":    {keyring.Change{Networks: network("198.51.100.0/24")}, true},
		"observed network":   {keyring.Change{Networks: network("198.51.100.0/24"), Observe: new(access.ByNetwork)}, false},
		"signature":          {keyring.Change{Signature: new(true), PublicKeys: &[]ed25519.PublicKey{public}}, true},
		"observed signature": {keyring.Change{Signature: new(true), PublicKeys: &[]ed25519.PublicKey{public}, Observe: new(access.BySignature)}, false},
		"its scope":          {keyring.Change{Scopes: ptr(access.EventsRead)}, true},
		"another scope":      {keyring.Change{Scopes: ptr(access.KeysWrite)}, false},
		"expires":            {keyring.Change{ExpiresAt: new(now.Add(time.Hour))}, false},
		"not before":         {keyring.Change{NotBefore: new(now.Add(time.Hour))}, true},
		"began":              {keyring.Change{NotBefore: new(now)}, false},
		"environments":       {keyring.Change{Environments: &[]string{"staging"}}, false},
		"events":             {keyring.Change{Events: &[]string{"x"}}, false},
		"datasets":           {keyring.Change{Datasets: new(&access.Datasets{})}, false},
	} {
		h := build(t, nil)
		n := secretKey()
		n.Scopes = access.KeysWrite | access.EventsRead
		rec, text := h.create(h.one, n)
		other, _ := h.create(h.one, n)
		permit := h.permit(text)
		if _, err := h.ring.Update(t.Context(), permit, other.ID, c.change); err != nil {
			t.Errorf("%s: of another key: %v", name, err)
		}
		_, err := h.ring.Update(t.Context(), permit, rec.ID, c.change)
		if !c.out {
			code(t, err, "")
			continue
		}
		if p := code(t, err, problem.Lockout); len(p.Fields) != 1 || p.Fields[0].Name != "confirm_lockout" {
			t.Errorf("%s: %v", name, p)
		}
		if h.shelf.key(rec.ID).Revision != 1 {
			t.Errorf("%s: changed all the same", name)
		}
		c.change.ConfirmLockout = true
		if _, err := h.ring.Update(t.Context(), permit, rec.ID, c.change); err != nil {
			t.Errorf("%s: confirmed: %v", name, err)
		}
		if _, err := h.ask(text, access.WriteKeys, access.Attempt{}); err == nil {
			t.Errorf("%s: it is not locked out: this test tests nothing", name)
		}
	}
}

// Promise: a policy under which the key that sets it could not ask again is refused, unless it says that it means it.
func TestAPolicyLocksOutToo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*access.Policy)
		out  bool
	}{
		"limits":           {func(p *access.Policy) { p.Limits.Daily.Most = 1 }, false},
		"scopes with own":  {func(p *access.Policy) { p.Secret.Scopes = access.KeysWrite }, false},
		"scopes without":   {func(p *access.Policy) { p.Secret.Scopes = access.EventsRead }, true},
		"of other kinds":   {func(p *access.Policy) { p.Public = access.Ceiling{Scopes: access.EventsWrite, RequireSignature: true} }, false},
		"networks":         {func(p *access.Policy) { p.Secret.RequireNetworks = true }, true},
		"signature":        {func(p *access.Policy) { p.Secret.RequireSignature = true }, true},
		"a long lifetime":  {func(p *access.Policy) { p.Secret.MaxLifetime = 3 * time.Hour }, false},
		"a short lifetime": {func(p *access.Policy) { p.Secret.MaxLifetime = time.Hour }, true},
	} {
		h := build(t, nil)
		n := secretKey()
		n.Scopes = access.KeysWrite
		_, text := h.create(h.one, n)
		h.clock.advance(2 * time.Hour)
		permit := h.permit(text)
		set := func(confirmed bool) error {
			_, err := h.ring.SetPolicy(t.Context(), permit, 0, confirmed, func(p *access.Policy) error { c.edit(p); return nil })
			return err
		}
		if !c.out {
			code(t, set(false), "")
			continue
		}
		if p := code(t, set(false), problem.Lockout); h.shelf.policies["prj_1"].Revision != 1 {
			t.Errorf("%s: set all the same: %v", name, p)
		}
		code(t, set(true), "")
		if _, err := h.ask(text, access.WriteKeys, access.Attempt{}); err == nil {
			t.Errorf("%s: it is not locked out: this test tests nothing", name)
		}
	}
}

// Promise: nothing demands signatures of a key for which there is nothing to check them with.
func TestSignaturesNeedSomethingToBeCheckedWith(t *testing.T) {
	t.Parallel()
	h := with(t, keyring.Config{Vault: &vault{keys: []byte{1}}})
	rec, _ := h.create(h.one, secretKey())
	demand := keyring.Change{Signature: new(true)}
	_, err := h.ring.Update(t.Context(), h.one, rec.ID, demand)
	if p := code(t, err, problem.InvalidField); p.Fields[0].Name != "signature" {
		t.Errorf("named %v", p.Fields)
	}
	if _, _, err := h.ring.NewSigningSecret(t.Context(), h.one, rec.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := h.ring.Update(t.Context(), h.one, rec.ID, demand); err != nil {
		t.Error(err)
	}
}
