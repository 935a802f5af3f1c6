package segment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/problem"
)

// group is the appends that share one commit.
type group struct {
	records []byte        // whole but for what frame sets
	count   int           // of records
	taken   chan struct{} // closed when the group takes no more; made by the first append that finds it full
	done    chan struct{} // closed when first and err are set
	first   event.Position
	err     error
}

// keptBuffer is the largest buffer that is used again: what a burst took is given back.
const keptBuffer = 16 << 20

// errClosed is why a closed journal does nothing.
var errClosed = fmt.Errorf("segment: the journal is closed: %w", os.ErrClosed)

// Append makes records durable, as event.Journal says. A record has at least one byte and at most MaxRecord, all
// together at most Buffer. Append waits while Buffer bytes wait already. When ctx ends first, the answer is its error:
// nothing is kept if it ended during that wait, and everything may be kept if it ended during the sync.
// Problems: storage_full, unavailable, event_too_large, body_too_large.
func (j *Journal) Append(ctx context.Context, records [][]byte) (event.Position, error) {
	size, err := j.measure(records)
	if err != nil {
		return 0, err
	}
	g, upTo, err := j.join(ctx, records, size)
	if err != nil {
		return 0, err
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if g.err != nil {
		return 0, refusal(g.err)
	}
	return g.first + event.Position(upTo) - 1, nil
}

// measure gives the bytes that records take in a segment.
func (j *Journal) measure(records [][]byte) (size int, err error) {
	for _, r := range records {
		if len(r) == 0 {
			return 0, errors.New("segment: append: a record is empty")
		}
		if len(r) > j.config.MaxRecord {
			return 0, problem.New(problem.EventTooLarge, "An event is %d bytes as stored; the limit is %d.", len(r), j.config.MaxRecord)
		}
		size += recordHeader + len(r)
	}
	if size == 0 {
		return 0, errors.New("segment: append: there is no record")
	}
	if size > j.config.Buffer {
		return 0, problem.New(problem.BodyTooLarge, "The events are %d bytes as stored; the limit is %d.", size, j.config.Buffer)
	}
	return size, nil
}

// join adds records to the pending group when it has room. They are the group's up to and including number upTo.
func (j *Journal) join(ctx context.Context, records [][]byte, size int) (g *group, upTo int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if j.closed {
			return nil, 0, refusal(errClosed)
		}
		if j.failure != nil {
			return nil, 0, refusal(j.failure)
		}
		g = j.pending
		if len(g.records)+size <= j.config.Buffer {
			break
		}
		if g.taken == nil {
			g.taken = make(chan struct{})
		}
		j.mu.Unlock()
		select {
		case <-g.taken:
		case <-ctx.Done():
		}
		j.mu.Lock()
	}
	if g.count == 0 {
		j.wake <- struct{}{} // has room: the group before was taken
	}
	for _, r := range records {
		g.records = appendRecord(g.records, r)
	}
	g.count += len(records)
	return g, g.count, nil
}

// refusal is what the caller hears. Every caller gets its own.
func refusal(err error) error {
	if isFull(err) {
		return problem.Wrap(err, problem.StorageFull, "The disk has no room for the event.").After(10 * time.Second)
	}
	return problem.Wrap(err, problem.Unavailable, "The event could not be made durable.").After(5 * time.Second)
}

// run is the committer: it commits group after group until the journal is closed and nothing is pending.
func (j *Journal) run() {
	defer close(j.stopped)
	for open := true; open; {
		select {
		case <-j.wake:
		case r := <-j.rolls:
			j.roll(r)
			continue
		case <-j.closing:
			open = false
		}
		runtime.Gosched() // those whom the last commit woke can join this one: half as many syncs again otherwise
		if g := j.take(); g != nil {
			j.finish(g, j.commit(g))
		}
	}
}

// take makes the pending group the flying one, unless it is empty.
func (j *Journal) take() *group {
	j.mu.Lock()
	defer j.mu.Unlock()
	g := j.pending
	if g.count == 0 {
		return nil
	}
	j.flying, j.pending, j.spare = g, &group{records: j.spare[:0], done: make(chan struct{})}, nil
	if g.taken != nil {
		close(g.taken)
	}
	return g
}

// finish publishes the end of a commit to those who wait for it.
func (j *Journal) finish(g *group, err error) {
	j.mu.Lock()
	if err == nil {
		g.first = j.last + 1
		j.last += event.Position(g.count)
		s := &j.segments[len(j.segments)-1]
		s.Bytes = j.out.end
		s.Records += int64(g.count)
		j.done.Records += int64(g.count)
		j.done.Syncs++
		j.done.SyncSum += j.out.took
		j.done.SyncLast = j.out.took
	}
	if cap(g.records) <= keptBuffer {
		j.spare = g.records
	}
	g.err, j.flying, g.records = err, nil, nil
	j.mu.Unlock()
	close(g.done)
	switch {
	case isFull(err) && !j.out.full:
		j.out.full = true
		j.config.Log.Warn("journal: the disk is full; appends are refused until there is room", "error", err)
	case err == nil && j.out.full:
		j.out.full = false
		j.config.Log.Info("journal: the disk has room again")
	}
}

