package main

import (
	"encoding/binary"
	"math/rand/v2"
)

// newID, newDecisionID and newAuditID name requests, decisions and entries of the audit trail.
func newID() string { return newName("req_") }

func newDecisionID() string { return newName("dec_") }

func newAuditID() string { return newName("aud_") }

// newName puts a hundred bits of chance behind a prefix of four letters. Such names must be unlike all others and are no
// secret, so their chance is that of the runtime, which does not ask the system each time.
func newName(prefix string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	name := append(make([]byte, 0, 24), prefix...)
	for range 2 {
		n := rand.Uint64() //nolint:gosec // see above
		for range 10 {
			name, n = append(name, alphabet[n%32]), n/32
		}
	}
	return string(name)
}

// quickRandom is chance of the same kind, to be read.
type quickRandom struct{}

// Read fills b.
func (quickRandom) Read(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rand.Uint64()) //nolint:gosec // see above
		rest = rest[copy(rest, word[:]):]
	}
	return len(b), nil
}
