package query

import (
	"bufio"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/weir-analytics/weir/internal/problem"
	"github.com/weir-analytics/weir/internal/query/cache"
)

// Answer is a complete answer. It is its receiver's alone, and must be closed.
type Answer struct {
	ContentType string
	Rows        int64
	Size        int64 // bytes
	Elapsed     time.Duration
	Credits     int64 // what it costs
	Packed      bool  // it is compressed as it is

	// Of an answer that may be kept:
	Cached    bool          // it was not made for this question, but for one that was asked before
	Age       time.Duration // since it was begun to be made
	ExpiresAt time.Time     // from then on it is made anew; zero when it is not kept
	Tag       string        // is another when the answer is another; empty when it is not kept

	body body
	tail []byte // comes after the body
}

// body is the bytes of an answer.
type body interface {
	io.WriterTo
	io.Closer
}

// WriteTo writes the answer to w. It may be called again, and then writes it again.
func (a *Answer) WriteTo(w io.Writer) (int64, error) {
	n, err := a.body.WriteTo(w)
	if err != nil || len(a.tail) == 0 {
		return n, err
	}
	more, err := w.Write(a.tail)
	return n + int64(more), err
}

// Close gives back what the answer holds.
func (a *Answer) Close() error {
	if a == nil {
		return nil
	}
	return a.body.Close()
}

// spool takes bytes in, up to a limit: into memory, and when they are too many for that, into a file. The file has no
// name from the moment it is open, where the system allows that, so that not even a crash leaves it behind.
type spool struct {
	memory int                      // bytes that stay in memory
	limit  int64                    // bytes at the most
	dir    string                   // of the file
	create func() (*os.File, error) // makes the file, which keeps its name; nil: it is in dir, and without a name
	digest hash.Hash                // of all bytes; nil: none

	size  int64
	bytes []byte
	file  *os.File
	named bool // the file still has its name
	w     *bufio.Writer
}

// Write takes p in, all or nothing. Problems: result_too_large, unavailable when the disk has no room.
func (s *spool) Write(p []byte) (int, error) {
	if s.size+int64(len(p)) > s.limit {
		return 0, TooManyBytes(s.limit)
	}
	s.size += int64(len(p))
	if s.digest != nil {
		_, _ = s.digest.Write(p)
	}
	if s.file == nil && s.size <= int64(s.memory) {
		s.bytes = append(s.bytes, p...)
		return len(p), nil
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return 0, spoolFault(err)
		}
	}
	n, err := s.w.Write(p)
	return n, spoolFault(err)
}

// open makes the file and moves what is in memory there.
func (s *spool) open() error {
	file, err := s.newFile()
	if err != nil {
		return err
	}
	s.file = file
	s.w = bufio.NewWriterSize(file, 64<<10)
	_, err = s.w.Write(s.bytes)
	s.bytes = nil
	return err
}

// newFile makes the file.
func (s *spool) newFile() (*os.File, error) {
	if s.create != nil {
		if file, err := s.create(); file != nil || err != nil {
			s.named = true
			return file, err
		}
	}
	file, err := os.CreateTemp(s.dir, "weir-answer-*")
	if err == nil {
		s.named = os.Remove(file.Name()) != nil
	}
	return file, err
}

// flush ends the writing.
func (s *spool) flush() error {
	if s.file == nil {
		return nil
	}
	return spoolFault(s.w.Flush())
}

// WriteTo writes all that was taken in. The file goes as a whole, so that the system may send it without copying.
func (s *spool) WriteTo(w io.Writer) (int64, error) {
	if s.file == nil {
		n, err := w.Write(s.bytes)
		return int64(n), err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(w, s.file)
}

// body is what was taken in, for many to read at once. It is not the spool's any more.
func (s *spool) body() *cache.Body {
	if s.file == nil {
		return cache.InMemory(s.bytes)
	}
	return cache.InFile(s.file, s.size, s.named)
}

// Close gives back the memory and the file.
func (s *spool) Close() error {
	s.bytes = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.named {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	return err
}

func spoolFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return problem.Wrap(err, problem.Unavailable, "The server's disk has no room to put the answer together.")
	}
	return fmt.Errorf("answer file: %w", err)
}
