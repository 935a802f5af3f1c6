package keyring_test

import (
	"fmt"
	"net/netip"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/keyring"
	"github.com/weir-analytics/weir/internal/view"
)

// The values that random keys and requests are made of: few, so that they meet.
var (
	somePrefixes = []string{"192.0.2.0/24", "192.0.2.1/32", "192.0.2.128/25", "198.51.100.7/32", "2001:db8::/32", "2001:db8::1/128", "0.0.0.0/0"}
	someDomains  = []string{"example.com", "*.example.com", "https://www.example.com", "www.example.com/shop", "null", "http://localhost:8080", "[2001:db8::1]"}
	someEvents   = []string{"checkout", "check*", "page_view", "*", "a b", "é*"}
	someDatasets = []string{"orders", "Orders", "prices"}
	someScopes   = []access.Scopes{access.EventsRead, access.EventsWrite, access.EventsRead | access.EventsWrite, access.AllScopes, access.ClientScopes, access.KeysWrite | access.EventsWrite}
)

// drawSome draws a list of different values, often an empty one.
func drawSome[T comparable](t *rapid.T, label string, from []T) []T {
	if rapid.Bool().Draw(t, "no "+label) {
		return nil
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 3, rapid.ID).Draw(t, label)
}

// environmentsOf are those of project that a key of a mode may be restricted to.
func environmentsOf(mode access.Mode) []string {
	if mode == access.Test {
		return []string{"development"}
	}
	return []string{"production", "staging"}
}

func drawNetworks(t *rapid.T) (list []access.Network) {
	for _, text := range drawSome(t, "networks", somePrefixes) {
		list = append(list, access.Network{Prefix: netip.MustParsePrefix(text), Description: rapid.SampledFrom([]string{"", "office", `"<é`}).Draw(t, "description")})
	}
	return list
}

