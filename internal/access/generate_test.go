package access_test

import (
	"flag"
	"maps"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/access"
)

// TestMain asks more of the properties than rapid does by itself: a check here costs microseconds. -rapid.checks on the
// command line is read later and wins.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "3000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// Values near enough to one another to be confused.
var (
	names      = []string{"production", "staging", "development", "canary", "Production", "production ", "caf\u00e9", "cafe\u0301", "moon", ""}
	events     = []string{"signup", "checkout_done", "Signup", "signups", "checkout_", "checkout", "signup*", "*", "caf\u00e9", "cafe\u0301", ""}
	patterns   = []string{"signup", "checkout_*", "*", "Signup", "sign*", "signup*", "signup**", "checkout_done", "caf\u00e9", "c*"}
	networks   = []string{"10.0.0.0/8", "10.1.2.3", "10.0.0.0/9", "10.128.0.0/9", "10.1.2.2/31", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:db8::1", "::ffff:10.1.0.0/112"}
	addresses  = []string{"10.1.2.3", "10.1.2.2", "::ffff:10.1.2.3", "10.128.0.1", "11.0.0.0", "9.255.255.255", "2001:db8::1", "2001:db8::1%eth0", "2001:db9::", "::10.1.2.3"}
	domains    = []string{"www.example.com", "https://www.example.com", "http://www.example.com", "*.example.com", "example.com", "https://*.example.com", "www.example.com:443", "www.example.com:8443", "https://www.example.com:80", "www.example.com/app", "https://www.example.com/app/stock", "*.example.com/app", "*.www.example.com", "null", "com", "*.com", "[2001:db8::1]", "10.1.2.3"}
	origins    = []string{"https://www.example.com", "http://www.example.com", "https://www.example.com:8443", "http://www.example.com:443", "https://www.example.com:80", "https://example.com", "https://www.example.com.evil.org", "https://a.www.example.com", "https://wwwxexample.com", "http://[2001:db8::1]", "https://10.1.2.3", "null", "nonsense", ""}
	referers   = []string{"", "https://www.example.com/app", "https://www.example.com/app/stock/AAPL", "http://www.example.com/app", "https://www.example.com:443/application", "https://evil.org/app", "https://www.example.com"}
	datasetIDs = []string{"quotes", "news", "QUOTES", "quotes ", "quote"}
	instants   = []time.Time{noon, noon.Add(-1), noon.Add(1), noon.Add(time.Hour), noon.Add(-time.Hour), {}}
	projectIDs = []string{"acme", "rival", "third"}
)

// facets are the matters that the policy is about. A random pair is wild in one of them, sometimes in another too, and in
// one case of sixteen in all: without that there would be hardly a yes, and hardly a no late in the policy.
var facets = []string{
	"user", "kind", "state", "time", "secret", "carriage", "network", "domain", "scope", "signature", "subject", "grant", "environment", "event",
	"dataset", "ceiling", "observe", "view", "action", "mode", "ceiling", "grant",
}

// draw makes random values.
type draw struct {
	*rapid.T
	focus string
	also  string
	all   bool
}

func drawFrom(t *rapid.T) draw {
	d := draw{T: t, focus: evenly(t, "focus", facets), all: rarely(t, "all")}
	if sometimes(t, "also") {
		d.also = evenly(t, "and also", facets)
	}
	return d
}

func (d draw) wild(facet string) bool { return d.all || d.focus == facet || d.also == facet }

// pair is a random key and a random attempt; others are the projects the key does not belong to.
type pair struct {
	key     *access.Key
	attempt *access.Attempt
	others  []*access.Project
}

func drawPair(t *rapid.T) pair {
	d := drawFrom(t)
	project := d.project(projectIDs[0])
	return pair{
		key:     d.key(project),
		attempt: d.attempt(project),
		others:  []*access.Project{d.project(projectIDs[1]), d.project(projectIDs[2])},
	}
}

// evenly draws each with nearly the same chance, sometimes is true once in four times, and rarely once in sixteen. rapid's
// own choices lean to the ends of a list.
func evenly[V any](t *rapid.T, label string, list []V) V {
	n := 0
	for range 8 {
		if n *= 2; rapid.Bool().Draw(t, label+" bit") {
			n++
		}
	}
	return list[n*len(list)/256]
}

func sometimes(t *rapid.T, label string) bool {
	return rapid.Bool().Draw(t, label+"?") && rapid.Bool().Draw(t, label+"??")
}

func rarely(t *rapid.T, label string) bool { return sometimes(t, label) && sometimes(t, label+"??") }

func pick[V any](d draw, label string, list []V) V { return rapid.SampledFrom(list).Draw(d.T, label) }

// some draws one to four different ones.
func some[V comparable](d draw, label string, list []V) []V {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(list), 1, 4, rapid.ID).Draw(d.T, label)
}

