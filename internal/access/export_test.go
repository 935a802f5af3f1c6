package access_test

import (
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// Promise: an export goes on only while its key could have asked for it: not when it is revoked, lost the right, the
// environment or the dataset, or sees less than what is being taken out.
func TestStillExports(t *testing.T) {
	t.Parallel()
	project := &access.Project{ID: "acme", Environments: []access.Environment{{Name: "production", Mode: access.Live}, {Name: "canary", Mode: access.Live}}}
	hides := &access.View{Tables: []access.ViewTable{{Name: "events", Atoms: []access.Atom{{Does: access.Hide, Name: "email"}}}}}
	key := func(change func(*access.Key)) *access.Key {
		k := &access.Key{Kind: access.Secret, Mode: access.Live, Scopes: access.ExportsRun | access.DatasetsRead, Project: project}
		change(k)
		return k
	}
	table := access.Target{Environment: "production"}
	quotes := access.Target{Environment: "production", Dataset: "quotes", Class: access.Core, Right: access.ReadRecords}
	for name, c := range map[string]struct {
		key    *access.Key
		target access.Target
		seen   *access.View
		want   bool
	}{
		"as it was":                {key(func(*access.Key) {}), table, nil, true},
		"a dataset":                {key(func(*access.Key) {}), quotes, nil, true},
		"revoked":                  {key(func(k *access.Key) { k.RevokedAt = noon.Add(-time.Hour) }), table, nil, false},
		"expired":                  {key(func(k *access.Key) { k.ExpiresAt = noon }), table, nil, false},
		"without the right":        {key(func(k *access.Key) { k.Scopes = access.EventsRead }), table, nil, false},
		"kept from the place":      {key(func(k *access.Key) { k.Environments = []string{"canary"} }), table, nil, false},
		"sees less now":            {key(func(k *access.Key) { k.View = hides }), table, nil, false},
		"saw as little then":       {key(func(k *access.Key) { k.View = hides }), table, hides, true},
		"sees more now":            {key(func(*access.Key) {}), table, hides, true},
		"reads no datasets now":    {key(func(k *access.Key) { k.Scopes = access.ExportsRun }), quotes, nil, false},
		"kept from the dataset":    {key(func(k *access.Key) { k.Datasets = &access.Datasets{} }), quotes, nil, false},
		"a dataset of its own":     {key(func(k *access.Key) { k.Datasets = &access.Datasets{Core: true} }), quotes, nil, true},
		"a kind that there is not": {key(func(k *access.Key) { k.Kind = 99 }), table, nil, false},
	} {
		if got := access.StillExports(c.key, &c.target, c.seen, noon); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Promise: what tokens of a client make is each token's own, as they may be different people's; what a person makes is theirs
// whatever token they have.
func TestWhoseThingsAre(t *testing.T) {
	t.Parallel()
	member := &access.Key{ID: "key_m", Kind: access.Member}
	client := &access.Key{ID: "key_c", Kind: access.Client, Parent: &access.Key{ID: "key_s", Kind: access.Secret}}
	for want, k := range map[string]*access.Key{
		"key_m":    {ID: "key_m", Kind: access.Token, Parent: member, TokenID: "t1"},
		"key_c/t1": {ID: "key_c", Kind: access.Token, Parent: client, TokenID: "t1"},
		"key_s":    client.Parent,
	} {
		if got := k.Owner(); got != want {
			t.Errorf("%s, and not %s", got, want)
		}
	}
}