func drawDomains(t *rapid.T) (list []access.Domain) {
	for _, text := range drawSome(t, "domains", someDomains) {
		d, err := access.ParseDomain(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

func drawDatasets(t *rapid.T) *access.Datasets {
	if rapid.Bool().Draw(t, "every dataset") {
		return nil
	}
	d := &access.Datasets{Core: rapid.Bool().Draw(t, "core"), Premium: rapid.Bool().Draw(t, "premium")}
	for _, name := range drawSome(t, "datasets", someDatasets) {
		d.Named = append(d.Named, access.NamedDataset{Name: name, Rights: access.Rights(rapid.IntRange(1, 7).Draw(t, "rights"))})
	}
	return d
}

func drawTime(t *rapid.T, label string, around time.Time) time.Time {
	return rapid.SampledFrom([]time.Time{{}, around.Add(-time.Hour), around.Add(time.Minute), around.Add(time.Hour), around.Add(9 * time.Hour)}).Draw(t, label)
}

func drawLimits(t *rapid.T) access.Limits {
	failure := rapid.SampledFrom([]access.OnFailure{access.FailDeny, access.FailLocalShare, access.FailAllow})
	l := access.Limits{
		Rate:    access.Rate{OnFailure: failure.Draw(t, "rate down")},
		Daily:   access.Quota{Most: rapid.SampledFrom([]int64{0, 1, 10, keyring.MaxLimit}).Draw(t, "daily"), OnFailure: failure.Draw(t, "daily down")},
		Credits: access.Quota{Most: rapid.SampledFrom([]int64{0, 1, 10}).Draw(t, "credits"), OnFailure: failure.Draw(t, "credits down")},
	}
	if rapid.Bool().Draw(t, "rate") {
		l.Rate.PerSecond, l.Rate.Burst = rapid.Int64Range(1, 3).Draw(t, "per second"), rapid.Int64Range(1, 3).Draw(t, "burst")
	}
	return l
}

// drawView draws one of few, some of which reach no further than others.
func drawView(t *rapid.T) *access.View {
	text := rapid.SampledFrom([]string{"", "", `{"events":{}}`, `{"events":{},"persons":{"hide":["traits.email"]}}`,
		`{"events":{"where":[{"column":"properties.org","op":"=","value":"a"}],"hash":["distinct_id"]}}`,
		`{"events":{"where":[{"column":"properties.org","op":"=","value":"@{org}"}]}}`}).Draw(t, "view")
	if text == "" {
		return nil
	}
	v, err := view.Read([]byte(text), "view")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func drawObserve(t *rapid.T) access.Restriction {
	if rapid.Bool().Draw(t, "enforce all") {
		return 0
	}
	return access.Restriction(rapid.IntRange(0, int(access.Observable)).Draw(t, "observe"))
}

// drawBounds draws bounds that a key of a kind and mode can have.
func drawBounds(t *rapid.T, kind access.Kind, mode access.Mode, now time.Time) access.Bounds {
	b := access.Bounds{
		Environments: drawSome(t, "environments", environmentsOf(mode)), Networks: drawNetworks(t), Events: drawSome(t, "events", someEvents),
		Datasets: drawDatasets(t), Signature: rapid.Bool().Draw(t, "signature"), ExpiresAt: drawTime(t, "expires", now),
		View: drawView(t), Observe: drawObserve(t), Limits: drawLimits(t),
	}
	if kind == access.Public {
		b.Domains = drawDomains(t)
	}
	if kind == access.Client {
		b.CacheMinutes = rapid.SampledFrom([]int{0, 5, 60, 1440}).Draw(t, "cache minutes")
	}
	if b.ExpiresAt.Before(now) {
		b.ExpiresAt = time.Time{}
	}
	if b.NotBefore = drawTime(t, "begins", now); !b.ExpiresAt.IsZero() && !b.NotBefore.Before(b.ExpiresAt) {
		b.NotBefore = time.Time{}
	}
	return b
}

// drawChange draws a change of some things of a key.
func drawChange(t *rapid.T, kind access.Kind, mode access.Mode, now time.Time) keyring.Change {
	var c keyring.Change
	b := drawBounds(t, kind, mode, now)
	scopes, label := rapid.SampledFrom(someScopes).Draw(t, "scopes"), rapid.SampledFrom([]string{"", "x"}).Draw(t, "label")
	for i, put := range []func(){
		func() { c.Label = &label }, func() { c.Scopes = &scopes }, func() { c.Environments = &b.Environments }, func() { c.Networks = &b.Networks },
		func() { c.Events = &b.Events }, func() { c.Datasets = &b.Datasets }, func() { c.Signature = &b.Signature },
		func() { c.ExpiresAt = &b.ExpiresAt }, func() { c.NotBefore = &b.NotBefore }, func() { c.Observe = &b.Observe },
		func() { c.Limits = &b.Limits }, func() { c.Domains = &b.Domains }, func() { c.View = &b.View },
	} {
		if rapid.IntRange(0, 3).Draw(t, fmt.Sprint("change ", i)) == 0 {
			put()
		}
	}
	return c
}

// drawAttempt draws a request that random keys have something to say about.
func drawAttempt(t *rapid.T, now time.Time) *access.Attempt {
	a := &access.Attempt{
		Action: rapid.SampledFrom([]access.Action{access.ReadEvents, access.WriteEvents, access.RunSQL, access.WriteKeys, access.HoldKey}).Draw(t, "action"),
		At:     now.Add(rapid.SampledFrom([]time.Duration{0, 30 * time.Minute, 3 * time.Hour, 24 * time.Hour}).Draw(t, "at")),
		Circumstances: access.Circumstances{
			Via:     access.InHeader,
			Address: netip.MustParseAddr(rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.200", "198.51.100.7", "203.0.113.1", "2001:db8::1"}).Draw(t, "address")),
			Origin:  access.ParseOrigin(rapid.SampledFrom([]string{"", "https://www.example.com", "http://example.com", "null", "http://localhost:8080"}).Draw(t, "origin"), ""),
			Signed:  rapid.SampledFrom([]access.Signed{access.Unsigned, access.SignatureRight}).Draw(t, "signed"),
		},
	}
	target := access.Target{
		Environment: rapid.SampledFrom([]string{"", "production", "staging", "development"}).Draw(t, "environment"),
		Event:       rapid.SampledFrom([]string{"checkout", "checks", "page_view", "ééé", ""}).Draw(t, "event"),
	}
	if rapid.Bool().Draw(t, "dataset?") {
		target.Dataset = rapid.SampledFrom(someDatasets).Draw(t, "dataset")
		target.Class = rapid.SampledFrom([]access.Class{0, access.Core, access.Premium}).Draw(t, "class")
		target.Right = access.Rights(rapid.IntRange(1, 7).Draw(t, "right"))
	}
	a.Targets = []access.Target{target}
	return a
}
