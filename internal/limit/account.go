package limit

import (
	"hash/maphash"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weir-analytics/weir/internal/access"
)

// account is a key or a project whose limits are counted. Its mutex guards every field but the names.
type account struct {
	mu   sync.Mutex
	id   string
	name string // in the store
	gone bool   // it is no longer in its registry

	limits access.Limits // as of the last use
	pace   pace          // of limits
	used   int64         // when it was last used, steady

	bucket  bucket // in steady time
	known   bool   // the bucket has what the store knew
	guessed bool   // it was filled without the store
	until   int64  // the rate is leased until then, in nanoseconds of the wall clock
	wanted  int64  // for when a lease was asked for last, likewise

	tallies []*tally // of the days it was used on lately, the one used last at the end
	purse   *purse   // of the month it was used in last

	cycle     *cycle // in which it waits to be written
	flight    *cycle // in which it is being written
	releasing bool   // what it does not use is to be given back
}

// tally counts the requests of an account in one day. Without failures used is never more than taken.
type tally struct {
	day     int64
	known   bool  // used and taken have what the store knew
	used    int64 // let through, or lost by a crash
	taken   int64 // written in the store: the lease is what lies between
	lease   int64 // how much to take at a time
	demand  int64 // of those who wait for a lease
	leased  int64 // when the last lease was taken, steady
	touched int64 // when it was last used, steady
}

// adopt makes the limits of the moment those that are counted. What is owed stays owed, but not more than the burst; since
// it is not known when they changed, the time since the last use is paid back at the slower of both rates.
func (a *account) adopt(limits *access.Limits, now int64) {
	if a.limits == *limits {
		return
	}
	p, slower := paceOf(limits.Rate), a.pace.perSecond
	if p.perSecond > 0 && slower > 0 {
		slower = min(slower, p.perSecond)
	}
	if slower > 0 {
		a.bucket.settle(now, slower)
	}
	if p.burst > 0 {
		a.bucket.fit(p.burst)
	}
	a.limits, a.pace = *limits, p
}

// maxTallies bounds the days that an account counts at the same time. There are two around midnight, and more only when
// the clock is set back and forth.
const maxTallies = 16

// tally finds or makes the count of a day, and makes it the last. It is nil when there are too many.
func (a *account) tally(day int64) *tally {
	last := len(a.tallies) - 1
	if last >= 0 && a.tallies[last].day == day {
		return a.tallies[last]
	}
	for i, t := range a.tallies {
		if t.day == day {
			a.tallies[i], a.tallies[last] = a.tallies[last], t
			return t
		}
	}
	if a.flight == nil {
		a.tallies = slices.DeleteFunc(a.tallies, func(t *tally) bool { return t.taken == t.used })
	}
	if len(a.tallies) >= maxTallies {
		return nil
	}
	t := &tally{day: day}
	a.tallies = append(a.tallies, t)
	return t
}

// guess fills a bucket of which nothing is known: a tenth of the burst is left.
func (a *account) guess(now int64) {
	if a.known || a.guessed {
		return
	}
	a.guessed = true
	owed := a.pace.burst - max(share(a.pace.burst), unit)
	a.bucket = bucket{debt: owed, total: owed, at: max(a.bucket.at, now)}
}

// share is how much of a limit a server lets through by itself while the store is away: a tenth, and at least one.
func share(most int64) int64 { return max(most/10, 1) }

// shards is how many locks a registry is spread over.
const shards = 64

// registry finds accounts by their ids.
type registry struct {
	prefix string // of the names in the store
	shards [shards]shard
}

type shard struct {
	mu       sync.RWMutex
	accounts map[string]*account
	_        [32]byte // keeps the next shard's lock off this one's cache line
}

// locked finds or makes the account of an id, and locks it. It is nil when it would be one too many.
func (r *registry) locked(id string, hash uint64, count *atomic.Int64, most int) *account {
	s := &r.shards[hash%shards]
	for {
		s.mu.RLock()
		a := s.accounts[id]
		s.mu.RUnlock()
		if a == nil {
			if a = s.add(id, r.prefix+id, count, most); a == nil {
				return nil
			}
		}
		a.mu.Lock()
		if !a.gone {
			return a
		}
		a.mu.Unlock()
	}
}

func (s *shard) add(id, name string, count *atomic.Int64, most int) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[id]; a != nil {
		return a
	}
	if count.Add(1) > int64(most) {
		count.Add(-1)
		return nil
	}
	if s.accounts == nil {
		s.accounts = map[string]*account{}
	}
	a := &account{id: id, name: name}
	s.accounts[id] = a
	return a
}

// find is the account of an id, if it is in memory.
func (r *registry) find(id string, hash uint64) *account {
	s := &r.shards[hash%shards]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.accounts[id]
}

// remove takes out an account that is locked.
func (r *registry) remove(a *account, hash uint64, count *atomic.Int64) {
	s := &r.shards[hash%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	a.gone = true
	delete(s.accounts, a.id)
	count.Add(-1)
}

// all are the accounts there are. None is locked.
func (r *registry) all() iter.Seq[*account] {
	return func(yield func(*account) bool) {
		for i := range r.shards {
			s := &r.shards[i]
			s.mu.RLock()
			list := make([]*account, 0, len(s.accounts))
			for _, a := range s.accounts {
				list = append(list, a)
			}
			s.mu.RUnlock()
			for _, a := range list {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// recent remembers which requests were counted, some 16,384 of the last, so that none is counted twice.
type recent struct {
	marks [1 << 14]atomic.Uint64
}

// mark is the mark of a request, never 0.
func mark(seed maphash.Seed, request string, key uint64) uint64 {
	return (maphash.String(seed, request) ^ (key<<1 | key>>63)) | 1
}

func (r *recent) has(mark uint64) bool {
	return r.marks[mark>>50].Load() == mark
}

func (r *recent) add(mark uint64) { r.marks[mark>>50].Store(mark) }
