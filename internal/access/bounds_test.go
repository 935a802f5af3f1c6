package access_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// shrunk are bounds that reach no further than b, or are meant not to: most of the ways in which bounds are made narrower,
// with a slip now and then.
func (d draw) shrunk(b *access.Bounds) access.Bounds {
	s := cloneBounds(b)
	if d.flip("enforce") {
		s.Observe &= access.Restriction(rapid.Uint16().Draw(d.T, "still observed"))
	}
	if d.flip("only") && len(s.Environments) != 1 {
		s.Environments = d.fewer("environments", s.Environments, names[:len(names)-1])
	}
	if d.flip("from") && len(s.Networks) != 1 {
		s.Networks = fewerOf(d, "networks", s.Networks, networksOf(networks))
	}
	if d.flip("pages") && len(s.Domains) != 1 {
		s.Domains = fewerOf(d, "domains", s.Domains, domainsOf(domains))
	}
	if d.flip("sends") && len(s.Events) != 1 {
		s.Events = d.fewer("events", s.Events, patterns)
	}
	if d.flip("sets") {
		sets := access.Datasets{}
		if s.Datasets != nil {
			for _, n := range s.Datasets.Named {
				sets.Named = append(sets.Named, access.NamedDataset{Name: n.Name, Rights: n.Rights & d.rights()})
			}
			sets.Core = s.Datasets.Core && d.flip("core")
		}
		s.Datasets = &sets
	}
	s.Signature = s.Signature || d.flip("signs")
	if d.flip("ends") && (s.ExpiresAt.IsZero() || s.ExpiresAt.After(noon)) {
		s.ExpiresAt = noon.Add(1)
	}
	if d.flip("limits") {
		s.Limits = d.limits()
	}
	if d.flip("sees") {
		s.View = d.narrowerView(s.View)
	}
	if rarely(d.T, "slip") {
		s = d.plainBounds()
	}
	return s
}

func (d draw) fewer(label string, list, all []string) []string {
	if len(list) == 0 {
		return some(d, label, all)
	}
	return without(d, list)
}

func fewerOf[V comparable](d draw, label string, list, all []V) []V {
	if len(list) == 0 {
		return some(d, label, all)
	}
	return without(d, list)
}

// Promise: "reaches no further than" is a preorder: everything reaches no further than itself, and what reaches no further
// than something that reaches no further than a third, reaches no further than the third.
func TestExceedsIsAPreorder(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		d := drawFrom(t)
		a := d.plainBounds()
		a.Limits, a.Observe = d.limits(), access.Restriction(rapid.Uint16().Draw(t, "observe"))&access.AllRestrictions
		b := d.shrunk(&a)
		c := d.shrunk(&b)
		for _, each := range []access.Bounds{a, b, c, {}} {
			if by := each.Exceeds(&each); by != "" {
				t.Fatalf("%+v reaches further than itself by %s", each, by)
			}
			if by := each.Exceeds(&access.Bounds{}); by != "" {
				t.Fatalf("%+v reaches further than no bounds by %s", each, by)
			}
		}
		below, between, over := c.Exceeds(&b), b.Exceeds(&a), c.Exceeds(&a)
		if below == "" && between == "" && over != "" {
			t.Fatalf("%+v is within %+v, that is within %+v, and yet it exceeds that by %s", c, b, a, over)
		}
		met["below: "+below]++
		met["over: "+over]++
		if below == "" && between == "" {
			met["a chain"]++
		}
	})
	met.check(t, "a chain", "below: ", "over: ", "over: environments", "over: networks", "over: domains", "over: events", "over: datasets",
		"over: signature", "over: time", "over: view", "below: limits.rate.per_second", "below: limits.rate.burst", "below: limits.daily", "below: limits.credits")
}

