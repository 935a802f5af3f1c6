// Package journaltest owns what every event.Journal must do, as tests that run against any of them. It does not own
// what one implementation promises beyond that, such as what it does when its disk is full.
package journaltest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-analytics/weir/internal/event"
)

// patience is how long a call that must end may take, on a slow machine.
const patience = time.Minute

// Run runs the kit. open gives an empty journal that takes records of at least 100 KiB; the kit closes it.
func Run(t *testing.T, open func(t *testing.T) event.Journal) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, event.Journal)
	}{
		{"positions count from 1 and records come back in order", order},
		{"a batch stays together", batches},
		{"concurrent appends are all there once, in the order of their acknowledgement", concurrent},
		{"a reader waits for what is not there yet", waiting},
		{"a reader gets at most what it asks for, and it is its own", limits},
		{"reading starts anywhere", anywhere},
		{"readers do not disturb each other", readers},
		{"a context that ends is heeded", contexts},
		{"what is released is gone, and the numbering goes on", release},
		{"a closed journal does nothing", closed},
		{"closing waits for appends under way", closing},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			j := open(t)
			t.Cleanup(func() {
				if err := j.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test.run(t, j)
		})
	}
}

// Promise: positions count from 1 without gaps, and what is read is what was appended, in order, to the byte.
func order(t *testing.T, j event.Journal) {
	var want [][]byte
	for i := range 50 {
		data := make([]byte, 1+i*i*37) // from 1 byte to 90 KB, zeros and all values among them
		for k := range data {
			data[k] = byte(i * k)
		}
		want = append(want, slices.Clone(data))
		if got := mustAppend(t, j, data); got != event.Position(i+1) {
			t.Fatalf("append %d is at position %d", i+1, got)
		}
		clear(data) // the journal must not look at it any more
	}
	expect(t, j, 0, want)
}

// Promise: the records of one Append are next to one another, and its answer is the position of the last.
func batches(t *testing.T, j event.Journal) {
	var want [][]byte
	for size := 1; size <= 40; size++ {
		var batch [][]byte
		for i := range size {
			batch = append(batch, fmt.Appendf(nil, "batch %d, record %d", size, i))
		}
		want = append(want, batch...)
		if got := mustAppend(t, j, batch...); int(got) != len(want) {
			t.Fatalf("a batch of %d ends at %d, want %d", size, got, len(want))
		}
	}
	expect(t, j, 0, want)
}

// Promise: of 64 writers every acknowledged record is at the position it was told, exactly once, its batch is whole,
// and an append that began after another was acknowledged has a higher position.
func concurrent(t *testing.T, j event.Journal) {
	const writers, rounds = 64, 20
	type ack struct {
		at   event.Position
		size int
	}
	acks := make([][]ack, writers)
	var highest atomic.Uint64
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for round := range rounds {
				var batch [][]byte
				for i := range 1 + (w+round)%4 {
					batch = append(batch, stamp(w, round, i))
				}
				before := event.Position(highest.Load())
				at, err := j.Append(t.Context(), batch)
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if at < before+event.Position(len(batch)) {
					t.Errorf("appended after %d was acknowledged, but at %d", before, at)
				}
				for {
					old := highest.Load()
					if uint64(at) <= old || highest.CompareAndSwap(old, uint64(at)) {
						break
					}
				}
				acks[w] = append(acks[w], ack{at, len(batch)})
			}
		})
	}
	all.Wait()
	total := int(highest.Load())
	got := readAll(t, j, 0, total)
	seen := 0
	for w := range acks {
		for round, a := range acks[w] {
			for i := range a.size {
				seen++
				if p := int(a.at) - a.size + i; string(got[p]) != string(stamp(w, round, i)) {
					t.Fatalf("writer %d, round %d, record %d is not at %d", w, round, i, p+1)
				}
			}
		}
	}
	if seen != total {
		t.Fatalf("%d records were acknowledged, %d are there", seen, total)
	}
}

