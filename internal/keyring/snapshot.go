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
}

// with is s with one entry set.
func (s *snapshot) with(lookup access.Lookup, e entry) *snapshot {
	next := *s
	shard := &next.shards[shardOf(lookup)]
	*shard = maps.Clone(*shard)
	next.fill(lookup, e)
	return &next
}

// without is s with one entry gone.
func (s *snapshot) without(lookup access.Lookup) *snapshot {
	next := *s
	shard := &next.shards[shardOf(lookup)]
	*shard = maps.Clone(*shard)
	delete(*shard, lookup)
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
	return &next
}
