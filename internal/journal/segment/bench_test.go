package segment

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// eventSize is the size of an ordinary event as it is kept.
const eventSize = 500

// BenchmarkAppend measures acknowledged events a second with many writers of one event each, and in the same run the
// bare floor: one write and one fdatasync for each event, which is what durability costs without group commit.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			floorTime := measureFloor(b)
			j, _, err := Open(Config{Dir: b.TempDir(), Now: time.Now})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var next atomic.Int64
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					batch := [][]byte{make([]byte, eventSize)}
					for next.Add(1) <= int64(b.N) {
						if _, err := j.Append(b.Context(), batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			rate := float64(b.N) / b.Elapsed().Seconds()
			floor := 2 * floorEvents / (floorTime + measureFloor(b)).Seconds()
			s := j.Stats()
			b.ReportMetric(rate, "events/s")
			b.ReportMetric(rate/floor, "x-floor")
			b.ReportMetric(floor, "floor-events/s")
			b.ReportMetric(float64(s.Records)/float64(s.Syncs), "events/sync")
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// floorEvents is how many events the floor is measured with, before the journal and again after it.
const floorEvents = 1000

// measureFloor writes and syncs events one by one into a preallocated file, and gives the time it takes.
func measureFloor(b *testing.B) time.Duration {
	b.Helper()
	f, err := realDisk{}.Create(filepath.Join(b.TempDir(), "floor"), floorEvents*eventSize)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	event := make([]byte, eventSize)
	start := time.Now()
	for i := range int64(floorEvents) {
		if _, err := f.WriteAt(event, i*eventSize); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

// BenchmarkRead measures one reader going through a journal in order, from the page cache.
func BenchmarkRead(b *testing.B) {
	j, _, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	batch := make([][]byte, 10_000)
	for i := range batch {
		batch[i] = make([]byte, eventSize)
	}
	last, err := j.Append(b.Context(), batch)
	for err == nil && last < 200_000 {
		last, err = j.Append(b.Context(), batch)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(eventSize)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		records, err := j.Read(b.Context(), 0, 10_000)
		for n += len(records); err == nil && n < b.N; n += len(records) {
			at := records[len(records)-1].Position
			if at == last {
				break
			}
			records, err = j.Read(b.Context(), at, 10_000)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen measures opening a folder whose last process was killed: 60 MB of records and a preallocated rest.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	j, _, err := Open(Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([][]byte, 10_000)
	for i := range batch {
		batch[i] = make([]byte, eventSize)
	}
	for range 10 {
		if _, err := j.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, fileName(1))
	for b.Loop() {
		if err := os.Truncate(path, 120<<20); err != nil {
			b.Fatal(err)
		}
		j, report, err := Open(Config{Dir: dir})
		if err != nil || report.Last != 100_000 {
			b.Fatal(report, err)
		}
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