// Promise: Read returns when a record comes, every time.
func waiting(t *testing.T, j event.Journal) {
	got := make(chan event.Record)
	go func() {
		defer close(got)
		for at := event.Position(0); at < 100; {
			records, err := j.Read(t.Context(), at, 10)
			if err != nil {
				t.Errorf("read: %v", err)
				return
			}
			for _, r := range records {
				got <- r
			}
			at = records[len(records)-1].Position
		}
	}()
	for i := range 100 {
		want := stamp(0, i, 0)
		mustAppend(t, j, want)
		if r := receive(t, got); r.Position != event.Position(i+1) || string(r.Data) != string(want) {
			t.Fatalf("got record %d, want %d", r.Position, i+1)
		}
	}
}

// Promise: Read gives at least one record and at most limit, and the caller may do with it what it likes.
func limits(t *testing.T, j event.Journal) {
	for i := range 20 {
		mustAppend(t, j, stamp(0, i, 0))
	}
	for _, limit := range []int{1, 2, 7, 20, 1_000_000} {
		records, err := j.Read(t.Context(), 3, limit)
		if err != nil || len(records) == 0 || len(records) > limit {
			t.Fatalf("limit %d: %d records, %v", limit, len(records), err)
		}
		for _, r := range records {
			_ = append(r.Data, "what the caller adds to one is not in the next"...)
		}
		for i, r := range records {
			if want := stamp(0, 3+i, 0); r.Position != event.Position(4+i) || string(r.Data) != string(want) {
				t.Fatalf("limit %d: record %d is not what was appended", limit, r.Position)
			}
		}
		for _, r := range records {
			clear(r.Data)
		}
	}
	if _, err := j.Read(t.Context(), 0, 0); err == nil {
		t.Fatal("a limit of 0 was taken")
	}
}

// Promise: reading may start after any position, back and forth.
func anywhere(t *testing.T, j event.Journal) {
	const count = 60
	for i := range count {
		mustAppend(t, j, stamp(0, i, 0))
	}
	for i := range count {
		after := event.Position(i * 37 % count)
		records, err := j.Read(t.Context(), after, 2)
		if err != nil || records[0].Position != after+1 || string(records[0].Data) != string(stamp(0, int(after), 0)) {
			t.Fatalf("read after %d: %v, %v", after, records, err)
		}
	}
}

// Promise: readers that take turns, each at its own place and pace, get the same as one alone would.
func readers(t *testing.T, j event.Journal) {
	const records = 300
	var want [][]byte
	for i := range records {
		want = append(want, fmt.Appendf(nil, "record %d%0*d", i, i%200, 0))
	}
	mustAppend(t, j, want...)
	places := []event.Position{0, 0, 17, 150, 225, 299}
	for reading := true; reading; {
		reading = false
		for i, place := range places {
			if place == records {
				continue
			}
			reading = true
			got, err := j.Read(t.Context(), place, 1+7*i)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range got {
				if place++; r.Position != place || !bytes.Equal(r.Data, want[place-1]) {
					t.Fatalf("reader %d got %q as record %d, at place %d", i, r.Data, r.Position, place)
				}
			}
			places[i] = place
		}
	}
}

// Promise: a context that has ended ends the call with its error, and the journal works on.
func contexts(t *testing.T, j event.Journal) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Append(ended, [][]byte{[]byte("late")}); !errors.Is(err, context.Canceled) {
		t.Fatalf("append: %v, want canceled", err)
	}
	at := mustAppend(t, j, []byte("in time"))
	if _, err := j.Read(ended, at, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("read: %v, want canceled", err)
	}
	soon, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := j.Read(soon, at, 1)
		failed <- err
	}()
	cancel()
	if err := receive(t, failed); !errors.Is(err, context.Canceled) {
		t.Fatalf("waiting read: %v, want canceled", err)
	}
	if next := mustAppend(t, j, []byte("after")); next != at+1 {
		t.Fatalf("the next append is at %d, want %d", next, at+1)
	}
}

