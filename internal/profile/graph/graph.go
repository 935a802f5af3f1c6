// Package graph owns which ids are one person, and what is known of that person: what identify, alias, and events with
// two ids make of both. It is a pure function of the events, in their order.
//
// There is one rule for all ids, whether a user's, an anonymous one or a device's: whoever is the first to claim an id
// has it, and only an alias takes it away.
//
//	identify(distinct_id u, anonymous_id a, device_id d)   u becomes a person, unless u is of one; a and d join that
//	track(distinct_id u, anonymous_id a, device_id d)      person, unless they are of one
//	alias(distinct_id u, new_user_id v)                    the persons of u and v become one
//
// So an anonymous visitor becomes the user who signs in first; and two users of one computer, who share an anonymous id
// and a device, are never made one by that. A person is called by the user id that it began with. When an alias makes
// two persons one, that is the name of distinct_id's person, or, when distinct_id was nobody's, of new_user_id's.
//
// An id that nobody has claimed is a person of its own, which is not in the graph. The order of events matters in two
// ways only: who was first to claim an id, and how a person is called. Traits are in traits.go.
//
// The package does not own where the graph is kept, nor its transactions (warehouse), nor who may read it.
package graph

import (
	"maps"
	"slices"

	"github.com/weir-analytics/weir/internal/event"
)

// MaxIDs is how many ids a person may have. An id that would pass it stays a person of its own, and an alias that would
// make such a person says nothing.
const MaxIDs = 1000

// Person is somebody known. Times are in microseconds since 1970.
type Person struct {
	ID          string   // one of IDs
	IDs         []string // in the order in which they joined
	AnonymousID string   // the newest by the timestamps of identify events; empty when none had one
	AnonymousAt int64
	FirstSeen   int64 // the least timestamp of the event that the person began with, and of their identify and alias events
	Updated     int64 // the greatest of them
	Traits      Traits
}

// Forgotten is a person that was taken out of the graph.
type Forgotten struct {
	ID  string
	IDs []string
	At  int64
}

// Matters reports whether an event says anything to the graph.
func Matters(e *event.Event) bool {
	return e.Kind != event.Track || e.DistinctID != "" && e.AnonymousID != "" && e.DistinctID != e.AnonymousID
}

// Graph is a part of the whole: the persons that some events are about. Make one with New.
type Graph struct {
	of        map[string]*Person // by their ids
	changed   map[*Person]bool
	stored    map[string]string // the ids of stored persons, and how these are called
	forgotten []Forgotten
}