// Promise: what reaches no further allows no more. Whatever a key may do whose bounds reach no further than others, a key
// with those others may do, once it has begun to be valid; for a request as a whole, and for each thing it touches.
func TestExceedsAgreesWithEnforcement(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		d := drawFrom(t)
		d.focus, d.also, d.all = "observe", evenly(t, "about", []string{"event", "dataset", "network", "domain", "environment", "signature", "time", "view"}), false
		project := d.project(projectIDs[0])
		outer := access.Key{Project: project, Kind: access.Secret, Mode: d.mode("key"), Scopes: access.AllScopes, Bounds: d.bounds()}
		if d.flip("of many bounds") {
			outer.Bounds = d.plainBounds()
		}
		inner := outer
		inner.Bounds = d.shrunk(&outer.Bounds)
		attempt := d.attempt(project)
		if attempt.At.Before(outer.NotBefore) {
			outer.NotBefore = time.Time{}
		}
		by := inner.Exceeds(&outer.Bounds)
		narrow, wide := verdicts(&inner, attempt), verdicts(&outer, attempt)
		for i := range narrow {
			if by == "" && narrow[i] && !wide[i] {
				t.Fatalf("target %d: allowed within %+v, and denied within %+v", i-1, inner.Bounds, outer.Bounds)
			}
			if by != "" && narrow[i] && !wide[i] {
				met["exceeds by "+by+", and is seen to"]++
			}
		}
		if by == "" {
			met["within"+change(narrow[0], wide[0])]++
		}
	})
	met.check(t, "within: still yes", "within: still no", "within: no to yes")
}

// Promise: one domain covers another exactly when every page of the other is one of its own: no page is let in by what was
// handed on that the giver is kept from, and nothing narrower is refused.
func TestCoversAgreesWithMatches(t *testing.T) {
	t.Parallel()
	met := tally{}
	for _, inner := range domainsOf(domains) {
		for _, outer := range domainsOf(domains) {
			within := (&access.Bounds{Domains: []access.Domain{inner}}).Exceeds(&access.Bounds{Domains: []access.Domain{outer}}) == ""
			all := true
			for _, page := range witnesses(inner) {
				if !allowsPage(inner, page) {
					t.Errorf("%v does not match its own %v", inner, page)
				}
				all = all && allowsPage(outer, page)
			}
			if within != all {
				t.Errorf("%v covers %v: %v; matches its pages: %v", outer, inner, within, all)
			}
			for _, origin := range origins {
				for _, referer := range referers {
					page := access.ParseOrigin(origin, referer)
					if within && allowsPage(inner, page) && !allowsPage(outer, page) {
						t.Errorf("%v covers %v, and does not match %v", outer, inner, page)
					}
				}
			}
			met[map[bool]string{true: "covers", false: "does not"}[within]]++
		}
	}
	met.check(t, "covers", "does not")
}

// witnesses are pages of a domain that between them tell it from every other that does not cover it.
func witnesses(d access.Domain) []access.Origin {
	if d.Host == "null" {
		return []access.Origin{{Given: true, Host: "null"}}
	}
	hosts, schemes := []string{d.Host}, []string{d.Scheme}
	if d.Wild {
		hosts = []string{"zq." + d.Host, "qz." + d.Host, "q.z." + d.Host}
	}
	if d.Scheme == "" {
		schemes = []string{"http", "https"}
	}
	var list []access.Origin
	for _, scheme := range schemes {
		for _, host := range hosts {
			for _, more := range []string{"", "zq"} {
				text := access.Domain{Scheme: scheme, Host: host, Port: d.Port}.String()
				list = append(list, access.ParseOrigin("", text+cmpOr(d.Path, "/")+more))
			}
		}
	}
	return list
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func allowsPage(d access.Domain, page access.Origin) bool {
	key := sampleKey()
	key.Domains = []access.Domain{d}
	attempt := access.Attempt{Action: access.HoldKey, At: noon, Circumstances: access.Circumstances{Via: access.InHeader, Origin: page}}
	return access.Decide(key, &attempt).Allowed()
}

// Promise: one event pattern covers another exactly when every name of the other is one of its own.
func TestPatternsCoverTheirNames(t *testing.T) {
	t.Parallel()
	all := append(patterns, "", "a", "a*", "a**", "*a", "**", "signup*x")
	met := tally{}
	for _, inner := range all {
		for _, outer := range all {
			within := (&access.Bounds{Events: []string{inner}}).Exceeds(&access.Bounds{Events: []string{outer}}) == ""
			every := true
			begin, open := strings.CutSuffix(inner, "*")
			for _, name := range map[bool][]string{false: {inner}, true: {begin, begin + "zq", begin + "*"}}[open] {
				key := sampleKey()
				key.Events = []string{outer}
				attempt := access.Attempt{Action: access.WriteEvents, At: noon, Circumstances: access.Circumstances{Via: access.InHeader}, Targets: []access.Target{{Event: name}}}
				every = every && access.Decide(key, &attempt).Allowed()
			}
			if within != every {
				t.Errorf("%q covers %q: %v; allows its names: %v", outer, inner, within, every)
			}
			met[map[bool]string{true: "covers", false: "does not"}[within]]++
		}
	}
	met.check(t, "covers", "does not")
}

// Promise: the carriage is judged by the attempt alone, whatever the key is, and as Screen and Decide judge it.
func TestCarriageNeedsNoKey(t *testing.T) {
	t.Parallel()
	met := tally{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		d := access.ScreenCarriage(p.attempt)
		for _, key := range []*access.Key{p.key, drawFrom(t).key(p.others[0]), {Project: p.others[1]}} {
			if s := access.Screen(key, p.attempt); !d.Allowed() && (s.Reason != d.Reason || s.Rule != d.Rule) {
				t.Fatalf("carriage: %s, screen: %s", d.Reason, s.Reason)
			} else if d.Allowed() && (s.Reason == access.SentInCleartext || s.Reason == access.ActionUndeclared) {
				t.Fatalf("screen: %s", s.Reason)
			}
		}
		met[d.Reason.String()]++
	})
	met.check(t, "allowed", "sent_in_cleartext", "action_undeclared")
}

