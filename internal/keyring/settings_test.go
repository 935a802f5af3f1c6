package keyring_test

import (
	"crypto/ed25519"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: bounds come back from the store as they were, whatever they are.
func TestBoundsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawBounds(t, rapid.SampledFrom([]access.Kind{access.Public, access.Client}).Draw(t, "kind"), access.Live, newClock().now())
		text := keyring.WriteSettings(&want)
		got, err := keyring.ReadSettings(text)
		if err != nil || !sameBounds(got, want) {
			t.Fatalf("%s came back as %+v and was %+v, %v", text, got, want, err)
		}
		s := keyring.SettingsOf(&want)
		whole, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err = keyring.ReadSettings(string(whole)); err != nil || !sameBounds(got, want) {
			t.Fatalf("%s came back as %+v, %v", whole, got, err)
		}
	})
}

// sameBounds takes an empty list for none.
func sameBounds(a, b access.Bounds) bool {
	return reflect.DeepEqual(tidied(a), tidied(b))
}

func tidied(b access.Bounds) access.Bounds {
	b.Environments, b.Networks, b.Domains, b.Events = slices.Clip(append([]string{}, b.Environments...)), append([]access.Network{}, b.Networks...), append([]access.Domain{}, b.Domains...), append([]string{}, b.Events...)
	if b.Datasets != nil {
		d := *b.Datasets
		d.Named = append([]access.NamedDataset{}, d.Named...)
		b.Datasets = &d
	}
	b.NotBefore, b.ExpiresAt = b.NotBefore.UTC(), b.ExpiresAt.UTC()
	return b
}

// Promise: a policy comes back from the store as it was, and an empty text is the policy that sets nothing.
func TestPoliciesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ceiling := func(kind string) access.Ceiling {
			return access.Ceiling{
				MaxLifetime: time.Duration(rapid.IntRange(0, 36_500).Draw(t, kind+" days")) * 24 * time.Hour,
				Scopes:      access.Scopes(rapid.Uint32().Draw(t, kind+" scopes")) & access.AllScopes, RequireNetworks: rapid.Bool().Draw(t, kind+" networks"),
				RequireSignature: rapid.Bool().Draw(t, kind+" signature"),
			}
		}
		want := access.Policy{
			SecretInBrowser: rapid.Bool().Draw(t, "browser"), SecretInURL: rapid.Bool().Draw(t, "url"),
			Public: ceiling("public"), Secret: ceiling("secret"), Limits: drawLimits(t),
		}
		if got, err := keyring.ReadPolicy(keyring.WritePolicy(&want)); err != nil || got != want {
			t.Fatalf("came back as %+v and was %+v, %v", got, want, err)
		}
	})
	if got, err := keyring.ReadPolicy(""); err != nil || got != (access.Policy{}) {
		t.Errorf("nothing is %+v, %v", got, err)
	}
}