// IDs are the ids that events are about: the persons that have any of them are those New needs.
func IDs(events []*event.Event) []string {
	all := map[string]bool{}
	for _, e := range events {
		if Matters(e) {
			for _, id := range [...]string{e.DistinctID, e.AnonymousID, e.DeviceID, e.NewUserID} {
				if id != "" {
					all[id] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// New makes a graph of the stored persons. They are the graph's from then on.
func New(persons []*Person) *Graph {
	g := &Graph{of: map[string]*Person{}, changed: map[*Person]bool{}, stored: map[string]string{}}
	for _, p := range persons {
		for _, id := range p.IDs {
			g.of[id], g.stored[id] = p, p.ID
		}
	}
	return g
}

// Apply takes what an event says.
func (g *Graph) Apply(e *event.Event) {
	if !Matters(e) || e.DistinctID == "" {
		return
	}
	at := e.Timestamp.UnixMicro()
	switch e.Kind {
	case event.Forget:
		g.forget(e.DistinctID, at)
		return
	case event.Alias:
		if e.NewUserID == "" || !g.merge(e.DistinctID, e.NewUserID, at) {
			return
		}
		g.person(e.DistinctID, at).seen(at)
	case event.Identify:
		p := g.person(e.DistinctID, at)
		p.seen(at)
		p.identify(e, at)
		g.changed[p] = true
	case event.Track:
	}
	p := g.person(e.DistinctID, at)
	g.claim(p, e.AnonymousID)
	g.claim(p, e.DeviceID)
}

// person is whoever has an id, and somebody new when nobody has.
func (g *Graph) person(id string, at int64) *Person {
	p := g.of[id]
	if p == nil {
		p = &Person{ID: id, IDs: []string{id}, FirstSeen: at, Updated: at}
		g.of[id], g.changed[p] = p, true
	}
	return p
}

// claim gives an id that nobody has to a person.
func (g *Graph) claim(p *Person, id string) {
	if id == "" || g.of[id] != nil || len(p.IDs) >= MaxIDs {
		return
	}
	g.of[id], g.changed[p] = p, true
	p.IDs = append(p.IDs, id)
}

// merge makes the persons of two ids one. It reports false when that would have too many ids.
func (g *Graph) merge(id, other string, at int64) bool {
	stays, goes := g.of[id], g.of[other]
	switch {
	case stays == nil: // it is called by the other
		p := g.person(other, at)
		if len(p.IDs) >= MaxIDs && id != other {
			return false
		}
		g.claim(p, id)
		return true
	case goes == nil:
		if len(stays.IDs) >= MaxIDs {
			return false
		}
		g.claim(stays, other)
		return true
	case stays == goes:
		return true
	case len(stays.IDs)+len(goes.IDs) > MaxIDs:
		return false
	}
	for _, id := range goes.IDs {
		g.of[id] = stays
	}
	stays.take(goes)
	delete(g.changed, goes)
	g.changed[stays] = true
	return true
}

// forget takes whoever has an id out of the graph. An id that nobody has is noted all the same: there may be events.
func (g *Graph) forget(id string, at int64) {
	p := g.of[id]
	if p == nil {
		p = &Person{ID: id, IDs: []string{id}}
	}
	for _, id := range p.IDs {
		delete(g.of, id)
	}
	delete(g.changed, p)
	g.forgotten = append(g.forgotten, Forgotten{p.ID, p.IDs, at})
}

// seen notes a time at which something was learned.
func (p *Person) seen(at int64) { p.FirstSeen, p.Updated = min(p.FirstSeen, at), max(p.Updated, at) }

// identify takes what an identify event says besides the ids.
func (p *Person) identify(e *event.Event, at int64) {
	if e.AnonymousID != "" && (p.AnonymousID == "" || at >= p.AnonymousAt) {
		p.AnonymousID, p.AnonymousAt = e.AnonymousID, at
	}
	told, _ := event.ReadTraits(e.Properties) // of what is not as it should be, the rest counts
	p.Traits.tell(told, at)
}

// take makes other, who is nobody afterwards, a part of p.
func (p *Person) take(other *Person) {
	p.IDs = append(p.IDs, other.IDs...)
	p.FirstSeen, p.Updated = min(p.FirstSeen, other.FirstSeen), max(p.Updated, other.Updated)
	if other.AnonymousID != "" && (p.AnonymousID == "" || other.AnonymousAt > p.AnonymousAt) {
		p.AnonymousID, p.AnonymousAt = other.AnonymousID, other.AnonymousAt
	}
	p.Traits.merge(&other.Traits)
}

// Changes is what must be stored for the graph to be as it is.
type Changes struct {
	Gone      []string          // persons whose rows are not as they were: those in Persons that were stored, and others
	Persons   []*Person         // by their names
	Unlinked  []string          // ids that do not lead where they led
	Links     map[string]string // ids, and the persons they lead to now
	Forgotten []Forgotten
}

// Changes compares with what was stored.
func (g *Graph) Changes() Changes {
	c := Changes{Links: map[string]string{}, Forgotten: g.forgotten}
	gone := map[string]bool{}
	for id, was := range g.stored {
		p := g.of[id]
		switch {
		case p == nil || p.ID != was:
			gone[was] = true
			c.Unlinked = append(c.Unlinked, id)
		case g.changed[p]:
			gone[was] = true
		}
	}
	for id, p := range g.of {
		if was, known := g.stored[id]; !known || was != p.ID {
			c.Links[id] = p.ID
		}
	}
	c.Persons = slices.SortedFunc(maps.Keys(g.changed), func(a, b *Person) int { return compare(a.ID, b.ID) })
	c.Gone = slices.Sorted(maps.Keys(gone))
	slices.Sort(c.Unlinked)
	return c
}
