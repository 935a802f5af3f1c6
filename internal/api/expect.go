package api

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"
)

// expected remembers what questions came to, so that as much is set aside when the same key asks the same again: what its
// limits do not reach for is refused before it runs, and not when it is answered. It is an estimate, and what is settled
// is what it came to.
type expected struct {
	mu              sync.Mutex
	recent, earlier map[expectedKey]int64 // credits; when recent is full it becomes earlier
}

// maxExpected is how many questions are remembered twice over.
const maxExpected = 5000

type expectedKey [sha256.Size]byte

// expectedOf names a question: who asks it where, and what is the same about it each time.
func expectedOf(parts ...string) expectedKey {
	h := sha256.New()
	for _, part := range parts {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		_, _ = io.WriteString(h, part)
	}
	return expectedKey(h.Sum(nil))
}

// credits is what a question came to when it was asked last, and at least so many.
func (e *expected) credits(key expectedKey, least int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	last, known := e.recent[key]
	if !known {
		last = e.earlier[key]
	}
	return max(last, least)
}

// learn takes in what a question came to.
func (e *expected) learn(key expectedKey, credits int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.recent == nil || len(e.recent) >= maxExpected {
		e.earlier, e.recent = e.recent, make(map[expectedKey]int64)
	}
	e.recent[key] = credits
}