// Promise: a restriction, or a part of a policy, that this program does not know is an error and not the absence of one.
func TestTheUnknownIsNotIgnored(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"planets":["mars"]}`, `{"observe":["planets"]}`, `{"networks":[{"cidr":"mars"}]}`, `{"domains":["https://"]}`, `{"datasets":{"named":[{"dataset":"x","rights":["own"]}]}}`,
		`{"limits":{"daily":{"most":1,"on_store_failure":"pray"}}}`, `{} {}`, `{}]`, `[]`, `null null`, ``, `{"networks":[{"cidr":"192.0.2.0/24"},{"cidr":"192.0.2.1/24"}]}`,
	} {
		if b, err := keyring.ReadSettings(text); err == nil {
			t.Errorf("%s is %+v", text, b)
		}
	}
	for _, text := range []string{
		`{"moon":true}`, `{"ceilings":{"operator":{}}}`, `{"ceilings":{"public":{"scopes":["moon:walk"]}}}`, `{"ceilings":{"secret":{"max_lifetime_days":-1}}}`, ` `, `{}{}`,
	} {
		if p, err := keyring.ReadPolicy(text); err == nil {
			t.Errorf("%s is %+v", text, p)
		}
	}
}

// Promise: every value that cannot be is named with its field and its place in the list, all in one answer.
func TestEverySettingAtFaultIsNamed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 257)
	for name, c := range map[string]struct {
		edit func(*keyring.Settings)
		want []string
	}{
		"nothing": {func(*keyring.Settings) {}, nil},
		"networks": {func(s *keyring.Settings) {
			s.Networks = []keyring.Network{{CIDR: "192.0.2.0/24"}, {CIDR: "192.0.2.7/24"}, {CIDR: "fe80::1%eth0"}, {CIDR: "192.0.2.1:80"}, {CIDR: ""}, {CIDR: "::ffff:192.0.2.0/24"}, {CIDR: "192.0.2.1"}, {CIDR: "192.0.2.1/33"}}
		}, []string{"networks[1].cidr", "networks[2].cidr", "networks[3].cidr", "networks[4].cidr", "networks[5].cidr", "networks[7].cidr"}},
		"domains": {func(s *keyring.Settings) {
			s.Domains = []string{"example.com", "https://", "ftp://example.com", "EXAMPLE.com", "a b", "*.192.0.2.1", "münchen.example", "xn--mnchen-3ya.example", "https://*.Bücher.example/x", strings.Repeat("a.", 200)}
		}, []string{"domains[1]", "domains[2]", "domains[3]", "domains[4]", "domains[5]", "domains[7]", "domains[9]"}},
		"observe": {func(s *keyring.Settings) { s.Observe = []string{"networks", "limits", ""} }, []string{"observe[1]", "observe[2]"}},
		"datasets": {func(s *keyring.Settings) {
			s.Datasets = &keyring.Datasets{Named: []keyring.NamedDataset{{Dataset: "x", Rights: []string{"read", "own"}}, {Dataset: "y", Rights: []string{"Read"}}}}
		}, []string{"datasets.named[0].rights[1]", "datasets.named[1].rights[0]"}},
		"failures": {func(s *keyring.Settings) {
			s.Limits = keyring.Limits{Rate: keyring.Rate{OnStoreFailure: "x"}, Daily: keyring.Quota{OnStoreFailure: "Deny"}, Credits: keyring.Quota{OnStoreFailure: "allow "}}
		}, []string{"limits.rate.on_store_failure", "limits.daily.on_store_failure", "limits.credits.on_store_failure"}},
		"long lists": {func(s *keyring.Settings) {
			s.Networks, s.Domains, s.Observe = make([]keyring.Network, 101), make([]string, 101), make([]string, 17)
			s.Datasets = &keyring.Datasets{Named: make([]keyring.NamedDataset, 201)}
		}, []string{"networks", "domains", "datasets.named", "observe"}},
		"long rights": {func(s *keyring.Settings) {
			s.Datasets = &keyring.Datasets{Named: []keyring.NamedDataset{{Dataset: "x", Rights: make([]string, 9)}}}
		}, []string{"datasets.named[0].rights"}},
		"long texts": {func(s *keyring.Settings) {
			s.Networks, s.Domains, s.Observe = []keyring.Network{{CIDR: long}}, []string{long + long}, []string{long}
		}, []string{"networks[0].cidr", "domains[0]", "observe[0]"}},
	} {
		b := access.Bounds{}
		s := keyring.SettingsOf(&b)
		c.edit(&s)
		_, err := s.Bounds()
		named(t, name, err, c.want)
	}
}

func named(t *testing.T, name string, err error, want []string) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	if problem.Of(err) != problem.InvalidField {
		t.Errorf("%s: %v", name, err)
		return
	}
	var got []string
	for _, f := range problem.From(err).Fields {
		got = append(got, f.Name)
		if len(f.Detail) > 500 {
			t.Errorf("%s: a detail of %d bytes", name, len(f.Detail))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: named %v, want %v", name, got, want)
	}
}

// Promise: an international domain is kept as browsers send it.
func TestInternationalDomains(t *testing.T) {
	t.Parallel()
	list, faults := keyring.ParseDomains([]string{"Bücher.example", "https://*.münchen.example:8443/straße", "例え.jp"})
	want := []string{"xn--bcher-kva.example", "https://*.xn--mnchen-3ya.example:8443/stra%C3%9Fe", "xn--r8jz45g.jp"}
	for i, d := range list {
		if got := d.String(); got != want[i] && i != 1 {
			t.Errorf("%d is %s, want %s", i, got, want[i])
		}
	}
	if len(faults) > 1 || len(list) < 2 {
		t.Errorf("%v, %v", list, faults)
	}
}

// Promise: a key is refused with bounds that it cannot have, each named: in its making and in a change alike.
func TestEveryBoundAtFaultIsNamed(t *testing.T) {
	t.Parallel()
	h := build(t, nil)
	now := h.clock.now()
	domain, _ := access.ParseDomain("example.com")
	network := access.Network{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Description: strings.Repeat("é", 201)}
	long := strings.Repeat("x", 257)
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*keyring.New)
		want []string
	}{
		"networks":      {func(n *keyring.New) { n.Networks = []access.Network{{Description: "a\x00"}, {}, network} }, []string{"networks[0].description", "networks[2].description"}},
		"many networks": {func(n *keyring.New) { n.Networks = make([]access.Network, 101) }, []string{"networks"}},
		"domains":       {func(n *keyring.New) { n.Domains = []access.Domain{domain} }, []string{"domains"}},
		"public domains": {func(n *keyring.New) {
			n.Kind, n.Scopes, n.Domains = access.Public, access.EventsWrite, []access.Domain{domain}
		}, nil},
		"events":      {func(n *keyring.New) { n.Events = []string{"", "a*b", "**", "x", "x", "*", "a\n", long} }, []string{"events[0]", "events[1]", "events[2]", "events[4]", "events[6]", "events[7]", "events[7]"}},
		"many events": {func(n *keyring.New) { n.Events = make([]string, 201) }, []string{"events"}},
		"datasets": {func(n *keyring.New) {
			n.Datasets = &access.Datasets{Named: []access.NamedDataset{{Name: "x", Rights: 1}, {Name: "", Rights: 1}, {Name: "x", Rights: 2}, {Name: "y"}, {Name: "z\u202e", Rights: 1}}}
		}, []string{"datasets.named[1].dataset", "datasets.named[2].dataset", "datasets.named[3].rights", "datasets.named[4].dataset"}},
		"many datasets":    {func(n *keyring.New) { n.Datasets = &access.Datasets{Named: make([]access.NamedDataset, 201)} }, []string{"datasets.named"}},
		"begins late":      {func(n *keyring.New) { n.NotBefore, n.ExpiresAt = now.Add(time.Hour), now.Add(time.Hour) }, []string{"not_before"}},
		"begins very late": {func(n *keyring.New) { n.NotBefore = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) }, []string{"not_before"}},
		"before all time":  {func(n *keyring.New) { n.NotBefore = time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 23*3600)) }, []string{"not_before"}},
		"in the year 0":    {func(n *keyring.New) { n.NotBefore = time.Date(0, 6, 1, 0, 0, 0, 0, time.UTC) }, []string{"not_before"}},
		"in the year 1":    {func(n *keyring.New) { n.NotBefore = time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC) }, nil},
		"negative limits": {func(n *keyring.New) {
			n.Limits = access.Limits{Rate: access.Rate{PerSecond: -1, Burst: -1}, Daily: access.Quota{Most: -1}, Credits: access.Quota{Most: -1}}
		}, []string{"limits.rate.per_second", "limits.rate.burst", "limits.daily.most", "limits.credits.most"}},
		"great limits": {func(n *keyring.New) {
			n.Limits = access.Limits{Rate: access.Rate{PerSecond: 1_000_001, Burst: keyring.MaxLimit + 1}, Daily: access.Quota{Most: keyring.MaxLimit + 1}}
		}, []string{"limits.rate.burst", "limits.daily.most", "limits.rate.per_second"}},
		"burst alone": {func(n *keyring.New) { n.Limits.Rate.Burst = 1 }, []string{"limits.rate.burst"}},
		"rate alone":  {func(n *keyring.New) { n.Limits.Rate.PerSecond = 1 }, []string{"limits.rate.burst"}},
		"public keys": {func(n *keyring.New) {
			n.PublicKeys = []ed25519.PublicKey{public, public[:31], make([]byte, 32), public}
		}, []string{"public_keys[1]", "public_keys[2]", "public_keys[3]"}},
		"many public keys": {func(n *keyring.New) { n.PublicKeys = make([]ed25519.PublicKey, 5) }, []string{"public_keys"}},
	} {
		n := secretKey()
		c.edit(&n)
		_, _, err := h.ring.Create(t.Context(), h.one, n)
		named(t, name, err, c.want)
		old := secretKey()
		if old.Kind = n.Kind; n.Kind == access.Public {
			old.Scopes = access.EventsWrite
		}
		rec, _ := h.create(h.one, old)
		change := keyring.Change{
			Basis: h.basis(rec.ID), Networks: &n.Networks, Domains: &n.Domains, Events: &n.Events, Datasets: &n.Datasets, NotBefore: &n.NotBefore,
			ExpiresAt: &n.ExpiresAt, Limits: &n.Limits, PublicKeys: &n.PublicKeys,
		}
		_, err = h.ring.Update(t.Context(), h.one, rec.ID, change)
		if got := problem.Of(err); (got == problem.InvalidField) != (c.want != nil) {
			t.Errorf("%s, as a change: %v", name, err)
		}
	}
}

// Promise: whatever text a store holds, it is read as bounds or as an error, and what is read is written the same.
func FuzzReadSettings(f *testing.F) {
	f.Add(`{}`)
	f.Add(`{"environments":["a"],"networks":[{"cidr":"192.0.2.0/24","description":"x"}],"domains":["https://*.example.com:8443/a"],"events":["a*"]}`)
	f.Add(`{"datasets":{"core":true,"named":[{"dataset":"x","rights":["read"]}]},"signature":true,"not_before":"2026-01-01T00:00:00+23:59","observe":["time"]}`)
	f.Add(`{"limits":{"rate":{"per_second":1,"burst":2,"on_store_failure":"deny"},"daily":{"most":3},"credits":{"most":4}}}`)
	f.Add(`{"expires_at":"0000-01-01T00:00:00+23:59"}`)
	f.Fuzz(func(t *testing.T, text string) {
		b, err := keyring.ReadSettings(text)
		if err != nil {
			return
		}
		again, err := keyring.ReadSettings(keyring.WriteSettings(&b))
		if err != nil || !sameBounds(again, b) {
			t.Fatalf("%q is %+v, and then %+v, %v", text, b, again, err)
		}
	})
}

// Promise: whatever text a store holds, it is read as a policy or as an error, and what is read is written the same.
func FuzzReadPolicy(f *testing.F) {
	f.Add(``)
	f.Add(`{}`)
	f.Add(`{"secret_in_browser":true,"ceilings":{"public":{"max_lifetime_days":90,"scopes":["events:write"],"require_networks":true}},"limits":{"daily":{"most":1}}}`)
	f.Add(`{"ceilings":{"secret":{"max_lifetime_days":106751,"scopes":[]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := keyring.ReadPolicy(text)
		if err != nil {
			return
		}
		if again, err := keyring.ReadPolicy(keyring.WritePolicy(&p)); err != nil || again != p {
			t.Fatalf("%q is %+v, and then %+v, %v", text, p, again, err)
		}
	})
}
