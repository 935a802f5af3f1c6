package segment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// Promise: whichever operation fails, at whichever point of a journal's life, once or for good, with the disk full or
// broken: every acknowledged record is there after a power cut and a restart, none twice, none out of order.
func TestNthOperationFails(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"create", "allocate", "write", "truncate", "sync", "rename", "remove", "syncdir"} {
		for _, failure := range []error{syscall.ENOSPC, syscall.EIO} {
			for _, forGood := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%v/for good %v", kind, failure, forGood), func(t *testing.T) {
					t.Parallel()
					for n := 1; failNth(t, kind, n, failure, forGood); n++ {
						if n > 200 {
							t.Fatal("the script has no end")
						}
					}
				})
			}
		}
	}
}

// failNth runs a script in which the n-th operation of a kind fails, and reports whether it came to that.
func failNth(t *testing.T, kind string, n int, failure error, forGood bool) (failed bool) {
	d := newSim(t)
	count := 0
	d.before(kind, func() error {
		if count++; count == n || forGood && count > n {
			failed = true
			return failure
		}
		return nil
	})
	m := model{fataler: t, dirs: t, luck: rand.New(rand.NewPCG(uint64(n), 7)).IntN}
	m.open(d)
	for i := range 24 {
		m.append(1 + i%3)
		if i%7 == 6 {
			m.release(m.last / 2)
		}
		if i%10 == 9 && !forGood {
			m.restart()
		}
	}
	m.disk.before(kind, nil)
	for range 2 {
		m.crash()
		m.append(2)
		m.check()
	}
	m.j.Close()
	return failed
}

// Promise: after any sequence of appends, releases, restarts, power cuts and faults, what is acknowledged is readable,
// at its position, once; and of what was refused nothing is there but what one failed append may have left at the end.
func TestAnyHistory(t *testing.T) {
	t.Parallel()
	kinds := rapid.SampledFrom([]string{"create", "allocate", "write", "truncate", "sync", "rename", "remove", "syncdir"})
	failures := rapid.SampledFrom([]error{syscall.ENOSPC, syscall.EIO})
	rapid.Check(t, func(rt *rapid.T) {
		m := model{fataler: rt, dirs: t, luck: func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "luck") }}
		m.open(newSim(t))
		defer func() { m.j.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append":  func(rt *rapid.T) { m.append(rapid.IntRange(1, 5).Draw(rt, "records")) },
			"release": func(rt *rapid.T) { m.release(event.Position(rapid.IntRange(0, int(m.last)).Draw(rt, "upTo"))) },
			"restart": func(*rapid.T) { m.restart() },
			"crash":   func(*rapid.T) { m.crash() },
			"fault": func(rt *rapid.T) {
				countdown, failure := rapid.IntRange(1, 4).Draw(rt, "in"), failures.Draw(rt, "failure")
				m.disk.before(kinds.Draw(rt, "kind"), func() error {
					if countdown--; countdown == 0 {
						return failure
					}
					return nil
				})
			},
			"": func(*rapid.T) { m.check() },
		})
	})
}

// Promise: the same holds for many writers at once, when commits fail again and again under them.
func TestManyWritersWithFaults(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{syscall.ENOSPC, syscall.EIO} {
		t.Run(failure.Error(), func(t *testing.T) {
			t.Parallel()
			d := newSim(t)
			m := model{fataler: t, dirs: t, luck: rand.New(rand.NewPCG(1, 2)).IntN}
			m.open(d)
			for round := range 10 {
				syncs := 0
				m.disk.before("sync", func() error {
					if syncs++; syncs%5 == round%5 {
						return failure
					}
					return nil
				})
				m.appendTogether(16, 8)
				m.disk.before("sync", nil)
				if round%2 == 0 {
					m.crash()
				} else {
					m.restart()
				}
				m.check()
			}
			m.j.Close()
			if m.last == 0 || m.refused == 0 {
				t.Fatalf("%d acknowledged and %d refused: the test tests nothing", m.last, m.refused)
			}
		})
	}
}

// fataler is what rapid's T and testing's have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// model is a journal and what it must contain.
type model struct {
	fataler
	dirs testing.TB
	luck func(n int) int // from 0 to n-1
	disk *sim
	j    *Journal

	first   event.Position // of what is not released
	last    event.Position // acknowledged
	want    map[event.Position]string
	pending map[string][]string // appends that failed since the last that did not, by first record: they may be kept
	refused int
	serial  int
}

func (m *model) config() Config {
	return Config{Dir: m.disk.dir, disk: m.disk, SegmentSize: 700, Free: func() (int64, error) { return 1 << 40, nil }}
}

