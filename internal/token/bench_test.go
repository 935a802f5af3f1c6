package token_test

import (
	"strings"
	"testing"

	"github.com/weir-analytics/weir/internal/token"
)

// BenchmarkMint is the cost of a token.
func BenchmarkMint(b *testing.B) {
	w := newWorld(b)
	for b.Loop() {
		if _, err := w.Mint(b.Context(), full()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is what each request with a token pays for it: the first time, when it is known, and when it is nonsense.
func BenchmarkOpen(b *testing.B) {
	w := newWorld(b)
	open := func(text string) {
		if _, found := w.Open(text, w.now); !found {
			b.Fatal("refused")
		}
	}
	for name, r := range map[string]token.Request{"plain": {Client: client()}, "whole": full()} {
		texts := make([]string, 1<<15) // more than are remembered
		for n := range texts {
			texts[n] = w.mint(b, r).Text.Reveal()
		}
		next := 0
		b.Run("first "+name, func(b *testing.B) {
			for b.Loop() {
				open(texts[next%len(texts)])
				next++
			}
		})
		b.Run("known "+name, func(b *testing.B) {
			for b.Loop() {
				open(texts[0])
			}
		})
	}
	text := strings.Repeat("A", 300) + "." + strings.Repeat("A", 300) + "." + strings.Repeat("A", 86)
	b.Run("nonsense", func(b *testing.B) {
		for b.Loop() {
			w.Open(text, w.now)
		}
	})
}
