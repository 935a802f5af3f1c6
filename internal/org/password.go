package org

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"

	"github.com/weir-analytics/weir/internal/access"
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
	cost   Cost
	random io.Reader
	turns  chan struct{}
	dummy  func() (string, error) // what a password of nobody is checked with, so that it takes as long
}

// atOnce is how many passwords are worked on at the same time.
const atOnce = 2

func newPasswords(cost Cost, random io.Reader) *passwords {
	if cost == (Cost{}) {
		cost = Cost{defaultTime, defaultMemory}
	}
	p := &passwords{cost: cost, random: random, turns: make(chan struct{}, atOnce)}
	p.dummy = sync.OnceValues(func() (string, error) { return p.make(context.Background(), access.SecretText("a password of nobody")) })
	return p
}

func (p *passwords) turn(ctx context.Context) error {
	select {
	case p.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// make is what is kept of a password: with the parameters it was made with, in the form that argon2's own tools write.
func (p *passwords) make(ctx context.Context, password access.Text) (string, error) {
	salt := make([]byte, saltLength)
	if _, err := io.ReadFull(p.random, salt); err != nil {
		return "", fmt.Errorf("org: salt for a password: %w", err)
	}
	if err := p.turn(ctx); err != nil {
		return "", err
	}
	defer func() { <-p.turns }()
	hash := argon2.IDKey([]byte(password.Reveal()), salt, p.cost.Time, p.cost.Memory, 1, hashLength)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, p.cost.Memory, p.cost.Time, b64(salt), b64(hash)), nil
}

// fits reports whether a password is the one that was kept. Of nobody's it takes as long to say no.
func (p *passwords) fits(ctx context.Context, kept string, password access.Text) (bool, error) {
	nobodys, err := p.dummy() // made at the first time, whoever that is for
	if err != nil {
		return false, err
	}
	somebody := kept != ""
	if !somebody {
		kept = nobodys
	}
	h, err := readHash(kept)
	if err != nil {
		return false, err
	}
	text := password.Reveal()
	if len(text) > MaxPassword {
		text = text[:MaxPassword]
	}
	if err := p.turn(ctx); err != nil {
		return false, err
	}
	defer func() { <-p.turns }()
	got := argon2.IDKey([]byte(text), h.salt, h.time, h.memory, 1, uint32(len(h.sum)))
	same := subtle.ConstantTimeCompare(got, h.sum) == 1
	return same && somebody && len(password.Reveal()) <= MaxPassword, nil
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