func (d draw) flip(label string) bool { return rapid.Bool().Draw(d.T, label) }

func (d draw) project(id string) *access.Project {
	p := &access.Project{Organization: "org_" + id, ID: id}
	most := 3
	if d.wild("environment") {
		most = 0
	}
	named := rapid.SampledFrom(names[:len(names)-1])
	for _, name := range rapid.SliceOfNDistinct(named, most, 6, rapid.ID).Draw(d.T, id+" environments") {
		p.Environments = append(p.Environments, access.Environment{Name: name, Mode: d.mode(name)})
	}
	if d.wild("carriage") {
		p.Policy.SecretInBrowser, p.Policy.SecretInURL = d.flip("in browser"), d.flip("in URL")
	}
	if d.wild("ceiling") {
		p.Policy.Public, p.Policy.Secret = d.ceiling(), d.ceiling()
	}
	return p
}

func (d draw) ceiling() access.Ceiling {
	c := access.Ceiling{
		MaxLifetime:     pick(d, "lasts", []time.Duration{time.Hour, 2 * time.Hour, 1}),
		Scopes:          evenly(d.T, "most scopes", []access.Scopes{access.EventsWrite | access.KeysWrite, access.KeysWrite, access.UsersWrite, access.ClientScopes}),
		RequireNetworks: true, RequireSignature: true,
	}
	switch evenly(d.T, "ceiling", []string{"lasts", "scopes", "scopes", "networks", "signature", "none", "all"}) {
	case "lasts":
		return access.Ceiling{MaxLifetime: c.MaxLifetime}
	case "scopes":
		return access.Ceiling{Scopes: c.Scopes}
	case "networks":
		return access.Ceiling{RequireNetworks: true}
	case "signature":
		return access.Ceiling{RequireSignature: true}
	case "none":
		return access.Ceiling{}
	}
	return c
}

func (d draw) mode(label string) access.Mode {
	if d.flip(label + " is live") {
		return access.Live
	}
	return access.Test
}

func (d draw) key(project *access.Project) *access.Key {
	k := &access.Key{ID: "key_1", Project: project, Kind: access.Secret, Mode: d.mode("key"), Scopes: access.AllScopes, MintedAt: noon.Add(-time.Hour / 2)}
	if sometimes(d.T, "public") {
		k.Kind = access.Public
	}
	if d.focus == "user" {
		k.Kind = access.Public
	}
	if d.wild("kind") {
		k.Kind = pick(d, "kind", []access.Kind{access.Public, access.Secret, access.Operator, access.Member, 0, 9})
		k.Role, k.Wide = pick(d, "role", append(access.Roles(), 0, 99)), d.flip("wide")
	}
	if d.wild("mode") {
		k.Mode = pick(d, "mode", []access.Mode{access.Live, access.Test, 0})
	}
	if d.wild("scope") {
		k.Scopes = d.scopes()
	}
	if d.wild("state") {
		k.State = evenly(d.T, "state", []access.State{access.Active, access.Disabled, access.Quarantined, 9})
		k.RevokedAt = pick(d, "revoked", []time.Time{{}, {}, noon, noon.Add(time.Hour)})
	}
	if d.wild("secret") || d.wild("ceiling") {
		k.MintedAt = pick(d, "minted", []time.Time{noon.Add(-time.Hour), noon.Add(-time.Hour + 1), noon, {}})
	}
	k.Bounds = d.bounds()
	return k
}