// Promise: the names of restrictions, rights, states and what limits do on failure read back; others are refused.
func TestBoundsNames(t *testing.T) {
	t.Parallel()
	all := access.AllRestrictions.Names()
	if len(all) != 8 || slices.Contains(all, "") {
		t.Errorf("restrictions %q", all)
	}
	var seen access.Restriction
	for _, name := range all {
		one, err := access.ParseRestriction(name)
		if err != nil || !slices.Equal(one.Names(), []string{name}) || seen.Has(one) {
			t.Errorf("%s reads back as %v, %v", name, one.Names(), err)
		}
		seen |= one
	}
	if seen != access.AllRestrictions || access.Restriction(0).Names() == nil {
		t.Errorf("restrictions %b", seen)
	}
	for _, name := range []string{"read", "write", "delete"} {
		if one, err := access.ParseRight(name); err != nil || one.String() != name {
			t.Errorf("right %s reads back as %s, %v", name, one, err)
		}
	}
	for _, name := range []string{"active", "disabled", "quarantined"} {
		if one, ok := access.ParseState(name); !ok || one.String() != name {
			t.Errorf("state %s reads back as %s, %v", name, one, ok)
		}
	}
	for _, name := range []string{"deny", "local_share", "allow"} {
		if one, ok := access.ParseOnFailure(name); !ok || one.String() != name {
			t.Errorf("%s reads back as %s, %v", name, one, ok)
		}
	}
	for _, name := range []string{"unsigned", "claimed", "right", "wrong"} {
		if one, ok := access.ParseSigned(name); !ok || one.String() != name {
			t.Errorf("signed %s reads back as %s, %v", name, one, ok)
		}
	}
	for _, bad := range []string{"", "Read", "network", "read write", "unknown", "none"} {
		_, restriction := access.ParseRestriction(bad)
		_, right := access.ParseRight(bad)
		_, state := access.ParseState(bad)
		_, onFailure := access.ParseOnFailure(bad)
		_, signed := access.ParseSigned(bad)
		if restriction == nil || right == nil || state || onFailure || signed {
			t.Errorf("%q is taken for a name", bad)
		}
	}
	if access.State(9).String() != "unknown" || access.OnFailure(9).String() != "deny" || access.Class(9).String() != "none" || access.Signed(9).String() != "wrong" ||
		access.Core.String()+access.Premium.String() != "corepremium" {
		t.Error("what has no name has one")
	}
	if full := access.ReadRecords | access.WriteRecords | access.DeleteRecords; full.String() != "read write delete" {
		t.Errorf("all rights are %s", full)
	}
}

