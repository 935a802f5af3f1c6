package access_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

func sampleKey() *access.Key {
	return &access.Key{
		ID: "key_1", Kind: access.Secret, Mode: access.Live, Scopes: access.AllScopes,
		Project: &access.Project{Organization: "org_1", ID: "acme", Environments: []access.Environment{
			{Name: "production", Mode: access.Live}, {Name: "staging", Mode: access.Test}, {Name: "canary", Mode: access.Live},
		}},
	}
}

// restrictedKey has every restriction there is, at its longest, in a project with every ceiling.
func restrictedKey() *access.Key {
	key := sampleKey()
	key.MintedAt = noon.Add(-time.Hour)
	key.Project.Policy.Secret = access.Ceiling{MaxLifetime: 24 * time.Hour, Scopes: access.AllScopes, RequireNetworks: true, RequireSignature: true}
	key.Bounds = access.Bounds{
		Environments: []string{"production", "canary"}, Signature: true, Datasets: &access.Datasets{Core: true},
		NotBefore: noon.Add(-time.Hour), ExpiresAt: noon.Add(time.Hour), Limits: access.DefaultLimits(access.Secret),
	}
	for i := range 100 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)
		if i%2 == 0 {
			prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(i)}), 48)
		}
		key.Networks = append(key.Networks, access.Network{Prefix: prefix, Description: "an office"})
	}
	for i := range 20 {
		key.Domains = append(key.Domains, access.Domain{Scheme: "https", Host: fmt.Sprintf("app-%02d.example.com", i), Wild: i%2 == 0, Path: "/app"})
	}
	for i := range 50 {
		key.Events = append(key.Events, fmt.Sprintf("checkout_%02d_*", i))
		key.Datasets.Named = append(key.Datasets.Named, access.NamedDataset{Name: fmt.Sprintf("quotes_%02d", i), Rights: access.ReadRecords})
	}
	return key
}

// restrictedAttempt meets the last entry of each list.
func restrictedAttempt() *access.Attempt {
	return &access.Attempt{
		Action: access.WriteEvents, At: noon, Each: true,
		Circumstances: access.Circumstances{
			Via: access.InHeader, Address: netip.MustParseAddr("10.99.1.2"), Signed: access.SignatureRight,
			Origin: access.ParseOrigin("https://app-19.example.com", "https://app-19.example.com/app/x"),
		},
		Targets: []access.Target{{Environment: "canary", Event: "checkout_49_done", Dataset: "quotes_49", Class: access.Premium, Right: access.ReadRecords}},
	}
}

// Promise: a yes costs no allocation, so that deciding is never a reason to decide less; nor with every restriction set.
func TestAYesAllocatesNothing(t *testing.T) {
	header := access.Circumstances{Via: access.InHeader}
	narrow := restrictedAttempt()
	grants := *narrow
	grants.Action, grants.Targets = access.WriteKeys, nil
	grants.Grants = &access.Grant{Kind: access.Secret, Mode: access.Live, Scopes: access.EventsRead, Bounds: cloneBounds(&restrictedKey().Bounds)}
	keeper := restrictedKey()
	keeper.Kind = access.Operator
	observing := restrictedKey()
	observing.Observe = access.AllRestrictions &^ access.ByNetwork
	for name, c := range map[string]struct {
		key     *access.Key
		attempt *access.Attempt
	}{
		"no target":  {sampleKey(), &access.Attempt{Action: access.WriteEvents, At: noon, Circumstances: header}},
		"one target": {sampleKey(), &access.Attempt{Action: access.WriteEvents, At: noon, Circumstances: header, Targets: []access.Target{{Environment: "canary", Event: "signup"}}}},
		"a batch":    {sampleKey(), &access.Attempt{Action: access.WriteEvents, At: noon, Circumstances: header, Each: true, Targets: make([]access.Target, 100)}},
		"a grant": {sampleKey(), &access.Attempt{Action: access.WriteKeys, At: noon, Circumstances: header, Subject: &access.Subject{Project: "acme", Mode: access.Live},
			Grants: &access.Grant{Kind: access.Secret, Mode: access.Live, Scopes: access.EventsRead}}},
		"restricted":           {restrictedKey(), narrow},
		"a restricted grant":   {restrictedKey(), &grants},
		"restricted operator":  {keeper, narrow},
		"restricted, observed": {observing, narrow},
	} {
		if d := access.Decide(c.key, c.attempt); !d.Allowed() || d.Observed != nil {
			t.Fatalf("%s is denied: %+v", name, d)
		}
		if n := testing.AllocsPerRun(1000, func() { access.Decide(c.key, c.attempt) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(1000, func() { access.Screen(c.key, c.attempt) }); n != 0 {
			t.Errorf("%s: %v allocations to screen", name, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	batch := make([]access.Target, 100)
	for i := range batch {
		batch[i] = access.Target{Environment: "canary", Event: "signup"}
	}
	plain := func(targets []access.Target) *access.Attempt {
		return &access.Attempt{Action: access.WriteEvents, At: noon, Circumstances: access.Circumstances{Via: access.InHeader}, Each: true, Targets: targets}
	}
	restrictedBatch := restrictedAttempt()
	for range 99 {
		restrictedBatch.Targets = append(restrictedBatch.Targets, restrictedBatch.Targets[0])
	}
	for _, c := range []struct {
		name    string
		key     *access.Key
		attempt *access.Attempt
	}{
		{"bare", sampleKey(), plain(nil)}, {"target", sampleKey(), plain(batch[:1])}, {"batch100", sampleKey(), plain(batch)},
		{"restricted", restrictedKey(), restrictedAttempt()}, {"restricted100", restrictedKey(), restrictedBatch},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !access.Decide(c.key, c.attempt).Allowed() {
					b.Fatal("denied")
				}
			}
		})
	}
}

// BenchmarkExplain is what a denial costs beside.
func BenchmarkExplain(b *testing.B) {
	away := restrictedAttempt()
	away.Address = netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if access.Explain(restrictedKeyOnce, away).Decision.Allowed() {
			b.Fatal("allowed")
		}
	}
}

var restrictedKeyOnce = restrictedKey()
