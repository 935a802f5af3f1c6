package ledger

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
)

// BenchmarkDeny is one no, with all callers denied for the same key.
func BenchmarkDeny(b *testing.B) {
	l, _ := newLedger(b, newBinder(), morning)
	d := denial(1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Deny(d)
		}
	})
}

// BenchmarkAllow is one yes of a shape that is known, with all callers using the same key.
func BenchmarkAllow(b *testing.B) {
	for _, items := range []int{1, 100} {
		for name, agent := range map[string]string{"browser": sender().Client.Agent, "program": "curl/8.11.0"} {
			b.Run(fmt.Sprint(name, "/", items), func(b *testing.B) {
				l, _ := newLedger(b, newBinder(), morning)
				u := allowed("key_000000000001")
				u.Client.Agent = agent
				u.Targets = make([]access.Target, items)
				for i := range u.Targets {
					u.Targets[i] = access.Target{Event: []string{"Button Clicked", "Page Viewed", "Signed Up"}[i%3], Environment: "production"}
				}
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						l.Allow(u)
					}
				})
			})
		}
	}
}

// BenchmarkAllowManyShapes is one yes of one of 1,000 shapes, while the ledger is flushed.
func BenchmarkAllowManyShapes(b *testing.B) {
	l, _ := newLedger(b, newBinder(), morning)
	stop := flushing(b, l, func() {})
	var names [1000]string
	for i := range names {
		names[i] = fmt.Sprintf("key_%012d", i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		u := allowed("")
		for i := 0; pb.Next(); i++ {
			u.KeyID = names[i%len(names)]
			l.Allow(u)
		}
	})
	stop()
}

// BenchmarkDenyWhileStored is one no while the store takes what comes, so that denials are queued and not only counted.
func BenchmarkDenyWhileStored(b *testing.B) {
	store := newBinder()
	l, _ := newLedger(b, store, morning)
	l.limits.perShare = 1 << 60
	stop := flushing(b, l, func() {
		store.mu.Lock()
		store.denials = nil
		store.mu.Unlock()
	})
	d := denial(1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Deny(d)
		}
	})
	stop()
}

// flushing flushes a ledger again and again until the function it gives is called.
func flushing(b *testing.B, l *Ledger, after func()) (stop func()) {
	done := make(chan struct{})
	var flusher sync.WaitGroup
	flusher.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
				_ = l.Flush(b.Context())
				after()
			}
		}
	})
	return func() {
		close(done)
		flusher.Wait()
	}
}
