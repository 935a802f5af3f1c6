package store

import (
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
	"github.com/weir-analytics/weir/internal/limit"
)

// limiterOver opens a limiter over a database in a file.
func limiterOver(b *testing.B) *limit.Limiter {
	s := opened(b, filepath.Join(b.TempDir(), "weir.db"))
	l, err := limit.Open(b.Context(), s.Counters(), limit.Config{Now: time.Now, Log: quiet(), Server: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(b.Context()); err != nil && b.Context().Err() == nil {
			b.Error(err)
		}
		closed(b, s)
	})
	return l
}

// BenchmarkLimits is requests whose counters are in the database: with leases, with a lease to take first, and with
// credits set aside and settled, each in writing.
func BenchmarkLimits(b *testing.B) {
	limits := access.Limits{
		Rate: access.Rate{PerSecond: 1_000_000_000, Burst: 4_000_000_000}, Daily: access.Quota{Most: 1 << 50},
	}
	withCredits := limits
	withCredits.Credits.Most = 1 << 50
	for _, c := range []struct {
		name    string
		charge  gate.Charge
		newKeys bool
	}{
		{"leased", gate.Charge{Key: gate.Account{Limits: limits}, Project: gate.Account{Limits: limits}}, false},
		{"first use", gate.Charge{Key: gate.Account{Limits: limits}, Project: gate.Account{Limits: limits}}, true},
		{"credits", gate.Charge{Key: gate.Account{Limits: withCredits}, Project: gate.Account{Limits: withCredits}, Credits: 1}, false},
	} {
		for _, goroutines := range []int{1, 64} {
			b.Run(c.name+"/goroutines="+strconv.Itoa(goroutines), func(b *testing.B) {
				l := limiterOver(b)
				var serial, denied atomic.Int64
				ctx := b.Context()
				b.SetParallelism(max(goroutines/2, 1))
				b.ReportAllocs()
				one := func() {
					ask, n := c.charge, serial.Add(1)
					ask.At, ask.Requests, ask.RequestID = time.Now(), 1, strconv.FormatInt(n, 10)
					if ask.Key.ID = "key_1"; c.newKeys {
						ask.Key.ID = ask.RequestID
					}
					if l.Take(ctx, ask).Over != "" || ask.Credits > 0 && l.Settle(ctx, ask, 1) != "" {
						denied.Add(1)
					}
				}
				one()
				b.ResetTimer()
				if goroutines == 1 {
					for b.Loop() {
						one()
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							one()
						}
					})
				}
				b.ReportMetric(float64(denied.Load()), "denied")
			})
		}
	}
}
