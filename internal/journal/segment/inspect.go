package segment

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/weir-analytics/weir/internal/event"
)

// Report is what was found in a folder.
type Report struct {
	Segments []Segment      // in the order of their positions
	First    event.Position // of the first record kept; when there is none, of the next
	Last     event.Position // of the last record; First-1 when there is none
	Torn     Torn
	Damage   []Damage // found by Check; Open refuses to open
}

// Segment is one file of the journal.
type Segment struct {
	File    string // path
	First   event.Position
	Records int64
	Bytes   int64 // header and records

	seed uint32 // of its checksums
	mark int64  // where its last commit begins
}

// Torn is the end of the last write, cut short by a crash: bytes after the last whole record of the last segment. They
// are of records nobody was told are durable. The zero Torn is none.
type Torn struct {
	File   string
	Offset int64
	Bytes  int64 // up to the last byte that is not zero
}

// Damage is a place where records that had been made durable cannot be read. It is an error.
type Damage struct {
	File   string
	Offset int64
	Reason string
}

// Error names the file, the offset and the reason.
func (d Damage) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %s", d.File, d.Offset, d.Reason)
}

// Check reads every record of a journal that no process has open, and changes nothing. What is wrong with the records
// is in the report; the error says that they could not be looked at.
func Check(dir string) (Report, error) {
	lock, err := lockFolder(filepath.Join(dir, lockName), os.O_RDONLY)
	switch {
	case err == nil:
		defer func() { _ = unlockFolder(lock) }()
	case !errors.Is(err, os.ErrNotExist):
		return Report{}, fmt.Errorf("segment: check: %w", err)
	}
	return inspect(dir)
}

// inspect reads the whole folder. The segments must follow one another without a gap, and only the last may end in
// anything but a whole record.
func inspect(dir string) (Report, error) {
	entries, err := os.ReadDir(dir) // by name, which is by position
	if err != nil {
		return Report{}, fmt.Errorf("segment: %w", err)
	}
	var paths []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == suffix {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	r := Report{First: 1}
	for i, path := range paths {
		if err := r.add(path, i == len(paths)-1); err != nil {
			return Report{}, err
		}
	}
	return r, nil
}

// add inspects one more file and puts what it finds into the report.
func (r *Report) add(path string, last bool) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	s, lost, err := inspectFile(f, path, info.Size(), last)
	if damage, ok := errors.AsType[Damage](err); ok {
		r.Damage = append(r.Damage, damage)
	} else if err != nil {
		return fmt.Errorf("segment: %s: %w", path, err)
	}
	r.Segments = append(r.Segments, s)
	if s.First == 0 {
		return nil
	}
	if len(r.Segments) == 1 {
		r.First = s.First
	} else if s.First != r.Last+1 && len(r.Damage) == 0 {
		r.Damage = append(r.Damage, Damage{File: path, Reason: fmt.Sprintf(
			"it begins with record %d, but the file before it ends with record %d", s.First, r.Last)})
	}
	if lost > 0 {
		r.Torn = Torn{File: path, Offset: s.Bytes, Bytes: lost}
	}
	r.Last = s.First + event.Position(s.Records) - 1
	return nil
}

// inspectFile reads every record of one file. lost is the length of a torn tail. The error is a Damage when the file is
// at fault.
func inspectFile(src io.ReaderAt, path string, size int64, last bool) (s Segment, lost int64, err error) {
	s.File = path
	s.First, _ = firstOf(path)
	damaged := func(offset int64, format string, args ...any) (Segment, int64, error) {
		return s, 0, Damage{File: path, Offset: offset, Reason: fmt.Sprintf(format, args...)}
	}
	first, seed, err := decodeHeader(src)
	switch {
	case err != nil:
		return damaged(0, "%v", err)
	case first != s.First || first == 0:
		return damaged(0, "its name does not fit its first position, %d", first)
	case size > maxFile:
		return damaged(maxFile, "it is longer than a segment can be")
	}
	s.seed, s.Bytes, s.mark = seed, headerSize, headerSize
	in := scanner{src: src, seed: seed, at: headerSize, end: size}
	for {
		_, mark, err := in.next()
		if errors.Is(err, errNoRecord) {
			break
		}
		if err != nil {
			return s, 0, err
		}
		s.Records, s.Bytes, s.mark = s.Records+1, in.at, mark
	}
	if s.Bytes == size {
		return s, 0, nil
	}
	if !last {
		return damaged(s.Bytes, "there is no whole record, and later segments exist")
	}
	lost, later, err := in.tail()
	if err == nil && later > 0 {
		return damaged(s.Bytes, "there is no whole record, but one written later is at byte %d", later)
	}
	return s, lost, err
}
