package segment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/weir-analytics/weir/internal/event"
)

// scrubName is the segment that takes the place of another. What a crash leaves of it is made anew by the next Scrub.
const scrubName = "scrub"

// Roll ends the segment that is written, so that everything appended before the call is in segments that nothing is written
// to any more, and gives the last position of these.
func (j *Journal) Roll(ctx context.Context) (event.Position, error) {
	r := roll{done: make(chan struct{})}
	select {
	case j.rolls <- &r:
	case <-j.closing:
		return 0, fmt.Errorf("segment: roll: %w", errClosed)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	<-r.done
	if r.err != nil {
		return 0, fmt.Errorf("segment: roll: %w", r.err)
	}
	return r.upTo, nil
}

// roll is a wish to end the segment that is written.
type roll struct {
	done chan struct{} // closed when the others are set
	upTo event.Position
	err  error
}

// roll does it, between two commits.
func (j *Journal) roll(r *roll) {
	defer close(r.done)
	if r.err = j.failure; r.err != nil {
		return
	}
	r.upTo = j.last // only the committer changes it
	if j.out.file != nil && !j.out.sealed && j.out.end == headerSize {
		return // nothing is in it
	}
	j.out.sealed = true
	r.err = j.makeRoom(0)
}

// Scrub replaces records of the segments that nothing is written to any more: each gives what a record at or before a
// position becomes, or nil when it stays as it is. Positions stay what they are. A segment is written beside its place,
// synced, and then renamed, so that after a crash it is either as it was or as it becomes, whole. It gives how many records
// it replaced; to scrub again changes nothing.
func (j *Journal) Scrub(ctx context.Context, upTo event.Position, each func(data []byte) []byte) (replaced int64, err error) {
	j.reading.Lock()
	defer j.reading.Unlock()
	j.mu.Lock()
	sealed := append([]Segment(nil), j.segments[:max(len(j.segments)-1, 0)]...)
	closed := j.closed
	j.mu.Unlock()
	if closed {
		return 0, fmt.Errorf("segment: scrub: %w", errClosed)
	}
	for i := range sealed {
		if sealed[i].First > upTo {
			break
		}
		if err := ctx.Err(); err != nil {
			return replaced, err
		}
		n, err := j.scrubSegment(&sealed[i], upTo, each)
		if err != nil {
			return replaced, fmt.Errorf("segment: scrub %s: %w", sealed[i].File, err)
		}
		replaced += n
	}
	if err := j.config.disk.SyncDir(j.config.Dir); err != nil { // also what an earlier call could not make sure of
		return replaced, fmt.Errorf("segment: scrub: %w", err)
	}
	return replaced, nil
}

// scrubSegment scrubs one. The caller holds j.reading.
func (j *Journal) scrubSegment(s *Segment, upTo event.Position, each func([]byte) []byte) (replaced int64, err error) {
	records, replaced, err := scrubbed(s, upTo, each)
	if err != nil || replaced == 0 {
		return 0, err
	}
	header, seed := encodeHeader(s.First, rand.Uint32()) //nolint:gosec // the salt tells files apart and keeps nobody out
	frame(records, seed, headerSize)
	d, beside, size := j.config.disk, filepath.Join(j.config.Dir, scrubName), headerSize+int64(len(records))
	f, err := d.Create(beside, size)
	if err != nil {
		return 0, err
	}
	_, err = f.WriteAt(header, 0)
	if err == nil {
		_, err = f.WriteAt(records, headerSize)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Rename(beside, s.File)
	}
	if err != nil {
		_ = d.Remove(beside)
		return 0, err
	}
	j.mu.Lock()
	for i := range j.segments {
		if j.segments[i].First == s.First {
			j.segments[i].Bytes, j.segments[i].seed, j.segments[i].mark = size, seed, headerSize
		}
	}
	j.mu.Unlock()
	for i := range j.cursors {
		if j.cursors[i].first == s.First {
			j.cursors[i] = cursor{}
		}
	}
	return replaced, nil
}

// scrubbed reads the records of a segment as they become, without their marks and checksums.
func scrubbed(s *Segment, upTo event.Position, each func([]byte) []byte) (records []byte, replaced int64, err error) {
	f, err := os.Open(s.File)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	in := scanner{src: f, seed: s.seed, at: headerSize, end: s.Bytes}
	for at := s.First; in.at < in.end; at++ {
		data, _, err := in.next()
		if errors.Is(err, errNoRecord) {
			return nil, 0, Damage{File: s.File, Offset: in.at, Reason: "a record that was durable cannot be read"}
		}
		if err != nil {
			return nil, 0, err
		}
		if at <= upTo {
			if other := each(data); other != nil {
				data = other
				replaced++
			}
		}
		records = appendRecord(records, data)
	}
	return records, replaced, nil
}
