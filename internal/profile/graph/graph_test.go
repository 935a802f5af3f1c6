package graph_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/profile/graph"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// disk keeps a graph as an engine would: rows, and nothing else, between one load and the next.
type disk struct {
	persons map[string]row
	links   map[string]string
}

type row struct {
	ids    []string
	state  string
	traits string
	rest   graph.Person
}

// load applies events to what is stored.
func (d *disk) load(t interface{ Fatalf(string, ...any) }, events ...*event.Event) {
	var persons []*graph.Person
	found := map[string]bool{}
	for _, id := range graph.IDs(events) {
		name, known := d.links[id]
		if !known || found[name] {
			continue
		}
		found[name] = true
		p := d.persons[name].rest
		p.IDs, p.Traits = slices.Clone(d.persons[name].ids), graph.Traits{}
		if err := p.Traits.Restore(jsontext.Value(d.persons[name].state)); err != nil {
			t.Fatalf("restoring: %v", err)
		}
		persons = append(persons, &p)
	}
	g := graph.New(persons)
	for _, e := range events {
		g.Apply(e)
	}
	c := g.Changes()
	for _, name := range c.Gone {
		if _, there := d.persons[name]; !there {
			t.Fatalf("%s is gone and was not there", name)
		}
		delete(d.persons, name)
	}
	for _, p := range c.Persons {
		if _, there := d.persons[p.ID]; there {
			t.Fatalf("%s is there twice", p.ID)
		}
		state, err := p.Traits.State()
		if err != nil {
			t.Fatalf("%v", err)
		}
		shown, err := p.Traits.Shown()
		if err != nil {
			t.Fatalf("%v", err)
		}
		d.persons[p.ID] = row{p.IDs, string(state), string(shown), *p}
	}
	for _, id := range c.Unlinked {
		if _, there := d.links[id]; !there {
			t.Fatalf("%s is unlinked and led nowhere", id)
		}
		delete(d.links, id)
	}
	for id, name := range c.Links {
		if _, there := d.links[id]; there {
			t.Fatalf("%s is linked twice", id)
		}
		d.links[id] = name
	}
	d.check(t)
}

// check looks for rows that do not agree.
func (d *disk) check(t interface{ Fatalf(string, ...any) }) {
	n := 0
	for name, p := range d.persons {
		if !slices.Contains(p.ids, name) {
			t.Fatalf("%s is none of its ids %v", name, p.ids)
		}
		n += len(p.ids)
		for _, id := range p.ids {
			if d.links[id] != name {
				t.Fatalf("%s is an id of %s and leads to %q", id, name, d.links[id])
			}
		}
	}
	if n != len(d.links) {
		t.Fatalf("%d ids of persons, %d links", n, len(d.links))
	}
}

// sets is the model: the persons as sets of ids, and what was said of each, in order.
type sets []*set

type set struct {
	ids  []string
	name string
	said map[string]said // of each trait, what counts
}

type said struct {
	trait, how, value string
	at                int
}

func (s *sets) of(id string) *set {
	for _, one := range *s {
		if slices.Contains(one.ids, id) {
			return one
		}
	}
	return nil
}

func (s *sets) begin(id string) *set {
	if one := s.of(id); one != nil {
		return one
	}
	one := &set{ids: []string{id}, name: id, said: map[string]said{}}
	*s = append(*s, one)
	return one
}

func (s *sets) claim(one *set, id string) {
	if id != "" && s.of(id) == nil {
		one.ids = append(one.ids, id)
	}
}

func (s *sets) apply(e *event.Event, told []said) {
	switch e.Kind {
	case event.Forget:
		if one := s.of(e.DistinctID); one != nil {
			*s = slices.DeleteFunc(*s, func(other *set) bool { return other == one })
		}
		return
	case event.Track:
		if e.DistinctID == "" || e.AnonymousID == "" || e.DistinctID == e.AnonymousID {
			return
		}
	case event.Alias:
		d, n := s.of(e.DistinctID), s.of(e.NewUserID)
		switch {
		case d == nil:
			s.claim(s.begin(e.NewUserID), e.DistinctID)
		case n == nil:
			s.claim(d, e.NewUserID)
		case d != n:
			d.ids = append(d.ids, n.ids...)
			for trait, w := range n.said {
				if old, known := d.said[trait]; !known || w.at > old.at {
					d.said[trait] = w
				}
			}
			*s = slices.DeleteFunc(*s, func(other *set) bool { return other == n })
		}
	}
	one := s.begin(e.DistinctID)
	if e.Kind == event.Identify {
		for _, w := range told {
			if old, known := one.said[w.trait]; !known || w.at >= old.at {
				one.said[w.trait] = w
			}
		}
	}
	s.claim(one, e.AnonymousID)
	s.claim(one, e.DeviceID)
}

