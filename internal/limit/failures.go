package limit

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// How many failed authentications a network may have: so many at once, and then one in a second. A network is an IPv4
// address, or the 64 bits of an IPv6 address that one subscriber usually has.
const (
	failureBurst     = 100
	failurePerSecond = 1
	failureShards    = 16
	maxNetworks      = 4096 // in a shard: 65,536 in all
)

// failures counts failed authentications by network. Memory is bounded: when there are too many networks, of some the
// one goes that has the least to pay back.
type failures struct {
	shards [failureShards]failureShard
}

type failureShard struct {
	mu      sync.Mutex
	buckets map[network]bucket
	_       [48]byte // keeps the next shard's lock off this one's cache line
}

// network is what failures are counted by. The zero network is that of whoever has no address.
type network struct {
	bits   uint64
	family uint8
}

func networkOf(a netip.Addr) network {
	switch a = a.Unmap(); {
	case a.Is4():
		four := a.As4()
		return network{uint64(binary.BigEndian.Uint32(four[:])), 4}
	case a.Is6():
		sixteen := a.As16()
		return network{binary.BigEndian.Uint64(sixteen[:]), 6}
	}
	return network{}
}

func failurePace() pace { return pace{perSecond: failurePerSecond, burst: failureBurst * unit} }

// Fail counts a failed authentication, as gate.Limits says: a hundred at once are let pass, then one in a second. What is
// told to wait does not count.
func (l *Limiter) Fail(from netip.Addr, at time.Time) time.Duration {
	n := networkOf(from)
	return l.failures.shards[maphash.Comparable(l.seed, n)%failureShards].add(n, l.steady(at))
}

func (s *failureShard) add(n network, now int64) time.Duration {
	p := failurePace()
	s.mu.Lock()
	defer s.mu.Unlock()
	b, known := s.buckets[n]
	if !known {
		s.makeRoom(now)
		b.at = now
	}
	b.settle(now, p.perSecond)
	wait := b.wait(now, 1, p)
	if wait == 0 {
		b.take(1, p)
	}
	s.buckets[n] = b
	return time.Duration(wait)
}

// makeRoom removes a network when there are too many: the one with the least debt of a few, taken at random.
func (s *failureShard) makeRoom(now int64) {
	if s.buckets == nil {
		s.buckets = map[network]bucket{}
	}
	if len(s.buckets) < maxNetworks {
		return
	}
	var (
		least network
		debt  int64 = -1
		seen  int
	)
	for n, b := range s.buckets {
		b.settle(now, failurePerSecond)
		if debt < 0 || b.debt < debt {
			least, debt = n, b.debt
		}
		if seen++; seen == 16 {
			break
		}
	}
	delete(s.buckets, least)
}

// forget removes the networks that owe nothing.
func (f *failures) forget(now int64) {
	for i := range f.shards {
		s := &f.shards[i]
		s.mu.Lock()
		for n, b := range s.buckets {
			if b.settle(now, failurePerSecond); b.debt == 0 {
				delete(s.buckets, n)
			}
		}
		s.mu.Unlock()
	}
}

func (f *failures) count() (n int) {
	for i := range f.shards {
		s := &f.shards[i]
		s.mu.Lock()
		n += len(s.buckets)
		s.mu.Unlock()
	}
	return n
}
