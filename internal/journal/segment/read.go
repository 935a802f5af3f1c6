package segment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"

	"github.com/weir-analytics/weir/internal/event"
)

// readBytes is about how much data one Read gives; a first record that is larger is given all the same.
const readBytes = 8 << 20

// cursor is where a Read ended: in the segment that begins with first, record next is at offset at.
type cursor struct {
	first, next event.Position
	at          int64
}

// cursors are where the last Reads ended, one for each of a few readers that go on from there. The last used is first.
type cursors [4]cursor

// take gives the cursor nearest before a record of a segment, and makes it the first. When there is none, the one longest
// unused goes, for one at the segment's start.
func (c *cursors) take(segment, record event.Position) *cursor {
	best := -1
	for i := range c {
		if c[i].first == segment && c[i].next <= record && (best < 0 || c[i].next > c[best].next) {
			best = i
		}
	}
	taken := cursor{first: segment, next: segment, at: headerSize}
	if best >= 0 {
		taken = c[best]
	} else {
		best = len(c) - 1
	}
	copy(c[1:best+1], c[:best])
	c[0] = taken
	return &c[0]
}

// Read gives durable records, as event.Journal says: those of one segment, at most limit and about 8 MiB. It is made
// for a few readers that go on where they ended; from another position it looks through a segment for it. Positions that
// were released, and those beyond the last, are errors. A record that cannot be read is an error that wraps Damage.
func (j *Journal) Read(ctx context.Context, after event.Position, limit int) ([]event.Record, error) {
	if limit < 1 {
		return nil, fmt.Errorf("segment: read: a limit of %d", limit)
	}
	for {
		records, wait, err := j.readNow(after, limit)
		if err != nil {
			return nil, fmt.Errorf("segment: read after %d: %w", after, err)
		}
		if wait == nil {
			return records, nil
		}
		select {
		case <-wait:
		case <-j.closing:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// readNow reads what there is. When there is nothing, wait is closed when that may have changed.
func (j *Journal) readNow(after event.Position, limit int) (records []event.Record, wait <-chan struct{}, err error) {
	j.reading.Lock()
	defer j.reading.Unlock()
	s, wait, err := j.find(after)
	if err != nil || wait != nil {
		return nil, wait, err
	}
	f, err := os.Open(s.File)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	c := j.cursors.take(s.First, after+1)
	in := scanner{src: f, seed: s.seed, at: c.at, end: s.Bytes}
	for size := 0; len(records) < limit && in.at < in.end; c.next, c.at = c.next+1, in.at {
		in.keep = c.next > after
		data, _, err := in.next()
		switch {
		case err != nil && len(records) > 0:
			return records, nil, nil // the next Read begins with it
		case errors.Is(err, errNoRecord):
			return nil, nil, Damage{File: s.File, Offset: in.at, Reason: "a record that was durable cannot be read"}
		case err != nil:
			return nil, nil, err
		case c.next <= after:
			continue
		}
		if size += len(data); size > readBytes && len(records) > 0 {
			break
		}
		records = append(records, event.Record{Position: c.next, Data: data})
	}
	return records, nil, nil
}

// find gives the segment with the record that comes after a position, or what to wait for.
func (j *Journal) find(after event.Position) (s Segment, wait <-chan struct{}, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return s, nil, errClosed
	case after < j.released:
		return s, nil, fmt.Errorf("records up to %d are released", j.released)
	case after > j.last:
		return s, nil, fmt.Errorf("the last record is %d; the journal was lost or replaced", j.last)
	case after < j.last:
		i := sort.Search(len(j.segments), func(i int) bool { return j.segments[i].First > after+1 })
		return j.segments[i-1], nil, nil
	case j.failure != nil:
		return s, nil, refusal(j.failure)
	case j.flying != nil:
		return s, j.flying.done, nil
	}
	return s, j.pending.done, nil
}

// Release deletes the segments whose records are all at or before a position, the oldest first, but never the last
// segment, whose name and records say where the numbering is. Records it cannot delete yet are not read any more until
// the journal is opened again.
func (j *Journal) Release(upTo event.Position) error {
	j.reading.Lock()
	defer j.reading.Unlock()
	for {
		s, err := j.releasable(upTo)
		if err != nil {
			return fmt.Errorf("segment: release up to %d: %w", upTo, err)
		}
		if s.File == "" {
			return nil
		}
		err = j.config.disk.Remove(s.File)
		if err == nil || errors.Is(err, os.ErrNotExist) { // gone already, when it was SyncDir that failed before
			err = j.config.disk.SyncDir(j.config.Dir)
		}
		if err != nil {
			return fmt.Errorf("segment: release up to %d: %w", upTo, err)
		}
		j.mu.Lock()
		j.segments = j.segments[1:]
		j.mu.Unlock()
	}
}

// releasable gives the first segment when it can go.
func (j *Journal) releasable(upTo event.Position) (Segment, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return Segment{}, errClosed
	}
	if upTo > j.last {
		return Segment{}, fmt.Errorf("the last record is %d", j.last)
	}
	j.released = max(j.released, upTo)
	if len(j.segments) > 1 && j.segments[1].First <= upTo+1 {
		return j.segments[0], nil
	}
	return Segment{}, nil
}