// Promise: a network that is none has no addresses, and is within none.
func TestInvalidNetworksAreEmpty(t *testing.T) {
	t.Parallel()
	addr4, addr6 := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("2001:db8::1")
	for _, prefix := range []netip.Prefix{{}, netip.PrefixFrom(addr4, -1), netip.PrefixFrom(addr4, 33), netip.PrefixFrom(addr6, 129), netip.PrefixFrom(netip.Addr{}, 0)} {
		key := sampleKey()
		key.Networks = []access.Network{{Prefix: prefix}}
		for _, addr := range []netip.Addr{addr4, addr6, {}, netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			attempt := access.Attempt{Action: access.HoldKey, At: noon, Circumstances: access.Circumstances{Via: access.InHeader, Address: addr}}
			if access.Decide(key, &attempt).Allowed() {
				t.Errorf("%s is in %#v", addr, prefix)
			}
		}
		for _, outer := range []access.Bounds{{Networks: networksOf([]string{"0.0.0.0/0", "::/0"})}, key.Bounds} {
			if key.Exceeds(&outer) != "networks" {
				t.Errorf("%#v is within %v", prefix, outer.Networks)
			}
		}
	}
}

// Promise: the default limits are those of the published page: 100 a second for public keys and 1,000 for secret ones.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	for kind, want := range map[access.Kind][3]int64{access.Public: {100, 1_000, 1_000_000}, access.Secret: {1_000, 10_000, 10_000_000}} {
		l := access.DefaultLimits(kind)
		if got := [3]int64{l.Rate.PerSecond, l.Rate.Burst, l.Daily.Most}; got != want || l.Credits.Most != 0 {
			t.Errorf("%s: %v", kind, got)
		}
	}
}

// Promise: from a page, a token that is embedded there can read and change nothing, whatever scopes it holds.
func TestEmbeddedTokensOnlyRead(t *testing.T) {
	t.Parallel()
	for action, want := range map[access.Action]access.Reason{
		access.RunMetrics: access.Allowed, access.RunSQL: access.Allowed, access.ReadEvents: access.Allowed, access.HoldKey: access.Allowed,
		access.WriteEvents: access.SecretInBrowser, access.IdentifyUsers: access.SecretInBrowser, access.WriteMetrics: access.SecretInBrowser,
		access.WriteKeys: access.SecretInBrowser, access.ReadKeys: access.SecretInBrowser, access.ReadAudit: access.SecretInBrowser,
		access.WritePolicy: access.SecretInBrowser, access.DeleteDatasets: access.SecretInBrowser, access.CancelQueries: access.SecretInBrowser,
	} {
		root := sampleKey()
		root.Kind, root.Scopes = access.Secret, access.AllScopes
		project := *root.Project
		project.Policy.EmbeddedTokens = true
		root.Project = &project
		client := *root
		client.ID, client.Kind, client.Parent = "key_client", access.Client, root
		token := client
		token.Kind, token.Parent, token.Embedded, token.ExpiresAt = access.Token, &client, true, noon.Add(time.Minute)
		attempt := &access.Attempt{Action: action, At: noon, Circumstances: access.Circumstances{
			Via: access.InHeader, Browser: true, Address: netip.MustParseAddr("10.1.2.3"),
		}}
		if got := access.Decide(&token, attempt).Reason; got != want {
			t.Errorf("%s: %s, want %s", action, got, want)
		}
		attempt.Browser = false
		if got := access.Decide(&token, attempt).Reason; got == access.SecretInBrowser {
			t.Errorf("%s from a server: %s", action, got)
		}
	}
}

// Promise: what all keys of a project run is changed by a key that sees all of it, and by nothing that comes of another.
func TestWhatOthersRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*access.Key)
		want access.Reason
	}{
		"a live key":                     {func(*access.Key) {}, access.Allowed},
		"a test key":                     {func(k *access.Key) { k.Mode = access.Test }, access.GrantTooWide},
		"one of an environment":          {func(k *access.Key) { k.Environments = []string{"production"} }, access.GrantTooWide},
		"one that would be of it":        {func(k *access.Key) { k.Environments, k.Observe = []string{"production"}, access.ByEnvironment }, access.Allowed},
		"one with a view":                {func(k *access.Key) { k.View = &access.View{Tables: []access.ViewTable{{Name: "events"}}} }, access.GrantTooWide},
		"one that is restricted in time": {func(k *access.Key) { k.ExpiresAt = noon.Add(time.Hour) }, access.Allowed},
	} {
		key := sampleKey()
		key.Scopes = access.AllScopes
		c.edit(key)
		attempt := &access.Attempt{Action: access.WriteMetrics, At: noon, Circumstances: access.Circumstances{Via: access.InHeader, Address: netip.MustParseAddr("10.1.2.3")}}
		if got := access.Decide(key, attempt).Reason; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
