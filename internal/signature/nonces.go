package signature

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of a memory of nonces. A key's share lets it send 1,310 signed requests a second for as long as they like;
// all of it takes some 55 MB. Signatures that expire sooner are forgotten sooner.
const (
	maxNonces       = 1 << 20
	maxNoncesOfKey  = 3 << 17
	nonceShards     = 16
	forgetAtOnce    = 1 << 10 // nonces that one call forgets of those whose time has passed, so that no call takes long
	forgetElsewhere = 1 << 6  // and of another shard, so that a key that has gone quiet keeps nothing
)

// Nonces remembers which signatures have been used, so that each is accepted once. It is safe for concurrent use.
//
// It keeps a nonce as long as its signature would be accepted, and holds a bounded number of them, of one key and of
// all: when there is no room, the signature is refused. It is lost when the program ends; so signatures created before
// the start are refused, since they may have been used. A client whose clock runs ahead can sign for a time after the
// start: until that time comes, such a signature, used before a restart, would be accepted once more after it.
//
// A clock that is set back brings no nonce back to life: what has been forgotten stays refused.
type Nonces struct {
	start      int64 // Unix time in seconds, as all times here
	most       int64
	mostOfKey  int
	seed       maphash.Seed
	remembered atomic.Int64
	next       atomic.Uint32 // the shard that the next call tidies
	shards     [nonceShards]nonceShard
}

// nonceShard is the nonces of some of the keys.
type nonceShard struct {
	mu        sync.Mutex
	keys      map[string]*usedNonces
	due       []usedNonce // a heap: the one to be forgotten next is first
	forgotten int64       // the latest time until which a nonce was kept that has been forgotten
}

// usedNonces is the nonces of one key, by their hash.
type usedNonces struct {
	key  string
	seen map[uint64]struct{}
}

type usedNonce struct {
	of    *usedNonces
	hash  uint64
	until int64
}

// NewNonces makes an empty memory; start is the present time.
func NewNonces(start time.Time) *Nonces {
	return newNonces(start, maxNonces, maxNoncesOfKey)
}

func newNonces(start time.Time, most int64, mostOfKey int) *Nonces {
	n := &Nonces{start: start.Unix(), most: most, mostOfKey: mostOfKey, seed: maphash.MakeSeed()}
	for i := range n.shards {
		n.shards[i].keys = map[string]*usedNonces{}
	}
	return n
}

// Use takes a signature's nonce, once: of any number of calls with the same nonce of a key, one gets nil. Call it when
// the body has been checked, never before, or anybody could use up others' nonces. The error is a *Fault.
func (n *Nonces) Use(v Verified, now time.Time) error {
	if v.Scheme == None || v.KeyID == "" || v.Nonce == "" {
		return faultf(Missing, "The request is not signed.")
	}
	if v.Created.Unix() < n.start {
		return faultf(Forgotten, "The server started after this signature was made, and no longer knows whether it was used. Sign the request again.")
	}
	if now.After(v.Until) {
		return faultf(Expired, "The signature expired at %s, while the request was read; it is %s here.", stamp(v.Until), stamp(now))
	}
	home := int(maphash.String(n.seed, v.KeyID) % nonceShards)
	if other := int(n.next.Add(1) % nonceShards); other != home {
		n.tidy(other, now, forgetElsewhere)
	}
	if n.remembered.Load() >= n.most {
		for i := range n.shards {
			n.tidy(i, now, int(n.most))
		}
	}
	return n.shards[home].use(n, v, now)
}

// tidy forgets what is due in a shard that nobody is using.
func (n *Nonces) tidy(i int, now time.Time, most int) {
	s := &n.shards[i]
	if s.mu.TryLock() {
		s.forget(n, now.Unix(), most)
		s.mu.Unlock()
	}
}

func (s *nonceShard) use(n *Nonces, v Verified, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(n, now.Unix(), forgetAtOnce)
	until := v.Until.Unix()
	if until <= s.forgotten {
		return faultf(Forgotten, "The server's clock was set back, and it no longer knows whether this signature was used. Sign the request again, later.")
	}
	used := s.keys[v.KeyID]
	hash := maphash.String(n.seed, v.Nonce)
	if used != nil {
		if _, again := used.seen[hash]; again {
			return faultf(Replayed, "This signature has been used. Every request needs a nonce of its own.")
		}
		if len(used.seen) >= n.mostOfKey {
			return faultf(Full, "The key has sent %d signed requests that would still be accepted; no more can be remembered. Let signatures expire sooner, or wait.", len(used.seen))
		}
	}
	if n.remembered.Add(1) > n.most {
		n.remembered.Add(-1)
		return faultf(Full, "The server cannot remember more signed requests now. Try again in a minute.")
	}
	if used == nil {
		used = &usedNonces{key: v.KeyID, seen: map[uint64]struct{}{}}
		s.keys[v.KeyID] = used
	}
	used.seen[hash] = struct{}{}
	s.push(usedNonce{used, hash, until})
	return nil
}

// forget drops nonces whose time has passed, at most some.
func (s *nonceShard) forget(n *Nonces, now int64, most int) {
	for ; most > 0 && len(s.due) > 0 && s.due[0].until < now; most-- {
		u := s.pop()
		delete(u.of.seen, u.hash)
		if len(u.of.seen) == 0 {
			delete(s.keys, u.of.key)
		}
		s.forgotten = max(s.forgotten, u.until)
		n.remembered.Add(-1)
	}
}

// push and pop keep the heap.
func (s *nonceShard) push(u usedNonce) {
	s.due = append(s.due, u)
	for i := len(s.due) - 1; i > 0; {
		above := (i - 1) / 2
		if s.due[above].until <= s.due[i].until {
			break
		}
		s.due[above], s.due[i] = s.due[i], s.due[above]
		i = above
	}
}

func (s *nonceShard) pop() usedNonce {
	first, last := s.due[0], len(s.due)-1
	s.due[0] = s.due[last]
	s.due[last] = usedNonce{}
	s.due = s.due[:last]
	for i := 0; ; {
		below := 2*i + 1
		if below >= last {
			return first
		}
		if right := below + 1; right < last && s.due[right].until < s.due[below].until {
			below = right
		}
		if s.due[i].until <= s.due[below].until {
			return first
		}
		s.due[below], s.due[i] = s.due[i], s.due[below]
		i = below
	}
}