// outlet is the segment that is being written.
type outlet struct {
	file   file // nil before the first commit
	seed   uint32
	end    int64 // of what is durable
	size   int64
	sealed bool          // nothing more may be written to it
	took   time.Duration // by the last sync
	full   bool          // the disk was, when it was last tried
}

// trim takes back what is beyond the end.
func (o *outlet) trim() error {
	if o.file == nil {
		return nil
	}
	if err := o.file.Truncate(o.end); err != nil {
		return err
	}
	return o.file.Sync()
}

func (o *outlet) close(sound bool) (err error) {
	if o.file == nil {
		return nil
	}
	if sound {
		err = o.trim()
	}
	return errors.Join(err, o.file.Close())
}

// commit makes a group durable with one write and one sync, wholly in one segment. On an error nothing of it counts.
func (j *Journal) commit(g *group) error {
	if j.failure != nil {
		return j.failure
	}
	if err := j.makeRoom(int64(len(g.records))); err != nil {
		return err
	}
	frame(g.records, j.out.seed, j.out.end)
	_, err := j.out.file.WriteAt(g.records, j.out.end)
	if err == nil {
		start := j.config.Now()
		err = j.out.file.Sync()
		j.out.took = j.config.Now().Sub(start)
	}
	if err == nil {
		j.out.end += int64(len(g.records))
		return nil
	}
	j.out.sealed = true
	if isFull(err) {
		_ = j.doubt(j.out.trim()) // when there is no room even for this, the next commit tries again
	}
	return j.doubt(err)
}

// doubt puts the journal into its failed state when err is more than a full disk.
func (j *Journal) doubt(err error) error {
	if err == nil || isFull(err) {
		return err
	}
	j.mu.Lock()
	j.failure = err
	j.mu.Unlock()
	j.config.Log.Error("journal: a write or sync failed; nothing is appended until the journal is opened again", "error", err)
	return err
}

// makeRoom sees to it that the outlet has room for size bytes, and that the disk keeps its reserve.
func (j *Journal) makeRoom(size int64) error {
	fits := j.out.file != nil && !j.out.sealed && j.out.size-j.out.end >= size
	need, length := j.config.Reserve, max(j.config.SegmentSize, headerSize+size)
	if !fits {
		need += length
	}
	free, err := j.config.Free()
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("segment: %d bytes are free, and %d are needed: %w", free, need, unix.ENOSPC)
	}
	if fits {
		return nil
	}
	return j.rotate(length)
}

// rotate ends the outlet's segment and makes the next. Once begun, it is done before anything else is written: the
// next file may be there already.
func (j *Journal) rotate(size int64) error {
	j.out.sealed = true
	if err := j.out.trim(); err != nil {
		return j.doubt(err)
	}
	f, s, err := j.create(j.last+1, size)
	if err != nil {
		return err
	}
	if j.out.file != nil {
		_ = j.out.file.Close() // it is synced
	}
	j.out = outlet{file: f, seed: s.seed, end: headerSize, size: size, full: j.out.full}
	j.mu.Lock()
	if n := len(j.segments); n > 0 && j.segments[n-1].First == s.First {
		j.segments = j.segments[:n-1] // an empty one, and the new file has taken its name
	}
	j.segments = append(j.segments, s)
	j.mu.Unlock()
	return nil
}

// create makes a segment under another name, makes it durable, and then gives it its own: a segment that is there has
// its header.
func (j *Journal) create(first event.Position, size int64) (file, Segment, error) {
	d, next := j.config.disk, filepath.Join(j.config.Dir, nextName)
	f, err := d.Create(next, size)
	if err != nil {
		_ = d.Remove(next) // or else it is replaced the next time
		return nil, Segment{}, err
	}
	header, seed := encodeHeader(first, rand.Uint32()) //nolint:gosec // the salt tells files apart and keeps nobody out
	s := Segment{File: filepath.Join(j.config.Dir, fileName(first)), First: first, Bytes: headerSize, seed: seed}
	_, err = f.WriteAt(header, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = d.Rename(next, s.File)
	}
	if err != nil {
		_ = f.Close()
		_ = d.Remove(next)
		return nil, s, err
	}
	if err := d.SyncDir(j.config.Dir); err != nil {
		_ = f.Close()
		return nil, s, j.doubt(err)
	}
	return f, s, nil
}
