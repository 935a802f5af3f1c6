// Package segment owns the embedded journal: the files an event is in before its sender hears "accepted", on one
// machine and within this process. It implements event.Journal.
//
// A record is acknowledged after fdatasync, and all appends that arrive during one sync share the next: one write and
// one sync, called a commit, as soon as the last has ended. Records are numbered from 1 without gaps, for ever.
//
// A folder holds segment files, named by the position of their first record: a header, then records. A segment's room
// is taken when it is created, so that an append changes neither its size nor the disk's free space. It is written only
// by the process that created it; the next process starts a new one. Each record carries its length, the offset where
// its commit began (its mark), and a CRC-32C over these, its data, its place and the file's random salt: bytes from
// elsewhere or from before are not records.
//
// The mark is what tells a crash from damage. A commit is written only when all before it is durable. So where a record
// cannot be read, and one with a later mark can, acknowledged data is damaged: Open refuses, and names file and offset.
// Where there is none, the last commit was torn by a crash: Open cuts it off and reports it.
//
// When the disk is full, what was half written is taken back and appends answer storage_full until there is room. Any
// other failure to write or sync leaves the page cache in doubt, and the journal answers unavailable until it is opened
// again, when it rewrites the last commit before it trusts it.
//
// The package does not know what is in a record, who may write one, or who reads them (event).
package segment

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/weir-analytics/weir/internal/event"
	"github.com/weir-analytics/weir/internal/room"
)

// Config says where the journal is and how much it may take. Zero values take the defaults.
type Config struct {
	Dir         string
	SegmentSize int64 // bytes of a file; 64 MiB. A commit that is larger gets a file of its own size.
	MaxRecord   int   // bytes of a record; event.MaxEncoded
	Buffer      int   // bytes that may wait for the next commit, and the most one Append may bring; 16 MiB
	Reserve     int64 // bytes of free disk below which appends are refused; 64 MiB
	Log         *slog.Logger
	Now         func() time.Time      // measures syncs; without it they are not measured
	Free        func() (int64, error) // bytes of free disk; asked before every commit. By default, those of Dir's disk

	disk disk
}

// lockName is the file that the process using the folder holds locked, and nextName the segment that is being made.
const (
	lockName = "lock"
	nextName = "next"
)

// Journal is an open folder. Make one with Open. Its methods may be called from many goroutines.
type Journal struct {
	config  Config
	lock    *os.File
	wake    chan struct{} // pending has its first record
	rolls   chan *roll    // wishes to end the segment that is written
	closing chan struct{}
	stopped chan struct{} // the committer has ended

	mu       sync.Mutex
	pending  *group // takes appends; never nil
	flying   *group // is being committed, or nil
	spare    []byte // the buffer that neither has
	closed   bool
	failure  error // why nothing can be appended until the folder is opened again
	last     event.Position
	released event.Position
	segments []Segment // the last is the one being written, or was before Open
	done     Stats     // the part that is counted

	out outlet // the committer's alone

	reading sync.Mutex // held to read files, and to remove them
	cursors cursors
}

var _ event.Journal = (*Journal)(nil)