func (d draw) scopes() access.Scopes {
	return rapid.OneOf(
		rapid.Map(rapid.Uint32(), func(bits uint32) access.Scopes { return access.Scopes(bits) & access.AllScopes }),
		rapid.Just(access.ClientScopes), rapid.Just(access.AllScopes), rapid.Just(access.Scopes(0)),
	).Draw(d.T, "scopes")
}

// bounds are narrow in the facets that are wild.
func (d draw) bounds() access.Bounds {
	var b access.Bounds
	if d.wild("environment") {
		b.Environments = some(d, "only", names[:len(names)-1])
	}
	if d.wild("network") {
		b.Networks = networksOf(some(d, "from", networks))
	}
	if d.wild("domain") {
		b.Domains = domainsOf(some(d, "pages", domains))
	}
	if d.wild("event") {
		b.Events = some(d, "sends", patterns)
	}
	if d.wild("dataset") {
		b.Datasets = d.datasets()
	}
	if d.wild("signature") {
		b.Signature = true
	}
	if d.wild("time") {
		b.NotBefore, b.ExpiresAt = pick(d, "begins", instants), pick(d, "expires", instants)
	}
	if d.wild("view") {
		b.View = d.view()
	}
	if d.wild("observe") {
		b.Observe = access.Restriction(rapid.Uint16().Draw(d.T, "observe")) & access.AllRestrictions
		if d.flip("and is restricted") {
			observe := b.Observe
			b = d.plainBounds()
			b.Observe = observe
		}
	}
	if sometimes(d.T, "limits") {
		b.Limits = d.limits()
	}
	return b
}

// plainBounds are bounds in most facets, without observation.
func (d draw) plainBounds() access.Bounds {
	b := access.Bounds{Signature: d.flip("signs")}
	if d.flip("environments") {
		b.Environments = some(d, "only", names[:len(names)-1])
	}
	if d.flip("networks") {
		b.Networks = networksOf(some(d, "from", networks))
	}
	if d.flip("domains") {
		b.Domains = domainsOf(some(d, "pages", domains))
	}
	if d.flip("events") {
		b.Events = some(d, "sends", patterns)
	}
	if d.flip("datasets") {
		b.Datasets = d.datasets()
	}
	if d.flip("time") {
		b.NotBefore, b.ExpiresAt = pick(d, "begins", instants), pick(d, "expires", instants)
	}
	if d.flip("view") {
		b.View = d.view()
	}
	return b
}

// view draws one of few tables and atoms, so that two of them are often comparable.
func (d draw) view() *access.View {
	v := &access.View{}
	for _, name := range []string{"events", "persons"} {
		if d.flip("no " + name) {
			continue
		}
		t := access.ViewTable{Name: name}
		for _, atom := range viewAtoms {
			if sometimes(d.T, atom.Name+atom.Text) {
				t.Atoms = append(t.Atoms, atom)
			}
		}
		v.Tables = append(v.Tables, t)
	}
	if sometimes(d.T, "unbound") {
		v.Unbound = []string{"org"}
	}
	return v
}

// narrower takes something more away from a view, or is another one.
func (d draw) narrowerView(v *access.View) *access.View {
	return v.And(d.view())
}

// viewAtoms are in order.
var viewAtoms = []access.Atom{
	{Does: access.Where, Name: "p.country", Text: "is FR"},
	{Does: access.Where, Name: "p.email", Text: "is a@b.c"},
	{Does: access.Hash, Name: "p"},
	{Does: access.Hash, Name: "p.email"},
	{Does: access.Hide, Name: "p.email"},
	{Does: access.Hide, Name: "p.e"},
}

