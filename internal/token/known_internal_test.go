package token

import (
	"crypto/sha256"
	"testing"
)

// Promise: however many tokens are opened, few are remembered, and the last always is.
func TestFewTokensAreRemembered(t *testing.T) {
	t.Parallel()
	var k known
	for n := range 3 * knownShards * knownPerShard {
		g := &genuine{}
		digest := sha256.Sum256([]byte{byte(n), byte(n >> 8), byte(n >> 16)})
		k.put(digest, g)
		if k.get(digest) != g {
			t.Fatal("the last one is not remembered")
		}
	}
	for n := range k.shards {
		if kept := len(k.shards[n].tokens); kept != knownPerShard {
			t.Errorf("shard %d has %d", n, kept)
		}
	}
}