// shown are the traits of a set.
func (one *set) shown() string {
	var members []string
	for _, name := range slices.Sorted(maps.Keys(one.said)) {
		if one.said[name].how == "set" {
			members = append(members, fmt.Sprintf("%q:%s", name, one.said[name].value))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

var ids = []string{"", "a", "b", "c", "d", "e", "f", "g"}

func drawEvent(t *rapid.T, at int) (*event.Event, []said) {
	id := rapid.SampledFrom(ids)
	e := &event.Event{
		Kind:       rapid.SampledFrom([]event.Kind{event.Track, event.Track, event.Identify, event.Identify, event.Identify, event.Alias, event.Forget}).Draw(t, "kind"),
		DistinctID: rapid.SampledFrom(ids[1:]).Draw(t, "distinct"), AnonymousID: id.Draw(t, "anonymous"), DeviceID: id.Draw(t, "device"),
		Timestamp: noon.Add(time.Duration(at) * time.Second),
	}
	if e.Kind == event.Forget && rapid.IntRange(0, 3).Draw(t, "forget") > 0 {
		e.Kind = event.Track
	}
	if e.Kind == event.Alias {
		e.NewUserID = rapid.SampledFrom(ids[1:]).Draw(t, "new")
	}
	if e.Kind != event.Identify {
		return e, nil
	}
	var told []said
	var members []string
	for name, n := range rapid.MapOfN(rapid.SampledFrom([]string{"x", "y"}), rapid.IntRange(0, 5), 0, 2).Draw(t, "traits") {
		if n == 5 {
			told = append(told, said{name, "unset", "", at})
			members = append(members, fmt.Sprintf(`"$unset":[%q]`, name), `"$set":{}`)
			return with(e, members[len(members)-2:]), told[len(told)-1:]
		}
		told = append(told, said{name, "set", fmt.Sprint(n), at})
		members = append(members, fmt.Sprintf("%q:%d", name, n))
	}
	return with(e, members), told
}

func with(e *event.Event, members []string) *event.Event {
	e.Properties = jsontext.Value("{" + strings.Join(members, ",") + "}")
	return e
}

// Promise: however events are cut into loads, and however often a load that failed is tried again, the persons are those
// of the naive model: sets of ids, each id in one of them at most, with the newest of all that was said of each trait.
func TestAgreesWithSets(t *testing.T) {
	t.Parallel()
	runs, applied := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		d, model := &disk{map[string]row{}, map[string]string{}}, &sets{}
		for range rapid.IntRange(1, 6).Draw(t, "loads") {
			var events []*event.Event
			for range rapid.IntRange(1, 6).Draw(t, "events") {
				e, told := drawEvent(t, rapid.IntRange(0, 6).Draw(t, "time"))
				events = append(events, e)
				model.apply(e, told)
				applied++
			}
			if rapid.IntRange(0, 4).Draw(t, "fails") == 0 { // nothing of it is kept
				lost := &disk{maps.Clone(d.persons), maps.Clone(d.links)}
				lost.load(t, events...)
			}
			d.load(t, events...)
			compare(t, d, model)
		}
	})
	t.Logf("%d runs, %d events", runs, applied)
}

func compare(t *rapid.T, d *disk, model *sets) {
	if len(d.persons) != len(*model) {
		t.Fatalf("%d persons, want %d", len(d.persons), len(*model))
	}
	for _, want := range *model {
		got, there := d.persons[want.name]
		if !there {
			t.Fatalf("there is no %s", want.name)
		}
		slices.Sort(got.ids)
		if sorted := slices.Sorted(slices.Values(want.ids)); !slices.Equal(got.ids, sorted) {
			t.Fatalf("%s is %v, want %v", want.name, got.ids, sorted)
		}
		if got.traits != want.shown() {
			t.Fatalf("%s has %s, want %s", want.name, got.traits, want.shown())
		}
	}
}

// of makes an event of a kind, its ids, and its second.
func of(kind event.Kind, distinct, anonymous, device, other string, second int, traits string) *event.Event {
	return &event.Event{
		Kind: kind, DistinctID: distinct, AnonymousID: anonymous, DeviceID: device, NewUserID: other,
		Timestamp: noon.Add(time.Duration(second) * time.Second), Properties: jsontext.Value(traits),
	}
}

func persons(d *disk) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(d.persons)) {
		all = append(all, name+"="+strings.Join(d.persons[name].ids, "+"))
	}
	return strings.Join(all, " ")
}

