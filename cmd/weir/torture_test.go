package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Promise: "accepted" means durable. The server is killed at random moments under load, again and again; every event it
// accepted is stored, and none is stored twice, though senders repeat what was not answered.
func TestTortureKilledUnderLoad(t *testing.T) {
	rounds := 10
	if text := os.Getenv("WEIR_TORTURE_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 10_000 {
			t.Fatalf("WEIR_TORTURE_ROUNDS is %q", text)
		}
		rounds = n
	}
	in := install(t)
	in.unlimit()
	book := &book{sent: map[string]bool{}, accepted: map[string]bool{}}
	for round := range rounds {
		r := in.serve()
		ctx, cancel := context.WithCancel(t.Context())
		var senders sync.WaitGroup
		for worker := range 16 {
			senders.Go(func() { book.fill(ctx, r, fmt.Sprintf("r%d-w%d", round, worker)) })
		}
		<-time.After(time.Duration(20+rand.IntN(600)) * time.Millisecond)
		r.kill()
		cancel()
		senders.Wait()
	}
	if err := book.fault(); err != nil {
		t.Fatal(err)
	}
	book.check(t, in.serve(), rounds)
}

// book is what senders know: what they sent, what was accepted, what was never answered.
type book struct {
	mu       sync.Mutex
	sent     map[string]bool
	accepted map[string]bool
	open     []string // sent and not answered: to be repeated
	err      error
}

func (b *book) fault() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// fill sends events until the server is gone: new ones, and those that were never answered once more.
func (b *book) fill(ctx context.Context, r *running, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		ids := b.next(name, n)
		events := make([]map[string]any, len(ids))
		for i, id := range ids {
			events[i] = eventBody(id, "tortured")
		}
		status, text, err := r.send(ctx, r.public, "/track", events)
		b.mu.Lock()
		switch {
		case err != nil:
			b.open = append(b.open, ids...)
			b.mu.Unlock()
			return
		case status != http.StatusOK:
			b.err = fmt.Errorf("answer %d: %s", status, text)
		default:
			for _, id := range ids {
				b.accepted[id] = true
			}
		}
		b.mu.Unlock()
	}
}

// next gives the ids of one request: one to five new ones, with up to three that are still open.
func (b *book) next(name string, n int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	again := min(3, len(b.open))
	ids := append([]string{}, b.open[:again]...)
	b.open = b.open[again:]
	for i := range 1 + rand.IntN(5) {
		id := fmt.Sprintf("%s-%d-%d", name, n, i)
		b.sent[id] = true
		ids = append(ids, id)
	}
	return ids
}

func (b *book) check(t *testing.T, r *running, rounds int) {
	t.Helper()
	status, text, err := r.send(t.Context(), r.public, "/track?sync=true", eventBody("last", "last"))
	if err != nil || status != http.StatusOK {
		t.Fatalf("the last event: %d %s %v", status, text, err)
	}
	stored := map[string]int{}
	for page := 0; ; page++ {
		rows := r.ask(fmt.Sprintf("SELECT event_id, count(*) AS n FROM events WHERE event = 'tortured' GROUP BY event_id ORDER BY event_id LIMIT 50000 OFFSET %d", page*50_000))
		for _, row := range rows {
			stored[row[0].(string)] = int(row[1].(float64))
		}
		if len(rows) < 50_000 {
			break
		}
	}
	lost, twice, strange := 0, 0, 0
	for id := range b.accepted {
		if stored[id] == 0 {
			lost++
		}
	}
	for id, n := range stored {
		if n > 1 {
			twice++
		}
		if !b.sent[id] {
			strange++
		}
	}
	t.Logf("%d kills: %d events accepted, %d stored, %d lost, %d twice", rounds, len(b.accepted), len(stored), lost, twice)
	if lost+twice+strange > 0 || len(b.accepted) == 0 {
		t.Fatalf("lost %d, stored twice %d, never sent %d, accepted %d", lost, twice, strange, len(b.accepted))
	}
}