func networksOf(texts []string) []access.Network {
	var list []access.Network
	for _, text := range texts {
		prefix, _, err := access.ParseNetwork(text)
		if err != nil {
			panic(err)
		}
		list = append(list, access.Network{Prefix: prefix})
	}
	return list
}

func domainsOf(texts []string) []access.Domain {
	var list []access.Domain
	for _, text := range texts {
		one, err := access.ParseDomain(text)
		if err != nil {
			panic(err)
		}
		list = append(list, one)
	}
	return list
}

func (d draw) datasets() *access.Datasets {
	sets := &access.Datasets{Core: sometimes(d.T, "core"), Premium: sometimes(d.T, "premium")}
	for range rapid.IntRange(0, 3).Draw(d.T, "named") {
		sets.Named = append(sets.Named, access.NamedDataset{Name: pick(d, "dataset", datasetIDs), Rights: d.rights()})
	}
	return sets
}

func (d draw) rights() access.Rights { return access.Rights(rapid.IntRange(0, 7).Draw(d.T, "rights")) }

func (d draw) limits() access.Limits {
	modes := []access.OnFailure{access.FailDeny, access.FailLocalShare, access.FailAllow}
	quota := func(label string) access.Quota {
		return access.Quota{Most: rapid.Int64Range(-1, 3).Draw(d.T, label), OnFailure: pick(d, label+" fails", modes)}
	}
	rate := quota("rate")
	return access.Limits{
		Rate:  access.Rate{PerSecond: rate.Most, Burst: rapid.Int64Range(0, 3).Draw(d.T, "burst"), OnFailure: rate.OnFailure},
		Daily: quota("daily"), Credits: quota("credits"),
	}
}

func (d draw) attempt(project *access.Project) *access.Attempt {
	a := &access.Attempt{
		Action: pick(d, "action", []access.Action{access.WriteEvents, access.IdentifyUsers, access.WriteKeys, access.HoldKey, access.ReadDatasets, access.RevokeSelf}),
		At:     noon, Circumstances: d.circumstances(), Each: d.flip("each"),
	}
	switch d.focus {
	case "user":
		a.Action = access.ReadProfile
	case "view":
		a.Action = evenly(d.T, "reading", []access.Action{access.ReadEvents, access.RunSQL, access.FollowEvents, access.WriteExports, a.Action})
	case "environment", "event":
		a.Action = access.WriteEvents
	case "dataset":
		a.Action = pick(d, "action", []access.Action{access.ReadDatasets, access.WriteDatasets, access.WriteExports})
	}
	if d.wild("action") {
		a.Action = evenly(d.T, "any action", append(access.Actions(), access.RevokeSelf, access.RevokeSelf, access.WriteOrganization, access.WriteOrganization, 0, 200))
	}
	if d.wild("time") || d.wild("secret") {
		a.At = pick(d, "at", append(instants, noon.Add(2*time.Hour)))
	}
	for range rapid.IntRange(0, 4).Draw(d.T, "targets") {
		a.Targets = append(a.Targets, d.target(project))
	}
	if d.wild("subject") {
		a.Subject = d.subject()
	}
	if d.wild("grant") || d.focus == "ceiling" && d.flip("grants under a ceiling") {
		a.Action, a.Grants = pick(d, "granting", []access.Action{access.WriteKeys, a.Action}), d.grant()
	}
	return a
}

