package keyring

import (
	"errors"
	"fmt"
	"io"

	"github.com/weir-analytics/weir/internal/access"
)

// mintAttempts is how often a look-up id is drawn anew when it is taken. Two clashes in a row are not bad luck.
const mintAttempts = 8

var errNoFreeID = errors.New("keyring: the random source keeps giving ids that are taken")

// mint makes a key of nobody yet.
func (r *Ring) mint(kind access.Kind, mode access.Mode) (access.Lookup, access.Text, error) {
	word, err := base62(r.cfg.Random, access.LookupLength)
	if err != nil {
		return access.Lookup{}, access.Text{}, err
	}
	lookup := access.Lookup([]byte(word))
	text, err := r.remint(kind, mode, lookup)
	return lookup, text, err
}

// remint makes a new secret for a look-up id.
func (r *Ring) remint(kind access.Kind, mode access.Mode, lookup access.Lookup) (access.Text, error) {
	secret, err := base62(r.cfg.Random, access.SecretLength)
	if err != nil {
		return access.Text{}, err
	}
	return access.SecretText(access.WriteKey(kind, mode, string(lookup[:]), secret)), nil
}

// base62 draws n characters, each equally likely: bytes that would favour some characters are thrown away.
func base62(random io.Reader, n int) (string, error) {
	const (
		fair   = 256 - 256%len(access.Alphabet)
		rounds = 100 // a source that gives nothing usable in so many rounds is broken
	)
	word := make([]byte, 0, n)
	for range rounds {
		buffer := make([]byte, n)
		if _, err := io.ReadFull(random, buffer); err != nil {
			return "", fmt.Errorf("keyring: read the random source: %w", err)
		}
		for _, b := range buffer {
			if int(b) < fair && len(word) < n {
				word = append(word, access.Alphabet[int(b)%len(access.Alphabet)])
			}
		}
		if len(word) == n {
			return string(word), nil
		}
	}
	return "", errors.New("keyring: the random source gives nothing usable")
}
