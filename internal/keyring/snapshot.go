package keyring

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

// A snapshot is every key at one moment. It never changes once it is published: a change makes another one, which
// shares all shards but one, so that it costs the same with a million keys as with ten thousand.
type snapshot struct {
	projects map[string]*access.Project
	declared []Record // the keys of the configuration, by id
	shards   [shardCount]map[access.Lookup]entry
	clients  map[access.Lookup][]access.Lookup // of each key that has some
	members  map[string][]access.Lookup        // the keys of each member, in all projects
}

const (
	shardBits  = 12
	shardCount = 1 << shardBits
)

// entry is what the gate needs of a key, and what its signatures are checked with. It is shared and never changes.
type entry struct {
	gate.Entry
	material *Material // nil: there is nothing to check signatures with
	exposed  bool      // that its present secret was seen by others is known already
	parent   access.Lookup
	member   string // whose key it is; empty: nobody's
}

func newSnapshot(projects []access.Project) *snapshot {
	s := &snapshot{projects: make(map[string]*access.Project, len(projects))}
	for _, p := range projects {
		p.Environments = slices.Clone(p.Environments)
		s.projects[p.ID] = &p
	}
	return s
}

// shardOf spreads look-up ids over the shards. The ids are random, so a multiplication is all it takes.
func shardOf(lookup access.Lookup) uint64 {
	return binary.LittleEndian.Uint64(lookup[:8]) * 0x9E3779B97F4A7C15 >> (64 - shardBits)
}

func (s *snapshot) find(lookup access.Lookup) (entry, bool) {
	e, ok := s.shards[shardOf(lookup)][lookup]
	return e, ok
}

// fill adds an entry to a snapshot that is not published yet.
func (s *snapshot) fill(lookup access.Lookup, e entry) {
	shard := &s.shards[shardOf(lookup)]
	if *shard == nil {
		*shard = map[access.Lookup]entry{}
	}
	(*shard)[lookup] = e
	if e.member != "" && !slices.Contains(s.members[e.member], lookup) {
		if s.members == nil {
			s.members = map[string][]access.Lookup{}
		}
		s.members[e.member] = append(slices.Clip(s.members[e.member]), lookup)
	}
}

// link gives each client of a snapshot that is not published yet the key that it comes of.
func (s *snapshot) link() {
	for _, shard := range s.shards {
		for lookup, e := range shard {
			if e.Key.Kind == access.Client {
				s.enlist(e.parent, lookup)
				shard[lookup] = s.under(e)
			}
		}
	}
}

// enlist remembers a client of a key. The map is the snapshot's own, its lists are not.
func (s *snapshot) enlist(parent, client access.Lookup) {
	if s.clients == nil {
		s.clients = map[access.Lookup][]access.Lookup{}
	}
	if list := s.clients[parent]; !slices.Contains(list, client) {
		s.clients[parent] = append(slices.Clip(list), client)
	}
}

// under is a client's entry with the key that it comes of as this snapshot has it; without one when it is not there.
func (s *snapshot) under(e entry) entry {
	key := *e.Key
	parent, _ := s.find(e.parent)
	key.Parent = parent.Key
	e.Key = &key
	return e
}

// with is s with one entry set, and what comes of it pointing to it.
func (s *snapshot) with(lookup access.Lookup, e entry) *snapshot {
	next := *s
	if e.member != "" && !slices.Contains(next.members[e.member], lookup) {
		next.members = maps.Clone(next.members)
	}
	if e.Key.Kind == access.Client {
		if !slices.Contains(next.clients[e.parent], lookup) {
			next.clients = maps.Clone(next.clients)
			next.enlist(e.parent, lookup)
		}
		e = next.under(e)
	}
	next.put(lookup, e)
	next.relink(lookup)
	return &next
}

// put sets an entry in a snapshot that is not published yet and shares its shards.
func (s *snapshot) put(lookup access.Lookup, e entry) {
	shard := &s.shards[shardOf(lookup)]
	*shard = maps.Clone(*shard)
	s.fill(lookup, e)
}

// relink makes the clients of a key point to it as it is now.
func (s *snapshot) relink(parent access.Lookup) {
	for _, client := range s.clients[parent] {
		if e, found := s.find(client); found {
			s.put(client, s.under(e))
		}
	}
}

// without is s with one entry gone.
func (s *snapshot) without(lookup access.Lookup) *snapshot {
	next := *s
	shard := &next.shards[shardOf(lookup)]
	*shard = maps.Clone(*shard)
	delete(*shard, lookup)
	next.relink(lookup)
	return &next
}

// withoutProject is s with a project gone, and every key of it.
func (s *snapshot) withoutProject(id string) *snapshot {
	next := *s
	next.projects = maps.Clone(s.projects)
	delete(next.projects, id)
	ofIt := func(_ access.Lookup, e entry) bool { return e.Key.Project.ID == id }
	for i, shard := range s.shards {
		for lookup, e := range shard {
			if ofIt(lookup, e) {
				next.shards[i] = maps.Clone(shard)
				maps.DeleteFunc(next.shards[i], ofIt)
				break
			}
		}
	}
	return &next
}

// withProject is s with a project set, and every key of the project pointing to it.
func (s *snapshot) withProject(p *access.Project) *snapshot {
	next := *s
	next.projects = maps.Clone(s.projects)
	next.projects[p.ID] = p
	for i, shard := range s.shards {
		var changed map[access.Lookup]entry
		for lookup, e := range shard {
			if e.Key.Project.ID != p.ID {
				continue
			}
			if changed == nil {
				changed = maps.Clone(shard)
			}
			key := *e.Key
			key.Project = p
			e.Key = &key
			changed[lookup] = e
		}
		if changed != nil {
			next.shards[i] = changed
		}
	}
	for parent := range next.clients {
		if e, found := next.find(parent); found && e.Key.Project == p {
			next.relink(parent)
		}
	}
	return &next
}