func (m *model) open(d *sim) {
	m.Helper()
	m.disk = d
	if m.want == nil {
		m.want, m.pending, m.first = map[event.Position]string{}, map[string][]string{}, 1
	}
	j, report, err := Open(m.config())
	if err != nil {
		m.Fatalf("open: %v", err)
	}
	m.j = j
	m.adopt(report)
}

// adopt takes over what of failed appends turns out to be kept after what was acknowledged: whole appends, of which
// only the last may be cut short.
func (m *model) adopt(report Report) {
	m.Helper()
	if report.Last < m.last || report.First > m.first {
		m.Fatalf("%d to %d are kept, but %d to %d were acknowledged", report.First, report.Last, m.first, m.last)
	}
	all := contents(m, m.j)
	kept := all[len(all)-int(report.Last-m.last):]
	for len(kept) > 0 {
		batch := m.pending[kept[0]]
		n := min(len(batch), len(kept))
		if n == 0 || !slices.Equal(batch[:n], kept[:n]) {
			m.Fatalf("after %d, %q are kept, which no failed append explains", m.last, kept)
		}
		delete(m.pending, kept[0])
		m.accept(m.last+event.Position(n), kept[:n])
		kept = kept[n:]
	}
	clear(m.pending)
}

// accept notes that a batch is durable, the last of it at a position.
func (m *model) accept(at event.Position, batch []string) {
	for i, data := range batch {
		p := at - event.Position(len(batch)-1-i)
		if m.want[p] != "" {
			m.Fatalf("position %d was given twice", p)
		}
		m.want[p] = data
	}
	m.last = max(m.last, at)
}

func (m *model) batch(count int) (batch []string) {
	for range count {
		m.serial++
		batch = append(batch, fmt.Sprintf("%d-%s", m.serial, strings.Repeat("x", m.luck(300))))
	}
	return batch
}

// outcome notes what became of an append.
func (m *model) outcome(batch []string, at event.Position, err error) {
	m.Helper()
	switch code := problem.Of(err); code {
	case "":
		m.accept(at, batch)
	case problem.StorageFull, problem.Unavailable:
		m.pending[batch[0]] = batch
		m.refused++
	default:
		m.Fatalf("append: %v", err)
	}
}

func (m *model) append(count int) {
	m.Helper()
	batch, next := m.batch(count), m.last+event.Position(count)
	at, err := m.j.Append(context.Background(), bytesOf(batch))
	if err == nil {
		clear(m.pending) // at these positions there is something else now
		if at != next {
			m.Fatalf("position %d, want %d", at, next)
		}
	}
	m.outcome(batch, at, err)
	if m.j.Stats().Failed && m.luck(2) == 0 {
		m.restart()
	}
}

// appendTogether appends from many goroutines at once, each so many times.
func (m *model) appendTogether(writers, times int) {
	batches := make([][][]string, writers)
	for w := range batches {
		for range times {
			batches[w] = append(batches[w], m.batch(1+m.luck(3)))
		}
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for _, batch := range batches[w] {
				at, err := m.j.Append(context.Background(), bytesOf(batch))
				mu.Lock()
				m.outcome(batch, at, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

func (m *model) release(upTo event.Position) {
	m.Helper()
	m.first = max(m.first, upTo+1)
	if err := m.j.Release(upTo); err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EIO) {
		m.Fatalf("release: %v", err)
	}
}

// restart ends the process and starts another, which sees the same page cache. When a fault does not let it start, it
// is started once more without the fault.
func (m *model) restart() {
	m.Helper()
	m.j.Close()
	j, _, err := Open(m.config())
	if err == nil {
		j.Close()
	} else if errors.As(err, new(Damage)) {
		m.Fatalf("restart: %v", err)
	}
	hooks := m.disk.swapHooks(nil)
	m.open(m.disk)
	m.disk.swapHooks(hooks)
}

// crash cuts the power; what was not durable is on the disk or not, by luck, sector by sector.
func (m *model) crash() {
	m.Helper()
	after := m.disk.crash(m.dirs, func() bool { return m.luck(2) == 0 })
	m.j.Close()
	m.open(after)
}

// check reads everything and compares.
func (m *model) check() {
	m.Helper()
	s := m.j.Stats()
	if s.Last != m.last || s.First > m.first {
		m.Fatalf("%+v, want %d to %d", s, m.first, m.last)
	}
	for i, data := range contents(m, m.j) {
		if p := s.First + event.Position(i); data != m.want[p] {
			m.Fatalf("record %d is %q, want %q", p, data, m.want[p])
		}
	}
}
