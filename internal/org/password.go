package org

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Cost is how hard it is to try a password. The zero Cost is DefaultCost.
type Cost struct {
	Time   uint32 // rounds
	Memory uint32 // KiB
}

// DefaultCost is that of RFC 9106's second recommendation in memory that a small server has: 64 MiB and three rounds.
const (
	defaultTime   = 3
	defaultMemory = 64 << 10
	saltLength    = 16
	hashLength    = 32
	maxMemory     = 1 << 20 // KiB: of what is read back
	maxTime       = 100
)

// passwords makes and checks what is kept of passwords. So many at once are worked on as there is memory for.
type passwords struct {
	cost    Cost
	random  io.Reader
	turns   chan struct{}
	queue   chan struct{} // of those that are worked on or wait
	nobodys string        // what a password of nobody is checked with, so that it takes as long
}

// atOnce is how many passwords are worked on at the same time, and mostQueued how many more requests are held up by that.
const (
	atOnce     = 2
	mostQueued = 64
)

func newPasswords(cost Cost, random io.Reader) *passwords {
	if cost == (Cost{}) {
		cost = Cost{defaultTime, defaultMemory}
	}
	p := &passwords{cost: cost, random: random, turns: make(chan struct{}, atOnce), queue: make(chan struct{}, atOnce+mostQueued)}
	p.nobodys = p.cost.write(make([]byte, saltLength), make([]byte, hashLength))
	return p
}

// turn waits for a turn, which done ends. When too many wait already, the problem is unavailable.
func (p *passwords) turn(ctx context.Context) (done func(), err error) {
	select {
	case p.queue <- struct{}{}:
	default:
		return nil, problem.New(problem.Unavailable, "Too many passwords are being looked at.").After(time.Second)
	}
	select {
	case p.turns <- struct{}{}:
		return func() { <-p.turns; <-p.queue }, nil
	case <-ctx.Done():
		<-p.queue
		return nil, ctx.Err()
	}
}

// make is what is kept of a password: with the parameters it was made with, in the form that argon2's own tools write.
func (p *passwords) make(ctx context.Context, password access.Text) (access.Text, error) {
	salt := make([]byte, saltLength)
	if _, err := io.ReadFull(p.random, salt); err != nil {
		return access.Text{}, fmt.Errorf("org: salt for a password: %w", err)
	}
	done, err := p.turn(ctx)
	if err != nil {
		return access.Text{}, err
	}
	defer done()
	hash := argon2.IDKey([]byte(password.Reveal()), salt, p.cost.Time, p.cost.Memory, 1, hashLength)
	return access.SecretText(p.cost.write(salt, hash)), nil
}

func (c Cost) write(salt, hash []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, c.Memory, c.Time, b64(salt), b64(hash))
}

// fits reports whether a password is the one that was kept. Of nobody's it takes as long to say no.
func (p *passwords) fits(ctx context.Context, kept, password access.Text) (bool, error) {
	somebody, stored := !kept.Empty(), kept.Reveal()
	if !somebody {
		stored = p.nobodys
	}
	h, err := readHash(stored)
	if err != nil {
		return false, err
	}
	text := password.Reveal()
	if len(text) > MaxPassword {
		text = text[:MaxPassword]
	}
	done, err := p.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	got := argon2.IDKey([]byte(text), h.salt, h.time, h.memory, 1, uint32(len(h.sum)))
	same := subtle.ConstantTimeCompare(got, h.sum) == 1
	return same && somebody && len(password.Reveal()) <= MaxPassword, nil
}

// sameKept reports whether two texts that are kept of passwords are the same one.
func sameKept(a, b access.Text) bool {
	return subtle.ConstantTimeCompare([]byte(a.Reveal()), []byte(b.Reveal())) == 1
}

type hash struct {
	memory, time uint32
	salt, sum    []byte
}

var errHash = errors.New("org: what is kept of a password cannot be read")

func readHash(kept string) (h hash, err error) {
	parts := strings.Split(kept, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errHash
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=1", &h.memory, &h.time); err != nil || n != 2 || h.memory > maxMemory || h.time == 0 || h.time > maxTime {
		return h, errHash
	}
	b64 := base64.RawStdEncoding.Strict()
	salt, badSalt := b64.DecodeString(parts[4])
	sum, badSum := b64.DecodeString(parts[5])
	if badSalt != nil || badSum != nil || len(salt) < saltLength || len(sum) != hashLength {
		return h, errHash
	}
	h.salt, h.sum = salt, sum
	return h, nil
}