// Promise: the rule of claims is what the package says: an anonymous visitor becomes the first user who signs in, users
// of one computer stay apart, and an alias says explicitly what nothing else does.
func TestClaims(t *testing.T) {
	t.Parallel()
	track, identify, alias, forget := event.Track, event.Identify, event.Alias, event.Forget
	for _, c := range []struct {
		title  string
		events []*event.Event
		want   string
	}{
		{"an anonymous visitor alone is nobody known", []*event.Event{of(track, "anon", "", "dev", "", 0, "")}, ""},
		{"a visitor becomes the user", []*event.Event{of(identify, "u", "anon", "dev", "", 0, "")}, "u=u+anon+dev"},
		{"an event with both ids says it too", []*event.Event{of(track, "u", "anon", "", "", 0, "")}, "u=u+anon"},
		{"an event with one id twice says nothing", []*event.Event{of(track, "u", "u", "dev", "", 0, "")}, ""},
		{"users of one computer stay apart", []*event.Event{of(identify, "u", "anon", "dev", "", 0, ""), of(identify, "v", "anon", "dev", "", 1, "")}, "u=u+anon+dev v=v"},
		{"a user is not an anonymous id of another", []*event.Event{of(identify, "u", "", "", "", 0, ""), of(identify, "v", "u", "u", "", 1, "")}, "u=u v=v"},
		{"an anonymous id that signs in again is its user", []*event.Event{of(identify, "u", "anon", "", "", 0, ""), of(identify, "anon", "other", "", "", 1, "")}, "u=u+anon+other"},
		{"an alias names a visitor", []*event.Event{of(alias, "anon", "", "dev", "u", 0, "")}, "u=u+anon+dev"},
		{"an alias adds an id to a user", []*event.Event{of(identify, "u", "", "", "", 0, ""), of(alias, "u", "", "", "crm:1", 1, "")}, "u=u+crm:1"},
		{"an alias joins users", []*event.Event{of(identify, "u", "a", "", "", 0, ""), of(identify, "v", "b", "", "", 1, ""), of(alias, "u", "", "", "v", 2, "")}, "u=u+a+v+b"},
		{"an alias of one id", []*event.Event{of(alias, "u", "", "", "u", 0, "")}, "u=u"},
		{"who is forgotten may begin anew", []*event.Event{of(identify, "u", "a", "", "", 0, `{"x":1}`), of(forget, "a", "", "", "", 1, ""), of(identify, "v", "a", "", "", 2, "")}, "v=v+a"},
	} {
		d := &disk{map[string]row{}, map[string]string{}}
		for _, e := range c.events {
			d.load(t, e)
		}
		if got := persons(d); got != c.want {
			t.Errorf("%s: %s, want %s", c.title, got, c.want)
		}
	}
}

