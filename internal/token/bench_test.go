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

// BenchmarkOpen is what each request with a token pays for it.
func BenchmarkOpen(b *testing.B) {
	w := newWorld(b)
	for name, r := range map[string]token.Request{"plain": {Client: client()}, "whole": full()} {
		text := w.mint(b, r).Text.Reveal()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, found := w.Open(text, w.now); !found {
					b.Fatal("refused")
				}
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
