package signature

import (
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func start() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

func proven(key, nonce string, created time.Time, life time.Duration) Verified {
	return Verified{Scheme: Message, KeyID: key, Nonce: nonce, Created: created, Until: created.Add(life)}
}

// Promise: one key cannot use up the memory for others, all of them cannot use more than there is, and both get room
// again when signatures have passed. Who finds no room is refused.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	n := newNonces(start(), 10, 4)
	for i := range 4 {
		if err := n.Use(proven("a", strconv.Itoa(i), start(), Window), start()); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Use(proven("a", "4", start(), Window), start()); kindOf(err) != Full {
		t.Errorf("a fifth of one key: %v", err)
	}
	if err := n.Use(proven("a", "3", start(), Window), start()); kindOf(err) != Replayed {
		t.Errorf("a replay while full: %v", err)
	}
	for i := range 6 {
		if err := n.Use(proven("b"+strconv.Itoa(i/4), strconv.Itoa(i), start(), 10*time.Second), start()); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Use(proven("c", "0", start(), Window), start()); kindOf(err) != Full {
		t.Errorf("an eleventh: %v", err)
	}
	if got := n.remembered.Load(); got != 10 {
		t.Errorf("%d are remembered", got)
	}
	later := start().Add(11 * time.Second)
	if err := n.Use(proven("c", "0", later, Window), later); err != nil {
		t.Errorf("when six have passed: %v", err)
	}
	if got := n.remembered.Load(); got < 5 || got > 10 {
		t.Errorf("%d are remembered", got)
	}
	later = start().Add(301 * time.Second)
	if err := n.Use(proven("a", "4", later, Window), later); err != nil {
		t.Errorf("when all have passed: %v", err)
	}
}

// Promise: keys that have gone quiet keep no memory.
func TestQuietKeysAreForgotten(t *testing.T) {
	t.Parallel()
	n := NewNonces(start())
	for i := range 5000 {
		if err := n.Use(proven("key"+strconv.Itoa(i), "x", start(), Window), start()); err != nil {
			t.Fatal(err)
		}
	}
	later := start().Add(time.Hour)
	for i := range 200 {
		if err := n.Use(proven("busy", strconv.Itoa(i), later, Window), later); err != nil {
			t.Fatal(err)
		}
	}
	keys, due := 0, 0
	for i := range n.shards {
		keys += len(n.shards[i].keys)
		due += len(n.shards[i].due)
	}
	if keys != 1 || due != 200 || n.remembered.Load() != 200 {
		t.Errorf("%d keys and %d nonces are kept, %d are counted", keys, due, n.remembered.Load())
	}
}

// Promise: whatever is used when, however the clock steps, no nonce of a key is accepted twice, the count is right, and
// no bound is passed.
func TestNoncesAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most, mostOfKey := rapid.IntRange(1, 20).Draw(t, "most"), rapid.IntRange(1, 10).Draw(t, "most of a key")
		n := newNonces(start(), int64(most), mostOfKey)
		at := start()
		accepted := map[string]bool{}
		for range rapid.IntRange(1, 200).Draw(t, "uses") {
			at = at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 2, 30, 100, 299, 301, 1000, -1, -50, -400, -2000}).Draw(t, "step")) * time.Second)
			created := at.Add(time.Duration(rapid.IntRange(-300, 300).Draw(t, "age")) * time.Second)
			life := time.Duration(rapid.SampledFrom([]int{1, 60, 300}).Draw(t, "life")) * time.Second
			v := proven(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"), rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6", "7", "8"}).Draw(t, "nonce"), created, life)
			if at.After(v.Until) || at.Before(created.Add(-Window)) {
				continue // Verify refuses it
			}
			whole := v.KeyID + v.Nonce + v.Created.String() + v.Until.String()
			err := n.Use(v, at)
			if err == nil && (accepted[whole] || created.Before(start())) {
				t.Fatalf("%s is accepted twice, or is from before the start", whole)
			}
			accepted[whole] = accepted[whole] || err == nil
			count := 0
			for i := range n.shards {
				s := &n.shards[i]
				of := 0
				for _, used := range s.keys {
					of += len(used.seen)
					if len(used.seen) == 0 || len(used.seen) > mostOfKey {
						t.Fatalf("a key has %d nonces", len(used.seen))
					}
				}
				if of != len(s.due) {
					t.Fatalf("%d nonces, %d due", of, len(s.due))
				}
				count += of
			}
			if count > most || int64(count) != n.remembered.Load() {
				t.Fatalf("%d nonces of at most %d, counted as %d", count, most, n.remembered.Load())
			}
		}
	})
}