// Promise: a person has at most MaxIDs ids: what comes later stays apart.
func TestPersonsAreBounded(t *testing.T) {
	t.Parallel()
	d := &disk{map[string]row{}, map[string]string{}}
	var events []*event.Event
	for i := range graph.MaxIDs + 10 {
		events = append(events, of(event.Identify, "u", fmt.Sprint("anon", i), "", "", i, ""), of(event.Identify, "v", fmt.Sprint("other", i), "", "", i, ""))
	}
	d.load(t, append(events, of(event.Alias, "u", "", "", "v", 0, ""), of(event.Alias, "u", "", "", "new", 0, ""), of(event.Alias, "new", "", "", "u", 0, ""))...)
	if len(d.persons) != 2 || len(d.persons["u"].ids) != graph.MaxIDs || len(d.persons["v"].ids) != graph.MaxIDs {
		t.Errorf("%d persons; u has %d ids", len(d.persons), len(d.persons["u"].ids))
	}
}

// Promise: of a trait the newest $set or $unset counts, and the oldest $set_once where there is no value, also when
// persons become one.
func TestTraits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		title, said, want string // said: second, traits, of u; with a + before, of v, who becomes u at the end
	}{
		{"plain traits", `1 {"a":1,"b":null}`, `{"a":1,"b":null}`},
		{"the newest", `2 {"a":2} | 1 {"a":1} | 1 {"b":1}`, `{"a":2,"b":1}`},
		{"$set stands beside others", `1 {"$set":{"a":2},"a":1,"b":1}`, `{"a":2,"b":1}`},
		{"$set_once of what is not there", `1 {"$set_once":{"a":1}} | 2 {"$set_once":{"a":2}}`, `{"a":1}`},
		{"the oldest $set_once", `2 {"$set_once":{"a":2}} | 1 {"$set_once":{"a":1}}`, `{"a":1}`},
		{"$set_once of what was set", `2 {"a":2} | 1 {"$set_once":{"a":1}} | 3 {"$set_once":{"a":3}}`, `{"a":2}`},
		{"$set after $set_once", `1 {"$set_once":{"a":1}} | 2 {"a":2}`, `{"a":2}`},
		{"$unset", `1 {"a":1,"b":1} | 2 {"$unset":["a","none"]}`, `{"b":1}`},
		{"$unset of the newer", `2 {"a":2} | 1 {"$unset":["a"]}`, `{"a":2}`},
		{"$unset of a $set_once", `1 {"$set_once":{"a":1}} | 2 {"$unset":["a"]} | 1 {"$set_once":{"a":1}}`, `{}`},
		{"$set_once after $unset", `1 {"a":1} | 2 {"$unset":["a"]} | 3 {"$set_once":{"a":3}}`, `{"a":3}`},
		{"$set_once, then an $unset that comes late", `1 {"a":1} | 5 {"$set_once":{"a":5}} | 3 {"$unset":["a"]}`, `{"a":5}`},
		{"all in one", `1 {"a":1,"$set_once":{"b":1,"c":1},"$unset":["c"]}`, `{"a":1,"b":1}`},
		{"of two persons, the newest", `2 {"a":2,"b":1} | +1 {"a":1} | +3 {"b":3}`, `{"a":2,"b":3}`},
		{"of two persons at once, the one's who stays", `1 {"a":1} | +1 {"a":2}`, `{"a":1}`},
		{"of two persons, an $unset", `1 {"a":1} | +2 {"$unset":["a"]}`, `{}`},
		{"of two persons, the oldest $set_once", `2 {"$set_once":{"a":2}} | +1 {"$set_once":{"a":1}}`, `{"a":1}`},
		{"broken members say nothing", `1 {"$set":1,"$unset":{},"$set_once":[],"a":1}`, `{"a":1}`},
		{"no object says nothing", `1 {"a":1} | 2 [1] | 3 `, `{"a":1}`},
	} {
		d := &disk{map[string]row{}, map[string]string{}}
		d.load(t, of(event.Identify, "u", "", "", "", 0, ""))
		for one := range strings.SplitSeq(c.said, " | ") {
			who := "u"
			if rest, other := strings.CutPrefix(one, "+"); other {
				who, one = "v", rest
			}
			second, traits, _ := strings.Cut(one, " ")
			d.load(t, of(event.Identify, who, "", "", "", int(second[0]-'0'), traits))
		}
		d.load(t, of(event.Alias, "u", "", "", "v", 0, ""))
		if got := d.persons["u"].traits; got != c.want {
			t.Errorf("%s: %s, want %s", c.title, got, c.want)
		}
	}
}