func (d draw) circumstances() access.Circumstances {
	c := access.Circumstances{Via: access.InHeader, Address: netip.MustParseAddr(addresses[0]), Origin: access.ParseOrigin(origins[0], "")}
	if d.wild("network") || d.focus == "observe" {
		c.Address = netip.Addr{}
		if !rarely(d.T, "no address") {
			c.Address = netip.MustParseAddr(pick(d, "address", addresses))
		}
	}
	if d.wild("domain") || d.focus == "observe" {
		c.Origin = access.ParseOrigin(pick(d, "origin", origins), pick(d, "referer", referers))
	}
	if d.wild("signature") {
		c.Signed = pick(d, "signed", []access.Signed{access.SignatureRight, access.SignatureClaimed, access.SignatureWrong, access.Unsigned, 9})
	}
	if d.wild("carriage") {
		switch evenly(d.T, "carriage", []string{"place", "browser", "cleartext", "all"}) {
		case "place":
			c.Via = pick(d, "via", []access.Via{access.InQuery, access.InHeader, access.InBody, access.InBody, access.InLink, 0, 9})
		case "browser":
			c.Browser = true
			if rarely(d.T, "own page") {
				c.Via, c.OwnPage = access.InBody, true
				if rarely(d.T, "typed") {
					c.Via = access.InHeader
				}
			}
		case "cleartext":
			c.Cleartext = true
		default:
			c.Via, c.Cleartext, c.Browser = access.InQuery, rarely(d.T, "cleartext"), true
		}
	}
	if d.wild("user") {
		c.User = access.User{
			Shown: !rarely(d.T, "no user"), Good: !rarely(d.T, "a bad user token"), Project: pick(d, "user's project", projectIDs),
			Environment: pick(d, "user's environment", names), DistinctID: pick(d, "user", []string{"u", "v"}),
		}
	}
	if d.wild("secret") {
		c.SecretUntil, c.SecretMinted = pick(d, "secret until", instants), pick(d, "secret minted", instants)
	}
	return c
}

func (d draw) target(project *access.Project) access.Target {
	t := access.Target{Event: events[0]}
	if len(project.Environments) > 0 && d.flip("its own") {
		t.Environment = pick(d, "own environment", project.Environments).Name
	} else if d.wild("environment") {
		t.Environment = pick(d, "environment", names)
	}
	if d.wild("user") {
		t.User = pick(d, "asked user", []string{"u", "v", ""})
	}
	if d.wild("event") || d.focus == "observe" {
		t.Event = pick(d, "event", events)
	}
	if d.wild("dataset") || d.focus == "observe" || d.focus == "view" && sometimes(d.T, "of a dataset") {
		t.Dataset, t.Class, t.Right = pick(d, "dataset", append(datasetIDs, "")), access.Class(rapid.IntRange(0, 3).Draw(d.T, "class")), d.rights()
	}
	return t
}

func (d draw) subject() *access.Subject {
	return &access.Subject{
		Project: pick(d, "about", append([]string{projectIDs[0], ""}, projectIDs...)),
		Mode:    pick(d, "its mode", []access.Mode{access.Live, access.Test, 0}),
		Owner:   pick(d, "whose", []string{"", "", "", "key_1", "key_2"}),
	}
}

func (d draw) grant() *access.Grant {
	g := &access.Grant{Kind: access.Secret, Mode: d.mode("given"), Scopes: access.EventsWrite}
	if d.flip("given public") {
		g.Kind = access.Public
	}
	if d.wild("kind") {
		g.Kind = pick(d, "given kind", []access.Kind{access.Public, access.Secret, access.Client, access.Operator, access.Token, access.Member, 0, 9})
		g.Wide = d.flip("given everywhere")
	}
	if d.flip("given many scopes") {
		g.Scopes = d.scopes()
	}
	g.Bounds, g.Renewal = d.bounds(), sometimes(d.T, "renewal")
	return g
}

// tally counts what a property met, and fails it when it missed what it is about.
type tally map[string]int

func (c tally) check(t *testing.T, need ...string) {
	t.Helper()
	for _, name := range need {
		if c[name] == 0 {
			t.Errorf("%q was never met: the property says little", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c)) {
		t.Logf("%6d %s", c[name], name)
	}
}
