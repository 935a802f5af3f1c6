package token

import (
	"crypto/sha256"
	"sync"
)

// The bounds of what is remembered of genuine tokens: some 16 MB at the most.
const (
	knownShards   = 64
	knownPerShard = 256
)

// known remembers tokens whose signature was found right, by the SHA-256 of their text: a request asks for its token more
// than once, and a client shows the same for minutes. Only what is genuine gets in, so that nobody fills it with anything
// else. What may change, from expiry to revocation, is not remembered. The zero known is empty.
type known struct {
	shards [knownShards]struct {
		mu     sync.Mutex
		tokens map[[sha256.Size]byte]*genuine
	}
}

// genuine is a token that was signed here. It is shared and never changes.
type genuine struct {
	token  Token
	claims claims
	keyID  string
}

func (k *known) get(digest [sha256.Size]byte) *genuine {
	s := &k.shards[digest[0]%knownShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[digest]
}

// put remembers a token, in the place of any other when there is no room.
func (k *known) put(digest [sha256.Size]byte, g *genuine) {
	s := &k.shards[digest[0]%knownShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens == nil {
		s.tokens = map[[sha256.Size]byte]*genuine{}
	}
	if len(s.tokens) >= knownPerShard {
		for other := range s.tokens {
			delete(s.tokens, other)
			break
		}
	}
	s.tokens[digest] = g
}
