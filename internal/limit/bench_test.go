package limit

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/access"
	"github.com/weir-analytics/weir/internal/gate"
)

func plenty() access.Limits {
	return access.Limits{
		Rate:  access.Rate{PerSecond: 1_000_000_000, Burst: 4_000_000_000},
		Daily: access.Quota{Most: 1 << 50},
	}
}

// BenchmarkTake is a request whose key and project have a rate and a daily limit.
func BenchmarkTake(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		for _, keys := range []int{1, 1000} {
			b.Run(fmt.Sprintf("goroutines=%d/keys=%d", goroutines, keys), func(b *testing.B) {
				l := opened(b, newMemory(), time.Now, "a")
				defer closed(b, l)
				var charges []gate.Charge
				for k := range keys {
					charges = append(charges, gate.Charge{
						Key:     gate.Account{ID: "key_" + strconv.Itoa(k), Limits: plenty()},
						Project: gate.Account{ID: "prj_" + strconv.Itoa(k%10), Limits: plenty()}, Requests: 1,
					})
				}
				// Names are made beforehand; so many are enough for each to be forgotten when it comes again.
				names := make([]string, 1<<20)
				for i := range names {
					names[i] = fmt.Sprintf("%026d", i)
				}
				var starts, over atomic.Int64
				ctx, at := b.Context(), time.Now()
				one := func(n int) {
					c := charges[n%keys]
					c.At, c.RequestID = at, names[n%len(names)]
					if charged := l.Take(ctx, c); charged.Over != "" {
						over.Add(1)
					}
				}
				b.ReportAllocs()
				b.SetParallelism(max(goroutines/2, 1))
				b.ResetTimer()
				before := cpu()
				defer func() { b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op") }()
				if goroutines == 1 {
					for n := 0; b.Loop(); n++ {
						one(n)
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for n := int(starts.Add(1)) * len(names) / goroutines; pb.Next(); n++ {
							one(n)
						}
					})
				}
				if n := over.Load(); n > 0 {
					b.Errorf("%d were denied", n)
				}
			})
		}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