// Promise: what is released is an error to read and never passed over in silence, what is not is there, and positions
// are never used again.
func release(t *testing.T, j event.Journal) {
	for i := range 30 {
		mustAppend(t, j, stamp(0, i, 0))
	}
	highest := event.Position(0)
	for _, upTo := range []event.Position{0, 10, 5, 29, 30} { // releasing less than before changes nothing
		if err := j.Release(upTo); err != nil {
			t.Fatalf("release up to %d: %v", upTo, err)
		}
		highest = max(highest, upTo)
		if highest > 0 {
			if records, err := j.Read(t.Context(), highest-1, 1); err == nil {
				t.Fatalf("released up to %d, but read %d", highest, records[0].Position)
			}
		}
		if highest < 30 {
			if records, err := j.Read(t.Context(), highest, 1); err != nil || records[0].Position != highest+1 {
				t.Fatalf("released up to %d, then: %v, %v", highest, records, err)
			}
		}
	}
	if at := mustAppend(t, j, []byte("next")); at != 31 {
		t.Fatalf("after releasing everything the next position is %d, want 31", at)
	}
	expect(t, j, 30, [][]byte{[]byte("next")})
}

// Promise: a closed journal refuses appends and reads, wakes those who wait, and can be closed again.
func closed(t *testing.T, j event.Journal) {
	mustAppend(t, j, []byte("one"))
	failed := make(chan error)
	go func() {
		_, err := j.Read(t.Context(), 1, 1)
		failed <- err
	}()
	if err := j.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := receive(t, failed); err == nil {
		t.Fatal("a waiting reader got records from a closed journal")
	}
	if _, err := j.Append(t.Context(), [][]byte{[]byte("two")}); err == nil {
		t.Fatal("a closed journal took a record")
	}
	if _, err := j.Read(t.Context(), 0, 1); err == nil {
		t.Fatal("a closed journal gave a record")
	}
}

// Promise: closing while others append leaves nobody waiting, and positions acknowledged until then are distinct.
func closing(t *testing.T, j event.Journal) {
	const writers = 16
	positions := make(chan event.Position, writers)
	ended := make(chan struct{})
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for round := 0; ; round++ {
				at, err := j.Append(t.Context(), [][]byte{stamp(w, round, 0)})
				if err != nil {
					return
				}
				positions <- at
			}
		})
	}
	go func() {
		all.Wait()
		close(ended)
		close(positions)
	}()
	seen := map[event.Position]bool{}
	for at := range positions {
		if seen[at] {
			t.Fatalf("position %d was given twice", at)
		}
		seen[at] = true
		if len(seen) == 10*writers {
			go func() {
				if err := j.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
		}
	}
	receive(t, ended)
}

func stamp(writer, round, i int) []byte {
	data := binary.BigEndian.AppendUint32(nil, uint32(writer))
	data = binary.BigEndian.AppendUint32(data, uint32(round))
	return append(data, byte(i))
}

func mustAppend(t *testing.T, j event.Journal, records ...[]byte) event.Position {
	t.Helper()
	at, err := j.Append(t.Context(), records)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return at
}

func expect(t *testing.T, j event.Journal, after event.Position, want [][]byte) {
	t.Helper()
	for i, data := range readAll(t, j, after, len(want)) {
		if string(data) != string(want[i]) {
			t.Fatalf("record %d is not what was appended", int(after)+i+1)
		}
	}
}

// readAll reads count records and checks that their positions follow one another.
func readAll(t *testing.T, j event.Journal, after event.Position, count int) (all [][]byte) {
	t.Helper()
	for len(all) < count {
		records, err := j.Read(t.Context(), after, 100)
		if err != nil {
			t.Fatalf("read after %d: %v", after, err)
		}
		for _, r := range records {
			if after++; r.Position != after {
				t.Fatalf("read position %d, want %d", r.Position, after)
			}
			all = append(all, r.Data)
		}
	}
	return all
}

func receive[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(patience):
		t.Fatal("a call that must end does not")
	}
	return value
}
