package org

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: one password cannot be tried of everybody from one network, whoever has the emails; who signs in rightly is not
// counted, and nobody elsewhere waits.
func TestTriesOfEverybody(t *testing.T) {
	t.Parallel()
	var all tries
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	here, elsewhere := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.10")
	email := func(n int) string { return fmt.Sprintf("%d@example.com", n) }
	for n := range 2 * triesFromSource {
		if wait := all.begin(email(n), here, now); wait != 0 {
			t.Fatalf("the right password %d waits %s", n, wait)
		}
		all.right(email(n), here)
	}
	if len(all.known) != 0 {
		t.Errorf("%d right passwords are remembered", len(all.known))
	}
	for n := range triesFromSource {
		if wait := all.begin(email(n), here, now); wait != 0 {
			t.Fatalf("try %d waits %s", n, wait)
		}
	}
	if wait := all.begin("new@example.com", here, now); wait != triesTime {
		t.Errorf("one more of everybody waits %s", wait)
	}
	if wait := all.begin("new@example.com", elsewhere, now); wait != 0 {
		t.Errorf("from elsewhere it waits %s", wait)
	}
	all.undone(email(0), here)
	if wait := all.begin("new@example.com", here, now); wait != 0 {
		t.Errorf("after one that was not looked at it waits %s", wait)
	}
}

// Promise: however many passwords come at once, so many wait for a turn and the rest is refused; those that come later are
// looked at, of nobody too.
func TestPasswordsQueue(t *testing.T) {
	t.Parallel()
	p := newPasswords(Cost{Time: 1, Memory: 64}, bytes.NewReader(nil))
	var done []func()
	for range atOnce {
		end, err := p.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, end)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	for range mostQueued {
		go func() { _, err := p.turn(ctx); waiting <- err }()
	}
	for len(p.queue) < cap(p.queue) {
		select {
		case err := <-waiting:
			t.Fatalf("one that may wait does not: %v", err)
		default:
		}
	}
	if _, err := p.fits(t.Context(), access.Text{}, access.SecretText("a password of somebody")); problem.From(err).Code != problem.Unavailable {
		t.Errorf("one more: %v", err)
	}
	cancel()
	for range mostQueued {
		if err := <-waiting; err == nil {
			t.Error("one that was given up had a turn")
		}
	}
	for _, end := range done {
		end()
	}
	if fits, err := p.fits(t.Context(), access.Text{}, access.SecretText("a password of somebody")); fits || err != nil {
		t.Errorf("afterwards: %t, %v", fits, err)
	}
}