// Open takes the folder for this process, creating it when it is not there, and says what it found. It reads every
// record. A torn tail is cut off and reported; damage to anything else is an error that names file and offset, and
// changes nothing.
func Open(c Config) (*Journal, Report, error) {
	c, err := c.complete()
	if err != nil {
		return nil, Report{}, fmt.Errorf("segment: %w", err)
	}
	if err := makeFolder(c); err != nil {
		return nil, Report{}, fmt.Errorf("segment: %w", err)
	}
	lock, err := lockFolder(filepath.Join(c.Dir, lockName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, Report{}, fmt.Errorf("segment: %w", err)
	}
	report, err := recoverFolder(c)
	if err != nil {
		_ = unlockFolder(lock)
		return nil, report, err
	}
	j := &Journal{
		config: c, lock: lock, last: report.Last, released: report.First - 1, segments: report.Segments,
		wake: make(chan struct{}, 1), rolls: make(chan *roll), closing: make(chan struct{}), stopped: make(chan struct{}),
		pending: &group{done: make(chan struct{})},
	}
	report.Segments = slices.Clone(report.Segments)
	go j.run()
	return j, report, nil
}

func (c Config) complete() (Config, error) {
	c.SegmentSize = cmp.Or(c.SegmentSize, 64<<20)
	c.MaxRecord = cmp.Or(c.MaxRecord, event.MaxEncoded)
	c.Buffer = cmp.Or(c.Buffer, 16<<20)
	c.Reserve = cmp.Or(c.Reserve, 64<<20)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = func() time.Time { return time.Time{} }
	}
	if c.Free == nil {
		c.Free = func() (int64, error) { return room.Free(c.Dir) }
	}
	if c.disk == nil {
		c.disk = realDisk{}
	}
	switch {
	case c.Dir == "":
		return c, errors.New("no folder is given")
	case c.MaxRecord < 0 || c.MaxRecord > maxRecord:
		return c, fmt.Errorf("a record of %d bytes is not possible: at most %d", c.MaxRecord, maxRecord)
	case c.Buffer < c.MaxRecord+recordHeader || c.Buffer > maxFile/2:
		return c, fmt.Errorf("a buffer of %d bytes is not possible: from one record to %d", c.Buffer, maxFile/2)
	case c.SegmentSize < 0 || c.SegmentSize > maxFile/2 || c.Reserve < 0:
		return c, fmt.Errorf("segments of %d bytes and a reserve of %d are not possible", c.SegmentSize, c.Reserve)
	}
	return c, nil
}

func makeFolder(c Config) error {
	if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	return c.disk.SyncDir(filepath.Dir(c.Dir))
}

// recoverFolder brings the folder to a state in which every record in it is whole and durable.
func recoverFolder(c Config) (Report, error) {
	report, err := inspect(c.Dir)
	if err != nil {
		return report, err
	}
	if len(report.Damage) > 0 {
		return report, fmt.Errorf("segment: the journal is not opened: %w", report.Damage[0])
	}
	if report.Torn.Bytes > 0 {
		c.Log.Warn("journal: a torn tail is cut off; it was of records that were not acknowledged",
			"file", report.Torn.File, "offset", report.Torn.Offset, "bytes", report.Torn.Bytes)
	}
	if len(report.Segments) == 0 {
		return report, nil
	}
	s := report.Segments[len(report.Segments)-1]
	if err := settle(c.disk, s); err != nil {
		return report, fmt.Errorf("segment: recover %s: %w", s.File, err)
	}
	return report, nil
}

// settle ends a segment after its last record and makes sure of its last commit. Whoever wrote that may not have
// synced it, or may have been told that the sync failed, after which the page cache shows bytes that are not on the
// disk and a further sync does nothing for them. Writing them again does.
func settle(d disk, s Segment) error {
	in, err := os.Open(s.File)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := d.Open(s.File)
	if err != nil {
		return err
	}
	err = out.Truncate(s.Bytes)
	chunk := make([]byte, windowSize)
	for at := s.mark; err == nil && at < s.Bytes; at += windowSize {
		chunk = chunk[:min(windowSize, s.Bytes-at)]
		if _, err = in.ReadAt(chunk, at); err == nil {
			_, err = out.WriteAt(chunk, at)
		}
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// Close commits what appends have brought, then closes the files and gives the folder free. Readers that wait are told
// that the journal is closed.
func (j *Journal) Close() error {
	j.mu.Lock()
	again := j.closed
	j.closed = true
	j.mu.Unlock()
	if again {
		<-j.stopped
		return nil
	}
	close(j.closing)
	<-j.stopped
	err := errors.Join(j.out.close(j.failure == nil), unlockFolder(j.lock))
	if err != nil {
		return fmt.Errorf("segment: close: %w", err)
	}
	return nil
}

// Stats is what the journal holds and has done since it was opened.
type Stats struct {
	First    event.Position // of the records not released; Last+1 when there is none
	Last     event.Position
	Segments int
	Bytes    int64         // of headers and records in the segments
	Records  int64         // appended
	Syncs    int64         // commits made durable
	SyncSum  time.Duration // spent in their syncs
	SyncLast time.Duration
	Failed   bool // appends fail until the journal is opened again
}

// Stats counts.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.done
	s.First, s.Last, s.Segments, s.Failed = j.released+1, j.last, len(j.segments), j.failure != nil
	for i := range j.segments {
		s.Bytes += j.segments[i].Bytes
	}
	return s
}
