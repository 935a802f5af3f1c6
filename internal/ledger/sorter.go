package ledger

import (
	"net/netip"
	"time"
)

// sorter makes batches of what was counted in memory. It remembers what has a row of its own in the store already, so
// that the number of rows is bounded however inventive the senders are: what comes after that is counted in wider rows.
// Shapes and uses it holds back for a while: they change with every request, and are wanted seldom.
type sorter struct {
	limits limits

	hour int64
	told admitted[About]
	rows map[row]int // the place of each count in counts
	list []Count     // of one batch

	day    int64
	shaped admitted[[16]byte]
	seen   map[sight]*Seen
	uses   map[secret]*LastUse
	since  time.Time // when they were last given
}

type row struct {
	about  About
	minute int64
}

type sight struct {
	shape Shape
	day   int64
}

type secret struct {
	key        string
	generation int
}

// admitted is what has a row of its own, and how much of it there is of each group.
type admitted[K comparable] struct {
	known  map[K]struct{}
	groups map[string]int
}

func (a *admitted[K]) forget() { *a = admitted[K]{map[K]struct{}{}, map[string]int{}} }

// admit reports whether something has a row of its own, and gives it one if there are fewer than most in its group and
// fewer than all together.
func (a *admitted[K]) admit(k K, group string, most, all int) bool {
	if _, ok := a.known[k]; ok {
		return true
	}
	if a.groups[group] >= most || len(a.known) >= all {
		return false
	}
	a.known[k] = struct{}{}
	a.groups[group]++
	return true
}

// take adds what all shards have counted to a batch; and what is held back, when it is wanted, has been for long or is
// much.
func (s *sorter) take(shards *[shardCount]shard, b *Batch, now time.Time, whole bool) {
	s.rows, s.list = map[row]int{}, nil
	for i := range shards {
		shards[i].take(s.add)
	}
	b.Counts, s.rows, s.list = s.list, nil, nil
	if age := now.Sub(s.since); !whole && age >= 0 && age < holdBack && len(s.seen) < holdMost {
		return
	}
	s.since = now
	for _, seen := range s.seen {
		b.Shapes = append(b.Shapes, *seen)
	}
	for _, u := range s.uses {
		b.Uses = append(b.Uses, *u)
	}
	s.seen, s.uses = nil, nil
}

func (s *sorter) add(c *cell) {
	shape := c.key.Shape
	shape.clean()
	s.count(shape.About, c)
	if shape.Project == "" || shape.KeyID == "" {
		return
	}
	s.see(shape, c)
	if shape.Outcome == Allowed && c.requests > 0 {
		s.use(shape, c)
	}
}

// count adds to a count of a minute.
func (s *sorter) count(about About, c *cell) {
	if h := c.key.minute / (hour / minute); s.told.known == nil || another(h, s.hour) {
		s.hour = h
		s.told.forget()
	}
	about = s.admit(about)
	r := row{about, c.key.minute}
	at, ok := s.rows[r]
	if !ok {
		at = len(s.list)
		s.rows[r] = at
		s.list = append(s.list, Count{At: startOf(c.key.minute, minute), About: about})
	}
	s.list[at].Requests += c.requests
	s.list[at].Items += c.items
}

// admit widens what is counted until it has a row: it goes without its event, or else without its network, or else
// without both. Each may fill half of the room that the one before has left, and a flood of one key takes all of it from
// the project's others. So each key has some rows of its own besides, and in the end one without an environment for each
// reason; only when the keys of all projects are too many to tell apart, there is none for a key.
func (s *sorter) admit(about About) About {
	event, network, neither := about, about, about
	network.Event, event.Network = "", netip.Prefix{}
	neither.Event, neither.Network = "", netip.Prefix{}
	room := 2
	for _, one := range [...]About{about, network, event} {
		most, all := s.limits.counts-s.limits.counts/room, s.limits.told-s.limits.told/room
		if s.told.admit(one, about.Project, most, all) {
			return one
		}
		room *= 2
	}
	if s.told.admit(neither, about.Project+"/"+about.KeyID, ownRows, s.limits.told) {
		return neither
	}
	neither.Environment = ""
	if s.told.admit(neither, "", 2*s.limits.told, 2*s.limits.told) {
		return neither
	}
	neither.KeyID = ""
	return neither
}

// ownRows is how many rows each key has for itself.
const ownRows = 32

// see adds to a shape of a day.
func (s *sorter) see(shape Shape, c *cell) {
	d := numberOf(c.last, day)
	if s.shaped.known == nil || another(d, s.day) {
		s.day = d
		s.shaped.forget()
	}
	if s.seen == nil {
		s.seen = map[sight]*Seen{}
	}
	k := sight{shape, d}
	seen := s.seen[k]
	if seen == nil && !s.shaped.admit(shape.digest(), shape.KeyID, s.limits.perKey, s.limits.allKeys) {
		k.shape = Shape{
			About:      About{Project: shape.Project, KeyID: shape.KeyID, Outcome: shape.Outcome},
			Generation: shape.Generation, Other: true,
		}
		seen = s.seen[k]
	}
	if seen == nil {
		seen = &Seen{ID: k.shape.id(), Shape: k.shape, First: fromMicros(c.first), Last: fromMicros(c.last)}
		s.seen[k] = seen
	}
	seen.Requests += c.requests
	seen.Items += c.items
	if shape.Outcome == Denied || shape.Outcome == Limited {
		seen.Refused += c.requests
	}
	if first := fromMicros(c.first); first.Before(seen.First) {
		seen.First = first
	}
	if last := fromMicros(c.last); last.After(seen.Last) {
		seen.Last = last
	}
}

// use notes the last use of a secret.
func (s *sorter) use(shape Shape, c *cell) {
	if s.uses == nil {
		s.uses = map[secret]*LastUse{}
	}
	k := secret{shape.KeyID, shape.Generation}
	u := s.uses[k]
	if u == nil {
		u = &LastUse{Project: shape.Project, KeyID: shape.KeyID, Generation: shape.Generation}
		s.uses[k] = u
	}
	if last := fromMicros(c.last); last.After(u.At) {
		u.At, u.Address = last, c.address
		u.Client.Agent, u.Client.SDK = fit(c.client.Agent, maxText), fit(c.client.SDK, maxText)
	}
}

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
